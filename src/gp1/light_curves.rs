//! Light curves: every candidate measured at its place on every frame, on the magnitude scale of the catalogue.

use super::error::Gp1Error;
use super::forced::{ForcedField, ForcedFlux, Neighbour, measure_places};
use super::frame_scale::FieldCatalogue;
use super::frame_steps::{StepContext, background_of};
use super::measured_frame::MeasuredFrame;
use super::noise_floor::{ControlStar, NoiseFloor};
use super::photometry::{MAGNITUDES_PER_RELATIVE_ERROR, has_neighbour, limiting_magnitude};
use super::pixel_budget::{PIXELS_PER_DEADLINE, frames_to_read};
use super::reduced_file::read_reduced;
use super::tracks::Track;
use crate::imaging::zero_point::{CalibrationStar, fit};
use crate::model::{CatalogueObject, MagnitudeScale, ObjectKind, SkyPosition};
use crate::progress;

/// Magnitude of flux 1 in light curves ([`crate::model::LightCurvePoint::flux`]).
pub const FLUX_UNIT_MAGNITUDE: f64 = 25.0;
/// Constant stars measured beside the candidates, brightest first.
const MOST_CONTROLS: usize = 150;
/// A control star must be alone within this many arcseconds.
const CONTROL_ISOLATION_ARCSEC: f64 = 7.0;
/// Controls fainter than this much above the catalogue's faint limit say little about systematic errors.
const CONTROL_MARGIN_MAGNITUDES: f64 = 0.5;

/// A measurement of one place on one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlacePoint {
    /// Index into the list of frames.
    pub frame: usize,
    /// In units of magnitude 25.
    pub flux: f64,
    /// Photon and sky noise, and the zero point's error.
    pub flux_error: f64,
    pub signal_to_noise: f64,
    /// Ten sigma, at this place.
    pub limiting_magnitude: f64,
    /// OR of the mask bits under it.
    pub mask_bits: u8,
}

impl PlacePoint {
    /// `None` for a flux that is not positive.
    pub fn magnitude(&self) -> Option<f64> {
        (self.flux > 0.0).then(|| FLUX_UNIT_MAGNITUDE - 2.5 * self.flux.log10())
    }
}

/// Points of each track, in order of the frames, and what the constant stars say of their worth.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LightCurves {
    pub points: Vec<Vec<PlacePoint>>,
    pub floor: NoiseFloor,
    /// Frames whose pixels were not read, because there was no time for all of them.
    pub frames_left_out: usize,
}

/// Everything measured on one image.
struct FieldPoints {
    tracks: Vec<Option<PlacePoint>>,
    controls: Vec<Option<PlacePoint>>,
}

/// What is known of the sky without the candidates.
#[derive(Clone, Copy)]
pub struct KnownSky<'a> {
    /// Objects that calibrate the images.
    pub references: FieldCatalogue<'a>,
    pub faint_limit: Option<f64>,
    /// Whether `references` are catalogue objects: then they are taken off where they disturb a candidate, and only images tied
    /// to the sky can be measured. Otherwise they are sources of the first frame, the candidates among them.
    pub is_catalogued: bool,
    /// Field of that first frame, if it is not tied to the sky.
    pub field: Option<&'a str>,
}

impl KnownSky<'_> {
    /// Whether the references are of a field.
    pub fn is_of(&self, field: Option<&str>) -> bool {
        self.is_catalogued || self.field == field
    }
}

/// Measures all tracks on the frames there is time for, in pixels read again from the workspace.
pub fn measure(
    context: StepContext<'_>,
    frames: &[&MeasuredFrame],
    tracks: &[Track],
    sky: KnownSky<'_>,
) -> Result<LightCurves, Gp1Error> {
    let controls = control_stars(sky);
    let mut points: Vec<Vec<PlacePoint>> = vec![Vec::new(); tracks.len()];
    let mut constant: Vec<ControlStar> = controls
        .iter()
        .map(|star| ControlStar { magnitude: star.magnitude, fluxes: Vec::new() })
        .collect();
    let chosen = frames_to_read(frames, PIXELS_PER_DEADLINE);
    for &index in &chosen {
        let Some(frame) = frames.get(index) else { continue };
        let (Some(wcs), Some(zero_point)) = (frame.wcs.as_ref(), frame.zero_point) else {
            continue;
        };
        if sky.is_catalogued && !frame.status.is_absolute() {
            continue;
        }
        progress::step();
        // Stars of another field calibrate nothing.
        let no_controls: &[CatalogueObject] = &[];
        let controls: &[CatalogueObject] =
            if sky.is_of(frame.field()) { &controls } else { no_controls };
        let scale = frame.magnitude_scale();
        let reduced = read_reduced(context.store, &frame.paths.reduced)?;
        let background = background_of(&reduced.image, context.settings);
        let bare = frame.bare_sources();
        let field = ForcedField {
            image: &reduced.image,
            background: &background,
            sources: &bare,
            wcs,
            fwhm_pixels: frame.fwhm_pixels(),
            aperture_radius_pixels: frame.measurement.aperture_radius_pixels,
            response: frame.response(),
        };
        let scales = Scales { zero_point, exposure_seconds: frame.exposure_seconds() };
        let measured = measure_field(&field, scales, scale, tracks, controls, sky, index);
        for ((curve, point), track) in points.iter_mut().zip(measured.tracks).zip(tracks) {
            curve.extend(point.filter(|_| track.field.as_deref() == frame.field()));
        }
        for (star, point) in constant.iter_mut().zip(measured.controls) {
            star.fluxes.extend(point.map(|point| (point.flux, point.flux_error)));
        }
    }
    let frames_left_out = frames.len() - chosen.len();
    Ok(LightCurves { points, floor: NoiseFloor::measure(&constant), frames_left_out })
}

