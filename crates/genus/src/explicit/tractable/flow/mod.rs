//! Change of variables (nonlinear ICA): p(x) = p_base(f(x)) |det ∂f/∂x| with an invertible f.

pub mod glow;
pub mod iaf;
pub mod linear_ica;
pub mod maf;
pub mod multiscale;
pub mod nice;
pub mod realnvp;
pub mod spline_flow;

use crate::context::{self, Context};
use crate::draws;
use crate::training_rows::TrainingRows;
use genus_core::config::Fraction;
use genus_core::transform::{RealSteps, Transform};
use genus_core::{
    Batch, Dataset, Decoder, Density, Domain, Drawing, Encoder, Error, Event, Evidence, Family, Figure, Fit,
    FitContext, Given, Invertible, LogProb, Model, ModelSpec, Result, Rng, Sampler, Schema, Scoring, Seed,
    Split, State, Support, config,
};
use genus_nn::{
    Activation, Base, Bijection, Loss, Objective, Params, Step, StepContext, Tensor, TrainConfig, View, Warp,
    tensor,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Members.
pub const SPECS: &[&ModelSpec] = &[
    &linear_ica::SPEC,
    &nice::SPEC,
    &realnvp::SPEC,
    &glow::SPEC,
    &maf::SPEC,
    &iaf::SPEC,
    &spline_flow::SPEC,
];

/// What the configurations of the family have in common.
pub trait FlowConfig: Serialize + DeserializeOwned + Default + Clone + Debug + Send + Sync {
    /// From the data to rows of real numbers.
    ///
    /// # Errors
    /// If the data are none that can be transformed so.
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform>;

    /// The law at the end.
    fn base(&self) -> Base {
        Base::Normal
    }

    /// Training.
    fn train(&self) -> &TrainConfig;
}

/// A member of the family: its map.
pub trait Map: Clone + Debug + Send + Sync + 'static {
    /// Hyper-parameters.
    type Config: FlowConfig;

    /// Registry entry.
    fn spec() -> &'static ModelSpec;

    /// What whoever set this configuration should hear about it for these rows.
    fn doubts(config: &Self::Config, rows: &Domain) -> Vec<String> {
        let _ = (config, rows);
        Vec::new()
    }

    /// Adds the parameters of the map over rows of a domain, given so many values. What it draws from the stream may be initial values only: a model that is
    /// read from a file is built from another stream.
    ///
    /// # Errors
    /// [`Error::Config`] if there are too many.
    fn build(
        config: &Self::Config,
        rows: &Domain,
        given: usize,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Result<Arc<dyn Bijection>>;
}

/// Rows by which a map begins.
const FIRST: usize = 512;

/// Why affine steps do not reach the entropy of levels.
const EDGES: &str = "affine steps smooth the edges of dequantised levels; splines follow them";

/// A fitted flow.
#[derive(Debug, Clone)]
pub struct Flow<M: Map> {
    config: M::Config,
    transform: Transform,
    context: Option<Context>,
    params: Params,
    map: Arc<dyn Bijection>,
}

/// −log p of rows given what they are given, nats, part of the graph of `view`.
fn nll(map: &dyn Bijection, base: Base, view: &View<'_>, x: &Batch, given: Option<&Batch>) -> Tensor<1> {
    let d = x.width();
    // Rows begin with a log-determinant of 0.
    let x = Batch::from_fn(x.rows(), d + 1, |r, c| x.row(r).get(c).copied().unwrap_or(0.0));
    let given = given.map(|g| tensor(g.clone()));
    let z = map.forward(view, tensor(x), given.as_ref());
    let log_det = z.clone().narrow(1, d, 1).squeeze_dim::<1>(1);
    base.nll(z.narrow(1, 0, d)) - log_det
}

/// What training minimises: −log p.
struct FlowLoss<'a> {
    map: &'a dyn Bijection,
    base: Base,
    seen: TrainingRows,
    /// What training and validation rows are given.
    given: [Option<Batch>; 2],
}

