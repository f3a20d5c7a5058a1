//! Filters: plugins that see other plugins' readings before anything else does, where the operator wired it.
//!
//! Readings handed over together are a batch and stay one. A batch goes through the filters of its source, one after the
//! other; what the last gives back is read like any reading, under its source's name.
//!
//! What must stay true:
//! * Batches of a source leave in the order they came: the first waits for a filter or is with one, the others wait for it.
//! * Whoever offered is answered once, with one outcome for each sample it gave: the worst of what its batch became, and
//!   [`Outcome::HeldBack`] where a filter left nothing of it.
//! * A filter that is missing, fails or is silent delays nobody for long: what becomes of readings then is the operator's
//!   choice ([`TransformFailure`]), and a silent one is not asked again for a while.
//! * What waits is bounded: batches of a source, and bytes of all sources.
//!
//! Nothing here is in custody: a crash loses what waits, and nobody was told that it was accepted.
//!
//! Deliberately absent: filtering the readings of a filter by itself, which would never end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;

use crate::action::Outcome;
use crate::config::{SessionConfig, TransformFailure};
use crate::event::CallFailure;
use crate::frequency;
use crate::status::{FilterTrouble, TransformStatus};
use crate::{Action, CallId, Now, OfferId, Step};

/// Batches of one source that wait: a filter that computes for its whole second keeps ahead of most sources with less.
const WAITING_MAX: usize = 64;
/// Bytes of everything that waits. A plugin hands over at most a quarter of a megabyte at once.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Calls to one filter under way. It works on one at a time; the next ones lie ready.
const CALLS_MAX: usize = 4;
/// How long a filter may take. Its own deadlines are shorter, as a rule; this one guards against silence.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How long readings wait for a filter that is still being loaded at the start.
const LOAD_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a filter that was silent is left alone.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Transform {
    /// What waits, by source, never empty.
    sources: BTreeMap<String, VecDeque<Batch>>,
    /// The bytes of all that.
    bytes: usize,
    filters: BTreeMap<String, Filter>,
    calls: BTreeMap<CallId, Call>,
    /// Offers whose batch went on, and how many samples they were.
    offers: BTreeMap<OfferId, usize>,
    /// Every plugin that was present at the start has been tried.
    loaded: bool,
    /// Until then readings wait for filters that are not; set by the first that does.
    load_until: Option<Duration>,
    stopping: bool,
    counts: TransformStatus,
}

/// Readings that were handed over together.
struct Batch {
    offer: Option<OfferId>,
    /// How many samples the source gave.
    given: usize,
    /// As the filters so far left them.
    samples: Vec<Sample>,
    /// How many filters are behind it.
    stage: usize,
    taken: Duration,
    bytes: usize,
}

#[derive(Default)]
struct Filter {
    up: bool,
    /// Calls under way.
    calls: usize,
    /// Sources whose first batch waits for a call, each once.
    queue: VecDeque<String>,
    /// It was silent and is left alone until then.
    silent_until: Duration,
    /// Why it did not do its work the last time.
    trouble: Option<String>,
}

/// The first batch of `source` is with `filter`.
struct Call {
    source: String,
    filter: String,
    until: Duration,
}

/// A batch that is through.
pub(crate) struct Released {
    pub(crate) source: String,
    pub(crate) offer: Option<OfferId>,
    /// How many samples the source gave.
    pub(crate) given: usize,
    /// What became of them, or why they are not taken.
    pub(crate) result: Result<Vec<Sample>, String>,
}

impl Transform {
    /// Whether these readings go through here at all.
    pub(crate) fn concerns(source: &str, samples: &[Sample], config: &SessionConfig) -> bool {
        !samples.is_empty() && config.transforms.of(source).next().is_some()
    }

