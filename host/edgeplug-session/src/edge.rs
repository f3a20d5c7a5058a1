//! What an edge device does in place of reports: windows of its readings, and rules.
//!
//! What must stay true:
//! * A reading is answered as accepted only when the windows it went into are on disk ([`Fact::Windows`]), and so are its
//!   fault and its rule matches. One write is under way at a time; what comes meanwhile rides on the next. Where a write
//!   fails, the reading is called accepted in memory, and the windows are written again later.
//! * A window that is over is in the store before it leaves the fact: a crash in between sends it twice, and none loses it.
//! * Windows outlive the process and the boot, and then go on for what is left of their time. One whose attribute, device
//!   or length the cloud takes away is sent at once.
//! * While the time of day is unknown, no window ends: there would be no moment to say.
//! * One window of an attribute at a time waits for the store; the next one stays open until then. So there are at most
//!   two for each attribute and device.
//!
//! With [`Durability::OfflineOnly`] windows are written down while the link is down and at the end; those stay so until they
//! are sent. With [`Durability::None`] none is, and what is open at the end is sent then.
//!
//! Deliberately absent: the data frequency, which edge devices do not have.

mod kept;
pub(crate) mod rules;
pub(crate) mod windows;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::telemetry::Body;
use edgeplug_protocol::template::Template;
use edgeplug_protocol::time::Timestamp;

pub(crate) use self::rules::{LocalCommand, RuleMatch, Rules};
pub(crate) use self::windows::Fold;
use self::windows::{End, Over, Windows};
use crate::action::Fact;
use crate::config::Durability;
use crate::status::EdgeStatus;
use crate::uplink::{BODY_BYTES_MAX, Code, Uplink};
use crate::{Action, Step, Ticket};

/// Answers that wait for windows; beyond that readings are refused. As many as rows may wait for their commit.
const WAITING_MAX: usize = 4_096;
/// Wait before windows that could not be written down are written again, or their messages are offered to the store again.
const RETRY: Duration = Duration::from_secs(5);
/// Windows up to this size are written down as often as readings come.
const SMALL_BYTES: usize = 16 * 1024;
/// Larger ones at this rate, so that a large gateway does not wear its disk out.
const BYTES_PER_S: usize = 1024 * 1024;

#[derive(Default)]
pub(crate) struct Edge {
    windows: Windows,
    /// By which they are sent.
    template: Option<Arc<Template>>,
    /// Windows that are over and not in the store yet.
    over: Vec<Stored>,
    /// What is open differs from what was last written down.
    dirty: bool,
    /// Something is written down, and some of it is in the store by now.
    on_disk: bool,
    outdated: bool,
    writing: Option<Writing>,
    /// Of samples whose values are in no write yet.
    waiting: Vec<Ticket>,
    /// Not before then is written what could not be.
    retry_at: Duration,
    /// Nor, of large windows, before then.
    write_at: Duration,
    /// Not before then is offered to the store again.
    store_at: Duration,
    /// When something is due.
    wake_at: Option<Duration>,
    /// The store or the ledger refused, and that was said.
    trouble_said: bool,
    closing: bool,
    matches: u64,
}

/// A write of the windows.
struct Writing {
    ticket: Ticket,
    /// Of samples that wait for it.
    batches: Vec<Ticket>,
}

/// The messages of a window that is over.
struct Stored {
    over: Over,
    at_unix_ms: i64,
    code: Code,
    /// `None` until it can be encoded.
    rows: Option<Vec<Row>>,
}

struct Row {
    body: Body,
    ticket: Option<Ticket>,
}

impl Edge {
    /// Takes up the windows of the last run; [`Self::define`] follows when the cloud's definition is known.
    pub(crate) fn restore(&mut self, fact: Option<&Bytes>, step: &mut Step<'_>) {
        let Some(bytes) = fact.filter(|bytes| !bytes.is_empty()) else { return };
        match kept::read(bytes, step) {
            Ok(restored) => {
                self.on_disk = true;
                self.windows.open.extend(restored.open);
                let over = restored.over.into_iter();
                self.over.extend(over.map(|(over, at_unix_ms)| Stored { over, at_unix_ms, code: None, rows: None }));
            }
            Err(error) => tracing::error!(%error, "windows that the last run left cannot be read and are given up"),
        }
    }

    /// The world has a new definition. What it has no place for any more goes by the one before.
    pub(crate) fn define(&mut self, step: &mut Step<'_>) {
        let world = step.world;
        let Some(template) = world.template.as_ref() else { return };
        let before = self.template.replace(Arc::clone(template));
        let with_windows = Some(template.as_ref()).filter(|_| world.is_edge());
        for over in self.windows.define(with_windows, step.now.monotonic) {
            self.close(over, before.as_ref().unwrap_or(template), step);
        }
    }