impl Objective for FlowLoss<'_> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let x = self.seen.batch(rows, || cx.rng("noise"))?;
        let given = self.given[0].as_ref().map(|g| g.select(rows));
        Ok(Loss::new(nll(self.map, self.base, view, &x, given.as_ref()).mean()))
    }

    fn most_rows(&self) -> usize {
        self.map.most_rows()
    }

    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let Some(x) = &self.seen.valid else { return Ok(BTreeMap::new()) };
        let (z, log_det) = self.map.to_base(view.params(), x, self.given[1].as_ref())?;
        let total: f64 = self.base.log_prob(&z).iter().zip(&log_det).map(|(p, d)| p + d).sum();
        Ok(BTreeMap::from([("loss".into(), -total / x.rows() as f64)]))
    }
}

impl<M: Map> Flow<M> {
    fn build(
        config: &M::Config,
        transform: Transform,
        context: Option<Context>,
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut params = Params::default();
        let given = context.as_ref().map_or(0, Context::width);
        let map = M::build(config, transform.target(), given, &mut params, rng)?;
        Ok(Self { config: config.clone(), transform, context, params, map })
    }

    /// Whether it is of p(x): what it is given, if anything, is fixed.
    fn is_closed(&self) -> bool {
        self.context.as_ref().is_none_or(|c| !c.is_open())
    }

    /// What so many rows are given, where it is fixed.
    ///
    /// # Errors
    /// [`Error::Config`] where it is open.
    fn given_to(&self, rows: usize) -> Result<Option<Batch>> {
        match &self.context {
            Some(context) => context.fixed(rows)?.map(Some).ok_or_else(context::open),
            None => Ok(None),
        }
    }

    /// Reads parameters, and keeps them to the masks of the map whatever the file says.
    fn load(&mut self, state: &State) -> Result<()> {
        self.params.load(state)?;
        for id in self.params.ids().collect::<Vec<_>>() {
            let mut values = self.params.values(id);
            self.map.mask(id, &mut values);
            self.params.set(id, values);
        }
        Ok(())
    }

    /// log p of rows that the model works on, given these, nats.
    fn log_prob_of(&self, y: &Batch, given: Option<&Batch>) -> Result<Vec<f64>> {
        let (z, log_det) = self.map.to_base(&self.params, y, given)?;
        let base = self.config.base().log_prob(&z);
        let nats: Vec<f64> = base.into_iter().zip(log_det).map(|(p, d)| p + d).collect();
        match nats.iter().position(|v| v.is_nan()).filter(|_| given.is_some()) {
            Some(r) => Err(Error::Domain(format!("row {r}: {}", context::TOO_FAR))),
            None => Ok(nats),
        }
    }

    /// log p of rows of data given these.
    fn scored(&self, x: &Batch, given: Option<&Batch>, how: &Scoring, words: String) -> Result<LogProb> {
        let own = |y: &Batch| self.log_prob_of(y, given);
        let (nats, spread) = draws::through(&self.transform, x, how, Evidence::EXACT, own)?;
        let words = [draws::protocol(&self.transform, how), words];
        Ok(LogProb {
            nats,
            spread,
            evidence: self.transform.evidence(Evidence::EXACT),
            measure: self.transform.measure(),
            protocol: words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Rows drawn given these. The temperature is a factor of the deviations at the base (Kingma & Dhariwal 2018, section 6).
    fn drawn(&self, n: usize, given: Option<&Batch>, temperature: f64, rng: &mut Rng) -> Result<Batch> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::config("temperature", format!("{temperature} is out of range; above 0")));
        }
        let z = self.config.base().draw(n, self.map.dims(), temperature, rng);
        let x = self.transform.inverse(&self.map.to_rows(&self.params, &z, given)?);
        if let Some(r) = (0..x.rows()).find(|r| x.row(*r).iter().any(|v| !v.is_finite())) {
            return Err(Error::Numerical {
                what: format!("draw {r}"),
                step: 0,
                remedy: match given {
                    Some(_) => context::TOO_FAR.into(),
                    None => "draw at a lower temperature, or train again at a lower rate".into(),
                },
            });
        }
        Ok(x)
    }

    fn check(&self, x: &Batch) -> Result<()> {
        match x.width() == self.map.dims() {
            true => Ok(()),
            false => Err(Error::shape("rows of the base", self.map.dims(), x.width())),
        }
    }

