//! World coordinates: the gnomonic projection (TAN) with a CD matrix
//! (Greisen & Calabretta 2002, Calabretta & Greisen 2002 §5.1.3).

use crate::model::SkyPosition;

/// A TAN solution. Pixel coordinates are zero-based; `reference_pixel` is CRPIX − 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TangentPlane {
    pub reference_pixel: (f64, f64),
    pub reference_sky: SkyPosition,
    /// Degrees per pixel: `[[CD1_1, CD1_2], [CD2_1, CD2_2]]`.
    pub cd: [[f64; 2]; 2],
}

impl TangentPlane {
    /// North up, east left, `scale_degrees` per pixel.
    pub fn nominal(
        reference_pixel: (f64, f64),
        reference_sky: SkyPosition,
        scale_degrees: f64,
    ) -> Self {
        Self { reference_pixel, reference_sky, cd: [[-scale_degrees, 0.0], [0.0, scale_degrees]] }
    }

    /// Sky position of a pixel position.
    pub fn pixel_to_sky(&self, x: f64, y: f64) -> SkyPosition {
        let _ = (x, y);
        unimplemented!()
    }

    /// Pixel position of a sky position; `None` 90° or more from the reference, or for a singular matrix.
    pub fn sky_to_pixel(&self, sky: SkyPosition) -> Option<(f64, f64)> {
        let _ = sky;
        unimplemented!()
    }

    /// Geometric mean of the pixel scale, arcseconds per pixel.
    pub fn scale_arcsec(&self) -> f64 {
        unimplemented!()
    }
}
