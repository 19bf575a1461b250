//! Rows belong to clusters.

use genus_core::ModelSpec;

pub(crate) mod agreement;
pub mod k_means;
pub(crate) mod lloyd;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&k_means::SPEC];
