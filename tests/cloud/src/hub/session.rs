//! One MQTT connection, from handshake to end.
//!
//! A message is recorded before it is acknowledged, and counted as acknowledged only when its PUBACK has been handed to the
//! socket. Everything a packet may do is in `packet`; everything that ends a connection is an [`End`].

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, SubAck, Subscribe, SubscribeReasonCode,
    UnsubAck,
};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use super::admission::Admission;
use super::pubacks::{Owed, Queue};
use super::registry::Next;
use super::wire::{Carrier, ReadError, Wire};
use super::{End, Hub, Order, SubscriptionRefusal, websocket};
use crate::limits::{D2C_BYTES_MAX, HANDSHAKE_MAX, KEEPALIVE_MAX, OWED_ACKS_MAX, SUBSCRIPTIONS_MAX, WRITE_MAX};
use crate::listen::{Closing, closed};
use crate::recorder::{Arrival, v21};
use crate::sas::now_unix_s;
use crate::topic::{self, Filter, Publication};

/// Which port a connection came in by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door {
    Mqtts,
    WebSocket,
}

pub(super) async fn serve(hub: Hub, door: Door, tls: TlsAcceptor, stream: TcpStream, mut closing: Closing) {
    let opened = tokio::select! {
        () = closed(&mut closing) => return,
        opened = tokio::time::timeout(HANDSHAKE_MAX, open(door, tls, stream)) => opened,
    };
    let (mut wire, connect) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return tracing::debug!(%error, "no CONNECT"),
        Err(_) => return tracing::debug!("no CONNECT in time"),
    };
    match hub.admit(&connect) {
        Ok(admission) => Session::new(hub, &admission, &connect).run(wire, admission, closing).await,
        Err(denied) => {
            if let Some(code) = denied.code {
                wire.put(&Packet::ConnAck(ConnAck::new(code, false))).ok();
                wire.close().await;
            }
        }
    }
}

async fn open(door: Door, tls: TlsAcceptor, stream: TcpStream) -> anyhow::Result<(Wire, Connect)> {
    let stream = tls.accept(stream).await?;
    let mut wire = Wire::new(match door {
        Door::Mqtts => Carrier::Tls(Box::new(stream)),
        Door::WebSocket => Carrier::WebSocket(Box::new(websocket::accept(stream).await?)),
    });
    match wire.packet().await? {
        Some(Packet::Connect(connect)) => Ok((wire, connect)),
        Some(_) => anyhow::bail!("the first packet is not CONNECT"),
        None => anyhow::bail!("the connection was closed"),
    }
}

struct Session {
    hub: Hub,
    device: String,
    connection: u64,
    clean: bool,
    will: Option<LastWill>,
    keepalive: Duration,
    heard: Instant,
    token_end: Instant,
    subscriptions: BTreeMap<Filter, u8>,
    owed: Queue,
    /// Records whose PUBACK lies in the outgoing buffer.
    written: Vec<u64>,
    /// Packet id to cloud-to-device message, of those the device has not acknowledged.
    in_flight: HashMap<u16, u64>,
    last_packet_id: u16,
    look_for_c2d: bool,
}

impl Session {
    fn new(hub: Hub, admission: &Admission, connect: &Connect) -> Self {
        let keepalive = match connect.keep_alive {
            0 => KEEPALIVE_MAX,
            seconds => (Duration::from_secs(seconds.into()) * 3 / 2).min(KEEPALIVE_MAX),
        };
        let valid = Duration::from_secs(admission.token_expiry.saturating_sub(now_unix_s()));
        let now = Instant::now();
        // A token that outlives the clock's range never ends.
        let token_end = valid.checked_add(hub.inner.options.expiry_grace).and_then(|valid| now.checked_add(valid));
        Self {
            device: admission.device.clone(),
            connection: admission.connection,
            clean: connect.clean_session,
            will: connect.last_will.clone(),
            keepalive,
            heard: now,
            token_end: token_end.unwrap_or(now + FAR),
            subscriptions: admission.subscriptions.iter().copied().collect(),
            owed: Queue::default(),
            written: Vec::new(),
            in_flight: HashMap::new(),
            last_packet_id: 0,
            look_for_c2d: true,
            hub,
        }
    }

    async fn run(mut self, mut wire: Wire, admission: Admission, closing: Closing) {
        tracing::info!(device = self.device, connection = self.connection, "connected");
        let connack = ConnAck::new(ConnectReturnCode::Success, admission.session_present);
        let end = match wire.put(&Packet::ConnAck(connack)) {
            Ok(()) => self.serve(&mut wire, admission.orders, admission.end, closing).await,
            Err(end) => end,
        };
        tracing::info!(device = self.device, connection = self.connection, ?end, "connection ended");
        drop(wire);
        let will = self.will.take().filter(|_| end != End::Disconnected);
        if let Some(will) = will {
            self.record_will(&will);
        }
        self.hub.left(&self.device, self.connection, end);
    }

