//! Every decision of the daemon as a pure state machine: no I/O, no clock, no randomness of its own.
//!
//! # Contract
//! 1. Make a [`Session`] with its configuration and a seed for jitter; hand it [`Event::Restored`] first.
//! 2. Hand it every event, with the clocks read once for each batch.
//! 3. Drain [`Session::poll_action`] until it is empty and carry the actions out; none may wait for another. What is due
//!    after readings is done at the first of these calls, or before the next event of another kind.
//! 4. Sleep until an event comes or [`Session::poll_timeout`] passes; then hand it the event or [`Event::Woke`].
//!
//! # What must stay true
//! * A reading is answered as accepted only after [`Event::Committed`] named its row.
//! * A row is removed only after every message made of it was [`Event::Delivered`].
//! * Rows are published in the order of their ids within a lane: live rows first, beside them what waited in the store.
//! * Rows that were published and may still be on disk are at most the window, as long as the store can write.
//! * A command is acknowledged to the hub only after [`Event::Recorded`], and has exactly one outcome in the ledger.
//! * A file of a firmware update is handed over only after all of them were fetched and verified, and every target has one end.
//! * Every question of a plugin ([`Event::Asked`]) gets one [`Action::Answer`].
//! * Readings of a plugin go through its filters before anything else sees them, and keep their order.
//! * A planned renewal of the token is no outage: no reading is marked as late, no plugin is told.
//! * A hard stop by the cloud is on disk before it is acknowledged, and nothing is sent or taken until it is taken back.
//! * What is outstanding is bounded: see the constants of each part.
//!
//! Deliberately absent: retrying inside an action. An action is tried once; the session decides about the next try.

mod backoff;
mod clock;
mod commands;
mod connect;
mod control;
mod edge;
mod frequency;
mod ota;
mod plugins;
mod status;
mod transform;
mod twin;
mod uplink;
mod world;

pub mod action;
pub mod config;
pub mod event;

#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::model::DeviceModel;

pub use crate::action::Action;
pub use crate::clock::Now;
pub use crate::config::SessionConfig;
use crate::connect::Holder;
pub use crate::event::Event;
use crate::event::{FailureKind, HttpReply, LinkDownReason};
use crate::status::UplinkCounts;
pub use crate::status::{LinkState, Status, Trouble, UpdatePhase, UpdateStatus};
pub(crate) use crate::world::{Online, World};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    )*};
}

ids! {
    /// Ties an answer to its action.
    Ticket;
    /// One connection to the hub.
    ConnectionId;
    /// A received message that waits for its acknowledgement.
    DeliveryId;
    /// A telemetry row; grows with every row.
    RowId;
    /// An acknowledgement in the ledger.
    AckId;
    /// A call into a plugin.
    CallId;
    /// Readings that a plugin sent of its own accord.
    OfferId;
    /// A plugin's question that waits for its answer.
    AskId;
    /// An operator's request that waits for its answer.
    RequestId;
}

/// Which key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySlot {
    /// The temporary key of a DPS registration.
    Challenge,
    /// The device's key for the hub, and for DPS with a symmetric key.
    Hub,
}

/// The daemon's brain. See the crate's documentation for its contract.
pub struct Session {
    config: SessionConfig,
    clock: clock::Clock,
    rng: fastrand::Rng,
    last_ticket: u64,
    actions: VecDeque<Action>,
    world: World,
    connect: connect::Connect,
    frequency: frequency::Frequency,
    edge: edge::Edge,
    uplink: uplink::Uplink,
    commands: commands::Commands,
    ota: ota::Ota,
    plugins: plugins::Plugins,
    transform: transform::Transform,
    twin: twin::Twin,
    control: control::Control,
    /// What plugins were last told; they begin without a link.
    told_connected: bool,
    /// What plugins know of the device; they begin with nothing.
    told_model: Option<Arc<DeviceModel>>,
    stop: Option<Stop>,
    /// When the last readings came, if what is due after them is not done.
    due: Option<Now>,
    /// The clocks as they were looked at last.
    clocks_read: Option<Now>,
}

/// Coming to rest.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// What waits for company in a message goes without, and the last PUBACKs are waited for.
    Draining { until: Duration, closed_by: Duration },
    /// The link gets this long to close politely.
    Closing { until: Duration },
    /// [`Action::Stopped`] was said.
    Done,
}

