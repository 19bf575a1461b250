//! Tables as people have them, cell by cell: dates and units come back, a value is told from the others, what is odd is found, and synthetic
//! rows are judged.

use crate::program::Place;

/// Orders: a date, a price, whether it is express, a region that decides the price, and a number of the order.
fn orders(n: usize) -> String {
    let mut text = "order_id,when,price,express,region\n".to_owned();
    // Columns that know nothing of one another, but for region and price.
    let chance = |i: usize, salt: u64| {
        let mixed =
            (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ salt.wrapping_mul(0xbf58_476d_1ce4_e5b9));
        (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40
    };
    for i in 0..n {
        let place = (chance(i, 1) % 3) as usize;
        let region = ["north", "south", "east"][place];
        let price = [20.0, 60.0, 100.0][place] + (chance(i, 2) % 9) as f64 * 0.25;
        let express = if chance(i, 3) % 4 == 0 { "yes" } else { "no" };
        let hole = if i % 15 == 0 { String::new() } else { format!("${price:.2}") };
        text +=
            &format!("{},{:02}.{:02}.2024,{hole},{express},{region}\n", 9000 + i * 3, 1 + i % 28, 1 + i % 12);
    }
    text
}

fn trained() -> Place {
    let place = Place::new();
    place.file("orders.csv", orders(240));
    let said = place.ok("train mixed-mixture --data orders.csv --set components=6 --set cells=8 --out run");
    assert!(said.stderr.contains("\"order_id\" numbers the rows"), "{}", said.stderr);
    place
}

fn cells(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|l| l.split(',').map(str::to_owned).collect()).collect()
}

/// Protects what a table means: dates, money and truths come in, and come out as they came.
#[test]
fn values_come_back_in_their_form() {
    let place = trained();
    let info = place.ok("data info orders.csv").stdout;
    for part in ["date %d.%m.%Y", "$1234.00", "no or yes", "3 categories", "left out"] {
        assert!(info.contains(part), "{part}: {info}");
    }
    let drawn = cells(&place.ok("sample run -n 30").stdout);
    assert_eq!(drawn[0].join(","), "when,price,express,region");
    for row in &drawn[1..] {
        let date: Vec<&str> = row[0].split('.').collect();
        assert!(date.len() == 3 && date[2] == "2024" && date[0].len() == 2, "{row:?}");
        let price = row[1].strip_prefix('$').and_then(|p| p.split_once('.'));
        assert!(price.is_some_and(|(_, cents)| cents.len() == 2), "{row:?}");
        assert!(["yes", "no"].contains(&row[2].as_str()), "{row:?}");
    }
    let late = cells(&place.ok("sample run -n 20 --where when>=01.07.2024,express=yes").stdout);
    for row in &late[1..] {
        let month: u32 = row[0].split('.').nth(1).unwrap().parse().unwrap();
        assert!(month >= 7 && row[2] == "yes", "{row:?}");
    }
    place.refused("sample run --where when>2024-07-01", 2, &["when", "%d.%m.%Y"]);
    // Another form of dates is another file's; a number is none.
    place.file("other.csv", "when,price,express,region\n2024-03-01,$20.50,no,north\n");
    place.ok("score run --data other.csv");
    place.file("wrong.csv", "when,price,express,region\n45000,$20.50,no,north\n");
    place.refused("score run --data wrong.csv", 1, &["column \"when\"", "plain numbers", "write it alike"]);
}

/// Protects what columns are said to be: a file beside the table, and the command line over it.
#[test]
fn kinds_are_said() {
    let place = Place::new();
    place.file("orders.csv", orders(60));
    place.ok("data schema orders.csv");
    let text = place.text("orders.schema.toml");
    assert!(text.contains("order_id = \"skip\"") && text.contains("price = \"real\""), "{text}");
    place.refused("data schema orders.csv", 1, &["orders.schema.toml", "already"]);
    place.file("orders.schema.toml", text.replace("order_id = \"skip\"", "order_id = \"category\""));
    let info = place.ok("data info orders.csv");
    assert!(
        info.stdout.contains("60 categories") && info.stderr.contains("orders.schema.toml"),
        "{}",
        info.stdout
    );
    let info = place.ok("data info orders.csv --kinds order_id=integer,region=east<south<north").stdout;
    assert!(info.contains("east < south < north") && info.contains("whole 9000..9177"), "{info}");
    place.refused("data info orders.csv --kinds regoin=skip", 2, &["regoin", "did you mean region"]);
    place.refused("data info orders.csv --kinds region=colour", 2, &["colour", "no kind of column"]);
}

