//! Scientific products of the French ground follow-up telescope (interfaces.md §8).
//!
//! A GP1 result and a descriptor give a product: [`make`] is a pure function, and every value stands where the descriptor
//! says. [`validate`] checks a product against its descriptor, [`show`] makes it readable.

mod compiler;
pub mod descriptor;
mod detection;
#[cfg(test)]
mod file_tests;
pub mod gp1_result;
mod header_values;
mod image_id;
mod light_curve;
pub mod maker;
mod observations;
mod placement;
mod position;
#[cfg(test)]
mod sample;
pub mod show;
mod time_index;
pub mod validate;
pub mod value;

pub use descriptor::{
    Descriptor, DescriptorError, DescriptorFault, DescriptorSet, Entry, Expected,
};
pub use gp1_result::{Gp1ResultError, read_result, write_result};
pub use maker::{ProductError, ProductSettings, cards_of, make};
pub use validate::{Finding, validate};
