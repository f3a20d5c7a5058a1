//! The open windows of an edge device: for each attribute and tag one tumbling window, in it each device by itself.
//!
//! Windows run freely from the moment their attribute was defined, by the monotonic clock. Members of an object share a
//! window where theirs are equally long. What must stay true: there is no window without a value, and none that the
//! template had no place for, so they are at most as many as its attributes times its devices.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use edgeplug_protocol::aggregate::{Aggregate, Number};
use edgeplug_protocol::telemetry::{self, Body, ClosedWindow, ValidSample};
use edgeplug_protocol::template::{Attribute, Device, Scalar, Template};
use edgeplug_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Step;

/// Length where the cloud names no usable one (the old SDK refuses to start then).
const LENGTH_DEFAULT: Duration = Duration::from_secs(60);

/// A window by what it is about. They are sent in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(super) tag: String,
    pub(super) attribute: String,
    pub(super) length_ms: u64,
}

/// Values of one device: by member, `None` for a scalar.
pub(super) type Members = BTreeMap<Option<String>, Aggregate>;
/// By unique id.
pub(super) type Devices = BTreeMap<String, Members>;

/// A valid number and the window it belongs to.
#[derive(Debug)]
pub(crate) struct Fold {
    key: Key,
    device: String,
    member: Option<String>,
    number: Number,
}

#[derive(Debug, Default)]
pub(super) struct Windows {
    pub(super) open: BTreeMap<Key, Window>,
    /// Since when each window of the template runs.
    since: HashMap<Key, Duration>,
    /// About how many bytes they take as they are written down.
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Window {
    pub(super) ends: End,
    pub(super) devices: Devices,
    /// It, or the beginning of it, is written down.
    pub(super) written: bool,
}

/// When a window ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By the monotonic clock of this boot.
    At(Duration),
    /// By the time of day, Unix milliseconds: it was begun before the system booted, and the time is not known yet. Past
    /// if nobody knew it then.
    Unix(i64),
}

/// Values whose window is over.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) key: Key,
    pub(super) devices: Devices,
    pub(super) written: bool,
}

impl Key {
    fn new(tag: &str, attribute: &str, scalar: &Scalar) -> Self {
        let length = scalar.window.filter(|window| !window.is_zero()).unwrap_or(LENGTH_DEFAULT);
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Self { tag: tag.to_owned(), attribute: attribute.to_owned(), length_ms }
    }

    fn bytes(&self) -> usize {
        const REST: usize = 160;
        REST + self.tag.len() + self.attribute.len()
    }

    pub(super) fn length(&self) -> Duration {
        Duration::from_millis(self.length_ms.max(1))
    }
}

impl Fold {
    /// The numbers of a sample.
    pub(crate) fn of(sample: &ValidSample<'_>) -> impl Iterator<Item = Self> {
        sample.values.iter().filter_map(|value| {
            Some(Self {
                key: Key::new(&sample.device.tag, value.attribute, value.scalar),
                device: sample.device.id.clone(),
                member: value.member.map(str::to_owned),
                number: value.number()?,
            })
        })
    }
}

impl Windows {
    /// Takes a number in.
    pub(super) fn fold(&mut self, fold: Fold, now: Duration) {
        let Fold { key, device, member, number } = fold;
        let since = self.since.get(&key).copied().unwrap_or(now);
        let length = key.length();
        let mut bytes = 0;
        let window = self.open.entry(key).or_insert_with_key(|key| {
            bytes += key.bytes();
            let passed = now.saturating_sub(since).as_nanos() / length.as_nanos().max(1);
            let ends = since + length.saturating_mul(u32::try_from(passed + 1).unwrap_or(u32::MAX));
            Window { ends: End::At(ends), devices: Devices::new(), written: false }
        });
        let members = window.devices.entry(device).or_insert_with_key(|device| {
            bytes += DEVICE_BYTES + device.len();
            Members::new()
        });
        let aggregate = members.entry(member).or_insert_with_key(|member| {
            bytes += VALUE_BYTES + member.as_ref().map_or(0, String::len);
            Aggregate::default()
        });
        aggregate.add(number);
        self.bytes += bytes;
    }

    /// Takes up windows of the last run.
    pub(super) fn restore(&mut self, windows: Vec<(Key, Window)>) {
        self.open.extend(windows);
        self.bytes = self.open.iter().map(|(key, window)| bytes(key, &window.devices)).sum();
    }

