//! Typed configuration: the controller's TOML and the seeds' INI files, with file, line and allowed names in each error.
//!
//! Reading never touches a path that a file names; `check_paths` of each configuration reports all that are missing.

pub mod alerts;
pub mod bounded_file;
pub mod cameras;
pub mod catalogue_map;
pub mod controller;
pub mod embedded;
pub mod error;
pub mod gp1;
pub mod ini;
mod log;
pub mod modules;
pub mod network;
pub mod path_map;
pub mod pipeline;
pub mod pipeline_set;
mod section_reader;
pub mod simulation;
mod toml_reader;

pub use alerts::{AlertsSettings, PacketRow, PacketRows};
pub use bounded_file::{read_bounded, read_bounded_text};
pub use cameras::{CameraConfig, KeywordChanges};
pub use catalogue_map::CatalogueMap;
pub use controller::ControllerConfig;
pub use embedded::{embedded, embedded_paths};
pub use error::{ConfigError, ConfigErrorKind, Problem};
pub use gp1::{Gp1Config, PipelineSection, ProcessingStrategy};
pub use log::LogSettings;
pub use modules::{
    AlignmentConfig, AstrometryConfig, CalibrationChoice, ConvolvedChoice, CosmicRayChoice,
    FindstarsConfig, InputAndOutput, ModuleConfig, PhotometryConfig, ReductionConfig,
    StackingConfig, SubtractionConfig, SummaryConfig,
};
pub use network::{IpNetwork, is_host_and_port};
pub use path_map::{ConfigPaths, PathMap, PathRule};
pub use pipeline::{PipelineConfig, PipelineSteps};
pub use pipeline_set::PipelineSet;
pub use section_reader::ConfigOrigin;
pub use simulation::SimulationConfig;
