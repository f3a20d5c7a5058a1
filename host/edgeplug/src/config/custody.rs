//! `[outbox]` and `[uplink]`: what is kept, how safely, and how it travels.

use std::collections::BTreeMap;
use std::time::Duration;

use edgeplug_outbox::{Durability as OutboxDurability, SpaceLimits};
use edgeplug_protocol::definition::Rounding;
use edgeplug_session::config::{Batch, Durability as SessionDurability, FrequencyPolicy};
use serde::Deserialize;

use super::context::Context;
use crate::exit::Problem;

const MIB: u64 = 1024 * 1024;
/// One segment with its log and its index needs this much; a TiB is more than any device fills.
const SPACE_MB: std::ops::RangeInclusive<u64> = 16..=1_048_576;
/// Segments; each is a file that may be open with its log.
const FILES: std::ops::RangeInclusive<u16> = 1..=64;
/// Rows a crash may send twice, and what the session keeps in memory of them.
const WINDOW: std::ops::RangeInclusive<u16> = 1..=8_192;
/// Packet ids are 16 bits; beyond a thousand nothing gets faster.
const IN_FLIGHT: std::ops::RangeInclusive<u16> = 1..=1_000;
const BACKLOG_PER_S: std::ops::RangeInclusive<u32> = 1..=100_000;
const DAILY_MB: std::ops::RangeInclusive<u64> = 1..=1_000_000;
/// The hub takes 256 KB (Azure IoT Hub quotas and throttling); below half a KB a batch holds nothing.
const BATCH_BYTES: std::ops::RangeInclusive<usize> = 512..=256 * 1024;
/// A minute: longer waits are a matter of the sampling interval.
const BATCH_DELAY_MS: std::ops::RangeInclusive<u64> = 0..=60_000;
/// An f64 has no more.
const DECIMALS: std::ops::RangeInclusive<u8> = 0..=15;
const DECIMALS_NAMES_MAX: usize = 1_000;
const PUBACK_TIMEOUT_S: std::ops::RangeInclusive<u64> = 1..=3_600;
/// A minute to ten years.
const TIME_TO_LIVE_S: std::ops::RangeInclusive<u64> = 60..=315_360_000;

/// How the outbox is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboxConfig {
    pub(crate) limits: SpaceLimits,
    pub(crate) durability: OutboxDurability,
}

