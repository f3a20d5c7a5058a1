//! Answers scripted ahead of time: the next ones go out in order, then the endpoint behaves again.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::SCRIPT_MAX;

/// What of IoTConnect answers a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `GET /api/sdk/…`
    Discovery,
    /// `POST /api/2.0/agent/sync`
    Sync,
    /// `GET /api/v2.1/dsdk/…`
    DiscoveryV21,
    /// `GET /api/2.1/agent/device-identity/…`
    Identity,
    /// The identity messages of 2.1 (200 to 222), which come and are answered over the hub.
    IdentityMessage,
}

/// One scripted answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Sync: every object null, with this `rc` and `ds`. 2.1: no content, with this `ec`.
    ResultCode(i64),
    /// `{"status":…,"message":…}` at the top, no `d`.
    Status {
        /// The number in `status`.
        status: i64,
        /// The text in `message`.
        message: String,
    },
    /// HTTP 200 with a body that is not JSON.
    NotJson,
    /// This HTTP status with an HTML body; over the hub, no answer.
    Http(u16),
    /// No answer for this long, then the connection is cut; over the hub, no answer.
    HangMs(u64),
    /// The connection is cut at once.
    Cut,
    /// The right answer, but for this key, such as `sc`, which is missing in its `d`.
    Missing(String),
    /// The right answer, so that a script can have a good one in between.
    Right,
    /// HTTP 200 with this body.
    Body(String),
}

pub(crate) struct Script<T>(VecDeque<T>);

impl<T> Default for Script<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Script<T> {
    pub(crate) fn extend(&mut self, answers: impl IntoIterator<Item = T>) -> anyhow::Result<()> {
        for answer in answers {
            anyhow::ensure!(self.0.len() < SCRIPT_MAX, "at most {SCRIPT_MAX} answers can wait");
            self.0.push_back(answer);
        }
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    /// The first one that `fits`, whatever stands before it.
    pub(crate) fn take(&mut self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.0.iter().position(fits)?;
        self.0.remove(index)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A hang is ended by the client's patience, this only keeps a forgotten one from living on.
pub(crate) const HANG_MAX: Duration = Duration::from_secs(600);
