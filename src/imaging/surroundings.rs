//! The pixels about one source, with what belongs to others replaced: cut out once, measured many times.

use std::ops::Range;

use super::{
    ellipse::Ellipse,
    planes::{Owners, Planes},
};

/// Light and variance about a source. What is unusable or another source's is replaced by the pixel on the other side of the source's
/// centre, as sources are nearly symmetric, and is dark where that will not do either.
pub(super) struct Surroundings<'a> {
    planes: &'a Planes<'a>,
    owners: &'a Owners,
    label: u32,
    x: f64,
    y: f64,
    rows: Range<usize>,
    columns: Range<usize>,
    /// Electrons above the background, and electrons², of the pixels of `rows` and `columns`.
    signal: Vec<f64>,
    variance: Vec<f64>,
}

impl<'a> Surroundings<'a> {
    /// About the source `label` at (`x`, `y`).
    pub fn new(planes: &'a Planes<'a>, owners: &'a Owners, label: u32, x: f64, y: f64) -> Self {
        let (signal, variance) = (Vec::new(), Vec::new());
        Self { planes, owners, label, x, y, rows: 0..0, columns: 0..0, signal, variance }
    }

    /// Centre of the source, pixels.
    pub fn centre(&self) -> (f64, f64) {
        (self.x, self.y)
    }

    /// Is the position on the image?
    pub fn contains(&self, x: f64, y: f64) -> bool {
        self.planes.contains(x, y)
    }

    /// Rows and columns of the image within `radius` of (`x`, `y`) on each axis, made ready to be read.
    pub fn window(&mut self, x: f64, y: f64, radius: f64) -> (Range<usize>, Range<usize>) {
        let (rows, columns) = self.planes.window(x, y, radius);
        self.cover(&rows, &columns);
        (rows, columns)
    }

    /// Rows and columns of the image that an ellipse may touch, made ready to be read.
    pub fn window_of(&mut self, ellipse: &Ellipse) -> (Range<usize>, Range<usize>) {
        let (rows, columns) = ellipse.window(self.planes.height, self.planes.width);
        self.cover(&rows, &columns);
        (rows, columns)
    }

    fn cover(&mut self, rows: &Range<usize>, columns: &Range<usize>) {
        let is_within = |inner: &Range<usize>, outer: &Range<usize>| {
            inner.is_empty() || (inner.start >= outer.start && inner.end <= outer.end)
        };
        if is_within(rows, &self.rows) && is_within(columns, &self.columns) {
            return;
        }
        let joined = |one: &Range<usize>, other: &Range<usize>| match one.is_empty() {
            true => other.clone(),
            false => one.start.min(other.start)..one.end.max(other.end),
        };
        self.rows = joined(&self.rows, rows);
        self.columns = joined(&self.columns, columns);
        self.cut();
    }

    fn cut(&mut self) {
        let count = self.rows.len() * self.columns.len();
        self.signal.clear();
        self.signal.reserve(count);
        self.variance.clear();
        self.variance.reserve(count);
        let mut level = vec![0.0; self.columns.len()];
        let mut foreign = Vec::new();
        for row in self.rows.clone() {
            self.planes.fill_level(row, self.columns.clone(), &mut level);
            self.owners.fill_foreign(row, &self.columns, self.label, &mut foreign);
            let first = self.signal.len();
            let slow = self.planes.plain_pixels(
                row,
                self.columns.clone(),
                (&level, &foreign),
                (&mut self.signal, &mut self.variance),
            );
            if slow == 0 {
                continue;
            }
            let pixels = self.columns.clone().zip(&level).zip(&foreign);
            let places = self.signal.iter_mut().zip(&mut self.variance).skip(first);
            for (((column, &level), &is_foreign), (signal, variance)) in pixels.zip(places) {
                let mut pixel = self.planes.pixel_above(row, column, level);
                if is_foreign || !pixel.usable {
                    pixel = self.planes.mirrored(
                        pixel,
                        (row, column),
                        (self.x, self.y),
                        |row, column| !self.owners.is_foreign(row, column, self.label),
                    );
                }
                (*signal, *variance) = (pixel.signal, pixel.variance);
            }
        }
    }

    /// Electrons and electrons² of the pixels of a row of the last window.
    pub fn row(&self, row: usize, columns: &Range<usize>) -> (&[f64], &[f64]) {
        let width = self.columns.len();
        let first = row.wrapping_sub(self.rows.start).wrapping_mul(width);
        let start = first.wrapping_add(columns.start.wrapping_sub(self.columns.start));
        let place = start..start.wrapping_add(columns.len());
        match (self.signal.get(place.clone()), self.variance.get(place)) {
            (Some(signal), Some(variance)) => (signal, variance),
            _ => (&[], &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{CalibratedImage, Image, Mask, background::Background, mask_bits};

    fn ramp() -> (CalibratedImage, Background) {
        let shape = (20, 30);
        let image = CalibratedImage {
            data: Image::from_shape_fn(shape, |(y, x)| (100 * y + x) as f32),
            variance: Image::from_shape_fn(shape, |(y, x)| (1 + x + y) as f32),
            mask: Mask::zeros(shape),
        };
        let background = Background {
            level: Image::zeros(shape).into(),
            noise: Image::ones(shape).into(),
            global_level: 0.0,
            global_noise: 1.0,
        };
        (image, background)
    }

    #[test]
    fn windows_grow_and_hold_the_pixels_of_the_image() {
        let (image, background) = ramp();
        let planes = Planes::new(&image, &background).unwrap();
        let owners = Owners::default();
        let mut surroundings = Surroundings::new(&planes, &owners, 0, 12.0, 8.0);
        for (x, y, radius) in
            [(12.0, 8.0, 2.0), (13.0, 8.5, 3.0), (11.0, 7.0, 1.0), (2.0, 1.0, 9.0)]
        {
            let (rows, columns) = surroundings.window(x, y, radius);
            for row in rows {
                let (signal, variance) = surroundings.row(row, &columns);
                assert_eq!(signal.len(), columns.len());
                for ((column, signal), variance) in columns.clone().zip(signal).zip(variance) {
                    assert_eq!(*signal, (100 * row + column) as f64);
                    assert_eq!(*variance, (1 + row + column) as f64);
                }
            }
        }
        assert!(surroundings.row(19, &(25..30)).0.is_empty());
    }

    #[test]
    fn what_is_not_its_own_comes_from_the_other_side() {
        let (mut image, background) = ramp();
        image.mask[[8, 14]] = mask_bits::BAD;
        let planes = Planes::new(&image, &background).unwrap();
        let mut owners = Owners::new(20);
        let (own, other) = (owners.add(), owners.add());
        owners.take(8, 12, own);
        owners.take(9, 12, other);
        owners.take(5, 12, other);
        owners.take(11, 12, other);
        owners.sort();
        let mut surroundings = Surroundings::new(&planes, &owners, own, 12.0, 8.0);
        let (rows, columns) = surroundings.window(12.0, 8.0, 4.0);
        let light = |row: usize, column: usize| {
            assert!(rows.contains(&row));
            let (signal, _) = surroundings.row(row, &columns);
            signal[column - columns.start]
        };
        assert_eq!(light(8, 14), 810.0);
        assert_eq!(light(9, 12), 712.0);
        // The other side is not its own either.
        assert_eq!(light(5, 12), 0.0);
        assert_eq!(light(8, 12), 812.0);
    }
}
