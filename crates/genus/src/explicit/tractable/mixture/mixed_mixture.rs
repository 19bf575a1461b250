//! # Mixture over columns of all kinds
//!
//! ## What it is
//! p(x) = Σₖ πₖ Π_d p(x_d | k): within a component columns are independent, whatever they hold. A category has a share of each name; a number has a
//! share of each of its cells, which all components have in common, and a little of the mass lies where no training value does. Also called
//! latent class analysis.
//!
//! ## Density
//! Exact, one pass. Missing values are left out of the product, which is exact too: a row is as likely as what is there of it.
//!
//! ## Trained by
//! Expectation–maximisation over what is there, from several starts at rows chosen by chance; the best is kept. Shares of a component are those of
//! a Dirichlet prior around the shares among all rows, worth α rows, by which nothing that occurs is impossible; what rises in every iteration is
//! the likelihood with the log of the prior. Where there are validation rows, EM ends when they no longer gain.
//!
//! ## Use it when
//! A table has columns of several kinds: clusters of its rows, a density that is quick and robust, and missing values, for which every conditional is
//! again a mixture in closed form.
//!
//! ## References
//! Lazarsfeld & Henry 1968; McLachlan & Peel 2000, chapter 5.
//!
//! ## Example
//! ```
//! use genus::{Clusterer as _, Density as _, Family, FitContext, MixedMixture, MixedMixtureConfig, Seed, Silent, data};
//!
//! let rows = data::load("parcels", &data::Options::default())?;
//! let fit = MixedMixture::fit(&MixedMixtureConfig::default(), &rows, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! let test = rows.test.unwrap().x;
//! // Nobody has more than the entropy of the source allows, and columns that are independent much less.
//! assert!((fit.model.log_prob(&test)?.mean() + rows.provenance.entropy.unwrap()).abs() < 0.3);
//! # Ok::<(), genus::Error>(())
//! ```

