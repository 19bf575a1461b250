//! Draws beside real rows: `genus metrics`, and what `genus evaluate` says of draws.

use crate::program::Place;
use std::fs;

const TINY: &str = "--set generator.channels=4 --set discriminator.channels=4 --set train.epochs=2 --set train.batch=50 --no-audit";

fn of<'a>(found: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let all = found.as_array().unwrap();
    all.iter().find(|m| m["name"] == name).unwrap_or_else(|| panic!("{name} is missing: {found}"))
}

/// Several runs and files in one table, each figure beside that of real rows; rows of another kind are refused.
#[test]
fn several_are_compared_in_one_table() {
    let place = Place::new();
    place.ok(&format!("train gan --data digits --out one {TINY}"));
    place.ok(&format!("train gan --data digits --out two {TINY} --set class_conditional=true --seed 2"));
    place.ok("sample one -n 200 -o drawn.npz");
    let found = place.json("metrics digits one two drawn.npz --json");
    let compared = found["compared"].as_array().unwrap();
    assert_eq!(compared.len(), 3);
    for each in compared {
        let energy = of(&each["metrics"], "energy distance");
        assert!(energy["value"].as_f64().unwrap() > 0.05, "an untrained net is far away: {energy}");
        assert!(energy["floor"].as_f64().unwrap() < 0.02 && energy["rows"] == 200, "{energy}");
        assert!(of(&each["metrics"], "two-sample accuracy")["value"].as_f64().unwrap() > 0.8);
    }
    // Only draws that come with classes teach a classifier.
    let learned = |i: usize| {
        compared[i]["metrics"].as_array().unwrap().iter().any(|m| m["name"] == "train on draws, test on rows")
    };
    assert!(!learned(0) && learned(1));
    let quick = place.ok("metrics digits one --quick").stdout;
    assert!(
        quick.contains("real rows") && quick.contains("coverage") && !quick.contains("two-sample"),
        "{quick}"
    );
    place.refused("metrics iris one", 1, &["one draws rows of", "same kind"]);
    place.refused("metrics digits nowhere", 1, &["nowhere"]);
    fs::write(place.root().join("few.csv"), "a,b\n1.5,2\n2.5,1\n").unwrap();
    place.refused("metrics few.csv few.csv", 1, &["20 rows"]);
    // One column of real rows serves all: everything is compared in the number of rows that the smallest set has.
    place.ok("sample one -n 60 -o little.npz");
    let found = place.json("metrics digits one little.npz --quick --json");
    let energies = [0, 1].map(|i| of(&found["compared"][i]["metrics"], "energy distance").clone());
    assert!(
        energies.iter().all(|e| e["rows"] == 60) && energies[0]["floor"] == energies[1]["floor"],
        "{energies:?}"
    );
    // Categories are as far from each other as any two of them are.
    let text: String = (0..60).map(|i| format!("{}.5,{}\n", i, ["red", "blue", "green"][i % 3])).collect();
    fs::write(place.root().join("mixed.csv"), format!("a,colour\n{text}")).unwrap();
    let mixed = place.ok("metrics mixed.csv mixed.csv --quick").stdout;
    assert!(mixed.contains("pair trends") && mixed.contains("energy distance"), "{mixed}");
}

/// Evaluation says it too, of draws as many as were asked for; classes are drawn by name.
#[test]
fn evaluation_has_figures_of_draws() {
    let place = Place::new();
    place.ok(&format!("train gan --data digits --out run {TINY} --set class_conditional=true"));
    let found = place.json("evaluate run --data digits --draws 100 --json");
    assert_eq!(found["scores"].as_array().unwrap().len(), 0);
    assert_eq!(of(&found["draws"], "recall")["rows"], 100);
    assert!(
        place.json("evaluate run --data digits --draws 0 --json")["draws"].as_array().unwrap().is_empty()
    );
    let text = place.ok("evaluate run --data digits --draws 100").stdout;
    assert!(text.contains("Fréchet distance") && text.contains("real rows"), "{text}");
    assert!(place.ok("sample run --class 3 -n 4").stdout.lines().skip(1).all(|l| l.ends_with(",3")));
    place.refused("sample run --class 11", 2, &["there is no class `11`"]);
    place.refused("score run --data digits", 1, &["gan"]);
}
