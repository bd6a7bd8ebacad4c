//! Lanczos-3 resampling with variance and mask (Duchon 1979, J. Appl. Meteor. 18, 1016).

use super::eight_lanes::{AnyProcessor, EightLanes, LANES};
use super::image::{mask_bits, row_major};
use super::pixel_mapping::{MappedPixel, PixelMapping};
use super::sky_map::SkyMap;
use super::{CalibratedImage, Image, Mask, bands, widest::widest};
use pulp::NullaryFnOnce;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Half-width of the kernel, pixels.
const LOBES: usize = 3;
/// Input pixels under the kernel on each axis.
const TAPS: usize = 2 * LOBES;
/// Steps of the table in one pixel: positions are rounded to 1/2048 pixel at worst.
const PHASES: usize = 1024;
/// Weights below this do not count as touching a pixel: the corners of the kernel reach 0.0006 of the flux.
const NEGLIGIBLE_WEIGHT: f32 = 1e-3;
/// Where the good pixels hold less of the kernel than this, what is left is an extrapolation and no data.
const SMALLEST_GOOD_WEIGHT: f32 = 0.3;
/// Input pixels under an output pixel beyond which a map is none.
const LARGEST_AREA: f64 = 1e6;

/// Larger values are none: multiplied by a weight of zero, all others are zero.
const LARGEST_VALUE: f32 = 1e30;

/// Resamples `input` onto a grid of `shape` (rows, columns). `to_input` gives, for an output pixel (x, y), the input
/// position: any smooth map, distortions of the camera included. It is evaluated every 16 pixels, up to 32 outside of the grid, and interpolated by cubics
/// (`pixel_mapping` states the error: under 0.001 pixel). Flux is kept: a value is multiplied by the number of input pixels that its output pixel covers there.
/// Output pixels that touch masked or missing input carry the bits; those without any good input are NO_DATA and 0.
///
/// The kernel is normalised to one at every position, so that a flat image stays flat. Masked pixels, and values that are not
/// finite (BAD), are left out and the rest is normalised again. The variance is Σw²σ²: neighbouring output pixels are
/// correlated, and a sum over many of them is noisier than their variances alone say.
pub fn lanczos3(
    input: &CalibratedImage,
    shape: (usize, usize),
    to_input: &(dyn Fn(f64, f64) -> (f64, f64) + Sync),
) -> CalibratedImage {
    resample(&Planes::of(input, None), shape, to_input)
}

/// [`lanczos3`] of an image less the level of its sky, which is taken off on the way; a level of another shape is not.
pub fn lanczos3_above_sky(
    input: &CalibratedImage,
    sky: &SkyMap,
    shape: (usize, usize),
    to_input: &(dyn Fn(f64, f64) -> (f64, f64) + Sync),
) -> CalibratedImage {
    resample(&Planes::of(input, Some(sky)), shape, to_input)
}

/// What [`lanczos3_above_sky`] gives on the grid of the image itself: masked pixels have no data, all others stay.
pub fn unmoved_above_sky(input: &CalibratedImage, sky: &SkyMap) -> CalibratedImage {
    let shape = input.shape();
    let GoodPlanes { data, variance, mask } = GoodPlanes::of(input, Some(sky));
    let (mut data, mut variance, mut mask) = (data.into_owned(), variance.into_owned(), mask);
    let width = shape.1.max(1);
    let band = bands::rows_per_band(shape.0, width) * width;
    let jobs = data.chunks_mut(band).zip(variance.chunks_mut(band)).zip(mask.chunks_mut(band));
    bands::each(jobs.collect(), |((data, variance), mask)| {
        for ((value, noise), bits) in data.iter_mut().zip(variance).zip(mask) {
            if *bits != 0 {
                (*value, *noise, *bits) = (0.0, 0.0, *bits | mask_bits::NO_DATA);
            }
        }
    });
    let plane = |values| Image::from_shape_vec(shape, values).unwrap_or_default();
    CalibratedImage {
        data: plane(data),
        variance: plane(variance),
        mask: Mask::from_shape_vec(shape, mask).unwrap_or_default(),
    }
}

