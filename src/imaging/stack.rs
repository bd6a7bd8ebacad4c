//! Incremental stack: a new frame updates the running clipped, weighted mean in constant time.

use super::image::mask_bits;
use super::outlier::{OutlierTest, Suspect, flux_nearby_at};
use super::stack_pixel::{KEPT, Running, Sample};
use super::stack_rows::{Frame, add_row, mark_suspects, show_row};
use super::stack_start::{Judgement, SEGMENT, Segment};
use super::stack_state::{Band, MOST_BYTES_PER_PIXEL, MOST_FRAMES, Phase, StackState, is_running};
use super::{CalibratedImage, Image, Mask, bands};
use ndarray::Array2;
use std::cell::OnceCell;

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

/// What may move into each pixel from those around it, for [`Suspect::nearby`].
struct Surroundings<'a> {
    state: &'a StackState,
    /// Of all pixels, where many are asked for.
    references: Option<Image>,
}

impl Surroundings<'_> {
    fn reference(&self, place: (usize, usize)) -> f32 {
        match &self.references {
            Some(plane) => plane.get(place).copied().unwrap_or(f32::NAN),
            None => self.state.reference(place),
        }
    }

    fn nearby(&self, place: (usize, usize)) -> f32 {
        let shape = (self.state.rows, self.state.columns);
        flux_nearby_at(place, shape, |at| self.reference(at))
    }
}

/// More than one in so many pixels are many: the plane of all costs what a look at so many single ones does.
const MANY: usize = 50;

/// Running stack. Per pixel: the first few values are kept until a robust start is possible, then sums that reject a new value farther
/// than `clip_sigma` from the running mean. Memory is stated by [`RunningStack::bytes_per_pixel`] and told by [`RunningStack::bytes`].
///
/// The tolerance is the noise (that of the value and of the mean, or the scatter seen where that is larger) plus a share
/// of the flux nearby, and near stars an excess that is made up for by a deficit beside it counts as seeing
/// (`outlier::OutlierTest`). Masked pixels are left out; where a pixel is saturated in every frame the saturated
/// values are averaged and the bits stay. The rows are shared out to the cores; what comes out does not depend on how many there are.
#[derive(Debug, Clone)]
pub struct RunningStack {
    clip_sigma: f64,
    state: StackState,
}

impl RunningStack {
    /// An empty stack of `shape` (rows, columns).
    pub fn new(shape: (usize, usize), clip_sigma: f64) -> Self {
        Self { clip_sigma, state: StackState::new(shape) }
    }

    /// The most memory that the state takes, however many frames are added: while the first five are collected. Afterwards it is 19
    /// bytes where means run. While a frame is added and while the image is made, up to three planes of 32 bits come on top.
    pub fn bytes_per_pixel() -> usize {
        MOST_BYTES_PER_PIXEL
    }

    /// Memory that the state takes now.
    pub fn bytes(&self) -> usize {
        self.state.bytes()
    }

    /// Frames added.
    pub fn frame_count(&self) -> usize {
        self.state.frame_count()
    }

