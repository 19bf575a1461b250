//! # Any-order autoregressive network over columns of all kinds
//!
//! ## What it is
//! p(x) = 1/K Σₖ Π_j p(x_oₖ(j) | x_oₖ(1), …, x_oₖ(j−1)) over K orders oₖ of the columns, which are numbers, categories and bits in one row.
//! One network gives p(x_d | x_A) for every set A of known columns: its input is the cell of each known value, where among the cells of its
//! column a known number lies, and which columns are known, h ← h + relu(h W + b) are its layers, and for each column there is a softmax of the weights of its cells. A category is a cell; a number is
//! a mixture of cells of nearly equal mass, and a little of the mass lies where no training value does.
//!
//! ## Density
//! Exact for each order, and as their average. Missing values are left out of the product: what is there of a row has the score of an order
//! of its own columns. Conditionals of any columns given any others are the network's, with those given first.
//!
//! ## Trained by
//! For each row a set of known columns is drawn, and all others are predicted at once; with D columns of which |A| are known, the sum of
//! their losses times D/(D − |A|) is on average −log p over all orders (Uria, Murray & Larochelle 2014). In half of the rows the known columns
//! are the first ones of one of the K orders. Missing cells are neither known nor predicted; which cells rows lack together is a column of
//! its own, by which rows can be drawn that lack as much, and which scores leave out.
//!
//! ## Use it when
//! A table has columns of several kinds, with holes: for more rows like them, for filling what is missing, for predicting any column from
//! any others, and for finding rows and cells that are odd.
//!
//! ## References
//! Uria, Murray & Larochelle 2014; Tiwald, Krchova, Sidorenko & Vargas Vieyra 2025.
//!
//! ## Example
//! ```
//! use genus::{Conditional as _, Family, Fill, FitContext, Seed, Silent, Tabular, TabularConfig, config, data};
//!
//! let parcels = data::load("parcels", &data::Options::default())?;
//! let text = "hidden = [16, 16]\ntrain.epochs = 5\ntrain.optimizer.rate = 0.01";
//! let config: TabularConfig = config::from_table(&toml::from_str(text).unwrap())?;
//! let fit = Tabular::fit(&config, &parcels, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // A crate of nine items: what does it weigh?
//! let row = genus::Batch::new(vec![2.0, f32::NAN, 9.0, f32::NAN], 4)?;
//! let filled = fit.model.impute(&row, Fill::Mean, &mut Seed::from(0).rng())?;
//! assert!((filled.row(0)[3] - 5.5).abs() < 1.5);
//! # Ok::<(), genus::Error>(())
//! ```

