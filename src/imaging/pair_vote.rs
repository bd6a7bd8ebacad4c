//! Finds one list of stars in another from pairs: two stars of one list and two of the other, as far apart, say where all the other
//! stars must be. Any rotation, either parity, a shift and a scale within limits (the idea of Lang et al. 2010, AJ 139, 1782,
//! that every hypothesis is tried on the other stars at once, with pairs in place of quadrilaterals, as the scale is nearly known).

use super::alignment::AffineTransform;
use super::matching::{Point, log10_chance};

/// What is searched, in the units of the points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// How far a predicted star may be from one of the list.
    pub tolerance: f64,
    /// Relative tolerance on the scale, which is one.
    pub scale_tolerance: f64,
    /// How far the origin of the moved list may be shifted.
    pub maximum_offset: f64,
}

/// How many of the brightest of each list take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub reference: usize,
    pub moved: usize,
}

/// A transform with the stars of the moved list that find one where it puts them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairCandidate {
    /// Takes `moved` to `reference`.
    pub transform: AffineTransform,
    pub votes: usize,
}

/// The most candidates given.
const MAXIMUM_CANDIDATES: usize = 12;
/// Fewer stars than this, the pair included, are no candidate.
const LEAST_VOTES: usize = 4;
/// The shortest pair used, as a share of the longest: short ones do not tell the rotation.
const SHORTEST_PAIR: f64 = 0.2;
/// Pairs of pairs tried and stars looked up for them, in one search: a bound on time.
const MAXIMUM_WORK: usize = 3_000_000;
/// A candidate that chance gives this rarely (log₁₀) in the whole search needs no rival.
const LOG10_CERTAIN: f64 = -9.0;

/// The transforms under which most of the stars coincide, best first. Both lists brightest first; points that are not finite
/// are ignored. Deterministic.
pub fn find(
    reference: &[Point],
    moved: &[Point],
    search: &Search,
    stage: Stage,
) -> Vec<PairCandidate> {
    let finite = |points: &[Point], most: usize| -> Vec<Point> {
        let is_finite = |point: &&Point| point.0.is_finite() && point.1.is_finite();
        points.iter().filter(is_finite).take(most).copied().collect()
    };
    let (reference, moved) = (finite(reference, stage.reference), finite(moved, stage.moved));
    let limits = [search.tolerance, search.scale_tolerance, search.maximum_offset];
    if limits.iter().any(|limit| !limit.is_finite() || *limit < 0.0) || search.tolerance == 0.0 {
        return Vec::new();
    }
    let Some(sky) = Occupancy::of(&reference, search.tolerance) else { return Vec::new() };
    let mut pairs: Vec<Pair> = Vec::new();
    for j in 0..moved.len() {
        // The brightest pairs first.
        pairs.extend((0..j).map(|i| Pair::of(&moved, i, j)));
    }
    let longest = pairs.iter().map(|pair| pair.length).fold(0.0, f64::max);
    let shortest = (SHORTEST_PAIR * longest).max(4.0 * search.tolerance);
    let slack = |length: f64| length * search.scale_tolerance + search.tolerance;
    let known = PairsByLength::of(&reference, search.tolerance, longest + slack(longest));

    let mut race = Race::new(&moved, &sky, search);
    for pair in pairs.iter().filter(|pair| pair.length >= shortest) {
        let reach = slack(pair.length);
        for other in known.between(pair.length - reach, pair.length + reach) {
            for (from, to) in [(other.from, other.to), (other.to, other.from)] {
                for mirrored in [false, true] {
                    if race.enter(pair, from, to, mirrored) {
                        return race.finish();
                    }
                }
            }
        }
        if race.work > MAXIMUM_WORK {
            break;
        }
    }
    race.finish()
}

/// Two points, and how far they are apart.
#[derive(Debug, Clone, Copy)]
struct Pair {
    from: Point,
    to: Point,
    length: f64,
}

impl Pair {
    fn of(points: &[Point], i: usize, j: usize) -> Self {
        let (from, to) = (points[i], points[j]);
        Self { from, to, length: (to.0 - from.0).hypot(to.1 - from.1) }
    }
}

/// Pairs in bins of length.
struct PairsByLength {
    bin: f64,
    /// Where each bin's pairs start; one entry more than bins.
    starts: Vec<usize>,
    pairs: Vec<Pair>,
}

