//! The start of running means: of the values kept of many pixels at once, the median, whether all agree with it, and their mean.

use super::outlier::OutlierTest;
use super::stack_pixel::{KEPT, Running, Sample, lower_median};
use super::widest::widest;

/// Neighbouring pixels of a row that are looked at together.
pub(super) const SEGMENT: usize = 64;

/// The values kept of neighbouring pixels: by slot, then by pixel. Slots without a value hold infinity, no variance and no weight.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) values: [[f32; SEGMENT]; KEPT],
    pub(super) variances: [[f32; SEGMENT]; KEPT],
    pub(super) weights: [[f32; SEGMENT]; KEPT],
    /// Values of each pixel; zero where none are kept.
    pub(super) counts: [u8; SEGMENT],
}

/// What the values of each pixel say.
#[derive(Debug, Clone)]
pub(super) struct Judgement {
    /// The median; infinite where none are kept.
    pub(super) centre: [f32; SEGMENT],
    /// 1 where the noise explains how far each value is from the median.
    pub(super) agrees: [u8; SEGMENT],
    mean: [f32; SEGMENT],
    weight: [f32; SEGMENT],
    deviation: [f32; SEGMENT],
    variance: [f32; SEGMENT],
    counts: [u8; SEGMENT],
}

impl Default for Segment {
    fn default() -> Self {
        Self {
            values: [[f32::INFINITY; SEGMENT]; KEPT],
            variances: [[0.0; SEGMENT]; KEPT],
            weights: [[0.0; SEGMENT]; KEPT],
            counts: [0; SEGMENT],
        }
    }
}

impl Segment {
    pub(super) fn judge(&self, test: OutlierTest) -> Judgement {
        let mut judgement = Judgement {
            centre: [f32::INFINITY; SEGMENT],
            agrees: [0; SEGMENT],
            mean: [0.0; SEGMENT],
            weight: [0.0; SEGMENT],
            deviation: [0.0; SEGMENT],
            variance: [0.0; SEGMENT],
            counts: self.counts,
        };
        judge(self, test, &mut judgement);
        judgement
    }
}

impl Judgement {
    /// The mean of all values of a pixel, where they agree.
    pub(super) fn mean_of_all(&self, pixel: usize) -> Option<Running> {
        let agrees = *self.agrees.get(pixel)? == 1 && *self.counts.get(pixel)? > 0;
        agrees.then_some(Running {
            mean: *self.mean.get(pixel)?,
            weight: *self.weight.get(pixel)?,
            deviation: *self.deviation.get(pixel)?,
            variance: *self.variance.get(pixel)?,
            count: u16::from(*self.counts.get(pixel)?),
        })
    }
}

widest! {
    /// Loops of one purpose each: such the compiler makes into vectors.
    fn judge<'a>(segment: &'a Segment, test: OutlierTest, judgement: &'a mut Judgement) -> () {
        let Segment { values, variances, weights, counts } = segment;
        let [first, second, third, fourth, fifth] = values;
        let slots = first.iter().zip(second).zip(third.iter().zip(fourth)).zip(fifth);
        for ((centre, (((a, b), (c, d)), e)), count) in
            judgement.centre.iter_mut().zip(slots).zip(counts)
        {
            *centre = lower_median([*a, *b, *c, *d, *e], *count);
        }
        // That of the first value which is the median.
        let mut central = [0.0_f32; SEGMENT];
        for (values, variances) in values.iter().zip(variances).rev() {
            let slot = values.iter().zip(variances).zip(&judgement.centre);
            for (central, ((value, variance), centre)) in central.iter_mut().zip(slot) {
                *central = if value == centre { *variance } else { *central };
            }
        }
        let mut far = [0.0_f32; SEGMENT];
        for ((values, variances), weights) in values.iter().zip(variances).zip(weights) {
            let slot = values.iter().zip(variances).zip(weights);
            let middle = judgement.centre.iter().zip(&central);
            for (far, (((value, variance), weight), (centre, central))) in
                far.iter_mut().zip(slot.zip(middle))
            {
                let within = test.is_within_noise(value - centre, variance.min(*central) + central);
                *far += if within | (*weight == 0.0) { 0.0 } else { 1.0 };
            }
        }
        for (agrees, far) in judgement.agrees.iter_mut().zip(&far) {
            *agrees = u8::from(*far == 0.0);
        }
        judgement.mean = values[0];
        judgement.weight = weights[0];
        for ((sum, variance), weight) in
            judgement.variance.iter_mut().zip(&variances[0]).zip(&weights[0])
        {
            *sum = weight * weight * variance;
        }
        for ((values, variances), weights) in values.iter().zip(variances).zip(weights).skip(1) {
            let sums = judgement.mean.iter_mut().zip(&mut judgement.weight);
            let squares = judgement.deviation.iter_mut().zip(&mut judgement.variance);
            let slot = values.iter().zip(variances).zip(weights);
            for (((mean, weight), (deviation, variance)), ((value, noise), own)) in
                sums.zip(squares).zip(slot)
            {
                let mut sums = Running {
                    mean: *mean,
                    weight: *weight,
                    deviation: *deviation,
                    variance: *variance,
                    count: 0,
                };
                sums.add_if(*own > 0.0, Sample { value: *value, variance: *noise, weight: *own });
                (*mean, *weight) = (sums.mean, sums.weight);
                (*deviation, *variance) = (sums.deviation, sums.variance);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_says_of_each_pixel_what_its_values_alone_would() {
        let mut segment = Segment::default();
        for pixel in 0..SEGMENT {
            let count = pixel % (KEPT + 1);
            segment.counts[pixel] = count as u8;
            for slot in 0..count {
                segment.values[slot][pixel] = ((pixel * 7 + slot * 13) % 11) as f32;
                segment.variances[slot][pixel] = 1.0 + slot as f32;
                segment.weights[slot][pixel] = 1.0 + (slot % 2) as f32;
            }
        }
        segment.values[2][5 + 6] = 500.0;
        let judgement = segment.judge(OutlierTest { clip_sigma: 9.0 });
        for pixel in 0..SEGMENT {
            let count = usize::from(segment.counts[pixel]);
            let samples: Vec<Sample> = (0..count)
                .map(|slot| Sample {
                    value: segment.values[slot][pixel],
                    variance: segment.variances[slot][pixel],
                    weight: segment.weights[slot][pixel],
                })
                .collect();
            let Some((first, others)) = samples.split_first() else {
                assert_eq!(judgement.mean_of_all(pixel), None);
                continue;
            };
            let mut sorted: Vec<f32> = samples.iter().map(|sample| sample.value).collect();
            sorted.sort_by(f32::total_cmp);
            assert_eq!(judgement.centre[pixel], sorted[(count - 1) / 2]);
            let mut running = Running::first(*first);
            others.iter().for_each(|sample| running.add(*sample));
            let expected = (pixel != 11).then_some(running);
            assert_eq!(judgement.mean_of_all(pixel), expected, "{pixel}");
        }
    }
}
