//! Gaussian matched filter: how many standard deviations the best-fitting point source at each pixel stands out.

use super::{
    bands,
    planes::{Planes, UNUSABLE},
};

/// Ratio of the full width at half maximum of a Gaussian to its standard deviation.
pub(super) const FWHM_PER_SIGMA: f64 = 2.354_820_045_030_949_3;

/// Widest half-width of the kernel in pixels: a bound on time.
const WIDEST_REACH: usize = 24;

/// Significance of every pixel, row-major: Σ kᵢdᵢ/σᵢ² / √(Σ kᵢ²/σᵢ²) with the background-subtracted data d, the
/// noise of the background σ and a Gaussian kernel k of `fwhm_pixels` about the pixel. It has unit variance on
/// empty sky with independent noise, up to masks and edges, as missing pixels enter neither sum. Zero where nothing is
/// known.
///
/// The kernel separates into rows and columns, as does its square; rows pass through a ring of filtered rows, so that the only full
/// plane is the result.
pub(super) fn significance(planes: &Planes<'_>, fwhm_pixels: f64) -> Vec<f32> {
    let kernel = kernel(fwhm_pixels);
    let squared: Vec<f32> = kernel.iter().map(|value| value * value).collect();
    let mut result = vec![0.0f32; planes.height * planes.width];
    bands::of_plane(&mut result, planes.width, 1, |first_row, rows| {
        filter_rows(planes, &kernel, &squared, first_row, rows);
    });
    result
}

/// The significance of the rows from `first_row` on.
fn filter_rows(
    planes: &Planes<'_>,
    kernel: &[f32],
    squared: &[f32],
    first_row: usize,
    result: &mut [f32],
) {
    let reach = kernel.len() / 2;
    let (height, width) = (planes.height, planes.width);
    // Padding with zeros of either side: pixels off the image weigh nothing.
    let mut signal = vec![0.0f32; width + 2 * reach];
    let mut weight = vec![0.0f32; width + 2 * reach];
    let ring_rows = kernel.len();
    let mut ring_signal = vec![0.0f32; ring_rows * width];
    let mut ring_weight = vec![0.0f32; ring_rows * width];
    let mut sum_weight = vec![0.0f32; width];
    let mut ready = first_row.saturating_sub(reach);
    for (offset, output) in result.chunks_exact_mut(width).enumerate() {
        let row = first_row + offset;
        while ready < height.min(row + reach + 1) {
            weigh_row(planes, ready, &mut signal[reach..], &mut weight[reach..]);
            let slot = (ready % ring_rows) * width;
            convolve(&signal, kernel, &mut ring_signal[slot..slot + width]);
            convolve(&weight, squared, &mut ring_weight[slot..slot + width]);
            ready += 1;
        }
        sum_weight.fill(0.0);
        let first = row.saturating_sub(reach);
        for near in first..height.min(row + reach + 1) {
            let tap = near + reach - row;
            let slot = (near % ring_rows) * width;
            let signal = &ring_signal[slot..slot + width];
            if near == first {
                // Fresh memory is written before it is read: reading it first would map it twice.
                assign(output, signal, kernel[tap]);
            } else {
                accumulate(output, signal, kernel[tap]);
            }
            accumulate(&mut sum_weight, &ring_weight[slot..slot + width], squared[tap]);
        }
        for (value, &weight) in output.iter_mut().zip(&sum_weight) {
            let ratio = *value / weight.sqrt();
            *value = if weight > 0.0 && ratio.is_finite() { ratio } else { 0.0 };
        }
    }
}

/// One dimension of the kernel; the scale cancels.
fn kernel(fwhm_pixels: f64) -> Vec<f32> {
    let sigma = if fwhm_pixels.is_finite() { (fwhm_pixels / FWHM_PER_SIGMA).max(0.1) } else { 1.0 };
    let reach = ((2.5 * sigma).ceil() as usize).clamp(1, WIDEST_REACH) as i64;
    (-reach..=reach).map(|tap| (-0.5 * (tap as f64 / sigma).powi(2)).exp() as f32).collect()
}

/// Signal over variance, and one over variance, of the pixels of a row.
fn weigh_row(planes: &Planes<'_>, row: usize, signal: &mut [f32], weight: &mut [f32]) {
    let data = planes.data_row(row).iter().zip(planes.level_row(row));
    let noise = planes.noise_row(row).iter().zip(planes.variance_row(row));
    let inputs = data.zip(noise).zip(planes.mask_row(row));
    for ((((&data, &level), (&noise, &variance)), &mask), (signal, weight)) in
        inputs.zip(signal.iter_mut().zip(weight.iter_mut()))
    {
        // Where the background has no noise (a constant image with sources), the variance plane may know.
        let square = if noise > 0.0 { noise * noise } else { variance };
        let inverse = 1.0 / square;
        let light = (data - level) * inverse;
        let usable =
            mask & UNUSABLE == 0 && square > 0.0 && inverse.is_finite() && light.is_finite();
        *signal = if usable { light } else { 0.0 };
        *weight = if usable { inverse } else { 0.0 };
    }
}

/// `output` is narrower than `input` by the kernel's length less one.
fn convolve(input: &[f32], kernel: &[f32], output: &mut [f32]) {
    output.fill(0.0);
    for (tap, &value) in kernel.iter().enumerate() {
        accumulate(output, &input[tap..], value);
    }
}

fn assign(product: &mut [f32], values: &[f32], factor: f32) {
    for (product, &value) in product.iter_mut().zip(values) {
        *product = factor * value;
    }
}

fn accumulate(sum: &mut [f32], values: &[f32], factor: f32) {
    for (sum, &value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        CalibratedImage, Image, Mask, background::Background, mask_bits, synthetic::Generator,
    };

    fn background(shape: (usize, usize), noise: f32) -> Background {
        Background {
            level: Image::from_elem(shape, 10.0),
            noise: Image::from_elem(shape, noise),
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
        background
            .noise
            .indexed_iter_mut()
            .for_each(|((y, x), noise)| *noise = 1.0 + (x + y) as f32 / 10.0);
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
                        let square = f64::from(background.noise[pixel]).powi(2);
                        above += k * f64::from(image.data[pixel] - 10.0) / square;
                        below += k * k / square;
                    }
                }
                let expected = above / below.sqrt();
                let found = f64::from(significance[(y * 11 + x) as usize]);
                assert!((found - expected).abs() < 1e-5, "{x} {y}: {found} {expected}");
            }
        }
    }
}
