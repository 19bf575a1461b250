//! Modes of generated data that draws reach.

use crate::{Diagnostic, Figure, Found, Result, Seed, Trained, data, metrics};

/// Draws.
const DRAWS: usize = 2500;
/// Deviations from a mode within which a draw is of high quality (Lin, Khetan, Fanti & Oh 2018).
const NEAR: f64 = 3.0;
/// Of what a mode's share would be, what it must have at least.
const PRESENT: f64 = 0.2;

/// Names of the figures.
pub const COVERED: &str = "modes covered";
/// See [`COVERED`].
pub const QUALITY: &str = "high-quality draws";

pub(super) struct Modes;

impl Diagnostic for Modes {
    fn name(&self) -> &'static str {
        "modes"
    }

    fn what(&self) -> &'static str {
        "modes of draws"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.plane() && of.model.as_sampler().is_some() && data::modes(&of.data.provenance.name).is_some()
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let (Some(sampler), Some((modes, sigma))) =
            (of.model.as_sampler(), data::modes(&of.data.provenance.name))
        else {
            return Ok(Found::default());
        };
        let draws = sampler.sample(DRAWS, &mut seed.rng())?;
        let mut counts = vec![0usize; modes.rows()];
        for (mode, _) in metrics::nearest(&draws, &modes)?.into_iter().filter(|(_, d)| *d < NEAR * sigma) {
            counts[mode] += 1;
        }
        let least = PRESENT * DRAWS as f64 / modes.rows() as f64;
        let covered = counts.iter().filter(|c| **c as f64 >= least).count();
        let near: usize = counts.iter().sum();
        let figures = vec![
            Figure::new(
                COVERED,
                covered as f64,
                format!("of {}, with a fifth of their share of {DRAWS} draws at least", modes.rows()),
            ),
            Figure::new(
                QUALITY,
                near as f64 / DRAWS as f64,
                format!(
                    "share of {DRAWS} draws within {NEAR} standard deviations of a mode; 0.989 of real rows"
                ),
            ),
        ];
        Ok(Found { figures, ..Found::default() })
    }
}
