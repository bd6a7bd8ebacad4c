//! The running stack on synthetic star fields: noise, cosmic rays, seeing, masks, memory.

use super::image::mask_bits;
use super::stack::{RunningStack, StackInput};
use super::{CalibratedImage, Image, Mask};
use ndarray::s;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

const SKY_NOISE: f64 = 10.0;
const SHAPE: (usize, usize) = (64, 64);
const STARS: [(f64, f64, f64); 4] =
    [(15.2, 16.7, 2e3), (44.9, 14.1, 2e4), (16.4, 47.3, 2e5), (46.0, 46.6, 1e6)];

/// A star field in given seeing (Moffat, β = 3), with noise.
fn frame(random: &mut ChaCha8Rng, fwhm: f64, stars: &[(f64, f64, f64)]) -> CalibratedImage {
    let square_width = (fwhm / 2.0).powi(2) / (2f64.powf(1.0 / 3.0) - 1.0);
    let light = |x: f64, y: f64| -> f64 {
        let value = |&(star_x, star_y, flux): &(f64, f64, f64)| {
            let square = (x - star_x).powi(2) + (y - star_y).powi(2);
            flux * 2.0 / (std::f64::consts::PI * square_width)
                * (1.0 + square / square_width).powi(-3)
        };
        stars.iter().map(value).sum()
    };
    let mut image = CalibratedImage {
        data: Image::zeros(SHAPE),
        variance: Image::zeros(SHAPE),
        mask: Mask::zeros(SHAPE),
    };
    for ((row, column), data) in image.data.indexed_iter_mut() {
        let expected = light(column as f64, row as f64);
        let variance = SKY_NOISE * SKY_NOISE + expected;
        let noise = Normal::new(0.0, variance.sqrt()).unwrap();
        *data = (expected + noise.sample(random)) as f32;
        image.variance[(row, column)] = (SKY_NOISE * SKY_NOISE) as f32 + data.max(0.0);
    }
    image
}

fn add_cosmic_rays(random: &mut ChaCha8Rng, image: &mut CalibratedImage, count: usize) {
    for _ in 0..count {
        let (row, column) = (random.random_range(24..63), random.random_range(1..63));
        for step in 0..random.random_range(1..4) {
            if let Some(pixel) = image.data.get_mut((row, column + step)) {
                let charge = random.random_range(300.0..5000.0) as f32;
                *pixel += charge;
                image.variance[(row, column + step)] += charge;
            }
        }
    }
}

fn add_trail(image: &mut CalibratedImage, row: usize) {
    for column in 0..SHAPE.1 {
        for (offset, charge) in [(0, 400.0), (1, 900.0), (2, 400.0)] {
            image.data[(row + offset + column / 4, column)] += charge;
            image.variance[(row + offset + column / 4, column)] += charge;
        }
    }
}

fn input(image: &CalibratedImage) -> StackInput<'_> {
    StackInput { image, scale: 1.0, weight: 1.0 / (SKY_NOISE * SKY_NOISE) }
}

fn stack_of(frames: &[CalibratedImage]) -> RunningStack {
    let mut stack = RunningStack::new(SHAPE, 4.0);
    for frame in frames {
        assert!(stack.add(&input(frame)));
    }
    stack
}

fn aperture(image: &CalibratedImage, x: f64, y: f64) -> f64 {
    let inside =
        |row: usize, column: usize| (column as f64 - x).powi(2) + (row as f64 - y).powi(2) <= 81.0;
    let pixels = image.data.indexed_iter();
    pixels.filter(|((row, column), _)| inside(*row, *column)).map(|(_, v)| f64::from(*v)).sum()
}

fn rms(values: impl Iterator<Item = f32> + Clone) -> f64 {
    let count = values.clone().count() as f64;
    (values.map(|value| f64::from(value).powi(2)).sum::<f64>() / count).sqrt()
}

