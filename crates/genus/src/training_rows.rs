//! What a training sees of the data, through a model's transform. Rows are checked once, and held once where nothing is done to them.

use genus_core::transform::{Noise, Transform};
use genus_core::{Batch, Dataset, Result, Rng, Seed, Support};

/// Training rows, transformed once where that is all they need and at every presentation where their noise must be fresh.
pub struct TrainingRows {
    rows: Batch,
    /// Still to be done at every presentation.
    fresh: Option<Transform>,
    /// Transformed validation rows.
    pub valid: Option<Batch>,
    /// Mean of each transformed column, with one added success and failure where columns are bits.
    means: Vec<f64>,
}

impl TrainingRows {
    /// Transforms what can be transformed beforehand.
    pub fn new(transform: &Transform, data: &Dataset, seed: Seed) -> Result<Self> {
        let still = |x: &Batch| transform.forward(x, Noise::Row(seed.child("still"))).map(|(x, _)| x);
        let steady = still(&data.train.x)?;
        let n = steady.rows() as f64;
        let (first, n) = match transform.target().support {
            Support::Binary => (1.0 / (n + 2.0), n + 2.0),
            _ => (0.0, n),
        };
        let mut means = vec![first; steady.width()];
        for row in steady.iter() {
            means.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / n);
        }
        let valid = data.valid.as_ref().map(|v| still(&v.x)).transpose()?;
        let (rows, fresh) = if transform.is_random() {
            (data.train.x.clone(), Some(transform.clone()))
        } else {
            (steady, None)
        };
        Ok(Self { rows, fresh, valid, means })
    }

    /// Number of training rows.
    pub fn rows(&self) -> usize {
        self.rows.rows()
    }

    /// Rows in the model's domain, with noise from a stream where that must be fresh.
    pub fn batch(&self, rows: &[usize], noise: impl FnOnce() -> Rng) -> Result<Batch> {
        let x = self.rows.select(rows);
        match &self.fresh {
            Some(t) => Ok(t.forward_checked(&x, Noise::Stream(&mut noise()))?.0),
            None => Ok(x),
        }
    }

    /// Columns with values further from 0 than `most`, and how far the furthest is; none of levels, which have ends.
    pub fn beyond(&self, most: f32) -> (Vec<usize>, f32) {
        let mut far = vec![0.0f32; self.rows.width()];
        if self.fresh.is_none() {
            for row in self.rows.iter() {
                far.iter_mut().zip(row).for_each(|(f, v)| *f = f.max(v.abs()));
            }
        }
        let columns = (0..far.len()).filter(|c| far[*c] > most).collect();
        (columns, far.into_iter().fold(0.0, f32::max))
    }

    /// Mean of each column; of bits as if there had been one row of zeros and one of ones more.
    pub fn means(&self) -> Vec<f32> {
        self.means.iter().map(|m| *m as f32).collect()
    }

    /// Logit of the marginal of each column, for bits: what output biases start from.
    pub fn marginal_logits(&self) -> Vec<f32> {
        self.means.iter().map(|p| (libm::log(*p) - libm::log1p(-p)) as f32).collect()
    }

    /// Rows that are what the model works on already.
    #[cfg(test)]
    pub fn of_rows(rows: Batch) -> Self {
        Self { means: vec![0.5; rows.width()], rows, fresh: None, valid: None }
    }
}
