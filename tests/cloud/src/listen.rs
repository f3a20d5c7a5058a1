//! A listening port that can go away and come back: the outage switch of every server here.
//!
//! While it is closed a connect is refused at once, as with a server that is down, and every open connection is gone. The port
//! number stays ours meanwhile: a second socket stays bound to it without listening, so that nobody else is given it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::limits::{CONNECTIONS_MAX, HANDSHAKE_MAX, LISTEN_BACKLOG};

/// Handed to each connection; turns true when the port closes, and the connection must then end.
pub(crate) type Closing = watch::Receiver<bool>;

/// Returns when the port closes, or is gone.
pub(crate) async fn closed(closing: &mut Closing) {
    closing.wait_for(|closing| *closing).await.ok();
}

pub(crate) struct Port {
    address: SocketAddr,
    closing: watch::Sender<bool>,
    open: watch::Receiver<bool>,
    accept: JoinHandle<()>,
    _guard: TcpSocket,
}

impl Port {
    /// Binds `port` on 127.0.0.1 (0 for a free one) and serves each connection with `serve`.
    pub(crate) async fn open<F>(
        port: u16,
        serve: impl Fn(TcpStream, Closing) -> F + Send + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = socket()?;
        guard.bind((Ipv4Addr::LOCALHOST, port).into()).with_context(|| format!("cannot bind 127.0.0.1:{port}"))?;
        let address = guard.local_addr()?;
        let first = listen(address).with_context(|| format!("cannot listen on {address}"))?;
        let (closing, close_orders) = watch::channel(false);
        let (state, open) = watch::channel(true);
        let accept = tokio::spawn(accept(address, first, close_orders, state, serve));
        Ok(Self { address, closing, open, accept, _guard: guard })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the port and its connections for good, without waiting for them.
    pub(crate) fn abandon(&self) {
        self.accept.abort();
    }

    /// Returns once connects are refused and all connections have ended.
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        // Fails only when the accept task is gone, and then the port is closed as well.
        self.open.clone().wait_for(|open| !open).await.ok();
    }

    /// Returns once the port listens again.
    pub(crate) async fn reopen(&self) {
        self.closing.send_replace(false);
        self.open.clone().wait_for(|open| *open).await.ok();
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.abandon();
    }
}

async fn accept<F>(
    address: SocketAddr,
    first: TcpListener,
    mut closing: Closing,
    state: watch::Sender<bool>,
    serve: impl Fn(TcpStream, Closing) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut next = Some(first);
    loop {
        let listener = match next.take().map_or_else(|| listen(address), Ok) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%address, %error, "cannot listen again");
                return;
            }
        };
        state.send_replace(true);
        // Dropping the set, as happens when this task is aborted, ends its connections too.
        let mut connections = JoinSet::new();
        let given = closing.clone();
        loop {
            tokio::select! {
                biased;
                () = closed(&mut closing) => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    if let Ok((stream, _)) = accepted {
                        stream.set_nodelay(true).ok();
                        connections.spawn(serve(stream, given.clone()));
                    }
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
        state.send_replace(false);
        if closing.wait_for(|closing| !closing).await.is_err() {
            return;
        }
    }
}

fn socket() -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket()?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// Cuts the HTTP connection that a request came in on, before its answer is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Arc<Notify>);

impl Cut {
    pub(crate) async fn now<T>(&self) -> T {
        self.0.notify_one();
        std::future::pending().await
    }
}

/// Opens a port that serves `router`, over TLS when given an acceptor.
pub(crate) async fn http(port: u16, tls: Option<TlsAcceptor>, router: Router) -> anyhow::Result<Port> {
    Port::open(port, move |stream, mut closing| {
        let (tls, router) = (tls.clone(), router.clone());
        async move {
            tokio::select! {
                () = closed(&mut closing) => {}
                () = serve_http(stream, tls, router) => {}
            }
        }
    })
    .await
}

async fn serve_http(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    let Some(tls) = tls else {
        return answer_http(stream, router).await;
    };
    match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => answer_http(stream, router).await,
        Ok(Err(error)) => tracing::debug!(%error, "tls handshake failed"),
        Err(_) => tracing::debug!("tls handshake took too long"),
    }
}

async fn answer_http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let cut = Cut::default();
    let service = TowerToHyperService::new(router.layer(axum::Extension(cut.clone())));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = cut.0.notified() => {}
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "http connection ended");
            }
        }
    }
}
