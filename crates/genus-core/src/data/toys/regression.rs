//! Two columns that depend linearly on two others and on a kind, with normal noise: what p(x, y | a, b, kind) is can be written down.
//!
//! a ~ N(0, 1), b = a/2 + √¾ N(0, 1), a kind of three at equal odds, and (x, y) ~ N([`mean`], [`COVARIANCE`]).

use crate::Rng;
use crate::math::{LN_2PI, log_mean_exp};

/// The kinds.
pub const KINDS: [&str; 3] = ["red", "green", "blue"];

/// Covariance of x and y given the others.
pub const COVARIANCE: [[f64; 2]; 2] = [[0.25, 0.12], [0.12, 0.16]];

/// How far along [`ALONG`] a kind moves the mean.
const SHIFT: [f64; 3] = [-1.0, 0.0, 2.0];
const ALONG: [f64; 2] = [1.0, -0.6];

/// log |Σ| of [`COVARIANCE`].
fn log_det() -> f64 {
    let [[a, b], [_, d]] = COVARIANCE;
    libm::log(a * d - b * b)
}

/// uᵀ Σ⁻¹ u.
fn square(u: [f64; 2]) -> f64 {
    let [[a, b], [_, d]] = COVARIANCE;
    (d * u[0] * u[0] - 2.0 * b * u[0] * u[1] + a * u[1] * u[1]) / (a * d - b * b)
}

/// Mean of x and y given a, b and the number of the kind.
pub fn mean(a: f64, b: f64, kind: usize) -> [f64; 2] {
    let s = SHIFT[kind];
    [1.0 + 0.8 * a - 0.5 * b + s * ALONG[0], -0.5 + 0.3 * a + 0.9 * b + s * ALONG[1]]
}

/// log p(x, y | a, b, kind), nats.
pub fn log_given([x, y]: [f64; 2], a: f64, b: f64, kind: usize) -> f64 {
    let m = mean(a, b, kind);
    -LN_2PI - 0.5 * (log_det() + square([x - m[0], y - m[1]]))
}

/// log p(a, b), nats: the variance of b is 1 too, their covariance ½.
fn log_others(a: f64, b: f64) -> f64 {
    -LN_2PI - 0.5 * (libm::log(0.75) + (a * a - a * b + b * b) / 0.75)
}

/// log p(x, y, a, b), nats.
pub(super) fn log_density(row: [f64; 4]) -> f64 {
    let [x, y, a, b] = row;
    log_others(a, b) + log_mean_exp(&[0, 1, 2].map(|kind| log_given([x, y], a, b, kind)))
}

/// x, y, a, b, and the number of the kind.
pub(super) fn draw(rng: &mut Rng, row: &mut [f32]) -> u32 {
    let kind = rng.below(KINDS.len());
    let a = rng.normal();
    let b = 0.5 * a + 0.75f64.sqrt() * rng.normal();
    let [[s, c], [_, t]] = COVARIANCE;
    let (u, v) = (rng.normal(), rng.normal());
    let m = mean(a, b, kind);
    let x = m[0] + s.sqrt() * u;
    let y = m[1] + c / s.sqrt() * u + (t - c * c / s).sqrt() * v;
    row.iter_mut().zip([x, y, a, b]).for_each(|(slot, v)| *slot = v as f32);
    kind as u32
}

/// Entropy of two normal columns whose covariance has this determinant, nats.
fn of_normals(log_det: f64) -> f64 {
    LN_2PI + 1.0 + 0.5 * log_det
}

/// What not knowing the kind adds to the entropy of x and y, nats: means that lie on a line are told apart along it alone, where the
/// noise is a standard normal. By the trapezoidal rule, which has converged.
fn of_kind() -> f64 {
    let unit = square(ALONG).sqrt();
    let at = |t: f64| log_mean_exp(&SHIFT.map(|s| -0.5 * (LN_2PI + (t - s * unit).powi(2))));
    let (low, step, n) = (-unit - 12.0, 0.01, ((3.0 * unit + 24.0) / 0.01) as usize);
    let each = (0..=n).map(|i| at(low + step * i as f64)).map(|l| -l * libm::exp(l));
    step * each.sum::<f64>() - 0.5 * (LN_2PI + 1.0)
}

/// Entropy of the rows that are left where these columns are given, nats, where it is known.
pub(super) fn entropy(given: &[String]) -> Option<f64> {
    let is = |name: &str| given.iter().any(|g| g == name);
    let kind = is("kind") || is("class");
    let others = [is("a"), is("b")];
    if given.len() != usize::from(kind) + others.iter().filter(|o| **o).count() {
        return None;
    }
    let rest = of_normals(log_det()) + if kind { 0.0 } else { of_kind() };
    match others {
        [true, true] => Some(rest),
        [false, false] => Some(rest + of_normals(libm::log(0.75))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    /// Mean of −log p(x, y | a, b, kind) over 20,000 draws against the entropy, five standard errors: false alarm 6e-7. And moments of the
    /// noise.
    #[test]
    fn draws_follow_the_stated_law() {
        let mut rng = Seed::from(5).rng();
        let (mut sum, mut squares, mut moments) = (0.0, 0.0, [0.0; 3]);
        let n = 20_000;
        for _ in 0..n {
            let mut row = [0.0; 4];
            let kind = draw(&mut rng, &mut row) as usize;
            let [x, y, a, b] = row.map(f64::from);
            let l = -log_given([x, y], a, b, kind);
            (sum, squares) = (sum + l, squares + l * l);
            let m = mean(a, b, kind);
            let (u, v) = (x - m[0], y - m[1]);
            moments.iter_mut().zip([u * u, u * v, v * v]).for_each(|(m, q)| *m += q / f64::from(n));
        }
        let n = f64::from(n);
        let (mean, var) = (sum / n, squares / n - (sum / n).powi(2));
        let names = ["a".to_owned(), "kind".into(), "b".into()];
        let h = entropy(&names).unwrap();
        assert!((mean - h).abs() < 5.0 * (var / n).sqrt(), "{mean} {h}");
        assert!((h - (LN_2PI + 1.0 + 0.5 * 0.0256f64.ln())).abs() < 1e-12);
        for (got, want) in moments.into_iter().zip([0.25, 0.12, 0.16]) {
            assert!((got - want).abs() < 0.01, "{moments:?}");
        }
    }

    #[test]
    fn entropies_are_known_where_all_or_no_numbers_are_given() {
        let of = |names: &[&str]| entropy(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        let (all, none) = (of(&["a", "b", "kind"]).unwrap(), of(&[]).unwrap());
        assert!((of(&["kind"]).unwrap() - all - of_normals(0.75f64.ln())).abs() < 1e-12);
        // The kind is worth less than ln 3, and more than nothing.
        let kind = of(&["a", "b"]).unwrap() - all;
        assert!(kind > 0.5 && kind < 3f64.ln() && none > all, "{kind}");
        assert_eq!([of(&["a"]), of(&["x"]), of(&["a", "b", "x"])], [None; 3]);
    }
}
