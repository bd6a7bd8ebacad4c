//! A plane through values at places of a frame, by weighted least squares with clipping.

use super::statistics::median_and_deviation;
use nalgebra::{Matrix3, Vector3};

/// Values farther from the plane than so many robust deviations of all, and of their own errors, are left out.
const CLIP_SIGMA: f64 = 3.0;
const MOST_STEPS: usize = 10;

/// A value at a place, with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlacedValue {
    /// From the middle of the frame, pixels.
    pub x: f64,
    pub y: f64,
    pub value: f64,
    pub error: f64,
}

/// value = `height` + `slope.0` · x + `slope.1` · y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    pub height: f64,
    pub slope: (f64, f64),
    /// χ² that the slopes explain: about 2 by chance, 13.8 once in a thousand. In units of the values' own scatter where that is wider than
    /// their errors.
    pub significance: f64,
    pub count: usize,
}

/// Fits a plane. `None` with fewer than `minimum` values (five at least) after clipping, or with all of them on a line.
pub fn fit_plane(values: &[PlacedValue], minimum: usize) -> Option<Plane> {
    let minimum = minimum.max(5);
    let mut sample: Vec<PlacedValue> = values
        .iter()
        .copied()
        .filter(|each| {
            [each.x, each.y, each.value].iter().all(|number| number.is_finite())
                && each.error.is_finite()
                && each.error > 0.0
        })
        .collect();
    // Before the slopes are known they count as scatter.
    let plain: Vec<f64> = sample.iter().map(|each| each.value).collect();
    let (centre, spread) = median_and_deviation(&plain)?;
    sample.retain(|each| (each.value - centre).abs() <= 5.0 * spread.max(each.error));
    for _ in 0..MOST_STEPS {
        if sample.len() < minimum {
            return None;
        }
        let found = solve(&sample)?;
        let residuals: Vec<f64> = sample.iter().map(|each| found.residual(each)).collect();
        let (_, deviation) = median_and_deviation(&residuals)?;
        let before = sample.len();
        sample.retain(|each| found.residual(each).abs() <= CLIP_SIGMA * deviation.max(each.error));
        if sample.len() == before {
            return Some(found);
        }
    }
    (sample.len() >= minimum).then(|| solve(&sample)).flatten()
}

impl Plane {
    fn residual(&self, each: &PlacedValue) -> f64 {
        each.value - self.height - self.slope.0 * each.x - self.slope.1 * each.y
    }
}

fn solve(sample: &[PlacedValue]) -> Option<Plane> {
    // A unit in which the places are of order one.
    let scale = sample.iter().map(|each| each.x.abs().max(each.y.abs())).fold(1.0, f64::max);
    let (mut normal, mut right) = (Matrix3::zeros(), Vector3::zeros());
    for each in sample {
        let row = Vector3::new(1.0, each.x / scale, each.y / scale);
        let weight = each.error.powi(-2);
        normal += weight * row * row.transpose();
        right += weight * each.value * row;
    }
    let total = normal[(0, 0)];
    let determinant = (normal / total).determinant();
    if determinant.is_nan() || determinant < 1e-6 {
        return None;
    }
    let found = normal.try_inverse()? * right;
    let plane = Plane {
        height: found[0],
        slope: (found[1] / scale, found[2] / scale),
        significance: 0.0,
        count: sample.len(),
    };
    let chi_square = |residual: &dyn Fn(&PlacedValue) -> f64| {
        sample.iter().map(|each| (residual(each) / each.error).powi(2)).sum::<f64>()
    };
    let mean = right[0] / total;
    let flat = chi_square(&|each| each.value - mean);
    let sloped = chi_square(&|each| plane.residual(each));
    let reduced = (sloped / (sample.len().saturating_sub(3)).max(1) as f64).max(1.0);
    let significance = (flat - sloped) / reduced;
    (significance.is_finite() && plane.height.is_finite())
        .then_some(Plane { significance, ..plane })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::synthetic::Generator;

    fn values(seed: u64, count: usize, slope: (f64, f64), outliers: usize) -> Vec<PlacedValue> {
        let mut generator = Generator::new(seed);
        (0..count)
            .map(|index| {
                let (x, y) =
                    (1000.0 * generator.uniform() - 500.0, 1000.0 * generator.uniform() - 500.0);
                let error = 0.003 + 0.005 * generator.uniform();
                let wrong = if index < outliers { 0.1 } else { 0.0 };
                let value = 25.0 + slope.0 * x + slope.1 * y + error * generator.normal() + wrong;
                PlacedValue { x, y, value, error }
            })
            .collect()
    }

    #[test]
    fn slopes_are_found_and_chance_is_not_significant() {
        let mut by_chance = 0;
        for seed in 0..200 {
            let found = fit_plane(&values(seed, 40, (2e-5, -1e-5), 4), 12).unwrap();
            assert!((found.height - 25.0).abs() < 0.005, "{found:?}");
            assert!((found.slope.0 - 2e-5).abs() < 1.5e-5, "{found:?}");
            assert!((found.slope.1 + 1e-5).abs() < 1.5e-5, "{found:?}");
            assert!(found.significance > 10.0, "{found:?}");
            let flat = fit_plane(&values(seed + 1000, 40, (0.0, 0.0), 0), 12).unwrap();
            by_chance += usize::from(flat.significance > 13.8);
        }
        assert!(by_chance <= 4, "{by_chance} of 200");
    }

    #[test]
    fn too_few_values_and_a_line_have_none() {
        assert_eq!(fit_plane(&values(1, 11, (0.0, 0.0), 0), 12), None);
        assert_eq!(fit_plane(&[], 0), None);
        let line: Vec<PlacedValue> = (0..20)
            .map(|step| PlacedValue {
                x: f64::from(step),
                y: 2.0 * f64::from(step),
                value: 1.0,
                error: 0.1,
            })
            .collect();
        assert_eq!(fit_plane(&line, 5), None);
    }
}
