//! Incremental stack: a new frame updates the running clipped, weighted mean in constant time.

use super::image::mask_bits;
use super::outlier::{OutlierTest, Suspect, flux_nearby, flux_nearby_at};
use super::stack_pixel::{KEPT, Pixel, Running, Sample};
use super::{CalibratedImage, Image, Mask, bands};
use ndarray::Array2;

/// A frame on the stack's grid, background-subtracted, in the stack's flux scale.
#[derive(Debug, Clone, Copy)]
pub struct StackInput<'a> {
    pub image: &'a CalibratedImage,
    /// Multiplies the data to bring it to the common zero point.
    pub scale: f64,
    /// Statistical weight (1 / variance of the sky after scaling).
    pub weight: f64,
}

/// How deep the stack is at each pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthMap {
    /// Sum of the weights of the values in the mean.
    pub weight: Image,
    /// Number of frames in the mean.
    pub frames: Array2<u16>,
}

impl StackInput<'_> {
    /// Value and variance of a pixel in the stack's flux scale.
    fn scaled(&self, place: (usize, usize)) -> (f32, f32) {
        let scale = self.scale as f32;
        let at = |plane: &Image| plane.get(place).copied().unwrap_or(f32::NAN);
        (at(&self.image.data) * scale, at(&self.image.variance) * scale * scale)
    }
}

/// A robust first guess of a pixel: the running mean, or of the values kept the median (the lower of the two in the middle, because
/// what disturbs a frame adds light). NaN where there is nothing.
fn reference_of(pixel: &Pixel) -> f32 {
    match pixel {
        Pixel::Empty => f32::NAN,
        Pixel::Flagged { running, .. } | Pixel::Running(running) => running.mean,
        Pixel::Collecting { samples, count } => {
            let mut values = samples.map(|sample| sample.value);
            let kept = values.get_mut(..usize::from(*count)).unwrap_or_default();
            kept.sort_by(f32::total_cmp);
            kept.get(kept.len().saturating_sub(1) / 2).copied().unwrap_or(f32::NAN)
        }
    }
}

/// What may move into each pixel from those around it, for [`Suspect::nearby`].
struct Surroundings<'a> {
    stack: &'a RunningStack,
    /// Of all pixels, where many are asked for.
    nearby: Option<Image>,
}

impl Surroundings<'_> {
    fn nearby(&self, place: (usize, usize)) -> f32 {
        match &self.nearby {
            Some(plane) => plane.get(place).copied().unwrap_or(f32::NEG_INFINITY),
            None => flux_nearby_at(place, self.stack.shape(), |at| {
                self.stack.pixels.get(at).map_or(f32::NAN, reference_of)
            }),
        }
    }
}

/// More than this part of the pixels are many: the plane of all costs what a look at so many single ones does.
const MANY_SHARE: usize = 50;
/// As many rejections in a row mean that the mean is wrong, not the frames: the pixel starts again.
const REJECTIONS_TO_RESTART: u8 = 6;
/// Running stack. Per pixel: the first few values are kept until a robust start is possible, then sums that reject a new value farther
/// than `clip_sigma` from the running mean. Memory is stated by [`RunningStack::bytes_per_pixel`].
///
/// The tolerance is the noise (that of the value and of the mean, or the scatter seen where that is larger) plus a share
/// of the flux nearby, and near stars an excess that is made up for by a deficit beside it counts as seeing
/// (`outlier::OutlierTest`). Masked pixels are left out; where a pixel is saturated in every frame the saturated
/// values are averaged and the bits stay.
#[derive(Debug, Clone)]
pub struct RunningStack {
    clip_sigma: f64,
    frame_count: usize,
    pixels: Array2<Pixel>,
}

impl RunningStack {
    /// An empty stack of `shape` (rows, columns).
    pub fn new(shape: (usize, usize), clip_sigma: f64) -> Self {
        Self { clip_sigma, frame_count: 0, pixels: Array2::from_elem(shape, Pixel::Empty) }
    }

    /// Memory of the state, however many frames are added. While a frame is added and while the image is made,
    /// three to five planes of 32 bits come on top.
    pub fn bytes_per_pixel() -> usize {
        size_of::<Pixel>()
    }

    /// Frames added.
    pub fn frame_count(&self) -> usize {
        self.frame_count
    }

