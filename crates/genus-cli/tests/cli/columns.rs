//! A model knows its columns: what is in a file is found and said, and new rows are brought into the columns of the model or refused.

use crate::program::Place;
use std::fmt::Write as _;

/// Three columns on scales of their own, which no model can mistake for one another: about 0, 50 and 3.
fn rows(n: usize) -> Vec<[f64; 3]> {
    let wave = |i: usize, k: f64| (i as f64 * k).sin();
    (0..n)
        .map(|i| [wave(i, 1.3), 50.0 + wave(i, 0.7), 3.0 + 0.5 * wave(i, 2.1) + 0.2 * wave(i, 1.3)])
        .collect()
}

/// A table with this header, of these columns of each row.
fn table(header: &str, order: &[usize], n: usize) -> String {
    let mut text = if header.is_empty() { String::new() } else { format!("{header}\n") };
    for row in rows(n) {
        let cells: Vec<String> = order.iter().map(|c| format!("{:.4}", row[*c])).collect();
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    text
}

/// A normal fitted to the columns in their own order.
fn fitted() -> Place {
    let place = Place::new();
    place.file("train.csv", table("speed,mass,width", &[0, 1, 2], 60));
    place.ok("train gmm --data train.csv --set components=1 --set restarts=1 --out run");
    place
}

fn nats(place: &Place, words: &str) -> f64 {
    place.json(&format!("evaluate run {words} --json"))["scores"][0]["nats"].as_f64().unwrap()
}

/// Protects scores and fills from columns in another order: they are found by name, and the file comes back as it was.
#[test]
fn columns_go_by_name() {
    let place = fitted();
    let own = nats(&place, "--data train.csv");
    place.file("other.csv", table("width,speed,mass", &[2, 0, 1], 60));
    assert_eq!(nats(&place, "--data other.csv"), own);
    place.file("holes.csv", "width,mass,speed\n2.5,50.5,\n3.5,49.5,\n");
    let filled = place.ok("impute run --data holes.csv").stdout;
    let lines: Vec<&str> = filled.lines().collect();
    assert_eq!(lines[0], "width,mass,speed");
    assert!(lines[1].starts_with("2.5,50.5,") && lines[2].starts_with("3.5,49.5,"), "{filled}");
    for line in &lines[1..] {
        let speed: f64 = line.rsplit(',').next().unwrap().parse().unwrap();
        assert!(speed.abs() < 2.0, "{filled}");
    }
    assert_eq!(place.ok("sample run -n 2").stdout.lines().next(), Some("speed,mass,width"));
}

/// Protects from rows that are none of the model's: each refusal says what was found and what is known.
#[test]
fn other_columns_are_refused() {
    let place = fitted();
    let n = "0.1,50,3\n";
    for (text, wants) in [
        (
            format!("age,income,height\n{n}"),
            &["knows the columns speed, mass, width", "lack speed, mass, width", "age"][..],
        ),
        (format!("id,speed,mass,width\n7,{n}9,{n}8,{n}"), &["does not know id"]),
        ("speed,mass\n0.1,50\n".into(), &["lack width"]),
        ("speed;mass;width\n0,1;50;3\n0,2;50;3\n".into(), &["decimal commas", "points"]),
        (
            "speed,mass,width\nslow,50,3\nfast,51,3\n".into(),
            &["column \"speed\" holds text", "slow", "numbers"],
        ),
    ] {
        place.file("new.csv", &text);
        for verb in ["score", "evaluate"] {
            place.refused(&format!("{verb} run --data new.csv"), 1, wants);
        }
    }
    place.file("new.csv", "speed,mass,width\n0.1,None,3\n0.1,None,3\n0.1,50,3\n");
    place.refused("impute run --data new.csv", 1, &["column \"mass\"", "\"None\" in most cells"]);
    // Without names, the position tells, and that is said.
    place.file("new.csv", "0.1,50,3\n0.2,51,3.1\n");
    let said = place.ok("score run --data new.csv").stderr;
    assert!(said.contains("matched by position"), "{said}");
}

/// Protects images from rows of the same number of values in another layout.
#[test]
fn other_layouts_are_refused() {
    let place = Place::new();
    let npy = |shape: &str| {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16 + 1).to_le_bytes());
        bytes.extend(header.bytes().chain([b'\n']).chain((0..30 * 12u16).map(|i| (i * 7 % 251) as u8)));
        bytes
    };
    place.file("last.npy", npy("(30, 2, 2, 3)"));
    place.file("first.npy", npy("(30, 3, 2, 2)"));
    place.ok("train gmm --data last.npy --set components=1 --set restarts=1 --out run");
    place.ok("score run --data last.npy");
    place.refused("score run --data first.npy", 1, &["shape 3×2×2", "2×2×3", "height × width × channels"]);
}

