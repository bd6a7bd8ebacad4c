//! Contiguous views of the planes of an image and its background, row after row.

use std::borrow::Cow;

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

    /// Level and noise of the background along a row.
    pub fn fill_sky(&self, row: usize, level: &mut [f32], noise: &mut [f32]) {
        self.level.fill(row, 0..self.width, level);
        self.noise.fill(row, 0..self.width, noise);
    }

    /// One pixel of the image; the caller keeps `row` and `column` inside it.
    pub fn pixel(&self, row: usize, column: usize) -> Pixel {
        let place = row * self.width + column;
        let mask = self.mask[place];
        let signal = f64::from(self.data[place]) - f64::from(self.level(row, column));
        let noise = f64::from(self.noise(row, column));
        let variance = f64::from(self.variance[place]);
        let usable = signal.is_finite() && mask & UNUSABLE == 0;
        Pixel {
            signal: if usable { signal } else { 0.0 },
            variance: if variance.is_finite() && variance > 0.0 {
                variance
            } else if noise.is_finite() {
                noise * noise
            } else {
                0.0
            },
            usable,
            // A value that is no number is missing data, whatever the mask says.
            mask: if signal.is_finite() { mask } else { mask | mask_bits::NO_DATA },
        }
    }

    /// Light of a pixel for a sum about (`x`, `y`) over source `label`. Where it is unusable or another source's, that of the
    /// pixel on the other side of the centre, as sources are nearly symmetric; none where that will not do either.
    pub fn own_light(
        &self,
        row: usize,
        column: usize,
        x: f64,
        y: f64,
        owners: &Owners,
        label: u32,
    ) -> Pixel {
        let pixel = self.pixel(row, column);
        if pixel.usable && !owners.is_foreign(row, column, label) {
            return pixel;
        }
        let (mirror_x, mirror_y) =
            ((2.0 * x).round() - column as f64, (2.0 * y).round() - row as f64);
        if self.contains(mirror_x, mirror_y) {
            let (row, column) = (mirror_y as usize, mirror_x as usize);
            let mirror = self.pixel(row, column);
            if mirror.usable && !owners.is_foreign(row, column, label) {
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
    pub fn window(
        &self,
        x: f64,
        y: f64,
        radius: f64,
    ) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        (span(y, radius, self.height), span(x, radius, self.width))
    }
}

/// To which detection each pixel belongs. Empty: to none.
#[derive(Debug, Default)]
pub(super) struct Owners {
    width: usize,
    /// Label of each pixel, row-major; 0 for none.
    labels: Vec<u32>,
    /// Whether the detection of each label, from 1, is still one.
    alive: Vec<bool>,
}

impl Owners {
    pub fn new(height: usize, width: usize) -> Self {
        // Zeroed memory is not touched until written to: the cost is that of the pixels of sources.
        Self { width, labels: vec![0; height * width], alive: vec![false] }
    }

    /// A new label.
    pub fn add(&mut self) -> u32 {
        self.alive.push(true);
        (self.alive.len() - 1) as u32
    }

    pub fn take(&mut self, row: usize, column: usize, label: u32) {
        if let Some(owner) = self.labels.get_mut(row * self.width + column) {
            *owner = label;
        }
    }

    /// The pixels of `label` belong to none from now on.
    pub fn remove(&mut self, label: u32) {
        if let Some(alive) = self.alive.get_mut(label as usize) {
            *alive = false;
        }
    }

    /// Labels of the pixels of a row; empty where no pixel is anybody's.
    pub fn row(&self, row: usize) -> &[u32] {
        self.labels.get(row * self.width..(row + 1) * self.width).unwrap_or(&[])
    }

    /// Is there such a detection? There is none of label 0.
    pub fn is_alive(&self, label: u32) -> bool {
        self.alive.get(label as usize).copied().unwrap_or(false)
    }

    fn is_foreign(&self, row: usize, column: usize, label: u32) -> bool {
        let owner = self.labels.get(row * self.width + column).copied().unwrap_or(0);
        owner != label && self.is_alive(owner)
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
fn span(centre: f64, radius: f64, length: usize) -> std::ops::Range<usize> {
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
