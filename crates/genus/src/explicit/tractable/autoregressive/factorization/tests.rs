//! Dependencies, completions, classes and temperature.

use super::super::fvsbn::{Fvsbn, FvsbnConfig, Logistic};
use super::super::gated_pixel_cnn::{GatedPixelCnnConfig, Stacks};
use super::super::image_net::OfImages;
use super::super::nade::{Nade, NadeConfig, Shared};
use super::super::pixel_cnn::{PixelCnnConfig, Stack};
use super::super::pixel_rnn::{PixelRnnConfig, Recurrence, Scans};
use super::super::rnade::{Mixtures, RnadeConfig};
use super::*;
use genus_core::config::count;
use genus_core::{Fill, Silent, Support, data};

/// With all parameters drawn from N(0, 1).
fn random<C: Conditionals>(config: &C::Config, domain: Domain, classes: usize) -> Factorization<C> {
    with_random_weights(config, domain, classes, 1.0)
}

/// With all parameters drawn from N(0, 0.3²): large ones saturate deep networks, whose slopes are then zero in `f32`.
fn mild<C: Conditionals>(config: &C::Config, domain: Domain, classes: usize) -> Factorization<C> {
    with_random_weights(config, domain, classes, 0.3)
}

fn with_random_weights<C: Conditionals>(
    config: &C::Config,
    domain: Domain,
    classes: usize,
    size: f32,
) -> Factorization<C> {
    let mut rng = Seed::from(5).rng();
    let start = vec![0.2; domain.width()];
    let prior = (0..classes).map(|c| libm::log((c + 1) as f64 * 2.0 / (classes * (classes + 1)) as f64));
    let transform = Transform::identity(domain);
    let mut model =
        Factorization::<C>::build(config, transform, prior.collect(), None, start, &mut rng).unwrap();
    for id in model.params.ids().collect::<Vec<_>>() {
        let mut w: Vec<f32> = model.params.values(id).iter().map(|_| size * rng.normal() as f32).collect();
        model.net.mask(id, &mut w);
        model.params.set(id, w);
    }
    model
}

/// Size of ∂ outputs of a dimension / ∂ x of a dimension, over a few rows: `[output][input]`.
fn jacobian<C: Conditionals>(model: &Factorization<C>) -> Vec<Vec<f32>> {
    const ROWS: usize = 8;
    let (d, n) = (model.order.len(), model.law.outputs());
    let mut rng = Seed::from(6).rng();
    let x = Batch::from_fn(ROWS, d, |_, _| match model.law {
        Law::Real(_) => rng.normal() as f32,
        _ => rng.below(model.law.levels()) as f32,
    });
    let class =
        (!model.prior.is_empty()).then(|| tensor(one_hot(&[0, 1, 1, 0, 0, 1, 1, 0], model.prior.len())));
    let row = |out: usize| {
        let leaf = tensor(x.clone()).autodiff().require_grad();
        let outputs = model.net.outputs(&model.params.tracked(), leaf.clone(), class.clone());
        // The first of several logits: their sum might not move where each of them does.
        let grads = outputs.narrow(1, out * n, 1).sum().backward();
        let g = leaf.grad(&grads).map_or(vec![0.0; ROWS * d], values);
        (0..d).map(|input| (0..ROWS).map(|r| g[r * d + input].abs()).sum()).collect()
    };
    (0..d).map(row).collect()
}

/// Exactly the pairs that are expected depend on each other.
fn dependencies<C: Conditionals>(model: &Factorization<C>, expected: impl Fn(usize, usize) -> bool) {
    for (out, row) in jacobian(model).iter().enumerate() {
        for (input, size) in row.iter().enumerate() {
            assert_eq!(*size > 0.0, expected(out, input), "output {out}, input {input}: {size}");
        }
    }
}

fn before(out: usize, input: usize) -> bool {
    input < out
}

fn pixels(extents: [usize; 3], levels: u32) -> Domain {
    let [height, width, channels] = extents;
    let support = if levels == 2 { Support::Binary } else { Support::Discrete { levels } };
    Domain { support, shape: genus_core::Shape::Image { height, width, channels } }
}

