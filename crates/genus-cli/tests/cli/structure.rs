//! Clusters, codes and anomalies: `genus cluster`, `genus probe`, `genus score --labels`.

use crate::program::Place;
use std::fs;

/// Every row has a cluster, and how far clusters are the classes is said; models that do not cluster are refused.
#[test]
fn rows_have_clusters() {
    let place = Place::new();
    place.ok("train k-means --data iris --set clusters=3 --set standardize=false --out run");
    let out = place.ok("cluster run --data iris -o clusters.csv");
    // scikit-learn: 0.7302 and 0.7582.
    let said = ["Rand index 0.7302", "information 0.7582"];
    assert!(said.iter().all(|s| out.stderr.contains(s)), "{}", out.stderr);
    let text = fs::read_to_string(place.path("clusters.csv")).unwrap();
    assert!(text.starts_with("cluster\n") && text.lines().count() == 151, "{text}");
    assert!(text.lines().skip(1).all(|l| ["1", "2", "3"].contains(&l)), "{text}");
    place.ok("train pca --data iris --out pca");
    place.refused("cluster pca --data iris", 1, &["pca cannot cluster", "k-means", "gmm"]);
    place.refused("sample pca", 1, &["pca cannot sample"]);
    place.refused("score pca --data iris", 1, &["pca cannot score"]);
}

/// Codes are worth something, and rows that were learned from are no test.
#[test]
fn codes_are_probed() {
    let place = Place::new();
    place.ok("train pca --data digits --set components=10 --out run --no-audit");
    let found = place.json("probe run --data digits --labels 300 --json");
    for (what, width) in [("rows", 64), ("codes", 10)] {
        let probe = &found[what];
        assert_eq!((&probe["width"], &probe["labels"]), (&width.into(), &300.into()));
        assert_eq!(probe["tested"], 200);
        assert!(probe["accuracy"].as_f64().unwrap() > 0.8, "{found}");
    }
    place.refused("probe run --data digits --labels 0", 1, &["two classes"]);
    place.refused("probe run --data digits --rows train", 2, &["did not learn from"]);
    place.train("gmm", "iris", "gmm", "");
    place.refused("probe gmm --data iris", 1, &["gmm cannot encode"]);
}

/// A column that the model does not have says which rows are anomalies, and how well low scores find them.
#[test]
fn anomalies_are_found() {
    let place = Place::new();
    let row = |i: usize, far: f64| {
        let odd = if far > 0.0 { "yes" } else { "no" };
        format!("{},{},{odd}\n", (i as f64 * 0.7).sin() + far, (i as f64 * 1.3).cos())
    };
    let rows: String = (0..100).map(|i| row(i, if i % 20 == 0 { 9.0 } else { 0.0 })).collect();
    fs::write(place.path("known.csv"), format!("a,b,fraud\n{rows}")).unwrap();
    let fine: String = (0..100).map(|i| row(i, 0.0)).map(|l| l.replace(",no", "")).collect();
    fs::write(place.path("fine.csv"), format!("a,b\n{fine}")).unwrap();
    place.ok("train gmm --data fine.csv --set components=1 --out run --no-audit");
    let found = place.json("score run --data known.csv --labels fraud --json");
    let detection = &found["detection"];
    assert_eq!((&detection["anomalies"], &detection["rows"]), (&5.into(), &100.into()), "{detection}");
    assert_eq!((&detection["roc_auc"], &detection["average_precision"]), (&1.0.into(), &1.0.into()));
    let turned = place.json("score run --data known.csv --labels fraud --anomaly no --json");
    assert_eq!(turned["detection"]["roc_auc"], 0.0);
    place.refused("score run --data known.csv --labels nothing", 2, &["nothing"]);
    place.refused("score run --data known.csv", 1, &["fraud"]);
    place.refused("score run --data known.csv --labels b", 2, &["`b` is a column of the model"]);
    // A row whose label is missing would shift all that follow.
    let holes = format!("a,b,fraud\n0.1,0.2,\n{rows}");
    fs::write(place.path("holes.csv"), holes).unwrap();
    place.refused(
        "score run --data holes.csv --labels fraud --drop-missing",
        2,
        &["lack a value", "leave them out"],
    );
    place.refused("score run --data holes.csv --labels fraud", 1, &["line 2"]);
}
