//! Combination of calibration frames, pixel by pixel.
//!
//! Sixteen neighbouring pixels are sorted side by side with a sorting network of minima and maxima, which the compiler turns into
//! vector instructions; only pixels with values that are not finite take the slow way.

use super::calibration::CalibrationError;
use super::{Image, statistics};

/// How calibration frames are combined, pixel by pixel. Values that are not finite do not count; a pixel without any is NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Combination {
    /// Of an even number of values the mean of the middle two.
    Median,
    /// Mean after rejection of values farther than `sigma` robust deviations from the median.
    ///
    /// The deviation is 1.4826 × the median absolute deviation, or 1.2533 × the mean absolute deviation where that is zero, as
    /// happens with whole numbers (Iglewicz & Hoaglin 1993, "How to detect and handle outliers", §3.3).
    ClippedMean { sigma: f32 },
}

/// Pixels that are sorted side by side.
const LANES: usize = 16;
/// One value of each of the pixels.
type Lanes = [f32; LANES];

/// Standard deviation of a Gaussian over its median absolute deviation.
const MEDIAN_DEVIATION_TO_SIGMA: f32 = 1.482_602_2;
/// Standard deviation of a Gaussian over its mean absolute deviation.
const MEAN_DEVIATION_TO_SIGMA: f32 = 1.253_314_1;

/// Combines frames of one shape. Memory: one output plane and one row of each frame beside the inputs.
///
/// # Errors
/// [`CalibrationError::NoFrames`], [`CalibrationError::ShapeMismatch`].
pub fn combine(frames: &[Image], how: Combination) -> Result<Image, CalibrationError> {
    combine_rows(frames, how, |_, _, _| {})
}

/// Combines flats: each has bias and dark·t taken off (planes in data numbers; dark per second), is scaled to its own
/// median, then combined; the result has median 1. `exposures_seconds` runs parallel to `frames`.
///
/// # Errors
/// As [`combine`]; [`CalibrationError::ExposureCount`] if the two lists differ in length; [`CalibrationError::NoLight`] for
/// a flat whose median is not positive after subtraction.
pub fn combine_flats(
    frames: &[Image],
    exposures_seconds: &[f64],
    bias: Option<&Image>,
    dark_per_second: Option<&Image>,
    how: Combination,
) -> Result<Image, CalibrationError> {
    check_shapes(frames)?;
    if exposures_seconds.len() != frames.len() {
        return Err(CalibrationError::ExposureCount {
            frames: frames.len(),
            exposures: exposures_seconds.len(),
        });
    }
    let expected = frames.first().map_or((0, 0), Image::dim);
    for plane in [bias, dark_per_second].into_iter().flatten() {
        if plane.dim() != expected {
            return Err(CalibrationError::ShapeMismatch {
                index: frames.len(),
                found: plane.dim(),
                expected,
            });
        }
    }
    let subtract = |index: usize, row: usize, values: &mut [f32]| {
        if let Some(bias) = bias {
            values.iter_mut().zip(bias.row(row)).for_each(|(value, bias)| *value -= bias);
        }
        if let Some(dark) = dark_per_second {
            let seconds = exposures_seconds.get(index).copied().unwrap_or_default() as f32;
            values.iter_mut().zip(dark.row(row)).for_each(|(value, dark)| *value -= dark * seconds);
        }
    };
    let mut scales = Vec::with_capacity(frames.len());
    let mut plane = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        plane.clear();
        for (row, values) in frame.rows().into_iter().enumerate() {
            let start = plane.len();
            plane.extend(values);
            subtract(index, row, plane.get_mut(start..).unwrap_or_default());
        }
        match statistics::median_in_place(&mut plane) {
            Some(median) if median > 0.0 => scales.push(1.0 / median),
            median => {
                return Err(CalibrationError::NoLight { index, median: median.unwrap_or(0.0) });
            }
        }
    }
    let mut combined = combine_rows(frames, how, |index, row, values| {
        subtract(index, row, values);
        let scale = scales.get(index).copied().unwrap_or(1.0);
        values.iter_mut().for_each(|value| *value *= scale);
    })?;
    plane.clear();
    plane.extend(&combined);
    if let Some(median) = statistics::median_in_place(&mut plane).filter(|&median| median > 0.0) {
        combined.mapv_inplace(|value| value / median);
    }
    Ok(combined)
}

/// Sees that there are frames, all of one shape.
fn check_shapes(frames: &[Image]) -> Result<(), CalibrationError> {
    let expected = frames.first().ok_or(CalibrationError::NoFrames)?.dim();
    for (index, frame) in frames.iter().enumerate() {
        if frame.dim() != expected {
            return Err(CalibrationError::ShapeMismatch { index, found: frame.dim(), expected });
        }
    }
    Ok(())
}

