//! What follows from the events of a turn: each part does what is due, what one found out is spread to the others, and after a
//! stop all come to rest in order.

use std::sync::Arc;

use edgeplug_protocol::c2d::Part;
use edgeplug_protocol::version::Version;

use crate::action::{Action, Connection, Fact};
use crate::clock::Now;
use crate::connect::{Change, Gap, Holder};
use crate::{CLOSE_TIME_MAX, DRAIN_TIME_MAX, Session, Step, Stop, edge};

impl Session {
    pub(super) fn advance_if_due(&mut self) {
        if let Some(now) = self.due.take() {
            self.advance(now);
        }
    }

    /// Does what is due after events.
    pub(super) fn advance(&mut self, now: Now) {
        if let Some(Stop::Draining { until, closed_by }) = self.stop {
            if self.world.online.is_some() && !self.uplink.is_drained() && now.monotonic < until {
                self.edge.save(step!(self, now));
                return self.uplink.advance(step!(self, now));
            }
            self.stop = Some(Stop::Closing { until: closed_by });
            self.uplink.close(step!(self, now));
            self.twin.close(step!(self, now));
            self.connect.close(&mut self.actions);
        }
        if let Some(Stop::Closing { until }) = self.stop {
            let windows_saved = self.edge.save(step!(self, now));
            let saved = self.uplink.save(step!(self, now)) && windows_saved;
            if (self.connect.is_closed() && saved) || now.monotonic >= until {
                self.stop = Some(Stop::Done);
                self.actions.push_back(Action::Stopped);
            }
            return;
        }
        if self.uplink.has_stalled(now, &self.config) {
            self.connect.give_up_link("the hub does not acknowledge messages any more", step!(self, now));
        }
        self.advance_updates(now);
        let idle = self.uplink.nothing_in_flight() && self.twin.is_quiet();
        let change = self.connect.advance(idle, step!(self, now));
        self.apply(change, now);
        let released = self.transform.advance(step!(self, now));
        self.release(released, now);
        for (source, samples) in self.frequency.due(step!(self, now)) {
            self.take(&source, None, &samples, now);
        }
        let step = step!(self, now);
        self.edge.advance(&mut self.uplink, step);
        self.plugins.advance(step);
        self.commands.advance(self.ota.len(), step);
        self.twin.advance(step);
        self.control.advance(step);
        self.uplink.advance(step);
    }

    /// Goes on with firmware updates.
    fn advance_updates(&mut self, now: Now) {
        self.ota.advance(step!(self, now));
        self.end_updates(now);
        if self.ota.takes_question() {
            self.connect.part_changed(Part::Ota, step!(self, now));
        }
        let tasks = self.ota.take_waiting(step!(self, now));
        if !tasks.is_empty() && !self.commands.waiting_update(tasks, self.ota.len(), step!(self, now)) {
            self.ota.put_off_waiting();
        }
    }

    /// Has the ends of firmware updates written down.
    pub(super) fn end_updates(&mut self, now: Now) {
        for ended in self.ota.take_ended() {
            self.commands.conclude(ended, step!(self, now));
        }
    }

