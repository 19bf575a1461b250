//! # Inverse autoregressive flow (IAF)
//!
//! ## What it is
//! The density of `maf` with its directions exchanged: x = g(u), u from N(0, I), where in each step u_d = x_d e^{s_d} + t_d with s and t functions
//! of the values of *u* before, so that a draw is one pass and a score takes the values one after the other.
//!
//! ## Density
//! Exact. Scores take value after value; here every unit is computed once, so that they cost about as much as a pass.
//!
//! Given columns enter every network: p(x | given) = p_base(f(x; given)) |det ∂f/∂x|.
//!
//! ## Trained by
//! Minibatch Adam on −log p, whose gradient goes back through the values one after the other: exact, with no more arithmetic than that of a
//! `maf`.
//!
//! ## Use it when
//! Many draws are needed of each fit. Usually an IAF is a posterior, whose own draws alone are scored; as a density of data it is here
//! for comparison.
//!
//! ## References
//! Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling 2016.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Iaf, MafConfig, Seed, Silent, config, data};
//!
//! let moons = data::load("moons", &data::Options::default())?;
//! let config = toml::from_str("layers = 4\nhidden = [24]\ntrain.epochs = 4\ntrain.optimizer.rate = 0.01").unwrap();
//! let config: MafConfig = config::from_table(&config)?;
//! let fit = Iaf::fit(&config, &moons, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // A single normal has -3.29.
//! assert!(fit.model.log_prob(&moons.test.unwrap().x)?.mean() > -3.2);
//! # Ok::<(), genus::Error>(())
//! ```

use super::maf::{MafConfig, steps};
use super::{Flow, Map};
use genus_core::config::count;
use genus_core::{
    Capability, Domain, EvidenceKind, GivenKinds, ModelSpec, Reference, Result, Rng, Seed, SupportKind,
    TinyFit,
};
use genus_nn::{Bijection, Nonlinearity, Params};
use std::sync::Arc;

/// A fitted IAF.
pub type Iaf = Flow<Inverse>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Iaf>("iaf", "Inverse autoregressive flow", module_path!())
    .summary("tables of numbers: draws in one pass, exact scores value after value")
    .papers(&[Reference::new(
        "Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling",
        2016,
        "Improved Variational Inference with Inverse Autoregressive Flow",
        "https://arxiv.org/abs/1606.04934",
    )])
    .evidence(EvidenceKind::Exact)
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Decoder, Capability::Given])
    .passes("1 to draw; to score and to train, one for each column")
    .rows(&[SupportKind::Real, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::flow)
    .given(GivenKinds::Any)
    .tiny_fits(&[TinyFit::new(
        "a plane",
        "pinwheel",
        "layers = 5\nhidden = [32, 32]\n[train]\nepochs = 24\nbatch = 100\nema = 0.95\n[train.optimizer]\nrate = 0.003\n",
    ),
        TinyFit::new("given numbers and a kind", "regression", "layers = 3\nhidden = [24]\n[train]\nepochs = 5\nbatch = 100\nema = 0.9\n[train.optimizer]\nrate = 0.005\n")
            .given(&["kind", "a", "b"]),
    ])
    .gradient_check(gradient_check);

/// Masked steps in the other direction.
#[derive(Debug, Clone)]
pub struct Inverse;

impl Map for Inverse {
    type Config = MafConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(
        config: &MafConfig,
        rows: &Domain,
        given: usize,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Result<Arc<dyn Bijection>> {
        steps(config, true, rows, given, params, rng)
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let config = MafConfig {
        layers: count(2),
        hidden: vec![count(6), count(5)],
        activation: Nonlinearity::Tanh,
        ..MafConfig::default()
    };
    Iaf::gradient_check(&config, &Domain::real(3), seed)
}
