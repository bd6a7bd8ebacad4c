//! How well bright, constant stars repeat from frame to frame on real series, measured as every frame is: reduction with masters made of the
//! night's own calibration frames, sources, alignment, zero point relative to the first frame.

use super::frame_group::FrameGroup;
use super::frame_steps::{RawFrame, StepContext, process_raw};
use super::masters::{CalibrationFrame, MasterPolicy, make_masters};
use super::masters_in_force::{LoadedMaster, MastersInForce};
use super::measured_frame::MeasuredFrame;
use super::photometry::{MAGNITUDES_PER_RELATIVE_ERROR, UNFIT_FLAGS};
use super::settings::{InstanceSettings, Steps};
use super::test_sky::TestCatalogue;
use super::workspace::FramePaths;
use crate::fits::{FitsStore, cfitsio::Cfitsio, keywords::KeywordMap};
use crate::gp1::frame_input::{frame_stem, raw_record};
use crate::imaging::{astrometry::match_nearest, statistics::median_and_deviation};
use crate::model::{SourceFlags, UtcTime};
use std::path::{Path, PathBuf};

fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let directory = root.join(name);
    if !directory.is_dir() {
        println!("skipped: {} is not there", directory.display());
        return None;
    }
    Some(directory)
}

/// All frames of a directory, reduced and measured; in the order of time.
fn series(directory: &Path) -> Vec<MeasuredFrame> {
    let map = KeywordMap::shipped().unwrap();
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut calibration, mut objects) = (Vec::new(), Vec::new());
    for path in paths.iter().filter(|path| frame_stem(path).is_some()) {
        let epoch = UtcTime::from_unix_microseconds(0);
        let (record, image) = raw_record(&Cfitsio, &map, path, "svom", epoch).unwrap();
        if record.keywords.kind.is_calibration() {
            let (name, keywords) = (record.identity.name, record.keywords);
            calibration.push(CalibrationFrame { name, keywords, data: image.data });
        } else {
            objects.push(record);
        }
    }
    objects.sort_by_key(|record| record.keywords.date_obs);
    let made = make_masters(calibration, &MastersInForce::default(), &MasterPolicy::default());
    let masters = MastersInForce::new(
        made.into_iter()
            .map(|candidate| candidate.unwrap())
            .map(|candidate| LoadedMaster { record: candidate.record, data: candidate.data })
            .collect(),
    );
    let workspace = tempfile::tempdir().unwrap();
    let settings = InstanceSettings::new("svom", Steps::QUALITY, workspace.path());
    let catalogue = TestCatalogue(Vec::new());
    let store: &dyn FitsStore = &Cfitsio;
    let context = StepContext { settings: &settings, store, catalogue: &catalogue };
    let mut group = FrameGroup::default();
    for record in &objects {
        let directory = workspace.path().to_owned();
        let file = |ending: &str| directory.join(format!("{}{ending}", record.identity.name));
        let paths = FramePaths {
            reduced: file("_reduced.fits"),
            sources: file("_sources.fits"),
            quality: file("_quality.json"),
            directory,
        };
        let references = group.references();
        let references: Vec<_> = references.iter().map(|known| known.as_reference()).collect();
        let raw =
            RawFrame { path: &record.path, identity: &record.identity, keywords: &record.keywords };
        process_raw(context, raw, &masters, &references, &paths).unwrap();
        group.absorb(context, record, &paths).unwrap();
    }
    group.frames().to_vec()
}

/// A star over the series.
struct Star {
    magnitude: f64,
    /// Robust standard deviation over the frames.
    scatter: f64,
    /// Median stated error, without the zero points'.
    error: f64,
}

