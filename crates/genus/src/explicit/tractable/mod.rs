//! p(x) can be computed exactly.

pub(crate) mod autoregressive;
pub(crate) mod flow;
pub(crate) mod kernel;
pub(crate) mod linear;
pub(crate) mod mixture;
