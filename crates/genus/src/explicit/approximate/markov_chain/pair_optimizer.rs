//! The parameters between two layers: how they move, how they are stored, and whether a gradient is theirs.

use super::learning::Learning;
use genus_core::train::At;
use genus_core::{Error, Result, State, Tensor};
use genus_kernels::LayerPair;

/// Momentum, decay and the moving average of the parameters between two layers.
#[derive(Debug, Clone)]
pub struct PairOptimizer {
    velocity: Option<LayerPair>,
    average: Option<LayerPair>,
}

impl PairOptimizer {
    /// At rest.
    pub fn new(how: &Learning, start: &LayerPair) -> Self {
        let still = || LayerPair::zeros(start.visible.len(), start.hidden.len());
        Self {
            velocity: (how.momentum.get() > 0.0).then(still),
            average: (how.ema.get() > 0.0).then(|| start.clone()),
        }
    }

    /// At rest at these parameters.
    pub fn begin_with(&mut self, start: &LayerPair) {
        if let Some(average) = &mut self.average {
            average.clone_from(start);
        }
    }

    /// One change of `pair`: `gradient` adds a rate times the gradient of the log-likelihood to what it is given.
    pub fn step(
        &mut self,
        pair: &mut LayerPair,
        how: &Learning,
        at: &At,
        gradient: impl FnOnce(&mut LayerPair, f32),
    ) {
        let (rate, decay) = (how.rate(at), how.weight_decay.get() as f32);
        if decay > 0.0 {
            let keep = 1.0 - rate * decay;
            pair.w.iter_mut().for_each(|w| *w *= keep);
        }
        match &mut self.velocity {
            Some(velocity) => {
                velocity.scale(how.momentum.get() as f32);
                gradient(velocity, rate);
                pair.add(velocity, 1.0);
            }
            None => gradient(pair, rate),
        }
        if let Some(average) = &mut self.average {
            let t = at.within as f64;
            let decay = how.ema.get().min((1.0 + t) / (10.0 + t)) as f32;
            average.scale(decay);
            average.add(pair, 1.0 - decay);
        }
    }

    /// The parameters to keep.
    pub fn kept<'a>(&'a self, pair: &'a LayerPair) -> &'a LayerPair {
        self.average.as_ref().unwrap_or(pair)
    }

    /// For a checkpoint, in which it is called `follower`: a stored name changes with the format of run folders only.
    pub fn state(&self) -> State {
        let mut state = State::default();
        for (name, pair) in [("velocity", &self.velocity), ("average", &self.average)] {
            if let Some(pair) = pair {
                state.nest(name, pair_state(pair));
            }
        }
        state
    }

    /// What [`state`](Self::state) gave.
    ///
    /// # Errors
    /// [`Error::Run`] if it does not fit.
    pub fn load(&mut self, state: &State) -> Result<()> {
        for (name, pair) in [("velocity", &mut self.velocity), ("average", &mut self.average)] {
            if let Some(pair) = pair {
                load_pair(pair, &state.nested(name))?;
            }
        }
        Ok(())
    }
}

/// That no weight is there where a `mask` is 0; an empty mask has none.
///
/// # Errors
/// [`Error::Run`] if there is one: the model would use it, and its gradient would not know of it.
pub fn unmasked(w: &[f32], mask: &[f32]) -> Result<()> {
    match w.iter().zip(mask).any(|(w, m)| *w != 0.0 && *m == 0.0) {
        true => {
            Err(Error::Run("there are weights between units that the configuration does not connect".into()))
        }
        false => Ok(()),
    }
}

/// Parameters between two layers as tensors `w`, `visible` and `hidden`.
pub fn pair_state(pair: &LayerPair) -> State {
    let (v, h) = (pair.visible.len(), pair.hidden.len());
    let mut state = State::default();
    state.tensors.insert("w".into(), Tensor::f32(&[v, h], pair.w.clone()));
    state.tensors.insert("visible".into(), Tensor::f32(&[v], pair.visible.clone()));
    state.tensors.insert("hidden".into(), Tensor::f32(&[h], pair.hidden.clone()));
    state
}

/// What [`pair_state`] gave.
///
/// # Errors
/// [`Error::Run`] if a tensor is missing or has another shape.
pub fn load_pair(pair: &mut LayerPair, state: &State) -> Result<()> {
    let (v, h) = (pair.visible.len(), pair.hidden.len());
    pair.w = state.f32("w", &[v, h])?.to_vec();
    pair.visible = state.f32("visible", &[v])?.to_vec();
    pair.hidden = state.f32("hidden", &[h])?.to_vec();
    Ok(())
}

/// Relative error of each part of a gradient at `pair` against difference quotients of `value`; weights where a `mask` is 0 stay.
pub fn quotients(
    pair: &LayerPair,
    gradient: &LayerPair,
    mask: &[f32],
    value: &dyn Fn(LayerPair) -> f64,
) -> Vec<(String, f64)> {
    type Part = fn(&mut LayerPair) -> &mut Vec<f32>;
    let parts: [(&str, Part); 3] =
        [("w", |p| &mut p.w), ("visible", |p| &mut p.visible), ("hidden", |p| &mut p.hidden)];
    let mut gradient = gradient.clone();
    let error = |(name, part): (&str, Part)| {
        let (mut off, mut size) = (0.0, 0.0);
        for (i, found) in part(&mut gradient).iter().enumerate() {
            if name == "w" && mask.get(i) == Some(&0.0) {
                continue;
            }
            let at = |by: f32| {
                let mut moved = pair.clone();
                part(&mut moved)[i] += by;
                value(moved)
            };
            let step = 1.0 / 128.0;
            let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
            off += (slope - f64::from(*found)).powi(2);
            size += slope * slope;
        }
        (name.to_owned(), libm::sqrt(off / size))
    };
    parts.map(error).into()
}
