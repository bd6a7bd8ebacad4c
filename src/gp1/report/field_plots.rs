//! Plots of a field: how much its sources vary, how its frames were calibrated, how deep they go.

use super::catalogued::{CalibrationSample, CataloguedSource};
use super::plot::{Axis, Mark, Plot, Spacing};
use super::words::{duration, number, plural, with_error};
use crate::imaging::statistics::median_and_deviation;
use crate::model::{AnalysisResult, ObjectKind};
use std::collections::BTreeSet;

const WIDE: (f64, f64) = (720.0, 340.0);
const HALF: (f64, f64) = (460.0, 300.0);
/// With fewer frames a scatter says nothing.
const FEWEST_FRAMES: usize = 3;
/// Width of the bins of the typical scatter, magnitudes.
const BIN_MAGNITUDES: f64 = 0.5;
const FEWEST_IN_BIN: usize = 5;
/// A star farther than this from the zero point is left off the plot, magnitudes; how many is said.
const LARGEST_RESIDUAL: f64 = 1.0;
/// Candidates whose marks are filled in the variability plot.
const FILLED_CANDIDATES: usize = 20;
/// Candidates that are named in it.
const NAMED_CANDIDATES: usize = 3;

/// A drawing with the sentence below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub svg: String,
    pub caption: String,
}

/// Names of the single frames of a result; all other images are combined ones.
pub fn single_frames(result: &AnalysisResult) -> BTreeSet<&str> {
    result.frames.iter().map(|frame| frame.name.as_str()).collect()
}

fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    (values.len() >= FEWEST_FRAMES).then(|| {
        let mean = values.iter().sum::<f64>() / count;
        let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (mean, (square / (count - 1.0)).sqrt())
    })
}

/// Scatter of each source over the frames of one filter against its magnitude, the candidates marked. `None` where no source was
/// seen on three frames.
pub fn variability(
    result: &AnalysisResult,
    filters: &[String],
    series: usize,
    sources: &[CataloguedSource],
) -> Option<Figure> {
    let filter = filters.get(series)?;
    let least = 5e-4;
    let field: Vec<(f64, f64)> = sources
        .iter()
        .filter_map(|source| {
            let measured = source.magnitudes.get(series)?.as_ref()?;
            let scatter = measured.scatter.filter(|_| measured.frame_count >= FEWEST_FRAMES)?;
            Some((measured.magnitude, scatter.max(least)))
        })
        .collect();
    let singles = single_frames(result);
    let candidates: Vec<(usize, &str, f64, f64)> = result
        .candidates
        .iter()
        .filter_map(|listed| {
            let magnitudes: Vec<f64> = listed
                .candidate
                .light_curve
                .iter()
                .filter(|point| {
                    point.detected
                        && point.filter == *filter
                        && point.magnitude.is_finite()
                        && singles.contains(point.image.as_str())
                })
                .map(|point| point.magnitude)
                .collect();
            let (mean, scatter) = spread(&magnitudes)?;
            Some((listed.rank, listed.candidate.id.as_str(), mean, scatter.max(least)))
        })
        .collect();
    let all = || {
        field
            .iter()
            .copied()
            .chain(candidates.iter().map(|(_, _, mean, scatter)| (*mean, *scatter)))
    };
    let x = Axis::holding(
        &format!("mean magnitude, {filter}"),
        Spacing::Linear,
        all().map(|each| each.0),
    )?;
    let y = Axis::holding(
        "scatter over the frames, mag",
        Spacing::Logarithmic,
        all().map(|each| each.1),
    )?;
    let mut plot = Plot::new(WIDE, x, y);
    plot.dots(field.iter().copied(), "field");
    plot.line(typical_scatter(&field), "typical");
    for (rank, id, mean, scatter) in candidates.iter().rev() {
        let title =
            format!("{rank}: {id}, {} mag, scatter {} mag", number(*mean, 2), number(*scatter, 3));
        let mark = if *rank <= FILLED_CANDIDATES { Mark::Point } else { Mark::Hollow };
        plot.mark((*mean, *scatter), series, mark, &title);
        if *rank <= NAMED_CANDIDATES {
            plot.label((*mean, *scatter), &rank.to_string());
        }
    }
    let caption = format!(
        "Filter {filter}: standard deviation of the magnitude over the frames against its mean, of {} catalogued sources (dots) and {} candidates (marks; those to rank {FILLED_CANDIDATES} filled, the first \
         {NAMED_CANDIDATES} with their rank), each seen on at least {FEWEST_FRAMES} frames. The line is the median of the catalogued sources: what is far above it varies.",
        field.len(),
        candidates.len()
    );
    Some(Figure { svg: plot.finish(&caption), caption })
}

