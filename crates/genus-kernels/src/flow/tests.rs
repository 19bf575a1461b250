use super::*;
use crate::Activation;

fn wave(n: usize, s: f32) -> Vec<f32> {
    (0..n).map(|i| 0.8 * ((i as f32 + s) * 1.7).sin()).collect()
}

const SPLINE: Warp = Warp::Spline { bins: 5, bound: 2.0 };
const AFFINE: Warp = Warp::Affine { bound: 1.5 };

fn stacks() -> Vec<(&'static str, Stack)> {
    let tanh = Activation::Tanh;
    let coupling = |d, kept: &[usize], c, hidden: &[usize], warp| {
        Step::coupling(d, kept.to_vec(), c, hidden, tanh, warp)
    };
    let masked = |order: &[usize], inverse, c, hidden: &[usize], warp| {
        Step::autoregressive(order.to_vec(), inverse, c, hidden, tanh, warp)
    };
    vec![
        (
            "shifts",
            Stack::new(
                4,
                0,
                vec![
                    coupling(4, &[0, 2], 0, &[6], Warp::Shift),
                    coupling(4, &[3, 1], 0, &[5, 3], Warp::Shift),
                ],
            ),
        ),
        (
            "affine",
            Stack::new(3, 0, vec![coupling(3, &[1], 0, &[7], AFFINE), coupling(3, &[2, 0], 0, &[], AFFINE)]),
        ),
        (
            "given",
            Stack::new(3, 2, vec![coupling(3, &[1], 2, &[7], AFFINE), coupling(3, &[0, 2], 2, &[4], SPLINE)]),
        ),
        (
            "splines",
            Stack::new(2, 0, vec![coupling(2, &[0], 0, &[9, 4], SPLINE), coupling(2, &[1], 0, &[6], SPLINE)]),
        ),
        (
            "masked",
            Stack::new(
                4,
                0,
                vec![
                    masked(&[0, 1, 2, 3], false, 0, &[11, 8], AFFINE),
                    masked(&[3, 1, 0, 2], false, 0, &[9], SPLINE),
                ],
            ),
        ),
        ("masked, given", Stack::new(3, 2, vec![masked(&[2, 0, 1], false, 2, &[12, 10], SPLINE)])),
        (
            "inverse",
            Stack::new(
                4,
                0,
                vec![
                    masked(&[0, 1, 2, 3], true, 0, &[11, 8], AFFINE),
                    masked(&[3, 1, 0, 2], true, 0, &[9], SPLINE),
                ],
            ),
        ),
        (
            "inverse, given",
            Stack::new(
                3,
                2,
                vec![
                    masked(&[2, 0, 1], true, 2, &[12], AFFINE),
                    masked(&[0, 1, 2], true, 2, &[], Warp::Shift),
                ],
            ),
        ),
        (
            "one value",
            Stack::new(
                1,
                0,
                vec![
                    masked(&[0], false, 0, &[4], SPLINE),
                    coupling(1, &[], 0, &[3], AFFINE),
                    coupling(1, &[0], 0, &[3], AFFINE),
                ],
            ),
        ),
        (
            "one value, given",
            Stack::new(1, 3, vec![masked(&[0], true, 3, &[4], SPLINE), coupling(1, &[], 3, &[5], SPLINE)]),
        ),
    ]
}

/// Parameters that obey the masks.
fn parameters(stack: &Stack, s: f32) -> Vec<f32> {
    let mut p = wave(stack.parameters(), s);
    stack.mask(&mut p);
    p
}

/// log |det ∂y/∂x| is that of difference quotients, masks hold, the inverse brings rows back with the opposite determinant.
#[test]
fn determinants_and_inverses() {
    for (name, stack) in stacks() {
        let (d, c, rows) = (stack.dims(), stack.context(), 70);
        let (x, context, p) = (wave(rows * d, 0.3), wave(rows * c, 1.9), parameters(&stack, 0.7));
        let passed = stack.forward(&x, &context, &p, false);
        let back = stack.inverse(&passed.y, &context, &p);
        for (i, (a, b)) in back.y.iter().zip(&x).enumerate() {
            // What was rounded comes back larger where the map is flat.
            let flat = 1.0 + (-passed.log_det[i / d]).exp() as f32;
            assert!((a - b).abs() < 2e-5 + 3e-6 * flat, "{name}: {a} {b}");
        }
        for (a, b) in back.log_det.iter().zip(&passed.log_det) {
            assert!((a + b).abs() < 1e-4 + 2e-5 * (1.0 + (-b).exp()), "{name}: {a} {b}");
        }
        for r in [0, 33, 69] {
            let (row, of) = (&x[r * d..][..d], &context[r * c..][..c]);
            let log = |h: f32| {
                let mut jacobian = vec![0.0; d * d];
                for i in 0..d {
                    let at = |by: f32| {
                        let mut row = row.to_vec();
                        row[i] += by;
                        stack.forward(&row, of, &p, false).y
                    };
                    let (up, down) = (at(h), at(-h));
                    for j in 0..d {
                        jacobian[j * d + i] = f64::from(up[j] - down[j]) / f64::from(2.0 * h);
                    }
                }
                determinant(&mut jacobian, d).abs().ln()
            };
            // Long steps miss how a spline bends, short ones round.
            let logs = [4e-3f32, 1e-3, 2.5e-4].map(log);
            let close = |log: &f64| (log - passed.log_det[r]).abs() < 4e-3;
            assert!(logs.iter().any(close), "{name} {r}: {logs:?} {}", passed.log_det[r]);
        }
    }
}

