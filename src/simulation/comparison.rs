//! An analysis held against the truth.

use super::sky::SourceKind;
use super::truth::Truth;
use crate::model::{AnalysisResult, ListedCandidate, SkyPosition};
use serde::{Deserialize, Serialize};

/// A candidate is the object nearest to it within this.
/// What an early result may be off by and still be right.
const LARGEST_OFFSET_ARCSEC: f64 = 1.0;
const LARGEST_RESIDUAL: f64 = 0.1;
const LARGEST_SIGMAS: f64 = 3.0;

/// Distance at which a candidate is the true object.
pub const MATCH_RADIUS_ARCSEC: f64 = 1.5;
/// Width of the steps in which completeness is counted, magnitudes.
const COMPLETENESS_STEP: f64 = 0.5;

/// The afterglow's magnitude on one frame, measured and true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MagnitudeResidual {
    pub image: String,
    pub measured: f64,
    /// As the analysis states it.
    pub error: f64,
    pub truth: f64,
    /// Measured minus true.
    pub residual: f64,
    /// The same in stated errors; zero when none is stated.
    pub sigmas: f64,
}

/// How many of the new sources of a range of magnitudes are listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompletenessStep {
    pub brightest: f64,
    pub faintest: f64,
    pub total: usize,
    pub listed: usize,
}

/// What an analysis got right and wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthComparison {
    /// Rank among all candidates.
    pub afterglow_rank: Option<usize>,
    /// Rank among the counterpart candidates: those in the search region.
    pub afterglow_counterpart_rank: Option<usize>,
    pub afterglow_offset_arcsec: Option<f64>,
    /// Of the frames on which it was detected, in order of the light curve. Stacks are left out: the source fades.
    pub residuals: Vec<MagnitudeResidual>,
    /// Frames on which it was measured but not detected.
    pub not_detected: usize,
    pub new_sources: usize,
    pub new_sources_listed: usize,
    pub best_new_source_rank: Option<usize>,
    /// Candidates at the place of a star or galaxy, which are real but not new.
    pub known_objects_listed: usize,
    /// Ids of candidates where there is nothing.
    pub false_candidates: Vec<String>,
    /// By magnitude, of those steps in which there are new sources.
    pub completeness: Vec<CompletenessStep>,
}

impl TruthComparison {
    /// Largest residual without its sign, magnitudes.
    pub fn largest_residual(&self) -> Option<f64> {
        self.residuals.iter().map(|one| one.residual.abs()).reduce(f64::max)
    }

    /// What an early result must show and does not: the afterglow first among the counterpart candidates, where it is, as bright as
    /// it is.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        match self.afterglow_counterpart_rank {
            Some(1) => {}
            Some(rank) => complaints.push(format!("the afterglow is number {rank}, not the first")),
            None => complaints.push("the afterglow is not among the candidates".to_owned()),
        }
        if let Some(offset) = self.afterglow_offset_arcsec
            && offset > LARGEST_OFFSET_ARCSEC
        {
            complaints.push(format!("the afterglow is {offset:.2} arcsec from where it is"));
        }
        for residual in &self.residuals {
            if residual.residual.abs() > LARGEST_RESIDUAL || residual.sigmas.abs() > LARGEST_SIGMAS
            {
                complaints.push(format!(
                    "on {} the afterglow is off by {:+.3} mag ({:+.1} sigma)",
                    residual.image, residual.residual, residual.sigmas
                ));
            }
        }
        complaints
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let rank = match self.afterglow_counterpart_rank {
            Some(rank) => format!("afterglow number {rank}"),
            None => "afterglow not listed".to_owned(),
        };
        let offset = self
            .afterglow_offset_arcsec
            .map_or_else(String::new, |offset| format!(", {offset:.2} arcsec off"));
        let magnitudes = match (self.largest_residual(), self.largest_sigmas()) {
            (Some(magnitudes), Some(sigmas)) => {
                format!(", magnitudes within {magnitudes:.3} and {sigmas:.1} sigma")
            }
            _ => String::new(),
        };
        format!(
            "{rank}{offset}{magnitudes}; {} of {} new sources listed, {} false",
            self.new_sources_listed,
            self.new_sources,
            self.false_candidates.len()
        )
    }

    /// Largest residual without its sign, stated errors.
    pub fn largest_sigmas(&self) -> Option<f64> {
        self.residuals.iter().map(|one| one.sigmas.abs()).reduce(f64::max)
    }
}