/// Measures all tracks on one more image, a stack: one point each where it covers them.
#[allow(clippy::too_many_arguments)]
pub fn measure_on_stack(
    field: &ForcedField<'_>,
    (zero_point, scale): ((f64, f64), Option<&MagnitudeScale>),
    exposure_seconds: f64,
    stack_field: Option<&str>,
    tracks: &[Track],
    sky: KnownSky<'_>,
    index: usize,
) -> Vec<Option<PlacePoint>> {
    let controls = if sky.is_of(stack_field) { control_stars(sky) } else { Vec::new() };
    let scales = Scales { zero_point, exposure_seconds };
    let points = measure_field(field, scales, scale, tracks, &controls, sky, index).tracks;
    let is_there = |track: &Track| sky.is_catalogued || track.field.as_deref() == stack_field;
    points.into_iter().zip(tracks).map(|(point, track)| point.filter(|_| is_there(track))).collect()
}

/// The light curves as the source tables have them: no pixel is read, so this is quick enough after every frame. Frames on
/// which a track was not detected have no point.
pub fn from_tables(frames: &[&MeasuredFrame], tracks: &[Track]) -> LightCurves {
    let points = tracks
        .iter()
        .map(|track| {
            track
                .detections
                .iter()
                .filter_map(|detection| {
                    let frame = frames.get(detection.frame)?;
                    let source = &frame.sources.get(detection.source)?.source;
                    let forced = ForcedFlux {
                        flux_electrons: source.flux_electrons,
                        error_electrons: source.flux_error_electrons,
                        sky_error_electrons: frame.measurement.aperture_noise_electrons,
                        mask_bits: 0,
                    };
                    let scales = Scales {
                        zero_point: frame.zero_point?,
                        exposure_seconds: frame.exposure_seconds(),
                    };
                    scales.point(&forced, detection.frame)
                })
                .collect()
        })
        .collect();
    let floor = NoiseFloor::measure(&catalogued_stars(frames));
    LightCurves { points, floor, frames_left_out: 0 }
}

/// The catalogued stars of the source tables as control stars.
fn catalogued_stars(frames: &[&MeasuredFrame]) -> Vec<ControlStar> {
    let mut stars: std::collections::BTreeMap<&str, ControlStar> = Default::default();
    for frame in frames {
        let Some(zero_point) = frame.zero_point else { continue };
        let scales = Scales { zero_point, exposure_seconds: frame.exposure_seconds() };
        for each in &frame.sources {
            let Some(object) = &each.object else { continue };
            if object.kind == ObjectKind::Galaxy
                || each.source.flags.has(super::photometry::UNFIT_FLAGS)
            {
                continue;
            }
            let flux = scales.flux(each.source.flux_electrons);
            let error = scales.flux(each.source.flux_error_electrons);
            stars
                .entry(&object.id)
                .or_insert_with(|| ControlStar { magnitude: object.magnitude, fluxes: Vec::new() })
                .fluxes
                .push((flux, error));
        }
    }
    stars.into_values().collect()
}

/// Isolated stars of the catalogue, brightest first.
fn control_stars(sky: KnownSky<'_>) -> Vec<CatalogueObject> {
    let limit = sky.faint_limit.map_or(f64::INFINITY, |limit| limit - CONTROL_MARGIN_MAGNITUDES);
    let mut stars: Vec<CatalogueObject> = sky
        .references
        .objects
        .iter()
        .enumerate()
        .filter(|(index, object)| {
            object.kind != ObjectKind::Galaxy
                && object.magnitude <= limit
                && !has_neighbour(sky.references.objects, *index, CONTROL_ISOLATION_ARCSEC)
        })
        .map(|(_, object)| object.clone())
        .collect();
    stars.sort_by(|left, right| {
        left.magnitude.total_cmp(&right.magnitude).then_with(|| left.id.cmp(&right.id))
    });
    // A spread over all magnitudes: the brightest saturate, and the faint tell of crowding.
    let step = stars.len().div_ceil(MOST_CONTROLS).max(1);
    stars.into_iter().step_by(step).collect()
}

#[derive(Debug, Clone, Copy)]
struct Scales {
    zero_point: (f64, f64),
    exposure_seconds: f64,
}