impl PairsByLength {
    fn of(points: &[Point], bin: f64, longest: f64) -> Self {
        // Fine enough for the shortest pairs, and never more bins than memory bears.
        let bin = bin.max(longest / 100_000.0);
        let mut all: Vec<Pair> = Vec::new();
        for j in 0..points.len() {
            all.extend((0..j).map(|i| Pair::of(points, i, j)).filter(|pair| pair.length < longest));
        }
        let bins = (longest / bin) as usize + 1;
        let number = |pair: &Pair| ((pair.length / bin) as usize).min(bins - 1);
        let mut starts = vec![0_usize; bins + 1];
        for pair in &all {
            starts[number(pair) + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut next = starts.clone();
        let mut pairs = all.clone();
        for pair in &all {
            let slot = &mut next[number(pair)];
            pairs[*slot] = *pair;
            *slot += 1;
        }
        Self { bin, starts, pairs }
    }

    /// The pairs of these lengths, in the order of the list within each bin.
    fn between(&self, low: f64, high: f64) -> impl Iterator<Item = &Pair> {
        let bins = self.starts.len() - 1;
        let first = ((low / self.bin).max(0.0) as usize).min(bins);
        let last = ((high / self.bin).max(0.0) as usize + 1).min(bins);
        let pairs = &self.pairs[self.starts[first]..self.starts[last]];
        pairs.iter().filter(move |pair| (low..=high).contains(&pair.length))
    }
}

/// A map of where points are, one bit a cell.
struct Occupancy {
    origin: Point,
    cell: f64,
    columns: usize,
    rows: usize,
    words: Vec<u64>,
    /// Share of the cells that hold one.
    share: f64,
}

/// Cells along the radius of a point's disc.
const CELLS_PER_TOLERANCE: f64 = 2.0;
const MAXIMUM_CELLS: f64 = 3e7;

impl Occupancy {
    /// `None` for no points, or points spread so wide that a map of them would not fit.
    fn of(points: &[Point], tolerance: f64) -> Option<Self> {
        let first = *points.first()?;
        let (mut low, mut high) = (first, first);
        for point in points {
            low = (low.0.min(point.0), low.1.min(point.1));
            high = (high.0.max(point.0), high.1.max(point.1));
        }
        let cell = tolerance / CELLS_PER_TOLERANCE;
        let origin = (low.0 - tolerance, low.1 - tolerance);
        let along = |low: f64, high: f64| ((high - low + 2.0 * tolerance) / cell).ceil() + 1.0;
        let (columns, rows) = (along(low.0, high.0), along(low.1, high.1));
        let count = columns * rows;
        if count.is_nan() || count > MAXIMUM_CELLS {
            return None;
        }
        let (columns, rows) = (columns as usize, rows as usize);
        let words = vec![0; (columns * rows).div_ceil(64)];
        let mut map = Self { origin, cell, columns, rows, words, share: 0.0 };
        let reach = CELLS_PER_TOLERANCE as i64 + 1;
        let square = (CELLS_PER_TOLERANCE + 0.5).powi(2);
        for point in points {
            let (x, y) = ((point.0 - origin.0) / cell, (point.1 - origin.1) / cell);
            for row in y as i64 - reach..=y as i64 + reach {
                for column in x as i64 - reach..=x as i64 + reach {
                    let (u, v) = (column as f64 + 0.5 - x, row as f64 + 0.5 - y);
                    let inside = (0..columns as i64).contains(&column)
                        && (0..rows as i64).contains(&row)
                        && u * u + v * v <= square;
                    if inside {
                        let place = row as usize * columns + column as usize;
                        map.words[place / 64] |= 1 << (place % 64);
                    }
                }
            }
        }
        let filled: u32 = map.words.iter().map(|word| word.count_ones()).sum();
        map.share = f64::from(filled) / (columns * rows) as f64;
        Some(map)
    }

    fn holds(&self, x: f64, y: f64) -> bool {
        let (column, row) = ((x - self.origin.0) / self.cell, (y - self.origin.1) / self.cell);
        if column < 0.0 || row < 0.0 {
            return false;
        }
        let (column, row) = (column as usize, row as usize);
        if column >= self.columns || row >= self.rows {
            return false;
        }
        let place = row * self.columns + column;
        self.words[place / 64] >> (place % 64) & 1 == 1
    }
}

/// The best hypotheses so far.
struct Race<'a> {
    moved: &'a [Point],
    sky: &'a Occupancy,
    scale: std::ops::RangeInclusive<f64>,
    maximum_offset: f64,
    /// Two candidates closer than this at the edge of the list are one.
    apart: f64,
    extent: f64,
    certain: usize,
    leaders: Vec<PairCandidate>,
    least: usize,
    work: usize,
}

impl<'a> Race<'a> {
    fn new(moved: &'a [Point], sky: &'a Occupancy, search: &Search) -> Self {
        let extent = moved.iter().map(|point| point.0.hypot(point.1)).fold(0.0, f64::max);
        // Of the votes two are the pair itself.
        let expected = moved.len() as f64 * sky.share;
        let trials = (MAXIMUM_WORK as f64).log10();
        let is_certain =
            |votes: &usize| log10_chance(*votes - 2, expected) + trials < LOG10_CERTAIN;
        let certain = (LEAST_VOTES + 2..=moved.len()).find(is_certain).unwrap_or(usize::MAX);
        let slack = search.scale_tolerance + 2.0 * search.tolerance / extent.max(search.tolerance);
        Self {
            moved,
            sky,
            scale: 1.0 - slack..=1.0 + slack,
            maximum_offset: search.maximum_offset,
            apart: 4.0 * search.tolerance,
            extent,
            certain,
            leaders: Vec::new(),
            least: LEAST_VOTES,
            work: 0,
        }
    }

