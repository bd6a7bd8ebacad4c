//! `findstars.cfg`.

use super::{InputAndOutput, ModuleConfig, read_module};
use crate::config::{error::ConfigError, ini::Ini};

/// Background and detection of sources.
#[derive(Debug, Clone, PartialEq)]
pub struct FindstarsConfig {
    /// Detection threshold, standard deviations of the filtered background.
    pub threshold_sigma: f64,
    /// Smallest number of connected pixels above the threshold.
    pub minimum_pixels: usize,
    /// `filter_fwhm`: full width at half maximum of the Gaussian matched filter, pixels.
    pub filter_fwhm_pixels: f64,
    /// Side of a cell of the background mesh, pixels.
    pub mesh_pixels: usize,
    /// Thresholds between the detection level and the peak at which blends are looked for.
    pub deblend_levels: usize,
    /// Smallest share of the flux for a branch to become a source.
    pub deblend_contrast: f64,
    /// The most sources kept of one image, brightest first.
    pub maximum_sources: usize,
    /// Whether the point-spread function is fitted and every source measured with it.
    pub psf_photometry: bool,
    /// Whether stars and galaxies are told apart.
    pub spread_model: bool,
    pub paths: InputAndOutput,
}

impl Default for FindstarsConfig {
    fn default() -> Self {
        Self {
            threshold_sigma: 5.0,
            minimum_pixels: 5,
            filter_fwhm_pixels: 3.0,
            mesh_pixels: 64,
            deblend_levels: 32,
            deblend_contrast: 0.005,
            maximum_sources: 20_000,
            psf_photometry: false,
            spread_model: true,
            paths: InputAndOutput::default(),
        }
    }
}

impl ModuleConfig for FindstarsConfig {
    const FILE_NAME: &'static str = "findstars.cfg";

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let (paths, parameters) = read_module(ini, |section| {
            Ok(Self {
                threshold_sigma: section
                    .number("threshold_sigma", 0.5, 1000.0)?
                    .unwrap_or(defaults.threshold_sigma),
                minimum_pixels: section
                    .whole("minimum_pixels", 1, 10_000)?
                    .unwrap_or(defaults.minimum_pixels),
                filter_fwhm_pixels: section
                    .number("filter_fwhm", 0.5, 50.0)?
                    .unwrap_or(defaults.filter_fwhm_pixels),
                mesh_pixels: section.whole("mesh_pixels", 8, 4096)?.unwrap_or(defaults.mesh_pixels),
                deblend_levels: section
                    .whole("deblend_levels", 1, 256)?
                    .unwrap_or(defaults.deblend_levels),
                deblend_contrast: section
                    .number("deblend_contrast", 0.0, 1.0)?
                    .unwrap_or(defaults.deblend_contrast),
                maximum_sources: section
                    .whole("maximum_sources", 1, 10_000_000)?
                    .unwrap_or(defaults.maximum_sources),
                psf_photometry: section
                    .boolean("psf_photometry")?
                    .unwrap_or(defaults.psf_photometry),
                spread_model: section.boolean("spread_model")?.unwrap_or(defaults.spread_model),
                paths: InputAndOutput::default(),
            })
        })?;
        Ok(Self { paths, ..parameters })
    }
}