/// Protects predictions: the column need not be there, probabilities sum to one, and what is known of the region tells the price.
#[test]
fn columns_are_predicted_from_the_others() {
    let place = trained();
    let said = place.ok("predict run --data orders.csv --column region");
    assert!(said.stderr.contains("right in") && said.stderr.contains("mean surprise"), "{}", said.stderr);
    place.file("new.csv", "when,price,express\n03.05.2024,$100.50,no\n03.05.2024,$20.25,no\n");
    let found = cells(&place.ok("predict run --data new.csv --column region").stdout);
    assert_eq!(found[0].join(","), "east,north,south");
    let p: Vec<Vec<f64>> =
        found[1..].iter().map(|r| r.iter().map(|v| v.parse().unwrap()).collect()).collect();
    assert!(p.iter().all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-5), "{p:?}");
    assert!(p[0][0] > 0.8 && p[1][1] > 0.8, "{p:?}");
    place.file("prices.csv", "when,express,region\n03.05.2024,no,east\n03.05.2024,no,north\n");
    let found = cells(&place.ok("predict run --data prices.csv --column price").stdout);
    assert_eq!(found[0].join(","), "mean,5 %,median,95 %");
    let money = |cell: &str| cell.strip_prefix('$').unwrap().parse::<f64>().unwrap();
    assert!(
        (money(&found[1][0]) - 101.0).abs() < 6.0 && (money(&found[2][0]) - 21.0).abs() < 6.0,
        "{found:?}"
    );
    assert!(
        money(&found[1][1]) <= money(&found[1][2]) && money(&found[1][2]) <= money(&found[1][3]),
        "{found:?}"
    );
    place.refused("predict run --data new.csv --column regoin", 2, &["regoin", "did you mean region"]);
}

/// Protects the search for errors: the cell that does not fit its row is the oddest, and not the row's others.
#[test]
fn odd_cells_are_found() {
    let place = trained();
    let mut text = orders(100).lines().take(60).map(|l| format!("{l}\n")).collect::<String>();
    text += "9999,03.05.2024,$21.00,no,east\n";
    place.file("odd.csv", &text);
    let said = place.ok("score run --data odd.csv --cells -o cells.csv");
    let first = said.stderr.lines().skip_while(|l| !l.contains("oddest")).nth(1).unwrap();
    assert!(
        first.contains("line 61") && (first.contains("price") || first.contains("region")),
        "{}",
        said.stderr
    );
    let rows = cells(&place.text("cells.csv"));
    assert_eq!((rows.len(), rows[0].join(",").as_str()), (61, "when,price,express,region"));
    // A cell without a value has no score.
    assert!(rows[1][1].is_empty() && rows[2][1].parse::<f64>().unwrap().is_finite(), "{rows:?}");
}

/// Protects multiple imputation and balance: tables differ in what was missing only; every value comes as often.
#[test]
fn tables_are_filled_again_and_values_balanced() {
    let place = trained();
    place.ok("impute run --data orders.csv -o full.csv --tables 3");
    let all: Vec<Vec<Vec<String>>> = (1..=3).map(|k| cells(&place.text(&format!("full-{k}.csv")))).collect();
    let own = cells(&orders(240));
    let mut apart = 0;
    for (r, row) in own.iter().enumerate() {
        for (c, cell) in row.iter().enumerate() {
            let drawn: Vec<&String> = all.iter().map(|t| &t[r][c]).collect();
            match cell.is_empty() {
                true => apart += usize::from(drawn[0] != drawn[1] || drawn[1] != drawn[2]),
                false => assert!(drawn.iter().all(|d| *d == cell), "{row:?} {drawn:?}"),
            }
        }
    }
    assert!(apart > 10, "{apart}");
    let even = cells(&place.ok("sample run -n 90 --balance region").stdout);
    for region in ["north", "south", "east"] {
        assert_eq!(even.iter().filter(|row| row[3] == region).count(), 30);
    }
    place.refused("sample run -n 9 --balance price", 2, &["price", "column of few values"]);
}

/// Protects from synthetic tables that are wrong without a word: the worst column comes first, and holes, ranges and copies are said.
#[test]
fn synthetic_tables_are_judged() {
    let place = Place::new();
    let text = orders(400);
    let lines: Vec<&str> = text.lines().collect();
    let part = |rows: &[&str]| format!("{}\n{}\n", lines[0], rows.join("\n"));
    place.file("real.csv", part(&lines[1..200]));
    place.file("others.csv", part(&lines[200..400]));
    // Copies, but for a region that is always the same.
    let copies: Vec<String> =
        lines[1..200].iter().map(|l| format!("{},east", l.rsplit_once(',').unwrap().0)).collect();
    let copies: Vec<&str> = copies.iter().map(String::as_str).collect();
    place.file("made.csv", part(&copies));
    let words = "report --real real.csv --held-out others.csv --synthetic made.csv -o quality.html";
    let said = place.ok(words);
    let page = place.text("quality.html");
    for part in [
        "Quality of synthetic rows",
        "Columns",
        "Pairs of columns",
        "Validity",
        "Missing values",
        "not a guarantee of privacy",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let at = |name: &str| page.find(&format!("<th scope=\"row\">{name}</th>")).unwrap();
    assert!(at("region") < at("express"), "the worst column comes first");
    let figure = |name: &str| -> f64 {
        let line = said
            .stdout
            .lines()
            .find(|l| l.starts_with(name))
            .unwrap_or_else(|| panic!("{name}: {}", said.stdout));
        line[name.len()..].split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!(figure("quality") < 0.95 && figure("valid cells") == 1.0, "{}", said.stdout);
    let json = place.json(&format!("{words} --json"));
    assert_eq!(json["figures"][0]["name"], "quality");
    place.refused("report --synthetic made.csv", 2, &["--real"]);
}
