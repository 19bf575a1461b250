//! # Kernel density estimation (KDE)
//!
//! ## What it is
//! p(x) = (1/n) Σ_i K_h(|x − x_i|): a bump of width h around every training row, which the model keeps. K is a normal, the paraboloid of
//! Epanechnikov, or uniform in a ball.
//!
//! ## Density
//! Exact, in time proportional to the number of training rows. Levels are dequantised, and the number is then a lower bound. Missing values
//! are filled from the exact conditional: again a sum of bumps, weighed by what is there.
//!
//! ## Trained by
//! Nothing but the bandwidth: by default that under which training rows are most likely given the others (leave-one-out; a row's twins
//! stand on no bump of it either), or validation rows.
//!
//! ## Use it when
//! Rows have few columns, and any shape is possible. In many columns all rows are far from each other, and a mixture or a flow is better.
//!
//! ## References
//! Rosenblatt 1956; Parzen 1962; Epanechnikov 1969; Silverman 1986.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Kde, KdeConfig, Seed, Silent, data};
//!
//! let rows = data::load("moons", &data::Options::default())?;
//! let fit = Kde::fit(&KdeConfig::default(), &rows, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert!(fit.model.log_prob(&rows.test.unwrap().x)?.mean() > -2.5);
//! # Ok::<(), genus::Error>(())
//! ```

