//! The distortion polynomials of the TPV convention (FITS registry of conventions, "TPV World Coordinate System").

use super::plane_inversion::{MappedPoint, invert};
use super::polynomial::{BivariatePolynomial, PolynomialError, PolynomialTerm};

/// PVi_0 to PVi_39.
pub const COEFFICIENT_COUNT: usize = 40;

/// What a coefficient multiplies: powers of the axis's own coordinate and of the other, or a power of the distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    Powers(usize, usize),
    /// Place in [`TpvAxis::radial`]: r, r³, r⁵, r⁷.
    Radial(usize),
}

/// The 40 terms in the order of the convention: degree by degree, the power of the other coordinate rising, and after
/// each odd degree that power of r.
fn basis() -> impl Iterator<Item = Basis> {
    (0..=7).flat_map(|degree: usize| {
        let powers = (0..=degree).map(move |other| Basis::Powers(degree - other, other));
        powers.chain((degree % 2 == 1).then_some(Basis::Radial(degree / 2)))
    })
}

/// The polynomial of one axis: of its own coordinate, of the other, and of the distance from the reference point, degrees.
#[derive(Debug, Clone, PartialEq)]
pub struct TpvAxis {
    polynomial: BivariatePolynomial,
    radial: [f64; 4],
}

impl TpvAxis {
    /// From pairs of index and value (PVi_m gives m). An absent PVi_1 is one and all others zero, so that no
    /// card means no distortion. Indices above 39 have no meaning and are left out.
    pub fn new(coefficients: &[(usize, f64)]) -> Result<Self, PolynomialError> {
        let mut terms = Vec::new();
        let mut radial = [0.0; 4];
        if !coefficients.iter().any(|(index, _)| *index == 1) {
            terms.push(PolynomialTerm { powers: (1, 0), coefficient: 1.0 });
        }
        for &(index, coefficient) in coefficients {
            match basis().nth(index) {
                Some(Basis::Powers(own, other)) => {
                    terms.push(PolynomialTerm { powers: (own, other), coefficient });
                }
                Some(Basis::Radial(place)) => {
                    if !coefficient.is_finite() {
                        return Err(PolynomialError::NotFinite { powers: (2 * place + 1, 0) });
                    }
                    if let Some(slot) = radial.get_mut(place) {
                        *slot += coefficient;
                    }
                }
                None => {}
            }
        }
        Ok(Self { polynomial: BivariatePolynomial::new(&terms)?, radial })
    }

    /// Pairs of index and value without the zeros; PVi_1 is always there.
    pub fn coefficients(&self) -> Vec<(usize, f64)> {
        let value_of = |element: Basis| match element {
            Basis::Powers(own, other) => self
                .polynomial
                .terms()
                .find(|term| term.powers == (own, other))
                .map_or(0.0, |term| term.coefficient),
            Basis::Radial(place) => self.radial.get(place).copied().unwrap_or_default(),
        };
        basis()
            .map(value_of)
            .enumerate()
            .filter(|(index, value)| *index == 1 || *value != 0.0)
            .collect()
    }

    /// Value and its slopes along the axis's own coordinate and the other.
    fn linearised(&self, own: f64, other: f64) -> (f64, [f64; 2]) {
        let polynomial = self.polynomial.value_and_slopes(own, other);
        let (mut value, mut slopes) = (polynomial.value, [polynomial.along_u, polynomial.along_v]);
        if self.radial != [0.0; 4] {
            let square = own * own + other * other;
            let distance = square.sqrt();
            let (mut power, mut along_r) = (1.0, 0.0);
            for (odd, coefficient) in [1.0, 3.0, 5.0, 7.0].into_iter().zip(self.radial) {
                value += coefficient * power * distance;
                along_r += odd * coefficient * power;
                power *= square;
            }
            // At the reference point itself the cone of r has no slope; none is as good as any.
            if distance > 0.0 {
                slopes[0] += along_r * own / distance;
                slopes[1] += along_r * other / distance;
            }
        }
        (value, slopes)
    }
}

/// Distortion in the tangent plane, after the CD matrix: ξ' = f(ξ, η), η' = g(η, ξ).
#[derive(Debug, Clone, PartialEq)]
pub struct TpvDistortion {
    /// Of the axis of right ascension.
    pub xi: TpvAxis,
    /// Of the axis of declination.
    pub eta: TpvAxis,
    /// LONPOLE: the native longitude of the celestial pole, 180° but for rare headers. Unlike with the other projections
    /// it is no part of the matrix, since it turns the plane after the distortion.
    pub pole_longitude_degrees: f64,
}

impl TpvDistortion {
    /// Standard coordinates (degrees) of intermediate ones.
    pub fn undistorted(&self, xi: f64, eta: f64) -> (f64, f64) {
        self.linearised(xi, eta).value
    }

    /// The inverse of [`TpvDistortion::undistorted`]; `tolerance_degrees` is that of Newton's last step. `None` where the
    /// iteration finds none on this side of any fold of the polynomials.
    pub fn distorted(&self, xi: f64, eta: f64, tolerance_degrees: f64) -> Option<(f64, f64)> {
        let (sine, cosine) = self.turn();
        let start = (cosine * xi + sine * eta, cosine * eta - sine * xi);
        // The powers of r have no slope at the reference point.
        let [xi_own, xi_other] = self.xi.polynomial.slopes_at_origin();
        let [eta_own, eta_other] = self.eta.polynomial.slopes_at_origin();
        let at_origin = self.turned_slopes([xi_own, eta_other], [xi_other, eta_own]);
        let map = |xi, eta| self.linearised(xi, eta);
        invert((xi, eta), start, tolerance_degrees, at_origin, map)
    }

