//! What arrived, held against what was accepted: lost, twice, out of order, two outcomes.
//!
//! A reading is named by its plugin, the start of the plugin's run and its number in it. Guests send one reading a row, so that
//! readings are rows, and their order by name is the order of their rows in the store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use edgeplug_cloud::Record;
use serde::Deserialize;
use serde_json::value::RawValue;

/// `NAME-MS` and a number, as the guest `sequence` sends them. Ordered as the guest made them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadingId {
    /// Name of the plugin, as given to the guest.
    pub plugin: String,
    /// When the guest was started, in Unix milliseconds.
    pub run: u64,
    /// Number in the run.
    pub number: i64,
}

impl ReadingId {
    /// `None` for a run of another form.
    #[must_use]
    pub fn new(run: &str, number: i64) -> Option<Self> {
        let (plugin, started) = run.rsplit_once('-')?;
        Some(Self { plugin: plugin.to_owned(), run: started.parse().ok()?, number })
    }
}

/// One reading as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Which.
    pub id: ReadingId,
    /// Whether its message was marked as stored while offline.
    pub offline: bool,
    /// How long after it was taken it arrived, in milliseconds.
    pub age_ms: i64,
}

/// Everything seen so far.
#[derive(Default)]
pub struct Witness {
    accepted: HashSet<ReadingId>,
    /// Every reading that arrived, and in which cycle last.
    arrived: HashMap<ReadingId, u64>,
    duplicates: u64,
    /// Rows that arrived in this cycle and again in a later one.
    duplicates_of_crash: BTreeMap<u64, u64>,
    /// The bodies that came for each acknowledgement.
    acks: BTreeMap<String, BTreeSet<Bytes>>,
    order: Order,
    messages: u64,
    /// Messages of which nothing could be made.
    unreadable: u64,
}

impl Witness {
    /// A guest logged these as accepted.
    pub fn accept(&mut self, ids: impl IntoIterator<Item = ReadingId>) {
        self.accepted.extend(ids);
    }

    /// These arrived while `cycle` ran. Returns the readings among them.
    pub fn arrive(&mut self, records: &[Record], cycle: u64) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for record in records {
            self.messages += 1;
            match read(record) {
                Some(Message::Readings(readings)) => {
                    for arrival in readings {
                        self.order.arrive(record.connection, &arrival.id);
                        if let Some(before) = self.arrived.insert(arrival.id.clone(), cycle) {
                            self.duplicates += 1;
                            if before < cycle {
                                *self.duplicates_of_crash.entry(before).or_default() += 1;
                            }
                        }
                        arrivals.push(arrival);
                    }
                }
                Some(Message::Ack(id)) => {
                    self.acks.entry(id).or_default().insert(record.body.clone());
                }
                None => self.unreadable += 1,
            }
        }
        arrivals
    }

    /// How many were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.len() as u64
    }

    /// How many different readings arrived, accepted or not.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.arrived.len() as u64
    }

    /// How many messages arrived, of any kind.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// How many messages were nothing that torture's guests send.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Arrived without a guest's word that they were accepted: the word was cut off, or this witness does not see all of it.
    #[must_use]
    pub fn unclaimed(&self) -> u64 {
        self.arrived.keys().filter(|id| !self.accepted.contains(id)).count() as u64
    }

    /// Accepted and not arrived so far.
    #[must_use]
    pub fn missing(&self) -> Vec<&ReadingId> {
        self.accepted.iter().filter(|id| !self.arrived.contains_key(id)).collect()
    }

    /// Readings that arrived again.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Most rows that one crash sent twice.
    #[must_use]
    pub fn duplicates_per_crash_max(&self) -> u64 {
        self.duplicates_of_crash.values().copied().max().unwrap_or(0)
    }

    /// Acknowledgements of which two different ones came.
    #[must_use]
    pub fn double_acks(&self) -> u64 {
        self.acks.values().filter(|bodies| bodies.len() > 1).count() as u64
    }

    /// Whether an acknowledgement of this id came.
    #[must_use]
    pub fn acknowledged(&self, id: &str) -> bool {
        self.acks.contains_key(id)
    }

    /// Connections on which a plugin's readings broke the promised order; see [`Order`].
    #[must_use]
    pub fn order_violations(&self) -> Vec<String> {
        self.order.violations()
    }
}

