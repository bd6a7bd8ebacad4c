//! Finds the shift between two lists of stars by vote, over a grid of small rotations and changes of scale.

use super::alignment::AffineTransform;
use super::matching::{GridIndex, Point};

/// What is searched, in the units of the points; rotation and scale are about the origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    pub maximum_offset: f64,
    pub maximum_rotation_radians: f64,
    pub scale_tolerance: f64,
    /// Side of a cell of the vote: the shift is found to about this.
    pub cell: f64,
}

/// How many of the brightest of each list take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub left: usize,
    pub right: usize,
}

/// A shift with its votes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OffsetCandidate {
    /// Takes `left` to `right`.
    pub transform: AffineTransform,
    pub votes: usize,
}

/// The most candidates given.
const MAXIMUM_CANDIDATES: usize = 4;
/// The most votes cast in one search: a bound on time for crowded fields.
const MAXIMUM_BALLOTS: usize = 3_000_000;

/// The shifts with the most votes above what their surroundings explain, best first. Both lists brightest first.
/// Deterministic.
pub fn find(
    left: &[Point],
    right: &[Point],
    search: &Search,
    stage: Stage,
) -> Vec<OffsetCandidate> {
    let left = &left[..left.len().min(stage.left)];
    let right = &right[..right.len().min(stage.right)];
    let finite = search.maximum_offset.is_finite()
        && search.maximum_rotation_radians.is_finite()
        && search.scale_tolerance.is_finite();
    if !finite || search.cell.is_nan() || search.cell <= 0.0 || search.maximum_offset <= 0.0 {
        return Vec::new();
    }
    let extent = left
        .iter()
        .map(|point| point.0.hypot(point.1))
        .filter(|distance| distance.is_finite())
        .fold(search.cell, f64::max);
    let slack = extent * (search.maximum_rotation_radians + search.scale_tolerance);
    let reach = search.maximum_offset + slack;
    let index = GridIndex::new(right, reach.min(4.0 * search.cell.max(extent / 20.0)));
    let mut pairs: Vec<(Point, Point)> = Vec::new();
    for &point in left {
        index.for_each_within(point, reach, |number, _| pairs.push((point, right[number])));
    }
    // Half a step, the largest error, moves the outermost star by a cell; a peak is two cells wide.
    let step = 2.0 * search.cell / extent;
    let rotations = steps(search.maximum_rotation_radians, step);
    let scales = steps(search.scale_tolerance, step);
    let affordable = MAXIMUM_BALLOTS / (rotations.len() * scales.len()).max(1);
    pairs.truncate(affordable);

    let side = 2 * (search.maximum_offset / search.cell).ceil() as usize + 3;
    let mut votes = vec![0_u16; side * side];
    let mut best: Vec<(usize, OffsetCandidate)> = Vec::new();
    for &rotation in &rotations {
        for &scale in &scales {
            let (sine, cosine) = rotation.sin_cos();
            let (a, d) = ((1.0 + scale) * cosine, (1.0 + scale) * sine);
            votes.fill(0);
            let half = side as f64 / 2.0;
            for &((x, y), (u, v)) in &pairs {
                let column = (u - a * x + d * y) / search.cell + half;
                let row = (v - d * x - a * y) / search.cell + half;
                if column >= 0.0 && row >= 0.0 && column < side as f64 && row < side as f64 {
                    let vote = &mut votes[row as usize * side + column as usize];
                    *vote = vote.saturating_add(1);
                }
            }
            let (count, row, column) = peak(&votes, side);
            let shift = |place: usize| (place as f64 - half) * search.cell;
            // The peak is that of two by two cells, whose common corner is the shift.
            let transform =
                AffineTransform { a, b: -d, c: shift(column + 1), d, e: a, f: shift(row + 1) };
            best.push((count, OffsetCandidate { transform, votes: count }));
        }
    }
    // Stable: of equals the first in the order of the grid.
    best.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    distinct(best, 3.0 * search.cell)
}

