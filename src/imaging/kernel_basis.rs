//! The functions a convolution kernel is made of: Gaussians times polynomials (Alard & Lupton 1998, ApJ 503, 325, §2.2), all but
//! the first without any sum, so that the first alone holds the photometric scale (Alard 2000, A&AS 144, 363, §2).

use super::widest::widest;

/// Widths of the Gaussians as shares of the one that makes the sharper image like the other, and the highest power of their
/// polynomials. Broader Gaussians need fewer powers: they are there for the wings.
const SHARES_AND_DEGREES: [(f64, usize); 3] = [(0.5, 4), (1.0, 2), (2.5, 2)];
/// A Gaussian that is narrower than this on a grid of pixels is nothing but its middle pixel.
const NARROWEST: f64 = 0.6;
/// Of a Gaussian and the next broader one: nearer to each other they say the same.
const LEAST_STEP: f64 = 1.6;
/// The kernel ends at as many standard deviations of the broadest Gaussian.
const REACH_SIGMAS: f64 = 3.5;
/// Bounds of the reach, pixels.
const REACHES: (usize, usize) = (5, 24);

/// One function: a profile along x times a profile along y, less the first function where its own sum is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Function {
    along_x: usize,
    along_y: usize,
    /// The first function is taken off.
    is_balanced: bool,
}

/// All functions of a kernel of (2 · reach + 1)² pixels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KernelBasis {
    reach: usize,
    sigmas: Vec<f64>,
    /// u^p exp(−u²/2σ²) at −reach … reach; even ones of unit sum, odd ones of unit length.
    profiles: Vec<Vec<f64>>,
    functions: Vec<Function>,
}

impl KernelBasis {
    /// For a kernel that brings a Gaussian of `from_sigma` to one of `to_sigma` (pixels), or near to it where the second is not the
    /// broader one.
    pub fn new(from_sigma: f64, to_sigma: f64) -> Self {
        let matching = (to_sigma.powi(2) - from_sigma.powi(2)).max(0.0).sqrt();
        let mut sigmas: Vec<f64> = Vec::new();
        for (share, _) in SHARES_AND_DEGREES {
            let least = sigmas.last().map_or(NARROWEST, |narrower| LEAST_STEP * narrower);
            sigmas.push((share * matching).max(least));
        }
        let broadest = sigmas.last().copied().unwrap_or(NARROWEST);
        let reach = ((REACH_SIGMAS * broadest).ceil() as usize).clamp(REACHES.0, REACHES.1);
        let mut profiles = Vec::new();
        let mut functions = Vec::new();
        for (sigma, (_, degree)) in sigmas.iter().zip(SHARES_AND_DEGREES) {
            let first = profiles.len();
            profiles.extend((0..=degree).map(|power| profile(*sigma, power, reach)));
            for power_y in 0..=degree {
                for power_x in 0..=degree - power_y {
                    functions.push(Function {
                        along_x: first + power_x,
                        along_y: first + power_y,
                        is_balanced: power_x.is_multiple_of(2) && power_y.is_multiple_of(2),
                    });
                }
            }
        }
        // The Gaussian of the middle width is nearest to the kernel that is looked for.
        let first = functions.iter().position(|function| {
            let middle = SHARES_AND_DEGREES.first().map_or(0, |(_, degree)| degree + 1);
            function.along_x == middle && function.along_y == middle
        });
        functions.swap(0, first.unwrap_or_default());
        if let Some(first) = functions.first_mut() {
            first.is_balanced = false;
        }
        Self { reach, sigmas, profiles, functions }
    }

    /// Number of functions.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// The kernel has 2 · reach + 1 pixels on a side.
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// Widths of the Gaussians, pixels.
    pub fn sigmas(&self) -> &[f64] {
        &self.sigmas
    }

    /// Variance after a convolution with the first function over that before.
    pub fn smoothing(&self) -> f64 {
        self.values(0).iter().map(|value| value * value).sum()
    }

    /// The values of function `number`, row after row.
    pub fn values(&self, number: usize) -> Vec<f64> {
        let product = |function: &Function| -> Vec<f64> {
            let along_y = self.profiles.get(function.along_y).into_iter().flatten();
            let along_x = self.profiles.get(function.along_x);
            along_y.flat_map(|y| along_x.into_iter().flatten().map(move |x| x * y)).collect()
        };
        let Some(function) = self.functions.get(number) else { return Vec::new() };
        let mut values = product(function);
        if let Some(first) = self.functions.first().filter(|_| function.is_balanced) {
            values.iter_mut().zip(product(first)).for_each(|(value, first)| *value -= first);
        }
        values
    }

