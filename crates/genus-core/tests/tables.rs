//! Tables: dialects, labels, round trips, and one clear error per bad input.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus_core::data::{Label, Options, load, write};
use genus_core::{Batch, Column, Dataset, Domain, Shape, Support};
use std::fs;

fn table(text: &str, options: &Options) -> genus_core::Result<Dataset> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    fs::write(&path, text).unwrap();
    load(path.to_str().unwrap(), options)
}

#[test]
fn tables_come_back_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let names = |n: &[&str]| n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let columns = vec![Column::Real, Column::Category(names(&["a, \"quoted\"", "b", "c"])), Column::Binary];
    let domain = Domain { support: Support::Mixed(columns), shape: Shape::Flat(3) };
    let x = Batch::new(vec![0.1, 2.0, 1.0, -3e-8, 0.0, 0.0, 1e9, 1.0, 1.0], 3).unwrap();
    write(&path, &x, &domain, &names(&["x", "kind of", "on"])).unwrap();
    let set = load(path.to_str().unwrap(), &Options::default()).unwrap();
    assert_eq!((set.train.x, set.domain), (x, domain));
    assert_eq!(set.columns, ["x", "kind of", "on"]);

    let x = Batch::new(vec![1.5, f32::NAN, 2.5, 3.0], 2).unwrap();
    write(&path, &x, &Domain::real(2), &[]).unwrap();
    let options = Options { missing: true, ..Options::default() };
    let set = load(path.to_str().unwrap(), &options).unwrap();
    assert_eq!(set.train.x.data()[0], 1.5);
    assert!(set.train.x.data()[1].is_nan());
    assert_eq!(set.columns, ["x0", "x1"]);
}

#[test]
fn tables_in_many_dialects() {
    let set = table("\u{feff}a;b;Species\n1;2;x\n\n3.5; 4 ;y\n-1;0;x\n", &Options::default()).unwrap();
    assert_eq!(set.train.x.data(), [1.0, 2.0, 3.5, 4.0, -1.0, 0.0]);
    assert_eq!((set.domain.clone(), set.columns), (Domain::real(2), vec!["a".to_owned(), "b".into()]));
    assert_eq!((set.train.labels.unwrap(), set.classes), (vec![0, 1, 0], vec!["x".to_owned(), "y".into()]));
    // No header, all bits.
    let set = table("0\t1\n1\t1\n", &Options::default()).unwrap();
    assert_eq!((set.domain, set.train.x.rows()), (Domain::binary(2), 2));
    // The label by number and by name; or none, and the column is a feature.
    let text = "a,class\n0.5,2\n0.25,10\n";
    let by = |label| table(text, &Options { label: Some(label), ..Options::default() });
    let set = by(Label::Index(1)).unwrap();
    assert_eq!((set.classes, set.train.labels.unwrap()), (vec!["2".to_owned(), "10".into()], vec![0, 1]));
    assert_eq!(by(Label::Name("a".into())).unwrap().train.x.data(), [2.0, 10.0]);
    assert_eq!(by(Label::None).unwrap().train.x.width(), 2);
    let e = by(Label::Name("b".into())).unwrap_err().to_string();
    assert!(e.contains("no column `b`") && e.contains("a, class"), "{e}");
    assert!(by(Label::Index(2)).is_err());
    // Texts are categories.
    let set = table("age,work\n39,state\n50,private\n", &Options::default()).unwrap();
    let Support::Mixed(columns) = &set.domain.support else { panic!("mixed") };
    assert_eq!(columns[1], Column::Category(vec!["private".into(), "state".into()]));
    assert_eq!(set.train.x.data(), [39.0, 1.0, 50.0, 0.0]);
    // The first line of the classic files counts.
    let set = table("2,1,no,yes\n0.5,1\n0.25,0\n", &Options::default()).unwrap();
    assert_eq!((set.classes, set.train.labels.unwrap()), (vec!["no".to_owned(), "yes".into()], vec![1, 0]));
}

#[test]
fn bad_tables_are_refused_with_line_and_column() {
    for (text, wants) in [
        ("", &["no row of data"][..]),
        ("a,b\n", &["no row of data"]),
        ("a,b\n1,2\n3,\n", &["line 3", "\"b\"", "fill missing values"]),
        ("a,b\n1,2\nNaN,1\n", &["line 3", "\"a\"", "drop the row"]),
        ("a,b\n1,2\n3,x\n4,5\n6,7\n", &["line 3", "\"b\"", "\"x\"", "numbers"]),
        ("a,b\n1,2\n3,inf\n4,5\n6,7\n", &["line 3", "\"inf\""]),
        ("a,b\n1,1e39\n2,3\n", &["line 2", "single precision"]),
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
