//! Medians of the few pixels of a window.

/// Unlike `f32::min` it costs one instruction; values are finite.
pub(super) fn lesser(one: f32, other: f32) -> f32 {
    if one < other { one } else { other }
}

pub(super) fn greater(one: f32, other: f32) -> f32 {
    if one > other { one } else { other }
}

/// Median of an odd number of finite values.
pub(super) fn median<const COUNT: usize>(values: &[f32; COUNT]) -> f32 {
    let mut values = *values;
    *values.select_nth_unstable_by(COUNT / 2, f32::total_cmp).1
}

/// The greatest of the least, the middle of the middles and the least of the greatest of three columns: of these three the middle
/// is the median of all.
pub(super) fn median_of_nine(values: [f32; 9]) -> f32 {
    let columns: [[f32; 3]; 3] = std::array::from_fn(|column| {
        ordered(values[column], values[column + 3], values[column + 6])
    });
    let [one, two, three] = columns;
    ordered(
        greater(greater(one[0], two[0]), three[0]),
        ordered(one[1], two[1], three[1])[1],
        lesser(lesser(one[2], two[2]), three[2]),
    )[1]
}

fn ordered(one: f32, two: f32, three: f32) -> [f32; 3] {
    let (low, high) = (lesser(one, two), greater(one, two));
    let (middle, greatest) = (lesser(high, three), greater(high, three));
    [lesser(low, middle), greater(low, middle), greatest]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_median_of_nine_is_the_fifth(values in prop::array::uniform9(-5_i8..5)) {
            let mut sorted = values;
            sorted.sort_unstable();
            prop_assert_eq!(median_of_nine(values.map(f32::from)), f32::from(sorted[4]));
        }

        #[test]
        fn the_median_of_25_is_the_thirteenth(values in prop::array::uniform25(-9_i8..9)) {
            let mut sorted = values;
            sorted.sort_unstable();
            prop_assert_eq!(median(&values.map(f32::from)), f32::from(sorted[12]));
        }
    }
}