    pub(crate) fn take(
        &mut self,
        source: &str,
        offer: Option<OfferId>,
        samples: Vec<Sample>,
        step: &mut Step<'_>,
    ) -> Vec<Released> {
        let mut released = Vec::new();
        let bytes = samples.iter().map(frequency::sample_size).sum::<usize>();
        let waiting = self.sources.get(source).map_or(0, VecDeque::len);
        let given = samples.len();
        if waiting >= WAITING_MAX || self.bytes + bytes > WAITING_BYTES_MAX {
            let reason = format!(
                "the filters of {source} are behind ({}); send less or later",
                step.config.transforms.of(source).collect::<Vec<_>>().join(", ")
            );
            if self.counts.behind == 0 {
                tracing::warn!(source, reason, "readings are not taken");
            }
            self.counts.behind += given as u64;
            released.push(Released { source: source.to_owned(), offer, given, result: Err(reason) });
            return released;
        }
        let batch = Batch { offer, given, samples, stage: 0, taken: step.now.monotonic, bytes };
        self.bytes += bytes;
        self.sources.entry(source.to_owned()).or_default().push_back(batch);
        if waiting == 0 {
            self.proceed(source, step, &mut released);
        }
        released
    }

    /// A filter's answer.
    pub(crate) fn transformed(
        &mut self,
        call: CallId,
        result: Result<Vec<Sample>, CallFailure>,
        step: &mut Step<'_>,
    ) -> Vec<Released> {
        let mut released = Vec::new();
        let Some(Call { source, filter, .. }) = self.end_call(call) else { return released };
        match result {
            Ok(samples) => self.filtered(&source, &filter, samples),
            Err(CallFailure(reason)) => self.failed(&source, &filter, &reason, step, &mut released),
        }
        self.proceed(&source, step, &mut released);
        self.feed(&filter, step, &mut released);
        released
    }

    pub(crate) fn plugin_up(&mut self, plugin: &str, step: &mut Step<'_>) -> Vec<Released> {
        let mut released = Vec::new();
        if step.config.transforms.is_filter(plugin) {
            let filter = self.filters.entry(plugin.to_owned()).or_default();
            (filter.up, filter.silent_until) = (true, Duration::ZERO);
            self.feed(plugin, step, &mut released);
        }
        released
    }

    /// Calls under way are answered all the same.
    pub(crate) fn plugin_down(&mut self, plugin: &str, step: &mut Step<'_>) -> Vec<Released> {
        let mut released = Vec::new();
        if let Some(filter) = self.filters.get_mut(plugin) {
            filter.up = false;
            self.feed(plugin, step, &mut released);
        }
        released
    }

    /// Who is not there by now is missing.
    pub(crate) fn plugins_scanned(&mut self, step: &mut Step<'_>) -> Vec<Released> {
        self.loaded = true;
        self.load_until = None;
        let mut released = Vec::new();
        self.feed_all(step, &mut released);
        released
    }

