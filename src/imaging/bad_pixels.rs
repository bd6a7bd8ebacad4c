//! Pixels that the calibration masters themselves show to be bad.

use ndarray::{CowArray, Ix2};

use super::{Image, Mask, bands, mask_bits, statistics};

/// Side of the blocks whose medians stand for the surroundings of a pixel: wide enough not to follow a group of bad pixels, small
/// enough to follow vignetting.
const BLOCK: usize = 32;
/// Every other row of a block tells its median as well as all do: to a twentieth of a pixel's noise.
const BLOCK_STEP: usize = 2;
/// Columns on each side with which a column of the bias is compared.
const COLUMN_REACH: usize = 8;
/// Response of a usable pixel, relative to its surroundings.
const RESPONSE: std::ops::RangeInclusive<f32> = 0.5..=1.5;
const MEAN_DEVIATION_TO_SIGMA: f64 = 1.253_314_137_315_5;

/// Dead and hot pixels and bad columns seen in the masters themselves: flat response below 0.5 or above
/// 1.5 of its surroundings, dark rate above `hot_sigma` robust deviations, bias columns that stand out.
///
/// A column of the bias stands out when its median differs from that of the columns around it by `hot_sigma` robust deviations of such
/// differences, and by the noise of a pixel: less than that harms no measurement. Values that are not finite are bad.
///
/// `None` without a plane, or when the planes differ in shape.
pub fn bad_pixels(
    bias: Option<&Image>,
    dark_per_second: Option<&Image>,
    flat: Option<&Image>,
    hot_sigma: f32,
) -> Option<Mask> {
    let planes: Vec<&Image> = [bias, dark_per_second, flat].into_iter().flatten().collect();
    let shape = planes.first()?.dim();
    if planes.iter().any(|plane| plane.dim() != shape) {
        return None;
    }
    let mut mask = Mask::zeros(shape);
    let planes: Vec<_> = planes.into_iter().map(|plane| plane.as_standard_layout()).collect();
    mark(&mut mask, |row, flags| {
        for plane in &planes {
            for (flags, value) in flags.iter_mut().zip(row_of(plane, row)) {
                *flags |= if value.is_finite() { 0 } else { mask_bits::BAD };
            }
        }
    });
    if let Some(bias) = bias {
        mark_columns(&mut mask, &bias.as_standard_layout(), hot_sigma);
    }
    if let Some(dark) = dark_per_second {
        let dark = dark.as_standard_layout();
        let surroundings = BlockMedians::of(&dark);
        let excess = |(row, column): (usize, usize)| {
            f64::from(dark[(row, column)]) - f64::from(surroundings.at(row, column))
        };
        let limit = f64::from(hot_sigma) * deviation(sampled(shape).map(excess));
        if limit > 0.0 {
            let limit = limit as f32;
            mark(&mut mask, |row, flags| {
                let medians = surroundings.row(row);
                let pixels = flags.chunks_mut(BLOCK).zip(row_of(&dark, row).chunks(BLOCK));
                for ((flags, values), median) in pixels.zip(medians) {
                    for (flags, value) in flags.iter_mut().zip(values) {
                        *flags |= if value - median > limit { mask_bits::BAD } else { 0 };
                    }
                }
            });
        }
    }
    if let Some(flat) = flat {
        let flat = flat.as_standard_layout();
        let surroundings = BlockMedians::of(&flat);
        mark(&mut mask, |row, flags| {
            let medians = surroundings.row(row);
            let pixels = flags.chunks_mut(BLOCK).zip(row_of(&flat, row).chunks(BLOCK));
            for ((flags, values), median) in pixels.zip(medians) {
                for (flags, value) in flags.iter_mut().zip(values) {
                    let is_good = RESPONSE.contains(&(value / median));
                    *flags |= if is_good { 0 } else { mask_bits::BAD };
                }
            }
        });
    }
    Some(mask)
}

/// Does `work` on each row of the mask: its number and its flags.
fn mark(mask: &mut Mask, work: impl Fn(usize, &mut [u8]) + Sync) {
    let width = mask.dim().1.max(1);
    let Some(flags) = mask.as_slice_mut() else { return };
    bands::of_plane(flags, width, 1, |first_row, flags| {
        for (offset, flags) in flags.chunks_mut(width).enumerate() {
            work(first_row + offset, flags);
        }
    });
}

