//! What a fitted model offers. There is no unfitted model: [`Family::fit`](crate::Family::fit) makes fitted ones.

use crate::transform::Transform;
use crate::{
    Advice, Batch, Domain, Error, Exhibit, LogProb, ModelSpec, Result, Rng, Schema, Seed, Split, State, Stop,
};
use serde::{Deserialize, Serialize};

/// A fitted model, seen by the tools as `dyn Model`.
pub trait Model: Send + Sync {
    /// Its entry in the registry.
    fn spec(&self) -> &'static ModelSpec;

    /// What the rows are that it was fitted to, that it scores and that it samples.
    fn schema(&self) -> &Schema;

    /// Values and layout of these rows.
    fn domain(&self) -> &Domain {
        &self.schema().domain
    }

    /// What lies between these rows and those that it works on, if something does.
    fn transform(&self) -> Option<&Transform> {
        None
    }

    /// Named tensors and the configuration: all that [`Family::restore`](crate::Family::restore) needs.
    fn state(&self) -> State;

    /// Figures about `x` that belong to this kind of model: KL and active units, BIC, log Z …
    ///
    /// # Errors
    /// If `x` does not fit the domain.
    fn figures(&self, x: &Batch, how: &Scoring) -> Result<Vec<Figure>> {
        let _ = (x, how);
        Ok(Vec::new())
    }

    /// What a report shows of its inside, if there is anything to be seen: weights, components …
    fn exhibits(&self) -> Vec<Exhibit> {
        Vec::new()
    }

    /// The density, if the model writes one down.
    fn as_density(&self) -> Option<&dyn Density> {
        None
    }
    /// The sampler, if it can draw rows.
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        None
    }
    /// The encoder, if rows have codes.
    fn as_encoder(&self) -> Option<&dyn Encoder> {
        None
    }
    /// The decoder, if codes give rows.
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        None
    }
    /// The likelihood given a code, if rows come from codes with a prior that can be written down.
    fn as_latent_variable(&self) -> Option<&dyn LatentVariable> {
        None
    }
    /// The conditionals of the chain rule, if the model is a product of them over binary dimensions.
    fn as_autoregressive(&self) -> Option<&dyn Autoregressive> {
        None
    }
    /// The invertible map to independent values of a known law, if the density is made by one.
    fn as_invertible(&self) -> Option<&dyn Invertible> {
        None
    }
    /// Conditionals of any part of a row given any other, if it has them.
    fn as_conditional(&self) -> Option<&dyn Conditional> {
        None
    }
    /// The Markov chain that draws, if one does.
    fn as_chain(&self) -> Option<&dyn Chain> {
        None
    }
    /// The density given columns or a class, if the model was fitted with such. One of [`Schema::conditional`] rows has this alone: all
    /// else it can do under what is given, by the model that [`Given::at`] gives.
    fn as_given(&self) -> Option<&dyn Given> {
        None
    }
    /// The densities of the classes, if the model was fitted with labels.
    fn as_class_conditional(&self) -> Option<&dyn ClassConditional> {
        None
    }
    /// The clustering, if rows belong to clusters.
    fn as_clusterer(&self) -> Option<&dyn Clusterer> {
        None
    }
}

impl dyn Model + '_ {
    /// Log-probability of each row of a split, nats, given what it comes with where the model is one of p(x | given); nothing if it has
    /// no density.
    ///
    /// # Errors
    /// As [`Density::score`] and [`Given::score_given`].
    pub fn score_split(&self, rows: &Split, how: &Scoring) -> Result<Option<LogProb>> {
        if let Some(density) = self.as_density() {
            return density.score(&rows.x, how).map(Some);
        }
        match (self.as_given().filter(|_| self.schema().conditional), &rows.given) {
            (Some(model), Some(given)) => model.score_given(&rows.x, given, how).map(Some),
            (Some(_), None) => Err(Error::Domain(format!(
                "the model is of {}, and these rows come without what is given",
                self.schema().formula()
            ))),
            (None, _) => Ok(None),
        }
    }
}

