//! The tiles of a compressed image, checked before they are decompressed (FITS Standard 4.0, §10.1.3).

use super::CardValue;
use super::column_form::FieldForm;
use super::defect::{Defect, Refusal};
use super::source::unfolded_length;
use super::structure::{Hdu, HduKind, StructureError};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

/// Longest row of the table of tiles: a few descriptors and parameters.
const MAXIMUM_ROW: u64 = 65_536;
/// Longest stored tile: a whole image of 4096² floats that does not compress fits.
const MAXIMUM_TILE: u64 = 1 << 27;
/// Widest stored pixel.
const PIXEL_BYTES: u64 = 8;
/// Most pixels in a block of a Rice stream; the standard knows 16 and 32.
const MAXIMUM_RICE_BLOCK: i64 = 4_096;
/// First bytes of an H-compressed tile, before its columns and rows.
const HCOMPRESS_MAGIC: [u8; 2] = [0xdd, 0x99];

/// A column of descriptors: where its tiles are, and how they are coded.
struct TileColumn {
    letter: char,
    /// Bytes of one element of its arrays.
    element: u64,
    /// Bytes from the start of a row.
    offset: usize,
    coding: Coding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// Unfolds to what the stream says, which must be counted first.
    Gzip,
    /// Says how many columns and rows it holds.
    Hcompress,
    /// Cannot hold more pixels than the decoder asks for.
    Other,
}

