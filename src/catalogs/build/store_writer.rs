//! The three files of a store, written cell by cell.

use super::{
    super::{
        coverage::{Census, Coverage},
        healpix::MAXIMUM_ORDER,
        record::{IdentifierForm, RecordLayout, StoredObject},
        store::{CellEntry, ENTRY_BYTES, HEADER_FILE, INDEX_FILE, OBJECTS_FILE, crc_of},
        store_header::{
            FINEST_CELL_ORDER, FORMAT, FORMAT_VERSION, Origin, StoreHeader, hexadecimal,
        },
    },
    BuildError,
};
use crate::model::{CatalogueBand, ObjectKind, UtcTime};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// Half of the cells hold at least so many objects.
const OBJECTS_PER_CELL: u32 = 64;
/// Width of the bins in which magnitudes are counted, and the first.
const MAGNITUDE_BIN: f64 = 0.01;
const BRIGHTEST: f64 = -30.0;
const MAGNITUDE_BINS: usize = 7001;
/// Share of the objects brighter than the faint limit.
const FAINT_LIMIT_SHARE: f64 = 0.98;

/// What the header says that the objects do not.
pub(super) struct Statement {
    pub name: String,
    pub origin: Origin,
    pub built_at: UtcTime,
    pub dated: UtcTime,
    pub epoch_year: f64,
    pub bands: Vec<CatalogueBand>,
    pub rejected_rows: BTreeMap<String, u64>,
    pub coverage: Coverage,
}

pub(super) fn layout(
    are_integers: bool,
    longest_identifier: usize,
    band_count: usize,
) -> RecordLayout {
    let (identifier_form, identifier_bytes) = match are_integers {
        true => (IdentifierForm::Integer, 8),
        false => (IdentifierForm::Text, longest_identifier),
    };
    RecordLayout { identifier_form, identifier_bytes, band_count }
}

pub(super) fn cell_order(census: &Census) -> u8 {
    census.order_for(OBJECTS_PER_CELL, FINEST_CELL_ORDER)
}

/// A file with the digest of what went into it.
struct Digested {
    path: PathBuf,
    file: BufWriter<File>,
    digest: Sha256,
}

impl Digested {
    fn create(path: PathBuf) -> Result<Self, BuildError> {
        let file = File::create(&path).map_err(BuildError::at(&path))?;
        Ok(Self { path, file: BufWriter::with_capacity(1 << 20, file), digest: Sha256::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(BuildError::at(&self.path))
    }

    /// Everything on disk; the SHA-256.
    fn finish(mut self) -> Result<String, BuildError> {
        let at = BuildError::at(&self.path);
        self.file.flush().map_err(&at)?;
        self.file.get_ref().sync_all().map_err(&at)?;
        Ok(hexadecimal(&self.digest.finalize()))
    }
}

/// Takes objects in the order of their cells.
pub(super) struct StoreWriter {
    directory: PathBuf,
    layout: RecordLayout,
    cell_order: u8,
    objects: Digested,
    index: Digested,
    cell: Option<u64>,
    records: Vec<u8>,
    object_count: u64,
    cell_count: u64,
    kinds: [u64; 2],
    /// Number of objects by magnitude in the first band.
    magnitudes: Vec<u64>,
    faintest: Option<f64>,
    greatest_motion: f64,
    epochs: (f64, f64),
}

impl StoreWriter {
    pub fn create(
        directory: &Path,
        layout: RecordLayout,
        cell_order: u8,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            directory: directory.to_owned(),
            layout,
            cell_order,
            objects: Digested::create(directory.join(OBJECTS_FILE))?,
            index: Digested::create(directory.join(INDEX_FILE))?,
            cell: None,
            records: Vec::new(),
            object_count: 0,
            cell_count: 0,
            kinds: [0; 2],
            magnitudes: vec![0; MAGNITUDE_BINS],
            faintest: None,
            greatest_motion: 0.0,
            epochs: (f64::INFINITY, f64::NEG_INFINITY),
        })
    }

