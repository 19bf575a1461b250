//! Tables as programs for sheets, data bases and people leave them: each is read right and written back as it came, or refused with the
//! line, the column and the remedy.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus_core::data::{Label, Missing, Options, load, parse_kinds, schema_file, schema_path, to_csv};
use genus_core::{Dataset, Kind, Result, Support};
use std::fs;

fn read(bytes: &[u8], kinds: &str, like: Option<&Dataset>) -> Result<Dataset> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    fs::write(&path, bytes).unwrap();
    let options = Options {
        label: like.is_none().then_some(Label::None),
        missing: Missing::Keep,
        kinds: parse_kinds(kinds)?,
        like: like.map(|l| l.schema.clone()),
        ..Options::default()
    };
    load(path.to_str().unwrap(), &options)
}

/// The rows of a set as a file of them would be.
fn written(set: &Dataset) -> String {
    String::from_utf8(to_csv(&set.train.x, &set.schema)).unwrap()
}

/// The table comes back as `want`, and remarks say this.
fn comes_back(text: &str, kinds: &str, want: &str, remark: &str) {
    let set = read(text.as_bytes(), kinds, None).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(written(&set), want, "{text}: {:?}", set.provenance.remarks);
    let remarks = set.provenance.remarks.join("; ");
    assert!(remarks.contains(remark), "{text}: {remarks}");
    // What was written is read as the same.
    let again = read(want.as_bytes(), kinds, Some(&set)).unwrap_or_else(|e| panic!("again {want}: {e}"));
    assert_eq!(written(&again), want);
}

fn is_refused(bytes: &[u8], kinds: &str, parts: &[&str]) {
    let text = String::from_utf8_lossy(bytes);
    let e = read(bytes, kinds, None).map(|s| written(&s)).expect_err(&text).to_string();
    parts.iter().for_each(|part| assert!(e.contains(part), "{text}: {e} lacks {part}"));
}

#[test]
fn numbers_in_their_dress() {
    // Money, shares and units.
    comes_back(
        "price,share,weight\n\"$1,234.50\",12 %,80 kg\n$7.00,7 %,102 kg\n-$0.25,,81 kg\n",
        "",
        "price,share,weight\n\"$1,234.50\",12 %,80 kg\n$7.00,7 %,102 kg\n-$0.25,,81 kg\n",
        "",
    );
    // Thousands with a comma, alone and with a point; a sign of its own for a missing value.
    comes_back(
        "people,area\n\"1,200\",\"2,345.5\"\n950,12.5\n-,7.5\n",
        "",
        "people,area\n\"1,200\",\"2,345.5\"\n950,12.5\n-,7.5\n",
        "",
    );
    // A decimal comma, with points between thousands, where semicolons part cells, and in quotes where commas do.
    comes_back("a;b\n1.234,5;2,5\n7,0;3\n", "", "a;b\n1.234,5;2,5\n7,0;3\n", "");
    comes_back("a,b\n\"3,25\",x\n\"2,5\",y\n", "", "a;b\n3,25;x\n2,5;y\n", "");
    comes_back("a;b\n12,50 €;1\n1.000,00 €;2\n", "", "a;b\n12,50 €;1\n1.000,00 €;2\n", "");
    // A comma before three digits could be either; it is said how it is read.
    comes_back(
        "a;b\n1,250;7\n2,500;8\n",
        "",
        "a;b\n1,25;7\n2,5;8\n",
        "nothing in them says that it does not part thousands",
    );
    // Blanks and apostrophes between thousands.
    comes_back("a;b\n1 250 000;1'000\n900;12'500\n", "", "a,b\n1 250 000,1'000\n900,12'500\n", "");
}

#[test]
fn codes_months_and_names_of_rows() {
    // Numbers of accounts and places are names, and keep their zeros; months count, and keep them too.
    comes_back(
        "zip,month\n02134,01\n90210,12\n02134,02\n",
        "",
        "zip,month\n02134,01\n90210,12\n02134,02\n",
        "",
    );
    let set = read(b"zip,month\n02134,01\n90210,12\n02134,02\n", "", None).unwrap();
    assert_eq!(set.train.x.data(), [0.0, 1.0, 1.0, 12.0, 0.0, 2.0]);
    // What names rows is left out, by its texts or by its name and numbers, and so is what has no value.
    let rows: String = (0..60).map(|i| format!("{},person {i},{}.5,\n", 1000 + i * 7, i % 9)).collect();
    let set = read(format!("customer_id,who,x,notes\n{rows}").as_bytes(), "", None).unwrap();
    assert_eq!((set.schema.names(), set.schema.left_out.len()), (vec!["x".to_owned()], 3));
    let remarks = set.provenance.remarks.join("; ");
    for part in
        ["\"customer_id\" numbers the rows", "\"who\" holds a text of its own", "\"notes\" has no value"]
    {
        assert!(remarks.contains(part), "{remarks}");
    }
    // Few rows for a model of these leave them out without a word that they name rows.
    let again = read(b"who,x,customer_id,notes\nbob,2.5,1,\n", "", Some(&set)).unwrap();
    assert_eq!(again.train.x.data(), [2.5]);
    // Unless somebody wants them.
    let set =
        read(format!("customer_id,who,x,notes\n{rows}").as_bytes(), "customer_id=integer,who=category", None)
            .unwrap();
    assert_eq!(set.schema.names(), ["customer_id", "who", "x"]);
}

