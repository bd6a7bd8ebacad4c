//! The common form of a raw frame: an image of 16-bit pixels whose rows are the tiles of a Rice compression
//! (FITS Standard 4.0, §10.1 and §10.4.1). Any other form is left to the engines.

use super::CardValue;
use super::column_form::FieldForm;
use super::rice;
use super::structure::{Hdu, HduKind};
use super::tiles::{descriptor, element_bytes};
use crate::imaging::bands;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

/// Pixels of a Rice block where the header does not say.
const DEFAULT_BLOCK: i64 = 32;
/// Pixels that are decoded before their values are handed on: they stay in the cache.
const PIXELS_AT_ONCE: usize = 1 << 14;

/// Bytes of a file by their place, into a buffer that is made to hold them; from any thread.
pub(super) trait BytesAt: Sync {
    fn bytes_at(&self, start: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()>;
}

/// Of a file in memory.
impl BytesAt for [u8] {
    fn bytes_at(&self, start: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let start = usize::try_from(start).map_err(io::Error::other)?;
        let bytes = start.checked_add(length).and_then(|end| self.get(start..end));
        buffer.clear();
        buffer.extend_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

#[cfg(unix)]
impl BytesAt for std::fs::File {
    fn bytes_at(&self, start: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(length, 0);
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, start)
    }
}

/// Where a row lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tile {
    start: u64,
    length: usize,
}

/// Where the rows of an image lie in its file, and how they are coded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RiceRows {
    tiles: Vec<Tile>,
    columns: usize,
    block: usize,
    scale: f64,
    zero: f64,
}

impl RiceRows {
    /// `None` for an image of another form. The HDU was looked through ([`super::tiles::check`]).
    pub fn of<R: Read + Seek>(reader: &mut R, hdu: &Hdu) -> io::Result<Option<Self>> {
        let Some((mut rows, letter, row_length, heap)) = described(hdu) else { return Ok(None) };
        let (Some(&count), Some(&columns)) = (hdu.axes.get(1), hdu.axes.first()) else {
            return Ok(None);
        };
        // Anything longer is no row of so many pixels.
        let longest = columns * 2 + columns / 8 + 64;
        reader.seek(SeekFrom::Start(hdu.data_start))?;
        let mut row = vec![0; row_length as usize];
        rows.tiles.reserve(count as usize);
        for _ in 0..count {
            reader.read_exact(&mut row)?;
            let Some((length, start)) = descriptor(&row, 0, letter) else { return Ok(None) };
            if length == 0 || length > longest {
                return Ok(None);
            }
            let start = hdu.data_start.saturating_add(heap).saturating_add(start);
            rows.tiles.push(Tile { start, length: length as usize });
        }
        Ok(Some(rows))
    }

    /// Rows, columns.
    pub fn dim(&self) -> (usize, usize) {
        (self.tiles.len(), self.columns)
    }

    /// What a stored pixel stands for: BZERO + BSCALE × stored.
    pub fn value(&self, stored: u16) -> f32 {
        (self.zero + self.scale * f64::from(stored.cast_signed())) as f32
    }

    /// Whether values fall as the stored ones rise.
    pub fn is_falling(&self) -> bool {
        self.scale < 0.0
    }

    /// The values of stored pixels.
    pub fn values(&self, stored: &[u16], values: &mut [f32]) {
        let pairs = values.iter_mut().zip(stored);
        // As cameras write them: unsigned.
        if self.scale == 1.0 && self.zero == 32_768.0 {
            pairs.for_each(|(value, &stored)| *value = f32::from(stored ^ 0x8000));
        } else {
            pairs.for_each(|(value, &stored)| *value = self.value(stored));
        }
    }

    /// Decodes the rows from `first_row` on, as many as `stored` holds. `None` where they cannot be read or decoded.
    pub fn decode(
        &self,
        source: &(impl BytesAt + ?Sized),
        first_row: usize,
        stored: &mut [u16],
    ) -> Option<()> {
        let mut bytes = Vec::new();
        let count = stored.len() / self.columns.max(1);
        let tiles = self.tiles.get(first_row..first_row.checked_add(count)?)?;
        let mut rows = stored.chunks_exact_mut(self.columns.max(1));
        // Rows that lie one behind the other are read at once.
        for run in tiles.chunk_by(|one, next| one.start + one.length as u64 == next.start) {
            let length = run.iter().map(|tile| tile.length).sum();
            source.bytes_at(run.first()?.start, length, &mut bytes).ok()?;
            let mut rest = bytes.as_slice();
            for tile in run {
                let (row, others) = rest.split_at_checked(tile.length)?;
                rice::decode(row, self.block, rows.next()?)?;
                rest = others;
            }
        }
        Some(())
    }

