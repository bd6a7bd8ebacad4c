//! Combination of calibration frames into masters, and reduction of a raw frame with them.

use super::{CalibratedImage, Image, Mask, mask_bits};

/// Pixels of a flat below this are too dark to be corrected.
const SMALLEST_FLAT: f32 = 0.1;
/// Bleeding: a pixel beside a saturated one in its column belongs to it while it stays above this share of saturation.
const BLEED_SHARE: f32 = 0.6;
/// Normal law: median absolute deviation to standard deviation.
const NORMAL_DEVIATION: f32 = 1.4826;
/// A pile-up holds at least so many pixels, and so many times those of the levels below it.
const PILE_UP_PIXELS: usize = 20;
const PILE_UP_FACTOR: f64 = 5.0;
/// Width of the band at the top of the histogram that is looked at, as a share of the maximum.
const PILE_UP_BAND: f32 = 0.01;
/// Limits of a pixel's response relative to the flat's own surroundings.
const FLAT_RESPONSE: std::ops::RangeInclusive<f32> = 0.5..=1.5;
/// A column of the bias this many deviations from its neighbours is bad.
const BAD_COLUMN_SIGMA: f32 = 10.0;

/// How calibration frames are combined, pixel by pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Combination {
    Median,
    /// Mean after rejection of values farther than `sigma` robust deviations from the median.
    ClippedMean {
        sigma: f32,
    },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    #[error("no frames to combine")]
    NoFrames,
    #[error("frame {index} is {found:?} pixels, the first one {expected:?}")]
    ShapeMismatch { index: usize, found: (usize, usize), expected: (usize, usize) },
}

/// Combines frames of one shape. Memory: one output plane and one band of rows beside the inputs.
pub fn combine(frames: &[Image], how: Combination) -> Result<Image, CalibrationError> {
    let planes: Vec<Plane<'_>> = planes_of(frames)?
        .into_iter()
        .map(|image| Plane { image, scale: 1.0, offset: None })
        .collect();
    combine_planes(&planes, how)
}

/// Combines flats: each has bias and dark·t taken off (planes in data numbers; dark per second), is scaled to its own
/// median, then combined; the result has median 1. `exposures_seconds` runs parallel to `frames`.
pub fn combine_flats(
    frames: &[Image],
    exposures_seconds: &[f64],
    bias: Option<&Image>,
    dark_per_second: Option<&Image>,
    how: Combination,
) -> Result<Image, CalibrationError> {
    let shape = planes_of(frames)?.first().map_or((0, 0), |image| image.dim());
    for plane in [bias, dark_per_second].into_iter().flatten() {
        if plane.dim() != shape {
            let index = frames.len();
            return Err(CalibrationError::ShapeMismatch {
                index,
                found: plane.dim(),
                expected: shape,
            });
        }
    }
    let mut scaled = Vec::with_capacity(frames.len());
    for (index, frame) in frames.iter().enumerate() {
        let seconds = exposures_seconds.get(index).copied().unwrap_or(0.0) as f32;
        let mut plane = frame.clone();
        if let Some(bias) = bias {
            plane -= bias;
        }
        if let Some(dark) = dark_per_second {
            plane.zip_mut_with(dark, |value, dark| *value -= dark * seconds);
        }
        let level = median_of(plane.iter().copied()).unwrap_or(1.0);
        let level = if level.abs() > f32::EPSILON { level } else { 1.0 };
        plane.mapv_inplace(|value| value / level);
        scaled.push(plane);
    }
    let mut flat = combine(&scaled, how)?;
    if let Some(level) = median_of(flat.iter().copied())
        && level > 0.0
    {
        flat.mapv_inplace(|value| value / level);
    }
    Ok(flat)
}

struct Plane<'a> {
    image: &'a Image,
    scale: f32,
    offset: Option<&'a Image>,
}

impl Plane<'_> {
    fn value(&self, index: usize, data: &[f32], offset: Option<&[f32]>) -> f32 {
        let value = data[index] - offset.map_or(0.0, |offset| offset[index]);
        value * self.scale
    }
}

