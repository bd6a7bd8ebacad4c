//! Finds one list of stars in another by triangles (after Groth 1986, AJ 91, 1244; Valdes et al. 1995, PASP 107, 1119):
//! any shift and rotation, a known scale, either parity.

use super::alignment::AffineTransform;
use super::linear_fit::{PointPair, fit_similarity};
use super::matching::Point;

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatternSearch {
    /// How far matched positions may differ, in the units of the points.
    pub tolerance: f64,
    /// Relative tolerance on the scale, which is one.
    pub scale_tolerance: f64,
    /// Whether a mirrored pattern counts.
    pub mirror: bool,
    /// The most points of each list used, from its start.
    pub maximum_points: usize,
    /// The most answers given.
    pub maximum_candidates: usize,
}

/// A transform under which many triangles coincide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatternCandidate {
    /// Takes `moved` to `reference`.
    pub transform: AffineTransform,
    /// Triangles that agree on it.
    pub triangles: usize,
}

/// Vertices opposite the longest, middle and shortest side, and the sides' lengths in that order.
struct Triangle {
    vertices: [usize; 3],
    longest: f64,
    middle_ratio: f64,
    shortest_ratio: f64,
    counterclockwise: bool,
}

/// Steps of the invariants' grid: side ratios lie in 0..1.
const RATIO_STEPS: usize = 100;

/// Similar triangles in both lists, most agreed transform first. Both lists are to be given brightest first.
/// Deterministic. Points that are not finite are ignored.
pub fn find(reference: &[Point], moved: &[Point], search: &PatternSearch) -> Vec<PatternCandidate> {
    let reference = &reference[..reference.len().min(search.maximum_points)];
    let moved = &moved[..moved.len().min(search.maximum_points)];
    if search.tolerance.is_nan() || search.tolerance <= 0.0 || !search.scale_tolerance.is_finite() {
        return Vec::new();
    }
    let reference_triangles = triangles(reference, search.tolerance);
    let moved_triangles = triangles(moved, search.tolerance);
    let cell = |triangle: &Triangle| {
        let step = |ratio: f64| ((ratio * RATIO_STEPS as f64) as usize).min(RATIO_STEPS - 1);
        step(triangle.middle_ratio) * RATIO_STEPS + step(triangle.shortest_ratio)
    };
    let mut by_cell: Vec<Vec<usize>> = vec![Vec::new(); RATIO_STEPS * RATIO_STEPS];
    for (number, triangle) in reference_triangles.iter().enumerate() {
        by_cell[cell(triangle)].push(number);
    }
    let centre = centroid(moved);
    let mut agreements: Vec<Agreement> = Vec::new();
    for triangle in &moved_triangles {
        // The error of a ratio of sides is that of the sides over the longest.
        let slack = 1.5 * search.tolerance / triangle.longest;
        let reach = (slack * RATIO_STEPS as f64).ceil() as usize;
        let home = cell(triangle);
        let (row, column) = (home / RATIO_STEPS, home % RATIO_STEPS);
        for near_row in row.saturating_sub(reach)..=(row + reach).min(RATIO_STEPS - 1) {
            for near_column in column.saturating_sub(reach)..=(column + reach).min(RATIO_STEPS - 1)
            {
                for &number in &by_cell[near_row * RATIO_STEPS + near_column] {
                    let other = &reference_triangles[number];
                    let stretch = (other.longest / triangle.longest - 1.0).abs();
                    let mirrored = other.counterclockwise != triangle.counterclockwise;
                    if stretch > search.scale_tolerance + slack
                        || (mirrored && !search.mirror)
                        || (other.middle_ratio - triangle.middle_ratio).abs() > slack
                        || (other.shortest_ratio - triangle.shortest_ratio).abs() > slack
                    {
                        continue;
                    }
                    agreements
                        .extend(agreement(other, triangle, reference, moved, mirrored, centre));
                }
            }
        }
    }
    candidates(&agreements, moved, centre, search)
}

/// The transform of one pair of triangles, described by where it takes the centre of the moved list and how it turns.
struct Agreement {
    transform: AffineTransform,
    mirrored: bool,
    centre: Point,
    angle: f64,
}

fn agreement(
    reference_triangle: &Triangle,
    moved_triangle: &Triangle,
    reference: &[Point],
    moved: &[Point],
    mirrored: bool,
    centre: Point,
) -> Option<Agreement> {
    let mut pairs = [PointPair { from: (0.0, 0.0), to: (0.0, 0.0), weight: 1.0 }; 3];
    for (slot, pair) in pairs.iter_mut().enumerate() {
        pair.from = moved[moved_triangle.vertices[slot]];
        pair.to = reference[reference_triangle.vertices[slot]];
    }
    let transform = fit_similarity(&pairs, mirrored)?;
    let angle = transform.rotation_degrees().to_radians();
    Some(Agreement { transform, mirrored, centre: transform.apply(centre.0, centre.1), angle })
}

