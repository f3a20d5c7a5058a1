//! By what a later answer shows that it is of the same file (RFC 9110, section 8.8).
//!
//! Only a validator that promises the same *bytes* counts: a strong entity tag, or, where there is no tag at all, a
//! `Last-Modified` that lies at least a second before the answer's `Date` (section 8.8.2.2). With neither a download can
//! only begin anew.

use reqwest::header::{DATE, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED};
use serde::{Deserialize, Serialize};

use crate::http::parse_date;

/// Longest tag or date that is kept; real ones have under a hundred characters, and they are written to disk.
const VALIDATOR_CHARS_MAX: usize = 256;

/// Which version of a file some bytes are of; to be kept beside them, as JSON for instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Validator {
    /// With its quotation marks.
    pub etag: Option<String>,
    /// As the server wrote it.
    pub last_modified: Option<String>,
    /// Length of the whole file in bytes, as far as it was known.
    pub total: Option<u64>,
}

impl Validator {
    /// Of a file's first answer; `None` when it promises nothing.
    pub(super) fn of(headers: &HeaderMap, total: Option<u64>) -> Option<Self> {
        let etag = text(headers, &ETAG);
        let last_modified = text(headers, &LAST_MODIFIED);
        let steady = match (&etag, &last_modified, text(headers, &DATE)) {
            (None, Some(modified), Some(date)) => parse_date(modified)? < parse_date(&date)?,
            _ => false,
        };
        let validator =
            Self { etag: etag.filter(|etag| is_strong(etag)), last_modified: last_modified.filter(|_| steady), total };
        validator.if_range().is_some().then_some(validator)
    }

    /// The value of `If-Range` (section 13.1.5). What was kept comes from a disk, so it is judged again.
    pub(super) fn if_range(&self) -> Option<HeaderValue> {
        let value = match &self.etag {
            Some(etag) => Some(etag).filter(|etag| is_strong(etag)),
            None => self.last_modified.as_ref().filter(|date| parse_date(date).is_some()),
        };
        HeaderValue::from_str(value.filter(|value| value.len() <= VALIDATOR_CHARS_MAX)?).ok()
    }

    /// Whether an answer with a part of a file of `total` bytes is of this file.
    ///
    /// A 206 repeats the tag but not, when it was asked with `If-Range`, the date (section 15.3.7). Some servers ignore
    /// `If-Range`; so a tag must be there.
    pub(super) fn is_of(&self, headers: &HeaderMap, total: u64) -> bool {
        if self.total.is_some_and(|expected| expected != total) {
            return false;
        }
        match &self.etag {
            Some(_) => text(headers, &ETAG) == self.etag,
            None => !self.is_contradicted(headers),
        }
    }

    /// Whether an answer that need not name the file's version names another.
    pub(super) fn is_contradicted(&self, headers: &HeaderMap) -> bool {
        let differs =
            |name, ours: &Option<String>| ours.is_some() && headers.contains_key(name) && text(headers, name) != *ours;
        differs(&ETAG, &self.etag) || differs(&LAST_MODIFIED, &self.last_modified)
    }
}

/// `"…"`; `W/"…"` is weak, and what is not quoted is no tag (section 8.8.3).
fn is_strong(etag: &str) -> bool {
    let inner = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    inner.is_some_and(|inner| inner.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'~')))
}

/// The header's only value.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
