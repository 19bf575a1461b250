//! Recipes: a model, a configuration, data, and the figure that they must reach.
//!
//! A recipe is a TOML file of `recipes/`, compiled in:
//!
//! ```toml
//! about = "one sentence"
//! tier = "quick"                 # ≤ 15 minutes; "standard" ≤ 60; "long"
//! budget = "10m"
//! source = "where the expected figure comes from"
//! data = "iris"
//! split = "0.8/0.1/0.1"          # optional
//! substitute = "tree16"          # generated data on which CI runs the plumbing
//! seed = 0
//! importance_samples = 5000      # optional
//! thorough = true                # optional: all figures of draws beside real rows
//!
//! [[expect]]                     # one run per variant
//! variant = "full-2"             # optional: keys laid over config
//! set = ["components=2"]
//! figure = "total log-likelihood"  # or "test nll", "gap to entropy"
//! value = -214.3547              # left out: the figure is stated only
//! tolerance = 0.01               # |reached − value| ≤ tolerance; without it: reached ≤ value
//! doubt = 78.0                   # for a test nll: below this it is too good to be true
//!
//! [config]
//! components = 3
//! ```

use crate::diagnostics::{likeness, mixing, modes, parzen};
use crate::draws::LOGIT_SPACE;
use crate::run::{DataConfig, Summary};
use crate::session::{self, Outcome, Request};
use crate::unsupervised::features::autoencoder;
use crate::{Dataset, Diagnostic, Error, ModelSpec, Observer, Result, SplitName, StopReason, data, registry};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How long a recipe takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// At most 15 minutes on two cores.
    Quick,
    /// At most 60 minutes.
    Standard,
    /// Longer; optional.
    Long,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measured {
    /// Σ log p of the training rows, nats.
    #[serde(rename = "total log-likelihood")]
    TotalLogLikelihood,
    /// −mean log p of the test rows, nats, by the tightest score.
    #[serde(rename = "test nll")]
    TestNll,
    /// −mean log p of the test rows minus the entropy of the source, nats.
    #[serde(rename = "gap to entropy")]
    GapToEntropy,
    /// The Parzen-window figure, nats: higher is better.
    #[serde(rename = "parzen window")]
    ParzenWindow,
    /// Classes that a chain visits, the fewest of some: more is better.
    #[serde(rename = "classes visited")]
    ClassesVisited,
    /// Mean log p of the test rows after noise and logit, nats: higher is better.
    #[serde(rename = "log-likelihood in logit space")]
    LogitSpace,
    /// Modes of generated data that draws reach: more is better.
    #[serde(rename = "modes covered")]
    ModesCovered,
    /// Share of draws near a mode: more is better.
    #[serde(rename = "high-quality draws")]
    HighQuality,
    /// Fréchet distance of draws to held-out rows, in features of images where there are such.
    #[serde(rename = "Fréchet distance")]
    Frechet,
    /// Classes that draws are of: more is better.
    #[serde(rename = "classes present")]
    ClassesPresent,
    /// Accuracy on real rows of a classifier that saw draws: more is better.
    #[serde(rename = "train on draws, test on rows")]
    Useful,
    /// How far rows that come back from noise are from the clean ones.
    #[serde(rename = "squared reconstruction error of corrupted rows")]
    Denoised,
}

impl Measured {
    /// Whether the figure asked for is a floor.
    const fn more_is_better(self) -> bool {
        !matches!(
            self,
            Self::TotalLogLikelihood | Self::TestNll | Self::GapToEntropy | Self::Frechet | Self::Denoised
        )
    }
}

/// A figure that a run must reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Name of the run, where a recipe has several.
    #[serde(default)]
    pub variant: String,
    /// Assignments over the recipe's configuration.
    #[serde(default)]
    pub set: Vec<String>,
    /// What is measured.
    pub figure: Measured,
    /// The figure asked for; none where it is stated only, and can be neither reached nor missed.
    #[serde(default)]
    pub value: Option<f64>,
    /// Allowed distance on both sides; none means that `value` is the limit: the highest, or the lowest where more is better.
    pub tolerance: Option<f64>,
    /// The run shows that it does not get there: what it leaves out is needed.
    #[serde(default)]
    pub fails: bool,
    /// For a gap to the entropy: standard errors that it may lie below 0.
    #[serde(default)]
    pub below: Option<f64>,
    /// A figure below this is too good to be true: better than anything known, so that a mistake is likelier than a record.
    #[serde(default)]
    pub doubt: Option<f64>,
}

