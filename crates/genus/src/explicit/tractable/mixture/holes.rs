//! Gaussian components where cells are missing (Ghahramani & Jordan 1994): a row is weighed by what is there of it, and what is not there
//! counts as its conditional law says, by mean and by covariance.

use super::conditional::Conditionals;
use super::covariance::{Factor, solve_lower};
use super::em::{Component, Joint, NOTHING, Weighted};
use crate::holes::{Pattern, patterns};
use genus_core::math::log_sum_exp;
use genus_core::{Batch, Result, Stop};
use rayon::prelude::*;

/// log p(what is there, k) of every row and component, and log p(what is there) of every row.
///
/// # Errors
/// [`genus_core::Error::Stopped`] if it was asked to end.
pub(super) fn joint(conditionals: &Conditionals<'_>, x: &Batch) -> Result<Joint> {
    let stop = Stop::current();
    let of = |kind: &Pattern| {
        stop.check()?;
        let alone = stop.during(|| conditionals.marginal(&kind.there))?;
        let row = |r: &usize| {
            let seen: Vec<f32> = kind.there.iter().map(|c| x.row(*r)[*c]).collect();
            (*r, alone.iter().map(|c| c.log_joint(&seen)).collect::<Vec<f64>>())
        };
        Ok(kind.rows.par_iter().map(row).collect::<Vec<_>>())
    };
    let found = patterns(x).par_iter().map(of).collect::<Result<Vec<_>>>()?;
    let mut each = vec![Vec::new(); x.rows()];
    found.into_iter().flatten().for_each(|(r, values)| each[r] = values);
    let all = each.iter().map(|row| log_sum_exp(row.iter().copied())).collect();
    Ok((each, all))
}

/// Weight, mean and (co)variances of each component: those of the rows as they are expected to be.
///
/// # Errors
/// [`genus_core::Error::Stopped`] if it was asked to end.
pub(super) fn expected(
    conditionals: &Conditionals<'_>,
    x: &Batch,
    shares: &[Vec<f64>],
) -> Result<Vec<Weighted>> {
    let (kinds, stop) = (patterns(x), Stop::current());
    let count = shares.first().map_or(0, Vec::len);
    (0..count)
        .into_par_iter()
        .map(|k| {
            let now = conditionals.component(k);
            let own = |kind: &Pattern| kind.rows.iter().map(|r| shares[*r][k]).sum::<f64>();
            // A component that lost all its rows keeps a vanishing weight, so that nothing is divided by zero.
            let weight = kinds.iter().map(own).sum::<f64>().max(1e-290);
            let mut sums = Around::new(now);
            for kind in &kinds {
                stop.check()?;
                let share = own(kind) / weight;
                if share > NOTHING {
                    stop.during(|| sums.add(conditionals, k, kind, share, x, |r| shares[r][k] / weight))?;
                }
            }
            let (mean, spread) = sums.moments();
            Ok((weight, mean, spread))
        })
        .collect()
}

/// First and second moments around the mean of a component as it is.
struct Around<'a> {
    now: &'a Component,
    first: Vec<f64>,
    /// Of a matrix on and below its diagonal.
    second: Vec<f64>,
}

impl<'a> Around<'a> {
    fn new(now: &'a Component) -> Self {
        let d = now.mean.len();
        let values = if matches!(now.factor, Factor::Diagonal(_)) { d } else { d * d };
        Self { now, first: vec![0.0; d], second: vec![0.0; values] }
    }

    /// Adds the rows of one kind, which have this share of all.
    fn add(
        &mut self,
        conditionals: &Conditionals<'_>,
        k: usize,
        kind: &Pattern,
        all: f64,
        x: &Batch,
        share: impl Fn(usize) -> f64,
    ) -> Result<()> {
        let d = self.first.len();
        let regression = conditionals.regression(k, &kind.there, &kind.missing)?;
        let mut off = vec![0.0; d];
        for r in &kind.rows {
            let (row, share) = (x.row(*r), share(*r));
            if share <= NOTHING {
                continue;
            }
            off.fill(0.0);
            kind.there.iter().for_each(|c| off[*c] = f64::from(row[*c]) - self.now.mean[*c]);
            if let Some(regression) = &regression {
                let mut white: Vec<f64> = kind.there.iter().map(|c| off[*c]).collect();
                solve_lower(&regression.factor, white.len(), &mut white);
                kind.missing.iter().enumerate().for_each(|(i, c)| off[*c] = regression.mean(i, &white));
            }
            self.first.iter_mut().zip(&off).for_each(|(s, v)| *s += share * v);
            if regression.is_none() {
                self.second.iter_mut().zip(&off).for_each(|(s, v)| *s += share * v * v);
            } else {
                for i in 0..d {
                    let scaled = share * off[i];
                    self.second[i * d..=i * d + i].iter_mut().zip(&off).for_each(|(s, v)| *s += scaled * v);
                }
            }
        }
        match (&regression, &self.now.factor) {
            (Some(regression), _) => {
                let m = kind.missing.len();
                for i in 0..m {
                    for j in 0..=i {
                        self.second[kind.missing[i] * d + kind.missing[j]] +=
                            all * regression.rest[i * m + j];
                    }
                }
            }
            (None, Factor::Diagonal(std)) => {
                kind.missing.iter().for_each(|c| self.second[*c] += all * std[*c] * std[*c]);
            }
            (None, Factor::Dense(_)) => unreachable!("a dense factor has a regression"),
        }
        Ok(())
    }

    fn moments(mut self) -> (Vec<f64>, Vec<f64>) {
        let d = self.first.len();
        match self.now.factor {
            Factor::Diagonal(_) => {
                self.second.iter_mut().zip(&self.first).for_each(|(s, f)| *s = (*s - f * f).max(0.0));
            }
            Factor::Dense(_) => {
                for i in 0..d {
                    for j in 0..=i {
                        let v = self.second[i * d + j] - self.first[i] * self.first[j];
                        (self.second[i * d + j], self.second[j * d + i]) = (v, v);
                    }
                }
            }
        }
        let mean = self.now.mean.iter().zip(&self.first).map(|(m, f)| m + f).collect();
        (mean, self.second)
    }
}
