//! Work on an image shared out to the cores, band by band of its rows. What is computed does not depend on how many there are.

use std::{sync::OnceLock, thread};

/// More threads than this gain nothing: memory is the limit.
const MOST_THREADS: usize = 8;
/// Fewer pixels are not worth a thread.
const FEWEST_PIXELS: usize = 1 << 17;

/// Cores that this process may use.
fn thread_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        thread::available_parallelism().map_or(1, |count| count.get().min(MOST_THREADS))
    })
}

/// Rows of a band of an image of `height` × `width` pixels: at least one, so that bands can be cut from any image.
pub(crate) fn rows_per_band(height: usize, width: usize) -> usize {
    let threads = thread_count().min((height * width / FEWEST_PIXELS).max(1));
    height.div_ceil(threads).max(1)
}

/// Does the jobs at the same time, the first one on this thread; the results are in the order of the jobs. A panic of one is a
/// panic here.
pub(crate) fn each<J: Send, R: Send>(jobs: Vec<J>, work: impl Fn(J) -> R + Sync) -> Vec<R> {
    let mut jobs = jobs.into_iter();
    let Some(first) = jobs.next() else { return Vec::new() };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = jobs.map(|job| scope.spawn(move || work(job))).collect();
        let mut results = vec![work(first)];
        for other in others {
            match other.join() {
                Ok(result) => results.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

/// Does `work` on bands of a plane of rows of `width` values: first row of the band, and its values. `pixels_per_value` says how
/// much work there is behind a value.
pub(crate) fn of_plane<T: Send>(
    plane: &mut [T],
    width: usize,
    pixels_per_value: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let width = width.max(1);
    let rows = rows_per_band(plane.len() / width, width * pixels_per_value);
    let bands = plane.chunks_mut(rows * width).enumerate();
    each(bands.collect(), |(band, values)| work(band * rows, values));
}

/// `work` of every item, in the order of the items. Neighbours go to different threads: what is sorted by size is shared out
/// evenly.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = if items.len() < FEWEST_ITEMS { 1 } else { thread_count() };
    let shares = each((0..threads).collect(), |thread| {
        items.iter().skip(thread).step_by(threads).map(&work).collect::<Vec<R>>()
    });
    let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
    let mut results = Vec::with_capacity(items.len());
    for index in 0..items.len() {
        results.extend(shares.get_mut(index % threads).and_then(Iterator::next));
    }
    results
}

/// Fewer items are not worth a thread.
const FEWEST_ITEMS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for count in [0, 1, 5, 63, 64, 65, 1000, 1003] {
            let items: Vec<usize> = (0..count).collect();
            let squares: Vec<usize> = items.iter().map(|item| item * item).collect();
            assert_eq!(map(&items, |item| item * item), squares);
        }
    }

    #[test]
    fn every_row_is_visited_once_with_its_number() {
        for (height, width) in [(0, 5), (1, 1), (3, 0), (7, 3), (1000, 700)] {
            let mut plane = vec![0u32; height * width];
            of_plane(&mut plane, width, 1, |first, values| {
                for (offset, row) in values.chunks_mut(width.max(1)).enumerate() {
                    row.iter_mut().for_each(|value| *value += (first + offset) as u32 + 1);
                }
            });
            let right = plane.chunks(width.max(1)).enumerate();
            assert!(
                right
                    .into_iter()
                    .all(|(row, values)| { values.iter().all(|value| *value == row as u32 + 1) })
            );
        }
    }

    #[test]
    #[should_panic(expected = "in a thread")]
    fn a_panic_of_a_thread_is_one_here() {
        each(vec![0, 1], |job| assert_ne!(job, 1, "in a thread"));
    }
}
