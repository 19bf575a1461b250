//! What classical methods give on classical data, to the digits that scikit-learn 1.9.1 prints: values that only a right implementation
//! reaches.

#![allow(missing_docs, clippy::unwrap_used)] // tests

use genus::{
    Batch, Dataset, Density as _, FactorAnalysis, FactorAnalysisConfig, Family, FitContext, KMeans,
    KMeansConfig, Kde, KdeConfig, Pca, PcaConfig, Ppca, PpcaConfig, Schema, Seed, Silent, Split,
    config::Positive, data,
};

/// All rows of a set, as they are or in units of the columns' deviations.
fn rows(name: &str, standardized: bool) -> Dataset {
    let set = data::load(name, &data::Options::default()).unwrap();
    let rest = [&set.valid, &set.test].into_iter().flatten();
    let x = rest.fold(set.train.x.clone(), |all, split| all.concat(&split.x).unwrap());
    let (mean, std) = genus::transform::moments(&x);
    let x = Batch::from_fn(x.rows(), x.width(), |r, c| match standardized {
        true => ((f64::from(x.row(r)[c]) - mean[c]) / std[c]) as f32,
        false => x.row(r)[c],
    });
    let schema = Schema::from(genus::Domain::real(x.width()));
    Dataset::new(name, schema, Split::unlabelled(x)).unwrap()
}

fn fit<F: Family>(config: &F::Config, set: &Dataset) -> genus::Fit<F> {
    F::fit(config, set, &mut FitContext::new(Seed::from(3), &mut Silent)).unwrap()
}

fn near(got: f64, want: f64, within: f64, what: &str) {
    assert!((got - want).abs() <= within, "{what}: {got} {want}");
}

/// The lowest sum of squared distances of 50 starts.
fn inertia(set: &str, standardized: bool, clusters: usize) -> f64 {
    let clusters = std::num::NonZeroUsize::new(clusters).unwrap();
    let restarts = std::num::NonZeroUsize::new(50).unwrap();
    let config = KMeansConfig { clusters, restarts, standardize: false, ..KMeansConfig::default() };
    fit::<KMeans>(&config, &rows(set, standardized)).report.figures[0].value
}

#[test]
fn k_means() {
    near(inertia("iris", false, 3), 78.8514, 5e-5, "iris");
    near(inertia("wine", true, 3), 1277.9285, 5e-4, "wine");
    near(inertia("digits", false, 10), 1_165_154.0, 40.0, "digits");
}

#[test]
fn principal_components() {
    let shares = |set: &str, standardized: bool, n: usize| {
        let config =
            PcaConfig { components: std::num::NonZeroUsize::new(n).unwrap(), ..PcaConfig::default() };
        fit::<Pca>(&config, &rows(set, standardized)).model.explained()
    };
    for (set, standardized, want) in [
        ("iris", false, &[0.924_619, 0.053_066, 0.017_103, 0.005_212][..]),
        ("wine", true, &[0.361_988, 0.192_075]),
        ("digits", false, &[0.148_906, 0.136_188, 0.117_946]),
    ] {
        for (got, want) in shares(set, standardized, want.len()).iter().zip(want) {
            near(*got, *want, 1e-6, set);
        }
    }
}

/// Mean log-density of two probabilistic components, as scikit-learn has it.
fn two_components(set: &str, standardized: bool) -> f64 {
    let config = PpcaConfig { standardize: false, ..PpcaConfig::default() };
    let set = rows(set, standardized);
    let mean = fit::<Ppca>(&config, &set).model.log_prob(&set.train.x).unwrap().mean();
    // scikit-learn divides the covariance by n − 1, which is not the most likely one: all variances are larger by s.
    let (n, d) = (set.train.x.rows() as f64, set.train.x.width() as f64);
    let s = n / (n - 1.0);
    mean - 0.5 * d * (s.ln() + 1.0 / s - 1.0)
}

#[test]
fn probabilistic_components() {
    for (set, standardized, want) in
        [("iris", false, -2.699_797), ("wine", true, -16.155_363), ("digits", false, -177.439_976)]
    {
        near(two_components(set, standardized), want, 2e-6 * f64::abs(want), set);
    }
}

/// Mean log-density of two factors.
fn two_factors(set: &str, standardized: bool) -> f64 {
    let set = rows(set, standardized);
    fit::<FactorAnalysis>(&FactorAnalysisConfig::default(), &set).model.log_prob(&set.train.x).unwrap().mean()
}

/// Iris has a column that two factors explain wholly; scikit-learn creeps towards such an end, from -2.606874 by default to -2.599166 after
/// 100,000 turns, and there is a higher one. No normal law has more than the one with any covariance, -379.9146 in all.
#[test]
fn factors() {
    near(two_factors("wine", true), -15.433_658, 2e-6, "wine");
    let iris = two_factors("iris", false);
    assert!(iris > -2.599_206 && iris < -379.9146 / 150.0, "iris: {iris}");
}

