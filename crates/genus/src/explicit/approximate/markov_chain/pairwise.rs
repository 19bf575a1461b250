//! Bits with a bias each and a weight between any two: exp(b·x + ½ xᵀJx), summed by going through all states, or drawn unit by unit.

use genus_core::math::{log_sum_exp, softplus};
use genus_core::{Result, Stop};
use genus_kernels::{Mat, Stream, layer_inputs, sigmoid};
use rayon::prelude::*;

/// Most units whose states are gone through.
pub const ENUMERATED: usize = 25;
/// Units whose states a job goes through.
const LOW: usize = 12;
/// Chains of a job: the numbers of a stream are handed out in groups of so many.
const GROUP: usize = 64;

/// Parameters: of a machine, or of what is left of one when some of its units are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairwise {
    /// Symmetric with a zero diagonal, `[units, units]`.
    pub w: Vec<f32>,
    /// `[units]`
    pub bias: Vec<f32>,
}

/// What going through all states gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// log Σ exp(b·x + ½ xᵀJx), nats.
    pub log_sum: f64,
    /// Mean of each unit.
    pub first: Vec<f64>,
    /// Mean of each product of two, `[units, units]`; the diagonal is [`first`](Self::first).
    pub second: Vec<f64>,
}

impl Pairwise {
    /// Number of units.
    pub fn units(&self) -> usize {
        self.bias.len()
    }

    /// Whether no two units are connected.
    pub fn independent(&self) -> bool {
        self.w.iter().all(|w| *w == 0.0)
    }

    /// What is left when the first units are `known`.
    pub fn given(&self, known: &[f32]) -> Self {
        let (n, k) = (self.units(), known.len());
        let mut bias = self.bias[k..].to_vec();
        for (row, v) in self.w.chunks_exact(n).zip(known) {
            bias.iter_mut().zip(&row[k..]).for_each(|(b, w)| *b += w * v);
        }
        Self { w: self.w.chunks_exact(n).skip(k).flat_map(|row| &row[k..]).copied().collect(), bias }
    }

    /// b·x + ½ xᵀJx of each row.
    pub fn exponents(&self, x: &[f32]) -> Vec<f64> {
        let n = self.units();
        let inputs = layer_inputs(x, n, Mat::rows(&self.w, n), &self.bias);
        let rows = x.chunks_exact(n).zip(inputs.chunks_exact(n));
        rows.map(|(x, a)| {
            let each = x.iter().zip(a).zip(&self.bias);
            0.5 * each.map(|((x, a), b)| f64::from(*x) * (f64::from(*a) + f64::from(*b))).sum::<f64>()
        })
        .collect()
    }

    /// Exponents of all states of the lower units while the others are those of `high`; unit k of a state is its bit k.
    fn states(&self, high: usize) -> Vec<f64> {
        let n = self.units();
        let low = n.min(LOW);
        // What each unit receives, and the exponent, while lower units are 0.
        let mut fields: Vec<f64> = self.bias.iter().map(|b| f64::from(*b)).collect();
        let mut exponent = 0.0;
        let turn = |k: usize, sign: f64, fields: &mut [f64], exponent: &mut f64| {
            *exponent += sign * fields[k];
            fields.iter_mut().zip(&self.w[k * n..][..n]).for_each(|(f, w)| *f += sign * f64::from(*w));
        };
        for k in (low..n).filter(|k| high >> (k - low) & 1 == 1) {
            turn(k, 1.0, &mut fields, &mut exponent);
        }
        let mut found = vec![0.0; 1 << low];
        found[0] = exponent;
        // Neighbours of a Gray code differ in one unit.
        for i in 1usize..1 << low {
            let (k, code) = (i.trailing_zeros() as usize, i ^ (i >> 1));
            turn(k, if code >> k & 1 == 1 { 1.0 } else { -1.0 }, &mut fields[..n], &mut exponent);
            found[code] = exponent;
        }
        found
    }

    fn jobs(&self) -> std::ops::Range<usize> {
        0..1 << self.units().saturating_sub(LOW)
    }

    /// log Σ exp(b·x + ½ xᵀJx) over all states, nats.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if `stop` is asked for.
    pub fn log_sum(&self, stop: &Stop) -> Result<f64> {
        if self.independent() {
            return Ok(self.bias.iter().map(|b| softplus(f64::from(*b))).sum());
        }
        let parts = self.jobs().into_par_iter().map(|high| {
            stop.check()?;
            Ok(log_sum_exp(self.states(high)))
        });
        Ok(log_sum_exp(parts.collect::<Result<Vec<f64>>>()?))
    }

