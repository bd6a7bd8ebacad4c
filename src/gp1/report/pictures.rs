//! The pictures of a report, cut out of the frames and stacks of the workspace.

use super::ReportInputs;
use super::cutouts::{Layer, strip};
use super::finding_chart::{ChartStar, ChartSubject, FIELD_ARCSEC, draw, picture_size};
use super::page::Picture;
use crate::gp1::frame_scale::FieldCatalogue;
use crate::gp1::measured_frame::MeasuredFrame;
use crate::gp1::nominal::coordinates_of;
use crate::imaging::{Image, north_up::SkyPicture, world_coordinates::WorldCoordinates};
use crate::model::{Candidate, ObjectKind, SkyPosition};
use crate::progress;
use std::path::{Path, PathBuf};

/// Candidates with pictures.
pub const PICTURED: usize = 20;
/// Frames, and stacks, that are read: a report costs the same however many there are.
const MOST_IMAGES: usize = 2;
/// What the reticle leaves free about a source, in widths of a star.
const CLEAR_WIDTHS: f64 = 1.6;
/// Width of a star where it was not measured, pixels.
const ASSUMED_FWHM_PIXELS: f64 = 3.0;

/// The pictures, and what kept others from being made.
#[derive(Debug, Default)]
pub struct Pictures {
    /// Of the first candidates, in their order.
    pub cutouts: Vec<Option<Picture>>,
    pub chart: Option<Picture>,
    pub omissions: Vec<String>,
}

/// An image with where it is and how bright its electrons are.
struct Exposed {
    /// Words above its cut-outs.
    title: String,
    name: String,
    image: Image,
    coordinates: WorldCoordinates,
    /// Flux where magnitude zero is one, of an electron.
    flux_unit: f64,
}

impl Exposed {
    fn covers(&self, position: SkyPosition) -> bool {
        let (rows, columns) = self.image.dim();
        self.coordinates.sky_to_pixel(position).is_ok_and(|(x, y)| {
            x >= 0.0 && y >= 0.0 && x <= columns as f64 - 1.0 && y <= rows as f64 - 1.0
        })
    }
}

fn flux_unit(zero_point: f64, exposure_seconds: f64) -> f64 {
    10f64.powf(-0.4 * zero_point) / exposure_seconds
}

/// Makes all pictures. What cannot be read is left out and said.
pub fn pictures(inputs: &ReportInputs<'_>, catalogue: FieldCatalogue<'_>) -> Pictures {
    let result = inputs.result;
    let candidates: Vec<&Candidate> =
        result.candidates.iter().take(PICTURED).map(|listed| &listed.candidate).collect();
    let mut made = Pictures::default();
    let Some(geometry) = Geometry::of(inputs) else {
        made.cutouts = vec![None; candidates.len()];
        if !inputs.frames.is_empty() {
            made.omissions.push("no frame has coordinates: there are no pictures".to_owned());
        }
        return made;
    };
    let mut layers: Vec<Vec<Layer>> = vec![Vec::new(); candidates.len()];
    let subject = subject(inputs, &candidates);
    let choice = frames_shown(inputs.frames, &candidates);
    for (index, frame) in inputs.frames.iter().enumerate() {
        if !choice.contains(&Some(index)) {
            continue;
        }
        match read_frame(inputs, frame) {
            Ok(exposed) => {
                for ((candidate, chosen), layers) in candidates.iter().zip(&choice).zip(&mut layers)
                {
                    if *chosen == Some(index) {
                        layers.push(geometry.layer(&exposed, candidate.position));
                    }
                }
            }
            Err(what) => made.omissions.push(what),
        }
    }
    for path in combined_images(inputs.directory, "stack_") {
        match read_combined(inputs, &path, "STACK") {
            Ok(exposed) => {
                geometry.add_covered(&exposed, &candidates, &mut layers);
                if made.chart.is_none()
                    && let Some(subject) = &subject
                {
                    made.chart = chart(inputs, subject, &exposed, catalogue);
                }
            }
            Err(what) => made.omissions.push(what),
        }
    }
    for path in combined_images(inputs.directory, "difference_") {
        match read_combined(inputs, &path, "DIFFERENCE") {
            Ok(exposed) => geometry.add_covered(&exposed, &candidates, &mut layers),
            Err(what) => made.omissions.push(what),
        }
    }
    if made.chart.is_none()
        && let Some(subject) = &subject
        && let Some(frame) =
            inputs.frames.iter().rev().find(|frame| frame.pixel_of(subject.position, 0.0).is_some())
    {
        match read_frame(inputs, frame) {
            Ok(exposed) => made.chart = chart(inputs, subject, &exposed, catalogue),
            Err(what) => made.omissions.push(what),
        }
    }
    made.cutouts = candidates
        .iter()
        .zip(&layers)
        .map(|(candidate, layers)| cutout(candidate, layers, &geometry))
        .collect();
    made
}

