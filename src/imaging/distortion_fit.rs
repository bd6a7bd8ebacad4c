//! The distortion of a camera from stars whose sky positions are known: a SIP polynomial by least squares.

use super::polynomial::{BivariatePolynomial, PolynomialTerm, powers_up_to};
use super::sip::SipDistortion;
use super::statistics::median_and_deviation;
use super::wcs::{PixelSkyPair, TangentPlane, sky_to_standard, standard_to_sky};
use super::world_coordinates::{Distortion, WorldCoordinates};
use crate::model::SkyPosition;
use nalgebra::{DMatrix, DVector};
use std::ops::RangeInclusive;

/// Degrees of polynomial that are fitted. Stars of one camera carry four at most; more is for distortions that are known.
pub const ORDERS: RangeInclusive<usize> = 2..=7;
/// Stars per coefficient of one axis: with fewer the polynomial follows their noise.
const STARS_PER_COEFFICIENT: usize = 3;
/// Rounds of rejection, and of moving the tangent point.
const MAXIMUM_ROUNDS: usize = 20;
/// The median length of an error of two axes in units of the standard deviation of one (Rayleigh's distribution).
const RAYLEIGH_MEDIAN: f64 = 1.177_410_022_515_474_7;
/// Residuals below this, pixels, are rounding and no reason to reject.
const LEAST_SIGMA_PIXELS: f64 = 1e-8;
/// Diagonal elements of the triangular factor below this share of the largest mean stars on a curve.
const LEAST_PIVOT: f64 = 1e-7;
/// Places per side of the grid on which the way back is fitted and folds are looked for.
const GRID: usize = 20;

/// The coordinates found with their evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct DistortionFit {
    /// With SIP of the order asked for, and AP, BP of one order more for other programs.
    pub coordinates: WorldCoordinates,
    /// Of the pairs given, in their order: which were kept.
    pub kept: Vec<bool>,
    pub star_count: usize,
    /// Root mean square residual per axis of the stars kept.
    pub rms_pixels: f64,
}

/// Why there is no fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DistortionFitError {
    #[error("a polynomial of degree {order} is not offered")]
    Order { order: usize },
    #[error("{stars} stars are too few for a polynomial of degree {order} (need {needed})")]
    TooFew { stars: usize, order: usize, needed: usize },
    #[error("the stars lie on a line or a curve, or all over the sky")]
    Degenerate,
    #[error("{rejected} of {stars} stars disagree with the rest")]
    TooManyRejected { rejected: usize, stars: usize },
    #[error("the polynomial folds within the field: it follows wrong pairs, not the camera")]
    Folded,
}

/// Fits a tangent plane with a SIP polynomial of degree `order` (2 to 7) about `reference_pixel` (best the centre of the
/// image), which becomes the reference of the coordinates.
///
/// Pairs farther from the fit than `clip_sigma` times the scatter (from the median, so that wrong pairs do not widen it) are
/// left out and the fit is repeated until none changes. Pairs with numbers that are not finite or without
/// weight do not count.
pub fn fit_sip(
    pairs: &[PixelSkyPair],
    reference_pixel: (f64, f64),
    order: usize,
    clip_sigma: f64,
) -> Result<DistortionFit, DistortionFitError> {
    if !ORDERS.contains(&order) {
        return Err(DistortionFitError::Order { order });
    }
    let needed = STARS_PER_COEFFICIENT * powers_up_to(order).count();
    let usable: Vec<bool> = pairs.iter().map(is_usable).collect();
    let mut kept = usable.clone();
    let count = |kept: &[bool]| kept.iter().filter(|kept| **kept).count();
    let stars = count(&usable);
    let mut start = None;
    for _ in 0..MAXIMUM_ROUNDS {
        let star_count = count(&kept);
        if star_count < needed {
            return Err(DistortionFitError::TooFew { stars: star_count, order, needed });
        }
        if 2 * star_count < stars {
            return Err(DistortionFitError::TooManyRejected {
                rejected: stars - star_count,
                stars,
            });
        }
        let chosen: Vec<PixelSkyPair> =
            pairs.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(pair, _)| *pair).collect();
        let fitted = Fit::of(&chosen, reference_pixel, order, start)
            .ok_or(DistortionFitError::Degenerate)?;
        start = Some(fitted.plane.reference_sky);
        let residuals: Vec<f64> = pairs.iter().map(|pair| fitted.residual(pair)).collect();
        let next = agreeing(&residuals, &usable, &kept, clip_sigma);
        if next == kept {
            return fitted.finish(&chosen, &residuals, kept);
        }
        kept = next;
    }
    Err(DistortionFitError::Degenerate)
}

