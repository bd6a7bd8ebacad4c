//! Gaussian matched filter: how many standard deviations the best-fitting point source at each pixel stands out.

use super::{
    bands,
    components::BrightRuns,
    planes::{Planes, UNUSABLE},
    widest::widest,
};

/// Ratio of the full width at half maximum of a Gaussian to its standard deviation.
pub(super) const FWHM_PER_SIGMA: f64 = 2.354_820_045_030_949_3;

/// Widest half-width of the kernel in pixels: a bound on time.
const WIDEST_REACH: usize = 24;
/// A share of the kernel's weight below which nothing is known: rounding errors are smaller.
const LEAST_WEIGHT: f32 = 1e-4;

/// The pixels whose significance is above the threshold, with it.
///
/// The significance is Σ kᵢuᵢdᵢ / (σ √(Σ kᵢ²uᵢ)) with the background-subtracted data d, the noise of the background σ at the pixel,
/// a Gaussian kernel k of `fwhm_pixels` about it, and u one where a pixel can be used, else zero: so is what lies off the image. It
/// has unit variance on empty sky with independent noise, up to masks and edges. Where the background has no noise (a constant image
/// with sources), the variance plane may know; a pixel of which nothing is known has none.
///
/// Rows pass through a ring of filtered rows and are looked through at once: no full plane is made.
pub(super) fn bright_runs(planes: &Planes<'_>, fwhm_pixels: f64, threshold: f32) -> BrightRuns {
    let filter = Filter::new(planes, fwhm_pixels);
    let band = bands::rows_per_band(planes.height, planes.width);
    let starts = (0..planes.height).step_by(band).collect();
    let found = bands::each(starts, |first_row| {
        let mut found = BrightRuns::default();
        let end = (first_row + band).min(planes.height);
        filter.visit(first_row..end, |row, significance| {
            found.add_row(row, significance, threshold);
        });
        found
    });
    BrightRuns::joined(found)
}

/// The filter on one image.
struct Filter<'a> {
    planes: &'a Planes<'a>,
    kernel: Vec<f32>,
    squared: Vec<f32>,
    /// Σ k² along a row, of the pixels on the image, for each column.
    row_weight: Vec<f32>,
    /// The same along a column, for each row.
    column_weight: Vec<f32>,
}

/// A row that is filtered along its columns.
#[derive(Default)]
struct FilteredRow {
    signal: Vec<f32>,
    /// Σ k² of the pixels that cannot be used; zero outside of `touched`.
    missing: Vec<f32>,
    /// Columns near pixels that cannot be used, half-open, from left to right.
    touched: Vec<(usize, usize)>,
}

impl<'a> Filter<'a> {
    fn new(planes: &'a Planes<'a>, fwhm_pixels: f64) -> Self {
        let kernel = kernel(fwhm_pixels);
        let squared: Vec<f32> = kernel.iter().map(|value| value * value).collect();
        let on_image = |length: usize| -> Vec<f32> {
            let reach = kernel.len() / 2;
            let taps = |place: usize| {
                reach.saturating_sub(place)..kernel.len().min(length + reach - place)
            };
            (0..length).map(|place| squared.get(taps(place)).unwrap_or(&[]).iter().sum()).collect()
        };
        let (row_weight, column_weight) = (on_image(planes.width), on_image(planes.height));
        Self { planes, kernel, squared, row_weight, column_weight }
    }

