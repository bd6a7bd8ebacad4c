//! Pixels that the calibration masters themselves show to be bad.

use super::{Image, Mask, mask_bits, statistics};

/// Side of the blocks whose medians stand for the surroundings of a pixel: wide enough not to follow a group of bad pixels, small
/// enough to follow vignetting.
const BLOCK: usize = 32;
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
    for plane in planes {
        for (flags, value) in mask.iter_mut().zip(plane) {
            if !value.is_finite() {
                *flags |= mask_bits::BAD;
            }
        }
    }
    if let Some(bias) = bias {
        mark_columns(&mut mask, bias, f64::from(hot_sigma));
    }
    if let Some(dark) = dark_per_second {
        let surroundings = block_medians(dark);
        let excess: Image = dark - &surroundings;
        let deviation = deviation(excess.iter().map(|&value| f64::from(value)));
        mark(&mut mask, &excess, |excess| {
            deviation > 0.0 && f64::from(excess) > f64::from(hot_sigma) * deviation
        });
    }
    if let Some(flat) = flat {
        let response: Image = flat / &block_medians(flat);
        mark(&mut mask, &response, |response| !RESPONSE.contains(&response));
    }
    Some(mask)
}

fn mark(mask: &mut Mask, plane: &Image, is_bad: impl Fn(f32) -> bool) {
    for (flags, &value) in mask.iter_mut().zip(plane) {
        if is_bad(value) {
            *flags |= mask_bits::BAD;
        }
    }
}

/// Each pixel's block median. A block without a finite value has 0.
fn block_medians(plane: &Image) -> Image {
    let mut medians = Image::zeros(plane.dim());
    let mut values = Vec::with_capacity(BLOCK * BLOCK);
    for (block, mut place) in plane
        .axis_chunks_iter(ndarray::Axis(0), BLOCK)
        .zip(medians.axis_chunks_iter_mut(ndarray::Axis(0), BLOCK))
    {
        for (block, mut place) in block
            .axis_chunks_iter(ndarray::Axis(1), BLOCK)
            .zip(place.axis_chunks_iter_mut(ndarray::Axis(1), BLOCK))
        {
            values.clear();
            values.extend(block.iter());
            place.fill(statistics::median_in_place(&mut values).unwrap_or(0.0));
        }
    }
    medians
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

fn mark_columns(mask: &mut Mask, bias: &Image, sigma: f64) {
    let mut values = Vec::new();
    let mut median = |values_of: &mut dyn Iterator<Item = f32>| {
        values.clear();
        values.extend(values_of);
        statistics::median_in_place(&mut values).map_or(0.0, f64::from)
    };
    let columns: Vec<f64> =
        bias.columns().into_iter().map(|column| median(&mut column.iter().copied())).collect();
    let differences: Vec<f64> = columns
        .iter()
        .enumerate()
        .map(|(index, level)| {
            let first = index.saturating_sub(COLUMN_REACH);
            let around = columns.iter().skip(first).take(index + COLUMN_REACH + 1 - first);
            level - median(&mut around.map(|&level| level as f32))
        })
        .collect();
    let pixel_noise = deviation(bias.rows().into_iter().flat_map(|row| {
        row.into_iter().zip(&columns).map(|(&value, &level)| f64::from(value) - level)
    }));
    let limit = (sigma * deviation(differences.iter().copied())).max(pixel_noise);
    for (mut column, difference) in mask.columns_mut().into_iter().zip(differences) {
        if difference.abs() > limit {
            column.mapv_inplace(|flags| flags | mask_bits::BAD);
        }
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
