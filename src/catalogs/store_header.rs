//! What a catalogue store says of itself: `header.json`, readable by a person.

use super::{
    coverage::Coverage,
    healpix::cell_count,
    record::{IdentifierForm, RecordLayout},
};
use crate::model::{CatalogueBand, UtcTime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, io::Read};

/// What `format` says.
pub const FORMAT: &str = "gic catalogue";
/// Raised when an older program could not read what is written.
/// Version 1 had no `band_systems`; it is read as well.
pub const FORMAT_VERSION: u32 = 2;
const OLDEST_VERSION: u32 = 1;
/// Finest order of the cells of a store.
pub const FINEST_CELL_ORDER: u8 = 9;
const MAXIMUM_BANDS: usize = 32;
const MAXIMUM_IDENTIFIER_BYTES: usize = 64;

/// A file that went into the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its name without directories.
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    pub rows: u64,
}

/// Where the store comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    pub files: Vec<SourceFile>,
    pub column_map: String,
    pub url: Option<String>,
    pub citation: Option<String>,
}

/// The header of a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreHeader {
    pub format: String,
    pub format_version: u32,
    pub name: String,
    pub origin: Origin,
    /// ISO 8601, UTC.
    pub built_at: String,
    /// From when its age counts, ISO 8601: the date of the data if it was given, else of the build.
    pub dated: String,
    /// Julian year for most objects.
    pub epoch_year: f64,
    /// Earliest and latest epoch of an object, Julian years.
    pub epoch_range: (f64, f64),
    /// The first is the one whose magnitudes a cone search gives, where it has one.
    pub bands: Vec<String>,
    /// Magnitude systems of those bands for which they are known.
    #[serde(default)]
    pub band_systems: Vec<CatalogueBand>,
    pub object_count: u64,
    /// Of the first band.
    pub faintest_magnitude: Option<f64>,
    /// 98 % of the objects are brighter in the first band.
    pub faint_limit: Option<f64>,
    pub greatest_proper_motion_mas: f64,
    pub galaxy_count: u64,
    pub star_count: u64,
    /// Rows that were left out, by reason.
    pub rejected_rows: BTreeMap<String, u64>,
    pub identifier_form: IdentifierForm,
    pub identifier_bytes: usize,
    pub record_bytes: usize,
    /// HEALPix order of the cells, nested.
    pub cell_order: u8,
    /// Cells that hold objects.
    pub cell_count: u64,
    pub index_sha256: String,
    pub objects_sha256: String,
    pub coverage: Coverage,
    /// SHA-256 of the text of the header with this field empty.
    pub checksum: String,
}

impl StoreHeader {
    pub fn layout(&self) -> RecordLayout {
        RecordLayout {
            identifier_form: self.identifier_form,
            identifier_bytes: self.identifier_bytes,
            band_count: self.bands.len(),
        }
    }

    /// All bands, in their order.
    pub fn bands_with_systems(&self) -> Vec<CatalogueBand> {
        let of = |name: &String| {
            let known = self.band_systems.iter().find(|band| band.name == *name);
            known.cloned().unwrap_or_else(|| CatalogueBand::named(name))
        };
        self.bands.iter().map(of).collect()
    }

    pub fn dated(&self) -> Option<UtcTime> {
        UtcTime::parse(&self.dated).ok()
    }

    /// The header of a text, if it is sound. The checksum is that of the text, not of the values: floats need not come out of a
    /// JSON reader as they went in.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let header: Self = serde_json::from_str(text)
            .map_err(|error| format!("no header of a catalogue: {error}"))?;
        match header.complaint() {
            Some(complaint) => Err(complaint),
            None if sha256(text.replace(&field(&header.checksum), &field("")).as_bytes())
                != header.checksum =>
            {
                Err("the header is damaged: its checksum is another".to_owned())
            }
            None => Ok(header),
        }
    }

    /// Puts in the checksum, and gives the text.
    pub fn seal(&mut self) -> Result<String, serde_json::Error> {
        self.checksum.clear();
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        self.checksum = sha256(text.as_bytes());
        // Quotation marks inside a string are escaped: this is the field and nothing else.
        Ok(text.replace(&field(""), &field(&self.checksum)))
    }

    /// What is wrong with the header by itself.
    fn complaint(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("its format is '{}', not '{FORMAT}'", self.format));
        }
        if !(OLDEST_VERSION..=FORMAT_VERSION).contains(&self.format_version) {
            return Some(format!(
                "format version {} is not read, only {OLDEST_VERSION} to {FORMAT_VERSION}: build it anew",
                self.format_version
            ));
        }
        let is_sound = (1..=MAXIMUM_BANDS).contains(&self.bands.len())
            && (1..=MAXIMUM_IDENTIFIER_BYTES).contains(&self.identifier_bytes)
            && (self.identifier_form == IdentifierForm::Text || self.identifier_bytes == 8)
            && self.record_bytes == self.layout().record_bytes()
            && self.cell_order <= FINEST_CELL_ORDER
            && self.cell_count <= cell_count(self.cell_order).min(self.object_count)
            && (0.0..=1e6).contains(&self.greatest_proper_motion_mas)
            && (1000.0..=3000.0).contains(&self.epoch_range.0)
            && (1000.0..=3000.0).contains(&self.epoch_range.1)
            && self.dated().is_some()
            && self.coverage.is_sound();
        (!is_sound).then(|| "the header contradicts itself".to_owned())
    }
}

/// The checksum in the text of a header.
fn field(checksum: &str) -> String {
    format!("\"checksum\": \"{checksum}\"")
}

/// SHA-256 of bytes, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 and length of what a reader gives.
pub fn sha256_of(mut reader: impl Read) -> std::io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    let mut length = 0;
    loop {
        let count = reader.read(&mut buffer)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return Ok((hexadecimal(&hasher.finalize()), length));
        }
        hasher.update(piece);
        length += count as u64;
    }
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
