//! One MQTT connection from CONNECT to its end: the task that drives the library's event loop.
//!
//! Whatever ends it, a panic inside the library included, exactly one [`LinkEvent::Down`] is sent and it is the last
//! event. The event loop would reconnect when polled after an error; it never is. A poll is never cancelled but to end
//! the connection, since a cancelled one may leave a packet half written.

use std::sync::Arc;

use rumqttc::{ConnectionError, Event, EventLoop, Outgoing, Packet, Publish, QoS, SubscribeReasonCode};
use tokio::{select, sync::mpsc, time::timeout};

use crate::{
    failure::down_reason,
    mqtt::{ConnectOptions, ConnectionId, DownReason, LinkEvent},
    rumqttc_mqtt::{Live, UNACKNOWLEDGED_MAX},
};

/// Tickets reported in one event, so that a flood of PUBACKs cannot hold back the first of them.
const DELIVERED_BATCH_MAX: usize = 256;

/// Runs a connection until it is over, and reports how it went.
pub(crate) async fn run(
    live: Arc<Live>,
    event_loop: EventLoop,
    options: ConnectOptions,
    events: mpsc::Sender<LinkEvent>,
) {
    let connection = live.id;
    let task = Task { live: live.clone(), event_loop, options, events: events.clone(), delivered: Vec::new() };
    let mut serving = tokio::spawn(task.serve());
    let reason = select! {
        biased;
        ended = &mut serving => ended.unwrap_or_else(|error| DownReason::Protocol(format!("the client failed: {error}"))),
        () = until_unwanted(&live, &events) => {
            serving.abort();
            // Until it has ended, its socket is open and it may still send an event.
            let _ = serving.await;
            DownReason::Asked
        }
    };
    report_down(connection, reason, &events).await;
}

/// Until the connection is cut, or nobody listens to it any more.
async fn until_unwanted(live: &Live, events: &mpsc::Sender<LinkEvent>) {
    select! {
        () = live.until_cut() => {}
        () = events.closed() => {}
    }
}

pub(crate) async fn report_down(connection: ConnectionId, reason: DownReason, events: &mpsc::Sender<LinkEvent>) {
    tracing::debug!(connection = connection.0, %reason, "mqtt connection is over");
    // No receiver, nobody to tell.
    let _ = events.send(LinkEvent::Down { connection, reason }).await;
}

struct Task {
    live: Arc<Live>,
    event_loop: EventLoop,
    options: ConnectOptions,
    events: mpsc::Sender<LinkEvent>,
    delivered: Vec<u64>,
}

impl Task {
    async fn serve(mut self) -> DownReason {
        let connection = self.live.id;
        match self.bring_up().await {
            Ok((session_present, early)) => {
                self.live.up();
                self.send(LinkEvent::Up { connection, session_present }).await;
                for event in early {
                    self.send(event).await;
                }
            }
            Err(reason) => return reason,
        }
        loop {
            let end = match self.event_loop.poll().await {
                Ok(event) => match self.book(event) {
                    Some(event) => self.handle(event).await.err(),
                    None => None,
                },
                Err(error) => Some(self.failed(&error)),
            };
            let more = end.is_none() && !self.event_loop.state.events.is_empty();
            if !self.delivered.is_empty() && (!more || self.delivered.len() >= DELIVERED_BATCH_MAX) {
                // The next ones will be about as many.
                let next = Vec::with_capacity(self.delivered.len());
                let tickets = std::mem::replace(&mut self.delivered, next);
                self.send(LinkEvent::Delivered { connection, tickets }).await;
            }
            if let Some(reason) = end {
                return reason;
            }
        }
    }

    /// Everything up to the SUBACK, and the messages that came before it.
    async fn bring_up(&mut self) -> Result<(bool, Vec<LinkEvent>), DownReason> {
        let limit = self.options.connect_timeout;
        let mut waiting_for = "connecting";
        timeout(limit, self.connect_and_subscribe(&mut waiting_for))
            .await
            .unwrap_or(Err(DownReason::TimedOut(waiting_for)))
    }

    async fn connect_and_subscribe(
        &mut self,
        waiting_for: &mut &'static str,
    ) -> Result<(bool, Vec<LinkEvent>), DownReason> {
        let session_present = match self.poll().await? {
            Event::Incoming(Packet::ConnAck(connack)) => connack.session_present,
            other => return Err(DownReason::Protocol(format!("expected a CONNACK, found {other:?}"))),
        };
        let mut early = Vec::new();
        let filters = std::mem::take(&mut self.options.subscriptions);
        if filters.is_empty() {
            return Ok((session_present, early));
        }
        *waiting_for = "subscribing";
        self.live.subscribe(&filters)?;
        loop {
            match self.poll().await? {
                Event::Incoming(Packet::SubAck(suback)) => {
                    // The library has checked that there are as many codes as filters.
                    let mut answers = filters.iter().zip(&suback.return_codes);
                    return match answers.find(|(_, code)| **code == SubscribeReasonCode::Failure) {
                        Some((filter, _)) => Err(DownReason::SubscriptionRefused(filter.clone())),
                        None => Ok((session_present, early)),
                    };
                }
                Event::Incoming(Packet::Publish(publish)) if early.len() < UNACKNOWLEDGED_MAX => {
                    early.push(self.received(publish)?);
                }
                Event::Incoming(Packet::Publish(_)) => {
                    return Err(DownReason::Protocol("the broker sent messages but no SUBACK".to_owned()));
                }
                _ => {}
            }
        }
    }

    async fn poll(&mut self) -> Result<Event, DownReason> {
        match self.event_loop.poll().await {
            Ok(event) => Ok(event),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Notes what was sent and acknowledged, up to an event that is neither; that one comes back.
    fn book(&mut self, first: Event) -> Option<Event> {
        let mut books = self.live.books();
        let mut event = first;
        loop {
            match event {
                Event::Outgoing(Outgoing::Publish(packet_id)) => books.sent(packet_id),
                Event::Incoming(Packet::PubAck(puback)) => self.delivered.extend(books.delivered(puback.pkid)),
                other => return Some(other),
            }
            if self.delivered.len() >= DELIVERED_BATCH_MAX {
                return None;
            }
            event = self.event_loop.state.events.pop_front()?;
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), DownReason> {
        match event {
            Event::Incoming(Packet::Publish(publish)) => {
                let event = self.received(publish)?;
                self.send(event).await;
            }
            Event::Outgoing(Outgoing::Disconnect) => return Err(DownReason::Asked),
            _ => {}
        }
        Ok(())
    }

    fn received(&self, publish: Publish) -> Result<LinkEvent, DownReason> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(DownReason::Protocol("the broker sent a message with QoS 2".to_owned()));
        }
        let topic = String::from_utf8(publish.topic.into())
            .map_err(|_| DownReason::Protocol("the broker sent a topic that is not UTF-8".to_owned()))?;
        let delivery = self.live.received(publish.pkid)?;
        Ok(LinkEvent::Received { connection: self.live.id, delivery, topic, payload: publish.payload })
    }

    /// PUBACKs that were read together with what ended the connection still count.
    fn failed(&mut self, error: &ConnectionError) -> DownReason {
        while let Some(event) = self.event_loop.state.events.pop_front() {
            self.book(event);
        }
        if self.live.is_leaving() {
            return DownReason::Asked;
        }
        down_reason(&self.options.host, self.options.packet_bytes_max, error)
    }

    async fn send(&self, event: LinkEvent) {
        // No receiver, nobody to tell.
        let _ = self.events.send(event).await;
    }
}
