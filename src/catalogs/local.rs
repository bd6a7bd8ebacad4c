//! A catalogue from a local CSV file: `id,kind,ra,dec,mag[,mag_error]`, one header line.
//!
//! Columns may stand in any order and others are ignored; blank lines and lines that start with `#` are skipped. Degrees (ICRS)
//! and magnitudes. `kind` is `star` (also `tycho`), `galaxy`, or anything else for unknown.

use super::Catalogue;
use crate::model::{CatalogueAnswer, CatalogueObject, ObjectKind, SkyPosition, UtcTime};
use sha2::{Digest, Sha256};
use std::{
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// How far beyond the outermost object the file still counts as covering the sky, as a share of the mean distance
/// between neighbours: the edge of a survey lies about half a distance outside its outermost objects.
const MARGIN_IN_SPACINGS: f64 = 1.0;
/// Share of the objects brighter than the faint limit.
const FAINT_LIMIT_SHARE: f64 = 0.98;

/// A catalogue file read whole into memory, sorted by declination.
#[derive(Debug)]
pub struct LocalCatalogue {
    path: PathBuf,
    /// Sorted by declination.
    objects: Vec<CatalogueObject>,
    footprint: Option<Footprint>,
    faint_limit: f64,
    digest: String,
    /// When the file was last written.
    dated: Option<UtcTime>,
}

/// Longest catalogue file, bytes: it is held in memory.
const MAXIMUM_FILE_BYTES: u64 = 1 << 30;

/// Errors of the file: none is cured by trying again with the file as it is.
#[derive(Debug, thiserror::Error)]
pub enum LocalCatalogueError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}: {what}")]
    Line { path: PathBuf, line: usize, what: String },
}

impl LocalCatalogue {
    /// Reads the file. Errors name the line. The faint limit is the magnitude at the 98th percentile.
    pub fn open(path: &Path) -> Result<Self, LocalCatalogueError> {
        let bytes = crate::config::read_bounded(path, MAXIMUM_FILE_BYTES)
            .map_err(|source| LocalCatalogueError::Io { path: path.to_owned(), source })?;
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let dated = modified
            .and_then(|modified| modified.duration_since(UNIX_EPOCH).ok())
            .map(|since| UtcTime::from_unix_microseconds(since.as_micros() as i64));
        Ok(Self { dated, ..Self::from_bytes(path, &bytes)? })
    }

    fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, LocalCatalogueError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            LocalCatalogueError::Line {
                path: path.to_owned(),
                line,
                what: "the text is not UTF-8".to_owned(),
            }
        })?;
        let mut objects = parse(text).map_err(|(line, what)| LocalCatalogueError::Line {
            path: path.to_owned(),
            line,
            what,
        })?;
        objects.sort_by(|a, b| {
            a.position
                .dec_degrees
                .total_cmp(&b.position.dec_degrees)
                .then_with(|| a.position.ra_degrees.total_cmp(&b.position.ra_degrees))
                .then_with(|| a.id.cmp(&b.id))
        });
        let digest =
            Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            path: path.to_owned(),
            footprint: Footprint::of(&objects),
            faint_limit: faint_limit(&objects),
            objects,
            digest,
            dated: None,
        })
    }

    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    fn within(&self, centre: SkyPosition, radius_degrees: f64) -> Vec<CatalogueObject> {
        let (low, high) =
            (centre.dec_degrees - radius_degrees, centre.dec_degrees + radius_degrees);
        let from = self.objects.partition_point(|object| object.position.dec_degrees < low);
        let to = self.objects.partition_point(|object| object.position.dec_degrees <= high);
        let half_width = half_width_in_ra(centre.dec_degrees, radius_degrees);
        let radius_arcsec = radius_degrees * 3600.0;
        let mut found: Vec<CatalogueObject> = self
            .objects
            .get(from..to)
            .unwrap_or_default()
            .iter()
            .filter(|object| {
                let ra = object.position.ra_degrees - centre.ra_degrees;
                let ra = (ra + 180.0).rem_euclid(360.0) - 180.0;
                ra.abs() <= half_width && object.position.separation_arcsec(centre) <= radius_arcsec
            })
            .cloned()
            .collect();
        found.sort_by(|a, b| a.magnitude.total_cmp(&b.magnitude).then_with(|| a.id.cmp(&b.id)));
        found
    }
}

