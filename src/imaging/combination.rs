//! Combination of calibration frames, pixel by pixel.
//!
//! Sixteen neighbouring pixels are sorted side by side with a sorting network of minima and maxima, which the compiler turns into
//! vector instructions; only pixels with values that are not finite take the slow way. Rows are shared out to the cores.

use super::calibration::CalibrationError;
use super::{Image, bands, statistics};

/// How calibration frames are combined, pixel by pixel. Values that are not finite do not count; a pixel without any is NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Combination {
    /// Of an even number of values the mean of the middle two.
    Median,
    /// Mean after rejection of values farther than `sigma` robust deviations from the median.
    ///
    /// The deviation of a pixel is 1.4826 × the median absolute deviation of its values, or 1.2533 × their mean absolute deviation
    /// where that is zero, as happens with whole numbers (Iglewicz & Hoaglin 1993, "How to detect and handle outliers", §3.3);
    /// and no less than the median of the deviations along its row: that of a few values is often far too small by chance,
    /// and good values would be lost.
    ClippedMean { sigma: f32 },
}

/// A frame whose rows can be read again and again, from any thread.
pub trait PixelRows: Sync {
    /// Rows, columns.
    fn dim(&self) -> (usize, usize);

    /// Fills `values`, of whole rows, with those from `first_row` on.
    ///
    /// # Errors
    /// In words, if there are no such rows or they cannot be read.
    fn read(&self, first_row: usize, values: &mut [f32]) -> Result<(), String>;

    /// One pixel; NaN where there is none.
    fn pixel(&self, row: usize, column: usize) -> f32;
}

impl PixelRows for Image {
    fn dim(&self) -> (usize, usize) {
        Self::dim(self)
    }

    fn read(&self, first_row: usize, values: &mut [f32]) -> Result<(), String> {
        let width = self.ncols();
        if first_row * width + values.len() > self.len() {
            return Err(format!("there are no rows from {first_row} on"));
        }
        for (row, values) in values.chunks_exact_mut(width.max(1)).enumerate() {
            let pixels = self.row(first_row + row);
            match pixels.to_slice() {
                Some(pixels) => values.copy_from_slice(pixels),
                None => values.iter_mut().zip(pixels).for_each(|(value, pixel)| *value = *pixel),
            }
        }
        Ok(())
    }

    fn pixel(&self, row: usize, column: usize) -> f32 {
        self.get((row, column)).copied().unwrap_or(f32::NAN)
    }
}

/// Pixels that are sorted side by side.
const LANES: usize = 16;
/// Rows of each frame that are read at once.
const ROWS_AT_ONCE: usize = 4;
/// One value of each of the pixels.
type Lanes = [f32; LANES];

/// Standard deviation of a Gaussian over its median absolute deviation.
const MEDIAN_DEVIATION_TO_SIGMA: f32 = 1.482_602_2;
/// Standard deviation of a Gaussian over its mean absolute deviation.
const MEAN_DEVIATION_TO_SIGMA: f32 = 1.253_314_1;

/// Combines frames of one shape. Memory: one output plane and a few rows of each frame beside the inputs.
///
/// # Errors
/// [`CalibrationError::NoFrames`], [`CalibrationError::ShapeMismatch`], [`CalibrationError::Unreadable`].
pub fn combine<F: PixelRows>(frames: &[F], how: Combination) -> Result<Image, CalibrationError> {
    combine_prepared(frames, how, |_, _, _| {})
}

/// Combines darks to data numbers per second: each has the bias taken off and is divided by its exposure. `exposures_seconds` runs
/// parallel to `frames`.
///
/// # Errors
/// As [`combine`]; [`CalibrationError::ExposureCount`] if the two lists differ in length.
pub fn combine_darks<F: PixelRows>(
    frames: &[F],
    exposures_seconds: &[f64],
    bias: &Image,
    how: Combination,
) -> Result<Image, CalibrationError> {
    check_shapes(frames)?;
    let expected = frames.first().map_or((0, 0), PixelRows::dim);
    if exposures_seconds.len() != frames.len() {
        let (frames, exposures) = (frames.len(), exposures_seconds.len());
        return Err(CalibrationError::ExposureCount { frames, exposures });
    }
    if bias.dim() != expected {
        let (index, found) = (frames.len(), bias.dim());
        return Err(CalibrationError::ShapeMismatch { index, found, expected });
    }
    combine_prepared(frames, how, |index, row, values| {
        let seconds = exposures_seconds.get(index).copied().unwrap_or(1.0) as f32;
        let levels = bias.row(row);
        values
            .iter_mut()
            .zip(levels)
            .for_each(|(value, level)| *value = (*value - level) / seconds);
    })
}

