//! Readings on their way: into the store, out to the hub, out of the store.
//!
//! Invariants: an offer is answered as accepted only when every row made of it is committed; rows leave in id order;
//! a row is removed only after all messages made of it are delivered; after a lost link everything in flight goes
//! back in front of what waits.
//!
//! Rows come in two kinds. Once the template is known, samples are encoded before they are stored. Before the first
//! sync ever they are stored as they are and encoded when they are sent; what the template then has no place for makes no
//! message, and is counted as given up and logged. Topic and the offline mark are added when a row is sent.
//!
//! Memory: at most [`QUEUE_ROWS_MAX`] rows or [`QUEUE_BYTES_MAX`] bytes wait here; behind them the store is read back
//! page by page. That works
//! because the store answers in order: a page that says nothing lies behind it covers every row announced so far.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::azure::hub::D2C_BYTES_MAX;
use edgeplug_protocol::legacy::{mark_offline, telemetry};
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;

use crate::action::{NewRow, Outcome};
use crate::event::{LoadedRows, RestoredAck};
use crate::status::UplinkCounts;
use crate::{AckId, Action, ConnectionId, Now, OfferId, Online, RowId, Step, Ticket};

/// Rows kept in memory to be sent; ten windows, so that a page is read while others are under way.
const QUEUE_ROWS_MAX: usize = 1_000;
/// And their bytes; a page may come on top.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest page read from the store at once.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A hub that acknowledges nothing for so long while messages wait for it is not going to.
const PUBACK_TIME_MAX: Duration = Duration::from_secs(60);
/// Batches of samples that may wait for their commit; beyond that the store is too slow and samples are refused.
pub(crate) const STORING_MAX: usize = 4_096;
/// Room for topic and properties beside the largest body.
const BODY_BYTES_MAX: usize = D2C_BYTES_MAX - 4 * 1024;
/// Wait before a page that could not be read is asked for again.
const LOAD_RETRY: Duration = Duration::from_secs(5);
/// Distinct complaints remembered, so that each is logged once and not with every sample.
const COMPLAINTS_MAX: usize = 256;

/// What a stored body is. Written into the store: never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// A message ready for the wire but for the offline mark.
    Message = 1,
    /// Samples as JSON, taken before any template was known.
    Samples = 2,
}

#[derive(Default)]
pub(crate) struct Uplink {
    /// Store actions under way and what becomes of them.
    storing: HashMap<Ticket, Storing>,
    /// Batches with rows under way, by the ticket of their first row.
    batches: HashMap<Ticket, Batch>,
    /// Acknowledgements to send, before anything else.
    alarms: VecDeque<Arc<Item>>,
    /// Rows to send, in id order, gapless from the oldest row on.
    queue: VecDeque<Arc<Item>>,
    /// Bytes of the bodies in `queue`.
    queue_bytes: usize,
    /// When the last PUBACK came, or the first message went out on a quiet link.
    last_progress: Duration,
    /// Published without PUBACK, in the order published.
    in_flight: BTreeMap<Ticket, Arc<Item>>,
    /// Messages still undelivered for each source in flight.
    undelivered: HashMap<Source, usize>,
    /// Set while the store holds rows that are not in `queue`.
    behind: Option<Behind>,
    complaints: HashSet<String>,
    counts: UplinkCounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Row(RowId),
    Ack(AckId),
}

struct Item {
    source: Source,
    kind: Kind,
    offline: bool,
    created_unix_ms: i64,
    body: Bytes,
}

struct Storing {
    batch: Ticket,
    kind: Kind,
    offline: bool,
    created_unix_ms: i64,
    body: Bytes,
}

/// Samples handed over together and answered together.
struct Batch {
    rows_left: usize,
    failed: Option<String>,
    offer: Option<OfferId>,
    outcomes: Vec<Outcome>,
}

struct Behind {
    /// Every row up to here is in memory or gone.
    after: RowId,
    loading: Option<Ticket>,
    retry_at: Option<Duration>,
}

