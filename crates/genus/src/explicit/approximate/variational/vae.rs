//! # Variational autoencoder (VAE)
//!
//! ## What it is
//! p(x) = ∫ p(x|z) N(z; 0, I) dz with a decoder network p(x|z), and an encoder network q(z|x) = N(μ(x), diag σ²(x)).
//!
//! ## Density
//! Lower bounds: the ELBO E_q\[log p(x|z)\] − KL(q(z|x) ‖ p(z)) with the KL in closed form,
//! −½ Σ (1 + log σ² − μ² − σ²); and the importance-weighted bound E\[log 1/K Σ p(x, z_k)/q(z_k|x)\], which tightens with K.
//! Everything is summed over dimensions and averaged over rows only. Columns of several kinds are independent given z: a softmax of categories, and of the
//! cells of numbers, with a little of the mass where no training value is.
//!
//! ## Trained by
//! Minibatch Adam on −ELBO with one reparametrised draw of z per row.
//!
//! ## Use it when
//! Codes are wanted beside samples: encoding, reconstruction, interpolation, maps of a data set.
//!
//! ## References
//! Kingma & Welling 2014; Rezende, Mohamed & Wierstra 2014; Burda, Grosse & Salakhutdinov 2016 (the tighter bound).
//!
//! ## Example
//! ```
//! use genus::{Encoder as _, Family, FitContext, Seed, Silent, Vae, VaeConfig, config, data};
//!
//! let iris = data::load("iris", &data::Options::default())?;
//! let config: VaeConfig = config::from_table(&toml::from_str("latent = 2\nhidden = [16]\ntrain.epochs = 2").unwrap())?;
//! let fit = Vae::fit(&config, &iris, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert_eq!(fit.model.encode(&iris.train.x)?.width(), 2);
//! # Ok::<(), genus::Error>(())
//! ```

use super::latent_net::{Head, Law, Net, Shown, normals};
use crate::cells::Vocabulary;
use crate::draws::{self, Drawn};
use crate::training_rows::TrainingRows;
use genus_core::config::{NonNegative, count};
use genus_core::math::{log_mean_exp, log_sum_exp};
use genus_core::transform::{Binarize, Noise, RealSteps, Transform};
use genus_core::{
    Batch, Capability, Dataset, Decoder, Density, Domain, Encoder, Error, Evidence, EvidenceKind, Family,
    Figure, Fit, FitContext, LatentVariable, LogProb, Model, ModelSpec, Reference, Result, Rng, Sampler,
    Schema, Scoring, Seed, State, Stop, Support, SupportKind, TinyFit, config,
};
use genus_nn::{
    Loss, Nonlinearity, Objective, Params, StepContext, Tensor, TrainConfig, View, gradcheck, mean_of, ops,
    tensor, tensor_from, values,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Vae>("vae", "Variational autoencoder", module_path!())
    .summary("codes beside samples: encoding, reconstruction, interpolation; the likelihood is bounded from below")
    .papers(&[
        Reference::new(
            "Kingma & Welling",
            2014,
            "Auto-Encoding Variational Bayes",
            "https://arxiv.org/abs/1312.6114",
        ),
        Reference::new(
            "Burda, Grosse & Salakhutdinov",
            2016,
            "Importance Weighted Autoencoders",
            "https://arxiv.org/abs/1509.00519",
        ),
    ])
    .evidence(EvidenceKind::LowerBound)
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Decoder])
    .rows(&[SupportKind::Binary, SupportKind::Discrete, SupportKind::Real, SupportKind::Mixed])
    .trained_by_steps()
    .suited(crate::suited::network)
    .tiny_fits(&[
        TinyFit::new(
            "bernoulli",
            "tree8",
            "latent = 2\nhidden = [16]\n[train]\nepochs = 10\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new(
            "gaussian on standardised columns",
            "8gaussians",
            "latent = 2\nhidden = [24]\nstandardize = true\nkl_warmup = 2.0\n[train]\nepochs = 8\nbatch = 50\nema = 0.9\npatience = 3\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new(
            "columns of four kinds",
            "parcels",
            "latent = 2\nhidden = [24]\n[train]\nepochs = 12\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new(
            "gaussian on levels",
            "pairs4",
            "latent = 2\nhidden = [16]\nlikelihood = \"gaussian\"\n[train]\nepochs = 8\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
        ).failing(&[
                (
                    "beats_independent_columns",
                    "one variance per column for all codes cannot follow the edges of dequantised levels",
                ),
                (
                    "approaches_the_known_entropy",
                    "one variance per column for all codes cannot follow the edges of dequantised levels",
                ),
            ]),
    ])
    .gradient_check(Vae::gradient_check);

