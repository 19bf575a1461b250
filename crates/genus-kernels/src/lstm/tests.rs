//! The scans held to their definition.

use super::*;
use proptest::prelude::*;

fn values(n: usize, salt: u32) -> Vec<f32> {
    let mix = |i: u32| (i.wrapping_add(salt).wrapping_mul(2_654_435_761)) >> 8;
    (0..n as u32).map(|i| mix(mix(i)) as f32 / 8_388_608.0 - 1.0).collect()
}

type Case = (Lstm, Images, Vec<f32>, Vec<f32>);

/// One of four LSTMs, with images, input and weights that neither saturate nor vanish.
fn case(which: usize, [h, count, height, width]: [usize; 4], salt: u32) -> Case {
    let scan = if which < 2 { Scan::Row } else { Scan::Diagonal };
    let lstm = Lstm { scan, mirrored: which % 2 == 1, hidden: h };
    let of = Images { count, extents: [height, width], channels: 4 * h };
    let w = values(lstm.weights(), salt + 1).iter().map(|v| 2.0 * v / (h as f32).sqrt()).collect();
    (lstm, of, values(of.len(), salt).iter().map(|v| 2.0 * v).collect(), w)
}

/// Adds a state times a tap's weights.
fn see(a: &mut [f64], state: &[f64], w: &[f64]) {
    let n = a.len();
    for (l, s) in state.iter().enumerate() {
        a.iter_mut().zip(&w[l * n..][..n]).for_each(|(a, w)| *a += s * w);
    }
}

/// Cell and state from what the gates receive and the cell before.
fn unit(a: &[f64], before: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (h, sigmoid) = (before.len(), |x: f64| 1.0 / (1.0 + (-x).exp()));
    let cell = |j: usize| sigmoid(a[h + j]) * before[j] + sigmoid(a[j]) * a[3 * h + j].tanh();
    let c: Vec<f64> = (0..h).map(cell).collect();
    let state = (0..h).map(|j| sigmoid(a[2 * h + j]) * c[j].tanh()).collect();
    (c, state)
}

/// The definition, pixel by pixel in f64; the taps as they stand in [`Scan`].
fn definition(lstm: &Lstm, input: &[f64], of: Images, w: &[f64]) -> Vec<f64> {
    let (h, [height, width]) = (lstm.hidden, of.extents.map(|n| n as isize));
    let taps = if lstm.scan == Scan::Row { vec![(-1, -1), (-1, 0), (-1, 1)] } else { vec![(-1, 0), (0, -1)] };
    let (pixels, mut all) = (of.extents[0] * of.extents[1], Vec::new());
    for input in input.chunks_exact(of.each()) {
        let (mut y, mut cells) = (vec![vec![0.0; h]; pixels], vec![vec![0.0; h]; pixels]);
        for (row, walked) in (0..height).flat_map(|r| (0..width).map(move |c| (r, c))) {
            let at =
                |r: isize, c: isize| (r * width + if lstm.mirrored { width - 1 - c } else { c }) as usize;
            let p = at(row, walked);
            let (mut a, mut before) = (input[p * 4 * h..][..4 * h].to_vec(), vec![0.0; h]);
            for (t, (dy, dx)) in taps.iter().enumerate() {
                let (r, c) = (row + dy, walked + dx);
                if r >= 0 && (0..width).contains(&c) {
                    see(&mut a, &y[at(r, c)], &w[t * 4 * h * h..]);
                    if t == 1 {
                        before.clone_from(&cells[at(r, c)]);
                    }
                }
            }
            (cells[p], y[p]) = unit(&a, &before);
        }
        all.extend(y.concat());
    }
    all
}

/// One image as the paper has it: skew, a convolution of two rows and one column at each column in turn, unskew.
fn skewed(input: &[f64], [height, width]: [usize; 2], h: usize, w: &[f64]) -> Vec<f64> {
    let long = width + height - 1;
    let (mut skew, mut y) = (vec![vec![vec![0.0; 4 * h]; long]; height], vec![vec![vec![]; long]; height]);
    for (p, gates) in input.chunks_exact(4 * h).enumerate() {
        skew[p / width][p / width + p % width].copy_from_slice(gates);
    }
    let (mut states, mut cells) = (vec![vec![0.0; h]; height], vec![vec![0.0; h]; height]);
    for column in 0..long {
        let old = states.clone();
        for row in 0..height {
            let mut a = skew[row][column].clone();
            if row > 0 {
                see(&mut a, &old[row - 1], w);
            }
            see(&mut a, &old[row], &w[4 * h * h..]);
            (cells[row], states[row]) = unit(&a, &cells[row]);
            y[row][column].clone_from(&states[row]);
        }
    }
    (0..height * width).flat_map(|p| y[p / width][p / width + p % width].clone()).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(*v)).collect()
}

