//! What the program prints, where it prints it, and how soon.

use crate::program::{Place, ended, finished, started, tiny};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Protects the catalogue: the taxonomy is printed, and as JSON it says what each model is and can do.
#[test]
fn models_and_data_sets_are_listed() {
    let place = Place::new();
    let text = place.ok("models").stdout;
    for want in
        ["explicit", "tractable", "approximate", "mixture", "made", "vae", "gmm", "exact", "lower bound"]
    {
        assert!(text.contains(want), "{want}\n{text}");
    }
    let models = place.json("models --json");
    let names: Vec<_> = models.as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert!(["made", "gmm", "vae"].iter().all(|n| names.contains(n)), "{names:?}");
    let text = place.ok("models made").stdout;
    assert!(text.contains("Germain") && text.contains("train.epochs = 100"), "{text}");
    for want in [
        "# Units of each hidden layer",
        "a whole number of at least 1",
        "natural (",
        "train.optimizer.rate =",
    ] {
        assert!(text.contains(want), "{want}\n{text}");
    }
    assert_eq!(place.ok("models MADE").stdout, text);
    place.refused("models mdae", 2, &["did you mean made?"]);
    let made = place.json("models made --json");
    let key = made["keys"].as_array().unwrap().iter().find(|k| k["name"] == "train.batch").unwrap();
    assert_eq!((&key["default"], &key["meaning"]), (&100.into(), &"Rows per step".into()));
    assert_eq!(made["taxonomy"], serde_json::json!(["explicit", "tractable", "autoregressive"]));
    assert_eq!((&made["evidence"], &made["config"]["train"]["batch"]), (&"exact".into(), &100.into()));

    let sets = place.json("data list --json");
    let find = |name: &str| sets.as_array().unwrap().iter().find(|s| s["name"] == name).unwrap().clone();
    assert_eq!(find("iris")["shape"], "real 4");
    assert_eq!(find("mnist")["kind"], "download");
    assert_eq!(place.json("data --json"), sets);
    let listed = place.ok("data list").stdout;
    assert!(
        sets.as_array().unwrap().iter().all(|s| listed.contains(s["name"].as_str().unwrap())),
        "{listed}"
    );
    let info = place.ok("data info mnist").stdout;
    assert!(info.contains("genus data get mnist") && info.contains("28×28×1"), "{info}");
    assert_eq!(place.json("data info mnist --json")["obtain"], "genus data get mnist");
    let info = place.json("data info tree8 --json");
    assert_eq!((&info["kind"], &info["rows"][0]), (&"generated".into(), &10_000.into()));
}

/// Protects the terminal: what a file or an argument is called is shown, not obeyed; data stay as they are.
#[test]
fn orders_to_a_terminal_are_shown_as_text() {
    let place = Place::new();
    let calm = |what: &str, text: &str| {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{what}: {text:?}");
        assert!(text.contains("u{") || text.contains("u001b"), "{what}: {text:?}");
    };
    place.file("t.csv", "\u{1b}[2Ja,\"b\nc\u{9b}\"\n0.5,1.25\n2.5,x\n3.5,2\n1,3\n");
    let e = place.run("data info t.csv");
    assert_eq!(e.code, Some(1));
    calm("a cell", &e.stderr);
    place.file("u.csv", "\u{1b}[2Ja,\"b\nc\u{9b}\"\n0.5,1.25\n2.5,1.5\n3.5,2\n1,3\n");
    calm("a table", &place.ok("data info u.csv").stdout);
    calm("JSON", &place.ok("data info u.csv --json").stdout);
    let name = "\u{1b}[31mx.csv";
    for args in [["data", "info", name], ["sample", name, "--seed=1"]] {
        let e = ended(&mut place.command(args));
        assert!(e.code.is_some_and(|c| c == 1 || c == 2), "{e:?}");
        calm("an argument", &e.stderr);
    }
    // On a pipe a table is data: quoted, and the same bytes.
    place.ok("train gmm --data u.csv --out run --set components=1 --set restarts=1");
    let header = "\u{1b}[2Ja,\"b\nc\u{9b}\"\n";
    assert!(place.ok("sample run -n 2").stdout.starts_with(header));
}

/// Protects from a number of threads that no system gives.
#[test]
fn too_many_threads_are_refused() {
    let place = Place::new();
    let mut command = place.command(["data", "list"]);
    let e = ended(command.env("RAYON_NUM_THREADS", "70000"));
    e.is_refusal("data list", 2, &["RAYON_NUM_THREADS", "70000", "at most"]);
}

