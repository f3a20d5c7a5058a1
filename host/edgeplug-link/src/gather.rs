//! Reads acknowledgements in company.
//!
//! A broker that sends every PUBACK as a segment of its own wakes this side for a few of them at a time, and each waking
//! costs more than the PUBACK. While reads follow each other closely, the kernel is asked to wake us only for a handful
//! (`SO_RCVLOWAT`, socket(7)). When the handful does not come within a millisecond, the stream is as it was.
//!
//! What must stay true: nothing that was received waits longer than [`PATIENCE`] and the timer's millisecond; the end of
//! the stream is not held back at all (the kernel wakes for it whatever the mark).

use std::{
    io,
    os::fd::AsRawFd as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// What a PUBACK takes as a TLS record: four bytes, and 22 around them in TLS 1.3.
const PUBACK_BYTES: u16 = 26;
/// Of the publishes that may be in flight this part makes a handful: small enough that the broker has plenty left to
/// acknowledge while it waits for us. Measured with a window of 100: four save half of what eight do, sixteen no more.
const WINDOW_PART: u16 = 12;
/// So many reads within so long make the stream a busy one. A wrong guess costs [`PATIENCE`] once for so many.
const BUSY_READS: u32 = 16;
const BUSY_TIME: Duration = Duration::from_micros(1_600);
/// How long a handful may take to come.
const PATIENCE: Duration = Duration::from_millis(1);

/// A TCP stream that waits for a handful of PUBACKs while it is busy.
pub(crate) struct Gather {
    tcp: TcpStream,
    /// Bytes of a handful.
    handful: u16,
    gathering: bool,
    /// Reads since the clock was looked at.
    reads: u32,
    since: Instant,
    /// Runs while a handful is waited for; reused, since arming a timer is not free.
    timer: Pin<Box<Sleep>>,
    waiting: bool,
}

impl Gather {
    /// `window` is how many publishes may be in flight.
    pub(crate) fn new(tcp: TcpStream, window: u16) -> Self {
        Self {
            tcp,
            handful: (window / WINDOW_PART).saturating_mul(PUBACK_BYTES),
            gathering: false,
            reads: 0,
            since: Instant::now(),
            timer: Box::pin(sleep(PATIENCE)),
            waiting: false,
        }
    }

    fn was_read(&mut self) {
        self.waiting = false;
        if self.gathering {
            return;
        }
        self.reads += 1;
        if self.reads < BUSY_READS {
            return;
        }
        let now = Instant::now();
        let is_busy = now.duration_since(self.since) < BUSY_TIME;
        (self.reads, self.since) = (0, now);
        // A handful of one or none gains nothing.
        if is_busy && self.handful > PUBACK_BYTES {
            self.gathering = wake_at(&self.tcp, self.handful).is_ok();
        }
    }
}

impl AsyncRead for Gather {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Poll::Ready(read) = Pin::new(&mut self.tcp).poll_read(cx, buffer) {
                self.was_read();
                return Poll::Ready(read);
            }
            if !self.gathering {
                return Poll::Pending;
            }
            if !self.waiting {
                self.waiting = true;
                self.timer.as_mut().reset(Instant::now() + PATIENCE);
            }
            ready!(self.timer.as_mut().poll(cx));
            // Lowering the mark wakes for what is there already.
            wake_at(&self.tcp, 1)?;
            (self.gathering, self.waiting) = (false, false);
        }
    }
}

impl AsyncWrite for Gather {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Has the kernel wake a reader only when so many bytes are there.
#[expect(unsafe_code, reason = "no crate of ours has this socket option in a safe form")]
fn wake_at(tcp: &TcpStream, bytes: u16) -> io::Result<()> {
    let bytes = libc::c_int::from(bytes);
    let length = libc::socklen_t::try_from(size_of_val(&bytes)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as the stream is borrowed, and the value is an int of the length said.
    let result = unsafe {
        libc::setsockopt(tcp.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, (&raw const bytes).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
