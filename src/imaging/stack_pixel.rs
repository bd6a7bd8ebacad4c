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

/// The middle one of `count` values, of an even number the lower of the two in the middle, because what disturbs a frame adds light; the others are
/// infinite, and so is the middle of none.
#[inline(always)]
pub(super) fn lower_median(values: [f32; KEPT], count: u8) -> f32 {
    // A sorting network of nine exchanges (Knuth, The Art of Computer Programming 3, 5.3.4).
    let exchange = |left: f32, right: f32| {
        let is_sorted = left <= right;
        (if is_sorted { left } else { right }, if is_sorted { right } else { left })
    };
    let [a, b, c, d, e] = values;
    let (a, d) = exchange(a, d);
    let (b, e) = exchange(b, e);
    let (a, c) = exchange(a, c);
    let (b, d) = exchange(b, d);
    let (a, b) = exchange(a, b);
    let (c, e) = exchange(c, e);
    let (b, c) = exchange(b, c);
    let (d, _) = exchange(d, e);
    let c = if c <= d { c } else { d };
    let low = if count <= 2 { a } else { b };
    if count <= 4 { low } else { c }
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

    /// [`Self::add`] where `takes`, without a branch; the same to the last bit.
    #[inline(always)]
    pub(super) fn add_if(&mut self, takes: bool, sample: Sample) {
        let weight = if takes { sample.weight } else { 0.0 };
        let value = if takes { sample.value } else { self.mean };
        let variance = if takes { sample.variance } else { 0.0 };
        self.weight += weight;
        let difference = value - self.mean;
        // A pixel without any weight must not become nothing by nothing.
        let total = if self.weight > 0.0 { self.weight } else { 1.0 };
        self.mean += difference * weight / total;
        self.deviation += weight * difference * (value - self.mean);
        self.variance += weight * weight * variance;
        self.count = self.count.saturating_add(u16::from(takes));
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
            for (count, rank) in [(5, 2), (4, 1), (3, 1), (2, 0), (1, 0)] {
                let zeros = 5 - bits.count_ones();
                let expected = if zeros > rank { 0.0 } else { 1.0 };
                assert_eq!(lower_median(values, count), expected, "{bits:b} {count}");
            }
        }
        let infinite = f32::INFINITY;
        assert_eq!(lower_median([7.0, 3.0, 9.0, 5.0, infinite], 4), 5.0);
        assert_eq!(lower_median([7.0, 3.0, infinite, infinite, infinite], 2), 3.0);
    }

    #[test]
    fn without_a_branch_it_is_the_same_sum() {
        let mut branching = Running::first(sample(3.0, 0.7));
        let mut other = branching;
        for (value, weight) in [(2.5, 0.3), (f32::NAN, 0.0), (3.7, 1.3), (f32::INFINITY, 0.0)] {
            let takes = weight > 0.0;
            if takes {
                branching.add(sample(value, weight));
            }
            other.add_if(takes, sample(value, weight));
            assert_eq!(branching, other);
        }
    }
}