/// Median scatter in bins of magnitude.
fn typical_scatter(field: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let bin_of = |magnitude: f64| (magnitude / BIN_MAGNITUDES).floor() as i64;
    let bins: BTreeSet<i64> = field.iter().map(|each| bin_of(each.0)).collect();
    bins.into_iter()
        .filter_map(|bin| {
            let members: Vec<f64> =
                field.iter().filter(|each| bin_of(each.0) == bin).map(|each| each.1).collect();
            let (median, _) = median_and_deviation(&members)?;
            (members.len() >= FEWEST_IN_BIN)
                .then_some(((bin as f64 + 0.5) * BIN_MAGNITUDES, median))
        })
        .collect()
}

/// Zero point of each star against its magnitude, and against its colour where the catalogue has colours.
pub fn calibration(sample: &CalibrationSample, series: usize) -> Vec<Figure> {
    let is_near = |residual: f64| residual.abs() <= LARGEST_RESIDUAL;
    let near: Vec<_> = sample
        .points
        .iter()
        .filter(|point| is_near(point.expected - point.instrumental - sample.zero_point))
        .collect();
    let far = sample.points.len() - near.len();
    let zero = with_error(sample.zero_point, sample.zero_point_error, 3);
    let left_off = match far {
        0 => String::new(),
        far => format!(" {far} more lie beyond {LARGEST_RESIDUAL} mag from it."),
    };
    let band = match sample.scale.band.as_str() {
        "" => "catalogue magnitude".to_owned(),
        band => format!("catalogue magnitude, {band}"),
    };
    let mut figures = Vec::new();
    let values =
        |value: fn(&super::catalogued::CalibrationPoint) -> f64| near.iter().map(move |p| value(p));
    let axes = (
        Axis::holding(&band, Spacing::Linear, values(|point| point.expected)),
        Axis::holding(
            "catalogue − instrumental, mag",
            Spacing::Linear,
            values(|point| point.expected - point.instrumental).chain([sample.zero_point]),
        ),
    );
    if let (Some(x), Some(y)) = axes {
        let ends: Vec<f64> = [f64::NEG_INFINITY, f64::INFINITY].map(|end| x.clamped(end)).to_vec();
        let mut plot = Plot::new(HALF, x, y);
        let dots = |is_fit: bool| {
            near.iter()
                .filter(move |point| point.is_fit == is_fit)
                .map(|point| (point.expected, point.expected - point.instrumental))
        };
        plot.dots(dots(false), "field");
        plot.dots(dots(true), &format!("dots series-{}", series % super::plot::SERIES));
        plot.line(ends.into_iter().map(|end| (end, sample.zero_point)), "law");
        let caption = format!(
            "Filter {}: catalogue minus instrumental magnitude of {} stars of frame {}, the colour term taken off. The line is the zero point, {zero} mag; pale dots are \
             blended, saturated or cut off and did not count.{left_off}",
            sample.filter,
            near.len(),
            sample.frame
        );
        figures.push(Figure { svg: plot.finish(&caption), caption });
    }
    figures.extend(against_colour(sample, &near, series));
    figures
}

fn against_colour(
    sample: &CalibrationSample,
    near: &[&super::catalogued::CalibrationPoint],
    series: usize,
) -> Option<Figure> {
    let coloured: Vec<(f64, f64)> = near
        .iter()
        .filter(|point| point.is_fit)
        .filter_map(|point| {
            let (colour, magnitude) = point.colour?;
            Some((colour, magnitude - point.instrumental))
        })
        .collect();
    let term = sample.scale.colour_term.as_ref();
    let label = match term {
        Some(term) => format!("{} − {}, mag", term.bands.0, term.bands.1),
        None => "colour, mag".to_owned(),
    };
    let x = Axis::holding(&label, Spacing::Linear, coloured.iter().map(|each| each.0))?;
    let y = Axis::holding(
        "catalogue − instrumental, mag",
        Spacing::Linear,
        coloured.iter().map(|each| each.1),
    )?;
    let ends = [f64::NEG_INFINITY, f64::INFINITY].map(|end| x.clamped(end));
    let (slope, reference) = term.map_or((0.0, 0.0), |term| (term.value, term.reference_colour));
    let mut plot = Plot::new(HALF, x, y);
    plot.dots(coloured.iter().copied(), &format!("dots series-{}", series % super::plot::SERIES));
    let law = ends.map(|colour| (colour, sample.zero_point + slope * (colour - reference)));
    plot.line(law, "law");
    let words = match term {
        Some(term) => format!(
            "The line is the zero point with the colour term {} ({}).",
            with_error(term.value, term.error, 3),
            if term.is_fitted { "fitted to these stars" } else { "given by the camera's file" }
        ),
        None => "No colour term was fitted.".to_owned(),
    };
    let caption = format!(
        "Filter {}: the same against colour, of {} stars. {words}",
        sample.filter,
        coloured.len()
    );
    Some(Figure { svg: plot.finish(&caption), caption })
}