/// Protects classes from being numbers: two files need not have the same ones.
#[test]
fn classes_go_by_name() {
    let place = Place::new();
    let mut all = "x,y,animal\n".to_owned();
    let mut some = all.clone();
    for i in 0..120 {
        let (name, bits) = [("cat", "0,0"), ("dog", "0,1"), ("emu", "1,1")][i % 3];
        writeln!(all, "{bits},{name}").unwrap();
        if name != "cat" {
            writeln!(some, "{bits},{name}").unwrap();
        }
    }
    place.file("all.csv", &all);
    place.file("some.csv", &some);
    let set = "--set class_conditional=true --set train.epochs=60 --set train.optimizer.rate=0.1";
    place.ok(&format!("train fvsbn --data all.csv --label animal --split 1/0/0 --out run {set}"));
    // The label column is the model's own: nobody has to name it again.
    for (file, n) in [("all.csv", 120), ("some.csv", 80)] {
        let out = place.ok(&format!("classify run --data {file}"));
        assert!(out.stderr.contains(&format!("{n} of {n} rows have their own class")), "{}", out.stderr);
        assert_eq!(out.stdout.lines().next(), Some("cat,dog,emu"));
    }
    let drawn = place.ok("sample run -n 20 --class emu").stdout;
    assert!(drawn.starts_with("x,y,animal\n1,1,emu\n"), "{drawn}");
    assert!(place.ok("sample run -n 30").stdout.contains(",dog\n"));
    place.refused("sample run --class cow", 2, &["no class `cow`", "cat, dog, emu"]);
    place.file("new.csv", "x,y,animal\n0,1,cow\n");
    let said = place.ok("score run --data new.csv").stderr;
    assert!(said.contains("\"cow\" was never seen"), "{said}");
    place.file("bare.csv", "x,y\n0,1\n");
    place.ok("score run --data bare.csv");
}

/// Protects readers of tables from what spreadsheets, pandas, NumPy and R write: all give the same numbers, and what was understood
/// is said.
#[test]
fn tables_are_read_as_they_were_meant() {
    let place = Place::new();
    let rows = rows(40);
    let with = |header: &str, between: &str, cell: &dyn Fn(f64) -> String, index: bool| {
        let mut text = header.to_owned();
        for (i, row) in rows.iter().enumerate() {
            let mut cells: Vec<String> = row[..2].iter().map(|v| cell(*v)).collect();
            if index {
                cells.insert(0, i.to_string());
            }
            writeln!(text, "{}", cells.join(between)).unwrap();
        }
        text
    };
    let point = |v: f64| format!("{v:.3}");
    let comma = |v: f64| format!("{v:.3}").replace('.', ",");
    let texts = [
        with("a,b\n", ",", &point, false),
        with("", ",", &point, false),
        with("0,1\n", ",", &point, false),
        with(",a,b\n", ",", &point, true),
        with(",0,1\n", ",", &point, true),
        with("# a,b\n", ",", &point, false),
        with("# made by hand\n# on a Monday\na,b\n", ",", &point, false),
        with("a;b\n", ";", &comma, false),
        with("", ";", &comma, false),
        with("", "\t", &comma, false),
        with("a|b\n", "|", &point, false),
        with("", " ", &point, false),
        with("# a b\n", " ", &point, false),
    ];
    let mut first = None;
    for text in texts {
        place.file("t.csv", &text);
        let info = place.json("data info t.csv --json");
        assert_eq!(info["columns"].as_array().map(Vec::len), Some(2), "{text}\n{info}");
        assert!(
            info["reading"].as_str().unwrap().starts_with("40 rows of 2 columns of real numbers"),
            "{info}"
        );
        place.ok("train gmm --data t.csv --set components=1 --set restarts=1 --out run --no-audit");
        let summary: serde_json::Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
        let nats = summary["scores"][0]["nats"].as_f64().unwrap();
        assert_eq!(*first.get_or_insert(nats), nats, "{text}");
        std::fs::remove_dir_all(place.path("run")).unwrap();
    }
}

