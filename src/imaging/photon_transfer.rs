//! Gain and read noise of a detector from differences of pairs of frames, free of its fixed pattern
//! (photon transfer; Janesick 2007, "Photon Transfer", ch. 5; for two flats of unequal level the variances add as below).

use super::{Image, bands, combination::PixelRows, statistics::median_and_deviation};

/// Pixels in which the noise is measured block by block, so that gradients do not count.
const BLOCK: usize = 32;
/// The most blocks that are looked at, spread over the frame.
const MOST_BLOCKS: usize = 4096;
/// The most of them for the read noise, which is the same everywhere: it is known to a part in five hundred.
const MOST_NOISE_BLOCKS: usize = 256;
/// Values farther from the mean are cosmic rays or defects.
const CLIP_SIGMA: f64 = 5.0;
const CLIP_ROUNDS: usize = 5;
/// A block with fewer values left says nothing.
const FEWEST_VALUES: usize = BLOCK * BLOCK / 2;

/// Noise of one reading in the unit of the frames: the deviation of the difference of two bias frames over √2.
/// `None` for frames of unequal or too small shape, or that cannot be read.
pub fn read_noise<F: PixelRows>(first: &F, second: &F) -> Option<f64> {
    let (rows, columns) = first.dim();
    if first.dim() != second.dim() || rows < BLOCK || columns < BLOCK {
        return None;
    }
    // Whole rows of blocks, spread over the frame.
    let (high, wide) = (rows / BLOCK, columns / BLOCK);
    let step = high.div_ceil((MOST_NOISE_BLOCKS / wide).max(1));
    let (mut one, mut other) = (vec![0.0; BLOCK * columns], vec![0.0; BLOCK * columns]);
    let mut deviations = Vec::with_capacity(MOST_NOISE_BLOCKS);
    let places: Vec<usize> = (0..wide).collect();
    for row in (0..high).step_by(step) {
        first.read(row * BLOCK, &mut one).ok()?;
        second.read(row * BLOCK, &mut other).ok()?;
        let of_blocks = bands::map(&places, |place| {
            let block =
                |line: usize| line * columns + place * BLOCK..line * columns + (place + 1) * BLOCK;
            let lines = (0..BLOCK)
                .filter_map(|line| Some((one.get(block(line))?, other.get(block(line))?)));
            let differences = lines.flat_map(|(one, other)| one.iter().zip(other));
            let differences = differences.map(|(one, other)| f64::from(one - other));
            clipped(differences.filter(|value| value.is_finite()).collect())
        });
        let of_blocks = of_blocks.into_iter().flatten();
        deviations.extend(of_blocks.map(|(_, deviation)| deviation / std::f64::consts::SQRT_2));
    }
    median_and_deviation(&deviations).map(|(median, _)| median).filter(|noise| *noise > 0.0)
}

/// Electrons per data number from two flats: with `r` the ratio of their levels `m₁/m₂` above bias, the variance of
/// `f₁ − r·f₂` is `m₁(1 + r)/g + n²(1 + r²)`, of which read noise `n` is taken off.
/// `None` for frames of unequal or too small shape, or without light.
pub fn gain_of_pair(
    first: &Image,
    second: &Image,
    bias: Option<&Image>,
    read_noise: f64,
) -> Option<f64> {
    if bias.is_some_and(|bias| bias.dim() != first.dim()) {
        return None;
    }
    let level = |frame: &Image, place: (usize, usize)| {
        f64::from(frame[place]) - bias.map_or(0.0, |bias| f64::from(bias[place]))
    };
    let blocks: Vec<(usize, usize)> = blocks(first, second)?.collect();
    let gains: Vec<f64> = bands::map(&blocks, |&block| {
        let (one, _) = clipped(values_of(block, |place| Some(level(first, place))))?;
        let (other, _) = clipped(values_of(block, |place| Some(level(second, place))))?;
        if !(one > 0.0 && other > 0.0) {
            return None;
        }
        let ratio = one / other;
        let difference = |place| Some(level(first, place) - ratio * level(second, place));
        let (_, deviation) = clipped(values_of(block, difference))?;
        let photons = deviation * deviation - read_noise.powi(2) * (1.0 + ratio * ratio);
        (photons > 0.0).then(|| one * (1.0 + ratio) / photons)
    })
    .into_iter()
    .flatten()
    .collect();
    median_and_deviation(&gains).map(|(median, _)| median)
}

/// Robust deviation (1.4826 × the median absolute one) of the differences of two planes. `None` for unequal shapes.
pub fn robust_difference(first: &Image, second: &Image) -> Option<f64> {
    if first.dim() != second.dim() {
        return None;
    }
    let step = (first.len() / (MOST_BLOCKS * BLOCK * BLOCK)).max(1);
    let differences: Vec<f64> = first
        .iter()
        .zip(second)
        .step_by(step)
        .map(|(one, other)| f64::from(*one) - f64::from(*other))
        .collect();
    median_and_deviation(&differences).map(|(_, deviation)| deviation)
}