    /// Gradient of −log p against difference quotients, for a configuration and random rows; alone, and given two random values.
    pub(crate) fn gradient_check(
        config: &M::Config,
        domain: &Domain,
        seed: Seed,
    ) -> Result<Vec<(String, f64)>> {
        let alone = Self::gradient_check_given(config, domain, 0, seed)?;
        let given = Self::gradient_check_given(config, domain, 2, seed)?;
        Ok(alone
            .into_iter()
            .chain(given.into_iter().map(|(name, e)| (format!("{name}, given"), e)))
            .collect())
    }

    fn gradient_check_given(
        config: &M::Config,
        domain: &Domain,
        given: usize,
        seed: Seed,
    ) -> Result<Vec<(String, f64)>> {
        let (mut rng, mut params) = (seed.rng(), Params::default());
        let map = M::build(config, domain, given, &mut params, &mut rng)?;
        let x = Batch::from_fn(3, domain.width(), |_, _| rng.normal() as f32);
        let given = (given > 0).then(|| Batch::from_fn(3, given, |_, _| rng.normal() as f32));
        // Away from the start, where every step is the identity.
        for id in params.ids().collect::<Vec<_>>() {
            let mut w = params.values(id);
            w.iter_mut().for_each(|w| *w += 0.2 * rng.normal() as f32);
            map.mask(id, &mut w);
            params.set(id, w);
        }
        let mask = |id, w: &mut [f32]| map.mask(id, w);
        let found = genus_nn::gradcheck::check(&mut params, seed, mask, |view| {
            Ok(Loss::new(nll(map.as_ref(), config.base(), view, &x, given.as_ref()).mean()))
        })?;
        Ok(found.into_iter().map(|d| (d.name, d.error)).collect())
    }
}

/// How far from 0 a value may lie before its column has heavy tails: among a million normal ones, none lies beyond 6.
const FAR: f32 = 12.0;

/// Columns whose tails are heavier than those that a flow can make of its base.
fn tails(seen: &TrainingRows, schema: &Schema) -> Option<String> {
    let (columns, furthest) = seen.beyond(FAR);
    let names: Vec<String> =
        columns.iter().take(6).map(|c| format!("\"{}\"", schema.column(*c).name)).collect();
    let more = if columns.len() > names.len() {
        format!(" and {} more", columns.len() - names.len())
    } else {
        String::new()
    };
    (!names.is_empty()).then(|| {
        format!(
            "heavy tails: values of {}{more} lie up to {furthest:.0} units from 0 as the flow sees them, and its base has next to none beyond 6; take logarithms of columns above 0 and asinh of others before, or standardise, or take `nice`, whose base has heavier tails",
            names.join(", ")
        )
    })
}

impl<M: Map> Family for Flow<M> {
    type Config = M::Config;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let context = context::of_fit(cx.start, M::spec(), data, true)?;
        let transform =
            crate::given_transform_for(cx, data, || config.transform(&data.schema, &data.train.x))?;
        let seed = cx.seed.child(M::spec().name);
        let seen = TrainingRows::new(&transform, data, seed)?;
        let (rows, columns) = (seen.rows(), data.schema.width());
        let few = (rows < columns.max(20)).then(|| {
            format!("{rows} training rows of {columns} columns: a flow learns so few by heart; give more rows, or take `gmm`")
        });
        let own = M::doubts(config, transform.target());
        let doubts: Vec<String> = few.into_iter().chain(own).chain(tails(&seen, &data.schema)).collect();
        for message in doubts.clone() {
            cx.emit(&Event::Warning { message });
        }
        let mut given = [None, None];
        if let Some(context) = &context {
            let valid = data.valid.as_ref().and_then(|v| v.given.as_ref());
            for (slot, rows) in given.iter_mut().zip([data.train.given.as_ref(), valid]) {
                *slot = rows.map(|rows| context.encode(rows)).transpose()?;
            }
        }
        let mut model = Self::build(config, transform, context, &mut seed.child("init").rng())?;
        match cx.start {
            Some(start) => model.load(start)?,
            None => {
                let first: Vec<usize> = (0..rows.min(FIRST)).collect();
                let x = seen.batch(&first, || seed.child("first").rng())?;
                let given = given[0].as_ref().map(|g| g.select(&first));
                model.map.begin(&mut model.params, &x, given.as_ref())?;
            }
        }
        let mut objective = FlowLoss { map: model.map.as_ref(), base: config.base(), seen, given };
        let mut report =
            genus_nn::train(config.train(), &mut model.params, rows, &mut objective, M::spec().name, cx)?;
        report.warnings.splice(0..0, doubts);
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: M::Config = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let context = Context::restore(state, transform.source())?;
        let mut model = Self::build(&config, transform, context, &mut Seed::from(0).rng())?;
        model.load(state)?;
        Ok(model)
    }
}

