//! Every family of generative models behind one contract.
//!
//! The folders are the taxonomy: `explicit/tractable` (exact likelihoods), `explicit/approximate` (bounds and estimates), and so
//! on; [`registry`] lists what is there. A family folder's `mod.rs` names its members; a model is one file.
//!
//! ```
//! use genus::{Family, FitContext, GaussianMixture, GaussianMixtureConfig, Sampler as _, Seed, Silent, data};
//!
//! let iris = data::load("iris", &data::Options::default())?;
//! let fit = GaussianMixture::fit(&GaussianMixtureConfig::default(), &iris, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! let more = fit.model.sample(10, &mut Seed::from(8).rng())?;
//! assert_eq!((more.rows(), more.width()), (10, 4));
//! # Ok::<(), genus::Error>(())
//! ```

pub mod audit;
mod baseline;
mod cells;
mod completion;
mod context;
pub mod detection;
pub mod diagnostics;
mod distances;
mod draws;
pub mod evaluate;
mod explicit;
mod holes;
mod implicit;
pub mod keys;
pub mod probe;
pub mod quality;
pub mod recipe;
pub mod registry;
pub mod ridge;
pub mod sample_metrics;
mod sampling;
pub mod session;
mod spectrum;
pub mod study;
mod suited;
mod training_rows;
mod units;
mod unsupervised;

/// A chapter for each model, under its name in the registry: the mathematics, when to use it, an example.
pub mod chapters {
    pub use crate::explicit::approximate::markov_chain::{boltzmann_machine, dbm, dbn, gaussian_rbm, rbm};
    pub use crate::explicit::approximate::variational::vae;
    pub use crate::explicit::tractable::autoregressive::{
        fvsbn, gated_pixel_cnn as gated_pixelcnn, made, nade, pixel_cnn as pixelcnn, pixel_rnn as pixelrnn,
        rnade, tabular,
    };
    pub use crate::explicit::tractable::flow::{glow, iaf, linear_ica, maf, nice, realnvp, spline_flow};
    pub use crate::explicit::tractable::kernel::kde;
    pub use crate::explicit::tractable::linear::{factor_analysis, ppca};
    pub use crate::explicit::tractable::mixture::{
        bernoulli_mixture, gaussian_mixture as gmm, mixed_mixture,
    };
    pub use crate::implicit::direct::{gan, wgan_gp};
    pub use crate::implicit::markov_chain::{denoising_chain, gsn};
    pub use crate::unsupervised::clustering::k_means;
    pub use crate::unsupervised::features::autoencoder;
    pub use crate::unsupervised::reduction::pca;
}

pub use explicit::approximate::markov_chain::annealing::Annealing;
pub use explicit::approximate::markov_chain::boltzmann_machine::{BoltzmannMachine, BoltzmannMachineConfig};
pub use explicit::approximate::markov_chain::dbm::{DeepBoltzmannMachine, DeepBoltzmannMachineConfig};
pub use explicit::approximate::markov_chain::dbn::{DeepBeliefNet, DeepBeliefNetConfig};
pub use explicit::approximate::markov_chain::gaussian_rbm::{GaussianRbm, GaussianRbmConfig};
pub use explicit::approximate::markov_chain::learning::{Algorithm, Learning};
pub use explicit::approximate::markov_chain::rbm::{Rbm, RbmConfig};
pub use explicit::approximate::variational::vae::{Likelihood, Vae, VaeConfig};
pub use explicit::tractable::autoregressive::Pixels;
pub use explicit::tractable::autoregressive::fvsbn::{Fvsbn, FvsbnConfig};
pub use explicit::tractable::autoregressive::gated_pixel_cnn::{GatedPixelCnn, GatedPixelCnnConfig};
pub use explicit::tractable::autoregressive::made::{Made, MadeConfig, Ordering};
pub use explicit::tractable::autoregressive::nade::{Nade, NadeConfig};
pub use explicit::tractable::autoregressive::pixel_cnn::{PixelCnn, PixelCnnConfig};
pub use explicit::tractable::autoregressive::pixel_rnn::{PixelRnn, PixelRnnConfig, Recurrence};
pub use explicit::tractable::autoregressive::rnade::{Rnade, RnadeConfig};
pub use explicit::tractable::autoregressive::tabular::{Tabular, TabularConfig};
pub use explicit::tractable::flow::glow::{Glow, GlowConfig};
pub use explicit::tractable::flow::iaf::Iaf;
pub use explicit::tractable::flow::linear_ica::{Contrast, LinearIca, LinearIcaConfig, Unmixing};
pub use explicit::tractable::flow::maf::{Maf, MafConfig};
pub use explicit::tractable::flow::multiscale::Multiscale;
pub use explicit::tractable::flow::nice::{Nice, NiceConfig};
pub use explicit::tractable::flow::realnvp::{RealNvp, RealNvpConfig};
pub use explicit::tractable::flow::spline_flow::{SplineFlow, SplineFlowConfig, Splines};
pub use explicit::tractable::kernel::kde::{Choose, Kde, KdeConfig, Kernel};
pub use explicit::tractable::linear::factor_analysis::{FactorAnalysis, FactorAnalysisConfig};
pub use explicit::tractable::linear::ppca::{Ppca, PpcaConfig};
pub use explicit::tractable::mixture::bernoulli_mixture::{BernoulliMixture, BernoulliMixtureConfig};
pub use explicit::tractable::mixture::covariance::Covariance;
pub use explicit::tractable::mixture::gaussian_mixture::{GaussianMixture, GaussianMixtureConfig};
pub use explicit::tractable::mixture::mixed_mixture::{MixedMixture, MixedMixtureConfig};
pub use genus_core::{
    Advice, Autoregressive, Batch, Capability, Chain, ClassConditional, Clusterer, Column, Completion,
    Conditional, Conditions, Dataset, Decoder, Density, Diagnostic, Domain, Drawing, Encoder, Error, Event,
    Evidence, EvidenceKind, Exhibit, Family, Figure, Fill, Fit, FitContext, FitReport, Fitted, Found, Given,
    GivenKinds, Invertible, Kind, LatentVariable, LogProb, Measure, Model, ModelSpec, Observer, Panel,
    Provenance, Reference, Result, Rng, Sampler, Schema, Scored, Scoring, Seed, Shape, Silent, Size, Split,
    SplitName, State, Stop, StopReason, Style, Support, SupportKind, Tee, Tensor, TinyFit, Trained, Visited,
    checkpoint, config, data, fsx, level_at, math, metrics, names, number, outfile, panel, run, spec, stop,
    train, transform,
};
pub use genus_nn::{Base, Nonlinearity, OptimizerConfig, Schedule, TrainConfig, use_device};
pub use implicit::direct::gan::{DiscriminatorConfig, Gan, GanConfig, Objective, PenaltyConfig, PenaltyKind};
pub use implicit::direct::wgan_gp::{CriticConfig, WganGp, WganGpConfig};
pub use implicit::direct::{GeneratorConfig, Networks, NoiseLaw, Normalization};
pub use implicit::markov_chain::denoising_chain::{DenoisingChain, DenoisingChainConfig};
pub use implicit::markov_chain::gsn::{Gsn, GsnConfig};
pub use sampling::Sampling;
pub use unsupervised::clustering::k_means::{KMeans, KMeansConfig};
pub use unsupervised::features::autoencoder::{Autoencoder, AutoencoderConfig, Corruption, Features, Layers};
pub use unsupervised::reduction::pca::{Pca, PcaConfig, Solver};

