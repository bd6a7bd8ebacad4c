//! The archived COATLI-like hour through an instance: the afterglow must come first, in the right place and magnitude.
//!
//! Runs where the test data are; `GIC_ARCHIVE_FRAMES` sets how many of the sixty frames are processed (two, up to T0 + 5
//! minutes, by default).

use super::masters::{CalibrationFrame, MasterPolicy, make_masters};
use super::masters_in_force::{LoadedMaster, MastersInForce};
use super::pipeline::Instance;
use super::settings::{InstanceSettings, Steps};
use crate::catalogs::{Catalogue, local::LocalCatalogue};
use crate::fits::{FitsStore, cfitsio::Cfitsio, keywords::KeywordMap};
use crate::gp1::frame_input::{frame_stem, raw_record};
use crate::model::{
    AnalysisResult, Deadline, DeadlineName, DeadlineState, FrameRecord, PositionEstimate,
    Provenance, SkyPosition, T0Source, Trigger, TriggerOrigin, TriggerState, UtcTime,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn archive() -> Option<PathBuf> {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let directory = root.join("coatli_simulated");
    directory.join("raw").is_dir().then_some(directory)
}

fn frames_of(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The exact, deep catalogue made fair, as the data's README says: 50 mas, 0.03 mag, cut at 19.5.
fn fair_catalogue(archive: &Path, directory: &Path) -> Arc<dyn Catalogue> {
    let text = std::fs::read_to_string(archive.join("truth/catalog.csv")).unwrap();
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let mut normal = || -> f64 { StandardNormal.sample(&mut generator) };
    let mut fair = String::from("id,kind,ra,dec,mag,mag_error\n");
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |index: usize| cells[index].parse::<f64>().unwrap();
        let position =
            SkyPosition::new(number(2), number(3)).offset_arcsec(0.05 * normal(), 0.05 * normal());
        let magnitude = number(4) + 0.03 * normal();
        if magnitude <= 19.5 {
            let (ra, dec) = (position.ra_degrees, position.dec_degrees);
            let kind = if cells[1] == "tycho" { "star" } else { cells[1] };
            writeln!(fair, "{},{kind},{ra:.8},{dec:.8},{magnitude:.4},0.03", cells[0]).unwrap();
        }
    }
    let path = directory.join("catalogue.csv");
    std::fs::write(&path, fair).unwrap();
    Arc::new(LocalCatalogue::open(&path).unwrap())
}

fn masters_of(archive: &Path, keywords: &KeywordMap) -> MastersInForce {
    let frames = frames_of(&archive.join("cal"))
        .into_iter()
        .map(|path| {
            let image = Cfitsio.read_image(&path).unwrap();
            let (rows, columns) = image.data.dim();
            let name = frame_stem(&path).unwrap().to_owned();
            let keywords = keywords.read(&image.header, &name, (columns, rows)).unwrap();
            CalibrationFrame { name, keywords, pixels: image.data.into() }
        })
        .collect();
    let in_force = MastersInForce::default();
    let made = make_masters(frames, &Cfitsio, &in_force, &MasterPolicy::default());
    MastersInForce::new(
        made.outcomes
            .into_iter()
            .map(|candidate| candidate.unwrap())
            .map(|candidate| LoadedMaster { record: candidate.record, data: candidate.data })
            .collect(),
    )
}

pub(crate) fn trigger(t0: UtcTime, region: Option<PositionEstimate>) -> Trigger {
    Trigger {
        burst_id: "sb929744".into(),
        state: TriggerState::Open,
        revision: 1,
        origin: TriggerOrigin::Notice,
        t0,
        t0_source: T0Source::SequenceT0,
        opened_at: t0.plus_seconds(30.0),
        best_position: region,
        slewing: None,
        name: "GRB 191016A".into(),
        notices: Vec::new(),
    }
}

pub(crate) fn deadline(t0: UtcTime, minutes: u32) -> Deadline {
    Deadline {
        burst_id: "sb929744".into(),
        name: DeadlineName::Minutes(minutes),
        due_at: t0.plus_seconds(60.0 * f64::from(minutes)),
        state: DeadlineState::Due,
        cause: None,
    }
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        program: "gic".into(),
        version: "0".into(),
        instance: String::new(),
        masters: Vec::new(),
        catalogue: String::new(),
        configuration_sha256: String::new(),
    }
}

/// Right ascension, declination and magnitude of the afterglow on a frame.
fn truth_of(archive: &Path, frame: &str) -> (SkyPosition, f64) {
    let text = std::fs::read_to_string(archive.join(format!("truth/{frame}.csv"))).unwrap();
    let line = text.lines().find(|line| line.contains(",afterglow,")).unwrap();
    let cells: Vec<&str> = line.split(',').collect();
    let number = |index: usize| cells[index].parse::<f64>().unwrap();
    (SkyPosition::new(number(4), number(5)), number(6))
}

struct Residual {
    image: String,
    truth: f64,
    difference: f64,
    error: f64,
}

fn residuals(archive: &Path, result: &AnalysisResult) -> Vec<Residual> {
    result
        .best()
        .unwrap()
        .candidate
        .light_curve
        .iter()
        .filter(|point| point.detected && !point.image.starts_with("stack"))
        .map(|point| {
            let truth = truth_of(archive, &point.image).1;
            Residual {
                image: point.image.clone(),
                truth,
                difference: point.magnitude - truth,
                error: point.magnitude_error,
            }
        })
        .collect()
}

