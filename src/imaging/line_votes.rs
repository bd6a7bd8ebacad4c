//! Votes of lit blocks for straight lines.

use super::{
    planes::Planes,
    trails::{Trail, clip, in_noise},
};
use std::f64::consts::PI;

/// Pixels count no more than this, in units of the noise: a star is bright, a trail is long.
const CUT: f32 = 5.0;
/// Blocks across the shorter side of a frame, at most; a block has from two to eight pixels on a side.
const BLOCKS_ACROSS: usize = 128;
const SIDES: std::ops::RangeInclusive<usize> = 2..=8;
/// Shorter lines, in blocks, are none.
const SHORTEST: f64 = 16.0;

/// Blocks of pixels brighter than the sky.
pub(super) struct LitBlocks {
    side: usize,
    /// Size of the frame, blocks.
    width: f64,
    height: f64,
    /// Positions (x, y) of the middles of the lit ones, blocks.
    lit: Vec<(f64, f64)>,
    usable: usize,
}

impl LitBlocks {
    /// A block is lit when the sum of its usable pixels exceeds `sigma` standard deviations; it needs half of its pixels.
    pub fn new(planes: &Planes<'_>, sigma: f32) -> Self {
        let side =
            (planes.width.min(planes.height) / BLOCKS_ACROSS).clamp(*SIDES.start(), *SIDES.end());
        let columns = planes.width / side;
        let mut lit = Vec::new();
        let mut usable = 0;
        let mut sums = vec![(0.0_f32, 0_u16); columns];
        for first in (0..planes.height / side).map(|row| row * side) {
            sums.fill((0.0, 0));
            for row in first..first + side {
                for (column, (sum, count)) in (0..columns * side).step_by(side).zip(&mut sums) {
                    for value in
                        (column..column + side).filter_map(|each| in_noise(planes, row, each))
                    {
                        *sum += value.clamp(-CUT, CUT);
                        *count += 1;
                    }
                }
            }
            let middle = |first: usize| (first as f64 + (side as f64 - 1.0) / 2.0) / side as f64;
            for (column, (sum, count)) in sums.iter().enumerate() {
                if 2 * usize::from(*count) >= side * side {
                    usable += 1;
                    if *sum > sigma * f32::from(*count).sqrt() {
                        lit.push((middle(column * side), middle(first)));
                    }
                }
            }
        }
        let size = |pixels: usize| pixels as f64 / side as f64;
        Self { side, width: size(planes.width), height: size(planes.height), lit, usable }
    }

    /// Pixels on the side of a block.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The line, one block wide, whose lit blocks exceed those of a random one by the most standard deviations, and by
    /// `least_significance`; it has to have `least_cover` of the blocks that a random line has not. Width and brightness of
    /// the trail are not known yet.
    pub fn best_line(&self, least_cover: f64, least_significance: f64) -> Option<Trail> {
        let fill = self.lit.len() as f64 / self.usable.max(1) as f64;
        let (middle_x, middle_y) = (self.width / 2.0, self.height / 2.0);
        let diagonal = self.width.hypot(self.height);
        // Half a block at the end of the longest line.
        let angles = (PI * diagonal).ceil() as usize;
        let mut votes = vec![0_u32; diagonal.ceil() as usize + 3];
        let mut best: Option<(f64, Trail)> = None;
        for angle in (0..angles).map(|step| PI * step as f64 / angles as f64) {
            let (sin, cos) = angle.sin_cos();
            votes.fill(0);
            let offset = diagonal / 2.0 + 1.0;
            for (x, y) in &self.lit {
                let distance = (y - middle_y) * cos - (x - middle_x) * sin;
                if let Some(vote) = votes.get_mut((distance + offset).round().max(0.0) as usize) {
                    *vote += 1;
                }
            }
            for (place, &count) in votes.iter().enumerate() {
                if f64::from(count) < least_cover * SHORTEST {
                    continue;
                }
                let distance = place as f64 - offset;
                let (x, y) = (middle_x - distance * sin, middle_y + distance * cos);
                let Some((start, end)) = clip([(x, cos, self.width), (y, sin, self.height)]) else {
                    continue;
                };
                let length = end - start;
                let count = f64::from(count);
                let is_covered = count >= length * (fill + least_cover * (1.0 - fill));
                // One lit block in a hundred is the least that counts as random.
                let random = fill.max(0.01);
                let significance =
                    (count - random * length) / (random * (1.0 - random) * length).sqrt();
                if length >= SHORTEST
                    && is_covered
                    && significance > best.as_ref().map_or(least_significance, |best| best.0)
                {
                    let trail = Trail {
                        x: x * self.side as f64,
                        y: y * self.side as f64,
                        along_x: cos,
                        along_y: sin,
                        half_width_pixels: 0.0,
                        peak: 0.0,
                    };
                    best = Some((significance, trail));
                }
            }
        }
        best.map(|best| best.1)
    }

    /// Forgets the lit blocks that the trail, or a line, runs through.
    pub fn clear_near(&mut self, trail: &Trail) {
        let side = self.side as f64;
        let reach = trail.half_width_pixels + 1.5 * side;
        self.lit.retain(|(x, y)| trail.distance(x * side, y * side).abs() > reach);
    }
}
