//! Structure without a law that rows could be drawn from.

pub(crate) mod clustering;
pub(crate) mod features;
pub(crate) mod reduction;
