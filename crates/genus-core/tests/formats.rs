//! Arrays and images: round trips, types, and one clear error per bad input.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus_core::data::{Options, load, write};
use genus_core::{Batch, Dataset, Domain, Shape, Support};
use std::fs;
use std::path::Path;

fn read(path: &Path) -> genus_core::Result<Dataset> {
    load(path.to_str().unwrap(), &Options::default())
}

/// Writes `content` under `name` and gives the error of loading it.
fn refusal(name: &str, content: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    let e = read(&path).expect_err(name).to_string();
    assert!(e.contains(name), "the file is not named: {e}");
    e
}

fn classes(set: &Dataset) -> (Vec<u32>, Vec<String>) {
    (set.schema.labels(&set.train).unwrap(), set.schema.classes().to_vec())
}

fn images(side: usize, channels: usize) -> Domain {
    Domain {
        support: Support::Discrete { levels: 256 },
        shape: Shape::Image { height: side, width: side + 1, channels },
    }
}

#[test]
fn arrays_come_back_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = Batch::from_fn(5, 3 * 4 * 3, |r, c| ((r * 91 + c * 7) % 256) as f32);
    let bits = Batch::from_fn(7, 12, |r, c| ((r * c) % 2) as f32);
    let reals = Batch::from_fn(3, 2, |r, c| [0.1, -1e-30, f32::MAX, 3.0, 1e10, -0.5][r * 2 + c]);
    for (x, domain) in [(&bytes, images(3, 3)), (&bits, Domain::binary(12)), (&reals, Domain::real(2))] {
        for name in ["a.npy", "a.npz"] {
            let path = dir.path().join(name);
            write(&path, x, &domain.clone().into()).unwrap();
            let set = read(&path).unwrap();
            assert_eq!((&set.train.x, set.domain()), (x, &domain), "{name}");
        }
    }
    // Greyscale keeps its channel axis.
    write(&dir.path().join("g.npy"), &bytes.slice(0, 2), &images(6, 1).into())
        .expect_err("width 36 is not 42");
    let e = write(&dir.path().join("a.mat"), &bits, &Domain::binary(12).into()).unwrap_err().to_string();
    assert!(e.contains(".npy, .npz, .csv or .png"), "{e}");
    let wrong = Batch::from_fn(1, 12, |_, _| 0.5);
    assert!(write(&dir.path().join("a.npy"), &wrong, &Domain::binary(12).into()).is_err());
}

#[test]
fn grids_of_images_hold_the_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("g.png");
    let x = Batch::from_fn(5, 2 * 3, |r, c| (r * 6 + c) as f32);
    write(&path, &x, &images(2, 1).into()).unwrap();
    let picture = image::open(&path).unwrap().into_luma8();
    // Three across, two down, each 3×2 with a border of one.
    assert_eq!(picture.dimensions(), (13, 7));
    assert_eq!(picture.get_pixel(0, 0).0, [128]);
    assert_eq!(picture.get_pixel(1, 1).0, [0]);
    assert_eq!(picture.get_pixel(5, 2).0, [6 + 3]);
    assert_eq!(picture.get_pixel(5 + 2, 4 + 1).0, [4 * 6 + 5]);
    assert_eq!(picture.get_pixel(10, 5).0, [128]);
    let bits = Domain { support: Support::Binary, shape: Shape::Image { height: 1, width: 2, channels: 1 } };
    write(&path, &Batch::new(vec![0.0, 1.0], 2).unwrap(), &bits.clone().into()).unwrap();
    let picture = image::open(&path).unwrap().into_luma8();
    assert_eq!((picture.get_pixel(1, 1).0, picture.get_pixel(2, 1).0), ([0], [255]));
    let reals = Domain { support: Support::Real, shape: bits.shape };
    write(&path, &Batch::new(vec![-2.0, 0.0, 2.0, 2.0], 2).unwrap(), &reals.into()).unwrap();
    let picture = image::open(&path).unwrap().into_luma8();
    assert_eq!((picture.get_pixel(1, 1).0, picture.get_pixel(2, 1).0), ([0], [128]));
    assert!(write(&path, &x, &Domain::real(6).into()).unwrap_err().to_string().contains("not images"));
}

