//! Which values an attribute takes: the `dv` grammar and the number rules of the legacy protocol.
//!
//! `dv` is empty (anything), or a comma list of values and of ranges `a to b` (inclusive, spaces optional). Unlike the
//! old SDK, a text is read as a range only when both sides are numbers, so `auto,manual` stays a list of words.

use std::borrow::Cow;

use serde_json::Value;

use crate::template::{DataType, Scalar};

/// Most entries kept of one `dv`.
const ENTRIES_MAX: usize = 1000;

/// A parsed `dv`; without entries everything is allowed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValidValues(Vec<Entry>);

#[derive(Debug, Clone, PartialEq)]
enum Entry {
    Exactly { text: String, number: Option<f64> },
    Between(f64, f64),
}

/// What becomes of one scalar value.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict<'a> {
    /// Goes into the report, in this form.
    Valid(Cow<'a, Value>),
    /// Goes into the fault message, as this text.
    Faulty(Cow<'a, str>),
}

impl ValidValues {
    /// Reads a `dv`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let entries = text.split(',').map(str::trim).filter(|part| !part.is_empty()).take(ENTRIES_MAX);
        Self(entries.map(Entry::parse).collect())
    }

    fn allows_number(&self, number: f64) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|entry| match entry {
                Entry::Between(low, high) => *low <= number && number <= *high,
                Entry::Exactly { number: Some(allowed), .. } => *allowed == number,
                Entry::Exactly { number: None, .. } => false,
            })
    }

    fn allows_text(&self, text: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|entry| match entry {
                Entry::Exactly { text: allowed, .. } => allowed == text,
                Entry::Between(low, high) => number_in(text).is_some_and(|n| *low <= n && n <= *high),
            })
    }
}

impl Entry {
    fn parse(part: &str) -> Self {
        // "-3to3", "5 to 20": try every "to", because a number never holds one.
        let range = part.match_indices("to").find_map(|(at, _)| {
            let (low, high) = (part.get(..at)?, part.get(at + 2..)?);
            Some((number_in(low)?, number_in(high)?))
        });
        match range {
            Some((low, high)) => Self::Between(low, high),
            None => Self::Exactly { text: part.to_owned(), number: number_in(part) },
        }
    }
}

/// Judges one scalar.
#[must_use]
pub fn judge<'a>(scalar: &Scalar, value: &'a Value) -> Verdict<'a> {
    match scalar.data_type {
        DataType::Number => judge_number(&scalar.valid, value),
        DataType::Text => judge_text(&scalar.valid, value),
        // The 2.1 types: see B.
        _ => Verdict::Faulty(fault_text(value)),
    }
}

/// The text of a value in a fault message: strings as they are, null as nothing, the rest as JSON.
#[must_use]
pub fn fault_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

fn judge_number<'a>(valid: &ValidValues, value: &'a Value) -> Verdict<'a> {
    let as_number = |number: f64| (number, Cow::Owned(Value::from(number)));
    let accepted = match value {
        Value::Number(number) => number.as_f64().map(|n| (n, Cow::Borrowed(value))),
        Value::Bool(flag) => Some(as_number(f64::from(u8::from(*flag)))),
        Value::String(text) => number_in(text).map(as_number),
        _ => None,
    };
    match accepted {
        Some((number, as_sent)) if valid.allows_number(number) => Verdict::Valid(as_sent),
        _ => Verdict::Faulty(fault_text(value)),
    }
}

fn judge_text<'a>(valid: &ValidValues, value: &'a Value) -> Verdict<'a> {
    let allowed = match value {
        Value::String(text) => valid.allows_text(text.trim()),
        other => valid.0.is_empty() || (other.is_number() && valid.allows_text(&other.to_string())),
    };
    if allowed { Verdict::Valid(Cow::Borrowed(value)) } else { Verdict::Faulty(fault_text(value)) }
}

/// A finite decimal number with white space around it; no hexadecimal, no NaN, no infinity.
fn number_in(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    if plain { text.parse::<f64>().ok().filter(|number| number.is_finite()) } else { None }
}

#[cfg(test)]
mod tests;