    /// Gives up what was waited for too long.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>) -> Vec<Released> {
        let mut released = Vec::new();
        let now = step.now.monotonic;
        if self.timeout().is_none_or(|at| now < at) {
            return released;
        }
        let silent: Vec<_> = self.calls.iter().filter(|(_, call)| call.until <= now).map(|(id, _)| *id).collect();
        for call in silent {
            let Some(Call { source, filter, .. }) = self.end_call(call) else { continue };
            if let Some(filter) = self.filters.get_mut(&filter) {
                filter.silent_until = now + SILENCE;
            }
            let reason = format!("no answer within {} s", ANSWER_TIME_MAX.as_secs());
            self.failed(&source, &filter, &reason, step, &mut released);
            self.proceed(&source, step, &mut released);
        }
        if self.load_until.is_some_and(|until| until <= now) {
            (self.loaded, self.load_until) = (true, None);
        }
        self.feed_all(step, &mut released);
        released
    }

    /// The daemon stops: what is not through by now goes on as if its filters had failed.
    pub(crate) fn end_all(&mut self, step: &mut Step<'_>) -> Vec<Released> {
        self.stopping = true;
        let mut released = Vec::new();
        for Call { source, filter, .. } in std::mem::take(&mut self.calls).into_values() {
            self.failed(&source, &filter, STOPPING, step, &mut released);
            self.proceed(&source, step, &mut released);
        }
        self.feed_all(step, &mut released);
        released
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let waits = self.filters.values().any(|filter| !filter.queue.is_empty());
        let calls = self.calls.values().map(|call| call.until);
        calls.chain(self.load_until.filter(|_| waits)).min()
    }

    /// This offer is answered for its samples as they are now, not as they were given.
    pub(crate) fn reshape(&mut self, offer: OfferId, given: usize) {
        self.offers.insert(offer, given);
    }

    /// An action on its way out: an answer becomes one for the samples that were given.
    pub(crate) fn reword(&mut self, action: &mut Action) {
        if !self.offers.is_empty()
            && let Action::AnswerOffer { offer, outcomes } = action
            && let Some(given) = self.offers.remove(offer)
        {
            let worst = std::mem::take(outcomes).into_iter().max_by_key(badness).unwrap_or(Outcome::HeldBack);
            *outcomes = vec![worst; given];
        }
    }

    pub(crate) fn status(&self) -> TransformStatus {
        let troubled = self.filters.iter().filter_map(|(plugin, filter)| {
            Some(FilterTrouble { plugin: plugin.clone(), reason: filter.trouble.clone()? })
        });
        TransformStatus {
            waiting: self.sources.values().map(|waiting| waiting.len() as u64).sum(),
            trouble: troubled.collect(),
            ..self.counts.clone()
        }
    }

    /// Brings the first batch of a source, which waits for nothing, as far as it gets, and then those behind it.
    fn proceed(&mut self, source: &str, step: &mut Step<'_>, released: &mut Vec<Released>) {
        let config = step.config;
        while let Some(batch) = self.sources.get(source).and_then(VecDeque::front) {
            let next = config.transforms.of(source).nth(batch.stage).filter(|_| !batch.samples.is_empty());
            let Some(name) = next else {
                self.release(source, step, released);
                continue;
            };
            if let Err(reason) = self.may_wait_for(name, step.now.monotonic) {
                self.failed(source, name, &reason, step, released);
                continue;
            }
            // Behind the others, also where it is the next batch of one that was just served.
            self.filters.entry(name.to_owned()).or_default().queue.push_back(source.to_owned());
            return self.call_next(name, step);
        }
        self.sources.remove(source);
    }

    /// Whether the filter can be called, or will be soon; otherwise why not.
    fn may_wait_for(&mut self, name: &str, now: Duration) -> Result<(), String> {
        let filter = self.filters.entry(name.to_owned()).or_default();
        if self.stopping {
            return Err(STOPPING.to_owned());
        }
        if !filter.up && (self.loaded || now >= *self.load_until.get_or_insert(now + LOAD_TIME_MAX)) {
            return Err("it is not running".to_owned());
        }
        if now < filter.silent_until {
            return Err("it did not answer in time and is left alone for a while".to_owned());
        }
        Ok(())
    }

    /// Hands a filter what waits for it, as much as it may have at once.
    fn call_next(&mut self, name: &str, step: &mut Step<'_>) {
        while let Some(filter) = self.filters.get_mut(name).filter(|filter| filter.up && filter.calls < CALLS_MAX)
            && let Some(source) = filter.queue.pop_front()
        {
            let Some(batch) = self.sources.get(&source).and_then(VecDeque::front) else { continue };
            filter.calls += 1;
            let (call, samples) = (CallId(step.ticket().0), batch.samples.clone());
            step.act(Action::Transform { plugin: name.to_owned(), call, samples });
            let until = step.now.monotonic + ANSWER_TIME_MAX;
            self.calls.insert(call, Call { source, filter: name.to_owned(), until });
        }
    }

    /// Something changed for a filter: those who wait for it are served, or wait no longer.
    fn feed(&mut self, name: &str, step: &mut Step<'_>, released: &mut Vec<Released>) {
        if self.may_wait_for(name, step.now.monotonic).is_ok() {
            return self.call_next(name, step);
        }
        let waiting = self.filters.get_mut(name).map(|filter| std::mem::take(&mut filter.queue));
        for source in waiting.into_iter().flatten() {
            self.proceed(&source, step, released);
        }
    }

    fn feed_all(&mut self, step: &mut Step<'_>, released: &mut Vec<Released>) {
        let waited_for = self.filters.iter().filter(|(_, filter)| !filter.queue.is_empty());
        let names: Vec<_> = waited_for.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.feed(&name, step, released);
        }
    }

    fn end_call(&mut self, call: CallId) -> Option<Call> {
        let call = self.calls.remove(&call)?;
        if let Some(filter) = self.filters.get_mut(&call.filter) {
            filter.calls = filter.calls.saturating_sub(1);
        }
        Some(call)
    }

    /// The first batch of the source came back from the filter.
    fn filtered(&mut self, source: &str, name: &str, samples: Vec<Sample>) {
        if let Some(filter) = self.filters.get_mut(name)
            && filter.trouble.take().is_some()
        {
            tracing::info!(filter = name, "the filter works again");
        }
        let Some(batch) = self.sources.get_mut(source).and_then(VecDeque::front_mut) else { return };
        let bytes = samples.iter().map(frequency::sample_size).sum::<usize>();
        self.bytes = self.bytes.saturating_sub(batch.bytes) + bytes;
        (batch.samples, batch.bytes) = (samples, bytes);
        batch.stage += 1;
    }

    /// The filter did not do its work on the first batch of the source.
    fn failed(&mut self, source: &str, name: &str, reason: &str, step: &Step<'_>, released: &mut Vec<Released>) {
        let policy = step.config.transforms.failure;
        if let Some(filter) = self.filters.get_mut(name)
            && filter.trouble.as_deref() != Some(reason)
            && !self.stopping
        {
            let what = match policy {
                TransformFailure::Pass => "readings go on without it",
                TransformFailure::Drop => "readings that should go through it are not taken",
            };
            tracing::warn!(filter = name, source, reason, "a filter failed; {what}");
            filter.trouble = Some(reason.to_owned());
        }
        let Some(waiting) = self.sources.get_mut(source) else { return };
        match policy {
            TransformFailure::Pass => {
                if let Some(batch) = waiting.front_mut() {
                    self.counts.unfiltered += batch.samples.len() as u64;
                    batch.stage += 1;
                }
            }
            TransformFailure::Drop => {
                if let Some(Batch { offer, given, bytes, .. }) = waiting.pop_front() {
                    self.bytes = self.bytes.saturating_sub(bytes);
                    self.counts.dropped += given as u64;
                    let result = Err(format!("filter {name} failed: {reason}"));
                    released.push(Released { source: source.to_owned(), offer, given, result });
                }
            }
        }
    }

    /// The first batch of the source is through.
    fn release(&mut self, source: &str, step: &Step<'_>, released: &mut Vec<Released>) {
        let Some(batch) = self.sources.get_mut(source).and_then(VecDeque::pop_front) else { return };
        let Batch { offer, given, mut samples, taken, bytes, .. } = batch;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.counts.filtered += given as u64;
        self.counts.left_nothing += if samples.is_empty() { given as u64 } else { 0 };
        // A sample without a time of its own is of the moment it came, however long the filters took.
        if taken < step.now.monotonic {
            let taken_ms = Now { monotonic: taken, ..step.now }.monotonic_ms();
            if let Some(time) = step.clock.unix_ms_at(taken_ms).map(Timestamp::from_unix_ms) {
                for sample in samples.iter_mut().filter(|sample| sample.time.is_none()) {
                    sample.time = Some(time.clone());
                }
            }
        }
        released.push(Released { source: source.to_owned(), offer, given, result: Ok(samples) });
    }
}

const STOPPING: &str = "the daemon is stopping";

/// Which of several outcomes tells most of what went wrong.
fn badness(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Accepted => 0,
        Outcome::AcceptedInMemory => 1,
        Outcome::AcceptedInPart(_) => 2,
        Outcome::HeldBack => 3,
        Outcome::Rejected(_) => 4,
    }
}

#[cfg(test)]
mod tests;
