//! The laws of independent sources.

use genus_core::Rng;

/// The law of a source: exp(−|s/α|^β), normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source {
    /// α.
    pub scale: f64,
    /// β.
    pub shape: f64,
}

impl Source {
    /// log p(s), nats.
    pub fn log_prob(self, s: f64) -> f64 {
        let Self { scale, shape } = self;
        let norm = libm::log(shape / (2.0 * scale)) - libm::lgamma(1.0 / shape);
        norm - libm::pow(s.abs() / scale, shape)
    }

    /// Of largest likelihood: the scale in closed form, the shape by golden sections of its logarithm.
    pub fn fit(s: &[f64]) -> Self {
        let n = s.len() as f64;
        let scale = |shape: f64| {
            let mean = s.iter().map(|s| libm::pow(s.abs(), shape)).sum::<f64>() / n;
            libm::pow(shape * mean, 1.0 / shape).max(f64::MIN_POSITIVE)
        };
        let value = |log_shape: f64| {
            let shape = libm::exp(log_shape);
            libm::log(shape / scale(shape)) - libm::lgamma(1.0 / shape) - 1.0 / shape
        };
        let golden = 0.5 * (5f64.sqrt() - 1.0);
        let (mut low, mut high) = (libm::log(0.3), libm::log(30.0));
        let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
        let (mut at_a, mut at_b) = (value(a), value(b));
        while high - low > 1e-4 {
            if at_a > at_b {
                (high, b, at_b) = (b, a, at_a);
                a = high - golden * (high - low);
                at_a = value(a);
            } else {
                (low, a, at_a) = (a, b, at_b);
                b = low + golden * (high - low);
                at_b = value(b);
            }
        }
        let shape = libm::exp(0.5 * (low + high));
        Self { scale: scale(shape), shape }
    }

    /// |s/α|^β has a gamma law of shape 1/β.
    pub fn draw(self, rng: &mut Rng) -> f64 {
        let size = self.scale * libm::pow(gamma(1.0 / self.shape, rng), 1.0 / self.shape);
        if rng.uniform_f64() < 0.5 { -size } else { size }
    }
}

/// A draw from the gamma law of this shape and scale 1 (Marsaglia & Tsang 2000).
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    if shape < 1.0 {
        let u = rng.uniform_f64().max(f64::MIN_POSITIVE);
        return gamma(shape + 1.0, rng) * libm::pow(u, 1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let z = rng.normal();
        let v = libm::pow(1.0 + c * z, 3.0);
        if v > 0.0 {
            let u = rng.uniform_f64().max(f64::MIN_POSITIVE);
            if libm::log(u) < 0.5 * z * z + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }
}
