//! # Gaussian mixture
//!
//! ## What it is
//! p(x) = Σₖ πₖ N(x; μₖ, Σₖ), with Σₖ full, tied, diagonal or spherical.
//!
//! ## Density
//! Exact, by log-sum-exp over the components. Levels (pixel bytes) are dequantised, and the number is then a lower bound.
//!
//! ## Trained by
//! Given columns of numbers are fitted together with the rows, and p(x | given) is the mixture conditioned on them, exactly: the joint
//! likelihood is what is maximised.
//!
//! Expectation–maximisation from k-means++ starts; the best of several restarts is kept. Eigenvalues of the covariances are
//! kept above a floor, without which the likelihood is unbounded; the M-step is the constrained maximum, so the likelihood
//! never falls. Where rounding makes it fall, the fit stops before the fall with a warning.
//!
//! ## Use it when
//! Rows are real vectors of a few to a few dozen columns: density, clustering, outliers, and missing values, for which every
//! conditional is again a mixture in closed form.
//!
//! ## References
//! Dempster, Laird & Rubin 1977; Bishop 2006, chapter 9; McLachlan & Peel 2000.
//!
//! ## Example
//! ```
//! use genus::{Family, FitContext, GaussianMixture, GaussianMixtureConfig, Seed, Silent, data};
//! use genus::Density as _;
//!
//! let iris = data::load("iris", &data::Options::default())?;
//! let config = GaussianMixtureConfig { components: 2.try_into().unwrap(), ..Default::default() };
//! let fit = GaussianMixture::fit(&config, &iris, &mut FitContext::new(Seed::from(0), &mut Silent))?;
//! let total: f64 = fit.model.log_prob(&iris.train.x)?.nats.iter().sum();
//! assert!((total + 214.3547).abs() < 0.01);
//! # Ok::<(), genus::Error>(())
//! ```

