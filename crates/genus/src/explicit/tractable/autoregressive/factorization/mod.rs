//! The public model of a network of conditionals: scoring, sampling, completion, classes.

mod completion;

use super::law::Law;
use super::{AutoregressiveConfig as _, Choose, Conditionals, Rows};
use crate::context::{self, Context};
use crate::training_rows::TrainingRows;
use genus_core::math::log_sum_exp;
use genus_core::transform::{Noise, Transform};
use genus_core::{
    Advice, Autoregressive, Batch, ClassConditional, Conditional, Dataset, Density, Domain, Drawing, Error,
    Evidence, Family, Fit, FitContext, Given, LogProb, Model, ModelSpec, Result, Rng, Sampler, Schema,
    Scoring, Seed, Split, State, Tensor as Stored, config, level_at, stop::paced,
};
use genus_nn::{Loss, Objective, Params, StepContext, Tensor, View, tensor, values};
use std::collections::BTreeMap;

/// A fitted factorisation p(x) = Π p(x_d | x_<d), or Σ p(class) Π p(x_d | x_<d, class), or p(x | given) = Π p(x_d | x_<d, given).
#[derive(Debug, Clone)]
pub struct Factorization<C: Conditionals> {
    config: C::Config,
    transform: Transform,
    params: Params,
    net: C,
    law: Law,
    /// log p(class), nats; empty without classes.
    prior: Vec<f64>,
    /// The class that is given, of a model of the rows of one.
    class: Option<u32>,
    context: Option<Context>,
    /// The columns in their own order.
    order: Vec<usize>,
}

/// Most values of network outputs in one pass while scoring.
const CHUNK: usize = 1 << 21;

fn one_hot(class: &[u32], classes: usize) -> Batch {
    Batch::from_fn(class.len(), classes, |r, c| f32::from(u8::from(class[r] as usize == c)))
}

/// Where a state keeps the class that is given.
const CLASS: &str = "class";

/// −log p of each row given its class or what else it is given, nats, part of the graph of `view`.
fn nll<C: Conditionals>(net: &C, view: &View<'_>, x: &Batch, class: Option<&Batch>, law: Law) -> Tensor<1> {
    let outputs = net.outputs(view, tensor(x.clone()), class.map(|c| tensor(c.clone())));
    law.nll(outputs, tensor(x.clone()))
}

/// What training minimises: −log p, given the class if there are any.
struct FactorizationLoss<'a, C> {
    net: &'a C,
    seen: TrainingRows,
    law: Law,
    /// One-hot classes of training and validation rows, or what else they are given.
    classes: [Option<Batch>; 2],
}

impl<C: Conditionals> Objective for FactorizationLoss<'_, C> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let x = self.seen.batch(rows, || cx.rng("noise"))?;
        let class = self.classes[0].as_ref().map(|c| c.select(rows));
        Ok(Loss::new(nll(self.net, view, &x, class.as_ref(), self.law).mean()))
    }

    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let Some(x) = &self.seen.valid else { return Ok(BTreeMap::new()) };
        let nats = given(self.net, view, x, self.classes[1].as_ref(), self.law)?;
        Ok(BTreeMap::from([("loss".into(), -nats.iter().sum::<f64>() / nats.len() as f64)]))
    }
}

/// log p of each row given its class, nats.
fn given<C: Conditionals>(
    net: &C,
    view: &View<'_>,
    x: &Batch,
    class: Option<&Batch>,
    law: Law,
) -> Result<Vec<f64>> {
    let most = (CHUNK / (x.width() * law.outputs())).max(1);
    let mut nats = Vec::with_capacity(x.rows());
    paced(x.rows(), |range| {
        for start in range.clone().step_by(most) {
            let end = range.end.min(start + most);
            let class = class.map(|c| c.slice(start, end));
            let part = nll(net, view, &x.slice(start, end), class.as_ref(), law);
            nats.extend(values(part).into_iter().map(|v| -f64::from(v)));
        }
        Ok(())
    })?;
    Ok(nats)
}

impl<C: Conditionals> Factorization<C> {
    fn build(
        config: &C::Config,
        transform: Transform,
        prior: Vec<f64>,
        context: Option<Context>,
        start: Vec<f32>,
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut params = Params::default();
        let classes = context.as_ref().map_or(prior.len(), Context::width);
        let rows = Rows { domain: transform.target().clone(), classes, start };
        let net = C::build(config, &rows, &mut params, rng)?;
        let order = (0..rows.width()).collect();
        let law = C::law(config, &rows.domain);
        let config = config.clone();
        Ok(Self { config, transform, params, net, law, prior, class: None, context, order })
    }