/// The decoder's distribution of a row given its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likelihood {
    /// Bernoulli for binary rows and levels, Gaussian for real rows, cells for columns of several kinds.
    #[default]
    Auto,
    /// Independent bits; levels are binarised.
    Bernoulli,
    /// Independent normals with one learned variance per dimension; levels are dequantised.
    Gaussian,
    /// Independent columns of any kind: a softmax of categories, and of the cells of a number, which are those of `tabular`.
    Cells,
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaeConfig {
    /// Length of a code.
    pub latent: NonZeroUsize,
    /// Units of the encoder's hidden layers; the decoder has them in reverse.
    pub hidden: Vec<NonZeroUsize>,
    /// Function of the hidden units.
    pub activation: Nonlinearity,
    /// The decoder's distribution.
    pub likelihood: Likelihood,
    /// Most cells of a column of numbers under the likelihood of cells; of few rows there are fewer.
    pub cells: NonZeroUsize,
    /// How levels become bits under the Bernoulli likelihood.
    pub binarize: Binarize,
    /// Standardise columns under the Gaussian likelihood.
    pub standardize: bool,
    /// Epochs over which the weight of the KL rises from 0 to 1. While it is below 1 the training loss is no bound; scores
    /// always are.
    pub kl_warmup: NonNegative,
    /// Training.
    pub train: TrainConfig,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            latent: count(20),
            hidden: vec![count(200), count(200)],
            activation: Nonlinearity::Tanh,
            likelihood: Likelihood::Auto,
            cells: count(50),
            binarize: Binarize::default(),
            standardize: true,
            kl_warmup: NonNegative::new(0.0).unwrap_or_else(|| unreachable!("0 is not negative")),
            train: TrainConfig::default(),
        }
    }
}

impl VaeConfig {
    /// Widths of the layers of encoder and decoder.
    fn widths(&self, [seen, given]: [usize; 2]) -> [Vec<usize>; 2] {
        let hidden = self.hidden.iter().map(|h| h.get());
        let latent = self.latent.get();
        let up = std::iter::once(seen).chain(hidden.clone()).chain([latent.saturating_mul(2)]).collect();
        [up, std::iter::once(latent).chain(hidden.rev()).chain([given]).collect()]
    }
}

/// What training minimises: −ELBO.
struct NegativeElbo<'a> {
    net: &'a Net,
    seen: TrainingRows,
    warmup: f64,
    steps_per_epoch: f64,
    seed: Seed,
}

impl Objective for NegativeElbo<'_> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let x = self.net.shown(self.seen.batch(rows, || cx.rng("noise"))?);
        let noise = normals(rows.len(), self.net.latent, &mut cx.rng("z"));
        let (z, kl) = ops::reparametrise(self.net.encode(view, &x), noise);
        let (nll, kl) = (self.net.nll(view, z, &x).mean(), kl.mean());
        let beta = if self.warmup > 0.0 {
            (cx.step as f64 / (self.warmup * self.steps_per_epoch)).min(1.0)
        } else {
            1.0
        };
        let parts = [("reconstruction", mean_of(nll.clone())), ("kl", mean_of(kl.clone()))];
        Ok(Loss { parts: parts.into(), ..Loss::new(nll + kl * beta) })
    }

    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let Some(x) = &self.seen.valid else { return Ok(BTreeMap::new()) };
        let (mut nll, mut divergence) = (0.0, 0.0);
        let stop = Stop::current();
        for (i, start) in (0..x.rows()).step_by(CHUNK).enumerate() {
            stop.check()?;
            let part = x.slice(start, start + CHUNK);
            // The same noise at every epoch, so that epochs are compared on equal terms.
            let noise = normals(part.rows(), self.net.latent, &mut self.seed.index(i as u64).rng());
            let (rows, part) = (part.rows() as f64, self.net.shown(part));
            let (z, kl) = ops::reparametrise(self.net.encode(view, &part), noise);
            nll += rows * mean_of(self.net.nll(view, z, &part));
            divergence += rows * mean_of(kl);
        }
        let n = x.rows() as f64;
        let named = [("loss", nll + divergence), ("reconstruction", nll), ("kl", divergence)];
        Ok(named.into_iter().map(|(k, v)| (k.to_owned(), v / n)).collect())
    }
}

