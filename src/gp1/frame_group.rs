//! The frames of one trigger (or programme) with their running stacks.

use super::error::Gp1Error;
use super::frame_steps::{StepContext, StepTimer, background_of};
use super::measured_frame::{KnownField, MeasuredFrame};
use super::relative_zero_point::{RelativeZeroPoint, instrumental_zero_point, relative_zero_point};
use super::stacking::StackSet;
use super::workspace::FramePaths;
use crate::model::{CatalogueStatus, FrameIdentity, FrameRecord};

/// Everything an instance remembers of a trigger. A pure function of the files of the frames, in their order.
#[derive(Debug, Clone, Default)]
pub struct FrameGroup {
    frames: Vec<MeasuredFrame>,
    stacks: StackSet,
}

impl FrameGroup {
    /// In the order they came.
    pub fn frames(&self) -> &[MeasuredFrame] {
        &self.frames
    }

    pub fn stacks(&self) -> &StackSet {
        &self.stacks
    }

    pub fn find(&self, identity: &FrameIdentity) -> Option<&MeasuredFrame> {
        self.frames.iter().find(|frame| frame.record.identity == *identity)
    }

    /// The frames that give their coordinates to others, with their sources: one that was solved, and the first of each field that
    /// is not tied to the sky.
    pub fn references(&self) -> Vec<KnownField> {
        let solved = self.frames.iter().find(|frame| frame.status.is_absolute());
        let founders = self.frames.iter().filter(|frame| frame.field() == Some(frame.name()));
        solved.into_iter().chain(founders).filter_map(KnownField::of).collect()
    }

    /// Takes in a frame from its files. The same frame again changes nothing; other data under the same name take the
    /// place of those before, and the stacks are made anew.
    pub fn absorb(
        &mut self,
        context: StepContext<'_>,
        record: &FrameRecord,
        paths: &FramePaths,
    ) -> Result<(), Gp1Error> {
        if self.find(&record.identity).is_some() {
            return Ok(());
        }
        let same_name = self.frames.iter().position(|frame| frame.name() == record.identity.name);
        match same_name {
            None => self.append(context, record, paths),
            Some(index) => {
                let mut records: Vec<(FrameRecord, FramePaths)> = self
                    .frames
                    .iter()
                    .map(|frame| (frame.record.clone(), frame.paths.clone()))
                    .collect();
                if let Some(slot) = records.get_mut(index) {
                    *slot = (record.clone(), paths.clone());
                }
                let mut anew = Self::default();
                for (record, paths) in &records {
                    anew.append(context, record, paths)?;
                }
                *self = anew;
                Ok(())
            }
        }
    }

    fn append(
        &mut self,
        context: StepContext<'_>,
        record: &FrameRecord,
        paths: &FramePaths,
    ) -> Result<(), Gp1Error> {
        let mut timer = StepTimer::new(&record.identity.name);
        let (mut frame, reduced) = MeasuredFrame::read(context.store, record, paths)?;
        timer.done("read back");
        if frame.zero_point.is_none()
            && let Some(zero) = self.zero_point_of(&frame)
        {
            frame.calibrate_by(zero);
        }
        if context.settings.steps.stacking {
            let background = background_of(&reduced.image, context.settings);
            let settings = context.settings;
            let offered = self.stacks.offer(
                &frame,
                &reduced.image,
                &background,
                &settings.stacking,
                &settings.alignment,
            );
            frame.not_stacked = offered.err().map(|refusal| refusal.to_string());
            timer.done("stacking");
        } else {
            frame.not_stacked = Some("stacking is off".into());
        }
        self.frames.push(frame);
        Ok(())
    }

    /// A zero point for a frame without one: from the sources it shares with a frame of its camera, filter and field that has
    /// one. Where there is no catalogue at all, the first frame of each field founds a scale.
    fn zero_point_of(&self, frame: &MeasuredFrame) -> Option<RelativeZeroPoint> {
        let keywords = &frame.record.keywords;
        let reference = self.frames.iter().find(|other| {
            other.zero_point.is_some()
                && other.record.keywords.instrument == keywords.instrument
                && other.record.keywords.filter == keywords.filter
                && other.shares_sky_with(frame)
        });
        match reference {
            Some(reference) => relative_zero_point(reference, frame),
            None => {
                let status = frame.measurement.catalogue_status;
                let no_catalogue =
                    matches!(status, CatalogueStatus::Unavailable | CatalogueStatus::Empty);
                (no_catalogue && frame.wcs.is_some()).then(instrumental_zero_point)
            }
        }
    }
}
