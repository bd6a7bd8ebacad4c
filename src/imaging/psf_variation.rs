//! How the point-spread function varies over the frame.

use nalgebra::{SMatrix, SVector};

use super::statistics;

/// 1, u, v, u², uv, v².
const TERMS: usize = 6;
/// Stars needed for a slope and for a curvature.
const STARS_FOR_SLOPE: usize = 12;
const STARS_FOR_CURVATURE: usize = 24;
/// Expected size of the coefficients: a tenth of the width from the centre to the edge. Holds back what the stars
/// do not tell.
const EXPECTED_SIZE: f64 = 0.1;
/// Shapes of stars scatter by at least this beyond their errors.
const SHAPE_SCATTER: f64 = 0.005;
const CLIP_SIGMAS: f64 = 4.0;
/// The most that a parameter changes.
const LARGEST_CHANGE: f64 = 0.5;

/// Parameters that vary.
pub(super) const VARYING: usize = 3;

/// What is added to ln a, b and ln c of the mean profile.
pub(super) type ShapeChange = [f64; VARYING];

/// The change of the shape, each parameter a polynomial of second degree in the position; coordinates run from −1 to 1
/// over the longer side of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Variation {
    centre: (f64, f64),
    /// Half of the longer side; 0 without variation.
    half: f64,
    coefficients: [[f64; TERMS]; VARYING],
}

/// Shape of one star less that of the mean profile, with its errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShapeOfStar {
    pub x: f64,
    pub y: f64,
    pub change: ShapeChange,
    pub error: ShapeChange,
}

impl Variation {
    /// The change at a place. The frame's edge bounds it: there is nothing to say beyond.
    pub fn at(&self, x: f64, y: f64) -> ShapeChange {
        if self.half <= 0.0 {
            return [0.0; VARYING];
        }
        let terms = self.terms(x, y);
        self.coefficients.map(|coefficients| {
            terms.dot(&SVector::from(coefficients)).clamp(-LARGEST_CHANGE, LARGEST_CHANGE)
        })
    }

    fn terms(&self, x: f64, y: f64) -> SVector<f64, TERMS> {
        let u = ((x - self.centre.0) / self.half).clamp(-1.0, 1.0);
        let v = ((y - self.centre.1) / self.half).clamp(-1.0, 1.0);
        SVector::from([1.0, u, v, u * u, u * v, v * v])
    }

    /// Least squares over the stars of a frame of `shape` (rows, columns), clipped. No variation with too few stars.
    pub fn fit(stars: &[ShapeOfStar], shape: (usize, usize)) -> Self {
        let terms = match stars.len() {
            count if count >= STARS_FOR_CURVATURE => TERMS,
            count if count >= STARS_FOR_SLOPE => 3,
            _ => return Self::default(),
        };
        let (height, width) = (shape.0 as f64, shape.1 as f64);
        let mut variation = Self {
            centre: ((width - 1.0) / 2.0, (height - 1.0) / 2.0),
            half: width.max(height) / 2.0,
            coefficients: [[0.0; TERMS]; VARYING],
        };
        let mut kept = vec![true; stars.len()];
        for _ in 0..3 {
            for parameter in 0..VARYING {
                let Some(coefficients) = variation.solve(stars, &kept, terms, parameter) else {
                    return Self::default();
                };
                variation.coefficients[parameter] = coefficients;
            }
            let mut next = vec![true; stars.len()];
            for parameter in 0..VARYING {
                let pulls: Vec<f64> = stars
                    .iter()
                    .map(|star| {
                        let expected = variation.at(star.x, star.y)[parameter];
                        (star.change[parameter] - expected) / error(star, parameter)
                    })
                    .collect();
                let scatter = statistics::median_and_deviation(&pulls).map_or(1.0, |pair| pair.1);
                for (kept, pull) in next.iter_mut().zip(&pulls) {
                    *kept &= pull.abs() <= CLIP_SIGMAS * scatter.max(1.0);
                }
            }
            kept = next;
        }
        variation
    }

    fn solve(
        &self,
        stars: &[ShapeOfStar],
        kept: &[bool],
        terms: usize,
        parameter: usize,
    ) -> Option<[f64; TERMS]> {
        let mut normal = SMatrix::<f64, TERMS, TERMS>::zeros();
        let mut right = SVector::<f64, TERMS>::zeros();
        for term in 0..TERMS {
            let expected = if term < terms { EXPECTED_SIZE } else { 1e-6 };
            normal[(term, term)] = expected.powi(-2);
        }
        for (star, _) in stars.iter().zip(kept).filter(|(_, kept)| **kept) {
            let row = self.terms(star.x, star.y);
            let weight = error(star, parameter).powi(-2);
            normal += row * row.transpose() * weight;
            right += row * (weight * star.change[parameter]);
        }
        let solution = normal.cholesky()?.solve(&right);
        solution.iter().all(|value| value.is_finite()).then(|| solution.into())
    }
}

fn error(star: &ShapeOfStar, parameter: usize) -> f64 {
    star.error[parameter].hypot(SHAPE_SCATTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::synthetic::Generator;

    fn stars(count: usize, width: impl Fn(f64, f64) -> f64) -> Vec<ShapeOfStar> {
        let mut generator = Generator::new(2);
        (0..count)
            .map(|_| {
                let (x, y) = (1023.0 * generator.uniform(), 767.0 * generator.uniform());
                let mut change =
                    |factor: f64| factor * width(x, y).ln() + 0.004 * generator.normal();
                let change = [change(1.0), change(-0.5), change(0.3)];
                ShapeOfStar { x, y, change, error: [0.004; 3] }
            })
            .collect()
    }

    #[test]
    fn curvature_is_found_despite_outliers() {
        let width = |x: f64, y: f64| {
            1.0 + 0.06 * ((x - 500.0).powi(2) + (y - 400.0).powi(2)) / 512f64.powi(2)
        };
        let mut stars = stars(50, width);
        for star in stars.iter_mut().step_by(10) {
            star.change[0] += 0.3;
        }
        let variation = Variation::fit(&stars, (768, 1024));
        for (x, y) in [(512.0, 384.0), (100.0, 100.0), (900.0, 700.0), (900.0, 100.0)] {
            for (change, factor) in variation.at(x, y).into_iter().zip([1.0, -0.5, 0.3]) {
                assert!((change - factor * width(x, y).ln()).abs() < 0.01);
            }
        }
    }

    #[test]
    fn few_stars_tell_a_slope_or_nothing() {
        let slope = |x: f64, _: f64| 1.0 + 0.05 * (x - 512.0) / 512.0;
        let variation = Variation::fit(&stars(15, slope), (768, 1024));
        assert!((variation.at(900.0, 100.0)[0] - slope(900.0, 0.0).ln()).abs() < 0.015);
        assert_eq!(Variation::fit(&stars(5, slope), (768, 1024)), Variation::default());
        assert_eq!(Variation::default().at(3.0, f64::NAN), [0.0; VARYING]);
    }
}
