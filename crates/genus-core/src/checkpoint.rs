//! Checkpoints that survive a kill at any moment, and damage to the newest.
//!
//! A checkpoint is a folder `step-N` holding `state.safetensors` and, written last, `MANIFEST.json`: the step, the identity of
//! the run, the SHA-256 of the state, and the SHA-256 of these three. It is written under another name, synced, and renamed;
//! the parent folder is synced after.
//!
//! A folder in which a single bit of either file is not as it was written does not count: the newest whole checkpoint is found
//! whatever moment the process died at, and [`Found`] names what was passed over. A whole checkpoint of another run is refused.
//! Nothing is removed but what a manifest or a name says to be of this run, and nothing is read, written or removed through a
//! link.

use crate::digest::{Parts, hex};
use crate::state::MAX_BYTES;
use crate::{Error, Result, State, fsx};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A folder of checkpoints.
#[doc(alias = "snapshot")]
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: PathBuf,
    /// Hash of everything that must not change between a run and its resumption.
    identity: String,
    interval: Duration,
}

/// Where a resumption begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Step and state of the newest whole checkpoint.
    pub newest: Option<(u64, State)>,
    /// What has the name of a newer one and is not whole, each with the reason.
    pub passed_over: Vec<String>,
}

impl Found {
    /// What the user must hear: nothing, if the newest checkpoint is whole.
    pub fn warning(&self) -> Option<String> {
        let begins = match &self.newest {
            Some((step, _)) => format!("training goes on after step {step}"),
            None => "training begins anew".into(),
        };
        match &self.passed_over[..] {
            [] if self.newest.is_some() => None,
            [] => Some(format!("there is no checkpoint: {begins}")),
            damaged => {
                Some(format!("damaged checkpoints were passed over, {}: {begins}", damaged.join(", ")))
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    step: u64,
    identity: String,
    /// SHA-256 of the state's file.
    state: String,
    /// SHA-256 of the above.
    sha256: String,
}

impl Manifest {
    fn new(step: u64, identity: &str, state: String) -> Self {
        let mut parts = Parts::default();
        parts.put(step.to_le_bytes()).put(identity).put(&state);
        Self { step, identity: identity.into(), state, sha256: parts.hex() }
    }
}

const STATE: &str = "state.safetensors";
const MANIFEST: &str = "MANIFEST.json";

/// How many whole checkpoints are kept: the newest might be the one on a failing sector.
const KEEP: usize = 2;

impl Checkpoints {
    /// Opens, or creates, the folder, which nobody else may be writing to, and removes what a killed writer of this run left half
    /// done. `identity` is a hash of configuration, data and version: a checkpoint with another one is refused.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be created or read, [`Error::Run`] if it is a link or no folder.
    pub fn open(dir: impl Into<PathBuf>, identity: impl Into<String>) -> Result<Self> {
        let opened = Self { dir: dir.into(), identity: identity.into(), interval: Duration::from_secs(30) };
        if let Some(parent) = opened.dir.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        opened.folder()?;
        for entry in fs::read_dir(&opened.dir).map_err(Error::io("read", &opened.dir))? {
            let entry = entry.map_err(Error::io("read", &opened.dir))?;
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(&opened.partial())) {
                remove(&entry.path());
            }
        }
        Ok(opened)
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

    /// Creates the folder if it is not there.
    fn folder(&self) -> Result<()> {
        match fs::create_dir(&self.dir) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            other => return other.map_err(Error::io("create", &self.dir)),
        }
        let kind = fs::symlink_metadata(&self.dir).map_err(Error::io("read", &self.dir))?;
        if !kind.is_dir() {
            let what = if kind.is_symlink() { "a link" } else { "no folder" };
            return Err(Error::Run(format!(
                "{} is {what}, and checkpoints are kept in a folder of that name; move it away",
                self.dir.display()
            )));
        }
        Ok(())
    }

    /// How the name of a half-written checkpoint of this run ends; that of another run has another ending.
    fn partial(&self) -> String {
        format!(".{}.tmp", &hex(&Sha256::digest(&self.identity))[..16])
    }

    /// Writes the state after `step` updates, and drops all checkpoints of this run but this one and the newest other whole one.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full or not writable; older checkpoints are then untouched.
    pub fn save(&self, step: u64, state: &State) -> Result<()> {
        let bytes = state.to_bytes()?;
        let gone = |e: &Error| matches!(e, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound);
        let mut written = self.write(step, &bytes);
        // Somebody may remove the folder while it is written to, which takes a moment.
        for _ in 0..3 {
            if written.as_ref().is_err_and(gone) {
                written = self.write(step, &bytes);
            }
        }
        self.prune(&written?);
        Ok(())
    }

    fn write(&self, step: u64, bytes: &[u8]) -> Result<PathBuf> {
        self.folder()?;
        let tmp = self.dir.join(format!("step-{step:012}{}", self.partial()));
        // Left behind by a process that was killed while it wrote this very step.
        remove(&tmp);
        let write = || -> Result<PathBuf> {
            fs::create_dir(&tmp).map_err(Error::io("create", &tmp))?;
            fsx::write_atomic(&tmp.join(STATE), bytes)?;
            let manifest = Manifest::new(step, &self.identity, hex(&Sha256::digest(bytes)));
            let json = serde_json::to_vec_pretty(&manifest)
                .map_err(|e| Error::Run(format!("cannot write a manifest: {e}")))?;
            fsx::write_atomic(&tmp.join(MANIFEST), &json)?;
            let full = self.place(step);
            fs::rename(&tmp, &full).map_err(Error::io("rename", &tmp))?;
            fsx::sync_dir(&self.dir)?;
            Ok(full)
        };
        // Give the space back: on a full disk the half-written folder is what fills it.
        write().inspect_err(|_| remove(&tmp))
    }

    /// A name that is free, or was that of a checkpoint of this run. Whatever else has the name of this step stays, and must not
    /// end a training.
    fn place(&self, step: u64) -> PathBuf {
        let mut path = self.dir.join(format!("step-{step:012}"));
        for other in 1.. {
            if self.own(step, &path).is_some() {
                remove(&path);
            }
            if fs::symlink_metadata(&path).is_err() {
                break;
            }
            path = self.dir.join(format!("step-{step:012}-{other}"));
        }
        path
    }

    /// Drops all checkpoints of this run but `new` and the newest other whole ones. One that cannot be dropped costs space,
    /// nothing else.
    fn prune(&self, new: &Path) {
        let mut kept = 1;
        for (step, path) in self.list().unwrap_or_default() {
            let Some(manifest) = self.own(step, &path).filter(|_| path != new) else { continue };
            if kept < KEEP && state(&path, &manifest).is_ok() {
                kept += 1;
            } else {
                remove(&path);
            }
        }
    }

    /// The manifest of a folder that is of this run, whether its state is whole or not.
    fn own(&self, step: u64, dir: &Path) -> Option<Manifest> {
        no_link(dir).ok()?;
        manifest(step, dir).ok().filter(|m| m.identity == self.identity)
    }

    /// What has the name of a checkpoint, newest first, whole or not.
    fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(Error::io("read", &self.dir))? {
            let entry = entry.map_err(Error::io("read", &self.dir))?;
            let place = |name: &str| -> Option<(u64, u64)> {
                let (step, other) =
                    name.strip_prefix("step-").map(|n| n.split_once('-').unwrap_or((n, "0")))?;
                Some((step.parse().ok()?, other.parse().ok()?))
            };
            if let Some(place) = entry.file_name().to_str().and_then(place) {
                found.push((place, entry.path()));
            }
        }
        found.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
        Ok(found.into_iter().map(|((step, _), path)| (step, path)).collect())
    }

    /// The newest whole checkpoint, and what was passed over to get there.
    ///
    /// # Errors
    /// [`Error::Run`] if it belongs to another configuration, data set or version, or is reached through a link.
    pub fn find(&self) -> Result<Found> {
        let mut passed_over = Vec::new();
        for (step, dir) in self.list()? {
            no_link(&dir)?;
            match manifest(step, &dir).and_then(|m| Ok((state(&dir, &m)?, m))) {
                Err(why) => passed_over.push(format!("{} ({why})", dir.display())),
                Ok((_, manifest)) if manifest.identity != self.identity => {
                    return Err(Error::Run(format!(
                        "{} was written with another configuration, data set or version of genus; resume with the same ones, or train into a new folder",
                        dir.display()
                    )));
                }
                Ok((state, _)) => return Ok(Found { newest: Some((step, state)), passed_over }),
            }
        }
        Ok(Found { newest: None, passed_over })
    }

    /// The newest whole checkpoint: the step and the state.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn latest(&self) -> Result<Option<(u64, State)>> {
        Ok(self.find()?.newest)
    }
}

