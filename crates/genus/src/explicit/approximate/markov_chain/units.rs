//! What visible units are: bits, or normal numbers with a variance of 1.

use genus_core::math::{LN_2PI, softplus};
use genus_kernels::{Stream, anneal_bits, bernoulli_sample, row_products};

/// Kind of the visible units of a machine with an input a = b + W h to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// v ∈ {0, 1}, p(v = 1) = σ(a): the energy has −b v.
    Bits,
    /// v ~ N(a, 1): the energy has ½ (v − b)².
    Normals,
}

impl Units {
    /// Draws from inputs `a` at the inverse temperature β between independent units with inputs `base` (β = 0) and the machine
    /// (β = 1).
    pub fn anneal(self, mut a: Vec<f32>, base: &[f32], beta: f32, stream: Stream) -> Vec<f32> {
        let width = base.len();
        match self {
            Self::Bits => {
                let rest: Vec<f32> = base.iter().map(|b| (1.0 - beta) * b).collect();
                anneal_bits(&a, width, beta, if beta == 1.0 { &[] } else { &rest }, stream)
            }
            Self::Normals => {
                let mut noise = vec![0.0; a.len()];
                stream.normals(0, &mut noise);
                for (row, noise) in a.chunks_exact_mut(width).zip(noise.chunks_exact(width)) {
                    for ((a, b), z) in row.iter_mut().zip(base).zip(noise) {
                        *a = beta * *a + (1.0 - beta) * b + z;
                    }
                }
                a
            }
        }
    }

    /// Draws from means.
    pub fn draw(self, means: &[f32], stream: Stream) -> Vec<f32> {
        match self {
            Self::Bits => bernoulli_sample(means, stream),
            Self::Normals => {
                let mut v = vec![0.0; means.len()];
                stream.normals(0, &mut v);
                v.iter_mut().zip(means).for_each(|(v, m)| *v += m);
                v
            }
        }
    }

    /// Their means given inputs.
    pub fn means(self, mut a: Vec<f32>) -> Vec<f32> {
        if self == Self::Bits {
            genus_kernels::probabilities(&mut a);
        }
        a
    }

    /// log Σ_v, or ∫ dv, of exp(what v contributes) for one unit whose inputs are b + m.
    pub fn log_partition(self, b: f64, m: f64) -> f64 {
        match self {
            Self::Bits => softplus(b + m),
            Self::Normals => b * m + 0.5 * m * m + 0.5 * LN_2PI,
        }
    }

    /// What the visible units contribute to the log-mass of each row: b·v, or −½ |v − b|².
    pub fn log_mass(self, v: &[f32], b: &[f32]) -> Vec<f64> {
        match self {
            Self::Bits => row_products(v, b),
            Self::Normals => v
                .chunks_exact(b.len())
                .map(|v| -0.5 * v.iter().zip(b).map(|(v, b)| f64::from(v - b).powi(2)).sum::<f64>())
                .collect(),
        }
    }

    /// By how much that changes between units with inputs `base` and with inputs `b`.
    pub fn log_mass_gain(self, v: &[f32], base: &[f32], b: &[f32]) -> Vec<f64> {
        let gain: Vec<f32> = b.iter().zip(base).map(|(b, base)| b - base).collect();
        let mut each = row_products(v, &gain);
        if self == Self::Normals {
            let squares: f64 =
                b.iter().zip(base).map(|(b, a)| f64::from(*b).powi(2) - f64::from(*a).powi(2)).sum();
            each.iter_mut().for_each(|e| *e -= 0.5 * squares);
        }
        each
    }
}
