//! Files of named arrays: which of them are rows of which split, and which are labels.

use super::array::{Array, Parts};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// What a name stands for: the split (0, 1, 2) and whether it holds labels.
fn role(name: &str) -> Option<(usize, bool)> {
    let name = name.to_lowercase();
    let split = |s: &str| match s {
        "train" | "training" => Some(0),
        "valid" | "validation" | "val" => Some(1),
        "test" => Some(2),
        _ => None,
    };
    if let Some(s) = split(&name) {
        return Some((s, false));
    }
    match &name[..] {
        "labels" | "label" | "y" | "targets" | "target" => return Some((0, true)),
        "x" | "data" | "imgs" | "images" | "rows" | "samples" => return Some((0, false)),
        _ => {}
    }
    let (a, b) = name.split_once('_')?;
    let (split, what) = match (split(a), split(b)) {
        (Some(s), None) => (s, b),
        (None, Some(s)) => (s, a),
        _ => return None,
    };
    match what {
        "x" | "data" | "images" | "rows" => Some((split, false)),
        "y" | "labels" | "label" | "targets" | "target" => Some((split, true)),
        _ => None,
    }
}

/// Whether an array of this name would be used, so that others need not be read.
pub(super) fn is_known(name: &str) -> bool {
    role(name).is_some()
}

/// Sorts arrays into splits. One array of any name, alone or beside labels, is the training split. Arrays that could not be read are
/// no matter unless they are needed.
///
/// # Errors
/// [`Error::Format`] naming what is there if that cannot be told.
pub(super) fn parts(path: &Path, arrays: BTreeMap<String, Result<Array>>) -> Result<Parts> {
    let names: Vec<String> = arrays.keys().cloned().collect();
    let refuse = |message: &str| {
        Error::format(
            path,
            format!("arrays {}", names.join(", ")),
            format!(
                "{message}; name them train, valid, test and train_labels, valid_labels, test_labels, or leave the others out"
            ),
        )
    };
    let mut x: [Option<Array>; 3] = [None, None, None];
    let mut y: [Option<Array>; 3] = [None, None, None];
    let mut unnamed = Vec::new();
    for (name, array) in arrays {
        match role(&name) {
            Some((s, is_label)) => {
                let slot = if is_label { &mut y[s] } else { &mut x[s] };
                if slot.replace(array?).is_some() {
                    return Err(refuse("two arrays mean the same"));
                }
            }
            None => unnamed.push(array),
        }
    }
    if x.iter().all(Option::is_none) {
        if unnamed.len() > 1 {
            return Err(refuse("it cannot be told which array holds the rows"));
        }
        x[0] = unnamed.pop().transpose()?;
        if x[0].is_none() {
            return Err(refuse("no array holds rows"));
        }
    } else if x[0].is_none() {
        return Err(refuse("there is no training split"));
    }
    if x.iter().zip(&y).any(|(x, y)| x.is_none() && y.is_some()) {
        return Err(refuse("labels without rows"));
    }
    let [a, b, c] = x;
    let [p, q, r] = y;
    Ok([a.map(|x| (x, p)), b.map(|x| (x, q)), c.map(|x| (x, r))])
}
