//! The image modules of GP1 as synchronous steps over a workspace (design.md §4).
//!
//! [`pipeline::Instance`] runs the steps on one frame after the other and analyses a trigger at its deadlines;
//! [`batch`] runs them on files from the command line. A step is a function of its arguments: none of them knows of actors,
//! networks or the time of day.

pub mod aligned_frames;
#[cfg(test)]
mod alignment_tests;
pub mod all_filters;
pub mod analysis;
#[cfg(test)]
mod archive_tests;
pub mod astrometry;
pub mod batch;
pub mod calibration_record;
pub mod camera_distortions;
pub mod candidate_table;
pub mod candidates;
mod completeness;
mod contamination;
pub mod distorted_solution;
#[cfg(test)]
mod distorted_tests;
pub mod error;
pub mod failed_analysis;
pub mod field_grid;
pub mod findstars;
pub mod forced;
pub mod frame_group;
pub mod frame_input;
pub mod frame_pixels;
pub mod frame_scale;
pub mod frame_steps;
pub mod light_curves;
#[cfg(test)]
mod limit_tests;
pub mod master_figures;
pub mod master_file;
pub mod masters;
pub mod masters_in_force;
pub mod measured_frame;
mod minor_planets;
pub mod named_masters;
pub mod night_masters;
pub mod noise_floor;
pub mod nominal;
#[cfg(test)]
mod online_and_batch_tests;
pub mod photometry;
pub mod pipeline;
#[cfg(test)]
mod pipeline_tests;
mod pixel_budget;
#[cfg(test)]
mod ratir_tests;
#[cfg(test)]
mod real_frames_tests;
pub mod reduced_file;
pub mod reduction;
pub mod reduction_to_file;
pub mod relative_zero_point;
#[cfg(test)]
mod repeatability_tests;
pub mod report;
pub mod result_files;
pub mod router;
pub mod sections;
pub mod settings;
mod settings_from_config;
#[cfg(test)]
mod solved_frames_tests;
pub mod source_table;
mod stack_difference;
pub mod stacking;
pub mod subtraction;
#[cfg(test)]
mod subtraction_tests;
pub mod template;
#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod test_sky;
pub mod tracks;
pub mod trigger_of_frame;
pub mod vetting;
pub mod watch;
pub mod workspace;

pub use error::Gp1Error;
pub use masters_in_force::MastersInForce;
pub use settings::{InstanceSettings, Module, Steps};
