//! On what scale magnitudes are: systems, bands of catalogues, colour terms.

use serde::{Deserialize, Serialize};

/// What has magnitude zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MagnitudeSystem {
    /// A source of 3631 Jy at every frequency (Oke & Gunn 1983, ApJ 266, 713).
    #[serde(rename = "AB")]
    Ab,
    /// Vega, or nearly so.
    Vega,
}

impl MagnitudeSystem {
    /// As headers have it.
    pub fn as_card(self) -> &'static str {
        match self {
            Self::Ab => "AB",
            Self::Vega => "Vega",
        }
    }
}

/// A magnitude of an object in one band of its catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BandMagnitude {
    pub value: f32,
    /// Standard error.
    pub error: Option<f32>,
}

/// A band of a catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueBand {
    pub name: String,
    /// `None` where nothing says it.
    #[serde(default)]
    pub system: Option<MagnitudeSystem>,
    /// m(AB) − m(catalogue); `None` where the conversion is not known.
    #[serde(default)]
    pub ab_offset: Option<f64>,
}

impl CatalogueBand {
    /// A band of which only the name is known.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), system: None, ab_offset: None }
    }

    /// What is added to its magnitudes, and the system that they are then in.
    pub fn conversion(&self) -> (f64, Option<MagnitudeSystem>) {
        match (self.system, self.ab_offset) {
            (Some(MagnitudeSystem::Vega), Some(offset)) => (offset, Some(MagnitudeSystem::Ab)),
            (system, _) => (0.0, system),
        }
    }
}

/// What a camera's file says of the magnitudes of one filter. What is absent follows from the names of the bands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterRules {
    /// Band of the catalogue that is nearest to the filter.
    pub band: Option<String>,
    /// Bluer and redder band of the colour.
    pub colour: Option<(String, String)>,
    /// Colour of a source whose magnitude needs no correction.
    pub reference_colour: Option<f64>,
    /// Used where the stars of a frame do not give one.
    pub colour_term: Option<f64>,
    pub colour_term_error: Option<f64>,
}

/// m(catalogue) = zero point − 2.5 log₁₀(electrons per second) + `value` · (colour − `reference_colour`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColourTerm {
    /// Bands of the catalogue whose difference is the colour: bluer, redder.
    pub bands: (String, String),
    pub reference_colour: f64,
    pub value: f64,
    /// Standard error.
    pub error: f64,
    /// By the stars of the frame; else as the camera's file gives it.
    pub is_fitted: bool,
}

/// Standard deviation of the colour of a source of which none is known, about the reference: power laws F_ν ∝ ν^−β with β from 0 to 2 lie
/// within 0.3 mag of that of β = 1 in g − r, r − i and J − H.
pub const UNKNOWN_COLOUR_SPREAD: f64 = 0.3;

impl ColourTerm {
    /// Systematic error of the magnitude of a source of unknown colour.
    pub fn unknown_colour_error(&self) -> f64 {
        self.value.abs() * UNKNOWN_COLOUR_SPREAD
    }
}

/// The scale that a frame's magnitudes are on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MagnitudeScale {
    /// Of the catalogue; empty where it has but one without a name.
    pub band: String,
    /// `None` where the catalogue does not say.
    pub system: Option<MagnitudeSystem>,
    pub colour_term: Option<ColourTerm>,
    /// Scatter of the stars beyond their stated errors, magnitudes.
    pub intrinsic_scatter: f64,
}

/// A zero point's worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameCalibration {
    /// Standard error of the zero point.
    pub error: f64,
    /// Robust scatter of the stars about it.
    pub scatter: f64,
    pub star_count: usize,
    pub scale: MagnitudeScale,
}
