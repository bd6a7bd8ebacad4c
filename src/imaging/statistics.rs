//! Robust statistics.

use super::Image;

/// Ratio of a Gaussian's standard deviation to its median absolute deviation.
const DEVIATION_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// Median of the finite values; reorders the slice. `None` for none.
///
/// An even number of values gives the mean of the middle two.
pub fn median_in_place(values: &mut [f32]) -> Option<f32> {
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
    let (lower, upper) = if values.len() < COUNTED {
        let (below, upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
        let upper = *upper;
        (if even { below.iter().copied().max_by(f32::total_cmp) } else { None }, upper)
    } else {
        let (upper, fewer) = counted(values, middle);
        let below = || values.iter().copied().filter(|value| value.total_cmp(&upper).is_lt());
        (if even && fewer == middle { below().max_by(f32::total_cmp) } else { Some(upper) }, upper)
    };
    if !even {
        return Some(upper);
    }
    let lower = lower?;
    // In double precision the sum of two large values cannot overflow.
    Some(((f64::from(lower) + f64::from(upper)) / 2.0) as f32)
}

/// From this many values on counting is faster than selecting.
const COUNTED: usize = 1 << 16;

/// The value of rank `rank` and how many are smaller: counts by the upper half of the ordered bits, then by the lower half of those
/// that share the upper.
fn counted(values: &[f32], rank: usize) -> (f32, usize) {
    // Bits that grow with the value (the order of `f32::total_cmp`).
    let key = |value: f32| {
        let bits = value.to_bits();
        bits ^ if bits >> 31 == 0 { 1 << 31 } else { u32::MAX }
    };
    let bin_of = |counts: &[u32], mut left: usize| {
        for (bin, &count) in counts.iter().enumerate() {
            match left.checked_sub(count as usize) {
                Some(rest) => left = rest,
                None => return (bin, left),
            }
        }
        (counts.len() - 1, left)
    };
    let mut counts = vec![0u32; 1 << 16];
    for &value in values {
        counts[(key(value) >> 16) as usize] += 1;
    }
    let (upper, left) = bin_of(&counts, rank);
    counts.fill(0);
    for &value in values {
        let key = key(value);
        if (key >> 16) as usize == upper {
            counts[(key & 0xffff) as usize] += 1;
        }
    }
    let (lower, equals_before) = bin_of(&counts, left);
    let key = (upper as u32) << 16 | lower as u32;
    let bits = key ^ if key >> 31 == 1 { 1 << 31 } else { u32::MAX };
    (f32::from_bits(bits), rank - equals_before)
}

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

/// Mean, median and standard deviation of a plane's finite values (all pixels, no clipping).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaneStatistics {
    pub mean: f64,
    pub median: f64,
    pub rms: f64,
}

/// Statistics of a whole plane. All are zero when no value is finite.
pub fn plane_statistics(plane: &Image) -> PlaneStatistics {
    let mut finite: Vec<f32> = plane.iter().copied().filter(|value| value.is_finite()).collect();
    let count = finite.len().max(1) as f64;
    let mean = finite.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    // Two passes: a large constant level must not drown a small scatter.
    let variance =
        finite.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    let median = median_in_place(&mut finite).map_or(0.0, f64::from);
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