/// The values below which one and ninety-nine per cent of the pixels lie. `None` for a plane without finite values.
pub fn outer_percentiles(plane: &Image) -> Option<(f64, f64)> {
    let step = (plane.len() / (MOST_BLOCKS * BLOCK * BLOCK)).max(1);
    let mut values: Vec<f32> =
        plane.iter().step_by(step).copied().filter(|value| value.is_finite()).collect();
    let last = values.len().checked_sub(1)?;
    let mut at = |share: f64| {
        let place = (share * last as f64).round() as usize;
        f64::from(*values.select_nth_unstable_by(place, f32::total_cmp).1)
    };
    Some((at(0.01), at(0.99)))
}

/// First row and column of each block; `None` where the frames do not go together.
fn blocks(first: &Image, second: &Image) -> Option<impl Iterator<Item = (usize, usize)> + use<>> {
    let (rows, columns) = first.dim();
    if first.dim() != second.dim() || rows < BLOCK || columns < BLOCK {
        return None;
    }
    let (high, wide) = (rows / BLOCK, columns / BLOCK);
    let step = (high * wide).div_ceil(MOST_BLOCKS);
    let places = (0..high * wide).step_by(step);
    Some(places.map(move |index| (index / wide * BLOCK, index % wide * BLOCK)))
}

fn values_of(
    (row, column): (usize, usize),
    value: impl Fn((usize, usize)) -> Option<f64>,
) -> Vec<f64> {
    (0..BLOCK * BLOCK)
        .filter_map(|index| value((row + index / BLOCK, column + index % BLOCK)))
        .filter(|value| value.is_finite())
        .collect()
}

/// Mean and standard deviation without outliers.
fn clipped(mut values: Vec<f64>) -> Option<(f64, f64)> {
    for _ in 0..CLIP_ROUNDS {
        let (mean, deviation) = moments(&values)?;
        let before = values.len();
        values.retain(|value| (value - mean).abs() <= CLIP_SIGMA * deviation);
        if values.len() == before {
            break;
        }
    }
    moments(&values)
}

fn moments(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < FEWEST_VALUES {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Some((mean, variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal, Poisson};

    const GAIN: f64 = 4.66;
    const READ_NOISE: f64 = 2.4;

    fn bias(random: &mut ChaCha8Rng) -> Image {
        let normal = Normal::new(0.0, READ_NOISE).unwrap();
        Image::from_shape_fn((200, 200), |(row, _)| {
            (640.0 + 0.05 * row as f64 + normal.sample(random)).round() as f32
        })
    }

    /// A flat with a gradient, a pattern of the pixels' response, and rounding.
    fn flat(random: &mut ChaCha8Rng, level: f64) -> Image {
        let noise = bias(random);
        Image::from_shape_fn((200, 200), |(row, column)| {
            let response =
                1.0 + 0.1 * (row as f64 / 200.0) + 0.01 * ((row * 7 + column * 3) % 5) as f64;
            let electrons = Poisson::new(level * response * GAIN).unwrap().sample(random);
            (f64::from(noise[(row, column)]) + electrons / GAIN).round() as f32
        })
    }

    #[test]
    fn gain_and_read_noise_are_found_again() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let (mut one, other) = (bias(&mut random), bias(&mut random));
        one[(50, 50)] = 9000.0;
        let noise = read_noise(&one, &other).unwrap();
        // Rounding to whole numbers adds a twelfth to the variance.
        assert!((noise - (READ_NOISE.powi(2) + 1.0 / 12.0).sqrt()).abs() < 0.03, "{noise}");
        let level = Image::from_shape_fn((200, 200), |(row, _)| 640.0 + 0.05 * row as f32);
        let (mut bright, faint) = (flat(&mut random, 9000.0), flat(&mut random, 5000.0));
        bright[(100, 20)] = 60_000.0;
        let gain = gain_of_pair(&bright, &faint, Some(&level), noise).unwrap();
        assert!((gain / GAIN - 1.0).abs() < 0.01, "{gain}");
    }

    #[test]
    fn what_does_not_go_together_has_no_figures() {
        let (small, wide) = (Image::zeros((8, 8)), Image::zeros((64, 64)));
        assert_eq!(read_noise(&small, &small), None);
        assert_eq!(read_noise(&small, &wide), None);
        assert_eq!(read_noise(&wide, &wide), None, "two equal frames have no noise");
        assert_eq!(gain_of_pair(&wide, &wide, None, 1.0), None, "there is no light");
        assert_eq!(gain_of_pair(&wide, &wide, Some(&small), 1.0), None);
        assert_eq!(robust_difference(&small, &wide), None);
        assert_eq!(outer_percentiles(&Image::from_elem((4, 4), f32::NAN)), None);
        let ramp = Image::from_shape_fn((10, 10), |(row, column)| (row * 10 + column) as f32);
        assert_eq!(outer_percentiles(&ramp), Some((1.0, 98.0)));
    }
}
