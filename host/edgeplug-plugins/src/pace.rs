//! How often a guest may say something that nobody waits for.

use std::time::{Duration, Instant};

/// Messages in one window: more than anybody can follow.
const MESSAGES_PER_WINDOW: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// One per instance.
pub(crate) struct Pace {
    window_started: Instant,
    messages: u32,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { window_started: Instant::now(), messages: 0 }
    }

    pub(crate) fn admit(&mut self) -> bool {
        if self.window_started.elapsed() >= WINDOW {
            *self = Self::new();
        }
        self.messages += 1;
        self.messages <= MESSAGES_PER_WINDOW
    }
}
