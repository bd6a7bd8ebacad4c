//! The detector: its fixed structure, and the way from expected electrons to data numbers.

use super::random::{Purpose, stream};
use crate::imaging::Image;
use ndarray::{ArrayViewMut1, s};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;

/// Below this expectation photon counts are drawn from Poisson's law itself, above from its normal approximation (skewness
/// 1/√λ < 0.15).
const POISSON_LIMIT: f32 = 50.0;
/// Dark current of a hot column, electrons per second.
const HOT_COLUMN_RATE: f32 = 60.0;

/// Electronics and defects of a detector. The default is the camera of the simulated archive.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorParameters {
    /// Columns, rows.
    pub size_pixels: (usize, usize),
    /// Electrons per data number.
    pub gain_electrons: f64,
    pub read_noise_electrons: f64,
    pub bias_level: f64,
    /// Standard deviation of the column pattern, and amplitude of the row ripple, data numbers.
    pub bias_column_scatter: f64,
    pub bias_row_ripple: f64,
    pub dark_electrons_per_second: f64,
    pub hot_pixel_fraction: f64,
    /// Charge at which a pixel spills into its column. With the bias it lies a little above the SATURATE card.
    pub full_well_electrons: f64,
    /// Largest number the converter gives.
    pub largest_number: f64,
    /// The SATURATE card, data numbers: a stated, safe value.
    pub stated_saturation: f64,
    pub bad_column_count: usize,
    /// Columns that glow from some row on.
    pub hot_column_count: usize,
    /// Response of a bad column relative to its neighbours.
    pub bad_column_response: f64,
    /// Loss of light in the corners.
    pub vignetting: f64,
    pub dust_ring_count: usize,
    pub pixel_response_scatter: f64,
}

impl Default for DetectorParameters {
    fn default() -> Self {
        Self {
            size_pixels: (1024, 1024),
            gain_electrons: 6.2,
            read_noise_electrons: 8.0,
            bias_level: 600.0,
            bias_column_scatter: 1.6,
            bias_row_ripple: 0.9,
            dark_electrons_per_second: 0.05,
            hot_pixel_fraction: 0.0015,
            full_well_electrons: 41_000.0,
            largest_number: 8191.0,
            stated_saturation: 7000.0,
            bad_column_count: 3,
            hot_column_count: 1,
            bad_column_response: 0.03,
            vignetting: 0.11,
            dust_ring_count: 12,
            pixel_response_scatter: 0.008,
        }
    }
}

/// One detector: planes of rows × columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    pub parameters: DetectorParameters,
    /// Data numbers.
    pub bias: Image,
    /// Electrons per second.
    pub dark: Image,
    /// Relative response, median 1.
    pub response: Image,
    pub bad_columns: Vec<usize>,
}

impl Detector {
    /// The detector of a seed.
    pub fn new(seed: u64, parameters: &DetectorParameters) -> Self {
        let bad_columns = bad_columns(seed, parameters);
        Self {
            bias: bias_plane(seed, parameters),
            dark: dark_plane(seed, parameters),
            response: response_plane(seed, parameters, &bad_columns),
            bad_columns: bad_columns.iter().map(|(column, _)| *column).collect(),
            parameters: parameters.clone(),
        }
    }

    /// Turns expected electrons of light and dark charge into the numbers of a raw frame: photon noise, what
    /// `added_charge` adds without noise of its own (cosmic rays), spilling, read noise, conversion.
    pub fn read_out(
        &self,
        mut electrons: Image,
        added_charge: &[((usize, usize), f32)],
        generator: &mut ChaCha8Rng,
    ) -> Image {
        for expected in &mut electrons {
            *expected = photon_count(*expected, generator);
        }
        for (pixel, charge) in added_charge {
            if let Some(value) = electrons.get_mut(*pixel) {
                *value += *charge;
            }
        }
        self.spill(&mut electrons);
        let parameters = &self.parameters;
        let read_noise = parameters.read_noise_electrons as f32;
        let per_electron = (1.0 / parameters.gain_electrons) as f32;
        let largest = parameters.largest_number as f32;
        ndarray::Zip::from(&mut electrons).and(&self.bias).for_each(|value, bias| {
            let noise: f32 = StandardNormal.sample(generator);
            let number = (*value + read_noise * noise) * per_electron + bias;
            *value = number.round().clamp(0.0, largest);
        });
        electrons
    }

