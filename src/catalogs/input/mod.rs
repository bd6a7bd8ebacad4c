//! Published catalogues as rows: FITS binary tables (plain or FITS-LDAC), delimited text, VOTable; with the feature `hats` Parquet, alone or
//! as the cells of a HATS catalogue.

mod delimited;
#[cfg(feature = "hats")]
mod hats;
#[cfg(feature = "hats")]
mod parquet_rows;
mod votable;
mod votable_binary;

use crate::fits::{FitsError, table_rows::TableFile};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub use crate::fits::table_rows::TableValue;

const BUFFER_BYTES: usize = 1 << 18;
/// Apache Parquet begins and ends with it.
const PARQUET_MAGIC: &[u8] = b"PAR1";
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes of a file that decide what it is.
const LOOK_BYTES: usize = 1024;

/// What went wrong with a file as a whole. Rows that are wrong are counted, not errors.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Fits(#[from] FitsError),
    /// Not a table that can be read.
    #[error("{path}: {what}")]
    Format { path: PathBuf, what: String },
    /// The program was built without the feature `hats`.
    #[error(
        "{path}: this build does not read {what}; one that does: cargo build --locked --release --features hats"
    )]
    WithoutHats { path: PathBuf, what: &'static str },
    /// A table without the columns of the map.
    #[error("{path}: {what}")]
    Columns { path: PathBuf, what: String },
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputColumn {
    pub name: String,
    /// Empty where the file gives none.
    pub unit: String,
}

/// A row: its number in the file (from one) and the chosen fields, or what is wrong with it as a row.
pub type InputRow<'a> = (u64, Result<&'a [TableValue], &'static str>);

/// Which columns of a table to hand out: given its columns, their places; `None` to pass the table over.
pub type Choice<'a> = dyn FnMut(&[InputColumn]) -> Result<Option<Vec<usize>>, String> + 'a;

/// Takes a row. The error ends the reading.
pub type Take<'a, E> = dyn FnMut(InputRow<'_>) -> Result<(), E> + 'a;

/// Reads the rows of a file in order. Every table that `choose` accepts is read; a file in which it accepts none is an error.
/// `bytes_read` counts what was read of the file, for whoever watches.
///
/// # Errors
/// [`InputError`] as the caller's error type, or what `take` gives.
pub fn read_rows<E: From<InputError>>(
    path: &Path,
    choose: &mut Choice<'_>,
    take: &mut Take<'_, E>,
    bytes_read: &Arc<AtomicU64>,
) -> Result<(), E> {
    let io_error = |source| InputError::Io { path: path.to_owned(), source };
    let mut reader = open_unfolded(path, bytes_read).map_err(io_error)?;
    let start = look(reader.as_mut()).map_err(io_error)?;
    if start.starts_with(b"SIMPLE  =") {
        drop(reader);
        return fits_rows(path, choose, take);
    }
    if start.starts_with(PARQUET_MAGIC) {
        drop(reader);
        return parquet_rows(path, choose, take);
    }
    let text = String::from_utf8_lossy(&start);
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        votable::rows(path, reader, choose, take)
    } else {
        delimited::rows(path, reader, choose, take)
    }
}

