//! What `edgeplug status` shows of the session.

use edgeplug_protocol::version::Version;
use serde::Serialize;

use crate::event::FailureKind;

/// The session as an operator sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Where the way to the cloud stands.
    pub link: LinkState,
    /// What is wrong, if anything.
    pub trouble: Option<Trouble>,
    /// Seconds to the next try.
    pub retry_in_s: Option<f64>,
    /// The plugin that had the connection closed, or `an operator`, as long as it stays closed.
    pub disconnected_by: Option<String>,
    /// Which order of the cloud stopped this device, until that is taken back.
    pub stopped_by_cloud: Option<String>,
    /// The protocol that is spoken, or was last.
    pub protocol: Option<Version>,
    /// Seconds between the heartbeats the cloud wants, if it does.
    pub heartbeat_s: Option<u64>,
    /// What the cloud is being asked again, if anything.
    pub refresh: Option<RefreshStatus>,
    /// Hub host and device id.
    pub hub: Option<String>,
    /// Attributes in the device template; `None` before the first sync.
    pub template_attributes: Option<usize>,
    /// Whether the time of day is known, so that readings can be stamped.
    pub time_known: bool,
    /// Readings on their way.
    pub uplink: UplinkCounts,
    /// Readings on their way through filters.
    pub transform: TransformStatus,
    /// What an edge device does in place of sending readings.
    pub edge: EdgeStatus,
    /// Commands.
    pub commands: CommandCounts,
    /// Commands that plugins deferred and have not ended.
    pub deferred: Vec<DeferredCommand>,
    /// Firmware updates that have no outcome yet, one for each target.
    pub updates: Vec<UpdateStatus>,
    /// Sampling of each plugin.
    pub plugins: Vec<Schedule>,
}

/// What the cloud said to have changed and has not told yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RefreshStatus {
    /// Parts of a sync (1.0) or numbers of messages (2.1).
    pub waiting_for: Vec<String>,
    /// Why the last try failed.
    pub trouble: Option<String>,
    /// Seconds to the next try.
    pub retry_in_s: Option<f64>,
}

/// Steps on the way to the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Not begun.
    Starting,
    /// Reading the TPM or the key file.
    OpeningIdentity,
    /// Asking which agent to talk to.
    Discovering,
    /// Asking for the device's settings.
    Syncing,
    /// Registering with DPS.
    Provisioning,
    /// Signing a token.
    Authorising,
    /// Opening the connection to the hub.
    Connecting,
    /// Connected.
    Online,
    /// A planned reconnect with a new token.
    Renewing,
    /// Waiting before the next try.
    Waiting,
    /// Closed on request of a plugin or an operator, or by the cloud's hard stop.
    Disconnected,
    /// Coming to rest.
    Stopping,
}

/// Something that keeps the device from the cloud and may heal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// By what has to be done.
    pub kind: FailureKind,
    /// In words, with the remedy.
    pub text: String,
}

/// Counts of readings since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct UplinkCounts {
    /// Samples committed to the store, or taken into memory in the modes that store less.
    pub accepted: u64,
    /// Samples not taken.
    pub rejected: u64,
    /// Samples that came sooner than the cloud wants them (data frequency).
    pub held_back: u64,
    /// Devices' latest values that were held back and given up.
    pub held_back_lost: u64,
    /// Rows the hub took over.
    pub delivered: u64,
    /// Stored samples that cannot be read or that no template has a place for; given up, and logged.
    pub given_up: u64,
    /// Rows that wait in the store or in memory, in flight ones included.
    pub waiting: u64,
    /// Publishes without PUBACK.
    pub in_flight: u64,
    /// Messages the hub took over; rows travel several to a message.
    pub messages: u64,
    /// Of `waiting`, rows that wait behind live ones, sent at the backlog's rate.
    pub backlog: u64,
    /// Rows the store gave up to keep its limits.
    pub evicted: u64,
    /// Rows given up because they outlived their time to live.
    pub expired: u64,
    /// Bytes published today (UTC), topic and body.
    pub bytes_today: u64,
    /// Whether the daily budget is spent, so that only alarms go.
    pub budget_spent: bool,
}

/// What filters did with other plugins' readings since start. Samples are counted as their sources gave them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TransformStatus {
    /// Batches that wait for a filter or are with one.
    pub waiting: u64,
    /// Samples that are through.
    pub filtered: u64,
    /// Of these, samples of batches of which a filter left nothing.
    pub left_nothing: u64,
    /// Samples that went past a filter that failed, once for each such filter.
    pub unfiltered: u64,
    /// Samples that were not taken because a filter failed.
    pub dropped: u64,
    /// Samples that were not taken because too many waited.
    pub behind: u64,
    /// Filters that did not do their work the last time they were needed.
    pub trouble: Vec<FilterTrouble>,
}

/// A filter that did not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilterTrouble {
    /// Its name.
    pub plugin: String,
    /// Why.
    pub reason: String,
}

/// An edge device's windows and rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EdgeStatus {
    /// Open windows with values, each device's counted by itself.
    pub windows: u64,
    /// Rules in use.
    pub rules: u64,
    /// Rules that are left out.
    pub rules_not_understood: Vec<RuleTrouble>,
    /// Times a rule matched since start.
    pub matches: u64,
}

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleTrouble {
    /// Its guid at the portal.
    pub guid: String,
    /// Its condition, as typed there.
    pub condition: String,
    /// What is wrong with it, and where.
    pub reason: String,
}

/// Counts of commands since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CommandCounts {
    /// Taken over from the hub.
    pub accepted: u64,
    /// Finished well.
    pub done: u64,
    /// Finished badly.
    pub failed: u64,
    /// Waiting or running.
    pub open: u64,
}

/// A command that takes longer than the plugin's call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeferredCommand {
    /// Its id.
    pub id: String,
    /// Who has it.
    pub plugin: String,
    /// Seconds until it counts as failed.
    pub seconds_left: u64,
    /// How far it is, if the plugin said so: 0 to 100.
    pub percent: Option<u8>,
    /// And in words.
    pub message: Option<String>,
}

/// A firmware update of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpdateStatus {
    /// The cloud's id, the same for all targets.
    pub id: String,
    /// Unique id of the child; `None` for the device itself.
    pub target: Option<String>,
    /// Software version as the cloud says it; may be empty.
    pub version: String,
    /// How far it is.
    pub phase: UpdatePhase,
    /// The file in hand, if it is one.
    pub file: Option<String>,
    /// How far the phase is, if that is known: 0 to 100.
    pub percent: Option<u8>,
    /// Times the files were asked for, or the file in hand was handed over.
    pub attempts: u32,
    /// What went wrong last, if anything.
    pub trouble: Option<String>,
}

/// Steps of a firmware update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdatePhase {
    /// Behind another one.
    Queued,
    /// Its files are being fetched and verified, or will be after a wait.
    Fetching,
    /// Its URLs expired; the cloud is asked for new ones.
    AwaitingUrls,
    /// Verified; waits for who takes it.
    Ready,
    /// With a plugin, the installer or the plugin directory.
    HandingOver,
    /// A plugin has it and tells the end later.
    Deferred,
    /// Installed; the device has to restart.
    AwaitingRestart,
    /// A component proves itself.
    Probation,
}

/// When a plugin is sampled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// Its name.
    pub plugin: String,
    /// Seconds between samples.
    pub interval_s: f64,
    /// Seconds to the next.
    pub next_in_s: f64,
    /// Times the next sample was due while the one before still ran.
    pub skipped: u64,
    /// Calls that gave nothing.
    pub failed: u64,
}