    /// Lets every pixel above the full well spill its excess, half each way, along its column until it is taken up or
    /// leaves the detector.
    fn spill(&self, electrons: &mut Image) {
        let full_well = self.parameters.full_well_electrons as f32;
        let mut overflows = vec![false; electrons.ncols()];
        for row in electrons.rows() {
            for (flag, value) in overflows.iter_mut().zip(row) {
                *flag |= *value > full_well;
            }
        }
        for (column, overflows) in electrons.columns_mut().into_iter().zip(overflows) {
            if overflows {
                spill_column(column, full_well);
            }
        }
    }
}

/// See [`Detector::spill`]; charge is conserved except at the two ends.
fn spill_column(mut column: ArrayViewMut1<'_, f32>, full_well: f32) {
    let excess: Vec<f32> = column.iter().map(|value| (*value - full_well).max(0.0) / 2.0).collect();
    column.mapv_inplace(|value| value.min(full_well));
    let take_up = |value: &mut f32, carried: f32| {
        let taken = carried.min(full_well - *value);
        *value += taken;
        carried - taken
    };
    let mut carried = 0.0;
    for (value, own) in column.iter_mut().zip(&excess) {
        carried = take_up(value, carried) + own;
    }
    carried = 0.0;
    for (value, own) in column.iter_mut().rev().zip(excess.iter().rev()) {
        carried = take_up(value, carried) + own;
    }
}

/// A photon count of this expectation.
fn photon_count(expected: f32, generator: &mut ChaCha8Rng) -> f32 {
    if expected <= 0.0 {
        return 0.0;
    }
    if expected >= POISSON_LIMIT {
        let noise: f32 = StandardNormal.sample(generator);
        return (expected + expected.sqrt() * noise).max(0.0);
    }
    // Inversion by sequential search (Devroye 1986, Non-Uniform Random Variate Generation, X.3.3).
    let uniform: f64 = generator.random();
    let mean = f64::from(expected);
    let mut probability = (-mean).exp();
    let mut cumulative = probability;
    let mut count = 0u32;
    while uniform > cumulative && count < 500 {
        count += 1;
        probability *= mean / f64::from(count);
        cumulative += probability;
    }
    count as f32
}

fn bias_plane(seed: u64, parameters: &DetectorParameters) -> Image {
    let (columns, rows) = parameters.size_pixels;
    let mut generator = stream(seed, Purpose::Detector, 0);
    let pattern: Vec<f64> = (0..columns)
        .map(|_| {
            let noise: f64 = StandardNormal.sample(&mut generator);
            parameters.bias_column_scatter * noise
        })
        .collect();
    let phase = TAU * generator.random::<f64>();
    Image::from_shape_fn((rows, columns), |(row, column)| {
        let ripple = parameters.bias_row_ripple * (row as f64 * TAU / 190.0 + phase).sin();
        (parameters.bias_level + pattern.get(column).copied().unwrap_or(0.0) + ripple) as f32
    })
}

