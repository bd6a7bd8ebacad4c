//! Which candidates are minor planets: detections that lie where one is predicted at the instant of their frame.

use super::measured_frame::MeasuredFrame;
use super::tracks::Track;
use crate::imaging::statistics::median_and_deviation;
use crate::model::{MinorPlanet, MinorPlanetMatch, SkyPosition};

/// Standard errors of prediction and detection together.
const MATCH_SIGMA: f64 = 3.0;
/// A prediction worse than this explains nothing: too many sources lie that near to some minor planet.
const LARGEST_RADIUS_ARCSEC: f64 = 30.0;
/// A source this much brighter than predicted is something else: H is good to half a magnitude, light curves and colours do the rest.
const BRIGHTNESS_ALLOWANCE_MAGNITUDES: f64 = 2.5;

/// The minor planet on which most detections of a track lie, the nearest of several. `predicted` has a place for each of `frames`. `magnitude` is
/// the brightest of the track, where magnitudes can be compared.
pub fn match_of(
    track: &Track,
    frames: &[&MeasuredFrame],
    predicted: &[MinorPlanet],
    magnitude: Option<f64>,
) -> Option<MinorPlanetMatch> {
    if track.field.is_some() {
        // Not tied to the sky.
        return None;
    }
    let detections: Vec<(usize, SkyPosition, f64)> = track
        .detections
        .iter()
        .filter_map(|detection| {
            let frame = frames.get(detection.frame)?;
            let source = &frame.sources.get(detection.source)?.source;
            let position = frame.wcs.as_ref()?.pixel_to_sky(source.x, source.y);
            Some((detection.frame, position, detection.position_error_arcsec))
        })
        .collect();
    predicted
        .iter()
        .filter(|each| {
            magnitude
                .zip(each.magnitude)
                .is_none_or(|(seen, predicted)| predicted <= seen + BRIGHTNESS_ALLOWANCE_MAGNITUDES)
        })
        .filter_map(|each| {
            let separation_arcsec = separation(track, &detections, each)?;
            Some(MinorPlanetMatch {
                name: each.name.clone(),
                separation_arcsec,
                position_error_arcsec: each.position_error_arcsec,
                magnitude: each.magnitude,
            })
        })
        .min_by(|left, right| left.separation_arcsec.total_cmp(&right.separation_arcsec))
}

/// Median distance of the detections from the predicted places, if most are within the error.
fn separation(
    track: &Track,
    detections: &[(usize, SkyPosition, f64)],
    predicted: &MinorPlanet,
) -> Option<f64> {
    let radius = |error: f64| {
        (MATCH_SIGMA * predicted.position_error_arcsec.hypot(error)).min(LARGEST_RADIUS_ARCSEC)
    };
    if detections.is_empty() {
        // A source of a stack: somewhere on the path.
        let nearest = predicted
            .places
            .iter()
            .map(|place| place.separation_arcsec(track.position))
            .fold(f64::INFINITY, f64::min);
        return Some(nearest).filter(|nearest| *nearest <= radius(track.position_error_arcsec));
    }
    let separations: Vec<(f64, bool)> = detections
        .iter()
        .filter_map(|(frame, position, error)| {
            let distance = predicted.places.get(*frame)?.separation_arcsec(*position);
            Some((distance, distance <= radius(*error)))
        })
        .collect();
    let within = separations.iter().filter(|(_, is_within)| *is_within).count();
    let distances: Vec<f64> = separations.iter().map(|(distance, _)| *distance).collect();
    (2 * within > detections.len()).then(|| median_and_deviation(&distances).map(|pair| pair.0))?
}
