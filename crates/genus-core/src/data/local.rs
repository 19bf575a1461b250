//! Named sets on the user's disk.

use super::array::{self, Array};
use super::input::Input;
use super::table::{self, How};
use super::{Get, Options, amat, catalogue, fetch, idx, npz};
use crate::{Advice, Dataset, Error, Result, Shape, Support};
use std::env;
use std::path::{Path, PathBuf};

/// Environment variable with the folder in which named sets are looked for.
pub const DATA: &str = "GENUS_DATA";

/// Rows at the end of the training images of MNIST and its likes that are the validation split.
const VALID: usize = 10_000;

/// What a set consists of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// The four IDX files.
    Idx,
    /// An NPZ file of this name.
    Npz(&'static str),
    /// A table of this name.
    Table(&'static str),
    /// An NPZ file of this name, or the three downloaded texts.
    Bits(&'static str),
    /// The IDX files of this set, 1 where a pixel is brighter than half.
    Threshold(&'static str),
}

fn form(name: &str) -> Option<Form> {
    Some(match name {
        "mnist" | "fashion-mnist" => Form::Idx,
        "mnist-binary" => Form::Threshold("mnist"),
        "binarized-mnist" => Form::Bits("binarized_mnist"),
        "adult" => Form::Npz("adult"),
        "connect4" => Form::Npz("connect4"),
        "mushrooms" => Form::Npz("mushrooms"),
        "ocr-letters" => Form::Npz("ocr_letters"),
        "cifar10-4k" => Form::Npz("cifar10_4k"),
        "breast-cancer" => Form::Table("breast_cancer"),
        _ => return None,
    })
}

/// The user's own data folder, for downloads: `$XDG_DATA_HOME/genus` or
/// `~/.local/share/genus`; none if the environment names no home.
pub fn user_dir() -> Option<PathBuf> {
    let var = |name| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    var("XDG_DATA_HOME").or_else(|| Some(var("HOME")?.join(".local/share"))).map(|p| p.join("genus"))
}

/// Folders that sets are looked for in, the most specific first.
fn roots(options: &Options) -> Vec<PathBuf> {
    let given = env::var_os(DATA).filter(|d| !d.is_empty()).map(PathBuf::from);
    [options.data_dir.clone(), given, user_dir(), Some("/usr/share/datasets".into())]
        .into_iter()
        .flatten()
        .collect()
}

/// Where in `root` the set lies: in a folder of its own, or in `root` itself.
fn within(root: &Path, name: &str, form: Form) -> Option<PathBuf> {
    let own = [root.join(name), root.join(name.replace('-', "_"))];
    let file = |dir: &Path, file: &str, extension: &str| idx::either(dir.join(format!("{file}.{extension}")));
    let is_own = |dir: &Path| dir != root || root.file_name().is_some_and(|n| n == name);
    own.iter().map(PathBuf::as_path).chain([root]).find_map(|dir| match form {
        // MNIST and Fashion-MNIST have the same file names; in a folder without their name the test labels
        // tell.
        Form::Idx => idx::pair(dir)
            .filter(|files| is_own(dir) || fetch::is_content(name, "t10k-labels-idx1-ubyte.gz", &files[1].1))
            .map(|_| dir.into()),
        Form::Npz(f) => Some(dir.join(format!("{f}.npz"))).filter(|p| p.is_file()),
        Form::Table(f) => file(dir, f, "csv"),
        Form::Bits(f) => Some(dir.join(format!("{f}.npz")))
            .filter(|p| p.is_file())
            .or_else(|| texts(dir).map(|_| dir.into())),
        Form::Threshold(of) => within(root, of, Form::Idx),
    })
}

/// The texts of binarised MNIST, all or none.
fn texts(dir: &Path) -> Option<[PathBuf; 3]> {
    let of = |split: &str| idx::either(dir.join(format!("binarized_mnist_{split}.amat")));
    Some([of("train")?, of("valid")?, of("test")?])
}

/// The file or folder that holds the downloadable or local set called `name`. Looked for in
/// `options.data_dir`, `$GENUS_DATA`, the user's data folder and `/usr/share/datasets`, in a subfolder of the
/// set's name or directly.
///
/// # Errors
/// [`Error::Run`] if it is not there; the message says where one gets it and which folders were searched.
pub fn find(name: &str, options: &Options) -> Result<PathBuf> {
    find_in(name, &roots(options))
}

fn find_in(name: &str, roots: &[PathBuf]) -> Result<PathBuf> {
    let known = catalogue::entry(name).and_then(|e| Some((e, form(e.name)?)));
    let Some((entry, form)) = known else {
        let error = Error::Run(format!("{name} is not a set that is kept on disk"));
        return Err(error.advise(Advice::ListData));
    };
    roots.iter().find_map(|root| within(root, entry.name, form)).ok_or_else(|| {
        let searched: Vec<String> = roots.iter().map(|r| r.display().to_string()).collect();
        let message = format!(
            "{} is not on this machine; searched: {} (set {DATA} to search elsewhere)",
            entry.name,
            searched.join(", ")
        );
        match entry.get {
            Get::Download(name) => Error::Run(message).advise(Advice::Download(name.into())),
            how => Error::Run(format!("{message}; get it: {how}")),
        }
    })
}

/// Loads the set called `name` from wherever [`find`] finds it.
///
/// # Errors
/// As [`find`] and the readers.
pub(super) fn load(name: &str, options: &Options) -> Result<Dataset> {
    load_in(name, &roots(options), options)
}

fn load_in(name: &str, roots: &[PathBuf], options: &Options) -> Result<Dataset> {
    if let Some(Form::Threshold(of)) = form(name) {
        find_in(name, roots)?;
        return thresholded(load_in(of, roots, options)?, name);
    }
    let path = find_in(name, roots)?;
    let mut set = match form(name) {
        Some(Form::Idx) => match idx::pair(&path) {
            Some(files) => idx::load_pair(&path, &files, name, VALID)?,
            None => return Err(Error::Run(format!("{} vanished while it was read", path.display()))),
        },
        Some(Form::Table(_)) => table::load(
            &mut Input::open(&path)?,
            name,
            &How { label: None, missing: options.missing, like: None, spare: false, kinds: &[] },
        )?,
        _ => match texts(&path) {
            Some(files) => bits(&path, &files, name)?,
            None => npz::load(&path, name)?,
        },
    };
    match form(name) {
        Some(Form::Idx) => {
            set.provenance.splits = format!(
                "{} train, the last {VALID} training images as valid, {} test as published",
                set.train.x.rows(),
                set.test.as_ref().map_or(0, |t| t.x.rows())
            );
        }
        Some(Form::Bits(_)) => {
            let counts: Vec<String> = set.splits().map(|(n, s)| format!("{} {n}", s.x.rows())).collect();
            set.provenance.splits = format!("as published, binarised once: {}", counts.join(", "));
        }
        _ => {}
    }
    if let Some(Form::Idx | Form::Bits(_)) = form(name) {
        let want = Shape::Image { height: 28, width: 28, channels: 1 };
        if set.domain().shape != want {
            return Err(Error::shape(format!("{name} in {}", path.display()), want, set.domain().shape));
        }
    }
    Ok(set)
}

/// The set with 1 where a value is above half of the top level.
fn thresholded(mut set: Dataset, name: &str) -> Result<Dataset> {
    let half = 0.5 * set.domain().top().unwrap_or(1.0);
    for split in [Some(&mut set.train), set.valid.as_mut(), set.test.as_mut()].into_iter().flatten() {
        split.x.data_mut().iter_mut().for_each(|v| *v = f32::from(u8::from(*v > half)));
    }
    set.schema.domain.support = Support::Binary;
    set.provenance.name = name.into();
    set.provenance.splits += ", 1 where a pixel is brighter than half";
    Ok(set)
}

fn bits(dir: &Path, files: &[PathBuf; 3], name: &str) -> Result<Dataset> {
    let read = |path: &PathBuf| -> Result<Option<(Array, Option<Array>)>> {
        let mut x = amat::read(&mut Input::open(path)?)?;
        if x.shape[1] == 28 * 28 {
            x.shape = vec![x.shape[0], 28, 28];
        }
        Ok(Some((x, None)))
    };
    array::assemble(dir, name, [read(&files[0])?, read(&files[1])?, read(&files[2])?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn idx_bytes(shape: &[u32], values: &[u8]) -> Vec<u8> {
        let mut b = vec![0, 0, 8, shape.len() as u8];
        shape.iter().for_each(|d| b.extend(d.to_be_bytes()));
        b.extend(values);
        b
    }

    fn write_mnist(dir: &Path, train: u32) {
        fs::create_dir_all(dir).unwrap();
        for (split, n) in [("train", train), ("t10k", 2)] {
            let mut pixels = vec![7; n as usize * 784];
            pixels[783] = 255;
            fs::write(dir.join(format!("{split}-images-idx3-ubyte")), idx_bytes(&[n, 28, 28], &pixels))
                .unwrap();
            let labels: Vec<u8> = (0..n).map(|i| (i % 10) as u8).collect();
            fs::write(dir.join(format!("{split}-labels-idx1-ubyte")), idx_bytes(&[n], &labels)).unwrap();
        }
    }

    #[test]
    fn idx_sets_are_found_in_a_folder_of_their_name_and_split() {
        let dir = tempfile::tempdir().unwrap();
        let roots = [dir.path().to_path_buf()];
        let e = find_in("mnist", &roots).unwrap_err().to_string();
        assert!(e.contains("download mnist") && e.contains(&roots[0].display().to_string()), "{e}");
        write_mnist(&dir.path().join("mnist"), 10_003);
        let set = load_in("mnist", &roots, &Options::default()).unwrap();
        let valid = set.valid.as_ref().unwrap();
        assert_eq!((set.train.x.rows(), valid.x.rows(), set.test.as_ref().unwrap().x.rows()), (3, 10_000, 2));
        assert_eq!(set.domain().support, Support::Discrete { levels: 256 });
        assert_eq!(set.train.x.row(0)[782..], [7.0, 255.0]);
        assert_eq!(set.schema.labels(valid).unwrap()[..2], [3, 4]);
        // The same file names elsewhere are not taken for the other set.
        let binary = load_in("mnist-binary", &roots, &Options::default()).unwrap();
        assert_eq!((&binary.domain().support, binary.domain().shape), (&Support::Binary, set.domain().shape));
        assert_eq!(&binary.train.x.row(0)[782..], [0.0, 1.0]);
        assert!(binary.train.given == set.train.given && binary.provenance.name == "mnist-binary");
        assert!(find_in("fashion-mnist", &roots).is_err());
        assert!(find_in("fashion-mnist", &[dir.path().join("mnist")]).is_err());
        assert!(find_in("mnist", &[dir.path().join("mnist")]).is_ok());
        write_mnist(&dir.path().join("mnist"), 10_000);
        assert!(
            load_in("mnist", &roots, &Options::default())
                .unwrap_err()
                .to_string()
                .contains("more than 10000")
        );
    }

    #[test]
    fn texts_of_bits_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let row = |b: char| format!("{b} {}\n", ["1"; 783].join(" "));
        for (split, n) in [("train", 3), ("valid", 2), ("test", 1)] {
            fs::write(dir.path().join(format!("binarized_mnist_{split}.amat")), row('0').repeat(n)).unwrap();
        }
        let set = load_in("binarized-mnist", &[dir.path().into()], &Options::default()).unwrap();
        assert_eq!(set.domain().to_string(), "binary 28×28×1");
        assert_eq!(set.train.x.row(2)[..2], [0.0, 1.0]);
    }
}
