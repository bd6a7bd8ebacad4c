//! A whole image convolved with a kernel that varies over it: constant in blocks, directly summed.

use super::image::mask_bits;
use super::kernel_fit::KernelFit;
use super::kernel_stamps::Side;
use super::{Image, Mask, bands, widest::widest};

/// Side of the blocks, pixels. A kernel changes by its degree over thousands of pixels.
const BLOCK: usize = 32;
/// Taps at the corners of a kernel that are below this share of the highest are left out: together they hold less than a thousandth
/// of the flux.
const NEGLIGIBLE_TAP: f32 = 1e-5;
/// A masked pixel that holds less than this share of a kernel's weights does not mask what it touches.
const NEGLIGIBLE_SHARE: f64 = 2e-3;

/// The target image less the convolved one and the background, in the flux scale of the target.
pub(super) struct RawDifference {
    pub data: Image,
    pub variance: Image,
    pub mask: Mask,
}

/// Subtracts the convolved image from the target. Where either is masked nearby the mask says so; data and variance are zero there.
pub(super) fn difference(
    target: &Side<'_>,
    convolved: &Side<'_>,
    fit: &KernelFit,
) -> RawDifference {
    let shape = (target.rows, target.columns);
    let (rows, columns) = shape;
    let mask = grown_mask(target, convolved, fit);
    let padded = Padded::of(convolved, fit.basis().reach());
    let mut data = Image::zeros(shape);
    let mut variance = Image::zeros(shape);
    let (Some(values), Some(noises), Some(bits)) =
        (data.as_slice_mut(), variance.as_slice_mut(), mask.as_slice())
    else {
        return RawDifference { data, variance, mask };
    };
    let band = bands::rows_per_band(rows, columns).div_ceil(BLOCK) * BLOCK * columns.max(1);
    let jobs = values.chunks_mut(band).zip(noises.chunks_mut(band)).enumerate();
    bands::each(jobs.collect(), |(number, (values, noises))| {
        let first = number * band / columns.max(1);
        for top in (0..values.len() / columns.max(1)).step_by(BLOCK) {
            let height = BLOCK.min(values.len() / columns.max(1) - top);
            for left in (0..columns).step_by(BLOCK) {
                let width = BLOCK.min(columns - left);
                let middle = |from: usize, length: usize| from as f64 + (length as f64 - 1.0) / 2.0;
                let taps = Taps::new(fit, middle(left, width), middle(first + top, height));
                for row in top..top + height {
                    let (level, noise) = taps.of_row(&padded, first + row, left);
                    let out = row * columns + left..row * columns + left + width;
                    if let Some(values) = values.get_mut(out.clone()) {
                        values.iter_mut().zip(level).for_each(|(value, level)| *value = level);
                    }
                    if let Some(noises) = noises.get_mut(out) {
                        noises.iter_mut().zip(noise).for_each(|(value, noise)| *value = noise);
                    }
                }
            }
        }
        let rows = values.chunks_mut(columns.max(1)).zip(noises.chunks_mut(columns.max(1)));
        for (row, (values, noises)) in rows.enumerate() {
            let here = (first + row) * columns..(first + row + 1) * columns;
            let background = background_of_row(fit, first + row, columns);
            finish_row(
                values,
                noises,
                target.data.get(here.clone()).unwrap_or_default(),
                target.variance.get(here.clone()).unwrap_or_default(),
                bits.get(here).unwrap_or_default(),
                target.level,
                background,
            );
        }
    });
    RawDifference { data, variance, mask }
}

/// A background along a row: the value at its left end, and what it gains by pixel and by pixel².
type Quadratic = (f32, f32, f32);

/// Backgrounds are of the second degree at most: three points of a row say it all.
fn background_of_row(fit: &KernelFit, row: usize, columns: usize) -> Quadratic {
    let length = (columns.max(3) - 1) as f64;
    let at = |x: f64| fit.background_at(x, row as f64);
    let (start, middle, end) = (at(0.0), at(length / 2.0), at(length));
    let curve = 2.0 * (start - 2.0 * middle + end) / (length * length);
    let slope = (end - start) / length - curve * length;
    (start as f32, slope as f32, curve as f32)
}

widest! {
/// From the convolved image to the difference.
fn finish_row<'a>(
    values: &'a mut [f32],
    noises: &'a mut [f32],
    data: &'a [f32],
    variance: &'a [f32],
    mask: &'a [u8],
    level: f32,
    background: (f32, f32, f32),
) -> () {
    let (start, slope, curve) = background;
    let own = data.iter().zip(variance).zip(mask);
    for (column, ((value, noise), ((&data, &variance), &mask))) in
        values.iter_mut().zip(noises).zip(own).enumerate()
    {
        let x = column as f32;
        let left = data - level - (start + x * (slope + x * curve)) - *value;
        *value = if mask == 0 { left } else { 0.0 };
        *noise = if mask == 0 { variance + *noise } else { 0.0 };
    }
}
}

