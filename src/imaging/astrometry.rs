//! Astrometric solution: matches sources with catalogue stars from a nominal solution that may be wrong
//! by arcminutes and by a rotation, then refines all six coefficients.

use super::astrometric_field::Field;
use super::astrometric_search;
pub use super::matching::match_nearest;
use super::wcs::TangentPlane;
use crate::model::{CatalogueObject, Source};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AstrometryParameters {
    /// How far the nominal centre may be off.
    pub maximum_offset_arcsec: f64,
    /// How far the nominal position angle may be off; a mirrored image is found in any case.
    pub maximum_rotation_degrees: f64,
    /// Relative tolerance on the nominal scale.
    pub scale_tolerance: f64,
    /// Radius of the last match.
    pub match_radius_arcsec: f64,
    /// Fewer matches are no solution.
    pub minimum_matches: usize,
    /// A larger residual per axis is no solution.
    pub maximum_rms_arcsec: f64,
}

impl Default for AstrometryParameters {
    fn default() -> Self {
        Self {
            maximum_offset_arcsec: 300.0,
            maximum_rotation_degrees: 180.0,
            scale_tolerance: 0.02,
            match_radius_arcsec: 1.5,
            minimum_matches: 6,
            maximum_rms_arcsec: 0.6,
        }
    }
}

/// A solution with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct AstrometricSolution {
    pub wcs: TangentPlane,
    /// Index of the source and index of the catalogue object, one to one.
    pub matches: Vec<(usize, usize)>,
    /// Root mean square residual per axis after clipping.
    pub rms_arcsec: f64,
    /// Shift of the image centre from the nominal solution.
    pub offset_arcsec: f64,
    pub rotation_degrees: f64,
    /// log₁₀ of the expected number of solutions as good as this in the whole search, if the lists were unrelated.
    pub log10_false: f64,
}

/// Why there is no solution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AstrometryFailure {
    #[error(
        "{sources} sources and {catalogue} catalogue objects are too few to match (need {needed})"
    )]
    TooFew { sources: usize, catalogue: usize, needed: usize },
    #[error(
        "no pattern of the catalogue was found within {searched_arcsec:.0} arcsec and {searched_degrees:.1} degrees of the pointing (best agreement {votes} stars)"
    )]
    NoPattern { votes: usize, searched_arcsec: f64, searched_degrees: f64 },
    #[error("a pattern was found, but only {matches} stars agree with {rms_arcsec:.2} arcsec")]
    NotConfirmed { matches: usize, rms_arcsec: f64 },
}

/// Solves one frame. A wrong solution is never accepted: the match must be far above what chance gives
/// (`verification::weigh`).
///
/// First the nominal solution is corrected by a shift, a small rotation and a small change of scale found by vote
/// (`offset_vote`); where that fails, pairs of stars look for any rotation, either parity and the whole offset allowed
/// (`pair_vote`). `astrometric_search` has the order. Then all six coefficients are refined. Saturated and otherwise flagged sources help to find the
/// pattern but, where enough others are matched, not to fit it. `matches` holds every pair within the match radius.
/// Deterministic.
pub fn solve(
    sources: &[Source],
    catalogue: &[CatalogueObject],
    nominal: &TangentPlane,
    shape: (usize, usize),
    parameters: &AstrometryParameters,
) -> Result<AstrometricSolution, AstrometryFailure> {
    let minimum = parameters.minimum_matches.max(4);
    let Some(field) = Field::new(sources, catalogue, nominal, shape) else {
        return Err(too_few(0, 0, minimum));
    };
    if field.points.len() < minimum || field.objects.len() < minimum {
        return Err(too_few(field.points.len(), field.objects.len(), minimum));
    }
    astrometric_search::search(&field, parameters, minimum)
}

