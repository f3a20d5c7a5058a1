//! One HTTPS request, one answer.
//!
//! No retries, no redirects, no cookies, no decompression: an answer is read whole into memory, up to the limit that the
//! request names. An answer with an error status is an answer, not an error; a redirect is returned as it came, since
//! whether its target may see the request is for the caller to judge. Files come by [`HttpClient::download`].
//!
//! Requests go through the configured proxy when there is one; the environment's proxies do not count (see `proxy.rs`).

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, ClientBuilder, Method,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;

pub(crate) use self::target::{Target, TargetProblem, is_loopback};
use crate::{
    proxy::{Proxy, ProxyFailure},
    tls::{CertificateProblem, certificate_problem, find_rustls},
};

mod target;

/// Longest part of a bad URL that is repeated in an error.
const BAD_URL_CHARS_MAX: usize = 100;

/// How all requests of one client are made.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The way out; `None` is straight. Plain-text requests to this machine never take it.
    pub proxy: Option<Proxy>,
    /// For name look-up, TCP, proxy and TLS together.
    pub connect_timeout: Duration,
    /// For the whole request, from the call until the last byte of the answer. Downloads have their own.
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
    client: Client,
    /// Has no limit for the whole of a request, and keeps no connection.
    pub(crate) downloads: Client,
    pub(crate) connect_timeout: Duration,
    proxy: Option<Proxy>,
}

impl HttpClient {
    /// `tls` is what [`tls_config`](crate::tls_config) made.
    ///
    /// # Errors
    /// [`HttpSetupError`] when the user agent is no header value.
    pub fn new(tls: &Arc<ClientConfig>, options: HttpOptions) -> Result<Self, HttpSetupError> {
        let client = builder(tls, &options)?.timeout(options.request_timeout).build().map_err(HttpSetupError)?;
        // Downloads are rare, and a server that hung up on a kept connection would look like one that broke.
        let downloads = builder(tls, &options)?.pool_max_idle_per_host(0).build().map_err(HttpSetupError)?;
        Ok(Self { client, downloads, connect_timeout: options.connect_timeout, proxy: options.proxy })
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// [`HttpError`]; an answer with an error status is `Ok`.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let target = Target::parse(&request.url).map_err(|problem| refused(problem, &request.url))?;
        let host = target.host;
        let headers = header_map(&request.headers)?;
        let mut outgoing = self.client.request(request.method.into(), target.url).headers(headers);
        if let Some(body) = request.body {
            outgoing = outgoing.body(body);
        }

        tracing::debug!(host, method = ?request.method, "http request");
        let mut response = outgoing.send().await.map_err(|error| self.classify(&host, error))?;
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
        while let Some(chunk) = response.chunk().await.map_err(|error| self.classify(&host, error))? {
            if body.len() + chunk.len() > bytes_max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        tracing::debug!(host, status, bytes = body.len(), "http answer");
        let date_unix_s = headers.iter().find(|(name, _)| name == "date").and_then(|(_, date)| parse_date(date));
        Ok(HttpResponse { status, headers, body: body.freeze(), date_unix_s })
    }

    pub(crate) fn classify(&self, host: &str, error: reqwest::Error) -> HttpError {
        let host = host.to_owned();
        // The URL may name the device; the host says enough.
        let error = error.without_url();
        if let Some(problem) = certificate_problem(&error as &(dyn StdError + 'static)) {
            HttpError::Untrusted { host, problem }
        } else if error.is_timeout() {
            HttpError::TimedOut { host }
        } else if !error.is_connect() || find_rustls(&error).is_some() {
            HttpError::Broken { host, source: error }
        } else if let Some(proxy) = &self.proxy
            && let Some(problem) = tunnel_problem(&error)
        {
            HttpError::Proxy(proxy_failure(proxy, problem, error))
        } else {
            HttpError::Unreachable { host, source: error }
        }
    }
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the http client")]
pub struct HttpSetupError(#[source] reqwest::Error);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// `url` is without user, query and fragment, and cut.
    #[error("{url:?} is not a url with https:// and a host")]
    BadUrl { url: String },
    #[error("the header {name:?} is not allowed in a request")]
    BadHeader { name: String },
    #[error("refused to talk to {host} in plain text; use https://")]
    PlainText { host: String },
    /// Name look-up or TCP failed.
    #[error("cannot reach {host}; check the host name and the network")]
    Unreachable { host: String, source: reqwest::Error },
    /// The request did not get past the proxy.
    #[error(transparent)]
    Proxy(ProxyFailure),
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

/// What both clients have in common.
fn builder(tls: &ClientConfig, options: &HttpOptions) -> Result<ClientBuilder, HttpSetupError> {
    // `no_proxy` switches the environment's off and comes first, since it would switch ours off as well.
    let builder = Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls.clone())
        .http1_only()
        .redirect(Policy::none())
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .connect_timeout(options.connect_timeout)
        .user_agent(&options.user_agent);
    let Some(proxy) = &options.proxy else { return Ok(builder) };
    let mut way = reqwest::Proxy::https(proxy.to_string()).map_err(HttpSetupError)?;
    if let Some(login) = &proxy.login {
        way = way.basic_auth(&login.user, login.password.expose_secret());
    }
    Ok(builder.proxy(way))
}

fn refused(problem: TargetProblem, url: &str) -> HttpError {
    match problem {
        TargetProblem::NotUrl => HttpError::BadUrl { url: presentable(url) },
        TargetProblem::PlainText { host } => HttpError::PlainText { host },
    }
}

/// What of a text that should be a URL may be repeated: queries hold signatures, and a user may come with a password.
fn presentable(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let text = url.get(..end).unwrap_or_default();
    text.rsplit('@').next().unwrap_or_default().chars().take(BAD_URL_CHARS_MAX).collect()
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

pub(crate) fn parse_date(date: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp().as_second())
}

/// What the HTTP library's tunnel error says. The type is private to it, so this goes by its words; a test with a real
/// proxy notices when they change.
fn tunnel_problem(error: &reqwest::Error) -> Option<String> {
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        if let Some(problem) = text.strip_prefix("tunnel error: ") {
            return Some(problem.to_owned());
        }
        next = source.source();
    }
    None
}

fn proxy_failure(proxy: &Proxy, problem: String, error: reqwest::Error) -> ProxyFailure {
    match &*problem {
        "proxy authorization required" => proxy.login_refused(),
        "failed to create underlying connection" => {
            ProxyFailure::Unreachable { proxy: proxy.to_string(), source: error.into() }
        }
        _ => ProxyFailure::Refused { proxy: proxy.to_string(), answer: problem },
    }
}

#[cfg(test)]
mod tests;
