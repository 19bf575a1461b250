//! # Bernoulli mixture
//!
//! ## What it is
//! p(x) = Σₖ πₖ Π_d μ_kd^{x_d} (1 − μ_kd)^{1 − x_d}: within a component bits are independent. Also called latent class analysis.
//!
//! ## Density
//! Exact, one product with a matrix. Levels are binarised; the number is then of the bits.
//!
//! ## Trained by
//! Expectation–maximisation from k-means starts; the best of several restarts is kept. Means are those of a Beta(1 + α, 1 + α) prior, by which no
//! bit is impossible; what then rises is the likelihood with the log of the prior, every iteration. Where there are validation rows, EM ends
//! when they no longer gain. Where cells are missing, what rises is the likelihood of what is there.
//!
//! ## Use it when
//! Rows are bits: clusters of rows, a density that is quick and robust, missing values, for which every conditional is again a
//! mixture in closed form.
//!
//! ## References
//! Lazarsfeld & Henry 1968; Bishop 2006, section 9.3.3; Juan & Vidal 2004.
//!
//! ## Example
//! ```
//! use genus::{BernoulliMixture, BernoulliMixtureConfig, Density as _, Family, FitContext, Seed, Silent, data};
//!
//! let rows = data::load("tree8", &data::Options::default())?;
//! let fit = BernoulliMixture::fit(&BernoulliMixtureConfig::default(), &rows, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // The entropy of the source is 4.64 nats, independent bits have 5.44.
//! assert!(fit.model.log_prob(&rows.test.unwrap().x)?.mean() > -4.8);
//! # Ok::<(), genus::Error>(())
//! ```

use super::ascent::{Limits, Reached, ascend};
use super::bernoulli_em::{BLOCK, Bits, Parts};
use crate::diagnostics::parts;
use crate::{completion, draws};
use genus_core::config::{NonNegative, Positive, count};
use genus_core::math::log_sum_exp;
use genus_core::panel::{Cell, Shade};
use genus_core::transform::{Binarize, Noise, Transform};
use genus_core::{
    Batch, Capability, Clusterer, Completion, Conditional, Dataset, Density, Error, Event, EvidenceKind,
    Exhibit, Family, Figure, Fill, Fit, FitContext, FitReport, LogProb, Model, ModelSpec, Reference, Result,
    Rng, Sampler, Schema, Scoring, Shape, Size, State, Stop, StopReason, SupportKind, Tensor, TinyFit,
    config,
};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<BernoulliMixture>("bernoulli-mixture", "Bernoulli mixture", module_path!())
        .summary("binary rows: clusters with a law, a robust density, exact filling of missing values")
        .papers(&[
            Reference::new(
                "Lazarsfeld & Henry",
                1968,
                "Latent Structure Analysis",
                "https://archive.org/details/latentstructurea0000laza",
            ),
            Reference::new(
                "Juan & Vidal",
                2004,
                "Bernoulli mixture models for binary images",
                "https://doi.org/10.1109/ICPR.2004.1334543",
            ),
        ])
        .evidence(EvidenceKind::Exact)
        .can(&[Capability::Density, Capability::Sampler, Capability::Conditional, Capability::Clusterer])
        .passes("1 to score, 1 to draw")
        .rows(&[SupportKind::Binary, SupportKind::Discrete])
        .takes_missing()
        .suited(suited)
        .tiny_fits(&[
            TinyFit::new("bits", "tree8", "components = 12\n"),
            TinyFit::new("binarised levels", "pairs4", "components = 6\nbinarize = \"fixed\"\n"),
        ]);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BernoulliMixtureConfig {
    /// Number of components.
    pub components: NonZeroUsize,
    /// How levels become bits.
    pub binarize: Binarize,
    /// α: rows that each component is believed to have had with the bit, and as many without.
    pub prior: Positive,
    /// Independent starts, of which the most likely on validation rows, or on training rows for want of these, is kept.
    pub restarts: NonZeroUsize,
    /// Most EM iterations of one start.
    pub iterations: NonZeroUsize,
    /// EM stops when the mean log-likelihood per row rises by less, nats.
    pub tolerance: NonNegative,
}

impl Default for BernoulliMixtureConfig {
    fn default() -> Self {
        let prior = match Positive::new(0.1) {
            Some(v) => v,
            None => unreachable!("it is positive"),
        };
        Self {
            components: count(20),
            binarize: Binarize::default(),
            prior,
            restarts: count(3),
            iterations: count(300),
            tolerance: NonNegative::new(1e-5).unwrap_or_else(|| unreachable!("it is not negative")),
        }
    }
}

/// A component for fifty rows.
fn suited(size: Size) -> toml::Table {
    let components = (size.rows / 50).clamp(2, 100).min(size.rows.max(1));
    let restarts = if size.rows.saturating_mul(size.columns) > 1 << 22 { 1 } else { 3 };
    let entries = [("components", components as i64), ("restarts", restarts)];
    entries.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect()
}

