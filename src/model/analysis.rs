//! The GP1 result: what the analysis of one deadline (or of one frame) says (interfaces.md §7).

use super::{
    Candidate, CatalogueStatus, DeadlineName, FrameCalibration, PositionEstimate, SkyPosition,
    T0Source, UtcTime,
};
use serde::{Deserialize, Serialize};

/// A stated rule by which a result is less than it should be (design.md §3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Degradation {
    /// At most eight characters, for headers: `NOBIAS`, `NODARK`, `NOFLAT`, `OLDBIAS`, `NOWCS`, `NOZP`,
    /// `NOCAT`, `PARTCAT`, `OLDCAT`, `NOFRAME`, `NOTMPL`, `LATE`.
    pub code: String,
    /// One sentence for people.
    pub reason: String,
}

impl Degradation {
    pub fn new(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into() }
    }
}

/// A frame and how it was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameUse {
    pub name: String,
    pub instrument: String,
    pub filter: String,
    pub start: UtcTime,
    pub exposure_seconds: f64,
    pub arrived_at: UtcTime,
    pub stacked: bool,
    /// Why it is not in the stack, if it is not.
    pub reason: Option<String>,
    pub zero_point: Option<f64>,
    /// In the scale of the first frame of its field where no catalogue calibrates it; else as `zero_point`.
    #[serde(default)]
    pub relative_zero_point: Option<f64>,
    /// What `zero_point` rests on.
    #[serde(default)]
    pub calibration: Option<FrameCalibration>,
    /// Which of the stacks of its camera and filter it belongs to, counted from 1.
    #[serde(default)]
    pub group: Option<usize>,
    pub limiting_magnitude: Option<f64>,
    pub fwhm_pixels: Option<f64>,
    pub astrometry: String,
}

/// Depth reached in one filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilterLimit {
    pub filter: String,
    pub frame_count: usize,
    pub exposure_seconds: f64,
    pub first_start: UtcTime,
    pub last_end: UtcTime,
    /// 10σ, of the deepest image of the filter (stack or frame).
    pub limiting_magnitude: f64,
    /// Name of that image.
    pub image: String,
}

/// What made the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    pub program: String,
    pub version: String,
    pub instance: String,
    /// SHA-256 of the masters in force, `kind:hash`.
    pub masters: Vec<String>,
    pub catalogue: String,
    pub configuration_sha256: String,
}

/// A candidate in its rank, with the file names of its cut-outs (relative to the result file).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListedCandidate {
    /// 1 is the best.
    pub rank: usize,
    #[serde(flatten)]
    pub candidate: Candidate,
    pub cutout: Option<String>,
}

/// The pre-scientific product of GP1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisResult {
    /// Version of this format; readers refuse what they do not know.
    pub format_version: u32,
    pub burst_id: String,
    pub deadline: DeadlineName,
    pub due_at: UtcTime,
    pub t0: UtcTime,
    pub t0_source: T0Source,
    pub opened_at: UtcTime,
    pub search_region: Option<PositionEstimate>,
    pub field_centre: Option<SkyPosition>,
    pub telescope: String,
    pub instrument: String,
    pub frames: Vec<FrameUse>,
    pub limits: Vec<FilterLimit>,
    pub catalogue_status: CatalogueStatus,
    pub candidates: Vec<ListedCandidate>,
    /// Detections that are in `candidates.fits` only, each with the reason why it is none ([`crate::model::Candidate::set_aside`]).
    #[serde(default)]
    pub set_aside: usize,
    /// One for each stack.
    #[serde(default)]
    pub completeness: Vec<InjectionStudy>,
    pub degradations: Vec<Degradation>,
    /// `nothing arrived`, …, when the list is empty.
    pub empty_reason: Option<String>,
    pub provenance: Provenance,
}

/// Artificial stars of one step of magnitude.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InjectionStep {
    pub brightest: f64,
    pub faintest: f64,
    pub injected: usize,
    /// Of which so many would be candidates.
    pub listed: usize,
}

impl InjectionStep {
    /// `None` where nothing was injected.
    pub fn share(&self) -> Option<f64> {
        (self.injected > 0).then(|| self.listed as f64 / self.injected as f64)
    }
}

/// What becomes of artificial stars in an image of a deadline, and what is found where nothing is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InjectionStudy {
    pub filter: String,
    /// `stack_w`.
    pub image: String,
    /// Magnitude of ten times the noise.
    pub limiting_magnitude: f64,
    /// Share of those listed that are as bright as that, to an eighth of a magnitude.
    pub at_ten_sigma: Option<f64>,
    /// Magnitude of which half are listed; `None` where they never are, or always.
    pub half_magnitude: Option<f64>,
    /// Sources in the negative of the image that would pass for candidates.
    pub false_detections: usize,
    /// From bright to faint.
    pub steps: Vec<InjectionStep>,
}

impl AnalysisResult {
    pub const FORMAT_VERSION: u32 = 1;

    /// The first-ranked counterpart candidate: inside the search region.
    pub fn best(&self) -> Option<&ListedCandidate> {
        self.candidates.iter().find(|listed| listed.candidate.in_search_region)
    }
}
