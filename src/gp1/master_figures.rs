//! What the frames of a master say of the detector: levels, read noise, gain, and how well the master repeats.

use crate::imaging::{
    Image,
    photon_transfer::{gain_of_pair, outer_percentiles, read_noise, robust_difference},
    statistics::{median_and_deviation, plane_statistics},
};
use crate::model::{MasterFigures, Measured};

/// Fewest pairs of flats that give a gain.
const FEWEST_PAIRS: usize = 2;

/// Lowest and highest of the medians of frames less `zero`.
fn level(planes: &[Image], zero: Option<&Image>) -> Option<(f64, f64)> {
    let zero = zero.map_or(0.0, |plane| plane_statistics(plane).median);
    let medians = planes.iter().map(|plane| plane_statistics(plane).median - zero);
    medians.fold(None, |range, median| {
        let (low, high) = range.unwrap_or((median, median));
        Some((f64::min(low, median), f64::max(high, median)))
    })
}

/// Of bias frames in their order.
pub fn of_biases(planes: &[Image]) -> MasterFigures {
    let noises: Vec<f64> = planes
        .windows(2)
        .filter_map(|pair| match pair {
            [one, other] => read_noise(one, other),
            _ => None,
        })
        .collect();
    MasterFigures {
        level_dn: level(planes, None),
        read_noise_dn: median_and_deviation(&noises).map(|(median, _)| median),
        ..MasterFigures::default()
    }
}

/// Of dark frames, as they were read. The median of `frame − bias` is taken pixel by pixel: the bias is no whole number.
pub fn of_darks(planes: &[Image], bias: &Image) -> MasterFigures {
    let range = planes.iter().fold(None, |range: Option<(f64, f64)>, plane| {
        let median = plane_statistics(&(plane - bias)).median;
        let (low, high) = range.unwrap_or((median, median));
        Some((low.min(median), high.max(median)))
    });
    MasterFigures { level_dn: range, ..MasterFigures::default() }
}

/// Of flats in their order, as they were read. `read_noise_dn` is that of the biases, 0 if unknown.
pub fn of_flats(planes: &[Image], bias: Option<&Image>, read_noise_dn: f64) -> MasterFigures {
    let gains: Vec<f64> = planes
        .windows(2)
        .filter_map(|pair| match pair {
            [one, other] => gain_of_pair(one, other, bias, read_noise_dn),
            _ => None,
        })
        .collect();
    let gain_electrons = median_and_deviation(&gains).filter(|_| gains.len() >= FEWEST_PAIRS).map(
        |(value, deviation)| Measured { value, error: deviation / (gains.len() as f64).sqrt() },
    );
    MasterFigures {
        level_dn: level(planes, bias),
        gain_electrons,
        gain_pairs: gains.len(),
        ..MasterFigures::default()
    }
}

/// Adds what the master itself shows: its percentiles, and how the halves it was made of differ.
pub fn with_master(
    mut figures: MasterFigures,
    master: &Image,
    halves: Option<(&Image, &Image)>,
) -> MasterFigures {
    figures.percentiles = outer_percentiles(master);
    figures.half_difference = halves.and_then(|(one, other)| robust_difference(one, other));
    figures
}
