//! Candidates: sources that are not in the catalogue, or vary (interfaces.md §9).

use super::{MinorPlanetMatch, SkyPosition, UtcTime};
use serde::{Deserialize, Serialize};

/// One measurement of a candidate on one frame (or stack).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LightCurvePoint {
    /// Name of the frame (`20191016T042001C0o`) or of the stack.
    pub image: String,
    pub filter: String,
    pub start: UtcTime,
    pub end: UtcTime,
    /// Sum of the exposures in it, seconds.
    pub exposure_seconds: f64,
    pub detected: bool,
    /// Magnitude when detected; otherwise the limiting magnitude of the image there.
    pub magnitude: f64,
    /// Zero when not detected.
    pub magnitude_error: f64,
    pub signal_to_noise: f64,
    /// Calibrated flux with its error, in units where magnitude 25 is 1: kept for forced photometry.
    pub flux: f64,
    pub flux_error: f64,
    pub limiting_magnitude: f64,
}

impl LightCurvePoint {
    pub fn middle(&self) -> UtcTime {
        self.start.plus_seconds(self.end.seconds_since(self.start) / 2.0)
    }
}

/// Power law F ∝ (t − T0)^(−α), that is m = m₁ + 2.5 α log₁₀((t − T0)/60 s).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FadingFit {
    pub filter: String,
    /// Magnitude at T0 + 60 s.
    pub magnitude_at_60_seconds: f64,
    pub index: f64,
    pub index_error: f64,
    /// χ² per degree of freedom; zero with two points.
    pub reduced_chi_square: f64,
    pub point_count: usize,
    /// First and last time used, seconds after T0.
    pub first_seconds: f64,
    pub last_seconds: f64,
    /// χ² of a constant source minus χ² of the power law: how much fading explains.
    pub chi_square_gain: f64,
}

/// Why a candidate is what it is; each has a weight in the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VettingReason {
    NotInCatalogue,
    BrighterThanCatalogue,
    Fading,
    Brightening,
    Constant,
    SeenOnce,
    /// On fewer than half of the frames that would show it.
    Intermittent,
    NearEdge,
    NearSaturated,
    NearMaskedPixels,
    SharperThanStars,
    WiderThanStars,
    InSearchRegion,
    OutsideSearchRegion,
    FainterThanCatalogueLimit,
    NearGalaxy,
    MinorPlanet,
    CatalogueUnavailable,
    /// It stands in the difference to a template.
    InDifference,
    /// The difference to a template shows no change there.
    InTemplate,
}

/// A candidate with its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// `JHHMMSS_DDMMSS`.
    pub id: String,
    pub position: SkyPosition,
    /// Standard error, arcseconds.
    pub position_error_arcsec: f64,
    pub light_curve: Vec<LightCurvePoint>,
    pub fits: Vec<FadingFit>,
    pub reasons: Vec<VettingReason>,
    /// 0 to 1, larger is more like the counterpart.
    pub score: f64,
    pub in_search_region: bool,
    /// Arcseconds from the centre of the search region, where there is one.
    pub offset_arcsec: Option<f64>,
    pub first_detected: UtcTime,
    pub detection_count: usize,
    /// Where a minor planet is predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor_planet: Option<MinorPlanetMatch>,
    /// What shows that no source in the sky is there, or none that can be told: it is kept in the tables and counted, but not listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<VettingReason>,
}

impl Candidate {
    /// First detected point of a filter.
    pub fn first_detection(&self, filter: &str) -> Option<&LightCurvePoint> {
        self.light_curve.iter().find(|point| point.detected && point.filter == filter)
    }
}
