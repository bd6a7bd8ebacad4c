//! `alignment.cfg`.

use super::{InputAndOutput, ModuleConfig, read_module};
use crate::config::{error::ConfigError, ini::Ini};

/// Transform from one frame to the reference of its field.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignmentConfig {
    /// `match_radius`: distance within which two sources are the same, pixels.
    pub match_radius_pixels: f64,
    /// Fewer pairs are no alignment.
    pub minimum_matches: usize,
    /// Brightest sources used.
    pub maximum_sources: usize,
    pub paths: InputAndOutput,
}

impl Default for AlignmentConfig {
    fn default() -> Self {
        Self {
            match_radius_pixels: 1.5,
            minimum_matches: 6,
            maximum_sources: 300,
            paths: InputAndOutput::default(),
        }
    }
}

impl ModuleConfig for AlignmentConfig {
    const FILE_NAME: &'static str = "alignment.cfg";

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let (paths, parameters) = read_module(ini, |section| {
            Ok(Self {
                match_radius_pixels: section
                    .number("match_radius", 0.1, 50.0)?
                    .unwrap_or(defaults.match_radius_pixels),
                minimum_matches: section
                    .whole("minimum_matches", 3, 100_000)?
                    .unwrap_or(defaults.minimum_matches),
                maximum_sources: section
                    .whole("maximum_sources", 10, 100_000)?
                    .unwrap_or(defaults.maximum_sources),
                paths: InputAndOutput::default(),
            })
        })?;
        Ok(Self { paths, ..parameters })
    }
}
