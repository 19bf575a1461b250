//! The public model of an energy: scores with log Z, chains that draw, chains with some units held.

use super::annealing::{Annealing, Partition};
use super::{Chains, Energy, MachineConfig as _, streams};
use crate::diagnostics::weights;
use crate::registry::PARTITION;
use crate::sampling::completed;
use crate::training_rows::TrainingRows;
use crate::{completion, draws};
use genus_core::math::softplus;
use genus_core::stop::in_pool;
use genus_core::transform::{Noise, Transform};
use genus_core::{
    Batch, Chain, Completion, Conditional, Dataset, Density, Domain, Encoder, Error, Event, Evidence,
    EvidenceKind, Exhibit, Family, Figure, Fill, Fit, FitContext, LogProb, Model, ModelSpec, Result, Rng,
    Sampler, Schema, Scoring, Seed, State, Stop, StopReason, Support, Tensor, Visited, config,
};

/// A fitted machine p(x) = Σ_h exp(−E(x, h)) / Z.
#[derive(Debug, Clone)]
pub struct Boltzmann<E: Energy> {
    config: E::Config,
    transform: Transform,
    pub(super) machine: E,
    partition: Partition,
}

/// log Z, summed or estimated.
fn log_z<E: Energy>(
    machine: &E,
    rows: Option<&Batch>,
    how: &Annealing,
    seed: Seed,
    heard: &mut dyn FnMut(u64, u64),
) -> Result<Partition> {
    if how.exact {
        // What cannot be summed in half of the time is estimated in the other half.
        let half = Stop::current().share(0.5);
        match half.during(|| in_pool(|| machine.summed())) {
            Ok(Some(log_z)) => return Ok(Partition::exact(log_z)),
            Err(Error::Stopped(StopReason::TimeBudget)) | Ok(None) => {}
            Err(e) => return Err(e),
        }
    }
    let seed = seed.child("log Z");
    let key = seed.child("states of rows").rng().bits();
    let states = rows.map(|v| in_pool(|| machine.path_states(v, streams(key, 0)))).transpose()?.flatten();
    Partition::in_time(machine.path(), &states.unwrap_or_default(), how, seed, heard)
}

impl<E: Energy> Boltzmann<E> {
    /// A machine whose parameters are known, with its log Z.
    pub(super) fn assemble(config: E::Config, domain: Domain, machine: E) -> Result<Self> {
        let partition = log_z(&machine, None, config.annealing(), Seed::from(0), &mut |_, _| ())?;
        Ok(Self { config, transform: Transform::identity(domain), machine, partition })
    }

    /// log Z, nats, and what kind of number it is.
    pub fn log_z(&self) -> (f64, Evidence) {
        (self.partition.log_z, self.partition.evidence())
    }

    /// One more estimate of log Z by annealed importance sampling with this schedule, and the figures that tell how good it is.
    ///
    /// # Errors
    /// [`Error::Stopped`] if it was asked to end.
    pub fn anneal(&self, how: &Annealing, seed: Seed) -> Result<Vec<Figure>> {
        Ok(Partition::estimate(self.machine.path(), &[], how, seed, &mut |_, _| ())?.figures())
    }

    /// Chains go on for so many transitions.
    fn run(&self, chains: &mut Chains, sweeps: u64, key: u64, first: u64) -> Result<()> {
        let stop = Stop::current();
        for sweep in first..first + sweeps {
            stop.check()?;
            self.machine.sweep(chains, streams(key, sweep));
        }
        Ok(())
    }

    /// A proxy of the log-likelihood of bits that needs no Z: D · log p(x_d | all others) for one d of each row, drawn at random
    /// (Besag 1975), nats.
    fn pseudo_likelihood(&self, y: &Batch, seed: Seed) -> Result<f64> {
        let mut flipped = y.clone();
        for r in 0..y.rows() {
            let d = seed.row(y.row(r)).rng().below(y.width());
            let v = &mut flipped.row_mut(r)[d];
            *v = 1.0 - *v;
        }
        let mass = |x: &Batch| self.machine.log_mass(x, &Scoring::default());
        let (own, other) = (mass(y)?, mass(&flipped)?);
        let each = own.iter().zip(other).map(|(own, other)| -softplus(other - own));
        Ok(y.width() as f64 * each.sum::<f64>() / y.rows() as f64)
    }

    fn is_bits(&self) -> bool {
        self.transform.target().support == Support::Binary
    }
}

impl<E: Energy> Family for Boltzmann<E> {
    type Config = E::Config;

