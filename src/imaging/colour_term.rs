//! Photometric zero point together with a colour term.
//!
//! m(catalogue) + 2.5 log₁₀(electrons per second) = zero point + c · (colour − reference colour), by clipped, weighted least squares that begins
//! at the slope of Theil (1950) and Sen (1968), which a quarter of variables and blends does not move. Errors of the colours, and those they share with the
//! magnitudes, are taken out of the moments (Akritas & Bershady 1996, ApJ 470, 706, section 2).

use super::statistics::median_and_deviation;
use super::zero_point::{CLIP_SIGMA, CalibrationStar, ERROR_FLOOR, ZeroPoint, fit};

/// Stars whose pairs give the first slope, at most: a bound on time.
const MOST_PAIRED: usize = 300;
/// Pairs nearer in colour say nothing of the slope.
const LEAST_COLOUR_DIFFERENCE: f64 = 0.05;
/// The stars' colours must differ by more than their errors: this share of their variance is true.
const LEAST_TRUE_SHARE: f64 = 0.3;
const MOST_STEPS: usize = 30;

/// A star of which the colour is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColouredStar {
    pub star: CalibrationStar,
    pub colour: f64,
    /// Standard error.
    pub colour_error: f64,
    /// Of the errors of the magnitude and of the colour: the magnitude may be one of the two that make the colour.
    pub covariance: f64,
}

impl ColouredStar {
    /// The star as one of the reference colour, for a colour term `slope`.
    pub fn corrected(&self, reference_colour: f64, slope: f64) -> CalibrationStar {
        let catalogue = self.star.magnitude_error.powi(2) - 2.0 * slope * self.covariance
            + (slope * self.colour_error).powi(2);
        CalibrationStar {
            magnitude: self.star.magnitude - slope * (self.colour - reference_colour),
            magnitude_error: catalogue.max(0.0).sqrt(),
            ..self.star
        }
    }
}

/// Zero point at the reference colour, and the colour term.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourFit {
    pub zero_point: ZeroPoint,
    pub slope: f64,
    /// Standard error.
    pub slope_error: f64,
    /// Robust standard deviation of the stars' colours.
    pub colour_spread: f64,
}

/// Fits both. Errors are those of the covariance matrix, or of the stars' own disagreement where that is larger. `None` with fewer than
/// `minimum_stars` (three at least) after clipping, or without two colours.
pub fn fit_with_colour(
    stars: &[ColouredStar],
    reference_colour: f64,
    minimum_stars: usize,
) -> Option<ColourFit> {
    let needed = minimum_stars.max(3);
    let mut sample: Vec<&ColouredStar> = stars
        .iter()
        .filter(|each| {
            let numbers = [each.colour, each.colour_error, each.covariance, each.star.magnitude];
            numbers.iter().all(|number| number.is_finite())
                && each.star.flux > 0.0
                && each.star.flux.is_finite()
                && variance(each, 0.0).is_finite()
        })
        .collect();
    let mut slope = first_slope(&sample)?;
    let mut solution = None;
    for _ in 0..MOST_STEPS {
        if sample.len() < needed {
            return None;
        }
        let residual = |each: &ColouredStar| zero_point_of(each, reference_colour, slope);
        let residuals: Vec<f64> = sample.iter().map(|each| residual(each)).collect();
        let variances: Vec<f64> = sample.iter().map(|each| variance(each, slope)).collect();
        let (centre, spread) = median_and_deviation(&residuals)?;
        let typical = median_and_deviation(&variances)?.0;
        let excess = (spread * spread - typical).max(0.0);
        let before = sample.len();
        sample.retain(|each| {
            let sigma = variance(each, slope).sqrt().max(spread);
            (residual(each) - centre).abs() <= CLIP_SIGMA * sigma
        });
        let found = least_squares(&sample, reference_colour, slope, excess)?;
        let step = (found.slope - slope).abs();
        slope = found.slope;
        solution = Some((found, excess));
        if sample.len() == before && step < 1e-9 {
            break;
        }
    }
    let (found, excess) = solution.filter(|_| sample.len() >= needed)?;
    let residuals: Vec<f64> =
        sample.iter().map(|each| zero_point_of(each, reference_colour, slope)).collect();
    let deviations: Vec<f64> = residuals.iter().map(|value| (value - found.value).abs()).collect();
    let scatter = 1.482_602_218_505_602 * median_and_deviation(&deviations)?.0;
    let colours: Vec<f64> = sample.iter().map(|each| each.colour).collect();
    Some(ColourFit {
        zero_point: ZeroPoint {
            value: found.value,
            error: found.value_error,
            scatter,
            intrinsic_scatter: (excess + ERROR_FLOOR * ERROR_FLOOR).sqrt(),
            star_count: sample.len(),
        },
        slope,
        slope_error: found.slope_error,
        colour_spread: median_and_deviation(&colours)?.1,
    })
    .filter(|fit| {
        let numbers = [fit.zero_point.value, fit.zero_point.error, fit.slope, fit.slope_error];
        numbers.iter().all(|number| number.is_finite())
    })
}

