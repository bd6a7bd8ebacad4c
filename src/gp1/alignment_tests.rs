//! `gic alignment` and `gic stacking` on files: grids, reasons, what is measured already.

use super::archive_tests::provenance;
use super::batch::{BatchOutcome, BatchTools, run_module};
use super::masters_in_force::MastersInForce;
use super::reduced_file::read_reduced;
use super::settings::{InstanceSettings, Module, Steps};
use super::template::sky_coordinates;
use super::test_sky::{BIAS, TestCatalogue, TestSky};
use crate::catalogs::{Catalogue, local::NoCatalogue};
use crate::fits::{FitsStore, NewPlane, cfitsio::Cfitsio, keywords::KeywordMap};
use crate::imaging::Image;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn run(
    module: Module,
    inputs: &[PathBuf],
    output: &Path,
    catalogue: Arc<dyn Catalogue>,
) -> BatchOutcome {
    let tools = BatchTools {
        store: Arc::new(Cfitsio),
        catalogue,
        keywords: KeywordMap::shipped().unwrap(),
        named_masters: super::named_masters::NamedMasters::default(),
        masters_in_force: Arc::new(MastersInForce::default()),
        provenance: provenance(),
    };
    let settings = InstanceSettings::new("svom", Steps::ALL, output);
    run_module(module, inputs, output, &settings, &tools).unwrap()
}

fn raw_frames(sky: &TestSky, directory: &Path, count: usize) -> Vec<PathBuf> {
    (0..count).map(|index| sky.write_frame(directory, index).path).collect()
}

fn known(sky: &TestSky) -> Arc<TestCatalogue> {
    Arc::new(TestCatalogue(sky.catalogue.clone()))
}

#[test]
fn frames_go_to_the_grid_of_the_first_and_are_not_measured_twice() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let frames = raw_frames(&sky, raw.path(), 3);
    let outcome = run(Module::Alignment, &frames, work.path(), known(&sky));
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    assert_eq!(outcome.written.len(), 3);
    let first = read_reduced(&Cfitsio, &outcome.written[0]).unwrap();
    assert_eq!(first.header.text("ALNBY").as_deref(), Some("itself"));
    for path in &outcome.written[1..] {
        let aligned = read_reduced(&Cfitsio, path).unwrap();
        assert_eq!(aligned.wcs, first.wcs);
        assert_eq!(aligned.header.text("ALNREF"), first.header.text("ALNREF"));
        assert_eq!(aligned.header.text("ALNBY").as_deref(), Some("coordinates"));
        assert_eq!(aligned.header.number("ALNFIELD"), Some(1.0));
        let (stars, expected) =
            (aligned.header.number("ALNSTARS"), aligned.header.number("ALNEXPEC"));
        assert!(stars.unwrap() > 0.5 * expected.unwrap(), "{stars:?} of {expected:?}");
        assert!(aligned.header.number("ALNRMS").unwrap() < 0.4);
        assert!((aligned.header.number("ALNSCALE").unwrap() - 1.0).abs() < 1e-3);
        // Sky taken off.
        let mut values: Vec<f32> = aligned.image.data.iter().copied().collect();
        values.sort_by(f32::total_cmp);
        let noise = aligned.image.variance[(60, 60)].sqrt();
        assert!(values[values.len() / 2].abs() < 0.3 * noise, "{}", values[values.len() / 2]);
    }
    // What lies beside the reduced frames serves: there is no catalogue now, and nothing is measured into the other directory.
    let reduced: Vec<PathBuf> = outcome
        .written
        .iter()
        .map(|path| PathBuf::from(path.to_str().unwrap().replace("_aligned", "_reduced")))
        .collect();
    let again = tempfile::tempdir().unwrap();
    let repeated = run(Module::Alignment, &reduced, again.path(), Arc::new(NoCatalogue));
    assert_eq!(std::fs::read_dir(again.path()).unwrap().count(), 3);
    for (one, other) in outcome.written.iter().zip(&repeated.written) {
        let pixels = |path| read_reduced(&Cfitsio, path).unwrap().image;
        assert_eq!(pixels(one), pixels(other));
    }
    let stacked = run(Module::Stacking, &reduced, again.path(), Arc::new(NoCatalogue));
    assert!(stacked.failed.is_empty(), "{:?}", stacked.failed);
    let planes = Cfitsio.read_images(&stacked.written[0]).unwrap();
    let names: Vec<&str> = planes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["", "VARIANCE", "MASK", "WEIGHT", "FRAMES"]);
    assert_eq!(planes[4].1.data[(100, 100)], 3.0);
    assert!(planes[3].1.data[(100, 100)] > 0.0);
}

