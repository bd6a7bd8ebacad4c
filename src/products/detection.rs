//! DT and QF: one row for each configured filter, with the first detection of the best counterpart candidate.
//!
//! Without a detection the figures are 0, DETECTED is 0, and UPLIM is the limit of the filter (0 without any image of it).

use super::header_values::counterparts;
use super::image_id;
use super::placement::Row;
use super::value::Value;
use crate::model::{AnalysisResult, LightCurvePoint};

/// The first detection in a filter: on a single frame where there is one, else on a combined image.
fn first_detection<'a>(
    result: &AnalysisResult,
    light_curve: &'a [LightCurvePoint],
    filter: &str,
) -> Option<&'a LightCurvePoint> {
    light_curve
        .iter()
        .filter(|point| point.filter == filter && point.detected && point.magnitude.is_finite())
        .min_by_key(|point| (!image_id::is_single(result, point), point.start, point.end))
}

fn row(result: &AnalysisResult, filter: &str) -> Row {
    let best = counterparts(result).into_iter().next();
    let found = best.and_then(|listed| {
        let candidate = &listed.candidate;
        let point = first_detection(result, &candidate.light_curve, filter)?;
        Some((candidate.id.as_str(), point))
    });
    let limit = result.limits.iter().find(|limit| limit.filter == filter);
    let figure = |of_point: fn(&LightCurvePoint) -> f64| -> Value {
        found.map_or(0.0, |(_, point)| of_point(point)).into()
    };
    let text = |text: Option<String>| -> Value { text.unwrap_or_default().into() };
    vec![
        ("FILTER", filter.into()),
        ("DETECTED", found.is_some().into()),
        ("DT", found.map_or(0.0, |(_, point)| point.start.seconds_since(result.t0)).into()),
        ("DT_MJD", figure(|point| point.start.mjd())),
        ("DATE_OBS", text(found.map(|(_, point)| point.start.iso_milliseconds()))),
        ("MAG", figure(|point| point.magnitude)),
        ("MAGERR", figure(|point| point.magnitude_error)),
        ("SNR", figure(|point| point.signal_to_noise)),
        ("EXPTIME", figure(|point| point.exposure_seconds)),
        ("UPLIM", limit.map_or(0.0, |limit| limit.limiting_magnitude).into()),
        ("OBJECTID", text(found.map(|(id, _)| id.to_owned()))),
        ("IMAGEID", text(found.map(|(_, point)| image_id::of_point(result, point)))),
    ]
}

/// Rows of DT.
pub(super) fn detection_times(result: &AnalysisResult, filters: &[String]) -> Vec<Row> {
    let with_frames = |filter: &String| {
        let mut row = row(result, filter);
        let count = result.frames.iter().filter(|frame| &frame.filter == filter).count();
        row.push(("NFRAMES", count.into()));
        row
    };
    filters.iter().map(with_frames).collect()
}

/// Rows of QF.
pub(super) fn quick_fluxes(result: &AnalysisResult, filters: &[String]) -> Vec<Row> {
    filters.iter().map(|filter| row(result, filter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::sample;

    fn cell<'a>(row: &'a Row, name: &str) -> &'a Value {
        &row.iter().find(|(column, _)| *column == name).unwrap().1
    }

    #[test]
    fn the_first_detection_counts_and_other_filters_give_their_limit() {
        let mut result = sample::result();
        result.candidates[0].candidate.light_curve[0].detected = false;
        let rows = detection_times(&result, &sample::settings().filters);
        assert_eq!(rows.len(), 6);
        let red = &rows[1];
        assert_eq!(cell(red, "FILTER"), &Value::from("r"));
        assert_eq!(cell(red, "DT"), &Value::from(185.0));
        assert_eq!(cell(red, "DATE_OBS"), &Value::from("2026-11-01T00:03:05.000"));
        assert_eq!(cell(red, "DETECTED"), &Value::from(true));
        assert_eq!(cell(red, "UPLIM"), &Value::from(20.5));
        assert_eq!(cell(red, "NFRAMES"), &Value::Integer(3));
        let infrared = &rows[5];
        assert_eq!(cell(infrared, "DETECTED"), &Value::from(false));
        for name in ["DT", "DT_MJD", "MAG", "MAGERR", "SNR", "EXPTIME", "UPLIM"] {
            assert_eq!(cell(infrared, name), &Value::from(0.0), "{name}");
        }
        assert_eq!(cell(infrared, "IMAGEID"), &Value::from(""));
    }

    #[test]
    fn a_detection_on_a_stack_alone_counts_but_not_before_one_on_a_frame() {
        let mut result = sample::result();
        let curve = &mut result.candidates[0].candidate.light_curve;
        let mut stacked = curve[0].clone();
        stacked.image = "stack of three".to_owned();
        curve[0].detected = false;
        curve.insert(0, stacked);
        let rows = quick_fluxes(&result, &["r".to_owned()]);
        assert_eq!(cell(&rows[0], "IMAGEID"), &Value::from("S_r_20261101000305"));
        for point in &mut result.candidates[0].candidate.light_curve[1..] {
            point.detected = false;
        }
        let rows = quick_fluxes(&result, &["r".to_owned()]);
        assert_eq!(cell(&rows[0], "DETECTED"), &Value::from(true));
        assert_eq!(cell(&rows[0], "IMAGEID"), &Value::from("C_r_1"));
    }

    #[test]
    fn a_magnitude_that_is_no_number_is_no_detection() {
        let mut result = sample::result();
        for point in &mut result.candidates[0].candidate.light_curve {
            point.magnitude = f64::NAN;
        }
        let rows = quick_fluxes(&result, &["r".to_owned()]);
        assert_eq!(cell(&rows[0], "DETECTED"), &Value::from(false));
        assert_eq!(cell(&rows[0], "MAG"), &Value::from(0.0));
    }
}
