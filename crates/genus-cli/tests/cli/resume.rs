//! Whatever ends a training early, going on gives the same bits as never having stopped.

use crate::program::{Place, ended, finished, has_checkpoint, newest, started, wait_for};
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A training of a few hundred steps with a checkpoint after each, that takes a second or so.
fn words(model: &str, out: &str) -> String {
    let settings = match model {
        "made" => "--data tree16 --set hidden=[16]",
        _ => "--data tree8 --set hidden=[12] --set latent=2 --set train.ema=0.9",
    };
    format!(
        "train {model} --out {out} {settings} --seed 11 --set train.epochs=25 --set train.batch=800 \
         --set train.optimizer.rate=0.01 --checkpoint-seconds 0"
    )
}

/// SplitMix64: moments that are random, and the same every time.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        below.mul_f64(((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// Damages the newest checkpoint: a bit of one of its files, the end of it, or all.
fn damage(run: &Path, moments: &mut Moments) {
    let mut among = |n: usize| moments.next(Duration::from_secs(1)).mul_f64(n as f64).as_secs() as usize;
    let Some(dir) = newest(run) else { return };
    let file = dir.join(["state.safetensors", "MANIFEST.json"][among(2)]);
    let Ok(mut bytes) = fs::read(&file) else { return };
    let at = among(bytes.len());
    match among(3) {
        0 => bytes[at] ^= 1 << among(8),
        1 => bytes.truncate(at),
        _ => return fs::remove_file(&file).unwrap(),
    }
    fs::write(&file, bytes).unwrap();
}

/// Sends a signal by the name that `kill` knows.
fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", child.id())).status().unwrap();
    assert!(sent.success());
}

/// Trains into `out` again and again, killed at random moments until it ends by itself. The first kill comes when the first
/// checkpoint appears if `late`, else while the program begins. After each, the newest checkpoint may be damaged. Returns the
/// number of kills, of those after a checkpoint, and of lives that said that a checkpoint was passed over.
fn killed_until_done(
    place: &Place,
    model: &str,
    out: &str,
    late: bool,
    damaged: bool,
    longest: Duration,
    moments: &mut Moments,
) -> [u32; 3] {
    let run = place.path(out);
    let (mut kills, mut reached, mut said) = (0, 0, 0);
    for life in 0..200 {
        // Before its configuration is there, a folder is as good as new.
        let resume = run.join("config.toml").exists();
        let line = if resume {
            format!("train --resume --out {out} --checkpoint-seconds 0")
        } else {
            words(model, out)
        };
        let mut child = started(&mut place.command(line.split_whitespace()));
        if life == 0 && late {
            wait_for(&mut child, || has_checkpoint(&run));
        } else {
            // Lives grow longer, so that at last one holds all that follows the last checkpoint.
            let below = if life == 0 {
                Duration::from_millis(10)
            } else {
                longest.mul_f64(1.0 + 0.05 * f64::from(life))
            };
            let (start, moment) = (Instant::now(), moments.next(below));
            wait_for(&mut child, || start.elapsed() >= moment);
        }
        let alive = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        let e = finished(child);
        assert!(!e.stderr.contains("panicked") && !e.stderr.contains("error:"), "{line}\n{}", e.stderr);
        said += u32::from(e.stderr.contains("damaged checkpoints were passed over"));
        if !alive || e.code.is_some() {
            assert_eq!(e.code, Some(0), "{line}\n{}", e.stderr);
            return [kills, reached, said];
        }
        kills += 1;
        reached += u32::from(has_checkpoint(&run));
        if damaged {
            damage(&run, moments);
        }
        // What is there under its final name is whole, whenever the process died.
        if let Ok(model) = fs::read(run.join("model.safetensors")) {
            genus::State::from_bytes(&model, &run).unwrap();
        }
    }
    panic!("{model} did not end in 200 lives");
}

/// A training is killed at eight moments or more, in at least two folders; the model is the one of an undisturbed training.
fn survives_kills(model: &str, seed: u64, damaged: bool) {
    let place = Place::new();
    let start = Instant::now();
    place.ok(&words(model, "whole"));
    let longest = start.elapsed().div_f64(3.0);
    let want = place.bytes("whole/model.safetensors");
    let mut moments = Moments(seed);
    let (mut kills, mut reached, mut said, mut folder) = (0, 0, 0, 0);
    while folder < 2 || kills < 8 {
        let out = format!("killed{folder}");
        let [k, r, s] =
            killed_until_done(&place, model, &out, folder % 2 == 0, damaged, longest, &mut moments);
        (kills, reached, said, folder) = (kills + k, reached + r, said + s, folder + 1);
        assert!(folder < 20, "{model} ends before it can be killed");
        let got = place.bytes(&format!("{out}/model.safetensors"));
        assert!(got == want, "{model}: {k} kills changed the model");
        assert_eq!(figures(&place, &out), figures(&place, "whole"));
        // Nothing half written is left, neither of the run nor of a checkpoint.
        let names: Vec<String> = place.everything().iter().map(|(p, _)| p.display().to_string()).collect();
        assert!(!names.iter().any(|n| n.ends_with(".tmp")), "{names:?}");
        assert_eq!(steps(&place, &out), steps(&place, "whole"), "the log counts a step twice or not at all");
    }
    println!("{model}: {kills} kills, {reached} after a checkpoint, {folder} folders, {:?}", start.elapsed());
    assert!(reached >= 6, "only {reached} of {kills} kills came after a checkpoint");
    assert_eq!(damaged, said > 0, "{said} lives said that a checkpoint was passed over");
}

