//! The distortion polynomials of the SIP convention (Shupe et al. 2005, ASP Conf. Ser. 347, 491).

use super::plane_inversion::{MappedPoint, invert};
use super::polynomial::BivariatePolynomial;
use serde::{Deserialize, Serialize};

/// Newton's last step, pixels: what is left after it is below the rounding of a pixel position.
const TOLERANCE_PIXELS: f64 = 1e-7;

/// Distortion in the plane of the detector: u' = u + A(u, v), v' = v + B(u, v), with u, v from the reference pixel,
/// before the CD matrix (eqs. 1 and 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SipDistortion {
    /// A and B, pixels.
    pub forward: [BivariatePolynomial; 2],
    /// AP and BP, the approximate way back for other programs (eqs. 4 and 5): here only where the iteration begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inverse: Option<[BivariatePolynomial; 2]>,
}

impl SipDistortion {
    /// The position without distortion of a distorted one, both in pixels from the reference pixel.
    pub fn undistorted(&self, u: f64, v: f64) -> (f64, f64) {
        let [a, b] = &self.forward;
        (u + a.value(u, v), v + b.value(u, v))
    }

    /// The inverse of [`SipDistortion::undistorted`] to the rounding of a pixel position; `None` where the iteration
    /// finds none on this side of any fold of the polynomials.
    pub fn distorted(&self, u: f64, v: f64) -> Option<(f64, f64)> {
        let [[a_u, a_v], [b_u, b_v]] = self.forward.each_ref().map(|part| part.slopes_at_origin());
        let at_origin = [[1.0 + a_u, a_v], [b_u, 1.0 + b_v]];
        let start = self.starting_point(u, v);
        invert((u, v), start, TOLERANCE_PIXELS, at_origin, |u, v| self.linearised(u, v))
    }

    pub(super) fn linearised(&self, u: f64, v: f64) -> MappedPoint {
        let [a, b] = &self.forward;
        let (a, b) = (a.value_and_slopes(u, v), b.value_and_slopes(u, v));
        MappedPoint {
            value: (u + a.value, v + b.value),
            jacobian: [[1.0 + a.along_u, a.along_v], [b.along_u, 1.0 + b.along_v]],
        }
    }

    /// By AP and BP unless the position itself is nearer: some headers carry them wrong.
    fn starting_point(&self, u: f64, v: f64) -> (f64, f64) {
        let Some([ap, bp]) = &self.inverse else { return (u, v) };
        let approximate = (u + ap.value(u, v), v + bp.value(u, v));
        let miss = |(x, y): (f64, f64)| {
            let (back_u, back_v) = self.undistorted(x, y);
            (back_u - u).hypot(back_v - v)
        };
        if miss(approximate) < miss((u, v)) { approximate } else { (u, v) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::polynomial::PolynomialTerm;

    fn polynomial(terms: &[(usize, usize, f64)]) -> BivariatePolynomial {
        let terms: Vec<_> = terms
            .iter()
            .map(|&(i, j, coefficient)| PolynomialTerm { powers: (i, j), coefficient })
            .collect();
        BivariatePolynomial::new(&terms).unwrap()
    }

    fn barrel() -> SipDistortion {
        SipDistortion {
            forward: [
                polynomial(&[(3, 0, -2e-9), (1, 2, -2e-9), (2, 0, 1e-6)]),
                polynomial(&[(0, 3, -2e-9), (2, 1, -2e-9), (1, 1, -2e-6)]),
            ],
            inverse: None,
        }
    }

    #[test]
    fn the_way_back_is_exact_with_and_without_a_hint() {
        let wrong_hint = [polynomial(&[(0, 0, 1e9)]), polynomial(&[(1, 0, -5.0)])];
        let mut hinted = barrel();
        hinted.inverse = Some(wrong_hint);
        for distortion in [barrel(), hinted] {
            for (u, v) in [(0.0, 0.0), (2000.0, -1500.0), (-2000.0, 2000.0), (1.0, 1999.0)] {
                let (x, y) = distortion.undistorted(u, v);
                let (back_u, back_v) = distortion.distorted(x, y).unwrap();
                assert!((back_u - u).hypot(back_v - v) < 1e-11, "{u} {v}");
            }
        }
    }

    #[test]
    fn where_the_barrel_folds_there_is_no_way_back() {
        // The image of u + A(u, 0) ends near u = 13,000.
        assert_eq!(barrel().distorted(40_000.0, 0.0), None);
        assert_eq!(barrel().distorted(f64::NAN, 0.0), None);
        assert_eq!(barrel().distorted(f64::INFINITY, 0.0), None);
    }
}