    /// Rows, columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.state.rows, self.state.columns)
    }

    /// Adds one frame. Frames must come in the same order for the same result, bit for bit. A frame of another shape, or with
    /// a scale or weight that is not positive and finite, is not added: false. Nor is one after 65 535.
    pub fn add(&mut self, input: &StackInput<'_>) -> bool {
        let shape = self.shape();
        let planes = input.image;
        let same_shape = planes.data.dim() == shape
            && planes.variance.dim() == shape
            && planes.mask.dim() == shape;
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if !same_shape
            || !positive(input.scale)
            || !positive(input.weight)
            || self.frame_count() >= MOST_FRAMES
        {
            return false;
        }
        let frame = Frame::of(input);
        let outliers = self.outliers(&frame);
        let number = self.frame_count() as u16;
        self.state.enlist(frame.weight);
        // Means start when all pixels have been given their values, because the test looks at neighbours.
        let complete = bands::each(self.state.bands(), |mut band| {
            take_rows(&mut band, &frame, &outliers, number)
        });
        if complete.contains(&true) {
            self.start_running();
        }
        true
    }

    /// The good pixels of a frame that are outliers against the running means, in the order of the pixels. Only where a value is
    /// farther off than the noise allows are the surroundings looked at.
    fn outliers(&self, frame: &Frame<'_>) -> Vec<(usize, usize)> {
        let test = self.outlier_test();
        let (rows, columns) = self.shape();
        let surroundings = Surroundings { state: &self.state, references: None };
        let deviation_at = |at: (usize, usize)| {
            (at.0 < rows && at.1 < columns).then(|| frame.value(at) - self.state.reference(at))
        };
        let is_outlier = |place: (usize, usize), sample: Sample| {
            let Some(running) = self.state.running(place) else { return false };
            let suspect = Suspect {
                place,
                deviation: sample.value - running.mean,
                variance: running.tolerance_variance(sample.variance),
                nearby: surroundings.nearby(place),
            };
            test.is_outlier(&suspect, deviation_at)
        };
        let per_band = bands::rows_per_band(rows, columns);
        let firsts: Vec<usize> = (0..rows).step_by(per_band).collect();
        let found = bands::each(firsts, |first| {
            let mut outliers = Vec::new();
            let mut suspects = vec![0; columns];
            for row in first..(first + per_band).min(rows) {
                let input = frame.row(row);
                mark_suspects(self.state.row(row), input, test, &mut suspects);
                for (column, _) in suspects.iter().enumerate().filter(|(_, mark)| **mark != 0) {
                    let known = input.sample(column);
                    if known.is_some_and(|(sample, _)| is_outlier((row, column), sample)) {
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
        self.image_with_depth().0
    }

    /// Total weight and number of frames of each pixel, after rejection. Pixels with nothing but saturated values count none.
    pub fn depth_map(&self) -> DepthMap {
        self.image_with_depth().1
    }

    /// [`Self::image`] and [`Self::depth_map`] in one pass.
    pub fn image_with_depth(&self) -> (CalibratedImage, DepthMap) {
        let shape = self.shape();
        let mut image = CalibratedImage {
            data: Image::zeros(shape),
            variance: Image::zeros(shape),
            mask: Mask::zeros(shape),
        };
        let mut depth = DepthMap { weight: Image::zeros(shape), frames: Array2::zeros(shape) };
        let columns = shape.1.max(1);
        if let (Some(data), Some(variance), Some(mask), Some(weight), Some(frames)) = (
            image.data.as_slice_mut(),
            image.variance.as_slice_mut(),
            image.mask.as_slice_mut(),
            depth.weight.as_slice_mut(),
            depth.frames.as_slice_mut(),
        ) {
            let surroundings = self.surroundings();
            let per_band = bands::rows_per_band(shape.0, columns);
            let band = per_band * columns;
            let values = data.chunks_mut(band).zip(variance.chunks_mut(band));
            let depths = weight.chunks_mut(band).zip(frames.chunks_mut(band));
            let jobs = values.zip(mask.chunks_mut(band)).zip(depths).enumerate();
            bands::each(
                jobs.collect(),
                |(number, (((data, variance), mask), (weight, frames)))| {
                    let values = data.chunks_mut(columns).zip(variance.chunks_mut(columns));
                    let depths = weight.chunks_mut(columns).zip(frames.chunks_mut(columns));
                    let rows = values.zip(mask.chunks_mut(columns)).zip(depths);
                    for (offset, (((data, variance), mask), (weight, frames))) in rows.enumerate() {
                        let row = number * per_band + offset;
                        let shown = ShownRow { data, variance, mask, weight, frames };
                        self.show(row, &surroundings, shown);
                    }
                },
            );
        }
        (image, depth)
    }

    /// One row of the image and its depth.
    fn show(&self, row: usize, surroundings: &Surroundings<'_>, shown: ShownRow<'_>) {
        let running = self.state.row(row);
        shown.weight.copy_from_slice(running.weight);
        shown.frames.copy_from_slice(running.count);
        let codes = running.phase;
        show_row(running, shown.data, shown.variance);
        let mut judged = JudgedSegment::new(&self.state, self.outlier_test());
        for (column, _) in codes.iter().enumerate().filter(|(_, code)| !is_running(**code)) {
            let place = (row, column);
            let phase = self.state.phase(place);
            let of_all = match phase {
                Phase::Collecting(_) => judged.mean_of_all(place),
                _ => None,
            };
            let combined = of_all.or_else(|| self.combined(place, phase, surroundings));
            if let Some(bits) = shown.mask.get_mut(column) {
                *bits = match phase {
                    Phase::Empty => mask_bits::NO_DATA,
                    Phase::Flagged(bits) => bits,
                    Phase::Collecting(_) | Phase::Running => 0,
                };
            }
            let counts = combined.filter(|_| !matches!(phase, Phase::Flagged(_)));
            if let (Some(weight), Some(frames)) =
                (shown.weight.get_mut(column), shown.frames.get_mut(column))
            {
                (*weight, *frames) = counts.map_or((0.0, 0), |sums| (sums.weight, sums.count));
            }
            if let (Some(data), Some(variance), Some(sums)) =
                (shown.data.get_mut(column), shown.variance.get_mut(column), combined)
            {
                (*data, *variance) = (sums.mean, sums.variance / (sums.weight * sums.weight));
            }
        }
    }

    /// A pixel's mean with what has been rejected left out.
    fn combined(
        &self,
        place: (usize, usize),
        phase: Phase,
        surroundings: &Surroundings<'_>,
    ) -> Option<Running> {
        match phase {
            Phase::Empty => None,
            Phase::Flagged(_) | Phase::Running => self.state.running(place),
            Phase::Collecting(_) => self.clipped_mean(place, surroundings),
        }
    }

    /// Where most pixels are still collecting, their references are made together.
    fn surroundings(&self) -> Surroundings<'_> {
        let references = self.state.is_mostly_collecting(MANY).then(|| {
            let mut plane = Image::zeros(self.shape());
            let columns = self.state.columns.max(1);
            if let Some(values) = plane.as_slice_mut() {
                let test = self.outlier_test();
                bands::of_plane(values, columns, 1, |first_row, values| {
                    let mut segment = Segment::default();
                    for (offset, row) in values.chunks_mut(columns).enumerate() {
                        let row_number = first_row + offset;
                        for (number, values) in row.chunks_mut(SEGMENT).enumerate() {
                            let left = number * SEGMENT;
                            self.state.segment((row_number, left), &mut segment);
                            let judgement = segment.judge(test);
                            for (pixel, value) in values.iter_mut().enumerate() {
                                let is_kept = segment.counts[pixel] > 0;
                                *value = if is_kept {
                                    judgement.centre[pixel]
                                } else {
                                    self.state.reference((row_number, left + pixel))
                                };
                            }
                        }
                    }
                });
            }
            plane
        });
        Surroundings { state: &self.state, references }
    }

    fn outlier_test(&self) -> OutlierTest {
        OutlierTest { clip_sigma: self.clip_sigma as f32 }
    }

    /// The mean of a collecting pixel's samples that agree with the reference, which is one of them.
    fn clipped_mean(
        &self,
        place: (usize, usize),
        surroundings: &Surroundings<'_>,
    ) -> Option<Running> {
        let kept = self.state.samples(place)?;
        let samples = kept.as_slice();
        let centre = surroundings.reference(place);
        let central = samples.iter().find(|sample| sample.value == centre)?;
        let test = self.outlier_test();
        let nearby = OnceCell::new();
        let agrees = |(slot, sample): &(usize, &Sample)| {
            let deviation = sample.value - centre;
            // The noise of the quieter of the two: a cosmic ray's own photon noise must not excuse it.
            let variance = sample.variance.min(central.variance) + central.variance;
            if test.is_within_noise(deviation, variance) {
                return true;
            }
            let nearby = *nearby.get_or_init(|| surroundings.nearby(place));
            let suspect = Suspect { place, deviation, variance, nearby };
            !test.is_outlier(&suspect, |at| self.deviation_of_slot(at, *slot))
        };
        let mut agreeing = samples.iter().enumerate().filter(agrees).map(|(_, sample)| *sample);
        let mut running = Running::first(agreeing.next()?);
        agreeing.for_each(|sample| running.add(sample));
        Some(running)
    }

    /// How far the value in a slot lies from the mean of the other slots. (Not from the reference: the lower of two
    /// values is too low everywhere in a star whose shape changes, and all light would look new.)
    fn deviation_of_slot(&self, place: (usize, usize), slot: usize) -> Option<f32> {
        let kept = self.state.samples(place)?;
        let samples = kept.as_slice();
        let value = samples.get(slot)?.value;
        let others = samples.len().checked_sub(1).filter(|others| *others > 0)?;
        let sum: f32 = samples.iter().map(|sample| sample.value).sum();
        Some(value - (sum - value) / others as f32)
    }

    /// Turns full sets of samples into running means. Those that do not agree are looked at first, with the values of their neighbours.
    fn start_running(&mut self) {
        let test = self.outlier_test();
        let (rows, columns) = self.shape();
        let surroundings = self.surroundings();
        let per_band = bands::rows_per_band(rows, columns);
        let firsts: Vec<usize> = (0..rows).step_by(per_band).collect();
        let disagreeing = bands::each(firsts, |first| {
            let mut segment = Segment::default();
            let mut found = Vec::new();
            for row in first..(first + per_band).min(rows) {
                for left in (0..columns).step_by(SEGMENT) {
                    self.state.segment((row, left), &mut segment);
                    if !segment.counts.iter().any(|count| usize::from(*count) == KEPT) {
                        continue;
                    }
                    let judgement = segment.judge(test);
                    let each = segment.counts.iter().zip(&judgement.agrees).enumerate();
                    for (pixel, _) in each.filter(|(_, (count, agrees))| {
                        usize::from(**count) == KEPT && **agrees == 0
                    }) {
                        let place = (row, left + pixel);
                        found.extend(
                            self.clipped_mean(place, &surroundings).map(|sums| (place, sums)),
                        );
                    }
                }
            }
            found
        });
        drop(surroundings);
        let disagreeing = disagreeing.concat();
        bands::each(self.state.bands(), |mut band| {
            band.start_agreeing(test);
            let (top, end) = (band.first_row, band.first_row + band.rows());
            let first = disagreeing.partition_point(|(place, _)| place.0 < top);
            for ((row, column), running) in disagreeing.iter().skip(first) {
                if *row >= end {
                    break;
                }
                band.start((row - top, *column), *running);
            }
            band.drop_tiles();
        });
    }
}

/// The segment of pixels looked at last, with what its values say: neighbours are asked for one after the other.
struct JudgedSegment<'a> {
    state: &'a StackState,
    test: OutlierTest,
    segment: Segment,
    last: Option<((usize, usize), Judgement)>,
}

impl<'a> JudgedSegment<'a> {
    fn new(state: &'a StackState, test: OutlierTest) -> Self {
        Self { state, test, segment: Segment::default(), last: None }
    }

    /// The mean of all values kept of a pixel, where they agree within the noise.
    fn mean_of_all(&mut self, (row, column): (usize, usize)) -> Option<Running> {
        let start = (row, column / SEGMENT * SEGMENT);
        if self.last.as_ref().is_none_or(|(at, _)| *at != start) {
            self.state.segment(start, &mut self.segment);
            self.last = Some((start, self.segment.judge(self.test)));
        }
        self.last.as_ref()?.1.mean_of_all(column % SEGMENT)
    }
}

/// One row of what a stack shows.
struct ShownRow<'a> {
    data: &'a mut [f32],
    variance: &'a mut [f32],
    mask: &'a mut [u8],
    weight: &'a mut [f32],
    frames: &'a mut [u16],
}

/// Gives the pixels of a band their values of a frame. Whether all values are there now that a mean starts with, at any pixel. `outliers` is in the
/// order of the pixels.
fn take_rows(
    band: &mut Band<'_>,
    frame: &Frame<'_>,
    outliers: &[(usize, usize)],
    number: u16,
) -> bool {
    let mut is_complete = false;
    let mut left_out = vec![0; frame.columns];
    let mut codes = Vec::with_capacity(frame.columns);
    for row in 0..band.rows() {
        let absolute = band.first_row + row;
        let input = frame.row(absolute);
        let first = outliers.partition_point(|place| place.0 < absolute);
        let of_row = outliers.iter().skip(first).take_while(|place| place.0 == absolute);
        for &(_, column) in of_row.clone() {
            left_out[column] = 1;
        }
        let running = band.row(row);
        codes.clear();
        codes.extend_from_slice(running.phase);
        add_row(running, input, &left_out);
        for (column, _) in codes.iter().enumerate().filter(|(_, code)| !is_running(**code)) {
            let Some((sample, bits)) = input.sample(column) else { continue };
            if bits != 0 {
                band.take_flagged((row, column), sample, bits);
            } else {
                is_complete |= band.collect((row, column), sample, number);
            }
        }
        for &(_, column) in of_row {
            left_out[column] = 0;
            if let Some((sample, _)) = input.sample(column) {
                band.reject((row, column), sample);
            }
        }
    }
    is_complete
}
