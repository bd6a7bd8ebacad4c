//! What a running stack remembers of its pixels: planes of what every pixel has, and tiles of the values kept where a mean has
//! not started yet.

use super::bands;
use super::image::mask_bits;
use super::outlier::OutlierTest;
use super::stack_pixel::{KEPT, Running, Sample, lower_median};
use super::stack_start::{SEGMENT, Segment};
use super::stack_tiles::{MORE, SegmentSource, TILE, TILE_PIXELS, Tile, in_tile};

/// Added to this, the number of rejections in a row.
const RUNNING: u8 = 0x40;
/// Added to this, the bits of the values.
const FLAGGED: u8 = 0x80;
pub(super) const KIND: u8 = RUNNING | FLAGGED;
/// As many rejections in a row mean that the mean is wrong, not the frames: the pixel starts again.
const REJECTIONS_TO_RESTART: u8 = 6;
/// Frames are numbered in sixteen bits.
pub(super) const MOST_FRAMES: usize = u16::MAX as usize;

/// What is known at a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Phase {
    Empty,
    /// So many values are kept.
    Collecting(usize),
    Running,
    /// Nothing but saturated or bled-into values: a mean that is shown with its bits until a good value comes.
    Flagged(u8),
}

impl Phase {
    fn of(code: u8) -> Self {
        match code & KIND {
            0 if code == 0 => Self::Empty,
            0 => Self::Collecting(usize::from(code)),
            RUNNING => Self::Running,
            _ => Self::Flagged(code & !KIND),
        }
    }
}

/// Whether a pixel has a running mean, from its code.
#[inline(always)]
pub(super) fn is_running(code: u8) -> bool {
    code & KIND == RUNNING
}

/// The code of a running pixel whose values agree again.
#[inline(always)]
pub(super) fn without_rejections(code: u8) -> u8 {
    code & KIND
}

/// The values kept of a pixel, in the order they came.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptSamples {
    samples: [Sample; KEPT],
    count: usize,
}

impl KeptSamples {
    pub(super) fn as_slice(&self) -> &[Sample] {
        self.samples.get(..self.count).unwrap_or_default()
    }

    /// The middle value; of an even number the lower of the two in the middle, because what disturbs a frame adds light.
    pub(super) fn median(&self) -> f32 {
        let mut values = [f32::INFINITY; KEPT];
        values.iter_mut().zip(self.as_slice()).for_each(|(value, sample)| *value = sample.value);
        lower_median(values, self.count as u8)
    }
}

/// Of one row, what running means are made of.
pub(super) struct RunningRow<'a> {
    pub(super) mean: &'a [f32],
    pub(super) weight: &'a [f32],
    pub(super) deviation: &'a [f32],
    pub(super) variance: &'a [f32],
    pub(super) count: &'a [u16],
    pub(super) phase: &'a [u8],
}

/// The same, to be changed.
pub(super) struct RunningRowMut<'a> {
    pub(super) mean: &'a mut [f32],
    pub(super) weight: &'a mut [f32],
    pub(super) deviation: &'a mut [f32],
    pub(super) variance: &'a mut [f32],
    pub(super) count: &'a mut [u16],
    pub(super) phase: &'a mut [u8],
}

/// Every pixel has 19 bytes; 40 more where a tile holds any that keeps a second value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StackState {
    pub(super) rows: usize,
    pub(super) columns: usize,
    mean: Vec<f32>,
    weight: Vec<f32>,
    deviation: Vec<f32>,
    variance: Vec<f32>,
    count: Vec<u16>,
    phase: Vec<u8>,
    tiles: Vec<Option<Tile>>,
    /// Of each frame.
    weights: Vec<f32>,
}

/// Bytes of a pixel in the planes, and in a tile.
const BYTES_IN_PLANES: usize = 4 * size_of::<f32>() + size_of::<u16>() + size_of::<u8>();
const BYTES_IN_TILE: usize = MORE * (2 * size_of::<f32>() + size_of::<u16>());
/// The most memory that a pixel takes.
pub(super) const MOST_BYTES_PER_PIXEL: usize = BYTES_IN_PLANES + BYTES_IN_TILE;

