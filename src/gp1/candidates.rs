//! From tracks and light curves to a ranked list of candidates.

use super::frame_scale::unknown_colour_error;
use super::light_curves::{FLUX_UNIT_MAGNITUDE, LightCurves, PlacePoint};
use super::measured_frame::MeasuredFrame;
use super::minor_planets::match_of;
use super::photometry::MAGNITUDES_PER_RELATIVE_ERROR;
use super::settings::SummaryParameters;
use super::tracks::Track;
use super::vetting::{Contradiction, Evidence, STEEPEST_INDEX, STEEPEST_RISE, judge};
use crate::imaging::{
    fading::{FluxPoint, fit_power_law},
    mask_bits,
    statistics::median_and_deviation,
};
use crate::model::{
    Candidate, CatalogueObject, FadingFit, LightCurvePoint, MinorPlanet, ObjectKind,
    PositionEstimate, SkyPosition, Source, SourceFlags, SpreadModel, UtcTime,
};
use std::collections::BTreeMap;

/// One image of ten sigma makes a candidate; else two of less are needed.
pub(super) const SINGLE_IMAGE_SIGNAL_TO_NOISE: f64 = 10.0;
/// A galaxy nearer than this may be the host.
const HOST_RADIUS_ARCSEC: f64 = 10.0;
/// A source should be seen again on a frame that reaches this much deeper than it was bright.
const FADING_ALLOWANCE_MAGNITUDES: f64 = 1.0;
/// Ten sigma to five.
const LIMIT_TO_DETECTION_MAGNITUDES: f64 = 0.75;
/// The catalogue's faint limit is as blurred as its magnitudes.
const FAINT_LIMIT_MARGIN: f64 = 0.1;
/// A saturated star disturbs within so many of its own rms widths, and this many pixels.
const SATURATED_REACH_WIDTHS: f64 = 4.0;
const SATURATED_REACH_PIXELS: f64 = 10.0;

/// Spread models of one star scatter by this beyond their errors, as the profile varies over a frame.
const SPREAD_SCATTER: f64 = 0.002;
/// From here on a candidate is wider than any star of a frame, if by three standard errors too. Disks of a quarter of the stars' width
/// have 0.012.
const WIDEST_STELLAR_SPREAD: f64 = 0.006;

/// A stack as far as light curves need it.
#[derive(Debug, Clone)]
pub struct StackImage {
    /// `stack_w`.
    pub name: String,
    pub filter: String,
    pub start: UtcTime,
    pub end: UtcTime,
    pub exposure_seconds: f64,
    /// Error that the colour of a source adds to its magnitude.
    pub colour_error: f64,
    /// From here on a source that stands on the stack alone is a candidate.
    pub least_signal_to_noise: f64,
    /// One for each track that it covers.
    pub points: Vec<Option<PlacePoint>>,
}

/// All that the list rests on.
#[derive(Clone, Copy)]
pub struct CandidateInputs<'a> {
    pub frames: &'a [&'a MeasuredFrame],
    pub tracks: &'a [Track],
    pub curves: &'a LightCurves,
    pub stacks: &'a [StackImage],
    /// For each track the standard deviations by which its place has changed since a template. Empty without templates.
    pub changes: &'a [Option<f64>],
    /// Empty where there is none or it is unavailable.
    pub catalogue: &'a [CatalogueObject],
    pub catalogue_available: bool,
    /// Each with a place for every frame.
    pub minor_planets: &'a [MinorPlanet],
    pub faint_limit: Option<f64>,
    pub t0: UtcTime,
    pub region: Option<PositionEstimate>,
    pub parameters: &'a SummaryParameters,
}

