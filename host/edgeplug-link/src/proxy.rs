//! The way out through an HTTP proxy: `CONNECT` (RFC 9110, section 9.3.6), with basic authentication where asked for.
//!
//! One configured proxy serves HTTPS and MQTT alike. The environment's proxies (`HTTPS_PROXY` and its like) are ignored:
//! the MQTT client knows nothing of them, and a device whose portal works and whose hub does not is a riddle.
//!
//! The proxy only ever sees the name of the host and ciphertext: TLS runs through the tunnel and is verified by the host's
//! name. The proxy itself is spoken to in plain text, its password included; `https://` proxies and SOCKS are absent.

use std::{fmt, io};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest head of a proxy's answer; real ones take a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Longest part of a proxy's status line that is repeated in an error.
const STATUS_CHARS_MAX: usize = 100;

/// Where every connection goes out.
#[derive(Clone)]
pub struct Proxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Option<Login>,
}

#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: SecretString,
}

impl Proxy {
    /// Reads `http://host:port`; without a port it is 80.
    ///
    /// # Errors
    /// [`ProxyUrlError`] for anything else, user and password in the URL included: those come by [`with_login`].
    ///
    /// [`with_login`]: Self::with_login
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        // Checked first, so that no error repeats a URL with a password in it.
        if url.contains('@') {
            return Err(ProxyUrlError::Login);
        }
        let parsed = Url::parse(url).map_err(|_| ProxyUrlError::Form { url: url.to_owned() })?;
        if parsed.scheme() != "http" {
            return Err(ProxyUrlError::Scheme { scheme: parsed.scheme().to_owned() });
        }
        if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(ProxyUrlError::Form { url: url.to_owned() });
        }
        match (parsed.host_str(), parsed.port_or_known_default()) {
            (Some(host), Some(port)) => Ok(Self { host: host.to_owned(), port, login: None }),
            _ => Err(ProxyUrlError::Form { url: url.to_owned() }),
        }
    }

    /// Gives the proxy a user and password (RFC 7617).
    ///
    /// # Errors
    /// [`ProxyUrlError::User`] for a user with a colon or either with a control character.
    pub fn with_login(self, user: String, password: SecretString) -> Result<Self, ProxyUrlError> {
        let control = user.chars().chain(password.expose_secret().chars()).any(char::is_control);
        if user.is_empty() || user.contains(':') || control {
            return Err(ProxyUrlError::User);
        }
        Ok(Self { login: Some(Login { user, password }), ..self })
    }

    /// Asks for a tunnel on a fresh connection to the proxy.
    pub(crate) async fn open_tunnel<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        host: &str,
        port: u16,
    ) -> Result<(), ProxyFailure> {
        let broke = |source| ProxyFailure::Broken { proxy: self.to_string(), source };
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(Login { user, password }) = &self.login {
            let login = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
            request.push_str(&format!("Proxy-Authorization: Basic {login}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(broke)?;
        stream.flush().await.map_err(broke)?;

        let answer = read_head(stream).await.map_err(broke)?;
        let status_line = answer.lines().next().unwrap_or_default();
        let mut words = status_line.split_ascii_whitespace();
        let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match status.parse::<u16>() {
            _ if !version.starts_with("HTTP/1.") => {
                Err(broke(io::Error::new(io::ErrorKind::InvalidData, "it does not speak http; check the port")))
            }
            Ok(200..=299) => Ok(()),
            Ok(407) => Err(self.login_refused()),
            _ => Err(ProxyFailure::Refused {
                proxy: self.to_string(),
                answer: status_line.chars().filter(|c| !c.is_control()).take(STATUS_CHARS_MAX).collect(),
            }),
        }
    }

    pub(crate) fn login_refused(&self) -> ProxyFailure {
        let proxy = self.to_string();
        match self.login {
            Some(_) => ProxyFailure::LoginRefused { proxy },
            None => ProxyFailure::LoginWanted { proxy },
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

/// Dots for the password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Proxy");
        debug.field("host", &self.host).field("port", &self.port);
        if let Some(login) = &self.login {
            debug.field("user", &login.user).field("password", &"...");
        }
        debug.finish()
    }
}

/// Why this is no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    #[error("{url:?} is not a proxy; write it as http://host:port")]
    Form { url: String },
    #[error("a {scheme}:// proxy is not supported; write it as http://host:port")]
    Scheme { scheme: String },
    #[error("user and password do not belong in the proxy's url; use link.proxy_user and link.proxy_password_file")]
    Login,
    #[error("the proxy's user is empty or holds a colon, or user or password hold a control character")]
    User,
}

/// Why the proxy gave no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum ProxyFailure {
    #[error("cannot reach the proxy {proxy}; check link.proxy")]
    Unreachable { proxy: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the proxy {proxy} wants a user; set link.proxy_user and link.proxy_password_file")]
    LoginWanted { proxy: String },
    #[error("the proxy {proxy} rejects the user; check link.proxy_user and link.proxy_password_file")]
    LoginRefused { proxy: String },
    #[error("the proxy {proxy} refused the connection ({answer}); it must allow this host and port")]
    Refused { proxy: String, answer: String },
    #[error("the exchange with the proxy {proxy} broke")]
    Broken { proxy: String, source: io::Error },
}

/// Reads up to the empty line and not a byte further: what follows belongs to the tunnel.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= ANSWER_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests;