/// Protects single precision from what it cannot hold: times and large means are moved, what cannot be is refused.
#[test]
fn numbers_keep_their_differences() {
    let place = Place::new();
    let fit = |name: &str, cell: &dyn Fn(usize, f64) -> String| {
        let mut text = "a,b\n".to_owned();
        for (i, row) in rows(60).iter().enumerate() {
            writeln!(text, "{},{:.3}", cell(i, row[0]), row[1]).unwrap();
        }
        place.file(&format!("{name}.csv"), text);
        format!("train gmm --data {name}.csv --set components=1 --set restarts=1 --out {name}")
    };
    let score = |name: &str| {
        let text = place.text(&format!("{name}/summary.json"));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["scores"][0]["nats"].as_f64().unwrap()
    };
    place.ok(&fit("near", &|_, v| format!("{v:.3}")));
    place.ok(&fit("far", &|_, v| format!("{:.3}", v + 1e9)));
    assert!((score("near") - score("far")).abs() < 1e-4, "{} {}", score("near"), score("far"));
    let drawn = place.ok("sample far -n 5").stdout;
    for line in drawn.lines().skip(1) {
        let v: f64 = line.split(',').next().unwrap().parse().unwrap();
        assert!((v - 1e9).abs() < 10.0, "{drawn}");
    }
    // Rows of the model are where it was moved to.
    assert!(place.ok("score far --data far.csv").stdout.lines().all(|l| l.parse::<f64>().unwrap() > -30.0));
    place.refused(&fit("tiny", &|i, _| format!("{}e-46", i % 7)), 1, &["column \"a\"", "single precision"]);
    let said = place.ok(&fit("ids", &|i, _| (10_000_000_000 + i * 3).to_string())).stderr;
    assert!(said.contains("column \"a\" has another whole number in each row"), "{said}");
}

/// Protects the kinds of columns: whole numbers stay whole and of their sign, and a column of measurements is no label.
#[test]
fn kinds_are_kept() {
    let place = Place::new();
    let mut people = "age,children\n".to_owned();
    let mut measured = "a,size,target\n".to_owned();
    for (i, row) in rows(200).iter().enumerate() {
        writeln!(people, "{},{}", 18 + i * 7 % 50, i % 5).unwrap();
        writeln!(measured, "{:.2},{},{:.4}", row[0], i % 9, row[2] + i as f64).unwrap();
    }
    place.file("people.csv", people);
    place.file("measured.csv", measured);
    place.ok("train gmm --data people.csv --set components=2 --set restarts=1 --out people");
    let info = place.ok("data info people.csv").stdout;
    assert!(info.contains("levels 0..68") && info.contains("whole 0..4"), "{info}");
    for line in place.ok("sample people -n 200").stdout.lines().skip(1) {
        assert!(line.split(',').all(|v| v.parse::<u32>().is_ok()), "{line}");
    }
    let said =
        place.ok("train gmm --data measured.csv --set components=2 --set restarts=1 --out measured").stderr;
    assert!(said.contains("column \"target\" has 200 different values in 200 rows"), "{said}");
    // JSON has the numbers that CSV has.
    let rows = place.json("sample measured -n 3 --json").to_string();
    let drawn = place.ok("sample measured -n 3").stdout;
    assert!(drawn.lines().skip(1).flat_map(|l| l.split(',')).all(|v| rows.contains(v)), "{rows} {drawn}");
    // A whole column among real ones is modelled as real and drawn whole.
    let drawn = place.ok("sample measured -n 50").stdout;
    assert_eq!(drawn.lines().next(), Some("a,size,target"));
    for line in drawn.lines().skip(1) {
        assert!(line.split(',').nth(1).unwrap().parse::<u32>().is_ok(), "{line}");
    }
}

