//! Small classic sets that are part of the program. Their origin and licence: `assets/ATTRIBUTION.md`.

use super::input::Input;
use super::table::{self, How};
use super::{Label, Missing};
use crate::{Dataset, Domain, Error, Result, Schema, Seed, Shape, Support};
use std::path::Path;

const IRIS: [&str; 4] = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"];

const WINE: [&str; 13] = [
    "alcohol",
    "malic acid",
    "ash",
    "alcalinity of ash",
    "magnesium",
    "total phenols",
    "flavanoids",
    "nonflavanoid phenols",
    "proanthocyanins",
    "colour intensity",
    "hue",
    "OD280/OD315 of diluted wines",
    "proline",
];

/// Rows of `digits` that are held out for validation, and again for the test.
const HELD_OUT: f64 = 200.0;

fn read(bytes: &[u8], file: &str, name: &str, label: usize) -> Result<Dataset> {
    let how = How {
        label: Some(&Label::Index(label)),
        missing: Missing::Refuse,
        like: None,
        spare: false,
        kinds: &[],
    };
    let mut set = table::load(&mut Input::new(bytes, Path::new(file))?, name, &how)?;
    // How the program keeps it is nobody's concern.
    set.provenance.reading.clear();
    set.provenance.order.clear();
    Ok(set)
}

/// The shipped set called `name`; `split` asks for its own split where it has one.
///
/// # Errors
/// [`Error::Run`] if there is no such set.
pub(super) fn load(name: &str, split: bool) -> Result<Dataset> {
    let named = |mut set: Dataset, columns: &[&str], class: &str| {
        set.schema = set.schema.named(columns.iter().copied());
        set.schema.given[0].name = class.into();
        set
    };
    match name {
        "iris" => Ok(named(
            read(include_bytes!("../../assets/iris.csv"), "iris.csv", name, IRIS.len())?,
            &IRIS,
            "species",
        )),
        "wine" => Ok(named(
            read(include_bytes!("../../assets/wine.csv"), "wine.csv", name, WINE.len())?,
            &WINE,
            "cultivar",
        )),
        "digits" => {
            let mut set = read(include_bytes!("../../assets/digits.csv.gz"), "digits.csv.gz", name, 64)?;
            let domain = Domain {
                support: Support::Discrete { levels: 17 },
                shape: Shape::Image { height: 8, width: 8, channels: 1 },
            };
            let classes = set.schema.classes().to_vec();
            set.schema = Schema::from(domain).with_classes("digit", classes);
            if split {
                // The split belongs to the set: figures of different seeds must be comparable.
                let fraction = HELD_OUT / set.train.x.rows() as f64;
                set = set.with_fractions(fraction, fraction, Seed::from(1797))?;
                set.provenance.splits = "fixed, drawn once: 1397 train, 200 valid, 200 test".into();
            }
            Ok(set)
        }
        _ => Err(Error::Run(format!("{name} is not shipped"))),
    }
}
