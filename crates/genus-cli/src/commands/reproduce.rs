//! `genus reproduce`.

use super::Context;
use crate::output;
use crate::progress::{self, Progress};
use anyhow::{Context as _, Result};
use genus::recipe::{self, How, Verdict};
use genus::study::{self, Study};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The recipes.
pub fn list(cx: &Context) -> Result<()> {
    let mut rows = Vec::new();
    let mut all = Vec::new();
    for name in recipe::names() {
        let r = recipe::find(name)?;
        rows.push(vec![
            name.to_owned(),
            format!("{:?}", r.tier).to_lowercase(),
            format!("{} min", r.budget_minutes),
            r.data.clone(),
            r.about.clone(),
        ]);
        all.push(serde_json::json!({ "name": name, "recipe": r }));
    }
    for name in study::names() {
        let Some(s) = study::find(name)? else { continue };
        let tier = format!("{:?}", s.tier).to_lowercase();
        rows.push(vec![
            name.to_owned(),
            tier,
            format!("{} min", s.budget_minutes),
            s.data.clone(),
            s.about.clone(),
        ]);
        all.push(serde_json::json!({ "name": name, "study": s }));
    }
    if cx.json {
        return output::json(&all);
    }
    output::table(&["recipe", "tier", "budget", "data", "what"], &rows);
    Ok(())
}

