//! The maps of single values that flows are made of: y = g(x; parameters), increasing in x, with log dy/dx.
//!
//! Sixteen values at a time go through straight-line code, one in each lane of a vector. Whatever the parameters are, results and
//! gradients are finite: slopes are bounded, and what lies beyond a spline is clamped before anything is divided.

use crate::{multiversion, scalar};

/// An increasing map of the line, given by parameters that a network makes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warp {
    /// y = x + t, parameter t (Dinh, Krueger & Bengio 2014).
    Shift,
    /// y = x e^s + t with s = bound · tanh(raw / bound); parameters raw, t (Dinh, Sohl-Dickstein & Bengio 2017).
    Affine {
        /// Largest |s|.
        bound: f32,
    },
    /// A monotone spline of rational quadratics on \[−bound, bound\], the identity beyond; parameters: logits of the widths of the bins,
    /// of their heights, and slopes at the inner knots before a softplus (Durkan et al. 2019, equations 4 to 8).
    Spline {
        /// Bins, from 2 to [`MAX_BINS`](Self::MAX_BINS).
        bins: usize,
        /// Where it begins and ends.
        bound: f32,
    },
}

/// Values that go through together.
const LANES: usize = 16;
type Lane = [f32; LANES];

/// Least width and height of a bin, as a share of the interval, and least slope at a knot.
const LEAST: f32 = 1e-3;
/// ln(e^(1 − LEAST) − 1): with it, a parameter of 0 stands for a slope of 1.
const UNIT: f32 = 0.539_743_2;

/// Parameters of slopes count up to here.
const STEEP: f32 = 50.0;

/// The bin that a value lies in, and what a spline is there.
struct Bin {
    left: Lane,
    width: Lane,
    low: Lane,
    height: Lane,
    /// Slopes at its ends, and the parameters that they come from.
    slope: [Lane; 2],
    raw: [Lane; 2],
    number: [u32; LANES],
}

impl Warp {
    /// Most bins of a spline.
    pub const MAX_BINS: usize = 32;

    /// Parameters of a value.
    pub fn parameters(self) -> usize {
        match self {
            Self::Shift => 1,
            Self::Affine { .. } => 2,
            Self::Spline { bins, .. } => 3 * bins - 1,
        }
    }

    pub(super) fn check(self) {
        let sound = match self {
            Self::Shift => true,
            Self::Affine { bound } => bound > 0.0 && bound <= 20.0,
            Self::Spline { bins, bound } => {
                (2..=Self::MAX_BINS).contains(&bins) && bound > 0.0 && bound.is_finite()
            }
        };
        assert!(sound, "no map has these bounds: {self:?}");
    }

    /// y and log dy/dx of each x.
    pub(super) fn forward(self, x: &[f32], of: &[f32], y: &mut [f32], log: &mut [f32]) {
        self.measure(x, of, [y.len(), log.len()]);
        match self {
            Self::Shift => {
                y.iter_mut().zip(x).zip(of).for_each(|((y, x), t)| *y = x + t);
                log.fill(0.0);
            }
            Self::Affine { bound } => affine(x, of, bound, y, log),
            Self::Spline { bins, bound } => spline(x, of, bins, bound, y, log),
        }
    }

    /// The x of each y, and log dx/dy.
    pub(super) fn inverse(self, y: &[f32], of: &[f32], x: &mut [f32], log: &mut [f32]) {
        self.measure(y, of, [x.len(), log.len()]);
        match self {
            Self::Shift => {
                x.iter_mut().zip(y).zip(of).for_each(|((x, y), t)| *x = y - t);
                log.fill(0.0);
            }
            Self::Affine { bound } => affine_inverse(y, of, bound, x, log),
            Self::Spline { bins, bound } => spline_inverse(y, of, bins, bound, x, log),
        }
    }

    /// From the gradients of y, in `dx`, and of log dy/dx, in `dlog`, to those of x, in `dx`, and of the parameters, in `dof`.
    pub(super) fn backward(self, x: &[f32], of: &[f32], dx: &mut [f32], dlog: &[f32], dof: &mut [f32]) {
        self.measure(x, of, [dx.len(), dlog.len()]);
        assert_eq!(dof.len(), of.len(), "a gradient for each parameter");
        match self {
            Self::Shift => dof.copy_from_slice(dx),
            Self::Affine { bound } => affine_backward(x, of, bound, dx, dlog, dof),
            Self::Spline { bins, bound } => spline_backward(x, of, bins, bound, dx, dlog, dof),
        }
    }

