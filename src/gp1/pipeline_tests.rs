//! An instance on the test sky: results, restarts, bad frames.

use super::archive_tests::{deadline, provenance, trigger};
use super::batch::{BatchTools, run_module};
use super::pipeline::Instance;
use super::reduced_file::read_reduced;
use super::settings::{CosmicRayStep, InstanceSettings, Steps};
use super::test_sky::{SIZE, TestCatalogue, TestSky, ZERO_POINT, masters};
use crate::catalogs::{Catalogue, local::NoCatalogue};
use crate::fits::{FitsStore, cfitsio::Cfitsio, keywords::KeywordMap};
use crate::imaging::{Image, mask_bits};
use crate::model::{
    AnalysisResult, CatalogueAnswer, CatalogueStatus, FrameRecord, ListedCandidate, MinorPlanet,
    MinorPlanetAnswer, PositionEstimate, SkyPosition, Trigger, UtcTime, VettingReason,
};
use std::path::Path;
use std::sync::Arc;

fn instance(workspace: &Path, catalogue: Arc<dyn Catalogue>) -> Instance {
    let settings = InstanceSettings::new("svom", Steps::ALL, workspace);
    Instance::new(settings, catalogue, Arc::new(Cfitsio), KeywordMap::default(), provenance())
}

fn of_sky(workspace: &Path, sky: &TestSky) -> Instance {
    instance(workspace, Arc::new(TestCatalogue(sky.catalogue.clone())))
}

fn burst(sky: &TestSky) -> Trigger {
    let region =
        PositionEstimate { position: super::test_sky::centre(), radius_degrees: Some(0.05) };
    trigger(sky.t0, Some(region))
}

fn frames(sky: &TestSky, directory: &Path, count: usize) -> Vec<FrameRecord> {
    (0..count).map(|index| sky.write_frame(directory, index)).collect()
}

fn read(path: &Path) -> AnalysisResult {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_fading_source_is_first_with_right_magnitudes() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let trigger = burst(&sky);
    let mut instance = of_sky(work.path(), &sky);
    let records = frames(&sky, raw.path(), 4);
    for (index, record) in records.iter().enumerate() {
        let outcome = instance.process_frame(record, &masters(), Some(&trigger)).unwrap();
        assert_eq!(outcome.quality.astrometry, "solved");
        assert!((outcome.quality.zero_point.unwrap() - ZERO_POINT).abs() < 0.1);
        assert!(
            outcome
                .reduced_path
                .ends_with(format!("929744/C0/w/{}_reduced.fits", record.identity.name))
        );
        if index > 0 {
            let first = &outcome.provisional.unwrap()[0].candidate;
            assert!(first.position.separation_arcsec(sky.afterglow) < 0.5, "{first:?}");
        }
    }
    let path = instance.analyse(&trigger, &deadline(sky.t0, 5), &records).unwrap();
    assert!(path.ends_with("929744/T005/result.json"));
    let result = read(&path);
    let best = result.best().unwrap();
    assert!(best.candidate.position.separation_arcsec(sky.afterglow) < 0.3);
    assert!(best.candidate.reasons.contains(&VettingReason::Fading));
    assert!((best.candidate.fits[0].index - 1.0).abs() < 0.25, "{:?}", best.candidate.fits);
    for (record, point) in records.iter().zip(&best.candidate.light_curve) {
        assert_eq!(point.image, record.identity.name);
        let truth = sky.afterglow_magnitude(record.keywords.date_obs);
        let difference = point.magnitude - truth;
        assert!(difference.abs() < 0.1, "{difference} on {}", point.image);
        assert!(difference.abs() < 3.5 * point.magnitude_error, "{difference} {point:?}");
    }
    // The new constant sources are there, and below.
    for (position, _) in &sky.constant {
        let listed = result
            .candidates
            .iter()
            .find(|listed| listed.candidate.position.separation_arcsec(*position) < 1.0)
            .expect("a new constant source is listed");
        assert!(listed.rank > best.rank && listed.candidate.score < 0.5 * best.candidate.score);
    }
    assert_eq!(result.catalogue_status, CatalogueStatus::Found);
    assert!(result.frames.iter().all(|frame| frame.stacked), "{:?}", result.frames);
    // Four frames reach half of 2.5 log10(4) deeper at the least.
    let single = result.frames[0].limiting_magnitude.unwrap();
    assert!(result.limits[0].limiting_magnitude > single + 0.35, "{:?}", result.limits);
    let directory = path.parent().unwrap();
    assert!(directory.join("candidates.fits").exists());
    assert!(directory.join("stack_w.fits").exists());
    assert!(directory.join(best.cutout.as_ref().unwrap()).exists());
    let codes: Vec<&str> = result.degradations.iter().map(|each| each.code.as_str()).collect();
    assert_eq!(codes, ["NODARK", "NOFLAT"]);
}