impl Uplink {
    pub(crate) fn restore(&mut self, rows: u64, acks: Vec<RestoredAck>) {
        self.counts.waiting = rows;
        if rows > 0 {
            self.behind = Some(Behind { after: RowId(0), loading: None, retry_at: None });
        }
        for ack in acks {
            self.queue_ack(ack.id, ack.body, ack.offline);
        }
    }

    pub(crate) fn queue_ack(&mut self, ack: AckId, body: Bytes, offline: bool) {
        let source = Source::Ack(ack);
        self.alarms.push_back(Arc::new(Item { source, kind: Kind::Message, offline, created_unix_ms: 0, body }));
    }

    pub(crate) fn accept_sampled(&mut self, plugin: String, samples: Vec<Sample>, step: &mut Step<'_>) {
        self.accept(&plugin, None, samples, step);
    }

    pub(crate) fn accept_offered(&mut self, plugin: String, offer: OfferId, samples: Vec<Sample>, step: &mut Step<'_>) {
        self.accept(&plugin, Some(offer), samples, step);
    }

    pub(crate) fn committed(&mut self, rows: &[(Ticket, RowId)], step: &mut Step<'_>) {
        for (ticket, row) in rows {
            let Some(storing) = self.storing.remove(ticket) else { continue };
            self.counts.waiting += 1;
            let source = Source::Row(*row);
            let Storing { batch, kind, offline, created_unix_ms, body } = storing;
            if self.behind.is_none() && self.has_room() {
                self.push(Item { source, kind, offline, created_unix_ms, body });
            } else if self.behind.is_none() {
                let after = RowId(row.0.saturating_sub(1));
                self.behind = Some(Behind { after, loading: None, retry_at: None });
            }
            self.row_settled(batch, None, step);
        }
    }

    pub(crate) fn not_stored(&mut self, tickets: &[Ticket], reason: &str, step: &mut Step<'_>) {
        for ticket in tickets {
            if let Some(storing) = self.storing.remove(ticket) {
                self.row_settled(storing.batch, Some(reason), step);
            }
        }
    }

    pub(crate) fn removed(&mut self, _rows: u64) {}

    pub(crate) fn evicted(&mut self, _through: RowId, rows: u64) {
        self.counts.evicted += rows;
    }

    pub(crate) fn loaded(&mut self, ticket: Ticket, result: Result<LoadedRows, String>, step: &mut Step<'_>) {
        let Some(behind) = self.behind.as_mut().filter(|behind| behind.loading == Some(ticket)) else { return };
        behind.loading = None;
        let page = match result {
            Ok(page) => page,
            Err(reason) => {
                tracing::warn!(reason, "stored readings cannot be read; trying again");
                behind.retry_at = Some(step.now.monotonic + LOAD_RETRY);
                return;
            }
        };
        if let Some(last) = page.rows.last() {
            behind.after = last.id;
        }
        for row in page.rows {
            let source = Source::Row(row.id);
            match Kind::from_stored(row.kind) {
                Some(kind) => {
                    let (offline, created_unix_ms) = (row.offline, row.created_unix_ms);
                    self.push(Item { source, kind, offline, created_unix_ms, body: row.body });
                }
                None => tracing::error!(
                    row = row.id.0,
                    kind = row.kind,
                    "a stored row of a newer version stays in the store"
                ),
            }
        }
        if !page.more {
            self.behind = None;
        }
    }

    pub(crate) fn delivered(&mut self, connection: ConnectionId, tickets: &[Ticket], step: &mut Step<'_>) {
        if step.world.online.as_ref().is_none_or(|online| online.connection != connection) {
            return;
        }
        self.last_progress = step.now.monotonic;
        let (mut rows, mut acks) = (Vec::new(), Vec::new());
        for ticket in tickets {
            let Some(item) = self.in_flight.remove(ticket) else { continue };
            if let Some(left) = self.undelivered.get_mut(&item.source) {
                *left = left.saturating_sub(1);
                if *left > 0 {
                    continue;
                }
                self.undelivered.remove(&item.source);
            }
            match item.source {
                Source::Row(row) => rows.push(row),
                Source::Ack(ack) => acks.push(ack),
            }
        }
        self.counts.delivered += rows.len() as u64;
        self.remove(rows, step);
        if !acks.is_empty() {
            step.act(Action::RemoveAcks { acks });
        }
    }

