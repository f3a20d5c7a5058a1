//! An HTTP server that gives each file once for every reply it was told, and remembers what was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is answered to one request.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    status: u16,
    content: Vec<u8>,
    /// Bytes after which nothing more comes.
    sent: usize,
    /// And then the connection stays open.
    stalls: bool,
}

impl Reply {
    pub(super) fn whole(content: Vec<u8>) -> Self {
        Self { status: 200, sent: content.len(), content, stalls: false }
    }

    pub(super) fn cut(content: Vec<u8>, sent: usize) -> Self {
        Self { sent, ..Self::whole(content) }
    }

    pub(super) fn stalled(content: Vec<u8>, sent: usize) -> Self {
        Self { stalls: true, ..Self::cut(content, sent) }
    }

    pub(super) fn status(status: u16) -> Self {
        Self { status, ..Self::whole(Vec::new()) }
    }
}

type Asked = HashMap<String, Vec<Option<String>>>;

pub(super) struct Server {
    address: String,
    asked: watch::Receiver<Asked>,
}

impl Server {
    pub(super) async fn start(replies: Vec<(&str, Reply)>) -> Self {
        let mut queues: HashMap<String, VecDeque<Reply>> = HashMap::new();
        for (name, reply) in replies {
            queues.entry(name.to_owned()).or_default().push_back(reply);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked_sender, asked) = watch::channel(Asked::default());
        let queues = Arc::new(Mutex::new(queues));
        tokio::spawn(async move {
            let asked = Arc::new(asked_sender);
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&queues), Arc::clone(&asked)));
            }
        });
        Self { address, asked }
    }

    /// With a query that nobody may print.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}?sig=secret", self.address)
    }

    /// The ranges of the requests for a file.
    pub(super) fn ranges(&self, name: &str) -> Vec<Option<String>> {
        self.asked.borrow().get(name).cloned().unwrap_or_default()
    }

    /// Until a file was asked for and all was sent that shall be.
    pub(super) async fn asked(&self, name: &str) {
        let mut asked = self.asked.clone();
        tokio::time::timeout(super::WAIT, asked.wait_for(|asked| asked.contains_key(name))).await.unwrap().unwrap();
    }
}

async fn serve(
    stream: TcpStream,
    queues: Arc<Mutex<HashMap<String, VecDeque<Reply>>>>,
    asked: Arc<watch::Sender<Asked>>,
) {
    let mut stream = BufReader::new(stream);
    let (mut name, mut range, mut line) = (String::new(), None, String::new());
    while stream.read_line(&mut line).await.unwrap() > 0 && line.trim_end() != "" {
        if let Some(rest) = line.strip_prefix("GET /") {
            name = rest.split(['?', ' ']).next().unwrap().to_owned();
        } else if line.to_ascii_lowercase().starts_with("range:") {
            range = Some(line.split_once(':').unwrap().1.trim().to_owned());
        }
        line.clear();
    }
    let reply = queues.lock().unwrap().get_mut(&name).and_then(VecDeque::pop_front);
    let reply = reply.unwrap_or_else(|| Reply::status(404));
    let from: usize = range.as_deref().map_or(0, |range| range[6..].trim_end_matches('-').parse().unwrap());
    let total = reply.content.len();
    let status = if range.is_some() && reply.status == 200 { 206 } else { reply.status };
    let mut head =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\netag: \"one\"\r\nconnection: close\r\n", total - from);
    if status == 206 {
        head += &format!("content-range: bytes {from}-{}/{total}\r\n", total - 1);
    }
    head += "\r\n";
    let content = &reply.content[from.min(reply.sent)..reply.sent];
    // Who does not want it any more closes.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(content).await;
    let _ = stream.flush().await;
    asked.send_modify(|asked| asked.entry(name).or_default().push(range));
    if reply.stalls {
        std::future::pending::<()>().await;
    }
}