#[test]
fn the_afterglow_of_the_archived_hour_comes_first() {
    let Some(archive) = archive() else {
        println!("skipped: no coatli_simulated under GIC_TEST_DATA or ../shared/data");
        return;
    };
    let count: usize = std::env::var("GIC_ARCHIVE_FRAMES")
        .ok()
        .map_or(2, |text| text.parse().expect("GIC_ARCHIVE_FRAMES is a number"));
    let workspace = tempfile::tempdir().unwrap();
    let keywords = KeywordMap::default();
    let store: Arc<dyn FitsStore> = Arc::new(Cfitsio);
    let catalogue = fair_catalogue(&archive, workspace.path());
    let masters = masters_of(&archive, &keywords);
    let settings = InstanceSettings::new("svom", Steps::ALL, workspace.path());
    let t0 = UtcTime::parse("2019-10-16T04:18:00").unwrap();
    let region = PositionEstimate {
        position: SkyPosition::new(30.2695, 24.5099),
        radius_degrees: Some(0.08),
    };
    let trigger = trigger(t0, Some(region));
    let mut instance =
        Instance::new(settings, catalogue, Arc::clone(&store), keywords.clone(), provenance());
    let mut records: Vec<FrameRecord> = Vec::new();
    let mut due = [5u32, 10, 30, 60].into_iter().peekable();
    let paths = frames_of(&archive.join("raw"));
    let mut pending = paths.iter().take(count).peekable();
    loop {
        let arrival = pending.peek().map(|path| {
            let epoch = UtcTime::from_unix_microseconds(0);
            let mut record = raw_record(&*store, &keywords, path, "svom", epoch).unwrap().0;
            record.arrived_at =
                record.keywords.date_obs.plus_seconds(record.keywords.exposure_seconds + 2.0);
            record
        });
        let minutes = due.peek().copied();
        match (arrival, minutes) {
            (Some(record), minutes)
                if minutes.is_none_or(|minutes| {
                    record.arrived_at <= t0.plus_seconds(60.0 * f64::from(minutes))
                }) =>
            {
                let started = std::time::Instant::now();
                let outcome = instance.process_frame(&record, &masters, Some(&trigger)).unwrap();
                println!(
                    "{} {:.2} s: {} sources, fwhm {:.2}, {} ({} stars, {:?} arcsec), zero point {:?}, limit {:?}",
                    record.identity.name,
                    started.elapsed().as_secs_f64(),
                    outcome.quality.source_count,
                    outcome.quality.fwhm_pixels,
                    outcome.quality.astrometry,
                    outcome.quality.astrometry_matches,
                    outcome.quality.astrometry_rms_arcsec,
                    outcome.quality.zero_point,
                    outcome.quality.limiting_magnitude,
                );
                let best = &outcome.provisional.unwrap()[0].candidate;
                println!("  provisional best {} score {:.3}", best.id, best.score);
                records.push(record);
                pending.next();
            }
            (Some(_), Some(minutes)) => {
                due.next();
                check(&archive, &mut instance, &trigger, minutes, &records);
            }
            // The frames at hand end here: the deadline that they reach is still due.
            (None, Some(minutes)) => {
                check(&archive, &mut instance, &trigger, minutes, &records);
                break;
            }
            (_, None) => break,
        }
    }
}

fn check(
    archive: &Path,
    instance: &mut Instance,
    trigger: &Trigger,
    minutes: u32,
    records: &[FrameRecord],
) {
    let started = std::time::Instant::now();
    let path = instance.analyse(trigger, &deadline(trigger.t0, minutes), records).unwrap();
    println!("T{minutes:03} {:.2} s, {} frames", started.elapsed().as_secs_f64(), records.len());
    let result: AnalysisResult = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for listed in result.candidates.iter().take(6) {
        let candidate = &listed.candidate;
        println!(
            "  {} {} score {:.4} detections {} {:?} fits {:?}",
            listed.rank,
            candidate.id,
            candidate.score,
            candidate.detection_count,
            candidate.reasons,
            candidate
                .fits
                .iter()
                .map(|fit| (fit.index, fit.chi_square_gain, fit.reduced_chi_square))
                .collect::<Vec<_>>(),
        );
    }
    println!(
        "  {} candidates, limits {:?}, degradations {:?}",
        result.candidates.len(),
        result.limits.iter().map(|each| each.limiting_magnitude).collect::<Vec<_>>(),
        result.degradations
    );
    let place = truth_of(archive, &records[0].identity.name).0;
    for listed in &result.candidates {
        if listed.candidate.position.separation_arcsec(place) < 2.0 {
            println!("  afterglow: {listed:#?}");
        }
    }
    let best = result.best().expect("a candidate");
    let position = truth_of(archive, &records[0].identity.name).0;
    let offset = best.candidate.position.separation_arcsec(position);
    println!("  offset of the first {offset:.3} arcsec");
    assert!(offset < 1.0, "the first is {offset} arcsec from the afterglow");
    let residuals = residuals(archive, &result);
    for each in &residuals {
        println!(
            "  {} truth {:.3} difference {:+.3} error {:.3}",
            each.image, each.truth, each.difference, each.error
        );
    }
    assert!(residuals.len() >= 2);
    if minutes == 5 {
        for each in &residuals {
            assert!(each.difference.abs() < 0.1, "{}: {}", each.image, each.difference);
            assert!(
                each.difference.abs() < 3.0 * each.error,
                "{}: {} for an error of {}",
                each.image,
                each.difference,
                each.error
            );
        }
    }
    for listed in &result.candidates {
        let name = listed.cutout.as_ref().expect("a cut-out");
        assert!(path.with_file_name(name).exists(), "{name}");
    }
}
