//! A catalogue from a local CSV file: `id,kind,ra,dec,mag[,mag_error]`, one header line.

use super::Catalogue;
use crate::model::{CatalogueAnswer, CatalogueObject, ObjectKind, SkyPosition};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Share of the objects that are brighter than the stated faint limit.
const FAINT_LIMIT_SHARE: f64 = 0.98;
/// A cone this far outside the box of the file's objects is still covered by it.
const FOOTPRINT_MARGIN_DEGREES: f64 = 0.02;

/// A catalogue file read whole into memory, sorted by declination.
#[derive(Debug)]
pub struct LocalCatalogue {
    path: PathBuf,
    objects: Vec<CatalogueObject>,
    faint_limit: f64,
    sha256: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LocalCatalogueError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}: {what}")]
    Line { path: PathBuf, line: usize, what: String },
}

/// Which field holds what.
struct Columns {
    id: usize,
    kind: Option<usize>,
    ra: usize,
    dec: usize,
    magnitude: usize,
    magnitude_error: Option<usize>,
}

impl LocalCatalogue {
    /// Reads the file. Errors name the line. Columns may stand in any order; those not known here are passed over. The faint limit is
    /// the magnitude at the 98th percentile.
    pub fn open(path: &Path) -> Result<Self, LocalCatalogueError> {
        let bytes = std::fs::read(path)
            .map_err(|source| LocalCatalogueError::Io { path: path.to_owned(), source })?;
        let text = String::from_utf8_lossy(&bytes);
        let at = |line: usize, what: String| LocalCatalogueError::Line {
            path: path.to_owned(),
            line,
            what,
        };
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (number, header) = lines.next().ok_or_else(|| at(1, "the file is empty".to_owned()))?;
        let columns = columns_of(header).map_err(|what| at(number, what))?;
        let mut objects = Vec::new();
        for (number, line) in lines {
            objects.push(object_of(line, &columns).map_err(|what| at(number, what))?);
        }
        objects.sort_by(|left, right| {
            left.position
                .dec_degrees
                .total_cmp(&right.position.dec_degrees)
                .then_with(|| left.id.cmp(&right.id))
        });
        let faint_limit = faint_limit_of(&objects);
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: path.to_owned(), objects, faint_limit, sha256 })
    }

    /// Objects between two declinations, inclusive.
    fn band(&self, low: f64, high: f64) -> &[CatalogueObject] {
        let begin = self.objects.partition_point(|object| object.position.dec_degrees < low);
        let end = self.objects.partition_point(|object| object.position.dec_degrees <= high);
        self.objects.get(begin..end).unwrap_or(&[])
    }

    /// Whether a position lies in the box that the objects fill (with a margin): outside of it the file says nothing.
    fn covers(&self, centre: SkyPosition) -> bool {
        let (Some(first), Some(last)) = (self.objects.first(), self.objects.last()) else {
            return false;
        };
        let margin = FOOTPRINT_MARGIN_DEGREES;
        let declination = centre.dec_degrees;
        if declination < first.position.dec_degrees - margin
            || declination > last.position.dec_degrees + margin
        {
            return false;
        }
        let reach = margin / declination.to_radians().cos().abs().max(1e-6);
        // Right ascensions relative to the centre, so that a field at 0h is whole.
        let relative = |object: &CatalogueObject| {
            (object.position.ra_degrees - centre.ra_degrees + 540.0).rem_euclid(360.0) - 180.0
        };
        let is_east = self.objects.iter().any(|object| relative(object) >= -reach);
        let is_west = self.objects.iter().any(|object| relative(object) <= reach);
        is_east && is_west && self.objects.iter().any(|object| relative(object).abs() < 90.0)
    }
}

impl Catalogue for LocalCatalogue {
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer {
        let radius_arcsec = radius_degrees * 3600.0;
        let declination = centre.dec_degrees;
        let mut objects: Vec<CatalogueObject> = self
            .band(declination - radius_degrees, declination + radius_degrees)
            .iter()
            .filter(|object| centre.separation_arcsec(object.position) <= radius_arcsec)
            .cloned()
            .collect();
        if !objects.is_empty() {
            objects.sort_by(|left, right| {
                left.magnitude.total_cmp(&right.magnitude).then_with(|| left.id.cmp(&right.id))
            });
            return CatalogueAnswer::Found { objects, faint_limit: self.faint_limit };
        }
        if self.covers(centre) {
            return CatalogueAnswer::Empty;
        }
        CatalogueAnswer::Unavailable {
            reason: format!(
                "{} does not cover {:.4} {:+.4}",
                self.path.display(),
                centre.ra_degrees,
                centre.dec_degrees
            ),
        }
    }

    fn describe(&self) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        format!(
            "{}: {} objects to {:.2} mag, sha256 {}",
            name.unwrap_or_default(),
            self.objects.len(),
            self.faint_limit,
            self.sha256.get(..12).unwrap_or_default()
        )
    }
}

/// The catalogue of a field for which none is installed: always `Unavailable`.
#[derive(Debug)]
pub struct NoCatalogue;