    fn measure(self, x: &[f32], of: &[f32], others: [usize; 2]) {
        self.check();
        assert_eq!(others, [x.len(); 2], "as many results as values");
        assert_eq!(of.len(), x.len() * self.parameters(), "parameters of every value");
    }
}

multiversion! {
    fn affine(x: &[f32], of: &[f32], bound: f32, y: &mut [f32], log: &mut [f32]) {
        for (((x, of), y), log) in x.iter().zip(of.as_chunks::<2>().0).zip(y).zip(log) {
            let s = bound * scalar::tanh(of[0] / bound);
            *y = x * scalar::exp(s) + of[1];
            *log = s;
        }
    }
}

multiversion! {
    fn affine_inverse(y: &[f32], of: &[f32], bound: f32, x: &mut [f32], log: &mut [f32]) {
        for (((y, of), x), log) in y.iter().zip(of.as_chunks::<2>().0).zip(x).zip(log) {
            let s = bound * scalar::tanh(of[0] / bound);
            *x = (y - of[1]) * scalar::exp(-s);
            *log = -s;
        }
    }
}

multiversion! {
    fn affine_backward(x: &[f32], of: &[f32], bound: f32, dx: &mut [f32], dlog: &[f32], dof: &mut [f32]) {
        let each = x.iter().zip(of.as_chunks::<2>().0).zip(dx).zip(dlog).zip(dof.as_chunks_mut::<2>().0);
        for ((((x, of), dx), dlog), dof) in each {
            let squashed = scalar::tanh(of[0] / bound);
            let grown = scalar::exp(bound * squashed);
            dof[0] = (*dx * x * grown + dlog) * (1.0 - squashed * squashed);
            dof[1] = *dx;
            *dx *= grown;
        }
    }
}

/// Parameters of up to [`LANES`] values, parameter by parameter; those of lanes without a value are 0.
#[inline(always)]
fn lanes(of: &[f32], each: usize, to: &mut [Lane]) {
    to.fill([0.0; LANES]);
    for (l, of) in of.chunks_exact(each).enumerate() {
        to.iter_mut().zip(of).for_each(|(to, v)| to[l] = *v);
    }
}

/// Logits to shares that sum to 1.
#[inline(always)]
fn shares(of: &mut [Lane]) {
    let (mut most, mut sum) = ([f32::NEG_INFINITY; LANES], [0.0f32; LANES]);
    for v in of.iter() {
        (0..LANES).for_each(|l| most[l] = most[l].max(v[l]));
    }
    for v in of.iter_mut() {
        for l in 0..LANES {
            v[l] = scalar::exp(v[l] - most[l]);
            sum[l] += v[l];
        }
    }
    for v in of.iter_mut() {
        (0..LANES).for_each(|l| v[l] /= sum[l]);
    }
}

/// The bin of each value, on the axis of x or, with `of_y`, on that of y. `of` holds the parameters and becomes shares for widths and
/// heights.
#[inline(always)]
fn find(at: &Lane, of: &mut [Lane], bins: usize, bound: f32, of_y: bool) -> Bin {
    let (widths, rest) = of.split_at_mut(bins);
    let (heights, slopes) = rest.split_at_mut(bins);
    shares(widths);
    shares(heights);
    let zero = [0.0; LANES];
    let mut bin = Bin {
        left: zero,
        width: zero,
        low: zero,
        height: zero,
        slope: [zero; 2],
        raw: [zero; 2],
        number: [0; LANES],
    };
    let span = 2.0 * bound;
    let rest = 1.0 - bins as f32 * LEAST;
    let (mut left, mut low) = ([-bound; LANES], [-bound; LANES]);
    for k in 0..bins {
        let (before, after) = (k.checked_sub(1).map(|i| slopes[i]), slopes.get(k).copied());
        // Slopes at both ends are 1.
        let (before, after) = (before.unwrap_or(zero), after.unwrap_or(zero));
        for l in 0..LANES {
            // The last bin ends where the interval does.
            let (mut w, mut h) =
                (span * (LEAST + rest * widths[k][l]), span * (LEAST + rest * heights[k][l]));
            if k + 1 == bins {
                (w, h) = (bound - left[l], bound - low[l]);
            }
            let here = k == 0 || at[l] >= if of_y { low[l] } else { left[l] };
            let pick = |new: f32, old: f32| if here { new } else { old };
            bin.left[l] = pick(left[l], bin.left[l]);
            bin.width[l] = pick(w, bin.width[l]);
            bin.low[l] = pick(low[l], bin.low[l]);
            bin.height[l] = pick(h, bin.height[l]);
            bin.raw[0][l] = pick(before[l], bin.raw[0][l]);
            bin.raw[1][l] = pick(after[l], bin.raw[1][l]);
            bin.number[l] = if here { k as u32 } else { bin.number[l] };
            left[l] += w;
            low[l] += h;
        }
    }
    for (slope, raw) in bin.slope.iter_mut().zip(&bin.raw) {
        for l in 0..LANES {
            slope[l] = LEAST + scalar::softplus((raw[l] + UNIT).clamp(-STEEP, STEEP));
        }
    }
    bin
}