    /// Spreads what a part found out.
    pub(super) fn apply(&mut self, change: Option<Change>, now: Now) {
        match change {
            None => {}
            Some(Change::Definition { definition, complete, attributes_said }) => {
                let template = Arc::new(definition.template(&self.config.rounding));
                self.world.speaks = Some(Arc::clone(&template));
                // The legacy portal answers a question about attributes with none while it has not made them yet.
                let has_attributes = definition.version == Version::V21 || template.attribute_count() > 0;
                self.world.template = Some(template).filter(|_| complete && attributes_said && has_attributes);
                let known = self.world.definition.as_ref().map(|known| &known.left_out);
                if !definition.left_out.is_empty() && known != Some(&definition.left_out) {
                    let reasons: Vec<_> = definition.left_out.values().flatten().map(String::as_str).collect();
                    tracing::warn!(reasons = reasons.join("; "), "some of what the cloud says cannot be used");
                }
                let definition = Arc::new(*definition);
                self.world.definition = Some(Arc::clone(&definition));
                self.ota.cloud_says(&definition, step!(self, now));
                if definition.version == Version::V21 {
                    self.world.code = Some(definition.template_id.as_str().into());
                }
                if !complete {
                    return;
                }
                self.world.rules = edge::Rules::of(&definition, &self.world.rules);
                self.edge.define(step!(self, now));
                // Without its hub's password, which was never read.
                if let Ok(value) = serde_json::to_vec(&*definition) {
                    self.actions.push_back(Action::Keep { fact: Fact::Sync, value: value.into() });
                }
                let model = Arc::new(definition.model());
                if self.told_model.as_ref() != Some(&model) {
                    self.told_model = Some(Arc::clone(&model));
                    self.actions.push_back(Action::TellTemplate(model));
                }
            }
            Some(Change::Pausing) => self.world.pausing = true,
            Some(Change::Online(online)) => {
                self.world.online = Some(online);
                self.world.pausing = false;
                self.uplink.link_up();
                self.twin.link_up(step!(self, now));
                self.tell_connected(Connection::Connected);
            }
            Some(Change::Offline(gap)) => {
                let planned = gap != Gap::Outage;
                self.world.online = None;
                self.world.pausing = planned;
                self.uplink.link_lost(planned);
                self.twin.link_lost(gap == Gap::Renewal, step!(self, now));
                self.control.link_lost();
                match gap {
                    Gap::Renewal => {}
                    Gap::Move => self.tell_connected(Connection::Disconnected(
                        "the cloud asked for a new connection; it is being opened".to_owned(),
                    )),
                    Gap::Outage => self.tell_connected(Connection::Disconnected(self.why_offline())),
                }
            }
            Some(Change::Stopped(reason)) => {
                self.world.stopped = Some(reason);
                self.frequency.forget();
                let change = self.connect.stop(step!(self, now));
                self.apply(change, now);
            }
            Some(Change::Resumed) => {
                self.world.stopped = None;
                self.connect.resume(step!(self, now));
            }
        }
    }

    /// Plugins hear of outages, not of renewals.
    fn tell_connected(&mut self, connection: Connection) {
        let connected = connection == Connection::Connected;
        if std::mem::replace(&mut self.told_connected, connected) != connected {
            self.actions.push_back(Action::TellConnected(connection));
        }
    }

    fn why_offline(&self) -> String {
        if let Some(reason) = &self.world.stopped {
            return format!("the cloud stopped this device ({reason}); an operator can take that back");
        }
        match (self.connect.held_by(), self.connect.trouble()) {
            _ if self.stop.is_some() => "the daemon is stopping".to_owned(),
            (Some(Holder::Plugin(plugin)), _) => format!("on request of plugin {plugin}"),
            (Some(Holder::Operator), _) => "on request of an operator".to_owned(),
            (None, Some(trouble)) => trouble.text.clone(),
            (None, None) => "the connection ended; it is being opened again".to_owned(),
        }
    }

    pub(super) fn begin_stop(&mut self, now: Now) {
        if self.stop.is_none() {
            let (until, closed_by) = (now.monotonic + DRAIN_TIME_MAX, now.monotonic + CLOSE_TIME_MAX);
            self.stop = Some(Stop::Draining { until, closed_by });
            self.control.daemon_stops(step!(self, now));
            self.ota.stop(step!(self, now));
            // Whatever a renewal waits for, the connection that is open is the last one.
            if self.connect.end_renewal() {
                self.world.pausing = false;
            }
            let released = self.transform.end_all(step!(self, now));
            self.release(released, now);
            self.frequency.forget();
            self.edge.end_all(&mut self.uplink, step!(self, now));
            self.uplink.drain();
        }
    }
}
