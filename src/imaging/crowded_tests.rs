//! Crowded fields: time must grow no faster than the stars.

use super::{
    CalibratedImage, background,
    detection::{DetectionParameters, detect},
    synthetic::{self, Generator, Star},
};
use std::time::Duration;

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

/// Time that this thread has run: other tests' work does not count. It does the first share of what is shared out, and all of the rest.
fn own_time() -> Option<Duration> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    statistics.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Sources and the least time of two runs, with the bound on sources out of the way.
fn found(image: &CalibratedImage) -> (usize, Duration) {
    let parameters =
        DetectionParameters { maximum_sources: 1_000_000, ..DetectionParameters::default() };
    let run = || {
        let started = own_time().unwrap_or_default();
        let background = background::estimate(&image.data, &image.mask, 64);
        let found = detect(image, &background, &parameters);
        (found.sources.len(), own_time().unwrap_or_default() - started)
    };
    let (one, other) = (run(), run());
    assert_eq!(one.0, other.0);
    (one.0, one.1.min(other.1))
}

/// A hundred thousand stars, one in 42 pixels: most of the frame is one connected region. Eight times the stars may cost no more than twelve
/// times as much (they cost about four times as much). source-extractor with the same filter, threshold and contrast finds 10,474 and
/// 24,555 sources on such fields: most of the stars are not apart from each other.
#[test]
fn a_hundred_thousand_stars_are_bounded_in_time() {
    if own_time().is_none() {
        println!("skipped: this system does not tell how long a thread has run");
        return;
    }
    let (few, few_time) = found(&field(12_500));
    let (many, many_time) = found(&field(100_000));
    let each = |time: Duration, count: usize| 1e6 * time.as_secs_f64() / count as f64;
    println!(
        "{few} sources in {few_time:.2?}, {:.0} µs each; {many} in {many_time:.2?}, {:.0} µs each",
        each(few_time, few),
        each(many_time, many)
    );
    assert!(few > 10_000 && many > 24_000, "{few} {many}");
    assert!(many_time < 12 * few_time);
}