    /// Rows, columns.
    pub fn shape(&self) -> (usize, usize) {
        self.pixels.dim()
    }

    /// Adds one frame. Frames must come in the same order for the same result, bit for bit. A frame of another shape, or with
    /// a scale or weight that is not positive and finite, is not added: false.
    pub fn add(&mut self, input: &StackInput<'_>) -> bool {
        let shape = self.pixels.dim();
        let planes = input.image;
        let same_shape = planes.data.dim() == shape
            && planes.variance.dim() == shape
            && planes.mask.dim() == shape;
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if !same_shape || !positive(input.scale) || !positive(input.weight) {
            return false;
        }
        let rejected = self.outliers(input);
        let mut rejected = rejected.iter().copied().peekable();
        // Which pixels complete their samples is known only when all have been given theirs, because the test looks
        // at neighbours.
        let mut complete: Vec<(usize, usize)> = Vec::new();
        let weight = input.weight as f32;
        for (place, pixel) in self.pixels.indexed_iter_mut() {
            let bits = planes.mask[place];
            let (value, variance) = input.scaled(place);
            let is_rejected = rejected.next_if_eq(&place).is_some();
            if !value.is_finite() || !variance.is_finite() || variance < 0.0 {
                continue;
            }
            let sample = Sample { value, variance, weight };
            if bits != 0 {
                pixel.take_flagged(sample, bits);
                continue;
            }
            match pixel {
                Pixel::Empty | Pixel::Flagged { .. } => *pixel = Pixel::first(sample),
                Pixel::Collecting { samples, count } => {
                    if let Some(slot) = samples.get_mut(usize::from(*count)) {
                        *slot = sample;
                        *count += 1;
                    }
                    if usize::from(*count) == KEPT {
                        complete.push(place);
                    }
                }
                Pixel::Running(running) if is_rejected => {
                    running.rejected_in_a_row += 1;
                    if running.rejected_in_a_row >= REJECTIONS_TO_RESTART {
                        *pixel = Pixel::first(sample);
                    }
                }
                Pixel::Running(running) => {
                    running.add(sample);
                    running.rejected_in_a_row = 0;
                }
            }
        }
        self.frame_count += 1;
        self.start_running(&complete);
        true
    }

    /// The good pixels of a frame that are outliers against the running means, in the order of the pixels. Only where a value is
    /// farther off than the noise allows are the surroundings looked at.
    fn outliers(&self, input: &StackInput<'_>) -> Vec<(usize, usize)> {
        let test = self.outlier_test();
        let shape = self.shape();
        let value_at = |at| self.pixels.get(at).map_or(f32::NAN, reference_of);
        let deviation_at = |at: (usize, usize)| {
            let pixel = self.pixels.get(at)?;
            Some(input.scaled(at).0 - reference_of(pixel))
        };
        let is_outlier = |place: (usize, usize), running: &Running| {
            let (value, variance) = input.scaled(place);
            if input.image.mask[place] != 0 || !value.is_finite() || !variance.is_finite() {
                return false;
            }
            let deviation = value - running.mean;
            let variance = running.tolerance_variance(variance);
            if test.is_within_noise(deviation, variance) {
                return false;
            }
            let nearby = flux_nearby_at(place, shape, value_at);
            test.is_outlier(&Suspect { place, deviation, variance, nearby }, deviation_at)
        };
        let per_band = bands::rows_per_band(shape.0, shape.1);
        let firsts: Vec<usize> = (0..shape.0).step_by(per_band).collect();
        let found = bands::each(firsts, |first| {
            let mut outliers = Vec::new();
            for row in first..(first + per_band).min(shape.0) {
                for (column, pixel) in self.pixels.row(row).iter().enumerate() {
                    if let Pixel::Running(running) = pixel
                        && is_outlier((row, column), running)
                    {
                        outliers.push((row, column));
                    }
                }
            }
            outliers
        });
        found.concat()
    }

