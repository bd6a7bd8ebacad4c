//! `catalogues/*.toml`: which columns of a published catalogue hold what. The program carries those of `config/catalogues`; a file of
//! one's own is named by its path.

use super::{
    embedded::{embedded, embedded_paths},
    error::ConfigError,
    toml_reader::{Checks, parse, read_text},
};
use crate::model::{CatalogueBand, MagnitudeSystem, ObjectKind};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// More bands than any catalogue has; a record holds room for each.
const MAXIMUM_BANDS: usize = 32;

/// Unit of the positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PositionUnit {
    #[default]
    Degree,
    /// Right ascension in hours, declination in degrees.
    Hour,
    Radian,
}

/// How a column gives the instant of the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpochFormat {
    /// Julian year.
    #[default]
    Year,
    Jd,
    Mjd,
}

/// The instant for which the positions hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EpochRule {
    /// Julian year, the same for all.
    Fixed(f64),
    Column(EpochColumn),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochColumn {
    pub column: Vec<String>,
    #[serde(default)]
    pub format: EpochFormat,
    /// Julian year of the objects for which the column says nothing.
    pub default: f64,
}

impl EpochRule {
    /// Julian year where no column says otherwise.
    pub fn default_year(&self) -> f64 {
        match self {
            Self::Fixed(year) => *year,
            Self::Column(column) => column.default,
        }
    }
}

