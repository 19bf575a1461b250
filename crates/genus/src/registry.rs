//! Every model, in the order of the taxonomy.

use crate::{Domain, Error, Model, ModelSpec, Result, State, explicit, implicit, names, unsupervised};

/// The families of this crate in the order of the taxonomy.
const FAMILIES: &[&[&ModelSpec]] = &[
    unsupervised::clustering::SPECS,
    unsupervised::reduction::SPECS,
    unsupervised::features::SPECS,
    explicit::tractable::autoregressive::SPECS,
    explicit::tractable::flow::SPECS,
    explicit::tractable::kernel::SPECS,
    explicit::tractable::linear::SPECS,
    explicit::tractable::mixture::SPECS,
    explicit::approximate::variational::SPECS,
    explicit::approximate::markov_chain::SPECS,
    implicit::direct::SPECS,
    implicit::markov_chain::SPECS,
];

/// Models by name. The default are those of this crate; [`with`](Self::with) puts others beside them.
#[derive(Debug, Clone)]
pub struct Registry(Vec<&'static ModelSpec>);

impl Default for Registry {
    fn default() -> Self {
        Self(all().collect())
    }
}

impl Registry {
    /// These models too. One with a name that is taken takes the other's place.
    #[must_use]
    pub fn with(mut self, specs: &[&'static ModelSpec]) -> Self {
        self.0.retain(|old| !specs.iter().any(|new| new.name == old.name));
        self.0.extend(specs);
        self
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &'static ModelSpec> {
        self.0.iter().copied()
    }

    /// Names of those that can be fitted to rows of a domain.
    pub fn for_rows(&self, domain: &Domain) -> Vec<&'static str> {
        self.iter().filter(|s| s.admits(domain)).map(|s| s.name).collect()
    }

    /// The model called `name`, in any case and with either dash.
    ///
    /// # Errors
    /// [`Error::Config`] with those that may be meant, and all.
    pub fn find(&self, name: &str) -> Result<&'static ModelSpec> {
        let wanted = names::canonical(name);
        let exact = self.iter().find(|s| s.name == name);
        exact.or_else(|| self.iter().find(|s| names::canonical(s.name) == wanted)).ok_or_else(|| {
            let all: Vec<_> = self.iter().map(|s| s.name).collect();
            let near = names::near(name, all.iter().copied());
            let what = match near.is_empty() {
                true => format!("there is no model `{name}`"),
                false => format!("there is no model `{name}` (did you mean {}?)", near.join(", ")),
            };
            Error::config("model", format!("{what}; there are {}", all.join(", ")))
        })
    }

    /// The fitted model in a model file.
    ///
    /// # Errors
    /// If the file names no model of these, its tensors do not fit, or a value is NaN or infinite. Nothing much larger than the file
    /// is allocated.
    pub fn restore(&self, state: &State) -> Result<Box<dyn Model>> {
        let spec = self.find(state.text("model")?)?;
        let values = check_values(state)?;
        genus_nn::holding(values, || (spec.restore)(state))
    }
}

/// A tensor that says how an estimate was made, and may say that it was not.
pub(crate) const PARTITION: &str = "partition";

/// Checks that the numbers of a model file are numbers, and counts them. A weight may be 0, and its logarithm -∞.
fn check_values(state: &State) -> Result<usize> {
    let mut values = 0;
    for (name, tensor) in state.tensors.iter().filter(|(name, _)| *name != PARTITION) {
        values += tensor.shape.iter().product::<usize>();
        let sound = match (tensor.as_f32(), tensor.as_f64()) {
            (Some(v), _) => v.iter().all(|v| v.is_finite()),
            (_, Some(v)) => v.iter().all(|v| *v < f64::INFINITY),
            _ => true,
        };
        if !sound {
            let message = format!("tensor `{name}` holds values that are not finite; the file is damaged");
            return Err(Error::Run(message));
        }
    }
    Ok(values)
}

/// All models of this crate.
pub fn all() -> impl Iterator<Item = &'static ModelSpec> {
    FAMILIES.iter().flat_map(|f| f.iter().copied())
}

/// [`Registry::find`] among the models of this crate.
///
/// # Errors
/// As there.
pub fn find(name: &str) -> Result<&'static ModelSpec> {
    Registry::default().find(name)
}

/// [`Registry::restore`] among the models of this crate.
///
/// # Errors
/// As there.
pub fn restore(state: &State) -> Result<Box<dyn Model>> {
    Registry::default().restore(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_or_guessed() {
        assert_eq!(find("Gaussian_RBM").unwrap().name, "gaussian-rbm");
        assert_eq!(find("MADE").unwrap().name, "made");
        let said = |name: &str| find(name).unwrap_err().to_string();
        assert!(said("pixel-cnn").contains("did you mean pixelcnn"), "{}", said("pixel-cnn"));
        assert_eq!(find("K_Means").unwrap().name, "k-means");
        assert!(said("zebra").contains("there are"), "{}", said("zebra"));
    }
}