/// A recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Registry name of the model.
    pub model: String,
    /// One sentence.
    pub about: String,
    /// How long it takes.
    pub tier: Tier,
    /// Time allowed on two cores, minutes.
    pub budget_minutes: f64,
    /// Where the expected figure comes from.
    pub source: String,
    /// Data set.
    pub data: String,
    /// Fractions train/valid/test, for sets without splits.
    #[serde(default)]
    pub split: Option<String>,
    /// Generated data that stand in where the real set is not there, for plumbing only.
    pub substitute: String,
    /// Assignments that make the run tiny, for plumbing only.
    pub plumbing: Vec<String>,
    /// Root of all random streams.
    #[serde(default)]
    pub seed: u64,
    /// Importance samples of the final score.
    #[serde(default = "one")]
    pub importance_samples: usize,
    /// Whether draws are compared with real rows by all figures and as many rows as publications take.
    #[serde(default)]
    pub thorough: bool,
    /// The figures; those of one variant are of one run, with the assignments of the first.
    pub expect: Vec<Expectation>,
    /// The model's configuration.
    #[serde(default)]
    pub config: toml::Table,
}

fn one() -> usize {
    1
}

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every recipe, in the order of the list.
        const TEXTS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../recipes/", $name, ".toml")))),*];
    };
}
recipes!(
    "gmm-iris",
    "gmm-8gaussians",
    "bernoulli-mixture-binarized-mnist",
    "denoising-autoencoder-mnist",
    "fvsbn-binarized-mnist",
    "rnade-8gaussians",
    "spline-flow-8gaussians",
    "spline-flow-25gaussians",
    "spline-flow-checkerboard",
    "spline-flow-moons",
    "spline-flow-pinwheel",
    "spline-flow-spirals",
    "spline-flow-rings",
    "maf-8gaussians",
    "realnvp-8gaussians",
    "gaussian-mnist",
    "maf-mnist",
    "nice-mnist",
    "realnvp-mnist",
    "glow-mnist",
    "gan-8gaussians",
    "gan-25gaussians",
    "wgan-gp-8gaussians",
    "wgan-gp-25gaussians",
    "gan-mnist",
    "dcgan-mnist",
    "wgan-gp-mnist",
    "nade-adult",
    "nade-connect4",
    "nade-mushrooms",
    "nade-ocr-letters",
    "nade-binarized-mnist",
    "pixelcnn-digits",
    "pixelcnn-binarized-mnist",
    "pixelcnn-binarized-mnist-long",
    "gated-pixelcnn-binarized-mnist",
    "pixelrnn-diagonal-binarized-mnist",
    "pixelrnn-row-binarized-mnist",
    "made-adult",
    "made-connect4",
    "made-mushrooms",
    "made-ocr-letters",
    "made-binarized-mnist",
    "made-binarized-mnist-wide",
    "vae-binarized-mnist",
    "rbm-adult",
    "rbm-connect4",
    "rbm-mushrooms",
    "rbm-ocr-letters",
    "rbm-binarized-mnist",
    "dbn-binarized-mnist",
    "dbm-binarized-mnist",
    "gsn-mnist-binary",
);

/// Names of the recipes.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(name, _)| *name)
}

/// The recipe called `name`.
///
/// # Errors
/// [`Error::Config`] listing the names that there are.
pub fn find(name: &str) -> Result<Recipe> {
    let Some((_, text)) = TEXTS.iter().find(|(n, _)| *n == name) else {
        let all: Vec<_> = names().chain(crate::study::names()).collect();
        return Err(Error::config(
            "recipe",
            format!("there is no recipe `{name}`; there are {}", all.join(", ")),
        ));
    };
    toml::from_str(text).map_err(|e| Error::config(format!("recipe {name}"), e.to_string()))
}

/// A figure asked for and the figure reached.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Recipe, with the variant if it has several.
    pub name: String,
    /// What was measured.
    pub figure: Measured,
    /// What was asked for, in words and digits.
    pub expected: String,
    /// What was reached, nats.
    #[serde(with = "crate::number")]
    pub reached: f64,
    /// Standard error of it over test rows, where that is its meaning.
    #[serde(with = "crate::number::option")]
    pub stderr: Option<f64>,
    /// Whether it satisfies what was asked for.
    pub ok: bool,
    /// Whether nothing was asked for.
    pub stated: bool,
    /// Seconds of training and all that follows, pauses of an interrupted run left out.
    pub seconds: f64,
    /// The run folder.
    pub run: PathBuf,
}

/// How a recipe is run.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// Go on with an interrupted run.
    pub resume: bool,
    /// A tiny budget: only to show that everything connects.
    pub plumbing: bool,
    /// See [`Request::versions`].
    pub versions: Vec<(String, String)>,
}

