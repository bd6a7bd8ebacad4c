//! What a running stack remembers of one pixel.

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
}

/// The middle one of the first `count` values, of an even number the lower of the two in the middle; the others are infinite.
pub(super) fn lower_median(mut values: [f32; KEPT], count: usize) -> f32 {
    // A sorting network of nine exchanges (Knuth, The Art of Computer Programming 3, 5.3.4).
    const EXCHANGES: [(usize, usize); 9] =
        [(0, 3), (1, 4), (0, 2), (1, 3), (0, 1), (2, 4), (1, 2), (3, 4), (2, 3)];
    for (low, high) in EXCHANGES {
        let (left, right) = (values[low], values[high]);
        (values[low], values[high]) = (left.min(right), left.max(right));
    }
    values.get(count.saturating_sub(1) / 2).copied().unwrap_or(f32::NAN)
}

impl Running {
    pub(super) fn first(sample: Sample) -> Self {
        Self {
            mean: sample.value,
            weight: sample.weight,
            deviation: 0.0,
            variance: sample.weight * sample.weight * sample.variance,
            count: 1,
        }
    }

    /// West (1979, Comm. ACM 22, 532): stable updates of a weighted mean and its sum of squares.
    #[inline(always)]
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
    #[inline(always)]
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
    fn the_middle_of_up_to_five_values() {
        // By 0 and 1, which prove a sorting network for all values.
        for bits in 0..32_u32 {
            let values = std::array::from_fn(|slot| (bits >> slot & 1) as f32);
            assert_eq!(lower_median(values, KEPT), if bits.count_ones() > 2 { 1.0 } else { 0.0 });
        }
        let infinite = f32::INFINITY;
        assert_eq!(lower_median([7.0, 3.0, 9.0, 5.0, infinite], 4), 5.0);
        assert_eq!(lower_median([7.0, 3.0, infinite, infinite, infinite], 2), 3.0);
    }
}
