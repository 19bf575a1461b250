//! Files, servers and contents of the downloadable sets.

/// How the content of a file is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// The bytes, decompressed.
    Bytes,
    /// The zeros and ones of a text, one byte each.
    Bits,
}

/// A file of a set.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) content: Content,
    /// Length of the content.
    pub(super) bytes: u64,
    /// SHA-256 of the content, hexadecimal.
    pub(super) sha256: &'static str,
}

/// A downloadable set.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    /// Folders that hold the files, tried in this order.
    #[cfg_attr(not(feature = "downloads"), expect(dead_code))]
    pub(super) urls: &'static [&'static str],
    pub(super) files: &'static [File],
}

const fn idx(name: &'static str, bytes: u64, sha256: &'static str) -> File {
    File { name, content: Content::Bytes, bytes, sha256 }
}

const fn bits(name: &'static str, rows: u64, sha256: &'static str) -> File {
    File { name, content: Content::Bits, bytes: rows * 28 * 28, sha256 }
}

pub(super) static SETS: [Set; 3] = [
    Set {
        name: "mnist",
        urls: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        files: &[
            idx(
                "train-images-idx3-ubyte.gz",
                47_040_016,
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            idx(
                "train-labels-idx1-ubyte.gz",
                60_008,
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            idx(
                "t10k-images-idx3-ubyte.gz",
                7_840_016,
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            idx(
                "t10k-labels-idx1-ubyte.gz",
                10_008,
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ],
    },
    Set {
        name: "fashion-mnist",
        urls: &[
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ],
        files: &[
            idx(
                "train-images-idx3-ubyte.gz",
                47_040_016,
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            idx(
                "train-labels-idx1-ubyte.gz",
                60_008,
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            idx(
                "t10k-images-idx3-ubyte.gz",
                7_840_016,
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            idx(
                "t10k-labels-idx1-ubyte.gz",
                10_008,
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ],
    },
    Set {
        name: "binarized-mnist",
        urls: &[
            "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ],
        files: &[
            bits(
                "binarized_mnist_train.amat",
                50_000,
                "43490d4d6ac9002727af4426d8748609fdb7e4094fa65ad8d681ea60082a7a5a",
            ),
            bits(
                "binarized_mnist_valid.amat",
                10_000,
                "069b4f0beb389b776478c3e872b4df71c95ac4be64d7cbe6d32e24ebac8e6d5e",
            ),
            bits(
                "binarized_mnist_test.amat",
                10_000,
                "ca0294c3b8d984c7a1dc891015a8eea6f37bae59a34e35ea0fc8c47110a8dd86",
            ),
        ],
    },
];