/// Every candidate that one image shows at ten sigma or two at five, the best first: those in the search region before those
/// outside it, then by score; last those that are set aside, in the same order. Nothing is cut off here.
pub fn rank(inputs: &CandidateInputs<'_>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = inputs
        .tracks
        .iter()
        .enumerate()
        .filter_map(|(index, track)| candidate_of(inputs, index, track))
        .collect();
    candidates.sort_by(|left, right| {
        (left.set_aside.is_some())
            .cmp(&right.set_aside.is_some())
            .then(right.in_search_region.cmp(&left.in_search_region))
            .then(right.score.total_cmp(&left.score))
            .then(left.position.dec_degrees.total_cmp(&right.position.dec_degrees))
            .then(left.position.ra_degrees.total_cmp(&right.position.ra_degrees))
    });
    make_ids_unique(&mut candidates);
    candidates
}

/// A designation has a resolution of 15 arcseconds in right ascension: the second of a name gets a letter.
fn make_ids_unique(candidates: &mut [Candidate]) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for candidate in candidates {
        let count = seen.entry(candidate.id.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            let letter = char::from_u32(u32::from(b'a') + (*count - 1).min(25)).unwrap_or('z');
            let suffix = if *count > 26 { format!("z{count}") } else { letter.to_string() };
            candidate.id.push_str(&suffix);
        }
    }
}

fn candidate_of(inputs: &CandidateInputs<'_>, index: usize, track: &Track) -> Option<Candidate> {
    let points = inputs.curves.points.get(index)?;
    let mut light_curve = frame_points(inputs, track, points);
    let detection_count = light_curve.iter().filter(|point| point.detected).count();
    let fits = fading_fits(inputs, points);
    for stack in inputs.stacks {
        light_curve.extend(stack_point(inputs, stack, index));
    }
    let best = light_curve
        .iter()
        .filter(|point| point.detected)
        .map(|point| point.signal_to_noise)
        .fold(0.0, f64::max);
    let on_stack = inputs.stacks.iter().filter_map(|stack| {
        let point = stack.points.get(index)?.as_ref()?;
        Some(point.signal_to_noise >= stack.least_signal_to_noise)
    });
    let is_on_stack = on_stack.into_iter().any(|is_enough| is_enough);
    if detection_count < 2 && best < SINGLE_IMAGE_SIGNAL_TO_NOISE && !is_on_stack {
        return None;
    }
    let first_detected =
        light_curve.iter().filter(|point| point.detected).map(|point| point.start).min()?;
    let (in_region, offset_arcsec) = region_of(inputs.region, track.position);
    let traits = Traits::of(inputs, track);
    let brightest = brightest_magnitude(&light_curve);
    let constant_excess = constant_excess(inputs, points);
    let comparable = brightest.filter(|_| inputs.catalogue_available);
    let minor_planet = match_of(track, inputs.frames, inputs.minor_planets, comparable);
    let evidence = Evidence {
        fits: &fits,
        constant_excess,
        detection_count,
        chances: chances(inputs, track, &light_curve),
        contradiction: contradiction(inputs, points),
        best_signal_to_noise: best,
        relative_width: traits.relative_width,
        extended: traits.extended,
        axis_ratio: traits.axis_ratio,
        near_edge: traits.near_edge,
        is_cut: traits.is_cut,
        // On the stack alone: what lies on saturated pixels of the frames is a piece of a star.
        beside_saturated: traits.beside_saturated
            || track.detections.is_empty()
                && mostly(points, mask_bits::SATURATED | mask_bits::BLEED),
        near_saturated: traits.near_saturated
            || mostly(points, mask_bits::SATURATED | mask_bits::BLEED),
        near_masked: mostly(points, mask_bits::BAD | mask_bits::NO_DATA),
        fainter_than_catalogue: inputs
            .faint_limit
            .zip(brightest)
            .is_some_and(|(limit, magnitude)| magnitude > limit - FAINT_LIMIT_MARGIN),
        brighter_than_catalogue: track.brighter_than.is_some(),
        catalogue_available: inputs.catalogue_available,
        near_galaxy: has_host(inputs.catalogue, track),
        change: inputs.changes.get(index).copied().flatten(),
        on_minor_planet: minor_planet.is_some(),
        in_search_region: in_region,
    };
    let verdict = judge(&evidence);
    Some(Candidate {
        id: track.position.designation(),
        position: track.position,
        position_error_arcsec: track.position_error_arcsec,
        light_curve,
        fits,
        reasons: verdict.reasons,
        score: verdict.score,
        in_search_region: in_region.unwrap_or(true),
        offset_arcsec,
        first_detected,
        detection_count,
        minor_planet,
        set_aside: verdict.set_aside,
    })
}