/// How to score, where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scoring {
    /// Importance samples per row for bounds that take them; 1 is the plain bound. Exact models ignore it.
    pub importance_samples: usize,
    /// Stream that stochastic scores draw from. Each row draws from its own part, so a row's score depends on the row and
    /// this seed alone.
    pub seed: Seed,
}

impl Default for Scoring {
    fn default() -> Self {
        Self { importance_samples: 1, seed: Seed::from(0) }
    }
}

/// A figure of a model with its unit, for tables and reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Short name: `kl`, `active units`, `bic`.
    pub name: String,
    /// The value.
    #[serde(with = "crate::number")]
    pub value: f64,
    /// Unit, or what is counted: `nats`, `of 50`.
    pub unit: String,
}

impl Figure {
    /// A figure.
    pub fn new(name: impl Into<String>, value: f64, unit: impl Into<String>) -> Self {
        Self { name: name.into(), value, unit: unit.into() }
    }
}

/// The model writes p(x) down, or a bound on it.
pub trait Density: Model {
    /// Log-probability of each row, nats, in the units of the rows.
    #[doc(alias = "score_samples")]
    #[doc(alias = "log_likelihood")]
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if a row is not in [`Model::domain`].
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb>;

    /// [`score`](Self::score) with the default [`Scoring`].
    ///
    /// # Errors
    /// As [`score`](Self::score).
    fn log_prob(&self, x: &Batch) -> Result<LogProb> {
        self.score(x, &Scoring::default())
    }
}

/// How to draw, where there is a choice. The default is the model's law.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Below 1 draws are less varied than the model's law, above 1 more: divides the logits of every conditional, or multiplies the
    /// deviations at the base of a flow.
    pub temperature: f64,
    /// Rows that come with these values of [`Schema::given`] only: of this class.
    pub given: Option<Vec<f32>>,
    /// Rows lack values as training rows did; else none does.
    pub missing: bool,
}

impl Default for Drawing {
    fn default() -> Self {
        Self { temperature: 1.0, given: None, missing: false }
    }
}

/// The model draws rows.
pub trait Sampler: Model {
    /// Number of classes that rows can be drawn of, by [`draw_as`](Self::draw_as); 0 if rows are drawn of no class.
    fn classes_drawn(&self) -> usize {
        self.as_class_conditional().map_or(0, ClassConditional::classes)
    }

    /// Whether rows can be drawn that lack values as training rows did, by [`draw_as`](Self::draw_as).
    fn draws_missing(&self) -> bool {
        false
    }

    /// `n` rows in the units of the training data.
    #[doc(alias = "generate")]
    ///
    /// # Errors
    /// If sampling leaves the finite numbers.
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch>;

    /// As [`sample`](Self::sample), in another way than from the model's law where that is asked for, and with what rows come with where
    /// the model draws that too: their class.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has no such choice, [`Error::Config`] if there is no such class or temperature.
    fn draw_as(&self, n: usize, how: &Drawing, rng: &mut Rng) -> Result<Split> {
        if *how == Drawing::default() {
            return Ok(Split::unlabelled(self.sample(n, rng)?));
        }
        let what = match how {
            Drawing { given: Some(_), .. } => "sample by class",
            Drawing { missing: true, .. } => "draw rows that lack values",
            _ => "sample at a temperature",
        };
        let remedy = "other models have that choice".into();
        let error = Error::Unsupported { model: self.spec().name.into(), capability: what.into(), remedy };
        Err(error.advise(Advice::OwnLaw))
    }
}

/// The model draws by a Markov chain, which leaves the model's law as it is.
///
/// Audits use it: rows that begin as exact draws must stay such.
pub trait Chain: Sampler {
    /// Transitions between two rows of one chain that [`Sampler::sample`] gives.
    fn thinning(&self) -> usize;

