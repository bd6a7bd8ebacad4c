//! From detections to world coordinates.
//!
//! ```sh
//! cargo bench --bench astrometry                       # seconds a frame
//! cargo bench --bench astrometry -- --study 1000       # share solved, and share of wrong fields accepted
//! cargo bench --bench astrometry -- --ldac SOURCES.cat REFERENCE.cat RA DEC SCALE SIDE
//! ```
//!
//! The last one solves a frame given as SCAMP wants it (`bench/astrometry.py` makes it, and runs SCAMP on the same files): nominal
//! centre in degrees, arcseconds a pixel, pixels a side. It prints seconds and the solution as JSON.

#[path = "astrometric_trials.rs"]
mod astrometric_trials;

use astrometric_trials::{GOOD_FIELD, Simulated, Trial, simulate, source};
use criterion::Criterion;
use gic::fits::table_rows::{TableFile, TableValue};
use gic::imaging::astrometry::{
    AstrometricSolution, AstrometryFailure, AstrometryParameters, solve,
};
use gic::imaging::wcs::TangentPlane;
use gic::model::{CatalogueObject, ObjectKind, SkyPosition, Source};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{hint::black_box, path::Path, time::Instant};

/// Seeds of the study begin here for the frames, and there for the skies of the wrong fields.
const FIRST_SEED: u64 = 100_000;
const FIRST_WRONG_SEED: u64 = 10_000_000;
const REPEATS: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--study", rest @ ..] => {
            let count = rest.first().and_then(|count| count.parse().ok()).unwrap_or(1000);
            study(count);
        }
        ["--ldac", sources, reference, ra, dec, scale, side, ..] => {
            let number = |text: &str| text.parse::<f64>().expect("a number");
            let centre = SkyPosition::new(number(ra), number(dec));
            solve_ldac(sources, reference, centre, number(scale), number(side) as usize);
        }
        _ => timing(&mut Criterion::default().configure_from_args()),
    }
}

fn solved(frame: &Simulated) -> Result<AstrometricSolution, AstrometryFailure> {
    let parameters = AstrometryParameters::default();
    solve(&frame.sources, &frame.catalogue, &frame.nominal, frame.shape, &parameters)
}

fn timing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("detections to world coordinates");
    for (side, stars) in [(2048, 3000), (4096, 5000)] {
        let nominal = Trial::ordinary(side, stars);
        let lost =
            Trial { offset_arcsec: 290.0, rotation_degrees: 130.0, is_mirrored: true, ..nominal };
        for (name, trial) in
            [("the header nearly right", nominal), ("wrong by 5', turned, mirrored", lost)]
        {
            let frame = simulate(1, &trial);
            assert!(solved(&frame).is_ok());
            group.bench_function(format!("{side}, {stars} stars, {name}"), |bench| {
                bench.iter(|| black_box(solved(&frame)));
            });
        }
        let wrong = simulate(1, &nominal).with_the_sky_of(&simulate(2, &nominal));
        assert!(solved(&wrong).is_err());
        group.bench_function(
            format!("{side}, {stars} stars, another field's catalogue"),
            |bench| {
                bench.iter(|| black_box(solved(&wrong)));
            },
        );
    }
    group.finish();
}

/// Figures of `count` frames of every kind, and of as many with the catalogue of another part of the sky.
fn study(count: u64) {
    let mut seconds = Vec::new();
    let (mut good, mut right, mut wrong) = (0, 0, 0);
    for seed in FIRST_SEED..FIRST_SEED + count {
        let trial = Trial::any(&mut ChaCha8Rng::seed_from_u64(seed));
        let frame = simulate(seed, &trial);
        if frame.common_count < GOOD_FIELD {
            continue;
        }
        good += 1;
        let began = Instant::now();
        let result = solved(&frame);
        seconds.push(began.elapsed().as_secs_f64());
        match result {
            Ok(solution) if frame.worst_error_arcsec(&solution.wcs) < 1.0 => right += 1,
            Ok(solution) => {
                wrong += 1;
                let error = frame.worst_error_arcsec(&solution.wcs);
                println!("seed {seed}: wrong by {error:.1} arcsec: {trial:?}");
            }
            Err(failure) => println!("seed {seed}: {failure}: {trial:?}"),
        }
    }
    let share = 100.0 * f64::from(right) / f64::from(good);
    println!(
        "good fields: {good}; solved within an arcsecond: {right} ({share:.2} %); wrong: {wrong}"
    );
    print_quantiles(seconds);

    let mut seconds = Vec::new();
    let mut accepted = 0;
    for seed in FIRST_WRONG_SEED..FIRST_WRONG_SEED + count {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (trial, other) = (Trial::any(&mut random), Trial::any(&mut random));
        let frame = simulate(seed, &trial).with_the_sky_of(&simulate(seed + count, &other));
        let began = Instant::now();
        let result = solved(&frame);
        seconds.push(began.elapsed().as_secs_f64());
        if let Ok(solution) = result {
            accepted += 1;
            println!("seed {seed}: accepted with {} stars: {trial:?}", solution.matches.len());
        }
    }
    println!("wrong fields: {count}; accepted: {accepted}");
    print_quantiles(seconds);
}

