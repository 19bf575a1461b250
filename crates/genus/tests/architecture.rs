//! What the workspace promises about itself: which crate may use which, which files are registered, what the documents show.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The edges that there may be; a development dependency counts as well.
const ALLOWED: &[(&str, &[&str])] = &[
    ("genus-core", &[]),
    ("genus-kernels", &["genus-core"]),
    ("genus-nn", &["genus-core", "genus-kernels"]),
    ("genus", &["genus-core", "genus-kernels", "genus-nn"]),
    ("genus-testkit", &["genus-core"]),
    ("genus-report", &["genus-core"]),
    ("genus-cli", &["genus-core", "genus", "genus-report"]),
];
/// Edges of tests only.
const DEV_ALLOWED: &[(&str, &str)] = &[("genus", "genus-testkit")];
/// The only crate that may name the tensor framework.
const FRAMEWORK: (&str, &str) = ("genus-nn", "burn");

/// The wrong edges of a manifest.
fn wrong_edges(manifest: &toml::Table) -> Vec<String> {
    let name = manifest["package"]["name"].as_str().unwrap();
    let allowed = ALLOWED.iter().find(|(n, _)| *n == name).map_or(&[][..], |(_, a)| a);
    let mut wrong = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(deps) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
        for dep in deps.keys() {
            let ours = dep.starts_with("genus");
            // A crate may ask for all its features in its tests.
            let dev = section == "dev-dependencies" && (DEV_ALLOWED.contains(&(name, dep)) || dep == name);
            if ours && !allowed.contains(&dep.as_str()) && !dev {
                wrong.push(format!("{name} → {dep} ({section})"));
            }
            if dep.starts_with(FRAMEWORK.1) && name != FRAMEWORK.0 {
                wrong.push(format!("{name} → {dep}: only {} names the tensor framework", FRAMEWORK.0));
            }
        }
    }
    wrong
}

fn manifests() -> Vec<toml::Table> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path().join("Cargo.toml")).unwrap();
        all.push(toml::from_str(&text).unwrap());
    }
    all
}

#[test]
fn crates_depend_in_one_direction() {
    let all = manifests();
    let names: BTreeSet<&str> = all.iter().map(|m| m["package"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ALLOWED.iter().map(|(n, _)| *n).collect(), "list every crate in ALLOWED");
    let wrong: Vec<String> = all.iter().flat_map(wrong_edges).collect();
    assert!(wrong.is_empty(), "edges against the dependency direction: {wrong:?}");
}

/// The check itself: it must see a wrong edge.
#[test]
fn a_wrong_edge_is_seen() {
    let bad =
        "[package]\nname = 'genus-core'\n[dependencies]\ngenus-nn.workspace = true\nburn.workspace = true";
    assert_eq!(wrong_edges(&toml::from_str(bad).unwrap()).len(), 2);
    let dev = "[package]\nname = 'genus-report'\n[dev-dependencies]\ngenus = '1'";
    assert_eq!(wrong_edges(&toml::from_str(dev).unwrap()).len(), 1);
}

/// Files below `dir` that declare a `pub static SPEC`, with the path of their module.
fn spec_files(dir: &Path, module: &str, found: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            spec_files(&path, &format!("{module}::{stem}"), found);
        } else if path.extension().is_some_and(|e| e == "rs")
            && fs::read_to_string(&path).unwrap().contains("pub static SPEC: ModelSpec")
        {
            found.insert(format!("{module}::{stem}"), path);
        }
    }
}

#[test]
fn every_model_file_is_registered() {
    let mut files = BTreeMap::new();
    spec_files(&root().join("crates/genus/src"), "genus", &mut files);
    let registered: BTreeSet<String> = genus::registry::all().map(|s| s.module.to_owned()).collect();
    assert_eq!(registered.len(), genus::registry::all().count(), "a model is registered twice");
    for (module, path) in &files {
        let (folder, name) = module.rsplit_once("::").unwrap();
        assert!(
            registered.contains(module),
            "{} is not registered; add `&{name}::SPEC,` to SPECS in {}/mod.rs",
            path.display(),
            folder.replace("genus::", "crates/genus/src/").replace("::", "/")
        );
    }
    assert_eq!(files.len(), registered.len(), "a registered model has no file of its own");
}

/// Model files open with the mathematics, under these headings.
#[test]
fn model_files_explain_themselves() {
    let mut files = BTreeMap::new();
    spec_files(&root().join("crates/genus/src"), "genus", &mut files);
    for path in files.values() {
        let text = fs::read_to_string(path).unwrap();
        let doc: String = text.lines().take_while(|l| l.starts_with("//!")).collect::<Vec<_>>().join("\n");
        for heading in ["What it is", "Density", "Trained by", "Use it when", "References", "Example"] {
            assert!(
                doc.contains(&format!("//! ## {heading}")),
                "{} lacks the heading `## {heading}`",
                path.display()
            );
        }
    }
}

/// The model table of the README, as the registry has it.
fn model_table() -> String {
    let mut table = String::from("| model | what it is | evidence | rows | can |\n|---|---|---|---|---|\n");
    for s in genus::registry::all() {
        let verbs: Vec<_> = s.capabilities.iter().map(|c| c.verb()).collect();
        let (supports, verbs) = (genus::SupportKind::join(s.supports, ", "), verbs.join(", "));
        table += &format!("| `{}` | {} | {} | {supports} | {verbs} |\n", s.name, s.title, s.evidence_name());
    }
    table
}

/// `UPDATE_DOCS=1 cargo test --release -p genus --test architecture` writes the table anew.
#[test]
fn the_readme_lists_the_models() {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- models:begin -->\n", "<!-- models:end -->");
    let (from, to) = (text.find(begin).unwrap() + begin.len(), text.find(end).unwrap());
    let want = model_table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{}{want}{}", &text[..from], &text[to..])).unwrap();
        return;
    }
    assert_eq!(text[from..to].trim(), want.trim(), "run with UPDATE_DOCS=1");
}
