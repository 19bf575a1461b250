//! Reports of fabricated run folders.

use super::*;
use genus_core::panel::Cell::{Share, Text};
use genus_core::panel::{Frame, Named, Notes, Shade};
use genus_core::run::{AuditRow, Score, Summary, TimedEvent, append_event};
use genus_core::{Event, Evidence, Exhibit, Figure, Measure, Panel, Provenance, SplitName, State, Tensor};
use std::collections::BTreeMap;
use std::fs;

/// Where a name from data tries to be markup.
const EVIL: &str = "<script>alert('x')</script>";

const CONFIG: &str = "format = 3\ngenus = \"0.1.0\"\nmodel = \"thing\"\nseed = 7\n\n[data]\n\
                      source = \"digits\"\nsplit = \"\"\nsha256 = \"\"\n\n[config]\nnote = \"a < b & c\"\n";

/// Numbers that look random and are the same every time.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / 16_777_216.0
    };
    // A sum of uniforms is near enough to a normal.
    (0..n).map(|_| (0..12).map(|_| next()).sum::<f32>() - 6.0).collect()
}

fn wide(n: usize, seed: u32, centre: f64, spread: f64) -> Vec<f64> {
    noise(n, seed).into_iter().map(|v| centre + spread * f64::from(v)).collect()
}

fn score(split: SplitName, nats: f64, evidence: Evidence) -> Score {
    Score {
        split,
        rows: 10_000,
        nats,
        stderr: Some(0.1234),
        independent: None,
        uniform: None,
        bits_per_dim: Some(0.1589),
        evidence,
        measure: Measure::Counting,
        protocol: "fixed binarisation".into(),
    }
}

fn summary(shape: &[usize], top: f32) -> Summary {
    Summary {
        model: "thing".into(),
        title: "Thing Machine".into(),
        taxonomy: vec!["explicit density".into(), "markov_chain".into()],
        references: vec!["A. Author & B. Author, On Things, 2014, https://example.org/things".into()],
        capabilities: vec!["score".into(), "sample".into()],
        domain: "binary 8×8×1".into(),
        shape: shape.to_vec(),
        top,
        range: Some((-3.0, 3.0)),
        categories: Vec::new(),
        columns: Vec::new(),
        transform: String::new(),
        doubts: String::new(),
        given: Vec::new(),
        classes: vec!["zero".into(), EVIL.into(), "two".into()],
        data: Provenance {
            name: "digits".into(),
            splits: "as published".into(),
            entropy: Some(80.0),
            ..Provenance::default()
        },
        rows: vec![(SplitName::Train, 50_000), (SplitName::Test, 10_000)],
        scores: vec![
            score(SplitName::Test, -86.337_12, Evidence::EXACT),
            score(SplitName::Train, -84.1, Evidence::EXACT),
            score(SplitName::Test, -88.0, Evidence::LOWER_BOUND),
        ],
        figures: vec![Figure::new("active units", 23.0, "of 50"), Figure::new("kl", 12.345_678, "nats")],
        audit: vec![
            AuditRow {
                check: "sums to one".into(),
                subject: "tiny twin".into(),
                passed: true,
                figure: "1 ± 1e-6".into(),
            },
            AuditRow {
                check: "save and load".into(),
                subject: "trained".into(),
                passed: false,
                figure: "off by 0.3".into(),
            },
        ],
        warnings: vec![format!("{EVIL} did not converge; raise `epochs`")],
        parameters: 123_456,
        steps: 5000,
        stopped: "early_stopping".into(),
        seconds: vec![("train".into(), 75.0), ("evaluate".into(), 25.0)],
        machine: "two cores".into(),
        versions: vec![("genus".into(), "0.1.0".into())],
    }
}

fn array(n: usize, d: usize, seed: u32) -> Tensor {
    Tensor::f32(&[n, d], noise(n * d, seed))
}

fn rows(title: &str, n: usize, d: usize, seed: u32) -> Panel {
    sets(title, vec![Named::new(title, array(n, d, seed))], None)
}

fn sets(title: &str, sets: Vec<Named>, notes: Option<Notes>) -> Panel {
    let each = "Class".into();
    Panel::Rows { title: title.into(), each, sets, per_line: None, notes, shade: Shade::Data }
}

