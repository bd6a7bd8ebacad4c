//! How the width of the point-spread function varies over the frame.

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
/// Widths of stars scatter by at least this beyond their errors.
const WIDTH_SCATTER: f64 = 0.005;
const CLIP_SIGMAS: f64 = 4.0;

/// ln of the width relative to the mean profile's, a polynomial of second degree in the position; coordinates run
/// from −1 to 1 over the longer side of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Variation {
    centre: (f64, f64),
    /// Half of the longer side; 0 without variation.
    half: f64,
    coefficients: [f64; TERMS],
}

/// ln width of one star relative to the mean profile, with its error.
#[derive(Debug, Clone, Copy)]
pub(super) struct WidthOfStar {
    pub x: f64,
    pub y: f64,
    pub logarithm: f64,
    pub error: f64,
}

impl Variation {
    /// ln of the relative width. The frame's edge bounds it: there is nothing to say beyond.
    pub fn at(&self, x: f64, y: f64) -> f64 {
        if self.half <= 0.0 {
            return 0.0;
        }
        self.terms(x, y).dot(&SVector::from(self.coefficients)).clamp(-0.5, 0.5)
    }

    fn terms(&self, x: f64, y: f64) -> SVector<f64, TERMS> {
        let u = ((x - self.centre.0) / self.half).clamp(-1.0, 1.0);
        let v = ((y - self.centre.1) / self.half).clamp(-1.0, 1.0);
        SVector::from([1.0, u, v, u * u, u * v, v * v])
    }

    /// Least squares over the stars of a frame of `shape` (rows, columns), clipped. No variation with too few stars.
    pub fn fit(stars: &[WidthOfStar], shape: (usize, usize)) -> Self {
        let terms = match stars.len() {
            count if count >= STARS_FOR_CURVATURE => TERMS,
            count if count >= STARS_FOR_SLOPE => 3,
            _ => return Self::default(),
        };
        let (height, width) = (shape.0 as f64, shape.1 as f64);
        let mut variation = Self {
            centre: ((width - 1.0) / 2.0, (height - 1.0) / 2.0),
            half: width.max(height) / 2.0,
            coefficients: [0.0; TERMS],
        };
        let mut kept = vec![true; stars.len()];
        for _ in 0..3 {
            let Some(coefficients) = variation.solve(stars, &kept, terms) else {
                return Self::default();
            };
            variation.coefficients = coefficients;
            let pulls: Vec<f64> = stars
                .iter()
                .map(|star| (star.logarithm - variation.at(star.x, star.y)) / error(star))
                .collect();
            let scatter = statistics::median_and_deviation(&pulls).map_or(1.0, |pair| pair.1);
            for (kept, pull) in kept.iter_mut().zip(&pulls) {
                *kept = pull.abs() <= CLIP_SIGMAS * scatter.max(1.0);
            }
        }
        variation
    }

    fn solve(&self, stars: &[WidthOfStar], kept: &[bool], terms: usize) -> Option<[f64; TERMS]> {
        let mut normal = SMatrix::<f64, TERMS, TERMS>::zeros();
        let mut right = SVector::<f64, TERMS>::zeros();
        for term in 0..TERMS {
            let expected = if term < terms { EXPECTED_SIZE } else { 1e-6 };
            normal[(term, term)] = expected.powi(-2);
        }
        for (star, _) in stars.iter().zip(kept).filter(|(_, kept)| **kept) {
            let row = self.terms(star.x, star.y);
            let weight = error(star).powi(-2);
            normal += row * row.transpose() * weight;
            right += row * (weight * star.logarithm);
        }
        let solution = normal.cholesky()?.solve(&right);
        solution.iter().all(|value| value.is_finite()).then(|| solution.into())
    }
}

fn error(star: &WidthOfStar) -> f64 {
    star.error.hypot(WIDTH_SCATTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::synthetic::Generator;

    fn stars(count: usize, width: impl Fn(f64, f64) -> f64) -> Vec<WidthOfStar> {
        let mut generator = Generator::new(2);
        (0..count)
            .map(|_| {
                let (x, y) = (1023.0 * generator.uniform(), 767.0 * generator.uniform());
                let logarithm = width(x, y).ln() + 0.004 * generator.normal();
                WidthOfStar { x, y, logarithm, error: 0.004 }
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
            star.logarithm += 0.3;
        }
        let variation = Variation::fit(&stars, (768, 1024));
        for (x, y) in [(512.0, 384.0), (100.0, 100.0), (900.0, 700.0), (900.0, 100.0)] {
            assert!((variation.at(x, y) - width(x, y).ln()).abs() < 0.01);
        }
    }

    #[test]
    fn few_stars_tell_a_slope_or_nothing() {
        let slope = |x: f64, _: f64| 1.0 + 0.05 * (x - 512.0) / 512.0;
        let variation = Variation::fit(&stars(15, slope), (768, 1024));
        assert!((variation.at(900.0, 100.0) - slope(900.0, 0.0).ln()).abs() < 0.015);
        assert_eq!(Variation::fit(&stars(5, slope), (768, 1024)), Variation::default());
        assert_eq!(Variation::default().at(3.0, f64::NAN), 0.0);
    }
}
