//! Every kernel with its arithmetic or traffic beside what this machine can do: `cargo bench -p genus-bench`.
//!
//! Criterion times each; the table at the end gives medians as GFLOP/s and percent of the measured multiply-add peak, or as GB/s
//! and percent of the measured bandwidth of large copies, whichever bounds the kernel. `GENUS_BENCH_THREADS` sets the threads.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)] // a table is what a bench is for

use criterion::Criterion;
use genus_kernels::*;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

// As the command line has it: results are allocated anew, and the default allocator would give their memory back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What bounds a kernel.
#[derive(Clone, Copy)]
enum Work {
    /// Floating-point operations, a multiply-add being two.
    Flops(f64),
    /// Bytes read and written.
    Bytes(f64),
}

struct Bench {
    criterion: Criterion,
    rows: Vec<(String, Work, f64)>,
}

impl Bench {
    /// Times what makes a value, which is thrown away.
    fn time<T>(&mut self, name: &str, work: Work, mut f: impl FnMut() -> T) {
        let mut each = Vec::new();
        self.criterion.bench_function(name, |b| {
            b.iter_custom(|n| {
                let start = Instant::now();
                (0..n).for_each(|_| drop(black_box(f())));
                let took = start.elapsed();
                each.push(took.as_secs_f64() / n as f64);
                took
            });
        });
        // A filter on the command line may have left it out.
        if !each.is_empty() {
            each.sort_by(f64::total_cmp);
            self.rows.push((name.to_owned(), work, each[each.len() / 2]));
        }
    }
}

fn values(n: usize, salt: u64) -> Vec<f32> {
    let mut out = vec![0.0; n];
    Stream { key: 1, stream: salt }.fill(0, &mut out);
    out.iter_mut().for_each(|v| *v = *v * 2.0 - 1.0);
    out
}

fn bits(n: usize) -> Vec<f32> {
    values(n, 99).iter().map(|v| f32::from(u8::from(*v > 0.74))).collect()
}

/// Runs `f` on so many threads at once and gives the seconds until the last has ended, the best of several times.
fn together(threads: usize, f: impl Fn() + Sync) -> f64 {
    let once = || {
        let start = Instant::now();
        std::thread::scope(|s| (0..threads).for_each(|_| drop(s.spawn(&f))));
        start.elapsed().as_secs_f64()
    };
    (0..7).map(|_| once()).fold(f64::INFINITY, f64::min)
}

/// GFLOP/s of multiply-adds that never leave the registers, with the widest vectors that there are.
fn peak(threads: usize) -> f64 {
    const ROUNDS: usize = 20_000_000;
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected;
        use std::arch::x86_64::*;
        macro_rules! peak {
            ($features:literal, $lanes:literal, $set:ident, $fma:ident) => {{
                #[target_feature(enable = $features)]
                fn run() {
                    let (a, b) = ($set(black_box(0.999_9)), $set(black_box(1e-4)));
                    let mut acc = [$set(1.0); 12];
                    for _ in 0..ROUNDS {
                        acc.iter_mut().for_each(|v| *v = $fma(*v, a, b));
                    }
                    black_box(acc);
                }
                // SAFETY: the features were just found.
                let seconds = together(threads, || unsafe { run() });
                return (ROUNDS * 12 * 2 * $lanes * threads) as f64 / seconds / 1e9;
            }};
        }
        if is_x86_feature_detected!("avx512f") {
            peak!("avx512f", 16, _mm512_set1_ps, _mm512_fmadd_ps);
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            peak!("avx2,fma", 8, _mm256_set1_ps, _mm256_fmadd_ps);
        }
    }
    let seconds = together(threads, || {
        let mut acc = [1.0f32; 32];
        let a = black_box(0.999_9);
        for _ in 0..ROUNDS {
            acc.iter_mut().for_each(|v| *v = *v * a + 1e-4);
        }
        black_box(acc);
    });
    (ROUNDS * 64 * threads) as f64 / seconds / 1e9
}

