//! The candidates and the search region as a DS9 region file (format of DS9 4.1).

use super::words::{number, sexagesimal};
use crate::model::AnalysisResult;
use std::fmt::Write;

/// Least radius of a circle, arcseconds: what the eye finds on a whole frame.
const LEAST_RADIUS_ARCSEC: f64 = 3.0;

/// Red for the first, orange to the fifth, yellow to the twentieth, then green.
fn colour(rank: usize) -> &'static str {
    match rank {
        1 => "red",
        2..=5 => "orange",
        6..=20 => "yellow",
        _ => "green",
    }
}

/// A text for `text={…}`: braces and line ends would end it.
fn label(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '{' => '(',
            '}' => ')',
            letter if letter.is_control() || !letter.is_ascii() => '?',
            letter => letter,
        })
        .collect()
}

/// One circle for each listed candidate, named `rank id`, and the search region dashed. Positions are ICRS, which DS9's fk5 is to 0.03″.
pub fn region_file(result: &AnalysisResult, candidate_count: usize) -> String {
    let mut text = format!(
        "# Region file format: DS9 version 4.1\n# {} {}: {} of {candidate_count} candidates, all of which are in candidates.fits\n\
         global color=green dashlist=8 3 width=1 font=\"helvetica 10 normal roman\" select=1 highlite=1 dash=0 fixed=0 edit=1 move=0 delete=1 include=1 source=1\nfk5\n",
        label(&result.burst_id),
        result.deadline,
        result.candidates.len()
    );
    let is_place = |position: crate::model::SkyPosition| {
        position.ra_degrees.is_finite() && position.dec_degrees.is_finite()
    };
    if let Some(region) = result.search_region.filter(|region| is_place(region.position)) {
        let (ra, dec) = (region.position.ra_degrees, region.position.dec_degrees);
        let _ = match region.radius_degrees.filter(|radius| radius.is_finite() && *radius > 0.0) {
            Some(radius) => writeln!(
                text,
                "circle({ra:.7},{dec:.7},{:.3}\") # color=cyan dash=1 text={{search region}}",
                radius * 3600.0
            ),
            None => writeln!(
                text,
                "point({ra:.7},{dec:.7}) # point=cross color=cyan text={{search region}}"
            ),
        };
    }
    for listed in &result.candidates {
        let candidate = &listed.candidate;
        if !is_place(candidate.position) {
            continue;
        }
        let radius = (3.0 * candidate.position_error_arcsec).max(LEAST_RADIUS_ARCSEC);
        let radius = if radius.is_finite() { radius } else { LEAST_RADIUS_ARCSEC };
        let (ra, dec) = sexagesimal(candidate.position);
        let _ = writeln!(
            text,
            "# rank {} score {} at {ra} {dec}\ncircle({:.7},{:.7},{radius:.3}\") # color={} width={} text={{{} {}}}",
            listed.rank,
            number(candidate.score, 3),
            candidate.position.ra_degrees,
            candidate.position.dec_degrees,
            colour(listed.rank),
            if listed.rank == 1 { 2 } else { 1 },
            listed.rank,
            label(&candidate.id)
        );
    }
    text
}
