//! Files from outside are looked through in Rust before anything else opens them.

use super::defect::{Defect, Refusal};
use super::source::{Source, SourceError};
use super::structure::{self, BLOCK_LENGTH, Chain, HduKind, StructureError};
use super::{FitsError, Header, card_format, checksum, tiles};
use std::io;
use std::path::Path;

/// What a screened file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Screening {
    /// Header-data units.
    pub hdus: usize,
    /// Those that hold an image, plain or tile-compressed.
    pub images: usize,
    /// Header of the first image; what [`super::FitsStore::read_header`] gives.
    pub header: Option<Header>,
    /// Columns and rows of the first image, if it is a plane.
    pub plane: Option<(usize, usize)>,
    /// Those that are binary tables.
    pub tables: usize,
    /// Those whose CHECKSUM and DATASUM are both present (and right, or the file would have been refused).
    pub with_checksums: usize,
    /// Cards that could not be read, in all headers: kept without a value, no reason to refuse.
    pub unreadable_cards: usize,
}

/// Why a file has no [`Screening`].
#[derive(Debug, thiserror::Error)]
pub enum ScreeningError {
    /// It cannot be read; another try may help.
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Refused(Refusal),
}

impl ScreeningError {
    /// As an error of the store, with the path.
    pub fn at(self, path: &Path) -> FitsError {
        match self {
            Self::Io(source) => FitsError::Io { path: path.to_owned(), source },
            Self::Refused(refusal) => {
                FitsError::Damaged { path: path.to_owned(), what: refusal.what }
            }
        }
    }
}

impl From<SourceError> for ScreeningError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Io(source) => Self::Io(source),
            SourceError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

impl From<StructureError> for ScreeningError {
    fn from(error: StructureError) -> Self {
        match error {
            StructureError::Io(source) => Self::Io(source),
            StructureError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// Looks through a file from outside without decoding its data (FITS Standard 4.0, §3, §4.4, Appendix J).
///
/// # Errors
/// [`FitsError::Io`] if the file cannot be read, [`FitsError::Damaged`] with the reason otherwise; see [`examine`].
pub fn screen(path: &Path) -> Result<Screening, FitsError> {
    examine(path).map_err(|error| error.at(path))
}

/// As [`screen`], with the kind of fault.
///
/// The chain of HDUs must be complete and end with the file; the mandatory cards must be there, sizes sane, tiles inside
/// their heap and no greater than their pixels, images no greater than the engines read, and checksums right where they are
/// present. The file is read piece by piece: a plain one takes no memory to speak of, a gzip file what it unfolds to, which is
/// bounded.
pub fn examine(path: &Path) -> Result<Screening, ScreeningError> {
    let (mut source, chain) = sound_chain(path)?;
    if chain.trailing > 0 {
        let what = format!("{} bytes after the last HDU", chain.trailing);
        return Err(ScreeningError::Refused(Refusal::damaged(what)));
    }
    if !chain.length.is_multiple_of(BLOCK_LENGTH as u64) {
        let what = "truncated: the last block of 2880 bytes is not whole";
        return Err(ScreeningError::Refused(Refusal::new(Defect::Truncated, what)));
    }
    let mut screening = Screening {
        hdus: 0,
        images: 0,
        header: None,
        plane: None,
        tables: 0,
        with_checksums: 0,
        unreadable_cards: 0,
    };
    for hdu in &chain.hdus {
        screening.hdus += 1;
        if hdu.has_pixels() {
            if screening.images == 0 {
                screening.plane = hdu.plane().ok().map(|(rows, columns)| (columns, rows));
                screening.header = Some(hdu.header());
            }
            screening.images += 1;
        }
        screening.tables += usize::from(hdu.kind == HduKind::BinaryTable);
        let values = hdu.values();
        if values.contains_key("CHECKSUM") && values.contains_key("DATASUM") {
            screening.with_checksums += 1;
        }
        screening.unreadable_cards +=
            hdu.records.iter().filter(|record| card_format::is_unreadable(record)).count();
        if let Some(what) = checksum::verify(&mut source, hdu, chain.length)? {
            return Err(ScreeningError::Refused(Refusal::new(Defect::Checksum, what)));
        }
    }
    Ok(screening)
}

/// Whether all bytes that a file announces are there: its chain of HDUs alone, without a look at the data.
pub fn is_whole(path: &Path) -> Result<(), ScreeningError> {
    let mut source = Source::open(path)?;
    structure::scan(&mut source)?;
    Ok(())
}

/// The chain of a file of which everything was seen that could lead a reader astray: layout, sizes of images, tiles.
pub(super) fn sound_chain(path: &Path) -> Result<(Source, Chain), ScreeningError> {
    let mut source = Source::open(path)?;
    let chain = structure::scan(&mut source)?;
    for hdu in &chain.hdus {
        if hdu.has_pixels() {
            hdu.check_size().map_err(ScreeningError::Refused)?;
        }
        tiles::check(&mut source, hdu)?;
    }
    Ok((source, chain))
}
