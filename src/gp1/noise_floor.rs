//! What frame-to-frame photometry is really worth: the scatter of catalogued stars beyond their stated errors.
//!
//! Flat-field errors, crowding and changing seeing make constant stars vary. A source fades only if it varies by more.

use crate::imaging::statistics::median_and_deviation;

/// Width of the bins.
const BIN_MAGNITUDES: f64 = 1.0;
/// With fewer residuals a bin says nothing.
const FEWEST_RESIDUALS: usize = 12;
/// No frame-to-frame photometry is better than this.
const LEAST_FLOOR: f64 = 0.005;
/// Where too few stars were measured to say.
const ASSUMED_FLOOR: f64 = 0.02;

/// One constant star: its magnitude, and flux and error on each frame, in one linear unit.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlStar {
    pub magnitude: f64,
    pub fluxes: Vec<(f64, f64)>,
}

/// Relative systematic error by magnitude.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NoiseFloor {
    /// Middle of the bin and floor, bright to faint.
    bins: Vec<(f64, f64)>,
}

impl NoiseFloor {
    /// In each bin the floor that, added in quadrature to the stated errors, makes the residuals about each star's mean as
    /// wide as they should be.
    pub fn measure(stars: &[ControlStar]) -> Self {
        // Of each residual: magnitude, residual in units of the flux, stated error in those units.
        let mut residuals: Vec<(f64, f64, f64)> = Vec::new();
        for star in stars {
            let usable: Vec<(f64, f64)> = star
                .fluxes
                .iter()
                .copied()
                .filter(|(flux, error)| flux.is_finite() && error.is_finite() && *error > 0.0)
                .collect();
            if usable.len() < 2 {
                continue;
            }
            // Unweighted: with a floor in play, the smallest stated error must not pull the mean to itself.
            let count = usable.len() as f64;
            let mean = usable.iter().map(|(flux, _)| flux).sum::<f64>() / count;
            if mean <= 0.0 {
                continue;
            }
            // A residual about the mean of n is narrower than the error by √(1 − 1/n).
            let widen = (1.0 - 1.0 / count).sqrt().recip();
            for (flux, error) in usable {
                residuals.push((star.magnitude, widen * (flux - mean) / mean, error / mean));
            }
        }
        let bin_of = |magnitude: f64| (magnitude / BIN_MAGNITUDES).floor() as i64;
        let mut numbers: Vec<i64> = residuals.iter().map(|each| bin_of(each.0)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let bins = numbers
            .into_iter()
            .filter_map(|number| {
                let members: Vec<&(f64, f64, f64)> =
                    residuals.iter().filter(|each| bin_of(each.0) == number).collect();
                if members.len() < FEWEST_RESIDUALS {
                    return None;
                }
                let middle = (number as f64 + 0.5) * BIN_MAGNITUDES;
                Some((middle, floor_of(&members)))
            })
            .collect();
        Self { bins }
    }

    /// The floor at a magnitude: that of the nearest bin that says something.
    pub fn at(&self, magnitude: f64) -> f64 {
        self.bins
            .iter()
            .min_by(|left, right| {
                (left.0 - magnitude).abs().total_cmp(&(right.0 - magnitude).abs())
            })
            .map_or(ASSUMED_FLOOR, |bin| bin.1)
    }
}

/// Solves for s: the robust width of r / √(e² + s²) is 1. The width falls as s grows, so bisection finds it.
fn floor_of(members: &[&(f64, f64, f64)]) -> f64 {
    let width = |floor: f64| {
        let scaled: Vec<f64> =
            members.iter().map(|(_, residual, error)| residual / error.hypot(floor)).collect();
        // About zero, not about their median: a common shift of all is an error too.
        let both_sides: Vec<f64> = scaled.iter().flat_map(|value| [*value, -*value]).collect();
        median_and_deviation(&both_sides).map_or(0.0, |(_, deviation)| deviation)
    };
    if width(LEAST_FLOOR) <= 1.0 {
        return LEAST_FLOOR;
    }
    let (mut low, mut high) = (LEAST_FLOOR, 1.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if width(middle) > 1.0 { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};

    /// Stars with a stated error and a true systematic one, both relative.
    fn stars(magnitude: f64, stated: f64, systematic: f64, frames: usize) -> Vec<ControlStar> {
        let mut generator = ChaCha8Rng::seed_from_u64(7);
        let noise = Normal::new(0.0, stated.hypot(systematic)).unwrap();
        (0..200)
            .map(|_| ControlStar {
                magnitude,
                fluxes: (0..frames)
                    .map(|_| (1000.0 * (1.0 + noise.sample(&mut generator)), 1000.0 * stated))
                    .collect(),
            })
            .collect()
    }

    #[test]
    fn the_floor_is_what_the_stated_errors_leave_unexplained() {
        for frames in [2, 8] {
            let floor = NoiseFloor::measure(&stars(16.4, 0.01, 0.03, frames)).at(16.0);
            assert!((floor / 0.03 - 1.0).abs() < 0.15, "{floor}");
            let none = NoiseFloor::measure(&stars(16.4, 0.03, 0.0, frames)).at(16.0);
            assert!(none < 0.012, "{none}");
        }
    }

    #[test]
    fn the_nearest_bin_speaks_and_without_stars_a_stated_guess() {
        let mut all = stars(15.5, 0.001, 0.01, 4);
        all.extend(stars(18.5, 0.02, 0.08, 4));
        let floor = NoiseFloor::measure(&all);
        assert!(floor.at(14.0) < 0.02);
        assert!(floor.at(20.0) > 0.06);
        assert_eq!(NoiseFloor::default().at(17.0), ASSUMED_FLOOR);
        assert_eq!(NoiseFloor::measure(&stars(16.0, 0.01, 0.0, 1)).at(16.0), ASSUMED_FLOOR);
    }
}