fn idx(shape: &[u32], kind: u8, values: &[u8]) -> Vec<u8> {
    let mut b = vec![0, 0, kind, shape.len() as u8];
    shape.iter().for_each(|d| b.extend(d.to_be_bytes()));
    b.extend(values);
    b
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

#[test]
fn idx_files_with_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().join("train-images-idx3-ubyte.gz");
    fs::write(&images, packed(&idx(&[2, 2, 2], 8, &[0, 9, 255, 3, 4, 5, 6, 7]))).unwrap();
    fs::write(dir.path().join("train-labels-idx1-ubyte"), idx(&[2], 8, &[7, 3])).unwrap();
    let set = read(&images).unwrap();
    assert_eq!(set.train.x.row(0), [0.0, 9.0, 255.0, 3.0]);
    assert_eq!(set.domain().to_string(), "0..256 2×2×1");
    assert_eq!(classes(&set), (vec![1, 0], vec!["3".to_owned(), "7".into()]));
    let floats: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| v.to_be_bytes()).collect();
    fs::write(dir.path().join("f.idx"), idx(&[1, 2], 0x0d, &floats)).unwrap();
    assert_eq!(read(&dir.path().join("f.idx")).unwrap().train.x.data(), [1.5, -2.0]);
}

fn npy(descr: &str, order: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut b = b"\x93NUMPY\x01\x00".to_vec();
    b.extend((header.len() as u16).to_le_bytes());
    b.extend(header.as_bytes());
    b.extend(values);
    b
}

#[test]
fn numpy_types_and_orders() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let data = |bytes: Vec<u8>| {
        fs::write(&path, bytes).unwrap();
        let set = read(&path).unwrap();
        let domain = set.domain().to_string();
        (set.train.x.into_data(), domain)
    };
    let le = |v: &[i64], n: usize| v.iter().flat_map(|i| i.to_le_bytes()[..n].to_vec()).collect::<Vec<u8>>();
    let five = || (vec![1.0, 2.0, 5.0, 0.0], "0..6 2".to_owned());
    for (descr, size) in [("|i1", 1), ("<i2", 2), ("<u2", 2), ("<i4", 4), ("<u4", 4), ("<i8", 8), ("<u8", 8)]
    {
        assert_eq!(data(npy(descr, "False", "(2, 2)", &le(&[1, 2, 5, 0], size))), five(), "{descr}");
    }
    assert_eq!(data(npy(">i2", "False", "(2, 2)", &[0, 1, 0, 2, 0, 5, 0, 0])), five());
    assert_eq!(
        data(npy("|u1", "True", "(2, 2)", &[1, 5, 2, 9])),
        (vec![1.0, 2.0, 5.0, 9.0], "0..256 2".into())
    );
    assert_eq!(data(npy("|b1", "False", "(1, 2)", &[0, 1])), (vec![0.0, 1.0], "binary 2".into()));
    let doubles: Vec<u8> = [0.5f64, -3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(data(npy("<f8", "False", "(2,)", &doubles)), (vec![0.5, -3.0], "real 1".into()));
    assert_eq!(data(npy("<i2", "False", "(1, 2)", &le(&[-1, 4], 2))).1, "real 2");
}

