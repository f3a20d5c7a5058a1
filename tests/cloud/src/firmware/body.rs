//! The body of an answer: bytes at a pace, and how they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use crate::changes::Changes;
use crate::script::HANG_MAX;

/// Handed to the connection at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// A slow body moves so often.
const TICK: Duration = Duration::from_millis(50);
/// The server drops what it has not yet written when a body fails; loopback needs no more to take it.
const FLUSH: Duration = Duration::from_millis(50);

/// What is to be sent.
pub(super) struct Course {
    pub(super) content: Bytes,
    /// In bytes a second.
    pub(super) pace: Option<u64>,
    pub(super) end: End,
    /// Counts the bytes handed to the connection.
    pub(super) sent: Arc<AtomicU64>,
    pub(super) changes: Changes,
}

/// How a body ends once its bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Complete,
    /// With the connection.
    Cut,
    /// Not at all.
    Stall,
}

/// Ends the connection that a body is written to.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
struct CutOnPurpose;

pub(super) fn body(course: Course) -> Body {
    Body::from_stream(stream::unfold(course, next))
}

async fn next(mut course: Course) -> Option<(Result<Bytes, CutOnPurpose>, Course)> {
    if course.content.is_empty() {
        match course.end {
            End::Complete => return None,
            End::Cut => tokio::time::sleep(FLUSH).await,
            End::Stall => tokio::time::sleep(HANG_MAX).await,
        }
        return Some((Err(CutOnPurpose), course));
    }
    let mut size = CHUNK_BYTES.min(course.content.len());
    if let Some(bytes_a_second) = course.pace {
        // Below one byte a tick it is the ticks that get longer.
        let wait = TICK.max(Duration::from_secs(1) / u32::try_from(bytes_a_second.max(1)).unwrap_or(u32::MAX));
        tokio::time::sleep(wait).await;
        let of_tick = u128::from(bytes_a_second) * wait.as_millis() / 1000;
        size = size.min(usize::try_from(of_tick).unwrap_or(usize::MAX).max(1));
    }
    let chunk = course.content.split_to(size);
    course.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    course.changes.ring();
    Some((Ok(chunk), course))
}
