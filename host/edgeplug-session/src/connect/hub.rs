//! Which hub, with which token, and what a connection's end means.

use bytes::Bytes;
use edgeplug_protocol::azure::hub::{DESIRED_CHANGES_FILTER, TWIN_ANSWERS_FILTER};
use edgeplug_protocol::azure::sas::SasRequest;
use edgeplug_protocol::legacy::sync::Hub;

use super::{Connect, FAILURES_BEFORE_SYNC, Next, REFUSALS_BEFORE_DPS, State};
use crate::action::{ConnectTo, Fact};
use crate::event::{Failure, FailureKind, LinkDownReason};
use crate::{Action, ConnectionId, KeySlot, Step};

impl Connect {
    /// The hub to connect to and our name there.
    pub(super) fn target(&self) -> Option<(Hub, String)> {
        let hub = self.hub.clone()?;
        let Some(assignment) = &self.assignment else {
            let device_id = hub.client_id.clone();
            return Some((hub, device_id));
        };
        if assignment.hub.eq_ignore_ascii_case(&hub.host) && assignment.device_id == hub.client_id {
            let device_id = hub.client_id.clone();
            return Some((hub, device_id));
        }
        let device_id = assignment.device_id.clone();
        let hub = Hub {
            port: hub.port,
            user_name: edgeplug_protocol::azure::hub::user_name(&assignment.hub, &device_id),
            publish_topic: edgeplug_protocol::azure::hub::events_topic(&device_id),
            subscribe_filter: edgeplug_protocol::azure::hub::devicebound_filter(&device_id),
            host: assignment.hub.clone(),
            client_id: device_id.clone(),
        };
        Some((hub, device_id))
    }

    pub(super) fn authorise(&mut self, step: &mut Step<'_>) {
        let Some((hub, device_id)) = self.target() else { return self.discover(step) };
        let life_s = i64::try_from(step.config.token_life.as_secs()).unwrap_or(i64::MAX);
        let request = SasRequest::for_hub(&hub.host, &device_id, (step.unix_ms / 1000).saturating_add(life_s));
        let ticket = step.ticket();
        step.act(Action::Sign { ticket, slot: KeySlot::Hub, bytes: request.bytes_to_sign() });
        self.state = State::Authorising(ticket, request);
    }

    pub(super) fn connect(&mut self, signature: &[u8], step: &mut Step<'_>) {
        let State::Authorising(_, request) = &self.state else { return };
        let password = request.token(signature);
        let Some((hub, _)) = self.target() else { return self.discover(step) };
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        self.state = State::Connecting { connection };
        let to = ConnectTo {
            host: hub.host,
            port: hub.port,
            client_id: hub.client_id,
            user_name: hub.user_name,
            password,
            subscriptions: vec![
                hub.subscribe_filter,
                TWIN_ANSWERS_FILTER.to_owned(),
                DESIRED_CHANGES_FILTER.to_owned(),
            ],
            window: step.config.in_flight_max,
        };
        step.act(Action::Connect { connection, to });
    }

    pub(super) fn connection_failed(&mut self, reason: LinkDownReason, step: &mut Step<'_>) {
        let failure = match reason {
            LinkDownReason::NotAuthorised => {
                self.refusals += 1;
                Failure {
                    kind: FailureKind::Enrolment,
                    text: "the hub does not accept this device's token; the device may be disabled there, its key may \
                           have been replaced, or this device's clock is wrong"
                        .into(),
                }
            }
            LinkDownReason::Failed(failure) => failure,
            LinkDownReason::Closed => {
                Failure { kind: FailureKind::Network, text: "the hub closed the connection".to_owned() }
            }
            LinkDownReason::Asked => {
                let why = self.gave_up.take().unwrap_or("the connection was closed");
                Failure { kind: FailureKind::Network, text: why.to_owned() }
            }
        };
        if failure.kind != FailureKind::Enrolment {
            self.refusals = 0;
        }
        if self.refusals >= REFUSALS_BEFORE_DPS && step.config.scope_id.is_some() {
            self.refusals = 0;
            self.ask_dps = true;
            return self.wait(failure, Next::Discovery, step);
        }
        if self.failures.is_multiple_of(FAILURES_BEFORE_SYNC) && self.assignment.is_some() && self.synced {
            tracing::warn!("the hub that DPS named cannot be reached; using the portal's");
            self.forget_assignment(step);
        }
        let next = if self.failures.is_multiple_of(FAILURES_BEFORE_SYNC) { Next::Discovery } else { Next::Hub };
        self.wait(failure, next, step);
    }

    pub(super) fn compare_with_assignment(&mut self, hub: &Hub, step: &mut Step<'_>) {
        let Some(assignment) = &self.assignment else { return };
        if assignment.hub.eq_ignore_ascii_case(&hub.host) && assignment.device_id == hub.client_id {
            self.forget_assignment(step);
        } else {
            tracing::warn!(
                dps = assignment.hub,
                portal = hub.host,
                "DPS and the portal name different hubs or device ids; using DPS's until the portal agrees"
            );
        }
    }

    /// Also for the next run: an empty value stands for none.
    fn forget_assignment(&mut self, step: &mut Step<'_>) {
        self.assignment = None;
        step.act(Action::Keep { fact: Fact::Assignment, value: Bytes::new() });
    }
}
