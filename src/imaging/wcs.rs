//! World coordinates: the gnomonic projection (TAN) with a CD matrix
//! (Greisen & Calabretta 2002, Calabretta & Greisen 2002 §5.1.3).

use super::alignment::AffineTransform;
use super::linear_fit::{PointPair, fit_affine, fit_similarity};
use crate::model::SkyPosition;

/// A TAN solution. Pixel coordinates are zero-based; `reference_pixel` is CRPIX − 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TangentPlane {
    pub reference_pixel: (f64, f64),
    pub reference_sky: SkyPosition,
    /// Degrees per pixel: `[[CD1_1, CD1_2], [CD2_1, CD2_2]]`.
    pub cd: [[f64; 2]; 2],
}

/// The numbers of the FITS cards of a TAN solution, in FITS convention: CRPIX counts from one, degrees.
/// CTYPE is `RA---TAN`, `DEC--TAN`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TangentPlaneCards {
    pub crpix1: f64,
    pub crpix2: f64,
    pub crval1: f64,
    pub crval2: f64,
    pub cd1_1: f64,
    pub cd1_2: f64,
    pub cd2_1: f64,
    pub cd2_2: f64,
}

/// A pixel position whose sky position is known, for [`TangentPlane::fit`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelSkyPair {
    pub pixel: (f64, f64),
    pub sky: SkyPosition,
    /// 1 / variance; only ratios matter.
    pub weight: f64,
}

/// Position in the tangent plane at `tangent`, degrees: ξ to the east, η to the north. `None` 90° or more away.
///
/// The numerator of η is written with sin(δ − δ₀) so that nothing is lost to cancellation near the tangent point.
pub fn sky_to_standard(tangent: SkyPosition, sky: SkyPosition) -> Option<(f64, f64)> {
    let (sin_reference, cos_reference) = tangent.dec_degrees.to_radians().sin_cos();
    let (sin_dec, cos_dec) = sky.dec_degrees.to_radians().sin_cos();
    // Exact for whole turns, so that a field across 0 h does not lose digits.
    let delta_ra = (sky.ra_degrees - tangent.ra_degrees + 180.0).rem_euclid(360.0) - 180.0;
    let (sin_ra, cos_ra) = delta_ra.to_radians().sin_cos();
    let cosine = sin_dec * sin_reference + cos_dec * cos_reference * cos_ra;
    if cosine.is_nan() || cosine <= 1e-12 {
        return None;
    }
    let half_ra = (delta_ra.to_radians() / 2.0).sin();
    let north = (sky.dec_degrees - tangent.dec_degrees).to_radians().sin()
        + 2.0 * cos_dec * sin_reference * half_ra * half_ra;
    Some(((cos_dec * sin_ra / cosine).to_degrees(), (north / cosine).to_degrees()))
}

/// The inverse of [`sky_to_standard`].
pub fn standard_to_sky(tangent: SkyPosition, xi_degrees: f64, eta_degrees: f64) -> SkyPosition {
    let (xi, eta) = (xi_degrees.to_radians(), eta_degrees.to_radians());
    let (sin_reference, cos_reference) = tangent.dec_degrees.to_radians().sin_cos();
    let toward_pole = cos_reference - eta * sin_reference;
    let ra = tangent.ra_degrees + xi.atan2(toward_pole).to_degrees();
    let dec = (sin_reference + eta * cos_reference).atan2(xi.hypot(toward_pole)).to_degrees();
    SkyPosition::new(ra, dec)
}

/// A CD matrix from CDELT1, CDELT2 and CROTA2 (degrees), the older way to write a rotation
/// (Greisen & Calabretta 2002, §6.1; Calabretta & Greisen 2002, eq. 189).
pub fn cd_from_rotation(cdelt: (f64, f64), crota2_degrees: f64) -> [[f64; 2]; 2] {
    let (sine, cosine) = crota2_degrees.to_radians().sin_cos();
    [[cdelt.0 * cosine, -cdelt.1 * sine], [cdelt.0 * sine, cdelt.1 * cosine]]
}

