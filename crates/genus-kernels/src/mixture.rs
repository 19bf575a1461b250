//! Log-likelihood of mixtures of normals: −log Σ_k π_k N(x; μ_k, σ_k), π = softmax(α), σ = floor + softplus(s).

use crate::{crew, scalar};

/// ½ ln 2π.
const HALF_LN_2PI: f64 = 0.918_938_533_204_672_7;
/// Values of a job.
const BLOCK: usize = 1 << 10;

/// Mixtures of `components` normals, whose parameters are α, then μ, then s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixture {
    /// Normals in a mixture.
    pub components: usize,
    /// Smallest σ.
    pub floor: f32,
}

impl Mixture {
    /// Parameters of a mixture.
    pub fn parameters(self) -> usize {
        3 * self.components
    }

    /// σ of the parameter s.
    pub fn scale(self, s: f32) -> f32 {
        self.floor + scalar::softplus(s)
    }

    /// log π_k N(x; μ_k, σ_k) and log π_k of each component, nats.
    fn terms(self, of: &[f32], x: f32, term: &mut [f64], share: &mut [f64]) {
        let k = self.components;
        let (alpha, rest) = of.split_at(k);
        let (mean, s) = rest.split_at(k);
        share.iter_mut().zip(alpha).for_each(|(share, a)| *share = f64::from(*a));
        let total = log_sum_exp(share);
        for i in 0..k {
            share[i] -= total;
            let sigma = f64::from(self.scale(s[i]));
            let z = (f64::from(x) - f64::from(mean[i])) / sigma;
            term[i] = share[i] - 0.5 * z * z - libm::log(sigma) - HALF_LN_2PI;
        }
    }

    /// log p(x) of one mixture, nats.
    pub fn log_prob(self, of: &[f32], x: f32) -> f64 {
        let mut scratch = vec![0.0; 2 * self.components];
        let (term, share) = scratch.split_at_mut(self.components);
        self.terms(of, x, term, share);
        log_sum_exp(term)
    }

    /// Negative log-likelihood of each row, nats.
    ///
    /// # Shapes
    /// of `[rows, places, 3 components]`, x `[rows, places]` → `[rows]`
    pub fn nll(self, of: &[f32], x: &[f32], places: usize) -> Vec<f32> {
        let each = self.parameters();
        assert_eq!(of.len(), x.len() * each, "{each} parameters for every value");
        let mut nll = vec![0.0; x.len() / places.max(1)];
        let block = (BLOCK / (places * each).max(1)).max(1);
        crew::chunks([&mut nll], block, |i, [nll]| {
            for (r, nll) in nll.iter_mut().enumerate() {
                let at = (i * block + r) * places;
                let sum: f64 = (at..at + places).map(|p| self.log_prob(&of[p * each..][..each], x[p])).sum();
                *nll = -sum as f32;
            }
        });
        nll
    }

    /// Gradient of Σ `weight[row]` · nll\[row\] with respect to the parameters.
    pub fn backward(self, of: &[f32], x: &[f32], weight: &[f32]) -> Vec<f32> {
        let (k, each, places) = (self.components, self.parameters(), x.len() / weight.len().max(1));
        assert_eq!(of.len(), x.len() * each, "{each} parameters for every value");
        let block = (BLOCK / each).max(1);
        let [grad] = crew::zeros(x.len(), [each], block, |i, [grad]| {
            let mut scratch = vec![0.0; 2 * k];
            let (term, share) = scratch.split_at_mut(k);
            for (p, grad) in grad.chunks_exact_mut(each).enumerate() {
                let at = i * block + p;
                let (of, x, weight) = (&of[at * each..][..each], x[at], f64::from(weight[at / places]));
                self.terms(of, x, term, share);
                let total = log_sum_exp(term);
                for c in 0..k {
                    // How much of x is the component's.
                    let part = weight * libm::exp(term[c] - total);
                    let (s, sigma) = (of[2 * k + c], f64::from(self.scale(of[2 * k + c])));
                    let z = (f64::from(x) - f64::from(of[k + c])) / sigma;
                    grad[c] = (weight * libm::exp(share[c]) - part) as f32;
                    grad[k + c] = (-part * z / sigma) as f32;
                    grad[2 * k + c] = (part * (1.0 - z * z) / sigma * f64::from(scalar::sigmoid(s))) as f32;
                }
            }
        });
        grad
    }
}

fn log_sum_exp(of: &[f64]) -> f64 {
    let top = of.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + libm::log(of.iter().map(|v| libm::exp(v - top)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A density that sums to 1, and gradients that central differences of it confirm.
    #[test]
    fn mass_and_gradient() {
        let mixture = Mixture { components: 3, floor: 0.05 };
        let of: Vec<f32> = (0..4 * 9).map(|i| ((i as f32 + 0.3) * 1.7).sin() * 1.5).collect();
        let mass: f64 =
            (-4000..4000).map(|i| libm::exp(mixture.log_prob(&of[..9], i as f32 * 0.005)) * 0.005).sum();
        assert!((mass - 1.0).abs() < 1e-5, "{mass}");
        let (x, weight) = ([0.3f32, -1.2, 0.9, 2.0], [0.7f32, -1.3]);
        let value = |of: &[f32]| -> f64 {
            (0..4).map(|p| -f64::from(weight[p / 2]) * mixture.log_prob(&of[p * 9..][..9], x[p])).sum()
        };
        let nll = mixture.nll(&of, &x, 2);
        let direct: f64 = nll.iter().zip(weight).map(|(n, w)| f64::from(*n) * f64::from(w)).sum();
        assert!((direct - value(&of)).abs() < 1e-5);
        for (i, g) in mixture.backward(&of, &x, &weight).iter().enumerate() {
            let at = |h: f32| {
                let mut moved = of.clone();
                moved[i] += h;
                (value(&moved), moved[i])
            };
            let ((above, a), (below, b)) = (at(1e-2), at(-1e-2));
            let want = (above - below) / f64::from(a - b);
            assert!((f64::from(*g) - want).abs() < 2e-3 * (1.0 + want.abs()), "{i}: {g} {want}");
        }
    }
}
