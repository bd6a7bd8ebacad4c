//! The cfitsio engine, for the files on our own disk.
//!
//! No byte reaches the C code before Rust has looked through layout, sizes and tiles ([`super::screening`]): not of our own
//! files either, so that no caller can forget it. What has to be decompressed, tiles and gzip, is decoded by [`super::pure`]:
//! cfitsio's decoders trust lengths inside their streams, which no look at the headers can vouch for.

use super::card_format::Record;
use super::cfitsio_handle::{CfitsioError, Handle};
use super::column_form::{ColumnForm, ColumnKind, stored_text};
use super::layout::{self, NewData, NewHdu, padded_text, to_byte, to_unsigned16};
use super::pure::Loaded;
use super::screening::sound_chain;
use super::structure::{self, Hdu, HduKind};
use super::{
    Column, ColumnData, FitsError, FitsImage, FitsStore, FitsTables, Header, NewPlane, Table,
    checksum,
    replacement::{self, Durability},
};
use ndarray::Array2;
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// The cfitsio engine. It has no state: each call opens and closes its own handle, so it may be used from any thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cfitsio;

/// An open file and the path to name in errors.
struct Reader {
    path: PathBuf,
    handle: Handle,
}

/// Who reads a file.
enum Engine {
    C(Reader),
    Rust(Loaded),
}

impl Engine {
    /// Looks through a file and opens it if it is for the C code.
    fn of(path: &Path) -> Result<Self, FitsError> {
        let (source, chain) = sound_chain(path).map_err(|error| error.at(path))?;
        let is_packed = chain.hdus.iter().any(|hdu| {
            // The C code may take for a compressed image what we do not: the word is enough.
            hdu.kind == HduKind::CompressedImage
                || hdu.records.iter().any(|record| record.starts_with(b"ZIMAGE"))
        });
        if source.is_gzip() || is_packed {
            return Loaded::of(path, source, chain).map(Self::Rust);
        }
        Reader::open(path).map(Self::C)
    }
}

impl Reader {
    /// Opens a file that was looked through.
    fn open(path: &Path) -> Result<Self, FitsError> {
        let damaged = |what: String| FitsError::Damaged { path: path.to_owned(), what };
        let canonical = path
            .canonicalize()
            .map_err(|source| FitsError::Io { path: path.to_owned(), source })?;
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
            let hdu = structure::describe(records, number, 0, 0).map_err(|refusal| {
                FitsError::Damaged { path: self.path.clone(), what: refusal.what }
            })?;
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
        let (rows, columns) = hdu.plane().map_err(|refusal| self.missing(refusal.what))?;
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

fn write(path: &Path, hdus: &[NewHdu<'_>]) -> Result<(), FitsError> {
    replacement::replace(path, Durability::Synced, |temporary| {
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
            NewData::Plane(plane) => write_plane(&mut handle, plane)?,
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

fn write_plane(handle: &mut Handle, plane: NewPlane<'_>) -> Result<(), CfitsioError> {
    match plane {
        NewPlane::Float32(image) => {
            let standard = image.as_standard_layout();
            handle.write_float_pixels(standard.as_slice().unwrap_or_default())
        }
        NewPlane::Unsigned16(image) => {
            let stored: Vec<u16> = image.iter().map(|&value| to_unsigned16(value)).collect();
            handle.write_unsigned16_pixels(&stored)
        }
        NewPlane::Byte(image) => {
            let stored: Vec<u8> = image.iter().map(|&value| to_byte(value)).collect();
            handle.write_byte_pixels(&stored)
        }
        NewPlane::Bits(mask) => {
            let standard = mask.as_standard_layout();
            handle.write_byte_pixels(standard.as_slice().unwrap_or_default())
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
        match Engine::of(path)? {
            Engine::C(mut reader) => reader.first_image(|_, hdu| Ok(hdu.header())),
            Engine::Rust(file) => file.header(),
        }
    }

    fn read_image(&self, path: &Path) -> Result<FitsImage, FitsError> {
        match Engine::of(path)? {
            Engine::C(mut reader) => reader.first_image(|reader, hdu| reader.image(&hdu)),
            Engine::Rust(file) => file.first(),
        }
    }

    fn read_images(&self, path: &Path) -> Result<Vec<(String, FitsImage)>, FitsError> {
        let mut images = Vec::new();
        let mut reader = match Engine::of(path)? {
            Engine::C(reader) => reader,
            Engine::Rust(file) => return file.images(),
        };
        reader.visit(|reader, hdu| {
            if hdu.has_pixels() {
                let image = reader.image(&hdu)?;
                images.push((hdu.name, image));
            }
            Ok(None::<()>)
        })?;
        Ok(images)
    }

    fn read_tables(&self, path: &Path) -> Result<FitsTables, FitsError> {
        let mut content = FitsTables { primary: Header::new(), tables: Vec::new() };
        let mut reader = match Engine::of(path)? {
            Engine::C(reader) => reader,
            Engine::Rust(file) => return file.tables(),
        };
        reader.visit(|reader, hdu| {
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
        images: &[(&str, &Header, NewPlane<'_>)],
    ) -> Result<(), FitsError> {
        let hdus = layout::image_hdus(images).map_err(|what| refused(path, what))?;
        write(path, &hdus)
    }

    fn write_tables(&self, path: &Path, content: &FitsTables) -> Result<(), FitsError> {
        let hdus = layout::table_hdus(content).map_err(|what| refused(path, what))?;
        write(path, &hdus)
    }

    fn verify_checksums(&self, path: &Path) -> Result<(), FitsError> {
        let mut reader = match Engine::of(path)? {
            Engine::C(reader) => reader,
            Engine::Rust(file) => return file.verify_checksums(),
        };
        let bad = reader.visit(|reader, hdu| {
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
