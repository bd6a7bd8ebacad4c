//! Photometric zero point of a frame against catalogue magnitudes.

/// One star: flux in electrons per second with its error, and the catalogue magnitude with its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationStar {
    pub flux: f64,
    pub flux_error: f64,
    pub magnitude: f64,
    pub magnitude_error: f64,
}

/// m = zero point − 2.5 log₁₀(electrons per second).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZeroPoint {
    pub value: f64,
    /// Standard error of the value.
    pub error: f64,
    /// Robust scatter of the stars about it.
    pub scatter: f64,
    /// What the stated errors do not explain of it, at least [`ERROR_FLOOR`].
    pub intrinsic_scatter: f64,
    pub star_count: usize,
}

/// Systematic error that no single star beats (flat field, transparency over the field): magnitudes.
pub const ERROR_FLOOR: f64 = 0.01;
/// Stars farther from the median than this many of their own standard deviations are left out.
pub(super) const CLIP_SIGMA: f64 = 3.0;

/// Weighted fit with clipping about the median. `None` with fewer than `minimum_stars` after clipping.
///
/// Stars without a positive flux, and with numbers that are not finite, are left out. Variables and blends are outliers that
/// errors do not explain; they are clipped about the weighted median until nothing changes. Each star's variance is
/// its own plus the scatter beyond the errors that the sample itself shows, so that a few bright stars do not decide alone.
pub fn fit(stars: &[CalibrationStar], minimum_stars: usize) -> Option<ZeroPoint> {
    let mut sample: Vec<Estimate> = stars.iter().filter_map(Estimate::of).collect();
    let needed = minimum_stars.max(1);
    let mut excess_variance = 0.0;
    for _ in 0..30 {
        if sample.len() < needed {
            return None;
        }
        let centre = weighted_median(&mut sample, excess_variance)?;
        excess_variance = excess(&sample, centre);
        let before = sample.len();
        let spread = robust_spread(&sample, centre);
        sample.retain(|star| {
            // With a handful of stars the spread is a poor guide, and errors alone may call every star an outlier.
            let sigma = star.variance.sqrt().max(spread);
            (star.value - centre).abs() <= CLIP_SIGMA * sigma
        });
        if sample.len() == before {
            break;
        }
    }
    if sample.len() < needed {
        return None;
    }
    let weight = |star: &Estimate| 1.0 / (star.variance + excess_variance);
    let total: f64 = sample.iter().map(weight).sum();
    let value = sample.iter().map(|star| weight(star) * star.value).sum::<f64>() / total;
    // Not smaller than what the stars' own disagreement says.
    let disagreement =
        sample.iter().map(|star| (weight(star) * (star.value - value)).powi(2)).sum::<f64>().sqrt()
            / total;
    let error = (1.0 / total).sqrt().max(disagreement);
    let scatter = robust_spread(&sample, value);
    (value.is_finite() && error.is_finite()).then_some(ZeroPoint {
        value,
        error,
        scatter,
        intrinsic_scatter: (excess_variance + ERROR_FLOOR * ERROR_FLOOR).sqrt(),
        star_count: sample.len(),
    })
}

/// The zero point by one star, with its variance.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    value: f64,
    variance: f64,
}

impl Estimate {
    fn of(star: &CalibrationStar) -> Option<Self> {
        if !star.flux.is_finite() || star.flux <= 0.0 {
            return None;
        }
        let value = star.magnitude + 2.5 * star.flux.log10();
        // d(2.5 log₁₀ F) = 2.5 / ln 10 · dF / F.
        let photon = 2.5 / std::f64::consts::LN_10 * star.flux_error / star.flux;
        let variance = photon * photon
            + star.magnitude_error * star.magnitude_error
            + ERROR_FLOOR * ERROR_FLOOR;
        (value.is_finite() && variance.is_finite()).then_some(Self { value, variance })
    }
}

/// The value with half of the weight on each side; sorts the sample.
fn weighted_median(sample: &mut [Estimate], excess_variance: f64) -> Option<f64> {
    sample.sort_by(|a, b| a.value.total_cmp(&b.value).then(a.variance.total_cmp(&b.variance)));
    // Standard deviations, not variances: the median is to stay robust against single heavy stars.
    let weight = |star: &Estimate| 1.0 / (star.variance + excess_variance).sqrt();
    let half = sample.iter().map(weight).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    let mut crossed: Option<f64> = None;
    for star in sample.iter() {
        if let Some(lower) = crossed {
            return Some((lower + star.value) / 2.0);
        }
        sum += weight(star);
        if sum > half * (1.0 + 1e-12) {
            return Some(star.value);
        }
        if sum >= half * (1.0 - 1e-12) {
            crossed = Some(star.value);
        }
    }
    crossed
}

