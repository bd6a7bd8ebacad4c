//! A catalogue on disk by HEALPix cells: a directory with three files.
//!
//! * `header.json`: [`StoreHeader`].
//! * `cells.index`: for each cell that holds objects, ascending, 24 bytes little-endian: number of the cell (64 bits), place of its
//!   first record in `objects.data` (64 bits, counted in records), number of records (32 bits), CRC-32 of their bytes (32 bits).
//! * `objects.data`: the records ([`super::record`]) of all cells, one cell after the other.
//!
//! The index is held in memory; objects are read where they are needed, by position, and checked against the CRC of their cell.

use super::{
    Catalogue,
    healpix::cells_about,
    julian_year_of_mjd,
    record::{RecordLayout, StoredObject},
    store_header::{StoreHeader, sha256, sha256_of},
};
use crate::{
    config::read_bounded,
    model::{BandMagnitude, CatalogueAnswer, CatalogueBand, CatalogueObject, SkyPosition, UtcTime},
};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

pub const HEADER_FILE: &str = "header.json";
pub const INDEX_FILE: &str = "cells.index";
pub const OBJECTS_FILE: &str = "objects.data";
/// Bytes of an entry of the index.
pub const ENTRY_BYTES: usize = 24;

const MAXIMUM_HEADER_BYTES: u64 = 16 << 20;
const MAXIMUM_INDEX_BYTES: u64 = 256 << 20;
/// Bytes of objects read at a time, unless a cell has more.
const READ_BYTES: u64 = 4 << 20;
/// A cone with more is refused: the answer is held in memory.
const MAXIMUM_ANSWER: usize = 5_000_000;
/// Scatter of a magnitude that stands in for one of another band: a star's colour is not known.
pub const OTHER_BAND_ERROR: f64 = 0.5;

/// What is wrong with a store. Another try helps only for [`StoreError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// No store, one of another version, or a damaged one.
    #[error("{path}: {what}")]
    Damaged { path: PathBuf, what: String },
    #[error("{0}")]
    Cone(String),
}

/// An entry of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellEntry {
    pub cell: u64,
    pub first: u64,
    pub count: u32,
    pub crc: u32,
}

impl CellEntry {
    pub fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let (cell, rest) = bytes.split_at_mut(8);
        let (first, rest) = rest.split_at_mut(8);
        let (count, crc) = rest.split_at_mut(4);
        cell.copy_from_slice(&self.cell.to_le_bytes());
        first.copy_from_slice(&self.first.to_le_bytes());
        count.copy_from_slice(&self.count.to_le_bytes());
        crc.copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        Some(Self {
            cell: u64::from_le_bytes(*bytes.first_chunk()?),
            first: u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?),
            count: u32::from_le_bytes(*bytes.get(16..)?.first_chunk()?),
            crc: u32::from_le_bytes(*bytes.get(20..)?.first_chunk()?),
        })
    }
}

/// CRC-32 (ISO 3309) of a cell's records.
pub fn crc_of(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// An object of a cone with its place at the date that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedObject {
    pub object: StoredObject,
    pub position: SkyPosition,
}

/// An open store.
#[derive(Debug)]
pub struct CatalogueStore {
    directory: PathBuf,
    header: StoreHeader,
    layout: RecordLayout,
    bands: Vec<CatalogueBand>,
    index: Vec<CellEntry>,
    objects: File,
}