/// What `[outbox]` and `[uplink]` mean for the session.
pub(super) struct Custody {
    pub(super) outbox: OutboxConfig,
    pub(super) durability: SessionDurability,
    pub(super) time_to_live: Option<Duration>,
    pub(super) window: u16,
    pub(super) in_flight_max: u16,
    pub(super) batch: Option<Batch>,
    pub(super) backlog_per_s: u32,
    pub(super) daily_bytes_max: Option<u64>,
    pub(super) puback_timeout: Duration,
    pub(super) frequency: FrequencyPolicy,
    pub(super) decimals: Rounding,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedOutbox {
    available_space_mb: Option<u64>,
    file_count: Option<u16>,
    #[serde(default)]
    durability: TypedDurability,
    time_to_live_s: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TypedDurability {
    #[default]
    PowerLoss,
    ProcessCrash,
    OfflineOnly,
    None,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedUplink {
    window: Option<u16>,
    in_flight: Option<u16>,
    backlog_per_s: Option<u32>,
    daily_mb: Option<u64>,
    puback_timeout_s: Option<u64>,
    #[serde(default)]
    batch: TypedBatch,
    #[serde(default)]
    frequency: TypedFrequency,
    #[serde(default)]
    decimals: BTreeMap<String, u8>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TypedFrequency {
    #[default]
    KeepLatest,
    Drop,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedBatch {
    bytes: Option<usize>,
    delay_ms: Option<u64>,
}

/// Checks both parts together.
pub(super) fn check(outbox: &TypedOutbox, uplink: &TypedUplink, context: &Context<'_>) -> Result<Custody, Problem> {
    let window = context.range("uplink.window", uplink.window, 1_024, WINDOW, "rows")?;
    let in_flight_max = context.range("uplink.in_flight", uplink.in_flight, 100, IN_FLIGHT, "messages")?;
    if in_flight_max > window && uplink.in_flight.is_some() {
        let reason = format!("{in_flight_max} messages do not fit a window of {window} rows; raise uplink.window");
        return Err(context.invalid("uplink.in_flight", &reason));
    }
    let optional = |key, typed: Option<u64>, range: std::ops::RangeInclusive<u64>, unit| match typed {
        Some(value) => context.range(key, Some(value), *range.end(), range, unit).map(Some),
        None => Ok(None),
    };
    Ok(Custody {
        outbox: OutboxConfig {
            limits: outbox.limits(context)?,
            durability: match outbox.durability {
                TypedDurability::ProcessCrash => OutboxDurability::ProcessCrash,
                // What the last two store at all, they store as safely as the first.
                TypedDurability::PowerLoss | TypedDurability::OfflineOnly | TypedDurability::None => {
                    OutboxDurability::PowerLoss
                }
            },
        },
        durability: match outbox.durability {
            TypedDurability::PowerLoss | TypedDurability::ProcessCrash => SessionDurability::Stored,
            TypedDurability::OfflineOnly => SessionDurability::OfflineOnly,
            TypedDurability::None => SessionDurability::None,
        },
        time_to_live: optional("outbox.time_to_live_s", outbox.time_to_live_s, TIME_TO_LIVE_S, "seconds")?
            .map(Duration::from_secs),
        window,
        in_flight_max: in_flight_max.min(window),
        batch: uplink.batch.check(context)?,
        backlog_per_s: context.range(
            "uplink.backlog_per_s",
            uplink.backlog_per_s,
            50,
            BACKLOG_PER_S,
            "messages a second",
        )?,
        daily_bytes_max: optional("uplink.daily_mb", uplink.daily_mb, DAILY_MB, "MiB a day")?.map(|mb| mb * MIB),
        puback_timeout: Duration::from_secs(context.range(
            "uplink.puback_timeout_s",
            uplink.puback_timeout_s,
            60,
            PUBACK_TIMEOUT_S,
            "seconds",
        )?),
        frequency: match uplink.frequency {
            TypedFrequency::KeepLatest => FrequencyPolicy::KeepLatest,
            TypedFrequency::Drop => FrequencyPolicy::Drop,
        },
        decimals: decimals(&uplink.decimals, context)?,
    })
}

fn decimals(typed: &BTreeMap<String, u8>, context: &Context<'_>) -> Result<Rounding, Problem> {
    if typed.len() > DECIMALS_NAMES_MAX {
        let reason = format!("{} attributes; at most {DECIMALS_NAMES_MAX} are taken", typed.len());
        return Err(context.invalid("uplink.decimals", &reason));
    }
    for (name, decimals) in typed {
        context.range(&format!("uplink.decimals.{name}"), Some(*decimals), *DECIMALS.end(), DECIMALS, "decimals")?;
    }
    Ok(typed.clone())
}

impl TypedOutbox {
    fn limits(&self, context: &Context<'_>) -> Result<SpaceLimits, Problem> {
        let key = "outbox.available_space_mb";
        if self.available_space_mb == Some(0) {
            let reason = "0 meant \"no limit\" in the Python SDK; a store without a limit fills the disk, so name one \
                          (or set outbox.durability = \"none\" to store no telemetry)";
            return Err(context.invalid(key, reason));
        }
        let default = SpaceLimits::default();
        let space_mb = context.range(key, self.available_space_mb, default.bytes_max / MIB, SPACE_MB, "MiB")?;
        let files_max = context.range("outbox.file_count", self.file_count, default.files_max, FILES, "files")?;
        let least_mb = SpaceLimits::bytes_min(files_max).div_ceil(MIB);
        if space_mb < least_mb {
            let reason = format!("{files_max} files need {least_mb} MiB at least; name more room or fewer files");
            return Err(context.invalid(key, &reason));
        }
        Ok(SpaceLimits { bytes_max: space_mb * MIB, files_max })
    }
}

impl TypedBatch {
    fn check(&self, context: &Context<'_>) -> Result<Option<Batch>, Problem> {
        let delay_ms = context.range("uplink.batch.delay_ms", self.delay_ms, 500, BATCH_DELAY_MS, "milliseconds")?;
        if self.bytes == Some(0) {
            return Ok(None);
        }
        let bytes_max =
            context.range("uplink.batch.bytes", self.bytes, 4096, BATCH_BYTES, "bytes, or 0 for no batches")?;
        Ok(Some(Batch { bytes_max, delay: Duration::from_millis(delay_ms) }))
    }
}