/// Sees that there are frames, all of one shape.
pub(super) fn check_shapes<F: PixelRows>(frames: &[F]) -> Result<(), CalibrationError> {
    let expected = frames.first().ok_or(CalibrationError::NoFrames)?.dim();
    for (index, frame) in frames.iter().enumerate() {
        if frame.dim() != expected {
            let found = frame.dim();
            return Err(CalibrationError::ShapeMismatch { index, found, expected });
        }
    }
    Ok(())
}

/// As [`combine`], after `prepare(frame, row, values)` has changed a copy of each row.
///
/// # Errors
/// As [`combine`].
pub(super) fn combine_prepared<F: PixelRows>(
    frames: &[F],
    how: Combination,
    prepare: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Result<Image, CalibrationError> {
    check_shapes(frames)?;
    let (rows, columns) = frames.first().map_or((0, 0), PixelRows::dim);
    let mut combined = Image::zeros((rows, columns));
    let network = sorting_network(frames.len());
    let band = bands::rows_per_band(rows, columns * frames.len());
    let jobs = match combined.as_slice_mut() {
        Some(plane) if columns > 0 => plane.chunks_mut(band * columns).enumerate().collect(),
        _ => Vec::new(),
    };
    let outcomes = bands::each(jobs, |(number, output): (usize, &mut [f32])| {
        let mut rows = RowCombiner::new(frames.len(), columns, &network, how);
        // A few rows of each frame at once: they stay in the cache, and files are read in pieces worth the call.
        let mut block = vec![0.0; frames.len() * columns * ROWS_AT_ONCE];
        for (step, output) in output.chunks_mut(columns * ROWS_AT_ONCE).enumerate() {
            let first = number * band + step * ROWS_AT_ONCE;
            let parts = block.chunks_mut(columns * ROWS_AT_ONCE);
            for (index, (frame, part)) in frames.iter().zip(parts).enumerate() {
                let Some(part) = part.get_mut(..output.len()) else { continue };
                frame
                    .read(first, part)
                    .map_err(|what| CalibrationError::Unreadable { index, what })?;
                for (offset, values) in part.chunks_exact_mut(columns).enumerate() {
                    prepare(index, first + offset, values);
                }
            }
            for (offset, output) in output.chunks_exact_mut(columns).enumerate() {
                let lines = block
                    .chunks(columns * ROWS_AT_ONCE)
                    .filter_map(|part| part.get(offset * columns..(offset + 1) * columns));
                rows.combine(lines, output);
            }
        }
        Ok(())
    });
    outcomes.into_iter().collect::<Result<(), CalibrationError>>()?;
    Ok(combined)
}

/// Combines one row after the other.
struct RowCombiner<'a> {
    network: &'a [(usize, usize)],
    how: Combination,
    /// The values of the pixels of each block of lanes, block after block.
    lanes: Vec<Lanes>,
    /// Work space of the values of one pixel.
    slow: Vec<f32>,
    medians: Vec<Lanes>,
    deviations: Vec<Lanes>,
    /// Bits of the deviations of a row.
    order: Vec<u32>,
    frames: usize,
}

impl<'a> RowCombiner<'a> {
    fn new(frames: usize, columns: usize, network: &'a [(usize, usize)], how: Combination) -> Self {
        let blocks = columns.div_ceil(LANES);
        Self {
            network,
            how,
            lanes: vec![[0.0; LANES]; blocks * frames],
            slow: Vec::with_capacity(frames),
            medians: vec![[0.0; LANES]; blocks],
            deviations: vec![[0.0; LANES]; blocks],
            order: Vec::with_capacity(columns),
            frames,
        }
    }

