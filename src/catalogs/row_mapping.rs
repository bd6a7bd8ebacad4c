//! From the fields of a published catalogue to an object, by a column map.

use super::{
    input::{InputColumn, TableValue, places_by_name},
    record::{ProperMotion, StoredObject},
};
use crate::{
    config::catalogue_map::{
        CatalogueMap, EpochFormat, EpochRule, KindRule, PositionUnit, ProperMotionUnit,
    },
    model::{BandMagnitude, ObjectKind, SkyPosition},
};
use std::fmt;

/// Longest identifier, bytes.
pub const MAXIMUM_IDENTIFIER: usize = 64;
/// Faster than any star: Barnard's star moves at 10.4 arcseconds a year.
const GREATEST_MOTION_MAS: f64 = 50_000.0;
/// σ_m = 2.5 / ln 10 · σ_F / F.
const MAGNITUDES_PER_RELATIVE_ERROR: f64 = 1.085_736_204_758_129_5;
const MJD_OF_JD_ZERO: f64 = 2_400_000.5;

/// Why a row is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowFault {
    /// The row itself: too few fields and the like.
    Row(&'static str),
    Missing(&'static str),
    NotANumber(String),
    OutOfRange(String),
    NoMagnitude,
    LongIdentifier,
    /// The same identifier at the same place once more.
    Repeated,
}

impl fmt::Display for RowFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(what) => write!(formatter, "{what}"),
            Self::Missing(what) => write!(formatter, "no {what}"),
            Self::NotANumber(what) => write!(formatter, "{what} is not a number"),
            Self::OutOfRange(what) => write!(formatter, "{what} is out of range"),
            Self::NoMagnitude => write!(formatter, "no magnitude in any band"),
            Self::LongIdentifier => {
                write!(formatter, "the identifier is longer than {MAXIMUM_IDENTIFIER} bytes")
            }
            Self::Repeated => {
                write!(formatter, "the same object again (identifier and position are equal)")
            }
        }
    }
}

/// The places of a map's columns among the chosen fields of a table.
#[derive(Debug)]
pub struct RowMapping {
    /// Places in the table, in the order in which the fields are handed out.
    pub chosen: Vec<usize>,
    identifier: Vec<usize>,
    ra: usize,
    dec: usize,
    position_unit: PositionUnit,
    epoch: Option<(usize, EpochFormat)>,
    default_epoch: f64,
    kind: Kind,
    proper_motion: Option<(usize, usize, f64, bool)>,
    missing: Vec<f64>,
    bands: Vec<Band>,
}

#[derive(Debug)]
enum Kind {
    Fixed(ObjectKind),
    Values { place: usize, star: Vec<String>, galaxy: Vec<String> },
    Difference { minuend: usize, subtrahend: usize, galaxy_above: f64 },
}

#[derive(Debug)]
struct Band {
    name: String,
    magnitude: Option<usize>,
    error: Option<usize>,
    signal_to_noise: Option<usize>,
}

/// Collects the places that are needed.
struct Chooser<'a> {
    columns: &'a [InputColumn],
    by_name: std::collections::BTreeMap<String, usize>,
    chosen: Vec<usize>,
}

impl Chooser<'_> {
    /// The place among the chosen fields of the first of these names that the table has.
    fn choose(&mut self, names: &[String]) -> Option<usize> {
        let place =
            names.iter().find_map(|name| self.by_name.get(&name.to_lowercase()).copied())?;
        if let Some(known) = self.chosen.iter().position(|each| *each == place) {
            return Some(known);
        }
        self.chosen.push(place);
        Some(self.chosen.len() - 1)
    }

    fn unit(&self, chosen: usize) -> String {
        let column = self.chosen.get(chosen).and_then(|place| self.columns.get(*place));
        column.map(|column| column.unit.trim().to_lowercase()).unwrap_or_default()
    }
}

