//! The module on files: the template from the earlier frames, from a directory, and what has faded since.

use super::batch::{BatchOutcome, run_module};
use super::settings::{InstanceSettings, Module, Steps};
use super::test_sky::TestSky;
use crate::fits::{ColumnData, FitsStore, cfitsio::Cfitsio};
use crate::model::SkyPosition;
use std::path::{Path, PathBuf};

fn run(
    module: Module,
    sky: &TestSky,
    inputs: &[PathBuf],
    output: &Path,
    template: Option<&Path>,
) -> BatchOutcome {
    let mut settings = InstanceSettings::new("svom", Steps::ALL, output);
    settings.subtraction.template = template.map(Path::to_owned);
    run_module(module, inputs, output, &settings, &sky.tools()).unwrap()
}

fn raw_frames(sky: &TestSky, directory: &Path, count: usize) -> Vec<PathBuf> {
    (0..count).map(|index| sky.write_frame(directory, index).path).collect()
}

/// Position and significance of the sources of a difference.
fn sources(difference: &Path) -> Vec<(SkyPosition, f64)> {
    let name = difference.file_name().unwrap().to_str().unwrap();
    let path = difference.with_file_name(name.replace("_difference", "_difference_sources"));
    let tables = Cfitsio.read_tables(&path).unwrap().tables;
    let column = |name: &str| match &tables[0].column(name).unwrap().data {
        ColumnData::Float64(values) => values.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let places = column("RA").into_iter().zip(column("DEC"));
    places.map(|(ra, dec)| SkyPosition::new(ra, dec)).zip(column("SIGMA")).collect()
}

fn assert_afterglow_faded(sky: &TestSky, difference: &Path) {
    let found = sources(difference);
    let (position, sigma) = found[0];
    assert!(position.separation_arcsec(sky.afterglow) < 0.5, "{found:?}");
    assert!(sigma < -8.0 && found.len() <= 2, "{found:?}");
}

#[test]
fn without_a_template_it_is_the_stack_of_the_frames_before() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let frames = raw_frames(&sky, raw.path(), 4);
    let outcome = run(Module::Subtraction, &sky, &frames, work.path(), None);
    assert_eq!(outcome.failed.len(), 1, "{:?}", outcome.failed);
    assert_eq!(outcome.failed[0].0, frames[0]);
    assert_eq!(outcome.written.len(), 3);
    let last = &outcome.written[2];
    assert_afterglow_faded(&sky, last);
    let header = Cfitsio.read_header(last).unwrap();
    assert_eq!(header.text("TMPLNAME").as_deref(), Some("stack_w"));
    let scale = header.number("KERSUM").unwrap();
    assert!((scale - 1.0).abs() < 0.05, "{scale}");
    let names: Vec<String> =
        Cfitsio.read_images(last).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["", "VARIANCE", "MASK", "SIGNIFICANCE"]);
}

#[test]
fn a_directory_gives_the_earlier_image_of_the_filter() {
    let directories = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [raw, archive, work] = directories.each_ref().map(|directory| directory.path());
    let sky = TestSky::new();
    let frames = raw_frames(&sky, raw, 4);
    let measured = run(Module::Photometry, &sky, &frames, archive, None);
    assert_eq!(measured.failed.len(), 0, "{:?}", measured.failed);
    let reduced = |index: usize| {
        let stem = frames[index].file_stem().unwrap().to_str().unwrap();
        archive.join(format!("{stem}_reduced.fits"))
    };
    let outcome = run(Module::Subtraction, &sky, &[reduced(2)], work, Some(archive));
    assert_eq!(outcome.failed.len(), 0, "{:?}", outcome.failed);
    assert_afterglow_faded(&sky, &outcome.written[0]);
    let header = Cfitsio.read_header(&outcome.written[0]).unwrap();
    let stem = reduced(0).file_stem().unwrap().to_str().unwrap().to_owned();
    assert_eq!(header.text("TMPLNAME"), Some(stem));
    assert_eq!(header.text("TMPLDATE"), Cfitsio.read_header(&reduced(0)).unwrap().text("DATE-OBS"));
    // Nothing is earlier than the first.
    let outcome = run(Module::Subtraction, &sky, &[reduced(0)], work, Some(archive));
    assert_eq!(outcome.failed.len(), 1);
    assert!(outcome.failed[0].1.to_string().contains("no template"), "{:?}", outcome.failed);
}