#[test]
fn archives_with_splits_and_labels() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npz");
    let archive = |arrays: &[(&str, Vec<u8>)]| {
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        for (name, bytes) in arrays {
            zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        read(&path)
    };
    let x = |v: u8| npy("|u1", "False", "(2, 1)", &[v, 1]);
    let y = |v: i8| npy("|i1", "False", "(2,)", &[v as u8, 1]);
    let set =
        archive(&[("x_train", x(1)), ("y_train", y(-1)), ("test", x(5)), ("test_labels", y(1))]).unwrap();
    assert_eq!(
        (set.train.x.data(), &set.domain().support),
        (&[1.0, 1.0][..], &Support::Discrete { levels: 256 })
    );
    assert_eq!(classes(&set), (vec![0, 1], vec!["-1".to_owned(), "1".into()]));
    assert_eq!(set.schema.labels(&set.test.unwrap()).unwrap(), [1, 1]);
    assert!(set.valid.is_none() && set.provenance.splits.contains("2 train, 2 test"));
    assert_eq!(archive(&[("anything", x(1))]).unwrap().domain(), &Domain::binary(1));
    for (arrays, want) in [
        (vec![("a", x(1)), ("b", x(1))], "arrays a, b"),
        (vec![("test", x(1))], "no training split"),
        (vec![("train", x(1)), ("valid_labels", y(1))], "labels without rows"),
        (vec![("train", x(1)), ("train_labels", npy("|u1", "False", "(1,)", &[1]))], "1 labels for 2 rows"),
        (vec![("train", x(1)), ("test", npy("|u1", "False", "(1, 2)", &[1, 1]))], "the other splits have 1"),
        (vec![("train", npy("|O", "False", "(2,)", b"\x80\x03cos\nsystem"))], "pickles are never read"),
        (vec![("train", npy("|u1", "False", "(2, 1)", &vec![0; 1 << 22]))], "more bytes follow"),
    ] {
        let e = archive(&arrays).unwrap_err().to_string();
        assert!(e.contains(want), "{want}: {e}");
    }
}

#[test]
fn tensors_are_read_like_archives() {
    use genus_core::{State, Tensor};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.safetensors");
    let mut state = State::default();
    state.tensors.insert("train".into(), Tensor::f32(&[2, 2], vec![0.5, 1.0, 2.0, 3.0]));
    state.tensors.insert("train_labels".into(), Tensor::u64(&[2], vec![4, 2]));
    state.tensors.insert("weights".into(), Tensor::f64(&[3], vec![1.0; 3]));
    state.save(&path).unwrap();
    let set = read(&path).unwrap();
    assert_eq!(
        (set.train.x.data(), set.schema.labels(&set.train).unwrap()),
        (&[0.5, 1.0, 2.0, 3.0][..], vec![1, 0])
    );
    state.tensors.remove("train");
    state.tensors.remove("train_labels");
    state.save(&path).unwrap();
    assert_eq!(read(&path).unwrap().train.x.rows(), 3);
}

#[test]
fn folders_of_images() {
    let dir = tempfile::tempdir().unwrap();
    let save = |name: &str, w: u32, h: u32, rgb: bool| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let grey = image::GrayImage::from_fn(w, h, |x, y| image::Luma([(10 * x + y) as u8]));
        if rgb { image::DynamicImage::ImageLuma8(grey).into_rgb8().save(path) } else { grey.save(path) }
            .unwrap();
    };
    save("cat/2.png", 3, 2, false);
    save("cat/1.png", 3, 2, false);
    save("ape/x.PNG", 3, 2, false);
    fs::write(dir.path().join("cat/notes.txt"), "ignored").unwrap();
    let set = read(dir.path()).unwrap();
    assert_eq!(
        set.domain(),
        &Domain {
            support: Support::Discrete { levels: 256 },
            shape: Shape::Image { height: 2, width: 3, channels: 1 }
        }
    );
    assert_eq!(classes(&set), (vec![0, 1, 1], vec!["ape".to_owned(), "cat".into()]));
    assert_eq!(set.train.x.row(0), [0.0, 10.0, 20.0, 1.0, 11.0, 21.0]);
    save("cat/3.png", 2, 3, false);
    let e = read(dir.path()).unwrap_err().to_string();
    assert!(e.contains("3.png") && e.contains("3×2×1") && e.contains("2×3×1"), "{e}");
    save("cat/3.png", 3, 2, true);
    let e = read(dir.path()).unwrap_err().to_string();
    assert!(e.contains("3.png") && e.contains("2×3×3"), "{e}");
    fs::write(dir.path().join("cat/3.png"), "no image").unwrap();
    assert!(read(dir.path()).unwrap_err().to_string().contains("3.png"));
    let empty = tempfile::tempdir().unwrap();
    assert!(read(empty.path()).unwrap_err().to_string().contains("no .png or .jpg image"));
    fs::remove_file(dir.path().join("cat/3.png")).unwrap();
    let outer = tempfile::tempdir().unwrap();
    fs::rename(dir.path().join("cat"), outer.path().join("test")).unwrap();
    fs::rename(dir.path().join("ape"), outer.path().join("train")).unwrap();
    let set = read(outer.path()).unwrap();
    assert_eq!((set.train.x.rows(), set.test.unwrap().x.rows(), set.schema.classes().len()), (1, 2, 0));
}

