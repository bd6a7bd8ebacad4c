//! A part of the study of the astrometric solution (`cargo bench --bench astrometry -- --study`): frames of every kind with a header
//! that is wrong as far as it may be are solved, and those with the catalogue of another part of the sky are not.

#[path = "../../bench/astrometric_trials.rs"]
mod astrometric_trials;

use astrometric_trials::{GOOD_FIELD, Trial, simulate};
use gic::imaging::astrometry::{AstrometryParameters, solve};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[test]
fn good_fields_are_solved_wherever_the_header_points() {
    let (mut good, mut solved) = (0, 0);
    for seed in 0..60 {
        let trial = Trial::any(&mut ChaCha8Rng::seed_from_u64(seed));
        let frame = simulate(seed, &trial);
        if frame.common_count < GOOD_FIELD {
            continue;
        }
        good += 1;
        let parameters = AstrometryParameters::default();
        let result =
            solve(&frame.sources, &frame.catalogue, &frame.nominal, frame.shape, &parameters);
        if let Ok(solution) = result {
            let error = frame.worst_error_arcsec(&solution.wcs);
            assert!(error < 1.0, "seed {seed} is wrong by {error} arcsec: {trial:?}");
            solved += 1;
        }
    }
    assert!(good > 45, "only {good} of the fields are good");
    assert!(solved == good, "{solved} of {good} good fields are solved");
}

#[test]
fn an_ordinary_frame_is_solved_to_milliarcseconds() {
    let frame = simulate(7, &Trial::ordinary(2048, 3000));
    let parameters = AstrometryParameters::default();
    let solution =
        solve(&frame.sources, &frame.catalogue, &frame.nominal, frame.shape, &parameters).unwrap();
    assert!(solution.matches.len() > 2000);
    assert!(frame.worst_error_arcsec(&solution.wcs) < 0.02);
}

#[test]
fn the_catalogue_of_another_field_is_never_accepted() {
    for seed in 0..25 {
        let mut random = ChaCha8Rng::seed_from_u64(5000 + seed);
        let (trial, other) = (Trial::any(&mut random), Trial::any(&mut random));
        let frame = simulate(seed, &trial).with_the_sky_of(&simulate(9000 + seed, &other));
        let parameters = AstrometryParameters::default();
        let result =
            solve(&frame.sources, &frame.catalogue, &frame.nominal, frame.shape, &parameters);
        assert!(result.is_err(), "seed {seed}: {trial:?} against {other:?}");
    }
}
