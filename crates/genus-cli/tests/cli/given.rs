//! Models of p(x | given): columns that are given, by name, in training, scores and draws.

use crate::program::{Place, ended};
use std::fmt::Write as _;

const TINY: &str =
    "--set layers=2 --set hidden=[8] --set train.epochs=3 --set train.batch=50 --split 1/0/0 --no-audit";

/// Two columns about 0 and 50, a number a from 0 to 1 and a colour.
fn table(columns: [usize; 4], n: usize) -> String {
    let names = ["x", "y", "a", "colour"];
    let mut text = columns.map(|c| names[c]).join(",") + "\n";
    for i in 0..n {
        let wave = |k: f64| (i as f64 * k).sin();
        let a = (i % 10) as f64 / 10.0;
        let cells = [
            format!("{:.3}", a + 0.3 * wave(1.3)),
            format!("{:.3}", 50.0 + wave(0.7)),
            format!("{a:.1}"),
            ["red", "blue"][i % 2].into(),
        ];
        writeln!(text, "{}", columns.map(|c| cells[c].clone()).join(",")).unwrap();
    }
    text
}

fn fitted() -> Place {
    let place = Place::new();
    place.file("all.csv", table([0, 1, 2, 3], 100));
    place.ok(&format!("train maf --data all.csv --given a,colour --out run {TINY}"));
    place
}

