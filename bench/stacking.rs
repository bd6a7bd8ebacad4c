//! Alignment and the running stack at 2048², step by step: resampling by a shift, by a turn; a frame taken into a stack that has started and into one that
//! has not; the image of the stack.
//!
//! `cargo bench --bench stacking`

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gic::imaging::{
    CalibratedImage, Image, Mask,
    resample::lanczos3,
    stack::{RunningStack, StackInput},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::hint::black_box;

const SHAPE: (usize, usize) = (2048, 2048);
const NOISE: f64 = 20.0;

/// Sky noise with stars of Gaussian profile and cosmic rays of its own.
fn frame(seed: u64) -> CalibratedImage {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let noise = Normal::new(0.0, NOISE).expect("a positive width");
    let mut data = Image::from_shape_fn(SHAPE, |_| noise.sample(&mut random) as f32);
    let mut sky = ChaCha8Rng::seed_from_u64(0);
    for _ in 0..3000 {
        let (row, column) = (sky.random_range(0..SHAPE.0), sky.random_range(0..SHAPE.1));
        let peak = 100.0 * sky.random_range(0.001_f64..1.0).powf(-1.0);
        for near_row in row.saturating_sub(8)..(row + 9).min(SHAPE.0) {
            for near_column in column.saturating_sub(8)..(column + 9).min(SHAPE.1) {
                let square =
                    (near_row.abs_diff(row).pow(2) + near_column.abs_diff(column).pow(2)) as f64;
                data[(near_row, near_column)] += (peak * (-square / 4.5).exp()) as f32;
            }
        }
    }
    for _ in 0..300 {
        data[(random.random_range(0..SHAPE.0), random.random_range(0..SHAPE.1))] += 2000.0;
    }
    let variance = data.mapv(|value| (NOISE * NOISE) as f32 + value.max(0.0));
    CalibratedImage { data, variance, mask: Mask::zeros(SHAPE) }
}

fn stacking(criterion: &mut Criterion) {
    let frames: Vec<CalibratedImage> = (0..10).map(|seed| frame(seed + 1)).collect();
    let Some(first) = frames.first() else { return };
    let add = |stack: &mut RunningStack, image: &CalibratedImage| {
        stack.add(&StackInput { image, scale: 1.01, weight: 1.0 / (NOISE * NOISE) })
    };
    let of = |count: usize| {
        let mut stack = RunningStack::new(SHAPE, 4.0);
        frames.iter().take(count).for_each(|image| {
            add(&mut stack, image);
        });
        stack
    };
    let mut group = criterion.benchmark_group("2048²");
    group.sample_size(10);
    group.bench_function("resample, shift", |bench| {
        bench.iter(|| black_box(lanczos3(first, SHAPE, &|x, y| (x + 12.3, y - 7.8)).data.len()));
    });
    let (sine, cosine) = 0.02_f64.sin_cos();
    let turn = |x: f64, y: f64| (cosine * x - sine * y + 3.3, sine * x + cosine * y - 17.2);
    group.bench_function("resample, turn", |bench| {
        bench.iter(|| black_box(lanczos3(first, SHAPE, &turn).data.len()));
    });
    for (name, count) in [("add the second", 1), ("add the fifth", 4), ("add the tenth", 9)] {
        let stack = of(count);
        group.bench_function(name, |bench| {
            bench.iter_batched_ref(
                || stack.clone(),
                |stack| add(stack, first),
                BatchSize::LargeInput,
            );
        });
    }
    for (name, count) in [("image of three", 3), ("image of ten", 10)] {
        let stack = of(count);
        group.bench_function(name, |bench| bench.iter(|| black_box(stack.image().data.len())));
    }
    group.finish();
}

criterion_group!(benches, stacking);
criterion_main!(benches);
