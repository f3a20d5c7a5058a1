//! One connection through the relay: in each direction a reader, a queue of what is on its way, and a writer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Chaos, Counts, Weather};

/// Read at a time.
const CHUNK_BYTES_MAX: usize = 16 * 1024;

/// Chunks on their way in one direction; past it the sender's TCP window closes, as with any slow network.
const CHUNKS_MAX: usize = 256;

/// A throttled direction writes this many portions a second.
const PORTIONS_PER_S: u64 = 20;

#[derive(Debug, Clone, Copy)]
enum Direction {
    Up,
    Down,
}

struct Chunk {
    due: Instant,
    bytes: Bytes,
}

pub(super) async fn accept(listener: TcpListener, target: SocketAddr, chaos: Chaos) {
    // Dropping the set, as happens when this task is aborted, ends its connections too.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((client, _)) = listener.accept() => {
                if chaos.weather.borrow().refuse {
                    chaos.lock().counts.refused += 1;
                    reset(&client);
                } else {
                    connections.spawn(serve(client, target, chaos.clone()));
                }
            }
        }
    }
}

async fn serve(mut client: TcpStream, target: SocketAddr, chaos: Chaos) {
    let mut weather = chaos.weather.subscribe();
    let cut = weather.borrow_and_update().cut;
    let _open = Open::new(&chaos);
    let connecting = async {
        clear(&mut weather).await;
        chaos.lock().counts.accepted += 1;
        TcpStream::connect(target).await.ok()
    };
    let connected = tokio::select! {
        () = until_cut(&chaos, cut) => None,
        connected = connecting => connected,
    };
    let Some(mut upstream) = connected else { return reset(&client) };
    client.set_nodelay(true).ok();
    upstream.set_nodelay(true).ok();
    let passed = {
        let (client_read, client_write) = client.split();
        let (upstream_read, upstream_write) = upstream.split();
        let both = async {
            tokio::try_join!(
                pass(client_read, upstream_write, Direction::Up, &chaos),
                pass(upstream_read, client_write, Direction::Down, &chaos)
            )
        };
        tokio::select! {
            () = until_cut(&chaos, cut) => {
                chaos.lock().counts.cuts += 1;
                None
            }
            passed = both => passed.ok(),
        }
    };
    if passed.is_none() {
        reset(&client);
        reset(&upstream);
    }
}

/// Until the sender has closed and that was passed on; an error means that an end is gone.
async fn pass(read: ReadHalf<'_>, write: WriteHalf<'_>, direction: Direction, chaos: &Chaos) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::try_join!(fill(read, sender, direction, chaos), drain(receiver, write, direction, chaos)).map(|_| ())
}

async fn fill(
    mut read: ReadHalf<'_>,
    chunks: mpsc::Sender<Chunk>,
    direction: Direction,
    chaos: &Chaos,
) -> io::Result<()> {
    let mut weather = chaos.weather.subscribe();
    loop {
        clear(&mut weather).await;
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES_MAX);
        if read.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let delay = match (direction, &*weather.borrow()) {
            (Direction::Up, weather) => weather.delay_up,
            (Direction::Down, weather) => weather.delay_down,
        };
        // The writer only goes away together with this future.
        let _ = chunks.send(Chunk { due: Instant::now() + delay, bytes: buffer.freeze() }).await;
    }
}

async fn drain(
    mut chunks: mpsc::Receiver<Chunk>,
    mut write: WriteHalf<'_>,
    direction: Direction,
    chaos: &Chaos,
) -> io::Result<()> {
    let mut weather = chaos.weather.subscribe();
    while let Some(Chunk { due, mut bytes }) = chunks.recv().await {
        sleep_until(due).await;
        while !bytes.is_empty() {
            clear(&mut weather).await;
            let limit = weather.borrow().bytes_per_s;
            let portion = limit.map_or(u64::MAX, |rate| (rate / PORTIONS_PER_S).max(1));
            let mut portion = bytes.split_to(bytes.len().min(usize::try_from(portion).unwrap_or(usize::MAX)));
            let last = chaos.spend(&mut portion);
            write.write_all(&portion).await?;
            chaos.lock().counts.add(direction, portion.len() as u64);
            if last {
                chaos.cut();
            }
            if let Some(rate) = limit {
                sleep(Duration::from_secs_f64(portion.len() as f64 / rate as f64)).await;
            }
        }
    }
    clear(&mut weather).await;
    write.shutdown().await
}

impl Chaos {
    /// Takes a portion off what may pass before the cut; shortens it, and says so, when that was the last.
    fn spend(&self, portion: &mut Bytes) -> bool {
        let mut shared = self.lock();
        let Some(left) = shared.cut_after else { return false };
        let after = left.saturating_sub(portion.len() as u64);
        shared.cut_after = (after > 0).then_some(after);
        portion.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        after == 0
    }
}

impl Counts {
    fn add(&mut self, direction: Direction, bytes: u64) {
        match direction {
            Direction::Up => self.bytes_up += bytes,
            Direction::Down => self.bytes_down += bytes,
        }
    }
}

/// Counts a connection for as long as it is open.
struct Open<'a>(&'a Chaos);

impl<'a> Open<'a> {
    fn new(chaos: &'a Chaos) -> Self {
        chaos.lock().counts.open += 1;
        Self(chaos)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.lock().counts.open -= 1;
    }
}

/// Until a cut newer than this one.
async fn until_cut(chaos: &Chaos, cut: u64) {
    // The sender lives in `chaos`.
    chaos.weather.subscribe().wait_for(|weather| weather.cut > cut).await.ok();
}

async fn clear(weather: &mut watch::Receiver<Weather>) {
    weather.wait_for(|weather| !weather.black_hole).await.ok();
}

/// What is still in the socket is thrown away, and the other end learns of it at once.
fn reset(socket: &TcpStream) {
    socket.set_zero_linger().ok();
}
