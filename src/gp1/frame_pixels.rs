//! The pixels of a raw frame as a master takes them: row by row, less the overscan, and of the part that sees the sky.

use super::sections::{is_whole, sections_within};
use crate::fits::{FitsError, FitsStore, Header, ImageRows, Survey};
use crate::imaging::{Image, combination::PixelRows, statistics::median_in_place};
use crate::model::{CameraTraits, PixelSection};
use std::path::Path;

/// A raw frame in its file, or in memory.
#[derive(Debug)]
pub struct FramePixels {
    rows: ImageRows,
    cut: Option<Cut>,
}

/// What [`super::sections::cut`] does, for rows.
#[derive(Debug)]
struct Cut {
    sky: PixelSection,
    /// With the level of the whole strip, for rows that it does not stand beside.
    overscan: Option<(PixelSection, f32)>,
}

impl From<Image> for FramePixels {
    fn from(image: Image) -> Self {
        Self { rows: ImageRows::from(image), cut: None }
    }
}

impl FramePixels {
    /// Opens a raw frame; its pixels are read when they are wanted.
    ///
    /// # Errors
    /// As [`ImageRows::open`].
    pub fn open(store: &dyn FitsStore, path: &Path) -> Result<Self, FitsError> {
        Ok(Self { rows: ImageRows::open(store, path)?, cut: None })
    }

    /// With the sections of its camera.
    ///
    /// # Errors
    /// [`FitsError::Damaged`] if an overscan that has to be looked at now cannot be decoded.
    pub fn with_sections(self, camera: &CameraTraits) -> Result<Self, FitsError> {
        Ok(Self { cut: Cut::of(&self.rows, camera)?, rows: self.rows })
    }

    pub fn header(&self) -> &Header {
        self.rows.header()
    }

