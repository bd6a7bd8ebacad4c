//! HEALPix cells in the nested scheme (Górski et al. 2005, ApJ 622, 759; the projection as in Calabretta & Roukema 2007,
//! MNRAS 381, 865).
//!
//! The sphere is cut into twelve base cells, each into 4^order cells of equal area. In the nested scheme the children of cell n are
//! 4n to 4n+3, so that a cell at any order is a range of cells at a finer one. Longitude is right ascension, latitude declination.

use crate::model::SkyPosition;
use std::{f64::consts::FRAC_PI_4, ops::Range};

/// Finest order whose cells are numbered in 64 bits with room to spare (0.4 mas).
pub const MAXIMUM_ORDER: u8 = 29;
/// Cells at order 0.
const BASE_CELLS: u64 = 12;
/// Ring of the southern corner of each base cell, in units of the cells along a side (Górski et al. 2005, §4.1).
const CORNER_RING: [i64; 12] = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4];
/// Longitude of the middle of each base cell, in units of 45°.
const MIDDLE_LONGITUDE: [i64; 12] = [1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7];
/// Spare of the comparison of distances, degrees (0.36 µas): the rounding of the haversine.
const ROUNDING_DEGREES: f64 = 1e-10;

/// Number of cells of the whole sky. Orders above [`MAXIMUM_ORDER`] count as that order, here and below.
pub fn cell_count(order: u8) -> u64 {
    BASE_CELLS << (2 * order.min(MAXIMUM_ORDER))
}

/// Area of a cell, square degrees.
pub fn cell_area_square_degrees(order: u8) -> f64 {
    4.0 * std::f64::consts::PI.to_degrees() * 1.0_f64.to_degrees() / cell_count(order) as f64
}

/// The cell that holds a direction (Górski et al. 2005, §4 and 5).
pub fn cell_at(order: u8, position: SkyPosition) -> u64 {
    let order = order.min(MAXIMUM_ORDER);
    let side = 1_i64 << order;
    let (height, across) = position.dec_degrees.to_radians().sin_cos();
    // Longitude in quadrants, 0 to 4.
    let quadrants = (position.ra_degrees / 90.0).rem_euclid(4.0);
    let last = side - 1;
    let (base, x, y) = if height.abs() <= 2.0 / 3.0 {
        // The equatorial belt: lines of constant x and y are straight in longitude and height.
        let (along, up) = (side as f64 * (0.5 + quadrants), side as f64 * 0.75 * height);
        let (rising, falling) = ((along - up).floor() as i64, (along + up).floor() as i64);
        let (first, second) = (rising >> order, falling >> order);
        let base = match first.cmp(&second) {
            std::cmp::Ordering::Equal => first | 4,
            std::cmp::Ordering::Less => first,
            std::cmp::Ordering::Greater => second + 8,
        };
        (base, falling & last, last - (rising & last))
    } else {
        let quadrant = (quadrants.floor() as i64).clamp(0, 3);
        let within = quadrants - quadrant as f64;
        // √(3 (1 - |z|)), written so that nothing cancels at the pole.
        let from_pole = side as f64 * across.abs() * (3.0 / (1.0 + height.abs())).sqrt();
        let east = ((within * from_pole).floor() as i64).clamp(0, last);
        let west = (((1.0 - within) * from_pole).floor() as i64).clamp(0, last);
        if height > 0.0 { (quadrant, last - west, last - east) } else { (quadrant + 8, east, west) }
    };
    let within_base = spread(x as u64) | (spread(y as u64) << 1);
    ((base.clamp(0, 11) as u64) << (2 * order)) | within_base
}