    /// Takes numbers into their windows. `batch` waits for these to be written down.
    pub(crate) fn fold(&mut self, numbers: Vec<Fold>, batch: Option<Ticket>, step: &mut Step<'_>) {
        for fold in numbers {
            self.windows.fold(fold, step.now.monotonic);
        }
        self.dirty = true;
        self.waiting.extend(batch);
    }

    /// Rules matched.
    pub(crate) fn count_matches(&mut self, matches: usize) {
        self.matches += matches as u64;
    }

    /// Whether more answers may wait for windows.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    /// Answer to a write; says whether it was one of ours.
    pub(crate) fn kept(
        &mut self,
        ticket: Ticket,
        result: &Result<(), String>,
        uplink: &mut Uplink,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(writing) = self.writing.take_if(|writing| writing.ticket == ticket) else { return false };
        if let Err(reason) = result {
            self.complain(reason, "windows cannot be written down and are in memory only; trying again");
            (self.dirty, self.on_disk, self.outdated) = (true, true, true);
            self.retry_at = step.now.monotonic + RETRY;
        }
        for batch in writing.batches {
            uplink.windows_settled(batch, result.is_ok(), step);
        }
        true
    }

    /// Messages of windows are in the store.
    pub(crate) fn stored(&mut self, tickets: &[Ticket]) {
        if tickets.is_empty() {
            return;
        }
        for stored in &mut self.over {
            if let Some(rows) = &mut stored.rows {
                rows.retain(|row| row.ticket.is_none_or(|ticket| !tickets.contains(&ticket)));
            }
        }
        self.forget_stored();
        self.trouble_said = false;
    }

    /// Messages of windows are not.
    pub(crate) fn not_stored(&mut self, tickets: &[Ticket], reason: &str, step: &mut Step<'_>) {
        if tickets.is_empty() {
            return;
        }
        self.complain(reason, "a window cannot be stored; trying again");
        self.store_at = step.now.monotonic + RETRY;
        let rows = self.over.iter_mut().filter_map(|stored| stored.rows.as_mut()).flatten();
        for row in rows.filter(|row| row.ticket.is_some_and(|ticket| tickets.contains(&ticket))) {
            row.ticket = None;
        }
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, uplink: &mut Uplink, step: &mut Step<'_>) {
        self.wake_at = None;
        if !self.dirty && self.windows.open.is_empty() && self.over.is_empty() {
            return;
        }
        if step.world.stopped.is_some() && step.config.hard_stop_wipes {
            self.wipe();
        }
        self.end_windows(step);
        self.store(uplink, step);
        self.write(step);
        let can_end = step.clock.is_known(step.now) && step.world.template.as_ref().is_some();
        let ends = self.windows.open.iter().filter(|(key, window)| {
            // Those wait for another event than time.
            !window.is_due(step.now.monotonic) || !self.over.iter().any(|stored| stored.over.key == **key)
        });
        let next = ends.filter_map(|(_, window)| match window.ends {
            End::At(at) if can_end => Some(at),
            _ => None,
        });
        self.wake_at = self.wake_at.into_iter().chain(next.min()).min();
    }

    /// The process is going to end: writes down what is only in memory, or sends it where nothing is written down.
    pub(crate) fn end_all(&mut self, uplink: &mut Uplink, step: &mut Step<'_>) {
        self.closing = true;
        if step.config.durability == Durability::None
            && step.clock.is_known(step.now)
            && let Some(template) = step.world.template.as_ref()
        {
            for over in self.windows.end_all() {
                self.close(over, template, step);
            }
            self.store(uplink, step);
        }
    }

    /// Writes down what is not yet; says whether nothing is left to do.
    pub(crate) fn save(&mut self, step: &mut Step<'_>) -> bool {
        self.write(step);
        self.writing.is_none() && (!self.dirty || step.config.durability == Durability::None)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.wake_at
    }

    pub(crate) fn status(&self, rules: &Rules) -> EdgeStatus {
        EdgeStatus {
            windows: self.windows.open.values().map(|window| window.devices.len() as u64).sum(),
            rules: rules.len() as u64,
            rules_not_understood: rules.not_understood.clone(),
            matches: self.matches,
        }
    }

    fn end_windows(&mut self, step: &Step<'_>) {
        if self.windows.open.is_empty() || !step.clock.is_known(step.now) {
            return;
        }
        let now = step.now.monotonic;
        for (key, window) in &mut self.windows.open {
            if let End::Unix(ends_unix_ms) = window.ends {
                let left_ms = u64::try_from(ends_unix_ms.saturating_sub(step.unix_ms)).unwrap_or_default();
                window.ends = End::At(now + Duration::from_millis(left_ms).min(key.length()));
            }
        }
        let Some(template) = step.world.template.as_ref().map(Arc::clone) else { return };
        let Self { windows, over, .. } = self;
        let ended = windows.end(now, |key| !over.iter().any(|stored| stored.over.key == *key));
        for over in ended {
            self.close(over, &template, step);
        }
    }