impl<M: Map> Model for Flow<M> {
    fn spec(&self) -> &'static ModelSpec {
        M::spec()
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let mut state = crate::header(M::spec(), &config::to_table(&self.config), &self.transform);
        state.tensors = self.params.state().tensors;
        if let Some(context) = &self.context {
            context.put(&mut state);
        }
        state
    }

    fn figures(&self, x: &Batch, how: &Scoring) -> Result<Vec<Figure>> {
        if !self.is_closed() {
            return Ok(Vec::new());
        }
        draws::in_logit_space(&self.transform, x, how, |y| {
            self.log_prob_of(y, self.given_to(y.rows())?.as_ref())
        })
    }

    fn as_density(&self) -> Option<&dyn Density> {
        self.is_closed().then_some(self)
    }
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        self.is_closed().then_some(self)
    }
    fn as_encoder(&self) -> Option<&dyn Encoder> {
        self.is_closed().then_some(self)
    }
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        self.is_closed().then_some(self)
    }
    fn as_invertible(&self) -> Option<&dyn Invertible> {
        self.is_closed().then_some(self)
    }
    fn as_given(&self) -> Option<&dyn Given> {
        (!self.is_closed()).then_some(self)
    }
}

impl<M: Map> Flow<M> {
    /// What it is given, while that is open.
    fn open(&self) -> Result<&Context> {
        self.context.as_ref().filter(|c| c.is_open()).ok_or_else(context::closed)
    }
}

impl<M: Map> Given for Flow<M> {
    fn score_given(&self, x: &Batch, given: &Batch, how: &Scoring) -> Result<LogProb> {
        let context = self.open()?;
        let seen = context.encode_for(x, given)?;
        self.scored(x, Some(&seen), how, context.protocol(given))
    }

    fn sample_given(&self, given: &Batch, temperature: f64, rng: &mut Rng) -> Result<Batch> {
        let seen = self.open()?.encode(given)?;
        self.drawn(seen.rows(), Some(&seen), temperature, rng)
    }

    fn at(&self, given: &[f32]) -> Result<Box<dyn Model>> {
        let context = Some(self.open()?.at(given)?);
        Ok(Box::new(Self { context, transform: self.transform.alone(), ..self.clone() }))
    }

    fn doubts(&self, given: &Batch) -> Vec<String> {
        self.context.as_ref().map(|c| c.doubts(given)).unwrap_or_default()
    }
}

impl<M: Map> Density for Flow<M> {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        self.scored(x, self.given_to(x.rows())?.as_ref(), how, String::new())
    }
}

impl<M: Map> Sampler for Flow<M> {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        Ok(self.draw_as(n, &Drawing::default(), rng)?.x)
    }

    fn draw_as(&self, n: usize, how: &Drawing, rng: &mut Rng) -> Result<Split> {
        if how.given.is_some() {
            return Err(Error::config("class", "this model has no classes; sample without --class"));
        }
        let given = self.given_to(n)?;
        Ok(Split::unlabelled(self.drawn(n, given.as_ref(), how.temperature, rng)?))
    }
}

impl<M: Map> Encoder for Flow<M> {
    fn code_width(&self) -> usize {
        self.map.dims()
    }

    /// Where a row lies at the base; of levels, that of the middle of each.
    fn encode(&self, x: &Batch) -> Result<Batch> {
        let y = self.transform.forward_at_middles(x)?;
        Ok(self.to_base(&y)?.0)
    }
}

impl<M: Map> Decoder for Flow<M> {
    fn decode(&self, codes: &Batch) -> Result<Batch> {
        Ok(self.transform.inverse(&self.to_rows(codes)?))
    }
}

