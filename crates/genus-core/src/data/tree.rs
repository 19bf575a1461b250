//! Binary rows whose entropy is known exactly: a Bayesian network in which every variable has at most one
//! parent.

use crate::{Batch, Rng, Seed};

/// A distribution over binary rows: variable i depends on one earlier variable.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryTree {
    parents: Vec<Option<usize>>,
    p: Vec<[f64; 2]>,
}

impl BinaryTree {
    /// A random tree over `d` variables; the same seed gives the same tree. Children differ clearly from one
    /// parent value to the other: one probability lies in 0.05..0.45 and the other in 0.55..0.95.
    pub fn new(d: usize, seed: Seed) -> Self {
        Self::with_parents(d, seed, |i, rng| rng.below(i))
    }

    /// As [`new`](Self::new) over the pixels of an image row by row: each depends on its left or its upper neighbour.
    pub fn grid(height: usize, width: usize, seed: Seed) -> Self {
        Self::with_parents(height * width, seed, |i, rng| {
            let left = rng.below(2) == 1;
            if i < width || (left && !i.is_multiple_of(width)) { i - 1 } else { i - width }
        })
    }

    /// The parent of variable i is what `parent` says, for i above 0.
    fn with_parents(d: usize, seed: Seed, parent: impl Fn(usize, &mut Rng) -> usize) -> Self {
        let mut rng = seed.child("binary tree").rng();
        let mut tree = Self { parents: Vec::with_capacity(d), p: Vec::with_capacity(d) };
        for i in 0..d {
            let mut p = [0.05 + 0.4 * rng.uniform_f64(), 0.55 + 0.4 * rng.uniform_f64()];
            if rng.below(2) == 1 {
                p.swap(0, 1);
            }
            tree.parents.push((i > 0).then(|| parent(i, &mut rng)));
            tree.p.push(if i == 0 { [p[0]; 2] } else { p });
        }
        tree
    }

    /// For each variable the one that it depends on, always an earlier one; none for the first.
    pub fn parents(&self) -> &[Option<usize>] {
        &self.parents
    }

    /// For each variable the probability of a 1 given that its parent is 0, and given that it is 1.
    pub fn probabilities(&self) -> &[[f64; 2]] {
        &self.p
    }

    fn given(&self, i: usize, row: &[f32]) -> f64 {
        self.p[i][self.parents[i].map_or(0, |k| usize::from(row[k] > 0.5))]
    }

    /// Log-probability of a row of zeros and ones, nats. Panics if the row is shorter than the tree.
    pub fn log_prob(&self, row: &[f32]) -> f64 {
        (0..self.p.len())
            .map(|i| {
                let p = self.given(i, row);
                libm::log(if row[i] > 0.5 { p } else { 1.0 - p })
            })
            .sum()
    }

    /// Probability of a 1 for each variable.
    pub fn marginals(&self) -> Vec<f64> {
        let mut m: Vec<f64> = Vec::with_capacity(self.p.len());
        for (parent, p) in self.parents.iter().zip(&self.p) {
            m.push(parent.map_or(p[0], |k| p[0] + m[k] * (p[1] - p[0])));
        }
        m
    }

    /// Entropy in nats, exact: the sum over variables of the mean entropy given the parent.
    pub fn entropy(&self) -> f64 {
        let bit = |p: f64| -p * libm::log(p) - (1.0 - p) * libm::log1p(-p);
        let m = self.marginals();
        let given = |(parent, p): (&Option<usize>, &[f64; 2])| {
            let one = parent.map_or(0.0, |k| m[k]);
            (1.0 - one) * bit(p[0]) + one * bit(p[1])
        };
        self.parents.iter().zip(&self.p).map(given).sum()
    }

    /// Draws one row into `row`, which must be as long as the tree.
    pub fn draw(&self, rng: &mut Rng, row: &mut [f32]) {
        for i in 0..self.p.len() {
            row[i] = f32::from(rng.uniform_f64() < self.given(i, row));
        }
    }

    /// Draws `n` rows.
    pub fn sample(&self, n: usize, rng: &mut Rng) -> Batch {
        let mut x = Batch::zeros(n, self.p.len());
        (0..n).for_each(|r| self.draw(rng, x.row_mut(r)));
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_the_entropy_is_their_entropy() {
        for tree in [BinaryTree::new(16, Seed::from(16)), BinaryTree::grid(3, 4, Seed::from(12))] {
            let d = tree.parents().len();
            let (mut mass, mut entropy, mut marginals) = (0.0, 0.0, vec![0.0; d]);
            for code in 0..1u32 << d {
                let row: Vec<f32> = (0..d).map(|i| (code >> i & 1) as f32).collect();
                let l = tree.log_prob(&row);
                mass += l.exp();
                entropy -= l.exp() * l;
                marginals.iter_mut().zip(&row).for_each(|(m, v)| *m += l.exp() * f64::from(*v));
            }
            assert!((mass - 1.0).abs() < 1e-12, "{mass}");
            assert!((entropy - tree.entropy()).abs() < 1e-10, "{entropy} {}", tree.entropy());
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
            assert!(marginals.iter().zip(&tree.marginals()).all(close));
        }
    }

    #[test]
    fn structure() {
        let tree = BinaryTree::new(16, Seed::from(16));
        assert_eq!(tree, BinaryTree::new(16, Seed::from(16)));
        assert_ne!(tree, BinaryTree::new(16, Seed::from(17)));
        assert!(tree.parents()[0].is_none());
        let grid = BinaryTree::grid(3, 4, Seed::from(12));
        let near =
            |(i, p): (usize, &Option<usize>)| p.is_some_and(|k| k + 4 == i || (k + 1 == i && i % 4 > 0));
        assert!(grid.parents().iter().enumerate().skip(1).all(near));
        assert!(tree.parents().iter().enumerate().skip(1).all(|(i, p)| p.is_some_and(|k| k < i)));
        // Knowing the parents must be worth something, or the source would test nothing.
        let bit = |p: f64| -p * p.ln() - (1.0 - p) * (-p).ln_1p();
        let independent: f64 = tree.marginals().into_iter().map(bit).sum();
        assert!(independent - tree.entropy() > 1.0, "{independent} {}", tree.entropy());
    }

    /// Frequencies of 20,000 draws; 5 standard errors for each of 8 variables, false alarm below 5e-6.
    #[test]
    fn draws_have_the_marginals() {
        let tree = BinaryTree::new(8, Seed::from(8));
        let x = tree.sample(20_000, &mut Seed::from(1).rng());
        for (i, m) in tree.marginals().into_iter().enumerate() {
            let f = x.iter().filter(|r| r[i] == 1.0).count() as f64 / 20_000.0;
            assert!((f - m).abs() < 5.0 * (m * (1.0 - m) / 20_000.0).sqrt(), "{i}: {f} {m}");
        }
    }
}
