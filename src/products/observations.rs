//! GFTMETA: one row for each observation, that is each frame that had arrived.

use super::header_values::{observation_identifier, ordered_frames, trigger_identifier};
use super::placement::Row;
use crate::model::AnalysisResult;

/// Rows of GFTMETA in order of start.
pub(super) fn observations(result: &AnalysisResult) -> Vec<Row> {
    ordered_frames(result)
        .into_iter()
        .map(|frame| {
            vec![
                ("INSTRUME", frame.instrument.as_str().into()),
                ("GFT_TGID", trigger_identifier(result).into()),
                ("GFT_OBID", observation_identifier(frame.start).into()),
                ("FRAME", frame.name.as_str().into()),
                ("FILTER", frame.filter.as_str().into()),
                ("STARTMJD", frame.start.mjd().into()),
                ("EXPTIME", frame.exposure_seconds.into()),
                ("LIMMAG", frame.limiting_magnitude.unwrap_or_default().into()),
                ("ZEROPT", frame.zero_point.unwrap_or_default().into()),
                ("FWHM", frame.fwhm_pixels.unwrap_or_default().into()),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::sample;
    use crate::products::value::Value;

    #[test]
    fn a_row_for_each_frame_with_zero_for_what_was_not_measured() {
        let mut result = sample::result();
        result.frames.reverse();
        let rows = observations(&result);
        assert_eq!(rows.len(), result.frames.len());
        assert_eq!(rows[0][2], ("GFT_OBID", Value::from("000205")));
        assert_eq!(rows[0][3], ("FRAME", Value::from("20261101T000205C1o")));
        assert_eq!(rows[2][8], ("ZEROPT", Value::from(0.0)));
        assert_eq!(rows[0].len(), 10, "three identifiers and seven figures");
    }
}
