//! The ways of users from data to results, with their values.

use crate::program::{Place, finished, started};
use genus::{Batch, Dataset, data};

/// Reads a file as rows, holes included.
fn rows(place: &Place, name: &str) -> Dataset {
    let options = data::Options { missing: data::Missing::Keep, label: None, ..data::Options::default() };
    data::load(place.path(name).to_str().unwrap(), &options).unwrap()
}

/// Rows printed as CSV, below a header if there is one.
fn printed(text: &str) -> Vec<Vec<f64>> {
    let number = |l: &str| l.split(',').map(|c| c.parse().ok()).collect::<Option<Vec<f64>>>();
    text.lines().filter_map(number).collect()
}

fn numbers(v: &serde_json::Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn matrix(v: &serde_json::Value) -> Vec<Vec<f64>> {
    v.as_array().unwrap().iter().map(numbers).collect()
}

fn mean(v: &[f64]) -> f64 {
    v.iter().sum::<f64>() / v.len() as f64
}

/// Protects samples of any number: they are written piece by piece, the first rows as those of a short one, and the same each time.
#[test]
fn many_rows_are_written_in_pieces() {
    let place = Place::new();
    place.train("gmm", "iris", "run", "");
    place.ok("sample run -n 65536 --seed 3 -o one.csv");
    place.ok("sample run -n 140000 --seed 3 -o many.csv");
    let (one, many) = (place.text("one.csv"), place.text("many.csv"));
    assert!(many.starts_with(&one) && many.lines().count() == 140_001 && one.lines().count() == 65_537);
    let printed = place.ok("sample run -n 140000 --seed 3").stdout;
    assert!(printed == many, "what is printed differs");
    // Nobody reads on: nothing more is drawn.
    let mut child = started(&mut place.command("sample run -n 1000000000".split_whitespace()));
    drop(child.stdout.take());
    let e = finished(child);
    assert!(e.code == Some(0) && !e.stderr.contains("panicked"), "{e:?}");
    for name in ["s.npy", "s.npz", "s.png"] {
        place.refused(&format!("sample run -n 1000000000 -o {name}"), 2, &["too many at once", ".csv"]);
    }
}

/// Protects sampling into every format: pictures of the right size, arrays and tables that read back as rows of the domain,
/// the same draws for the same seed in all of them.
#[test]
fn samples_in_every_format() {
    let place = Place::new();
    place.train("made", "digits", "run", "");
    for name in ["s.png", "s.npz", "s.npy", "s.csv"] {
        place.ok(&format!("sample run -n 9 --seed 3 -o {name}"));
    }
    // Nine images of 8×8 in a grid of 3×3 with borders of one pixel.
    assert_eq!(image::image_dimensions(place.path("s.png")).unwrap(), (28, 28));
    let picture = image::open(place.path("s.png")).unwrap().into_luma8();
    let array = rows(&place, "s.npz").train.x;
    assert_eq!((array.rows(), array.width()), (9, 64));
    assert_eq!(rows(&place, "s.npy").train.x, array);
    assert_eq!(rows(&place, "s.csv").train.x, array);
    let top = 16.0;
    for (row, (left, above)) in [(0, (1, 1)), (4, (10, 10)), (8, (19, 19))] {
        for p in 0..64 {
            let v = array.row(row)[p as usize];
            assert!((0.0..=top).contains(&v) && v.fract() == 0.0, "{v}");
            let pixel = picture.get_pixel(left + p % 8, above + p / 8).0[0];
            assert_eq!(f32::from(pixel), (v / top * 255.0).round(), "row {row}, pixel {p}");
        }
    }
    let same = place.json("sample run -n 9 --seed 3 --json");
    let wide: Vec<Vec<f64>> = array.iter().map(|r| r.iter().map(|v| f64::from(*v)).collect()).collect();
    assert_eq!(matrix(&same), wide);
    assert_eq!(printed(&place.ok("sample run -n 9 --seed 3").stdout), wide);
    assert_ne!(matrix(&place.json("sample run -n 9 --seed 4 --json")), wide);
}

/// Protects the meaning of scores: one number per row, the mean is what `evaluate` says, exact scores of an enumerable model
/// are probabilities, and no model beats the entropy of the source.
#[test]
fn scores_agree_with_evaluation() {
    let place = Place::new();
    let settings =
        "--set hidden=[32] --set train.epochs=12 --set train.batch=200 --set train.optimizer.rate=0.01";
    place.ok(&format!("train made --data tree8 --out run {settings}"));
    let printed: Vec<f64> =
        place.ok("score run --data tree8").stdout.lines().map(|l| l.parse().unwrap()).collect();
    assert_eq!(printed.len(), 10_000);
    let json = place.json("score run --data tree8 --json");
    assert_eq!(numbers(&json["nats"]), printed);
    place.ok("score run --data tree8 -o scores.csv");
    let text = place.text("scores.csv");
    let written: Vec<f64> =
        text.lines().skip(1).map(|l| l.split_once(',').unwrap().1.parse().unwrap()).collect();
    assert_eq!((text.lines().next(), written), (Some("row,nats"), printed.clone()));
    place.json("score run --data tree8 --json -o again.csv");
    assert_eq!(place.text("again.csv"), text);

    let evaluated = place.json("evaluate run --data tree8 --json");
    let score = &evaluated["scores"][0];
    let nats = score["nats"].as_f64().unwrap();
    assert!((nats - mean(&printed)).abs() < 1e-9, "{nats}");
    assert_eq!((score["rows"].as_u64(), score["split"].as_str()), (Some(10_000), Some("test")));
    let bits = score["bits_per_dim"].as_f64().unwrap();
    assert!((bits + nats / 8.0 / 2f64.ln()).abs() < 1e-12, "{bits}");
    let entropy = evaluated["entropy"].as_f64().unwrap();
    let stderr = score["stderr"].as_f64().unwrap();
    assert!(nats < -entropy + 4.0 * stderr, "{nats} nats beat the entropy {entropy} of the source");
    assert!(nats > -entropy - 0.5, "{nats} nats, the source has {entropy}");
    let table = place.ok("evaluate run --data tree8").stdout;
    assert!(
        table.contains(&format!("{nats:.4}")) && table.contains("exact") && table.contains("protocol"),
        "{table}"
    );
    // The run folder says the same.
    let summary: serde_json::Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    let stored = summary["scores"].as_array().unwrap().iter().find(|s| s["split"] == "test").unwrap();
    assert_eq!(stored["nats"].as_f64(), Some(nats));

    let all: String = (0..256u32)
        .map(|i| (0..8).map(|b| ((i >> b) & 1).to_string()).collect::<Vec<_>>().join(",") + "\n")
        .collect();
    place.file("all.csv", all);
    let each = numbers(&place.json("score run --data all.csv --json")["nats"]);
    let total: f64 = each.iter().map(|v| v.exp()).sum();
    assert!(each.len() == 256 && (total - 1.0).abs() < 1e-5, "{total}");
    let train = place.json("evaluate run --data tree8 --rows train --json");
    assert_eq!(train["scores"][0]["split"], "train");
}

/// Protects scores that JSON has no numbers for: they are words, not missing.
#[test]
fn infinite_scores_are_words() {
    let place = Place::new();
    place.ok("train fvsbn --data tree8 --out run --set train.epochs=1");
    let path = place.path("run/model.safetensors");
    let mut model = genus::State::load(&path).unwrap();
    // Where the first bit is 1, the logit of the second leaves the range of its type.
    for (name, shape, places) in [("b", &[8][..], &[1][..]), ("w", &[8, 8], &[1, 8])] {
        let mut values = model.f32(name, shape).unwrap().to_vec();
        places.iter().for_each(|i| values[*i] = -3e38);
        model.tensors.insert(name.into(), genus::Tensor::f32(shape, values));
    }
    model.save(&path).unwrap();
    place.file("rows.csv", "1,1,0,0,0,0,0,0\n0,0,0,0,0,0,0,0\n");
    let printed = place.ok("score run --data rows.csv").stdout;
    let nats = place.json("score run --data rows.csv --json")["nats"].clone();
    assert_eq!(nats[0], "-inf");
    let words: Vec<String> = printed.lines().map(str::to_owned).collect();
    assert_eq!(words, [nats[0].as_str().unwrap().to_owned(), nats[1].to_string()]);
    let mean = place.json("evaluate run --data rows.csv --json")["scores"][0].clone();
    assert_eq!((&mean["nats"], &mean["bits_per_dim"]), (&"-inf".into(), &"inf".into()));
}

/// Protects codes: as wide as asked for, decoded to what `reconstruct` gives, and a path that begins and ends at its rows.
#[test]
fn codes_reconstructions_and_paths() {
    let place = Place::new();
    place.train("vae", "digits", "run", "--set latent=3 --set train.epochs=4 --set train.batch=100");
    let codes = matrix(&place.json("encode run --data digits --json"));
    assert!(codes.len() == 200 && codes.iter().all(|c| c.len() == 3 && c.iter().all(|v| v.is_finite())));
    assert!(codes.iter().any(|c| (c[0] - codes[0][0]).abs() > 1e-3), "all codes are the same");
    place.ok("encode run --data digits -o codes.npz");
    let stored = rows(&place, "codes.npz").train.x;
    assert_eq!((stored.rows(), stored.row(7)[2]), (200, codes[7][2] as f32));

    let back = matrix(&place.json("reconstruct run --data digits --json"));
    assert!(back.len() == 200 && back.iter().flatten().all(|v| (0.0..=16.0).contains(v)));
    let digits = data::load("digits", &data::Options::default()).unwrap();
    let test = digits.test.as_ref().unwrap();
    let off = |a: &[Vec<f64>], b: &dyn Fn(usize, usize) -> f64| {
        let squares = a.iter().enumerate().flat_map(|(r, row)| {
            row.iter().enumerate().map(move |(c, v)| (v - b(r, c)).powi(2)).collect::<Vec<_>>()
        });
        mean(&squares.collect::<Vec<f64>>())
    };
    let means: Vec<f64> =
        (0..64).map(|c| mean(&digits.train.x.iter().map(|r| f64::from(r[c])).collect::<Vec<_>>())).collect();
    let through_code = off(&back, &|r, c| f64::from(test.x.row(r)[c]));
    let blind = off(&vec![means; 200], &|r, c| f64::from(test.x.row(r)[c]));
    assert!(
        through_code < 0.97 * blind,
        "reconstructions are no better than the mean image: {through_code} {blind}"
    );
    place.ok("reconstruct run --data digits -o r.png");
    // 200 images of 8×8, 15 across and 14 down.
    assert_eq!(image::image_dimensions(place.path("r.png")).unwrap(), (15 * 9 + 1, 14 * 9 + 1));

    let path = matrix(&place.json("interpolate run --data digits --from 2 --to 5 --steps 7 --json"));
    assert_eq!(path.len(), 7);
    for (at, row) in [(0, 2), (6, 5)] {
        let gap = path[at].iter().zip(&back[row]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(gap < 1e-3, "the path misses row {row} by {gap}");
    }
    assert_ne!(path[3], path[0]);
}

/// Protects imputation: holes are filled, nearer to the truth than column means are, and everything else is as it was.
#[test]
fn imputation_fills_the_holes_and_nothing_else() {
    let place = Place::new();
    place.train("gmm", "iris", "run", "");
    let iris = data::load("iris", &data::Options::default()).unwrap();
    let x = &iris.train.x;
    let hole = |r: usize, c: usize| r == 149 || (r.is_multiple_of(3) && c == (r / 3) % 4);
    let holed = Batch::from_fn(150, 4, |r, c| if hole(r, c) { f32::NAN } else { x.row(r)[c] });
    data::write(&place.path("holes.csv"), &holed, &iris.schema).unwrap();
    let e = place.ok("impute run --data holes.csv -o filled.csv");
    let holes = (0..150).flat_map(|r| (0..4).map(move |c| (r, c))).filter(|(r, c)| hole(*r, *c)).count();
    assert!(e.stderr.contains(&format!("{holes} missing values filled with means")), "{e:?}");
    let filled = rows(&place, "filled.csv");
    assert_eq!(filled.schema.names(), iris.schema.names());
    let filled = filled.train.x;
    let mut errors = (0.0, 0.0);
    for r in 0..150 {
        for c in 0..4 {
            let (got, truth) = (filled.row(r)[c], x.row(r)[c]);
            if !hole(r, c) {
                assert_eq!(got, truth, "row {r}, column {c} was not missing");
                continue;
            }
            assert!(got.is_finite());
            let column = mean(&x.iter().map(|row| f64::from(row[c])).collect::<Vec<_>>());
            if r != 149 {
                errors.0 += (f64::from(got) - f64::from(truth)).powi(2);
                errors.1 += (column - f64::from(truth)).powi(2);
            } else {
                // A row without any value gets the mean of the model, which is that of the data.
                assert!((f64::from(got) - column).abs() < 0.05, "column {c}: {got}, mean {column}");
            }
        }
    }
    assert!(errors.0 < 0.5 * errors.1, "squared error {}, of column means {}", errors.0, errors.1);
    let draws =
        |seed: u8| matrix(&place.json(&format!("impute run --data holes.csv --sample --seed {seed} --json")));
    let (a, b) = (draws(1), draws(2));
    assert_eq!(a, draws(1));
    // Draws have one digit behind the point, as the column has, and some are the same twice.
    let (mut same, mut holes) = (0, 0);
    for r in 0..150 {
        for c in 0..4 {
            assert!(hole(r, c) || a[r][c] == b[r][c], "row {r}, column {c}");
            assert!((10.0 * a[r][c] - (10.0 * a[r][c]).round()).abs() < 1e-4, "{}", a[r][c]);
            (same, holes) =
                (same + usize::from(hole(r, c) && a[r][c] == b[r][c]), holes + usize::from(hole(r, c)));
        }
    }
    assert!(same < holes / 2, "{same} of {holes}");
}

/// Protects the audit: every model's tiny twin and trained runs hold all checks, and the verdict is in the exit code.
#[test]
fn audits_hold() {
    let place = Place::new();
    for model in ["made", "gmm"] {
        let checks = place.json(&format!("audit {model} --json"));
        let checks = checks.as_array().unwrap();
        assert!(checks.len() >= 3, "{model}: {checks:?}");
        assert!(checks.iter().all(|c| c["passed"] == true), "{model}: {checks:?}");
    }
    let table = place.ok("audit made").stdout;
    assert!(table.contains("probabilities of all rows sum to 1") && table.contains(" 0 failed"), "{table}");
    assert!(!table.contains('✗'), "{table}");
    place.train("made", "tree8", "run", "");
    let checks = place.json("audit run --json");
    let subjects: Vec<_> =
        checks.as_array().unwrap().iter().map(|c| c["subject"].as_str().unwrap()).collect();
    assert!(
        subjects.contains(&"trained model") && subjects.iter().any(|s| s.contains("twin")),
        "{subjects:?}"
    );
}

/// Protects the report: one file that needs nothing else, for each run named.
#[test]
fn reports_stand_alone() {
    let place = Place::new();
    place.train("gmm", "8gaussians", "a", "");
    place.train("vae", "tree8", "b", "");
    let first = place.text("a/report.html");
    std::fs::remove_file(place.path("a/report.html")).unwrap();
    let out = place.ok("report a b").stdout;
    assert_eq!(out.lines().collect::<Vec<_>>(), ["a/report.html", "b/report.html"]);
    assert_eq!(place.text("a/report.html"), first, "a report is a pure function of its folder");
    for (run, title) in [("a", "Gaussian mixture"), ("b", "Variational autoencoder")] {
        let html = place.text(&format!("{run}/report.html"));
        assert!(html.contains(title) && html.contains("</html>"), "{run}");
        for outside in ["src=\"http", "<script src", "<link rel=\"stylesheet\""] {
            assert!(!html.contains(outside), "{run} needs {outside}");
        }
    }
}
