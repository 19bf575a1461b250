//! The public model of a transition: it is trained along chains that begin at rows, and draws by chains that go on.

use super::{Noise, Transition, TransitionConfig as _};
use crate::diagnostics::weights;
use crate::explicit::approximate::markov_chain::columns;
use crate::sampling::completed;
use crate::training_rows::TrainingRows;
use genus_core::transform::{self, Transform};
use genus_core::{
    Batch, Chain, Completion, Conditional, Dataset, Domain, Encoder, Exhibit, Family, Fill, Fit, FitContext,
    Model, ModelSpec, Result, Rng, Sampler, Schema, Scoring, Seed, State, Stop, Tensor as Stored, Visited,
    config, stop::in_pool,
};
use genus_kernels::{anneal_bits, bernoulli_sample, probabilities};
use genus_nn::{Loss, Objective, Params, StepContext, Tensor, View, ops, tensor_from, values};
use std::collections::BTreeMap;

/// A fitted chain.
#[derive(Debug, Clone)]
pub struct Walker<T: Transition> {
    config: T::Config,
    transform: Transform,
    params: Params,
    net: T,
    /// Inputs of the independent bits that chains begin with.
    base: Vec<f32>,
}

/// Rows of a pass where there is no gradient.
const CHUNK: usize = 500;

/// Chains side by side.
struct Chains {
    /// Bits, `[chains, width]`.
    x: Vec<f32>,
    /// What they were drawn from.
    means: Vec<f32>,
    hidden: Vec<Tensor<2>>,
    /// Bits that do not change, NaN where they do; empty if all do.
    held: Vec<f32>,
}

/// Cross-entropy of the rows, summed over transitions that begin at them: its mean over the rows, nats.
fn walkback_loss<T: Transition>(
    net: &T,
    config: &T::Config,
    view: &View<'_>,
    x: &Batch,
    key: u64,
) -> Tensor<1> {
    let (noise, shape) = (&mut Noise::new(key), [x.rows(), x.width()]);
    let clean = || tensor_from(x.data().to_vec(), shape);
    let (mut hidden, mut row, mut total) = (Vec::new(), x.data().to_vec(), None);
    for step in 1..=config.steps().get() {
        let corrupted = tensor_from(net.corrupt(&row, noise), shape);
        let logits = net.denoise(view, corrupted, &mut hidden, noise);
        if config.walkback() && step < config.steps().get() {
            // What is drawn has no gradient; what the hidden units carry on has.
            row = anneal_bits(&values(logits.clone().detach()), x.width(), 1.0, &[], noise.next());
        }
        let nll = ops::bernoulli_nll(logits, clean()).mean();
        total = Some(match total {
            None => nll,
            Some(sum) => sum + nll,
        });
    }
    match total {
        Some(total) => total,
        None => unreachable!("there is at least one transition"),
    }
}

struct Cleaning<'a, T: Transition> {
    net: &'a T,
    config: &'a T::Config,
    seen: TrainingRows,
    seed: Seed,
}

impl<T: Transition> Objective for Cleaning<'_, T> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let x = self.seen.batch(rows, || cx.rng("noise"))?;
        let total = walkback_loss(self.net, self.config, view, &x, cx.rng("walk").bits());
        Ok(Loss::new(total))
    }

    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let Some(x) = &self.seen.valid else { return Ok(BTreeMap::new()) };
        let mut sum = 0.0;
        let stop = Stop::current();
        for (i, start) in (0..x.rows()).step_by(CHUNK).enumerate() {
            stop.check()?;
            let some = x.slice(start, start + CHUNK);
            let key = self.seed.child("validation").index(i as u64).rng().bits();
            let loss = values(walkback_loss(self.net, self.config, view, &some, key));
            sum += some.rows() as f64 * f64::from(loss[0]);
        }
        Ok(BTreeMap::from([("loss".into(), sum / x.rows() as f64)]))
    }
}

impl<T: Transition> Walker<T> {
    fn build(config: &T::Config, transform: Transform, base: Vec<f32>, rng: &mut Rng) -> Result<Self> {
        let mut params = Params::default();
        let net = T::build(config, &base, &mut params, rng)?;
        Ok(Self { config: config.clone(), transform, params, net, base })
    }

