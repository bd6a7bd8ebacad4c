//! Wires the actors from a configuration: the only place that knows them all.

mod assembly;
pub mod night_directory;
pub mod night_figures;
pub mod night_plan;
pub mod report;
pub mod run;
pub mod run_setup;
pub mod simulated_night;
pub mod simulation_setup;
mod wiring;

pub use wiring::{Controller, ControllerError, ControllerParts, FscTarget};