fn is_usable(pair: &PixelSkyPair) -> bool {
    let numbers = [pair.pixel.0, pair.pixel.1, pair.sky.ra_degrees, pair.sky.dec_degrees];
    numbers.iter().all(|number| number.is_finite()) && pair.weight.is_finite() && pair.weight > 0.0
}

/// Which pairs are within `clip_sigma` of the scatter of those `kept`.
fn agreeing(residuals: &[f64], usable: &[bool], kept: &[bool], clip_sigma: f64) -> Vec<bool> {
    let lengths: Vec<f64> = residuals
        .iter()
        .zip(kept)
        .filter(|(_, kept)| **kept)
        .map(|(residual, _)| *residual)
        .collect();
    let median = median_and_deviation(&lengths).map_or(0.0, |(median, _)| median);
    let limit = clip_sigma * (median / RAYLEIGH_MEDIAN).max(LEAST_SIGMA_PIXELS);
    residuals.iter().zip(usable).map(|(residual, usable)| *usable && *residual <= limit).collect()
}

/// One least-squares fit: the plane at its own tangent point, and the distortion before it.
struct Fit {
    plane: TangentPlane,
    sip: SipDistortion,
    order: usize,
}

impl Fit {
    fn of(
        pairs: &[PixelSkyPair],
        reference_pixel: (f64, f64),
        order: usize,
        start: Option<SkyPosition>,
    ) -> Option<Self> {
        let offset = |pair: &PixelSkyPair| {
            (pair.pixel.0 - reference_pixel.0, pair.pixel.1 - reference_pixel.1)
        };
        let reach =
            pairs.iter().map(|pair| offset(pair).0.hypot(offset(pair).1)).fold(1.0, f64::max);
        let powers: Vec<(usize, usize)> = powers_up_to(order).collect();
        let roots: Vec<f64> = pairs.iter().map(|pair| pair.weight.sqrt()).collect();
        let design = DMatrix::from_fn(pairs.len(), powers.len(), |row, column| {
            let (Some(pair), Some(root)) = (pairs.get(row), roots.get(row)) else { return 0.0 };
            let (u, v) = offset(pair);
            let (i, j) = powers.get(column).copied().unwrap_or_default();
            root * (u / reach).powi(i as i32) * (v / reach).powi(j as i32)
        });
        let solver = LeastSquares::new(design)?;
        let mut tangent = match start {
            Some(tangent) => tangent,
            None => TangentPlane::fit(pairs, reference_pixel)?.reference_sky,
        };
        for _ in 0..MAXIMUM_ROUNDS {
            let standard: Vec<(f64, f64)> = pairs
                .iter()
                .map(|pair| sky_to_standard(tangent, pair.sky))
                .collect::<Option<_>>()?;
            let right = |pick: fn(&(f64, f64)) -> f64| {
                let values = standard.iter().zip(&roots).map(|(place, root)| root * pick(place));
                DVector::from_iterator(standard.len(), values)
            };
            let solution =
                [solver.solve(right(|place| place.0))?, solver.solve(right(|place| place.1))?];
            let coefficient = |axis: &DVector<f64>, wanted: (usize, usize)| {
                let place = powers.iter().position(|powers| *powers == wanted)?;
                Some(axis.get(place)? / reach.powi((wanted.0 + wanted.1) as i32))
            };
            let both = |wanted| {
                let [xi, eta] = &solution;
                Some((coefficient(xi, wanted)?, coefficient(eta, wanted)?))
            };
            let (constant, along_u, along_v) = (both((0, 0))?, both((1, 0))?, both((0, 1))?);
            let moved = constant.0.hypot(constant.1);
            let next = standard_to_sky(tangent, constant.0, constant.1);
            // Below the rounding of a right ascension no step improves anything.
            if moved < 1e-11 {
                let plane = TangentPlane {
                    reference_pixel,
                    reference_sky: next,
                    cd: [[along_u.0, along_v.0], [along_u.1, along_v.1]],
                };
                let mut terms: [Vec<PolynomialTerm>; 2] = Default::default();
                for &powers in powers.iter().filter(|(i, j)| i + j >= 2) {
                    let (xi, eta) = both(powers)?;
                    let (a, b) = plane.standard_to_offset(xi, eta)?;
                    for (terms, coefficient) in terms.iter_mut().zip([a, b]) {
                        terms.push(PolynomialTerm { powers, coefficient });
                    }
                }
                let [a, b] = terms.map(|terms| BivariatePolynomial::new(&terms).ok());
                let sip = SipDistortion { forward: [a?, b?], inverse: None };
                return Some(Self { plane, sip, order });
            }
            if !next.ra_degrees.is_finite() || !next.dec_degrees.is_finite() {
                return None;
            }
            tangent = next;
        }
        None
    }