/// A group of values in lanes.
#[inline(always)]
fn group(x: &[f32]) -> Lane {
    let mut lane = [0.0; LANES];
    lane[..x.len()].copy_from_slice(x);
    lane
}

multiversion! {
    fn spline(x: &[f32], of: &[f32], bins: usize, bound: f32, y: &mut [f32], log: &mut [f32]) {
        let each = 3 * bins - 1;
        let mut room = [[0.0; LANES]; 3 * Warp::MAX_BINS];
        let groups = x.chunks(LANES).zip(of.chunks(LANES * each)).zip(y.chunks_mut(LANES)).zip(log.chunks_mut(LANES));
        for (((x, of), y), log) in groups {
            let of_lane = &mut room[..each];
            lanes(of, each, of_lane);
            let at = group(x);
            let mut inner = at;
            inner.iter_mut().for_each(|v| *v = v.clamp(-bound, bound));
            let bin = find(&inner, of_lane, bins, bound, false);
            let (mut to, mut logs) = (at, [0.0; LANES]);
            for l in 0..LANES {
                let (d0, d1) = (bin.slope[0][l], bin.slope[1][l]);
                let s = bin.height[l] / bin.width[l];
                let t = ((inner[l] - bin.left[l]) / bin.width[l]).clamp(0.0, 1.0);
                let q = t * (1.0 - t);
                let den = s + (d0 + d1 - 2.0 * s) * q;
                let v = bin.low[l] + bin.height[l] * (s * t * t + d0 * q) / den;
                let slope = s * s * (d1 * t * t + 2.0 * s * q + d0 * (1.0 - t) * (1.0 - t)) / (den * den);
                let within = at[l] > -bound && at[l] < bound;
                to[l] = if within { v } else { at[l] };
                logs[l] = if within { scalar::ln(slope) } else { 0.0 };
            }
            y.copy_from_slice(&to[..x.len()]);
            log.copy_from_slice(&logs[..x.len()]);
        }
    }
}

multiversion! {
    fn spline_inverse(y: &[f32], of: &[f32], bins: usize, bound: f32, x: &mut [f32], log: &mut [f32]) {
        let each = 3 * bins - 1;
        let mut room = [[0.0; LANES]; 3 * Warp::MAX_BINS];
        let groups = y.chunks(LANES).zip(of.chunks(LANES * each)).zip(x.chunks_mut(LANES)).zip(log.chunks_mut(LANES));
        for (((y, of), x), log) in groups {
            let of_lane = &mut room[..each];
            lanes(of, each, of_lane);
            let at = group(y);
            let mut inner = at;
            inner.iter_mut().for_each(|v| *v = v.clamp(-bound, bound));
            let bin = find(&inner, of_lane, bins, bound, true);
            let (mut to, mut logs) = (at, [0.0; LANES]);
            for l in 0..LANES {
                let [d0, d1, h] = [bin.slope[0][l], bin.slope[1][l], bin.height[l]].map(f64::from);
                let s = h / f64::from(bin.width[l]);
                let up = f64::from(inner[l]) - f64::from(bin.low[l]);
                let bend = d0 + d1 - 2.0 * s;
                // a t² + b t + c = 0; the root that does not cancel (Durkan et al. 2019, equations 6 to 8).
                let a = h * (s - d0) + up * bend;
                let b = h * d0 - up * bend;
                let c = -s * up;
                let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
                let t = (2.0 * c / (-b - root)).clamp(0.0, 1.0);
                let q = t * (1.0 - t);
                let den = s + bend * q;
                let slope = s * s * (d1 * t * t + 2.0 * s * q + d0 * (1.0 - t) * (1.0 - t)) / (den * den);
                let within = at[l] > -bound && at[l] < bound;
                let v = (f64::from(bin.left[l]) + t * f64::from(bin.width[l])) as f32;
                to[l] = if within { v } else { at[l] };
                logs[l] = if within { -scalar::ln(slope as f32) } else { 0.0 };
            }
            x.copy_from_slice(&to[..y.len()]);
            log.copy_from_slice(&logs[..y.len()]);
        }
    }
}

