//! The light curve of a candidate: magnitudes, limits and the fitted power law against the time since the burst.

use super::field_plots::Figure;
use super::plot::{Axis, Mark, Plot, Spacing};
use super::words::{after_t0, number, plural, with_error};
use crate::model::{Candidate, FadingFit, LightCurvePoint, UtcTime};
use std::collections::BTreeSet;

const SIZE: (f64, f64) = (560.0, 300.0);
/// Places along a fitted law.
const LAW_STEPS: usize = 48;
/// A point whose error is larger is drawn, but does not stretch the axis.
const LARGEST_SHOWN_ERROR: f64 = 1.0;

/// Magnitude of a fitted law (`FadingFit`).
pub fn magnitude_of(fit: &FadingFit, seconds: f64) -> f64 {
    fit.magnitude_at_60_seconds + 2.5 * fit.index * (seconds / 60.0).log10()
}

/// The law that fading supports best.
pub fn strongest(candidate: &Candidate) -> Option<&FadingFit> {
    let gain =
        |fit: &FadingFit| if fit.chi_square_gain.is_finite() { fit.chi_square_gain } else { 0.0 };
    candidate
        .fits
        .iter()
        .filter(|fit| fit.index.is_finite())
        .max_by(|left, right| gain(left).total_cmp(&gain(right)))
}

/// Draws a light curve; time is logarithmic, faint is below. `singles` are the names of single frames: points of other images are drawn
/// hollow. `None` without a point after T0.
pub fn light_curve(
    candidate: &Candidate,
    t0: UtcTime,
    filters: &[String],
    singles: &BTreeSet<&str>,
) -> Option<Figure> {
    let after = |instant: UtcTime| instant.seconds_since(t0);
    let is_drawn =
        |point: &&LightCurvePoint| after(point.middle()) > 0.0 && point.magnitude.is_finite();
    let points: Vec<&LightCurvePoint> = candidate.light_curve.iter().filter(is_drawn).collect();
    let times = points
        .iter()
        .flat_map(|point| [after(point.middle()), after(point.end), after(point.start).max(1.0)]);
    let x = Axis::holding("seconds after T0", Spacing::Logarithmic, times)?;
    let magnitudes = points.iter().flat_map(|point| {
        let error =
            if point.detected { point.magnitude_error.min(LARGEST_SHOWN_ERROR) } else { 0.0 };
        let error = if error.is_finite() { error } else { 0.0 };
        [point.magnitude - error, point.magnitude + error]
    });
    let y = Axis::holding("magnitude", Spacing::Linear, magnitudes)?.inverted();
    let mut plot = Plot::new(SIZE, x, y);
    let series_of = |filter: &str| filters.iter().position(|name| name == filter).unwrap_or(0);
    for fit in &candidate.fits {
        let (first, last) = (fit.first_seconds, fit.last_seconds);
        if first > 0.0 && last > first {
            let seconds = (0..=LAW_STEPS)
                .map(|step| first * (last / first).powf(step as f64 / LAW_STEPS as f64));
            let class = format!("law series-{}", series_of(&fit.filter) % super::plot::SERIES);
            plot.line(seconds.map(|seconds| (seconds, magnitude_of(fit, seconds))), &class);
        }
    }
    for point in &points {
        let series = series_of(&point.filter);
        let place = (after(point.middle()), point.magnitude);
        let error = if point.detected { point.magnitude_error } else { 0.0 };
        plot.bars(
            place,
            (after(point.start), after(point.end)),
            (point.magnitude - error, point.magnitude + error),
            series,
        );
        let mark = match (point.detected, singles.contains(point.image.as_str())) {
            (false, _) => Mark::Limit,
            (true, true) => Mark::Point,
            (true, false) => Mark::Hollow,
        };
        let what = if point.detected { "" } else { "fainter than " };
        let title = format!(
            "{}, {} = {what}{} at {}",
            point.image,
            point.filter,
            with_error(point.magnitude, error, 2),
            after_t0(place.0)
        );
        plot.mark(place, series, mark, &title);
    }
    let detected = points.iter().filter(|point| point.detected).count();
    let hidden = candidate.light_curve.len() - points.len();
    let mut caption = format!(
        "{} and {} (triangles, 10 σ); open marks are stacks.",
        plural(detected, "detection"),
        plural(points.len() - detected, "limit")
    );
    for fit in &candidate.fits {
        caption.push_str(&format!(
            " {}: F ∝ t^−α, α = {}, χ²/ν = {} with {}.",
            fit.filter,
            with_error(fit.index, fit.index_error, 2),
            number(fit.reduced_chi_square, 2),
            plural(fit.point_count, "point")
        ));
    }
    if hidden > 0 {
        caption.push_str(&format!(
            " {} before T0 or without a magnitude not drawn.",
            plural(hidden, "point")
        ));
    }
    Some(Figure {
        svg: plot.finish(&format!("Light curve of {}: {caption}", candidate.id)),
        caption,
    })
}