use super::ascent::{Ascent, Limits, Reached, ascend};
use crate::cells::Vocabulary;
use crate::diagnostics::parts as table_of_parts;
use crate::{completion, draws};
use genus_core::config::{NonNegative, Positive, count};
use genus_core::math::log_sum_exp;
use genus_core::panel::{Cell, Shade};
use genus_core::transform::Transform;
use genus_core::{
    Batch, Capability, Clusterer, Completion, Conditional, Dataset, Density, Error, Event, EvidenceKind,
    Exhibit, Family, Figure, Fill, Fit, FitContext, FitReport, LogProb, Model, ModelSpec, Reference, Result,
    Rng, Sampler, Schema, Scoring, Size, State, Stop, StopReason, SupportKind, Tensor, TinyFit, config,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<MixedMixture>(
    "mixed-mixture",
    "Mixture over columns of all kinds",
    module_path!(),
)
.summary("tables of numbers, categories and holes: clusters with a law, a quick exact density, exact filling")
.papers(&[
    Reference::new(
        "Lazarsfeld & Henry",
        1968,
        "Latent Structure Analysis",
        "https://archive.org/details/latentstructurea0000laza",
    ),
    Reference::new("McLachlan & Peel", 2000, "Finite Mixture Models", "https://doi.org/10.1002/0471721182"),
])
.evidence(EvidenceKind::Exact)
.can(&[Capability::Density, Capability::Sampler, Capability::Conditional, Capability::Clusterer])
.passes("1 to score, 1 to draw")
.rows(&[SupportKind::Mixed, SupportKind::Real, SupportKind::Discrete, SupportKind::Binary])
.takes_missing()
.suited(suited)
.tiny_fits(&[
    TinyFit::new("columns of four kinds", "parcels", "components = 12\ncells = 30\n"),
    TinyFit::new("bits", "tree8", "components = 12\n"),
    TinyFit::new("levels", "pairs4", "components = 8\n"),
    TinyFit::new("numbers", "8gaussians", "components = 16\ncells = 40\n"),
]);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixedMixtureConfig {
    /// Number of components.
    pub components: NonZeroUsize,
    /// Most cells of a column of numbers; of few rows there are fewer.
    pub cells: NonZeroUsize,
    /// α: rows with the shares among all rows that each component is believed to have had.
    pub prior: Positive,
    /// Independent starts, of which the most likely on validation rows, or on training rows for want of these, is kept.
    pub restarts: NonZeroUsize,
    /// Most EM iterations of one start.
    pub iterations: NonZeroUsize,
    /// EM stops when the mean log-likelihood per row rises by less, nats.
    pub tolerance: NonNegative,
}

impl Default for MixedMixtureConfig {
    fn default() -> Self {
        Self {
            components: count(20),
            cells: count(50),
            prior: Positive::constant(1.0),
            restarts: count(3),
            iterations: count(300),
            tolerance: NonNegative::constant(1e-5),
        }
    }
}

/// A component for fifty rows, and cells of about √n rows.
fn suited(size: Size) -> toml::Table {
    let components = (size.rows / 50).clamp(2, 50).min(size.rows.max(1));
    let restarts = if size.rows.saturating_mul(size.columns) > 1 << 20 { 1 } else { 3 };
    let cells = ((size.rows as f64).sqrt() as i64).clamp(8, 50);
    let entries = [("components", components as i64), ("cells", cells), ("restarts", restarts)];
    entries.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect()
}

/// Most shares.
const MOST: usize = 1 << 27;
/// Rows between two looks at whether to go on.
const BLOCK: usize = 4096;

/// Components.
#[derive(Debug, Clone, PartialEq)]
struct Parts {
    log_weights: Vec<f64>,
    /// Shares of the cells of each column, `[components, cells]`.
    shares: Vec<f64>,
    cells: usize,
}

/// Rows as what their values have within cells.
struct Sparse {
    /// Where the entries of each value begin, `[rows · columns + 1]`.
    begins: Vec<usize>,
    /// A cell, and what the value has within it.
    entries: Vec<(u32, f64)>,
    /// What each value has elsewhere; 1 where it is missing.
    elsewhere: Vec<f64>,
    width: usize,
}

impl Sparse {
    fn of(columns: &Vocabulary, x: &Batch) -> Self {
        let width = x.width();
        let mut made = Self { begins: vec![0], entries: Vec::new(), elsewhere: Vec::new(), width };
        for row in x.iter() {
            for (c, v) in row.iter().enumerate() {
                made.elsewhere.push(columns.entries(c, *v, &mut made.entries));
                made.begins.push(made.entries.len());
            }
        }
        made
    }

    fn rows(&self) -> usize {
        self.elsewhere.len() / self.width.max(1)
    }

    /// The entries of a value, and what it has elsewhere.
    fn value(&self, r: usize, c: usize) -> (&[(u32, f64)], f64) {
        let at = r * self.width + c;
        (&self.entries[self.begins[at]..self.begins[at + 1]], self.elsewhere[at])
    }
}

impl Parts {
    fn len(&self) -> usize {
        self.log_weights.len()
    }

    /// Shares of the cells of component k.
    fn component(&self, k: usize) -> &[f64] {
        &self.shares[k * self.cells..][..self.cells]
    }

    /// log p(what is there, k) of a row.
    fn log_joint(&self, x: &Sparse, r: usize, k: usize) -> f64 {
        let shares = self.component(k);
        let of = |c: usize| {
            let (entries, elsewhere) = x.value(r, c);
            libm::log(entries.iter().fold(elsewhere, |p, (cell, within)| p + shares[*cell as usize] * within))
        };
        self.log_weights[k] + (0..x.width).map(of).sum::<f64>()
    }

    /// The same of all rows and components, `[rows, components]`.
    fn joint(&self, x: &Sparse) -> Result<Vec<f64>> {
        let (k, stop) = (self.len(), Stop::current());
        let mut all = vec![0.0; x.rows() * k];
        for (block, part) in all.chunks_mut(BLOCK * k).enumerate() {
            stop.check()?;
            part.par_chunks_exact_mut(k).enumerate().for_each(|(r, row)| {
                row.iter_mut().enumerate().for_each(|(k, v)| *v = self.log_joint(x, block * BLOCK + r, k));
            });
        }
        Ok(all)
    }

    fn log_prob(&self, x: &Sparse) -> Result<Vec<f64>> {
        Ok(self.joint(x)?.par_chunks_exact(self.len()).map(|row| log_sum_exp(row.iter().copied())).collect())
    }
}

/// The fit to some rows.
struct Rows<'a> {
    x: &'a Sparse,
    valid: Option<&'a Sparse>,
    columns: &'a Vocabulary,
    /// Shares of the cells among all rows.
    shares: Vec<f64>,
    components: usize,
    prior: f64,
}

