//! # Autoencoder
//!
//! ## What it is
//! A network to a code and one back, z = f(x), x̂ = g(z), that are trained to give rows back. What makes codes more than copies is that they
//! are short, or one of three further objectives:
//! - `denoising`: the row is corrupted before it is encoded, and the clean one is wanted back;
//! - `sparse`: codes are σ(…), and + β Σ_j KL(ρ ‖ ρ̂_j), where ρ̂_j is the mean of unit j over the batch, keeps most units off;
//! - `contractive`: codes are σ(x W + b), and + λ ‖∂z/∂x‖², the squared Frobenius norm Σ_j (z_j (1 − z_j))² Σ_i W_ij², keeps codes from
//!   following every change of the row.
//!
//! ## Density
//! None, and no draws: the code has no law. The variational autoencoder (`vae`) is the same pair of networks with one; draws by denoising come from
//! `denoising-chain` and `gsn`.
//!
//! ## Trained by
//! Squared error of real columns, which are standardised; cross-entropy of levels and bits, from 0 to 1. Sums over columns, means over
//! rows.
//!
//! ## Use it when
//! Features for another task are wanted, from many rows without labels.
//!
//! ## References
//! Hinton & Salakhutdinov 2006; Vincent, Larochelle, Bengio & Manzagol 2008 (denoising); Ng 2011 (sparse); Rifai, Vincent, Muller, Glorot &
//! Bengio 2011 (contractive).
//!
//! ## Example
//! ```
//! use genus::{Autoencoder, AutoencoderConfig, Encoder as _, Family, FitContext, Seed, Silent, config, data};
//!
//! let tree = data::load("tree16", &data::Options::default())?;
//! let config: AutoencoderConfig = config::from_table(&toml::from_str("latent = 4\ntrain.epochs = 2").unwrap())?;
//! let fit = Autoencoder::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert_eq!(fit.model.encode(&tree.train.x.slice(0, 3))?.width(), 4);
//! # Ok::<(), genus::Error>(())
//! ```

use crate::diagnostics::weights;
use crate::units::Units;
use genus_core::config::{Fraction, NonNegative, count};
use genus_core::transform::Transform;
use genus_core::{
    Batch, Capability, Dataset, Decoder, Domain, Encoder, Error, Exhibit, Family, Figure, Fit, FitContext,
    Model, ModelSpec, Reference, Result, Rng, Schema, Scoring, Seed, Size, State, Stop, Support, SupportKind,
    TinyFit, config,
};
use genus_nn::{
    Activation, Analysis, Form, Id, Linear, Loss, Normalize, Objective, Params, StepContext, Synthesis,
    Tensor, TrainConfig, View, gradcheck, mean_of, ops, tensor, values,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Autoencoder>("autoencoder", "Autoencoder", module_path!())
    .summary("features of rows without labels; no likelihood and no draws: for these take vae, or denoising-chain")
    .papers(&[
        Reference::new(
            "Hinton & Salakhutdinov",
            2006,
            "Reducing the Dimensionality of Data with Neural Networks",
            "https://doi.org/10.1126/science.1127647",
        ),
        Reference::new(
            "Vincent, Larochelle, Bengio & Manzagol",
            2008,
            "Extracting and Composing Robust Features with Denoising Autoencoders",
            "https://doi.org/10.1145/1390156.1390294",
        ),
        Reference::new(
            "Rifai, Vincent, Muller, Glorot & Bengio",
            2011,
            "Contractive Auto-Encoders: Explicit Invariance During Feature Extraction",
            "https://icml.cc/2011/papers/455_icmlpaper.pdf",
        ),
    ])
    .can(&[Capability::Encoder, Capability::Decoder])
    .rows(&[SupportKind::Binary, SupportKind::Discrete, SupportKind::Real])
    .trained_by_steps()
    .suited(suited)
    .tiny_fits(&[
        TinyFit::new(
            "plain",
            "tree16",
            "latent = 4\nhidden = [16]\n[train]\nepochs = 5\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new(
            "denoising",
            "regression",
            "latent = 2\nhidden = [16]\nobjective = \"denoising\"\n[train]\nepochs = 5\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new(
            "sparse",
            "tree16",
            "latent = 16\nhidden = []\nobjective = \"sparse\"\n[train]\nepochs = 5\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new(
            "contractive, tied",
            "tree8",
            "latent = 8\nhidden = []\nobjective = \"contractive\"\ntied = true\n[train]\nepochs = 5\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new(
            "convolutions",
            "shades16",
            "latent = 6\nnetworks = \"convolutional\"\nchannels = 8\n[train]\nepochs = 4\nbatch = 50\n[train.optimizer]\nrate = 0.01\n",
        ),
    ])
    .gradient_check(Autoencoder::gradient_check);

/// What keeps codes from being copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Features {
    /// That they are short.
    #[default]
    Plain,
    /// Rows are corrupted before they are encoded.
    Denoising,
    /// Most units are off.
    Sparse,
    /// Codes change little with the row.
    Contractive,
}