/// Data by name, cut into fractions if such are given.
pub(crate) fn load(name: &str, split: Option<&str>, data_dir: Option<&Path>) -> Result<Dataset> {
    let split = split.map(data::parse_split).transpose()?;
    let data_dir = data_dir.map(Path::to_path_buf);
    data::load(name, &data::Options { split, data_dir, ..data::Options::default() })
}

impl Recipe {
    /// The registry entry of its model.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such model.
    pub fn spec(&self) -> Result<&'static ModelSpec> {
        registry::find(&self.model)
    }

    /// The data, or in plumbing the substitute where the data are not there.
    ///
    /// # Errors
    /// If the data are not there, with where to get them.
    pub fn load(&self, data_dir: Option<&Path>, plumbing: bool) -> Result<Dataset> {
        match load(&self.data, self.split.as_deref(), data_dir) {
            Err(_) if plumbing => data::load(&self.substitute, &data::Options::default()),
            other => other,
        }
    }

    /// The figures of each run.
    pub fn runs(&self) -> impl Iterator<Item = &[Expectation]> {
        self.expect.chunk_by(|a, b| a.variant == b.variant)
    }

    /// Does the run of these expectations, into `out`, and compares; an interrupted run has no verdicts.
    ///
    /// # Errors
    /// Whatever the run may meet.
    pub fn run(
        &self,
        name: &str,
        expect: &[Expectation],
        set: &Dataset,
        out: PathBuf,
        how: &How,
        observer: &mut dyn Observer,
    ) -> Result<(Option<Vec<Verdict>>, Outcome)> {
        let spec = self.spec()?;
        let mut assignments = expect.first().map_or_else(Vec::new, |e| e.set.clone());
        if how.plumbing {
            assignments.extend(self.plumbing.iter().cloned());
        }
        let source = DataConfig {
            source: set.provenance.name.clone(),
            split: self.split.clone().unwrap_or_default(),
            ..DataConfig::default()
        };
        let config = session::effective_config(spec, &[&self.config], &assignments)?;
        let mut request = Request::new(spec, config, source);
        request.seed = self.seed;
        request.scoring.importance_samples = match how.plumbing {
            true => self.importance_samples.min(3),
            false => self.importance_samples,
        };
        request.versions.clone_from(&how.versions);
        if self.thorough {
            let thorough: &'static dyn Diagnostic = &likeness::THOROUGH;
            request.diagnostics.retain(|d| d.name() != thorough.name());
            request.diagnostics.push(thorough);
        }
        let outcome = if how.resume && out.join("config.toml").exists() {
            session::resume(&request, set, crate::run::RunDir::open(&out)?, observer)?
        } else {
            session::train(&request, set, out, observer)?
        };
        if outcome.stopped == Some(StopReason::Interrupted) {
            return Ok((None, outcome));
        }
        let seconds = outcome.summary.seconds.iter().map(|(_, s)| s).sum();
        let verdict = |expect: &Expectation| {
            let (reached, stderr) = measure(expect.figure, &outcome.summary)?;
            let (expected, ok) = expect.judge(reached, stderr);
            let name = if expect.variant.is_empty() {
                name.to_owned()
            } else {
                format!("{name} {}", expect.variant)
            };
            let run = outcome.run.path().to_path_buf();
            Ok(Verdict {
                name,
                figure: expect.figure,
                expected,
                reached,
                stderr,
                ok,
                stated: expect.value.is_none(),
                seconds,
                run,
            })
        };
        let verdicts = expect.iter().map(verdict).collect::<Result<_>>()?;
        Ok((Some(verdicts), outcome))
    }
}

impl Expectation {
    /// What is asked for in words, and whether `reached` satisfies it.
    fn judge(&self, reached: f64, stderr: Option<f64>) -> (String, bool) {
        let Some(value) = self.value else { return ("stated".into(), true) };
        let (text, ok) = match self.tolerance {
            Some(t) => (format!("{value} ± {t}"), (reached - value).abs() <= t),
            None if self.figure.more_is_better() != self.fails => (format!("≥ {value}"), reached >= value),
            None => (format!("≤ {value}"), reached <= value),
        };
        let (text, ok) = match self.doubt {
            Some(limit) => (format!("{text}, ≥ {limit}"), ok && reached >= limit),
            None => (text, ok),
        };
        match (self.below, stderr) {
            (Some(k), Some(e)) => (format!("{text}, ≥ −{k} s.e."), ok && reached >= -k * e),
            _ => (text, ok),
        }
    }
}

