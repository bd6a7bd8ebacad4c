//! A value for every pixel that varies slowly: kept as the spline through its mesh, not as a plane.

use std::ops::Range;

use super::{Image, spline::MeshSpline};

/// Level or noise of the sky over an image.
#[derive(Debug, Clone, PartialEq)]
pub struct SkyMap(Form);

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Plane(Image),
    Mesh(MeshSpline),
}

impl From<Image> for SkyMap {
    fn from(plane: Image) -> Self {
        Self(Form::Plane(plane))
    }
}

impl From<MeshSpline> for SkyMap {
    fn from(spline: MeshSpline) -> Self {
        Self(Form::Mesh(spline))
    }
}

impl SkyMap {
    /// Rows, columns.
    pub fn dim(&self) -> (usize, usize) {
        match &self.0 {
            Form::Plane(plane) => plane.dim(),
            Form::Mesh(spline) => spline.dim(),
        }
    }

    /// The value at a pixel; NaN off the image.
    pub fn at(&self, row: usize, column: usize) -> f32 {
        match &self.0 {
            Form::Plane(plane) => plane.get((row, column)).copied().unwrap_or(f32::NAN),
            Form::Mesh(spline) => spline.at(row, column),
        }
    }

    /// The values of these columns of a row, as many as `values` has room for. What is off the image is left as it is.
    pub fn fill(&self, row: usize, columns: Range<usize>, values: &mut [f32]) {
        match &self.0 {
            Form::Plane(plane) => {
                let row = plane.rows().into_iter().nth(row);
                let pixels = row.into_iter().flatten().skip(columns.start).take(columns.len());
                values.iter_mut().zip(pixels).for_each(|(value, pixel)| *value = *pixel);
            }
            Form::Mesh(spline) => spline.fill(row, columns, values),
        }
    }

    /// All of it.
    pub fn to_plane(&self) -> Image {
        let (height, width) = self.dim();
        let mut plane = Image::zeros((height, width));
        self.each_row(&mut plane, |pixels, values| pixels.copy_from_slice(values));
        plane
    }

    /// Takes the values off an image of the same shape.
    pub fn subtract_from(&self, image: &mut Image) {
        self.each_row(image, |pixels, values| {
            pixels.iter_mut().zip(values).for_each(|(pixel, value)| *pixel -= value);
        });
    }

    fn each_row(&self, image: &mut Image, work: impl Fn(&mut [f32], &[f32]) + Sync) {
        let width = self.dim().1;
        if image.dim() != self.dim() || !image.is_standard_layout() {
            return;
        }
        let Some(pixels) = image.as_slice_mut() else { return };
        super::bands::of_plane(pixels, width, 1, |first_row, pixels| {
            let mut values = vec![0.0; width];
            for (offset, pixels) in pixels.chunks_mut(width.max(1)).enumerate() {
                self.fill(first_row + offset, 0..width, &mut values);
                work(pixels, &values);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pixel, a part of a row and the whole are the same values, of planes and of splines.
    #[test]
    fn all_ways_give_the_same_values() {
        let shape = (31, 47);
        let nodes: Vec<f64> = (0..20).map(|node| ((node * 37) % 11) as f64).collect();
        let spline = SkyMap::from(MeshSpline::new(&nodes, 4, 5, shape, f64::NEG_INFINITY));
        for map in [spline.clone(), SkyMap::from(spline.to_plane())] {
            let plane = map.to_plane();
            let mut part = [0.0; 9];
            for row in 0..shape.0 {
                map.fill(row, 17..26, &mut part);
                for (column, value) in (17..26).zip(part) {
                    assert_eq!(value, plane[(row, column)]);
                    assert_eq!(value, map.at(row, column));
                }
            }
            assert!(map.at(31, 0).is_nan() && map.at(0, 47).is_nan());
            let mut nothing = plane.clone();
            map.subtract_from(&mut nothing);
            assert!(nothing.iter().all(|value| *value == 0.0));
        }
    }
}
