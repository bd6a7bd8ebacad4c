//! Sky background on a mesh, in the manner of SExtractor (Bertin & Arnouts 1996, §3).

use super::{Image, Mask, bands, sky_map::SkyMap, spline::MeshSpline, statistics, widest::widest};

/// Background level and noise of every pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Background {
    pub level: SkyMap,
    pub noise: SkyMap,
    /// Medians over the mesh.
    pub global_level: f64,
    pub global_noise: f64,
}

/// Least share of good pixels for a cell to speak for itself.
const LEAST_GOOD_SHARE: f64 = 0.5;
/// Half-width of a cell's histogram in standard deviations.
const HISTOGRAM_SIGMAS: f64 = 5.0;
/// Most bins of a cell's histogram.
const MOST_BINS: usize = 4096;
/// Clipping of the histogram about its median, in standard deviations.
const CLIP_SIGMAS: f64 = 3.0;
/// Most rounds of clipping.
const MOST_ROUNDS: usize = 100;
/// A histogram whose clipped deviation is fewer bins than this is too coarse, and is taken again.
const FEWEST_BINS_PER_SIGMA: f64 = 16.0;
/// |mean − median| / σ below which the mode is estimated; above it the cell is crowded.
const CROWDED_SKEW: f64 = 0.3;

/// Estimates the background of `data` in cells of `mesh_pixels`², clipped at 3σ about the median, median-filtered 3×3 over
/// the mesh, interpolated with bicubic splines. Masked pixels (any bit) do not count.
///
/// The level of a cell is 2.5 × median − 1.5 × mean of the clipped pixels where these differ by less than 0.3 σ, the
/// median where they differ more (Bertin & Arnouts 1996, §3). The image is cut into equal cells as near to
/// `mesh_pixels` as it allows, so that none is a sliver. Cells with fewer than half of their pixels good are filled
/// from their neighbours; without any such cell all good pixels of the image make one. With no good pixel at all, or
/// with a mask of another shape, level and noise are zero.
pub fn estimate(data: &Image, mask: &Mask, mesh_pixels: usize) -> Background {
    let shape = data.dim();
    let (height, width) = shape;
    let mesh_pixels = mesh_pixels.max(1);
    let rows = cell_count(height, mesh_pixels);
    let columns = cell_count(width, mesh_pixels);
    let mut cells = vec![None; rows * columns];
    if mask.dim() == shape && height > 0 && width > 0 {
        measure_cells(data, mask, rows, columns, &mut cells);
        if cells.iter().all(Option::is_none) {
            let mut values = Vec::new();
            for (&value, &bits) in data.iter().zip(mask) {
                if bits == 0 && value.is_finite() {
                    values.push(value);
                }
            }
            let whole = Histogram::default().sky(&values);
            cells.fill(whole);
        }
    }
    fill_missing(&mut cells, rows, columns);
    let levels: Vec<f64> = cells.iter().map(|cell| cell.map_or(0.0, |sky| sky.level)).collect();
    let noises: Vec<f64> = cells.iter().map(|cell| cell.map_or(0.0, |sky| sky.noise)).collect();
    let levels = median_filter(&levels, rows, columns);
    let noises = median_filter(&noises, rows, columns);
    let least_noise = noises.iter().copied().fold(f64::INFINITY, f64::min).max(0.0);
    let median =
        |values: &[f64]| statistics::median_and_deviation(values).map_or(0.0, |pair| pair.0);
    Background {
        level: MeshSpline::new(&levels, rows, columns, shape, f64::NEG_INFINITY).into(),
        // A spline may swing below its nodes; noise must not come near zero by that.
        noise: MeshSpline::new(&noises, rows, columns, shape, 0.5 * least_noise).into(),
        global_level: median(&levels),
        global_noise: median(&noises),
    }
}

/// Number of equal cells along an axis of `length` pixels.
fn cell_count(length: usize, mesh_pixels: usize) -> usize {
    ((length as f64 / mesh_pixels as f64).round() as usize).max(1)
}

/// First pixel of cell `cell` of `count`.
fn cell_start(cell: usize, count: usize, length: usize) -> usize {
    cell * length / count
}

/// Sky of one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sky {
    level: f64,
    noise: f64,
}

