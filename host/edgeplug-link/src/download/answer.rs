//! What an answer's head means for a file, whole or in part (RFC 9110, sections 14 and 15).
//!
//! Bytes are appended to what is there only when the answer proves that they belong there: the same version, the same
//! length of the whole, exactly the range asked for. Whatever is short of that makes the file begin anew.

use std::time::Duration;

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_RANGE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING,
};

use super::{error::Unsound, validator::Validator};
use crate::http::parse_date;

/// A server that asks for more must not put an update off for ever.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is there already, of which version; made only where it can be gone on with.
pub(super) struct Resume {
    pub(super) offset: u64,
    pub(super) validator: Validator,
    pub(super) if_range: HeaderValue,
}

impl Resume {
    pub(super) fn new(offset: u64, validator: Option<Validator>) -> Option<Self> {
        let validator = validator.filter(|_| offset > 0)?;
        let if_range = validator.if_range()?;
        Some(Self { offset, validator, if_range })
    }

    fn to_end(&self, total: u64, complete: bool) -> Good {
        let validator = Validator { total: Some(total), ..self.validator.clone() };
        Good { offset: self.offset, total: Some(total), validator: Some(validator), complete }
    }
}

/// What to do with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Good(Good),
    /// What is there is of no use; only ever the answer to a [`Resume`].
    Stale,
    Expired,
    Busy {
        retry_after: Option<Duration>,
    },
    Refused,
    Unsound(Unsound),
}

/// An answer whose body is the file from `offset` to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) offset: u64,
    pub(super) total: Option<u64>,
    pub(super) validator: Option<Validator>,
    /// Nothing was missing, and the body is of no interest.
    pub(super) complete: bool,
}

/// Judges what is no redirect. `length` is what the body will have, where the server said so.
pub(super) fn judge(status: u16, headers: &HeaderMap, length: Option<u64>, resume: Option<&Resume>) -> Answer {
    match (status, resume) {
        (200 | 206, _) if is_encoded(headers) => Answer::Unsound(Unsound::Encoded),
        (200, _) => {
            let validator = Validator::of(headers, length);
            Answer::Good(Good { offset: 0, total: length, validator, complete: false })
        }
        (206, None) => Answer::Unsound(Unsound::PartUnasked),
        (206, Some(resume)) => match part(headers, length, resume) {
            Some(total) => Answer::Good(resume.to_end(total, false)),
            None => Answer::Stale,
        },
        (416, Some(resume)) if is_complete(headers, resume) => Answer::Good(resume.to_end(resume.offset, true)),
        (416, Some(_)) => Answer::Stale,
        (401 | 403, _) => Answer::Expired,
        (408 | 425 | 429 | 500..=599, _) => Answer::Busy { retry_after: retry_after(headers) },
        _ => Answer::Refused,
    }
}

/// Decompression would make every length and range mean something else.
fn is_encoded(headers: &HeaderMap) -> bool {
    let only = |name, harmless: &str| {
        headers.get_all(name).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(harmless.as_bytes()))
    };
    !only(CONTENT_ENCODING, "identity") || !only(TRANSFER_ENCODING, "chunked")
}

/// The length of the whole file, when the answer is exactly what is missing.
fn part(headers: &HeaderMap, length: Option<u64>, resume: &Resume) -> Option<u64> {
    let (range, total) = content_range(headers)?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (number(first)?, number(last)?, number(total)?);
    let missing = total.checked_sub(resume.offset)?;
    let exact =
        first == resume.offset && last.checked_add(1)? == total && length.is_none_or(|length| length == missing);
    (exact && missing > 0 && resume.validator.is_of(headers, total)).then_some(total)
}

fn is_complete(headers: &HeaderMap, resume: &Resume) -> bool {
    let total = content_range(headers).and_then(|range| number(range.strip_prefix("*/")?));
    total == Some(resume.offset)
        && resume.validator.total.is_none_or(|total| total == resume.offset)
        && !resume.validator.is_contradicted(headers)
}

/// What follows `bytes ` in the only such header (section 14.4).
fn content_range(headers: &HeaderMap) -> Option<&str> {
    let (unit, range) = only(headers, CONTENT_RANGE)?.split_once(' ')?;
    unit.eq_ignore_ascii_case("bytes").then(|| range.trim())
}

/// In seconds, or as a date, which is measured by the answer's own (section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = only(headers, RETRY_AFTER)?.trim();
    let seconds = match number(value) {
        Some(seconds) => seconds,
        None => u64::try_from(parse_date(value)? - parse_date(only(headers, DATE)?)?).ok()?,
    };
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
