//! The kernel that makes one image like another, and the difference of their backgrounds, from stamps about stars: weighted linear
//! least squares (Alard & Lupton 1998, eq. 2 to 4; varying over the image: Alard 2000, §3), stamps that disagree left out.

use super::kernel_basis::KernelBasis;
use super::kernel_stamps::Stamp;
use super::statistics;
use nalgebra::{DMatrix, DVector};

/// Stamps that disagree by more than this many standard deviations of the chi-squares are left out.
const CLIP_SIGMAS: f64 = 3.0;
/// Least scatter of the chi-squares, as a share of their median.
const LEAST_SCATTER: f64 = 0.1;
/// Rounds of leaving out.
const ROUNDS: usize = 5;
/// Stamps needed for each coefficient of the polynomial in place.
const STAMPS_PER_TERM: usize = 6;
/// Added to the diagonal of the normal equations, brought to one: below what stamps can tell.
const RIDGE: f64 = 1e-10;

/// Terms xⁱyʲ, i + j ≤ degree, of places scaled to −1 … 1 over the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PlacePolynomial {
    degree: usize,
    half: (f64, f64),
}

impl PlacePolynomial {
    fn new(degree: usize, (rows, columns): (usize, usize)) -> Self {
        let half = |length: usize| (length.max(2) - 1) as f64 / 2.0;
        Self { degree, half: (half(columns), half(rows)) }
    }

    fn len(&self) -> usize {
        (self.degree + 1) * (self.degree + 2) / 2
    }

    /// The terms at a place.
    pub fn terms(&self, x: f64, y: f64) -> Vec<f64> {
        let (u, v) = (x / self.half.0 - 1.0, y / self.half.1 - 1.0);
        let mut terms = Vec::with_capacity(self.len());
        for j in 0..=self.degree {
            for i in 0..=self.degree - j {
                terms.push(u.powi(i as i32) * v.powi(j as i32));
            }
        }
        terms
    }
}

/// Highest degree for which there are stamps enough.
fn degree_for(stamps: usize, highest: usize) -> usize {
    let terms = |degree: usize| (degree + 1) * (degree + 2) / 2;
    (0..=highest).rev().find(|degree| stamps >= STAMPS_PER_TERM * terms(*degree)).unwrap_or(0)
}

/// A kernel varying over the image, and a background.
#[derive(Debug, Clone)]
pub(super) struct KernelFit {
    basis: KernelBasis,
    values: Vec<Vec<f64>>,
    kernel_places: PlacePolynomial,
    background_places: PlacePolynomial,
    coefficients: Vec<f64>,
    /// Of the stamps used: chi-square over their pixels.
    pub reduced_chi_square: f64,
    /// One for each stamp.
    pub is_used: Vec<bool>,
}

impl KernelFit {
    /// Fits stamps of an image of `shape`. `None` if fewer than `least` stamps agree, or where they do not determine a kernel of positive
    /// sum.
    pub fn new(
        basis: KernelBasis,
        stamps: &[Stamp],
        shape: (usize, usize),
        (kernel_degree, background_degree): (usize, usize),
        least: usize,
    ) -> Option<Self> {
        let degree = |highest| degree_for(stamps.len(), highest);
        let values = (0..basis.len()).map(|number| basis.values(number)).collect();
        let mut fit = Self {
            basis,
            values,
            kernel_places: PlacePolynomial::new(degree(kernel_degree), shape),
            background_places: PlacePolynomial::new(degree(background_degree), shape),
            coefficients: Vec::new(),
            reduced_chi_square: 0.0,
            is_used: vec![true; stamps.len()],
        };
        for _ in 0..ROUNDS {
            let used = || stamps.iter().zip(&fit.is_used).filter(|pair| *pair.1).map(|pair| pair.0);
            if used().count() < least.max(1) {
                return None;
            }
            let coefficients = fit.solve(used())?;
            fit.coefficients = coefficients;
            let chi_squares: Vec<f64> = stamps
                .iter()
                .map(|stamp| {
                    let here = fit.at_stamp(stamp.x, stamp.y);
                    stamp.chi_square(&here) / stamp.pixel_count.max(1) as f64
                })
                .collect();
            let is_used = agreeing(&chi_squares, &fit.is_used)?;
            let pixels = |stamp: &Stamp| stamp.pixel_count as f64;
            let (mut total, mut count) = (0.0, 0.0);
            for ((stamp, chi_square), _) in
                stamps.iter().zip(&chi_squares).zip(&fit.is_used).filter(|each| *each.1)
            {
                total += chi_square * pixels(stamp);
                count += pixels(stamp);
            }
            fit.reduced_chi_square = total / f64::max(count, 1.0);
            if is_used == fit.is_used {
                break;
            }
            fit.is_used = is_used;
        }
        let sum = fit.sum();
        (sum.is_finite() && sum > 0.0).then_some(fit)
    }

