//! The IoT Hub: MQTT 3.1.1 over TLS, bare or in WebSockets, with the hub's own rules on top of MQTT's (Azure "Communicate with an IoT hub using the MQTT
//! protocol", "IoT Hub quotas and throttling").
//!
//! Strict where the real one is: one connection per device id, at most five subscriptions and only to filters it knows, QoS 2
//! ends the connection, a token is checked at CONNECT and ends the connection when it expires. This file is the registry;
//! `outbound.rs` is what goes to devices, `faults.rs` the switches, `events.rs` what happened, `session.rs` one connection,
//! `registry.rs` what a connection changes here. Deliberately absent: X.509, modules, message time to live and
//! the dead-letter rule, throttling.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;

use crate::changes::Changes;
use crate::iotconnect::WeakIotConnect;
use crate::key::Key;
use crate::limits::{CONNECTION_LOG_MAX, DEVICES_MAX};
use crate::listen::Port;
use crate::recorder::Recorder;
use crate::topic::Filter;

mod admission;
mod events;
mod faults;
mod outbound;
mod pubacks;
mod registry;
mod session;
mod twin;
mod websocket;
mod wire;

pub use pubacks::Pubacks;
use session::Door;
use twin::Twin;

/// What the hub does with a filter it does not serve, or a sixth one; Azure does not document which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubscriptionRefusal {
    /// SUBACK with 0x80.
    #[default]
    Failure,
    /// The connection is closed.
    Close,
}

/// Settings of the hub.
#[derive(Clone, Copy, Debug, Default)]
pub struct HubOptions {
    /// How long after its token's expiry a connection is closed; Azure was seen to take about five minutes.
    pub expiry_grace: Duration,
    /// What happens to a filter it does not serve.
    pub subscription_refusal: SubscriptionRefusal,
}

/// One accepted connection.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// Grows by one with each accepted CONNECT of the whole hub, from 1.
    pub number: u64,
    /// The device id.
    pub device: String,
    /// When it was accepted.
    pub at: Timestamp,
    /// The CONNECT's clean session flag.
    pub clean_session: bool,
    /// What the CONNACK said.
    pub session_present: bool,
    /// The CONNECT's keepalive, in seconds.
    pub keep_alive_s: u16,
    /// The user name as received.
    pub username: String,
    /// The token's expiry, unix seconds.
    pub token_expiry: u64,
    /// When and how it ended.
    pub ended: Option<(Timestamp, End)>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum End {
    /// By the device's DISCONNECT.
    Disconnected,
    /// The device closed the socket without a DISCONNECT, as a killed process does.
    Dropped,
    /// A newer connection of the same device took its place.
    Kicked,
    /// By a fault switch.
    Cut,
    /// The port was closed.
    Outage,
    /// The token expired.
    TokenExpired,
    /// Nothing was heard for 1.5 keepalive intervals.
    KeepaliveMissed,
    /// The device's key was taken away.
    Revoked,
    /// The device does not read.
    TooSlow,
    /// The device broke a rule of the hub.
    Violation(String),
}

/// One CONNECT that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// The client id it came with.
    pub client_id: String,
    /// The CONNACK code; `None` when the connection was closed without one.
    pub code: Option<u8>,
    /// Why.
    pub reason: String,
}

/// One twin request of a device, as it was answered.
#[derive(Clone, Debug, Serialize)]
pub struct TwinRequest {
    /// When.
    pub at: Timestamp,
    /// The connection it came on.
    pub connection: u64,
    /// The `$rid`.
    pub request: String,
    /// The reported patch; `None` for a request of the whole twin, and for a patch that is not JSON.
    pub patch: Option<Value>,
    /// Whether it asked for the whole twin.
    pub whole: bool,
    /// 200, 204, or why not.
    pub status: u16,
    /// The reported section's new version.
    pub version: Option<u64>,
}

/// The simulated IoT Hub. Cheap to clone. A device is named by its hub device id or its IoTConnect unique id.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    options: HubOptions,
    state: Mutex<State>,
    pubacks: watch::Sender<Pubacks>,
    recorder: Recorder,
    changes: Changes,
    doors: OnceLock<Doors>,
    /// Answers the identity messages of 2.1; it is made after the hub.
    identity: OnceLock<WeakIotConnect>,
}

struct Doors {
    mqtts: Port,
    websocket: Port,
}