    /// The gradient of what is minimised along one transition against difference quotients; what later ones are drawn from would move
    /// with the parameters.
    pub(super) fn gradient_check(
        config: &T::Config,
        domain: &Domain,
        seed: Seed,
    ) -> Result<Vec<(String, f64)>> {
        let mut rng = seed.rng();
        let base = vec![0.3; domain.width()];
        let mut model = Self::build(config, Transform::identity(domain.clone()), base, &mut rng)?;
        let x = Batch::from_fn(3, domain.width(), |_, _| f32::from(u8::from(rng.uniform() < 0.5)));
        let rows = [x.rows(), x.width()];
        let net = model.net.clone();
        let found = genus_nn::gradcheck::check(
            &mut model.params,
            seed,
            |_, _| (),
            |view| {
                let (noise, mut hidden) = (&mut Noise::new(3), Vec::new());
                let mut sum = None;
                // Rows are the same whatever the parameters are: what is checked are the layers and what they carry on.
                for _ in 0..3 {
                    let corrupted = tensor_from(net.corrupt(x.data(), noise), rows);
                    let logits = net.denoise(view, corrupted, &mut hidden, noise);
                    let nll = ops::bernoulli_nll(logits, tensor_from(x.data().to_vec(), rows)).mean();
                    sum = Some(sum.map_or(nll.clone(), |s: Tensor<1>| s + nll));
                }
                match sum {
                    Some(total) => Ok(Loss::new(total)),
                    None => unreachable!("three transitions"),
                }
            },
        )?;
        Ok(found.into_iter().map(|d| (d.name, d.error)).collect())
    }

    fn begin(&self, count: usize, noise: &mut Noise) -> Chains {
        let x = anneal_bits(&self.base.repeat(count), self.base.len(), 1.0, &[], noise.next());
        Chains { x, means: Vec::new(), hidden: Vec::new(), held: Vec::new() }
    }

    fn go(&self, chains: &mut Chains, transitions: usize, noise: &mut Noise) -> Result<()> {
        let (view, stop) = (self.params.frozen(), Stop::current());
        let shape = [chains.x.len() / self.base.len(), self.base.len()];
        for _ in 0..transitions {
            stop.check()?;
            let corrupted = tensor_from(self.net.corrupt(&chains.x, noise), shape);
            let logits = self.net.denoise(&view, corrupted, &mut chains.hidden, noise);
            chains.means = values(logits);
            probabilities(&mut chains.means);
            chains.x = bernoulli_sample(&chains.means, noise.next());
            for (x, held) in chains.x.iter_mut().zip(&chains.held).filter(|(_, held)| !held.is_nan()) {
                *x = *held;
            }
        }
        Ok(())
    }
}

impl<T: Transition> Family for Walker<T> {
    type Config = T::Config;

    fn fit(config: &T::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let transform =
            crate::transform_for(cx, data, || Transform::to_binary(&data.schema, config.binarize(), 0))?;
        let seed = cx.seed.child(T::spec().name);
        let seen = TrainingRows::new(&transform, data, seed)?;
        let mut model =
            Self::build(config, transform, seen.marginal_logits(), &mut seed.child("init").rng())?;
        if let Some(start) = cx.start {
            model.params.load(start)?;
        }
        let (rows, net) = (seen.rows(), model.net.clone());
        let mut objective = Cleaning { net: &net, config, seen, seed };
        let report =
            genus_nn::train(config.train(), &mut model.params, rows, &mut objective, T::spec().name, cx)?;
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: T::Config = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let base = state.f32("base", &[transform.target().width()])?.to_vec();
        let mut model = Self::build(&config, transform, base, &mut Seed::from(0).rng())?;
        model.params.load(state)?;
        Ok(model)
    }
}

impl<T: Transition> Model for Walker<T> {
    fn spec(&self) -> &'static ModelSpec {
        T::spec()
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let mut state = crate::header(T::spec(), &config::to_table(&self.config), &self.transform);
        state.tensors = self.params.state().tensors;
        state.tensors.insert("base".into(), Stored::f32(&[self.base.len()], self.base.clone()));
        state
    }

    fn exhibits(&self) -> Vec<Exhibit> {
        let id = self.net.first_weights();
        let units = self.params.shape(id)[1];
        weights(self.domain(), &columns(&self.params.values(id), self.base.len(), units))
    }

    fn as_sampler(&self) -> Option<&dyn Sampler> {
        Some(self)
    }
    fn as_chain(&self) -> Option<&dyn Chain> {
        Some(self)
    }
    fn as_encoder(&self) -> Option<&dyn Encoder> {
        Some(self)
    }
    fn as_conditional(&self) -> Option<&dyn Conditional> {
        Some(self)
    }
}

