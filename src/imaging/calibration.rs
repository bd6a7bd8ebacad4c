//! Reduction of a raw frame with the masters: data numbers become electrons with variance and mask.

pub use super::bad_pixels::bad_pixels;
pub use super::combination::{Combination, combine, combine_darks};
pub use super::flat_combination::{FlatZero, combine_flats, combine_flats_of_levels, flat_levels};
pub use super::saturation::{measured_saturation, saturation_of_levels};
use super::{
    CalibratedImage, Image, Mask, bands, combination::PixelRows, mask_bits, statistics,
    widest::widest,
};
use std::borrow::Cow;

/// Why frames cannot be combined or reduced: always the caller's input, another try will not help.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    #[error("no frames to combine")]
    NoFrames,
    /// In [`reduce`] the index is 1 for the bias, 2 for the dark, 3 for the flat, 4 for the bad pixels; in [`combine_flats`] the
    /// number of frames stands for bias or dark.
    #[error("frame {index} is {found:?} pixels, the first one {expected:?}")]
    ShapeMismatch { index: usize, found: (usize, usize), expected: (usize, usize) },
    #[error("{exposures} exposure times for {frames} frames")]
    ExposureCount { frames: usize, exposures: usize },
    #[error("frame {index} cannot be read: {what}")]
    Unreadable { index: usize, what: String },
    #[error("flat {index} has no light in it: its median is {median} without bias and dark")]
    NoLight { index: usize, median: f32 },
}

/// All that the reduction of one frame needs. Planes in data numbers.
#[derive(Clone, Copy)]
pub struct ReductionInputs<'a> {
    pub raw: &'a dyn PixelRows,
    pub bias: Option<&'a Image>,
    pub dark_per_second: Option<&'a Image>,
    /// Median 1.
    pub flat: Option<&'a Image>,
    pub bad_pixels: Option<&'a Mask>,
    pub exposure_seconds: f64,
    /// Electrons per data number.
    pub gain_electrons: f64,
    pub read_noise_electrons: f64,
    /// Data numbers in the raw frame.
    pub saturation: f64,
}

/// A pixel with less response than this is not used.
const LEAST_RESPONSE: f32 = 0.1;
/// Variance of a pixel of which nothing is known, electrons².
const UNKNOWN_VARIANCE: f32 = 1e12;

/// `gain · (raw − bias − dark·t) / flat` in electrons, with the variance
/// `(max(signal, 0) + read noise²) / flat²` (signal in electrons before the flat) and the mask: bad, saturated, bleeding columns beside
/// saturated pixels. One pass over the pixels. Pixels with a flat below 0.1 are bad and set to 0, as are those whose value or
/// variance would not be finite; their variance is that of a flat of 1, or 10¹² where that is not finite either.
///
/// # Errors
/// [`CalibrationError::ShapeMismatch`] if the planes differ in shape, [`CalibrationError::Unreadable`] if the raw frame cannot be
/// read.
pub fn reduce(inputs: &ReductionInputs<'_>) -> Result<CalibratedImage, CalibrationError> {
    let reducer = RowReducer::new(inputs)?;
    let shape = inputs.raw.dim();
    let mut reduced = CalibratedImage {
        data: Image::zeros(shape),
        variance: Image::zeros(shape),
        mask: Mask::zeros(shape),
    };
    let (Some(data), Some(variance), Some(mask)) =
        (reduced.data.as_slice_mut(), reduced.variance.as_slice_mut(), reduced.mask.as_slice_mut())
    else {
        return Ok(reduced);
    };
    let per_band = bands::rows_per_band(shape.0, shape.1);
    let band = (per_band * shape.1).max(1);
    let jobs = data.chunks_mut(band).zip(variance.chunks_mut(band)).zip(mask.chunks_mut(band));
    let outcomes = bands::each(jobs.enumerate().collect(), |(number, ((data, variance), mask))| {
        let piece = (ROWS_AT_ONCE * shape.1).max(1);
        let pieces = data.chunks_mut(piece).zip(variance.chunks_mut(piece));
        let mut has_saturated = false;
        for (index, ((data, variance), mask)) in pieces.zip(mask.chunks_mut(piece)).enumerate() {
            let first_row = number * per_band + index * ROWS_AT_ONCE;
            has_saturated |= reducer.make_rows(first_row, data, variance, mask)?;
        }
        Ok(has_saturated)
    });
    let has_saturated: Vec<bool> = outcomes
        .into_iter()
        .collect::<Result<_, String>>()
        .map_err(|what| CalibrationError::Unreadable { index: 0, what })?;
    if has_saturated.contains(&true) {
        reducer.mark_bleeding(&mut reduced.mask);
    }
    Ok(reduced)
}

