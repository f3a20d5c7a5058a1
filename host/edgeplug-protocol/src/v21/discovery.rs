//! Discovery of 2.1: which agent serves a company, named by its id and environment or by its SID.

use serde::Deserialize;

use crate::retry::Retry;
use crate::wire;

/// Largest answer read.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;

/// Whom to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account<'a> {
    /// Company id and environment, as the portal's Key Vault shows them.
    Company {
        /// `cpId`.
        cpid: &'a str,
        /// `env`, passed through as configured.
        environment: &'a str,
    },
    /// The SID, which stands for both.
    Sid(&'a str),
}

/// Where to ask for the identity: `bu`, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentUrl {
    url: String,
    /// The service says that the subscription has expired, and gives an agent all the same. It is known to say so
    /// wrongly (iotc-c-lib has a switch against it), so the agent's own answer counts.
    pub said_expired: bool,
}

/// Why discovery gave no agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The service answered with another status than 200.
    #[error("discovery answered HTTP {0}; check cloud.cpid, cloud.env and cloud.sid")]
    Status(u16),
    /// The body is not what discovery answers.
    #[error("discovery sent an answer that cannot be understood: {0}")]
    Malformed(String),
    /// 1.
    #[error("discovery knows no such SID; mend cloud.sid")]
    SidUnknown,
    /// 2 and 6.
    #[error("discovery knows no such company; mend cloud.cpid")]
    CompanyNotFound,
    /// 3 and 7.
    #[error("the company's subscription has expired")]
    SubscriptionExpired,
    /// 11.
    #[error("discovery knows no such environment; mend cloud.env")]
    EnvironmentUnknown,
    /// Anything else.
    #[error("discovery answered with code {code}: {words}")]
    UnknownCode {
        /// `ec`.
        code: i64,
        /// The service's own words.
        words: String,
    },
}

impl DiscoveryError {
    /// When to ask again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Status(status) => Retry::of_status(*status),
            Self::SidUnknown | Self::CompanyNotFound | Self::EnvironmentUnknown => Retry::Never,
            Self::Malformed(_) | Self::SubscriptionExpired | Self::UnknownCode { .. } => Retry::Slow,
        }
    }
}

/// URL to GET; asks for devices on Azure.
#[must_use]
pub fn url(discovery: &str, account: &Account<'_>) -> String {
    let account = match account {
        Account::Company { cpid, environment } => {
            format!("cpId/{}/env/{}", wire::segment(cpid), wire::segment(environment))
        }
        Account::Sid(sid) => format!("sid/{}", wire::segment(sid)),
    };
    format!("{}/api/v2.1/dsdk/{account}?pf=az", discovery.trim_end_matches('/'))
}

#[derive(Deserialize)]
struct Reply {
    d: Option<Answer>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    ec: Option<i64>,
    bu: Option<String>,
    #[serde(rename = "errorMsg")]
    error_message: Option<String>,
}

impl AgentUrl {
    /// Reads discovery's answer. Errors come with HTTP 200 too.
    pub fn parse_reply(status: u16, body: &[u8]) -> Result<Self, DiscoveryError> {
        if status != 200 {
            return Err(DiscoveryError::Status(status));
        }
        let reply: Reply = serde_json::from_slice(body).map_err(|e| DiscoveryError::Malformed(e.to_string()))?;
        let Some(answer) = reply.d else { return Err(DiscoveryError::Malformed("d is missing".into())) };
        let url = answer.bu.filter(|url| wire::is_http_url(url)).map(|url| url.trim_end_matches('/').to_owned());
        match (answer.ec.unwrap_or(0), url) {
            (0, Some(url)) => Ok(Self { url, said_expired: false }),
            (3, Some(url)) => Ok(Self { url, said_expired: true }),
            (0, None) => Err(DiscoveryError::Malformed("bu is missing or not an http(s) URL".into())),
            // 1 to 3 are discovery's own; newer services also use the numbers of the identity.
            (1, _) => Err(DiscoveryError::SidUnknown),
            (2 | 6, _) => Err(DiscoveryError::CompanyNotFound),
            (3 | 7, _) => Err(DiscoveryError::SubscriptionExpired),
            (11, _) => Err(DiscoveryError::EnvironmentUnknown),
            (code, _) => {
                let words = answer.error_message.or(reply.message).unwrap_or_default();
                Err(DiscoveryError::UnknownCode { code, words: wire::words(&words) })
            }
        }
    }

    /// URL to GET for the identity of a device.
    #[must_use]
    pub fn identity_url(&self, unique_id: &str) -> String {
        format!("{}/uid/{}", self.url, wire::segment(unique_id))
    }

    /// The URL itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }
}

#[cfg(test)]
mod tests;
