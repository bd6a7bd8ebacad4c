//! A feed of images: what arrives when, and how each file is made.

use super::{
    Happening, SimulationError, SyntheticNight,
    archive::{ArchivePlan, ReplayFrame},
    archive_copy::prepare,
};
use crate::{
    fits::{FitsError, FitsStore, NewPlane},
    model::UtcTime,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// One image that will arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFrame {
    /// File name without `.fits[.fz]`.
    pub frame_name: String,
    /// Clock instant of its last byte.
    pub arrival: UtcTime,
}

/// Why an image of the feed could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("there is no frame {index} in the plan")]
    NoSuchFrame { index: usize },
    #[error(transparent)]
    Fits(#[from] FitsError),
    #[error(transparent)]
    Simulation(#[from] SimulationError),
}

/// A source of images on the clock: a synthetic sky, an archive. The same index always gives the same file.
pub trait FrameFeed: Send + Sync {
    /// All images in order of arrival.
    fn plan(&self) -> &[PlannedFrame];

    /// Makes one image in `directory` (whole, under its final name) and returns its path.
    fn produce(&self, index: usize, directory: &Path) -> Result<PathBuf, FeedError>;
}

/// The frames of a synthetic night.
pub struct SyntheticFeed {
    night: Arc<SyntheticNight>,
    happenings: Vec<Happening>,
    plan: Vec<PlannedFrame>,
    store: Arc<dyn FitsStore>,
}

impl SyntheticFeed {
    /// Plans the feed: names are known from the schedule alone, frames are rendered when they are asked for.
    pub fn new(night: Arc<SyntheticNight>, store: Arc<dyn FitsStore>) -> Self {
        let mut happenings = Vec::new();
        let mut plan = Vec::new();
        for scheduled in night.schedule() {
            if let Some(frame_name) = night.frame_name(scheduled.happening) {
                happenings.push(scheduled.happening);
                plan.push(PlannedFrame { frame_name, arrival: scheduled.at });
            }
        }
        Self { night, happenings, plan, store }
    }
}

impl FrameFeed for SyntheticFeed {
    fn plan(&self) -> &[PlannedFrame] {
        &self.plan
    }

    fn produce(&self, index: usize, directory: &Path) -> Result<PathBuf, FeedError> {
        let happening = self.happenings.get(index).ok_or(FeedError::NoSuchFrame { index })?;
        let frame = match *happening {
            Happening::Calibration(number) => self.night.calibration(number)?,
            Happening::ProgrammeFrame(number) => self.night.programme_frame(number)?,
            Happening::ObjectFrame(number) => self.night.object_frame(number)?,
            Happening::Packet(_) | Happening::SensorFile => {
                return Err(FeedError::NoSuchFrame { index });
            }
        };
        let path = directory.join(&frame.file_name);
        self.store
            .write_images(&path, &[("", &frame.header, NewPlane::Unsigned16(&frame.data))])?;
        Ok(path)
    }
}

/// The frames of an archived night, as copies with the cards that they lack.
pub struct ArchiveFeed {
    frames: Vec<ReplayFrame>,
    plan: Vec<PlannedFrame>,
    store: Arc<dyn FitsStore>,
}

impl ArchiveFeed {
    pub fn new(plan: &ArchivePlan, store: Arc<dyn FitsStore>) -> Self {
        let frames = plan.frames.clone();
        let plan = frames
            .iter()
            .map(|frame| PlannedFrame { frame_name: frame.name.clone(), arrival: frame.arrival })
            .collect();
        Self { frames, plan, store }
    }
}

impl FrameFeed for ArchiveFeed {
    fn plan(&self) -> &[PlannedFrame] {
        &self.plan
    }

    fn produce(&self, index: usize, directory: &Path) -> Result<PathBuf, FeedError> {
        let frame = self.frames.get(index).ok_or(FeedError::NoSuchFrame { index })?;
        Ok(prepare(frame, directory, self.store.as_ref())?)
    }
}