    fn fit(config: &E::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let transform = crate::transform_for(cx, data, || config.transform(&data.schema, &data.train.x))?;
        let seed = cx.seed.child(E::spec().name);
        let seen = TrainingRows::new(&transform, data, seed)?;
        let start = match transform.target().support {
            Support::Binary => seen.marginal_logits(),
            _ => seen.means(),
        };
        let mut machine = E::build(config, transform.target(), &start, &mut seed.child("init").rng())?;
        if let Some(start) = cx.start {
            machine.load(start)?;
        }
        let mut report = machine.learn(config, &seen, seed, cx)?;
        if cx.stopped() != Some(StopReason::Interrupted) {
            cx.emit(&Event::Phase { name: "log Z".into() });
        }
        let stop = cx.stop().clone();
        let mut heard = |done, of| cx.emit(&Event::Progress { what: "annealing".into(), done, of });
        let found = stop.during(|| {
            let mut some = seed.child("rows of the way back").rng().permutation(seen.rows());
            some.truncate(config.annealing().chains.get().div_ceil(2));
            let rows = seen.batch(&some, || seed.child("noise of the way back").rng())?;
            log_z(&machine, Some(&rows), config.annealing(), seed, &mut heard)
        });
        let partition = match found {
            Err(Error::Stopped(_)) => Partition::unknown(),
            other => other?,
        };
        if cx.stopped() == Some(StopReason::Interrupted) {
            report.stopped = Some(StopReason::Interrupted);
        } else if let Some(doubt) = partition.doubt(config.annealing()) {
            cx.warn(&mut report, doubt);
        }
        let reason = report.stopped.unwrap_or(StopReason::Completed);
        cx.emit(&Event::End { step: report.steps, reason });
        let model = Self { config: config.clone(), transform, machine, partition };
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: E::Config = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let start = vec![0.0; transform.target().width()];
        let mut machine = E::build(&config, transform.target(), &start, &mut Seed::from(0).rng())?;
        machine.load(state)?;
        let partition = state.f64(PARTITION, &[9])?;
        if !partition[0].is_finite() {
            return Err(Error::Run("log Z is not finite; the file is damaged".into()));
        }
        let partition = Partition::from_array(partition);
        Ok(Self { config, transform, machine, partition })
    }
}

impl<E: Energy> Model for Boltzmann<E> {
    fn spec(&self) -> &'static ModelSpec {
        E::spec()
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let mut state = crate::header(E::spec(), &config::to_table(&self.config), &self.transform);
        state.tensors = self.machine.tensors().tensors;
        let partition = Tensor::f64(&[9], self.partition.to_array().to_vec());
        state.tensors.insert(PARTITION.into(), partition);
        state
    }

    fn figures(&self, x: &Batch, how: &Scoring) -> Result<Vec<Figure>> {
        let (y, _) = self.transform.forward(x, Noise::Row(how.seed))?;
        let mut figures = self.partition.figures();
        if self.is_bits() && E::bound(how).is_empty() && y.rows() > 0 {
            let name = "pseudo-log-likelihood, a proxy";
            figures.push(Figure::new(name, self.pseudo_likelihood(&y, how.seed.child("flips"))?, "nats"));
        }
        Ok(figures)
    }

    fn exhibits(&self) -> Vec<Exhibit> {
        self.machine.filters().map_or_else(Vec::new, |units| weights(self.domain(), &units))
    }

    fn as_density(&self) -> Option<&dyn Density> {
        Some(self)
    }
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        Some(self)
    }
    fn as_chain(&self) -> Option<&dyn Chain> {
        E::HOLDS.then_some(self)
    }
    fn as_encoder(&self) -> Option<&dyn Encoder> {
        (self.machine.code_width() > 0).then_some(self)
    }
    fn as_conditional(&self) -> Option<&dyn Conditional> {
        E::HOLDS.then_some(self)
    }
}

impl<E: Energy> Density for Boltzmann<E> {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        let score = |how: &Scoring| {
            draws::through(&self.transform, x, how, self.partition.evidence(), |y| {
                let mass = self.machine.log_mass(y, how)?;
                Ok(mass.into_iter().map(|m| m - self.partition.log_z).collect())
            })
        };
        let (nats, spread) = if E::is_drawn(how) {
            let again = |t| Ok(score(&Scoring { seed: how.seed.index(t), ..*how })?.0);
            let times = draws::times(how.importance_samples) as u64;
            draws::averaged(&(0..times).map(again).collect::<Result<Vec<_>>>()?)
        } else {
            score(how)?
        };
        let words = [draws::protocol(&self.transform, how), E::bound(how), self.partition.protocol()];
        let normalised = match self.partition.evidence() {
            exact if exact.kind == EvidenceKind::Exact && !E::bound(how).is_empty() => {
                exact.of_kind(EvidenceKind::LowerBound)
            }
            other => other,
        };
        Ok(LogProb {
            nats,
            spread,
            evidence: self.transform.evidence(normalised),
            measure: self.transform.measure(),
            protocol: words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", "),
        })
    }
}

impl<E: Energy> Sampler for Boltzmann<E> {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let how = self.config.sampling();
        let (count, width) = (how.chains.get().min(n), self.transform.target().width());
        let [begin, key] = [rng.bits(), rng.bits()];
        let mut rows = Vec::with_capacity(n * width);
        in_pool(|| {
            let mut chains = self.machine.begin(count, streams(begin, 0));
            let (mut sweeps, mut first) = (how.burn_in.get() as u64, 0);
            while rows.len() < n * width {
                self.run(&mut chains, sweeps, key, first)?;
                first += sweeps;
                let more = chains.visible.len().min(n * width - rows.len());
                rows.extend_from_slice(&chains.visible[..more]);
                sweeps = how.thin.get() as u64;
            }
            Ok(())
        })?;
        Ok(self.transform.inverse(&Batch::new(rows, width)?))
    }
}

