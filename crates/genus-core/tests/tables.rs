//! Tables: dialects, labels, round trips, and one clear error per bad input.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus_core::data::{Label, Missing, Options, load, write};
use genus_core::{Batch, Column, Dataset, Domain, Kind, Schema, Shape, Support};
use std::fs;

fn table(text: &str, options: &Options) -> genus_core::Result<Dataset> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    fs::write(&path, text).unwrap();
    load(path.to_str().unwrap(), options)
}

fn classes(set: &Dataset) -> (Vec<u32>, Vec<String>) {
    (set.schema.labels(&set.train).unwrap(), set.schema.classes().to_vec())
}

#[test]
fn tables_come_back_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let names = |n: &[&str]| n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let kinds = vec![Kind::REAL, Kind::Category(names(&["a, \"quoted\"", "b", "c"])), Kind::Binary];
    let domain = Domain { support: Support::Mixed(kinds), shape: Shape::Flat(3) };
    let schema = Schema::from(domain).named(["x", "kind of", "on"]);
    let x = Batch::new(vec![0.1, 2.0, 1.0, -3e-8, 0.0, 0.0, 1e9, 1.0, 1.0], 3).unwrap();
    write(&path, &x, &schema).unwrap();
    let set = load(path.to_str().unwrap(), &Options::default()).unwrap();
    assert_eq!((set.train.x, &set.schema.domain.shape), (x, &schema.domain.shape));
    assert_eq!(set.schema.names(), ["x", "kind of", "on"]);
    assert_eq!(set.schema.columns[1..], schema.columns[1..]);

    let x = Batch::new(vec![1.5, f32::NAN, 2.5, 3.0], 2).unwrap();
    write(&path, &x, &Domain::real(2).into()).unwrap();
    let options = Options { missing: Missing::Keep, ..Options::default() };
    let set = load(path.to_str().unwrap(), &options).unwrap();
    assert_eq!(set.train.x.data()[0], 1.5);
    assert!(set.train.x.data()[1].is_nan());
    assert_eq!(set.schema.names(), ["x0", "x1"]);
    let options = Options { missing: Missing::Drop, ..Options::default() };
    let set = load(path.to_str().unwrap(), &options).unwrap();
    assert_eq!((set.train.x.data(), set.provenance.remarks.len()), (&[2.5, 3.0][..], 1));
}

#[test]
fn tables_in_many_dialects() {
    let set = table("\u{feff}a;b;Species\n1;2;x\n\n3.5; 4 ;y\n-1;0;x\n", &Options::default()).unwrap();
    assert_eq!(set.train.x.data(), [1.0, 2.0, 3.5, 4.0, -1.0, 0.0]);
    assert_eq!((set.domain(), set.schema.names()), (&Domain::real(2), vec!["a".to_owned(), "b".into()]));
    assert_eq!(classes(&set), (vec![0, 1, 0], vec!["x".to_owned(), "y".into()]));
    // No header, all bits.
    let set = table("0\t1\n1\t1\n", &Options::default()).unwrap();
    assert_eq!((set.domain(), set.train.x.rows()), (&Domain::binary(2), 2));
    // The label by number and by name; or none, and the column is a feature.
    let text = "a,class\n0.5,2\n0.25,10\n";
    let by = |label| table(text, &Options { label: Some(label), ..Options::default() });
    let set = by(Label::Index(1)).unwrap();
    assert_eq!(classes(&set), (vec![0, 1], vec!["2".to_owned(), "10".into()]));
    assert_eq!(by(Label::Name("a".into())).unwrap().train.x.data(), [2.0, 10.0]);
    assert_eq!(by(Label::None).unwrap().train.x.width(), 2);
    let e = by(Label::Name("b".into())).unwrap_err().to_string();
    assert!(e.contains("no column `b`") && e.contains("a, class"), "{e}");
    assert!(by(Label::Index(2)).is_err());
    // Texts are categories.
    let set = table("age,work\n39,state\n50,private\n", &Options::default()).unwrap();
    let work = Column::new("work", Kind::Category(vec!["private".into(), "state".into()]));
    assert_eq!((&set.schema.columns[1], set.domain().to_string()), (&work, "mixed 2".into()));
    assert_eq!(set.train.x.data(), [39.0, 1.0, 50.0, 0.0]);
    // The first line of the classic files counts.
    let set = table("2,1,no,yes\n0.5,1\n0.25,0\n", &Options::default()).unwrap();
    assert_eq!(classes(&set), (vec![1, 0], vec!["no".to_owned(), "yes".into()]));
}

#[test]
fn bad_tables_are_refused_with_line_and_column() {
    for (text, wants) in [
        ("", &["no row of data"][..]),
        ("a,b\n", &["no row of data"]),
        ("a,b\n1,2\n3,\n", &["line 3", "\"b\"", "leave such rows out"]),
        ("a,b\n1,2\nNaN,1\n", &["line 3", "\"a\"", "no value"]),
        ("a,b\n1,2\n3,x\n4,5\n6,7\n", &["line 3", "\"b\"", "\"x\"", "numbers"]),
        ("a,b\n1,2\n3,inf\n4,5\n6,7\n", &["line 3", "\"inf\""]),
        ("a,b\n1,1e39\n2,3\n", &["\"b\"", "single precision"]),
        ("a,b\n1,2\n3,4,5\n", &["line 3", "3 cells"]),
        ("label\n1\n2\n", &["no column but the label"]),
        ("a,label\n1,\n2,1\n", &["line 2", "without its label"]),
    ] {
        let e = table(text, &Options::default()).unwrap_err().to_string();
        assert!(wants.iter().all(|w| e.contains(w)), "{text:?}: {e}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("latin.csv");
    fs::write(&path, b"name,b\nM\xfcller,1\n").unwrap();
    assert!(load(path.to_str().unwrap(), &Options::default()).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn one_row_can_be_scored_but_not_split() {
    let text = "a,b\n1.5,2\n";
    assert_eq!(table(text, &Options::default()).unwrap().train.x.rows(), 1);
    let options = Options { split: Some([0.8, 0.1, 0.1]), ..Options::default() };
    let e = table(text, &options).unwrap_err().to_string();
    assert!(e.contains("1 rows are too few"), "{e}");
}
