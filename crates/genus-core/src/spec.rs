//! The registry entry of a family of models.

use crate::Shape;
use crate::{
    Capability, Dataset, Domain, Error, EvidenceKind, Family, Fit, FitContext, Fitted, Model, Result, Schema,
    Seed, State, SupportKind, config, data,
};

/// The paper that a family follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Authors.
    pub authors: &'static str,
    /// Title.
    pub title: &'static str,
    /// Year.
    pub year: u16,
    /// Stable address.
    pub url: &'static str,
}

impl Reference {
    /// A paper.
    pub const fn new(authors: &'static str, year: u16, title: &'static str, url: &'static str) -> Self {
        Self { authors, title, year, url }
    }
}

/// How many training rows there are, and what is in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Training rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// Whether these are real numbers.
    pub real: bool,
    /// Whether they are images.
    pub image: bool,
}

impl Size {
    /// That of a data set.
    pub fn of(data: &Dataset) -> Self {
        let real = data.domain().support.kind() == SupportKind::Real;
        let image = matches!(data.domain().shape, Shape::Image { .. });
        Self { rows: data.train.x.rows(), columns: data.schema.width(), real, image }
    }
}

/// What the columns may hold that a model of p(x | given) is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenKinds {
    /// Numbers.
    Numbers,
    /// Numbers and categories.
    Any,
}

/// See [`ModelSpec::suited`].
pub type Suited = fn(Size) -> toml::Table;

/// See [`ModelSpec::gradient_check`].
pub type GradientCheck = fn(Seed) -> Result<Vec<(String, f64)>>;

/// A tiny configuration on data whose law is known: the conformance suite holds a family to its promises on each, and audits
/// look at the twin that the first one gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TinyFit {
    /// Short name for trials: what is particular about it.
    pub name: &'static str,
    /// A generated data set of the catalogue.
    pub data: &'static str,
    /// TOML over the default configuration; fits `data` in well under a second or two.
    pub config: &'static str,
    /// Columns of `data` that are given; none for p(x).
    pub given: &'static [&'static str],
    /// Conformance checks that must fail, each with the reason. Strict: passing is then an error.
    pub expected_failures: &'static [(&'static str, &'static str)],
}

impl TinyFit {
    /// A tiny fit that passes every check.
    pub const fn new(name: &'static str, data: &'static str, config: &'static str) -> Self {
        Self { name, data, config, given: &[], expected_failures: &[] }
    }

    /// The same of p(x | these columns).
    #[must_use]
    pub const fn given(self, given: &'static [&'static str]) -> Self {
        Self { given, ..self }
    }

    /// The same with checks that must fail.
    #[must_use]
    pub const fn failing(self, expected_failures: &'static [(&'static str, &'static str)]) -> Self {
        Self { expected_failures, ..self }
    }

    /// The complete configuration for a family.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not TOML.
    pub fn table(&self, spec: &ModelSpec) -> Result<toml::Table> {
        let over: toml::Table = toml::from_str(self.config)
            .map_err(|e| Error::config("tiny", format!("{} of {}: {e}", self.name, spec.name)))?;
        let mut table = (spec.default_config)();
        config::merge(&mut table, &over);
        Ok(table)
    }

    /// The data.
    ///
    /// # Errors
    /// If there is no such set.
    pub fn load(&self) -> Result<Dataset> {
        let given = self.given.iter().map(|g| (*g).to_owned()).collect();
        data::load(self.data, &data::Options { given, ..data::Options::default() })
    }
}

