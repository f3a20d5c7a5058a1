//! The owner thread's end of the event channel.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use tokio::sync::mpsc;

use crate::event::OutboxEvent;

/// Sends events, waiting for room until the outbox is being closed. Must be used from the thread that closing unparks.
pub(crate) struct Emitter {
    events: mpsc::Sender<OutboxEvent>,
    closing: Arc<AtomicBool>,
}

impl Emitter {
    pub(crate) fn new(events: mpsc::Sender<OutboxEvent>, closing: Arc<AtomicBool>) -> Self {
        Self { events, closing }
    }

    /// An event that nobody can take any more is dropped: at closing, and when the receiver is gone. That equals a
    /// crash after the commit, which is a legal end.
    pub(crate) fn emit(&self, event: OutboxEvent) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut room = pin!(self.events.reserve());
        loop {
            match room.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(Ok(permit)) => return permit.send(event),
                Poll::Ready(Err(_)) => return tracing::debug!(?event, "nobody listens to the outbox"),
                Poll::Pending if self.closing.load(Ordering::Acquire) => {
                    return tracing::debug!(?event, "no room for an event while closing");
                }
                Poll::Pending => thread::park(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
