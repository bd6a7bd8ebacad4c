//! Reduction from file to file in one pass: rows are decoded, reduced and written while they are in the cache.

use super::astrometry::FrameAstrometry;
use super::error::Gp1Error;
use super::frame_steps::{
    RawFrame, StepContext, StepTimer, describe, measurement_of, reduction_parameters,
    sky_statistics, sky_step, table_header, too_few_good_pixels,
};
use super::masters_in_force::MastersInForce;
use super::nominal::Nominal;
use super::reduced_file::{FrameMeasurement, extensions, write_measurement};
use super::reduction::{ReductionPlan, good_fraction, surveyed_saturation};
use super::sections::is_whole;
use super::settings::CosmicRayStep;
use super::source_table::{TableScales, write_sources};
use super::workspace::{FramePaths, make_directory};
use crate::fits::{FitsError, Header, ImageRows, MadeImage};
use crate::imaging::{Mask, calibration::RowReducer, combination::PixelRows};
use crate::model::CatalogueStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Reduces a frame of which nothing else is wanted, and writes what [`super::frame_steps::process_image`] would. `None`, and nothing
/// written, where whole planes are needed: for cosmic rays, for a camera whose overscan is taken off, or by the store.
pub fn reduce_to_file(
    context: StepContext<'_>,
    raw: RawFrame<'_>,
    rows: &mut ImageRows,
    masters: &MastersInForce,
    paths: &FramePaths,
) -> Result<Option<FrameMeasurement>, Gp1Error> {
    let (settings, shape) = (context.settings, rows.dim());
    let wants_planes = settings.reduction.cosmic_ray_step == CosmicRayStep::Always
        || !is_whole(&raw.keywords.camera, shape)
        || !context.store.makes_rows();
    if wants_planes {
        return Ok(None);
    }
    let mut timer = StepTimer::new(&raw.identity.name);
    let saturation = surveyed_saturation(context.store, rows)?;
    timer.done("read");
    let parameters = reduction_parameters(settings);
    let plan = ReductionPlan::new(shape, saturation, raw.keywords, masters, &parameters);
    let reducer = RowReducer::new(&plan.inputs(rows))
        .map_err(|source| Gp1Error::Calibration { path: raw.path.to_owned(), source })?;
    let nominal = Nominal::of(
        rows.header(),
        raw.keywords,
        settings.reduction.pixel_scale_degrees,
        shape,
        settings.distortion_of(raw.keywords, shape),
    );
    let located = FrameAstrometry::not_sought(nominal.map(|nominal| nominal.coordinates));
    let history: Vec<String> = plan.history.iter().chain([&located.history]).cloned().collect();
    let described = |sky: (f64, f64)| {
        let measurement = measurement_of(
            raw,
            (shape, sky),
            settings,
            None,
            &located,
            None,
            plan.degradations.clone(),
            plan.masters.hashes(),
            (context.catalogue.describe(), CatalogueStatus::Unavailable),
        );
        let mut header = rows.header().clone();
        describe(&mut header, raw.identity, &located, None, &measurement, &history);
        (header, measurement)
    };

    let has_saturated = AtomicBool::new(false);
    let sampled: Mutex<Vec<(usize, f32)>> = Mutex::default();
    let (width, step) = (shape.1, sky_step(shape.0 * shape.1));
    let make = |first_row: usize, data: &mut [f32], variance: &mut [f32], mask: &mut [u8]| {
        if reducer.make_rows(first_row, data, variance, mask)? {
            has_saturated.store(true, Ordering::Relaxed);
        }
        let first = first_row * width;
        let places = (first.next_multiple_of(step)..first + data.len()).step_by(step);
        let values = places.filter_map(|place| Some((place, *data.get(place - first)?)));
        sampled.lock().unwrap_or_else(PoisonError::into_inner).extend(values);
        Ok(())
    };
    let (mut answer, mut unusable) = (None, None);
    let mut finish = |mask: &mut Mask| -> Result<Header, String> {
        if has_saturated.load(Ordering::Relaxed) {
            reducer.mark_bleeding(mask);
        }
        if let Some(what) = too_few_good_pixels(good_fraction(mask)) {
            unusable = Some(what.clone());
            return Err(what);
        }
        let mut sampled =
            std::mem::take(&mut *sampled.lock().unwrap_or_else(PoisonError::into_inner));
        sampled.sort_unstable_by_key(|(place, _)| *place);
        let is_good = |place: usize| mask.get((place / width, place % width)) == Some(&0);
        let good = sampled.into_iter().filter(|(place, _)| is_good(*place));
        let good: Vec<f64> = good.map(|(_, value)| f64::from(value)).collect();
        let sky = sky_statistics(good, settings.reduction.detection_threshold_sigma);
        let (header, measurement) = described(sky);
        answer = Some((header.clone(), measurement));
        Ok(header)
    };
    make_directory(&paths.directory)?;
    let (expected, _) = described((0.0, 0.0));
    let [(variance, variance_header), (mask, mask_header)] = extensions();
    let image = MadeImage {
        shape,
        expected: &expected,
        variance: (variance, &variance_header),
        mask: (mask, &mask_header),
        make: &make,
    };
    let written = context.store.write_made(&paths.reduced, &image, &mut finish);
    if let Some(what) = unusable {
        return Err(Gp1Error::Unusable { path: raw.path.to_owned(), what });
    }
    written?;
    timer.done("reduction, written");
    let (header, measurement) = answer.ok_or_else(|| FitsError::Write {
        path: paths.reduced.clone(),
        what: "the frame was not described".to_owned(),
    })?;
    let scales = TableScales {
        wcs: located.wcs.as_ref(),
        zero_point: None,
        aperture: None,
        exposure_seconds: raw.keywords.exposure_seconds,
    };
    write_sources(context.store, &paths.sources, &table_header(&header), &[], scales)?;
    write_measurement(context.store, &paths.quality, &measurement)?;
    Ok(Some(measurement))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogs::local::NoCatalogue;
    use crate::fits::{FitsStore, cfitsio::Cfitsio, plain_files::PlainFiles};
    use crate::gp1::frame_steps::process_image;
    use crate::gp1::masters_in_force::tests::master;
    use crate::gp1::settings::{InstanceSettings, Steps};
    use crate::gp1::test_sky::{BIAS, SIZE, TestSky};
    use crate::gp1::workspace::Workspace;
    use crate::imaging::{Image, mask_bits};
    use crate::model::{FrameRecord, MasterKind};
    use fitsio_pure::{compress, header::Card, value::Value};
    use std::path::Path;
    use std::sync::Arc;

    const SATURATION: f32 = 6000.0;

    fn masters() -> MastersInForce {
        let night = "2019-10-16T01:00:00";
        let plane = |kind, plane: Image| {
            let mut master = master(kind, "w", night, (SIZE, SIZE));
            master.data = Arc::new(plane);
            master
        };
        let wave = |row: usize, column: usize| ((row + 3 * column) % 17) as f32 / 17.0;
        let mut flat =
            Image::from_shape_fn((SIZE, SIZE), |(row, column)| 0.9 + 0.2 * wave(row, column));
        flat[(7, 9)] = 0.01;
        let mut dark = Image::from_shape_fn((SIZE, SIZE), |(row, column)| 0.02 * wave(column, row));
        dark[(30, 40)] = 50.0;
        MastersInForce::new(vec![
            plane(MasterKind::Bias, Image::from_elem((SIZE, SIZE), BIAS)),
            plane(MasterKind::Dark, dark),
            plane(MasterKind::Flat, flat),
        ])
    }

    /// The frame with a saturated star that bleeds, Rice-compressed.
    fn compressed(directory: &Path, record: &FrameRecord) -> FrameRecord {
        let mut data = Cfitsio.read_image(&record.path).unwrap().data;
        for row in 100..140 {
            data[(row, 120)] = SATURATION;
        }
        for row in 140..150 {
            data[(row, 120)] = 4000.0;
        }
        let stored: Vec<i16> =
            data.iter().map(|&value| (i32::from(value as u16) - 32_768) as i16).collect();
        let number = |keyword, value| Card::new(keyword, Value::Float(value)).unwrap();
        let cards = [number("BZERO", 32_768.0), number("BSCALE", 1.0)];
        let primary = fitsio_pure::primary::build_primary_header(8, &[]).unwrap();
        let mut bytes = fitsio_pure::header::serialize_header(&primary).unwrap();
        let rice = compress::TileCompression::rice();
        bytes.extend(compress::compress_image_hdu(&[SIZE, SIZE], &stored, &rice, &cards).unwrap());
        let path = directory.join("compressed.fits.fz");
        std::fs::write(&path, bytes).unwrap();
        FrameRecord { path, ..record.clone() }
    }

    /// Both ways from the raw file to the three files of a reduced frame give the same bytes.
    #[test]
    fn it_writes_what_whole_planes_give() {
        let (raw, one, other) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        let sky = TestSky::new();
        let plain = sky.write_frame(raw.path(), 0);
        let (store, masters) = (PlainFiles::UNSYNCED, masters());
        for record in [compressed(raw.path(), &plain), plain] {
            let mut settings = InstanceSettings::new("svom", Steps::QUALITY, one.path());
            settings.steps =
                Steps { findstars: false, astrometry: false, photometry: false, ..settings.steps };
            settings.reduction.cosmic_ray_step = CosmicRayStep::Never;
            let context =
                StepContext { settings: &settings, store: &store, catalogue: &NoCatalogue };
            let frame = RawFrame {
                path: &record.path,
                identity: &record.identity,
                keywords: &record.keywords,
            };
            let paths = |directory: &Path| {
                Workspace::new(directory, &[]).frame_paths(directory.to_owned(), "frame")
            };
            let (in_passing, whole) = (paths(one.path()), paths(other.path()));
            let mut rows = ImageRows::open(&store, &record.path).unwrap();
            let found =
                reduce_to_file(context, frame, &mut rows, &masters, &in_passing).unwrap().unwrap();
            let image = store.read_image(&record.path).unwrap();
            let expected = process_image(context, frame, image, &masters, &[], &whole).unwrap();
            assert_eq!(found, expected);
            for (found, expected) in [
                (&in_passing.reduced, &whole.reduced),
                (&in_passing.sources, &whole.sources),
                (&in_passing.quality, &whole.quality),
            ] {
                assert!(std::fs::read(found).unwrap() == std::fs::read(expected).unwrap());
            }
            Cfitsio.verify_checksums(&in_passing.reduced).unwrap();
            let read = crate::gp1::reduced_file::read_reduced(&store, &in_passing.reduced).unwrap();
            let bits = read.image.mask;
            let degradations = &found.quality.degradations;
            assert_eq!(found.masters.len(), 3, "{degradations:?}");
            assert_eq!((bits[(7, 9)], bits[(30, 40)]), (mask_bits::BAD, mask_bits::BAD));
            if record.path.extension().is_some_and(|ending| ending == "fz") {
                assert_ne!(bits[(120, 120)] & mask_bits::SATURATED, 0);
                assert_ne!(bits[(145, 120)] & mask_bits::BLEED, 0);
            }
        }
    }

    #[test]
    fn a_frame_of_no_use_leaves_no_file() {
        let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let full = Image::from_elem((SIZE, SIZE), SATURATION);
        let mut record = TestSky::new().write_plane(raw.path(), 0, &full);
        record.keywords.saturation = Some(2000.0);
        let mut settings = InstanceSettings::new("svom", Steps::QUALITY, work.path());
        settings.reduction.cosmic_ray_step = CosmicRayStep::Never;
        let store = PlainFiles::UNSYNCED;
        let context = StepContext { settings: &settings, store: &store, catalogue: &NoCatalogue };
        let frame =
            RawFrame { path: &record.path, identity: &record.identity, keywords: &record.keywords };
        let paths = Workspace::new(work.path(), &[]).frame_paths(work.path().to_owned(), "frame");
        let mut rows = ImageRows::open(&store, &record.path).unwrap();
        let error =
            reduce_to_file(context, frame, &mut rows, &masters(), &paths).unwrap_err().to_string();
        assert!(error.contains("only 0.00 % of the pixels are good"), "{error}");
        assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0);
    }
}
