//! Readings on their way: into the store, out to the hub, out of the store.
//!
//! What must stay true:
//! * An offer is answered as accepted only when every row made of it is committed (or, in the modes of
//!   [`Durability`] that store less, is in the bounded memory, and the answer says so).
//! * A row is in one place: waiting in the store only (a range of the [`Backlog`]), in a lane, in flight, or on its way
//!   out of the store. It is removed only after all messages made of it are delivered.
//! * Readings published and possibly still on disk are at most [`crate::SessionConfig::window`] rows: what a crash sends
//!   twice. (Rows that were in flight when a link broke come on top; they are sent again anyway.) Rule matches have a window
//!   of their own.
//! * Acknowledgements go first, alone and at once. Then rule matches, just so; what the store held of them before the link
//!   came up, when its page is read. Then rows committed since the link came up (*live*), then what the store held before
//!   that and what the live lane had no room for (*backlog*), at a bounded pace. Each lane is sent in the order of its rows.
//! * After an outage everything in the store is backlog: memory then holds nothing that the store does not. A planned
//!   reconnect forgets nothing and puts what was in flight back in front.
//!
//! Rows are whole messages; several of a lane become one when they are sent ([`Queue::front_run`]). Topic ([`address`]) and
//! offline mark are added then, too. What is stored before the template and the time are known is encoded when it is sent
//! ([`Ripening`]).

mod address;
mod backlog;
mod budget;
mod complaints;
mod custody;
mod intake;
mod item;
mod queue;
mod stored;
mod tickets;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::azure::hub::D2C_BYTES_MAX;
use edgeplug_protocol::legacy::mark_offline;
use edgeplug_protocol::telemetry;
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::version::Version;
use serde::Deserialize;

use self::backlog::Backlog;
use self::budget::Budget;
use self::complaints::Complaints;
use self::custody::Storing;
use self::intake::Batch;
pub(crate) use self::intake::ForEdge;
pub(crate) use self::item::Code;
use self::item::{Alarm, Content, Item, Lane};
use self::queue::{Queue, Run, RunMax};
use self::stored::Ripening;
use self::tickets::InOrder;
use self::window::{Message, Window};
use crate::config::Durability;
use crate::event::{LoadedRows, Restored};
use crate::status::UplinkCounts;
use crate::{AckId, Action, ConnectionId, Now, Online, RowId, SessionConfig, Step, Ticket};

/// Rows of the live lane in memory: a second of ten thousand a second. Newer ones are then read back from the store; where
/// there is no store they are refused.
const LIVE_ROWS_MAX: usize = 10_000;
/// And their bytes.
const LIVE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rule matches in memory, as many as a plugin may cause at once, and of them as many bytes as the live lane holds. Newer
/// ones wait in the store.
const MATCHES_MAX: usize = 1_000;
/// Room for topic and properties beside the largest body.
pub(crate) const BODY_BYTES_MAX: usize = D2C_BYTES_MAX - 4 * 1024;

#[derive(Default)]
pub(crate) struct Uplink {
    /// Store actions under way.
    storing: InOrder<Storing>,
    /// Bytes of their bodies.
    storing_bytes: usize,
    /// Samples that wait for rows under way, by the ticket of the first row.
    batches: InOrder<Batch>,
    /// Acknowledgements.
    alarms: VecDeque<Alarm>,
    /// Rule matches.
    matches: Queue,
    live: Queue,
    /// The live lane had no room: new rows become backlog until half of it is free.
    overflowing: bool,
    backlog: Backlog,
    /// There is a link, or there was one until a planned reconnect: new rows go into the live lane.
    live_open: bool,
    /// The highest row known to be committed.
    last_row: Option<RowId>,
    /// The highest row the store gave up.
    evicted_through: Option<RowId>,
    window: Window,
    ripening: Ripening,
    budget: Budget,
    /// When the oldest publish was acknowledged, or the first went out on a quiet link. Later ones prove that the hub is
    /// there, but not that it will ever acknowledge this one.
    last_progress: Duration,
    /// Rows that are not in the store: in the live lane or in flight.
    memory_rows: usize,
    last_memory: u64,
    /// When rows in memory are offered to the store again.
    store_retry_at: Option<Duration>,
    /// The daemon comes to rest.
    draining: bool,
    /// When something that waits is due.
    wake_at: Option<Duration>,
    /// The last moment written as text: several calls share a millisecond.
    stamp: Option<(i64, Timestamp)>,
    /// Where the last message went: the next goes there, too.
    last_topic: Option<Arc<str>>,
    complaints: Complaints,
    counts: UplinkCounts,
}

