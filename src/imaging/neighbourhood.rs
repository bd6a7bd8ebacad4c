//! Positions in square cells: who is near, without looking at everyone.

/// Cells on a side at most: a bound on memory when positions are far apart.
const MOST_CELLS: usize = 1024;

/// An index of positions by cell.
pub(super) struct Neighbourhood<'a> {
    positions: &'a [(f64, f64)],
    cell_pixels: f64,
    columns: usize,
    rows: usize,
    /// Indices sorted by cell; `starts` has one entry more than there are cells.
    sorted: Vec<u32>,
    starts: Vec<u32>,
}

impl<'a> Neighbourhood<'a> {
    /// Positions below zero or not finite count as in the first cells, those beyond the last as in the last.
    pub fn new(positions: &'a [(f64, f64)], cell_pixels: f64) -> Self {
        let reach = |values: &mut dyn Iterator<Item = f64>| {
            values.filter(|value| value.is_finite()).fold(0.0, f64::max)
        };
        let width = reach(&mut positions.iter().map(|position| position.0));
        let height = reach(&mut positions.iter().map(|position| position.1));
        let cell_pixels = cell_pixels.max(width.max(height) / (MOST_CELLS - 1) as f64).max(1e-3);
        let columns = (width / cell_pixels) as usize + 1;
        let rows = (height / cell_pixels) as usize + 1;
        let mut index = Self {
            positions,
            cell_pixels,
            columns,
            rows,
            sorted: vec![0; positions.len()],
            starts: vec![0; rows * columns + 1],
        };
        let cells: Vec<usize> =
            positions.iter().map(|&(x, y)| index.row(y) * columns + index.column(x)).collect();
        for &cell in &cells {
            index.starts[cell + 1] += 1;
        }
        for cell in 0..rows * columns {
            index.starts[cell + 1] += index.starts[cell];
        }
        let mut next = index.starts.clone();
        for (position, &cell) in cells.iter().enumerate() {
            index.sorted[next[cell] as usize] = position as u32;
            next[cell] += 1;
        }
        index
    }

    fn column(&self, x: f64) -> usize {
        ((x / self.cell_pixels).max(0.0) as usize).min(self.columns - 1)
    }

    fn row(&self, y: f64) -> usize {
        ((y / self.cell_pixels).max(0.0) as usize).min(self.rows - 1)
    }

    /// Indices of the positions within `radius` of (`x`, `y`), cell by cell.
    pub fn within(&self, x: f64, y: f64, radius: f64) -> impl Iterator<Item = usize> + '_ {
        let columns = self.column(x - radius)..=self.column(x + radius);
        (self.row(y - radius)..=self.row(y + radius))
            .flat_map(move |row| {
                // The cells of one row lie side by side.
                let first = self.starts[row * self.columns + columns.start()];
                let last = self.starts[row * self.columns + columns.end() + 1];
                self.sorted[first as usize..last as usize].iter().map(|&index| index as usize)
            })
            .filter(move |&index| {
                let (u, v) = self.positions[index];
                (u - x).powi(2) + (v - y).powi(2) <= radius * radius
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_all_and_only_the_near(
            positions in prop::collection::vec((-20.0f64..300.0, -20.0f64..200.0), 0..80),
            x in -50.0f64..350.0,
            y in -50.0f64..250.0,
            radius in 0.0f64..120.0,
            cell in 0.5f64..90.0,
        ) {
            let index = Neighbourhood::new(&positions, cell);
            let mut found: Vec<usize> = index.within(x, y, radius).collect();
            found.sort_unstable();
            let expected: Vec<usize> = (0..positions.len())
                .filter(|&i| (positions[i].0 - x).powi(2) + (positions[i].1 - y).powi(2) <= radius * radius)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn odd_positions_do_no_harm() {
        let positions =
            [(f64::NAN, 1.0), (1e12, 3.0), (f64::INFINITY, f64::NEG_INFINITY), (2.0, 2.0)];
        let index = Neighbourhood::new(&positions, 8.0);
        assert_eq!(index.within(2.0, 2.0, 1.0).collect::<Vec<_>>(), [3]);
        assert_eq!(index.within(f64::NAN, 2.0, 1.0).count(), 0);
        assert_eq!(Neighbourhood::new(&[], 8.0).within(2.0, 2.0, 1.0).count(), 0);
    }
}