#[test]
fn fields_are_kept_apart_and_what_fits_none_is_refused_with_the_reason() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let mut frames = raw_frames(&sky, raw.path(), 4);
    // Another field under the same coordinates: the mirror image. And a frame of nothing.
    let other = Cfitsio.read_image(&frames[1]).unwrap().data.t().to_owned();
    frames[1] = sky.write_plane(raw.path(), 1, &other).path;
    let blank = Image::from_shape_fn(other.dim(), |(row, column)| {
        BIAS + 60.0 + ((row * 7919 + column * 104_729) % 17) as f32
    });
    frames[2] = sky.write_plane(raw.path(), 2, &blank).path;
    let outcome = run(Module::Alignment, &frames, work.path(), Arc::new(NoCatalogue));
    let fields: Vec<Option<f64>> = outcome
        .written
        .iter()
        .map(|path| Cfitsio.read_header(path).unwrap().number("ALNFIELD"))
        .collect();
    let last = Cfitsio.read_header(outcome.written.last().unwrap()).unwrap();
    println!("{fields:?} {:?}", outcome.failed);
    assert_eq!(last.text("ALNBY").as_deref(), Some("stars"));
    assert_eq!(last.number("ALNFIELD"), Some(1.0));
    assert!(fields.contains(&Some(2.0)));
    let stacked = run(Module::Stacking, &frames, work.path(), Arc::new(NoCatalogue));
    let reasons: Vec<String> = stacked.failed.iter().map(|(_, error)| error.to_string()).collect();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].contains("too few"), "{reasons:?}");
}

#[test]
fn a_stack_over_the_filters_is_deeper_than_that_of_one() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let frames = raw_frames(&sky, raw.path(), 6);
    for path in &frames[3..] {
        let mut image = Cfitsio.read_image(path).unwrap();
        image.header.set("FILTER", "x", "");
        // Half of the light: another zero point.
        image.data.mapv_inplace(|value| BIAS + 0.5 * (value - BIAS));
        Cfitsio.write_images(path, &[("", &image.header, NewPlane::Float32(&image.data))]).unwrap();
    }
    let outcome = run(Module::Stacking, &frames, work.path(), known(&sky));
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let names: Vec<&str> =
        outcome.written.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, ["stack_w.fits", "stack_x.fits", "stack_all.fits"]);
    let read = |index: usize| read_reduced(&Cfitsio, &outcome.written[index]).unwrap();
    let (one, all) = (read(0), read(2));
    assert_eq!(all.header.text("FILTERS").as_deref(), Some("w x"));
    assert_eq!(all.header.number("NCOMBINE"), Some(6.0));
    assert_eq!(all.header.number("ZPMAG"), one.header.number("ZPMAG"));
    let noise = |image: &Image| {
        let mut sizes: Vec<f32> = image.iter().map(|value| value.abs()).collect();
        sizes.sort_by(f32::total_cmp);
        sizes[sizes.len() / 2]
    };
    let gain = noise(&one.image.data) / noise(&all.image.data);
    assert!((1.1..1.6).contains(&gain), "{gain}");
    // The light of the brightest star is what it was in the first filter.
    let brightest = sky.catalogue.iter().min_by(|a, b| a.magnitude.total_cmp(&b.magnitude));
    let (x, y) =
        sky_coordinates(&one.header).unwrap().sky_to_pixel(brightest.unwrap().position).unwrap();
    let light = |image: &Image| -> f32 {
        let pixels = image.indexed_iter();
        let near = |row: usize, column: usize| (column as f64 - x).hypot(row as f64 - y) < 8.0;
        pixels.filter(|((row, column), _)| near(*row, *column)).map(|(_, value)| value).sum()
    };
    let ratio = light(&all.image.data) / light(&one.image.data);
    assert!((ratio - 1.0).abs() < 0.04, "{ratio}");
    let depth = Cfitsio.read_images(&outcome.written[2]).unwrap();
    assert_eq!(depth[4].1.data[(128, 128)], 6.0);
}

/// The ten frames of RATIR C1 of 2013-07-16 show two fields in turn, shifted by up to 171 pixels, with zero points 0.3 mag apart.
#[test]
fn the_two_fields_of_ratir_are_told_apart() {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(root.join("ratir_20130716")) else {
        println!("skipped: the night of RATIR is not there");
        return;
    };
    let mut frames: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with("C1o.fits.fz"))
        .collect();
    frames.sort();
    let work = tempfile::tempdir().unwrap();
    let aligned = run(Module::Alignment, &frames, work.path(), Arc::new(NoCatalogue));
    assert!(aligned.failed.is_empty(), "{:?}", aligned.failed);
    let mut largest = 0.0_f64;
    for (path, field) in aligned.written.iter().zip([1, 2, 2, 1, 1, 2, 2, 1, 1, 2]) {
        let header = Cfitsio.read_header(path).unwrap();
        let number = |keyword: &str| header.number(keyword).unwrap();
        assert_eq!(number("ALNFIELD"), f64::from(field), "{}", path.display());
        largest = largest.max(number("ALNDX").abs()).max(number("ALNDY").abs());
        println!("{field}: {} stars, rms {:.3} pixels", number("ALNSTARS"), number("ALNRMS"));
        // Measured with sep: 0.05 to 0.15 pixel per axis for stars of S/N above 30.
        assert!(number("ALNRMS") < 0.15 && number("ALNSTARS") >= 5.0);
        assert!(number("ALNSTARS") >= 0.9 * number("ALNEXPEC"));
    }
    assert!((largest - 171.0).abs() < 1.0, "{largest}");
    let stacked = run(Module::Stacking, &frames, work.path(), Arc::new(NoCatalogue));
    assert_eq!((stacked.written.len(), stacked.failed.len()), (2, 0), "{:?}", stacked.failed);
    for path in &stacked.written {
        assert_eq!(Cfitsio.read_header(path).unwrap().number("NCOMBINE"), Some(5.0));
    }
}
