//! Refines a transform between two star lists and weighs whether it could be chance.

use super::alignment::AffineTransform;
use super::linear_fit::{PointPair, fit_affine, fit_similarity};
use super::matching::{GridIndex, Point, log10_chance, match_nearest};

/// log₁₀ of the number of false solutions expected in one whole search, above which a match is not believed.
pub const LOG10_FALSE_LIMIT: f64 = -6.0;

/// With fewer matches than this a transform keeps to shift, rotation and scale: two more coefficients
/// would follow the noise.
const AFFINE_MINIMUM: usize = 10;

/// Lengths of the nested lists of brightest objects that are looked at: doubling from here.
const SHORTEST_LIST: usize = 8;

/// Radii looked at, as fractions of the matching radius.
const RADIUS_FRACTIONS: [f64; 3] = [1.0, 0.5, 0.25];

/// What speaks for a solution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// log₁₀ of the expected number of solutions as good as this in the whole search, if the lists were unrelated.
    pub log10_false: f64,
    /// Matches that chance gives for the full lists at the full radius.
    pub expected: f64,
}

impl Evidence {
    pub fn is_convincing(&self) -> bool {
        self.log10_false <= LOG10_FALSE_LIMIT
    }
}

/// Improves `start` (which takes `left` to `right`) with matches inside each of `radii` in turn, clipped at three
/// robust standard deviations. `weights` belong to `left`; zero keeps a point out of the fit.
/// `None` when a stage has fewer than three matches.
pub fn refine(
    left: &[Point],
    weights: &[f64],
    right: &[Point],
    start: &AffineTransform,
    radii: &[f64],
) -> Option<AffineTransform> {
    let mirrored = start.determinant() < 0.0;
    let mut transform = *start;
    for &radius in radii {
        let moved: Vec<Point> =
            left.iter().map(|point| transform.apply(point.0, point.1)).collect();
        let mut pairs: Vec<PointPair> = match_nearest(&moved, right, radius)
            .into_iter()
            .filter_map(|(i, j)| {
                let weight = *weights.get(i)?;
                (weight > 0.0).then_some(PointPair { from: left[i], to: right[j], weight })
            })
            .collect();
        for _ in 0..4 {
            transform = fit(&pairs, mirrored)?;
            let residuals: Vec<f64> = pairs.iter().map(|pair| residual(&transform, pair)).collect();
            let limit = clip_limit(&residuals, radius);
            let before = pairs.len();
            let mut kept = residuals.iter().map(|residual| *residual <= limit);
            pairs.retain(|_| kept.next().unwrap_or(false));
            if pairs.len() == before {
                break;
            }
        }
    }
    Some(transform)
}

fn fit(pairs: &[PointPair], mirrored: bool) -> Option<AffineTransform> {
    if pairs.len() < 3 {
        None
    } else if pairs.len() < AFFINE_MINIMUM {
        fit_similarity(pairs, mirrored)
    } else {
        fit_affine(pairs).or_else(|| fit_similarity(pairs, mirrored))
    }
}

fn residual(transform: &AffineTransform, pair: &PointPair) -> f64 {
    let (x, y) = transform.apply(pair.from.0, pair.from.1);
    (x - pair.to.0).hypot(y - pair.to.1)
}

/// Distance beyond which a match is an outlier: three standard deviations per axis from the median distance
/// (median = 1.1774 σ for a two-dimensional normal distribution), with a floor of a hundredth of `radius`.
pub fn clip_limit(distances: &[f64], radius: f64) -> f64 {
    let mut sorted = distances.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    (3.5 * median / 1.1774).max(0.01 * radius)
}