fn planes_of(frames: &[Image]) -> Result<Vec<&Image>, CalibrationError> {
    let expected = frames.first().ok_or(CalibrationError::NoFrames)?.dim();
    for (index, frame) in frames.iter().enumerate() {
        if frame.dim() != expected {
            return Err(CalibrationError::ShapeMismatch { index, found: frame.dim(), expected });
        }
    }
    Ok(frames.iter().collect())
}

fn combine_planes(planes: &[Plane<'_>], how: Combination) -> Result<Image, CalibrationError> {
    let shape = planes.first().ok_or(CalibrationError::NoFrames)?.image.dim();
    let contiguous: Vec<_> = planes.iter().map(|plane| plane.image.as_standard_layout()).collect();
    let offsets: Vec<_> =
        planes.iter().map(|plane| plane.offset.map(|o| o.as_standard_layout())).collect();
    let mut combined = Image::zeros(shape);
    let mut values = vec![0.0_f32; planes.len()];
    let mut deviations = vec![0.0_f32; planes.len()];
    for (index, output) in combined.iter_mut().enumerate() {
        for (slot, ((plane, data), offset)) in
            values.iter_mut().zip(planes.iter().zip(&contiguous).zip(&offsets))
        {
            let data = data.as_slice().unwrap_or(&[]);
            let offset = offset.as_ref().and_then(|offset| offset.as_slice());
            *slot = plane.value(index, data, offset);
        }
        *output = match how {
            Combination::Median => median_sorted(&mut values),
            Combination::ClippedMean { sigma } => clipped_mean(&mut values, &mut deviations, sigma),
        };
    }
    Ok(combined)
}

/// Median of values that may be reordered.
fn median_sorted(values: &mut [f32]) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    let middle = values.len() / 2;
    match values {
        [] => 0.0,
        _ if values.len() % 2 == 1 => values[middle],
        _ => f32::midpoint(values[middle - 1], values[middle]),
    }
}

fn clipped_mean(values: &mut [f32], deviations: &mut [f32], sigma: f32) -> f32 {
    let centre = median_sorted(values);
    for (deviation, value) in deviations.iter_mut().zip(values.iter()) {
        *deviation = (value - centre).abs();
    }
    let scatter = NORMAL_DEVIATION * median_sorted(deviations);
    let (mut sum, mut count) = (0.0_f64, 0_u32);
    for value in values.iter() {
        // With whole numbers half of the values may be the median itself: then the scatter is zero and a step of one counts.
        if (value - centre).abs() <= sigma * scatter.max(0.5) {
            sum += f64::from(*value);
            count += 1;
        }
    }
    if count == 0 { centre } else { (sum / f64::from(count)) as f32 }
}

fn median_of(values: impl Iterator<Item = f32>) -> Option<f32> {
    let mut finite: Vec<f32> = values.filter(|value| value.is_finite()).collect();
    let middle = finite.len() / 2;
    if finite.is_empty() {
        return None;
    }
    let (_, median, _) = finite.select_nth_unstable_by(middle, f32::total_cmp);
    Some(*median)
}

/// Level (data numbers) at which values pile up at the top of the histogram, if they do: saturation
/// measured, not assumed (anchors.md C3, trap 1). `None` when the maximum is not a pile-up.
pub fn measured_saturation(raw: &Image) -> Option<f32> {
    let maximum = raw.iter().copied().filter(|value| value.is_finite()).reduce(f32::max)?;
    if maximum <= 0.0 {
        return None;
    }
    let band = PILE_UP_BAND * maximum;
    let count_in = |low: f32, high: f32| raw.iter().filter(|v| **v > low && **v <= high).count();
    let top = count_in(maximum - band, maximum);
    if top == raw.len() || top < PILE_UP_PIXELS {
        // A frame that is flat within a hundredth is saturated everywhere only if it has no noise at all.
        let lowest = raw.iter().copied().filter(|value| value.is_finite()).fold(maximum, f32::min);
        return (top == raw.len() && lowest == maximum).then_some(maximum);
    }
    let below = count_in(maximum - 4.0 * band, maximum - band) as f64 / 3.0;
    (top as f64 > PILE_UP_FACTOR * below.max(1.0)).then_some(maximum - band)
}