/// Most values of the means.
const MOST: usize = 1 << 28;

/// A fitted Bernoulli mixture.
#[derive(Debug, Clone)]
pub struct BernoulliMixture {
    config: BernoulliMixtureConfig,
    transform: Transform,
    parts: Parts,
}

impl Family for BernoulliMixture {
    type Config = BernoulliMixtureConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check_missing()?;
        let (k, d, n) = (config.components.get(), data.schema.width(), data.train.x.rows());
        if n < k {
            let message = format!("{k} components need at least {k} training rows, there are {n}");
            return Err(Error::config("components", message));
        }
        if k.saturating_mul(d) > MOST {
            let message = format!("{k} components of {d} columns hold more than {MOST} values; take fewer");
            return Err(Error::config("components", message));
        }
        let transform =
            crate::transform_for(cx, data, || Transform::to_binary(&data.schema, config.binarize, 0))?
                .with_missing();
        let mut noise = cx.seed.child("bits").rng();
        let (x, _) = transform.forward(&data.train.x, Noise::Stream(&mut noise))?;
        let valid = match &data.valid {
            Some(split) if split.x.rows() > 0 => {
                Some(transform.forward(&split.x, Noise::Stream(&mut noise))?.0)
            }
            _ => None,
        };
        let start = cx.start.map(Self::restore).transpose()?;
        if let Some(old) = start.as_ref().filter(|old| old.config.components != config.components) {
            let message = format!("the mixture that fitting begins with has {}", old.config.components);
            return Err(Error::config("components", message));
        }
        let parameters = (k * (d + 1) - 1) as u64;
        cx.emit(&Event::Start { model: SPEC.name.into(), steps: None, resumed_at: 0, parameters });
        let rows = Bits { x: &x, valid: valid.as_ref(), components: k, prior: config.prior.get() };
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
        let means = order.iter().flat_map(|c| parts.means[c * d..(c + 1) * d].to_vec()).collect();
        let parts = Parts::new(order.iter().map(|c| parts.log_weights[*c]).collect(), means);
        let reason = cx.stopped().unwrap_or(StopReason::Completed);
        cx.emit(&Event::End { step: iterations, reason });
        (report.steps, report.stopped) = (iterations, Some(reason));
        let model = Self { config: config.clone(), transform, parts };
        report.figures = match model.parts.log_prob(&x) {
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
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: BernoulliMixtureConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let (k, d) = (config.components.get(), transform.target().width());
        let log_weights = state.f64("log_weights", &[k])?.to_vec();
        let means = state.f64("means", &[k, d])?.to_vec();
        let inside = means.iter().all(|m| *m > 0.0 && *m < 1.0);
        if !inside || log_sum_exp(log_weights.iter().copied()).abs() > 1e-6 {
            let message =
                "the weights do not sum to 1, or a mean is not between 0 and 1; the file is damaged";
            return Err(Error::Run(message.into()));
        }
        Ok(Self { config, transform, parts: Parts::new(log_weights, means) })
    }
}

impl BernoulliMixture {
    /// Bits of rows of data.
    fn bits(&self, x: &Batch) -> Result<Batch> {
        Ok(self.transform.forward(x, Noise::Row(Scoring::default().seed))?.0)
    }
}

impl Model for BernoulliMixture {
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
        let (k, d) = (self.parts.len(), self.parts.width());
        let mut put = |name: &str, shape: &[usize], values: &[f64]| {
            state.tensors.insert(name.into(), Tensor::f64(shape, values.to_vec()));
        };
        put("log_weights", &[k], &self.parts.log_weights);
        put("means", &[k, d], &self.parts.means);
        state
    }

    fn exhibits(&self) -> Vec<Exhibit> {
        let weights: Vec<f64> = self.parts.log_weights.iter().map(|w| libm::exp(*w)).collect();
        let (schema, d) = (self.schema(), self.parts.width());
        // Images are shown from 0 to the top of their levels, tables as shares.
        let unit = match schema.domain.shape {
            Shape::Image { .. } => schema.domain.top().unwrap_or(1.0),
            Shape::Flat(_) => 1.0,
        };
        let means = Batch::from_fn(weights.len(), d, |k, c| unit * self.parts.means[k * d + c] as f32);
        let names = ("Means", "Component");
        let panel = parts(schema, names, &means, ("Weight", &weights), Shade::Data, |_, v| Cell::Share(v));
        let text = "Weight of each component and how often it has each bit, the heaviest first.";
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

impl Density for BernoulliMixture {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        draws::exact(&self.transform, x, how, None, |y| self.parts.log_prob(y))
    }
}

impl Sampler for BernoulliMixture {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let weights: Vec<f64> = self.parts.log_weights.iter().map(|w| libm::exp(*w)).collect();
        let (d, stop) = (self.parts.width(), Stop::current());
        let mut values = Vec::with_capacity(n * d);
        for r in 0..n {
            if r.is_multiple_of(64) {
                stop.check()?;
            }
            let k = rng.categorical(&weights);
            values.extend(
                self.parts.means[k * d..(k + 1) * d].iter().map(|m| f32::from(rng.uniform_f64() < *m)),
            );
        }
        Ok(self.transform.inverse(&Batch::new(values, d)?))
    }
}

