//! `[link]`: by which road the cloud is reached.

use std::path::PathBuf;
use std::time::Duration;

use edgeplug_link::{Proxy, Transport};
use serde::Deserialize;

use super::context::Context;
use crate::exit::Problem;

/// IoT Hub forgets a connection after one and a half times this, and takes at most 1767 (Azure IoT Hub MQTT docs).
const KEEP_ALIVE_S: std::ops::RangeInclusive<u64> = 1..=1767;

/// Shorter and a fleet would storm the cloud after an outage of it; longer and nobody waits for it.
const RETRY_MAX_S: std::ops::RangeInclusive<u64> = 1..=3_600;

/// How HTTPS and MQTT leave the device.
#[derive(Debug, Clone)]
pub(crate) struct LinkConfig {
    pub(crate) transport: Transport,
    /// Of the hub, where it is not the usual one.
    pub(crate) port: Option<u16>,
    /// For HTTPS and MQTT alike.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) keep_alive: Duration,
    /// Longest wait between two tries to connect.
    pub(crate) retry_max: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedLink {
    #[serde(default)]
    transport: TypedTransport,
    port: Option<u16>,
    keep_alive_s: Option<u64>,
    retry_max_s: Option<u64>,
    proxy: Option<String>,
    proxy_user: Option<String>,
    pub(super) proxy_password_file: Option<PathBuf>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TypedTransport {
    /// MQTT over TLS.
    #[default]
    Mqtts,
    /// MQTT over WebSocket over TLS, port 443.
    Wss,
}

impl TypedLink {
    pub(super) fn check(&self, context: &Context<'_>) -> Result<LinkConfig, Problem> {
        // Well under the four minutes after which NATs on the way forget a silent connection.
        let keep_alive_s = context.range("link.keep_alive_s", self.keep_alive_s, 60, KEEP_ALIVE_S, "seconds")?;
        let retry_max_s = context.range("link.retry_max_s", self.retry_max_s, 300, RETRY_MAX_S, "seconds")?;
        if self.port == Some(0) {
            return Err(context.invalid("link.port", "0 is no port; remove it for the usual one"));
        }
        Ok(LinkConfig {
            transport: match self.transport {
                TypedTransport::Mqtts => Transport::Mqtts,
                TypedTransport::Wss => Transport::WebSocket,
            },
            port: self.port,
            proxy: self.proxy(context)?,
            keep_alive: Duration::from_secs(keep_alive_s),
            retry_max: Duration::from_secs(retry_max_s),
        })
    }

    fn proxy(&self, context: &Context<'_>) -> Result<Option<Proxy>, Problem> {
        let password = context.secret("link.proxy_password_file", self.proxy_password_file.as_deref())?;
        let proxy = match &self.proxy {
            Some(url) => Proxy::parse(url).map_err(|error| context.invalid("link.proxy", &error.to_string()))?,
            None if self.proxy_user.is_some() || password.is_some() => {
                return Err(context.invalid("link.proxy_user", "there is no proxy to log in to; set link.proxy"));
            }
            None => return Ok(None),
        };
        match (&self.proxy_user, password) {
            (None, None) => Ok(Some(proxy)),
            (Some(user), Some(password)) => {
                let refused =
                    |error: edgeplug_link::ProxyUrlError| context.invalid("link.proxy_user", &error.to_string());
                proxy.with_login(user.clone(), password).map(Some).map_err(refused)
            }
            (Some(_), None) => Err(context.invalid("link.proxy_user", "needs link.proxy_password_file beside it")),
            (None, Some(_)) => Err(context.invalid("link.proxy_password_file", "needs link.proxy_user beside it")),
        }
    }
}
