//! Sources whose law is known.

use genus_core::{Dataset, ModelSpec, data};

/// A known source for the first kind of rows that the family takes: `tree8` for binary, `8gaussians` for real.
pub(crate) fn known(spec: &ModelSpec) -> Result<Dataset, String> {
    let name = match spec.supports.iter().find(|s| ["binary", "real"].contains(*s)) {
        Some(&"binary") => "tree8",
        Some(_) => "8gaussians",
        None => return Err("takes neither binary nor real rows: there is no known source for it".into()),
    };
    data::load(name, &data::Options::default()).map_err(|e| e.to_string())
}

/// The same source with few training rows, for checks that fit often.
pub(crate) fn few(set: &Dataset, rows: usize) -> Dataset {
    let keep: Vec<usize> = (0..rows.min(set.train.x.rows())).collect();
    let held: Vec<usize> = (0..50).collect();
    Dataset {
        train: set.train.select(&keep),
        valid: set.valid.as_ref().map(|v| v.select(&held)),
        test: set.test.as_ref().map(|t| t.select(&held)),
        ..set.clone()
    }
}
