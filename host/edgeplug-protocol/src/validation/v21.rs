//! The attribute types of device message 2.1 (IoTConnect device message 2.1, data types and validation).
//!
//! As the Python SDK for 2.1 judges, with its slips mended: `dv` counts for the time types too, a moment may have any
//! fraction of a second, a truth value is no bit and no integer, and a position is two numbers. Null is not judged
//! here; nothing is sent of it.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::{ValidValues, Verdict, without_separators};
use crate::template::{DataType, Scalar};

pub(super) fn judge<'a>(scalar: &Scalar, value: &'a Value) -> Verdict<'a> {
    let valid = &scalar.valid;
    let accepted = match scalar.data_type {
        DataType::Integer => integer(value, |number| i32::try_from(number).is_ok() && valid.allows_integer(number)),
        DataType::Long => integer(value, |number| valid.allows_integer(number)),
        DataType::Decimal => decimal(valid, value),
        DataType::String => as_it_is(value, value.as_str().is_some_and(|text| valid.allows_text(text))),
        DataType::Time => as_it_is(value, is_moment(valid, value, time)),
        DataType::Date => as_it_is(value, is_moment(valid, value, date)),
        DataType::DateTime => as_it_is(value, is_moment(valid, value, date_time)),
        DataType::Bit => {
            let bit = value.as_i64().filter(|bit| matches!(bit, 0 | 1));
            as_it_is(value, bit.is_some_and(|bit| valid.allows_integer(bit)))
        }
        DataType::Boolean => as_it_is(value, value.as_bool().is_some_and(|flag| allows_flag(valid, flag))),
        DataType::LatLong => as_it_is(value, is_position(value)),
        DataType::Number | DataType::Text | DataType::Unknown(_) => None,
    };
    accepted.map_or_else(|| Verdict::Faulty(faulty(scalar.data_type, value)), Verdict::Valid)
}

/// The value itself; what should have been a number loses the white space at its end.
fn faulty(data_type: DataType, value: &Value) -> Cow<'_, Value> {
    let text = value.as_str().filter(|_| matches!(data_type, DataType::Integer | DataType::Long | DataType::Decimal));
    match text.map(|text| (text, text.trim_end())) {
        Some((text, trimmed)) if text != trimmed => owned(trimmed),
        _ => Cow::Borrowed(value),
    }
}

fn as_it_is(value: &Value, valid: bool) -> Option<Cow<'_, Value>> {
    valid.then_some(Cow::Borrowed(value))
}

/// An integer, or a text that is one; `3.0` is a decimal.
fn integer(value: &Value, allows: impl Fn(i64) -> bool) -> Option<Cow<'_, Value>> {
    match value {
        Value::Number(number) => number.as_i64().filter(|number| allows(*number)).map(|_| Cow::Borrowed(value)),
        Value::String(text) => integer_in(text).filter(|number| allows(*number)).map(owned),
        _ => None,
    }
}

/// A number, a text that is an integer (as upstream, a text with a point is none), or a truth value as 1 or 0.
fn decimal<'a>(valid: &ValidValues, value: &'a Value) -> Option<Cow<'a, Value>> {
    match value {
        Value::Number(number) => {
            number.as_f64().filter(|number| valid.allows_number(*number)).map(|_| Cow::Borrowed(value))
        }
        Value::String(text) => integer_in(text).filter(|number| valid.allows_integer(*number)).map(owned),
        Value::Bool(flag) => {
            let number = f64::from(u8::from(*flag));
            valid.allows_number(number).then(|| owned(number))
        }
        _ => None,
    }
}

fn owned<'a>(number: impl Into<Value>) -> Cow<'a, Value> {
    Cow::Owned(number.into())
}

fn integer_in(text: &str) -> Option<i64> {
    without_separators(text.trim()).parse().ok()
}

fn allows_flag(valid: &ValidValues, flag: bool) -> bool {
    valid.allows_anything()
        || valid.texts().any(|text| {
            text.eq_ignore_ascii_case(if flag { "true" } else { "false" }) || text == if flag { "1" } else { "0" }
        })
}

fn is_position(value: &Value) -> bool {
    let Some([latitude, longitude]) = value.as_array().map(Vec::as_slice) else { return false };
    let finite = |value: &Value| value.as_number().and_then(Number::as_f64).is_some_and(f64::is_finite);
    finite(latitude) && finite(longitude)
}

/// Whether a text is a moment of this kind, and one that `dv` names or has in a range.
fn is_moment<M: PartialOrd>(valid: &ValidValues, value: &Value, parse: impl Fn(&str) -> Option<M>) -> bool {
    let Some(moment) = value.as_str().and_then(&parse) else { return false };
    let allows = |item: &str| match item.split_once("to") {
        Some((low, high)) => {
            let (low, high) = (parse(low.trim()), parse(high.trim()));
            low.is_some_and(|low| low <= moment) && high.is_some_and(|high| moment <= high)
        }
        None => parse(item).is_some_and(|allowed| allowed == moment),
    };
    valid.allows_anything() || valid.texts().any(allows)
}

/// `HH:MM:SS`; a leading zero may be missing.
fn time(text: &str) -> Option<jiff::civil::Time> {
    let [hour, minute, second] = numbers(text, ':')?;
    let digits = |number: &str| number.len() <= 2;
    if !(digits(hour) && digits(minute) && digits(second)) {
        return None;
    }
    jiff::civil::Time::new(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?, 0).ok()
}

/// `YYYY-MM-DD`; a leading zero of month and day may be missing.
fn date(text: &str) -> Option<jiff::civil::Date> {
    let [year, month, day] = numbers(text, '-')?;
    if year.len() != 4 || month.len() > 2 || day.len() > 2 {
        return None;
    }
    jiff::civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// `YYYY-MM-DDTHH:MM:SSZ` with any fraction of a second. Two moments that differ after the ninth digit count as one.
fn date_time(text: &str) -> Option<jiff::civil::DateTime> {
    const NANOSECOND_DIGITS: usize = 9;
    let (day, rest) = text.split_once('T')?;
    let rest = rest.strip_suffix('Z')?;
    let (of_day, nanosecond) = match rest.split_once('.') {
        None => (rest, 0),
        Some((_, fraction)) if fraction.is_empty() || !is_digits(fraction) => return None,
        Some((of_day, fraction)) => {
            let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(NANOSECOND_DIGITS).collect();
            (of_day, kept.parse().ok()?)
        }
    };
    let of_day = time(of_day)?;
    let of_day = jiff::civil::Time::new(of_day.hour(), of_day.minute(), of_day.second(), nanosecond).ok()?;
    Some(date(day)?.to_datetime(of_day))
}

/// Three runs of digits.
fn numbers(text: &str, separator: char) -> Option<[&str; 3]> {
    let mut parts = text.split(separator);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    (parts.next().is_none() && three.iter().all(|part| is_digits(part))).then_some(three)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
