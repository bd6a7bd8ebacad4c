//! In which band of the catalogue, and with which colour, a frame is calibrated; and the catalogue's objects as the frame sees them.
//!
//! Magnitudes of a frame are those of its own filter and detector for a source of the reference colour. That is, unless the camera's file
//! says otherwise, the colour of F_ν ∝ 1/ν, of which afterglows are not far: a candidate, whose colour nobody knows, needs no correction,
//! and its error says what another colour would do (`ColourTerm::unknown_colour_error`).

use crate::imaging::{colour_term::ColouredStar, zero_point::CalibrationStar};
use crate::model::{
    BandMagnitude, CatalogueBand, CatalogueObject, ColourTerm, FilterRules, MagnitudeScale,
    MagnitudeSystem,
};
use std::borrow::Cow;

/// Error of a magnitude that stands in for one of another band.
const OTHER_BAND_ERROR: f64 = 0.5;
/// Where a catalogue gives no error of a colour.
const UNSTATED_ERROR: f64 = 0.02;

/// Bands, and the names and wavelengths of the bluer and the redder one of their colour.
type BandsWithColour = (&'static [&'static str], [(&'static str, f64); 2]);
/// For each band the colour that says most of it, and effective wavelengths of the two in nanometres (Tonry et al. 2012, ApJ 750, 99; Bessell 1990,
/// PASP 102, 1181; Cohen et al. 2003, AJ 126, 1090; Riello et al. 2021, A&A 649, A3; Høg et al. 2000, A&A 355, L27).
const COLOURS: [BandsWithColour; 8] = [
    (&["u", "g", "r"], [("g", 481.0), ("r", 617.0)]),
    (&["i"], [("r", 617.0), ("i", 752.0)]),
    (&["z"], [("i", 752.0), ("z", 866.0)]),
    (&["y"], [("z", 866.0), ("y", 962.0)]),
    (&["B", "V"], [("B", 436.0), ("V", 545.0)]),
    (&["J", "H", "Ks"], [("J", 1235.0), ("H", 1662.0)]),
    (&["G", "BP", "RP"], [("BP", 511.0), ("RP", 777.0)]),
    (&["BT", "VT"], [("BT", 420.0), ("VT", 532.0)]),
];

/// Index −1 of F_ν: the colour is 2.5 log₁₀ of the ratio of wavelengths.
fn power_law_colour(wavelengths: [f64; 2]) -> f64 {
    2.5 * (wavelengths[1] / wavelengths[0]).log10()
}

/// Which bands of a catalogue calibrate the frames of a filter.
#[derive(Debug, Clone, PartialEq)]
pub struct BandChoice {
    bands: Vec<CatalogueBand>,
    band: usize,
    colour: Option<ColourChoice>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct ColourChoice {
    bluer: usize,
    redder: usize,
    /// `None`: the median of the stars.
    reference: Option<f64>,
    /// Value and error.
    given_term: Option<(f64, f64)>,
}

impl BandChoice {
    /// The band that the camera's file names, else that of the filter's name, else the first; `None` for a catalogue whose bands have no
    /// names. The colour, too, is that of the file, else the one for the band, if the catalogue has both of its bands.
    pub fn new(bands: &[CatalogueBand], filter: &str, rules: &FilterRules) -> Option<Self> {
        let place = |name: &str| bands.iter().position(|band| band.name == name);
        let wanted = rules.band.as_deref().unwrap_or(filter).trim();
        let band = place(wanted).or_else(|| place(wanted.trim_end_matches(['\'', 'p']))).or(
            // A filter that the catalogue has not: the colour term has to bridge it.
            (!bands.is_empty()).then_some(0),
        )?;
        let name = bands.get(band)?.name.as_str();
        let usual = COLOURS.iter().find(|(of, _)| of.contains(&name)).map(|(_, pair)| pair);
        let is_ab = |index: usize| {
            bands.get(index).is_some_and(|band| band.conversion().1 == Some(MagnitudeSystem::Ab))
        };
        let colour = match &rules.colour {
            Some((bluer, redder)) => place(bluer).zip(place(redder)).map(|pair| (pair, None)),
            None => usual.and_then(|[bluer, redder]| {
                let pair = place(bluer.0).zip(place(redder.0))?;
                Some((pair, Some(power_law_colour([bluer.1, redder.1]))))
            }),
        };
        let colour = colour.map(|((bluer, redder), usual_reference)| ColourChoice {
            bluer,
            redder,
            reference: rules
                .reference_colour
                .or(usual_reference.filter(|_| is_ab(bluer) && is_ab(redder))),
            given_term: rules
                .colour_term
                .map(|term| (term, rules.colour_term_error.unwrap_or(0.0))),
        });
        Some(Self { bands: bands.to_vec(), band, colour })
    }

    /// Value and error of a magnitude in the system of its band, converted to AB where that is known.
    fn magnitude(&self, object: &CatalogueObject, band: usize) -> Option<(f64, f64)> {
        let BandMagnitude { value, error } = (*object.magnitudes.get(band)?)?;
        let (offset, _) = self.bands.get(band)?.conversion();
        Some((f64::from(value) + offset, error.map_or(0.0, f64::from)))
    }

    /// The star with its magnitude in the band; `None` where the catalogue has none.
    pub fn star(&self, object: &CatalogueObject, rate: (f64, f64)) -> Option<CalibrationStar> {
        let (magnitude, magnitude_error) = self.magnitude(object, self.band)?;
        Some(CalibrationStar { flux: rate.0, flux_error: rate.1, magnitude, magnitude_error })
    }

    /// The same with its colour, where that is known.
    pub fn coloured(
        &self,
        object: &CatalogueObject,
        star: CalibrationStar,
    ) -> Option<ColouredStar> {
        let ColourChoice { bluer, redder, .. } = self.colour?;
        let (blue, red) = (self.magnitude(object, bluer)?, self.magnitude(object, redder)?);
        let stated = |error: f64| if error > 0.0 { error } else { UNSTATED_ERROR };
        let (blue_error, red_error) = (stated(blue.1), stated(red.1));
        let shared = star.magnitude_error.powi(2);
        let covariance = match self.band {
            band if band == bluer => shared,
            band if band == redder => -shared,
            _ => 0.0,
        };
        Some(ColouredStar {
            star,
            colour: blue.0 - red.0,
            colour_error: blue_error.hypot(red_error),
            covariance,
        })
    }

    /// The colour to which magnitudes hold, with `median` as that of the stars.
    pub fn reference_colour(&self, median: f64) -> f64 {
        self.colour.and_then(|colour| colour.reference).unwrap_or(median)
    }

    /// As the camera's file gives it.
    pub fn given_term(&self) -> Option<(f64, f64)> {
        self.colour?.given_term
    }

    /// A term of this colour.
    pub fn term(
        &self,
        (value, error): (f64, f64),
        reference_colour: f64,
        is_fitted: bool,
    ) -> Option<ColourTerm> {
        let ColourChoice { bluer, redder, .. } = self.colour?;
        let name = |index: usize| self.bands.get(index).map(|band| band.name.clone());
        let bands = (name(bluer)?, name(redder)?);
        Some(ColourTerm { bands, reference_colour, value, error, is_fitted })
    }

    /// The scale of magnitudes in the band.
    pub fn scale(&self, colour_term: Option<ColourTerm>, intrinsic_scatter: f64) -> MagnitudeScale {
        let band = self.bands.get(self.band);
        MagnitudeScale {
            band: band.map(|band| band.name.clone()).unwrap_or_default(),
            system: band.and_then(|band| band.conversion().1),
            colour_term,
            intrinsic_scatter,
        }
    }
}

/// The objects with their magnitudes as a frame of this scale measures them: in its band and system, with the colour term taken off where
/// the colour is known. As they are where the catalogue's bands have no names, or the frame no scale. An object without a magnitude in the band keeps
/// that of another with half a magnitude more of error.
pub fn as_the_frame_sees<'a>(
    objects: &'a [CatalogueObject],
    bands: &[CatalogueBand],
    scale: Option<&MagnitudeScale>,
) -> Cow<'a, [CatalogueObject]> {
    let Some(scale) = scale.filter(|_| !bands.is_empty()) else { return Cow::Borrowed(objects) };
    let place = |name: &str| bands.iter().position(|band| band.name == name);
    let Some(band) = place(&scale.band) else { return Cow::Borrowed(objects) };
    let choice = BandChoice { bands: bands.to_vec(), band, colour: None };
    let term = scale.colour_term.as_ref().and_then(|term| {
        Some((place(&term.bands.0)?, place(&term.bands.1)?, term.value, term.reference_colour))
    });
    let seen = |object: &CatalogueObject| {
        let Some((magnitude, error)) = choice.magnitude(object, band) else {
            let magnitude_error = match object.magnitudes.first() {
                Some(Some(_)) => object.magnitude_error.hypot(OTHER_BAND_ERROR),
                // The catalogue's answer has that error in it already.
                _ => object.magnitude_error,
            };
            return CatalogueObject { magnitude_error, ..object.clone() };
        };
        let correction = term.and_then(|(bluer, redder, value, reference)| {
            let colour = choice.magnitude(object, bluer)?.0 - choice.magnitude(object, redder)?.0;
            Some(value * (colour - reference))
        });
        CatalogueObject {
            magnitude: magnitude - correction.unwrap_or(0.0),
            magnitude_error: error,
            ..object.clone()
        }
    };
    Cow::Owned(objects.iter().map(seen).collect())
}

/// Error that the unknown colour of a source adds to its magnitude on a frame of this scale.
pub fn unknown_colour_error(scale: Option<&MagnitudeScale>) -> f64 {
    let term = scale.and_then(|scale| scale.colour_term.as_ref());
    term.map_or(0.0, ColourTerm::unknown_colour_error)
}

/// The objects of a catalogue about a field.
#[derive(Debug, Clone, Copy, Default)]
pub struct FieldCatalogue<'a> {
    pub objects: &'a [CatalogueObject],
    /// Of the objects' magnitudes; none where the catalogue has but one.
    pub bands: &'a [CatalogueBand],
}

