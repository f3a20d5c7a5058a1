//! What became of a component that was put into a directory, asked by whoever put it there.
//!
//! What must stay true: an answer is about the files as they were at a look that began after the question came, or later.

use tokio::sync::oneshot;

use crate::status::Trust;

/// Questions waiting, and as many being looked into. Each is an update over the air that was just handed over.
pub(crate) const QUESTIONS_MAX: usize = 16;

/// A question on its way to the keeper.
pub(crate) struct Question {
    pub(crate) plugin: String,
    pub(crate) sha256: String,
    pub(crate) done: oneshot::Sender<Trust>,
}
