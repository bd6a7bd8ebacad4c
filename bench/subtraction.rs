//! A template of 2048² with 3000 stars subtracted from a frame with wider ones; the stars of the frame, the difference, its sources.
//!
//! `cargo bench --bench subtraction`

use criterion::{Criterion, criterion_group, criterion_main};
use gic::imaging::{
    CalibratedImage, Image, Mask,
    difference_sources::{DifferenceSearch, find},
    stamp_stars::bright_stars,
    subtraction::{SubtractionInput, SubtractionParameters, subtract},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::hint::black_box;

const SIZE: usize = 2048;
const SKY: f32 = 300.0;
const READ_VARIANCE: f32 = 64.0;

/// Gaussian stars of this full width, the same for every width, as many more for each fainter magnitude as on the sky.
fn frame(fwhm: f32, seed: u64) -> CalibratedImage {
    let mut places = ChaCha8Rng::seed_from_u64(9);
    let mut light = Image::from_elem((SIZE, SIZE), SKY);
    let sigma = fwhm / 2.3548;
    for rank in 1..=3000 {
        let flux = (300.0 * (rank as f32 / 3000.0).powf(-4.0 / 3.0)).min(1e6);
        let (x, y) = (places.random_range(20.0..2028.0_f32), places.random_range(20.0..2028.0_f32));
        let (column, row) = (x.round() as usize, y.round() as usize);
        for row in row - 12..=row + 12 {
            for column in column - 12..=column + 12 {
                let square = (column as f32 - x).powi(2) + (row as f32 - y).powi(2);
                light[[row, column]] += flux * (-0.5 * square / (sigma * sigma)).exp()
                    / (2.0 * std::f32::consts::PI * sigma * sigma);
            }
        }
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let noise = Normal::new(0.0_f32, 1.0).expect("a positive width");
    let data = light
        .mapv(|expected| expected + (expected + READ_VARIANCE).sqrt() * noise.sample(&mut random));
    let variance = data.mapv(|value| value.max(0.0) + READ_VARIANCE);
    CalibratedImage { data, variance, mask: Mask::zeros((SIZE, SIZE)) }
}

fn benchmark(criterion: &mut Criterion) {
    let (new, template) = (frame(3.4, 1), frame(2.6, 2));
    let stars = bright_stars(&new);
    let input = SubtractionInput {
        new: &new,
        template: &template,
        stars: &stars,
        new_fwhm_pixels: 3.4,
        template_fwhm_pixels: 2.6,
        new_noise_factor: 1.0,
        template_noise_factor: 1.0,
    };
    let parameters = SubtractionParameters::default();
    let mut group = criterion.benchmark_group("subtraction");
    group.sample_size(10);
    group.bench_function("stars", |bench| bench.iter(|| bright_stars(black_box(&new))));
    group.bench_function("difference", |bench| {
        bench.iter(|| subtract(black_box(&input), &parameters).expect("stars that agree"));
    });
    let difference = subtract(&input, &parameters).expect("stars that agree");
    let search = DifferenceSearch::default();
    group.bench_function("sources", |bench| {
        bench.iter(|| find(black_box(&difference), &new, &search));
    });
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