/// Scores of a summary.
fn figures(place: &Place, run: &str) -> serde_json::Value {
    let summary: serde_json::Value =
        serde_json::from_str(&place.text(&format!("{run}/summary.json"))).unwrap();
    serde_json::json!([summary["scores"], summary["steps"], summary["stopped"]])
}

/// Epochs as a report would show them.
fn steps(place: &Place, run: &str) -> Vec<u64> {
    let events = genus::run::RunDir::open(place.path(run)).unwrap().events().unwrap();
    let epoch =
        |e: &genus::Event| if let genus::Event::Epoch { epoch, .. } = e { Some(*epoch) } else { None };
    events.iter().filter_map(|e| epoch(&e.event)).collect()
}

/// Protects a training from the death of its process at any moment, for the exact likelihood.
#[test]
fn made_survives_being_killed() {
    survives_kills("made", 1, false);
}

/// Protects the same where each step draws noise and an average of the weights is kept.
#[test]
fn vae_survives_being_killed() {
    survives_kills("vae", 2, false);
}

/// Protects the same where the newest checkpoint is damaged each time: the one before is gone on from, and that is said.
#[test]
fn made_survives_kills_and_damage() {
    survives_kills("made", 3, true);
}

/// Protects from a silent beginning: a resumption says after which step it goes on, or that it begins anew and why. The model is
/// the same either way.
#[test]
fn where_a_resumption_begins_is_said() {
    let place = Place::new();
    place.ok(&words("made", "run"));
    let model = place.bytes("run/model.safetensors");
    let e = place.ok("train --resume --out run");
    let last = newest(&place.path("run")).unwrap();
    let step: u64 = last.file_name().unwrap().to_str().unwrap()[5..].parse().unwrap();
    assert!(e.stderr.contains(&format!("goes on after step {step}")), "{e:?}");
    assert!(!e.stderr.contains("passed over"), "{e:?}");
    let mut bytes = fs::read(last.join("MANIFEST.json")).unwrap();
    bytes[30] ^= 1;
    fs::write(last.join("MANIFEST.json"), &bytes).unwrap();
    let e = place.ok("train --resume --out run");
    let name = last.file_name().unwrap().to_str().unwrap();
    let wants =
        ["passed over", name, "does not match its checksum", &format!("goes on after step {}", step - 1)];
    assert!(wants.iter().all(|w| e.stderr.contains(w)), "{wants:?} {e:?}");
    assert_eq!(place.bytes("run/model.safetensors"), model);
    // What was damaged is nobody's to remove.
    assert_eq!(fs::read(last.join("MANIFEST.json")).unwrap(), bytes);
    fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    let e = place.ok("train --resume --out run");
    assert!(e.stderr.contains("warning: there is no checkpoint: training begins anew"), "{e:?}");
    assert_eq!(place.bytes("run/model.safetensors"), model);
}

/// Protects Ctrl-C: the step is finished, the state saved, the command to go on is printed, exit code 130; going on gives
/// the same bits. So does going on after a time budget, which is no failure.
#[test]
fn interrupted_and_out_of_time() {
    for model in ["made", "vae"] {
        let place = Place::new();
        place.ok(&words(model, "whole"));
        let want = place.bytes("whole/model.safetensors");

        let mut child = started(&mut place.command(words(model, "run").split_whitespace()));
        wait_for(&mut child, || has_checkpoint(&place.path("run")));
        signal(&child, "INT");
        let e = finished(child);
        assert_eq!(e.code, Some(130), "{e:?}");
        assert!(!e.stderr.contains("panicked") && !e.stderr.contains("error:"), "{e:?}");
        assert!(e.stderr.contains("go on with: genus train --resume --out run"), "{e:?}");
        // Nothing was scored: the prompt came back at once.
        assert!(!place.path("run/summary.json").exists());
        assert!(steps(&place, "run").len() < steps(&place, "whole").len());
        // What was interrupted can be used already.
        place.ok("sample run -n 3");

        place.ok("train --resume --out run --time 0.15s");
        place.ok("train --resume --out run");
        assert!(place.bytes("run/model.safetensors") == want, "{model}: an interruption changed the model");
        let events = genus::run::RunDir::open(place.path("run")).unwrap().events().unwrap();
        assert!(events.is_sorted_by(|a, b| a.t <= b.t), "{model}: a resumption began to count the time anew");
        assert_eq!(figures(&place, "run"), figures(&place, "whole"));
        assert_eq!(steps(&place, "run"), steps(&place, "whole"));
    }
}

