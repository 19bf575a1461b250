//! The units in which models without a density see columns: there is no measure to be kept, so that levels stay what they are.

use genus_core::transform::{means, moments};
use genus_core::{Batch, Domain, Error, Result, State, Tensor};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// What is taken from each column, and what it is divided by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Units {
    shift: Vec<f64>,
    scale: Vec<f64>,
}

impl Units {
    /// Columns around their means, in units of their standard deviations if they are `standardized`.
    pub fn around(x: &Batch, standardized: bool) -> Self {
        if standardized {
            let (shift, scale) = moments(x);
            return Self { shift, scale };
        }
        Self { shift: means(x), scale: vec![1.0; x.width()] }
    }

    /// Columns around their means, all in the root of their mean variance.
    pub fn common(x: &Batch) -> Self {
        let (shift, deviations) = moments(x);
        // The deviation of a constant column is no deviation.
        let varies = |c: &usize| x.iter().any(|row| row[*c] != x.row(0)[*c]);
        let d = shift.len();
        let sum: f64 = (0..d).filter(varies).map(|c| deviations[c].powi(2)).sum();
        let scale = if sum > 0.0 { (sum / d as f64).sqrt() } else { 1.0 };
        Self { shift, scale: vec![scale; d] }
    }

    /// Levels and bits from 0 to 1, real columns standardised.
    pub fn unit(domain: &Domain, x: &Batch) -> Self {
        match domain.top() {
            Some(top) => Self { shift: vec![0.0; x.width()], scale: vec![f64::from(top); x.width()] },
            None => Self::around(x, true),
        }
    }

    /// The same, of numbers that single precision holds: what is taken from each column, and what it is multiplied by then.
    pub fn rounded(self) -> (Self, [Vec<f32>; 2]) {
        let shift: Vec<f32> = self.shift.iter().map(|m| *m as f32).collect();
        let factor: Vec<f32> = self.scale.iter().map(|s| (1.0 / s).min(f64::from(f32::MAX)) as f32).collect();
        let exact = |v: &[f32]| -> Vec<f64> { v.iter().map(|v| f64::from(*v)).collect() };
        let scale = exact(&factor).into_iter().map(|f| 1.0 / f).collect();
        (Self { shift: exact(&shift), scale }, [shift, factor])
    }

    /// A covariance of the data in these units.
    pub fn scale(&self, of: DMatrix<f64>) -> DMatrix<f64> {
        DMatrix::from_fn(of.nrows(), of.ncols(), |i, j| of[(i, j)] / (self.scale[i] * self.scale[j]))
    }

    /// Rows of data in these units.
    pub fn inside(&self, x: &Batch) -> Batch {
        let mut y = x.clone();
        y.data_mut().par_chunks_exact_mut(x.width()).for_each(|row| {
            let units = self.shift.iter().zip(&self.scale);
            row.iter_mut().zip(units).for_each(|(v, (m, s))| *v = ((f64::from(*v) - m) / s) as f32);
        });
        y
    }

    /// Rows of data; where there are levels, points between these, and no further than they go.
    pub fn outside(&self, y: &Batch, domain: &Domain) -> Batch {
        let top = domain.top();
        Batch::from_fn(y.rows(), y.width(), |r, c| {
            let v = (self.shift[c] + self.scale[c] * f64::from(y.row(r)[c])) as f32;
            top.map_or(v, |top| v.clamp(0.0, top))
        })
    }

    /// Values in some columns, without the ends of levels.
    pub fn back(&self, values: &[f64], columns: &[usize]) -> Vec<f64> {
        values.iter().zip(columns).map(|(v, c)| self.shift[*c] + self.scale[*c] * v).collect()
    }

    /// Into a model's state.
    pub fn put(&self, state: &mut State) {
        let d = self.shift.len();
        state.tensors.insert("shift".into(), Tensor::f64(&[d], self.shift.clone()));
        state.tensors.insert("scale".into(), Tensor::f64(&[d], self.scale.clone()));
    }

    /// Those of `d` columns that [`put`](Self::put) put there.
    ///
    /// # Errors
    /// [`Error::Run`] if there are no such.
    pub fn restore(state: &State, d: usize) -> Result<Self> {
        let (shift, scale) = (state.f64("shift", &[d])?.to_vec(), state.f64("scale", &[d])?.to_vec());
        if scale.iter().any(|s| *s <= 0.0) {
            return Err(Error::Run("a column has no unit above 0; the file is damaged".into()));
        }
        Ok(Self { shift, scale })
    }
}
