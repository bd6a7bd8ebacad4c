//! Cosmic rays against astroscrappy and against truth.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    CalibratedImage, Image, Mask,
    cosmic_rays::{CosmicRayParameters, NoiseModel, find, mark},
    mask_bits,
    synthetic::{self, Generator, Star},
};

type Pixel = (usize, usize);

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn pixel(value: &Value) -> Pixel {
    (value[0].as_u64().unwrap() as usize, value[1].as_u64().unwrap() as usize)
}

/// `tests/oracles/cosmic_rays.py` made the values.
#[test]
fn the_flagged_pixels_are_those_of_astroscrappy() {
    let oracle: Value =
        serde_json::from_str(include_str!("../../tests/oracles/cosmic_rays.json")).unwrap();
    let stars: Vec<Star> = oracle["stars"]
        .as_array()
        .unwrap()
        .iter()
        .map(|star| Star { x: number(&star[0]), y: number(&star[1]), flux: number(&star[2]) })
        .collect();
    let seed = oracle["seed"].as_u64().unwrap();
    let (fwhm, sky) = (number(&oracle["fwhm"]), number(&oracle["sky"]));
    let mut image = synthetic::frame(pixel(&oracle["shape"]), &stars, fwhm, sky, 0.0, seed);
    for hit in oracle["hits"].as_array().unwrap() {
        image.data[pixel(hit)] += number(&hit[2]) as f32;
    }
    let sum: f64 = image.data.iter().map(|&value| f64::from(value)).sum();
    assert!((sum / number(&oracle["sum"]) - 1.0).abs() < 1e-12);
    let margin = oracle["margin"].as_u64().unwrap() as usize;
    let is_inside = |&(row, column): &Pixel| {
        let inside = margin..200 - margin;
        inside.contains(&row) && inside.contains(&column)
    };
    for run in oracle["runs"].as_array().unwrap() {
        let parameters = CosmicRayParameters {
            sigma_limit: number(&run["sigclip"]) as f32,
            neighbour_fraction: number(&run["sigfrac"]) as f32,
            object_contrast: number(&run["objlim"]) as f32,
            neighbour_contrast: 0.0,
            flank_contrast: 0.0,
            iterations: run["niter"].as_u64().unwrap() as usize,
            noise: NoiseModel::LocalMedian {
                electrons_per_unit: 1.0,
                read_noise_electrons: number(&oracle["read_noise"]) as f32,
            },
            ..CosmicRayParameters::default()
        };
        let found: BTreeSet<Pixel> =
            find(&image, &parameters).into_iter().filter(is_inside).collect();
        let expected: BTreeSet<Pixel> =
            run["flagged"].as_array().unwrap().iter().map(pixel).filter(is_inside).collect();
        let differing: Vec<&Pixel> = found.symmetric_difference(&expected).collect();
        // Near the edge neither continues the image as the other does; elsewhere the pixels are the same.
        assert!(differing.is_empty(), "{parameters:?}: {differing:?} of {}", expected.len());
    }
}

/// A frame as the reduction gives it: the variance holds the photon noise of what fell on the pixel, cosmic rays included.
struct Trial {
    image: CalibratedImage,
    stars: Vec<Star>,
    /// Electrons.
    charge: Image,
    /// Pixels of each particle.
    particles: Vec<Vec<Pixel>>,
}

const SIZE: usize = 400;
/// Electrons; signal to noise 15 at a full width of two pixels.
const FAINTEST_CORE: f64 = 1000.0;

