//! What crosses a single frame and is no source: cosmic rays and satellite trails, masked.

use crate::imaging::{
    CalibratedImage, background,
    cosmic_rays::{self, CosmicRayParameters},
    trails::{self, TrailParameters},
};

/// Masks cosmic rays, then trails on what is left. Returns the lines for HISTORY.
pub fn mask_contamination(
    image: &mut CalibratedImage,
    parameters: &CosmicRayParameters,
    mesh_pixels: usize,
) -> Vec<String> {
    let struck = cosmic_rays::mark(image, parameters);
    let background = background::estimate(&image.data, &image.mask, mesh_pixels);
    let trails = trails::mark(image, &background, &TrailParameters::default());
    let mut lines = vec![format!("cosmic rays: {struck} pixels (van Dokkum 2001)")];
    lines.extend(trails.iter().map(|trail| {
        // Of a line, 0 along the rows.
        let degrees = trail.along_y.atan2(trail.along_x).to_degrees().rem_euclid(180.0);
        format!(
            "trail: through x {:.1}, y {:.1} at {degrees:.2} degrees, {:.0} pixels wide",
            trail.x + 1.0,
            trail.y + 1.0,
            2.0 * trail.half_width_pixels
        )
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{Image, Mask, mask_bits};

    #[test]
    fn what_was_masked_is_said() {
        let shape = (200, 200);
        // Whole numbers without a pattern, of a deviation of about ten.
        let noise = |row: usize, column: usize| {
            let seed = (row * 1_000_003 + column * 7_919 + 17).wrapping_mul(2_654_435_761);
            ((seed >> 7) % 35) as f32 - 17.0
        };
        let data = Image::from_shape_fn(shape, |(row, column)| {
            let trail = if row.abs_diff(100) < 2 { 200.0 } else { 0.0 };
            100.0 + noise(row, column) + trail
        });
        let mut image = CalibratedImage {
            data,
            variance: Image::from_elem(shape, 100.0),
            mask: Mask::zeros(shape),
        };
        image.data[[30, 40]] += 500.0;
        let lines = mask_contamination(&mut image, &CosmicRayParameters::default(), 64);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("cosmic rays: 1 pixels"), "{lines:?}");
        assert!(lines[1].contains(" degrees, "), "{lines:?}");
        assert_ne!(image.mask[[30, 40]] & mask_bits::COSMIC, 0);
        assert_ne!(image.mask[[100, 120]] & mask_bits::COSMIC, 0);
        assert_eq!(image.mask[[60, 60]], 0);
    }
}