/// What the chart is centred on.
struct Subject {
    name: String,
    position: SkyPosition,
    is_source: bool,
}

fn subject(inputs: &ReportInputs<'_>, candidates: &[&Candidate]) -> Option<Subject> {
    let best = inputs.result.best().map(|listed| &listed.candidate);
    match best.or(candidates.first().copied()) {
        Some(candidate) => Some(Subject {
            name: candidate.id.clone(),
            position: candidate.position,
            is_source: true,
        }),
        None => inputs.result.search_region.map(|region| Subject {
            name: "SEARCH REGION".to_owned(),
            position: region.position,
            is_source: false,
        }),
    }
}

/// Size of the cut-outs.
struct Geometry {
    side: usize,
    scale_arcsec: f64,
    clear_arcsec: f64,
}

impl Geometry {
    fn of(inputs: &ReportInputs<'_>) -> Option<Self> {
        let frame = inputs.frames.iter().find(|frame| frame.wcs.is_some())?;
        let scale_arcsec = frame.wcs.as_ref()?.central_scale_arcsec(frame.measurement.shape);
        let fwhm = frame.fwhm_pixels().unwrap_or(ASSUMED_FWHM_PIXELS);
        (scale_arcsec.is_finite() && scale_arcsec > 0.0).then_some(Self {
            side: inputs.context.settings.summary.cutout_pixels,
            scale_arcsec,
            clear_arcsec: CLEAR_WIDTHS * fwhm * scale_arcsec,
        })
    }

    fn layer(&self, exposed: &Exposed, position: SkyPosition) -> Layer {
        Layer {
            title: exposed.title.clone(),
            picture: SkyPicture::of(
                &exposed.image,
                &exposed.coordinates,
                position,
                self.side,
                self.scale_arcsec,
            ),
            flux_scale: exposed.flux_unit,
        }
    }

    /// A layer for each candidate that the image covers, unless it has one of this kind.
    fn add_covered(&self, exposed: &Exposed, candidates: &[&Candidate], layers: &mut [Vec<Layer>]) {
        for (candidate, layers) in candidates.iter().zip(layers) {
            let is_new = layers.iter().all(|layer| layer.title != exposed.title);
            if is_new && exposed.covers(candidate.position) {
                layers.push(self.layer(exposed, candidate.position));
            }
        }
    }
}

/// For each candidate the frame on which it is shown: the one of its best detection, or that of another candidate which shows
/// it too, so that few frames are read.
fn frames_shown(frames: &[&MeasuredFrame], candidates: &[&Candidate]) -> Vec<Option<usize>> {
    let mut read: Vec<usize> = Vec::new();
    candidates
        .iter()
        .map(|candidate| {
            let place = |name: &str| frames.iter().position(|frame| frame.name() == name);
            let covers = |index: usize| {
                frames
                    .get(index)
                    .is_some_and(|frame| frame.pixel_of(candidate.position, 0.0).is_some())
            };
            let mut detections: Vec<(f64, usize)> = candidate
                .light_curve
                .iter()
                .filter(|point| point.detected)
                .filter_map(|point| Some((point.signal_to_noise, place(&point.image)?)))
                .filter(|(_, index)| covers(*index))
                .collect();
            detections.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
            let shown_already =
                detections.iter().map(|each| each.1).find(|index| read.contains(index));
            if let Some(index) = shown_already {
                return Some(index);
            }
            if read.len() >= MOST_IMAGES {
                return read.iter().copied().find(|index| covers(*index));
            }
            let best = detections.first().map(|each| each.1);
            let chosen = best
                .or_else(|| read.iter().copied().find(|index| covers(*index)))
                .or_else(|| (0..frames.len()).find(|index| covers(*index)))?;
            if !read.contains(&chosen) {
                read.push(chosen);
            }
            Some(chosen)
        })
        .collect()
}

