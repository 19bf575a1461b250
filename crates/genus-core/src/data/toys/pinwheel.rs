//! Five curved arms: Gaussians beside the centre, each turned by an angle that grows with the distance to it.
//!
//! The turn keeps areas (in polar coordinates it is a shear), so the density is that of the Gaussian before
//! the turn. It differs in that from the pinwheel of Johnson et al. 2016, whose angle depends on one
//! coordinate instead of the distance.

use crate::Rng;
use crate::math::{LN_2PI, log_sum_exp};

const ARMS: usize = 5;
const RADIAL: f64 = 0.3;
const TANGENTIAL: f64 = 0.1;
const RATE: f64 = 0.25;
const SCALE: f64 = 2.0;

fn turn([x, y]: [f64; 2], angle: f64) -> [f64; 2] {
    let (s, c) = libm::sincos(angle);
    [c * x - s * y, s * x + c * y]
}

fn angle(arm: usize, radius: f64) -> f64 {
    std::f64::consts::TAU * arm as f64 / ARMS as f64 + RATE * libm::exp(radius)
}

pub(super) fn draw(rng: &mut Rng) -> [f64; 2] {
    let arm = rng.below(ARMS);
    let z = [1.0 + RADIAL * rng.normal(), TANGENTIAL * rng.normal()];
    turn(z, angle(arm, libm::hypot(z[0], z[1]))).map(|v| SCALE * v)
}

pub(super) fn log_density(x: [f64; 2]) -> f64 {
    let x = x.map(|v| v / SCALE);
    let radius = libm::hypot(x[0], x[1]);
    let arms = (0..ARMS).map(|arm| {
        let z = turn(x, -angle(arm, radius));
        let (a, b) = ((z[0] - 1.0) / RADIAL, z[1] / TANGENTIAL);
        -0.5 * (a * a + b * b)
    });
    log_sum_exp(arms) - libm::log(ARMS as f64) - LN_2PI - libm::log(RADIAL * TANGENTIAL * SCALE * SCALE)
}