#[test]
fn a_restart_in_the_middle_leaves_the_result_as_it_was() {
    let raw = tempfile::tempdir().unwrap();
    let sky = TestSky::new();
    let trigger = burst(&sky);
    let records = frames(&sky, raw.path(), 3);
    let run = |restart: bool| {
        let work = tempfile::tempdir().unwrap();
        let mut instance = of_sky(work.path(), &sky);
        for (index, record) in records.iter().enumerate() {
            if restart && index == 2 {
                instance = of_sky(work.path(), &sky);
                instance.restore(&records[..2], Some(&trigger)).unwrap();
            }
            instance.process_frame(record, &masters(), Some(&trigger)).unwrap();
            if restart {
                // Delivered twice, as after a crash between the work and its journal.
                instance.process_frame(record, &masters(), Some(&trigger)).unwrap();
            }
        }
        let path = instance.analyse(&trigger, &deadline(sky.t0, 5), &records).unwrap();
        let stack = path.with_file_name("stack_w.fits");
        let pixels = crate::fits::FitsStore::read_image(&Cfitsio, &stack).unwrap().data;
        (std::fs::read(&path).unwrap(), pixels)
    };
    let (straight, stack) = run(false);
    let (restarted, stack_after) = run(true);
    assert_eq!(String::from_utf8(straight).unwrap(), String::from_utf8(restarted).unwrap());
    assert_eq!(stack, stack_after);
}

#[test]
fn later_frames_do_not_tell_an_earlier_deadline_anything() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let trigger = burst(&sky);
    let mut instance = of_sky(work.path(), &sky);
    let records = frames(&sky, raw.path(), 3);
    for record in &records[..2] {
        instance.process_frame(record, &masters(), Some(&trigger)).unwrap();
    }
    let path = instance.analyse(&trigger, &deadline(sky.t0, 5), &records[..2]).unwrap();
    let before = std::fs::read_to_string(&path).unwrap();
    instance.process_frame(&records[2], &masters(), Some(&trigger)).unwrap();
    instance.analyse(&trigger, &deadline(sky.t0, 5), &records[..2]).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn a_deadline_without_frames_has_a_result_with_the_reason() {
    let work = tempfile::tempdir().unwrap();
    let sky = TestSky::new();
    let mut instance = of_sky(work.path(), &sky);
    let path = instance.analyse(&burst(&sky), &deadline(sky.t0, 5), &[]).unwrap();
    let result = read(&path);
    assert_eq!(result.empty_reason.as_deref(), Some("no frame had arrived"));
    assert!(result.candidates.is_empty());
    assert!(result.degradations.iter().any(|each| each.code == "NOFRAME"));
}