/// Rows, or draws of z, in one pass while scoring.
const CHUNK: usize = 1024;

/// A fitted VAE.
#[derive(Debug, Clone)]
pub struct Vae {
    config: VaeConfig,
    transform: Transform,
    params: Params,
    net: Net,
}

impl Vae {
    fn build(
        config: &VaeConfig,
        transform: Transform,
        columns: Option<Vocabulary>,
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut params = Params::default();
        let law = match columns {
            Some(columns) => Law::Cells(columns),
            None if transform.target().support == Support::Real => Law::Gaussian,
            None => Law::Bernoulli,
        };
        let [up, down] = config.widths(law.widths(transform.target().width()));
        genus_nn::afford("hidden", &[&up, &down])?;
        let net = Net::new([&up, &down], config.activation.into(), law, &mut params, rng);
        Ok(Self { config: config.clone(), transform, params, net })
    }

    /// Gradient of −ELBO, with its noise held fixed, against difference quotients, under both likelihoods.
    fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
        let config = VaeConfig { latent: count(3), hidden: vec![count(6), count(5)], ..VaeConfig::default() };
        let mut found = Vec::new();
        for domain in [Domain::binary(7), Domain::real(7)] {
            let mut rng = seed.child("gradient").rng();
            let gaussian = domain.support == Support::Real;
            let Self { net, mut params, .. } =
                Self::build(&config, Transform::identity(domain), None, &mut rng)?;
            let x = Batch::from_fn(8, 7, |_, _| {
                if gaussian { rng.normal() as f32 } else { f32::from(u8::from(rng.uniform() < 0.5)) }
            });
            let noise = normals(8, 3, &mut rng);
            let errors = gradcheck::check(
                &mut params,
                seed,
                |_, _| {},
                |view| {
                    let x = net.shown(x.clone());
                    let (z, kl) = ops::reparametrise(net.encode(view, &x), noise.clone());
                    let total = net.nll(view, z, &x).mean() + kl.mean();
                    Ok(Loss::new(total))
                },
            )?;
            let kind = if gaussian { "gaussian" } else { "bernoulli" };
            found.extend(errors.into_iter().map(|d| (format!("{kind}: {}", d.name), d.error)));
        }
        Ok(found)
    }

    /// The row's own stream of posterior noise.
    fn noise(&self, row: &[f32], how: &Scoring) -> Rng {
        how.seed.child("z").row(row).rng()
    }

    /// log p(x, z)/q(z|x) of `k` draws for one row.
    fn log_weights(
        &self,
        view: &View<'_>,
        x: &Shown,
        mean: &[f32],
        log_variance: &[f32],
        k: usize,
        rng: &mut Rng,
    ) -> Result<Vec<f64>> {
        let (latent, stop) = (self.net.latent, Stop::current());
        let mut weights = Vec::with_capacity(k);
        while weights.len() < k {
            stop.check()?;
            let n = CHUNK.min(k - weights.len());
            let mut z = Vec::with_capacity(n * latent);
            // log p(z) − log q(z|x) = ½ Σ (log σ² + ε² − z²).
            let prior: Vec<f64> = (0..n)
                .map(|_| {
                    let mut sum = 0.0;
                    for (m, lv) in mean.iter().zip(log_variance) {
                        let (m, lv, e) = (f64::from(*m), f64::from(*lv), rng.normal());
                        let v = m + libm::exp(0.5 * lv) * e;
                        sum += 0.5 * (lv + e * e - v * v);
                        z.push(v as f32);
                    }
                    sum
                })
                .collect();
            let nll = values(self.net.nll(view, tensor_from(z, [n, latent]), x));
            weights.extend(prior.iter().zip(nll).map(|(p, nll)| p - f64::from(nll)));
        }
        Ok(weights)
    }

    /// ELBO of each row with one draw of z and the KL in closed form: negative log-likelihood and KL, nats.
    fn elbo(&self, y: &Batch, how: &Scoring) -> Result<(Vec<f64>, Vec<f64>)> {
        let view = self.params.frozen();
        let (mut nll, mut divergence) = (Vec::new(), Vec::new());
        for start in (0..y.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            let part = y.slice(start, start + CHUNK);
            let mut noise = Vec::with_capacity(part.rows() * self.net.latent);
            for row in part.iter() {
                let mut rng = self.noise(row, how);
                noise.extend((0..self.net.latent).map(|_| rng.normal() as f32));
            }
            let noise = tensor_from(noise, [part.rows(), self.net.latent]);
            let part = self.net.shown(part);
            let (z, kl) = ops::reparametrise(self.net.encode(&view, &part), noise);
            let wide = |t: Tensor<1>| values(t).into_iter().map(f64::from).collect::<Vec<_>>();
            nll.extend(wide(self.net.nll(&view, z, &part)));
            divergence.extend(wide(kl));
        }
        Ok((nll, divergence))
    }

    fn posterior_of(&self, y: &Batch) -> Result<(Vec<f32>, Vec<f32>)> {
        let view = self.params.frozen();
        let (mut means, mut variances) = (Vec::new(), Vec::new());
        for start in (0..y.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            let (mean, log_variance) =
                self.net.posterior(&view, &self.net.shown(y.slice(start, start + CHUNK)));
            means.extend(values(mean));
            variances.extend(values(log_variance));
        }
        Ok((means, variances))
    }

    /// What the decoder gives of codes.
    fn decoded(&self, codes: &Batch) -> Result<Vec<f32>> {
        let view = self.params.frozen();
        let mut out = Vec::new();
        for start in (0..codes.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            out.extend(values(self.net.decoder.forward(&view, tensor(codes.slice(start, start + CHUNK)))));
        }
        Ok(out)
    }

    /// Rows of what `of` makes of the shares of the cells of each column under codes.
    fn of_cells(
        &self,
        columns: &Vocabulary,
        codes: &Batch,
        mut of: impl FnMut(usize, &[f64]) -> f32,
    ) -> Result<Batch> {
        let logits = self.decoded(codes)?;
        let mut rows = Vec::with_capacity(codes.rows() * columns.width());
        for row in logits.chunks_exact(columns.cells()) {
            for c in 0..columns.width() {
                let own = &row[columns.stretch(c)];
                let total = log_sum_exp(own.iter().map(|v| f64::from(*v)));
                let shares: Vec<f64> = own.iter().map(|v| libm::exp(f64::from(*v) - total)).collect();
                rows.push(of(c, &shares));
            }
        }
        Batch::new(rows, columns.width())
    }

    /// Means of p(x|z), in the model's domain; of a category the most probable.
    fn means(&self, codes: &Batch) -> Result<Batch> {
        if let Head::Cells(columns) = &self.net.head {
            return self.of_cells(columns, codes, |c, shares| columns.expected(c, shares));
        }
        let mut out = self.decoded(codes)?;
        if matches!(self.net.head, Head::Bernoulli) {
            out.iter_mut().for_each(|v| *v = genus_kernels::sigmoid(*v));
        }
        Batch::new(out, self.transform.target().width())
    }
}

