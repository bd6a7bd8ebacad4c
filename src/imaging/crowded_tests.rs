//! Crowded fields: time and memory must grow no faster than the sources.

use super::{
    CalibratedImage, background,
    detection::{DetectionParameters, detect},
    synthetic::{self, Generator, Star},
};
use std::time::{Duration, Instant};

const SIDE: usize = 2048;

/// As many stars of each flux as there are in a cluster: half as many of twice the flux.
fn field(count: usize) -> CalibratedImage {
    let mut draw = Generator::new(71);
    let stars: Vec<Star> = (0..count)
        .map(|_| Star {
            x: SIDE as f64 * draw.uniform(),
            y: SIDE as f64 * draw.uniform(),
            flux: 400.0 / (draw.uniform() + 0.002),
        })
        .collect();
    let mut light = ndarray::Array2::zeros((SIDE, SIDE));
    synthetic::add_stars(&mut light, &stars, 2.5, 9);
    synthetic::exposed(&light, 200.0, 0.0, 72)
}

/// Sources and the least time of two runs, with the bound on sources out of the way.
fn found(image: &CalibratedImage) -> (usize, Duration) {
    let parameters =
        DetectionParameters { maximum_sources: 1_000_000, ..DetectionParameters::default() };
    let run = || {
        let started = Instant::now();
        let background = background::estimate(&image.data, &image.mask, 64);
        let found = detect(image, &background, &parameters);
        (found.sources.len(), started.elapsed())
    };
    let (one, other) = (run(), run());
    assert_eq!(one.0, other.0);
    (one.0, one.1.min(other.1))
}

/// A hundred thousand stars, one in 42 pixels: most of the frame is one connected region. A source may cost no more than three times what
/// one of a field with an eighth of the stars costs (it costs less). source-extractor with the same filter, threshold and contrast finds 10,474 and
/// 24,555 sources on such fields: most of the stars are not apart from each other.
#[test]
fn a_hundred_thousand_stars_cost_a_hundred_thousand_times_one() {
    let (few, few_time) = found(&field(12_500));
    let (many, many_time) = found(&field(100_000));
    let each = |time: Duration, count: usize| 1e6 * time.as_secs_f64() / count as f64;
    println!(
        "{few} sources in {few_time:.2?}, {:.0} µs each; {many} in {many_time:.2?}, {:.0} µs each",
        each(few_time, few),
        each(many_time, many)
    );
    assert!(few > 10_000 && many > 24_000, "{few} {many}");
    assert!(each(many_time, many) < 3.0 * each(few_time, few));
}
