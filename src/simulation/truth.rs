//! What is really on the sky, and the catalogue that the controller may know of it.

use super::SimulationError;
use super::afterglow::Afterglow;
use super::random::{Purpose, stream};
use super::sky::{SourceKind, StaticSource, SyntheticSky};
use crate::model::{SkyPosition, UtcTime};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How a catalogue differs from the sky. The default is that of interfaces.md §6.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogueParameters {
    /// Standard error of a position on each axis, milliarcseconds.
    pub position_error_mas: f64,
    pub magnitude_error: f64,
    /// What seems fainter than this is not in it.
    pub faintest_magnitude: f64,
}

impl Default for CatalogueParameters {
    fn default() -> Self {
        Self { position_error_mas: 50.0, magnitude_error: 0.03, faintest_magnitude: 19.5 }
    }
}

/// The catalogue of some fields as CSV: `id,kind,ra,dec,mag`, degrees, blurred and cut. New sources and the afterglow are
/// not in it.
pub fn catalogue_csv(
    seed: u64,
    skies: &[&SyntheticSky],
    parameters: &CatalogueParameters,
) -> String {
    let mut csv = String::from("id,kind,ra,dec,mag\n");
    for (field, sky) in skies.iter().enumerate() {
        for (index, source) in sky.sources.iter().enumerate() {
            if !source.kind.is_catalogued() {
                continue;
            }
            let mut generator = stream(seed, Purpose::Catalogue, (field << 24 | index) as u32);
            let mut normal = || -> f64 { StandardNormal.sample(&mut generator) };
            let error_arcsec = parameters.position_error_mas / 1000.0;
            let position =
                source.position.offset_arcsec(error_arcsec * normal(), error_arcsec * normal());
            let magnitude = source.magnitude + parameters.magnitude_error * normal();
            if magnitude > parameters.faintest_magnitude {
                continue;
            }
            let kind = if source.kind == SourceKind::Galaxy { "galaxy" } else { "star" };
            // Writing to a String cannot fail.
            let _ = writeln!(
                csv,
                "F{field}{},{kind},{:.7},{:.7},{magnitude:.3}",
                source.id, position.ra_degrees, position.dec_degrees
            );
        }
    }
    csv
}

/// Writes [`catalogue_csv`] to a file, by way of a temporary one.
pub fn write_catalogue(
    path: &Path,
    seed: u64,
    skies: &[&SyntheticSky],
    parameters: &CatalogueParameters,
) -> Result<(), SimulationError> {
    write_text(path, &catalogue_csv(seed, skies, parameters))
}

fn write_text(path: &Path, text: &str) -> Result<(), SimulationError> {
    let failed = |source| SimulationError::Io { path: path.to_owned(), source };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    std::fs::write(&temporary, text).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}

/// A real object. The afterglow's magnitude changes, so it stands apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrueObject {
    pub id: String,
    pub kind: SourceKind,
    #[serde(rename = "ra")]
    pub ra_degrees: f64,
    #[serde(rename = "dec")]
    pub dec_degrees: f64,
    #[serde(rename = "mag")]
    pub magnitude: f64,
}

impl TrueObject {
    fn of(source: &StaticSource) -> Self {
        Self {
            id: source.id.clone(),
            kind: source.kind,
            ra_degrees: source.position.ra_degrees,
            dec_degrees: source.position.dec_degrees,
            magnitude: source.magnitude,
        }
    }

    pub fn position(&self) -> SkyPosition {
        SkyPosition::new(self.ra_degrees, self.dec_degrees)
    }
}

/// Everything there is, as deep as it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    pub format_version: u32,
    /// Absent for an archive.
    pub seed: Option<u64>,
    /// Absent where the archive does not say.
    pub t0: Option<UtcTime>,
    pub afterglow_position: Option<SkyPosition>,
    /// The law of the afterglow, where it is known.
    pub afterglow: Option<Afterglow>,
    /// The afterglow's magnitude on each frame, where a table gives it: it goes before the law.
    pub frame_magnitudes: BTreeMap<String, f64>,
    /// Stars, galaxies and new sources.
    pub objects: Vec<TrueObject>,
}

impl Truth {
    pub const FORMAT_VERSION: u32 = 1;

    /// The truth of a synthetic night: the burst's field and the other programme's.
    pub fn of_sky(
        seed: u64,
        t0: UtcTime,
        sky: &SyntheticSky,
        programme_sky: &SyntheticSky,
    ) -> Self {
        Self {
            format_version: Self::FORMAT_VERSION,
            seed: Some(seed),
            t0: Some(t0),
            afterglow_position: sky.afterglow.map(|afterglow| afterglow.position),
            afterglow: sky.afterglow,
            frame_magnitudes: BTreeMap::new(),
            objects: sky.sources.iter().chain(&programme_sky.sources).map(TrueObject::of).collect(),
        }
    }

