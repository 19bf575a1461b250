//! The public model of a game: what its generator makes.

use super::game::{Classes, Game};
use super::invert::invert;
use super::judge::{DRAWS, Judge};
use super::play::Players;
use super::{Adversarial, AdversarialConfig as _};
use crate::panel::Named;
use crate::training_rows::TrainingRows;
use genus_core::transform::{RealSteps, Transform};
use genus_core::{
    Advice, Batch, Dataset, Decoder, Domain, Drawing, Encoder, Error, Exhibit, Family, Fit, FitContext,
    Model, ModelSpec, Panel, Result, Rng, Sampler, Schema, Seed, Split, State, Stop, Support,
    Tensor as Stored, config, level_at, stop::in_pool,
};
use genus_nn::{Loss, Params, Player, tensor, values};

/// A fitted generator, with the discriminator that it learned from.
#[derive(Debug, Clone)]
pub struct Duel<A: Adversarial> {
    config: A::Config,
    transform: Transform,
    params: Params,
    players: Players,
    /// Shares of the classes; empty without.
    prior: Vec<f32>,
    /// Draws from one noise while it learned.
    film: Vec<Batch>,
}

/// Rows of a pass where there is no gradient.
const CHUNK: usize = 500;
/// Draws whose statistics normalised layers keep: as many as an interrupted training has time for.
const SETTLED: usize = 1000;

impl<A: Adversarial> Duel<A> {
    fn build(config: &A::Config, transform: Transform, prior: Vec<f32>, rng: &mut Rng) -> Result<Self> {
        let mut params = Params::default();
        let levels = transform.dequantizes();
        let players = Players::new(config, transform.target(), levels, prior.len(), &mut params, rng)?;
        Ok(Self { config: config.clone(), transform, params, players, prior, film: Vec::new() })
    }

    /// From the data to what players see: levels between −1 and 1, columns in units of their deviations.
    fn transform_of(schema: &Schema, x: &Batch) -> Result<Transform> {
        let standardize = schema.domain.support == Support::Real;
        let chain = Transform::to_real(schema, RealSteps { logit: None, standardize }, x, 0)?;
        Ok(if standardize { chain } else { chain.around_zero() })
    }

    /// Classes of the training rows and their shares, where the configuration asks for them.
    fn classes(config: &A::Config, data: &Dataset) -> Result<(Option<Classes>, Vec<f32>)> {
        if !config.classes() {
            return Ok((None, Vec::new()));
        }
        let Some(labels) = data.schema.labels(&data.train) else {
            return Err(
                Error::config("class_conditional", "the training rows have no labels").advise(Advice::Label)
            );
        };
        let count = data.schema.classes().len();
        let mut prior = vec![0.0; count];
        labels.iter().for_each(|l| prior[*l as usize] += 1.0 / labels.len() as f32);
        Ok((Some(Classes { labels, count }), prior))
    }

    fn one_hot(&self, classes: &[u32]) -> Option<Batch> {
        let n = self.prior.len();
        (n > 0)
            .then(|| Batch::from_fn(classes.len(), n, |r, c| f32::from(u8::from(classes[r] as usize == c))))
    }

    /// Rows as the model works on them, of noise and classes.
    fn made(&self, noise: &Batch, classes: Option<&Batch>) -> Result<Batch> {
        let view = self.params.frozen();
        let mut all = Vec::with_capacity(noise.rows() * self.transform.target().width());
        let stop = Stop::current();
        for start in (0..noise.rows()).step_by(CHUNK) {
            stop.check()?;
            let given = classes.map(|c| c.slice(start, start + CHUNK));
            let noise = tensor(noise.slice(start, start + CHUNK));
            all.extend(values(self.players.generator.make(&view, noise, given.as_ref(), true)));
        }
        Batch::new(all, self.transform.target().width())
    }

    /// Rows of these classes, or of any.
    fn drawn(&self, n: usize, class: Option<u32>, rng: &mut Rng) -> Result<Split> {
        let noise = self.players.generator.noise(n, rng.bits());
        let classes: Vec<u32> = match (class, self.prior.is_empty()) {
            (_, true) => Vec::new(),
            (Some(class), _) => vec![class; n],
            (None, _) => (0..n).map(|_| level_at(rng.uniform(), &self.prior) as u32).collect(),
        };
        let x = self.transform.inverse(&self.made(&noise, self.one_hot(&classes).as_ref())?);
        if let Some(r) = (0..n).find(|r| x.row(*r).iter().any(|v| !v.is_finite())) {
            let remedy = "train again at a lower rate".into();
            return Err(Error::Numerical { what: format!("draw {r}"), step: 0, remedy });
        }
        Ok(match classes.is_empty() {
            true => Split::unlabelled(x),
            false => Split::labelled(x, &classes),
        })
    }