/// The middle of a cell. A number beyond the last cell gives the last one.
pub fn centre_of(order: u8, cell: u64) -> SkyPosition {
    let order = order.min(MAXIMUM_ORDER);
    let cell = cell.min(cell_count(order) - 1);
    let side = 1_i64 << order;
    let base = (cell >> (2 * order)) as usize;
    let within = cell & ((1_u64 << (2 * order)) - 1);
    let (x, y) = (gather(within) as i64, gather(within >> 1) as i64);
    let corner = CORNER_RING.get(base).copied().unwrap_or(4);
    let middle = MIDDLE_LONGITUDE.get(base).copied().unwrap_or(7);
    // Ring counted from the north pole, and cells along a quarter of it.
    let ring = corner * side - x - y - 1;
    let (quarter, height, across) = if ring < side || ring > 3 * side {
        let quarter = if ring < side { ring } else { 4 * side - ring };
        // 1 - |z|.
        let depth = (quarter * quarter) as f64 / (3.0 * side as f64 * side as f64);
        let height = if ring < side { 1.0 - depth } else { depth - 1.0 };
        (quarter, height, (depth * (2.0 - depth)).sqrt())
    } else {
        let height = (2 * side - ring) as f64 * 2.0 / (3.0 * side as f64);
        (side, height, ((1.0 - height) * (1.0 + height)).sqrt())
    };
    let mut step = middle * quarter + x - y;
    if step < 0 {
        step += 8 * quarter;
    }
    let longitude = FRAC_PI_4 * step as f64 / quarter as f64;
    SkyPosition::new(longitude.to_degrees(), height.atan2(across).to_degrees())
}

/// Greatest distance of a point of any cell from the middle of its cell, degrees.
///
/// The most stretched cells touch the meridian between two base cells where the belt begins: middle at z = 2/3 and half a
/// cell from the meridian, northern corner on it one ring further north.
pub fn greatest_radius_degrees(order: u8) -> f64 {
    let side = (1_u64 << order.min(MAXIMUM_ORDER)) as f64;
    let at = |height: f64, longitude: f64| {
        let across = ((1.0 - height) * (1.0 + height)).max(0.0).sqrt();
        SkyPosition::new(longitude.to_degrees(), height.atan2(across).to_degrees())
    };
    let ring_north = 1.0 - 1.0 / side;
    let corner = at(1.0 - ring_north * ring_north / 3.0, 0.0);
    at(2.0 / 3.0, FRAC_PI_4 / side).separation_arcsec(corner) / 3600.0
}

/// Cells at `order` that overlap a cone, as ascending ranges that do not touch.
///
/// Inclusive: every cell that shares a point with the cone is among them, and some that pass it by at less than their own radius.
pub fn cells_about(order: u8, centre: SkyPosition, radius_degrees: f64) -> Vec<Range<u64>> {
    let order = order.min(MAXIMUM_ORDER);
    let radii: Vec<f64> = (0..=order).map(greatest_radius_degrees).collect();
    let mut found: Vec<Range<u64>> = Vec::new();
    // A stack of what is still to be looked at, the lowest number on top.
    let mut open: Vec<(u8, u64)> = (0..BASE_CELLS).rev().map(|cell| (0, cell)).collect();
    while let Some((depth, cell)) = open.pop() {
        let own_radius = radii.get(usize::from(depth)).copied().unwrap_or_default();
        let distance = centre_of(depth, cell).separation_arcsec(centre) / 3600.0;
        if distance > radius_degrees + own_radius + ROUNDING_DEGREES {
            continue;
        }
        if depth == order || distance + own_radius <= radius_degrees {
            let shift = 2 * (order - depth);
            let range = (cell << shift)..((cell + 1) << shift);
            match found.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => found.push(range),
            }
        } else {
            open.extend((0..4).rev().map(|child| (depth + 1, 4 * cell + child)));
        }
    }
    found
}

/// Puts a zero between any two bits of the lower half.
fn spread(value: u64) -> u64 {
    const STEPS: [(u32, u64); 5] = [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ];
    STEPS.iter().fold(value & 0xffff_ffff, |bits, (shift, mask)| (bits | (bits << shift)) & mask)
}

