//! Sources that the catalogue does not explain, followed from frame to frame.

use super::field_grid::FieldGrid;
use super::frame_scale::FieldCatalogue;
use super::measured_frame::MeasuredFrame;
use super::photometry::MAGNITUDES_PER_RELATIVE_ERROR;
use crate::imaging::{astrometry::match_nearest, world_coordinates::WorldCoordinates};
use crate::model::{CatalogueObject, SkyPosition, Source, SourceFlags};

/// Least excess over the catalogue, as a share of the catalogued flux, for a known object to be a candidate.
const LEAST_EXCESS: f64 = 0.5;
/// Objects within this many full widths share the light of the aperture.
const BLEND_WIDTHS: f64 = 1.5;
/// Trials of a few standard errors keep a faint source in its track.
const ASSOCIATION_SIGMA: f64 = 4.0;
const ARCSEC_PER_DEGREE: f64 = 3600.0;

/// One detection of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackDetection {
    /// Index into the list of frames.
    pub frame: usize,
    /// Index into the sources of the frame.
    pub source: usize,
    pub signal_to_noise: f64,
    /// Standard error on each axis.
    pub position_error_arcsec: f64,
}

/// A source seen on one or more frames, in order of the frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Weighted by the inverse squares of the errors.
    pub position: SkyPosition,
    pub position_error_arcsec: f64,
    pub detections: Vec<TrackDetection>,
    /// It stands on an object of the catalogue and is brighter than it (index into the catalogue).
    pub brighter_than: Option<usize>,
    /// Name of the first frame of its field, where the frames are not tied to the sky: positions of other fields say nothing of
    /// it.
    pub field: Option<String>,
    weight: f64,
}

/// Where a source stands on a stack, zero-based pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StackPlace {
    pub x: f64,
    pub y: f64,
    pub error_pixels: f64,
    pub fwhm_pixels: f64,
    /// Index into the catalogue, as of a [`Track`].
    pub brighter_than: Option<usize>,
}

impl Track {
    /// A source that stands on a stack; `None` where one of the `known` tracks of its field stands nearer than its width.
    pub fn of_stack(
        place: StackPlace,
        grid: &FieldGrid,
        known: &[Self],
        rules: &TrackRules,
    ) -> Option<Self> {
        let position = grid.wcs.pixel_to_sky(place.x, place.y);
        let scale = grid.wcs.scale_arcsec(place.x, place.y);
        let taken_arcsec = (2.0 * rules.association_radius_arcsec).max(place.fwhm_pixels * scale);
        let is_new = known
            .iter()
            .filter(|track| track.field == grid.field)
            .all(|track| track.position.separation_arcsec(position) > taken_arcsec);
        let error = (place.error_pixels * scale).hypot(rules.astrometry_floor_arcsec);
        is_new.then(|| Self {
            position,
            position_error_arcsec: error,
            detections: Vec::new(),
            brighter_than: place.brighter_than,
            field: grid.field.clone(),
            weight: 1.0 / (error * error),
        })
    }

    fn add(&mut self, detection: TrackDetection, position: SkyPosition) {
        let weight = detection.position_error_arcsec.powi(-2);
        let total = self.weight + weight;
        let share = weight / total;
        let (east, north) = offset_arcsec(self.position, position);
        self.position = self.position.offset_arcsec(share * east, share * north);
        self.weight = total;
        self.position_error_arcsec = total.powf(-0.5);
        self.detections.push(detection);
    }
}

/// How sources are told from catalogue objects and from each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackRules {
    pub catalogue_match_radius_arcsec: f64,
    pub association_radius_arcsec: f64,
    /// Standard errors of an excess over the catalogue.
    pub variability_sigma: f64,
    /// Floor of a position error, arcseconds: what astrometry leaves.
    pub astrometry_floor_arcsec: f64,
}

/// Offset on the tangent plane at `from`, east and north, good to microarcseconds over a frame's neighbourhoods.
pub fn offset_arcsec(from: SkyPosition, to: SkyPosition) -> (f64, f64) {
    let turn = (to.ra_degrees - from.ra_degrees + 540.0).rem_euclid(360.0) - 180.0;
    let cos = to.dec_degrees.to_radians().cos();
    (turn * cos * ARCSEC_PER_DEGREE, (to.dec_degrees - from.dec_degrees) * ARCSEC_PER_DEGREE)
}

