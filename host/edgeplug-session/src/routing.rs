//! To which part it goes: readings, messages from the hub, what plugins and operators want.

use bytes::Bytes;
use edgeplug_protocol::azure::hub::Inbound;
use edgeplug_protocol::c2d::{CloudMessage, Control};
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::version::Version;

use crate::action::Outcome;
use crate::connect::{Holder, Waiter};
use crate::edge::LocalCommand;
use crate::event::{Ask, OperatorRequest};
use crate::frequency::Gate;
use crate::transform::{Released, Transform};
use crate::uplink::ForEdge;
use crate::{Action, AskId, ConnectionId, DeliveryId, Now, OfferId, RequestId, Session, Step};

impl Session {
    /// Readings of a plugin, or of a local program: through the filters that the operator wired, if any.
    pub(super) fn gather(&mut self, source: &str, offer: Option<OfferId>, samples: Vec<Sample>, now: Now) {
        if self.world.stopped.is_some() || !Transform::concerns(source, &samples, &self.config) {
            return self.read(source, offer, &samples, now);
        }
        let released = self.transform.take(source, offer, samples, step!(self, now));
        self.release(released, now);
    }

    /// Readings that are through their filters, or not taken for want of these.
    pub(super) fn release(&mut self, released: Vec<Released>, now: Now) {
        for Released { source, offer, given, result } in released {
            match result {
                Ok(samples) if samples.is_empty() => self.uplink.hold_back(offer, given, step!(self, now)),
                Ok(samples) => {
                    if let Some(offer) = offer {
                        self.transform.reshape(offer, given);
                    }
                    self.read(&source, offer, &samples, now);
                }
                Err(reason) => self.uplink.refuse(offer, &Outcome::Rejected(reason), given, step!(self, now)),
            }
        }
    }

    /// Readings as they are to be taken. `offer` wants to know what becomes of them.
    fn read(&mut self, source: &str, offer: Option<OfferId>, samples: &[Sample], now: Now) {
        if let Some(reason) = &self.world.stopped {
            let outcome = Outcome::Rejected(format!("the cloud stopped this device: {reason}"));
            return self.uplink.refuse(offer, &outcome, samples.len(), step!(self, now));
        }
        match self.frequency.call(source, samples, step!(self, now)) {
            Gate::Open(kept) => {
                if !kept.is_empty() {
                    self.take(source, None, &kept, now);
                }
                self.take(source, offer, samples, now);
            }
            Gate::Closed => self.uplink.hold_back(offer, samples.len(), step!(self, now)),
        }
    }

    /// Readings whose time has come: into rows, or into the windows and rules of an edge device.
    pub(super) fn take(&mut self, source: &str, offer: Option<OfferId>, samples: &[Sample], now: Now) {
        if !self.world.is_edge() {
            return self.uplink.accept(source, offer, samples, step!(self, now));
        }
        if let Err(reason) = self.edge.has_room() {
            let outcome = Outcome::Rejected(reason.to_owned());
            return self.uplink.refuse(offer, &outcome, samples.len(), step!(self, now));
        }
        let mut prepared = self.uplink.prepare(samples, step!(self, now));
        let ForEdge { numbers, matches, matches_lost, commands, .. } = *prepared.edge.take().unwrap_or_default();
        for LocalCommand { device, text } in commands {
            self.commands.local(device.as_deref(), &text, step!(self, now));
        }
        self.edge.count_matches(matches, matches_lost);
        if numbers.is_empty() {
            return self.uplink.take_in(source, offer, prepared, step!(self, now));
        }
        let batch = self.uplink.take_in_with_windows(source, offer, prepared, step!(self, now));
        self.edge.fold(numbers, batch, step!(self, now));
    }

    /// A message from the hub: to the part it concerns.
    pub(super) fn received(
        &mut self,
        connection: ConnectionId,
        delivery: DeliveryId,
        topic: &str,
        payload: Bytes,
        now: Now,
    ) {
        let Some(online) = self.world.online.as_ref().filter(|online| online.connection == connection) else {
            return tracing::debug!(topic, "a message of a connection that is not open stays with the hub");
        };
        let acknowledge = Action::Acknowledge { connection, delivery };
        match Inbound::parse(topic, &online.device_id) {
            Inbound::CloudToDevice(_) => {
                let version = online.topics.version;
                self.told(connection, delivery, topic, payload, version, now);
            }
            Inbound::TwinAnswer { status, request_id, version } => {
                self.actions.push_back(acknowledge);
                self.twin.answered(status, &request_id, version, &payload, step!(self, now));
            }
            Inbound::DesiredChanged { version } => {
                self.actions.push_back(acknowledge);
                self.twin.desired_changed(version, &payload, step!(self, now));
            }
            Inbound::Unknown => {
                tracing::warn!(topic, "a message on a topic nobody subscribed to");
                self.actions.push_back(acknowledge);
            }
        }
    }

