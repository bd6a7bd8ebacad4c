//! Connected pixels above a threshold.

/// Pixels of one row above the threshold, columns half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub row: u32,
    pub start: u32,
    pub end: u32,
}

/// 8-connected components, each a list of runs in raster order; components in the order of their first pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Components {
    runs: Vec<Run>,
    /// Component i is `runs[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
}

impl Components {
    pub fn iter(&self) -> impl Iterator<Item = &[Run]> {
        self.starts.windows(2).map(|pair| &self.runs[pair[0]..pair[1]])
    }
}

/// Components of the pixels of `plane` (row-major, `width` columns) above `threshold` with at least `minimum_pixels` pixels.
///
/// One pass makes runs and joins those that touch in neighbouring rows; memory is that of the runs.
pub(super) fn connected(
    plane: &[f32],
    width: usize,
    threshold: f32,
    minimum_pixels: usize,
) -> Components {
    let mut runs: Vec<Run> = Vec::new();
    let mut parents: Vec<u32> = Vec::new();
    let mut previous = 0..0;
    for (row, values) in plane.chunks_exact(width.max(1)).enumerate() {
        let first = runs.len();
        let mut column = 0;
        while let Some(offset) = values[column..].iter().position(|&value| value > threshold) {
            let start = column + offset;
            let length = values[start..]
                .iter()
                .position(|&value| value.is_nan() || value <= threshold)
                .unwrap_or(values.len() - start);
            column = start + length;
            runs.push(Run { row: row as u32, start: start as u32, end: column as u32 });
            parents.push(parents.len() as u32);
        }
        let mut above = previous.start;
        for index in first..runs.len() {
            let run = runs[index];
            // Half-open ends: touching by a corner is `end == start`.
            while above < previous.end && runs[above].end < run.start {
                above += 1;
            }
            let mut touching = above;
            while touching < previous.end && runs[touching].start <= run.end {
                join(&mut parents, touching as u32, index as u32);
                touching += 1;
            }
        }
        previous = first..runs.len();
    }
    gather(&runs, &mut parents, minimum_pixels)
}

fn root(parents: &mut [u32], mut index: u32) -> u32 {
    while parents[index as usize] != index {
        let grandparent = parents[parents[index as usize] as usize];
        parents[index as usize] = grandparent;
        index = grandparent;
    }
    index
}

/// The root of a component is its first run.
fn join(parents: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(parents, a), root(parents, b));
    let (first, second) = (a.min(b), a.max(b));
    parents[second as usize] = first;
}

/// Sorts the runs by component, dropping those of too few pixels.
fn gather(runs: &[Run], parents: &mut [u32], minimum_pixels: usize) -> Components {
    let mut pixels = vec![0usize; runs.len()];
    let mut counts = vec![0usize; runs.len()];
    for (index, run) in runs.iter().enumerate() {
        let component = root(parents, index as u32) as usize;
        pixels[component] += (run.end - run.start) as usize;
        counts[component] += 1;
    }
    let mut starts = vec![0];
    let mut next = vec![usize::MAX; runs.len()];
    let mut total = 0;
    for (component, &count) in counts.iter().enumerate() {
        if count > 0 && pixels[component] >= minimum_pixels.max(1) {
            next[component] = total;
            total += count;
            starts.push(total);
        }
    }
    let mut sorted = vec![Run { row: 0, start: 0, end: 0 }; total];
    for (index, run) in runs.iter().enumerate() {
        let component = root(parents, index as u32) as usize;
        if next[component] != usize::MAX {
            sorted[next[component]] = *run;
            next[component] += 1;
        }
    }
    Components { runs: sorted, starts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Labels by filling from each pixel in turn.
    fn filled(plane: &[f32], width: usize, minimum_pixels: usize) -> Vec<Vec<usize>> {
        let height = plane.len() / width;
        let mut seen = vec![false; plane.len()];
        let mut components = Vec::new();
        for start in 0..plane.len() {
            if seen[start] || plane[start] <= 0.5 {
                continue;
            }
            let (mut stack, mut pixels) = (vec![start], Vec::new());
            seen[start] = true;
            while let Some(pixel) = stack.pop() {
                pixels.push(pixel);
                let (y, x) = (pixel / width, pixel % width);
                for v in y.saturating_sub(1)..(y + 2).min(height) {
                    for u in x.saturating_sub(1)..(x + 2).min(width) {
                        let near = v * width + u;
                        if !seen[near] && plane[near] > 0.5 {
                            seen[near] = true;
                            stack.push(near);
                        }
                    }
                }
            }
            pixels.sort_unstable();
            if pixels.len() >= minimum_pixels {
                components.push(pixels);
            }
        }
        components
    }

    proptest! {
        #[test]
        fn they_are_those_of_a_flood_fill(
            bits in prop::collection::vec(prop::bool::weighted(0.4), 12 * 9),
            minimum in 1usize..5,
        ) {
            let plane: Vec<f32> = bits.iter().map(|&bit| f32::from(u8::from(bit))).collect();
            let components = connected(&plane, 12, 0.5, minimum);
            let found: Vec<Vec<usize>> = components
                .iter()
                .map(|runs| {
                    runs.iter()
                        .flat_map(|run| (run.start..run.end).map(|x| run.row as usize * 12 + x as usize))
                        .collect()
                })
                .collect();
            prop_assert_eq!(found, filled(&plane, 12, minimum));
        }
    }

    #[test]
    fn values_that_are_no_numbers_are_below() {
        assert_eq!(connected(&[f32::NAN; 9], 3, 0.0, 1).iter().count(), 0);
        assert_eq!(connected(&[], 0, 0.0, 1).iter().count(), 0);
        assert_eq!(connected(&[1.0; 9], 3, 0.0, 9).iter().count(), 1);
        assert_eq!(connected(&[1.0; 9], 3, 0.0, 10).iter().count(), 0);
    }
}