    /// Sum and means over all states.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if `stop` is asked for.
    pub fn moments(&self, stop: &Stop) -> Result<Moments> {
        let (n, log_sum) = (self.units(), self.log_sum(stop)?);
        let low = n.min(LOW);
        let bits = |code: usize| (0..usize::BITS as usize).filter(move |k| code >> k & 1 == 1);
        // Of the lower units' states each, whatever the others are; and of each job.
        let zero = || (vec![0.0; 1 << low], vec![0.0; n * n]);
        let add = |(mut a, mut b): (Vec<f64>, Vec<f64>), (c, d): (Vec<f64>, Vec<f64>)| {
            a.iter_mut().zip(c).for_each(|(a, c)| *a += c);
            b.iter_mut().zip(d).for_each(|(b, d)| *b += d);
            (a, b)
        };
        let jobs: Vec<usize> = self.jobs().collect();
        // So many parts at most, added in order: the same bits at any number of threads.
        let parts: Vec<(Vec<f64>, Vec<f64>)> = jobs
            .par_chunks(jobs.len().div_ceil(32))
            .map(|jobs| {
                let (mut states, mut second) = zero();
                for high in jobs {
                    stop.check()?;
                    let p: Vec<f64> = self.states(*high).iter().map(|e| libm::exp(e - log_sum)).collect();
                    states.iter_mut().zip(&p).for_each(|(s, p)| *s += p);
                    let total: f64 = p.iter().sum();
                    let mut each = vec![0.0; low];
                    for (code, p) in p.iter().enumerate() {
                        bits(code).for_each(|k| each[k] += p);
                    }
                    for a in bits(*high).map(|k| low + k) {
                        bits(*high).for_each(|k| second[a * n + low + k] += total);
                        each.iter().enumerate().for_each(|(k, p)| second[a * n + k] += p);
                    }
                }
                Ok((states, second))
            })
            .collect::<Result<_>>()?;
        let (states, mut second) = parts.into_iter().fold(zero(), add);
        for (code, p) in states.iter().enumerate() {
            for a in bits(code) {
                bits(code).for_each(|b| second[a * n + b] += p);
            }
        }
        for a in 0..low {
            (low..n).for_each(|b| second[a * n + b] = second[b * n + a]);
        }
        Ok(Moments { log_sum, first: (0..n).map(|k| second[k * n + k]).collect(), second })
    }

    /// Draws every unit that is not held anew given all others, one after the other, at an inverse temperature between independent
    /// units with inputs `base` and the machine: a transition that leaves that law as it is. Gives the probabilities from which
    /// units were drawn.
    ///
    /// # Shapes
    /// x `[chains, units]`, held as x with NaN for what is free, or empty
    pub fn sweep(&self, x: &mut [f32], held: &[f32], base: &[f32], beta: f32, stream: Stream) -> Vec<f32> {
        let n = self.units();
        let mut means = x.to_vec();
        let groups = x.par_chunks_mut(GROUP * n).zip(means.par_chunks_mut(GROUP * n)).enumerate();
        groups.for_each(|(g, (x, means))| {
            let chains = x.len() / n;
            // Units side by side of one chain become chains side by side of one unit.
            let mut columns = vec![0.0f32; n * GROUP];
            for (c, row) in x.chunks_exact(n).enumerate() {
                row.iter().enumerate().for_each(|(i, v)| columns[i * GROUP + c] = *v);
            }
            let mut u = [0.0f32; GROUP];
            for i in 0..n {
                let rest = (1.0 - beta) * base.get(i).copied().unwrap_or(0.0) + beta * self.bias[i];
                let mut a = [rest; GROUP];
                for (column, w) in columns.chunks_exact(GROUP).zip(&self.w[i * n..][..n]) {
                    a.iter_mut().zip(column).for_each(|(a, v)| *a += beta * w * v);
                }
                stream.fill((g * n + i) * GROUP, &mut u);
                for c in 0..chains {
                    let p = sigmoid(a[c]);
                    means[c * n + i] = p;
                    columns[i * GROUP + c] = match held.get((g * GROUP + c) * n + i) {
                        Some(held) if !held.is_nan() => *held,
                        _ => f32::from(u8::from(u[c] < p)),
                    };
                }
            }
            for (c, row) in x.chunks_exact_mut(n).enumerate() {
                row.iter_mut().enumerate().for_each(|(i, v)| *v = columns[i * GROUP + c]);
            }
        });
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;

    fn machine(n: usize, scale: f32) -> Pairwise {
        let rng = &mut Seed::from(4).rng();
        let mut w = vec![0.0; n * n];
        for a in 0..n {
            for b in 0..a {
                let v = scale * rng.normal() as f32;
                (w[a * n + b], w[b * n + a]) = (v, v);
            }
        }
        Pairwise { w, bias: (0..n).map(|_| scale * rng.normal() as f32).collect() }
    }

    fn rows(n: usize) -> Vec<f32> {
        (0..1usize << n).flat_map(|s| (0..n).map(move |k| (s >> k & 1) as f32)).collect()
    }

    /// Against a loop over rows and pairs, for fewer and for more units than one job has.
    #[test]
    fn sums_and_moments_are_those_of_all_rows() {
        for n in [1, 2, 5, 14] {
            let m = machine(n, 0.6);
            let all = rows(n);
            let exponent = |x: &[f32]| -> f64 {
                let pair = |a: usize, b: usize| f64::from(x[a] * x[b]) * f64::from(m.w[a * n + b]);
                let pairs: f64 =
                    (0..n).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| pair(a, b)).sum();
                pairs + x.iter().zip(&m.bias).map(|(x, b)| f64::from(x * b)).sum::<f64>()
            };
            let each: Vec<f64> = all.chunks_exact(n).map(exponent).collect();
            let want = log_sum_exp(each.clone());
            let got = m.moments(&Stop::new()).unwrap();
            assert!((got.log_sum - want).abs() < 1e-9, "{n}: {} {want}", got.log_sum);
            for (a, b) in (0..n).flat_map(|a| (0..n).map(move |b| (a, b))) {
                let mean: f64 = all
                    .chunks_exact(n)
                    .zip(&each)
                    .map(|(x, e)| f64::from(x[a] * x[b]) * (e - want).exp())
                    .sum();
                assert!((got.second[a * n + b] - mean).abs() < 1e-9, "{n} {a} {b}");
            }
            for (got, want) in m.exponents(&all).iter().zip(&each) {
                assert!((got - want).abs() < 1e-5, "{got} {want}");
            }
        }
    }