/// Every network without a blind spot: all earlier values, channel by channel, and no other.
#[test]
fn image_networks_see_every_earlier_value_and_no_other() {
    let gated = GatedPixelCnnConfig { hidden: count(9), layers: count(3), ..GatedPixelCnnConfig::default() };
    dependencies(&mild::<OfImages<Stacks>>(&gated, pixels([4, 6, 1], 2), 0), before);
    dependencies(&mild::<OfImages<Stacks>>(&gated, pixels([2, 3, 3], 4), 0), before);
    let classes = GatedPixelCnnConfig { class_conditional: true, ..gated };
    dependencies(&mild::<OfImages<Stacks>>(&classes, pixels([3, 4, 1], 3), 2), before);
    // Wide enough that relu leaves every path of every channel group open on some row.
    let small = PixelCnnConfig { hidden: count(24), blocks: count(2), ..PixelCnnConfig::default() };
    dependencies(&mild::<OfImages<Stack>>(&small, pixels([2, 2, 3], 4), 0), before);
}

/// Both directions of the Diagonal BiLSTM see all but the last pixel of the row above, which reaches no state in time: the masked
/// first layer shows it to the three columns before the last and to rows below only.
#[test]
fn diagonals_see_every_earlier_pixel_but_one() {
    let (height, width) = (4, 6);
    let config = PixelRnnConfig { hidden: count(8), ..PixelRnnConfig::default() };
    dependencies(&mild::<OfImages<Scans>>(&config, pixels([height, width, 1], 2), 0), |out, input| {
        let last_above = input + 1 == out / width * width;
        input < out && !(last_above && out % width + 4 < width)
    });
}

/// PixelCNN sees what its taps reach, which leaves out a wedge to the upper right; Gated PixelCNN of the same reach sees that too.
/// The Row LSTM sees a triangle: nothing later, and of the rows above all that its first layer and one step more reach.
#[test]
fn blind_spot() {
    let (height, width) = (4, 10);
    let domain = || pixels([height, width, 1], 2);
    // Offsets (rows up, columns) that a 7×7 A and then a 3×3 B reach.
    let first = |up: isize, dx: isize| (0..=3).contains(&up) && dx.abs() <= 3 && (up > 0 || dx < 0);
    let block = [(0, 0), (0, -1), (1, -1), (1, 0), (1, 1)];
    let reached = |up, dx| block.iter().any(|(u, d)| first(up - u, dx - d));
    let offset = |out: usize, input: usize| {
        let ([y, x], [v, u]) = ([out / width, out % width], [input / width, input % width]);
        (y as isize - v as isize, u as isize - x as isize)
    };
    let config = PixelCnnConfig { hidden: count(8), blocks: count(1), ..PixelCnnConfig::default() };
    dependencies(&mild::<OfImages<Stack>>(&config, domain(), 0), |out, input| {
        let (up, dx) = offset(out, input);
        reached(up, dx)
    });
    assert!(!reached(1, 4) && reached(2, 4), "the blind spot of this stack");
    let gated = GatedPixelCnnConfig { hidden: count(8), layers: count(2), ..GatedPixelCnnConfig::default() };
    let (out, unseen) = (2 * width + 4, width + 8);
    assert_eq!(offset(out, unseen), (1, 4));
    assert!(jacobian(&mild::<OfImages<Stacks>>(&gated, domain(), 0))[out][unseen] > 0.0);
    let rows = PixelRnnConfig { hidden: count(8), recurrence: Recurrence::Row, ..PixelRnnConfig::default() };
    for (out, row) in jacobian(&mild::<OfImages<Scans>>(&rows, domain(), 0)).iter().enumerate() {
        for (input, size) in row.iter().enumerate() {
            let (up, dx) = offset(out, input);
            assert!(*size == 0.0 || input < out, "output {out}, input {input}: {size}");
            let certain = first(up, dx) || (up > 1 && first(up - 1, dx - 1));
            assert!(*size > 0.0 || !certain, "output {out} does not see input {input}");
        }
    }
}

fn nade(classes: bool) -> NadeConfig {
    let hidden = count(9);
    NadeConfig { hidden, class_conditional: classes, ..NadeConfig::default() }
}

#[test]
fn outputs_depend_on_all_earlier_dimensions_and_on_no_other() {
    let domain = || Domain::binary(7);
    dependencies(&random::<Shared>(&nade(false), domain(), 0), before);
    dependencies(&random::<Shared>(&nade(true), domain(), 2), before);
    let classes = FvsbnConfig { class_conditional: true, ..FvsbnConfig::default() };
    dependencies(&random::<Logistic>(&FvsbnConfig::default(), domain(), 0), before);
    dependencies(&random::<Logistic>(&classes, domain(), 2), before);
    dependencies(&random::<Mixtures>(&rnade(false), plain(5), 0), before);
    dependencies(&random::<Mixtures>(&rnade(true), plain(5), 2), before);
}