    /// The stack as it is: mean, variance of the mean, mask (NO_DATA where nothing was added).
    ///
    /// With one frame that frame; with two, the mean where they agree and the lower value where they do not; from three on the
    /// clipped weighted mean.
    pub fn image(&self) -> CalibratedImage {
        let shape = self.pixels.dim();
        let mut image = CalibratedImage {
            data: Image::zeros(shape),
            variance: Image::zeros(shape),
            mask: Mask::zeros(shape),
        };
        let surroundings = self.surroundings();
        for (place, pixel) in self.pixels.indexed_iter() {
            if let Pixel::Empty = pixel {
                image.mask[place] = mask_bits::NO_DATA;
            } else if let Pixel::Flagged { bits, .. } = pixel {
                image.mask[place] = *bits;
            }
            if let Some(running) = self.combined(place, pixel, &surroundings) {
                image.data[place] = running.mean;
                image.variance[place] = running.variance / (running.weight * running.weight);
            }
        }
        image
    }

    /// Total weight and number of frames of each pixel, after rejection. Pixels with nothing but saturated values count none.
    pub fn depth_map(&self) -> DepthMap {
        let shape = self.pixels.dim();
        let mut depth = DepthMap { weight: Image::zeros(shape), frames: Array2::zeros(shape) };
        let surroundings = self.surroundings();
        for (place, pixel) in self.pixels.indexed_iter() {
            if matches!(pixel, Pixel::Flagged { .. }) {
                continue;
            }
            if let Some(running) = self.combined(place, pixel, &surroundings) {
                depth.weight[place] = running.weight;
                depth.frames[place] = running.count;
            }
        }
        depth
    }

    /// A pixel's mean with what has been rejected left out.
    fn combined(
        &self,
        place: (usize, usize),
        pixel: &Pixel,
        surroundings: &Surroundings<'_>,
    ) -> Option<Running> {
        match pixel {
            Pixel::Empty => None,
            Pixel::Flagged { running, .. } | Pixel::Running(running) => Some(*running),
            Pixel::Collecting { .. } => {
                self.clipped_mean(place, reference_of(pixel), surroundings.nearby(place))
            }
        }
    }

