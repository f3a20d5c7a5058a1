//! How long to wait before the next try, and saying why.

use std::time::Duration;

use edgeplug_protocol::retry::Retry;

use super::{Connect, Next, State};
use crate::Step;
use crate::backoff::Backoff;
use crate::event::{Failure, FailureKind};
use crate::status::Trouble;

/// Waits begin at this when the portal refuses the device until somebody acts there.
const SLOW_WAIT: Duration = Duration::from_secs(60);
/// And this long, less up to a half, when only a new configuration can help: it is asked all the same, because portals err.
const HOPELESS_WAIT: Duration = Duration::from_secs(30 * 60);

/// When to try again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) retry: Retry,
    /// What a server asked for.
    pub(super) after: Option<Duration>,
}

impl Connect {
    pub(super) fn wait(&mut self, failure: Failure, then: Next, step: &mut Step<'_>) {
        self.wait_at(Pace { retry: Retry::Soon, after: None }, failure, then, step);
    }

    pub(super) fn wait_at(&mut self, pace: Pace, mut failure: Failure, then: Next, step: &mut Step<'_>) {
        if self.is_unwanted() && self.open.is_none() {
            tracing::debug!(reason = failure.text, "not tried again, because no connection is wanted");
            return self.left(step);
        }
        if failure.kind == FailureKind::Certificate && !step.clock.is_known(step.now) {
            failure.text.push_str("; the time of day is not known, and a wrong clock makes good certificates look bad");
        }
        if pace.retry == Retry::Never {
            failure.text.push_str("; until that changes it is asked again only now and then");
        }
        let wait = wait_time(&mut self.backoff, pace, step.rng);
        let trouble = Trouble { kind: failure.kind, text: failure.text };
        if self.trouble.as_ref() == Some(&trouble) {
            tracing::debug!(reason = trouble.text, retry_in_s = wait.as_secs_f64(), "still not connected");
        } else if self.open.is_some() {
            tracing::warn!(reason = trouble.text, retry_in_s = wait.as_secs_f64(), "the token cannot be renewed yet");
        } else {
            tracing::warn!(reason = trouble.text, retry_in_s = wait.as_secs_f64(), "not connected");
        }
        self.trouble = Some(trouble);
        self.state = State::Waiting { until: step.now.monotonic + wait, then };
    }
}

/// How long to wait before the next try.
pub(super) fn wait_time(backoff: &mut Backoff, pace: Pace, rng: &mut fastrand::Rng) -> Duration {
    if pace.retry == Retry::Slow {
        backoff.begin_at(SLOW_WAIT);
    }
    let wait = backoff.next(rng);
    let least = match pace.retry {
        Retry::Never => HOPELESS_WAIT.mul_f64(0.5 + rng.f64() / 2.0),
        Retry::Soon | Retry::Slow => Duration::ZERO,
    };
    wait.max(least).max(pace.after.unwrap_or_default())
}