use crate::cells::Vocabulary;
use genus_core::config::count;
use genus_core::math::log_mean_exp;
use genus_core::transform::Transform;
use genus_core::{
    Batch, Capability, Completion, Conditional, Dataset, Density, Drawing, Error, Evidence, EvidenceKind,
    Family, Fill, Fit, FitContext, LogProb, Model, ModelSpec, Reference, Result, Rng, Sampler, Schema,
    Scoring, Seed, Size, Split, State, Stop, SupportKind, Tensor as Stored, TinyFit, config,
};
use genus_nn::{
    Activation, Linear, Loss, Objective, Params, StepContext, Tensor, TrainConfig, View, gradcheck, mean_of,
    ops, tensor, values,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<Tabular>("tabular", "Any-order autoregressive network over columns", module_path!())
        .summary("tables of numbers, categories and holes: more rows, filled cells, predictions of any column, odd cells")
        .papers(&[
            Reference::new(
                "Uria, Murray & Larochelle",
                2014,
                "A Deep and Tractable Density Estimator",
                "https://arxiv.org/abs/1310.1757",
            ),
            Reference::new(
                "Tiwald, Krchova, Sidorenko & Vargas Vieyra",
                2025,
                "TabularARGN: A Flexible and Efficient Auto-Regressive Framework for Generating High-Fidelity Synthetic Data",
                "https://arxiv.org/abs/2501.12012",
            ),
        ])
        .evidence(EvidenceKind::Exact)
        .can(&[Capability::Density, Capability::Sampler, Capability::Conditional])
        .passes("one for each column and order to score; to draw, one for each column")
        .rows(&[SupportKind::Mixed, SupportKind::Real, SupportKind::Discrete, SupportKind::Binary])
        .takes_missing()
        .trained_by_steps()
        .suited(suited)
        .tiny_fits(TINY)
        .gradient_check(Tabular::gradient_check);

const TINY: &[TinyFit] = &[
            TinyFit::new(
                "columns of four kinds",
                "parcels",
                "hidden = [32, 32]\norders = 2\ncells = 30\n[train]\nepochs = 6\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
            )
            .failing(&[OTHER_PARTS]),
            TinyFit::new(
                "bits",
                "tree8",
                "hidden = [32]\norders = 1\n[train]\nepochs = 4\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.01\n",
            )
            .failing(&[OTHER_FILLS, OTHER_PARTS]),
            TinyFit::new(
                "levels",
                "pairs4",
                "hidden = [32, 32]\norders = 2\n[train]\nepochs = 8\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
            )
            .failing(&[OTHER_FILLS]),
            TinyFit::new(
                "numbers",
                "8gaussians",
                "hidden = [64, 64]\norders = 2\ncells = 40\n[train]\nepochs = 10\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
            )
            .failing(&[OTHER_FILLS, OTHER_PARTS]),
        ];

/// Training brings the conditionals under different orders together, and not quite.
const OTHER_FILLS: (&str, &str) = (
    "fills_follow_the_conditional",
    "fills are of the network's conditionals with known columns first, not of the average over orders",
);
const OTHER_PARTS: (&str, &str) =
    ("what_is_there_is_scored", "what is there of a row is scored under an order of its own columns");

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TabularConfig {
    /// Units of each hidden layer; a layer as wide as the one before it is added to that.
    pub hidden: Vec<NonZeroUsize>,
    /// Orders of the columns that scores and draws are averaged over.
    pub orders: NonZeroUsize,
    /// Most cells of a column of numbers; of few rows there are fewer.
    pub cells: NonZeroUsize,
    /// Training.
    pub train: TrainConfig,
}

impl Default for TabularConfig {
    fn default() -> Self {
        Self {
            hidden: vec![count(256); 2],
            orders: count(4),
            cells: count(200),
            train: TrainConfig { ema: config::Fraction::constant(0.995), ..TrainConfig::default() },
        }
    }
}

impl TabularConfig {
    /// Refuses what would not fit into memory.
    fn afford(&self, columns: usize, cells: usize) -> Result<()> {
        if self.orders.get() > 1024 {
            return Err(Error::config("orders", format!("{} is out of range; at most 1024", self.orders)));
        }
        if self.hidden.is_empty() {
            return Err(Error::config("hidden", "there is no layer; give at least one"));
        }
        let hidden = self.hidden.iter().map(|h| h.get());
        let widths: Vec<usize> = std::iter::once(columns.saturating_mul(2).saturating_add(cells))
            .chain(hidden)
            .chain([cells])
            .collect();
        genus_nn::afford("hidden", &[&widths])
    }
}

/// Steps of a fit to many rows.
const STEPS: usize = 4000;

/// Of few rows as other networks, with weights that decay the more the fewer there are, and cells of about √n rows; of many wider, in larger batches,
/// and so many steps at a falling rate.
fn suited(size: Size) -> toml::Table {
    let width: i64 = match size.rows {
        ..2000 => 128,
        2000..10_000 => 256,
        _ => 512,
    };
    let mut table = match size.rows {
        rows @ ..2000 => {
            let decay = (450.0 / rows.max(1) as f64).clamp(0.1, 1.0);
            let cells = ((rows as f64).sqrt() as usize).max(8);
            let own = format!("cells = {cells}\ntrain.optimizer.decay = {decay:.2}\n");
            let own = own.parse().unwrap_or_else(|e| unreachable!("{own}: {e}"));
            let mut table = crate::suited::network(size);
            config::merge(&mut table, &own);
            table
        }
        rows => {
            let batch = (rows / 50).clamp(40, 200);
            let epochs = STEPS.div_ceil(rows.div_ceil(batch)).max(1);
            let train = format!(
                "[train]\nbatch = {batch}\nepochs = {epochs}\noptimizer.rate = 0.002\noptimizer.schedule = \"cosine\"\n"
            );
            train.parse().unwrap_or_else(|e| unreachable!("{train}: {e}"))
        }
    };
    table.insert("hidden".into(), vec![width; 2].into());
    table
}

/// From known cells to logits of all.
#[derive(Debug, Clone)]
struct Net {
    first: Linear,
    hidden: Vec<(Linear, bool)>,
    last: Linear,
}

impl Net {
    fn new(config: &TabularConfig, columns: &Vocabulary, params: &mut Params, rng: &mut Rng) -> Self {
        let (cells, d) = (columns.cells(), columns.width());
        let widths: Vec<usize> = config.hidden.iter().map(|h| h.get()).collect();
        let first = Linear::new(params, "first", cells + 2 * d, widths[0], Activation::Relu, rng);
        let hidden = widths.windows(2).enumerate().map(|(i, w)| {
            let layer = Linear::new(params, &format!("hidden.{i}"), w[0], w[1], Activation::Relu, rng);
            (layer, w[0] == w[1])
        });
        let hidden = hidden.collect();
        let last = widths[widths.len() - 1];
        let last = Linear::new(params, "last", last, cells, Activation::Identity, rng);
        Self { first, hidden, last }
    }

    /// What the last layer sees, of what the first gives.
    fn upper(&self, view: &View<'_>, h: Tensor<2>) -> Tensor<2> {
        self.hidden.iter().fold(h, |h, (layer, added)| {
            let next = layer.forward(view, h.clone());
            if *added { h + next } else { next }
        })
    }

    /// # Shapes
    /// seen `[rows, cells + 2 · columns]` → `[rows, cells]`
    fn logits(&self, view: &View<'_>, seen: Tensor<2>) -> Tensor<2> {
        self.last.forward(view, self.upper(view, self.first.forward(view, seen)))
    }
}

/// Rows, and where their values are among the cells of all columns.
#[derive(Debug, Clone)]
struct Places {
    x: Batch,
    /// Cell, and how much of it belongs to the next one; none where there is no value.
    at: Vec<Option<(u32, f32)>>,
    /// Columns, with that of what rows lack.
    width: usize,
}

impl Places {
    fn of(columns: &Vocabulary, x: &Batch) -> Self {
        let width = columns.width();
        let mut at = vec![None; x.rows() * width];
        at.par_chunks_mut(width).zip(x.data().par_chunks(x.width())).for_each(|(at, row)| {
            for (c, (at, v)) in at.iter_mut().zip(row).enumerate() {
                let own = columns.place(c, *v);
                *at = own.map(|(cell, next)| ((columns.stretch(c).start + cell) as u32, next));
            }
            if let Some((c, pattern)) = columns.lacking().zip(columns.pattern(row)) {
                at[c] = Some(((columns.stretch(c).start + pattern) as u32, 0.0));
            }
        });
        Self { x: x.clone(), at, width }
    }

    fn rows(&self) -> usize {
        self.x.rows()
    }

    fn row(&self, r: usize) -> &[Option<(u32, f32)>] {
        &self.at[r * self.width..][..self.width]
    }
}

/// What a training sees of some rows.
struct Shown {
    /// Cells, which columns are known, and ranks of numbers among them, `[rows, cells + 2 · columns]`.
    seen: Batch,
    /// log of what wanted values have within each cell, −∞ in other columns, `[rows, cells]`.
    within: Batch,
    /// D/(D − |A|) of each row; 0 of one without any value.
    weight: Vec<f32>,
}

/// Some columns of each row known and the others wanted, by what chance says.
fn shown(
    columns: &Vocabulary,
    orders: &[Vec<usize>],
    places: &Places,
    rows: &[usize],
    rng: &mut Rng,
) -> Shown {
    let (cells, d) = (columns.cells(), columns.width());
    let mut seen = Batch::zeros(rows.len(), cells + 2 * d);
    let mut within = Batch::from_fn(rows.len(), cells, |_, _| f32::NEG_INFINITY);
    let mut weight = Vec::with_capacity(rows.len());
    let mut order: Vec<usize> = Vec::with_capacity(d);
    for (i, r) in rows.iter().enumerate() {
        let (row, at) = (places.x.row(*r), places.row(*r));
        order.clear();
        let u = rng.uniform();
        if u < 0.5 {
            // What rows lack comes first, or is not asked for.
            order.extend(columns.lacking().filter(|_| u < 0.25));
            order.extend(&orders[rng.below(orders.len())]);
        } else {
            order.extend(0..d);
            rng.shuffle(&mut order);
        }
        order.retain(|c| at[*c].is_some());
        if order.is_empty() {
            weight.push(0.0);
            continue;
        }
        let known = rng.below(order.len());
        for c in &order[..known] {
            let Some((cell, next)) = at[*c] else { continue };
            let seen = seen.row_mut(i);
            seen[cell as usize] = 1.0 - next;
            if next > 0.0 {
                seen[cell as usize + 1] = next;
            }
            seen[cells + c] = 1.0;
            seen[cells + d + c] = columns.rank(*c, cell as usize - columns.stretch(*c).start, next);
        }
        for c in &order[known..] {
            let into = &mut within.row_mut(i)[columns.stretch(*c)];
            match (row.get(*c), at[*c]) {
                (Some(v), _) => columns.log_within(*c, *v, into),
                (None, Some((cell, _))) => into[cell as usize - columns.stretch(*c).start] = 0.0,
                (None, None) => {}
            }
        }
        weight.push(order.len() as f32 / (order.len() - known) as f32);
    }
    Shown { seen, within, weight }
}

impl Shown {
    /// Mean over the rows of what is minimised.
    fn loss(self, net: &Net, view: &View<'_>, ends: &Arc<[usize]>) -> Result<Tensor<1>> {
        let nll = ops::stretches_nll(net.logits(view, tensor(self.seen)), tensor(self.within), ends);
        let weight = tensor(Batch::new(self.weight, 1)?).squeeze_dim::<1>(1);
        Ok((nll * weight).mean())
    }
}

/// Validation rows that are looked at, each several times where there are fewer: which of their columns are known is up to chance.
const LOOKED: usize = 2600;
/// Times that each is looked at.
const LOOKS: [usize; 2] = [2, 50];
/// Rows of a pass without gradient.
const CHUNK: usize = 2048;

struct Prediction<'a> {
    net: &'a Net,
    columns: &'a Vocabulary,
    orders: &'a [Vec<usize>],
    rows: Places,
    valid: Option<Places>,
    seed: Seed,
}

