//! What a service manager is told: readiness, state in words, signs of life, the end (`sd_notify(3)`).
//!
//! The main loop speaks once a turn and wakes for it, so a loop that hangs falls silent and is restarted. Without a
//! service manager nothing is said and nobody is woken. One that does not listen is not waited for, which is why this is
//! no crate: those send on a blocking socket.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::Instant;

/// The state in words changes at most so often.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Longest state in words; a service manager shows one line.
const STATUS_CHARS_MAX: usize = 300;

/// The voice to the service manager.
pub(crate) struct Service {
    /// Where it listens; `None` where there is none.
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Half of what the watchdog allows; `None` where there is none.
    alive_every: Option<Duration>,
    alive_due: Instant,
    /// The state in words that was said last.
    said: String,
    status_due: Instant,
    /// Something happened since the state was last looked at.
    changed: bool,
}

impl Service {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        let socket = std::env::var("NOTIFY_SOCKET").ok().and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(name, %error, "the service manager cannot be told anything");
                None
            }
        });
        let watchdog = || -> Option<Duration> {
            let own = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
            let limit_us = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
            own.then(|| Duration::from_micros(limit_us) / 2).filter(|every| !every.is_zero())
        };
        Self {
            alive_every: watchdog().filter(|_| socket.is_some()),
            socket,
            alive_due: now,
            said: String::new(),
            status_due: now,
            changed: true,
        }
    }

    /// The main loop runs and the API answers.
    pub(crate) fn ready(&self) {
        self.say("READY=1");
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Every turn of the main loop ends here.
    pub(crate) fn turn(&mut self, status: impl FnOnce() -> String) {
        if self.socket.is_none() {
            return;
        }
        let now = Instant::now();
        if let Some(every) = self.alive_every
            && now >= self.alive_due
        {
            self.alive_due = now + every;
            self.say("WATCHDOG=1");
        }
        if now < self.status_due {
            self.changed = true;
            return;
        }
        self.status_due = now + STATUS_EVERY;
        self.changed = false;
        let status = one_line(&status());
        if status != self.said && self.say(&format!("STATUS={status}")) {
            self.said = status;
        }
    }

    /// When the next turn is due even if nothing happens.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let status = (self.socket.is_some() && self.changed).then_some(self.status_due);
        status.into_iter().chain(self.alive_every.map(|_| self.alive_due)).min()
    }

    /// Whether it was heard.
    fn say(&self, what: &str) -> bool {
        let Some((socket, address)) = &self.socket else { return false };
        let sent = socket.send_to_addr(what.as_bytes(), address);
        if let Err(error) = &sent {
            tracing::debug!(%error, what, "the service manager does not listen");
        }
        sent.is_ok()
    }
}

/// A path, or a name in the abstract namespace after an `@`.
fn connect(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// The protocol is made of lines, and parts of the text come from the network.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(STATUS_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
