//! The result of a deadline whose analysis cannot be made: a deadline always yields products (design.md §3).

use crate::model::{
    AnalysisResult, CatalogueStatus, Deadline, Degradation, FrameRecord, FrameUse, Provenance,
    Trigger,
};

/// An empty list of candidates with the reason, and the frames that had arrived.
pub fn failed_analysis(
    trigger: &Trigger,
    deadline: &Deadline,
    frames: &[FrameRecord],
    provenance: Provenance,
    reason: &str,
) -> AnalysisResult {
    let uses = frames.iter().map(|frame| {
        let quality = frame.quality.as_ref();
        FrameUse {
            name: frame.identity.name.clone(),
            instrument: frame.keywords.instrument.clone(),
            filter: frame.keywords.filter.clone(),
            start: frame.keywords.date_obs,
            exposure_seconds: frame.keywords.exposure_seconds,
            arrived_at: frame.arrived_at,
            stacked: false,
            reason: Some(reason.to_owned()),
            relative_zero_point: None,
            calibration: None,
            group: None,
            zero_point: quality.and_then(|quality| quality.zero_point),
            limiting_magnitude: quality.and_then(|quality| quality.limiting_magnitude),
            fwhm_pixels: quality.map(|quality| quality.fwhm_pixels),
            astrometry: quality.map_or_else(|| "none".to_owned(), |q| q.astrometry.clone()),
        }
    });
    let instrument = frames.first().map(|frame| frame.keywords.instrument.clone());
    AnalysisResult {
        format_version: AnalysisResult::FORMAT_VERSION,
        burst_id: trigger.burst_id.clone(),
        deadline: deadline.name,
        due_at: deadline.due_at,
        t0: trigger.t0,
        t0_source: trigger.t0_source,
        opened_at: trigger.opened_at,
        search_region: trigger.best_position,
        field_centre: None,
        telescope: String::new(),
        instrument: instrument.unwrap_or_default(),
        frames: uses.collect(),
        limits: Vec::new(),
        catalogue_status: CatalogueStatus::Unavailable,
        candidates: Vec::new(),
        set_aside: 0,
        completeness: Vec::new(),
        degradations: vec![Degradation::new("FAILED", format!("the analysis failed: {reason}"))],
        empty_reason: Some(format!("the analysis failed: {reason}")),
        provenance,
    }
}
