//! Saturation as it is measured in a raw frame.

use super::{Image, bands, image::row_major};

/// Fewest pixels at one level that can be a pile-up.
const FEWEST: u64 = 8;
/// Levels below a pile-up with which it is compared.
const NEIGHBOURS: usize = 64;
/// A pile-up holds so many times the pixels of the fullest level below it.
const PROMINENCE: u64 = 4;
/// Spread of a pile-up, as a part of its level: pixels saturate within a few levels of each other.
const SPREAD: f32 = 5e-4;

/// Level (data numbers) at which values pile up at the top of the histogram, if they do: saturation
/// measured, not assumed: a header that suggests 65535 says nothing of a converter that ends at 16384.
/// `None` when the maximum is not a pile-up.
///
/// A level counts as a pile-up when it lies at the top of the values and holds at least four times the pixels of any of the 64 levels
/// below it. Where it holds most of the frame, it could be the one level of a quiet bias frame; then it must also be the end of a
/// converter (2ⁿ or 2ⁿ − 1, n ≥ 10), or a part of the frame (half a per cent) must lie far below, as in a flat whose corners are
/// not saturated.
pub fn measured_saturation(raw: &Image) -> Option<f32> {
    let values = row_major(raw);
    let share = bands::rows_per_band(raw.nrows(), raw.ncols()) * raw.ncols().max(1);
    let shares = || values.chunks(share.max(1)).collect::<Vec<_>>();
    // Sixteen maxima side by side: one would wait for itself from pixel to pixel.
    let highest = bands::each(shares(), |values| {
        let mut highest = [f32::NEG_INFINITY; 16];
        for values in values.chunks(16) {
            for (highest, &value) in highest.iter_mut().zip(values) {
                *highest = if value.is_finite() && value > *highest { value } else { *highest };
            }
        }
        highest.into_iter().fold(f32::NEG_INFINITY, f32::max)
    });
    let maximum = highest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut top = Top::below(maximum)?;
    let tops = bands::each(shares(), |values| {
        let mut top = top.clone();
        values.iter().filter(|value| value.is_finite()).for_each(|&value| top.count(value, 1));
        top
    });
    tops.iter().for_each(|share| top.add(share));
    top.pile_up()
}

/// [`measured_saturation`] of a frame whose values are counted: value, and pixels that have it.
pub fn saturation_of_levels(levels: &[(f32, u64)]) -> Option<f32> {
    let finite = || levels.iter().filter(|(value, _)| value.is_finite());
    let maximum = finite().map(|(value, _)| *value).reduce(f32::max)?;
    let mut top = Top::below(maximum)?;
    finite().for_each(|&(value, pixels)| top.count(value, pixels));
    top.pile_up()
}

/// What is counted of a frame to see whether its values pile up.
#[derive(Debug, Clone)]
struct Top {
    maximum: f32,
    /// Levels that a pile-up may spread over.
    spread: usize,
    /// Pixels by their distance below the maximum.
    counts: Vec<u64>,
    /// Nearly all pixels are below the levels that are counted: no rounding for them.
    lowest: f32,
    far: f32,
    far_below: u64,
    total: u64,
}

impl Top {
    /// Nothing counted yet. `None` where the maximum is no level of light.
    fn below(maximum: f32) -> Option<Self> {
        let maximum = maximum.round();
        if !maximum.is_finite() || maximum < 1.0 {
            return None;
        }
        let spread = (maximum * SPREAD).max(1.0) as usize;
        let counts = vec![0; spread + NEIGHBOURS + 2];
        let lowest = maximum - counts.len() as f32;
        let far = maximum - (maximum * 0.01).max(32.0);
        Some(Self { maximum, spread, counts, lowest, far, far_below: 0, total: 0 })
    }

    fn count(&mut self, value: f32, pixels: u64) {
        self.total += pixels;
        self.far_below += if value < self.far { pixels } else { 0 };
        if value > self.lowest
            && let Some(count) = self.counts.get_mut((self.maximum - value.round()) as usize)
        {
            *count += pixels;
        }
    }

    fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.far_below += other.far_below;
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    fn pile_up(&self) -> Option<f32> {
        let (spread, counts) = (self.spread, &self.counts);
        let (peak, &highest) =
            counts.iter().enumerate().take(spread + 1).max_by_key(|(_, count)| **count)?;
        // The pile-up begins at the lowest level that shares in it.
        let start = counts
            .iter()
            .enumerate()
            .take(spread + 1)
            .filter(|(_, count)| **count * PROMINENCE >= highest)
            .map(|(distance, _)| distance)
            .max()
            .unwrap_or(peak);
        let fullest_below =
            counts.iter().skip(start + 1).take(NEIGHBOURS).copied().max().unwrap_or(0);
        if highest < FEWEST || highest < PROMINENCE * fullest_below.max(1) {
            return None;
        }
        let level = self.maximum - start as f32;
        let piled: u64 = counts.iter().take(start + 1).sum();
        let is_bulk = piled * 2 > self.total;
        (!is_bulk || is_converter_end(self.maximum) || self.far_below * 200 >= self.total)
            .then_some(level)
    }
}

/// 2ⁿ or 2ⁿ − 1, from 10 bits on.
fn is_converter_end(level: f32) -> bool {
    let level = level as u32;
    level >= 1023 && (level.is_power_of_two() || level.saturating_add(1).is_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use rand::SeedableRng;
    use rand_distr::{Distribution, Normal};

    /// Whole numbers around a level.
    fn noise(level: f32, sigma: f32) -> Image {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let normal = Normal::new(level, sigma).unwrap();
        Array2::from_shape_simple_fn((200, 200), || normal.sample(&mut random).round())
    }

    /// A star of that peak height, cut at `limit`.
    fn with_star(mut frame: Image, height: f32, limit: f32) -> Image {
        for ((row, column), value) in frame.indexed_iter_mut() {
            let radius = (row as f32 - 90.3).powi(2) + (column as f32 - 60.7).powi(2);
            *value = (*value + height * (-radius / 12.0).exp()).round().min(limit);
        }
        frame
    }

    #[test]
    fn saturated_flats_and_stars_are_measured() {
        assert_eq!(measured_saturation(&Image::from_elem((50, 50), 16384.0)), Some(16384.0));
        let mostly = noise(18_000.0, 900.0).mapv(|value| value.min(16_384.0));
        assert_eq!(measured_saturation(&mostly), Some(16_384.0));
        let barely = noise(15_000.0, 500.0).mapv(|value| value.min(16_000.0));
        assert_eq!(measured_saturation(&barely), Some(16_000.0));
        let star = with_star(noise(700.0, 3.0), 40_000.0, 7_000.0);
        assert_eq!(measured_saturation(&star), Some(7_000.0));
        // Two neighbouring levels share the pile-up.
        let shared = Array2::from_shape_fn((100, 100), |(row, _)| 16_384.0 - (row % 2) as f32);
        assert_eq!(measured_saturation(&shared), Some(16_383.0));
    }

    #[test]
    fn unsaturated_frames_have_no_saturation() {
        for frame in [
            noise(640.0, 2.4),
            noise(640.0, 0.3),
            noise(640.0, 0.0),
            Image::from_elem((50, 50), 0.0),
            Image::from_elem((50, 50), f32::NAN),
            noise(12_000.0, 110.0),
            with_star(noise(700.0, 3.0), 5_000.0, 65_535.0),
            // Multiples of four: a converter of 14 bits shifted to 16.
            noise(3_000.0, 15.0).mapv(|value| value * 4.0),
        ] {
            assert_eq!(measured_saturation(&frame), None, "{}", frame[(0, 0)]);
        }
    }

    #[test]
    fn a_few_hot_pixels_at_the_end_are_no_pile_up() {
        let mut dark = noise(648.0, 3.0);
        for place in 0..5 {
            dark[(place, place)] = 10_225.0;
        }
        assert_eq!(measured_saturation(&dark), None);
    }
}
