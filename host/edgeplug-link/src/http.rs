//! One HTTPS request, one answer.
//!
//! No retries, no redirects, no cookies, no decompression, no download to a file: an answer is read whole into memory,
//! up to the limit that the request names. An answer with an error status is an answer, not an error; a redirect is
//! returned as it came, since whether its target may see the request is for the caller to judge.
//!
//! The environment's proxies (`HTTPS_PROXY`, `NO_PROXY`) are honoured, but never for this machine itself.

use std::{error::Error as StdError, fmt, net::IpAddr, path::PathBuf, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Method, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};

use crate::tls::{CertificateProblem, TlsSetupError, certificate_problem, find_rustls, tls_config};

/// How all requests of one client are made.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// A PEM file whose certificates are trusted beside the system's roots.
    pub extra_root_ca: Option<PathBuf>,
    /// For name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// For the whole request, from the call until the last byte of the answer.
    pub request_timeout: Duration,
    pub user_agent: String,
}

/// A request, ready-made.
#[derive(Clone)]
pub struct HttpRequest {
    pub method: HttpMethod,
    /// `https://…`; plain `http://` is refused unless the host is this machine.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    /// Largest answer body to accept, in bytes.
    pub body_bytes_max: usize,
}

/// The methods that the cloud's interfaces use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    Get,
    Post,
    Put,
}

/// An answer, whatever its status.
#[derive(Clone)]
pub struct HttpResponse {
    pub status: u16,
    /// Names in lower case; a value that is not ASCII is left out.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The server's clock from the `Date` header, in seconds since 1970 (RFC 9110, section 6.6.1).
    pub date_unix_s: Option<i64>,
}

/// Makes requests; cheap to clone, connections are shared and reused.
#[derive(Debug, Clone)]
pub struct HttpClient {
    /// For the world, through a proxy where the environment names one.
    outside: Client,
    /// For this machine, past any proxy.
    loopback: Client,
}

impl HttpClient {
    /// # Errors
    /// [`HttpSetupError`] when the TLS configuration cannot be made or the user agent is no header value.
    pub fn new(options: HttpOptions) -> Result<Self, HttpSetupError> {
        let tls = tls_config(options.extra_root_ca.as_deref())?;
        let builder = || {
            Client::builder()
                .tls_backend_preconfigured((*tls).clone())
                .redirect(Policy::none())
                .connect_timeout(options.connect_timeout)
                .timeout(options.request_timeout)
                .user_agent(&options.user_agent)
        };
        Ok(Self {
            outside: builder().build().map_err(HttpSetupError::Client)?,
            loopback: builder().no_proxy().build().map_err(HttpSetupError::Client)?,
        })
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// [`HttpError`]; an answer with an error status is `Ok`.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let target = Target::parse(&request.url)?;
        let host = target.host;
        let headers = header_map(&request.headers)?;
        let client = if target.loopback { &self.loopback } else { &self.outside };
        let mut outgoing = client.request(request.method.into(), target.url).headers(headers);
        if let Some(body) = request.body {
            outgoing = outgoing.body(body);
        }

        tracing::debug!(host, method = ?request.method, "http request");
        let mut response = outgoing.send().await.map_err(|error| classify(&host, error))?;
        let status = response.status().as_u16();
        let bytes_max = request.body_bytes_max;
        let too_large = || HttpError::TooLarge { host: host.clone(), bytes_max };
        let announced = response.content_length().unwrap_or(0);
        if announced > bytes_max as u64 {
            return Err(too_large());
        }
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect::<Vec<_>>();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&host, error))? {
            if body.len() + chunk.len() > bytes_max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        tracing::debug!(host, status, bytes = body.len(), "http answer");
        let date_unix_s = headers.iter().find(|(name, _)| name == "date").and_then(|(_, date)| parse_date(date));
        Ok(HttpResponse { status, headers, body: body.freeze(), date_unix_s })
    }
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    #[error("cannot set up tls")]
    Tls(#[from] TlsSetupError),
    #[error("cannot set up the http client")]
    Client(#[source] reqwest::Error),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{url:?} is not a url with a host")]
    BadUrl { url: String },
    #[error("the header {name:?} is not allowed in a request")]
    BadHeader { name: String },
    #[error("refused to talk to {host} in plain text; use https://")]
    PlainText { host: String },
    /// Name look-up or TCP failed.
    #[error("cannot reach {host}; check the host name, the network and the proxy settings")]
    Unreachable { host: String, source: reqwest::Error },
    /// The server could not be trusted, and nothing was sent to it.
    #[error("the certificate of {host} {problem}")]
    Untrusted { host: String, problem: CertificateProblem },
    #[error("{host} did not answer in time")]
    TimedOut { host: String },
    #[error("the answer of {host} exceeds {bytes_max} bytes")]
    TooLarge { host: String, bytes_max: usize },
    /// The connection broke, or what came was not HTTP or TLS.
    #[error("the exchange with {host} broke")]
    Broken { host: String, source: reqwest::Error },
}

impl From<HttpMethod> for Method {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Self::GET,
            HttpMethod::Post => Self::POST,
            HttpMethod::Put => Self::PUT,
        }
    }
}

/// Shows no header value, body or path: tokens and device ids travel there.
impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

/// Shows no body: an answer may hold keys.
impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("date_unix_s", &self.date_unix_s)
            .finish_non_exhaustive()
    }
}

struct Target {
    url: Url,
    host: String,
    loopback: bool,
}

impl Target {
    fn parse(text: &str) -> Result<Self, HttpError> {
        let bad = || HttpError::BadUrl { url: text.to_owned() };
        let url = Url::parse(text).map_err(|_| bad())?;
        let host = url.host_str().ok_or_else(bad)?.to_owned();
        let loopback = is_loopback(&host);
        match url.scheme() {
            "https" => Ok(Self { url, host, loopback }),
            "http" if loopback => Ok(Self { url, host, loopback }),
            "http" => Err(HttpError::PlainText { host }),
            _ => Err(bad()),
        }
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

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let bad = || HttpError::BadHeader { name: name.clone() };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        // Keeps it out of the Debug output of the layers below, and out of HTTP/2's compression table.
        value.set_sensitive(header == reqwest::header::AUTHORIZATION);
        map.append(header, value);
    }
    Ok(map)
}

fn parse_date(date: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp().as_second())
}

fn classify(host: &str, error: reqwest::Error) -> HttpError {
    let host = host.to_owned();
    // The URL may name the device; the host says enough.
    let error = error.without_url();
    if let Some(problem) = certificate_problem(&error as &(dyn StdError + 'static)) {
        HttpError::Untrusted { host, problem }
    } else if error.is_timeout() {
        HttpError::TimedOut { host }
    } else if error.is_connect() && find_rustls(&error).is_none() {
        HttpError::Unreachable { host, source: error }
    } else {
        HttpError::Broken { host, source: error }
    }
}

#[cfg(test)]
mod tests;
