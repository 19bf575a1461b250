//! p(x | given) against a law that is written down: normals whose mean is linear in two numbers and moved by a kind.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use genus::data::{Options, load, regression};
use genus::transform::moments;
use genus::{
    Batch, Dataset, FitContext, LogProb, Model, Scoring, Seed, Silent, Split, State, registry, session,
};

fn source(given: &[&str]) -> Dataset {
    let given = given.iter().map(|g| (*g).to_owned()).collect();
    load("regression", &Options { given, ..Options::default() }).unwrap()
}

fn fitted(model: &str, set: &Dataset, settings: &str) -> Box<dyn Model> {
    let spec = registry::find(model).unwrap();
    let set_to: Vec<String> = settings.split_whitespace().map(str::to_owned).collect();
    let table = session::effective_config(spec, &[], &set_to).unwrap();
    (spec.fit)(&table, set, &mut FitContext::new(Seed::from(3), &mut Silent)).unwrap().model
}

fn scored(model: &dyn Model, rows: &Split) -> LogProb {
    model.score_split(rows, &Scoring::default()).unwrap().unwrap()
}

/// Settings that fit the source in seconds, what the model may lack to the entropy given the columns, nats, and how far means and
/// deviations of its draws may be off, in units of the deviation of the law, beside five standard errors (false alarm 6e-7 per figure).
const FITS: [(&str, &str, f64, f64); 4] = [
    ("maf", "layers=4 hidden=[32] train.epochs=12 train.optimizer.rate=0.005", 0.06, 0.15),
    ("realnvp", "layers=4 hidden=[32] train.epochs=12 train.optimizer.rate=0.005", 0.06, 0.15),
    ("spline-flow", "layers=2 hidden=[32] bins=6 train.epochs=20 train.optimizer.rate=0.003", 0.06, 0.15),
    ("rnade", "hidden=32 components=4 train.epochs=12 train.optimizer.rate=0.01", 0.06, 0.15),
];
const BATCHES: &str = "train.batch=100 train.ema=0.95";

/// Models reach the entropy of x and y given a, b and the kind, and are not better than the law; what they draw at a value of these has
/// its mean and covariance.
#[test]
fn models_find_the_conditional_law() {
    let set = source(&["a", "kind", "b"]);
    let (test, entropy) = (set.test.as_ref().unwrap(), set.provenance.entropy.unwrap());
    for (name, settings, most, allowed) in FITS {
        let model = fitted(name, &set, &format!("{settings} {BATCHES}"));
        let lp = scored(model.as_ref(), test);
        assert!(lp.protocol.contains("given a, kind, b"), "{}", lp.protocol);
        let gap = -lp.mean() - entropy;
        assert!(gap < most && gap > -5.0 * lp.stderr(), "{name}: {gap:.4} nats above the entropy");
        let open = model.as_given().unwrap();
        let n = 20_000;
        for (a, b, kind) in [(0.5, -0.3, 2), (-1.0, 0.2, 0)] {
            let row = [a as f32, kind as f32, b as f32];
            let given = Batch::from_fn(n, 3, |_, c| row[c]);
            let x = open.sample_given(&given, 1.0, &mut Seed::from(4).rng()).unwrap();
            let (mean, std) = moments(&x);
            let (want, cov) = (regression::mean(a, b, kind), regression::COVARIANCE);
            for c in 0..2 {
                let sigma = cov[c][c].sqrt();
                let se = 5.0 * sigma / (n as f64).sqrt();
                assert!((mean[c] - want[c]).abs() < allowed * sigma + se, "{name}: {mean:?} {want:?}");
                assert!((std[c] / sigma - 1.0).abs() < allowed, "{name}: deviations {std:?}");
            }
            let product = |r: &[f32]| (f64::from(r[0]) - mean[0]) * (f64::from(r[1]) - mean[1]);
            let both = x.iter().map(product).sum::<f64>() / n as f64;
            let off = (both - cov[0][1]).abs() / (cov[0][0] * cov[1][1]).sqrt();
            assert!(off < allowed, "{name}: covariance {both}");
        }
    }
}