use super::bandwidth::Choice;
use super::bump::Ground;
pub use super::bump::Kernel;
use crate::evaluate::some_rows;
use crate::units::Units;
use crate::{completion, draws};
use genus_core::config::Positive;
use genus_core::transform::{Noise, RealSteps, Transform, moments};
use genus_core::{
    Batch, Capability, Completion, Conditional, Dataset, Density, Error, Event, EvidenceKind, Family, Figure,
    Fill, Fit, FitContext, FitReport, LogProb, Model, ModelSpec, Reference, Result, Rng, Sampler, Schema,
    Scoring, Size, State, Stop, StopReason, SupportKind, Tensor, TinyFit, config,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::OnceLock;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Kde>("kde", "Kernel density estimation", module_path!())
    .summary("tables of few columns: a bump around every training row, which the model file holds")
    .papers(&[
        Reference::new(
            "Parzen",
            1962,
            "On Estimation of a Probability Density Function and Mode",
            "https://doi.org/10.1214/aoms/1177704472",
        ),
        Reference::new(
            "Silverman",
            1986,
            "Density Estimation for Statistics and Data Analysis",
            "https://doi.org/10.1201/9781315140919",
        ),
    ])
    .evidence(EvidenceKind::Exact)
    .can(&[Capability::Density, Capability::Sampler, Capability::Conditional])
    .passes("1 to score, over all training rows; 1 to draw")
    .rows(&[SupportKind::Real, SupportKind::Discrete, SupportKind::Binary])
    .suited(suited)
    .tiny_fits(&[
        TinyFit::new("Gaussian", "pinwheel", ""),
        TinyFit::new(
            "Epanechnikov",
            "pinwheel",
            "kernel = \"epanechnikov\"\nchoose = \"validation\"\nstandardize = false\n",
        )
        .failing(OUTSIDE),
        TinyFit::new("tophat", "pinwheel", "kernel = \"tophat\"\nbandwidth = 1.0\n").failing(OUTSIDE),
        TinyFit::new("levels", "pairs4", ""),
    ]);

/// Bumps with an edge.
const OUTSIDE: &[(&str, &str)] = &[
    ("beats_independent_columns", "a held-out row lies outside of all bumps"),
    ("approaches_the_known_entropy", "a held-out row lies outside of all bumps"),
];

/// How the bandwidth is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// By training rows, each given the others.
    #[default]
    LeaveOneOut,
    /// By validation rows.
    Validation,
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KdeConfig {
    /// Shape of the bumps.
    pub kernel: Kernel,
    /// Their width, in units of the columns' standard deviations if these are standardised; chosen from the rows if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Positive>,
    /// By what it is chosen.
    pub choose: Choose,
    /// Bumps are round in units of the columns' standard deviations; scores stay in data units.
    pub standardize: bool,
}

impl Default for KdeConfig {
    fn default() -> Self {
        Self { kernel: Kernel::Gaussian, bandwidth: None, choose: Choose::LeaveOneOut, standardize: true }
    }
}

/// Levels and bits have a unit in common.
fn suited(size: Size) -> toml::Table {
    let mut table = toml::Table::new();
    if !size.real {
        table.insert("standardize".into(), false.into());
    }
    table
}

/// Most rows that a bandwidth is chosen by.
const ROWS: usize = 1000;
/// Bandwidths that are thought of, as shares of the columns' mean deviation.
const RANGE: [f64; 2] = [1e-3, 10.0];

/// A fitted kernel density.
#[derive(Debug, Clone)]
pub struct Kde {
    config: KdeConfig,
    transform: Transform,
    bandwidth: f64,
    /// Rows of the model's domain around their mean, so that products of them lose no digits.
    units: Units,
    /// The training rows, in these units.
    ground: Ground,
    /// Hashes of them, once they are asked for.
    known: OnceLock<HashSet<u64>>,
}

fn hash(row: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.iter().for_each(|v| v.to_bits().hash(&mut hasher));
    hasher.finish()
}

impl Family for Kde {
    type Config = KdeConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let want = RealSteps { logit: None, standardize: config.standardize };
        let transform =
            crate::transform_for(cx, data, || Transform::to_real(&data.schema, want, &data.train.x, 0))?;
        let mut noise = cx.seed.child("dequantize").rng();
        let (x, _) = transform.forward(&data.train.x, Noise::Stream(&mut noise))?;
        cx.emit(&Event::Start { model: SPEC.name.into(), steps: None, resumed_at: 0, parameters: 1 });
        let units = Units::around(&x, false);
        let ground = Ground::new(units.inside(&x));
        let mut report = FitReport::default();
        let (_, std) = moments(&x);
        let spread = std.iter().sum::<f64>() / std.len() as f64;
        let bandwidth = match config.bandwidth {
            Some(h) => h.get(),
            None => {
                let own = config.choose == Choose::LeaveOneOut;
                let seen = match (config.choose, &data.valid) {
                    (Choose::Validation, None) => {
                        let message = "there are no validation rows; take choose=leave_one_out, or --split";
                        return Err(Error::config("choose", message));
                    }
                    (Choose::Validation, Some(valid)) => {
                        let some = valid.select(&some_rows(valid.x.rows(), ROWS));
                        units.inside(&transform.forward(&some.x, Noise::Stream(&mut noise))?.0)
                    }
                    (Choose::LeaveOneOut, _) if ground.rows.rows() < 2 => {
                        return Err(Error::config(
                            "bandwidth",
                            "one row says nothing of a bandwidth; set it",
                        ));
                    }
                    (Choose::LeaveOneOut, _) => ground.rows.select(&some_rows(ground.rows.rows(), ROWS)),
                };
                let choice = Choice { ground: &ground, rows: &seen, own, kernel: config.kernel };
                let stop = cx.stop().clone();
                let found = stop.during(|| choice.best(RANGE[0] * spread, RANGE[1] * spread))?;
                if !found.mean.is_finite() || found.at_the_edge {
                    let message = format!(
                        "no bandwidth from {:.1e} to {:.1e} is best: rows repeat, or some lie alone; set `bandwidth`, or take kernel=gaussian",
                        RANGE[0] * spread,
                        RANGE[1] * spread
                    );
                    cx.warn(&mut report, message);
                }
                found.bandwidth
            }
        };
        report.figures = vec![Figure::new("bandwidth", bandwidth, "in the units that the model works in")];
        let reason = cx.stopped().unwrap_or(StopReason::Completed);
        cx.emit(&Event::Epoch {
            epoch: 1,
            step: 1,
            train: BTreeMap::new(),
            valid: BTreeMap::new(),
            best: true,
        });
        cx.emit(&Event::End { step: 1, reason });
        (report.steps, report.stopped) = (1, Some(reason));
        Ok(Fit {
            model: Self {
                config: config.clone(),
                transform,
                bandwidth,
                units,
                ground,
                known: OnceLock::new(),
            },
            report,
        })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: KdeConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let d = transform.target().width();
        let stored = state.tensors.get("rows").map_or(0, |t| t.shape.first().copied().unwrap_or(0));
        let rows = Batch::new(state.f32("rows", &[stored, d])?.to_vec(), d)?;
        let units = Units::restore(state, d)?;
        let bandwidth = state.f64("bandwidth", &[1])?[0];
        if rows.is_empty() || bandwidth <= 0.0 {
            return Err(Error::Run("there is no row, or no bandwidth above 0; the file is damaged".into()));
        }
        Ok(Self { config, transform, bandwidth, units, ground: Ground::new(rows), known: OnceLock::new() })
    }
}