fn measure_cells(
    data: &Image,
    mask: &Mask,
    rows: usize,
    columns: usize,
    cells: &mut [Option<Sky>],
) {
    let (height, width) = data.dim();
    let data = data.as_standard_layout();
    let mask = mask.as_standard_layout();
    let (Some(data), Some(mask)) = (data.as_slice(), mask.as_slice()) else {
        return;
    };
    let pixels_per_cell = (height / rows.max(1)) * (width / columns.max(1));
    bands::of_plane(cells, columns, pixels_per_cell, |first_row, cells| {
        let mut histogram = Histogram::default();
        let mut values = Vec::new();
        for (place, cell) in cells.iter_mut().enumerate() {
            let (row, column) = (first_row + place / columns, place % columns);
            let (top, bottom) = (cell_start(row, rows, height), cell_start(row + 1, rows, height));
            let left = cell_start(column, columns, width);
            let right = cell_start(column + 1, columns, width);
            values.clear();
            for y in top..bottom {
                let pixels = y * width + left..y * width + right;
                take_good(&data[pixels.clone()], &mask[pixels], &mut values);
            }
            let area = (bottom - top) * (right - left);
            if values.len() as f64 >= LEAST_GOOD_SHARE * area as f64 {
                *cell = histogram.sky(&values);
            }
        }
    });
}

widest! {
/// Adds the values that are finite and not masked.
fn take_good<'a>(data: &'a [f32], mask: &'a [u8], values: &'a mut Vec<f32>) -> () {
    let all_good = |data: &[f32], mask: &[u8]| {
        let masked = mask.iter().fold(0, |all, bits| all | bits);
        let finite = data.iter().fold(true, |all, value| all & (value.abs() <= f32::MAX));
        masked == 0 && finite
    };
    for (data, mask) in data.chunks(TAKEN_AT_ONCE).zip(mask.chunks(TAKEN_AT_ONCE)) {
        if all_good(data, mask) {
            values.extend_from_slice(data);
        } else {
            let good =
                data.iter().zip(mask).filter(|(value, bits)| **bits == 0 && value.is_finite());
            values.extend(good.map(|(value, _)| *value));
        }
    }
}
}

/// Cumulative histogram of a cell: bin i holds values about `zero + i · width`.
#[derive(Debug, Default)]
struct Histogram {
    guarded: Vec<u32>,
    counts: Vec<u32>,
    /// Sums over the bins before bin i of 1, i and i².
    before: Vec<[u64; 3]>,
}

impl Histogram {
    /// Level and noise of the sky in `values`, all finite. `None` for none.
    fn sky(&mut self, values: &[f32]) -> Option<Sky> {
        if values.is_empty() {
            return None;
        }
        let (mean, sigma) = mean_and_sigma(values, f64::NEG_INFINITY, f64::INFINITY)?;
        // A first cut at 2σ takes the bright sources out of the histogram's range.
        let (mut centre, mut sigma) =
            mean_and_sigma(values, mean - 2.0 * sigma, mean + 2.0 * sigma).unwrap_or((mean, sigma));
        let mut sky = Sky { level: centre, noise: 0.0 };
        // Each pass narrows the histogram by a large factor; values of the same float end it.
        for _ in 0..6 {
            if sigma <= 0.0 || sigma < 1e-7 * centre.abs() {
                return Some(sky);
            }
            let bins = (values.len() + 1).clamp(64, MOST_BINS);
            let bin_width = 2.0 * HISTOGRAM_SIGMAS * sigma / (bins - 1) as f64;
            // As a float like the values: differences from it are exact.
            let zero = f64::from((centre - HISTOGRAM_SIGMAS * sigma) as f32);
            self.take(values, zero, bin_width, bins);
            let clipped = self.clipped(bins);
            let in_units = |position: f64| zero + position * bin_width;
            sky.noise = clipped.sigma * bin_width;
            let skew = (clipped.mean - clipped.median).abs();
            sky.level = if clipped.sigma <= 0.0 {
                in_units(clipped.mean)
            } else if skew < CROWDED_SKEW * clipped.sigma {
                in_units(2.5 * clipped.median - 1.5 * clipped.mean)
            } else {
                in_units(clipped.median)
            };
            if clipped.sigma >= FEWEST_BINS_PER_SIGMA || clipped.count < 8 {
                break;
            }
            centre = in_units(clipped.median);
            // At least one bin wide, or a cell of few distinct values would end in a range without any.
            sigma = (clipped.sigma * bin_width).max(0.2 * bin_width);
        }
        Some(sky)
    }

