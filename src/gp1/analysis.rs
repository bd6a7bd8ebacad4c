//! The analysis of a trigger with the frames at hand: what is there, how it changes, how deep the images go.

use super::astrometry::cone_radius_degrees;
use super::candidates::{CandidateInputs, SINGLE_IMAGE_SIGNAL_TO_NOISE, StackImage, rank};
use super::completeness::study;
use super::error::Gp1Error;
use super::findstars::{StarField, find_stars};
use super::forced::{FieldResponse, ForcedField};
use super::frame_scale::{BandChoice, FieldCatalogue, unknown_colour_error};
use super::frame_steps::{StepContext, StepTimer, background_of};
use super::light_curves::{KnownSky, catalogue_of_frame, from_tables, measure, measure_on_stack};
use super::measured_frame::MeasuredFrame;
use super::photometry::{CalibratingCatalogue, FramePhotometry, calibrate};
use super::reduced_file::read_reduced;
use super::stack_difference::{StackDifference, stack_difference};
use super::stacking::{FilterStack, StackSet};
use super::tracks::{FieldSources, StackPlace, Track, TrackRules, follow, unexplained_sources};
use crate::imaging::{CalibratedImage, stack::DepthMap};
use crate::model::{
    Candidate, CatalogueAnswer, CatalogueStatus, Degradation, FilterLimit, InjectionStudy,
    MagnitudeScale, MinorPlanetAnswer, PositionEstimate, SkyPosition, UtcTime,
};
use crate::progress;
use std::collections::BTreeMap;

/// What an astrometric solution leaves at best, arcseconds per axis.
const ASTROMETRY_FLOOR_ARCSEC: f64 = 0.05;
/// A source that stands on the stack alone must have this. What one image alone shows is no part of a clipped stack, so that the source is confirmed by
/// several: less than the ten sigma of a single image is enough, and more than the five that chance reaches somewhere in a field.
const STACK_SIGNAL_TO_NOISE: f64 = 7.5;
/// Frames of which a stack must be made for that.
const STACK_FRAMES: usize = 3;
/// Dithers and pointing errors put objects outside the first frame on others.
const FIELD_MARGIN_ARCSEC: f64 = 180.0;

/// What a burst is searched with.
#[derive(Debug, Clone, Copy)]
pub struct SearchTarget {
    pub t0: UtcTime,
    pub region: Option<PositionEstimate>,
}

/// The stack of a filter with what was found on it.
pub struct StackView<'a> {
    pub name: String,
    pub stack: &'a FilterStack,
    pub image: CalibratedImage,
    pub depth: DepthMap,
    pub(super) field: StarField,
    photometry: FramePhotometry,
}

/// What the analysis found.
pub struct Findings {
    /// The best first; none left out.
    pub candidates: Vec<Candidate>,
    pub limits: Vec<FilterLimit>,
    pub catalogue_status: CatalogueStatus,
    pub field_centre: Option<SkyPosition>,
    pub completeness: Vec<InjectionStudy>,
    /// Of stacks to their templates, by the name of the stack.
    pub(super) differences: Vec<(String, StackDifference)>,
    pub degradations: Vec<Degradation>,
}

pub(super) fn rules(context: StepContext<'_>) -> TrackRules {
    let summary = &context.settings.summary;
    TrackRules {
        catalogue_match_radius_arcsec: summary.catalogue_match_radius_arcsec,
        association_radius_arcsec: summary.association_radius_arcsec,
        variability_sigma: summary.variability_sigma,
        astrometry_floor_arcsec: ASTROMETRY_FLOOR_ARCSEC,
    }
}

/// The first frame that is tied to the sky, else the first whose place is known roughly.
fn first_placed<'a>(frames: &[&'a MeasuredFrame]) -> Option<&'a MeasuredFrame> {
    let absolute = frames.iter().find(|frame| frame.status.is_absolute());
    absolute.or_else(|| frames.iter().find(|frame| frame.wcs.is_some())).copied()
}