    /// log p(class) of the classes that are summed over; of none where one is given.
    fn prior(&self) -> &[f64] {
        if self.class.is_some() { &[] } else { &self.prior }
    }

    /// What the network is given for so many rows: their classes, or what is fixed.
    fn inputs(&self, class: Option<&[u32]>, rows: usize) -> Result<Option<Batch>> {
        let n = self.prior.len();
        match (class, self.class, &self.context) {
            (Some(class), ..) => Ok(Some(one_hot(class, n))),
            (_, Some(class), _) => Ok(Some(one_hot(&vec![class; rows], n))),
            (_, _, Some(context)) => context.fixed(rows)?.map(Some).ok_or_else(context::open),
            _ => Ok(None),
        }
    }

    /// Whether it is of p(x): what it is given, if anything, is fixed.
    fn is_closed(&self) -> bool {
        self.context.as_ref().is_none_or(|c| !c.is_open())
    }

    /// log p(x, class) of rows of the target domain, nats, class by class; log p(x) without classes.
    fn joint(&self, y: &Batch) -> Result<Vec<Vec<f64>>> {
        let view = self.params.frozen();
        if self.prior().is_empty() {
            let inputs = self.inputs(None, y.rows())?;
            return Ok(vec![given(&self.net, &view, y, inputs.as_ref(), self.law)?]);
        }
        let each = self.prior().iter().enumerate().map(|(c, prior)| {
            let class = self.inputs(Some(&vec![c as u32; y.rows()]), y.rows())?;
            let nats = given(&self.net, &view, y, class.as_ref(), self.law)?;
            Ok(nats.into_iter().map(|v| v + prior).collect())
        });
        each.collect()
    }

    fn log_prob_of(&self, nats: Vec<f64>, log_det: &[f64], class: &str) -> LogProb {
        let words = [self.transform.protocol(), class.to_owned()];
        LogProb {
            nats: nats.iter().zip(log_det).map(|(n, d)| n + d).collect(),
            spread: None,
            evidence: self.transform.evidence(Evidence::EXACT),
            measure: self.transform.measure(),
            protocol: words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", "),
        }
    }

    /// Fills the values of `x` that are not known, from the conditionals given these inputs, at a temperature, and uniform numbers.
    ///
    /// # Errors
    /// [`Error::Stopped`] if it was asked to end.
    fn fill(
        &self,
        x: &mut Batch,
        known: &[bool],
        inputs: Option<&Batch>,
        u: &Batch,
        temperature: f32,
    ) -> Result<()> {
        let (width, given, each) = (x.width(), x.clone(), self.law.uniforms());
        paced(x.rows(), |rows| {
            let first = rows.start;
            let choose = |row: usize, dim: usize, outputs: &[f32]| {
                let row = first + row;
                if known.get(row * width + dim).is_some_and(|k| *k) {
                    given.row(row)[dim]
                } else {
                    self.law.draw(outputs, &u.row(row)[dim * each..][..each], temperature)
                }
            };
            let choose: Choose<'_> = &choose;
            let inputs = inputs.map(|i| i.slice(rows.start, rows.end));
            let mut some = given.slice(rows.start, rows.end);
            self.net.fill_in_order(&self.params, &mut some, inputs.as_ref(), choose);
            x.data_mut()[rows.start * width..rows.end * width].copy_from_slice(some.data());
            Ok(())
        })
    }

    /// The classes that given rows name.
    ///
    /// # Errors
    /// [`Error::Config`] if the model has no classes, or not these.
    fn class_numbers(&self, given: &Batch) -> Result<Vec<u32>> {
        let n = self.prior().len();
        if n == 0 {
            let remedy = "train with class_conditional = true on data with labels";
            return Err(Error::config("class", format!("this model has no classes; {remedy}")));
        }
        if given.width() != 1 {
            return Err(Error::shape("what is given", "one class", format!("{} values", given.width())));
        }
        let number = |row: &[f32]| match row[0] {
            c if c >= 0.0 && c.fract() == 0.0 && (c as usize) < n => Ok(c as u32),
            c => Err(Error::config("class", format!("{c}: classes are 0 to {}", n - 1))),
        };
        given.iter().map(number).collect()
    }

    /// What [`fill`](Self::fill) draws from.
    fn uniform(&self, n: usize, rng: &mut Rng) -> Batch {
        Batch::from_fn(n, self.order.len() * self.law.uniforms(), |_, _| rng.uniform())
    }

    /// Classes by their prior; none without classes.
    fn classes_of(&self, n: usize, rng: &mut Rng) -> Option<Vec<u32>> {
        let p: Vec<f32> = self.prior().iter().map(|p| libm::exp(*p) as f32).collect();
        (!p.is_empty()).then(|| (0..n).map(|_| level_at(rng.uniform(), &p) as u32).collect())
    }

    /// Gradient of −log p against difference quotients, for a configuration and random rows of a domain.
    pub(crate) fn gradient_check(
        config: &C::Config,
        domain: &Domain,
        seed: Seed,
    ) -> Result<Vec<(String, f64)>> {
        let mut rng = seed.rng();
        let classes = if config.class_conditional() { 3 } else { 0 };
        let prior = vec![-libm::log(3.0); classes];
        let start = vec![0.3; domain.width()];
        let transform = Transform::identity(domain.clone());
        let Self { net, mut params, law, .. } = Self::build(config, transform, prior, None, start, &mut rng)?;
        let value = |rng: &mut Rng| match law {
            Law::Real(_) => rng.normal() as f32,
            _ => rng.below(law.levels()) as f32,
        };
        let x = Batch::from_fn(3, domain.width(), |_, _| value(&mut rng));
        let class: Vec<u32> = (0..3).map(|_| rng.below(classes.max(1)) as u32).collect();
        let class = (classes > 0).then(|| match (law, C::spec().given) {
            // What is given may be any number.
            (Law::Real(_), Some(_)) => Batch::from_fn(3, classes, |_, _| rng.normal() as f32),
            _ => one_hot(&class, classes),
        });
        let mask = |id, w: &mut [f32]| net.mask(id, w);
        // Away from the start, where biases of zero put units that see nothing exactly on the kink of relu.
        for id in params.ids().collect::<Vec<_>>() {
            let mut w = params.values(id);
            w.iter_mut().for_each(|w| *w += 0.5 * rng.normal() as f32);
            mask(id, &mut w);
            params.set(id, w);
        }
        let found = genus_nn::gradcheck::check(&mut params, seed, mask, |view| {
            Ok(Loss::new(nll(&net, view, &x, class.as_ref(), law).mean()))
        })?;
        Ok(found.into_iter().map(|d| (d.name, d.error)).collect())
    }
}

