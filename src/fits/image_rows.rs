//! An image whose rows are read when they are wanted, so that many frames can be combined in little memory.

use super::rice_rows::RiceRows;
use super::screening::sound_chain;
use super::{FitsError, FitsImage, FitsStore, Header};
use crate::imaging::{Image, combination::PixelRows, statistics};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Values that 16 bits have.
const LEVELS: usize = 1 << 16;

/// The first image of a file, by its rows.
///
/// A Rice-compressed frame of 16-bit pixels with a tile for each row stays in its file, and any of its rows can be decoded from any
/// thread. Files of another form are held as floats.
#[derive(Debug)]
pub struct ImageRows {
    path: PathBuf,
    header: Header,
    pixels: Pixels,
}

#[derive(Debug)]
enum Pixels {
    InFile { file: File, rows: RiceRows },
    Stored { stored: Vec<u16>, rows: RiceRows },
    Held(Image),
}

impl ImageRows {
    /// Looks through a file ([`super::screening`]) and opens it. `store` reads those that have to be held.
    ///
    /// # Errors
    /// As [`FitsStore::read_image`]; damage inside the tiles shows with [`Self::survey`].
    pub fn open(store: &dyn FitsStore, path: &Path) -> Result<Self, FitsError> {
        let (mut source, chain) = sound_chain(path).map_err(|error| error.at(path))?;
        let failed = |source| FitsError::Io { path: path.to_owned(), source };
        if !source.is_gzip()
            && let Some(hdu) = chain.hdus.iter().find(|hdu| hdu.has_pixels())
            && let Some(rows) = RiceRows::of(&mut source, hdu).map_err(failed)?
        {
            let file = File::open(path).map_err(failed)?;
            let pixels = Pixels::InFile { file, rows };
            return Ok(Self { path: path.to_owned(), header: hdu.header(), pixels });
        }
        let image = store.read_image(path)?;
        let pixels = Pixels::Held(image.data);
        Ok(Self { path: path.to_owned(), header: image.header, pixels })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The pixels, where they are floats in memory.
    pub fn held(&self) -> Option<&Image> {
        match &self.pixels {
            Pixels::Held(image) => Some(image),
            Pixels::InFile { .. } | Pixels::Stored { .. } => None,
        }
    }

    /// Bytes that the pixels would take in memory, or take already.
    pub fn bytes(&self) -> usize {
        let (rows, columns) = self.dim();
        rows * columns * if matches!(self.pixels, Pixels::Held(_)) { 4 } else { 2 }
    }

    /// Decodes all of it once, on all cores: sees that it can be, and counts its values. With `keep` the pixels stay in memory, two
    /// bytes each.
    ///
    /// # Errors
    /// As [`FitsStore::read_image`].
    pub fn survey(&mut self, store: &dyn FitsStore, keep: bool) -> Result<Survey, FitsError> {
        if let Pixels::InFile { file, rows } = &self.pixels {
            let (height, width) = rows.dim();
            let mut stored = vec![0; if keep { height * width } else { 0 }];
            // Two counts side by side: neighbouring pixels of one level would wait for each other.
            let counts = || vec![[0_u32; 2]; LEVELS];
            let found = rows.visit(file, &mut stored, counts, |counts, pixels, kept| {
                kept.copy_from_slice(pixels.get(..kept.len()).unwrap_or_default());
                for pair in pixels.chunks(2) {
                    for (side, &pixel) in pair.iter().enumerate() {
                        counts[usize::from(pixel)][side] += 1;
                    }
                }
            });
            if let Some(counts) = found {
                let survey = Survey::of_counts(&counts, rows);
                if keep {
                    self.pixels = Pixels::Stored { stored, rows: rows.clone() };
                }
                return Ok(survey);
            }
            // The engine says what is wrong, or reads what is only unusual.
            self.pixels = Pixels::Held(store.read_image(&self.path)?.data);
        }
        Ok(match &self.pixels {
            Pixels::Stored { stored, rows } => {
                let mut counts = vec![[0; 2]; LEVELS];
                stored.iter().for_each(|&pixel| counts[usize::from(pixel)][0] += 1);
                Survey::of_counts(&[counts], rows)
            }
            Pixels::Held(image) => Survey::of_image(image),
            Pixels::InFile { .. } => Survey { median: None, levels: Vec::new() },
        })
    }

    /// All of it as floats, with its header.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn into_image(self) -> Result<FitsImage, FitsError> {
        let data = match self.pixels {
            Pixels::Held(image) => image,
            _ => self.image()?,
        };
        Ok(FitsImage { header: self.header, data })
    }