use super::conditional::{Conditionals, Part};
use super::covariance::{Covariance, Factor};
use super::em::{Climb, Component, Em, End, climb, joint};
use super::exhibit;
use crate::context::{self, Context, beside};
use crate::{completion, draws};
use genus_core::config::{NonNegative, Positive, count};
use genus_core::math::log_sum_exp;
use genus_core::transform::{Noise, RealSteps, Transform, moments};
use genus_core::{
    Advice, Batch, Capability, Clusterer, Completion, Conditional, Dataset, Density, Error, Event,
    EvidenceKind, Exhibit, Family, Figure, Fill, Fit, FitContext, FitReport, Given, GivenKinds, LogProb,
    Model, ModelSpec, Reference, Result, Rng, Sampler, Schema, Scoring, Split, State, Stop, StopReason,
    SupportKind, Tensor, TinyFit, config,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<GaussianMixture>("gmm", "Gaussian mixture", module_path!())
    .summary("real tables of few columns: density, clusters, outliers, exact filling of missing values")
    .papers(&[
        Reference::new(
            "Dempster, Laird & Rubin",
            1977,
            "Maximum likelihood from incomplete data via the EM algorithm",
            "https://doi.org/10.1111/j.2517-6161.1977.tb01600.x",
        ),
        Reference::new(
            "McLachlan & Peel",
            2000,
            "Finite mixture models",
            "https://doi.org/10.1002/0471721182",
        ),
    ])
    .evidence(EvidenceKind::Exact)
    .can(&[
        Capability::Density,
        Capability::Sampler,
        Capability::Conditional,
        Capability::Clusterer,
        Capability::Given,
    ])
    .rows(&[SupportKind::Real, SupportKind::Discrete, SupportKind::Binary])
    .given(GivenKinds::Numbers)
    .takes_missing()
    .suited(crate::suited::mixture)
    .tiny_fits(&[
        TinyFit::new("full", "8gaussians", "components = 8\nrestarts = 2\n"),
        TinyFit::new(
            "diagonal on standardised columns",
            "pinwheel",
            "components = 20\nrestarts = 1\ncovariance = \"diagonal\"\nstandardize = true\n",
        ),
        TinyFit::new("levels", "pairs4", "components = 30\nrestarts = 1\n"),
        TinyFit::new(
            "spherical on bits",
            "tree8",
            "components = 12\nrestarts = 1\ncovariance = \"spherical\"\n",
        )
        .failing(&[
            (
                "beats_independent_columns",
                "round normals spend most of their mass beside the dequantised bits",
            ),
            (
                "approaches_the_known_entropy",
                "round normals spend most of their mass beside the dequantised bits",
            ),
        ]),
        TinyFit::new("given numbers", "regression", "components = 6\nrestarts = 1\n").given(&["a", "b"]),
    ]);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GaussianMixtureConfig {
    /// Number of components.
    pub components: NonZeroUsize,
    /// Structure of the covariances.
    pub covariance: Covariance,
    /// Smallest eigenvalue of a covariance, as a share of the columns' variances.
    pub floor: Positive,
    /// Independent starts, of which the most likely is kept.
    pub restarts: NonZeroUsize,
    /// Most EM iterations of one start.
    pub iterations: NonZeroUsize,
    /// EM stops when the mean log-likelihood per row rises by less, nats.
    pub tolerance: NonNegative,
    /// Fit to standardised columns; scores stay in data units.
    pub standardize: bool,
    /// α of a logit transform of levels; none leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit: Option<f64>,
}

impl Default for GaussianMixtureConfig {
    fn default() -> Self {
        let positive = |v| match Positive::new(v) {
            Some(v) => v,
            None => unreachable!("{v} is positive"),
        };
        Self {
            components: count(8),
            covariance: Covariance::Full,
            floor: positive(1e-6),
            restarts: count(5),
            iterations: count(500),
            tolerance: NonNegative::new(1e-7).unwrap_or_else(|| unreachable!("it is not negative")),
            standardize: false,
            logit: None,
        }
    }
}

/// Rows with noise between levels that EM should see, and how often a row comes at most for that.
const NOISY: usize = 4096;
const TIMES: usize = 64;

/// Most values of all covariances together: 2 GiB.
const MOST: usize = 1 << 28;

/// Refuses covariances that would not fit into memory, before anything is allocated.
fn afford(config: &GaussianMixtureConfig, d: usize) -> Result<()> {
    let each = if config.covariance.is_diagonal() { Some(d) } else { d.checked_mul(d) };
    match each.and_then(|n| n.checked_mul(config.components.get())) {
        Some(n) if n <= MOST => Ok(()),
        _ => Err(Error::config(
            "components",
            format!(
                "{} covariances of {d} columns hold more than {MOST} values; take fewer components or covariance=diagonal",
                config.components
            ),
        )),
    }
}

/// A fitted Gaussian mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    config: GaussianMixtureConfig,
    transform: Transform,
    /// Of p(x | given), whose components are those of rows beside what they are given.
    context: Option<Context>,
    components: Vec<Component>,
    /// Components that only the floor of the covariances holds.
    held: usize,
}

