//! The fitsio-pure engine, for files from outside: no C, no `unsafe`, nothing trusted.
//!
//! The chain of HDUs is checked against the length of the file first ([`super::structure`]); fitsio-pure then sees only the
//! cards that describe the layout, and decodes pixels, tiles and columns. A panic inside it counts as damage.

use super::card_format::{is_structural, keyword_of};
use super::column_form::{ColumnForm, ColumnKind};
use super::layout::{self, NewHdu};
use super::replacement::{self, Durability};
use super::rice_rows::RiceRows;
use super::screening::{ScreeningError, sound_chain};
use super::source::Source;
use super::structure::{BLOCK_LENGTH, Chain, Hdu, HduKind};
use super::{
    Column, ColumnData, FitsError, FitsImage, FitsStore, FitsTables, Header, NewPlane, Table,
    checksum,
};
use crate::imaging::Image;
use fitsio_pure::bintable::{self, BinaryColumnData};
use ndarray::Array2;
use std::fs;
use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Longest file that is read: it is held in memory. The greatest image allowed takes 1.6 GB as floats.
const MAXIMUM_FILE: u64 = 2_000_000_000;

/// The fitsio-pure engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct PureRust;

/// A file in memory whose chain of HDUs is sound.
pub(super) struct Loaded {
    path: PathBuf,
    bytes: Vec<u8>,
    chain: Chain,
}

impl Loaded {
    /// Reads a file into memory after a look at its layout and its tiles, unfolding a gzip file.
    pub fn read(path: &Path) -> Result<Self, FitsError> {
        let (source, chain) = sound_chain(path).map_err(|error| error.at(path))?;
        Self::of(path, source, chain)
    }

    /// Reads a file that was looked through.
    pub fn of(path: &Path, source: Source, chain: Chain) -> Result<Self, FitsError> {
        let bytes = source
            .into_bytes(MAXIMUM_FILE)
            .map_err(|error| ScreeningError::from(error).at(path))?;
        if bytes.len() as u64 != chain.length {
            let what = "it changed while it was read".to_owned();
            return Err(FitsError::Damaged { path: path.to_owned(), what });
        }
        Ok(Self { path: path.to_owned(), bytes, chain })
    }

    /// See [`FitsStore::read_header`].
    pub fn header(&self) -> Result<Header, FitsError> {
        Ok(self.first_image()?.header())
    }

    /// See [`FitsStore::read_image`].
    pub fn first(&self) -> Result<FitsImage, FitsError> {
        self.image(self.first_image()?)
    }

    /// See [`FitsStore::read_images`].
    pub fn images(&self) -> Result<Vec<(String, FitsImage)>, FitsError> {
        let images = self.chain.hdus.iter().filter(|hdu| hdu.has_pixels());
        images.map(|hdu| Ok((hdu.name.clone(), self.image(hdu)?))).collect()
    }

    /// See [`FitsStore::read_tables`].
    pub fn tables(&self) -> Result<FitsTables, FitsError> {
        let tables = self.chain.hdus.iter().filter(|hdu| hdu.kind == HduKind::BinaryTable);
        Ok(FitsTables {
            primary: self.chain.hdus.first().map(Hdu::header).unwrap_or_default(),
            tables: tables.map(|hdu| self.table(hdu)).collect::<Result<_, _>>()?,
        })
    }

    /// See [`FitsStore::verify_checksums`].
    pub fn verify_checksums(&self) -> Result<(), FitsError> {
        match self.checksum_complaint() {
            Some(what) => Err(self.damaged(what)),
            None => Ok(()),
        }
    }

    fn damaged(&self, what: String) -> FitsError {
        FitsError::Damaged { path: self.path.clone(), what }
    }

    fn missing(&self, what: String) -> FitsError {
        FitsError::Missing { path: self.path.clone(), what }
    }