fn determinant(m: &mut [f64], d: usize) -> f64 {
    let mut det = 1.0;
    for i in 0..d {
        let pivot = (i..d).max_by(|a, b| m[a * d + i].abs().total_cmp(&m[b * d + i].abs())).unwrap();
        if pivot != i {
            (0..d).for_each(|j| m.swap(i * d + j, pivot * d + j));
            det = -det;
        }
        det *= m[i * d + i];
        for r in i + 1..d {
            let f = m[r * d + i] / m[i * d + i];
            (i..d).for_each(|j| m[r * d + j] -= f * m[i * d + j]);
        }
    }
    det
}

/// Every gradient against central differences of Σ weight · (y, log det).
#[test]
fn gradients() {
    for (name, stack) in stacks() {
        let (d, c, rows) = (stack.dims(), stack.context(), 3);
        let (x, context, p) = (wave(rows * d, 0.3), wave(rows * c, 1.9), parameters(&stack, 0.7));
        let (dy, dlog) = (wave(rows * d, 2.6), wave(rows, 3.3));
        let total = |x: &[f32], context: &[f32], p: &[f32]| {
            let passed = stack.forward(x, context, p, false);
            let y: f64 = passed.y.iter().zip(&dy).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            y + passed.log_det.iter().zip(&dlog).map(|(a, b)| a * f64::from(*b)).sum::<f64>()
        };
        let kept = stack.forward(&x, &context, &p, true).kept;
        let g = stack.backward(&context, &p, &kept, dy.clone(), &dlog);
        let check = |what: &str, found: &[f32], at: &dyn Fn(usize, f32) -> f64| {
            for (i, found) in found.iter().enumerate() {
                // The slope of log det jumps at the knots of a spline, where a step from one side to the other tells nothing: then a shorter
                // one does, and rounds more.
                let wants = [4e-3f32, 1e-3, 2.5e-4].map(|h| (at(i, h) - at(i, -h)) / f64::from(2.0 * h));
                let close = |want: &f64| (f64::from(*found) - want).abs() < 4e-3 * (1.0 + want.abs());
                assert!(wants.iter().any(close), "{name} {what} {i}: {found} {wants:?}");
            }
        };
        let moved = |of: &[f32], i: usize, h: f32| {
            let mut of = of.to_vec();
            of[i] += h;
            of
        };
        check("x", &g.x, &|i, h| total(&moved(&x, i, h), &context, &p));
        check("context", &g.context, &|i, h| total(&x, &moved(&context, i, h), &p));
        let mut dropped = vec![1.0; p.len()];
        stack.mask(&mut dropped);
        let kept_weights: Vec<usize> = (0..p.len()).filter(|i| dropped[*i] != 0.0).collect();
        for (kept, g) in dropped.iter().zip(&g.parameters) {
            assert!(*kept != 0.0 || *g == 0.0, "{name}: a dropped weight has a gradient");
        }
        // Weights of units that nothing sees have none; all others have one.
        let found: Vec<f32> = kept_weights.iter().map(|i| g.parameters[*i]).collect();
        check("parameter", &found, &|i, h| total(&x, &context, &moved(&p, kept_weights[i], h)));
    }
}

#[test]
fn same_bits_at_any_thread_count() {
    for (name, stack) in stacks() {
        let rows = 300;
        let (x, context, p) =
            (wave(rows * stack.dims(), 0.3), wave(rows * stack.context(), 1.9), parameters(&stack, 0.7));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let passed = stack.forward(&x, &context, &p, true);
                let back = stack.inverse(&passed.y, &context, &p);
                let g = stack.backward(&context, &p, &passed.kept, x.clone(), &wave(rows, 0.2));
                (passed, back, g)
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3), "{name}");
    }
}

#[test]
fn blocks_are_alike() {
    let sizes = [0, 1, 64, 65, 100, 256, 300].map(block);
    assert_eq!(sizes, [1, 1, 32, 33, 50, 128, 75]);
}
