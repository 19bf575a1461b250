//! Against closed forms, and against what the reference implementations make of the same numbers (`benches/peers/metrics.py`).

use super::*;
use crate::data::{self, Options};
use kernel::kernel_distance;

const N: usize = 400;

/// The numbers of `benches/peers/metrics.py`.
fn features(salt: f64, stretch: f64, shift: f64) -> Batch {
    let part = |a: f64| a - a.floor();
    Batch::from_fn(N, 8, |r, c| {
        let (r, c) = (r as f64, c as f64);
        let u = part((12.9898 * (r + 1.0) + 78.233 * (c + 1.0) + salt).sin() * 43758.5453);
        let v = part((39.346 * (r + 1.0) + 11.135 * (c + 1.0) + salt).sin() * 24634.6345);
        (shift + stretch * (u + v - 1.0 + 0.3 * c * (v - 0.5))) as f32
    })
}

fn close(got: f64, want: f64, what: &str) {
    assert!((got / want - 1.0).abs() < 1e-5, "{what}: {got} {want}");
}

/// torch-fidelity 0.4.0, prdc 0.2, and definitions by scipy.
#[test]
fn figures_are_those_of_the_reference_implementations() {
    let (real, drawn) = (features(0.0, 1.0, 0.0), features(7.0, 0.9, 0.1));
    close(kernel_distance(&drawn, &real, Kernel::Cubic).unwrap(), 0.017_464_634_973_631_82, "kernel");
    close(frechet::frechet_distance(&drawn, &real).unwrap(), 0.103_492_807_746_252_25, "Fréchet");
    close(energy::energy_distance(&drawn, &real).unwrap(), 0.019_763_986_733_994_02, "energy");
    let gaussian = Kernel::Gaussian { bandwidth: 1.7 };
    close(kernel_distance(&drawn, &real, gaussian).unwrap(), 0.006_617_520_395_131_304, "Gaussian");
    let found = coverage::coverage(&drawn, &real).unwrap();
    let want = coverage::Coverage { precision: 0.9975, recall: 0.905, density: 1.279, coverage: 0.9775 };
    assert_eq!(found, want);
}

fn normals(n: usize, d: usize, mean: f64, std: f64, seed: u64) -> Batch {
    let mut rng = Seed::from(seed).rng();
    Batch::from_fn(n, d, |_, _| (mean + std * rng.normal()) as f32)
}

/// Normals whose distances have closed forms: energy distance in one dimension, Gaussian MMD, Fréchet, sliced Wasserstein. Within
/// five standard errors of the estimates, as their spread over seeds shows (false alarm 1e-6 each).
#[test]
fn figures_of_normals_are_their_closed_forms() {
    let n = 3000;
    let over = |f: &dyn Fn(u64) -> f64| -> (f64, f64) {
        let each: Vec<f64> = (0..8).map(f).collect();
        let mean = each.iter().sum::<f64>() / 8.0;
        let variance = each.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 7.0;
        (mean, (variance / 8.0).sqrt())
    };
    // E|X − Y| of normals with difference N(m, s²) is s √(2/π) e^(−m²/2s²) + m erf(m/s√2).
    let folded = |m: f64, s: f64| {
        let z = m / s;
        s * (2.0 / std::f64::consts::PI).sqrt() * (-0.5 * z * z).exp()
            + m * libm::erf(z / std::f64::consts::SQRT_2)
    };
    let want = 2.0 * folded(0.5, 5f64.sqrt()) - folded(0.0, 2f64.sqrt()) - folded(0.0, 8f64.sqrt());
    let (got, error) = over(&|s| {
        energy::energy_distance(&normals(n, 1, 0.0, 1.0, 2 * s), &normals(n, 1, 0.5, 2.0, 2 * s + 1)).unwrap()
    });
    assert!((got - want).abs() < 8.0 * error && error < 0.1 * want, "energy {got} ± {error}, {want}");
    // E exp(−|X − Y|²/2h²) with difference N(m, s²) in each of d dimensions.
    let (d, h) = (3, 1.5f64);
    let k = |m: f64, variance: f64| -> f64 {
        let v = variance + h * h;
        ((h * h / v).sqrt() * (-0.5 * m * m / v).exp()).powi(d)
    };
    let want = k(0.0, 2.0) + k(0.0, 2.0) - 2.0 * k(0.4, 2.0);
    let (got, error) = over(&|s| {
        let [x, y] = [normals(n, 3, 0.0, 1.0, 2 * s), normals(n, 3, 0.4, 1.0, 2 * s + 1)];
        kernel_distance(&x, &y, Kernel::Gaussian { bandwidth: h }).unwrap()
    });
    assert!((got - want).abs() < 8.0 * error && error < 0.1 * want, "MMD² {got} ± {error}, {want}");
    let want = 3.0 * (0.25 + 1.0);
    let (got, error) = over(&|s| {
        frechet::frechet_distance(&normals(n, 3, 0.0, 1.0, 2 * s), &normals(n, 3, 0.5, 2.0, 2 * s + 1))
            .unwrap()
    });
    assert!((got - want).abs() < 8.0 * error + 0.01, "Fréchet {got} ± {error}, {want}");
    // Along a direction u the mean differs by m Σu and the deviation by 1: the mean square is m² + 1 over directions.
    let want = (0.25f64 + 1.0).sqrt();
    let (got, error) = over(&|s| {
        let [x, y] = [normals(n, 3, 0.0, 1.0, 2 * s), normals(n, 3, 0.5, 2.0, 2 * s + 1)];
        sliced::sliced_wasserstein(&x, &y, Seed::from(s)).unwrap()
    });
    assert!((got - want).abs() < 8.0 * error + 0.01, "sliced {got} ± {error}, {want}");
}

