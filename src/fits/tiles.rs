//! The tiles of a compressed image, checked before they are decompressed (FITS Standard 4.0, §10.1.3).

use super::CardValue;
use super::column_form::FieldForm;
use super::structure::{Hdu, HduKind};

/// Longest gzip tile that is unfolded: deflate packs up to 1032 bytes into one, and the decoder sets no limit. A row of
/// 20 000 64-bit pixels that does not compress at all takes 160 kB.
const MAXIMUM_GZIP_TILE: u64 = 262_144;

/// Sees that every tile lies in the heap of its table. `bytes` is the whole file.
pub(super) fn check(bytes: &[u8], hdu: &Hdu) -> Result<(), String> {
    if hdu.kind != HduKind::CompressedImage {
        return Ok(());
    }
    let complaint = |what: &str| format!("HDU {}: {what}", hdu.number);
    let values = hdu.values();
    let integer = |keyword: &str| match values.get(keyword) {
        Some(CardValue::Integer(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let text = |keyword: &str| match values.get(keyword) {
        Some(CardValue::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let row_length = integer("NAXIS1").unwrap_or_default();
    let rows = integer("NAXIS2").unwrap_or_default();
    let heap = integer("THEAP").unwrap_or(row_length.saturating_mul(rows));
    let room = hdu.data_length.saturating_sub(heap);
    let is_gzip_codec = text("ZCMPTYPE").is_some_and(|codec| codec.starts_with("GZIP"));
    let mut offset = 0;
    for number in 1..=integer("TFIELDS").unwrap_or_default() {
        let form = text(&format!("TFORM{number}"))
            .and_then(FieldForm::parse)
            .ok_or_else(|| complaint("a field without a format"))?;
        let width = form.width().unwrap_or_default();
        if matches!(form.letter, 'P' | 'Q') && form.repeat > 0 {
            let column = text(&format!("TTYPE{number}")).unwrap_or_default();
            let element = element_bytes(text(&format!("TFORM{number}")).unwrap_or_default());
            let is_gzip =
                column == "GZIP_COMPRESSED_DATA" || (is_gzip_codec && column == "COMPRESSED_DATA");
            for row in 0..rows {
                let place = (hdu.data_start + row * row_length + offset) as usize;
                let (count, start) = descriptor(bytes, place, form.letter)
                    .ok_or_else(|| complaint("the table of tiles is truncated"))?;
                let length = count.saturating_mul(element);
                if length > 0 && start.saturating_add(length) > room {
                    return Err(complaint(&format!("tile {} lies outside the data", row + 1)));
                }
                if is_gzip && length > MAXIMUM_GZIP_TILE {
                    return Err(complaint(&format!(
                        "tile {}: {length} bytes of gzip, more than the {MAXIMUM_GZIP_TILE} that are unfolded",
                        row + 1
                    )));
                }
            }
        }
        offset += width;
    }
    Ok(())
}

/// Bytes of an element of a variable-length array: `1PB(12)`.
fn element_bytes(form: &str) -> u64 {
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
fn descriptor(bytes: &[u8], place: usize, letter: char) -> Option<(u64, u64)> {
    if letter == 'P' {
        let (words, _) = bytes.get(place..place.checked_add(8)?)?.as_chunks::<4>();
        let [count, start] = words else { return None };
        return Some((u32::from_be_bytes(*count).into(), u32::from_be_bytes(*start).into()));
    }
    let (words, _) = bytes.get(place..place.checked_add(16)?)?.as_chunks::<8>();
    let [count, start] = words else { return None };
    Some((u64::from_be_bytes(*count), u64::from_be_bytes(*start)))
}