/// Rows of the raw frame that are read at once: they stay in the cache.
const ROWS_AT_ONCE: usize = 4;

/// The reduction of a frame whose rows can be made in any order and from any thread.
pub struct RowReducer<'a> {
    inputs: ReductionInputs<'a>,
    /// A master that is missing is a row of zeros, or of ones: one loop for all cases, without a branch.
    zeros: Vec<f32>,
    ones: Vec<f32>,
    good: Vec<u8>,
}

impl<'a> RowReducer<'a> {
    /// # Errors
    /// [`CalibrationError::ShapeMismatch`] if the planes differ in shape.
    pub fn new(inputs: &ReductionInputs<'a>) -> Result<Self, CalibrationError> {
        let shape = inputs.raw.dim();
        let found = [
            inputs.bias.map(Image::dim),
            inputs.dark_per_second.map(Image::dim),
            inputs.flat.map(Image::dim),
            inputs.bad_pixels.map(Mask::dim),
        ];
        for (index, found) in (1..).zip(found) {
            if let Some(found) = found.filter(|&found| found != shape) {
                return Err(CalibrationError::ShapeMismatch { index, found, expected: shape });
            }
        }
        let width = shape.1;
        Ok(Self {
            inputs: *inputs,
            zeros: vec![0.0; width],
            ones: vec![1.0; width],
            good: vec![0; width],
        })
    }

    /// Makes the rows from `first_row` on, as many as the three slices hold: electrons, electrons², mask without bleeding. Whether
    /// there is a saturated pixel among them.
    ///
    /// # Errors
    /// In words, if the raw frame has no such rows or they cannot be read.
    pub fn make_rows(
        &self,
        first_row: usize,
        data: &mut [f32],
        variance: &mut [f32],
        mask: &mut [u8],
    ) -> Result<bool, String> {
        let width = self.zeros.len().max(1);
        let mut raw = vec![0.0; data.len()];
        self.inputs.raw.read(first_row, &mut raw)?;
        let outputs = data.chunks_mut(width).zip(variance.chunks_mut(width));
        let outputs = outputs.zip(mask.chunks_mut(width)).zip(raw.chunks(width));
        let mut has_saturated = false;
        for (row, (((data, variance), mask), raw)) in (first_row..).zip(outputs) {
            has_saturated |= make_row(self, row, raw, data, variance, mask);
        }
        Ok(has_saturated)
    }

    /// Follows each run of saturated pixels along its column, both ways, while the pixels stand well above those beside them.
    pub fn mark_bleeding(&self, mask: &mut Mask) {
        let sky = self.sky_level();
        let mut saturated: Vec<(usize, usize)> = mask
            .indexed_iter()
            .filter(|(_, flags)| **flags & mask_bits::SATURATED != 0)
            .map(|((row, column), _)| (column, row))
            .collect();
        saturated.sort_unstable();
        let rows = mask.dim().0;
        for (column, row) in saturated {
            let mut follow = |path: &mut dyn Iterator<Item = usize>| {
                for row in path {
                    if mask[(row, column)] & (mask_bits::SATURATED | mask_bits::BLEED) != 0
                        || !self.is_bleeding(sky, row, column)
                    {
                        break;
                    }
                    mask[(row, column)] |= mask_bits::BLEED;
                }
            };
            follow(&mut (0..row).rev());
            follow(&mut (row + 1..rows));
        }
    }

    /// Median of a sample of the raw frame.
    fn sky_level(&self) -> f32 {
        let (rows, columns) = self.inputs.raw.dim();
        let step = (rows * columns).div_ceil(SKY_SAMPLE).max(1);
        let places = (0..rows * columns).step_by(step);
        let mut sample: Vec<f32> =
            places.map(|place| self.inputs.raw.pixel(place / columns, place % columns)).collect();
        statistics::median_in_place(&mut sample).unwrap_or(0.0)
    }