fn resample(
    planes: &Planes<'_>,
    shape: (usize, usize),
    to_input: &(dyn Fn(f64, f64) -> (f64, f64) + Sync),
) -> CalibratedImage {
    let mut output = CalibratedImage {
        data: Image::zeros(shape),
        variance: Image::zeros(shape),
        mask: Mask::from_elem(shape, mask_bits::NO_DATA),
    };
    let (rows, columns) = shape;
    if rows == 0 || columns == 0 || planes.data.is_empty() {
        return output;
    }
    let kernel = KernelTable::new();
    let mapping = PixelMapping::sample(shape, to_input);
    let (Some(data), Some(variance), Some(mask)) =
        (output.data.as_slice_mut(), output.variance.as_slice_mut(), output.mask.as_slice_mut())
    else {
        return output;
    };
    let band = bands::rows_per_band(rows, columns) * columns;
    let jobs = data.chunks_mut(band).zip(variance.chunks_mut(band)).zip(mask.chunks_mut(band));
    bands::each(jobs.enumerate().collect(), |(number, ((data, variance), mask))| {
        let mut positions = vec![MappedPixel::default(); columns];
        let values = data.chunks_mut(columns).zip(variance.chunks_mut(columns));
        for (offset, ((data, variance), mask)) in values.zip(mask.chunks_mut(columns)).enumerate() {
            mapping.fill_row(number * band / columns + offset, &mut positions);
            fill_row(planes, &kernel, &positions, (data, variance, mask));
        }
    });
    output
}

/// The pixels of one row of the output, at these places of the input. What comes out is the same on any processor.
fn fill_row(
    planes: &Planes<'_>,
    kernel: &KernelTable,
    positions: &[MappedPixel],
    row: (&mut [f32], &mut [f32], &mut [u8]),
) {
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = pulp::x86::V3::try_new() {
        return wide.vectorize(RowTask { planes, kernel, positions, row, lanes: wide });
    }
    RowTask { planes, kernel, positions, row, lanes: AnyProcessor }.call();
}

struct RowTask<'a, 'b, L> {
    planes: &'a Planes<'b>,
    kernel: &'a KernelTable,
    positions: &'a [MappedPixel],
    row: (&'a mut [f32], &'a mut [f32], &'a mut [u8]),
    lanes: L,
}

impl<L: EightLanes> NullaryFnOnce for RowTask<'_, '_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { planes, kernel, positions, row: (data, variance, mask), lanes } = self;
        let pixels = data.iter_mut().zip(variance.iter_mut()).zip(mask.iter_mut());
        for (((value, noise), bits), &MappedPixel { x, y, area }) in pixels.zip(positions) {
            // Also an area that is not a number; such pixels stay NO_DATA.
            if area > 0.0 && area < LARGEST_AREA {
                let (pixel, area) = (planes.value_at(kernel, x, y, lanes), area as f32);
                *value = pixel.value * area;
                *noise = pixel.variance * (area * area);
                *bits = pixel.bits;
            }
        }
    }
}

/// Normalised one-dimensional weights, padded by two of zero: what is finite does not count there; and their squares for each phase.
struct KernelTable {
    weights: Vec<[f32; LANES]>,
    squares: Vec<[f32; LANES]>,
}

impl KernelTable {
    fn new() -> Self {
        let weights: Vec<[f32; LANES]> = (0..=PHASES)
            .map(|phase| {
                let fraction = phase as f64 / PHASES as f64;
                let mut taps = [0.0_f64; TAPS];
                for (tap, weight) in taps.iter_mut().enumerate() {
                    *weight = lanczos(tap as f64 - (LOBES as f64 - 1.0) - fraction);
                }
                let sum: f64 = taps.iter().sum();
                let mut row = [0.0_f32; LANES];
                for (lane, weight) in row.iter_mut().zip(taps) {
                    *lane = (weight / sum) as f32;
                }
                row
            })
            .collect();
        let squares = weights.iter().map(|row| row.map(|weight| weight * weight)).collect();
        Self { weights, squares }
    }
}

fn lanczos(distance: f64) -> f64 {
    let lobes = LOBES as f64;
    if distance == 0.0 {
        return 1.0;
    }
    if distance.abs() >= lobes {
        return 0.0;
    }
    let angle = std::f64::consts::PI * distance;
    lobes * angle.sin() * (angle / lobes).sin() / (angle * angle)
}

/// The input, with values that are not finite marked BAD.
struct Planes<'a> {
    rows: usize,
    columns: usize,
    data: Cow<'a, [f32]>,
    variance: Cow<'a, [f32]>,
    mask: Vec<u8>,
    /// For each pixel, the bits of the TAPS × TAPS pixels from it to the right and up.
    dirty: Vec<u8>,
}

