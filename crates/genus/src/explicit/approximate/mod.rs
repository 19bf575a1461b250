//! p(x) can be bounded or estimated.

pub(crate) mod variational;