/// The zero point with a colour term that is known, `(value, standard error)`.
pub fn fit_with_given_term(
    stars: &[ColouredStar],
    reference_colour: f64,
    (slope, slope_error): (f64, f64),
    minimum_stars: usize,
) -> Option<ZeroPoint> {
    let corrected: Vec<CalibrationStar> = stars
        .iter()
        .filter(|each| each.colour.is_finite())
        .map(|each| each.corrected(reference_colour, slope))
        .collect();
    let zero = fit(&corrected, minimum_stars)?;
    let colours: Vec<f64> = stars.iter().map(|each| each.colour).collect();
    let (colour, _) = median_and_deviation(&colours)?;
    let systematic = slope_error * (colour - reference_colour);
    Some(ZeroPoint { error: zero.error.hypot(systematic), ..zero })
}

/// By one star.
fn zero_point_of(each: &ColouredStar, reference_colour: f64, slope: f64) -> f64 {
    each.star.magnitude - slope * (each.colour - reference_colour) + 2.5 * each.star.flux.log10()
}

fn variance(each: &ColouredStar, slope: f64) -> f64 {
    let corrected = each.corrected(0.0, slope);
    let photon = 2.5 / std::f64::consts::LN_10 * corrected.flux_error / corrected.flux;
    photon * photon + corrected.magnitude_error.powi(2) + ERROR_FLOOR * ERROR_FLOOR
}

/// Median of the slopes of all pairs of stars with different colours.
fn first_slope(sample: &[&ColouredStar]) -> Option<f64> {
    let step = sample.len().div_ceil(MOST_PAIRED).max(1);
    let points: Vec<(f64, f64)> = sample
        .iter()
        .step_by(step)
        .map(|each| (each.colour, zero_point_of(each, 0.0, 0.0)))
        .collect();
    let mut slopes = Vec::new();
    for (index, one) in points.iter().enumerate() {
        for other in points.iter().skip(index + 1) {
            let difference = other.0 - one.0;
            if difference.abs() >= LEAST_COLOUR_DIFFERENCE {
                slopes.push((other.1 - one.1) / difference);
            }
        }
    }
    median_and_deviation(&slopes).map(|(median, _)| median)
}

struct Solution {
    value: f64,
    value_error: f64,
    slope: f64,
    slope_error: f64,
}

