//! The model only draws: p(x) is what it draws from, and nobody can write it down.

pub(crate) mod direct;
pub(crate) mod markov_chain;
