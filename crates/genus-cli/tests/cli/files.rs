//! Data that cannot be used: one clear error each, and no trace of a run.

use crate::program::{Place, ended};
use flate2::{Compression, write::GzEncoder};
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The header of an IDX file of bytes.
fn idx(extents: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, extents.len() as u8];
    extents.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
    bytes
}

/// A NumPy file with this type and shape and no more than `values`.
fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

/// A grey PNG of this size.
fn picture(place: &Place, name: &str, width: u32, height: u32) {
    let path = place.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_fn(width, height, |x, y| image::Luma([(40 * x + 9 * y) as u8]))
        .save(path)
        .unwrap();
}

/// `genus train` on `data` is refused soon, with exit code 1 and the words, and leaves nothing behind.
fn refused(place: &Place, data: &str, options: &str, code: i32, wants: &[&str]) {
    let before = place.everything();
    let start = Instant::now();
    place.refused(&format!("train gmm --data {data} --out run {options}"), code, wants);
    assert!(start.elapsed() < Duration::from_secs(15), "{data} took {:?}", start.elapsed());
    assert_eq!(place.everything(), before, "{data} left something behind");
}

/// Protects the user from a wrong name: what there is, is listed, and a slip is guessed.
#[test]
fn unknown_names_list_the_known_ones() {
    let place = Place::new();
    for words in ["train nope --data tree8 --out run", "models nope", "audit nope"] {
        place.refused(words, 2, &["no model `nope`", "made", "gmm", "vae"]);
    }
    refused(&place, "zebra", "", 1, &["zebra", "`genus data list`"]);
    refused(&place, "8gausians", "", 1, &["8gausians", "did you mean 8gaussians"]);
    place.refused("data info zebra", 1, &["zebra", "`genus data list`"]);
    refused(&place, "no/such.csv", "", 1, &["no file or folder no/such.csv"]);
    refused(&place, ".", "", 1, &["no .png or .jpg image", "one subfolder per class"]);
    place.file("notes.txt", "hello");
    refused(&place, "notes.txt", "", 1, &["notes.txt", "cannot be told from the name", ".npz"]);
}

/// Protects from files that are not what their name says, were cut short, or hold code.
#[test]
fn damaged_arrays_are_refused() {
    let place = Place::new();
    place.file("a-ubyte", b"\x89PNG\r\n\x1a\nabcdefgh");
    refused(&place, "a-ubyte", "", 1, &["a-ubyte", "not an IDX file", "two zero bytes"]);
    place.file("b.idx", idx(&[4, 2, 2]));
    refused(&place, "b.idx", "", 1, &["b.idx", "0 of the 16 bytes", "cut short", "copy it again"]);

    place.train("gmm", "iris", "good", "");
    place.ok("sample good -n 500 -o s.npz");
    let whole = place.bytes("s.npz");
    for cut in [0, 3, 30, whole.len() / 2, whole.len() - 1] {
        place.file("t.npz", &whole[..cut]);
        refused(
            &place,
            "t.npz",
            "",
            1,
            &["t.npz", "not a readable zip archive", "fetch or save the file again"],
        );
    }
    place.file("o.npy", npy("|O", "(2,)", b"\x80\x04K\x01."));
    refused(&place, "o.npy", "", 1, &["o.npy", "pickles are never read", "as .csv"]);
    place.file("z.npy", npy("<f4", "(3, 0)", b""));
    refused(&place, "z.npy", "", 1, &["z.npy", "holds no value", "at least one row and one column"]);
    place.file("s.safetensors", [&[255; 8][..], b"{}"].concat());
    refused(
        &place,
        "s.safetensors",
        "",
        1,
        &["s.safetensors: header", "18446744073709551615 bytes long", "at most"],
    );
}

/// Protects the machine's memory: a small file that unpacks to much, or whose header promises much, is refused soon.
#[test]
fn bombs_are_refused() {
    let place = Place::new();
    // 64 members of 16 MiB each, where the header promises 16 bytes.
    let zeros = gzip(&vec![0; 16 << 20]);
    let mut bomb = gzip(&idx(&[4, 2, 2]));
    (0..64).for_each(|_| bomb.extend(&zeros));
    assert!(bomb.len() < 2 << 20, "{}", bomb.len());
    place.file("bomb.idx.gz", bomb);
    refused(&place, "bomb.idx.gz", "", 1, &["more bytes follow than the header promises"]);
    place.file("lie.idx.gz", gzip(&idx(&[500_000, 1000])));
    refused(&place, "lie.idx.gz", "", 1, &["0 of the 500000000 bytes", "cut short"]);
    place.file("huge.idx", idx(&[u32::MAX, u32::MAX, u32::MAX]));
    refused(&place, "huge.idx", "", 1, &["larger than what is read"]);
    place.file("huge.npy", npy("<f4", "(4000000000, 4000000000)", b""));
    refused(&place, "huge.npy", "", 1, &["huge.npy", "larger than what is read"]);
    let half = gzip(&(0..=255).cycle().take(5000).collect::<Vec<u8>>());
    place.file("half.csv.gz", &half[..half.len() / 2]);
    refused(&place, "half.csv.gz", "", 1, &["damaged compressed data", "copy the file again"]);
}