    /// Hands on each of the rows with the significance of its pixels.
    fn visit(&self, rows: std::ops::Range<usize>, mut visit: impl FnMut(usize, &[f32])) {
        let reach = self.kernel.len() / 2;
        let (height, width) = (self.planes.height, self.planes.width);
        let mut ring: Vec<FilteredRow> = Vec::new();
        ring.resize_with(self.kernel.len(), || FilteredRow {
            signal: vec![0.0; width],
            missing: vec![0.0; width],
            touched: Vec::new(),
        });
        // Padding with zeros on either side: pixels off the image have no light.
        let mut light = vec![0.0; width + 2 * reach];
        let (mut level, mut noise) = (vec![0.0; width], vec![0.0; width]);
        let mut inverse_root = InverseRoot::default();
        let mut output = vec![0.0; width];
        let mut ready = rows.start.saturating_sub(reach);
        for row in rows {
            while ready < height.min(row + reach + 1) {
                self.planes.fill_level(ready, 0..width, &mut level);
                let place = ready % self.kernel.len();
                if let (Some(slot), Some(inner)) =
                    (ring.get_mut(place), light.get_mut(reach..reach + width))
                {
                    self.filter_row(ready, &level, inner, slot);
                    let taps: Vec<(f32, &[f32])> = (0..)
                        .zip(&self.kernel)
                        .filter_map(|(shift, &tap)| Some((tap, light.get(shift..shift + width)?)))
                        .collect();
                    weighted_sum(&taps, &mut slot.signal);
                }
                ready += 1;
            }
            let near: Vec<(usize, &FilteredRow)> = (row.saturating_sub(reach)
                ..height.min(row + reach + 1))
                .filter_map(|near| Some((near + reach - row, ring.get(near % self.kernel.len())?)))
                .collect();
            let tap_of = |tap: usize| self.kernel.get(tap).copied().unwrap_or(0.0);
            let taps: Vec<(f32, &[f32])> =
                near.iter().map(|(tap, row)| (tap_of(*tap), row.signal.as_slice())).collect();
            weighted_sum(&taps, &mut output);
            self.planes.fill_noise(row, 0..width, &mut noise);
            let weight = self.column_weight.get(row).copied().unwrap_or(0.0);
            inverse_root.of_whole_rows(weight, &self.row_weight);
            for (tap, near) in &near {
                let square = self.squared.get(*tap).copied().unwrap_or(0.0);
                for &(start, end) in &near.touched {
                    inverse_root.take_off(start..end, square, &near.missing);
                }
            }
            inverse_root.without_missing(weight, &self.row_weight);
            let variance = self.planes.variance_row(row);
            in_noise(&mut output, &noise, &inverse_root.now, variance);
            visit(row, &output);
        }
    }

    /// Light above the background of the pixels of a row, and what is missing along it.
    fn filter_row(&self, row: usize, level: &[f32], light: &mut [f32], slot: &mut FilteredRow) {
        let (data, mask) = (self.planes.data_row(row), self.planes.mask_row(row));
        let missing = light_above(light, data, level, mask);
        for &(start, end) in &slot.touched {
            slot.missing.get_mut(start..end).unwrap_or_default().fill(0.0);
        }
        slot.touched.clear();
        if missing == 0 {
            return;
        }
        let (reach, width) = (self.kernel.len() / 2, self.planes.width);
        for (column, ((&data, &level), &mask)) in data.iter().zip(level).zip(mask).enumerate() {
            if (mask & UNUSABLE == 0) & ((data - level).abs() <= f32::MAX) {
                continue;
            }
            let (start, end) = (column.saturating_sub(reach), (column + reach + 1).min(width));
            let squares = self.squared.iter().skip(start + reach - column);
            let near = slot.missing.get_mut(start..end).unwrap_or_default();
            near.iter_mut().zip(squares).for_each(|(missing, square)| *missing += square);
            match slot.touched.last_mut().filter(|last| last.1 >= start) {
                Some(last) => last.1 = end,
                None => slot.touched.push((start, end)),
            }
        }
    }
}

widest! {
/// Light above the background, zero where a pixel cannot be used; how many of these there are.
fn light_above<'a>(light: &'a mut [f32], data: &'a [f32], level: &'a [f32], mask: &'a [u8]) -> u32 {
    let mut missing = 0;
    for (((light, &data), &level), &mask) in light.iter_mut().zip(data).zip(level).zip(mask) {
        let above = data - level;
        let is_usable = (mask & UNUSABLE == 0) & (above.abs() <= f32::MAX);
        *light = if is_usable { above } else { 0.0 };
        missing += u32::from(!is_usable);
    }
    missing
}
}