impl Family for Vae {
    type Config = VaeConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let likelihood = match (config.likelihood, &data.domain().support) {
            (Likelihood::Auto, Support::Real) => Likelihood::Gaussian,
            (Likelihood::Auto, Support::Mixed(_)) => Likelihood::Cells,
            (Likelihood::Auto, _) => Likelihood::Bernoulli,
            (said, _) => said,
        };
        let transform = crate::transform_for(cx, data, || match likelihood {
            Likelihood::Cells => Ok(Transform::identity(data.schema.clone())),
            Likelihood::Gaussian => {
                let want = RealSteps { logit: None, standardize: config.standardize };
                Transform::to_real(&data.schema, want, &data.train.x, 0)
            }
            Likelihood::Auto | Likelihood::Bernoulli => {
                Transform::to_binary(&data.schema, config.binarize, 0)
            }
        })?;
        let seed = cx.seed.child("vae");
        let seen = TrainingRows::new(&transform, data, seed)?;
        let start = cx.start.map(Self::restore).transpose()?;
        let columns = match start.map(|old| old.net.head) {
            Some(Head::Cells(columns)) => Some(columns),
            _ => (likelihood == Likelihood::Cells)
                .then(|| Vocabulary::of(&data.schema, &data.train.x, config.cells.get()).whole()),
        };
        let mut model = Self::build(config, transform, columns, &mut seed.child("init").rng())?;
        // Start from the marginals: the first epochs are then about structure, not about brightness.
        let marginals = match &model.net.head {
            Head::Gaussian(_) => None,
            Head::Bernoulli => Some(seen.marginal_logits()),
            Head::Cells(columns) => {
                Some(columns.log_shares(&data.train.x).into_iter().map(|l| l as f32).collect())
            }
        };
        if let (Some(marginals), Some(last)) = (marginals, model.net.decoder.last()) {
            model.params.set(last.b(), marginals);
        }
        if let Some(start) = cx.start {
            model.params.load(start)?;
        }
        let rows = seen.rows();
        let mut objective = NegativeElbo {
            net: &model.net,
            seen,
            warmup: config.kl_warmup.get(),
            steps_per_epoch: rows.div_ceil(config.train.batch.get()) as f64,
            seed: seed.child("validation"),
        };
        let report = genus_nn::train(&config.train, &mut model.params, rows, &mut objective, SPEC.name, cx)?;
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: VaeConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        // The rows are as they came where they are seen as cells.
        let mixed = matches!(transform.source().domain.support, Support::Mixed(_));
        let cells = config.likelihood == Likelihood::Cells || config.likelihood == Likelihood::Auto && mixed;
        let columns = cells.then(|| Vocabulary::restore(state, transform.source())).transpose()?;
        let mut model = Self::build(&config, transform, columns, &mut Seed::from(0).rng())?;
        model.params.load(state)?;
        Ok(model)
    }
}