    /// A window is over.
    fn close(&mut self, over: Over, template: &Template, step: &Step<'_>) {
        self.dirty = true;
        let mut stored = Stored { over, at_unix_ms: step.unix_ms, code: None, rows: None };
        stored.encode(template, step);
        self.over.push(stored);
    }

    /// Puts messages of windows that are over into the store.
    fn store(&mut self, uplink: &mut Uplink, step: &mut Step<'_>) {
        if self.over.is_empty() {
            return;
        }
        let (world, now) = (step.world, step.now.monotonic);
        if let Some(template) = world.template.as_ref() {
            for stored in self.over.iter_mut().filter(|stored| stored.rows.is_none()) {
                stored.encode(template, step);
            }
        }
        if now < self.store_at {
            self.wake(self.store_at);
            return;
        }
        for stored in &mut self.over {
            let code = &stored.code;
            let Some(rows) = &mut stored.rows else { continue };
            let mut waits = false;
            rows.retain_mut(|row| {
                if row.ticket.is_some() || waits {
                    return true;
                }
                waits = !uplink.has_room_for_window(step);
                if !waits {
                    row.ticket = uplink.take_window(row.body.clone(), code.clone(), step);
                }
                waits || row.ticket.is_some()
            });
            if waits {
                self.store_at = now + RETRY;
            }
        }
        if now < self.store_at {
            self.wake(self.store_at);
        }
        self.forget_stored();
    }

    /// Writes the windows down, if that is wanted and nothing stands in the way.
    fn write(&mut self, step: &mut Step<'_>) {
        let all = match step.config.durability {
            Durability::Stored => true,
            Durability::OfflineOnly => step.offline() || self.closing || !self.waiting.is_empty(),
            Durability::None => false,
        };
        // Otherwise only to be rid of what is in the store by now.
        let is_due = if all { self.dirty } else { self.on_disk && self.outdated };
        if !is_due || self.writing.is_some() {
            return;
        }
        let write_at = if self.closing { self.retry_at } else { self.retry_at.max(self.write_at) };
        if step.now.monotonic < write_at {
            self.wake(write_at);
            return;
        }
        self.windows.open.values_mut().for_each(|window| window.written |= all);
        self.over.iter_mut().for_each(|stored| stored.over.written |= all);
        let open = self.windows.open.iter().filter(|(_, window)| window.written);
        let over = self.over.iter().filter(|stored| stored.over.written);
        let value = kept::write(open, over.map(|stored| (&stored.over, stored.at_unix_ms)), step);
        if value.len() > SMALL_BYTES {
            let pause_ms = value.len().saturating_mul(1000) / BYTES_PER_S;
            self.write_at = step.now.monotonic + Duration::from_millis(pause_ms as u64);
        }
        self.on_disk = !value.is_empty();
        let ticket = step.ticket();
        step.act(Action::KeepFor { ticket, fact: Fact::Windows, value });
        self.writing = Some(Writing { ticket, batches: std::mem::take(&mut self.waiting) });
        self.outdated = false;
        // What is left out now is not forgotten.
        self.dirty &= !all;
    }

    /// The store was given up, and so is what is on its way there.
    fn wipe(&mut self) {
        if !self.windows.open.is_empty() || !self.over.is_empty() {
            self.windows.open.clear();
            self.over.clear();
            (self.dirty, self.outdated) = (true, true);
        }
    }

    fn forget_stored(&mut self) {
        let before = self.over.len();
        self.over.retain(|stored| stored.rows.as_ref().is_none_or(|rows| !rows.is_empty()));
        if self.over.len() < before {
            (self.dirty, self.outdated) = (true, true);
        }
    }

    fn complain(&mut self, reason: &str, what: &str) {
        if !std::mem::replace(&mut self.trouble_said, true) {
            tracing::warn!(reason, "{what}");
        }
    }

    fn wake(&mut self, at: Duration) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }
}

impl Stored {
    fn encode(&mut self, template: &Template, step: &Step<'_>) {
        let at = Timestamp::from_unix_ms(self.at_unix_ms);
        let bodies = self.over.bodies(template, &at, BODY_BYTES_MAX, step);
        self.rows = Some(bodies.into_iter().map(|body| Row { body, ticket: None }).collect());
        self.code = step.world.code_for(template);
    }
}

#[cfg(test)]
mod tests;