impl StackState {
    pub(super) fn new((rows, columns): (usize, usize)) -> Self {
        let pixels = rows * columns;
        Self {
            rows,
            columns,
            mean: vec![0.0; pixels],
            weight: vec![0.0; pixels],
            deviation: vec![0.0; pixels],
            variance: vec![0.0; pixels],
            count: vec![0; pixels],
            phase: vec![0; pixels],
            tiles: vec![None; rows.div_ceil(TILE) * columns.div_ceil(TILE)],
            weights: Vec::new(),
        }
    }

    /// Memory held now.
    pub(super) fn bytes(&self) -> usize {
        let tiles = self.tiles.iter().flatten().count();
        self.mean.len() * BYTES_IN_PLANES + tiles * TILE_PIXELS * BYTES_IN_TILE
    }

    pub(super) fn frame_count(&self) -> usize {
        self.weights.len()
    }

    /// Numbers a frame that is added now.
    pub(super) fn enlist(&mut self, weight: f32) {
        self.weights.push(weight);
    }

    /// Row after row.
    fn index(&self, (row, column): (usize, usize)) -> Option<usize> {
        (row < self.rows && column < self.columns).then(|| row * self.columns + column)
    }

    pub(super) fn phase(&self, place: (usize, usize)) -> Phase {
        let code = self.index(place).and_then(|index| self.phase.get(index));
        code.map_or(Phase::Empty, |code| Phase::of(*code))
    }

    /// Whether more than this part of the pixels keep values.
    pub(super) fn is_mostly_collecting(&self, part: usize) -> bool {
        let collecting = self.phase.iter().filter(|code| **code != 0 && **code & KIND == 0).count();
        collecting > self.phase.len() / part
    }

    pub(super) fn row(&self, row: usize) -> RunningRow<'_> {
        let start = (row * self.columns).min(self.mean.len());
        let span = start..(start + self.columns).min(self.mean.len());
        RunningRow {
            mean: self.mean.get(span.clone()).unwrap_or_default(),
            weight: self.weight.get(span.clone()).unwrap_or_default(),
            deviation: self.deviation.get(span.clone()).unwrap_or_default(),
            variance: self.variance.get(span.clone()).unwrap_or_default(),
            count: self.count.get(span.clone()).unwrap_or_default(),
            phase: self.phase.get(span).unwrap_or_default(),
        }
    }

    /// The sums of a pixel, whether it is running, flagged, or neither.
    pub(super) fn running(&self, place: (usize, usize)) -> Option<Running> {
        let index = self.index(place)?;
        Some(Running {
            mean: *self.mean.get(index)?,
            weight: *self.weight.get(index)?,
            deviation: *self.deviation.get(index)?,
            variance: *self.variance.get(index)?,
            count: *self.count.get(index)?,
        })
    }

    /// The values of a collecting pixel.
    pub(super) fn samples(&self, place: (usize, usize)) -> Option<KeptSamples> {
        let index = self.index(place)?;
        let Phase::Collecting(count) = Phase::of(*self.phase.get(index)?) else { return None };
        let mut samples = [Sample { value: 0.0, variance: 0.0, weight: 0.0 }; KEPT];
        samples[0] = Sample {
            value: *self.mean.get(index)?,
            variance: *self.variance.get(index)?,
            weight: *self.weight.get(index)?,
        };
        if count > 1 {
            let (tile, offset) = in_tile(place, self.columns);
            let tile = self.tiles.get(tile)?.as_ref()?;
            for (slot, sample) in samples.iter_mut().skip(1).take(count - 1).enumerate() {
                let at = slot * TILE_PIXELS + offset;
                let frame = usize::from(*tile.frames.get(at)?);
                *sample = Sample {
                    value: *tile.values.get(at)?,
                    variance: *tile.variances.get(at)?,
                    weight: *self.weights.get(frame)?,
                };
            }
        }
        Some(KeptSamples { samples, count: count.min(KEPT) })
    }

    /// The values kept of up to [`SEGMENT`] pixels from a place on, which lies at a multiple of that.
    pub(super) fn segment(&self, place: (usize, usize), segment: &mut Segment) {
        let source = SegmentSource {
            columns: self.columns,
            mean: &self.mean,
            variance: &self.variance,
            weight: &self.weight,
            phase: &self.phase,
            tiles: &self.tiles,
            weights: &self.weights,
        };
        source.fill(place, segment);
    }

    /// A robust first guess of a pixel: the running mean, or the median of the values kept. NaN where there is nothing.
    pub(super) fn reference(&self, place: (usize, usize)) -> f32 {
        match self.phase(place) {
            Phase::Empty => f32::NAN,
            Phase::Running | Phase::Flagged(_) => {
                self.index(place).and_then(|index| self.mean.get(index)).map_or(f32::NAN, |v| *v)
            }
            Phase::Collecting(_) => self.samples(place).map_or(f32::NAN, |kept| kept.median()),
        }
    }

    /// The planes cut into bands of whole rows of tiles, one for each thread.
    pub(super) fn bands(&mut self) -> Vec<Band<'_>> {
        let columns = self.columns.max(1);
        let rows = bands::rows_per_band(self.rows, columns).next_multiple_of(TILE);
        let tiles_across = columns.div_ceil(TILE);
        let pixels = rows * columns;
        let sums = self.mean.chunks_mut(pixels).zip(self.weight.chunks_mut(pixels));
        let squares = self.deviation.chunks_mut(pixels).zip(self.variance.chunks_mut(pixels));
        let states = self.count.chunks_mut(pixels).zip(self.phase.chunks_mut(pixels));
        let tiles = self.tiles.chunks_mut((rows / TILE * tiles_across).max(1));
        let weights = self.weights.as_slice();
        sums.zip(squares)
            .zip(states.zip(tiles))
            .enumerate()
            .map(|(band, (((mean, weight), (deviation, variance)), ((count, phase), tiles)))| {
                Band {
                    first_row: band * rows,
                    columns,
                    mean,
                    weight,
                    deviation,
                    variance,
                    count,
                    phase,
                    tiles,
                    weights,
                }
            })
            .collect()
    }
}