struct Resampled {
    value: f32,
    variance: f32,
    bits: u8,
}

const NOTHING: Resampled = Resampled { value: 0.0, variance: 0.0, bits: mask_bits::NO_DATA };

/// Data above the sky, variance and mask, each of the size of the data, with values that are not finite marked BAD and zero.
struct GoodPlanes<'a> {
    data: Cow<'a, [f32]>,
    variance: Cow<'a, [f32]>,
    mask: Vec<u8>,
}

impl<'a> GoodPlanes<'a> {
    fn of(input: &'a CalibratedImage, sky: Option<&SkyMap>) -> Self {
        let (rows, columns) = input.shape();
        let data = match sky.filter(|sky| sky.dim() == (rows, columns)) {
            Some(sky) => Cow::Owned(above(&row_major(&input.data), columns, sky)),
            None => row_major(&input.data),
        };
        let mut variance = row_major(&input.variance);
        if variance.len() != data.len() {
            // A fault of the caller's: what the plane does not cover is not known.
            variance.to_mut().resize(data.len(), f32::NAN);
        }
        let mut mask = row_major(&input.mask).into_owned();
        mask.resize(data.len(), mask_bits::NO_DATA);
        let width = columns.max(1);
        let is_unusable = AtomicBool::new(false);
        bands::of_plane(&mut mask, width, 1, |first_row, bits| {
            let from = first_row * width;
            let values = data.get(from..).unwrap_or_default();
            if mark_unusable(bits, values, variance.get(from..).unwrap_or_default()) {
                is_unusable.store(true, Ordering::Relaxed);
            }
        });
        let mut data = data;
        if is_unusable.into_inner() {
            for plane in [data.to_mut(), variance.to_mut()] {
                plane.iter_mut().filter(|value| !is_usable(**value)).for_each(|value| *value = 0.0);
            }
        }
        Self { data, variance, mask }
    }
}

impl<'a> Planes<'a> {
    fn of(input: &'a CalibratedImage, sky: Option<&SkyMap>) -> Self {
        let (rows, columns) = input.shape();
        let GoodPlanes { data, variance, mask } = GoodPlanes::of(input, sky);
        let dirty = dirty_windows(&mask, columns.max(1));
        Self { rows, columns, data, variance, mask, dirty }
    }

    #[inline(always)]
    fn value_at(&self, kernel: &KernelTable, x: f64, y: f64, lanes: impl EightLanes) -> Resampled {
        let margin = LOBES as f64;
        let inside = x > -margin
            && y > -margin
            && x < self.columns as f64 + margin
            && y < self.rows as f64 + margin;
        // Also catches positions that are not a number.
        if !inside {
            return NOTHING;
        }
        let (floor_x, floor_y) = (x.floor(), y.floor());
        let phase_x = ((x - floor_x) * PHASES as f64 + 0.5) as u32 as usize;
        let phase_y = ((y - floor_y) * PHASES as f64 + 0.5) as u32 as usize;
        let (left, bottom) = (
            floor_x as i32 as isize - (LOBES as isize - 1),
            floor_y as i32 as isize - (LOBES as isize - 1),
        );
        let whole = left >= 0
            && bottom >= 0
            && left as usize + LANES <= self.columns
            && bottom as usize + TAPS <= self.rows;
        if whole {
            let start = bottom as usize * self.columns + left as usize;
            if self.dirty.get(start) == Some(&0)
                && let Some(value) = self.clean_value(kernel, phase_x, phase_y, start, lanes)
            {
                return value;
            }
        }
        self.careful_value(kernel, phase_x, phase_y, left, bottom)
    }

    /// All pixels under the kernel exist and are good; `None` where they do not exist.
    #[inline(always)]
    fn clean_value(
        &self,
        kernel: &KernelTable,
        phase_x: usize,
        phase_y: usize,
        start: usize,
        lanes: impl EightLanes,
    ) -> Option<Resampled> {
        let (weights_x, squares_x) = (kernel.weights.get(phase_x)?, kernel.squares.get(phase_x)?);
        let (weights_y, squares_y) = (kernel.weights.get(phase_y)?, kernel.squares.get(phase_y)?);
        let (mut value, mut noise) = (lanes.splat(0.0), lanes.splat(0.0));
        for tap in 0..TAPS {
            let from = start + tap * self.columns;
            let data = self.data.get(from..)?.first_chunk()?;
            let variance = self.variance.get(from..)?.first_chunk()?;
            let (weight, square) = (lanes.splat(weights_y[tap]), lanes.splat(squares_y[tap]));
            value = lanes.add(value, lanes.multiply(weight, lanes.load(data)));
            noise = lanes.add(noise, lanes.multiply(square, lanes.load(variance)));
        }
        let products = lanes.multiply(lanes.load(weights_x), value);
        let squares = lanes.multiply(lanes.load(squares_x), noise);
        Some(Resampled { value: lanes.sum(products), variance: lanes.sum(squares), bits: 0 })
    }