impl Rows<'_> {
    /// Shares of a component with these counts, with the prior.
    fn settled(&self, mut counts: Vec<f64>) -> Vec<f64> {
        for c in 0..self.columns.width() {
            let stretch = self.columns.stretch(c);
            let total: f64 = counts[stretch.clone()].iter().sum();
            for j in stretch {
                counts[j] = (counts[j] + self.prior * self.shares[j]) / (total + self.prior);
            }
        }
        counts
    }
}

impl Ascent for Rows<'_> {
    type Parts = Parts;

    /// Components that lie half at a row chosen by chance.
    fn begin(&self, rng: &mut Rng) -> Result<Parts> {
        let (n, k) = (self.x.rows(), self.components);
        let chosen = rng.permutation(n);
        let mut shares = Vec::with_capacity(k * self.columns.cells());
        for i in 0..k {
            let r = chosen[i % n];
            let mut own: Vec<f64> = self.shares.iter().map(|s| 0.5 * s).collect();
            for c in 0..self.x.width {
                let (entries, _) = self.x.value(r, c);
                let total: f64 = entries.iter().map(|e| e.1).sum();
                if total > 0.0 {
                    entries.iter().for_each(|(cell, within)| own[*cell as usize] += 0.5 * within / total);
                } else {
                    self.columns.stretch(c).for_each(|j| own[j] *= 2.0);
                }
            }
            shares.extend(own);
        }
        Ok(Parts { log_weights: vec![-libm::log(k as f64); k], shares, cells: self.columns.cells() })
    }

    fn step(&self, parts: &Parts) -> Result<(f64, Parts)> {
        let (n, k) = (self.x.rows(), parts.len());
        let mut joint = parts.joint(self.x)?;
        let each: Vec<f64> = joint
            .par_chunks_exact_mut(k)
            .map(|row| {
                let all = log_sum_exp(row.iter().copied());
                row.iter_mut().for_each(|v| *v = libm::exp(*v - all));
                all
            })
            .collect();
        let stop = Stop::current();
        let component = |i: usize| -> Result<(f64, Vec<f64>)> {
            let (shares, mut counts) = (parts.component(i), vec![0.0; parts.cells]);
            let mut weight = 0.0;
            for r in 0..n {
                if r.is_multiple_of(BLOCK) {
                    stop.check()?;
                }
                let resp = joint[r * k + i];
                weight += resp;
                // What counts for nothing need not be counted.
                if resp < 1e-12 {
                    continue;
                }
                for c in 0..self.x.width {
                    let (entries, elsewhere) = self.x.value(r, c);
                    let p = entries
                        .iter()
                        .fold(elsewhere, |p, (cell, within)| p + shares[*cell as usize] * within);
                    for (cell, within) in entries {
                        counts[*cell as usize] += resp * shares[*cell as usize] * within / p;
                    }
                }
            }
            Ok((weight, self.settled(counts)))
        };
        let all = (0..k).into_par_iter().map(component).collect::<Result<Vec<_>>>()?;
        // A component that lost all its rows keeps a vanishing weight.
        let log_weights = all.iter().map(|(w, _)| libm::log(w.max(1e-290) / n as f64)).collect();
        let shares = all.into_iter().flat_map(|(_, shares)| shares).collect();
        Ok((each.iter().sum::<f64>() / n as f64, Parts { log_weights, shares, cells: parts.cells }))
    }

    fn held(&self, parts: &Parts) -> Result<Option<f64>> {
        let mean = |v: &Sparse| Ok(parts.log_prob(v)?.iter().sum::<f64>() / v.rows().max(1) as f64);
        self.valid.map(mean).transpose()
    }

    fn log_prior(&self, parts: &Parts) -> f64 {
        let all = parts.shares.iter().zip(self.shares.iter().cycle());
        self.prior * all.map(|(w, s)| s * libm::log(*w)).sum::<f64>() / self.x.rows() as f64
    }
}