    /// How far a star is from where the sky says it would be without distortion, pixels; infinite on the other side of the sky.
    fn residual(&self, pair: &PixelSkyPair) -> f64 {
        self.residual_offset(pair).map_or(f64::INFINITY, |(u, v)| u.hypot(v))
    }

    fn residual_offset(&self, pair: &PixelSkyPair) -> Option<(f64, f64)> {
        let (x0, y0) = self.plane.reference_pixel;
        let (xi, eta) = sky_to_standard(self.plane.reference_sky, pair.sky)?;
        let (expected_u, expected_v) = self.plane.standard_to_offset(xi, eta)?;
        let (u, v) = self.sip.undistorted(pair.pixel.0 - x0, pair.pixel.1 - y0);
        Some((u - expected_u, v - expected_v))
    }

    /// Looks for folds, adds the way back, and states the residuals.
    fn finish(
        mut self,
        chosen: &[PixelSkyPair],
        residuals: &[f64],
        kept: Vec<bool>,
    ) -> Result<DistortionFit, DistortionFitError> {
        let field = grid_over(chosen, self.plane.reference_pixel);
        if field.iter().any(|&(u, v)| self.sip.linearised(u, v).determinant() <= 0.0) {
            return Err(DistortionFitError::Folded);
        }
        self.sip.inverse = way_back(&self.sip, &field, self.order + 1);
        let square_sum: f64 = residuals
            .iter()
            .zip(&kept)
            .filter(|(_, kept)| **kept)
            .map(|(residual, _)| residual * residual)
            .sum();
        let star_count = chosen.len();
        let coordinates =
            WorldCoordinates { plane: self.plane, distortion: Distortion::Sip(self.sip) };
        let rms_pixels = (square_sum / (2.0 * star_count as f64)).sqrt();
        Ok(DistortionFit { coordinates, kept, star_count, rms_pixels })
    }
}

/// Places over the rectangle around the stars, pixels from the reference pixel.
fn grid_over(pairs: &[PixelSkyPair], reference_pixel: (f64, f64)) -> Vec<(f64, f64)> {
    let range = |pick: fn(&PixelSkyPair) -> f64| {
        pairs.iter().map(pick).fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(value), most.max(value))
        })
    };
    let ((left, right), (bottom, top)) = (range(|pair| pair.pixel.0), range(|pair| pair.pixel.1));
    let share = |place: usize| place as f64 / (GRID - 1) as f64;
    (0..GRID * GRID)
        .map(|place| {
            let x = left + (right - left) * share(place % GRID);
            let y = bottom + (top - bottom) * share(place / GRID);
            (x - reference_pixel.0, y - reference_pixel.1)
        })
        .collect()
}