#[test]
fn bad_frames_cost_themselves_only() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let trigger = burst(&sky);
    let mut instance = of_sky(work.path(), &sky);
    let mut records = frames(&sky, raw.path(), 2);
    let shape = (SIZE, SIZE);
    let undefined = sky.write_plane(raw.path(), 5, &Image::from_elem(shape, f32::NAN));
    let saturated = sky.write_plane(raw.path(), 6, &Image::from_elem(shape, 16384.0));
    let ripple = |(row, column): (usize, usize)| 660.0 + ((row * 7 + column * 3) % 11) as f32;
    let blank = sky.write_plane(raw.path(), 7, &Image::from_shape_fn(shape, ripple));
    let small = sky.write_plane(raw.path(), 8, &Image::from_shape_fn((64, 96), ripple));
    for record in [&undefined, &saturated] {
        let error = instance.process_frame(record, &masters(), Some(&trigger)).unwrap_err();
        assert!(!error.is_retry_safe(), "{error}");
    }
    for record in [&blank, &small] {
        let outcome = instance.process_frame(record, &masters(), Some(&trigger)).unwrap();
        assert_eq!(outcome.quality.zero_point, None);
        assert_eq!(outcome.quality.astrometry, "pointing");
        let has = |code: &str| outcome.quality.degradations.iter().any(|each| each.code == code);
        assert!(has("NOWCS") && has("NOZP"), "{:?}", outcome.quality.degradations);
        assert_eq!(has("NOBIAS"), record.identity == small.identity);
    }
    let missing = FrameRecord { path: raw.path().join("gone.fits"), ..records[0].clone() };
    assert!(instance.process_frame(&missing, &masters(), Some(&trigger)).is_err());
    for record in &records {
        instance.process_frame(record, &masters(), Some(&trigger)).unwrap();
    }
    let mut failed = undefined;
    failed.reason = Some("only 0.00 % of the pixels are good".into());
    records.extend([failed, blank]);
    let result = read(&instance.analyse(&trigger, &deadline(sky.t0, 5), &records).unwrap());
    let best = result.best().unwrap();
    assert!(best.candidate.position.separation_arcsec(sky.afterglow) < 0.5);
    let reasons: Vec<Option<&str>> =
        result.frames.iter().map(|frame| frame.reason.as_deref()).collect();
    assert_eq!(reasons[..2], [None, None]);
    assert!(reasons[2].unwrap().starts_with("not reduced: only"), "{reasons:?}");
    assert!(reasons[3].is_some());
}

#[test]
fn without_a_catalogue_the_fading_source_still_comes_first() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let trigger = trigger(sky.t0, None);
    let mut instance = instance(work.path(), Arc::new(NoCatalogue));
    let records = frames(&sky, raw.path(), 4);
    for record in &records {
        let outcome = instance.process_frame(record, &masters(), Some(&trigger)).unwrap();
        assert_eq!(outcome.quality.astrometry, "pointing");
        assert_eq!(outcome.quality.zero_point, None);
    }
    let result = read(&instance.analyse(&trigger, &deadline(sky.t0, 5), &records).unwrap());
    assert_eq!(result.catalogue_status, CatalogueStatus::Unavailable);
    let best = result.best().unwrap();
    assert!(best.candidate.reasons.contains(&VettingReason::CatalogueUnavailable));
    assert!(best.candidate.reasons.contains(&VettingReason::Fading), "{:?}", best.candidate);
    // The pointing is wrong by 20 arcseconds, so is the position; the error is the same for all.
    let offset = best.candidate.position.separation_arcsec(sky.afterglow);
    assert!((offset - 17f64.hypot(11.0)).abs() < 1.5, "{offset}");
    assert!(result.degradations.iter().any(|each| each.code == "NOCAT"));
    assert!(result.frames.iter().all(|frame| frame.stacked), "{:?}", result.frames);
}

/// Every other frame shows another field under the same coordinates (its mirror image): as a telescope whose pointing jumps.
#[test]
fn two_fields_in_turn_are_two_groups_with_a_stack_each() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let trigger = burst(&sky);
    let mut instance = instance(work.path(), Arc::new(NoCatalogue));
    let mut records = frames(&sky, raw.path(), 6);
    for index in [1, 3, 5] {
        let plane = Cfitsio.read_image(&records[index].path).unwrap().data;
        records[index] = sky.write_plane(raw.path(), index, &plane.t().to_owned());
    }
    let mut fields = Vec::new();
    for record in &records {
        let outcome = instance.process_frame(record, &masters(), Some(&trigger)).unwrap();
        fields.push(outcome.quality.field.unwrap());
    }
    let name = |index: usize| records[index].identity.name.clone();
    assert_eq!(fields, [name(0), name(1), name(0), name(1), name(0), name(1)]);
    let result = read(&instance.analyse(&trigger, &deadline(sky.t0, 10), &records).unwrap());
    let groups: Vec<_> = result.frames.iter().map(|frame| (frame.stacked, frame.group)).collect();
    assert_eq!(groups, [1, 2, 1, 2, 1, 2].map(|group| (true, Some(group))));
    assert_eq!(result.catalogue_status, CatalogueStatus::Unavailable);
    for (index, founder) in [("stack_w", name(0)), ("stack_w_2", name(1))] {
        let path = work.path().join(format!("929744/T010/{index}.fits"));
        let header = Cfitsio.read_header(&path).unwrap();
        assert_eq!(header.number("NCOMBINE"), Some(3.0));
        assert_eq!(header.text("REFFRAME"), Some(founder));
    }
    // A light curve is of one field: a source is measured on its three frames and their stack, on no other.
    for listed in &result.candidates {
        let of_frames = listed.candidate.light_curve.iter().filter_map(|point| {
            records.iter().position(|record| record.identity.name == point.image)
        });
        let parities: Vec<usize> = of_frames.map(|index| index % 2).collect();
        assert!(parities.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", listed.candidate);
    }
    // After a restart the groups are the same.
    let mut again = self::instance(work.path(), Arc::new(NoCatalogue));
    again.restore(&records, Some(&trigger)).unwrap();
    let path = again.analyse(&trigger, &deadline(sky.t0, 10), &records).unwrap();
    assert_eq!(read(&path).frames, result.frames);
}

