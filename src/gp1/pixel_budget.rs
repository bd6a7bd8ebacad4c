//! Which frames are read again at a deadline: as many as there is time for.
//!
//! Every frame is in the stacks and in the source tables. Their pixels are read again to measure places where nothing was detected; with
//! large detectors and short cadences there is no time for that on every frame, and some, evenly spaced, stand for the others.

use super::measured_frame::MeasuredFrame;
use std::collections::BTreeMap;

/// Pixels read again at one deadline, about: 0.05 s a million on one core, ten seconds in all. It is an hour of frames of
/// 1024² one a minute three times over, and twelve of 4096².
pub const PIXELS_PER_DEADLINE: usize = 200_000_000;
/// Each camera and filter is read at least so often.
const LEAST_PER_SERIES: usize = 3;

/// The frames to be read, as indices in their order: all of them, or of each camera and filter the first, the last and
/// others evenly between them.
pub fn frames_to_read(frames: &[&MeasuredFrame], budget_pixels: usize) -> Vec<usize> {
    let pixels = |frame: &MeasuredFrame| frame.measurement.shape.0 * frame.measurement.shape.1;
    let total: usize = frames.iter().map(|frame| pixels(frame)).sum();
    if total <= budget_pixels {
        return (0..frames.len()).collect();
    }
    let mut series: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (index, frame) in frames.iter().enumerate() {
        let key = (frame.record.keywords.instrument.as_str(), frame.filter());
        series.entry(key).or_default().push(index);
    }
    let share = budget_pixels as f64 / total as f64;
    let mut chosen: Vec<usize> = series
        .values()
        .flat_map(|members| {
            let count = ((members.len() as f64 * share) as usize).max(LEAST_PER_SERIES);
            evenly_spaced(members.len(), count).into_iter().map(|place| members[place])
        })
        .collect();
    chosen.sort_unstable();
    chosen
}

/// `count` places of 0..length with both ends among them; all where there are no more.
fn evenly_spaced(length: usize, count: usize) -> Vec<usize> {
    if count >= length {
        return (0..length).collect();
    }
    let steps = count.saturating_sub(1).max(1);
    let mut places: Vec<usize> =
        (0..count).map(|step| (step * (length - 1) + steps / 2) / steps).collect();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_spread_with_both_ends() {
        assert_eq!(evenly_spaced(3, 5), [0, 1, 2]);
        assert_eq!(evenly_spaced(100, 3), [0, 50, 99]);
        assert_eq!(evenly_spaced(10, 4), [0, 3, 6, 9]);
        for (length, count) in [(360, 6), (361, 7), (7, 6)] {
            let places = evenly_spaced(length, count);
            assert_eq!(places.len(), count);
            assert_eq!((places[0], places[count - 1]), (0, length - 1));
        }
    }
}