/// Weighs the matches of two lists, both brightest first. `moved` are the left points already in the plane of `right`;
/// `matches` were made within `radius`. `log10_trials` is the number of distinguishable transforms searched.
///
/// The expected number of chance matches is the larger of two: that of evenly spread points, and the mean count when
/// the left list is displaced by several radii, which knows of clusters and of rows of fragments. Nested lists of the
/// brightest and smaller radii are looked at too, each look counted as a trial: a bright catalogue
/// on a deep frame, and the other way round, is judged by the part that can agree.
pub fn weigh(
    moved: &[Point],
    right: &[Point],
    matches: &[(usize, usize)],
    radius: f64,
    log10_trials: f64,
) -> Evidence {
    let unconvincing = Evidence { log10_false: 0.0, expected: f64::INFINITY };
    let Some(bounds) = Bounds::of(right) else { return unconvincing };
    let area = bounds.area();
    if area.is_nan() || area <= 0.0 || radius.is_nan() || radius <= 0.0 {
        return unconvincing;
    }
    let (left_levels, right_levels) = (level_count(moved.len()), level_count(right.len()));
    let mut observed = Looks::new(left_levels, right_levels);
    for &(i, j) in matches {
        if let (Some(a), Some(b)) = (moved.get(i), right.get(j)) {
            observed.add(i, j, (a.0 - b.0).hypot(a.1 - b.1) / radius);
        }
    }
    observed.accumulate();
    let mut inside = vec![0.0; left_levels];
    for (i, _) in moved.iter().enumerate().filter(|(_, point)| bounds.contains(**point)) {
        inside[level_of(i)] += 1.0;
    }
    for level in 1..left_levels {
        inside[level] += inside[level - 1];
    }
    let looks = (left_levels * right_levels * RADIUS_FRACTIONS.len()) as f64;
    let judge = |measured: &dyn Fn(usize, usize, usize) -> f64| {
        let mut best = Evidence { log10_false: f64::INFINITY, expected: f64::INFINITY };
        for (a, inside) in inside.iter().enumerate() {
            for b in 0..right_levels {
                let right_count = list_length(b).min(right.len()) as f64;
                for (r, fraction) in RADIUS_FRACTIONS.iter().enumerate() {
                    let target = std::f64::consts::PI * (fraction * radius).powi(2);
                    let even = inside * right_count * target / area;
                    let expected = even.max(measured(a, b, r));
                    // One match is given away: the fit bends a little toward whatever it is given.
                    let count = observed.get(a, b, r).saturating_sub(1);
                    let log10_false = log10_chance(count, expected) + log10_trials + looks.log10();
                    best.log10_false = best.log10_false.min(log10_false);
                    // The full lists at the full radius.
                    if a + 1 == left_levels && b + 1 == right_levels && r == 0 {
                        best.expected = expected;
                    }
                }
            }
        }
        best
    };
    // The displaced lists can only make it less convincing, and most candidates fail without them.
    let evidence = judge(&|_, _, _| 0.0);
    if !evidence.is_convincing() {
        return evidence;
    }
    let displacements = displacements(radius);
    let displaced = displaced_looks(moved, right, radius, &displacements);
    judge(&|a, b, r| displaced.get(a, b, r) as f64 / displacements.len() as f64)
}

/// Pairs of the right list with the left one moved by each of `displacements`.
fn displaced_looks(
    moved: &[Point],
    right: &[Point],
    radius: f64,
    displacements: &[Point],
) -> Looks {
    let mut looks = Looks::new(level_count(moved.len()), level_count(right.len()));
    let index = GridIndex::new(right, radius);
    for shift in displacements {
        for (i, point) in moved.iter().enumerate() {
            let centre = (point.0 + shift.0, point.1 + shift.1);
            index.for_each_within(centre, radius, |j, square| {
                looks.add(i, j, square.sqrt() / radius);
            });
        }
    }
    looks.accumulate();
    looks
}

/// log₁₀ of the number of distinguishable shifts, rotations and scales: a change is distinguishable when it moves
/// a point at `extent` from the centre by `radius`.
pub fn log10_transforms(
    shift_area: f64,
    rotation_radians: f64,
    scale_range: f64,
    extent: f64,
    radius: f64,
) -> f64 {
    let shifts = 1.0 + shift_area / (radius * radius);
    let rotations = 1.0 + rotation_radians * extent / radius;
    let scales = 1.0 + scale_range * extent / radius;
    shifts.log10() + rotations.log10() + scales.log10()
}

/// Counts of pairs by length of the nested lists and by radius.
struct Looks {
    right_levels: usize,
    counts: Vec<usize>,
}

impl Looks {
    fn new(left_levels: usize, right_levels: usize) -> Self {
        let counts = vec![0; left_levels * right_levels * RADIUS_FRACTIONS.len()];
        Self { right_levels, counts }
    }

    fn slot(&self, a: usize, b: usize, r: usize) -> usize {
        (a * self.right_levels + b) * RADIUS_FRACTIONS.len() + r
    }

    fn add(&mut self, i: usize, j: usize, relative_distance: f64) {
        let (a, b) = (level_of(i), level_of(j));
        for (r, fraction) in RADIUS_FRACTIONS.iter().enumerate() {
            if relative_distance <= *fraction {
                let slot = self.slot(a, b, r);
                self.counts[slot] += 1;
            }
        }
    }

    /// From counts per level to counts up to a level.
    fn accumulate(&mut self) {
        let step = RADIUS_FRACTIONS.len();
        let row = self.right_levels * step;
        for slot in step..self.counts.len() {
            if slot % row >= step {
                self.counts[slot] += self.counts[slot - step];
            }
        }
        for slot in row..self.counts.len() {
            self.counts[slot] += self.counts[slot - row];
        }
    }

    fn get(&self, a: usize, b: usize, r: usize) -> usize {
        self.counts[self.slot(a, b, r)]
    }
}

/// The shortest nested list that holds the object of this rank.
fn level_of(rank: usize) -> usize {
    let mut level = 0;
    while list_length(level) <= rank {
        level += 1;
    }
    level
}

fn level_count(length: usize) -> usize {
    level_of(length.saturating_sub(1)) + 1
}

fn list_length(level: usize) -> usize {
    SHORTEST_LIST << level.min(40)
}

fn displacements(radius: f64) -> Vec<Point> {
    (0..24)
        .map(|step| {
            let angle = step as f64 * 2.399_963_229_728_653;
            let distance = radius * (5.0 + step as f64 * 0.5);
            (distance * angle.cos(), distance * angle.sin())
        })
        .collect()
}

