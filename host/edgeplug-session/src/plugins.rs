//! When each plugin is sampled. The host owns the schedule: a plugin that is slow misses ticks, it never delays others.

use std::collections::BTreeMap;
use std::time::Duration;

use edgeplug_protocol::sample::{INTERVAL_MIN, Sample};

use crate::event::{CallFailure, PluginUp};
use crate::status::Schedule;
use crate::{Action, CallId, Now, Step, World};

/// Different failures of one plugin that are said at WARN: whoever finds new words for each floods the log. The plugin's
/// own log has them all.
const FAILURES_SAID_MAX: u64 = 20;

/// All plugins with something to sample.
#[derive(Default)]
pub(crate) struct Plugins {
    timers: BTreeMap<String, Timer>,
}

struct Timer {
    interval: Duration,
    due: Duration,
    /// The call under way.
    running: Option<CallId>,
    skipped: u64,
    failed: u64,
    /// The last failure's words: the same ones again are no news.
    failure: Option<String>,
    failures_said: u64,
}

impl Plugins {
    pub(crate) fn up(&mut self, up: PluginUp, now: Now) {
        let Some(interval) = up.interval.map(|interval| interval.max(INTERVAL_MIN)) else {
            self.timers.remove(&up.plugin);
            return;
        };
        // A swapped plugin keeps its rhythm; a new one is sampled at once.
        let due = match self.timers.get(&up.plugin) {
            Some(timer) if timer.interval == interval => timer.due,
            _ => now.monotonic,
        };
        self.timers.insert(
            up.plugin,
            Timer { interval, due, running: None, skipped: 0, failed: 0, failure: None, failures_said: 0 },
        );
    }

    pub(crate) fn down(&mut self, plugin: &str) {
        self.timers.remove(plugin);
    }

    /// The readings, unless the call is one we no longer wait for.
    pub(crate) fn sampled(
        &mut self,
        plugin: &str,
        call: CallId,
        result: Result<Vec<Sample>, CallFailure>,
    ) -> Option<Vec<Sample>> {
        let timer = self.timers.get_mut(plugin);
        match (result, timer) {
            // Readings of a call from before a swap are readings all the same.
            (Ok(samples), timer) => {
                if let Some(timer) = timer.filter(|timer| timer.running == Some(call)) {
                    timer.running = None;
                    timer.failure = None;
                }
                (!samples.is_empty()).then_some(samples)
            }
            (Err(failure), Some(timer)) => {
                if timer.running == Some(call) {
                    timer.running = None;
                }
                timer.failed += 1;
                if timer.failure.as_ref() != Some(&failure.0) && timer.failures_said < FAILURES_SAID_MAX {
                    timer.failures_said += 1;
                    tracing::warn!(plugin, %failure, failed = timer.failed, "sampling failed");
                    timer.failure = Some(failure.0);
                }
                None
            }
            (Err(_), None) => None,
        }
    }

    pub(crate) fn advance(&mut self, step: &mut Step<'_>) {
        if step.world.stopped.is_some() {
            return;
        }
        let now = step.now.monotonic;
        for (plugin, timer) in &mut self.timers {
            if now < timer.due {
                continue;
            }
            timer.due = next_due(timer.due, timer.interval, now);
            if timer.running.is_some() {
                timer.skipped += 1;
                continue;
            }
            let call = CallId(step.ticket().0);
            timer.running = Some(call);
            step.act(Action::Sample { plugin: plugin.clone(), call });
        }
    }

    /// Nobody is sampled while the cloud has stopped the device.
    pub(crate) fn timeout(&self, world: &World) -> Option<Duration> {
        self.timers.values().map(|timer| timer.due).min().filter(|_| world.stopped.is_none())
    }

    pub(crate) fn schedules(&self, now: Now) -> Vec<Schedule> {
        let schedule = |(plugin, timer): (&String, &Timer)| Schedule {
            plugin: plugin.clone(),
            interval_s: timer.interval.as_secs_f64(),
            next_in_s: timer.due.saturating_sub(now.monotonic).as_secs_f64(),
            skipped: timer.skipped,
            failed: timer.failed,
        };
        self.timers.iter().map(schedule).collect()
    }
}

/// The next tick on the plugin's own grid that lies in the future.
fn next_due(due: Duration, interval: Duration, now: Duration) -> Duration {
    let next = due + interval;
    if next > now {
        return next;
    }
    let missed = now.saturating_sub(due).as_nanos() / interval.as_nanos().max(1) + 1;
    due + interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX))
}