/// Protects the machine's memory from what small files unpack to: columns without end, a cell without end, many numbers, many names.
#[test]
fn what_unpacks_to_too_much_is_refused() {
    let place = Place::new();
    let with = |data: &str, bytes: &str, wants: &[&str]| {
        let words = format!("data info {data}");
        let mut command = place.command(words.split_whitespace());
        let e = ended(command.env("GENUS_MAX_BYTES", bytes));
        e.is_refusal(&words, if wants[0] == "config" { 2 } else { 1 }, wants);
    };
    place.file("commas.csv.gz", gzip(&vec![b','; 100_000]));
    with("commas.csv.gz", "100000000", &["line 1", "100001 cells", "at most 65536 columns"]);
    place.file("line.csv.gz", gzip(&vec![b','; 20 << 20]));
    with("line.csv.gz", "100000000", &["record 1", "longer than"]);
    let cell = [&b"a,b\n1,\""[..], &vec![b'x'; 40 << 20], b"\"\n"].concat();
    place.file("cell.csv.gz", gzip(&cell));
    with("cell.csv.gz", "100000000", &["record 2", "longer than", "quote that is not closed"]);
    with("cell.csv.gz", "1000000", &["more than the 1000000 bytes", "GENUS_MAX_BYTES"]);
    let row = |r: usize| format!("t{r}{}\n", format!(",t{r}").repeat(999));
    place.file("names.csv.gz", gzip((0..400).map(row).collect::<String>().as_bytes()));
    with("names.csv.gz", "40000000", &["what its columns hold", "GENUS_MAX_BYTES", "split the file"]);
    let longs = npy("<i8", "(500, 500)", &vec![0; 8 * 250_000]);
    place.file("longs.npy", gzip(&longs));
    with("longs.npy", "2900000", &["the values would take 2000000 bytes", "GENUS_MAX_BYTES"]);
    with("longs.npy", "much", &["config", "GENUS_MAX_BYTES", "not a number of bytes"]);
    let mut command = place.command(["data", "info", "longs.npy"]);
    assert_eq!(ended(command.env("GENUS_MAX_BYTES", "3000200")).code, Some(0));
}

/// Protects devices and links from results: they are written through, and stay what they are.
#[cfg(unix)]
#[test]
fn results_go_through_links() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.train("gmm", "iris", "run", "");
    place.file("there.csv", "old");
    for (link, to) in [("null.csv", "/dev/null"), ("link.csv", "there.csv")] {
        symlink(to, place.path(link)).unwrap();
        place.ok(&format!("sample run -n 3 -o {link}"));
        place.ok(&format!("score run --data iris --rows train -o {link}"));
        assert_eq!(fs::read_link(place.path(link)).unwrap().to_str(), Some(to));
    }
    assert!(place.text("there.csv").starts_with("row,nats\n"));
}

/// Protects from tables that would be misread: line and column are named with the remedy.
#[test]
fn bad_tables_are_refused_with_line_and_column() {
    let place = Place::new();
    // Of models that do not learn from what is there.
    for cell in ["NaN", ""] {
        place.file("t.csv", format!("a,b\n1,2\n3,{cell}\n"));
        let wants = ["line 3, column \"b\"", "--drop-missing", "gmm", "ppca", "`genus impute`"];
        place.refused("train maf --data t.csv --out run", 1, &wants);
    }
    let cases: [(&str, &str, i32, &[&str]); 8] = [
        (
            "a,b\n1,\n3,\n",
            "--kinds b=real",
            1,
            &["no training row has a value for b", "leave such columns out"],
        ),
        ("a,b\n1,2\n3,x\n4,5\n", "", 1, &["line 3, column \"b\"", "\"x\" where most cells", "mend the cell"]),
        ("a,b\n1,2\n3,inf\n4,5\n", "", 1, &["line 3, column \"b\"", "\"inf\""]),
        ("a,b\n1,2\n3,1e39\n", "", 1, &["column \"b\"", "rescale"]),
        ("a,b\n1,2\n3\n", "", 1, &["line 3", "1 cells where the first line has 2"]),
        ("class\nx\ny\n", "", 1, &["no column but the label"]),
        ("", "", 1, &["no row of data", "at least one row"]),
        ("a,b\n1,2\n3,4\n", "--label kind", 2, &["no column `kind`", "a, b"]),
    ];
    for (text, options, code, wants) in cases {
        place.file("t.csv", text);
        refused(&place, "t.csv", options, code, wants);
    }
    refused(&place, "moons", "--label x", 2, &["label", "leave it out"]);
    refused(&place, "iris", "--split 0.5/0.1", 2, &["split", "sum to 1"]);
}