/// How rows are corrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corruption {
    /// Normal noise for real columns, values set to 0 for others.
    #[default]
    Auto,
    /// Values set to 0, with the probability `corruption`.
    Masking,
    /// Values set to the least or the most there is, with the probability `corruption`.
    SaltAndPepper,
    /// Normal noise of the deviation `corruption`, in units of the columns.
    Gaussian,
}

/// What networks are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layers {
    /// Dense layers.
    #[default]
    Dense,
    /// Convolutions that halve images.
    Convolutional,
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// Length of a code.
    pub latent: NonZeroUsize,
    /// What networks are made of.
    pub networks: Layers,
    /// Units of the encoder's hidden layers, where these are dense; the decoder has them in reverse.
    pub hidden: Vec<NonZeroUsize>,
    /// Channels of the first convolution, twice as many in the next.
    pub channels: NonZeroUsize,
    /// The decoder's weights are the encoder's, transposed; without hidden layers only.
    pub tied: bool,
    /// What keeps codes from being copies.
    pub objective: Features,
    /// How rows are corrupted by the denoising objective, and for the figure that says how well noise is taken away.
    pub noise: Corruption,
    /// Probability or deviation of the noise.
    pub corruption: Fraction,
    /// ρ of the sparse objective: how often a unit is to be on.
    pub sparsity: Fraction,
    /// Weight of the sparse or of the contractive term.
    pub penalty: NonNegative,
    /// Training.
    pub train: TrainConfig,
}

impl Default for AutoencoderConfig {
    fn default() -> Self {
        Self {
            latent: count(32),
            networks: Layers::Dense,
            hidden: vec![count(256)],
            channels: count(32),
            tied: false,
            objective: Features::Plain,
            noise: Corruption::Auto,
            corruption: Fraction::constant(0.3),
            sparsity: Fraction::constant(0.05),
            penalty: NonNegative::constant(0.1),
            train: TrainConfig::default(),
        }
    }
}

/// As other networks; codes of a tenth of the columns.
fn suited(size: Size) -> toml::Table {
    let mut table = crate::suited::network(size);
    let latent = size.columns.div_ceil(10).clamp(2, 64).min(size.columns);
    table.insert("latent".into(), (latent as i64).into());
    table
}

/// Name of the figure of noise that is taken away.
pub(crate) const DENOISED: &str = "squared reconstruction error of corrupted rows";

/// Rows of a pass without gradient.
const CHUNK: usize = 1000;

/// From rows to codes and back.
#[derive(Debug, Clone)]
struct Net {
    hidden: Analysis,
    code: Linear,
    back: Back,
    /// Whether rows lie between 0 and 1, so that what comes back are logits.
    bounded: bool,
}

/// From codes to rows.
#[derive(Debug, Clone)]
enum Back {
    Own(Synthesis),
    /// By the weights of the code, with this bias.
    Tied(Id),
}

