//! The training: whose turn it is, what that player minimises, and what is seen of the game.

use super::judge::{Judge, Look, WATCHED};
use super::play::Players;
use super::{Adversarial, AdversarialConfig as _};
use crate::training_rows::TrainingRows;
use crate::{Batch, Result, State, Stop};
use genus_core::train::{Figures, Watch};
use genus_core::{Rng, Tensor as Stored};
use genus_nn::{Loss, Objective, StepContext, Tensor, View, tensor, values};

/// Numbers of the players.
pub(super) const GENERATOR: usize = 0;
pub(super) const DISCRIMINATOR: usize = 1;

/// Classes of rows as players are given them.
#[derive(Debug, Clone)]
pub(super) struct Classes {
    /// Of training rows.
    pub labels: Vec<u32>,
    /// How many there are.
    pub count: usize,
}

impl Classes {
    fn one_hot(&self, of: impl Iterator<Item = u32>) -> Batch {
        let of: Vec<u32> = of.collect();
        Batch::from_fn(of.len(), self.count, |r, c| f32::from(u8::from(of[r] as usize == c)))
    }

    /// Those of some training rows.
    fn of(&self, rows: &[usize]) -> Batch {
        self.one_hot(rows.iter().map(|r| self.labels[*r]))
    }

    /// Those of training rows that are drawn.
    pub fn drawn(&self, n: usize, rng: &mut Rng) -> Batch {
        self.one_hot((0..n).map(|_| self.labels[rng.below(self.labels.len())]))
    }
}

/// The objective of both players.
pub(super) struct Game<'a, A: Adversarial> {
    pub config: &'a A::Config,
    pub players: &'a Players,
    pub seen: TrainingRows,
    pub classes: Option<Classes>,
    pub judge: Judge,
    /// Noise and classes of the draws that the judge sees.
    pub noise: Batch,
    pub given: Option<Batch>,
    /// Share of rows that the discriminator told right, a moving average; none before its first move.
    pub told: Option<f64>,
    pub look: Option<Look>,
}

/// Draws of a pass, which see each other where layers are normalised.
const SEEN: usize = 250;
/// Weight of the past in the average of what the discriminator tells.
const MEMORY: f64 = 0.98;

impl<A: Adversarial> Game<'_, A> {
    /// What is made of fresh noise.
    fn make(&self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> (Tensor<2>, Option<Batch>) {
        let given = self.classes.as_ref().map(|c| c.of(rows));
        let noise = self.players.generator.noise(rows.len(), cx.rng("z").bits());
        (self.players.generator.make(view, tensor(noise), given.as_ref(), false), given)
    }

    fn generate(&self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Loss {
        let (made, given) = self.make(view, rows, cx);
        let (told, _) = self.players.discriminator.tell(view, made, given.as_ref());
        Loss::new(A::generate(self.config, told))
    }

    fn discriminate(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let x = self.seen.batch(rows, || cx.rng("noise"))?;
        let (made, given) = self.make(view, rows, cx);
        let (net, given) = (&self.players.discriminator, given.as_ref());
        // Apart from each other, because rows of a batch may see each other.
        let (real, mut buffers) = net.tell(view, tensor(x.clone()), given);
        let (fake, _) = net.tell(view, made.clone(), given);
        let [high, low] = [&real, &fake].map(|t| values(t.clone()));
        let mut total = A::discriminate(self.config, real, fake);
        let mut parts = Vec::new();
        let every = self.config.penalty_every();
        if let Some(penalty) = self.config.penalty().filter(|_| cx.step.is_multiple_of(every)) {
            let made = Batch::new(values(made), x.width())?;
            let places = penalty.places(&x, &made, &mut cx.rng("places"));
            let cost = penalty.at(net, view, &places, given)?;
            parts.push(("penalty", f64::from(values(cost.clone())[0])));
            total = total + cost * every as f32;
        }
        let middle = A::middle(self.config, &high, &low);
        let right =
            high.iter().filter(|v| **v > middle).count() + low.iter().filter(|v| **v < middle).count();
        let accuracy = right as f64 / (2 * rows.len()) as f64;
        self.told = Some(self.told.map_or(accuracy, |told| MEMORY * told + (1.0 - MEMORY) * accuracy));
        parts.push(("accuracy", accuracy));
        Ok(Loss { parts, buffers: std::mem::take(&mut buffers), ..Loss::new(total) })
    }
}

impl<A: Adversarial> Objective for Game<'_, A> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        match cx.player {
            GENERATOR => Ok(self.generate(view, rows, cx)),
            _ => self.discriminate(view, rows, cx),
        }
    }

    fn turns(&self, step: u64) -> &[usize] {
        match step.is_multiple_of(self.config.moves().get() as u64) {
            true => &[DISCRIMINATOR, GENERATOR],
            false => &[DISCRIMINATOR],
        }
    }

    fn validate(&mut self, view: &View<'_>) -> Result<Figures> {
        let (stop, width) = (Stop::current(), self.judge.width());
        let mut made = Vec::with_capacity(self.noise.rows() * width);
        for start in (0..self.noise.rows()).step_by(SEEN) {
            stop.check()?;
            let noise = tensor(self.noise.slice(start, start + SEEN));
            let given = self.given.as_ref().map(|given| given.slice(start, start + SEEN));
            made.extend(values(self.players.generator.make(view, noise, given.as_ref(), false)));
        }
        let (figures, look) = self.judge.look(&Batch::new(made, width)?)?;
        self.look = look.or(self.look);
        Ok(figures)
    }

    fn watch(&self) -> Watch {
        Watch::lower(WATCHED)
    }

    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Some(Look { twins, variety }) = self.look.filter(|l| l.twins > 0.2 || l.variety < 0.5) {
            doubts.push(format!(
                "collapse: {:.0} % more draws than real rows have a twin, and draws lie {variety:.2} times as far from each other; take `wgan-gp`, a penalty, a lower rate or larger batches",
                100.0 * twins.max(0.0)
            ));
        }
        if let Some(told) = self.told.filter(|told| *told > 0.99 && A::can_be_won(self.config)) {
            doubts.push(format!(
                "the {} has won: it tells {:.1} % of rows right, and little reaches the generator; take a lower `{}.rate`, fewer units there, or a penalty",
                self.config.opponent(),
                100.0 * told,
                self.config.optimizer().1
            ));
        }
        doubts
    }

    fn is_stateful(&self) -> bool {
        true
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.nest("judge", self.judge.state());
        let told = self.told.into_iter().collect::<Vec<_>>();
        state.tensors.insert("told".into(), Stored::f64(&[told.len()], told));
        let look = self.look.map_or_else(Vec::new, |look| vec![look.twins, look.variety]);
        state.tensors.insert("look".into(), Stored::f64(&[look.len()], look));
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.judge.load(&state.nested("judge"))?;
        let numbers =
            |name: &str| state.tensors.get(name).and_then(Stored::as_f64).unwrap_or_default().to_vec();
        self.told = numbers("told").first().copied();
        self.look = match numbers("look")[..] {
            [twins, variety] => Some(Look { twins, variety }),
            _ => None,
        };
        Ok(())
    }
}
