//! Studies: questions about models that take many fits, answered by curves with intervals.
//!
//! A study is a TOML file of `studies/`, compiled in. Its folder is that of a run: `config.toml`, the numbers so far in `points.jsonl`, and, once it
//! has ended, a summary with exhibits and a report. One that was interrupted goes on with the numbers that it has.

mod few_data;
mod few_labels;
mod points;

use crate::recipe::{How, Tier, load};
use crate::run::{DataConfig, FORMAT, RunConfig, RunDir, Summary};
use crate::{
    Dataset, Error, Exhibit, Figure, Observer, Panel, Result, Size, Tensor, panel::Cell, panel::Named,
    registry, session,
};
use points::Points;
pub use points::{Mean, Point};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// What a classifier of codes, learned without labels, finds from few labels, beside one of the rows themselves.
    FewLabels,
    /// What a classifier of few rows gains by draws from models of these same rows.
    FewData,
}

/// How a model comes to draw rows of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classes {
    /// A model of each class.
    #[default]
    Apart,
    /// One model that is told the class.
    Together,
    /// One model of p(row | class).
    Given,
}

/// A model that takes part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contestant {
    /// What its curve is called.
    pub name: String,
    /// Registry name.
    pub model: String,
    /// Keys over the defaults that suit the data.
    #[serde(default)]
    pub config: toml::Table,
    /// How it comes to draw rows of a class, where that is asked for.
    #[serde(default)]
    pub classes: Classes,
    /// Assignments that make its fit tiny, for plumbing only.
    #[serde(default)]
    pub plumbing: Vec<String>,
}

/// A study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// What is asked.
    pub question: Question,
    /// One sentence.
    pub about: String,
    /// How long it takes.
    pub tier: Tier,
    /// Time allowed on two cores, minutes.
    pub budget_minutes: f64,
    /// What is asked for, and by whom.
    pub source: String,
    /// Data set.
    pub data: String,
    /// Fractions train/valid/test, for sets without splits.
    #[serde(default)]
    pub split: Option<String>,
    /// Data that stand in where the real set is not there, for plumbing only.
    pub substitute: String,
    /// Whether rows of levels are made bits first, at half of the top level.
    #[serde(default)]
    pub binarize: bool,
    /// Labels in all, or rows of each class.
    pub sizes: Vec<usize>,
    /// Repetitions, each with other rows.
    pub seeds: u64,
    /// Draws of each class.
    #[serde(default)]
    pub draws: usize,
    /// The size at which a figure is asked for, and the points in a hundred that must be gained there.
    #[serde(default)]
    pub asked: Option<(usize, f64)>,
    /// The models.
    pub contestant: Vec<Contestant>,
}

macro_rules! studies {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every study.
        const TEXTS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../studies/", $name, ".toml")))),*];
    };
}
studies!("few-labels", "few-data", "few-data-table");

/// Names of the studies.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(name, _)| *name)
}

/// The study of this name; none if there is no such.
///
/// # Errors
/// [`Error::Config`] if its text is damaged.
pub fn find(name: &str) -> Result<Option<Study>> {
    let text = TEXTS.iter().find(|(n, _)| *n == name);
    let read =
        |(_, text): &(&str, &str)| toml::from_str(text).map_err(|e| Error::config(name, e.to_string()));
    text.map(read).transpose()
}

/// What a study came to.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Name of the study.
    pub name: String,
    /// What was found, in sentences.
    pub found: Vec<String>,
    /// Curve, size, mean over seeds.
    pub means: Vec<(String, usize, Mean)>,
    /// Points in a hundred that the best curve gains where a figure is asked for, and what is asked for.
    pub gained: Option<(Mean, f64)>,
    /// What could not be done.
    pub warnings: Vec<String>,
    /// Seconds of this and earlier calls.
    pub seconds: f64,
    /// Its folder.
    pub run: PathBuf,
}

/// What the parts of a study share while it runs.
struct Work<'a> {
    study: &'a Study,
    set: &'a Dataset,
    run: &'a RunDir,
    points: Points,
    how: &'a How,
    observer: &'a mut dyn Observer,
    started: Instant,
    earlier: f64,
}

impl Study {
    /// The data, or in plumbing the substitute where the data are not there; their test rows are what classifiers are tested on.
    ///
    /// # Errors
    /// If the data are not there, with where to get them.
    pub fn load(&self, data_dir: Option<&Path>, plumbing: bool) -> Result<Dataset> {
        match load(&self.data, self.split.as_deref(), data_dir) {
            Err(_) if plumbing => self.stand_in(),
            other => other,
        }
    }

    fn stand_in(&self) -> Result<Dataset> {
        load(&self.substitute, self.split.as_deref(), None)
    }

