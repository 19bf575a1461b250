//! The model writes p(x) down.

pub(crate) mod approximate;
pub(crate) mod tractable;
