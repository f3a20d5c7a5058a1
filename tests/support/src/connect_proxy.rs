//! A small HTTP proxy for `CONNECT` and nothing else (RFC 9110, section 9.3.6), with basic authentication if wanted.
//!
//! It opens tunnels to wherever it is asked and records where that was. Plain TCP on 127.0.0.1; it ends when dropped, and
//! its tunnels with it.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Longest request head; a test's takes a few hundred bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// The proxy.
#[derive(Debug)]
pub struct ConnectProxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// What `Proxy-Authorization` must say.
    login: Option<String>,
    state: Mutex<State>,
    /// Bumped to cut every tunnel.
    cuts: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    refuse: bool,
    targets: Vec<String>,
    denied: usize,
}

impl ConnectProxy {
    /// With a login (user, password), requests without it are answered 407.
    pub async fn start(login: Option<(&str, &str)>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let login = login.map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        let shared = Arc::new(Shared { login, state: Mutex::default(), cuts: watch::Sender::new(0) });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { port, shared, accepting })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many tunnels were opened so far.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        lock(&self.shared.state).targets.len()
    }

    /// Where they lead, as `host:port`, in the order they were opened.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        lock(&self.shared.state).targets.clone()
    }

    /// How many requests were answered 407.
    #[must_use]
    pub fn denied(&self) -> usize {
        lock(&self.shared.state).denied
    }

    /// While true, every request with the right login is answered 403.
    pub fn refuse(&self, refuse: bool) {
        lock(&self.shared.state).refuse = refuse;
    }

    /// Hangs up on every open tunnel.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the set, as happens when this task is aborted, ends its tunnels too.
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = serving.join_next() => {}
            Ok((client, _)) = listener.accept() => {
                let (shared, mut cuts) = (shared.clone(), shared.cuts.subscribe());
                serving.spawn(async move {
                    tokio::select! {
                        // A client that hangs up early is a test's business, not an error here.
                        _ = serve(client, &shared) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        }
    }
}

async fn serve(mut client: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let head = read_head(&mut client).await?;
    let (status, target) = judge(&head, shared);
    let upstream = match (status, target) {
        ("200 Connection established", Some(target)) => match TcpStream::connect(&target).await {
            Ok(upstream) => Ok((upstream, target)),
            Err(_) => Err("502 Bad Gateway"),
        },
        (status, _) => Err(status),
    };
    match upstream {
        Ok((mut upstream, target)) => {
            upstream.set_nodelay(true)?;
            lock(&shared.state).targets.push(target);
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            copy_bidirectional(&mut client, &mut upstream).await?;
        }
        Err(status) => {
            let authenticate =
                if status.starts_with("407") { "Proxy-Authenticate: Basic realm=\"test\"\r\n" } else { "" };
            let answer = format!("HTTP/1.1 {status}\r\n{authenticate}Content-Length: 0\r\nConnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await?;
        }
    }
    Ok(())
}

/// The status to answer with, and the target of a good request.
fn judge(head: &str, shared: &Shared) -> (&'static str, Option<String>) {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some("CONNECT"), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next()) else {
        return ("405 Method Not Allowed", None);
    };
    let given = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
    });
    let mut state = lock(&shared.state);
    if shared.login.is_some() && given != shared.login {
        state.denied += 1;
        return ("407 Proxy Authentication Required", None);
    }
    if state.refuse {
        return ("403 Forbidden", None);
    }
    ("200 Connection established", Some(target.to_owned()))
}

/// Not a byte past the head: what follows belongs to the tunnel.
async fn read_head(client: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            bail!("the request is too long");
        }
        head.push(client.read_u8().await?);
    }
    String::from_utf8(head).context("the request is not text")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