/// A fitted mixture over columns of all kinds.
#[derive(Debug, Clone)]
pub struct MixedMixture {
    config: MixedMixtureConfig,
    transform: Transform,
    columns: Vocabulary,
    parts: Parts,
}

impl Family for MixedMixture {
    type Config = MixedMixtureConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check_missing()?;
        let (k, n) = (config.components.get(), data.train.x.rows());
        if n < k {
            let message = format!("{k} components need at least {k} training rows, there are {n}");
            return Err(Error::config("components", message));
        }
        let transform =
            crate::transform_for(cx, data, || Ok(Transform::identity(data.schema.clone())))?.with_missing();
        let start = cx.start.map(Self::restore).transpose()?;
        if let Some(old) = start.as_ref().filter(|old| old.config.components != config.components) {
            let message = format!("the mixture that fitting begins with has {}", old.config.components);
            return Err(Error::config("components", message));
        }
        let columns = match &start {
            Some(old) => old.columns.clone(),
            None => Vocabulary::of(&data.schema, &data.train.x, config.cells.get()).whole(),
        };
        if k.saturating_mul(columns.cells()) > MOST {
            let message = format!(
                "{k} components of {} cells hold more than {MOST} shares; take fewer",
                columns.cells()
            );
            return Err(Error::config("components", message));
        }
        let x = Sparse::of(&columns, &data.train.x);
        let valid = data.valid.as_ref().filter(|v| v.x.rows() > 0).map(|v| Sparse::of(&columns, &v.x));
        let parameters = (k * (columns.cells() - columns.width() + 1) - 1) as u64;
        cx.emit(&Event::Start { model: SPEC.name.into(), steps: None, resumed_at: 0, parameters });
        let rows = Rows {
            x: &x,
            valid: valid.as_ref(),
            columns: &columns,
            shares: columns.log_shares(&data.train.x).into_iter().map(libm::exp).collect(),
            components: k,
            prior: config.prior.get(),
        };
        let limits = Limits {
            restarts: config.restarts.get() as u64,
            iterations: config.iterations.get(),
            tolerance: config.tolerance.get(),
        };
        let Reached { parts, iterations, converged } = ascend(&rows, start.map(|old| old.parts), limits, cx)?;
        let mut report = FitReport::default();
        if !converged && cx.stopped().is_none() {
            let message = format!(
                "EM did not converge in {} iterations; raise `iterations` or `tolerance`",
                config.iterations
            );
            cx.warn(&mut report, message);
        }
        // Heaviest first, so that component numbers mean something.
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|a, b| parts.log_weights[*b].total_cmp(&parts.log_weights[*a]));
        let parts = Parts {
            log_weights: order.iter().map(|c| parts.log_weights[*c]).collect(),
            shares: order.iter().flat_map(|c| parts.component(*c).to_vec()).collect(),
            cells: parts.cells,
        };
        let reason = cx.stopped().unwrap_or(StopReason::Completed);
        cx.emit(&Event::End { step: iterations, reason });
        (report.steps, report.stopped) = (iterations, Some(reason));
        report.figures = match parts.log_prob(&x) {
            Err(Error::Stopped(_)) => Vec::new(),
            nats => {
                let total: f64 = nats?.iter().sum();
                let bic = parameters as f64 * (n as f64).ln() - 2.0 * total;
                vec![
                    Figure::new("total log-likelihood of the training rows", total, "nats"),
                    Figure::new("BIC of the training rows", bic, "lower is better"),
                ]
            }
        };
        Ok(Fit { model: Self { config: config.clone(), transform, columns, parts }, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: MixedMixtureConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let columns = Vocabulary::restore(state, transform.source())?;
        let (k, cells) = (config.components.get(), columns.cells());
        let log_weights = state.f64("log_weights", &[k])?.to_vec();
        let shares = state.f64("shares", &[k, cells])?.to_vec();
        let whole = |own: &[f64]| {
            (0..columns.width()).all(|c| (own[columns.stretch(c)].iter().sum::<f64>() - 1.0).abs() < 1e-6)
        };
        let sound = shares.iter().all(|s| *s > 0.0) && shares.chunks_exact(cells.max(1)).all(whole);
        if !sound || log_sum_exp(log_weights.iter().copied()).abs() > 1e-6 {
            let message = "weights or shares do not sum to 1, or a share is not above 0; the file is damaged";
            return Err(Error::Run(message.into()));
        }
        Ok(Self { config, transform, columns, parts: Parts { log_weights, shares, cells } })
    }
}