impl Catalogue for LocalCatalogue {
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer {
        let usable = centre.ra_degrees.is_finite()
            && (-90.0..=90.0).contains(&centre.dec_degrees)
            && (0.0..=180.0).contains(&radius_degrees);
        if !usable {
            let SkyPosition { ra_degrees, dec_degrees } = centre;
            let reason = format!(
                "{ra_degrees} {dec_degrees} degrees with radius {radius_degrees} is no cone"
            );
            return CatalogueAnswer::Unavailable { reason };
        }
        let objects = self.within(centre, radius_degrees);
        if !objects.is_empty() {
            // A list of objects does not say where its edge is: what was found counts as all there is.
            return CatalogueAnswer::Found {
                objects,
                faint_limit: self.faint_limit,
                covered_share: 1.0,
            };
        }
        let covered =
            self.footprint.is_some_and(|footprint| footprint.covers(centre, radius_degrees));
        if covered {
            return CatalogueAnswer::Empty;
        }
        let reason = format!(
            "{} does not cover the cone of {radius_degrees:.4} degrees about {:.5} {:+.5}",
            self.name(),
            centre.ra_degrees,
            centre.dec_degrees
        );
        CatalogueAnswer::Unavailable { reason }
    }

    fn dated(&self) -> Option<UtcTime> {
        self.dated
    }

    fn object_count(&self) -> u64 {
        self.objects.len() as u64
    }

    fn describe(&self) -> String {
        if self.objects.is_empty() {
            return format!("{}, no objects, sha256 {}", self.name(), self.digest);
        }
        format!(
            "{}, {} objects to magnitude {:.2}, sha256 {}",
            self.name(),
            self.objects.len(),
            self.faint_limit,
            self.digest
        )
    }
}

/// Half of the range of right ascension that a cone spans, degrees: sin Δα = sin r / cos δ away from the poles.
fn half_width_in_ra(dec_degrees: f64, radius_degrees: f64) -> f64 {
    if dec_degrees.abs() + radius_degrees >= 90.0 {
        return 180.0;
    }
    let ratio = radius_degrees.to_radians().sin() / dec_degrees.to_radians().cos();
    // A hair more, because the exact test follows.
    ratio.min(1.0).asin().to_degrees() * (1.0 + 1e-9) + 1e-9
}

fn faint_limit(objects: &[CatalogueObject]) -> f64 {
    let mut magnitudes: Vec<f64> = objects.iter().map(|object| object.magnitude).collect();
    magnitudes.sort_by(f64::total_cmp);
    let place = (FAINT_LIMIT_SHARE * magnitudes.len().saturating_sub(1) as f64).round() as usize;
    magnitudes.get(place).copied().unwrap_or(f64::NAN)
}

/// The box around all objects in declination and right ascension, widened by the margin.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    south: f64,
    north: f64,
    /// Start of the range of right ascension and its length; 360 is the whole circle.
    west: f64,
    ra_length: f64,
}

