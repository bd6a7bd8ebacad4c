//! The point that a smooth map of the plane takes to a given one, by Newton's iteration.

/// Steps after which a point is given up; from a sound starting point three or four suffice.
const MAXIMUM_STEPS: usize = 50;
/// A step is shortened by halves until it leads nearer to the target, at most to this share.
const LEAST_SHARE: f64 = 1.0 / 1024.0;
/// Newton's steps shrink by their squares. Where the step after this one would be shorter than this share of the tolerance, as
/// the one before it tells, it is not taken.
const FORESEEN_SHARE: f64 = 1e-6;
/// A step of this share of the coordinates is as short as their rounding allows to ask for.
const ROUNDING: f64 = 1e-13;

/// A map at one point: where it leads, and its Jacobian `[[∂x'/∂x, ∂x'/∂y], [∂y'/∂x, ∂y'/∂y]]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MappedPoint {
    pub value: (f64, f64),
    pub jacobian: [[f64; 2]; 2],
}

impl MappedPoint {
    pub fn determinant(&self) -> f64 {
        determinant(self.jacobian)
    }
}

fn determinant([[a, b], [c, d]]: [[f64; 2]; 2]) -> f64 {
    a * d - b * c
}

/// Whether the change from one Jacobian to another has a positive determinant and trace: no fold lies between them along
/// either direction.
fn are_alike(left: [[f64; 2]; 2], right: [[f64; 2]; 2]) -> bool {
    let ([[a, b], [c, d]], [[p, q], [r, s]]) = (left, right);
    let trace = (a * s - b * r + d * p - c * q) / determinant(right);
    determinant(left) * determinant(right) > 0.0 && trace > 0.0
}

/// The point that `map` takes to `target`, looked for from `start`. The last step is shorter than `tolerance`; the error of
/// the answer is about its square times the curvature of the map.
///
/// `None` where no step leads nearer, or where the map at the answer is turned over, or about by more than a right angle, from what
/// `at_origin`: beyond a fold, where a polynomial says nothing about a camera.
pub(super) fn invert(
    target: (f64, f64),
    start: (f64, f64),
    tolerance: f64,
    at_origin: [[f64; 2]; 2],
    map: impl Fn(f64, f64) -> MappedPoint,
) -> Option<(f64, f64)> {
    let miss = |mapped: &MappedPoint| (mapped.value.0 - target.0).hypot(mapped.value.1 - target.1);
    let mut here = start;
    let mut mapped = map(here.0, here.1);
    let mut distance = miss(&mapped);
    // Length of the step before, where it was a whole one.
    let mut before = 0.0;
    for _ in 0..MAXIMUM_STEPS {
        let determinant = mapped.determinant();
        let [[a, b], [c, d]] = mapped.jacobian;
        let gap = (target.0 - mapped.value.0, target.1 - mapped.value.1);
        let step = ((d * gap.0 - b * gap.1) / determinant, (a * gap.1 - c * gap.0) / determinant);
        let length = step.0.hypot(step.1);
        if !length.is_finite() {
            return None;
        }
        let is_short = length <= tolerance.max(ROUNDING * here.0.hypot(here.1))
            || length.powi(3) <= FORESEEN_SHARE * tolerance * before * before;
        if is_short {
            let is_camera = are_alike(mapped.jacobian, at_origin);
            return is_camera.then_some((here.0 + step.0, here.1 + step.1));
        }
        let mut share = 1.0;
        loop {
            let next = (here.0 + share * step.0, here.1 + share * step.1);
            let tried = map(next.0, next.1);
            let left = miss(&tried);
            if left < distance {
                (here, mapped, distance) = (next, tried, left);
                before = if share == 1.0 { length } else { 0.0 };
                break;
            }
            share /= 2.0;
            if share < LEAST_SHARE {
                return None;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: [[f64; 2]; 2] = [[1.0, 0.0], [0.0, 1.0]];

    fn cubic(x: f64, y: f64) -> MappedPoint {
        MappedPoint {
            value: (x + 0.1 * x * x * x, y - 0.2 * x * y),
            jacobian: [[1.0 + 0.3 * x * x, 0.0], [-0.2 * y, 1.0 - 0.2 * x]],
        }
    }

    #[test]
    fn the_point_is_found_to_rounding() {
        for (x, y) in [(0.0, 0.0), (1.5, -2.0), (-3.0, 0.25), (4.0, 4.0)] {
            let target = cubic(x, y).value;
            let found = invert(target, target, 1e-7, EVEN, cubic).unwrap();
            assert!((found.0 - x).hypot(found.1 - y) < 1e-13, "{x} {y}: {found:?}");
        }
    }

    #[test]
    fn beyond_a_fold_and_out_of_numbers_there_is_none() {
        let folded = |x: f64, y: f64| MappedPoint {
            value: (x - x * x, y),
            jacobian: [[1.0 - 2.0 * x, 0.0], [0.0, 1.0]],
        };
        // The fold is at x = 1/2, where the map reaches 1/4.
        assert_eq!(invert((0.3, 0.0), (0.3, 0.0), 1e-7, EVEN, folded), None);
        assert_eq!(invert((0.1875, 0.0), (2.0, 0.0), 1e-7, EVEN, folded), None);
        assert!(invert((0.1875, 0.0), (0.0, 0.0), 1e-7, EVEN, folded).is_some());
        assert_eq!(invert((f64::NAN, 0.0), (0.0, 0.0), 1e-7, EVEN, cubic), None);
        let flat = |_: f64, _: f64| MappedPoint { value: (0.0, 0.0), jacobian: [[0.0; 2]; 2] };
        assert_eq!(invert((0.0, 0.0), (0.0, 0.0), 1e-7, EVEN, flat), None);
    }
}