#[test]
fn bad_files_are_refused_before_memory_is_taken() {
    let big = [0xffff_ffff; 3];
    for (name, content, want) in [
        ("a.idx", vec![], "cut short"),
        ("a.idx", b"PK\x03\x04".to_vec(), "not an IDX file"),
        ("a.idx", idx(&[2, 2], 0x0c, &[0; 16]), "0x0c"),
        ("a.idx", idx(&big, 8, &[]), "larger than what is read"),
        ("a.idx", idx(&[1 << 28], 8, &[1, 2]), "2 of the 268435456 bytes"),
        ("a.idx", idx(&[1], 8, &[1, 2]), "more bytes follow"),
        ("a.idx", idx(&[0, 3], 8, &[]), "no value"),
        ("a.idx.gz", packed(&idx(&[4, 4], 8, &vec![0; 8 << 20])), "more bytes follow"),
        ("b-ubyte.gz", packed(&idx(&[9, 9], 8, &[0; 81]))[..20].to_vec(), "damaged compressed data"),
        ("a.npy", b"hello, world".to_vec(), "not an NPY file"),
        ("a.npy", npy("|O", "False", "(1,)", b"\x80\x03cos\nsystem"), "pickles are never read"),
        ("a.npy", npy("<c8", "False", "(1,)", &[0; 8]), "not read"),
        ("a.npy", npy("<f4", "False", "(9999999999, 99999999999)", &[]), "larger than what is read"),
        ("a.npy", npy("<f4", "False", "(2, 2)", &[0; 15]), "15 of the 16 bytes"),
        ("a.npy", npy("<f4", "False", "(2, 0)", &[]), "no value"),
        ("a.npy", npy("<f4", "False", "()", &[0; 4]), "shape []"),
        ("a.npy", npy("<f4", "True", "(1, 1, 1)", &[0; 4]), "Fortran"),
        ("a.npy", npy("<f4", "False", &format!("({}1,)", " ".repeat(20_000)), &[0; 4]), "header of 20"),
        ("a.npy", npy("<f8", "False", "(1, 1)", &1e300f64.to_le_bytes()), "single precision"),
        ("a.npz", b"PK\x03\x04 and then nothing".to_vec(), "zip"),
        ("a.safetensors", vec![0xff; 64], "header"),
        ("a.safetensors", b"\x08\0\0\0\0\0\0\0{\"a\":[]}".to_vec(), "safetensors"),
        ("a.amat", b"0 1\n0 x\n".to_vec(), "line 2"),
        ("a.amat", vec![], "no value"),
        ("a.tiff", vec![1], "cannot be told"),
    ] {
        let e = refusal(name, &content);
        assert!(e.contains(want), "{name}, {want}: {e}");
    }
    let nan = npy("<f4", "False", "(1, 2)", &[0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f]);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("n.npy"), nan).unwrap();
    let e = read(&dir.path().join("n.npy")).unwrap_err().to_string();
    assert!(e.contains("row 0, column 1") && e.contains("leave such rows out"), "{e}");
    let options = Options { missing: genus_core::data::Missing::Drop, ..Options::default() };
    let e = load(dir.path().join("n.npy").to_str().unwrap(), &options).unwrap_err().to_string();
    assert!(e.contains("none is left"), "{e}");
    let two =
        npy("<f4", "False", "(2, 2)", &[0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40]);
    fs::write(dir.path().join("two.npy"), two).unwrap();
    let set = load(dir.path().join("two.npy").to_str().unwrap(), &options).unwrap();
    assert_eq!((set.train.x.data(), set.provenance.remarks.len()), (&[1.0, 2.0][..], 1));
    let options = Options { missing: genus_core::data::Missing::Keep, ..Options::default() };
    assert!(load(dir.path().join("n.npy").to_str().unwrap(), &options).is_ok());
}
