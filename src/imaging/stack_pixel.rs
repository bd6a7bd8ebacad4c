//! What a running stack remembers of one pixel.

use super::image::mask_bits;

/// Values kept at a pixel before its running mean starts: with five, two outliers are outvoted.
pub(super) const KEPT: usize = 5;
/// From so many values on, their scatter is known well enough to widen the tolerance.
const SCATTER_MINIMUM: u16 = 5;

/// A value with its variance and weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) value: f32,
    pub(super) variance: f32,
    pub(super) weight: f32,
}

/// Weighted sums of the values taken so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Running {
    pub(super) mean: f32,
    pub(super) weight: f32,
    /// Σ w (x − mean)².
    pub(super) deviation: f32,
    /// Σ w² σ².
    pub(super) variance: f32,
    pub(super) count: u16,
    pub(super) rejected_in_a_row: u8,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pixel {
    Empty,
    /// Nothing but saturated or bled-into values: a mean that is shown with its bits until a good value comes.
    Flagged {
        running: Running,
        bits: u8,
    },
    Collecting {
        samples: [Sample; KEPT],
        count: u8,
    },
    Running(Running),
}

impl Pixel {
    pub(super) fn first(sample: Sample) -> Self {
        let mut samples = [Sample { value: 0.0, variance: 0.0, weight: 0.0 }; KEPT];
        samples[0] = sample;
        Self::Collecting { samples, count: 1 }
    }

    /// A saturated value is better than a hole in the middle of a star, as long as it says what it is.
    pub(super) fn take_flagged(&mut self, sample: Sample, bits: u8) {
        const BRIGHT: u8 = mask_bits::SATURATED | mask_bits::BLEED;
        if bits & BRIGHT == 0 || bits & !BRIGHT != 0 {
            return;
        }
        match self {
            Self::Empty => *self = Self::Flagged { running: Running::first(sample), bits },
            Self::Flagged { running, bits: all } => {
                running.add(sample);
                *all |= bits;
            }
            Self::Collecting { .. } | Self::Running(_) => {}
        }
    }
}

impl Running {
    pub(super) fn first(sample: Sample) -> Self {
        Self {
            mean: sample.value,
            weight: sample.weight,
            deviation: 0.0,
            variance: sample.weight * sample.weight * sample.variance,
            count: 1,
            rejected_in_a_row: 0,
        }
    }

    /// West (1979, Comm. ACM 22, 532): stable updates of a weighted mean and its sum of squares.
    pub(super) fn add(&mut self, sample: Sample) {
        self.weight += sample.weight;
        let difference = sample.value - self.mean;
        let step = difference * sample.weight / self.weight;
        self.mean += step;
        self.deviation += sample.weight * difference * (sample.value - self.mean);
        self.variance += sample.weight * sample.weight * sample.variance;
        self.count = self.count.saturating_add(1);
    }

    /// Variance of the difference between a new value and the mean. The value's own variance is not taken above
    /// that of the values so far by more than the scatter allows: the photon noise of a cosmic ray must not excuse it.
    pub(super) fn tolerance_variance(&self, sample_variance: f32) -> f32 {
        let of_mean = self.variance / (self.weight * self.weight);
        let typical = of_mean * f32::from(self.count);
        let propagated = sample_variance.min(4.0 * typical);
        let scatter =
            if self.count >= SCATTER_MINIMUM { self.deviation / self.weight } else { 0.0 };
        propagated.max(scatter) + of_mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: f32, weight: f32) -> Sample {
        Sample { value, variance: 1.0 / weight, weight }
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        let samples = [sample(10.0, 1.0), sample(12.0, 2.0), sample(7.0, 0.5), sample(11.0, 4.0)];
        let mut running = Running::first(samples[0]);
        samples[1..].iter().for_each(|sample| running.add(*sample));
        let total: f32 = samples.iter().map(|sample| sample.weight).sum();
        let mean = samples.iter().map(|s| s.weight * s.value).sum::<f32>() / total;
        let deviation: f32 = samples.iter().map(|s| s.weight * (s.value - mean).powi(2)).sum();
        assert!((running.mean - mean).abs() < 1e-5);
        assert!((running.deviation - deviation).abs() < 1e-4);
        // Weights of 1 / variance: Σ w² σ² is the sum of the weights.
        assert!((running.variance - total).abs() < 1e-5);
        assert_eq!((running.weight, running.count), (total, 4));
    }

    #[test]
    fn the_noise_of_a_cosmic_ray_does_not_excuse_it() {
        let mut running = Running::first(sample(0.0, 0.01));
        (0..9).for_each(|_| running.add(sample(0.0, 0.01)));
        // Ten values of variance 100: 10 for the mean, and no more than four times 100 for the new value.
        assert!((running.tolerance_variance(100.0) - 110.0).abs() < 1e-3);
        assert!((running.tolerance_variance(1e6) - 410.0).abs() < 1e-3);
    }

    #[test]
    fn only_saturated_values_are_kept_with_their_bits() {
        let mut pixel = Pixel::Empty;
        pixel.take_flagged(sample(5.0, 1.0), mask_bits::COSMIC);
        pixel.take_flagged(sample(5.0, 1.0), mask_bits::SATURATED | mask_bits::NO_DATA);
        assert_eq!(pixel, Pixel::Empty);
        pixel.take_flagged(sample(5.0, 1.0), mask_bits::SATURATED);
        pixel.take_flagged(sample(7.0, 1.0), mask_bits::BLEED);
        let Pixel::Flagged { running, bits } = pixel else { panic!("{pixel:?}") };
        assert_eq!((running.mean, bits), (6.0, mask_bits::SATURATED | mask_bits::BLEED));
        let mut good = Pixel::first(sample(1.0, 1.0));
        good.take_flagged(sample(5.0, 1.0), mask_bits::SATURATED);
        assert_eq!(good, Pixel::first(sample(1.0, 1.0)));
    }
}
