//! p(x) can be bounded or estimated.

pub(crate) mod markov_chain;
pub(crate) mod variational;