/// Refuses a checkpoint that lies elsewhere: what is there is not this run's to read, and less to remove.
fn no_link(dir: &Path) -> Result<()> {
    for path in [dir.to_owned(), dir.join(MANIFEST), dir.join(STATE)] {
        if fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()) {
            return Err(Error::Run(format!(
                "{} is a link, and a training follows none within its folder; put there what it points to, or remove it",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Removes a folder with what makes up a checkpoint. Where it holds anything else, the folder stays; it then costs space,
/// nothing else.
fn remove(dir: &Path) {
    if !fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir()) {
        return;
    }
    fsx::sweep(dir, &[STATE, MANIFEST]);
    // The manifest last: until then it says whose the folder is.
    for name in [STATE, MANIFEST] {
        let _ = fs::remove_file(dir.join(name));
    }
    let _ = fs::remove_dir(dir);
}

/// The content of a file that no checkpoint is without, or what is wrong with it.
fn content(path: &Path, cap: u64) -> Result<Vec<u8>, String> {
    let name = path.file_name().unwrap_or_default().display();
    // A pipe would be waited for.
    if !fs::symlink_metadata(path).is_ok_and(|m| m.is_file()) {
        return Err(format!("no file {name}"));
    }
    fsx::read_capped(path, cap).map_err(|e| e.to_string())
}

/// The manifest of the checkpoint of this step, if every bit of it is as it was written.
fn manifest(step: u64, dir: &Path) -> Result<Manifest, String> {
    let bytes = content(&dir.join(MANIFEST), 1 << 16)?;
    let damaged = || format!("{MANIFEST} does not match its checksum");
    let found: Manifest = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    if Manifest::new(found.step, &found.identity, found.state.clone()).sha256 != found.sha256 {
        return Err(damaged());
    }
    if found.step != step {
        return Err(format!("{MANIFEST} is of step {}", found.step));
    }
    Ok(found)
}

/// The state that a manifest names, if every bit of it is as it was written.
fn state(dir: &Path, manifest: &Manifest) -> Result<State, String> {
    let path = dir.join(STATE);
    let bytes = content(&path, MAX_BYTES)?;
    if hex(&Sha256::digest(&bytes)) != manifest.state {
        return Err(format!("{STATE} does not match its checksum"));
    }
    State::from_bytes(&bytes, &path).map_err(|e| e.to_string())
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

    /// A folder with the checkpoints of these steps, whose states tell them apart.
    fn saved(steps: &[u64]) -> (tempfile::TempDir, Checkpoints) {
        let dir = tempfile::tempdir().unwrap();
        let c = Checkpoints::open(dir.path().join("checkpoints"), "id").unwrap();
        for step in steps {
            c.save(*step, &state(*step as f32)).unwrap();
        }
        (dir, c)
    }

    fn names(c: &Checkpoints) -> Vec<String> {
        let entries = fs::read_dir(&c.dir).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn folder(c: &Checkpoints, step: u64) -> PathBuf {
        c.dir.join(format!("step-{step:012}"))
    }

    fn newest(c: &Checkpoints) -> u64 {
        let (step, found) = c.latest().unwrap().unwrap();
        assert_eq!(found, state(step as f32));
        step
    }

    #[test]
    fn newest_complete_one_wins_and_two_are_kept() {
        let (_dir, c) = saved(&[]);
        assert!(c.latest().unwrap().is_none());
        assert_eq!(c.find().unwrap().warning().unwrap(), "there is no checkpoint: training begins anew");
        for step in [10, 20, 30] {
            c.save(step, &state(step as f32)).unwrap();
        }
        assert_eq!(names(&c), ["step-000000000020", "step-000000000030"]);
        assert_eq!(newest(&c), 30);
        assert_eq!(c.find().unwrap().warning(), None);
    }

    /// Whatever a kill leaves of the newest checkpoint, the one before it is found.
    #[test]
    fn any_torn_checkpoint_is_passed_over() {
        let (_dir, c) = saved(&[1, 2]);
        let torn = folder(&c, 2);
        for file in [STATE, MANIFEST] {
            let whole = fs::read(torn.join(file)).unwrap();
            for cut in 0..whole.len() {
                fs::write(torn.join(file), &whole[..cut]).unwrap();
                assert_eq!(newest(&c), 1, "{file} cut to {cut} bytes");
            }
            fs::remove_file(torn.join(file)).unwrap();
            assert_eq!(newest(&c), 1, "{file} missing");
            fs::write(torn.join(file), &whole).unwrap();
        }
        assert_eq!(newest(&c), 2);
        // A half-written folder from a killed process is in nobody's way.
        let half = |step: u64| {
            let half = c.dir.join(format!("step-{step:012}{}", c.partial()));
            fs::create_dir(&half).unwrap();
            fs::write(half.join(STATE), "half").unwrap();
            fs::write(half.join("MANIFEST.json.71.tmp"), "half").unwrap();
            half
        };
        half(3);
        c.save(3, &state(3.0)).unwrap();
        assert_eq!(newest(&c), 3);
        // Nor does it stay for ever where that step is never written again. What another run left does.
        let (own, foreign) = (half(7), c.dir.join("step-000000000007.tmp"));
        fs::create_dir(&foreign).unwrap();
        assert_eq!(newest(&Checkpoints::open(&c.dir, "id").unwrap()), 3);
        assert!(!own.exists() && foreign.exists());
    }

    /// A changed bit anywhere in the newest checkpoint costs that checkpoint at most: neither an error nor another state comes of
    /// it, and it is said.
    #[test]
    fn any_flipped_bit_is_passed_over() {
        let (_dir, c) = saved(&[10, 40]);
        for file in [STATE, MANIFEST] {
            let path = folder(&c, 40).join(file);
            let whole = fs::read(&path).unwrap();
            for bit in 0..8 * whole.len() {
                let mut damaged = whole.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, &damaged).unwrap();
                let found = c.find().unwrap();
                let (step, found_state) = found.newest.clone().unwrap();
                assert_eq!(found_state, state(step as f32), "bit {bit} of {file}");
                // No bit of these files is without meaning.
                assert_eq!(step, 10, "bit {bit} of {file}");
                let said = found.warning().unwrap();
                assert!(said.contains("step-000000000040 (") && said.contains(file), "{said}");
                assert!(said.ends_with("training goes on after step 10"), "{said}");
            }
            fs::write(&path, &whole).unwrap();
        }
        assert_eq!(newest(&c), 40);
        // A whole checkpoint under the name of another step is none.
        fs::rename(folder(&c, 40), folder(&c, 50)).unwrap();
        let found = c.find().unwrap();
        assert_eq!(found.newest, Some((10, state(10.0))));
        assert!(found.passed_over[0].contains("MANIFEST.json is of step 40"), "{found:?}");
    }

    #[test]
    fn another_identity_is_refused() {
        let (_dir, c) = saved(&[1, 2]);
        let other = Checkpoints::open(&c.dir, "b").unwrap();
        let e = other.latest().unwrap_err();
        assert!(e.to_string().contains("another configuration"), "{e}");
        // But what is damaged says nothing of anybody.
        fs::write(folder(&c, 2).join(STATE), "").unwrap();
        fs::write(folder(&c, 1).join(MANIFEST), "").unwrap();
        let found = other.find().unwrap();
        assert_eq!((found.newest, found.passed_over.len()), (None, 2));
    }

    /// What has higher numbers and is damaged, foreign or no checkpoint at all costs none of the new ones, and stays.
    #[test]
    fn only_whole_ones_of_this_run_count() {
        let (_dir, c) = saved(&[80, 90]);
        fs::write(folder(&c, 80).join(STATE), "").unwrap();
        let damaged = fs::read_to_string(folder(&c, 90).join(MANIFEST)).unwrap().replace("90", "91");
        fs::write(folder(&c, 90).join(MANIFEST), damaged).unwrap();
        Checkpoints::open(&c.dir, "other").unwrap().save(95, &state(0.0)).unwrap();
        fs::create_dir(folder(&c, 99)).unwrap();
        fs::write(folder(&c, 99).join("thesis.txt"), "mine").unwrap();
        fs::write(c.dir.join("step-1"), "mine").unwrap();
        for step in [10, 20, 30] {
            c.save(step, &state(step as f32)).unwrap();
        }
        // That of step 80 was of this run and is of no use.
        let kept = [20, 30, 90, 95, 99].map(|s| format!("step-{s:012}"));
        assert_eq!(names(&c), [&kept[..], &["step-1".into()]].concat());
        fs::remove_dir_all(folder(&c, 95)).unwrap();
        let found = c.find().unwrap();
        assert_eq!(found.newest, Some((30, state(30.0))));
        assert_eq!(found.passed_over.len(), 2);
    }

    /// A name that is taken is no reason to end a training, nor to remove what has it.
    #[test]
    fn a_name_that_is_taken() {
        let (_dir, c) = saved(&[]);
        fs::write(folder(&c, 10), "mine").unwrap();
        fs::create_dir(folder(&c, 20)).unwrap();
        fs::write(folder(&c, 20).join(STATE), "mine").unwrap();
        for step in [10, 20] {
            c.save(step, &state(step as f32)).unwrap();
            assert_eq!(newest(&c), step);
        }
        // Written again, it takes the place of the one before.
        c.save(20, &state(20.0)).unwrap();
        let kept = [10, 20].map(|s| [format!("step-{s:012}"), format!("step-{s:012}-1")]);
        assert_eq!(names(&c), kept.concat());
        assert_eq!(fs::read(folder(&c, 10)).unwrap(), b"mine");
        assert_eq!(fs::read(folder(&c, 20).join(STATE)).unwrap(), b"mine");
    }

    #[test]
    fn a_removed_folder_is_made_again() {
        let (_dir, c) = saved(&[1]);
        fs::remove_dir_all(&c.dir).unwrap();
        c.save(2, &state(2.0)).unwrap();
        assert_eq!(newest(&c), 2);
        fs::remove_dir_all(&c.dir).unwrap();
        fs::write(&c.dir, "").unwrap();
        let e = Checkpoints::open(&c.dir, "id").unwrap_err().to_string();
        assert!(e.contains("checkpoints is no folder") && e.contains("move it away"), "{e}");
    }

    /// Nothing elsewhere is read, written or removed.
    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        use std::os::unix::fs::symlink;
        let (elsewhere, far) = saved(&[1, 2]);
        let before =
            (fs::read(folder(&far, 1).join(STATE)).unwrap(), fs::read(folder(&far, 2).join(STATE)).unwrap());
        let (dir, c) = saved(&[]);
        symlink(folder(&far, 2), folder(&c, 2)).unwrap();
        let e = c.find().unwrap_err().to_string();
        assert!(e.contains("step-000000000002 is a link"), "{e}");
        // It does not end a training that goes on.
        for step in [2, 3, 4, 5] {
            c.save(step, &state(step as f32)).unwrap();
        }
        assert_eq!(newest(&c), 5);
        for file in [STATE, MANIFEST] {
            let path = folder(&c, 5).join(file);
            let there = elsewhere.path().join(file);
            fs::rename(&path, &there).unwrap();
            symlink(&there, &path).unwrap();
            let e = c.find().unwrap_err().to_string();
            assert!(e.contains(&format!("{file} is a link")), "{e}");
            fs::rename(&there, &path).unwrap();
        }
        fs::remove_dir_all(&c.dir).unwrap();
        symlink(&far.dir, dir.path().join("checkpoints")).unwrap();
        let e = Checkpoints::open(&c.dir, "id").unwrap_err().to_string();
        assert!(e.contains("checkpoints is a link"), "{e}");
        let e = c.save(6, &state(6.0)).unwrap_err().to_string();
        assert!(e.contains("checkpoints is a link"), "{e}");
        assert_eq!(names(&far), [1, 2].map(|s| format!("step-{s:012}")));
        let after =
            (fs::read(folder(&far, 1).join(STATE)).unwrap(), fs::read(folder(&far, 2).join(STATE)).unwrap());
        assert_eq!(before, after);
    }
}
