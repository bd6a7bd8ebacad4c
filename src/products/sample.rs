//! A GP1 result for the tests of this room: four frames in two filters, a fading candidate and a second one.

use super::maker::ProductSettings;
use crate::model::{
    AnalysisResult, Candidate, CatalogueStatus, DeadlineName, FadingFit, FilterLimit, FrameUse,
    LightCurvePoint, ListedCandidate, PositionEstimate, Provenance, SkyPosition, T0Source, UtcTime,
    VettingReason,
};

pub(super) fn settings() -> ProductSettings {
    ProductSettings { telescope: "COLIBRI".to_owned(), ..ProductSettings::default() }
}

fn t0() -> UtcTime {
    UtcTime::parse("2026-11-01T00:00:00Z").unwrap()
}

fn frame(seconds: f64, filter: &str, zero_point: Option<f64>) -> FrameUse {
    let start = t0().plus_seconds(seconds);
    FrameUse {
        name: format!("{}C1o", start.compact()),
        instrument: "C1".to_owned(),
        filter: filter.to_owned(),
        start,
        exposure_seconds: 30.0,
        arrived_at: start.plus_seconds(32.0),
        stacked: true,
        reason: None,
        relative_zero_point: None,
        calibration: None,
        group: None,
        zero_point,
        limiting_magnitude: zero_point.map(|_| 19.5),
        fwhm_pixels: Some(2.5),
        astrometry: "solved".to_owned(),
    }
}

fn point(frame: &FrameUse, detected: bool, magnitude: f64) -> LightCurvePoint {
    LightCurvePoint {
        image: frame.name.clone(),
        filter: frame.filter.clone(),
        start: frame.start,
        end: frame.start.plus_seconds(frame.exposure_seconds),
        exposure_seconds: frame.exposure_seconds,
        detected,
        magnitude,
        magnitude_error: if detected { 0.02 } else { 0.0 },
        signal_to_noise: if detected { 50.0 } else { 1.5 },
        flux: 1.0,
        flux_error: 0.02,
        limiting_magnitude: 19.5,
    }
}

fn listed(rank: usize, position: SkyPosition, score: f64) -> ListedCandidate {
    let id = position.designation();
    ListedCandidate {
        rank,
        cutout: Some(format!("cutouts/{id}.png")),
        candidate: Candidate {
            id,
            position,
            position_error_arcsec: 0.12,
            light_curve: Vec::new(),
            fits: Vec::new(),
            reasons: vec![VettingReason::NotInCatalogue],
            score,
            in_search_region: true,
            offset_arcsec: Some(42.0),
            first_detected: t0().plus_seconds(125.0),
            detection_count: 1,
            minor_planet: None,
            set_aside: None,
        },
    }
}

fn limit(filter: &str, frames: &[&FrameUse], limiting_magnitude: f64) -> FilterLimit {
    FilterLimit {
        filter: filter.to_owned(),
        frame_count: frames.len(),
        exposure_seconds: frames.iter().map(|frame| frame.exposure_seconds).sum(),
        first_start: frames[0].start,
        last_end: frames[frames.len() - 1].start.plus_seconds(30.0),
        limiting_magnitude,
        image: format!("stack_{filter}"),
    }
}

pub(super) fn result() -> AnalysisResult {
    let frames = vec![
        frame(125.0, "r", Some(24.1)),
        frame(185.0, "r", Some(24.0)),
        frame(245.0, "i", None),
        frame(305.0, "r", Some(24.1)),
    ];
    let mut best = listed(1, SkyPosition::new(30.2695, 24.51), 0.8);
    best.candidate.light_curve = vec![
        point(&frames[0], true, 17.0),
        point(&frames[1], true, 17.4),
        point(&frames[2], true, 17.5),
        point(&frames[3], false, 19.5),
    ];
    best.candidate.detection_count = 3;
    best.candidate.reasons.push(VettingReason::Fading);
    best.candidate.fits.push(FadingFit {
        filter: "r".to_owned(),
        magnitude_at_60_seconds: 16.1,
        index: 1.0,
        index_error: 0.05,
        reduced_chi_square: 0.0,
        point_count: 2,
        first_seconds: 135.0,
        last_seconds: 195.0,
        chi_square_gain: 80.0,
    });
    let mut second = listed(2, SkyPosition::new(30.2801, 24.4988), 0.4);
    second.candidate.light_curve = vec![point(&frames[0], true, 18.2)];
    AnalysisResult {
        format_version: AnalysisResult::FORMAT_VERSION,
        burst_id: "sb26110101".to_owned(),
        deadline: DeadlineName::Minutes(10),
        due_at: t0().plus_seconds(600.0),
        t0: t0(),
        t0_source: T0Source::SequenceT0,
        opened_at: t0().plus_seconds(30.0),
        search_region: Some(PositionEstimate {
            position: SkyPosition::new(30.27, 24.51),
            radius_degrees: Some(0.05),
        }),
        field_centre: Some(SkyPosition::new(30.27, 24.51)),
        telescope: "COLIBRI".to_owned(),
        instrument: "C1".to_owned(),
        limits: vec![
            limit("r", &[&frames[0], &frames[1], &frames[3]], 20.5),
            limit("i", &[&frames[2]], 19.1),
        ],
        frames,
        catalogue_status: CatalogueStatus::Found,
        candidates: vec![best, second],
        set_aside: 3,
        completeness: Vec::new(),
        degradations: Vec::new(),
        empty_reason: None,
        provenance: Provenance {
            program: "gic".to_owned(),
            version: "0.1.0".to_owned(),
            instance: "svom".to_owned(),
            masters: vec![format!("bias:{}", "a1".repeat(32)), format!("flat:{}", "b2".repeat(32))],
            catalogue: "local.csv, 1204 stars".to_owned(),
            configuration_sha256: "c3".repeat(32),
        },
    }
}