    fn is_bleeding(&self, sky: f32, row: usize, column: usize) -> bool {
        let inputs = &self.inputs;
        let columns = inputs.raw.dim().1;
        let mut beside: Vec<f32> = BLEED_REACH
            .flat_map(|reach| [column.checked_sub(reach), column.checked_add(reach)])
            .flatten()
            .filter(|place| *place < columns)
            .map(|place| inputs.raw.pixel(row, place))
            .collect();
        let Some(level) = statistics::median_in_place(&mut beside) else { return false };
        let value = inputs.raw.pixel(row, column);
        let gain = inputs.gain_electrons as f32;
        let bias = inputs.bias.map_or(0.0, |bias| bias[(row, column)]);
        let read_noise = inputs.read_noise_electrons as f32 / gain;
        let noise = ((level - bias).max(0.0) / gain + read_noise * read_noise).sqrt();
        value - level > BLEED_SIGMA * noise && value - sky > BLEED_CONTRAST * (level - sky)
    }
}

widest! {
/// Makes one row of a reduction; whether there is a saturated pixel in it.
fn make_row<'a>(
    reducer: &'a RowReducer<'a>,
    row: usize,
    raw: &'a [f32],
    data: &'a mut [f32],
    variance: &'a mut [f32],
    mask: &'a mut [u8],
) -> bool {
    let inputs = &reducer.inputs;
    let gain = inputs.gain_electrons as f32;
    let read_variance = (inputs.read_noise_electrons * inputs.read_noise_electrons) as f32;
    let spare = if read_variance.is_finite() { read_variance } else { UNKNOWN_VARIANCE };
    let seconds = inputs.dark_per_second.map_or(0.0, |_| inputs.exposure_seconds as f32);
    let saturation = inputs.saturation as f32;
    let bias =
        inputs.bias.map_or(Cow::Borrowed(&reducer.zeros[..]), |plane| row_of(plane, row));
    let dark = inputs
        .dark_per_second
        .map_or(Cow::Borrowed(&reducer.zeros[..]), |plane| row_of(plane, row));
    let flat = inputs.flat.map_or(Cow::Borrowed(&reducer.ones[..]), |plane| row_of(plane, row));
    let bad =
        inputs.bad_pixels.map_or(Cow::Borrowed(&reducer.good[..]), |plane| row_of(plane, row));
    let masters = bias.iter().zip(dark.iter()).zip(flat.iter());
    for (((value, noise), &counts), ((&bias, &dark), &response)) in
        data.iter_mut().zip(variance.iter_mut()).zip(raw).zip(masters)
    {
        let signal = gain * (counts - bias - dark * seconds);
        let square = signal.max(0.0) + read_variance;
        let (light, scatter) = (signal / response, square / (response * response));
        // No number is within these bounds if it is not finite.
        let is_good = (LEAST_RESPONSE..=f32::MAX).contains(&response)
            & (light.abs() <= f32::MAX)
            & (scatter <= f32::MAX);
        *value = if is_good { light } else { f32::NAN };
        *noise = if is_good {
            scatter
        } else if square <= f32::MAX {
            square
        } else {
            spare
        };
    }
    let mut saturated_bits = 0;
    for (((flags, &bad), &counts), value) in
        mask.iter_mut().zip(bad.iter()).zip(raw).zip(data.iter_mut())
    {
        let saturated = if counts >= saturation { mask_bits::SATURATED } else { 0 };
        let is_good = value.abs() <= f32::MAX;
        *flags = bad | saturated | if is_good { 0 } else { mask_bits::BAD };
        *value = if is_good { *value } else { 0.0 };
        saturated_bits |= saturated;
    }
    saturated_bits != 0
}
}

/// Columns on each side with which a pixel of a bleeding column is compared: beyond a few columns that bleed together, within the
/// reach of the same star.
const BLEED_REACH: std::ops::RangeInclusive<usize> = 3..=8;
/// A bleeding pixel stands above its neighbours by so many deviations of their noise, and is so many times as bright above the sky:
/// along a column the wings of a star stay nearer to their neighbours than that.
const BLEED_SIGMA: f32 = 5.0;
const BLEED_CONTRAST: f32 = 2.0;
/// Pixels from which the sky level is taken.
const SKY_SAMPLE: usize = 1 << 18;

