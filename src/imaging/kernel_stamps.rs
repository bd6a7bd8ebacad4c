//! What the stars say of the kernel: small pieces about them, chosen all over the frame.

use super::image::row_major;
use super::kernel_basis::KernelBasis;
use super::{CalibratedImage, bands, statistics, widest::widest};
use std::borrow::Cow;

/// A star on the common grid: zero-based pixels, and anything that grows with its brightness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StampStar {
    pub x: f64,
    pub y: f64,
    pub flux: f64,
}

/// An image with its level taken off, as the fit and the convolution look at it.
pub(super) struct Side<'a> {
    pub rows: usize,
    pub columns: usize,
    pub data: Cow<'a, [f32]>,
    pub variance: Cow<'a, [f32]>,
    pub mask: Cow<'a, [u8]>,
    /// What is taken off every pixel before anything else, so that what is missing can be zero.
    pub level: f32,
}

/// Pixels that tell the level of an image.
const LEVEL_SAMPLES: usize = 100_000;

impl<'a> Side<'a> {
    pub fn of(image: &'a CalibratedImage) -> Self {
        let (rows, columns) = image.shape();
        let (data, mask) = (row_major(&image.data), row_major(&image.mask));
        // A prime step does not follow columns.
        let step = (data.len() / LEVEL_SAMPLES).max(1) | 1;
        let good = data.iter().zip(mask.iter()).step_by(step);
        let mut values: Vec<f32> = good
            .filter(|(value, bits)| **bits == 0 && value.is_finite())
            .map(|(value, _)| *value)
            .collect();
        let level = statistics::median_in_place(&mut values).unwrap_or_default();
        Self { rows, columns, data, variance: row_major(&image.variance), mask, level }
    }

    /// Value above the level and variance of a pixel; `None` where it cannot be used.
    pub fn pixel(&self, place: usize) -> Option<(f64, f64)> {
        let (value, variance) = (*self.data.get(place)?, *self.variance.get(place)?);
        let is_good = *self.mask.get(place)? == 0 && value.is_finite() && variance >= 0.0;
        (is_good && variance.is_finite())
            .then(|| (f64::from(value - self.level), f64::from(variance)))
    }
}

/// A piece about a star: the weighted products of all pairs of columns (the basis functions convolved with the one image, a
/// constant, and the other image).
pub(super) struct Stamp {
    pub star: StampStar,
    /// The stamp has (2 · half + 1)² pixels.
    pub half: usize,
    /// Middle, pixels.
    pub x: f64,
    pub y: f64,
    /// `order`² values, row after row.
    pub products: Vec<f64>,
    pub order: usize,
    /// Pixels with a weight.
    pub pixel_count: usize,
}

impl Stamp {
    /// The weighted sum of squares that a solution leaves: `coefficients` of the functions and of the constant here.
    pub fn chi_square(&self, coefficients: &[f64]) -> f64 {
        let with_target = coefficients.iter().copied().chain([-1.0]);
        let vector: Vec<f64> = with_target.collect();
        let rows = self.products.chunks_exact(self.order.max(1)).zip(&vector);
        rows.map(|(row, factor)| {
            factor * row.iter().zip(&vector).map(|(product, other)| product * other).sum::<f64>()
        })
        .sum()
    }
}

/// How stamps are cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// A stamp has (2 · half + 1)² pixels.
    pub half: usize,
    /// About what a pixel of the convolved image counts in the other.
    pub scale: f64,
    /// Variance of the convolved image over that before, without the scale.
    pub smoothing: f64,
    /// Share of a pixel's light that no kernel can be expected to explain: bright stars shall not decide everything.
    pub model_error: f64,
}

/// Good pixels of a stamp that are needed.
const LEAST_GOOD_SHARE: f64 = 0.7;
/// A pixel that cannot be used spoils those around it in the convolved image, so many pixels far.
const SPOILT_REACH: usize = 3;
/// Stars fainter than this in either image say nothing about the kernel: total light over its noise.
const LEAST_SIGNAL_TO_NOISE: f64 = 10.0;