impl<C: Conditionals> Family for Factorization<C> {
    type Config = C::Config;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let context = context::of_fit(cx.start, C::spec(), data, true)?;
        if context.is_some() && config.class_conditional() {
            let message =
                "the rows are for p(rows | given), and no class is summed over; leave one of both out";
            return Err(Error::config("class_conditional", message));
        }
        let transform =
            crate::given_transform_for(cx, data, || config.transform(&data.schema, &data.train.x))?;
        let seed = cx.seed.child(C::spec().name);
        let seen = TrainingRows::new(&transform, data, seed)?;
        let mut prior = Vec::new();
        let mut classes = [None, None];
        if config.class_conditional() {
            let Some(labels) = data.schema.labels(&data.train) else {
                let error = Error::config("class_conditional", "the training rows have no labels");
                return Err(error.advise(Advice::Label));
            };
            let n = data.schema.classes().len();
            // One added count, so that a class without rows is rare rather than impossible.
            let mut counts = vec![1.0; n];
            labels.iter().for_each(|l| counts[*l as usize] += 1.0);
            let total: f64 = counts.iter().sum();
            prior = counts.into_iter().map(|c| libm::log(c / total)).collect();
            let valid = data.valid.as_ref().and_then(|valid| data.schema.labels(valid));
            if data.valid.is_some() && valid.is_none() {
                return Err(Error::Domain("the validation rows have no labels".into()));
            }
            classes = [Some(labels), valid].map(|l| l.map(|l| one_hot(&l, n)));
        }
        if let Some(context) = &context {
            let valid = data.valid.as_ref().and_then(|v| v.given.as_ref());
            for (slot, rows) in classes.iter_mut().zip([data.train.given.as_ref(), valid]) {
                *slot = rows.map(|rows| context.encode(rows)).transpose()?;
            }
        }
        let rng = &mut seed.child("init").rng();
        let start = match C::law(config, transform.target()) {
            Law::Bit => seen.marginal_logits(),
            _ => vec![0.0; transform.target().width()],
        };
        let mut model = Self::build(config, transform, prior, context, start, rng)?;
        if let Some(start) = cx.start {
            model.params.load(start)?;
        }
        let (rows, law) = (seen.rows(), model.law);
        let mut objective = FactorizationLoss { net: &model.net, seen, law, classes };
        let report =
            genus_nn::train(config.train(), &mut model.params, rows, &mut objective, C::spec().name, cx)?;
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: C::Config = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let prior = match state.tensors.get("prior") {
            Some(stored) => stored.as_f64().unwrap_or_default().to_vec(),
            None => Vec::new(),
        };
        if config.class_conditional() == prior.is_empty() || !prior.iter().all(|p| *p <= 0.0) {
            return Err(Error::Run("tensor `prior` does not fit the configuration".into()));
        }
        let class = state.header.get(CLASS).map(|c| c.parse::<u32>().unwrap_or(u32::MAX));
        let fits = match class {
            Some(class) => (class as usize) < prior.len(),
            None => prior.is_empty() || prior.len() == transform.source().classes().len(),
        };
        if !fits {
            return Err(Error::Run("tensor `prior` does not fit the classes; the file is damaged".into()));
        }
        let context = Context::restore(state, transform.source())?;
        if context.is_some() && !prior.is_empty() {
            return Err(Error::Run("it has given columns and classes; the file is damaged".into()));
        }
        let start = vec![0.0; transform.target().width()];
        let mut model = Self::build(&config, transform, prior, context, start, &mut Seed::from(0).rng())?;
        model.params.load(state)?;
        Ok(Self { class, ..model })
    }
}