/// Uniform dark current, hot pixels of one to about eighty electrons a second, and hot columns.
fn dark_plane(seed: u64, parameters: &DetectorParameters) -> Image {
    let (columns, rows) = parameters.size_pixels;
    let mut generator = stream(seed, Purpose::Detector, 1);
    let mut plane = Image::from_elem((rows, columns), parameters.dark_electrons_per_second as f32);
    let count = (parameters.hot_pixel_fraction * (rows * columns) as f64).round() as usize;
    for _ in 0..count {
        let pixel = (generator.random_range(0..rows), generator.random_range(0..columns));
        let rate = 10f64.powf(1.9 * generator.random::<f64>());
        if let Some(value) = plane.get_mut(pixel) {
            *value = rate as f32;
        }
    }
    for _ in 0..parameters.hot_column_count {
        let column = generator.random_range(0..columns);
        let from = generator.random_range(0..rows);
        plane.slice_mut(s![from.., column]).mapv_inplace(|rate| rate + HOT_COLUMN_RATE);
    }
    plane
}

/// Column and first bad row; every other bad column is only partly so, as below a trap.
fn bad_columns(seed: u64, parameters: &DetectorParameters) -> Vec<(usize, usize)> {
    let (columns, rows) = parameters.size_pixels;
    let mut generator = stream(seed, Purpose::Detector, 2);
    (0..parameters.bad_column_count)
        .map(|index| {
            let column = generator.random_range(0..columns);
            let from = generator.random_range(0..rows);
            (column, if index % 2 == 0 { 0 } else { from })
        })
        .collect()
}