/// The indices of at most `per_cell` brightest stars in each of about `cells`² cells, brightest first in each, that are
/// farther than `margin` pixels from the edge.
pub(super) fn spread_over_cells(
    stars: &[StampStar],
    shape: (usize, usize),
    cells: usize,
    per_cell: usize,
    margin: usize,
) -> Vec<usize> {
    let (rows, columns) = shape;
    let side = (rows.max(columns) as f64 / cells.max(1) as f64).max(1.0);
    let cell_of = |star: &StampStar| ((star.y / side) as usize, (star.x / side) as usize);
    let mut order: Vec<usize> = (0..stars.len()).collect();
    let is_inside = |star: &StampStar| {
        let near = margin as f64;
        star.x >= near
            && star.y >= near
            && star.x <= columns as f64 - 1.0 - near
            && star.y <= rows as f64 - 1.0 - near
            && star.flux.is_finite()
    };
    order.retain(|index| stars.get(*index).is_some_and(is_inside));
    let key = |index: &usize| stars.get(*index).map(|star| (cell_of(star), star.flux));
    order.sort_by(|a, b| match (key(a), key(b)) {
        (Some(a), Some(b)) => a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)),
        _ => a.cmp(b),
    });
    let mut chosen: Vec<usize> = Vec::new();
    let (mut cell, mut in_cell) = (None, 0);
    for index in order {
        let here = stars.get(index).map(cell_of);
        in_cell = if here == cell { in_cell + 1 } else { 1 };
        cell = here;
        if in_cell <= per_cell {
            chosen.push(index);
        }
    }
    chosen
}

/// Total light above the surroundings of a star within `half` pixels, and its standard error.
pub(super) fn light(side: &Side<'_>, star: &StampStar, half: usize) -> Option<(f64, f64)> {
    let (row, column) = (star.y.round() as usize, star.x.round() as usize);
    let (top, left) = (row.checked_sub(half)?, column.checked_sub(half)?);
    let level = level_around(side, star, half)?;
    let (mut inner, mut variance) = (0.0, 0.0);
    for y in 1..2 * half {
        for x in 1..2 * half {
            if let Some((value, noise)) = side.pixel((top + y) * side.columns + left + x) {
                inner += value - level;
                variance += noise;
            }
        }
    }
    Some((inner, variance.sqrt()))
}

/// Median of the good pixels on the border of a stamp.
pub(super) fn level_around(side: &Side<'_>, star: &StampStar, half: usize) -> Option<f64> {
    let (row, column) = (star.y.round() as usize, star.x.round() as usize);
    let (top, left) = (row.checked_sub(half)?, column.checked_sub(half)?);
    let ends = [0, 2 * half];
    let mut border: Vec<f32> = (0..=2 * half)
        .flat_map(|along| ends.into_iter().flat_map(move |end| [(along, end), (end, along)]))
        .filter_map(|(y, x)| side.pixel((top + y) * side.columns + left + x))
        .map(|(value, _)| value as f32)
        .collect();
    statistics::median_in_place(&mut border).map(f64::from)
}

/// The median ratio of the stars' light in `target` to that in `convolved`, of those that can be measured; `None` without any.
pub(super) fn flux_ratio(
    target: &Side<'_>,
    convolved: &Side<'_>,
    stars: &[StampStar],
    half: usize,
) -> Option<f64> {
    let mut ratios: Vec<f32> = bands::map(stars, |star| {
        let ((one, error), (other, other_error)) =
            (light(target, star, half)?, light(convolved, star, half)?);
        let is_bright = one > LEAST_SIGNAL_TO_NOISE * error
            && other > LEAST_SIGNAL_TO_NOISE * other_error
            && other > 0.0;
        is_bright.then_some((one / other) as f32)
    })
    .into_iter()
    .flatten()
    .collect();
    statistics::median_in_place(&mut ratios).map(f64::from).filter(|ratio| ratio.is_finite())
}

/// The stamps about stars, in their order; none for a star that is faint, or with too few good pixels.
pub(super) fn cut(
    target: &Side<'_>,
    convolved: &Side<'_>,
    stars: &[StampStar],
    basis: &KernelBasis,
    cut: Cut,
) -> Vec<Stamp> {
    let stamps = bands::map(stars, |star| {
        let is_bright = [target, convolved].iter().all(|side| {
            light(side, star, cut.half)
                .is_some_and(|(light, error)| light > LEAST_SIGNAL_TO_NOISE * error)
        });
        if is_bright { stamp(target, convolved, star, basis, cut) } else { None }
    });
    stamps.into_iter().flatten().collect()
}

