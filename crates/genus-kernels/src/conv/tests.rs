//! Convolutions held to their definition.

use super::*;
use crate::Causal;
use proptest::prelude::*;

fn values(n: usize, salt: u64) -> Vec<f32> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

/// The definition, pixel by pixel in f64: y[o] = Σ x[s·o + tap] w[tap], zeros outside.
fn definition(conv: &Conv, x: &[f32], of: Images, w: &[f32], b: &[f32]) -> Vec<f64> {
    let out = conv.small(of);
    let mut y = Vec::new();
    for i in 0..of.count {
        for oy in 0..out.extents[0] {
            for ox in 0..out.extents[1] {
                for o in 0..conv.outputs {
                    let mut sum = f64::from(b[o]);
                    let mut tap = 0;
                    for row in conv.taps.list() {
                        for t in 0..row.count {
                            let iy = (oy * conv.taps.stride()) as isize + row.dy;
                            let ix = (ox * conv.taps.stride() + t) as isize + row.dx;
                            let inside = iy >= 0
                                && ix >= 0
                                && (iy as usize) < of.extents[0]
                                && (ix as usize) < of.extents[1];
                            for c in 0..conv.inputs {
                                if inside {
                                    let px = (i * of.extents[0] + iy as usize) * of.extents[1] + ix as usize;
                                    sum += f64::from(x[px * conv.inputs + c])
                                        * f64::from(w[(tap * conv.inputs + c) * conv.outputs + o]);
                                }
                            }
                            tap += 1;
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn taps(which: usize) -> Taps {
    match which {
        0 => Taps::causal(3, Causal::A, 1),
        1 => Taps::causal(3, Causal::B, 1),
        2 => Taps::causal(7, Causal::A, 1),
        3 => Taps::full(3, 1, 1),
        4 => Taps::full(4, 2, 1),
        5 => Taps::full(5, 3, 0),
        6 => Taps::full(1, 1, 0),
        _ => Taps::rows(vec![TapRow { dy: -2, dx: -1, count: 3 }, TapRow { dy: 1, dx: 2, count: 1 }]),
    }
}

/// Forward against the definition; every gradient and the transposed convolution against it by adjointness, which for a map that is
/// linear in each argument says all: <A x, y> = <x, Aᵀ y>, for x and for w.
fn held_to_the_definition(
    conv: &Conv,
    count: usize,
    extents: [usize; 2],
    seed: u64,
) -> Result<(), TestCaseError> {
    let of = Images { count, extents, channels: conv.inputs };
    let (x, w, b) =
        (values(of.len(), seed), values(conv.weights(), seed ^ 1), values(conv.outputs, seed ^ 2));
    let y = conv.forward(&x, of, &w, &b, Activation::Identity);
    let want = definition(conv, &x, of, &w, &b);
    prop_assert_eq!(y.len(), want.len());
    let tolerance = 1e-6 * (conv.weights() as f64 / conv.outputs as f64).max(10.0);
    for (y, want) in y.iter().zip(&want) {
        prop_assert!((f64::from(*y) - want).abs() < tolerance, "{} {}", y, want);
    }
    let zero = vec![0.0; conv.outputs];
    let linear = conv.forward(&x, of, &w, &zero, Activation::Identity);
    let dy = values(y.len(), seed ^ 3);
    let g = conv.backward(&x, of, &w, &y, &dy, Activation::Identity, [true; 2]);
    let (dw, db) = (g.w.as_deref().unwrap_or(&[]), g.b.as_deref().unwrap_or(&[]));
    let size = (y.len() as f64).sqrt() * tolerance * 4.0;
    let inner = dot(&linear, &dy);
    prop_assert!((inner - dot(&x, g.x.as_deref().unwrap_or(&[]))).abs() < size);
    prop_assert!((inner - dot(&w, dw)).abs() < size);
    prop_assert_eq!(db.len(), conv.outputs);
    for (o, db) in db.iter().enumerate() {
        let want: f64 = dy.iter().skip(o).step_by(conv.outputs).map(|v| f64::from(*v)).sum();
        prop_assert!((f64::from(*db) - want).abs() < 1e-4 * (1.0 + want.abs()));
    }
    let small = conv.small(of);
    let large = conv.large(small);
    // The smallest input of that output: the input itself, unless the stride left some of it unseen.
    let up = conv.transposed_forward(&dy, small, &w, &vec![0.0; conv.inputs], Activation::Identity);
    prop_assert_eq!(up.len(), large.len());
    let x2 = values(large.len(), seed ^ 4);
    let down = conv.forward(&x2, large, &w, &zero, Activation::Identity);
    let inner = dot(&down, &dy);
    prop_assert!((inner - dot(&x2, &up)).abs() < size);
    let t = conv.transposed_backward(&dy, small, &w, &up, &x2, Activation::Identity, [true; 2]);
    prop_assert!((inner - dot(&dy, t.x.as_deref().unwrap_or(&[]))).abs() < size);
    prop_assert!((inner - dot(&w, t.w.as_deref().unwrap_or(&[]))).abs() < size);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_shape(which in 0usize..8, count in 1usize..11, height in 5usize..17, width in 5usize..33, inputs in 1usize..40, outputs in 1usize..70, seed: u64) {
        held_to_the_definition(&Conv { taps: taps(which), inputs, outputs }, count, [height, width], seed)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// With channels enough for fewer products, and more images than are there at once.
    #[test]
    fn any_shape_that_halves(count in 1usize..70, height in 3usize..17, width in 3usize..17, inputs in 32usize..50, outputs in 32usize..50, seed: u64) {
        held_to_the_definition(&Conv { taps: Taps::full(4, 2, 1), inputs, outputs }, count, [height, width], seed)?;
    }
}

#[test]
fn masks_keep_the_taps_that_they_should() {
    assert_eq!(Taps::causal(7, Causal::A, 1).count(), 24);
    assert_eq!(Taps::causal(3, Causal::B, 1).count(), 5);
    assert_eq!(Taps::causal(1, Causal::A, 3).count(), 1);
    // 6 channels in 3 groups of 2: A lets a group see the earlier ones, B its own as well.
    for (kind, kept) in [(Causal::A, 12.0), (Causal::B, 24.0)] {
        let t = Taps::causal(1, kind, 3);
        let mut w = vec![1.0; 36];
        t.apply(&mut w, 6, 6);
        assert_eq!(w.iter().sum::<f32>(), kept);
        assert_eq!(w[4 * 6 + 1], 0.0, "blue must not reach red");
    }
}

#[test]
fn transposed_extents() {
    let t = Taps::full(4, 2, 1);
    assert_eq!(t.output([28, 28]), [14, 14]);
    assert_eq!(t.input([14, 14]), [28, 28]);
    assert_eq!(Taps::causal(7, Causal::A, 1).output([28, 30]), [28, 30]);
}

#[test]
fn same_bits_at_any_thread_count() {
    let conv = Conv { taps: Taps::causal(3, Causal::B, 1), inputs: 8, outputs: 8 };
    let of = Images { count: 13, extents: [9, 11], channels: 8 };
    let (x, w, b) = (values(of.len(), 1), values(conv.weights(), 2), values(8, 3));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let y = conv.forward(&x, of, &w, &b, Activation::Relu);
            let g = conv.backward(&x, of, &w, &y, &values(y.len(), 4), Activation::Relu, [true; 2]);
            (y, g.x, g.w, g.b)
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}