/// Values from −limit to +limit, no more than `step` apart, always with zero.
fn steps(limit: f64, step: f64) -> Vec<f64> {
    let count = (limit / step).ceil().clamp(0.0, 50.0) as i32;
    if count == 0 {
        return vec![0.0];
    }
    (-count..=count).map(|number| limit * f64::from(number) / f64::from(count)).collect()
}

/// The two-by-two block of cells with the most votes: its count, and the row and column of its first cell.
/// A pile of votes is never cut apart by more than the choice of blocks.
fn peak(votes: &[u16], side: usize) -> (usize, usize, usize) {
    let mut best = (0, 0, 0);
    for row in 0..side - 1 {
        let low = &votes[row * side..(row + 1) * side];
        let high = &votes[(row + 1) * side..(row + 2) * side];
        let mut before = usize::from(low[0]) + usize::from(high[0]);
        for column in 1..side {
            let here = usize::from(low[column]) + usize::from(high[column]);
            if before + here > best.0 {
                best = (before + here, row, column - 1);
            }
            before = here;
        }
    }
    best
}

/// The best, without those that repeat a better one's shift.
fn distinct(candidates: Vec<(usize, OffsetCandidate)>, apart: f64) -> Vec<OffsetCandidate> {
    let mut kept: Vec<OffsetCandidate> = Vec::new();
    for (_, candidate) in candidates {
        if kept.len() == MAXIMUM_CANDIDATES || candidate.votes < 3 {
            break;
        }
        let repeats = kept.iter().any(|better| {
            let (x, y) = (better.transform.c, better.transform.f);
            (x - candidate.transform.c).hypot(y - candidate.transform.f) < apart
        });
        if !repeats {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const STAGE: Stage = Stage { left: 40, right: 60 };
    const SEARCH: Search = Search {
        maximum_offset: 90.0,
        maximum_rotation_radians: 0.0175,
        scale_tolerance: 0.02,
        cell: 1.5,
    };

    #[test]
    fn steps_are_fine_enough_and_symmetric() {
        let values = steps(0.02, 0.003);
        assert!(values.contains(&0.0));
        assert_eq!(values.first(), Some(&-0.02));
        assert_eq!(values.last(), Some(&0.02));
        assert!(values.windows(2).all(|pair| pair[1] - pair[0] <= 0.003 + 1e-12));
        assert_eq!(steps(0.0, 0.1), vec![0.0]);
    }

    #[test]
    fn the_shift_is_found_among_strangers() {
        for seed in 0..50 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let left: Vec<Point> = (0..40)
                .map(|_| (random.random_range(-360.0..360.0), random.random_range(-360.0..360.0)))
                .collect();
            let angle: f64 = random.random_range(-0.017..0.017);
            let scale = 1.0 + random.random_range(-0.02..0.02);
            let shift = (random.random_range(-60.0..60.0), random.random_range(-60.0..60.0));
            let (sine, cosine) = (scale * angle.sin(), scale * angle.cos());
            let mut right: Vec<Point> = left
                .iter()
                .map(|p| (cosine * p.0 - sine * p.1 + shift.0, sine * p.0 + cosine * p.1 + shift.1))
                .collect();
            for stranger in right.iter_mut().step_by(2) {
                *stranger =
                    (random.random_range(-450.0..450.0), random.random_range(-450.0..450.0));
            }
            let found = find(&left, &right, &SEARCH, STAGE);
            let best = found[0].transform;
            let error = (best.c - shift.0).hypot(best.f - shift.1);
            assert!(error < 3.0, "seed {seed}: {error} of {found:?}");
        }
    }

    #[test]
    fn odd_input_gives_no_candidate() {
        assert!(find(&[], &[], &SEARCH, STAGE).is_empty());
        let nan = [(f64::NAN, f64::NAN); 30];
        assert!(find(&nan, &nan, &SEARCH, STAGE).is_empty());
        let broken = Search { maximum_offset: f64::INFINITY, ..SEARCH };
        assert!(find(&[(0.0, 0.0)], &[(0.0, 0.0)], &broken, STAGE).is_empty());
    }
}
