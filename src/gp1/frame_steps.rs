//! One frame through the enabled modules, from the raw file to the files of the workspace.

use super::astrometry::{self, FrameAstrometry, ReferenceField};
use super::contamination::mask_contamination;
use super::error::Gp1Error;
use super::findstars::{StarField, find_stars};
use super::frame_scale::{BandChoice, as_the_frame_sees};
use super::masters_in_force::MastersInForce;
use super::nominal::Nominal;
use super::photometry::{self, CalibratingCatalogue, FramePhotometry};
use super::reduced_file::{FrameMeasurement, set_quality_cards, write_measurement, write_reduced};
use super::reduction::{
    Reduction, ReductionPlan, reduce_as_planned, reduce_frame, surveyed_saturation,
};
use super::sections::{SectionHistory, cut, is_whole};
use super::settings::{CosmicRayStep, InstanceSettings, ReductionParameters};
use super::source_table::{IdentifiedObject, MeasuredSource, TableScales, write_sources};
use super::workspace::{FramePaths, make_directory};
use crate::catalogs::Catalogue;
use crate::fits::{FitsImage, FitsStore, Header, ImageRows};
use crate::imaging::{
    CalibratedImage, background, combination::PixelRows, psf::PointSpread,
    statistics::median_and_deviation,
};
use crate::model::{
    CatalogueAnswer, Degradation, FrameIdentity, FrameKeywords, FrameQuality, Source,
};
use crate::progress;
use std::path::Path;
use std::time::Instant;

/// A frame with fewer good pixels than this share is of no use.
const LEAST_GOOD_FRACTION: f64 = 0.01;
/// Pixels sampled for the sky of a frame on which no sources are sought.
const SKY_SAMPLES: usize = 20_000;

/// What the steps need besides the frame.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    pub settings: &'a InstanceSettings,
    pub store: &'a dyn FitsStore,
    pub catalogue: &'a dyn Catalogue,
}

/// A raw frame to work on.
#[derive(Debug, Clone, Copy)]
pub struct RawFrame<'a> {
    pub path: &'a Path,
    pub identity: &'a FrameIdentity,
    pub keywords: &'a FrameKeywords,
}

/// Logs how long a step took, and shows that the thread makes progress.
pub(crate) struct StepTimer<'a> {
    frame: &'a str,
    started: Instant,
}

impl<'a> StepTimer<'a> {
    pub(crate) fn new(frame: &'a str) -> Self {
        Self { frame, started: Instant::now() }
    }

    pub(crate) fn done(&mut self, step: &str) {
        let milliseconds = self.started.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(frame = self.frame, step, milliseconds, "step done");
        progress::step();
        self.started = Instant::now();
    }
}