    /// Leaves out what is masked or outside.
    #[inline(never)]
    fn careful_value(
        &self,
        kernel: &KernelTable,
        phase_x: usize,
        phase_y: usize,
        left: isize,
        bottom: isize,
    ) -> Resampled {
        let (mut value, mut noise, mut good, mut bits) = (0.0_f32, 0.0_f32, 0.0_f32, 0_u8);
        for tap_y in 0..TAPS {
            for tap_x in 0..TAPS {
                let weight = kernel.weights[phase_y][tap_y] * kernel.weights[phase_x][tap_x];
                let (row, column) = (bottom + tap_y as isize, left + tap_x as isize);
                let exists = row >= 0
                    && column >= 0
                    && (row as usize) < self.rows
                    && (column as usize) < self.columns;
                let pixel = exists.then(|| row as usize * self.columns + column as usize);
                let pixel_bits = pixel.map_or(mask_bits::NO_DATA, |pixel| self.mask[pixel]);
                if let (Some(pixel), 0) = (pixel, pixel_bits) {
                    value += weight * self.data[pixel];
                    noise += weight * weight * self.variance[pixel];
                    good += weight;
                } else if weight.abs() >= NEGLIGIBLE_WEIGHT {
                    bits |= pixel_bits;
                }
            }
        }
        if good < SMALLEST_GOOD_WEIGHT {
            return Resampled { bits: bits | mask_bits::NO_DATA, ..NOTHING };
        }
        Resampled { value: value / good, variance: noise / (good * good), bits }
    }
}

/// The values less the level of the sky.
fn above(data: &[f32], columns: usize, sky: &SkyMap) -> Vec<f32> {
    let width = columns.max(1);
    let mut above = vec![0.0; data.len()];
    bands::of_plane(&mut above, width, 1, |first_row, rows| {
        for (offset, row) in rows.chunks_mut(width).enumerate() {
            let number = first_row + offset;
            sky.fill(number, 0..width, row);
            let values = data.get(number * width..).unwrap_or_default();
            row.iter_mut().zip(values).for_each(|(level, value)| *level = value - *level);
        }
    });
    above
}

/// Also false for what is not a number.
#[inline(always)]
fn is_usable(value: f32) -> bool {
    value.abs() <= LARGEST_VALUE
}

widest! {
    /// Marks as BAD what cannot be used. Whether there is any.
    fn mark_unusable<'a>(bits: &'a mut [u8], values: &'a [f32], variances: &'a [f32]) -> bool {
        let mut found = 0;
        for (bits, (value, noise)) in bits.iter_mut().zip(values.iter().zip(variances)) {
            let is_good = is_usable(*value) & is_usable(*noise);
            let mark = if is_good { 0 } else { mask_bits::BAD };
            *bits |= mark;
            found |= mark;
        }
        found != 0
    }
}

/// For each pixel the union over the window that starts there: along rows first, then along columns.
fn dirty_windows(mask: &[u8], columns: usize) -> Vec<u8> {
    let mut along_row = vec![0_u8; mask.len()];
    bands::of_plane(&mut along_row, columns, 1, |first_row, rows| {
        for (offset, row) in rows.chunks_mut(columns).enumerate() {
            let bits = mask.get((first_row + offset) * columns..).unwrap_or_default();
            let bits = bits.get(..columns).unwrap_or_default();
            for tap in 0..TAPS {
                unite(row, bits.get(tap..).unwrap_or_default());
            }
        }
    });
    let mut windows = vec![0_u8; mask.len()];
    bands::of_plane(&mut windows, columns, 1, |first_row, rows| {
        for (offset, row) in rows.chunks_mut(columns).enumerate() {
            for tap in 0..TAPS {
                let near = (first_row + offset + tap) * columns;
                unite(row, along_row.get(near..near + columns).unwrap_or_default());
            }
        }
    });
    windows
}

