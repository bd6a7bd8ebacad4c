//! Weighted least squares for plane transforms: six coefficients (affine) or four (similarity).

use super::alignment::AffineTransform;
use nalgebra::{Matrix3, Vector3};

/// A point in one plane, the same point in the other, and the weight of the pair (1 / variance).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointPair {
    pub from: (f64, f64),
    pub to: (f64, f64),
    pub weight: f64,
}

impl PointPair {
    fn is_usable(&self) -> bool {
        self.from.0.is_finite()
            && self.from.1.is_finite()
            && self.to.0.is_finite()
            && self.to.1.is_finite()
            && self.weight.is_finite()
            && self.weight > 0.0
    }
}

/// Weighted centroids of both sides and the weighted mean square distance of the `from` side from its own:
/// fits are made about these so that the normal equations are well conditioned wherever the points lie.
struct Centred {
    from: (f64, f64),
    to: (f64, f64),
    total_weight: f64,
    mean_square: f64,
}

fn centred(pairs: &[PointPair]) -> Option<Centred> {
    let mut total_weight = 0.0;
    let (mut from, mut to) = ((0.0, 0.0), (0.0, 0.0));
    for pair in pairs.iter().filter(|pair| pair.is_usable()) {
        total_weight += pair.weight;
        from.0 += pair.weight * pair.from.0;
        from.1 += pair.weight * pair.from.1;
        to.0 += pair.weight * pair.to.0;
        to.1 += pair.weight * pair.to.1;
    }
    if total_weight <= 0.0 || !total_weight.is_finite() {
        return None;
    }
    from = (from.0 / total_weight, from.1 / total_weight);
    to = (to.0 / total_weight, to.1 / total_weight);
    let mean_square = pairs
        .iter()
        .filter(|pair| pair.is_usable())
        .map(|pair| pair.weight * ((pair.from.0 - from.0).powi(2) + (pair.from.1 - from.1).powi(2)))
        .sum::<f64>()
        / total_weight;
    (mean_square > 0.0 && mean_square.is_finite()).then_some(Centred {
        from,
        to,
        total_weight,
        mean_square,
    })
}

/// The affine transform with the least weighted squared residuals. Pairs with non-finite numbers or without weight
/// are left out. `None` for fewer than three usable pairs or where they lie on one line.
pub fn fit_affine(pairs: &[PointPair]) -> Option<AffineTransform> {
    let centre = centred(pairs)?;
    let scale = centre.mean_square.sqrt();
    let mut normal = Matrix3::<f64>::zeros();
    let (mut right_x, mut right_y) = (Vector3::<f64>::zeros(), Vector3::<f64>::zeros());
    for pair in pairs.iter().filter(|pair| pair.is_usable()) {
        let basis = Vector3::new(
            (pair.from.0 - centre.from.0) / scale,
            (pair.from.1 - centre.from.1) / scale,
            1.0,
        );
        let weight = pair.weight / centre.total_weight;
        normal += basis * basis.transpose() * weight;
        right_x += basis * (weight * (pair.to.0 - centre.to.0));
        right_y += basis * (weight * (pair.to.1 - centre.to.1));
    }
    // In these units the trace of the position block is one; points on a line make its determinant vanish.
    let determinant = normal[(0, 0)] * normal[(1, 1)] - normal[(0, 1)] * normal[(1, 0)];
    if determinant.is_nan() || determinant < 1e-10 {
        return None;
    }
    let decomposition = normal.cholesky()?;
    let (x, y) = (decomposition.solve(&right_x), decomposition.solve(&right_y));
    let (a, b, d, e) = (x[0] / scale, x[1] / scale, y[0] / scale, y[1] / scale);
    let transform = AffineTransform {
        a,
        b,
        c: centre.to.0 + x[2] - a * centre.from.0 - b * centre.from.1,
        d,
        e,
        f: centre.to.1 + y[2] - d * centre.from.0 - e * centre.from.1,
    };
    transform.is_finite().then_some(transform)
}