impl Footprint {
    /// `None` for fewer than three objects, which bound no area.
    fn of(objects: &[CatalogueObject]) -> Option<Self> {
        if objects.len() < 3 {
            return None;
        }
        let south = objects.first()?.position.dec_degrees;
        let north = objects.last()?.position.dec_degrees;
        // The file's range of right ascension is the circle without the widest gap between neighbours.
        let mut ras: Vec<f64> = objects.iter().map(|object| object.position.ra_degrees).collect();
        ras.sort_by(f64::total_cmp);
        let (first, last) = (*ras.first()?, *ras.last()?);
        let gaps = ras.windows(2).map(|pair| (pair[1] - pair[0], pair[1]));
        let around = (first + 360.0 - last, first);
        let (gap, west) =
            gaps.fold(around, |widest, gap| if gap.0 > widest.0 { gap } else { widest });
        let ra_length = 360.0 - gap;
        let middle = (south + north) / 2.0;
        let area = (north - south) * ra_length * middle.to_radians().cos();
        let margin = MARGIN_IN_SPACINGS * (area / objects.len() as f64).max(0.0).sqrt();
        // Objects all around a pole leave no wide gap; the pole itself is then covered as well.
        let all_around = ra_length > 270.0;
        let nearest_pole = south.abs().max(north.abs());
        let ra_margin = margin / nearest_pole.min(89.9).to_radians().cos();
        let reaches = |limit: f64| all_around && limit.abs() + 2.0 * margin >= 90.0;
        Some(Self {
            south: if reaches(south) && south < 0.0 { -90.0 } else { south - margin },
            north: if reaches(north) && north > 0.0 { 90.0 } else { north + margin },
            west: west - ra_margin,
            ra_length: if all_around { 360.0 } else { (ra_length + 2.0 * ra_margin).min(360.0) },
        })
    }

    fn covers(&self, centre: SkyPosition, radius_degrees: f64) -> bool {
        let (low, high) =
            (centre.dec_degrees - radius_degrees, centre.dec_degrees + radius_degrees);
        // A cone over a pole needs the pole, not the declinations beyond it.
        if low.max(-90.0) < self.south || high.min(90.0) > self.north {
            return false;
        }
        if self.ra_length >= 360.0 {
            return true;
        }
        let half_width = half_width_in_ra(centre.dec_degrees, radius_degrees);
        let offset = (centre.ra_degrees - self.west).rem_euclid(360.0);
        half_width < 180.0 && offset >= half_width && offset + half_width <= self.ra_length
    }
}

/// Where each known column stands.
struct Columns {
    id: usize,
    kind: usize,
    ra: usize,
    dec: usize,
    magnitude: usize,
    magnitude_error: Option<usize>,
}

impl Columns {
    fn of(header: &str) -> Result<Self, String> {
        let names: Vec<String> =
            header.split(',').map(|name| name.trim().trim_matches('"').to_lowercase()).collect();
        let find = |wanted: &str| -> Result<Option<usize>, String> {
            let mut places = names.iter().enumerate().filter(|(_, name)| *name == wanted);
            let place = places.next().map(|(place, _)| place);
            if places.next().is_some() {
                return Err(format!("column '{wanted}' stands twice in the header"));
            }
            Ok(place)
        };
        let require = |wanted: &str| {
            find(wanted)?.ok_or_else(|| {
                format!(
                    "no column '{wanted}' in the header '{header}' (needed: id,kind,ra,dec,mag; mag_error may follow)"
                )
            })
        };
        Ok(Self {
            id: require("id")?,
            kind: require("kind")?,
            ra: require("ra")?,
            dec: require("dec")?,
            magnitude: require("mag")?,
            magnitude_error: find("mag_error")?,
        })
    }

