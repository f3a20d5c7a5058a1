//! A server that gives out files by script: right, wrong, slowly, or not to the end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use edgeplug_test_support::certificates::ServerCertificate;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::https_server::acceptor;

/// Answers one request on each connection; ends when dropped.
pub(crate) struct FileServer {
    port: u16,
    secure: bool,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Counted from 0.
    pub(crate) number: usize,
    pub(crate) path: String,
    head: String,
}

/// What an answer is made of; after the last step the connection is closed properly.
pub(crate) enum Step {
    Send(Bytes),
    Pause(Duration),
    /// Over and over, as long as the client listens.
    Repeat(Bytes),
    /// Says nothing more and stays.
    Hang,
    /// Ends without TLS's goodbye.
    Tear,
    /// TCP's RST instead of a goodbye; in plain text only.
    Reset,
}

/// A file as it lies on a good server.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) bytes: Bytes,
    /// Header lines of every answer, each with its line end.
    pub(crate) headers: String,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl FileServer {
    /// In plain text without a certificate.
    pub(crate) async fn start(
        certificate: Option<&ServerCertificate>,
        script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let acceptor = certificate.map(acceptor);
        let secure = acceptor.is_some();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, script) = (asked.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (acceptor, seen, script) = (acceptor.clone(), seen.clone(), script.clone());
                serving.spawn(async move {
                    // A client that does not trust us hangs up here.
                    let mut stream: Box<dyn Stream> = match acceptor {
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                        None => return answer(socket, &seen, &*script).await,
                    };
                    let Some(steps) = ask(&mut stream, &seen, &*script).await else { return };
                    for step in steps {
                        if !take(&mut stream, step).await {
                            return;
                        }
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, secure, asked, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://localhost:{}{path}", self.port)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// `N` of `bytes=N-`.
    pub(crate) fn offset(&self) -> Option<usize> {
        self.header("range")
            .map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap())
    }
}

impl Served {
    pub(crate) fn new(bytes: Bytes, etag: &str) -> Self {
        Self { bytes, headers: format!("ETag: {etag}\r\n") }
    }

    /// Whole or from where it was asked, as RFC 9110 has it.
    pub(crate) fn answer(&self, asked: &Asked) -> (String, Bytes) {
        let holds = asked.header("if-range").is_none_or(|value| self.headers.contains(&format!(": {value}\r\n")));
        let total = self.bytes.len();
        match asked.offset().filter(|_| holds) {
            Some(offset) if offset >= total => (
                head("416 Range Not Satisfiable", 0, &format!("Content-Range: bytes */{total}\r\n{}", self.headers)),
                Bytes::new(),
            ),
            Some(offset) => {
                let range = format!("Content-Range: bytes {offset}-{}/{total}\r\n{}", total - 1, self.headers);
                (head("206 Partial Content", total - offset, &range), self.bytes.slice(offset..))
            }
            None => (head("200 OK", total, &self.headers), self.bytes.clone()),
        }
    }

    pub(crate) fn steps(&self, asked: &Asked) -> Vec<Step> {
        let (head, body) = self.answer(asked);
        vec![Step::send(head), Step::Send(body)]
    }
}

impl Step {
    pub(crate) fn send(text: impl Into<String>) -> Self {
        Self::Send(Bytes::from(text.into()))
    }
}

/// Status line and header lines, each with its line end, up to the empty line.
pub(crate) fn head(status: &str, length: usize, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n")
}

async fn answer(mut socket: TcpStream, seen: &Mutex<Vec<Asked>>, script: &(impl Fn(&Asked) -> Vec<Step> + Sync)) {
    let Some(steps) = ask(&mut socket, seen, script).await else { return };
    for step in steps {
        if matches!(step, Step::Reset) {
            socket.set_zero_linger().unwrap();
            return;
        }
        if !take(&mut socket, step).await {
            return;
        }
    }
    let _ = socket.shutdown().await;
}

async fn ask(
    stream: &mut (impl AsyncRead + Unpin),
    seen: &Mutex<Vec<Asked>>,
    script: &(impl Fn(&Asked) -> Vec<Step> + Sync),
) -> Option<Vec<Step>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let asked = {
        let mut seen = seen.lock().unwrap();
        let asked = Asked { number: seen.len(), path, head };
        seen.push(asked.clone());
        asked
    };
    Some(script(&asked))
}

/// Whether the client still listens.
async fn take(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), step: Step) -> bool {
    match step {
        Step::Send(bytes) => stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok(),
        Step::Pause(time) => {
            sleep(time).await;
            true
        }
        Step::Repeat(bytes) => {
            while stream.write_all(&bytes).await.is_ok() {}
            false
        }
        Step::Hang => {
            // Until the client hangs up.
            let _ = stream.read_u8().await;
            false
        }
        Step::Tear => false,
        Step::Reset => panic!("only in plain text"),
    }
}