fn rnade(classes: bool) -> RnadeConfig {
    let (hidden, components) = (count(16), count(3));
    RnadeConfig { hidden, components, class_conditional: classes, ..RnadeConfig::default() }
}

fn plain(d: usize) -> Domain {
    Domain { support: Support::Real, shape: genus_core::Shape::Flat(d) }
}

/// Fills of one of two real columns against the conditional that quadrature gives: 20,000 draws, largest difference of the
/// distribution functions below 0.0156 for a continuation (Kolmogorov's law, false alarm 1.2e-4), and below 0.05 where 64
/// proposals leave a bias.
#[test]
fn fills_of_real_columns_follow_the_conditional() {
    let model = with_random_weights::<Mixtures>(&rnade(false), plain(2), 0, 0.5);
    let (n, h) = (20_000, 0.005);
    for (missing, bound) in [(1, 0.0156), (0, 0.05)] {
        let given = 0.4;
        let at = |v: f32| move |_: usize, c: usize| if c == missing { v } else { given };
        let row = Batch::from_fn(n, 2, at(f32::NAN));
        let filled = model.impute(&row, Fill::Sample, &mut Seed::from(9).rng()).unwrap();
        let mut drawn: Vec<f32> = filled.iter().map(|r| r[missing]).collect();
        drawn.sort_by(f32::total_cmp);
        let grid: Vec<f32> = (-2400..2400).map(|i| i as f32 * h).collect();
        let rows = Batch::from_fn(grid.len(), 2, |r, c| if c == missing { grid[r] } else { given });
        let density: Vec<f64> = model.log_prob(&rows).unwrap().nats.iter().map(|v| v.exp()).collect();
        let (total, mut below, mut off) = (density.iter().sum::<f64>(), 0.0, 0.0f64);
        for (x, p) in grid.iter().zip(&density) {
            below += p / total;
            let found = drawn.partition_point(|v| *v < x + h / 2.0) as f64 / n as f64;
            off = off.max((found - below).abs());
        }
        assert!(off < bound, "column {missing}: {off}");
        assert!(filled.iter().all(|r| r[1 - missing] == given));
    }
}

/// Colder draws lie closer to the means of the components.
#[test]
fn temperature_narrows_normals() {
    let model = with_random_weights::<Mixtures>(&rnade(false), plain(1), 0, 0.5);
    let spread = |t: f64| {
        let how = Drawing { temperature: t, ..Drawing::default() };
        let x = model.draw_as(4000, &how, &mut Seed::from(3).rng()).unwrap().x;
        genus_core::transform::moments(&x).1[0]
    };
    assert!(spread(0.01) < 0.5 * spread(1.0));
}

/// Fills of a row are held against the conditional that enumeration gives: 20,000 draws, total variation below 0.03 for a
/// continuation, whose draws are exact (16 cells: expected 0.011, false alarm below 1e-9), and below 0.06 for values in
/// between, where 64 proposals leave a bias.
#[test]
fn fills_follow_the_conditional() {
    let all = Batch::from_fn(64, 6, |r, c| (r >> (5 - c) & 1) as f32);
    let later = vec![2usize, 3, 4, 5];
    for (classes, missing, bound) in [(0, later.clone(), 0.03), (2, later, 0.03), (0, vec![0, 2, 4], 0.06)] {
        let model = random::<Shared>(&nade(classes > 0), Domain::binary(6), classes);
        let nats = model.log_prob(&all).unwrap().nats;
        let given = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0];
        let row = Batch::from_fn(1, 6, |_, c| if missing.contains(&c) { f32::NAN } else { given[c] });
        let fits = |r: &[f32]| (0..6).all(|c| missing.contains(&c) || r[c] == given[c]);
        let code = |r: &[f32]| r.iter().fold(0, |n, v| 2 * n + *v as usize);
        let total: f64 = (0..64).filter(|r| fits(all.row(*r))).map(|r| nats[r].exp()).sum();
        let n = 20_000;
        let rows = Batch::from_fn(n, 6, |_, c| row.row(0)[c]);
        let filled = model.impute(&rows, Fill::Sample, &mut Seed::from(9).rng()).unwrap();
        let mut counts = [0.0; 64];
        filled.iter().for_each(|r| counts[code(r)] += 1.0 / n as f64);
        let law = |r: usize| if fits(all.row(r)) { nats[r].exp() / total } else { 0.0 };
        let off: f64 = (0..64).map(|r| (counts[r] - law(r)).abs()).sum::<f64>() / 2.0;
        assert!(off < bound, "{missing:?}: {off}");
        let mean = model.impute(&row, Fill::Mean, &mut Seed::from(9).rng()).unwrap();
        for c in (0..6).filter(|c| !missing.contains(c)) {
            assert_eq!(mean.row(0)[c], given[c]);
        }
    }
}