fn response_plane(
    seed: u64,
    parameters: &DetectorParameters,
    bad_columns: &[(usize, usize)],
) -> Image {
    let (columns, rows) = parameters.size_pixels;
    let mut generator = stream(seed, Purpose::Detector, 3);
    // Centre, radius, depth of the out-of-focus shadows of dust grains.
    let rings: Vec<(f64, f64, f64, f64)> = (0..parameters.dust_ring_count)
        .map(|_| {
            (
                generator.random::<f64>() * columns as f64,
                generator.random::<f64>() * rows as f64,
                12.0 + 18.0 * generator.random::<f64>(),
                0.015 + 0.03 * generator.random::<f64>(),
            )
        })
        .collect();
    let mut pixels = stream(seed, Purpose::PixelResponse, 0);
    let (half_width, half_height) = (columns as f64 / 2.0, rows as f64 / 2.0);
    let corner_squared = half_width.powi(2) + half_height.powi(2);
    let mut plane = Image::from_shape_fn((rows, columns), |(row, column)| {
        let (x, y) = (column as f64, row as f64);
        let radius_squared = (x - half_width).powi(2) + (y - half_height).powi(2);
        // Vignetting is referred to half the corner's r², about the median over a square.
        let light = 1.0 - parameters.vignetting * (radius_squared / corner_squared - 0.33);
        let shadow: f64 = rings
            .iter()
            .map(|(ring_x, ring_y, radius, depth)| {
                let distance = (x - ring_x).hypot(y - ring_y);
                depth * (-((distance - radius) / (0.25 * radius)).powi(2)).exp()
            })
            .sum();
        let noise: f64 = StandardNormal.sample(&mut pixels);
        (light * (1.0 - shadow) * (1.0 + parameters.pixel_response_scatter * noise)) as f32
    });
    let bad = parameters.bad_column_response as f32;
    for (column, from) in bad_columns {
        plane.slice_mut(s![*from.., *column]).mapv_inplace(|response| response * bad);
    }
    plane
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array1;

    fn small() -> DetectorParameters {
        DetectorParameters { size_pixels: (200, 160), ..DetectorParameters::default() }
    }

    fn mean_and_deviation(values: impl Iterator<Item = f32>) -> (f64, f64) {
        let values: Vec<f64> = values.map(f64::from).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt())
    }

    #[test]
    fn counts_follow_poisson_on_both_sides_of_the_limit() {
        let mut generator = stream(5, Purpose::Photons, 0);
        for expected in [0.3f32, 3.0, 20.0, 49.0, 51.0, 400.0] {
            let draws = 40_000;
            let (mean, deviation) =
                mean_and_deviation((0..draws).map(|_| photon_count(expected, &mut generator)));
            let wanted = f64::from(expected).sqrt();
            let mean_error = wanted / f64::from(draws).sqrt();
            assert!((mean - f64::from(expected)).abs() < 4.0 * mean_error, "{expected}: {mean}");
            assert!((deviation / wanted - 1.0).abs() < 0.03, "{expected}: {deviation}");
        }
        assert_eq!(photon_count(0.0, &mut generator), 0.0);
    }

    #[test]
    fn spilling_conserves_charge_and_stays_in_the_column() {
        let mut column = Array1::from_elem(101, 400.0f32);
        column[50] = 100_400.0;
        column[52] = 30_000.0;
        let before: f32 = column.sum();
        spill_column(column.view_mut(), 10_000.0);
        assert!((column.sum() / before - 1.0).abs() < 1e-5);
        assert!(column.iter().all(|value| *value <= 10_000.0));
        assert_eq!(column[50], 10_000.0);
        assert!(column[40] == 400.0 && column[60] == 400.0);
        assert!(column[46] > 400.0 && column[55] > 400.0);
    }

    #[test]
    fn charge_at_the_edge_leaves_the_detector() {
        let mut column = Array1::from_elem(10, 0.0f32);
        column[0] = 100_000.0;
        spill_column(column.view_mut(), 10_000.0);
        // Half goes over the edge, half fills upwards: 10 000 own and 45 000 taken up.
        assert!((column.sum() - 55_000.0).abs() < 1.0, "{}", column.sum());
    }

    #[test]
    fn a_dark_frame_has_the_noise_it_should() {
        let parameters =
            DetectorParameters { hot_pixel_fraction: 0.0, hot_column_count: 0, ..small() };
        let detector = Detector::new(1, &parameters);
        let mut generator = stream(1, Purpose::Photons, 0);
        let frame = detector.read_out(&detector.dark * 60.0, &[], &mut generator);
        let difference = &frame - &detector.bias;
        let (mean, deviation) = mean_and_deviation(difference.iter().copied());
        // 3 e⁻ of dark charge, √(3 + 8²) e⁻ of noise, and 1/√12 of rounding.
        let wanted: f64 = ((3.0 + 64.0) / 6.2f64.powi(2) + 1.0 / 12.0f64).sqrt();
        assert!((mean - 3.0 / 6.2).abs() < 0.03, "{mean}");
        assert!((deviation / wanted - 1.0).abs() < 0.02, "{deviation} {wanted}");
        assert!(frame.iter().all(|value| value.fract() == 0.0));
    }

    #[test]
    fn structure_is_fixed_by_the_seed() {
        let parameters = small();
        assert_eq!(Detector::new(1, &parameters), Detector::new(1, &parameters));
        assert_ne!(Detector::new(1, &parameters).bias, Detector::new(2, &parameters).bias);
        let detector = Detector::new(1, &parameters);
        assert_eq!(detector.bad_columns.len(), 3);
        let hot = detector.dark.iter().filter(|rate| (1.0..60.0).contains(*rate)).count();
        assert!((36..=48).contains(&hot), "{hot}");
        for column in detector.bad_columns {
            assert!(detector.response[[159, column]] < 0.05);
        }
        assert!(detector.dark.row(159).iter().any(|rate| *rate > 60.0), "the hot column");
    }

    #[test]
    fn saturated_pixels_read_above_the_stated_saturation() {
        let detector = Detector::new(1, &small());
        let mut generator = stream(1, Purpose::Photons, 0);
        let mut light = Image::from_elem((160, 200), 400.0);
        light[[80, 100]] = 900_000.0;
        let frame = detector.read_out(light, &[], &mut generator);
        assert!(frame[[80, 100]] > 7000.0 && frame[[80, 100]] < 7300.0, "{}", frame[[80, 100]]);
        assert!(frame[[75, 100]] > 7000.0, "the trail along the column");
        assert!(frame[[80, 103]] < 800.0);
    }
}
