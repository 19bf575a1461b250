//! Codes that are learned.

use genus_core::ModelSpec;

pub mod autoencoder;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&autoencoder::SPEC];
