//! PO and QPO: one row for each counterpart candidate in rank order.

use super::header_values::counterparts;
use super::image_id;
use super::placement::Row;
use crate::model::{AnalysisResult, LightCurvePoint, ListedCandidate, VettingReason};

/// Rows of PO and of QPO, which differ in the frames the result was made from.
pub(super) fn positions(result: &AnalysisResult) -> Vec<Row> {
    let candidates = counterparts(result);
    let best_score = candidates.first().map_or(0.0, |listed| listed.candidate.score);
    candidates
        .iter()
        .enumerate()
        .map(|(index, listed)| row(result, index + 1, listed, best_score))
        .collect()
}

fn row(result: &AnalysisResult, rank: usize, listed: &ListedCandidate, best_score: f64) -> Row {
    let candidate = &listed.candidate;
    let (longitude, latitude) = candidate.position.galactic_degrees();
    let first: Option<&LightCurvePoint> = candidate
        .light_curve
        .iter()
        .filter(|point| point.detected)
        .min_by_key(|point| (!image_id::is_single(result, point), point.start, point.end));
    let image = first.map(|point| image_id::of_point(result, point)).unwrap_or_default();
    let reasons: Vec<String> = candidate.reasons.iter().copied().map(reason_name).collect();
    vec![
        ("CANDRANK", rank.into()),
        ("OBJECTID", candidate.id.as_str().into()),
        ("RA", candidate.position.ra_degrees.into()),
        ("DEC", candidate.position.dec_degrees.into()),
        ("ERRPOS", candidate.position_error_arcsec.into()),
        ("GLON", longitude.into()),
        ("GLAT", latitude.into()),
        ("FOM", figure_of_merit(rank, candidate.score, best_score).into()),
        ("SCORE", candidate.score.into()),
        ("OFFSET", candidate.offset_arcsec.unwrap_or_default().into()),
        ("NDETECT", candidate.detection_count.into()),
        ("IMAGEID", image.into()),
        ("FCHART", listed.cutout.as_deref().unwrap_or_default().into()),
        ("REASONS", reasons.join(", ").into()),
    ]
}

/// 1 for the first candidate (seed 003), for the others the ratio of their score to its.
fn figure_of_merit(rank: usize, score: f64, best_score: f64) -> f64 {
    if rank == 1 {
        1.0
    } else if best_score > 0.0 {
        (score / best_score).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// As the GP1 result writes it: `not-in-catalogue`.
fn reason_name(reason: VettingReason) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{reason:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::sample;
    use crate::products::value::Value;

    #[test]
    fn candidates_stand_in_rank_order_with_the_first_at_merit_one() {
        let mut result = sample::result();
        result.candidates.swap(0, 1);
        let rows = positions(&result);
        assert_eq!(rows.len(), 2);
        let cell = |row: usize, name: &str| {
            rows[row].iter().find(|(column, _)| *column == name).unwrap().1.clone()
        };
        assert_eq!(cell(0, "OBJECTID"), Value::from("J020104_243036"));
        assert_eq!(cell(0, "FOM"), Value::from(1.0));
        assert_eq!(cell(1, "FOM"), Value::from(0.5));
        assert_eq!(cell(0, "IMAGEID"), Value::from("S_r_20261101000205"));
        assert_eq!(cell(0, "REASONS"), Value::from("not-in-catalogue, fading"));
        assert_eq!(cell(0, "FCHART"), Value::from("cutouts/J020104_243036.png"));
        // astropy 8.0.2: SkyCoord(30.2695, 24.51, unit='deg').galactic. It takes the pole from FK4, the Hipparcos
        // definition rounds it to 1e-5 degrees: they differ by 0.03 arcsec.
        let (Value::Float(longitude), Value::Float(latitude)) = (cell(0, "GLON"), cell(0, "GLAT"))
        else {
            panic!("numbers")
        };
        assert!((longitude - GLON_BY_ASTROPY).abs() < 1e-5, "{longitude}");
        assert!((latitude - GLAT_BY_ASTROPY).abs() < 1e-5, "{latitude}");
    }

    const GLON_BY_ASTROPY: f64 = 142.51900509167706;
    const GLAT_BY_ASTROPY: f64 = -35.69894924374012;

    #[test]
    fn merit_stays_between_zero_and_one() {
        assert_eq!(figure_of_merit(1, 0.0, 0.0), 1.0);
        assert_eq!(figure_of_merit(2, 0.4, 0.8), 0.5);
        assert_eq!(figure_of_merit(2, 0.9, 0.8), 1.0);
        assert_eq!(figure_of_merit(2, 0.9, 0.0), 0.0);
    }
}
