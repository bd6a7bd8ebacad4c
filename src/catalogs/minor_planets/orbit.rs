//! Osculating elements and where they say a body is: the problem of two bodies.

use super::vector::{Vector, plus, times};
use std::f64::consts::{PI, TAU};

/// Gauss's constant: the mean motion, radians per day, of a massless body at 1 au (IAU 1976 System of Astronomical Constants).
pub(super) const GAUSS_CONSTANT: f64 = 0.017_202_098_95;
/// k²: the Sun's attraction, au³ per day².
pub(super) const SUN: f64 = GAUSS_CONSTANT * GAUSS_CONSTANT;
/// Obliquity of the ecliptic at J2000.0 in which the Minor Planet Center refers its elements, arcseconds (IAU 1976).
const OBLIQUITY_ARCSEC: f64 = 84_381.448;
/// Steps of Newton and Halley converge in less than ten; bisection in between makes the rest certain.
const MOST_STEPS: usize = 64;

/// Heliocentric osculating elements of the ecliptic and equinox J2000.0, of an ellipse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Elements {
    /// When they osculate, MJD (TT).
    pub epoch_mjd: f64,
    pub mean_anomaly_degrees: f64,
    pub argument_of_perihelion_degrees: f64,
    pub ascending_node_degrees: f64,
    pub inclination_degrees: f64,
    /// 0 ≤ e < 1.
    pub eccentricity: f64,
    pub mean_motion_degrees_per_day: f64,
    pub semi_major_axis_au: f64,
}

/// Where a body is and how it moves, from the Sun, on the axes of ICRS: au, au per day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct State {
    pub place: Vector,
    pub velocity: Vector,
}

/// An ellipse in space: its axes as vectors on the axes of ICRS.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ellipse {
    /// Towards perihelion, as long as the semi-major axis, au.
    pub major: Vector,
    /// 90° further along the orbit, as long as the semi-minor axis, au.
    pub minor: Vector,
    pub eccentricity: f64,
    /// Radians per day.
    pub mean_motion: f64,
    /// At the epoch, radians.
    pub mean_anomaly: f64,
    pub epoch_mjd: f64,
}

impl Ellipse {
    pub fn of(elements: &Elements) -> Self {
        let (sin_node, cos_node) = elements.ascending_node_degrees.to_radians().sin_cos();
        let (sin_peri, cos_peri) = elements.argument_of_perihelion_degrees.to_radians().sin_cos();
        let (sin_tilt, cos_tilt) = elements.inclination_degrees.to_radians().sin_cos();
        let major = [
            cos_node * cos_peri - sin_node * sin_peri * cos_tilt,
            sin_node * cos_peri + cos_node * sin_peri * cos_tilt,
            sin_peri * sin_tilt,
        ];
        let minor = [
            -cos_node * sin_peri - sin_node * cos_peri * cos_tilt,
            -sin_node * sin_peri + cos_node * cos_peri * cos_tilt,
            cos_peri * sin_tilt,
        ];
        let (axis, eccentricity) = (elements.semi_major_axis_au, elements.eccentricity);
        let short = axis * (1.0 - eccentricity * eccentricity).max(0.0).sqrt();
        Self {
            major: equatorial(times(major, axis)),
            minor: equatorial(times(minor, short)),
            eccentricity,
            mean_motion: elements.mean_motion_degrees_per_day.to_radians(),
            mean_anomaly: elements.mean_anomaly_degrees.to_radians(),
            epoch_mjd: elements.epoch_mjd,
        }
    }

    /// Where the body is at a date, MJD (TT), were the Sun alone with it.
    pub fn state(&self, mjd: f64) -> State {
        let anomaly = self.mean_anomaly + self.mean_motion * (mjd - self.epoch_mjd);
        let (sin, cos) = eccentric_anomaly(anomaly, self.eccentricity).sin_cos();
        let rate = self.mean_motion / (1.0 - self.eccentricity * cos);
        State {
            place: plus(times(self.major, cos - self.eccentricity), times(self.minor, sin)),
            velocity: plus(times(self.major, -rate * sin), times(self.minor, rate * cos)),
        }
    }
}

