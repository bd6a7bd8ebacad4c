//! Frames and masters of the made-up night.

use super::{BURST, after, region_centre};
use crate::{
    model::{
        Degradation, FrameIdentity, FrameKeywords, FrameKind, FrameQuality, FrameState, Master,
        MasterKind, MasterStatistics,
    },
    storage::journal::{
        JournalError,
        frames::{self, Arrival, ArrivedFrame},
        masters,
    },
};
use rusqlite::Transaction;
use std::path::PathBuf;

/// First exposure of the burst, seconds after T0, and the time from one to the next.
pub(super) const FIRST_EXPOSURE: f64 = 125.0;
pub(super) const CADENCE: f64 = 60.0;
pub(super) const EXPOSURE: f64 = 30.0;

fn arrived(start: f64, kind: FrameKind, filter: &str, instance: &str) -> ArrivedFrame {
    let date_obs = after(start);
    let name = format!("{}C1{}", date_obs.compact(), kind.letter());
    let exposure_seconds = if kind == FrameKind::Bias { 0.0 } else { EXPOSURE };
    let is_of_burst = instance == "svom";
    ArrivedFrame {
        path: PathBuf::from(format!("raw/20261101/{name}.fits")),
        identity: FrameIdentity { data_sha256: format!("{:0>64}", name.to_lowercase()), name },
        keywords: FrameKeywords {
            kind,
            trigger_id: is_of_burst.then(|| BURST.to_owned()),
            observer: None,
            object: Some(if is_of_burst { "SVOM 261101.133" } else { "SA98-670" }.to_owned()),
            instrument: "DDRAGO-B".to_owned(),
            filter: filter.to_owned(),
            exposure_seconds,
            date_obs,
            pointing: Some(region_centre()),
            gain_electrons: Some(1.1),
            read_noise_electrons: Some(4.2),
            saturation: Some(65_535.0),
            binning: 1,
            size_pixels: (1024, 1024),
            camera: Default::default(),
        },
        instance: instance.to_owned(),
        arrived_at: after(start + exposure_seconds + 4.0),
        state: FrameState::Arrived,
        reason: None,
    }
}

fn quality(index: usize) -> FrameQuality {
    // A slow drift and a small swing, so that no two rows are alike.
    let drift = index as f64 * 0.03;
    let swing = ((index * 7) % 5) as f64;
    let is_lost = index == 5;
    FrameQuality {
        source_count: 342 - 6 * index + (index * 13) % 17,
        fwhm_pixels: 3.1 + drift + 0.11 * swing,
        sky_electrons: 812.4 + 3.1 * index as f64,
        sky_noise_electrons: 28.9,
        astrometry: if is_lost { "pointing" } else { "solved" }.to_owned(),
        astrometry_matches: if is_lost { 0 } else { 118 - index },
        astrometry_rms_arcsec: (!is_lost).then_some(0.118 + 0.011 * swing),
        field: None,
        zero_point: Some(24.871 - 0.01 * swing),
        zero_point_scatter: Some(0.041),
        zero_point_stars: 97,
        magnitude_scale: None,
        limiting_magnitude: Some(19.62 - drift),
        degradations: if is_lost {
            vec![Degradation::new("NOWCS", "astrometry failed: the pointing stands")]
        } else {
            Vec::new()
        },
        latency_seconds: 0.684 + 0.093 * swing,
    }
}

pub(super) fn write_frames(transaction: &Transaction<'_>) -> Result<(), JournalError> {
    for index in 0..6 {
        let start = -840.0 + 10.0 * f64::from(index);
        let kind = if index < 3 { FrameKind::Bias } else { FrameKind::Flat };
        let filter = if index < 3 { "" } else { "r" };
        let id = insert(transaction, &arrived(start, kind, filter, "calibration"))?;
        frames::set_state(transaction, id, FrameState::Combined, None)?;
    }
    for index in 0..3 {
        let start = -400.0 + CADENCE * index as f64;
        let id = insert(transaction, &arrived(start, FrameKind::Object, "r", "colibri"))?;
        frames::set_reduced(transaction, id, &quality(index + 20), &PathBuf::from("calibrated/c"))?;
    }
    let mut focus = arrived(-120.0, FrameKind::Focus, "r", "colibri");
    focus.state = FrameState::Ignored;
    focus.reason = Some("focus frames are left alone".to_owned());
    insert(transaction, &focus)?;
    for index in 0_usize..11 {
        let start = FIRST_EXPOSURE + CADENCE * index as f64;
        let filter = if index.is_multiple_of(2) { "r" } else { "i" };
        let id = insert(transaction, &arrived(start, FrameKind::Object, filter, "svom"))?;
        match index {
            4 => {
                frames::begin_attempt(transaction, id)?;
                frames::begin_attempt(transaction, id)?;
                let reason = "the worker stopped twice: set aside";
                frames::set_state(transaction, id, FrameState::Quarantined, Some(reason))?;
            }
            10 => {}
            _ => {
                let path = PathBuf::from("calibrated/26110101/DDRAGO-B/r/reduced.fits");
                frames::set_reduced(transaction, id, &quality(index), &path)?;
            }
        }
    }
    Ok(())
}

fn insert(transaction: &Transaction<'_>, frame: &ArrivedFrame) -> Result<i64, JournalError> {
    Ok(match frames::insert(transaction, frame)? {
        Arrival::New(id) | Arrival::Known(id) | Arrival::NewVersion(id) => id,
    })
}

pub(super) fn write_masters(transaction: &Transaction<'_>) -> Result<(), JournalError> {
    for (index, (kind, filter, median, reason)) in [
        (MasterKind::Bias, "", 998.2, None),
        (MasterKind::Dark, "", 0.021, None),
        (MasterKind::Flat, "r", 1.0, None),
        (MasterKind::Flat, "i", 1.0, None),
        (MasterKind::Flat, "i", 0.79, Some("median differs by 0.21 from the master in force")),
    ]
    .into_iter()
    .enumerate()
    {
        let master = Master {
            kind,
            instrument: "DDRAGO-B".to_owned(),
            filter: filter.to_owned(),
            binning: 1,
            night: "20261101".to_owned(),
            date: after(-840.0),
            frame_count: 9,
            path: PathBuf::from(format!("masters/{kind}/current/{index}.fits")),
            sha256: format!("{index:02x}").repeat(32),
            statistics: MasterStatistics {
                mean: median + 0.001,
                median,
                rms: 0.0123,
                mean_difference: None,
                median_difference: (index > 2).then_some(median - 1.0),
                rms_difference: None,
            },
            figures: Default::default(),
            valid: reason.is_none(),
            reason: reason.map(str::to_owned),
        };
        masters::save(transaction, &master, after(-899.0))?;
    }
    Ok(())
}