    fn first_image(&self) -> Result<&Hdu, FitsError> {
        self.chain
            .hdus
            .iter()
            .find(|hdu| hdu.has_pixels())
            .ok_or_else(|| self.missing("no image in this file".to_owned()))
    }

    fn image(&self, hdu: &Hdu) -> Result<FitsImage, FitsError> {
        let (rows, columns) = hdu.plane().map_err(|refusal| self.missing(refusal.what))?;
        if let Some(data) = self.of_rice_rows(hdu) {
            return Ok(FitsImage { header: hdu.header(), data });
        }
        let decoded = guarded(|| {
            let described = described(hdu)?;
            fitsio_pure::image::read_image_physical_f32(&self.bytes, &described)
        });
        let in_hdu = |what: &dyn std::fmt::Display| format!("HDU {}: {what}", hdu.number);
        let pixels = decoded.map_err(|what| self.damaged(in_hdu(&what)))?;
        let data = Array2::from_shape_vec((rows, columns), pixels)
            .map_err(|error| self.damaged(in_hdu(&error)))?;
        Ok(FitsImage { header: hdu.header(), data })
    }

    /// The form that raw frames have, decoded on all cores. What is damaged is left to fitsio-pure, which says how.
    fn of_rice_rows(&self, hdu: &Hdu) -> Option<Image> {
        let rows = RiceRows::of(&mut Cursor::new(&self.bytes), hdu).ok()??;
        let mut data = Image::zeros(rows.dim());
        let visit = |(): &mut (), stored: &[u16], values: &mut [f32]| rows.values(stored, values);
        rows.visit(self.bytes.as_slice(), data.as_slice_mut()?, || (), visit)?;
        Some(data)
    }

    fn table(&self, hdu: &Hdu) -> Result<Table, FitsError> {
        let forms = ColumnForm::all(hdu).map_err(|what| self.missing(what))?;
        let mut columns = Vec::with_capacity(forms.len());
        for form in forms {
            let complaint =
                |what: &str| format!("HDU {}: column '{}': {what}", hdu.number, form.name);
            let stored = guarded(|| {
                bintable::read_binary_column(&self.bytes, &described(hdu)?, form.number - 1)
            })
            .map_err(|what| self.damaged(complaint(&what)))?;
            let data = column_data(stored, form.kind)
                .ok_or_else(|| self.missing(complaint("its values do not fit 64 bits")))?;
            columns.push(Column {
                name: form.name,
                unit: form.unit,
                description: form.description,
                data,
            });
        }
        Ok(Table { name: hdu.name.clone(), header: hdu.header(), columns })
    }

    /// The first HDU whose checksums are not right, as a complaint.
    fn checksum_complaint(&self) -> Option<String> {
        let mut reader = Cursor::new(&self.bytes);
        self.chain.hdus.iter().find_map(|hdu| {
            // Bytes in memory can be read, and a sound chain lies within them.
            checksum::verify(&mut reader, hdu, self.chain.length).ok().flatten()
        })
    }
}

/// Runs what may panic on damaged input.
fn guarded<T>(decode: impl FnOnce() -> fitsio_pure::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("its data cannot be decoded: the decoder stopped on them".to_owned()),
    }
}

/// An HDU as fitsio-pure wants it, from the structural cards alone.
fn described(hdu: &Hdu) -> fitsio_pure::Result<fitsio_pure::hdu::Hdu> {
    let cards = hdu
        .records
        .iter()
        .filter(|record| keyword_of(record).is_some_and(is_structural))
        .map(fitsio_pure::header::parse_card)
        .collect::<fitsio_pure::Result<Vec<_>>>()?;
    fitsio_pure::hdu::Hdu::from_cards(cards, hdu.header_start as usize, hdu.data_start as usize)
}

