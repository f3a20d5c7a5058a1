//! From nothing to a stream that MQTT can be spoken on: TCP, through a proxy if there is one, TLS, WebSocket if asked for.
//!
//! The client library could layer TLS, proxy and WebSocket itself. Its WebSocket layer feeds a ping of the server into the
//! MQTT stream, and its errors do not tell a proxy from a hub; so it is given the finished stream as if it were TCP.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    gather::Gather,
    mqtt::Transport,
    proxy::{Proxy, ProxyFailure},
    stall::StallGuard,
    websocket,
};

/// For one of several addresses of a host, so that a dead one leaves time for the next.
const ADDRESS_TIME: Duration = Duration::from_secs(8);

/// Where to, and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) transport: Transport,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) tls: Arc<ClientConfig>,
    /// How long a write may wait without a byte moving; zero is for ever.
    pub(crate) stall_time: Duration,
    /// How many publishes may be in flight.
    pub(crate) window: u16,
}

/// What MQTT is spoken on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot reach {host}")]
    Unreachable { host: String, source: io::Error },
    #[error(transparent)]
    Proxy(ProxyFailure),
    #[error("no tls with {host}")]
    Tls { host: String, source: io::Error },
    #[error("{0}")]
    WebSocket(String),
}

pub(crate) async fn dial(target: Target) -> Result<Box<dyn Stream>, DialError> {
    let Target { host, port, transport, proxy, tls, stall_time, window } = target;
    let tcp = match &proxy {
        None => connect(&host, port).await.map_err(|source| DialError::Unreachable { host: host.clone(), source })?,
        Some(proxy) => through(proxy, &host, port).await.map_err(DialError::Proxy)?,
    };
    let tcp = StallGuard::new(Gather::new(tcp, window), stall_time);
    if transport == Transport::PlainForLoopbackTests {
        return Ok(Box::new(tcp));
    }
    let failed = |source| DialError::Tls { host: host.clone(), source };
    let name = ServerName::try_from(host.clone()).map_err(|error| failed(io::Error::other(error)))?;
    let stream = TlsConnector::from(tls).connect(name, tcp).await.map_err(failed)?;
    Ok(match transport {
        Transport::WebSocket => Box::new(websocket::upgrade(stream, &host).await.map_err(DialError::WebSocket)?),
        Transport::Mqtts | Transport::PlainForLoopbackTests => Box::new(stream),
    })
}

async fn through(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, ProxyFailure> {
    let mut tcp = connect(&proxy.host, proxy.port)
        .await
        .map_err(|source| ProxyFailure::Unreachable { proxy: proxy.to_string(), source: source.into() })?;
    proxy.open_tunnel(&mut tcp, host, port).await?;
    Ok(tcp)
}

/// Tries the host's addresses one after another.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    // A URL writes an IPv6 address in brackets, the resolver wants none.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for address in lookup_host((host, port)).await? {
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(ADDRESS_TIME, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
