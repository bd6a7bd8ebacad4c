//! Incremental stack: a new frame updates the running clipped, weighted mean in constant time.
//!
//! Each pixel keeps its first few values. While it has no more than these, the stack is their clipped weighted mean about their
//! weighted median, made afresh; after that it keeps running sums, and a new value farther than the clip from the running mean is left
//! out. So a cosmic ray in the first frame is gone as soon as there are three frames, and memory does not grow.

use super::{CalibratedImage, Image, Mask, mask_bits};
use ndarray::Array2;

/// Values kept per pixel before running sums take over.
const KEPT: usize = 7;
/// The clip is widened by this share of the pixel's own level: the cores of stars vary with the seeing, and must not be eaten.
const LEVEL_SHARE: f32 = 0.3;
/// With two values only, one farther from the other than this many clips is taken for a cosmic ray, and the lower one stands.
const PAIR_FACTOR: f32 = 2.0;

/// A frame on the stack's grid, background-subtracted, in the stack's flux scale.
#[derive(Debug, Clone, Copy)]
pub struct StackInput<'a> {
    pub image: &'a CalibratedImage,
    /// Multiplies the data to bring it to the common zero point.
    pub scale: f64,
    /// Statistical weight (1 / variance of the sky after scaling).
    pub weight: f64,
}

/// One kept value.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    value: f32,
    variance: f32,
    weight: f32,
}

/// Running sums of one pixel, once it has had more than [`KEPT`] values.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    weight: f64,
    /// Σ w·v
    value: f64,
    /// Σ w²·variance
    variance: f64,
    /// Σ w·(v − mean)², for the scatter.
    square: f64,
}

/// Running stack. Memory is stated by [`RunningStack::bytes_per_pixel`].
#[derive(Debug, Clone)]
pub struct RunningStack {
    shape: (usize, usize),
    clip_sigma: f32,
    frame_count: usize,
    kept: Vec<[Sample; KEPT]>,
    kept_count: Vec<u8>,
    sums: Vec<Sums>,
    /// Values that went into the running sums.
    used: Vec<u16>,
    /// OR of the mask bits of the frames at a pixel that never had a good value.
    bits: Vec<u8>,
}

/// A pixel of the stack: mean, variance of the mean, Σ weight, number of values in it.
#[derive(Debug, Clone, Copy, Default)]
struct Pixel {
    mean: f32,
    variance: f32,
    weight: f32,
    count: u16,
}

impl RunningStack {
    /// An empty stack of `shape` (rows, columns).
    pub fn new(shape: (usize, usize), clip_sigma: f64) -> Self {
        let count = shape.0 * shape.1;
        Self {
            shape,
            clip_sigma: clip_sigma as f32,
            frame_count: 0,
            kept: vec![[Sample::default(); KEPT]; count],
            kept_count: vec![0; count],
            sums: vec![Sums::default(); count],
            used: vec![0; count],
            bits: vec![0; count],
        }
    }

    /// Memory of the state, without the images made from it.
    pub fn bytes_per_pixel() -> usize {
        size_of::<[Sample; KEPT]>() + size_of::<Sums>() + size_of::<u16>() + 2 * size_of::<u8>()
    }

    /// Frames added so far.
    pub fn frame_count(&self) -> usize {
        self.frame_count
    }

    /// Adds one frame; one of another shape or without weight is left out. Frames must come in the same order for the same
    /// result, bit for bit.
    pub fn add(&mut self, input: &StackInput<'_>) {
        let image = input.image;
        let is_usable = image.shape() == self.shape
            && input.weight > 0.0
            && input.weight.is_finite()
            && input.scale.is_finite();
        let planes = (image.data.as_slice(), image.variance.as_slice(), image.mask.as_slice());
        let (true, (Some(data), Some(variance), Some(mask))) = (is_usable, planes) else { return };
        self.frame_count += 1;
        let (scale, weight) = (input.scale as f32, input.weight as f32);
        for index in 0..data.len() {
            let value = data[index] * scale;
            if mask[index] != 0 || !value.is_finite() {
                self.bits[index] |= mask[index];
                continue;
            }
            let sample = Sample { value, variance: variance[index] * scale * scale, weight };
            self.add_value(index, sample);
        }
    }