use serde::de::DeserializeOwned;
use transform::Transform;

/// The header that every model's state begins with.
fn header(spec: &ModelSpec, config: &toml::Table, transform: &Transform) -> State {
    let mut state = State::default();
    let transform = match serde_json::to_string(transform) {
        Ok(json) => json,
        Err(e) => unreachable!("a transform is plain data: {e}"),
    };
    state.header.insert("model".into(), spec.name.into());
    state.header.insert("config".into(), config.to_string());
    state.header.insert("transform".into(), transform);
    state
}

/// The transform of a fit: that of the model it begins with, if it begins with one, or a fresh one.
///
/// # Errors
/// As [`given_transform_for`], and [`Error::Config`] for rows with given columns.
fn transform_for(
    cx: &FitContext<'_>,
    data: &Dataset,
    fresh: impl FnOnce() -> Result<Transform>,
) -> Result<Transform> {
    context::refuse(&data.schema)?;
    given_transform_for(cx, data, fresh)
}

/// As [`transform_for`], of a model that takes rows with given columns too.
///
/// # Errors
/// [`Error::Domain`] or [`Error::Config`] if the model it begins with has other rows or settings.
fn given_transform_for(
    cx: &FitContext<'_>,
    data: &Dataset,
    fresh: impl FnOnce() -> Result<Transform>,
) -> Result<Transform> {
    let fresh = fresh()?;
    let Some(start) = cx.start else { return Ok(fresh) };
    let old = restore_transform(start)?;
    if !old.source().agrees(&data.schema) {
        return Err(Error::Domain(format!(
            "the model that training begins with takes rows of {}, and {} holds {}; load the data with its schema",
            old.source(),
            data.provenance.name,
            data.schema
        )));
    }
    if old.protocol() != fresh.protocol() {
        let message = format!(
            "the model that training begins with has another transform (\"{}\" instead of \"{}\"); leave its settings as they were",
            old.protocol(),
            fresh.protocol()
        );
        return Err(Error::config("transform", message));
    }
    Ok(old)
}

/// The configuration in a state's header.
fn restore_config<T: DeserializeOwned>(state: &State) -> Result<T> {
    let table = state
        .text("config")?
        .parse()
        .map_err(|e| Error::Run(format!("the model file's config is not TOML: {e}")))?;
    config::from_table(&table)
}

/// Most values of a row of a model that holds fewer.
const MOST_WIDTH: usize = 1 << 20;

/// The transform in a state's header.
fn restore_transform(state: &State) -> Result<Transform> {
    let transform: Transform = serde_json::from_str(state.text("transform")?)
        .map_err(|e| Error::Run(format!("the model file's transform cannot be read: {e}")))?;
    transform.check()?;
    // Convolutions take images of any size, so that tensors do not say how large rows are.
    let held: usize = state.tensors.values().map(|t| t.shape.iter().product::<usize>()).sum();
    let width = transform.source().width();
    if width > held.max(MOST_WIDTH) {
        let message =
            format!("the model file speaks of rows of {width} values, and holds {held}; the file is damaged");
        return Err(Error::Run(message));
    }
    Ok(transform)
}