/// p(x) = Σ p(class) p(x | class), the posterior is Bayes' rule, and draws of a class follow it (standardised difference of
/// every column's mean below 6, false alarm 1e-8).
#[test]
fn classes_obey_bayes_rule() {
    let set = data::load("twotrees8", &data::Options::default()).unwrap();
    let config = FvsbnConfig {
        class_conditional: true,
        train: config::from_table(&toml::from_str("epochs = 3\nbatch = 50\noptimizer.rate = 0.05").unwrap())
            .unwrap(),
        ..FvsbnConfig::default()
    };
    let model = Fvsbn::fit(&config, &set, &mut FitContext::new(Seed::from(7), &mut Silent)).unwrap().model;
    let all = Batch::from_fn(256, 8, |r, c| (r >> c & 1) as f32);
    let given = [0, 1].map(|c| {
        let class = Batch::from_fn(256, 1, |_, _| c as f32);
        model.score_given(&all, &class, &Scoring::default()).unwrap().nats
    });
    let (marginal, posterior) = (model.log_prob(&all).unwrap().nats, model.posterior(&all).unwrap());
    for r in 0..256 {
        let joint = [0, 1].map(|c| (given[c][r] + model.prior[c]).exp());
        assert!((joint[0] + joint[1] - marginal[r].exp()).abs() < 1e-9);
        let want = joint[1] / (joint[0] + joint[1]);
        assert!((f64::from(posterior.row(r)[1]) - want).abs() < 1e-6);
    }
    for c in [0u32, 1] {
        let how = Drawing { given: Some(vec![c as f32]), ..Drawing::default() };
        let drawn = model.draw_as(10_000, &how, &mut Seed::from(4).rng()).unwrap();
        assert_eq!(model.schema().labels(&drawn), Some(vec![c; 10_000]));
        let x = drawn.x;
        for column in 0..8 {
            let mean: f64 =
                (0..256).map(|r| given[c as usize][r].exp() * f64::from(all.row(r)[column])).sum();
            let found = x.iter().map(|r| f64::from(r[column])).sum::<f64>() / 10_000.0;
            assert!((found - mean).abs() < 6.0 * (mean * (1.0 - mean) / 10_000.0).sqrt(), "{found} {mean}");
        }
    }
    // The classes differ by more than a coin can tell: most rows are recognised.
    let test = set.test.unwrap();
    let p = model.posterior(&test.x).unwrap();
    let right = set
        .schema
        .labels(&test)
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(r, l)| p.row(*r)[**l as usize] > 0.5)
        .count();
    assert!(right as f64 > 0.75 * test.x.rows() as f64, "{right}");
}

/// At a low temperature every conditional is decided; at 1 draws are those of the law.
#[test]
fn temperature_sharpens() {
    let model = random::<Shared>(&nade(false), Domain::binary(6), 0);
    let draw = |t: f64| {
        let how = Drawing { temperature: t, ..Drawing::default() };
        model.draw_as(500, &how, &mut Seed::from(3).rng()).unwrap().x
    };
    let cold = draw(1e-3);
    assert!(cold.iter().all(|r| r == cold.row(0)));
    assert_eq!(draw(1.0), Nade::sample(&model, 500, &mut Seed::from(3).rng()).unwrap());
    assert!(
        model
            .draw_as(1, &Drawing { temperature: 0.0, ..Drawing::default() }, &mut Seed::from(3).rng())
            .is_err()
    );
    assert!(
        model
            .draw_as(1, &Drawing { given: Some(vec![0.0]), ..Drawing::default() }, &mut Seed::from(3).rng())
            .is_err()
    );
}