    fn add_value(&mut self, index: usize, sample: Sample) {
        let count = usize::from(self.kept_count[index]);
        if count < KEPT {
            self.kept[index][count] = sample;
            self.kept_count[index] += 1;
            if count + 1 == KEPT {
                self.begin_sums(index);
            }
            return;
        }
        let sums = self.sums[index];
        if sums.weight > 0.0 {
            let mean = (sums.value / sums.weight) as f32;
            let scatter = (sums.square / sums.weight) as f32;
            if (sample.value - mean).abs() > self.clip(sample.variance.max(scatter), mean) {
                return;
            }
        }
        self.add_to_sums(index, sample);
    }

    /// The kept values that pass the clip become the first of the running sums.
    fn begin_sums(&mut self, index: usize) {
        let kept = self.kept[index];
        for (sample, passes) in kept.iter().zip(self.clipped(&kept)) {
            if passes {
                self.add_to_sums(index, *sample);
            }
        }
    }

    fn add_to_sums(&mut self, index: usize, sample: Sample) {
        let sums = &mut self.sums[index];
        let (weight, value) = (f64::from(sample.weight), f64::from(sample.value));
        let before = if sums.weight > 0.0 { sums.value / sums.weight } else { value };
        sums.weight += weight;
        sums.value += weight * value;
        sums.variance += weight * weight * f64::from(sample.variance);
        let after = sums.value / sums.weight;
        // West (1979): weighted running variance.
        sums.square += weight * (value - before) * (value - after);
        self.used[index] = self.used[index].saturating_add(1);
    }

    /// How far from the mean a value may lie.
    fn clip(&self, variance: f32, level: f32) -> f32 {
        self.clip_sigma * variance.max(0.0).sqrt() + LEVEL_SHARE * level.max(0.0)
    }

    /// Which of at most [`KEPT`] values pass the clip about their median.
    fn clipped(&self, samples: &[Sample]) -> [bool; KEPT] {
        let mut passes = [false; KEPT];
        match samples {
            [] => {}
            [_] => passes[0] = true,
            [first, second] => {
                let (low, high) =
                    if first.value <= second.value { (first, second) } else { (second, first) };
                let noise = (first.variance + second.variance).max(0.0).sqrt();
                let allowed =
                    PAIR_FACTOR * self.clip_sigma * noise + LEVEL_SHARE * low.value.max(0.0);
                let agree = high.value - low.value <= allowed;
                passes[0] = agree || first.value <= second.value;
                passes[1] = agree || second.value < first.value;
            }
            _ => {
                let centre = median(samples);
                for (pass, sample) in passes.iter_mut().zip(samples) {
                    *pass = (sample.value - centre).abs() <= self.clip(sample.variance, centre);
                }
                if !passes.contains(&true) {
                    // Values that agree with none: the middle one stands alone.
                    let nearest = samples.iter().enumerate().min_by(|(_, a), (_, b)| {
                        (a.value - centre).abs().total_cmp(&(b.value - centre).abs())
                    });
                    if let Some((index, _)) = nearest {
                        passes[index] = true;
                    }
                }
            }
        }
        passes
    }

    fn pixel(&self, index: usize) -> Pixel {
        let count = usize::from(self.kept_count[index]);
        if count >= KEPT {
            let sums = self.sums[index];
            return finished(sums, self.used[index]);
        }
        let samples = &self.kept[index][..count];
        let mut sums = Sums::default();
        let mut used = 0;
        for (sample, passes) in samples.iter().zip(self.clipped(samples)) {
            if passes {
                let weight = f64::from(sample.weight);
                sums.weight += weight;
                sums.value += weight * f64::from(sample.value);
                sums.variance += weight * weight * f64::from(sample.variance);
                used += 1;
            }
        }
        finished(sums, used)
    }