impl Kde {
    /// Width of the bumps, in the units that the model works in.
    pub fn bandwidth(&self) -> f64 {
        self.bandwidth
    }

    fn own_log_prob(&self, y: &Batch) -> Result<Vec<f64>> {
        self.ground.log_prob(&self.units.inside(y), self.config.kernel, self.bandwidth)
    }

    /// What is to be said of scores of training rows: each stands on its own bump, which is as high as it is narrow.
    fn at_home(&self, x: &Batch) -> Result<String> {
        // Levels have other noise than in training.
        if self.transform.dequantizes() {
            return Ok(String::new());
        }
        let (y, _) = self.transform.forward(x, Noise::Row(Scoring::default().seed))?;
        let known = self.known.get_or_init(|| self.ground.rows.iter().map(hash).collect());
        let n = self.units.inside(&y).iter().filter(|row| known.contains(&hash(row))).count();
        Ok(match n {
            0 => String::new(),
            n => format!(
                "not comparable: {n} of {} rows are training rows, which stand on their own bumps",
                x.rows()
            ),
        })
    }
}

impl Model for Kde {
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
        let rows = &self.ground.rows;
        state.tensors.insert("rows".into(), Tensor::f32(&[rows.rows(), rows.width()], rows.data().to_vec()));
        self.units.put(&mut state);
        state.tensors.insert("bandwidth".into(), Tensor::f64(&[1], vec![self.bandwidth]));
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

impl Density for Kde {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        draws::exact(&self.transform, x, how, [self.at_home(x)?], |y| self.own_log_prob(y))
    }
}

impl Sampler for Kde {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let (rows, stop) = (&self.ground.rows, Stop::current());
        let mut values = Vec::with_capacity(n * rows.width());
        for r in 0..n {
            if r.is_multiple_of(64) {
                stop.check()?;
            }
            let mut row = rows.row(rng.below(rows.rows())).to_vec();
            self.config.kernel.disturb(&mut row, self.bandwidth, rng);
            values.extend(row);
        }
        Ok(self
            .transform
            .inverse(&self.units.outside(&Batch::new(values, rows.width())?, self.transform.target())))
    }
}

