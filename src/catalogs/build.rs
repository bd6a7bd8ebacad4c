//! Building a catalogue store: rows of published catalogues in, a directory out that is there whole or not at all.
//!
//! Memory stays bounded: objects go to disk in sorted runs and come back merged, cell by cell. Everything is written under a name of its
//! own beside the store, synced, and renamed; what a killed build leaves there is removed by the next one.

mod draft;
mod store_writer;

use super::{
    coverage::{Census, Coverage},
    input::{self, InputError},
    record::StoredObject,
    row_mapping::{RowFault, RowMapping},
    sorted_runs::SortedRuns,
    store_header::{Origin, SourceFile, sha256_of},
};
use crate::{
    config::CatalogueMap,
    model::{CatalogueBand, SkyPosition, UtcTime},
};
pub(super) use draft::Draft;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use store_writer::StoreWriter;

/// Rows between two calls of the watcher.
const ROWS_PER_LOOK: u64 = 20_000;
/// Objects held in memory at a time, about a hundred megabytes.
pub const CHUNK_OBJECTS: usize = 400_000;
/// Rows told of for each reason.
const EXAMPLES: usize = 3;

/// What part of the sky the catalogue covers.
#[derive(Debug, Clone, PartialEq)]
pub enum StatedCoverage {
    /// Nobody says: by the objects.
    Objects,
    AllSky,
    /// Centres and radii, degrees.
    Cones(Vec<(SkyPosition, f64)>),
}

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Files, and directories that are HATS catalogues.
    pub inputs: Vec<PathBuf>,
    pub output: PathBuf,
    pub map: CatalogueMap,
    /// The map's own name if absent.
    pub name: Option<String>,
    pub url: Option<String>,
    /// The map's own if absent.
    pub citation: Option<String>,
    /// Date of the data; of the build if absent.
    pub dated: Option<UtcTime>,
    pub built_at: UtcTime,
    pub coverage: StatedCoverage,
    /// Whether a store of the same name is replaced.
    pub replace: bool,
    /// [`CHUNK_OBJECTS`], less in tests.
    pub chunk_objects: usize,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildPhase {
    Checksums,
    Reading,
    Writing,
}

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildProgress {
    pub phase: BuildPhase,
    /// Bytes of the inputs, or objects when they are written.
    pub done: u64,
    pub total: u64,
    pub rows: u64,
    pub rejected: u64,
}

/// Rows that were left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rejected {
    pub count: u64,
    /// The first of them: file and number of the row.
    pub examples: Vec<String>,
}

/// What a build has done.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildReport {
    pub rows: u64,
    pub objects: u64,
    pub cells: u64,
    pub rejected: BTreeMap<String, Rejected>,
}

/// Why nothing was built. There is no half store after it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: it exists already; --replace replaces a catalogue")]
    Exists { path: PathBuf },
    #[error("{path}: it exists and is no catalogue: it is not replaced")]
    Foreign { path: PathBuf },
    #[error("{path}: another build of this catalogue is under way")]
    Busy { path: PathBuf },
    #[error("no object in {rows} rows")]
    NoObjects { rows: u64 },
    #[error("{0}")]
    Header(String),
    /// Of the runs on disk.
    #[error("sorting: {0}")]
    Sorting(#[from] io::Error),
}

impl BuildError {
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// What is counted while the rows are read.
struct Collector<'a> {
    runs: SortedRuns,
    census: Census,
    rows: u64,
    rejected_rows: u64,
    rejected: BTreeMap<RowFault, Rejected>,
    /// Objects with a magnitude in each band of the map.
    band_counts: Vec<u64>,
    longest_identifier: usize,
    are_integers: bool,
    watch: &'a mut dyn FnMut(BuildProgress),
}

impl Collector<'_> {
    fn reject(&mut self, fault: RowFault, example: impl FnOnce() -> String) {
        self.rejected_rows += 1;
        let rejected = self.rejected.entry(fault).or_default();
        rejected.count += 1;
        if rejected.examples.len() < EXAMPLES {
            rejected.examples.push(example());
        }
    }

    fn accept(&mut self, object: StoredObject) -> io::Result<()> {
        self.census.count(object.position);
        self.longest_identifier = self.longest_identifier.max(object.id.len());
        self.are_integers &= super::record::integer_identifier(&object.id).is_some();
        for (count, magnitude) in self.band_counts.iter_mut().zip(&object.magnitudes) {
            *count += u64::from(magnitude.is_some());
        }
        self.runs.push(object)
    }
}