    /// Tries the transform that takes `pair` to `from` and `to`. Whether it is certain.
    fn enter(&mut self, pair: &Pair, from: Point, to: Point, mirrored: bool) -> bool {
        self.work += 1;
        let parity = if mirrored { -1.0 } else { 1.0 };
        // The quotient of the two pairs as complex numbers, the first mirrored on the x axis where that is asked for.
        let (u, v) = (pair.to.0 - pair.from.0, parity * (pair.to.1 - pair.from.1));
        let (x, y) = (to.0 - from.0, to.1 - from.1);
        let norm = pair.length * pair.length;
        let (a, d) = ((x * u + y * v) / norm, (y * u - x * v) / norm);
        let (b, e) = (-parity * d, parity * a);
        let c = from.0 - a * pair.from.0 - b * pair.from.1;
        let f = from.1 - d * pair.from.0 - e * pair.from.1;
        if c * c + f * f > self.maximum_offset * self.maximum_offset
            || !self.scale.contains(&a.hypot(d))
        {
            return false;
        }
        let transform = AffineTransform { a, b, c, d, e, f };
        let mut chances = self.moved.len();
        let mut votes = 0;
        for (looked_up, point) in (1..).zip(self.moved) {
            let (x, y) = transform.apply(point.0, point.1);
            if self.sky.holds(x, y) {
                votes += 1;
            } else {
                chances -= 1;
                if chances < self.least {
                    self.work += looked_up;
                    return false;
                }
            }
        }
        self.work += self.moved.len();
        self.note(PairCandidate { transform, votes });
        votes >= self.certain
    }

    /// Keeps a candidate among the leaders, one for each place.
    fn note(&mut self, candidate: PairCandidate) {
        let same = |other: &PairCandidate| {
            [(0.0, 0.0), (self.extent, 0.0), (0.0, self.extent)].iter().all(|&(x, y)| {
                let (one, two) = (candidate.transform.apply(x, y), other.transform.apply(x, y));
                (one.0 - two.0).hypot(one.1 - two.1) < self.apart
            })
        };
        match self.leaders.iter().position(same) {
            Some(place) if self.leaders[place].votes >= candidate.votes => return,
            Some(place) => self.leaders[place] = candidate,
            None => self.leaders.push(candidate),
        }
        // Stable: of equals the first in the order of brightness.
        self.leaders.sort_by_key(|leader| std::cmp::Reverse(leader.votes));
        self.leaders.truncate(MAXIMUM_CANDIDATES);
        if self.leaders.len() == MAXIMUM_CANDIDATES {
            self.least = self.leaders.last().map_or(LEAST_VOTES, |last| last.votes + 1);
        }
    }

