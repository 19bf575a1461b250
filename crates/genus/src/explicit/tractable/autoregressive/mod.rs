//! Fully visible belief nets: p(x) = Π p(x_d | x_<d) in some order of the dimensions.

use genus_core::ModelSpec;

pub(crate) mod made;
mod masked_net;
mod masks;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&made::SPEC];