/// One point for every frame that covers the place, in the order of the frames.
fn frame_points(
    inputs: &CandidateInputs<'_>,
    track: &Track,
    points: &[PlacePoint],
) -> Vec<LightCurvePoint> {
    inputs
        .frames
        .iter()
        .enumerate()
        .filter_map(|(index, frame)| {
            let image = ImageOfPoint {
                name: frame.name(),
                filter: frame.filter(),
                start: frame.start(),
                end: frame.end(),
                exposure_seconds: frame.exposure_seconds(),
                colour_error: unknown_colour_error(frame.magnitude_scale()),
            };
            match points.iter().find(|point| point.frame == index) {
                Some(point) => Some(light_curve_point(inputs, image, point)),
                None => {
                    // Covered, but not measured there: the limit of the frame is what is known.
                    frame.pixel_of(track.position, 0.0)?;
                    if !inputs.catalogue.is_empty() && !frame.status.is_absolute() {
                        return None;
                    }
                    let limit = frame.measurement.quality.limiting_magnitude?;
                    Some(undetected(image, limit))
                }
            }
        })
        .collect()
}

fn stack_point(
    inputs: &CandidateInputs<'_>,
    stack: &StackImage,
    index: usize,
) -> Option<LightCurvePoint> {
    let point = stack.points.get(index)?.as_ref()?;
    let image = ImageOfPoint {
        name: &stack.name,
        filter: &stack.filter,
        start: stack.start,
        end: stack.end,
        exposure_seconds: stack.exposure_seconds,
        colour_error: stack.colour_error,
    };
    Some(light_curve_point(inputs, image, point))
}

#[derive(Clone, Copy)]
struct ImageOfPoint<'a> {
    name: &'a str,
    filter: &'a str,
    start: UtcTime,
    end: UtcTime,
    exposure_seconds: f64,
    colour_error: f64,
}

fn undetected(image: ImageOfPoint<'_>, limit: f64) -> LightCurvePoint {
    LightCurvePoint {
        image: image.name.to_owned(),
        filter: image.filter.to_owned(),
        start: image.start,
        end: image.end,
        exposure_seconds: image.exposure_seconds,
        detected: false,
        magnitude: limit,
        magnitude_error: 0.0,
        signal_to_noise: 0.0,
        flux: 0.0,
        // The limit is ten times the noise.
        flux_error: 0.1 * 10f64.powf(0.4 * (FLUX_UNIT_MAGNITUDE - limit)),
        limiting_magnitude: limit,
    }
}

fn light_curve_point(
    inputs: &CandidateInputs<'_>,
    image: ImageOfPoint<'_>,
    point: &PlacePoint,
) -> LightCurvePoint {
    let is_significant = point.signal_to_noise >= inputs.parameters.minimum_signal_to_noise;
    let magnitude = point.magnitude().filter(|_| is_significant);
    let floor = magnitude.map_or(0.0, |magnitude| inputs.curves.floor.at(magnitude));
    LightCurvePoint {
        detected: magnitude.is_some(),
        magnitude: magnitude.unwrap_or(point.limiting_magnitude),
        magnitude_error: magnitude.map_or(0.0, |_| {
            // The colour's part is the same for all images of a filter: it is in no flux error, where it would hide fading.
            (MAGNITUDES_PER_RELATIVE_ERROR * (point.flux_error / point.flux).hypot(floor))
                .hypot(image.colour_error)
        }),
        signal_to_noise: point.signal_to_noise,
        flux: point.flux,
        flux_error: point.flux_error.hypot(floor * point.flux.max(0.0)),
        limiting_magnitude: point.limiting_magnitude,
        ..undetected(image, point.limiting_magnitude)
    }
}