/// Builds a store. `watch` is called now and then.
///
/// # Errors
/// See [`BuildError`]; the store that was there before, if any, is then untouched.
pub fn build(
    request: &BuildRequest,
    watch: &mut dyn FnMut(BuildProgress),
) -> Result<BuildReport, BuildError> {
    let draft = Draft::begin(&request.output, request.replace)?;
    let inputs = input::files_of(&request.inputs)?;
    let mut files = checksums(&inputs, watch)?;
    let mut collector = Collector {
        runs: SortedRuns::new(draft.path(), request.chunk_objects, request.map.bands.len()),
        census: Census::default(),
        rows: 0,
        rejected_rows: 0,
        rejected: BTreeMap::new(),
        band_counts: vec![0; request.map.bands.len()],
        longest_identifier: 1,
        are_integers: true,
        watch,
    };
    let total = files.iter().map(|file| file.bytes).sum();
    let mut done = 0;
    for (path, file) in inputs.iter().zip(&mut files) {
        let before = collector.rows;
        read_file(path, &request.map, &mut collector, (done, total))?;
        file.rows = collector.rows - before;
        done += file.bytes;
    }
    let Collector { runs, census, rows, mut rejected, band_counts, watch, .. } = collector;
    let accepted = rows - collector.rejected_rows;
    if accepted == 0 {
        return Err(BuildError::NoObjects { rows });
    }
    let coverage = match &request.coverage {
        StatedCoverage::Objects => census.coverage(),
        StatedCoverage::AllSky => Coverage::all_sky(),
        StatedCoverage::Cones(cones) => Coverage::of_cones(cones),
    };
    // Bands of the map that no input has would only take room.
    let kept: Vec<bool> = band_counts.iter().map(|count| *count > 0).collect();
    let bands = request.map.bands.iter().zip(&kept).filter(|(_, kept)| **kept);
    let bands: Vec<CatalogueBand> = bands.map(|(band, _)| band.scale()).collect();
    let mut writer = StoreWriter::create(
        draft.path(),
        store_writer::layout(collector.are_integers, collector.longest_identifier, bands.len()),
        store_writer::cell_order(&census),
    )?;
    let mut written = 0_u64;
    let mut last: Option<(u64, String)> = None;
    let mut repeated = Rejected::default();
    runs.merged::<BuildError>(|key, mut object| {
        written += 1;
        if written.is_multiple_of(ROWS_PER_LOOK) {
            let rejected = collector.rejected_rows + repeated.count;
            let phase = BuildPhase::Writing;
            watch(BuildProgress { phase, done: written, total: accepted, rows, rejected });
        }
        if last.as_ref().is_some_and(|(cell, id)| *cell == key && *id == object.id) {
            repeated.count += 1;
            if repeated.examples.len() < EXAMPLES {
                repeated.examples.push(format!("object {}", object.id));
            }
            return Ok(());
        }
        last = Some((key, object.id.clone()));
        let mut kept = kept.iter();
        object.magnitudes.retain(|_| kept.next().copied().unwrap_or(false));
        writer.add(key, &object)
    })?;
    if repeated.count > 0 {
        rejected.insert(RowFault::Repeated, repeated);
    }
    let rejected: BTreeMap<String, Rejected> =
        rejected.into_iter().map(|(fault, rejected)| (fault.to_string(), rejected)).collect();
    let origin = Origin {
        files,
        column_map: request.map.name.clone(),
        url: request.url.clone(),
        citation: request.citation.clone().or_else(|| request.map.citation.clone()),
    };
    let header = writer.finish(store_writer::Statement {
        name: request.name.clone().unwrap_or_else(|| request.map.name.clone()),
        origin,
        built_at: request.built_at,
        dated: request.dated.unwrap_or(request.built_at),
        epoch_year: request.map.epoch.default_year(),
        bands,
        rejected_rows: rejected.iter().map(|(why, each)| (why.clone(), each.count)).collect(),
        coverage,
    })?;
    draft.publish()?;
    Ok(BuildReport { rows, objects: header.object_count, cells: header.cell_count, rejected })
}

/// Names, lengths and SHA-256 of the inputs.
pub(super) fn checksums(
    inputs: &[PathBuf],
    watch: &mut dyn FnMut(BuildProgress),
) -> Result<Vec<SourceFile>, BuildError> {
    let length = |path: &PathBuf| {
        fs::metadata(path).map(|metadata| metadata.len()).map_err(BuildError::at(path))
    };
    let total = inputs.iter().map(length).sum::<Result<u64, _>>()?;
    let mut done = 0;
    let mut files = Vec::with_capacity(inputs.len());
    for path in inputs {
        let phase = BuildPhase::Checksums;
        watch(BuildProgress { phase, done, total, rows: 0, rejected: 0 });
        let at = BuildError::at(path);
        let (sha256, bytes) = sha256_of(File::open(path).map_err(&at)?).map_err(&at)?;
        done += bytes;
        files.push(SourceFile { name: name_of(path), bytes, sha256, rows: 0 });
    }
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Reads a file into the collector. `(done, total)` are the bytes before it and of all inputs.
fn read_file(
    path: &Path,
    map: &CatalogueMap,
    collector: &mut Collector<'_>,
    (done, total): (u64, u64),
) -> Result<(), BuildError> {
    let bytes_read = Arc::new(AtomicU64::new(0));
    // Set when a table is chosen, used for the rows that follow it.
    let mapping: RefCell<Option<RowMapping>> = RefCell::new(None);
    input::read_rows::<BuildError>(
        path,
        &mut |columns| {
            let found = RowMapping::of(map, columns)?;
            let chosen = found.as_ref().map(|found| found.chosen.clone());
            if found.is_some() {
                mapping.replace(found);
            }
            Ok(chosen)
        },
        &mut |(number, row)| {
            collector.rows += 1;
            let object = match (row, mapping.borrow().as_ref()) {
                (Ok(row), Some(mapping)) => mapping.object(row),
                (Err(what), _) => Err(RowFault::Row(what)),
                (Ok(_), None) => Err(RowFault::Row("no table was chosen")),
            };
            match object {
                Ok(object) => collector.accept(object)?,
                Err(fault) => {
                    collector.reject(fault, || format!("{} row {number}", name_of(path)));
                }
            }
            if collector.rows.is_multiple_of(ROWS_PER_LOOK) {
                let read = bytes_read.load(Ordering::Relaxed);
                (collector.watch)(BuildProgress {
                    phase: BuildPhase::Reading,
                    done: done + read,
                    total,
                    rows: collector.rows,
                    rejected: collector.rejected_rows,
                });
            }
            Ok(())
        },
        &bytes_read,
    )
}