    /// The afterglow's magnitude on a frame: from the table, else from the law at mid-exposure.
    pub fn afterglow_magnitude(&self, frame_name: &str, middle: UtcTime) -> Option<f64> {
        if let Some(magnitude) = self.frame_magnitudes.get(frame_name) {
            return Some(*magnitude);
        }
        self.afterglow.as_ref()?.magnitude(self.t0?, middle)
    }

    /// The constant sources that no catalogue has.
    pub fn new_sources(&self) -> impl Iterator<Item = &TrueObject> {
        self.objects.iter().filter(|object| object.kind == SourceKind::NewSource)
    }

    /// Writes the truth as JSON, by way of a temporary file.
    pub fn write(&self, path: &Path) -> Result<(), SimulationError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| content_error(path, None, error.to_string()))?;
        write_text(path, &text)
    }

    /// Reads what [`Truth::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, SimulationError> {
        let text = read_text(path)?;
        let truth: Self = serde_json::from_str(&text)
            .map_err(|error| content_error(path, Some(error.line()), error.to_string()))?;
        if truth.format_version != Self::FORMAT_VERSION {
            let what = format!("format version {} is not understood", truth.format_version);
            return Err(content_error(path, None, what));
        }
        Ok(truth)
    }

    /// Reads the `truth/` directory of the simulated archive: one table per frame
    /// (`id,kind,x,y,ra,dec,mag,flux_e`) and, where there is one, `night.json` with `t0`.
    pub fn read_tables(directory: &Path) -> Result<Self, SimulationError> {
        let io = |source| SimulationError::Io { path: directory.to_owned(), source };
        let mut tables: Vec<PathBuf> = std::fs::read_dir(directory)
            .map_err(io)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(io)?
            .into_iter()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
            .collect();
        tables.sort();
        let mut truth = Self {
            format_version: Self::FORMAT_VERSION,
            seed: None,
            t0: None,
            afterglow_position: None,
            afterglow: None,
            frame_magnitudes: BTreeMap::new(),
            objects: Vec::new(),
        };
        let mut known = BTreeSet::new();
        for path in &tables {
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            for object in read_table(path)? {
                if object.kind == SourceKind::Afterglow {
                    truth.afterglow_position = Some(object.position());
                    if let Some(name) = &name {
                        truth.frame_magnitudes.insert(name.clone(), object.magnitude);
                    }
                } else if known.insert(object.id.clone()) {
                    truth.objects.push(object);
                }
            }
        }
        let night = directory.join("night.json");
        if night.is_file() {
            let value: serde_json::Value = serde_json::from_str(&read_text(&night)?)
                .map_err(|error| content_error(&night, Some(error.line()), error.to_string()))?;
            if let Some(text) = value.get("t0").and_then(serde_json::Value::as_str) {
                let t0 = UtcTime::parse(text)
                    .map_err(|error| content_error(&night, None, error.to_string()))?;
                truth.t0 = Some(t0);
            }
        }
        if truth.objects.is_empty() {
            return Err(content_error(directory, None, "no truth table in it".to_owned()));
        }
        Ok(truth)
    }
}

fn content_error(path: &Path, line: Option<usize>, what: String) -> SimulationError {
    SimulationError::Content { path: path.to_owned(), line, what }
}

fn read_text(path: &Path) -> Result<String, SimulationError> {
    std::fs::read_to_string(path)
        .map_err(|source| SimulationError::Io { path: path.to_owned(), source })
}

