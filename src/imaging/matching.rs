//! Nearest-neighbour matching in a plane, and the odds that a set of matches is chance.

/// A point in a plane.
pub type Point = (f64, f64);

/// A grid over points, for the neighbours of a position in constant time at even density. Points that are not finite
/// are in no cell.
#[derive(Debug, Clone)]
pub struct GridIndex<'a> {
    points: &'a [Point],
    origin: Point,
    cell: f64,
    columns: usize,
    rows: usize,
    /// Where each cell's points start in `order`; one entry more than cells.
    starts: Vec<usize>,
    order: Vec<usize>,
}

impl<'a> GridIndex<'a> {
    /// Cells of `radius` (enlarged where the points spread so wide that the grid would outgrow the list).
    pub fn new(points: &'a [Point], radius: f64) -> Self {
        let finite = || points.iter().filter(|point| is_finite(point));
        let low = finite().fold((f64::INFINITY, f64::INFINITY), |low, point| {
            (low.0.min(point.0), low.1.min(point.1))
        });
        let high = finite().fold((f64::NEG_INFINITY, f64::NEG_INFINITY), |high, point| {
            (high.0.max(point.0), high.1.max(point.1))
        });
        let count = finite().count();
        if count == 0 || radius.is_nan() {
            return Self {
                points,
                origin: (0.0, 0.0),
                cell: 1.0,
                columns: 0,
                rows: 0,
                starts: vec![0],
                order: Vec::new(),
            };
        }
        let (width, height) = (high.0 - low.0, high.1 - low.1);
        let bound = (4 * count + 16) as f64;
        let cell = radius
            .max((width * height / bound).sqrt())
            .max(width.max(height) / bound)
            .clamp(f64::MIN_POSITIVE, f64::MAX);
        // Coordinates so wild that their differences overflow share one cell.
        let cells_along = |length: f64| {
            let cells = length / cell;
            if cells.is_finite() { cells.min(bound) as usize + 1 } else { 1 }
        };
        let (columns, rows) = (cells_along(width), cells_along(height));
        let mut index = Self {
            points,
            origin: low,
            cell,
            columns,
            rows,
            starts: Vec::new(),
            order: Vec::new(),
        };
        let mut counts = vec![0_usize; columns * rows + 1];
        for point in finite() {
            counts[index.cell_of(*point) + 1] += 1;
        }
        for cell_number in 1..counts.len() {
            counts[cell_number] += counts[cell_number - 1];
        }
        index.starts = counts.clone();
        index.order = vec![0; count];
        for (number, point) in points.iter().enumerate().filter(|(_, point)| is_finite(point)) {
            let slot = &mut counts[index.cell_of(*point)];
            index.order[*slot] = number;
            *slot += 1;
        }
        index
    }

    /// Calls `visit(index, squared distance)` for each point within `radius` of `centre`.
    pub fn for_each_within(&self, centre: Point, radius: f64, mut visit: impl FnMut(usize, f64)) {
        let reach = |position: f64, origin: f64, cells: usize| -> Option<(usize, usize)> {
            let last = cells.checked_sub(1)? as f64;
            let from = ((position - radius - origin) / self.cell).floor();
            let to = ((position + radius - origin) / self.cell).floor();
            (from <= last && to >= 0.0).then(|| (from.max(0.0) as usize, to.min(last) as usize))
        };
        let Some((left, right)) = reach(centre.0, self.origin.0, self.columns) else { return };
        let Some((bottom, top)) = reach(centre.1, self.origin.1, self.rows) else { return };
        for row in bottom..=top {
            let first = self.starts[row * self.columns + left];
            let end = self.starts[row * self.columns + right + 1];
            for &number in &self.order[first..end] {
                let point = self.points[number];
                let square = (point.0 - centre.0).powi(2) + (point.1 - centre.1).powi(2);
                if square <= radius * radius {
                    visit(number, square);
                }
            }
        }
    }

    fn cell_of(&self, point: Point) -> usize {
        let along = |position: f64, origin: f64, cells: usize| {
            (((position - origin) / self.cell) as usize).min(cells - 1)
        };
        along(point.1, self.origin.1, self.rows) * self.columns
            + along(point.0, self.origin.0, self.columns)
    }
}

fn is_finite(point: &Point) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// Pairs each point of `left` with the nearest of `right` within `radius`, one to one, closest pairs first.
/// Returns indices (left, right) in order of `left`. Points that are not finite match nothing.
pub fn match_nearest(left: &[Point], right: &[Point], radius: f64) -> Vec<(usize, usize)> {
    if radius.is_nan() || radius < 0.0 {
        return Vec::new();
    }
    let index = GridIndex::new(right, radius);
    let mut candidates: Vec<(f64, usize, usize)> = Vec::with_capacity(left.len());
    for (number, point) in left.iter().enumerate().filter(|(_, point)| is_finite(point)) {
        index.for_each_within(*point, radius, |neighbour, square| {
            candidates.push((square, number, neighbour));
        });
    }
    candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut partner = vec![None; left.len()];
    let mut taken = vec![false; right.len()];
    for (_, number, neighbour) in candidates {
        if partner[number].is_none() && !taken[neighbour] {
            partner[number] = Some(neighbour);
            taken[neighbour] = true;
        }
    }
    let pairs = partner.into_iter().enumerate();
    pairs.filter_map(|(number, neighbour)| Some((number, neighbour?))).collect()
}

