//! What the targets do with bytes: read them as what they claim to be. An error is fine, a panic is not.

use genus::checkpoint::Checkpoints;
use genus::{State, data, registry};
use std::fs;
use std::path::Path;

/// A folder that is gone when it is dropped.
fn folder() -> tempfile::TempDir {
    match tempfile::tempdir() {
        Ok(dir) => dir,
        Err(e) => panic!("a folder for files is needed: {e}"),
    }
}

fn put(path: &Path, bytes: &[u8]) {
    if let Err(e) = fs::write(path, bytes) {
        panic!("{} cannot be written: {e}", path.display());
    }
}

/// Reads bytes as a file of this name; pictures as the only one of their folder.
pub fn data(name: &str, bytes: &[u8]) {
    let dir = folder();
    let path = dir.path().join(name);
    put(&path, bytes);
    let source = if name.ends_with(".png") { dir.path() } else { &path };
    if let Ok(set) = data::load(&source.to_string_lossy(), &data::Options::default()) {
        assert!(set.check().is_ok() && !set.train.x.is_empty(), "what was read breaks its promises");
    }
}

/// Makes a model of bytes. The checksum of a changed file is put right, or nothing behind it would be tried.
pub fn model(bytes: &[u8]) {
    let path = Path::new("model.safetensors");
    let state = match State::from_bytes(bytes, path) {
        Ok(state) => state,
        Err(e) => match resigned(bytes, &e.to_string()) {
            Some(state) => state,
            None => return,
        },
    };
    let _ = registry::restore(&state);
}

/// The state of a file whose checksum is wrong: its tensors, read by the same reader, with the texts of the header.
fn resigned(bytes: &[u8], error: &str) -> Option<State> {
    if !error.contains("checksum") {
        return None;
    }
    // Without the key of the header it is a plain file of tensors.
    let length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let header: serde_json::Value = serde_json::from_slice(bytes.get(8..8 + length)?).ok()?;
    let ours: serde_json::Value =
        serde_json::from_str(header.get("__metadata__")?.get("genus")?.as_str()?).ok()?;
    let mut plain = header.clone();
    plain.as_object_mut()?.remove("__metadata__");
    let plain = serde_json::to_vec(&plain).ok()?;
    let file = [&(plain.len() as u64).to_le_bytes()[..], &plain, bytes.get(8 + length..)?].concat();
    let mut state = State::from_bytes(&file, Path::new("model.safetensors")).ok()?;
    let texts = ours.get("texts")?.as_object()?;
    state.header = texts.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
    Some(state)
}

/// Looks for the newest checkpoint where there is one: the first line is its manifest, the rest its state.
pub fn checkpoint(bytes: &[u8]) {
    let dir = folder();
    let Ok(checkpoints) = Checkpoints::open(dir.path().join("checkpoints"), "me") else { return };
    let step = dir.path().join("checkpoints/step-3");
    if fs::create_dir(&step).is_err() {
        return;
    }
    let cut = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    put(&step.join("MANIFEST.json"), &bytes[..cut]);
    put(&step.join("state.safetensors"), bytes.get(cut + 1..).unwrap_or_default());
    let _ = checkpoints.find();
}

/// Reads text as the configuration of every model, and each line as an assignment.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut set = toml::Table::new();
    text.lines().for_each(|line| {
        let _ = genus::config::set(&mut set, line);
    });
    let parsed = genus::config::parse(&text, Path::new("config.toml")).unwrap_or_default();
    for spec in registry::all() {
        let _ = (spec.check_config)(&parsed);
        let _ = (spec.check_config)(&set);
    }
}
