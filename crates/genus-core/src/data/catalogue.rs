//! The data sets that have names.

use crate::names;

/// Where a named set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Part of the program.
    Shipped,
    /// Drawn from a known law, with the caller's seed.
    Generated,
    /// Downloaded once, by `data::get`.
    Download,
    /// Read from the user's disk.
    Local,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shipped => "shipped",
            Self::Generated => "generated",
            Self::Download => "download",
            Self::Local => "local",
        })
    }
}

/// How one gets a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Get {
    /// It is there.
    BuiltIn,
    /// By the download of this name.
    Download(&'static str),
    /// As these words say.
    ByHand(&'static str),
}

impl std::fmt::Display for Get {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::Download(name) => write!(f, "download of {name}"),
            Self::ByHand(how) => f.write_str(how),
        }
    }
}

/// A named data set.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Entry {
    /// Name, as [`load`](super::load) takes it.
    pub name: &'static str,
    /// Full name.
    pub title: &'static str,
    /// Where it comes from.
    pub kind: Kind,
    /// Rows of train, valid and test; 0 where there is no such split.
    pub rows: [usize; 3],
    /// Domain of a row in words.
    pub shape: &'static str,
    /// Origin and licence.
    pub licence: &'static str,
    /// How a user gets it.
    pub get: Get,
    /// What it is and what it is good for.
    pub description: &'static str,
}

const BUILT_IN: Get = Get::BuiltIn;
const TOY: &str = "defined here; free of rights";

/// A generated set.
const fn toy(
    name: &'static str,
    title: &'static str,
    shape: &'static str,
    description: &'static str,
) -> Entry {
    let rows = super::toys::ROWS;
    Entry { name, title, kind: Kind::Generated, rows, shape, licence: TOY, get: BUILT_IN, description }
}

/// A file of binary rows that the density estimation literature uses.
const fn binary_rows(
    name: &'static str,
    title: &'static str,
    rows: [usize; 3],
    shape: &'static str,
    licence: &'static str,
    get: &'static str,
) -> Entry {
    let description = "Binary rows in the splits that NADE and MADE were evaluated on.";
    Entry { name, title, kind: Kind::Local, rows, shape, licence, get: Get::ByHand(get), description }
}

const UCI: &str = "UCI Machine Learning Repository, CC BY 4.0";