/// Protects whoever does not split: what is done by default is said, and scores of training rows are called so.
#[test]
fn splits_by_default_are_said() {
    let place = fitted();
    let out = place.ok("train gmm --data train.csv --set components=1 --set restarts=1 --out again");
    assert!(out.stderr.contains("splits: none: all 60 rows are training rows"), "{}", out.stderr);
    assert!(out.stdout.contains("train, which it was fitted to"), "{}", out.stdout);
    let own = place.json("evaluate run --data train.csv --json");
    assert_eq!(own["scores"][0]["split"], "train");
    place.file("new.csv", table("speed,mass,width", &[0, 1, 2], 30));
    assert_eq!(place.json("evaluate run --data new.csv --json")["scores"][0]["split"], "rows");
    let tiny = "--set hidden=4 --set components=2 --set train.epochs=2";
    let out = place.ok(&format!("train rnade --data train.csv --out net {tiny}"));
    assert!(out.stderr.contains("48 train, 6 valid, 6 test (the default; --split 1/0/0"), "{}", out.stderr);
    let out = place.ok(&format!("train rnade --data train.csv --split 1/0/0 --out whole {tiny}"));
    assert!(out.stderr.contains("all 60 rows are training rows"), "{}", out.stderr);
    place.ok("audit net");
    place.ok("train --resume --out net");
}

/// Protects rows with holes from being an end: they can be left out, and a model of the others fills them.
#[test]
fn rows_with_holes_are_left_out_and_then_filled() {
    let place = Place::new();
    let mut text = table("speed,mass,width", &[0, 1, 2], 60);
    text.push_str("0.5,,3.1\n0.5,N/A,3.1\n");
    place.file("t.csv", text);
    place.refused(
        "train rnade --data t.csv --out run",
        1,
        &["line 62, column \"mass\"", "--drop-missing", "gmm", "genus impute"],
    );
    let said = place.ok("train gmm --data t.csv --drop-missing --set components=1 --out run").stderr;
    assert!(said.contains("2 of 62 rows lack a value and are left out"), "{said}");
    let filled = place.ok("impute run --data t.csv").stdout;
    let mass: f64 = filled.lines().last().unwrap().split(',').nth(1).unwrap().parse().unwrap();
    assert!((mass - 50.0).abs() < 1.0, "{filled}");
    // Means of bits are numbers, in arrays too.
    place.file("bits.csv", format!("a,b\n{}", "0,1\n1,0\n1,1\n".repeat(20)));
    place.file("gap.csv", "a,b\n1,\n");
    place.ok("train fvsbn --data bits.csv --set train.epochs=2 --out bits");
    place.ok("impute bits --data gap.csv -o out.npy");
    assert!(place.path("out.npy").is_file());
}