/// Protects programs that read the output: with `--json` every command that prints tables prints JSON and nothing else.
#[test]
fn json_is_json_and_nothing_else() {
    let place = Place::new();
    let summary = place.json(&format!("train gmm --data iris --out run {} --json", tiny("gmm")));
    assert_eq!((&summary["model"], &summary["data"]["name"]), (&"gmm".into(), &"iris".into()));
    let stored: serde_json::Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert_eq!(summary, stored);
    for words in
        ["sample run -n 2", "score run --data iris", "evaluate run --data iris", "impute run --data iris"]
    {
        let value = place.json(&format!("--json {words}"));
        assert!(value.is_array() || value.is_object(), "{words}");
    }
    // Remarks go to standard error, results to standard output: rows can be piped on.
    let e = place.ok("score run --data iris");
    assert_eq!(e.stdout.lines().count(), 150);
    assert!(e.stderr.contains("nats") && !e.stderr.contains('\u{1b}'), "{e:?}");
}

/// Protects scripts and packagers: completions and the manual page know the commands.
#[test]
fn completions_and_manual_page() {
    let place = Place::new();
    let bash = place.ok("completions bash").stdout;
    assert!(bash.contains("complete -F _genus") && bash.contains("interpolate"), "{bash}");
    assert!(bash.contains("gated-pixelcnn") && bash.contains("8gaussians"), "{bash}");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(place.ok(&format!("completions {shell}")).stdout.contains("reproduce"), "{shell}");
    }
    place.refused("completions tcsh", 2, &["tcsh", "bash"]);
    let man = place.ok("man").stdout;
    assert!(man.contains(".TH genus") && man.contains("SUBCOMMANDS"), "{man}");
}

/// Protects the first page of the documentation from changing unnoticed; run with `UPDATE_GOLDEN=1` to accept a change.
#[test]
fn help_is_as_written_down() {
    let place = Place::new();
    let help = place.ok("--help").stdout;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &help).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(help, golden, "`genus --help` changed; run the tests with UPDATE_GOLDEN=1 if that is meant");
    let bare = place.run("");
    assert_eq!((bare.code, bare.stdout.is_empty()), (Some(2), true), "{bare:?}");
    assert!(bare.stderr.contains("Usage: genus"), "{bare:?}");
    assert!(place.ok("--version").stdout.starts_with("genus 0."));
}

/// Protects the feel of the program: help within 50 ms, as the median of five. Other tests load the machine meanwhile, so
/// there are several tries.
#[test]
fn help_is_there_at_once() {
    let place = Place::new();
    let median = || {
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                let start = Instant::now();
                place.ok("--help");
                start.elapsed()
            })
            .collect();
        times.sort();
        times[2]
    };
    let tries: Vec<Duration> = (0..10).map(|_| median()).collect();
    assert!(tries.iter().any(|t| *t < Duration::from_millis(50)), "{tries:?}");
}

/// Protects pipes: whoever stops reading, standard output or standard error, causes no panic, and costs no training.
#[test]
fn closed_pipes_are_no_panic() {
    let place = Place::new();
    place.train("gmm", "iris", "run", "");
    for words in
        ["models", "data list", "sample run -n 20000", "score run --data iris", "completions bash", "man"]
    {
        let mut child = started(&mut place.command(words.split(' ')));
        drop(child.stdout.take());
        let e = finished(child);
        e.is_calm();
        assert!(!e.stderr.contains("error:"), "{words}: {e:?}");
    }
    let words = format!("train made --data tree8 --out deaf {}", tiny("made"));
    let mut child = started(&mut place.command(words.split(' ')));
    drop(child.stderr.take());
    drop(child.stdout.take());
    let e = finished(child);
    assert_eq!(e.code, Some(0), "{e:?}");
    assert!(place.path("deaf/model.safetensors").is_file() && place.path("deaf/report.html").is_file());
}

/// Protects results from being lost in silence: standard output that cannot take them is an error.
#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error() {
    let place = Place::new();
    for words in ["models", "data list --json", "man"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let e = ended(place.command(words.split(' ')).stdout(Stdio::from(full)));
        e.is_refusal(words, 1, &["cannot write to standard output", "No space left on device"]);
    }
}
