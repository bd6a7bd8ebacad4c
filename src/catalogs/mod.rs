//! Offline catalogues: a cone search with a typed answer. A small CSV is held in memory (`local`); catalogues of any size are built into
//! a store by HEALPix cells (`build`), which is read where it lies (`store`).

mod aged;
pub mod build;
pub mod coverage;
pub mod healpix;
mod input;
pub mod local;
pub mod minor_planets;
pub mod record;
mod row_mapping;
mod sorted_runs;
pub mod store;
pub mod store_header;
#[cfg(test)]
mod store_tests;
mod with_minor_planets;

use crate::model::{CatalogueAnswer, CatalogueBand, MinorPlanetAnswer, SkyPosition, UtcTime};
use aged::AgedCatalogue;
pub use input::InputError;
use local::{LocalCatalogue, LocalCatalogueError};
use minor_planets::MinorPlanetCatalogue;
use std::{path::Path, sync::Arc};
use store::{CatalogueStore, StoreError};

/// A catalogue that can be asked for the objects about a position. Never blocks on a network.
pub trait Catalogue: Send + Sync {
    /// Objects within `radius_degrees` of `centre`, brightest first, where the catalogue has them.
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer;

    /// The same with the objects where they are at a date, in a catalogue that knows how they move.
    fn cone_at(&self, centre: SkyPosition, radius_degrees: f64, _date: UtcTime) -> CatalogueAnswer {
        self.cone(centre, radius_degrees)
    }

    /// Minor planets in a cone at one of the instants at least; `None` where there are no orbits.
    fn minor_planets(
        &self,
        _centre: SkyPosition,
        _radius_degrees: f64,
        _instants: &[UtcTime],
    ) -> Option<MinorPlanetAnswer> {
        None
    }

    /// The bands of the objects' magnitudes; none where it has but one, without a name.
    fn bands(&self) -> &[CatalogueBand] {
        &[]
    }

    /// When the catalogue was made, if it says so.
    fn dated(&self) -> Option<UtcTime> {
        None
    }

    fn object_count(&self) -> u64;

    /// One line for provenance: name, version or date, number of objects.
    fn describe(&self) -> String;
}

/// Why a catalogue cannot be opened: trying again with what is there will not help.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error(transparent)]
    Local(#[from] LocalCatalogueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens a catalogue: the directory that `gic catalog build` made, or a CSV file. With `maximum_age_days` it answers as stale what
/// is asked for a date later than so long after its own.
pub fn open(
    path: &Path,
    maximum_age_days: Option<f64>,
) -> Result<Arc<dyn Catalogue>, CatalogueError> {
    let catalogue: Arc<dyn Catalogue> = match path.is_dir() {
        true => Arc::new(CatalogueStore::open(path)?),
        false => Arc::new(LocalCatalogue::open(path)?),
    };
    Ok(match maximum_age_days {
        Some(days) => Arc::new(AgedCatalogue::new(catalogue, days)),
        None => catalogue,
    })
}

/// The same catalogue, which knows minor planets as well.
pub fn with_minor_planets(
    stars: Arc<dyn Catalogue>,
    minor_planets: MinorPlanetCatalogue,
) -> Arc<dyn Catalogue> {
    Arc::new(with_minor_planets::WithMinorPlanets { stars, minor_planets })
}

/// Julian year of a Modified Julian Date; the minute between UTC and TT moves no star.
pub fn julian_year_of_mjd(mjd: f64) -> f64 {
    2000.0 + (mjd - 51_544.5) / 365.25
}
