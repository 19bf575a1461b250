//! Checkpoints that survive a kill at any moment.
//!
//! A checkpoint is a folder `step-N` holding `state.safetensors` and, written last, `MANIFEST.json` with the SHA-256 of the
//! state. It is written under another name, synced, and renamed; the parent folder is synced after. A folder without a
//! manifest that matches does not exist as far as [`Checkpoints::latest`] is concerned, so whatever moment the process dies
//! at, the newest complete checkpoint is found.

use crate::digest::hex;
use crate::{Error, Result, State, fsx};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A folder of checkpoints.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: PathBuf,
    /// Hash of everything that must not change between a run and its resumption.
    identity: String,
    interval: Duration,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    step: u64,
    identity: String,
    sha256: String,
}

/// How many complete checkpoints are kept: the newest might be the one on a failing sector.
const KEEP: usize = 2;

impl Checkpoints {
    /// Opens, or creates, the folder, which nobody else may be writing to, and removes what a killed writer left half done.
    /// `identity` is a hash of configuration, data and version: a checkpoint with another one is refused.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be created or read.
    pub fn open(dir: impl Into<PathBuf>, identity: impl Into<String>) -> Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        for entry in fs::read_dir(&dir).map_err(Error::io("read", &dir))? {
            let path = entry.map_err(Error::io("read", &dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("step-") && name.ends_with(".tmp") {
                remove_if_there(&path)?;
            }
        }
        Ok(Self { dir, identity: identity.into(), interval: Duration::from_secs(30) })
    }

    /// Sets the least time between two checkpoints; 30 seconds unless set. Zero writes one after every step.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The least time between two checkpoints.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Writes the state after `step` updates and drops all but the newest two.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full or not writable; older checkpoints are then untouched.
    pub fn save(&self, step: u64, state: &State) -> Result<()> {
        let name = format!("step-{step:012}");
        let tmp = self.dir.join(format!("{name}.tmp"));
        let full = self.dir.join(&name);
        // Left behind by a process that was killed while it wrote this very step.
        remove_if_there(&tmp)?;
        let write = || -> Result<()> {
            fs::create_dir(&tmp).map_err(Error::io("create", &tmp))?;
            let bytes = state.to_bytes()?;
            let sha256 = hex(&Sha256::digest(&bytes));
            fsx::write_atomic(&tmp.join("state.safetensors"), &bytes)?;
            let manifest = Manifest { step, identity: self.identity.clone(), sha256 };
            let json = serde_json::to_vec_pretty(&manifest)
                .map_err(|e| Error::Run(format!("cannot write a manifest: {e}")))?;
            fsx::write_atomic(&tmp.join("MANIFEST.json"), &json)?;
            remove_if_there(&full)?;
            fs::rename(&tmp, &full).map_err(Error::io("rename", &tmp))?;
            fsx::sync_dir(&self.dir)
        };
        if let Err(e) = write() {
            // Give the space back: on a full disk the half-written folder is what fills it.
            let _ = fs::remove_dir_all(&tmp);
            return Err(e);
        }
        for (_, old) in self.list()?.into_iter().skip(KEEP) {
            remove_if_there(&old)?;
        }
        Ok(())
    }

    /// Checkpoint folders, newest first, complete or not.
    fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(Error::io("read", &self.dir))? {
            let path = entry.map_err(Error::io("read", &self.dir))?.path();
            let step: Option<u64> =
                path.file_name().and_then(|n| n.to_str()?.strip_prefix("step-")?.parse().ok());
            if let Some(step) = step {
                found.push((step, path));
            }
        }
        found.sort_unstable_by_key(|(step, _)| std::cmp::Reverse(*step));
        Ok(found)
    }

    /// The newest complete checkpoint: the step and the state.
    ///
    /// # Errors
    /// [`Error::Run`] if it belongs to another configuration, data set or version.
    pub fn latest(&self) -> Result<Option<(u64, State)>> {
        for (_, dir) in self.list()? {
            let Some((manifest, state)) = read(&dir) else { continue };
            if manifest.identity != self.identity {
                return Err(Error::Run(format!(
                    "{} was written with another configuration, data set or version of genus; resume with the same ones, or train into a new folder",
                    dir.display()
                )));
            }
            return Ok(Some((manifest.step, state)));
        }
        Ok(None)
    }
}

fn remove_if_there(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { action: "remove", path: dir.into(), source: e })
        }
        _ => Ok(()),
    }
}

/// A checkpoint, if every byte of it is there.
fn read(dir: &Path) -> Option<(Manifest, State)> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(dir.join("MANIFEST.json")).ok()?).ok()?;
    let path = dir.join("state.safetensors");
    let bytes = fs::read(&path).ok()?;
    let state = State::from_bytes(&bytes, &path).ok()?;
    (hex(&Sha256::digest(&bytes)) == manifest.sha256).then_some((manifest, state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    fn state(v: f32) -> State {
        let mut s = State::default();
        s.tensors.insert("w".into(), Tensor::f32(&[3], vec![v; 3]));
        s
    }

    #[test]
    fn newest_complete_one_wins_and_two_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let c = Checkpoints::open(dir.path(), "id").unwrap();
        assert!(c.latest().unwrap().is_none());
        for step in [10, 20, 30] {
            c.save(step, &state(step as f32)).unwrap();
        }
        assert_eq!(c.list().unwrap().len(), 2);
        assert_eq!(c.latest().unwrap().unwrap(), (30, state(30.0)));
    }

    /// Whatever a kill leaves of the newest checkpoint, the one before it is found.
    #[test]
    fn any_torn_checkpoint_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let c = Checkpoints::open(dir.path(), "id").unwrap();
        c.save(1, &state(1.0)).unwrap();
        c.save(2, &state(2.0)).unwrap();
        let newest = dir.path().join("step-000000000002");
        for file in ["state.safetensors", "MANIFEST.json"] {
            let whole = fs::read(newest.join(file)).unwrap();
            for cut in 0..whole.len() {
                fs::write(newest.join(file), &whole[..cut]).unwrap();
                assert_eq!(c.latest().unwrap().unwrap().0, 1, "{file} cut to {cut} bytes");
            }
            fs::remove_file(newest.join(file)).unwrap();
            assert_eq!(c.latest().unwrap().unwrap().0, 1, "{file} missing");
            fs::write(newest.join(file), &whole).unwrap();
        }
        assert_eq!(c.latest().unwrap().unwrap().0, 2);
        // A half-written folder from a killed process is in nobody's way.
        fs::create_dir(dir.path().join("step-000000000003.tmp")).unwrap();
        c.save(3, &state(3.0)).unwrap();
        assert_eq!(c.latest().unwrap().unwrap().0, 3);
        // Nor does it stay for ever where that step is never written again.
        let torn = dir.path().join("step-000000000007.tmp");
        fs::create_dir(&torn).unwrap();
        assert_eq!(Checkpoints::open(dir.path(), "id").unwrap().latest().unwrap().unwrap().0, 3);
        assert!(!torn.exists());
    }

    #[test]
    fn another_identity_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Checkpoints::open(dir.path(), "a").unwrap().save(1, &state(1.0)).unwrap();
        let e = Checkpoints::open(dir.path(), "b").unwrap().latest().unwrap_err();
        assert!(e.to_string().contains("another configuration"), "{e}");
    }
}
