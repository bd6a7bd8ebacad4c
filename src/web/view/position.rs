//! Directions in degrees and in sexagesimal form.

use super::rounded;
use crate::model::{PositionEstimate, SkyPosition};
use serde::Serialize;

/// Tenths of a milliarcsecond: finer than any error here.
const DEGREE_DECIMALS: i32 = 7;

/// A direction (ICRS).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PositionView {
    pub ra_degrees: Option<f64>,
    pub dec_degrees: Option<f64>,
    /// `HH:MM:SS.ss`
    pub ra_sexagesimal: String,
    /// `±DD:MM:SS.s`
    pub dec_sexagesimal: String,
}

/// A search region: a direction with its error radius.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionView {
    #[serde(flatten)]
    pub position: PositionView,
    /// 90 % error radius.
    pub radius_degrees: Option<f64>,
}

impl From<SkyPosition> for PositionView {
    fn from(position: SkyPosition) -> Self {
        Self {
            ra_degrees: rounded(position.ra_degrees, DEGREE_DECIMALS),
            dec_degrees: rounded(position.dec_degrees, DEGREE_DECIMALS),
            ra_sexagesimal: right_ascension(position.ra_degrees),
            dec_sexagesimal: declination(position.dec_degrees),
        }
    }
}

impl From<PositionEstimate> for RegionView {
    fn from(estimate: PositionEstimate) -> Self {
        Self {
            position: estimate.position.into(),
            radius_degrees: estimate.radius_degrees.and_then(|radius| rounded(radius, 6)),
        }
    }
}

/// `HH:MM:SS.ss`, rounded (0.15″ at the equator) before it is split, so that no part ever reads 60.
fn right_ascension(degrees: f64) -> String {
    let hundredths = (degrees.rem_euclid(360.0) / 15.0 * 360_000.0).round() as u64 % 8_640_000;
    let (seconds, fraction) = (hundredths / 100, hundredths % 100);
    format!("{:02}:{:02}:{:02}.{fraction:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `±DD:MM:SS.s`, rounded before it is split.
fn declination(degrees: f64) -> String {
    let tenths = (degrees.abs() * 36_000.0).round() as u64;
    let sign = if degrees < 0.0 && tenths > 0 { '-' } else { '+' };
    let (seconds, fraction) = (tenths / 10, tenths % 10);
    format!("{sign}{:02}:{:02}:{:02}.{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sexagesimal_forms_round_without_sixties() {
        // 51.729° is 3h 26m 54.96s; 46.65° is 46° 39′.
        assert_eq!(right_ascension(51.729), "03:26:54.96");
        assert_eq!(declination(46.65), "+46:39:00.0");
        assert_eq!(right_ascension(14.999_999_99), "01:00:00.00");
        assert_eq!(right_ascension(359.999_999_99), "00:00:00.00");
        assert_eq!(declination(-0.999_999_99), "-01:00:00.0");
        assert_eq!(declination(-0.5), "-00:30:00.0");
        assert_eq!(declination(-1e-9), "+00:00:00.0");
    }

    #[test]
    fn a_position_that_is_no_number_is_absent() {
        let view = PositionView::from(SkyPosition { ra_degrees: f64::NAN, dec_degrees: 1.0 });
        assert_eq!(view.ra_degrees, None);
        assert_eq!(view.dec_degrees, Some(1.0));
    }
}