/// Protects what is there of rows that lack values: a mixture learns from it, and scores such rows by it.
#[test]
fn rows_with_holes_are_learned_from() {
    let place = Place::new();
    let mut text = table("speed,mass,width", &[0, 1, 2], 60);
    text.push_str("0.5,,3.1\n0.5,N/A,3.1\n");
    place.file("t.csv", text);
    let said = place.ok("train gmm --data t.csv --set components=1 --out run").stderr;
    assert!(said.contains("2 rows lack values, 2 cells in all"), "{said}");
    assert!(place.path("run/report.html").is_file());
    place.file("new.csv", "speed,mass,width\n0.5,50,3.1\n0.5,,3.1\n,,\n");
    let scores = place.ok("score run --data new.csv");
    assert!(scores.stderr.contains("rows that lack values by what is there"), "{}", scores.stderr);
    let nats = |line: usize| -> f64 {
        scores.stdout.lines().nth(line).unwrap().split(',').next_back().unwrap().parse().unwrap()
    };
    assert!(nats(2).abs() < 1e-9 && nats(1) != nats(0), "{}", scores.stdout);
    let clusters = place.ok("cluster run --data new.csv").stdout;
    assert_eq!(clusters, "cluster\n1\n1\n1\n");
    place.ok("audit run");
    let dropped = place.ok("score run --data new.csv --drop-missing").stdout;
    assert_eq!(dropped.lines().count(), 1, "{dropped}");
    // A column without any value says nothing, and is refused where somebody wants it.
    place.file("none.csv", format!("a,c,b\n{}", "1,5,\n2,3.5,\n4,1,\n".repeat(20)));
    let said = place.ok("train gmm --data none.csv --out none").stderr;
    assert!(said.contains("column \"b\" has no value in any row: it is left out"), "{said}");
    place.refused(
        "train gmm --data none.csv --kinds b=real --out some",
        1,
        &["no training row has a value for b"],
    );
}

/// Protects tables as people have them: columns of all kinds with holes go in, and rows, fills and scores of the same kind come out.
#[test]
fn tables_of_several_kinds() {
    let place = Place::new();
    let mut text = "species,mass,eggs,ringed,site\n".to_owned();
    for i in 0..120 {
        let kind = ["tit", "crow", "owl"][i % 3];
        let mass = [18.0, 480.0, 320.0][i % 3] + (i * 7 % 11) as f64 * 0.1;
        let site = if i % 10 == 0 { "?" } else { ["north", "south"][i / 3 % 2] };
        let ringed = if i % 9 == 0 { String::new() } else { (i % 2).to_string() };
        text.push_str(&format!("{kind},{mass:.1},{},{ringed},{site}\n", 2 + i % 3));
    }
    place.file("birds.csv", &text);
    let info = place.ok("data info birds.csv").stdout;
    assert!(info.contains("tabular") && !info.contains("gmm"), "{info}");
    let said = place.ok("train tabular --data birds.csv --set train.epochs=60 --out run");
    assert!(said.stdout.contains("average over 4 orders"), "{}", said.stdout);
    assert!(place.path("run/report.html").is_file());
    let drawn = place.ok("sample run -n 200").stdout;
    let cells = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|l| l.split(',').map(str::to_owned).collect()).collect()
    };
    let rows = cells(&drawn);
    assert_eq!(rows[0].join(","), "mass,eggs,ringed,site,species");
    for row in &rows[1..] {
        assert!(row[0].split_once('.').is_none_or(|(_, digits)| digits.len() == 1), "{row:?}");
        assert!(row[1].parse::<u32>().is_ok() && ["0", "1"].contains(&row[2].as_str()), "{row:?}");
        assert!(["north", "south"].contains(&row[3].as_str()), "{row:?}");
        assert!(["tit", "crow", "owl"].contains(&row[4].as_str()), "{row:?}");
    }
    // Holes come as the columns write them, as often as they were.
    let holed = cells(&place.ok("sample run -n 600 --with-missing").stdout);
    let share = |c: usize, word: &str| holed.iter().filter(|row| row[c] == word).count() as f64 / 600.0;
    // A tenth and a ninth of the rows; six standard errors are 0.08.
    assert!(
        (share(3, "?") - 0.1).abs() < 0.08 && (share(2, "") - 0.11).abs() < 0.08,
        "{} {}",
        share(3, "?"),
        share(2, "")
    );
    // The species says what it weighs.
    place.file("holes.csv", "species,mass,eggs,ringed,site\ncrow,,3,1,north\n?,18.4,2,,south\n");
    let filled = cells(&place.ok("impute run --data holes.csv").stdout);
    assert!((filled[1][1].parse::<f64>().unwrap() - 480.5).abs() < 15.0, "{filled:?}");
    assert_eq!(filled[2][0], "tit");
    let scores = cells(&place.ok("score run --data holes.csv").stdout);
    assert!(scores[1..].iter().all(|row| row[0].parse::<f64>().unwrap().is_finite()), "{scores:?}");
    place.ok("audit run");
    place.refused("sample run --class tit", 1, &["class"]);
    // Known values are given, and other conditions are met.
    let some = place.ok("sample run -n 50 --where species=owl,mass>320.2,site!=north");
    assert!(some.stderr.contains("% of the draws met the conditions"), "{}", some.stderr);
    let rows = cells(&some.stdout);
    let like = |row: &Vec<String>| {
        row[4] == "owl" && row[3] == "south" && row[0].parse::<f64>().is_ok_and(|mass| mass > 320.2)
    };
    assert!(rows.len() == 51 && rows[1..].iter().all(like), "{rows:?}");
    let far = place.ok("sample run -n 2 --where eggs=90");
    assert!(
        far.stderr.contains("eggs = 90 lies beyond the training rows, which have 2 to 4"),
        "{}",
        far.stderr
    );
    place.refused("sample run --where height>3", 2, &["where", "there are mass, eggs"]);
    place.refused("sample run --where species>owl", 2, &["no order"]);
    place.file("whole.csv", table("a,b", &[0, 1], 60));
    place.ok("train tabular --data whole.csv --set train.epochs=2 --out numbers");
    place.refused("sample numbers --with-missing", 2, &["no rows that lack values"]);
}

