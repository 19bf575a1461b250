//! p(x) = ∫ p(x|z) p(z) dz, bounded from below with an approximate posterior q(z|x).

use genus_core::ModelSpec;

mod latent_net;
pub mod vae;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&vae::SPEC];