/// A stored column as it is handed out; `None` where a value leaves 64 bits.
fn column_data(stored: BinaryColumnData, kind: ColumnKind) -> Option<ColumnData> {
    Some(match (kind, stored) {
        (ColumnKind::OffsetInteger { zero }, stored) => {
            let values = integers(stored)?;
            ColumnData::Integer64(
                values.into_iter().map(|value| value.checked_add(zero)).collect::<Option<_>>()?,
            )
        }
        (ColumnKind::Scaled { scale, zero }, stored) => {
            ColumnData::Float64(bintable::apply_column_scaling(&stored, scale, zero))
        }
        (ColumnKind::Text { width }, BinaryColumnData::Ascii(values)) => ColumnData::Text {
            width,
            values: values.into_iter().map(|text| text.trim_end_matches(' ').to_owned()).collect(),
        },
        (_, BinaryColumnData::Logical(values)) => {
            ColumnData::Integer16(values.into_iter().map(i16::from).collect())
        }
        (_, BinaryColumnData::Byte(values)) => {
            ColumnData::Integer16(values.into_iter().map(i16::from).collect())
        }
        (_, BinaryColumnData::Short(values)) => ColumnData::Integer16(values),
        (_, BinaryColumnData::Int(values)) => ColumnData::Integer32(values),
        (_, BinaryColumnData::Long(values)) => ColumnData::Integer64(values),
        (_, BinaryColumnData::Float(values)) => ColumnData::Float32(values),
        (_, BinaryColumnData::Double(values)) => ColumnData::Float64(values),
        _ => return None,
    })
}

fn integers(stored: BinaryColumnData) -> Option<Vec<i64>> {
    Some(match stored {
        BinaryColumnData::Byte(values) => values.into_iter().map(i64::from).collect(),
        BinaryColumnData::Short(values) => values.into_iter().map(i64::from).collect(),
        BinaryColumnData::Int(values) => values.into_iter().map(i64::from).collect(),
        BinaryColumnData::Long(values) => values,
        _ => return None,
    })
}

fn refused(path: &Path, what: String) -> FitsError {
    FitsError::Write { path: path.to_owned(), what }
}

fn write(path: &Path, hdus: &[NewHdu<'_>]) -> Result<(), FitsError> {
    replacement::replace(path, Durability::Synced, |temporary| {
        fs::File::create(temporary)
            .and_then(|mut file| hdus.iter().try_for_each(|hdu| file.write_all(&hdu_bytes(hdu))))
            .map_err(|error| refused(path, error.to_string()))
    })
}

/// An HDU as it lies in the file, with its checksums.
fn hdu_bytes(hdu: &NewHdu<'_>) -> Vec<u8> {
    let data = hdu.data.bytes();
    let data_sum = checksum::accumulate(0, &data);
    let mut bytes = layout::summed_header(&hdu.records, data_sum);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(BLOCK_LENGTH), 0);
    bytes
}

impl FitsStore for PureRust {
    fn read_header(&self, path: &Path) -> Result<Header, FitsError> {
        Loaded::read(path)?.header()
    }

    fn read_image(&self, path: &Path) -> Result<FitsImage, FitsError> {
        Loaded::read(path)?.first()
    }

    fn read_images(&self, path: &Path) -> Result<Vec<(String, FitsImage)>, FitsError> {
        Loaded::read(path)?.images()
    }

    fn read_tables(&self, path: &Path) -> Result<FitsTables, FitsError> {
        Loaded::read(path)?.tables()
    }

    fn write_images(
        &self,
        path: &Path,
        images: &[(&str, &Header, NewPlane<'_>)],
    ) -> Result<(), FitsError> {
        write(path, &layout::image_hdus(images).map_err(|what| refused(path, what))?)
    }

    fn write_tables(&self, path: &Path, content: &FitsTables) -> Result<(), FitsError> {
        write(path, &layout::table_hdus(content).map_err(|what| refused(path, what))?)
    }

    fn verify_checksums(&self, path: &Path) -> Result<(), FitsError> {
        Loaded::read(path)?.verify_checksums()
    }
}
