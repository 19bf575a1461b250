//! Points or curves in the plane, blurred by an isotropic Gaussian.
//!
//! The density is a sum over points, or an integral along a curve. The integral is taken by a quadrature rule
//! whose nodes lie closer than the width of the blur, where it is exact to rounding.

use crate::math::LN_2PI;
use crate::{Batch, Rng};
use std::f64::consts::{PI, TAU};

/// Where the unblurred points lie.
#[derive(Debug, Clone, Copy)]
enum Skeleton {
    /// Eight points on a circle, as in Grathwohl et al. 2019.
    CircleOfPoints,
    /// Five by five points on a grid, as in Gulrajani et al. 2017.
    GridOfPoints,
    /// Two half circles that hook into each other.
    Moons,
    /// Two arms of one and a half turns.
    Spirals,
    /// Four circles around one centre.
    Rings,
}

/// A skeleton with its blur.
#[derive(Debug)]
pub(super) struct Ridge {
    skeleton: Skeleton,
    /// Standard deviation of the blur.
    sigma: f64,
    /// Points with weights that sum to 1.
    nodes: Vec<([f64; 2], f64)>,
}

/// Divisor of the eight Gaussians in the published definition (√2 to four digits).
const EIGHT: f64 = 1.414;
/// Divisor of the 25 Gaussians in the published definition (√8 to four digits).
const TWENTY_FIVE: f64 = 2.828;
/// Last angle of a spiral.
const TURNS: f64 = 3.0 * PI;

fn on_circle(radius: f64, angle: f64) -> [f64; 2] {
    let (s, c) = libm::sincos(angle);
    [radius * c, radius * s]
}

/// Moon 0 opens downwards, moon 1 upwards; `t` in 0..π.
fn moon(which: usize, t: f64) -> [f64; 2] {
    let [x, y] = on_circle(1.0, t);
    let [x, y] = if which == 0 { [x, y] } else { [1.0 - x, 0.5 - y] };
    [2.0 * x - 1.0, 2.0 * y - 0.2]
}

/// Arm `which` at angle `t` in 0..[`TURNS`].
fn spiral(which: usize, t: f64) -> [f64; 2] {
    on_circle(if which == 0 { t } else { -t } / 3.0, t)
}

/// Circle `which` at angle `t`.
fn ring(which: usize, t: f64) -> [f64; 2] {
    on_circle(0.75 * (which + 1) as f64, t)
}

fn point(which: usize) -> [f64; 2] {
    on_circle(4.0 / EIGHT, which as f64 * PI / 4.0)
}

fn grid_point(which: usize) -> [f64; 2] {
    [which / 5, which % 5].map(|i| 2.0 * (i as f64 - 2.0) / TWENTY_FIVE)
}

/// Nodes and weights of the eight-point Gauss–Legendre rule on −1..1 (the positive half).
const LEGENDRE: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_47),
    (0.960_289_856_497_536_2, 0.101_228_536_290_376_26),
];

/// Nodes in 0..`end` with weights that sum to 1, weighted by `density` of the parameter.
fn quadrature(end: f64, panels: usize, density: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let half = end / (2 * panels) as f64;
    let signed = || LEGENDRE.iter().flat_map(|&(x, w)| [(-x, w), (x, w)]);
    (0..panels)
        .flat_map(|p| signed().map(move |(x, w)| ((2 * p + 1) as f64 * half + half * x, w * half)))
        .map(|(t, w)| (t, w * density(t)))
        .collect()
}

impl Ridge {
    /// The points, where the skeleton is some, and the deviation around them.
    pub(super) fn modes(&self) -> Option<(Batch, f64)> {
        let points = matches!(self.skeleton, Skeleton::CircleOfPoints | Skeleton::GridOfPoints);
        let at = |r: usize, c: usize| self.nodes[r].0[c] as f32;
        points.then(|| (Batch::from_fn(self.nodes.len(), 2, at), self.sigma))
    }

    fn new(skeleton: Skeleton, sigma: f64, nodes: impl Iterator<Item = ([f64; 2], f64)>) -> Self {
        Self { skeleton, sigma, nodes: nodes.collect() }
    }

    /// Radius 4, σ 0.5, all divided by 1.414.
    pub(super) fn circle_of_points() -> Self {
        Self::new(Skeleton::CircleOfPoints, 0.5 / EIGHT, (0..8).map(|i| (point(i), 1.0 / 8.0)))
    }

    /// Points at even coordinates from −4 to 4, σ 0.05, all divided by 2.828.
    pub(super) fn grid_of_points() -> Self {
        Self::new(Skeleton::GridOfPoints, 0.05 / TWENTY_FIVE, (0..25).map(|i| (grid_point(i), 1.0 / 25.0)))
    }

    /// Half circles of radius 2, σ 0.2.
    pub(super) fn moons() -> Self {
        let line = quadrature(PI, 24, |_| 1.0 / PI);
        let both = (0..2).flat_map(|k| line.iter().map(move |&(t, w)| (moon(k, t), 0.5 * w)));
        Self::new(Skeleton::Moons, 0.2, both)
    }

    /// Radius t/3 at angle t from 0 to 3π, with density proportional to t, σ 0.1.
    pub(super) fn spirals() -> Self {
        let line = quadrature(TURNS, 120, |t| 2.0 * t / (TURNS * TURNS));
        let both = (0..2).flat_map(|k| line.iter().map(move |&(t, w)| (spiral(k, t), 0.5 * w)));
        Self::new(Skeleton::Spirals, 0.1, both)
    }

    /// Radii 0.75, 1.5, 2.25 and 3, a quarter of the mass each, σ 0.08.
    pub(super) fn rings() -> Self {
        // On a closed curve equal steps converge faster than any power; these are 0.6 σ on the largest ring.
        const STEPS: usize = 400;
        let nodes = (0..4 * STEPS)
            .map(|i| (ring(i / STEPS, TAU * (i % STEPS) as f64 / STEPS as f64), 0.25 / STEPS as f64));
        Self::new(Skeleton::Rings, 0.08, nodes)
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> [f64; 2] {
        let centre = match self.skeleton {
            Skeleton::CircleOfPoints => point(rng.below(8)),
            Skeleton::GridOfPoints => grid_point(rng.below(25)),
            Skeleton::Moons => moon(rng.below(2), PI * rng.uniform_f64()),
            // The square root turns a uniform number into one with density proportional to itself.
            Skeleton::Spirals => spiral(rng.below(2), TURNS * libm::sqrt(rng.uniform_f64())),
            Skeleton::Rings => ring(rng.below(4), TAU * rng.uniform_f64()),
        };
        centre.map(|c| c + self.sigma * rng.normal())
    }

    pub(super) fn log_density(&self, x: [f64; 2]) -> f64 {
        let squared = |c: &[f64; 2]| {
            let (a, b) = (x[0] - c[0], x[1] - c[1]);
            a * a + b * b
        };
        let near = self.nodes.iter().map(|(c, _)| squared(c)).fold(f64::INFINITY, f64::min);
        let twice = 2.0 * self.sigma * self.sigma;
        let sum: f64 = self
            .nodes
            .iter()
            .map(|(c, w)| (w, (near - squared(c)) / twice))
            // Beyond e^-50 a term is lost in rounding, and most nodes are far from any one point.
            .filter(|(_, e)| *e > -50.0)
            .map(|(w, e)| w * libm::exp(e))
            .sum();
        libm::log(sum) - near / twice - LN_2PI - 2.0 * libm::log(self.sigma)
    }
}