    /// All of it as floats.
    ///
    /// # Errors
    /// [`FitsError::Damaged`] if its rows cannot be decoded.
    pub fn image(&self) -> Result<Image, FitsError> {
        let (rows, columns) = self.dim();
        let mut values = vec![0.0; rows * columns];
        self.read(0, &mut values).map_err(|what| self.damaged(what))?;
        Image::from_shape_vec((rows, columns), values)
            .map_err(|error| self.damaged(error.to_string()))
    }

    /// As an error of this file.
    pub fn damaged(&self, what: String) -> FitsError {
        FitsError::Damaged { path: self.path.clone(), what }
    }
}

/// An image that is in memory already.
impl From<Image> for ImageRows {
    fn from(image: Image) -> Self {
        Self { path: PathBuf::new(), header: Header::new(), pixels: Pixels::Held(image) }
    }
}

impl PixelRows for ImageRows {
    fn dim(&self) -> (usize, usize) {
        match &self.pixels {
            Pixels::InFile { rows, .. } | Pixels::Stored { rows, .. } => rows.dim(),
            Pixels::Held(image) => image.dim(),
        }
    }

    fn read(&self, first_row: usize, values: &mut [f32]) -> Result<(), String> {
        let wrong = || format!("{}: rows from {first_row} on cannot be read", self.path.display());
        match &self.pixels {
            Pixels::InFile { file, rows } => {
                let mut stored = vec![0; values.len()];
                rows.decode(file, first_row, &mut stored).ok_or_else(wrong)?;
                rows.values(&stored, values);
            }
            Pixels::Stored { stored, rows } => {
                let start = first_row * rows.dim().1;
                let stored = stored.get(start..start + values.len()).ok_or_else(wrong)?;
                rows.values(stored, values);
            }
            Pixels::Held(image) => image.read(first_row, values)?,
        }
        Ok(())
    }

    fn pixel(&self, row: usize, column: usize) -> f32 {
        match &self.pixels {
            Pixels::InFile { rows, .. } => {
                let mut values = vec![f32::NAN; rows.dim().1];
                // A row that cannot be read has no pixel.
                self.read(row, &mut values).ok().and(values.get(column).copied())
            }
            Pixels::Stored { stored, rows } => {
                let stored = stored.get(row * rows.dim().1 + column);
                stored.filter(|_| column < rows.dim().1).map(|&stored| rows.value(stored))
            }
            Pixels::Held(image) => image.get((row, column)).copied(),
        }
        .unwrap_or(f32::NAN)
    }
}

/// What there is in a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Of the finite values, the mean of the middle two of an even number; `None` for none.
    pub median: Option<f32>,
    /// Of 16-bit pixels each value and how many pixels have it, rising; empty for others.
    pub levels: Vec<(f32, u64)>,
}

impl Survey {
    pub fn of_image(image: &Image) -> Self {
        Self { median: statistics::median_of_plane(image), levels: Vec::new() }
    }

