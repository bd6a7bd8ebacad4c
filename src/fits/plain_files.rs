//! Our own files without a detour: uncompressed images and tables, between memory and disk in one pass.
//!
//! What is written is what both engines write, byte for byte. What is read is what they read; anything but plain images of the usual
//! pixels is left to cfitsio.

use super::card_format::RECORD_LENGTH;
use super::cfitsio::Cfitsio;
use super::layout::{self, NewData, NewHdu, PlanePlace};
use super::replacement::{self, Durability};
use super::screening::sound_chain;
use super::source::Source;
use super::structure::{Chain, Hdu, HduKind, padded};
use super::{
    CardValue, FinishImage, FitsError, FitsImage, FitsStore, FitsTables, Header, MadeImage,
    NewPlane, PlanePixels, ReadPlane, checksum, made_image,
};
use crate::imaging::{bands, image::row_major, widest::widest};
use ndarray::Array2;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes converted at once: they stay in the cache between their conversion and the system call.
pub(super) const PIECE: usize = 1 << 18;

/// Files of this program, and such as they.
#[derive(Debug, Clone, Copy)]
pub struct PlainFiles {
    durability: Durability,
}

impl PlainFiles {
    /// A write that has returned has reached the disk.
    pub const SYNCED: Self = Self { durability: Durability::Synced };
    /// The system writes to the disk when it pleases: for results that a person can have made again. Files appear whole or not at all
    /// all the same, but for a power cut.
    pub const UNSYNCED: Self = Self { durability: Durability::Unsynced };