    /// Adds an object with its cell at the finest order, no smaller than the one before.
    pub fn add(&mut self, finest_cell: u64, object: &StoredObject) -> Result<(), BuildError> {
        let cell = finest_cell >> (2 * (MAXIMUM_ORDER - self.cell_order));
        if self.cell != Some(cell) {
            self.end_cell()?;
            self.cell = Some(cell);
        }
        self.layout.encode(object, &mut self.records).ok_or_else(|| {
            BuildError::Header(format!("object {} does not fit the record", object.id))
        })?;
        match object.kind {
            ObjectKind::Star => self.kinds[0] += 1,
            ObjectKind::Galaxy => self.kinds[1] += 1,
            ObjectKind::Unknown => (),
        }
        if let Some(Some(magnitude)) = object.magnitudes.first() {
            let value = f64::from(magnitude.value);
            let bin = ((value - BRIGHTEST) / MAGNITUDE_BIN) as usize;
            if let Some(count) = self.magnitudes.get_mut(bin) {
                *count += 1;
            }
            self.faintest = Some(self.faintest.map_or(value, |faintest| faintest.max(value)));
        }
        if let Some(motion) = object.proper_motion {
            let total = f64::from(motion.east_mas).hypot(f64::from(motion.north_mas));
            self.greatest_motion = self.greatest_motion.max(total);
        }
        let epoch = f64::from(object.epoch_year);
        self.epochs = (self.epochs.0.min(epoch), self.epochs.1.max(epoch));
        Ok(())
    }

    fn end_cell(&mut self) -> Result<(), BuildError> {
        let Some(cell) = self.cell.take() else { return Ok(()) };
        let count = self.records.len() / self.layout.record_bytes();
        let entry = CellEntry {
            cell,
            first: self.object_count,
            count: u32::try_from(count).map_err(|_| {
                BuildError::Header(format!("cell {cell} holds too many objects: {count}"))
            })?,
            crc: crc_of(&self.records),
        };
        let bytes: [u8; ENTRY_BYTES] = entry.to_bytes();
        self.index.write(&bytes)?;
        self.objects.write(&self.records)?;
        self.object_count += count as u64;
        self.cell_count += 1;
        self.records.clear();
        Ok(())
    }

    /// Magnitude that a share of the objects is brighter than, to a hundredth.
    fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.magnitudes.iter().sum();
        let wanted = (share * total as f64).ceil() as u64;
        let mut sum = 0;
        let bin = self.magnitudes.iter().position(|count| {
            sum += count;
            total > 0 && sum >= wanted
        })?;
        Some(((BRIGHTEST + (bin as f64 + 1.0) * MAGNITUDE_BIN) * 100.0).round() / 100.0)
    }

    /// Writes the header last.
    pub fn finish(mut self, statement: Statement) -> Result<StoreHeader, BuildError> {
        self.end_cell()?;
        let faint_limit = self.quantile(FAINT_LIMIT_SHARE);
        let mut header = StoreHeader {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            name: statement.name,
            origin: statement.origin,
            built_at: format!("{}Z", statement.built_at.iso_seconds()),
            dated: format!("{}Z", statement.dated.iso_seconds()),
            epoch_year: statement.epoch_year,
            epoch_range: self.epochs,
            bands: statement.bands.iter().map(|band| band.name.clone()).collect(),
            band_systems: statement
                .bands
                .into_iter()
                .filter(|band| band.system.is_some())
                .collect(),
            object_count: self.object_count,
            faintest_magnitude: self.faintest,
            faint_limit,
            greatest_proper_motion_mas: self.greatest_motion,
            galaxy_count: self.kinds[1],
            star_count: self.kinds[0],
            rejected_rows: statement.rejected_rows,
            identifier_form: self.layout.identifier_form,
            identifier_bytes: self.layout.identifier_bytes,
            record_bytes: self.layout.record_bytes(),
            cell_order: self.cell_order,
            cell_count: self.cell_count,
            index_sha256: self.index.finish()?,
            objects_sha256: self.objects.finish()?,
            coverage: statement.coverage,
            checksum: String::new(),
        };
        let text = header.seal().map_err(|error| BuildError::Header(error.to_string()))?;
        let mut file = Digested::create(self.directory.join(HEADER_FILE))?;
        file.write(text.as_bytes())?;
        file.finish()?;
        Ok(header)
    }
}
