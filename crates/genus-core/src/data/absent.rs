//! What stands in for readers and writers that this build leaves out.

use crate::Error;

/// That it was left out.
fn left_out(what: &str, feature: &str) -> Error {
    Error::Run(format!("this build of genus has no {what}; build it with the feature `{feature}`"))
}

#[cfg(not(feature = "archives"))]
pub(super) mod npz {
    use super::left_out;
    use crate::data::array::Array;
    use crate::{Dataset, Error, Result};
    use std::collections::BTreeMap;
    use std::io::{Read, Seek};
    use std::path::Path;

    fn absent() -> Error {
        left_out("NPZ archives", "archives")
    }

    pub(in crate::data) fn load(_: &Path, _: &str) -> Result<Dataset> {
        Err(absent())
    }

    pub(in crate::data) fn read(_: impl Read + Seek, _: &Path) -> Result<BTreeMap<String, Result<Array>>> {
        Err(absent())
    }

    pub(in crate::data) fn encode(_: &[(&str, Vec<u8>)], _: &Path) -> Result<Vec<u8>> {
        Err(absent())
    }
}

#[cfg(not(feature = "pictures"))]
pub(super) mod pictures {
    use super::left_out;
    use crate::{Dataset, Error, Result};
    use std::path::Path;

    fn absent() -> Error {
        left_out("PNG and JPEG pictures", "pictures")
    }

    pub(in crate::data) fn load(_: &Path, _: &str) -> Result<Dataset> {
        Err(absent())
    }

    pub(in crate::data) fn png(_: &[u8], _: [usize; 3], _: &Path) -> Result<Vec<u8>> {
        Err(absent())
    }
}
