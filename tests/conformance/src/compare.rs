//! Comparing what was recorded with what came.
//!
//! JSON values by content: numbers as `f64`, so that `55.0` is `55`, but `true` is not `1`; `<NOW>` stands for any UTC
//! moment and `<TEXT>` for any text. Only what a case calls loose is compared loosely.

use serde_json::{Map, Value};

/// What is compared loosely in one message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules<'a> {
    /// Numbers may differ by rounding: sums and averages.
    pub(crate) rounding: bool,
    /// Texts and numbers are equal if they are the same number.
    pub(crate) text_as_number: bool,
    /// Names in `cv` may or may not begin with one of these tags and a dot.
    pub(crate) tags: Option<&'a [String]>,
}

/// Largest relative difference of sums and averages.
const ROUNDING_MAX: f64 = 1e-12;

/// The first place where two values differ, or `None`.
pub(crate) fn difference(expected: &Value, got: &Value, rules: Rules<'_>) -> Option<String> {
    differ(expected, got, rules, "")
}

/// Whether two values are the same.
pub(crate) fn same(expected: &Value, got: &Value, rules: Rules<'_>) -> bool {
    difference(expected, got, rules).is_none()
}

/// Whether this is `YYYY-MM-DDTHH:MM:SS(.fff)Z`.
pub(crate) fn is_now(text: &str) -> bool {
    let Some((head, fraction)) = text.strip_suffix('Z').and_then(|text| text.split_at_checked(19)) else {
        return false;
    };
    let shape = head.bytes().zip(*b"0000-00-00T00:00:00");
    let fits = |(byte, pattern): (u8, u8)| if pattern == b'0' { byte.is_ascii_digit() } else { byte == pattern };
    let fraction_fits = match fraction.strip_prefix('.') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => fraction.is_empty(),
    };
    head.len() == 19 && shape.into_iter().all(fits) && fraction_fits
}

fn differ(expected: &Value, got: &Value, rules: Rules<'_>, path: &str) -> Option<String> {
    let here = || Some(if path.is_empty() { "the whole".to_owned() } else { path.trim_start_matches('.').to_owned() });
    match (expected, got) {
        (Value::String(pattern), Value::String(text)) if pattern == "<NOW>" => (!is_now(text)).then(here)?,
        (Value::String(pattern), Value::String(_)) if pattern == "<TEXT>" => None,
        (Value::Object(expected), Value::Object(got)) => objects_differ(expected, got, rules, path),
        (Value::Array(expected), Value::Array(got)) => {
            if expected.len() != got.len() {
                return Some(format!("{path}[] has {} in place of {}", got.len(), expected.len()));
            }
            let pairs = expected.iter().zip(got).enumerate();
            pairs
                .into_iter()
                .find_map(|(index, (expected, got))| differ(expected, got, rules, &format!("{path}[{index}]")))
        }
        (Value::Number(_), Value::Number(_)) => (!numbers_equal(expected, got, rules)).then(here)?,
        _ if expected == got => None,
        _ if rules.text_as_number && is_same_number(expected, got) => None,
        _ => here(),
    }
}

fn objects_differ(
    expected: &Map<String, Value>,
    got: &Map<String, Value>,
    rules: Rules<'_>,
    path: &str,
) -> Option<String> {
    if let Some(name) = expected.keys().find(|name| !got.contains_key(*name)) {
        return Some(format!("{}.{name} is missing", path).trim_start_matches('.').to_owned());
    }
    if let Some(name) = got.keys().find(|name| !expected.contains_key(*name)) {
        return Some(format!("{}.{name} was not expected", path).trim_start_matches('.').to_owned());
    }
    expected.iter().find_map(|(name, expected)| {
        let got = got.get(name)?;
        let path = format!("{path}.{name}");
        match rules.tags.filter(|_| name == "cv") {
            Some(tags) => differ(&flat(expected, tags), &flat(got, tags), rules, &path),
            None => differ(expected, got, rules, &path),
        }
    })
}

fn numbers_equal(expected: &Value, got: &Value, rules: Rules<'_>) -> bool {
    let (Some(expected), Some(got)) = (expected.as_f64(), got.as_f64()) else { return expected == got };
    let difference = (expected - got).abs();
    expected == got || rules.rounding && difference <= ROUNDING_MAX * expected.abs().max(got.abs())
}

fn is_same_number(expected: &Value, got: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Number(_) => value.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    number(expected)
        .zip(number(got))
        .is_some_and(|(expected, got)| expected == got || expected.is_nan() && got.is_nan())
}

/// `cv` as one level of dotted names without tags.
fn flat(cv: &Value, tags: &[String]) -> Value {
    fn flatten(prefix: &str, value: &Value, into: &mut Map<String, Value>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    flatten(&name, value, into);
                }
            }
            _ => drop(into.insert(prefix.to_owned(), value.clone())),
        }
    }
    let mut names = Map::new();
    flatten("", cv, &mut names);
    let bare = |name: &str| {
        let tagged = tags.iter().filter(|tag| !tag.is_empty());
        let mut rests = tagged.filter_map(|tag| name.strip_prefix(tag.as_str())?.strip_prefix(['.', '#']));
        rests.next().unwrap_or(name).to_owned()
    };
    Value::Object(names.iter().map(|(name, value)| (bare(name), value.clone())).collect())
}

#[cfg(test)]
mod tests;
