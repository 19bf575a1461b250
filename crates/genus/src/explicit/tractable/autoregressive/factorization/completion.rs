//! Missing values, filled from the conditionals.
//!
//! What is missing behind the last known value of a row continues it: its conditionals are those of the model. What is missing before
//! it, x_m, is to be drawn from p(x_m | known) ∝ p(x up to the last known value), which is
//!
//! - summed, where x_m has at most 4096 values;
//! - integrated on a grid, where x_m is one real number;
//! - else approached: proposals that take known values as they are, weighted and chosen anew along the order (sequential Monte Carlo;
//!   Doucet & Johansen 2009), and from the one that is chosen a chain that draws one missing value after the other from its conditional
//!   given all others (Gibbs sampling; on grids, Ritter & Tanner 1992, for real values).
//!
//! Classes are summed over.

use super::{CHUNK, Factorization, one_hot};
use crate::completion::{count, effective, normalised, settle, ways};
use crate::explicit::tractable::autoregressive::Conditionals;
use crate::explicit::tractable::autoregressive::law::Law;
use genus_core::math::log_sum_exp;
use genus_core::transform::Noise;
use genus_core::{Batch, Completion, Conditional, Fill, Result, Rng, Scoring, Stop, level_at};
use genus_nn::{tensor, values};

/// Proposals, and places along the order at which they are chosen anew.
const PROPOSALS: usize = 256;
const STAGES: usize = 8;
/// Continuations that a mean is taken over.
const CONTINUED: usize = 256;
/// Sweeps of a chain before a draw; as many again are averaged for a mean.
const SWEEPS: usize = 30;
/// Most rows that a sweep of a chain may ask the network for.
const ASKED: usize = 1 << 14;
/// Points of the grids of a real value: a wide one, and one where the mass is.
const GRID: usize = 2048;
/// Effective proposals below which somebody should know.
const FEW: f64 = 10.0;

/// How a row was completed; the worst of some rows is what is said of all.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Way {
    /// Its missing values follow the known ones.
    Continued,
    /// Every way was weighed, or a grid of them.
    Weighed,
    /// So many effective proposals, and a chain if there was one.
    Approached { chain: bool, effective: f64 },
}

/// A row that is about to be completed.
struct Prepared {
    missing: Vec<usize>,
    /// Those that are missing before `upto`.
    inner: Vec<usize>,
    /// Where the row is continued.
    upto: usize,
    /// Ways to fill what is missing before, with their weights.
    rows: Batch,
    weights: Vec<f64>,
    way: Way,
}

impl<C: Conditionals> Factorization<C> {
    /// What the network puts out for rows, class after class; one without classes.
    fn every_class(&self, x: &Batch) -> Vec<Vec<f32>> {
        let view = self.params.frozen();
        let of = |class: Option<u32>| {
            let class = class.map(|c| tensor(one_hot(&vec![c; x.rows()], self.prior.len())));
            values(self.net.outputs(&view, tensor(x.clone()), class))
        };
        match self.prior.len() {
            0 => vec![of(None)],
            n => (0..n as u32).map(|c| of(Some(c))).collect(),
        }
    }

    /// log p of the dimensions before `upto` and the class, class by class, nats; of rows that are few enough for one pass.
    fn log_classes(&self, x: &Batch, upto: usize) -> Vec<Vec<f64>> {
        let (n, width) = (self.law.outputs(), x.width());
        let one = |(c, outputs): (usize, Vec<f32>)| -> Vec<f64> {
            let each = |r: usize| -> f64 {
                (0..upto)
                    .map(|d| self.law.log_prob(&outputs[(r * width + d) * n..][..n], x.row(r)[d]))
                    .sum::<f64>()
                    + self.prior.get(c).copied().unwrap_or(0.0)
            };
            (0..x.rows()).map(each).collect()
        };
        self.every_class(x).into_iter().enumerate().map(one).collect()
    }