/// How long live readings may take to reach the hub at the end. What does not is on disk and goes with the next run.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(3);
/// How long that, a polite close of the link and the storing of what only memory holds may take together.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(7);

/// What a part may use while it handles one event.
pub(crate) struct Step<'a> {
    now: Now,
    /// The corrected wall clock.
    unix_ms: i64,
    clock: &'a clock::Clock,
    config: &'a SessionConfig,
    world: &'a World,
    rng: &'a mut fastrand::Rng,
    actions: &'a mut VecDeque<Action>,
    last_ticket: &'a mut u64,
}

impl Step<'_> {
    fn ticket(&mut self) -> Ticket {
        *self.last_ticket += 1;
        Ticket(*self.last_ticket)
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn offline(&self) -> bool {
        self.world.online.is_none() && !self.world.pausing
    }
}

/// The parts of a session that one event may concern, borrowed apart.
macro_rules! step {
    ($session:ident, $now:ident) => {
        &mut Step {
            now: $now,
            unix_ms: $session.clock.unix_ms($now),
            clock: &$session.clock,
            config: &$session.config,
            world: &$session.world,
            rng: &mut $session.rng,
            actions: &mut $session.actions,
            last_ticket: &mut $session.last_ticket,
        }
    };
}

mod routing;
mod turn;

