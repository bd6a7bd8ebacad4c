//! Detection of sources: matched filter, threshold, connected pixels, deblending, measurement.

use super::{CalibratedImage, background::Background};
use crate::model::Source;

/// Settings of [`detect`]; the defaults suit a seeing of two to four pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectionParameters {
    /// Threshold in standard deviations of the filtered background.
    pub threshold_sigma: f64,
    /// Smallest number of connected pixels above the threshold.
    pub minimum_pixels: usize,
    /// Full width at half maximum of the Gaussian matched filter.
    pub filter_fwhm_pixels: f64,
    pub deblend_levels: usize,
    /// Smallest share of the flux for a branch to become a source.
    pub deblend_contrast: f64,
    /// Radius of the photometric aperture; `None`: 1.0 × median FWHM of the stars, at least 2 pixels.
    pub aperture_radius_pixels: Option<f64>,
    /// The most sources kept (brightest first): a bound on time and memory.
    pub maximum_sources: usize,
}

impl Default for DetectionParameters {
    fn default() -> Self {
        Self {
            threshold_sigma: 3.0,
            minimum_pixels: 4,
            filter_fwhm_pixels: 2.5,
            deblend_levels: 32,
            deblend_contrast: 0.005,
            aperture_radius_pixels: None,
            maximum_sources: 20_000,
        }
    }
}

/// Sources of one image and what was learned on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Detections {
    /// Brightest first.
    pub sources: Vec<Source>,
    /// Median FWHM of unsaturated, unblended, star-like sources; `None` with fewer than three.
    pub stellar_fwhm_pixels: Option<f64>,
    pub aperture_radius_pixels: f64,
    /// Sources beyond `maximum_sources`, left out.
    pub dropped_count: usize,
}

/// Finds and measures the sources of a reduced image. The background is subtracted here. Positions are
/// windowed centroids where they converge, isophotal ones otherwise; fluxes are in a circular aperture with
/// exact pixel overlap; errors hold sky noise, source noise and read noise through the variance plane.
/// Deterministic: the same input gives the same list, in the same order.
pub fn detect(
    image: &CalibratedImage,
    background: &Background,
    parameters: &DetectionParameters,
) -> Detections {
    let _ = (image, background, parameters);
    unimplemented!()
}
