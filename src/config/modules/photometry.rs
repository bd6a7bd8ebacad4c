//! `photometry.cfg`.

use super::{InputAndOutput, ModuleConfig, read_module};
use crate::config::{error::ConfigError, ini::Ini};

/// Aperture photometry and zero point.
#[derive(Debug, Clone, PartialEq)]
pub struct PhotometryConfig {
    /// `aperture_radius`: radius of the photometric aperture, pixels; absent: the diameter of half of a star's light on the image, in a
    /// crowd the stars' full width at half maximum, at least 2.
    pub aperture_radius_pixels: Option<f64>,
    /// `match_radius`: distance within which a source is the catalogue star, arcseconds.
    pub match_radius_arcsec: f64,
    /// Fewer calibration stars give no zero point.
    pub minimum_stars: usize,
    /// Fainter stars are not used for the zero point.
    pub minimum_signal_to_noise: f64,
    pub paths: InputAndOutput,
}

impl Default for PhotometryConfig {
    fn default() -> Self {
        Self {
            aperture_radius_pixels: None,
            match_radius_arcsec: 1.5,
            minimum_stars: 5,
            minimum_signal_to_noise: 10.0,
            paths: InputAndOutput::default(),
        }
    }
}

impl ModuleConfig for PhotometryConfig {
    const FILE_NAME: &'static str = "photometry.cfg";

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let (paths, parameters) = read_module(ini, |section| {
            Ok(Self {
                aperture_radius_pixels: section.number("aperture_radius", 0.5, 200.0)?,
                match_radius_arcsec: section
                    .number("match_radius", 0.05, 60.0)?
                    .unwrap_or(defaults.match_radius_arcsec),
                minimum_stars: section
                    .whole("minimum_stars", 1, 100_000)?
                    .unwrap_or(defaults.minimum_stars),
                minimum_signal_to_noise: section
                    .number("minimum_signal_to_noise", 1.0, 10_000.0)?
                    .unwrap_or(defaults.minimum_signal_to_noise),
                paths: InputAndOutput::default(),
            })
        })?;
        Ok(Self { paths, ..parameters })
    }
}
