//! What a result comes to, in a word and in a sentence.

use super::light_curve_plot::strongest;
use super::words::{after_t0, angle, number, plural, with_error};
use crate::model::{AnalysisResult, ListedCandidate, VettingReason};

/// A fading candidate from this score on stands out.
pub const OUTSTANDING_SCORE: f64 = 0.5;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict<'a> {
    /// The first candidate of the search region fades, and its score is high.
    Stands(&'a ListedCandidate),
    /// There are candidates; this is the first of them.
    Unclear(&'a ListedCandidate),
    Nothing,
}

pub fn verdict(result: &AnalysisResult) -> Verdict<'_> {
    let Some(best) = result.best().or(result.candidates.first()) else { return Verdict::Nothing };
    let candidate = &best.candidate;
    let stands = candidate.in_search_region
        && candidate.score >= OUTSTANDING_SCORE
        && candidate.reasons.contains(&VettingReason::Fading)
        && candidate.minor_planet.is_none();
    if stands { Verdict::Stands(best) } else { Verdict::Unclear(best) }
}

/// The verdict in a sentence or two.
pub fn in_words(result: &AnalysisResult, candidate_count: usize) -> String {
    let described = |listed: &ListedCandidate| {
        let candidate = &listed.candidate;
        let mut parts = Vec::new();
        if let Some(point) = candidate.light_curve.iter().find(|point| point.detected) {
            parts.push(format!(
                "{} = {} at {}",
                point.filter,
                with_error(point.magnitude, point.magnitude_error, 2),
                after_t0(point.middle().seconds_since(result.t0))
            ));
        }
        if let Some(fit) = strongest(candidate) {
            parts.push(format!("decay index α = {}", with_error(fit.index, fit.index_error, 2)));
        }
        if let Some(offset) = candidate.offset_arcsec {
            parts.push(format!(
                "{} from the centre of the search region, {} it",
                angle(offset),
                if candidate.in_search_region { "inside" } else { "outside" }
            ));
        }
        parts.push(format!("score {}", number(candidate.score, 2)));
        parts.join("; ")
    };
    match verdict(result) {
        Verdict::Stands(best) => format!(
            "One fading source stands out among {}: {} ({}).",
            plural(candidate_count, "candidate"),
            best.candidate.id,
            described(best)
        ),
        Verdict::Unclear(best) => format!(
            "No fading source stands out among {}. The first is {} ({}).",
            plural(candidate_count, "candidate"),
            best.candidate.id,
            described(best)
        ),
        Verdict::Nothing => format!(
            "There is no candidate: {}.",
            result.empty_reason.as_deref().unwrap_or("no new or varying source was found")
        ),
    }
}
