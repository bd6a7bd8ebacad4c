//! What a running stack does to whole rows, in wide vectors.

use super::image::row_major;
use super::outlier::OutlierTest;
use super::stack::StackInput;
use super::stack_pixel::{Running, Sample};
use super::stack_state::{RunningRow, RunningRowMut, is_running, without_rejections};
use super::widest::widest;
use std::borrow::Cow;

/// The planes of a frame row after row, and what brings them to the flux scale of the stack.
pub(super) struct Frame<'a> {
    pub(super) columns: usize,
    data: Cow<'a, [f32]>,
    variance: Cow<'a, [f32]>,
    mask: Cow<'a, [u8]>,
    scale: f32,
    pub(super) weight: f32,
}

impl<'a> Frame<'a> {
    pub(super) fn of(input: &StackInput<'a>) -> Self {
        Self {
            columns: input.image.data.ncols(),
            data: row_major(&input.image.data),
            variance: row_major(&input.image.variance),
            mask: row_major(&input.image.mask),
            scale: input.scale as f32,
            weight: input.weight as f32,
        }
    }

    pub(super) fn row(&self, row: usize) -> FrameRow<'_> {
        let start = (row * self.columns).min(self.data.len());
        let span = start..(start + self.columns).min(self.data.len());
        FrameRow {
            data: self.data.get(span.clone()).unwrap_or_default(),
            variance: self.variance.get(span.clone()).unwrap_or_default(),
            mask: self.mask.get(span).unwrap_or_default(),
            scale: self.scale,
            weight: self.weight,
        }
    }

    /// The value of a pixel in the stack's flux scale; NaN off the image.
    pub(super) fn value(&self, (row, column): (usize, usize)) -> f32 {
        let index = (column < self.columns).then_some(row * self.columns + column);
        index.and_then(|index| self.data.get(index)).map_or(f32::NAN, |value| value * self.scale)
    }
}

/// One row of a frame.
#[derive(Clone, Copy)]
pub(super) struct FrameRow<'a> {
    data: &'a [f32],
    variance: &'a [f32],
    mask: &'a [u8],
    scale: f32,
    weight: f32,
}

impl FrameRow<'_> {
    /// A pixel in the stack's flux scale, with its bits; `None` where it is not a number with an error.
    pub(super) fn sample(&self, column: usize) -> Option<(Sample, u8)> {
        let value = self.data.get(column)? * self.scale;
        let variance = self.variance.get(column)? * self.scale * self.scale;
        let is_known = value.is_finite() && variance.is_finite() && variance >= 0.0;
        is_known
            .then_some((Sample { value, variance, weight: self.weight }, *self.mask.get(column)?))
    }
}

widest! {
    /// Marks the good pixels that are farther from their running means than noise explains.
    pub(super) fn mark_suspects<'a>(
        running: RunningRow<'a>,
        frame: FrameRow<'a>,
        test: OutlierTest,
        suspects: &'a mut [u8],
    ) -> () {
        let sums = running.mean.iter().zip(running.weight).zip(running.deviation);
        let sums = sums.zip(running.variance).zip(running.count.iter().zip(running.phase));
        let inputs = frame.data.iter().zip(frame.variance).zip(frame.mask);
        for (suspect, (sums, input)) in suspects.iter_mut().zip(sums.zip(inputs)) {
            let ((((mean, weight), deviation), variance), (count, phase)) = sums;
            let ((value, noise), bits) = input;
            let value = value * frame.scale;
            let noise = noise * frame.scale * frame.scale;
            let sums = Running {
                mean: *mean,
                weight: *weight,
                deviation: *deviation,
                variance: *variance,
                count: *count,
            };
            let within =
                test.is_within_noise(value - mean, sums.tolerance_variance(noise));
            let is_good = is_running(*phase) & (*bits == 0) & value.is_finite() & noise.is_finite();
            *suspect = u8::from(is_good & !within);
        }
    }
}

widest! {
    /// Takes the good values that are not left out into the running means.
    pub(super) fn add_row<'a>(
        running: RunningRowMut<'a>,
        frame: FrameRow<'a>,
        left_out: &'a [u8],
    ) -> () {
        let sums = running.mean.iter_mut().zip(running.weight).zip(running.deviation);
        let sums = sums.zip(running.variance).zip(running.count.iter_mut().zip(running.phase));
        let inputs = frame.data.iter().zip(frame.variance).zip(frame.mask).zip(left_out);
        for (sums, input) in sums.zip(inputs) {
            let ((((mean, weight), deviation), variance), (count, phase)) = sums;
            let (((value, noise), bits), left_out) = input;
            let value = value * frame.scale;
            let noise = noise * frame.scale * frame.scale;
            let takes = is_running(*phase)
                & ((*bits | *left_out) == 0)
                & value.is_finite()
                & noise.is_finite()
                & (noise >= 0.0);
            let mut sums = Running {
                mean: *mean,
                weight: *weight,
                deviation: *deviation,
                variance: *variance,
                count: *count,
            };
            sums.add_if(takes, Sample { value, variance: noise, weight: frame.weight });
            (*mean, *weight) = (sums.mean, sums.weight);
            (*deviation, *variance, *count) = (sums.deviation, sums.variance, sums.count);
            // Forgets the rejections before.
            *phase = if takes { without_rejections(*phase) } else { *phase };
        }
    }
}

widest! {
    /// Mean and variance of the mean of the pixels that are running.
    pub(super) fn show_row<'a>(running: RunningRow<'a>, data: &'a mut [f32], variance: &'a mut [f32]) -> () {
        let sums = running.mean.iter().zip(running.weight).zip(running.variance).zip(running.phase);
        for ((data, noise), sums) in data.iter_mut().zip(variance).zip(sums) {
            let (((mean, weight), variance), phase) = sums;
            let is_shown = is_running(*phase);
            *data = if is_shown { *mean } else { 0.0 };
            *noise = if is_shown { variance / (weight * weight) } else { 0.0 };
        }
    }
}