    /// Gradients of what each player minimises against difference quotients, each with respect to its own parameters.
    pub(super) fn gradient_check(
        config: &A::Config,
        domain: &Domain,
        classes: usize,
        seed: Seed,
    ) -> Result<Vec<(String, f64)>> {
        let mut rng = seed.rng();
        let mut params = Params::default();
        let players = Players::new(config, domain, false, classes, &mut params, &mut rng)?;
        for id in params.ids().collect::<Vec<_>>() {
            let moved = params.values(id).iter().map(|w| w + 0.2 * rng.normal() as f32).collect();
            params.set(id, moved);
        }
        let rows = 5;
        let mut normal = |width: usize| Batch::from_fn(rows, width, |_, _| rng.normal() as f32);
        let (x, z, places) = (normal(domain.width()), normal(config.latent().get()), normal(domain.width()));
        let given = (classes > 0)
            .then(|| Batch::from_fn(rows, classes, |r, c| f32::from(u8::from(r % classes == c))));
        let (generator, discriminator) = (&players.generator, &players.discriminator);
        let mut found = genus_nn::gradcheck::check_group(
            &mut params,
            players.group,
            seed,
            |_, _| (),
            |view| {
                let made = generator.make(view, tensor(z.clone()), given.as_ref(), false);
                let (real, _) = discriminator.tell(view, tensor(x.clone()), given.as_ref());
                let (fake, _) = discriminator.tell(view, made, given.as_ref());
                let mut total = A::discriminate(config, real, fake);
                if let Some(penalty) = config.penalty() {
                    total = total + penalty.at(discriminator, view, &places, given.as_ref())?;
                }
                Ok(Loss::new(total))
            },
        )?;
        found.extend(genus_nn::gradcheck::check_group(
            &mut params,
            genus_nn::Group::default(),
            seed,
            |_, _| (),
            |view| {
                let made = generator.make(view, tensor(z.clone()), given.as_ref(), false);
                Ok(Loss::new(A::generate(config, discriminator.tell(view, made, given.as_ref()).0)))
            },
        )?);
        Ok(found.into_iter().map(|d| (d.name, d.error)).collect())
    }
}

impl<A: Adversarial> Family for Duel<A> {
    type Config = A::Config;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let transform = crate::transform_for(cx, data, || Self::transform_of(&data.schema, &data.train.x))?;
        let (classes, prior) = Self::classes(config, data)?;
        let seed = cx.seed.child(A::spec().name);
        let seen = TrainingRows::new(&transform, data, seed)?;
        let judge = Judge::new(&transform, data, seed.child("judge"))?;
        let mut model = Self::build(config, transform, prior, &mut seed.child("init").rng())?;
        if let Some(start) = cx.start {
            model.params.load(start)?;
        }
        let (rows, players) = (seen.rows(), model.players.clone());
        let given = |n: usize, name: &str| classes.as_ref().map(|c| c.drawn(n, &mut seed.child(name).rng()));
        let mut game = Game::<A> {
            config,
            players: &players,
            seen,
            judge,
            noise: players.generator.noise(DRAWS, seed.child("watched").rng().bits()),
            given: given(DRAWS, "watched classes"),
            classes: classes.clone(),
            told: None,
            look: None,
        };
        let (optimizer, key) = config.optimizer();
        let sides = vec![
            Player {
                name: "generator",
                group: genus_nn::Group::default(),
                optimizer: config.train().optimizer.clone(),
                key: "train.optimizer",
                ema: config.train().ema,
            },
            Player {
                name: "discriminator",
                group: players.group,
                optimizer: optimizer.clone(),
                key,
                ema: config::Fraction::constant(0.0),
            },
        ];
        let name = A::spec().name;
        let report = genus_nn::play(config.train(), sides, &mut model.params, rows, &mut game, name, cx)?;
        model.film = game.judge.film().to_vec();
        // What is drawn from now on is drawn row by row.
        let noise = players.generator.noise(SETTLED, seed.child("settled").rng().bits());
        players.generator.settle(
            &mut model.params,
            tensor(noise),
            given(SETTLED, "settled classes").as_ref(),
        );
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: A::Config = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let prior = match state.tensors.get("prior") {
            Some(stored) => stored.as_f32().unwrap_or_default().to_vec(),
            None => Vec::new(),
        };
        let sound = prior.iter().all(|p| (0.0..=1.0).contains(p)) && prior.len() < 1 << 20;
        if config.classes() == prior.is_empty() || !sound {
            return Err(Error::Run(
                "tensor `prior` does not fit the configuration; the file is damaged".into(),
            ));
        }
        let width = transform.source().width();
        let mut model = Self::build(&config, transform, prior, &mut Seed::from(0).rng())?;
        model.params.load(state)?;
        let film = state
            .tensors
            .get("film")
            .and_then(|film| Some((<[usize; 3]>::try_from(&film.shape[..]).ok()?, film.as_f32()?)));
        let Some(([_, rows, columns], all)) =
            film.filter(|([_, rows, columns], _)| *rows > 0 && *columns == width)
        else {
            return Err(Error::Run("tensor `film` does not fit the rows; the file is damaged".into()));
        };
        model.film =
            all.chunks_exact(rows * columns).map(|f| Batch::new(f.to_vec(), width)).collect::<Result<_>>()?;
        Ok(model)
    }
}