/// The promised order: on one connection what arrives first is a merge of two ascending runs, the backlog (every row up to
/// some mark) and live rows (above it).
///
/// Rows are seen per plugin, and the same mark splits them all; each plugin's must be such a merge.
#[derive(Default)]
pub struct Order {
    connections: BTreeMap<(u64, String), Seen>,
}

#[derive(Default)]
struct Seen {
    known: HashSet<(u64, i64)>,
    in_order: Vec<(u64, i64)>,
}

impl Order {
    /// Notes an arrival; what comes twice on one connection counts where it came first.
    pub fn arrive(&mut self, connection: u64, id: &ReadingId) {
        let seen = self.connections.entry((connection, id.plugin.clone())).or_default();
        if seen.known.insert((id.run, id.number)) {
            seen.in_order.push((id.run, id.number));
        }
    }

    /// Where it was broken, in words.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let broken = self.connections.iter().filter(|(_, seen)| !splits_into_two_runs(&seen.in_order));
        broken
            .map(|((connection, plugin), seen)| {
                format!("connection {connection}, {plugin}: {}", shorten(&seen.in_order))
            })
            .collect()
    }
}

/// Whether some mark splits the sequence into two ascending runs: every pair in the wrong order must lie across the mark, the
/// later one below it and the earlier one above.
fn splits_into_two_runs<T: Ord + Copy>(sequence: &[T]) -> bool {
    let mut highest: Option<T> = None;
    let mut mark_min: Option<T> = None;
    for item in sequence {
        if highest.is_some_and(|highest| *item < highest) {
            mark_min = mark_min.max(Some(*item));
        }
        highest = highest.max(Some(*item));
    }
    let mut lowest: Option<T> = None;
    let mut mark_below: Option<T> = None;
    for item in sequence.iter().rev() {
        if lowest.is_some_and(|lowest| *item > lowest) {
            mark_below = Some(mark_below.map_or(*item, |below| below.min(*item)));
        }
        lowest = Some(lowest.map_or(*item, |lowest| lowest.min(*item)));
    }
    match (mark_min, mark_below) {
        (Some(min), Some(below)) => min < below,
        _ => true,
    }
}

/// The steps where a sequence goes back, which is where to look.
fn shorten(sequence: &[(u64, i64)]) -> String {
    let back: Vec<_> = sequence
        .windows(2)
        .filter_map(|pair| match pair {
            [one, other] if other < one => Some(format!("{}/{} then {}/{}", one.0, one.1, other.0, other.1)),
            _ => None,
        })
        .take(6)
        .collect();
    back.join(", ")
}

enum Message {
    Readings(Vec<Arrival>),
    /// The id of the command it ends.
    Ack(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    mt: i64,
    #[serde(default)]
    od: i64,
    #[serde(borrow)]
    d: &'a RawValue,
}

#[derive(Deserialize)]
struct Entry {
    dt: String,
    d: Vec<Values>,
}

#[derive(Deserialize)]
struct Values {
    run: String,
    sequence: i64,
}

#[derive(Deserialize)]
struct Ack {
    #[serde(rename = "ackId")]
    ack_id: String,
}

/// Reads a body with a parser of its own; `None` for what torture does not send.
fn read(record: &Record) -> Option<Message> {
    let envelope: Envelope<'_> = serde_json::from_slice(&record.body).ok()?;
    match envelope.mt {
        0 => {
            let entries: Vec<Entry> = serde_json::from_str(envelope.d.get()).ok()?;
            let arrived_ms = record.at.as_millisecond();
            let mut readings = Vec::with_capacity(entries.len());
            for entry in entries {
                let taken_ms = entry.dt.parse::<jiff::Timestamp>().ok()?.as_millisecond();
                for values in entry.d {
                    let id = ReadingId::new(&values.run, values.sequence)?;
                    readings.push(Arrival { id, offline: envelope.od == 1, age_ms: arrived_ms - taken_ms });
                }
            }
            Some(Message::Readings(readings))
        }
        5 => serde_json::from_str::<Ack>(envelope.d.get()).ok().map(|ack| Message::Ack(ack.ack_id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