/// Protects scores and draws from what is given standing elsewhere: it is found by name, and drawn rows carry it.
#[test]
fn given_columns_go_by_name() {
    let place = fitted();
    let json = place.json("evaluate run --data all.csv --json");
    let own = json["scores"][0]["nats"].as_f64().unwrap();
    assert!(json["scores"][0]["protocol"].as_str().unwrap().contains("given a, colour"), "{json}");
    place.file("other.csv", table([3, 1, 2, 0], 100));
    let other = place.json("evaluate run --data other.csv --json");
    assert_eq!(other["scores"][0]["nats"].as_f64().unwrap(), own);
    assert!(place.ok("evaluate run --data all.csv").stdout.contains("log-likelihood of p(x | a, colour)"));
    let scores = place.ok("score run --data all.csv").stdout;
    assert_eq!(scores.lines().count(), 100);

    let drawn = place.ok("sample run --given colour=red,a=0.5 -n 3").stdout;
    let lines: Vec<&str> = drawn.lines().collect();
    assert_eq!((lines[0], lines.len()), ("x,y,a,colour", 4));
    assert!(lines[1..].iter().all(|l| l.ends_with(",0.5,red")), "{drawn}");
    // The same seed, the same draws; another value, others.
    assert_eq!(place.ok("sample run --given a=0.5,colour=red -n 3").stdout, drawn);
    assert_ne!(place.ok("sample run --given a=0.5,colour=blue -n 3").stdout.replace("blue", "red"), drawn);

    place.file("rows.csv", "colour,other,a\nred,1,0.25\nblue,,0.75\n");
    let e = place.ok("sample run --given-rows rows.csv -n 2");
    let ends: Vec<String> =
        e.stdout.lines().skip(1).map(|l| l.split(',').skip(2).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(ends, ["0.25,red", "0.25,red", "0.75,blue", "0.75,blue"], "{}", e.stdout);
    assert!(e.stderr.contains("left out: other"), "{}", e.stderr);
    assert_eq!(place.ok("sample run --given-rows rows.csv").stdout.lines().count(), 3);
    assert_eq!(place.json("sample run --given-rows all.csv --json").as_array().unwrap().len(), 100);
    assert_eq!(place.ok("encode run --data all.csv").stdout.lines().count(), 101);
    assert_eq!(place.ok("reconstruct run --data all.csv").stdout.lines().count(), 101);
    // Rows 0 and 10 are given the same, rows 0 and 1 are not.
    place.ok("interpolate run --data all.csv --from 0 --to 10");
    place.refused("interpolate run --data all.csv --from 0 --to 1", 2, &["given different values"]);
}

/// Protects from draws under nothing, under half of what is given, and under what is no value.
#[test]
fn what_cannot_be_given_is_refused() {
    let place = fitted();
    let form = "--given \"a=0,colour=blue\"";
    place.refused("sample run", 2, &["p(x | a, colour)", form, "--given-rows FILE"]);
    place.refused("sample run --class red", 2, &[form]);
    for (given, wants) in [
        ("a=0.5", &["no value for colour", "a=0,colour=blue"][..]),
        ("a=0.5,colour=pink", &["\"pink\" in column \"colour\" was never seen in training", "blue, red"]),
        ("a=warm,colour=red", &["a: `warm` is not a finite number"]),
        ("a=nan,colour=red", &["a: `nan` is not a finite number"]),
        ("a=1e999,colour=red", &["not a finite number"]),
        ("a=0.5,color=red", &["not given `color`", "did you mean colour?"]),
        ("a=0.5,a=0.6,colour=red", &["`a` is there twice"]),
        ("a,colour=red", &["`a` is not of the form column=value"]),
        ("x=1,a=0.5,colour=red", &["not given `x`"]),
    ] {
        place.refused(&format!("sample run --given {given}"), 2, wants);
    }
    place.file("rows.csv", "a\n0.5\n");
    place.refused("sample run --given-rows rows.csv", 1, &["lack colour"]);
    place.file("rows.csv", "a,colour\n0.5,red\n,red\n");
    place.refused("sample run --given-rows rows.csv", 1, &["line 3", "column \"a\"", "no value"]);
    place.file("rows.csv", "a,colour\n0.5,red\n0.5,pink\n");
    place.refused(
        "sample run --given-rows rows.csv",
        1,
        &["\"pink\" in column \"colour\" was never seen", "blue, red"],
    );
    place.refused("sample run --given-rows no.csv", 1, &["no file"]);
    place.refused("sample run --given a=1 --given-rows rows.csv", 2, &["cannot be used with"]);
    let far = place.ok("sample run --given a=40,colour=red -n 2");
    assert!(
        far.stderr.contains("warning: a = 40 far outside of the training rows (0 … 0.9)"),
        "{}",
        far.stderr
    );

    let said = place.ok("sample run --given a=0.5,colour=red -n 2 -o z.npz").stderr;
    assert!(
        said.contains("array `given` has what they are given: a; colour as a number of blue, red"),
        "{said}"
    );
    assert!(
        place.ok("sample run --given a=0.5,colour=red -n 2 -o z.npy").stderr.contains("is not in the file")
    );

    // New rows without what is given, with unseen categories, with holes.
    place.file("new.csv", "x,y,colour\n0.1,50,red\n");
    for verb in ["score", "evaluate", "encode"] {
        place.refused(
            &format!("{verb} run --data new.csv"),
            1,
            &["p(x | a, colour)", "no column `a`", "x, y, colour"],
        );
    }
    place.file("new.csv", "x,y,a,colour\n0.1,50,0.5,red\n0.1,50,0.5,pink\n");
    place.refused(
        "score run --data new.csv",
        1,
        &["line 3", "\"pink\" in column \"colour\" was never seen", "blue, red"],
    );
    place.file("new.csv", "x,y,a,colour\n0.1,50,,red\n0.1,50,0.5,red\n");
    place.refused("score run --data new.csv", 1, &["line 2", "column \"a\"", "--drop-missing"]);
    assert_eq!(place.ok("score run --data new.csv --drop-missing").stdout.lines().count(), 1);
    place.file("new.csv", "0.1,50,0.5,red\n0.1,51,0.5,red\n");
    place.refused("score run --data new.csv", 1, &["no column `a`"]);
    place.file("new.csv", "x,y,a,colour\n0.1,50,1e9,red\n");
    let e = place.run("score run --data new.csv");
    assert!(e.stderr.contains("far") && !e.stdout.contains("NaN"), "{e:?}");
    // What a model of p(x | given) does not do.
    place.refused("classify run --data all.csv", 1, &["maf cannot classify", "p(x | a, colour)"]);
    place.refused("impute run --data all.csv", 1, &["maf cannot impute", "p(x | a, colour)"]);
}

/// Protects from a model of something else than was asked for, and from a folder that is left behind.
#[test]
fn what_cannot_be_trained_is_refused_before_anything_is_written() {
    let place = Place::new();
    place.file("all.csv", table([0, 1, 2, 3], 60));
    for (model, given, code, wants) in [
        ("maf", "a,color", 2, &["no column `color`", "did you mean colour?", "x, y, a, colour"][..]),
        ("maf", "a,a", 2, &["`a` is there twice"]),
        ("maf", "x,y,a,colour", 2, &["every column is given", "name fewer"]),
        ("maf", ",", 2, &["no column is named"]),
        (
            "linear-ica",
            "a,colour",
            2,
            &["linear-ica has no density given columns", "these have: rnade, nice", "spline-flow"],
        ),
        ("vae", "a,colour", 2, &["vae has no density given columns"]),
        ("gmm", "a,colour", 2, &["gmm has a density given numbers only", "colour is a category", "maf"]),
        ("maf", "a", 1, &["maf takes real", "mixed"]),
    ] {
        place.refused(&format!("train {model} --data all.csv --given {given} --out run"), code, wants);
        assert!(!place.path("run").exists(), "{model} {given}");
    }
    place.file("holes.csv", "x,y,a\n1.5,2,0.1\n2.5,3,\n3.5,4,0.3\n");
    place.refused(
        "train maf --data holes.csv --given a --out run",
        1,
        &["line 3", "column \"a\"", "no value"],
    );
    let info = place.json("data info all.csv --given colour,a --json");
    assert_eq!(info["of"], "p(x | colour, a)");
    let able: Vec<&str> = info["models"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    assert!(
        able.contains(&"maf") && able.contains(&"rnade") && !able.contains(&"gmm") && !able.contains(&"vae"),
        "{able:?}"
    );
    assert!(place.ok("data info all.csv --given colour,a").stdout.contains("models of p(x | colour, a)"));
    // A model of p(x) is given nothing.
    place.ok("train gmm --data iris --set components=2 --set restarts=1 --out gmm");
    place.refused("sample gmm --given a=1", 2, &["p(x)", "given nothing"]);
    place.refused("sample gmm --given-rows all.csv", 2, &["p(x)", "given nothing"]);
}

/// Protects runs that go on: what is given belongs to the model.
#[test]
fn runs_keep_what_they_are_given() {
    let place = fitted();
    let summary: serde_json::Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert_eq!(summary["given"], serde_json::json!(["a", "colour"]));
    assert!(place.text("run/report.html").contains("p(x | a, colour)"));
    assert!(place.text("run/config.toml").contains("given = ["), "{}", place.text("run/config.toml"));
    place.ok("train --resume --out run");
    place.refused("train --resume --out run --given a", 2, &["--resume", "--given"]);
    place.ok("train --from run --out longer");
    place.ok("train --from run --given a,colour --out again");
    place.refused("train --from run --given a --out other", 2, &["p(x | a, colour)", "leave it out"]);
    assert!(place.text("longer/config.toml").contains("given = ["));
    let audit = place.ok("audit run").stdout;
    assert!(audit.contains("trained model given a = ") && audit.contains("colour = "), "{audit}");
}

/// Protects classes: the class of a set may be given, of tables and of images, and is drawn by its name.
#[test]
fn classes_can_be_given() {
    let place = Place::new();
    place.ok(&format!("train realnvp --data iris --given class --out flowers {TINY}"));
    let drawn = place.ok("sample flowers --class virginica -n 2").stdout;
    assert!(drawn.lines().next().unwrap().ends_with(",species") && drawn.contains(",virginica\n"), "{drawn}");
    place.refused("sample flowers --class rose", 2, &["no class `rose`", "setosa"]);
    place.ok("score flowers --data iris");
    place.ok("train --resume --out flowers");
    // The class is left out, with a word, where it is not among what is given.
    let words = ["train", "gmm", "--data", "iris", "--given", "petal length (cm)", "--out", "lengths"];
    let e = ended(&mut place.command(words));
    assert!(e.code == Some(0) && e.stderr.contains("\"species\" is the class and is not among"), "{e:?}");
    let e = ended(&mut place.command(["sample", "lengths", "--given", "petal length (cm)=4.5", "-n", "2"]));
    assert!(
        e.stdout.contains("petal width (cm),petal length (cm)\n") && e.stdout.contains(",4.5\n"),
        "{e:?}"
    );
    place.ok("score lengths --data iris");
}
