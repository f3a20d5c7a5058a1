//! Windows as they are written down ([`crate::action::Fact::Windows`]).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::aggregate::{Aggregate, Number};
use serde::{Deserialize, Serialize};

use super::windows::{Devices, End, Key, Over, Window};
use crate::{Now, Step};

/// All of them, and in which boot of the system that was.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    boot: String,
    windows: Vec<KeptWindow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptWindow {
    #[serde(flatten)]
    key: Key,
    /// By the monotonic clock; absent where it is not known any more.
    ends_boot_ms: Option<i64>,
    /// By the time of day, as far as it was known.
    ends_unix_ms: Option<i64>,
    /// It is over, since then; its message is not in the store yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    over_unix_ms: Option<i64>,
    /// By device.
    values: BTreeMap<String, Vec<KeptValue>>,
}

/// Member, minimum, maximum, sum, count, latest: a gateway has thousands of them.
#[derive(Debug, Serialize, Deserialize)]
struct KeptValue(Option<String>, Number, Number, Number, u64, Number);

/// What the last run wrote down.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) open: Vec<(Key, Window)>,
    /// With when they were over, Unix milliseconds.
    pub(super) over: Vec<(Over, i64)>,
}

/// Nothing for no windows.
pub(super) fn write<'a>(
    open: impl Iterator<Item = (&'a Key, &'a Window)>,
    over: impl Iterator<Item = (&'a Over, i64)>,
    step: &Step<'_>,
) -> Bytes {
    let open = open.map(|(key, window)| {
        let (ends_boot_ms, ends_unix_ms) = match window.ends {
            End::At(at) => {
                let at_ms = Now { monotonic: at, ..step.now }.monotonic_ms();
                (Some(at_ms), step.clock.unix_ms_at(at_ms))
            }
            End::Unix(unix_ms) => (None, Some(unix_ms)),
        };
        KeptWindow { key: key.clone(), ends_boot_ms, ends_unix_ms, over_unix_ms: None, values: values(&window.devices) }
    });
    let over = over.map(|(over, at_unix_ms)| KeptWindow {
        key: over.key.clone(),
        ends_boot_ms: None,
        ends_unix_ms: None,
        over_unix_ms: Some(at_unix_ms),
        values: values(&over.devices),
    });
    let kept = Kept { boot: step.config.boot_id.clone(), windows: open.chain(over).collect() };
    if kept.windows.is_empty() {
        return Bytes::new();
    }
    // Numbers, texts and lists have no way to fail.
    serde_json::to_vec(&kept).map(Bytes::from).unwrap_or_default()
}

/// Reads them back; ends of another boot go by the time of day.
pub(super) fn read(bytes: &[u8], step: &Step<'_>) -> Result<Restored, serde_json::Error> {
    let Kept { boot, windows } = serde_json::from_slice(bytes)?;
    let same_boot = !boot.is_empty() && boot == step.config.boot_id;
    let mut restored = Restored::default();
    for KeptWindow { key, ends_boot_ms, ends_unix_ms, over_unix_ms, values } in windows {
        let member =
            |KeptValue(member, min, max, sum, count, latest)| (member, Aggregate { min, max, sum, count, latest });
        let devices: Devices =
            values.into_iter().map(|(device, values)| (device, values.into_iter().map(member).collect())).collect();
        if let Some(at_unix_ms) = over_unix_ms {
            restored.over.push((Over { key, devices, written: true }, at_unix_ms));
            continue;
        }
        let this_boot_ms = ends_boot_ms.filter(|_| same_boot).and_then(|ms| u64::try_from(ms).ok());
        let ends = match this_boot_ms {
            // Whatever was written, no window lasts longer than its length.
            Some(ms) => End::At(Duration::from_millis(ms).min(step.now.monotonic.saturating_add(key.length()))),
            None => End::Unix(ends_unix_ms.unwrap_or(i64::MIN)),
        };
        restored.open.push((key, Window { ends, devices, written: true }));
    }
    Ok(restored)
}

fn values(devices: &Devices) -> BTreeMap<String, Vec<KeptValue>> {
    let value = |(member, aggregate): (&Option<String>, &Aggregate)| {
        let Aggregate { min, max, sum, count, latest } = *aggregate;
        KeptValue(member.clone(), min, max, sum, count, latest)
    };
    devices.iter().map(|(device, members)| (device.clone(), members.iter().map(value).collect())).collect()
}
