//! Combination of flats: what is not light is taken off each, and each is brought to one level.

use super::calibration::CalibrationError;
use super::combination::{Combination, PixelRows, check_shapes, combine_prepared};
use super::{Image, bands, statistics};

/// What is taken off flats before they are combined: planes in data numbers, the dark per second.
#[derive(Debug, Clone, Copy, Default)]
pub struct FlatZero<'a> {
    pub bias: Option<&'a Image>,
    pub dark_per_second: Option<&'a Image>,
}

impl FlatZero<'_> {
    fn take_off(&self, seconds: f64, row: usize, values: &mut [f32]) {
        if let Some(bias) = self.bias {
            values.iter_mut().zip(bias.row(row)).for_each(|(value, bias)| *value -= bias);
        }
        if let Some(dark) = self.dark_per_second {
            let seconds = seconds as f32;
            values.iter_mut().zip(dark.row(row)).for_each(|(value, dark)| *value -= dark * seconds);
        }
    }
}

/// Combines flats: each has bias and dark·t taken off, is scaled to its own median, then combined; the result has median 1.
/// `exposures_seconds` runs parallel to `frames`.
///
/// # Errors
/// As [`combine`](super::combination::combine) and [`flat_levels`].
pub fn combine_flats<F: PixelRows>(
    frames: &[F],
    exposures_seconds: &[f64],
    zero: FlatZero<'_>,
    how: Combination,
) -> Result<Image, CalibrationError> {
    let levels = flat_levels(frames, exposures_seconds, zero)?;
    combine_flats_of_levels(frames, exposures_seconds, &levels, zero, how)
}

/// Median of each flat less bias and dark·t. Memory: one plane.
///
/// # Errors
/// [`CalibrationError::NoFrames`], [`CalibrationError::ShapeMismatch`], [`CalibrationError::Unreadable`];
/// [`CalibrationError::ExposureCount`] if the two lists differ in length; [`CalibrationError::NoLight`] for a flat whose median is
/// not positive.
pub fn flat_levels<F: PixelRows>(
    frames: &[F],
    exposures_seconds: &[f64],
    zero: FlatZero<'_>,
) -> Result<Vec<f32>, CalibrationError> {
    check_shapes(frames)?;
    if exposures_seconds.len() != frames.len() {
        return Err(CalibrationError::ExposureCount {
            frames: frames.len(),
            exposures: exposures_seconds.len(),
        });
    }
    let expected = frames.first().map_or((0, 0), PixelRows::dim);
    for plane in [zero.bias, zero.dark_per_second].into_iter().flatten() {
        if plane.dim() != expected {
            let (index, found) = (frames.len(), plane.dim());
            return Err(CalibrationError::ShapeMismatch { index, found, expected });
        }
    }
    let width = expected.1.max(1);
    let mut plane = vec![0.0; expected.0 * expected.1];
    let mut levels = Vec::with_capacity(frames.len());
    for (index, (frame, &seconds)) in frames.iter().zip(exposures_seconds).enumerate() {
        let band = bands::rows_per_band(expected.0, width);
        let jobs: Vec<(usize, &mut [f32])> = plane.chunks_mut(band * width).enumerate().collect();
        let read = bands::each(jobs, |(number, values)| {
            frame.read(number * band, values)?;
            for (offset, values) in values.chunks_exact_mut(width).enumerate() {
                zero.take_off(seconds, number * band + offset, values);
            }
            Ok(())
        });
        let read: Result<(), String> = read.into_iter().collect();
        read.map_err(|what| CalibrationError::Unreadable { index, what })?;
        match statistics::median_of_values(&plane) {
            Some(level) if level > 0.0 => levels.push(level),
            level => {
                return Err(CalibrationError::NoLight { index, median: level.unwrap_or(0.0) });
            }
        }
    }
    Ok(levels)
}

/// As [`combine_flats`], with the medians of the flats known ([`flat_levels`]).
///
/// # Errors
/// As [`combine`](super::combination::combine).
pub fn combine_flats_of_levels<F: PixelRows>(
    frames: &[F],
    exposures_seconds: &[f64],
    levels: &[f32],
    zero: FlatZero<'_>,
    how: Combination,
) -> Result<Image, CalibrationError> {
    let mut combined = combine_prepared(frames, how, |index, row, values| {
        zero.take_off(exposures_seconds.get(index).copied().unwrap_or_default(), row, values);
        let scale = 1.0 / levels.get(index).copied().unwrap_or(1.0);
        values.iter_mut().for_each(|value| *value *= scale);
    })?;
    let median = statistics::median_of_plane(&combined).filter(|&median| median > 0.0);
    if let Some(median) = median {
        combined.mapv_inplace(|value| value / median);
    }
    Ok(combined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::combination::tests::{assert_close, frame};

    #[test]
    fn flats_are_those_of_numpy() {
        let frames: Vec<Image> = (0..5).map(|index| frame(index, 5000 + 900 * index)).collect();
        let bias = frame(7, 300);
        let dark = frame(9, 2).mapv(|value| value / 50.0);
        let seconds = [2.0, 3.0, 4.5, 6.0, 8.0];
        let zero = FlatZero { bias: Some(&bias), dark_per_second: Some(&dark) };
        let flat = combine_flats(&frames, &seconds, zero, Combination::Median).unwrap();
        assert_close(&flat, "flat");
    }

    #[test]
    fn what_is_no_flat_is_refused() {
        let dark = [Image::zeros((2, 3))];
        let zero = FlatZero::default();
        let error = combine_flats(&dark, &[1.0], zero, Combination::Median).unwrap_err();
        assert_eq!(error, CalibrationError::NoLight { index: 0, median: 0.0 });
        assert!(combine_flats(&dark, &[], zero, Combination::Median).is_err());
    }
}
