//! Matched filter: the significance of a point source of known width at every pixel.

use super::{
    Image,
    planes::{Planes, UNUSABLE},
};
use ndarray::Array2;

/// The kernel reaches so many standard deviations.
const REACH_SIGMA: f64 = 3.0;
/// Turns a full width at half maximum into a standard deviation.
const FWHM_TO_SIGMA: f64 = 0.424_660_900_144_009_5;

/// Background-subtracted light, smoothed, and its significance: the smoothed light over the noise that smoothing leaves of white
/// noise.
pub(super) struct Filtered {
    pub light: Image,
    pub significance: Image,
}

/// Convolves with a Gaussian of `fwhm_pixels`, rows first, then columns. Pixels that hold no light of the sky count as none.
pub(super) fn filter(planes: &Planes<'_>, fwhm_pixels: f64) -> Filtered {
    let kernel = kernel_of(fwhm_pixels);
    let (height, width) = (planes.height, planes.width);
    let mut light = Image::zeros((height, width));
    for row in 0..height {
        let (data, level, mask) =
            (planes.data_row(row), planes.level_row(row), planes.mask_row(row));
        let signal: Vec<f32> = data
            .iter()
            .zip(level)
            .zip(mask)
            .map(|((value, level), mask)| {
                let signal = value - level;
                if mask & UNUSABLE == 0 && signal.is_finite() { signal } else { 0.0 }
            })
            .collect();
        if let Some(output) = light.row_mut(row).as_slice_mut() {
            convolve(&signal, &kernel, output);
        }
    }
    let across = along_columns(&light, &kernel);
    // White noise of 1 leaves the square root of the sum of the squared kernel.
    let gain: f32 = kernel.iter().map(|weight| weight * weight).sum();
    let mut significance = across.clone();
    for row in 0..height {
        let noise = planes.noise_row(row);
        for (value, noise) in significance.row_mut(row).iter_mut().zip(noise) {
            let scale = gain * noise;
            *value = if scale > 0.0 { *value / scale } else { 0.0 };
        }
    }
    Filtered { light: across, significance }
}

fn kernel_of(fwhm_pixels: f64) -> Vec<f32> {
    let sigma = (FWHM_TO_SIGMA * fwhm_pixels).clamp(0.3, 50.0);
    let reach = (REACH_SIGMA * sigma).ceil() as i64;
    let weights: Vec<f64> =
        (-reach..=reach).map(|x| (-0.5 * (x as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}

/// Beyond the ends there is nothing.
fn convolve(input: &[f32], kernel: &[f32], output: &mut [f32]) {
    let reach = kernel.len() / 2;
    for (index, value) in output.iter_mut().enumerate() {
        let first = index.saturating_sub(reach);
        let last = (index + reach + 1).min(input.len());
        let offset = first + reach - index;
        *value = input[first..last].iter().zip(&kernel[offset..]).map(|(a, b)| a * b).sum();
    }
}

/// Columns by adding whole rows, in the order of memory.
fn along_columns(input: &Image, kernel: &[f32]) -> Image {
    let (height, width) = input.dim();
    let reach = kernel.len() / 2;
    let mut output = Array2::zeros((height, width));
    for row in 0..height {
        let first = row.saturating_sub(reach);
        let last = (row + reach + 1).min(height);
        let Some(sum) = output.row_mut(row).into_slice() else { continue };
        for other in first..last {
            let weight = kernel[other + reach - row];
            let source = input.row(other);
            for (value, light) in sum.iter_mut().zip(source) {
                *value += weight * light;
            }
        }
    }
    output
}
