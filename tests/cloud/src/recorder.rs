//! What arrived: every device-to-cloud message, in order, with what the simulator knows about its delivery.
//!
//! This is the witness that "lost" is judged by, so it records before it acknowledges and never drops anything in
//! silence. It reads bodies only for those who ask; one that is malformed is recorded all the same, and called so.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use jiff::Timestamp;
use serde::ser::{SerializeStruct as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::c2d::{self, AckBalance, Sent};
use crate::changes::{Changes, TimedOut};
use crate::limits::RECORDS_MAX;
use crate::protocol::Protocol;
use crate::topic::{self, Properties, Publication};

mod content;
pub(crate) mod v21;

pub use content::{Ack, AckKind, Reading, RuleMatch, Sample, Window};

/// What a message is, by its topic (2.1) or its `mt` (legacy).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Values as they should be.
    Report,
    /// Values that are not.
    Fault,
    /// Windows of an edge device.
    Aggregate,
    /// Matches of an edge device's rules.
    RuleMatch,
    /// The answer to a command, a firmware update or a module.
    Ack,
    /// 2.1: what was stored while the device was offline, whatever it was.
    Offline,
    /// 2.1: a sign of life.
    Heartbeat,
    /// 2.1: a device's log.
    DeviceLog,
    /// 2.1: a device asks what it is (200 to 222).
    Identity,
    /// None of them.
    Malformed,
}

/// One device-to-cloud message as it arrived.
/// As JSON it is an object of these fields, with `kind`, `properties` and `json` for the body.
#[derive(Clone, Debug)]
pub struct Record {
    /// Position in the record, from 0; never given twice.
    pub number: u64,
    /// When it arrived, by this machine's clock.
    pub at: Timestamp,
    /// The hub device id that sent it.
    pub device: String,
    /// The connection it came on; numbers grow by one with each accepted CONNECT.
    pub connection: u64,
    /// The topic as received.
    pub topic: String,
    /// The body as received.
    pub body: Bytes,
    /// The DUP flag.
    pub dup: bool,
    /// The RETAIN flag.
    pub retain: bool,
    /// 0 or 1.
    pub qos: u8,
    /// Whether it is the will of a connection that ended without DISCONNECT.
    pub will: bool,
    /// Whether its PUBACK was written to the socket.
    pub acknowledged: bool,
}

impl Record {
    /// The protocol it is in: 2.1 has a property bag, the legacy one has none.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        // Looked at for every record of a long run: most have no bag to decode.
        let bag = self.topic.rsplit('/').next().unwrap_or_default();
        if !bag.is_empty() && v21::is_meant(&self.properties()) { Protocol::V21 } else { Protocol::Legacy }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        match self.protocol() {
            Protocol::Legacy => match self.legacy_type() {
                Some(0) => MessageKind::Report,
                Some(1) => MessageKind::Fault,
                Some(2) => MessageKind::Aggregate,
                Some(3) => MessageKind::RuleMatch,
                Some(5 | 11) => MessageKind::Ack,
                _ => MessageKind::Malformed,
            },
            Protocol::V21 => v21::kind(&self.properties(), &self.body).map_or(MessageKind::Malformed, |(_, kind)| kind),
        }
    }

    /// Legacy: the body's `mt`.
    fn legacy_type(&self) -> Option<i64> {
        #[derive(Deserialize)]
        struct Head {
            mt: i64,
        }
        serde_json::from_slice::<Head>(&self.body).ok().map(|head| head.mt)
    }

    /// The body as JSON; `None` when it is not JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The topic's property bag, decoded, and what the hub adds to it.
    #[must_use]
    pub fn properties(&self) -> Properties {
        let Ok(Publication::Telemetry(mut properties)) = topic::publication(&self.device, &self.topic) else {
            return Properties::new();
        };
        if self.will {
            properties.insert("iothub-MessageType".to_owned(), Some("Will".to_owned()));
        } else if self.retain {
            // Azure "Communicate with an IoT hub using the MQTT protocol", on the RETAIN flag.
            properties.insert("mqtt-retain".to_owned(), Some("true".to_owned()));
        }
        properties
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Record", 13)?;
        fields.serialize_field("number", &self.number)?;
        fields.serialize_field("at", &self.at)?;
        fields.serialize_field("device", &self.device)?;
        fields.serialize_field("connection", &self.connection)?;
        fields.serialize_field("topic", &self.topic)?;
        fields.serialize_field("kind", &self.kind())?;
        fields.serialize_field("properties", &self.properties())?;
        fields.serialize_field("json", &self.json())?;
        fields.serialize_field("dup", &self.dup)?;
        fields.serialize_field("retain", &self.retain)?;
        fields.serialize_field("qos", &self.qos)?;
        fields.serialize_field("will", &self.will)?;
        fields.serialize_field("acknowledged", &self.acknowledged)?;
        fields.end()
    }
}