fn read_frame(inputs: &ReportInputs<'_>, frame: &MeasuredFrame) -> Result<Exposed, String> {
    progress::step();
    let image = inputs
        .context
        .store
        .read_image(&frame.paths.reduced)
        .map_err(|error| format!("frame {} could not be read: {error}", frame.name()))?;
    let coordinates =
        frame.wcs.clone().ok_or_else(|| format!("frame {} has no coordinates", frame.name()))?;
    // Without a zero point the frame's electrons are as good as any unit.
    let zero_point = frame.zero_point.map_or(0.0, |(value, _)| value);
    Ok(Exposed {
        title: format!("FRAME {}", frame.filter()),
        name: frame.name().to_owned(),
        image: image.data,
        coordinates,
        flux_unit: flux_unit(zero_point, frame.exposure_seconds()),
    })
}

/// Images beside the result whose names begin so, in the order of their names, at most so many as are read.
fn combined_images(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(prefix) && name.ends_with(".fits")
        })
        .collect();
    paths.sort();
    paths.truncate(MOST_IMAGES);
    paths
}

fn read_combined(inputs: &ReportInputs<'_>, path: &Path, kind: &str) -> Result<Exposed, String> {
    progress::step();
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let image = inputs
        .context
        .store
        .read_image(path)
        .map_err(|error| format!("{name} could not be read: {error}"))?;
    let coordinates =
        coordinates_of(&image.header).ok_or_else(|| format!("{name} has no coordinates"))?;
    let number = |card: &str| image.header.number(card);
    let flux_unit = flux_unit(number("ZPMAG").unwrap_or(0.0), number("EXPTIME").unwrap_or(1.0));
    Ok(Exposed { title: kind.to_owned(), name, image: image.data, coordinates, flux_unit })
}

fn cutout(candidate: &Candidate, layers: &[Layer], geometry: &Geometry) -> Option<Picture> {
    let unit = layers.first()?.flux_scale;
    let scaled: Vec<Layer> = layers
        .iter()
        .map(|layer| Layer { flux_scale: layer.flux_scale / unit, ..layer.clone() })
        .collect();
    let png = strip(&scaled, geometry.clear_arcsec)?.png().ok()?;
    let kinds: Vec<String> = layers.iter().map(|layer| layer.title.to_lowercase()).collect();
    let side = geometry.side as f64 * geometry.scale_arcsec;
    let description = format!(
        "{} on {}: {side:.0}″ wide, north up, east left, one stretch for all.",
        candidate.id,
        kinds.join(", ")
    );
    Some(Picture { png, description })
}

fn chart(
    inputs: &ReportInputs<'_>,
    subject: &Subject,
    exposed: &Exposed,
    catalogue: FieldCatalogue<'_>,
) -> Option<Picture> {
    if !exposed.covers(subject.position) {
        return None;
    }
    let scale = exposed.coordinates.central_scale_arcsec(exposed.image.dim());
    let (side, scale_arcsec) = picture_size(scale)?;
    let picture =
        SkyPicture::of(&exposed.image, &exposed.coordinates, subject.position, side, scale_arcsec);
    let magnitudes = inputs.frames.iter().find_map(|frame| frame.magnitude_scale());
    let seen = catalogue.as_seen_by(magnitudes);
    let mut stars: Vec<ChartStar> = seen
        .iter()
        .filter(|object| object.kind != ObjectKind::Galaxy)
        .filter(|object| object.position.separation_arcsec(subject.position) < FIELD_ARCSEC)
        .map(|object| ChartStar { position: object.position, magnitude: object.magnitude })
        .collect();
    stars.sort_by(|left, right| left.magnitude.total_cmp(&right.magnitude));
    let drawn = ChartSubject {
        name: &subject.name,
        position: subject.position,
        is_source: subject.is_source,
        image: &exposed.name,
        region: inputs.result.search_region,
        stars: &stars,
    };
    let png = draw(&drawn, &picture)?.png().ok()?;
    let band = magnitudes.map(|scale| scale.band.as_str()).filter(|band| !band.is_empty());
    let description = format!(
        "Finding chart of {} on {}: {:.0}′ wide, north up, east left. Circled: the {} brightest stars of the catalogue with their magnitudes{}; dashed: the \
         search region; arrows: the way from a bright star.",
        subject.name,
        exposed.name,
        FIELD_ARCSEC / 60.0,
        super::finding_chart::MARKED_STARS,
        band.map(|band| format!(" in {band}")).unwrap_or_default()
    );
    Some(Picture { png, description })
}
