//! Calibration masters.

use super::UtcTime;
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MasterKind {
    Bias,
    Dark,
    Flat,
}

impl fmt::Display for MasterKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bias => "bias",
            Self::Dark => "dark",
            Self::Flat => "flat",
        })
    }
}

/// The seven figures of a master (seed 003, with `MEDIANDIF` as it spells it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MasterStatistics {
    pub mean: f64,
    pub median: f64,
    pub rms: f64,
    /// Against the master in force before; absent for the first one.
    pub mean_difference: Option<f64>,
    pub median_difference: Option<f64>,
    pub rms_difference: Option<f64>,
}

/// A measured figure with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub value: f64,
    pub error: f64,
}

/// A frame that is not in a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub name: String,
    pub reason: String,
}

/// What was measured on the frames of a master.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MasterFigures {
    /// Lowest and highest median of the frames, data numbers: as they are (bias), above bias (dark, flat).
    pub level_dn: Option<(f64, f64)>,
    /// Noise of one reading, data numbers, from differences of bias frames.
    pub read_noise_dn: Option<f64>,
    /// Electrons per data number, from differences of flats (photon transfer).
    pub gain_electrons: Option<Measured>,
    /// Pairs of flats it was measured on.
    pub gain_pairs: usize,
    /// Robust deviation of the master of every other frame from that of the others.
    pub half_difference: Option<f64>,
    /// Of the pixels of the master, 1 and 99 per cent.
    pub percentiles: Option<(f64, f64)>,
    pub left_out: Vec<LeftOut>,
}

/// A master image: candidate, in force, or old.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Master {
    pub kind: MasterKind,
    pub instrument: String,
    /// Empty for bias and dark.
    pub filter: String,
    pub binning: u32,
    /// UTC date of the first raw frame, `YYYYMMDD`.
    pub night: String,
    /// Start of the first raw frame.
    pub date: UtcTime,
    pub frame_count: usize,
    pub path: PathBuf,
    pub sha256: String,
    pub statistics: MasterStatistics,
    #[serde(default)]
    pub figures: MasterFigures,
    pub valid: bool,
    /// Why it was rejected, if it was.
    pub reason: Option<String>,
}