multiversion! {
    fn spline_backward(x: &[f32], of: &[f32], bins: usize, bound: f32, dx: &mut [f32], dlog: &[f32], dof: &mut [f32]) {
        let each = 3 * bins - 1;
        let mut room = [[0.0; LANES]; 3 * Warp::MAX_BINS];
        let groups = x
            .chunks(LANES)
            .zip(of.chunks(LANES * each))
            .zip(dx.chunks_mut(LANES))
            .zip(dlog.chunks(LANES))
            .zip(dof.chunks_mut(LANES * each));
        for ((((x, of), dx), dlog), dof) in groups {
            let of_lane = &mut room[..each];
            lanes(of, each, of_lane);
            let at = group(x);
            let mut inner = at;
            inner.iter_mut().for_each(|v| *v = v.clamp(-bound, bound));
            let bin = find(&inner, of_lane, bins, bound, false);
            let (dy, dl) = (group(dx), group(dlog));
            let mut to = dy;
            // Gradients of left end, width, lower end, height and both slopes of the bin.
            let mut grad = [[0.0f32; LANES]; 6];
            for l in 0..LANES {
                let (d0, d1) = (bin.slope[0][l], bin.slope[1][l]);
                let (w, h) = (bin.width[l], bin.height[l]);
                let s = h / w;
                let t = ((inner[l] - bin.left[l]) / w).clamp(0.0, 1.0);
                let q = t * (1.0 - t);
                let bend = d0 + d1 - 2.0 * s;
                // y = low + h A/D, log dy/dx = 2 ln s + ln N − 2 ln D.
                let (a, d) = (s * t * t + d0 * q, s + bend * q);
                let n = d1 * t * t + 2.0 * s * q + d0 * (1.0 - t) * (1.0 - t);
                let (at_, as_) = (2.0 * s * t + d0 * (1.0 - 2.0 * t), t * t);
                let (dt, ds) = (bend * (1.0 - 2.0 * t), 1.0 - 2.0 * q);
                let nt = 2.0 * d1 * t + 2.0 * s * (1.0 - 2.0 * t) - 2.0 * d0 * (1.0 - t);
                let (dd, by_n, by_d) = (1.0 / (d * d), 1.0 / n, 2.0 / d);
                let within = at[l] > -bound && at[l] < bound;
                let (gy, gl) = if within { (dy[l], dl[l]) } else { (0.0, 0.0) };
                let of_t = gy * h * (at_ * d - a * dt) * dd + gl * (nt * by_n - dt * by_d);
                let of_s = gy * h * (as_ * d - a * ds) * dd + gl * (2.0 / s + 2.0 * q * by_n - ds * by_d);
                let of_d0 = gy * h * (q * d - a * q) * dd + gl * ((1.0 - t) * (1.0 - t) * by_n - q * by_d);
                let of_d1 = -gy * h * a * q * dd + gl * (t * t * by_n - q * by_d);
                grad[0][l] = -of_t / w;
                grad[1][l] = -of_t * t / w - of_s * s / w;
                grad[2][l] = gy;
                grad[3][l] = gy * a / d + of_s / w;
                grad[4][l] = of_d0 * scalar::sigmoid(bin.raw[0][l] + UNIT);
                grad[5][l] = of_d1 * scalar::sigmoid(bin.raw[1][l] + UNIT);
                to[l] = if within { of_t / w } else { dy[l] };
            }
            let span = 2.0 * bound * (1.0 - bins as f32 * LEAST);
            for (half, [ends, sizes]) in [[0, 1], [2, 3]].into_iter().enumerate() {
                // What lies before the bin moves its beginning; the last bin ends where the interval does, whatever its own logit.
                let share = &mut of_lane[half * bins..(half + 1) * bins];
                let mut mean = [0.0f32; LANES];
                for (k, share) in share.iter().enumerate() {
                    for l in 0..LANES {
                        mean[l] += share[l] * felt(&bin, &grad, [ends, sizes], k, bins, l);
                    }
                }
                for (k, share) in share.iter_mut().enumerate() {
                    for l in 0..LANES {
                        let g = felt(&bin, &grad, [ends, sizes], k, bins, l);
                        share[l] *= span * (g - mean[l]);
                    }
                }
            }
            for k in 0..bins - 1 {
                for l in 0..LANES {
                    let number = bin.number[l] as usize;
                    let left = if number == k + 1 { grad[4][l] } else { 0.0 };
                    let right = if number == k { grad[5][l] } else { 0.0 };
                    of_lane[2 * bins + k][l] = left + right;
                }
            }
            dx.copy_from_slice(&to[..x.len()]);
            for (l, dof) in dof.chunks_exact_mut(each).enumerate() {
                dof.iter_mut().zip(&*of_lane).for_each(|(to, v)| *to = v[l]);
            }
        }
    }
}

