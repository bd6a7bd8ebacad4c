//! Frames: images as they arrive, and what became of them.

use super::{CameraTraits, MagnitudeScale, SkyPosition, UtcTime};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameKind {
    Object,
    Bias,
    Dark,
    Flat,
    Focus,
    Other,
}

impl FrameKind {
    /// The letter in the telescope's file names (domain.md §4.1).
    pub fn letter(self) -> char {
        match self {
            Self::Object => 'o',
            Self::Bias => 'b',
            Self::Dark => 'd',
            Self::Flat => 'f',
            Self::Focus => 'u',
            Self::Other => 'x',
        }
    }

    /// Kind of a file-name letter.
    pub fn from_letter(letter: char) -> Option<Self> {
        match letter {
            'o' => Some(Self::Object),
            'b' => Some(Self::Bias),
            'd' => Some(Self::Dark),
            'f' => Some(Self::Flat),
            'u' => Some(Self::Focus),
            'x' => Some(Self::Other),
            _ => None,
        }
    }

    /// Kind of an EXPTYPE card, any case.
    pub fn from_exposure_type(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "object" | "firstalertobject" => Some(Self::Object),
            "bias" => Some(Self::Bias),
            "dark" => Some(Self::Dark),
            "flat" => Some(Self::Flat),
            "focus" | "astrometry" => Some(Self::Focus),
            _ => None,
        }
    }

    /// Whether the calibration master takes it.
    pub fn is_calibration(self) -> bool {
        matches!(self, Self::Bias | Self::Dark | Self::Flat)
    }

    /// Lower-case English name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Bias => "bias",
            Self::Dark => "dark",
            Self::Flat => "flat",
            Self::Focus => "focus",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Identity of a frame: its name and the hash of its data (interfaces.md §5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FrameIdentity {
    /// File name without directory and without `.fits[.fz|.gz]`: `20191016T042001C0o`.
    pub name: String,
    /// SHA-256 of the file, hexadecimal.
    pub data_sha256: String,
}

/// The cards the controller acts on, already mapped from the camera's dialect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameKeywords {
    pub kind: FrameKind,
    pub trigger_id: Option<String>,
    pub observer: Option<String>,
    pub object: Option<String>,
    pub instrument: String,
    pub filter: String,
    pub exposure_seconds: f64,
    /// Start of the exposure.
    pub date_obs: UtcTime,
    pub pointing: Option<SkyPosition>,
    /// Electrons per data number.
    pub gain_electrons: Option<f64>,
    pub read_noise_electrons: Option<f64>,
    /// Data numbers.
    pub saturation: Option<f64>,
    pub binning: u32,
    /// Columns, rows.
    pub size_pixels: (usize, usize),
    /// What its camera's file says.
    #[serde(default)]
    pub camera: CameraTraits,
}

impl FrameKeywords {
    /// The middle of the exposure.
    pub fn mid_exposure(&self) -> UtcTime {
        self.date_obs.plus_seconds(self.exposure_seconds / 2.0)
    }
}

/// How far a frame has come. Only forward, and only through the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameState {
    Arrived,
    Reduced,
    /// A calibration frame that went into the decision on a master.
    Combined,
    /// Could not be processed: the reason is beside it.
    Failed,
    Quarantined,
    /// A kind nothing is done with (focus, other).
    Ignored,
}

/// A frame as the journal knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameRecord {
    pub id: i64,
    pub identity: FrameIdentity,
    pub path: PathBuf,
    pub keywords: FrameKeywords,
    /// Name of the GP1 instance that has it (a section of gp1.cfg), or `calibration`.
    pub instance: String,
    /// Clock instant of the last byte.
    pub arrived_at: UtcTime,
    pub state: FrameState,
    pub reason: Option<String>,
    pub attempts: u32,
    pub quality: Option<FrameQuality>,
}

/// What was measured on a reduced frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameQuality {
    pub source_count: usize,
    /// Full width at half maximum of the stars' fitted profile, pixels.
    pub fwhm_pixels: f64,
    /// Sky level and its noise, electrons per pixel.
    pub sky_electrons: f64,
    pub sky_noise_electrons: f64,
    /// `solved`, `pointing` (the solution failed, the pointing stands) or `none`.
    pub astrometry: String,
    pub astrometry_matches: usize,
    /// Root mean square residual per axis.
    pub astrometry_rms_arcsec: Option<f64>,
    /// Of a frame that is not tied to the sky: name of the first frame whose stars it has, its own if none before had them.
    #[serde(default)]
    pub field: Option<String>,
    pub zero_point: Option<f64>,
    pub zero_point_scatter: Option<f64>,
    pub zero_point_stars: usize,
    /// Present with the zero point.
    #[serde(default)]
    pub magnitude_scale: Option<MagnitudeScale>,
    /// Magnitude of a source of ten times its noise.
    pub limiting_magnitude: Option<f64>,
    pub degradations: Vec<super::Degradation>,
    /// Wall seconds from the last byte to the journaled result. Excluded from comparisons of runs.
    pub latency_seconds: f64,
}
