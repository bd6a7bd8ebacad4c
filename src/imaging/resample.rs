//! Lanczos-3 resampling with variance and mask.

use super::CalibratedImage;

/// Resamples `input` onto a grid of `shape` (rows, columns). `to_input` gives, for an output pixel (x, y), the input
/// position. It is sampled on a coarse grid and interpolated, so it must be smooth. Flux per pixel area is kept when
/// multiplied by `area_ratio` (input pixels per output pixel). Output pixels that touch masked or missing input carry the bits;
/// those without any good input are NO_DATA and 0.
pub fn lanczos3(
    input: &CalibratedImage,
    shape: (usize, usize),
    to_input: &dyn Fn(f64, f64) -> (f64, f64),
    area_ratio: f64,
) -> CalibratedImage {
    let _ = (input, shape, to_input, area_ratio);
    unimplemented!()
}
