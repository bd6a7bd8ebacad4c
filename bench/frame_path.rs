//! The path of one frame, step by step: a synthetic frame of the default sky (1024², about 1900 objects).
//!
//! `cargo bench --bench frame_path`

use criterion::{Criterion, criterion_group, criterion_main};
use gic::{
    config::SimulationConfig,
    imaging::{
        CalibratedImage, Image,
        background::estimate,
        calibration::{ReductionInputs, reduce},
        detection::{DetectionParameters, detect},
        resample::lanczos3,
        stack::{RunningStack, StackInput},
    },
    simulation::{
        SyntheticNight,
        from_config::{camera_parameters, sky_parameters, story_parameters},
    },
};
use std::hint::black_box;

const GAIN: f64 = 6.2;

fn night() -> SyntheticNight {
    let config = SimulationConfig::default();
    SyntheticNight::new(
        config.seed,
        &sky_parameters(&config),
        camera_parameters(&config),
        story_parameters(&config),
    )
    .expect("the default night")
}

fn reduced(raw: &Image, bias: &Image, flat: &Image) -> CalibratedImage {
    reduce(&ReductionInputs {
        raw,
        bias: Some(bias),
        dark_per_second: None,
        flat: Some(flat),
        bad_pixels: None,
        exposure_seconds: 50.0,
        gain_electrons: GAIN,
        read_noise_electrons: 8.0,
        saturation: 7000.0,
    })
    .expect("planes of one shape")
}

fn frame_path(criterion: &mut Criterion) {
    let night = night();
    let raw = night.object_frame(3).expect("a frame of the night").data;
    let bias = night.calibration(0).expect("a bias frame").data;
    let flat = Image::from_elem(raw.dim(), 1.0);
    let image = reduced(&raw, &bias, &flat);
    let background = estimate(&image.data, &image.mask, 64);

    let mut group = criterion.benchmark_group("1024²");
    group.sample_size(20);
    group.bench_function("render a frame", |bench| {
        bench.iter(|| black_box(night.object_frame(3).map(|frame| frame.data.len()).ok()));
    });
    group.bench_function("reduce", |bench| {
        bench.iter(|| black_box(reduced(&raw, &bias, &flat).data.len()));
    });
    group.bench_function("background", |bench| {
        bench.iter(|| black_box(estimate(&image.data, &image.mask, 64).global_noise));
    });
    group.bench_function("detect and measure", |bench| {
        let parameters = DetectionParameters { threshold_sigma: 5.0, ..Default::default() };
        bench.iter(|| black_box(detect(&image, &background, &parameters).sources.len()));
    });
    group.bench_function("resample", |bench| {
        bench.iter(|| {
            let shifted = lanczos3(&image, image.shape(), &|x, y| (x + 12.3, y - 7.8));
            black_box(shifted.data.len())
        });
    });
    group.bench_function("add to a stack of ten", |bench| {
        let mut stack = RunningStack::new(image.shape(), 4.0);
        for _ in 0..10 {
            stack.add(&StackInput { image: &image, scale: 1.0, weight: 1.0 });
        }
        bench.iter(|| stack.add(&StackInput { image: &image, scale: 1.0, weight: 1.0 }));
    });
    group.finish();
}

criterion_group!(benches, frame_path);
criterion_main!(benches);
