//! The daemon's session with everything around it played: a hub that takes all, a store in memory, a clock moved by hand.
//!
//! The portal is never reached; the session connects with the definition it is given as the last one kept.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edgeplug_protocol::definition::{Definition, parse_window};
use edgeplug_session::action::Outcome;
use edgeplug_session::event::{
    Attestation, CommandScope, Failure, FailureKind, LinkDownReason, LoadedRows, PluginUp, Recorded, Registration,
    Reply, Restored,
};
use edgeplug_session::{Action, Event, LinkState, Now, OfferId, RowId, Session};

use super::input::{Call, Setup};
use crate::exit::{Exit, Problem, chain};

/// A device that has been running for a while.
const UPTIME: Duration = Duration::from_secs(24 * 3600);
/// A session that wants to be woken so often in one instant never comes to rest.
const WAKES_MAX: u32 = 10_000;
/// The plugin that local commands of rules go to.
const PLUGIN: &str = "preview";

/// Something that a user of the preview wants to see.
#[derive(Debug, PartialEq)]
pub(super) enum Shown {
    /// What became of a sample.
    Outcome {
        /// Its place in the call, from 1.
        sample: usize,
        outcome: Outcome,
        /// The data frequency that counts now.
        frequency_s: u64,
    },
    /// A message to the cloud.
    Publish { topic: String, body: String },
    /// A local command of an edge rule.
    Command { text: String, device: Option<String> },
}

/// The device that is played.
pub(super) struct Device {
    session: Session,
    definition: Box<Definition>,
    monotonic: Duration,
    start_unix_ms: i64,
    coming: VecDeque<Event>,
    last_row: u64,
    last_offer: u64,
    shown: Vec<(Duration, Shown)>,
}

impl Device {
    /// Connected.
    pub(super) fn start(setup: Setup) -> Result<Self, Problem> {
        let kept = serde_json::to_vec(&setup.definition).map_err(|error| Problem::new(Exit::Failed, chain(&error)))?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut device = Self {
            session: Session::new(setup.session, 1),
            definition: setup.definition,
            monotonic: UPTIME,
            start_unix_ms: i64::try_from(since_1970.as_millis()).unwrap_or_default(),
            coming: VecDeque::new(),
            last_row: 0,
            last_offer: 0,
            shown: Vec::new(),
        };
        device.coming.push_back(Event::Restored(Restored { sync: Some(kept.into()), ..Restored::default() }));
        device.coming.push_back(Event::PluginUp(PluginUp {
            plugin: PLUGIN.into(),
            interval: None,
            commands: Some(CommandScope::default()),
            firmware: None,
        }));
        device.coming.push_back(Event::PluginsScanned);
        device.settle();
        let status = device.session.status(device.now());
        if status.link != LinkState::Online {
            let reason = status.trouble.map_or("no reason is known".to_owned(), |trouble| trouble.text);
            return Err(Problem::new(Exit::Protocol, format!("a device with this answer does not connect: {reason}")));
        }
        Ok(device)
    }

    /// The device's own unique id.
    pub(super) fn own_id(&self) -> &str {
        self.definition.devices.first().map_or("", |device| &device.id)
    }

    /// A plugin sends.
    pub(super) fn offer(&mut self, call: Call) -> Vec<(Duration, Shown)> {
        self.last_offer += 1;
        let offer = OfferId(self.last_offer);
        self.coming.push_back(Event::Offered { plugin: call.plugin, offer, samples: call.samples });
        self.settle();
        let mut shown = std::mem::take(&mut self.shown);
        // First what became of it, then what came of it.
        shown.sort_by_key(|(_, shown)| !matches!(shown, Shown::Outcome { .. }));
        shown
    }

    /// Lets time pass until so long after the start.
    pub(super) fn pass_to(&mut self, at: Duration) -> Vec<(Duration, Shown)> {
        self.pass_until(UPTIME + at);
        std::mem::take(&mut self.shown)
    }

    /// Lets time pass until nothing is held back and every window has ended.
    pub(super) fn run_out(&mut self) -> Vec<(Duration, Shown)> {
        let groups = self.definition.groups.iter();
        let windows = groups.flat_map(|group| {
            let own = group.attributes.iter().map(|attribute| attribute.window.as_str());
            own.chain([group.window.as_str()]).filter_map(parse_window).collect::<Vec<_>>()
        });
        let longest = if self.definition.edge { windows.max() } else { None };
        self.pass_until(self.monotonic + longest.unwrap_or(Duration::from_secs(self.definition.frequency_s)));
        std::mem::take(&mut self.shown)
    }

