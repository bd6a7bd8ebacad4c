//! Contiguous views of the planes of an image and its background, row after row.

use std::{borrow::Cow, ops::Range};

use super::{
    CalibratedImage, background::Background, image::row_major, mask_bits, sky_map::SkyMap,
};

/// Mask bits of pixels that hold no light of the sky. Saturated pixels are kept: they are bright, if not exact.
pub(super) const UNUSABLE: u8 = mask_bits::BAD | mask_bits::NO_DATA | mask_bits::COSMIC;

/// The planes of one image and its background, all of one shape, each in row-major order whatever the layout of
/// the arrays behind it. Views where the arrays are row-major already, which is nearly always.
pub(super) struct Planes<'a> {
    pub height: usize,
    pub width: usize,
    data: Cow<'a, [f32]>,
    variance: Cow<'a, [f32]>,
    mask: Cow<'a, [u8]>,
    level: &'a SkyMap,
    noise: &'a SkyMap,
}

impl<'a> Planes<'a> {
    /// `None` when the planes differ in shape or have no pixels.
    pub fn new(image: &'a CalibratedImage, background: &'a Background) -> Option<Self> {
        let shape = image.data.dim();
        let same = image.variance.dim() == shape
            && image.mask.dim() == shape
            && background.level.dim() == shape
            && background.noise.dim() == shape;
        if !same || shape.0 == 0 || shape.1 == 0 {
            return None;
        }
        Some(Self {
            height: shape.0,
            width: shape.1,
            data: row_major(&image.data),
            variance: row_major(&image.variance),
            mask: row_major(&image.mask),
            level: &background.level,
            noise: &background.noise,
        })
    }

    fn row<T>(plane: &[T], row: usize, width: usize) -> &[T] {
        plane.get(row * width..(row + 1) * width).unwrap_or(&[])
    }

    /// Electrons, background included. Empty beyond the last row, as all of these.
    pub fn data_row(&self, row: usize) -> &[f32] {
        Self::row(&self.data, row, self.width)
    }

    pub fn variance_row(&self, row: usize) -> &[f32] {
        Self::row(&self.variance, row, self.width)
    }

    pub fn mask_row(&self, row: usize) -> &[u8] {
        Self::row(&self.mask, row, self.width)
    }

    /// Of the background, electrons; NaN off the image.
    pub fn level(&self, row: usize, column: usize) -> f32 {
        self.level.at(row, column)
    }

    /// As [`Self::level`].
    pub fn noise(&self, row: usize, column: usize) -> f32 {
        self.noise.at(row, column)
    }

    /// Level of the background at these columns of a row.
    pub fn fill_level(&self, row: usize, columns: Range<usize>, level: &mut [f32]) {
        self.level.fill(row, columns, level);
    }

    /// The same of its noise.
    pub fn fill_noise(&self, row: usize, columns: Range<usize>, noise: &mut [f32]) {
        self.noise.fill(row, columns, noise);
    }

    /// One pixel of the image; the caller keeps `row` and `column` inside it.
    pub fn pixel(&self, row: usize, column: usize) -> Pixel {
        self.pixel_above(row, column, self.level(row, column))
    }

    /// The same, above this level of the background.
    pub fn pixel_above(&self, row: usize, column: usize, level: f32) -> Pixel {
        let place = row * self.width + column;
        let mask = self.mask[place];
        let signal = f64::from(self.data[place]) - f64::from(level);
        let variance = f64::from(self.variance[place]);
        let usable = signal.is_finite() && mask & UNUSABLE == 0;
        Pixel {
            signal: if usable { signal } else { 0.0 },
            variance: if variance.is_finite() && variance > 0.0 {
                variance
            } else {
                let noise = f64::from(self.noise(row, column));
                if noise.is_finite() { noise * noise } else { 0.0 }
            },
            usable,
            // A value that is no number is missing data, whatever the mask says.
            mask: if signal.is_finite() { mask } else { mask | mask_bits::NO_DATA },
        }
    }