    /// log p of the dimensions before `upto`, nats.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    fn log_before(&self, x: &Batch, upto: usize) -> Result<Vec<f64>> {
        let most = (CHUNK / (x.width() * self.law.outputs())).max(1);
        let (stop, mut nats) = (Stop::current(), Vec::with_capacity(x.rows()));
        for start in (0..x.rows()).step_by(most) {
            stop.check()?;
            let classes = self.log_classes(&x.slice(start, x.rows().min(start + most)), upto);
            nats.extend((0..classes[0].len()).map(|r| log_sum_exp(classes.iter().map(|c| c[r]))));
        }
        Ok(nats)
    }

    /// p(class | the dimensions before `upto`) of a row; empty without classes.
    fn classes_given(&self, row: &Batch, upto: usize) -> Vec<f64> {
        match self.prior.is_empty() {
            true => Vec::new(),
            false => normalised(&self.log_classes(row, upto).iter().map(|c| c[0]).collect::<Vec<_>>()),
        }
    }

    /// Rows from `upto` on, drawn as the model continues what is before.
    fn continued(&self, rows: &mut Batch, upto: usize, rng: &mut Rng) -> Result<()> {
        if upto == rows.width() {
            return Ok(());
        }
        let class: Option<Vec<u32>> = (!self.prior.is_empty()).then(|| {
            let of = |r: usize| self.classes_given(&rows.slice(r, r + 1), upto);
            // Rows before a mean are all alike.
            let first: Vec<f32> = of(0).into_iter().map(|p| p as f32).collect();
            let alike = (1..rows.rows()).all(|r| rows.row(r)[..upto] == rows.row(0)[..upto]);
            (0..rows.rows())
                .map(|r| match alike {
                    true => level_at(rng.uniform(), &first) as u32,
                    false => rng.categorical(&of(r)) as u32,
                })
                .collect()
        });
        let known: Vec<bool> = (0..rows.data().len()).map(|i| i % rows.width() < upto).collect();
        let u = self.uniform(rows.rows(), rng);
        self.fill(rows, &known, class.as_deref(), &u, 1.0)
    }

    /// What is weighed for a row before anything is drawn. Missing values of `row` are 0.
    fn prepared(&self, row: &Batch, known: &[bool], fill: Fill, rng: &mut Rng) -> Result<Prepared> {
        let d = row.width();
        let missing: Vec<usize> = (0..d).filter(|c| !known[*c]).collect();
        let end = known.iter().rposition(|k| *k).map_or(0, |c| c + 1);
        let real = matches!(self.law, Law::Real(_));
        // For an exact mean, what follows the last known value is weighed with the rest where that is possible.
        let all = fill == Fill::Mean && !real && count(self.law.levels(), missing.len()).is_some();
        let upto = if all { d } else { end };
        let inner: Vec<usize> = missing.iter().copied().filter(|c| *c < upto).collect();
        let (rows, weights, way) = match inner.len() {
            0 => (row.clone(), vec![1.0], Way::Continued),
            n if !real && count(self.law.levels(), n).is_some() => {
                let rows = ways(row.row(0), &inner, self.law.levels());
                let weights = normalised(&self.log_before(&rows, upto)?);
                (rows, weights, Way::Weighed)
            }
            1 if real => {
                let (rows, weights) = self.grid(row, inner[0], upto)?;
                (rows, weights, Way::Weighed)
            }
            _ => self.approached(row, &inner, upto, fill, rng)?,
        };
        Ok(Prepared { missing, inner, upto, rows, weights, way })
    }

    /// One row completed: a draw, or its mean.
    fn complete_row(&self, prepared: &Prepared, fill: Fill, rng: &mut Rng) -> Result<Vec<f32>> {
        let Prepared { missing, inner, upto, rows, weights, way } = prepared;
        let (d, upto) = (rows.width(), *upto);
        if fill == Fill::Sample {
            let mut one = rows.slice(0, 1);
            one.row_mut(0).copy_from_slice(&settle(rows, weights, fill, rng));
            if matches!(self.law, Law::Real(_)) && *way == Way::Weighed {
                // Points stand for the stretches around them.
                let step = rows.row(1)[inner[0]] - rows.row(0)[inner[0]];
                one.row_mut(0)[inner[0]] += step * (rng.uniform() - 0.5);
            }
            self.continued(&mut one, upto, rng)?;
            return Ok(one.into_data());
        }
        let mut mean = settle(rows, weights, fill, rng);
        let (mut rows, mut weights) = (rows.clone(), weights.clone());
        let trailing = &missing[inner.len()..];
        if let [next, ..] = trailing {
            if rows.rows() > 1 || trailing.len() > 1 {
                let picks: Vec<usize> = (0..CONTINUED).map(|_| rng.categorical(&weights)).collect();
                rows = rows.select(&picks);
                weights = vec![1.0 / CONTINUED as f64; CONTINUED];
                self.continued(&mut rows, upto, rng)?;
            }
            // The mean of each conditional given what was drawn before it; of the first one after known values it is exact.
            let n = self.law.outputs();
            let outputs = self.every_class(&rows);
            let share: Vec<Vec<f64>> =
                (0..rows.rows()).map(|r| self.classes_given(&rows.slice(r, r + 1), *next)).collect();
            for c in trailing {
                let of = |r: usize| -> f64 {
                    let at = (r * d + c) * n..(r * d + c + 1) * n;
                    let of_class = |k: usize| self.law.mean(&outputs[k][at.clone()]);
                    match share[r].len() {
                        0 => of_class(0),
                        _ => share[r].iter().enumerate().map(|(k, p)| p * of_class(k)).sum(),
                    }
                };
                mean[*c] = weights.iter().enumerate().map(|(r, w)| w * of(r)).sum::<f64>() as f32;
            }
        }
        Ok(mean)
    }

    /// Points of a real dimension and the share of the mass around each: a grid over the model's own conditional, and a finer one over
    /// what has mass given what follows.
    fn grid(&self, row: &Batch, m: usize, upto: usize) -> Result<(Batch, Vec<f64>)> {
        let (n, d) = (self.law.outputs(), row.width());
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for outputs in self.every_class(row) {
            let [a, b] = self.law.extent(&outputs[m * n..(m + 1) * n]);
            (low, high) = (low.min(a), high.max(b));
        }
        let points = |low: f32, high: f32| {
            let step = (high - low) / GRID as f32;
            Batch::from_fn(GRID, d, |r, c| if c == m { low + step * (r as f32 + 0.5) } else { row.row(0)[c] })
        };
        let mut rows = points(low, high);
        // Twice finer: what is left after two is as smooth as single precision allows.
        for _ in 0..2 {
            let log = self.log_before(&rows, upto)?;
            let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let there = |i: &usize| log[*i] > top - 30.0;
            let (first, last) =
                ((0..GRID).find(there).unwrap_or(0), (0..GRID).rfind(there).unwrap_or(GRID - 1));
            let step = rows.row(1)[m] - rows.row(0)[m];
            if last - first > GRID / 2 {
                break;
            }
            rows = points(rows.row(first)[m] - step, rows.row(last)[m] + step);
        }
        let weights = normalised(&self.log_before(&rows, upto)?);
        Ok((rows, weights))
    }

    /// Rows and weights that stand for p(missing | known) where it cannot be weighed.
    fn approached(
        &self,
        row: &Batch,
        inner: &[usize],
        upto: usize,
        fill: Fill,
        rng: &mut Rng,
    ) -> Result<(Batch, Vec<f64>, Way)> {
        let d = row.width();
        let mut rows = row.select(&[0; PROPOSALS]);
        let mut weights = vec![1.0 / PROPOSALS as f64; PROPOSALS];
        let mut known_end = 0;
        for stage in 1..=STAGES {
            let end = upto * stage / STAGES;
            if end == known_end {
                continue;
            }
            // Drawn up to `end`; before `known_end`, and where values are given, nothing changes.
            let open: Vec<bool> =
                (0..d).map(|c| inner.contains(&c) && (known_end..end).contains(&c)).collect();
            let class: Option<Vec<u32>> = (!self.prior.is_empty()).then(|| {
                (0..PROPOSALS)
                    .map(|r| rng.categorical(&self.classes_given(&rows.slice(r, r + 1), known_end)) as u32)
                    .collect()
            });
            let known: Vec<bool> = (0..rows.data().len()).map(|i| !open[i % d]).collect();
            let u = self.uniform(PROPOSALS, rng);
            self.fill(&mut rows, &known, class.as_deref(), &u, 1.0)?;
            let gained = self.gained(&rows, known_end..end, &open, class.as_deref());
            let log: Vec<f64> = weights.iter().zip(gained).map(|(w, g)| libm::log(*w) + g).collect();
            weights = normalised(&log);
            if stage < STAGES && effective(&weights) < 0.5 * PROPOSALS as f64 {
                let picks: Vec<usize> = (0..PROPOSALS).map(|_| rng.categorical(&weights)).collect();
                rows = rows.select(&picks);
                weights = vec![1.0 / PROPOSALS as f64; PROPOSALS];
            }
            known_end = end;
        }
        let worth = effective(&weights);
        let asked = inner.len() * if matches!(self.law, Law::Real(_)) { 2 * GRID } else { self.law.levels() };
        if asked > ASKED {
            return Ok((rows, weights, Way::Approached { chain: false, effective: worth }));
        }
        let mut one = Batch::new(settle(&rows, &weights, Fill::Sample, rng), d)?;
        let mut visited = Vec::new();
        let sweeps = if fill == Fill::Mean { 2 * SWEEPS } else { SWEEPS };
        for sweep in 0..sweeps {
            for m in inner {
                let (points, weights) = match self.law {
                    Law::Real(_) => self.grid(&one, *m, upto)?,
                    _ => {
                        let rows = ways(one.row(0), &[*m], self.law.levels());
                        let weights = normalised(&self.log_before(&rows, upto)?);
                        (rows, weights)
                    }
                };
                one = Batch::new(settle(&points, &weights, Fill::Sample, rng), d)?;
            }
            if sweep >= SWEEPS {
                visited.extend_from_slice(one.data());
            }
        }
        let rows = if fill == Fill::Mean { Batch::new(visited, d)? } else { one };
        let weights = vec![1.0 / rows.rows() as f64; rows.rows()];
        Ok((rows, weights, Way::Approached { chain: true, effective: worth }))
    }

    /// log p of the known values among `range`, given what is before each and the class, nats: what proposals gain by them.
    fn gained(
        &self,
        rows: &Batch,
        range: std::ops::Range<usize>,
        open: &[bool],
        class: Option<&[u32]>,
    ) -> Vec<f64> {
        let class = class.map(|c| tensor(one_hot(c, self.prior.len())));
        let outputs = values(self.net.outputs(&self.params.frozen(), tensor(rows.clone()), class));
        let (n, d) = (self.law.outputs(), rows.width());
        let each = |r: usize| -> f64 {
            let given = range.clone().filter(|c| !open[*c]);
            given.map(|c| self.law.log_prob(&outputs[(r * d + c) * n..][..n], rows.row(r)[c])).sum()
        };
        (0..rows.rows()).map(each).collect()
    }
}