fn pairs(names: [&str; 2], n: usize, d: usize, notes: Option<Notes>) -> Panel {
    let [upper, lower] =
        [(names[0], 3), (names[1], 5)].map(|(name, seed)| Named::new(name, array(n, d, seed)));
    Panel::Pairs { upper, lower, notes }
}

fn notes(label: &str, values: &[f64]) -> Option<Notes> {
    Some(Notes { label: label.into(), values: values.to_vec().into() })
}

fn plane(title: &str, groups: Vec<Named>, frame: Option<Frame>) -> Panel {
    Panel::Cloud { title: title.into(), axes: ["one".into(), "two".into()], frame, groups, colour: 1 }
}

const FRAME: Frame = [(-3.2, 3.2), (-3.2, 3.2)];

/// Something of every kind for rows of so many values.
fn exhibits(d: usize) -> Vec<Exhibit> {
    let bars = |title: &str, large| Panel::Bars {
        title: title.into(),
        unit: "nats".into(),
        sets: vec![
            Named::new("test", wide(400, 8, -86.0, 9.0)),
            Named::new("train", wide(800, 9, -84.0, 8.0)),
        ],
        large,
        note: String::new(),
    };
    let samples = match d {
        2 => {
            let at = |i: usize| (i as f64 - 31.5) / 10.0;
            let grid = (0..64 * 64).map(|i| -0.5 * (at(i / 64).powi(2) + at(i % 64).powi(2))).collect();
            let cloud =
                |title: &str, seed| plane(title, vec![Named::new(title, array(300, 2, seed))], Some(FRAME));
            let heat = Panel::Heat {
                title: "Log-density".into(),
                axes: ["one".into(), "two".into()],
                frame: FRAME,
                values: Tensor::f64(&[64, 64], grid),
                depth: 10.0,
                unit: "nats".into(),
            };
            vec![cloud("Samples", 1), cloud("Real rows", 2), heat]
        }
        _ => vec![rows("Samples", 300, d, 1), rows("Real rows", 300, d, 2), bars("income", false)],
    };
    let classes = vec![Named::new("zero", array(5, d, 12)), Named::new(EVIL, array(5, d, 13))];
    let distances = notes("Distance", &[1.25, 2.5, 3.0, 4.0, 5.0, 6.0]);
    let codes = [0, 1, 2].map(|c| Named::new(format!("class {c}"), array(30, 2, 7 + c))).to_vec();
    let ends = |title: &str, value: f64| {
        sets(title, vec![Named::new(title, array(5, d, 10))], notes("Nats", &[value; 5]))
    };
    let paths = Panel::Paths {
        title: String::new(),
        caption: String::new(),
        paths: Tensor::f32(&[3, 9, d], noise(27 * d, 6)),
        through: (d == 2).then(|| array(100, 2, 2)),
    };
    let one = |name: &str, text: &str, panels| Exhibit::new(name, name, text, panels);
    vec![
        one("samples", "", samples),
        one("classes", "", vec![sets("Draws of each class", classes, None)]),
        one("neighbours", "", vec![pairs(["sample", "nearest training row"], 6, d, distances)]),
        one("reconstructions", "", vec![pairs(["input", "reconstruction"], 5, d, None)]),
        one("interpolations", "", vec![paths]),
        one("latent", "PCA of the mean code, 61 % of its variance", vec![plane("", codes, None)]),
        one("histogram", "", vec![bars("Log-probability", true)]),
        one("extremes", "", vec![ends("Most likely", -31.5), ends("Least likely", -231.5)]),
    ]
}

/// What a model of images that draws in an order adds.
fn ordered(side: usize, order: Vec<u64>, marked: usize) -> Vec<Exhibit> {
    let d = side * side;
    let film = Panel::Film {
        rows: Tensor::f32(&[4, d], (0..4 * d).map(|i| f32::from(u8::from(i % 3 == 0))).collect()),
        order: Tensor::u64(&[order.len()], order),
        levels: 2,
    };
    let map: Vec<f64> = (0..d).map(|p| if p < 15 { 1e-3 } else { 0.0 }).collect();
    let pixels = Panel::Pixels {
        maps: vec![Named::new("Row 3, column 5", map)],
        marked: vec![marked],
        notes: vec!["15 pixels".into()],
        unit: "change of probabilities".into(),
    };
    let mut half = noise(6 * d, 21);
    half[..d].fill(f32::NAN);
    let halves = Named::new("completions", Tensor::f32(&[6, d], half));
    let completions = Panel::Rows {
        title: String::new(),
        each: String::new(),
        sets: vec![halves],
        per_line: Some(3),
        notes: None,
        shade: Shade::Data,
    };
    vec![
        Exhibit::new("drawing", "Drawing", "", vec![film]),
        Exhibit::new("completions", "Completions", "drawn from the model's conditional.", vec![completions]),
        Exhibit::new("receptive", "What a pixel depends on", "", vec![pixels]),
    ]
}

