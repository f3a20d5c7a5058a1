//! Discovery: which agent URL serves a company id in an environment.

use serde::Deserialize;

use crate::retry::Retry;
use crate::wire;

/// The public discovery service.
pub const DEFAULT_URL: &str = "https://discovery.iotconnect.io";
/// Largest answer read.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;

/// The agent's base URL, always with a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

/// Why discovery gave no base URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The service answered with another status than 200.
    #[error("discovery answered HTTP {0}; check cloud.cpid and cloud.env")]
    Status(u16),
    /// The body is not what discovery answers.
    #[error("discovery sent an answer that cannot be understood: {0}")]
    Malformed(String),
}

impl DiscoveryError {
    /// When to ask again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Status(status) => Retry::of_status(*status),
            Self::Malformed(_) => Retry::Slow,
        }
    }
}

/// URL to GET.
#[must_use]
pub fn url(discovery: &str, cpid: &str, environment: &str, language: &str) -> String {
    format!(
        "{}/api/sdk/cpid/{}/lang/{}/ver/{}/env/{}",
        discovery.trim_end_matches('/'),
        wire::segment(cpid),
        wire::segment(language),
        super::WIRE_VERSION,
        wire::segment(environment)
    )
}

#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "baseUrl")]
    base_url: Option<String>,
}

impl BaseUrl {
    /// Reads discovery's answer.
    pub fn parse_reply(status: u16, body: &[u8]) -> Result<Self, DiscoveryError> {
        if status != 200 {
            return Err(DiscoveryError::Status(status));
        }
        let reply: Reply = serde_json::from_slice(body).map_err(|e| DiscoveryError::Malformed(e.to_string()))?;
        match reply.base_url {
            Some(url) if wire::is_http_url(&url) => Ok(Self(if url.ends_with('/') { url } else { format!("{url}/") })),
            Some(_) => Err(DiscoveryError::Malformed("baseUrl is not an http(s) URL".into())),
            None => Err(DiscoveryError::Malformed("baseUrl is missing".into())),
        }
    }

    /// URL to POST a sync request to.
    #[must_use]
    pub fn sync_url(&self) -> String {
        format!("{}sync", self.0)
    }

    /// The URL itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
