//! Frames with what was measured on them, and calibration masters.

use super::{clipped, rounded};
use crate::model::{
    FrameKind, FrameQuality, FrameRecord, FrameState, Master, MasterKind, UtcTime,
    normalise_burst_id,
};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrameView {
    pub name: String,
    /// Section of gp1.cfg that has it, or `calibration`.
    pub instance: String,
    pub kind: FrameKind,
    pub instrument: String,
    pub filter: String,
    pub exposure_seconds: Option<f64>,
    /// Start of the exposure.
    pub started_at: UtcTime,
    pub arrived_at: UtcTime,
    /// Normalised burst id of the header.
    pub burst: Option<String>,
    pub state: FrameState,
    pub reason: Option<String>,
    pub attempts: u32,
    pub quality: Option<QualityView>,
}

/// The figures of a reduced frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityView {
    pub source_count: usize,
    pub fwhm_pixels: Option<f64>,
    pub sky_electrons: Option<f64>,
    /// `solved`, `pointing` or `none`.
    pub astrometry: String,
    pub astrometry_matches: usize,
    pub astrometry_rms_arcsec: Option<f64>,
    pub zero_point: Option<f64>,
    pub zero_point_scatter: Option<f64>,
    pub zero_point_stars: usize,
    /// 10σ.
    pub limiting_magnitude: Option<f64>,
    /// Codes, as `NOFLAT`.
    pub degradations: Vec<String>,
    /// Wall seconds from the last byte to the journaled result.
    pub latency_seconds: Option<f64>,
}

/// A calibration master and whether it is in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MasterView {
    pub kind: MasterKind,
    pub instrument: String,
    /// Empty for bias and dark.
    pub filter: String,
    pub binning: u32,
    /// `YYYYMMDD`
    pub night: String,
    pub frame_count: usize,
    pub in_force: bool,
    pub valid: bool,
    pub reason: Option<String>,
    pub median: Option<f64>,
    pub rms: Option<f64>,
    /// Against the master in force before.
    pub median_difference: Option<f64>,
    pub sha256: String,
}

impl From<FrameRecord> for FrameView {
    fn from(record: FrameRecord) -> Self {
        let keywords = record.keywords;
        Self {
            name: record.identity.name,
            instance: record.instance,
            kind: keywords.kind,
            instrument: keywords.instrument,
            filter: keywords.filter,
            exposure_seconds: rounded(keywords.exposure_seconds, 3),
            started_at: keywords.date_obs,
            arrived_at: record.arrived_at,
            burst: keywords.trigger_id.as_deref().map(normalise_burst_id),
            state: record.state,
            reason: record.reason.as_deref().map(clipped),
            attempts: record.attempts,
            quality: record.quality.as_ref().map(QualityView::from),
        }
    }
}

impl From<&FrameQuality> for QualityView {
    fn from(quality: &FrameQuality) -> Self {
        Self {
            source_count: quality.source_count,
            fwhm_pixels: rounded(quality.fwhm_pixels, 2),
            sky_electrons: rounded(quality.sky_electrons, 1),
            astrometry: quality.astrometry.clone(),
            astrometry_matches: quality.astrometry_matches,
            astrometry_rms_arcsec: quality.astrometry_rms_arcsec.and_then(|rms| rounded(rms, 3)),
            zero_point: quality.zero_point.and_then(|value| rounded(value, 3)),
            zero_point_scatter: quality.zero_point_scatter.and_then(|value| rounded(value, 3)),
            zero_point_stars: quality.zero_point_stars,
            limiting_magnitude: quality.limiting_magnitude.and_then(|value| rounded(value, 2)),
            degradations: quality.degradations.iter().map(|one| one.code.clone()).collect(),
            latency_seconds: rounded(quality.latency_seconds, 3),
        }
    }
}

impl From<(Master, bool)> for MasterView {
    fn from((master, in_force): (Master, bool)) -> Self {
        Self {
            kind: master.kind,
            instrument: master.instrument,
            filter: master.filter,
            binning: master.binning,
            night: master.night,
            frame_count: master.frame_count,
            in_force,
            valid: master.valid,
            reason: master.reason.as_deref().map(clipped),
            median: rounded(master.statistics.median, 4),
            rms: rounded(master.statistics.rms, 4),
            median_difference: master
                .statistics
                .median_difference
                .and_then(|value| rounded(value, 4)),
            sha256: master.sha256,
        }
    }
}