fn too_few(sources: usize, catalogue: usize, needed: usize) -> AstrometryFailure {
    AstrometryFailure::TooFew { sources, catalogue, needed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::wcs::sky_to_standard;
    use crate::model::{ObjectKind, SkyPosition, SourceFlags};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};
    use std::f64::consts::PI;

    const SHAPE: (usize, usize) = (1024, 1024);
    const SCALE_DEGREES: f64 = 0.000195;

    /// What a simulated frame and its catalogue look like.
    #[derive(Clone, Copy)]
    struct Trial {
        stars_in_frame: usize,
        /// Magnitudes by which the catalogue is deeper (+) or brighter (−) than the frame.
        catalogue_depth: f64,
        cosmic_rays: usize,
        trail: bool,
        new_sources: usize,
        offset_arcsec: f64,
        rotation_degrees: f64,
        scale_error: f64,
        mirrored: bool,
    }

    const ORDINARY: Trial = Trial {
        stars_in_frame: 300,
        catalogue_depth: 0.0,
        cosmic_rays: 60,
        trail: true,
        new_sources: 40,
        offset_arcsec: 60.0,
        rotation_degrees: 0.5,
        scale_error: 0.02,
        mirrored: false,
    };

    struct Simulated {
        sources: Vec<Source>,
        catalogue: Vec<CatalogueObject>,
        nominal: TangentPlane,
        truth: TangentPlane,
    }

    fn source(x: f64, y: f64, flux: f64, flags: u16) -> Source {
        Source {
            x,
            y,
            position_error_pixels: (4.0 / flux.sqrt()).clamp(0.01, 0.4),
            peak_electrons: flux / 10.0,
            flux_electrons: flux,
            flux_error_electrons: flux.sqrt() + 100.0,
            aperture_radius_pixels: 4.0,
            semi_major_pixels: 1.5,
            semi_minor_pixels: 1.5,
            theta_radians: 0.0,
            fwhm_pixels: 3.5,
            half_light_radius_pixels: 1.6,
            isophotal_flux_electrons: 0.9 * flux,
            isophotal_flux_error_electrons: flux.abs().sqrt(),
            total: None,
            point: None,
            spread: None,
            pixel_count: 20,
            flags: SourceFlags(flags),
        }
    }

    fn simulate(seed: u64, trial: Trial) -> Simulated {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let dec = random.random_range(-88.0..88.0);
        let pointing = SkyPosition::new(random.random_range(0.0..360.0), dec);
        let nominal = TangentPlane::nominal((511.5, 511.5), pointing, SCALE_DEGREES);
        let direction = random.random_range(0.0..2.0 * PI);
        let sky = pointing.offset_arcsec(
            trial.offset_arcsec * direction.cos(),
            trial.offset_arcsec * direction.sin(),
        );
        let angle = random.random_range(-1.0_f64..1.0) * trial.rotation_degrees.to_radians();
        let scale = SCALE_DEGREES * (1.0 + random.random_range(-1.0..1.0) * trial.scale_error);
        let parity = if trial.mirrored { 1.0 } else { -1.0 };
        let (sine, cosine) = (scale * angle.sin(), scale * angle.cos());
        let cd = [[parity * cosine, -sine], [parity * sine, cosine]];
        let truth = TangentPlane { reference_pixel: (511.5, 511.5), reference_sky: sky, cd };

        // A sky one and a half times as wide as the frame on each side, 0.3 dex of stars per magnitude.
        let limit = 19.0;
        let density = trial.stars_in_frame as f64 / 1024.0 / 1024.0;
        let deepest = limit + trial.catalogue_depth.max(0.0);
        let wide = 1024.0 * 1.5;
        let count = density * wide * wide * 10f64.powf(0.3 * (deepest - limit));
        let blur = Normal::new(0.0, 0.05).unwrap();
        let (mut sources, mut catalogue) = (Vec::new(), Vec::new());
        for number in 0..count.round() as usize {
            let x = 511.5 + random.random_range(-0.5..0.5) * wide;
            let y = 511.5 + random.random_range(-0.5..0.5) * wide;
            let share: f64 = random.random_range(1e-5..1.0);
            let magnitude = deepest + share.log10() / 0.3;
            let flux = 10f64.powf(-0.4 * (magnitude - 25.0));
            if (0.0..1023.0).contains(&x) && (0.0..1023.0).contains(&y) && magnitude < limit {
                let saturated = magnitude < 12.5;
                let mut measured =
                    source(x, y, flux, if saturated { SourceFlags::SATURATED } else { 0 });
                let error = if saturated { 1.5 } else { measured.position_error_pixels };
                let noise = Normal::new(0.0, error).unwrap();
                measured.x += noise.sample(&mut random);
                measured.y += noise.sample(&mut random);
                measured.flux_electrons *= 10f64.powf(0.05 * random.random_range(-1.0..1.0));
                sources.push(measured);
            }
            if magnitude < limit + trial.catalogue_depth {
                let east = blur.sample(&mut random);
                let position =
                    truth.pixel_to_sky(x, y).offset_arcsec(east, blur.sample(&mut random));
                let kind = if number % 6 == 0 { ObjectKind::Galaxy } else { ObjectKind::Star };
                let id = number.to_string();
                catalogue.push(CatalogueObject {
                    id,
                    kind,
                    position,
                    magnitude,
                    magnitude_error: 0.03,
                    magnitudes: Vec::new(),
                });
            }
        }
        for _ in 0..trial.cosmic_rays + trial.new_sources {
            let flux = 300.0 * random.random_range(1e-3_f64..1.0).powf(-1.0);
            let (x, y) = (random.random_range(0.0..1023.0), random.random_range(0.0..1023.0));
            sources.push(source(x, y, flux, 0));
        }
        if trial.trail {
            let slope = random.random_range(-0.9..0.9);
            for piece in 0..35 {
                let x = 29.0 * f64::from(piece);
                let y = 511.5 + slope * (x - 511.5);
                sources.push(source(x, y, random.random_range(1e4..1e5), SourceFlags::BLENDED));
            }
        }
        sources.sort_by(|a, b| b.flux_electrons.total_cmp(&a.flux_electrons));
        catalogue.sort_by(|a, b| a.magnitude.total_cmp(&b.magnitude));
        Simulated { sources, catalogue, nominal, truth }
    }

    fn solve_simulated(simulated: &Simulated) -> Result<AstrometricSolution, AstrometryFailure> {
        let Simulated { sources, catalogue, nominal, .. } = simulated;
        solve(sources, catalogue, nominal, SHAPE, &AstrometryParameters::default())
    }

    /// Largest error over the frame, arcseconds.
    fn worst_error(solution: &AstrometricSolution, truth: &TangentPlane) -> f64 {
        [(511.5, 511.5), (0.0, 0.0), (1023.0, 0.0), (0.0, 1023.0), (1023.0, 1023.0)]
            .iter()
            .map(|&(x, y)| {
                solution.wcs.pixel_to_sky(x, y).separation_arcsec(truth.pixel_to_sky(x, y))
            })
            .fold(0.0, f64::max)
    }

    fn assert_all_solved(
        first_seed: u64,
        seeds: u64,
        limit_arcsec: f64,
        trial: impl Fn(u64) -> Trial,
    ) {
        for seed in first_seed..first_seed + seeds {
            let simulated = simulate(seed, trial(seed));
            let solution = solve_simulated(&simulated)
                .unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
            let error = worst_error(&solution, &simulated.truth);
            assert!(
                error < limit_arcsec,
                "seed {seed}: {error} arcsec with {} matches",
                solution.matches.len()
            );
        }
    }

    #[test]
    fn ordinary_frames_are_all_solved() {
        assert_all_solved(0, 150, 0.1, |seed| Trial {
            offset_arcsec: (seed % 10) as f64 * 9.0,
            rotation_degrees: 1.0,
            ..ORDINARY
        });
    }

    #[test]
    fn catalogues_of_another_depth_are_solved() {
        assert_all_solved(1000, 100, 0.25, |seed| Trial {
            catalogue_depth: [-3.0, -2.0, 1.5, 2.5][seed as usize % 4],
            ..ORDINARY
        });
    }

    #[test]
    fn a_handful_of_stars_is_enough() {
        assert_all_solved(2000, 60, 0.4, |_| Trial {
            stars_in_frame: 16,
            cosmic_rays: 10,
            trail: false,
            new_sources: 2,
            catalogue_depth: 0.5,
            ..ORDINARY
        });
    }

    #[test]
    fn mostly_cosmic_rays_and_a_crowded_field_are_solved() {
        assert_all_solved(3000, 20, 0.2, |_| Trial { cosmic_rays: 900, ..ORDINARY });
        assert_all_solved(3100, 6, 0.1, |_| Trial { stars_in_frame: 2500, ..ORDINARY });
    }

    #[test]
    fn larger_errors_and_mirrored_frames_are_found_by_pairs() {
        assert_all_solved(4000, 20, 0.15, |seed| Trial {
            offset_arcsec: 150.0,
            rotation_degrees: 180.0,
            mirrored: seed % 2 == 0,
            trail: false,
            ..ORDINARY
        });
    }

    #[test]
    fn an_unrelated_catalogue_is_never_accepted() {
        for seed in 0..60 {
            let trial = Trial {
                stars_in_frame: [10, 40, 300, 600][seed as usize % 4],
                catalogue_depth: [-1.0, 0.0, 1.5][seed as usize % 3],
                ..ORDINARY
            };
            let one = simulate(10_000 + seed, trial);
            let mut other = simulate(20_000 + seed, trial);
            // The other field's catalogue, carried to where this one points.
            for object in &mut other.catalogue {
                let (xi, eta) =
                    sky_to_standard(other.nominal.reference_sky, object.position).unwrap();
                object.position =
                    one.nominal.reference_sky.offset_arcsec(xi * 3600.0, eta * 3600.0);
            }
            let mixed = Simulated { catalogue: other.catalogue, ..one };
            let result = solve_simulated(&mixed);
            assert!(result.is_err(), "seed {seed}: {result:?}");
        }
    }

    #[test]
    fn the_solution_tells_its_evidence() {
        let simulated = simulate(42, ORDINARY);
        let solution = solve_simulated(&simulated).unwrap();
        assert!((solution.offset_arcsec - 60.0).abs() < 0.1);
        let turned = simulated.truth.position_angle_degrees();
        assert!((solution.rotation_degrees - turned).abs() < 0.01);
        assert!(solution.rms_arcsec < 0.2);
        for &(i, j) in &solution.matches {
            let source = &simulated.sources[i];
            let sky = solution.wcs.pixel_to_sky(source.x, source.y);
            assert!(sky.separation_arcsec(simulated.catalogue[j].position) <= 1.5 + 1e-9);
        }
        assert_eq!(solve_simulated(&simulated).unwrap(), solution);
    }

    #[test]
    fn too_little_and_broken_input_is_told_apart_and_never_panics() {
        let simulated = simulate(1, ORDINARY);
        let parameters = AstrometryParameters::default();
        let Simulated { sources, catalogue, nominal, .. } = &simulated;
        let few = solve(&sources[..3], catalogue, nominal, SHAPE, &parameters);
        assert!(matches!(few, Err(AstrometryFailure::TooFew { sources: 3, needed: 6, .. })));
        assert!(solve(sources, &[], nominal, SHAPE, &parameters).is_err());
        assert!(solve(&[], &[], nominal, (0, 0), &parameters).is_err());
        let flat = TangentPlane { cd: [[0.0; 2]; 2], ..*nominal };
        assert!(solve(sources, catalogue, &flat, SHAPE, &parameters).is_err());
        let nowhere = TangentPlane {
            reference_sky: SkyPosition { ra_degrees: f64::NAN, dec_degrees: 0.0 },
            ..*nominal
        };
        assert!(solve(sources, catalogue, &nowhere, SHAPE, &parameters).is_err());
        let mut poisoned = sources.clone();
        for source in poisoned.iter_mut().step_by(7) {
            (source.x, source.position_error_pixels) = (f64::NAN, f64::NAN);
        }
        let mut odd = catalogue.clone();
        for object in odd.iter_mut().step_by(11) {
            object.position.dec_degrees = f64::NAN;
        }
        assert!(solve(&poisoned, &odd, nominal, SHAPE, &parameters).is_ok());
        let wild = AstrometryParameters {
            maximum_offset_arcsec: f64::NAN,
            match_radius_arcsec: f64::NAN,
            ..parameters
        };
        assert!(solve(sources, catalogue, nominal, SHAPE, &wild).is_err());
    }
}
