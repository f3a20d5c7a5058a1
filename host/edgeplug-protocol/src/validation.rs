//! Which values an attribute takes: the `dv` grammar, the number and text rules of the legacy protocol.
//!
//! `dv` is empty (anything), or a comma list of values and of ranges `a to b` (inclusive, spaces optional). Unlike the
//! old SDK, a text is read as a range only when both sides are numbers (or, for the time types of 2.1, moments), so
//! `auto,manual` stays a list of words.
//!
//! A verdict is about one value and knows no protocol: that the legacy protocol writes faulty values as text is done
//! where they are written ([`fault_text`]). The types of 2.1 are judged in `validation/v21.rs`.

mod v21;

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
    /// The integer beside the number, because a number holds 53 bits of it.
    Exactly {
        text: String,
        number: Option<f64>,
        integer: Option<i64>,
    },
    Between(f64, f64),
}

/// What becomes of one scalar value.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict<'a> {
    /// Goes into the report, in this form.
    Valid(Cow<'a, Value>),
    /// Goes into the fault message: the value as the plugin gave it, but for white space around numbers.
    Faulty(Cow<'a, Value>),
}

impl ValidValues {
    /// Reads a `dv`. Empty items stand for the empty text, unless there are no others.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.split(',').all(|part| part.trim().is_empty()) {
            return Self::default();
        }
        Self(text.split(',').map(str::trim).take(ENTRIES_MAX).map(Entry::parse).collect())
    }

    fn allows_number(&self, number: f64) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|entry| match entry {
                Entry::Between(low, high) => *low <= number && number <= *high,
                Entry::Exactly { number: Some(allowed), .. } => *allowed == number,
                Entry::Exactly { number: None, .. } => false,
            })
    }

    /// As [`Self::allows_number`], but lists are compared to the last digit.
    fn allows_integer(&self, integer: i64) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|entry| match entry {
                Entry::Between(low, high) => *low <= integer as f64 && integer as f64 <= *high,
                Entry::Exactly { integer: Some(allowed), .. } => *allowed == integer,
                Entry::Exactly { number, .. } => *number == Some(integer as f64),
            })
    }

    fn allows_text(&self, text: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|entry| match entry {
                Entry::Exactly { text: allowed, .. } => allowed == text,
                Entry::Between(low, high) => number_in(text).is_some_and(|n| *low <= n && n <= *high),
            })
    }

    /// The items that are no ranges of numbers.
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|entry| match entry {
            Entry::Exactly { text, .. } => Some(text.as_str()),
            Entry::Between(..) => None,
        })
    }

    fn allows_anything(&self) -> bool {
        self.0.is_empty()
    }
}

impl Entry {
    fn parse(part: &str) -> Self {
        // "-3to3", "5 to 20"; of "1 to 5 to 9" the old SDKs took the first two.
        let numbers: Option<Vec<f64>> = part.split("to").map(number_in).collect();
        match numbers.as_deref() {
            Some([low, high, ..]) => Self::Between(*low, *high),
            _ => Self::Exactly { text: part.to_owned(), number: number_in(part), integer: part.parse().ok() },
        }
    }
}

/// Judges one scalar.
#[must_use]
pub fn judge<'a>(scalar: &Scalar, value: &'a Value) -> Verdict<'a> {
    match scalar.data_type {
        DataType::Number => judge_number(&scalar.valid, value),
        DataType::Text => judge_text(&scalar.valid, value),
        DataType::Unknown(_) => Verdict::Faulty(Cow::Borrowed(value)),
        _ => v21::judge(scalar, value),
    }
}

/// The text of a value in a legacy fault message: strings without white space at their end, null as nothing, truth
/// values as the old SDK wrote them, the rest as JSON.
#[must_use]
pub fn fault_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text.trim_end()),
        Value::Null => Cow::Borrowed(""),
        Value::Bool(true) => Cow::Borrowed("True"),
        Value::Bool(false) => Cow::Borrowed("False"),
        other => Cow::Owned(other.to_string()),
    }
}

fn judge_number<'a>(valid: &ValidValues, value: &'a Value) -> Verdict<'a> {
    let (number, as_sent) = match value {
        Value::Number(number) => (number.as_f64(), Cow::Borrowed(value)),
        Value::Bool(flag) => {
            let number = f64::from(u8::from(*flag));
            (Some(number), Cow::Owned(Value::from(number)))
        }
        Value::String(text) => match number_in(text) {
            Some(number) if valid.allows_number(number) => return Verdict::Valid(Cow::Owned(Value::from(number))),
            Some(_) => return Verdict::Faulty(Cow::Owned(Value::from(text.trim()))),
            None => (None, Cow::Borrowed(value)),
        },
        _ => (None, Cow::Borrowed(value)),
    };
    match number {
        Some(number) if valid.allows_number(number) => Verdict::Valid(as_sent),
        _ => Verdict::Faulty(as_sent),
    }
}

fn judge_text<'a>(valid: &ValidValues, value: &'a Value) -> Verdict<'a> {
    let allowed = valid.allows_anything()
        || match value {
            Value::String(text) => valid.allows_text(text),
            Value::Number(_) | Value::Bool(_) => valid.allows_text(&fault_text(value)),
            // The word of the old SDK.
            Value::Null => return Verdict::Faulty(Cow::Owned(Value::from("None"))),
            _ => false,
        };
    if allowed { Verdict::Valid(Cow::Borrowed(value)) } else { Verdict::Faulty(Cow::Borrowed(value)) }
}

/// A finite decimal number with white space around it; no hexadecimal, no NaN, no infinity.
fn number_in(text: &str) -> Option<f64> {
    let text = without_separators(text.trim());
    let plain =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    if plain { text.parse::<f64>().ok().filter(|number| number.is_finite()) } else { None }
}

/// `1_000` is a number to the old SDKs: an underscore between two digits means nothing. One elsewhere stays.
fn without_separators(text: &str) -> Cow<'_, str> {
    if !text.contains('_') {
        return Cow::Borrowed(text);
    }
    let digit = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
    let is_separator = |at: usize| digit(at.checked_sub(1)) && digit(at.checked_add(1));
    text.char_indices().filter(|(at, char)| *char != '_' || !is_separator(*at)).map(|(_, char)| char).collect()
}

#[cfg(test)]
mod tests;
