//! A smooth map from the pixels of one image to places on another: evaluated at nodes, interpolated by cubics between them, with
//! its change of area.

use super::{bands, widest::widest};

/// Spacing of the nodes, pixels.
const STEP: usize = 16;
/// Nodes before the first pixel, and beyond the node that follows the last one: what a cubic asks for.
const MARGIN: usize = 1;
/// Places beyond this are on no image.
const FARTHEST_PIXEL: f64 = 1e8;
/// Work behind a node in that behind a pixel: inverting a distortion takes a microsecond.
const PIXELS_PER_NODE: usize = 64;

/// Where a pixel leads, and how many pixels there it covers; nothing is finite where the map leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct MappedPixel {
    pub x: f64,
    pub y: f64,
    pub area: f64,
}

/// The map at nodes every 16 pixels.
///
/// A cubic through four nodes is wrong by 3/128 · 16⁴ = 1536 fourth derivatives at worst, both axes together by less than 3500: under a
/// thousandth of a pixel while the fourth derivative stays under 2.8e-7 pixel⁻³. A distortion of third degree has none; one of
/// fifth degree, ten pixels in the corner of 512 pixels squared, has 7e-8 there, and 3e-10 at 2048. The area is that of the
/// differences of neighbouring nodes, linear between them: wrong by some 50 third derivatives, 2e-5 for ten pixels of third degree in the corner of 1024 pixels squared.
pub(super) struct PixelMapping {
    /// Nodes in a row of them.
    width: usize,
    nodes: Vec<MappedPixel>,
}

impl PixelMapping {
    /// Of an image of `rows` × `columns`, neither of them zero. `map` is also asked for places up to 32 pixels outside of it.
    pub fn sample(
        (rows, columns): (usize, usize),
        map: &(dyn Fn(f64, f64) -> (f64, f64) + Sync),
    ) -> Self {
        let count = |length: usize| (length - 1) / STEP + 2 + 2 * MARGIN;
        let (height, width) = (count(rows), count(columns));
        let place = |index: usize| index as f64 * STEP as f64 - (MARGIN * STEP) as f64;
        let nowhere = (f64::NAN, f64::NAN);
        let mut places = vec![nowhere; height * width];
        bands::of_plane(&mut places, width, PIXELS_PER_NODE, |first_row, places| {
            for (offset, node) in places.iter_mut().enumerate() {
                let (row, column) = (first_row + offset / width, offset % width);
                let (x, y) = map(place(column), place(row));
                // Also what is not a number.
                if x.abs() < FARTHEST_PIXEL && y.abs() < FARTHEST_PIXEL {
                    *node = (x, y);
                }
            }
        });
        let at = |row: usize, column: usize| {
            places.get(row * width + column).copied().unwrap_or(nowhere)
        };
        let mut nodes = vec![MappedPixel::default(); places.len()];
        for (index, node) in nodes.iter_mut().enumerate() {
            let (row, column) = (index / width, index % width);
            let (x, y) = at(row, column);
            // The outermost have no neighbours, and no pixel takes its area from them.
            let is_inner = row > 0 && column > 0 && row + 1 < height && column + 1 < width;
            let area = if is_inner {
                let slope = |low: (f64, f64), high: (f64, f64)| {
                    let step = 1.0 / (2 * STEP) as f64;
                    ((high.0 - low.0) * step, (high.1 - low.1) * step)
                };
                let right = slope(at(row, column - 1), at(row, column + 1));
                let up = slope(at(row - 1, column), at(row + 1, column));
                (right.0 * up.1 - right.1 * up.0).abs()
            } else {
                0.0
            };
            *node = MappedPixel { x, y, area };
        }
        Self { width, nodes }
    }

    /// Where the pixels of a row of the image lead.
    pub fn fill_row(&self, row: usize, pixels: &mut [MappedPixel]) {
        let (first, down) = (row / STEP, (row % STEP) as f64 / STEP as f64);
        let at = |offset: usize, column: usize| {
            self.nodes.get((first + offset) * self.width + column).copied().unwrap_or_default()
        };
        // The map along this row, at the columns of the nodes.
        let line: Vec<MappedPixel> = (0..self.width)
            .map(|column| {
                let stencil = [0, 1, 2, 3].map(|offset| at(offset, column));
                MappedPixel {
                    x: Cubic::through(stencil.map(|node| node.x)).at(down),
                    y: Cubic::through(stencil.map(|node| node.y)).at(down),
                    area: between(stencil[1].area, stencil[2].area, down),
                }
            })
            .collect();
        fill_cells(&line, pixels);
    }
}

widest! {
    /// Interpolates between nodes of one row.
    fn fill_cells<'a>(line: &'a [MappedPixel], pixels: &'a mut [MappedPixel]) -> () {
        for (cell, stencil) in pixels.chunks_mut(STEP).zip(line.windows(4)) {
            let &[before, left, right, after] = stencil else { continue };
            let x = Cubic::through([before.x, left.x, right.x, after.x]);
            let y = Cubic::through([before.y, left.y, right.y, after.y]);
            for (offset, pixel) in cell.iter_mut().enumerate() {
                let share = offset as i32 as f64 / STEP as f64;
                *pixel = MappedPixel {
                    x: x.at(share),
                    y: y.at(share),
                    area: between(left.area, right.area, share),
                };
            }
        }
    }
}

#[inline(always)]
fn between(left: f64, right: f64, share: f64) -> f64 {
    left + share * (right - left)
}

