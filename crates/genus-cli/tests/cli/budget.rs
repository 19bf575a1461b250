//! Time, rows and beginnings that a training is given.

use crate::program::{Place, finished, started, wait_for};
use std::process::Command;
use std::time::{Duration, Instant};

/// A machine whose log Z would be annealed for minutes.
const LONG: &str =
    "train rbm --data digits --set train.epochs=1 --set annealing.steps=3000000 --set sampling.thin=1";

#[test]
fn a_budget_is_that_of_the_whole_command() {
    let place = Place::new();
    let start = Instant::now();
    let e = place.ok(&format!("{LONG} --out run --time 3s"));
    let took = start.elapsed();
    // Twice the budget on a machine that has other things to do.
    assert!(took < Duration::from_secs(6), "{took:?}\n{}", e.stderr);
    assert!(
        e.stderr.contains("log Z was estimated in") && e.stderr.contains("instead of 3000000"),
        "{}",
        e.stderr
    );
    // What was reached is a run like any other, and what was cut short is said there too.
    let summary: serde_json::Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert!(summary["scores"][0]["nats"].is_number(), "{summary}");
    assert!(summary["warnings"][0].as_str().unwrap().contains("instead of 3000000"), "{summary}");
    assert!(place.path("run/report.html").is_file());
}

#[test]
fn an_interrupt_is_heard_while_log_z_is_estimated() {
    let place = Place::new();
    let mut child = started(&mut place.command(format!("{LONG} --out run").split_whitespace()));
    wait_for(&mut child, || {
        std::fs::read_to_string(place.path("run/events.jsonl")).is_ok_and(|t| t.contains("log Z"))
    });
    std::thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    let sent = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status().unwrap();
    assert!(sent.success());
    let e = finished(child);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(e.code, Some(130), "{e:?}");
    assert!(e.stderr.contains("go on with: genus train --resume --out run"), "{e:?}");
    // The machine is there, and what is not known of it is not claimed.
    let scores = place.json("--json evaluate run --data digits");
    assert_eq!(scores["scores"][0]["evidence"]["kind"], "unnormalized", "{scores}");
}

#[test]
fn rows_that_are_scored_can_be_few_and_the_audit_left_out() {
    let place = Place::new();
    place.train("made", "tree8", "run", "--rows 50 --no-audit");
    let summary: serde_json::Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    for score in summary["scores"].as_array().unwrap() {
        assert_eq!(score["rows"], 50, "{score}");
        let protocol = score["protocol"].as_str().unwrap();
        assert!(protocol.contains("50 of ") && protocol.contains("rows, chosen by chance"), "{protocol}");
    }
    assert_eq!(summary["audit"].as_array().unwrap().len(), 0);
}

/// The mean training loss of the first epoch.
fn first_loss(place: &Place, run: &str) -> f64 {
    let events = place.text(&format!("{run}/events.jsonl"));
    let first = events.lines().find(|l| l.contains("\"event\":\"epoch\"")).unwrap();
    serde_json::from_str::<serde_json::Value>(first).unwrap()["train"]["loss"].as_f64().unwrap()
}

#[test]
fn training_goes_on_from_another_run() {
    let place = Place::new();
    place.train("made", "tree8", "old", "--set train.epochs=10");
    let last = place.text("old/config.toml");
    // Its configuration and its data are those of the new run, but for what is said.
    place.ok("train --from old --out longer --set train.epochs=3 --seed 5");
    assert!(first_loss(&place, "longer") < first_loss(&place, "old") - 0.2);
    let config = place.text("longer/config.toml");
    assert!(
        config.contains("[from]") && config.contains("run = \"old\"") && config.contains("sha256"),
        "{config}"
    );
    assert!(config.contains("hidden = [16]") && last.contains("hidden = [16]"), "{config}");
    // A line of three knows how far it has come.
    place.ok("train --from longer --out more --set train.epochs=1");
    let steps = |run: &str| {
        let summary: serde_json::Value =
            serde_json::from_str(&place.text(&format!("{run}/summary.json"))).unwrap();
        summary["steps"].as_u64().unwrap()
    };
    let config = place.text("more/config.toml");
    assert!(config.contains(&format!("steps = {}", steps("old") + steps("longer"))), "{config}");
}

#[test]
fn a_beginning_that_was_exchanged_is_found_out() {
    let place = Place::new();
    place.train("made", "tree8", "old", "");
    place.train("made", "tree8", "other", "--seed 3");
    place.ok("train --from old --out run --set train.epochs=1");
    std::fs::copy(place.path("other/model.safetensors"), place.path("run/start.safetensors")).unwrap();
    place.refused("train --resume --out run", 1, &["is not the model that this training began with"]);
}

#[test]
fn what_a_run_cannot_go_on_with_is_refused() {
    let place = Place::new();
    place.train("made", "tree8", "old", "");
    place.refused("train gmm --from old --out new", 2, &["this run trains made, not gmm"]);
    place.refused(
        "train --from old --data tree16 --out new",
        1,
        &["the model knows the columns x0", "does not know x8"],
    );
    place.refused("train --from old --out new --set hidden=[17]", 1, &["tensor"]);
    place.refused("train --from nothing --out new", 1, &["nothing is not a run folder"]);
    place.refused("train --from old --out new --set ordering='random'", 2, &["ordering"]);
    place.train("gmm", "pinwheel", "mixture", "");
    place.refused("train --from mixture --out new --set components=5", 2, &["components", "3"]);
    place.refused("train --from mixture --out new --set covariance='diagonal'", 2, &["covariance"]);
    let machine = "--set train.epochs=1 --set hidden=0 --set sampling.thin=1 --set sampling.burn_in=10";
    place.ok(&format!("train boltzmann-machine --data tree8 --out machine {machine}"));
    place.refused("train --from machine --out new --set edges=[[0,1]]", 1, &["does not connect"]);
    assert!(!place.path("new").exists());
}
