//! Requests that a trained model cannot serve.

use crate::program::Place;
use std::fs;

/// Protects from asking the wrong model: the ones that can are named.
#[test]
fn models_that_can_are_named() {
    let place = Place::new();
    place.train("made", "tree8", "made", "");
    place.train("gmm", "iris", "gmm", "");
    let able = "models that can: fvsbn, nade, rnade, pixelcnn, gated-pixelcnn, pixelrnn, tabular, kde";
    place.refused("impute made --data tree8", 1, &["made cannot impute", able]);
    place.refused("classify gmm --data iris", 1, &["gmm cannot classify", "fvsbn, nade"]);
    place.refused("sample made --class 0", 1, &["made cannot sample by class"]);
    place.refused("sample made --temperature 0.5", 1, &["made cannot sample at a temperature"]);
    for verb in ["encode", "reconstruct", "interpolate"] {
        let remedy = if verb == "encode" { "models that can: k-means" } else { "models that can: pca" };
        place.refused(&format!("{verb} gmm --data iris"), 1, &["gmm cannot", remedy]);
    }
    let words = "train made --data iris --out run";
    place.refused(words, 1, &["made takes binary or discrete rows", "iris holds real 4", "gmm", "vae"]);
    assert!(!place.path("run").exists());
}

/// Protects from numbers about other data: rows of another width or support are refused by every command that takes rows.
#[test]
fn rows_of_another_domain_are_refused() {
    let place = Place::new();
    place.train("made", "tree8", "made", "");
    place.train("vae", "iris", "vae", "");
    place.file("eight.csv", "x0,x1,x2,x3,x4,x5,x6,x7\n0.5,1,1,1,1,1,1,1\n");
    for verb in ["score", "evaluate"] {
        let wants = ["the model knows the columns x0", "does not know x8"];
        place.refused(&format!("{verb} made --data tree16"), 1, &wants);
        place.refused(
            &format!("{verb} made --data eight.csv"),
            1,
            &["row 0, column \"x0\" is 0.5", "0 or 1 is needed"],
        );
    }
    for verb in ["encode", "reconstruct", "interpolate", "score"] {
        place.refused(
            &format!("{verb} vae --data wine"),
            1,
            &["the model knows the columns sepal length (cm)", "lack", "does not know alcohol"],
        );
    }
    place.refused(
        "score vae --data iris --rows valid",
        1,
        &["iris has no valid split", "--split 0.8/0.1/0.1"],
    );
    place.refused("audit made --data tree16", 1, &["does not know x8"]);
    place.refused("interpolate vae --data iris --from 150", 2, &["from", "150 rows, numbered from 0"]);
    place.refused("interpolate vae --data iris --steps 1", 2, &["steps", "at least 2"]);
    place.refused("interpolate vae --data iris --steps 99999999999999999", 2, &["steps", "too many at once"]);
    for k in ["0", "99999999999999999"] {
        let options = format!("--data iris --importance-samples {k}");
        place.refused(&format!("score vae {options}"), 2, &["importance-samples", "at least 1"]);
        place.refused(&format!("train vae {options} --out new"), 2, &["importance-samples", "at least 1"]);
    }
    assert!(!place.path("new").exists());
}

/// Protects results on their way to a file: what cannot be written is said, and no half-written file stays.
#[test]
fn outputs_that_cannot_be_written() {
    let place = Place::new();
    place.train("gmm", "iris", "gmm", "");
    place.file("plain", "a file");
    let before = place.everything();
    place.refused("sample gmm -o x.xlsx", 2, &["x.xlsx", ".npy, .npz, .csv or .png"]);
    place.refused("sample gmm -o x.png", 2, &["x.png", "not images", ".csv"]);
    place.refused("sample gmm -o none/x.csv", 1, &["cannot write none/x.csv"]);
    place.refused("sample gmm -o plain/x.csv", 1, &["cannot write plain/x.csv"]);
    place.refused("score gmm --data iris -o none/x.csv", 1, &["cannot write none/x.csv"]);
    place.refused("train gmm --data iris --out plain/run", 1, &["cannot create plain/run"]);
    place.refused("sample gmm -n 99999999999999999", 2, &["n: ", "too many at once", "ask for fewer"]);
    assert_eq!(place.everything(), before);
    // What was there before a failed write is there after it.
    place.file("old.csv", "precious");
    fs::create_dir(place.path("old.csv.d")).unwrap();
    place.refused("sample gmm -o old.csv.d", 2, &["old.csv.d"]);
    assert_eq!(place.text("old.csv"), "precious");
    // No rows are still a file with the names of the columns.
    place.ok("sample gmm -n 0 -o none.csv");
    assert_eq!(place.text("none.csv").lines().count(), 1);
}