/// AP and BP: least squares through the places of the field (Shupe et al. 2005, §2, eqs. 4 and 5).
fn way_back(
    sip: &SipDistortion,
    field: &[(f64, f64)],
    order: usize,
) -> Option<[BivariatePolynomial; 2]> {
    let undistorted: Vec<(f64, f64)> = field.iter().map(|&(u, v)| sip.undistorted(u, v)).collect();
    let reach = undistorted.iter().map(|(u, v)| u.hypot(*v)).fold(1.0, f64::max);
    let powers: Vec<(usize, usize)> = powers_up_to(order).collect();
    let design = DMatrix::from_fn(field.len(), powers.len(), |row, column| {
        let (u, v) = undistorted.get(row).copied().unwrap_or_default();
        let (i, j) = powers.get(column).copied().unwrap_or_default();
        (u / reach).powi(i as i32) * (v / reach).powi(j as i32)
    });
    let solver = LeastSquares::new(design)?;
    let polynomial = |pick: fn(&(f64, f64)) -> f64| {
        let values = field
            .iter()
            .zip(&undistorted)
            .map(|(true_place, place)| pick(true_place) - pick(place));
        let solution = solver.solve(DVector::from_iterator(field.len(), values))?;
        let terms: Vec<PolynomialTerm> = powers
            .iter()
            .zip(solution.iter())
            .map(|(&powers, value)| PolynomialTerm {
                powers,
                coefficient: value / reach.powi((powers.0 + powers.1) as i32),
            })
            .collect();
        BivariatePolynomial::new(&terms).ok()
    };
    Some([polynomial(|place| place.0)?, polynomial(|place| place.1)?])
}

/// Least squares by the orthogonal factors of the design matrix: the normal equations would lose half of the digits.
struct LeastSquares {
    orthogonal_transposed: DMatrix<f64>,
    triangular: DMatrix<f64>,
}

impl LeastSquares {
    /// `None` where the columns depend on each other.
    fn new(design: DMatrix<f64>) -> Option<Self> {
        if design.nrows() < design.ncols() {
            return None;
        }
        let factors = design.qr();
        let (orthogonal_transposed, triangular) = (factors.q().transpose(), factors.r());
        let pivots = triangular.diagonal().abs();
        let (least, most) = (pivots.min(), pivots.max());
        (least.is_finite() && least > LEAST_PIVOT * most)
            .then_some(Self { orthogonal_transposed, triangular })
    }

    fn solve(&self, right: DVector<f64>) -> Option<DVector<f64>> {
        let solution =
            self.triangular.solve_upper_triangular(&(&self.orthogonal_transposed * right))?;
        solution.iter().all(|value| value.is_finite()).then_some(solution)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::imaging::wcs::cd_from_rotation;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};

    const CENTRE: (f64, f64) = (1023.5, 1023.5);

    fn polynomial(order: usize, random: &mut ChaCha8Rng) -> BivariatePolynomial {
        let terms: Vec<_> = powers_up_to(order)
            .filter(|(i, j)| i + j >= 2)
            .map(|powers| PolynomialTerm {
                powers,
                coefficient: random.random_range(-4.0..4.0)
                    / 1024f64.powi((powers.0 + powers.1) as i32),
            })
            .collect();
        BivariatePolynomial::new(&terms).unwrap()
    }

    pub(crate) fn camera(order: usize, random: &mut ChaCha8Rng) -> WorldCoordinates {
        let forward = [polynomial(order, random), polynomial(order, random)];
        WorldCoordinates {
            plane: TangentPlane {
                reference_pixel: CENTRE,
                reference_sky: SkyPosition::new(0.02, 64.0),
                cd: cd_from_rotation((-1.95e-4, 1.96e-4), 31.0),
            },
            distortion: Distortion::Sip(SipDistortion { forward, inverse: None }),
        }
    }

    pub(crate) fn stars(
        camera: &WorldCoordinates,
        count: usize,
        noise: f64,
        random: &mut ChaCha8Rng,
    ) -> Vec<PixelSkyPair> {
        let errors = Normal::new(0.0, noise).unwrap();
        (0..count)
            .map(|_| {
                let (x, y) = (random.random_range(0.0..2047.0), random.random_range(0.0..2047.0));
                let sky = camera.pixel_to_sky(x, y);
                let pixel = (x + errors.sample(random), y + errors.sample(random));
                PixelSkyPair { pixel, sky, weight: 1.0 }
            })
            .collect()
    }