    /// Adds signal and variance of these columns of a row as they are; how many of them are unusable, marked, or of unknown variance,
    /// and must be looked at one by one ([`Self::pixel_above`]).
    pub fn plain_pixels(
        &self,
        row: usize,
        columns: Range<usize>,
        (level, marked): (&[f32], &[bool]),
        (signal, variance): (&mut Vec<f64>, &mut Vec<f64>),
    ) -> usize {
        let data = self.data_row(row).get(columns.clone()).unwrap_or_default();
        let noise = self.variance_row(row).get(columns.clone()).unwrap_or_default();
        let mask = self.mask_row(row).get(columns).unwrap_or_default();
        signal.extend(
            data.iter().zip(level).map(|(data, level)| f64::from(*data) - f64::from(*level)),
        );
        variance.extend(noise.iter().map(|variance| f64::from(*variance)));
        let pixels = data.iter().zip(level).zip(noise).zip(mask).zip(marked);
        pixels
            .map(|((((data, level), variance), mask), marked)| {
                let is_plain = ((data - level).abs() <= f32::MAX)
                    & (*variance > 0.0)
                    & (*variance <= f32::MAX)
                    & (mask & UNUSABLE == 0)
                    & !marked;
                usize::from(!is_plain)
            })
            .sum()
    }

    /// What stands for a pixel that is unusable or another source's in a sum about a centre (x, y): the pixel on the other side of it,
    /// as sources are nearly symmetric, if that is usable and `is_own`, else no light.
    pub fn mirrored(
        &self,
        pixel: Pixel,
        (row, column): (usize, usize),
        (x, y): (f64, f64),
        is_own: impl Fn(usize, usize) -> bool,
    ) -> Pixel {
        let (mirror_x, mirror_y) =
            ((2.0 * x).round() - column as f64, (2.0 * y).round() - row as f64);
        if self.contains(mirror_x, mirror_y) {
            let (row, column) = (mirror_y as usize, mirror_x as usize);
            let mirror = self.pixel(row, column);
            if mirror.usable && is_own(row, column) {
                return mirror;
            }
        }
        Pixel { signal: 0.0, usable: false, ..pixel }
    }

    /// Is the position on the image (pixel centres at integers)?
    pub fn contains(&self, x: f64, y: f64) -> bool {
        x >= -0.5 && y >= -0.5 && x < self.width as f64 - 0.5 && y < self.height as f64 - 0.5
    }

    /// Rows and columns, half-open, of the part of the image within `radius` of (`x`, `y`) on each axis.
    pub fn window(&self, x: f64, y: f64, radius: f64) -> (Range<usize>, Range<usize>) {
        (span(y, radius, self.height), span(x, radius, self.width))
    }
}

/// To which detection each pixel belongs. Empty: to none.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Of each row, by their columns once they are sorted.
    rows: Vec<Vec<Stretch>>,
    /// Whether the detection of each label, from 1, is still one.
    alive: Vec<bool>,
}

/// Neighbouring pixels of one row that belong to one detection, columns half-open.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    start: u32,
    end: u32,
    label: u32,
}

impl Owners {
    pub fn new(height: usize) -> Self {
        Self { rows: vec![Vec::new(); height], alive: vec![false] }
    }

    /// A new label.
    pub fn add(&mut self) -> u32 {
        self.alive.push(true);
        (self.alive.len() - 1) as u32
    }

    /// Gives a pixel that is nobody's to `label`.
    pub fn take(&mut self, row: usize, column: usize, label: u32) {
        let Some(stretches) = self.rows.get_mut(row) else { return };
        let column = column as u32;
        match stretches.last_mut().filter(|last| last.label == label && last.end == column) {
            Some(last) => last.end += 1,
            None => stretches.push(Stretch { start: column, end: column + 1, label }),
        }
    }

    /// Nothing is taken any more: only now it can be asked whose a pixel is.
    pub fn sort(&mut self) {
        for stretches in &mut self.rows {
            stretches.sort_unstable_by_key(|stretch| stretch.start);
        }
    }

    /// The pixels of `label` belong to none from now on.
    pub fn remove(&mut self, label: u32) {
        if let Some(alive) = self.alive.get_mut(label as usize) {
            *alive = false;
        }
    }

