//! The cfitsio engine, for the files on our own disk.
//!
//! Files from outside go through [`super::screening`] or [`super::pure`] first. Even so the chain of HDUs is checked
//! in Rust ([`super::structure`]) before cfitsio opens a plain file.

use super::card_format::Record;
use super::cfitsio_handle::{CfitsioError, Handle};
use super::column_form::{ColumnForm, ColumnKind, stored_text};
use super::layout::{self, NewData, NewHdu, padded_text, to_byte, to_unsigned16};
use super::pure::PureRust;
use super::structure::{self, Hdu, HduKind, StructureError};
use super::{
    Column, ColumnData, FitsError, FitsImage, FitsStore, FitsTables, Header, PixelFormat, Table,
    checksum, replacement,
};
use crate::imaging::Image;
use ndarray::Array2;
use std::ffi::CString;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Most that a `.fits.gz` may unfold to; cfitsio holds it in memory.
const MAXIMUM_UNFOLDED: u64 = 2_000_000_000;

/// The cfitsio engine. It has no state: each call opens and closes its own handle, so it may be used from any thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cfitsio;

/// An open file and the path to name in errors.
struct Reader {
    path: PathBuf,
    handle: Handle,
}

impl Reader {
    fn open(path: &Path) -> Result<Self, FitsError> {
        let io = |source| FitsError::Io { path: path.to_owned(), source };
        let damaged = |what: String| FitsError::Damaged { path: path.to_owned(), what };
        let canonical = path.canonicalize().map_err(io)?;
        let mut file = BufReader::new(File::open(&canonical).map_err(io)?);
        let mut start = [0; 2];
        let is_gzip = file.read_exact(&mut start).is_ok() && start == [0x1f, 0x8b];
        if is_gzip {
            check_gzip(&mut file).map_err(io)?.map_err(damaged)?;
        } else {
            structure::scan(&mut file).map_err(|error| match error {
                StructureError::Io(source) => io(source),
                StructureError::Damaged(what) => damaged(what),
            })?;
        }
        let handle = Handle::open(&canonical).map_err(|error| damaged(error.to_string()))?;
        Ok(Self { path: path.to_owned(), handle })
    }

    fn damaged(&self, error: &CfitsioError) -> FitsError {
        FitsError::Damaged { path: self.path.clone(), what: error.to_string() }
    }

    fn missing(&self, what: String) -> FitsError {
        FitsError::Missing { path: self.path.clone(), what }
    }

