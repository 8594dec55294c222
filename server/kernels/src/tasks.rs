//! How a product is split into tasks for a pool of threads.

use crate::matrix::Finish;
use crate::quant::ROWS;
use rayon::prelude::*;
use std::ops::Range;

/// A part of a product: some panels of weights with some rows of the input.
#[derive(Debug)]
pub(crate) struct Task<'a, X> {
    /// Which panels.
    pub(crate) panels: Range<usize>,
    /// The rows of the input, one after the other.
    pub(crate) x: &'a [X],
    /// Of each row's result the part that these panels give.
    pub(crate) out: Vec<&'a mut [f32]>,
}

/// What a product is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Rows of the weights.
    pub(crate) rows: usize,
    /// Blocks, or numbers, of a row of the input.
    pub(crate) width: usize,
    /// Columns of the weights.
    pub(crate) columns: usize,
    /// Bytes of a panel of weights.
    pub(crate) panel_bytes: usize,
}

/// Rows of the input that a panel meets before the next one: so many that they stay in the second cache beside it.
pub(crate) const MOST_ROWS: usize = 64;
/// A task takes at least this long, far more than handing it over does,
const LEAST_NS: usize = 8_000;
/// and at most this long, little enough to balance.
const MOST_NS: usize = 30_000;
/// Work that takes less is done by the caller: waking a thread may take as long.
const ALONE_NS: usize = 20_000;

impl Shape {
    /// About how long a product with so many rows of the input takes on one thread.
    pub(crate) fn cost_ns(self, count: usize) -> usize {
        let rows = tile_rows(count, MOST_ROWS);
        self.panel_ns(rows) * self.rows.div_ceil(ROWS) * count.div_ceil(rows)
    }

    /// About how long a panel takes for so many rows of the input: it comes from memory at some ten bytes a
    /// nanosecond, or it is the sixty products a nanosecond that limit.
    fn panel_ns(self, rows: usize) -> usize {
        let memory = self.panel_bytes / 10;
        let products = ROWS * self.columns * rows / 60;
        memory.max(products).max(1)
    }
}

/// Tasks of one or several products that are done together.
pub(crate) struct Work<'a> {
    cost_ns: usize,
    tasks: Vec<Box<dyn FnOnce() + Send + 'a>>,
}

impl<'a> Work<'a> {
    /// Of products that take so long on one thread.
    pub(crate) fn new(cost_ns: usize) -> Self {
        Self {
            cost_ns,
            tasks: Vec::new(),
        }
    }

    /// Adds a product: `run` does a part of it, and `finish` is done to what it gives.
    pub(crate) fn add<X: Sync>(
        &mut self,
        shape: Shape,
        x: &'a [X],
        out: &'a mut [f32],
        finish: Option<Finish<'a>>,
        run: impl Fn(&mut Task<'a, X>) + Copy + Send + 'a,
    ) {
        let rows = tile_rows(out.len() / shape.rows, MOST_ROWS);
        let share = self.cost_ns / (4 * rayon::current_num_threads());
        let aim = share.clamp(LEAST_NS, MOST_NS);
        // A multiple of four: panels of plain numbers lie in fours, and quantised ones in pairs.
        let per_task = (aim / shape.panel_ns(rows)).next_multiple_of(4).max(4);
        let mut tasks = Vec::new();
        let inputs = x.chunks(rows * shape.width);
        for (x, out) in inputs.zip(out.chunks_mut(rows * shape.rows)) {
            split(shape.rows, per_task, x, out, &mut tasks);
        }
        for mut task in tasks {
            self.tasks.push(Box::new(move || {
                run(&mut task);
                if let Some(finish) = finish {
                    let first = task.panels.start * ROWS;
                    task.out.iter_mut().for_each(|out| finish(first, out));
                }
            }));
        }
    }

    /// Does it all, on the current pool of threads if that is worth it.
    pub(crate) fn finish(self) {
        if self.cost_ns <= ALONE_NS || self.tasks.len() == 1 {
            self.tasks.into_iter().for_each(|task| task());
        } else {
            let tasks = self.tasks.into_par_iter().with_max_len(1);
            tasks.for_each(|task| task());
        }
    }
}

/// Splits one block of rows into tasks of so many panels.
fn split<'a, X>(
    rows: usize,
    per_task: usize,
    x: &'a [X],
    out: &'a mut [f32],
    tasks: &mut Vec<Task<'a, X>>,
) {
    let panels = rows.div_ceil(ROWS);
    let before = tasks.len();
    for start in (0..panels).step_by(per_task) {
        tasks.push(Task {
            panels: start..panels.min(start + per_task),
            x,
            out: Vec::with_capacity(out.len() / rows),
        });
    }
    for row in out.chunks_mut(rows) {
        let parts = row.chunks_mut(per_task * ROWS);
        for (task, part) in tasks[before..].iter_mut().zip(parts) {
            task.out.push(part);
        }
    }
}

/// `count` rows in tiles of about the same size, `most` at most: so many in a tile.
pub(crate) fn tile_rows(count: usize, most: usize) -> usize {
    let tiles = count.div_ceil(most).max(1);
    count.div_ceil(tiles).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_cover_every_result_once() {
        for (rows, count) in [(1, 1), (8, 3), (2049, 1), (2049, 130), (100, 65)] {
            let shape = Shape {
                rows,
                width: 2,
                columns: 512,
                panel_bytes: 2400,
            };
            let x: Vec<_> = (0..count * shape.width).collect();
            let mut out = vec![0.0; rows * count];
            let mut work = Work::new(shape.cost_ns(count));
            work.add(shape, &x, &mut out, None, |task| {
                for (row, out) in task.out.iter_mut().enumerate() {
                    let end = task.panels.end * ROWS;
                    assert_eq!(out.len(), end.min(rows) - task.panels.start * ROWS);
                    for value in out.iter_mut() {
                        *value += 1.0 + task.x[row * 2] as f32;
                    }
                }
            });
            work.finish();
            for (row, out) in out.chunks(rows).enumerate() {
                assert!(out.iter().all(|value| *value == 1.0 + (2 * row) as f32));
            }
        }
    }

    #[test]
    fn tiles_are_even() {
        assert_eq!(
            [1, 4, 5, 8, 9].map(|count| tile_rows(count, 4)),
            [1, 4, 3, 4, 3]
        );
        assert_eq!(tile_rows(0, 4), 1);
    }
}