impl Family for GaussianMixture {
    type Config = GaussianMixtureConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check_missing()?;
        let k = config.components.get();
        if data.train.x.rows() < k {
            return Err(Error::config(
                "components",
                format!("{k} components need at least {k} training rows, there are {}", data.train.x.rows()),
            ));
        }
        let context = context::of_fit(cx.start, &SPEC, data, config.standardize)?;
        afford(config, data.schema.width() + context.as_ref().map_or(0, Context::width))?;
        let want = RealSteps { logit: config.logit, standardize: config.standardize };
        let transform = crate::given_transform_for(cx, data, || {
            Transform::to_real(&data.schema, want, &data.train.x, 0)
        })?
        .with_missing();
        let mut noise = cx.seed.child("dequantize").rng();
        // Few rows come several times, each time with other noise between their levels: the law of the noise is known, and must not be
        // learned from a single draw.
        let rows = data.train.x.rows();
        let times = if transform.dequantizes() { NOISY.div_ceil(rows).clamp(1, TIMES) } else { 1 };
        let every: Vec<usize> = (0..times * rows).map(|r| r % rows).collect();
        let again = |x: &Batch| if times == 1 { x.clone() } else { x.select(&every) };
        let (mut x, _) = transform.forward(&again(&data.train.x), Noise::Stream(&mut noise))?;
        if let (Some(context), Some(given)) = (&context, &data.train.given) {
            x = beside(&x, &context.encode(&again(given))?);
        }
        let parameters = k * (x.width() + 1) - 1 + config.covariance.parameters(k, x.width());
        let start_at = match cx.start.map(Self::restore).transpose()? {
            Some(old) if old.config.components != config.components => {
                let message = format!("the mixture that fitting begins with has {}", old.config.components);
                return Err(Error::config("components", message));
            }
            Some(old) if old.config.covariance != config.covariance => {
                let message = "the mixture that fitting begins with has covariances of another structure";
                return Err(Error::config("covariance", message));
            }
            old => old.map(|old| old.components),
        };
        // One that begins somewhere has nothing to try out.
        let restarts = if start_at.is_some() { 1 } else { config.restarts.get() as u64 };
        cx.emit(&Event::Start {
            model: SPEC.name.into(),
            // Nobody knows how many iterations it will take.
            steps: None,
            resumed_at: 0,
            parameters: parameters as u64,
        });
        let em = Em {
            components: k,
            covariance: config.covariance,
            floor: config.floor.get(),
            units: moments(&x).1,
            iterations: config.iterations.get(),
            tolerance: config.tolerance.get(),
        };
        let mut report = FitReport::default();
        let distinct: HashSet<&[u32]> = data.train.x.iter().map(bytemuck::cast_slice).collect();
        if distinct.len() < k {
            let message = format!(
                "{} distinct training rows for {k} components; take fewer `components`",
                distinct.len()
            );
            cx.warn(&mut report, message);
        }
        if context.is_some() && k == 1 && config.covariance.is_diagonal() {
            let message = "one component without correlations: what is given changes nothing; take covariance=full, or more `components`";
            cx.warn(&mut report, message);
        }
        let mut best: Option<Climb> = None;
        let mut iterations = 0;
        for start in 0..restarts {
            let mut rng = cx.seed.child("start").index(start).rng();
            cx.emit(&Event::Restart { restart: start + 1, step: iterations });
            let stop = cx.stop().clone();
            let climbed = stop.during(|| {
                climb(&x, &em, start_at.as_deref(), &mut rng, |step, mean| {
                    let parts = BTreeMap::from([("loss".to_owned(), -mean)]);
                    cx.emit(&Event::Step { step: iterations + step, parts });
                    cx.stopped().is_some()
                })
            });
            let climbed = match climbed {
                Err(Error::Stopped(_)) if best.is_some() => break,
                other => other?,
            };
            iterations += climbed.iterations;
            let mean = climbed.mean;
            let better = best.as_ref().is_none_or(|b| mean > b.mean);
            let train = BTreeMap::from([("loss".to_owned(), -mean)]);
            cx.emit(&Event::Epoch {
                epoch: start + 1,
                step: iterations,
                train,
                valid: BTreeMap::new(),
                best: better,
            });
            if better {
                best = Some(climbed);
            }
            if cx.stopped().is_some() {
                break;
            }
        }
        let Some(Climb { mut components, end, held, .. }) = best else {
            unreachable!("there is at least one start")
        };
        match end {
            End::Cut if cx.stopped().is_none() => {
                let n = config.iterations;
                let message = format!("EM did not converge in {n} iterations; raise `iterations` or `tolerance`");
                cx.warn(&mut report, message);
            }
            End::Fell => cx.warn(
                &mut report,
                "EM stopped where rounding lowered the likelihood: columns depend on each other almost exactly; \
                 raise `floor` or set standardize=true",
            ),
            End::Cut | End::Converged => {}
        }
        if held > 0 {
            let message = format!(
                "the floor of the covariances alone holds {held} of {k} components: rows repeat or columns depend on each other, and \
                 the likelihood is as high as the floor is low; take fewer components, a higher `floor`, or leave such columns out"
            );
            cx.warn(&mut report, message);
        }
        // Heaviest first, so that component numbers mean something.
        components.sort_by(|a, b| b.log_weight.total_cmp(&a.log_weight));
        let reason = cx.stopped().unwrap_or(StopReason::Completed);
        cx.emit(&Event::End { step: iterations, reason });
        report.steps = iterations;
        report.stopped = Some(reason);
        let model = Self { config: config.clone(), transform, context, components, held };
        report.figures = match model.criteria(&data.train) {
            Err(Error::Stopped(_)) => Vec::new(),
            other => other?,
        };
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: GaussianMixtureConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let context = Context::restore(state, transform.source())?;
        let given = context.as_ref().map_or(0, Context::width);
        let (k, d) = (config.components.get(), transform.target().width() + given);
        afford(&config, d)?;
        let log_weights = state.f64("log_weights", &[k])?;
        let means = state.f64("means", &[k, d])?;
        let factors = state.f64("factors", &config.covariance.shape(k, d))?;
        let finite = means.iter().chain(factors).all(|v| v.is_finite());
        if !finite || log_sum_exp(log_weights.iter().copied()).abs() > 1e-6 {
            let message =
                "the weights do not sum to 1, or a mean or a factor is not finite; the file is damaged";
            return Err(Error::Run(message.into()));
        }
        let wrap = if config.covariance.is_diagonal() { Factor::Diagonal } else { Factor::Dense };
        let parts = means.chunks_exact(d).zip(factors.chunks_exact(config.covariance.width(d)));
        let components = log_weights
            .iter()
            .zip(parts)
            .map(|(w, (mean, factor))| Component::new(*w, mean.to_vec(), wrap(factor.to_vec())))
            .collect();
        let held = state.header.get("held").and_then(|h| h.parse().ok()).unwrap_or(0);
        Ok(Self { config, transform, context, components, held })
    }
}