    /// Decodes all rows, shared out to the cores, and hands each piece on: its first row, the stored pixels, and the part of
    /// `plane` (one value a pixel, or empty) that is theirs. The results are those of the threads. `None` as [`Self::decode`].
    pub fn visit<T: Send, R: Send>(
        &self,
        source: &(impl BytesAt + ?Sized),
        plane: &mut [T],
        start: impl Fn() -> R + Sync,
        visit: impl Fn(&mut R, &[u16], &mut [T]) + Sync,
    ) -> Option<Vec<R>> {
        let (height, width) = self.dim();
        let width = width.max(1);
        let band = bands::rows_per_band(height, width);
        let mut parts = plane.chunks_mut(band * width);
        let jobs: Vec<(usize, &mut [T])> = (0..height)
            .step_by(band)
            .map(|first| (first, parts.next().unwrap_or_default()))
            .collect();
        let results = bands::each(jobs, |(first, part)| {
            let step = (PIXELS_AT_ONCE / width).max(1);
            let mut stored = vec![0; step * width];
            let mut result = start();
            let mut parts = part.chunks_mut(step * width);
            let end = (first + band).min(height);
            for row in (first..end).step_by(step) {
                let stored = stored.get_mut(..step.min(end - row) * width)?;
                self.decode(source, row, stored)?;
                visit(&mut result, stored, parts.next().unwrap_or_default());
            }
            Some(result)
        });
        results.into_iter().collect()
    }
}

/// The description without its tiles; letter of their descriptors; length of a row of the table; start of its heap.
fn described(hdu: &Hdu) -> Option<(RiceRows, char, u64, u64)> {
    if hdu.kind != HduKind::CompressedImage || hdu.bits_per_pixel != 16 {
        return None;
    }
    let values = hdu.values();
    let (&columns, &count) = match hdu.axes.as_slice() {
        [columns, rows] => (columns, rows),
        _ => return None,
    };
    let integer = |keyword: &str| match values.get(keyword) {
        Some(CardValue::Integer(number)) => Some(*number),
        _ => None,
    };
    let natural = |keyword: &str| integer(keyword).and_then(|number| u64::try_from(number).ok());
    let is_plain_rice = text(&values, "ZCMPTYPE") == "RICE_1"
        && natural("ZTILE1").is_none_or(|length| length == columns)
        && natural("ZTILE2").is_none_or(|length| length == 1)
        && natural("NAXIS2") == Some(count)
        && !values.contains_key("BLANK")
        && !values.contains_key("ZBLANK");
    if !is_plain_rice {
        return None;
    }
    let (mut block, mut bytes) = (DEFAULT_BLOCK, 4);
    for (keyword, value) in &values {
        let Some(number) = keyword.strip_prefix("ZNAME") else { continue };
        let CardValue::Text(name) = value else { return None };
        let parameter = integer(&format!("ZVAL{number}"))?;
        match name.trim() {
            "BLOCKSIZE" => block = parameter,
            "BYTEPIX" => bytes = parameter,
            _ => return None,
        }
    }
    if bytes != 2 {
        return None;
    }
    let row_length = natural("NAXIS1")?;
    let heap = match values.get("THEAP") {
        None => row_length.checked_mul(count)?,
        Some(_) => natural("THEAP")?,
    };
    // One column: with others a row may lie elsewhere.
    let stored = text(&values, "TFORM1");
    let form = FieldForm::parse(stored)?;
    let is_tiles = natural("TFIELDS") == Some(1)
        && text(&values, "TTYPE1") == "COMPRESSED_DATA"
        && matches!(form.letter, 'P' | 'Q')
        && form.repeat == 1
        && element_bytes(stored) == 1;
    if !is_tiles {
        return None;
    }
    let rows = RiceRows {
        tiles: Vec::new(),
        columns: columns as usize,
        block: usize::try_from(block).ok().filter(|block| *block > 0)?,
        scale: number(&values, "BSCALE", 1.0)?,
        zero: number(&values, "BZERO", 0.0)?,
    };
    Some((rows, form.letter, row_length, heap))
}

fn text<'a>(values: &'a BTreeMap<String, CardValue>, keyword: &str) -> &'a str {
    match values.get(keyword) {
        Some(CardValue::Text(text)) => text.trim(),
        _ => "",
    }
}

/// `None` for a card that is no number.
fn number(values: &BTreeMap<String, CardValue>, keyword: &str, absent: f64) -> Option<f64> {
    match values.get(keyword) {
        None => Some(absent),
        Some(CardValue::Integer(number)) => Some(*number as f64),
        Some(CardValue::Float(number)) => Some(*number),
        Some(_) => None,
    }
}