/// Reads a table whose first line names the columns.
fn read_table(path: &Path) -> Result<Vec<TrueObject>, SimulationError> {
    let text = read_text(path)?;
    let mut lines = text.lines().enumerate();
    let names: Vec<&str> = match lines.next() {
        Some((_, line)) => line.split(',').map(str::trim).collect(),
        None => return Err(content_error(path, Some(1), "the file is empty".to_owned())),
    };
    let column = |name: &str| {
        names
            .iter()
            .position(|found| *found == name)
            .ok_or_else(|| content_error(path, Some(1), format!("no column '{name}'")))
    };
    let (id, kind) = (column("id")?, column("kind")?);
    let (ra, dec, mag) = (column("ra")?, column("dec")?, column("mag")?);
    let mut rows = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let number_of_line = Some(index + 1);
        let field = |column: usize| {
            fields.get(column).copied().ok_or_else(|| {
                let what = format!("{} fields, {} are wanted", fields.len(), names.len());
                content_error(path, number_of_line, what)
            })
        };
        let number = |column: usize| {
            let text = field(column)?;
            text.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| {
                content_error(path, number_of_line, format!("'{text}' is not a number"))
            })
        };
        let word = field(kind)?;
        let kind = SourceKind::from_name(word).ok_or_else(|| {
            content_error(path, number_of_line, format!("'{word}' is no kind of object"))
        })?;
        rows.push(TrueObject {
            id: field(id)?.to_owned(),
            kind,
            ra_degrees: number(ra)?,
            dec_degrees: number(dec)?,
            magnitude: number(mag)?,
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::SkyParameters;

    fn skies() -> (SyntheticSky, SyntheticSky) {
        let programme = SkyParameters::programme(SkyPosition::new(313.197, 6.668));
        (
            SyntheticSky::new(1, &SkyParameters::default()).unwrap(),
            SyntheticSky::new(2, &programme).unwrap(),
        )
    }

    #[test]
    fn the_catalogue_is_blurred_and_cut_and_knows_nothing_new() {
        let (sky, other) = skies();
        let csv = catalogue_csv(1, &[&sky, &other], &CatalogueParameters::default());
        assert_eq!(csv, catalogue_csv(1, &[&sky, &other], &CatalogueParameters::default()));
        let mut lines = csv.lines();
        assert_eq!(lines.next(), Some("id,kind,ra,dec,mag"));
        let (mut squares, mut count) = (0.0, 0.0);
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let number = |index: usize| fields[index].parse::<f64>().unwrap();
            assert!(number(4) <= 19.5);
            let Some(id) = fields[0].strip_prefix("F0") else {
                assert!(fields[0].starts_with("F1"));
                continue;
            };
            let source = sky.sources.iter().find(|source| source.id == id).unwrap();
            assert!(source.kind.is_catalogued());
            assert!((number(4) - source.magnitude).abs() < 0.15);
            let offset = source.position.separation_arcsec(SkyPosition::new(number(2), number(3)));
            squares += offset * offset;
            count += 1.0;
        }
        assert!(count > 400.0, "{count}");
        // 50 mas on each axis: the mean square of the offset is 2 (0.05″)²; the spread of its estimate is √(1/count).
        let ratio: f64 = squares / count / (2.0 * 0.05f64.powi(2));
        assert!((ratio - 1.0).abs() < 4.0 / f64::sqrt(count), "{ratio}");
    }

    #[test]
    fn the_truth_survives_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("truth.json");
        let (sky, other) = skies();
        let t0 = UtcTime::parse("2026-11-01T04:18:00").unwrap();
        let truth = Truth::of_sky(1, t0, &sky, &other);
        truth.write(&path).unwrap();
        let read = Truth::read(&path).unwrap();
        assert_eq!((read.seed, read.t0), (truth.seed, truth.t0));
        assert_eq!(read.objects.len(), truth.objects.len());
        for (read, written) in read.objects.iter().zip(&truth.objects) {
            assert_eq!((&read.id, read.kind), (&written.id, written.kind));
            // The last digit of a number may change on its way through text.
            assert!((read.magnitude - written.magnitude).abs() < 1e-12);
            assert!(read.position().separation_arcsec(written.position()) < 1e-6);
        }
        assert_eq!(read.new_sources().count(), 40);
        let magnitude = truth.afterglow_magnitude("any", t0.plus_seconds(600.0)).unwrap();
        assert!((magnitude - 18.5).abs() < 1e-9);
        assert!(matches!(
            Truth::read(&directory.path().join("absent.json")),
            Err(SimulationError::Io { .. })
        ));
    }

    #[test]
    fn tables_of_an_archive_are_read_and_their_errors_located() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
        };
        write(
            "20191016T042001C0o.csv",
            "id,kind,x,y,ra,dec,mag,flux_e\n0,tycho,1,2,30.1,24.1,9.5,1\n7,transient,1,2,30.2,24.2,18.0,1\n\
             9,afterglow,1,2,30.3,24.3,17.0021,1\n",
        );
        write(
            "20191016T042106C0o.csv",
            "id,kind,x,y,ra,dec,mag,flux_e\n0,tycho,1,2,30.1,24.1,9.5,1\n9,afterglow,1,2,30.3,24.3,17.39,1\n",
        );
        write("catalog.csv", "id,kind,ra,dec,mag\n0,tycho,30.1,24.1,9.5\n3,star,30.0,24.0,20.0\n");
        write("night.json", "{\"t0\": \"2019-10-16T04:18:00\"}");
        let truth = Truth::read_tables(directory.path()).unwrap();
        assert_eq!(truth.objects.len(), 3);
        assert_eq!(truth.new_sources().count(), 1);
        let any = UtcTime::from_unix_microseconds(0);
        assert_eq!(truth.afterglow_magnitude("20191016T042106C0o", any), Some(17.39));
        assert_eq!(truth.afterglow_magnitude("20191016T050000C0o", any), None);
        assert_eq!(truth.t0, Some(UtcTime::parse("2019-10-16T04:18:00").unwrap()));

        for (text, wanted_line) in [
            ("id,kind,ra,dec\n", 1),
            ("id,kind,ra,dec,mag\n1,star,30,24,20\n2,comet,30,24,20\n", 3),
            ("id,kind,ra,dec,mag\n1,star,30\n", 2),
            ("id,kind,ra,dec,mag\n1,star,30,nan,20\n", 2),
            ("", 1),
        ] {
            write("catalog.csv", text);
            match Truth::read_tables(directory.path()) {
                Err(SimulationError::Content { line, .. }) => assert_eq!(line, Some(wanted_line)),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }
}
