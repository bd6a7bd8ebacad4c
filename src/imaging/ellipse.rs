//! Ellipses on the pixel grid, with exact pixel overlap.

use std::ops::Range;

/// An ellipse: centre in pixels, semi-axes in pixels, major axis from x towards y in radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ellipse {
    x: f64,
    y: f64,
    semi_major: f64,
    semi_minor: f64,
    sin: f64,
    cos: f64,
}

impl Ellipse {
    /// `None` unless the axes are positive and finite.
    pub fn new(x: f64, y: f64, semi_major: f64, semi_minor: f64, theta: f64) -> Option<Self> {
        let is_axis = |axis: f64| axis > 0.0 && axis.is_finite();
        let (sin, cos) = theta.sin_cos();
        let is_place = x.is_finite() && y.is_finite() && sin.is_finite();
        (is_axis(semi_major) && is_axis(semi_minor) && is_place).then_some(Self {
            x,
            y,
            semi_major,
            semi_minor,
            sin,
            cos,
        })
    }

    /// The same ellipse with axes `factor` times as long.
    pub fn scaled(&self, factor: f64) -> Self {
        Self { semi_major: factor * self.semi_major, semi_minor: factor * self.semi_minor, ..*self }
    }

    /// A displacement from the centre in units of the semi-axes.
    fn normalised(&self, dx: f64, dy: f64) -> (f64, f64) {
        (
            (dx * self.cos + dy * self.sin) / self.semi_major,
            (dy * self.cos - dx * self.sin) / self.semi_minor,
        )
    }

    /// Distance of a pixel's centre from the ellipse's in units of the semi-axes: 1 on the ellipse.
    pub fn radius_of(&self, column: usize, row: usize) -> f64 {
        let (u, v) = self.normalised(column as f64 - self.x, row as f64 - self.y);
        (u * u + v * v).sqrt()
    }

    /// Half-width and half-height of the box about it, pixels.
    fn half_sides(&self) -> (f64, f64) {
        (
            (self.semi_major * self.cos).hypot(self.semi_minor * self.sin),
            (self.semi_major * self.sin).hypot(self.semi_minor * self.cos),
        )
    }

    /// Rows and columns, half-open, of the pixels of an image of `height` × `width` that it may touch.
    pub fn window(&self, height: usize, width: usize) -> (Range<usize>, Range<usize>) {
        let (across, up) = self.half_sides();
        (span(self.y, up, height), span(self.x, across, width))
    }

    /// Share of the pixel that lies inside, exact to about 1e-14: the ellipse becomes the unit circle and the pixel a parallelogram.
    pub fn overlap(&self, column: usize, row: usize) -> f64 {
        let (dx, dy) = (column as f64 - self.x, row as f64 - self.y);
        let (u, v) = self.normalised(dx, dy);
        let distance = (u * u + v * v).sqrt();
        let half_diagonal = std::f64::consts::FRAC_1_SQRT_2 / self.semi_minor.min(self.semi_major);
        if distance + half_diagonal <= 1.0 {
            return 1.0;
        }
        if distance - half_diagonal >= 1.0 {
            return 0.0;
        }
        let corner = |x: f64, y: f64| self.normalised(dx + x, dy + y);
        let corners = [corner(-0.5, -0.5), corner(0.5, -0.5), corner(0.5, 0.5), corner(-0.5, 0.5)];
        if corners.iter().all(|(u, v)| u * u + v * v <= 1.0) {
            return 1.0;
        }
        let area: f64 = (0..4).map(|side| sector(corners[side], corners[(side + 1) % 4])).sum();
        (area * self.semi_major * self.semi_minor).clamp(0.0, 1.0)
    }
}