    async fn serve(
        &mut self,
        wire: &mut Wire,
        mut orders: mpsc::Receiver<Order>,
        mut end: oneshot::Receiver<End>,
        mut closing: Closing,
    ) -> End {
        let mut mode = self.hub.inner.pubacks.subscribe();
        loop {
            if let Err(end) = self.prepare(wire) {
                return end;
            }
            let flushed = tokio::select! {
                biased;
                end = &mut end => return end.unwrap_or(End::Cut),
                () = closed(&mut closing) => return End::Outage,
                flushed = tokio::time::timeout(WRITE_MAX, wire.flush()) => flushed,
            };
            match flushed {
                Ok(Ok(())) => self.hub.inner.recorder.acknowledged(&std::mem::take(&mut self.written)),
                Ok(Err(_)) => return End::Dropped,
                Err(_) => return End::TooSlow,
            }
            let done = tokio::select! {
                biased;
                end = &mut end => Err(end.unwrap_or(End::Cut)),
                () = closed(&mut closing) => Err(End::Outage),
                order = orders.recv() => match order {
                    Some(Order::Freeze) => return frozen(end, closing).await,
                    Some(order) => self.order(wire, order),
                    None => Err(End::Cut),
                },
                _ = mode.changed() => Ok(()),
                () = tokio::time::sleep_until(self.wake_at().into()) => self.overdue(),
                read = wire.packet() => self.read(wire, read),
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    fn wake_at(&self) -> Instant {
        let times =
            [Some(self.heard + self.keepalive), Some(self.token_end), self.owed.next(*self.hub.inner.pubacks.borrow())];
        times.into_iter().flatten().min().unwrap_or(self.token_end)
    }

    fn overdue(&self) -> Result<(), End> {
        let now = Instant::now();
        if now >= self.token_end {
            return Err(End::TokenExpired);
        }
        if now >= self.heard + self.keepalive {
            return Err(End::KeepaliveMissed);
        }
        Ok(())
    }

    /// Puts what is due into the outgoing buffer.
    fn prepare(&mut self, wire: &mut Wire) -> Result<(), End> {
        let mode = *self.hub.inner.pubacks.borrow();
        for owed in self.owed.due(mode, Instant::now()) {
            for _ in 0..self.hub.copies() {
                wire.put(&Packet::PubAck(PubAck::new(owed.packet_id)))?;
            }
            self.written.extend(owed.record);
        }
        if !std::mem::take(&mut self.look_for_c2d) {
            return Ok(());
        }
        let Some(qos) = self.subscriptions.get(&Filter::CloudToDevice).copied() else { return Ok(()) };
        for message in self.hub.take_c2d(&self.device, self.connection, qos) {
            let mut publish = Publish::from_bytes(message.topic, QoS::AtMostOnce, message.body);
            if qos > 0 {
                publish.qos = QoS::AtLeastOnce;
                publish.dup = message.again;
                publish.pkid = self.packet_id();
                self.in_flight.insert(publish.pkid, message.id);
            }
            wire.put(&Packet::Publish(publish))?;
        }
        Ok(())
    }

    fn packet_id(&mut self) -> u16 {
        // At most fifty are in flight, so a free one is near.
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains_key(&self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }

    fn order(&mut self, wire: &mut Wire, order: Order) -> Result<(), End> {
        self.look_for_c2d = true;
        match order {
            Order::Push { filter, topic, body } if self.subscriptions.contains_key(&filter) => {
                wire.put(&Packet::Publish(Publish::from_bytes(topic, QoS::AtMostOnce, body)))
            }
            _ => Ok(()),
        }
    }

    /// Handles the packet that was read and all that lie in the buffer behind it.
    fn read(&mut self, wire: &mut Wire, read: Result<Option<Packet>, ReadError>) -> Result<(), End> {
        let mut next = match read {
            Ok(Some(packet)) => Some(packet),
            Ok(None) | Err(ReadError::Io(_)) => return Err(End::Dropped),
            Err(error) => return Err(End::Violation(error.to_string())),
        };
        self.heard = Instant::now();
        while let Some(packet) = next {
            self.packet(wire, packet)?;
            next = wire.buffered().map_err(|error| End::Violation(error.to_string()))?;
        }
        Ok(())
    }

    fn packet(&mut self, wire: &mut Wire, packet: Packet) -> Result<(), End> {
        match packet {
            Packet::Publish(publish) => self.publish(wire, publish),
            Packet::PubAck(ack) => {
                if let Some(message) = self.in_flight.remove(&ack.pkid) {
                    self.hub.complete_c2d(&self.device, message);
                }
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.subscribe(wire, &subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                for text in &unsubscribe.topics {
                    if let Some(filter) = topic::filter(&self.device, text) {
                        self.subscriptions.remove(&filter);
                    }
                }
                self.hub.keep_subscriptions(&self.device, self.connection, self.clean, &self.subscriptions);
                wire.put(&Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid)))
            }
            Packet::PingReq => wire.put(&Packet::PingResp),
            Packet::Disconnect => Err(End::Disconnected),
            other => Err(violation(format!("it sent {:?}", other.packet_type()))),
        }
    }

    fn publish(&mut self, wire: &mut Wire, publish: Publish) -> Result<(), End> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(violation("it published with QoS 2"));
        }
        let topic = String::from_utf8(publish.topic.to_vec()).map_err(|_| violation("the topic is not utf-8"))?;
        let prefix = format!("devices/{}/messages/events/", self.device);
        if publish.payload.len() + topic.len().saturating_sub(prefix.len()) > D2C_BYTES_MAX {
            return Err(violation("a message must not pass 256 KB"));
        }
        let publication = topic::publication(&self.device, &topic).map_err(violation)?;
        let (dup, retain, qos, body) = (publish.dup, publish.retain, publish.qos as u8, publish.payload);
        let record = match publication {
            Publication::Telemetry(properties) => {
                let asks = v21::is_identity_message(&properties).then(|| body.clone());
                let (device, connection) = (self.device.clone(), self.connection);
                let arrival = Arrival { device, connection, topic, body, dup, retain, qos, will: false };
                let number = self.hub.inner.recorder.add(arrival).ok_or_else(|| violation("the recorder is full"))?;
                let next = self.hub.arrived(&self.device);
                if matches!(next, Next::Cut) {
                    return Err(End::Cut);
                }
                if let Some(body) = asks {
                    self.hub.identity_message(&self.device, &body);
                }
                if matches!(next, Next::Ignore) {
                    return Ok(());
                }
                Some(number)
            }
            Publication::TwinGet { request } => {
                let (status, twin) = self.hub.whole_twin(&self.device, self.connection, &request);
                self.answer(wire, status, &request, None, twin)?;
                None
            }
            Publication::TwinReport { request } => {
                let (status, version, why) = self.hub.report(&self.device, self.connection, &request, &body);
                self.answer(wire, status, &request, version, why)?;
                None
            }
            Publication::MethodAnswer { status, request } => {
                self.hub.method_answered(&request, status, &body);
                None
            }
        };
        if publish.qos == QoS::AtLeastOnce {
            if self.owed.len() >= OWED_ACKS_MAX {
                return Err(violation("it published on without waiting for acknowledgements"));
            }
            let owed = Owed { packet_id: publish.pkid, record, since: Instant::now() };
            let mode = *self.hub.inner.pubacks.borrow();
            self.owed.owe(owed, mode);
        }
        Ok(())
    }

    fn answer(
        &self,
        wire: &mut Wire,
        status: u16,
        request: &str,
        version: Option<u64>,
        body: String,
    ) -> Result<(), End> {
        if !self.subscriptions.contains_key(&Filter::TwinAnswers) {
            return Ok(());
        }
        let version = version.map(|version| format!("&$version={version}")).unwrap_or_default();
        let topic = format!("$iothub/twin/res/{status}/?$rid={request}{version}");
        wire.put(&Packet::Publish(Publish::from_bytes(topic, QoS::AtMostOnce, Bytes::from(body))))
    }

    fn subscribe(&mut self, wire: &mut Wire, subscribe: &Subscribe) -> Result<(), End> {
        let mut codes = Vec::new();
        for wanted in &subscribe.filters {
            let filter = topic::filter(&self.device, &wanted.path);
            let room = |filter: &Filter| {
                self.subscriptions.contains_key(filter) || self.subscriptions.len() < SUBSCRIPTIONS_MAX
            };
            let Some(filter) = filter.filter(room) else {
                tracing::warn!(device = self.device, filter = wanted.path, "refused a subscription");
                match self.hub.inner.options.subscription_refusal {
                    SubscriptionRefusal::Failure => codes.push(SubscribeReasonCode::Failure),
                    SubscriptionRefusal::Close => {
                        return Err(violation(format!("it may not subscribe to {}", wanted.path)));
                    }
                }
                continue;
            };
            let granted = if wanted.qos == QoS::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            self.subscriptions.insert(filter, granted as u8);
            codes.push(SubscribeReasonCode::Success(granted));
        }
        self.look_for_c2d = true;
        self.hub.keep_subscriptions(&self.device, self.connection, self.clean, &self.subscriptions);
        wire.put(&Packet::SubAck(SubAck::new(subscribe.pkid, codes)))
    }

    fn record_will(&self, will: &LastWill) {
        let topic = will.topic.clone();
        if !matches!(topic::publication(&self.device, &topic), Ok(Publication::Telemetry(_))) {
            return;
        }
        self.hub.inner.recorder.add(Arrival {
            device: self.device.clone(),
            connection: self.connection,
            topic,
            body: will.message.clone(),
            dup: false,
            retain: will.retain,
            qos: 0,
            will: true,
        });
    }
}

/// Longer than any test or demonstration.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

async fn frozen(end: oneshot::Receiver<End>, mut closing: Closing) -> End {
    tokio::select! {
        end = end => end.unwrap_or(End::Cut),
        () = closed(&mut closing) => End::Outage,
    }
}

pub(super) fn violation(reason: impl Into<String>) -> End {
    End::Violation(reason.into())
}
