//! Minor planets: where they are, and typed answers to the question which of them are in a field.

use super::SkyPosition;
use serde::{Deserialize, Serialize};

/// Where a telescope stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observatory {
    /// Geodetic, north positive.
    pub latitude_degrees: f64,
    /// Geodetic, east positive.
    pub longitude_degrees: f64,
    pub altitude_metres: f64,
}

/// A minor planet as it is predicted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MinorPlanet {
    /// Number and name, or provisional designation.
    pub name: String,
    /// Astrometric (ICRS, comparable with stars), topocentric if the observatory is known: one for each instant that was asked for.
    pub places: Vec<SkyPosition>,
    /// Standard error of the places: that of the orbit, grown since the last observation, and that of the propagation, grown since
    /// the epoch of the elements.
    pub position_error_arcsec: f64,
    /// V by H and G, where the catalogue has H.
    pub magnitude: Option<f64>,
    /// Towards east (great circle) and north at the first instant, arcseconds an hour.
    pub motion_arcsec_per_hour: (f64, f64),
    pub earth_distance_au: f64,
    pub sun_distance_au: f64,
    /// Angle between the Sun and the observer as the minor planet sees them.
    pub phase_angle_degrees: f64,
    /// Days from the epoch of the elements to the first instant.
    pub epoch_age_days: f64,
    /// The Minor Planet Center gives no uncertainty of the orbit; the greatest is assumed.
    pub orbit_is_unsure: bool,
}

/// Which minor planets are in a field. `Unavailable` never means "none there".
#[derive(Debug, Clone, PartialEq)]
pub enum MinorPlanetAnswer {
    Found {
        /// Brightest first.
        objects: Vec<MinorPlanet>,
    },
    Empty,
    Unavailable {
        reason: String,
    },
    /// The orbits are of a date too far from that asked for: some minor planets were not known then, some are lost since.
    Stale {
        objects: Vec<MinorPlanet>,
        age_days: f64,
    },
}

impl MinorPlanetAnswer {
    pub fn objects(&self) -> &[MinorPlanet] {
        match self {
            Self::Found { objects } | Self::Stale { objects, .. } => objects,
            Self::Empty | Self::Unavailable { .. } => &[],
        }
    }
}

/// A candidate that lies where a minor planet is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinorPlanetMatch {
    pub name: String,
    /// Median distance of its detections from the prediction at their instants.
    pub separation_arcsec: f64,
    /// Standard error of the prediction.
    pub position_error_arcsec: f64,
    /// Predicted V.
    pub magnitude: Option<f64>,
}
