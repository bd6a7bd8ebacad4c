//! A night with a template of an earlier one: what has changed since is told from what has not.

use super::archive_tests::{deadline, trigger};
use super::batch::{BatchTools, run_module};
use super::pipeline::Instance;
use super::settings::{InstanceSettings, Module, Steps};
use super::test_sky::TestSky;
use crate::model::{AnalysisResult, VettingReason};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The stack of two frames of a month before, without the afterglow.
fn make_template(sky: &TestSky, tools: &BatchTools, directory: &Path) {
    let work = tempfile::tempdir().unwrap();
    let mut earlier = TestSky::new();
    earlier.t0 = sky.t0.plus_seconds(-30.0 * 86_400.0);
    earlier.afterglow = super::test_sky::centre().offset_arcsec(3600.0, 0.0);
    let raws: Vec<PathBuf> =
        [4, 5].map(|index| earlier.write_frame(work.path(), index).path).to_vec();
    let settings = InstanceSettings::new("svom", Steps::ALL, work.path());
    let run = |module, inputs: &[PathBuf], output: &Path| {
        let outcome = run_module(module, inputs, output, &settings, tools).unwrap();
        assert_eq!(outcome.failed.len(), 0, "{:?}", outcome.failed);
        outcome.written
    };
    let reduced = run(Module::Reduction, &raws, &work.path().join("reduced"));
    let stacks = run(Module::Stacking, &reduced, &work.path().join("stacks"));
    assert_eq!(stacks.len(), 1);
    std::fs::copy(&stacks[0], directory.join("earlier_w.fits")).unwrap();
}

fn analysed(sky: &TestSky, tools: &BatchTools, template: Option<PathBuf>) -> AnalysisResult {
    analysed_in(Steps::ALL, sky, tools, template)
}

fn analysed_in(
    steps: Steps,
    sky: &TestSky,
    tools: &BatchTools,
    template: Option<PathBuf>,
) -> AnalysisResult {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut settings = InstanceSettings::new("svom", steps, work.path());
    settings.subtraction.template = template;
    let mut instance = Instance::new(
        settings,
        Arc::clone(&tools.catalogue),
        Arc::clone(&tools.store),
        tools.keywords.clone(),
        tools.provenance.clone(),
    );
    let trigger = trigger(sky.t0, None);
    let records: Vec<_> = (0..3).map(|index| sky.write_frame(raw.path(), index)).collect();
    for record in &records {
        instance.process_frame(record, &tools.masters_in_force, Some(&trigger)).unwrap();
    }
    let path = instance.analyse(&trigger, &deadline(sky.t0, 5), &records).unwrap();
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_new_source_stands_in_the_difference_and_the_constant_ones_do_not() {
    let sky = TestSky::new();
    let tools = sky.tools();
    let archive = tempfile::tempdir().unwrap();
    make_template(&sky, &tools, archive.path());
    let result = analysed(&sky, &tools, Some(archive.path().to_owned()));
    let codes: Vec<&str> = result.degradations.iter().map(|each| each.code.as_str()).collect();
    assert!(!codes.contains(&"NOTMPL"), "{:?}", result.degradations);
    let best = &result.candidates[0].candidate;
    assert!(best.position.separation_arcsec(sky.afterglow) < 0.3);
    assert!(best.reasons.contains(&VettingReason::InDifference), "{:?}", best.reasons);
    let without = analysed(&sky, &tools, None);
    let score_of = |result: &AnalysisResult, position| {
        let listed = result
            .candidates
            .iter()
            .find(|listed| listed.candidate.position.separation_arcsec(position) < 1.0)
            .unwrap();
        (listed.candidate.score, listed.candidate.reasons.clone())
    };
    for (position, _) in &sky.constant {
        let (score, reasons) = score_of(&result, *position);
        assert!(reasons.contains(&VettingReason::InTemplate), "{reasons:?}");
        let (before, reasons) = score_of(&without, *position);
        assert!(!reasons.contains(&VettingReason::InTemplate));
        assert!(score < 0.5 * before, "{score} {before}");
    }
}

#[test]
fn a_deadline_without_a_fitting_template_says_so_and_goes_on() {
    let sky = TestSky::new();
    let tools = sky.tools();
    let archive = tempfile::tempdir().unwrap();
    let empty = analysed(&sky, &tools, Some(archive.path().to_owned()));
    let said = empty.degradations.iter().find(|each| each.code == "NOTMPL").unwrap();
    assert!(said.reason.contains("no template of filter w"), "{}", said.reason);
    std::fs::write(archive.path().join("broken.fits"), b"SIMPLE  =").unwrap();
    // Where the pipeline leaves that step out, no template is looked for.
    let unwanted = Steps { subtraction: false, ..Steps::ALL };
    let without = analysed_in(unwanted, &sky, &tools, Some(archive.path().to_owned()));
    assert!(without.degradations.iter().all(|each| each.code != "NOTMPL"));
    let broken = analysed(&sky, &tools, Some(archive.path().join("broken.fits")));
    assert!(broken.degradations.iter().any(|each| each.code == "NOTMPL"));
    for result in [empty, broken] {
        assert!(result.candidates[0].candidate.position.separation_arcsec(sky.afterglow) < 0.3);
    }
}