widest! {
    fn unite<'a>(all: &'a mut [u8], more: &'a [u8]) -> () {
        all.iter_mut().zip(more).for_each(|(all, more)| *all |= more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(shape: (usize, usize), value: impl Fn(f64, f64) -> f64) -> CalibratedImage {
        CalibratedImage {
            data: Image::from_shape_fn(shape, |(row, column)| {
                value(column as f64, row as f64) as f32
            }),
            variance: Image::from_elem(shape, 4.0),
            mask: Mask::zeros(shape),
        }
    }

    /// A star of unit flux, Gaussian, seeing of `fwhm` pixels.
    fn star(x: f64, y: f64, centre: (f64, f64), fwhm: f64) -> f64 {
        let variance = (fwhm / 2.354_820_045).powi(2);
        let square = (x - centre.0).powi(2) + (y - centre.1).powi(2);
        (-square / (2.0 * variance)).exp() / (2.0 * std::f64::consts::PI * variance)
    }

    /// Flux, centroid within 12 pixels.
    fn measure(image: &CalibratedImage, near: (f64, f64)) -> (f64, f64, f64) {
        let (mut flux, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
        for ((row, column), value) in image.data.indexed_iter() {
            let (x, y) = (column as f64, row as f64);
            if (x - near.0).hypot(y - near.1) <= 12.0 {
                flux += f64::from(*value);
                x_sum += x * f64::from(*value);
                y_sum += y * f64::from(*value);
            }
        }
        (flux, x_sum / flux, y_sum / flux)
    }

    #[test]
    fn a_flat_image_stays_flat_and_its_noise_falls() {
        let flat = image((60, 70), |_, _| 1000.0);
        let moved = lanczos3(&flat, (60, 70), &|x, y| (x + 0.3, y - 0.4));
        let value = moved.data[(30, 30)];
        assert!((value - 1000.0).abs() < 1e-3, "{value}");
        assert_eq!(moved.mask[(30, 30)], 0);
        // Σw² over both axes, from the kernel's definition.
        let sum_of_squares = |fraction: f64| {
            let taps: Vec<f64> = (-2..=3).map(|tap| lanczos(f64::from(tap) - fraction)).collect();
            let sum: f64 = taps.iter().sum();
            taps.iter().map(|weight| (weight / sum).powi(2)).sum::<f64>()
        };
        let expected = 4.0 * sum_of_squares(0.3) * sum_of_squares(0.6);
        assert!((f64::from(moved.variance[(30, 30)]) / expected - 1.0).abs() < 1e-2);
    }

    #[test]
    fn whole_pixel_shifts_are_exact() {
        let noise = image((40, 50), |x, y| (x * 12.9898 + y * 78.233).sin() * 100.0);
        let moved = lanczos3(&noise, (40, 50), &|x, y| (x + 5.0, y - 3.0));
        for (row, column) in [(10, 10), (20, 30), (3, 0), (39, 40)] {
            assert_eq!(moved.data[(row, column)], noise.data[(row - 3, column + 5)]);
            assert_eq!(moved.variance[(row, column)], 4.0);
        }
    }

    #[test]
    fn stars_keep_flux_and_place() {
        for (fwhm, shift, degrees) in
            [(2.2, (0.5, 0.5), 0.0), (2.5, (0.37, -0.21), 3.0), (3.5, (-7.77, 12.3), 40.0)]
        {
            let centre = (64.3, 61.8);
            let input = image((128, 128), |x, y| 1e5 * star(x, y, centre, fwhm));
            let (sine, cosine) = f64::to_radians(degrees).sin_cos();
            // Output to input: rotate about the middle, then shift.
            let to_input = |x: f64, y: f64| {
                let (u, v) = (x - 64.0, y - 64.0);
                (64.0 + cosine * u - sine * v + shift.0, 64.0 + sine * u + cosine * v + shift.1)
            };
            let output = lanczos3(&input, (128, 128), &to_input);
            let (u, v) = (centre.0 - 64.0 - shift.0, centre.1 - 64.0 - shift.1);
            let expected = (64.0 + cosine * u + sine * v, 64.0 - sine * u + cosine * v);
            let (flux, x, y) = measure(&output, expected);
            let magnitude_error = 2.5 * (flux / 1e5).log10();
            assert!(magnitude_error.abs() < 0.002, "{fwhm}: {magnitude_error}");
            assert!((x - expected.0).hypot(y - expected.1) < 0.03, "{x} {y} {expected:?}");
        }
    }

    #[test]
    fn flux_is_kept_between_scales() {
        let input = image((128, 128), |x, y| 1e5 * star(x, y, (64.0, 64.0), 5.0));
        let output = lanczos3(&input, (128, 128), &|x, y| (x * 0.8 + 12.8, y * 0.8 + 12.8));
        let (flux, _, _) = measure(&output, (64.0, 64.0));
        assert!((flux / 1e5 - 1.0).abs() < 0.002, "{flux}");
        assert!(f64::from(output.variance[(64, 64)]) <= 4.0 * 0.64 * 0.64 * 1.01);
    }

    #[test]
    fn masked_pixels_are_left_out_and_told() {
        let mut flat = image((40, 40), |_, _| 10.0);
        flat.data[(20, 20)] = 1e6;
        flat.mask[(20, 20)] = mask_bits::COSMIC;
        flat.data[(5, 30)] = f32::NAN;
        let moved = lanczos3(&flat, (40, 40), &|x, y| (x + 0.5, y + 0.5));
        assert!((moved.data[(20, 20)] - 10.0).abs() < 1e-3);
        assert_eq!(moved.mask[(20, 20)], mask_bits::COSMIC);
        assert_eq!(moved.mask[(5, 30)], mask_bits::BAD);
        assert!(moved.data.iter().all(|value| value.is_finite()));
        assert_eq!(moved.mask[(28, 28)], 0);
        // Near the border some input is missing, which is told; the value is still an average of what is there.
        assert_eq!(moved.mask[(38, 38)], mask_bits::NO_DATA);
        assert!((moved.data[(38, 38)] - 10.0).abs() < 1e-3);
    }

    #[test]
    fn outside_there_is_no_data() {
        let flat = image((20, 20), |_, _| 10.0);
        for to_input in [
            &(|x: f64, y: f64| (x + 100.0, y)) as &(dyn Fn(f64, f64) -> (f64, f64) + Sync),
            &|_, _| (f64::NAN, f64::NAN),
            &|_, _| (f64::INFINITY, 1e300),
        ] {
            let moved = lanczos3(&flat, (10, 17), to_input);
            assert_eq!(moved.shape(), (10, 17));
            assert!(moved.mask.iter().all(|bits| *bits == mask_bits::NO_DATA));
            assert!(moved.data.iter().chain(&moved.variance).all(|value| *value == 0.0));
        }
        let all_bad = CalibratedImage { mask: Mask::from_elem((20, 20), mask_bits::BAD), ..flat };
        let moved = lanczos3(&all_bad, (20, 20), &|x, y| (x + 0.2, y));
        assert!(moved.mask.iter().all(|bits| bits & mask_bits::NO_DATA != 0));
        let empty = lanczos3(&image((0, 0), |_, _| 0.0), (3, 3), &|x, y| (x, y));
        assert!(empty.mask.iter().all(|bits| *bits == mask_bits::NO_DATA));
        assert_eq!(lanczos3(&image((9, 9), |_, _| 0.0), (0, 5), &|x, y| (x, y)).shape(), (0, 5));
    }

    #[test]
    fn an_image_on_its_own_grid_is_what_the_kernel_makes_of_it() {
        let mut input = image((70, 80), |x, y| (x * 12.9898 + y * 78.233).sin() * 100.0);
        input.mask[(20, 30)] = mask_bits::SATURATED;
        input.data[(40, 50)] = f32::NAN;
        input.mask[(0, 79)] = mask_bits::BLEED;
        let sky = SkyMap::from(Image::from_shape_fn((70, 80), |(row, _)| row as f32));
        let unmoved = unmoved_above_sky(&input, &sky);
        let resampled = lanczos3_above_sky(&input, &sky, (70, 80), &|x, y| (x, y));
        assert_eq!(unmoved.mask, resampled.mask);
        assert_eq!(unmoved.mask[(20, 30)], mask_bits::SATURATED | mask_bits::NO_DATA);
        for (one, other) in unmoved.data.iter().zip(&resampled.data) {
            assert!((one - other).abs() < 1e-4, "{one} {other}");
        }
        let mut above = input.clone();
        sky.subtract_from(&mut above.data);
        let shift = |x: f64, y: f64| (x + 0.4, y - 1.3);
        let expected = lanczos3(&above, (70, 80), &shift);
        assert_eq!(lanczos3_above_sky(&input, &sky, (70, 80), &shift), expected);
    }
}
