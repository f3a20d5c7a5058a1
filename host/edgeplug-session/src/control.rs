//! What the cloud tells the daemon itself: ask again, send less often, send heartbeats, stop.

use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::c2d::Control as Order;

use crate::connect::Change;
use crate::event::OperatorRequest;
use crate::{Action, ConnectionId, DeliveryId, RequestId, Step, Ticket};

/// Heartbeats and the hard stop; the rest is handed on.
#[derive(Default)]
pub(crate) struct Control {}

impl Control {
    /// What the last run knew.
    pub(crate) fn restore(&mut self, _hard_stop: Option<Bytes>, _step: &mut Step<'_>) -> Option<Change> {
        None
    }

    /// An order arrived, not yet acknowledged to the hub.
    pub(crate) fn ordered(
        &mut self,
        connection: ConnectionId,
        delivery: DeliveryId,
        order: Order,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        tracing::warn!(?order, "an order of the cloud has no handler");
        step.act(Action::Acknowledge { connection, delivery });
        None
    }

    /// A fact is on disk, or not.
    pub(crate) fn kept(
        &mut self,
        _ticket: Ticket,
        _result: &Result<(), String>,
        _step: &mut Step<'_>,
    ) -> Option<Change> {
        None
    }

    pub(crate) fn asked(&mut self, request: RequestId, what: &OperatorRequest, step: &mut Step<'_>) -> Option<Change> {
        let result = Err(format!("{what:?} is not possible yet"));
        step.act(Action::AnswerOperator { request, result });
        None
    }

    pub(crate) fn advance(&mut self, _step: &mut Step<'_>) {}

    pub(crate) fn timeout(&self) -> Option<Duration> {
        None
    }
}