/// The share of the mass below a value, of the stretches that a missing first column is cut into and of hundreds of thousands: normals of
/// very different widths, after what the second column says.
#[test]
fn narrow_normals_beside_wide_ones_keep_their_mass() {
    for seed in 0..4 {
        let mut model = with_random_weights::<Mixtures>(&rnade(false), plain(2), 0, 0.7);
        // Widths of the first column's normals from hundredths to tens.
        for id in model.params.ids().collect::<Vec<_>>() {
            let mut w = model.params.values(id);
            let mut rng = Seed::from(seed).index(w.len() as u64).rng();
            w.iter_mut().for_each(|w| *w += 1.5 * rng.normal() as f32);
            model.params.set(id, w);
        }
        let row = Batch::new(vec![0.0, 0.4], 2).unwrap();
        let (rows, weights, _) = model.grid(&row, 0, 2).unwrap();
        // Every normal's own fortieths of a deviation, cut into fifty.
        let outputs = values(model.net.outputs(&model.params.frozen(), tensor(row.clone()), None));
        let mut edges = model.law.edges(&outputs[..model.law.outputs()]);
        edges.sort_by(f32::total_cmp);
        let cut = |w: &[f32]| (0..50).map(|k| w[0] + (w[1] - w[0]) * k as f32 / 50.0).collect::<Vec<_>>();
        let mut edges: Vec<f32> = edges.windows(2).flat_map(cut).collect();
        edges.dedup();
        let at = |i: usize| edges[i];
        let fine =
            Batch::from_fn(
                edges.len() - 1,
                2,
                |r, c| if c == 0 { 0.5 * (edges[r] + edges[r + 1]) } else { 0.4 },
            );
        let log = model.log_before(&fine, 2).unwrap();
        let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let length = |i: usize| f64::from(edges[i + 1]) - f64::from(edges[i]);
        let mass: Vec<f64> = log.iter().enumerate().map(|(i, l)| (l - top).exp() * length(i)).collect();
        let total: f64 = mass.iter().sum();
        for part in 1..10 {
            // A value below which so much lies, by the fine grid.
            let (mut upto, mut i) = (0.0, 0);
            while upto < total * f64::from(part) / 10.0 {
                upto += mass[i];
                i += 1;
            }
            let below: f64 = rows.iter().zip(&weights).filter(|(r, _)| r[0] < at(i)).map(|(_, w)| w).sum();
            assert!((below - upto / total).abs() < 0.01, "seed {seed}: {below} {}", upto / total);
        }
    }
}

/// Means of columns behind what is known, given classes, are the means of draws (five standard errors of 20,000, false alarm 6e-7 each).
#[test]
fn means_of_continuations_are_those_of_draws() {
    let model = with_random_weights::<Mixtures>(&rnade(true), plain(3), 2, 0.8);
    let row = [0.3, f32::NAN, f32::NAN];
    let mean =
        model.impute(&Batch::new(row.to_vec(), 3).unwrap(), Fill::Mean, &mut Seed::from(1).rng()).unwrap();
    let n = 20_000;
    let rows = Batch::from_fn(n, 3, |_, c| row[c]);
    let drawn = model.impute(&rows, Fill::Sample, &mut Seed::from(2).rng()).unwrap();
    let means = 20;
    for c in [1, 2] {
        let each: Vec<f64> = drawn.iter().map(|r| f64::from(r[c])).collect();
        let want = each.iter().sum::<f64>() / n as f64;
        let spread = (each.iter().map(|v| (v - want).powi(2)).sum::<f64>() / n as f64).sqrt();
        // The mean itself is taken over 256 continuations, here over as many times 20.
        let got: f64 = (0..means)
            .map(|s| {
                let one = Batch::new(row.to_vec(), 3).unwrap();
                f64::from(model.impute(&one, Fill::Mean, &mut Seed::from(10 + s).rng()).unwrap().row(0)[c])
            })
            .sum::<f64>()
            / f64::from(means as u8);
        let stderr = spread * (1.0 / n as f64 + 1.0 / (256.0 * means as f64)).sqrt();
        assert!(
            (got - want).abs() < 5.0 * stderr,
            "column {c}: {got} {want} ± {stderr}, once {}",
            mean.row(0)[c]
        );
    }
}
