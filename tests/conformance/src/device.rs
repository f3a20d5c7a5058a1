//! The device under test: the real session between a store, a portal and a hub in memory, and a clock moved by hand.
//!
//! Everything an action asks for happens at once, so that only the session's own timers need time to pass. What can be
//! seen from outside is collected as [`Happening`]s.

mod actions;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, ensure};
use edgeplug_protocol::ack::StatusTable;
use edgeplug_protocol::azure::registration::RegistrationId;
use edgeplug_protocol::definition::{Definition, Rounding};
use edgeplug_protocol::version::Version;
use edgeplug_session::config::{
    Durability, FrequencyPolicy, HardStopPolicy, ProtocolChoice, RegistrationName, SessionConfig,
};
use edgeplug_session::event::{Ask, CommandScope, OperatorRequest, PluginUp, Restored};
use edgeplug_session::{AskId, ConnectionId, DeliveryId, Event, LinkState, Now, OfferId, RequestId, Session, Status};
use serde_json::Value;

use crate::case::Case;
use crate::happening::{Happening, version_of};
use crate::portal::{DISCOVERY, DPS, Portal, Twin};
use crate::store::Store;

/// The plugin that stands for the application.
const APPLICATION: &str = "application";
/// A device that has been running for a while when the case begins.
const UPTIME: Duration = Duration::from_secs(24 * 3600);
/// 2026-11-23T12:00:00Z.
const START_UNIX_MS: i64 = 1_795_435_200_000;
/// A session that wants to be woken so often in one instant never comes to rest.
const WAKES_MAX: u32 = 1_000;
/// Nothing a case does takes so many events.
const EVENTS_MAX: u32 = 1_000_000;
/// Retries that fire at once before a case is given up.
const RETRIES_MAX: u32 = 20;
/// Stands for every number the SDK has for a failed constructor.
pub(crate) const NOT_CONNECTED: &str = "not connected";
/// The SDK's number for a child that cannot be created here.
const CHILD_REFUSED: &str = "04";
/// A retry comes within this, other timers of an idle device much later.
const RETRY_WITHIN: Duration = Duration::from_secs(600);

/// The device under test.
pub(crate) struct Device {
    session: Session,
    version: Version,
    unique_id: String,
    monotonic: Duration,
    coming: VecDeque<Event>,
    store: Store,
    portal: Portal,
    /// The hub's side of the twin.
    pub(crate) twin: Twin,
    /// Request numbers of questions for the whole twin that nobody answered.
    twin_questions: VecDeque<String>,
    /// Whether such a question is answered with what the hub keeps.
    pub(crate) answers_twin_questions: bool,
    has_callback: bool,
    retries: bool,
    has_hub_key: bool,
    /// An open connection and its client id.
    connection: Option<(ConnectionId, String)>,
    last_delivery: u64,
    /// A delivered message that only a plugin's later interface could be handed.
    delivered: Option<(DeliveryId, Happening)>,
    last_ask: u64,
    last_offer: u64,
    last_request: u64,
    /// Whether the request for a child under way is a creation.
    child_request: Option<bool>,
    /// What the session says it knows.
    pub(crate) definition: Option<Definition>,
    /// The cloud stopped this device.
    pub(crate) stopped: bool,
    /// What plugins were last told.
    pub(crate) connected: bool,
    /// Which desired document plugins have.
    told_desired: Option<Value>,
    seen: Vec<Happening>,
    remarks: Vec<String>,
    events: u32,
}