    /// Where most pixels are still collecting, their surroundings are looked at together.
    fn surroundings(&self) -> Surroundings<'_> {
        let is_collecting = |pixel: &&Pixel| matches!(pixel, Pixel::Collecting { .. });
        let collecting = self.pixels.iter().filter(is_collecting).count();
        let nearby = (collecting > self.pixels.len() / MANY_SHARE)
            .then(|| flux_nearby(&self.pixels.map(reference_of)));
        Surroundings { stack: self, nearby }
    }

    fn outlier_test(&self) -> OutlierTest {
        OutlierTest { clip_sigma: self.clip_sigma as f32 }
    }

    /// The mean of a collecting pixel's samples that agree with `centre`, which is one of them.
    fn clipped_mean(&self, place: (usize, usize), centre: f32, nearby: f32) -> Option<Running> {
        let samples = self.samples(place)?;
        let central = samples.iter().find(|sample| sample.value == centre)?;
        let test = self.outlier_test();
        let agrees = |(slot, sample): &(usize, &Sample)| {
            let suspect = Suspect {
                place,
                deviation: sample.value - centre,
                // The noise of the quieter of the two: a cosmic ray's own photon noise must not excuse it.
                variance: sample.variance.min(central.variance) + central.variance,
                nearby,
            };
            !test.is_outlier(&suspect, |at| self.deviation_of_slot(at, *slot))
        };
        let mut kept = samples.iter().enumerate().filter(agrees).map(|(_, sample)| *sample);
        let mut running = Running::first(kept.next()?);
        kept.for_each(|sample| running.add(sample));
        Some(running)
    }

    /// The values of a collecting pixel.
    fn samples(&self, place: (usize, usize)) -> Option<&[Sample]> {
        match self.pixels.get(place)? {
            Pixel::Collecting { samples, count } => samples.get(..usize::from(*count)),
            _ => None,
        }
    }

    /// How far the value in a slot lies from the mean of the other slots. (Not from the reference: the lower of two
    /// values is too low everywhere in a star whose shape changes, and all light would look new.)
    fn deviation_of_slot(&self, place: (usize, usize), slot: usize) -> Option<f32> {
        let samples = self.samples(place)?;
        let value = samples.get(slot)?.value;
        let others = samples.len().checked_sub(1).filter(|others| *others > 0)?;
        let sum: f32 = samples.iter().map(|sample| sample.value).sum();
        Some(value - (sum - value) / others as f32)
    }

    /// Turns full sets of samples into running means.
    fn start_running(&mut self, places: &[(usize, usize)]) {
        if places.is_empty() {
            return;
        }
        let surroundings = self.surroundings();
        let started: Vec<Option<Running>> = places
            .iter()
            .map(|&place| {
                let reference = self.pixels.get(place).map(reference_of)?;
                self.clipped_mean(place, reference, surroundings.nearby(place))
            })
            .collect();
        for (&place, running) in places.iter().zip(started) {
            if let Some(running) = running {
                self.pixels[place] = Pixel::Running(running);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};

    const SKY_NOISE: f64 = 10.0;
    const SHAPE: (usize, usize) = (64, 64);
    const STARS: [(f64, f64, f64); 4] =
        [(15.2, 16.7, 2e3), (44.9, 14.1, 2e4), (16.4, 47.3, 2e5), (46.0, 46.6, 1e6)];

    /// A star field in given seeing (Moffat, β = 3), with noise.
    fn frame(random: &mut ChaCha8Rng, fwhm: f64, stars: &[(f64, f64, f64)]) -> CalibratedImage {
        let square_width = (fwhm / 2.0).powi(2) / (2f64.powf(1.0 / 3.0) - 1.0);
        let light = |x: f64, y: f64| -> f64 {
            let value = |&(star_x, star_y, flux): &(f64, f64, f64)| {
                let square = (x - star_x).powi(2) + (y - star_y).powi(2);
                flux * 2.0 / (std::f64::consts::PI * square_width)
                    * (1.0 + square / square_width).powi(-3)
            };
            stars.iter().map(value).sum()
        };
        let mut image = CalibratedImage {
            data: Image::zeros(SHAPE),
            variance: Image::zeros(SHAPE),
            mask: Mask::zeros(SHAPE),
        };
        for ((row, column), data) in image.data.indexed_iter_mut() {
            let expected = light(column as f64, row as f64);
            let variance = SKY_NOISE * SKY_NOISE + expected;
            let noise = Normal::new(0.0, variance.sqrt()).unwrap();
            *data = (expected + noise.sample(random)) as f32;
            image.variance[(row, column)] = (SKY_NOISE * SKY_NOISE) as f32 + data.max(0.0);
        }
        image
    }

    fn add_cosmic_rays(random: &mut ChaCha8Rng, image: &mut CalibratedImage, count: usize) {
        for _ in 0..count {
            let (row, column) = (random.random_range(24..63), random.random_range(1..63));
            for step in 0..random.random_range(1..4) {
                if let Some(pixel) = image.data.get_mut((row, column + step)) {
                    let charge = random.random_range(300.0..5000.0) as f32;
                    *pixel += charge;
                    image.variance[(row, column + step)] += charge;
                }
            }
        }
    }

    fn add_trail(image: &mut CalibratedImage, row: usize) {
        for column in 0..SHAPE.1 {
            for (offset, charge) in [(0, 400.0), (1, 900.0), (2, 400.0)] {
                image.data[(row + offset + column / 4, column)] += charge;
                image.variance[(row + offset + column / 4, column)] += charge;
            }
        }
    }

    fn input(image: &CalibratedImage) -> StackInput<'_> {
        StackInput { image, scale: 1.0, weight: 1.0 / (SKY_NOISE * SKY_NOISE) }
    }

    fn stack_of(frames: &[CalibratedImage]) -> RunningStack {
        let mut stack = RunningStack::new(SHAPE, 4.0);
        for frame in frames {
            assert!(stack.add(&input(frame)));
        }
        stack
    }

    fn aperture(image: &CalibratedImage, x: f64, y: f64) -> f64 {
        let inside = |row: usize, column: usize| {
            (column as f64 - x).powi(2) + (row as f64 - y).powi(2) <= 81.0
        };
        let pixels = image.data.indexed_iter();
        pixels.filter(|((row, column), _)| inside(*row, *column)).map(|(_, v)| f64::from(*v)).sum()
    }

    fn rms(values: impl Iterator<Item = f32> + Clone) -> f64 {
        let count = values.clone().count() as f64;
        (values.map(|value| f64::from(value).powi(2)).sum::<f64>() / count).sqrt()
    }

    #[test]
    fn ten_frames_gain_nearly_the_root_of_ten() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let frames: Vec<_> = (0..10).map(|_| frame(&mut random, 2.5, &[])).collect();
        let stack = stack_of(&frames);
        let image = stack.image();
        let gain = rms(frames[0].data.iter().copied()) / rms(image.data.iter().copied());
        assert!(gain >= 0.92 * 10f64.sqrt(), "{gain}");
        // The variance plane says what the noise is.
        let stated = f64::from(image.variance.mean().unwrap()).sqrt();
        assert!((stated / rms(image.data.iter().copied()) - 1.0).abs() < 0.08);
        assert_eq!(stack.frame_count(), 10);
    }

    #[test]
    fn cosmic_rays_and_trails_are_gone_from_the_second_frame_on() {
        for count in [2, 3, 4, 5, 6, 10] {
            let mut random = ChaCha8Rng::seed_from_u64(100 + count);
            let mut frames: Vec<_> = (0..count).map(|_| frame(&mut random, 2.5, &[])).collect();
            for (number, frame) in frames.iter_mut().enumerate() {
                // Few enough that no two frames are hit at the same place: that is beyond two or three frames.
                add_cosmic_rays(&mut random, frame, 3);
                if number == 1 {
                    add_trail(frame, 1);
                }
            }
            let image = stack_of(&frames).image();
            let noise = SKY_NOISE / ((count - 1) as f64).sqrt();
            let worst = image.data.iter().fold(0.0_f32, |worst, value| worst.max(value.abs()));
            // Without rejection the trail alone would leave 900 / count.
            let allowed = 5.0 * noise + 4.0 * SKY_NOISE * 1.5 / count as f64;
            assert!(f64::from(worst) < allowed, "{count} frames: {worst} > {allowed}");
        }
    }

    #[test]
    fn stars_keep_their_flux_when_the_seeing_changes() {
        for (name, seeing) in [
            ("worse", [2.2, 2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6, 3.6, 3.6]),
            ("better", [3.6, 3.6, 3.4, 3.2, 3.0, 2.8, 2.6, 2.4, 2.2, 2.2]),
            ("jumps", [1.9, 3.8, 2.0, 3.6, 2.2, 3.4, 1.9, 3.8, 2.5, 3.0]),
        ] {
            for count in [2, 3, 5, 7, 10] {
                let mut random = ChaCha8Rng::seed_from_u64(7);
                let mut frames: Vec<_> =
                    seeing[..count].iter().map(|fwhm| frame(&mut random, *fwhm, &STARS)).collect();
                let mut plain = Image::zeros(SHAPE);
                for frame in &frames {
                    plain += &frame.data;
                }
                plain /= count as f32;
                let plain = CalibratedImage { data: plain, ..frames[0].clone() };
                for frame in &mut frames {
                    add_cosmic_rays(&mut random, frame, 2);
                }
                let image = stack_of(&frames).image();
                for &(x, y, flux) in &STARS[1..] {
                    let ratio = aperture(&image, x, y) / aperture(&plain, x, y);
                    // Rejection of noise and cosmic rays in the aperture leaves about one sigma of its sky.
                    let tolerance = 0.01_f64.max(3.0 * SKY_NOISE * 16.0 / flux);
                    assert!((ratio - 1.0).abs() < tolerance, "{name} {count} {flux}: {ratio}");
                }
            }
        }
    }

    #[test]
    fn few_frames_are_sensible() {
        let flat = |value: f32| CalibratedImage {
            data: Image::from_elem(SHAPE, value),
            variance: Image::from_elem(SHAPE, 1.0),
            mask: Mask::zeros(SHAPE),
        };
        let mut stack = RunningStack::new(SHAPE, 4.0);
        assert!(stack.image().mask.iter().all(|bits| *bits == mask_bits::NO_DATA));
        stack.add(&StackInput { image: &flat(50.0), scale: 2.0, weight: 1.0 });
        assert_eq!((stack.image().data[(3, 3)], stack.image().variance[(3, 3)]), (100.0, 4.0));
        // Two that disagree wildly: the lower, because disturbances add light.
        let mut disagreeing = flat(100.0);
        disagreeing.data[(3, 3)] = 900.0;
        disagreeing.data[(9, 9)] = 101.0;
        stack.add(&StackInput { image: &disagreeing, scale: 1.0, weight: 1.0 });
        let image = stack.image();
        assert_eq!(image.data[(3, 3)], 100.0);
        assert_eq!(image.data[(9, 9)], 100.5);
        let depth = stack.depth_map();
        assert_eq!((depth.frames[(3, 3)], depth.frames[(9, 9)]), (1, 2));
        assert_eq!(depth.weight[(9, 9)], 2.0);
    }

    #[test]
    fn weights_and_scales_count() {
        let constant = |value: f32, variance: f32| CalibratedImage {
            data: Image::from_elem(SHAPE, value),
            variance: Image::from_elem(SHAPE, variance),
            mask: Mask::zeros(SHAPE),
        };
        let mut stack = RunningStack::new(SHAPE, 4.0);
        for _ in 0..4 {
            stack.add(&StackInput { image: &constant(10.0, 1.0), scale: 1.0, weight: 3.0 });
            stack.add(&StackInput { image: &constant(5.5, 0.75), scale: 2.0, weight: 1.0 });
        }
        let image = stack.image();
        assert!((image.data[(5, 5)] - 10.25).abs() < 1e-5);
        // (4·9·1 + 4·1·3) / (4·4)² = 0.1875
        assert!((image.variance[(5, 5)] - 0.1875).abs() < 1e-6);
    }

    #[test]
    fn dithered_and_masked_pixels_count_for_themselves() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut stack = RunningStack::new(SHAPE, 4.0);
        for number in 0..12 {
            let mut one = frame(&mut random, 2.5, &[]);
            // The first rows are covered by every third frame, the corner by none.
            for ((row, column), bits) in one.mask.indexed_iter_mut() {
                if (row < 10 && number % 3 != 0) || (row < 3 && column < 3) {
                    *bits = mask_bits::NO_DATA;
                }
            }
            one.data[(0, 0)] = f32::NAN;
            one.data[(30, 30)] = 60_000.0;
            one.mask[(30, 30)] = mask_bits::SATURATED;
            stack.add(&input(&one));
        }
        let (image, depth) = (stack.image(), stack.depth_map());
        assert_eq!(depth.frames[(0, 0)], 0);
        assert_eq!(image.mask[(1, 1)], mask_bits::NO_DATA);
        assert_eq!(image.data[(1, 1)], 0.0);
        assert!(depth.frames[(5, 20)] <= 4 && depth.frames[(5, 20)] >= 3);
        assert!(depth.frames[(40, 20)] >= 11);
        // Saturated in every frame: the value stays, and so does the bit.
        assert_eq!(image.mask[(30, 30)], mask_bits::SATURATED);
        assert_eq!(image.data[(30, 30)], 60_000.0);
        assert_eq!(depth.frames[(30, 30)], 0);
        assert!(image.data.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn a_wrong_start_is_given_up() {
        let constant = |value: f32| CalibratedImage {
            data: Image::from_elem(SHAPE, value),
            variance: Image::from_elem(SHAPE, 1.0),
            mask: Mask::zeros(SHAPE),
        };
        let mut stack = RunningStack::new(SHAPE, 4.0);
        for number in 0..30 {
            let value = if number < 6 { -500.0 } else { 0.0 };
            stack.add(&StackInput { image: &constant(value), scale: 1.0, weight: 1.0 });
        }
        assert_eq!(stack.image().data[(7, 7)], 0.0);
    }

    #[test]
    fn what_does_not_fit_is_not_added() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let good = frame(&mut random, 2.5, &[]);
        let mut stack = RunningStack::new((10, 10), 4.0);
        assert!(!stack.add(&input(&good)));
        let mut stack = RunningStack::new(SHAPE, 4.0);
        for (scale, weight) in [(0.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY), (1.0, -1.0)] {
            assert!(!stack.add(&StackInput { image: &good, scale, weight }));
        }
        assert_eq!(stack.frame_count(), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_result_is_the_same_bit_for_bit() {
        assert!(RunningStack::bytes_per_pixel() <= 64);
        let mut random = ChaCha8Rng::seed_from_u64(9);
        let frames: Vec<_> = (0..8).map(|_| frame(&mut random, 2.5, &STARS)).collect();
        assert_eq!(stack_of(&frames).image(), stack_of(&frames).image());
    }
}
