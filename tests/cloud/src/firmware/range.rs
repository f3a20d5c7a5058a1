//! Which part of a representation a request selects: preconditions and ranges (RFC 9110 sections 13 and 14).
//!
//! Only one range at a time: a list of ranges is answered with the whole, as the RFC allows and blob storage does.
//! Whatever is not a range of bytes is as good as not there. No I/O, no clock.

use axum::http::{HeaderMap, Method, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

/// What is there to select from.
pub(super) struct Representation<'a> {
    /// In bytes.
    pub(super) length: u64,
    /// As it stands in the header, quotes included.
    pub(super) etag: Option<&'a str>,
    /// To the second. A strong validator, because no two contents of a file share one.
    pub(super) modified: Option<Timestamp>,
    /// Off where a fault makes the store forget about `If-Range`.
    pub(super) heeds_if_range: bool,
}

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    /// 200.
    Whole,
    /// 206, from this byte to before that one.
    Part { from: u64, to: u64 },
    /// 416.
    Unsatisfiable,
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// In the order of RFC 9110 section 13.2.2. A HEAD has no range (section 14.2).
pub(super) fn select(method: &Method, headers: &HeaderMap, representation: &Representation<'_>) -> Selected {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let modified = representation.modified;
    match (text(header::IF_MATCH), text(header::IF_UNMODIFIED_SINCE).and_then(http_date)) {
        (Some(list), _) if !lists(list, representation.etag, strongly) => return Selected::PreconditionFailed,
        (None, Some(date)) if modified.is_some_and(|modified| modified > date) => return Selected::PreconditionFailed,
        _ => {}
    }
    match (text(header::IF_NONE_MATCH), text(header::IF_MODIFIED_SINCE).and_then(http_date)) {
        (Some(list), _) if lists(list, representation.etag, weakly) => return Selected::NotModified,
        (None, Some(date)) if modified.is_some_and(|modified| modified <= date) => return Selected::NotModified,
        _ => {}
    }
    let condition = text(header::IF_RANGE).filter(|_| representation.heeds_if_range);
    if method != Method::GET || !condition.is_none_or(|condition| still_is(condition, representation)) {
        return Selected::Whole;
    }
    let mut ranges = headers.get_all(header::RANGE).iter();
    match (ranges.next().and_then(|value| value.to_str().ok()), ranges.next()) {
        (Some(range), None) => one_range(range, representation.length),
        _ => Selected::Whole,
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn to_http_date(time: Timestamp) -> String {
    // Fails only for years past 9999, which `Timestamp` barely has.
    DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}

/// The preferred form only; no client of these days writes the two obsolete ones.
fn http_date(text: &str) -> Option<Timestamp> {
    text.ends_with(" GMT").then(|| DateTimeParser::new().parse_timestamp(text).ok()).flatten()
}

/// Whether `If-Range` holds: a strong entity tag, or the very date (RFC 9110 section 13.1.5).
fn still_is(condition: &str, representation: &Representation<'_>) -> bool {
    if condition.contains('"') {
        return representation.etag.is_some_and(|etag| strongly(condition, etag));
    }
    http_date(condition).is_some_and(|date| representation.modified == Some(date))
}

fn lists(list: &str, etag: Option<&str>, same: fn(&str, &str) -> bool) -> bool {
    let Some(etag) = etag else { return false };
    // Our own tags hold no comma, so a tag that does is not ours.
    list.trim() == "*" || list.split(',').any(|listed| same(listed.trim(), etag))
}

fn strongly(one: &str, other: &str) -> bool {
    one == other && !one.starts_with("W/")
}

fn weakly(one: &str, other: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    opaque(one) == opaque(other)
}

fn one_range(range: &str, length: u64) -> Selected {
    let Some((unit, range)) = range.split_once('=') else { return Selected::Whole };
    let Some((first, last)) = range.trim().split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes")) else {
        return Selected::Whole;
    };
    match (position(first), position(last)) {
        (Some(Some(first)), Some(last)) if last.is_none_or(|last| first <= last) => {
            if first >= length {
                return Selected::Unsatisfiable;
            }
            Selected::Part { from: first, to: last.map_or(length, |last| last.saturating_add(1).min(length)) }
        }
        (Some(None), Some(Some(suffix))) => match suffix {
            0 => Selected::Unsatisfiable,
            _ if length == 0 => Selected::Unsatisfiable,
            suffix => Selected::Part { from: length.saturating_sub(suffix), to: length },
        },
        _ => Selected::Whole,
    }
}

/// `None` when it is no number; nothing at all is `Some(None)`. What is past 64 bits is past every file.
fn position(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests;