/// A mixture that is fitted to all columns reaches the entropy of x and y given a and b, where the kind is not known.
#[test]
fn a_mixture_conditions_exactly() {
    let set = source(&["a", "b"]);
    let entropy = set.provenance.entropy.unwrap();
    let model = fitted("gmm", &set, "components=3 restarts=3");
    let lp = scored(model.as_ref(), set.test.as_ref().unwrap());
    let gap = -lp.mean() - entropy;
    assert!(gap < 0.02 && gap > -5.0 * lp.stderr(), "{gap:.4} nats above the entropy");
}

/// One normal over all columns: p(x | given) is the normal of linear regression, computed here from the moments of the rows.
#[test]
fn one_normal_is_linear_regression() {
    let set = source(&["b", "a"]);
    let model = fitted("gmm", &set, "components=1 restarts=1");
    let given = set.train.given.as_ref().unwrap();
    let n = given.rows() as f64;
    let row = |s: &Split, r: usize| -> [f64; 4] {
        let (x, g) = (s.x.row(r), s.given.as_ref().unwrap().row(r));
        [x[0], x[1], g[0], g[1]].map(f64::from)
    };
    let mut mean = [0.0; 4];
    (0..given.rows()).for_each(|r| (0..4).for_each(|c| mean[c] += row(&set.train, r)[c] / n));
    let mut cov = [[0.0; 4]; 4];
    for r in 0..given.rows() {
        let v = row(&set.train, r);
        for i in 0..4 {
            for j in 0..4 {
                cov[i][j] += (v[i] - mean[i]) * (v[j] - mean[j]) / n;
            }
        }
    }
    // Σ_gg⁻¹, the slopes Σ_xg Σ_gg⁻¹, and Σ_xx − Σ_xg Σ_gg⁻¹ Σ_gx.
    let det = |m: [[f64; 2]; 2]| m[0][0] * m[1][1] - m[0][1] * m[1][0];
    let inverse = |m: [[f64; 2]; 2]| {
        let d = det(m);
        [[m[1][1] / d, -m[0][1] / d], [-m[1][0] / d, m[0][0] / d]]
    };
    let block = |i: usize, j: usize| [[cov[i][j], cov[i][j + 1]], [cov[i + 1][j], cov[i + 1][j + 1]]];
    let gg = inverse(block(2, 2));
    let slope = |i: usize, k: usize| (0..2).map(|j| cov[i][2 + j] * gg[j][k]).sum::<f64>();
    let rest =
        [0, 1].map(|i| [0, 1].map(|j| cov[i][j] - (0..2).map(|k| slope(i, k) * cov[2 + k][j]).sum::<f64>()));
    let inv = inverse(rest);
    let test = set.test.as_ref().unwrap().select(&(0..200).collect::<Vec<_>>());
    for (r, nats) in scored(model.as_ref(), &test).nats.iter().enumerate() {
        let v = row(&test, r);
        let u = [0, 1]
            .map(|i| v[i] - mean[i] - (0..2).map(|k| slope(i, k) * (v[2 + k] - mean[2 + k])).sum::<f64>());
        let square: f64 =
            (0..2).flat_map(|i| (0..2).map(move |j| (i, j))).map(|(i, j)| u[i] * inv[i][j] * u[j]).sum();
        let want = -(2.0 * std::f64::consts::PI).ln() - 0.5 * (det(rest).ln() + square);
        assert!((nats - want).abs() < 1e-5, "{nats} {want}");
    }
}

/// The model of rows under one value is a model like others: it scores as the open one does there, encodes both ways, integrates to 1
/// (its audit), and is saved and restored as such.
#[test]
fn what_is_given_can_be_fixed() {
    let set = source(&["a", "kind", "b"]);
    let short = "train.epochs=2 train.batch=100 train.optimizer.rate=0.005";
    for (name, settings) in [
        ("maf", "layers=3 hidden=[16]"),
        ("iaf", "layers=2 hidden=[16]"),
        ("nice", "hidden=[16]"),
        ("rnade", "hidden=16"),
    ] {
        let model = fitted(name, &set, &format!("{settings} {short}"));
        fixed(model.as_ref(), &set);
    }
    let numbers = source(&["a", "b"]);
    fixed(fitted("gmm", &numbers, "components=4 restarts=1").as_ref(), &numbers);
}

