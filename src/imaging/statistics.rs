//! Robust statistics.

use super::{Image, bands};

/// Ratio of a Gaussian's standard deviation to its median absolute deviation.
const DEVIATION_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// Median of the finite values; reorders the slice. `None` for none.
///
/// An even number of values gives the mean of the middle two.
pub fn median_in_place(values: &mut [f32]) -> Option<f32> {
    if values.len() >= COUNTED {
        return median_of_values(values);
    }
    let mut finite = 0;
    for index in 0..values.len() {
        if values[index].is_finite() {
            values.swap(finite, index);
            finite += 1;
        }
    }
    let values = values.get_mut(..finite).filter(|values| !values.is_empty())?;
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    let upper = *upper;
    if !even {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f32::total_cmp)?;
    // In double precision the sum of two large values cannot overflow.
    Some(((f64::from(lower) + f64::from(upper)) / 2.0) as f32)
}

/// From this many values on counting is faster than selecting.
const COUNTED: usize = 1 << 16;

/// Median of finite double-precision values; reorders the slice. `None` for none.
fn median_of_finite(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if !even {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp)?;
    Some(lower / 2.0 + upper / 2.0)
}

/// Median and 1.4826 × median absolute deviation. `None` for no values.
///
/// Values that are not finite do not count.
pub fn median_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let mut finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let median = median_of_finite(&mut finite)?;
    for value in &mut finite {
        *value = (*value - median).abs();
    }
    let deviation = median_of_finite(&mut finite)?;
    Some((median, DEVIATION_TO_SIGMA * deviation))
}

/// Median of a plane's finite values, `None` for none: that of [`median_in_place`], in time that does not depend on the values, and
/// on all cores.
pub fn median_of_plane(plane: &Image) -> Option<f32> {
    match plane.as_slice() {
        Some(values) => median_of_values(values),
        None => median_in_place(&mut plane.iter().copied().collect::<Vec<f32>>()),
    }
}

/// As [`median_of_plane`].
pub(super) fn median_of_values(values: &[f32]) -> Option<f32> {
    let high = counts(values, |key| Some(key >> KEY_HALF));
    let count: u64 = high.iter().map(|&count| u64::from(count)).sum();
    let (lower, upper) = (count.checked_sub(1)? / 2, count / 2);
    // The upper half of the key, then the lower half among those that share it.
    let at = |rank: u64| {
        let (first, before) = place_of(&high, rank)?;
        let low = counts(values, |key| (key >> KEY_HALF == first).then_some(key & KEY_MASK));
        let (second, _) = place_of(&low, rank - before)?;
        Some(value_of(first << KEY_HALF | second))
    };
    let median = at(upper)?;
    if lower == upper {
        return Some(median);
    }
    Some(((f64::from(at(lower)?) + f64::from(median)) / 2.0) as f32)
}

/// Bits of half a key.
const KEY_HALF: u32 = 16;
const KEY_MASK: u32 = (1 << KEY_HALF) - 1;

/// Whole numbers in the order of the floats.
fn key_of(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn value_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// How many finite values have each half key that `half` gives.
fn counts(values: &[f32], half: impl Fn(u32) -> Option<u32> + Sync) -> Vec<u32> {
    let band = bands::rows_per_band(values.len().div_ceil(VALUES_AT_ONCE), VALUES_AT_ONCE);
    let bands = bands::each(values.chunks(band * VALUES_AT_ONCE).collect(), |values| {
        let mut counts = vec![0_u32; 1 << KEY_HALF];
        for value in values.iter().filter(|value| value.is_finite()) {
            if let Some(half) = half(key_of(*value)) {
                counts[(half & KEY_MASK) as usize] += 1;
            }
        }
        counts
    });
    let mut bands = bands.into_iter();
    let mut counts = bands.next().unwrap_or_default();
    for band in bands {
        counts.iter_mut().zip(band).for_each(|(sum, count)| *sum += count);
    }
    counts
}

/// The place at which the counts reach beyond `rank`, and how many are before it.
fn place_of(counts: &[u32], rank: u64) -> Option<(u32, u64)> {
    let mut before = 0;
    for (place, &count) in counts.iter().enumerate() {
        if before + u64::from(count) > rank {
            return Some((place as u32, before));
        }
        before += u64::from(count);
    }
    None
}

/// Mean, median and standard deviation of a plane's finite values (all pixels, no clipping).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaneStatistics {
    pub mean: f64,
    pub median: f64,
    pub rms: f64,
}

/// Values that are summed one after the other; the sums of such pieces are added in their order, however many cores there are.
const VALUES_AT_ONCE: usize = 1 << 14;

