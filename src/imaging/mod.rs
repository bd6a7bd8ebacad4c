//! Pixel and catalogue mathematics: pure functions on arrays.
//!
//! No actors, no network, no clock, no files. Arrays are indexed `[row, column]` = `[y, x]`, zero-based,
//! pixel centres at integers. Fluxes are electrons unless a name says otherwise.

pub mod alignment;
pub mod aperture;
mod astrometric_field;
mod astrometric_search;
pub mod astrometry;
pub mod background;
pub mod bad_pixels;
pub(crate) mod bands;
pub mod calibration;
pub mod camera_distortion;
mod cleaning;
pub mod colour_term;
pub mod combination;
mod components;
pub mod cosmic_rays;
#[cfg(test)]
mod cosmic_rays_tests;
#[cfg(test)]
mod crowded_tests;
mod deblending;
pub mod detection;
#[cfg(test)]
mod detection_oracle;
#[cfg(test)]
mod detection_tests;
pub mod difference_sources;
pub mod distortion_fit;
mod eight_lanes;
mod ellipse;
pub mod empty_apertures;
#[cfg(test)]
mod extraction_oracle;
pub mod fading;
mod flat_combination;
mod forced_photometry;
pub mod growth_curve;
mod half_light;
pub mod image;
pub mod injection;
mod kernel_basis;
mod kernel_convolution;
mod kernel_fit;
mod kernel_stamps;
mod kron;
mod laplacian;
pub mod left_out;
mod line_votes;
pub mod linear_fit;
mod matched_filter;
pub mod matching;
mod moments;
mod neighbourhood;
pub mod north_up;
pub mod offset_vote;
mod outlier;
mod pair_vote;
pub mod photon_transfer;
mod pixel_mapping;
mod plane_inversion;
mod planes;
pub mod polynomial;
pub mod psf;
mod psf_fit;
pub mod psf_photometry;
mod psf_variation;
pub mod render;
pub mod resample;
pub mod robust_plane;
pub mod saturation;
pub mod settled_apertures;
mod significance;
pub mod sip;
pub mod sky_map;
mod small_medians;
mod spline;
pub mod spread_model;
#[cfg(test)]
mod spread_tests;
pub mod stack;
mod stack_pixel;
mod stack_rows;
mod stack_start;
mod stack_state;
#[cfg(test)]
mod stack_tests;
mod stack_tiles;
pub mod stamp_stars;
pub mod star_pattern;
pub mod star_profile;
pub mod statistics;
mod stellar_width;
pub mod subtraction;
#[cfg(test)]
mod subtraction_tests;
mod surroundings;
#[cfg(test)]
pub(crate) mod synthetic;
pub mod tpv;
pub mod trails;
pub mod undistorted_pixels;
pub mod verification;
pub mod wcs;
pub(crate) mod widest;
mod windowed_centroid;
pub mod world_coordinates;
pub mod zero_point;

pub use image::{CalibratedImage, Image, Mask, mask_bits};