impl<T: Transition> Sampler for Walker<T> {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let how = self.config.sampling();
        let (count, width) = (how.chains.get().min(n), self.base.len());
        let noise = &mut Noise::new(rng.bits());
        let mut rows = Vec::with_capacity(n * width);
        in_pool(|| {
            let mut chains = self.begin(count, noise);
            let mut transitions = how.burn_in.get();
            while rows.len() < n * width {
                self.go(&mut chains, transitions, noise)?;
                let more = chains.x.len().min(n * width - rows.len());
                rows.extend_from_slice(&chains.x[..more]);
                transitions = how.thin.get();
            }
            Ok(())
        })?;
        Ok(self.transform.inverse(&Batch::new(rows, width)?))
    }
}

impl<T: Transition> Chain for Walker<T> {
    fn thinning(&self) -> usize {
        self.config.sampling().thin.get()
    }

    fn walk(&self, x: &Batch, states: usize, thin: usize, rng: &mut Rng) -> Result<Vec<Visited>> {
        let (y, _) = self.transform.forward(x, transform::Noise::Row(Scoring::default().seed))?;
        let noise = &mut Noise::new(rng.bits());
        in_pool(|| {
            let mut chains =
                Chains { x: y.data().to_vec(), means: Vec::new(), hidden: Vec::new(), held: Vec::new() };
            let visited = (0..states).map(|_| {
                self.go(&mut chains, thin, noise)?;
                let [rows, means] = [&chains.x, &chains.means].map(|v| Batch::new(v.clone(), y.width()));
                Ok(Visited {
                    rows: self.transform.inverse(&rows?),
                    means: self.transform.inverse_mean(&means?),
                })
            });
            visited.collect()
        })
    }
}

impl<T: Transition> Encoder for Walker<T> {
    fn code_width(&self) -> usize {
        self.net.code_width()
    }

    fn encode(&self, x: &Batch) -> Result<Batch> {
        let (y, _) = self.transform.forward(x, transform::Noise::Row(Scoring::default().seed))?;
        let (view, mut code) = (self.params.frozen(), Vec::new());
        for start in (0..y.rows()).step_by(CHUNK) {
            code.extend(values(self.net.code(&view, genus_nn::tensor(y.slice(start, start + CHUNK)))));
        }
        Batch::new(code, self.net.code_width())
    }
}

