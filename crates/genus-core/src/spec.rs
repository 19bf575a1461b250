//! The registry entry of a family of models.

use crate::{
    Dataset, Domain, Error, Family, Fit, FitContext, Fitted, Model, Result, Seed, State, Support, config,
    data,
};

/// What a model can do; `as_*` of [`Model`] says the same of a fitted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// [`Model::as_density`].
    Density,
    /// [`Model::as_sampler`].
    Sampler,
    /// [`Model::as_encoder`].
    Encoder,
    /// [`Model::as_decoder`].
    Decoder,
    /// [`Model::as_conditional`].
    Conditional,
    /// [`Model::as_clusterer`].
    Clusterer,
    /// [`Model::as_class_conditional`], if the configuration asks for classes and the data have labels.
    ClassConditional,
}

impl Capability {
    /// What a user does with it on the command line.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Density => "score",
            Self::Sampler => "sample",
            Self::Encoder => "encode",
            Self::Decoder => "reconstruct",
            Self::Conditional => "impute",
            Self::Clusterer => "cluster",
            Self::ClassConditional => "classify",
        }
    }

    /// All, in the order of tables.
    pub const ALL: [Self; 7] = [
        Self::Density,
        Self::Sampler,
        Self::Encoder,
        Self::Decoder,
        Self::Conditional,
        Self::Clusterer,
        Self::ClassConditional,
    ];

    /// Whether `model` has it.
    pub fn of(self, model: &dyn Model) -> bool {
        match self {
            Self::Density => model.as_density().is_some(),
            Self::Sampler => model.as_sampler().is_some(),
            Self::Encoder => model.as_encoder().is_some(),
            Self::Decoder => model.as_decoder().is_some(),
            Self::Conditional => model.as_conditional().is_some(),
            Self::Clusterer => model.as_clusterer().is_some(),
            Self::ClassConditional => model.as_class_conditional().is_some(),
        }
    }
}

/// The kind of evidence that a family gives, before there is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceKind {
    /// [`Evidence::Exact`](crate::Evidence::Exact).
    Exact,
    /// [`Evidence::LowerBound`](crate::Evidence::LowerBound).
    LowerBound,
    /// [`Evidence::Estimate`](crate::Evidence::Estimate).
    Estimate,
    /// [`Evidence::Unnormalized`](crate::Evidence::Unnormalized).
    Unnormalized,
    /// No density at all.
    None,
}

impl std::fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::LowerBound => "lower bound",
            Self::Estimate => "estimate",
            Self::Unnormalized => "unnormalised",
            Self::None => "none",
        })
    }
}

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

/// See [`ModelSpec::gradient_check`].
pub type GradientCheck = fn(Seed) -> Result<Vec<(String, f64)>>;

/// A tiny configuration on data whose law is known: the conformance suite holds a family to its promises on each, and audits
/// look at the twin that the first one gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiny {
    /// Short name for trials: what is particular about it.
    pub name: &'static str,
    /// A generated data set of the catalogue.
    pub data: &'static str,
    /// TOML over the default configuration; fits `data` in well under a second or two.
    pub config: &'static str,
    /// Conformance checks that must fail, each with the reason. Strict: passing is then an error.
    pub expected_failures: &'static [(&'static str, &'static str)],
}

impl Tiny {
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
        data::load(self.data, &data::Options::default())
    }
}

/// Everything that tools need to know about a family: one `pub static SPEC` per model file.
#[derive(Debug)]
pub struct ModelSpec {
    /// Registry name, as on the command line: `made`.
    pub name: &'static str,
    /// Full name.
    pub title: &'static str,
    /// `module_path!()` of the model file: the place in the taxonomy.
    pub module: &'static str,
    /// One sentence: when to use it.
    pub summary: &'static str,
    /// Papers, the defining one first.
    pub references: &'static [Reference],
    /// Kind of evidence of its scores.
    pub evidence: EvidenceKind,
    /// What it can do.
    pub capabilities: &'static [Capability],
    /// Supports that it can be fitted to, by the names of [`support_name`].
    pub supports: &'static [&'static str],
    /// True if it is trained by gradient steps (checkpoints, `[train]` table).
    pub iterative: bool,
    /// At least one tiny configuration per kind of rows and per way of training or scoring that has code of its own.
    pub tiny: &'static [Tiny],
    /// For models trained by gradients: how far the gradient of the training objective lies from difference quotients, per
    /// parameter array, relative to its size.
    pub gradient_check: Option<GradientCheck>,
    /// Default configuration as a TOML table.
    pub default_config: fn() -> toml::Table,
    /// Checks a configuration table; the error names the key.
    pub check_config: fn(&toml::Table) -> Result<toml::Table>,
    /// [`Family::fit`].
    pub fit: fn(&toml::Table, &Dataset, &mut FitContext<'_>) -> Result<Fitted>,
    /// [`Family::restore`].
    pub restore: fn(&State) -> Result<Box<dyn Model>>,
}

impl ModelSpec {
    /// The place in the taxonomy, outermost first, without the model itself: `["explicit", "tractable", "mixture"]`.
    pub fn taxonomy(&self) -> Vec<&'static str> {
        let mut path: Vec<_> = self.module.split("::").skip(1).collect();
        path.pop();
        path
    }

    /// Whether it can be fitted to rows of this domain.
    pub fn admits(&self, domain: &Domain) -> bool {
        self.supports.contains(&support_name(&domain.support))
    }
}

/// The name of a kind of support in [`ModelSpec::supports`].
pub fn support_name(support: &Support) -> &'static str {
    match support {
        Support::Binary => "binary",
        Support::Discrete { .. } => "discrete",
        Support::Real => "real",
        Support::Mixed(_) => "mixed",
    }
}

/// [`ModelSpec::default_config`] of a family.
pub fn default_config<F: Family>() -> toml::Table {
    config::to_table(&F::Config::default())
}

/// [`ModelSpec::check_config`] of a family: the table with all defaults filled in.
///
/// # Errors
/// [`Error::Config`] naming the key.
pub fn check_config<F: Family>(table: &toml::Table) -> Result<toml::Table> {
    Ok(config::to_table(&config::from_table::<F::Config>(table)?))
}

/// [`ModelSpec::fit`] of a family.
///
/// # Errors
/// As [`Family::fit`].
pub fn fit<F: Family>(table: &toml::Table, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fitted> {
    let (config, stop) = (config::from_table(table)?, cx.stop().clone());
    let Fit { model, report } = stop.during(|| F::fit(&config, data, cx))?;
    Ok(Fit { model: Box::new(model), report })
}

/// [`ModelSpec::restore`] of a family.
///
/// # Errors
/// As [`Family::restore`].
pub fn restore<F: Family>(state: &State) -> Result<Box<dyn Model>> {
    Ok(Box::new(F::restore(state)?))
}
