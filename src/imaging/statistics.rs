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
    let (below, upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    let upper = *upper;
    if !even {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f32::total_cmp)?;
    // In double precision the sum of two large values cannot overflow.
    Some(((f64::from(lower) + f64::from(upper)) / 2.0) as f32)
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
