//! Combination of calibration frames into masters, and reduction of a raw frame with them.

use super::{CalibratedImage, Image, Mask};

/// How calibration frames are combined, pixel by pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Combination {
    Median,
    /// Mean after rejection of values farther than `sigma` robust deviations from the median.
    ClippedMean {
        sigma: f32,
    },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    #[error("no frames to combine")]
    NoFrames,
    #[error("frame {index} is {found:?} pixels, the first one {expected:?}")]
    ShapeMismatch { index: usize, found: (usize, usize), expected: (usize, usize) },
}

/// Combines frames of one shape. Memory: one output plane and one band of rows beside the inputs.
pub fn combine(frames: &[Image], how: Combination) -> Result<Image, CalibrationError> {
    let _ = (frames, how);
    unimplemented!()
}

/// Combines flats: each has bias and dark·t taken off (planes in data numbers; dark per second), is scaled to its own
/// median, then combined; the result has median 1. `exposures_seconds` runs parallel to `frames`.
pub fn combine_flats(
    frames: &[Image],
    exposures_seconds: &[f64],
    bias: Option<&Image>,
    dark_per_second: Option<&Image>,
    how: Combination,
) -> Result<Image, CalibrationError> {
    let _ = (frames, exposures_seconds, bias, dark_per_second, how);
    unimplemented!()
}

/// Level (data numbers) at which values pile up at the top of the histogram, if they do: saturation
/// measured, not assumed (anchors.md C3, trap 1). `None` when the maximum is not a pile-up.
pub fn measured_saturation(raw: &Image) -> Option<f32> {
    let _ = raw;
    unimplemented!()
}

/// Dead and hot pixels and bad columns seen in the masters themselves: flat response below 0.5 or above
/// 1.5 of its surroundings, dark rate above `hot_sigma` robust deviations, bias columns that stand out.
pub fn bad_pixels(
    bias: Option<&Image>,
    dark_per_second: Option<&Image>,
    flat: Option<&Image>,
    hot_sigma: f32,
) -> Option<Mask> {
    let _ = (bias, dark_per_second, flat, hot_sigma);
    unimplemented!()
}

/// All that the reduction of one frame needs. Planes in data numbers.
#[derive(Debug, Clone, Copy)]
pub struct ReductionInputs<'a> {
    pub raw: &'a Image,
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

/// `gain · (raw − bias − dark·t) / flat` in electrons, with the variance
/// `(max(signal, 0) + read noise²) / flat²` (signal in electrons before the flat) and the mask: bad, saturated, bleeding columns beside
/// saturated pixels. One pass over the pixels. Pixels with a flat below 0.1 are bad and set to 0.
pub fn reduce(inputs: &ReductionInputs<'_>) -> Result<CalibratedImage, CalibrationError> {
    let _ = inputs;
    unimplemented!()
}