/// Everything that tools need to know about a family: one `pub static SPEC` per model file.
///
/// ```ignore
/// pub static SPEC: ModelSpec = ModelSpec::new::<Fvsbn>("fvsbn", "Fully visible sigmoid belief net", module_path!())
///     .summary("binary rows: logistic autoregression")
///     .papers(&[Reference::new("Neal", 1992, "Connectionist Learning of Belief Networks", "https://…")])
///     .evidence(EvidenceKind::Exact)
///     .can(&[Capability::Density, Capability::Sampler])
///     .rows(&[SupportKind::Binary])
///     .trained_by_steps()
///     .tiny_fits(&[TinyFit::new("bits", "tree8", "train.epochs = 5")]);
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ModelSpec {
    /// Registry name: `made`.
    pub name: &'static str,
    /// Full name.
    pub title: &'static str,
    /// `module_path!()` of the model file: the place in the taxonomy.
    pub module: &'static str,
    /// One sentence: when to use it.
    pub summary: &'static str,
    /// Papers, the defining one first.
    pub references: &'static [Reference],
    /// What its scores are; none if it has none.
    pub evidence: Option<EvidenceKind>,
    /// Whether a term that all rows share is estimated where it cannot be computed.
    pub estimated: bool,
    /// What it can do.
    pub capabilities: &'static [Capability],
    /// Kinds of rows that it can be fitted to.
    pub supports: &'static [SupportKind],
    /// Passes of its networks that a row takes in each direction, in words; empty where there is nothing to choose between.
    pub passes: &'static str,
    /// True if it is trained by steps (checkpoints, `[train]` table).
    pub iterative: bool,
    /// What it can be given, if it can be fitted as p(x | given).
    pub given: Option<GivenKinds>,
    /// Whether it is fitted to rows that lack values, and scores them, by what is there: NaN stands for a missing value.
    pub missing: bool,
    /// At least one tiny configuration per kind of rows and per way of training or scoring that has code of its own.
    pub tiny_fits: &'static [TinyFit],
    /// For models trained by gradients: how far the gradient of the training objective lies from difference quotients, per
    /// parameter array, relative to its size.
    pub gradient_check: Option<GradientCheck>,
    /// Default configuration as a TOML table.
    pub default_config: fn() -> toml::Table,
    /// What of it is better otherwise for data of some size: lengths, widths, batches.
    pub suited: Option<Suited>,
    /// Checks a configuration table; the error names the key.
    pub check_config: fn(&toml::Table) -> Result<toml::Table>,
    /// [`Family::fit`].
    pub fit: fn(&toml::Table, &Dataset, &mut FitContext<'_>) -> Result<Fitted>,
    /// [`Family::restore`].
    pub restore: fn(&State) -> Result<Box<dyn Model>>,
}

impl ModelSpec {
    /// The entry of a family without summary, papers, capabilities and kinds of rows; `module` is `module_path!()` of the model file.
    pub const fn new<F: Family>(name: &'static str, title: &'static str, module: &'static str) -> Self {
        Self {
            name,
            title,
            module,
            summary: "",
            references: &[],
            evidence: None,
            estimated: false,
            capabilities: &[],
            supports: &[],
            passes: "",
            iterative: false,
            given: None,
            missing: false,
            tiny_fits: &[],
            gradient_check: None,
            default_config: default_config::<F>,
            suited: None,
            check_config: check_config::<F>,
            fit: fit::<F>,
            restore: restore::<F>,
        }
    }

    /// Sets [`summary`](Self::summary).
    #[must_use]
    pub const fn summary(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Sets [`references`](Self::references).
    #[must_use]
    pub const fn papers(self, references: &'static [Reference]) -> Self {
        Self { references, ..self }
    }

    /// Sets [`evidence`](Self::evidence); without it there is no density.
    #[must_use]
    pub const fn evidence(self, evidence: EvidenceKind) -> Self {
        Self { evidence: Some(evidence), ..self }
    }

    /// Sets [`estimated`](Self::estimated).
    #[must_use]
    pub const fn estimated(self) -> Self {
        Self { estimated: true, ..self }
    }

    /// Name of what its scores are, `none` without.
    pub fn evidence_name(&self) -> &'static str {
        self.evidence.map_or("none", |kind| kind.name(self.estimated))
    }

    /// Sets [`capabilities`](Self::capabilities).
    #[must_use]
    pub const fn can(self, capabilities: &'static [Capability]) -> Self {
        Self { capabilities, ..self }
    }

    /// Sets [`supports`](Self::supports).
    #[must_use]
    pub const fn rows(self, supports: &'static [SupportKind]) -> Self {
        Self { supports, ..self }
    }

    /// Sets [`passes`](Self::passes).
    #[must_use]
    pub const fn passes(self, passes: &'static str) -> Self {
        Self { passes, ..self }
    }

    /// Sets [`iterative`](Self::iterative).
    #[must_use]
    pub const fn trained_by_steps(self) -> Self {
        Self { iterative: true, ..self }
    }

    /// Sets [`given`](Self::given).
    #[must_use]
    pub const fn given(self, kinds: GivenKinds) -> Self {
        Self { given: Some(kinds), ..self }
    }

    /// Sets [`missing`](Self::missing).
    #[must_use]
    pub const fn takes_missing(self) -> Self {
        Self { missing: true, ..self }
    }

    /// Sets [`suited`](Self::suited).
    #[must_use]
    pub const fn suited(self, suited: Suited) -> Self {
        Self { suited: Some(suited), ..self }
    }

    /// Sets [`tiny_fits`](Self::tiny_fits).
    #[must_use]
    pub const fn tiny_fits(self, tiny_fits: &'static [TinyFit]) -> Self {
        Self { tiny_fits, ..self }
    }

    /// Sets [`gradient_check`](Self::gradient_check).
    #[must_use]
    pub const fn gradient_check(self, check: GradientCheck) -> Self {
        Self { gradient_check: Some(check), ..self }
    }

    /// The place in the taxonomy, outermost first, without the model itself: `["explicit", "tractable", "mixture"]`.
    pub fn taxonomy(&self) -> Vec<&'static str> {
        let mut path: Vec<_> = self.module.split("::").skip(1).collect();
        path.pop();
        path
    }

    /// Whether it can be fitted to rows of this domain.
    pub fn admits(&self, domain: &Domain) -> bool {
        self.supports.contains(&domain.support.kind())
    }

    /// Whether it can be fitted as p(rows | given) of this schema.
    pub fn admits_given(&self, rows: &Schema) -> bool {
        match self.given {
            None => false,
            Some(GivenKinds::Any) => true,
            Some(GivenKinds::Numbers) => rows.given.iter().all(|g| g.categories().is_empty()),
        }
    }
}

/// [`ModelSpec::default_config`] of a family.
fn default_config<F: Family>() -> toml::Table {
    config::to_table(&F::Config::default())
}

/// [`ModelSpec::check_config`] of a family: the table with all defaults filled in.
///
/// # Errors
/// [`Error::Config`] naming the key.
fn check_config<F: Family>(table: &toml::Table) -> Result<toml::Table> {
    Ok(config::to_table(&config::from_table::<F::Config>(table)?))
}

/// [`ModelSpec::fit`] of a family.
///
/// # Errors
/// As [`Family::fit`].
fn fit<F: Family>(table: &toml::Table, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fitted> {
    let (config, stop) = (config::from_table(table)?, cx.stop().clone());
    let Fit { model, report } = stop.during(|| F::fit(&config, data, cx))?;
    if data.schema.conditional && model.as_given().is_none() {
        let message = "this model has no density given columns; leave them out, or take one that has";
        return Err(Error::config("given", message));
    }
    Ok(Fit { model: Box::new(model), report })
}

/// [`ModelSpec::restore`] of a family.
///
/// # Errors
/// As [`Family::restore`].
fn restore<F: Family>(state: &State) -> Result<Box<dyn Model>> {
    Ok(Box::new(F::restore(state)?))
}