#[test]
fn truths_ranks_and_dates() {
    comes_back("a,b\nyes,1\nno,2\nYES,3\n", "", "a,b\nyes,1\nno,2\nyes,3\n", "");
    let set = read(b"a,b\nTRUE,f\nFALSE,t\n", "", None).unwrap();
    assert_eq!(
        (&set.schema.domain.support, set.train.x.data()),
        (&Support::Binary, &[1.0, 0.0, 0.0, 1.0][..])
    );
    comes_back(
        "size,n\nlow,1\nhigh,2\nmedium,3\n",
        "size=low<medium<high",
        "size,n\nlow,1\nhigh,2\nmedium,3\n",
        "",
    );
    let set = read(b"size,n\nlow,1\nhigh,2\nmedium,3\n", "size=low<medium<high", None).unwrap();
    assert_eq!(set.schema.columns[0].kind, Kind::Whole { least: 0, most: 2 });
    // Dates in several countries, with clocks, and clocks alone.
    for cells in [
        ["2024-02-29", "1999-12-31"],
        ["29.02.2024", "01.12.1999"],
        ["2/29/2024", "12/1/1999"],
        ["29/02/24", "01/12/99"],
        ["29-Feb-2024", "01-Dec-1999"],
        ["2024-02-29 13:45", "1999-12-31 00:00"],
        ["2024-02-29T13:45:10", "2024-02-29T00:00:09"],
        ["2024-02-29T13:45:10Z", "2024-02-29T00:00:09Z"],
        ["2/29/2024 1:45 PM", "12/1/1999 12:05 AM"],
        ["13:45", "00:05"],
        ["2024-02", "1999-12"],
    ] {
        let text = format!("when,x\n{},1\n{},2\n,3\n", cells[0], cells[1]);
        comes_back(&text, "", &text, "");
        let set = read(text.as_bytes(), "", None).unwrap();
        assert!(matches!(set.schema.columns[0].kind, Kind::Whole { .. }), "{cells:?}");
    }
    comes_back(
        "when,x\n03/04/2024,1\n05/06/2024,2\n",
        "",
        "when,x\n03/04/2024,1\n05/06/2024,2\n",
        "month first",
    );
    let days =
        |kinds: &str| read(b"when,x\n03/04/2024,1\n05/06/2024,2\n", kinds, None).unwrap().train.x.data()[0];
    assert_eq!((days(""), days("when=date:%d/%m/%Y")), (19_786.0, 19_816.0));
}

#[test]
fn traces_of_programs() {
    // A mark of the order of bytes, a line that says what parts cells, ends of lines of other systems.
    comes_back("\u{feff}a,b\r\n1,2\r\n3,4.5\r\n", "", "a,b\n1,2\n3,4.5\n", "");
    comes_back("sep=;\na;b\n1;2\n3;4.5\n", "", "a,b\n1,2\n3,4.5\n", "");
    comes_back("a,b\r1,2\r3,4.5\r", "", "a,b\n1,2\n3,4.5\n", "");
    // Two bytes a letter, either way round.
    let letters = "a\tb\n1\tü\n3\tx\n".encode_utf16();
    let little: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(letters.clone().flat_map(u16::to_le_bytes)).collect();
    let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(letters.flat_map(u16::to_be_bytes)).collect();
    for bytes in [little, big] {
        assert_eq!(written(&read(&bytes, "", None).unwrap()), "a,b\n1,ü\n3,x\n");
    }
    // A delimiter at the end of every line; lines at the end with delimiters only.
    comes_back("a,b,\n1,2,\n3,4.5,\n", "", "a,b\n1,2\n3,4.5\n", "\"column 3\" has no value");
    comes_back("a,b\n1,2\n3,4.5\n,\n,\n", "", "a,b\n1,2\n3,4.5\n", "the last 2 lines");
    // Line breaks, delimiters and quotes within cells.
    comes_back("a,b\n\"x\n,\"\"y\",1\nz,2.5\n", "", "a,b\n\"x\n,\"\"y\",1\nz,2.5\n", "");
    // Many ways to say nothing.
    comes_back(
        "a,b,c\n1.5,NA,#DIV/0!\n2.5,7,8\n\\N,n.a.,NULL\n",
        "",
        "a,b,c\n1.5,NA,#DIV/0!\n2.5,7,8\n\\N,NA,#DIV/0!\n",
        "",
    );
    // A dash is a grade among grades.
    comes_back("a,b\n+,1\n-,2\n+,3\n", "", "a,b\n+,1\n-,2\n+,3\n", "");
    // Row numbers of pandas.
    comes_back(",a,b\n0,1.5,x\n1,2.5,y\n", "", "a,b\n1.5,x\n2.5,y\n", "numbers the rows");
}