/// `gic findstars` on an image that this program has not reduced: it is measured as it is.
#[test]
fn an_image_from_elsewhere_is_measured_as_it_is() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let record = sky.write_frame(raw.path(), 0);
    let settings = InstanceSettings::new("svom", Steps::ALL, work.path());
    let tools = BatchTools { catalogue: Arc::new(NoCatalogue), ..sky.tools() };
    let module = super::settings::Module::Findstars;
    let outcome = run_module(module, &[record.path], work.path(), &settings, &tools).unwrap();
    assert_eq!(outcome.failed.len(), 0, "{:?}", outcome.failed);
    let sources = super::source_table::read_sources(&Cfitsio, &outcome.written[0]).unwrap();
    assert!(sources.len() > 40, "{}", sources.len());
    let bright = sources.iter().filter(|each| each.source.signal_to_noise() > 50.0);
    for each in bright {
        let total = each.source.total.unwrap();
        // The Kron ellipse holds more than the aperture of the stars' half-light diameter, and no more than all.
        let ratio = total.electrons / each.source.flux_electrons;
        assert!((0.95..1.6).contains(&ratio), "{ratio} {:?}", each.source);
    }
    // Its own reduced file is measured from there, with the same result.
    let reduced = outcome.written[0].with_file_name(
        outcome.written[0].file_name().unwrap().to_str().unwrap().replace("_sources", "_reduced"),
    );
    let again = tempfile::tempdir().unwrap();
    let outcome = run_module(module, &[reduced], again.path(), &settings, &tools).unwrap();
    let measured = super::source_table::read_sources(&Cfitsio, &outcome.written[0]).unwrap();
    assert_eq!(sources, measured);
}

#[test]
fn cosmic_rays_are_masked_where_the_settings_ask_for_it() {
    let raw = tempfile::tempdir().unwrap();
    let sky = TestSky::new();
    let clean = sky.write_frame(raw.path(), 0);
    let mut data = Cfitsio.read_image(&clean.path).unwrap().data;
    let track: Vec<(usize, usize)> = (0..9).map(|step| (40 + step, 60 + step / 2)).collect();
    for &place in &track {
        data[place] += 300.0;
    }
    let record = sky.write_plane(raw.path(), 1, &data);
    let reduced = |step| {
        let work = tempfile::tempdir().unwrap();
        let mut settings = InstanceSettings::new("svom", Steps::QUALITY, work.path());
        settings.reduction.cosmic_ray_step = step;
        let catalogue = Arc::new(TestCatalogue(sky.catalogue.clone()));
        let store = Arc::new(Cfitsio);
        let keywords = KeywordMap::default();
        let mut instance = Instance::new(settings, catalogue, store, keywords, provenance());
        let outcome = instance.process_frame(&record, &masters(), None).unwrap();
        assert_eq!(outcome.quality.astrometry, "solved");
        let frame = read_reduced(&Cfitsio, &outcome.reduced_path).unwrap();
        (frame, outcome.quality.zero_point.unwrap())
    };
    let (searched, zero_point) = reduced(CosmicRayStep::Always);
    let struck = |mask: &crate::imaging::Mask| {
        mask.iter().filter(|&&bits| bits & mask_bits::COSMIC != 0).count()
    };
    assert!(track.iter().all(|&place| searched.image.mask[place] & mask_bits::COSMIC != 0));
    let count = struck(&searched.image.mask);
    assert!(count <= track.len() + 3, "{count}");
    let told = format!("cosmic rays: {count} pixels");
    let is_told = |card: &crate::fits::Card| format!("{card:?}").contains(&told);
    assert!(searched.header.cards.iter().any(is_told));
    for step in [CosmicRayStep::Module, CosmicRayStep::Never] {
        let (frame, other_zero_point) = reduced(step);
        assert_eq!(struck(&frame.image.mask), 0);
        assert_eq!(frame.image.data, searched.image.data);
        assert!((zero_point - other_zero_point).abs() < 0.01);
    }
}

