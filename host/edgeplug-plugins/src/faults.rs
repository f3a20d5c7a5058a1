//! What a trial breaks on purpose. The daemon breaks nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Every second read of a file or of hardware fails.
    eio: bool,
    /// Every run of digits in a file reads `nan`.
    nan: bool,
    reads: AtomicU64,
}

impl Faults {
    pub(crate) fn new(eio: bool, nan: bool) -> Self {
        Self(Arc::new(Inner { eio, nan, reads: AtomicU64::new(0) }))
    }

    /// The error with which this read shall fail, if it shall.
    pub(crate) fn on_read(&self) -> Option<String> {
        // As the operating system says it (strerror(3), EIO).
        let fails = self.0.eio && self.0.reads.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        fails.then(|| "Input/output error (os error 5)".to_owned())
    }

    /// What a file shall hold instead.
    pub(crate) fn on_content(&self, content: Vec<u8>) -> Vec<u8> {
        if !self.0.nan {
            return content;
        }
        content
            .chunk_by(|one, other| one.is_ascii_digit() == other.is_ascii_digit())
            .flat_map(|run| if run.first().is_some_and(u8::is_ascii_digit) { b"nan" } else { run })
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests;