/// log₁₀ of the probability that a Poisson variable of mean `expected` is `count` or more (an upper bound that
/// is tight above the mean; 0 at or below it).
///
/// This is the test of every pattern match here: two unrelated lists of n and m points in an area A agree within r
/// in n·m·πr²/A places on average, and a solution counts only if so many matches would not come by chance even
/// once in all transforms tried.
pub fn log10_chance(count: usize, expected: f64) -> f64 {
    let number = count as f64;
    if count == 0 || expected.is_nan() || number <= expected {
        return 0.0;
    }
    if expected <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let log_factorial: f64 = (2..=count).map(|factor| (factor as f64).ln()).sum();
    let log_mass = number * expected.ln() - expected - log_factorial;
    // The terms that follow fall at least as fast as a geometric series of ratio expected / (count + 1).
    let log_tail = -(1.0 - expected / (number + 1.0)).ln();
    ((log_mass + log_tail) / std::f64::consts::LN_10).min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn closest_pairs_come_first_and_one_to_one() {
        let left = [(0.0, 0.0), (1.0, 0.0), (50.0, 50.0)];
        let right = [(0.9, 0.0), (100.0, 100.0), (2.5, 0.0)];
        // (1,0)–(0.9,0) is closest; (0,0) has then nothing within 1.
        assert_eq!(match_nearest(&left, &right, 1.0), vec![(1, 0)]);
        assert_eq!(match_nearest(&left, &right, 3.0), vec![(0, 2), (1, 0)]);
    }

    #[test]
    fn agrees_with_brute_force() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut points = |n: usize| {
            (0..n)
                .map(|_| (random.random::<f64>() * 100.0, random.random::<f64>() * 30.0))
                .collect::<Vec<_>>()
        };
        let left = points(300);
        let right = points(400);
        for radius in [0.0, 0.3, 2.0, 40.0] {
            let mut all = Vec::new();
            for (i, a) in left.iter().enumerate() {
                for (j, b) in right.iter().enumerate() {
                    let square = (a.0 - b.0).powi(2) + (a.1 - b.1).powi(2);
                    if square <= radius * radius {
                        all.push((square, i, j));
                    }
                }
            }
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let (mut used_left, mut used_right, mut expected) = (vec![], vec![], vec![]);
            for (_, i, j) in all {
                if !used_left.contains(&i) && !used_right.contains(&j) {
                    used_left.push(i);
                    used_right.push(j);
                    expected.push((i, j));
                }
            }
            expected.sort_unstable();
            assert_eq!(match_nearest(&left, &right, radius), expected);
        }
    }

    #[test]
    fn odd_input_matches_nothing_and_does_not_panic() {
        let odd = [(f64::NAN, 0.0), (f64::INFINITY, 1.0), (1e308, -1e308), (-1e308, 1e308)];
        assert!(match_nearest(&[], &[], 1.0).is_empty());
        assert!(match_nearest(&odd[..2], &odd, 1.0).is_empty());
        assert!(match_nearest(&[(0.0, 0.0)], &odd, 1.0).is_empty());
        assert!(match_nearest(&odd, &odd, 0.5).is_empty());
        assert!(match_nearest(&[(0.0, 0.0)], &[(0.0, 0.0)], f64::NAN).is_empty());
        assert_eq!(match_nearest(&[(0.0, 0.0)], &[(0.0, 0.0)], 0.0), vec![(0, 0)]);
        assert_eq!(match_nearest(&[(0.0, 0.0)], &[(9.0, 0.0)], f64::INFINITY), vec![(0, 0)]);
    }

    #[test]
    fn chance_is_the_poisson_tail() {
        // scipy.stats.poisson.logsf(count - 1, mean) / log(10)
        for (count, mean, expected) in
            [(1, 1e-3, -3.000217), (8, 0.5, -7.206231), (20, 4.0, -7.991378)]
        {
            let value = log10_chance(count, mean);
            assert!((value - expected).abs() < 0.06, "{count} {mean}: {value}");
            assert!(value >= expected - 1e-6);
        }
        assert!(log10_chance(500, 20.0) < -450.0);
        assert_eq!(log10_chance(3, 3.0), 0.0);
        assert_eq!(log10_chance(0, 0.0), 0.0);
        assert_eq!(log10_chance(5, f64::NAN), 0.0);
    }
}