impl Net {
    fn new(config: &AutoencoderConfig, domain: &Domain, params: &mut Params, rng: &mut Rng) -> Result<Self> {
        let contractive = config.objective == Features::Contractive;
        let hidden: Vec<usize> = config.hidden.iter().map(|h| h.get()).collect();
        let form = match config.networks {
            Layers::Dense => Form::Dense(hidden.clone()),
            Layers::Convolutional => Form::Convolutions(config.channels.get()),
        };
        let direct = config.networks == Layers::Dense && hidden.is_empty();
        if contractive && !direct {
            let message = "the contractive term is that of one layer from row to code; set hidden=[] and networks=\"dense\"";
            return Err(Error::config("hidden", message));
        }
        if config.tied && !direct {
            return Err(Error::config(
                "tied",
                "one layer only can be tied; set hidden=[] and networks=\"dense\"",
            ));
        }
        let act = match config.objective {
            Features::Sparse | Features::Contractive => Activation::Sigmoid,
            Features::Plain | Features::Denoising if config.tied => Activation::Sigmoid,
            Features::Plain | Features::Denoising => Activation::Identity,
        };
        let (shape, latent) = (&domain.shape, config.latent.get());
        let seen = Analysis::new(params, "encoder", "networks", shape, &form, Normalize::Not, rng)?;
        genus_nn::afford("latent", &[&[seen.width(), latent], &[latent, seen.width()]])?;
        let code = Linear::new(params, "code", seen.width(), latent, act, rng);
        let back = if config.tied {
            Back::Tied(params.add("decoder.b", &[shape.width()], vec![0.0; shape.width()]))
        } else {
            let last = Activation::Identity;
            Back::Own(Synthesis::new(params, "decoder", "networks", latent, shape, &form, false, last, rng)?)
        };
        Ok(Self { hidden: seen, code, back, bounded: domain.support != Support::Real })
    }

    fn encode(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        let (mut layers, _) = self.hidden.forward(view, x);
        match layers.pop() {
            Some(last) => self.code.forward(view, last),
            None => unreachable!("there is the layer of the rows at least"),
        }
    }

    /// Rows, or their logits.
    fn decode(&self, view: &View<'_>, z: Tensor<2>) -> Tensor<2> {
        match &self.back {
            Back::Own(net) => net.forward(view, z),
            Back::Tied(b) => ops::tied(z, view.get(self.code.w()), view.get(*b)),
        }
    }

    /// What a row loses on the way from its code, `[rows]`.
    fn lost(&self, view: &View<'_>, z: Tensor<2>, clean: Tensor<2>) -> Tensor<1> {
        let back = self.decode(view, z);
        if self.bounded {
            return ops::bernoulli_nll(back, clean);
        }
        let off = back - clean;
        (off.clone() * off).sum_dim(1).squeeze_dim(1)
    }

    /// What is minimised beside that.
    fn penalty(&self, config: &AutoencoderConfig, view: &View<'_>, z: &Tensor<2>) -> Option<Tensor<1>> {
        let weight = config.penalty.get();
        let term = match config.objective {
            Features::Plain | Features::Denoising => return None,
            Features::Sparse => {
                // KL(ρ ‖ ρ̂) of a coin, at a distance from the ends where it is infinite.
                let (rho, mean) = (config.sparsity.get(), z.clone().mean_dim(0).clamp(1e-6, 1.0 - 1e-6));
                let constant =
                    rho * libm::log(rho.max(1e-12)) + (1.0 - rho) * libm::log((1.0 - rho).max(1e-12));
                let on = mean.clone().log() * rho;
                let off = (mean * -1.0 + 1.0).log() * (1.0 - rho);
                ((on + off) * -1.0 + constant).sum()
            }
            Features::Contractive => {
                let w = view.get::<2>(self.code.w());
                let slope = z.clone() * (z.clone() * -1.0 + 1.0);
                ((slope.clone() * slope) * (w.clone() * w).sum_dim(0)).sum_dim(1).mean()
            }
        };
        Some(term * weight)
    }
}

/// Rows, corrupted.
fn corrupted(x: &Batch, config: &AutoencoderConfig, bounded: bool, rng: &mut Rng) -> Batch {
    let share = config.corruption.get() as f32;
    let noise = match (config.noise, bounded) {
        (Corruption::Auto, true) => Corruption::Masking,
        (Corruption::Auto, false) => Corruption::Gaussian,
        (noise, _) => noise,
    };
    // The ends of a standardised column are somewhere beyond two deviations.
    let ends = if bounded { [0.0, 1.0] } else { [-2.0, 2.0] };
    let mut y = x.clone();
    for v in y.data_mut() {
        match noise {
            Corruption::Gaussian | Corruption::Auto => *v += share * rng.normal() as f32,
            Corruption::Masking if rng.uniform() < share => *v = 0.0,
            Corruption::SaltAndPepper if rng.uniform() < share => *v = ends[rng.below(2)],
            Corruption::Masking | Corruption::SaltAndPepper => {}
        }
    }
    y
}