impl<A: Adversarial> Model for Duel<A> {
    fn spec(&self) -> &'static ModelSpec {
        A::spec()
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let mut state = crate::header(A::spec(), &config::to_table(&self.config), &self.transform);
        state.tensors = self.params.state().tensors;
        if !self.prior.is_empty() {
            state.tensors.insert("prior".into(), Stored::f32(&[self.prior.len()], self.prior.clone()));
        }
        let rows = self.film.first().map_or(1, Batch::rows);
        let all: Vec<f32> = self.film.iter().flat_map(|f| f.data().iter().copied()).collect();
        let shape = [self.film.len(), rows, self.transform.source().width()];
        state.tensors.insert("film".into(), Stored::f32(&shape, all));
        state
    }

    fn exhibits(&self) -> Vec<Exhibit> {
        if self.film.len() < 2 {
            return Vec::new();
        }
        let frames = self
            .film
            .iter()
            .enumerate()
            .map(|(i, f)| Named::new(format!("{} of {}", i + 1, self.film.len()), f));
        let film = Panel::Frames { title: "Draws from one noise".into(), frames: frames.collect() };
        let text = "What the generator made of one and the same noise while it learned, from the first validation to the last.";
        vec![Exhibit::new("learning", "While it learned", text, vec![film])]
    }

    fn as_sampler(&self) -> Option<&dyn Sampler> {
        Some(self)
    }
    fn as_encoder(&self) -> Option<&dyn Encoder> {
        self.prior.is_empty().then_some(self)
    }
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        self.prior.is_empty().then_some(self)
    }
}

impl<A: Adversarial> Sampler for Duel<A> {
    fn classes_drawn(&self) -> usize {
        self.prior.len()
    }

    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        Ok(self.drawn(n, None, rng)?.x)
    }

    fn draw_as(&self, n: usize, how: &Drawing, rng: &mut Rng) -> Result<Split> {
        if how.temperature != 1.0 {
            let what = "sample at a temperature".into();
            let remedy = "other models have that choice".into();
            let error = Error::Unsupported { model: self.spec().name.into(), capability: what, remedy };
            return Err(error.advise(Advice::OwnLaw));
        }
        let Some(given) = &how.given else { return self.drawn(n, None, rng) };
        let count = self.prior.len();
        match given[..] {
            _ if count == 0 => {
                let remedy = "train with class_conditional = true on data with labels";
                Err(Error::config("class", format!("this model has no classes; {remedy}")))
            }
            [c] if c >= 0.0 && c.fract() == 0.0 && (c as usize) < count => self.drawn(n, Some(c as u32), rng),
            [c] => Err(Error::config("class", format!("{c}: classes are 0 to {}", count - 1))),
            _ => Err(Error::shape("what is given", "one class", format!("{} values", given.len()))),
        }
    }
}

impl<A: Adversarial> Encoder for Duel<A> {
    fn code_width(&self) -> usize {
        self.players.generator.latent()
    }

    fn encode(&self, x: &Batch) -> Result<Batch> {
        self.transform.source().check(x, false)?;
        let y = self.transform.forward_at_middles(x)?;
        in_pool(|| invert(&self.players.generator, &self.params, &y))
    }
}

impl<A: Adversarial> Decoder for Duel<A> {
    fn decode(&self, codes: &Batch) -> Result<Batch> {
        if codes.width() != self.players.generator.latent() {
            return Err(Error::shape("codes", self.players.generator.latent(), codes.width()));
        }
        Ok(self.transform.inverse_mean(&self.made(codes, None)?))
    }
}