/// An image with a margin all round; what cannot be used is at the level, without noise.
struct Padded {
    width: usize,
    data: Vec<f32>,
    variance: Vec<f32>,
}

impl Padded {
    fn of(side: &Side<'_>, reach: usize) -> Self {
        // Blocks at the right edge are computed whole.
        let width = (side.columns.div_ceil(BLOCK) * BLOCK).max(side.columns) + 2 * reach;
        let length = width * (side.rows + 2 * reach);
        let (mut data, mut variance) = (vec![0.0; length], vec![0.0; length]);
        let band = bands::rows_per_band(side.rows + 2 * reach, width) * width;
        let jobs = data.chunks_mut(band).zip(variance.chunks_mut(band)).enumerate();
        bands::each(jobs.collect(), |(number, (data, variance))| {
            let rows = data.chunks_mut(width).zip(variance.chunks_mut(width));
            for (offset, (data, variance)) in rows.enumerate() {
                let Some(row) = (number * band / width + offset).checked_sub(reach) else {
                    continue;
                };
                let here = row * side.columns..(row + 1) * side.columns;
                let (Some(values), Some(noises), Some(mask)) = (
                    side.data.get(here.clone()),
                    side.variance.get(here.clone()),
                    side.mask.get(here),
                ) else {
                    continue;
                };
                let inner = reach..reach + side.columns;
                if let (Some(data), Some(variance)) =
                    (data.get_mut(inner.clone()), variance.get_mut(inner))
                {
                    good_row(data, variance, values, noises, mask, side.level);
                }
            }
        });
        Self { width, data, variance }
    }
}

widest! {
fn good_row<'a>(
    data: &'a mut [f32],
    variance: &'a mut [f32],
    values: &'a [f32],
    noises: &'a [f32],
    mask: &'a [u8],
    level: f32,
) -> () {
    let from = values.iter().zip(noises).zip(mask);
    for ((data, variance), ((&value, &noise), &mask)) in data.iter_mut().zip(variance).zip(from) {
        // What is saturated still tells best what there is.
        let is_good = (mask & !mask_bits::SATURATED == 0) & (value.abs() <= f32::MAX) & (0.0..=f32::MAX).contains(&noise);
        *data = if is_good { value - level } else { 0.0 };
        *variance = if is_good { noise } else { 0.0 };
    }
}
}

/// A kernel turned about, so that rows of it lie beside rows of the image, and its squares.
struct Taps {
    side: usize,
    values: Vec<f32>,
    squares: Vec<f32>,
    /// For each row of the kernel its first tap that counts and one beyond the last.
    ranges: Vec<(usize, usize)>,
    square_ranges: Vec<(usize, usize)>,
}

impl Taps {
    fn new(fit: &KernelFit, x: f64, y: f64) -> Self {
        let side = 2 * fit.basis().reach() + 1;
        let values: Vec<f32> =
            fit.kernel_at(x, y).iter().rev().map(|value| *value as f32).collect();
        let squares: Vec<f32> = values.iter().map(|value| value * value).collect();
        let ranges = ranges(&values, side);
        let square_ranges = self::ranges(&squares, side);
        Self { side, values, squares, ranges, square_ranges }
    }

    /// The convolved values and their variances from `left` on.
    fn of_row(&self, padded: &Padded, row: usize, left: usize) -> ([f32; BLOCK], [f32; BLOCK]) {
        let (mut values, mut noises) = ([0.0; BLOCK], [0.0; BLOCK]);
        let from = row * padded.width + left;
        let data = padded.data.get(from..).unwrap_or_default();
        let variance = padded.variance.get(from..).unwrap_or_default();
        summed(&self.values, &self.ranges, self.side, data, padded.width, &mut values);
        summed(&self.squares, &self.square_ranges, self.side, variance, padded.width, &mut noises);
        (values, noises)
    }
}

/// Of each row of a kernel the taps that count.
fn ranges(taps: &[f32], side: usize) -> Vec<(usize, usize)> {
    let highest = taps.iter().fold(0.0f32, |highest, tap| highest.max(tap.abs()));
    let counts = |tap: &f32| tap.abs() > NEGLIGIBLE_TAP * highest;
    taps.chunks(side)
        .map(|row| match (row.iter().position(counts), row.iter().rposition(counts)) {
            (Some(first), Some(last)) => (first, last + 1),
            _ => (0, 0),
        })
        .collect()
}