impl MixedMixture {
    /// Weights of the components given what is there of a row.
    fn given(&self, row: &Batch) -> Vec<f64> {
        let x = Sparse::of(&self.columns, row);
        let joint: Vec<f64> = (0..self.parts.len()).map(|k| self.parts.log_joint(&x, 0, k)).collect();
        completion::normalised(&joint)
    }

    /// Shares of the cells of a column under these weights of the components.
    fn mixed(&self, c: usize, weights: &[f64]) -> Vec<f64> {
        let share = |j: usize| weights.iter().enumerate().map(|(k, w)| w * self.parts.component(k)[j]).sum();
        self.columns.stretch(c).map(share).collect()
    }
}

impl Model for MixedMixture {
    fn spec(&self) -> &'static ModelSpec {
        &SPEC
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let mut state = crate::header(&SPEC, &config::to_table(&self.config), &self.transform);
        self.columns.put(&mut state);
        let k = self.parts.len();
        let mut put = |name: &str, shape: &[usize], values: &[f64]| {
            state.tensors.insert(name.into(), Tensor::f64(shape, values.to_vec()));
        };
        put("log_weights", &[k], &self.parts.log_weights);
        put("shares", &[k, self.parts.cells], &self.parts.shares);
        state
    }

    fn exhibits(&self) -> Vec<Exhibit> {
        let weights: Vec<f64> = self.parts.log_weights.iter().map(|w| libm::exp(*w)).collect();
        let (schema, columns) = (self.schema(), &self.columns);
        let middle = |k: usize, c: usize| columns.expected(c, &self.parts.component(k)[columns.stretch(c)]);
        let rows = Batch::from_fn(weights.len(), schema.width(), middle);
        let cell = |c: usize, v: f64| {
            let column = schema.column(c);
            match column.categories().get(v as usize) {
                Some(name) => Cell::Text(name.clone()),
                None => Cell::Number(v + column.origin),
            }
        };
        let names = ("Components", "Component");
        let panel = table_of_parts(schema, names, &rows, ("Weight", &weights), Shade::Data, cell);
        let text = "Weight of each component, the means of its numbers and the commonest of its categories, the heaviest first.";
        vec![Exhibit::new("components", "Components", text, vec![panel])]
    }

    fn as_density(&self) -> Option<&dyn Density> {
        Some(self)
    }
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        Some(self)
    }
    fn as_conditional(&self) -> Option<&dyn Conditional> {
        Some(self)
    }
    fn as_clusterer(&self) -> Option<&dyn Clusterer> {
        Some(self)
    }
}

impl Density for MixedMixture {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        draws::exact(&self.transform, x, how, None, |y| self.parts.log_prob(&Sparse::of(&self.columns, y)))
    }
}

impl Sampler for MixedMixture {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let weights: Vec<f64> = self.parts.log_weights.iter().map(|w| libm::exp(*w)).collect();
        let (d, stop) = (self.columns.width(), Stop::current());
        let mut values = Vec::with_capacity(n * d);
        for r in 0..n {
            if r.is_multiple_of(64) {
                stop.check()?;
            }
            let shares = self.parts.component(rng.categorical(&weights));
            values.extend((0..d).map(|c| self.columns.draw(c, &shares[self.columns.stretch(c)], rng)));
        }
        Batch::new(values, d)
    }
}

impl Conditional for MixedMixture {
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion> {
        let columns = &self.columns;
        completion::fill(&self.transform, x, fill, rng, |holes, rng| {
            let mut seen = holes.seen.slice(0, 1);
            holes.missing.iter().for_each(|c| seen.row_mut(0)[*c] = f32::NAN);
            let weights = self.given(&seen);
            Ok(match fill {
                Fill::Mean => {
                    let mean = |c: &usize| f64::from(columns.expected(*c, &self.mixed(*c, &weights)));
                    holes.missing.iter().map(mean).collect()
                }
                Fill::Sample => {
                    let shares = self.parts.component(rng.categorical(&weights));
                    let drawn = |c: &usize| f64::from(columns.draw(*c, &shares[columns.stretch(*c)], rng));
                    holes.missing.iter().map(drawn).collect()
                }
            })
        })
    }
}

