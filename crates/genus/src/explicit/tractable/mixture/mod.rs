//! p(x) = Σₖ πₖ pₖ(x).

use genus_core::ModelSpec;

mod conditional;
pub(crate) mod covariance;
mod em;
mod exhibit;
pub mod gaussian_mixture;
mod kmeans;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&gaussian_mixture::SPEC];