    fn take(&mut self, values: &[f32], zero: f64, bin_width: f64, bins: usize) {
        // Values on either side of the range are counted too, in a bin before the first and one after the last.
        self.guarded.clear();
        self.guarded.resize(bins + 2, 0);
        let mut places = [0; PLACED_AT_ONCE];
        for values in values.chunks(PLACED_AT_ONCE) {
            place(values, zero as f32, (1.0 / bin_width) as f32, bins as f32, &mut places);
            for &place in places.iter().take(values.len()) {
                if let Some(count) = self.guarded.get_mut(place as usize) {
                    *count += 1;
                }
            }
        }
        self.counts.clear();
        self.counts.extend_from_slice(self.guarded.get(1..=bins).unwrap_or_default());
        self.before.resize(bins + 1, [0; 3]);
        let mut sums = [0_u64; 3];
        let counts = self.counts.iter().chain([&0]).map(|count| u64::from(*count));
        for ((before, count), bin) in self.before.iter_mut().zip(counts).zip(0_u64..) {
            *before = sums;
            let moment = count * bin;
            sums = [sums[0] + count, sums[1] + moment, sums[2] + moment * bin];
        }
    }

    /// Clips about the median until the deviation stands still. In bins.
    fn clipped(&self, bins: usize) -> Clipped {
        let (mut low, mut high) = (0, bins);
        let mut clipped = self.between(low, high);
        for _ in 0..MOST_ROUNDS {
            let reach = CLIP_SIGMAS * clipped.sigma;
            low = (clipped.median - reach + 0.5).max(0.0) as usize;
            high = ((clipped.median + reach + 0.5).max(0.0) as usize + 1).min(bins);
            let next = self.between(low.min(high), high);
            let settled = (next.sigma - clipped.sigma).abs() <= 1e-4 * clipped.sigma;
            clipped = next;
            if settled || clipped.sigma < 0.1 {
                break;
            }
        }
        clipped
    }

    /// Statistics of the bins `low..high`.
    fn between(&self, low: usize, high: usize) -> Clipped {
        let (first, last) = (self.before[low], self.before[high]);
        let count = last[0] - first[0];
        if count == 0 {
            return Clipped { count, mean: low as f64, median: low as f64, sigma: 0.0 };
        }
        let total = count as f64;
        let mean = (last[1] - first[1]) as f64 / total;
        let variance = (last[2] - first[2]) as f64 / total - mean * mean;
        let half = first[0] as f64 + total / 2.0;
        // The bin in which the count passes the half; its values are taken as spread evenly over it.
        let bin = self.before[low..=high].partition_point(|sums| (sums[0] as f64) < half) + low;
        let bin = bin.saturating_sub(1);
        let before = self.before[bin][0] as f64;
        let within = f64::from(self.counts[bin]).max(1.0);
        let median = bin as f64 - 0.5 + (half - before) / within;
        Clipped { count, mean, median, sigma: variance.max(0.0).sqrt() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Clipped {
    count: u64,
    mean: f64,
    median: f64,
    sigma: f64,
}

widest! {
/// The bins of values, from 1; 0 is before the first, `bins` + 1 after the last.
fn place<'a>(
    values: &'a [f32],
    zero: f32,
    bins_per_unit: f32,
    bins: f32,
    places: &'a mut [i32; PLACED_AT_ONCE],
) -> () {
    for (place, value) in places.iter_mut().zip(values) {
        let position = (value - zero) * bins_per_unit + 1.5;
        // In this order a value that is no number, of which there are none, would fall before the first bin.
        let within = if position > 0.0 { position } else { 0.0 };
        let within = if within < bins + 1.0 { within } else { bins + 1.0 };
        *place = within as i32;
    }
}
}

/// Values whose bins are found at once.
const PLACED_AT_ONCE: usize = 64;
/// Pixels that are looked through at once.
const TAKEN_AT_ONCE: usize = 32;
/// Values that are summed side by side, and how many are summed in single precision before the sums are added up.
const LANES: usize = 8;
const SUMMED_AT_ONCE: usize = 256;

/// Mean and standard deviation of the values in [low, high], good enough for the range of a histogram. `None` for none.
fn mean_and_sigma(values: &[f32], low: f64, high: f64) -> Option<(f64, f64)> {
    // Differences from a value of the sample keep the sums small and the variance exact.
    let origin = *values.first()?;
    let mut totals = [0.0; 3];
    for values in values.chunks(SUMMED_AT_ONCE) {
        let sums = sums_within(values, origin, low as f32, high as f32);
        totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    let [count, sum, squares] = totals;
    if count == 0.0 {
        return None;
    }
    if !(sum.is_finite() && squares.is_finite()) {
        // Squares of such values are no numbers of single precision.
        let within = values.iter().map(|value| f64::from(*value));
        let within: Vec<f64> = within.filter(|value| *value >= low && *value <= high).collect();
        let mean = within.iter().sum::<f64>() / count;
        let square = within.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        return Some((mean, square.sqrt()));
    }
    let mean = sum / count;
    let variance = squares / count - mean * mean;
    Some((f64::from(origin) + mean, variance.max(0.0).sqrt()))
}

widest! {
/// Number, and sums of the differences from `origin` and of their squares, of the values in [low, high].
fn sums_within<'a>(values: &'a [f32], origin: f32, low: f32, high: f32) -> [f64; 3] {
    let mut sums = [[0.0_f32; LANES]; 3];
    let mut add = |lane: usize, value: f32| {
        let is_within = (value >= low) & (value <= high);
        let difference = if is_within { value - origin } else { 0.0 };
        sums[0][lane] += if is_within { 1.0 } else { 0.0 };
        sums[1][lane] += difference;
        sums[2][lane] += difference * difference;
    };
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &value) in block.iter().enumerate() {
            add(lane, value);
        }
    }
    rest.iter().for_each(|&value| add(0, value));
    sums.map(|lanes| lanes.into_iter().map(f64::from).sum())
}
}