    /// Combines the `lines`, one of each frame, as long as `output`.
    fn combine<'l>(&mut self, lines: impl Iterator<Item = &'l [f32]>, output: &mut [f32]) {
        let frames = self.frames;
        for (index, line) in lines.enumerate() {
            let places = self.lanes.iter_mut().skip(index).step_by(frames);
            for (values, pixels) in places.zip(line.chunks(LANES)) {
                match <&Lanes>::try_from(pixels) {
                    Ok(pixels) => *values = *pixels,
                    // The last, narrower block; what is behind it is combined to nothing.
                    Err(_) => values.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from),
                }
            }
        }
        self.measure();
        let least = match self.how {
            Combination::Median => 0.0,
            Combination::ClippedMean { .. } => self.typical_deviation(output.len()),
        };
        let blocks = self.lanes.chunks_exact(frames).zip(output.chunks_mut(LANES));
        for (block, (values, output)) in blocks.enumerate() {
            let (Some(median), Some(deviation)) =
                (self.medians.get(block), self.deviations.get(block))
            else {
                continue;
            };
            let result = match self.how {
                Combination::Median => *median,
                Combination::ClippedMean { sigma } => {
                    let limit = deviation.map(|deviation| sigma * deviation.max(least));
                    clipped_mean(values, median, &limit)
                }
            };
            output.iter_mut().zip(result).for_each(|(to, from)| *to = from);
        }
    }

    /// Median and deviation of each pixel. Where values are not finite it moves them to NaN, which no limit lets pass.
    fn measure(&mut self) {
        let blocks = self.lanes.chunks_exact_mut(self.frames);
        let results = self.medians.iter_mut().zip(&mut self.deviations);
        for (values, (median, deviation)) in blocks.zip(results) {
            let is_finite =
                values.iter().all(|values| values.iter().all(|value| value.is_finite()));
            if is_finite {
                sort_lanes(values, self.network);
                *median = middle(values);
                if self.how != Combination::Median {
                    *deviation = deviation_of(values, median);
                }
                continue;
            }
            for lane in 0..LANES {
                self.slow.clear();
                let own = values.iter().filter_map(|values| values.get(lane));
                self.slow.extend(own.filter(|value| value.is_finite()));
                (median[lane], deviation[lane]) = of_one(&mut self.slow);
            }
        }
    }

    /// Median of the deviations of the first `columns` pixels; those without values do not count.
    fn typical_deviation(&mut self, columns: usize) -> f32 {
        self.order.clear();
        // Positive floats are in the order of their bits.
        let known = self.deviations.iter().flatten().take(columns);
        self.order.extend(known.filter(|value| value.is_finite()).map(|value| value.to_bits()));
        if self.order.is_empty() {
            return 0.0;
        }
        let middle = self.order.len() / 2;
        f32::from_bits(*self.order.select_nth_unstable(middle).1)
    }
}

/// Comparators that sort `count` values (Batcher's merge exchange; Knuth, The Art of Computer Programming 3, §5.2.2, algorithm M).
fn sorting_network(count: usize) -> Vec<(usize, usize)> {
    let mut comparators = Vec::new();
    let top = count.next_power_of_two() / 2;
    let mut step = top;
    while step > 0 {
        let (mut from, mut remainder, mut distance) = (top, 0, step);
        loop {
            for index in 0..count.saturating_sub(distance) {
                if index & step == remainder {
                    comparators.push((index, index + distance));
                }
            }
            if from == step {
                break;
            }
            distance = from - step;
            from /= 2;
            remainder = step;
        }
        step /= 2;
    }
    comparators
}

/// Sorts the values of each lane; none of them is NaN.
fn sort_lanes(values: &mut [Lanes], network: &[(usize, usize)]) {
    for &(low, high) in network {
        let (one, other) = (values[low], values[high]);
        for lane in 0..LANES {
            // Written so, and not with f32::min, it is one instruction: there is no NaN to look after.
            let is_ordered = one[lane] < other[lane];
            values[low][lane] = if is_ordered { one[lane] } else { other[lane] };
            values[high][lane] = if is_ordered { other[lane] } else { one[lane] };
        }
    }
}

/// Median of sorted lanes.
fn middle(sorted: &[Lanes]) -> Lanes {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return sorted[half];
    }
    let (low, high) = (&sorted[half - 1], &sorted[half]);
    std::array::from_fn(|lane| low[lane] + (high[lane] - low[lane]) * 0.5)
}

/// Robust deviation of sorted lanes. The values nearest to the median are neighbours in the sorted list, so that the n-th smallest
/// distance from it is the least, over all runs of n values, of the greater distance of their two ends.
fn deviation_of(sorted: &[Lanes], median: &Lanes) -> Lanes {
    let count = sorted.len();
    let nth_distance = |run: usize| {
        let mut least = [f32::INFINITY; LANES];
        for (low, high) in sorted.iter().zip(sorted.iter().skip(run - 1)) {
            for lane in 0..LANES {
                let (below, above) = (median[lane] - low[lane], high[lane] - median[lane]);
                let farther = if below > above { below } else { above };
                least[lane] = if farther < least[lane] { farther } else { least[lane] };
            }
        }
        least
    };
    let upper = nth_distance(count / 2 + 1);
    let mut deviation = upper;
    if count.is_multiple_of(2) {
        let lower = nth_distance(count / 2);
        for lane in 0..LANES {
            deviation[lane] = lower[lane] + (upper[lane] - lower[lane]) * 0.5;
        }
    }
    for lane in 0..LANES {
        deviation[lane] = if deviation[lane] > 0.0 {
            MEDIAN_DEVIATION_TO_SIGMA * deviation[lane]
        } else {
            let distances = sorted.iter().map(|values| (values[lane] - median[lane]).abs());
            MEAN_DEVIATION_TO_SIGMA * mean(distances, count)
        };
    }
    deviation
}

