//! How many standard deviations a point source stands out of a difference: a matched filter, and the noise as it is after it.
//!
//! The noise of the convolved image is correlated from pixel to pixel. What the filter makes of it follows from the kernel: the image
//! before convolution has independent pixels, and filter and kernel together are one linear sum over them.

use super::kernel_convolution::RawDifference;
use super::kernel_fit::KernelFit;
use super::kernel_stamps::Side;
use super::matched_filter::FWHM_PER_SIGMA;
use super::{Image, bands, widest::widest};

/// Rows that are filtered together: their sums along rows stay in the cache.
const CHUNK: usize = 64;
/// Values that are summed side by side, in registers.
const LANES: usize = 32;
/// The filters end at as many standard deviations.
const REACH_SIGMAS: f64 = 2.5;
const WIDEST_REACH: usize = 24;

/// Filters for the light of a star on the difference, and for the variances of both images.
pub(super) struct Filters {
    /// A Gaussian of unit sum.
    pub light: Vec<f32>,
    /// Its squares.
    target_noise: Vec<f32>,
    /// Squares of it and the kernel together: their sum is right, their shape that of a Gaussian of the same width along x and y.
    convolved_noise: (Vec<f32>, Vec<f32>),
    reach: usize,
}

impl Filters {
    /// For stars of this width on the target image. The factors say by how much the noise of sums over many pixels (of the target, of the
    /// convolved image) is above what their variances say: one where pixels are independent.
    pub fn new(
        fwhm_pixels: f64,
        fit: &KernelFit,
        shape: (usize, usize),
        noise_factors: (f64, f64),
    ) -> Self {
        let sigma = (fwhm_pixels / FWHM_PER_SIGMA).clamp(0.5, 10.0);
        let light = gaussian(sigma, 1.0);
        let squares: Vec<f64> = light.iter().map(|value| value * value).collect();
        let root = noise_factors.0.sqrt();
        let target_noise: Vec<f64> = squares.iter().map(|value| value * root).collect();
        let (middle_x, middle_y) = (shape.1 as f64 / 2.0, shape.0 as f64 / 2.0);
        let both = both_squared(&light, &fit.kernel_at(middle_x, middle_y), fit.basis().reach());
        let root = (both.sum * noise_factors.1).sqrt();
        let convolved = (gaussian(both.sigma_x, root), gaussian(both.sigma_y, root));
        let longest = light.len().max(convolved.0.len()).max(convolved.1.len());
        let single =
            |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
        Self {
            light: single(&light),
            target_noise: single(&target_noise),
            convolved_noise: (single(&convolved.0), single(&convolved.1)),
            reach: longest / 2,
        }
    }
}

/// A sampled Gaussian with this sum.
fn gaussian(sigma: f64, sum: f64) -> Vec<f64> {
    let reach = ((REACH_SIGMAS * sigma).ceil() as usize).clamp(1, WIDEST_REACH) as i64;
    let values: Vec<f64> =
        (-reach..=reach).map(|tap| (-0.5 * (tap as f64 / sigma).powi(2)).exp()).collect();
    let total: f64 = values.iter().sum();
    values.iter().map(|value| value * sum / total).collect()
}

/// Sum and widths of a plane of squares.
struct Squares {
    sum: f64,
    sigma_x: f64,
    sigma_y: f64,
}

/// Of the filter convolved with the kernel.
fn both_squared(light: &[f64], kernel: &[f64], reach: usize) -> Squares {
    let side = 2 * reach + 1;
    let half = light.len() / 2;
    let whole = side + 2 * half;
    let mut rows = vec![0.0; side * whole];
    for (row, values) in rows.chunks_mut(whole).zip(kernel.chunks(side)) {
        for (place, value) in values.iter().enumerate() {
            let out = row.iter_mut().skip(place);
            out.zip(light).for_each(|(sum, factor)| *sum += factor * value);
        }
    }
    let mut plane = vec![0.0; whole * whole];
    for (place, row) in rows.chunks(whole).enumerate() {
        for (factor, out) in light.iter().zip(plane.chunks_mut(whole).skip(place)) {
            out.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    let (mut sum, mut xx, mut yy) = (0.0, 0.0, 0.0);
    let centre = (whole / 2) as f64;
    for (place, value) in plane.iter().enumerate() {
        let square = value * value;
        sum += square;
        xx += square * ((place % whole) as f64 - centre).powi(2);
        yy += square * ((place / whole) as f64 - centre).powi(2);
    }
    let sigma = |moment: f64| (moment / sum).sqrt().clamp(0.4, 12.0);
    Squares { sum, sigma_x: sigma(xx), sigma_y: sigma(yy) }
}

/// What is filtered, along a row.
#[derive(Clone, Copy)]
enum Plane {
    Difference,
    Model,
    TargetNoise,
    ConvolvedNoise,
}

const PLANES: [Plane; 4] =
    [Plane::Difference, Plane::Model, Plane::TargetNoise, Plane::ConvolvedNoise];

/// The filtered difference at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Filtered {
    /// Filtered difference, and its variance by the noise of both images.
    pub light: f64,
    pub variance: f64,
    /// Filtered light of what was subtracted.
    pub model: f64,
}

/// The significance of a difference; zero where it is masked.
pub(super) struct Significance<'a> {
    pub difference: &'a RawDifference,
    pub target: &'a Side<'a>,
    pub convolved: &'a Side<'a>,
    pub filters: &'a Filters,
    /// Share of the subtracted light by which the kernel may be wrong.
    pub model_error: f64,
}