/// Gives cells without a sky the mean of the neighbours that have one, ring after ring.
fn fill_missing(cells: &mut [Option<Sky>], rows: usize, columns: usize) {
    while cells.iter().any(Option::is_none) && cells.iter().any(Option::is_some) {
        let known = cells.to_vec();
        for row in 0..rows {
            for column in 0..columns {
                if known[row * columns + column].is_some() {
                    continue;
                }
                let (mut count, mut level, mut noise) = (0.0, 0.0, 0.0);
                for near_row in row.saturating_sub(1)..(row + 2).min(rows) {
                    for near_column in column.saturating_sub(1)..(column + 2).min(columns) {
                        if let Some(sky) = known[near_row * columns + near_column] {
                            count += 1.0;
                            level += sky.level;
                            noise += sky.noise;
                        }
                    }
                }
                if count > 0.0 {
                    cells[row * columns + column] =
                        Some(Sky { level: level / count, noise: noise / count });
                }
            }
        }
    }
}

/// Median over 3×3 nodes; at the edges the window shrinks on both sides alike, so that a gradient is not bent.
fn median_filter(nodes: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let mut filtered = Vec::with_capacity(nodes.len());
    let mut window = Vec::with_capacity(9);
    for row in 0..rows {
        let up = 1.min(row).min(rows - 1 - row);
        for column in 0..columns {
            let across = 1.min(column).min(columns - 1 - column);
            window.clear();
            for near_row in row - up..=row + up {
                let start = near_row * columns + column;
                window.extend_from_slice(&nodes[start - across..=start + across]);
            }
            // The window has an odd number of nodes: the middle one is the median.
            window.sort_by(f64::total_cmp);
            filtered.push(window[window.len() / 2]);
        }
    }
    filtered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{mask_bits, synthetic::Generator};

    fn noisy(shape: (usize, usize), level: impl Fn(usize, usize) -> f64, sigma: f64) -> Image {
        let mut generator = Generator::new(7);
        Image::from_shape_fn(shape, |(y, x)| (level(x, y) + sigma * generator.normal()) as f32)
    }

    #[test]
    fn a_slope_is_followed() {
        let slope = |x: usize, y: usize| 200.0 + 0.05 * x as f64 - 0.03 * y as f64;
        let data = noisy((300, 400), slope, 5.0);
        let background = estimate(&data, &Mask::zeros((300, 400)), 64);
        let (mut squares, mut worst) = (0.0, 0.0f64);
        for ((y, x), &level) in background.level.to_plane().indexed_iter() {
            let error = f64::from(level) - slope(x, y);
            squares += error * error;
            worst = worst.max(error.abs());
        }
        // The mode of a cell scatters by 2.1 × 5 / 64 = 0.17; corners are extrapolated from cells of no filter.
        assert!((squares / 120_000.0).sqrt() < 0.25, "{squares}");
        assert!(worst < 1.5, "{worst}");
        assert!((background.global_level - slope(200, 150)).abs() < 0.3);
        assert!((background.global_noise - 5.0).abs() < 0.15);
        for &noise in &background.noise.to_plane() {
            assert!((noise - 5.0).abs() < 0.5);
        }
    }

    #[test]
    fn stars_do_not_raise_it() {
        let mut data = noisy((256, 256), |_, _| 100.0, 4.0);
        for star in 0..40 {
            let (y, x) = ((star * 37) % 240 + 8, (star * 91) % 240 + 8);
            for dy in 0..5 {
                for dx in 0..5 {
                    data[[y + dy - 2, x + dx - 2]] += 60_000.0;
                }
            }
        }
        let background = estimate(&data, &Mask::zeros((256, 256)), 64);
        assert!((background.global_level - 100.0).abs() < 0.4, "{}", background.global_level);
        assert!((background.global_noise - 4.0).abs() < 0.2, "{}", background.global_noise);
    }

    #[test]
    fn masked_cells_are_filled_from_their_neighbours() {
        let mut data = noisy((256, 256), |_, _| 50.0, 2.0);
        let mut mask = Mask::zeros((256, 256));
        for y in 60..140 {
            for x in 60..200 {
                mask[[y, x]] = mask_bits::BAD;
                data[[y, x]] = if x % 2 == 0 { f32::NAN } else { 1e9 };
            }
        }
        let background = estimate(&data, &mask, 32);
        assert!(background.level.to_plane().iter().all(|level| (level - 50.0).abs() < 1.0));
        assert!(background.noise.to_plane().iter().all(|noise| (noise - 2.0).abs() < 0.4));
    }

    #[test]
    fn scattered_good_pixels_still_make_a_background() {
        let data = noisy((128, 128), |_, _| 50.0, 2.0);
        let mask = Mask::from_shape_fn((128, 128), |(y, x)| u8::from((x + y) % 3 != 0));
        let background = estimate(&data, &mask, 32);
        assert!((background.global_level - 50.0).abs() < 0.3);
        assert!((background.global_noise - 2.0).abs() < 0.2);
    }

    #[test]
    fn degenerate_images_are_answered() {
        for (shape, value) in [((1, 1), 3.0), ((5, 5), 3.0), ((70, 3), 3.0), ((64, 64), 0.0)] {
            let background = estimate(&Image::from_elem(shape, value), &Mask::zeros(shape), 64);
            assert_eq!(background.level.to_plane(), Image::from_elem(shape, value));
            assert_eq!(background.noise.to_plane(), Image::zeros(shape));
        }
        for (data, mask) in [
            (Image::from_elem((40, 40), f32::NAN), Mask::zeros((40, 40))),
            (Image::from_elem((40, 40), 5.0), Mask::from_elem((40, 40), 1)),
            (Image::from_elem((40, 40), 5.0), Mask::zeros((3, 3))),
        ] {
            let background = estimate(&data, &mask, 8);
            assert_eq!(background.level.to_plane(), Image::zeros((40, 40)));
            assert_eq!((background.global_level, background.global_noise), (0.0, 0.0));
        }
        assert_eq!(estimate(&Image::zeros((0, 0)), &Mask::zeros((0, 0)), 0).level.dim(), (0, 0));
        let huge =
            Image::from_shape_fn(
                (32, 32),
                |(y, x)| if (x + y) % 2 == 0 { f32::MAX } else { f32::MIN },
            );
        assert!(
            estimate(&huge, &Mask::zeros((32, 32)), 8)
                .noise
                .to_plane()
                .iter()
                .all(|noise| !noise.is_nan())
        );
    }

    #[test]
    fn digitised_noise_below_one_unit_is_measured() {
        // Noise of 0.6 units rounded to integers: very few distinct values, variance 0.36 + 1/12.
        let data = noisy((128, 128), |_, _| 1000.0, 0.6).mapv(f32::round);
        let background = estimate(&data, &Mask::zeros((128, 128)), 64);
        assert!((background.global_level - 1000.0).abs() < 0.1, "{}", background.global_level);
        assert!((background.global_noise - 0.666).abs() < 0.1, "{}", background.global_noise);
    }
}
