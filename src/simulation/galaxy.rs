//! Galaxies as weighted points of light on a Sérsic profile, so that any point-spread function can be laid over them.

use std::f64::consts::{PI, TAU};

/// Beyond this many half-light radii the profile is cut and its light given back to the rest.
const CUT_RADIUS: f64 = 5.0;
const TABLE_STEPS: usize = 2000;
/// Turning each point by the golden angle covers the disc without spokes or rings.
const GOLDEN_ANGLE: f64 = 2.399_963_229_728_653;

/// A galaxy's shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GalaxyShape {
    /// Of the major axis.
    pub half_light_radius_arcsec: f64,
    /// Minor over major axis, 0 to 1.
    pub axis_ratio: f64,
    /// Of the major axis, from north through east, radians.
    pub position_angle: f64,
    /// 1 is an exponential disc, 4 de Vaucouleurs' law.
    pub sersic_index: f64,
}

/// A share of a galaxy's light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LightPoint {
    pub east_arcsec: f64,
    pub north_arcsec: f64,
    /// All points of a galaxy sum to 1.
    pub weight: f64,
}

/// Share of the light within r, for r in equal steps up to [`CUT_RADIUS`] half-light radii.
fn growth_curve(sersic_index: f64) -> Vec<f64> {
    // Ciotti & Bertin 1999, A&A 352, 447, eq. 18 (first three terms): I(R) ∝ exp(−b (R/Re)^(1/n)).
    let b = 2.0 * sersic_index - 1.0 / 3.0 + 4.0 / (405.0 * sersic_index);
    let step = CUT_RADIUS / TABLE_STEPS as f64;
    let mut sum = 0.0;
    let mut curve = Vec::with_capacity(TABLE_STEPS + 1);
    curve.push(0.0);
    for index in 0..TABLE_STEPS {
        let radius = (index as f64 + 0.5) * step;
        sum += (-b * radius.powf(1.0 / sersic_index)).exp() * radius;
        curve.push(sum);
    }
    curve.iter_mut().for_each(|value| *value /= sum);
    curve
}

/// Radius within which lies `share` of the light, half-light radii.
fn radius_of(curve: &[f64], share: f64) -> f64 {
    let above = curve.partition_point(|value| *value < share).clamp(1, curve.len() - 1);
    let (low, high) = (curve[above - 1], curve[above]);
    let fraction = if high > low { (share - low) / (high - low) } else { 0.0 };
    (above as f64 - 1.0 + fraction) * CUT_RADIUS / (curve.len() - 1) as f64
}

impl GalaxyShape {
    /// `count` points whose weights follow the profile. The outskirts get more points of less light, so that they stay
    /// smooth under a narrow point-spread function.
    pub fn light_points(&self, count: usize) -> Vec<LightPoint> {
        let curve = growth_curve(self.sersic_index);
        let share_beyond = |edge: f64| (1.0 - edge).powi(2);
        let (sin_angle, cos_angle) = self.position_angle.sin_cos();
        (0..count)
            .map(|index| {
                let inner = index as f64 / count as f64;
                let outer = (index + 1) as f64 / count as f64;
                let weight = share_beyond(inner) - share_beyond(outer);
                let radius = radius_of(&curve, 1.0 - share_beyond((inner + outer) / 2.0))
                    * self.half_light_radius_arcsec;
                let turn = (index as f64 * GOLDEN_ANGLE).rem_euclid(TAU);
                let along = radius * turn.cos();
                let across = radius * self.axis_ratio * turn.sin();
                LightPoint {
                    east_arcsec: along * sin_angle + across * cos_angle,
                    north_arcsec: along * cos_angle - across * sin_angle,
                    weight,
                }
            })
            .collect()
    }

    /// How many points a galaxy of this size needs to look smooth: growing with its area in squares of half a typical
    /// seeing disc.
    pub fn sufficient_points(&self) -> usize {
        let area = PI * self.half_light_radius_arcsec.powi(2) * self.axis_ratio;
        ((area / 0.09).ceil() as usize).clamp(16, 300)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_light_lies_within_the_half_light_radius() {
        for (index, tolerance) in [(1.0, 0.02), (4.0, 0.06)] {
            let shape = GalaxyShape {
                half_light_radius_arcsec: 2.0,
                axis_ratio: 1.0,
                position_angle: 0.3,
                sersic_index: index,
            };
            let points = shape.light_points(400);
            let total: f64 = points.iter().map(|point| point.weight).sum();
            assert!((total - 1.0).abs() < 1e-12);
            let inside: f64 = points
                .iter()
                .filter(|point| point.east_arcsec.hypot(point.north_arcsec) < 2.0)
                .map(|point| point.weight)
                .sum();
            // The cut gives the light beyond it back, so a little more than half is inside for n = 4.
            assert!((inside - 0.5 - tolerance / 2.0).abs() < tolerance, "{index}: {inside}");
        }
    }

    #[test]
    fn the_exponential_curve_is_the_analytic_one() {
        let curve = growth_curve(1.0);
        // L(<R) = 1 − (1 + x) e^(−x), x = 1.67835 R/Re.
        let analytic = |radius: f64| {
            let x = 1.678_347 * radius;
            1.0 - (1.0 + x) * (-x).exp()
        };
        for radius in [0.5, 1.0, 2.0, 3.0] {
            let found = curve[(radius / CUT_RADIUS * TABLE_STEPS as f64) as usize];
            let expected = analytic(radius) / analytic(CUT_RADIUS);
            assert!((found - expected).abs() < 2e-3, "{radius}: {found} {expected}");
        }
    }

    #[test]
    fn the_major_axis_points_where_it_says() {
        let shape = GalaxyShape {
            half_light_radius_arcsec: 1.0,
            axis_ratio: 0.4,
            position_angle: PI / 2.0,
            sersic_index: 1.0,
        };
        let points = shape.light_points(300);
        let moment = |axis: fn(&LightPoint) -> f64| -> f64 {
            points.iter().map(|point| point.weight * axis(point).powi(2)).sum()
        };
        let east = moment(|point| point.east_arcsec);
        let north = moment(|point| point.north_arcsec);
        assert!(((north / east).sqrt() - 0.4).abs() < 0.03, "{east} {north}");
    }
}
