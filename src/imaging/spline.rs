//! Bicubic splines through the nodes of a regular mesh.

use std::ops::Range;

use super::{bands, widest::widest};

/// Second derivatives at the nodes of the natural cubic spline through equidistant `values` (unit spacing):
/// d₍ᵢ₋₁₎ + 4dᵢ + d₍ᵢ₊₁₎ = 6(v₍ᵢ₋₁₎ − 2vᵢ + v₍ᵢ₊₁₎), zero at both ends.
fn second_derivatives(values: &[f64], scratch: &mut Vec<f64>, derivatives: &mut Vec<f64>) {
    let count = values.len();
    derivatives.clear();
    derivatives.resize(count, 0.0);
    scratch.clear();
    scratch.resize(count, 0.0);
    for node in 1..count.saturating_sub(1) {
        let pivot = 4.0 + scratch[node - 1];
        scratch[node] = -1.0 / pivot;
        let right = 6.0 * (values[node - 1] - 2.0 * values[node] + values[node + 1]);
        derivatives[node] = (right - derivatives[node - 1]) / pivot;
    }
    for node in (1..count.saturating_sub(1)).rev() {
        derivatives[node] += scratch[node] * derivatives[node + 1];
    }
}

/// Position on the mesh: the interval's first node and the distance from it. The outermost intervals reach beyond
/// the outermost nodes.
fn interval(position: f64, nodes: usize) -> (usize, f64) {
    let last = nodes.saturating_sub(2);
    let node = (position.floor().max(0.0) as usize).min(last);
    (node, position - node as f64)
}

/// The spline through the nodes of a mesh over an image, ready to be evaluated at any pixel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MeshSpline {
    /// Rows, columns of the image.
    shape: (usize, usize),
    /// Between two nodes along a row, from left to right.
    intervals: Vec<Interval>,
    /// Number of the interval of each column.
    interval_of: Vec<u32>,
    /// Mesh intervals for each pixel.
    step: f32,
    /// Of each row of the image, for each interval: the cubic in powers of the distance from the interval's first node.
    cubics: Vec<[f32; 4]>,
    floor: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Interval {
    /// Columns, half-open.
    start: usize,
    end: usize,
    /// Position of the first column, from the interval's first node, in intervals.
    origin: f32,
}

impl Interval {
    fn position(&self, column: usize, step: f32) -> f32 {
        self.origin + (column - self.start) as f32 * step
    }
}

#[inline(always)]
fn cubic([constant, linear, square, cube]: [f32; 4], t: f32) -> f32 {
    constant + t * (linear + t * (square + t * cube))
}

impl MeshSpline {
    /// Through `nodes` (`rows` × `columns`, row-major), node (i, j) lying at the centre of cell (i, j) of equal cells that tile an
    /// image of `shape` (rows, columns). Values below `floor` are raised to it.
    pub fn new(
        nodes: &[f64],
        rows: usize,
        columns: usize,
        shape: (usize, usize),
        floor: f64,
    ) -> Self {
        let (height, width) = shape;
        let (mut scratch, mut derivatives) = (Vec::new(), Vec::new());
        // Second derivatives along y, column by column of the mesh.
        let mut vertical = vec![0.0; rows * columns];
        let mut column_values = vec![0.0; rows];
        for column in 0..columns {
            for row in 0..rows {
                column_values[row] = nodes[row * columns + column];
            }
            second_derivatives(&column_values, &mut scratch, &mut derivatives);
            for row in 0..rows {
                vertical[row * columns + column] = derivatives[row];
            }
        }
        let pixels_to_mesh_y = rows as f64 / height.max(1) as f64;
        let pixels_to_mesh_x = columns as f64 / width.max(1) as f64;
        let intervals = intervals(columns, width, pixels_to_mesh_x);
        let mut interval_of = vec![0; width];
        for (number, interval) in (0..).zip(&intervals) {
            interval_of[interval.start..interval.end].fill(number);
        }
        let per_row = intervals.len();
        let mut cubics = vec![[0.0_f32; 4]; height * per_row];
        let pixels_per_cubic = width.div_ceil(per_row.max(1));
        bands::of_plane(&mut cubics, per_row, pixels_per_cubic, |first_row, cubics| {
            let mut line = vec![0.0; columns];
            let (mut scratch, mut derivatives) = (Vec::new(), Vec::new());
            for (offset, output) in cubics.chunks_mut(per_row.max(1)).enumerate() {
                let y = first_row + offset;
                if rows > 1 {
                    let (row, t) = interval((y as f64 + 0.5) * pixels_to_mesh_y - 0.5, rows);
                    let s = 1.0 - t;
                    let (below, above) = ((s * s * s - s) / 6.0, (t * t * t - t) / 6.0);
                    for (column, value) in line.iter_mut().enumerate() {
                        let node = row * columns + column;
                        *value = s * nodes[node]
                            + t * nodes[node + columns]
                            + below * vertical[node]
                            + above * vertical[node + columns];
                    }
                } else {
                    line.copy_from_slice(nodes);
                }
                if columns == 1 {
                    output.fill([line[0] as f32, 0.0, 0.0, 0.0]);
                    continue;
                }
                second_derivatives(&line, &mut scratch, &mut derivatives);
                for (column, output) in output.iter_mut().enumerate() {
                    let (d0, d1) = (derivatives[column], derivatives[column + 1]);
                    let linear = line[column + 1] - line[column] - (2.0 * d0 + d1) / 6.0;
                    let powers = [line[column], linear, d0 / 2.0, (d1 - d0) / 6.0];
                    *output = powers.map(|power| power as f32);
                }
            }
        });
        let (step, floor) = (pixels_to_mesh_x as f32, floor as f32);
        Self { shape, intervals, interval_of, step, cubics, floor }
    }