/// What the objects are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KindRule {
    /// All the same.
    Fixed(ObjectKind),
    /// By the values of a column, any case; other values are unknown.
    Values(KindValues),
    /// By the difference of two magnitudes.
    Difference(KindDifference),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindValues {
    pub column: Vec<String>,
    #[serde(default)]
    pub star: Vec<String>,
    #[serde(default)]
    pub galaxy: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindDifference {
    pub minuend: Vec<String>,
    pub subtrahend: Vec<String>,
    /// A greater difference is a galaxy, a smaller one a star; unknown without both magnitudes.
    pub galaxy_above: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ProperMotionUnit {
    #[default]
    #[serde(rename = "mas/yr")]
    MilliarcsecondsPerYear,
    #[serde(rename = "arcsec/yr")]
    ArcsecondsPerYear,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProperMotionColumns {
    pub ra: Vec<String>,
    pub dec: Vec<String>,
    #[serde(default)]
    pub unit: ProperMotionUnit,
    /// Whether the motion in right ascension is μα cos δ (along the sky) or that of the coordinate.
    pub includes_cos_dec: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandColumns {
    pub name: String,
    pub magnitude: Vec<String>,
    #[serde(default)]
    pub error: Vec<String>,
    /// Flux over its error, for catalogues that give no error in magnitudes: σ = 1.0857 / (S/N).
    #[serde(default)]
    pub signal_to_noise: Vec<String>,
    /// Absent: not stated.
    #[serde(default)]
    pub system: Option<MagnitudeSystem>,
    /// m(AB) − m of a band of Vega magnitudes.
    #[serde(default)]
    pub ab_offset: Option<f64>,
}

impl BandColumns {
    /// What the band's magnitudes mean.
    pub fn scale(&self) -> CatalogueBand {
        CatalogueBand { name: self.name.clone(), system: self.system, ab_offset: self.ab_offset }
    }
}

/// A column map. Every column may have several names; the first that the file has is taken, whatever its case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueMap {
    /// Of the catalogue, as it appears in headers.
    pub name: String,
    #[serde(default)]
    pub citation: Option<String>,
    /// Absent, and no parts: objects are called by their position.
    #[serde(default)]
    pub identifier: Vec<String>,
    /// Columns that make up the identifier, joined by hyphens.
    #[serde(default)]
    pub identifier_parts: Vec<String>,
    pub ra: Vec<String>,
    pub dec: Vec<String>,
    #[serde(default)]
    pub position_unit: PositionUnit,
    pub epoch: EpochRule,
    #[serde(default = "unknown_kind")]
    pub kind: KindRule,
    #[serde(default)]
    pub proper_motion: Option<ProperMotionColumns>,
    /// Values of magnitudes and their errors that mean that there is none.
    #[serde(default)]
    pub missing: Vec<f64>,
    /// The first is the one whose magnitudes a cone search gives, where it has one.
    pub bands: Vec<BandColumns>,
}

fn unknown_kind() -> KindRule {
    KindRule::Fixed(ObjectKind::Unknown)
}

impl CatalogueMap {
    /// A map that the program carries, else the file of that path.
    ///
    /// # Errors
    /// What is wrong with the file, with its line.
    pub fn named(name: &str) -> Result<Self, ConfigError> {
        match embedded(&format!("catalogues/{name}.toml")) {
            Some(text) => Self::parse(Path::new(name), text),
            None => Self::read(Path::new(name)),
        }
    }

    /// Names of the maps that the program carries.
    pub fn carried() -> impl Iterator<Item = &'static str> {
        embedded_paths().filter_map(|path| path.strip_prefix("catalogues/")?.strip_suffix(".toml"))
    }

    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::parse(file, &read_text(file)?)
    }

    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let map: Self = parse(file, text)?;
        map.check(&Checks { file, text })?;
        Ok(map)
    }

    fn check(&self, checks: &Checks<'_>) -> Result<(), ConfigError> {
        for (key, columns) in [("ra", &self.ra), ("dec", &self.dec)] {
            checks.require(key, format!("{columns:?}"), !columns.is_empty(), "a column's name")?;
        }
        checks.range("epoch", self.epoch.default_year(), 1800.0, 2200.0)?;
        let names: Vec<&str> = self.bands.iter().map(|band| band.name.as_str()).collect();
        let is_right = (1..=MAXIMUM_BANDS).contains(&names.len())
            && names.iter().enumerate().all(|(place, name)| {
                !name.is_empty() && !names.get(..place).unwrap_or_default().contains(name)
            })
            && self.bands.iter().all(|band| !band.magnitude.is_empty());
        for band in &self.bands {
            let is_vega = band.system == Some(MagnitudeSystem::Vega);
            let is_right = band.ab_offset.is_none_or(|offset| is_vega && offset.abs() < 10.0);
            checks.require(
                "ab_offset",
                format!("{:?} of band {}", band.ab_offset, band.name),
                is_right,
                "below 10 magnitudes, and of a band with system = \"Vega\"",
            )?;
        }
        checks.require(
            "bands",
            format!("{names:?}"),
            is_right,
            "1 to 32 bands with different names and a magnitude each",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carried_maps_are_sound() {
        let names: Vec<&str> = CatalogueMap::carried().collect();
        for wanted in
            ["2mass", "apass", "field", "gaia_dr2", "gaia_dr3", "ps1", "tycho2", "usno_b1"]
        {
            assert!(names.contains(&wanted), "{names:?}");
        }
        for name in names {
            let map = CatalogueMap::named(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(!map.name.is_empty());
        }
        let gaia = CatalogueMap::named("gaia_dr2").unwrap();
        assert_eq!(gaia.epoch.default_year(), 2015.5);
        assert_eq!(gaia.kind, KindRule::Fixed(ObjectKind::Star));
        assert!(matches!(CatalogueMap::named("ps1").unwrap().kind, KindRule::Difference(_)));
        assert!(CatalogueMap::named("no/such.toml").is_err());
    }

    #[test]
    fn mistakes_are_explained() {
        let band = "[[bands]]\nname = \"V\"\nmagnitude = [\"V\"]\n";
        for (text, says) in [
            (format!("name = \"x\"\nra = [\"r\"]\ndec = [\"d\"]\nepoch = 200.0\n{band}"), "epoch"),
            (format!("name = \"x\"\nra = []\ndec = [\"d\"]\nepoch = 2000.0\n{band}"), "ra"),
            (
                "name = \"x\"\nra = [\"r\"]\ndec = [\"d\"]\nepoch = 2000.0\nbands = []\n".into(),
                "bands",
            ),
            (format!("name = \"x\"\nrra = [\"r\"]\n{band}"), "rra"),
        ] {
            let message =
                CatalogueMap::parse(Path::new("own.toml"), &text).unwrap_err().to_string();
            assert!(message.contains("own.toml") && message.contains(says), "{message}");
        }
    }
}