impl<C: Conditionals> Conditional for Factorization<C> {
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion> {
        self.transform.source().check(x, true)?;
        let whole = Batch::from_fn(x.rows(), x.width(), |r, c| {
            Some(x.row(r)[c]).filter(|v| !v.is_nan()).unwrap_or(0.0)
        });
        let (known_values, _) = self.transform.forward(&whole, Noise::Row(Scoring::default().seed))?;
        let (mut out, stop) = (x.clone(), Stop::current());
        let (mut worst, mut poor, mut last) = (Way::Continued, 0, None::<(Vec<u32>, Prepared)>);
        for r in 0..x.rows() {
            let known: Vec<bool> = x.row(r).iter().map(|v| !v.is_nan()).collect();
            if !known.contains(&false) {
                continue;
            }
            stop.check()?;
            // Rows that are alike are weighed once; what is approached is approached anew.
            let key: Vec<u32> = x.row(r).iter().map(|v| v.to_bits()).collect();
            let like = last.take().filter(|(k, p)| *k == key && !matches!(p.way, Way::Approached { .. }));
            let prepared = match like {
                Some((_, prepared)) => prepared,
                None => self.prepared(&known_values.slice(r, r + 1), &known, fill, rng)?,
            };
            let way = prepared.way;
            let row = self.complete_row(&prepared, fill, rng)?;
            last = Some((key, prepared));
            worst = match (worst, way) {
                (Way::Approached { effective: a, .. }, Way::Approached { chain, effective: b }) => {
                    Way::Approached { chain, effective: a.min(b) }
                }
                (a, b) => {
                    if a < b {
                        b
                    } else {
                        a
                    }
                }
            };
            poor +=
                usize::from(matches!(way, Way::Approached { chain: false, effective } if effective < FEW));
            let row = Batch::new(row, x.width())?;
            let filled = match fill {
                Fill::Sample => self.transform.inverse(&row),
                Fill::Mean => self.transform.inverse_mean(&row),
            };
            for (c, v) in out.row_mut(r).iter_mut().enumerate().filter(|(_, v)| v.is_nan()) {
                *v = filled.row(0)[c];
            }
        }
        let law = match worst {
            Way::Continued => "the model's conditional: rows are continued".into(),
            Way::Weighed => "the model's conditional, by summing or integrating over what is missing".into(),
            Way::Approached { chain: true, effective } => format!(
                "an approximation of the conditional: {SWEEPS} sweeps of a chain from {PROPOSALS} weighted proposals, worth {effective:.0} at least"
            ),
            Way::Approached { chain: false, effective } => format!(
                "an approximation of the conditional: {PROPOSALS} weighted proposals, worth {effective:.1} at least"
            ),
        };
        let warning = (poor > 0).then(|| {
            format!(
                "what was drawn for {poor} rows rests on fewer than {FEW} effective proposals and does not follow the conditional well; a model that conditions exactly (gmm), or one that puts the missing columns last, does better"
            )
        });
        Ok(Completion { x: out, law, warning })
    }
}
