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

use super::{CHUNK, Factorization};
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
/// Share of the mass of a stretch of a grid from which on it is cut, into how many, and how often at most.
const HEAVY: f64 = 1.0 / 512.0;
const CUT: usize = 8;
const FINER: usize = 8;
/// Stretches of a grid, about.
const GRID: usize = 8000;
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
    /// Lengths of the stretches that rows stand for, where one real value is missing.
    lengths: Vec<f32>,
    way: Way,
}

impl<C: Conditionals> Factorization<C> {
    /// What the network puts out for rows, class after class; one without classes.
    fn every_class(&self, x: &Batch) -> Result<Vec<Vec<f32>>> {
        let view = self.params.frozen();
        let of = |member: usize| {
            let inputs = self.member_inputs(member, x.rows())?.map(tensor);
            Ok(values(self.net.outputs(&view, tensor(x.clone()), inputs)))
        };
        (0..self.prior().len().max(1)).map(of).collect()
    }

    /// log p of the dimensions before `upto` and the class, class by class, nats; of rows that are few enough for one pass.
    fn log_classes(&self, x: &Batch, upto: usize) -> Result<Vec<Vec<f64>>> {
        let (n, width) = (self.law.outputs(), x.width());
        let one = |(c, outputs): (usize, Vec<f32>)| -> Vec<f64> {
            let each = |r: usize| -> f64 {
                (0..upto)
                    .map(|d| self.law.log_prob(&outputs[(r * width + d) * n..][..n], x.row(r)[d]))
                    .sum::<f64>()
                    + self.prior().get(c).copied().unwrap_or(0.0)
            };
            (0..x.rows()).map(each).collect()
        };
        Ok(self.every_class(x)?.into_iter().enumerate().map(one).collect())
    }

