//! Bicubic splines through the nodes of a regular mesh.

use super::{Image, bands};

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

/// Evaluates over an image of `shape` (rows, columns) the spline through `nodes` (`rows` × `columns`, row-major),
/// node (i, j) lying at the centre of cell (i, j) of equal cells that tile the image. Values below `floor` are
/// raised to it.
pub(super) fn interpolate(
    nodes: &[f64],
    rows: usize,
    columns: usize,
    shape: (usize, usize),
    floor: f64,
) -> Image {
    let (height, width) = shape;
    let mut plane = vec![0.0f32; height * width];
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
    let pixels_to_mesh_y = rows as f64 / height as f64;
    let pixels_to_mesh_x = columns as f64 / width as f64;
    bands::of_plane(&mut plane, width, 1, |first_row, values| {
        let mut line = vec![0.0; columns];
        let (mut scratch, mut derivatives) = (Vec::new(), Vec::new());
        for (offset, output) in values.chunks_mut(width).enumerate() {
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
                output.fill(line[0].max(floor) as f32);
                continue;
            }
            second_derivatives(&line, &mut scratch, &mut derivatives);
            let mut x = 0;
            for column in 0..columns - 1 {
                // The pixels of this interval: up to the next node, or to the edge of the image.
                let end = if column == columns - 2 {
                    width
                } else {
                    (((column as f64 + 1.5) / pixels_to_mesh_x - 0.5).ceil() as usize)
                        .clamp(x, width)
                };
                // The cubic of the interval in powers of the distance from its first node.
                let (d0, d1) = (derivatives[column], derivatives[column + 1]);
                let constant = line[column];
                let linear = line[column + 1] - line[column] - (2.0 * d0 + d1) / 6.0;
                let (square, cube) = (d0 / 2.0, (d1 - d0) / 6.0);
                let origin = 0.5 * pixels_to_mesh_x - 0.5 - column as f64;
                for (x, value) in (x..end).zip(&mut output[x..end]) {
                    let t = origin + x as f64 * pixels_to_mesh_x;
                    *value = (constant + t * (linear + t * (square + t * cube))).max(floor) as f32;
                }
                x = end;
            }
        }
    });
    Image::from_shape_vec(shape, plane).unwrap_or_else(|_| Image::zeros(shape))
}

#[cfg(test)]
mod tests {
    use super::*;

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