/// The test sky with one of its constant sources predicted as a minor planet, and another predicted too faint.
struct WithMinorPlanets {
    stars: TestCatalogue,
    places: [SkyPosition; 2],
    is_stale: bool,
}

impl Catalogue for WithMinorPlanets {
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer {
        self.stars.cone(centre, radius_degrees)
    }

    fn minor_planets(
        &self,
        _centre: SkyPosition,
        _radius_degrees: f64,
        instants: &[UtcTime],
    ) -> Option<MinorPlanetAnswer> {
        let objects = self
            .places
            .iter()
            .zip(["(433) Eros", "2007 TA418"])
            .zip([16.0, 24.0])
            .map(|((place, name), magnitude)| MinorPlanet {
                name: name.to_owned(),
                places: vec![*place; instants.len()],
                position_error_arcsec: 0.2,
                magnitude: Some(magnitude),
                motion_arcsec_per_hour: (0.0, 0.0),
                earth_distance_au: 1.0,
                sun_distance_au: 2.0,
                phase_angle_degrees: 3.0,
                epoch_age_days: 4.0,
                orbit_is_unsure: false,
            })
            .collect();
        Some(match self.is_stale {
            true => MinorPlanetAnswer::Stale { objects, age_days: 77.0 },
            false => MinorPlanetAnswer::Found { objects },
        })
    }

    fn object_count(&self) -> u64 {
        self.stars.object_count()
    }

    fn describe(&self) -> String {
        self.stars.describe()
    }
}

#[test]
fn a_source_on_a_minor_planet_says_so_and_comes_last() {
    let (raw, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sky = TestSky::new();
    let trigger = burst(&sky);
    let places = [sky.constant[0].0, sky.constant[1].0];
    let stars = TestCatalogue(sky.catalogue.clone());
    let catalogue = Arc::new(WithMinorPlanets { stars, places, is_stale: true });
    let mut instance = instance(work.path(), catalogue);
    let records = frames(&sky, raw.path(), 3);
    for record in &records {
        instance.process_frame(record, &masters(), Some(&trigger)).unwrap();
    }
    let path = instance.analyse(&trigger, &deadline(sky.t0, 5), &records).unwrap();
    let result = read(&path);
    let at = |place: SkyPosition| {
        let near =
            |listed: &&ListedCandidate| listed.candidate.position.separation_arcsec(place) < 1.0;
        result.candidates.iter().find(near).expect("a new constant source is listed")
    };
    let (eros, other) = (at(places[0]), at(places[1]));
    assert!(eros.candidate.reasons.contains(&VettingReason::MinorPlanet));
    let matched = eros.candidate.minor_planet.as_ref().unwrap();
    assert_eq!(matched.name, "(433) Eros");
    assert!(matched.separation_arcsec < 0.5 && matched.position_error_arcsec == 0.2);
    assert!(eros.rank > other.rank && eros.candidate.score < 0.2 * other.candidate.score);
    // Eight magnitudes brighter than predicted: something else.
    assert_eq!(other.candidate.minor_planet, None);
    assert!(!other.candidate.reasons.contains(&VettingReason::MinorPlanet));
    assert!(result.degradations.iter().any(|each| each.code == "OLDMPC"));
    let tables = Cfitsio.read_tables(&path.parent().unwrap().join("candidates.fits")).unwrap();
    assert!(format!("{:?}", tables.tables[0].column("MINORPL")).contains("(433) Eros"));
}
