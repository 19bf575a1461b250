//! The maps of one step alone, for networks that are operations of their own.

use super::Warp;
use crate::crew;

/// Values of a job.
const BLOCK: usize = 1 << 12;

/// Some values of each row move by a [`Warp`], the others stay; the last column carries the log-determinant.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// Values of a row without the log-determinant.
    pub dims: usize,
    /// Which of them move.
    pub places: Vec<usize>,
    /// How.
    pub warp: Warp,
}

impl Moved {
    fn check(&self, x: &[f32], of: &[f32]) -> usize {
        let rows = x.len() / (self.dims + 1);
        assert_eq!(x.len(), rows * (self.dims + 1), "rows of all values and a log-determinant");
        assert_eq!(of.len(), rows * self.places.len() * self.warp.parameters(), "parameters of every value");
        assert!(self.places.iter().all(|p| *p < self.dims), "values that are there");
        rows
    }

    fn block(&self) -> usize {
        (BLOCK / (self.places.len() * self.warp.parameters()).max(1)).max(1)
    }

    fn gather(&self, x: &[f32]) -> Vec<f32> {
        x.chunks_exact(self.dims + 1).flat_map(|x| self.places.iter().map(|p| x[*p])).collect()
    }

    /// # Shapes
    /// x `[rows, dims + 1]`, of `[rows, moved × parameters]` → as x
    pub fn forward(&self, x: &[f32], of: &[f32]) -> Vec<f32> {
        self.check(x, of);
        let (width, m, each) = (self.dims + 1, self.places.len(), self.warp.parameters());
        let (mut y, size) = (x.to_vec(), self.block());
        crew::rows([(&mut y, width)], size, |i, [y]| {
            let from = self.gather(y);
            let (mut to, mut logs) = (vec![0.0; from.len()], vec![0.0; from.len()]);
            self.warp.forward(&from, &of[i * size * m * each..][..from.len() * each], &mut to, &mut logs);
            for (r, y) in y.chunks_exact_mut(width).enumerate() {
                self.places.iter().zip(&to[r * m..]).for_each(|(p, v)| y[*p] = *v);
                let sum: f64 = logs[r * m..][..m].iter().map(|v| f64::from(*v)).sum();
                y[width - 1] = (f64::from(y[width - 1]) + sum) as f32;
            }
        });
        y
    }

    /// Moves rows without a log-determinant, or with `back` moves them back, and gives log |det| of each, the sums in double precision.
    ///
    /// # Shapes
    /// x `[rows, dims]`, of `[rows, moved × parameters]` → `[rows]`
    pub fn apply(&self, x: &mut [f32], of: &[f32], back: bool) -> Vec<f64> {
        let (width, m, each) = (self.dims, self.places.len(), self.warp.parameters());
        let rows = x.len() / width.max(1);
        assert_eq!(
            (x.len(), of.len()),
            (rows * width, rows * m * each),
            "rows, and parameters of every value"
        );
        assert!(self.places.iter().all(|p| *p < width), "values that are there");
        let (mut log_det, size) = (vec![0.0; rows], self.block());
        if m > 0 {
            let mut by_row: Vec<(&mut [f32], &mut f64)> =
                x.chunks_exact_mut(width).zip(&mut log_det).collect();
            crew::rows([(&mut by_row, 1)], size, |i, [rows]| {
                let from: Vec<f32> =
                    rows.iter().flat_map(|(x, _)| self.places.iter().map(|p| x[*p])).collect();
                let (mut to, mut logs) = (vec![0.0; from.len()], vec![0.0; from.len()]);
                let of = &of[i * size * m * each..][..from.len() * each];
                match back {
                    true => self.warp.inverse(&from, of, &mut to, &mut logs),
                    false => self.warp.forward(&from, of, &mut to, &mut logs),
                }
                for (r, (x, log_det)) in rows.iter_mut().enumerate() {
                    self.places.iter().zip(&to[r * m..]).for_each(|(p, v)| x[*p] = *v);
                    **log_det = logs[r * m..][..m].iter().map(|v| f64::from(*v)).sum();
                }
            });
        }
        log_det
    }

    /// Gradients with respect to the rows and the parameters from that of the result.
    pub fn backward(&self, x: &[f32], of: &[f32], dy: Vec<f32>) -> [Vec<f32>; 2] {
        let rows = self.check(x, of);
        let (width, m, each) = (self.dims + 1, self.places.len(), self.warp.parameters());
        let (mut dx, mut dof, size) = (dy, vec![0.0; of.len()], self.block());
        assert_eq!(dx.len(), x.len(), "a gradient for every value");
        if m * rows > 0 {
            crew::rows([(&mut dx, width), (&mut dof, m * each)], size, |i, [dx, dof]| {
                let from = self.gather(&x[i * size * width..][..dx.len()]);
                let mut moved = self.gather(dx);
                let logs: Vec<f32> =
                    dx.chunks_exact(width).flat_map(|dx| std::iter::repeat_n(dx[width - 1], m)).collect();
                let of = &of[i * size * m * each..][..dof.len()];
                self.warp.backward(&from, of, &mut moved, &logs, dof);
                for (dx, moved) in dx.chunks_exact_mut(width).zip(moved.chunks_exact(m)) {
                    self.places.iter().zip(moved).for_each(|(p, g)| dx[*p] = *g);
                }
            });
        }
        [dx, dof]
    }
}
