//! Photometric zero point of a frame against catalogue magnitudes.

/// Stars farther from the median than this many robust deviations are variables, blends or wrong matches.
const CLIP_SIGMA: f64 = 3.0;
const CLIP_ITERATIONS: usize = 5;
/// Scatter below which clipping would only feed on rounding, magnitudes.
const SMALLEST_SCATTER: f64 = 1e-4;
/// Turns a median absolute deviation into the standard deviation of a normal law.
const NORMAL_DEVIATION: f64 = 1.4826;
/// 2.5 / ln 10: relative flux error to magnitude error.
const MAGNITUDES_PER_RELATIVE: f64 = 1.085_736_204_758_129_6;

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
    pub star_count: usize,
}

/// What one star says, and how well.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    zero_point: f64,
    variance: f64,
}

/// Weighted mean of the stars left after clipping about the median. Stars with a flux or error that is no positive number do not
/// count. `None` with fewer than `minimum_stars` after clipping.
pub fn fit(stars: &[CalibrationStar], minimum_stars: usize) -> Option<ZeroPoint> {
    let mut kept: Vec<Estimate> = stars.iter().filter_map(estimate).collect();
    let needed = minimum_stars.max(1);
    for _ in 0..CLIP_ITERATIONS {
        if kept.len() < needed {
            return None;
        }
        let (centre, scatter) = centre_and_scatter(&kept);
        let before = kept.len();
        kept.retain(|star| {
            // A star may be as far off as the scatter or as its own error allows.
            let allowed = CLIP_SIGMA * (scatter.powi(2) + star.variance).sqrt();
            (star.zero_point - centre).abs() <= allowed
        });
        if kept.len() == before {
            break;
        }
    }
    if kept.len() < needed {
        return None;
    }
    let (_, scatter) = centre_and_scatter(&kept);
    // What the stars scatter beyond their own errors (colour, flat field) counts for each of them alike.
    let typical = kept.iter().map(|star| star.variance).sum::<f64>() / kept.len() as f64;
    let intrinsic = (scatter.powi(2) - typical).max(0.0);
    let (mut weights, mut sum) = (0.0, 0.0);
    for star in &kept {
        let weight = 1.0 / (star.variance + intrinsic).max(SMALLEST_SCATTER.powi(2));
        weights += weight;
        sum += weight * star.zero_point;
    }
    Some(ZeroPoint {
        value: sum / weights,
        error: weights.sqrt().recip(),
        scatter,
        star_count: kept.len(),
    })
}

fn estimate(star: &CalibrationStar) -> Option<Estimate> {
    let is_usable = star.flux > 0.0
        && star.flux.is_finite()
        && star.flux_error >= 0.0
        && star.flux_error.is_finite()
        && star.magnitude.is_finite()
        && star.magnitude_error.is_finite();
    is_usable.then(|| {
        let relative = MAGNITUDES_PER_RELATIVE * star.flux_error / star.flux;
        Estimate {
            zero_point: star.magnitude + 2.5 * star.flux.log10(),
            variance: relative.powi(2) + star.magnitude_error.powi(2),
        }
    })
}

fn centre_and_scatter(stars: &[Estimate]) -> (f64, f64) {
    let mut values: Vec<f64> = stars.iter().map(|star| star.zero_point).collect();
    let centre = median(&mut values);
    let mut deviations: Vec<f64> =
        stars.iter().map(|star| (star.zero_point - centre).abs()).collect();
    (centre, (NORMAL_DEVIATION * median(&mut deviations)).max(SMALLEST_SCATTER))
}

/// Median of a list that is not empty; zero for an empty one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values {
        [] => 0.0,
        _ if values.len() % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn star(zero_point: f64, magnitude: f64, offset: f64) -> CalibrationStar {
        let flux = 10_f64.powf(0.4 * (zero_point - magnitude - offset));
        CalibrationStar { flux, flux_error: 0.005 * flux, magnitude, magnitude_error: 0.01 }
    }

    #[test]
    fn blends_and_variables_do_not_move_it() {
        let mut stars: Vec<_> = (0..40)
            .map(|index| star(22.8, 14.0 + 0.1 * f64::from(index), 0.01 * f64::from(index % 3 - 1)))
            .collect();
        stars.extend([star(22.8, 15.0, -1.2), star(22.8, 16.0, -0.7), star(22.8, 17.0, 2.0)]);
        let fitted = fit(&stars, 5).unwrap();
        assert!((fitted.value - 22.8).abs() < 0.003, "{fitted:?}");
        assert_eq!(fitted.star_count, 40);
        assert!(fitted.scatter < 0.02 && fitted.error < 0.004, "{fitted:?}");
    }

    #[test]
    fn three_exact_stars_are_enough_and_two_are_not() {
        let stars: Vec<_> = [15.0, 16.0, 17.0].iter().map(|m| star(25.0, *m, 0.0)).collect();
        assert!((fit(&stars, 3).unwrap().value - 25.0).abs() < 1e-9);
        assert!(fit(&stars[..2], 3).is_none());
        assert!(fit(&[], 0).is_none());
    }

    #[test]
    fn what_is_no_number_does_not_count() {
        let mut stars: Vec<_> = (0..5).map(|_| star(25.0, 15.0, 0.0)).collect();
        stars.push(CalibrationStar { flux: f64::NAN, ..stars[0] });
        stars.push(CalibrationStar { flux: -1.0, ..stars[0] });
        assert_eq!(fit(&stars, 3).unwrap().star_count, 5);
    }
}
