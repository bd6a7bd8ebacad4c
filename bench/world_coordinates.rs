//! 20,000 positions through distorted world coordinates, both ways, and a frame resampled through them. `bench/world_coordinates.py` runs astropy on the
//! same headers.
//!
//! `cargo bench --bench world_coordinates`

use criterion::{Criterion, criterion_group, criterion_main};
use gic::{
    fits::{CardValue, Header, wcs_cards::read_distorted},
    imaging::{CalibratedImage, Image, Mask, resample::lanczos3},
};
use std::hint::black_box;

const ORACLE: &str = include_str!("../tests/oracles/wcs_distorted.json");
const NAMES: [&str; 5] = [
    "TAN at the south pole",
    "SIP of order 3, rotated",
    "SIP of order 4, mirrored, with AP, BP",
    "TPV of degree 3 with r",
    "TPV of degree 7 with all powers of r",
];
const SIDE: usize = 2048;
const COUNT: usize = 20_000;

fn header_of(cards: &serde_json::Value) -> Option<Header> {
    let mut header = Header::new();
    for (keyword, value) in cards.as_object()? {
        let value = match value.as_str() {
            Some(text) => CardValue::from(text),
            None => CardValue::from(value.as_f64()?),
        };
        header.set(keyword, value, "");
    }
    Some(header)
}

fn world_coordinates(criterion: &mut Criterion) {
    let oracle: serde_json::Value = serde_json::from_str(ORACLE).expect("the oracle is JSON");
    // Irregular places all over the image from two multiplicative sequences.
    let pixels: Vec<(f64, f64)> = (1..=COUNT)
        .map(|place| ((place * 7919 % SIDE) as f64 + 0.3, (place * 104_729 % SIDE) as f64 + 0.6))
        .collect();
    let mut group = criterion.benchmark_group("20,000 positions");
    for name in NAMES {
        let case =
            oracle["cases"].as_array().into_iter().flatten().find(|case| case["name"] == name);
        let header = case.and_then(|case| header_of(&case["cards"])).expect("a case of that name");
        let wcs = read_distorted(&header).expect("a sound header");
        let sky: Vec<_> = pixels.iter().map(|&(x, y)| wcs.pixel_to_sky(x, y)).collect();
        group.bench_function(format!("{name}: to the sky"), |bench| {
            bench.iter(|| {
                let total: f64 =
                    pixels.iter().map(|&(x, y)| wcs.pixel_to_sky(x, y).ra_degrees).sum();
                black_box(total)
            });
        });
        group.bench_function(format!("{name}: to the image"), |bench| {
            bench.iter(|| {
                let found = sky.iter().filter(|sky| wcs.sky_to_pixel(**sky).is_ok()).count();
                assert_eq!(black_box(found), COUNT);
            });
        });
    }
    group.finish();

    let image = CalibratedImage {
        data: Image::from_shape_fn((SIDE, SIDE), |(row, column)| ((row + column) % 97) as f32),
        variance: Image::from_elem((SIDE, SIDE), 9.0),
        mask: Mask::zeros((SIDE, SIDE)),
    };
    let mut group = criterion.benchmark_group("resample 2048²");
    group.sample_size(20);
    group.bench_function("a shift", |bench| {
        bench.iter(|| {
            black_box(lanczos3(&image, (SIDE, SIDE), &|x, y| (x + 12.3, y - 7.8)).data.len())
        });
    });
    for name in NAMES {
        let case =
            oracle["cases"].as_array().into_iter().flatten().find(|case| case["name"] == name);
        let header = case.and_then(|case| header_of(&case["cards"])).expect("a case of that name");
        let grid = read_distorted(&header).expect("a sound header");
        // The same camera, moved by some ten pixels.
        let mut frame = grid.clone();
        frame.plane.reference_pixel.0 += 12.3;
        frame.plane.reference_pixel.1 -= 7.8;
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let to_frame = |x: f64, y: f64| {
                    frame.sky_to_pixel(grid.pixel_to_sky(x, y)).unwrap_or((f64::NAN, f64::NAN))
                };
                black_box(lanczos3(&image, (SIDE, SIDE), &to_frame).data.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, world_coordinates);
criterion_main!(benches);