impl<C: Conditionals> Model for Factorization<C> {
    fn spec(&self) -> &'static ModelSpec {
        C::spec()
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let mut state = crate::header(C::spec(), &config::to_table(&self.config), &self.transform);
        state.tensors = self.params.state().tensors;
        if !self.prior.is_empty() {
            state.tensors.insert("prior".into(), Stored::f64(&[self.prior.len()], self.prior.clone()));
        }
        if let Some(class) = self.class {
            state.header.insert(CLASS.into(), class.to_string());
        }
        if let Some(context) = &self.context {
            context.put(&mut state);
        }
        state
    }

    fn as_density(&self) -> Option<&dyn Density> {
        self.is_closed().then_some(self)
    }
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        self.is_closed().then_some(self)
    }
    fn as_conditional(&self) -> Option<&dyn Conditional> {
        self.is_closed().then_some(self)
    }
    fn as_autoregressive(&self) -> Option<&dyn Autoregressive> {
        (self.is_closed() && !matches!(self.law, Law::Real(_))).then_some(self)
    }
    fn as_given(&self) -> Option<&dyn Given> {
        (!self.is_closed() || !self.prior().is_empty()).then_some(self)
    }
    fn as_class_conditional(&self) -> Option<&dyn ClassConditional> {
        (!self.prior().is_empty()).then_some(self)
    }
}

impl<C: Conditionals> Density for Factorization<C> {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        let (y, log_det) = self.transform.forward(x, Noise::Row(how.seed))?;
        let joint = self.joint(&y)?;
        let nats: Vec<f64> = (0..y.rows()).map(|r| log_sum_exp(joint.iter().map(|class| class[r]))).collect();
        if let Some(r) = nats.iter().position(|v| v.is_nan()).filter(|_| self.context.is_some()) {
            return Err(Error::Domain(format!("row {r}: {}", context::TOO_FAR)));
        }
        let class = match self.prior().len() {
            0 => String::new(),
            n => format!("summed over {n} classes, as frequent as in training"),
        };
        Ok(self.log_prob_of(nats, &log_det, &class))
    }
}

impl<C: Conditionals> Sampler for Factorization<C> {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        Ok(self.draw_as(n, &Drawing::default(), rng)?.x)
    }

    fn draw_as(&self, n: usize, how: &Drawing, rng: &mut Rng) -> Result<Split> {
        let class = match &how.given {
            None => self.classes_of(n, rng),
            Some(given) => Some(self.class_numbers(&Batch::new(given.clone(), given.len())?)?.repeat(n)),
        };
        let x = self.drawn(n, self.inputs(class.as_deref(), n)?.as_ref(), how.temperature, rng)?;
        Ok(match class {
            Some(class) => Split::labelled(x, &class),
            None => Split::unlabelled(x),
        })
    }
}

impl<C: Conditionals> Factorization<C> {
    /// Rows drawn from the network given these inputs.
    fn drawn(&self, n: usize, inputs: Option<&Batch>, temperature: f64, rng: &mut Rng) -> Result<Batch> {
        let narrow = temperature as f32;
        if !(narrow > 0.0 && narrow.is_finite()) {
            return Err(Error::config("temperature", format!("{temperature} is out of range; above 0")));
        }
        let u = self.uniform(n, rng);
        let mut x = Batch::zeros(n, self.order.len());
        self.fill(&mut x, &[], inputs, &u, narrow)?;
        let x = self.transform.inverse(&x);
        if self.context.is_some() && x.data().iter().any(|v| !v.is_finite()) {
            let what = "a draw".into();
            return Err(Error::Numerical { what, step: 0, remedy: context::TOO_FAR.into() });
        }
        Ok(x)
    }

