//! What `sha256sum` writes.

use std::collections::BTreeMap;

use crate::hash::{Sha256Digest, from_hex};

const DIGITS: usize = 64;

/// Of a file `SHA256SUMS`: by name.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Sha256Digest>, String> {
    let mut sums = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (digest, name) = split(line).ok_or_else(|| format!("line {number} is none that `sha256sum` writes"))?;
        let name = name.ok_or_else(|| format!("line {number} names no file"))?;
        if sums.insert(name.to_owned(), digest).is_some_and(|before| before != digest) {
            return Err(format!("it has two digests for {name:?}"));
        }
    }
    Ok(sums)
}

/// Of a file `NAME.sha256`: a line of `sha256sum`, or the digest alone.
pub(crate) fn parse_single(text: &str, file: &str) -> Result<Sha256Digest, String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    match (lines.next().and_then(split), lines.next()) {
        (Some((digest, None)), None) => Ok(digest),
        (Some((digest, Some(name))), None) if name == file => Ok(digest),
        (Some((_, Some(name))), None) => Err(format!("it is about {name:?}")),
        _ => Err("it is not the one line that `sha256sum` writes".to_owned()),
    }
}

fn split(line: &str) -> Option<(Sha256Digest, Option<&str>)> {
    let line = line.trim_end();
    let digest = from_hex(line.get(..DIGITS)?)?;
    let rest = line.get(DIGITS..)?;
    if rest.is_empty() {
        return Some((digest, None));
    }
    let name = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
    let name = name.strip_prefix("./").unwrap_or(name);
    Some((digest, Some(name).filter(|name| !name.is_empty())))
}

#[cfg(test)]
mod tests;
