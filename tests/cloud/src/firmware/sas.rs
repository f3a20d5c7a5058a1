//! Signed URLs of the store: a service SAS for one blob, as Azure's storage makes and checks them (Azure Storage REST
//! API, "Create a service SAS", the form of version 2020-12-06 and later).
//!
//! The query carries `sv, sr=b, sp=r, st, se, spr, sig`; `sig` is the HMAC-SHA256 over the values of all fields in a
//! fixed order, the path among them, so that nothing of a URL can be changed but what is in no SAS at all. Whoever
//! knows a URL may read until `se`: a URL is a secret. User delegation keys, stored policies and address ranges are
//! absent: such a URL is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::URL_LIFE;
use super::range::to_http_date;
use super::refusal::Refusal;
use crate::key::Key;

/// Nothing of a storage account is in the path of the simulator's URLs, so it can have any name.
const ACCOUNT: &str = "edgeplugcloud";
pub(super) const VERSION: &str = "2022-11-02";
/// A URL of the store is under 400 characters; this keeps a hostile one cheap.
const QUERY_CHARS_MAX: usize = 4096;
/// What a path may hold as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The fields that are signed, in their order. The canonical resource stands fourth and is in no query.
const SIGNED: [&str; 15] =
    ["sp", "st", "se", "si", "sip", "spr", "sv", "sr", "snapshot", "ses", "rscc", "rscd", "rsce", "rscl", "rsct"];
const RESOURCE_IS_FOURTH: usize = 3;

/// How long and how a URL may be used.
pub(super) struct Grant {
    pub(super) start: Timestamp,
    pub(super) expiry: Timestamp,
    /// Whether plain HTTP is as good as HTTPS.
    pub(super) plain: bool,
}

impl Grant {
    /// From a quarter of an hour ago to `life_s` from now, which may lie in the past. `number` makes the URL differ
    /// from all others.
    pub(super) fn new(life_s: i64, number: u64) -> Self {
        const SKEW: Duration = Duration::from_secs(15 * 60);
        const DAY_S: u64 = 24 * 3600;
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let expiry = Timestamp::from_second(now.as_second().saturating_add(life_s)).unwrap_or(Timestamp::MAX);
        let earlier = SKEW + Duration::from_secs(number % DAY_S);
        let start = now.min(expiry).checked_sub(earlier).unwrap_or(Timestamp::MIN);
        Self { start, expiry, plain: false }
    }

    pub(super) fn of_redirect(number: u64) -> Self {
        Self::new(i64::try_from(URL_LIFE.as_secs()).unwrap_or(i64::MAX), number)
    }
}

/// `path` is not encoded yet and begins with a slash; what comes back is path and query of a URL.
pub(super) fn sign(key: &Key, path: &str, grant: &Grant) -> String {
    let (start, expiry) = (grant.start.to_string(), grant.expiry.to_string());
    let mut fields: Vec<(&str, &str)> =
        vec![("sv", VERSION), ("st", &start), ("se", &expiry), ("sr", "b"), ("sp", "r")];
    if !grant.plain {
        fields.push(("spr", "https"));
    }
    let named = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let signature = STANDARD.encode(key.mac(string_to_sign(&named, path).as_bytes()).finalize().into_bytes());
    fields.push(("sig", &signature));
    let query: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
    format!("{}?{}", utf8_percent_encode(path, PATH), query.join("&"))
}

