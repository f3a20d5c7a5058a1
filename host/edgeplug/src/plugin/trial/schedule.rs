//! What a trial does to the plugin and when, as it is typed: `[+TIME ]WHAT`, for instance `+5m set-limit 10`.

use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};

/// Longest trial, and latest moment in it.
const SPAN_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A length of time: `90`, `90s`, `1h30m`, `250ms`, `2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// Something and its moment since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) at: Duration,
    pub(crate) what: T,
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

/// A JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object(pub(crate) Map<String, Value>);

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time; write it like 90s, 10m, 1h30m or 250ms");
        let mut total = Duration::ZERO;
        let mut rest = text;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
            let (number, behind) = rest.split_at(digits);
            let letters = behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len());
            let (unit, next) = behind.split_at(letters);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let ms_each = match unit {
                "ms" => 1,
                "s" | "" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(wrong()),
            };
            let part = number.checked_mul(ms_each).map(Duration::from_millis).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            rest = next;
        }
        if total > SPAN_MAX { Err(format!("{text:?} is longer than 366 days")) } else { Ok(Self(total)) }
    }
}

impl<T: FromStr<Err: std::fmt::Display>> FromStr for At<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let timed = text.strip_prefix('+').and_then(|rest| rest.split_once(' '));
        let (at, what) = match timed {
            Some((at, what)) => (at.parse::<Span>()?.0, what),
            None => (Duration::ZERO, text),
        };
        what.parse().map(|what| Self { at, what }).map_err(|error: T::Err| error.to_string())
    }
}

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self(true)),
            "off" => Ok(Self(false)),
            _ => Err(format!("{text:?} is neither on nor off")),
        }
    }
}

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map(Self).map_err(|error| format!("it wants a JSON object: {error}"))
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests;