widest! {
/// Brings filtered light to standard deviations: with the noise of the background, or the variance where that has none.
fn in_noise<'a>(values: &'a mut [f32], noise: &'a [f32], roots: &'a [f32], variance: &'a [f32]) -> () {
    for (((value, &noise), &root), &variance) in
        values.iter_mut().zip(noise).zip(roots).zip(variance)
    {
        let noise = if noise > 0.0 { noise } else { variance.max(0.0).sqrt() };
        let ratio = *value * root / noise;
        *value = if ratio.abs() <= f32::MAX { ratio } else { 0.0 };
    }
}
}

/// 1 / √(Σ k²) along a row.
#[derive(Default)]
struct InverseRoot {
    /// Where nothing is missing, and the weight of the column that it is for.
    whole: (f32, Vec<f32>),
    now: Vec<f32>,
    missing: Vec<f32>,
    touched: Vec<std::ops::Range<usize>>,
}

impl InverseRoot {
    fn of_whole_rows(&mut self, weight: f32, row_weight: &[f32]) {
        if self.whole.0 != weight || self.whole.1.len() != row_weight.len() {
            self.whole =
                (weight, row_weight.iter().map(|row| 1.0 / (row * weight).sqrt()).collect());
            self.missing.resize(row_weight.len(), 0.0);
        }
        self.now.clear();
        self.now.extend_from_slice(&self.whole.1);
    }

    /// Adds what is missing in a row near to it.
    fn take_off(&mut self, columns: std::ops::Range<usize>, square: f32, missing: &[f32]) {
        let own = self.missing.get_mut(columns.clone()).unwrap_or_default();
        let near = missing.get(columns.clone()).unwrap_or_default();
        own.iter_mut().zip(near).for_each(|(own, near)| *own += square * near);
        self.touched.push(columns);
    }

    fn without_missing(&mut self, weight: f32, row_weight: &[f32]) {
        for columns in &self.touched {
            let all = row_weight.get(columns.clone()).unwrap_or_default();
            let missing = self.missing.get(columns.clone()).unwrap_or_default();
            let now = self.now.get_mut(columns.clone()).unwrap_or_default();
            for ((now, missing), all) in now.iter_mut().zip(missing).zip(all) {
                let left = all * weight - missing;
                *now = if left > LEAST_WEIGHT * all * weight { 1.0 / left.sqrt() } else { 0.0 };
            }
        }
        for columns in self.touched.drain(..) {
            self.missing.get_mut(columns).unwrap_or_default().fill(0.0);
        }
    }
}

/// One dimension of the kernel; the scale cancels.
fn kernel(fwhm_pixels: f64) -> Vec<f32> {
    let sigma = if fwhm_pixels.is_finite() { (fwhm_pixels / FWHM_PER_SIGMA).max(0.1) } else { 1.0 };
    let reach = ((2.5 * sigma).ceil() as usize).clamp(1, WIDEST_REACH) as i64;
    (-reach..=reach).map(|tap| (-0.5 * (tap as f64 / sigma).powi(2)).exp() as f32).collect()
}

/// Values that are summed side by side, in registers.
const LANES: usize = 16;

