//! World coordinates of an image with the distortion of its camera: TAN, TAN-SIP and TPV, both ways.

use super::plane_inversion::MappedPoint;
use super::sip::SipDistortion;
use super::tpv::TpvDistortion;
use super::wcs::{PixelSkyPair, TangentPlane, sky_to_standard, standard_to_sky};
use crate::model::SkyPosition;

/// Newton's last step, as a share of a pixel.
const TOLERANCE_PIXELS: f64 = 1e-7;
/// Places per side at which [`WorldCoordinates::closest_plane`] compares.
const GRID: usize = 7;

/// What stands between the pixels of a camera and a plain tangent plane.
#[derive(Debug, Clone, PartialEq)]
pub enum Distortion {
    None,
    /// Before the CD matrix, in pixels.
    Sip(SipDistortion),
    /// After the CD matrix, in degrees.
    Tpv(TpvDistortion),
}

/// The linear solution with the distortion. Pixel positions are zero-based.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldCoordinates {
    pub plane: TangentPlane,
    pub distortion: Distortion,
}

/// Why a sky position has no pixel position.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoPixel {
    #[error("the sky position is not a pair of finite numbers")]
    NotFinite,
    #[error("the position is 90 degrees or more from the reference")]
    FarHemisphere,
    #[error("the matrix of the coordinates is singular")]
    Singular,
    /// The iteration found none, or only one beyond a fold of the polynomials, where they say nothing about the camera.
    #[error("the distortion has no inverse there")]
    NotInvertible,
}

impl From<TangentPlane> for WorldCoordinates {
    fn from(plane: TangentPlane) -> Self {
        Self { plane, distortion: Distortion::None }
    }
}

impl WorldCoordinates {
    /// Whether they are more than a plane.
    pub fn is_distorted(&self) -> bool {
        self.distortion != Distortion::None
    }

    /// Position in the tangent plane (ξ east, η north, degrees) of a pixel position.
    pub fn pixel_to_standard(&self, x: f64, y: f64) -> (f64, f64) {
        match &self.distortion {
            Distortion::None => self.plane.pixel_to_standard(x, y),
            Distortion::Sip(sip) => {
                let (x0, y0) = self.plane.reference_pixel;
                self.plane.offset_to_standard(sip.undistorted(x - x0, y - y0))
            }
            Distortion::Tpv(tpv) => {
                let (xi, eta) = self.plane.pixel_to_standard(x, y);
                tpv.undistorted(xi, eta)
            }
        }
    }

    /// Sky position of a pixel position; not finite where the polynomials are not.
    pub fn pixel_to_sky(&self, x: f64, y: f64) -> SkyPosition {
        let (xi, eta) = self.pixel_to_standard(x, y);
        standard_to_sky(self.plane.reference_sky, xi, eta)
    }

    /// Pixel position of a sky position, by Newton's iteration on the polynomials that take pixels to the sky: to the rounding of
    /// a position, 1e-9 pixel where a pixel is 0.2″ or more.
    pub fn sky_to_pixel(&self, sky: SkyPosition) -> Result<(f64, f64), NoPixel> {
        if !sky.ra_degrees.is_finite() || !sky.dec_degrees.is_finite() {
            return Err(NoPixel::NotFinite);
        }
        let (xi, eta) =
            sky_to_standard(self.plane.reference_sky, sky).ok_or(NoPixel::FarHemisphere)?;
        let offset = |xi, eta| self.plane.standard_to_offset(xi, eta).ok_or(NoPixel::Singular);
        let (u, v) = match &self.distortion {
            Distortion::None => offset(xi, eta)?,
            Distortion::Sip(sip) => {
                let (u, v) = offset(xi, eta)?;
                sip.distorted(u, v).ok_or(NoPixel::NotInvertible)?
            }
            Distortion::Tpv(tpv) => {
                let tolerance = TOLERANCE_PIXELS * self.plane.scale_arcsec() / 3600.0;
                let (xi, eta) = tpv.distorted(xi, eta, tolerance).ok_or(NoPixel::NotInvertible)?;
                offset(xi, eta)?
            }
        };
        let (x, y) = (self.plane.reference_pixel.0 + u, self.plane.reference_pixel.1 + v);
        if x.is_finite() && y.is_finite() { Ok((x, y)) } else { Err(NoPixel::NotFinite) }
    }