impl Significance<'_> {
    pub fn plane(&self) -> Image {
        let shape = self.difference.data.dim();
        let (rows, columns) = shape;
        let mut plane = Image::zeros(shape);
        if let Some(values) = plane.as_slice_mut() {
            bands::of_plane(values, columns, 4, |first, values| {
                let count = values.len() / columns.max(1);
                let mut work = Work::default();
                for top in (0..count).step_by(CHUNK) {
                    let end = (top + CHUNK).min(count);
                    let chunk = values.get_mut(top * columns..end * columns).unwrap_or_default();
                    self.fill(first + top, chunk, (rows, columns), &mut work);
                }
            });
        }
        plane
    }

    /// At one pixel.
    pub fn at(&self, x: usize, y: usize) -> Filtered {
        let columns = self.target.columns;
        let mut sums = [0.0; PLANES.len()];
        for (plane, sum) in PLANES.into_iter().zip(&mut sums) {
            let (along_x, along_y) = self.taps(plane);
            let (half_x, half_y) = (along_x.len() / 2, along_y.len() / 2);
            for (v, factor_y) in along_y.iter().enumerate() {
                for (u, factor_x) in along_x.iter().enumerate() {
                    let (row, column) =
                        ((y + v).wrapping_sub(half_y), (x + u).wrapping_sub(half_x));
                    if row < self.target.rows && column < columns {
                        let value = self.value(plane, row * columns + column);
                        *sum += f64::from(factor_y * factor_x * value);
                    }
                }
            }
        }
        let [light, model, target_noise, convolved_noise] = sums;
        Filtered { light, model, variance: target_noise + convolved_noise }
    }

    fn value(&self, plane: Plane, place: usize) -> f32 {
        let of = |values: &[f32]| values.get(place).copied().unwrap_or_default();
        let difference = self.difference.data.as_slice().unwrap_or_default();
        let mask = self.difference.mask.as_slice().unwrap_or_default();
        if mask.get(place).is_none_or(|bits| *bits != 0) {
            return 0.0;
        }
        match plane {
            Plane::Difference => of(difference),
            Plane::Model => of(&self.target.data) - self.target.level - of(difference),
            Plane::TargetNoise => of(&self.target.variance),
            Plane::ConvolvedNoise => usable(of(&self.convolved.variance)),
        }
    }

    fn taps(&self, plane: Plane) -> (&[f32], &[f32]) {
        let filters = self.filters;
        match plane {
            Plane::Difference | Plane::Model => (&filters.light, &filters.light),
            Plane::TargetNoise => (&filters.target_noise, &filters.target_noise),
            Plane::ConvolvedNoise => (&filters.convolved_noise.0, &filters.convolved_noise.1),
        }
    }

    /// Rows of the significance from `top` on.
    fn fill(&self, top: usize, out: &mut [f32], (rows, columns): (usize, usize), work: &mut Work) {
        let reach = self.filters.reach;
        let height = out.len() / columns.max(1);
        // Sums along rows lie in lines that are whole numbers of LANES.
        let width = columns.div_ceil(LANES) * LANES;
        let lines = height + 2 * reach;
        for sums in &mut work.sums {
            sums.clear();
            sums.resize(lines * width, 0.0);
        }
        work.row.clear();
        work.row.resize(width + 2 * reach, 0.0);
        for line in 0..lines {
            let row = (top + line).wrapping_sub(reach);
            if row >= rows {
                continue;
            }
            for (plane, sums) in PLANES.into_iter().zip(&mut work.sums) {
                let values = work.row.get_mut(reach..reach + columns).unwrap_or_default();
                self.fill_values(plane, row, values);
                let taps = self.taps(plane).0;
                let from = work.row.get(reach - taps.len() / 2..).unwrap_or_default();
                let sums = sums.get_mut(line * width..(line + 1) * width).unwrap_or_default();
                along_row(taps, from, sums);
            }
        }
        let mut filtered = [(); PLANES.len()].map(|()| vec![0.0; width]);
        for (offset, out) in out.chunks_mut(columns.max(1)).enumerate() {
            for ((plane, sums), filtered) in PLANES.into_iter().zip(&work.sums).zip(&mut filtered) {
                let taps = self.taps(plane).1;
                let first = offset + reach - taps.len() / 2;
                along_columns(taps, sums.get(first * width..).unwrap_or_default(), width, filtered);
            }
            let here = (top + offset) * columns..(top + offset + 1) * columns;
            let mask = self.difference.mask.as_slice().and_then(|mask| mask.get(here));
            let [light, model, target_noise, convolved_noise] = &filtered;
            let noise = (target_noise.as_slice(), convolved_noise.as_slice());
            let error = self.model_error as f32;
            in_noise(out, light, model, noise, mask.unwrap_or_default(), error);
        }
    }

    fn fill_values(&self, plane: Plane, row: usize, out: &mut [f32]) {
        let here = row * self.target.columns..(row + 1) * self.target.columns;
        let difference = self.difference.data.as_slice().and_then(|data| data.get(here.clone()));
        let mask = self.difference.mask.as_slice().and_then(|mask| mask.get(here.clone()));
        let (difference, mask) = (difference.unwrap_or_default(), mask.unwrap_or_default());
        let own = |values: &'_ [f32], out: &mut [f32]| {
            good_values(out, values.get(here.clone()).unwrap_or_default(), mask);
        };
        match plane {
            Plane::Difference => out.copy_from_slice(difference),
            Plane::Model => {
                let target = self.target.data.get(here.clone()).unwrap_or_default();
                model_values(out, target, difference, mask, self.target.level);
            }
            Plane::TargetNoise => own(&self.target.variance, out),
            Plane::ConvolvedNoise => own(&self.convolved.variance, out),
        }
    }
}

