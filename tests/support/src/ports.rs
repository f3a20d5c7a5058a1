//! Free ports of 127.0.0.1, and waiting until somebody listens on one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Ports tried before giving up.
const PORT_ATTEMPTS: usize = 50;

/// Pause between two looks at a starting process.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Where ports are looked for: below those that the kernel gives to whoever binds port 0 (from 32768 on), or another test
/// would be given this one between the look and the start of the program that is told it.
const PORTS: Range<u16> = 12_000..32_000;

/// A TCP port that nobody listens on, ours among all rigs of this machine for as long as this value lives: the UDP port
/// of the same number stays bound, and the two never collide. For programs that must be told a port; whatever can bind
/// port 0 itself should.
#[derive(Debug)]
pub struct FreePort {
    port: u16,
    _reserved: UdpSocket,
}

impl FreePort {
    /// Finds and reserves one.
    pub fn reserve() -> anyhow::Result<Self> {
        for _ in 0..PORT_ATTEMPTS {
            let port = fastrand::u16(PORTS);
            let Ok(reserved) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(Self { port, _reserved: reserved });
            }
        }
        bail!("no free port on 127.0.0.1")
    }

    #[must_use]
    pub fn number(&self) -> u16 {
        self.port
    }
}

/// Returns once `port` of 127.0.0.1 accepts a connection; fails when `child`, which shall listen there, ends first or
/// `limit` is over.
pub fn wait_until_listening(child: &mut Child, port: u16, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    loop {
        if TcpStream::connect_timeout(&address, limit).is_ok() {
            return Ok(());
        }
        if let Some(status) = child.try_wait().context("cannot look at the process")? {
            bail!("the process ended before it listened on port {port} ({status})");
        }
        if Instant::now() > deadline {
            bail!("nobody listened on port {port} within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