impl RowMapping {
    /// Finds the columns of a map in a table. `Ok(None)`: the table has no position or no magnitude of the map.
    ///
    /// # Errors
    /// A unit in the table that contradicts the map, or a part of what belongs together.
    pub fn of(map: &CatalogueMap, columns: &[InputColumn]) -> Result<Option<Self>, String> {
        let mut chooser = Chooser { columns, by_name: places_by_name(columns), chosen: Vec::new() };
        let (Some(ra), Some(dec)) = (chooser.choose(&map.ra), chooser.choose(&map.dec)) else {
            return Ok(None);
        };
        check_position_units(&chooser, (ra, dec), map.position_unit)?;
        let bands: Vec<Band> = map
            .bands
            .iter()
            .map(|band| Band {
                name: band.name.clone(),
                magnitude: chooser.choose(&band.magnitude),
                error: chooser.choose(&band.error),
                signal_to_noise: chooser.choose(&band.signal_to_noise),
            })
            .collect();
        if bands.iter().all(|band| band.magnitude.is_none()) {
            return Ok(None);
        }
        let proper_motion = match &map.proper_motion {
            None => None,
            Some(motion) => match (chooser.choose(&motion.ra), chooser.choose(&motion.dec)) {
                (Some(ra), Some(dec)) => {
                    let scale = match motion.unit {
                        ProperMotionUnit::MilliarcsecondsPerYear => 1.0,
                        ProperMotionUnit::ArcsecondsPerYear => 1000.0,
                    };
                    check_motion_unit(&chooser, [ra, dec], motion.unit)?;
                    Some((ra, dec, scale, motion.includes_cos_dec))
                }
                (None, None) => None,
                _ => return Err("it has one of the two columns of proper motion".to_owned()),
            },
        };
        let epoch = match &map.epoch {
            EpochRule::Fixed(_) => None,
            EpochRule::Column(column) => {
                chooser.choose(&column.column).map(|place| (place, column.format))
            }
        };
        let kind = match &map.kind {
            KindRule::Fixed(kind) => Kind::Fixed(*kind),
            KindRule::Values(values) => {
                let lower =
                    |all: &[String]| all.iter().map(|each| each.to_lowercase()).collect::<Vec<_>>();
                match chooser.choose(&values.column) {
                    None => Kind::Fixed(ObjectKind::Unknown),
                    Some(place) => Kind::Values {
                        place,
                        star: lower(&values.star),
                        galaxy: lower(&values.galaxy),
                    },
                }
            }
            KindRule::Difference(rule) => {
                match (chooser.choose(&rule.minuend), chooser.choose(&rule.subtrahend)) {
                    (Some(minuend), Some(subtrahend)) => {
                        Kind::Difference { minuend, subtrahend, galaxy_above: rule.galaxy_above }
                    }
                    _ => Kind::Fixed(ObjectKind::Unknown),
                }
            }
        };
        let identifier = match chooser.choose(&map.identifier) {
            Some(place) => vec![place],
            None => {
                let parts = map.identifier_parts.iter();
                let parts: Option<Vec<usize>> =
                    parts.map(|part| chooser.choose(std::slice::from_ref(part))).collect();
                parts.unwrap_or_default()
            }
        };
        Ok(Some(Self {
            identifier,
            ra,
            dec,
            position_unit: map.position_unit,
            epoch,
            default_epoch: map.epoch.default_year(),
            kind,
            proper_motion,
            missing: map.missing.clone(),
            bands,
            chosen: chooser.chosen,
        }))
    }

    /// The object of a row of chosen fields, or why there is none.
    pub fn object(&self, row: &[TableValue]) -> Result<StoredObject, RowFault> {
        let position = self.position(row)?;
        let mut magnitudes = Vec::with_capacity(self.bands.len());
        for band in &self.bands {
            magnitudes.push(self.magnitude(row, band)?);
        }
        if magnitudes.iter().all(Option::is_none) {
            return Err(RowFault::NoMagnitude);
        }
        Ok(StoredObject {
            id: self.identifier(row, position)?,
            kind: self.kind(row),
            position,
            proper_motion: self.proper_motion(row, position)?,
            epoch_year: self.epoch(row)?,
            magnitudes,
        })
    }

    fn position(&self, row: &[TableValue]) -> Result<SkyPosition, RowFault> {
        let ra =
            number(row, self.ra, "right ascension")?.ok_or(RowFault::Missing("right ascension"))?;
        let dec = number(row, self.dec, "declination")?.ok_or(RowFault::Missing("declination"))?;
        let (ra, dec) = match self.position_unit {
            PositionUnit::Degree => (ra, dec),
            PositionUnit::Hour => (15.0 * ra, dec),
            PositionUnit::Radian => (ra.to_degrees(), dec.to_degrees()),
        };
        // Longitudes of some catalogues run from -180.
        if !(-180.0..=360.0).contains(&ra) {
            return Err(RowFault::OutOfRange("right ascension".to_owned()));
        }
        if !(-90.0..=90.0).contains(&dec) {
            return Err(RowFault::OutOfRange("declination".to_owned()));
        }
        Ok(SkyPosition::new(ra, dec))
    }

