//! Eight unit squares of a 4×4 board, uniform, scaled by 2 (the definition of Grathwohl et al. 2019).

use crate::Rng;

/// Steps per unit that a coordinate is drawn in. With them, all coordinates are exact in single precision and
/// none falls on the edge of its square, where rounding would put it outside the support.
const STEPS: usize = 1 << 20;

pub(super) fn draw(rng: &mut Rng) -> [f64; 2] {
    let mut inside = |n: usize| (rng.below(n * STEPS) as f64 + 0.5) / STEPS as f64;
    let x = inside(4) - 2.0;
    // Two squares per column: one at 0..1 and one at −2..−1, shifted by 1 in every other column.
    let y = inside(2);
    let y = if y < 1.0 { y } else { y - 3.0 };
    [2.0 * x, 2.0 * (y + x.floor().rem_euclid(2.0))]
}

pub(super) fn log_density([x, y]: [f64; 2]) -> f64 {
    let (column, row) = ((x / 2.0).floor(), (y / 2.0).floor());
    let on_board = (-2.0..2.0).contains(&column) && (-2.0..2.0).contains(&row);
    // Eight squares of side 2.
    if on_board && (column + row).rem_euclid(2.0) == 0.0 { -libm::log(32.0) } else { f64::NEG_INFINITY }
}
