//! Named parameters of a network.

use burn::Tensor;
use burn::tensor::{DispatchTensor, TensorData};
use genus_core::{Error, Result, Rng, State};
use genus_kernels::Staircase;
use std::cell::Cell;
use std::sync::Arc;

/// Handle of a parameter in the [`Params`] that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(usize);

/// Parameters that one player moves; the first group is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Group(usize);

#[derive(Clone)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    /// Leaf of the graph; its rank is `shape.len()`. None while it is being changed.
    leaf: Option<DispatchTensor>,
    /// What is not dropped.
    mask: Option<Arc<Staircase>>,
    /// None for a buffer.
    group: Option<Group>,
}

impl Entry {
    /// The leaf, `D` being its rank, or 1 where the rank does not matter.
    fn leaf<const D: usize>(&self) -> Tensor<D> {
        match &self.leaf {
            Some(leaf) => Tensor::from_dispatch(leaf.clone()),
            None => unreachable!("nothing else happens while a parameter is being changed"),
        }
    }
}

/// Named arrays that training changes. The names are the names in the model file.
#[derive(Clone, Default)]
pub struct Params {
    entries: Vec<Entry>,
    /// Of what is added now.
    group: Group,
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|e| (&e.name, &e.shape))).finish()
    }
}

/// Most values of fully connected layers: with gradients and moments they take 8 GiB.
const MOST: usize = 1 << 29;

thread_local! {
    /// Values that the file holds which is being read, while one is.
    static HELD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Does `f`, which makes a model of a file that holds so many values: [`afford`] refuses layers of more weights than that.
pub fn holding<T>(values: usize, f: impl FnOnce() -> T) -> T {
    struct Restored(Option<usize>);
    impl Drop for Restored {
        fn drop(&mut self) {
            HELD.set(self.0);
        }
    }
    let _before = Restored(HELD.replace(Some(values)));
    f()
}

/// Refuses chains of layers of these widths if they are too large to train, or larger than the file that is being read, before
/// anything is allocated.
///
/// # Errors
/// [`Error::Config`] on `field`; [`Error::Run`] if a file holds fewer values.
pub fn afford(field: &str, chains: &[&[usize]]) -> Result<()> {
    let products = chains.iter().flat_map(|widths| widths.windows(2)).map(|w| w[0].checked_mul(w[1]));
    let total = products.into_iter().try_fold(0usize, |sum, p| sum.checked_add(p?));
    match total {
        Some(n) if n <= MOST => match HELD.get() {
            Some(held) if n > held => Err(Error::Run(format!(
                "the model file holds {held} values, and its configuration asks for at least {n} (`{field}`); the file is damaged"
            ))),
            _ => Ok(()),
        },
        _ => Err(Error::config(
            field,
            format!(
                "{} chains of layers, the first of widths {:?}, have more than {MOST} weights; choose smaller or fewer ones",
                chains.len(),
                chains.first().map_or(&[][..], |widths| &widths[..widths.len().min(12)])
            ),
        )),
    }
}

/// How parameters enter a forward pass.
#[derive(Clone, Copy)]
pub struct View<'a> {
    params: &'a Params,
    /// Whose gradients are recorded.
    tracked: Option<Group>,
}

impl<'a> View<'a> {
    /// The parameters themselves.
    pub fn params(&self) -> &'a Params {
        self.params
    }

    /// The parameter, `D` being its rank.
    pub fn get<const D: usize>(&self, id: Id) -> Tensor<D> {
        let entry = &self.params.entries[id.0];
        debug_assert_eq!(entry.shape.len(), D, "rank of {}", entry.name);
        let leaf = entry.leaf();
        if self.tracked.is_some() && self.tracked == entry.group { leaf } else { leaf.inner() }
    }
}

