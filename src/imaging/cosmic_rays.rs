//! Cosmic rays on a single frame: L.A.Cosmic (van Dokkum 2001, PASP 113, 1420).
//!
//! A pixel is struck when the Laplacian of the image there, in units of the noise and less the median of its surroundings (S′),
//! exceeds a limit, and exceeds the fine structure of the image, which stars have and cosmic rays lack, by a factor. Pixels beside
//! struck ones are held to lower limits. Struck pixels are replaced by the median of the good ones around, and the search
//! is repeated, so that broad tracks are taken from their edges inwards.

use super::{
    CalibratedImage,
    laplacian::{LaplacianPlanes, Limits},
    mask_bits,
};

/// Where the noise of a pixel comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoiseModel {
    /// The median of the variance plane over five by five pixels. The median, because the variance of a struck pixel holds the
    /// photon noise of its own charge.
    VariancePlane,
    /// √(median₅(data) / gain + (read noise / gain)²), as in the paper, for images without variance (§3.2). The sky must not have
    /// been taken off.
    LocalMedian {
        /// Electrons per unit of the data; 1 for electrons.
        electrons_per_unit: f32,
        read_noise_electrons: f32,
    },
}

/// Parameters of the search; the defaults suit images with stars of a full width of two pixels and more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosmicRayParameters {
    /// Least S′ of a struck pixel, and of its neighbours in the first growth: standard deviations.
    pub sigma_limit: f32,
    /// Least S′ of pixels beside those, as a share of `sigma_limit`.
    pub neighbour_fraction: f32,
    /// Least ratio of S′ to the fine structure. Stars of a full width of 2.0 pixels reach 1.2, of 1.8 pixels 1.7, in the worst
    /// position on the pixels; faint ones scatter about that by their noise.
    pub object_contrast: f32,
    /// The same for pixels beside those. The paper has none, 0; then two bright stars side by side, each of which takes the other's
    /// fine structure away, lose their cores when one of their pixels is taken for struck.
    pub neighbour_contrast: f32,
    /// Least ratio of S′ to the greatest fine structure of the pixels around, without which the flank of a star beside another one is
    /// taken for struck. The paper has none, 0.
    pub flank_contrast: f32,
    /// Most passes; a pass that finds nothing is the last.
    pub iterations: usize,
    pub noise: NoiseModel,
    /// A group of saturated pixels is a star when the median of five by five pixels about one of them has this share of its
    /// height above the sky, or where charge bled from it; otherwise it is searched like any other pixels.
    pub saturated_light_share: f32,
    /// Pixels around a saturated star and its bleeding that are left alone.
    pub saturation_growth_pixels: usize,
}

impl Default for CosmicRayParameters {
    fn default() -> Self {
        Self {
            sigma_limit: 5.0,
            neighbour_fraction: 0.5,
            object_contrast: 5.0,
            neighbour_contrast: 2.5,
            flank_contrast: 0.5,
            iterations: 4,
            noise: NoiseModel::VariancePlane,
            saturated_light_share: 0.1,
            saturation_growth_pixels: 3,
        }
    }
}

/// Finds the pixels (row, column) struck by cosmic rays, in order. Masked pixels and such without a value are neither found nor
/// looked at; none are found where the planes differ in shape.
pub fn find(image: &CalibratedImage, parameters: &CosmicRayParameters) -> Vec<(usize, usize)> {
    let Some(mut planes) = LaplacianPlanes::new(image, parameters.noise) else {
        return Vec::new();
    };
    planes.protect_saturated(
        image,
        parameters.saturated_light_share,
        parameters.saturation_growth_pixels,
    );
    let limit = parameters.sigma_limit;
    let first = Limits {
        significance: limit,
        contrast: parameters.object_contrast,
        flank_contrast: parameters.flank_contrast,
    };
    let beside = Limits { contrast: parameters.neighbour_contrast, flank_contrast: 0.0, ..first };
    let faint_beside = Limits { significance: limit * parameters.neighbour_fraction, ..beside };
    let mut found = Vec::new();
    let mut candidates = planes.candidates(limit);
    for _ in 0..parameters.iterations {
        candidates.retain(|&place| planes.is_struck(place, first));
        if candidates.is_empty() {
            break;
        }
        let mut struck = candidates;
        planes.grow(&mut struck, beside);
        planes.grow(&mut struck, faint_beside);
        planes.clean(&struck);
        candidates = planes.candidates_around(&struck, limit);
        found.extend(struck);
    }
    found.sort_unstable();
    let width = planes.width();
    found.into_iter().map(|place| (place / width, place % width)).collect()
}

/// Sets [`mask_bits::COSMIC`] on the pixels that [`find`] finds; data and variance stay as they are. Returns how many.
pub fn mark(image: &mut CalibratedImage, parameters: &CosmicRayParameters) -> usize {
    let struck = find(image, parameters);
    for &pixel in &struck {
        image.mask[pixel] |= mask_bits::COSMIC;
    }
    struck.len()
}