/// Centre and radius (degrees) of the cone that holds the field of a frame and what dithers add.
fn cone_about(frame: &MeasuredFrame) -> Option<(SkyPosition, f64)> {
    let shape = frame.measurement.shape;
    let scale = frame.wcs.as_ref()?.central_scale_arcsec(shape);
    let radius = cone_radius_degrees(scale, shape, FIELD_MARGIN_ARCSEC);
    Some((frame.centre()?, radius))
}

/// Minor planets about the field, each with a place for every frame; `None` where there are no orbits or no frame is tied to the sky.
fn field_minor_planets(
    context: StepContext<'_>,
    frames: &[&MeasuredFrame],
) -> Option<MinorPlanetAnswer> {
    let (centre, radius_degrees) =
        cone_about(first_placed(frames).filter(|frame| frame.status.is_absolute())?)?;
    let instants: Vec<UtcTime> =
        frames.iter().map(|frame| frame.record.keywords.mid_exposure()).collect();
    context.catalogue.minor_planets(centre, radius_degrees, &instants)
}

/// The catalogue about the field of the frames.
pub(super) fn field_catalogue(
    context: StepContext<'_>,
    frames: &[&MeasuredFrame],
) -> CatalogueAnswer {
    let answer = first_placed(frames).and_then(|frame| {
        let (centre, radius_degrees) = cone_about(frame)?;
        Some(context.catalogue.cone_at(centre, radius_degrees, frame.start()))
    });
    answer.unwrap_or_else(|| CatalogueAnswer::Unavailable {
        reason: "the place of the field is unknown".into(),
    })
}

/// The list after a frame: from the source tables alone, quickly.
pub fn provisional(
    context: StepContext<'_>,
    frames: &[&MeasuredFrame],
    target: SearchTarget,
) -> Vec<Candidate> {
    let answer = field_catalogue(context, frames);
    let is_catalogued = !answer.objects().is_empty();
    let catalogue = FieldCatalogue { objects: answer.objects(), bands: context.catalogue.bands() };
    let tracks = follow(frames, is_catalogued.then_some(catalogue), &rules(context));
    let curves = from_tables(frames, &tracks);
    let moving = field_minor_planets(context, frames);
    rank(&CandidateInputs {
        frames,
        tracks: &tracks,
        curves: &curves,
        stacks: &[],
        changes: &[],
        minor_planets: moving.as_ref().map_or(&[], MinorPlanetAnswer::objects),
        catalogue: answer.objects(),
        catalogue_available: is_catalogued,
        faint_limit: answer.faint_limit(),
        t0: target.t0,
        region: target.region,
        parameters: &context.settings.summary,
    })
}

/// The views of all stacks: detected and calibrated like frames.
pub fn view_stacks<'a>(
    context: StepContext<'_>,
    stacks: &'a StackSet,
    frames: &[&MeasuredFrame],
) -> Vec<StackView<'a>> {
    let answer = field_catalogue(context, frames);
    stacks
        .named()
        .into_iter()
        .filter(|(_, stack)| stack.stacked.len() > 1)
        .map(|(name, stack)| {
            let mut timer = StepTimer::new(&name);
            let (image, depth) = stack.image_with_depth();
            let field = find_stars(&image, &context.settings.findstars);
            let reference = &stack.reference;
            let identity = if reference.is_absolute {
                super::astrometry::identify(
                    &field.detections.sources,
                    &reference.wcs,
                    answer.objects(),
                    context.settings.photometry.match_radius_arcsec,
                )
            } else {
                vec![None; field.detections.sources.len()]
            };
            let bands = context.catalogue.bands();
            let choice = BandChoice::new(bands, &stack.filter, &reference.filter_rules);
            let photometry = calibrate(
                &image,
                &field,
                reference.exposure_seconds,
                reference.is_absolute.then(|| reference.wcs.central_scale_arcsec(reference.shape)),
                CalibratingCatalogue { objects: answer.objects(), choice: choice.as_ref() },
                &identity,
                &context.settings.photometry,
            );
            timer.done("stack measured");
            StackView { name, stack, image, depth, field, photometry }
        })
        .collect()
}