    fn is_missing(&self, value: f64) -> bool {
        self.missing.iter().any(|missing| (value - missing).abs() < 1e-4)
    }

    fn magnitude(
        &self,
        row: &[TableValue],
        band: &Band,
    ) -> Result<Option<BandMagnitude>, RowFault> {
        let Some(place) = band.magnitude else { return Ok(None) };
        let Some(value) = number(row, place, &band.name)?.filter(|value| !self.is_missing(*value))
        else {
            return Ok(None);
        };
        if !(-30.0..=40.0).contains(&value) {
            return Err(RowFault::OutOfRange(format!("magnitude {}", band.name)));
        }
        let error = match (band.error, band.signal_to_noise) {
            (Some(place), _) => {
                number(row, place, &band.name)?.filter(|value| !self.is_missing(*value))
            }
            (None, Some(place)) => number(row, place, &band.name)?
                .filter(|ratio| *ratio > 0.0)
                .map(|ratio| MAGNITUDES_PER_RELATIVE_ERROR / ratio),
            (None, None) => None,
        };
        // Negative and absurd errors are a catalogue's way of saying that there is none.
        let error = error.filter(|error| (0.0..=10.0).contains(error));
        Ok(Some(BandMagnitude { value: value as f32, error: error.map(|error| error as f32) }))
    }

    fn proper_motion(
        &self,
        row: &[TableValue],
        position: SkyPosition,
    ) -> Result<Option<ProperMotion>, RowFault> {
        let Some((ra, dec, scale, includes_cos_dec)) = self.proper_motion else { return Ok(None) };
        let (Some(mut east), Some(north)) =
            (number(row, ra, "proper motion")?, number(row, dec, "proper motion")?)
        else {
            return Ok(None);
        };
        if !includes_cos_dec {
            east *= position.dec_degrees.to_radians().cos();
        }
        let (east, north) = (east * scale, north * scale);
        // NaN does not come so far; infinity is out of range.
        if east.hypot(north) > GREATEST_MOTION_MAS {
            return Err(RowFault::OutOfRange("proper motion".to_owned()));
        }
        Ok(Some(ProperMotion { east_mas: east as f32, north_mas: north as f32 }))
    }

    fn epoch(&self, row: &[TableValue]) -> Result<f32, RowFault> {
        let given = match self.epoch {
            None => None,
            Some((place, format)) => number(row, place, "epoch")?.filter(|value| *value > 0.0).map(
                |value| match format {
                    EpochFormat::Year => value,
                    EpochFormat::Jd => super::julian_year_of_mjd(value - MJD_OF_JD_ZERO),
                    EpochFormat::Mjd => super::julian_year_of_mjd(value),
                },
            ),
        };
        let year = given.unwrap_or(self.default_epoch);
        match (1800.0..=2200.0).contains(&year) {
            true => Ok(year as f32),
            false => Err(RowFault::OutOfRange("epoch".to_owned())),
        }
    }

    fn kind(&self, row: &[TableValue]) -> ObjectKind {
        match &self.kind {
            Kind::Fixed(kind) => *kind,
            Kind::Values { place, star, galaxy } => {
                let word = text(row, *place).unwrap_or_default().to_lowercase();
                if star.contains(&word) {
                    ObjectKind::Star
                } else if galaxy.contains(&word) {
                    ObjectKind::Galaxy
                } else {
                    ObjectKind::Unknown
                }
            }
            Kind::Difference { minuend, subtrahend, galaxy_above } => {
                let magnitude = |place: usize| {
                    let value = number(row, place, "").ok().flatten()?;
                    (!self.is_missing(value)).then_some(value)
                };
                match (magnitude(*minuend), magnitude(*subtrahend)) {
                    (Some(first), Some(second)) if first - second > *galaxy_above => {
                        ObjectKind::Galaxy
                    }
                    (Some(_), Some(_)) => ObjectKind::Star,
                    _ => ObjectKind::Unknown,
                }
            }
        }
    }