/// A row of a plane in row-major order.
fn row_of<'a>(plane: &'a CowArray<'_, f32, Ix2>, row: usize) -> &'a [f32] {
    let width = plane.dim().1;
    let values = plane.as_slice().and_then(|values| values.get(row * width..(row + 1) * width));
    values.unwrap_or(&[])
}

/// The median of each block of a plane: its surroundings. A block without a finite value has 0.
struct BlockMedians {
    per_row: usize,
    medians: Vec<f32>,
}

impl BlockMedians {
    fn of(plane: &CowArray<'_, f32, Ix2>) -> Self {
        let (rows, columns) = plane.dim();
        let per_row = columns.div_ceil(BLOCK).max(1);
        let mut medians = vec![0.0; rows.div_ceil(BLOCK) * per_row];
        bands::of_plane(&mut medians, per_row, BLOCK * BLOCK, |first, medians| {
            let mut values = Vec::with_capacity(BLOCK * BLOCK);
            for (place, median) in medians.iter_mut().enumerate() {
                let (block_row, block_column) = (first + place / per_row, place % per_row);
                values.clear();
                let rows_of_block = block_row * BLOCK..((block_row + 1) * BLOCK).min(rows);
                for row in rows_of_block.step_by(BLOCK_STEP) {
                    let values_of_row = row_of(plane, row).chunks(BLOCK).nth(block_column);
                    values.extend_from_slice(values_of_row.unwrap_or(&[]));
                }
                *median = statistics::median_in_place(&mut values).unwrap_or(0.0);
            }
        });
        Self { per_row, medians }
    }

    /// Of the blocks that a row of pixels crosses.
    fn row(&self, row: usize) -> &[f32] {
        let first = row / BLOCK * self.per_row;
        self.medians.get(first..first + self.per_row).unwrap_or(&[])
    }

    fn at(&self, row: usize, column: usize) -> f32 {
        self.row(row).get(column / BLOCK).copied().unwrap_or(0.0)
    }
}

/// Pixels of which a deviation is taken: enough to know it to half a per cent.
const SAMPLE: usize = 1 << 16;