impl<E: Energy> Chain for Boltzmann<E> {
    fn thinning(&self) -> usize {
        self.config.sampling().thin.get()
    }

    fn walk(&self, x: &Batch, states: usize, thin: usize, rng: &mut Rng) -> Result<Vec<Visited>> {
        let (y, _) = self.transform.forward(x, Noise::Row(Scoring::default().seed))?;
        let ([begin, key], thin) = ([rng.bits(), rng.bits()], thin as u64);
        in_pool(|| {
            let mut chains = self.machine.chains_at(y.data(), streams(begin, 0));
            let visited = (0..states as u64).map(|s| {
                self.run(&mut chains, thin, key, s * thin)?;
                let [rows, means] =
                    [&chains.visible, &chains.means].map(|v| Batch::new(v.clone(), y.width()));
                Ok(Visited {
                    rows: self.transform.inverse(&rows?),
                    means: self.transform.inverse_mean(&means?),
                })
            });
            visited.collect()
        })
    }
}

impl<E: Energy> Encoder for Boltzmann<E> {
    fn code_width(&self) -> usize {
        self.machine.code_width()
    }

    fn encode(&self, x: &Batch) -> Result<Batch> {
        let (y, _) = self.transform.forward(x, Noise::Row(Scoring::default().seed))?;
        self.machine.features(&y)
    }
}

/// Points of a grid for one missing number.
const GRID: usize = 4096;
/// Values of all chains that means of missing values are taken over, all rows together.
const MEANS: usize = 1 << 17;

impl<E: Energy> Conditional for Boltzmann<E> {
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion> {
        let most = x.iter().map(|row| row.iter().filter(|v| v.is_nan()).count()).max().unwrap_or(0);
        let few = match self.transform.target().support {
            Support::Binary => completion::count(2, most).is_some(),
            _ => most <= 1 && !self.transform.dequantizes() && self.machine.range(0).is_some(),
        };
        if few && E::bound(&Scoring::default()).is_empty() {
            let x = completed(&self.transform, x, fill, |held| self.weighed(&held, x.width(), fill, rng))?;
            let law = "the model's conditional, by summing or integrating over what is missing".into();
            return Ok(Completion { x, law, warning: None });
        }
        let [begin, key] = [rng.bits(), rng.bits()];
        let sweeps = self.config.sampling().burn_in.get() as u64;
        // One chain may stay where it began; means are taken over several, where rows are few.
        let width = x.width();
        let times = if fill == Fill::Mean { (MEANS / (x.rows() * width).max(1)).clamp(1, 1024) } else { 1 };
        let x = completed(&self.transform, x, fill, |held| {
            let n = held.len();
            let held = held.repeat(times);
            in_pool(|| {
                let mut chains = self.machine.begin(held.len() / width, streams(begin, 0));
                chains.held = held;
                chains.hold();
                self.run(&mut chains, sweeps - sweeps / 2, key, 0)?;
                let mut mean = chains.means.clone();
                for sweep in sweeps - sweeps / 2..sweeps {
                    self.run(&mut chains, 1, key, sweep)?;
                    let weight = 1.0 / (sweep - (sweeps - sweeps / 2) + 2) as f32;
                    mean.iter_mut().zip(&chains.means).for_each(|(m, now)| *m += weight * (now - *m));
                }
                if fill == Fill::Sample {
                    return Ok(chains.visible);
                }
                Ok((0..n).map(|i| mean.iter().skip(i).step_by(n).sum::<f32>() / times as f32).collect())
            })
        })?;
        let law = format!(
            "a Markov chain of {sweeps} transitions with what is known held, an approximation of the conditional"
        );
        Ok(Completion { x, law, warning: None })
    }
}

impl<E: Energy> Boltzmann<E> {
    /// Rows of bits with NaN for what is missing, filled by weighing every way to do so by its mass; rows of numbers that miss one, by
    /// weighing a grid.
    fn weighed(&self, held: &[f32], width: usize, fill: Fill, rng: &mut Rng) -> Result<Vec<f32>> {
        let stop = Stop::current();
        let mut filled = Vec::with_capacity(held.len());
        for row in held.chunks_exact(width) {
            stop.check()?;
            let missing: Vec<usize> = (0..width).filter(|c| row[*c].is_nan()).collect();
            let ways = match missing[..] {
                [m] if let Some([low, high]) = self.machine.range(m) => {
                    let step = (high - low) / GRID as f32;
                    let at = |r: usize| low + step * (r as f32 + rng.uniform());
                    let points: Vec<f32> = (0..GRID).map(at).collect();
                    Batch::from_fn(GRID, width, |r, c| if c == m { points[r] } else { row[c] })
                }
                _ => completion::ways(row, &missing, 2),
            };
            let weights = completion::normalised(&self.machine.log_mass(&ways, &Scoring::default())?);
            filled.extend(completion::settle(&ways, &weights, fill, rng));
        }
        Ok(filled)
    }
}
