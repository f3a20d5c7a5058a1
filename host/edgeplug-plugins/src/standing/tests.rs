use std::time::{Duration, Instant};

use super::{BRIEF, RECOVERED, SHORT, SHORT_CALLS, Standing, Used};
use crate::lane::Lane;

struct Plugin {
    standing: Standing,
    now: Instant,
    said: Vec<String>,
}

impl Plugin {
    fn new() -> Self {
        let now = Instant::now();
        Self { standing: Standing::at(now, true), now, said: Vec::new() }
    }

    /// One call and the rest after it.
    fn call(&mut self, cpu: Duration, rest: Duration) -> Lane {
        let lane = self.lane();
        self.now += cpu;
        let used = Used { uncharged: cpu, cpu, overran: false, is_usual: true };
        self.said.extend(self.standing.ended_at(used, self.now));
        self.now += rest;
        lane
    }

    fn lane(&self) -> Lane {
        let mut inner = self.standing.lock();
        inner.charge(Duration::ZERO, self.now);
        inner.lane()
    }
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_plugin_that_keeps_to_its_share_never_leaves_its_lane() {
    let mut plugin = Plugin::new();
    for _ in 0..10_000 {
        assert_eq!(plugin.call(SHORT / 2, SHORT * 2), Lane::Fast);
    }
    assert!(plugin.said.is_empty());
}

#[test]
fn a_second_of_computing_each_minute_is_no_offence() {
    let mut plugin = Plugin::new();
    plugin.call(1000 * MS, 59_000 * MS);
    for _ in 0..100 {
        assert_eq!(plugin.call(1000 * MS, 59_000 * MS), Lane::Slow);
    }
}

#[test]
fn more_than_the_share_is_said_once_and_forgiven_after_a_rest() {
    let mut plugin = Plugin::new();
    let calls = (0..1000).take_while(|_| plugin.call(10 * MS, 10 * MS) != Lane::Idle).count();
    // Half a core: a quarter too much eats two seconds in eight.
    assert!((380..=420).contains(&calls), "{calls}");
    for _ in 0..1000 {
        plugin.call(10 * MS, 10 * MS);
    }
    assert_eq!(plugin.said.len(), 1, "{:?}", plugin.said);
    assert!(plugin.said[0].contains("25 %") && plugin.said[0].contains("limits.cpu_percent"), "{:?}", plugin.said);
    assert_eq!(plugin.lane(), Lane::Idle);
    // From less than nothing by a full burst, at a quarter of the time.
    plugin.now += (Duration::from_secs(2) + RECOVERED) * 4;
    assert_eq!(plugin.lane(), Lane::Slow);
}

#[test]
fn a_slow_plugin_is_trusted_again_after_short_calls_in_a_row() {
    let mut plugin = Plugin::new();
    plugin.call(SHORT, 100 * MS);
    for _ in 0..SHORT_CALLS - 1 {
        assert_eq!(plugin.call(BRIEF, 100 * MS), Lane::Slow);
    }
    plugin.call(SHORT, 100 * MS);
    for _ in 0..SHORT_CALLS {
        assert_eq!(plugin.call(BRIEF, 100 * MS), Lane::Slow);
    }
    assert_eq!(plugin.lane(), Lane::Fast);
}

#[test]
fn after_an_overrun_calls_wait_for_an_idle_machine_until_one_ends_in_time() {
    let mut plugin = Plugin::new();
    let overrun = Used { uncharged: MS, cpu: MS, overran: true, is_usual: true };
    plugin.standing.ended_at(overrun, plugin.now);
    let restart = Used { uncharged: MS, cpu: MS, overran: false, is_usual: false };
    plugin.standing.ended_at(restart, plugin.now);
    assert_eq!(plugin.call(BRIEF, MS), Lane::Idle, "a restart forgives nothing");
    assert_eq!(plugin.lane(), Lane::Slow);
}

#[test]
fn a_slow_start_says_nothing_about_calls() {
    let plugin = Plugin::new();
    let start = Used { uncharged: 500 * MS, cpu: 500 * MS, overran: false, is_usual: false };
    plugin.standing.ended_at(start, plugin.now);
    assert_eq!(plugin.lane(), Lane::Fast);
}

#[test]
fn calls_are_measured_exactly_once_they_are_worth_it() {
    let mut plugin = Plugin::new();
    plugin.call(BRIEF / 2, MS);
    assert!(!plugin.standing.begin().1);
    plugin.call(BRIEF, MS);
    assert!(plugin.standing.begin().1);
    for _ in 0..super::EXACT_CALLS {
        plugin.call(BRIEF / 2, MS);
    }
    assert!(!plugin.standing.begin().1);
}

#[test]
fn in_a_trial_nobody_is_judged_by_the_share() {
    let now = Instant::now();
    let mut plugin = Plugin { standing: Standing::at(now, false), now, said: Vec::new() };
    for _ in 0..100 {
        plugin.call(1000 * MS, Duration::ZERO);
    }
    assert_eq!((plugin.lane(), plugin.said.len()), (Lane::Slow, 0));
}