/// Sees that every tile lies in the heap of its table and unfolds to no more than its pixels. Holds one tile at a time.
pub(super) fn check<R: Read + Seek>(reader: &mut R, hdu: &Hdu) -> Result<(), StructureError> {
    if hdu.kind != HduKind::CompressedImage {
        return Ok(());
    }
    let complaint = |what: String| {
        StructureError::Refused(Refusal::damaged(format!("HDU {}: {what}", hdu.number)))
    };
    let too_large = |what: String| {
        let what = format!("HDU {}: {what}", hdu.number);
        StructureError::Refused(Refusal::new(Defect::TooLarge, what))
    };
    let values = hdu.values();
    let integer = |keyword: &str| match values.get(keyword) {
        Some(CardValue::Integer(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let text = |keyword: &str| match values.get(keyword) {
        Some(CardValue::Text(text)) => text.trim(),
        _ => "",
    };
    check_parameters(&values).map_err(complaint)?;
    let row_length = integer("NAXIS1").unwrap_or_default();
    let rows = integer("NAXIS2").unwrap_or_default();
    if row_length > MAXIMUM_ROW {
        return Err(too_large(format!("a table of tiles with rows of {row_length} bytes")));
    }
    let heap = integer("THEAP").unwrap_or(row_length.saturating_mul(rows));
    let room = hdu.data_length.saturating_sub(heap);
    let tile_pixels = hdu.axes.iter().enumerate().fold(1_u64, |pixels, (index, &length)| {
        let tile = integer(&format!("ZTILE{}", index + 1));
        pixels.saturating_mul(tile.unwrap_or(if index == 0 { length } else { 1 }))
    });
    let mut columns = Vec::new();
    let mut offset = 0;
    for number in 1..=integer("TFIELDS").unwrap_or_default() {
        let stored = text(&format!("TFORM{number}"));
        let form = FieldForm::parse(stored)
            .ok_or_else(|| complaint("a field without a format".to_owned()))?;
        if matches!(form.letter, 'P' | 'Q') && form.repeat > 0 {
            let codec = text("ZCMPTYPE");
            let coding = match text(&format!("TTYPE{number}")) {
                "GZIP_COMPRESSED_DATA" => Coding::Gzip,
                "COMPRESSED_DATA" if codec.starts_with("GZIP") => Coding::Gzip,
                "COMPRESSED_DATA" if codec.starts_with("HCOMPRESS") => Coding::Hcompress,
                _ => Coding::Other,
            };
            let element = element_bytes(stored);
            columns.push(TileColumn { letter: form.letter, element, offset, coding });
        }
        // The fields fill the row (`structure`), which is short.
        offset += form.width().unwrap_or_default().min(MAXIMUM_ROW) as usize;
    }
    let mut row_bytes = vec![0; row_length as usize];
    let mut tile = Vec::new();
    for row in 0..rows {
        for column in &columns {
            reader.seek(SeekFrom::Start(hdu.data_start + row * row_length))?;
            reader.read_exact(&mut row_bytes)?;
            let (count, start) = descriptor(&row_bytes, column.offset, column.letter)
                .ok_or_else(|| complaint("the table of tiles is truncated".to_owned()))?;
            let length = count.saturating_mul(column.element);
            if length == 0 {
                continue;
            }
            let tile_is = |what: &str| format!("tile {} {what}", row + 1);
            if start.saturating_add(length) > room {
                return Err(complaint(tile_is("lies outside the data")));
            }
            if length > MAXIMUM_TILE {
                return Err(too_large(tile_is(&format!("takes {length} bytes"))));
            }
            if column.coding == Coding::Other {
                continue;
            }
            tile.clear();
            reader.seek(SeekFrom::Start(hdu.data_start + heap + start))?;
            reader.by_ref().take(length).read_to_end(&mut tile)?;
            let limit = tile_pixels.saturating_mul(PIXEL_BYTES);
            if column.coding == Coding::Gzip {
                match unfolded_length(&tile, limit) {
                    Ok(unfolded) if unfolded <= limit => {}
                    Ok(_) => {
                        let what = format!("unfolds to more than its {tile_pixels} pixels");
                        return Err(too_large(tile_is(&what)));
                    }
                    Err(error) => {
                        return Err(complaint(tile_is(&format!("cannot be unfolded: {error}"))));
                    }
                }
            } else if hcompress_pixels(&tile).is_none_or(|pixels| pixels > tile_pixels) {
                return Err(complaint(tile_is("is no H-compressed tile of its size")));
            }
        }
    }
    Ok(())
}

/// Parameters of the Rice coding (§10.4.1): a block of no pixels would be decoded for ever.
fn check_parameters(values: &BTreeMap<String, CardValue>) -> Result<(), String> {
    for (keyword, value) in values {
        let Some(number) = keyword.strip_prefix("ZNAME") else { continue };
        let name = match value {
            CardValue::Text(name) => name.trim().to_ascii_uppercase(),
            _ => return Err(format!("{keyword} is no text")),
        };
        let parameter = match values.get(&format!("ZVAL{number}")) {
            Some(CardValue::Integer(parameter)) => Some(*parameter),
            _ => None,
        };
        let is_sane = match name.as_str() {
            "BLOCKSIZE" => parameter.is_some_and(|size| (1..=MAXIMUM_RICE_BLOCK).contains(&size)),
            "BYTEPIX" => parameter.is_some_and(|bytes| matches!(bytes, 1 | 2 | 4 | 8)),
            _ => true,
        };
        if !is_sane {
            return Err(format!("{name} (ZVAL{number}) is not one that can be decoded"));
        }
    }
    Ok(())
}

/// Columns times rows that an H-compressed tile says it holds.
fn hcompress_pixels(tile: &[u8]) -> Option<u64> {
    let (words, _) = tile.strip_prefix(&HCOMPRESS_MAGIC)?.get(..8)?.as_chunks::<4>();
    let [columns, rows] = words else { return None };
    let (columns, rows) = (i32::from_be_bytes(*columns), i32::from_be_bytes(*rows));
    u64::try_from(columns).ok()?.checked_mul(u64::try_from(rows).ok()?)
}

/// Bytes of an element of a variable-length array: `1PB(12)`.
pub(super) fn element_bytes(form: &str) -> u64 {
    let letters = form.trim().trim_start_matches(|c: char| c.is_ascii_digit());
    match letters.chars().nth(1).map(|letter| letter.to_ascii_uppercase()) {
        Some('I') => 2,
        Some('J' | 'E') => 4,
        Some('K' | 'D' | 'C') => 8,
        Some('M') => 16,
        _ => 1,
    }
}

/// Element count and offset in the heap.
pub(super) fn descriptor(row: &[u8], place: usize, letter: char) -> Option<(u64, u64)> {
    if letter == 'P' {
        let (words, _) = row.get(place..place.checked_add(8)?)?.as_chunks::<4>();
        let [count, start] = words else { return None };
        return Some((u32::from_be_bytes(*count).into(), u32::from_be_bytes(*start).into()));
    }
    let (words, _) = row.get(place..place.checked_add(16)?)?.as_chunks::<8>();
    let [count, start] = words else { return None };
    Some((u64::from_be_bytes(*count), u64::from_be_bytes(*start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: a Rice block of −2 pixels was decoded for ever.
    #[test]
    fn blocks_of_no_pixels_are_refused() {
        for (name, value, is_sound) in [
            ("BLOCKSIZE", 32, true),
            ("BLOCKSIZE", 0, false),
            ("blocksize ", -2, false),
            ("BLOCKSIZE", 1 << 40, false),
            ("BYTEPIX", 4, true),
            ("BYTEPIX", 3, false),
            ("SMOOTH", 0, true),
        ] {
            let values = BTreeMap::from([
                ("ZNAME1".to_owned(), CardValue::Text(name.to_owned())),
                ("ZVAL1".to_owned(), CardValue::Integer(value)),
            ]);
            assert_eq!(check_parameters(&values).is_ok(), is_sound, "{name} {value}");
        }
        let alone =
            BTreeMap::from([("ZNAME2".to_owned(), CardValue::Text("BLOCKSIZE".to_owned()))]);
        assert!(check_parameters(&alone).is_err());
    }
}