impl StackView<'_> {
    /// Value and error; that of the reference frame where the stack has none of its own.
    pub(super) fn zero_point(&self) -> (f64, f64) {
        let reference = &self.stack.reference;
        self.photometry
            .zero_point
            .map_or((reference.zero_point, reference.zero_point_error), |zero| {
                (zero.value, zero.error)
            })
    }

    /// That of the reference frame where the stack has none of its own.
    pub(super) fn scale(&self) -> Option<&MagnitudeScale> {
        self.photometry.scale.as_ref().or(self.stack.reference.magnitude_scale.as_ref())
    }

    pub(super) fn fields(&self) -> FieldSources<'_> {
        FieldSources {
            sources: &self.field.detections.sources,
            wcs: &self.stack.reference.wcs,
            fwhm_pixels: self.field.detections.stellar_fwhm_pixels,
            zero_point: Some(self.zero_point()),
            exposure_seconds: self.stack.reference.exposure_seconds,
        }
    }

    /// From here on a source that stands on the stack alone is a candidate.
    pub(super) fn least_signal_to_noise(&self) -> f64 {
        match self.stack.stacked.len() >= STACK_FRAMES {
            true => STACK_SIGNAL_TO_NOISE,
            false => SINGLE_IMAGE_SIGNAL_TO_NOISE,
        }
    }

    pub(super) fn limit(&self) -> Option<f64> {
        self.photometry.limiting_magnitude
    }
}

/// Analyses `frames`, in their order, with the stacks made of them.
pub fn analyse(
    context: StepContext<'_>,
    frames: &[&MeasuredFrame],
    stacks: &[StackView<'_>],
    target: SearchTarget,
) -> Result<Findings, Gp1Error> {
    let mut timer = StepTimer::new("analysis");
    let answer = field_catalogue(context, frames);
    let is_catalogued = !answer.objects().is_empty();
    let rules = rules(context);
    let bands = context.catalogue.bands();
    let catalogue = is_catalogued.then(|| FieldCatalogue { objects: answer.objects(), bands });
    let mut tracks = follow(frames, catalogue, &rules);
    for view in stacks {
        tracks.extend(stack_tracks(view, &tracks, catalogue, &rules));
    }
    timer.done("tracks");
    let (differences, without_template) = differences(context, stacks);
    for (view, made) in &differences {
        tracks.extend(made.tracks(view, &tracks, &rules));
    }
    let changes: Vec<Option<f64>> = tracks
        .iter()
        .map(|track| {
            let of_field =
                differences.iter().filter(|(view, _)| view.stack.reference.field == track.field);
            of_field
                .filter_map(|(view, made)| made.significance_at(view, track.position))
                .max_by(|one, other| one.abs().total_cmp(&other.abs()))
        })
        .collect();
    timer.done("differences");
    let first = frames.iter().find(|frame| frame.zero_point.is_some());
    let own = match first {
        Some(first) if !is_catalogued => catalogue_of_frame(first),
        _ => Vec::new(),
    };
    let sky = KnownSky {
        references: catalogue.unwrap_or(FieldCatalogue { objects: &own, bands: &[] }),
        faint_limit: answer.faint_limit(),
        is_catalogued,
        field: first.and_then(|frame| frame.field()),
    };
    let curves = measure(context, frames, &tracks, sky)?;
    timer.done("light curves");
    let stack_images: Vec<StackImage> =
        stacks.iter().map(|view| stack_image(context, view, &tracks, sky, frames.len())).collect();
    let moving = field_minor_planets(context, frames);
    let candidates = rank(&CandidateInputs {
        frames,
        tracks: &tracks,
        curves: &curves,
        stacks: &stack_images,
        changes: &changes,
        minor_planets: moving.as_ref().map_or(&[], MinorPlanetAnswer::objects),
        catalogue: answer.objects(),
        catalogue_available: is_catalogued,
        faint_limit: answer.faint_limit(),
        t0: target.t0,
        region: target.region,
        parameters: &context.settings.summary,
    });
    timer.done("candidates");
    let completeness = match context.settings.summary.injections {
        true => stacks
            .iter()
            .zip(0..)
            .filter_map(|(view, seed)| study(context, view, catalogue, seed))
            .collect(),
        false => Vec::new(),
    };
    timer.done("injections");
    let mut degradations = degradations(frames, &answer);
    degradations.extend(without_template);
    degradations.extend(moving.as_ref().and_then(of_minor_planets));
    if curves.frames_left_out > 0 {
        let read = frames.len() - curves.frames_left_out;
        let reason = format!(
            "light curves were measured on the stacks and {read} of {} frames, evenly spaced",
            frames.len()
        );
        degradations.push(Degradation::new("FEWPOINT", reason));
    }
    Ok(Findings {
        candidates,
        limits: limits(frames, stacks),
        catalogue_status: answer.status(),
        field_centre: frames.iter().find_map(|frame| frame.centre()),
        completeness,
        differences: differences
            .into_iter()
            .map(|(view, made)| (view.name.clone(), made))
            .collect(),
        degradations,
    })
}

/// The differences of the stacks to their templates, and what is to be said where there is none though templates are looked for.
fn differences<'a, 'b>(
    context: StepContext<'_>,
    stacks: &'b [StackView<'a>],
) -> (Vec<(&'b StackView<'a>, StackDifference)>, Option<Degradation>) {
    let mut made = Vec::new();
    let mut refusals = Vec::new();
    for view in stacks {
        match stack_difference(context, view) {
            Some(Ok(difference)) => {
                tracing::info!(stack = %view.name, template = %difference.template, "difference made");
                made.push((view, difference));
            }
            Some(Err(refusal)) => refusals.push(format!("{}: {refusal}", view.name)),
            None => {}
        }
    }
    let degradation = (!refusals.is_empty()).then(|| {
        let reason = format!("{}; what is new is told by the catalogue alone", refusals.join("; "));
        Degradation::new("NOTMPL", reason)
    });
    (made, degradation)
}