/// GB/s, read and written, of copies that fit into no cache.
fn bandwidth(threads: usize) -> f64 {
    const N: usize = 1 << 24;
    let pair = |i: usize| (vec![i as f32; N], Mutex::new(vec![0.0f32; N]));
    let pairs: Vec<_> = (0..threads).map(pair).collect();
    let next = AtomicUsize::new(0);
    let seconds = together(threads, || {
        let (from, to) = &pairs[next.fetch_add(1, Ordering::Relaxed) % threads];
        to.lock().unwrap().copy_from_slice(from);
    });
    (8 * N * threads) as f64 / seconds / 1e9
}

fn products(bench: &mut Bench) {
    for (name, [m, n, k], ta, tb) in [
        ("gemm 128×784×400", [128, 400, 784], false, false),
        ("gemm 512³", [512, 512, 512], false, false),
        ("gemm dX 128×400×784 (Bᵀ)", [128, 784, 400], false, true),
        ("gemm dW 784×128×400 (Aᵀ)", [784, 400, 128], true, false),
    ] {
        let (a, b, mut c) = (values(m * k, 1), values(k * n, 2), vec![0.0; m * n]);
        let a = if ta { Mat::rows(&a, m).t() } else { Mat::rows(&a, k) };
        let b = if tb { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
        bench.time(name, Work::Flops((2 * m * n * k) as f64), || {
            gemm(m, n, k, a, b, &mut c, false, Limits::Dense);
        });
    }
}

fn layers(bench: &mut Bench) {
    let (rows, inputs, outputs) = (128, 784, 500);
    let (x, mut w, b) = (values(rows * inputs, 1), values(inputs * outputs, 2), values(outputs, 3));
    let dy = values(rows * outputs, 4);
    let degrees = |n: usize| (0..n).map(|i| i * 783 / n).collect::<Vec<_>>();
    let stair = Staircase::from_degrees(&degrees(inputs), &degrees(outputs));
    for (name, mask) in [("linear", None), ("staircase", Some(&stair))] {
        // What is computed: the products that the mask keeps.
        let products = mask.map_or(inputs * outputs, |m| m.reach().iter().sum());
        let flops = (2 * rows * products) as f64;
        if let Some(mask) = mask {
            mask.apply(&mut w);
        }
        let y = linear_forward(&x, &w, &b, Activation::Relu, mask);
        bench.time(&format!("{name} forward"), Work::Flops(flops), || {
            linear_forward(&x, &w, &b, Activation::Relu, mask)
        });
        bench.time(&format!("{name} backward"), Work::Flops(2.0 * flops), || {
            linear_backward(&x, &w, &y, dy.clone(), outputs, Activation::Relu, mask, [true; 2])
        });
    }
    flows(bench);
}

/// Steps in the plane with networks of 64-64 hidden units.
fn flows(bench: &mut Bench) {
    let (rows, act) = (256, Activation::Relu);
    let x = values(rows * 2, 8);
    let spline = Warp::Spline { bins: 8, bound: 4.0 };
    for (name, step) in [
        ("affine coupling", Step::coupling(2, vec![0], 0, &[64, 64], act, Warp::Affine { bound: 2.0 })),
        ("spline coupling", Step::coupling(2, vec![0], 0, &[64, 64], act, spline)),
        ("masked spline", Step::autoregressive(vec![0, 1], false, 0, &[64, 64], act, spline)),
    ] {
        let outputs = step.widths().last().copied().unwrap_or_default();
        let flops = (2 * rows * (64 * step.widths()[0] + 64 * 64 + 64 * outputs)) as f64;
        let stack = Stack::new(2, 0, vec![step]);
        let mut p = values(stack.parameters(), 5);
        stack.mask(&mut p);
        let kept = stack.forward(&x, &[], &p, true).kept;
        let dlog = values(rows, 9);
        bench.time(&format!("{name} forward"), Work::Flops(flops), || stack.forward(&x, &[], &p, true));
        bench.time(&format!("{name} backward"), Work::Flops(2.0 * flops), || {
            stack.backward(&[], &p, &kept, x.clone(), &dlog)
        });
        bench.time(&format!("{name} inverse"), Work::Flops(flops), || stack.inverse(&x, &[], &p));
    }
}

fn passes(bench: &mut Bench) {
    let (rows, width) = (128, 784);
    let n = (rows * width) as f64;
    let (a, t, weight) = (values(rows * width, 1), bits(rows * width), vec![1.0 / rows as f32; rows]);
    bench.time("Bernoulli value", Work::Bytes(8.0 * n), || bernoulli_nll(&a, &t, width));
    bench.time("Bernoulli gradient", Work::Bytes(12.0 * n), || bernoulli_backward(&a, &t, &weight, width));
    let of = Gaussian { mean: &a, log_variance: &a[..width], target: &t, width };
    bench.time("Gaussian value", Work::Bytes(8.0 * n), || gaussian_nll(of));
    bench.time("Gaussian gradient", Work::Bytes(16.0 * n), || gaussian_backward(of, &weight));
    let (logits, levels) = (values(32 * 784 * 256, 2), vec![7.0; 32 * 784]);
    let n = logits.len() as f64;
    let (_, totals) = categorical_nll(&logits, &levels, 784, 256);
    bench.time("categorical value, 256 levels", Work::Bytes(4.0 * n), || {
        categorical_nll(&logits, &levels, 784, 256)
    });
    bench.time("categorical gradient, 256 levels", Work::Bytes(8.0 * n), || {
        categorical_backward(&logits, &levels, &totals, &weight[..32], 256)
    });
    let (mixture, n) = (Mixture { components: 10, floor: 1e-3 }, 100 * 64);
    let (of, x) = (values(n * mixture.parameters(), 8), values(n, 9));
    let bytes = 4.0 * of.len() as f64;
    bench.time("mixture value, 10 normals", Work::Bytes(bytes), || mixture.nll(&of, &x, 64));
    bench.time("mixture gradient, 10 normals", Work::Bytes(2.0 * bytes), || {
        mixture.backward(&of, &x, &weight[..100])
    });
    let (encoded, noise) = (values(128 * 40, 3), values(128 * 20, 4));
    bench.time("reparametrise", Work::Bytes(4.0 * 128.0 * 81.0), || reparametrise(&encoded, &noise, 20));
    let (x, dy) = (values(1 << 20, 5), values(1 << 19, 6));
    let n = dy.len() as f64;
    bench.time("gate value, 2 × 32 channels", Work::Bytes(12.0 * n), || gate_forward(&x, 32));
    bench.time("gate gradient, 2 × 32 channels", Work::Bytes(20.0 * n), || gate_backward(&x, &dy, 32));
    let n = 1 << 20;
    let [mut p, mut m, mut v, mut average] =
        [1, 2, 3, 4].map(|s| values(n, s).iter().map(|v| v.abs()).collect::<Vec<f32>>());
    let g = values(n, 5);
    let how = Adam {
        rate: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decay: 0.0,
        l2: 0.0,
        scale: 1.0,
        step: 10,
    };
    bench.time("Adam", Work::Bytes(28.0 * n as f64), || adam(&mut p, &g, &mut m, &mut v, None, None, &how));
    bench.time("Adam with average", Work::Bytes(36.0 * n as f64), || {
        adam(&mut p, &g, &mut m, &mut v, Some((&mut average, 0.999)), None, &how);
    });
    bench.time("Bernoulli draws", Work::Bytes(8.0 * n as f64), || {
        bernoulli_sample(&average, Stream { key: 1, stream: 1 })
    });
}

fn images(bench: &mut Bench) {
    for (name, taps, count, size, inputs, outputs) in [
        ("causal 7×7 A, 1→32", Taps::causal(7, Causal::A, 1), 32, 28, 1, 32),
        ("causal 3×3 B, 32→32", Taps::causal(3, Causal::B, 1), 32, 28, 32, 32),
        ("causal 3×3 B, 66→66, three groups", Taps::causal(3, Causal::B, 3), 16, 32, 66, 66),
        ("4×4 stride 2, 64→128", Taps::full(4, 2, 1), 64, 14, 64, 128),
    ] {
        let conv = Conv { taps, inputs, outputs };
        let of = Images { count, extents: [size; 2], channels: inputs };
        let (x, w, b) = (values(of.len(), 1), values(conv.weights(), 2), values(outputs, 3));
        let y = conv.forward(&x, of, &w, &b, Activation::Relu);
        let flops = (2 * y.len() * conv.taps.count() * inputs) as f64;
        bench.time(&format!("{name} forward"), Work::Flops(flops), || {
            conv.forward(&x, of, &w, &b, Activation::Relu)
        });
        for (of_what, want, share) in [("dX", [true, false], 1.0), ("dX and dW", [true, true], 2.0)] {
            bench.time(&format!("{name} {of_what}"), Work::Flops(share * flops), || {
                conv.backward(&x, of, &w, &y, &y, Activation::Relu, want)
            });
        }
        if conv.taps.stride() > 1 {
            let small = Images { extents: [size / 2; 2], channels: outputs, ..of };
            let b = values(inputs, 4);
            bench.time(&format!("{name} transposed"), Work::Flops(flops), || {
                conv.transposed_forward(&y, small, &w, &b, Activation::Relu)
            });
        }
    }
    let shapes = std::iter::once((Taps::causal(7, Causal::A, 1), 1, 32))
        .chain((0..5).map(|_| (Taps::causal(3, Causal::B, 1), 32, 32)))
        .chain([(Taps::full(1, 1, 0), 32, 1)]);
    let net: Vec<(Conv, Vec<f32>, Vec<f32>)> = shapes
        .map(|(taps, inputs, outputs)| {
            let conv = Conv { taps, inputs, outputs };
            let scale = (conv.taps.count() * inputs) as f32;
            let w = values(conv.weights(), inputs as u64).iter().map(|v| v / scale.sqrt()).collect();
            (conv, w, vec![0.0; outputs])
        })
        .collect();
    let chain = net.iter().enumerate().map(|(l, (conv, w, b))| PixelNode {
        from: if l == 0 { Source::Image } else { Source::Node(l - 1) },
        op: PixelOp::Conv { conv, w, b, act: Activation::Relu },
    });
    let chain: Vec<PixelNode<'_>> = chain.collect();
    let of = Images { count: 16, extents: [28; 2], channels: 1 };
    let flops: f64 = net.iter().map(|(c, ..)| 2.0 * (16 * 784 * c.weights()) as f64).sum();
    let u = values(of.len(), 3);
    bench.time("PixelCNN, 16 images drawn", Work::Flops(flops), || {
        let mut x = vec![0.0; of.len()];
        sample_pixels(&chain, of, &mut x, &|image, place, _, out, to| {
            to[0] = f32::from(u8::from(u[image * 784 + place] < out[0]));
        });
        x
    });
}

fn scans(bench: &mut Bench) {
    let (rows, d, n) = (100, 784, 500);
    let small = |salt| values(d * n, salt).iter().map(|v| 0.05 * v).collect::<Vec<f32>>();
    let (w, v, b, c) = (small(1), small(2), vec![0.0; d], vec![0.0; n]);
    let nade = Nade { w: &w, v: &v, b: &b, c: &c };
    let (x, g) = (bits(rows * d), values(rows * d, 3));
    let flops = (4 * rows * d * n) as f64;
    bench.time("NADE forward", Work::Flops(flops), || nade.logits(&x));
    bench.time("NADE backward", Work::Flops(2.0 * flops), || nade.backward(&x, &g, false));
    let u: Vec<f32> = values(rows * d, 4).iter().map(|v| 0.5 * (v + 1.0)).collect();
    bench.time("NADE, 100 rows drawn", Work::Flops(flops), || {
        let mut x = vec![0.0; rows * d];
        nade.sample(&mut x, &|r, p, logit| f32::from(u8::from(u[r * d + p] < sigmoid(logit))));
        x
    });
    let (d, n) = (64, 128);
    let (w, c, rho, x) = (values(d * n, 5), values(n, 6), values(d, 7), values(rows * d, 8));
    let running = Running { w: &w, c: &c, rho: &rho };
    let g = values(rows * d * n, 9);
    let bytes = (4 * rows * d * n) as f64;
    bench.time("RNADE units forward", Work::Bytes(bytes), || running.hidden(&x));
    bench.time("RNADE units backward", Work::Bytes(2.0 * bytes), || running.backward(&x, &g, false));
    for (name, scan) in [("row", Scan::Row), ("diagonal", Scan::Diagonal)] {
        let lstm = Lstm { scan, mirrored: false, hidden: 32 };
        let of = Images { count: 16, extents: [28; 2], channels: 128 };
        let (x, w) = (values(of.len(), 6), values(lstm.weights(), 7));
        let (y, kept) = lstm.forward(&x, of, &w);
        let flops = (2 * 16 * 784 * lstm.weights()) as f64;
        bench.time(&format!("LSTM by {name}s, 32 units, forward"), Work::Flops(flops), || {
            lstm.forward(&x, of, &w)
        });
        bench.time(&format!("LSTM by {name}s, 32 units, backward"), Work::Flops(2.0 * flops), || {
            lstm.backward(of, &w, &y, &kept, &y)
        });
    }
    let (v0, w, c) = (bits(100 * 784), small(5), vec![0.0; 500]);
    bench.time("Gibbs half-step 784→500", Work::Flops((2 * 100 * 784 * 500) as f64), || {
        let p = layer_probabilities(&v0, 784, Mat::rows(&w, 500), &c);
        bernoulli_sample(&p, Stream { key: 1, stream: 2 })
    });
    let h = layer_probabilities(&v0, 784, Mat::rows(&w, 500), &c);
    let mut pair = LayerPair::zeros(784, 500);
    bench.time("contrastive gradient 784×500", Work::Flops((4 * 100 * 784 * 500) as f64), || {
        pair.add_contrast([&v0, &h], [&v0, &h], 1e-3);
    });
}

fn main() {
    // SAFETY: the option (`mi_option_purge_delay`) is a number that the allocator reads before it purges.
    unsafe { libmimalloc_sys::mi_option_set(15, -1) };
    let threads = std::env::var("GENUS_BENCH_THREADS").ok().and_then(|t| t.parse().ok()).unwrap_or(2);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut bench = Bench { criterion, rows: Vec::new() };
    let (flops, bytes) = (peak(threads), bandwidth(threads));
    for group in [products, layers, passes, images, scans] {
        group(&mut bench);
    }
    println!("\n{threads} threads; peak {flops:.0} GFLOP/s, large copies {bytes:.1} GB/s\n");
    println!("| kernel | median | rate | of the machine |\n|---|---|---|---|");
    for (name, work, seconds) in &bench.rows {
        let (time, of) = if *seconds < 1e-3 { (seconds * 1e6, "µs") } else { (seconds * 1e3, "ms") };
        let (done, unit, most) = match work {
            Work::Flops(n) => (n, "GFLOP/s", flops),
            Work::Bytes(n) => (n, "GB/s", bytes),
        };
        let rate = done / seconds / 1e9;
        println!("| {name} | {time:.3} {of} | {rate:.1} {unit} | {:.0} % |", 100.0 * rate / most);
    }
}
