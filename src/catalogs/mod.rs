//! Offline catalogues: a cone search with a typed answer.

pub mod local;

use crate::model::{CatalogueAnswer, SkyPosition};

/// A catalogue that can be asked for the objects about a position. Never blocks on a network.
pub trait Catalogue: Send + Sync {
    /// Objects within `radius_degrees` of `centre`, brightest first.
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer;

    /// One line for provenance: name, version or date, number of objects.
    fn describe(&self) -> String;
}