impl Model for Vae {
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
        if let Head::Cells(columns) = &self.net.head {
            columns.put(&mut state);
        }
        state
    }

    fn figures(&self, x: &Batch, how: &Scoring) -> Result<Vec<Figure>> {
        let (y, _) = self.transform.forward(x, Noise::Row(how.seed))?;
        let (nll, kl) = self.elbo(&y, how)?;
        let n = y.rows() as f64;
        // A unit is active if its posterior mean varies with x (Burda et al. 2016, section 5.2).
        let (means, _) = self.posterior_of(&y)?;
        let active = (0..self.net.latent)
            .filter(|u| {
                let column = means.iter().skip(*u).step_by(self.net.latent).map(|v| f64::from(*v));
                let mean = column.clone().sum::<f64>() / n;
                column.map(|v| (v - mean).powi(2)).sum::<f64>() / n > 0.01
            })
            .count();
        Ok(vec![
            Figure::new("reconstruction, −E log p(x|z)", nll.iter().sum::<f64>() / n, "nats"),
            Figure::new("KL(q(z|x) ‖ p(z))", kl.iter().sum::<f64>() / n, "nats"),
            Figure::new("active units", active as f64, format!("of {}", self.net.latent)),
        ])
    }

    fn as_density(&self) -> Option<&dyn Density> {
        Some(self)
    }
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        Some(self)
    }
    fn as_encoder(&self) -> Option<&dyn Encoder> {
        Some(self)
    }
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }
    fn as_latent_variable(&self) -> Option<&dyn LatentVariable> {
        // Under dequantisation p(x|z) of a level is itself an integral.
        (!self.transform.is_random()).then_some(self)
    }
}

