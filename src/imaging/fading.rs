//! Does a source fade? Weighted fit of a power law against a constant.

/// Range of α that is searched: from steep brightening to the steepest decay.
const SMALLEST_INDEX: f64 = -5.0;
const LARGEST_INDEX: f64 = 10.0;
/// Steps of the first, coarse search.
const COARSE_STEPS: usize = 300;
/// Golden-section steps after it: each narrows the interval to 0.618.
const FINE_STEPS: usize = 60;
const GOLDEN: f64 = 0.618_033_988_749_894_9;

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

/// A usable point: ln(t / 60 s), flux, weight.
#[derive(Debug, Clone, Copy)]
struct Point {
    log_time: f64,
    flux: f64,
    weight: f64,
}

/// Fits in flux (not magnitudes, so that points of low signal count rightly), with `relative_floor` of systematic error
/// added in quadrature (0.01 is one hundredth of the flux). For each α the amplitude is linear, so the search is in α alone. `None`
/// with fewer than two usable points, with all points at one time, or when no positive amplitude fits.
pub fn fit_power_law(points: &[FluxPoint], relative_floor: f64) -> Option<PowerLaw> {
    let usable: Vec<Point> =
        points.iter().filter_map(|point| usable_point(point, relative_floor)).collect();
    let first = usable.first()?;
    if usable.iter().all(|point| (point.log_time - first.log_time).abs() < 1e-9) {
        return None;
    }
    let index = best_index(&usable);
    let (amplitude, chi_square) = amplitude_and_chi_square(&usable, index);
    let (_, constant_chi_square) = amplitude_and_chi_square(&usable, 0.0);
    let is_meaningful = amplitude > 0.0 && amplitude.is_finite() && chi_square.is_finite();
    is_meaningful.then(|| PowerLaw {
        flux_at_60_seconds: amplitude,
        index,
        index_error: index_error(&usable, amplitude, index),
        chi_square,
        degrees_of_freedom: usable.len().saturating_sub(2),
        constant_chi_square,
        point_count: usable.len(),
    })
}

fn usable_point(point: &FluxPoint, relative_floor: f64) -> Option<Point> {
    let is_usable = point.seconds > 0.0
        && point.seconds.is_finite()
        && point.flux.is_finite()
        && point.flux_error > 0.0
        && point.flux_error.is_finite();
    is_usable.then(|| {
        let variance = point.flux_error.powi(2) + (relative_floor * point.flux).powi(2);
        Point { log_time: (point.seconds / 60.0).ln(), flux: point.flux, weight: variance.recip() }
    })
}

/// The linear least-squares amplitude for an α, and its χ².
fn amplitude_and_chi_square(points: &[Point], index: f64) -> (f64, f64) {
    let (mut cross, mut square) = (0.0, 0.0);
    for point in points {
        let shape = (-index * point.log_time).exp();
        cross += point.weight * point.flux * shape;
        square += point.weight * shape * shape;
    }
    let amplitude = if square > 0.0 { cross / square } else { 0.0 };
    let chi_square = points
        .iter()
        .map(|point| {
            let model = amplitude * (-index * point.log_time).exp();
            point.weight * (point.flux - model).powi(2)
        })
        .sum();
    (amplitude, chi_square)
}

fn best_index(points: &[Point]) -> f64 {
    let chi_square = |index: f64| amplitude_and_chi_square(points, index).1;
    let step = (LARGEST_INDEX - SMALLEST_INDEX) / COARSE_STEPS as f64;
    let mut best = (SMALLEST_INDEX, f64::INFINITY);
    for number in 0..=COARSE_STEPS {
        let index = SMALLEST_INDEX + step * number as f64;
        let value = chi_square(index);
        if value < best.1 {
            best = (index, value);
        }
    }
    let (mut low, mut high) = (best.0 - step, best.0 + step);
    for _ in 0..FINE_STEPS {
        let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        if chi_square(left) <= chi_square(right) {
            high = right;
        } else {
            low = left;
        }
    }
    f64::midpoint(low, high)
}

/// From the normal equations of amplitude and α at the solution.
fn index_error(points: &[Point], amplitude: f64, index: f64) -> f64 {
    let (mut aa, mut ai, mut ii) = (0.0, 0.0, 0.0);
    for point in points {
        let shape = (-index * point.log_time).exp();
        let by_index = -amplitude * point.log_time * shape;
        aa += point.weight * shape * shape;
        ai += point.weight * shape * by_index;
        ii += point.weight * by_index * by_index;
    }
    let determinant = aa * ii - ai * ai;
    if determinant > 0.0 { (aa / determinant).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.optimize.curve_fit with `absolute_sigma=True` on the same points; see `tests/oracles/fading.py`.
    #[derive(serde::Deserialize)]
    struct Case {
        points: Vec<[f64; 3]>,
        floor: f64,
        amplitude: f64,
        index: f64,
        index_error: f64,
        chi_square: f64,
        constant_chi_square: f64,
    }

    #[test]
    fn agrees_with_scipy() {
        // curve_fit stops at a relative change of 1e-8 in the sum of squares: the solution agrees to about the square root of that.
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/oracles/fading.json")).unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let points: Vec<FluxPoint> = case
                .points
                .iter()
                .map(|&[seconds, flux, flux_error]| FluxPoint { seconds, flux, flux_error })
                .collect();
            let fitted = fit_power_law(&points, case.floor).unwrap();
            assert!((fitted.index - case.index).abs() < 1e-4, "{fitted:?}");
            assert!((fitted.flux_at_60_seconds / case.amplitude - 1.0).abs() < 1e-4);
            assert!((fitted.index_error / case.index_error - 1.0).abs() < 1e-3, "{fitted:?}");
            assert!((fitted.chi_square - case.chi_square).abs() < 1e-4 * (1.0 + case.chi_square));
            let difference = fitted.constant_chi_square - case.constant_chi_square;
            assert!(difference.abs() < 1e-6 * (1.0 + case.constant_chi_square));
        }
    }

    #[test]
    fn two_points_give_the_exact_index() {
        let point = |seconds: f64| FluxPoint {
            seconds,
            flux: 1000.0 * (seconds / 60.0).powf(-1.2),
            flux_error: 5.0,
        };
        let fitted = fit_power_law(&[point(150.0), point(215.0)], 0.0).unwrap();
        assert!((fitted.index - 1.2).abs() < 1e-6);
        assert!(fitted.chi_square < 1e-6 && fitted.degrees_of_freedom == 0);
    }

    #[test]
    fn what_cannot_be_fitted_is_not() {
        let point = |seconds: f64, flux: f64| FluxPoint { seconds, flux, flux_error: 1.0 };
        assert!(fit_power_law(&[], 0.01).is_none());
        assert!(fit_power_law(&[point(100.0, 5.0)], 0.01).is_none());
        assert!(fit_power_law(&[point(100.0, 5.0), point(100.0, 6.0)], 0.01).is_none());
        assert!(fit_power_law(&[point(-1.0, 5.0), point(100.0, f64::NAN)], 0.01).is_none());
        assert!(fit_power_law(&[point(100.0, -5.0), point(200.0, -6.0)], 0.01).is_none());
    }
}