/// Protects Ctrl-C in a recipe: no verdict, no record, and the command to go on.
#[test]
fn interrupted_recipe() {
    let place = Place::new();
    let words = "reproduce pixelcnn-digits --out run --record record.md";
    let mut child = started(&mut place.command(words.split_whitespace()));
    let events = place.path("run/events.jsonl");
    wait_for(&mut child, || fs::read_to_string(&events).is_ok_and(|e| e.contains("\"step\"")));
    signal(&child, "INT");
    let e = finished(child);
    assert_eq!(e.code, Some(130), "{e:?}");
    assert!(e.stderr.contains("go on with: genus reproduce pixelcnn-digits --resume --out run"), "{e:?}");
    assert!(!fs::read_to_string(place.path("record.md")).unwrap().contains("pixelcnn"), "{e:?}");
}

/// Protects Ctrl-C from the first moment on, also twice in a row: whatever was reached by then, going on gives the same
/// bits.
#[test]
fn interrupted_at_any_moment() {
    let place = Place::new();
    place.ok(&words("made", "whole"));
    let want = place.bytes("whole/model.safetensors");
    let mut moments = Moments(7);
    for life in 0..8 {
        let out = format!("run{life}");
        let mut child = started(&mut place.command(words("made", &out).split_whitespace()));
        // The first half while the program begins, the others later.
        let moment = moments.next(Duration::from_millis(if life < 4 { 30 } else { 400 }));
        std::thread::sleep(moment);
        let twice = life % 2 == 1;
        for _ in 0..=u8::from(twice) {
            if child.try_wait().unwrap().is_none() {
                signal(&child, "INT");
            }
        }
        let e = finished(child);
        // Before the program listens, the signal ends it; after the last step, there is nothing to interrupt.
        assert!(matches!(e.code, None | Some(0 | 130)), "{moment:?}: {e:?}");
        assert!(!e.stderr.contains("panicked") && !e.stderr.contains("error:"), "{moment:?}: {e:?}");
        if e.code == Some(130) && !twice {
            assert!(e.stderr.contains(&format!("genus train --resume --out {out}")), "{e:?}");
            place.ok(&format!("sample {out} -n 1"));
        }
        let begun = place.path(&out).join("config.toml").exists();
        place.ok(&if begun { format!("train --resume --out {out}") } else { words("made", &out) });
        assert!(place.bytes(&format!("{out}/model.safetensors")) == want, "{moment:?} changed the model");
    }
}

/// Protects the time budget: a training that would take hours ends by itself, successfully, with a model and a report.
#[test]
fn a_time_budget_ends_with_a_model() {
    let place = Place::new();
    let settings = "--data tree8 --set hidden=[16] --set train.epochs=1000000";
    let start = Instant::now();
    place.ok(&format!("train made --out run {settings} --time 0.2s"));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let summary: serde_json::Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert_eq!(summary["stopped"], "stopped by the time budget");
    assert!(summary["steps"].as_u64().unwrap() > 0);
    place.ok("sample run -n 3");
    assert!(place.path("run/report.html").is_file() && has_checkpoint(&place.path("run")));
}

/// Protects reproducibility: the same seed gives the same bits whatever the number of threads, another seed others.
#[test]
fn threads_do_not_change_a_bit() {
    let place = Place::new();
    let cases = [
        ("gmm", "--data iris --set components=4 --set restarts=2"),
        ("made", "--data tree16 --set hidden=[40,30] --set train.epochs=2 --set train.batch=300"),
        ("vae", "--data digits --set hidden=[40] --set latent=3 --set train.epochs=2 --set train.batch=100"),
    ];
    for (model, settings) in cases {
        let train = |out: &str, threads: &str, seed: &str| {
            let line = format!("train {model} --out {model}-{out} {settings} --seed {seed}");
            let e = ended(place.command(line.split(' ')).env("RAYON_NUM_THREADS", threads));
            assert_eq!(e.code, Some(0), "{e:?}");
            place.bytes(&format!("{model}-{out}/model.safetensors"))
        };
        let one = train("one", "1", "5");
        assert!(one == train("two", "2", "5"), "{model}: 1 and 2 threads differ");
        assert!(one == train("three", "3", "5"), "{model}: 1 and 3 threads differ");
        assert!(one != train("other", "2", "6"), "{model}: the seed is not used");
        assert_eq!(figures(&place, &format!("{model}-one")), figures(&place, &format!("{model}-two")));
    }
}
