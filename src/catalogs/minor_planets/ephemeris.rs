//! From an orbit to what a telescope sees: light-time, direction, brightness, and how far all of it can be trusted.

use super::{
    mpcorb::Orbit,
    orbit::{Ellipse, SUN, State},
    perturbations::propagated,
    vector::{Vector, dot, minus, norm, plus, times},
};
use crate::model::SkyPosition;

/// Light takes so long for 1 au, days (IAU 2012 astronomical unit).
pub(super) const LIGHT_DAYS_PER_AU: f64 = 0.005_775_518_331_436;
pub(super) const ARCSEC_PER_RADIAN: f64 = 206_264.806_247_096_36;
const LIGHT_TIME_ROUNDS: usize = 3;
/// Days in the ten years to which the uncertainty parameter refers.
const DAYS_PER_DECADE: f64 = 3652.5;
/// ln(648 000)/9: an uncertainty class is so much in the logarithm of the runoff (Marsden, MPC 24597).
const CLASS_WIDTH: f64 = 1.49;
const GREATEST_UNCERTAINTY: u8 = 9;
/// What the rounding of the elements leaves, arcseconds.
const FLOOR_ARCSEC: f64 = 0.1;
/// What the series for the Earth leaves, au.
const EARTH_AU: f64 = 4e-7;
/// What the planets' mean elements, the steps and what was left out (Mercury, large minor planets, the Moon apart from the Earth) leave
/// of the shift by the planets, as a share of it.
const SHARE_OF_SHIFT: f64 = 0.01;

/// An orbit brought to an instant; good for some hours about it.
#[derive(Debug, Clone)]
pub(super) struct NearbyOrbit {
    pub orbit: Orbit,
    /// MJD (TT).
    pub mjd: f64,
    pub state: State,
    pub shift_au: f64,
    pub is_perturbed: bool,
}

/// What is seen at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sight {
    /// From the observer on the axes of ICRS, au.
    pub towards: Vector,
    /// From the Sun when the light left.
    pub state: State,
}

impl NearbyOrbit {
    pub fn new(orbit: Orbit, mjd: f64) -> Self {
        let moved = propagated(&Ellipse::of(&orbit.elements), mjd);
        Self {
            orbit,
            mjd,
            state: moved.state,
            shift_au: moved.shift_au,
            is_perturbed: moved.is_perturbed,
        }
    }

    /// Taylor's series to the third order in time: over three hours and the light-time nothing is lost of a millionth.
    fn state(&self, mjd: f64) -> State {
        let State { place, velocity } = self.state;
        let span = mjd - self.mjd;
        let square = dot(place, place);
        let strength = SUN / (square * square.sqrt());
        let pull = times(place, -strength);
        let radial = 3.0 * dot(place, velocity) / square;
        let jerk = plus(times(velocity, -strength), times(place, strength * radial));
        let at = |first: f64, second: f64, third: f64| {
            plus(plus(times(velocity, first), times(pull, second)), times(jerk, third))
        };
        State {
            place: plus(place, at(span, span * span / 2.0, span.powi(3) / 6.0)),
            velocity: at(1.0, span, span * span / 2.0),
        }
    }

    /// What an observer sees at a date, MJD (TT); `observer` is his place from the Sun.
    pub fn seen(&self, mjd: f64, observer: Vector) -> Sight {
        let mut state = self.state(mjd);
        let mut towards = minus(state.place, observer);
        for _ in 0..LIGHT_TIME_ROUNDS {
            state = self.state(mjd - LIGHT_DAYS_PER_AU * norm(towards));
            towards = minus(state.place, observer);
        }
        Sight { towards, state }
    }

    /// Standard error of the direction, arcseconds, at a date and a distance.
    ///
    /// The orbit's: the runoff along it in ten years by its uncertainty parameter, the upper end of its class, for the time since the last
    /// observation. The propagation's: a share of the shift by the planets, or all of it where they were not followed.
    pub fn error_arcsec(&self, mjd: f64, sight: &Sight) -> f64 {
        let class = self.orbit.uncertainty.unwrap_or(GREATEST_UNCERTAINTY);
        let runoff_arcsec = (CLASS_WIDTH * f64::from(class)).exp();
        let since = self.orbit.last_observed_mjd.map_or(self.orbit.elements.epoch_mjd, f64::from);
        let decades = (mjd - since).abs() / DAYS_PER_DECADE;
        let distance = norm(sight.towards);
        let of_orbit = runoff_arcsec * decades * norm(sight.state.place) / distance;
        let share = if self.is_perturbed { SHARE_OF_SHIFT } else { 1.0 };
        let of_planets = share * self.shift_au / distance * ARCSEC_PER_RADIAN;
        let of_earth = EARTH_AU / distance * ARCSEC_PER_RADIAN;
        FLOOR_ARCSEC.hypot(of_earth).hypot(of_orbit).hypot(of_planets)
    }

    /// V by H and G (Bowell et al. 1989, in Asteroids II, appendix).
    pub fn magnitude(&self, sight: &Sight) -> Option<f64> {
        let absolute = f64::from(self.orbit.absolute_magnitude?);
        let slope = f64::from(self.orbit.slope);
        let (from_sun, from_observer) = (norm(sight.state.place), norm(sight.towards));
        let half = (sight.phase_angle() / 2.0).tan();
        let share = |amplitude: f64, power: f64| (-amplitude * half.powf(power)).exp();
        let light = (1.0 - slope) * share(3.33, 0.63) + slope * share(1.87, 1.22);
        let magnitude = absolute + 5.0 * (from_sun * from_observer).log10() - 2.5 * light.log10();
        Some(magnitude).filter(|value| value.is_finite())
    }
}

impl Sight {
    /// Astrometric: among the stars of a catalogue, without aberration.
    pub fn direction(&self) -> SkyPosition {
        let [x, y, z] = self.towards;
        SkyPosition::new(y.atan2(x).to_degrees(), z.atan2(x.hypot(y)).to_degrees())
    }

    /// Angle between the Sun and the observer, radians.
    pub fn phase_angle(&self) -> f64 {
        let cosine = dot(self.towards, self.state.place)
            / (norm(self.towards) * norm(self.state.place)).max(f64::MIN_POSITIVE);
        cosine.clamp(-1.0, 1.0).acos()
    }

    /// Towards east and north, arcseconds an hour, for an observer who moves at `velocity`, au per day.
    pub fn motion(&self, velocity: Vector) -> (f64, f64) {
        let [x, y, z] = self.towards;
        let (across, distance) = (x.hypot(y).max(f64::MIN_POSITIVE), norm(self.towards));
        let relative = minus(self.state.velocity, velocity);
        let east = dot(relative, [-y / across, x / across, 0.0]);
        let north = dot(
            relative,
            [-x * z / (across * distance), -y * z / (across * distance), across / distance],
        );
        let scale = ARCSEC_PER_RADIAN / (24.0 * distance);
        (east * scale, north * scale)
    }
}