impl Objective for Prediction<'_> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let shown = shown(self.columns, self.orders, &self.rows, rows, &mut cx.rng("known"));
        Ok(Loss::new(shown.loss(self.net, view, self.columns.ends())?))
    }

    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let Some(valid) = &self.valid else { return Ok(BTreeMap::new()) };
        let all: Vec<usize> = (0..valid.rows()).collect();
        let mut sum = 0.0;
        let looks = (LOOKED / valid.rows().max(1)).clamp(LOOKS[0], LOOKS[1]);
        for look in 0..looks as u64 {
            // The same sets at every epoch, so that epochs are compared on equal terms.
            let mut rng = self.seed.index(look).rng();
            for rows in all.chunks(CHUNK) {
                Stop::current().check()?;
                let shown = shown(self.columns, self.orders, valid, rows, &mut rng);
                sum += rows.len() as f64 * mean_of(shown.loss(self.net, view, self.columns.ends())?);
            }
        }
        Ok(BTreeMap::from([("loss".into(), sum / (looks * valid.rows().max(1)) as f64)]))
    }
}

/// A fitted network over columns.
#[derive(Debug, Clone)]
pub struct Tabular {
    config: TabularConfig,
    transform: Transform,
    columns: Vocabulary,
    orders: Vec<Vec<usize>>,
    params: Params,
    net: Net,
}

