//! Run folders that are damaged, foreign, in use or full.

use crate::program::{Place, ended, finished, has_checkpoint, newest, started, tiny, wait_for};
use std::fs;
use std::process::Command;

/// Protects from reading what is no run, is damaged, or belongs to another version: the remedy is named, nothing is changed.
#[test]
fn damaged_and_foreign_folders_are_refused() {
    let place = Place::new();
    place.train("made", "tree8", "run", "");
    fs::create_dir(place.path("empty")).unwrap();
    for words in ["sample empty", "score empty --data tree8", "report empty", "train --resume --out empty"] {
        place.refused(words, 1, &["empty is not a run folder", "`genus train` makes one"]);
    }
    place.refused("sample nowhere", 1, &["nowhere is not a run folder"]);

    let config = place.text("run/config.toml");
    place.file("run/config.toml", config.replace("format = 3", "format = 9").replace("0.1.0", "7.7.7"));
    for words in ["sample run", "train --resume --out run", "audit run"] {
        place.refused(words, 1, &["genus 7.7.7", "format 9", "this program reads 3", "train again"]);
    }
    place.file("run/config.toml", "format = = 1\n");
    place.refused("sample run", 1, &["config.toml: line 1, column 10"]);
    place.file("run/config.toml", config.replace("model = \"made\"", "model = \"mode\""));
    place.refused("train --resume --out run", 2, &["no model `mode`", "made"]);
    place.file("run/config.toml", &config);

    let model = place.bytes("run/model.safetensors");
    for cut in [0, 7, 100, model.len() / 2, model.len() - 1] {
        place.file("run/model.safetensors", &model[..cut]);
        place.refused("sample run", 1, &["model.safetensors", "not a valid safetensors file"]);
    }
    // A changed name in the header and a changed bit in a weight are both noticed.
    let name = b"\\\"model\\\":\\\"made";
    let at = model.windows(name.len()).position(|w| w == name).unwrap() + name.len() - 4;
    for (at, byte) in [(at, b'n'), (model.len() - 3, !model[model.len() - 3])] {
        let mut other = model.clone();
        other[at] = byte;
        place.file("run/model.safetensors", &other);
        place.refused("sample run", 1, &["model.safetensors", "checksum", "train again"]);
    }
    fs::remove_file(place.path("run/model.safetensors")).unwrap();
    place.refused("sample run", 1, &["run", "train --resume --out run"]);
    // Resuming mends it.
    place.ok("train --resume --out run");
    assert_eq!(place.bytes("run/model.safetensors"), model);
    place.ok("report run");
}

/// Protects a run from being overwritten by a second training under the same name.
#[test]
fn a_folder_holds_one_run() {
    let place = Place::new();
    place.train("made", "tree8", "run", "");
    let before = place.everything();
    let words = format!("train made --data tree8 --out run {}", tiny("made"));
    place.refused(&words, 1, &["run holds a run already", "--resume", "--out"]);
    let e = place.refused("train gmm --resume --out run", 2, &["this run trains made, not gmm"]);
    assert!(!e.stderr.contains("panicked"));
    assert_eq!(place.everything(), before);
    // Without a name, runs are numbered.
    for folder in ["runs/gmm-iris", "runs/gmm-iris-2"] {
        place.ok("train gmm --data iris --set components=1 --set restarts=1");
        assert!(place.path(folder).join("report.html").is_file());
    }
    // Resuming what has ended changes nothing.
    let model = place.bytes("run/model.safetensors");
    place.ok("train --resume --out run");
    assert_eq!(place.bytes("run/model.safetensors"), model);
}

/// Protects a folder of something else under the names of a run: it is refused before anything is written or removed, also where
/// the configuration would have been refused.
#[test]
fn a_folder_of_something_else_is_left_alone() {
    let place = Place::new();
    fs::create_dir_all(place.path("mine/checkpoints/step-000000000001.tmp")).unwrap();
    for name in ["model.safetensors", "summary.json", "report.html", "events.jsonl", "summary.json.7.tmp"] {
        place.file(&format!("mine/{name}"), "mine");
    }
    place.file("mine/checkpoints/step-000000000002", "mine");
    let before = place.everything();
    let words = "train made --data tree8 --out mine";
    for (settings, code) in [(tiny("made"), 1), ("--set hidden=[0]", 2)] {
        let e = place.run(&format!("{words} {settings}"));
        assert_eq!(e.code, Some(code), "{e:?}");
        assert_eq!(place.everything(), before);
    }
    place.refused(
        &format!("{words} {}", tiny("made")),
        1,
        &["mine is not empty", "another folder with --out"],
    );
    place.file("mine/config.toml", "title = \"mine\"\n");
    let before = place.everything();
    place.refused(
        &format!("{words} {}", tiny("made")),
        1,
        &["mine is not empty", "another folder with --out"],
    );
    place.refused("train --resume --out mine", 1, &["mine was written by genus an unknown version"]);
    assert_eq!(place.everything(), before);
}