/// Bumps on every other row of iris, scored on the rows between.
#[test]
fn kernels() {
    let all = rows("iris", false);
    let every_other = |from: usize| {
        let at: Vec<usize> = (from..all.train.x.rows()).step_by(2).collect();
        all.train.x.select(&at)
    };
    let set = Dataset::new("iris", all.schema.clone(), Split::unlabelled(every_other(0))).unwrap();
    for (width, want) in
        [(0.1, -4.415_722), (0.2, -2.113_339), (0.3, -2.335_221), (0.5, -3.193_948), (1.0, -4.982_824)]
    {
        let config = KdeConfig {
            bandwidth: Some(Positive::constant(width)),
            standardize: false,
            ..KdeConfig::default()
        };
        let got = fit::<Kde>(&config, &set).model.log_prob(&every_other(1)).unwrap().mean();
        near(got, want, 5e-6, &format!("{width}"));
    }
}

/// The same on rows that are not shipped.
#[test]
#[ignore = "needs breast-cancer among the data (GENUS_DATA)"]
fn tumours() {
    let set = "breast-cancer";
    near(inertia(set, true, 2), 11_595.461_5, 5e-4, "k-means");
    near(two_components(set, true), -31.684_884, 5e-5, "components");
    near(two_factors(set, true), -23.546_530, 5e-5, "factors");
}

/// The normal law that is most likely where only the last column lacks values: moments of the others over all rows, and the regression of
/// the last on them over the rows that have it (Anderson 1957). Gives its log density.
fn anderson(x: &Batch) -> impl Fn(&[f32]) -> f64 {
    let (n, d) = (x.rows() as f64, x.width());
    let wide = move |row: &[f32]| {
        nalgebra::DVector::from_iterator(d - 1, row[..d - 1].iter().map(|v| f64::from(*v)))
    };
    let all: Vec<_> = x.iter().map(wide).collect();
    let mean = all.iter().fold(nalgebra::DVector::zeros(d - 1), |s, v| s + v) / n;
    let cov = all.iter().fold(nalgebra::DMatrix::zeros(d - 1, d - 1), |s, v| {
        let off = v - &mean;
        s + &off * off.transpose() / n
    });
    let (mut a, mut b) = (nalgebra::DMatrix::zeros(d, d), nalgebra::DVector::zeros(d));
    let there = || x.iter().filter(|row| !row[d - 1].is_nan());
    for row in there() {
        let z = wide(row).push(1.0);
        a += &z * z.transpose();
        b += &z * f64::from(row[d - 1]);
    }
    let w = a.try_inverse().unwrap() * b;
    let own = move |row: &[f32]| f64::from(row[d - 1]) - w.dot(&wide(row).push(1.0));
    let rest = there().map(|row| own(row).powi(2)).sum::<f64>() / there().count() as f64;
    let inverse = cov.clone().try_inverse().unwrap();
    let log_det = cov.determinant().ln();
    move |row| {
        let off = wide(row) - &mean;
        let first = off.dot(&(&inverse * &off)) + log_det;
        -0.5 * (d as f64 * (2.0 * std::f64::consts::PI).ln() + first + own(row).powi(2) / rest + rest.ln())
    }
}

/// Rows of one common cause, of which the last column is often missing, the more so where the first is large.
fn lacking(d: usize) -> Dataset {
    let mut rng = Seed::from(5).rng();
    let mut x = Batch::zeros(400, d);
    for r in 0..400 {
        let z = rng.normal();
        for (c, v) in x.row_mut(r).iter_mut().enumerate() {
            *v = ((1.0 + 0.4 * c as f64) * z + 0.6 * rng.normal() + 3.0 * c as f64) as f32;
        }
        if x.row(r)[0] > 0.3 {
            x.row_mut(r)[d - 1] = f32::NAN;
        }
    }
    Dataset {
        train: Split::unlabelled(x),
        ..Dataset::new("t", genus::Domain::real(d), Split::unlabelled(Batch::zeros(1, d))).unwrap()
    }
}

/// Where cells are missing, every law that can be any normal law finds the one that is most likely, though rows that lack a cell are not like
/// the others.
#[test]
fn missing_cells_have_their_maximum() {
    let check = |set: &Dataset, model: &dyn genus::Density, within: f64, what: &str| {
        let want = anderson(&set.train.x);
        let probes = Batch::from_fn(20, set.schema.width(), |r, c| (r as f32 - 10.0) * 0.3 + (c * 3) as f32);
        for (row, got) in probes.iter().zip(model.log_prob(&probes).unwrap().nats) {
            near(got, want(row), within * (1.0 + want(row).abs()), what);
        }
    };
    let count = |n: usize| std::num::NonZeroUsize::new(n).unwrap();
    let (plane, space) = (lacking(2), lacking(3));
    let ppca = PpcaConfig { latent: count(1), ..PpcaConfig::default() };
    check(&plane, &fit::<Ppca>(&ppca, &plane).model, 1e-3, "ppca");
    let factors = FactorAnalysisConfig { latent: count(1), ..FactorAnalysisConfig::default() };
    check(&space, &fit::<FactorAnalysis>(&factors, &space).model, 1e-3, "factor-analysis");
    for set in [&plane, &space] {
        let mixture = genus::GaussianMixtureConfig {
            components: count(1),
            iterations: count(5000),
            tolerance: genus::config::NonNegative::new(1e-13).unwrap(),
            ..Default::default()
        };
        check(set, &fit::<genus::GaussianMixture>(&mixture, set).model, 1e-3, "gmm");
    }
}
