//! Does a source fade? Weighted fit of a power law against a constant.

/// A flux at a time; any linear flux unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FluxPoint {
    /// Seconds after T0, > 0.
    pub seconds: f64,
    pub flux: f64,
    pub flux_error: f64,
}

/// F = F₆₀ (t / 60 s)^(−α).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLaw {
    pub flux_at_60_seconds: f64,
    pub index: f64,
    pub index_error: f64,
    pub chi_square: f64,
    pub degrees_of_freedom: usize,
    /// χ² of the best constant.
    pub constant_chi_square: f64,
    pub point_count: usize,
}

/// Indices looked at. Afterglows fade with 0.5 to 3; flares rise with −3.
const INDEX_RANGE: (f64, f64) = (-6.0, 8.0);
/// First steps of the search over the index.
const COARSE_STEPS: usize = 280;
/// No flux is known better than this share.
const SMALLEST_RELATIVE_ERROR: f64 = 1e-9;

/// Fits in flux (not magnitudes, so that points of low signal count rightly), with `relative_floor` of systematic error
/// added in quadrature (0.01 is one hundredth of the flux). `None` with fewer than two usable points.
///
/// For each index the amplitude is a linear least-squares problem, so only the index is searched: on a grid between −6 and 8,
/// then by golden section. The index's error is that of the linearised problem, (JᵀWJ)⁻¹.
/// Also `None` where all points have one time, or no positive amplitude fits. Where the later flux is nil the index stops at
/// the end of the range: a lower limit, with an error that says so.
pub fn fit_power_law(points: &[FluxPoint], relative_floor: f64) -> Option<PowerLaw> {
    let problem = Problem::new(points, relative_floor)?;
    let step = (INDEX_RANGE.1 - INDEX_RANGE.0) / COARSE_STEPS as f64;
    let coarse = (0..=COARSE_STEPS)
        .map(|number| INDEX_RANGE.0 + step * number as f64)
        .map(|index| (problem.at(index).chi_square, index))
        .filter(|(chi_square, _)| chi_square.is_finite())
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    let index = problem.minimum_between(
        (coarse.1 - step).max(INDEX_RANGE.0),
        (coarse.1 + step).min(INDEX_RANGE.1),
    );
    let best = problem.at(index);
    if best.amplitude.is_nan() || best.amplitude <= 0.0 {
        return None;
    }
    let index_error = problem.index_error(index, best.amplitude)?;
    let flux_at_60_seconds = best.amplitude * (-index * (60f64.ln() - problem.pivot)).exp();
    let fit = PowerLaw {
        flux_at_60_seconds,
        index,
        index_error,
        chi_square: best.chi_square,
        degrees_of_freedom: problem.points.len() - 2,
        constant_chi_square: problem.at(0.0).chi_square,
        point_count: problem.points.len(),
    };
    (fit.flux_at_60_seconds.is_finite() && fit.index_error.is_finite()).then_some(fit)
}

/// Points with the logarithm of their times about a pivot, which keeps amplitude and index nearly uncorrelated.
struct Problem {
    points: Vec<Weighted>,
    pivot: f64,
}

struct Weighted {
    /// ln t − pivot.
    log_time: f64,
    flux: f64,
    weight: f64,
}

struct AtIndex {
    /// Flux at the pivot.
    amplitude: f64,
    chi_square: f64,
}

