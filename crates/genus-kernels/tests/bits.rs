//! The same bits from every kernel at any number of threads, and with AVX2 as with AVX-512: the test runs itself anew for each,
//! because a process decides once on its instruction set.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use genus_kernels::*;
use std::process::Command;

const CHILD: &str = "GENUS_TEST_DIGESTS";

fn values(n: usize, salt: u64) -> Vec<f32> {
    let mut out = vec![0.0; n];
    Stream { key: 3, stream: salt }.fill(0, &mut out);
    out.iter_mut().for_each(|v| *v = *v * 2.0 - 1.0);
    out
}

fn bits(n: usize) -> Vec<f32> {
    values(n, 99).iter().map(|v| f32::from(u8::from(*v > 0.4))).collect()
}

/// FNV-1a over the bits.
fn digest<'a>(of: impl IntoIterator<Item = &'a f32>) -> u64 {
    let step = |h: u64, byte: u8| (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    of.into_iter().flat_map(|v| v.to_bits().to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, step)
}

/// A digest of the results of each group of kernels, with sizes that are no multiple of any block.
fn digests() -> Vec<(&'static str, u64)> {
    let mut all = Vec::new();
    let mut say =
        |name: &'static str, parts: &[&[f32]]| all.push((name, digest(parts.iter().copied().flatten())));
    let (m, n, k) = (75, 131, 613);
    let (a, b) = (values(m * k, 1), values(k * n, 2));
    let mut c = vec![0.0; m * n];
    gemm(m, n, k, Mat::rows(&a, k), Mat::rows(&b, n), &mut c, false, Limits::Dense);
    gemm(m, n, k, Mat::rows(&a, m).t(), Mat::rows(&b, k).t(), &mut c, true, Limits::Dense);
    say("gemm", &[&c]);
    let degrees = |n: usize| (0..n).map(|i| i * 40 / n).collect::<Vec<_>>();
    let stair = Staircase::from_degrees(&degrees(k), &degrees(n));
    let (mut w, ones, bias) = (values(k * n, 3), bits(m * k), values(n, 4));
    stair.apply(&mut w);
    for (name, x) in [("linear", &a), ("linear on bits", &ones)] {
        let y = linear_forward(x, &w, &bias, Activation::Tanh, Some(&stair));
        let g = linear_backward(x, &w, &y, c.clone(), n, Activation::Tanh, Some(&stair), [true; 2]);
        say(name, &[&y, &g.x.unwrap(), &g.w.unwrap(), &g.b.unwrap()]);
    }
    let spline = Warp::Spline { bins: 8, bound: 3.0 };
    for (name, step) in [
        ("coupling", Step::coupling(3, vec![0, 2], 0, &[33], Activation::Relu, Warp::Affine { bound: 2.0 })),
        ("masked spline", Step::autoregressive(vec![2, 0, 1], false, 0, &[20], Activation::Tanh, spline)),
        ("inverse spline", Step::autoregressive(vec![2, 0, 1], true, 0, &[20], Activation::Tanh, spline)),
    ] {
        let stack = Stack::new(3, 0, vec![step]);
        let (mut p, x, dlog) = (values(stack.parameters(), 5), values(3 * 201, 8), values(201, 6));
        stack.mask(&mut p);
        let passed = stack.forward(&x, &[], &p, true);
        let g = stack.backward(&[], &p, &passed.kept, passed.y.clone(), &dlog);
        let logs: Vec<f32> = passed.log_det.iter().map(|l| *l as f32).collect();
        say(name, &[&passed.y, &logs, &g.x, &g.parameters, &stack.inverse(&passed.y, &[], &p).y]);
    }
    for (name, taps, inputs, outputs) in [
        ("causal convolution", Taps::causal(3, Causal::B, 3), 6, 33),
        ("convolution of stride 2", Taps::full(4, 2, 1), 5, 32),
        ("convolution to one channel", Taps::full(3, 1, 1), 7, 1),
    ] {
        let conv = Conv { taps, inputs, outputs };
        let of = Images { count: 9, extents: [12, 10], channels: inputs };
        let (x, w, b) = (values(of.len(), 9), values(conv.weights(), 10), values(outputs, 11));
        let y = conv.forward(&x, of, &w, &b, Activation::LeakyRelu);
        let g = conv.backward(&x, of, &w, &y, &y, Activation::LeakyRelu, [true; 2]);
        say(name, &[&y, &g.x.unwrap(), &g.w.unwrap(), &g.b.unwrap()]);
    }
    let (x, scale, shift) = (values(29 * 613, 14), values(29, 15), values(29, 16));
    let of = batch_norm_forward(&x, &scale, &shift, Activation::LeakyRelu);
    let g =
        batch_norm_backward(&x, &scale, &of.y, [&of.mean, &of.inverse], of.y.clone(), Activation::LeakyRelu);
    say("batch normalisation", &[&of.y, &of.mean, &of.inverse, &g.x, &g.scale, &g.shift]);
    for (name, scan) in [("LSTM by rows", Scan::Row), ("LSTM by diagonals", Scan::Diagonal)] {
        let lstm = Lstm { scan, mirrored: true, hidden: 19 };
        let of = Images { count: 5, extents: [7, 6], channels: 4 * 19 };
        let (x, w) = (values(of.len(), 12), values(lstm.weights(), 13));
        let (y, kept) = lstm.forward(&x, of, &w);
        let g = lstm.backward(of, &w, &y, &kept, &y);
        say(name, &[&y, &g.input, &g.w]);
    }
    let (rows, d, h) = (37, 50, 70);
    let (x, w, v, rho) = (bits(rows * d), values(d * h, 14), values(d * h, 15), values(d, 16));
    let nade = Nade { w: &w, v: &v, b: &rho, c: &w[..h] };
    let g = nade.backward(&x, &values(rows * d, 17), true);
    say("NADE", &[&nade.logits(&x), &g.w, &g.v, &g.b, &g.c, &g.x.unwrap()]);
    let running = Running { w: &w, c: &v[..h], rho: &rho };
    let g = running.backward(&x, &values(rows * d * h, 18), true);
    say("running units", &[&running.hidden(&x), &g.w, &g.c, &g.rho, &g.x.unwrap()]);
    let (logits, weight) = (values(rows * d, 19), values(rows, 20));
    say("Bernoulli", &[&bernoulli_nll(&logits, &x, d), &bernoulli_backward(&logits, &x, &weight, d)]);
    let of = Gaussian { mean: &logits, log_variance: &logits[..d], target: &x, width: d };
    let [dm, dv] = gaussian_backward(of, &weight);
    say("Gaussian", &[&gaussian_nll(of), &dm, &dv]);
    let (scores, levels) = (values(rows * d * 7, 21), vec![3.0; rows * d]);
    let (nll, totals) = categorical_nll(&scores, &levels, d, 7);
    say("categorical", &[&nll, &totals, &categorical_backward(&scores, &levels, &totals, &weight, 7)]);
    let (ends, within) = ([3, 8, d], vec![-0.5; rows * d]);
    let (nll, totals) = stretches_nll(&logits, &within, &ends);
    say("stretches", &[&nll, &totals, &stretches_backward(&logits, &within, &totals, &weight, &ends)]);
    let mixture = Mixture { components: 2, floor: 1e-3 };
    let of = &scores[..rows * d * 6];
    say("mixture", &[&mixture.nll(of, &logits, d), &mixture.backward(of, &logits, &weight)]);
    say("gate", &[&gate_forward(of, 25), &gate_backward(of, &of[..of.len() / 2], 25)]);
    let (mut p, mut m1, mut m2) = (w.clone(), v.clone(), v.iter().map(|v| v * v).collect::<Vec<_>>());
    let how =
        Adam { rate: 1e-2, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.1, l2: 0.1, scale: 0.9, step: 3 };
    adam(&mut p, &v, &mut m1, &mut m2, None, None, &how);
    say("Adam", &[&p, &m1, &m2, &[sum_of_squares(&v, None) as f32]]);
    let stream = Stream { key: 1, stream: 2 };
    let mut pair = LayerPair { w: w.clone(), visible: rho.clone(), hidden: v[..h].to_vec() };
    let up = bernoulli_sample(&layer_probabilities(&x, d, Mat::rows(&w, h), &v[..h]), stream);
    let change: Vec<f32> = log_mass_change(&up, &[], h, [0.2, 0.3]).iter().map(|v| *v as f32).collect();
    say("Gibbs", &[&up, &pair.down(&up), &anneal_bits(&logits, d, 0.5, &rho, stream), &change]);
    pair.add_contrast([&x, &up], [&logits, &up], 0.1);
    say("contrast", &[&pair.w, &pair.visible, &pair.hidden]);
    let (z, kl) = reparametrise(&w, &v[..d * h / 2], h / 2);
    say("latent", &[&z, &kl]);
    all
}

#[test]
fn bits_depend_on_neither_threads_nor_the_width_of_vectors() {
    if std::env::var_os(CHILD).is_some() {
        digests().iter().for_each(|(name, digest)| println!("digest {name}: {digest:016x}"));
        return;
    }
    let run = |set: &str, threads: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--nocapture"]).env(CHILD, "1").env("GENUS_ISA", set).env("RAYON_NUM_THREADS", threads);
        let out = command.output().unwrap();
        let (said, error) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8_lossy(&out.stderr));
        let lines: Vec<String> =
            said.lines().filter(|l| l.starts_with("digest ")).map(str::to_owned).collect();
        // What the processor lacks is refused by name.
        assert!(lines.len() == digests().len() || error.contains("GENUS_ISA is"), "{set}: {error}");
        lines
    };
    for sets in [&["portable"][..], &["avx2", "avx512"]] {
        let mut runs =
            sets.iter().flat_map(|set| ["1", "2", "5"].map(|threads| (set, threads, run(set, threads))));
        let (.., first) = runs.next().unwrap();
        for (set, threads, lines) in runs.filter(|(.., lines)| !lines.is_empty()) {
            assert_eq!(lines, first, "{set}, {threads} threads");
        }
    }
}