    fn identifier(&self, row: &[TableValue], position: SkyPosition) -> Result<String, RowFault> {
        let id = if self.identifier.is_empty() {
            format!("{:.5}{:+.5}", position.ra_degrees, position.dec_degrees)
        } else {
            let parts: Option<Vec<String>> =
                self.identifier.iter().map(|place| text(row, *place)).collect();
            parts.ok_or(RowFault::Missing("identifier"))?.join("-")
        };
        if id.len() > MAXIMUM_IDENTIFIER {
            return Err(RowFault::LongIdentifier);
        }
        Ok(id)
    }
}

fn check_position_units(
    chooser: &Chooser<'_>,
    (ra, dec): (usize, usize),
    unit: PositionUnit,
) -> Result<(), String> {
    for (place, is_ra) in [(ra, true), (dec, false)] {
        let given = chooser.unit(place);
        let is_right = match given.as_str() {
            "" => true,
            "deg" | "degree" | "degrees" => {
                unit == PositionUnit::Degree || (unit == PositionUnit::Hour && !is_ra)
            }
            "h" | "hour" | "hourangle" => unit == PositionUnit::Hour && is_ra,
            "rad" | "radian" | "radians" => unit == PositionUnit::Radian,
            _ => false,
        };
        if !is_right {
            return Err(format!("its positions are in '{given}', the map says {unit:?}"));
        }
    }
    Ok(())
}

fn check_motion_unit(
    chooser: &Chooser<'_>,
    places: [usize; 2],
    unit: ProperMotionUnit,
) -> Result<(), String> {
    for place in places {
        let given: String =
            chooser.unit(place).chars().filter(|each| each.is_ascii_alphanumeric()).collect();
        let stated = match given.as_str() {
            "masyr" | "masyr1" | "masa" | "masa1" | "masyear" | "masyear1" => {
                Some(ProperMotionUnit::MilliarcsecondsPerYear)
            }
            "arcsecyr" | "arcsecyr1" | "arcseca" | "arcseca1" | "arcsecyear" => {
                Some(ProperMotionUnit::ArcsecondsPerYear)
            }
            _ => None,
        };
        if stated.is_some_and(|stated| stated != unit) {
            return Err(format!("its proper motions are in '{given}', the map says {unit:?}"));
        }
    }
    Ok(())
}

/// A finite number, `None` for a missing one.
fn number(row: &[TableValue], place: usize, role: &str) -> Result<Option<f64>, RowFault> {
    let value = match row.get(place) {
        None | Some(TableValue::Missing) => return Ok(None),
        Some(TableValue::Number(value)) => *value,
        Some(TableValue::Integer(value)) => *value as f64,
        Some(TableValue::Text(text)) => {
            text.parse().map_err(|_| RowFault::NotANumber(role.to_owned()))?
        }
    };
    match value.is_finite() {
        true => Ok(Some(value)),
        false => Err(RowFault::NotANumber(role.to_owned())),
    }
}

