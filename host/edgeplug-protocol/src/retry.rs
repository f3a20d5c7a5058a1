//! Whether asking the cloud again helps.

/// What a refusal means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// A hiccup: with the usual backoff.
    Soon,
    /// Somebody has to do something at the portal first: with long waits.
    Slow,
    /// Not before the configuration changes.
    Never,
}

impl Retry {
    /// For an HTTP status other than 200.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            408 | 429 | 500.. => Self::Soon,
            _ => Self::Slow,
        }
    }
}