    /// p(known, rest) = exp(what the known contribute) · p(rest | known).
    #[test]
    fn what_is_left_has_the_rest_of_the_exponent() {
        let m = machine(6, 0.8);
        let known = [1.0, 0.0, 1.0];
        let left = m.given(&known);
        for rest in rows(3).chunks_exact(3) {
            let whole = [&known[..], rest].concat();
            let alone = [&known[..], &[0.0; 3]].concat();
            let want = m.exponents(&whole)[0] - m.exponents(&alone)[0];
            assert!((left.exponents(rest)[0] - want).abs() < 1e-5);
        }
    }

    /// 40,000 chains that begin with the law of an inverse temperature keep it through three sweeps, with one unit held the law given
    /// it: chi-square with 15 and 7 degrees of freedom below 60 and 45, false alarm 3e-7 and 1e-7.
    #[test]
    fn sweeps_keep_the_law() {
        let (n, beta) = (4, 0.7);
        let m = machine(n, 1.0);
        let base = [0.3, -0.2, 0.5, 0.1];
        let all = rows(n);
        let law = |keep: &dyn Fn(&[f32]) -> bool| {
            let nats: Vec<f64> = all
                .chunks_exact(n)
                .zip(m.exponents(&all))
                .map(|(x, e)| {
                    let at_base: f64 = x.iter().zip(base).map(|(x, b)| f64::from(x * b)).sum();
                    let mixed = f64::from(beta) * e + (1.0 - f64::from(beta)) * at_base;
                    if keep(x) { mixed } else { f64::NEG_INFINITY }
                })
                .collect();
            let z = log_sum_exp(nats.clone());
            nats.into_iter().map(|v| (v - z).exp()).collect::<Vec<f64>>()
        };
        for held in [false, true] {
            let law = law(&|x: &[f32]| !held || x[1] == 1.0);
            let mut x = Vec::new();
            for (row, p) in all.chunks_exact(n).zip(&law) {
                (0..(p * 40_000.0).round() as usize).for_each(|_| x.extend_from_slice(row));
            }
            let count = x.len() / n;
            let fixed: Vec<f32> = if held {
                (0..x.len()).map(|i| if i % n == 1 { 1.0 } else { f32::NAN }).collect()
            } else {
                Vec::new()
            };
            for s in 0..3 {
                m.sweep(&mut x, &fixed, &base, beta, Stream { key: 8, stream: s });
            }
            let mut counts = [0.0f64; 16];
            x.chunks_exact(n)
                .for_each(|x| counts[(x[0] + 2.0 * x[1] + 4.0 * x[2] + 8.0 * x[3]) as usize] += 1.0);
            let n = count as f64;
            let chi: f64 = law
                .iter()
                .zip(counts)
                .filter(|(p, _)| **p > 0.0)
                .map(|(p, c)| (c - p * n).powi(2) / (p * n))
                .sum();
            assert!(chi < if held { 45.0 } else { 60.0 }, "{chi} {counts:?}");
            assert!(law.iter().zip(counts).all(|(p, c)| *p > 0.0 || c == 0.0));
        }
    }
}