#[test]
fn what_cannot_be_read_says_where_and_what_to_do() {
    for end in ["\r\n", "\r", "\n"] {
        let text = ["a,b", "1,2", "", "oops,3", "4,5", "6,7", ""].join(end);
        is_refused(text.as_bytes(), "", &["line 4", "oops"]);
    }
    is_refused(b"a,b\n1,2\n3\n", "", &["line 3", "1 cells where the first line has 2", "mend"]);
    is_refused(b"a,a\n1,2\n", "", &["two columns are called \"a\"", "rename"]);
    is_refused(b"a,b\n1,2\noops,3\n4,5\n6,7\n", "", &["line 3", "column \"a\"", "oops", "mend the cell"]);
    is_refused(b"a,b\n5 %,2\n7,3\n9 %,5\n", "", &["line 3", "column \"a\"", "\"7\""]);
    is_refused(
        b"when,b\n2024-01-02,2\n2024-13-02,2\n2024-02-02,3\n",
        "",
        &["line 3", "column \"when\"", "2024-13-02"],
    );
    is_refused(
        b"when,b\n2024-01-02,2\n2024-01-03,2\n",
        "when=date:%d.%m.%Y",
        &["line 2", "column \"when\"", "2024-01-02"],
    );
    is_refused(b"a,b\n1,2\n", "c=integer", &["no column `c`", "a, b"]);
    is_refused(b"a,b\n1.5,2\n", "a=integer", &["column \"a\"", "take real"]);
    is_refused(b"a,b\n1.5,2\n", "a=date", &["column \"a\"", "date:%d/%m/%Y"]);
    is_refused(b"a,b\nlow,1\nhuge,2\n", "a=low<high", &["line 3", "column \"a\"", "\"huge\""]);
    is_refused(b"a,b\nM\xfcnchen,2\n", "", &["line 2", "not UTF-8", "save the table as UTF-8"]);
    is_refused(b"a,b\n", "", &["no row of data"]);
    is_refused(b"a,b\n1e400,2\n", "", &["line 2", "column \"a\""]);
}

#[test]
fn rows_for_a_model_are_written_as_its_own_are() {
    let fitted = read(b"rate,when\n5 %,2024-01-02\n7 %,2024-03-01\n", "", None).unwrap();
    for (text, parts) in [
        (&b"rate,when\n0.05,2024-01-02\n"[..], &["column \"rate\"", "plain numbers", "alike"][..]),
        (b"rate,when\n5 %,19000\n", &["column \"when\"", "plain numbers", "%Y-%m-%d"]),
        (b"rate,when\n5 %,2024-01-02 10:00\n", &["column \"when\"", "date and time"]),
    ] {
        let e = read(text, "", Some(&fitted)).unwrap_err().to_string();
        parts.iter().for_each(|p| assert!(e.contains(p), "{e} lacks {p}"));
    }
    // Another form of the same is the same.
    let other = read(b"rate,when\n5%,02.01.2024\n", "", Some(&fitted)).unwrap();
    assert_eq!(written(&other), "rate,when\n5 %,2024-01-02\n");
    // And so is nothing at all.
    assert!(
        read(b"rate,when\n,\n5 %,\n", "", Some(&fitted)).unwrap().train.x.row(0).iter().all(|v| v.is_nan())
    );
}

#[test]
fn a_file_beside_a_table_says_what_its_columns_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    fs::write(&path, "zip,when,n\n2134,03/04/2024,1\n90210,05/06/2024,0\n").unwrap();
    let options = Options { label: Some(Label::None), ..Options::default() };
    let before = load(path.to_str().unwrap(), &options).unwrap();
    let text = schema_file(&before);
    assert!(text.contains("zip = \"integer\"") && text.contains("when = \"date:%m/%d/%Y\""), "{text}");
    let text = text.replace("zip = \"integer\"", "zip = \"category\"").replace("%m/%d", "%d/%m");
    fs::write(schema_path(&path), text).unwrap();
    let set = load(path.to_str().unwrap(), &options).unwrap();
    assert_eq!(
        (set.train.x.data(), set.schema.columns[0].categories().len()),
        (&[0.0, 19_816.0, 1.0, 1.0, 19_879.0, 0.0][..], 2)
    );
    assert!(set.provenance.remarks.iter().any(|r| r.contains("t.schema.toml")));
    fs::write(schema_path(&path), "zip = 5\n").unwrap();
    let e = load(path.to_str().unwrap(), &options).unwrap_err().to_string();
    assert!(e.contains("t.schema.toml") && e.contains("column \"zip\""), "{e}");
}