impl Uplink {
    pub(crate) fn restore(&mut self, restored: &mut Restored) {
        self.counts.waiting = restored.rows;
        self.last_row = restored.last_row;
        self.budget.restore(restored.budget.as_ref());
        for ack in std::mem::take(&mut restored.acks) {
            self.queue_ack(ack.id, ack.body, ack.offline);
        }
    }

    pub(crate) fn queue_ack(&mut self, ack: AckId, body: Bytes, offline: bool) {
        let version = version_of_ack(&body);
        self.alarms.push_back(Alarm { ack, body, offline, version });
    }

    pub(crate) fn removed(&mut self, rows: u64) {
        let (waiting, evicted_through) = (&mut self.counts.waiting, self.evicted_through);
        // Evicted rows were subtracted when they were.
        self.window.removed(rows, |row| *waiting = waiting.saturating_sub(u64::from(Some(row) > evicted_through)));
    }

    pub(crate) fn evicted(&mut self, through: RowId, rows: u64) {
        self.counts.evicted = self.counts.evicted.saturating_add(rows);
        self.counts.waiting = self.counts.waiting.saturating_sub(rows);
        self.evicted_through = self.evicted_through.max(Some(through));
        let window = &mut self.window;
        self.matches.evict(through, |item| window.forget(Lane::Alarm, item));
        self.live.evict(through, |item| window.forget(Lane::Live, item));
        self.backlog.page.evict(through, |item| window.forget(Lane::Backlog, item));
        self.backlog.evict(through);
    }

    pub(crate) fn loaded(&mut self, ticket: Ticket, result: Result<LoadedRows, String>, now: Now) {
        let (window, evicted_through) = (&self.window, self.evicted_through);
        let wanted = |row| Some(row) > evicted_through && !window.is_removing(row);
        let room = MATCHES_MAX.saturating_sub(self.matches.len());
        let room = if self.matches.bytes() < LIVE_BYTES_MAX { room } else { 0 };
        for alarm in self.backlog.loaded(ticket, result, now.monotonic, room, wanted) {
            self.matches.push(alarm);
        }
    }

    pub(crate) fn delivered(&mut self, connection: ConnectionId, tickets: &[Ticket], step: &mut Step<'_>) {
        if step.world.online.as_ref().is_none_or(|online| online.connection != connection) {
            return;
        }
        let oldest = self.window.oldest();
        let delivered = self.window.delivered(tickets);
        if self.window.oldest() != oldest {
            self.last_progress = step.now.monotonic;
        }
        self.counts.delivered += delivered.rows;
        self.counts.messages += delivered.messages;
        self.memory_rows = self.memory_rows.saturating_sub(delivered.memory_rows);
        if !delivered.acks.is_empty() {
            step.act(Action::RemoveAcks { acks: delivered.acks });
        }
    }

    /// A link is there.
    pub(crate) fn link_up(&mut self) {
        // Its topics may be others.
        Lane::ALL.into_iter().for_each(|lane| self.queue_mut(lane).forget_run());
        if !self.live_open {
            self.live_open = true;
            self.overflowing = false;
            self.backlog.begin(self.last_row);
        }
    }

    /// The link is gone. What was in flight goes back in front; after an outage, what is on disk is forgotten here.
    pub(crate) fn link_lost(&mut self, planned: bool) {
        for message in self.window.take_back().into_iter().rev() {
            match message {
                Message::Alarm(alarm) => self.alarms.push_front(alarm),
                Message::Rows(lane, items) => {
                    let queue = self.queue_mut(lane);
                    items.into_vec().into_iter().rev().for_each(|item| queue.push_front(item));
                }
            }
        }
        if planned {
            return;
        }
        self.live_open = false;
        self.overflowing = false;
        self.backlog.forget();
        self.window.forget_published();
        self.matches.forget_stored();
        self.live.forget_stored();
        self.store_retry_at = None;
    }

