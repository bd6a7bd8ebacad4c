//! A master of ten frames of 1024², step by step: Rice-compressed rows, combination, statistics.
//!
//! `cargo bench --bench masters`

use criterion::{Criterion, criterion_group, criterion_main};
use fitsio_pure::compress::{TileCompression, compress_image_hdu};
use gic::{
    fits::{FitsStore, ImageRows, cfitsio::Cfitsio},
    imaging::{
        Image,
        calibration::{Combination, combine},
        photon_transfer::read_noise,
        statistics::plane_statistics,
    },
};
use std::{hint::black_box, path::Path};

const SIZE: usize = 1024;

/// A bias frame: noise of about one and a half by sums of remainders.
fn pixels(frame: u32) -> Vec<i16> {
    let noise = |index: u32| {
        let mut word = (index ^ frame.wrapping_mul(0x9e37_79b9)).wrapping_mul(2_654_435_761);
        word ^= word >> 15;
        word = word.wrapping_mul(2_246_822_519);
        (0..4).map(|place| (word >> (8 * place) & 3) as i16).sum::<i16>()
    };
    (0..(SIZE * SIZE) as u32).map(|index| noise(index) + 600).collect()
}

fn write(path: &Path, frame: u32) {
    let cards = fitsio_pure::primary::build_primary_header(8, &[]).expect("a header");
    let mut bytes = fitsio_pure::header::serialize_header(&cards).expect("cards");
    let hdu = compress_image_hdu(&[SIZE, SIZE], &pixels(frame), &TileCompression::rice(), &[]);
    bytes.extend(hdu.expect("an image"));
    std::fs::write(path, bytes).expect("a file");
}

fn masters(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let paths: Vec<_> =
        (0..10).map(|frame| directory.path().join(format!("{frame}.fits.fz"))).collect();
    for (frame, path) in (0..).zip(&paths) {
        write(path, frame);
    }
    let images: Vec<Image> =
        paths.iter().map(|path| Cfitsio.read_image(path).expect("an image").data).collect();
    let opened = |keep: bool| -> Vec<ImageRows> {
        let open = |path| {
            let mut rows = ImageRows::open(&Cfitsio, path).expect("a frame");
            rows.survey(&Cfitsio, keep).expect("sound tiles");
            rows
        };
        paths.iter().map(|path| open(path)).collect()
    };
    let how = Combination::ClippedMean { sigma: 4.0 };

    let mut group = criterion.benchmark_group("ten of 1024²");
    group.sample_size(20);
    group.bench_function("read one image", |bench| {
        bench.iter(|| black_box(Cfitsio.read_image(&paths[0]).map(|image| image.data.len()).ok()));
    });
    group.bench_function("read once, with medians", |bench| {
        bench.iter(|| black_box(opened(true).len()));
    });
    group.bench_function("clipped mean", |bench| {
        bench.iter(|| black_box(combine(&images, how).map(|image| image.len()).ok()));
    });
    group.bench_function("median", |bench| {
        bench.iter(|| {
            black_box(combine(&images, Combination::Median).map(|image| image.len()).ok())
        });
    });
    let in_files = opened(false);
    group.bench_function("clipped mean of rows in files", |bench| {
        bench.iter(|| black_box(combine(&in_files, how).map(|image| image.len()).ok()));
    });
    group.bench_function("read noise of a pair", |bench| {
        bench.iter(|| black_box(read_noise(&images[0], &images[1])));
    });
    group.bench_function("statistics of a plane", |bench| {
        bench.iter(|| black_box(plane_statistics(&images[0]).median));
    });
    group.finish();
}

criterion_group!(benches, masters);
criterion_main!(benches);