/// The cubic through values at −1, 0, 1 and 2. By differences, so that an even map of whole numbers stays exact.
struct Cubic {
    coefficients: [f64; 4],
}

impl Cubic {
    #[inline(always)]
    fn through([before, left, right, after]: [f64; 4]) -> Self {
        let second = (before - 2.0 * left + right) / 2.0;
        let third = ((after - before) + 3.0 * (left - right)) / 6.0;
        Self { coefficients: [left, right - left - second - third, second, third] }
    }

    #[inline(always)]
    fn at(&self, share: f64) -> f64 {
        let [constant, first, second, third] = self.coefficients;
        constant + share * (first + share * (second + share * third))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::polynomial::{BivariatePolynomial, PolynomialTerm};
    use crate::imaging::sip::SipDistortion;
    use crate::imaging::wcs::{TangentPlane, cd_from_rotation};
    use crate::imaging::world_coordinates::{Distortion, WorldCoordinates};
    use crate::model::SkyPosition;

    const SIZE: usize = 1024;

    /// Third and fifth degree about the middle: eight pixels and four in the corners, against each other.
    fn camera(ra: f64, dec: f64, degrees: f64) -> WorldCoordinates {
        let middle = (SIZE as f64 - 1.0) / 2.0;
        let corner = middle * 2f64.sqrt();
        let (cubic, quintic) = (8.0 / corner.powi(3), -4.0 / corner.powi(5));
        let axis = |own_first: bool| {
            let term = |own: usize, other: usize, coefficient: f64| PolynomialTerm {
                powers: if own_first { (own, other) } else { (other, own) },
                coefficient,
            };
            BivariatePolynomial::new(&[
                term(3, 0, cubic),
                term(1, 2, cubic),
                term(5, 0, quintic),
                term(3, 2, 2.0 * quintic),
                term(1, 4, quintic),
            ])
            .unwrap()
        };
        WorldCoordinates {
            plane: TangentPlane {
                reference_pixel: (middle, middle),
                reference_sky: SkyPosition::new(ra, dec),
                cd: cd_from_rotation((-0.000195, 0.000195), degrees),
            },
            distortion: Distortion::Sip(SipDistortion {
                forward: [axis(true), axis(false)],
                inverse: None,
            }),
        }
    }

    /// The largest error of the place, pixels, and of the area.
    fn worst(map: &(dyn Fn(f64, f64) -> (f64, f64) + Sync)) -> (f64, f64) {
        let mapping = PixelMapping::sample((SIZE, SIZE), map);
        let mut pixels = vec![MappedPixel::default(); SIZE];
        let mut worst = (0.0_f64, 0.0_f64);
        for row in [0, 7, 8, 500, 1015, 1023] {
            mapping.fill_row(row, &mut pixels);
            for (column, pixel) in pixels.iter().enumerate() {
                let (x, y) = (column as f64, row as f64);
                let exact = map(x, y);
                let (left, right, low, high) =
                    (map(x - 0.5, y), map(x + 0.5, y), map(x, y - 0.5), map(x, y + 0.5));
                let area =
                    (right.0 - left.0) * (high.1 - low.1) - (right.1 - left.1) * (high.0 - low.0);
                worst.0 = worst.0.max((pixel.x - exact.0).hypot(pixel.y - exact.1));
                worst.1 = worst.1.max((pixel.area / area.abs() - 1.0).abs());
            }
        }
        worst
    }

    #[test]
    fn it_follows_a_map_between_tangent_planes() {
        let plane = |ra: f64, dec: f64, degrees: f64| camera(ra, dec, degrees).plane;
        let (output, input) = (plane(30.0, 60.0, 0.0), plane(30.3, 60.1, 25.0));
        let nowhere = (f64::NAN, f64::NAN);
        let worst = worst(&|x, y| input.sky_to_pixel(output.pixel_to_sky(x, y)).unwrap_or(nowhere));
        assert!(worst.0 < 1e-8 && worst.1 < 1e-6, "{worst:?}");
    }

    #[test]
    fn it_follows_a_map_between_distorted_frames() {
        let (output, input) = (camera(30.0, 60.0, 0.0), camera(30.02, 60.01, 120.0));
        let nowhere = (f64::NAN, f64::NAN);
        let worst = worst(&|x, y| input.sky_to_pixel(output.pixel_to_sky(x, y)).unwrap_or(nowhere));
        // An area by differences over 32 pixels is wrong by 43 third derivatives: here 0.016 mmag.
        assert!(worst.0 < 1e-5 && worst.1 < 3e-5, "{worst:?}");
    }

    #[test]
    fn an_even_map_of_whole_numbers_is_exact_and_nowhere_is_told() {
        let mapping = PixelMapping::sample((33, 40), &|x, y| (x + 5.0, y - 3.0));
        let mut pixels = vec![MappedPixel::default(); 40];
        mapping.fill_row(21, &mut pixels);
        for (column, pixel) in pixels.iter().enumerate() {
            assert_eq!(*pixel, MappedPixel { x: column as f64 + 5.0, y: 18.0, area: 1.0 });
        }
        for nowhere in [(f64::NAN, 0.0), (0.0, f64::INFINITY), (1e300, 1e300)] {
            let mapping = PixelMapping::sample((1, 17), &|_, _| nowhere);
            mapping.fill_row(0, &mut pixels[..17]);
            assert!(pixels[..17].iter().all(|pixel| pixel.x.is_nan() && pixel.area.is_nan()));
        }
    }
}