/// Rows whose known columns grow one by one.
struct Walk<'a> {
    model: &'a Tabular,
    view: View<'a>,
    /// Weights of the first layer and its sum so far, `[rows, units]`.
    weights: Vec<f32>,
    sums: Batch,
    head: [Tensor<2>; 2],
}

impl<'a> Walk<'a> {
    /// Of rows of which nothing is known.
    fn new(model: &'a Tabular, rows: usize) -> Self {
        let (params, net) = (&model.params, &model.net);
        let bias = params.values(net.first.b());
        let sums = Batch::from_fn(rows, bias.len(), |_, u| bias[u]);
        let view = params.frozen();
        let head = [view.get::<2>(net.last.w()), view.get::<1>(net.last.b()).unsqueeze()];
        Self { model, view, weights: params.values(net.first.w()), sums, head }
    }

    /// From now on it is known that row r has this value in column c.
    fn know(&mut self, r: usize, c: usize, v: f32) {
        if let Some((cell, next)) = self.model.columns.place(c, v) {
            self.know_cell(r, c, cell, next);
        }
    }

    /// The same, that the value lies in this cell, and how much of it in the next one.
    fn know_cell(&mut self, r: usize, c: usize, cell: usize, next: f32) {
        let columns = &self.model.columns;
        let rank = columns.rank(c, cell, next);
        let (units, cell) = (self.sums.width(), columns.stretch(c).start + cell);
        let (flag, number) = (columns.cells() + c, columns.cells() + columns.width() + c);
        let sums = self.sums.row_mut(r);
        for (place, share) in [(cell, 1.0 - next), (cell + 1, next), (flag, 1.0), (number, rank)] {
            if share != 0.0 {
                let weights = &self.weights[place * units..][..units];
                sums.iter_mut().zip(weights).for_each(|(s, w)| *s += share * w);
            }
        }
    }