    /// Puts everything in flight back in front, in order.
    pub(crate) fn link_lost(&mut self) {
        self.undelivered.clear();
        let mut seen = HashSet::new();
        let again: Vec<_> =
            std::mem::take(&mut self.in_flight).into_values().filter(|item| seen.insert(item.source)).collect();
        for item in again.into_iter().rev() {
            match item.source {
                Source::Row(_) => {
                    self.queue_bytes += item.body.len();
                    self.queue.push_front(item);
                }
                Source::Ack(_) => self.alarms.push_front(item),
            }
        }
        // What could not be read is asked for again when there is somebody to send it to.
        if let Some(behind) = &mut self.behind {
            behind.retry_at = None;
        }
    }

    /// Sends what may be sent and reads back what is needed.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>) {
        if let Some(online) = step.world.online.clone()
            && !step.world.pausing
        {
            while self.publish_next(&online, step) {}
            self.load_more(step);
        }
    }

    pub(crate) fn nothing_in_flight(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether the hub has stopped acknowledging; says so once, and then gives it the same time again.
    pub(crate) fn has_stalled(&mut self, now: Now) -> bool {
        let stalled = self.stalls_at().is_some_and(|at| now.monotonic >= at);
        if stalled {
            self.last_progress = now.monotonic;
        }
        stalled
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let retry = self.behind.as_ref().and_then(|behind| behind.retry_at).filter(|_| self.wants_page());
        retry.into_iter().chain(self.stalls_at()).min()
    }

    fn stalls_at(&self) -> Option<Duration> {
        (!self.in_flight.is_empty()).then(|| self.last_progress + PUBACK_TIME_MAX)
    }

    pub(crate) fn counts(&self) -> UplinkCounts {
        UplinkCounts { in_flight: self.in_flight.len() as u64, ..self.counts }
    }

    fn accept(&mut self, plugin: &str, offer: Option<OfferId>, mut samples: Vec<Sample>, step: &mut Step<'_>) {
        let now = Timestamp::from_unix_ms(step.unix_ms);
        for sample in &mut samples {
            sample.time.get_or_insert_with(|| now.clone());
        }
        let (bodies, outcomes) = if self.storing.len() >= STORING_MAX {
            (Vec::new(), vec![Outcome::Rejected("the store is behind; send less or later".into()); samples.len()])
        } else {
            prepare(&samples, &now, step)
        };
        for complaint in outcomes.iter().filter_map(Outcome::complaint) {
            self.complain(plugin, complaint);
        }
        let tickets: Vec<_> = bodies.iter().map(|_| step.ticket()).collect();
        let batch = Batch { rows_left: bodies.len(), failed: None, offer, outcomes };
        let Some(first) = tickets.first().copied() else { return self.answer(batch, step) };
        self.batches.insert(first, batch);
        for (ticket, (kind, body)) in tickets.into_iter().zip(bodies) {
            let (offline, created_unix_ms) = (step.offline(), step.unix_ms);
            self.storing.insert(ticket, Storing { batch: first, kind, offline, created_unix_ms, body: body.clone() });
            step.act(Action::Store { ticket, row: NewRow { kind: kind as u8, offline, created_unix_ms, body } });
        }
    }

    fn row_settled(&mut self, batch: Ticket, failed: Option<&str>, step: &mut Step<'_>) {
        let Some(waiting) = self.batches.get_mut(&batch) else { return };
        waiting.rows_left = waiting.rows_left.saturating_sub(1);
        if let Some(reason) = failed {
            waiting.failed.get_or_insert_with(|| reason.to_owned());
        }
        if waiting.rows_left == 0
            && let Some(batch) = self.batches.remove(&batch)
        {
            self.answer(batch, step);
        }
    }

    fn answer(&mut self, batch: Batch, step: &mut Step<'_>) {
        let mut outcomes = batch.outcomes;
        if let Some(reason) = batch.failed {
            self.complain("the store", &reason);
            outcomes.fill(Outcome::Rejected(format!("not stored: {reason}")));
        }
        for outcome in &outcomes {
            match outcome {
                Outcome::Rejected(_) => self.counts.rejected += 1,
                _ => self.counts.accepted += 1,
            }
        }
        if let Some(offer) = batch.offer {
            step.act(Action::AnswerOffer { offer, outcomes });
        }
    }

    /// Sends the oldest thing that waits, if the window has room for it. Says whether to go on.
    fn publish_next(&mut self, online: &Online, step: &mut Step<'_>) -> bool {
        let window = usize::from(step.config.in_flight_max);
        let Some(item) = self.alarms.front().or_else(|| self.queue.front()).map(Arc::clone) else { return false };
        if self.in_flight.len() >= window {
            return false;
        }
        let bodies = match item.kind {
            Kind::Message => vec![item.body.clone()],
            Kind::Samples => match self.encode_stored(&item, step) {
                Some(bodies) => bodies,
                None => return false,
            },
        };
        if self.in_flight.len() + bodies.len() > window && !self.in_flight.is_empty() {
            return false;
        }
        if self.alarms.pop_front().is_none() && self.queue.pop_front().is_some() {
            self.queue_bytes = self.queue_bytes.saturating_sub(item.body.len());
        }
        if bodies.is_empty() {
            if let Source::Row(row) = item.source {
                self.remove(vec![row], step);
            }
            return true;
        }
        if self.in_flight.is_empty() {
            self.last_progress = step.now.monotonic;
        }
        self.undelivered.insert(item.source, bodies.len());
        for body in bodies {
            let body = if item.offline { offline_form(&body) } else { body };
            let ticket = step.ticket();
            self.in_flight.insert(ticket, Arc::clone(&item));
            let (connection, topic) = (online.connection, online.publish_topic.clone());
            step.act(Action::Publish { connection, ticket, topic, body });
        }
        true
    }

    /// Messages made of samples that were stored before the template was known; `None` while it holds nothing they
    /// could be measured by. What a template has no place for is counted, and logged once for each reason.
    fn encode_stored(&mut self, item: &Item, step: &Step<'_>) -> Option<Vec<Bytes>> {
        let template = step.world.template.as_ref().filter(|template| template.attribute_count() > 0)?;
        let samples: Vec<Sample> = match serde_json::from_slice(&item.body) {
            Ok(samples) => samples,
            Err(error) => {
                tracing::error!(%error, "stored samples cannot be read and are given up");
                self.counts.given_up += 1;
                return Some(Vec::new());
            }
        };
        let taken_at = Timestamp::from_unix_ms(item.created_unix_ms);
        let mut bodies = Vec::new();
        let mut pieces = VecDeque::from([samples.as_slice()]);
        while let Some(piece) = pieces.pop_front() {
            let encoded = telemetry::encode(template, &step.world.sdk, piece, &taken_at);
            let made: Vec<_> = encoded.report.into_iter().chain(encoded.fault).map(Bytes::from).collect();
            let fits = made.iter().all(|body| body.len() <= BODY_BYTES_MAX);
            if !fits && piece.len() > 1 {
                let (first, second) = piece.split_at(piece.len() / 2);
                pieces.push_front(second);
                pieces.push_front(first);
                continue;
            }
            self.counts.given_up += encoded.taken.iter().filter(|taken| !**taken).count() as u64;
            for dropped in encoded.dropped {
                self.complain("a reading from before the first sync", &dropped.reason.to_string());
            }
            if fits {
                bodies.extend(made);
            } else {
                self.counts.given_up += 1;
                self.complain("a reading from before the first sync", "it is larger than a hub message");
            }
        }
        Some(bodies)
    }

    fn complain(&mut self, about: &str, reason: &str) {
        if self.complaints.len() < COMPLAINTS_MAX && self.complaints.insert(format!("{about}: {reason}")) {
            tracing::warn!(about, reason, "a reading was not taken as it is");
        }
    }

    fn remove(&mut self, rows: Vec<RowId>, step: &mut Step<'_>) {
        if !rows.is_empty() {
            self.counts.waiting = self.counts.waiting.saturating_sub(rows.len() as u64);
            step.act(Action::Remove { rows });
        }
    }

    fn push(&mut self, item: Item) {
        self.queue_bytes += item.body.len();
        self.queue.push_back(Arc::new(item));
    }

    fn has_room(&self) -> bool {
        self.queue.len() < QUEUE_ROWS_MAX && self.queue_bytes < QUEUE_BYTES_MAX
    }

    fn wants_page(&self) -> bool {
        self.queue.len() < QUEUE_ROWS_MAX / 2 && self.queue_bytes < QUEUE_BYTES_MAX / 2
    }

    fn load_more(&mut self, step: &mut Step<'_>) {
        if !self.wants_page() {
            return;
        }
        let Some(behind) = &mut self.behind else { return };
        let due = behind.retry_at.is_none_or(|at| step.now.monotonic >= at);
        if behind.loading.is_some() || !due {
            return;
        }
        let ticket = step.ticket();
        behind.loading = Some(ticket);
        behind.retry_at = None;
        let rows_max = QUEUE_ROWS_MAX / 2;
        step.act(Action::Load { ticket, after: behind.after, rows_max, bytes_max: PAGE_BYTES_MAX });
    }
}

