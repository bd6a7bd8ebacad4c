//! `astrometry.cfg`.

use super::{InputAndOutput, ModuleConfig, read_module};
use crate::config::{error::ConfigError, ini::Ini, path_map::ConfigPaths};
use std::path::PathBuf;

/// Matching of the sources with the local catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct AstrometryConfig {
    /// How far the nominal centre of the image may be off, arcseconds.
    pub maximum_offset_arcsec: f64,
    /// How far the nominal position angle may be off, degrees. A mirrored image is found in any case.
    pub maximum_rotation_degrees: f64,
    /// Relative tolerance on the nominal scale.
    pub scale_tolerance: f64,
    /// Radius of the last match, arcseconds.
    pub match_radius_arcsec: f64,
    /// Fewer matches are no solution.
    pub minimum_matches: usize,
    /// A larger residual per axis is no solution, arcseconds.
    pub maximum_rms_arcsec: f64,
    /// File of a camera's distortion, or directory of several, as `gic distortion` writes them.
    pub distortion: Option<PathBuf>,
    pub paths: InputAndOutput,
}

impl Default for AstrometryConfig {
    fn default() -> Self {
        Self {
            maximum_offset_arcsec: 300.0,
            maximum_rotation_degrees: 180.0,
            scale_tolerance: 0.02,
            match_radius_arcsec: 1.5,
            minimum_matches: 6,
            maximum_rms_arcsec: 0.5,
            distortion: None,
            paths: InputAndOutput::default(),
        }
    }
}

impl ModuleConfig for AstrometryConfig {
    const FILE_NAME: &'static str = "astrometry.cfg";

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let (paths, parameters) = read_module(ini, |section| {
            Ok(Self {
                maximum_offset_arcsec: section
                    .number("maximum_offset_arcsec", 0.0, 36_000.0)?
                    .unwrap_or(defaults.maximum_offset_arcsec),
                maximum_rotation_degrees: section
                    .number("maximum_rotation_degrees", 0.0, 180.0)?
                    .unwrap_or(defaults.maximum_rotation_degrees),
                scale_tolerance: section
                    .number("scale_tolerance", 0.0, 0.5)?
                    .unwrap_or(defaults.scale_tolerance),
                match_radius_arcsec: section
                    .number("match_radius_arcsec", 0.01, 60.0)?
                    .unwrap_or(defaults.match_radius_arcsec),
                minimum_matches: section
                    .whole("minimum_matches", 3, 100_000)?
                    .unwrap_or(defaults.minimum_matches),
                maximum_rms_arcsec: section
                    .number("maximum_rms_arcsec", 0.001, 60.0)?
                    .unwrap_or(defaults.maximum_rms_arcsec),
                distortion: section.path("distortion")?,
                paths: InputAndOutput::default(),
            })
        })?;
        Ok(Self { paths, ..parameters })
    }
}

impl AstrometryConfig {
    /// All paths that must exist and do not.
    pub fn check_paths(&self) -> Vec<ConfigError> {
        let missing = self
            .distortion
            .as_ref()
            .and_then(|path| self.paths.origin.missing_path(super::PARAMETERS, "distortion", path));
        self.paths.check_paths().into_iter().chain(missing).collect()
    }
}

impl ConfigPaths for AstrometryConfig {
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.distortion.iter_mut().chain(self.paths.paths_mut()).collect()
    }
}