widest! {
/// Σ factor · values, of slices as long as `sums`.
fn weighted_sum<'a>(terms: &'a [(f32, &'a [f32])], sums: &'a mut [f32]) -> () {
    let (blocks, rest) = sums.as_chunks_mut::<LANES>();
    for (block, sums) in blocks.iter_mut().enumerate() {
        let mut totals = [0.0; LANES];
        for (factor, values) in terms {
            let values = values.get(block * LANES..).and_then(<[f32]>::first_chunk::<LANES>);
            for (total, value) in totals.iter_mut().zip(values.unwrap_or(&[0.0; LANES])) {
                *total += factor * value;
            }
        }
        *sums = totals;
    }
    let done = blocks.len() * LANES;
    for (place, sum) in (done..).zip(rest) {
        let terms = terms.iter().filter_map(|(factor, values)| Some(factor * values.get(place)?));
        *sum = terms.sum();
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        CalibratedImage, Image, Mask, background::Background, mask_bits, synthetic::Generator,
    };

    fn significance(planes: &Planes<'_>, fwhm_pixels: f64) -> Vec<f32> {
        let mut all = Vec::new();
        let filter = Filter::new(planes, fwhm_pixels);
        // In two parts: the second begins with rows of the first.
        for rows in [0..planes.height / 3, planes.height / 3..planes.height] {
            filter.visit(rows, |_, significance| all.extend_from_slice(significance));
        }
        all
    }

    fn background(shape: (usize, usize), noise: f32) -> Background {
        Background {
            level: Image::from_elem(shape, 10.0).into(),
            noise: Image::from_elem(shape, noise).into(),
            global_level: 10.0,
            global_noise: f64::from(noise),
        }
    }

    #[test]
    fn empty_sky_has_unit_variance_up_to_edges_and_masks() {
        let shape = (120, 200);
        let mut generator = Generator::new(3);
        let image =
            CalibratedImage {
                data: Image::from_shape_fn(shape, |_| (10.0 + 3.0 * generator.normal()) as f32),
                variance: Image::from_elem(shape, 9.0),
                mask: Mask::from_shape_fn(shape, |(y, x)| {
                    if (y + 2 * x) % 7 == 0 { mask_bits::BAD } else { 0 }
                }),
            };
        let background = background(shape, 3.0);
        let planes = Planes::new(&image, &background).unwrap();
        let significance = significance(&planes, 2.5);
        let rms = |pixels: &mut dyn Iterator<Item = f32>| {
            let (mut count, mut sum) = (0.0, 0.0);
            for value in pixels {
                count += 1.0;
                sum += f64::from(value * value);
            }
            (sum / count).sqrt()
        };
        let all = rms(&mut significance.iter().copied());
        // About 24 000 / 14 independent values: the deviation is known to 2 %.
        assert!((all - 1.0).abs() < 0.05, "{all}");
        let edge = rms(&mut significance
            .iter()
            .copied()
            .take(200)
            .chain(significance.iter().copied().skip(119 * 200)));
        assert!((edge - 1.0).abs() < 0.2, "{edge}");
    }

    #[test]
    fn it_is_the_formula() {
        let shape = (9, 11);
        let mut generator = Generator::new(9);
        let mut image = CalibratedImage {
            data: Image::from_shape_fn(shape, |_| (10.0 + generator.normal()) as f32),
            variance: Image::from_elem(shape, 1.0),
            mask: Mask::zeros(shape),
        };
        image.data[[4, 6]] = f32::NAN;
        image.mask[[3, 3]] = mask_bits::COSMIC;
        let mut background = background(shape, 1.0);
        background.noise = Image::from_shape_fn(shape, |(y, x)| 1.0 + (x + y) as f32 / 10.0).into();
        let planes = Planes::new(&image, &background).unwrap();
        let significance = significance(&planes, 2.5);
        let kernel = kernel(2.5);
        let reach = (kernel.len() / 2) as i64;
        for y in 0..9i64 {
            for x in 0..11i64 {
                let (mut above, mut below) = (0.0f64, 0.0f64);
                for dy in -reach..=reach {
                    for dx in -reach..=reach {
                        let (v, u) = (y + dy, x + dx);
                        if v < 0
                            || u < 0
                            || v >= 9
                            || u >= 11
                            || (v, u) == (4, 6)
                            || (v, u) == (3, 3)
                        {
                            continue;
                        }
                        let pixel = [v as usize, u as usize];
                        let k = f64::from(
                            kernel[(dx + reach) as usize] * kernel[(dy + reach) as usize],
                        );
                        above += k * f64::from(image.data[pixel] - 10.0);
                        below += k * k;
                    }
                }
                let noise = f64::from(background.noise.at(y as usize, x as usize));
                let expected = above / below.sqrt() / noise;
                let found = f64::from(significance[(y * 11 + x) as usize]);
                assert!((found - expected).abs() < 1e-5, "{x} {y}: {found} {expected}");
            }
        }
    }
}