fn close(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((f64::from(*g) - w).abs() < 2e-5 * (1.0 + w.abs()), "{g} {w}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    /// The value against the definition; single steps against the value, bit for bit, also in states used before.
    #[test]
    fn value_and_steps(which in 0usize..4, h in 1usize..40, count in 1usize..11, height in 1usize..8, width in 1usize..8, salt in 0u32..1000) {
        let (lstm, of, input, w) = case(which, [h, count, height, width], salt);
        let y = lstm.forward(&input, of, &w).0;
        close(&y, &definition(&lstm, &wide(&input), of, &wide(&w)));
        let steps = lstm.steps(&w);
        let (mut states, mut out) = (steps.states(count, width), vec![0.0; count * h]);
        for (row, walked) in (0..2 * height * width).map(|p| (p / width % height, p % width)) {
            let column = if lstm.mirrored { width - 1 - walked } else { walked };
            let pixel = |i: usize| (i * height + row) * width + column;
            let gates = (0..count).flat_map(|i| &input[pixel(i) * 4 * h..][..4 * h]).copied();
            steps.step(&mut states, [row, column], &gates.collect::<Vec<f32>>(), &mut out);
            prop_assert!((0..count).all(|i| out[i * h..][..h] == y[pixel(i) * h..][..h]));
        }
    }

    /// Every gradient against the central differences of the definition.
    #[test]
    fn gradients(which in 0usize..4, h in 1usize..20, count in 1usize..6, height in 1usize..4, width in 1usize..4, salt in 0u32..1000) {
        let (lstm, of, input, w) = case(which, [h, count, height, width], salt);
        let (y, kept) = lstm.forward(&input, of, &w);
        let dy = values(y.len(), salt + 2);
        let grads = lstm.backward(of, &w, &y, &kept, &dy);
        let mut all = [wide(&input), wide(&w)];
        for (part, got) in [grads.input, grads.w].into_iter().enumerate() {
            prop_assert_eq!(got.len(), all[part].len());
            // About 40 of them, others in every case.
            let every = 1 + got.len() / 40;
            for i in (salt as usize % every..got.len()).step_by(every) {
                let mut side = |step: f64| -> f64 {
                    all[part][i] += step;
                    let y = definition(&lstm, &all[0], of, &all[1]);
                    all[part][i] -= step;
                    y.iter().zip(&dy).map(|(y, d)| y * f64::from(*d)).sum()
                };
                close(&got[i..=i], &[(side(1e-5) - side(-1e-5)) / 2e-5]);
            }
        }
    }
}

#[test]
fn diagonals_are_columns_of_the_skewed_image() {
    for (extents, h) in [([5, 7], 6), ([7, 3], 9), ([1, 4], 2), ([4, 1], 2)] {
        let (plain, of, input, w) = case(2, [h, 1, extents[0], extents[1]], 3);
        let want = skewed(&wide(&input), extents, h, &wide(&w));
        close(&plain.forward(&input, of, &w).0, &want);
        let flip = |x: &[f32], c: usize| -> Vec<f32> {
            x.chunks_exact(extents[1] * c).flat_map(|l| l.rchunks_exact(c).flatten().copied()).collect()
        };
        let mirrored = Lstm { mirrored: true, ..plain };
        close(&flip(&mirrored.forward(&flip(&input, 4 * h), of, &w).0, h), &want);
    }
}

/// What a pixel receives reaches exactly the states that it should.
#[test]
fn receptive_fields() {
    let (h, [height, width]) = (3, [6, 7]);
    for which in 0..4 {
        let (lstm, of, input, w) = case(which, [h, 1, height, width], 7);
        let y = lstm.forward(&input, of, &w).0;
        for p in 0..height * width {
            let mut other = input.clone();
            other[p * 4 * h..][..4 * h].iter_mut().for_each(|v| *v += 3.0);
            let z = lstm.forward(&other, of, &w).0;
            for (q, (y, z)) in y.chunks_exact(h).zip(z.chunks_exact(h)).enumerate() {
                let ([row, r], [column, c]) = ([p, q].map(|p| p / width), [p, q].map(|p| p % width));
                let reached = match which {
                    0 | 1 => q == p || (r > row && c.abs_diff(column) <= r - row),
                    2 => r >= row && c >= column,
                    _ => r >= row && c <= column,
                };
                assert_eq!(y != z, reached, "{which} {p} {q}");
            }
        }
    }
}

#[test]
fn same_bits_at_any_thread_count() {
    for which in 0..4 {
        let (lstm, of, input, w) = case(which, [20, 9, 6, 5], 1);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (y, kept) = lstm.forward(&input, of, &w);
                let grads = lstm.backward(of, &w, &y, &kept, &values(y.len(), 4));
                (y, grads.input, grads.w)
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }
}
