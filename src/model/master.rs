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
    pub valid: bool,
    /// Why it was rejected, if it was.
    pub reason: Option<String>,
}
