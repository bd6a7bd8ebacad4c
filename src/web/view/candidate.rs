//! Candidates with their light curves, fits and reasons in words.

use super::{PositionView, rounded};
use crate::model::{
    DeadlineName, FadingFit, LightCurvePoint, ListedCandidate, UtcTime, VettingReason,
};
use serde::Serialize;

/// Where a list comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ListOrigin {
    /// The analysis of a deadline.
    Analysis,
    /// Made after a frame, between deadlines.
    Provisional,
    /// Nothing has been analysed yet.
    Nothing,
}

/// A ranked list of candidates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CandidateList {
    pub origin: ListOrigin,
    pub deadline: Option<DeadlineName>,
    /// Clock instant the list stands for.
    pub at: Option<UtcTime>,
    /// How many there are; `listed` may hold fewer.
    pub total: usize,
    pub listed: Vec<CandidateView>,
}

impl CandidateList {
    pub fn nothing() -> Self {
        Self { origin: ListOrigin::Nothing, deadline: None, at: None, total: 0, listed: Vec::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CandidateView {
    pub rank: usize,
    pub id: String,
    pub position: PositionView,
    pub position_error_arcsec: Option<f64>,
    /// 0 to 1.
    pub score: Option<f64>,
    pub in_search_region: bool,
    /// From the centre of the search region.
    pub offset_arcsec: Option<f64>,
    pub reasons: Vec<ReasonView>,
    pub first_detected: UtcTime,
    pub detection_count: usize,
    pub latest: Option<LatestView>,
    pub fits: Vec<FitView>,
    pub light_curve: LightCurveView,
    pub cutout_url: Option<String>,
}

/// The newest detection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatestView {
    pub filter: String,
    pub magnitude: Option<f64>,
    pub magnitude_error: Option<f64>,
    pub seconds_after_t0: Option<f64>,
}

/// F ∝ (t − T0)^(−index).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitView {
    pub filter: String,
    pub index: Option<f64>,
    pub index_error: Option<f64>,
    pub magnitude_at_60_seconds: Option<f64>,
    pub reduced_chi_square: Option<f64>,
    pub chi_square_gain: Option<f64>,
    pub point_count: usize,
    pub first_seconds: Option<f64>,
    pub last_seconds: Option<f64>,
}

/// A light curve in columns of equal length, in the order of time: a third of the size of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LightCurveView {
    /// How many points there are; the columns hold the newest of them.
    pub total: usize,
    pub filter: Vec<String>,
    /// Middle of the image, seconds after T0.
    pub seconds_after_t0: Vec<f64>,
    /// Half of the time from the start to the end of the image.
    pub half_width_seconds: Vec<f64>,
    /// Magnitude where detected, limiting magnitude of the image where not.
    pub magnitude: Vec<f64>,
    pub magnitude_error: Vec<f64>,
    pub detected: Vec<bool>,
}

/// A reason with its words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReasonView {
    pub code: VettingReason,
    pub words: &'static str,
    pub bearing: Bearing,
}

/// Whether a reason speaks for the candidate being the counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bearing {
    For,
    Against,
    Neutral,
}

impl CandidateView {
    /// With the newest `point_limit` points of the light curve.
    pub fn new(
        listed: &ListedCandidate,
        t0: UtcTime,
        cutout_url: Option<String>,
        point_limit: usize,
    ) -> Self {
        let candidate = &listed.candidate;
        let mut points: Vec<&LightCurvePoint> = candidate.light_curve.iter().collect();
        points.sort_by_key(|point| point.start);
        Self {
            rank: listed.rank,
            id: candidate.id.clone(),
            position: candidate.position.into(),
            position_error_arcsec: rounded(candidate.position_error_arcsec, 3),
            score: rounded(candidate.score, 4),
            in_search_region: candidate.in_search_region,
            offset_arcsec: candidate.offset_arcsec.and_then(|offset| rounded(offset, 2)),
            reasons: candidate.reasons.iter().map(|reason| ReasonView::from(*reason)).collect(),
            first_detected: candidate.first_detected,
            detection_count: candidate.detection_count,
            latest: points
                .iter()
                .rev()
                .find(|point| point.detected)
                .map(|point| LatestView::new(point, t0)),
            fits: candidate.fits.iter().map(FitView::from).collect(),
            light_curve: LightCurveView::new(&points, t0, point_limit),
            cutout_url,
        }
    }
}

impl LatestView {
    fn new(point: &LightCurvePoint, t0: UtcTime) -> Self {
        Self {
            filter: point.filter.clone(),
            magnitude: rounded(point.magnitude, 3),
            magnitude_error: rounded(point.magnitude_error, 3),
            seconds_after_t0: rounded(point.middle().seconds_since(t0), 1),
        }
    }
}

