//! Connected pixels above a threshold.

/// Pixels of one row above the threshold, columns half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub row: u32,
    pub start: u32,
    pub end: u32,
    /// Place of the value of its first pixel.
    pub first_value: u32,
}

/// All pixels above a threshold, in raster order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct BrightRuns {
    runs: Vec<Run>,
    values: Vec<f32>,
}

/// Values that are looked through at once.
const BLOCK: usize = 32;

impl BrightRuns {
    /// Adds the pixels of the next row.
    pub fn add_row(&mut self, row: usize, values: &[f32], threshold: f32) {
        let mut open: Option<Run> = None;
        for (block, block_values) in values.chunks(BLOCK).enumerate() {
            // Nearly everywhere there is nothing.
            let any = block_values.iter().fold(false, |any, &value| any | (value > threshold));
            if !any {
                self.runs.extend(open.take());
                continue;
            }
            for (column, &value) in (block * BLOCK..).zip(block_values) {
                if value > threshold {
                    let (column, first_value) = (column as u32, self.values.len() as u32);
                    let fresh = Run { row: row as u32, start: column, end: column, first_value };
                    open.get_or_insert(fresh).end = column + 1;
                    self.values.push(value);
                } else {
                    self.runs.extend(open.take());
                }
            }
        }
        self.runs.extend(open);
    }

    /// Those of one part of an image after the other.
    pub fn joined(parts: Vec<Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            let before = all.values.len() as u32;
            all.values.extend(part.values);
            let moved = |run: Run| Run { first_value: run.first_value + before, ..run };
            all.runs.extend(part.runs.into_iter().map(moved));
        }
        all
    }

    /// The values of the pixels of a run.
    pub fn values(&self, run: &Run) -> &[f32] {
        let first = run.first_value as usize;
        self.values.get(first..first + (run.end - run.start) as usize).unwrap_or(&[])
    }
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

/// Components of bright pixels with at least `minimum_pixels` pixels.
///
/// One pass joins the runs that touch in neighbouring rows; memory is that of the runs.
pub(super) fn connected(bright: &BrightRuns, minimum_pixels: usize) -> Components {
    let runs = &bright.runs;
    let mut parents: Vec<u32> = (0..runs.len() as u32).collect();
    let mut previous = 0..0;
    for row in runs.chunk_by(|one, next| one.row == next.row) {
        let now = previous.end..previous.end + row.len();
        let is_next = |above: &Run| row.first().is_some_and(|run| above.row + 1 == run.row);
        let mut above = match runs.get(previous.start).is_some_and(is_next) {
            true => previous.start,
            false => previous.end,
        };
        for index in now.clone() {
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
        previous = now;
    }
    gather(runs, &mut parents, minimum_pixels)
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
    let mut sorted = vec![Run { row: 0, start: 0, end: 0, first_value: 0 }; total];
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

    fn bright(plane: &[f32], width: usize, threshold: f32) -> BrightRuns {
        let rows: Vec<&[f32]> = plane.chunks_exact(width.max(1)).collect();
        let (upper, lower) = rows.split_at(rows.len() / 2);
        let part = |first: usize, rows: &[&[f32]]| {
            let mut part = BrightRuns::default();
            for (row, values) in (first..).zip(rows) {
                part.add_row(row, values, threshold);
            }
            part
        };
        BrightRuns::joined(vec![part(0, upper), part(upper.len(), lower)])
    }

    fn connected_of(plane: &[f32], width: usize, threshold: f32, minimum: usize) -> Components {
        let bright = bright(plane, width, threshold);
        for run in &bright.runs {
            let place = run.row as usize * width + run.start as usize;
            let expected = &plane[place..place + (run.end - run.start) as usize];
            assert_eq!(bright.values(run), expected);
        }
        connected(&bright, minimum)
    }

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
            let components = connected_of(&plane, 12, 0.5, minimum);
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
        assert_eq!(connected_of(&[f32::NAN; 9], 3, 0.0, 1).iter().count(), 0);
        assert_eq!(connected_of(&[], 0, 0.0, 1).iter().count(), 0);
        assert_eq!(connected_of(&[1.0; 9], 3, 0.0, 9).iter().count(), 1);
        assert_eq!(connected_of(&[1.0; 9], 3, 0.0, 10).iter().count(), 0);
    }
}