#[test]
fn ten_frames_gain_nearly_the_root_of_ten() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let frames: Vec<_> = (0..10).map(|_| frame(&mut random, 2.5, &[])).collect();
    let stack = stack_of(&frames);
    let image = stack.image();
    let gain = rms(frames[0].data.iter().copied()) / rms(image.data.iter().copied());
    assert!(gain >= 0.92 * 10f64.sqrt(), "{gain}");
    // The variance plane says what the noise is.
    let stated = f64::from(image.variance.mean().unwrap()).sqrt();
    assert!((stated / rms(image.data.iter().copied()) - 1.0).abs() < 0.08);
    assert_eq!(stack.frame_count(), 10);
}

#[test]
fn cosmic_rays_and_trails_are_gone_from_the_second_frame_on() {
    for count in [2, 3, 4, 5, 6, 10] {
        let mut random = ChaCha8Rng::seed_from_u64(100 + count);
        let mut frames: Vec<_> = (0..count).map(|_| frame(&mut random, 2.5, &[])).collect();
        for (number, frame) in frames.iter_mut().enumerate() {
            // Few enough that no two frames are hit at the same place: that is beyond two or three frames.
            add_cosmic_rays(&mut random, frame, 3);
            if number == 1 {
                add_trail(frame, 1);
            }
        }
        let image = stack_of(&frames).image();
        let noise = SKY_NOISE / ((count - 1) as f64).sqrt();
        let worst = image.data.iter().fold(0.0_f32, |worst, value| worst.max(value.abs()));
        // Without rejection the trail alone would leave 900 / count.
        let allowed = 5.0 * noise + 4.0 * SKY_NOISE * 1.5 / count as f64;
        assert!(f64::from(worst) < allowed, "{count} frames: {worst} > {allowed}");
    }
}

#[test]
fn stars_keep_their_flux_when_the_seeing_changes() {
    for (name, seeing) in [
        ("worse", [2.2, 2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6, 3.6, 3.6]),
        ("better", [3.6, 3.6, 3.4, 3.2, 3.0, 2.8, 2.6, 2.4, 2.2, 2.2]),
        ("jumps", [1.9, 3.8, 2.0, 3.6, 2.2, 3.4, 1.9, 3.8, 2.5, 3.0]),
    ] {
        for count in [2, 3, 5, 7, 10] {
            let mut random = ChaCha8Rng::seed_from_u64(7);
            let mut frames: Vec<_> =
                seeing[..count].iter().map(|fwhm| frame(&mut random, *fwhm, &STARS)).collect();
            let mut plain = Image::zeros(SHAPE);
            for frame in &frames {
                plain += &frame.data;
            }
            plain /= count as f32;
            let plain = CalibratedImage { data: plain, ..frames[0].clone() };
            for frame in &mut frames {
                add_cosmic_rays(&mut random, frame, 2);
            }
            let image = stack_of(&frames).image();
            for &(x, y, flux) in &STARS[1..] {
                let ratio = aperture(&image, x, y) / aperture(&plain, x, y);
                // Rejection of noise and cosmic rays in the aperture leaves about one sigma of its sky.
                let tolerance = 0.01_f64.max(3.0 * SKY_NOISE * 16.0 / flux);
                assert!((ratio - 1.0).abs() < tolerance, "{name} {count} {flux}: {ratio}");
            }
        }
    }
}

#[test]
fn few_frames_are_sensible() {
    let flat = |value: f32| CalibratedImage {
        data: Image::from_elem(SHAPE, value),
        variance: Image::from_elem(SHAPE, 1.0),
        mask: Mask::zeros(SHAPE),
    };
    let mut stack = RunningStack::new(SHAPE, 4.0);
    assert!(stack.image().mask.iter().all(|bits| *bits == mask_bits::NO_DATA));
    stack.add(&StackInput { image: &flat(50.0), scale: 2.0, weight: 1.0 });
    assert_eq!((stack.image().data[(3, 3)], stack.image().variance[(3, 3)]), (100.0, 4.0));
    // Two that disagree wildly: the lower, because disturbances add light.
    let mut disagreeing = flat(100.0);
    disagreeing.data[(3, 3)] = 900.0;
    disagreeing.data[(9, 9)] = 101.0;
    stack.add(&StackInput { image: &disagreeing, scale: 1.0, weight: 1.0 });
    let image = stack.image();
    assert_eq!(image.data[(3, 3)], 100.0);
    assert_eq!(image.data[(9, 9)], 100.5);
    let depth = stack.depth_map();
    assert_eq!((depth.frames[(3, 3)], depth.frames[(9, 9)]), (1, 2));
    assert_eq!(depth.weight[(9, 9)], 2.0);
}