impl CatalogueStore {
    /// Opens a store: reads the header and the index and checks them against each other and the length of the objects.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let read = |name: &str, maximum| {
            let path = directory.join(name);
            match read_bounded(&path, maximum) {
                Ok(bytes) => Ok((path, bytes)),
                Err(source) if source.kind() == io::ErrorKind::NotFound => {
                    let what = format!("no catalogue: {name} is not there");
                    Err(StoreError::Damaged { path: directory.to_owned(), what })
                }
                Err(source) => Err(StoreError::Io { path, source }),
            }
        };
        let damaged =
            |path: &Path, what: String| StoreError::Damaged { path: path.to_owned(), what };
        let (path, bytes) = read(HEADER_FILE, MAXIMUM_HEADER_BYTES)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| damaged(&path, "no header of a catalogue: not UTF-8".to_owned()))?;
        let header = StoreHeader::parse(text).map_err(|what| damaged(&path, what))?;
        let (path, bytes) = read(INDEX_FILE, MAXIMUM_INDEX_BYTES)?;
        if sha256(&bytes) != header.index_sha256 {
            return Err(damaged(
                &path,
                "damaged: its SHA-256 is not that of the header".to_owned(),
            ));
        }
        let index = parse_index(&bytes, &header).map_err(|what| damaged(&path, what.to_owned()))?;
        let path = directory.join(OBJECTS_FILE);
        let at = |source| StoreError::Io { path: path.clone(), source };
        let objects = File::open(&path).map_err(at)?;
        let length = objects.metadata().map_err(at)?.len();
        if Some(length) != header.object_count.checked_mul(header.record_bytes as u64) {
            return Err(damaged(&path, format!("{length} bytes are not what the header says")));
        }
        let (layout, bands) = (header.layout(), header.bands_with_systems());
        Ok(Self { directory: directory.to_owned(), header, layout, bands, index, objects })
    }

    pub fn header(&self) -> &StoreHeader {
        &self.header
    }

    /// Reads all objects and compares them with the SHA-256 of the header.
    pub fn verify(&self) -> Result<(), StoreError> {
        let path = self.directory.join(OBJECTS_FILE);
        let at = |source| StoreError::Io { path: path.clone(), source };
        let (sum, _) = sha256_of(File::open(&path).map_err(at)?).map_err(at)?;
        match sum == self.header.objects_sha256 {
            true => Ok(()),
            false => {
                let what = "damaged: its SHA-256 is not that of the header".to_owned();
                Err(StoreError::Damaged { path, what })
            }
        }
    }

    /// The share of a cone that the catalogue covers.
    pub fn covered_share(&self, centre: SkyPosition, radius_degrees: f64) -> f64 {
        self.header.coverage.share_of_cone(centre, radius_degrees)
    }

    /// The objects within a cone, each where it is at `year` (Julian; `None`: at its own epoch), brightest first.
    ///
    /// # Errors
    /// A cone that is none or holds too much; cells that cannot be read or are damaged.
    pub fn objects_within(
        &self,
        centre: SkyPosition,
        radius_degrees: f64,
        year: Option<f64>,
    ) -> Result<Vec<PlacedObject>, StoreError> {
        let is_cone = centre.ra_degrees.is_finite()
            && (-90.0..=90.0).contains(&centre.dec_degrees)
            && (0.0..=180.0).contains(&radius_degrees)
            && year.is_none_or(|year| (1000.0..=3000.0).contains(&year));
        if !is_cone {
            return Err(StoreError::Cone(format!(
                "{} {} degrees with radius {radius_degrees} at {year:?} is no cone",
                centre.ra_degrees, centre.dec_degrees
            )));
        }
        // Objects that come in from outside between their epoch and the date.
        let wander = year.map_or(0.0, |year| {
            let (earliest, latest) = self.header.epoch_range;
            let years = (year - earliest).abs().max((year - latest).abs());
            years * self.header.greatest_proper_motion_mas / 3_600_000.0
        });
        let reach = (radius_degrees + wander).min(180.0);
        let radius_arcsec = radius_degrees * 3600.0;
        let mut found = Vec::new();
        let mut bytes = Vec::new();
        for range in cells_about(self.header.cell_order, centre, reach) {
            let from = self.index.partition_point(|entry| entry.cell < range.start);
            let to = self.index.partition_point(|entry| entry.cell < range.end);
            let mut entries = self.index.get(from..to).unwrap_or_default();
            while !entries.is_empty() {
                let (now, later) = entries.split_at(self.entries_at_once(entries));
                entries = later;
                self.read_cells(now, &mut bytes)?;
                for record in bytes.chunks_exact(self.layout.record_bytes()) {
                    let broken = || self.broken("a record is no object");
                    let place = self.layout.position(record).ok_or_else(broken)?;
                    if (place.dec_degrees - centre.dec_degrees).abs() > reach + 1e-9
                        || place.separation_arcsec(centre) > reach * 3600.0 + 1e-6
                    {
                        continue;
                    }
                    let object = self.layout.decode(record).ok_or_else(broken)?;
                    let position = match year {
                        Some(year) => object.position_at(year),
                        None => object.position,
                    };
                    if position.separation_arcsec(centre) <= radius_arcsec {
                        found.push(PlacedObject { object, position });
                    }
                }
                if found.len() > MAXIMUM_ANSWER {
                    let what = format!("the cone holds more than {MAXIMUM_ANSWER} objects");
                    return Err(StoreError::Cone(what));
                }
            }
        }
        found.sort_by(|a, b| {
            magnitude_of(&a.object)
                .0
                .total_cmp(&magnitude_of(&b.object).0)
                .then_with(|| a.object.id.cmp(&b.object.id))
        });
        Ok(found)
    }

    /// How many of these entries, at least one, make one read.
    fn entries_at_once(&self, entries: &[CellEntry]) -> usize {
        let record_bytes = self.layout.record_bytes() as u64;
        let mut bytes = 0;
        let fitting = entries.iter().take_while(|entry| {
            bytes += u64::from(entry.count) * record_bytes;
            bytes <= READ_BYTES
        });
        fitting.count().max(1)
    }

    /// The records of neighbouring entries, checked.
    fn read_cells(&self, entries: &[CellEntry], bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        let record_bytes = self.layout.record_bytes();
        let count: u64 = entries.iter().map(|entry| u64::from(entry.count)).sum();
        let first = entries.first().map_or(0, |entry| entry.first);
        // The index was checked against the length of the file when it was opened.
        bytes.resize(count as usize * record_bytes, 0);
        self.objects
            .read_exact_at(bytes, first * record_bytes as u64)
            .map_err(|source| StoreError::Io { path: self.directory.join(OBJECTS_FILE), source })?;
        let mut rest = bytes.as_slice();
        for entry in entries {
            let cell = rest.split_at_checked(entry.count as usize * record_bytes);
            let (cell, after) = cell.ok_or_else(|| self.broken("a cell is cut off"))?;
            if crc_of(cell) != entry.crc {
                return Err(self.broken(&format!("cell {} is damaged", entry.cell)));
            }
            rest = after;
        }
        Ok(())
    }

    fn broken(&self, what: &str) -> StoreError {
        let path = self.directory.join(OBJECTS_FILE);
        StoreError::Damaged { path, what: what.to_owned() }
    }

    fn answer(
        &self,
        centre: SkyPosition,
        radius_degrees: f64,
        year: Option<f64>,
    ) -> CatalogueAnswer {
        let placed = match self.objects_within(centre, radius_degrees, year) {
            Ok(placed) => placed,
            Err(error) => return CatalogueAnswer::Unavailable { reason: error.to_string() },
        };
        let covered_share = self.covered_share(centre, radius_degrees);
        if !placed.is_empty() {
            let objects = placed.into_iter().map(as_object).collect();
            let faint_limit = self.header.faint_limit.unwrap_or(f64::NAN);
            return CatalogueAnswer::Found { objects, faint_limit, covered_share };
        }
        if covered_share >= 1.0 {
            return CatalogueAnswer::Empty;
        }
        let reason = format!(
            "{} has nothing in the cone of {radius_degrees:.4} degrees about {:.5} {:+.5}, of which it covers {:.0} %",
            self.header.name,
            centre.ra_degrees,
            centre.dec_degrees,
            100.0 * covered_share
        );
        CatalogueAnswer::Unavailable { reason }
    }
}

