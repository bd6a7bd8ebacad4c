//! Wires the actors from a configuration: the only place that knows them all.

pub mod report;
pub mod run;
pub mod simulated_night;
mod wiring;

pub use wiring::{Controller, ControllerError, ControllerParts, FscTarget};