/// A row of a plane, without a copy where its pixels lie side by side.
fn row_of<T: Copy>(plane: &ndarray::Array2<T>, row: usize) -> Cow<'_, [T]> {
    let view = plane.row(row);
    match view.to_slice() {
        Some(pixels) => Cow::Borrowed(pixels),
        None => Cow::Owned(view.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    const ORACLE: &str = include_str!("../../tests/oracles/calibration.json");

    fn inputs(raw: &Image) -> ReductionInputs<'_> {
        ReductionInputs {
            raw,
            bias: None,
            dark_per_second: None,
            flat: None,
            bad_pixels: None,
            exposure_seconds: 60.0,
            gain_electrons: 6.2,
            read_noise_electrons: 8.0,
            saturation: 7000.0,
        }
    }

    /// As in tests/oracles/calibration.py.
    fn remainder(salt: usize) -> Image {
        Array2::from_shape_fn((5, 37), |(row, column)| {
            let seed = salt * 7919 + row * 104_729 + column * 1_299_709;
            (seed * seed % 97) as f32
        })
    }

    #[test]
    fn a_reduced_frame_is_the_formula_of_numpy() {
        let oracle: serde_json::Value = serde_json::from_str(ORACLE).unwrap();
        let raw = remainder(1) * 20.0 + 310.0;
        let bias = remainder(2) * 0.1 + 300.0;
        let dark = remainder(3) * 0.001;
        let flat = remainder(4) * 0.004 + 0.8;
        let reduced = reduce(&ReductionInputs {
            bias: Some(&bias),
            dark_per_second: Some(&dark),
            flat: Some(&flat),
            ..inputs(&raw)
        })
        .unwrap();
        for (plane, name) in [(&reduced.data, "reduced"), (&reduced.variance, "variance")] {
            for (found, expected) in plane.iter().zip(oracle[name].as_array().unwrap()) {
                let expected = expected.as_f64().unwrap();
                // Tolerance: 32-bit rounding of the raw value (2400) in electrons, twice.
                let tolerance = 2e-7 * expected.abs() + 2e-3;
                assert!(
                    (f64::from(*found) - expected).abs() < tolerance,
                    "{name}: {found} {expected}"
                );
            }
        }
        assert!(reduced.mask.iter().all(|&flags| flags == 0));
    }

    #[test]
    fn unusable_pixels_are_zero_and_flagged() {
        let mut raw = Image::from_elem((2, 3), 100.0);
        raw[(0, 0)] = f32::NAN;
        raw[(1, 2)] = 7000.0;
        let mut flat = Image::from_elem((2, 3), 1.0);
        flat[(0, 1)] = 0.05;
        flat[(0, 2)] = f32::NAN;
        let mut bad = Mask::zeros((2, 3));
        bad[(1, 0)] = mask_bits::BAD;
        let reduced =
            reduce(&ReductionInputs { flat: Some(&flat), bad_pixels: Some(&bad), ..inputs(&raw) })
                .unwrap();
        let flags: Vec<u8> = reduced.mask.iter().copied().collect();
        assert_eq!(flags, [1, 1, 1, 1, 0, mask_bits::SATURATED]);
        assert_eq!(reduced.data.row(0).to_vec(), [0.0, 0.0, 0.0]);
        assert_eq!(reduced.data[(1, 0)], 620.0);
        assert!(reduced.variance.iter().all(|&variance| variance.is_finite() && variance > 0.0));
        let small = Image::zeros((1, 1));
        let error = reduce(&ReductionInputs { flat: Some(&small), ..inputs(&raw) }).unwrap_err();
        assert_eq!(
            error,
            CalibrationError::ShapeMismatch { index: 3, found: (1, 1), expected: (2, 3) }
        );
    }

    #[test]
    fn a_bleeding_column_is_followed_and_the_wings_of_a_star_are_not() {
        let star = |row: usize, column: usize| {
            let radius = (row as f32 - 60.0).powi(2) + (column as f32 - 40.0).powi(2);
            200_000.0 * (1.0 + radius / 10.0).powf(-3.0)
        };
        let mut raw = Array2::from_shape_fn((120, 80), |(row, column)| 310.0 + star(row, column));
        for row in 30..100 {
            raw[(row, 40)] += 4000.0;
        }
        raw.mapv_inplace(|value: f32| value.min(7000.0));
        let reduced = reduce(&inputs(&raw)).unwrap();
        let column: Vec<u8> = reduced.mask.column(40).to_vec();
        assert!(
            column[30..100]
                .iter()
                .all(|&flags| flags & (mask_bits::BLEED | mask_bits::SATURATED) != 0)
        );
        assert_eq!(column[30], mask_bits::BLEED);
        assert_eq!(column[60], mask_bits::SATURATED);
        assert!(column[..30].iter().chain(&column[100..]).all(|&flags| flags == 0));
        // Beside the column only the star's steep core, next to its saturated pixels, is taken for bleeding.
        for ((row, column), flags) in reduced.mask.indexed_iter() {
            if column != 40 && flags & mask_bits::BLEED != 0 {
                assert!(row.abs_diff(60) < 12 && column.abs_diff(40) < 9, "{row} {column}");
            }
        }
    }
}