/// Dead and hot pixels and bad columns seen in the masters themselves: flat response below 0.5 or above
/// 1.5 of its surroundings, dark rate above `hot_sigma` robust deviations, bias columns that stand out. `None` without any master.
pub fn bad_pixels(
    bias: Option<&Image>,
    dark_per_second: Option<&Image>,
    flat: Option<&Image>,
    hot_sigma: f32,
) -> Option<Mask> {
    let shape = [bias, dark_per_second, flat].into_iter().flatten().next()?.dim();
    let mut mask = Mask::zeros(shape);
    if let Some(dark) = dark_per_second.filter(|dark| dark.dim() == shape)
        && let Some(centre) = median_of(dark.iter().copied())
        && let Some(deviation) = median_of(dark.iter().map(|value| (value - centre).abs()))
    {
        let limit = centre + hot_sigma * (NORMAL_DEVIATION * deviation).max(f32::EPSILON);
        mask.zip_mut_with(dark, |bits, value| {
            if value.is_nan() || *value > limit {
                *bits |= mask_bits::BAD;
            }
        });
    }
    if let Some(flat) = flat.filter(|flat| flat.dim() == shape) {
        mark_odd_response(flat, &mut mask);
    }
    if let Some(bias) = bias.filter(|bias| bias.dim() == shape) {
        mark_bad_columns(bias, &mut mask);
    }
    Some(mask)
}

/// A pixel is compared with the median of the pixels a few columns to both sides, so that vignetting does not count.
fn mark_odd_response(flat: &Image, mask: &mut Mask) {
    const REACH: usize = 7;
    let (rows, columns) = flat.dim();
    let mut window = Vec::with_capacity(2 * REACH + 1);
    for row in 0..rows {
        for column in 0..columns {
            let low = column.saturating_sub(REACH);
            let high = (column + REACH + 1).min(columns);
            window.clear();
            window.extend((low..high).map(|other| flat[[row, other]]));
            let level = median_sorted(&mut window);
            let response = flat[[row, column]] / level;
            if !FLAT_RESPONSE.contains(&response) {
                mask[[row, column]] |= mask_bits::BAD;
            }
        }
    }
}

fn mark_bad_columns(bias: &Image, mask: &mut Mask) {
    let levels: Vec<f32> = bias
        .columns()
        .into_iter()
        .map(|column| median_of(column.iter().copied()).unwrap_or(0.0))
        .collect();
    let Some(centre) = median_of(levels.iter().copied()) else { return };
    let deviation = median_of(levels.iter().map(|level| (level - centre).abs())).unwrap_or(0.0);
    let limit = BAD_COLUMN_SIGMA * (NORMAL_DEVIATION * deviation).max(1.0);
    for (index, level) in levels.iter().enumerate() {
        if (level - centre).abs() > limit {
            for bits in mask.column_mut(index) {
                *bits |= mask_bits::BAD;
            }
        }
    }
}

/// All that the reduction of one frame needs. Planes in data numbers.
#[derive(Debug, Clone, Copy)]
pub struct ReductionInputs<'a> {
    pub raw: &'a Image,
    pub bias: Option<&'a Image>,
    pub dark_per_second: Option<&'a Image>,
    /// Median 1.
    pub flat: Option<&'a Image>,
    pub bad_pixels: Option<&'a Mask>,
    pub exposure_seconds: f64,
    /// Electrons per data number.
    pub gain_electrons: f64,
    pub read_noise_electrons: f64,
    /// Data numbers in the raw frame.
    pub saturation: f64,
}