/// What is nothing of the kind is told from draws of the law, by each figure that can see it.
#[test]
fn figures_tell_what_is_wrong() {
    let set = data::load("digits", &Options::default()).unwrap();
    let (test, train) = (set.test.clone().unwrap(), set.train.clone());
    let held = Split { ..test.clone() };
    let sides = Sides { schema: &set.schema, held_out: &held, train: &train, binarized: false };
    let of = |draws: &Split, which| sides.compare(draws, which, Seed::from(3), &mut |_, _| ()).unwrap();
    let value = |found: &[SampleMetric], name: &str| found.iter().find(|m| m.name == name).unwrap().clone();
    let n = sides.rows(1000);
    // Validation rows are as good as draws can be.
    let fine = of(
        &set.valid
            .clone()
            .unwrap()
            .select(&(0..n.min(set.valid.as_ref().unwrap().x.rows())).collect::<Vec<_>>()),
        Which::All,
    );
    let told = value(&fine, "two-sample accuracy");
    assert!((told.value - 0.5).abs() < 0.15, "{told:?}");
    assert_eq!(value(&fine, "duplicates").value, 0.0);
    assert!(value(&fine, "train on draws, test on rows").value > 0.7);
    // One class only, and copies of training rows.
    let labels = set.schema.labels(&train).unwrap();
    let ones: Vec<usize> = (0..train.x.rows()).filter(|r| labels[*r] == 1).take(20).cycle().take(n).collect();
    let collapsed = of(&train.select(&ones), Which::All);
    assert!(value(&collapsed, "duplicates").value > 0.5);
    assert_eq!(value(&collapsed, "copies").value, 1.0);
    assert_eq!(value(&fine, "copies").value, 0.0);
    assert!(value(&collapsed, "classes present").value <= 3.0);
    assert!(value(&collapsed, "recall").value < 0.5 * value(&collapsed, "recall").floor.unwrap());
    assert!(value(&collapsed, "copying").value > 0.9);
    assert!(value(&collapsed, "two-sample accuracy").value > 0.8);
    let energy = |found: &[SampleMetric]| value(found, "energy distance");
    assert!(
        energy(&collapsed).value > 10.0 * energy(&fine).value.abs().max(energy(&fine).floor.unwrap().abs())
    );
    // Too few rows, and draws that are no numbers, are errors that say so.
    assert!(sides.compare(&train.select(&[0, 1, 2]), Which::Quick, Seed::from(0), &mut |_, _| ()).is_err());
    let mut broken = train.select(&(0..n).collect::<Vec<_>>());
    broken.x.row_mut(3)[0] = f32::NAN;
    let error = sides.compare(&broken, Which::Quick, Seed::from(0), &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("draw 3"), "{error}");
}

/// Rows that repeat are near each other: of a law of bits, other rows of it are as precise as rows can be, and the commonest row over and
/// over is precise and covers little.
#[test]
fn rows_that_repeat_are_near() {
    let set = data::load("tree8", &Options::default()).unwrap();
    let test = &set.test.as_ref().unwrap().x;
    let of = |draws: &Batch| coverage::coverage(draws, &test.slice(0, 1000)).unwrap();
    let same = of(&test.slice(1000, 2000));
    assert!(same.precision > 0.95 && same.recall > 0.95 && same.coverage > 0.95, "{same:?}");
    let mut counts: std::collections::BTreeMap<Vec<u8>, usize> = Default::default();
    test.iter().for_each(|r| *counts.entry(r.iter().map(|v| *v as u8).collect()).or_default() += 1);
    let (mode, _) = counts.iter().max_by_key(|c| c.1).unwrap();
    let found = of(&Batch::from_fn(1000, 8, |_, c| f32::from(mode[c])));
    assert!(found.precision == 1.0 && found.recall < 0.5 && found.coverage < 0.5, "{found:?}");
}