impl Vae {
    /// One bound of each row, with its standard error if it comes of many draws.
    fn bound(&self, x: &Batch, how: &Scoring) -> Result<Drawn> {
        let (y, log_det) = self.transform.forward(x, Noise::Row(how.seed))?;
        let k = how.importance_samples;
        if k == 1 {
            let (nll, kl) = self.elbo(&y, how)?;
            let nats = nll.iter().zip(kl).zip(log_det).map(|((n, k), d)| d - n - k).collect();
            return Ok((nats, None));
        }
        let view = self.params.frozen();
        let (means, variances) = self.posterior_of(&y)?;
        let l = self.net.latent;
        let stop = Stop::current();
        let (nats, spread) = (0..y.rows())
            .into_par_iter()
            .map(|r| {
                let mut rng = self.noise(y.row(r), how);
                let (x, at) = (self.net.shown(y.slice(r, r + 1)), r * l..(r + 1) * l);
                let (mean, log_variance) = (&means[at.clone()], &variances[at]);
                stop.during(|| {
                    let weights = self.log_weights(&view, &x, mean, log_variance, k, &mut rng)?;
                    let mean = log_mean_exp(&weights);
                    Ok((mean + log_det[r], draws::spread_of_log_mean(&weights, mean)))
                })
            })
            .collect::<Result<Vec<(f64, f64)>>>()?
            .into_iter()
            .unzip();
        Ok((nats, Some(spread)))
    }
}

impl Density for Vae {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        let k = how.importance_samples;
        let times = match k {
            0 => return Err(Error::config("importance_samples", "must be at least 1")),
            draws::MANY.. if !self.transform.dequantizes() => 1,
            _ => draws::times(k),
        };
        let (nats, spread) = if times == 1 {
            self.bound(x, how)?
        } else {
            let again = |t| Ok(self.bound(x, &Scoring { seed: how.seed.index(t), ..*how })?.0);
            draws::averaged(&(0..times as u64).map(again).collect::<Result<Vec<_>>>()?)
        };
        let bound = match (k, times) {
            (1, _) => format!("ELBO, {times} draws of z, KL in closed form"),
            (_, 1) => format!("importance-weighted bound, {k} draws of z"),
            _ => format!("mean of {times} importance-weighted bounds, {k} draws of z each"),
        };
        let prefix = self.transform.protocol();
        Ok(LogProb {
            nats,
            spread,
            evidence: Evidence::LOWER_BOUND,
            measure: self.transform.measure(),
            protocol: if prefix.is_empty() { bound } else { format!("{prefix}, {bound}") },
        })
    }
}

impl Sampler for Vae {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let codes = Batch::from_fn(n, self.net.latent, |_, _| rng.normal() as f32);
        if let Head::Cells(columns) = &self.net.head {
            return self.of_cells(columns, &codes, |c, shares| columns.draw(c, shares, rng));
        }
        let mut y = self.means(&codes)?;
        match &self.net.head {
            Head::Bernoulli | Head::Cells(_) => {
                y.data_mut().iter_mut().for_each(|v| *v = f32::from(u8::from(rng.uniform() < *v)));
            }
            Head::Gaussian(id) => {
                let std: Vec<f32> =
                    self.params.values(*id).iter().map(|v| (0.5 * v.clamp(-12.0, 12.0)).exp()).collect();
                for r in 0..n {
                    y.row_mut(r).iter_mut().zip(&std).for_each(|(v, s)| *v += s * rng.normal() as f32);
                }
            }
        }
        Ok(self.transform.inverse(&y))
    }
}

impl Encoder for Vae {
    fn code_width(&self) -> usize {
        self.net.latent
    }

    fn encode(&self, x: &Batch) -> Result<Batch> {
        let (y, _) = self.transform.forward(x, Noise::Row(Scoring::default().seed))?;
        Batch::new(self.posterior_of(&y)?.0, self.net.latent)
    }
}

impl Decoder for Vae {
    fn decode(&self, codes: &Batch) -> Result<Batch> {
        if codes.width() != self.net.latent {
            return Err(Error::shape("codes", self.net.latent, codes.width()));
        }
        Ok(self.transform.inverse_mean(&self.means(codes)?))
    }
}