    /// Chains that begin at rows: where they are after `thin` transitions, after twice as many, and so on, `states` times.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if a row is not in [`Model::domain`].
    fn walk(&self, x: &Batch, states: usize, thin: usize, rng: &mut Rng) -> Result<Vec<Visited>>;
}

/// Where chains are.
#[derive(Debug, Clone, PartialEq)]
pub struct Visited {
    /// A row of each.
    pub rows: Batch,
    /// The means of what these were drawn from at last, in the data's units.
    pub means: Batch,
}

/// Rows have codes.
pub trait Encoder: Model {
    /// Length of a code.
    fn code_width(&self) -> usize;

    /// The code of each row; for a stochastic encoder its mean.
    #[doc(alias = "embed")]
    #[doc(alias = "latent")]
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if a row is not in [`Model::domain`].
    fn encode(&self, x: &Batch) -> Result<Batch>;
}

/// Codes give rows.
pub trait Decoder: Encoder {
    /// The row of each code, in data units; for a stochastic decoder its mean.
    ///
    /// # Errors
    /// [`Error::Shape`] if a code has another length than [`Encoder::code_width`].
    fn decode(&self, codes: &Batch) -> Result<Batch>;

    /// Encodes and decodes.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    fn reconstruct(&self, x: &Batch) -> Result<Batch> {
        self.decode(&self.encode(x)?)
    }

    /// `steps` rows on the straight line between the codes of two rows, both ends included.
    ///
    /// # Errors
    /// [`Error::Shape`] if either is not exactly one row, [`Error::Config`] for fewer than two steps.
    fn interpolate(&self, from: &Batch, to: &Batch, steps: usize) -> Result<Batch> {
        if from.rows() != 1 || to.rows() != 1 {
            return Err(Error::shape(
                "ends of an interpolation",
                "one row each",
                format!("{} and {} rows", from.rows(), to.rows()),
            ));
        }
        if steps < 2 {
            return Err(Error::config("steps", "an interpolation needs at least 2 steps"));
        }
        let (a, b) = (self.encode(from)?, self.encode(to)?);
        let codes = Batch::from_fn(steps, self.code_width(), |r, c| {
            let t = r as f32 / (steps - 1) as f32;
            (1.0 - t) * a.row(0)[c] + t * b.row(0)[c]
        });
        self.decode(&codes)
    }
}

/// p(x) = ∫ p(x|z) N(z; 0, I) dz with a p(x|z) that can be written down.
///
/// Audits of small models use it: with one or two latent dimensions the integral is a sum, and what is below it must be below.
pub trait LatentVariable: Density + Decoder {
    /// log p(x|z) of one row under each code, nats, in the units and against the measure of [`Density::score`].
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if `x` is not one row of the domain or a code has another length than
    /// [`Encoder::code_width`].
    fn log_given(&self, x: &Batch, codes: &Batch) -> Result<Vec<f64>>;

    /// log p(z) of each code, nats: standard normal unless a model says otherwise.
    ///
    /// # Errors
    /// [`Error::Shape`] if a code has another length than [`Encoder::code_width`].
    fn log_prior(&self, codes: &Batch) -> Result<Vec<f64>> {
        let of = |z: &[f32]| z.iter().map(|v| -0.5 * (f64::from(*v).powi(2) + crate::math::LN_2PI)).sum();
        Ok(codes.iter().map(of).collect())
    }
}

/// p(x) = p_base(f(x)) |det ∂f/∂x| with an invertible f.
///
/// Audits use it: the way there and back must meet, and the determinant must be that of difference quotients. Rows are those that the
/// model works on, after its transform.
#[doc(alias = "normalising flow")]
pub trait Invertible: Density + Sampler {
    /// Rows towards the base, and log |det ∂f/∂x| of each, nats.
    ///
    /// # Errors
    /// [`Error::Shape`] if rows have another width.
    fn to_base(&self, x: &Batch) -> Result<(Batch, Vec<f64>)>;