impl<M: Map> Invertible for Flow<M> {
    fn to_base(&self, x: &Batch) -> Result<(Batch, Vec<f64>)> {
        self.check(x)?;
        self.map.to_base(&self.params, x, self.given_to(x.rows())?.as_ref())
    }

    fn to_rows(&self, z: &Batch) -> Result<Batch> {
        self.check(z)?;
        self.map.to_rows(&self.params, z, self.given_to(z.rows())?.as_ref())
    }

    fn path(&self, z: &Batch, parts: usize) -> Result<Vec<Batch>> {
        self.check(z)?;
        self.map.path(&self.params, z, self.given_to(z.rows())?.as_ref(), parts)
    }

    fn scales(&self) -> Vec<Vec<usize>> {
        self.map.scales()
    }
}

/// Orders of the values of a row, one for each step: as they are, backwards, and from the third on by chance, which is the same in every
/// model.
fn orders(dims: usize, steps: usize) -> Vec<Vec<usize>> {
    let shuffled = |i: usize| Seed::from(0).child("orders").index(i as u64).rng().permutation(dims);
    (0..steps)
        .map(|i| match i {
            0 => (0..dims).collect(),
            i if i % 2 == 1 && (dims < 4 || i == 1) => (0..dims).rev().collect(),
            _ if dims < 4 => (0..dims).collect(),
            // Each pair of steps has an order and its reverse.
            i => {
                let mut order = shuffled(i / 2);
                if i % 2 == 1 {
                    order.reverse();
                }
                order
            }
        })
        .collect()
}

/// From data to rows of real numbers: standardised, levels with noise between them, by a logit where α is above 0.
///
/// # Errors
/// If the data are none that can be transformed so.
fn to_line(rows: &Schema, x: &Batch, standardize: bool, alpha: Fraction) -> Result<Transform> {
    let levels = rows.domain.support != Support::Real;
    let logit = Some(alpha.get()).filter(|a| levels && *a > 0.0);
    Transform::to_real(rows, RealSteps { logit, standardize }, x, 0)
}

/// Masked steps in these orders.
fn masked(
    orders: Vec<Vec<usize>>,
    inverse: bool,
    given: usize,
    hidden: &[usize],
    act: Activation,
    warp: Warp,
) -> Vec<Step> {
    orders.into_iter().map(|order| Step::autoregressive(order, inverse, given, hidden, act, warp)).collect()
}

/// Most steps of a flow.
const MOST: usize = 1024;

/// Hidden widths, if networks of them for so many steps over rows of `d` values, given others, can be afforded.
///
/// # Errors
/// [`Error::Config`] on `layers` or `hidden`; [`Error::Run`] if a file holds fewer values.
fn afford(hidden: &[NonZeroUsize], d: usize, given: usize, steps: usize, warp: Warp) -> Result<Vec<usize>> {
    if steps > MOST {
        return Err(Error::config("layers", format!("{steps} steps; at most {MOST}")));
    }
    let hidden: Vec<usize> = hidden.iter().map(|h| h.get()).collect();
    // A coupling sees half of a row at least, and moves as much.
    let all = [&[d / 2 + given], &hidden[..], &[(d / 2).saturating_mul(warp.parameters())]].concat();
    genus_nn::afford("hidden", &vec![&all[..]; steps])?;
    Ok(hidden)
}

/// Couplings need something to keep.
///
/// # Errors
/// [`Error::Domain`] for rows of one value.
fn two_halves(d: usize) -> Result<()> {
    match d {
        0 | 1 => Err(Error::Domain(
            "a coupling keeps some columns and moves the others, and there is one column; take `spline-flow`, `maf` or `gmm`".into(),
        )),
        _ => Ok(()),
    }
}

