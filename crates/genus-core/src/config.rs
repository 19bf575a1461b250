//! Layered configuration: default < recipe < `key=value`, checked as a whole.

use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use std::num::NonZeroUsize;
use std::path::Path;
use toml::{Table, Value};

/// A configuration as a TOML table. Panics if it does not serialise to one, which a family's own tests would show.
pub fn to_table<T: Serialize>(config: &T) -> Table {
    match Table::try_from(config) {
        Ok(table) => table,
        Err(e) => panic!("a configuration must serialise to a TOML table: {e}"),
    }
}

/// Reads TOML; `path` is for messages.
///
/// # Errors
/// [`Error::Format`] with line and column.
pub fn parse(text: &str, path: &Path) -> Result<Table> {
    toml::from_str(text).map_err(|e| {
        let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        Error::format(path, format!("line {line}, column {column}"), format!("not TOML: {}", e.message()))
    })
}

/// Reads a configuration; missing keys take their defaults.
///
/// # Errors
/// [`Error::Config`] with the dotted path of the offending key.
pub fn from_table<T: DeserializeOwned>(table: &Table) -> Result<T> {
    T::deserialize(table.clone()).map_err(|e| {
        // A deserialisation error knows its message; the key is found again by trying the keys one at a time.
        let field = culprit::<T>(table).unwrap_or_else(|| "config".into());
        Error::config(field, plain(e.message().trim_end()))
    })
}

/// A message about a value in words that are no names of types.
fn plain(message: &str) -> String {
    let words = [
        ("a nonzero usize", "a whole number of at least 1"),
        ("expected usize", "expected a whole number of at least 0"),
        ("expected u64", "expected a whole number of at least 0"),
        ("expected f64", "expected a number"),
    ];
    words.iter().fold(message.to_owned(), |m, (of, said)| m.replace(of, said))
}

/// The innermost key whose removal, or whose presence alone, decides whether the table can be read.
fn culprit<T: DeserializeOwned>(table: &Table) -> Option<String> {
    fn first_unreadable<T: DeserializeOwned>(root: &Table, path: &mut Vec<String>) -> Option<String> {
        let here = path.iter().try_fold(root, |t, k| t.get(k)?.as_table())?;
        for (key, value) in here {
            let mut without = root.clone();
            let slot = path.iter().try_fold(&mut without, |t, k| t.get_mut(k)?.as_table_mut())?;
            slot.remove(key);
            if T::deserialize(without).is_ok() {
                path.push(key.clone());
                let inner = value.is_table().then(|| first_unreadable::<T>(root, path)).flatten();
                return inner.or_else(|| Some(path.join(".")));
            }
        }
        None
    }
    first_unreadable::<T>(table, &mut Vec::new())
}

/// Lays `over` on top of `base`, table by table.
pub fn merge(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(b)), Value::Table(o)) => merge(b, o),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Most tables within tables that a key may name; no configuration has nearly as many.
const DEPTH: usize = 16;

/// Applies one `key=value`; the key may be dotted, the value is TOML or else a bare string.
///
/// # Errors
/// [`Error::Config`] if there is no `=`, or a dotted key is very long or runs through something that is not a table.
pub fn set(table: &mut Table, assignment: &str) -> Result<()> {
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(Error::config(assignment, "write key=value, for example train.epochs=20"));
    };
    let (key, value) = (key.trim(), value.trim());
    let value = toml::from_str::<Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    if key.matches('.').count() >= DEPTH {
        let begin: String = key.chars().take(40).collect();
        let message =
            format!("more than {DEPTH} names with points between them; `genus models MODEL` shows the keys");
        return Err(Error::config(format!("{begin}…"), message));
    }
    let mut path: Vec<&str> = key.split('.').collect();
    let last = path.pop().filter(|k| !k.is_empty());
    let Some(last) = last else {
        return Err(Error::config(assignment, "the key before `=` is empty"));
    };
    let mut here = table;
    for part in path {
        here = here
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| Error::config(key, format!("`{part}` is a value, not a table")))?;
    }
    here.insert(last.to_owned(), value);
    Ok(())
}

/// A number of the program's own that is not 0. Panics if it is, in a constant when it is compiled.
#[track_caller]
pub const fn count(n: usize) -> NonZeroUsize {
    match NonZeroUsize::new(n) {
        Some(n) => n,
        None => panic!("0"),
    }
}

macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident, |$v:ident| $ok:expr, $say:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            /// The value, if it is in range.
            pub const fn new($v: f64) -> Option<Self> {
                if $ok { Some(Self($v)) } else { None }
            }

            /// A value of the program's own. Panics if it is out of range, in a constant when it is compiled.
            #[track_caller]
            pub const fn constant(v: f64) -> Self {
                match Self::new(v) {
                    Some(v) => v,
                    None => panic!("out of range"),
                }
            }

            /// The value.
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let v = f64::deserialize(d)?;
                Self::new(v).ok_or_else(|| serde::de::Error::custom(format!("{v} is out of range; {}", $say)))
            }
        }
    };
}

