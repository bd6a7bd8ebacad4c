//! What crosses a frame and is no source: cosmic rays and satellite trails.

use crate::imaging::Image;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, Poisson};
use std::f64::consts::{PI, TAU};

/// Mean charge that a particle leaves per pixel of its path, electrons.
const CHARGE_PER_PIXEL: f64 = 900.0;
const LONGEST_TRACK_PIXELS: f64 = 18.0;

/// Charge left by cosmic rays: pixel (row, column) and electrons. `expected` is the mean number of particles.
pub fn cosmic_rays(
    generator: &mut ChaCha8Rng,
    expected: f64,
    (rows, columns): (usize, usize),
) -> Vec<((usize, usize), f32)> {
    let count = Poisson::new(expected).map_or(0, |law| law.sample(generator) as usize);
    let mut hits = Vec::new();
    for _ in 0..count {
        let mut x = generator.random::<f64>() * columns as f64;
        let mut y = generator.random::<f64>() * rows as f64;
        let (sin, cos) = (TAU * generator.random::<f64>()).sin_cos();
        // Flux over a plane makes steep tracks, and so short ones, the commonest.
        let path: f64 = Exp1.sample(generator);
        let length = (1.0 + 3.0 * path).min(LONGEST_TRACK_PIXELS);
        let energy: f64 = Exp1.sample(generator);
        let charge = CHARGE_PER_PIXEL * (0.15 + energy);
        for _ in 0..length.ceil() as usize {
            if x >= 0.0 && y >= 0.0 && x < columns as f64 && y < rows as f64 {
                let scatter = 0.7 + 0.6 * generator.random::<f64>();
                hits.push(((y as usize, x as usize), (charge * scatter) as f32));
            }
            x += cos;
            y += sin;
        }
    }
    hits
}

/// A straight trail through the frame with a Gaussian profile of this width.
pub fn add_trail(plane: &mut Image, generator: &mut ChaCha8Rng, fwhm_pixels: f64) {
    let (rows, columns) = plane.dim();
    let through_x = (0.2 + 0.6 * generator.random::<f64>()) * columns as f64;
    let through_y = (0.2 + 0.6 * generator.random::<f64>()) * rows as f64;
    let (sin, cos) = (PI * generator.random::<f64>()).sin_cos();
    let peak = 150.0 + 500.0 * generator.random::<f64>();
    let sigma = fwhm_pixels / 2.354_820_045;
    for ((row, column), value) in plane.indexed_iter_mut() {
        let across = -(column as f64 - through_x) * sin + (row as f64 - through_y) * cos;
        let distance = across / sigma;
        if distance.abs() < 5.0 {
            *value += (peak * (-0.5 * distance * distance).exp()) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::random::{Purpose, stream};

    #[test]
    fn as_many_particles_as_expected_inside_the_frame() {
        let pixels: usize = (0..50)
            .map(|index| {
                let mut generator = stream(1, Purpose::CosmicRays, index);
                let hits = cosmic_rays(&mut generator, 30.0, (500, 400));
                assert!(hits.iter().all(|((row, column), _)| *row < 500 && *column < 400));
                assert!(hits.iter().all(|(_, charge)| *charge > 0.0));
                hits.len()
            })
            .sum();
        // 30 tracks of 1 + 3 pixels, rounded up to whole steps.
        let mean = pixels as f64 / 50.0;
        assert!((100.0..160.0).contains(&mean), "{mean}");
        let mut generator = stream(1, Purpose::CosmicRays, 0);
        assert!(cosmic_rays(&mut generator, 0.0, (500, 400)).is_empty());
    }

    #[test]
    fn its_trails_are_found_and_masked() {
        use crate::imaging::{CalibratedImage, Mask, background, mask_bits, trails};
        use rand_distr::Normal;
        let shape = (400, 500);
        for night in 0..8 {
            let mut generator = stream(2, Purpose::Trail, night);
            let mut light = Image::zeros(shape);
            add_trail(&mut light, &mut generator, 3.0);
            let noise = Normal::new(0.0, 22.0).unwrap();
            let data = light.mapv(|value| value + 450.0 + noise.sample(&mut generator) as f32);
            let mut image = CalibratedImage {
                data,
                variance: Image::from_elem(shape, 484.0),
                mask: Mask::zeros(shape),
            };
            let background = background::estimate(&image.data, &image.mask, 64);
            let found = trails::mark(&mut image, &background, &trails::TrailParameters::default());
            assert_eq!(found.len(), 1, "{night}: {found:?}");
            for (value, bits) in light.iter().zip(&image.mask) {
                assert!(*value < 11.0 || bits & mask_bits::COSMIC != 0, "{night}: {value}");
            }
        }
    }

    #[test]
    fn a_trail_crosses_the_frame_and_is_narrow() {
        let mut generator = stream(1, Purpose::Trail, 0);
        let mut plane = Image::zeros((200, 200));
        add_trail(&mut plane, &mut generator, 3.0);
        let lit = plane.iter().filter(|value| **value > 10.0).count();
        assert!((200..4000).contains(&lit), "{lit}");
        let crossed = plane.rows().into_iter().filter(|row| row.iter().any(|v| *v > 10.0)).count();
        let crossed_columns =
            plane.columns().into_iter().filter(|row| row.iter().any(|v| *v > 10.0)).count();
        assert!(crossed.max(crossed_columns) > 100, "{crossed} {crossed_columns}");
    }
}
