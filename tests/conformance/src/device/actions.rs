//! What the session wants done, done at once.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use edgeplug_protocol::c2d::CloudMessage;
use edgeplug_protocol::version::Version;
use edgeplug_session::action::{Answer, Connection, Fact};
use edgeplug_session::event::{Attestation, HttpReply, LinkDownReason, Registration, Reply};
use edgeplug_session::{Action, ConnectionId, DeliveryId, Event, KeySlot, Ticket};
use serde_json::Value;

use super::{CHILD_REFUSED, Device};
use crate::happening::{Class, Happening, REPORTED_TOPIC, TWIN_GET_TOPIC, without};

impl Device {
    pub(super) fn carry_out(&mut self, action: Action) -> Result<()> {
        match action {
            Action::OpenIdentity { ticket } => {
                let attestation = Attestation::Tpm { endorsement_key: vec![1], storage_root_key: vec![2] };
                let result = Ok(Registration { attestation, hub_key: self.has_hub_key });
                self.coming.push_back(Event::IdentityOpened { ticket, result });
            }
            Action::Http { ticket, request } => {
                let (status, body, seen) = self.portal.answer(&request);
                self.seen.extend(seen);
                let date_unix_s = Some(self.unix_ms() / 1_000);
                let result = Ok(HttpReply { status, retry_after_s: None, date_unix_s, body: body.into() });
                self.coming.push_back(Event::HttpDone { ticket, result });
            }
            Action::Activate { ticket, slot, .. } => {
                self.has_hub_key |= slot == KeySlot::Hub;
                self.coming.push_back(Event::Activated { ticket, slot, result: Ok(()) });
            }
            Action::Sign { ticket, .. } => {
                self.coming.push_back(Event::Signed { ticket, result: Ok(vec![0; 32]) });
            }
            Action::Connect { connection, to } => {
                self.connection = Some((connection, to.client_id));
                self.twin_questions.clear();
                self.coming.push_back(Event::LinkUp { connection });
            }
            Action::Disconnect { connection } => {
                self.connection.take_if(|(open, _)| *open == connection);
                self.coming.push_back(Event::LinkDown { connection, reason: LinkDownReason::Asked });
            }
            Action::Publish { connection, ticket, topic, body } => self.published(connection, ticket, &topic, &body)?,
            Action::Acknowledge { delivery, .. } => {
                let taken = self.delivered.take_if(|(waiting, _)| *waiting == delivery);
                self.seen.extend(taken.map(|(_, happening)| happening));
            }
            Action::Call { plugin, call, text, child, .. } => {
                // A local command names the device it is about even where that is the device itself.
                let child = child.filter(|child| *child != self.unique_id);
                self.seen.push(Happening::Command { text, child });
                self.coming.push_back(Event::Replied { plugin, call, result: Ok(Reply::Deferred) });
            }
            Action::AnswerOffer { outcomes, .. } => {
                self.remarks.extend(outcomes.iter().map(|outcome| format!("readings: {outcome:?}")));
            }
            Action::Answer { answer, .. } => self.answered(answer)?,
            Action::AnswerOperator { result, .. } => {
                let ok = result.is_ok();
                let is_question = |seen: &Happening| matches!(seen, Happening::Publish { class: Class::Question, .. });
                let was_asked = self.seen.iter().any(is_question);
                self.seen.extend(match self.child_request.take() {
                    Some(created) if ok || was_asked => Some(Happening::Child { created, ok }),
                    // Refused without asking the cloud: by an exception for a creation, and silently for a deletion.
                    Some(true) => Some(Happening::Error(CHILD_REFUSED.to_owned())),
                    _ => None,
                });
                self.remarks.push(format!("operator: {result:?}"));
            }
            Action::TellConnected(connection) => {
                self.connected = connection == Connection::Connected;
                self.seen.push(Happening::Connection(self.connected));
            }
            Action::TellDesired { change, .. } => {
                let desired: Value = serde_json::from_str(&change.desired).context("desired properties are no JSON")?;
                self.told_desired(desired, Some(change.version), change.complete);
            }
            Action::Keep { fact, value } => self.kept(fact, &value),
            Action::KeepFor { ticket, fact, value } => {
                self.kept(fact, &value);
                self.coming.push_back(Event::Kept { ticket, result: Ok(()) });
            }
            Action::Sample { .. }
            | Action::TellTemplate(_)
            | Action::CorrectClock { .. }
            | Action::DiscardChallenge
            | Action::Stopped => {}
            other => self.coming.extend(self.store.carry_out(other)),
        }
        Ok(())
    }

