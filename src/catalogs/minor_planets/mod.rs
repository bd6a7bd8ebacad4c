//! Minor planets offline: the orbits of a dated file of the Minor Planet Center, and which of them are in a field at an instant.
//!
//! `gic catalog build --map mpcorb` makes the store ([`build`], [`store`]). A question is answered in two steps: a first look at all orbits finds
//! those that may come into the field within two hours ([`search`]); these are led there under the pull of the planets ([`perturbations`]) and kept.
//! What is asked of the same field in the same two hours goes by them alone. Places hold light-time and the parallax of the observatory.

pub mod build;
mod designation;
mod earth;
mod earth_series;
mod ephemeris;
mod mpcorb;
mod orbit;
mod perturbations;
mod record;
mod search;
pub mod store;
#[cfg(test)]
mod tests;
mod vector;

pub use mpcorb::Orbit;
pub use orbit::Elements;

use super::store::StoreError;
use crate::model::{MinorPlanet, MinorPlanetAnswer, Observatory, SkyPosition, UtcTime};
use earth::{earth_from_sun, observer_from_sun, terrestrial_mjd};
use ephemeris::NearbyOrbit;
use search::{Neighbourhood, RoughOrbit, candidates};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use store::{OrbitStore, OrbitsHeader};
use vector::{Vector, minus, norm, times};

const DAY_SECONDS: f64 = 86_400.0;
/// Length of the spans of time for which a field is looked through.
const SPAN_SECONDS: f64 = 7200.0;
/// Spans kept at a time: those of a burst, and of a second camera.
const KEPT_SPANS: usize = 16;
/// Years 1900 to 2100 as MJD: what the Earth's series is good for.
const DATES: std::ops::Range<f64> = 15_020.0..88_069.0;
/// The observer's velocity is a difference over so long.
const VELOCITY_SECONDS: f64 = 60.0;

/// An open catalogue of orbits.
pub struct MinorPlanetCatalogue {
    store: OrbitStore,
    rough: Vec<RoughOrbit>,
    observatory: Option<Observatory>,
    maximum_age_days: Option<f64>,
    spans: Mutex<Vec<(SpanKey, Arc<[NearbyOrbit]>)>>,
}

/// A field in a span of time; the numbers as bits, so that equal means the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SpanKey {
    number: i64,
    cone: [u64; 3],
}

impl MinorPlanetCatalogue {
    /// Opens what `gic catalog build --map mpcorb` made, for an observatory (`None`: seen from the middle of the Earth). Dates further than
    /// `maximum_age_days` from that of the file are answered as stale.
    ///
    /// # Errors
    /// A store that is not there, damaged or of another version.
    pub fn open(
        directory: &Path,
        observatory: Option<Observatory>,
        maximum_age_days: Option<f64>,
    ) -> Result<Self, StoreError> {
        let (store, rough) = OrbitStore::open(directory)?;
        Ok(Self { store, rough, observatory, maximum_age_days, spans: Mutex::default() })
    }

    pub fn header(&self) -> &OrbitsHeader {
        &self.store.header
    }

    /// Reads all of it and compares it with the SHA-256 of the header.
    ///
    /// # Errors
    /// A store that differs or cannot be read.
    pub fn verify(&self) -> Result<(), StoreError> {
        self.store.verify()
    }

    /// Minor planets that are within `radius_degrees` of `centre` at one of the instants at least, with their places at all of them.
    pub fn within(
        &self,
        centre: SkyPosition,
        radius_degrees: f64,
        instants: &[UtcTime],
    ) -> MinorPlanetAnswer {
        let is_cone = centre.ra_degrees.is_finite()
            && (-90.0..=90.0).contains(&centre.dec_degrees)
            && (0.0..=180.0).contains(&radius_degrees);
        let Some(&first) = instants.first().filter(|_| is_cone) else {
            return MinorPlanetAnswer::Unavailable { reason: "no cone, or no instant".to_owned() };
        };
        if let Some(date) = instants.iter().find(|instant| !DATES.contains(&instant.mjd())) {
            let reason = format!("{date}: no minor planets are predicted for such a date");
            return MinorPlanetAnswer::Unavailable { reason };
        }
        let objects = match self.objects(centre, radius_degrees, instants) {
            Ok(objects) => objects,
            Err(error) => return MinorPlanetAnswer::Unavailable { reason: error.to_string() },
        };
        let age_days = first.seconds_since(self.store.dated).abs() / DAY_SECONDS;
        if self.maximum_age_days.is_some_and(|maximum| age_days > maximum) {
            return MinorPlanetAnswer::Stale { objects, age_days };
        }
        match objects.is_empty() {
            true => MinorPlanetAnswer::Empty,
            false => MinorPlanetAnswer::Found { objects },
        }
    }

