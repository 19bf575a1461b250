//! The most likely law where cells are missing, by expectation–maximisation (Rubin & Thayer 1982; Little & Rubin 2019, chapter 11).
//!
//! Given what is there of a row the factors are normal, and given the factors columns are independent. With z̃ = (z, 1) each column is
//! therefore a regression over the rows that have it: (w, μ) = (Σ E\[z̃ z̃ᵀ\])⁻¹ Σ x E\[z̃\], and ψ is what is left over. Where two turns
//! lead, further turns lead too: as far as they seem to, unless the likelihood falls.

use super::Found;
use super::gaussian::{LinearGaussian, Posterior};
use super::leap::leap;
use crate::holes::{Pattern, patterns};
use crate::spectrum::{all, oriented};
use genus_core::{Batch, Error, Result, Stop};
use nalgebra::{Cholesky, DMatrix};
use rayon::prelude::*;

/// Kinds of rows whose sums are held at once.
const BLOCK: usize = 64;

/// What is fitted, and when it is good enough.
pub(super) struct Em<'a> {
    /// Least noise of each column.
    pub least: &'a [f64],
    /// Whether all columns have the same.
    pub shared: bool,
    /// Most turns.
    pub iterations: usize,
    /// Smallest rise of the mean log-likelihood of a row that is worth going on, nats.
    pub tolerance: f64,
}

impl Em<'_> {
    /// The law that is most likely, from this one on.
    ///
    /// # Errors
    /// [`Error::Stopped`] if it was asked to end before there was anything better, and if nothing can be computed with.
    pub fn climb(
        &self,
        x: &Batch,
        begin: LinearGaussian,
        heard: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Found> {
        let kinds = patterns(x);
        let (mut at, mut last) = (begin, f64::NEG_INFINITY);
        let mut safe: Option<LinearGaussian> = None;
        let mut converged = false;
        for _ in 0..self.iterations {
            let (first, second) = match self.pair(x, &kinds, &at, last, &mut safe) {
                Err(Error::Stopped(_)) if last.is_finite() => break,
                // A column of few values may be explained so well that rounding is all that is left: what was there before is the answer.
                Err(Error::Numerical { .. }) => break,
                other => other?,
            };
            if let Some(old) = first.instead {
                at = old;
            }
            converged = first.nats - last < self.tolerance;
            last = first.nats;
            if heard(last) || converged {
                safe = None;
                break;
            }
            let far = leap([&numbers(&at), &numbers(&first.next), &numbers(&second)]);
            at = law(&far, at.factors()).unwrap_or_else(|_| second.clone());
            safe = Some(second);
        }
        // What was leapt to last was not looked at.
        Ok(Found { law: turned(&safe.unwrap_or(at))?, converged })
    }

    /// Two turns from a law, or from the one that is safe if that law is worse than the last.
    fn pair(
        &self,
        x: &Batch,
        kinds: &[Pattern],
        at: &LinearGaussian,
        last: f64,
        safe: &mut Option<LinearGaussian>,
    ) -> Result<(Turn, LinearGaussian)> {
        let (mut nats, mut next) = self.turn(x, kinds, at)?;
        let mut instead = None;
        if (nats < last || !nats.is_finite())
            && let Some(old) = safe.take()
        {
            (nats, next) = self.turn(x, kinds, &old)?;
            instead = Some(old);
        }
        let (_, second) = self.turn(x, kinds, &next)?;
        Ok((Turn { nats, next, instead }, second))
    }

    /// The mean log-likelihood of the rows, and the law after one turn.
    fn turn(&self, x: &Batch, kinds: &[Pattern], at: &LinearGaussian) -> Result<(f64, LinearGaussian)> {
        let (d, q, stop) = (x.width(), at.factors(), Stop::current());
        let mut columns = vec![Sums::new(q); d];
        let mut total = 0.0;
        for some in kinds.chunks(BLOCK) {
            stop.check()?;
            let found =
                some.par_iter().map(|kind| expected(x, at, kind, &stop)).collect::<Result<Vec<_>>>()?;
            total += found.iter().map(|e| e.nats).sum::<f64>();
            columns.par_iter_mut().enumerate().for_each(|(c, sums)| {
                for (kind, e) in some.iter().zip(&found) {
                    if let Ok(place) = kind.there.binary_search(&c) {
                        sums.add(kind.rows.len(), e, place);
                    }
                }
            });
        }
        let regressed = columns.par_iter().map(Sums::regress).collect::<Result<Vec<_>>>()?;
        let noise = match self.shared {
            true => {
                let rows: usize = columns.iter().map(|s| s.rows).sum();
                vec![regressed.iter().map(|r| r.rest).sum::<f64>() / rows as f64; d]
            }
            false => regressed.iter().zip(&columns).map(|(r, s)| r.rest / s.rows as f64).collect(),
        };
        let noise = noise.iter().zip(self.least).map(|(v, least)| v.max(*least)).collect();
        let weights = DMatrix::from_fn(d, q, |c, j| regressed[c].weights[j]);
        let mean = (0..d).map(|c| at.mean[c] + regressed[c].weights[q]).collect();
        Ok((total / x.rows() as f64, LinearGaussian::new(weights, mean, noise)?))
    }
}