    /// The stack as it is: mean, variance of the mean, mask (the frames' bits and NO_DATA where nothing good was added).
    pub fn image(&self) -> CalibratedImage {
        let mut image = CalibratedImage {
            data: Image::zeros(self.shape),
            variance: Image::zeros(self.shape),
            mask: Mask::zeros(self.shape),
        };
        let planes = image.data.iter_mut().zip(&mut image.variance).zip(&mut image.mask);
        for (index, ((data, variance), mask)) in planes.enumerate() {
            let pixel = self.pixel(index);
            if pixel.count == 0 {
                *mask = self.bits[index] | mask_bits::NO_DATA;
            } else {
                *data = pixel.mean;
                *variance = pixel.variance;
            }
        }
        image
    }

    /// Depth map: Σ weight and number of values of each pixel.
    pub fn depth(&self) -> (Image, Array2<u16>) {
        let mut weights = Image::zeros(self.shape);
        let mut counts = Array2::zeros(self.shape);
        for (index, (weight, count)) in weights.iter_mut().zip(&mut counts).enumerate() {
            let pixel = self.pixel(index);
            (*weight, *count) = (pixel.weight, pixel.count);
        }
        (weights, counts)
    }
}

fn finished(sums: Sums, count: u16) -> Pixel {
    if count == 0 || sums.weight <= 0.0 {
        return Pixel::default();
    }
    Pixel {
        mean: (sums.value / sums.weight) as f32,
        variance: (sums.variance / (sums.weight * sums.weight)) as f32,
        weight: sums.weight as f32,
        count,
    }
}