    fn of_counts(counts: &[Vec<[u32; 2]>], rows: &RiceRows) -> Self {
        let total = |level: usize| -> u64 {
            let counts = counts.iter().flat_map(|counts| counts.get(level)).flatten();
            counts.map(|&pixels| u64::from(pixels)).sum()
        };
        // By rising stored value, which is a signed number.
        let stored = (i16::MIN..=i16::MAX).map(i16::cast_unsigned);
        let mut levels: Vec<(f32, u64)> = stored
            .map(|level| (rows.value(level), total(level.into())))
            .filter(|pair| pair.1 > 0)
            .collect();
        if rows.is_falling() {
            levels.reverse();
        }
        let pixels: u64 = levels.iter().map(|pair| pair.1).sum();
        let at = |rank: u64| {
            let mut seen = 0;
            let found = levels.iter().find(|pair| {
                seen += pair.1;
                seen > rank
            });
            found.map(|pair| f64::from(pair.0))
        };
        let middle = || Some((at(pixels.checked_sub(1)? / 2)? + at(pixels / 2)?) / 2.0);
        let median = middle().map(|median| median as f32);
        Self { median, levels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits::{cfitsio::Cfitsio, pure::PureRust};
    use crate::imaging::statistics::median_in_place;
    use fitsio_pure::compress::{TileCompression, compress_image_hdu};
    use fitsio_pure::header::Card;
    use fitsio_pure::value::Value;

    const WIDTH: usize = 301;
    const HEIGHT: usize = 83;

    /// A file with a compressed image of noise and a few bright pixels, and what it holds.
    fn write(path: &Path, compression: &TileCompression, zero: Option<f64>) -> Image {
        let pixels: Vec<i16> = (0..WIDTH * HEIGHT)
            .map(|index| {
                let noise = (index as u32).wrapping_mul(2_654_435_761) >> 28;
                if index % 1009 == 5 { 31_000 } else { noise as i16 - 7592 }
            })
            .collect();
        let card = |keyword, value| Card::new(keyword, Value::Float(value)).unwrap();
        let extra: Vec<Card> =
            zero.map(|zero| vec![card("BZERO", zero), card("BSCALE", 1.0)]).unwrap_or_default();
        let mut bytes = fitsio_pure::primary::build_primary_header(8, &[]).map_or_else(
            |_| Vec::new(),
            |cards| fitsio_pure::header::serialize_header(&cards).unwrap(),
        );
        bytes.extend(compress_image_hdu(&[WIDTH, HEIGHT], &pixels, compression, &extra).unwrap());
        std::fs::write(path, bytes).unwrap();
        let values = pixels.iter().map(|&pixel| f32::from(pixel) + zero.unwrap_or(0.0) as f32);
        Image::from_shape_vec((HEIGHT, WIDTH), values.collect()).unwrap()
    }

    /// Whatever the form, rows are those of the whole image, kept or not, and the median is that of a sorted list.
    #[test]
    fn rows_are_those_of_the_image() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("frame.fits.fz");
        let rice = TileCompression::rice;
        for (compression, zero, in_file) in [
            (rice(), Some(32_768.0), true),
            (rice(), None, true),
            (rice(), Some(-3.5), true),
            (rice().tile_rows(2), Some(32_768.0), false),
            (TileCompression::gzip(), Some(32_768.0), false),
        ] {
            let image = write(&path, &compression, zero);
            assert_eq!(PureRust.read_image(&path).unwrap().data, image);
            let mut flat: Vec<f32> = image.iter().copied().collect();
            let median = median_in_place(&mut flat);
            for keep in [false, true] {
                let mut rows = ImageRows::open(&Cfitsio, &path).unwrap();
                assert_eq!(matches!(rows.pixels, Pixels::InFile { .. }), in_file);
                assert_eq!(rows.dim(), (HEIGHT, WIDTH));
                assert_eq!(rows.survey(&Cfitsio, keep).unwrap().median, median);
                assert_eq!(rows.survey(&Cfitsio, keep).unwrap().median, median);
                assert_eq!(rows.image().unwrap(), image);
                let mut part = vec![0.0; 2 * WIDTH];
                rows.read(HEIGHT - 2, &mut part).unwrap();
                assert!(part.iter().eq(image.rows().into_iter().skip(HEIGHT - 2).flatten()));
                assert!(rows.read(HEIGHT - 1, &mut part).is_err());
            }
        }
    }

    #[test]
    fn a_damaged_tile_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("frame.fits.fz");
        write(&path, &TileCompression::rice(), Some(32_768.0));
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 3000].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let mut rows = ImageRows::open(&Cfitsio, &path).unwrap();
        assert!(rows.survey(&Cfitsio, true).is_err());
    }
}