impl LightCurveView {
    fn new(points: &[&LightCurvePoint], t0: UtcTime, limit: usize) -> Self {
        let mut view = Self {
            total: points.len(),
            filter: Vec::new(),
            seconds_after_t0: Vec::new(),
            half_width_seconds: Vec::new(),
            magnitude: Vec::new(),
            magnitude_error: Vec::new(),
            detected: Vec::new(),
        };
        for point in points.iter().skip(points.len().saturating_sub(limit)) {
            let (Some(magnitude), Some(error)) =
                (rounded(point.magnitude, 3), rounded(point.magnitude_error, 3))
            else {
                continue;
            };
            let seconds = point.middle().seconds_since(t0);
            let half_width = point.end.seconds_since(point.start) / 2.0;
            view.filter.push(point.filter.clone());
            view.seconds_after_t0.push(rounded(seconds, 2).unwrap_or_default());
            view.half_width_seconds.push(rounded(half_width, 2).unwrap_or_default());
            view.magnitude.push(magnitude);
            view.magnitude_error.push(error);
            view.detected.push(point.detected);
        }
        view
    }
}

impl From<&FadingFit> for FitView {
    fn from(fit: &FadingFit) -> Self {
        Self {
            filter: fit.filter.clone(),
            index: rounded(fit.index, 3),
            index_error: rounded(fit.index_error, 3),
            magnitude_at_60_seconds: rounded(fit.magnitude_at_60_seconds, 3),
            reduced_chi_square: rounded(fit.reduced_chi_square, 2),
            chi_square_gain: rounded(fit.chi_square_gain, 1),
            point_count: fit.point_count,
            first_seconds: rounded(fit.first_seconds, 1),
            last_seconds: rounded(fit.last_seconds, 1),
        }
    }
}

impl From<VettingReason> for ReasonView {
    fn from(code: VettingReason) -> Self {
        use Bearing::{Against, For, Neutral};
        let (words, bearing) = match code {
            VettingReason::NotInCatalogue => ("not in the catalogue", For),
            VettingReason::BrighterThanCatalogue => ("brighter than its catalogue entry", For),
            VettingReason::Fading => ("fades as a power law", For),
            VettingReason::Brightening => ("brightens", For),
            VettingReason::Constant => ("constant so far", Against),
            VettingReason::SeenOnce => ("seen once only", Against),
            VettingReason::InDifference => ("new or brighter than on the template", For),
            VettingReason::InTemplate => ("the same on the template", Against),
            VettingReason::Intermittent => ("not seen on most frames", Against),
            VettingReason::NearEdge => ("near the edge of the frame", Against),
            VettingReason::NearSaturated => ("near a saturated star", Against),
            VettingReason::NearMaskedPixels => ("near masked pixels", Against),
            VettingReason::SharperThanStars => ("sharper than the stars", Against),
            VettingReason::WiderThanStars => ("wider than the stars", Against),
            VettingReason::InSearchRegion => ("inside the search region", For),
            VettingReason::OutsideSearchRegion => ("outside the search region", Against),
            VettingReason::FainterThanCatalogueLimit => {
                ("fainter than the catalogue reaches", Neutral)
            }
            VettingReason::NearGalaxy => ("next to a galaxy", For),
            VettingReason::MinorPlanet => ("where a minor planet is predicted", Against),
            VettingReason::CatalogueUnavailable => ("no catalogue to compare with", Neutral),
        };
        Self { code, words, bearing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::made_up_night::{afterglow, t0};

    #[test]
    fn the_columns_of_a_light_curve_are_equally_long_and_in_order() {
        let mut listed = afterglow();
        listed.candidate.light_curve.reverse();
        listed.candidate.light_curve[2].magnitude = f64::NAN;
        let total = listed.candidate.light_curve.len();
        let view = CandidateView::new(&listed, t0(), None, 1000).light_curve;
        assert_eq!(view.total, total);
        assert_eq!(view.seconds_after_t0.len(), total - 1);
        assert!(view.seconds_after_t0.is_sorted());
        for length in [
            view.filter.len(),
            view.half_width_seconds.len(),
            view.magnitude.len(),
            view.magnitude_error.len(),
            view.detected.len(),
        ] {
            assert_eq!(length, total - 1);
        }
    }

    #[test]
    fn a_long_light_curve_keeps_its_newest_points_and_the_latest_detection_is_shown() {
        let listed = afterglow();
        let all = CandidateView::new(&listed, t0(), None, 1000);
        let cut = CandidateView::new(&listed, t0(), None, 4);
        assert_eq!(cut.light_curve.total, all.light_curve.total);
        assert_eq!(cut.light_curve.seconds_after_t0.len(), 4);
        assert_eq!(
            cut.light_curve.seconds_after_t0.last(),
            all.light_curve.seconds_after_t0.last()
        );
        let last_detected =
            all.light_curve.detected.iter().rposition(|detected| *detected).unwrap();
        let latest = cut.latest.unwrap();
        assert_eq!(latest.magnitude, Some(all.light_curve.magnitude[last_detected]));
    }
}