/// The figure in a summary.
fn measure(figure: Measured, summary: &Summary) -> Result<(f64, Option<f64>)> {
    let test = summary
        .scores
        .iter()
        .filter(|s| s.split == SplitName::Test)
        .max_by(|a, b| a.nats.total_cmp(&b.nats))
        .ok_or_else(|| Error::Run("the run has no test score".into()));
    let named = |name: &str| {
        let found = summary.figures.iter().find(|f| f.name == name).map(|f| (f.value, None));
        found.ok_or_else(|| Error::Run(format!("the run has no figure `{name}`")))
    };
    match figure {
        Measured::TotalLogLikelihood => named("total log-likelihood of the training rows"),
        Measured::ParzenWindow => named(parzen::NAME),
        Measured::ClassesVisited => named(mixing::CLASSES),
        Measured::LogitSpace => named(LOGIT_SPACE),
        Measured::ModesCovered => named(modes::COVERED),
        Measured::HighQuality => named(modes::QUALITY),
        Measured::Frechet => named("Fréchet distance"),
        Measured::ClassesPresent => named("classes present"),
        Measured::Useful => named("train on draws, test on rows"),
        Measured::Denoised => named(autoencoder::DENOISED),
        Measured::TestNll => test.map(|s| (-s.nats, s.stderr)),
        Measured::GapToEntropy => {
            let entropy = summary
                .data
                .entropy
                .ok_or_else(|| Error::Run(format!("the entropy of {} is not known", summary.data.name)))?;
            test.map(|s| (-s.nats - entropy, s.stderr))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_valid_and_every_file_is_listed() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        for entry in std::fs::read_dir(dir).unwrap() {
            let stem = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            assert!(names().any(|n| n == stem), "recipes/{stem}.toml is not listed in recipe.rs");
        }
        for name in names() {
            let r = find(name).unwrap();
            let spec = r.spec().unwrap();
            for e in &r.expect {
                assert!(
                    e.figure != Measured::TestNll || e.doubt.zip(e.value).is_some_and(|(d, v)| d < v),
                    "{name}: a test nll needs `doubt`, the figure that nobody has reached"
                );
                session::effective_config(spec, &[&r.config], &e.set).unwrap();
                session::effective_config(spec, &[&r.config], &r.plumbing).unwrap();
            }
            let limit = match r.tier {
                Tier::Quick => 15.0,
                Tier::Standard => 60.0,
                Tier::Long => f64::INFINITY,
            };
            assert!(r.budget_minutes <= limit, "{name}: {} minutes in tier {:?}", r.budget_minutes, r.tier);
            assert!(data::catalogue().iter().any(|e| e.name == r.data), "{name}: data {}", r.data);
        }
    }

    #[test]
    fn judgement() {
        let e = |value, tolerance, below| Expectation {
            variant: String::new(),
            set: vec![],
            figure: Measured::TestNll,
            value: Some(value),
            tolerance,
            below,
            doubt: None,
            fails: false,
        };
        let doubtful = Expectation { doubt: Some(80.0), ..e(90.0, None, None) };
        assert!(doubtful.judge(85.0, None).1 && !doubtful.judge(79.0, None).1);
        assert!(e(90.0, None, None).judge(89.9, None).1 && !e(90.0, None, None).judge(90.1, None).1);
        let parzen = |fails| Expectation { figure: Measured::ParzenWindow, fails, ..e(200.0, None, None) };
        assert!(parzen(false).judge(201.0, None).1 && !parzen(false).judge(199.0, None).1);
        assert!(!parzen(true).judge(201.0, None).1 && parzen(true).judge(199.0, None).1);
        assert!(
            e(-5.0, Some(0.1), None).judge(-5.05, None).1 && !e(-5.0, Some(0.1), None).judge(-5.2, None).1
        );
        let stated = Expectation { value: None, ..e(0.0, None, None) };
        assert_eq!(stated.judge(1e9, None), ("stated".into(), true));
        assert!(e(0.02, None, Some(3.0)).judge(-0.02, Some(0.01)).1);
        assert!(!e(0.02, None, Some(3.0)).judge(-0.04, Some(0.01)).1);
    }

    /// Every recipe runs from end to end with a tiny budget, on generated data where the real set is not there.
    #[test]
    fn plumbing() {
        let dir = tempfile::tempdir().unwrap();
        for name in names() {
            let r = find(name).unwrap();
            let set = data::load(&r.substitute, &data::Options::default()).unwrap();
            let expect = r.runs().next().unwrap();
            let how = How { plumbing: true, ..How::default() };
            let out = dir.path().join(name);
            let (v, outcome) = r.run(name, expect, &set, out, &how, &mut crate::Silent).unwrap();
            assert!(v.unwrap().iter().all(|v| v.reached.is_finite()), "{name}");
            assert!(outcome.summary.audit.iter().all(|a| a.passed), "{name}: {:?}", outcome.summary.audit);
        }
    }
}