impl Catalogue for NoCatalogue {
    fn cone(&self, _centre: SkyPosition, _radius_degrees: f64) -> CatalogueAnswer {
        CatalogueAnswer::Unavailable { reason: "no catalogue is configured".to_owned() }
    }

    fn describe(&self) -> String {
        "none".to_owned()
    }
}

fn columns_of(header: &str) -> Result<Columns, String> {
    let names: Vec<String> =
        header.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    let find = |wanted: &str| names.iter().position(|name| name == wanted);
    let required = |wanted: &str| {
        find(wanted).ok_or_else(|| {
            format!("there is no column '{wanted}'; needed are id, ra, dec, mag; kind and mag_error are used")
        })
    };
    Ok(Columns {
        id: required("id")?,
        kind: find("kind"),
        ra: required("ra")?,
        dec: required("dec")?,
        magnitude: required("mag")?,
        magnitude_error: find("mag_error"),
    })
}

fn object_of(line: &str, columns: &Columns) -> Result<CatalogueObject, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let field = |index: usize| {
        fields.get(index).copied().ok_or_else(|| format!("{} fields are too few", fields.len()))
    };
    let number = |index: usize, name: &str, low: f64, high: f64| -> Result<f64, String> {
        let text = field(index)?;
        match text.parse::<f64>() {
            Ok(value) if (low..=high).contains(&value) => Ok(value),
            _ => Err(format!("{name} = '{text}' is not a number from {low} to {high}")),
        }
    };
    let kind = match columns.kind {
        Some(index) => match field(index)? {
            "star" | "tycho" => ObjectKind::Star,
            "galaxy" => ObjectKind::Galaxy,
            _ => ObjectKind::Unknown,
        },
        None => ObjectKind::Unknown,
    };
    let ra = number(columns.ra, "ra", 0.0, 360.0)?;
    let dec = number(columns.dec, "dec", -90.0, 90.0)?;
    Ok(CatalogueObject {
        id: field(columns.id)?.to_owned(),
        kind,
        position: SkyPosition::new(ra, dec),
        magnitude: number(columns.magnitude, "mag", -30.0, 60.0)?,
        magnitude_error: match columns.magnitude_error {
            Some(index) => number(index, "mag_error", 0.0, 60.0)?,
            None => 0.0,
        },
    })
}

fn faint_limit_of(objects: &[CatalogueObject]) -> f64 {
    let mut magnitudes: Vec<f64> = objects.iter().map(|object| object.magnitude).collect();
    magnitudes.sort_by(f64::total_cmp);
    let index = (FAINT_LIMIT_SHARE * magnitudes.len() as f64) as usize;
    magnitudes.get(index).or(magnitudes.last()).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(text: &str) -> Result<LocalCatalogue, LocalCatalogueError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("field.csv");
        std::fs::write(&path, text).unwrap();
        LocalCatalogue::open(&path)
    }

    fn ids(answer: &CatalogueAnswer) -> Vec<&str> {
        answer.objects().iter().map(|object| object.id.as_str()).collect()
    }

    #[test]
    fn a_cone_across_zero_hours_is_whole_and_brightest_first() {
        let field = catalogue(
            "mag,ra,dec,id,kind,note\n\
             15.0,359.999,10.0,a,star,x\n# a remark\n\n14.0,0.001,10.0005,b,galaxy,\n16.0,0.5,10.0,c,other,\n",
        )
        .unwrap();
        let answer = field.cone(SkyPosition::new(0.0, 10.0), 0.01);
        assert_eq!(ids(&answer), ["b", "a"]);
        assert_eq!(answer.objects()[0].kind, ObjectKind::Galaxy);
        assert_eq!(answer.faint_limit(), Some(16.0));
    }

    #[test]
    fn a_pole_has_all_right_ascensions() {
        let field = catalogue("id,ra,dec,mag\na,10,89.99,12\nb,190,89.99,13\n").unwrap();
        assert_eq!(ids(&field.cone(SkyPosition::new(100.0, 89.999), 0.05)), ["a", "b"]);
    }

    #[test]
    fn nothing_there_is_not_the_same_as_not_covered() {
        let field =
            catalogue("id,ra,dec,mag\na,30.0,24.0,12\nb,30.4,24.4,13\nc,30.0,24.4,13\n").unwrap();
        assert_eq!(field.cone(SkyPosition::new(30.2, 24.2), 0.01), CatalogueAnswer::Empty);
        for far in [SkyPosition::new(210.2, 24.2), SkyPosition::new(30.2, -5.0)] {
            assert!(matches!(field.cone(far, 0.1), CatalogueAnswer::Unavailable { .. }), "{far:?}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let message = |text: &str| catalogue(text).unwrap_err().to_string();
        assert!(message("id,ra,dec\n").contains("line 1: there is no column 'mag'"));
        assert!(message("id,ra,dec,mag\n\na,30,NaN,12\n").contains("line 3: dec = 'NaN'"));
        assert!(message("id,ra,dec,mag\na,400,2,12\n").contains("line 2: ra = '400'"));
        assert!(message("id,ra,dec,mag\na,30,2\n").contains("too few"));
        assert!(message("").contains("empty"));
    }
}