    /// Every function convolved with a patch of (`side` + 2 · reach)² pixels: `side`² values each, one after the other.
    /// The functions are products, so that rows are convolved first, once for each profile, then columns.
    pub fn convolved(&self, patch: &[f64], side: usize) -> Vec<f64> {
        let width = side + 2 * self.reach;
        let mut rows = vec![0.0; self.profiles.len() * width * side];
        for (profile, rows) in self.profiles.iter().zip(rows.chunks_exact_mut(width * side)) {
            for (row, values) in rows.chunks_exact_mut(side).zip(patch.chunks_exact(width)) {
                along_row(profile, values, row);
            }
        }
        let area = side * side;
        let mut all = vec![0.0; self.functions.len() * area];
        for (function, out) in self.functions.iter().zip(all.chunks_exact_mut(area)) {
            let rows = rows.chunks_exact(width * side).nth(function.along_x).unwrap_or_default();
            let profile = self.profiles.get(function.along_y).map_or(&[][..], Vec::as_slice);
            along_columns(profile, rows, out, side);
        }
        let middle = area.min(all.len());
        let (first, others) = all.split_at_mut(middle);
        for (function, out) in self.functions.iter().skip(1).zip(others.chunks_exact_mut(area)) {
            if function.is_balanced {
                out.iter_mut().zip(&*first).for_each(|(value, first)| *value -= first);
            }
        }
        all
    }
}

fn profile(sigma: f64, power: usize, reach: usize) -> Vec<f64> {
    let mut values: Vec<f64> = (0..=2 * reach)
        .map(|place| {
            let u = (place as f64 - reach as f64) / sigma;
            u.powi(power as i32) * (-0.5 * u * u).exp()
        })
        .collect();
    let norm = if power.is_multiple_of(2) {
        values.iter().sum::<f64>()
    } else {
        values.iter().map(|value| value * value).sum::<f64>().sqrt()
    };
    values.iter_mut().for_each(|value| *value /= norm);
    values
}

widest! {
/// A row of values convolved with a profile: value i is Σ profile[t] · values[i + 2 reach − t].
fn along_row<'a>(profile: &'a [f64], values: &'a [f64], out: &'a mut [f64]) -> () {
    for (tap, factor) in profile.iter().rev().enumerate() {
        let near = values.get(tap..).unwrap_or_default();
        out.iter_mut().zip(near).for_each(|(sum, value)| *sum += factor * value);
    }
}
}

widest! {
/// Columns convolved with a profile.
fn along_columns<'a>(profile: &'a [f64], rows: &'a [f64], out: &'a mut [f64], side: usize) -> () {
    for (tap, factor) in profile.iter().rev().enumerate() {
        let near = rows.get(tap * side..).unwrap_or_default();
        out.iter_mut().zip(near).for_each(|(sum, value)| *sum += factor * value);
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_functions_but_the_first_have_no_sum() {
        for (from, to) in [(1.1, 1.45), (1.5, 1.5), (2.0, 1.0), (1.0, 4.0)] {
            let basis = KernelBasis::new(from, to);
            let sums: Vec<f64> =
                (0..basis.len()).map(|number| basis.values(number).iter().sum()).collect();
            assert!((sums[0] - 1.0).abs() < 1e-12);
            assert!(sums.iter().skip(1).all(|sum| sum.abs() < 1e-12), "{sums:?}");
        }
    }

    #[test]
    fn convolution_of_products_is_the_direct_sum() {
        let basis = KernelBasis::new(1.0, 1.5);
        let (side, reach) = (4, basis.reach());
        let width = side + 2 * reach;
        let patch: Vec<f64> = (0..width * width).map(|i| ((i * 7919) % 101) as f64).collect();
        let all = basis.convolved(&patch, side);
        for number in 0..basis.len() {
            let kernel = basis.values(number);
            for (place, found) in all.chunks(side * side).nth(number).unwrap().iter().enumerate() {
                let (row, column) = (place / side, place % side);
                let mut sum = 0.0;
                for v in 0..=2 * reach {
                    for u in 0..=2 * reach {
                        sum += kernel[v * (2 * reach + 1) + u]
                            * patch[(row + 2 * reach - v) * width + column + 2 * reach - u];
                    }
                }
                assert!((sum - found).abs() < 1e-9, "{number}: {sum} {found}");
            }
        }
    }
}
