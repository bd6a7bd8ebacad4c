//! Frames that no catalogue calibrates are brought to the scale of the first of them: clouds must not look like fading.

use super::measured_frame::{INSTRUMENTAL_ZERO_POINT, MeasuredFrame};
use super::photometry::UNFIT_FLAGS;
use crate::imaging::{
    astrometry::match_nearest,
    zero_point::{CalibrationStar, fit},
};

/// Sources of two frames nearer than this are the same.
const MATCH_RADIUS_PIXELS: f64 = 2.0;
/// Sources with less do not calibrate.
const MINIMUM_SIGNAL_TO_NOISE: f64 = 20.0;
const MINIMUM_STARS: usize = 3;

/// Zero point of `frame` with its error, in the scale of `reference`, from the sources both have. `None` when the two do
/// not share enough, or have no common coordinates.
pub fn relative_zero_point(reference: &MeasuredFrame, frame: &MeasuredFrame) -> Option<(f64, f64)> {
    let (reference_wcs, wcs) = (reference.wcs.as_ref()?, frame.wcs.as_ref()?);
    let (reference_zero, _) = reference.zero_point?;
    let bright = |frame: &MeasuredFrame| -> Vec<usize> {
        (0..frame.sources.len())
            .filter(|index| {
                frame.sources.get(*index).is_some_and(|each| {
                    !each.source.flags.has(UNFIT_FLAGS)
                        && each.source.signal_to_noise() >= MINIMUM_SIGNAL_TO_NOISE
                })
            })
            .collect()
    };
    let (left_indices, right_indices) = (bright(reference), bright(frame));
    let left: Vec<(f64, f64)> = left_indices
        .iter()
        .filter_map(|index| reference.sources.get(*index))
        .map(|each| (each.source.x, each.source.y))
        .collect();
    let right: Vec<(f64, f64)> = right_indices
        .iter()
        .filter_map(|index| frame.sources.get(*index))
        .map(|each| {
            let sky = wcs.pixel_to_sky(each.source.x, each.source.y);
            reference_wcs.sky_to_pixel(sky).unwrap_or((f64::MAX, f64::MAX))
        })
        .collect();
    let stars: Vec<CalibrationStar> = match_nearest(&left, &right, MATCH_RADIUS_PIXELS)
        .into_iter()
        .filter_map(|(one, other)| {
            let known = &reference.sources.get(*left_indices.get(one)?)?.source;
            let measured = &frame.sources.get(*right_indices.get(other)?)?.source;
            let relative_error = known.flux_error_electrons / known.flux_electrons;
            let rate = known.flux_electrons / reference.exposure_seconds();
            Some(CalibrationStar {
                flux: measured.flux_electrons / frame.exposure_seconds(),
                flux_error: measured.flux_error_electrons / frame.exposure_seconds(),
                magnitude: reference_zero - 2.5 * rate.log10(),
                magnitude_error: super::photometry::MAGNITUDES_PER_RELATIVE_ERROR * relative_error,
            })
        })
        .collect();
    fit(&stars, MINIMUM_STARS).map(|zero| (zero.value, zero.error))
}

/// Zero point of the first frame where nothing calibrates it.
pub fn instrumental_zero_point() -> (f64, f64) {
    (INSTRUMENTAL_ZERO_POINT, 0.0)
}