    fn worst_difference(left: &WorldCoordinates, right: &WorldCoordinates) -> f64 {
        (0..=8)
            .flat_map(|i| (0..=8).map(move |j| (f64::from(i) * 255.875, f64::from(j) * 255.875)))
            .map(|(x, y)| {
                let (back_x, back_y) = right.sky_to_pixel(left.pixel_to_sky(x, y)).unwrap();
                (back_x - x).hypot(back_y - y)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn every_order_is_recovered_from_exact_stars() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for order in ORDERS {
            let camera = camera(order, &mut random);
            let pairs = stars(&camera, 200, 0.0, &mut random);
            let fit = fit_sip(&pairs, CENTRE, order, 4.0).unwrap();
            assert!(worst_difference(&camera, &fit.coordinates) < 1e-7, "{order}");
            assert!(fit.rms_pixels < 1e-8, "{order}: {:e}", fit.rms_pixels);
            assert_eq!(fit.star_count, 200);
        }
    }

    #[test]
    fn wrong_pairs_are_left_out_and_the_noise_is_stated() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let camera = camera(3, &mut random);
        let noise = 0.03;
        let mut pairs = stars(&camera, 600, noise, &mut random);
        for (index, pair) in pairs.iter_mut().enumerate() {
            match index % 12 {
                // A neighbour taken for the star, a wrong star, and one without a position.
                0 => pair.pixel.0 += 1.5,
                1 if index % 24 == 1 => pair.pixel.1 -= 300.0,
                2 if index % 60 == 2 => pair.sky.ra_degrees = f64::NAN,
                _ => {}
            }
        }
        let fit = fit_sip(&pairs, CENTRE, 3, 4.0).unwrap();
        for (index, kept) in fit.kept.iter().enumerate() {
            let is_wrong = index % 12 == 0 || index % 24 == 1 || index % 60 == 2;
            assert!(!(is_wrong && *kept), "{index}");
        }
        // Without the wrong ones 515 stars are left, of which 4 sigma leaves out 0.03 %.
        assert!((510..=515).contains(&fit.star_count), "{}", fit.star_count);
        assert!((fit.rms_pixels / noise - 1.0).abs() < 0.1, "{}", fit.rms_pixels);
        // Ten coefficients of 515 stars: at the corners a few times noise·√(10/515).
        assert!(worst_difference(&camera, &fit.coordinates) < 0.03);
        // The plane alone would be wrong by pixels.
        let plane = TangentPlane::fit(&stars(&camera, 600, 0.0, &mut random), CENTRE).unwrap();
        assert!(worst_difference(&camera, &plane.into()) > 1.0);
    }

    #[test]
    fn the_way_back_for_other_programs_is_near() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let camera = camera(3, &mut random);
        let fit = fit_sip(&stars(&camera, 300, 0.0, &mut random), CENTRE, 3, 4.0).unwrap();
        let Distortion::Sip(sip) = fit.coordinates.distortion else { panic!("no SIP") };
        let [ap, bp] = sip.inverse.clone().unwrap();
        for (u, v) in [(0.0, 0.0), (900.0, -900.0), (-1000.0, 300.0), (500.0, 1000.0)] {
            let (x, y) = sip.undistorted(u, v);
            let error = (x + ap.value(x, y) - u).hypot(y + bp.value(x, y) - v);
            assert!(error < 0.01, "{u} {v}: {error}");
        }
    }

    #[test]
    fn too_few_stars_stars_on_a_line_and_strangers_are_no_fit() {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let camera = camera(2, &mut random);
        let pairs = stars(&camera, 100, 0.01, &mut random);
        let fit = |pairs: &[PixelSkyPair], order| fit_sip(pairs, CENTRE, order, 4.0).unwrap_err();
        assert_eq!(fit(&pairs, 8), DistortionFitError::Order { order: 8 });
        let few = DistortionFitError::TooFew { stars: 17, order: 2, needed: 18 };
        assert_eq!(fit(&pairs[..17], 2), few);
        assert_eq!(fit(&[], 2), DistortionFitError::TooFew { stars: 0, order: 2, needed: 18 });
        let line: Vec<_> = pairs
            .iter()
            .map(|pair| {
                let pixel = (pair.pixel.0, 0.5 * pair.pixel.0);
                PixelSkyPair { pixel, sky: camera.pixel_to_sky(pixel.0, pixel.1), weight: 1.0 }
            })
            .collect();
        assert_eq!(fit(&line, 2), DistortionFitError::Degenerate);
        // Pairs by chance: whatever comes of them, it is not a camera of small residuals.
        let shuffled: Vec<_> = pairs
            .iter()
            .zip(pairs.iter().rev())
            .map(|(pair, other)| PixelSkyPair { sky: other.sky, ..*pair })
            .collect();
        if let Ok(fit) = fit_sip(&shuffled, CENTRE, 3, 4.0) {
            assert!(fit.rms_pixels > 100.0, "{}", fit.rms_pixels);
        }
    }
}
