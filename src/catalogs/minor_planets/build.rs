//! Building the store of orbits: MPCORB.DAT in, a directory out that is there whole or not at all.

use super::{
    mpcorb::orbit_of,
    record::to_bytes,
    store::{FORMAT, FORMAT_VERSION, ORBITS_FILE, OrbitsHeader},
};
use crate::catalogs::{
    build::{BuildError, BuildProgress, BuildReport, Draft, Rejected, checksums},
    input::{InputError, open_unfolded},
    store::HEADER_FILE,
    store_header::{Origin, sha256_of},
};
use crate::model::UtcTime;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read as _, Write},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

const MAXIMUM_LINE: u64 = 1 << 12;
/// Rows told of for each reason.
const EXAMPLES: usize = 3;
/// More orbits would not be held in memory.
const MAXIMUM_ORBITS: u64 = 20_000_000;

/// What to build.
#[derive(Debug, Clone)]
pub struct OrbitsRequest {
    /// MPCORB.DAT or files of its format, plain or gzip.
    pub inputs: Vec<PathBuf>,
    pub output: PathBuf,
    pub name: String,
    pub url: Option<String>,
    pub citation: Option<String>,
    /// Date of the data; of the build if absent.
    pub dated: Option<UtcTime>,
    pub built_at: UtcTime,
    pub replace: bool,
}

/// Builds a store of orbits.
///
/// # Errors
/// See [`BuildError`]; what was there before is then untouched.
pub fn build_orbits(
    request: &OrbitsRequest,
    watch: &mut dyn FnMut(BuildProgress),
) -> Result<BuildReport, BuildError> {
    let draft = Draft::begin(&request.output, request.replace)?;
    let mut files = checksums(&request.inputs, watch)?;
    let path = draft.path().join(ORBITS_FILE);
    let at = BuildError::at(&path);
    let mut writer = BufWriter::with_capacity(1 << 18, File::create(&path).map_err(&at)?);
    let mut counts = Counts::default();
    for (input, file) in request.inputs.iter().zip(&mut files) {
        let before = counts.rows;
        counts.read(input, &mut |bytes| writer.write_all(bytes).map_err(&at))?;
        file.rows = counts.rows - before;
    }
    if counts.orbits == 0 {
        return Err(BuildError::NoObjects { rows: counts.rows });
    }
    let file = writer.into_inner().map_err(|error| at(error.into_error()))?;
    file.sync_all().map_err(&at)?;
    drop(file);
    let (orbits_sha256, _) = sha256_of(File::open(&path).map_err(&at)?).map_err(&at)?;
    let header = OrbitsHeader {
        format: FORMAT.to_owned(),
        format_version: FORMAT_VERSION,
        name: request.name.clone(),
        origin: Origin {
            files,
            column_map: "mpcorb".to_owned(),
            url: request.url.clone(),
            citation: request.citation.clone(),
        },
        built_at: request.built_at.iso_seconds(),
        dated: request.dated.unwrap_or(request.built_at).iso_seconds(),
        orbit_count: counts.orbits,
        epoch_range_mjd: counts.epochs,
        rejected_rows: counts
            .rejected
            .iter()
            .map(|(why, each)| (why.clone(), each.count))
            .collect(),
        orbits_sha256,
    };
    let text = serde_json::to_string_pretty(&header)
        .map_err(|error| BuildError::Header(error.to_string()))?;
    let path = draft.path().join(HEADER_FILE);
    let at = BuildError::at(&path);
    let mut file = File::create(&path).map_err(&at)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(&at)?;
    draft.publish()?;
    Ok(BuildReport {
        rows: counts.rows,
        objects: counts.orbits,
        cells: 0,
        rejected: counts.rejected,
    })
}

struct Counts {
    rows: u64,
    orbits: u64,
    epochs: (f64, f64),
    rejected: BTreeMap<String, Rejected>,
}

impl Default for Counts {
    fn default() -> Self {
        let epochs = (f64::INFINITY, f64::NEG_INFINITY);
        Self { rows: 0, orbits: 0, epochs, rejected: BTreeMap::new() }
    }
}

impl Counts {
    /// Reads a file. Lines up to one of dashes, where there is one before the first orbit, are its head.
    fn read(
        &mut self,
        path: &Path,
        write: &mut dyn FnMut(&[u8]) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let io_error = |source| BuildError::Input(InputError::Io { path: path.to_owned(), source });
        let file = open_unfolded(path, &Arc::new(AtomicU64::new(0))).map_err(io_error)?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let (mut number, mut has_orbits) = (0_u64, false);
        let mut head: Vec<(u64, &'static str)> = Vec::new();
        loop {
            line.clear();
            let count = reader
                .by_ref()
                .take(MAXIMUM_LINE)
                .read_until(b'\n', &mut line)
                .map_err(io_error)?;
            if count == 0 {
                break;
            }
            if count as u64 == MAXIMUM_LINE && line.last() != Some(&b'\n') {
                let what = format!("line {}: longer than {MAXIMUM_LINE} bytes", number + 1);
                return Err(InputError::Format { path: path.to_owned(), what }.into());
            }
            number += 1;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if text.is_empty() {
                continue;
            }
            if !has_orbits && text.len() > 20 && text.bytes().all(|byte| byte == b'-') {
                head.clear();
                continue;
            }
            match orbit_of(text) {
                Ok(orbit) => {
                    has_orbits = true;
                    for (line, why) in head.drain(..) {
                        self.reject(why, &name, line);
                    }
                    self.rows += 1;
                    self.orbits += 1;
                    if self.orbits > MAXIMUM_ORBITS {
                        let what = format!("more than {MAXIMUM_ORBITS} orbits");
                        return Err(InputError::Format { path: path.to_owned(), what }.into());
                    }
                    let epoch = orbit.elements.epoch_mjd;
                    self.epochs = (self.epochs.0.min(epoch), self.epochs.1.max(epoch));
                    write(&to_bytes(&orbit))?;
                }
                // What may still turn out to be the head is kept, as far as a head is long.
                Err(why) if !has_orbits && head.len() < 1000 => head.push((number, why)),
                Err(why) => self.reject(why, &name, number),
            }
        }
        for (line, why) in head {
            self.reject(why, &name, line);
        }
        Ok(())
    }

    fn reject(&mut self, why: &str, file: &str, line: u64) {
        self.rows += 1;
        let rejected = self.rejected.entry(why.to_owned()).or_default();
        rejected.count += 1;
        if rejected.examples.len() < EXAMPLES {
            rejected.examples.push(format!("{file} line {line}"));
        }
    }
}
