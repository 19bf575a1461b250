//! Tells the program which commit and which compiler it was built from.

use std::path::Path;
use std::process::Command;

fn output(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn main() {
    // The log grows with every commit; the crates change before one.
    for path in ["../../.git/logs/HEAD", "../../crates", "../../Cargo.lock"] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = output("git", &["rev-parse", "--short", "HEAD"]).map_or("unknown".to_owned(), |hash| {
        let sources =
            ["status", "--porcelain", "-uno", "--", "../../crates", "../../Cargo.toml", "../../Cargo.lock"];
        let changed = output("git", &sources).is_some_and(|s| !s.is_empty());
        if changed { format!("{hash}+changes") } else { hash }
    });
    let compiler = std::env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    println!("cargo::rustc-env=GENUS_COMMIT={commit}");
    println!("cargo::rustc-env=GENUS_COMPILER={}", compiler.unwrap_or_else(|| "unknown".to_owned()));
}
