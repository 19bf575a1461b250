//! Missing values, filled from the conditionals.

use super::{Factorization, one_hot};
use crate::explicit::tractable::autoregressive::Conditionals;
use genus_core::math::log_sum_exp;
use genus_core::transform::Noise;
use genus_core::{Batch, Conditional, Fill, Result, Rng, Scoring, level_at};
use genus_nn::{tensor, values};

/// Proposals of a completion that is not a continuation.
const PROPOSALS: usize = 64;

impl<C: Conditionals> Factorization<C> {
    /// log p(x_d | x_<d, class) summed over the dimensions that are known.
    fn log_known(&self, x: &Batch, known: &[bool], class: Option<&[u32]>) -> Vec<f64> {
        let class = class.map(|c| tensor(one_hot(c, self.prior.len())));
        let outputs = values(self.net.outputs(&self.params.frozen(), tensor(x.clone()), class));
        let n = self.law.outputs();
        let width = x.width();
        let each = |r: usize| -> f64 {
            (0..width)
                .filter(|d| known[r * width + d])
                .map(|d| self.law.log_prob(&outputs[(r * width + d) * n..][..n], x.row(r)[d]))
                .sum()
        };
        (0..x.rows()).map(each).collect()
    }

    /// Classes of a row that is known up to some place, drawn from p(class | what is known); none without classes.
    fn classes_given(&self, row: &Batch, known: &[bool], n: usize, rng: &mut Rng) -> Option<Vec<u32>> {
        let classes = self.prior.len();
        if classes == 0 {
            return None;
        }
        let each: Vec<u32> = (0..classes as u32).collect();
        let nats = self.log_known(&row.select(&vec![0; classes]), &known.repeat(classes), Some(&each));
        let joint: Vec<f64> = nats.iter().zip(&self.prior).map(|(l, p)| l + p).collect();
        let total = log_sum_exp(joint.iter().copied());
        let p: Vec<f32> = joint.iter().map(|v| libm::exp(v - total) as f32).collect();
        Some((0..n).map(|_| level_at(rng.uniform(), &p) as u32).collect())
    }

    /// Whether nothing is known behind the first missing value of any row, so that filling is a continuation.
    fn continues(x: &Batch) -> bool {
        x.iter().all(|row| row.iter().skip_while(|v| !v.is_nan()).all(|v| v.is_nan()))
    }
}

impl<C: Conditionals> Conditional for Factorization<C> {
    /// Where only later values are missing, draws continue the row, whose class is drawn given what is known. Otherwise 64 proposals take the known values as they are and
    /// are weighted by how likely those are after what was proposed before them: importance resampling, exact in the limit.
    fn impute(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Batch> {
        let whole = Batch::from_fn(x.rows(), x.width(), |r, c| {
            Some(x.row(r)[c]).filter(|v| !v.is_nan()).unwrap_or(0.0)
        });
        let (known_values, _) = self.transform.forward(&whole, Noise::Row(Scoring::default().seed))?;
        let mut out = x.clone();
        for r in 0..x.rows() {
            let known: Vec<bool> = x.row(r).iter().map(|v| !v.is_nan()).collect();
            if !known.contains(&false) {
                continue;
            }
            let continues = Self::continues(&x.slice(r, r + 1));
            let n = if continues && fill == Fill::Sample { 1 } else { PROPOSALS };
            let mut drawn = known_values.select(&vec![r; n]);
            let known_all = known.repeat(n);
            let class = match continues {
                true => self.classes_given(&known_values.slice(r, r + 1), &known, n, rng),
                false => self.classes_of(n, rng),
            };
            let u = self.uniform(n, rng);
            self.fill(&mut drawn, &known_all, class.as_deref(), &u, 1.0)?;
            let weights: Vec<f64> = if continues {
                vec![1.0 / n as f64; n]
            } else {
                let nats = self.log_known(&drawn, &known_all, class.as_deref());
                let total = log_sum_exp(nats.iter().copied());
                nats.into_iter().map(|v| libm::exp(v - total)).collect()
            };
            let filled = match fill {
                Fill::Sample => {
                    let p: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
                    let chosen = if n == 1 { 0 } else { level_at(rng.uniform(), &p) };
                    self.transform.inverse(&drawn.slice(chosen, chosen + 1))
                }
                Fill::Mean => {
                    let mean = Batch::from_fn(1, x.width(), |_, c| {
                        drawn.iter().zip(&weights).map(|(row, w)| f64::from(row[c]) * w).sum::<f64>() as f32
                    });
                    self.transform.inverse_mean(&mean)
                }
            };
            for (c, v) in out.row_mut(r).iter_mut().enumerate().filter(|(_, v)| v.is_nan()) {
                *v = filled.row(0)[c];
            }
        }
        Ok(out)
    }

    fn law(&self, x: &Batch) -> String {
        match Self::continues(x) {
            true => "the model's conditional: rows are continued".into(),
            false => {
                format!("importance resampling of {PROPOSALS} proposals, an approximation of the conditional")
            }
        }
    }
}
