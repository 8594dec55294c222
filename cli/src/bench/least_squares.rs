//! Least squares with coefficients that can't be below nothing.

/// How many coefficients there are.
pub(super) const WIDTH: usize = 3;
/// Below this share of its diagonal a pivot is nothing but rounding.
const SINGULAR: f64 = 1e-9;

/// What is measured, and how much of each coefficient is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) parts: [f64; WIDTH],
    /// Above 0.
    pub(super) measured: f64,
}

/// The coefficients, none below 0, by which the rows' relative errors are least in the mean of their
/// squares, and the root of that mean. Times differ by orders of magnitude, and so do their errors.
pub(super) fn solve(rows: &[Row]) -> ([f64; WIDTH], f64) {
    // With so few coefficients, each choice of those that are above 0 can be tried.
    let choices = (0..1_u32 << WIDTH).map(|mask| {
        let mut found = [0.0; WIDTH];
        let some: Vec<_> = (0..WIDTH).filter(|at| mask & (1 << at) != 0).collect();
        if let Some(solved) = normal(rows, &some)
            && solved.iter().all(|value| *value >= 0.0)
        {
            for (at, value) in some.iter().zip(solved) {
                found[*at] = value;
            }
        }
        (found, error(rows, &found))
    });
    let best = choices.min_by(|(_, one), (_, other)| one.total_cmp(other));
    best.unwrap_or_default()
}

/// Solves for some of the coefficients; `None` if the rows do not tell them apart.
fn normal(rows: &[Row], some: &[usize]) -> Option<Vec<f64>> {
    let count = some.len();
    let mut matrix = vec![vec![0.0; count + 1]; count];
    for row in rows {
        let part = |at: usize| row.parts[some[at]] / row.measured;
        for (line, cells) in matrix.iter_mut().enumerate() {
            for (column, cell) in cells.iter_mut().enumerate() {
                *cell += part(line) * if column < count { part(column) } else { 1.0 };
            }
        }
    }
    let diagonal: Vec<f64> = (0..count).map(|at| matrix[at][at]).collect();
    for (at, whole) in diagonal.iter().enumerate() {
        if matrix[at][at] <= SINGULAR * whole {
            return None;
        }
        let pivot = matrix[at].clone();
        for (_, cells) in matrix
            .iter_mut()
            .enumerate()
            .filter(|(line, _)| *line != at)
        {
            let factor = cells[at] / pivot[at];
            for (cell, own) in cells.iter_mut().zip(&pivot) {
                *cell -= factor * own;
            }
        }
    }
    Some(
        (0..count)
            .map(|at| matrix[at][count] / matrix[at][at])
            .collect(),
    )
}

fn error(rows: &[Row], found: &[f64; WIDTH]) -> f64 {
    let square = |row: &Row| {
        let told: f64 = row
            .parts
            .iter()
            .zip(found)
            .map(|(part, of)| part * of)
            .sum();
        (told / row.measured - 1.0).powi(2)
    };
    (rows.iter().map(square).sum::<f64>() / rows.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(truth: [f64; WIDTH], parts: &[[f64; WIDTH]]) -> Vec<Row> {
        let measured = |parts: &[f64; WIDTH]| parts.iter().zip(truth).map(|(a, b)| a * b).sum();
        let row = |parts: &[f64; WIDTH]| Row {
            parts: *parts,
            measured: measured(parts),
        };
        parts.iter().map(row).collect()
    }

    const PARTS: [[f64; WIDTH]; 5] = [
        [1.0, 0.0, 10.0],
        [1.0, 0.0, 500.0],
        [2.0, 0.0, 1000.0],
        [1.0, 1.0, 0.0],
        [1.0, 8.0, 0.0],
    ];

    #[test]
    fn what_made_the_rows_is_found() {
        let truth = [0.02, 0.001, 0.0002];
        let (found, error) = solve(&rows(truth, &PARTS));
        for (found, truth) in found.iter().zip(truth) {
            assert!((found / truth - 1.0).abs() < 1e-6, "{found} {truth}");
        }
        assert!(error < 1e-6, "{error}");
    }

    #[test]
    fn no_coefficient_is_below_nothing() {
        let (found, error) = solve(&rows([-0.001, 0.004, 0.001], &PARTS));
        assert!(found.iter().all(|value| *value >= 0.0), "{found:?}");
        assert!(error > 0.01, "{error}");
    }

    #[test]
    fn what_the_rows_do_not_tell_apart_is_nothing() {
        let same = [[1.0, 1.0, 0.0]; 3];
        let (found, error) = solve(&rows([0.02, 0.001, 0.0], &same));
        assert!((found[0] + found[1] - 0.021).abs() < 1e-9, "{found:?}");
        assert!(error < 1e-9, "{error}");
        assert_eq!(solve(&[]).0, [0.0; WIDTH]);
    }
}