/// The box around a list.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    low: Point,
    high: Point,
}

impl Bounds {
    /// `None` without a finite point.
    pub fn of(points: &[Point]) -> Option<Self> {
        let mut finite =
            points.iter().copied().filter(|point| point.0.is_finite() && point.1.is_finite());
        let first = finite.next()?;
        Some(finite.fold(Self { low: first, high: first }, |bounds, point| Self {
            low: (bounds.low.0.min(point.0), bounds.low.1.min(point.1)),
            high: (bounds.high.0.max(point.0), bounds.high.1.max(point.1)),
        }))
    }

    pub fn contains(&self, point: Point) -> bool {
        (self.low.0..=self.high.0).contains(&point.0)
            && (self.low.1..=self.high.1).contains(&point.1)
    }

    pub fn area(&self) -> f64 {
        (self.high.0 - self.low.0) * (self.high.1 - self.low.1)
    }

    pub fn half_diagonal(&self) -> f64 {
        (self.high.0 - self.low.0).hypot(self.high.1 - self.low.1) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn field(seed: u64, count: usize) -> Vec<Point> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|_| (random.random::<f64>() * 700.0, random.random::<f64>() * 700.0))
            .collect()
    }

    #[test]
    fn levels_hold_every_rank() {
        assert_eq!(
            (level_of(0), level_of(7), level_of(8), level_of(15), level_of(16)),
            (0, 0, 1, 1, 2)
        );
        assert_eq!((level_count(0), level_count(8), level_count(9)), (1, 1, 2));
    }

    #[test]
    fn refine_reaches_the_noise_and_ignores_what_has_no_weight() {
        let left = field(1, 80);
        let truth = AffineTransform { a: 1.002, b: 0.003, c: 4.0, d: -0.002, e: 0.999, f: -3.0 };
        let mut right: Vec<Point> =
            left.iter().map(|point| truth.apply(point.0, point.1)).collect();
        let mut weights = vec![1.0; 80];
        // A third is displaced; half of that is told to be bad by weight, the rest must be clipped.
        for index in (0..80).step_by(3) {
            right[index].0 += 1.0;
            weights[index] = f64::from(u8::from(index % 2 == 0));
        }
        let start = AffineTransform { c: 3.0, f: -2.0, ..AffineTransform::IDENTITY };
        let refined = refine(&left, &weights, &right, &start, &[8.0, 4.0, 2.0]).unwrap();
        for point in &left {
            let (a, b) = (refined.apply(point.0, point.1), truth.apply(point.0, point.1));
            assert!((a.0 - b.0).hypot(a.1 - b.1) < 1e-6);
        }
        assert!(refine(&left, &weights, &[], &start, &[8.0]).is_none());
        assert!(refine(&left, &[], &right, &start, &[8.0]).is_none());
    }

    #[test]
    fn chance_does_not_convince_and_truth_does() {
        let trials = log10_transforms(180.0 * 180.0, 0.035, 0.04, 500.0, 1.5);
        for seed in 0..200 {
            let (left, right) = (field(2 * seed, 300), field(2 * seed + 1, 900));
            let matches = match_nearest(&left, &right, 1.5);
            assert!(!weigh(&left, &right, &matches, 1.5, trials).is_convincing());
        }
        let left = field(7, 300);
        let mut right = field(8, 900);
        right[..9].copy_from_slice(&left[..9]);
        let matches = match_nearest(&left, &right, 1.5);
        assert!(weigh(&left, &right, &matches, 1.5, trials).is_convincing());
    }

    #[test]
    fn rows_and_clusters_are_known_for_what_they_are() {
        // Two unrelated trails that cross the same way: dense rows match by chance far above the even density.
        let row = |phase: f64| -> Vec<Point> {
            let mut points: Vec<Point> =
                (0..100).map(|i| (i as f64 * 2.0 + phase, 300.0)).collect();
            points.push((0.0, 0.0));
            points.push((700.0, 700.0));
            points
        };
        let (left, right) = (row(0.0), row(0.7));
        let matches = match_nearest(&left, &right, 1.5);
        assert!(matches.len() > 90);
        // A single trial and a great deal of credit, to see the expectation of the second, closer look.
        let evidence = weigh(&left, &right, &matches, 1.5, -20.0);
        // Displacement along the row keeps the agreement only now and then, so this shows the even density alone
        // would have been fooled by far more.
        let even = 100.0 * 102.0 * std::f64::consts::PI * 2.25 / (700.0 * 700.0);
        assert!(evidence.expected > 5.0 * even, "{evidence:?}");
    }

    #[test]
    fn empty_lists_are_not_convincing() {
        assert!(!weigh(&[], &[], &[], 1.0, 0.0).is_convincing());
        assert!(!weigh(&[(0.0, 0.0)], &[(0.0, 0.0)], &[(0, 0)], 1.0, 0.0).is_convincing());
        assert!(Bounds::of(&[(f64::NAN, 1.0)]).is_none());
    }
}