impl Session {
    /// A session that waits for [`Event::Restored`]. The seed makes its jitter; take it from the system's randomness.
    #[must_use]
    pub fn new(config: SessionConfig, seed: u64) -> Self {
        let sdk = Sdk::new(config.language.clone(), config.environment.clone());
        Self {
            clock: clock::Clock::new(config.boot_id.clone()),
            rng: fastrand::Rng::with_seed(seed),
            last_ticket: 0,
            actions: VecDeque::new(),
            world: World::new(sdk),
            connect: connect::Connect::new(&config),
            frequency: frequency::Frequency::default(),
            edge: edge::Edge::default(),
            uplink: uplink::Uplink::default(),
            commands: commands::Commands::default(),
            ota: ota::Ota::default(),
            plugins: plugins::Plugins::default(),
            transform: transform::Transform::default(),
            twin: twin::Twin::default(),
            control: control::Control::default(),
            told_connected: false,
            told_model: None,
            stop: None,
            due: None,
            clocks_read: None,
            config,
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event, now: Now) {
        if self.stop == Some(Stop::Done) {
            return;
        }
        // Readings come in crowds, and what is due after one costs more than taking it.
        let are_readings = matches!(event, Event::Sampled { .. } | Event::Offered { .. });
        if !are_readings {
            self.advance_if_due();
        }
        self.read_clocks(&event, now);
        match event {
            Event::Woke => {}
            Event::Restored(mut restored) => {
                self.uplink.restore(&mut restored);
                let updates = self.commands.restore(std::mem::take(&mut restored.commands), step!(self, now));
                self.ota.restore(updates, step!(self, now));
                self.edge.restore(restored.windows.take().as_ref(), step!(self, now));
                self.twin.restore(restored.twin.take());
                let change = self.control.restore(restored.hard_stop.take(), step!(self, now));
                self.apply(change, now);
                let change = self.connect.restore(restored.sync, restored.assignment, step!(self, now));
                self.apply(change, now);
            }
            Event::IdentityOpened { ticket, result } => {
                self.connect.identity_opened(ticket, result, step!(self, now));
            }
            Event::HttpDone { ticket, result } => {
                let change = self.connect.http_done(ticket, result, step!(self, now));
                self.apply(change, now);
            }
            Event::Activated { ticket, slot, result } => {
                self.connect.activated(ticket, slot, result, step!(self, now));
            }
            Event::Signed { ticket, result } => {
                let change = self.connect.signed(ticket, result, step!(self, now));
                self.apply(change, now);
            }
            Event::LinkUp { connection } => {
                let change = self.connect.link_up(connection, step!(self, now));
                self.apply(change, now);
            }
            Event::LinkDown { connection, reason } => {
                let change = self.connect.link_down(connection, reason, step!(self, now));
                self.apply(change, now);
            }
            Event::Delivered { connection, tickets } => {
                self.twin.delivered(&tickets);
                self.control.delivered(&tickets);
                self.uplink.delivered(connection, &tickets, step!(self, now));
            }
            Event::Received { connection, delivery, topic, payload } => {
                self.received(connection, delivery, &topic, payload, now);
            }
            Event::Committed { rows } => {
                let windows = self.uplink.committed(&rows, step!(self, now));
                self.edge.stored(&windows);
            }
            Event::NotStored { tickets, reason } => {
                let windows = self.uplink.not_stored(&tickets, &reason, step!(self, now));
                self.edge.not_stored(&windows, &reason, step!(self, now));
            }
            Event::Removed { rows } => self.uplink.removed(rows),
            Event::Evicted { through, rows } => self.uplink.evicted(through, rows),
            Event::Loaded { ticket, result } => self.uplink.loaded(ticket, result, now),
            Event::Recorded { ticket, result } => {
                let updates = self.ota.len();
                if let Some(update) = self.commands.recorded(ticket, result, updates, step!(self, now)) {
                    self.ota.take(update);
                }
            }
            Event::Noted { ticket, result } => self.ota.noted(ticket, result, step!(self, now)),
            Event::FetchProgress { ticket, bytes, total } => self.ota.fetch_progress(ticket, bytes, total),
            Event::Fetched { ticket, result } => self.ota.fetched(ticket, result, step!(self, now)),
            Event::Installed { ticket, result } => self.ota.installed(ticket, result, step!(self, now)),
            Event::InstallConfirmed { ticket, result } => {
                self.ota.install_confirmed(ticket, result, step!(self, now));
            }
            Event::Deployed { ticket, result } => self.ota.deployed(ticket, result, step!(self, now)),
            Event::PluginConfirmed { plugin, sha256 } => self.ota.judged(plugin, sha256, Ok(()), step!(self, now)),
            Event::PluginRolledBack { plugin, sha256, reason }
            | Event::PluginRefused { plugin, sha256: Some(sha256), reason } => {
                self.ota.judged(plugin, sha256, Err(reason), step!(self, now));
            }
            // Which version was meant is not known, and it is tried again.
            Event::PluginRefused { sha256: None, .. } => {}
            Event::Finished { ticket, result } => {
                if let Some((ack, body, offline)) = self.commands.finished(ticket, result, step!(self, now)) {
                    self.uplink.queue_ack(ack, body, offline);
                }
            }
            Event::PluginsScanned => {
                self.commands.plugins_scanned();
                self.ota.plugins_scanned();
                let released = self.transform.plugins_scanned(step!(self, now));
                self.release(released, now);
            }
            Event::PluginUp(up) => {
                self.commands.plugin_up(&up);
                self.ota.plugin_up(&up);
                self.twin.plugin_up(&up.plugin, step!(self, now));
                let released = self.transform.plugin_up(&up.plugin, step!(self, now));
                self.release(released, now);
                self.plugins.up(up, now);
            }
            Event::PluginDown { plugin, gone } => {
                self.commands.plugin_down(&plugin, gone, now);
                self.ota.plugin_down(&plugin, gone, now);
                self.twin.plugin_down(&plugin);
                self.plugins.down(&plugin);
                let released = self.transform.plugin_down(&plugin, step!(self, now));
                self.release(released, now);
            }
            Event::PluginsStopping => {
                self.commands.plugins_stopping();
                self.ota.stop(step!(self, now));
            }
            Event::Sampled { plugin, call, result } => {
                if let Some(samples) = self.plugins.sampled(&plugin, call, result) {
                    self.gather(&plugin, None, samples, now);
                }
            }
            Event::Offered { plugin, offer, samples } => self.gather(&plugin, Some(offer), samples, now),
            Event::Transformed { call, result, .. } => {
                let released = self.transform.transformed(call, result, step!(self, now));
                self.release(released, now);
            }
            Event::Replied { plugin, call, result } if self.ota.awaits(&plugin, call) => {
                self.ota.replied(&plugin, call, result, step!(self, now));
            }
            Event::Replied { plugin, call, result } => {
                self.commands.replied(&plugin, call, result, step!(self, now));
            }
            Event::Asked { plugin, ask, request } => self.asked(&plugin, ask, request, now),
            Event::Progress { plugin, id, percent, message } => {
                if !self.ota.progress(&plugin, &id, percent) {
                    self.commands.progress(&plugin, &id, percent, &message);
                }
            }
            Event::DesiredMissed { plugin } => self.twin.missed(plugin, now.monotonic),
            Event::Kept { ticket, result } => {
                if !self.edge.kept(ticket, &result, &mut self.uplink, step!(self, now)) {
                    let change = self.control.kept(ticket, &result, step!(self, now));
                    self.apply(change, now);
                }
            }
            Event::Operator { request, what } => {
                self.operated(request, &what, now);
            }
            Event::Stop => self.begin_stop(now),
        }
        self.end_updates(now);
        match are_readings {
            true => self.due = Some(now),
            false => self.advance(now),
        }
    }

    /// The next thing to do, if any.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.advance_if_due();
        // Last, so that one action names the rows of many events.
        let mut action = self.actions.pop_front().or_else(|| self.uplink.take_removals())?;
        self.transform.reword(&mut action);
        Some(action)
    }

