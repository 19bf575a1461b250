//! The vocabulary of Genus: what a model is, what data are, and what their numbers mean.
//!
//! This crate knows no tensor framework and never prints. It holds the contracts ([`Model`], [`Density`], [`Sampler`],
//! [`Family`] …), the array that crosses them ([`Batch`]) with its support ([`Domain`]), named random streams ([`Seed`]),
//! run folders, checkpoints, data sets, transforms and metrics.
//!
//! Units: log-probabilities are natural logarithms (nats), `f64`, one per row, in the units of the data that the caller
//! passed; each comes with its [`Evidence`] and its base [`Measure`].

mod advice;
pub mod audit;
mod batch;
mod capability;
pub mod checkpoint;
mod conditions;
pub mod config;
pub mod data;
mod dataset;
pub mod diagnostic;
mod digest;
mod domain;
mod error;
mod event;
mod evidence;
mod fit;
pub mod fsx;
pub mod math;
pub mod metrics;
mod model;
pub mod names;
pub mod number;
pub mod outfile;
pub mod panel;
pub mod run;
mod schema;
mod seed;
pub mod spec;
mod state;
pub mod stop;
mod style;
pub mod train;
pub mod transform;

pub use advice::Advice;
pub use batch::Batch;
pub use capability::Capability;
pub use conditions::Conditions;
pub use dataset::{Dataset, Provenance, Split, SplitName};
pub use diagnostic::{Diagnostic, Found, Scored, Trained};
pub use domain::{Domain, Measure, Shape, Support, SupportKind};
pub use error::{Error, Result};
pub use event::{Event, Observer, Silent, StopReason, Tee};
pub use evidence::{Evidence, EvidenceKind, LogProb};
pub use fit::{Family, Fit, FitContext, FitReport, Fitted};
pub use model::{
    Autoregressive, Chain, ClassConditional, Clusterer, Completion, Conditional, Decoder, Density, Drawing,
    Encoder, Figure, Fill, Given, Invertible, LatentVariable, Model, Sampler, Scoring, Visited, level_at,
};
pub use panel::{Exhibit, Panel};
pub use schema::{Column, Kind, Schema};
pub use seed::{Rng, Seed};
pub use spec::{GivenKinds, ModelSpec, Reference, Size, TinyFit};
pub use state::{State, Tensor};
pub use stop::Stop;
pub use style::{Dress, Style};