    /// About how many bytes they take as they are written down.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.bytes = 0;
    }

    /// Takes over a template; gives back the windows that it has no place for any more.
    pub(super) fn define(&mut self, template: Option<&Template>, now: Duration) -> Vec<Over> {
        let before = std::mem::take(&mut self.since);
        for key in template.into_iter().flat_map(keys) {
            let since = before.get(&key).copied().unwrap_or(now);
            self.since.insert(key, since);
        }
        let is_there = |id: &str| template.is_some_and(|template| template.device(Some(id)).is_some());
        let mut over = Vec::new();
        for (key, mut window) in std::mem::take(&mut self.open) {
            let is_defined = self.since.contains_key(&key);
            let (stays, goes): (Devices, _) =
                std::mem::take(&mut window.devices).into_iter().partition(|(id, _)| is_defined && is_there(id));
            if !goes.is_empty() {
                over.push(Over { key: key.clone(), devices: goes, written: window.written });
            }
            if !stays.is_empty() {
                self.open.insert(key, Window { devices: stays, ..window });
            }
        }
        self.bytes = self.open.iter().map(|(key, window)| bytes(key, &window.devices)).sum();
        over
    }

    /// Ends windows whose time has come, but for those that `may_end` holds back.
    pub(super) fn end(&mut self, now: Duration, mut may_end: impl FnMut(&Key) -> bool) -> Vec<Over> {
        let due = self.open.iter().filter(|(key, window)| window.is_due(now) && may_end(key));
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        let ended: Vec<_> = due.into_iter().filter_map(|key| self.open.remove_entry(&key)).map(Over::from).collect();
        self.bytes = self.bytes.saturating_sub(ended.iter().map(Over::bytes).sum());
        ended
    }

    /// Ends all, whatever their time.
    pub(super) fn end_all(&mut self) -> Vec<Over> {
        self.bytes = 0;
        std::mem::take(&mut self.open).into_iter().map(Over::from).collect()
    }
}

impl Window {
    pub(super) fn is_due(&self, now: Duration) -> bool {
        matches!(self.ends, End::At(at) if at <= now)
    }
}

impl From<(Key, Window)> for Over {
    fn from((key, Window { devices, written, .. }): (Key, Window)) -> Self {
        Self { key, devices, written }
    }
}

impl Over {
    /// About how many bytes it takes as it is written down.
    pub(super) fn bytes(&self) -> usize {
        bytes(&self.key, &self.devices)
    }

    /// Its messages: one, or several where all devices together are larger than `bytes_max`. Devices that the template has
    /// no more are named all the same.
    pub(super) fn bodies(&self, template: &Template, at: &Timestamp, bytes_max: usize, step: &Step<'_>) -> Vec<Body> {
        let gone = self.devices.keys().filter(|id| template.device(Some(id)).is_none());
        let gone: Vec<_> = gone.map(|id| Device { id: id.clone(), tag: self.key.tag.clone() }).collect();
        if gone.is_empty() {
            return self.bodies_of_known(template, at, bytes_max, step);
        }
        let mut template = template.clone();
        template.devices.extend(gone);
        self.bodies_of_known(&template, at, bytes_max, step)
    }

    fn bodies_of_known(&self, template: &Template, at: &Timestamp, bytes_max: usize, step: &Step<'_>) -> Vec<Body> {
        // In the order of the template, as the old SDK sends them.
        let mut devices: Vec<_> = self.devices.iter().collect();
        let position = |id: &str| template.devices.iter().position(|device| device.id == id);
        devices.sort_by_key(|(id, _)| position(id));
        let mut bodies = Vec::new();
        let mut pieces = vec![devices.as_slice()];
        while let Some(piece) = pieces.pop() {
            let windows: Vec<_> = piece
                .iter()
                .flat_map(|(id, members)| members.iter().map(|(member, aggregate)| (id.as_str(), member, aggregate)))
                .map(|(device, member, aggregate)| {
                    let (attribute, member) = (self.key.attribute.as_str(), member.as_deref());
                    ClosedWindow { device, attribute, member, aggregate }
                })
                .collect();
            let body = telemetry::edge_report(template, &step.world.sdk, &windows, at);
            match body {
                Some(body) if body.bytes().len() > bytes_max && piece.len() > 1 => {
                    let (first, second) = piece.split_at(piece.len() / 2);
                    pieces.push(second);
                    pieces.push(first);
                }
                body => bodies.extend(body),
            }
        }
        bodies
    }
}

/// Messages of samples that had to wait for the template or the time: a window of their own for each attribute.
pub(crate) fn of_stored(
    samples: &[ValidSample<'_>],
    template: &Template,
    at: &Timestamp,
    bytes_max: usize,
    step: &Step<'_>,
) -> Vec<Body> {
    let mut windows = Windows::default();
    for fold in samples.iter().flat_map(Fold::of) {
        windows.fold(fold, Duration::ZERO);
    }
    windows.end_all().iter().flat_map(|over| over.bodies(template, at, bytes_max, step)).collect()
}

/// Room for numbers: five of them and their punctuation.
const VALUE_BYTES: usize = 120;
const DEVICE_BYTES: usize = 8;

fn bytes(key: &Key, devices: &Devices) -> usize {
    let members = |members: &Members| -> usize {
        members.keys().map(|member| VALUE_BYTES + member.as_ref().map_or(0, String::len)).sum()
    };
    let devices = devices.iter().map(|(device, of_device)| DEVICE_BYTES + device.len() + members(of_device));
    key.bytes() + devices.sum::<usize>()
}

/// Every window a template has room for.
fn keys(template: &Template) -> Vec<Key> {
    let mut tags: Vec<_> = template.devices.iter().map(|device| device.tag.as_str()).collect();
    tags.sort_unstable();
    tags.dedup();
    let mut keys = Vec::new();
    for tag in tags {
        for (name, attribute) in template.attributes(tag).into_iter().flatten() {
            match attribute {
                Attribute::Scalar(scalar) => keys.push(Key::new(tag, name, scalar)),
                Attribute::Object(members) => keys.extend(members.values().map(|scalar| Key::new(tag, name, scalar))),
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests;