    /// Whether a file may still be given to a plugin as this call. An update that waited too long has its end already.
    #[must_use]
    pub fn awaits_update(&self, plugin: &str, call: CallId) -> bool {
        self.ota.awaits(plugin, call)
    }

    /// When to wake the session if nothing happens before: monotonic time as in [`Now`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if let Some(now) = self.due {
            return Some(now.monotonic);
        }
        if let Some(stop) = &self.stop {
            return match stop {
                Stop::Draining { until, .. } | Stop::Closing { until } => Some(*until),
                Stop::Done => None,
            };
        }
        [
            self.connect.timeout(),
            self.plugins.timeout(&self.world),
            self.transform.timeout(),
            self.commands.timeout(),
            self.ota.timeout(&self.world),
            self.frequency.timeout(self.world.frequency()),
            self.edge.timeout(),
            self.uplink.timeout(&self.config),
            self.twin.timeout(),
            self.control.timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What an operator wants to know.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        Status {
            link: self.connect.link_state(self.stop.is_some()),
            trouble: self.connect.trouble().cloned(),
            retry_in_s: self.connect.retry_in(now).map(|wait| wait.as_secs_f64()),
            disconnected_by: self.connect.held_by().map(|holder| match holder {
                Holder::Plugin(plugin) => plugin.clone(),
                Holder::Operator => "an operator".to_owned(),
            }),
            stopped_by_cloud: self.world.stopped.clone(),
            protocol: self.connect.version(),
            heartbeat_s: self.control.heartbeat_s(),
            refresh: self.connect.refreshing(now),
            hub: self.connect.hub_name(),
            time_known: self.clock.is_known(now),
            template_attributes: self.world.template.as_ref().map(|template| template.attribute_count()),
            uplink: UplinkCounts {
                held_back: self.frequency.held_back(),
                held_back_lost: self.frequency.lost(),
                ..self.uplink.counts()
            },
            transform: self.transform.status(),
            edge: self.edge.status(&self.world.rules),
            commands: self.commands.counts(self.ota.len()),
            updates: self.ota.status(),
            deferred: self.commands.deferred(now),
            plugins: self.plugins.schedules(now),
        }
    }

    /// What an event and the device's clocks tell about the time.
    fn read_clocks(&mut self, event: &Event, now: Now) {
        let tells = matches!(
            event,
            Event::Restored(_) | Event::HttpDone { .. } | Event::LinkDown { .. } | Event::LinkUp { .. }
        );
        // One reading of the clocks serves many events.
        if self.clocks_read.replace(now) == Some(now) && !tells {
            return;
        }
        let was_known = self.clock.is_anchored();
        self.clock.observe(now);
        match event {
            Event::Restored(restored) => self.clock.restore(restored.clock.as_ref(), now),
            Event::HttpDone { result: Ok(HttpReply { date_unix_s: Some(date), .. }), .. } => {
                self.clock.learn(*date, now);
            }
            Event::HttpDone { result: Err(failure), .. }
            | Event::LinkDown { reason: LinkDownReason::Failed(failure), .. }
                if failure.kind == FailureKind::Certificate =>
            {
                self.clock.certificate_failed();
            }
            Event::LinkUp { .. } => self.clock.vouched(now),
            _ => {}
        }
        self.clock.settle(now, &mut self.actions);
        if self.clock.is_anchored() && !was_known {
            self.connect.time_known(now);
        }
    }
}
