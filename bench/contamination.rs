//! Cosmic rays and trails on a single frame of 2048² with 3000 stars, 300 cosmic rays and, for the second, a trail.
//!
//! `cargo bench --bench contamination`

use criterion::{Criterion, criterion_group, criterion_main};
use gic::imaging::{
    CalibratedImage, Image, Mask,
    background::estimate,
    cosmic_rays::{self, CosmicRayParameters, NoiseModel},
    trails::{self, TrailParameters},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::hint::black_box;

const SIZE: usize = 2048;
const SKY: f32 = 400.0;
const READ_VARIANCE: f32 = 25.0;

/// Gaussian stars of a full width of three pixels, as many more for each fainter magnitude as on the sky.
fn frame() -> CalibratedImage {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut light = Image::from_elem((SIZE, SIZE), SKY);
    let sigma = 3.0_f32 / 2.3548;
    for rank in 1..=3000 {
        let flux = (300.0 * (rank as f32 / 3000.0).powf(-4.0 / 3.0)).min(1e6);
        let (x, y) = (random.random_range(20.0..2028.0_f32), random.random_range(20.0..2028.0_f32));
        let (column, row) = (x.round() as usize, y.round() as usize);
        for row in row - 10..=row + 10 {
            for column in column - 10..=column + 10 {
                let square = (column as f32 - x).powi(2) + (row as f32 - y).powi(2);
                light[[row, column]] += flux * (-0.5 * square / (sigma * sigma)).exp()
                    / (2.0 * std::f32::consts::PI * sigma * sigma);
            }
        }
    }
    let noise = Normal::new(0.0_f32, 1.0).expect("a positive width");
    let mut data = light
        .mapv(|expected| expected + (expected + READ_VARIANCE).sqrt() * noise.sample(&mut random));
    for _ in 0..300 {
        let (mut x, mut y) =
            (random.random_range(0.0..SIZE as f32), random.random_range(0.0..SIZE as f32));
        let (sin, cos) = random.random_range(0.0..std::f32::consts::TAU).sin_cos();
        let charge = random.random_range(150.0..3000.0_f32);
        for _ in 0..random.random_range(1..12) {
            if let Some(value) = data.get_mut((y as usize, x as usize)) {
                *value += charge * random.random_range(0.7..1.3_f32);
            }
            x = (x + cos).max(0.0);
            y = (y + sin).max(0.0);
        }
    }
    let variance = data.mapv(|value| value.max(0.0) + READ_VARIANCE);
    CalibratedImage { data, variance, mask: Mask::zeros((SIZE, SIZE)) }
}

fn contamination(criterion: &mut Criterion) {
    let mut image = frame();
    let mut group = criterion.benchmark_group("2048²");
    group.sample_size(10);
    group.bench_function("cosmic rays", |bench| {
        let parameters = CosmicRayParameters::default();
        bench.iter(|| black_box(cosmic_rays::find(&image, &parameters).len()));
    });
    group.bench_function("cosmic rays, noise from the data", |bench| {
        let noise = NoiseModel::LocalMedian { electrons_per_unit: 1.0, read_noise_electrons: 5.0 };
        let parameters = CosmicRayParameters { noise, ..CosmicRayParameters::default() };
        bench.iter(|| black_box(cosmic_rays::find(&image, &parameters).len()));
    });
    for ((row, column), value) in image.data.indexed_iter_mut() {
        let across = 0.8 * (row as f32 - 900.0) - 0.6 * (column as f32 - 1100.0);
        *value += 300.0 * (-0.5 * (across / 1.3).powi(2)).exp();
    }
    let background = estimate(&image.data, &image.mask, 64);
    group.bench_function("trails", |bench| {
        let parameters = TrailParameters::default();
        bench.iter(|| black_box(trails::find(&image, &background, &parameters).len()));
    });
    group.finish();
}

criterion_group!(benches, contamination);
criterion_main!(benches);
