//! Gaussian codes.

use crate::fused::{FusedOp, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::{reparametrise as kernel, reparametrise_backward};

/// The result is z and KL side by side, `[rows, latent + 1]`, because an operation has one result.
#[derive(Debug, Clone)]
struct Reparametrise;

impl FusedOp<2> for Reparametrise {
    type Kept = ();

    fn forward(&self, [encoded, noise]: [&[f32]; 2], shapes: [&[usize]; 2]) -> (Vec<f32>, Vec<usize>, ()) {
        let (rows, latent) = (shapes[1][0], shapes[1][1]);
        let (z, kl) = kernel(encoded, noise, latent);
        let mut both = Vec::with_capacity(rows * (latent + 1));
        for (z, kl) in z.chunks_exact(latent).zip(kl) {
            both.extend_from_slice(z);
            both.push(kl);
        }
        (both, vec![rows, latent + 1], ())
    }

    fn backward(&self, pass: Pass<'_, (), 2>, grad: Vec<f32>) -> [Option<Vec<f32>>; 2] {
        let [encoded, noise] = pass.inputs;
        let latent = noise.len() / (pass.output.len() - noise.len());
        let (mut dz, mut dkl) = (Vec::with_capacity(noise.len()), Vec::new());
        for row in grad.chunks_exact(latent + 1) {
            dz.extend_from_slice(&row[..latent]);
            dkl.push(row[latent]);
        }
        [pass.wanted[0].then(|| reparametrise_backward(encoded, noise, latent, &dz, &dkl)), None]
    }
}

/// z = μ + σ ε and KL(N(μ, σ²) ‖ N(0, I)) in nats per row, from means and log-variances side by side. Log-variances count as
/// −15 or 15 beyond those. The noise is data: no gradient goes to it.
///
/// # Shapes
/// encoded `[rows, 2 latent]`, noise `[rows, latent]` → z `[rows, latent]`, KL `[rows]`
pub fn reparametrise(encoded: Tensor<2>, noise: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    if !here(&encoded) {
        return portable::reparametrise(encoded, noise);
    }
    let latent = noise.dims()[1];
    let both: Tensor<2> = apply(Reparametrise, [input(encoded), input(noise)]);
    (both.clone().narrow(1, 0, latent), both.narrow(1, latent, 1).squeeze_dim(1))
}

/// The definition.
pub(super) mod portable {
    use super::Tensor;
    use genus_kernels::LOG_VARIANCE;

    /// As [`reparametrise`](super::reparametrise).
    pub fn reparametrise(encoded: Tensor<2>, noise: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let latent = noise.dims()[1];
        let mean = encoded.clone().narrow(1, 0, latent);
        let log_variance = encoded.narrow(1, latent, latent).clamp(-LOG_VARIANCE, LOG_VARIANCE);
        let z = mean.clone() + (log_variance.clone() * 0.5).exp() * noise;
        let inner = mean.powi_scalar(2) + log_variance.clone().exp() - 1.0 - log_variance;
        (z, (inner.sum_dim(1) * 0.5).squeeze_dim(1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, draw, grad, side};
    use super::*;
    use crate::values;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn reparametrisation_equals_its_definition(rows in 1usize..9, latent in 1usize..30, seed: u64) {
            let run = |fused: bool| {
                let at = side(fused);
                let e = draw(&at, seed, [rows, 2 * latent]).autodiff().require_grad();
                let noise = draw(&at, seed ^ 1, [rows, latent]);
                let (z, kl) = if fused { reparametrise(e.clone(), noise) } else { portable::reparametrise(e.clone(), noise) };
                let total = (z.clone() * draw(&at, seed ^ 2, [rows, latent])).sum() + (kl.clone() * draw(&at, seed ^ 3, [rows])).sum();
                let g = total.backward();
                [values(z), values(kl), grad(&e, &g)]
            };
            for (name, (f, p)) in ["z", "kl", "de"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }
    }
}
