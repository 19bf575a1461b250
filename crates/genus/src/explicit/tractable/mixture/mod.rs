//! p(x) = Σₖ πₖ pₖ(x).

use genus_core::ModelSpec;

mod ascent;
mod bernoulli_em;
pub mod bernoulli_mixture;
mod conditional;
pub(crate) mod covariance;
mod em;
mod exhibit;
pub mod gaussian_mixture;
mod holes;
pub mod mixed_mixture;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&gaussian_mixture::SPEC, &bernoulli_mixture::SPEC, &mixed_mixture::SPEC];