/// Median of three to [`KEPT`] values.
fn median(samples: &[Sample]) -> f32 {
    let mut values = [0.0_f32; KEPT];
    let count = samples.len().min(KEPT);
    for (value, sample) in values.iter_mut().zip(samples) {
        *value = sample.value;
    }
    let values = &mut values[..count];
    values.sort_unstable_by(f32::total_cmp);
    let middle = count / 2;
    if count % 2 == 1 { values[middle] } else { f32::midpoint(values[middle - 1], values[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 48;

    /// Normal noise from a fixed sequence (sum of twelve uniform numbers).
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f32 {
            let mut sum = 0.0;
            for _ in 0..12 {
                self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                sum += (self.0 >> 40) as f32 / (1_u32 << 24) as f32;
            }
            sum - 6.0
        }
    }

    fn frame(noise: &mut Noise, sigma: f32) -> CalibratedImage {
        CalibratedImage {
            data: Image::from_shape_simple_fn((SIDE, SIDE), || sigma * noise.next()),
            variance: Image::from_elem((SIDE, SIDE), sigma * sigma),
            mask: Mask::zeros((SIDE, SIDE)),
        }
    }

    fn deviation(image: &Image) -> f32 {
        let mean = image.mean().unwrap();
        (image.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / image.len() as f32).sqrt()
    }

    fn add(stack: &mut RunningStack, image: &CalibratedImage) {
        stack.add(&StackInput { image, scale: 1.0, weight: 1.0 });
    }

    #[test]
    fn ten_frames_gain_what_ten_frames_should() {
        let mut noise = Noise(1);
        let mut stack = RunningStack::new((SIDE, SIDE), 4.0);
        for _ in 0..10 {
            add(&mut stack, &frame(&mut noise, 10.0));
        }
        let image = stack.image();
        let gain = 10.0 / deviation(&image.data);
        // The square root of ten is 3.16; SWarp's clipped mean reaches 2.91.
        assert!(gain > 2.95, "{gain}");
        assert!((image.variance[[5, 5]] - 10.0).abs() < 0.5);
        assert_eq!(stack.frame_count(), 10);
    }

    #[test]
    fn cosmic_rays_are_gone_from_the_second_frame_on_wherever_they_fall() {
        for hit in 0..9 {
            let mut noise = Noise(7);
            let mut stack = RunningStack::new((SIDE, SIDE), 4.0);
            for number in 0..9 {
                let mut image = frame(&mut noise, 10.0);
                if number == hit {
                    image.data[[20, 20]] += 5_000.0;
                }
                add(&mut stack, &image);
                if number >= 1 && number >= hit {
                    let value = stack.image().data[[20, 20]];
                    assert!(value.abs() < 50.0, "hit {hit}, frame {number}: {value}");
                }
            }
        }
    }

    #[test]
    fn star_cores_survive_changing_seeing() {
        // The peak of a star whose width goes from 2.0 to 2.6 pixels and back falls by 40 %.
        let mut noise = Noise(3);
        let mut stack = RunningStack::new((SIDE, SIDE), 4.0);
        let mut expected = 0.0;
        for number in 0..12 {
            let width = 2.0 + 0.05 * f64::from((number * 5) % 12);
            let mut image = frame(&mut noise, 5.0);
            let mut sum = 0.0;
            for ((row, column), value) in image.data.indexed_iter_mut() {
                let distance = (row as f64 - 24.0).powi(2) + (column as f64 - 24.0).powi(2);
                let star = 20_000.0 / (2.0 * std::f64::consts::PI * width * width)
                    * (-distance / (2.0 * width * width)).exp();
                *value += star as f32;
                if distance < 100.0 {
                    sum += star;
                }
            }
            expected += sum / 12.0;
            add(&mut stack, &image);
        }
        let image = stack.image();
        let flux: f64 = image
            .data
            .indexed_iter()
            .filter(|((row, column), _)| {
                (*row as f64 - 24.0).powi(2) + (*column as f64 - 24.0).powi(2) < 100.0
            })
            .map(|(_, value)| f64::from(*value))
            .sum();
        assert!((flux / expected - 1.0).abs() < 0.01, "{flux} of {expected}");
    }

    #[test]
    fn parts_seen_by_few_frames_are_what_those_saw() {
        let mut stack = RunningStack::new((2, 2), 4.0);
        let mut image = CalibratedImage {
            data: Image::from_elem((2, 2), 100.0),
            variance: Image::from_elem((2, 2), 4.0),
            mask: Mask::zeros((2, 2)),
        };
        image.mask[[0, 0]] = mask_bits::SATURATED;
        add(&mut stack, &image);
        image.mask[[0, 1]] = mask_bits::NO_DATA;
        image.data.fill(102.0);
        add(&mut stack, &image);
        let stacked = stack.image();
        assert_eq!(stacked.mask[[0, 0]], mask_bits::SATURATED | mask_bits::NO_DATA);
        assert_eq!(stacked.data[[0, 1]], 100.0);
        assert_eq!(stacked.data[[1, 1]], 101.0);
        let (weights, counts) = stack.depth();
        assert_eq!((counts[[0, 0]], counts[[0, 1]], counts[[1, 1]]), (0, 1, 2));
        assert_eq!(weights[[1, 1]], 2.0);
    }

    #[test]
    fn scale_and_weight_are_those_given_and_nonsense_is_left_out() {
        let mut stack = RunningStack::new((1, 1), 4.0);
        let image = |value: f32| CalibratedImage {
            data: Image::from_elem((1, 1), value),
            variance: Image::from_elem((1, 1), 1.0),
            mask: Mask::zeros((1, 1)),
        };
        stack.add(&StackInput { image: &image(50.0), scale: 2.0, weight: 3.0 });
        stack.add(&StackInput { image: &image(104.0), scale: 1.0, weight: 1.0 });
        stack.add(&StackInput { image: &image(104.0), scale: f64::NAN, weight: 1.0 });
        stack.add(&StackInput { image: &image(f32::NAN), scale: 1.0, weight: 1.0 });
        let stacked = stack.image();
        assert_eq!(stacked.data[[0, 0]], 101.0);
        // (9 · 4 + 1 · 1) / 16
        assert!((stacked.variance[[0, 0]] - 37.0 / 16.0).abs() < 1e-6);
    }
}