impl LatentVariable for Vae {
    fn log_given(&self, x: &Batch, codes: &Batch) -> Result<Vec<f64>> {
        if x.rows() != 1 || codes.width() != self.net.latent {
            let got = format!("{} rows and codes of {}", x.rows(), codes.width());
            return Err(Error::shape("log p(x|z)", format!("1 row and codes of {}", self.net.latent), got));
        }
        let (y, log_det) = self.transform.forward(x, Noise::Row(Scoring::default().seed))?;
        let (view, y) = (self.params.frozen(), self.net.shown(y));
        let mut nats = Vec::with_capacity(codes.rows());
        for start in (0..codes.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            let z = tensor(codes.slice(start, start + CHUNK));
            let nll = values(self.net.nll(&view, z, &y));
            nats.extend(nll.into_iter().map(|v| log_det[0] - f64::from(v)));
        }
        Ok(nats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::math::LN_2PI;

    /// Draws under the Gaussian likelihood have the mean and covariance that the decoder and its variances imply:
    /// E x = E μ(z), Cov x = Cov μ(z) + diag σ², with z on a grid. 40,000 draws, six standard errors for each of five
    /// figures (that of a variance at most doubled by excess kurtosis): false alarm below 1e-4.
    #[test]
    fn gaussian_draws_have_the_moments_of_the_model() {
        let config = VaeConfig {
            latent: NonZeroUsize::MIN,
            hidden: vec![count(8)],
            likelihood: Likelihood::Gaussian,
            ..VaeConfig::default()
        };
        let mut rng = Seed::from(2).rng();
        let mut model = Vae::build(&config, Transform::identity(Domain::real(2)), None, &mut rng).unwrap();
        for id in model.params.ids() {
            let wide = model.params.values(id).iter().map(|v| 3.0 * v).collect();
            model.params.set(id, wide);
        }
        let Head::Gaussian(id) = model.net.head else { panic!("rows are real") };
        model.params.set(id, vec![-1.0, 0.5]);
        let n = 4001;
        let codes = Batch::from_fn(n, 1, |r, _| -8.0 + 16.0 * r as f32 / (n - 1) as f32);
        let means = model.decode(&codes).unwrap();
        let weight = |z: f32| (-0.5 * f64::from(z * z)).exp() * 16.0 / (n - 1) as f64 / LN_2PI.exp().sqrt();
        let expect = |f: &dyn Fn(&[f32]) -> f64| -> f64 {
            codes.iter().zip(means.iter()).map(|(z, m)| weight(z[0]) * f(m)).sum()
        };
        let mean = [0, 1].map(|c| expect(&|m| f64::from(m[c])));
        let product =
            |a: usize, b: usize| expect(&|m| (f64::from(m[a]) - mean[a]) * (f64::from(m[b]) - mean[b]));
        let variance = [product(0, 0) + (-1f64).exp(), product(1, 1) + 0.5f64.exp()];
        let draws = 40_000;
        let x = model.sample(draws, &mut Seed::from(5).rng()).unwrap();
        let (m, s) = genus_core::transform::moments(&x);
        let root = (draws as f64).sqrt();
        for c in 0..2 {
            assert!((m[c] - mean[c]).abs() < 6.0 * variance[c].sqrt() / root, "{c}: {} {}", m[c], mean[c]);
            let off = s[c].powi(2) / variance[c] - 1.0;
            assert!(off.abs() < 12.0 / root, "{c}: {} {}", s[c].powi(2), variance[c]);
        }
        let cross: f64 =
            x.iter().map(|r| (f64::from(r[0]) - m[0]) * (f64::from(r[1]) - m[1])).sum::<f64>() / draws as f64;
        let scale = (variance[0] * variance[1]).sqrt();
        assert!((cross - product(0, 1)).abs() < 12.0 * scale / root, "{cross} {}", product(0, 1));
        assert!(product(0, 1).abs() > 24.0 * scale / root, "the decoder must correlate the columns");
    }
}