/// A CD matrix from CDELT1, CDELT2 and a PC matrix (Greisen & Calabretta 2002, §2.1.2).
pub fn cd_from_pc(cdelt: (f64, f64), pc: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
    [[cdelt.0 * pc[0][0], cdelt.0 * pc[0][1]], [cdelt.1 * pc[1][0], cdelt.1 * pc[1][1]]]
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

    /// From FITS cards. `None` for numbers that are no solution: not finite, a declination beyond a pole,
    /// a singular matrix.
    pub fn from_cards(cards: &TangentPlaneCards) -> Option<Self> {
        let plane = Self {
            reference_pixel: (cards.crpix1 - 1.0, cards.crpix2 - 1.0),
            reference_sky: SkyPosition::new(cards.crval1, cards.crval2),
            cd: [[cards.cd1_1, cards.cd1_2], [cards.cd2_1, cards.cd2_2]],
        };
        let usable = plane.reference_pixel.0.is_finite()
            && plane.reference_pixel.1.is_finite()
            && plane.reference_sky.ra_degrees.is_finite()
            && (-90.0..=90.0).contains(&plane.reference_sky.dec_degrees)
            && plane.inverse_cd().is_some();
        usable.then_some(plane)
    }

    /// The numbers to write as FITS cards.
    pub fn to_cards(&self) -> TangentPlaneCards {
        TangentPlaneCards {
            crpix1: self.reference_pixel.0 + 1.0,
            crpix2: self.reference_pixel.1 + 1.0,
            crval1: self.reference_sky.ra_degrees,
            crval2: self.reference_sky.dec_degrees,
            cd1_1: self.cd[0][0],
            cd1_2: self.cd[0][1],
            cd2_1: self.cd[1][0],
            cd2_2: self.cd[1][1],
        }
    }

    /// Position in the tangent plane (ξ east, η north, degrees) of a pixel position.
    pub fn pixel_to_standard(&self, x: f64, y: f64) -> (f64, f64) {
        self.offset_to_standard((x - self.reference_pixel.0, y - self.reference_pixel.1))
    }

    /// Position in the tangent plane of a place given in pixels from the reference pixel.
    pub fn offset_to_standard(&self, (u, v): (f64, f64)) -> (f64, f64) {
        (self.cd[0][0] * u + self.cd[0][1] * v, self.cd[1][0] * u + self.cd[1][1] * v)
    }

    /// Sky position of a pixel position.
    pub fn pixel_to_sky(&self, x: f64, y: f64) -> SkyPosition {
        let (xi, eta) = self.pixel_to_standard(x, y);
        standard_to_sky(self.reference_sky, xi, eta)
    }

    /// Pixel position of a sky position; `None` 90° or more from the reference, or for a singular matrix.
    pub fn sky_to_pixel(&self, sky: SkyPosition) -> Option<(f64, f64)> {
        let (xi, eta) = sky_to_standard(self.reference_sky, sky)?;
        let (u, v) = self.standard_to_offset(xi, eta)?;
        let (x, y) = (self.reference_pixel.0 + u, self.reference_pixel.1 + v);
        (x.is_finite() && y.is_finite()).then_some((x, y))
    }

    /// Pixels from the reference pixel of a position in the tangent plane (ξ east, η north, degrees); `None` for a singular
    /// matrix.
    pub fn standard_to_offset(&self, xi: f64, eta: f64) -> Option<(f64, f64)> {
        let [[a, b], [c, d]] = self.inverse_cd()?;
        Some((a * xi + b * eta, c * xi + d * eta))
    }

    /// Geometric mean of the pixel scale, arcseconds per pixel.
    pub fn scale_arcsec(&self) -> f64 {
        self.determinant().abs().sqrt() * 3600.0
    }

    /// Position angle of the image's +y axis at the reference pixel, from north through east, in −180..180.
    pub fn position_angle_degrees(&self) -> f64 {
        self.cd[0][1].atan2(self.cd[1][1]).to_degrees()
    }

    /// Whether the image is mirrored: with north up, east is to the right.
    pub fn is_mirrored(&self) -> bool {
        self.determinant() > 0.0
    }

    /// Least-squares solution with six coefficients through pixel and sky positions. `reference_pixel` (best the centre
    /// of the image) is kept and its sky position found: the fit is repeated in the plane that touches
    /// the sky there. `None` for fewer than three usable pairs, pairs on one line, or pairs spread over half the sky.
    pub fn fit(pairs: &[PixelSkyPair], reference_pixel: (f64, f64)) -> Option<Self> {
        Self::fit_with(pairs, reference_pixel, fit_affine)
    }

    /// As [`TangentPlane::fit`] with four coefficients: square pixels, `mirrored` or not. For a handful of pairs, whose noise
    /// six coefficients would follow into the corners. `None` for fewer than two usable pairs.
    pub fn fit_square(
        pairs: &[PixelSkyPair],
        reference_pixel: (f64, f64),
        mirrored: bool,
    ) -> Option<Self> {
        // East is to the left in an image that is not mirrored, so that its matrix is the reflection.
        Self::fit_with(pairs, reference_pixel, |pairs| fit_similarity(pairs, !mirrored))
    }

    fn fit_with(
        pairs: &[PixelSkyPair],
        reference_pixel: (f64, f64),
        fit_plane: impl Fn(&[PointPair]) -> Option<AffineTransform>,
    ) -> Option<Self> {
        let mut tangent = mean_direction(pairs)?;
        for _ in 0..20 {
            let plane_pairs: Vec<PointPair> = pairs
                .iter()
                .filter_map(|pair| {
                    let to = sky_to_standard(tangent, pair.sky)?;
                    let from = (pair.pixel.0 - reference_pixel.0, pair.pixel.1 - reference_pixel.1);
                    Some(PointPair { from, to, weight: pair.weight })
                })
                .collect();
            let fit = fit_plane(&plane_pairs)?;
            let next = standard_to_sky(tangent, fit.c, fit.f);
            let moved = fit.c.hypot(fit.f);
            // The matrix holds for the plane at `tangent`; it is the answer once that is the reference.
            if moved < 1e-13 {
                let cd = [[fit.a, fit.b], [fit.d, fit.e]];
                let plane = Self { reference_pixel, reference_sky: tangent, cd };
                return plane.inverse_cd().map(|_| plane);
            }
            if !next.ra_degrees.is_finite() || !next.dec_degrees.is_finite() {
                return None;
            }
            if moved < 1e-11 {
                // Below the rounding of a right ascension in degrees no step improves anything.
                let cd = [[fit.a, fit.b], [fit.d, fit.e]];
                let plane = Self { reference_pixel, reference_sky: next, cd };
                return plane.inverse_cd().map(|_| plane);
            }
            tangent = next;
        }
        None
    }

    fn determinant(&self) -> f64 {
        self.cd[0][0] * self.cd[1][1] - self.cd[0][1] * self.cd[1][0]
    }

    fn inverse_cd(&self) -> Option<[[f64; 2]; 2]> {
        let determinant = self.determinant();
        let largest = self.cd.iter().flatten().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        if !determinant.is_finite() || determinant.abs() <= 1e-12 * largest * largest {
            return None;
        }
        Some([
            [self.cd[1][1] / determinant, -self.cd[0][1] / determinant],
            [-self.cd[1][0] / determinant, self.cd[0][0] / determinant],
        ])
    }
}