/// From the ecliptic and equinox J2000.0 to the axes of ICRS; the 20 mas between ICRS and the equator J2000.0 are left out.
pub(super) fn equatorial(ecliptic: Vector) -> Vector {
    let (sin, cos) = (OBLIQUITY_ARCSEC / 3600.0).to_radians().sin_cos();
    let [x, y, z] = ecliptic;
    [x, cos * y - sin * z, sin * y + cos * z]
}

/// Solves Kepler's equation M = E − e sin E for E, radians: Halley's method, kept between bounds that close in on the root.
/// `eccentricity` from 0 to below 1.
pub(super) fn eccentric_anomaly(mean_anomaly: f64, eccentricity: f64) -> f64 {
    // From −π to π; E has the sign of M.
    let mean = (mean_anomaly + PI).rem_euclid(TAU) - PI;
    let wanted = mean.abs();
    let (mut low, mut high) = (wanted, (wanted + eccentricity).min(PI));
    // Danby (1988, Fundamentals of Celestial Mechanics, eq. 6.6.7) as the start.
    let mut anomaly = (wanted + 0.85 * eccentricity).min(high);
    for _ in 0..MOST_STEPS {
        let (sin, cos) = anomaly.sin_cos();
        let excess = anomaly - eccentricity * sin - wanted;
        if excess > 0.0 {
            high = anomaly;
        } else {
            low = anomaly;
        }
        let slope = 1.0 - eccentricity * cos;
        let step = excess / (slope - 0.5 * excess * eccentricity * sin / slope);
        let next = anomaly - step;
        let is_within = next >= low && next <= high;
        let next = if is_within { next } else { 0.5 * (low + high) };
        let change = (next - anomaly).abs();
        anomaly = next;
        if change < 1e-14 * (1.0 + anomaly) {
            break;
        }
    }
    anomaly.copysign(mean)
}

#[cfg(test)]
mod tests {
    use super::super::vector::{dot, minus, norm};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn kepler_s_equation_holds(mean in -20.0..20.0_f64, closeness in 0.0..12.0_f64) {
            let eccentricity = 1.0 - 10f64.powf(-closeness);
            let anomaly = eccentric_anomaly(mean, eccentricity);
            let back = anomaly - eccentricity * anomaly.sin();
            let off = (back - mean + PI).rem_euclid(TAU) - PI;
            prop_assert!(off.abs() < 1e-12, "{mean} {eccentricity}: {off}");
        }
    }

    #[test]
    fn a_state_obeys_the_integrals_of_the_motion() {
        let axis: f64 = 2.77;
        let elements = Elements {
            epoch_mjd: 60_000.0,
            mean_anomaly_degrees: 291.0,
            argument_of_perihelion_degrees: 73.0,
            ascending_node_degrees: 80.0,
            inclination_degrees: 10.6,
            eccentricity: 0.4,
            mean_motion_degrees_per_day: (GAUSS_CONSTANT / axis.powf(1.5)).to_degrees(),
            semi_major_axis_au: axis,
        };
        let ellipse = Ellipse::of(&elements);
        for mjd in [60_000.0, 60_123.4, 61_900.0, 41_000.0] {
            let State { place, velocity } = ellipse.state(mjd);
            let energy = 0.5 * dot(velocity, velocity) - SUN / norm(place);
            assert!((energy + SUN / (2.0 * axis)).abs() < 1e-16, "{energy}");
            let step = 0.01;
            let (before, after) = (ellipse.state(mjd - step), ellipse.state(mjd + step));
            let slope = times(minus(after.place, before.place), 0.5 / step);
            assert!(norm(minus(slope, velocity)) < 1e-9);
        }
    }
}