impl Conditional for BernoulliMixture {
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion> {
        let (k, d) = (self.parts.len(), self.parts.width());
        let mean = |k: usize, c: usize| self.parts.means[k * d + c];
        completion::fill(&self.transform, x, fill, rng, |holes, rng| {
            let y = holes.seen.row(0);
            let seen = |k: usize| {
                let of =
                    |c: &usize| if y[*c] > 0.5 { libm::log(mean(k, *c)) } else { libm::log1p(-mean(k, *c)) };
                self.parts.log_weights[k] + holes.there.iter().map(of).sum::<f64>()
            };
            let shares = completion::normalised(&(0..k).map(seen).collect::<Vec<_>>());
            Ok(match fill {
                Fill::Mean => {
                    let mixed = |c: &usize| (0..k).map(|k| shares[k] * mean(k, *c)).sum();
                    holes.missing.iter().map(mixed).collect()
                }
                Fill::Sample => {
                    let k = rng.categorical(&shares);
                    let bit = |c: &usize| f64::from(u8::from(rng.uniform_f64() < mean(k, *c)));
                    holes.missing.iter().map(bit).collect()
                }
            })
        })
    }
}

impl Clusterer for BernoulliMixture {
    fn clusters(&self) -> usize {
        self.parts.len()
    }

    fn assign(&self, x: &Batch) -> Result<Vec<u32>> {
        let (y, k, stop) = (self.bits(x)?, self.parts.len(), Stop::current());
        let mut all = Vec::with_capacity(y.rows());
        for start in (0..y.rows()).step_by(BLOCK) {
            stop.check()?;
            let joint = self.parts.joint(&y.slice(start, start + BLOCK));
            let best = |row: &[f64]| (0..k).fold(0, |b, c| if row[c] > row[b] { c } else { b }) as u32;
            all.extend(joint.chunks_exact(k).map(best));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::{Domain, Seed, Silent, Split};

    fn example() -> BernoulliMixture {
        let means = vec![0.9, 0.2, 0.6, 0.1, 0.7, 0.5];
        BernoulliMixture {
            config: BernoulliMixtureConfig { components: count(2), ..Default::default() },
            transform: Transform::identity(Domain::binary(3)),
            parts: Parts::new(vec![0.3f64.ln(), 0.7f64.ln()], means),
        }
    }

    fn every(d: usize) -> Batch {
        Batch::from_fn(1 << d, d, |r, c| ((r >> c) & 1) as f32)
    }

    /// By hand, and over all rows together.
    #[test]
    fn the_density_is_the_definition() {
        let nats = example().log_prob(&every(3)).unwrap().nats;
        let want = 0.3f64 * 0.9 * 0.8 * 0.6 + 0.7 * 0.1 * 0.3 * 0.5;
        assert!((nats[5] - want.ln()).abs() < 1e-6, "{} {}", nats[5], want.ln());
        assert!((nats.iter().map(|v| v.exp()).sum::<f64>() - 1.0).abs() < 1e-6);
    }

    /// The mean of a missing bit is its conditional probability, by enumeration.
    #[test]
    fn conditionals_are_those_of_the_density() {
        let model = example();
        let p: Vec<f64> = model.log_prob(&every(3)).unwrap().nats.iter().map(|v| v.exp()).collect();
        let holes = Batch::new(vec![1.0, f32::NAN, f32::NAN], 3).unwrap();
        let filled = model.impute(&holes, Fill::Mean, &mut Seed::from(0).rng()).unwrap();
        let given = p[1] + p[3] + p[5] + p[7];
        assert!((f64::from(filled.row(0)[1]) - (p[3] + p[7]) / given).abs() < 1e-6);
        assert!((f64::from(filled.row(0)[2]) - (p[5] + p[7]) / given).abs() < 1e-6);
    }

    /// Rows of two known components give them back.
    #[test]
    fn components_are_found() {
        let truth = example();
        let rows = truth.sample(20_000, &mut Seed::from(5).rng()).unwrap();
        let set = Dataset::new("t", Domain::binary(3), Split::unlabelled(rows.clone())).unwrap();
        let config = BernoulliMixtureConfig {
            components: count(2),
            iterations: count(2000),
            tolerance: NonNegative::new(1e-9).unwrap(),
            ..Default::default()
        };
        let fit =
            BernoulliMixture::fit(&config, &set, &mut FitContext::new(Seed::from(1), &mut Silent)).unwrap();
        let best = truth.log_prob(&rows).unwrap().mean();
        let found = fit.model.log_prob(&rows).unwrap().mean();
        // The maximum is above the truth by about half a parameter for each row.
        assert!(found > best - 1e-4 && found < best + 1e-3, "{found} {best}");
    }
}