    /// Sends what may be sent and reads back what is needed.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>) {
        self.wake_at = None;
        if self.budget.turn(step) {
            // What was looked at before the long wait may have outlived its time.
            self.live.forget_run();
            self.backlog.page.forget_run();
        }
        if self.overflowing && !self.live.is_full(LIVE_ROWS_MAX / 2, LIVE_BYTES_MAX / 2) {
            self.overflowing = !self.backlog.end_overflow();
        }
        // Out of the step, so that it can be used beside it.
        let world = step.world;
        if let Some(online) = world.online.as_ref().filter(|_| !world.pausing && world.stopped.is_none()) {
            while !self.window.is_full(step.config) && self.publish_next(online, step) {}
            if !self.draining {
                self.backlog.load(step);
                self.wake(self.backlog.retry_at());
            }
        } else if !self.live_open && step.config.durability == Durability::OfflineOnly {
            self.store_memory(step);
        }
    }

    /// Rows to be removed, gathered over several events.
    pub(crate) fn take_removals(&mut self) -> Option<Action> {
        self.window.take_removals().map(|rows| Action::Remove { rows })
    }

    /// From now on live rows go at once and the backlog stays where it is.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether nothing is left that could still be delivered.
    pub(crate) fn is_drained(&self) -> bool {
        let live_left = !self.live.is_empty() && !self.budget.is_spent();
        let alarms_left = !self.alarms.is_empty() || !self.matches.is_empty();
        self.nothing_in_flight() && self.storing.len() == 0 && !alarms_left && !live_left
    }

    /// The process is going to end, and so is the link.
    pub(crate) fn close(&mut self, step: &mut Step<'_>) {
        self.budget.close(step);
        if step.config.durability == Durability::OfflineOnly {
            self.link_lost(false);
        }
    }

    /// Stores what only memory holds, where that is wanted; says whether nothing of it is left to do.
    pub(crate) fn save(&mut self, step: &mut Step<'_>) -> bool {
        if step.config.durability != Durability::OfflineOnly {
            return true;
        }
        self.store_memory(step);
        self.matches.is_empty() && self.live.is_empty() && self.storing.len() == 0
    }

    pub(crate) fn nothing_in_flight(&self) -> bool {
        self.window.in_flight() == 0
    }

    /// Whether the hub has stopped acknowledging; says so once, and then gives it the same time again.
    pub(crate) fn has_stalled(&mut self, now: Now, config: &SessionConfig) -> bool {
        let stalled = self.stalls_at(config).is_some_and(|at| now.monotonic >= at);
        if stalled {
            self.last_progress = now.monotonic;
        }
        stalled
    }

    pub(crate) fn timeout(&self, config: &SessionConfig) -> Option<Duration> {
        self.wake_at.into_iter().chain(self.stalls_at(config)).min()
    }

    pub(crate) fn counts(&self) -> UplinkCounts {
        let on_disk = self.counts.waiting;
        let out = |lane| self.queue(lane).len() + self.window.rows_out(lane);
        let live = if self.live_open { out(Lane::Alarm) + out(Lane::Live) } else { 0 };
        let live = live.saturating_sub(self.memory_rows);
        UplinkCounts {
            given_up: self.ripening.given_up,
            expired: self.ripening.expired,
            waiting: on_disk + self.memory_rows as u64,
            backlog: on_disk.saturating_sub(live as u64),
            in_flight: self.window.in_flight() as u64,
            bytes_today: self.budget.spent(),
            budget_spent: self.budget.is_spent(),
            ..self.counts
        }
    }

    fn stalls_at(&self, config: &SessionConfig) -> Option<Duration> {
        (!self.nothing_in_flight()).then(|| self.last_progress + config.puback_timeout)
    }

    /// Sends the next message of the first lane that has one to send. Says whether to go on.
    fn publish_next(&mut self, online: &Online, step: &mut Step<'_>) -> bool {
        if let Some(alarm) = self.alarms.pop_front() {
            // In 2.1 nothing tells a late acknowledgement from one in time.
            let is_late = alarm.offline && alarm.version == Version::Legacy;
            let body = if is_late { offline_form(&alarm.body) } else { alarm.body.clone() };
            let topic = shared(&mut self.last_topic, &address::of_alarm(&alarm, online, step.world));
            self.publish(online, topic, Message::Alarm(alarm), body, step);
            return true;
        }
        self.publish_rows(Lane::Alarm, online, step)
            || self.publish_rows(Lane::Live, online, step)
            || (!self.draining && self.publish_rows(Lane::Backlog, online, step))
    }

    fn publish_rows(&mut self, lane: Lane, online: &Online, step: &mut Step<'_>) -> bool {
        if self.queue(lane).is_empty() {
            return false;
        }
        let now = step.now.monotonic;
        if lane == Lane::Backlog
            && let Err(at) = self.backlog.paced(now)
        {
            self.wake(Some(at));
            return false;
        }
        let Some(run) = self.front_run(lane, online, step) else { return false };
        let queue = self.queue(lane);
        let may_wait = lane == Lane::Live && !run.closed && !self.draining;
        let delay = step.config.batch.filter(|_| may_wait).map(|batch| batch.delay);
        if let Some(due) = queue.front().zip(delay).map(|(item, delay)| item.since + delay)
            && due > now
        {
            self.wake(Some(due));
            return false;
        }
        let others = lane == Lane::Alarm && !(self.live.is_empty() && self.backlog.page.is_empty());
        if !self.window.has_room(lane, queue.iter().take(run.rows), others, step.config) {
            return false;
        }
        if lane != Lane::Alarm
            && let Err(at) = self.budget.allows(run.bytes, step)
        {
            self.wake(at);
            return false;
        }
        let Some(items) = self.queue_mut(lane).pop_run(run) else { return false };
        let body = body_of(items.as_slice());
        let first = items.as_slice().first();
        let topic = first.map(|item| address::of_content(&item.content, item.offline, online, step.world));
        let topic = shared(&mut self.last_topic, &topic.unwrap_or_default());
        if lane == Lane::Backlog {
            self.backlog.sent(now, step.config.backlog_per_s);
        }
        self.publish(online, topic, Message::Rows(lane, items), body, step);
        true
    }

    fn front_run(&mut self, lane: Lane, online: &Online, step: &Step<'_>) -> Option<Run> {
        let max = RunMax {
            rows: if step.config.batch.is_some() { Window::message_rows_max(lane, step.config) } else { 1 },
            bytes: step.config.batch.map_or(0, |batch| batch.bytes_max.min(BODY_BYTES_MAX)),
        };
        let Self { matches, live, backlog, ripening, window, .. } = self;
        let queue = match lane {
            Lane::Alarm => matches,
            Lane::Live => live,
            Lane::Backlog => &mut backlog.page,
        };
        let topic_bytes = |item: &Item| address::of_content(&item.content, item.offline, online, step.world).len();
        let run = queue.front_run(max, topic_bytes, |item| ripening.ripen(item, window, step));
        self.memory_rows = self.memory_rows.saturating_sub(std::mem::take(&mut self.ripening.memory_rows));
        run
    }

    fn publish(&mut self, online: &Online, topic: Arc<str>, message: Message, body: Bytes, step: &mut Step<'_>) {
        if self.nothing_in_flight() {
            self.last_progress = step.now.monotonic;
        }
        let ticket = step.ticket();
        self.budget.spend(topic.len() + body.len(), step);
        self.window.publish(ticket, message);
        step.act(Action::Publish { connection: online.connection, ticket, topic, body });
    }

    fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Alarm => &self.matches,
            Lane::Live => &self.live,
            Lane::Backlog => &self.backlog.page,
        }
    }

    fn queue_mut(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Alarm => &mut self.matches,
            Lane::Live => &mut self.live,
            Lane::Backlog => &mut self.backlog.page,
        }
    }

    fn wake(&mut self, at: Option<Duration>) {
        self.wake_at = self.wake_at.into_iter().chain(at).min();
    }
}