fn trial(fwhm: f64, saturation: f32, seed: u64) -> Trial {
    let shape = (SIZE, SIZE);
    // As many as on the sky: 10^0.3 times as many for each fainter magnitude.
    let places = synthetic::scattered(150, shape, 12.0, 1e-6, 1.0, seed);
    let law = |share: f64| (300.0 * share.powf(-4.0 / 3.0)).min(3e6);
    let stars: Vec<Star> = places
        .into_iter()
        .zip(1..)
        .map(|(star, rank)| Star { flux: law(f64::from(rank) / 150.0), ..star })
        .collect();
    let mut image = synthetic::frame(shape, &stars, fwhm, 400.0, 0.0, seed + 100);
    let mut random = Generator::new(seed + 200);
    let mut charge = Image::zeros(shape);
    let mut particles = Vec::new();
    for _ in 0..60 {
        let (mut x, mut y) = (SIZE as f64 * random.uniform(), SIZE as f64 * random.uniform());
        let (sin, cos) = (std::f64::consts::TAU * random.uniform()).sin_cos();
        let electrons = 200.0 + 3000.0 * random.uniform() * random.uniform();
        let mut pixels = Vec::new();
        for _ in 0..1 + (14.0 * random.uniform() * random.uniform()) as usize {
            if x >= 0.0 && y >= 0.0 && (x as usize) < SIZE && (y as usize) < SIZE {
                let place = (y as usize, x as usize);
                charge[place] += (electrons * (0.7 + 0.6 * random.uniform())) as f32;
                pixels.push(place);
            }
            x += cos;
            y += sin;
        }
        particles.push(pixels);
    }
    image.data += &charge;
    for ((value, variance), bits) in
        image.data.iter_mut().zip(&mut image.variance).zip(&mut image.mask)
    {
        if *value >= saturation {
            *value = saturation;
            *bits |= mask_bits::SATURATED;
        }
        *variance = value.max(0.0) + 25.0;
    }
    Trial { image, stars, charge, particles }
}

#[derive(Debug, Default)]
struct Score {
    particles: usize,
    particles_found: usize,
    pixels: usize,
    pixels_found: usize,
    flagged: usize,
    flagged_right: usize,
    cores_hit: usize,
}

impl Score {
    fn add(&mut self, trial: &Trial, struck: &[Pixel]) {
        let struck: BTreeSet<Pixel> = struck.iter().copied().collect();
        // The noise without the particle.
        let is_clear = |place: &Pixel| {
            let noise = (trial.image.variance[*place] - trial.charge[*place]).max(25.0).sqrt();
            trial.image.mask[*place] == 0 && trial.charge[*place] > 6.0 * noise
        };
        for particle in &trial.particles {
            let clear: Vec<&Pixel> = particle.iter().filter(|place| is_clear(place)).collect();
            if !clear.is_empty() {
                self.particles += 1;
                self.particles_found +=
                    usize::from(clear.iter().any(|place| struck.contains(place)));
            }
            self.pixels += clear.len();
            self.pixels_found += clear.iter().filter(|place| struck.contains(place)).count();
        }
        self.flagged += struck.len();
        self.flagged_right += struck.iter().filter(|place| trial.charge[**place] > 0.0).count();
        // A fainter star of two pixels with luck in its brightest one is no different from a particle.
        for star in trial.stars.iter().filter(|star| star.flux > FAINTEST_CORE) {
            let (row, column) = (star.y.round() as usize, star.x.round() as usize);
            let around =
                (row - 1..=row + 1).flat_map(|y| (column - 1..=column + 1).map(move |x| (y, x)));
            let is_hit = around.clone().any(|place| struck.contains(&place));
            let has_charge = (row - 2..=row + 2)
                .flat_map(|y| (column - 2..=column + 2).map(move |x| (y, x)))
                .any(|place| trial.charge[place] > 0.0);
            self.cores_hit += usize::from(is_hit && !has_charge);
        }
    }
}

fn score(fwhm: f64, parameters: &CosmicRayParameters) -> Score {
    let mut score = Score::default();
    for seed in 0..6 {
        let trial = trial(fwhm, 60_000.0, 1000 * seed + (100.0 * fwhm) as u64);
        score.add(&trial, &find(&trial.image, parameters));
    }
    score
}

#[test]
fn nearly_all_are_found_little_else_and_no_star() {
    for fwhm in [2.0, 2.5, 3.5, 6.0] {
        let score = score(fwhm, &CosmicRayParameters::default());
        println!("full width {fwhm}: {score:?}");
        let share = |part: usize, whole: usize| part as f64 / whole as f64;
        assert!(score.particles > 300);
        assert!(share(score.particles_found, score.particles) >= 0.99, "{fwhm}: {score:?}");
        assert!(share(score.pixels_found, score.pixels) >= 0.98, "{fwhm}: {score:?}");
        assert!(share(score.flagged_right, score.flagged) >= 0.956, "{fwhm}: {score:?}");
        assert_eq!(score.cores_hit, 0, "{fwhm}: {score:?}");
    }
}