    pub(super) fn deliver(&mut self, body: String) {
        let Some((_, client_id)) = &self.connection else { return };
        let address = format!("%2Fdevices%2F{client_id}%2Fmessages%2FdeviceBound");
        let topic = format!("devices/{client_id}/messages/devicebound/%24.to={address}");
        let happening = match CloudMessage::parse(self.version, body.as_bytes()) {
            CloudMessage::Ota(ota) => Some(Happening::ota(&ota)),
            // The legacy SDK prints it and tells nobody.
            CloudMessage::Module { .. } if self.version == Version::V21 => Some(Happening::Module),
            _ => None,
        };
        let delivery = self.receive(topic, body);
        self.delivered = delivery.zip(happening.filter(|_| self.has_callback));
    }

    pub(super) fn receive(&mut self, topic: String, body: String) -> Option<DeliveryId> {
        let (connection, _) = self.connection.as_ref()?;
        self.last_delivery += 1;
        let delivery = DeliveryId(self.last_delivery);
        self.coming.push_back(Event::Received { connection: *connection, delivery, topic, payload: body.into() });
        Some(delivery)
    }

    fn published(&mut self, connection: ConnectionId, ticket: Ticket, topic: &str, body: &Bytes) -> Result<()> {
        if self.connection.as_ref().is_none_or(|(open, _)| *open != connection) {
            return Ok(());
        }
        self.coming.push_back(Event::Delivered { connection, tickets: vec![ticket] });
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).with_context(|| format!("what was published on {topic} is no JSON"))?
        };
        let request = topic.split_once("$rid=").map(|(_, rest)| rest.split('&').next().unwrap_or_default().to_owned());
        if topic.starts_with(TWIN_GET_TOPIC) {
            self.twin_questions.extend(request);
            if self.answers_twin_questions {
                let document = self.twin.document().to_string();
                for request in std::mem::take(&mut self.twin_questions) {
                    self.receive(format!("$iothub/twin/res/200/?$rid={request}"), document.clone());
                }
            }
        } else if topic.starts_with(REPORTED_TOPIC) {
            let version = self.twin.patch_reported(&body);
            let request = request.unwrap_or_default();
            self.receive(format!("$iothub/twin/res/204/?$rid={request}&$version={version}"), String::new());
        } else if let Some(reply) = self.portal.reply(&body).filter(|_| topic.contains("di=1")) {
            self.deliver(reply.to_string());
        }
        self.seen.push(Happening::publish(self.version, topic, body));
        Ok(())
    }

    fn answered(&mut self, answer: Answer) -> Result<()> {
        match answer {
            Answer::Twin(Ok(document)) => {
                let desired = serde_json::from_str(&document.desired).context("the twin is no JSON")?;
                self.told_desired(desired, Some(document.desired_version), true);
            }
            Answer::Twin(Err(failure)) => self.remarks.push(format!("twin: {failure:?}")),
            Answer::Reported(Err(failure)) => self.remarks.push(format!("report: {failure:?}")),
            Answer::Link(Err(failure)) => self.remarks.push(format!("link: {failure}")),
            _ => {}
        }
        Ok(())
    }

    /// What plugins hear of the twin; a document they have already is no news.
    fn told_desired(&mut self, desired: Value, version: Option<u64>, complete: bool) {
        let desired = without(&desired, &["$version", "$metadata"]);
        if !complete {
            self.told_desired = None;
            return self.seen.push(Happening::TwinPatch { desired, version });
        }
        if self.told_desired.as_ref() != Some(&desired) {
            self.told_desired = Some(desired.clone());
            self.seen.push(Happening::TwinFull { desired, version });
        }
    }

    fn kept(&mut self, fact: Fact, value: &Bytes) {
        match fact {
            Fact::Sync => self.definition = serde_json::from_slice(value).ok(),
            Fact::HardStop => self.stopped = !value.is_empty(),
            _ => {}
        }
    }
}