impl GaussianMixture {
    /// Columns of the mixture: those of a row, and those that it is given.
    fn width(&self) -> usize {
        self.transform.target().width() + self.context.as_ref().map_or(0, Context::width)
    }

    /// What it is given, if it is of p(x | given).
    fn given(&self) -> Result<&Context> {
        self.context.as_ref().ok_or_else(context::closed)
    }

    /// The components of rows given one row of what the mixture sees, normalised.
    fn parts(&self, conditionals: &Conditionals<'_>, seen: &[f32]) -> Result<Vec<Part>> {
        let d = self.transform.target().width();
        let row = [&vec![0.0; d][..], seen].concat();
        let (missing, there): (Vec<usize>, Vec<usize>) = (0..row.len()).partition(|c| *c < d);
        let mut parts = conditionals.given(&row, &there, &missing)?;
        let total = log_sum_exp(parts.iter().map(|p| p.log_weight));
        if !total.is_finite() {
            return Err(Error::Domain(context::TOO_FAR.into()));
        }
        parts.iter_mut().for_each(|p| p.log_weight -= total);
        Ok(parts)
    }

    /// The components ready to be conditioned.
    fn conditionals(&self) -> Result<Conditionals<'_>> {
        Conditionals::new(&self.components, self.config.floor.get())
    }

    /// Why a score says little, if it does.
    fn doubt(&self) -> String {
        match self.held {
            0 => String::new(),
            n => format!("not comparable: {n} components are held by the floor alone"),
        }
    }

    /// Free parameters of the mixture.
    pub fn parameters(&self) -> usize {
        let (k, d) = (self.components.len(), self.width());
        k * (d + 1) - 1 + self.config.covariance.parameters(k, d)
    }

    /// Log-likelihood of the training rows in data units, and the criteria that punish it for its parameters.
    fn criteria(&self, train: &Split) -> Result<Vec<Figure>> {
        const TOTAL: &str = "total log-likelihood of the training rows";
        if let (Some(_), Some(given)) = (&self.context, &train.given) {
            let total: f64 = self.score_given(&train.x, given, &Scoring::default())?.nats.iter().sum();
            return Ok(vec![Figure::new(format!("{TOTAL}, given the others"), total, "nats")]);
        }
        let train = &train.x;
        let total: f64 = self.log_prob(train)?.nats.iter().sum();
        if self.transform.dequantizes() {
            // Of a bound there is no criterion.
            return Ok(vec![Figure::new(TOTAL, total, "nats")]);
        }
        let p = self.parameters() as f64;
        Ok(vec![
            Figure::new(TOTAL, total, "nats"),
            Figure::new(
                "BIC of the training rows",
                p * (train.rows() as f64).ln() - 2.0 * total,
                "lower is better",
            ),
            Figure::new("AIC of the training rows", 2.0 * p - 2.0 * total, "lower is better"),
        ])
    }
}