pub(crate) struct Arrival {
    pub(crate) device: String,
    pub(crate) connection: u64,
    pub(crate) topic: String,
    pub(crate) body: Bytes,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) qos: u8,
    pub(crate) will: bool,
}

/// The record of one simulator. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Mutex<Shared>>,
    changes: Changes,
}

struct Shared {
    records: Vec<Record>,
    /// The number of the first record kept: what [`Recorder::clear`] forgot came before.
    first: u64,
    file: Option<File>,
}

impl Recorder {
    pub(crate) fn new(changes: Changes, file: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            File::options()
                .append(true)
                .create(true)
                .open(path)
                .with_context(|| format!("cannot open the record {}", path.display()))
        };
        let file = file.map(open).transpose()?;
        Ok(Self { shared: Arc::new(Mutex::new(Shared { records: Vec::new(), first: 0, file })), changes })
    }

    /// All records so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// The records from number `first` on, at most `count`.
    #[must_use]
    pub fn page(&self, first: usize, count: usize) -> Vec<Record> {
        self.lock().records.iter().skip(first).take(count).cloned().collect()
    }

    /// How many messages arrived, duplicates included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// Whether nothing has arrived yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at the records without copying them. `look` must be quick: the hub waits for it.
    pub fn with<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&self.lock().records)
    }

    /// Waits until `enough` says so.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_for(&self, mut enough: impl FnMut(&[Record]) -> bool, timeout: Duration) -> Result<(), TimedOut> {
        self.changes.until("messages", timeout, || self.with(&mut enough).then_some(())).await
    }

    /// Waits until `count` readings of `attribute` have arrived, and returns all there are.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_for_readings(
        &self,
        attribute: &str,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Reading>, TimedOut> {
        let what = format!("{count} readings of {attribute}");
        let mut readings = Vec::new();
        let mut next = 0;
        let look = || {
            // Only what is new is read, or waiting for many would take the square of the time.
            next = self.with(|records| {
                let new = records.get(records.partition_point(|record| record.number < next)..).unwrap_or_default();
                readings.extend(new.iter().flat_map(content::readings).filter_map(|reading| reading.of(attribute)));
                new.last().map_or(next, |last| last.number + 1)
            });
            (readings.len() >= count).then(|| std::mem::take(&mut readings))
        };
        self.changes.until(&what, timeout, look).await
    }

    /// Waits for the first ack of `ack_id`, progress or not.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_for_ack(&self, ack_id: &str, timeout: Duration) -> Result<Ack, TimedOut> {
        let what = format!("an ack of {ack_id}");
        self.changes.until(&what, timeout, || self.acks(ack_id).into_iter().next()).await
    }

    /// Waits for the first ack of `ack_id` that says how it ended, of the device itself or of this child.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_for_terminal_ack(
        &self,
        ack_id: &str,
        child: Option<&str>,
        timeout: Duration,
    ) -> Result<Ack, TimedOut> {
        let what = format!("the last ack of {ack_id} of {}", child.unwrap_or("the device itself"));
        let wanted = |ack: &Ack| ack.is_terminal() && ack.child.as_deref() == child;
        self.changes.until(&what, timeout, || self.acks(ack_id).into_iter().find(wanted)).await
    }

    /// Every value of `attribute` in reports, in order of arrival, duplicates included.
    /// `gyro` gives the whole object, `gyro.x` its member.
    #[must_use]
    pub fn readings(&self, attribute: &str) -> Vec<Reading> {
        self.with(|records| {
            records.iter().flat_map(content::readings).filter_map(|reading| reading.of(attribute)).collect()
        })
    }

    /// Every value of every attribute in reports, in order of arrival, duplicates included.
    #[must_use]
    pub fn all_readings(&self) -> Vec<Reading> {
        self.with(|records| records.iter().flat_map(content::readings).collect())
    }

    /// Every report's entry, in order of arrival, duplicates included.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        self.with(|records| records.iter().flat_map(content::samples).collect())
    }

    /// Every ack with this id, in order of arrival, duplicates included.
    #[must_use]
    pub fn acks(&self, ack_id: &str) -> Vec<Ack> {
        self.with(|records| records.iter().filter_map(content::ack).filter(|ack| ack.ack_id == ack_id).collect())
    }

    /// Every ack, in order of arrival, duplicates included.
    #[must_use]
    pub fn all_acks(&self) -> Vec<Ack> {
        self.with(|records| records.iter().filter_map(content::ack).collect())
    }

    /// Every value of `attribute` in faults, in order of arrival, duplicates included.
    #[must_use]
    pub fn faults(&self, attribute: &str) -> Vec<Reading> {
        self.with(|records| {
            records.iter().flat_map(content::faults).filter_map(|reading| reading.of(attribute)).collect()
        })
    }

    /// Every window of `attribute` (`gyro.x` for the member of an object), in order of arrival, duplicates included.
    #[must_use]
    pub fn windows(&self, attribute: &str) -> Vec<Window> {
        self.with(|records| {
            records.iter().flat_map(content::windows).filter(|window| window.attribute == attribute).collect()
        })
    }

    /// Waits until `count` windows of `attribute` of `device` have arrived, and returns all there are of it.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_for_windows(
        &self,
        device: &str,
        attribute: &str,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Window>, TimedOut> {
        let look = || {
            let mut windows = self.windows(attribute);
            windows.retain(|window| window.device == device);
            (windows.len() >= count).then_some(windows)
        };
        self.changes.until(&format!("{count} windows of {attribute} of {device}"), timeout, look).await
    }

    /// Every match of the rule with this guid, in order of arrival, duplicates included.
    #[must_use]
    pub fn rule_matches(&self, guid: &str) -> Vec<RuleMatch> {
        self.with(|records| {
            records.iter().flat_map(content::rule_matches).filter(|matched| matched.rule == guid).collect()
        })
    }

    /// Every record of this kind, in order of arrival, duplicates included: heartbeats, identity messages, malformed
    /// ones.
    #[must_use]
    pub fn of_kind(&self, kind: MessageKind) -> Vec<Record> {
        self.with(|records| records.iter().filter(|record| record.kind() == kind).cloned().collect())
    }

    /// Waits until `count` records of this kind have arrived, and returns all there are.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_for_kind(
        &self,
        kind: MessageKind,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Record>, TimedOut> {
        let look = || Some(self.of_kind(kind)).filter(|records| records.len() >= count);
        self.changes.until(&format!("{count} messages of kind {kind:?}"), timeout, look).await
    }

    /// What the acks of the device `hub_id` make of what was `sent` to it.
    pub(crate) fn balance(&self, hub_id: &str, sent: &[Sent]) -> AckBalance {
        self.with(|records| {
            let own = records.iter().filter(|record| record.device == hub_id);
            c2d::balance(sent, own.filter_map(|record| Some((content::ack(record)?, record))).collect())
        })
    }

    /// How many messages arrived again: same device, same body as an earlier one.
    #[must_use]
    pub fn duplicates(&self) -> usize {
        self.with(|records| {
            let mut seen: HashMap<(&str, &[u8]), usize> = HashMap::new();
            for record in records {
                *seen.entry((&record.device, &record.body)).or_default() += 1;
            }
            seen.values().map(|count| count - 1).sum()
        })
    }

    /// How many messages that ask for a PUBACK got none, by connection: after a connection has ended, its count is what
    /// was in flight when it did.
    #[must_use]
    pub fn unacknowledged(&self) -> BTreeMap<u64, usize> {
        self.with(|records| {
            let mut counts = BTreeMap::new();
            for record in records.iter().filter(|record| record.qos > 0 && !record.acknowledged) {
                *counts.entry(record.connection).or_default() += 1;
            }
            counts
        })
    }

    /// How many messages of `connection` got no PUBACK before it ended.
    #[must_use]
    pub fn unacknowledged_at_disconnect(&self, connection: u64) -> usize {
        self.unacknowledged().get(&connection).copied().unwrap_or_default()
    }

    /// Forgets what was recorded; the file keeps it, and numbers go on.
    pub fn clear(&self) {
        {
            let mut shared = self.lock();
            shared.first += shared.records.len() as u64;
            shared.records.clear();
        }
        self.changes.ring();
    }

    /// The number of the new record; `None` when the record is full and the message must be refused.
    pub(crate) fn add(&self, arrival: Arrival) -> Option<u64> {
        let number = {
            let mut shared = self.lock();
            if shared.records.len() >= RECORDS_MAX {
                return None;
            }
            let number = shared.first + shared.records.len() as u64;
            let record = Record {
                number,
                at: Timestamp::now(),
                device: arrival.device,
                connection: arrival.connection,
                topic: arrival.topic,
                // A copy: as it came, it keeps the whole buffer it was read into.
                body: Bytes::copy_from_slice(&arrival.body),
                dup: arrival.dup,
                retain: arrival.retain,
                qos: arrival.qos,
                will: arrival.will,
                acknowledged: false,
            };
            shared.append(&record);
            shared.records.push(record);
            number
        };
        self.changes.ring();
        Some(number)
    }

    pub(crate) fn acknowledged(&self, numbers: &[u64]) {
        if numbers.is_empty() {
            return;
        }
        {
            let mut shared = self.lock();
            for number in numbers {
                let index = number.checked_sub(shared.first).and_then(|index| usize::try_from(index).ok());
                if let Some(record) = index.and_then(|index| shared.records.get_mut(index)) {
                    record.acknowledged = true;
                }
            }
        }
        self.changes.ring();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn append(&mut self, record: &Record) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_vec(record).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            file.write_all(&line)
        });
        if let Err(error) = written {
            tracing::error!(%error, "cannot append to the record file, going on without it");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests;