/// Protects what was given: a file with holes comes back as it was written, but for the holes.
#[test]
fn what_was_given_comes_back_as_it_was_written() {
    let place = fitted();
    let file = |text: &str| {
        place.file("t.csv", text);
        place.ok("impute run --data t.csv").stdout
    };
    let text = "# from the lab\n,width,mass,speed\n1,2.50,5.05e1,0.1000\n2,+3.5,49.5,?\n3,NaN,051,-0\n";
    let filled = file(text);
    assert!(!filled.contains("NaN") && !filled.contains('?'), "{filled}");
    for line in ["# from the lab\n", ",width,mass,speed\n1,2.50,5.05e1,0.1000\n2,+3.5,49.5,", ",051,-0\n"] {
        assert!(filled.contains(line), "{filled}");
    }
    place.ok("impute run --data t.csv -o filled.csv");
    assert_eq!(place.text("filled.csv"), filled);
    // Tabs, and from standard input into the file itself.
    assert!(file("speed\tmass\twidth\n0.10\t50\t\n").starts_with("speed\tmass\twidth\n0.10\t50\t"));
    // Classes that are unknown, or not there, are no reason to lose the column.
    let mut text =
        table("speed,mass,width", &[0, 1, 2], 60).replace('\n', ",a\n").replace("width,a", "width,class");
    text = text.replacen(",a\n", ",b\n", 20);
    place.file("classed.csv", &text);
    place.ok("train gmm --data classed.csv --set components=1 --set restarts=1 --out classed");
    for class in ["c", "", "b"] {
        place.file("new.csv", format!("class,mass,width,speed\n{class},50,,0.10\na,50,,0.20\n"));
        let filled = place.ok("impute classed --data new.csv").stdout;
        let lines: Vec<&str> = filled.lines().collect();
        assert!(lines[1].starts_with(&format!("{class},50,")) && lines[1].ends_with(",0.10"), "{filled}");
    }
    place.file("new.csv", "class,mass,width,speed\n,50,3,0.1\n");
    let said = place.ok("score classed --data new.csv").stderr;
    assert!(said.contains("line 2 has no \"class\""), "{said}");
    place.ok("score classed --data classed.csv --label none");
}