    /// Rows from the base.
    ///
    /// # Errors
    /// As [`to_base`](Self::to_base).
    fn to_rows(&self, z: &Batch) -> Result<Batch>;

    /// Where rows are on the way from the base, after each of about so many parts of the map; the last are the rows themselves.
    ///
    /// # Errors
    /// As [`to_base`](Self::to_base).
    fn path(&self, z: &Batch, parts: usize) -> Result<Vec<Batch>> {
        let _ = parts;
        Ok(vec![self.to_rows(z)?])
    }

    /// Values of the base that leave the map together, coarse ones last, where it has several scales.
    fn scales(&self) -> Vec<Vec<usize>> {
        Vec::new()
    }
}

/// How a missing value is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// With the conditional mean.
    Mean,
    /// With a draw from the conditional.
    Sample,
}

/// The model knows any part of a row given any other.
pub trait Conditional: Model {
    /// Fills every NaN from the model's conditional given the row's other values, and says how. Nothing else changes.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if a value that is there is not in the domain.
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion>;

    /// The rows of [`complete`](Self::complete).
    ///
    /// # Errors
    /// As there.
    fn impute(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Batch> {
        Ok(self.complete(x, fill, rng)?.x)
    }

    /// log p(column = v | the row's other values that are there) for each candidate v of each row, `[rows, candidates]` one after the other:
    /// nats, against the measure of the column. What the rows hold in the column does not matter.
    ///
    /// By default the difference of log p of the rows with and without a value there, which is exact where marginals are.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model does not score rows that lack values; [`Error::Shape`] or [`Error::Domain`] if a value is not in
    /// the domain.
    fn log_conditional(&self, x: &Batch, column: usize, candidates: &Batch) -> Result<Vec<f64>> {
        let Some(density) = self.as_density().filter(|_| self.spec().missing) else {
            return Err(Error::Unsupported {
                model: self.spec().name.into(),
                capability: "tell one value of a row from the others".into(),
                remedy: "models that score rows by what is there of them can".into(),
            });
        };
        if candidates.rows() != x.rows() || column >= x.width() {
            return Err(Error::shape("candidates", format!("{} rows", x.rows()), candidates.rows()));
        }
        let with = |v: &dyn Fn(usize) -> f32| {
            let mut rows = x.clone();
            (0..x.rows()).for_each(|r| rows.row_mut(r)[column] = v(r));
            density.log_prob(&rows).map(|lp| lp.nats)
        };
        let others = with(&|_| f32::NAN)?;
        let mut nats = vec![0.0; x.rows() * candidates.width()];
        for k in 0..candidates.width() {
            for (r, joint) in with(&|r| candidates.row(r)[k])?.into_iter().enumerate() {
                nats[r * candidates.width() + k] = joint - others[r];
            }
        }
        Ok(nats)
    }
}

/// Rows whose missing values were filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The rows.
    pub x: Batch,
    /// In words, what the fills come from: the conditional itself, or an approximation of it, and how good.
    pub law: String,
    /// Where they do not follow the conditional well.
    pub warning: Option<String>,
}

/// The model writes p(x | given) down and draws from it: given columns of numbers and categories, or a class.
#[doc(alias = "conditional density estimation")]
#[doc(alias = "context")]
pub trait Given: Model {
    /// log p(x | given) of each row under what it is given, a row of [`Schema::given`] each. Nats.
    ///
    /// # Errors
    /// As [`Density::score`], and [`Error::Domain`] or [`Error::Config`] if a value is none that may be given.
    fn score_given(&self, x: &Batch, given: &Batch, how: &Scoring) -> Result<LogProb>;

    /// A row for each row of what is given, at a temperature as [`Drawing::temperature`] says; 1 is the model's law.
    ///
    /// # Errors
    /// As [`score_given`](Self::score_given), and [`Error::Unsupported`] if the model has no other temperature than 1.
    fn sample_given(&self, given: &Batch, temperature: f64, rng: &mut Rng) -> Result<Batch>;