/// Direction of the mean of unit vectors: no trouble with right ascension at 0 h or at a pole.
fn mean_direction(pairs: &[PixelSkyPair]) -> Option<SkyPosition> {
    let mut sum = [0.0_f64; 3];
    for pair in pairs {
        let (sin_ra, cos_ra) = pair.sky.ra_degrees.to_radians().sin_cos();
        let (sin_dec, cos_dec) = pair.sky.dec_degrees.to_radians().sin_cos();
        let direction = [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec];
        if direction.iter().all(|component| component.is_finite()) {
            for (total, component) in sum.iter_mut().zip(direction) {
                *total += component;
            }
        }
    }
    let in_equator = sum[0].hypot(sum[1]);
    if in_equator.hypot(sum[2]) < 1e-6 {
        return None;
    }
    let ra = sum[1].atan2(sum[0]).to_degrees();
    Some(SkyPosition::new(ra, sum[2].atan2(in_equator).to_degrees()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Written by `tests/oracles/wcs.py` with astropy.
    const ORACLE: &str = include_str!("../../tests/oracles/wcs.json");

    fn number(value: &Value, key: &str) -> f64 {
        value[key].as_f64().unwrap()
    }

    /// Name, plane, and (x, y, sky) of some points.
    type OraclePlane = (String, TangentPlane, Vec<(f64, f64, SkyPosition)>);

    fn oracle_planes() -> Vec<OraclePlane> {
        let oracle: Value = serde_json::from_str(ORACLE).unwrap();
        let cases = oracle["cases"].as_array().unwrap();
        cases
            .iter()
            .map(|case| {
                let plane = TangentPlane::from_cards(&TangentPlaneCards {
                    crpix1: number(case, "crpix1"),
                    crpix2: number(case, "crpix2"),
                    crval1: number(case, "crval1"),
                    crval2: number(case, "crval2"),
                    cd1_1: number(case, "cd1_1"),
                    cd1_2: number(case, "cd1_2"),
                    cd2_1: number(case, "cd2_1"),
                    cd2_2: number(case, "cd2_2"),
                })
                .unwrap();
                let points = case["points"].as_array().unwrap().iter().map(|point| {
                    let value = |index: usize| point[index].as_f64().unwrap();
                    (value(0), value(1), SkyPosition::new(value(2), value(3)))
                });
                (case["name"].as_str().unwrap().to_owned(), plane, points.collect())
            })
            .collect()
    }

    #[test]
    fn agrees_with_astropy_to_a_billionth_of_a_pixel() {
        let planes = oracle_planes();
        assert!(planes.len() >= 8);
        for (name, plane, points) in planes {
            for (x, y, sky) in points {
                let (back_x, back_y) = plane.sky_to_pixel(sky).unwrap();
                assert!((back_x - x).hypot(back_y - y) < 1e-9, "{name}: {x} {y} {back_x} {back_y}");
                let separation = plane.pixel_to_sky(x, y).separation_arcsec(sky);
                assert!(separation / plane.scale_arcsec() < 1e-9, "{name}: {separation:e}");
            }
        }
    }

    #[test]
    fn fit_recovers_the_plane_from_its_own_positions() {
        for (name, plane, points) in oracle_planes() {
            let pairs: Vec<_> = points
                .iter()
                .map(|&(x, y, sky)| PixelSkyPair { pixel: (x, y), sky, weight: 1.0 })
                .collect();
            let fitted = TangentPlane::fit(&pairs, plane.reference_pixel).unwrap();
            for (x, y, sky) in points {
                let (back_x, back_y) = fitted.sky_to_pixel(sky).unwrap();
                assert!((back_x - x).hypot(back_y - y) < 1e-6, "{name}");
            }
            // At a pole itself the right ascension of the reference, and with it the angle, is arbitrary.
            if plane.reference_sky.dec_degrees.abs() < 89.999 {
                let turned = fitted.position_angle_degrees() - plane.position_angle_degrees();
                let turned = (turned + 180.0).rem_euclid(360.0) - 180.0;
                assert!(turned.abs() < 1e-6, "{name}: {turned:e}");
            }
            assert_eq!(fitted.is_mirrored(), plane.is_mirrored(), "{name}");
        }
    }

    #[test]
    fn four_coefficients_hold_square_pixels_of_either_parity() {
        for mirrored in [false, true] {
            let cdelt = (if mirrored { 2e-4 } else { -2e-4 }, 2e-4);
            let plane = TangentPlane {
                reference_pixel: (500.0, 480.0),
                reference_sky: SkyPosition::new(0.001, 70.0),
                cd: cd_from_rotation(cdelt, 33.0),
            };
            let pairs: Vec<_> = [(10.0, 20.0), (900.0, 30.0), (400.0, 800.0)]
                .iter()
                .map(|&(x, y)| PixelSkyPair {
                    pixel: (x, y),
                    sky: plane.pixel_to_sky(x, y),
                    weight: 1.0,
                })
                .collect();
            let fitted = TangentPlane::fit_square(&pairs, (500.0, 480.0), mirrored).unwrap();
            let error =
                fitted.pixel_to_sky(0.0, 0.0).separation_arcsec(plane.pixel_to_sky(0.0, 0.0));
            assert!(error < 1e-6, "{error}");
            assert_eq!(fitted.is_mirrored(), mirrored);
        }
        assert_eq!(TangentPlane::fit_square(&[], (0.0, 0.0), false), None);
    }

    #[test]
    fn orientation_is_told() {
        let sky = SkyPosition::new(10.0, 20.0);
        let upright = TangentPlane::nominal((512.0, 512.0), sky, 0.0002);
        assert!(!upright.is_mirrored());
        assert_eq!(upright.position_angle_degrees(), 0.0);
        assert!((upright.scale_arcsec() - 0.72).abs() < 1e-12);
        let turned = TangentPlane { cd: cd_from_rotation((-0.0002, 0.0002), 30.0), ..upright };
        // The pixel above the reference lies at the position angle of the +y axis.
        let above = turned.pixel_to_sky(512.0, 612.0);
        let east = (above.ra_degrees - 10.0) * 20f64.to_radians().cos();
        let angle = east.atan2(above.dec_degrees - 20.0).to_degrees();
        assert!((angle - turned.position_angle_degrees()).abs() < 0.02);
        let mirrored =
            TangentPlane { cd: cd_from_pc((0.0002, 0.0002), [[1.0, 0.0], [0.0, 1.0]]), ..upright };
        assert!(mirrored.is_mirrored());
    }

    #[test]
    fn cards_count_from_one_and_return() {
        let plane = TangentPlane::nominal((511.5, 500.0), SkyPosition::new(359.9, -89.0), 1e-4);
        assert_eq!(plane.to_cards().crpix1, 512.5);
        assert_eq!(TangentPlane::from_cards(&plane.to_cards()), Some(plane));
        let singular = TangentPlaneCards { cd2_2: 0.0, ..plane.to_cards() };
        assert_eq!(TangentPlane::from_cards(&singular), None);
        let broken = TangentPlaneCards { crval2: f64::NAN, ..plane.to_cards() };
        assert_eq!(TangentPlane::from_cards(&broken), None);
    }

    #[test]
    fn the_far_side_of_the_sky_and_singular_planes_have_no_pixel() {
        let plane = TangentPlane::nominal((0.0, 0.0), SkyPosition::new(0.0, 0.0), 1e-4);
        assert_eq!(plane.sky_to_pixel(SkyPosition::new(180.0, 0.0)), None);
        assert_eq!(plane.sky_to_pixel(SkyPosition::new(90.0, 0.0)), None);
        assert_eq!(plane.sky_to_pixel(SkyPosition::new(f64::NAN, 0.0)), None);
        let flat = TangentPlane { cd: [[1e-4, 1e-4], [1e-4, 1e-4]], ..plane };
        assert_eq!(flat.sky_to_pixel(SkyPosition::new(0.0, 0.0)), None);
        assert_eq!(TangentPlane::fit(&[], (0.0, 0.0)), None);
        let pair =
            PixelSkyPair { pixel: (1.0, 1.0), sky: SkyPosition::new(f64::NAN, 0.0), weight: 1.0 };
        assert_eq!(TangentPlane::fit(&[pair; 4], (0.0, 0.0)), None);
    }
}