    pub(super) fn linearised(&self, xi: f64, eta: f64) -> MappedPoint {
        let (first, [first_own, first_other]) = self.xi.linearised(xi, eta);
        let (second, [second_own, second_other]) = self.eta.linearised(eta, xi);
        let (sine, cosine) = self.turn();
        MappedPoint {
            value: (cosine * first - sine * second, sine * first + cosine * second),
            jacobian: self.turned_slopes([first_own, second_other], [first_other, second_own]),
        }
    }

    /// The Jacobian after the turn of the pole, from the slopes of both axes along ξ and along η.
    fn turned_slopes(&self, along_xi: [f64; 2], along_eta: [f64; 2]) -> [[f64; 2]; 2] {
        let (sine, cosine) = self.turn();
        [
            [along_xi, along_eta].map(|[first, second]| cosine * first - sine * second),
            [along_xi, along_eta].map(|[first, second]| sine * first + cosine * second),
        ]
    }

    fn turn(&self) -> (f64, f64) {
        pole_turn(self.pole_longitude_degrees)
    }
}

/// Sine and cosine of the angle by which LONPOLE turns the plane of a zenithal projection about its reference point, exact for the
/// two common values (Calabretta & Greisen 2002, eqs. 2, 14, 15).
pub fn pole_turn(pole_longitude_degrees: f64) -> (f64, f64) {
    match pole_longitude_degrees {
        180.0 => (0.0, 1.0),
        0.0 => (0.0, -1.0),
        degrees => (180.0 - degrees).to_radians().sin_cos(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(pole_longitude_degrees: f64) -> TpvDistortion {
        TpvDistortion {
            xi: TpvAxis::new(&[
                (0, 1e-4),
                (1, 1.01),
                (2, 0.003),
                (3, 0.002),
                (7, 0.01),
                (39, 0.01),
            ])
            .unwrap(),
            eta: TpvAxis::new(&[(1, 0.99), (2, -0.004), (5, 0.01), (11, -0.02), (23, 0.01)])
                .unwrap(),
            pole_longitude_degrees,
        }
    }

    #[test]
    fn the_terms_are_numbered_as_in_the_convention() {
        let all: Vec<Basis> = basis().collect();
        assert_eq!(all.len(), COEFFICIENT_COUNT);
        for (index, expected) in [
            (0, Basis::Powers(0, 0)),
            (2, Basis::Powers(0, 1)),
            (3, Basis::Radial(0)),
            (5, Basis::Powers(1, 1)),
            (10, Basis::Powers(0, 3)),
            (11, Basis::Radial(1)),
            (12, Basis::Powers(4, 0)),
            (16, Basis::Powers(0, 4)),
            (22, Basis::Powers(0, 5)),
            (23, Basis::Radial(2)),
            (24, Basis::Powers(6, 0)),
            (31, Basis::Powers(7, 0)),
            (38, Basis::Powers(0, 7)),
            (39, Basis::Radial(3)),
        ] {
            assert_eq!(all[index], expected, "{index}");
        }
    }

    #[test]
    fn coefficients_come_back_and_their_absence_is_no_distortion() {
        let coefficients = vec![(0, 1e-3), (1, 1.5), (4, 0.25), (11, -0.5), (38, 2.0), (39, 3.0)];
        assert_eq!(TpvAxis::new(&coefficients).unwrap().coefficients(), coefficients);
        assert_eq!(TpvAxis::new(&[]).unwrap().coefficients(), [(1, 1.0)]);
        assert_eq!(TpvAxis::new(&[(40, 5.0)]).unwrap().coefficients(), [(1, 1.0)]);
        for index in [1, 39] {
            assert!(TpvAxis::new(&[(index, f64::NAN)]).is_err());
        }
    }

    #[test]
    fn the_jacobian_is_the_slope_and_the_way_back_is_exact() {
        for pole in [180.0, 0.0, 77.0] {
            let camera = camera(pole);
            for (xi, eta) in [(0.0, 0.0), (0.5, -0.3), (-0.7, 0.8), (1e-9, 0.0)] {
                let (x, y) = camera.undistorted(xi, eta);
                let back = camera.distorted(x, y, 1e-11).unwrap();
                assert!((back.0 - xi).hypot(back.1 - eta) < 1e-13, "{pole} {xi} {eta} {back:?}");
            }
            let (xi, eta, step) = (0.4, -0.6, 1e-6);
            let [[a, b], [c, d]] = camera.linearised(xi, eta).jacobian;
            let slope = |dx: f64, dy: f64| {
                let (after, before) =
                    (camera.undistorted(xi + dx, eta + dy), camera.undistorted(xi - dx, eta - dy));
                ((after.0 - before.0) / (2.0 * step), (after.1 - before.1) / (2.0 * step))
            };
            let (along_xi, along_eta) = (slope(step, 0.0), slope(0.0, step));
            assert!((along_xi.0 - a).hypot(along_xi.1 - c) < 1e-9);
            assert!((along_eta.0 - b).hypot(along_eta.1 - d) < 1e-9);
        }
    }

    #[test]
    fn a_turn_by_the_pole_is_exact_at_half_turns() {
        let straight = camera(180.0).undistorted(0.25, 0.5);
        let turned = camera(0.0).undistorted(0.25, 0.5);
        assert_eq!((turned.0, turned.1), (-straight.0, -straight.1));
    }
}