/// Follows sources over `frames`, in their order. `catalogue` is `None` where there is none: then every source is followed.
/// Frames that are not tied to the sky cannot be compared with a catalogue and are passed over. A pure function of
/// its arguments.
pub fn follow(
    frames: &[&MeasuredFrame],
    catalogue: Option<FieldCatalogue<'_>>,
    rules: &TrackRules,
) -> Vec<Track> {
    let mut tracks: Vec<Track> = Vec::new();
    for (frame_index, frame) in frames.iter().enumerate() {
        let Some(wcs) = frame.wcs.as_ref() else { continue };
        if catalogue.is_some() && !frame.status.is_absolute() {
            continue;
        }
        let bare = frame.bare_sources();
        let field = FieldSources {
            sources: &bare,
            wcs,
            fwhm_pixels: frame.fwhm_pixels(),
            zero_point: frame.zero_point,
            exposure_seconds: frame.exposure_seconds(),
        };
        let objects = catalogue.unwrap_or_default().as_seen_by(frame.magnitude_scale());
        let unexplained = unexplained_sources(&field, &objects, rules);
        let Some(origin) = frame.centre() else { continue };
        let positions: Vec<SkyPosition> = unexplained
            .iter()
            .filter_map(|(index, _)| frame.sources.get(*index))
            .map(|each| wcs.pixel_to_sky(each.source.x, each.source.y))
            .collect();
        let plane = |position: &SkyPosition| offset_arcsec(origin, *position);
        let field_name = frame.field().map(str::to_owned);
        let (indices, left): (Vec<usize>, Vec<(f64, f64)>) = tracks
            .iter()
            .enumerate()
            .filter(|(_, track)| track.field == field_name)
            .map(|(index, track)| (index, plane(&track.position)))
            .unzip();
        let right: Vec<(f64, f64)> = positions.iter().map(plane).collect();
        let mut taken = vec![None; unexplained.len()];
        for (track, source) in match_nearest(&left, &right, search_radius(rules)) {
            if let Some(slot) = taken.get_mut(source) {
                *slot = indices.get(track).copied();
            }
        }
        for (((source, brighter_than), position), track) in
            unexplained.iter().zip(&positions).zip(taken)
        {
            let Some(measured) = frame.sources.get(*source) else { continue };
            let scale = wcs.scale_arcsec(measured.source.x, measured.source.y);
            let own = measured.source.position_error_pixels * scale;
            let error = if own.is_finite() { own } else { rules.association_radius_arcsec }
                .hypot(rules.astrometry_floor_arcsec);
            let detection = TrackDetection {
                frame: frame_index,
                source: *source,
                signal_to_noise: measured.source.signal_to_noise(),
                position_error_arcsec: error,
            };
            let near = track.and_then(|index| tracks.get_mut(index)).filter(|track| {
                let distance = track.position.separation_arcsec(*position);
                let spread = track.position_error_arcsec.hypot(error);
                distance <= rules.association_radius_arcsec
                    || distance <= ASSOCIATION_SIGMA * spread
            });
            match near {
                Some(track) => {
                    track.add(detection, *position);
                    track.brighter_than = track.brighter_than.or(*brighter_than);
                }
                None => tracks.push(Track {
                    position: *position,
                    position_error_arcsec: error,
                    weight: error.powi(-2),
                    detections: vec![detection],
                    brighter_than: *brighter_than,
                    field: field_name.clone(),
                }),
            }
        }
    }
    tracks
}

fn search_radius(rules: &TrackRules) -> f64 {
    2.0 * rules.association_radius_arcsec
}

/// The sources of one image, frame or stack, with its scales.
#[derive(Debug, Clone, Copy)]
pub struct FieldSources<'a> {
    pub sources: &'a [Source],
    pub wcs: &'a WorldCoordinates,
    pub fwhm_pixels: Option<f64>,
    /// Value and error.
    pub zero_point: Option<(f64, f64)>,
    pub exposure_seconds: f64,
}

/// Sources that stand on no catalogue object, or are far brighter than what stands there (index into the catalogue).
/// Returns indices of sources, in their order.
pub fn unexplained_sources(
    field: &FieldSources<'_>,
    catalogue: &[CatalogueObject],
    rules: &TrackRules,
) -> Vec<(usize, Option<usize>)> {
    let on_image = CatalogueOnImage::new(field.wcs, catalogue);
    field
        .sources
        .iter()
        .enumerate()
        .filter_map(|(index, source)| {
            let scale = field.wcs.scale_arcsec(source.x, source.y);
            let match_pixels = rules.catalogue_match_radius_arcsec / scale;
            let blend_pixels = match_pixels.max(BLEND_WIDTHS * field.fwhm_pixels.unwrap_or(0.0));
            let (nearest, light) = on_image.around(source.x, source.y, blend_pixels);
            let Some((object, _)) = nearest.filter(|(_, distance)| *distance <= match_pixels)
            else {
                return Some((index, None));
            };
            let (zero_point, zero_error) = field.zero_point?;
            // Flux where magnitude 0 is 1, as that of the catalogue.
            let unit = 10f64.powf(-0.4 * zero_point) / field.exposure_seconds;
            let flux = source.flux_electrons * unit;
            let relative = zero_error / MAGNITUDES_PER_RELATIVE_ERROR;
            let error = (source.flux_error_electrons * unit).hypot(flux * relative);
            let excess = flux - light;
            let is_excess = excess > rules.variability_sigma * error
                && excess > LEAST_EXCESS * light
                && !source.flags.has(SourceFlags::SATURATED);
            is_excess.then_some((index, Some(object)))
        })
        .collect()
}

/// The catalogue in the pixels of an image, sorted by row for quick looks around a place.
struct CatalogueOnImage {
    /// y, x, index, flux where magnitude 0 is 1.
    objects: Vec<(f64, f64, usize, f64)>,
}

impl CatalogueOnImage {
    fn new(wcs: &WorldCoordinates, catalogue: &[CatalogueObject]) -> Self {
        let mut objects: Vec<(f64, f64, usize, f64)> = catalogue
            .iter()
            .enumerate()
            .filter_map(|(index, object)| {
                let (x, y) = wcs.sky_to_pixel(object.position).ok()?;
                Some((y, x, index, 10f64.powf(-0.4 * object.magnitude)))
            })
            .collect();
        objects.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.2.cmp(&right.2)));
        Self { objects }
    }

    /// The nearest object with its distance, and the light of all within the radius.
    fn around(&self, x: f64, y: f64, radius: f64) -> (Option<(usize, f64)>, f64) {
        let first = self.objects.partition_point(|object| object.0 < y - radius);
        let mut nearest: Option<(usize, f64)> = None;
        let mut light = 0.0;
        for (object_y, object_x, index, flux) in self.objects.iter().skip(first) {
            if *object_y > y + radius {
                break;
            }
            let distance = (object_x - x).hypot(object_y - y);
            if distance <= radius {
                light += flux;
                if nearest.is_none_or(|(_, best)| distance < best) {
                    nearest = Some((*index, distance));
                }
            }
        }
        (nearest, light)
    }
}