widest! {
/// Σ tap · value for BLOCK neighbouring pixels.
fn summed<'a>(
    taps: &'a [f32],
    ranges: &'a [(usize, usize)],
    side: usize,
    from: &'a [f32],
    width: usize,
    out: &'a mut [f32; BLOCK],
) -> () {
    let mut sums = [0.0f32; BLOCK];
    for (row, (&(first, last), taps)) in ranges.iter().zip(taps.chunks_exact(side)).enumerate() {
        let taps = taps.get(first..last).unwrap_or_default();
        let values = from.get(row * width + first..).unwrap_or_default();
        for (tap, values) in taps.iter().zip(values.windows(BLOCK)) {
            if let Some(values) = values.first_chunk::<BLOCK>() {
                for lane in 0..BLOCK {
                    sums[lane] += tap * values[lane];
                }
            }
        }
    }
    *out = sums;
}
}

/// The masks of both, that of the convolved image grown by the pixels of the kernel that count, and NO_DATA where it reaches over the
/// edge. A value that is no number is BAD.
fn grown_mask(target: &Side<'_>, convolved: &Side<'_>, fit: &KernelFit) -> Mask {
    let (rows, columns) = (target.rows, target.columns);
    let spans = touched(fit, rows, columns);
    let reach = spans.len() / 2;
    let mut mask = Mask::zeros((rows, columns));
    let Some(bits) = mask.as_slice_mut() else { return mask };
    let runs = runs_of_bits(convolved);
    bands::of_plane(bits, columns, 4, |first, bits| {
        let count = bits.len() / columns.max(1);
        let mut mark = |row: usize, from: usize, to: usize, run: u8| {
            let line = row.wrapping_sub(first);
            if line < count
                && let Some(bits) = bits.get_mut(line * columns + from..line * columns + to)
            {
                bits.iter_mut().for_each(|own| *own |= run);
            }
        };
        for row in first.saturating_sub(reach)..(first + count + reach).min(rows) {
            for &(from, to, run) in runs.get(row).into_iter().flatten() {
                for (offset, &span) in spans.iter().enumerate() {
                    let Some(span) = span else { continue };
                    let line = (row + offset).wrapping_sub(reach);
                    mark(line, from.saturating_sub(span), (to + span).min(columns), run);
                }
            }
        }
        // The edges, as if there were bad pixels beyond them.
        for (offset, &span) in spans.iter().enumerate() {
            let Some(span) = span else { continue };
            let away = offset.abs_diff(reach);
            for row in 0..away.min(rows) {
                mark(row, 0, columns, mask_bits::NO_DATA);
                mark(rows - 1 - row, 0, columns, mask_bits::NO_DATA);
            }
            if away == 0 {
                for row in first..first + count {
                    mark(row, 0, span.min(columns), mask_bits::NO_DATA);
                    mark(row, columns.saturating_sub(span), columns, mask_bits::NO_DATA);
                }
            }
        }
        let own = first * columns..(first + count) * columns;
        let own = own.clone().zip(bits.iter_mut());
        for (place, bits) in own {
            *bits |= bits_at(target, place);
        }
    });
    mask
}

/// The bits of a pixel, BAD where its value or variance is none.
fn bits_at(side: &Side<'_>, place: usize) -> u8 {
    let value = side.data.get(place).copied().unwrap_or(f32::NAN);
    let noise = side.variance.get(place).copied().unwrap_or(f32::NAN);
    let is_number = value.is_finite() && noise.is_finite() && noise >= 0.0;
    side.mask.get(place).copied().unwrap_or(mask_bits::NO_DATA)
        | if is_number { 0 } else { mask_bits::BAD }
}

/// Neighbours in a row with the same bits: first column, one beyond the last, bits.
type Run = (usize, usize, u8);

fn runs_of_bits(side: &Side<'_>) -> Vec<Vec<Run>> {
    let lines: Vec<usize> = (0..side.rows).collect();
    bands::map(&lines, |row| {
        let mut runs: Vec<Run> = Vec::new();
        for column in 0..side.columns {
            let bits = bits_at(side, row * side.columns + column);
            if bits == 0 {
                continue;
            }
            match runs.last_mut().filter(|run| run.1 == column && run.2 == bits) {
                Some(run) => run.1 = column + 1,
                None => runs.push((column, column + 1, bits)),
            }
        }
        runs
    })
}

/// For each row of the kernel how far to both sides it counts anywhere in the image; `None` where it does not.
fn touched(fit: &KernelFit, rows: usize, columns: usize) -> Vec<Option<usize>> {
    let reach = fit.basis().reach();
    let side = 2 * reach + 1;
    let mut spans = vec![None; side];
    for share_y in [0.0, 0.5, 1.0] {
        for share_x in [0.0, 0.5, 1.0] {
            let kernel = fit.kernel_at(share_x * columns as f64, share_y * rows as f64);
            let least = NEGLIGIBLE_SHARE * kernel.iter().map(|value| value.abs()).sum::<f64>();
            for (row, (span, values)) in spans.iter_mut().zip(kernel.chunks(side)).enumerate() {
                for (column, value) in values.iter().enumerate() {
                    if value.abs() > least || (row, column) == (reach, reach) {
                        *span = (*span).max(Some(column.abs_diff(reach)));
                    }
                }
            }
        }
    }
    spans
}