    /// A cloud-to-device message. Whoever takes it also acknowledges it to the hub.
    fn told(
        &mut self,
        connection: ConnectionId,
        delivery: DeliveryId,
        topic: &str,
        payload: Bytes,
        version: Version,
        now: Now,
    ) {
        match CloudMessage::parse(version, &payload) {
            CloudMessage::Control(Control::HardStop(reason)) => {
                self.control.hard_stop(connection, delivery, reason, step!(self, now));
            }
            CloudMessage::Control(order) => {
                // A crash in between costs nothing: the next run asks for everything anyway.
                self.actions.push_back(Action::Acknowledge { connection, delivery });
                self.ordered(order, now);
            }
            CloudMessage::Reply(reply) => {
                self.actions.push_back(Action::Acknowledge { connection, delivery });
                let change = self.connect.replied(reply, step!(self, now));
                self.apply(change, now);
            }
            CloudMessage::Other(kind) => {
                tracing::info!(kind, "a message from the cloud that this daemon has no use for");
                self.actions.push_back(Action::Acknowledge { connection, delivery });
            }
            CloudMessage::NotUnderstood(reason) => {
                // Left unacknowledged it would come again for ever.
                tracing::warn!(reason, "a message from the cloud cannot be understood and is dropped");
                self.actions.push_back(Action::Acknowledge { connection, delivery });
            }
            message => {
                let updates = self.ota.len();
                self.commands.received((connection, delivery), topic, payload, message, updates, step!(self, now));
            }
        }
    }

    /// Does what the cloud orders.
    fn ordered(&mut self, order: Control, now: Now) {
        match order {
            Control::Refresh(part) => self.connect.part_changed(part, step!(self, now)),
            Control::RefreshConnection => self.connect.connection_changed(step!(self, now)),
            Control::RefreshAll => self.connect.everything_changed(step!(self, now)),
            Control::Frequency(seconds) => {
                let change = self.connect.frequency(seconds);
                self.apply(change, now);
            }
            Control::StartHeartbeat(period_s) => self.control.start_heartbeat(period_s, now.monotonic),
            Control::StopHeartbeat => self.control.stop_heartbeat(),
            // Goes another way, because it is written down before it is acknowledged.
            Control::HardStop(_) => {}
        }
    }

    /// Does what an operator wants; every request gets one answer, some later.
    pub(super) fn operated(&mut self, request: RequestId, what: &OperatorRequest, now: Now) {
        match what {
            _ if self.stop.is_some() => {
                let result = Err("the daemon is stopping".to_owned());
                self.actions.push_back(Action::AnswerOperator { request, result });
            }
            OperatorRequest::Disconnect => {
                let waiter = Waiter::Operator(request);
                let change = self.connect.disconnect(Holder::Operator, waiter, step!(self, now));
                self.apply(change, now);
            }
            OperatorRequest::Connect => {
                self.connect.reconnect(&Holder::Operator, Waiter::Operator(request), step!(self, now));
            }
            OperatorRequest::Resume => self.control.resume(request, step!(self, now)),
            OperatorRequest::Refresh => self.connect.refresh_for(request, step!(self, now)),
            OperatorRequest::CreateChild { .. } | OperatorRequest::DeleteChild { .. } => {
                self.connect.change_children(request, what, step!(self, now));
            }
        }
    }

    /// Carries out or refuses what a plugin wants; every question gets one answer, some later.
    pub(super) fn asked(&mut self, plugin: &str, ask: AskId, request: Ask, now: Now) {
        match request {
            Ask::TwinGet => self.twin.get(ask, step!(self, now)),
            Ask::TwinReport { patch } => self.twin.report(ask, &patch, step!(self, now)),
            Ask::Finish { id, ending } if self.ota.knows(&id) => {
                self.ota.asked_to_finish(plugin, ask, &id, ending, step!(self, now));
            }
            Ask::Finish { id, ending } => {
                self.commands.asked_to_finish(plugin, ask, &id, ending, step!(self, now));
            }
            Ask::Disconnect => {
                let holder = Holder::Plugin(plugin.to_owned());
                let change = self.connect.disconnect(holder, Waiter::Plugin(ask), step!(self, now));
                self.apply(change, now);
            }
            Ask::Reconnect => {
                let holder = Holder::Plugin(plugin.to_owned());
                self.connect.reconnect(&holder, Waiter::Plugin(ask), step!(self, now));
            }
        }
    }
}
