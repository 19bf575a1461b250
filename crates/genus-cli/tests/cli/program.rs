//! Running the program, and what is asserted of every run.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time that anything here may take, far above what it does take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own in which the program is run; gone when dropped.
pub struct Place(tempfile::TempDir);

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ended {
    /// Exit code, none if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and gives its name back.
    pub fn file<'a>(&self, name: &'a str, content: impl AsRef<[u8]>) -> &'a str {
        fs::write(self.path(name), content).unwrap();
        name
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    /// The program, to be run here, with nothing of the caller's settings.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genus"));
        command.args(args).current_dir(self.root()).stdin(Stdio::null());
        for name in ["GENUS_DATA", "RAYON_NUM_THREADS", "COLUMNS", "RUST_BACKTRACE", "XDG_DATA_HOME"] {
            command.env_remove(name);
        }
        command.env("HOME", self.root());
        command
    }

    /// Runs the program to its end. Words are separated by spaces.
    pub fn run(&self, words: &str) -> Ended {
        ended(&mut self.command(words.split_whitespace()))
    }

    /// Runs the program, which must succeed.
    pub fn ok(&self, words: &str) -> Ended {
        let e = self.run(words);
        assert_eq!(e.code, Some(0), "genus {words}\n{}{}", e.stdout, e.stderr);
        e
    }

    /// Runs the program, which must succeed and print JSON.
    pub fn json(&self, words: &str) -> serde_json::Value {
        let e = self.ok(words);
        serde_json::from_str(&e.stdout).unwrap_or_else(|err| panic!("genus {words}: {err}\n{}", e.stdout))
    }

    /// Runs the program, which must refuse with `code` and one error that holds every one of `wants`.
    pub fn refused(&self, words: &str, code: i32, wants: &[&str]) -> Ended {
        let e = self.run(words);
        e.is_refusal(words, code, wants);
        e
    }

    /// Trains a tiny model into `out`; `rest` may add to it.
    pub fn train(&self, model: &str, data: &str, out: &str, rest: &str) {
        let tiny = tiny(model);
        self.ok(&format!("train {model} --data {data} --out {out} {tiny} {rest}"));
    }

    /// Every file and folder here with its content, to show that nothing changed.
    pub fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(dir: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    found.push((path.clone(), Vec::new()));
                    walk(&path, found);
                } else {
                    let content = fs::read(&path).unwrap();
                    found.push((path, content));
                }
            }
        }
        let mut found = Vec::new();
        walk(self.root(), &mut found);
        found.sort();
        found
    }
}

impl Ended {
    /// Asserts that this is a refusal: `code`, nothing on standard output, one error with all of `wants`, no panic.
    pub fn is_refusal(&self, what: &str, code: i32, wants: &[&str]) {
        let say = format!("genus {what}\n{}{}", self.stdout, self.stderr);
        assert_eq!(self.code, Some(code), "{say}");
        assert!(self.stdout.is_empty(), "{say}");
        assert!(!self.stderr.contains("panicked"), "{say}");
        let errors: Vec<&str> = self.stderr.lines().filter(|l| l.starts_with("error:")).collect();
        assert_eq!(errors.len(), 1, "{say}");
        // Usage errors go on below the line of the error.
        for want in wants {
            assert!(self.stderr.contains(want), "`{want}` is missing\n{say}");
        }
    }

    /// Asserts that the program ended without a panic.
    pub fn is_calm(&self) {
        assert!(self.code.is_some_and(|c| c <= 2), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

/// Settings that train `model` in a moment.
pub fn tiny(model: &str) -> &'static str {
    match model {
        "made" => {
            "--set hidden=[16] --set train.epochs=2 --set train.batch=500 --set train.optimizer.rate=0.01"
        }
        "vae" => {
            "--set hidden=[16] --set latent=2 --set train.epochs=2 --set train.batch=500 \
             --set train.optimizer.rate=0.01"
        }
        "gmm" => "--set components=3 --set restarts=1",
        _ => "",
    }
}

/// Runs `command` to its end.
pub fn ended(command: &mut Command) -> Ended {
    let start = Instant::now();
    let out = command.output().unwrap();
    assert!(start.elapsed() < PATIENCE, "{command:?} took {:?}", start.elapsed());
    let text = |b| String::from_utf8(b).unwrap();
    Ended { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

/// Runs `command` in the background, what it prints is kept.
pub fn started(command: &mut Command) -> Running {
    Running(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
}

/// What runs in the background, and no longer than its test, which may fail.
pub struct Running(Option<Child>);

impl std::ops::Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().unwrap()
    }
}

impl std::ops::DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for what runs in the background.
pub fn finished(mut child: Running) -> Ended {
    let out = child.0.take().unwrap().wait_with_output().unwrap();
    let text = |b| String::from_utf8(b).unwrap();
    Ended { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

/// Waits until `holds`, or until `child` has ended.
pub fn wait_for(child: &mut Child, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < PATIENCE, "nothing happened in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// True once a training into `run` has a whole checkpoint.
pub fn has_checkpoint(run: &Path) -> bool {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    entries.into_iter().any(|e| e.path().extension().is_none())
}

/// The newest checkpoint of a run by its name, whole or not.
pub fn newest(run: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    entries.into_iter().map(|e| e.path()).filter(|p| p.extension().is_none()).max()
}
