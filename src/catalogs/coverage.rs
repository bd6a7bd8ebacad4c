//! The part of the sky that a catalogue covers, as HEALPix cells: where it has nothing, this tells "nothing there" from "not looked".

use super::healpix::{
    cell_area_square_degrees, cell_at, cell_count, cells_about, centre_of, greatest_radius_degrees,
};
use crate::model::SkyPosition;
use serde::{Deserialize, Serialize};

/// Finest order at which objects are counted: cells of 7'.
pub const CENSUS_ORDER: u8 = 9;
/// Order of the cells within cones that a person states: 14'.
const STATED_ORDER: u8 = 8;
/// A cell that should hold so many and holds none in a quarter of it (one chance in 22 000) lies at the edge.
const OBJECTS_PER_COVERED_CELL: u32 = 40;
/// Directions by which the share of a cone is measured: within it, and on its rim.
const INNER_SAMPLES: u32 = 256;
const RIM_SAMPLES: u32 = 64;

/// How the coverage is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoverageRule {
    /// By the objects: a cell all of whose quarters hold one.
    Objects,
    /// A person said so.
    AllSky,
    /// A person gave the cones.
    Cones,
}

/// Cells of an order, as ascending half-open ranges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    pub rule: CoverageRule,
    pub order: u8,
    pub ranges: Vec<(u64, u64)>,
}

impl Coverage {
    pub fn all_sky() -> Self {
        Self { rule: CoverageRule::AllSky, order: 0, ranges: vec![(0, cell_count(0))] }
    }

    /// The cells that lie wholly within one of the cones (centre, radius in degrees).
    pub fn of_cones(cones: &[(SkyPosition, f64)]) -> Self {
        let own_radius = greatest_radius_degrees(STATED_ORDER);
        let mut cells: Vec<u64> = Vec::new();
        for (centre, radius) in cones {
            let near = cells_about(STATED_ORDER, *centre, *radius).into_iter().flatten();
            cells.extend(near.filter(|cell| {
                let middle = centre_of(STATED_ORDER, *cell);
                middle.separation_arcsec(*centre) / 3600.0 + own_radius <= *radius
            }));
        }
        cells.sort_unstable();
        cells.dedup();
        Self { rule: CoverageRule::Cones, order: STATED_ORDER, ranges: as_ranges(&cells) }
    }

    /// Whether the ranges ascend and lie on the sky.
    pub fn is_sound(&self) -> bool {
        let mut end = 0;
        let ascend = self.ranges.iter().all(|&(from, to)| {
            let is_right = from >= end && to > from;
            end = to;
            is_right
        });
        ascend && self.order <= CENSUS_ORDER && end <= cell_count(self.order)
    }

    pub fn contains(&self, position: SkyPosition) -> bool {
        let cell = cell_at(self.order, position);
        let place = self.ranges.partition_point(|&(_, to)| to <= cell);
        self.ranges.get(place).is_some_and(|&(from, _)| from <= cell)
    }

    /// The share of a cone that is covered, to a few thousandths: one only if every sampled direction is, the rim included.
    pub fn share_of_cone(&self, centre: SkyPosition, radius_degrees: f64) -> f64 {
        let golden_angle = std::f64::consts::PI * (3.0 - 5.0_f64.sqrt());
        let half_versine = (radius_degrees.to_radians() / 2.0).sin().powi(2);
        let inner = (0..INNER_SAMPLES).map(|number| {
            // Equal areas: sin²(d/2) grows evenly.
            let share = (f64::from(number) + 0.5) / f64::from(INNER_SAMPLES);
            let distance = 2.0 * (share * half_versine).sqrt().min(1.0).asin();
            (distance, f64::from(number) * golden_angle)
        });
        let rim = (0..RIM_SAMPLES).map(|number| {
            let bearing = std::f64::consts::TAU * f64::from(number) / f64::from(RIM_SAMPLES);
            (radius_degrees.to_radians(), bearing)
        });
        let covered = inner
            .chain(rim)
            .filter(|&(distance, bearing)| self.contains(direction(centre, distance, bearing)))
            .count();
        covered as f64 / f64::from(INNER_SAMPLES + RIM_SAMPLES)
    }

    pub fn area_square_degrees(&self) -> f64 {
        let cells: u64 = self.ranges.iter().map(|(from, to)| to.saturating_sub(*from)).sum();
        cells as f64 * cell_area_square_degrees(self.order)
    }
}

/// The direction at a distance and bearing (north through east), radians, by the spherical triangle with the pole.
fn direction(centre: SkyPosition, distance: f64, bearing: f64) -> SkyPosition {
    let (sin_dec, cos_dec) = centre.dec_degrees.to_radians().sin_cos();
    let (sin_distance, cos_distance) = distance.sin_cos();
    let (sin_bearing, cos_bearing) = bearing.sin_cos();
    let height = (sin_dec * cos_distance + cos_dec * sin_distance * cos_bearing).clamp(-1.0, 1.0);
    let turn = (sin_bearing * sin_distance)
        .atan2(cos_dec * cos_distance - sin_dec * sin_distance * cos_bearing);
    SkyPosition::new(centre.ra_degrees + turn.to_degrees(), height.asin().to_degrees())
}