    /// Does the study into a folder.
    ///
    /// # Errors
    /// Whatever a fit may meet but by chance; [`Error::Stopped`] if it was interrupted: what was found is kept.
    pub fn run(
        &self,
        name: &str,
        set: &Dataset,
        out: PathBuf,
        how: &How,
        observer: &mut dyn Observer,
    ) -> Result<Answer> {
        let mut study = self.clone();
        if how.plumbing {
            study.sizes.truncate(2);
            study.sizes.iter_mut().for_each(|n| *n = (*n).min(20));
            study.sizes.dedup();
            (study.seeds, study.draws) = (2, self.draws.min(12));
        }
        let table = toml::Table::try_from(&study).map_err(|e| Error::Run(format!("the study: {e}")))?;
        let config = RunConfig {
            format: FORMAT,
            genus: env!("CARGO_PKG_VERSION").into(),
            model: name.into(),
            seed: 0,
            data: DataConfig {
                source: set.provenance.name.clone(),
                split: self.split.clone().unwrap_or_default(),
                sha256: set.digest(),
                ..DataConfig::default()
            },
            from: None,
            config: table,
        };
        let (run, _lock) = if how.resume && out.join("config.toml").exists() {
            let run = RunDir::open(&out)?;
            let lock = run.lock()?;
            if run.config()? != config {
                let message = format!("{} is of another study, other data or another version", out.display());
                return Err(Error::Run(message).advise(crate::Advice::OtherFolder));
            }
            (run, lock)
        } else {
            let (run, lock) = RunDir::create(out)?;
            run.write_config(&config)?;
            (run, lock)
        };
        let earlier = run.summary().map_or(0.0, |s| s.seconds.iter().map(|(_, s)| s).sum());
        let points = Points::open(&run.points_path())?;
        let (study, run) = (&study, &run);
        let mut work = Work { study, set, run, points, how, observer, started: Instant::now(), earlier };
        let done = match study.question {
            Question::FewLabels => few_labels::run(&mut work),
            Question::FewData => few_data::run(&mut work),
        };
        let answer = work.answer(name)?;
        done?;
        Ok(answer)
    }

    /// The curves, the one beside which the others are seen first.
    fn series(&self) -> Vec<&str> {
        let ground = match self.question {
            Question::FewLabels => few_labels::ROWS,
            Question::FewData => few_data::NONE,
        };
        std::iter::once(ground).chain(self.contestant.iter().map(|c| c.name.as_str())).collect()
    }
}

impl Contestant {
    /// Its configuration for data of some size.
    fn table(&self, set: &Dataset, plumbing: bool) -> Result<(&'static crate::ModelSpec, toml::Table)> {
        let spec = registry::find(&self.model)?;
        let suited = spec.suited.map(|suited| suited(Size::of(set))).unwrap_or_default();
        let assignments: &[String] = if plumbing { &self.plumbing } else { &[] };
        Ok((spec, session::effective_config(spec, &[&suited, &self.config], assignments)?))
    }
}

/// The classes of the rows of a split; a study needs them.
fn labels(set: &Dataset, split: &crate::Split) -> Result<Vec<u32>> {
    let none = || Error::Domain(format!("{} has no classes, which this study is about", set.provenance.name));
    set.schema.labels(split).ok_or_else(none)
}

