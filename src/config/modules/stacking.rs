//! `stacking.cfg`.

use super::{InputAndOutput, ModuleConfig, read_module};
use crate::config::{error::ConfigError, ini::Ini};

/// The running, weighted, clipped stack.
#[derive(Debug, Clone, PartialEq)]
pub struct StackingConfig {
    /// Values farther from the stack than this many standard deviations are left out.
    pub clip_sigma: f64,
    /// A frame whose stars are wider than this many times the best is not stacked.
    pub maximum_fwhm_ratio: f64,
    /// A frame with fewer sources is not stacked.
    pub minimum_stars: usize,
    pub paths: InputAndOutput,
}

impl Default for StackingConfig {
    fn default() -> Self {
        Self {
            clip_sigma: 4.0,
            maximum_fwhm_ratio: 2.0,
            minimum_stars: 5,
            paths: InputAndOutput::default(),
        }
    }
}

impl ModuleConfig for StackingConfig {
    const FILE_NAME: &'static str = "stacking.cfg";

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let (paths, parameters) = read_module(ini, |section| {
            Ok(Self {
                clip_sigma: section
                    .number("clip_sigma", 1.0, 100.0)?
                    .unwrap_or(defaults.clip_sigma),
                maximum_fwhm_ratio: section
                    .number("maximum_fwhm_ratio", 1.0, 100.0)?
                    .unwrap_or(defaults.maximum_fwhm_ratio),
                minimum_stars: section
                    .whole("minimum_stars", 0, 100_000)?
                    .unwrap_or(defaults.minimum_stars),
                paths: InputAndOutput::default(),
            })
        })?;
        Ok(Self { paths, ..parameters })
    }
}