impl Scales {
    fn flux(&self, electrons: f64) -> f64 {
        electrons / self.exposure_seconds
            * 10f64.powf(0.4 * (FLUX_UNIT_MAGNITUDE - self.zero_point.0))
    }

    fn point(&self, forced: &ForcedFlux, frame: usize) -> Option<PlacePoint> {
        let flux = self.flux(forced.flux_electrons);
        let own = self.flux(forced.error_electrons);
        let common = flux * self.zero_point.1 / MAGNITUDES_PER_RELATIVE_ERROR;
        let limit = limiting_magnitude(
            forced.sky_error_electrons,
            self.zero_point.0,
            self.exposure_seconds,
        )?;
        (flux.is_finite() && own.is_finite() && own > 0.0).then(|| PlacePoint {
            frame,
            flux,
            flux_error: own.hypot(common),
            signal_to_noise: flux / own,
            limiting_magnitude: limit,
            mask_bits: forced.mask_bits,
        })
    }
}

fn measure_field(
    field: &ForcedField<'_>,
    scales: Scales,
    scale: Option<&MagnitudeScale>,
    tracks: &[Track],
    controls: &[CatalogueObject],
    sky: KnownSky<'_>,
    index: usize,
) -> FieldPoints {
    let references = sky.references.as_seen_by(scale);
    let controls = FieldCatalogue { objects: controls, ..sky.references }.as_seen_by(scale);
    let electrons = |magnitude: f64| {
        scales.exposure_seconds * 10f64.powf(0.4 * (scales.zero_point.0 - magnitude))
    };
    let neighbours: Vec<Neighbour> = references
        .iter()
        .filter(|_| sky.is_catalogued)
        .map(|object| Neighbour {
            position: object.position,
            flux_electrons: electrons(object.magnitude),
            is_extended: object.kind == ObjectKind::Galaxy,
        })
        .collect();
    let places: Vec<SkyPosition> = controls
        .iter()
        .map(|star| star.position)
        .chain(tracks.iter().map(|track| track.position))
        .collect();
    let forced = measure_places(field, &places, &neighbours);
    let (control_fluxes, track_fluxes) = forced.split_at(controls.len());
    let own_scales = recalibrated(scales, &controls, control_fluxes);
    let point = |forced: &Option<ForcedFlux>| own_scales.point(forced.as_ref()?, index);
    let spoiled = crate::imaging::mask_bits::SATURATED | crate::imaging::mask_bits::BLEED;
    FieldPoints {
        tracks: track_fluxes.iter().map(point).collect(),
        controls: control_fluxes
            .iter()
            .map(|forced| point(forced).filter(|point| point.mask_bits & spoiled == 0))
            .collect(),
    }
}

/// The zero point for forced fluxes from the control stars, which went through the same measurement; the frame's own, of
/// aperture fluxes, where there are too few.
fn recalibrated(
    scales: Scales,
    controls: &[CatalogueObject],
    fluxes: &[Option<ForcedFlux>],
) -> Scales {
    const FEWEST_STARS: usize = 5;
    const LEAST_SIGNAL_TO_NOISE: f64 = 15.0;
    let stars: Vec<CalibrationStar> = controls
        .iter()
        .zip(fluxes)
        .filter_map(|(object, forced)| {
            let forced = forced.as_ref()?;
            let is_fit = forced.mask_bits == 0
                && forced.flux_electrons > LEAST_SIGNAL_TO_NOISE * forced.error_electrons;
            is_fit.then(|| CalibrationStar {
                flux: forced.flux_electrons / scales.exposure_seconds,
                flux_error: forced.error_electrons / scales.exposure_seconds,
                magnitude: object.magnitude,
                magnitude_error: object.magnitude_error,
            })
        })
        .collect();
    match fit(&stars, FEWEST_STARS) {
        Some(zero) => Scales { zero_point: (zero.value, zero.error), ..scales },
        None => scales,
    }
}

/// Sources of the first frame as a catalogue, where there is none: their magnitudes are in its instrumental scale.
pub fn catalogue_of_frame(frame: &MeasuredFrame) -> Vec<CatalogueObject> {
    let (Some(wcs), Some((zero_point, _))) = (frame.wcs.as_ref(), frame.zero_point) else {
        return Vec::new();
    };
    frame
        .sources
        .iter()
        .enumerate()
        .filter(|(_, each)| each.source.flux_electrons > 0.0)
        .map(|(index, each)| {
            let rate = each.source.flux_electrons / frame.exposure_seconds();
            CatalogueObject {
                id: format!("{}-{index}", frame.name()),
                kind: ObjectKind::Unknown,
                position: wcs.pixel_to_sky(each.source.x, each.source.y),
                magnitude: zero_point - 2.5 * rate.log10(),
                magnitude_error: MAGNITUDES_PER_RELATIVE_ERROR / each.source.signal_to_noise(),
                magnitudes: Vec::new(),
            }
        })
        .collect()
}
