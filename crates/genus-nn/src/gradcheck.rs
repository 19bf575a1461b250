//! Finite differences of a training objective, to hold its gradient against.

use crate::{Group, Id, Loss, Params, View};
use genus_core::{Result, Seed};

/// Largest disagreement found in one parameter array.
#[derive(Debug, Clone, PartialEq)]
pub struct Disagreement {
    /// Name of the array.
    pub name: String,
    /// |difference quotient − gradient| / (largest of both in the array, at least 1e-3).
    pub error: f64,
}

/// Steps of the difference quotients. Rounding spoils short ones, curvature and the kinks of relu long ones.
const STEPS: [f32; 4] = [1e-2, 3e-3, 1e-3, 3e-4];

/// Compares the gradient of `loss` with central differences in every parameter array, along a few random coordinates and
/// along one random direction each. The loss must be the same function at every call. Parameters that a mask keeps at zero are
/// none: `mask` sets them to zero in an array that belongs to the given handle.
///
/// In `f32` the quotient with step h carries an error of about ε|loss|/h + h², and of about h where the loss has kinks. Along each
/// direction the best of several steps counts; agreement to 1e-2 of the largest entry is then what can be expected, and what a
/// wrong gradient does not reach with any.
///
/// # Errors
/// Whatever the loss may meet.
pub fn check(
    params: &mut Params,
    seed: Seed,
    mask: impl Fn(Id, &mut [f32]),
    loss: impl FnMut(&View<'_>) -> Result<Loss>,
) -> Result<Vec<Disagreement>> {
    check_group(params, Group::default(), seed, mask, loss)
}

/// As [`check`], of the parameters of one group.
///
/// # Errors
/// As there.
pub fn check_group(
    params: &mut Params,
    group: Group,
    seed: Seed,
    mask: impl Fn(Id, &mut [f32]),
    mut loss: impl FnMut(&View<'_>) -> Result<Loss>,
) -> Result<Vec<Disagreement>> {
    let ids = params.members(group);
    let mut grads = loss(&params.tracking(group))?.total.backward();
    let gradient: Vec<Vec<f32>> = ids.iter().map(|id| params.take_grad(*id, &mut grads)).collect();
    drop(grads);
    let mut rng = seed.child("gradcheck").rng();
    let mut found = Vec::new();
    for (id, g) in ids.into_iter().zip(&gradient) {
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
        let largest = g.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let (mut worst, mut scale) = (0.0f64, f64::from(largest).max(1e-3));
        for d in directions {
            let slope: f64 = g.iter().zip(&d).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
            let mut side = |h: f32| -> Result<f64> {
                params.set(id, origin.iter().zip(&d).map(|(p, d)| p + h * d).collect());
                Ok(f64::from(crate::values(loss(&params.frozen())?.total)[0]))
            };
            let mut least = f64::INFINITY;
            for h in STEPS {
                let quotient = (side(h)? - side(-h)?) / (2.0 * f64::from(h));
                least = least.min((quotient - slope).abs());
                if h == STEPS[0] {
                    scale = scale.max(quotient.abs()).max(slope.abs());
                }
            }
            worst = worst.max(least);
        }
        params.set(id, origin);
        found.push(Disagreement { name: params.name(id).to_owned(), error: worst / scale });
    }
    Ok(found)
}
