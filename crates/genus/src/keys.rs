//! What the keys of configurations mean.

use crate::ModelSpec;

/// A key of a model's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name, with those of the tables it is in: `train.optimizer.rate`.
    pub name: &'static str,
    /// What it means.
    pub text: &'static str,
    /// Which values it takes, in words.
    pub values: &'static str,
}

/// Keys of the models by the paths of their modules, from the comments of the configurations.
static ALL: &[(&str, &[Key])] = include!(concat!(env!("OUT_DIR"), "/keys.rs"));

/// The keys of a model of this crate in the order of its configuration; none of another's.
pub fn of(spec: &ModelSpec) -> &'static [Key] {
    ALL.iter().find(|(module, _)| *module == spec.module).map_or(&[], |(_, keys)| keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry;
    use std::collections::BTreeSet;

    /// Dotted names of all values in a table.
    fn names(table: &toml::Table, before: &str, out: &mut BTreeSet<String>) {
        for (key, value) in table {
            let name = format!("{before}{key}");
            match value.as_table() {
                Some(inner) => names(inner, &format!("{name}."), out),
                None => {
                    out.insert(name);
                }
            }
        }
    }

    #[test]
    fn every_key_of_every_model_is_explained() {
        for spec in registry::all() {
            let keys = of(spec);
            let mut wanted = BTreeSet::new();
            names(&(spec.default_config)(), "", &mut wanted);
            for name in &wanted {
                let key = keys.iter().find(|k| k.name == name);
                assert!(key.is_some_and(|k| k.text.len() > 4), "{}: {name}", spec.name);
            }
            for key in keys {
                assert!(!key.values.is_empty(), "{}: values of {}", spec.name, key.name);
                // What is not among the defaults is optional.
                let optional = key.values.ends_with("or left out");
                assert!(wanted.contains(key.name) || optional, "{}: there is no {}", spec.name, key.name);
            }
        }
    }

    #[test]
    fn choices_and_ranges_are_said() {
        let keys = of(registry::find("gmm").unwrap_or_else(|e| panic!("{e}")));
        let values = |name| keys.iter().find(|k| k.name == name).map(|k| k.values);
        assert_eq!(values("components"), Some("a whole number of at least 1"));
        let choices = values("covariance").unwrap_or_default();
        assert!(["full (", " | tied (", " | spherical ("].iter().all(|c| choices.contains(c)), "{choices}");
    }
}