/// Runs the enabled steps on a raw frame and writes its files. Without the reduction step no masters are applied: the frame is
/// only brought to electrons. Bad frames end in an error with the reason or in a measurement
/// with degradations, never in a panic.
pub fn process_raw(
    context: StepContext<'_>,
    raw: RawFrame<'_>,
    masters: &MastersInForce,
    references: &[ReferenceField<'_>],
    paths: &FramePaths,
) -> Result<FrameMeasurement, Gp1Error> {
    let mut timer = StepTimer::new(&raw.identity.name);
    let mut rows = ImageRows::open(context.store, raw.path)?;
    let shape = rows.dim();
    if !is_whole(&raw.keywords.camera, shape) {
        let image = rows.into_image()?;
        timer.done("read");
        return process_image(context, raw, image, masters, references, paths);
    }
    let saturation = surveyed_saturation(context.store, &mut rows)?;
    timer.done("read");
    let parameters = reduction_parameters(context.settings);
    let plan = ReductionPlan::new(shape, saturation, raw.keywords, masters, &parameters);
    let reduction = reduce_as_planned(&rows, plan)
        .map_err(|source| Gp1Error::Calibration { path: raw.path.to_owned(), source })?;
    timer.done("reduction");
    let header = rows.header().clone();
    drop(rows);
    process_reduction(context, raw, (header, Vec::new()), reduction, references, paths)
}

/// Without the reduction step no masters are applied.
pub(super) fn reduction_parameters(settings: &InstanceSettings) -> ReductionParameters {
    let mut parameters = settings.reduction;
    parameters.use_masters &= settings.steps.reduction;
    parameters
}

/// [`process_raw`] of an image that has been read.
pub fn process_image(
    context: StepContext<'_>,
    raw: RawFrame<'_>,
    image: FitsImage,
    masters: &MastersInForce,
    references: &[ReferenceField<'_>],
    paths: &FramePaths,
) -> Result<FrameMeasurement, Gp1Error> {
    let mut timer = StepTimer::new(&raw.identity.name);
    let FitsImage { mut header, data } = image;
    let (data, cuts) = cut(data, Some(&mut header), &raw.keywords.camera);
    let parameters = reduction_parameters(context.settings);
    let reduction = reduce_frame(&data, raw.keywords, masters, &parameters)
        .map_err(|source| Gp1Error::Calibration { path: raw.path.to_owned(), source })?;
    drop(data);
    timer.done("reduction");
    process_reduction(context, raw, (header, cuts), reduction, references, paths)
}

/// Goes on with a reduced frame: its header, and what was cut off it.
fn process_reduction(
    context: StepContext<'_>,
    raw: RawFrame<'_>,
    (header, cuts): (Header, SectionHistory),
    reduction: Reduction,
    references: &[ReferenceField<'_>],
    paths: &FramePaths,
) -> Result<FrameMeasurement, Gp1Error> {
    let mut timer = StepTimer::new(&raw.identity.name);
    if let Some(what) = too_few_good_pixels(reduction.good_fraction) {
        return Err(Gp1Error::Unusable { path: raw.path.to_owned(), what });
    }
    let Reduction { mut image, plan, .. } = reduction;
    let ReductionPlan { masters, degradations, mut history, .. } = plan;
    let settings = context.settings;
    if settings.steps.reduction && settings.reduction.cosmic_ray_step == CosmicRayStep::Always {
        let parameters = &settings.reduction.cosmic_rays;
        history.extend(mask_contamination(&mut image, parameters, settings.findstars.mesh_pixels));
        timer.done("cosmic rays");
    }
    let history = cuts.into_iter().chain(history).collect();
    let masters = masters.hashes();
    let calibrated =
        CalibratedFrame { header, image, masters, degradations, history, is_in_place: false };
    measure_calibrated(context, raw, calibrated, references, paths)
}

/// Why a frame with that share of good pixels is of no use, if so it is.
pub(super) fn too_few_good_pixels(good_fraction: f64) -> Option<String> {
    (good_fraction < LEAST_GOOD_FRACTION).then(|| {
        let percent = 100.0 * good_fraction;
        format!("only {percent:.2} % of the pixels are good (saturated or undefined)")
    })
}

/// A frame in electrons, just reduced or read from a reduced file.
#[derive(Debug, Clone)]
pub struct CalibratedFrame {
    pub header: Header,
    pub image: CalibratedImage,
    /// `kind:hash`.
    pub masters: Vec<String>,
    pub degradations: Vec<Degradation>,
    /// Lines still to be written to HISTORY.
    pub history: Vec<String>,
    /// The planes lie already, as they are, where the reduced frame is to be.
    pub is_in_place: bool,
}

/// Runs the enabled steps after the reduction and writes the files of the frame.
pub fn measure_calibrated(
    context: StepContext<'_>,
    raw: RawFrame<'_>,
    frame: CalibratedFrame,
    references: &[ReferenceField<'_>],
    paths: &FramePaths,
) -> Result<FrameMeasurement, Gp1Error> {
    let CalibratedFrame { mut header, image, masters, mut degradations, mut history, is_in_place } =
        frame;
    let (settings, image) = (context.settings, &image);
    let mut timer = StepTimer::new(&raw.identity.name);
    let nominal = Nominal::of(
        &header,
        raw.keywords,
        settings.reduction.pixel_scale_degrees,
        image.shape(),
        settings.distortion_of(raw.keywords, image.shape()),
    );
    let field = settings.steps.findstars.then(|| find_stars(image, &settings.findstars));
    timer.done("findstars");
    let empty: &[Source] = &[];
    let sources = field.as_ref().map_or(empty, |field| field.detections.sources.as_slice());
    let answer = match &nominal {
        Some(Nominal { plane, .. }) if settings.steps.astrometry => {
            let (rows, columns) = image.shape();
            let centre = plane.pixel_to_sky(columns as f64 / 2.0, rows as f64 / 2.0);
            let spare = settings.astrometry.maximum_offset_arcsec;
            let scale = plane.scale_arcsec();
            let radius = astrometry::cone_radius_degrees(scale, image.shape(), spare);
            context.catalogue.cone_at(centre, radius, raw.keywords.mid_exposure())
        }
        _ => CatalogueAnswer::Unavailable { reason: "the place of the frame is unknown".into() },
    };
    let located = if settings.steps.astrometry && field.is_some() {
        let objects = (!answer.objects().is_empty()).then(|| answer.objects());
        astrometry::locate(
            sources,
            objects,
            nominal.as_ref(),
            image.shape(),
            &settings.astrometry,
            references,
            &settings.alignment,
        )
    } else {
        FrameAstrometry::not_sought(nominal.map(|nominal| nominal.coordinates))
    };
    timer.done("astrometry");
    if settings.steps.astrometry
        && let CatalogueAnswer::Unavailable { reason } = &answer
    {
        degradations.push(Degradation::new("NOCAT", reason.clone()));
    }
    degradations.extend(located.degradation.clone());
    history.push(located.history.clone());

    let identity = match &located.wcs {
        Some(wcs) if located.status.is_absolute() => astrometry::identify(
            sources,
            wcs,
            answer.objects(),
            settings.photometry.match_radius_arcsec,
        ),
        _ => vec![None; sources.len()],
    };
    let bands = context.catalogue.bands();
    let rules = &raw.keywords.camera.filter_rules;
    let choice = BandChoice::new(bands, &raw.keywords.filter, rules);
    let photometry = field.as_ref().filter(|_| settings.steps.photometry).map(|field| {
        photometry::calibrate(
            image,
            field,
            raw.keywords.exposure_seconds,
            located
                .wcs
                .as_ref()
                .filter(|_| located.status.is_absolute())
                .map(|wcs| wcs.central_scale_arcsec(image.shape())),
            CalibratingCatalogue { objects: answer.objects(), choice: choice.as_ref() },
            &identity,
            &settings.photometry,
        )
    });
    timer.done("photometry");
    if let Some(photometry) = &photometry
        && photometry.zero_point.is_none()
    {
        let reason = format!(
            "fewer than {} catalogue stars are fit for a zero point",
            settings.photometry.minimum_stars
        );
        degradations.push(Degradation::new("NOZP", reason));
    }
    if let Some(dropped) =
        field.as_ref().map(|field| field.detections.dropped_count).filter(|count| *count > 0)
    {
        let reason = format!("{dropped} faint sources beyond the most that are kept were left out");
        degradations.push(Degradation::new("DROPPED", reason));
    }
    if let Some(photometry) = &photometry {
        history.push(photometry_line(photometry));
    }

    let sky = match &field {
        Some(field) => (field.background.global_level, field.background.global_noise),
        None => sky_statistics(sky_sample(image), settings.reduction.detection_threshold_sigma),
    };
    let measurement = measurement_of(
        raw,
        (image.shape(), sky),
        settings,
        field.as_ref(),
        &located,
        photometry.as_ref(),
        degradations,
        masters,
        (context.catalogue.describe(), answer.status()),
    );
    let spread = field.as_ref().and_then(|field| field.point_spread.as_ref());
    describe(&mut header, raw.identity, &located, spread, &measurement, &history);
    make_directory(&paths.directory)?;
    // Sources alone say nothing of the image that their table does not.
    let is_untouched = is_in_place && !settings.steps.astrometry;
    if !(is_untouched || is_in_place && context.store.replace_header(&paths.reduced, &header)?) {
        write_reduced(context.store, &paths.reduced, &header, image)?;
    }
    timer.done("write reduced");
    let scale = measurement.quality.magnitude_scale.as_ref();
    let objects = as_the_frame_sees(answer.objects(), bands, scale);
    let table: Vec<MeasuredSource> = sources
        .iter()
        .zip(&identity)
        .map(|(source, object)| MeasuredSource {
            source: source.clone(),
            object: object.and_then(|index| objects.get(index)).map(IdentifiedObject::of),
        })
        .collect();
    let zero_point = photometry
        .and_then(|photometry| photometry.zero_point)
        .map(|zero| (zero.value, zero.error));
    let scales = TableScales {
        wcs: located.wcs.as_ref(),
        zero_point,
        aperture: measurement.aperture_correction.as_ref(),
        exposure_seconds: raw.keywords.exposure_seconds,
    };
    write_sources(context.store, &paths.sources, &table_header(&header), &table, scales)?;
    write_measurement(context.store, &paths.quality, &measurement)?;
    timer.done("write sources");
    Ok(measurement)
}

/// Puts into the header of a reduced frame what was measured on it, and what was done.
pub(super) fn describe(
    header: &mut Header,
    identity: &FrameIdentity,
    located: &FrameAstrometry,
    spread: Option<&PointSpread>,
    measurement: &FrameMeasurement,
    history: &[String],
) {
    set_quality_cards(header, located.wcs.as_ref(), measurement);
    located.set_cards(header);
    if let Some(spread) = spread {
        set_point_spread_cards(header, spread, measurement.aperture_radius_pixels);
    }
    header.set("BUNIT", "electron", "unit of the pixels");
    header.set("RAWNAME", identity.name.as_str(), "raw frame");
    header.set("RAWSHA", identity.data_sha256.as_str(), "SHA-256 of its file");
    for line in history {
        header.history(line);
    }
}

/// The fitted point-spread function, at the middle of the frame.
fn set_point_spread_cards(header: &mut Header, spread: &PointSpread, aperture_radius: f64) {
    header.set("PSFFWHM", spread.fwhm_pixels(), "[pixel] Moffat profile of the stars");
    header.set("PSFBETA", spread.index(), "its index");
    header.set("PSFELONG", spread.elongation(), "its major over minor axis");
    header.set("PSFNSTAR", spread.star_count(), "stars it is fitted to");
    let share = spread.aperture_correction(aperture_radius);
    header.set("APSHARE", share, "share of a star's light in APRADIUS");
}

fn photometry_line(photometry: &FramePhotometry) -> String {
    match photometry.zero_point {
        Some(zero) => {
            let term = photometry.scale.as_ref().and_then(|scale| scale.colour_term.as_ref());
            let term = term.map_or_else(String::new, |term| {
                let (bluer, redder) = &term.bands;
                let origin = if term.is_fitted { "fitted" } else { "given" };
                format!(
                    ", colour term {:.4} +- {:.4} in {bluer}-{redder} {origin}",
                    term.value, term.error
                )
            });
            format!(
                "photometry: zero point {:.4} +- {:.4} from {} stars, scatter {:.4}{term}",
                zero.value, zero.error, zero.star_count, zero.scatter
            )
        }
        None => "photometry: no zero point".into(),
    }
}

/// The cards of the image that say what a table is of; its own coordinates are columns.
pub(super) fn table_header(header: &Header) -> Header {
    const COPIED: [&str; 47] = [
        "WCSDIST", "WCSOFFS", "WCSTURN", "WCSFALSE", "TRGID", "OBSERVER", "OBJECT", "INSTRUME",
        "TELESCOP", "ORIGIN", "FILTER", "EXPTIME", "DATE-OBS", "MJD-OBS", "WCSSTAT", "WCSNSTAR",
        "WCSRMS", "NSOURCES", "FWHM", "SKYLEVEL", "SKYNOISE", "APRADIUS", "ZPMAG", "ZPERR",
        "ZPSCAT", "ZPNSTAR", "LIMMAG", "RAWNAME", "PSFFWHM", "PSFBETA", "PSFELONG", "PSFNSTAR",
        "APSHARE", "MAGSYS", "ZPBAND", "ZPINTR", "COLTERM", "COLTERR", "COLOUR", "COLREF",
        "COLFIT", "APCORR", "APCERR", "APCNSTAR", "APCREACH", "APCVAR", "ZPTOTAL",
    ];
    let cards = header.cards.iter().filter(|card| COPIED.contains(&card.keyword.as_str()));
    Header { cards: cards.cloned().collect() }
}

#[allow(clippy::too_many_arguments)]
pub(super) fn measurement_of(
    raw: RawFrame<'_>,
    (shape, (sky_electrons, sky_noise_electrons)): ((usize, usize), (f64, f64)),
    settings: &InstanceSettings,
    field: Option<&StarField>,
    located: &FrameAstrometry,
    photometry: Option<&FramePhotometry>,
    degradations: Vec<Degradation>,
    masters: Vec<String>,
    (catalogue, catalogue_status): (String, crate::model::CatalogueStatus),
) -> FrameMeasurement {
    let detections = field.map(|field| &field.detections);
    let zero_point = photometry.and_then(|photometry| photometry.zero_point);
    let is_located = settings.steps.astrometry;
    FrameMeasurement {
        format_version: FrameMeasurement::FORMAT_VERSION,
        identity: raw.identity.clone(),
        quality: FrameQuality {
            source_count: detections.map_or(0, |each| each.sources.len()),
            fwhm_pixels: detections.and_then(|each| each.stellar_fwhm_pixels).unwrap_or(0.0),
            sky_electrons,
            sky_noise_electrons,
            astrometry: located.status.word().to_owned(),
            astrometry_matches: if is_located { located.match_count } else { 0 },
            astrometry_rms_arcsec: located.rms_arcsec,
            field: field_of(raw.identity, located),
            zero_point: zero_point.map(|zero| zero.value),
            zero_point_scatter: zero_point.map(|zero| zero.scatter),
            zero_point_stars: zero_point.map_or(0, |zero| zero.star_count),
            magnitude_scale: photometry.and_then(|photometry| photometry.scale.clone()),
            limiting_magnitude: photometry.and_then(|each| each.limiting_magnitude),
            degradations,
            latency_seconds: 0.0,
        },
        shape,
        aperture_radius_pixels: detections.map_or(0.0, |each| each.aperture_radius_pixels),
        aperture_correction: field.and_then(|field| field.aperture),
        aperture_noise_electrons: photometry.map_or(0.0, |each| each.aperture_noise_electrons),
        zero_point_error: zero_point.map(|zero| zero.error),
        dropped_source_count: detections.map_or(0, |each| each.dropped_count),
        masters,
        catalogue,
        catalogue_status,
    }
}

/// Name of the first frame of the field; none for frames tied to the sky, and where no sources were sought.
fn field_of(identity: &FrameIdentity, located: &FrameAstrometry) -> Option<String> {
    let is_tied = located.status.is_absolute();
    (!is_tied && located.wcs.is_some())
        .then(|| located.aligned_with.clone().unwrap_or_else(|| identity.name.clone()))
}

/// Of the pixels of a frame every so many-th is sampled for its sky.
pub(super) fn sky_step(pixels: usize) -> usize {
    (pixels / SKY_SAMPLES).max(1)
}

/// The good ones among the sampled pixels.
fn sky_sample(image: &CalibratedImage) -> Vec<f64> {
    let pixels = image.data.iter().zip(&image.mask).step_by(sky_step(image.data.len()));
    pixels.filter(|(_, bits)| **bits == 0).map(|(value, _)| f64::from(*value)).collect()
}

/// Sky level and noise of a frame on which no sources are sought: median and robust deviation of its sampled good pixels, sources
/// above the threshold left out.
pub(super) fn sky_statistics(good: Vec<f64>, threshold_sigma: f64) -> (f64, f64) {
    let Some((level, noise)) = median_and_deviation(&good) else { return (0.0, 0.0) };
    // A threshold of one deviation would cut into the noise itself; three is where it ends.
    let limit = level + threshold_sigma.max(3.0) * noise;
    let sky: Vec<f64> = good.into_iter().filter(|value| *value <= limit).collect();
    median_and_deviation(&sky).unwrap_or((level, noise))
}

/// The background of a reduced frame, as the steps before saw it.
pub(crate) fn background_of(
    image: &CalibratedImage,
    settings: &InstanceSettings,
) -> background::Background {
    background::estimate(&image.data, &image.mask, settings.findstars.mesh_pixels)
}