/// Sources of a stack that neither the catalogue nor a track explains.
fn stack_tracks(
    view: &StackView<'_>,
    tracks: &[Track],
    catalogue: Option<FieldCatalogue<'_>>,
    rules: &TrackRules,
) -> Vec<Track> {
    if catalogue.is_some() && !view.stack.reference.is_absolute {
        return Vec::new();
    }
    let fields = view.fields();
    let objects = catalogue.unwrap_or_default().as_seen_by(view.scale());
    unexplained_sources(&fields, &objects, rules)
        .into_iter()
        .filter_map(|(index, brighter_than)| {
            let source = fields.sources.get(index)?;
            let is_enough = source.signal_to_noise() >= view.least_signal_to_noise();
            if !is_enough {
                return None;
            }
            let place = StackPlace {
                x: source.x,
                y: source.y,
                error_pixels: source.position_error_pixels,
                fwhm_pixels: fields.fwhm_pixels.unwrap_or(0.0),
                brighter_than,
            };
            Track::of_stack(place, &view.stack.reference, tracks, rules)
        })
        .collect()
}

fn stack_image(
    context: StepContext<'_>,
    view: &StackView<'_>,
    tracks: &[Track],
    sky: KnownSky<'_>,
    index: usize,
) -> StackImage {
    let background = background_of(&view.image, context.settings);
    let field = ForcedField {
        image: &view.image,
        background: &background,
        sources: &view.field.detections.sources,
        wcs: &view.stack.reference.wcs,
        fwhm_pixels: view.field.detections.stellar_fwhm_pixels,
        aperture_radius_pixels: view.field.detections.aperture_radius_pixels,
        response: FieldResponse { aperture: view.field.aperture, ..FieldResponse::default() },
    };
    let points = measure_on_stack(
        &field,
        (view.zero_point(), view.scale()),
        view.stack.reference.exposure_seconds,
        view.stack.reference.field.as_deref(),
        tracks,
        sky,
        index,
    );
    StackImage {
        name: view.name.clone(),
        filter: view.stack.filter.clone(),
        start: view.stack.first_start,
        end: view.stack.last_end,
        exposure_seconds: view.stack.exposure_seconds,
        colour_error: unknown_colour_error(view.scale()),
        least_signal_to_noise: view.least_signal_to_noise(),
        points,
    }
}