/// Isolated stars that are whole and unsaturated on at least nine tenths of the frames.
fn stars(frames: &[MeasuredFrame]) -> Vec<Star> {
    let reference = &frames[0];
    let reference_wcs = reference.wcs.unwrap();
    let is_fit = |flags: SourceFlags| !flags.has(UNFIT_FLAGS);
    let places: Vec<(f64, f64)> =
        reference.sources.iter().map(|each| (each.source.x, each.source.y)).collect();
    let mut curves: Vec<Vec<(f64, f64)>> = vec![Vec::new(); places.len()];
    for frame in frames {
        let (Some(wcs), Some((zero_point, _))) = (frame.wcs, frame.zero_point) else { continue };
        assert!(frame.shares_sky_with(reference), "{} is of another field", frame.name());
        let own: Vec<(f64, f64)> = frame
            .sources
            .iter()
            .map(|each| {
                let sky = wcs.pixel_to_sky(each.source.x, each.source.y);
                reference_wcs.sky_to_pixel(sky).unwrap()
            })
            .collect();
        for (star, index) in match_nearest(&places, &own, 2.0) {
            let source = &frame.sources[index].source;
            if is_fit(source.flags) && source.flux_electrons > 0.0 {
                let rate = source.flux_electrons / frame.exposure_seconds();
                let error = MAGNITUDES_PER_RELATIVE_ERROR * source.flux_error_electrons
                    / source.flux_electrons;
                curves[star].push((zero_point - 2.5 * rate.log10(), error));
            }
        }
    }
    let enough = (0.9 * frames.len() as f64).ceil() as usize;
    curves
        .into_iter()
        .filter(|curve| curve.len() >= enough)
        .map(|curve| {
            let magnitudes: Vec<f64> = curve.iter().map(|point| point.0).collect();
            let errors: Vec<f64> = curve.iter().map(|point| point.1).collect();
            let (magnitude, scatter) = median_and_deviation(&magnitudes).unwrap();
            Star { magnitude, scatter, error: median_and_deviation(&errors).unwrap().0 }
        })
        .collect()
}

/// The median scatter of the stars whose stated error is at most `largest_error`, with how many they are; prints all by magnitude.
fn floor(name: &str, frames: &[MeasuredFrame], largest_error: f64) -> (f64, usize) {
    for frame in frames {
        println!(
            "{name} {}: {} sources, fwhm {:.2}, aperture {:.2}, zero point {:?}",
            frame.name(),
            frame.sources.len(),
            frame.measurement.quality.fwhm_pixels,
            frame.measurement.aperture_radius_pixels,
            frame.zero_point
        );
    }
    let mut stars = stars(frames);
    stars.sort_by(|one, other| one.magnitude.total_cmp(&other.magnitude));
    for bin in stars.chunks(stars.len().div_ceil(8).max(1)) {
        let scatters: Vec<f64> = bin.iter().map(|star| 1e3 * star.scatter).collect();
        let errors: Vec<f64> = bin.iter().map(|star| 1e3 * star.error).collect();
        println!(
            "{name} {:.2} to {:.2}: {} stars, scatter {:.1} mmag, stated {:.1} mmag",
            bin[0].magnitude,
            bin[bin.len() - 1].magnitude,
            bin.len(),
            median_and_deviation(&scatters).unwrap().0,
            median_and_deviation(&errors).unwrap().0
        );
    }
    let bright: Vec<f64> =
        stars.iter().filter(|star| star.error <= largest_error).map(|star| star.scatter).collect();
    let median = median_and_deviation(&bright).map_or(f64::NAN, |(median, _)| median);
    println!("{name}: floor {:.2} mmag from {} stars", 1e3 * median, bright.len());
    (median, bright.len())
}

/// Thirteen nights of a crowded field, through all kinds of seeing.
#[test]
fn ogle_repeats_to_seven_millimagnitudes() {
    let Some(directory) = data("ogle4_lmc531_I") else { return };
    let frames = series(&directory);
    assert_eq!(frames.len(), 13);
    let (floor, count) = floor("OGLE", &frames, 0.004);
    assert!(count >= 15 && floor <= 0.007, "{floor} from {count} stars");
}

/// Twelve frames within two hours, through the telescope's drift.
#[test]
fn arcsat_repeats_to_seven_millimagnitudes() {
    let Some(directory) = data("arcsat_xo1_z") else { return };
    let frames = series(&directory);
    assert_eq!(frames.len(), 12);
    let (floor, count) = floor("ARCSAT", &frames, 0.004);
    assert!(count >= 15 && floor <= 0.007, "{floor} from {count} stars");
}