    fn object(&self, line: &str) -> Result<CatalogueObject, String> {
        let fields: Vec<&str> =
            line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let field = |place: usize, name: &str| {
            fields.get(place).copied().ok_or_else(|| {
                format!("no field '{name}': the line has {} of the header's columns", fields.len())
            })
        };
        let number = |place: usize, name: &str, allowed: std::ops::RangeInclusive<f64>| {
            let text = field(place, name)?;
            let value: f64 =
                text.parse().map_err(|_| format!("{name} '{text}' is not a number"))?;
            // NaN is in no range.
            if allowed.contains(&value) {
                Ok(value)
            } else {
                let (low, high) = (allowed.start(), allowed.end());
                Err(format!("{name} {text} is not between {low} and {high}"))
            }
        };
        let id = field(self.id, "id")?;
        if id.is_empty() {
            return Err("the id is empty".to_owned());
        }
        let kind = match field(self.kind, "kind")?.to_lowercase().as_str() {
            "star" | "tycho" => ObjectKind::Star,
            "galaxy" => ObjectKind::Galaxy,
            _ => ObjectKind::Unknown,
        };
        let ra = number(self.ra, "ra", 0.0..=360.0)?;
        let dec = number(self.dec, "dec", -90.0..=90.0)?;
        let magnitude_error = match self.magnitude_error {
            // A catalogue that gives an error for some objects only leaves the field of the others empty.
            Some(place) if fields.get(place).is_some_and(|text| !text.is_empty()) => {
                number(place, "mag_error", 0.0..=10.0)?
            }
            _ => 0.0,
        };
        Ok(CatalogueObject {
            id: id.to_owned(),
            kind,
            position: SkyPosition::new(ra, dec),
            magnitude: number(self.magnitude, "mag", -30.0..=40.0)?,
            magnitude_error,
            magnitudes: Vec::new(),
        })
    }
}

/// The objects in the order of the file, or the line (from one) and what is wrong with it.
fn parse(text: &str) -> Result<Vec<CatalogueObject>, (usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let Some((number, header)) = lines.next() else {
        return Err((1, "the file has no header line (id,kind,ra,dec,mag)".to_owned()));
    };
    let columns = Columns::of(header).map_err(|what| (number, what))?;
    lines.map(|(number, line)| columns.object(line).map_err(|what| (number, what))).collect()
}

/// The catalogue of a field for which none is installed: always `Unavailable`.
#[derive(Debug)]
pub struct NoCatalogue;

impl Catalogue for NoCatalogue {
    fn cone(&self, _centre: SkyPosition, _radius_degrees: f64) -> CatalogueAnswer {
        CatalogueAnswer::Unavailable { reason: "no catalogue is configured".to_owned() }
    }

    fn object_count(&self) -> u64 {
        0
    }

    fn describe(&self) -> String {
        "none".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<LocalCatalogue, LocalCatalogueError> {
        LocalCatalogue::from_bytes(Path::new("field.csv"), text.as_bytes())
    }

    fn ids(answer: &CatalogueAnswer) -> Vec<&str> {
        answer.objects().iter().map(|object| object.id.as_str()).collect()
    }

    const SMALL: &str = "# a field\nmag, id,extra,dec,kind,ra\n\n17.5,a,x,10.0,star,20.0\n\
        16.0,b,x,10.1,GALAXY,20.1\n16.0,aa,x,10.1,tycho,20.05\n18.0,c,x,9.8,quasar,19.8\n";

    #[test]
    fn columns_stand_in_any_order_and_answers_are_brightest_first() {
        let catalogue = read(SMALL).unwrap();
        assert_eq!(catalogue.object_count(), 4);
        let answer = catalogue.cone(SkyPosition::new(20.0, 10.0), 1.0);
        assert_eq!(ids(&answer), ["aa", "b", "a", "c"]);
        let kinds: Vec<ObjectKind> = answer.objects().iter().map(|object| object.kind).collect();
        use ObjectKind::{Galaxy, Star, Unknown};
        assert_eq!(kinds, [Star, Galaxy, Star, Unknown]);
        assert_eq!(answer.faint_limit(), Some(18.0));
        assert_eq!(answer.objects()[0].magnitude_error, 0.0);
    }

    #[test]
    fn errors_name_the_line_and_the_fault() {
        for (text, line, says) in [
            ("", 1, "no header"),
            ("id,kind,ra,dec\n", 1, "no column 'mag'"),
            ("id,kind,ra,dec,mag,ra\n", 1, "twice"),
            ("id,kind,ra,dec,mag\n\n# x\n1,star,10,20\n", 4, "no field 'mag'"),
            ("id,kind,ra,dec,mag\n1,star,ten,20,15\n", 2, "ra 'ten' is not a number"),
            ("id,kind,ra,dec,mag\n1,star,NaN,20,15\n", 2, "ra NaN is not between 0 and 360"),
            ("id,kind,ra,dec,mag\n1,star,10,-90.1,15\n", 2, "dec -90.1"),
            ("id,kind,ra,dec,mag\n1,star,10,20,inf\n", 2, "mag inf"),
            ("id,kind,ra,dec,mag,mag_error\n1,star,10,20,15,-0.1\n", 2, "mag_error -0.1"),
            ("id,kind,ra,dec,mag\n,star,10,20,15\n", 2, "id is empty"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("field.csv, line {line}: ")), "{message}");
            assert!(message.contains(says), "{message}");
        }
        let broken = LocalCatalogue::from_bytes(Path::new("f"), b"id,kind\n\xff").unwrap_err();
        assert!(broken.to_string().contains("line 2: the text is not UTF-8"));
        let missing = LocalCatalogue::open(Path::new("no/such/file.csv")).unwrap_err();
        assert!(matches!(missing, LocalCatalogueError::Io { .. }));
    }