#[test]
fn weights_and_scales_count() {
    let constant = |value: f32, variance: f32| CalibratedImage {
        data: Image::from_elem(SHAPE, value),
        variance: Image::from_elem(SHAPE, variance),
        mask: Mask::zeros(SHAPE),
    };
    let mut stack = RunningStack::new(SHAPE, 4.0);
    for _ in 0..4 {
        stack.add(&StackInput { image: &constant(10.0, 1.0), scale: 1.0, weight: 3.0 });
        stack.add(&StackInput { image: &constant(5.5, 0.75), scale: 2.0, weight: 1.0 });
    }
    let image = stack.image();
    assert!((image.data[(5, 5)] - 10.25).abs() < 1e-5);
    // (4·9·1 + 4·1·3) / (4·4)² = 0.1875
    assert!((image.variance[(5, 5)] - 0.1875).abs() < 1e-6);
}

#[test]
fn dithered_and_masked_pixels_count_for_themselves() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut stack = RunningStack::new(SHAPE, 4.0);
    for number in 0..12 {
        let mut one = frame(&mut random, 2.5, &[]);
        // The first rows are covered by every third frame, the corner by none.
        for ((row, column), bits) in one.mask.indexed_iter_mut() {
            if (row < 10 && number % 3 != 0) || (row < 3 && column < 3) {
                *bits = mask_bits::NO_DATA;
            }
        }
        one.data[(0, 0)] = f32::NAN;
        one.data[(30, 30)] = 60_000.0;
        one.mask[(30, 30)] = mask_bits::SATURATED;
        stack.add(&input(&one));
    }
    let (image, depth) = (stack.image(), stack.depth_map());
    assert_eq!(depth.frames[(0, 0)], 0);
    assert_eq!(image.mask[(1, 1)], mask_bits::NO_DATA);
    assert_eq!(image.data[(1, 1)], 0.0);
    assert!(depth.frames[(5, 20)] <= 4 && depth.frames[(5, 20)] >= 3);
    assert!(depth.frames[(40, 20)] >= 11);
    // Saturated in every frame: the value stays, and so does the bit.
    assert_eq!(image.mask[(30, 30)], mask_bits::SATURATED);
    assert_eq!(image.data[(30, 30)], 60_000.0);
    assert_eq!(depth.frames[(30, 30)], 0);
    assert!(image.data.iter().all(|value| value.is_finite()));
}

#[test]
fn a_wrong_start_is_given_up() {
    let constant = |value: f32| CalibratedImage {
        data: Image::from_elem(SHAPE, value),
        variance: Image::from_elem(SHAPE, 1.0),
        mask: Mask::zeros(SHAPE),
    };
    let mut stack = RunningStack::new(SHAPE, 4.0);
    for number in 0..30 {
        let value = if number < 6 { -500.0 } else { 0.0 };
        stack.add(&StackInput { image: &constant(value), scale: 1.0, weight: 1.0 });
    }
    assert_eq!(stack.image().data[(7, 7)], 0.0);
}

#[test]
fn what_does_not_fit_is_not_added() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let good = frame(&mut random, 2.5, &[]);
    let mut stack = RunningStack::new((10, 10), 4.0);
    assert!(!stack.add(&input(&good)));
    let mut stack = RunningStack::new(SHAPE, 4.0);
    for (scale, weight) in [(0.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY), (1.0, -1.0)] {
        assert!(!stack.add(&StackInput { image: &good, scale, weight }));
    }
    assert_eq!(stack.frame_count(), 0);
}

#[test]
fn memory_is_bounded_and_given_back_when_means_run() {
    assert!(RunningStack::bytes_per_pixel() <= 64);
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let frames: Vec<_> = (0..8).map(|_| frame(&mut random, 2.5, &STARS)).collect();
    let pixels = SHAPE.0 * SHAPE.1;
    assert!(stack_of(&frames[..4]).bytes() <= RunningStack::bytes_per_pixel() * pixels);
    assert_eq!(stack_of(&frames[..5]).bytes(), 19 * pixels);
    assert_eq!(stack_of(&frames).bytes(), 19 * pixels);
}

