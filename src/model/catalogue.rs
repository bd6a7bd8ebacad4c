//! Catalogue objects and typed answers to a cone search.

use super::{BandMagnitude, SkyPosition};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    Star,
    Galaxy,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogueObject {
    pub id: String,
    pub kind: ObjectKind,
    pub position: SkyPosition,
    pub magnitude: f64,
    /// Zero where the catalogue gives none.
    pub magnitude_error: f64,
    /// In the order of the catalogue's bands, as it gives them; empty where it has but one.
    #[serde(default)]
    pub magnitudes: Vec<Option<BandMagnitude>>,
}

/// The answer to a cone search. `Unavailable` never means "nothing there".
#[derive(Debug, Clone, PartialEq)]
pub enum CatalogueAnswer {
    Found {
        objects: Vec<CatalogueObject>,
        faint_limit: f64,
        /// Share of the cone that the catalogue is known to cover, 0 to 1.
        covered_share: f64,
    },
    /// The catalogue covers the cone and has nothing in it.
    Empty,
    Unavailable {
        reason: String,
    },
    /// Found, but the catalogue was older than its stated life at the date that was asked for.
    Stale {
        objects: Vec<CatalogueObject>,
        faint_limit: f64,
        covered_share: f64,
        age_days: f64,
    },
}

/// The one-word form written in products (`CATSTAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CatalogueStatus {
    Found,
    Empty,
    Unavailable,
    Stale,
}

impl CatalogueStatus {
    pub fn as_card(self) -> &'static str {
        match self {
            Self::Found => "FOUND",
            Self::Empty => "EMPTY",
            Self::Unavailable => "UNAVAILABLE",
            Self::Stale => "STALE",
        }
    }
}

impl CatalogueAnswer {
    pub fn objects(&self) -> &[CatalogueObject] {
        match self {
            Self::Found { objects, .. } | Self::Stale { objects, .. } => objects,
            Self::Empty | Self::Unavailable { .. } => &[],
        }
    }

    /// Magnitude to which the catalogue is complete in the cone, if it has any object.
    pub fn faint_limit(&self) -> Option<f64> {
        match self {
            Self::Found { faint_limit, .. } | Self::Stale { faint_limit, .. } => Some(*faint_limit),
            Self::Empty | Self::Unavailable { .. } => None,
        }
    }

    /// Share of the cone that the catalogue covers: one if it is empty, nothing if the catalogue is unavailable.
    pub fn covered_share(&self) -> f64 {
        match self {
            Self::Found { covered_share, .. } | Self::Stale { covered_share, .. } => *covered_share,
            Self::Empty => 1.0,
            Self::Unavailable { .. } => 0.0,
        }
    }

    pub fn status(&self) -> CatalogueStatus {
        match self {
            Self::Found { .. } => CatalogueStatus::Found,
            Self::Empty => CatalogueStatus::Empty,
            Self::Unavailable { .. } => CatalogueStatus::Unavailable,
            Self::Stale { .. } => CatalogueStatus::Stale,
        }
    }
}