    /// Degrees in the tangent plane per pixel at a pixel position: `[[∂ξ/∂x, ∂ξ/∂y], [∂η/∂x, ∂η/∂y]]`.
    pub fn local_matrix(&self, x: f64, y: f64) -> [[f64; 2]; 2] {
        let (x0, y0) = self.plane.reference_pixel;
        match &self.distortion {
            Distortion::None => self.plane.cd,
            Distortion::Sip(sip) => product(self.plane.cd, sip.linearised(x - x0, y - y0).jacobian),
            Distortion::Tpv(tpv) => {
                let (xi, eta) = self.plane.pixel_to_standard(x, y);
                product(tpv.linearised(xi, eta).jacobian, self.plane.cd)
            }
        }
    }

    /// Geometric mean of the pixel scale at a pixel position, arcseconds per pixel.
    pub fn scale_arcsec(&self, x: f64, y: f64) -> f64 {
        let mapped = MappedPoint { value: (x, y), jacobian: self.local_matrix(x, y) };
        mapped.determinant().abs().sqrt() * 3600.0
    }

    /// The same in the middle of an image of `shape` (rows, columns).
    pub fn central_scale_arcsec(&self, shape: (usize, usize)) -> f64 {
        self.scale_arcsec((shape.1 as f64 - 1.0) / 2.0, (shape.0 as f64 - 1.0) / 2.0)
    }

    /// The plane without distortion that comes closest over an image of `shape` (rows, columns), its reference in the
    /// centre: where the search for stars may begin. Without distortion it is the plane itself. `None` where the polynomials are
    /// not finite on the image, or the result is singular.
    pub fn closest_plane(&self, shape: (usize, usize)) -> Option<TangentPlane> {
        if !self.is_distorted() {
            return Some(self.plane);
        }
        let (height, width) = (shape.0 as f64 - 1.0, shape.1 as f64 - 1.0);
        let step = 1.0 / (GRID as f64 - 1.0);
        let pairs: Vec<PixelSkyPair> = (0..GRID * GRID)
            .map(|place| {
                let x = (place % GRID) as f64 * step * width;
                let y = (place / GRID) as f64 * step * height;
                PixelSkyPair { pixel: (x, y), sky: self.pixel_to_sky(x, y), weight: 1.0 }
            })
            .collect();
        let is_finite = |pair: &PixelSkyPair| {
            pair.sky.ra_degrees.is_finite() && pair.sky.dec_degrees.is_finite()
        };
        if !pairs.iter().all(is_finite) {
            return None;
        }
        TangentPlane::fit(&pairs, (width / 2.0, height / 2.0))
    }
}

