//! `summary.cfg`.

use super::{InputAndOutput, ModuleConfig, read_module};
use crate::config::{error::ConfigError, ini::Ini};

/// Candidates, their light curves and cut-outs.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryConfig {
    /// A source nearer than this to a catalogue object is that object, arcseconds.
    pub catalogue_match_radius_arcsec: f64,
    /// Detections nearer than this on different images are one candidate, arcseconds.
    pub association_radius_arcsec: f64,
    /// Smallest signal-to-noise of a candidate on at least one image.
    pub minimum_signal_to_noise: f64,
    /// A catalogued source brighter than its catalogue magnitude by this many standard errors is a candidate.
    pub variability_sigma: f64,
    /// A candidate nearer than this to the edge is marked so.
    pub edge_pixels: usize,
    /// The most candidates listed, best first.
    pub maximum_candidates: usize,
    /// Side of a cut-out.
    pub cutout_pixels: usize,
    /// Whether artificial stars measure how complete the list of a deadline is.
    pub injections: bool,
    /// Authors' line of the draft of a circular.
    pub circular_authors: Option<String>,
    /// Who answers questions about it.
    pub circular_contact: Option<String>,
    pub paths: InputAndOutput,
}

impl Default for SummaryConfig {
    fn default() -> Self {
        Self {
            catalogue_match_radius_arcsec: 2.0,
            association_radius_arcsec: 1.0,
            minimum_signal_to_noise: 5.0,
            variability_sigma: 5.0,
            edge_pixels: 8,
            maximum_candidates: 200,
            cutout_pixels: 64,
            injections: true,
            circular_authors: None,
            circular_contact: None,
            paths: InputAndOutput::default(),
        }
    }
}

impl ModuleConfig for SummaryConfig {
    const FILE_NAME: &'static str = "summary.cfg";

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let (paths, parameters) = read_module(ini, |section| {
            Ok(Self {
                catalogue_match_radius_arcsec: section
                    .number("catalogue_match_radius_arcsec", 0.05, 60.0)?
                    .unwrap_or(defaults.catalogue_match_radius_arcsec),
                association_radius_arcsec: section
                    .number("association_radius_arcsec", 0.05, 60.0)?
                    .unwrap_or(defaults.association_radius_arcsec),
                minimum_signal_to_noise: section
                    .number("minimum_signal_to_noise", 1.0, 10_000.0)?
                    .unwrap_or(defaults.minimum_signal_to_noise),
                variability_sigma: section
                    .number("variability_sigma", 1.0, 1000.0)?
                    .unwrap_or(defaults.variability_sigma),
                edge_pixels: section
                    .whole("edge_pixels", 0, 10_000)?
                    .unwrap_or(defaults.edge_pixels),
                maximum_candidates: section
                    .whole("maximum_candidates", 1, 100_000)?
                    .unwrap_or(defaults.maximum_candidates),
                cutout_pixels: section
                    .whole("cutout_pixels", 8, 1024)?
                    .unwrap_or(defaults.cutout_pixels),
                injections: section.boolean("injections")?.unwrap_or(defaults.injections),
                circular_authors: section.text("circular_authors")?,
                circular_contact: section.text("circular_contact")?,
                paths: InputAndOutput::default(),
            })
        })?;
        Ok(Self { paths, ..parameters })
    }
}