/// The topic, as it was made for the last message if it is the same.
fn shared(last: &mut Option<Arc<str>>, topic: &str) -> Arc<str> {
    match last {
        Some(last) if **last == *topic => Arc::clone(last),
        _ => Arc::clone(last.insert(topic.into())),
    }
}

/// One message of items that belong together.
fn body_of(items: &[Item]) -> Bytes {
    let offline = items.first().is_some_and(|item| item.offline);
    let bodies = items.iter().filter_map(|item| match &item.content {
        Content::Message(body, _) => Some(body),
        _ => None,
    });
    match items.first().map(|item| &item.content) {
        Some(Content::Other(bytes, _)) if offline => offline_form(bytes),
        Some(Content::Other(bytes, _)) => bytes.clone(),
        _ => telemetry::merge(bodies, offline),
    }
}

/// Which protocol an acknowledgement was made for: only the legacy one has a message number.
fn version_of_ack(body: &Bytes) -> Version {
    #[derive(Deserialize)]
    struct Probe {
        mt: Option<u64>,
    }
    match serde_json::from_slice(body) {
        Ok(Probe { mt: None }) => Version::V21,
        _ => Version::Legacy,
    }
}

fn offline_form(body: &Bytes) -> Bytes {
    match std::str::from_utf8(body) {
        Ok(text) => mark_offline(text).into(),
        Err(_) => body.clone(),
    }
}

#[cfg(test)]
mod tests;
