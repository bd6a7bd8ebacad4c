//! A catalogue that grows old.

use super::Catalogue;
use crate::model::{CatalogueAnswer, CatalogueBand, SkyPosition, UtcTime};
use std::sync::Arc;

const DAY_SECONDS: f64 = 86_400.0;

/// Says `Stale` in place of `Found` where the date that is asked for is more than so many days after that of the catalogue. The age is
/// counted to the frame, not to today: an archived night gives the same answers whenever it is replayed.
pub(super) struct AgedCatalogue {
    catalogue: Arc<dyn Catalogue>,
    maximum_age_days: f64,
}

impl AgedCatalogue {
    pub(super) fn new(catalogue: Arc<dyn Catalogue>, maximum_age_days: f64) -> Self {
        Self { catalogue, maximum_age_days }
    }
}

impl Catalogue for AgedCatalogue {
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer {
        self.catalogue.cone(centre, radius_degrees)
    }

    fn cone_at(&self, centre: SkyPosition, radius_degrees: f64, date: UtcTime) -> CatalogueAnswer {
        let answer = self.catalogue.cone_at(centre, radius_degrees, date);
        let Some(dated) = self.catalogue.dated() else { return answer };
        let age_days = date.seconds_since(dated) / DAY_SECONDS;
        match answer {
            CatalogueAnswer::Found { objects, faint_limit, covered_share }
                if age_days > self.maximum_age_days =>
            {
                CatalogueAnswer::Stale { objects, faint_limit, covered_share, age_days }
            }
            answer => answer,
        }
    }

    fn bands(&self) -> &[CatalogueBand] {
        self.catalogue.bands()
    }

    fn dated(&self) -> Option<UtcTime> {
        self.catalogue.dated()
    }

    fn object_count(&self) -> u64 {
        self.catalogue.object_count()
    }

    fn describe(&self) -> String {
        self.catalogue.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CatalogueObject, CatalogueStatus, ObjectKind};

    struct OneStar;

    impl Catalogue for OneStar {
        fn cone(&self, centre: SkyPosition, _radius_degrees: f64) -> CatalogueAnswer {
            let star = CatalogueObject {
                id: "1".to_owned(),
                kind: ObjectKind::Star,
                position: centre,
                magnitude: 15.0,
                magnitude_error: 0.0,
                magnitudes: Vec::new(),
            };
            CatalogueAnswer::Found { objects: vec![star], faint_limit: 18.0, covered_share: 0.5 }
        }

        fn dated(&self) -> Option<UtcTime> {
            UtcTime::parse("2026-01-01T00:00:00").ok()
        }

        fn object_count(&self) -> u64 {
            1
        }

        fn describe(&self) -> String {
            "one star".to_owned()
        }
    }

    #[test]
    fn age_counts_to_the_date_that_is_asked_for() {
        let catalogue = AgedCatalogue::new(Arc::new(OneStar), 30.0);
        let at = |date: &str| {
            let date = UtcTime::parse(date).unwrap();
            catalogue.cone_at(SkyPosition::new(1.0, 2.0), 0.1, date)
        };
        assert_eq!(at("2013-07-16T00:00:00").status(), CatalogueStatus::Found);
        assert_eq!(at("2026-01-30T00:00:00").status(), CatalogueStatus::Found);
        let CatalogueAnswer::Stale { age_days, covered_share, .. } = at("2026-02-01T00:00:00")
        else {
            panic!("not stale");
        };
        assert_eq!((age_days, covered_share), (31.0, 0.5));
        assert_eq!(
            catalogue.cone(SkyPosition::new(1.0, 2.0), 0.1).status(),
            CatalogueStatus::Found
        );
    }
}