struct Reconstruction<'a> {
    net: &'a Net,
    config: &'a AutoencoderConfig,
    rows: Batch,
    valid: Option<Batch>,
    seed: Seed,
}

impl Reconstruction<'_> {
    fn codes(&self, view: &View<'_>, clean: &Batch, rng: &mut Rng) -> Tensor<2> {
        let seen = match self.config.objective {
            Features::Denoising => corrupted(clean, self.config, self.net.bounded, rng),
            _ => clean.clone(),
        };
        self.net.encode(view, tensor(seen))
    }
}

impl Objective for Reconstruction<'_> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let clean = self.rows.select(rows);
        let z = self.codes(view, &clean, &mut cx.rng("noise"));
        let penalty = self.net.penalty(self.config, view, &z);
        let lost = self.net.lost(view, z, tensor(clean)).mean();
        let mut parts = vec![("reconstruction", mean_of(lost.clone()))];
        let total = match penalty {
            Some(penalty) => {
                parts.push(("penalty", mean_of(penalty.clone())));
                lost + penalty
            }
            None => lost,
        };
        Ok(Loss { parts, ..Loss::new(total) })
    }

    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let Some(valid) = &self.valid else { return Ok(BTreeMap::new()) };
        let (mut lost, mut penalty) = (0.0, 0.0);
        for (i, start) in (0..valid.rows()).step_by(CHUNK).enumerate() {
            Stop::current().check()?;
            let clean = valid.slice(start, start + CHUNK);
            let n = clean.rows() as f64;
            // The same noise at every epoch, so that epochs are compared on equal terms.
            let z = self.codes(view, &clean, &mut self.seed.index(i as u64).rng());
            penalty += self.net.penalty(self.config, view, &z).map_or(0.0, |p| n * mean_of(p));
            lost += n * mean_of(self.net.lost(view, z, tensor(clean)));
        }
        let n = valid.rows() as f64;
        let named = [("loss", lost + penalty), ("reconstruction", lost)];
        Ok(named.into_iter().map(|(k, v)| (k.to_owned(), v / n)).collect())
    }
}

/// A fitted autoencoder.
#[derive(Debug, Clone)]
pub struct Autoencoder {
    config: AutoencoderConfig,
    transform: Transform,
    units: Units,
    params: Params,
    net: Net,
}

impl Autoencoder {
    fn build(config: &AutoencoderConfig, transform: Transform, units: Units, rng: &mut Rng) -> Result<Self> {
        let mut params = Params::default();
        let net = Net::new(config, transform.target(), &mut params, rng)?;
        Ok(Self { config: config.clone(), transform, units, params, net })
    }

    /// The gradient of every objective against difference quotients.
    fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
        let mut found = Vec::new();
        for (objective, hidden, tied) in [
            (Features::Plain, vec![count(6)], false),
            (Features::Sparse, vec![], true),
            (Features::Contractive, vec![], true),
            (Features::Contractive, vec![], false),
        ] {
            let penalty = NonNegative::constant(2.0);
            let config = AutoencoderConfig {
                latent: count(4),
                hidden,
                tied,
                objective,
                penalty,
                ..Default::default()
            };
            for domain in [Domain::binary(7), Domain::real(7)] {
                let mut rng = seed.child("gradient").rng();
                let real = domain.support == Support::Real;
                let x = Batch::from_fn(8, 7, |_, _| match real {
                    true => rng.normal() as f32,
                    false => f32::from(u8::from(rng.uniform() < 0.5)),
                });
                let mut params = Params::default();
                let net = Net::new(&config, &domain, &mut params, &mut rng)?;
                let errors = gradcheck::check(
                    &mut params,
                    seed,
                    |_, _| {},
                    |view| {
                        let z = net.encode(view, tensor(x.clone()));
                        let penalty = net.penalty(&config, view, &z);
                        let lost = net.lost(view, z, tensor(x.clone())).mean();
                        Ok(Loss::new(penalty.map_or(lost.clone(), |p| lost + p)))
                    },
                )?;
                found.extend(errors.into_iter().map(|d| (format!("{objective:?}: {}", d.name), d.error)));
            }
        }
        Ok(found)
    }

    /// What comes back from codes, in the model's units.
    fn rows_of(&self, codes: &Batch) -> Result<Batch> {
        let (view, mut out) = (self.params.frozen(), Vec::new());
        for start in (0..codes.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            out.extend(values(self.net.decode(&view, tensor(codes.slice(start, start + CHUNK)))));
        }
        if self.net.bounded {
            out.iter_mut().for_each(|v| *v = genus_kernels::sigmoid(*v));
        }
        Batch::new(out, self.transform.target().width())
    }

    fn codes_of(&self, inside: &Batch) -> Result<Batch> {
        let (view, mut codes) = (self.params.frozen(), Vec::new());
        for start in (0..inside.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            codes.extend(values(self.net.encode(&view, tensor(inside.slice(start, start + CHUNK)))));
        }
        Batch::new(codes, self.config.latent.get())
    }
}