/// Trains, evaluates, compares, records.
pub fn run(
    cx: &Context,
    name: &str,
    out: Option<PathBuf>,
    resume: bool,
    plumbing: bool,
    record: &Path,
) -> Result<ExitCode> {
    if let Some(study) = study::find(name)? {
        return answer(cx, name, &study, out, resume, plumbing, record);
    }
    let r = recipe::find(name)?;
    let set = r.load(cx.data_dir.as_deref(), plumbing)?;
    let stop = progress::stop(None)?;
    let given = out.is_some();
    let out = out.unwrap_or_else(|| PathBuf::from("runs").join(name));
    // A record that cannot be written is found before the hours of work, not after.
    let mut log = (!plumbing).then(|| open_record(record)).transpose()?;
    let how = How { resume, plumbing, versions: super::versions() };
    let mut verdicts: Vec<Verdict> = Vec::new();
    for expect in r.runs() {
        let folder = match expect.first() {
            Some(e) if !e.variant.is_empty() => out.join(e.variant.replace([' ', '='], "-")),
            _ => out.clone(),
        };
        let mut observer = Progress::new();
        let (found, outcome) = stop.during(|| r.run(name, expect, &set, folder, &how, &mut observer))?;
        drop(observer);
        genus_report::write(&outcome.run)?;
        let Some(found) = found else {
            let place = if given { format!(" --out {}", out.display()) } else { String::new() };
            output::note(format!("interrupted; go on with: genus reproduce {name} --resume{place}"));
            return Ok(ExitCode::from(crate::INTERRUPTED));
        };
        if let Some(log) = &mut log {
            for verdict in &found {
                writeln!(log, "{}", markdown(verdict))
                    .with_context(|| format!("cannot write {}", record.display()))?;
            }
        }
        verdicts.extend(found);
    }
    if cx.json {
        output::json(&verdicts)?;
    } else {
        let rows: Vec<Vec<String>> = verdicts
            .iter()
            .map(|v| {
                let stderr = v.stderr.map_or(String::new(), |e| format!(" ± {e:.4}"));
                vec![
                    word(v).into(),
                    v.name.clone(),
                    figure(v),
                    v.expected.clone(),
                    format!("{:.4}{stderr}", v.reached),
                    format!("{:.0} s", v.seconds),
                ]
            })
            .collect();
        output::table(&["verdict", "recipe", "figure", "expected", "reached", "time"], &rows);
        if plumbing {
            output::note("plumbing only: nothing was recorded, and the figures mean nothing");
        }
    }
    let ok = plumbing || verdicts.iter().all(|v| v.ok);
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does a study, and says what was found.
fn answer(
    cx: &Context,
    name: &str,
    study: &Study,
    out: Option<PathBuf>,
    resume: bool,
    plumbing: bool,
    record: &Path,
) -> Result<ExitCode> {
    let set = study.load(cx.data_dir.as_deref(), plumbing)?;
    let place = out.as_ref().map_or(String::new(), |out| format!(" --out {}", out.display()));
    let out = out.unwrap_or_else(|| PathBuf::from("runs").join(name));
    let mut log = (!plumbing).then(|| open_record(record)).transpose()?;
    let how = How { resume, plumbing, versions: super::versions() };
    let mut observer = Progress::new();
    let found = progress::stop(None)?.during(|| study.run(name, &set, out.clone(), &how, &mut observer));
    drop(observer);
    let answer = match found {
        Err(genus::Error::Stopped(_)) => {
            let tiny = if plumbing { " --plumbing" } else { "" };
            output::note(format!("interrupted; go on with: genus reproduce {name} --resume{tiny}{place}"));
            return Ok(ExitCode::from(crate::INTERRUPTED));
        }
        other => other?,
    };
    let report = genus_report::write(&genus::run::RunDir::open(&out)?)?;
    let reached = answer.gained.is_none_or(|(gained, asked)| gained.mean >= asked);
    if let Some(log) = &mut log {
        let (expected, value, word) = match &answer.gained {
            Some((m, asked)) => {
                let word = if reached { "reached" } else { "missed" };
                (format!("≥ {asked}"), format!("{:.2} ± {:.2}", m.mean, m.half), word)
            }
            None => ("stated".into(), answer.found.join(" "), "stated"),
        };
        writeln!(
            log,
            "| {} | {name} | points gained | {expected} | {value} | {word} | {:.0} | {} | {} |",
            today(),
            answer.seconds,
            genus::session::machine(),
            env!("GENUS_COMMIT")
        )
        .with_context(|| format!("cannot write {}", record.display()))?;
    }
    if cx.json {
        output::json(&answer)?;
    } else {
        let mut sizes: Vec<usize> = answer.means.iter().map(|m| m.1).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let mut curves: Vec<&str> = answer.means.iter().map(|m| m.0.as_str()).collect();
        curves.dedup();
        let cell = |curve: &str, size: usize| {
            let found = answer.means.iter().find(|m| m.0 == curve && m.1 == size);
            found.map_or("–".into(), |(_, _, m)| format!("{:.1} ± {:.1}", 100.0 * m.mean, 100.0 * m.half))
        };
        let row = |curve: &&str| {
            std::iter::once((*curve).to_owned()).chain(sizes.iter().map(|n| cell(curve, *n))).collect()
        };
        let rows: Vec<Vec<String>> = curves.iter().map(row).collect();
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        let head: Vec<&str> =
            std::iter::once("accuracy, %").chain(sizes.iter().map(String::as_str)).collect();
        output::table(&head, &rows);
        output::line("");
        answer.found.iter().for_each(output::line);
        answer.warnings.iter().for_each(|w| output::note(format!("warning: {w}")));
        output::line(format!("\nreport  {}", report.display()));
    }
    Ok(if plumbing || reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn word(v: &Verdict) -> &'static str {
    match (v.stated, v.ok) {
        (true, _) => "stated",
        (_, true) => "reached",
        (_, false) => "missed",
    }
}

fn figure(v: &Verdict) -> String {
    serde_json::to_value(v.figure).ok().and_then(|f| Some(f.as_str()?.to_owned())).unwrap_or_default()
}

fn open_record(path: &Path) -> Result<std::fs::File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let new = !path.exists();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    if new {
        writeln!(file, "# Reproduction\n\n{HEADER}")?;
    }
    Ok(file)
}

const HEADER: &str = "| date | recipe | figure | expected | reached | verdict | seconds | machine | commit |\n|---|---|---|---|---|---|---|---|---|";

fn markdown(v: &Verdict) -> String {
    let stderr = v.stderr.map_or(String::new(), |e| format!(" ± {e:.4}"));
    format!(
        "| {} | {} | {} | {} | {:.4}{stderr} | {} | {:.0} | {} | {} |",
        today(),
        v.name,
        figure(v),
        v.expected,
        v.reached,
        word(v),
        v.seconds,
        genus::session::machine(),
        env!("GENUS_COMMIT")
    )
}

/// Today's date in UTC, year-month-day (Hinnant's civil-from-days).
fn today() -> String {
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let z = (seconds / 86_400) as i64 + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    format!("{:04}-{m:02}-{d:02}", yoe + era * 400 + i64::from(m <= 2))
}