fn product(left: [[f64; 2]; 2], right: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
    let [[a, b], [c, d]] = right;
    left.map(|[first, second]| [first * a + second * c, first * b + second * d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::polynomial::{BivariatePolynomial, PolynomialTerm, powers_up_to};
    use crate::imaging::tpv::{COEFFICIENT_COUNT, TpvAxis};
    use crate::imaging::wcs::cd_from_rotation;
    use proptest::prelude::*;

    /// Half the side of the largest camera thought of, pixels.
    const REACH: f64 = 4096.0;

    fn plausible_plane() -> impl Strategy<Value = TangentPlane> {
        let pixel = -1000.0..5000.0;
        // 1e-9 pixel is 1e-9 of the scale; a declination is rounded to 1.4e-14 degrees, a right ascension to 5.7e-14.
        let scale = 8e-5..1e-3;
        (
            (pixel.clone(), pixel),
            (0.0..360.0, prop_oneof![-90.0..90.0, 89.9..90.0, -90.0..-89.9]),
            (scale, 0.95..1.05, any::<bool>(), 0.0..360.0),
        )
            .prop_map(
                |(reference_pixel, (ra, dec), (scale, ratio, is_mirrored, angle))| {
                    let side: f64 = if is_mirrored { scale } else { -scale };
                    TangentPlane {
                        reference_pixel,
                        reference_sky: SkyPosition::new(ra, dec),
                        cd: cd_from_rotation((side, scale * ratio), angle),
                    }
                },
            )
    }

    /// Terms of second degree and above that come to at most a few per cent of the distance over the camera.
    fn plausible_polynomial() -> impl Strategy<Value = BivariatePolynomial> {
        (2..=5usize, prop::collection::vec(-1.0..1.0, 21)).prop_map(|(degree, sizes)| {
            let terms: Vec<_> = powers_up_to(degree)
                .filter(|(i, j)| i + j >= 2)
                .zip(sizes)
                .map(|(powers, size)| {
                    let degree = powers.0 + powers.1;
                    let coefficient = 0.004 * size * REACH / (2.0 * REACH).powi(degree as i32);
                    PolynomialTerm { powers, coefficient }
                })
                .collect();
            BivariatePolynomial::new(&terms).unwrap()
        })
    }

    fn plausible_axis() -> impl Strategy<Value = TpvAxis> {
        prop::collection::vec(-1.0..1.0, COEFFICIENT_COUNT).prop_map(|sizes| {
            let coefficients: Vec<(usize, f64)> = sizes
                .iter()
                .enumerate()
                .map(|(index, size)| match index {
                    0 => (index, 1e-3 * size),
                    1 => (index, 1.0 + 0.01 * size),
                    // Of a camera that spans a degree or two.
                    _ => (index, 1e-3 * size / 4f64.powi((index as i32 / 6).min(6))),
                })
                .collect();
            TpvAxis::new(&coefficients).unwrap()
        })
    }

    fn plausible() -> impl Strategy<Value = WorldCoordinates> {
        let sip = (plausible_polynomial(), plausible_polynomial())
            .prop_map(|(a, b)| Distortion::Sip(SipDistortion { forward: [a, b], inverse: None }));
        let tpv = (plausible_axis(), plausible_axis(), prop_oneof![Just(180.0), 0.0..360.0])
            .prop_map(|(xi, eta, pole_longitude_degrees)| {
                Distortion::Tpv(TpvDistortion { xi, eta, pole_longitude_degrees })
            });
        (plausible_plane(), prop_oneof![Just(Distortion::None), sip, tpv])
            .prop_map(|(plane, distortion)| WorldCoordinates { plane, distortion })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        /// The field of a TPV camera is a degree and a half about the reference here, where its polynomials hold.
        #[test]
        fn a_pixel_position_returns(
            coordinates in plausible(),
            (right, up) in (-1.0..1.0, -1.0..1.0),
        ) {
            let scale = coordinates.plane.scale_arcsec() / 3600.0;
            let reach = REACH.min(1.0 / scale);
            let (x0, y0) = coordinates.plane.reference_pixel;
            let (x, y) = (x0 + reach * right, y0 + reach * up);
            let (back_x, back_y) = coordinates.sky_to_pixel(coordinates.pixel_to_sky(x, y))?;
            let error = (back_x - x).hypot(back_y - y);
            prop_assert!(error < 1e-9, "{error:e} of a pixel of {scale:e} degrees");
        }

        #[test]
        fn no_number_leads_to_a_panic(
            numbers in prop::collection::vec(prop::num::f64::ANY, 8),
            coefficients in prop::collection::vec(prop::num::f64::NORMAL, 6),
            (x, y) in (prop::num::f64::ANY, prop::num::f64::ANY),
        ) {
            let plane = TangentPlane {
                reference_pixel: (numbers[0], numbers[1]),
                reference_sky: SkyPosition { ra_degrees: numbers[2], dec_degrees: numbers[3] },
                cd: [[numbers[4], numbers[5]], [numbers[6], numbers[7]]],
            };
            let terms: Vec<_> = powers_up_to(2)
                .zip(&coefficients)
                .map(|(powers, &coefficient)| PolynomialTerm { powers, coefficient })
                .collect();
            let polynomial = BivariatePolynomial::new(&terms)?;
            let axis = TpvAxis::new(&[(1, coefficients[0]), (3, coefficients[1]), (39, x.min(1e9))]);
            let mut distortions = vec![Distortion::None, Distortion::Sip(SipDistortion {
                forward: [polynomial.clone(), polynomial.clone()],
                inverse: Some([polynomial.clone(), polynomial]),
            })];
            if let Ok(axis) = axis {
                distortions.push(Distortion::Tpv(TpvDistortion {
                    xi: axis.clone(),
                    eta: axis,
                    pole_longitude_degrees: y,
                }));
            }
            for distortion in distortions {
                let coordinates = WorldCoordinates { plane, distortion };
                let sky = coordinates.pixel_to_sky(x, y);
                let _ = coordinates.sky_to_pixel(sky);
                let _ = coordinates.sky_to_pixel(SkyPosition { ra_degrees: x, dec_degrees: y });
                let _ = coordinates.scale_arcsec(x, y);
                let _ = coordinates.closest_plane((0, 1000));
            }
        }
    }

    fn barrel() -> WorldCoordinates {
        let cubic = |powers| PolynomialTerm { powers, coefficient: -2e-9 };
        WorldCoordinates {
            plane: TangentPlane::nominal((1023.5, 1023.5), SkyPosition::new(10.0, 40.0), 2e-4),
            distortion: Distortion::Sip(SipDistortion {
                forward: [
                    BivariatePolynomial::new(&[cubic((3, 0)), cubic((1, 2))]).unwrap(),
                    BivariatePolynomial::new(&[cubic((2, 1)), cubic((0, 3))]).unwrap(),
                ],
                inverse: None,
            }),
        }
    }

    #[test]
    fn a_position_without_a_pixel_says_why() {
        let coordinates = barrel();
        let at =
            |ra, dec| coordinates.sky_to_pixel(SkyPosition { ra_degrees: ra, dec_degrees: dec });
        assert_eq!(at(190.0, -40.0), Err(NoPixel::FarHemisphere));
        assert_eq!(at(f64::NAN, 0.0), Err(NoPixel::NotFinite));
        assert_eq!(at(10.0, f64::INFINITY), Err(NoPixel::NotFinite));
        // 30 degrees are 150,000 pixels: the polynomial never leads there.
        assert_eq!(at(10.0, 70.0), Err(NoPixel::NotInvertible));
        let mut singular = coordinates.clone();
        singular.plane.cd = [[1e-4, 1e-4], [1e-4, 1e-4]];
        assert_eq!(singular.sky_to_pixel(SkyPosition::new(10.0, 40.0)), Err(NoPixel::Singular));
    }

    #[test]
    fn the_local_matrix_is_the_slope_of_the_coordinates() {
        let mut coordinates = vec![barrel()];
        coordinates.push(WorldCoordinates {
            distortion: Distortion::Tpv(TpvDistortion {
                xi: TpvAxis::new(&[(1, 1.02), (3, 0.01), (4, 0.02), (11, 0.05)]).unwrap(),
                eta: TpvAxis::new(&[(2, 0.01), (8, -0.1)]).unwrap(),
                pole_longitude_degrees: 175.0,
            }),
            ..barrel()
        });
        for each in coordinates {
            let (x, y) = (300.0, 1800.0);
            let [[a, b], [c, d]] = each.local_matrix(x, y);
            let (right, left) =
                (each.pixel_to_standard(x + 0.5, y), each.pixel_to_standard(x - 0.5, y));
            let (up, down) =
                (each.pixel_to_standard(x, y + 0.5), each.pixel_to_standard(x, y - 0.5));
            assert!((right.0 - left.0 - a).abs() + (right.1 - left.1 - c).abs() < 1e-11);
            assert!((up.0 - down.0 - b).abs() + (up.1 - down.1 - d).abs() < 1e-11);
            let scale = (a * d - b * c).abs().sqrt() * 3600.0;
            assert!((each.scale_arcsec(x, y) - scale).abs() < 1e-12);
        }
    }

    #[test]
    fn the_closest_plane_halves_the_error_of_the_linear_part() {
        let coordinates = barrel();
        let plane = coordinates.closest_plane((2048, 2048)).unwrap();
        let worst = |plane: &TangentPlane| {
            [(0.0, 0.0), (2047.0, 2047.0), (1023.0, 0.0), (500.0, 600.0), (1023.0, 1023.0)]
                .iter()
                .map(|&(x, y)| {
                    plane.pixel_to_sky(x, y).separation_arcsec(coordinates.pixel_to_sky(x, y))
                })
                .fold(0.0, f64::max)
        };
        assert!(worst(&plane) < 0.5 * worst(&coordinates.plane));
        let undistorted = WorldCoordinates::from(coordinates.plane);
        assert_eq!(undistorted.closest_plane((2048, 2048)), Some(coordinates.plane));
    }
}