fn stamp(
    target: &Side<'_>,
    convolved: &Side<'_>,
    star: &StampStar,
    basis: &KernelBasis,
    cut: Cut,
) -> Option<Stamp> {
    let (half, reach) = (cut.half, basis.reach());
    let side = 2 * half + 1;
    let width = side + 2 * reach;
    let (row, column) = (star.y.round() as usize, star.x.round() as usize);
    let top = row.checked_sub(half + reach)?;
    let left = column.checked_sub(half + reach)?;
    if top + width > convolved.rows || left + width > convolved.columns {
        return None;
    }
    let mut patch = vec![0.0; width * width];
    let mut noise = vec![0.0; side * side];
    let mut is_spoilt = vec![false; side * side];
    for y in 0..width {
        for x in 0..width {
            let inner = (y.wrapping_sub(reach), x.wrapping_sub(reach));
            match convolved.pixel((top + y) * convolved.columns + left + x) {
                Some((value, variance)) => {
                    patch[y * width + x] = value;
                    if inner.0 < side && inner.1 < side {
                        noise[inner.0 * side + inner.1] = variance;
                    }
                }
                None => spoil(&mut is_spoilt, side, (y, x), reach),
            }
        }
    }
    let area = side * side;
    let mut columns = basis.convolved(&patch, side);
    columns.resize((basis.len() + 2) * area, 1.0);
    let mut roots = vec![0.0; area];
    let mut pixel_count = 0;
    for y in 0..side {
        for x in 0..side {
            let here = y * side + x;
            let place = (top + reach + y) * target.columns + left + reach + x;
            let Some((value, variance)) = target.pixel(place).filter(|_| !is_spoilt[here]) else {
                columns[(basis.len() + 1) * area + here] = 0.0;
                continue;
            };
            columns[(basis.len() + 1) * area + here] = value;
            let all = variance
                + cut.scale.powi(2) * cut.smoothing * noise[here]
                + (cut.model_error * value).powi(2);
            if all > 0.0 {
                roots[here] = 1.0 / all.sqrt();
                pixel_count += 1;
            }
        }
    }
    if (pixel_count as f64) < LEAST_GOOD_SHARE * area as f64 {
        return None;
    }
    let order = basis.len() + 2;
    let products = weighted_products(&mut columns, &roots, order);
    let (x, y) = (column as f64, row as f64);
    Some(Stamp { star: *star, half, x, y, products, order, pixel_count })
}

/// Marks the pixels of a stamp near to one of the patch that cannot be used.
fn spoil(is_spoilt: &mut [bool], side: usize, (y, x): (usize, usize), reach: usize) {
    let range = |centre: usize| {
        let first = (centre + SPOILT_REACH + 1).saturating_sub(reach + 2 * SPOILT_REACH + 1);
        first..(centre + SPOILT_REACH + 1).saturating_sub(reach).min(side)
    };
    for row in range(y) {
        for column in range(x) {
            if let Some(pixel) = is_spoilt.get_mut(row * side + column) {
                *pixel = true;
            }
        }
    }
}

widest! {
/// Multiplies every column by the roots of the weights, and gives the products of all pairs: `order`² values.
fn weighted_products<'a>(columns: &'a mut [f64], roots: &'a [f64], order: usize) -> Vec<f64> {
    let area = roots.len();
    for column in columns.chunks_exact_mut(area) {
        column.iter_mut().zip(roots).for_each(|(value, root)| *value *= root);
    }
    let mut products = vec![0.0; order * order];
    for (i, left) in columns.chunks_exact(area).enumerate() {
        for (j, right) in columns.chunks_exact(area).enumerate().take(i + 1) {
            let sum = dot(left, right);
            products[i * order + j] = sum;
            products[j * order + i] = sum;
        }
    }
    products
}
}

/// Values that are summed side by side.
const LANES: usize = 16;

#[inline(always)]
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut totals = [0.0; LANES];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            totals[lane] += left[lane] * right[lane];
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    totals.iter().sum::<f64>() + rest
}