    fn write(&self, path: &Path, hdus: &[NewHdu<'_>]) -> Result<(), FitsError> {
        replacement::replace(path, self.durability, |temporary| {
            write_hdus(temporary, hdus).map_err(|error| refused(path, error.to_string()))
        })
    }
}

fn refused(path: &Path, what: String) -> FitsError {
    FitsError::Write { path: path.to_owned(), what }
}

fn write_hdus(path: &Path, hdus: &[NewHdu<'_>]) -> io::Result<()> {
    let file = File::options().write(true).create_new(true).open(path)?;
    let mut place = 0;
    for hdu in hdus {
        let data_start = place + padded_header(hdu.records.len());
        let (data_sum, length) = write_data(&file, data_start, hdu.data)?;
        file.write_all_at(&layout::summed_header(&hdu.records, data_sum), place)?;
        place = fill(&file, data_start, length)?;
    }
    Ok(())
}

/// Fills the last block of data that begin at `start`; where the next HDU begins.
pub(super) fn fill(file: &File, start: u64, length: u64) -> io::Result<u64> {
    let rest = padded(length) - length;
    file.write_all_at(&vec![0; rest as usize], start + length)?;
    Ok(start + padded(length))
}

/// Bytes of a header of so many cards and END.
pub(super) fn padded_header(cards: usize) -> u64 {
    padded(((cards + 1) * RECORD_LENGTH) as u64)
}

/// Writes the data from `start` on; their checksum, and how many bytes they are.
fn write_data(file: &File, start: u64, data: NewData<'_>) -> io::Result<(u32, u64)> {
    match data {
        NewData::None => Ok((0, 0)),
        NewData::Table(_) => {
            let bytes = data.bytes();
            file.write_all_at(&bytes, start)?;
            Ok((checksum::accumulate(0, &bytes), bytes.len() as u64))
        }
        NewData::Plane(NewPlane::Float32(image)) => {
            write_pixels(file, start, &row_major(image), float_bytes)
        }
        NewData::Plane(NewPlane::Unsigned16(image)) => {
            write_pixels(file, start, &row_major(image), each_pixel(layout::unsigned16_bytes))
        }
        NewData::Plane(NewPlane::Byte(image)) => {
            let convert = each_pixel(|value| [layout::to_byte(value)]);
            write_pixels(file, start, &row_major(image), convert)
        }
        NewData::Plane(NewPlane::Bits(mask)) => {
            write_pixels(file, start, &row_major(mask), each_pixel(|value| [value]))
        }
    }
}

/// Of so many pixels in pieces the share of a core: whole pieces.
fn share(pixels: usize, pixels_per_piece: usize) -> usize {
    bands::rows_per_band(pixels.div_ceil(pixels_per_piece), pixels_per_piece) * pixels_per_piece
}

/// Converts and writes pixels, shared out among the cores; their checksum, and how many bytes they are.
pub(super) fn write_pixels<T: Copy + Sync, const N: usize>(
    file: &File,
    start: u64,
    pixels: &[T],
    convert: impl Fn(&[T], &mut [[u8; N]]) + Sync,
) -> io::Result<(u32, u64)> {
    let share = share(pixels.len(), PIECE / N);
    let work = |(number, values): (usize, &[T])| -> io::Result<u32> {
        let mut place = start + (number * share * N) as u64;
        let mut bytes = vec![0; PIECE.min(values.len() * N)];
        let mut sum = 0;
        for piece in values.chunks(PIECE / N) {
            sum = write_piece(file, place, piece, &mut bytes, sum, &convert)?;
            place += (piece.len() * N) as u64;
        }
        Ok(sum)
    };
    let sums = bands::each(pixels.chunks(share).enumerate().collect(), work);
    let mut total = 0;
    for sum in sums {
        // A share begins at a multiple of four bytes: sums of its words add up.
        total = checksum::accumulate(total, &sum?.to_be_bytes());
    }
    Ok((total, (pixels.len() * N) as u64))
}

/// Converts and writes pixels at a place of the file; the sum with theirs. `bytes` has room for them.
pub(super) fn write_piece<T: Copy, const N: usize>(
    file: &File,
    place: u64,
    pixels: &[T],
    bytes: &mut [u8],
    sum: u32,
    convert: impl Fn(&[T], &mut [[u8; N]]),
) -> io::Result<u32> {
    let (bytes, _) = bytes.split_at_mut(pixels.len() * N);
    let (outputs, _) = bytes.as_chunks_mut::<N>();
    convert(pixels, outputs);
    file.write_all_at(bytes, place)?;
    Ok(checksum::accumulate(sum, bytes))
}

widest! {
/// The bytes of floats as they lie in a file.
pub(super) fn float_bytes<'a, 'b>(values: &'a [f32], bytes: &'b mut [[u8; 4]]) -> () {
    for (value, bytes) in values.iter().zip(bytes) {
        *bytes = value.to_be_bytes();
    }
}
}

widest! {
/// The floats of such bytes.
fn floats_of<'a, 'b>(bytes: &'a [[u8; 4]], values: &'b mut [f32]) -> () {
    for (value, bytes) in values.iter_mut().zip(bytes) {
        *value = f32::from_be_bytes(*bytes);
    }
}
}

/// One pixel after the other.
pub(super) fn each_pixel<T: Copy, const N: usize>(
    convert: impl Fn(T) -> [u8; N],
) -> impl Fn(&[T], &mut [[u8; N]]) {
    move |pixels, bytes| {
        for (&pixel, bytes) in pixels.iter().zip(bytes) {
            *bytes = convert(pixel);
        }
    }
}

/// How the pixels of an image lie in the file, of those that are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    Float32,
    Byte,
    Integer16,
    Unsigned16,
}

/// `None`: left to cfitsio.
fn storage_of(hdu: &Hdu) -> Option<Storage> {
    if hdu.kind != HduKind::Image {
        return None;
    }
    let values = hdu.values();
    let number = |keyword: &str, default: f64| match values.get(keyword) {
        None => Some(default),
        Some(CardValue::Integer(value)) => Some(*value as f64),
        Some(CardValue::Float(value)) => Some(*value),
        Some(_) => None,
    };
    let (scale, zero) = (number("BSCALE", 1.0)?, number("BZERO", 0.0)?);
    if scale != 1.0 || values.contains_key("BLANK") {
        return None;
    }
    match (hdu.bits_per_pixel, zero) {
        (-32, 0.0) => Some(Storage::Float32),
        (8, 0.0) => Some(Storage::Byte),
        (16, 0.0) => Some(Storage::Integer16),
        (16, 32768.0) => Some(Storage::Unsigned16),
        _ => None,
    }
}

/// A file all of whose images are read here.
fn plain(path: &Path) -> Result<Option<(File, Chain)>, FitsError> {
    let (source, chain) = sound_chain(path).map_err(|error| error.at(path))?;
    let mut images = chain.hdus.iter().filter(|hdu| hdu.has_pixels());
    let is_plain = images.all(|hdu| storage_of(hdu).is_some());
    Ok(match source {
        Source::Plain(reader) if is_plain => Some((reader.into_inner(), chain)),
        _ => None,
    })
}

/// One pixel after the other.
fn each_value<T, const N: usize>(convert: impl Fn([u8; N]) -> T) -> impl Fn(&[[u8; N]], &mut [T]) {
    move |bytes, values| {
        for (value, bytes) in values.iter_mut().zip(bytes) {
            *value = convert(*bytes);
        }
    }
}

/// Reads the pixels of an image, shared out among the cores.
fn read_pixels<T: Copy + Default + Send, const N: usize>(
    file: &File,
    hdu: &Hdu,
    shape: (usize, usize),
    convert: impl Fn(&[[u8; N]], &mut [T]) + Sync,
) -> io::Result<Array2<T>> {
    let count = shape.0 * shape.1;
    let mut pixels = vec![T::default(); count];
    let share = share(count, PIECE / N);
    let work = |(number, values): (usize, &mut [T])| -> io::Result<()> {
        let mut place = hdu.data_start + (number * share * N) as u64;
        let mut bytes = vec![0; PIECE.min(values.len() * N)];
        for piece in values.chunks_mut(PIECE / N) {
            let (bytes, _) = bytes.split_at_mut(piece.len() * N);
            file.read_exact_at(bytes, place)?;
            place += bytes.len() as u64;
            let (inputs, _) = bytes.as_chunks::<N>();
            convert(inputs, piece);
        }
        Ok(())
    };
    for outcome in bands::each(pixels.chunks_mut(share).enumerate().collect(), work) {
        outcome?;
    }
    Array2::from_shape_vec(shape, pixels)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn read_plane(path: &Path, file: &File, hdu: &Hdu) -> Result<PlanePixels, FitsError> {
    let missing = |what: String| FitsError::Missing { path: path.to_owned(), what };
    let shape = hdu.plane().map_err(|refusal| missing(refusal.what))?;
    let pixels = match storage_of(hdu) {
        Some(Storage::Byte) => {
            read_pixels(file, hdu, shape, each_value(|[byte]| byte)).map(PlanePixels::Bits)
        }
        Some(Storage::Float32) => read_pixels(file, hdu, shape, floats_of).map(PlanePixels::Values),
        Some(Storage::Integer16) => {
            read_pixels(file, hdu, shape, each_value(|bytes| f32::from(i16::from_be_bytes(bytes))))
                .map(PlanePixels::Values)
        }
        Some(Storage::Unsigned16) => {
            let value = |bytes| f32::from(u16::from_be_bytes(bytes) ^ 0x8000);
            read_pixels(file, hdu, shape, each_value(value)).map(PlanePixels::Values)
        }
        None => return Err(missing(format!("HDU {} is no plain image", hdu.number))),
    };
    pixels.map_err(|source| FitsError::Io { path: path.to_owned(), source })
}

fn read_image(path: &Path, file: &File, hdu: &Hdu) -> Result<FitsImage, FitsError> {
    let data = read_plane(path, file, hdu)?.into_values();
    Ok(FitsImage { header: hdu.header(), data })
}

impl FitsStore for PlainFiles {
    fn read_header(&self, path: &Path) -> Result<Header, FitsError> {
        Cfitsio.read_header(path)
    }

    fn read_image(&self, path: &Path) -> Result<FitsImage, FitsError> {
        let Some((file, chain)) = plain(path)? else { return Cfitsio.read_image(path) };
        match chain.hdus.iter().find(|hdu| hdu.has_pixels()) {
            Some(hdu) => read_image(path, &file, hdu),
            None => Cfitsio.read_image(path),
        }
    }

    fn read_images(&self, path: &Path) -> Result<Vec<(String, FitsImage)>, FitsError> {
        let Some((file, chain)) = plain(path)? else { return Cfitsio.read_images(path) };
        let images = chain.hdus.iter().filter(|hdu| hdu.has_pixels());
        images.map(|hdu| Ok((hdu.name.clone(), read_image(path, &file, hdu)?))).collect()
    }

    fn read_planes(&self, path: &Path) -> Result<Vec<ReadPlane>, FitsError> {
        let Some((file, chain)) = plain(path)? else { return Cfitsio.read_planes(path) };
        let images = chain.hdus.iter().filter(|hdu| hdu.has_pixels());
        images
            .map(|hdu| {
                let pixels = read_plane(path, &file, hdu)?;
                Ok(ReadPlane { name: hdu.name.clone(), header: hdu.header(), pixels })
            })
            .collect()
    }

    fn syncs(&self) -> bool {
        self.durability == Durability::Synced
    }

    fn replace_header(&self, path: &Path, header: &Header) -> Result<bool, FitsError> {
        let Some((mut file, chain)) = plain(path)? else { return Ok(false) };
        let Some(hdu) = chain.hdus.first().filter(|hdu| hdu.has_pixels()) else { return Ok(false) };
        let form = match storage_of(hdu) {
            Some(Storage::Float32) => (-32, false),
            Some(Storage::Byte) => (8, false),
            Some(Storage::Unsigned16) => (16, true),
            Some(Storage::Integer16) | None => return Ok(false),
        };
        let sum = match hdu.values().get("DATASUM") {
            Some(CardValue::Text(text)) => text.trim().parse::<u32>().ok(),
            _ => None,
        };
        let (Some(data_sum), Ok(shape)) = (sum, hdu.plane()) else { return Ok(false) };
        let place = PlanePlace::Primary { has_extensions: chain.hdus.len() > 1 };
        let records = layout::plane_records(&hdu.name, header, form, shape, place)
            .map_err(|what| refused(path, what))?;
        replacement::replace(path, self.durability, |temporary| {
            let mut copy = || -> io::Result<()> {
                let mut new = File::options().write(true).create_new(true).open(temporary)?;
                new.write_all(&layout::summed_header(&records, data_sum))?;
                file.seek(SeekFrom::Start(hdu.data_start))?;
                io::copy(&mut file, &mut new).map(drop)
            };
            copy().map_err(|error| refused(path, error.to_string()))
        })?;
        Ok(true)
    }

    fn read_tables(&self, path: &Path) -> Result<FitsTables, FitsError> {
        Cfitsio.read_tables(path)
    }

    fn write_images(
        &self,
        path: &Path,
        images: &[(&str, &Header, NewPlane<'_>)],
    ) -> Result<(), FitsError> {
        self.write(path, &layout::image_hdus(images).map_err(|what| refused(path, what))?)
    }

    fn makes_rows(&self) -> bool {
        true
    }

    fn write_made(
        &self,
        path: &Path,
        image: &MadeImage<'_>,
        finish: &mut FinishImage<'_>,
    ) -> Result<(), FitsError> {
        replacement::replace(path, self.durability, |temporary| {
            made_image::write(temporary, image, finish)
                .map_err(|error| refused(path, error.to_string()))
        })
    }

    fn write_tables(&self, path: &Path, content: &FitsTables) -> Result<(), FitsError> {
        self.write(path, &layout::table_hdus(content).map_err(|what| refused(path, what))?)
    }

    fn verify_checksums(&self, path: &Path) -> Result<(), FitsError> {
        Cfitsio.verify_checksums(path)
    }
}