    /// What the network sees of rows that are given, and that in words.
    fn seen(&self, given: &Batch) -> Result<(Batch, String)> {
        match &self.context {
            Some(context) if context.is_open() => Ok((context.encode(given)?, context.protocol(given))),
            _ => Ok((one_hot(&self.class_numbers(given)?, self.prior.len()), "given the class".into())),
        }
    }
}

impl<C: Conditionals> Given for Factorization<C> {
    fn score_given(&self, x: &Batch, given_rows: &Batch, how: &Scoring) -> Result<LogProb> {
        if given_rows.rows() != x.rows() {
            return Err(Error::shape("given rows", x.rows(), given_rows.rows()));
        }
        let (seen, words) = self.seen(given_rows)?;
        let (y, log_det) = self.transform.forward(x, Noise::Row(how.seed))?;
        let nats = given(&self.net, &self.params.frozen(), &y, Some(&seen), self.law)?;
        match nats.iter().position(|v| v.is_nan()) {
            Some(r) => Err(Error::Domain(format!("row {r}: {}", context::TOO_FAR))),
            None => Ok(self.log_prob_of(nats, &log_det, &words)),
        }
    }

    fn sample_given(&self, given: &Batch, temperature: f64, rng: &mut Rng) -> Result<Batch> {
        let (seen, _) = self.seen(given)?;
        self.drawn(seen.rows(), Some(&seen), temperature, rng)
    }

    fn at(&self, given: &[f32]) -> Result<Box<dyn Model>> {
        let transform = self.transform.alone();
        let (context, class) = match &self.context {
            Some(context) if context.is_open() => (Some(context.at(given)?), None),
            _ => {
                let class = self.class_numbers(&Batch::new(given.to_vec(), given.len().max(1))?)?;
                (None, class.first().copied())
            }
        };
        Ok(Box::new(Self { context, class, transform, ..self.clone() }))
    }

    fn doubts(&self, given: &Batch) -> Vec<String> {
        self.context.as_ref().map(|c| c.doubts(given)).unwrap_or_default()
    }
}

impl<C: Conditionals> ClassConditional for Factorization<C> {
    fn classes(&self) -> usize {
        self.prior.len()
    }

    fn posterior(&self, x: &Batch) -> Result<Batch> {
        let (y, _) = self.transform.forward(x, Noise::Row(Scoring::default().seed))?;
        let joint = self.joint(&y)?;
        let totals: Vec<f64> =
            (0..y.rows()).map(|r| log_sum_exp(joint.iter().map(|class| class[r]))).collect();
        Ok(Batch::from_fn(y.rows(), self.prior.len(), |r, c| libm::exp(joint[c][r] - totals[r]) as f32))
    }
}

impl<C: Conditionals> Autoregressive for Factorization<C> {
    fn levels(&self) -> usize {
        self.law.levels()
    }

    fn members(&self) -> usize {
        self.prior().len().max(1)
    }

    fn weight(&self, member: usize) -> f64 {
        self.prior().get(member).map_or(1.0, |p| libm::exp(*p))
    }

    fn order(&self, _: usize) -> &[usize] {
        &self.order
    }

    fn conditionals(&self, member: usize, x: &Batch) -> Result<Batch> {
        self.transform.target().check(x)?;
        let inputs = self.member_inputs(member, x.rows())?.map(tensor);
        let outputs = values(self.net.outputs(&self.params.frozen(), tensor(x.clone()), inputs));
        let n = self.law.outputs();
        let p = outputs.chunks_exact(n).flat_map(|o| self.law.probabilities(o, 1.0)).collect();
        Batch::new(p, n * x.width())
    }

    fn draw(&self, member: usize, u: &Batch) -> Result<Batch> {
        let width = self.transform.target().width();
        if u.width() != width {
            return Err(Error::shape("uniform draws", width, u.width()));
        }
        let inputs = self.member_inputs(member, u.rows())?;
        let mut x = Batch::zeros(u.rows(), width);
        self.fill(&mut x, &[], inputs.as_ref(), u, 1.0)?;
        Ok(x)
    }
}

impl<C: Conditionals> Factorization<C> {
    /// What the network is given for rows of a class that is summed over, or what is fixed.
    fn member_inputs(&self, member: usize, rows: usize) -> Result<Option<Batch>> {
        let class = (!self.prior().is_empty()).then(|| vec![member as u32; rows]);
        self.inputs(class.as_deref(), rows)
    }
}

#[cfg(test)]
mod tests;