#[derive(Default)]
struct State {
    devices: BTreeMap<String, DeviceState>,
    connections: VecDeque<Connection>,
    refusals: VecDeque<Refusal>,
    last_connection: u64,
    /// CONNECTs still to be refused, and the CONNACK code for it.
    refuse: Option<(u32, u8)>,
    forget_sessions: bool,
    drop_pubacks: u32,
    duplicate_pubacks: u32,
    /// PUBACKs of devices still to be ignored.
    ignored_c2d_pubacks: u32,
    /// Twin requests still to be refused, and the status for it.
    refuse_twin: Option<(u32, u16)>,
    told_port: Option<u16>,
    methods: BTreeMap<String, oneshot::Sender<(i64, Value)>>,
    last_request: u64,
    last_c2d: u64,
}

/// What makes a device known to the hub.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) cpid: String,
    pub(crate) unique_id: String,
    /// The host name the device has to use; two names let a test move a device to "another hub".
    pub(crate) host: String,
    /// Primary first.
    pub(crate) keys: Vec<Key>,
}

struct DeviceState {
    registration: Registration,
    /// Whether there was a connection with clean session 0: what session_present tells.
    session_known: bool,
    subscriptions: BTreeMap<Filter, u8>,
    live: Option<Live>,
    c2d: VecDeque<Queued>,
    twin: Twin,
    twin_log: VecDeque<TwinRequest>,
    /// Device-to-cloud messages until the connection is cut before a PUBACK.
    cut_after: Option<u32>,
}

struct Live {
    connection: u64,
    orders: mpsc::Sender<Order>,
    end: Option<oneshot::Sender<End>>,
}

struct Queued {
    id: u64,
    topic: String,
    body: Bytes,
    deliveries: u32,
    /// The connection that has it and has not acknowledged it.
    with: Option<u64>,
}

enum Order {
    /// There is a cloud-to-device message to deliver.
    Wake,
    /// Publish this, if the device subscribed to it.
    Push { filter: Filter, topic: String, body: Bytes },
    /// Neither read nor write from now on.
    Freeze,
}

impl Hub {
    pub(crate) fn new(options: HubOptions, recorder: Recorder, changes: Changes) -> Self {
        let inner = Inner {
            options,
            state: Mutex::default(),
            pubacks: watch::Sender::new(Pubacks::AtOnce),
            recorder,
            changes,
            doors: OnceLock::new(),
            identity: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) async fn listen(&self, mqtts: u16, websocket: u16, tls: &TlsAcceptor) -> anyhow::Result<()> {
        let doors = Doors {
            mqtts: self.open(mqtts, Door::Mqtts, tls).await?,
            websocket: self.open(websocket, Door::WebSocket, tls).await?,
        };
        anyhow::ensure!(self.inner.doors.set(doors).is_ok(), "the hub listens already");
        Ok(())
    }

    pub(crate) fn ask_for_identity(&self, iotconnect: WeakIotConnect) {
        // Set once, when the simulator is put together.
        self.inner.identity.set(iotconnect).ok();
    }

    async fn open(&self, port: u16, door: Door, tls: &TlsAcceptor) -> anyhow::Result<Port> {
        // Weak, because the port belongs to the hub: its task must not keep the hub alive.
        let inner = Arc::downgrade(&self.inner);
        let tls = tls.clone();
        Port::open(port, move |stream, closing| {
            let (inner, tls) = (inner.clone(), tls.clone());
            async move {
                if let Some(inner) = inner.upgrade() {
                    session::serve(Self { inner }, door, tls, stream, closing).await;
                }
            }
        })
        .await
    }

    pub(crate) fn abandon(&self) {
        if let Some(doors) = self.inner.doors.get() {
            doors.mqtts.abandon();
            doors.websocket.abandon();
        }
    }

    /// Where it listens for MQTT over TLS.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.inner.doors.get().map(|doors| doors.mqtts.address())
    }

    /// Where it listens for MQTT over WebSocket: `wss://localhost:port/$iothub/websocket`, the real one's port 443.
    #[must_use]
    pub fn websocket_address(&self) -> Option<SocketAddr> {
        self.inner.doors.get().map(|doors| doors.websocket.address())
    }

    /// The port that sync names to devices: that of MQTT over TLS, unless [`Hub::tell_devices`] says otherwise.
    #[must_use]
    pub fn told_port(&self) -> Option<u16> {
        self.lock().told_port.or_else(|| Some(self.address()?.port()))
    }

    /// From now on sync names this port to devices, such as that of a relay in front of the hub; `None` is the hub's own.
    pub fn tell_devices(&self, port: Option<u16>) {
        self.lock().told_port = port;
    }

    /// Closes both ports and every connection: connects are refused from now on.
    pub async fn stop_listening(&self) {
        if let Some(doors) = self.inner.doors.get() {
            doors.mqtts.close().await;
            doors.websocket.close().await;
        }
    }

    /// Listens again on the same ports.
    pub async fn resume_listening(&self) {
        if let Some(doors) = self.inner.doors.get() {
            doors.mqtts.reopen().await;
            doors.websocket.reopen().await;
        }
    }