fn print_quantiles(mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = (seconds.len().saturating_sub(1)) as f64 * share;
        1e3 * seconds.get(place.round() as usize).copied().unwrap_or(f64::NAN)
    };
    println!(
        "  milliseconds: median {:.1}, 90 % {:.1}, 99 % {:.1}, all {:.1}",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0)
    );
}

/// Columns of a table of an LDAC file.
fn read_columns(path: &str, names: &[&str]) -> Vec<Vec<f64>> {
    let mut file = TableFile::open(Path::new(path)).expect("a FITS file");
    let table = file.tables().iter().position(|table| table.name == "LDAC_OBJECTS");
    let table = table.expect("a table LDAC_OBJECTS");
    let columns: Vec<usize> = names
        .iter()
        .map(|name| {
            let columns = &file.tables()[table].columns;
            columns.iter().position(|column| column.name == *name).expect("the column")
        })
        .collect();
    let mut rows = Vec::new();
    file.rows::<gic::fits::FitsError>(table, &columns, |values| {
        let number = |value: &TableValue| match value {
            TableValue::Number(number) => *number,
            TableValue::Integer(number) => *number as f64,
            _ => f64::NAN,
        };
        rows.push(values.iter().map(number).collect());
        Ok(())
    })
    .expect("rows");
    rows
}

fn solve_ldac(sources: &str, reference: &str, centre: SkyPosition, scale: f64, side: usize) {
    let began = Instant::now();
    let names = ["XWIN_IMAGE", "YWIN_IMAGE", "ERRAWIN_IMAGE", "FLUX_AUTO", "FLUXERR_AUTO"];
    let sources: Vec<Source> = read_columns(sources, &names)
        .into_iter()
        .filter_map(|row| {
            let [x, y, error, flux, flux_error] = row.try_into().ok()?;
            Some(source((x - 1.0, y - 1.0), error, (flux, flux / flux_error), 3.5, 0))
        })
        .collect();
    let names = ["X_WORLD", "Y_WORLD", "MAG", "MAGERR"];
    let catalogue: Vec<CatalogueObject> = read_columns(reference, &names)
        .into_iter()
        .filter_map(|row| {
            let [ra, dec, magnitude, magnitude_error] = row.try_into().ok()?;
            let position = SkyPosition::new(ra, dec);
            let (id, kind) = (String::new(), ObjectKind::Star);
            let magnitudes = Vec::new();
            Some(CatalogueObject { id, kind, position, magnitude, magnitude_error, magnitudes })
        })
        .collect();
    let middle = (side as f64 - 1.0) / 2.0;
    let nominal = TangentPlane::nominal((middle, middle), centre, scale / 3600.0);
    let read = began.elapsed().as_secs_f64();
    let parameters = AstrometryParameters::default();
    let mut best = f64::INFINITY;
    let mut result = None;
    for _ in 0..REPEATS {
        let began = Instant::now();
        result = Some(solve(&sources, &catalogue, &nominal, (side, side), &parameters));
        best = best.min(began.elapsed().as_secs_f64());
    }
    let solution = result.and_then(Result::ok).expect("a solution");
    let cards = solution.wcs.to_cards();
    let report = serde_json::json!({
        "seconds_reading": read,
        "seconds_solving": best,
        "matches": solution.matches.len(),
        "rms_arcsec": solution.rms_arcsec,
        "crpix": [cards.crpix1, cards.crpix2],
        "crval": [cards.crval1, cards.crval2],
        "cd": [[cards.cd1_1, cards.cd1_2], [cards.cd2_1, cards.cd2_2]],
    });
    println!("{report}");
}