/// Rows and columns of at most [`SAMPLE`] pixels spread evenly over an image, all columns alike.
fn sampled((rows, columns): (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    let columns = columns.max(1);
    let count = rows * columns;
    let has_common_factor = |step: &usize| {
        let (mut one, mut other) = (*step, columns);
        while other > 0 {
            (one, other) = (other, one % other);
        }
        one > 1
    };
    let step = (count.div_ceil(SAMPLE).max(1)..).find(|step| !has_common_factor(step)).unwrap_or(1);
    (0..count).step_by(step).map(move |place| (place / columns, place % columns))
}

/// Robust deviation around the median; where most values are the same, from the mean absolute deviation.
fn deviation(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    match statistics::median_and_deviation(&values) {
        Some((_, deviation)) if deviation > 0.0 => deviation,
        Some((median, _)) => {
            let sum: f64 = values.iter().map(|value| (value - median).abs()).sum();
            MEAN_DEVIATION_TO_SIGMA * sum / values.len() as f64
        }
        None => 0.0,
    }
}

/// Columns taken out of an image at once: as many values as a line of the cache holds.
const COLUMNS_AT_ONCE: usize = 16;

/// Median of each column.
fn column_medians(plane: &CowArray<'_, f32, Ix2>) -> Vec<f32> {
    let (rows, columns) = plane.dim();
    let mut medians = vec![0.0; columns];
    bands::of_plane(&mut medians, COLUMNS_AT_ONCE, rows, |first, medians| {
        let mut values: [Vec<f32>; COLUMNS_AT_ONCE] =
            std::array::from_fn(|_| Vec::with_capacity(rows));
        for (group, medians) in medians.chunks_mut(COLUMNS_AT_ONCE).enumerate() {
            let start = (first + group) * COLUMNS_AT_ONCE;
            values.iter_mut().for_each(Vec::clear);
            for row in 0..rows {
                for (values, &value) in values.iter_mut().zip(row_of(plane, row).iter().skip(start))
                {
                    values.push(value);
                }
            }
            for (median, values) in medians.iter_mut().zip(&mut values) {
                *median = statistics::median_in_place(values).unwrap_or(0.0);
            }
        }
    });
    medians
}

fn mark_columns(mask: &mut Mask, bias: &CowArray<'_, f32, Ix2>, sigma: f32) {
    let columns = column_medians(bias);
    let differences: Vec<f64> = columns
        .iter()
        .enumerate()
        .map(|(index, &level)| {
            let first = index.saturating_sub(COLUMN_REACH);
            let around = columns.iter().skip(first).take(index + COLUMN_REACH + 1 - first);
            let mut around: Vec<f32> = around.copied().collect();
            f64::from(level) - statistics::median_in_place(&mut around).map_or(0.0, f64::from)
        })
        .collect();
    let above_column = |(row, column): (usize, usize)| {
        f64::from(bias[(row, column)]) - columns.get(column).copied().map_or(0.0, f64::from)
    };
    let pixel_noise = deviation(sampled(bias.dim()).map(above_column));
    let limit = (f64::from(sigma) * deviation(differences.iter().copied())).max(pixel_noise);
    let bad: Vec<u8> = differences
        .iter()
        .map(|difference| if difference.abs() > limit { mask_bits::BAD } else { 0 })
        .collect();
    if bad.iter().any(|flag| *flag != 0) {
        mark(mask, |_, flags| {
            flags.iter_mut().zip(&bad).for_each(|(flags, bad)| *flags |= bad);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_distr::{Distribution, Normal};

    fn noise(level: f32, sigma: f32) -> Image {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let normal = Normal::new(level, sigma).unwrap();
        Image::from_shape_simple_fn((100, 150), || normal.sample(&mut random))
    }

    fn marked(mask: &Mask) -> Vec<(usize, usize)> {
        mask.indexed_iter()
            .filter(|(_, flags)| **flags == mask_bits::BAD)
            .map(|(place, _)| place)
            .collect()
    }

    #[test]
    fn bad_pixels_are_found_in_each_master_and_good_ones_are_left() {
        let mut dark = noise(0.1, 0.01);
        dark[(3, 4)] = 2.0;
        let mut flat = noise(1.0, 0.01);
        // Vignetting alone is no defect.
        for ((row, _), value) in flat.indexed_iter_mut() {
            *value *= 1.0 - 0.6 * (row as f32 / 100.0).powi(2);
        }
        flat[(50, 60)] *= 0.4;
        flat[(51, 60)] *= 1.7;
        flat[(52, 60)] = f32::NAN;
        let mask = bad_pixels(None, Some(&dark), Some(&flat), 8.0).unwrap();
        assert_eq!(marked(&mask), [(3, 4), (50, 60), (51, 60), (52, 60)]);
    }

    #[test]
    fn a_bias_column_that_stands_out_is_bad() {
        let mut bias = noise(640.0, 0.8);
        for row in 0..100 {
            bias[(row, 77)] += 12.0;
            // A step of a tenth of the noise between columns harms nothing.
            bias[(row, 20)] += 0.1;
        }
        let mask = bad_pixels(Some(&bias), None, None, 8.0).unwrap();
        let expected: Vec<(usize, usize)> = (0..100).map(|row| (row, 77)).collect();
        assert_eq!(marked(&mask), expected);
    }

    #[test]
    fn without_planes_or_with_unequal_ones_there_is_no_mask() {
        assert_eq!(bad_pixels(None, None, None, 5.0), None);
        let (one, other) = (Image::zeros((2, 2)), Image::zeros((2, 3)));
        assert_eq!(bad_pixels(Some(&one), Some(&other), None, 5.0), None);
        let constant = Image::from_elem((40, 40), 1.0);
        let mask = bad_pixels(Some(&constant), Some(&constant), Some(&constant), 5.0).unwrap();
        assert!(marked(&mask).is_empty());
    }
}
