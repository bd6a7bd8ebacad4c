//! The 32-bit ones'-complement checksum of HDUs (FITS Standard 4.0, §4.4.2.7 and Appendix J).

use super::CardValue;
use super::structure::Hdu;
use crate::imaging::widest::widest;
use std::io::{self, Read, Seek, SeekFrom};

/// Value of an unset `CHECKSUM` card, with which sums are taken.
pub(super) const UNSET: &str = "0000000000000000";

widest! {
/// Adds `bytes` to a sum: big-endian 32-bit words in ones'-complement arithmetic. Only the last piece of a sum may have a
/// length that is no multiple of four; it counts as if filled with zeros.
pub(super) fn accumulate<'a>(sum: u32, bytes: &'a [u8]) -> u32 {
    let mut total = u64::from(sum);
    let words = bytes.chunks_exact(4);
    let remainder = words.remainder();
    for word in words {
        // A 64-bit total takes four thousand million words before its carries are lost.
        total += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0; 4];
    for (place, byte) in last.iter_mut().zip(remainder) {
        *place = *byte;
    }
    total += u64::from(u32::from_be_bytes(last));
    while total > u64::from(u32::MAX) {
        total = (total & u64::from(u32::MAX)) + (total >> 32);
    }
    total as u32
}
}

/// The sixteen characters of a `CHECKSUM` card that bring the sum of an HDU, taken with the card unset, to −0
/// (Appendix J.3).
pub(super) fn encode(sum: u32) -> String {
    const OFFSET: i32 = b'0' as i32;
    // Punctuation between the digits and the letters is avoided.
    const EXCLUDED: [i32; 13] =
        [0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x60];
    let mut characters = [b'0'; 16];
    for (place, byte) in (!sum).to_be_bytes().into_iter().enumerate() {
        let quotient = i32::from(byte) / 4 + OFFSET;
        let mut quarters = [quotient + i32::from(byte) % 4, quotient, quotient, quotient];
        // Each pair is moved apart, its sum unchanged, until no character is excluded.
        while quarters.iter().any(|quarter| EXCLUDED.contains(quarter)) {
            for pair in quarters.chunks_exact_mut(2) {
                if pair.iter().any(|quarter| EXCLUDED.contains(quarter)) {
                    pair[0] += 1;
                    pair[1] -= 1;
                }
            }
        }
        for (column, quarter) in quarters.into_iter().enumerate() {
            characters[column * 4 + place] = quarter as u8;
        }
    }
    // The value starts at column 12 of a card, so the characters are rotated by one against the words of the file.
    characters.rotate_right(1);
    characters.iter().map(|&character| character as char).collect()
}

/// Bytes that are read at once: a multiple of four.
const PIECE: usize = 1 << 16;

/// Checks the checksum cards of an HDU against the bytes of its file, read from its start and piece by piece; absent cards are
/// right. `length` is that of the file: it may lack the fill of the last block, which is zeros. Returns a complaint.
pub(super) fn verify<R: Read + Seek>(
    reader: &mut R,
    hdu: &Hdu,
    length: u64,
) -> io::Result<Option<String>> {
    let values = hdu.values();
    let (data_card, whole_card) = (values.get("DATASUM"), values.get("CHECKSUM"));
    if data_card.is_none() && whole_card.is_none() {
        return Ok(None);
    }
    reader.seek(SeekFrom::Start(hdu.header_start))?;
    let header_sum = sum_of(reader, 0, hdu.data_start.saturating_sub(hdu.header_start))?;
    let data_sum = sum_of(reader, 0, hdu.end().min(length).saturating_sub(hdu.data_start))?;
    let data_is_right = match data_card {
        None => true,
        Some(CardValue::Text(text)) => {
            text.trim().is_empty() || text.trim().parse() == Ok(data_sum)
        }
        Some(CardValue::Integer(number)) => *number == i64::from(data_sum),
        Some(_) => false,
    };
    let whole_is_right = match whole_card {
        None => true,
        Some(CardValue::Text(text)) if text.trim().is_empty() => true,
        // −0, or +0 where every word is zero.
        Some(_) => {
            let sum = accumulate(data_sum, &header_sum.to_be_bytes());
            matches!(sum, u32::MAX | 0)
        }
    };
    Ok(complaint(hdu, data_is_right, whole_is_right))
}

/// Adds the next `length` bytes to a sum.
fn sum_of<R: Read>(reader: &mut R, sum: u32, length: u64) -> io::Result<u32> {
    let mut piece = vec![0; PIECE];
    let mut sum = sum;
    let mut left = length;
    while left > 0 {
        let count = left.min(PIECE as u64) as usize;
        let bytes = piece.get_mut(..count).unwrap_or_default();
        reader.read_exact(bytes)?;
        sum = accumulate(sum, bytes);
        left -= count as u64;
    }
    Ok(sum)
}

/// What to say of an HDU whose checksums are right or not.
pub(super) fn complaint(hdu: &Hdu, data_is_right: bool, whole_is_right: bool) -> Option<String> {
    let name = if hdu.name.is_empty() { String::new() } else { format!(" ({})", hdu.name) };
    let what = match (data_is_right, whole_is_right) {
        (true, true) => return None,
        (false, _) => "its data are not those DATASUM was taken of",
        (true, false) => "its header is not the one CHECKSUM was taken of",
    };
    Some(format!("HDU {}{name}: {what}", hdu.number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ones'-complement sum of two sums.
    fn add(one: u32, other: u32) -> u32 {
        let (sum, carried) = one.overflowing_add(other);
        sum + u32::from(carried)
    }

    #[test]
    fn known_encodings() {
        assert_eq!(encode(u32::MAX), UNSET);
        // cfitsio, description of fits_encode_chksum: the complement of 868229149.
        let reference = fitsio_pure::checksum::encode_checksum(868_229_149, true);
        assert_eq!(encode(868_229_149).as_bytes(), reference);
    }

    #[test]
    fn carries_come_back_around() {
        assert_eq!(accumulate(0xffff_ffff, &[0, 0, 0, 1]), 1);
        assert_eq!(add(0xffff_ffff, 1), 1);
        assert_eq!(accumulate(0, &[1]), 0x0100_0000);
    }

    proptest! {
        #[test]
        fn an_encoded_sum_cancels_the_sum(sum in any::<u32>()) {
            let mut text = encode(sum).into_bytes();
            prop_assert!(text.iter().all(u8::is_ascii_alphanumeric));
            // As it lies in the words of the file, less the sixteen ASCII zeros that were summed.
            text.rotate_left(1);
            let zeros = accumulate(0, UNSET.as_bytes());
            prop_assert_eq!(add(add(sum, !zeros), accumulate(0, &text)), u32::MAX);
            prop_assert_eq!(fitsio_pure::checksum::encode_checksum(sum, true).to_vec(), encode(sum).into_bytes());
        }
    }
}