impl Problem {
    fn new(points: &[FluxPoint], relative_floor: f64) -> Option<Self> {
        let floor = if relative_floor.is_finite() { relative_floor.abs() } else { 0.0 };
        let mut usable: Vec<Weighted> = points
            .iter()
            .filter(|point| {
                point.seconds.is_finite()
                    && point.seconds > 0.0
                    && point.flux.is_finite()
                    && point.flux_error.is_finite()
                    && point.flux_error >= 0.0
            })
            .filter_map(|point| {
                let systematic = floor.max(SMALLEST_RELATIVE_ERROR) * point.flux;
                let variance = point.flux_error * point.flux_error + systematic * systematic;
                let weight = 1.0 / variance;
                let usable = weight.is_finite() && weight > 0.0;
                usable.then_some(Weighted {
                    log_time: point.seconds.ln(),
                    flux: point.flux,
                    weight,
                })
            })
            .collect();
        if usable.len() < 2 {
            return None;
        }
        // Where the signal is: far from there the amplitude would be an extrapolation.
        let signal = |point: &Weighted| point.weight * point.flux * point.flux;
        let total: f64 = usable.iter().map(signal).sum();
        let pivot = usable.iter().map(|point| signal(point) * point.log_time).sum::<f64>() / total;
        let (first, last) =
            usable.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |range, point| {
                (range.0.min(point.log_time), range.1.max(point.log_time))
            });
        if !pivot.is_finite() || last - first < 1e-9 {
            return None;
        }
        for point in &mut usable {
            point.log_time -= pivot;
        }
        Some(Self { points: usable, pivot })
    }

    fn at(&self, index: f64) -> AtIndex {
        let (mut shape_flux, mut shape_square) = (0.0, 0.0);
        for point in &self.points {
            let shape = (-index * point.log_time).exp();
            shape_flux += point.weight * shape * point.flux;
            shape_square += point.weight * shape * shape;
        }
        let amplitude = shape_flux / shape_square;
        let chi_square = self
            .points
            .iter()
            .map(|point| {
                let model = amplitude * (-index * point.log_time).exp();
                point.weight * (point.flux - model).powi(2)
            })
            .sum();
        AtIndex { amplitude, chi_square }
    }

    /// Golden section, then Gauss–Newton steps, which settle the digits that χ² is too flat to tell.
    fn minimum_between(&self, mut low: f64, mut high: f64) -> f64 {
        let golden = (5f64.sqrt() - 1.0) / 2.0;
        let (from, to) = (low, high);
        for _ in 0..40 {
            let (left, right) = (high - golden * (high - low), low + golden * (high - low));
            if self.at(left).chi_square <= self.at(right).chi_square {
                high = right;
            } else {
                low = left;
            }
        }
        let mut index = (low + high) / 2.0;
        for _ in 0..8 {
            let Some(step) = self.newton_step(index) else { break };
            let next = (index + step).clamp(from, to);
            let scale = 1e-12 * (1.0 + self.at(index).chi_square);
            if self.at(next).chi_square > self.at(index).chi_square + scale {
                break;
            }
            index = next;
        }
        index
    }

    /// Sums of the linearised problem: with J = (∂F/∂A, ∂F/∂α), the elements of JᵀWJ and JᵀW(residual).
    fn linearised(&self, index: f64, amplitude: f64) -> ([f64; 3], [f64; 2]) {
        let (mut normal, mut right) = ([0.0; 3], [0.0; 2]);
        for point in &self.points {
            let by_amplitude = (-index * point.log_time).exp();
            let by_index = -amplitude * point.log_time * by_amplitude;
            let residual = point.flux - amplitude * by_amplitude;
            normal[0] += point.weight * by_amplitude * by_amplitude;
            normal[1] += point.weight * by_amplitude * by_index;
            normal[2] += point.weight * by_index * by_index;
            right[0] += point.weight * by_amplitude * residual;
            right[1] += point.weight * by_index * residual;
        }
        (normal, right)
    }

    fn newton_step(&self, index: f64) -> Option<f64> {
        let (normal, right) = self.linearised(index, self.at(index).amplitude);
        let determinant = normal[0] * normal[2] - normal[1] * normal[1];
        let step = (normal[0] * right[1] - normal[1] * right[0]) / determinant;
        step.is_finite().then_some(step)
    }

    fn index_error(&self, index: f64, amplitude: f64) -> Option<f64> {
        let (normal, _) = self.linearised(index, amplitude);
        let determinant = normal[0] * normal[2] - normal[1] * normal[1];
        let variance = normal[0] / determinant;
        (variance.is_finite() && variance > 0.0).then(|| variance.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Written by `tests/oracles/fading.py` with scipy.optimize.curve_fit.
    const ORACLE: &str = include_str!("../../tests/oracles/fading.json");

    fn points(values: &[(f64, f64, f64)]) -> Vec<FluxPoint> {
        let point = |&(seconds, flux, flux_error): &(f64, f64, f64)| FluxPoint {
            seconds,
            flux,
            flux_error,
        };
        values.iter().map(point).collect()
    }

    #[test]
    fn agrees_with_curve_fit() {
        let oracle: Value = serde_json::from_str(ORACLE).unwrap();
        let cases = oracle["cases"].as_array().unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let number = |key: &str| case[key].as_f64().unwrap();
            let values: Vec<(f64, f64, f64)> = case["points"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| (p[0].as_f64().unwrap(), p[1].as_f64().unwrap(), p[2].as_f64().unwrap()))
                .collect();
            let fit = fit_power_law(&points(&values), number("relative_floor")).unwrap();
            let name = &case["name"];
            assert!(
                (fit.index - number("index")).abs() < 1e-3 * number("index_error"),
                "{name} {fit:?}"
            );
            assert!((fit.index_error / number("index_error") - 1.0).abs() < 1e-3, "{name} {fit:?}");
            let amplitude = number("flux_at_60_seconds");
            assert!((fit.flux_at_60_seconds / amplitude - 1.0).abs() < 1e-3, "{name} {fit:?}");
            assert!((fit.chi_square - number("chi_square")).abs() < 1e-4, "{name} {fit:?}");
            let constant = number("constant_chi_square");
            assert!((fit.constant_chi_square / constant - 1.0).abs() < 1e-9, "{name} {fit:?}");
        }
    }

    #[test]
    fn two_points_are_met_exactly() {
        let fit = fit_power_law(&points(&[(120.0, 100.0, 1.0), (480.0, 25.0, 1.0)]), 0.0).unwrap();
        assert!((fit.index - 1.0).abs() < 1e-9, "{fit:?}");
        assert!((fit.flux_at_60_seconds - 200.0).abs() < 1e-6);
        assert!(fit.chi_square < 1e-12);
        assert_eq!(fit.degrees_of_freedom, 0);
        // Var α = (σ₁²/F₁² + σ₂²/F₂²) / ln²(t₂/t₁).
        let expected = (1e-4_f64 + 1.6e-3).sqrt() / 4f64.ln();
        assert!((fit.index_error - expected).abs() < 1e-9);
    }

    #[test]
    fn a_constant_is_told_from_a_fading_source() {
        let steady = points(&[
            (60.0, 50.0, 1.0),
            (300.0, 50.4, 1.0),
            (600.0, 49.7, 1.0),
            (3600.0, 50.1, 1.0),
        ]);
        let fit = fit_power_law(&steady, 0.01).unwrap();
        assert!(fit.index.abs() < 3.0 * fit.index_error);
        assert!(fit.constant_chi_square - fit.chi_square < 4.0);
    }

    #[test]
    fn a_source_gone_at_the_second_look_has_a_steep_uncertain_index() {
        let gone = points(&[(100.0, 50.0, 1.0), (400.0, -0.3, 1.0)]);
        let fit = fit_power_law(&gone, 0.0).unwrap();
        assert!(fit.index > 2.5, "{fit:?}");
        assert!(fit.constant_chi_square > 1000.0);
    }

    #[test]
    fn what_cannot_be_fitted_is_none() {
        assert!(fit_power_law(&[], 0.01).is_none());
        let one = (60.0, 10.0, 1.0);
        assert!(fit_power_law(&points(&[one]), 0.01).is_none());
        assert!(fit_power_law(&points(&[one, one]), 0.01).is_none());
        let unusable = [
            (0.0, 10.0, 1.0),
            (60.0, f64::NAN, 1.0),
            (90.0, 5.0, f64::NAN),
            (90.0, 5.0, -1.0),
            one,
        ];
        assert!(fit_power_law(&points(&unusable), 0.01).is_none());
        assert!(fit_power_law(&points(&[(60.0, -10.0, 1.0), (90.0, -5.0, 1.0)]), 0.01).is_none());
        assert!(fit_power_law(&points(&[(60.0, 0.0, 0.0), (90.0, 0.0, 0.0)]), 0.01).is_none());
    }
}