/// What stands at the place of a candidate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Afterglow,
    Object(usize),
    Nothing,
}

/// Compares an analysis with the truth.
pub fn compare(analysis: &AnalysisResult, truth: &Truth) -> TruthComparison {
    let mut ranked: Vec<(&ListedCandidate, Found)> = analysis
        .candidates
        .iter()
        .map(|listed| (listed, identify(listed.candidate.position, truth)))
        .collect();
    ranked.sort_by_key(|(listed, _)| listed.rank);

    let mut comparison = TruthComparison {
        afterglow_rank: None,
        afterglow_counterpart_rank: None,
        afterglow_offset_arcsec: None,
        residuals: Vec::new(),
        not_detected: 0,
        new_sources: truth.new_sources().count(),
        new_sources_listed: 0,
        best_new_source_rank: None,
        known_objects_listed: 0,
        false_candidates: Vec::new(),
        completeness: Vec::new(),
    };
    let mut listed_new = vec![false; truth.objects.len()];
    let mut counterpart_rank = 0;
    for (listed, found) in &ranked {
        if listed.candidate.in_search_region {
            counterpart_rank += 1;
        }
        match found {
            Found::Nothing => comparison.false_candidates.push(listed.candidate.id.clone()),
            Found::Afterglow => {
                // A second candidate on the same source adds nothing.
                if comparison.afterglow_rank.is_some() {
                    continue;
                }
                comparison.afterglow_rank = Some(listed.rank);
                comparison.afterglow_counterpart_rank =
                    listed.candidate.in_search_region.then_some(counterpart_rank);
                comparison.afterglow_offset_arcsec = truth
                    .afterglow_position
                    .map(|position| position.separation_arcsec(listed.candidate.position));
                (comparison.residuals, comparison.not_detected) =
                    residuals(analysis, listed, truth);
            }
            Found::Object(index) => {
                let is_new = truth
                    .objects
                    .get(*index)
                    .is_some_and(|object| object.kind == SourceKind::NewSource);
                if !is_new {
                    comparison.known_objects_listed += 1;
                } else if let Some(flag) = listed_new.get_mut(*index) {
                    *flag = true;
                    comparison.best_new_source_rank.get_or_insert(listed.rank);
                }
            }
        }
    }
    comparison.new_sources_listed = listed_new.iter().filter(|flag| **flag).count();
    comparison.completeness = completeness(truth, &listed_new);
    comparison
}

fn identify(position: SkyPosition, truth: &Truth) -> Found {
    let mut nearest = (MATCH_RADIUS_ARCSEC, Found::Nothing);
    if let Some(afterglow) = truth.afterglow_position {
        let distance = afterglow.separation_arcsec(position);
        if distance <= nearest.0 {
            nearest = (distance, Found::Afterglow);
        }
    }
    for (index, object) in truth.objects.iter().enumerate() {
        let distance = object.position().separation_arcsec(position);
        if distance < nearest.0 {
            nearest = (distance, Found::Object(index));
        }
    }
    nearest.1
}

/// The afterglow's residuals on single frames, and on how many it was not detected.
fn residuals(
    analysis: &AnalysisResult,
    listed: &ListedCandidate,
    truth: &Truth,
) -> (Vec<MagnitudeResidual>, usize) {
    let mut residuals = Vec::new();
    let mut not_detected = 0;
    for point in &listed.candidate.light_curve {
        if !analysis.frames.iter().any(|frame| frame.name == point.image) {
            continue;
        }
        if !point.detected {
            not_detected += 1;
            continue;
        }
        let Some(magnitude) = truth.afterglow_magnitude(&point.image, point.middle()) else {
            continue;
        };
        let residual = point.magnitude - magnitude;
        let sigmas =
            if point.magnitude_error > 0.0 { residual / point.magnitude_error } else { 0.0 };
        residuals.push(MagnitudeResidual {
            image: point.image.clone(),
            measured: point.magnitude,
            error: point.magnitude_error,
            truth: magnitude,
            residual,
            sigmas,
        });
    }
    (residuals, not_detected)
}

