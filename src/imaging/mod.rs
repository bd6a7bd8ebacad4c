//! Pixel and catalogue mathematics: pure functions on arrays.
//!
//! No actors, no network, no clock, no files. Arrays are indexed `[row, column]` = `[y, x]`, zero-based,
//! pixel centres at integers. Fluxes are electrons unless a name says otherwise.

pub mod alignment;
pub mod aperture;
mod astrometric_field;
pub mod astrometry;
pub mod background;
pub mod calibration;
mod components;
pub mod detection;
pub mod fading;
pub mod image;
pub mod linear_fit;
mod matched_filter;
pub mod matching;
pub mod offset_vote;
mod outlier;
mod planes;
pub mod render;
pub mod resample;
mod spline;
pub mod stack;
mod stack_pixel;
pub mod star_pattern;
pub mod statistics;
#[cfg(test)]
mod synthetic;
pub mod verification;
pub mod wcs;
pub mod zero_point;

pub use image::{CalibratedImage, Image, Mask, mask_bits};
