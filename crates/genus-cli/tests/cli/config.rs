//! Configurations that cannot be used: the key is named with what is allowed.

use crate::program::Place;

/// Protects from settings that are silently ignored or fail late: unknown keys, ranges, types, forms, all exit 2 before a
/// folder is made.
#[test]
fn the_key_and_its_range_are_named() {
    let place = Place::new();
    let cases: [(&str, &[&str]); 16] = [
        ("made --set hiden=[16]", &["hiden", "hidden", "activation"]),
        ("made --set train.epoch=3", &["train.epoch", "epochs", "batch"]),
        ("made --set train.batch=0", &["train.batch", "a whole number of at least 1"]),
        ("made --set train.optimizer.rate=-1", &["train.optimizer.rate", "-1", "above 0"]),
        ("made --set train.optimizer.rate=nan", &["train.optimizer.rate", "above 0"]),
        ("made --set train.ema=1", &["train.ema", "below 1"]),
        ("made --set hidden=three", &["hidden", "three"]),
        ("made --set hidden=[16,0]", &["hidden"]),
        ("made --set ordering=backwards", &["ordering", "natural", "random"]),
        ("made --set train", &["train", "key=value"]),
        ("made --set train.batch.x=1", &["train.batch.x", "not a table"]),
        ("made --set order_agnostic=true", &["order_agnostic", "random"]),
        ("pixelcnn --set hidden=9000000000000000000", &["hidden", "choose a smaller one"]),
        ("gated-pixelcnn --set layers=1000000000", &["layers", "too deep"]),
        ("gated-pixelcnn --set kernel=4", &["kernel", "odd and at most 99"]),
        ("fvsbn --set class_conditional=true", &["class_conditional", "no labels"]),
    ];
    for (words, wants) in cases {
        place.refused(&format!("train {words} --data tree8 --out run"), 2, wants);
    }
    let deep = format!("train made --data tree8 --out run --set {}=1", "a.".repeat(30_000) + "a");
    place.refused(&deep, 2, &["a.a.a", "more than 16 names", "shows the keys"]);
    place.refused(
        "train made --data tree8 --out run --checkpoint-seconds -1",
        2,
        &["checkpoint-seconds", "at least 0"],
    );
    place.refused("train made --data tree8 --out run --time 3weeks", 2, &["--time", "use s, m or h"]);
    assert!(place.everything().is_empty(), "{:?}", place.everything());
}

/// Protects the second try: a training that diverges says at which step and what to change, and leaves the name free.
#[test]
fn divergence_names_the_remedy_and_frees_the_folder() {
    let place = Place::new();
    let words = "--data tree8 --out run --set hidden=[4] --set train.epochs=1";
    let wants = ["not finite at step", "lower train.optimizer.rate", "clip"];
    place.refused(&format!("train made {words} --set train.optimizer.rate=1e30"), 1, &wants);
    assert!(place.everything().is_empty(), "{:?}", place.everything());
    place.ok(&format!("train made {words} --set train.optimizer.rate=0.01"));
}

/// Protects the layers: a file lies under `--set`, its mistakes are named with line and column, and the effective values
/// are in the run folder.
#[test]
fn a_file_of_settings_lies_under_the_command_line() {
    let place = Place::new();
    place.file("bad.toml", "hidden = [16]\ntrain = = 3\n");
    place.refused("train made --data tree8 --out run --config bad.toml", 1, &["bad.toml: line 2, column 9"]);
    place.file("odd.toml", "hidden = [16]\n[train]\nbach = 3\n");
    place.refused("train made --data tree8 --out run --config odd.toml", 2, &["train.bach", "batch"]);
    place.refused("train made --data tree8 --out run --config none.toml", 1, &["cannot read none.toml"]);
    place.file("c.toml", "hidden = [12]\n[train]\nepochs = 1\nbatch = 5000\n");
    place.ok("train made --data tree8 --out run --config c.toml --set train.batch=2500 --seed 9");
    let stored: toml::Table = toml::from_str(&place.text("run/config.toml")).unwrap();
    let config = stored["config"].as_table().unwrap();
    assert_eq!(stored["seed"].as_integer(), Some(9));
    assert_eq!(config["hidden"], toml::Value::from(vec![12]));
    assert_eq!(config["train"]["epochs"].as_integer(), Some(1));
    assert_eq!(config["train"]["batch"].as_integer(), Some(2500));
    // Defaults and what suits the data are filled in, so that the folder says all.
    assert_eq!(config["train"]["patience"].as_integer(), Some(11));
    assert_eq!(config["train"]["validate"].as_integer(), Some(1));
    let summary: serde_json::Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert_eq!(summary["steps"], 4);
}

/// Protects from arguments that cannot hold together: the usage is shown, exit code 2.
#[test]
fn arguments_that_contradict_are_usage_errors() {
    let place = Place::new();
    for words in ["--set train.epochs=9", "--config c.toml", "--seed 4", "--split 0.5/0.5", "--label none"] {
        let option = words.split(' ').next().unwrap();
        place.refused(
            &format!("train --resume --out run {words}"),
            2,
            &["--resume", "cannot be used", option],
        );
    }
    place.refused("train --resume", 2, &["--out"]);
    place.refused("train", 2, &["<MODEL>"]);
    place.refused("trian made", 2, &["trian", "train"]);
    place.refused("score run", 2, &["--data"]);
    place.refused("sample run -n many", 2, &["many"]);
    place.refused("score run --data iris --rows all", 2, &["train, valid, test"]);
}
