//! What is found out about a fitted model, a file each.

mod base;
mod classes;
mod clusters;
mod codes;
mod completions;
mod density;
mod drawing;
mod inside;
mod interpolations;
pub mod likeness;
pub mod mixing;
pub mod modes;
mod neighbours;
pub mod parzen;
mod receptive;
mod reconstructions;
mod samples;
mod scores;

use crate::{Diagnostic, Schema, Seed, Split};
pub(crate) use inside::{parts, weights};

/// All, in the order of a report.
pub const ALL: &[&dyn Diagnostic] = &[
    &parzen::Parzen,
    &samples::Samples,
    &likeness::QUICK,
    &modes::Modes,
    &density::DensityMap,
    &neighbours::Neighbours,
    &classes::Classes,
    &clusters::Clusters,
    &drawing::Drawing,
    &base::FromTheBase,
    &completions::Completions,
    &receptive::Receptive,
    &reconstructions::Reconstructions,
    &interpolations::Interpolations,
    &mixing::Mixing,
    &inside::Inside,
    &codes::Codes,
    &scores::Scores,
];

/// Rows chosen by chance, in their own order.
fn some(split: &Split, n: usize, seed: Seed) -> Split {
    let mut rows = seed.rng().permutation(split.x.rows());
    rows.truncate(n);
    rows.sort_unstable();
    split.select(&rows)
}

/// Names of the columns of a plane.
fn axes(schema: &Schema) -> [String; 2] {
    [0, 1].map(|c| schema.column(c).heading())
}