ranged!(
    /// A finite number above 0.
    Positive, |v| (v as f32).is_finite() && v as f32 > 0.0, "it must be a finite number above 0, also in single precision"
);
ranged!(
    /// A finite number of at least 0.
    NonNegative, |v| (v as f32).is_finite() && v >= 0.0, "it must be a finite number of at least 0"
);
ranged!(
    /// A number of at least 0 and below 1.
    Fraction, |v| v >= 0.0 && (v as f32) < 1.0, "it must be at least 0 and below 1, also in single precision"
);

/// How often: after every so many epochs, as `5`, or steps, as `"500 steps"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// Passes over the training rows.
    Epochs(NonZeroUsize),
    /// Updates.
    Steps(NonZeroUsize),
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Epochs(n) => s.serialize_u64(n.get() as u64),
            Self::Steps(n) => s.serialize_str(&format!("{n} steps")),
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(i64),
            Other(Value),
        }
        let form = Form::deserialize(d)?;
        let read = match &form {
            Form::Number(n) => usize::try_from(*n).ok().and_then(NonZeroUsize::new).map(Self::Epochs),
            Form::Other(Value::String(text)) => text.split_once(' ').and_then(|(n, unit)| {
                let n = n.parse().ok()?;
                match unit {
                    "steps" | "step" => Some(Self::Steps(n)),
                    "epochs" | "epoch" => Some(Self::Epochs(n)),
                    _ => None,
                }
            }),
            Form::Other(_) => None,
        };
        let say = "write a number of epochs of at least 1, or a text such as \"500 steps\"";
        read.ok_or_else(|| serde::de::Error::custom(say))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    #[test]
    fn how_often() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        struct Holder {
            every: Every,
        }
        impl Default for Holder {
            fn default() -> Self {
                Self { every: Every::Epochs(NonZeroUsize::MIN) }
            }
        }
        let read = |text: &str| from_table::<Holder>(&toml::from_str(text).unwrap());
        for (text, want) in
            [("every = 3", Every::Epochs(count(3))), ("every = '500 steps'", Every::Steps(count(500)))]
        {
            let holder = read(text).unwrap();
            assert_eq!(holder.every, want);
            assert_eq!(from_table::<Holder>(&to_table(&holder)).unwrap(), holder);
        }
        for text in ["every = 0", "every = -1", "every = '0 steps'", "every = '3 rows'", "every = [1]"] {
            let e = read(text).unwrap_err().to_string();
            assert!(e.contains("every") && e.contains("500 steps"), "{text}: {e}");
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        rate: Positive,
        drop: Fraction,
    }
    impl Default for Inner {
        fn default() -> Self {
            Self { rate: Positive(0.1), drop: Fraction(0.0) }
        }
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        hidden: Vec<usize>,
        batch: NonZeroUsize,
        inner: Inner,
    }
    impl Default for Outer {
        fn default() -> Self {
            Self { hidden: vec![500], batch: NonZeroUsize::MIN, inner: Inner::default() }
        }
    }

    fn error(assignments: &[&str]) -> String {
        let mut t = Table::new();
        for a in assignments {
            set(&mut t, a).unwrap();
        }
        from_table::<Outer>(&t).unwrap_err().to_string()
    }

    #[test]
    fn layers_and_dotted_keys() {
        let mut t = to_table(&Outer::default());
        set(&mut t, "inner.rate = 0.5").unwrap();
        set(&mut t, "hidden=[3, 4]").unwrap();
        let c: Outer = from_table(&t).unwrap();
        assert_eq!((c.inner.rate.get(), c.hidden, c.inner.drop.get()), (0.5, vec![3, 4], 0.0));
    }

    #[test]
    fn errors_name_the_key() {
        assert!(error(&["inner.rate=0"]).contains("inner.rate"), "{}", error(&["inner.rate=0"]));
        assert!(error(&["inner.rate=0"]).contains("above 0"));
        assert!(error(&["inner.drop=1.0"]).contains("inner.drop"));
        let zero = error(&["batch=0"]);
        assert!(zero.contains("batch") && zero.contains("a whole number of at least 1"), "{zero}");
        let unknown = error(&["hiden=[3]"]);
        assert!(unknown.contains("hiden") && unknown.contains("hidden"), "{unknown}");
        assert!(error(&["hidden=three"]).contains("hidden"));
    }

    #[test]
    fn toml_errors_name_the_place_on_one_line() {
        let e = parse("a = 1\nbé = = 2\n", Path::new("c.toml")).unwrap_err().to_string();
        assert!(e.starts_with("c.toml: line 2, column 6: not TOML: ") && !e.contains('\n'), "{e}");
    }

    #[test]
    fn assignments_need_a_key_and_a_value() {
        assert!(set(&mut Table::new(), "epochs").is_err());
        assert!(set(&mut Table::new(), "=3").is_err());
        let mut t = Table::new();
        set(&mut t, "a=1").unwrap();
        assert!(set(&mut t, "a.b=1").is_err());
    }
}
