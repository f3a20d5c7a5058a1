//! A TCP relay that is a bad network: it cuts, delays, throttles, refuses and swallows, by hand or by a seeded script.
//!
//! It stands on 127.0.0.1 in front of any address and understands nothing of what it passes on. Bytes are never changed,
//! dropped from the middle or reordered: TCP would not let a network do that either. What a cut connection still held is
//! gone. The relay ends when dropped, and its connections with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod connection;
mod script;

pub use script::{Fault, Script, Step};

/// A running relay; it derefs to its [`Chaos`].
#[derive(Debug)]
pub struct ChaosRelay {
    address: SocketAddr,
    chaos: Chaos,
    accepting: JoinHandle<()>,
}

/// The switches of a relay. Cheap to clone; of no effect once the relay is gone.
#[derive(Debug, Clone)]
pub struct Chaos {
    weather: watch::Sender<Weather>,
    shared: Arc<Mutex<Shared>>,
}

/// What the relay did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections passed on.
    pub accepted: u64,
    /// Connections reset at once, by [`Chaos::refuse`].
    pub refused: u64,
    /// Connections cut, by [`Chaos::cut`] and [`Chaos::cut_after`].
    pub cuts: u64,
    /// Bytes passed on from whoever connects.
    pub bytes_up: u64,
    /// Bytes passed on to whoever connected.
    pub bytes_down: u64,
    /// Connections open now.
    pub open: u64,
}

/// What connections look at before they pass anything on.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    black_hole: bool,
    refuse: bool,
    delay_up: Duration,
    delay_down: Duration,
    bytes_per_s: Option<u64>,
    /// Bumped by a cut; connections of an older number end.
    cut: u64,
}

#[derive(Debug, Default)]
struct Shared {
    counts: Counts,
    /// Bytes to pass on, both ways together, until the next cut.
    cut_after: Option<u64>,
}

impl ChaosRelay {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `target`.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let chaos = Chaos { weather: watch::Sender::new(Weather::default()), shared: Arc::default() };
        let accepting = tokio::spawn(connection::accept(listener, target, chaos.clone()));
        Ok(Self { address, chaos, accepting })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The switches, to keep elsewhere.
    #[must_use]
    pub fn chaos(&self) -> Chaos {
        self.chaos.clone()
    }
}

impl Deref for ChaosRelay {
    type Target = Chaos;

    fn deref(&self) -> &Chaos {
        &self.chaos
    }
}

impl Drop for ChaosRelay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Chaos {
    /// Resets every open connection, both ends.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cut += 1);
    }

    /// Passes this many more bytes on, both directions together, then resets every open connection: in the middle of a
    /// packet, most likely. [`calm`](Self::calm) calls it off.
    pub fn cut_after(&self, bytes: u64) {
        self.lock().cut_after = Some(bytes);
    }

    /// While on, nothing moves in either direction and nothing is noticed, not even that an end has closed; sockets stay
    /// open, and new connections seem to succeed. When it ends, what was held goes on.
    pub fn black_hole(&self, on: bool) {
        self.weather.send_modify(|weather| weather.black_hole = on);
    }

    /// Holds everything back for so long: `up` from whoever connects, `down` to them.
    pub fn delay(&self, up: Duration, down: Duration) {
        self.weather.send_modify(|weather| (weather.delay_up, weather.delay_down) = (up, down));
    }

    /// Passes on no more than this in each direction of each connection; `None` is no limit.
    pub fn throttle(&self, bytes_per_s: Option<u64>) {
        self.weather.send_modify(|weather| weather.bytes_per_s = bytes_per_s.map(|bytes| bytes.max(1)));
    }

    /// While on, new connections are reset as soon as they are made; open ones stay.
    pub fn refuse(&self, on: bool) {
        self.weather.send_modify(|weather| weather.refuse = on);
    }

    /// Everything off; a good network from here on.
    pub fn calm(&self) {
        self.lock().cut_after = None;
        self.weather.send_modify(|weather| *weather = Weather { cut: weather.cut, ..Weather::default() });
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Carries out a script from its start; ends calm. Dropping the future leaves things as they are.
    pub async fn play(&self, script: &Script) {
        script.play(self).await;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