    /// What makes the kernel; its sum is the flux of the other image for one of this.
    pub fn sum(&self) -> f64 {
        self.coefficients.first().copied().unwrap_or(f64::NAN)
    }

    /// Power with which the kernel varies over the image.
    pub fn degree(&self) -> usize {
        self.kernel_places.degree
    }

    pub fn basis(&self) -> &KernelBasis {
        &self.basis
    }

    /// Coefficients of the functions and of the constant at a place.
    fn at_stamp(&self, x: f64, y: f64) -> Vec<f64> {
        let mut here = self.functions_at(x, y);
        here.push(self.background_at(x, y));
        here
    }

    /// Coefficients of the functions at a place.
    fn functions_at(&self, x: f64, y: f64) -> Vec<f64> {
        let terms = self.kernel_places.terms(x, y);
        let varying = self.coefficients.get(1..).unwrap_or_default();
        let of_functions = varying.chunks_exact(terms.len()).take(self.basis.len() - 1);
        let mut here = vec![self.sum()];
        here.extend(
            of_functions.map(|own| own.iter().zip(&terms).map(|(a, b)| a * b).sum::<f64>()),
        );
        here
    }

    /// Background of the other image less the convolved one of this.
    pub fn background_at(&self, x: f64, y: f64) -> f64 {
        let terms = self.background_places.terms(x, y);
        let first = self.coefficients.len().saturating_sub(terms.len());
        let own = self.coefficients.get(first..).unwrap_or_default();
        own.iter().zip(&terms).map(|(a, b)| a * b).sum()
    }

    /// The kernel at a place: (2 · reach + 1)² values, row after row.
    pub fn kernel_at(&self, x: f64, y: f64) -> Vec<f64> {
        let mut kernel = vec![0.0; (2 * self.basis.reach() + 1).pow(2)];
        for (coefficient, values) in self.functions_at(x, y).iter().zip(&self.values) {
            add_scaled(&mut kernel, *coefficient, values);
        }
        kernel
    }

    /// The coefficients with the least chi-square over these stamps; the first is the constant one of the first function.
    fn solve<'s>(&self, stamps: impl Iterator<Item = &'s Stamp>) -> Option<Vec<f64>> {
        let functions = self.basis.len();
        let (terms, levels) = (self.kernel_places.len(), self.background_places.len());
        let unknowns = 1 + (functions - 1) * terms + levels;
        let mut normal = DMatrix::<f64>::zeros(unknowns, unknowns);
        let mut right = DVector::<f64>::zeros(unknowns);
        let (constant, target) = (functions, functions + 1);
        for stamp in stamps {
            let kernel_terms = self.kernel_places.terms(stamp.x, stamp.y);
            let level_terms = self.background_places.terms(stamp.x, stamp.y);
            // For each unknown the column of the stamp that it multiplies, and the factor.
            let mut parts: Vec<(usize, f64)> = vec![(0, 1.0)];
            for function in 1..functions {
                parts.extend(kernel_terms.iter().map(|term| (function, *term)));
            }
            parts.extend(level_terms.iter().map(|term| (constant, *term)));
            for (i, (column, factor)) in parts.iter().enumerate() {
                let products = stamp.products.chunks_exact(stamp.order).nth(*column)?;
                right[i] += factor * products.get(target)?;
                let mut own = normal.column_mut(i);
                let lower = own.iter_mut().zip(&parts).skip(i);
                lower.for_each(|(sum, (other, term))| *sum += factor * term * products[*other]);
            }
        }
        // To a diagonal of ones, so that the ridge means the same for all.
        let roots: Vec<f64> = (0..unknowns)
            .map(|i| {
                let own = normal[(i, i)];
                if own > 0.0 { 1.0 / own.sqrt() } else { 0.0 }
            })
            .collect();
        for i in 0..unknowns {
            for j in i..unknowns {
                normal[(j, i)] *= roots[i] * roots[j];
            }
            normal[(i, i)] = 1.0 + RIDGE;
            right[i] *= roots[i];
        }
        let solution = normal.cholesky()?.solve(&right);
        let coefficients: Vec<f64> = solution.iter().zip(&roots).map(|(a, b)| a * b).collect();
        coefficients.iter().all(|value| value.is_finite()).then_some(coefficients)
    }
}

fn add_scaled(sum: &mut [f64], factor: f64, values: &[f64]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
}

/// Which stamps agree with the others, by the median and its deviation of those used before.
fn agreeing(chi_squares: &[f64], is_used: &[bool]) -> Option<Vec<bool>> {
    let used: Vec<f64> =
        chi_squares.iter().zip(is_used).filter(|pair| *pair.1).map(|pair| *pair.0).collect();
    let (median, deviation) = statistics::median_and_deviation(&used)?;
    let limit = median + CLIP_SIGMAS * deviation.max(LEAST_SCATTER * median);
    Some(chi_squares.iter().map(|value| *value <= limit).collect())
}
