//! What models that draw by Markov chains have in common: how they are asked for rows, and how they fill what is missing.

use genus_core::config::count;
use genus_core::transform::{Noise, Transform};
use genus_core::{Batch, Fill, Result, Scoring};
use serde::{Deserialize, Deserializer, Serialize};
use std::num::NonZeroUsize;

/// How chains draw rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Most chains side by side. Fewer rows than that are one row of each of as many chains.
    #[serde(deserialize_with = "bounded")]
    pub chains: NonZeroUsize,
    /// Transitions before the first row of a chain.
    #[serde(deserialize_with = "bounded")]
    pub burn_in: NonZeroUsize,
    /// Transitions between rows of the same chain.
    #[serde(deserialize_with = "bounded")]
    pub thin: NonZeroUsize,
}

/// Most chains, and most transitions between two rows: more take days, and are a slip or a trap.
const MOST: usize = 10_000_000;

fn bounded<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<NonZeroUsize, D::Error> {
    let n = NonZeroUsize::deserialize(d)?;
    if n.get() > MOST {
        return Err(serde::de::Error::custom(format!("{n} is out of range; it must be at most {MOST}")));
    }
    Ok(n)
}

impl Default for Sampling {
    fn default() -> Self {
        Self { chains: count(1000), burn_in: count(1000), thin: count(100) }
    }
}

/// Rows whose missing values are those that `run` finds: it takes the rows that miss some, in the model's units with NaN for what is
/// missing, and gives draws or means of the whole rows.
pub fn completed(
    transform: &Transform,
    x: &Batch,
    fill: Fill,
    run: impl FnOnce(Vec<f32>) -> Result<Vec<f32>>,
) -> Result<Batch> {
    let missing = |r: usize, c: usize| x.row(r)[c].is_nan();
    let whole = Batch::from_fn(x.rows(), x.width(), |r, c| if missing(r, c) { 0.0 } else { x.row(r)[c] });
    let (known, _) = transform.forward(&whole, Noise::Row(Scoring::default().seed))?;
    let open: Vec<usize> = (0..x.rows()).filter(|r| x.row(*r).iter().any(|v| v.is_nan())).collect();
    let mut out = x.clone();
    if open.is_empty() {
        return Ok(out);
    }
    let held = |r: usize, c: usize| if missing(r, c) { f32::NAN } else { known.row(r)[c] };
    let filled = Batch::new(
        run(open.iter().flat_map(|r| (0..x.width()).map(move |c| held(*r, c))).collect())?,
        x.width(),
    )?;
    let filled = match fill {
        Fill::Sample => transform.inverse(&filled),
        Fill::Mean => transform.inverse_mean(&filled),
    };
    for (i, r) in open.into_iter().enumerate() {
        for (v, f) in out.row_mut(r).iter_mut().zip(filled.row(i)).filter(|(v, _)| v.is_nan()) {
            *v = *f;
        }
    }
    Ok(out)
}