impl Model for GaussianMixture {
    fn spec(&self) -> &'static ModelSpec {
        &SPEC
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let (k, d) = (self.components.len(), self.width());
        let mut state = crate::header(&SPEC, &config::to_table(&self.config), &self.transform);
        if let Some(context) = &self.context {
            context.put(&mut state);
        }
        if self.held > 0 {
            state.header.insert("held".into(), self.held.to_string());
        }
        let gather = |f: &dyn Fn(&Component) -> Vec<f64>| self.components.iter().flat_map(f).collect();
        // The factors, not the covariances: a restored model must score with the same bits.
        state.tensors.insert("log_weights".into(), Tensor::f64(&[k], gather(&|c| vec![c.log_weight])));
        state.tensors.insert("means".into(), Tensor::f64(&[k, d], gather(&|c| c.mean.clone())));
        let shape = self.config.covariance.shape(k, d);
        state.tensors.insert("factors".into(), Tensor::f64(&shape, gather(&|c| c.factor.values().to_vec())));
        state
    }

    fn exhibits(&self) -> Vec<Exhibit> {
        // Those of p(x | given) are of rows beside what they are given, and no picture of rows.
        match self.context {
            Some(_) => Vec::new(),
            None => exhibit::components(&self.transform, &self.components),
        }
    }

    fn figures(&self, x: &Batch, how: &Scoring) -> Result<Vec<Figure>> {
        if self.context.is_some() {
            return Ok(Vec::new());
        }
        draws::in_logit_space(&self.transform, x, how, |y| {
            Ok(joint(&self.components, y, self.config.floor.get())?.1)
        })
    }

    fn as_density(&self) -> Option<&dyn Density> {
        self.context.is_none().then_some(self)
    }
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        self.context.is_none().then_some(self)
    }
    fn as_conditional(&self) -> Option<&dyn Conditional> {
        self.context.is_none().then_some(self)
    }
    fn as_clusterer(&self) -> Option<&dyn Clusterer> {
        self.context.is_none().then_some(self)
    }
    fn as_given(&self) -> Option<&dyn Given> {
        self.context.is_some().then_some(self)
    }
}

/// The mixture is of rows beside what they are given: p(x | given) is the ratio of two mixtures, and again a mixture.
impl Given for GaussianMixture {
    fn score_given(&self, x: &Batch, given: &Batch, how: &Scoring) -> Result<LogProb> {
        let context = self.given()?;
        let seen = context.encode_for(x, given)?;
        let first = self.transform.target().width();
        let columns: Vec<usize> = (first..first + seen.width()).collect();
        let (_, alone) = joint(&self.conditionals()?.marginal(&columns)?, &seen, self.config.floor.get())?;
        let own = |y: &Batch| {
            let (_, both) = joint(&self.components, &beside(y, &seen), self.config.floor.get())?;
            let nats: Vec<f64> = both.iter().zip(&alone).map(|(b, a)| b - a).collect();
            match nats.iter().position(|v| v.is_nan()) {
                Some(r) => Err(Error::Domain(format!("row {r}: {}", context::TOO_FAR))),
                None => Ok(nats),
            }
        };
        draws::exact(&self.transform, x, how, [context.protocol(given), self.doubt()], own)
    }

    fn sample_given(&self, given: &Batch, temperature: f64, rng: &mut Rng) -> Result<Batch> {
        if temperature != 1.0 {
            let (capability, remedy) = ("sample at a temperature".into(), "other models have that choice");
            let error = Error::Unsupported { model: SPEC.name.into(), capability, remedy: remedy.into() };
            return Err(error.advise(Advice::OwnLaw));
        }
        let (seen, conditionals, stop) =
            (self.given()?.encode(given)?, self.conditionals()?, Stop::current());
        let mut data = Vec::with_capacity(given.rows() * self.transform.target().width());
        for (r, row) in seen.iter().enumerate() {
            stop.check()?;
            let parts = self.parts(&conditionals, row).map_err(|e| e.within(format!("row {r}")))?;
            let weights: Vec<f64> = parts.iter().map(|p| libm::exp(p.log_weight)).collect();
            let part = &parts[rng.categorical(&weights)];
            data.extend(part.factor.draw(&part.mean, rng).into_iter().map(|v| v as f32));
        }
        Ok(self.transform.inverse(&Batch::new(data, self.transform.target().width())?))
    }

    /// The conditional mixture, which is one like others.
    fn at(&self, given: &[f32]) -> Result<Box<dyn Model>> {
        let seen = self.given()?.encode(&Batch::new(given.to_vec(), given.len().max(1))?)?;
        let parts = self.parts(&self.conditionals()?, seen.row(0))?;
        let component = |p: Part| Component::new(p.log_weight, p.mean, p.factor);
        Ok(Box::new(Self {
            config: self.config.clone(),
            transform: self.transform.alone(),
            context: None,
            components: parts.into_iter().map(component).collect(),
            held: self.held,
        }))
    }