    /// Whether each of these columns of a row belongs to another detection than `label`.
    pub fn fill_foreign(
        &self,
        row: usize,
        columns: &Range<usize>,
        label: u32,
        foreign: &mut Vec<bool>,
    ) {
        foreign.clear();
        foreign.resize(columns.len(), false);
        let stretches = self.rows.get(row).map_or(&[][..], Vec::as_slice);
        let first = stretches.partition_point(|stretch| stretch.end as usize <= columns.start);
        for stretch in stretches.iter().skip(first) {
            let (start, end) = (stretch.start as usize, stretch.end as usize);
            if start >= columns.end {
                break;
            }
            if stretch.label != label && self.is_alive(stretch.label) {
                let start = start.max(columns.start) - columns.start;
                let end = end.min(columns.end) - columns.start;
                foreign.get_mut(start..end).unwrap_or_default().fill(true);
            }
        }
    }

    fn is_alive(&self, label: u32) -> bool {
        self.alive.get(label as usize).copied().unwrap_or(false)
    }

    pub fn is_foreign(&self, row: usize, column: usize, label: u32) -> bool {
        let stretches = self.rows.get(row).map_or(&[][..], Vec::as_slice);
        let place = stretches.partition_point(|stretch| stretch.end as usize <= column);
        stretches.get(place).is_some_and(|stretch| {
            stretch.start as usize <= column
                && stretch.label != label
                && self.is_alive(stretch.label)
        })
    }
}

/// Background-subtracted light of a pixel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixel {
    /// Electrons above the background; 0 where unusable.
    pub signal: f64,
    /// Electrons²; the noise of the background where the variance plane says nothing.
    pub variance: f64,
    pub usable: bool,
    pub mask: u8,
}

/// Pixels of 0..`length` that touch [centre − radius, centre + radius].
fn span(centre: f64, radius: f64, length: usize) -> Range<usize> {
    // Float-to-integer casts saturate, so that neither infinities nor NaN can leave the image.
    let first = ((centre - radius + 0.5).floor().max(0.0)) as usize;
    let last = ((centre + radius + 0.5).floor() + 1.0).max(0.0) as usize;
    let last = last.min(length);
    first.min(last)..last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_belong_to_those_who_took_them() {
        let mut owners = Owners::new(3);
        let (one, other) = (owners.add(), owners.add());
        // In the order of detections, not of columns.
        for column in 10..14 {
            owners.take(1, column, one);
        }
        for column in [3, 4, 14, 15] {
            owners.take(1, column, other);
        }
        owners.sort();
        let mut foreign = Vec::new();
        owners.fill_foreign(1, &(2..17), one, &mut foreign);
        let expected: Vec<bool> = (2..17).map(|x| [3, 4, 14, 15].contains(&x)).collect();
        assert_eq!(foreign, expected);
        for column in 0..20 {
            let is_ones = (10..14).contains(&column);
            assert_eq!(owners.is_foreign(1, column, other), is_ones, "{column}");
            assert!(!owners.is_foreign(0, column, one) && !owners.is_foreign(7, column, one));
        }
        owners.remove(one);
        assert!(!owners.is_foreign(1, 12, other));
        owners.fill_foreign(1, &(0..9), 0, &mut foreign);
        assert_eq!(foreign.iter().filter(|foreign| **foreign).count(), 2);
    }

    #[test]
    fn spans_stay_on_the_image() {
        assert_eq!(span(5.0, 2.0, 100), 3..8);
        assert_eq!(span(5.0, 2.4, 100), 3..8);
        assert_eq!(span(5.0, 2.6, 100), 2..9);
        assert_eq!(span(-10.0, 2.0, 100), 0..0);
        assert_eq!(span(99.0, 3.0, 100), 96..100);
        assert!(span(1e300, 3.0, 100).is_empty());
        assert_eq!(span(50.0, f64::INFINITY, 100), 0..100);
        assert!(span(f64::NAN, 3.0, 100).len() <= 100);
    }
}
