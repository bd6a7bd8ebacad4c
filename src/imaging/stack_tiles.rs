//! The values that a running stack keeps of pixels whose means have not started, in tiles that go when all of theirs have.

use super::stack_pixel::KEPT;
use super::stack_start::{SEGMENT, Segment};
use super::stack_state::KIND;
use std::ops::Range;

/// Side of a tile, pixels.
pub(super) const TILE: usize = SEGMENT;
pub(super) const TILE_PIXELS: usize = TILE * TILE;
/// Values that a tile keeps of a pixel: the first one is in the planes.
pub(super) const MORE: usize = KEPT - 1;

/// The second to the last value kept of 64 × 64 pixels: value and variance, and the number of the frame, which gives the weight.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tile {
    pub(super) values: Vec<f32>,
    pub(super) variances: Vec<f32>,
    pub(super) frames: Vec<u16>,
}

impl Tile {
    pub(super) fn new() -> Self {
        let length = MORE * TILE_PIXELS;
        Self { values: vec![0.0; length], variances: vec![0.0; length], frames: vec![0; length] }
    }
}

/// Where the values kept are.
pub(super) struct SegmentSource<'a> {
    pub(super) columns: usize,
    pub(super) mean: &'a [f32],
    pub(super) variance: &'a [f32],
    pub(super) weight: &'a [f32],
    pub(super) phase: &'a [u8],
    pub(super) tiles: &'a [Option<Tile>],
    pub(super) weights: &'a [f32],
}

impl SegmentSource<'_> {
    pub(super) fn fill(&self, (row, column): (usize, usize), segment: &mut Segment) {
        let width = SEGMENT.min(self.columns.saturating_sub(column));
        let start = row * self.columns + column;
        let span = start..start + width;
        let (tile, offset) = in_tile((row, column), self.columns);
        let tile = self.tiles.get(tile).and_then(Option::as_ref);
        let codes = self.phase.get(span.clone()).unwrap_or_default();
        segment.counts = [0; SEGMENT];
        for (count, code) in segment.counts.iter_mut().zip(codes) {
            *count = if *code & KIND == 0 { *code } else { 0 };
        }
        let copy = |plane: &[f32], span: Range<usize>, kept: &mut [f32]| {
            let plane = plane.get(span).unwrap_or_default();
            kept.iter_mut().zip(plane).for_each(|(kept, value)| *kept = *value);
        };
        let slots = segment.values.iter_mut().zip(&mut segment.variances);
        for (slot, ((values, variances), weights)) in slots.zip(&mut segment.weights).enumerate() {
            if slot == 0 {
                copy(self.mean, span.clone(), values);
                copy(self.variance, span.clone(), variances);
                copy(self.weight, span.clone(), weights);
            } else if let Some(tile) = tile {
                let at = (slot - 1) * TILE_PIXELS + offset;
                copy(&tile.values, at..at + width, values);
                copy(&tile.variances, at..at + width, variances);
                let frames = tile.frames.get(at..at + width).unwrap_or_default();
                for (weight, frame) in weights.iter_mut().zip(frames) {
                    *weight = self.weights.get(usize::from(*frame)).copied().unwrap_or(0.0);
                }
            }
            let kept = values.iter_mut().zip(variances).zip(weights);
            for (((value, variance), weight), count) in kept.zip(&segment.counts) {
                let is_kept = slot < usize::from(*count);
                *value = if is_kept { *value } else { f32::INFINITY };
                *variance = if is_kept { *variance } else { 0.0 };
                *weight = if is_kept { *weight } else { 0.0 };
            }
        }
    }
}

/// The number of the tile that holds a place, and the place in it.
pub(super) fn in_tile((row, column): (usize, usize), columns: usize) -> (usize, usize) {
    let tile = row / TILE * columns.div_ceil(TILE) + column / TILE;
    (tile, row % TILE * TILE + column % TILE)
}