    fn finish(self) -> Vec<PairCandidate> {
        self.leaders
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const SEARCH: Search = Search { tolerance: 3.0, scale_tolerance: 0.02, maximum_offset: 300.0 };
    const STAGE: Stage = Stage { reference: 100, moved: 25 };

    fn field(random: &mut ChaCha8Rng, count: usize, half_side: f64) -> Vec<Point> {
        let mut place = || random.random_range(-half_side..half_side);
        (0..count).map(|_| (place(), place())).collect()
    }

    /// A sky, what of it is on a frame, and the transform that takes the frame to the sky.
    fn turned(seed: u64, strangers: usize) -> (Vec<Point>, Vec<Point>, AffineTransform) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let sky = field(&mut random, 100, 700.0);
        let angle: f64 = random.random_range(-3.1..3.1);
        let scale = random.random_range(0.981..1.019);
        let parity = if seed.is_multiple_of(2) { 1.0 } else { -1.0 };
        let (sine, cosine) = (scale * angle.sin(), scale * angle.cos());
        let truth = AffineTransform {
            a: cosine,
            b: -parity * sine,
            c: random.random_range(-200.0..200.0),
            d: sine,
            e: parity * cosine,
            f: random.random_range(-200.0..200.0),
        };
        let inverse = truth.inverse().unwrap();
        let mut moved = field(&mut random, strangers, 350.0);
        let seen = sky.iter().map(|&(x, y)| inverse.apply(x, y));
        let on_frame = |point: &Point| point.0.abs() < 350.0 && point.1.abs() < 350.0;
        moved.extend(seen.filter(on_frame).map(|(x, y)| {
            (x + random.random_range(-0.3..0.3), y + random.random_range(-0.3..0.3))
        }));
        (sky, moved, truth)
    }

    #[test]
    fn any_rotation_and_parity_is_found_among_strangers() {
        for seed in 0..40 {
            let (sky, moved, truth) = turned(seed, 10);
            let found = find(&sky, &moved, &SEARCH, STAGE);
            let best = found.first().unwrap();
            let (is, should) = (best.transform.apply(300.0, 0.0), truth.apply(300.0, 0.0));
            assert!((is.0 - should.0).hypot(is.1 - should.1) < 9.0, "seed {seed}: {best:?}");
            assert_eq!(best.transform.determinant() < 0.0, truth.determinant() < 0.0);
            assert_eq!(find(&sky, &moved, &SEARCH, STAGE), found);
        }
    }

    #[test]
    fn a_shift_or_a_scale_beyond_the_limits_is_not_found() {
        let (sky, moved, truth) = turned(3, 0);
        let offset = truth.c.hypot(truth.f);
        let short = Search { maximum_offset: 0.8 * offset, ..SEARCH };
        let is_true = |candidate: &PairCandidate| {
            let (x, y) = candidate.transform.apply(0.0, 0.0);
            (x - truth.c).hypot(y - truth.f) < 9.0
        };
        assert!(find(&sky, &moved, &SEARCH, STAGE).iter().any(is_true));
        assert!(!find(&sky, &moved, &short, STAGE).iter().any(is_true));
        let wide: Vec<Point> = moved.iter().map(|&(x, y)| (1.1 * x, 1.1 * y)).collect();
        assert!(!find(&sky, &wide, &SEARCH, STAGE).iter().any(is_true));
    }

    #[test]
    fn unrelated_fields_agree_in_few_stars() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..10 {
            let sky = field(&mut random, 100, 700.0);
            let moved = field(&mut random, 25, 350.0);
            let found = find(&sky, &moved, &SEARCH, STAGE);
            assert!(found.iter().all(|candidate| candidate.votes < 9), "{found:?}");
            assert!(found.windows(2).all(|pair| pair[0].votes >= pair[1].votes));
        }
    }

    #[test]
    fn nothing_to_find_is_no_panic() {
        assert!(find(&[], &[], &SEARCH, STAGE).is_empty());
        assert!(find(&[(0.0, 0.0)], &[(0.0, 0.0)], &SEARCH, STAGE).is_empty());
        assert!(find(&[(1.0, 1.0); 9], &[(1.0, 1.0); 9], &SEARCH, STAGE).is_empty());
        let odd = [(f64::NAN, 0.0), (f64::INFINITY, 1.0), (1e308, -1e308), (-1e308, 1e308)];
        assert!(find(&odd, &odd, &SEARCH, STAGE).is_empty());
        let (sky, moved, _) = turned(0, 3);
        for tolerance in [0.0, -1.0, f64::NAN, 1e300] {
            let broken = Search { tolerance, ..SEARCH };
            assert!(find(&sky, &moved, &broken, STAGE).is_empty());
        }
    }
}