    fn pass_until(&mut self, end: Duration) {
        while let Some(timer) = self.session.poll_timeout().filter(|timer| *timer <= end) {
            self.monotonic = self.monotonic.max(timer);
            self.handle(Event::Woke);
            self.settle();
        }
        self.monotonic = self.monotonic.max(end);
        self.handle(Event::Woke);
        self.settle();
    }

    fn now(&self) -> Now {
        let passed = i64::try_from((self.monotonic - UPTIME).as_millis()).unwrap_or(i64::MAX);
        let wall_unix_ms = self.start_unix_ms.saturating_add(passed);
        Now { monotonic: self.monotonic, wall_unix_ms, wall_trusted: true }
    }

    /// Feeds what is on its way until nothing is left to do in this instant.
    fn settle(&mut self) {
        for _ in 0..WAKES_MAX {
            while let Some(event) = self.coming.pop_front() {
                self.handle(event);
            }
            if self.session.poll_timeout().is_none_or(|timer| timer > self.monotonic) {
                return;
            }
            self.handle(Event::Woke);
        }
    }

    fn handle(&mut self, event: Event) {
        self.session.handle(event, self.now());
        while let Some(action) = self.session.poll_action() {
            let answer = self.carry_out(action);
            self.coming.extend(answer);
        }
    }

    fn carry_out(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::OpenIdentity { ticket } => {
                let result = Ok(Registration { attestation: Attestation::SymmetricKey, hub_key: true });
                Some(Event::IdentityOpened { ticket, result })
            }
            Action::Http { ticket, .. } => {
                let failure = Failure { kind: FailureKind::Network, text: "a preview asks nobody".into() };
                Some(Event::HttpDone { ticket, result: Err(failure) })
            }
            Action::Sign { ticket, .. } => Some(Event::Signed { ticket, result: Ok(vec![0; 32]) }),
            Action::Connect { connection, .. } => Some(Event::LinkUp { connection }),
            Action::Disconnect { connection } => Some(Event::LinkDown { connection, reason: LinkDownReason::Asked }),
            Action::Publish { connection, ticket, topic, body } => {
                if self.is_of_readings(&topic) {
                    let body = String::from_utf8_lossy(&body).into_owned();
                    self.show(Shown::Publish { topic: topic.to_string(), body });
                }
                Some(Event::Delivered { connection, tickets: vec![ticket] })
            }
            Action::Store { ticket, .. } => {
                self.last_row += 1;
                Some(Event::Committed { rows: vec![(ticket, RowId(self.last_row))] })
            }
            Action::Remove { rows } => Some(Event::Removed { rows: rows.len() as u64 }),
            // Nothing waits in the store: the link is always up.
            Action::Load { ticket, .. } => {
                Some(Event::Loaded { ticket, result: Ok(LoadedRows { rows: Vec::new(), more: false }) })
            }
            Action::Record { ticket, .. } => Some(Event::Recorded { ticket, result: Ok(Recorded::New) }),
            Action::Finish { ticket, .. } => Some(Event::Finished { ticket, result: Ok(None) }),
            Action::KeepFor { ticket, .. } => Some(Event::Kept { ticket, result: Ok(()) }),
            Action::Call { plugin, call, text, child, .. } => {
                let device = child.filter(|child| child != self.own_id());
                self.show(Shown::Command { text, device });
                Some(Event::Replied { plugin, call, result: Ok(Reply::Done(String::new())) })
            }
            Action::AnswerOffer { outcomes, .. } => {
                let frequency_s = self.definition.frequency_s;
                for (index, outcome) in outcomes.into_iter().enumerate() {
                    self.show(Shown::Outcome { sample: index + 1, outcome, frequency_s });
                }
                None
            }
            _ => None,
        }
    }

    /// Not the twin, nor questions about the device.
    fn is_of_readings(&self, topic: &str) -> bool {
        let topics = &self.definition.hub.topics;
        [&topics.report, &topics.fault, &topics.edge_report, &topics.rule_match, &topics.offline]
            .iter()
            .any(|reading| **reading == topic)
    }

    fn show(&mut self, shown: Shown) {
        self.shown.push((self.monotonic - UPTIME, shown));
    }
}