/// The magnitude of the first band that has one, and its place among the bands.
fn magnitude_of(object: &StoredObject) -> (f64, Option<(usize, BandMagnitude)>) {
    let first =
        object.magnitudes.iter().enumerate().find_map(|(band, each)| Some((band, (*each)?)));
    (first.map_or(f64::NAN, |(_, magnitude)| f64::from(magnitude.value)), first)
}

fn as_object(placed: PlacedObject) -> CatalogueObject {
    let (magnitude, first) = magnitude_of(&placed.object);
    let error = first.and_then(|(_, magnitude)| magnitude.error).map_or(0.0, f64::from);
    let is_other_band = first.is_some_and(|(band, _)| band > 0);
    CatalogueObject {
        id: placed.object.id,
        kind: placed.object.kind,
        position: placed.position,
        magnitude,
        magnitude_error: if is_other_band { error.hypot(OTHER_BAND_ERROR) } else { error },
        magnitudes: placed.object.magnitudes,
    }
}

/// The index, if it is what the header says.
fn parse_index(bytes: &[u8], header: &StoreHeader) -> Result<Vec<CellEntry>, &'static str> {
    let (chunks, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() || chunks.len() as u64 != header.cell_count {
        return Err("its length is not what the header says");
    }
    let entries: Option<Vec<CellEntry>> = chunks.iter().map(CellEntry::from_bytes).collect();
    let entries = entries.ok_or("an entry is cut off")?;
    let mut next = 0_u64;
    let mut last_cell = None;
    for entry in &entries {
        if entry.first != next || last_cell.is_some_and(|last| last >= entry.cell) {
            return Err("its entries do not follow each other");
        }
        next = next.checked_add(u64::from(entry.count)).ok_or("it counts too many objects")?;
        last_cell = Some(entry.cell);
    }
    match next == header.object_count {
        true => Ok(entries),
        false => Err("it does not count as many objects as the header"),
    }
}

impl Catalogue for CatalogueStore {
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer {
        self.answer(centre, radius_degrees, None)
    }

    fn cone_at(&self, centre: SkyPosition, radius_degrees: f64, date: UtcTime) -> CatalogueAnswer {
        self.answer(centre, radius_degrees, Some(julian_year_of_mjd(date.mjd())))
    }

    fn bands(&self) -> &[CatalogueBand] {
        &self.bands
    }

    fn dated(&self) -> Option<UtcTime> {
        self.header.dated()
    }

    fn object_count(&self) -> u64 {
        self.header.object_count
    }

    fn describe(&self) -> String {
        let header = &self.header;
        let band = header.bands.first().map_or("", String::as_str);
        let limit =
            header.faint_limit.map_or_else(String::new, |limit| format!(" to {band} {limit:.2}"));
        format!(
            "{}, {} objects{limit}, epoch {:.1}, dated {}, sha256 {:.12}",
            header.name,
            header.object_count,
            header.epoch_year,
            header.dated.get(..10).unwrap_or(&header.dated),
            header.objects_sha256
        )
    }
}