/// 1.4826 × the median absolute deviation from `centre`.
fn robust_spread(sample: &[Estimate], centre: f64) -> f64 {
    let deviations = sample.iter().map(|star| (star.value - centre).abs());
    1.4826 * median(deviations.collect()).unwrap_or(0.0)
}

/// Variance beyond the errors, from the median of squared deviations in units of the errors.
fn excess(sample: &[Estimate], centre: f64) -> f64 {
    let spread = robust_spread(sample, centre);
    let typical = median(sample.iter().map(|star| star.variance).collect()).unwrap_or(0.0);
    (spread * spread - typical).max(0.0)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some((values[middle - 1] + upper) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};

    fn star(magnitude: f64, zero_point: f64, flux_error: f64) -> CalibrationStar {
        let flux = 10f64.powf(-0.4 * (magnitude - zero_point));
        CalibrationStar { flux, flux_error, magnitude, magnitude_error: 0.02 }
    }

    fn field(random: &mut ChaCha8Rng, count: usize, bad_share: f64) -> Vec<CalibrationStar> {
        (0..count)
            .map(|_| {
                let magnitude = random.random_range(13.0..19.0);
                let mut one = star(magnitude, 24.0, 0.0);
                one.flux_error = (one.flux / 60.0 + 4.0).sqrt();
                one.flux += Normal::new(0.0, one.flux_error).unwrap().sample(random);
                one.magnitude += Normal::new(0.0, 0.02).unwrap().sample(random);
                if random.random::<f64>() < bad_share {
                    // Blends are too bright; variables go both ways.
                    one.flux *= 10f64.powf(0.4 * random.random_range(-0.3..1.5));
                }
                one
            })
            .collect()
    }

    #[test]
    fn clean_stars_give_the_value_within_the_error() {
        let mut pulls = Vec::new();
        for seed in 0..200 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let zero_point = fit(&field(&mut random, 60, 0.0), 3).unwrap();
            assert!((zero_point.value - 24.0).abs() < 5.0 * zero_point.error);
            pulls.push((zero_point.value - 24.0) / zero_point.error);
        }
        let mean_square = pulls.iter().map(|pull| pull * pull).sum::<f64>() / 200.0;
        assert!((0.4..1.4).contains(&mean_square), "{mean_square}");
    }

    #[test]
    fn a_quarter_of_variables_and_blends_does_not_matter() {
        for seed in 0..200 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let zero_point = fit(&field(&mut random, 60, 0.25), 3).unwrap();
            assert!((zero_point.value - 24.0).abs() < 0.03, "{seed}: {zero_point:?}");
            assert!(zero_point.star_count >= 30);
        }
    }

    #[test]
    fn three_stars_are_enough_and_a_fourth_is_found_out() {
        let stars = [star(15.0, 22.00, 1.0), star(16.0, 22.01, 1.0), star(14.5, 21.99, 1.0)];
        let three = fit(&stars, 3).unwrap();
        assert!((three.value - 22.0).abs() < 0.01);
        assert!(three.error > 0.005 && three.error < 0.03);
        let mut four = stars.to_vec();
        four.push(star(15.2, 23.0, 1.0));
        let zero_point = fit(&four, 3).unwrap();
        assert_eq!(zero_point.star_count, 3);
        assert!((zero_point.value - 22.0).abs() < 0.01);
        assert!(fit(&four, 4).is_none());
    }

    #[test]
    fn scatter_is_what_the_stars_show() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let noise = Normal::new(0.0, 0.1).unwrap();
        let stars: Vec<_> =
            (0..400).map(|_| star(15.0, 22.0 + noise.sample(&mut random), 0.1)).collect();
        let zero_point = fit(&stars, 3).unwrap();
        assert!((zero_point.scatter - 0.1).abs() < 0.015, "{zero_point:?}");
        assert!((zero_point.error - 0.005).abs() < 0.002, "{zero_point:?}");
    }

    #[test]
    fn unusable_stars_are_left_out() {
        let good = star(15.0, 22.0, 1.0);
        let bad = [
            CalibrationStar { flux: -3.0, ..good },
            CalibrationStar { flux: 0.0, ..good },
            CalibrationStar { flux: f64::NAN, ..good },
            CalibrationStar { flux_error: f64::INFINITY, ..good },
            CalibrationStar { magnitude: f64::NAN, ..good },
        ];
        assert!(fit(&bad, 1).is_none());
        assert!(fit(&[], 0).is_none());
        let mut mixed = bad.to_vec();
        mixed.extend([good; 3]);
        assert_eq!(fit(&mixed, 3).unwrap().star_count, 3);
    }
}
