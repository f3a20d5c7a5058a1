//! Where a request goes: `https://…`, or plain `http://` on this machine.

use std::net::IpAddr;

use reqwest::Url;

/// Longest URL; a signed one takes a few hundred bytes.
const URL_BYTES_MAX: usize = 8 * 1024;

/// Longest host: a name has at most 253 characters (RFC 1035, section 2.3.4, without the root's dot), an address fewer.
/// It is what errors and logs repeat.
const HOST_BYTES_MAX: usize = 253;

/// A URL that may be asked.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) host: String,
}

/// Why a URL may not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetProblem {
    NotUrl,
    PlainText { host: String },
}

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, TargetProblem> {
        if text.len() > URL_BYTES_MAX {
            return Err(TargetProblem::NotUrl);
        }
        Self::new(Url::parse(text).map_err(|_| TargetProblem::NotUrl)?)
    }

    pub(crate) fn new(url: Url) -> Result<Self, TargetProblem> {
        let host = url.host_str().ok_or(TargetProblem::NotUrl)?.to_owned();
        if host.is_empty() || host.len() > HOST_BYTES_MAX || url.as_str().len() > URL_BYTES_MAX {
            return Err(TargetProblem::NotUrl);
        }
        match url.scheme() {
            "https" => Ok(Self { url, host }),
            "http" if is_loopback(&host) => Ok(Self { url, host }),
            "http" => Err(TargetProblem::PlainText { host }),
            _ => Err(TargetProblem::NotUrl),
        }
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }
}

/// Whether a host, as written in a URL or in options, can only be this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests;
