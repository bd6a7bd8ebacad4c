//! Files from outside are looked through in Rust before anything else opens them.

use super::pure::Loaded;
use super::structure::{BLOCK_LENGTH, HduKind};
use super::{FitsError, card_format, tiles};
use std::path::Path;

/// What a screened file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screening {
    /// Header-data units.
    pub hdus: usize,
    /// Those that hold an image, plain or tile-compressed.
    pub images: usize,
    /// Columns and rows of the first image, if it is a plane.
    pub plane: Option<(usize, usize)>,
    /// Those that are binary tables.
    pub tables: usize,
    /// Those whose CHECKSUM and DATASUM are both present (and right, or the file would have been refused).
    pub with_checksums: usize,
    /// Cards that could not be read, in all headers: kept without a value, no reason to refuse.
    pub unreadable_cards: usize,
}

/// Looks through a file from outside without decoding its data (FITS Standard 4.0, §3, §4.4, Appendix J).
///
/// The chain of HDUs must be complete and end with the file; the mandatory cards must be there, sizes sane, tiles inside
/// their heap, images no greater than the engines read, and checksums right where they are present.
///
/// # Errors
/// [`FitsError::Io`] if the file cannot be read, [`FitsError::Damaged`] with the reason otherwise; of gzip files only small
/// ones are unfolded, greater ones are refused with that reason.
pub fn screen(path: &Path) -> Result<Screening, FitsError> {
    let file = Loaded::read(path)?;
    if file.chain.trailing > 0 {
        return Err(file.damaged(format!("{} bytes after the last HDU", file.chain.trailing)));
    }
    if !file.chain.length.is_multiple_of(BLOCK_LENGTH as u64) {
        return Err(file.damaged("truncated: the last block of 2880 bytes is not whole".to_owned()));
    }
    let mut screening = Screening {
        hdus: 0,
        images: 0,
        plane: None,
        tables: 0,
        with_checksums: 0,
        unreadable_cards: 0,
    };
    for hdu in &file.chain.hdus {
        screening.hdus += 1;
        if hdu.has_pixels() {
            if screening.images == 0 {
                screening.plane = hdu.plane().ok().map(|(rows, columns)| (columns, rows));
            }
            screening.images += 1;
            hdu.check_size().map_err(|what| file.damaged(what))?;
        }
        screening.tables += usize::from(hdu.kind == HduKind::BinaryTable);
        tiles::check(&file.bytes, hdu).map_err(|what| file.damaged(what))?;
        let values = hdu.values();
        if values.contains_key("CHECKSUM") && values.contains_key("DATASUM") {
            screening.with_checksums += 1;
        }
        screening.unreadable_cards +=
            hdu.records.iter().filter(|record| card_format::is_unreadable(record)).count();
    }
    match file.checksum_complaint() {
        Some(what) => Err(file.damaged(what)),
        None => Ok(screening),
    }
}