/// Some rows of the state. Places in it count from its first row.
pub(super) struct Band<'a> {
    pub(super) first_row: usize,
    columns: usize,
    mean: &'a mut [f32],
    weight: &'a mut [f32],
    deviation: &'a mut [f32],
    variance: &'a mut [f32],
    count: &'a mut [u16],
    phase: &'a mut [u8],
    tiles: &'a mut [Option<Tile>],
    weights: &'a [f32],
}

impl Band<'_> {
    pub(super) fn rows(&self) -> usize {
        self.mean.len() / self.columns
    }

    pub(super) fn row(&mut self, row: usize) -> RunningRowMut<'_> {
        let start = (row * self.columns).min(self.mean.len());
        let span = start..(start + self.columns).min(self.mean.len());
        RunningRowMut {
            mean: self.mean.get_mut(span.clone()).unwrap_or_default(),
            weight: self.weight.get_mut(span.clone()).unwrap_or_default(),
            deviation: self.deviation.get_mut(span.clone()).unwrap_or_default(),
            variance: self.variance.get_mut(span.clone()).unwrap_or_default(),
            count: self.count.get_mut(span.clone()).unwrap_or_default(),
            phase: self.phase.get_mut(span).unwrap_or_default(),
        }
    }

    /// Takes a good value at a pixel that has no running mean. Whether all are there now that it starts with.
    pub(super) fn collect(&mut self, place: (usize, usize), sample: Sample, frame: u16) -> bool {
        let index = place.0 * self.columns + place.1;
        let Some(code) = self.phase.get_mut(index) else { return false };
        let Phase::Collecting(count) = Phase::of(*code) else {
            self.begin(place, sample);
            return false;
        };
        if count >= KEPT {
            return true;
        }
        *code += 1;
        let (tile, offset) = in_tile(place, self.columns);
        let at = (count - 1) * TILE_PIXELS + offset;
        if let Some(tile) = self.tiles.get_mut(tile) {
            let tile = tile.get_or_insert_with(Tile::new);
            if let (Some(value), Some(variance), Some(number)) =
                (tile.values.get_mut(at), tile.variances.get_mut(at), tile.frames.get_mut(at))
            {
                (*value, *variance, *number) = (sample.value, sample.variance, frame);
            }
        }
        count + 1 == KEPT
    }

    /// Counts a rejection at a pixel with a running mean; after too many in a row it begins anew with this value.
    pub(super) fn reject(&mut self, place: (usize, usize), sample: Sample) {
        let index = place.0 * self.columns + place.1;
        let Some(code) = self.phase.get_mut(index) else { return };
        *code += 1;
        if *code >= RUNNING + REJECTIONS_TO_RESTART {
            self.begin(place, sample);
        }
    }

    /// A saturated value is better than a hole in the middle of a star, as long as it says what it is.
    pub(super) fn take_flagged(&mut self, place: (usize, usize), sample: Sample, bits: u8) {
        const BRIGHT: u8 = mask_bits::SATURATED | mask_bits::BLEED;
        if bits & BRIGHT == 0 || bits & !BRIGHT != 0 {
            return;
        }
        let index = place.0 * self.columns + place.1;
        let Some(code) = self.phase.get(index) else { return };
        match Phase::of(*code) {
            Phase::Empty => self.set(index, Running::first(sample), FLAGGED | bits),
            Phase::Flagged(all) => {
                if let Some(mut running) = self.running(index) {
                    running.add(sample);
                    self.set(index, running, FLAGGED | all | bits);
                }
            }
            Phase::Collecting(_) | Phase::Running => {}
        }
    }

    /// Gives all pixels whose values are all there and agree their running means.
    pub(super) fn start_agreeing(&mut self, test: OutlierTest) {
        let mut segment = Segment::default();
        for row in 0..self.rows() {
            for column in (0..self.columns).step_by(SEGMENT) {
                let start = row * self.columns + column;
                let span = start..start + SEGMENT.min(self.columns - column);
                let codes = self.phase.get(span).unwrap_or_default();
                if !codes.iter().any(|code| usize::from(*code) == KEPT) {
                    continue;
                }
                let source = SegmentSource {
                    columns: self.columns,
                    mean: self.mean,
                    variance: self.variance,
                    weight: self.weight,
                    phase: self.phase,
                    tiles: self.tiles,
                    weights: self.weights,
                };
                source.fill((row, column), &mut segment);
                let judgement = segment.judge(test);
                for pixel in 0..SEGMENT.min(self.columns - column) {
                    if usize::from(segment.counts[pixel]) == KEPT
                        && let Some(running) = judgement.mean_of_all(pixel)
                    {
                        self.start((row, column + pixel), running);
                    }
                }
            }
        }
    }

    /// Gives a pixel its running mean.
    pub(super) fn start(&mut self, place: (usize, usize), running: Running) {
        self.set(place.0 * self.columns + place.1, running, RUNNING);
    }

    /// Gives back the tiles in which no pixel keeps values any more.
    pub(super) fn drop_tiles(&mut self) {
        let (columns, rows) = (self.columns, self.rows());
        let across = columns.div_ceil(TILE);
        for (number, tile) in self.tiles.iter_mut().enumerate().filter(|(_, tile)| tile.is_some()) {
            let (top, left) = (number / across * TILE, number % across * TILE);
            let keeps = (top..(top + TILE).min(rows)).any(|row| {
                let span = row * columns + left..row * columns + (left + TILE).min(columns);
                let codes = self.phase.get(span).unwrap_or_default();
                codes.iter().any(|code| *code > 1 && *code & KIND == 0)
            });
            if !keeps {
                *tile = None;
            }
        }
    }

    fn begin(&mut self, place: (usize, usize), sample: Sample) {
        let running = Running { variance: sample.variance, ..Running::first(sample) };
        self.set(place.0 * self.columns + place.1, running, 1);
    }

    fn running(&self, index: usize) -> Option<Running> {
        Some(Running {
            mean: *self.mean.get(index)?,
            weight: *self.weight.get(index)?,
            deviation: *self.deviation.get(index)?,
            variance: *self.variance.get(index)?,
            count: *self.count.get(index)?,
        })
    }

    fn set(&mut self, index: usize, running: Running, code: u8) {
        let Running { mean, weight, deviation, variance, count } = running;
        for (plane, value) in [
            (&mut *self.mean, mean),
            (&mut *self.weight, weight),
            (&mut *self.deviation, deviation),
            (&mut *self.variance, variance),
        ] {
            if let Some(pixel) = plane.get_mut(index) {
                *pixel = value;
            }
        }
        if let (Some(frames), Some(phase)) = (self.count.get_mut(index), self.phase.get_mut(index))
        {
            (*frames, *phase) = (count, code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: f32) -> Sample {
        Sample { value, variance: 1.0, weight: 1.0 }
    }

    #[test]
    fn values_come_back_in_their_order_and_tiles_go_when_all_have_started() {
        let mut state = StackState::new((130, 70));
        let empty = state.bytes();
        for frame in 0..5_u16 {
            state.enlist(f32::from(frame) + 1.0);
            let mut complete = 0;
            for band in &mut state.bands() {
                for place in (0..band.rows()).flat_map(|row| [(row, 0), (row, 69)]) {
                    let sample = Sample { weight: f32::from(frame) + 1.0, ..sample(frame.into()) };
                    complete += usize::from(band.collect(place, sample, frame));
                }
            }
            assert_eq!(complete, if frame == 4 { 260 } else { 0 });
        }
        assert_eq!(state.bytes(), empty + 6 * TILE_PIXELS * BYTES_IN_TILE);
        let kept = state.samples((129, 69)).unwrap();
        let values: Vec<_> = kept.as_slice().iter().map(|one| (one.value, one.weight)).collect();
        assert_eq!(values, [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0)]);
        assert_eq!((kept.median(), state.phase((0, 1))), (2.0, Phase::Empty));
        for band in &mut state.bands() {
            for row in 0..band.rows() {
                band.start((row, 0), Running::first(sample(1.0)));
                if band.first_row + row != 129 {
                    band.start((row, 69), Running::first(sample(1.0)));
                }
            }
            band.drop_tiles();
        }
        assert_eq!(state.bytes(), empty + TILE_PIXELS * BYTES_IN_TILE);
        assert_eq!(state.reference((3, 0)), 1.0);
        assert!(state.reference((130, 0)).is_nan());
    }

    #[test]
    fn only_saturated_values_are_kept_with_their_bits() {
        let mut state = StackState::new((1, 3));
        for band in &mut state.bands() {
            band.take_flagged((0, 0), sample(5.0), mask_bits::COSMIC);
            band.take_flagged((0, 0), sample(5.0), mask_bits::SATURATED | mask_bits::NO_DATA);
            band.take_flagged((0, 1), sample(5.0), mask_bits::SATURATED);
            band.take_flagged((0, 1), sample(7.0), mask_bits::BLEED);
            band.collect((0, 2), sample(1.0), 0);
            band.take_flagged((0, 2), sample(5.0), mask_bits::SATURATED);
        }
        assert_eq!(state.phase((0, 0)), Phase::Empty);
        let both = mask_bits::SATURATED | mask_bits::BLEED;
        assert_eq!((state.phase((0, 1)), state.reference((0, 1))), (Phase::Flagged(both), 6.0));
        assert_eq!((state.phase((0, 2)), state.reference((0, 2))), (Phase::Collecting(1), 1.0));
    }

    #[test]
    fn six_rejections_in_a_row_begin_anew() {
        let mut state = StackState::new((1, 1));
        for band in &mut state.bands() {
            band.start((0, 0), Running::first(sample(3.0)));
            (0..5).for_each(|_| band.reject((0, 0), sample(9.0)));
        }
        assert_eq!((state.phase((0, 0)), state.reference((0, 0))), (Phase::Running, 3.0));
        state.bands().iter_mut().for_each(|band| band.reject((0, 0), sample(9.0)));
        assert_eq!((state.phase((0, 0)), state.reference((0, 0))), (Phase::Collecting(1), 9.0));
    }
}