fn epochs() -> Vec<Event> {
    let parts = |loss: f64| {
        BTreeMap::from([
            ("loss".into(), loss),
            ("kl".into(), loss / 5.0),
            ("reconstruction".into(), loss * 0.8),
        ])
    };
    (1..=20u32)
        .map(|i| {
            let (x, best) = (f64::from(i), i <= 14);
            let valid = parts(89.0 + 40.0 / x + 0.02 * (x - 14.0).max(0.0).powi(2));
            Event::Epoch {
                epoch: u64::from(i),
                step: u64::from(i) * 250,
                train: parts(86.0 + 45.0 / x),
                valid,
                best,
            }
        })
        .collect()
}

/// A folder that holds this; what is `None` is not written.
fn folder(
    summary: Option<&Summary>,
    exhibits: Option<Vec<Exhibit>>,
    events: &[Event],
) -> (tempfile::TempDir, RunDir) {
    let dir = tempfile::tempdir().unwrap();
    let (run, _lock) = RunDir::create(dir.path()).unwrap();
    fs::write(run.config_path(), CONFIG).unwrap();
    if let Some(summary) = summary {
        run.write_summary(summary).unwrap();
    }
    if let Some(exhibits) = exhibits {
        run.write_exhibits(exhibits).unwrap();
    }
    let mut log = run.event_log().unwrap();
    for event in events {
        append_event(&mut log, &run.events_path(), &TimedEvent { t: 0.0, event: event.clone() }).unwrap();
    }
    (dir, run)
}

/// Anchors of all sections with material for everything.
const SECTIONS: [&str; 14] = [
    "scores",
    "learning",
    "samples",
    "classes",
    "neighbours",
    "reconstructions",
    "interpolations",
    "latent",
    "histogram",
    "extremes",
    "audit",
    "figures",
    "warnings",
    "configuration",
];

/// Whatever a browser would load, run or send by itself.
fn assert_self_contained(html: &str) {
    for bad in
        ["src=\"http", "href=\"http", "url(", "@import", "<script", "<link", "<iframe", "<object", "<form"]
    {
        assert!(!html.contains(bad), "{bad}");
    }
    for attribute in ["src=\"", "srcset=\"", "href=\""] {
        for part in html.split(attribute).skip(1) {
            assert!(part.starts_with("data:image/png;base64,") || part.starts_with('#'), "{}", &part[..40]);
        }
    }
    let policy = "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"";
    assert!(html.contains(policy));
}

fn assert_sections(html: &str, wanted: &[&str]) {
    let found: Vec<&str> =
        html.split("<section id=\"").skip(1).map(|part| part.split('"').next().unwrap()).collect();
    assert_eq!(found, wanted);
    for name in wanted {
        assert!(html.contains(&format!("href=\"#{name}\"")), "{name}");
    }
}