    /// Rows, columns.
    pub fn dim(&self) -> (usize, usize) {
        self.shape
    }

    /// The value at a pixel; NaN off the image.
    pub fn at(&self, row: usize, column: usize) -> f32 {
        let found = || {
            let number = *self.interval_of.get(column)? as usize;
            let interval = self.intervals.get(number)?;
            let powers = self.cubics.get(row * self.intervals.len() + number)?;
            Some(cubic(*powers, interval.position(column, self.step)).max(self.floor))
        };
        found().unwrap_or(f32::NAN)
    }

    /// The values of these columns of a row, as many as `values` has room for.
    pub fn fill(&self, row: usize, columns: Range<usize>, values: &mut [f32]) {
        fill_row(self, row, columns, values);
    }
}

widest! {
/// Evaluates these columns of a row, as many as `values` has room for.
fn fill_row<'a>(
    spline: &'a MeshSpline,
    row: usize,
    columns: Range<usize>,
    values: &'a mut [f32],
) -> () {
    let per_row = spline.intervals.len();
    let cubics = spline.cubics.get(row * per_row..(row + 1) * per_row).unwrap_or(&[]);
    let first =
        spline.interval_of.get(columns.start).map_or(per_row, |&number| number as usize);
    let mut rest = values;
    for (interval, powers) in spline.intervals.iter().zip(cubics).skip(first) {
        let start = interval.start.max(columns.start);
        let end = interval.end.min(columns.end);
        if start >= end || rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at_mut((end - start).min(rest.len()));
        let from_start = start - interval.start;
        for (place, value) in now.iter_mut().enumerate() {
            let t = interval.origin + (from_start + place) as i32 as f32 * spline.step;
            *value = cubic(*powers, t).max(spline.floor);
        }
        rest = later;
    }
}
}

/// The intervals of a row of `width` pixels between the nodes of `columns` cells: up to the next node, or to the edge of the image.
fn intervals(columns: usize, width: usize, pixels_to_mesh: f64) -> Vec<Interval> {
    let mut intervals = Vec::new();
    let mut start = 0;
    let count = columns.saturating_sub(1).max(1);
    for number in 0..count {
        let end = if number + 1 == count {
            width
        } else {
            (((number as f64 + 1.5) / pixels_to_mesh - 0.5).ceil() as usize).clamp(start, width)
        };
        let origin = (start as f64 + 0.5) * pixels_to_mesh - 0.5 - number as f64;
        intervals.push(Interval { start, end, origin: origin as f32 });
        start = end;
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{Image, sky_map::SkyMap};

    fn interpolate(
        nodes: &[f64],
        rows: usize,
        columns: usize,
        shape: (usize, usize),
        floor: f64,
    ) -> Image {
        SkyMap::from(MeshSpline::new(nodes, rows, columns, shape, floor)).to_plane()
    }

    #[test]
    fn a_plane_stays_a_plane() {
        let nodes: Vec<f64> =
            (0..12).map(|node| 3.0 + 2.0 * (node / 4) as f64 - 5.0 * (node % 4) as f64).collect();
        let image = interpolate(&nodes, 3, 4, (30, 44), f64::NEG_INFINITY);
        for ((y, x), &value) in image.indexed_iter() {
            let row = (y as f64 + 0.5) / 10.0 - 0.5;
            let column = (x as f64 + 0.5) / 11.0 - 0.5;
            assert!((f64::from(value) - (3.0 + 2.0 * row - 5.0 * column)).abs() < 1e-5);
        }
    }

    #[test]
    fn it_passes_through_the_nodes() {
        // Cells of odd size have a pixel at their centre.
        let nodes: Vec<f64> = (0..20).map(|node| ((node * 37) % 11) as f64).collect();
        let image = interpolate(&nodes, 4, 5, (4 * 7, 5 * 9), f64::NEG_INFINITY);
        for row in 0..4 {
            for column in 0..5 {
                let value = f64::from(image[[row * 7 + 3, column * 9 + 4]]);
                assert!((value - nodes[row * 5 + column]).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn one_node_gives_a_constant_and_the_floor_holds() {
        assert_eq!(interpolate(&[4.0], 1, 1, (2, 3), 0.0), Image::from_elem((2, 3), 4.0));
        assert_eq!(interpolate(&[-4.0], 1, 1, (2, 3), 0.5), Image::from_elem((2, 3), 0.5));
        let strip = interpolate(&[0.0, 10.0], 1, 2, (1, 4), 0.0);
        assert_eq!(strip.as_slice().unwrap(), &[0.0, 2.5, 7.5, 12.5]);
    }
}