/// Sum of `value` over the finite values of the pieces, and how many there are.
fn total(pieces: &[&[f32]], value: impl Fn(f64) -> f64 + Sync) -> (f64, usize) {
    let sums = bands::map(pieces, |piece| {
        let finite = piece.iter().filter(|each| each.is_finite());
        finite.fold((0.0, 0), |(sum, count), each| (sum + value(f64::from(*each)), count + 1))
    });
    sums.into_iter().fold((0.0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

/// Statistics of a whole plane. All are zero when no value is finite.
pub fn plane_statistics(plane: &Image) -> PlaneStatistics {
    let owned: Vec<f32>;
    let values = match plane.as_slice() {
        Some(values) => values,
        None => {
            owned = plane.iter().copied().collect();
            &owned
        }
    };
    let pieces: Vec<&[f32]> = values.chunks(VALUES_AT_ONCE).collect();
    let (sum, count) = total(&pieces, |value| value);
    let count = count.max(1) as f64;
    let mean = sum / count;
    // Two passes: a large constant level must not drown a small scatter.
    let variance = total(&pieces, |value| (value - mean).powi(2)).0 / count;
    let median = median_of_values(values).map_or(0.0, f64::from);
    PlaneStatistics { mean, median, rms: variance.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_median_ignores_what_is_not_finite() {
        assert_eq!(median_in_place(&mut []), None);
        assert_eq!(median_in_place(&mut [f32::NAN, f32::INFINITY]), None);
        assert_eq!(median_in_place(&mut [3.0, f32::NAN, 1.0, 2.0]), Some(2.0));
        assert_eq!(median_in_place(&mut [4.0, 1.0, f32::NEG_INFINITY, 3.0, 2.0]), Some(2.5));
        assert_eq!(median_in_place(&mut [f32::MAX, f32::MAX]), Some(f32::MAX));
    }

    #[test]
    fn the_deviation_is_that_of_a_gaussian() {
        assert_eq!(median_and_deviation(&[]), None);
        assert_eq!(median_and_deviation(&[f64::NAN]), None);
        assert_eq!(median_and_deviation(&[5.0]), Some((5.0, 0.0)));
        let (median, deviation) = median_and_deviation(&[1.0, 2.0, 3.0, 4.0, 1000.0]).unwrap();
        assert_eq!(median, 3.0);
        assert!((deviation - 1.482_602_218_505_602).abs() < 1e-12);
    }

    #[test]
    fn a_plane_counts_its_finite_pixels_only() {
        let mut plane = Image::from_elem((2, 3), 1.0e6);
        plane[[0, 0]] = f32::NAN;
        plane[[1, 2]] = 1.0e6 + 5.0;
        let statistics = plane_statistics(&plane);
        assert!((statistics.mean - (1.0e6 + 1.0)).abs() < 1e-9);
        assert_eq!(statistics.median, 1.0e6);
        assert!((statistics.rms - 2.0).abs() < 1e-9);
        let nothing = plane_statistics(&Image::from_elem((2, 2), f32::NAN));
        assert_eq!(nothing, PlaneStatistics { mean: 0.0, median: 0.0, rms: 0.0 });
    }

    #[test]
    fn many_values_have_the_median_of_a_sorted_list() {
        let mut generator = crate::imaging::synthetic::Generator::new(5);
        for (count, scale) in [(COUNTED, 1.0), (COUNTED + 1, 1e-3), (100_000, 0.0), (90_001, 1e30)]
        {
            let mut values: Vec<f32> =
                (0..count).map(|_| (scale * generator.normal() - scale / 3.0) as f32).collect();
            values[7] = f32::NAN;
            let mut sorted: Vec<f32> =
                values.iter().copied().filter(|value| value.is_finite()).collect();
            sorted.sort_by(f32::total_cmp);
            let middle = sorted.len() / 2;
            let expected = match sorted.len() % 2 {
                1 => sorted[middle],
                _ => ((f64::from(sorted[middle - 1]) + f64::from(sorted[middle])) / 2.0) as f32,
            };
            assert_eq!(median_in_place(&mut values), Some(expected), "{count} {scale}");
        }
    }

    proptest! {
        #[test]
        fn the_median_of_a_plane_is_that_of_its_values(
            values in prop::collection::vec(any::<f32>(), 1..80),
            near in 0_usize..80,
        ) {
            // Some that differ in their last bits only.
            let mut values = values;
            let middle = values[values.len() / 2];
            values.extend((0..near).map(|step| middle * (1.0 + step as f32 * f32::EPSILON)));
            let found = median_of_values(&values);
            prop_assert_eq!(found, median_in_place(&mut values));
        }

        #[test]
        fn the_median_is_that_of_a_sorted_list(mut values in prop::collection::vec(-1e6f32..1e6, 1..60)) {
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            let middle = sorted.len() / 2;
            let expected = if sorted.len() % 2 == 1 {
                sorted[middle]
            } else {
                ((f64::from(sorted[middle - 1]) + f64::from(sorted[middle])) / 2.0) as f32
            };
            prop_assert_eq!(median_in_place(&mut values), Some(expected));
        }
    }
}
