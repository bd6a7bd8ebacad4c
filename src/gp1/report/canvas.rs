//! A grey picture with lines, circles and letters: dark on light, as finding charts are printed.

use super::glyphs;
use crate::imaging::north_up::{AsinhStretch, SkyPicture};
use image::{ExtendedColorType, ImageEncoder, ImageError, codecs::png::PngEncoder};

pub const BLACK: u8 = 0;
pub const WHITE: u8 = 255;
/// What no image covers is hatched: line and ground.
const MISSING: (u8, u8) = (150, 235);
/// Distance of the lines, pixels.
const HATCH_PIXELS: usize = 6;
/// The largest side, pixels: a bound on memory.
const LARGEST_SIDE: usize = 4096;

/// Pixels in rows from the top, 0 black to 255 white.
#[derive(Debug, Clone, PartialEq)]
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// A white one; sides of 4096 pixels at most.
    pub fn new(width: usize, height: usize) -> Self {
        let (width, height) = (width.min(LARGEST_SIDE), height.min(LARGEST_SIDE));
        Self { width, height, pixels: vec![WHITE; width * height] }
    }

    #[cfg(test)]
    pub fn dim(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Sets a pixel; places outside are passed over.
    pub fn set(&mut self, x: i64, y: i64, grey: u8) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x < self.width
            && y < self.height
            && let Some(pixel) = self.pixels.get_mut(y * self.width + x)
        {
            *pixel = grey;
        }
    }

    #[cfg(test)]
    pub fn at(&self, x: usize, y: usize) -> Option<u8> {
        (x < self.width).then(|| self.pixels.get(y * self.width + x).copied())?
    }

    fn disk(&mut self, x: f64, y: f64, radius: f64, grey: u8) {
        let reach = radius.ceil() as i64;
        let (column, row) = (x.round() as i64, y.round() as i64);
        for down in -reach..=reach {
            for right in -reach..=reach {
                if (down as f64).hypot(right as f64) <= radius {
                    self.set(column.saturating_add(right), row.saturating_add(down), grey);
                }
            }
        }
    }

    /// Draws along places, first a light edge, then the dark line, so that it is seen on any ground.
    fn stroke(&mut self, places: impl Iterator<Item = (f64, f64)> + Clone) {
        for (x, y) in places.clone() {
            self.disk(x, y, 1.5, WHITE);
        }
        for (x, y) in places {
            self.set(x.round() as i64, y.round() as i64, BLACK);
        }
    }

    /// A line with a light edge. Places that are not finite, or far outside, draw nothing.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64)) {
        let farthest = 2.0 * LARGEST_SIDE as f64;
        if ![from.0, from.1, to.0, to.1].iter().all(|value| value.abs() < farthest) {
            return;
        }
        let (across, down) = (to.0 - from.0, to.1 - from.1);
        let steps = across.abs().max(down.abs()).ceil().max(1.0);
        self.stroke((0..=steps as usize).map(move |step| {
            let share = step as f64 / steps;
            (from.0 + share * across, from.1 + share * down)
        }));
    }

    /// An arrow: a line with two short ones at its end.
    pub fn arrow(&mut self, from: (f64, f64), to: (f64, f64)) {
        let (across, down) = (to.0 - from.0, to.1 - from.1);
        let length = across.hypot(down);
        if length.is_nan() || length < 1.0 {
            return;
        }
        let (along_x, along_y) = (across / length, down / length);
        let head = (length / 3.0).min(8.0);
        for side in [-0.45, 0.45] {
            let barb = (
                to.0 - head * (along_x - side * along_y),
                to.1 - head * (along_y + side * along_x),
            );
            self.line(to, barb);
        }
        self.line(from, to);
    }

    /// A circle with a light edge; with `dashes` it is broken, every other stretch of so many degrees left out.
    pub fn circle(&mut self, centre: (f64, f64), radius: f64, dashes: Option<f64>) {
        let is_drawable = radius > 0.0
            && radius < 4.0 * LARGEST_SIDE as f64
            && centre.0.abs() < 4.0 * LARGEST_SIDE as f64
            && centre.1.abs() < 4.0 * LARGEST_SIDE as f64;
        if !is_drawable {
            return;
        }
        let steps = (radius * std::f64::consts::TAU * 1.3).ceil() as usize;
        self.stroke((0..steps).filter_map(move |step| {
            let angle = step as f64 / steps as f64 * 360.0;
            let is_gap = dashes.is_some_and(|degrees| (angle / degrees) as i64 % 2 == 1);
            let (sin, cos) = angle.to_radians().sin_cos();
            (!is_gap).then_some((centre.0 + radius * cos, centre.1 + radius * sin))
        }));
    }

    /// Two short lines that point at a place from the right and from below, or from above with `downwards` −1, and leave `clear` pixels
    /// about it free.
    pub fn reticle(&mut self, (x, y): (f64, f64), clear: f64, length: f64, downwards: f64) {
        self.line((x + clear, y), (x + clear + length, y));
        self.line((x, y + downwards * clear), (x, y + downwards * (clear + length)));
    }

    /// Writes a text with its upper left corner at a place, `size` pixels for each of a letter; with a light edge.
    pub fn text(&mut self, (left, top): (f64, f64), size: usize, text: &str) {
        let farthest = 2.0 * LARGEST_SIDE as f64;
        if ![left, top].iter().all(|value| value.abs() < farthest) {
            return;
        }
        let (left, top) = (left.round() as i64, top.round() as i64);
        let size = size.clamp(1, 16) as i64;
        let mut dots = Vec::new();
        for (index, letter) in text.chars().enumerate() {
            let start = left + index as i64 * (glyphs::WIDTH as i64 + 1) * size;
            for (row, bits) in glyphs::rows(letter).into_iter().enumerate() {
                for column in 0..glyphs::WIDTH {
                    if bits >> (glyphs::WIDTH - 1 - column) & 1 == 1 {
                        dots.push((start + column as i64 * size, top + row as i64 * size));
                    }
                }
            }
        }
        for &(x, y) in &dots {
            for down in -1..=size {
                for right in -1..=size {
                    self.set(x + right, y + down, WHITE);
                }
            }
        }
        for &(x, y) in &dots {
            for down in 0..size {
                for right in 0..size {
                    self.set(x + right, y + down, BLACK);
                }
            }
        }
    }

    /// Width of a text, pixels.
    pub fn text_width(text: &str, size: usize) -> f64 {
        (text.chars().count() * (glyphs::WIDTH + 1) * size) as f64
    }

    /// Draws a piece of the sky with its upper left corner at (`left`, `top`), each of its pixels `zoom` wide: light is dark. `sky` is taken
    /// off and the rest multiplied by `scale` before the stretch.
    pub fn sky(
        &mut self,
        (left, top): (usize, usize),
        picture: &SkyPicture,
        zoom: usize,
        (sky, scale): (f64, f64),
        stretch: AsinhStretch,
    ) {
        for ((row, column), value) in picture.pixels.indexed_iter() {
            let value = f64::from(*value);
            let share = stretch.share((value - sky) * scale);
            let grey = (255.0 * (1.0 - share)).round() as u8;
            for down in 0..zoom {
                for right in 0..zoom {
                    let (x, y) = (left + column * zoom + right, top + row * zoom + down);
                    let grey = match value.is_finite() {
                        true => grey,
                        false if (x + y).is_multiple_of(HATCH_PIXELS) => MISSING.0,
                        false => MISSING.1,
                    };
                    self.set(x as i64, y as i64, grey);
                }
            }
        }
    }

    /// As a PNG of eight bits of grey.
    ///
    /// # Errors
    /// A side that is no 32-bit number, which [`Self::new`] excludes, or an empty picture.
    pub fn png(&self) -> Result<Vec<u8>, ImageError> {
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(
            &self.pixels,
            side(self.width),
            side(self.height),
            ExtendedColorType::L8,
        )?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_leave_the_place_they_mark_free() {
        let mut canvas = Canvas::new(41, 41);
        canvas.reticle((20.0, 20.0), 6.0, 8.0, 1.0);
        assert_eq!(canvas.at(20, 20), Some(WHITE));
        assert_eq!(canvas.at(25, 20), Some(WHITE));
        assert_eq!(canvas.at(28, 20), Some(BLACK));
        assert_eq!(canvas.at(20, 30), Some(BLACK));
        assert_eq!(canvas.at(12, 20), Some(WHITE));
        assert_eq!(canvas.at(41, 0), None);
    }

    #[test]
    fn nothing_draws_outside_or_without_end() {
        let mut canvas = Canvas::new(9, 9);
        for bad in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
            canvas.line((bad, 0.0), (3.0, bad));
            canvas.circle((bad, 2.0), 3.0, None);
            canvas.circle((2.0, 2.0), bad, Some(5.0));
            canvas.arrow((bad, 0.0), (0.0, 0.0));
            canvas.text((bad, bad), 2, "N");
            canvas.reticle((bad, bad), 1.0, 2.0, 1.0);
        }
        canvas.circle((4.0, 4.0), 300.0, None);
        canvas.line((-50.0, 4.0), (50.0, 4.0));
        assert_eq!(canvas.at(4, 4), Some(BLACK));
        let png = canvas.png().unwrap();
        assert!(png.starts_with(&[0x89, b'P', b'N', b'G']));
        let read = image::load_from_memory(&png).unwrap().to_luma8();
        assert_eq!(read.dimensions(), (9, 9));
        assert_eq!(read.get_pixel(4, 4).0, [BLACK]);
    }

    #[test]
    fn letters_are_read_from_left_to_right() {
        let mut canvas = Canvas::new(30, 12);
        canvas.text((2.0, 2.0), 1, "L.");
        assert_eq!(canvas.at(2, 2), Some(BLACK));
        assert_eq!(canvas.at(6, 8), Some(BLACK));
        assert_eq!(canvas.at(6, 2), Some(WHITE));
        assert_eq!(canvas.at(9, 8), Some(BLACK));
        assert_eq!(Canvas::text_width("L.", 2), 24.0);
    }
}