/// `gain · (raw − bias − dark·t) / flat` in electrons, with the variance
/// `(max(signal, 0) + read noise²) / flat²` (signal in electrons before the flat) and the mask: bad, saturated, bleeding columns beside
/// saturated pixels. One pass over the pixels. Pixels with a flat below 0.1 are bad and set to 0.
pub fn reduce(inputs: &ReductionInputs<'_>) -> Result<CalibratedImage, CalibrationError> {
    let shape = inputs.raw.dim();
    let planes = [inputs.bias, inputs.dark_per_second, inputs.flat];
    for (index, plane) in planes.iter().enumerate() {
        if let Some(plane) = plane
            && plane.dim() != shape
        {
            let found = plane.dim();
            return Err(CalibrationError::ShapeMismatch { index, found, expected: shape });
        }
    }
    if let Some(mask) = inputs.bad_pixels
        && mask.dim() != shape
    {
        let found = mask.dim();
        return Err(CalibrationError::ShapeMismatch {
            index: planes.len(),
            found,
            expected: shape,
        });
    }
    let raw = inputs.raw.as_standard_layout();
    let [bias, dark, flat] = planes.map(|plane| plane.map(|plane| plane.as_standard_layout()));
    let known_bad = inputs.bad_pixels.map(|mask| mask.as_standard_layout());
    let raw = raw.as_slice().unwrap_or(&[]);
    let bias = bias.as_ref().and_then(|plane| plane.as_slice());
    let dark = dark.as_ref().and_then(|plane| plane.as_slice());
    let flat = flat.as_ref().and_then(|plane| plane.as_slice());
    let known_bad = known_bad.as_ref().and_then(|plane| plane.as_slice());

    let gain = inputs.gain_electrons as f32;
    let seconds = inputs.exposure_seconds as f32;
    let read_variance = (inputs.read_noise_electrons * inputs.read_noise_electrons) as f32;
    let saturation = inputs.saturation as f32;
    let mut data = Image::zeros(shape);
    let mut variance = Image::zeros(shape);
    let mut mask = Mask::zeros(shape);
    let outputs = data.iter_mut().zip(variance.iter_mut()).zip(mask.iter_mut());
    for (index, ((value, noise), bits)) in outputs.enumerate() {
        let pixel = raw[index];
        *bits = known_bad.map_or(0, |known| known[index]);
        if pixel >= saturation {
            *bits |= mask_bits::SATURATED;
        }
        let response = flat.map_or(1.0, |flat| flat[index]);
        if !(pixel.is_finite() && response >= SMALLEST_FLAT) {
            *bits |= mask_bits::BAD;
            *noise = read_variance;
            continue;
        }
        let pedestal = bias.map_or(0.0, |bias| bias[index]);
        let dark = dark.map_or(0.0, |dark| dark[index] * seconds);
        // The dark current is gone from the value but not from its noise.
        let charge = gain * (pixel - pedestal);
        *value = (charge - gain * dark) / response;
        *noise = (charge.max(0.0) + read_variance) / (response * response);
    }
    mark_bleeding(inputs.raw, saturation, &mut mask);
    Ok(CalibratedImage { data, variance, mask })
}

/// From each saturated pixel up and down its column, as long as the pixels stay near saturation, and one further.
fn mark_bleeding(raw: &Image, saturation: f32, mask: &mut Mask) {
    let (rows, columns) = raw.dim();
    let limit = BLEED_SHARE * saturation;
    for column in 0..columns {
        for row in 0..rows {
            if mask[[row, column]] & mask_bits::SATURATED == 0 {
                continue;
            }
            let above = (row + 1)..rows;
            let below = (0..row).rev();
            for direction in [above.collect::<Vec<_>>(), below.collect()] {
                for other in direction {
                    let bits = &mut mask[[other, column]];
                    if *bits & (mask_bits::SATURATED | mask_bits::BLEED) != 0 {
                        break;
                    }
                    *bits |= mask_bits::BLEED;
                    if raw[[other, column]] < limit {
                        break;
                    }
                }
            }
        }
    }
}
