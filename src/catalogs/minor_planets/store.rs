//! The store of orbits on disk: a directory with `header.json` ([`OrbitsHeader`]) and `orbits.data`, the records one after the other.

use super::record::{RECORD_BYTES, elements_of, from_bytes};
use super::{mpcorb::Orbit, search::RoughOrbit};
use crate::catalogs::{
    store::{HEADER_FILE, StoreError},
    store_header::{Origin, sha256_of},
};
use crate::{config::read_bounded, model::UtcTime};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// What `format` says. It begins as that of every catalogue of ours.
pub const FORMAT: &str = "gic catalogue of orbits";
pub const FORMAT_VERSION: u32 = 1;
pub const ORBITS_FILE: &str = "orbits.data";
const MAXIMUM_HEADER_BYTES: u64 = 16 << 20;
const RECORDS_PER_READ: usize = 4096;

/// What a store of orbits says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrbitsHeader {
    pub format: String,
    pub format_version: u32,
    pub name: String,
    pub origin: Origin,
    /// ISO 8601.
    pub built_at: String,
    /// From when its age counts, ISO 8601: the date of the data if it was given, else of the build.
    pub dated: String,
    pub orbit_count: u64,
    /// Earliest and latest epoch of elements, MJD (TT).
    pub epoch_range_mjd: (f64, f64),
    /// Rows that were left out, by reason.
    pub rejected_rows: BTreeMap<String, u64>,
    pub orbits_sha256: String,
}

/// Whether a directory says that it holds orbits.
pub fn holds_orbits(directory: &Path) -> bool {
    let bytes = read_bounded(&directory.join(HEADER_FILE), MAXIMUM_HEADER_BYTES);
    bytes.is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(FORMAT))
}

/// An open store.
#[derive(Debug)]
pub(super) struct OrbitStore {
    pub header: OrbitsHeader,
    pub dated: UtcTime,
    path: PathBuf,
    file: File,
}

impl OrbitStore {
    /// Opens the store, and reads all orbits as they are needed for the first look.
    pub fn open(directory: &Path) -> Result<(Self, Vec<RoughOrbit>), StoreError> {
        let path = directory.join(HEADER_FILE);
        let damaged = |path: &Path, what: String| StoreError::Damaged { path: path.into(), what };
        let bytes = read_bounded(&path, MAXIMUM_HEADER_BYTES).map_err(|source| {
            match source.kind() == io::ErrorKind::NotFound {
                true => damaged(directory, "no catalogue: header.json is not there".to_owned()),
                false => StoreError::Io { path: path.clone(), source },
            }
        })?;
        let header: OrbitsHeader = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(&path, format!("no header of a store of orbits: {error}")))?;
        if header.format != FORMAT || header.format_version != FORMAT_VERSION {
            let what = format!("format '{}' {}", header.format, header.format_version);
            return Err(damaged(&path, format!("{what} is not read: build it anew")));
        }
        let dated = UtcTime::parse(&header.dated)
            .map_err(|error| damaged(&path, format!("the header contradicts itself: {error}")))?;
        let path = directory.join(ORBITS_FILE);
        let at = |source| StoreError::Io { path: path.clone(), source };
        let mut file = File::open(&path).map_err(at)?;
        let length = file.metadata().map_err(at)?.len();
        if Some(length) != header.orbit_count.checked_mul(RECORD_BYTES as u64) {
            return Err(damaged(&path, format!("{length} bytes are not what the header says")));
        }
        let mut rough = Vec::with_capacity((length / RECORD_BYTES as u64) as usize);
        let mut buffer = vec![0_u8; RECORDS_PER_READ * RECORD_BYTES];
        let mut left = length;
        while left > 0 {
            let take = left.min(buffer.len() as u64);
            let piece = buffer.get_mut(..take as usize).unwrap_or_default();
            file.read_exact(piece).map_err(at)?;
            for record in piece.chunks_exact(RECORD_BYTES) {
                let elements = elements_of(record)
                    .ok_or_else(|| damaged(&path, format!("orbit {} is damaged", rough.len())))?;
                rough.push(RoughOrbit::of(&elements));
            }
            left -= take;
        }
        Ok((Self { header, dated, path, file }, rough))
    }

    /// Reads an orbit by its place in the list.
    pub fn orbit(&self, place: usize) -> Result<Orbit, StoreError> {
        let mut bytes = [0; RECORD_BYTES];
        self.file
            .read_exact_at(&mut bytes, (place * RECORD_BYTES) as u64)
            .map_err(|source| StoreError::Io { path: self.path.clone(), source })?;
        from_bytes(&bytes).ok_or_else(|| {
            let what = format!("orbit {place} is damaged");
            StoreError::Damaged { path: self.path.clone(), what }
        })
    }

    /// Reads all of it and compares it with the SHA-256 of the header.
    pub fn verify(&self) -> Result<(), StoreError> {
        let at = |source| StoreError::Io { path: self.path.clone(), source };
        let (sum, _) = sha256_of(File::open(&self.path).map_err(at)?).map_err(at)?;
        match sum == self.header.orbits_sha256 {
            true => Ok(()),
            false => {
                let what = "damaged: its SHA-256 is not that of the header".to_owned();
                Err(StoreError::Damaged { path: self.path.clone(), what })
            }
        }
    }
}