/// Points of one filter with the seconds of mid-exposure after T0.
fn flux_points(
    inputs: &CandidateInputs<'_>,
    points: &[PlacePoint],
) -> BTreeMap<String, Vec<FluxPoint>> {
    let spoiled = mask_bits::SATURATED | mask_bits::BLEED;
    let mut by_filter: BTreeMap<String, Vec<FluxPoint>> = BTreeMap::new();
    for point in points.iter().filter(|point| point.mask_bits & spoiled == 0) {
        let Some(frame) = inputs.frames.get(point.frame) else { continue };
        let seconds = frame.record.keywords.mid_exposure().seconds_since(inputs.t0);
        if seconds > 0.0 {
            by_filter.entry(frame.filter().to_owned()).or_default().push(FluxPoint {
                seconds,
                flux: point.flux,
                flux_error: point.flux_error,
            });
        }
    }
    by_filter
}

/// Typical brightness of the points, for the floor.
fn typical_magnitude(points: &[FluxPoint]) -> f64 {
    let brightest = points.iter().map(|point| point.flux).fold(1e-9, f64::max);
    FLUX_UNIT_MAGNITUDE - 2.5 * brightest.log10()
}

fn fading_fits(inputs: &CandidateInputs<'_>, points: &[PlacePoint]) -> Vec<FadingFit> {
    flux_points(inputs, points)
        .into_iter()
        .filter_map(|(filter, points)| {
            let floor = inputs.curves.floor.at(typical_magnitude(&points));
            let law = fit_power_law(&points, floor)?;
            if law.flux_at_60_seconds.is_nan() || law.flux_at_60_seconds <= 0.0 {
                return None;
            }
            let seconds = || points.iter().map(|point| point.seconds);
            let freedom = law.degrees_of_freedom;
            Some(FadingFit {
                filter,
                magnitude_at_60_seconds: FLUX_UNIT_MAGNITUDE - 2.5 * law.flux_at_60_seconds.log10(),
                index: law.index,
                index_error: law.index_error,
                reduced_chi_square: if freedom > 0 { law.chi_square / freedom as f64 } else { 0.0 },
                point_count: law.point_count,
                first_seconds: seconds().fold(f64::INFINITY, f64::min),
                last_seconds: seconds().fold(0.0, f64::max),
                chi_square_gain: (law.constant_chi_square - law.chi_square).max(0.0),
            })
        })
        .collect()
}

/// χ² of the best constant beyond what chance gives, over all filters.
fn constant_excess(inputs: &CandidateInputs<'_>, points: &[PlacePoint]) -> f64 {
    flux_points(inputs, points)
        .values()
        .filter_map(|points| {
            let floor = inputs.curves.floor.at(typical_magnitude(points));
            let law = fit_power_law(points, floor)?;
            Some(law.constant_chi_square - (law.point_count as f64 - 1.0))
        })
        .sum()
}

/// The brightest detection of ten sigma, else of any.
fn brightest_magnitude(light_curve: &[LightCurvePoint]) -> Option<f64> {
    let brightest = |least: f64| {
        light_curve
            .iter()
            .filter(|point| point.detected && point.signal_to_noise >= least)
            .map(|point| point.magnitude)
            .min_by(f64::total_cmp)
    };
    brightest(SINGLE_IMAGE_SIGNAL_TO_NOISE).or_else(|| brightest(0.0))
}

/// Frames that would have shown the source, were it as bright as on its best, or a magnitude fainter.
fn chances(inputs: &CandidateInputs<'_>, track: &Track, light_curve: &[LightCurvePoint]) -> usize {
    let Some(magnitude) = brightest_magnitude(light_curve) else { return 0 };
    inputs
        .frames
        .iter()
        .filter(|frame| frame.pixel_of(track.position, 0.0).is_some())
        .filter(|frame| {
            frame.measurement.quality.limiting_magnitude.is_none_or(|limit| {
                limit + LIMIT_TO_DETECTION_MAGNITUDES >= magnitude + FADING_ALLOWANCE_MAGNITUDES
            })
        })
        .count()
        .max(light_curve.iter().filter(|point| point.detected).count().min(inputs.frames.len()))
}