fn fixed(model: &dyn Model, set: &Dataset) {
    assert!(model.as_density().is_none() && model.as_sampler().is_none() && model.as_encoder().is_none());
    let open = model.as_given().unwrap();
    let test = set.test.as_ref().unwrap().select(&(0..40).collect::<Vec<_>>());
    let row = test.given.as_ref().unwrap().row(7).to_vec();
    let at = open.at(&row).unwrap();
    let again =
        registry::restore(&State::from_bytes(&at.state().to_bytes().unwrap(), "memory".as_ref()).unwrap());
    let again = again.unwrap();
    let same = Batch::from_fn(40, row.len(), |_, c| row[c]);
    let want = open.score_given(&test.x, &same, &Scoring::default()).unwrap().nats;
    for one in [&at, &again] {
        assert!(one.as_given().is_none() && !one.schema().conditional && one.schema().given.is_empty());
        let got = one.as_density().unwrap().log_prob(&test.x).unwrap().nats;
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5), "{}", model.spec().name);
    }
    let split = test.select(&[7, 8, 9]);
    let audit = genus::audit::trained(model, &split, Seed::from(2), &mut |_, _| ()).unwrap();
    assert!(audit.rows.iter().all(|r| r.passed), "{:?}", audit.rows);
    assert!(audit.rows.iter().any(|r| r.check.contains("integrates to 1")), "{:?}", audit.rows);
    assert!(audit.rows[0].subject.starts_with("trained model given a = "), "{}", audit.rows[0].subject);
}

/// Nobody is given a category that there is not, and numbers far from the training rows are said to be so; beyond what can be computed
/// with there is no answer rather than none that is a number.
#[test]
fn what_cannot_be_given_is_an_error_and_what_is_far_is_said() {
    let set = source(&["a", "kind", "b"]);
    let maf = fitted("maf", &set, "layers=2 hidden=[8] train.epochs=1 train.batch=500");
    let open = maf.as_given().unwrap();
    let draw = |row: [f32; 3]| {
        let given = Batch::new(row.to_vec(), 3).unwrap();
        open.sample_given(&given, 1.0, &mut Seed::from(0).rng()).map_err(|e| e.to_string())
    };
    assert!(draw([0.0, 1.0, 0.0]).unwrap().data().iter().all(|v| v.is_finite()));
    let e = draw([0.0, 3.0, 0.0]).unwrap_err();
    assert!(e.contains("\"kind\"") && e.contains("red, green, blue"), "{e}");
    let e = draw([f32::NAN, 0.0, 0.0]).unwrap_err();
    assert!(e.contains("no value in the given column \"a\""), "{e}");
    let far = Batch::new(vec![50.0, 0.0, 0.0, -60.0, 1.0, 0.1], 3).unwrap();
    let doubts = open.doubts(&far);
    assert!(doubts.len() == 1 && doubts[0].starts_with("a = 50 and 1 rows more far outside"), "{doubts:?}");
    assert!(open.doubts(&Batch::new(vec![1.0, 0.0, 1.0], 3).unwrap()).is_empty());
    for huge in [1e30, 3e38] {
        if let Ok(x) = draw([huge, 0.0, 0.0]) {
            assert!(x.data().iter().all(|v| v.is_finite()));
        }
        let given = Batch::new(vec![huge, 0.0, 0.0], 3).unwrap();
        let score = open.score_given(&Batch::zeros(1, 2), &given, &Scoring::default());
        assert!(score.is_err() || score.unwrap().nats[0] < 0.0);
    }
    // Nor is a model asked for rows as if nothing were given, whatever the type says.
    let set_of_numbers = source(&["a", "b"]);
    let refused = |model: &str, set: &Dataset| {
        let spec = registry::find(model).unwrap();
        let mut silent = Silent;
        let fit = (spec.fit)(&(spec.default_config)(), set, &mut FitContext::new(Seed::from(0), &mut silent));
        fit.err().unwrap().to_string()
    };
    assert!(refused("linear-ica", &set_of_numbers).contains("no density given columns"));
    assert!(refused("vae", &set_of_numbers).contains("no density given columns"));
    let e = refused("gmm", &set);
    assert!(e.contains("given numbers only, and kind is a category"), "{e}");
}
