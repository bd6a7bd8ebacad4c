//! One FITS store, three engines: our own for plain images and all that we write, cfitsio for the rest of our own files, fitsio-pure for what
//! comes from outside.

mod camera;
mod card_format;
mod card_reading;
pub mod cfitsio;
mod cfitsio_handle;
mod checksum;
mod column_form;
mod defect;
#[cfg(test)]
mod dialect_tests;
mod distortion_cards;
pub mod file_stem;
pub mod header;
#[cfg(test)]
mod hostile_tests;
pub mod image_rows;
pub mod keywords;
mod layout;
mod made_image;
#[cfg(test)]
mod mutation_tests;
pub mod plain_files;
pub mod pure;
mod replacement;
mod rice;
mod rice_rows;
pub mod screening;
mod source;
#[cfg(test)]
mod store_tests;
mod structure;
pub mod table;
pub mod table_rows;
mod tiles;
pub mod wcs_cards;
#[cfg(test)]
mod wcs_tests;

pub use defect::{Defect, Refusal};
pub use file_stem::FileStem;
pub use header::{Card, CardValue, Header};
pub use image_rows::{ImageRows, Survey};
pub use keywords::{KeywordError, KeywordLists, KeywordMap};
pub use screening::{Screening, ScreeningError, screen};
pub use table::{Column, ColumnData, Table};

use crate::imaging::{Image, Mask};
use std::path::{Path, PathBuf};

/// What went wrong with a FITS file.
#[derive(Debug, thiserror::Error)]
pub enum FitsError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// Not FITS, truncated, or damaged: another try will not help.
    #[error("{path}: {what}")]
    Damaged { path: PathBuf, what: String },
    /// Sound FITS that does not hold what was asked for.
    #[error("{path}: {what}")]
    Missing { path: PathBuf, what: String },
    /// The engine refused to write.
    #[error("{path}: cannot write: {what}")]
    Write { path: PathBuf, what: String },
}

impl FitsError {
    /// Whether the same call may succeed later.
    pub fn is_retry_safe(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Write { .. })
    }
}

/// An image with its header. 16-bit unsigned data (BZERO 32768) arrive as their true values.
#[derive(Debug, Clone, PartialEq)]
pub struct FitsImage {
    pub header: Header,
    pub data: Image,
}

/// A file of tables with its primary header.
#[derive(Debug, Clone, PartialEq)]
pub struct FitsTables {
    pub primary: Header,
    pub tables: Vec<Table>,
}

/// A plane of pixels to be written, and how.
#[derive(Debug, Clone, Copy)]
pub enum NewPlane<'a> {
    /// BITPIX −32.
    Float32(&'a Image),
    /// BITPIX 16 with BZERO 32768; values are rounded and clamped to 0..65535.
    Unsigned16(&'a Image),
    /// BITPIX 8; values are rounded and clamped to 0..255.
    Byte(&'a Image),
    /// BITPIX 8: a mask.
    Bits(&'a Mask),
}

/// Pixels as they were read.
#[derive(Debug, Clone, PartialEq)]
pub enum PlanePixels {
    Values(Image),
    /// Of BITPIX 8, where they were read as such.
    Bits(Mask),
}

impl PlanePixels {
    pub fn into_values(self) -> Image {
        match self {
            Self::Values(image) => image,
            Self::Bits(mask) => mask.mapv(f32::from),
        }
    }

    /// As bits of a mask; values are cut off to 0..255.
    pub fn into_bits(self) -> Mask {
        match self {
            Self::Values(image) => image.mapv(|value| value as u8),
            Self::Bits(mask) => mask,
        }
    }
}

/// An image HDU that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadPlane {
    /// EXTNAME; empty for the primary HDU.
    pub name: String,
    pub header: Header,
    pub pixels: PlanePixels,
}

/// A reduced frame whose rows are made while they are written.
#[derive(Clone, Copy)]
pub struct MadeImage<'a> {
    /// Rows, columns.
    pub shape: (usize, usize),
    /// As long as the header of the primary image will be.
    pub expected: &'a Header,
    /// Names and headers of the extensions.
    pub variance: (&'a str, &'a Header),
    pub mask: (&'a str, &'a Header),
    pub make: &'a MakeRows<'a>,
}

/// Makes the rows from a first one on, as many as the slices hold: values, their variances, bits of their mask. Called from
/// several threads, once for each row. An error, in words, ends the writing.
pub type MakeRows<'a> =
    dyn Fn(usize, &mut [f32], &mut [f32], &mut [u8]) -> Result<(), String> + Sync + 'a;

/// Called when all rows are made: corrects the mask, and gives the header of the primary image. An error, in words, ends the
/// writing.
pub type FinishImage<'a> = dyn FnMut(&mut Mask) -> Result<Header, String> + 'a;

/// What all engines can do. Every write goes to `<path>.tmp`, is given CHECKSUM and DATASUM, synced and renamed.
pub trait FitsStore: Send + Sync {
    /// The header of the HDU that holds the first image.
    fn read_header(&self, path: &Path) -> Result<Header, FitsError>;
    /// The first image: of the primary HDU, or of the first (tile-compressed) image extension. `.fits`, `.fits.fz`, `.fits.gz`.
    fn read_image(&self, path: &Path) -> Result<FitsImage, FitsError>;
    /// Every image HDU of the file with its EXTNAME (empty for the primary one).
    fn read_images(&self, path: &Path) -> Result<Vec<(String, FitsImage)>, FitsError>;
    /// The same, with planes of bytes left as such where that is cheaper.
    fn read_planes(&self, path: &Path) -> Result<Vec<ReadPlane>, FitsError> {
        let planes = self.read_images(path)?.into_iter().map(|(name, image)| ReadPlane {
            name,
            header: image.header,
            pixels: PlanePixels::Values(image.data),
        });
        Ok(planes.collect())
    }
    /// Whether what was written has reached the disk when a call returns.
    fn syncs(&self) -> bool {
        true
    }
    /// Puts another header in the place of that of the primary image, and leaves everything else as it is. `false`: not done, this
    /// store or this file is not made for it, and the file has to be written anew.
    fn replace_header(&self, _path: &Path, _header: &Header) -> Result<bool, FitsError> {
        Ok(false)
    }
    /// All binary tables.
    fn read_tables(&self, path: &Path) -> Result<FitsTables, FitsError>;
    /// Writes image HDUs: the first is the primary one, the others IMAGE extensions with their EXTNAME.
    fn write_images(
        &self,
        path: &Path,
        images: &[(&str, &Header, NewPlane<'_>)],
    ) -> Result<(), FitsError>;
    /// Whether rows can be made while they are written.
    fn makes_rows(&self) -> bool {
        false
    }
    /// Writes a reduced frame: the image, its variance and its mask, as [`Self::write_images`] would write the whole planes.
    fn write_made(
        &self,
        path: &Path,
        _image: &MadeImage<'_>,
        _finish: &mut FinishImage<'_>,
    ) -> Result<(), FitsError> {
        let what = "this store writes whole planes only".to_owned();
        Err(FitsError::Write { path: path.to_owned(), what })
    }
    /// Writes an empty primary HDU with its header, then the tables.
    fn write_tables(&self, path: &Path, content: &FitsTables) -> Result<(), FitsError>;
    /// Verifies CHECKSUM and DATASUM of every HDU that has them; the text names the first bad HDU.
    fn verify_checksums(&self, path: &Path) -> Result<(), FitsError>;
}