impl Kind {
    fn from_stored(number: u8) -> Option<Self> {
        [Self::Message, Self::Samples].into_iter().find(|kind| *kind as u8 == number)
    }
}

impl Outcome {
    fn complaint(&self) -> Option<&str> {
        match self {
            Self::Accepted | Self::AcceptedInMemory => None,
            Self::AcceptedInPart(reason) | Self::Rejected(reason) => Some(reason),
        }
    }
}

/// The rows a batch becomes, and what each sample will be told once they are committed.
fn prepare(samples: &[Sample], now: &Timestamp, step: &Step<'_>) -> (Vec<(Kind, Bytes)>, Vec<Outcome>) {
    let Some(template) = &step.world.template else {
        return match serde_json::to_vec(samples) {
            Ok(body) if body.len() <= BODY_BYTES_MAX => {
                (vec![(Kind::Samples, body.into())], vec![Outcome::Accepted; samples.len()])
            }
            Ok(_) => (Vec::new(), vec![too_large(); samples.len()]),
            Err(error) => (Vec::new(), vec![Outcome::Rejected(error.to_string()); samples.len()]),
        };
    };
    let encoded = telemetry::encode(template, &step.world.sdk, samples, now);
    let outcomes: Vec<_> = encoded
        .taken
        .iter()
        .enumerate()
        .map(|(index, taken)| {
            let reason = encoded
                .dropped
                .iter()
                .find(|dropped| dropped.sample == index)
                .map(|dropped| dropped.reason.to_string());
            match (taken, reason) {
                (true, None) => Outcome::Accepted,
                (true, Some(reason)) => Outcome::AcceptedInPart(reason),
                (false, reason) => Outcome::Rejected(reason.unwrap_or_else(|| "nothing to send".into())),
            }
        })
        .collect();
    let bodies: Vec<_> =
        encoded.report.into_iter().chain(encoded.fault).map(|body| (Kind::Message, Bytes::from(body))).collect();
    if bodies.iter().any(|(_, body)| body.len() > BODY_BYTES_MAX) {
        return (Vec::new(), vec![too_large(); samples.len()]);
    }
    (bodies, outcomes)
}

fn too_large() -> Outcome {
    Outcome::Rejected(format!("larger than the {BODY_BYTES_MAX} bytes a hub message holds; send fewer samples at once"))
}

fn offline_form(body: &Bytes) -> Bytes {
    match std::str::from_utf8(body) {
        Ok(text) => mark_offline(text).into(),
        Err(_) => body.clone(),
    }
}