/// Takes every second bit, the lowest first: the inverse of [`spread`].
fn gather(value: u64) -> u64 {
    const STEPS: [(u32, u64); 5] = [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ];
    let start = value & 0x5555_5555_5555_5555;
    STEPS.iter().fold(start, |bits, (shift, mask)| (bits | (bits >> shift)) & mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    /// Written by `tests/oracles/healpix.py` with astropy-healpix.
    #[derive(Deserialize)]
    struct Oracle {
        /// Order, right ascension and declination (degrees), cell, and the middle of that cell.
        cells: Vec<(u8, f64, f64, u64, f64, f64)>,
        /// Order, right ascension, declination, radius (degrees), cells that overlap the cone.
        cones: Vec<(u8, f64, f64, f64, Vec<u64>)>,
        /// Order and the greatest distance of a corner from the middle of its cell over all cells, degrees.
        radii: Vec<(u8, f64)>,
    }

    fn oracle() -> Oracle {
        serde_json::from_str(include_str!("../../tests/oracles/healpix.json")).unwrap()
    }

    #[test]
    fn cells_and_their_middles_agree_with_astropy_healpix() {
        let cells = oracle().cells;
        assert!(cells.len() > 1000);
        for (order, ra, dec, cell, middle_ra, middle_dec) in cells {
            assert_eq!(cell_at(order, SkyPosition::new(ra, dec)), cell, "{order} {ra} {dec}");
            let middle = SkyPosition::new(middle_ra, middle_dec);
            // Tolerance a microarcsecond.
            let off = centre_of(order, cell).separation_arcsec(middle);
            assert!(off < 1e-6, "{order} {cell}: {off}");
        }
    }

    #[test]
    fn no_cell_that_overlaps_a_cone_is_left_out() {
        for (order, ra, dec, radius, expected) in oracle().cones {
            let centre = SkyPosition::new(ra, dec);
            let found: Vec<u64> =
                cells_about(order, centre, radius).into_iter().flatten().collect();
            let left_out: Vec<&u64> =
                expected.iter().filter(|cell| !found.contains(cell)).collect();
            assert!(left_out.is_empty(), "{order} {ra} {dec} {radius}: {left_out:?}");
            let limit = radius + greatest_radius_degrees(order) + 1e-9;
            for &cell in &found {
                assert!(centre_of(order, cell).separation_arcsec(centre) <= limit * 3600.0);
            }
        }
    }

    #[test]
    fn no_corner_is_farther_away_than_the_greatest_radius() {
        for (order, greatest) in oracle().radii {
            let ours = greatest_radius_degrees(order);
            assert!((0.0..1e-9).contains(&(ours - greatest + 1e-12)), "{order}: {ours} {greatest}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_brought_into_it() {
        assert_eq!(centre_of(3, u64::MAX), centre_of(3, cell_count(3) - 1));
        assert_eq!(cell_count(200), cell_count(MAXIMUM_ORDER));
        assert!(cell_at(3, SkyPosition { ra_degrees: f64::NAN, dec_degrees: f64::NAN }) < 768);
        let whole_sky = cells_about(2, SkyPosition::new(0.0, 0.0), 180.0);
        assert_eq!(whole_sky, std::slice::from_ref(&(0..192)));
        assert!((cell_area_square_degrees(0) - 3_437.746_770_784_939).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn the_middle_of_a_cell_lies_in_it(order in 0_u8..=29, share in 0.0..1.0_f64) {
            let cell = (share * cell_count(order) as f64) as u64;
            prop_assert_eq!(cell_at(order, centre_of(order, cell)), cell);
        }

        #[test]
        fn a_point_of_a_cone_lies_in_one_of_its_cells(
            order in 0_u8..8, ra in 0.0..360.0_f64, dec in -90.0..=90.0_f64,
            radius in 0.0..20.0_f64, share in 0.0..1.0_f64, angle in 0.0..std::f64::consts::TAU,
        ) {
            let centre = SkyPosition::new(ra, dec);
            let reach = (share * radius).to_radians().tan().to_degrees() * 3600.0;
            let point = centre.offset_arcsec(reach * angle.sin(), reach * angle.cos());
            let cell = cell_at(order, point);
            let ranges = cells_about(order, centre, radius);
            prop_assert!(ranges.iter().any(|range| range.contains(&cell)));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