/// The rotation, scale and shift with the least weighted squared residuals; `mirrored` adds a reflection.
/// `None` for fewer than two distinct points.
pub fn fit_similarity(pairs: &[PointPair], mirrored: bool) -> Option<AffineTransform> {
    let centre = centred(pairs)?;
    let parity = if mirrored { -1.0 } else { 1.0 };
    let (mut cosine, mut sine) = (0.0, 0.0);
    for pair in pairs.iter().filter(|pair| pair.is_usable()) {
        let (u, v) = (pair.from.0 - centre.from.0, parity * (pair.from.1 - centre.from.1));
        let (x, y) = (pair.to.0 - centre.to.0, pair.to.1 - centre.to.1);
        cosine += pair.weight * (u * x + v * y);
        sine += pair.weight * (u * y - v * x);
    }
    let norm = centre.mean_square * centre.total_weight;
    let (cosine, sine) = (cosine / norm, sine / norm);
    let (a, b, d, e) = (cosine, -parity * sine, sine, parity * cosine);
    let transform = AffineTransform {
        a,
        b,
        c: centre.to.0 - a * centre.from.0 - b * centre.from.1,
        d,
        e,
        f: centre.to.1 - d * centre.from.0 - e * centre.from.1,
    };
    (transform.is_finite() && transform.scale() > 0.0).then_some(transform)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(transform: &AffineTransform) -> Vec<PointPair> {
        [(1000.0, 2000.0), (1100.0, 2005.0), (1040.0, 2300.0), (900.0, 1950.0), (1010.0, 1800.0)]
            .iter()
            .enumerate()
            .map(|(index, &(x, y))| PointPair {
                from: (x, y),
                to: transform.apply(x, y),
                weight: 1.0 + index as f64,
            })
            .collect()
    }

    fn assert_same(left: &AffineTransform, right: &AffineTransform) {
        for (x, y) in [(0.0, 0.0), (1000.0, 0.0), (0.0, 1000.0)] {
            let (a, b) = (left.apply(x, y), right.apply(x, y));
            assert!((a.0 - b.0).hypot(a.1 - b.1) < 1e-8, "{left:?} {right:?}");
        }
    }

    #[test]
    fn affine_is_recovered_exactly() {
        let truth = AffineTransform { a: 1.01, b: 0.2, c: -30.0, d: -0.18, e: 0.97, f: 77.0 };
        assert_same(&fit_affine(&pairs(&truth)).unwrap(), &truth);
    }

    #[test]
    fn similarity_is_recovered_in_both_parities() {
        let (sine, cosine) = 0.7f64.sin_cos();
        let plain = AffineTransform { a: cosine, b: -sine, c: 5.0, d: sine, e: cosine, f: -9.0 };
        assert_same(&fit_similarity(&pairs(&plain), false).unwrap(), &plain);
        let mirrored = AffineTransform { a: cosine, b: sine, c: 5.0, d: sine, e: -cosine, f: -9.0 };
        assert_same(&fit_similarity(&pairs(&mirrored), true).unwrap(), &mirrored);
    }

    #[test]
    fn degenerate_input_has_no_fit() {
        assert!(fit_affine(&[]).is_none());
        assert!(fit_similarity(&[], false).is_none());
        let pair = PointPair { from: (1.0, 2.0), to: (3.0, 4.0), weight: 1.0 };
        assert!(fit_affine(&[pair; 5]).is_none());
        assert!(fit_similarity(&[pair; 5], false).is_none());
        let line: Vec<_> = (0..9)
            .map(|i| PointPair {
                from: (i as f64, 2.0 * i as f64),
                to: (0.0, i as f64),
                weight: 1.0,
            })
            .collect();
        assert!(fit_affine(&line).is_none());
        let poisoned = PointPair { from: (f64::NAN, 0.0), ..pair };
        assert!(fit_affine(&[poisoned; 4]).is_none());
    }

    #[test]
    fn unusable_pairs_do_not_count() {
        let truth = AffineTransform { a: 0.9, b: 0.1, c: 3.0, d: -0.1, e: 0.9, f: 7.0 };
        let mut all = pairs(&truth);
        all.push(PointPair { from: (0.0, 0.0), to: (f64::INFINITY, 0.0), weight: 1.0 });
        all.push(PointPair { from: (0.0, 0.0), to: (500.0, 0.0), weight: 0.0 });
        assert_same(&fit_affine(&all).unwrap(), &truth);
    }
}