fn as_ranges(cells: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &cell in cells {
        match ranges.last_mut() {
            Some(last) if last.1 == cell => last.1 = cell + 1,
            _ => ranges.push((cell, cell + 1)),
        }
    }
    ranges
}

/// How many objects lie in each cell of [`CENSUS_ORDER`].
pub struct Census {
    counts: Vec<u32>,
}

impl Default for Census {
    fn default() -> Self {
        Self { counts: vec![0; cell_count(CENSUS_ORDER) as usize] }
    }
}

impl Census {
    pub fn count(&mut self, position: SkyPosition) {
        let cell = cell_at(CENSUS_ORDER, position) as usize;
        if let Some(count) = self.counts.get_mut(cell) {
            *count = count.saturating_add(1);
        }
    }

    fn at(&self, order: u8) -> Vec<u32> {
        let children = 1_usize << (2 * (CENSUS_ORDER - order.min(CENSUS_ORDER)));
        let sum = |cells: &[u32]| cells.iter().fold(0_u32, |sum, count| sum.saturating_add(*count));
        self.counts.chunks(children).map(sum).collect()
    }

    /// The finest order up to `finest` at which half of the cells that hold objects hold at least `wanted`; 0 if there is none.
    pub fn order_for(&self, wanted: u32, finest: u8) -> u8 {
        let is_enough = |order: &u8| {
            let mut occupied: Vec<u32> =
                self.at(*order).into_iter().filter(|count| *count > 0).collect();
            let middle = occupied.len() / 2;
            if occupied.is_empty() {
                return false;
            }
            *occupied.select_nth_unstable(middle).1 >= wanted
        };
        (0..=finest.min(CENSUS_ORDER)).rev().find(is_enough).unwrap_or(0)
    }

    /// The sky that the objects show to be covered.
    pub fn coverage(&self) -> Coverage {
        let order = self.order_for(OBJECTS_PER_COVERED_CELL, CENSUS_ORDER - 1);
        let quarters = self.at(order + 1);
        let full = |(cell, quarters): (usize, &[u32])| {
            quarters.iter().all(|count| *count > 0).then_some(cell as u64)
        };
        let cells: Vec<u64> = quarters.chunks(4).enumerate().filter_map(full).collect();
        Coverage { rule: CoverageRule::Objects, order, ranges: as_ranges(&cells) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cones_are_covered_as_far_as_they_reach_into_it() {
        let centre = SkyPosition::new(359.9, 20.0);
        let coverage = Coverage::of_cones(&[(centre, 3.0)]);
        assert!(coverage.is_sound());
        assert_eq!(coverage.share_of_cone(centre, 2.5), 1.0);
        assert_eq!(coverage.share_of_cone(SkyPosition::new(180.0, 20.0), 1.0), 0.0);
        // Twice the radius is four times the area.
        let share = coverage.share_of_cone(centre, 6.0);
        assert!((0.12..0.26).contains(&share), "{share}");
        let area = coverage.area_square_degrees();
        assert!((22.0..28.3).contains(&area), "{area}");
        assert_eq!(Coverage::all_sky().share_of_cone(SkyPosition::new(5.0, -90.0), 180.0), 1.0);
    }

    #[test]
    fn directions_lie_at_their_distance() {
        for centre in [(10.0, 20.0), (200.0, -89.99), (0.0, 90.0)] {
            let centre = SkyPosition::new(centre.0, centre.1);
            for bearing in [0.0, 1.0, 3.0, 5.5] {
                let there = direction(centre, 0.02, bearing);
                let distance = there.separation_arcsec(centre) / 3600.0;
                assert!((distance.to_radians() - 0.02).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn what_objects_fill_is_covered_and_its_edge_is_not() {
        let mut census = Census::default();
        for i in 0..200 {
            for j in 0..200 {
                let (ra, dec) = (f64::from(i), f64::from(j));
                census.count(SkyPosition::new(100.0 + 0.02 * ra, 0.02 * dec));
            }
        }
        let coverage = census.coverage();
        assert!(coverage.is_sound());
        assert!(coverage.contains(SkyPosition::new(102.0, 2.0)));
        assert_eq!(coverage.share_of_cone(SkyPosition::new(102.0, 2.0), 1.0), 1.0);
        for (ra, dec) in [(99.7, 2.0), (104.4, 2.0), (102.0, -0.3), (102.0, 4.3), (0.0, 0.0)] {
            assert!(!coverage.contains(SkyPosition::new(ra, dec)), "{ra} {dec}");
        }
        assert!(Census::default().coverage().ranges.is_empty());
        assert_eq!(census.order_for(u32::MAX, 9), 0);
    }
}