/// Whether a URL opens `path` (decoded) for reading now; its signature, by which it is told from others.
pub(super) fn check(key: &Key, path: &str, query: &str, now: Timestamp, tls: bool) -> Result<String, Refusal> {
    let fields = parse(query)?;
    let field = |name: &str| fields.get(name).map(String::as_str);
    let Some(signature) = field("sig") else {
        // Since 2023 an account lets nobody in without a signature, unless somebody switched that on.
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "PublicAccessNotPermitted",
            "Public access is not permitted on this storage account.",
        ));
    };
    for needed in ["sv", "sr", "sp", "se"] {
        if field(needed).is_none_or(str::is_empty) {
            return Err(Refusal::unauthenticated(format!("{needed} is mandatory. Cannot be empty")));
        }
    }
    if field("sv").is_some_and(|version| version < "2020-12-06") {
        return Err(Refusal::unauthenticated("this store signs in the form of 2020-12-06 and later only"));
    }
    let to_sign = string_to_sign(&fields, path);
    let given = STANDARD.decode(signature).unwrap_or_default();
    if key.mac(to_sign.as_bytes()).verify_slice(&given).is_err() {
        return Err(Refusal::unauthenticated(format!("Signature did not match. String to sign used was {to_sign}")));
    }
    let time = |name| {
        field(name)
            .map(|text| parse_time(text).ok_or_else(|| Refusal::unauthenticated(format!("{name} is not a valid time"))))
    };
    let start = time("st").transpose()?.unwrap_or(now);
    let expiry = time("se").transpose()?.unwrap_or(Timestamp::MIN);
    if now < start || now >= expiry {
        return Err(out_of_time(start, expiry, now));
    }
    if field("sr") != Some("b") || field("si").is_some() || field("sip").is_some() {
        return Err(Refusal::unauthenticated(
            "this store knows neither stored policies nor addresses, and one blob at a time",
        ));
    }
    if !tls && field("spr").unwrap_or("https,http") != "https,http" {
        return Err(Refusal::wrong_protocol());
    }
    if !field("sp").unwrap_or_default().contains('r') {
        return Err(Refusal::wrong_permission());
    }
    Ok(signature.to_owned())
}

/// As a URL is refused that was good until now.
pub(super) fn expired(now: Timestamp) -> Refusal {
    out_of_time(now, now, now)
}

fn out_of_time(start: Timestamp, expiry: Timestamp, now: Timestamp) -> Refusal {
    let (start, expiry, now) = (to_http_date(start), to_http_date(expiry), to_http_date(now));
    Refusal::unauthenticated(format!(
        "Signature not valid in the specified time frame: Start [{start}] - Expiry [{expiry}] - Current [{now}]"
    ))
}

/// The fields of a query by name; what is in no SAS (`timeout`, `comp`, anything) is kept and not looked at.
fn parse(query: &str) -> Result<BTreeMap<String, String>, Refusal> {
    if query.len() > QUERY_CHARS_MAX {
        return Err(Refusal::unauthenticated("the query is too long"));
    }
    let mut fields = BTreeMap::new();
    for (name, value) in query.split('&').filter_map(|field| field.split_once('=')) {
        // A plus is a space here, so that a signature which was not encoded does not match.
        let Ok(value) = percent_decode_str(&value.replace('+', " ")).decode_utf8().map(|value| value.into_owned())
        else {
            return Err(Refusal::unauthenticated(format!("{name} is not UTF-8")));
        };
        if fields.insert(name.to_owned(), value).is_some() {
            return Err(Refusal::unauthenticated(format!("{name} is there twice")));
        }
    }
    Ok(fields)
}

fn string_to_sign(fields: &BTreeMap<String, String>, path: &str) -> String {
    let mut lines: Vec<&str> = SIGNED.iter().map(|name| fields.get(*name).map_or("", String::as_str)).collect();
    let resource = format!("/blob/{ACCOUNT}{path}");
    lines.insert(RESOURCE_IS_FOURTH, &resource);
    lines.join("\n")
}

/// `2026-11-23`, `2026-11-23T10:00Z` or `2026-11-23T10:00:00Z`, with a fraction or not.
fn parse_time(text: &str) -> Option<Timestamp> {
    const DATE_CHARS: usize = 10;
    let whole = if text.len() == DATE_CHARS { format!("{text}T00:00Z") } else { text.to_owned() };
    whole.parse().ok()
}

#[cfg(test)]
mod tests;
