//! Numbers in JSON, which has no infinities: those become the words `inf`, `-inf` and `nan`, and come back as they were.
//! For `#[serde(with = "crate::number")]`.

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Number(f64),
    Word(String),
}

pub(crate) fn serialize<S: Serializer>(v: &f64, s: S) -> Result<S::Ok, S::Error> {
    if v.is_finite() { s.serialize_f64(*v) } else { s.serialize_str(&v.to_string().to_lowercase()) }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    match Form::deserialize(d)? {
        Form::Number(v) => Ok(v),
        Form::Word(w) => w.parse().map_err(|_| D::Error::custom(format!("`{w}` is not a number"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::Figure;

    #[test]
    fn infinities_survive() {
        for v in [1.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let text = serde_json::to_string(&Figure::new("f", v, "nats")).unwrap();
            let back: Figure = serde_json::from_str(&text).unwrap();
            assert!(back.value == v || back.value.is_nan() && v.is_nan(), "{text}");
        }
    }
}