/// What the frames measure of catalogued sources less what the catalogue says. `None` where it says nothing.
pub fn residuals(
    filters: &[String],
    series: usize,
    sources: &[CataloguedSource],
) -> Option<Figure> {
    let filter = filters.get(series)?;
    let all: Vec<(f64, f64)> = sources
        .iter()
        .filter(|source| source.kind != ObjectKind::Galaxy)
        .filter_map(|source| {
            let measured = source.magnitudes.get(series)?.as_ref()?;
            Some((measured.expected?, measured.magnitude - measured.expected?))
        })
        .collect();
    let near: Vec<(f64, f64)> =
        all.iter().copied().filter(|each| each.1.abs() <= LARGEST_RESIDUAL).collect();
    let differences: Vec<f64> = near.iter().map(|each| each.1).collect();
    let (median, deviation) = median_and_deviation(&differences)?;
    let x = Axis::holding("catalogue magnitude", Spacing::Linear, near.iter().map(|each| each.0))?;
    let y = Axis::holding("measured − catalogue, mag", Spacing::Linear, differences)?;
    let ends = [f64::NEG_INFINITY, f64::INFINITY].map(|end| x.clamped(end));
    let mut plot = Plot::new(HALF, x, y);
    plot.dots(near.iter().copied(), &format!("dots series-{}", series % super::plot::SERIES));
    plot.line(ends.map(|end| (end, 0.0)), "law");
    let caption = format!(
        "Filter {filter}: mean magnitude over the frames less that of the catalogue, of {}: median {} mag, robust deviation {} mag. {} beyond {LARGEST_RESIDUAL} mag not drawn.",
        plural(near.len(), "star"),
        number(median, 3),
        number(deviation, 3),
        all.len() - near.len()
    );
    Some(Figure { svg: plot.finish(&caption), caption })
}

/// Limiting magnitude of every frame, and of the deepest image of each filter, against time. `None` where none is known.
pub fn sensitivity(result: &AnalysisResult, filters: &[String]) -> Option<Figure> {
    let after = |instant: crate::model::UtcTime| instant.seconds_since(result.t0) / 60.0;
    let singles = single_frames(result);
    let frames: Vec<(usize, f64, f64, &str, f64)> = result
        .frames
        .iter()
        .filter_map(|frame| {
            let series = filters.iter().position(|name| *name == frame.filter)?;
            let limit = frame.limiting_magnitude.filter(|limit| limit.is_finite())?;
            let middle = after(frame.start.plus_seconds(frame.exposure_seconds / 2.0));
            Some((series, middle, limit, frame.name.as_str(), frame.exposure_seconds))
        })
        .collect();
    let stacks: Vec<_> = result
        .limits
        .iter()
        .filter(|limit| {
            !singles.contains(limit.image.as_str()) && limit.limiting_magnitude.is_finite()
        })
        .filter_map(|limit| Some((filters.iter().position(|name| *name == limit.filter)?, limit)))
        .collect();
    let times = frames.iter().map(|each| each.1).chain(
        stacks.iter().flat_map(|(_, limit)| [after(limit.first_start), after(limit.last_end)]),
    );
    let x = Axis::holding("minutes after T0", Spacing::Linear, times)?;
    let limits = frames
        .iter()
        .map(|each| each.2)
        .chain(stacks.iter().map(|(_, limit)| limit.limiting_magnitude));
    let y = Axis::holding("limiting magnitude (10 σ)", Spacing::Linear, limits)?.inverted();
    let mut plot = Plot::new(WIDE, x, y);
    for (series, limit) in &stacks {
        let (from, to) = (after(limit.first_start), after(limit.last_end));
        let place = ((from + to) / 2.0, limit.limiting_magnitude);
        plot.bars(place, (from, to), (place.1, place.1), *series);
        let title = format!(
            "{}: {} mag, {} of exposure",
            limit.image,
            number(limit.limiting_magnitude, 2),
            duration(limit.exposure_seconds)
        );
        plot.mark(place, *series, Mark::Hollow, &title);
    }
    for (series, middle, limit, name, exposure) in &frames {
        let title = format!("{name}: {} mag, {}", number(*limit, 2), duration(*exposure));
        plot.mark((*middle, *limit), *series, Mark::Point, &title);
    }
    let unknown = result.frames.len() - frames.len();
    let left_out = match unknown {
        0 => String::new(),
        unknown => format!(" {} without a limit not drawn.", plural(unknown, "frame")),
    };
    let caption = format!(
        "Magnitude of a source of ten times its noise: {} (filled) and {} (open, with the time that it spans).{left_out}",
        plural(frames.len(), "frame"),
        plural(stacks.len(), "stack"),
    );
    Some(Figure { svg: plot.finish(&caption), caption })
}