/// The gradient with respect to the size of bin `k`, of which the bin of lane `l` feels that it is its own, or that it lies before it.
/// The last bin has what the others leave: it feels them all the other way round.
#[inline(always)]
fn felt(bin: &Bin, grad: &[Lane; 6], [ends, sizes]: [usize; 2], k: usize, bins: usize, l: usize) -> f32 {
    let number = bin.number[l] as usize;
    let last = number + 1 == bins;
    let before = if last { grad[ends][l] - grad[sizes][l] } else { grad[ends][l] };
    if k < number {
        before
    } else if k == number && !last {
        grad[sizes][l]
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, s: f32) -> Vec<f32> {
        (0..n).map(|i| 1.8 * ((i as f32 + s) * 1.7).sin()).collect()
    }

    /// The spline by its definition, in double precision: y and dy/dx.
    fn definition(x: f64, of: &[f64], bins: usize, bound: f64) -> (f64, f64) {
        if x.abs() >= bound {
            return (x, 1.0);
        }
        let share = |of: &[f64]| -> Vec<f64> {
            let sum: f64 = of.iter().map(|v| v.exp()).sum();
            let least = f64::from(LEAST);
            of.iter().map(|v| 2.0 * bound * (least + (1.0 - bins as f64 * least) * v.exp() / sum)).collect()
        };
        let (w, h) = (share(&of[..bins]), share(&of[bins..2 * bins]));
        let slope = |k: usize| match k {
            0 => 1.0,
            k if k == bins => 1.0,
            k => f64::from(LEAST) + (of[2 * bins + k - 1] + f64::from(UNIT)).exp().ln_1p(),
        };
        let (mut left, mut low, mut k) = (-bound, -bound, 0);
        while k + 1 < bins && x >= left + w[k] {
            (left, low, k) = (left + w[k], low + h[k], k + 1);
        }
        let (s, t) = (h[k] / w[k], (x - left) / w[k]);
        let (d0, d1, q) = (slope(k), slope(k + 1), t * (1.0 - t));
        let den = s + (d0 + d1 - 2.0 * s) * q;
        let y = low + h[k] * (s * t * t + d0 * q) / den;
        (y, s * s * (d1 * t * t + 2.0 * s * q + d0 * (1.0 - t).powi(2)) / (den * den))
    }

    fn value(warp: Warp, x: f64, of: &[f64]) -> (f64, f64) {
        match warp {
            Warp::Shift => (x + of[0], 0.0),
            Warp::Affine { bound } => {
                let s = f64::from(bound) * (of[0] / f64::from(bound)).tanh();
                (x * s.exp() + of[1], s)
            }
            Warp::Spline { bins, bound } => {
                let (y, slope) = definition(x, of, bins, f64::from(bound));
                (y, slope.ln())
            }
        }
    }

    const WARPS: [Warp; 5] = [
        Warp::Shift,
        Warp::Affine { bound: 2.0 },
        Warp::Spline { bins: 8, bound: 3.0 },
        Warp::Spline { bins: 2, bound: 1.5 },
        Warp::Spline { bins: 32, bound: 5.0 },
    ];

    /// Values, logarithms of slopes and all gradients against the definition and its central differences.
    #[test]
    fn follows_the_definition() {
        for warp in WARPS {
            let (n, each) = (37, warp.parameters());
            let (x, of) = (wave(n, 0.3), wave(n * each, 1.1));
            let (mut y, mut log) = (vec![0.0; n], vec![0.0; n]);
            warp.forward(&x, &of, &mut y, &mut log);
            let (dy, dlog) = (wave(n, 2.2), wave(n, 4.4));
            let (mut dx, mut dof) = (dy.clone(), vec![0.0; n * each]);
            warp.backward(&x, &of, &mut dx, &dlog, &mut dof);
            for i in 0..n {
                let of: Vec<f64> = of[i * each..][..each].iter().map(|v| f64::from(*v)).collect();
                let (want, slope) = value(warp, f64::from(x[i]), &of);
                let close = |a: f32, b: f64, by: f64, what: &str| {
                    let off = (f64::from(a) - b).abs();
                    assert!(off < by * (1.0 + b.abs()), "{warp:?} {what} {i}: {a} {b}");
                };
                close(y[i], want, 6e-6, "y");
                // Knots are sums in single precision; where bins are narrow, a value lies elsewhere in its bin by a little.
                close(log[i], slope, 2e-4, "log");
                let total = |x: f64, of: &[f64]| {
                    let (y, log) = value(warp, x, of);
                    f64::from(dy[i]) * y + f64::from(dlog[i]) * log
                };
                let h = 1e-6;
                let x = f64::from(x[i]);
                close(dx[i], (total(x + h, &of) - total(x - h, &of)) / (2.0 * h), 4e-4, "dx");
                for p in 0..each {
                    let moved = |h: f64| {
                        let mut of = of.clone();
                        of[p] += h;
                        total(x, &of)
                    };
                    close(dof[i * each + p], (moved(h) - moved(-h)) / (2.0 * h), 4e-4, "parameter");
                }
            }
        }
    }

    #[test]
    fn the_inverse_brings_values_back() {
        for warp in WARPS {
            let n = 1000;
            let x: Vec<f32> = (0..n).map(|i| (i as f32 - 500.0) * 0.013).collect();
            let of = wave(n * warp.parameters(), 0.7);
            let [mut y, mut log, mut back, mut inverse] = [(); 4].map(|()| vec![0.0; n]);
            warp.forward(&x, &of, &mut y, &mut log);
            warp.inverse(&y, &of, &mut back, &mut inverse);
            for i in 0..n {
                // What was rounded in y comes back as much larger as the map is flat there.
                let by = 1e-6 * (1.0 + x[i].abs() + y[i].abs()) * (1.0 + (-log[i]).exp());
                assert!((back[i] - x[i]).abs() < by, "{warp:?} {i}: {} {}", x[i], back[i]);
                assert!((log[i] + inverse[i]).abs() < 2e-3, "{warp:?} {i}: {} {}", log[i], inverse[i]);
            }
        }
    }

    /// With parameters of zero every map is the identity.
    #[test]
    fn zero_is_the_identity() {
        for warp in WARPS {
            let x = wave(50, 0.9);
            let (mut y, mut log) = (vec![0.0; 50], vec![0.0; 50]);
            warp.forward(&x, &vec![0.0; 50 * warp.parameters()], &mut y, &mut log);
            for i in 0..50 {
                assert!(
                    (x[i] - y[i]).abs() < 2e-6 && log[i].abs() < 2e-6,
                    "{warp:?} {} {} {}",
                    x[i],
                    y[i],
                    log[i]
                );
            }
        }
    }

    /// At the ends of a spline, beyond them, and with parameters that saturate: everything is finite.
    #[test]
    fn nothing_ever_diverges() {
        for warp in WARPS {
            for size in [0.0f32, 30.0, 1e4, 1e30] {
                let x = [
                    0.0,
                    1.5,
                    -1.5,
                    3.0,
                    -3.0,
                    3.0f32.next_down(),
                    -3.0f32.next_down(),
                    5.0,
                    1e6,
                    -1e12,
                    1e-30,
                ];
                let of: Vec<f32> = wave(x.len() * warp.parameters(), 0.2).iter().map(|v| v * size).collect();
                let [mut y, mut log] = [(); 2].map(|()| vec![0.0; x.len()]);
                warp.forward(&x, &of, &mut y, &mut log);
                let (mut dx, mut dof) = (vec![1.0; x.len()], vec![0.0; of.len()]);
                warp.backward(&x, &of, &mut dx, &vec![1.0; x.len()], &mut dof);
                let all = [&y, &log, &dx, &dof];
                assert!(all.iter().all(|v| v.iter().all(|v| v.is_finite())), "{warp:?} {size}: {all:?}");
                let [mut back, mut inverse] = [(); 2].map(|()| vec![0.0; x.len()]);
                warp.inverse(&x, &of, &mut back, &mut inverse);
                assert!(back.iter().chain(&inverse).all(|v| v.is_finite()), "{warp:?} {size}");
            }
        }
    }
}