/// Combines row by row; `prepare(frame, row, values)` may change a copy of each row first.
fn combine_rows(
    frames: &[Image],
    how: Combination,
    prepare: impl Fn(usize, usize, &mut [f32]),
) -> Result<Image, CalibrationError> {
    check_shapes(frames)?;
    let (rows, columns) = frames.first().map_or((0, 0), Image::dim);
    let mut combined = Image::zeros((rows, columns));
    let network = sorting_network(frames.len());
    let mut band = Image::zeros((frames.len(), columns));
    let mut lanes = vec![[0.0; LANES]; frames.len()];
    let mut slow = Vec::with_capacity(frames.len());
    for row in 0..rows {
        for (index, frame) in frames.iter().enumerate() {
            band.row_mut(index).assign(&frame.row(row));
            if let Some(values) = band.row_mut(index).as_slice_mut() {
                prepare(index, row, values);
            }
        }
        for start in (0..columns).step_by(LANES) {
            let width = LANES.min(columns - start);
            let mut is_finite = true;
            for (values, line) in lanes.iter_mut().zip(band.rows()) {
                for (value, &pixel) in values.iter_mut().zip(line.iter().skip(start).take(width)) {
                    *value = pixel;
                }
                is_finite &= values.iter().all(|value| value.is_finite());
            }
            let result = if is_finite {
                combine_lanes(&mut lanes, &network, how)
            } else {
                let mut result = [f32::NAN; LANES];
                for (lane, value) in result.iter_mut().enumerate() {
                    slow.clear();
                    slow.extend(lanes.iter().map(|values| values[lane]).filter(|v| v.is_finite()));
                    *value = combine_one(&mut slow, how);
                }
                result
            };
            for (offset, &value) in result.iter().take(width).enumerate() {
                combined[(row, start + offset)] = value;
            }
            // What the last, narrower block leaves in its lanes must not be taken for data that are not finite.
            if !is_finite {
                lanes.fill([0.0; LANES]);
            }
        }
    }
    Ok(combined)
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

fn combine_lanes(values: &mut [Lanes], network: &[(usize, usize)], how: Combination) -> Lanes {
    sort_lanes(values, network);
    let median = middle(values);
    let Combination::ClippedMean { sigma } = how else { return median };
    let mut distances: Vec<Lanes> = values
        .iter()
        .map(|values| std::array::from_fn(|lane| (values[lane] - median[lane]).abs()))
        .collect();
    sort_lanes(&mut distances, network);
    let deviation = middle(&distances);
    std::array::from_fn(|lane| {
        let limit = sigma
            * robust_deviation(deviation[lane], || {
                distances.iter().map(|distances| f64::from(distances[lane])).sum::<f64>()
                    / distances.len() as f64
            });
        clipped_mean(values.iter().map(|values| values[lane]), median[lane], limit)
    })
}

/// The slow way, for one pixel: the finite values alone.
fn combine_one(values: &mut [f32], how: Combination) -> f32 {
    let Some(median) = statistics::median_in_place(values) else { return f32::NAN };
    let Combination::ClippedMean { sigma } = how else { return median };
    let mut distances: Vec<f32> = values.iter().map(|value| (value - median).abs()).collect();
    let mean =
        distances.iter().map(|&distance| f64::from(distance)).sum::<f64>() / distances.len() as f64;
    let deviation = statistics::median_in_place(&mut distances).unwrap_or(0.0);
    clipped_mean(values.iter().copied(), median, sigma * robust_deviation(deviation, || mean))
}

fn robust_deviation(median_absolute: f32, mean_absolute: impl FnOnce() -> f64) -> f32 {
    if median_absolute > 0.0 {
        MEDIAN_DEVIATION_TO_SIGMA * median_absolute
    } else {
        MEAN_DEVIATION_TO_SIGMA * mean_absolute() as f32
    }
}

fn clipped_mean(values: impl Iterator<Item = f32>, median: f32, limit: f32) -> f32 {
    let (mut sum, mut count) = (0.0_f64, 0_u32);
    for value in values.filter(|value| (value - median).abs() <= limit) {
        sum += f64::from(value);
        count += 1;
    }
    // A limit below half a step between an even number of values can leave none.
    if count == 0 { median } else { (sum / f64::from(count)) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    const ORACLE: &str = include_str!("../../tests/oracles/calibration.json");

    /// The frames of tests/oracles/calibration.py: whole numbers from a remainder, some pixels missing.
    fn frame(index: usize, base: usize) -> Image {
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
    fn assert_close(found: &Image, name: &str) {
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
    fn flats_are_those_of_numpy() {
        let frames: Vec<Image> = (0..5).map(|index| frame(index, 5000 + 900 * index)).collect();
        let bias = frame(7, 300);
        let dark = frame(9, 2).mapv(|value| value / 50.0);
        let seconds = [2.0, 3.0, 4.5, 6.0, 8.0];
        let flat = combine_flats(&frames, &seconds, Some(&bias), Some(&dark), Combination::Median)
            .unwrap();
        assert_close(&flat, "flat");
    }

    #[test]
    fn what_cannot_be_combined_is_refused() {
        assert_eq!(combine(&[], Combination::Median), Err(CalibrationError::NoFrames));
        let frames = [Image::zeros((2, 3)), Image::zeros((3, 2))];
        let error = combine(&frames, Combination::Median).unwrap_err();
        assert_eq!(error.to_string(), "frame 1 is (3, 2) pixels, the first one (2, 3)");
        let dark = [Image::zeros((2, 3))];
        let error = combine_flats(&dark, &[1.0], None, None, Combination::Median).unwrap_err();
        assert_eq!(error, CalibrationError::NoLight { index: 0, median: 0.0 });
        assert!(combine_flats(&dark, &[], None, None, Combination::Median).is_err());
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
