//! Pixels for the eye: stretched 8-bit cut-outs.

use ndarray::Array2;

use super::{Image, statistics::median_and_deviation};

/// The largest cut-out drawn, pixels on a side: a bound on memory.
const LARGEST_CUTOUT: usize = 4096;

/// A square cut-out of `size` pixels about (`x`, `y`), stretched by asinh between the local sky − 2σ and the brightest
/// pixel (or sky + 30σ), 0–255, first row at the bottom turned to the top of the picture. Missing pixels are 0.
///
/// Sky and σ are the median and the robust deviation of the cut-out itself. `size` is bounded by 4096; a position
/// that is not finite gives an empty (black) picture.
pub fn cutout(image: &Image, x: f64, y: f64, size: usize) -> Array2<u8> {
    let size = size.min(LARGEST_CUTOUT);
    let mut picture = Array2::zeros((size, size));
    if !(x.is_finite() && y.is_finite()) {
        return picture;
    }
    let (height, width) = image.dim();
    let half = size as i64 / 2;
    let first_column = (x.round() as i64).saturating_sub(half);
    let first_row = (y.round() as i64).saturating_sub(half);
    let value = |row: usize, column: usize| -> Option<f64> {
        let row = usize::try_from(first_row.saturating_add(row as i64)).ok()?;
        let column = usize::try_from(first_column.saturating_add(column as i64)).ok()?;
        if row >= height || column >= width {
            return None;
        }
        image.get((row, column)).map(|&value| f64::from(value)).filter(|value| value.is_finite())
    };
    let present: Vec<f64> = (0..size)
        .flat_map(|row| (0..size).map(move |column| (row, column)))
        .filter_map(|(row, column)| value(row, column))
        .collect();
    let Some((sky, sigma)) = median_and_deviation(&present) else {
        return picture;
    };
    let brightest = present.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // A flat picture has no deviation; any unit then gives the same grey.
    let unit = if sigma > 0.0 { sigma } else { ((brightest - sky) / 30.0).max(f64::MIN_POSITIVE) };
    let lowest = sky - 2.0 * unit;
    let highest = brightest.max(sky + 30.0 * unit);
    let stretch = |value: f64| ((value - lowest) / unit).asinh();
    let scale = 255.0 / stretch(highest);
    for row in 0..size {
        for column in 0..size {
            if let Some(value) = value(row, column) {
                let grey = (stretch(value) * scale).round().clamp(0.0, 255.0);
                picture[[size - 1 - row, column]] = grey as u8;
            }
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn black(size: usize) -> Array2<u8> {
        Array2::zeros((size, size))
    }

    fn field() -> Image {
        Image::from_shape_fn((20, 30), |(row, column)| {
            100.0
                + ((row * 7 + column * 13) % 5) as f32
                + if (row, column) == (12, 17) { 5000.0 } else { 0.0 }
        })
    }

    #[test]
    fn the_source_is_white_and_the_picture_upright() {
        let picture = cutout(&field(), 17.0, 12.0, 9);
        assert_eq!(picture[[4, 4]], 255);
        let moved = cutout(&field(), 17.0, 10.0, 9);
        assert_eq!(moved[[2, 4]], 255, "larger y is nearer to the top");
        let sky = picture[[0, 0]];
        assert!((10..120).contains(&sky), "sky is dark grey, not black: {sky}");
    }

    #[test]
    fn what_is_missing_is_black() {
        let mut image = field();
        image[[12, 16]] = f32::NAN;
        let picture = cutout(&image, 17.0, 12.0, 9);
        assert_eq!(picture[[4, 3]], 0);
        let corner = cutout(&field(), 0.0, 0.0, 8);
        assert_eq!(corner[[7, 0]], 0, "left of and below the image");
        assert!(corner[[3, 4]] > 0, "the corner pixel itself");
    }

    #[test]
    fn nothing_trips_it() {
        assert_eq!(cutout(&field(), f64::NAN, 3.0, 5), black(5));
        assert_eq!(cutout(&field(), 1e300, -1e300, 5), black(5));
        assert_eq!(cutout(&field(), 3.0, 3.0, 0).dim(), (0, 0));
        assert_eq!(cutout(&Image::zeros((0, 0)), 0.0, 0.0, 3), black(3));
        assert_eq!(cutout(&Image::from_elem((4, 4), f32::NAN), 1.0, 1.0, 3), black(3));
        let flat = cutout(&Image::from_elem((9, 9), 7.0), 4.0, 4.0, 3);
        assert!(flat.iter().all(|&grey| grey == flat[[0, 0]]));
    }
}
