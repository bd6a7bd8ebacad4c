//! Sky background on a mesh, in the manner of SExtractor (Bertin & Arnouts 1996, §3).

use super::{Image, Mask};

/// Background level and noise of every pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Background {
    pub level: Image,
    pub noise: Image,
    /// Medians over the mesh.
    pub global_level: f64,
    pub global_noise: f64,
}

/// Estimates the background of `data` in cells of `mesh_pixels`², clipped at 3σ about the median, median-filtered 3×3 over
/// the mesh, interpolated with bicubic splines. Masked pixels (any bit) do not count.
pub fn estimate(data: &Image, mask: &Mask, mesh_pixels: usize) -> Background {
    let _ = (data, mask, mesh_pixels);
    unimplemented!()
}