impl Family for Autoencoder {
    type Config = AutoencoderConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let transform = crate::transform_for(cx, data, || Ok(Transform::identity(data.schema.clone())))?;
        let units = match cx.start {
            Some(start) => Units::restore(start, data.schema.width())?,
            None => Units::unit(data.domain(), &data.train.x),
        };
        let seed = cx.seed.child("autoencoder");
        let mut model = Self::build(config, transform, units, &mut seed.child("init").rng())?;
        if let Some(start) = cx.start {
            model.params.load(start)?;
        }
        let rows = model.units.inside(&data.train.x);
        let valid = data.valid.as_ref().map(|v| model.units.inside(&v.x));
        let n = rows.rows();
        let mut objective =
            Reconstruction { net: &model.net, config, rows, valid, seed: seed.child("validation") };
        let report = genus_nn::train(&config.train, &mut model.params, n, &mut objective, SPEC.name, cx)?;
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: AutoencoderConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let units = Units::restore(state, transform.target().width())?;
        let mut model = Self::build(&config, transform, units, &mut Seed::from(0).rng())?;
        model.params.load(state)?;
        Ok(model)
    }
}

impl Model for Autoencoder {
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
        self.units.put(&mut state);
        state
    }

    fn figures(&self, x: &Batch, how: &Scoring) -> Result<Vec<Figure>> {
        self.schema().check(x, false)?;
        let clean = self.units.inside(x);
        let noisy = corrupted(&clean, &self.config, self.net.bounded, &mut how.seed.child("noise").rng());
        let of = |seen: &Batch| -> Result<f64> {
            let back = self.rows_of(&self.codes_of(seen)?)?;
            let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
            Ok(clean.data().iter().zip(back.data()).map(square).sum::<f64>() / clean.rows().max(1) as f64)
        };
        let unit = if self.net.bounded { "values from 0 to 1" } else { "standardised columns" };
        let unit = format!("summed over columns, {unit}");
        Ok(vec![
            Figure::new("squared reconstruction error", of(&clean)?, unit.clone()),
            Figure::new(DENOISED, of(&noisy)?, unit),
        ])
    }

    fn exhibits(&self) -> Vec<Exhibit> {
        let first = match self.config.networks {
            Layers::Convolutional => return Vec::new(),
            Layers::Dense => self.hidden_weights(),
        };
        weights(self.domain(), &first)
    }

    fn as_encoder(&self) -> Option<&dyn Encoder> {
        Some(self)
    }
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }
}

impl Autoencoder {
    /// Weights of the first layer, a row per unit.
    fn hidden_weights(&self) -> Batch {
        let id = self.net.hidden.first_weights().unwrap_or_else(|| self.net.code.w());
        let (w, units) = (self.params.values(id), self.params.shape(id)[1]);
        let d = w.len() / units;
        Batch::from_fn(units, d, |u, c| w[c * units + u])
    }
}

impl Encoder for Autoencoder {
    fn code_width(&self) -> usize {
        self.config.latent.get()
    }

    fn encode(&self, x: &Batch) -> Result<Batch> {
        self.schema().check(x, false)?;
        self.codes_of(&self.units.inside(x))
    }
}