/// Weights with the errors for the slope so far.
fn least_squares(
    sample: &[&ColouredStar],
    reference_colour: f64,
    slope_so_far: f64,
    excess: f64,
) -> Option<Solution> {
    let points: Vec<(f64, f64, f64)> = sample
        .iter()
        .map(|each| {
            let weight = 1.0 / (variance(each, slope_so_far) + excess);
            (each.colour - reference_colour, zero_point_of(each, 0.0, 0.0), weight)
        })
        .collect();
    let sum = |term: &dyn Fn(&(f64, f64, f64)) -> f64| points.iter().map(term).sum::<f64>();
    let weights = sum(&|point| point.2);
    if weights.is_nan() || weights <= 0.0 {
        return None;
    }
    // About the mean colour value and slope are independent.
    let mean_colour = sum(&|point| point.2 * point.0) / weights;
    let mean = sum(&|point| point.2 * point.1) / weights;
    let measured = sum(&|point| point.2 * (point.0 - mean_colour).powi(2));
    // Errors of colours flatten the slope, and errors that colour and magnitude share tilt it: both are known and taken off.
    let weigh = |of: &dyn Fn(&ColouredStar) -> f64| {
        points.iter().zip(sample).map(|(point, each)| point.2 * of(each)).sum::<f64>()
    };
    let squares = measured - weigh(&|each| each.colour_error.powi(2));
    if squares.is_nan() || squares <= LEAST_TRUE_SHARE * measured {
        return None;
    }
    let products = sum(&|point| point.2 * (point.0 - mean_colour) * (point.1 - mean))
        - weigh(&|each| each.covariance);
    let slope = products / squares;
    let residual = |point: &(f64, f64, f64)| point.1 - mean - slope * (point.0 - mean_colour);
    let own_mean = sum(&|point| (point.2 * residual(point)).powi(2)).sqrt() / weights;
    let own_slope = sum(&|point| (point.2 * (point.0 - mean_colour) * residual(point)).powi(2))
        .sqrt()
        / squares;
    let mean_error = (1.0 / weights).sqrt().max(own_mean);
    let slope_error = (measured.sqrt() / squares).max(own_slope);
    Some(Solution {
        value: mean - slope * mean_colour,
        value_error: mean_error.hypot(slope_error * mean_colour),
        slope,
        slope_error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};

    const ZERO_POINT: f64 = 24.0;
    const SLOPE: f64 = -0.08;
    const REFERENCE: f64 = 0.27;

    /// Stars with colours as in a field at high latitude; the magnitude is the redder of the two that make the colour.
    fn field(seed: u64, count: usize, bad_share: f64) -> Vec<ColouredStar> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let normal = |random: &mut ChaCha8Rng, sigma: f64| -> f64 {
            Normal::new(0.0, sigma).unwrap().sample(random)
        };
        (0..count)
            .map(|_| {
                let magnitude = random.random_range(14.0..19.0);
                let colour: f64 = 0.3 + 1.1 * random.random::<f64>();
                let natural = magnitude - SLOPE * (colour - REFERENCE);
                let rate = 10f64.powf(0.4 * (ZERO_POINT - natural));
                let flux_error = (rate / 60.0 + 4.0).sqrt();
                let mut flux = rate + normal(&mut random, flux_error);
                if random.random::<f64>() < bad_share {
                    flux *= 10f64.powf(0.4 * random.random_range(-0.3..1.5));
                }
                let (red, blue) = (normal(&mut random, 0.02), normal(&mut random, 0.02));
                ColouredStar {
                    star: CalibrationStar {
                        flux,
                        flux_error,
                        magnitude: magnitude + red,
                        magnitude_error: 0.02,
                    },
                    colour: colour + blue - red,
                    colour_error: 0.02f64.hypot(0.02),
                    covariance: -0.02 * 0.02,
                }
            })
            .collect()
    }

    #[test]
    fn value_and_slope_are_within_their_errors() {
        let (mut values, mut slopes) = (Vec::new(), Vec::new());
        for seed in 0..200 {
            let found = fit_with_colour(&field(seed, 80, 0.0), REFERENCE, 15).unwrap();
            values.push((found.zero_point.value - ZERO_POINT) / found.zero_point.error);
            slopes.push((found.slope - SLOPE) / found.slope_error);
        }
        for pulls in [values, slopes] {
            let mean = pulls.iter().sum::<f64>() / 200.0;
            let square = pulls.iter().map(|pull| pull * pull).sum::<f64>() / 200.0;
            assert!(mean.abs() < 0.25 && (0.4..1.4).contains(&square), "{mean} {square}");
        }
    }

    #[test]
    fn a_quarter_of_variables_and_blends_does_not_matter() {
        for seed in 0..200 {
            let found = fit_with_colour(&field(seed, 80, 0.25), REFERENCE, 15).unwrap();
            let zero = found.zero_point;
            assert!((zero.value - ZERO_POINT).abs() < 0.04, "{seed}: {found:?}");
            assert!((found.slope - SLOPE).abs() < 0.06, "{seed}: {found:?}");
            assert!(zero.star_count >= 40 && zero.scatter < 0.06, "{seed}: {found:?}");
        }
    }

    /// Twelve stars of one colour say nothing of the slope; what is given takes its place, and its error comes in.
    #[test]
    fn a_given_term_does_for_few_stars() {
        let stars: Vec<ColouredStar> = field(3, 12, 0.0);
        let zero = fit_with_given_term(&stars, REFERENCE, (SLOPE, 0.0), 5).unwrap();
        assert!((zero.value - ZERO_POINT).abs() < 4.0 * zero.error, "{zero:?}");
        let wary = fit_with_given_term(&stars, REFERENCE, (SLOPE, 0.1), 5).unwrap();
        assert!(wary.error > 0.04 && wary.value == zero.value, "{wary:?}");
        assert!(fit_with_given_term(&stars, REFERENCE, (SLOPE, 0.0), 13).is_none());
    }

    #[test]
    fn what_gives_no_slope_gives_no_fit() {
        let one_colour: Vec<ColouredStar> = field(1, 40, 0.0)
            .into_iter()
            .map(|star| ColouredStar { colour: 0.5, ..star })
            .collect();
        assert_eq!(fit_with_colour(&one_colour, 0.0, 5), None);
        assert_eq!(fit_with_colour(&[], 0.0, 5), None);
        let mut poisoned = field(2, 40, 0.0);
        poisoned.iter_mut().for_each(|star| star.colour = f64::NAN);
        assert_eq!(fit_with_colour(&poisoned, 0.0, 5), None);
        assert_eq!(fit_with_colour(&field(2, 14, 0.0), 0.0, 15), None);
    }
}
