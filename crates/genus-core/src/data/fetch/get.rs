//! Downloads into a folder.

use super::http::{self, Progress};
use super::sets::{File, SETS, Set};
use crate::data::catalogue;
use crate::{Error, Result, fsx};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Environment variable with a base URL to download from instead of the usual servers; a set's files are
/// expected below `<base>/<name of the set>/`.
pub const MIRROR: &str = "GENUS_MIRROR";

/// Downloads the set called `name` into the folder `dir/<name>` and returns that folder. Files that are there
/// already and hold the right content are kept; an interrupted download continues where it stopped.
///
/// # Errors
/// [`Error::Run`] if the set cannot be downloaded (the message says where one gets it), or no server delivers
/// the right content; [`Error::Io`] if the folder cannot be written.
pub fn get(name: &str, dir: &Path, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf> {
    let entry = catalogue::entry(name);
    let Some(set) = SETS.iter().find(|s| entry.is_some_and(|e| e.name == s.name)) else {
        let names: Vec<&str> = SETS.iter().map(|s| s.name).collect();
        let how = entry.map_or(String::new(), |e| format!(" ({})", e.get));
        return Err(Error::Run(format!("{name} cannot be downloaded{how}; these can: {}", names.join(", "))));
    };
    let mirror = env::var(MIRROR).ok().filter(|m| !m.is_empty());
    get_set(set, mirror.as_deref(), dir, &http::agent(), progress)
}

fn get_set(
    set: &Set,
    mirror: Option<&str>,
    dir: &Path,
    agent: &ureq::Agent,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf> {
    let folder = dir.join(set.name);
    fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let _turn = turn(dir, set.name)?;
    let bases: Vec<String> = match mirror {
        Some(base) => vec![format!("{}/{}/", base.trim_end_matches('/'), set.name)],
        None => set.urls.iter().map(|u| (*u).to_owned()).collect(),
    };
    for file in set.files {
        let target = folder.join(file.name);
        if !(target.is_file() && file.matches(&target)?) {
            get_file(set, file, &bases, &target, agent, progress)?;
        }
    }
    Ok(folder)
}

/// Waits until no other process downloads this set into this folder. The turn ends with the file that is given.
fn turn(dir: &Path, name: &str) -> Result<fs::File> {
    let path = dir.join(format!(".{name}.lock"));
    let file = fs::File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(Error::io("write", &path))?;
    file.lock().map_err(Error::io("lock", &path))?;
    Ok(file)
}

fn get_file(
    set: &Set,
    file: &File,
    bases: &[String],
    target: &Path,
    agent: &ureq::Agent,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let part = target.with_file_name(format!("{}.part", file.name));
    let mut failures = Vec::new();
    for base in bases {
        let url = format!("{base}{}", file.name);
        // What an earlier attempt left may be from elsewhere; if the whole does not fit, once more from the
        // start.
        for _ in 0..2 {
            let resumed = part.is_file();
            if let Err(reason) = http::download(agent, &url, &part, file.cap(), progress)? {
                failures.push(format!("{url}: {reason}"));
                break;
            }
            if file.matches(&part)? {
                return keep(&part, target);
            }
            fs::remove_file(&part).map_err(Error::io("remove", &part))?;
            if !resumed {
                failures.push(format!("{url}: other content than {} has (SHA-256 differs)", set.name));
                break;
            }
        }
    }
    Err(Error::Run(format!(
        "cannot download {} of {}: {}. \
             Set {MIRROR} to the address of a server that has {}/{}, or put the file into {}",
        file.name,
        set.name,
        failures.join("; "),
        set.name,
        file.name,
        target.parent().unwrap_or(target).display()
    )))
}

/// Gives the finished download its name.
fn keep(part: &Path, target: &Path) -> Result<()> {
    fs::File::open(part).and_then(|f| f.sync_all()).map_err(Error::io("sync", part))?;
    fs::rename(part, target).map_err(Error::io("write", target))?;
    target.parent().map_or(Ok(()), fsx::sync_dir)
}

impl File {
    /// Most bytes that a server may send: compression makes nothing much larger, text takes two characters
    /// per bit.
    fn cap(&self) -> u64 {
        3 * self.bytes + 4096
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