    fn objects(
        &self,
        centre: SkyPosition,
        radius_degrees: f64,
        instants: &[UtcTime],
    ) -> Result<Vec<MinorPlanet>, StoreError> {
        let observers: Vec<Observer> =
            instants.iter().map(|&instant| Observer::at(instant, self.observatory)).collect();
        let mut numbers: Vec<i64> = instants.iter().map(|&instant| span_of(instant)).collect();
        let of_instants = numbers.clone();
        numbers.sort_unstable();
        numbers.dedup();
        let spans: Vec<(i64, Arc<[NearbyOrbit]>)> = numbers
            .into_iter()
            .map(|number| Ok((number, self.span(number, centre, radius_degrees)?)))
            .collect::<Result<_, StoreError>>()?;
        // The same minor planet may be in several spans: the first in which it is seen counts, for all instants.
        let mut found: Vec<MinorPlanet> = Vec::new();
        for (number, orbits) in &spans {
            for orbit in orbits.iter() {
                let is_in = observers.iter().zip(&of_instants).any(|(observer, of_instant)| {
                    of_instant == number
                        && orbit
                            .seen(observer.mjd, observer.place)
                            .direction()
                            .separation_arcsec(centre)
                            <= radius_degrees * 3600.0
                });
                if is_in && found.iter().all(|each| each.name != orbit.orbit.name) {
                    found.extend(predicted(orbit, &observers));
                }
            }
        }
        let rank = |each: &MinorPlanet| each.magnitude.unwrap_or(f64::INFINITY);
        found.sort_by(|left, right| {
            rank(left).total_cmp(&rank(right)).then_with(|| left.name.cmp(&right.name))
        });
        Ok(found)
    }

    /// The orbits that may come into the cone in a span of time, led to its middle.
    fn span(
        &self,
        number: i64,
        centre: SkyPosition,
        radius_degrees: f64,
    ) -> Result<Arc<[NearbyOrbit]>, StoreError> {
        let cone = [centre.ra_degrees, centre.dec_degrees, radius_degrees].map(f64::to_bits);
        let key = SpanKey { number, cone };
        let known = |spans: &[(SpanKey, Arc<[NearbyOrbit]>)]| {
            spans.iter().find(|(other, _)| *other == key).map(|(_, orbits)| orbits.clone())
        };
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orbits) = known(&spans) {
            return Ok(orbits);
        }
        let middle =
            UtcTime::from_unix_microseconds(0).plus_seconds((number as f64 + 0.5) * SPAN_SECONDS);
        let mjd = terrestrial_mjd(middle);
        let about = Neighbourhood {
            centre,
            radius_degrees,
            mjd,
            half_span_days: 0.5 * SPAN_SECONDS / DAY_SECONDS,
            earth: earth_from_sun(mjd),
        };
        let orbits = candidates(&self.rough, &about)
            .into_iter()
            .map(|place| self.store.orbit(place))
            .filter(|orbit| {
                orbit.as_ref().map_or(true, |orbit| about.may_hold_orbit(&orbit.elements))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let led = crate::imaging::bands::map(&orbits, |orbit| NearbyOrbit::new(orbit.clone(), mjd));
        let orbits: Arc<[NearbyOrbit]> = led.into();
        if spans.len() >= KEPT_SPANS {
            spans.remove(0);
        }
        spans.push((key, orbits.clone()));
        Ok(orbits)
    }
}

fn span_of(instant: UtcTime) -> i64 {
    (instant.unix_seconds() / SPAN_SECONDS).floor() as i64
}

/// Who looks, and when.
struct Observer {
    /// MJD (TT).
    mjd: f64,
    /// From the Sun, au.
    place: Vector,
    /// au per day.
    velocity: Vector,
}

impl Observer {
    fn at(instant: UtcTime, observatory: Option<Observatory>) -> Self {
        let around = |seconds: f64| observer_from_sun(instant.plus_seconds(seconds), observatory);
        let half = 0.5 * VELOCITY_SECONDS;
        Self {
            mjd: terrestrial_mjd(instant),
            place: around(0.0),
            velocity: times(minus(around(half), around(-half)), DAY_SECONDS / VELOCITY_SECONDS),
        }
    }
}

fn predicted(orbit: &NearbyOrbit, observers: &[Observer]) -> Option<MinorPlanet> {
    let first = observers.first()?;
    let sight = orbit.seen(first.mjd, first.place);
    Some(MinorPlanet {
        name: orbit.orbit.name.clone(),
        places: observers
            .iter()
            .map(|observer| orbit.seen(observer.mjd, observer.place).direction())
            .collect(),
        position_error_arcsec: orbit.error_arcsec(first.mjd, &sight),
        magnitude: orbit.magnitude(&sight),
        motion_arcsec_per_hour: sight.motion(first.velocity),
        earth_distance_au: norm(sight.towards),
        sun_distance_au: norm(sight.state.place),
        phase_angle_degrees: sight.phase_angle().to_degrees(),
        epoch_age_days: first.mjd - orbit.orbit.elements.epoch_mjd,
        orbit_is_unsure: orbit.orbit.uncertainty.is_none(),
    })
}