/// Signed area that the triangle from the origin over the side from `start` to `end` shares with the unit circle.
fn sector(start: (f64, f64), end: (f64, f64)) -> f64 {
    let (dx, dy) = (end.0 - start.0, end.1 - start.1);
    let length_square = dx * dx + dy * dy;
    let half_slope = start.0 * dx + start.1 * dy;
    let discriminant =
        half_slope * half_slope - length_square * (start.0 * start.0 + start.1 * start.1 - 1.0);
    if discriminant <= 0.0 || length_square <= 0.0 {
        return wedge(start, end);
    }
    let root = discriminant.sqrt();
    let (enters, leaves) =
        ((-half_slope - root) / length_square, (root - half_slope) / length_square);
    if leaves <= 0.0 || enters >= 1.0 {
        return wedge(start, end);
    }
    let at = |share: f64| (start.0 + share * dx, start.1 + share * dy);
    let (inner_start, inner_end) = (at(enters.max(0.0)), at(leaves.min(1.0)));
    let mut area = 0.5 * cross(inner_start, inner_end);
    if enters > 0.0 {
        area += wedge(start, inner_start);
    }
    if leaves < 1.0 {
        area += wedge(inner_end, end);
    }
    area
}

/// Signed area of the slice of the unit circle between two directions.
fn wedge(start: (f64, f64), end: (f64, f64)) -> f64 {
    0.5 * cross(start, end).atan2(start.0 * end.0 + start.1 * end.1)
}

fn cross(one: (f64, f64), other: (f64, f64)) -> f64 {
    one.0 * other.1 - one.1 * other.0
}

/// Pixels of 0..`length` that touch [centre − reach, centre + reach].
fn span(centre: f64, reach: f64, length: usize) -> Range<usize> {
    // Float-to-integer casts saturate, so that neither infinities nor NaN can leave the image.
    let first = (centre - reach + 0.5).floor().max(0.0) as usize;
    let last = ((centre + reach + 0.5).floor() + 1.0).max(0.0) as usize;
    let last = last.min(length);
    first.min(last)..last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::aperture::pixel_overlap;
    use proptest::prelude::*;

    #[test]
    fn a_circle_is_the_circle_of_the_apertures() {
        for (x, y, radius) in [(10.3, 9.8, 3.7), (10.0, 10.0, 0.3), (9.5, 10.5, 6.0)] {
            let ellipse = Ellipse::new(x, y, radius, radius, 0.7).unwrap();
            for row in 0..21 {
                for column in 0..21 {
                    let expected = pixel_overlap(x, y, radius, column as i64, row as i64);
                    let found = ellipse.overlap(column, row);
                    assert!((found - expected).abs() < 1e-12, "{column} {row} {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn no_ellipse_without_axes() {
        assert_eq!(Ellipse::new(1.0, 1.0, 0.0, 1.0, 0.0), None);
        assert_eq!(Ellipse::new(1.0, 1.0, 1.0, f64::NAN, 0.0), None);
        assert_eq!(Ellipse::new(1.0, 1.0, 2.0, 1.0, f64::INFINITY), None);
        assert_eq!(Ellipse::new(f64::NAN, 1.0, 2.0, 1.0, 0.0), None);
    }

    proptest! {
        /// The overlaps add up to the area, and nothing lies outside of the window.
        #[test]
        fn overlaps_add_up_to_the_area(
            x in 28.0..32.0f64, y in 28.0..32.0f64,
            semi_major in 0.2..18.0f64, ratio in 0.05..1.0f64, theta in -4.0..4.0f64,
        ) {
            let ellipse = Ellipse::new(x, y, semi_major, ratio * semi_major, theta).unwrap();
            let area = std::f64::consts::PI * ratio * semi_major * semi_major;
            let (rows, columns) = ellipse.window(60, 60);
            let mut inside = 0.0;
            let mut everywhere = 0.0;
            for row in 0..60 {
                for column in 0..60 {
                    let overlap = ellipse.overlap(column, row);
                    everywhere += overlap;
                    if rows.contains(&row) && columns.contains(&column) {
                        inside += overlap;
                    }
                }
            }
            prop_assert!((inside / area - 1.0).abs() < 1e-9);
            prop_assert!((everywhere - inside).abs() < 1e-12);
        }
    }
}
