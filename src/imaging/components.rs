//! Connected pixels above a threshold, parted where they hold more than one source.

use super::Image;
use ndarray::Array2;
use std::collections::HashMap;

/// A branch must rise so many times the filtered noise above the saddle that joins it to another.
const SADDLE_SIGMA: f32 = 2.0;
/// More pixels than this in one piece are no group of sources: they are kept in one.
const LARGEST_DEBLENDED: usize = 200_000;

/// One source's pixels as (row, column), the brightest in the filtered light first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    pub pixels: Vec<(usize, usize)>,
    /// Parted from another.
    pub is_blended: bool,
}

/// How components are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct ComponentParameters {
    pub threshold: f32,
    pub minimum_pixels: usize,
    /// Smallest share of the light above the saddle for a branch to be a source.
    pub contrast: f32,
}

/// All components, in order of their first pixel in row-major order. Pixels are joined with their eight neighbours.
pub(super) fn find(
    light: &Image,
    significance: &Image,
    parameters: &ComponentParameters,
) -> Vec<Component> {
    let (height, width) = significance.dim();
    let mut visited = Array2::<bool>::default((height, width));
    let mut components = Vec::new();
    let mut stack = Vec::new();
    for row in 0..height {
        for column in 0..width {
            let is_new =
                !visited[[row, column]] && significance[[row, column]] > parameters.threshold;
            if !is_new {
                continue;
            }
            let mut pixels = Vec::new();
            visited[[row, column]] = true;
            stack.push((row, column));
            while let Some((y, x)) = stack.pop() {
                pixels.push((y, x));
                for (ny, nx) in neighbours(y, x, height, width) {
                    if !visited[[ny, nx]] && significance[[ny, nx]] > parameters.threshold {
                        visited[[ny, nx]] = true;
                        stack.push((ny, nx));
                    }
                }
            }
            if pixels.len() >= parameters.minimum_pixels {
                components.extend(deblend(pixels, light, significance, parameters));
            }
        }
    }
    components
}

fn neighbours(
    row: usize,
    column: usize,
    height: usize,
    width: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let rows = row.saturating_sub(1)..(row + 2).min(height);
    rows.flat_map(move |y| (column.saturating_sub(1)..(column + 2).min(width)).map(move |x| (y, x)))
        .filter(move |place| *place != (row, column))
}

/// A growing basin of the flood from the peaks down.
struct Basin {
    peak_significance: f32,
    /// Σ light of its pixels.
    sum: f32,
    pixels: Vec<u32>,
    /// The basin that took it up.
    parent: Option<usize>,
    /// It has been found to be a source of its own.
    is_source: bool,
}

/// Parts a component by flooding it from its peaks down: where two basins meet, the smaller one is a source of its own if its light
/// above the saddle is a large enough share of the whole and its peak stands clear of the saddle; otherwise the larger one takes it
/// up. It is multi-threshold deblending (Bertin & Arnouts 1996, §4) with every value as a threshold.
fn deblend(
    mut pixels: Vec<(usize, usize)>,
    light: &Image,
    significance: &Image,
    parameters: &ComponentParameters,
) -> Vec<Component> {
    // Ties in light are broken by place, so that the order is the same everywhere.
    pixels.sort_by(|left, right| light[*right].total_cmp(&light[*left]).then(left.cmp(right)));
    if pixels.len() > LARGEST_DEBLENDED {
        return vec![Component { pixels, is_blended: false }];
    }
    let total: f32 = pixels.iter().map(|place| light[*place]).sum();
    let smallest = parameters.contrast * total;
    let place_of: HashMap<(usize, usize), u32> =
        pixels.iter().enumerate().map(|(index, place)| (*place, index as u32)).collect();
    let (height, width) = light.dim();
    let mut basin_of = vec![usize::MAX; pixels.len()];
    let mut basins: Vec<Basin> = Vec::new();
    for (index, &(row, column)) in pixels.iter().enumerate() {
        let level = light[[row, column]];
        let mut around: Vec<usize> = neighbours(row, column, height, width)
            .filter_map(|place| place_of.get(&place))
            .filter(|other| (**other as usize) < index)
            .map(|other| root(&basins, basin_of[*other as usize]))
            .collect();
        around.sort_unstable();
        around.dedup();
        let home = if around.is_empty() {
            basins.push(Basin {
                peak_significance: significance[[row, column]],
                sum: 0.0,
                pixels: Vec::new(),
                parent: None,
                is_source: false,
            });
            basins.len() - 1
        } else {
            meet(&mut basins, &around, level, significance[[row, column]], smallest)
        };
        basin_of[index] = home;
        basins[home].sum += level;
        basins[home].pixels.push(index as u32);
    }
    let roots: Vec<usize> =
        (0..basins.len()).filter(|index| basins[*index].parent.is_none()).collect();
    let is_blended = roots.len() > 1;
    roots
        .into_iter()
        .map(|index| Component {
            pixels: basins[index].pixels.iter().map(|place| pixels[*place as usize]).collect(),
            is_blended,
        })
        .filter(|component| component.pixels.len() >= parameters.minimum_pixels || !is_blended)
        .collect()
}

fn root(basins: &[Basin], mut index: usize) -> usize {
    while let Some(parent) = basins[index].parent {
        index = parent;
    }
    index
}

/// Basins meet at a pixel of `level`: those that are not sources of their own go into the one with the highest peak, which is
/// returned.
fn meet(
    basins: &mut [Basin],
    around: &[usize],
    level: f32,
    significance: f32,
    smallest: f32,
) -> usize {
    let highest = |basins: &[Basin]| {
        around
            .iter()
            .copied()
            .max_by(|left, right| {
                let (a, b) = (&basins[*left], &basins[*right]);
                a.peak_significance.total_cmp(&b.peak_significance).then(right.cmp(left))
            })
            .unwrap_or(around[0])
    };
    let main = highest(basins);
    for &other in around {
        if other == main {
            continue;
        }
        let basin = &basins[other];
        let above = basin.sum - level * basin.pixels.len() as f32;
        let stands_clear = basin.peak_significance - significance > SADDLE_SIGMA;
        let is_source = basin.is_source || (above > smallest && stands_clear);
        if is_source {
            basins[other].is_source = true;
            continue;
        }
        let taken = std::mem::take(&mut basins[other].pixels);
        let sum = basins[other].sum;
        basins[other].parent = Some(main);
        basins[main].pixels.extend(taken);
        basins[main].sum += sum;
    }
    main
}
