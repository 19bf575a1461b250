//! Damaged files: every reader gives an error or a data set that keeps its promises, never a panic, and soon.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus_core::data::{Options, load, write};
use genus_core::{Batch, Domain, Shape, State, Support, Tensor};
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Much longer than any case takes, short enough to tell a loop from work.
const PATIENCE: Duration = Duration::from_secs(10);

/// A valid file of each kind, by the name that its reader goes by.
fn valid(name: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    let shape = Shape::Image { height: 4, width: 3, channels: 1 };
    let domain = Domain { support: Support::Discrete { levels: 256 }, shape };
    let x = Batch::from_fn(4, 12, |r, c| ((r * 37 + c * 11) % 256) as f32);
    let idx = || {
        let mut b = vec![0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 3];
        b.extend(x.data().iter().map(|v| *v as u8));
        b
    };
    match name {
        "a.idx" => idx(),
        "a.idx.gz" => {
            use std::io::Write;
            let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            e.write_all(&idx()).unwrap();
            e.finish().unwrap()
        }
        "a.amat" => b"0 1 1 0\n1 1 0 0\n0 0 0 1\n".to_vec(),
        "t.csv" => b"age,work,\"a, b\",class\n39,state,0,x\n50,private,1,y\n38,private,0,x\n".to_vec(),
        "a.safetensors" => {
            let mut state = State::default();
            state.tensors.insert("train".into(), Tensor::f32(&[4, 12], x.into_data()));
            state.tensors.insert("train_labels".into(), Tensor::u64(&[4], vec![0, 1, 2, 1]));
            state.to_bytes().unwrap()
        }
        _ => {
            write(&path, &x, &domain.clone().into()).unwrap();
            fs::read(&path).unwrap()
        }
    }
}

/// Loads `bytes` as a file called `name`; images are loaded through their folder.
fn survives(name: &str, bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    let source: &Path = if name.ends_with("png") { dir.path() } else { &path };
    let start = Instant::now();
    if let Ok(set) = load(source.to_str().unwrap(), &Options::default()) {
        set.check().unwrap();
        assert!(!set.train.x.is_empty());
    }
    assert!(start.elapsed() < PATIENCE, "{name} took {:?}", start.elapsed());
}

const NAMES: [&str; 8] = ["a.idx", "a.idx.gz", "a.npy", "a.npz", "a.png", "a.amat", "t.csv", "a.safetensors"];

#[test]
fn whole_files_are_read() {
    for name in NAMES {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, valid(name)).unwrap();
        let source = if name.ends_with("png") { dir.path() } else { &path };
        load(source.to_str().unwrap(), &Options::default()).unwrap();
    }
}

#[test]
fn every_truncation_is_survived() {
    for name in NAMES {
        let bytes = valid(name);
        (0..bytes.len()).for_each(|n| survives(name, &bytes[..n]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn damaged_files_are_survived(
        which in 0..NAMES.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let name = NAMES[which];
        let mut bytes = valid(name);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(tail);
        survives(name, &bytes);
    }

    /// Text made of what tables are made of.
    #[test]
    fn strange_tables_are_survived(text in "[a-c0-9.,;\t\"\n\r?eE+-]{0,80}") {
        survives("t.csv", text.as_bytes());
    }
}