fn text(row: &[TableValue], place: usize) -> Option<String> {
    match row.get(place)? {
        TableValue::Missing => None,
        TableValue::Integer(value) => Some(value.to_string()),
        TableValue::Number(value) => Some(value.to_string()),
        TableValue::Text(text) => Some(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[(&str, &str)]) -> Vec<InputColumn> {
        let column = |(name, unit): &(&str, &str)| InputColumn {
            name: (*name).to_owned(),
            unit: (*unit).to_owned(),
        };
        names.iter().map(column).collect()
    }

    fn texts(fields: &[&str]) -> Vec<TableValue> {
        let value = |field: &&str| match *field {
            "" => TableValue::Missing,
            text => TableValue::Text(text.to_owned()),
        };
        fields.iter().map(value).collect()
    }

    #[test]
    fn a_row_of_gaia_is_understood() {
        let map = CatalogueMap::named("gaia_dr3").unwrap();
        let names = [
            "RA",
            "dec",
            "phot_g_mean_mag",
            "phot_g_mean_flux_over_error",
            "pmra",
            "pmdec",
            "ref_epoch",
            "source_id",
        ];
        let given: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
        let mapping = RowMapping::of(&map, &columns(&given)).unwrap().unwrap();
        // Fields are asked for in an order of their own.
        let row = |fields: [&str; 8]| -> Vec<TableValue> {
            let all = texts(&fields);
            mapping.chosen.iter().map(|place| all[*place].clone()).collect()
        };
        let object = mapping
            .object(&row([
                "-10.5",
                "20",
                "17.25",
                "100",
                "3",
                "-4",
                "2015.5",
                "5853498713190525696",
            ]))
            .unwrap();
        assert_eq!(object.id, "5853498713190525696");
        assert_eq!(object.position, SkyPosition::new(349.5, 20.0));
        assert_eq!(object.epoch_year, 2015.5);
        assert_eq!(object.kind, ObjectKind::Star);
        assert_eq!(object.proper_motion, Some(ProperMotion { east_mas: 3.0, north_mas: -4.0 }));
        let g = object.magnitudes[0].unwrap();
        assert!((g.value - 17.25).abs() < 1e-6 && (g.error.unwrap() - 0.010857).abs() < 1e-6);
        assert_eq!(object.magnitudes[1..], [None, None]);
        let fault = |fields| mapping.object(&row(fields)).unwrap_err().to_string();
        assert_eq!(fault(["", "20", "17", "", "", "", "", "1"]), "no right ascension");
        assert_eq!(
            fault(["x", "20", "17", "", "", "", "", "1"]),
            "right ascension is not a number"
        );
        assert_eq!(fault(["1", "inf", "17", "", "", "", "", "1"]), "declination is not a number");
        assert_eq!(fault(["1", "91", "17", "", "", "", "", "1"]), "declination is out of range");
        assert_eq!(fault(["1", "20", "", "", "", "", "", "1"]), "no magnitude in any band");
        assert_eq!(fault(["1", "20", "77", "", "", "", "", "1"]), "magnitude G is out of range");
        assert_eq!(
            fault(["1", "20", "17", "", "9e9", "1", "", "1"]),
            "proper motion is out of range"
        );
        assert_eq!(fault(["1", "20", "17", "", "", "", "", ""]), "no identifier");
        // Half of a proper motion is none.
        let half = mapping.object(&row(["1", "20", "17", "", "5", "", "", "1"])).unwrap();
        assert_eq!((half.proper_motion, half.epoch_year), (None, 2016.0));
    }

    #[test]
    fn galaxies_are_told_by_words_and_by_differences() {
        let ps1 = CatalogueMap::named("ps1").unwrap();
        let given = columns(&[
            ("raMean", "deg"),
            ("decMean", "deg"),
            ("iMeanPSFMag", "mag"),
            ("iMeanKronMag", "mag"),
        ]);
        let mapping = RowMapping::of(&ps1, &given).unwrap().unwrap();
        let kind = |psf: &str, kron: &str| {
            let all = texts(&["1", "2", psf, kron]);
            let row: Vec<TableValue> = mapping.chosen.iter().map(|p| all[*p].clone()).collect();
            mapping.object(&row).map(|object| object.kind)
        };
        assert_eq!(kind("18.0", "17.5"), Ok(ObjectKind::Galaxy));
        assert_eq!(kind("18.0", "17.99"), Ok(ObjectKind::Star));
        assert_eq!(kind("18.0", "-999"), Ok(ObjectKind::Unknown));
        assert_eq!(kind("-999.0", "17"), Err(RowFault::NoMagnitude));
    }

    #[test]
    fn units_that_contradict_the_map_are_refused() {
        let map = CatalogueMap::named("tycho2").unwrap();
        let with = |ra: &str, motion: &str| {
            let given = columns(&[
                ("RAmdeg", ra),
                ("DEmdeg", "deg"),
                ("pmRA", motion),
                ("pmDE", motion),
                ("VTmag", "mag"),
                ("TYC1", ""),
                ("TYC2", ""),
                ("TYC3", ""),
            ]);
            RowMapping::of(&map, &given).map(|mapping| mapping.is_some())
        };
        assert_eq!(with("deg", "mas/yr"), Ok(true));
        assert_eq!(with("", "mas.yr-1"), Ok(true));
        assert!(with("rad", "mas/yr").unwrap_err().contains("rad"));
        assert!(with("deg", "arcsec/yr").unwrap_err().contains("proper motions"));
        assert_eq!(RowMapping::of(&map, &columns(&[("x", "")])).map(|m| m.is_some()), Ok(false));
    }
}