    /// All that rows have is known.
    fn know_all(&mut self, x: &Batch) {
        for (r, row) in x.iter().enumerate() {
            row.iter().enumerate().for_each(|(c, v)| self.know(r, c, *v));
        }
    }

    /// Logarithms of the probabilities of the cells of column c, a row for each, divided by a temperature.
    fn log_cells(&self, c: usize, temperature: f64) -> Vec<Vec<f64>> {
        let net = &self.model.net;
        let h = net.upper(&self.view, ops::relu(tensor(self.sums.clone())));
        let stretch = self.model.columns.stretch(c);
        let part = |t: &Tensor<2>| t.clone().narrow(1, stretch.start, stretch.len());
        let logits = values(h.matmul(part(&self.head[0])) + part(&self.head[1]));
        let normalised = |logits: &[f32]| {
            let scaled: Vec<f64> = logits.iter().map(|v| f64::from(*v) / temperature).collect();
            let total = genus_core::math::log_sum_exp(scaled.iter().copied());
            scaled.into_iter().map(|v| v - total).collect()
        };
        logits.par_chunks_exact(stretch.len()).map(normalised).collect()
    }
}

fn exponentials(log: &[f64]) -> Vec<f64> {
    log.iter().map(|l| libm::exp(*l)).collect()
}

impl Tabular {
    fn build(
        config: &TabularConfig,
        transform: Transform,
        columns: Vocabulary,
        orders: Vec<Vec<usize>>,
        rng: &mut Rng,
    ) -> Result<Self> {
        config.afford(columns.width(), columns.cells())?;
        let mut params = Params::default();
        let net = Net::new(config, &columns, &mut params, rng);
        Ok(Self { config: config.clone(), transform, columns, orders, params, net })
    }

    /// The gradient of what is minimised against difference quotients, under fixed sets of known columns.
    fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
        let set = genus_core::data::load("parcels", &genus_core::data::Options::default())?;
        let x = set.train.x.slice(0, 40);
        let columns = Vocabulary::of(&set.schema, &x, 6);
        let config = TabularConfig { hidden: vec![count(6), count(6), count(5)], ..TabularConfig::default() };
        let mut params = Params::default();
        let net = Net::new(&config, &columns, &mut params, &mut seed.rng());
        let places = Places::of(&columns, &x);
        let orders = vec![vec![2, 0, 3, 1]];
        let rows: Vec<usize> = (0..9).collect();
        let found = gradcheck::check(
            &mut params,
            seed,
            |_, _| {},
            |view| {
                let shown = shown(&columns, &orders, &places, &rows, &mut seed.child("known").rng());
                Ok(Loss::new(shown.loss(&net, view, columns.ends())?))
            },
        )?;
        Ok(found.into_iter().map(|d| (d.name, d.error)).collect())
    }

    /// log p of each row under one order, nats; missing values are left out.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    fn log_under(&self, order: &[usize], x: &Batch) -> Result<Vec<f64>> {
        let stop = Stop::current();
        let mut walk = Walk::new(self, x.rows());
        let mut nats = vec![0.0; x.rows()];
        for &c in order {
            stop.check()?;
            let there: Vec<usize> = (0..x.rows()).filter(|r| !x.row(*r)[c].is_nan()).collect();
            if there.is_empty() {
                continue;
            }
            let log_cells = walk.log_cells(c, 1.0);
            for r in there {
                nats[r] += self.columns.log_prob(c, x.row(r)[c], &log_cells[r]);
                walk.know(r, c, x.row(r)[c]);
            }
        }
        Ok(nats)
    }

    /// Fills what is missing of rows by draws, column by column, each row in one of the orders with what is known first; or, of rows without
    /// any value, what they do not lack.
    fn drawn(&self, x: &mut Batch, temperature: f64, lacking: bool, rng: &mut Rng) -> Result<()> {
        let stop = Stop::current();
        let n = x.rows();
        let chosen: Vec<usize> = (0..n).map(|_| rng.below(self.orders.len())).collect();
        for (k, order) in self.orders.iter().enumerate() {
            let own: Vec<usize> = (0..n).filter(|r| chosen[*r] == k).collect();
            for rows in own.chunks(CHUNK) {
                let mut part = x.select(rows);
                let mut walk = Walk::new(self, rows.len());
                walk.know_all(&part);
                let mut lacks = vec![None; rows.len()];
                if let Some(c) = self.columns.lacking().filter(|_| lacking) {
                    for (r, log_cells) in walk.log_cells(c, temperature).iter().enumerate() {
                        let pattern = rng.categorical(&exponentials(log_cells));
                        walk.know_cell(r, c, pattern, 0.0);
                        lacks[r] = Some(pattern);
                    }
                }
                for &c in order {
                    stop.check()?;
                    let wanted = |r: usize| {
                        part.row(r)[c].is_nan() && lacks[r].is_none_or(|p| !self.columns.lacks(p, c))
                    };
                    let missing: Vec<usize> = (0..rows.len()).filter(|r| wanted(*r)).collect();
                    if missing.is_empty() {
                        continue;
                    }
                    let log_cells = walk.log_cells(c, temperature);
                    for r in missing {
                        let v = self.columns.draw(c, &exponentials(&log_cells[r]), rng);
                        part.row_mut(r)[c] = v;
                        walk.know(r, c, v);
                    }
                }
                rows.iter().zip(part.iter()).for_each(|(r, row)| x.row_mut(*r).copy_from_slice(row));
            }
        }
        Ok(())
    }
}