#[test]
fn images_with_everything() {
    let (_dir, run) = folder(Some(&summary(&[8, 8, 1], 1.0)), Some(exhibits(64)), &epochs());
    let html = render(&run).unwrap();
    assert_self_contained(&html);
    assert_sections(&html, &SECTIONS);
    for text in [
        "Thing Machine",
        "\u{2212}86.34 ± 0.12",
        "≥ \u{2212}88.00 ± 0.12",
        "0.1589",
        "≤ 8.00",
        "10\u{202f}000",
        "markov chain",
        "counting measure",
        "fixed binarisation",
        "the best epoch is 14",
        ">1.25</figcaption>",
        "PCA of the mean code",
        "\u{2212}31.5</figcaption>",
        "\u{2212}231.5</figcaption>",
        "✓ passed",
        "✗ failed",
        "1 of 2 checks failed",
        "active units",
        "12.35",
        "seed = 7",
        "a &lt; b &amp; c",
        "123\u{202f}456",
        "1 min 15 s",
        "75.0 %",
        "early stopping",
        "two cores",
    ] {
        assert!(html.to_lowercase().contains(&text.to_lowercase()), "{text}");
    }
    assert_eq!(html.matches("<section ").count(), SECTIONS.len());
    // 2 grids, 2 classes, 6 neighbours, 5 reconstructions, 1 grid of paths, 5 + 5 rows.
    assert_eq!(html.matches("<img ").count(), 26);
    assert_eq!(html.matches("<img ").count(), html.matches(" alt=\"").count());
    assert_eq!(html.matches("<table>").count(), html.matches("<caption>").count());
    // Cells of many words carry their label into narrow windows; tables of numbers alone do not become lists.
    assert!(html.contains(r#"<div class="scroll stacked" role="region" aria-label="Lower bound""#));
    assert!(html.contains(r#"data-label="Measure">counting measure"#));
    assert!(html.contains(r#"<div class="scroll" role="region" aria-label="Figures"#));
}

#[test]
fn chains_and_filters() {
    let strip = Panel::Paths {
        title: "Consecutive states".into(),
        caption: String::new(),
        paths: Tensor::f32(&[2, 5, 64], noise(640, 30)),
        through: None,
    };
    let correlation = Panel::Lines {
        title: "How long a chain remembers".into(),
        axes: ["states apart".into(), "correlation".into()],
        lines: vec![Named::new("correlation", vec![(0.0, 1.0), (1.0, 0.5), (2.0, 0.2), (3.0, 0.04)])],
    };
    let shares = Panel::Table {
        title: "Classes".into(),
        head: vec!["Class".into(), "Share".into()],
        rows: vec![vec![Text(EVIL.into()), Share(0.25)], vec![Text("one".into()), Share(0.75)]],
    };
    let filters = Panel::Rows {
        title: "Receptive fields".into(),
        each: String::new(),
        sets: vec![Named::new("weights", array(9, 64, 31))],
        per_line: None,
        notes: None,
        shade: Shade::Signed,
    };
    let mut all = exhibits(64);
    all.push(Exhibit::new("chain", "The chain", "", vec![strip, correlation, shares]));
    all.push(Exhibit::new("filters", "What hidden units look at", "", vec![filters]));
    let (_dir, run) = folder(Some(&summary(&[8, 8, 1], 1.0)), Some(all), &epochs());
    let html = render(&run).unwrap();
    assert_self_contained(&html);
    for id in ["chain", "filters"] {
        assert!(html.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    assert!(html.contains("75.0 %") && html.contains("width:75.0%") && html.contains("Grey is 0"));
    assert_eq!(html.matches("<img ").count(), 28);
}

#[test]
fn images_drawn_in_an_order() {
    let mut all = exhibits(64);
    all.extend(ordered(8, (0..64).rev().collect(), 20));
    let (_dir, run) = folder(Some(&summary(&[8, 8, 1], 1.0)), Some(all), &epochs());
    let html = render(&run).unwrap();
    assert_self_contained(&html);
    for id in ["drawing", "completions", "receptive"] {
        assert_eq!(html.matches(&format!("<section id=\"{id}\"")).count(), 1, "{id}");
    }
    // A film, which stands still for who wants that; a grid; a pixel that sees 15 others.
    assert_eq!(html.matches("<img ").count(), 29);
    assert_eq!(html.matches("(prefers-reduced-motion: reduce)").count(), 1);
    assert!(html.contains("15 pixels</figcaption>") && html.contains("Row 3, column 5"));
    assert!(html.contains("drawn from the model&#x27;s conditional."), "the law is said");
    // An order or a pixel out of range is no material.
    let (_dir, run) = folder(Some(&summary(&[8, 8, 1], 1.0)), Some(ordered(8, vec![64], 64)), &epochs());
    let html = render(&run).unwrap();
    assert!(!html.contains("<section id=\"drawing\"") && !html.contains("<section id=\"receptive\""));
}

#[test]
fn unlike_kinds_of_evidence_have_tables_of_their_own() {
    let (_dir, run) = folder(Some(&summary(&[8, 8, 1], 1.0)), None, &[]);
    let html = render(&run).unwrap();
    let (exact, bound) =
        (html.find("<caption>Exact log-probability").unwrap(), html.find("<caption>Lower bound").unwrap());
    let (end, number) =
        (exact + html[exact..].find("</table>").unwrap(), html.rfind("\u{2212}88.00").unwrap());
    assert!(exact < end && end < bound && bound < number);
    assert!(html.contains("must not be ranked"));
    // The gap to the known entropy: 86.34 - 80.00 on test rows, none on training rows.
    assert!(html[exact..end].contains("6.34") && !html[exact..end].contains(">4.10<"));
}

#[test]
fn names_from_data_are_never_markup() {
    let mut summary = summary(&[3], 0.0);
    summary.title = EVIL.into();
    summary.columns = vec![EVIL.into(), "\" onload=\"x".into(), "c".into()];
    summary.data.name = EVIL.into();
    summary.audit[0].figure = EVIL.into();
    summary.taxonomy.push(EVIL.into());
    let mut exhibits = exhibits(3);
    exhibits[0].title = EVIL.into();
    exhibits[0].name = format!("a\"{EVIL}");
    exhibits[0].text = EVIL.into();
    let odd = BTreeMap::from([(EVIL.to_owned(), 1.0)]);
    let events = [Event::Epoch { epoch: 1, step: 1, train: odd.clone(), valid: odd, best: true }];
    let (_dir, run) = folder(Some(&summary), Some(exhibits), &events);
    let html = render(&run).unwrap();
    assert_self_contained(&html);
    assert!(html.contains("&lt;script&gt;alert(") && !html.contains("\" onload=\"x"));
}

#[test]
fn tables_show_rows_and_columns() {
    let mut summary = summary(&[3], 0.0);
    summary.columns = vec!["age".into(), "height".into(), "income".into()];
    let (_dir, run) = folder(Some(&summary), Some(exhibits(3)), &epochs());
    let html = render(&run).unwrap();
    assert_self_contained(&html);
    assert_sections(&html, &SECTIONS);
    assert!(!html.contains("<img "));
    assert!(html.contains("Histogram of income, test and train"));
    assert!(html.contains("<caption>Samples</caption>") && html.contains("<caption>Real rows</caption>"));
}

#[test]
fn planes_show_clouds_and_the_density() {
    let (_dir, run) = folder(Some(&summary(&[2], 0.0)), Some(exhibits(2)), &epochs());
    let html = render(&run).unwrap();
    assert_self_contained(&html);
    assert_sections(&html, &SECTIONS);
    assert!(html.contains("Samples: 300 points of the plane"));
    assert!(html.contains("<image href=\"data:image/png;base64,") && html.contains("linear-gradient("));
}

#[test]
fn missing_material_is_left_out() {
    let (_dir, run) = folder(Some(&Summary::default()), None, &[]);
    let html = render(&run).unwrap();
    assert_self_contained(&html);
    assert_sections(&html, &["configuration"]);
    assert!(html.contains("states no likelihood"));
    // Arrays of the wrong kind or extent are no material.
    let named = |tensor: Tensor| vec![Named::new("odd", tensor)];
    let doubles = || Tensor::f64(&[2, 2], vec![0.0; 4]);
    let odd = vec![
        sets("a", named(doubles()), None),
        sets("b", named(Tensor::f32(&[0, 2], vec![])), None),
        sets("c", vec![Named::new("x", array(1, 2, 0)), Named::new("y", array(1, 3, 0))], None),
        Panel::Pairs {
            upper: Named::new("u", array(1, 2, 0)),
            lower: Named::new("l", array(1, 3, 0)),
            notes: None,
        },
        Panel::Paths {
            title: String::new(),
            caption: String::new(),
            paths: Tensor::f32(&[4], vec![0.0; 4]),
            through: None,
        },
        Panel::Bars {
            title: String::new(),
            unit: String::new(),
            sets: named(Tensor::f64(&[2], vec![f64::NAN; 2])),
            large: true,
            note: String::new(),
        },
        plane("d", named(array(3, 3, 0)), None),
        plane("e", Vec::new(), None),
        Panel::Lines {
            title: String::new(),
            axes: [String::new(), String::new()],
            lines: named(array(3, 1, 0)),
        },
        Panel::Heat {
            title: String::new(),
            axes: [String::new(), String::new()],
            frame: [(0.0, 0.0), (0.0, 1.0)],
            values: doubles(),
            depth: 1.0,
            unit: String::new(),
        },
        Panel::Pixels { maps: named(array(1, 4, 0)), marked: vec![9], notes: vec![], unit: String::new() },
    ];
    let odd = vec![Exhibit::new("odd", "Odd", "", odd)];
    let (_dir, run) = folder(Some(&Summary::default()), Some(odd), &[]);
    assert_sections(&render(&run).unwrap(), &["configuration"]);
}

/// A list of exhibits of another layout is said, and the rest is shown.
#[test]
fn exhibits_of_another_version_are_said() {
    let (_dir, run) = folder(Some(&summary(&[2], 0.0)), None, &[]);
    let mut old = State::default();
    old.tensors.insert("samples".into(), array(2, 2, 0));
    old.save(&run.exhibits_path()).unwrap();
    let html = render(&run).unwrap();
    assert!(html.contains("are not shown: the exhibits of this run are of another version"), "{html}");
    assert!(html.contains("<section id=\"scores\""));
}

/// Rows of a table may be longer or shorter than its head, and a name may be that of a section.
#[test]
fn odd_tables_and_names_are_shown() {
    let rows = vec![vec![Text("a".into()), Share(0.5), Text("beyond".into())], vec![]];
    let table = Panel::Table { title: "Odd".into(), head: vec!["One".into(), "Two".into()], rows };
    let odd = vec![Exhibit::new("scores", "Odd", "", vec![table])];
    let (_dir, run) = folder(Some(&summary(&[2], 0.0)), Some(odd), &[]);
    let html = render(&run).unwrap();
    assert!(html.contains("50.0 %") && !html.contains("beyond"));
    assert!(html.contains("<section id=\"scores\"") && html.contains("<section id=\"scores-2\""));
}

#[test]
fn an_unfinished_run_shows_its_curves() {
    let (_dir, run) = folder(None, None, &epochs());
    let html = render(&run).unwrap();
    assert_sections(&html, &["learning", "configuration"]);
    assert!(html.contains("has not ended") && html.contains("digits"));
}

#[test]
fn a_report_is_written_beside_its_run_and_is_always_the_same() {
    let (_dir, run) = folder(Some(&summary(&[8, 8, 1], 1.0)), Some(exhibits(64)), &epochs());
    let path = write(&run).unwrap();
    assert_eq!(path, run.report_path());
    let first = fs::read_to_string(&path).unwrap();
    assert_eq!(first, render(&run).unwrap());
}

#[test]
fn scores_of_runs_are_one_table_if_they_may_be_compared() {
    let of = |summary: &Summary| folder(Some(summary), None, &[]);
    let one = summary(&[8, 8, 1], 1.0);
    let mut other = one.clone();
    other.scores[0].nats = -90.5;
    other.scores[0].stderr = None;
    let ((_a, a), (_b, b)) = (of(&one), of(&other));
    let markdown = table(&[a.clone(), b.clone()], Format::Markdown).unwrap();
    let lines: Vec<&str> = markdown.lines().collect();
    assert_eq!(
        lines[2],
        "| thing | digits | test | 10000 | \u{2212}86.34 ± 0.12 | 0.1589 | exact log-probability | fixed binarisation |"
    );
    assert!(lines[3].contains("| \u{2212}90.5") && lines[5].starts_with("counting measure"), "{markdown}");
    let latex = table(std::slice::from_ref(&a), Format::Latex).unwrap();
    assert!(latex.contains("thing & digits & test & 10000 & $-86.34 \\pm 0.12$ & $0.1589$ &"), "{latex}");
    let csv = table(std::slice::from_ref(&a), Format::Csv).unwrap();
    let line = csv.lines().nth(1).unwrap();
    assert!(
        line.starts_with("thing,digits,test,10000,-86.33712,0.1234,0.1589,exact log-probability,"),
        "{csv}"
    );

    // An estimator may differ, which the table says; bits that were made otherwise are other data.
    let mut one = one;
    one.scores[0].measure = Measure::Binarized;
    other.scores[0].measure = Measure::Binarized;
    other.scores[0].protocol = "500 importance samples".into();
    let ((_c, c), (_d, d)) = (of(&one), of(&other));
    assert!(table(&[c.clone(), d], Format::Csv).unwrap().contains("500 importance samples"));
    other.transform = "drawn, \"anew\"".into();
    let (_e, e) = of(&other);
    let refused = table(&[c.clone(), e], Format::Csv).unwrap_err().to_string();
    assert!(refused.contains("the way to bits differs, \"\" and \"drawn, \"anew\"\""), "{refused}");
    let refused = table(&[a, c], Format::Csv).unwrap_err().to_string();
    assert!(refused.contains("the measure differs"), "{refused}");
}
