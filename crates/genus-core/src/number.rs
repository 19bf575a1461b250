//! Numbers in JSON, which has no infinities: those become the words `inf`, `-inf` and `nan`, and come back as they were.
//! For `#[serde(with = "number")]`, with [`option`] and [`map`] for what may be missing and for numbers by name.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A number as JSON holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number<T>(pub T);

impl<T: Copy + Into<f64> + Serialize> Serialize for Number<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let v: f64 = self.0.into();
        if v.is_finite() { self.0.serialize(s) } else { s.serialize_str(&v.to_string().to_lowercase()) }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Number(f64),
    Word(String),
}

impl<'de> Deserialize<'de> for Number<f64> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Form::deserialize(d)? {
            Form::Number(v) => Ok(Self(v)),
            Form::Word(w) => {
                w.parse().map(Self).map_err(|_| D::Error::custom(format!("`{w}` is not a number")))
            }
        }
    }
}

/// Writes a number.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(v: &f64, s: S) -> Result<S::Ok, S::Error> {
    Number(*v).serialize(s)
}

/// Reads a number.
///
/// # Errors
/// If there is none.
pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    Ok(Number::deserialize(d)?.0)
}

/// A number that may be missing.
pub mod option {
    use super::Number;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes a number, or `null`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(v: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
        v.map(Number).serialize(s)
    }

    /// Reads a number, or `null`.
    ///
    /// # Errors
    /// If there is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Number<f64>>::deserialize(d)?.map(|v| v.0))
    }
}

/// Numbers by name.
pub mod map {
    use super::Number;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    /// Writes numbers.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(v: &BTreeMap<String, f64>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(v.iter().map(|(name, v)| (name, Number(*v))))
    }

    /// Reads numbers.
    ///
    /// # Errors
    /// If there is anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let found = BTreeMap::<String, Number<f64>>::deserialize(d)?;
        Ok(found.into_iter().map(|(name, v)| (name, v.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Score, TimedEvent};
    use crate::{Event, Evidence, Figure, Measure, SplitName};
    use serde::de::DeserializeOwned;
    use std::fmt::Debug;

    /// What is written comes back, and is written in words where it is not finite.
    fn returns<T: Serialize + DeserializeOwned + Debug>(value: &T, v: f64) {
        let text = serde_json::to_string(value).unwrap();
        let back: T = serde_json::from_str(&text).unwrap();
        // Of two NaNs none is equal to the other; what they print is.
        assert_eq!(format!("{back:?}"), format!("{value:?}"), "{text}");
        let word =
            if v.is_finite() { v.to_string() } else { format!("\"{}\"", v.to_string().to_lowercase()) };
        assert!(text.contains(&word) && !text.contains("null"), "{text}");
    }

    #[test]
    fn infinities_survive() {
        for v in [1.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let parts = || [("loss".to_owned(), v), ("kl".to_owned(), 0.25)].into();
            returns(&Figure::new("f", v, "nats"), v);
            for event in [
                Event::Step { step: 3, parts: parts() },
                Event::Epoch { epoch: 1, step: 3, train: parts(), valid: parts(), best: false },
                Event::Validation { epoch: 1, step: 3, valid: parts(), best: true },
            ] {
                returns(&TimedEvent { t: 0.5, event }, v);
            }
            let score = Score {
                split: SplitName::Test,
                rows: 1,
                nats: v,
                stderr: Some(v),
                independent: Some(v),
                uniform: Some(v),
                bits_per_dim: Some(v),
                evidence: Evidence::estimated(v),
                measure: Measure::Counting,
                protocol: String::new(),
            };
            returns(&score, v);
            assert_eq!(serde_json::to_string(&Number(0.1f32)).unwrap(), "0.1");
        }
        let none: Score = serde_json::from_str(
            r#"{"split":"test","rows":1,"nats":"-inf","stderr":null,"independent":null,"uniform":null,"bits_per_dim":null,"evidence":{"kind":"exact"},"measure":"Counting","protocol":""}"#,
        )
        .unwrap();
        assert_eq!((none.nats, none.stderr), (f64::NEG_INFINITY, None));
    }
}
