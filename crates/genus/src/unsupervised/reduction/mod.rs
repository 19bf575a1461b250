//! Rows by fewer numbers.

use genus_core::ModelSpec;

pub mod pca;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&pca::SPEC];