impl Decoder for Autoencoder {
    fn decode(&self, codes: &Batch) -> Result<Batch> {
        if codes.width() != self.code_width() {
            return Err(Error::shape("codes", self.code_width(), codes.width()));
        }
        Ok(self.units.outside(&self.rows_of(codes)?, self.domain()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(config: &AutoencoderConfig, domain: &Domain) -> (Net, Params) {
        let mut params = Params::default();
        let net = Net::new(config, domain, &mut params, &mut Seed::from(4).rng()).unwrap();
        (net, params)
    }

    fn rows() -> Batch {
        let mut rng = Seed::from(5).rng();
        Batch::from_fn(6, 5, |_, _| rng.uniform())
    }

    /// The contractive term is the squared Frobenius norm of ∂z/∂x, by difference quotients of the code.
    #[test]
    fn the_contractive_term_is_that_of_the_jacobian() {
        let penalty = NonNegative::constant(1.0);
        let objective = Features::Contractive;
        let config =
            AutoencoderConfig { latent: count(3), hidden: vec![], objective, penalty, ..Default::default() };
        let (net, params) = net(&config, &Domain::real(5));
        let (view, x) = (params.frozen(), rows());
        let codes = |x: &Batch| values(net.encode(&view, tensor(x.clone())));
        let (mut norm, step) = (0.0, 1e-2f32);
        for c in 0..5 {
            let moved =
                |by: f32| codes(&Batch::from_fn(6, 5, |r, k| x.row(r)[k] + if k == c { by } else { 0.0 }));
            let (up, down) = (moved(step), moved(-step));
            let square = |(a, b): (&f32, &f32)| (f64::from(a - b) / f64::from(2.0 * step)).powi(2);
            norm += up.iter().zip(&down).map(square).sum::<f64>() / 6.0;
        }
        let z = net.encode(&view, tensor(x));
        let found = mean_of(net.penalty(&config, &view, &z).unwrap());
        assert!((found / norm - 1.0).abs() < 1e-3, "{found} {norm}");
    }

    /// The sparse term is the divergence of two coins, of the mean of each unit over the batch.
    #[test]
    fn the_sparse_term_is_a_divergence() {
        let (objective, penalty) = (Features::Sparse, NonNegative::constant(1.0));
        let sparsity = Fraction::constant(0.05);
        let config = AutoencoderConfig {
            latent: count(3),
            hidden: vec![],
            objective,
            penalty,
            sparsity,
            ..Default::default()
        };
        let (net, params) = net(&config, &Domain::real(5));
        let view = params.frozen();
        let z = net.encode(&view, tensor(rows()));
        let on = values(z.clone());
        let want: f64 = (0..3)
            .map(|j| {
                let mean = (0..6).map(|r| f64::from(on[r * 3 + j])).sum::<f64>() / 6.0;
                0.05 * (0.05 / mean).ln() + 0.95 * (0.95 / (1.0 - mean)).ln()
            })
            .sum();
        let found = mean_of(net.penalty(&config, &view, &z).unwrap());
        assert!((found - want).abs() < 1e-5, "{found} {want}");
    }

    /// What is corrupted is the input: shares of values set to 0 or to an end, and the deviation of what is added, of 20,000 values within
    /// five standard errors (false alarm 6e-7 each).
    #[test]
    fn rows_are_corrupted_as_asked_for() {
        let x = Batch::from_fn(1000, 20, |_, _| 0.5);
        let share = |noise: Corruption, bounded: bool, of: &dyn Fn(f32) -> f64| {
            let config = AutoencoderConfig { noise, ..Default::default() };
            let y = corrupted(&x, &config, bounded, &mut Seed::from(6).rng());
            y.data().iter().map(|v| of(*v)).sum::<f64>() / 20_000.0
        };
        let zero = |v: f32| f64::from(u8::from(v == 0.0));
        let end = 5.0 * (0.15f64 * 0.85 / 20_000.0).sqrt();
        let masked = share(Corruption::Auto, true, &zero);
        assert!((masked - 0.3).abs() < 5.0 * (0.3f64 * 0.7 / 20_000.0).sqrt(), "{masked}");
        let [low, high] =
            [0.0, 1.0].map(|e| share(Corruption::SaltAndPepper, true, &|v| f64::from(u8::from(v == e))));
        assert!((low - 0.15).abs() < end && (high - 0.15).abs() < end, "{low} {high}");
        let variance = share(Corruption::Auto, false, &|v| f64::from(v - 0.5).powi(2));
        assert!((variance / 0.09 - 1.0).abs() < 5.0 * (2.0f64 / 20_000.0).sqrt(), "{variance}");
    }
}
