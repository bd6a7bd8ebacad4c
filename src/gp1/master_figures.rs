//! What the frames of a master say of the detector: levels, read noise, gain, and how well the master repeats.

use super::frame_pixels::FramePixels;
use crate::fits::FitsError;
use crate::imaging::{
    Image,
    photon_transfer::{gain_of_pair, outer_percentiles, read_noise, robust_difference},
    statistics::{median_and_deviation, median_of_plane},
};
use crate::model::{MasterFigures, Measured};

/// Fewest pairs of flats that give a gain.
const FEWEST_PAIRS: usize = 2;

/// Lowest and highest of the levels.
fn range(levels: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    levels.fold(None, |range, level| {
        let (low, high) = range.unwrap_or((level, level));
        Some((f64::min(low, level), f64::max(high, level)))
    })
}

/// Of bias frames in their order, with their medians.
pub fn of_biases(frames: &[FramePixels], medians: &[f64]) -> MasterFigures {
    let noises: Vec<f64> = frames
        .windows(2)
        .filter_map(|pair| match pair {
            [one, other] => read_noise(one, other),
            _ => None,
        })
        .collect();
    MasterFigures {
        level_dn: range(medians.iter().copied()),
        read_noise_dn: median_and_deviation(&noises).map(|(median, _)| median),
        ..MasterFigures::default()
    }
}

/// Of dark frames, as they were read. The median of `frame − bias` is taken pixel by pixel: the bias is no whole number.
///
/// # Errors
/// As [`FramePixels::image`].
pub fn of_darks(frames: &[FramePixels], bias: &Image) -> Result<MasterFigures, FitsError> {
    let mut levels = Vec::with_capacity(frames.len());
    for frame in frames {
        let light = frame.image()? - bias;
        levels.push(median_of_plane(&light).map_or(0.0, f64::from));
    }
    Ok(MasterFigures { level_dn: range(levels.into_iter()), ..MasterFigures::default() })
}

/// Of flats in their order, as they were read, with their medians. `read_noise_dn` is that of the biases, 0 if unknown.
///
/// # Errors
/// As [`FramePixels::image`].
pub fn of_flats(
    frames: &[FramePixels],
    medians: &[f64],
    bias: Option<&Image>,
    read_noise_dn: f64,
) -> Result<MasterFigures, FitsError> {
    let mut gains = Vec::new();
    let mut before: Option<Image> = None;
    for frame in frames {
        let image = frame.image()?;
        let pair = before.as_ref().map(|before| (before, &image));
        gains.extend(pair.and_then(|(one, other)| gain_of_pair(one, other, bias, read_noise_dn)));
        before = Some(image);
    }
    let gain_electrons = median_and_deviation(&gains).filter(|_| gains.len() >= FEWEST_PAIRS).map(
        |(value, deviation)| Measured { value, error: deviation / (gains.len() as f64).sqrt() },
    );
    let zero = bias.and_then(median_of_plane).map_or(0.0, f64::from);
    Ok(MasterFigures {
        level_dn: range(medians.iter().map(|median| median - zero)),
        gain_electrons,
        gain_pairs: gains.len(),
        ..MasterFigures::default()
    })
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
