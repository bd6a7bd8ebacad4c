//! Which of a million and more orbits come near a field within two hours: all of them are led to the middle of that time by the Sun alone, in
//! single precision; those that may come near are looked at again with care.

use super::{
    orbit::{Elements, Ellipse, GAUSS_CONSTANT},
    vector::{Vector, minus, norm},
};
use crate::imaging::bands;
use crate::model::SkyPosition;
use std::f64::consts::{PI, TAU};

/// More than this and the solution by a fixed number of steps is no longer good: such orbits are always looked at with care.
const ECCENTRIC: f64 = 0.9;
/// Epochs are counted from here, so that single precision holds them.
const REFERENCE_MJD: f64 = 60_000.0;
/// Largest acceleration by the planets that is reckoned with, au per day²: Jupiter at 1.4 au.
const GREATEST_PULL: f64 = 1.5e-7;
/// Two bodies are not trusted beyond this, nor is it searched further, radians (2°).
const FARTHEST_SHIFT: f64 = 0.035;
/// Speed of the Earth, au per day, with a spare.
const EARTH_SPEED: f64 = 0.0177;
/// The observer from the middle of the Earth, au.
const EARTH_RADIUS: f64 = 4.3e-5;
/// Light-time counts as motion, days per au.
const LIGHT_DAYS: f64 = 0.005_78;
/// Single precision, the fixed number of steps and the chord in place of the angle, radians (10″).
const ROUGHNESS: f64 = 5e-5;

/// An orbit in 40 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoughOrbit {
    major: [f32; 3],
    minor: [f32; 3],
    eccentricity: f32,
    mean_motion: f32,
    mean_anomaly: f32,
    epoch: f32,
}

/// A cone in a span of time about the middle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbourhood {
    pub centre: SkyPosition,
    pub radius_degrees: f64,
    /// Middle of the span, MJD (TT).
    pub mjd: f64,
    pub half_span_days: f64,
    /// The Earth from the Sun then.
    pub earth: Vector,
}

impl RoughOrbit {
    pub fn of(elements: &Elements) -> Self {
        let ellipse = Ellipse::of(elements);
        Self {
            major: ellipse.major.map(|value| value as f32),
            minor: ellipse.minor.map(|value| value as f32),
            eccentricity: ellipse.eccentricity as f32,
            mean_motion: ellipse.mean_motion as f32,
            mean_anomaly: ((ellipse.mean_anomaly + PI).rem_euclid(TAU) - PI) as f32,
            epoch: (ellipse.epoch_mjd - REFERENCE_MJD) as f32,
        }
    }

    /// Where it is at a date, au from the Sun, to some millionths.
    fn place(&self, mjd: f64) -> Vector {
        let span = mjd - REFERENCE_MJD - f64::from(self.epoch);
        let eccentricity = f64::from(self.eccentricity);
        let turned = f64::from(self.mean_anomaly) + f64::from(self.mean_motion) * span;
        let mean = (turned - TAU * (turned / TAU).round()) as f32;
        let eccentric = self.eccentricity;
        let mut anomaly = mean + 0.85 * eccentric.copysign(mean);
        for _ in 0..3 {
            let (sin, cos) = anomaly.sin_cos();
            let excess = anomaly - eccentric * sin - mean;
            let slope = 1.0 - eccentric * cos;
            anomaly -= excess / (slope - 0.5 * excess * eccentric * sin / slope);
        }
        let (sin, cos) = (f64::from(anomaly.sin()), f64::from(anomaly.cos()));
        let along = cos - eccentricity;
        let [a, b, c] = self.major.map(f64::from);
        let [d, e, f] = self.minor.map(f64::from);
        [a * along + d * sin, b * along + e * sin, c * along + f * sin]
    }

    fn may_be_in(&self, about: &Neighbourhood, centre: Vector) -> bool {
        if f64::from(self.eccentricity) > ECCENTRIC {
            return true;
        }
        let place = self.place(about.mjd);
        let span = about.mjd - REFERENCE_MJD - f64::from(self.epoch);
        about.may_hold(place, span, centre)
    }
}

impl Neighbourhood {
    /// Whether what is at `place` by the Sun alone, `span` days from its epoch, may come into the cone within the time. `centre` is the
    /// direction of the cone.
    fn may_hold(&self, place: Vector, span: f64, centre: Vector) -> bool {
        let towards = minus(place, self.earth);
        let distance = norm(towards);
        let speed = std::f64::consts::SQRT_2 * GAUSS_CONSTANT / norm(place).sqrt();
        let moved = self.half_span_days * (speed + EARTH_SPEED) + LIGHT_DAYS * distance * speed;
        let shifted = (0.5 * GREATEST_PULL * span * span).min(FARTHEST_SHIFT * distance);
        let spare = ROUGHNESS + (moved + shifted + EARTH_RADIUS) / distance;
        let off = [0, 1, 2].map(|axis| towards[axis] / distance - centre[axis]);
        // The chord is never longer than the angle.
        norm(off) <= self.radius_degrees.to_radians() + spare
    }

    fn direction(&self) -> Vector {
        let (sin_ra, cos_ra) = self.centre.ra_degrees.to_radians().sin_cos();
        let (sin_dec, cos_dec) = self.centre.dec_degrees.to_radians().sin_cos();
        [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec]
    }

    /// The same question with the elements as they are.
    pub fn may_hold_orbit(&self, elements: &Elements) -> bool {
        let place = Ellipse::of(elements).state(self.mjd).place;
        self.may_hold(place, self.mjd - elements.epoch_mjd, self.direction())
    }
}

/// Places in the list of the orbits that may come into the cone, ascending.
pub(super) fn candidates(orbits: &[RoughOrbit], about: &Neighbourhood) -> Vec<usize> {
    const PIECE: usize = 1 << 14;
    let centre = about.direction();
    let pieces: Vec<(usize, &[RoughOrbit])> = orbits.chunks(PIECE).enumerate().collect();
    let found = bands::map(&pieces, |(piece, orbits)| {
        let near = orbits.iter().enumerate().filter(|(_, orbit)| orbit.may_be_in(about, centre));
        near.map(|(place, _)| piece * PIECE + place).collect::<Vec<_>>()
    });
    found.into_iter().flatten().collect()
}