/// By how much the other frames exclude that a source that one frame alone shows rises or fades as afterglows do at their
/// steepest.
fn contradiction(inputs: &CandidateInputs<'_>, points: &[PlacePoint]) -> Contradiction {
    let spoiled = mask_bits::SATURATED | mask_bits::BLEED | mask_bits::NO_DATA;
    let seen =
        points.iter().max_by(|one, other| one.signal_to_noise.total_cmp(&other.signal_to_noise));
    let timed = |point: &PlacePoint| {
        let frame = inputs.frames.get(point.frame)?;
        let seconds = frame.record.keywords.mid_exposure().seconds_since(inputs.t0);
        (seconds > 0.0).then(|| (frame.filter(), seconds))
    };
    let Some((seen, (filter, at))) = seen.and_then(|seen| Some((seen, timed(seen)?))) else {
        return Contradiction::default();
    };
    let mut against = Contradiction::default();
    let others = points.iter().filter(|point| point.frame != seen.frame);
    for point in others.filter(|point| point.mask_bits & spoiled == 0) {
        let Some((_, seconds)) = timed(point).filter(|(other, _)| *other == filter) else {
            continue;
        };
        let power = if seconds > at { -STEEPEST_INDEX } else { STEEPEST_RISE };
        let share = (seconds / at).powf(power);
        let missing = seen.flux * share - point.flux;
        let chi_square =
            (missing / point.flux_error.hypot(seen.flux_error * share)).max(0.0).powi(2);
        against.chi_square += chi_square;
        against.frames += usize::from(chi_square >= 9.0);
    }
    against
}

fn region_of(
    region: Option<PositionEstimate>,
    position: SkyPosition,
) -> (Option<bool>, Option<f64>) {
    let Some(region) = region else { return (None, None) };
    let offset = region.position.separation_arcsec(position);
    match region.radius_degrees {
        Some(radius) if radius > 0.0 => (Some(offset <= radius * 3600.0), Some(offset)),
        _ => (None, Some(offset)),
    }
}

fn has_host(catalogue: &[CatalogueObject], track: &Track) -> bool {
    catalogue.iter().any(|object| {
        object.kind == ObjectKind::Galaxy
            && object.position.separation_arcsec(track.position) <= HOST_RADIUS_ARCSEC
    })
}

fn mostly(points: &[PlacePoint], bits: u8) -> bool {
    let touched = points.iter().filter(|point| point.mask_bits & bits != 0).count();
    touched > 0 && 2 * touched >= points.len()
}

/// What the detections of a track look like.
struct Traits {
    relative_width: Option<f64>,
    extended: bool,
    axis_ratio: f64,
    near_edge: bool,
    /// Part of its light is off the frame.
    is_cut: bool,
    near_saturated: bool,
    /// Of another, brighter source.
    beside_saturated: bool,
}

/// The weighted mean of the spread models of detections without a flag. `None` without any.
fn mean_spread<'a>(sources: impl Iterator<Item = &'a Source>) -> Option<SpreadModel> {
    let (mut weights, mut sum) = (0.0, 0.0);
    for source in sources.filter(|source| source.flags == SourceFlags::default()) {
        if let Some(spread) = source.spread {
            let weight = 1.0 / spread.error.hypot(SPREAD_SCATTER).powi(2);
            weights += weight;
            sum += weight * spread.value;
        }
    }
    (weights > 0.0).then(|| SpreadModel { value: sum / weights, error: weights.sqrt().recip() })
}

