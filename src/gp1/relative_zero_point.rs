//! Frames that no catalogue calibrates are brought to the scale of the first of them: clouds must not look like fading.
//!
//! The brightest stars make it: what neighbours add to faint ones changes with the seeing, and so would the scale. Where thin cloud, scattered light or a flat field that does not fit make the scale change over the frame, it is a plane.

use super::measured_frame::{INSTRUMENTAL_ZERO_POINT, MeasuredFrame};
use super::photometry::MAGNITUDES_PER_RELATIVE_ERROR;
use crate::imaging::{
    astrometry::match_nearest,
    robust_plane::{PlacedValue, fit_plane},
    zero_point::{CalibrationStar, fit},
};
use crate::model::SourceFlags;

/// Sources of two frames nearer than this are the same.
const MATCH_RADIUS_PIXELS: f64 = 2.0;
/// Sources with less do not calibrate.
const MINIMUM_SIGNAL_TO_NOISE: f64 = 20.0;
const MINIMUM_STARS: usize = 3;
/// Only stars with the first of these are taken, if they are enough, …
const SIGNAL_TO_NOISE_STEPS: [f64; 3] = [100.0, 50.0, 25.0];
/// … as many as this.
const ENOUGH_STARS: usize = 10;
/// What a catalogue's star must not have, neighbours, both frames have alike; what masks hide was put back.
const UNFIT_FLAGS: u16 = SourceFlags::SATURATED | SourceFlags::TRUNCATED;
/// A slope is looked for with as many stars, and believed if chance makes one as significant once in ten thousand frames.
const FEWEST_STARS_FOR_SLOPE: usize = 10;
const LEAST_SIGNIFICANCE: f64 = 18.4;
/// What flat fields leave of a bright star, magnitudes.
const STAR_FLOOR: f64 = 0.004;

/// The scale of a frame in that of another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RelativeZeroPoint {
    /// At the middle of the frame.
    pub value: f64,
    pub error: f64,
    /// Magnitudes per pixel along x and y; zero where it is not significant.
    pub slope: (f64, f64),
}

/// Zero point of `frame`, in the scale of `reference`, from the sources both have. `None` when the two do
/// not share enough, or have no common coordinates.
pub fn relative_zero_point(
    reference: &MeasuredFrame,
    frame: &MeasuredFrame,
) -> Option<RelativeZeroPoint> {
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
            reference_wcs.sky_to_pixel(sky).unwrap_or((f64::INFINITY, f64::INFINITY))
        })
        .collect();
    let stars: Vec<(CalibrationStar, (f64, f64))> =
        match_nearest(&left, &right, MATCH_RADIUS_PIXELS)
            .into_iter()
            .filter_map(|(one, other)| {
                let known = &reference.sources.get(*left_indices.get(one)?)?.source;
                let measured = &frame.sources.get(*right_indices.get(other)?)?.source;
                let relative_error = known.flux_error_electrons / known.flux_electrons;
                let rate = known.flux_electrons / reference.exposure_seconds();
                let star = CalibrationStar {
                    flux: measured.flux_electrons / frame.exposure_seconds(),
                    flux_error: measured.flux_error_electrons / frame.exposure_seconds(),
                    magnitude: reference_zero - 2.5 * rate.log10(),
                    magnitude_error: MAGNITUDES_PER_RELATIVE_ERROR * relative_error,
                };
                Some((star, frame.from_middle(measured.x, measured.y)))
            })
            .collect();
    let stars = brightest(stars);
    let bare: Vec<CalibrationStar> = stars.iter().map(|(star, _)| *star).collect();
    let zero = fit(&bare, MINIMUM_STARS)?;
    let values: Vec<PlacedValue> = stars
        .iter()
        .map(|(star, (x, y))| {
            let own = MAGNITUDES_PER_RELATIVE_ERROR * star.flux_error / star.flux;
            let error = own.hypot(star.magnitude_error).hypot(STAR_FLOOR);
            let value = star.magnitude + 2.5 * star.flux.log10();
            PlacedValue { x: *x, y: *y, value, error }
        })
        .collect();
    let plane = fit_plane(&values, FEWEST_STARS_FOR_SLOPE)
        .filter(|plane| plane.significance > LEAST_SIGNIFICANCE);
    let (value, slope) =
        plane.map_or((zero.value, (0.0, 0.0)), |plane| (plane.height, plane.slope));
    Some(RelativeZeroPoint { value, error: zero.error, slope })
}

/// Those bright on both frames, as bright as leaves enough of them.
fn brightest(stars: Vec<(CalibrationStar, (f64, f64))>) -> Vec<(CalibrationStar, (f64, f64))> {
    let signal_to_noise = |star: &CalibrationStar| {
        (star.flux / star.flux_error).min(MAGNITUDES_PER_RELATIVE_ERROR / star.magnitude_error)
    };
    for least in SIGNAL_TO_NOISE_STEPS {
        let is_bright = |each: &&(CalibrationStar, (f64, f64))| signal_to_noise(&each.0) >= least;
        if stars.iter().filter(is_bright).count() >= ENOUGH_STARS {
            return stars.into_iter().filter(|each| is_bright(&each)).collect();
        }
    }
    stars
}

/// Zero point of the first frame where nothing calibrates it.
pub fn instrumental_zero_point() -> RelativeZeroPoint {
    RelativeZeroPoint { value: INSTRUMENTAL_ZERO_POINT, error: 0.0, slope: (0.0, 0.0) }
}