    /// The model of rows under one value of what is given: a model of p(x) like others, which can be saved.
    ///
    /// # Errors
    /// As [`score_given`](Self::score_given).
    fn at(&self, given: &[f32]) -> Result<Box<dyn Model>>;

    /// What whoever asks for these should hear: numbers far outside of those that were seen in training.
    fn doubts(&self, given: &Batch) -> Vec<String> {
        let _ = given;
        Vec::new()
    }
}

/// p(x) = Σ p(class) p(x | class), by a model that was fitted with labels. What it is given is the class.
pub trait ClassConditional: Density + Given {
    /// Number of classes.
    fn classes(&self) -> usize;

    #[doc(alias = "predict_proba")]
    /// p(class | x) by Bayes' rule, with the classes as frequent as in training: `[rows, classes]`.
    ///
    /// # Errors
    /// As [`Density::score`].
    fn posterior(&self, x: &Batch) -> Result<Batch>;
}

/// Rows belong to clusters.
pub trait Clusterer: Model {
    /// Number of clusters.
    fn clusters(&self) -> usize;

    /// The cluster of each row.
    #[doc(alias = "predict")]
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if a row is not in [`Model::domain`].
    fn assign(&self, x: &Batch) -> Result<Vec<u32>>;
}

/// p(x) = Π p(x_d | x before d) over bits or levels, in one order or as an average over several.
///
/// Audits use it: they perturb a dimension and look which conditionals move, and they draw slowly what
/// [`draw`](Self::draw) draws fast. Rows are those that the model works on, after its transform.
pub trait Autoregressive: Density {
    /// Values that a dimension may take: 0 up to this, exclusive.
    fn levels(&self) -> usize {
        2
    }

    /// Number of factorisations whose joint probabilities are averaged.
    fn members(&self) -> usize;

    /// Weight of a factorisation in the average.
    fn weight(&self, member: usize) -> f64 {
        let _ = member;
        1.0 / self.members() as f64
    }

    /// `order[p]` is the dimension at place p of factorisation `member`.
    fn order(&self, member: usize) -> &[usize];

    /// Conditional probabilities given the dimensions before: for two levels p(x_d = 1) of every dimension d, for more the
    /// probabilities of all levels of dimension 0, then of dimension 1 …
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if a row is not of the right width or levels.
    fn conditionals(&self, member: usize, x: &Batch) -> Result<Batch>;

    /// Rows in which the value at place p is what [`level_at`] makes of `u[row, p]` and its conditional probabilities.
    ///
    /// # Errors
    /// [`Error::Shape`] if `u` has another width than the model.
    fn draw(&self, member: usize, u: &Batch) -> Result<Batch>;

    /// What [`draw`](Self::draw) computes, by the textbook loop of one full pass per dimension.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    fn draw_slowly(&self, member: usize, u: &Batch) -> Result<Batch> {
        let mut x = Batch::zeros(u.rows(), u.width());
        let stop = Stop::current();
        for (p, &d) in self.order(member).iter().enumerate() {
            stop.check()?;
            let probability = self.conditionals(member, &x)?;
            let n = probability.width() / u.width();
            for r in 0..u.rows() {
                x.row_mut(r)[d] = level_at(u.row(r)[p], &probability.row(r)[d * n..(d + 1) * n]) as f32;
            }
        }
        Ok(x)
    }
}

/// The level that the uniform number `u` stands for: with a single probability, that of a 1, 1 if `u` lies below it; else the
/// first level at which the sum of the probabilities exceeds `u`.
pub fn level_at(u: f32, probabilities: &[f32]) -> usize {
    if let [one] = probabilities {
        return usize::from(u < *one);
    }
    let mut sum = 0.0;
    let found = probabilities.iter().position(|p| {
        sum += p;
        u < sum
    });
    // The sum may end a rounding below 1: then the last level that can occur at all.
    found.unwrap_or_else(|| probabilities.iter().rposition(|p| *p > 0.0).unwrap_or(0))
}