    #[test]
    fn description_tells_name_number_limit_and_digest() {
        // The digest of the second is by sha256sum of coreutils.
        let mut described = read(SMALL).unwrap().describe();
        let digest = described.split_off(described.len() - 12);
        assert_eq!(described, "field.csv, 4 objects to magnitude 18.00, sha256 ");
        assert!(digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(read(&format!("{SMALL}\n")).unwrap().describe(), format!("{described}{digest}"));
        let empty = read("id,kind,ra,dec,mag\n").unwrap();
        assert_eq!(empty.describe(), "field.csv, no objects, sha256 06d82cbbe3e6");
    }

    /// A grid of objects every 0.1° in a box.
    fn grid(ra_from: f64, ra_steps: usize, dec_from: f64, dec_steps: usize) -> LocalCatalogue {
        let mut text = "id,kind,ra,dec,mag\n".to_owned();
        for i in 0..ra_steps {
            for j in 0..dec_steps {
                let ra = (ra_from + 0.1 * i as f64).rem_euclid(360.0);
                let dec = dec_from + 0.1 * j as f64;
                text.push_str(&format!("{i}-{j},star,{ra:.4},{dec:.4},{}\n", 10 + (i + j) % 9));
            }
        }
        read(&text).unwrap()
    }

    #[test]
    fn empty_is_said_only_where_the_file_has_looked() {
        let catalogue = grid(359.5, 11, -0.5, 11);
        // Between the grid points, across 0 h.
        let inside = SkyPosition::new(359.95, 0.05);
        assert_eq!(catalogue.cone(inside, 0.02), CatalogueAnswer::Empty);
        assert_eq!(ids(&catalogue.cone(SkyPosition::new(0.0, 0.0), 0.01)), ["5-5"]);
        for outside in [(0.0, 5.0), (180.0, 0.0), (359.0, 0.0), (0.0, -0.9)] {
            let answer = catalogue.cone(SkyPosition::new(outside.0, outside.1), 0.02);
            let CatalogueAnswer::Unavailable { reason } = answer else { panic!("{answer:?}") };
            assert!(reason.contains("field.csv does not cover"), "{reason}");
        }
        // A file without objects has looked nowhere.
        let nothing = read("id,kind,ra,dec,mag\n").unwrap();
        let answer = nothing.cone(inside, 0.1);
        assert!(matches!(answer, CatalogueAnswer::Unavailable { .. }));
    }

    #[test]
    fn a_cone_that_is_none_is_unavailable() {
        let catalogue = grid(10.0, 5, 10.0, 5);
        let nowhere = SkyPosition { ra_degrees: f64::NAN, dec_degrees: 10.0 };
        for (centre, radius) in [
            (nowhere, 1.0),
            (SkyPosition::new(10.0, 10.0), f64::NAN),
            (SkyPosition::new(10.0, 95.0), 1.0),
        ] {
            let answer = catalogue.cone(centre, radius);
            assert!(matches!(answer, CatalogueAnswer::Unavailable { .. }));
        }
        assert!(matches!(NoCatalogue.cone(nowhere, 1.0), CatalogueAnswer::Unavailable { .. }));
    }

    #[test]
    fn a_pole_is_covered_by_what_surrounds_it() {
        let mut text = "id,kind,ra,dec,mag\n".to_owned();
        for i in 0..36 {
            for j in 0..10 {
                text.push_str(&format!(
                    "{i}-{j},star,{},{:.2},15\n",
                    i * 10,
                    88.95 + 0.1 * f64::from(j)
                ));
            }
        }
        let catalogue = read(&text).unwrap();
        let pole = SkyPosition::new(123.0, 90.0);
        assert_eq!(catalogue.cone(pole, 0.1), CatalogueAnswer::Empty);
        // The row at 89.85 lies 0.15° from the pole.
        assert_eq!(catalogue.cone(pole, 0.2).objects().len(), 36);
        let beside = SkyPosition::new(0.0, 89.9);
        let far_side = SkyPosition::new(180.0, 89.85);
        assert!((beside.separation_arcsec(far_side) - 900.0).abs() < 0.01);
        assert_eq!(catalogue.cone(beside, 0.251).objects().len(), {
            let everything = catalogue.objects.iter();
            everything.filter(|o| o.position.separation_arcsec(beside) <= 903.6).count()
        });
    }

    #[test]
    fn the_simulated_field_is_read_where_it_is_at_hand() {
        let root = std::env::var("GIC_TEST_DATA")
            .unwrap_or_else(|_| format!("{}/../shared/data", env!("CARGO_MANIFEST_DIR")));
        let path = Path::new(&root).join("coatli_simulated/truth/catalog.csv");
        if !path.exists() {
            println!("skipped: no test data at {root} (set GIC_TEST_DATA)");
            return;
        }
        let catalogue = LocalCatalogue::open(&path).unwrap();
        assert_eq!(catalogue.object_count(), 1900);
        let answer = catalogue.cone(SkyPosition::new(30.2695, 24.5099), 0.02);
        assert!(answer.objects().len() > 3);
        assert!((21.0..22.0).contains(&answer.faint_limit().unwrap()));
    }

    proptest! {
        #[test]
        fn a_cone_holds_what_brute_force_finds(
            objects in prop::collection::vec((0.0..360.0_f64, -90.0..=90.0_f64), 0..80),
            ra in 0.0..360.0_f64, dec in -90.0..=90.0_f64, radius in 0.0..60.0_f64,
        ) {
            let mut text = "id,kind,ra,dec,mag\n".to_owned();
            for (number, (ra, dec)) in objects.iter().enumerate() {
                text.push_str(&format!("{number},star,{ra},{dec},15\n"));
            }
            let centre = SkyPosition::new(ra, dec);
            let mut expected: Vec<String> = objects
                .iter()
                .enumerate()
                .filter(|(_, (ra, dec))| {
                    SkyPosition::new(*ra, *dec).separation_arcsec(centre) <= radius * 3600.0
                })
                .map(|(number, _)| number.to_string())
                .collect();
            expected.sort();
            let answer = read(&text).unwrap().cone(centre, radius);
            prop_assert_eq!(ids(&answer), expected);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,60}", rows in "[0-9,.a-z\"#\n-]{0,200}") {
            let _ = read(&text);
            let _ = read(&format!("id,kind,ra,dec,mag,mag_error\n{rows}"));
        }
    }
}
