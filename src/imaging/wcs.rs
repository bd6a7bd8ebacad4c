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
        let (dx, dy) = (x - self.reference_pixel.0, y - self.reference_pixel.1);
        let xi = self.cd[0][0] * dx + self.cd[0][1] * dy;
        let eta = self.cd[1][0] * dx + self.cd[1][1] * dy;
        self.reference_sky.offset_arcsec(xi * 3600.0, eta * 3600.0)
    }

    /// Pixel position of a sky position; `None` 90° or more from the reference, or for a singular matrix.
    pub fn sky_to_pixel(&self, sky: SkyPosition) -> Option<(f64, f64)> {
        let (sd, cd) = sky.dec_degrees.to_radians().sin_cos();
        let (s0, c0) = self.reference_sky.dec_degrees.to_radians().sin_cos();
        let (sa, ca) = (sky.ra_degrees - self.reference_sky.ra_degrees).to_radians().sin_cos();
        let den = sd * s0 + cd * c0 * ca;
        if den <= 0.0 {
            return None;
        }
        let xi = (cd * sa / den).to_degrees();
        let eta = ((sd * c0 - cd * s0 * ca) / den).to_degrees();
        let [[a, b], [c, d]] = self.cd;
        let det = a * d - b * c;
        if det == 0.0 {
            return None;
        }
        Some((
            self.reference_pixel.0 + (d * xi - b * eta) / det,
            self.reference_pixel.1 + (a * eta - c * xi) / det,
        ))
    }

    /// Geometric mean of the pixel scale, arcseconds per pixel.
    pub fn scale_arcsec(&self) -> f64 {
        (self.cd[0][0] * self.cd[1][1] - self.cd[0][1] * self.cd[1][0]).abs().sqrt() * 3600.0
    }
}
