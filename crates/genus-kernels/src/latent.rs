//! Gaussian codes: the reparametrised draw and its divergence from the standard normal, in one pass (Kingma & Welling 2014).

use crate::scalar::exp;

/// Log-variances are kept within ± this, where their exponentials are finite.
pub const LOG_VARIANCE: f32 = 15.0;

/// Of each row of `encoded` — means, then log-variances, each `latent` wide — the draw z = μ + σ ε and
/// KL(N(μ, σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − ln σ²), nats.
///
/// # Shapes
/// encoded `[rows, 2 latent]`, noise `[rows, latent]` → z `[rows, latent]`, then KL `[rows]`
pub fn reparametrise(encoded: &[f32], noise: &[f32], latent: usize) -> (Vec<f32>, Vec<f32>) {
    assert_eq!(encoded.len(), 2 * noise.len(), "means and log-variances for every draw");
    let mut z = Vec::with_capacity(noise.len());
    let mut kl = Vec::with_capacity(noise.len() / latent.max(1));
    for (code, noise) in encoded.chunks_exact(2 * latent).zip(noise.chunks_exact(latent)) {
        let (mean, log_variance) = code.split_at(latent);
        let mut sum = 0.0f64;
        for ((m, lv), e) in mean.iter().zip(log_variance).zip(noise) {
            let lv = lv.clamp(-LOG_VARIANCE, LOG_VARIANCE);
            z.push(m + exp(0.5 * lv) * e);
            sum += 0.5 * f64::from(m * m + exp(lv) - 1.0 - lv);
        }
        kl.push(sum as f32);
    }
    (z, kl)
}

/// Gradient with respect to `encoded`, from those of z and KL.
///
/// # Shapes
/// As [`reparametrise`]; dz as z, dkl as KL.
pub fn reparametrise_backward(
    encoded: &[f32],
    noise: &[f32],
    latent: usize,
    dz: &[f32],
    dkl: &[f32],
) -> Vec<f32> {
    let mut grad = vec![0.0; encoded.len()];
    let rows = grad.chunks_exact_mut(2 * latent).zip(encoded.chunks_exact(2 * latent));
    for ((grad, code), ((noise, dz), dkl)) in
        rows.zip(noise.chunks_exact(latent).zip(dz.chunks_exact(latent)).zip(dkl))
    {
        let (mean, log_variance) = code.split_at(latent);
        let (to_mean, to_log_variance) = grad.split_at_mut(latent);
        for i in 0..latent {
            let lv = log_variance[i];
            to_mean[i] = dz[i] + dkl * mean[i];
            // Outside of the range nothing moves.
            if lv.abs() <= LOG_VARIANCE {
                to_log_variance[i] = 0.5 * (dz[i] * noise[i] * exp(0.5 * lv) + dkl * (exp(lv) - 1.0));
            }
        }
    }
    grad
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values against f64, gradients against central differences of it.
    #[test]
    fn value_and_gradient_against_f64() {
        let (rows, latent) = (3, 5);
        let wave =
            |n: usize, s: f32| -> Vec<f32> { (0..n).map(|i| 1.5 * ((i as f32 + s) * 1.7).sin()).collect() };
        let mut encoded = wave(rows * 2 * latent, 0.2);
        encoded[7] = -20.0;
        let (noise, dz, dkl) = (wave(rows * latent, 0.9), wave(rows * latent, 2.0), wave(rows, 3.0));
        let definition = |encoded: &[f64]| -> f64 {
            let mut total = 0.0;
            for r in 0..rows {
                for i in 0..latent {
                    let m = encoded[r * 2 * latent + i];
                    let lv = encoded[r * 2 * latent + latent + i].clamp(-15.0, 15.0);
                    let at = r * latent + i;
                    total += f64::from(dz[at]) * (m + (0.5 * lv).exp() * f64::from(noise[at]));
                    total += f64::from(dkl[r]) * 0.5 * (m * m + lv.exp() - 1.0 - lv);
                }
            }
            total
        };
        let wide: Vec<f64> = encoded.iter().map(|v| f64::from(*v)).collect();
        let (z, kl) = reparametrise(&encoded, &noise, latent);
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let value = dot(&z, &dz) + dot(&kl, &dkl);
        assert!((value / definition(&wide) - 1.0).abs() < 1e-6, "{value}");
        let grad = reparametrise_backward(&encoded, &noise, latent, &dz, &dkl);
        for i in 0..wide.len() {
            let at = |h: f64| {
                let mut p = wide.clone();
                p[i] += h;
                definition(&p)
            };
            let want = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((f64::from(grad[i]) - want).abs() < 1e-5 * (1.0 + want.abs()), "{i}: {} {want}", grad[i]);
        }
        assert_eq!(grad[7], 0.0);
    }
}
