//! A synthetic sky with truth, archive replay, and stand-ins for the telescope and the satellite.
//!
//! [`night::SyntheticNight`] joins the parts: a [`sky::SyntheticSky`] seen through a [`camera::SyntheticCamera`], the packets
//! of a [`story::Story`], and one [`schedule`] of what happens when. [`archive`] does the same for a recorded night.
//! Everything is a function of a seed and of parameters: nothing here reads a clock, and a frame depends on its number
//! only, not on which frames were rendered before it.

pub mod afterglow;
pub mod archive;
pub mod archive_copy;
pub mod archive_files;
mod archive_nights;
pub mod camera;
pub mod catalogue_trial;
pub mod comparison;
pub mod contamination;
pub mod detector;
pub mod feed;
pub mod from_config;
pub mod galaxy;
pub mod headers;
pub mod night;
pub mod observing;
pub mod packet;
pub mod placement;
pub mod point_spread;
pub mod random;
pub mod schedule;
pub mod sky;
pub mod story;
pub mod story_parameters;
pub mod telescope;
pub mod truth;

pub use afterglow::Afterglow;
pub use archive::{ArchiveOptions, ArchivePlan, ReplayFrame};
pub use archive_copy::prepare;
pub use camera::{CameraParameters, FrameTruth, RenderedFrame, SyntheticCamera};
pub use comparison::{TruthComparison, compare};
pub use night::SyntheticNight;
pub use schedule::Happening;
pub use sky::{SkyParameters, SyntheticSky};
pub use story::{Story, StoryPacket};
pub use story_parameters::StoryParameters;
pub use truth::{CatalogueParameters, Truth};

use std::path::PathBuf;

/// What can go wrong in the simulation.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// A parameter that makes no sense; another value is needed.
    #[error("{parameter}: {what}")]
    Parameter { parameter: &'static str, what: String },
    /// The sky is too crowded for the distances asked for.
    #[error("no room on the sky for {what} after {attempts} attempts")]
    NoRoom { what: String, attempts: usize },
    /// A frame that the night does not have.
    #[error("the night has {count} {kind} frames: there is no number {index}")]
    NoSuchFrame { kind: &'static str, index: usize, count: usize },
    /// Reading or writing a file; a retry may help.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// A file that does not hold what it should; a retry does not help.
    #[error("{path}{}: {what}", line.map_or_else(String::new, |line| format!(", line {line}")))]
    Content { path: PathBuf, line: Option<usize>, what: String },
    /// The archive has nothing to replay.
    #[error("{path}: no object frame to replay ({skipped} files left out)")]
    EmptyArchive { path: PathBuf, skipped: usize },
    #[error(transparent)]
    Fits(#[from] crate::fits::FitsError),
}

impl SimulationError {
    /// Whether the same call may succeed later.
    pub fn is_retry_safe(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Fits(error) => error.is_retry_safe(),
            _ => false,
        }
    }
}