/// Protects rows without names from being taken apart: what is as wide as the features has no class in it.
#[test]
fn rows_without_names_need_no_class() {
    let place = Place::new();
    let classed: String =
        rows(60).iter().enumerate().map(|(i, r)| format!("{},{:.3},{:.3}\n", i % 2, r[0], r[1])).collect();
    place.file("classed.csv", &classed);
    place.ok("train gmm --data classed.csv --label 0 --set components=1 --set restarts=1 --out run");
    let scores = |file: &str, text: &str| {
        place.file(file, text);
        place.ok(&format!("score run --data {file}")).stdout
    };
    let bare: String = classed.lines().map(|l| format!("{}\n", l.split_once(',').unwrap().1)).collect();
    assert_eq!(scores("bare.csv", &bare), scores("same.csv", &classed));
}

/// Protects a run from going on with other columns than it began with: their values alone would not tell.
#[test]
fn names_belong_to_a_run() {
    let place = fitted();
    let text = table("speed,mass,width", &[0, 1, 2], 60);
    place.ok("train --resume --out run");
    place.file("train.csv", text.replace("speed,mass", "mass,speed"));
    place.refused("train --resume --out run", 1, &["other names"]);
}

/// Protects numbers from two origins: rows that are read anew are counted from that of the model.
#[test]
fn origins_are_those_of_the_model() {
    let place = Place::new();
    let times = |from: i64| -> String {
        let row = |i: i64| format!("{},{:.3}\n", from + 37 * i + (i * i) % 11, (i as f64 * 0.7).sin());
        format!("t,v\n{}", (0..80).map(row).collect::<String>())
    };
    place.file("t.csv", times(1_700_000_000));
    place.ok("train gmm --data t.csv --set components=1 --set restarts=1 --out run");
    assert!(place.text("run/report.html").contains("t − 17000"), "headings say what was subtracted");
    let all = place.ok("score run --data t.csv").stdout;
    for (i, line) in times(1_700_000_000).lines().skip(1).enumerate().take(3) {
        place.file("one.csv", format!("t,v\n{line}\n"));
        assert_eq!(place.ok("score run --data one.csv").stdout.trim(), all.lines().nth(i).unwrap());
    }
}

/// Protects from looking for a row by counting: what is remarkable is named by its line, and what scores of such columns are worth is
/// said wherever they are.
#[test]
fn rows_are_named_by_their_lines() {
    let place = Place::new();
    let mut text = "# remarks\nspeed,mass,even\n".to_owned();
    for (i, row) in rows(100).iter().enumerate() {
        let speed = if i == 41 { 1e7 } else { row[0] };
        writeln!(text, "{speed},{:.4},{}", row[1], 0.5 * (i % 2) as f64).unwrap();
    }
    place.file("t.csv", &text);
    let set = "--set components=1 --set restarts=1";
    place.ok(&format!("train gmm --data t.csv --split 0.5/0.1/0.4 --out run {set}"));
    let exhibits = place.text("run/report.html");
    assert!(exhibits.contains("In the file, the most likely are in the lines"), "lines are named");
    for command in ["evaluate", "score"] {
        let out = place.ok(&format!("{command} run --data t.csv"));
        assert!((out.stdout + &out.stderr).contains("not comparable: values repeat in even"));
    }
    place.ok(&format!("train gmm --data t.csv --out all {set}"));
    let warnings = place.json("evaluate all --data t.csv --json");
    assert!(warnings["scores"][0]["protocol"].as_str().unwrap().contains("not comparable"));
    let summary: serde_json::Value = serde_json::from_str(&place.text("all/summary.json")).unwrap();
    assert!(
        summary["warnings"].to_string().contains("is 10000000 in line 44 of the training rows"),
        "{summary}"
    );
}