/// Protects what lies elsewhere: a resumption neither reads checkpoints through links nor writes through them.
#[cfg(unix)]
#[test]
fn links_out_of_a_run_are_refused() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.train("made", "tree8", "run", "");
    let model = place.bytes("run/model.safetensors");
    let newest = newest(&place.path("run")).unwrap();
    let newest = format!("run/checkpoints/{}", newest.file_name().unwrap().to_str().unwrap());
    for name in ["run/checkpoints", &newest, &format!("{newest}/MANIFEST.json"), "run/model.safetensors"] {
        fs::rename(place.path(name), place.path("elsewhere")).unwrap();
        symlink(place.path("elsewhere"), place.path(name)).unwrap();
        // The log says that an attempt was made.
        let all = || -> Vec<_> {
            place.everything().into_iter().filter(|(p, _)| !p.ends_with("events.jsonl")).collect()
        };
        let before = all();
        place.refused("train --resume --out run", 1, &[name, "is a link"]);
        assert_eq!(all(), before, "{name}");
        fs::remove_file(place.path(name)).unwrap();
        fs::rename(place.path("elsewhere"), place.path(name)).unwrap();
    }
    // A run may itself lie behind one.
    fs::rename(place.path("run"), place.path("far")).unwrap();
    symlink(place.path("far"), place.path("run")).unwrap();
    place.ok("train --resume --out run");
    assert_eq!(place.bytes("far/model.safetensors"), model);
    fs::remove_dir_all(place.path("far/checkpoints")).unwrap();
    place.file("far/checkpoints", "");
    place.refused("train --resume --out run", 1, &["run/checkpoints is no folder", "move it away"]);
}

/// Protects the promise of the same bits: another version may compute others. Its models can be used all the same.
#[test]
fn runs_of_other_versions_are_not_resumed() {
    let place = Place::new();
    place.train("made", "tree8", "run", "");
    let config = place.text("run/config.toml");
    place.file("run/config.toml", config.replace("genus = \"0.1.0\"", "genus = \"0.0.9\""));
    let before = place.everything();
    place.refused(
        "train --resume --out run",
        1,
        &["run was begun by genus 0.0.9", "0.1.0", "train --from run"],
    );
    assert_eq!(place.everything(), before);
    place.ok("score run --data tree8");
    place.ok("train --from run --out more");
}

/// Protects a training that goes on while somebody tidies up: it makes its folder of checkpoints again, and works around what has
/// their names.
#[cfg(unix)]
#[test]
fn checkpoints_that_disappear_are_written_again() {
    let place = Place::new();
    let settings = "--data tree8 --set hidden=[16] --set train.epochs=1000000 --checkpoint-seconds 0";
    let mut child = started(&mut place.command(format!("train made --out run {settings}").split(' ')));
    let run = place.path("run");
    for round in 0..3 {
        wait_for(&mut child, || has_checkpoint(&run));
        fs::rename(run.join("checkpoints"), place.path(&format!("gone{round}"))).unwrap();
    }
    wait_for(&mut child, || has_checkpoint(&run));
    let at = newest(&run).unwrap().file_name().unwrap().to_str().unwrap()[5..].parse::<u64>().unwrap();
    // In the way of one that is still to come.
    place.file(&format!("run/checkpoints/step-{:012}", at + 300), "mine");
    wait_for(&mut child, || newest(&run).is_some_and(|p| p.ends_with(format!("step-{:012}", at + 301))));
    assert!(child.try_wait().unwrap().is_none(), "{:?}", finished(child));
    child.kill().unwrap();
    finished(child);
    place.ok("train --resume --out run --time 0.2s");
    assert_eq!(place.text(&format!("run/checkpoints/step-{:012}", at + 300)), "mine");
}

/// Protects a run from two writers at once: the second is refused, the first goes on, and a kill releases the folder.
#[test]
fn two_processes_do_not_train_into_one_folder() {
    let place = Place::new();
    let words = "train made --data tree8 --out run --set hidden=[16] --set train.epochs=1000000 --checkpoint-seconds 0";
    let mut first = started(&mut place.command(words.split(' ')));
    wait_for(&mut first, || has_checkpoint(&place.path("run")));
    for second in [words, "train --resume --out run"] {
        place.refused(second, 1, &["another process is training into run", "wait for it", "--out"]);
    }
    assert!(first.try_wait().unwrap().is_none(), "the first training was disturbed");
    first.kill().unwrap();
    let first = finished(first);
    assert_eq!(first.code, None);
    place.ok("train --resume --out run --time 0s");
}