/// Collects agreements that say nearly the same: votes in cells of shift and angle, joined with their neighbours.
fn candidates(
    agreements: &[Agreement],
    moved: &[Point],
    centre: Point,
    search: &PatternSearch,
) -> Vec<PatternCandidate> {
    let extent = moved
        .iter()
        .map(|point| (point.0 - centre.0).hypot(point.1 - centre.1))
        .filter(|distance| distance.is_finite())
        .fold(search.tolerance, f64::max);
    let shift_step = 4.0 * search.tolerance;
    // A turn of one step moves the edge by as much as one step of shift, but never less than half a degree:
    // single triangles do not tell angles better than that.
    let angle_step = (shift_step / extent).max(0.01);
    let key = |agreement: &Agreement| {
        (
            agreement.mirrored,
            (agreement.centre.0 / shift_step).floor() as i64,
            (agreement.centre.1 / shift_step).floor() as i64,
            (agreement.angle / angle_step).floor() as i64,
        )
    };
    let mut cells: std::collections::BTreeMap<(bool, i64, i64, i64), Vec<usize>> =
        std::collections::BTreeMap::new();
    for (number, agreement) in agreements.iter().enumerate() {
        cells.entry(key(agreement)).or_default().push(number);
    }
    let turn = (std::f64::consts::PI / angle_step).floor() as i64;
    let mut found: Vec<(usize, (bool, i64, i64, i64))> = cells
        .iter()
        .map(|(&cell, members)| {
            let around = neighbours(cell, turn).filter(|near| *near != cell);
            let joined: usize = around.filter_map(|near| cells.get(&near)).map(Vec::len).sum();
            (members.len() + joined, cell)
        })
        .collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut result: Vec<PatternCandidate> = Vec::new();
    let mut used: std::collections::BTreeSet<(bool, i64, i64, i64)> =
        std::collections::BTreeSet::new();
    for (triangle_count, cell) in found {
        if result.len() >= search.maximum_candidates {
            break;
        }
        if used.contains(&cell) {
            continue;
        }
        let members: Vec<usize> =
            neighbours(cell, turn).filter_map(|near| cells.get(&near)).flatten().copied().collect();
        used.extend(neighbours(cell, turn));
        if let Some(transform) = typical(agreements, &members, centre, cell.0) {
            result.push(PatternCandidate { transform, triangles: triangle_count });
        }
    }
    result
}

/// A cell and those that touch it, angles around the circle.
fn neighbours(
    (mirrored, x, y, angle): (bool, i64, i64, i64),
    turn: i64,
) -> impl Iterator<Item = (bool, i64, i64, i64)> {
    (-1..=1).flat_map(move |dx: i64| {
        (-1..=1).flat_map(move |dy: i64| {
            (-1..=1).map(move |step: i64| {
                let mut near = angle + step;
                if near > turn {
                    near = -turn - 1;
                } else if near < -turn - 1 {
                    near = turn;
                }
                (mirrored, x.saturating_add(dx), y.saturating_add(dy), near)
            })
        })
    })
}

