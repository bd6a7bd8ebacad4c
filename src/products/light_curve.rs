//! LC and QLC: one row for each counterpart candidate, filter and observation.

use super::header_values::counterparts;
use super::image_id;
use super::placement::Row;
use crate::model::{AnalysisResult, Degradation, LightCurvePoint};

/// Observations that begin before this many seconds after T0 are in the quick light curve (seed 003: delta max = 300).
const QUICK_SECONDS: f64 = 300.0;

/// Rows of LC: filters in the configured order, others after them by name; in a filter by start.
pub(super) fn light_curve(result: &AnalysisResult, filters: &[String]) -> Vec<Row> {
    rows(result, filters, |_| true)
}

/// Rows of QLC. Where no observation begins in the first 300 s (a late slew), all of them, and the degradation that says so.
pub(super) fn quick_light_curve(
    result: &AnalysisResult,
    filters: &[String],
) -> (Vec<Row>, Option<Degradation>) {
    let is_quick = |point: &LightCurvePoint| point.start.seconds_since(result.t0) < QUICK_SECONDS;
    let quick = rows(result, filters, is_quick);
    let all = rows(result, filters, |_| true);
    if quick.is_empty() && !all.is_empty() {
        let reason = "no observation begins in the first 300 s after T0: all are listed";
        return (all, Some(Degradation::new("QLCLATE", reason)));
    }
    (quick, None)
}

fn rows(
    result: &AnalysisResult,
    filters: &[String],
    wanted: impl Fn(&LightCurvePoint) -> bool,
) -> Vec<Row> {
    let place_of =
        |filter: &str| filters.iter().position(|known| known == filter).unwrap_or(filters.len());
    let mut rows = Vec::new();
    for (index, listed) in counterparts(result).into_iter().enumerate() {
        let candidate = &listed.candidate;
        let mut points: Vec<&LightCurvePoint> =
            candidate.light_curve.iter().filter(|point| wanted(point)).collect();
        points.sort_by(|a, b| {
            let key = |point: &LightCurvePoint| (place_of(&point.filter), point.filter.clone());
            (key(a), a.start, a.end, &a.image).cmp(&(key(b), b.start, b.end, &b.image))
        });
        for point in points {
            rows.push(row(result, index + 1, &candidate.id, point));
        }
    }
    rows
}

/// Not detected: MAG is the limiting magnitude of the image and MAGERR 0 (seed 003).
fn row(result: &AnalysisResult, rank: usize, object: &str, point: &LightCurvePoint) -> Row {
    let detected = point.detected && point.magnitude.is_finite();
    let (magnitude, error) = if detected {
        (point.magnitude, point.magnitude_error)
    } else {
        (point.limiting_magnitude, 0.0)
    };
    vec![
        ("CANDRANK", rank.into()),
        ("OBJECTID", object.into()),
        ("FILTER", point.filter.as_str().into()),
        ("STARTMJD", point.start.mjd().into()),
        ("ENDMJD", point.end.mjd().into()),
        ("DELTAT", point.start.seconds_since(result.t0).into()),
        ("EXPTIME", point.exposure_seconds.into()),
        ("DETECTED", detected.into()),
        ("MAG", magnitude.into()),
        ("MAGERR", error.into()),
        ("SNR", point.signal_to_noise.into()),
        ("IMAGEID", image_id::of_point(result, point).into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::sample;
    use crate::products::value::Value;

    fn column(rows: &[Row], name: &str) -> Vec<Value> {
        rows.iter()
            .map(|row| row.iter().find(|(column, _)| *column == name).unwrap().1.clone())
            .collect()
    }

    #[test]
    fn every_observation_of_every_candidate_in_order() {
        let mut result = sample::result();
        result.candidates[0].candidate.light_curve.reverse();
        let rows = light_curve(&result, &sample::settings().filters);
        assert_eq!(column(&rows, "CANDRANK"), [1_i64, 1, 1, 1, 2].map(Value::from));
        assert_eq!(column(&rows, "FILTER"), ["r", "r", "r", "i", "r"].map(Value::from));
        assert_eq!(column(&rows[..4], "DELTAT"), [125.0, 185.0, 305.0, 245.0].map(Value::from));
        // The third is not detected: the limit stands in its place.
        assert_eq!(column(&rows, "DETECTED")[2], Value::from(false));
        assert_eq!(column(&rows, "MAG")[2], Value::from(19.5));
        assert_eq!(column(&rows, "MAGERR")[2], Value::from(0.0));
        // astropy 8.0.2: Time('2026-11-01T00:02:05').mjd
        let Value::Float(start) = column(&rows, "STARTMJD")[0] else { panic!("a number") };
        assert!((start - MJD_BY_ASTROPY).abs() < 1e-9);
    }

    const MJD_BY_ASTROPY: f64 = 61345.00144675926;

    #[test]
    fn the_quick_light_curve_ends_at_three_hundred_seconds() {
        let result = sample::result();
        let (rows, degradation) = quick_light_curve(&result, &sample::settings().filters);
        assert_eq!(column(&rows, "DELTAT"), [125.0, 185.0, 245.0, 125.0].map(Value::from));
        assert_eq!(degradation, None);
    }

    #[test]
    fn after_a_late_slew_it_has_everything_and_says_so() {
        let mut result = sample::result();
        result.t0 = result.t0.plus_seconds(-600.0);
        let (rows, degradation) = quick_light_curve(&result, &sample::settings().filters);
        assert_eq!(rows.len(), 5);
        assert_eq!(degradation.unwrap().code, "QLCLATE");
        result.candidates.clear();
        assert_eq!(quick_light_curve(&result, &[]), (Vec::new(), None));
    }
}