fn usable(variance: f32) -> f32 {
    if (0.0..=f32::MAX).contains(&variance) { variance } else { 0.0 }
}

#[derive(Default)]
struct Work {
    row: Vec<f32>,
    sums: [Vec<f32>; PLANES.len()],
}

widest! {
fn good_values<'a>(out: &'a mut [f32], values: &'a [f32], mask: &'a [u8]) -> () {
    for ((out, &value), &mask) in out.iter_mut().zip(values).zip(mask) {
        *out = if (mask == 0) & (0.0..=f32::MAX).contains(&value) { value } else { 0.0 };
    }
}
}

widest! {
fn model_values<'a>(
    out: &'a mut [f32],
    target: &'a [f32],
    difference: &'a [f32],
    mask: &'a [u8],
    level: f32,
) -> () {
    for (((out, &target), &difference), &mask) in
        out.iter_mut().zip(target).zip(difference).zip(mask)
    {
        *out = if mask == 0 { target - level - difference } else { 0.0 };
    }
}
}

widest! {
/// out[i] = Σ taps[t] · from[i + t], `out` of whole LANES.
fn along_row<'a>(taps: &'a [f32], from: &'a [f32], out: &'a mut [f32]) -> () {
    let (blocks, _) = out.as_chunks_mut::<LANES>();
    for (block, out) in blocks.iter_mut().enumerate() {
        let mut sums = [0.0f32; LANES];
        for (tap, factor) in taps.iter().enumerate() {
            let values = from.get(block * LANES + tap..).and_then(<[f32]>::first_chunk::<LANES>);
            if let Some(values) = values {
                for lane in 0..LANES {
                    sums[lane] += factor * values[lane];
                }
            }
        }
        *out = sums;
    }
}
}

widest! {
/// out[i] = Σ taps[t] · from[t · width + i].
fn along_columns<'a>(taps: &'a [f32], from: &'a [f32], width: usize, out: &'a mut [f32]) -> () {
    let (blocks, _) = out.as_chunks_mut::<LANES>();
    for (block, out) in blocks.iter_mut().enumerate() {
        let mut sums = [0.0f32; LANES];
        for (tap, factor) in taps.iter().enumerate() {
            let start = tap * width + block * LANES;
            if let Some(values) = from.get(start..).and_then(<[f32]>::first_chunk::<LANES>) {
                for lane in 0..LANES {
                    sums[lane] += factor * values[lane];
                }
            }
        }
        *out = sums;
    }
}
}

widest! {
fn in_noise<'a>(
    out: &'a mut [f32],
    light: &'a [f32],
    model: &'a [f32],
    noise: (&'a [f32], &'a [f32]),
    mask: &'a [u8],
    model_error: f32,
) -> () {
    let noise = noise.0.iter().zip(noise.1);
    let values = light.iter().zip(model).zip(noise).zip(mask);
    for (out, (((&light, &model), (&target, &convolved)), &mask)) in out.iter_mut().zip(values) {
        let wrong = model_error * model.max(0.0);
        let ratio = light / (target + convolved + wrong * wrong).sqrt();
        *out = if (mask == 0) & (ratio.abs() <= f32::MAX) { ratio } else { 0.0 };
    }
}
}
