//! Our products beside the crate `gemm`, and our parallel loops beside those of rayon: `cargo bench -p genus-bench --bench beside`.
//!
//! Both ways do the same work in turn, some milliseconds each, and each call is timed. A row gives the median call of both, and
//! the ratio theirs / ours: the median over rounds of the ratio of a round's medians, with its quartiles.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)] // a table is what a bench is for

use gemm::Parallelism;
use genus_kernels::{Activation, Causal, Conv, Images, Limits, Mat, Stream, Taps, probabilities};
use rayon::prelude::*;
use std::time::{Duration, Instant};

// As the command line has it: results are allocated anew, and the default allocator would give their memory back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 40;
const STRETCH: Duration = Duration::from_millis(4);

fn values(n: usize, salt: u64) -> Vec<f32> {
    let mut out = vec![0.0; n];
    Stream { key: 1, stream: salt }.fill(0, &mut out);
    out.iter_mut().for_each(|v| *v = *v * 2.0 - 1.0);
    out
}

fn quartiles(mut of: Vec<f64>) -> [f64; 3] {
    of.sort_by(f64::total_cmp);
    [1, 2, 3].map(|q| of[(of.len() * q / 4).min(of.len() - 1)])
}

/// Seconds of the median call within one stretch, in which `pause` passes before each call.
fn stretch(f: &mut dyn FnMut(), pause: Duration) -> f64 {
    let (begin, mut calls) = (Instant::now(), Vec::new());
    while begin.elapsed() < STRETCH {
        let since = Instant::now();
        while since.elapsed() < pause {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        f();
        calls.push(start.elapsed().as_secs_f64());
    }
    quartiles(calls)[1]
}

fn beside(name: &str, pause: Duration, mut ours: impl FnMut(), mut theirs: impl FnMut()) {
    let mut both = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        let pair = [stretch(&mut ours, pause), stretch(&mut theirs, pause)];
        // The first one warms up.
        if round > 0 {
            both.iter_mut().zip(pair).for_each(|(all, seconds)| all.push(seconds));
        }
    }
    let [low, ratio, high] =
        quartiles(both[0].iter().zip(&both[1]).map(|(ours, theirs)| theirs / ours).collect());
    let [ours, theirs] = both.map(|all| 1e6 * quartiles(all)[1]);
    println!("| {name} | {ours:.1} | {theirs:.1} | {ratio:.2} ({low:.2} to {high:.2}) |");
}

/// C = A·B by the other crate, everything row-major unless transposed.
fn other([m, n, k]: [usize; 3], [ta, tb]: [bool; 2], a: &[f32], b: &[f32], c: &mut [f32], threads: usize) {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n);
    let (a_cs, a_rs) = if ta { (m, 1) } else { (1, k) };
    let (b_cs, b_rs) = if tb { (k, 1) } else { (1, n) };
    let [a_cs, a_rs, b_cs, b_rs, c_rs] = [a_cs, a_rs, b_cs, b_rs, n].map(|s| s as isize);
    let how = if threads == 1 { Parallelism::None } else { Parallelism::Rayon(threads) };
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    // SAFETY: the matrices hold what the strides reach, as was just checked.
    unsafe {
        gemm::gemm(
            m, n, k, c, 1, c_rs, false, a, a_cs, a_rs, b, b_cs, b_rs, 0.0, 1.0, false, false, false, how,
        );
    }
}

fn products(threads: usize) {
    let plain = [false, false];
    for (name, shape, turned) in [
        ("128×784×400", [128, 400, 784], plain),
        ("dX 128×400×784 (Bᵀ)", [128, 784, 400], [false, true]),
        ("dW 784×128×400 (Aᵀ)", [784, 400, 128], [true, false]),
        ("100×784×500", [100, 500, 784], plain),
        ("dX 100×500×784 (Bᵀ)", [100, 784, 500], [false, true]),
        ("dW 784×100×500 (Aᵀ)", [784, 500, 100], [true, false]),
        ("256×64×64", [256, 64, 64], plain),
        ("dX 256×64×64 (Bᵀ)", [256, 64, 64], [false, true]),
        ("dW 64×256×64 (Aᵀ)", [64, 64, 256], [true, false]),
        ("512³", [512; 3], plain),
    ] {
        let [m, n, k] = shape;
        let (a, b, mut c, mut d) = (values(m * k, 1), values(k * n, 2), vec![0.0; m * n], vec![0.0; m * n]);
        let rows =
            |data, cols, turned| if turned { Mat::rows(data, cols).t() } else { Mat::rows(data, cols) };
        let (x, y) = (
            rows(&a, if turned[0] { m } else { k }, turned[0]),
            rows(&b, if turned[1] { k } else { n }, turned[1]),
        );
        let ours = || genus_kernels::gemm(m, n, k, x, y, &mut c, false, Limits::Dense);
        beside(name, Duration::ZERO, ours, || other(shape, turned, &a, &b, &mut d, threads));
        assert!(c.iter().zip(&d).all(|(c, d)| (c - d).abs() < 1e-3), "{name}: the same product");
    }
    // The other crate is given the unfolded image, whose making is not counted.
    for (name, taps, size, count, inputs, outputs) in [
        ("3×3 B, 32→32, 28×28, 32 images", Taps::causal(3, Causal::B, 1), 28, 32, 32, 32),
        ("4×4 stride 2, 64→128, 14×14, 64 images", Taps::full(4, 2, 1), 14, 64, 64, 128),
    ] {
        let conv = Conv { taps, inputs, outputs };
        let of = Images { count, extents: [size; 2], channels: inputs };
        let (x, w, bias) = (values(of.len(), 1), values(conv.weights(), 2), vec![0.0; outputs]);
        let [height, width] = conv.taps.output(of.extents);
        let shape = [count * height * width, outputs, conv.taps.count() * inputs];
        let (unfolded, mut d) = (values(shape[0] * shape[2], 3), vec![0.0; shape[0] * outputs]);
        let ours = || drop(conv.forward(&x, of, &w, &bias, Activation::Identity));
        beside(name, Duration::ZERO, ours, || other(shape, [false; 2], &unfolded, &w, &mut d, threads));
    }
}

/// The same blocks of 8192 sigmoids as jobs of either loop.
fn loops() {
    const BLOCK: usize = 1 << 13;
    for pause in [0, 30, 1000] {
        for blocks in [2, 8, 64] {
            let (mut x, mut y) = (values(blocks * BLOCK, 1), values(blocks * BLOCK, 1));
            let name = format!("{blocks} jobs, {pause} µs after the last loop");
            // A single block is no loop of ours.
            let theirs = || y.par_chunks_mut(BLOCK).for_each(probabilities);
            beside(&name, Duration::from_micros(pause), || probabilities(&mut x), theirs);
        }
    }
}

fn main() {
    // SAFETY: the option (`mi_option_purge_delay`) is a number that the allocator reads before it purges.
    unsafe { libmimalloc_sys::mi_option_set(15, -1) };
    for threads in [1, 2] {
        println!("\n| {threads} threads | ours, µs | theirs, µs | theirs / ours |\n|---|---|---|---|");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // As a training does: all of it within the pool.
        pool.install(|| {
            products(threads);
            if threads > 1 {
                loops();
            }
        });
    }
}