fn leaf(values: Vec<f32>, shape: &[usize]) -> DispatchTensor {
    // The rank in the type is not checked against the data; it is given again by whoever reads the parameter.
    let data = TensorData::new(values, shape.to_vec());
    let make = |t: Tensor<1>| t.autodiff().require_grad().into_dispatch();
    match shape.len() {
        1 => make(Tensor::<1>::from_data(data, &crate::device())),
        2 => Tensor::<2>::from_data(data, &crate::device()).autodiff().require_grad().into_dispatch(),
        3 => Tensor::<3>::from_data(data, &crate::device()).autodiff().require_grad().into_dispatch(),
        4 => Tensor::<4>::from_data(data, &crate::device()).autodiff().require_grad().into_dispatch(),
        n => unreachable!("parameters have rank 1 to 4, not {n}"),
    }
}

impl Params {
    /// Adds a parameter. Panics if the name is taken or the shape does not hold that many values.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize], values: Vec<f32>) -> Id {
        self.push(name.into(), shape, values, Some(self.group))
    }

    /// Adds an array that belongs to the model and that no gradient moves, such as running means. Panics as [`add`](Self::add).
    pub fn buffer(&mut self, name: impl Into<String>, shape: &[usize], values: Vec<f32>) -> Id {
        self.push(name.into(), shape, values, None)
    }

    fn push(&mut self, name: String, shape: &[usize], values: Vec<f32>, group: Option<Group>) -> Id {
        assert!(self.entries.iter().all(|e| e.name != name), "parameter {name} twice");
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values of {name}");
        let leaf = Some(leaf(values, shape));
        self.entries.push(Entry { name, shape: shape.to_vec(), leaf, mask: None, group });
        Id(self.entries.len() - 1)
    }

    /// Parameters that are added from now on are a group of their own, with an optimiser of its own.
    pub fn begin_group(&mut self) -> Group {
        self.group = Group(self.group.0 + 1);
        self.group
    }

    /// Adds a parameter drawn uniformly from ±`bound`.
    pub fn uniform(&mut self, name: impl Into<String>, shape: &[usize], bound: f64, rng: &mut Rng) -> Id {
        let n = shape.iter().product();
        let values = (0..n).map(|_| ((2.0 * rng.uniform_f64() - 1.0) * bound) as f32).collect();
        self.add(name, shape, values)
    }

    /// From now on the weights that `mask` drops are zero, whatever they are set to. Their gradients must be zero too, as those of
    /// [`ops::linear`](crate::ops::linear) with that mask are; training then leaves them out. Panics if the mask has another shape.
    pub fn restrict(&mut self, id: Id, mask: &Arc<Staircase>) {
        assert_eq!(self.shape(id), [mask.inputs(), mask.outputs()], "a mask of {}", self.name(id));
        self.entries[id.0].mask = Some(Arc::clone(mask));
        self.update(id, |w| mask.apply(w));
    }

    /// What [`restrict`](Self::restrict) was given.
    pub(crate) fn mask(&self, id: Id) -> Option<&Arc<Staircase>> {
        self.entries[id.0].mask.as_ref()
    }

    /// For training: forward passes are recorded, with respect to the first group.
    pub fn tracked(&self) -> View<'_> {
        self.tracking(Group::default())
    }

    /// As [`tracked`](Self::tracked), with respect to one group; what is in others is constant.
    pub fn tracking(&self, group: Group) -> View<'_> {
        View { params: self, tracked: Some(group) }
    }

    /// For everything else.
    pub fn frozen(&self) -> View<'_> {
        View { params: self, tracked: None }
    }

    /// Number of parameters (arrays).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of values in all that are trained.
    pub fn count(&self) -> u64 {
        let trained = self.entries.iter().filter(|e| e.group.is_some());
        trained.map(|e| e.shape.iter().product::<usize>() as u64).sum()
    }

    /// Handles of a group in the order of addition.
    pub fn members(&self, group: Group) -> Vec<Id> {
        self.ids().filter(|id| self.entries[id.0].group == Some(group)).collect()
    }

    /// Handles in the order of addition.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.entries.len()).map(Id)
    }

    /// Name of a parameter.
    pub fn name(&self, id: Id) -> &str {
        &self.entries[id.0].name
    }

    /// Shape of a parameter.
    pub fn shape(&self, id: Id) -> &[usize] {
        &self.entries[id.0].shape
    }

    /// A copy of a parameter's values, row-major.
    pub fn values(&self, id: Id) -> Vec<f32> {
        crate::values(self.entries[id.0].leaf::<1>())
    }

    /// Replaces a parameter's values. Panics if their number changes.
    pub fn set(&mut self, id: Id, mut values: Vec<f32>) {
        let entry = &mut self.entries[id.0];
        assert_eq!(values.len(), entry.shape.iter().product::<usize>(), "values of {}", entry.name);
        if let Some(mask) = &entry.mask {
            mask.apply(&mut values);
        }
        entry.leaf = Some(leaf(values, &entry.shape));
    }

    /// Takes the gradient of a parameter out of `grads`, zeros if the loss does not depend on it.
    pub(crate) fn take_grad(&self, id: Id, grads: &mut burn::tensor::Gradients) -> Vec<f32> {
        let entry = &self.entries[id.0];
        match entry.leaf::<1>().grad_remove(grads) {
            Some(g) => crate::values(g),
            None => vec![0.0; entry.shape.iter().product()],
        }
    }

    /// Changes a parameter's values in place: without a copy, if no graph holds them any more.
    pub(crate) fn update(&mut self, id: Id, f: impl FnOnce(&mut [f32])) {
        let entry = &mut self.entries[id.0];
        // The leaf is moved out, so that its memory has one owner and is handed over, not copied.
        let Some(old) = entry.leaf.take() else { unreachable!("a change within a change") };
        let mut values = crate::values(Tensor::<1>::from_dispatch(old));
        f(&mut values);
        entry.leaf = Some(leaf(values, &entry.shape));
    }

    /// Named tensors.
    pub fn state(&self) -> State {
        let mut state = State::default();
        for id in self.ids() {
            let tensor = genus_core::Tensor::f32(self.shape(id), self.values(id));
            state.tensors.insert(self.name(id).to_owned(), tensor);
        }
        state
    }

    /// Reads values by name into parameters that have been added.
    ///
    /// # Errors
    /// If one is missing, has another shape, or is not finite.
    pub fn load(&mut self, state: &State) -> Result<()> {
        for id in self.ids() {
            let values = state.f32(self.name(id), self.shape(id))?.to_vec();
            if !values.iter().all(|v| v.is_finite()) {
                return Err(Error::Run(format!(
                    "tensor `{}` holds values that are not finite",
                    self.name(id)
                )));
            }
            self.set(id, values);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An update hands the memory over and back: a copy of every parameter at every step would cost as much as the optimiser.
    #[test]
    fn updates_do_not_copy() {
        let mut params = Params::default();
        let id = params.add("w", &[300, 500], vec![1.0; 150_000]);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let grads = params.tracked().get::<2>(id).sum().backward();
            drop(grads);
            params.update(id, |w| {
                seen.push(w.as_ptr());
                w[0] += 1.0;
            });
        }
        assert!(seen.windows(2).all(|p| p[0] == p[1]), "{seen:?}");
        assert_eq!(params.values(id)[0], 4.0);
    }

    #[test]
    fn names_and_shapes_are_checked_on_loading() {
        let mut params = Params::default();
        params.add("w", &[2], vec![1.0, 2.0]);
        let mut state = params.state();
        let mut other = params.clone();
        other.load(&state).unwrap();
        state.tensors.insert("w".into(), genus_core::Tensor::f32(&[2], vec![1.0, f32::NAN]));
        assert!(other.load(&state).unwrap_err().to_string().contains("not finite"));
        state.tensors.insert("w".into(), genus_core::Tensor::f32(&[1], vec![1.0]));
        assert!(other.load(&state).is_err());
    }
}
