//! What the session is told once, by the operator's configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use edgeplug_protocol::ack::StatusTable;
use edgeplug_protocol::azure::registration::{self, RegistrationId};
use edgeplug_protocol::definition::Rounding;
use edgeplug_protocol::version::Version;

/// Under which name a device is enrolled in DPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationName {
    /// This one; IoTConnect's rule makes it `cpId-uniqueId`.
    Is(RegistrationId),
    /// Azure's C client: base32 of the endorsement key's hash.
    Base32OfEndorsementKey,
    /// IoT Edge's documentation: hex of the endorsement key's hash.
    HexOfEndorsementKey,
}

impl RegistrationName {
    /// The id for this device; `None` where it needs an endorsement key and there is none.
    #[must_use]
    pub fn resolve(&self, endorsement_key: Option<&[u8]>) -> Option<RegistrationId> {
        match self {
            Self::Is(id) => Some(id.clone()),
            Self::Base32OfEndorsementKey => RegistrationId::new(registration::base32_of(endorsement_key?)).ok(),
            Self::HexOfEndorsementKey => RegistrationId::new(registration::hex_of(endorsement_key?)).ok(),
        }
    }
}

/// Settings of a session. The shell has checked them.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Company id.
    pub cpid: String,
    /// Environment of the portal.
    pub environment: String,
    /// The device's unique id.
    pub unique_id: String,
    /// Language tag in URLs and bodies.
    pub language: String,
    /// Discovery service: scheme and host.
    pub discovery_url: String,
    /// DPS: scheme and host.
    pub dps_url: String,
    /// DPS scope; without it a device that is not registered stays so.
    pub scope_id: Option<String>,
    /// Name of the DPS enrolment.
    pub registration: RegistrationName,
    /// How long a token for the hub is valid.
    pub token_life: Duration,
    /// Which boot of the system this is; tells whether stored monotonic times are of the same clock.
    pub boot_id: String,
    /// Rows published and not yet removed from the disk at most: what a crash may send twice.
    pub window: u16,
    /// Publishes unacknowledged on the wire at most; the link is handed as many again to follow them.
    pub in_flight_max: u16,
    /// Longest wait between two tries to connect.
    pub retry_max: Duration,
    /// A hub that acknowledges nothing for so long while messages wait for it is not going to.
    pub puback_timeout: Duration,
    /// How rows are gathered into messages; `None` sends each row as a message of its own.
    pub batch: Option<Batch>,
    /// Messages of the backlog sent in a second at most.
    pub backlog_per_s: u32,
    /// Bytes published in a day at most (UTC, topic and body); alarms are sent beyond it.
    pub daily_bytes_max: Option<u64>,
    /// Readings older than this are given up instead of sent.
    pub time_to_live: Option<Duration>,
    /// What is stored.
    pub durability: Durability,
    /// Which protocol to speak.
    pub protocol: ProtocolChoice,
    /// 2.1: the key of this company's subscription; discovery then asks by it instead of by `cpid`.
    pub sid: Option<String>,
    /// What becomes of readings that come sooner than the cloud wants them.
    pub frequency: FrequencyPolicy,
    /// How long a hard stop by the cloud lasts.
    pub hard_stop: HardStopPolicy,
    /// Whether a hard stop also gives up what is stored.
    pub hard_stop_wipes: bool,
    /// Decimals kept of readings.
    pub rounding: Rounding,
    /// Numbers of acknowledgements in 2.1.
    pub ack_status: StatusTable,
    /// Which plugins filter whose readings.
    pub transforms: Transforms,
    /// Firmware updates.
    pub ota: OtaPolicy,
}

/// How firmware updates are carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtaPolicy {
    /// Who takes files for the device itself that are no components.
    pub device_way: DeviceWay,
    /// Whether components for the device itself become plugins; otherwise they are files like others.
    pub components: bool,
    /// How often a hand-over is begun, when the daemon dies during it, before it is given up. At least 1.
    pub attempts_max: u32,
    /// How often the files of a target are asked for before they are given up. At least 1.
    pub fetch_tries_max: u32,
    /// Whether the device must restart after the installer, whatever that says.
    pub restart: bool,
}

/// Who takes files for the device itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceWay {
    /// The plugin in whose scope it is.
    #[default]
    Plugin,
    /// The installer that the operator configured.
    Installer,
}

impl Default for OtaPolicy {
    fn default() -> Self {
        Self {
            device_way: DeviceWay::default(),
            components: true,
            attempts_max: 5,
            fetch_tries_max: 20,
            restart: false,
        }
    }
}

/// Which plugins filter whose readings, as the operator wired it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transforms {
    /// The filters of each source's readings, in their order. `*` stands for every source that has no entry of its own.
    pub filters: BTreeMap<String, Vec<String>>,
    /// What becomes of readings whose filter is missing, fails or is silent.
    pub failure: TransformFailure,
}

/// What becomes of readings whose filter is missing, fails or is silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransformFailure {
    /// They go on as they were, to the next filter if there is one.
    #[default]
    Pass,
    /// They are not taken.
    Drop,
}

impl Transforms {
    /// The filters that this source's readings go through; none filters what it measured itself.
    pub(crate) fn of<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a str> {
        let filters = self.filters.get(source).or_else(|| self.filters.get("*"));
        filters.into_iter().flatten().map(String::as_str).filter(move |filter| *filter != source)
    }

    /// Whether this plugin filters anybody's readings.
    pub(crate) fn is_filter(&self, plugin: &str) -> bool {
        self.filters.values().flatten().any(|filter| filter == plugin)
    }
}

/// Which protocol to speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProtocolChoice {
    /// What the cloud offers this device.
    #[default]
    Auto,
    /// Always this one.
    Only(Version),
}

/// What becomes of readings that come sooner than the cloud wants them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FrequencyPolicy {
    /// They are dropped.
    Drop,
    /// The latest of each source and device is kept in memory and sent when it is time.
    #[default]
    KeepLatest,
}

/// How long a hard stop by the cloud lasts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HardStopPolicy {
    /// Until the daemon is stopped and started; a crash is no restart.
    #[default]
    UntilRestart,
    /// Until an operator says so.
    UntilResume,
}

/// When a message that is not full goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Largest message made of several rows, topic included.
    pub bytes_max: usize,
    /// Longest wait of a row for others.
    pub delay: Duration,
}

/// What "accepted" means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Committed to the store, whatever its own guarantee is.
    #[default]
    Stored,
    /// Committed only while the link is down; otherwise in a bounded window in memory.
    OfflineOnly,
    /// Never committed: in a bounded window in memory.
    None,
}