/// The values that each coupling of a row keeps: half of them, then the other half.
fn halves(dims: usize, steps: usize) -> Vec<Vec<usize>> {
    let half = |(i, order): (usize, Vec<usize>)| {
        let cut = dims / 2;
        // An order and its reverse: the first half of one is the second of the other, but for the value in the middle.
        if i % 2 == 0 { order[..cut].to_vec() } else { order[..dims - cut].to_vec() }
    };
    orders(dims, steps).into_iter().enumerate().map(half).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over two couplings every value moves, and every value is seen.
    #[test]
    fn halves_complete_each_other() {
        for dims in [2, 3, 5, 8] {
            for pair in halves(dims, 6).chunks(2) {
                let [a, b] = pair else { panic!("pairs") };
                assert_eq!((a.len(), b.len()), (dims / 2, dims - dims / 2));
                assert!((0..dims).all(|d| a.contains(&d) != b.contains(&d)), "{a:?} {b:?}");
            }
        }
        assert_eq!(orders(3, 4)[1], [2, 1, 0]);
    }

    /// Tails are named with their columns; those of normal and Laplace columns are none.
    #[test]
    fn heavy_tails_are_named() {
        let mut rng = Seed::from(8).rng();
        let x = Batch::from_fn(4000, 3, |_, c| {
            let v = rng.normal();
            (if c == 1 { (3.0 * v).exp() } else { v }) as f32
        });
        let schema = Schema::from(Domain::real(3)).named(["height", "income", "weight"]);
        let set = Dataset::new("t", schema.clone(), Split::unlabelled(x)).unwrap();
        let transform = to_line(&schema, &set.train.x, true, Fraction::constant(0.0)).unwrap();
        let seen = TrainingRows::new(&transform, &set, Seed::from(1)).unwrap();
        let said = tails(&seen, &schema).unwrap();
        assert!(said.contains("values of \"income\" lie up to") && !said.contains("height"), "{said}");
        let rest = Batch::from_fn(4000, 2, |r, c| set.train.x.row(r)[2 * c]);
        let set = Dataset::new("t", Domain::real(2), Split::unlabelled(rest)).unwrap();
        let transform = to_line(&set.schema, &set.train.x, true, Fraction::constant(0.0)).unwrap();
        let seen = TrainingRows::new(&transform, &set, Seed::from(1)).unwrap();
        assert_eq!(tails(&seen, &set.schema), None);
    }

    /// 19 columns with heavy tails through 32 couplings, where others met NaN: everything stays finite, and draws are in range.
    #[test]
    fn a_deep_stack_on_heavy_tails_stays_finite() {
        let mut rng = Seed::from(4).rng();
        let mix: Vec<f64> = (0..19 * 19).map(|_| rng.normal() / 4.0).collect();
        let mut values = Vec::new();
        for _ in 0..2000 {
            // Student's t with four degrees of freedom: no fourth moment.
            let square = |rng: &mut Rng| -libm::log(1.0 - rng.uniform_f64());
            let t: Vec<f64> = (0..19)
                .map(|_| rng.normal() / (0.5 * (square(&mut rng) + square(&mut rng))).sqrt())
                .collect();
            values.extend((0..19).map(|i| (0..19).map(|j| mix[i * 19 + j] * t[j]).sum::<f64>() as f32));
        }
        let x = Batch::new(values, 19).unwrap();
        let data = Dataset::new("t", Domain::real(19), Split::unlabelled(x)).unwrap();
        let config = toml::from_str(
            "layers = 32\nhidden = [32, 32]\n[train]\nepochs = 20\nbatch = 20\n[train.optimizer]\nrate = 0.003\n",
        );
        let config: realnvp::RealNvpConfig = config::from_table(&config.unwrap()).unwrap();
        let fit = realnvp::RealNvp::fit(
            &config,
            &data,
            &mut FitContext::new(Seed::from(1), &mut genus_core::Silent),
        )
        .unwrap();
        assert_eq!(fit.report.steps, 2000);
        let mut nats = fit.model.log_prob(&data.train.x).unwrap().nats;
        assert!(nats.iter().all(|v| v.is_finite()));
        // The middle row has more than independent normals give any.
        nats.sort_by(f64::total_cmp);
        let (_, std) = genus_core::transform::moments(&data.train.x);
        let normals: f64 =
            std.iter().map(|s| -0.5 * libm::log(2.0 * std::f64::consts::PI) - libm::log(*s)).sum();
        assert!(nats[1000] > normals, "{} {normals}", nats[1000]);
        assert!(fit.model.sample(500, &mut rng).unwrap().data().iter().all(|v| v.is_finite()));
    }
}