/// The median of the members in shift and rotation, with scale one.
fn typical(
    agreements: &[Agreement],
    members: &[usize],
    centre: Point,
    mirrored: bool,
) -> Option<AffineTransform> {
    let median = |value: &dyn Fn(&Agreement) -> f64| {
        let mut values: Vec<f64> =
            members.iter().map(|&number| value(&agreements[number])).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    // The rotation as a vector has no seam at ±180°.
    let (cosine, sine) =
        (median(&|agreement| agreement.transform.a)?, median(&|agreement| agreement.transform.d)?);
    let norm = cosine.hypot(sine);
    if norm.is_nan() || norm <= 0.0 {
        return None;
    }
    let (a, d) = (cosine / norm, sine / norm);
    let (b, e) = if mirrored { (d, -a) } else { (-d, a) };
    let to = (median(&|agreement| agreement.centre.0)?, median(&|agreement| agreement.centre.1)?);
    let c = to.0 - a * centre.0 - b * centre.1;
    let f = to.1 - d * centre.0 - e * centre.1;
    Some(AffineTransform { a, b, c, d, e, f })
}

/// All triangles that are large and open enough for their shape and handedness to mean something.
fn triangles(points: &[Point], tolerance: f64) -> Vec<Triangle> {
    let distance =
        |i: usize, j: usize| (points[i].0 - points[j].0).hypot(points[i].1 - points[j].1);
    let mut found = Vec::new();
    for i in 0..points.len() {
        for j in i + 1..points.len() {
            for k in j + 1..points.len() {
                // Each side with the vertex opposite to it.
                let mut sides = [(distance(j, k), i), (distance(i, k), j), (distance(i, j), k)];
                sides.sort_by(|a, b| b.0.total_cmp(&a.0));
                let [(longest, opposite), (middle, second), (shortest, third)] = sides;
                let (a, b, c) = (points[opposite], points[second], points[third]);
                let twice_area = (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0);
                let open = twice_area.abs() / longest > 3.0 * tolerance;
                let large = longest > 30.0 * tolerance && shortest > 5.0 * tolerance;
                if longest.is_finite() && open && large {
                    found.push(Triangle {
                        vertices: [opposite, second, third],
                        longest,
                        middle_ratio: middle / longest,
                        shortest_ratio: shortest / longest,
                        counterclockwise: twice_area > 0.0,
                    });
                }
            }
        }
    }
    found
}

fn centroid(points: &[Point]) -> Point {
    let finite = points.iter().filter(|point| point.0.is_finite() && point.1.is_finite());
    let (count, x, y) = finite
        .fold((0.0, 0.0, 0.0), |(count, x, y), point| (count + 1.0, x + point.0, y + point.1));
    if count > 0.0 { (x / count, y / count) } else { (0.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const SEARCH: PatternSearch = PatternSearch {
        tolerance: 1.0,
        scale_tolerance: 0.02,
        mirror: true,
        maximum_points: 40,
        maximum_candidates: 5,
    };

    fn field(seed: u64, count: usize) -> Vec<Point> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|_| (random.random::<f64>() * 1000.0, random.random::<f64>() * 1000.0))
            .collect()
    }

    #[test]
    fn finds_any_rotation_and_parity_with_a_third_of_strangers() {
        for seed in 0..40 {
            let mut random = ChaCha8Rng::seed_from_u64(1000 + seed);
            let angle = random.random_range(-180.0_f64..180.0).to_radians();
            let parity = if seed % 2 == 0 { 1.0 } else { -1.0 };
            let scale = random.random_range(0.985..1.015);
            let (sine, cosine) = (scale * angle.sin(), scale * angle.cos());
            let truth = AffineTransform {
                a: cosine,
                b: -parity * sine,
                c: random.random_range(-5000.0..5000.0),
                d: sine,
                e: parity * cosine,
                f: 40.0,
            };
            let mut moved = field(seed, 40);
            let mut reference: Vec<Point> = moved
                .iter()
                .map(|&(x, y)| truth.apply(x, y))
                .map(|(x, y)| {
                    (x + random.random_range(-0.3..0.3), y + random.random_range(-0.3..0.3))
                })
                .collect();
            for index in [2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 32, 35, 38] {
                reference[index] = truth.apply(index as f64 * 20.0, 970.0 - 13.0 * index as f64);
            }
            moved[1] = (f64::NAN, 3.0);
            let best = find(&reference, &moved, &SEARCH)[0];
            let (x, y) = truth.apply(500.0, 500.0);
            let (u, v) = best.transform.apply(500.0, 500.0);
            assert!((u - x).hypot(v - y) < 4.0, "seed {seed}: {u} {v} instead of {x} {y}");
            assert_eq!(best.transform.determinant() < 0.0, parity < 0.0);
        }
    }

    #[test]
    fn unrelated_fields_agree_in_few_triangles() {
        let related = find(&field(1, 40), &field(1, 40), &SEARCH)[0].triangles;
        for seed in 2..20 {
            let best = find(&field(1, 40), &field(seed, 40), &SEARCH);
            assert!(best.iter().all(|candidate| candidate.triangles * 20 < related));
        }
    }

    #[test]
    fn nothing_to_find_is_no_panic() {
        assert!(find(&[], &[], &SEARCH).is_empty());
        assert!(find(&[(1.0, 1.0); 10], &[(1.0, 1.0); 10], &SEARCH).is_empty());
        assert!(find(&[(f64::NAN, f64::NAN); 10], &field(0, 10), &SEARCH).is_empty());
        let broken = PatternSearch { tolerance: f64::NAN, ..SEARCH };
        assert!(find(&field(0, 9), &field(0, 9), &broken).is_empty());
    }
}
