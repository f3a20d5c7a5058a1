//! What URL and answer say a file's SHA-256 is.
//!
//! `#sha256=HEX` in the URL comes from whoever gave us the URL; headers come from whoever serves the file:
//! `Repr-Digest` (RFC 9530, section 3), its forerunner `Digest` (RFC 3230), and the metadata `sha256` that an uploader gave a
//! blob (Azure Blob Storage, "Get Blob": `x-ms-meta-name`; Amazon S3, "GetObject": `x-amz-meta-name`), in hex or base64.
//! All of them speak of the whole file, in an answer with a part of it too; `Content-Digest` does not and is left alone.
//!
//! A digest that is given and cannot be read is an error, never ignored: somebody meant the file to be checked.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName},
};

use super::error::Unsound;

/// A SHA-256.
pub(super) type Sha256 = [u8; 32];

const METADATA: [HeaderName; 2] =
    [HeaderName::from_static("x-ms-meta-sha256"), HeaderName::from_static("x-amz-meta-sha256")];
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const DIGEST: HeaderName = HeaderName::from_static("digest");

/// From the fragment, `sha256=…` alone or among others joined by `&`.
pub(super) fn of_url(url: &Url) -> Result<Option<Sha256>, Unsound> {
    let mut found = None;
    for part in url.fragment().unwrap_or_default().split('&') {
        if let Some((name, value)) = part.split_once('=')
            && name.eq_ignore_ascii_case("sha256")
        {
            merge(&mut found, hex(value))?;
        }
    }
    Ok(found)
}

/// From an answer's headers, checked against what the URL said.
pub(super) fn of_headers(headers: &HeaderMap, of_url: Option<Sha256>) -> Result<Option<Sha256>, Unsound> {
    let mut found = of_url;
    for name in METADATA {
        for value in headers.get_all(name) {
            let value = value.to_str().map_err(|_| Unsound::Digest)?.trim();
            merge(&mut found, hex(value).or_else(|| base64(value)))?;
        }
    }
    for member in members(headers, &REPR_DIGEST)? {
        if let Some((name, value)) = member.split_once('=')
            && name == "sha-256"
        {
            let value = value.strip_prefix(':').and_then(|value| value.split_once(':'));
            merge(&mut found, value.and_then(|(value, _)| base64(value)))?;
        }
    }
    for member in members(headers, &DIGEST)? {
        if let Some((name, value)) = member.split_once('=')
            && name.eq_ignore_ascii_case("sha-256")
        {
            merge(&mut found, base64(value))?;
        }
    }
    Ok(found)
}

/// The members of a list header, over all its lines.
fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Vec<&'a str>, Unsound> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().map_err(|_| Unsound::Digest));
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().flat_map(|line| line.split(',')).map(str::trim).collect())
}

fn merge(found: &mut Option<Sha256>, given: Option<Sha256>) -> Result<(), Unsound> {
    let given = given.ok_or(Unsound::Digest)?;
    match *found.get_or_insert(given) == given {
        true => Ok(()),
        false => Err(Unsound::DigestsDiffer),
    }
}

fn base64(text: &str) -> Option<Sha256> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn hex(text: &str) -> Option<Sha256> {
    // A sign is no digit, but it is to `from_str_radix`.
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = Sha256::default();
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests;
