//! The code that makes a row, or comes nearest to it: by gradient descent on the square of the distance, from the nearest of some codes
//! that are tried first.

use super::play::Generator;
use crate::{Batch, Result, Seed, Stop};
use genus_core::config::Positive;
use genus_nn::{Optimizer, OptimizerConfig, Params, Schedule, tensor, values};

/// Codes that are tried first.
const TRIED: usize = 256;
/// Steps of the descent.
const STEPS: u64 = 200;
/// Rows that go down together; each goes by itself.
const CHUNK: usize = 100;

/// Codes of rows, as the model works on them. The code of a row does not depend on those around it.
///
/// # Errors
/// [`crate::Error::Stopped`].
pub(super) fn invert(generator: &Generator, params: &Params, rows: &Batch) -> Result<Batch> {
    let tried = generator.noise(TRIED, Seed::from(0).child("tried").rng().bits());
    let made = Batch::new(
        values(generator.make(&params.frozen(), tensor(tried.clone()), None, true)),
        rows.width(),
    )?;
    let mut codes = Vec::with_capacity(rows.rows() * generator.latent());
    for start in (0..rows.rows()).step_by(CHUNK) {
        let some = rows.slice(start, start + CHUNK);
        let first: Vec<usize> = crate::metrics::nearest(&some, &made)?.into_iter().map(|(i, _)| i).collect();
        let mut at = Params::default();
        let z = at.add("z", &[some.rows(), generator.latent()], tried.select(&first).into_data());
        let how = OptimizerConfig {
            rate: Positive::constant(0.05),
            schedule: Schedule::Cosine,
            ..OptimizerConfig::default()
        };
        let mut optimizer = Optimizer::new(how, &at);
        for step in 1..=STEPS {
            Stop::current().check()?;
            let made = generator.make(&params.frozen(), at.tracked().get::<2>(z), None, true);
            let off = made - tensor(some.clone());
            optimizer.step(&mut at, &(off.clone() * off).sum(), step, STEPS)?;
            generator.within(&mut at, z);
        }
        codes.extend(at.values(z));
    }
    Batch::new(codes, generator.latent())
}