impl Conditional for Kde {
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion> {
        let (rows, kernel) = (&self.ground.rows, self.config.kernel);
        let n = rows.rows();
        completion::fill(&self.transform, x, fill, rng, |holes, rng| {
            let seen = self.units.inside(holes.seen);
            let sections: Vec<(f64, f64)> = seen
                .iter()
                .flat_map(|y| {
                    let off =
                        |row: &[f32], c: &usize| (f64::from(y[*c]) - f64::from(row[*c])) / self.bandwidth;
                    let square = |row: &[f32]| holes.there.iter().map(|c| off(row, c).powi(2)).sum::<f64>();
                    let section = |row: &[f32]| kernel.section(square(row), holes.missing.len());
                    rows.iter().map(section).collect::<Vec<_>>()
                })
                .collect();
            if sections.iter().all(|s| s.0 == f64::NEG_INFINITY) {
                let what = "lies outside of all bumps; check its values, or take a larger bandwidth or kernel=gaussian";
                return Err(Error::Domain(what.into()));
            }
            let shares = completion::normalised(&sections.iter().map(|s| s.0).collect::<Vec<_>>());
            let made: Vec<f64> = match fill {
                Fill::Mean => {
                    let value = |i: usize, c: usize| f64::from(rows.row(i % n)[c]);
                    let mean = |c: &usize| shares.iter().enumerate().map(|(i, s)| s * value(i, *c)).sum();
                    holes.missing.iter().map(mean).collect()
                }
                Fill::Sample => {
                    let at = rng.categorical(&shares);
                    let mut part: Vec<f32> = holes.missing.iter().map(|c| rows.row(at % n)[*c]).collect();
                    kernel.disturb(&mut part, self.bandwidth * sections[at].1, rng);
                    part.into_iter().map(f64::from).collect()
                }
            };
            Ok(self.units.back(&made, holes.missing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{self, Options};
    use genus_core::{Seed, Silent, Split};

    fn halves() -> (Dataset, Batch) {
        let iris = data::load("iris", &Options::default()).unwrap();
        let half = |odd: usize| (0..iris.train.x.rows()).filter(|r| r % 2 == odd).collect::<Vec<_>>();
        let train = iris.train.select(&half(0));
        let set = Dataset { train, valid: None, test: None, ..iris.clone() };
        (set, iris.train.x.select(&half(1)))
    }

    /// scikit-learn 1.9.1 on iris: even rows to learn from, odd rows scored.
    #[test]
    fn scores_are_those_of_scikit_learn() {
        let (set, rest) = halves();
        for (h, want) in
            [(0.1, -4.415_722), (0.2, -2.113_339), (0.3, -2.335_221), (0.5, -3.193_948), (1.0, -4.982_824)]
        {
            let config =
                KdeConfig { bandwidth: Positive::new(h), standardize: false, ..KdeConfig::default() };
            let fit = Kde::fit(&config, &set, &mut FitContext::new(Seed::from(0), &mut Silent)).unwrap();
            let mean = fit.model.log_prob(&rest).unwrap().mean();
            assert!((mean - want).abs() < 5e-6, "{h}: {mean} {want}");
        }
    }

    /// The bandwidth that leaving one out chooses is the best on a grid, by the definition.
    #[test]
    fn the_bandwidth_makes_left_out_rows_likely() {
        let (set, _) = halves();
        let config = KdeConfig { standardize: false, ..KdeConfig::default() };
        let fit = Kde::fit(&config, &set, &mut FitContext::new(Seed::from(0), &mut Silent)).unwrap();
        let x = &set.train.x;
        let left_out = |h: f64| -> f64 {
            let of = |r: usize| {
                let others: Vec<usize> = (0..x.rows()).filter(|o| x.row(*o) != x.row(r)).collect();
                let y = x.select(&others);
                let nats = Ground::new(y).log_prob(&x.slice(r, r + 1), Kernel::Gaussian, h).unwrap()[0];
                nats + (others.len() as f64 / (x.rows() - 1) as f64).ln()
            };
            (0..x.rows()).map(of).sum::<f64>() / x.rows() as f64
        };
        let best = left_out(fit.model.bandwidth());
        for h in [0.5, 0.8, 0.95, 1.05, 1.25, 2.0] {
            assert!(left_out(fit.model.bandwidth() * h) < best + 1e-4, "{h}");
        }
    }

    /// Filled values are those of the density: mean and variance of a column given the others, by quadrature; 20,000 draws within five
    /// standard errors (false alarm 6e-7 each).
    #[test]
    fn conditionals_are_those_of_the_density() {
        let x = Batch::from_fn(30, 2, |r, c| {
            if c == 0 { (r as f32 * 0.7).sin() } else { (r as f32 * 1.3).cos() + 0.05 * r as f32 }
        });
        let set = Dataset::new("t", genus_core::Domain::real(2), Split::unlabelled(x)).unwrap();
        for (kernel, h) in [(Kernel::Gaussian, 0.3), (Kernel::Epanechnikov, 0.8), (Kernel::Tophat, 0.6)] {
            let bandwidth = Positive::new(h);
            let config = KdeConfig { kernel, bandwidth, standardize: false, ..KdeConfig::default() };
            let mut silent = Silent;
            let fit = Kde::fit(&config, &set, &mut FitContext::new(Seed::from(0), &mut silent)).unwrap();
            let grid = Batch::from_fn(12_001, 2, |r, c| if c == 0 { 0.4 } else { -5.0 + 0.001 * r as f32 });
            let nats = fit.model.log_prob(&grid).unwrap().nats;
            let (mut mass, mut mean, mut square) = (0.0, 0.0, 0.0);
            for (row, v) in grid.iter().zip(nats) {
                let (p, y) = (v.exp(), f64::from(row[1]));
                (mass, mean, square) = (mass + p, mean + p * y, square + p * y * y);
            }
            let (mean, variance) = (mean / mass, square / mass - (mean / mass).powi(2));
            let holes = Batch::from_fn(20_000, 2, |_, c| if c == 0 { 0.4 } else { f32::NAN });
            let filled = fit.model.impute(&holes.slice(0, 1), Fill::Mean, &mut Seed::from(0).rng()).unwrap();
            assert!((f64::from(filled.row(0)[1]) - mean).abs() < 2e-3, "{kernel:?}");
            let drawn = fit.model.impute(&holes, Fill::Sample, &mut Seed::from(1).rng()).unwrap();
            let (m, s) = moments(&drawn);
            assert!((m[1] - mean).abs() < 5.0 * (variance / 20_000.0).sqrt(), "{kernel:?}: {} {mean}", m[1]);
            assert!((s[1] * s[1] / variance - 1.0).abs() < 0.06, "{kernel:?}: {} {variance}", s[1] * s[1]);
        }
    }
}
