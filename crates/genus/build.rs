//! Makes a table of the configuration keys of all models: what each means, from the comments of the structs that hold them, and
//! which values it takes, from their types. The comments stay the one place where a key is explained.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders with configurations: those of models, and what they share.
const SOURCES: [&str; 3] = ["src", "../genus-core/src", "../genus-nn/src"];

/// Fields of a struct as name, type and comment, or variants of an enum as name, nothing and comment.
type Items = Vec<[String; 3]>;

/// What was found in the sources.
#[derive(Default)]
struct Found {
    /// Configurations and tables in them, by name of the type.
    structs: BTreeMap<String, Items>,
    /// Choices, by name of the type.
    enums: BTreeMap<String, Items>,
    /// Modules of models with the type of their configuration.
    models: Vec<(String, String)>,
}

fn main() {
    let mut found = Found::default();
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
        let mut files = Vec::new();
        list(Path::new(folder), &mut files);
        files.sort();
        files.iter().for_each(|file| found.read(file));
    }
    let mut text = "&[\n".to_owned();
    for (module, config) in &found.models {
        let mut keys = String::new();
        found.keys(config, "", &mut keys);
        text += &format!("({module:?}, &[\n{keys}]),\n");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("keys.rs");
    if let Err(e) = fs::write(&out, text + "]") {
        panic!("cannot write {}: {e}", out.display());
    }
}

/// All files with sources in a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

impl Found {
    /// Reads the types of a file that can be written as TOML tables and words.
    fn read(&mut self, file: &Path) {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut lines = text.lines();
        let mut table = false;
        let mut words = None;
        let before = self.models.len();
        while let Some(line) = lines.next() {
            match line {
                "#[serde(default, deny_unknown_fields)]" => table = true,
                "#[serde(rename_all = \"snake_case\")]" => words = Some("_"),
                "#[serde(rename_all = \"kebab-case\")]" => words = Some("-"),
                _ => {}
            }
            if let Some(name) = opened(line, "pub struct ").filter(|_| table) {
                let fields = items(&mut lines);
                if name.ends_with("Config") && text.contains("ModelSpec::new::<") {
                    // The last one of a file is the whole; those before it are tables in it.
                    self.models.truncate(before);
                    self.models.push((module(file), name.clone()));
                }
                self.structs.insert(name, fields);
            } else if let (Some(name), Some(between)) = (opened(line, "pub enum "), words) {
                let variants = items(&mut lines).into_iter();
                let variants = variants.map(|[name, of, text]| [name.replace('_', between), of, text]);
                self.enums.insert(name, variants.collect());
            } else if line.starts_with("#[") || line.starts_with("///") {
                continue;
            }
            (table, words) = (false, None);
        }
        // A model may have the configuration of another.
        let lent =
            || text.lines().find_map(|l| l.trim().strip_prefix("type Config = ")?.strip_suffix("Config;"));
        if let (true, Some(of)) = (self.models.len() == before && text.contains("ModelSpec::new::<"), lent())
        {
            self.models.push((module(file), format!("{of}Config")));
        }
    }

    /// Writes the keys of a table, those of the tables in it too.
    fn keys(&self, table: &str, before: &str, out: &mut String) {
        for [name, of, text] in &self.structs[table] {
            let key = format!("{before}{name}");
            if self.structs.contains_key(of) {
                self.keys(of, &format!("{key}."), out);
            } else {
                *out += &format!("Key {{ name: {key:?}, text: {text:?}, values: {:?} }},\n", self.values(of));
            }
        }
    }

    /// Values of a type in words. Empty for a type that is not known here, which a test of the library refuses.
    fn values(&self, of: &str) -> String {
        let inside = |outer: &str| of.strip_prefix(outer).and_then(|s| s.strip_suffix('>'));
        if let Some(inner) = inside("Option<") {
            return format!("{}, or left out", self.values(inner));
        }
        if let Some(inner) = inside("Vec<") {
            return format!("a list, each {}", self.values(inner));
        }
        let words = match of {
            "bool" => "true or false",
            "f64" => "a number",
            "usize" | "u64" => "a whole number of at least 0",
            "NonZeroUsize" => "a whole number of at least 1",
            "[usize; 2]" => "a pair of whole numbers of at least 0",
            "Positive" => "a number above 0",
            "NonNegative" => "a number of at least 0",
            "Fraction" => "a number of at least 0 and below 1",
            "Every" => "a number of epochs of at least 1, or a text such as \"500 steps\"",
            _ => "",
        };
        let choices = self.enums.get(of).into_iter().flatten();
        let choices: Vec<String> = choices.map(|[name, _, text]| format!("{name} ({text})")).collect();
        if choices.is_empty() { words.to_owned() } else { choices.join(" | ") }
    }
}

/// The name of a type that a line opens.
fn opened(line: &str, what: &str) -> Option<String> {
    line.strip_prefix(what)?.strip_suffix(" {").map(str::to_owned)
}

/// Public fields or variants up to the brace that closes the type, with their comments.
fn items<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Items {
    let mut found = Items::new();
    let mut text: Vec<&str> = Vec::new();
    for line in lines.take_while(|l| *l != "}").map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            text.push(comment.trim());
        } else if !line.starts_with("#[") && !line.is_empty() {
            let item = line.trim_end_matches(',');
            let comment = std::mem::take(&mut text).join(" ").trim_end_matches('.').to_owned();
            if let Some((name, of)) = item.strip_prefix("pub ").and_then(|f| f.split_once(": ")) {
                found.push([name.to_owned(), of.to_owned(), comment]);
            } else if item.chars().all(char::is_alphanumeric) {
                found.push([snake(item), String::new(), comment]);
            }
        }
    }
    found
}

/// `SnakeCase` as `snake_case`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// The path of the module that a file of this crate holds.
fn module(file: &Path) -> String {
    let inner = file.strip_prefix("src").unwrap_or(file).with_extension("");
    let parts: Vec<_> = inner.iter().map(|p| p.to_string_lossy()).filter(|p| p != "mod").collect();
    format!("genus::{}", parts.join("::"))
}