impl Family for Tabular {
    type Config = TabularConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check_missing()?;
        let transform =
            crate::transform_for(cx, data, || Ok(Transform::identity(data.schema.clone())))?.with_missing();
        let seed = cx.seed.child("tabular");
        let start = cx.start.map(Self::restore).transpose()?;
        let (columns, orders) = match &start {
            Some(old) => (old.columns.clone(), old.orders.clone()),
            None => {
                let order = |k: u64| seed.child("order").index(k).rng().permutation(data.schema.width());
                let columns = Vocabulary::of(&data.schema, &data.train.x, config.cells.get());
                (columns, (0..config.orders.get() as u64).map(order).collect())
            }
        };
        let mut model = Self::build(config, transform, columns, orders, &mut seed.child("init").rng())?;
        let rows = Places::of(&model.columns, &data.train.x);
        match cx.start {
            Some(start) => model.params.load(start)?,
            None => {
                // Each column begins at the shares of its cells.
                let shares = model.columns.log_shares(&data.train.x).into_iter().map(|l| l as f32).collect();
                model.params.set(model.net.last.b(), shares);
            }
        }
        let valid = data.valid.as_ref().map(|v| Places::of(&model.columns, &v.x));
        let n = rows.rows();
        let mut objective = Prediction {
            net: &model.net,
            columns: &model.columns,
            orders: &model.orders,
            rows,
            valid,
            seed: seed.child("validation"),
        };
        let report = genus_nn::train(&config.train, &mut model.params, n, &mut objective, SPEC.name, cx)?;
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: TabularConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let columns = Vocabulary::restore(state, transform.source())?;
        let d = transform.source().width();
        let kept = state.tensors.get("orders").map_or(0, |t| t.shape.first().copied().unwrap_or(0));
        let orders: Vec<Vec<usize>> = state
            .u64("orders", &[kept, d])?
            .chunks_exact(d.max(1))
            .map(|order| order.iter().map(|c| *c as usize).collect())
            .collect();
        let whole = |order: &Vec<usize>| {
            let mut seen = vec![false; d];
            order.iter().filter(|c| **c < d).for_each(|c| seen[*c] = true);
            !seen.contains(&false)
        };
        if orders.is_empty() || !orders.iter().all(whole) {
            return Err(Error::Run(
                "tensor `orders` holds no orders of the columns; the file is damaged".into(),
            ));
        }
        let mut model = Self::build(&config, transform, columns, orders, &mut Seed::from(0).rng())?;
        model.params.load(state)?;
        Ok(model)
    }
}

impl Model for Tabular {
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
        state.tensors = self.params.state().tensors;
        self.columns.put(&mut state);
        let all: Vec<u64> = self.orders.iter().flatten().map(|c| *c as u64).collect();
        state.tensors.insert("orders".into(), Stored::u64(&[self.orders.len(), self.schema().width()], all));
        state
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
}

