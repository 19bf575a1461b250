//! p(x) is a bump around every training row.

use genus_core::ModelSpec;

mod bandwidth;
mod bump;
pub mod kde;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&kde::SPEC];
