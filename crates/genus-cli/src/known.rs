//! Names that completions offer, in places where others may be typed too.

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use genus::{data, registry};
use std::ffi::OsStr;

/// Takes every text, and knows some.
#[derive(Debug, Clone, Copy)]
pub struct Known(fn() -> Vec<&'static str>);

/// Names of models.
pub const MODELS: Known = Known(|| registry::all().map(|s| s.name).collect());
/// Names of data sets, beside which there are files.
pub const DATA: Known = Known(|| data::catalogue().iter().map(|e| e.name).collect());

impl TypedValueParser for Known {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0().into_iter().map(PossibleValue::new)))
    }
}