impl Traits {
    fn of(inputs: &CandidateInputs<'_>, track: &Track) -> Self {
        let mut widths = Vec::new();
        let mut ratios = Vec::new();
        let (mut at_edge, mut cut, mut at_saturated, mut beside) = (0usize, 0usize, 0usize, 0usize);
        for detection in &track.detections {
            let Some(frame) = inputs.frames.get(detection.frame) else { continue };
            let Some(measured) = frame.sources.get(detection.source) else { continue };
            let source = &measured.source;
            if let Some(fwhm) = frame.fwhm_pixels() {
                widths.push(source.fwhm_pixels / fwhm);
            }
            if source.semi_minor_pixels > 0.0 {
                ratios.push(source.semi_major_pixels / source.semi_minor_pixels);
            }
            let margin = inputs.parameters.edge_pixels as f64;
            let (rows, columns) = frame.measurement.shape;
            let is_at_edge = source.x < margin
                || source.y < margin
                || source.x > columns as f64 - 1.0 - margin
                || source.y > rows as f64 - 1.0 - margin
                || source.flags.has(SourceFlags::TRUNCATED);
            at_edge += usize::from(is_at_edge);
            cut += usize::from(source.flags.has(SourceFlags::TRUNCATED));
            let mut saturated = frame.sources.iter().map(|other| &other.source).filter(|other| {
                let reach =
                    SATURATED_REACH_WIDTHS * other.semi_major_pixels + SATURATED_REACH_PIXELS;
                other.flags.has(SourceFlags::SATURATED)
                    && (other.x - source.x).hypot(other.y - source.y) <= reach
            });
            let nearest = saturated.next();
            at_saturated += usize::from(nearest.is_some());
            let is_brighter = |other: &Source| other.flux_electrons > source.flux_electrons;
            beside += usize::from(nearest.into_iter().chain(saturated).any(is_brighter));
        }
        let count = track.detections.len();
        let sources = track.detections.iter().filter_map(|detection| {
            let frame = inputs.frames.get(detection.frame)?;
            frame.sources.get(detection.source).map(|measured| &measured.source)
        });
        let median = |values: &[f64]| median_and_deviation(values).map(|pair| pair.0);
        Self {
            relative_width: median(&widths),
            extended: mean_spread(sources)
                .is_some_and(|spread| spread.value > WIDEST_STELLAR_SPREAD.max(3.0 * spread.error)),
            axis_ratio: median(&ratios).unwrap_or(1.0),
            near_edge: at_edge > 0 && 2 * at_edge >= count,
            is_cut: cut > 0 && 2 * cut >= count,
            near_saturated: at_saturated > 0 && 2 * at_saturated >= count,
            beside_saturated: beside > 0 && 2 * beside >= count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: &str) -> Candidate {
        Candidate {
            id: id.into(),
            position: SkyPosition::new(30.0, 24.0),
            position_error_arcsec: 0.1,
            light_curve: Vec::new(),
            fits: Vec::new(),
            reasons: Vec::new(),
            score: 0.1,
            in_search_region: true,
            offset_arcsec: None,
            first_detected: UtcTime::from_unix_microseconds(0),
            detection_count: 2,
            minor_planet: None,
            set_aside: None,
        }
    }

    #[test]
    fn no_two_candidates_have_one_name() {
        let mut candidates: Vec<Candidate> = (0..40).map(|_| candidate("J1_1")).collect();
        candidates.push(candidate("J2_2"));
        make_ids_unique(&mut candidates);
        let mut ids: Vec<&str> = candidates.iter().map(|each| each.id.as_str()).collect();
        assert_eq!(ids[..3], ["J1_1", "J1_1b", "J1_1c"]);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 41);
    }

    #[test]
    fn a_region_without_radius_is_no_region() {
        let estimate = |radius_degrees| {
            Some(PositionEstimate { position: SkyPosition::new(30.0, 24.0), radius_degrees })
        };
        let near = SkyPosition::new(30.0, 24.05);
        assert_eq!(region_of(None, near), (None, None));
        assert_eq!(region_of(estimate(None), near).0, None);
        assert_eq!(region_of(estimate(Some(0.06)), near).0, Some(true));
        assert_eq!(region_of(estimate(Some(0.04)), near).0, Some(false));
        assert!((region_of(estimate(Some(0.04)), near).1.unwrap() - 180.0).abs() < 1e-6);
    }
}