impl<'a> FieldCatalogue<'a> {
    /// See [`as_the_frame_sees`].
    pub fn as_seen_by(self, scale: Option<&MagnitudeScale>) -> Cow<'a, [CatalogueObject]> {
        as_the_frame_sees(self.objects, self.bands, scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::catalogue_map::CatalogueMap;
    use crate::model::{ObjectKind, SkyPosition};

    fn bands(map: &str) -> Vec<CatalogueBand> {
        CatalogueMap::named(map).unwrap().bands.iter().map(|band| band.scale()).collect()
    }

    fn object(magnitudes: &[f32]) -> CatalogueObject {
        let of = |value: &f32| {
            value.is_finite().then_some(BandMagnitude { value: *value, error: Some(0.01) })
        };
        CatalogueObject {
            id: "1".into(),
            kind: ObjectKind::Star,
            position: SkyPosition::new(30.0, 24.0),
            magnitude: f64::from(magnitudes[0]),
            magnitude_error: 0.01,
            magnitudes: magnitudes.iter().map(of).collect(),
        }
    }

    #[test]
    fn the_band_is_that_of_the_filter_and_the_colour_that_of_the_band() {
        let rules = FilterRules::default();
        let of = |map: &str, filter: &str| {
            let choice = BandChoice::new(&bands(map), filter, &rules).unwrap();
            let term = choice.term((0.0, 0.0), 0.0, false);
            (choice.scale(term, 0.01), choice.reference_colour(9.0))
        };
        for (map, filter, band, colour, reference) in [
            ("ps1", "r", "r", ("g", "r"), 0.270),
            ("ps1", "z", "z", ("i", "z"), 0.153),
            ("ps1", "r'", "r", ("g", "r"), 0.270),
            ("ps1", "w", "r", ("g", "r"), 0.270),
            ("2mass", "H", "H", ("J", "H"), 0.322),
            ("apass", "B", "B", ("B", "V"), 0.242),
            ("gaia_dr3", "r", "G", ("BP", "RP"), 0.455),
        ] {
            let (scale, colour_of_reference) = of(map, filter);
            assert_eq!(scale.band, band, "{map} {filter}");
            assert_eq!(scale.system, Some(MagnitudeSystem::Ab), "{map} {filter}");
            let term = scale.colour_term.unwrap();
            assert_eq!((term.bands.0.as_str(), term.bands.1.as_str()), colour, "{map} {filter}");
            assert!((colour_of_reference - reference).abs() < 1e-3, "{colour_of_reference}");
        }
        let (scale, reference) = of("tycho2", "V");
        assert_eq!((scale.system, reference), (Some(MagnitudeSystem::Vega), 9.0));
        assert_eq!(BandChoice::new(&[], "r", &rules), None);
        let (scale, _) = of("usno_b1", "R");
        assert_eq!((scale.band.as_str(), scale.colour_term), ("R2", None));
    }

    #[test]
    fn the_cameras_file_decides() {
        let rules = FilterRules {
            band: Some("i".into()),
            colour: Some(("g".into(), "i".into())),
            reference_colour: Some(0.5),
            colour_term: Some(0.03),
            colour_term_error: Some(0.01),
        };
        let choice = BandChoice::new(&bands("ps1"), "w", &rules).unwrap();
        assert_eq!(choice.scale(None, 0.0).band, "i");
        assert_eq!(choice.reference_colour(9.0), 0.5);
        assert_eq!(choice.given_term(), Some((0.03, 0.01)));
        let star = object(&[f32::NAN, 16.0, 17.0, f32::NAN, f32::NAN]);
        let found = choice.coloured(&star, choice.star(&star, (1.0, 0.1)).unwrap()).unwrap();
        assert!((found.colour - 1.0).abs() < 1e-6 && found.covariance < 0.0, "{found:?}");
    }

    #[test]
    fn vega_magnitudes_become_ab() {
        let bands = bands("2mass");
        let choice = BandChoice::new(&bands, "H", &FilterRules::default()).unwrap();
        let star = choice.star(&object(&[14.0, 13.5, 13.4]), (1.0, 0.1)).unwrap();
        assert!((star.magnitude - (13.5 + 1.39)).abs() < 1e-6);
        let found = choice.coloured(&object(&[14.0, 13.5, 13.4]), star).unwrap();
        assert!((found.colour - (0.5 + 0.91 - 1.39)).abs() < 1e-6);
        assert_eq!(choice.star(&object(&[14.0, f32::NAN, 13.4]), (1.0, 0.1)), None);
    }

    #[test]
    fn a_frame_sees_objects_in_its_own_band() {
        let bands = bands("ps1");
        let term = ColourTerm {
            bands: ("g".into(), "r".into()),
            reference_colour: 0.27,
            value: 0.1,
            error: 0.01,
            is_fitted: true,
        };
        let scale = MagnitudeScale {
            band: "r".into(),
            system: Some(MagnitudeSystem::Ab),
            colour_term: Some(term),
            intrinsic_scatter: 0.01,
        };
        // Bands of the map: r i g z y.
        let red = object(&[16.0, 15.6, 17.27, 15.4, 15.3]);
        let no_colour = object(&[16.0, 15.6, f32::NAN, 15.4, 15.3]);
        let mut no_band = object(&[f32::NAN, 15.6, 17.27, 15.4, 15.3]);
        (no_band.magnitude, no_band.magnitude_error) = (15.6, 0.5);
        let objects = [red, no_colour, no_band];
        let seen = as_the_frame_sees(&objects, &bands, Some(&scale));
        assert!((seen[0].magnitude - 15.9).abs() < 1e-6, "{:?}", seen[0]);
        assert!((seen[1].magnitude - 16.0).abs() < 1e-6);
        assert_eq!((seen[2].magnitude, seen[2].magnitude_error), (15.6, 0.5));
        assert!(matches!(as_the_frame_sees(&objects, &bands, None), Cow::Borrowed(_)));
        assert!(matches!(as_the_frame_sees(&objects, &[], Some(&scale)), Cow::Borrowed(_)));
    }
}
