//! Image by image as they arrive, or all at once by modules or pipeline: one code, the same numbers.

use super::batch::{run_module, run_pipeline};
use super::frame_input::raw_record;
use super::pipeline::Instance;
use super::reduced_file::read_reduced;
use super::settings::{CosmicRayStep, InstanceSettings, Module, Steps};
use super::source_table::{MeasuredSource, read_sources};
use super::test_sky::TestSky;
use super::trigger_of_frame::trigger_of_frame;
use crate::fits::{FitsStore, cfitsio::Cfitsio};
use crate::model::{AnalysisResult, Candidate, Deadline, DeadlineName, DeadlineState, FilterLimit};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FRAMES: usize = 3;

/// What is compared of a frame and of a result.
#[derive(Debug, PartialEq)]
struct Outcome {
    planes: Vec<crate::imaging::CalibratedImage>,
    sources: Vec<Vec<MeasuredSource>>,
    candidates: Vec<Candidate>,
    limits: Vec<FilterLimit>,
}

fn assert_same(one: &Outcome, other: &Outcome) {
    assert!(one.planes == other.planes, "the pixels differ");
    for (one, other) in one.sources.iter().zip(&other.sources) {
        let first = one.iter().zip(other).find(|(one, other)| one != other);
        assert!(one.len() == other.len() && first.is_none(), "{first:#?}");
    }
    for (one, other) in one.candidates.iter().zip(&other.candidates) {
        assert_eq!(one, other);
    }
    assert_eq!(one.limits, other.limits);
    assert!(one == other, "not as many of everything");
}

fn outcome(reduced: &[PathBuf], sources: &[PathBuf], result: &Path) -> Outcome {
    let result: AnalysisResult = serde_json::from_slice(&std::fs::read(result).unwrap()).unwrap();
    Outcome {
        planes: reduced.iter().map(|path| read_reduced(&Cfitsio, path).unwrap().image).collect(),
        sources: sources.iter().map(|path| read_sources(&Cfitsio, path).unwrap()).collect(),
        candidates: result.candidates.into_iter().map(|listed| listed.candidate).collect(),
        limits: result.limits,
    }
}

/// The files of a directory and those below whose names end so, sorted.
fn ending(directory: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(ending(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn frame_by_frame_by_modules_and_by_the_pipeline_give_the_same_numbers() {
    let sky = TestSky::new();
    let raw = tempfile::tempdir().unwrap();
    let raws: Vec<PathBuf> =
        (0..FRAMES).map(|index| sky.write_frame(raw.path(), index).path).collect();
    let (store, tools) = (Cfitsio, sky.tools());
    // By its header, as the image provider knows a frame.
    let of_header = |path: &PathBuf| {
        raw_record(&store, &tools.keywords, path, "svom", sky.t0.plus_seconds(600.0)).unwrap().0
    };
    let records: Vec<_> = raws.iter().map(of_header).collect();
    // By default a module looks for cosmic rays where the provisional path leaves that out.
    let settings = |work: &Path| {
        let mut settings = InstanceSettings::new("svom", Steps::ALL, work);
        settings.reduction.cosmic_ray_step = CosmicRayStep::Always;
        settings
    };

    let work = tempfile::tempdir().unwrap();
    let mut instance = Instance::new(
        settings(work.path()),
        Arc::clone(&tools.catalogue),
        Arc::clone(&tools.store),
        tools.keywords.clone(),
        tools.provenance.clone(),
    );
    let header = store.read_header(&raws[0]).unwrap();
    let trigger = trigger_of_frame(&header, &records[0]);
    let (mut reduced, mut sources) = (Vec::new(), Vec::new());
    for record in &records {
        let frame =
            instance.process_frame(record, &tools.masters_in_force, Some(&trigger)).unwrap();
        reduced.push(frame.reduced_path);
        sources.push(frame.sources_path);
    }
    let deadline = Deadline {
        burst_id: trigger.burst_id.clone(),
        name: DeadlineName::Minutes(5),
        due_at: trigger.t0.plus_seconds(300.0),
        state: DeadlineState::Due,
        cause: None,
    };
    let result = instance.analyse(&trigger, &deadline, &records).unwrap();
    let online = outcome(&reduced, &sources, &result);
    assert_eq!(online.candidates.first().unwrap().detection_count, FRAMES);

    let batch = tempfile::tempdir().unwrap();
    let run = |module, inputs: &[PathBuf], name: &str| {
        let output = batch.path().join(name);
        let outcome = run_module(module, inputs, &output, &settings(&output), &tools).unwrap();
        assert_eq!(outcome.failed.len(), 0, "{:?}", outcome.failed);
        output
    };
    let reduced = ending(&run(Module::Reduction, &raws, "reduction"), "_reduced.fits");
    let sources = ending(&run(Module::Photometry, &reduced, "photometry"), "_sources.fits");
    let results = ending(&run(Module::Summary, &reduced, "summary"), "result.json");
    assert_same(&outcome(&reduced, &sources, &results[0]), &online);

    let output = batch.path().join("pipeline");
    let run = run_pipeline(&raws, &output, &settings(&output), &tools).unwrap();
    assert_eq!(run.failed.len(), 0, "{:?}", run.failed);
    let (reduced, sources) = (ending(&output, "_reduced.fits"), ending(&output, "_sources.fits"));
    let result = ending(&output, "result.json");
    assert_same(&outcome(&reduced, &sources, &result[0]), &online);
}