    /// Makes the device known with these keys, or gives a known one these keys; its twin and queue stay.
    pub(crate) fn register(&self, id: &str, registration: Registration) -> anyhow::Result<()> {
        {
            let mut state = self.lock();
            anyhow::ensure!(state.devices.len() < DEVICES_MAX, "the hub is full: {DEVICES_MAX} devices");
            match state.devices.get_mut(id) {
                Some(device) => device.registration = registration,
                None => {
                    state.devices.insert(id.to_owned(), DeviceState::new(registration));
                }
            }
        }
        self.inner.changes.ring();
        Ok(())
    }

    /// Whether the hub knows the device.
    #[must_use]
    pub fn knows(&self, device: &str) -> bool {
        self.lock().find(device).is_ok()
    }

    /// The device's primary key.
    #[must_use]
    pub fn key(&self, device: &str) -> Option<Key> {
        self.lock().find(device).ok()?.1.registration.keys.first().cloned()
    }

    /// The host name the device belongs to.
    #[must_use]
    pub fn host(&self, device: &str) -> Option<String> {
        Some(self.lock().find(device).ok()?.1.registration.host.clone())
    }

    /// Takes the device's keys away and ends its connection: from now on it is refused.
    ///
    /// # Errors
    /// When the hub does not know the device.
    pub fn revoke(&self, device: &str) -> anyhow::Result<()> {
        let mut state = self.lock();
        let (_, device) = state.find(device)?;
        device.registration.keys.clear();
        device.end(End::Revoked);
        Ok(())
    }

    /// Removes the device altogether: sync then says it is not registered.
    ///
    /// # Errors
    /// When the hub does not know the device.
    pub fn remove(&self, device: &str) -> anyhow::Result<()> {
        let mut state = self.lock();
        let id = state.find(device)?.0.to_owned();
        if let Some(mut device) = state.devices.remove(&id) {
            device.end(End::Revoked);
        }
        Ok(())
    }

    pub(crate) fn registrations(&self) -> Vec<(String, Registration, Value)> {
        let state = self.lock();
        let entry = |(id, device): (&String, &DeviceState)| {
            (id.clone(), device.registration.clone(), serde_json::to_value(&device.twin).unwrap_or_default())
        };
        state.devices.iter().map(entry).collect()
    }

    /// The twin as [`Hub::restore_twin`] takes it.
    pub(crate) fn twin_state(&self, id: &str) -> Option<Value> {
        serde_json::to_value(&self.lock().find(id).ok()?.1.twin).ok()
    }

    pub(crate) fn restore_twin(&self, id: &str, twin: &Value) -> anyhow::Result<()> {
        self.lock().find(id)?.1.twin = serde_json::from_value(twin.clone()).context("the kept twin is unreadable")?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&mut self, device: &str) -> anyhow::Result<(&str, &mut DeviceState)> {
        let id = if self.devices.contains_key(device) {
            device.to_owned()
        } else {
            self.devices
                .iter()
                .find(|(_, known)| known.registration.unique_id == device)
                .map(|(id, _)| id.clone())
                .with_context(|| format!("the hub does not know {device}"))?
        };
        let found = self.devices.range_mut(id..).next().context("the device is gone")?;
        Ok((found.0.as_str(), found.1))
    }

    fn log(&mut self, connection: Connection) {
        if self.connections.len() >= CONNECTION_LOG_MAX {
            self.connections.pop_front();
        }
        self.connections.push_back(connection);
    }

    fn log_refusal(&mut self, refusal: Refusal) {
        if self.refusals.len() >= CONNECTION_LOG_MAX {
            self.refusals.pop_front();
        }
        self.refusals.push_back(refusal);
    }
}

impl DeviceState {
    fn new(registration: Registration) -> Self {
        Self {
            registration,
            session_known: false,
            subscriptions: BTreeMap::new(),
            live: None,
            c2d: VecDeque::new(),
            twin: Twin::default(),
            twin_log: VecDeque::new(),
            cut_after: None,
        }
    }

    /// Whether there was a connection to end.
    fn end(&mut self, end: End) -> bool {
        self.live.as_mut().and_then(|live| live.end.take()).is_some_and(|order| order.send(end).is_ok())
    }

    /// Whether there is a connection to take the order; one that does not keep up is ended.
    fn order(&mut self, order: Order) -> bool {
        let Some(live) = &self.live else { return false };
        match live.orders.try_send(order) {
            Ok(()) => true,
            // It has orders to take, and looks for messages after each of them.
            Err(mpsc::error::TrySendError::Full(Order::Wake)) => true,
            Err(_) => {
                self.end(End::TooSlow);
                false
            }
        }
    }
}