#[test]
fn saturated_stars_and_their_bleeding_are_left_alone_and_saturated_particles_are_not() {
    let shape = (120, 120);
    let star = Star { x: 60.3, y: 61.8, flux: 4e6 };
    let mut image = synthetic::frame(shape, &[star], 2.5, 400.0, 0.0, 3);
    for row in 20..100 {
        image.data[[row, 60]] += 40_000.0;
    }
    // A particle that saturates three pixels.
    for column in 20..23 {
        image.data[[30, column]] += 70_000.0;
    }
    for (value, bits) in image.data.iter_mut().zip(&mut image.mask) {
        if *value >= 40_000.0 {
            *value = 40_000.0;
            *bits |= mask_bits::SATURATED;
        }
    }
    let struck = find(&image, &CosmicRayParameters::default());
    assert!([(30, 20), (30, 21), (30, 22)].iter().all(|place| struck.contains(place)));
    assert!(struck.len() < 6, "{struck:?}");
}

#[test]
fn pixels_beside_masked_ones_are_not_taken_for_struck() {
    let stars = synthetic::scattered(20, (200, 200), 10.0, 1e3, 1e5, 5);
    let mut image = synthetic::frame((200, 200), &stars, 3.0, 1000.0, 0.0, 6);
    for row in 0..200 {
        image.data[[row, 50]] = 0.0;
        image.mask[[row, 50]] = mask_bits::BAD;
        image.data[[row, 150]] = f32::NAN;
        image.data[[row, 151]] = 1e9;
        image.mask[[row, 151]] = mask_bits::BAD;
        image.variance[[row, 120]] = if row % 2 == 0 { f32::INFINITY } else { -1.0 };
    }
    for row in 90..110 {
        for column in 90..110 {
            image.data[[row, column]] = 0.0;
            image.mask[[row, column]] = mask_bits::NO_DATA;
        }
    }
    let struck = find(&image, &CosmicRayParameters::default());
    assert!(struck.len() <= 1, "{struck:?}");
    // Beside masked pixels and in the corners particles are found as elsewhere.
    let hits = [(0, 0), (199, 199), (0, 70), (100, 49), (120, 152), (99, 110)];
    for place in hits {
        image.data[place] += 2000.0;
    }
    let count = mark(&mut image, &CosmicRayParameters::default());
    for place in hits {
        assert_ne!(image.mask[place] & mask_bits::COSMIC, 0, "{place:?}");
    }
    assert_eq!(count, image.mask.iter().filter(|&&bits| bits & mask_bits::COSMIC != 0).count());
    // What is marked is not looked at again.
    assert!(mark(&mut image, &CosmicRayParameters::default()) <= 1);
}

#[test]
fn odd_images_have_no_cosmic_rays() {
    let parameters = CosmicRayParameters::default();
    for shape in [(0, 0), (1, 1), (1, 2), (2, 1), (3, 3), (5, 4), (1, 300), (300, 1), (60, 60)] {
        for value in [0.0, 1000.0, f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX] {
            for variance in [1.0, 0.0, f32::NAN] {
                let mut image = CalibratedImage {
                    data: Image::from_elem(shape, value),
                    variance: Image::from_elem(shape, variance),
                    mask: Mask::zeros(shape),
                };
                assert!(find(&image, &parameters).is_empty(), "{shape:?} {value} {variance}");
                image.mask.fill(mask_bits::SATURATED | mask_bits::BLEED);
                assert!(find(&image, &parameters).is_empty(), "{shape:?} {value} {variance}");
            }
        }
    }
    let unlike = CalibratedImage {
        data: Image::zeros((9, 9)),
        variance: Image::ones((9, 9)),
        mask: Mask::zeros((9, 8)),
    };
    assert!(find(&unlike, &parameters).is_empty());
    let trial = trial(3.0, 6e4, 5);
    for nonsense in [f32::NAN, f32::INFINITY] {
        let parameters = CosmicRayParameters { sigma_limit: nonsense, ..parameters };
        assert!(find(&trial.image, &parameters).is_empty());
    }
}

#[test]
fn the_layout_of_the_arrays_does_not_matter() {
    let trial = trial(3.0, 6e4, 8);
    let transposed = |plane: &Image| plane.t().as_standard_layout().into_owned().reversed_axes();
    let image = CalibratedImage {
        data: transposed(&trial.image.data),
        variance: transposed(&trial.image.variance),
        mask: trial.image.mask.clone(),
    };
    assert!(!image.data.is_standard_layout());
    let parameters = CosmicRayParameters::default();
    assert_eq!(find(&image, &parameters), find(&trial.image, &parameters));
}
