//! Finite differences of a training objective, to hold its gradient against.

use crate::{Id, Loss, Params, View};
use genus_core::{Result, Seed};

/// Largest disagreement found in one parameter array.
#[derive(Debug, Clone, PartialEq)]
pub struct Disagreement {
    /// Name of the array.
    pub name: String,
    /// |difference quotient − gradient| / (largest of both in the array, at least 1e-3).
    pub error: f64,
}

/// Compares the gradient of `loss` with central differences in every parameter array, along a few random coordinates and
/// along one random direction each. The loss must be the same function at every call. Parameters that a mask keeps at zero are
/// none: `mask` sets them to zero in an array that belongs to the given handle.
///
/// In `f32` the quotient with step h carries an error of about ε|loss|/h + h², so that agreement to 1e-2 of the largest
/// entry is what can be expected, and what a wrong gradient does not reach.
///
/// # Errors
/// Whatever the loss may meet.
pub fn check(
    params: &mut Params,
    seed: Seed,
    mask: impl Fn(Id, &mut [f32]),
    mut loss: impl FnMut(&View<'_>) -> Result<Loss>,
) -> Result<Vec<Disagreement>> {
    let h = 1e-2f32;
    let mut grads = loss(&params.tracked())?.total.backward();
    let gradient: Vec<Vec<f32>> = params.ids().map(|id| params.take_grad(id, &mut grads)).collect();
    drop(grads);
    let mut rng = seed.child("gradcheck").rng();
    let mut found = Vec::new();
    for (id, g) in params.ids().zip(&gradient) {
        let origin = params.values(id);
        let n = origin.len();
        let mut allowed = vec![1.0; n];
        mask(id, &mut allowed);
        let allowed: Vec<usize> = (0..n).filter(|i| allowed[*i] != 0.0).collect();
        let mut directions: Vec<Vec<f32>> = (0..6.min(allowed.len()))
            .map(|_| {
                let mut e = vec![0.0; n];
                e[allowed[rng.below(allowed.len())]] = 1.0;
                e
            })
            .collect();
        let mut random: Vec<f32> = (0..n).map(|_| rng.normal() as f32 / (n as f32).sqrt()).collect();
        mask(id, &mut random);
        directions.push(random);
        let (mut worst, mut scale) = (0.0f64, 1e-3f64);
        for d in directions {
            let mut side = |sign: f32| -> Result<f64> {
                params.set(id, origin.iter().zip(&d).map(|(p, d)| p + sign * h * d).collect());
                Ok(f64::from(crate::values(loss(&params.frozen())?.total)[0]))
            };
            let quotient = (side(1.0)? - side(-1.0)?) / (2.0 * f64::from(h));
            let slope: f64 = g.iter().zip(&d).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
            worst = worst.max((quotient - slope).abs());
            scale = scale.max(quotient.abs()).max(slope.abs());
        }
        params.set(id, origin);
        found.push(Disagreement { name: params.name(id).to_owned(), error: worst / scale });
    }
    Ok(found)
}