#[test]
fn online_is_batch_to_the_last_bit() {
    let mut random = ChaCha8Rng::seed_from_u64(10);
    let mut frames: Vec<_> = (0..9).map(|_| frame(&mut random, 2.5, &STARS)).collect();
    for (number, frame) in frames.iter_mut().enumerate() {
        add_cosmic_rays(&mut random, frame, 6);
        // Dithered: what starts late keeps values beside means that run.
        frame.mask.column_mut(63 - number).fill(mask_bits::NO_DATA);
    }
    let mut online = RunningStack::new(SHAPE, 4.0);
    for (number, frame) in frames.iter().enumerate() {
        assert!(online.add(&input(frame)));
        let batch = stack_of(&frames[..=number]);
        assert_eq!(online.image_with_depth(), batch.image_with_depth());
    }
}

#[test]
fn it_does_not_depend_on_how_the_rows_are_shared_out() {
    let noise = Normal::new(0.0, SKY_NOISE).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (whole, part) = ((520, 600), 333);
    let mut stacks = [RunningStack::new(whole, 4.0), RunningStack::new((part, whole.1), 4.0)];
    for _ in 0..7 {
        let mut data = Image::from_shape_fn(whole, |_| noise.sample(&mut random) as f32);
        for _ in 0..400 {
            data[(random.random_range(0..whole.0), random.random_range(0..whole.1))] += 900.0;
        }
        for (stack, rows) in stacks.iter_mut().zip([whole.0, part]) {
            let data = data.slice(s![..rows, ..]).to_owned();
            let image = CalibratedImage {
                variance: Image::from_elem(data.dim(), (SKY_NOISE * SKY_NOISE) as f32),
                mask: Mask::zeros(data.dim()),
                data,
            };
            assert!(stack.add(&input(&image)));
        }
        let [whole, part] = stacks.each_ref().map(RunningStack::image);
        // Seven rows more than the light of neighbours reaches.
        let rows = s![..320, ..];
        assert_eq!(whole.data.slice(rows), part.data.slice(rows));
        assert_eq!(whole.variance.slice(rows), part.variance.slice(rows));
    }
}

/// What clipping at four standard deviations about the median of all values at once leaves, until nothing changes.
fn clipped_at_once(values: &[(f32, f32)]) -> f64 {
    let mut kept: Vec<(f64, f64)> =
        values.iter().map(|(value, noise)| (f64::from(*value), f64::from(*noise))).collect();
    loop {
        kept.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (centre, variance) = kept[(kept.len() - 1) / 2];
        let count = kept.len();
        kept.retain(|(value, noise)| (value - centre).abs() <= 4.0 * noise.min(variance).sqrt());
        if kept.len() == count {
            return kept.iter().map(|(value, _)| value).sum::<f64>() / count as f64;
        }
    }
}

/// Cosmic rays beside the stars: on a bright one light may be seeing, and what the two do differs by design.
#[test]
fn it_is_what_clipping_all_frames_at_once_gives() {
    for seed in 0..4 {
        let mut random = ChaCha8Rng::seed_from_u64(20 + seed);
        let mut frames: Vec<_> = (0..10).map(|_| frame(&mut random, 2.5, &STARS[..2])).collect();
        frames.iter_mut().for_each(|frame| add_cosmic_rays(&mut random, frame, 3));
        let image = stack_of(&frames).image();
        let mut sum = 0.0;
        for (place, value) in image.data.indexed_iter() {
            let values: Vec<(f32, f32)> =
                frames.iter().map(|frame| (frame.data[place], frame.variance[place])).collect();
            let exact = clipped_at_once(&values);
            sum += (f64::from(*value) - exact).abs() / f64::from(image.variance[place]).sqrt();
        }
        let mean = sum / image.data.len() as f64;
        assert!(mean < 0.02, "{seed}: {mean} standard deviations");
    }
}