    /// Bytes that the pixels take or would take in memory.
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Reads all of it once: sees that it can be, and counts its values. With `keep` the pixels stay in memory.
    ///
    /// # Errors
    /// As [`ImageRows::survey`].
    pub fn survey(&mut self, store: &dyn FitsStore, keep: bool) -> Result<Survey, FitsError> {
        let survey = self.rows.survey(store, keep)?;
        match &self.cut {
            None => Ok(survey),
            Some(_) => Ok(Survey::of_image(&self.image()?)),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// [`FitsError::Damaged`] if it cannot be decoded.
    pub fn image(&self) -> Result<Image, FitsError> {
        if self.cut.is_none() {
            return self.rows.image();
        }
        let (rows, columns) = self.dim();
        let mut image = Image::zeros((rows, columns));
        let read = image.as_slice_mut().map_or(Ok(()), |values| self.read(0, values));
        read.map_err(|what| self.rows.damaged(what))?;
        Ok(image)
    }
}

impl PixelRows for FramePixels {
    fn dim(&self) -> (usize, usize) {
        self.cut.as_ref().map_or_else(|| self.rows.dim(), |cut| cut.sky.shape())
    }

    fn read(&self, first_row: usize, values: &mut [f32]) -> Result<(), String> {
        let Some(cut) = &self.cut else { return self.rows.read(first_row, values) };
        let (height, width) = cut.sky.shape();
        let count = values.len() / width.max(1);
        if first_row + count > height {
            return Err(format!("there are no rows from {first_row} on"));
        }
        let columns = self.rows.dim().1.max(1);
        let first = cut.sky.first_row - 1 + first_row;
        let mut raw = vec![0.0; count * columns];
        self.rows.read(first, &mut raw)?;
        let rows = raw.chunks_exact(columns).zip(values.chunks_exact_mut(width.max(1)));
        for (row, (raw, values)) in rows.enumerate() {
            let level = cut.level(first + row, raw);
            let sky = raw.iter().skip(cut.sky.first_column - 1);
            values.iter_mut().zip(sky).for_each(|(value, pixel)| *value = pixel - level);
        }
        Ok(())
    }

    fn pixel(&self, row: usize, column: usize) -> f32 {
        let Some(cut) = &self.cut else { return self.rows.pixel(row, column) };
        let mut values = vec![f32::NAN; cut.sky.shape().1];
        // A row that cannot be read has no pixel.
        self.read(row, &mut values).ok().and(values.get(column).copied()).unwrap_or(f32::NAN)
    }
}

impl Cut {
    /// `None` where there is nothing to cut or to take off. Sections that do not lie within the frame, as in one that was cut already,
    /// change nothing.
    fn of(rows: &ImageRows, camera: &CameraTraits) -> Result<Option<Self>, FitsError> {
        let shape = rows.dim();
        if is_whole(camera, shape) {
            return Ok(None);
        }
        let (sky, overscan) = sections_within(camera, shape);
        let sky = sky.unwrap_or(PixelSection {
            first_column: 1,
            last_column: shape.1,
            first_row: 1,
            last_row: shape.0,
        });
        let overscan = match overscan {
            None => None,
            Some(strip) => {
                let is_beside = strip.first_row <= sky.first_row && sky.last_row <= strip.last_row;
                let whole = if is_beside { 0.0 } else { level_of(rows, strip)? };
                Some((strip, whole))
            }
        };
        Ok(Some(Self { sky, overscan }))
    }

    /// What is taken off a row.
    fn level(&self, row: usize, raw: &[f32]) -> f32 {
        let Some((strip, whole)) = self.overscan else { return 0.0 };
        if !(strip.first_row - 1..strip.last_row).contains(&row) {
            return whole;
        }
        let beside = raw.get(strip.first_column - 1..strip.last_column).unwrap_or_default();
        median_in_place(&mut beside.to_vec()).unwrap_or(whole)
    }
}

/// Median of a strip; 0 without values.
fn level_of(rows: &ImageRows, strip: PixelSection) -> Result<f32, FitsError> {
    let columns = rows.dim().1;
    let mut line = vec![0.0; columns];
    let mut values = Vec::new();
    for row in strip.first_row - 1..strip.last_row {
        rows.read(row, &mut line).map_err(|what| rows.damaged(what))?;
        values.extend(line.get(strip.first_column - 1..strip.last_column).unwrap_or_default());
    }
    Ok(median_in_place(&mut values).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::super::sections;
    use super::*;

    /// Rows with sections cut are those of the whole frame cut, strip beside all rows or not, sky cut or not.
    #[test]
    fn rows_are_those_of_the_frame_cut_as_a_whole() {
        let raw = Image::from_shape_fn((9, 14), |(row, column)| {
            let light = if column >= 4 { 50.0 + column as f32 } else { 0.5 * column as f32 };
            300.0 + 2.0 * row as f32 + light
        });
        for (data, overscan) in [
            ("[5:14,1:9]", "[1:4,1:9]"),
            ("[5:14,2:8]", "[1:4,3:6]"),
            ("[5:14,2:8]", ""),
            ("", "[1:4,1:9]"),
            ("", ""),
            ("[5:99,1:9]", ""),
        ] {
            let camera = CameraTraits {
                data_section: PixelSection::parse(data),
                overscan_section: PixelSection::parse(overscan),
                ..CameraTraits::default()
            };
            let rows = ImageRows::from(raw.clone());
            let cut = Cut::of(&rows, &camera).unwrap();
            let frame = FramePixels { rows, cut };
            let (expected, _) = sections::cut(raw.clone(), None, &camera);
            assert_eq!(frame.image().unwrap(), expected, "{data} {overscan}");
            let mut part = vec![0.0; 2 * frame.dim().1];
            frame.read(3, &mut part).unwrap();
            assert!(part.iter().eq(expected.rows().into_iter().skip(3).take(2).flatten()));
            assert!(frame.read(frame.dim().0 - 1, &mut part).is_err());
        }
    }
}