/// Protects from models of nothing: one row, or fewer rows than components, is said before a folder is there.
#[test]
fn too_few_rows_are_refused() {
    let place = Place::new();
    place.file("one.csv", "a,b\n1,0\n");
    place.file("real.csv", "a,b\n1.5,0.25\n");
    place.file("four.csv", "a,b\n1.5,0.25\n2,3\n4,4\n0,1\n");
    let before = place.everything();
    for (model, data) in [("made", "one.csv"), ("vae", "one.csv"), ("vae", "real.csv")] {
        let words = format!("train {model} --data {data} --out run");
        place.refused(&words, 1, &[data, "1 training row", "at least 2 rows", "give more data"]);
    }
    let words = "train gmm --data real.csv --out run --set components=1";
    place.refused(words, 1, &["1 training row", "at least 2 rows"]);
    let words = "train gmm --data four.csv --out run --set components=8";
    place.refused(words, 2, &["components", "8 components need at least 8 training rows", "there are 4"]);
    assert_eq!(place.everything(), before, "something was left behind");
    // The folder is not in the way of the second try.
    place.ok("train gmm --data four.csv --out run --set components=1");
}

/// Protects from a pipe among pictures, for which one would wait for ever.
#[cfg(unix)]
#[test]
fn only_files_are_pictures() {
    let place = Place::new();
    (0..3).for_each(|i| picture(&place, &format!("pictures/{i}.png"), 4, 3));
    let made = std::process::Command::new("mkfifo").arg(place.path("pictures/pipe.png")).status().unwrap();
    assert!(made.success());
    assert!(place.ok("data info pictures").stdout.contains('3'));
}

/// Protects from pictures that do not belong together: the one that differs is named.
#[test]
fn an_image_of_another_size_is_named() {
    let place = Place::new();
    (0..3).for_each(|i| picture(&place, &format!("pictures/{i}.png"), 4, 3));
    picture(&place, "pictures/odd.png", 5, 3);
    refused(&place, "pictures", "", 1, &["odd.png", "3×5×1", "3×4×1", "bring all images to one size"]);
    fs::write(place.path("pictures/odd.png"), "not a picture").unwrap();
    refused(&place, "pictures", "", 1, &["odd.png", "mend or remove the file"]);
}

/// Protects pipes into the program: standard input is a table like any other, and nothing on it is said.
#[test]
fn standard_input_is_data() {
    let place = Place::new();
    let rows = (0..40).map(|i| format!("{}.5,{}.25\n", i, i * i % 17)).collect::<String>();
    place.file("rows.csv", format!("a,b\n{rows}"));
    let piped = |words: &str| {
        let mut command = place.command(words.split(' '));
        command.stdin(fs::File::open(place.path("rows.csv")).unwrap());
        let e = ended(&mut command);
        assert_eq!(e.code, Some(0), "{e:?}");
        e
    };
    piped("train gmm --data - --out run --set components=2");
    let summary: serde_json::Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert_eq!(summary["data"]["source"], "standard input");
    assert_eq!(piped("score run --data -").stdout, place.ok("score run --data rows.csv").stdout);
    place.refused("train gmm --data - --out other", 2, &["nothing on standard input"]);
}

/// Protects comparisons: the scores of runs stand in one table, those on other data do not.
#[test]
fn scores_of_runs_are_one_table() {
    let place = Place::new();
    place.train("gmm", "iris", "a", "");
    place.train("gmm", "iris", "b", "");
    place.train("gmm", "wine", "c", "");
    let table = place.ok("report a b --table csv").stdout;
    assert_eq!(table.lines().filter(|l| l.starts_with("gmm,")).count(), 2, "{table}");
    assert!(place.ok("report a b --table md").stdout.starts_with("| model |"), "{table}");
    place.refused("report a c --table latex", 2, &["cannot stand in one table", "the data"]);
}
