//! Which hub: the portal's word, DPS's word, and the token for it.

use bytes::Bytes;
use edgeplug_protocol::azure::sas::SasRequest;
use edgeplug_protocol::definition::Hub;

use super::{Connect, Next, State, TokenLife};
use crate::action::Fact;
use crate::event::{Failure, FailureKind};
use crate::{Action, KeySlot, Step};

impl Connect {
    /// The hub to connect to and our name there.
    pub(super) fn target(&self) -> Option<(Hub, String)> {
        let hub = self.definition.as_ref()?.hub.clone();
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
            topics: hub.topics.of_device(&hub.client_id, &device_id),
            host: assignment.hub.clone(),
            client_id: device_id.clone(),
        };
        Some((hub, device_id))
    }

    pub(super) fn authorise(&mut self, step: &mut Step<'_>) {
        let Some((hub, device_id)) = self.target() else { return self.discover(step) };
        if !step.clock.can_sign(step.now) {
            return self.wait_for_the_time(step);
        }
        let life_s = i64::try_from(step.config.token_life.as_secs()).unwrap_or(i64::MAX);
        let ends_unix_s = (step.unix_ms / 1000).saturating_add(life_s);
        let request = SasRequest::for_hub(&hub.host, &device_id, ends_unix_s);
        let life = TokenLife {
            signed_at: step.now.monotonic,
            ends: step.now.monotonic + step.config.token_life,
            ends_unix_ms: ends_unix_s.saturating_mul(1000),
        };
        let ticket = step.ticket();
        step.act(Action::Sign { ticket, slot: KeySlot::Hub, bytes: request.bytes_to_sign() });
        self.moving |= std::mem::take(&mut self.move_wanted) && self.open.is_some();
        self.state = State::Authorising(ticket, Box::new((request, hub)), life);
    }

    /// Discovery is what may tell it.
    pub(super) fn wait_for_the_time(&mut self, step: &mut Step<'_>) {
        let text =
            "the time of day is not known, so no token can be signed; set this device's clock or let it reach a \
                    time server or the portal"
                .into();
        self.wait(Failure { kind: FailureKind::TimeUnknown, text }, Next::Discovery, step);
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
    pub(super) fn forget_assignment(&mut self, step: &mut Step<'_>) {
        self.assignment = None;
        step.act(Action::Keep { fact: Fact::Assignment, value: Bytes::new() });
    }
}