/// For each filter the depth of its deepest image.
fn limits(frames: &[&MeasuredFrame], stacks: &[StackView<'_>]) -> Vec<FilterLimit> {
    let mut by_filter: BTreeMap<&str, Vec<&MeasuredFrame>> = BTreeMap::new();
    for frame in frames {
        by_filter.entry(frame.filter()).or_default().push(frame);
    }
    by_filter
        .into_iter()
        .filter_map(|(filter, members)| {
            let of_frames = members
                .iter()
                .filter_map(|frame| {
                    Some((frame.measurement.quality.limiting_magnitude?, frame.name().to_owned()))
                })
                .max_by(|left, right| left.0.total_cmp(&right.0));
            let of_stacks = stacks
                .iter()
                .filter(|view| view.stack.filter == filter)
                .filter_map(|view| Some((view.limit()?, view.name.clone())))
                .max_by(|left, right| left.0.total_cmp(&right.0));
            let deepest = [of_frames, of_stacks]
                .into_iter()
                .flatten()
                .max_by(|left, right| left.0.total_cmp(&right.0))?;
            Some(FilterLimit {
                filter: filter.to_owned(),
                frame_count: members.len(),
                exposure_seconds: members.iter().map(|frame| frame.exposure_seconds()).sum(),
                first_start: members.iter().map(|frame| frame.start()).min()?,
                last_end: members.iter().map(|frame| frame.end()).max()?,
                limiting_magnitude: deepest.0,
                image: deepest.1,
            })
        })
        .collect()
}

/// What the prediction of minor planets lacks.
fn of_minor_planets(answer: &MinorPlanetAnswer) -> Option<Degradation> {
    match answer {
        MinorPlanetAnswer::Unavailable { reason } => Some(Degradation::new(
            "NOMPC",
            format!("{reason}; minor planets are not told from other candidates"),
        )),
        MinorPlanetAnswer::Stale { age_days, .. } => Some(Degradation::new(
            "OLDMPC",
            format!(
                "the orbits of minor planets are {age_days:.0} days from the date of the frames"
            ),
        )),
        MinorPlanetAnswer::Found { .. } | MinorPlanetAnswer::Empty => None,
    }
}

/// What the frames lack, once for each kind, with the number of frames it holds for.
fn degradations(frames: &[&MeasuredFrame], answer: &CatalogueAnswer) -> Vec<Degradation> {
    let mut by_code: BTreeMap<&str, (usize, &Degradation)> = BTreeMap::new();
    for degradation in frames.iter().flat_map(|frame| &frame.measurement.quality.degradations) {
        by_code.entry(&degradation.code).or_insert((0, degradation)).0 += 1;
    }
    let mut all: Vec<Degradation> = by_code
        .into_values()
        .map(|(count, first)| {
            let reason = format!("{count} of {} frames: {}", frames.len(), first.reason);
            Degradation::new(&first.code, reason)
        })
        .collect();
    match answer {
        CatalogueAnswer::Unavailable { reason } if !frames.is_empty() => {
            all.retain(|each| each.code != "NOCAT");
            all.push(Degradation::new(
                "NOCAT",
                format!("{reason}; magnitudes are instrumental and every source is a candidate"),
            ));
        }
        CatalogueAnswer::Stale { age_days, .. } => {
            all.push(Degradation::new(
                "OLDCAT",
                format!("the catalogue is {age_days:.0} days old"),
            ));
        }
        _ => {}
    }
    if !answer.objects().is_empty() && answer.covered_share() < 1.0 {
        let percent = 100.0 * answer.covered_share();
        all.push(Degradation::new(
            "PARTCAT",
            format!("the catalogue covers {percent:.0} % of the cone about the field"),
        ));
    }
    all
}

/// The stacks made anew of exactly these frames.
pub fn restack(
    context: StepContext<'_>,
    frames: &[&MeasuredFrame],
) -> Result<(StackSet, Vec<Option<String>>), Gp1Error> {
    let mut stacks = StackSet::default();
    let mut refusals = Vec::new();
    for frame in frames {
        progress::step();
        let reduced = read_reduced(context.store, &frame.paths.reduced)?;
        let background = background_of(&reduced.image, context.settings);
        let offered = stacks.offer(
            frame,
            &reduced.image,
            &background,
            &context.settings.stacking,
            &context.settings.alignment,
        );
        refusals.push(offered.err().map(|refusal| refusal.to_string()));
    }
    Ok((stacks, refusals))
}
