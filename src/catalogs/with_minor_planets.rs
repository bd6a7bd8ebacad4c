//! A catalogue of stars with one of orbits beside it: one answers for what stands, the other for what moves.

use super::{Catalogue, minor_planets::MinorPlanetCatalogue};
use crate::model::{CatalogueAnswer, CatalogueBand, MinorPlanetAnswer, SkyPosition, UtcTime};
use std::sync::Arc;

pub(super) struct WithMinorPlanets {
    pub stars: Arc<dyn Catalogue>,
    pub minor_planets: MinorPlanetCatalogue,
}

impl Catalogue for WithMinorPlanets {
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer {
        self.stars.cone(centre, radius_degrees)
    }

    fn cone_at(&self, centre: SkyPosition, radius_degrees: f64, date: UtcTime) -> CatalogueAnswer {
        self.stars.cone_at(centre, radius_degrees, date)
    }

    fn minor_planets(
        &self,
        centre: SkyPosition,
        radius_degrees: f64,
        instants: &[UtcTime],
    ) -> Option<MinorPlanetAnswer> {
        Some(self.minor_planets.within(centre, radius_degrees, instants))
    }

    fn bands(&self) -> &[CatalogueBand] {
        self.stars.bands()
    }

    fn dated(&self) -> Option<UtcTime> {
        self.stars.dated()
    }

    fn object_count(&self) -> u64 {
        self.stars.object_count()
    }

    fn describe(&self) -> String {
        let orbits = self.minor_planets.header();
        let (name, count, dated) = (&orbits.name, orbits.orbit_count, &orbits.dated);
        format!("{}; {name}: {count} orbits of {dated}", self.stars.describe())
    }
}