impl Density for Tabular {
    fn score(&self, x: &Batch, _: &Scoring) -> Result<LogProb> {
        self.schema().check(x, true)?;
        let mut nats = Vec::with_capacity(x.rows());
        for start in (0..x.rows()).step_by(CHUNK) {
            let part = x.slice(start, start + CHUNK);
            let each = self.orders.iter().map(|o| self.log_under(o, &part)).collect::<Result<Vec<_>>>()?;
            let mean = |r: usize| log_mean_exp(&each.iter().map(|nats| nats[r]).collect::<Vec<_>>());
            nats.extend((0..part.rows()).map(mean));
        }
        let mut words = vec![match self.orders.len() {
            1 => "one order of the columns".to_owned(),
            n => format!("average over {n} orders of the columns"),
        }];
        if crate::holes::any(x) {
            words.push(crate::draws::BY_WHAT_IS_THERE.into());
        }
        Ok(LogProb {
            nats,
            spread: None,
            evidence: Evidence::EXACT,
            measure: self.domain().measure(),
            protocol: words.join(", "),
        })
    }
}

impl Sampler for Tabular {
    fn draws_missing(&self) -> bool {
        self.columns.lacking().is_some()
    }

    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        Ok(self.draw_as(n, &Drawing::default(), rng)?.x)
    }

    fn draw_as(&self, n: usize, how: &Drawing, rng: &mut Rng) -> Result<Split> {
        if how.given.is_some() {
            let remedy = "the class is a column like others here";
            return Err(Error::config("class", format!("this model has no classes; {remedy}")));
        }
        if !(how.temperature > 0.0 && how.temperature.is_finite()) {
            let message = format!("{} is out of range; it must be above 0", how.temperature);
            return Err(Error::config("temperature", message));
        }
        let mut x = Batch::from_fn(n, self.schema().width(), |_, _| f32::NAN);
        self.drawn(&mut x, how.temperature, how.missing, rng)?;
        Ok(Split::unlabelled(x))
    }
}

impl Conditional for Tabular {
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion> {
        self.schema().check(x, true)?;
        let mut filled = x.clone();
        let law = match fill {
            Fill::Sample => {
                self.drawn(&mut filled, 1.0, false, rng)?;
                "the network's conditionals given what is known, one column after the other"
            }
            Fill::Mean => {
                let stop = Stop::current();
                for start in (0..x.rows()).step_by(CHUNK) {
                    let part = x.slice(start, start + CHUNK);
                    let mut walk = Walk::new(self, part.rows());
                    walk.know_all(&part);
                    for c in 0..x.width() {
                        stop.check()?;
                        let missing: Vec<usize> =
                            (0..part.rows()).filter(|r| part.row(*r)[c].is_nan()).collect();
                        if missing.is_empty() {
                            continue;
                        }
                        let log_cells = walk.log_cells(c, 1.0);
                        for r in missing {
                            filled.row_mut(start + r)[c] =
                                self.columns.expected(c, &exponentials(&log_cells[r]));
                        }
                    }
                }
                "the network's conditional of each missing column given what is known: means of numbers, and the category that is most probable"
            }
        };
        Ok(Completion { x: filled, law: law.into(), warning: None })
    }

    /// By one pass of the network, in which every other column is known.
    fn log_conditional(&self, x: &Batch, column: usize, candidates: &Batch) -> Result<Vec<f64>> {
        self.schema().check(x, true)?;
        if candidates.rows() != x.rows() || column >= x.width() {
            return Err(Error::shape("candidates", format!("{} rows", x.rows()), candidates.rows()));
        }
        let stop = Stop::current();
        let mut nats = Vec::with_capacity(candidates.data().len());
        for start in (0..x.rows()).step_by(CHUNK) {
            stop.check()?;
            let mut part = x.slice(start, start + CHUNK);
            (0..part.rows()).for_each(|r| part.row_mut(r)[column] = f32::NAN);
            let mut walk = Walk::new(self, part.rows());
            walk.know_all(&part);
            for (r, log_cells) in walk.log_cells(column, 1.0).iter().enumerate() {
                let wanted = candidates.row(start + r).iter();
                nats.extend(wanted.map(|v| self.columns.log_prob(column, *v, log_cells)));
            }
        }
        Ok(nats)
    }
}