/// The files to read of what was named: files as they are, directories as HATS catalogues.
///
/// # Errors
/// A directory that is none, or a build that reads none.
pub(super) fn files_of(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, InputError> {
    let mut files = Vec::new();
    for input in inputs {
        match input.is_dir() {
            true => files.append(&mut files_of_directory(input)?),
            false => files.push(input.clone()),
        }
    }
    Ok(files)
}

#[cfg(feature = "hats")]
use {hats::files_of as files_of_directory, parquet_rows::rows as parquet_rows};

#[cfg(not(feature = "hats"))]
fn files_of_directory(directory: &Path) -> Result<Vec<PathBuf>, InputError> {
    let what = "HATS catalogues (directories)";
    Err(InputError::WithoutHats { path: directory.to_owned(), what })
}

#[cfg(not(feature = "hats"))]
fn parquet_rows<E: From<InputError>>(
    path: &Path,
    _choose: &mut Choice<'_>,
    _take: &mut Take<'_, E>,
) -> Result<(), E> {
    Err(InputError::WithoutHats { path: path.to_owned(), what: "Parquet" }.into())
}

/// A file, unfolded if it is gzip (RFC 1952).
pub(super) fn open_unfolded(
    path: &Path,
    bytes_read: &Arc<AtomicU64>,
) -> io::Result<Box<dyn BufRead>> {
    let counted = Counted { inner: File::open(path)?, count: bytes_read.clone() };
    let mut file = BufReader::with_capacity(BUFFER_BYTES, counted);
    if file.fill_buf()?.starts_with(&GZIP_MAGIC) {
        let unfolded = flate2::read::MultiGzDecoder::new(file);
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, unfolded)));
    }
    Ok(Box::new(file))
}

fn look(reader: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    let buffer = reader.fill_buf()?;
    Ok(buffer.get(..buffer.len().min(LOOK_BYTES)).unwrap_or_default().to_vec())
}

/// Counts what is read of a file.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn fits_rows<E: From<InputError>>(
    path: &Path,
    choose: &mut Choice<'_>,
    take: &mut Take<'_, E>,
) -> Result<(), E> {
    let mut file = TableFile::open(path).map_err(InputError::from)?;
    let mut chosen = Vec::new();
    let mut refused = Vec::new();
    for (place, table) in file.tables().iter().enumerate() {
        let columns: Vec<InputColumn> = table
            .columns
            .iter()
            .map(|each| InputColumn { name: each.name.clone(), unit: each.unit.clone() })
            .collect();
        match choose(&columns) {
            Ok(Some(places)) => chosen.push((place, places)),
            Ok(None) => refused.push(format!("HDU {} '{}'", table.number, table.name)),
            Err(what) => {
                let what = format!("HDU {} '{}': {what}", table.number, table.name);
                return Err(InputError::Columns { path: path.to_owned(), what }.into());
            }
        }
    }
    if chosen.is_empty() {
        let what = match refused.is_empty() {
            true => "no binary table in this file".to_owned(),
            false => format!("no table has the columns of the map ({})", refused.join(", ")),
        };
        return Err(InputError::Columns { path: path.to_owned(), what }.into());
    }
    let mut number = 0;
    for (place, places) in chosen {
        file.rows::<Taken<E>>(place, &places, |values| {
            number += 1;
            take((number, Ok(values))).map_err(Taken::Caller)
        })
        .map_err(|error| match error {
            Taken::Fits(error) => InputError::from(error).into(),
            Taken::Caller(error) => error,
        })?;
    }
    Ok(())
}

/// An error of the reading or of the taking.
enum Taken<E> {
    Fits(FitsError),
    Caller(E),
}

impl<E> From<FitsError> for Taken<E> {
    fn from(error: FitsError) -> Self {
        Self::Fits(error)
    }
}

/// A text as a field: trimmed, and missing if it is one of the words for nothing.
fn text_value(text: &str) -> TableValue {
    let text = text.trim();
    match text {
        "" | "null" | "NULL" | "NaN" | "nan" | "\\N" | "--" => TableValue::Missing,
        _ => TableValue::Text(text.to_owned()),
    }
}

/// The number that a single-precision value was written for: 17.3, not 17.299999237.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// Checks a choice against the number of columns, for the readers that index by it.
fn checked(places: Vec<usize>, columns: usize) -> Result<Vec<usize>, String> {
    match places.iter().find(|&&place| place >= columns) {
        Some(place) => Err(format!("no column {place}")),
        None => Ok(places),
    }
}

/// Places of the columns by their names in lower case; the first of several with one name.
pub fn places_by_name(columns: &[InputColumn]) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for (place, column) in columns.iter().enumerate() {
        places.entry(column.name.to_lowercase()).or_insert(place);
    }
    places
}

#[cfg(test)]
mod tests;