    fn doubts(&self, given: &Batch) -> Vec<String> {
        self.context.as_ref().map(|c| c.doubts(given)).unwrap_or_default()
    }
}

impl Density for GaussianMixture {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        draws::exact(&self.transform, x, how, [self.doubt()], |y| {
            Ok(joint(&self.components, y, self.config.floor.get())?.1)
        })
    }
}

impl Sampler for GaussianMixture {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let weights: Vec<f64> = self.components.iter().map(|c| libm::exp(c.log_weight)).collect();
        let width = self.transform.target().width();
        let mut data = Vec::with_capacity(n * width);
        let stop = Stop::current();
        for row in 0..n {
            if row.is_multiple_of(256) {
                stop.check()?;
            }
            let c = &self.components[rng.categorical(&weights)];
            data.extend(c.factor.draw(&c.mean, rng).into_iter().map(|v| v as f32));
        }
        Ok(self.transform.inverse(&Batch::new(data, width)?))
    }
}

impl Conditional for GaussianMixture {
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion> {
        let conditionals = self.conditionals()?;
        completion::fill(&self.transform, x, fill, rng, |holes, rng| {
            let mut parts = Vec::new();
            for y in holes.seen.iter() {
                parts.extend(conditionals.given(y, holes.there, holes.missing)?);
            }
            let total = log_sum_exp(parts.iter().map(|p| p.log_weight));
            if !total.is_finite() {
                return Err(completion::unexplained());
            }
            let weights: Vec<f64> = parts.iter().map(|p| libm::exp(p.log_weight - total)).collect();
            Ok(match fill {
                Fill::Mean => (0..holes.missing.len())
                    .map(|i| parts.iter().zip(&weights).map(|(p, w)| w * p.mean[i]).sum())
                    .collect(),
                Fill::Sample => {
                    let part = &parts[rng.categorical(&weights)];
                    part.factor.draw(&part.mean, rng)
                }
            })
        })
    }
}

impl Clusterer for GaussianMixture {
    fn clusters(&self) -> usize {
        self.components.len()
    }