fn completeness(truth: &Truth, listed: &[bool]) -> Vec<CompletenessStep> {
    let mut steps = std::collections::BTreeMap::new();
    for (object, listed) in truth.objects.iter().zip(listed) {
        if object.kind == SourceKind::NewSource {
            let step = (object.magnitude / COMPLETENESS_STEP).floor() as i64;
            let (total, found) = steps.entry(step).or_insert((0, 0));
            *total += 1;
            *found += usize::from(*listed);
        }
    }
    steps
        .into_iter()
        .map(|(step, (total, listed))| CompletenessStep {
            brightest: step as f64 * COMPLETENESS_STEP,
            faintest: (step + 1) as f64 * COMPLETENESS_STEP,
            total,
            listed,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Candidate, CatalogueStatus, DeadlineName, FrameUse, LightCurvePoint, Provenance, T0Source,
        UtcTime,
    };
    use crate::simulation::truth::TrueObject;
    use std::collections::BTreeMap;

    const PLACE: SkyPosition = SkyPosition { ra_degrees: 30.0, dec_degrees: 24.0 };

    fn truth() -> Truth {
        let object = |id: &str, kind, east: f64, magnitude| {
            let position = PLACE.offset_arcsec(east, 0.0);
            TrueObject {
                id: id.to_owned(),
                kind,
                ra_degrees: position.ra_degrees,
                dec_degrees: position.dec_degrees,
                magnitude,
            }
        };
        Truth {
            format_version: 1,
            seed: None,
            t0: None,
            afterglow_position: Some(PLACE),
            afterglow: None,
            frame_magnitudes: BTreeMap::from([("a".to_owned(), 17.0), ("b".to_owned(), 17.4)]),
            objects: vec![
                object("S0", SourceKind::Star, 1.2, 21.5),
                object("N0", SourceKind::NewSource, 30.0, 16.7),
                object("N1", SourceKind::NewSource, 60.0, 20.6),
                object("N2", SourceKind::NewSource, 90.0, 20.9),
            ],
        }
    }

    fn point(image: &str, magnitude: f64, detected: bool) -> LightCurvePoint {
        let start = UtcTime::parse("2026-11-01T04:20:05").unwrap();
        LightCurvePoint {
            image: image.to_owned(),
            filter: "w".to_owned(),
            start,
            end: start.plus_seconds(55.0),
            exposure_seconds: 55.0,
            detected,
            magnitude,
            magnitude_error: if detected { 0.02 } else { 0.0 },
            signal_to_noise: 50.0,
            flux: 1.0,
            flux_error: 0.02,
            limiting_magnitude: 19.5,
        }
    }

    fn candidate(
        rank: usize,
        east: f64,
        inside: bool,
        light_curve: Vec<LightCurvePoint>,
    ) -> ListedCandidate {
        let first_detected = UtcTime::parse("2026-11-01T04:20:05").unwrap();
        ListedCandidate {
            rank,
            candidate: Candidate {
                id: format!("C{rank}"),
                position: PLACE.offset_arcsec(east, 0.0),
                position_error_arcsec: 0.1,
                light_curve,
                fits: Vec::new(),
                reasons: Vec::new(),
                score: 0.5,
                in_search_region: inside,
                offset_arcsec: None,
                first_detected,
                detection_count: 2,
                minor_planet: None,
                set_aside: None,
            },
            cutout: None,
        }
    }

    fn analysis(candidates: Vec<ListedCandidate>) -> AnalysisResult {
        let instant = UtcTime::parse("2026-11-01T04:23:00").unwrap();
        let frame = |name: &str| FrameUse {
            name: name.to_owned(),
            instrument: "C0".to_owned(),
            filter: "w".to_owned(),
            start: instant,
            exposure_seconds: 55.0,
            arrived_at: instant,
            stacked: true,
            reason: None,
            relative_zero_point: None,
            calibration: None,
            group: None,
            zero_point: None,
            limiting_magnitude: None,
            fwhm_pixels: None,
            astrometry: "solved".to_owned(),
        };
        AnalysisResult {
            format_version: AnalysisResult::FORMAT_VERSION,
            burst_id: "sb26110101".to_owned(),
            deadline: DeadlineName::First,
            due_at: instant,
            t0: instant,
            t0_source: T0Source::SequenceT0,
            opened_at: instant,
            search_region: None,
            field_centre: None,
            telescope: "COATLI".to_owned(),
            instrument: "C0".to_owned(),
            frames: vec![frame("a"), frame("b"), frame("c")],
            limits: Vec::new(),
            catalogue_status: CatalogueStatus::Found,
            candidates,
            set_aside: 0,
            completeness: Vec::new(),
            degradations: Vec::new(),
            empty_reason: None,
            provenance: Provenance {
                program: "gic".to_owned(),
                version: "0".to_owned(),
                instance: "svom".to_owned(),
                masters: Vec::new(),
                catalogue: String::new(),
                configuration_sha256: String::new(),
            },
        }
    }

    #[test]
    fn every_kind_of_candidate_is_told_apart() {
        let curve = vec![
            point("a", 17.03, true),
            point("b", 17.36, true),
            point("c", 19.5, false),
            point("stack", 17.9, true),
        ];
        let comparison = compare(
            &analysis(vec![
                candidate(1, 30.2, false, Vec::new()),
                candidate(2, 0.3, true, curve),
                candidate(3, 45.0, true, Vec::new()),
                candidate(4, 59.5, true, Vec::new()),
                candidate(5, 1.3, true, Vec::new()),
            ]),
            &truth(),
        );
        assert_eq!(comparison.afterglow_rank, Some(2));
        assert_eq!(comparison.afterglow_counterpart_rank, Some(1));
        assert!((comparison.afterglow_offset_arcsec.unwrap() - 0.3).abs() < 1e-4);
        assert_eq!(comparison.residuals.len(), 2, "neither the limit nor the stack");
        assert!((comparison.residuals[0].residual - 0.03).abs() < 1e-9);
        assert!((comparison.residuals[0].sigmas - 1.5).abs() < 1e-6);
        assert!((comparison.largest_residual().unwrap() - 0.04).abs() < 1e-9);
        assert!((comparison.largest_sigmas().unwrap() - 2.0).abs() < 1e-6);
        assert_eq!(comparison.not_detected, 1);
        assert_eq!(comparison.false_candidates, ["C3"]);
        assert_eq!((comparison.new_sources, comparison.new_sources_listed), (3, 2));
        assert_eq!(comparison.best_new_source_rank, Some(1));
        assert_eq!(comparison.known_objects_listed, 1, "the star 1.2″ away");
        let steps: Vec<(f64, usize, usize)> = comparison
            .completeness
            .iter()
            .map(|step| (step.brightest, step.total, step.listed))
            .collect();
        assert_eq!(steps, [(16.5, 1, 1), (20.5, 2, 1)]);
    }

    #[test]
    fn an_empty_list_finds_nothing() {
        let comparison = compare(&analysis(Vec::new()), &truth());
        assert_eq!(comparison.afterglow_rank, None);
        assert_eq!(comparison.new_sources_listed, 0);
        assert_eq!(comparison.largest_sigmas(), None);
        assert!(comparison.false_candidates.is_empty());
    }

    #[test]
    fn the_law_is_used_at_mid_exposure_where_there_is_no_table() {
        let t0 = UtcTime::parse("2026-11-01T04:18:00").unwrap();
        let mut law = truth();
        law.frame_magnitudes.clear();
        law.t0 = Some(t0);
        law.afterglow = Some(crate::simulation::Afterglow {
            position: PLACE,
            magnitude_at_60_seconds: 16.0,
            decay_index: 1.0,
        });
        let listed = candidate(1, 0.0, true, vec![point("a", 17.0, true)]);
        let comparison = compare(&analysis(vec![listed]), &law);
        // 125 s + 27.5 s after T0.
        let expected = 16.0 + 2.5 * (152.5f64 / 60.0).log10();
        assert!((comparison.residuals[0].truth - expected).abs() < 1e-9);
    }
}