/// The first of two turns.
struct Turn {
    nats: f64,
    next: LinearGaussian,
    /// What it was taken from, if not from what was asked.
    instead: Option<LinearGaussian>,
}

/// What the rows of one kind give.
struct Expected {
    nats: f64,
    /// Σ E\[z̃ z̃ᵀ\].
    square: DMatrix<f64>,
    /// Σ (x − μ) E\[z̃\] of each column that is there, as columns.
    cross: DMatrix<f64>,
    /// Σ (x − μ)² of these.
    own: Vec<f64>,
}

fn expected(x: &Batch, at: &LinearGaussian, kind: &Pattern, stop: &Stop) -> Result<Expected> {
    let (q, k) = (at.factors(), kind.there.len());
    let mut made: Option<Posterior> = None;
    let of = match kind.missing.is_empty() {
        true => at.whole(),
        false => &*made.insert(at.posterior(kind.there.clone())?),
    };
    let spread = of.covariance();
    let mut sums = Expected {
        nats: 0.0,
        square: DMatrix::zeros(q + 1, q + 1),
        cross: DMatrix::zeros(q + 1, k),
        own: vec![0.0; k],
    };
    for (i, r) in kind.rows.iter().enumerate() {
        if i.is_multiple_of(64) {
            stop.check()?;
        }
        let row = x.row(*r);
        let (nats, mean) = at.infer(of, row);
        let z = mean.push(1.0);
        sums.nats += nats;
        sums.square.ger(1.0, &z, &z, 1.0);
        for (place, c) in kind.there.iter().enumerate() {
            let off = f64::from(row[*c]) - at.mean[*c];
            sums.own[place] += off * off;
            sums.cross.column_mut(place).axpy(off, &z, 1.0);
        }
    }
    let rows = kind.rows.len() as f64;
    let mut factors = sums.square.view_mut((0, 0), (q, q));
    factors += spread * rows;
    Ok(sums)
}

/// What a column is regressed on.
#[derive(Clone)]
struct Sums {
    rows: usize,
    square: DMatrix<f64>,
    cross: nalgebra::DVector<f64>,
    own: f64,
}

/// Weights of the factors and of 1, and the squares that they leave.
struct Regressed {
    weights: nalgebra::DVector<f64>,
    rest: f64,
}

impl Sums {
    fn new(q: usize) -> Self {
        Self {
            rows: 0,
            square: DMatrix::zeros(q + 1, q + 1),
            cross: nalgebra::DVector::zeros(q + 1),
            own: 0.0,
        }
    }

    fn add(&mut self, rows: usize, of: &Expected, place: usize) {
        self.rows += rows;
        self.square += &of.square;
        self.cross += of.cross.column(place);
        self.own += of.own[place];
    }

    fn regress(&self) -> Result<Regressed> {
        let failed = || Error::Numerical {
            what: "the regression of a column on the factors".into(),
            step: 0,
            remedy: "take fewer factors, or leave out columns that have few values".into(),
        };
        let weights = Cholesky::new(self.square.clone()).ok_or_else(failed)?.solve(&self.cross);
        Ok(Regressed { rest: (self.own - weights.dot(&self.cross)).max(0.0), weights })
    }
}

/// Weights, means and the logarithms of the noise, one after the other.
fn numbers(of: &LinearGaussian) -> Vec<f64> {
    let noise = of.noise.iter().map(|v| libm::log(*v));
    of.weights.iter().copied().chain(of.mean.iter().copied()).chain(noise).collect()
}

fn law(numbers: &[f64], q: usize) -> Result<LinearGaussian> {
    let d = numbers.len() / (q + 2);
    let (weights, rest) = numbers.split_at(d * q);
    let noise = rest[d..].iter().map(|v| libm::exp(*v)).collect();
    LinearGaussian::new(DMatrix::from_column_slice(d, q, weights), rest[..d].to_vec(), noise)
}

/// The same law by factors that are orthogonal in units of the noise, the strongest first.
fn turned(of: &LinearGaussian) -> Result<LinearGaussian> {
    let scaled =
        DMatrix::from_fn(of.weights.nrows(), of.factors(), |c, j| of.weights[(c, j)] / of.noise[c].sqrt());
    let (_, turn) = all(scaled.tr_mul(&scaled))?;
    LinearGaussian::new(oriented(&of.weights * turn), of.mean.clone(), of.noise.clone())
}