/// The slow way: median and robust deviation of the finite values of one pixel, NaN for none.
fn of_one(values: &mut [f32]) -> (f32, f32) {
    let Some(median) = statistics::median_in_place(values) else { return (f32::NAN, f32::NAN) };
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    let mean = mean(values.iter().copied(), values.len());
    let deviation = statistics::median_in_place(values).unwrap_or(0.0);
    let deviation = if deviation > 0.0 {
        MEDIAN_DEVIATION_TO_SIGMA * deviation
    } else {
        MEAN_DEVIATION_TO_SIGMA * mean
    };
    (median, deviation)
}

fn mean(values: impl Iterator<Item = f32>, count: usize) -> f32 {
    (values.map(f64::from).sum::<f64>() / count as f64) as f32
}

/// Mean of the values within `limit` of the median; the median where there are none, as with a limit below half a step between an
/// even number of values. What is summed are distances from the median: they are small.
fn clipped_mean(values: &[Lanes], median: &Lanes, limit: &Lanes) -> Lanes {
    let (mut sum, mut count) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    for values in values {
        for lane in 0..LANES {
            let distance = values[lane] - median[lane];
            let is_near = distance.abs() <= limit[lane];
            sum[lane] += if is_near { distance } else { 0.0 };
            count[lane] += if is_near { 1.0 } else { 0.0 };
        }
    }
    std::array::from_fn(|lane| {
        median[lane] + if count[lane] > 0.0 { sum[lane] / count[lane] } else { 0.0 }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    const ORACLE: &str = include_str!("../../tests/oracles/calibration.json");

    /// The frames of tests/oracles/calibration.py: whole numbers from a remainder, some pixels missing.
    pub fn frame(index: usize, base: usize) -> Image {
        Array2::from_shape_fn((5, 37), |(row, column)| {
            let seed = index * 7919 + row * 104_729 + column * 1_299_709;
            if index == 2 && (row + column) % 11 == 0 {
                f32::NAN
            } else if index == 1 && (row * column) % 17 == 3 {
                60_000.0
            } else {
                (base + seed * seed % 97) as f32
            }
        })
    }

    fn oracle(name: &str) -> Vec<f64> {
        let values: serde_json::Value = serde_json::from_str(ORACLE).unwrap();
        values[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    }

    /// Tolerance: a few roundings of 32-bit floats.
    pub fn assert_close(found: &Image, name: &str) {
        let expected = oracle(name);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() <= 4e-7 * expected.abs(),
                "{name}: {found} {expected}"
            );
        }
    }

    #[test]
    fn medians_and_clipped_means_are_those_of_numpy() {
        for count in [1, 2, 5, 8] {
            let frames: Vec<Image> = (0..count).map(|index| frame(index, 600)).collect();
            assert_close(
                &combine(&frames, Combination::Median).unwrap(),
                &format!("median_{count}"),
            );
            let clipped = combine(&frames, Combination::ClippedMean { sigma: 3.0 }).unwrap();
            assert_close(&clipped, &format!("clipped_{count}"));
        }
    }

    #[test]
    fn what_cannot_be_combined_is_refused() {
        assert_eq!(combine::<Image>(&[], Combination::Median), Err(CalibrationError::NoFrames));
        let frames = [Image::zeros((2, 3)), Image::zeros((3, 2))];
        let error = combine(&frames, Combination::Median).unwrap_err();
        assert_eq!(error.to_string(), "frame 1 is (3, 2) pixels, the first one (2, 3)");
    }

    #[test]
    fn an_outlier_among_equal_values_is_rejected() {
        let frames: Vec<Image> = (0..8)
            .map(|index| Image::from_elem((1, 3), if index == 3 { 5000.0 } else { 640.0 }))
            .collect();
        let mean = combine(&frames, Combination::ClippedMean { sigma: 5.0 }).unwrap();
        assert!(mean.iter().all(|&value| value == 640.0));
    }

    #[test]
    fn a_pixel_without_values_is_not_a_number() {
        let frames = [Image::from_elem((1, 2), f32::NAN), Image::from_elem((1, 2), f32::INFINITY)];
        assert!(combine(&frames, Combination::Median).unwrap().iter().all(|value| value.is_nan()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_network_sorts(values in prop::collection::vec(-1e6_f32..1e6, 1..70)) {
            let mut lanes: Vec<Lanes> = values.iter().map(|&value| [value; LANES]).collect();
            sort_lanes(&mut lanes, &sorting_network(values.len()));
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            prop_assert!(lanes.iter().zip(&sorted).all(|(lanes, value)| lanes.iter().all(|lane| lane == value)));
        }
    }
}
