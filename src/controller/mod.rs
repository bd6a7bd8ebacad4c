//! Wires the actors from a configuration: the only place that knows them all.

pub mod assembly;
pub mod doctor;
pub mod night_directory;
pub mod night_figures;
pub mod night_plan;
pub mod report;
pub mod run;
pub mod run_setup;
mod service_manager;
pub mod simulated_night;
pub mod simulation_setup;
pub mod status;
mod wiring;

pub use wiring::{Controller, ControllerError, ControllerParts, FscTarget};
