//! Data sets by name: known values, splits, and help for slips.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus_core::data::{Entry, Kind, Label, Options, catalogue, load, log_density, parse_split};
use genus_core::{Batch, Seed};

fn means(x: &Batch) -> Vec<f64> {
    let n = x.rows() as f64;
    (0..x.width()).map(|c| x.iter().map(|r| f64::from(r[c])).sum::<f64>() / n).collect()
}

#[test]
fn iris_and_wine_have_their_known_means() {
    let set = load("iris", &Options::default()).unwrap();
    let want = [5.843_333, 3.057_333, 3.758, 1.199_333];
    assert!(
        means(&set.train.x).iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6),
        "{:?}",
        means(&set.train.x)
    );
    assert_eq!(set.train.x.row(0), [5.1, 3.5, 1.4, 0.2]);
    assert_eq!(set.schema.classes(), ["setosa", "versicolor", "virginica"]);
    let labels = set.schema.labels(&set.train).unwrap();
    assert_eq!((labels[0], labels[50], labels[149]), (0, 1, 2));
    assert_eq!((set.train.x.rows(), set.schema.columns.len()), (150, 4));
    assert!(set.valid.is_none() && set.test.is_none());
    assert!(set.provenance.source.contains("CC BY 4.0") && set.provenance.splits.contains("150"));

    let set = load("wine", &Options::default()).unwrap();
    let m = means(&set.train.x);
    assert!((m[0] - 13.000_618).abs() < 1e-5 && (m[12] - 746.893_258).abs() < 1e-4, "{m:?}");
    assert_eq!((set.train.x.rows(), set.schema.columns[12].name.as_str()), (178, "proline"));
    let labels = set.schema.labels(&set.train).unwrap();
    let counts: Vec<usize> = (0..3).map(|c| labels.iter().filter(|l| **l == c).count()).collect();
    assert_eq!(counts, [59, 71, 48]);
}

#[test]
fn digits_have_their_known_sum_and_a_fixed_split() {
    let set = load("digits", &Options::default()).unwrap();
    let rows: Vec<usize> = set.splits().map(|(_, s)| s.x.rows()).collect();
    assert_eq!(rows, [1397, 200, 200]);
    let total: f64 = set.splits().flat_map(|(_, s)| s.x.data()).map(|v| f64::from(*v)).sum();
    assert_eq!(total, 561_718.0);
    let mut per_class = [0; 10];
    set.splits().flat_map(|(_, s)| set.schema.labels(s).unwrap()).for_each(|l| per_class[l as usize] += 1);
    assert_eq!(per_class, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert_eq!(set.domain().to_string(), "0..17 8×8×1");
    assert_eq!(set.schema.classes()[9], "9");
    // The default split does not follow the seed; one that is asked for does.
    let of = |split, seed| {
        load("digits", &Options { split, seed: Seed::from(seed), ..Options::default() }).unwrap().digest()
    };
    assert_eq!(of(None, 1), of(None, 2));
    let half = Some([0.5, 0.0, 0.5]);
    assert_ne!(of(half, 1), of(half, 2));
    let whole = load("digits", &Options { split: Some([1.0, 0.0, 0.0]), ..Options::default() }).unwrap();
    assert_eq!(whole.train.x.rows(), 1797);
    assert_eq!(whole.train.x.row(0)[..7], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0]);
}

#[test]
fn every_built_in_set_is_as_the_catalogue_says() {
    for Entry { name, rows, shape, .. } in
        catalogue().iter().filter(|e| matches!(e.kind, Kind::Shipped | Kind::Generated))
    {
        let set = load(name, &Options::default()).unwrap();
        let of = |s: &Option<genus_core::Split>| s.as_ref().map_or(0, |s| s.x.rows());
        assert_eq!([set.train.x.rows(), of(&set.valid), of(&set.test)], *rows, "{name}");
        assert_eq!(set.domain().to_string(), *shape, "{name}");
        assert_eq!(set.provenance.name, *name);
        assert!(!set.provenance.splits.is_empty() && !set.provenance.source.is_empty());
    }
    let set = load("tree16", &Options::default()).unwrap();
    assert!(set.provenance.entropy.is_some_and(|h| h > 5.0 && h < 16.0 * 2f64.ln()));
    assert!(log_density("tree16", &set.test.unwrap().x).unwrap().iter().all(|l| *l < 0.0));
}

#[test]
fn splits() {
    assert_eq!(parse_split("0.8/0.1/0.1").unwrap(), [0.8, 0.1, 0.1]);
    assert_eq!(parse_split("0.75/0.25").unwrap(), [0.75, 0.0, 0.25]);
    for bad in ["", "0.8", "0.8/0.1/0.2", "0/0.5/0.5", "a/b/c", "1.5/-0.5/0", "1/0/0/0", "nan/nan/nan"] {
        assert!(parse_split(bad).is_err(), "{bad}");
    }
    let options = Options { split: Some([0.8, 0.1, 0.1]), ..Options::default() };
    let set = load("iris", &options).unwrap();
    assert_eq!(set.splits().map(|(_, s)| s.x.rows()).collect::<Vec<_>>(), [120, 15, 15]);
    let e = load("moons", &options).unwrap_err().to_string();
    assert!(e.contains("its own train, valid and test"), "{e}");
}

#[test]
fn unknown_names_are_guessed() {
    let e = load("minst", &Options::default()).unwrap_err().to_string();
    assert!(e.contains("did you mean mnist") && e.contains("catalogue"), "{e}");
    let e = load("/no/such/file.csv", &Options::default()).unwrap_err().to_string();
    assert!(e.contains("no file or folder /no/such/file.csv"), "{e}");
    let label = Options { label: Some(Label::Index(0)), ..Options::default() };
    assert!(load("moons", &label).unwrap_err().to_string().contains("label"));
    let none = Options { label: Some(Label::None), ..Options::default() };
    let set = load("iris", &none).unwrap();
    assert!(set.train.given.is_none() && set.schema.classes().is_empty() && set.schema.width() == 4);
}