impl Clusterer for MixedMixture {
    fn clusters(&self) -> usize {
        self.parts.len()
    }

    fn assign(&self, x: &Batch) -> Result<Vec<u32>> {
        self.schema().check(x, true)?;
        let joint = self.parts.joint(&Sparse::of(&self.columns, x))?;
        let k = self.parts.len();
        let best = |row: &[f64]| (0..k).fold(0, |b, c| if row[c] > row[b] { c } else { b }) as u32;
        Ok(joint.chunks_exact(k).map(best).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::{Seed, Silent};

    /// Every step raises the likelihood of what is there with the prior, to where it has no slope along any share.
    #[test]
    fn steps_end_at_a_maximum() {
        let set = genus_core::data::load("parcels", &genus_core::data::Options::default()).unwrap();
        let mut rng = Seed::from(4).rng();
        let x = set.train.x.slice(0, 300);
        let x = Batch::from_fn(300, 4, |r, c| if rng.uniform() < 0.2 { f32::NAN } else { x.row(r)[c] });
        let columns = Vocabulary::of(&set.schema, &x, 6).whole();
        let sparse = Sparse::of(&columns, &x);
        let shares: Vec<f64> = columns.log_shares(&x).into_iter().map(libm::exp).collect();
        let rows = Rows { x: &sparse, valid: None, columns: &columns, shares, components: 2, prior: 2.0 };
        let value = |p: &Parts| p.log_prob(&sparse).unwrap().iter().sum::<f64>() + 300.0 * rows.log_prior(p);
        let mut parts = rows.begin(&mut rng).unwrap();
        let mut last = f64::NEG_INFINITY;
        for _ in 0..2000 {
            let now = value(&parts);
            assert!(now > last - 1e-7, "{last} {now}");
            last = now;
            parts = rows.step(&parts).unwrap().1;
        }
        // Mass that is moved between two cells of a column of one component.
        for k in 0..2 {
            for c in 0..4 {
                let from = columns.stretch(c).start + k * parts.cells;
                let at = |by: f64| {
                    let mut moved = parts.clone();
                    moved.shares[from] += by;
                    moved.shares[from + 1] -= by;
                    value(&moved)
                };
                let step = 1e-5 * parts.shares[from].min(parts.shares[from + 1]);
                let slope = (at(step) - at(-step)) / (2.0 * step);
                assert!(slope.abs() < 0.5, "component {k}, column {c}: {slope}");
            }
        }
    }

    /// The commonest category and the mean of a number, given the others, by the density itself.
    #[test]
    fn fills_are_those_of_the_density() {
        let set = genus_core::data::load("parcels", &genus_core::data::Options::default()).unwrap();
        let config = MixedMixtureConfig { components: count(6), restarts: count(1), ..Default::default() };
        let model =
            MixedMixture::fit(&config, &set, &mut FitContext::new(Seed::from(2), &mut Silent)).unwrap().model;
        let holed = Batch::new(vec![f32::NAN, 1.0, 3.0, 2.2, 1.0, 0.0, f32::NAN, 4.0], 4).unwrap();
        let filled = model.impute(&holed, Fill::Mean, &mut Seed::from(0).rng()).unwrap();
        let kinds = Batch::from_fn(3, 4, |r, c| if c == 0 { r as f32 } else { holed.row(0)[c] });
        let nats = model.log_prob(&kinds).unwrap().nats;
        let best = (0..3).fold(0, |b, i| if nats[i] > nats[b] { i } else { b });
        assert_eq!(filled.row(0)[0], best as f32);
        let items = Batch::from_fn(60, 4, |r, c| if c == 2 { r as f32 } else { holed.row(1)[c] });
        let p: Vec<f64> = model.log_prob(&items).unwrap().nats.iter().map(|v| v.exp()).collect();
        let total: f64 = p.iter().sum();
        let mean: f64 = p.iter().enumerate().map(|(i, p)| i as f64 * p / total).sum();
        assert!((f64::from(filled.row(1)[2]) - mean).abs() < 1e-2, "{} {mean}", filled.row(1)[2]);
    }
}