impl Work<'_> {
    /// What is known so far, written into the folder.
    fn answer(&self, name: &str) -> Result<Answer> {
        let (study, all) = (self.study, self.points.all());
        let series = study.series();
        let ground = series[0];
        let mut means = Vec::new();
        let mut lines = Vec::new();
        for curve in &series {
            let mut at = Vec::new();
            for size in &study.sizes {
                if let Some(m) = points::mean(all, curve, *size) {
                    at.extend([*size as f64, 100.0 * m.mean, 100.0 * m.half]);
                    means.push(((*curve).to_owned(), *size, m));
                }
            }
            if !at.is_empty() {
                lines.push(Named { name: (*curve).to_owned(), values: Tensor::f64(&[at.len() / 3, 3], at) });
            }
        }
        let gains = |size: usize| {
            let each =
                series[1..].iter().filter_map(move |c| Some((*c, points::gain(all, c, ground, size)?)));
            each.collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        for size in &study.sizes {
            let of = gains(*size);
            if of.is_empty() {
                continue;
            }
            let words = |sign: f64| {
                let sure = of.iter().filter(|(_, m)| sign * m.mean > m.half);
                let word =
                    |(c, m): &(&str, Mean)| format!("{c} ({:+.1} ± {:.1})", 100.0 * m.mean, 100.0 * m.half);
                sure.map(word).collect::<Vec<_>>()
            };
            let (up, down) = (words(1.0), words(-1.0));
            let told = |what: &str, of: Vec<String>| match of.is_empty() {
                true => format!("{what}: none"),
                false => format!("{what}: {}", of.join(", ")),
            };
            let (what, helps, hurts) = match study.question {
                Question::FewLabels => ("labels", "better than the rows", "worse"),
                Question::FewData => ("rows of each class", "draws that help", "draws that harm"),
            };
            let (up, down) = (told(helps, up), told(hurts, down));
            found.push(format!("With {size} {what}, points in a hundred, {up}; {down}."));
        }
        let gained = study.asked.and_then(|(size, asked)| {
            let best = gains(size).into_iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
            let hundred = Mean { mean: 100.0 * best.1.mean, half: 100.0 * best.1.half };
            Some((best.0.to_owned(), size, hundred, asked))
        });
        let head = std::iter::once(String::new()).chain(study.sizes.iter().map(usize::to_string)).collect();
        let cell = |curve: &&str, size: &usize| match points::mean(all, curve, *size) {
            Some(m) => Cell::Text(format!("{:.1} ± {:.1}", 100.0 * m.mean, 100.0 * m.half)),
            None => Cell::Text("–".into()),
        };
        let row = |curve: &&str| {
            std::iter::once(Cell::Text((*curve).to_owned()))
                .chain(study.sizes.iter().map(|s| cell(curve, s)))
                .collect()
        };
        let what = match study.question {
            Question::FewLabels => ["labels", "accuracy on test rows, %"],
            Question::FewData => ["rows of each class", "accuracy on test rows, %"],
        };
        let curves = Panel::Trends { title: "Accuracy".into(), axes: what.map(Into::into), lines };
        let table =
            Panel::Table { title: "Accuracy, %".into(), head, rows: series.iter().map(row).collect() };
        let text = format!(
            "{} Means over {} repetitions with their intervals of 95 % (Student's t); where one curve helps or harms, it is by differences \
             between curves in the same repetition whose interval leaves 0 out. {}",
            study.about,
            study.seeds,
            found.join(" ")
        );
        let exhibit = Exhibit::new("curves", "Curves", &text, vec![curves, table]);
        let mut warnings: Vec<String> = all
            .iter()
            .filter(|p| p.value.is_none())
            .map(|p| format!("{} at {}, repetition {}: {}", p.series, p.size, p.seed, p.why))
            .collect();
        if self.how.plumbing {
            warnings.push("plumbing only: the figures mean nothing".into());
        }
        let seconds = self.earlier + self.started.elapsed().as_secs_f64();
        let figures = gained.iter().map(|(curve, size, m, _)| {
            Figure::new(format!("points gained by {curve} at {size}, ± {:.1}", m.half), m.mean, "of 100")
        });
        let summary = Summary {
            model: name.into(),
            title: study.about.clone(),
            data: self.set.provenance.clone(),
            rows: self.set.splits().map(|(n, s)| (n, s.x.rows() as u64)).collect(),
            domain: self.set.domain().to_string(),
            figures: figures.collect(),
            warnings: warnings.clone(),
            seconds: vec![("study".into(), seconds)],
            machine: session::machine(),
            versions: self.how.versions.clone(),
            ..Summary::default()
        };
        self.run.write_exhibits(vec![exhibit])?;
        self.run.write_summary(&summary)?;
        let run = self.run.path().to_path_buf();
        let gained = gained.map(|(_, _, m, asked)| (m, asked));
        Ok(Answer { name: name.into(), found, means, gained, warnings, seconds, run })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;

    #[test]
    fn studies_are_valid_and_every_file_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("studies");
        for entry in std::fs::read_dir(folder).unwrap() {
            let stem = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            assert!(names().any(|n| n == stem), "studies/{stem}.toml is not listed in study/mod.rs");
        }
        for name in names() {
            let study = find(name).unwrap().unwrap();
            assert!(data::catalogue().iter().any(|e| e.name == study.data), "{name}: data {}", study.data);
            for c in &study.contestant {
                let spec = registry::find(&c.model).unwrap();
                session::effective_config(spec, &[&c.config], &c.plumbing).unwrap();
            }
        }
        assert!(find("few-labours").unwrap().is_none());
    }

    /// Every study runs from end to end with a tiny budget on data that are shipped, and goes on with what it has.
    #[test]
    fn plumbing() {
        let folder = tempfile::tempdir().unwrap();
        for name in names() {
            let study = find(name).unwrap().unwrap();
            let set = study.stand_in().unwrap();
            let out = folder.path().join(name);
            let how = How { plumbing: true, ..How::default() };
            let answer = study.run(name, &set, out.clone(), &how, &mut crate::Silent).unwrap();
            assert_eq!(answer.warnings.len(), 1, "{name}: {:?}", answer.warnings);
            assert_eq!(
                answer.means.iter().map(|m| &m.0).collect::<std::collections::BTreeSet<_>>().len(),
                study.series().len()
            );
            let again = study.run(name, &set, out, &How { resume: true, ..how }, &mut crate::Silent).unwrap();
            assert_eq!(again.means, answer.means, "{name}");
        }
    }
}