impl<T: Transition> Conditional for Walker<T> {
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion> {
        let noise = &mut Noise::new(rng.bits());
        let transitions = self.config.sampling().burn_in.get();
        let x = completed(&self.transform, x, fill, |held| {
            in_pool(|| {
                let mut chains = self.begin(held.len() / x.width(), noise);
                chains.held = held;
                for (x, held) in chains.x.iter_mut().zip(&chains.held).filter(|(_, held)| !held.is_nan()) {
                    *x = *held;
                }
                self.go(&mut chains, transitions - transitions / 2, noise)?;
                let mut mean = chains.means.clone();
                for k in 0..transitions / 2 {
                    self.go(&mut chains, 1, noise)?;
                    let weight = 1.0 / (k + 2) as f32;
                    mean.iter_mut().zip(&chains.means).for_each(|(m, now)| *m += weight * (now - *m));
                }
                Ok(if fill == Fill::Sample { chains.x } else { mean })
            })
        })?;
        let law = format!(
            "{transitions} transitions of the chain with what is known held; what they come to is not a conditional of the model's law"
        );
        Ok(Completion { x, law, warning: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::implicit::markov_chain::denoising_chain::{Autoencoder, DenoisingChainConfig};

    const D: usize = 4;

    fn bits(s: usize) -> Vec<f32> {
        (0..D).map(|k| (s >> k & 1) as f32).collect()
    }

    fn chain() -> Walker<Autoencoder> {
        let config: DenoisingChainConfig =
            config::from_table(&toml::from_str("hidden = 3\ncorruption = 0.3").unwrap()).unwrap();
        let transform = Transform::identity(Domain::binary(D));
        let mut model =
            Walker::build(&config, transform, vec![0.4, -0.3, 0.1, 0.2], &mut Seed::from(2).rng()).unwrap();
        let w = model.params.ids().next().unwrap();
        let scaled = model.params.values(w).iter().map(|v| 3.0 * v).collect();
        model.params.set(w, scaled);
        model
    }

    /// p(x' | x) of each two rows, with every corrupted row in between gone through.
    fn transitions(model: &Walker<Autoencoder>) -> Vec<Vec<f64>> {
        let view = model.params.frozen();
        let means: Vec<Vec<f32>> = (0..1 << D)
            .map(|s| {
                let x = tensor_from(bits(s), [1, D]);
                let mut p = values(model.net.denoise(&view, x, &mut Vec::new(), &mut Noise::new(0)));
                probabilities(&mut p);
                p
            })
            .collect();
        let corrupted = |from: &[f32], to: &[f32]| -> f64 {
            from.iter().zip(to).map(|(a, b)| if a == b { 0.85 } else { 0.15 }).product()
        };
        let drawn = |p: &[f32], x: &[f32]| -> f64 {
            p.iter().zip(x).map(|(p, x)| f64::from(if *x == 1.0 { *p } else { 1.0 - p })).product()
        };
        let one = |x: usize, next: usize| {
            (0..1 << D).map(|c| corrupted(&bits(x), &bits(c)) * drawn(&means[c], &bits(next))).sum()
        };
        (0..1 << D).map(|x| (0..1 << D).map(|next| one(x, next)).collect()).collect()
    }

    /// The law to which the chain comes, by going through all states: draws have it, and chains that begin with it keep it. Chi-square
    /// with 15 degrees of freedom below 60, false alarm 3e-7 each.
    #[test]
    fn the_law_is_where_the_transitions_lead() {
        let model = chain();
        let p = transitions(&model);
        let mut law = vec![1.0 / 16.0; 16];
        for _ in 0..500 {
            law = (0..16).map(|next| law.iter().zip(&p).map(|(l, row)| l * row[next]).sum()).collect();
        }
        let chi = |rows: &Batch| -> f64 {
            let mut counts = [0.0f64; 16];
            rows.iter().for_each(|x| counts[(x[0] + 2.0 * x[1] + 4.0 * x[2] + 8.0 * x[3]) as usize] += 1.0);
            let n = rows.rows() as f64;
            law.iter().zip(counts).map(|(p, c)| (c - p * n).powi(2) / (p * n)).sum()
        };
        assert!(
            law.iter().any(|p| *p > 0.12) && law.iter().any(|p| *p < 0.03),
            "{law:?} is near uniform: the test would be weak"
        );
        let mut noise = Noise::new(5);
        let mut chains = model.begin(40_000, &mut noise);
        model.go(&mut chains, 60, &mut noise).unwrap();
        let drawn = Batch::new(chains.x, D).unwrap();
        assert!(chi(&drawn) < 60.0, "{}", chi(&drawn));
        let mut exact = Vec::new();
        for (s, p) in law.iter().enumerate() {
            (0..(p * 4e4).round() as usize).for_each(|_| exact.extend(bits(s)));
        }
        let exact = Batch::new(exact, D).unwrap();
        let moved = model.walk(&exact, 2, 2, &mut Seed::from(3).rng()).unwrap().pop().unwrap();
        assert!(chi(&moved.rows) < 60.0, "{}", chi(&moved.rows));
        // One transition from one row has that row's law, and its means average to it.
        let from = Batch::new(bits(5).repeat(40_000), D).unwrap();
        let next = model.walk(&from, 1, 1, &mut Seed::from(4).rng()).unwrap().pop().unwrap();
        for k in 0..D {
            let want: f64 = (0..16).filter(|s| s >> k & 1 == 1).map(|s| p[5][s]).sum();
            let mean = next.rows.iter().map(|x| f64::from(x[k])).sum::<f64>() / 4e4;
            let of_means = next.means.iter().map(|x| f64::from(x[k])).sum::<f64>() / 4e4;
            assert!(
                (mean - want).abs() < 0.0125 && (of_means - want).abs() < 0.0125,
                "{mean} {of_means} {want}"
            );
        }
    }
}