    fn assign(&self, x: &Batch) -> Result<Vec<u32>> {
        let (y, _) = self.transform.forward(x, Noise::Row(Scoring::default().seed))?;
        let (each, _) = joint(&self.components, &y, self.config.floor.get())?;
        Ok(each
            .iter()
            .map(|row| {
                row.iter().enumerate().fold(0, |best, (c, v)| if *v > row[best] { c } else { best }) as u32
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Domain;
    use genus_core::math::LN_2PI;
    use genus_core::{Seed, Silent};

    fn example() -> GaussianMixture {
        let parts = [
            (0.3, vec![-1.0, 0.5], vec![1.0, 0.6, 0.6, 0.8]),
            (0.7, vec![1.5, -1.0], vec![0.5, -0.2, -0.2, 0.4]),
        ];
        GaussianMixture {
            config: GaussianMixtureConfig { components: count(2), ..Default::default() },
            held: 0,
            context: None,
            transform: Transform::identity(Domain::real(2)),
            components: parts
                .into_iter()
                .map(|(w, m, c): (f64, Vec<f64>, Vec<f64>)| {
                    Component::new(w.ln(), m, Factor::from_covariance(&c, 2).unwrap().unwrap())
                })
                .collect(),
        }
    }

    /// Mean and variance of the second column given the first, by quadrature of the density.
    #[test]
    fn conditionals_are_those_of_the_density() {
        let model = example();
        for given in [-2.0f32, 0.0, 1.0, 3.0] {
            let (mut mass, mut mean, mut square) = (0.0, 0.0, 0.0);
            let grid = Batch::from_fn(8001, 2, |r, c| if c == 0 { given } else { -8.0 + 0.002 * r as f32 });
            for (x, nats) in grid.iter().zip(model.log_prob(&grid).unwrap().nats) {
                let (p, y) = (nats.exp(), f64::from(x[1]));
                (mass, mean, square) = (mass + p, mean + p * y, square + p * y * y);
            }
            let (mean, variance) = (mean / mass, square / mass - (mean / mass).powi(2));
            let holes = Batch::from_fn(20_000, 2, |_, c| if c == 0 { given } else { f32::NAN });
            let filled = model.impute(&holes.slice(0, 1), Fill::Mean, &mut Seed::from(0).rng()).unwrap();
            assert!((f64::from(filled.row(0)[1]) - mean).abs() < 1e-4, "{} {mean}", filled.row(0)[1]);
            // 20,000 draws, five standard errors: false alarm 6e-7 per figure.
            let drawn = model.impute(&holes, Fill::Sample, &mut Seed::from(1).rng()).unwrap();
            let (m, s) = moments(&drawn);
            let se = (variance / 20_000.0).sqrt();
            assert!((m[1] - mean).abs() < 5.0 * se, "{} {mean}", m[1]);
            assert!((s[1] * s[1] / variance - 1.0).abs() < 0.1, "{} {variance}", s[1] * s[1]);
            assert!(drawn.iter().all(|r| r[0] == given));
        }
    }

    /// Rows with every value missing are draws from the mixture itself.
    #[test]
    fn nothing_given_is_the_marginal() {
        let model = example();
        let holes = Batch::from_fn(1, 2, |_, _| f32::NAN);
        let filled = model.impute(&holes, Fill::Mean, &mut Seed::from(0).rng()).unwrap();
        assert!((filled.row(0)[0] - (0.7 * 1.5 - 0.3)).abs() < 1e-6);
        assert!((filled.row(0)[1] - (0.3 * 0.5 - 0.7)).abs() < 1e-6);
    }

    /// A column that is the sum of two others makes covariances singular up to rounding: a model with a warning, not an error.
    #[test]
    fn dependent_columns_are_a_warning() {
        let mut rng = Seed::from(4).rng();
        let mut x = Batch::from_fn(500, 3, |_, _| 1e4 * rng.normal() as f32);
        (0..500).for_each(|r| x.row_mut(r)[2] = x.row(r)[0] + x.row(r)[1]);
        let set = Dataset::new("t", Domain::real(3), Split::unlabelled(x)).unwrap();
        let config = GaussianMixtureConfig { components: count(2), ..Default::default() };
        let fit =
            GaussianMixture::fit(&config, &set, &mut FitContext::new(Seed::from(2), &mut Silent)).unwrap();
        assert!(fit.report.figures.iter().all(|f| f.value.is_finite()));
    }

    /// The log-likelihood that a fit reports is in data units, whatever the model was fitted to.
    #[test]
    fn the_reported_likelihood_is_in_data_units() {
        let iris = crate::data::load("iris", &crate::data::Options::default()).unwrap();
        let total = |standardize| {
            let components = count(2);
            let config = GaussianMixtureConfig { components, standardize, ..Default::default() };
            let mut silent = Silent;
            let fit = GaussianMixture::fit(&config, &iris, &mut FitContext::new(Seed::from(0), &mut silent))
                .unwrap();
            let scored: f64 = fit.model.log_prob(&iris.train.x).unwrap().nats.iter().sum();
            assert!((fit.report.figures[0].value - scored).abs() < 1e-9);
            scored
        };
        assert!((total(false) + 214.3547).abs() < 0.01);
        assert!((total(true) + 214.3547).abs() < 0.01);
    }

    /// Two coinciding rows would give a component without variance and an unbounded likelihood; the floor holds it.
    #[test]
    fn the_floor_bounds_the_likelihood() {
        let mut x = Batch::from_fn(60, 2, |r, c| ((r * 7 + c * 3) % 13) as f32);
        (0..30).for_each(|r| x.row_mut(r).copy_from_slice(&[100.0, 100.0]));
        let set = Dataset::new("t", Domain::real(2), Split::unlabelled(x)).unwrap();
        for covariance in [Covariance::Full, Covariance::Tied, Covariance::Diagonal, Covariance::Spherical] {
            let config = GaussianMixtureConfig {
                components: count(3),
                covariance,
                floor: Positive::new(0.01).unwrap(),
                ..Default::default()
            };
            let fit = GaussianMixture::fit(&config, &set, &mut FitContext::new(Seed::from(2), &mut Silent))
                .unwrap();
            // Half of the rows under N(·; floor · I) with weight ½ is the best that the floor allows.
            let bound = 0.5f64.ln() - LN_2PI - 0.01f64.ln();
            let nats = fit.model.log_prob(&set.train.x).unwrap().nats;
            assert!(nats[0] <= bound + 1e-6, "{covariance:?}: {} {bound}", nats[0]);
            assert!(nats.iter().all(|v| v.is_finite()));
        }
    }
}