    /// log p of the dimensions before `upto`, nats.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub(super) fn log_before(&self, x: &Batch, upto: usize) -> Result<Vec<f64>> {
        let most = (CHUNK / (x.width() * self.law.outputs())).max(1);
        let (stop, mut nats) = (Stop::current(), Vec::with_capacity(x.rows()));
        for start in (0..x.rows()).step_by(most) {
            stop.check()?;
            let classes = self.log_classes(&x.slice(start, x.rows().min(start + most)), upto)?;
            nats.extend((0..classes[0].len()).map(|r| log_sum_exp(classes.iter().map(|c| c[r]))));
        }
        Ok(nats)
    }

    /// p(class | the dimensions before `upto`) of a row; empty without classes.
    fn classes_given(&self, row: &Batch, upto: usize) -> Result<Vec<f64>> {
        Ok(match self.prior().is_empty() {
            true => Vec::new(),
            false => normalised(&self.log_classes(row, upto)?.iter().map(|c| c[0]).collect::<Vec<_>>()),
        })
    }

    /// Rows from `upto` on, drawn as the model continues what is before.
    fn continued(&self, rows: &mut Batch, upto: usize, rng: &mut Rng) -> Result<()> {
        if upto == rows.width() {
            return Ok(());
        }
        let mut class = None;
        if !self.prior().is_empty() {
            let of = |r: usize| self.classes_given(&rows.slice(r, r + 1), upto);
            // Rows before a mean are all alike.
            let first: Vec<f32> = of(0)?.into_iter().map(|p| p as f32).collect();
            let alike = (1..rows.rows()).all(|r| rows.row(r)[..upto] == rows.row(0)[..upto]);
            let each = (0..rows.rows()).map(|r| match alike {
                true => Ok(level_at(rng.uniform(), &first) as u32),
                false => Ok(rng.categorical(&of(r)?) as u32),
            });
            class = Some(each.collect::<Result<Vec<u32>>>()?);
        }
        let known: Vec<bool> = (0..rows.data().len()).map(|i| i % rows.width() < upto).collect();
        let u = self.uniform(rows.rows(), rng);
        let inputs = self.inputs(class.as_deref(), rows.rows())?;
        self.fill(rows, &known, inputs.as_ref(), &u, 1.0)
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
        let mut lengths = Vec::new();
        let (rows, weights, way) = match inner.len() {
            0 => (row.clone(), vec![1.0], Way::Continued),
            n if !real && count(self.law.levels(), n).is_some() => {
                let rows = ways(row.row(0), &inner, self.law.levels());
                let weights = normalised(&self.log_before(&rows, upto)?);
                (rows, weights, Way::Weighed)
            }
            1 if real => {
                let (rows, weights, each) = self.grid(row, inner[0], upto)?;
                lengths = each;
                (rows, weights, Way::Weighed)
            }
            _ => self.approached(row, &inner, upto, fill, rng)?,
        };
        Ok(Prepared { missing, inner, upto, rows, weights, lengths, way })
    }

    /// One row completed: a draw, or its mean.
    fn complete_row(&self, prepared: &Prepared, fill: Fill, rng: &mut Rng) -> Result<Vec<f32>> {
        let Prepared { missing, inner, upto, rows, weights, lengths, .. } = prepared;
        let (d, upto) = (rows.width(), *upto);
        if fill == Fill::Sample {
            let chosen = rng.categorical(weights);
            let mut one = rows.slice(chosen, chosen + 1);
            // A row of a grid stands for a stretch.
            if let Some(length) = lengths.get(chosen) {
                one.row_mut(0)[inner[0]] += length * (rng.uniform() - 0.5);
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
            // The mean of each conditional given what was drawn before it, the class too; of the first one after known values it is exact.
            let n = self.law.outputs();
            let outputs = self.every_class(&rows)?;
            let mut log: Vec<Vec<f64>> = self.log_classes(&rows, *next)?;
            for (c, mean) in mean.iter_mut().enumerate().skip(*next) {
                let at = |r: usize| (r * d + c) * n..(r * d + c + 1) * n;
                if trailing.contains(&c) {
                    let of = |r: usize| -> f64 {
                        let share = normalised(&log.iter().map(|class| class[r]).collect::<Vec<_>>());
                        share.iter().zip(&outputs).map(|(p, out)| p * self.law.mean(&out[at(r)])).sum()
                    };
                    *mean = weights.iter().enumerate().map(|(r, w)| w * of(r)).sum::<f64>() as f32;
                }
                for (class, out) in log.iter_mut().zip(&outputs) {
                    for (r, log) in class.iter_mut().enumerate() {
                        *log += self.law.log_prob(&out[at(r)], rows.row(r)[c]);
                    }
                }
            }
        }
        Ok(mean)
    }

    /// Stretches of a real dimension, as rows at their middles, with the share of the mass in each and their lengths: first around every
    /// normal of the model's own conditional, each on its own scale, then finer wherever there is mass given what follows.
    pub(super) fn grid(&self, row: &Batch, m: usize, upto: usize) -> Result<(Batch, Vec<f64>, Vec<f32>)> {
        let (n, d) = (self.law.outputs(), row.width());
        let mut edges: Vec<f32> =
            self.every_class(row)?.iter().flat_map(|out| self.law.edges(&out[m * n..(m + 1) * n])).collect();
        let mut finer = 0;
        loop {
            edges.sort_by(f32::total_cmp);
            edges.dedup();
            let cells = edges.len() - 1;
            let rows = Batch::from_fn(cells, d, |r, c| {
                if c == m { 0.5 * edges[r] + 0.5 * edges[r + 1] } else { row.row(0)[c] }
            });
            let lengths: Vec<f32> = edges.windows(2).map(|w| w[1] - w[0]).collect();
            let log = self.log_before(&rows, upto)?;
            let mass: Vec<f64> =
                log.iter().zip(&lengths).map(|(l, w)| l + libm::log(f64::from(*w))).collect();
            let weights = normalised(&mass);
            let heavy: Vec<usize> = (0..cells).filter(|i| weights[*i] > HEAVY).collect();
            if finer == FINER || heavy.is_empty() {
                return Ok((rows, weights, lengths));
            }
            for i in heavy {
                let (low, part) = (edges[i], lengths[i] / CUT as f32);
                edges.extend((1..CUT).map(|k| low + part * k as f32));
            }
            finer += 1;
        }
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
            let mut class = None;
            if !self.prior().is_empty() {
                let of = |r: usize| self.classes_given(&rows.slice(r, r + 1), known_end);
                let each = (0..PROPOSALS).map(|r| Ok(rng.categorical(&of(r)?) as u32));
                class = Some(each.collect::<Result<Vec<u32>>>()?);
            }
            let inputs = self.inputs(class.as_deref(), PROPOSALS)?;
            let known: Vec<bool> = (0..rows.data().len()).map(|i| !open[i % d]).collect();
            let u = self.uniform(PROPOSALS, rng);
            self.fill(&mut rows, &known, inputs.as_ref(), &u, 1.0)?;
            let gained = self.gained(&rows, known_end..end, &open, inputs.as_ref());
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
        let asked = inner.len() * if matches!(self.law, Law::Real(_)) { GRID } else { self.law.levels() };
        if asked > ASKED {
            return Ok((rows, weights, Way::Approached { chain: false, effective: worth }));
        }
        let mut one = Batch::new(settle(&rows, &weights, Fill::Sample, rng), d)?;
        let mut visited = Vec::new();
        let sweeps = if fill == Fill::Mean { 2 * SWEEPS } else { SWEEPS };
        for sweep in 0..sweeps {
            for m in inner {
                let (points, weights, lengths) = match self.law {
                    Law::Real(_) => self.grid(&one, *m, upto)?,
                    _ => {
                        let rows = ways(one.row(0), &[*m], self.law.levels());
                        let weights = normalised(&self.log_before(&rows, upto)?);
                        (rows, weights, Vec::new())
                    }
                };
                let chosen = rng.categorical(&weights);
                one = points.slice(chosen, chosen + 1);
                if let Some(length) = lengths.get(chosen) {
                    one.row_mut(0)[*m] += length * (rng.uniform() - 0.5);
                }
            }
            if sweep >= SWEEPS {
                visited.extend_from_slice(one.data());
            }
        }
        let rows = if fill == Fill::Mean { Batch::new(visited, d)? } else { one };
        let weights = vec![1.0 / rows.rows() as f64; rows.rows()];
        Ok((rows, weights, Way::Approached { chain: true, effective: worth }))
    }

    /// log p of the known values among `range`, given what is before each and the inputs, nats: what proposals gain by them.
    fn gained(
        &self,
        rows: &Batch,
        range: std::ops::Range<usize>,
        open: &[bool],
        inputs: Option<&Batch>,
    ) -> Vec<f64> {
        let inputs = inputs.map(|i| tensor(i.clone()));
        let outputs = values(self.net.outputs(&self.params.frozen(), tensor(rows.clone()), inputs));
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
                (Way::Approached { chain: a, effective: worth }, Way::Approached { chain, effective }) => {
                    Way::Approached { chain: a && chain, effective: worth.min(effective) }
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
