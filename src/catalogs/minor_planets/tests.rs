//! Against astropy, ERFA and scipy (`tests/oracles/minor_planets.py`), and the store from outside.

use super::{
    build::{OrbitsRequest, build_orbits},
    earth::{earth_from_sun, observer_from_sun, terrestrial_mjd},
    ephemeris::{ARCSEC_PER_RADIAN, LIGHT_DAYS_PER_AU, NearbyOrbit, Sight},
    mpcorb::tests::line_of,
    orbit::{Ellipse, GAUSS_CONSTANT},
    vector::{minus, norm},
    *,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Deserialize;
use std::{fmt::Write as _, fs, path::PathBuf};

const SITE: Observatory = Observatory {
    latitude_degrees: 31.0449,
    longitude_degrees: -115.4646,
    altitude_metres: 2792.0,
};

/// Name, epoch, mean anomaly, argument of perihelion, node, inclination, eccentricity, semi-major axis, H, G.
type ElementsRow = (String, f64, f64, f64, f64, f64, f64, f64, f32, f32);
/// Place in the list, instant, whether the planets pull; right ascension, declination, distances, phase angle, V.
type PlaceRow = (usize, String, bool, f64, f64, f64, f64, f64, f64);

#[derive(Deserialize)]
struct Oracle {
    earth: Vec<[f64; 4]>,
    observers: Vec<(String, f64, f64, f64, f64)>,
    orbits: Vec<ElementsRow>,
    places: Vec<PlaceRow>,
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../../../tests/oracles/minor_planets.json")).unwrap()
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

fn orbit(row: &ElementsRow) -> Orbit {
    Orbit {
        name: row.0.clone(),
        elements: Elements {
            epoch_mjd: row.1,
            mean_anomaly_degrees: row.2,
            argument_of_perihelion_degrees: row.3,
            ascending_node_degrees: row.4,
            inclination_degrees: row.5,
            eccentricity: row.6,
            mean_motion_degrees_per_day: rounded(
                (GAUSS_CONSTANT / row.7.powf(1.5)).to_degrees(),
                8,
            ),
            semi_major_axis_au: row.7,
        },
        absolute_magnitude: Some(row.8),
        slope: row.9,
        uncertainty: Some(0),
        last_observed_mjd: Some(60_950.0),
    }
}

/// By the Sun alone, with light-time.
fn by_the_sun(ellipse: &Ellipse, mjd: f64, observer: Vector) -> Sight {
    let mut state = ellipse.state(mjd);
    let mut towards = minus(state.place, observer);
    for _ in 0..5 {
        state = ellipse.state(mjd - LIGHT_DAYS_PER_AU * norm(towards));
        towards = minus(state.place, observer);
    }
    Sight { towards, state }
}

#[test]
fn the_earth_and_the_telescope_are_where_erfa_has_them() {
    let oracle = oracle();
    for [mjd, x, y, z] in oracle.earth {
        let off = norm(minus(earth_from_sun(mjd), [x, y, z]));
        // As seen from 1 au: 0.2 arcseconds.
        assert!(off < 1e-6, "{mjd}: {off}");
    }
    for (text, tt, x, y, z) in oracle.observers {
        let time = UtcTime::parse(&text).unwrap();
        assert!((terrestrial_mjd(time) - tt).abs() < 1e-8, "{text}");
        let from_middle = minus(observer_from_sun(time, Some(SITE)), observer_from_sun(time, None));
        let off = norm(minus(from_middle, [x, y, z]));
        // Three kilometres of 6378: nutation, polar motion and UT1 are left out.
        assert!(off < 2e-8, "{text}: {off}");
    }
}

#[test]
fn places_agree_with_the_same_two_bodies() {
    let oracle = oracle();
    let mut worst: f64 = 0.0;
    for (index, text, is_perturbed, ra, dec, distance, from_sun, phase, magnitude) in oracle.places
    {
        if is_perturbed {
            continue;
        }
        let orbit = orbit(&oracle.orbits[index]);
        let time = UtcTime::parse(&text).unwrap();
        let observer = observer_from_sun(time, Some(SITE));
        let mjd = terrestrial_mjd(time);
        let sight = by_the_sun(&Ellipse::of(&orbit.elements), mjd, observer);
        let off = sight.direction().separation_arcsec(SkyPosition::new(ra, dec));
        worst = worst.max(off * distance);
        // The Earth is good to 1e-6 au.
        assert!(off < 0.01 + 0.21 / distance, "{} {text}: {off} arcsec", orbit.name);
        assert!((norm(sight.towards) - distance).abs() < 2e-6);
        assert!((norm(sight.state.place) - from_sun).abs() < 1e-7);
        assert!((sight.phase_angle().to_degrees() - phase).abs() < 1e-3);
        let near = NearbyOrbit::new(orbit, mjd);
        assert!((near.magnitude(&sight).unwrap() - magnitude).abs() < 1e-4);
    }
    println!("largest distance from the oracle's two bodies: {worst:.3} arcsec at 1 au");
}

#[test]
fn the_planets_pull_as_in_scipy_and_the_error_says_how_well() {
    let oracle = oracle();
    for (index, text, is_perturbed, ra, dec, distance, ..) in oracle.places {
        if !is_perturbed {
            continue;
        }
        let orbit = orbit(&oracle.orbits[index]);
        let time = UtcTime::parse(&text).unwrap();
        let mjd = terrestrial_mjd(time);
        let observer = observer_from_sun(time, Some(SITE));
        // Half an hour from the middle of the span.
        let near = NearbyOrbit::new(orbit.clone(), mjd - 0.02);
        let sight = near.seen(mjd, observer);
        let truth = SkyPosition::new(ra, dec);
        let off = sight.direction().separation_arcsec(truth);
        let alone = by_the_sun(&Ellipse::of(&orbit.elements), mjd, observer);
        let without = alone.direction().separation_arcsec(truth);
        let error = near.error_arcsec(mjd, &sight);
        let span = mjd - orbit.elements.epoch_mjd;
        let shift = near.shift_au / distance * ARCSEC_PER_RADIAN;
        println!(
            "{:<18} {span:>6.0} d: off {off:.3} (Sun alone {without:.2}, shift {shift:.2}), stated {error:.3} arcsec",
            orbit.name
        );
        assert!(off < 3.0 * error, "{} {text}: {off} arcsec, stated {error}", orbit.name);
    }
}

fn random_orbit(random: &mut StdRng, number: usize) -> Orbit {
    let axis: f64 = random.random_range(0.8..4.5);
    let highest = if number.is_multiple_of(40) { 0.98 } else { 0.35 };
    Orbit {
        name: format!("({number}) Random"),
        elements: Elements {
            epoch_mjd: 61_000.0,
            mean_anomaly_degrees: random.random_range(0.0..360.0),
            argument_of_perihelion_degrees: random.random_range(0.0..360.0),
            ascending_node_degrees: random.random_range(0.0..360.0),
            inclination_degrees: random.random_range(0.0..20.0),
            eccentricity: random.random_range(0.0..highest),
            mean_motion_degrees_per_day: (GAUSS_CONSTANT / axis.powf(1.5)).to_degrees(),
            semi_major_axis_au: axis,
        },
        absolute_magnitude: Some(15.0),
        slope: 0.15,
        uncertainty: Some(2),
        last_observed_mjd: Some(60_980.0),
    }
}

fn built(orbits: &[Orbit], directory: &std::path::Path) -> PathBuf {
    let input = directory.join("MPCORB.DAT");
    let mut text = "MINOR PLANET CENTER ORBIT DATABASE\n\nDes'n     H     G   Epoch\n".to_owned();
    writeln!(text, "{}", "-".repeat(200)).unwrap();
    for (number, orbit) in orbits.iter().enumerate() {
        if number == 2 {
            text.push('\n');
        }
        writeln!(text, "{}", line_of("00433", orbit)).unwrap();
    }
    fs::write(&input, text).unwrap();
    let output = directory.join("orbits");
    let request = OrbitsRequest {
        inputs: vec![input],
        output: output.clone(),
        name: "MPCORB".into(),
        url: None,
        citation: None,
        dated: Some(UtcTime::parse("2025-11-21").unwrap()),
        built_at: UtcTime::parse("2025-11-22").unwrap(),
        replace: true,
    };
    let report = build_orbits(&request, &mut |_| ()).unwrap();
    assert_eq!((report.objects, report.rejected.len()), (orbits.len() as u64, 0));
    output
}

#[test]
fn the_first_look_misses_nothing_that_a_look_at_every_orbit_finds() {
    let mut random = StdRng::seed_from_u64(11);
    let orbits: Vec<Orbit> = (1..6000).map(|number| random_orbit(&mut random, number)).collect();
    let here = tempfile::tempdir().unwrap();
    let catalogue =
        MinorPlanetCatalogue::open(&built(&orbits, here.path()), Some(SITE), None).unwrap();
    let (mut asked, mut there) = (0, 0);
    for start in ["2025-11-20T04:20:01", "2026-03-01T03:15:30"] {
        let start = UtcTime::parse(start).unwrap();
        // From a span into the next.
        let instants: Vec<UtcTime> =
            (0..4).map(|each| start.plus_seconds(f64::from(each) * 2000.0)).collect();
        // Kept with eight digits behind the point in the file.
        let read: Vec<NearbyOrbit> = (0..orbits.len())
            .map(|place| {
                NearbyOrbit::new(catalogue.store.orbit(place).unwrap(), terrestrial_mjd(start))
            })
            .collect();
        let observers: Vec<Observer> =
            instants.iter().map(|each| Observer::at(*each, Some(SITE))).collect();
        for field in 0..12 {
            let middle = predicted(&read[field * 450], &observers).unwrap().places[0];
            let radius = 1.5;
            let answer = catalogue.within(middle, radius, &instants);
            let mut expected: Vec<&str> = read
                .iter()
                .filter(|orbit| {
                    let places = predicted(orbit, &observers).unwrap().places;
                    let near =
                        |place: &SkyPosition| place.separation_arcsec(middle) <= radius * 3600.0;
                    places.iter().any(near)
                })
                .map(|orbit| orbit.orbit.name.as_str())
                .collect();
            let mut found: Vec<&str> =
                answer.objects().iter().map(|each| each.name.as_str()).collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{start} field {field}");
            (asked, there) = (asked + 1, there + found.len());
        }
    }
    println!("{there} minor planets in {asked} fields");
    assert!(there > 3 * asked);
}

#[test]
fn answers_are_typed() {
    let here = tempfile::tempdir().unwrap();
    let rows = oracle().orbits;
    let orbits: Vec<Orbit> = rows.iter().map(orbit).collect();
    let directory = built(&orbits, here.path());
    assert!(store::holds_orbits(&directory));
    let catalogue = MinorPlanetCatalogue::open(&directory, Some(SITE), Some(60.0)).unwrap();
    catalogue.verify().unwrap();
    let time = UtcTime::parse("2025-11-28T10:00:00").unwrap();
    let ceres = NearbyOrbit::new(orbits[0].clone(), terrestrial_mjd(time));
    let place = ceres.seen(terrestrial_mjd(time), observer_from_sun(time, Some(SITE))).direction();
    let MinorPlanetAnswer::Found { objects } = catalogue.within(place, 0.01, &[time]) else {
        panic!("not found");
    };
    assert_eq!(objects.len(), 1);
    let found = &objects[0];
    assert_eq!(found.name, "(1) Ceres");
    assert!(found.places[0].separation_arcsec(place) < 0.1);
    assert!((found.epoch_age_days - 7.4).abs() < 0.1 && found.position_error_arcsec < 0.3);
    // It moves as its places do.
    let later = time.plus_seconds(600.0);
    let answer = catalogue.within(place, 0.1, &[time, later]);
    let places = &answer.objects()[0].places;
    let (east, north) = found.motion_arcsec_per_hour;
    let moved = places[0].separation_arcsec(places[1]) * 6.0;
    assert!((east.hypot(north) / moved - 1.0).abs() < 0.01, "{east} {north} {moved}");
    let away = SkyPosition::new(place.ra_degrees + 90.0, 80.0);
    assert_eq!(catalogue.within(away, 0.01, &[time]), MinorPlanetAnswer::Empty);
    let late = UtcTime::parse("2026-03-01").unwrap();
    let MinorPlanetAnswer::Stale { age_days, .. } = catalogue.within(away, 0.01, &[late]) else {
        panic!("not stale");
    };
    assert_eq!(age_days, 100.0);
    for (radius, instants) in [(-1.0, vec![time]), (0.1, vec![]), (f64::NAN, vec![time])] {
        let answer = catalogue.within(place, radius, &instants);
        assert!(matches!(answer, MinorPlanetAnswer::Unavailable { .. }), "{answer:?}");
    }
    let ancient = UtcTime::parse("1200-01-01").unwrap();
    let answer = catalogue.within(place, 0.1, &[ancient]);
    assert!(matches!(answer, MinorPlanetAnswer::Unavailable { .. }), "{answer:?}");
}

#[test]
fn a_damaged_store_is_told() {
    let here = tempfile::tempdir().unwrap();
    let orbits: Vec<Orbit> = oracle().orbits.iter().map(orbit).collect();
    let directory = built(&orbits, here.path());
    let data = directory.join(store::ORBITS_FILE);
    let bytes = fs::read(&data).unwrap();
    let complaint = || match MinorPlanetCatalogue::open(&directory, None, None) {
        Err(error) => error.to_string(),
        Ok(_) => "sound".to_owned(),
    };
    assert_eq!(complaint(), "sound");
    for place in [3, 70, 115, 116 * 5 + 20] {
        let mut wrong = bytes.clone();
        wrong[place] ^= 0x10;
        fs::write(&data, wrong).unwrap();
        assert!(complaint().contains("is damaged"), "{place}: {}", complaint());
    }
    fs::write(&data, &bytes[..bytes.len() - 1]).unwrap();
    assert!(complaint().contains("not what the header says"));
    fs::write(&data, &bytes).unwrap();
    let header = directory.join("header.json");
    let text = fs::read_to_string(&header).unwrap();
    fs::write(&header, text.replace("\"format_version\": 1", "\"format_version\": 7")).unwrap();
    assert!(complaint().contains("build it anew"));
    fs::write(&header, &text[..40]).unwrap();
    assert!(complaint().contains("no header"));
    fs::remove_file(&header).unwrap();
    assert!(complaint().contains("is not there"));
}