/// Protects from one model of two data sets: a resumption on rows that changed is refused and loses nothing.
#[test]
fn changed_data_are_not_resumed_on() {
    let place = Place::new();
    let table = |last: &str| format!("a,b\n{}{last}\n", "0,1\n1,0\n1,1\n".repeat(20));
    place.file("t.csv", table("0,0"));
    place.train("made", "t.csv", "run", "");
    place.file("t.csv", table("0,1"));
    let before = place.everything();
    place.refused("train --resume --out run", 1, &["other rows than t.csv holds now", "give the same data"]);
    place.refused("train --resume --out run --data tree8", 1, &["other rows than t.csv"]);
    assert_eq!(place.everything(), before);
    place.file("t.csv", table("0,0"));
    place.ok("train --resume --out run");
}

/// A small file system of its own, if this process may have one; unmounted when dropped.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(path: std::path::PathBuf) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let out = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&path).output();
        match out {
            Ok(o) if o.status.success() => Some(Self(path)),
            Ok(o) => {
                eprintln!("no disk to fill: {}", String::from_utf8_lossy(&o.stderr).trim());
                None
            }
            Err(e) => {
                eprintln!("no disk to fill: mount: {e}");
                None
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Protects what was reached when the disk is full: checkpoints and model stay as they are, the error says so and how to go
/// on, and with space again the result is the same bits as without the incident.
#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    let settings = "--data tree16 --set hidden=[16] --set train.epochs=300 --set train.batch=1000 --checkpoint-seconds 0";
    place.ok(&format!("train made --out whole {settings}"));
    let Some(_disk) = Disk::mount(place.path("disk")) else { return };
    // Stopped on the way, so that there is a model, and more to do.
    place.ok(&format!("train made --out disk/run {settings} --time 0.3s"));
    assert!(has_checkpoint(&place.path("disk/run")));
    let kept = || -> Vec<_> {
        let wanted =
            ["checkpoints", "model.safetensors", "config.toml", "summary.json", "exhibits.safetensors"];
        let in_run =
            |p: &std::path::Path| wanted.iter().any(|w| p.starts_with(place.path("disk/run").join(w)));
        place.everything().into_iter().filter(|(p, _)| in_run(p)).collect()
    };
    let before = kept();
    let mut filler = fs::File::create(place.path("disk/filler")).unwrap();
    while std::io::Write::write_all(&mut filler, &[7; 512]).is_ok() {}
    drop(filler);
    let wants = ["No space left on device", "mend the cause", "genus train --resume --out disk/run"];
    place.refused("train --resume --out disk/run --checkpoint-seconds 0", 1, &wants);
    assert_eq!(kept(), before, "a full disk cost something that was there");
    place.refused("train gmm --data iris --out disk/new", 1, &["No space left on device"]);
    assert!(!place.path("disk/new").exists());
    place.refused("sample disk/run -n 5000 -o disk/x.csv", 1, &["No space left on device"]);
    assert!(!place.path("disk/x.csv").exists());
    fs::remove_file(place.path("disk/filler")).unwrap();
    place.ok("train --resume --out disk/run");
    assert_eq!(place.bytes("disk/run/model.safetensors"), place.bytes("whole/model.safetensors"));
    let left: Vec<_> =
        place.everything().into_iter().filter(|(p, _)| p.extension().is_some_and(|e| e == "tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Protects the same where there is no disk to fill: writes that fail half-way through a file, by a limit on file sizes.
#[cfg(unix)]
#[test]
fn a_write_that_fails_half_way_loses_nothing() {
    let place = Place::new();
    let settings = "--data tree8 --set hidden=[64] --set train.epochs=20 --set train.batch=1000";
    place.ok(&format!("train made --out whole {settings}"));
    place.ok(&format!("train made --out run {settings} --time 0.1s"));
    let limited = |words: &str| {
        let mut command = Command::new("sh");
        // In blocks of 512 bytes; the signal that goes with it is ignored, so that the write itself fails.
        command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f 4; exec \"$0\" {words}"));
        command.arg(env!("CARGO_BIN_EXE_genus")).current_dir(place.root());
        ended(&mut command)
    };
    let model = place.bytes("run/model.safetensors");
    fs::remove_file(place.path("run/events.jsonl")).unwrap();
    let e = limited("train --resume --out run --checkpoint-seconds 0");
    e.is_refusal("train --resume", 1, &["run", "File too large", "genus train --resume --out run"]);
    assert_eq!(place.bytes("run/model.safetensors"), model);
    place.ok("train --resume --out run");
    assert_eq!(place.bytes("run/model.safetensors"), place.bytes("whole/model.safetensors"));
    // The log, which was cut off within a line, can be read again.
    place.ok("report run");
}