    /// Goes to each HDU in turn and describes it, until `visit` says stop.
    fn visit<T>(
        &mut self,
        mut visit: impl FnMut(&mut Self, Hdu) -> Result<Option<T>, FitsError>,
    ) -> Result<Option<T>, FitsError> {
        let count = self.handle.hdu_count().map_err(|error| self.damaged(&error))?;
        for number in 1..=count {
            self.handle.go_to(number).map_err(|error| self.damaged(&error))?;
            let records: Vec<Record> =
                self.handle.records().map_err(|error| self.damaged(&error))?;
            let hdu = structure::describe(records, number, 0, 0)
                .map_err(|what| FitsError::Damaged { path: self.path.clone(), what })?;
            if let Some(found) = visit(self, hdu)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn first_image<T>(
        &mut self,
        mut read: impl FnMut(&mut Self, Hdu) -> Result<T, FitsError>,
    ) -> Result<T, FitsError> {
        let found =
            self.visit(
                |reader, hdu| {
                    if hdu.has_pixels() { read(reader, hdu).map(Some) } else { Ok(None) }
                },
            )?;
        found.ok_or_else(|| self.missing("no image in this file".to_owned()))
    }

    fn image(&mut self, hdu: &Hdu) -> Result<FitsImage, FitsError> {
        let (rows, columns) = hdu.plane().map_err(|what| self.missing(what))?;
        let pixels =
            self.handle.read_pixels(rows * columns).map_err(|error| self.damaged(&error))?;
        let data = Array2::from_shape_vec((rows, columns), pixels)
            .map_err(|error| self.missing(error.to_string()))?;
        Ok(FitsImage { header: hdu.header(), data })
    }

    fn table(&mut self, hdu: &Hdu) -> Result<Table, FitsError> {
        let rows = hdu.axes.get(1).copied().unwrap_or_default() as usize;
        let forms = ColumnForm::all(hdu).map_err(|what| self.missing(what))?;
        let mut columns = Vec::with_capacity(forms.len());
        for form in forms {
            let data = self.column(&form, rows).map_err(|error| {
                self.missing(format!("HDU {}: column '{}': {error}", hdu.number, form.name))
            })?;
            columns.push(Column {
                name: form.name,
                unit: form.unit,
                description: form.description,
                data,
            });
        }
        Ok(Table { name: hdu.name.clone(), header: hdu.header(), columns })
    }

    fn column(&mut self, form: &ColumnForm, rows: usize) -> Result<ColumnData, CfitsioError> {
        let (handle, number) = (&mut self.handle, form.number);
        Ok(match form.kind {
            ColumnKind::Logical => ColumnData::Integer16(
                handle.read_logical(number, rows)?.into_iter().map(i16::from).collect(),
            ),
            ColumnKind::Byte | ColumnKind::Integer16 => {
                ColumnData::Integer16(handle.read_integer16(number, rows)?)
            }
            ColumnKind::Integer32 => ColumnData::Integer32(handle.read_integer32(number, rows)?),
            ColumnKind::Integer64 | ColumnKind::OffsetInteger { .. } => {
                ColumnData::Integer64(handle.read_integer64(number, rows)?)
            }
            ColumnKind::Float32 => ColumnData::Float32(handle.read_float32(number, rows)?),
            ColumnKind::Float64 | ColumnKind::Scaled { .. } => {
                ColumnData::Float64(handle.read_float64(number, rows)?)
            }
            ColumnKind::Text { width } => {
                let fields = handle.read_text(number, rows, width)?;
                let values = fields.iter().map(|field| stored_text(field)).collect();
                ColumnData::Text { width, values }
            }
        })
    }
}

/// Whether the length a gzip file announces (RFC 1952, §2.3.1: ISIZE) is one that can be true and can be held. Deflate
/// packs at most 1032 bytes into one.
fn check_gzip(file: &mut BufReader<File>) -> std::io::Result<Result<(), String>> {
    const GREATEST_RATIO: u64 = 1_032;
    let packed = file.seek(SeekFrom::End(0))?;
    if packed < 20 {
        return Ok(Err("truncated gzip file".to_owned()));
    }
    file.seek(SeekFrom::End(-4))?;
    let mut size = [0; 4];
    file.read_exact(&mut size)?;
    let unfolded = u64::from(u32::from_le_bytes(size));
    if unfolded > MAXIMUM_UNFOLDED || unfolded > packed.saturating_mul(GREATEST_RATIO) {
        return Ok(Err(format!("a gzip file that announces {unfolded} bytes is not unfolded")));
    }
    Ok(Ok(()))
}

/// Whether a file holds tile-compressed images. They are read in Rust, whoever wrote them: cfitsio's decoders trust lengths
/// inside their streams, which no look at the headers can vouch for, and it divides by a tile of no length when it opens
/// the file.
fn is_packed(path: &Path) -> Result<bool, FitsError> {
    let io = |source| FitsError::Io { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    match structure::scan(&mut file) {
        Ok(chain) => Ok(chain.hdus.iter().any(|hdu| {
            // The C code may take for one what we do not: the word is enough.
            hdu.kind == HduKind::CompressedImage
                || hdu.records.iter().any(|record| record.starts_with(b"ZIMAGE"))
        })),
        Err(StructureError::Io(source)) => Err(io(source)),
        // What is wrong with it is said where it is opened.
        Err(StructureError::Damaged(_)) => Ok(false),
    }
}

fn write(path: &Path, hdus: &[NewHdu<'_>]) -> Result<(), FitsError> {
    replacement::replace(path, |temporary| {
        write_hdus(temporary, hdus).map_err(|error| refused(path, error.to_string()))
    })
}

fn refused(path: &Path, what: String) -> FitsError {
    FitsError::Write { path: path.to_owned(), what }
}

fn write_hdus(path: &Path, hdus: &[NewHdu<'_>]) -> Result<(), CfitsioError> {
    let mut handle = Handle::create(path)?;
    for hdu in hdus {
        handle.append_hdu(&hdu.records)?;
        match hdu.data {
            NewData::None => {}
            NewData::Image(image, format) => write_image(&mut handle, image, format)?,
            NewData::Table(table) => {
                for (index, column) in table.columns.iter().enumerate() {
                    write_column(&mut handle, index + 1, &column.data)?;
                }
            }
        }
        // FITS Standard 4.0, Appendix J.3: DATASUM first, for the sum of the HDU takes its card in.
        let (data_sum, _) = handle.sums()?;
        handle.replace_card(c"DATASUM", &layout::datasum_record(data_sum))?;
        let (_, sum) = handle.sums()?;
        handle.replace_card(c"CHECKSUM", &layout::checksum_record(&checksum::encode(sum)))?;
    }
    handle.close()
}

fn write_image(
    handle: &mut Handle,
    image: &Image,
    format: PixelFormat,
) -> Result<(), CfitsioError> {
    let standard = image.as_standard_layout();
    let pixels = standard.as_slice().unwrap_or_default();
    match format {
        PixelFormat::Float32 => handle.write_float_pixels(pixels),
        PixelFormat::Unsigned16 => {
            let stored: Vec<u16> = pixels.iter().map(|&value| to_unsigned16(value)).collect();
            handle.write_unsigned16_pixels(&stored)
        }
        PixelFormat::Byte => {
            let stored: Vec<u8> = pixels.iter().map(|&value| to_byte(value)).collect();
            handle.write_byte_pixels(&stored)
        }
    }
}

fn write_column(handle: &mut Handle, number: usize, data: &ColumnData) -> Result<(), CfitsioError> {
    match data {
        ColumnData::Integer16(values) => handle.write_integer16(number, values),
        ColumnData::Integer32(values) => handle.write_integer32(number, values),
        ColumnData::Integer64(values) => handle.write_integer64(number, values),
        ColumnData::Float32(values) => handle.write_float32(number, values),
        ColumnData::Float64(values) => handle.write_float64(number, values),
        ColumnData::Text { width: 0, .. } => Ok(()),
        ColumnData::Text { width, values } => {
            // `padded_text` leaves printable ASCII only, so there is no NUL.
            let texts: Vec<CString> = values
                .iter()
                .map(|text| CString::new(padded_text(text, *width)).unwrap_or_default())
                .collect();
            handle.write_text(number, &texts)
        }
    }
}

impl FitsStore for Cfitsio {
    fn read_header(&self, path: &Path) -> Result<Header, FitsError> {
        if is_packed(path)? {
            return PureRust.read_header(path);
        }
        Reader::open(path)?.first_image(|_, hdu| Ok(hdu.header()))
    }

    fn read_image(&self, path: &Path) -> Result<FitsImage, FitsError> {
        if is_packed(path)? {
            return PureRust.read_image(path);
        }
        Reader::open(path)?.first_image(|reader, hdu| reader.image(&hdu))
    }

    fn read_images(&self, path: &Path) -> Result<Vec<(String, FitsImage)>, FitsError> {
        if is_packed(path)? {
            return PureRust.read_images(path);
        }
        let mut images = Vec::new();
        Reader::open(path)?.visit(|reader, hdu| {
            if hdu.has_pixels() {
                let image = reader.image(&hdu)?;
                images.push((hdu.name, image));
            }
            Ok(None::<()>)
        })?;
        Ok(images)
    }

    fn read_tables(&self, path: &Path) -> Result<FitsTables, FitsError> {
        if is_packed(path)? {
            return PureRust.read_tables(path);
        }
        let mut content = FitsTables { primary: Header::new(), tables: Vec::new() };
        Reader::open(path)?.visit(|reader, hdu| {
            if hdu.number == 1 {
                content.primary = hdu.header();
            }
            if hdu.kind == HduKind::BinaryTable {
                content.tables.push(reader.table(&hdu)?);
            }
            Ok(None::<()>)
        })?;
        Ok(content)
    }

    fn write_images(
        &self,
        path: &Path,
        images: &[(&str, &Header, &Image, PixelFormat)],
    ) -> Result<(), FitsError> {
        let hdus = layout::image_hdus(images).map_err(|what| refused(path, what))?;
        write(path, &hdus)
    }

    fn write_tables(&self, path: &Path, content: &FitsTables) -> Result<(), FitsError> {
        let hdus = layout::table_hdus(content).map_err(|what| refused(path, what))?;
        write(path, &hdus)
    }

    fn verify_checksums(&self, path: &Path) -> Result<(), FitsError> {
        if is_packed(path)? {
            return PureRust.verify_checksums(path);
        }
        let bad = Reader::open(path)?.visit(|reader, hdu| {
            let (data, whole) =
                reader.handle.checksums_are_right().map_err(|error| reader.damaged(&error))?;
            Ok(checksum::complaint(&hdu, data, whole))
        })?;
        match bad {
            Some(what) => Err(FitsError::Damaged { path: path.to_owned(), what }),
            None => Ok(()),
        }
    }
}