impl Device {
    /// Switched off.
    pub(crate) fn new(case: &mut Case) -> Result<Self> {
        let config = &case.config;
        let registration = RegistrationId::iotconnect(&config.cpid, &config.unique_id);
        let session_config = SessionConfig {
            cpid: config.cpid.clone(),
            environment: config.environment.clone(),
            unique_id: config.unique_id.clone(),
            language: "M_PYTHON".into(),
            discovery_url: DISCOVERY.into(),
            dps_url: DPS.into(),
            scope_id: config.scope_id.clone(),
            registration: RegistrationName::Is(registration.or_else(|_| RegistrationId::new("device"))?),
            // No renewal comes into a case.
            token_life: Duration::from_secs(365 * 24 * 3600),
            boot_id: "boot".into(),
            window: 1_024,
            in_flight_max: 100,
            retry_max: Duration::from_secs(300),
            puback_timeout: Duration::from_secs(60),
            batch: None,
            backlog_per_s: 1_000,
            daily_bytes_max: None,
            time_to_live: None,
            durability: Durability::Stored,
            protocol: ProtocolChoice::Only(case.version),
            sid: config.sid.clone(),
            frequency: FrequencyPolicy::Drop,
            hard_stop: HardStopPolicy::UntilResume,
            hard_stop_wipes: false,
            rounding: Rounding::new(),
            ack_status: StatusTable::default(),
            transforms: edgeplug_session::config::Transforms::default(),
            ota: edgeplug_session::config::OtaPolicy::default(),
        };
        let portal = std::mem::take(&mut case.portal);
        // Only with a TPM (`at` 4) does "not registered" lead to DPS.
        let wants_dps = |sync: &Value| {
            let number = |key: &str| sync.get(key).and_then(Value::as_i64);
            number("ds") == Some(1) && number("at") == Some(4)
        };
        let not_registered =
            wants_dps(&portal.sync) || portal.sync_sequence.iter().filter_map(|answer| answer.get("d")).any(wants_dps);
        Ok(Self {
            session: Session::new(session_config, 7),
            version: case.version,
            unique_id: case.config.unique_id.clone(),
            monotonic: UPTIME,
            coming: VecDeque::new(),
            store: Store::default(),
            portal: Portal::new(case.version, portal),
            twin: Twin::new(1),
            twin_questions: VecDeque::new(),
            answers_twin_questions: true,
            has_callback: case.has_callback,
            retries: case.retries,
            has_hub_key: !not_registered,
            connection: None,
            last_delivery: 0,
            delivered: None,
            last_ask: 0,
            last_offer: 0,
            last_request: 0,
            child_request: None,
            definition: None,
            stopped: false,
            connected: false,
            told_desired: None,
            seen: Vec::new(),
            remarks: Vec::new(),
            events: 0,
        })
    }

    /// Switches it on and lets it go the whole way to the hub.
    pub(crate) fn connect(&mut self) -> Result<()> {
        self.coming.push_back(Event::Restored(Restored::default()));
        self.coming.push_back(Event::PluginUp(PluginUp {
            plugin: APPLICATION.into(),
            interval: None,
            commands: self.has_callback.then(CommandScope::default),
            firmware: None,
        }));
        self.coming.push_back(Event::PluginsScanned);
        self.settle()?;
        for _ in 0..RETRIES_MAX {
            if !self.retries || self.is_online() || !self.jump_to_timer(Duration::MAX)? {
                break;
            }
        }
        if !self.is_online()
            && let Some(trouble) = self.status().trouble
        {
            self.remarks.push(format!("not connected: {}", trouble.text));
            self.seen.push(Happening::Error(NOT_CONNECTED.to_owned()));
        }
        Ok(())
    }

    /// What was seen since the last time, and remarks that may explain it.
    pub(crate) fn take_seen(&mut self) -> (Vec<Happening>, Vec<String>) {
        (std::mem::take(&mut self.seen), std::mem::take(&mut self.remarks))
    }

    /// The next whole twin is news whatever it holds.
    pub(crate) fn forget_what_was_told(&mut self) {
        self.told_desired = None;
    }

    /// Adds what the harness itself can say.
    pub(crate) fn see(&mut self, happening: Happening) {
        self.seen.push(happening);
    }

    /// The moment, in Unix milliseconds.
    pub(crate) fn unix_ms(&self) -> i64 {
        self.now().wall_unix_ms
    }

    /// Whether there is a connection to the hub.
    pub(crate) fn is_online(&self) -> bool {
        self.connection.is_some() && self.status().link == LinkState::Online
    }

    /// The portal behind it.
    pub(crate) fn portal(&mut self) -> &mut Portal {
        &mut self.portal
    }

    /// The application sends readings. Each call is a source of its own, so that the data frequency never blocks.
    pub(crate) fn offer(&mut self, samples: Vec<edgeplug_protocol::sample::Sample>) -> Result<()> {
        self.last_offer += 1;
        let plugin = format!("{APPLICATION}-{}", self.last_offer);
        self.handle(Event::Offered { plugin, offer: OfferId(self.last_offer), samples })?;
        self.settle()
    }