static ENTRIES: [Entry; 32] = [
    Entry {
        name: "digits",
        title: "Optical digits 8×8",
        kind: Kind::Shipped,
        rows: [1397, 200, 200],
        shape: "0..17 8×8×1",
        licence: "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, \
             UCI Machine Learning Repository, CC BY 4.0",
        get: BUILT_IN,
        description: "Handwritten digits as counts of ink, with the digit as label. \
             Small enough to train on in seconds.",
    },
    Entry {
        name: "iris",
        title: "Iris",
        kind: Kind::Shipped,
        rows: [150, 0, 0],
        shape: "real 4",
        licence: "R. A. Fisher: Iris, UCI Machine Learning Repository, CC BY 4.0",
        get: BUILT_IN,
        description: "Four lengths of 150 flowers of three species.",
    },
    Entry {
        name: "wine",
        title: "Wine",
        kind: Kind::Shipped,
        rows: [178, 0, 0],
        shape: "real 13",
        licence: "S. Aeberhard, M. Forina: Wine, UCI Machine Learning Repository, CC BY 4.0",
        get: BUILT_IN,
        description: "Thirteen chemical measurements of 178 wines of three cultivars.",
    },
    toy("8gaussians", "Eight Gaussians", "real 2", "Eight Gaussians on a circle: separated modes."),
    toy("25gaussians", "25 Gaussians", "real 2", "Narrow Gaussians on a grid: shows dropped modes."),
    toy("checkerboard", "Checkerboard", "real 2", "Uniform on eight squares: sharp edges, entropy ln 32."),
    toy("moons", "Two moons", "real 2", "Two half circles that hook into each other, with noise."),
    toy("pinwheel", "Pinwheel", "real 2", "Five curved arms around a centre."),
    toy("spirals", "Two spirals", "real 2", "Two arms of one and a half turns, with noise."),
    toy("rings", "Four rings", "real 2", "Four circles around one centre, with noise: holes."),
    toy(
        "tree8",
        "Binary tree, 8",
        "binary 8",
        "Each bit depends on one earlier bit; small enough to enumerate.",
    ),
    toy(
        "pairs4",
        "Pairs of bits, 4",
        "0..4 4",
        "The bits of tree8 by pairs as four levels; small enough to enumerate.",
    ),
    toy(
        "twotrees8",
        "Two kinds of binary images, 2×4",
        "binary 2×4×1",
        "Images of one of two trees of neighbours, which is the label; small enough to enumerate.",
    ),
    toy(
        "grid12",
        "Binary image, 3×4",
        "binary 3×4×1",
        "Each pixel depends on its left or upper neighbour; small enough to enumerate.",
    ),
    toy(
        "shades6",
        "Image of four levels, 2×3",
        "0..4 2×3×1",
        "Pixels of four levels, each a pair of dependent bits; small enough to enumerate.",
    ),
    toy(
        "shades4",
        "Image of four levels, 2×2",
        "0..4 2×2×1",
        "Pixels of four levels, each a pair of dependent bits; small enough to enumerate.",
    ),
    toy(
        "shades16",
        "Image of four levels, 4×4",
        "0..4 4×4×1",
        "Pixels of four levels, each a pair of dependent bits; exact entropy.",
    ),
    toy(
        "colours2",
        "Colour image, 1×2",
        "0..4 1×2×3",
        "Two pixels with three dependent channels of four levels; small enough to enumerate.",
    ),
    toy(
        "regression",
        "Linear regression",
        "real 4",
        "Two columns x, y that depend on two others a, b and on a kind, which is the label: p(x, y | a, b, kind) is a normal.",
    ),
    toy(
        "parcels",
        "Parcels",
        "mixed 4",
        "A category, a bit, a whole number and a real one, each dependent on those before it; exact entropy.",
    ),
    toy("tree16", "Binary tree, 16", "binary 16", "Each bit depends on one earlier bit; exact entropy."),
    Entry {
        rows: super::toys::FEW,
        ..toy(
            "tree180",
            "Binary tree, 180",
            "binary 180",
            "Few rows of many bits, each of which depends on one earlier bit; exact entropy.",
        )
    },
    Entry {
        name: "mnist",
        title: "MNIST",
        kind: Kind::Download,
        rows: [50_000, 10_000, 10_000],
        shape: "0..256 28×28×1",
        licence: "Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits",
        get: Get::Download("mnist"),
        description: "Handwritten digits in grey. The last 10000 training images are the validation split.",
    },
    Entry {
        name: "mnist-binary",
        title: "MNIST, thresholded",
        kind: Kind::Local,
        rows: [50_000, 10_000, 10_000],
        shape: "binary 28×28×1",
        licence: "Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits",
        get: Get::Download("mnist"),
        description: "MNIST with 1 where a pixel is brighter than half, and its labels: the bits of the GSN papers.",
    },
    Entry {
        name: "fashion-mnist",
        title: "Fashion-MNIST",
        kind: Kind::Download,
        rows: [50_000, 10_000, 10_000],
        shape: "0..256 28×28×1",
        licence: "H. Xiao, K. Rasul, R. Vollgraf (Zalando): Fashion-MNIST, MIT",
        get: Get::Download("fashion-mnist"),
        description: "Articles of clothing in grey, in the format and splits of MNIST; also the Debian package dataset-fashion-mnist.",
    },
    Entry {
        name: "binarized-mnist",
        title: "Binarised MNIST",
        kind: Kind::Download,
        rows: [50_000, 10_000, 10_000],
        shape: "binary 28×28×1",
        licence: "MNIST, binarised once by R. Salakhutdinov and I. Murray, distributed by H. Larochelle",
        get: Get::Download("binarized-mnist"),
        description: "The fixed bits on which NADE, MADE, DRAW and PixelRNN report. \
             Test rows are sorted by class.",
    },
    binary_rows(
        "adult",
        "Adult",
        [5000, 1414, 26_147],
        "binary 123",
        UCI,
        "the LIBSVM set a5a in the NADE split, as adult.npz with arrays train, valid, test",
    ),
    binary_rows(
        "connect4",
        "Connect-4",
        [16_000, 4000, 47_557],
        "binary 126",
        UCI,
        "the LIBSVM set connect-4 in the NADE split, as connect4.npz with arrays train, valid, test",
    ),
    binary_rows(
        "mushrooms",
        "Mushrooms",
        [2000, 500, 5624],
        "binary 112",
        UCI,
        "the LIBSVM set mushrooms in the NADE split, as mushrooms.npz with arrays train, valid, test",
    ),
    binary_rows(
        "ocr-letters",
        "OCR letters",
        [32_152, 10_000, 10_000],
        "binary 128",
        "R. Kassel, B. Taskar: Stanford OCR letters",
        "the Stanford OCR letters in the NADE split, as ocr_letters.npz with arrays train, valid, test",
    ),
    Entry {
        name: "breast-cancer",
        title: "Breast cancer Wisconsin (diagnostic)",
        kind: Kind::Local,
        rows: [569, 0, 0],
        shape: "real 30",
        licence: "W. Wolberg, O. Mangasarian, N. Street, W. Street: \
             UCI Machine Learning Repository, CC BY 4.0",
        get: Get::ByHand(
            "breast_cancer.csv as shipped by scikit-learn (first line: rows, columns, class names)",
        ),
        description: "Thirty measurements of cell nuclei, malignant or benign.",
    },
    Entry {
        name: "cifar10-4k",
        title: "CIFAR-10, first 4000 training images",
        kind: Kind::Local,
        rows: [3200, 400, 400],
        shape: "0..256 32×32×3",
        licence: "A. Krizhevsky: Learning multiple layers of features from tiny images (2009)",
        get: Get::ByHand(
            "the first 4000 training images of CIFAR-10 as cifar10_4k.npz, \
             bytes [rows, 32, 32, 3] in arrays train, valid, test",
        ),
        description: "Colour images for trying out colour models; too few for published figures.",
    },
];

/// All named data sets, in the order in which they are listed.
pub fn catalogue() -> &'static [Entry] {
    &ENTRIES
}

/// The set of that name, in any case and with either dash.
pub(super) fn entry(name: &str) -> Option<&'static Entry> {
    let name = names::canonical(name);
    ENTRIES.iter().find(|e| e.name == name)
}

/// Names that `name` may be a slip of, nearest first, at most three.
pub(super) fn near(name: &str) -> Vec<&'static str> {
    names::near(name, ENTRIES.iter().map(|e| e.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_spelling_and_slips_are_guessed() {
        assert_eq!(entry("Binarized_MNIST").map(|e| e.name), Some("binarized-mnist"));
        assert_eq!(near("minst").first(), Some(&"mnist"));
        assert_eq!(near("8gausians").first(), Some(&"8gaussians"));
        assert!(near("fashion").contains(&"fashion-mnist"));
        assert!(near("zebra").is_empty());
    }

    #[test]
    fn names_are_unique_and_canonical() {
        let mut names: Vec<&str> = catalogue().iter().map(|e| e.name).collect();
        assert!(names.iter().all(|n| names::canonical(n) == *n));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), catalogue().len());
    }
}