    /// The application wants something.
    pub(crate) fn ask(&mut self, request: Ask) -> Result<()> {
        self.last_ask += 1;
        self.handle(Event::Asked { plugin: APPLICATION.into(), ask: AskId(self.last_ask), request })?;
        self.settle()
    }

    /// A child is created or deleted.
    pub(crate) fn ask_for_child(&mut self, what: OperatorRequest) -> Result<()> {
        self.last_request += 1;
        self.child_request = Some(matches!(what, OperatorRequest::CreateChild { .. }));
        self.handle(Event::Operator { request: RequestId(self.last_request), what })?;
        self.settle()
    }

    /// A message from the cloud; nothing without a connection.
    pub(crate) fn cloud_says(&mut self, body: &str) -> Result<()> {
        self.deliver(body.to_owned());
        self.settle()?;
        for _ in 0..RETRIES_MAX {
            let requests = self.requests_seen();
            if !self.retries || !self.jump_to_timer(RETRY_WITHIN)? || self.requests_seen() == requests {
                break;
            }
        }
        Ok(())
    }

    /// The hub tells of a desired patch.
    pub(crate) fn push_desired(&mut self, patch: &str) -> Result<()> {
        let version = match serde_json::from_str(patch) {
            Ok(patch @ Value::Object(_)) => self.twin.patch_desired(&patch),
            // The hub would never send this; its version is where it was.
            _ => self.twin.patch_desired(&Value::Null),
        };
        self.receive(format!("$iothub/twin/PATCH/properties/desired/?$version={version}"), patch.to_owned());
        self.settle()
    }

    /// Whether a question for the whole twin waits for an answer.
    pub(crate) fn twin_is_asked_for(&self) -> bool {
        !self.twin_questions.is_empty()
    }

    /// The hub answers every question for the whole twin with this text.
    pub(crate) fn answer_twin_questions(&mut self, document: &str) -> Result<()> {
        for request in std::mem::take(&mut self.twin_questions) {
            self.receive(format!("$iothub/twin/res/200/?$rid={request}"), document.to_owned());
        }
        self.settle()
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn pass(&mut self, time: Duration) -> Result<()> {
        let end = self.monotonic.saturating_add(time);
        while self.jump_to_timer(end.saturating_sub(self.monotonic))? {}
        self.monotonic = end;
        self.handle(Event::Woke)?;
        self.settle()
    }

    fn status(&self) -> Status {
        self.session.status(self.now())
    }

    fn now(&self) -> Now {
        let passed = i64::try_from((self.monotonic - UPTIME).as_millis()).unwrap_or(i64::MAX);
        Now { monotonic: self.monotonic, wall_unix_ms: START_UNIX_MS.saturating_add(passed), wall_trusted: true }
    }

    fn requests_seen(&self) -> usize {
        self.seen.iter().filter(|happening| matches!(happening, Happening::Http { .. })).count()
    }

    /// Goes on to the session's next timer if it is that near.
    fn jump_to_timer(&mut self, within: Duration) -> Result<bool> {
        let Some(timer) = self.session.poll_timeout().filter(|timer| *timer <= self.monotonic.saturating_add(within))
        else {
            return Ok(false);
        };
        self.monotonic = self.monotonic.max(timer);
        self.handle(Event::Woke)?;
        self.settle()?;
        Ok(true)
    }

    /// Feeds what is on its way until nothing is left to do in this instant.
    fn settle(&mut self) -> Result<()> {
        let mut wakes = 0;
        loop {
            while let Some(event) = self.coming.pop_front() {
                self.handle(event)?;
            }
            if self.session.poll_timeout().is_none_or(|timer| timer > self.monotonic) {
                return Ok(());
            }
            wakes += 1;
            ensure!(wakes < WAKES_MAX, "the session does not come to rest: a timer stays in the past");
            self.handle(Event::Woke)?;
        }
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        self.events += 1;
        ensure!(self.events < EVENTS_MAX, "the session does not come to rest: no end of events");
        self.session.handle(event, self.now());
        while let Some(action) = self.session.poll_action() {
            self.carry_out(action)?;
        }
        Ok(())
    }
}

/// The version of the first patch of a case, so that the twin can begin right before it.
pub(crate) fn version_before(patch: &str) -> u64 {
    let patch = serde_json::from_str::<Value>(patch).unwrap_or_default();
    version_of(&patch).map_or(1, |version| version.saturating_sub(1))
}

#[cfg(test)]
mod tests;
