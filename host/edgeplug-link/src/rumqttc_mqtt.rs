//! [`Mqtt`] by the `rumqttc` client library: the part that the caller's thread runs.
//!
//! Each connection is a [`Live`], shared between these calls and one task (`connection.rs`), with a client and an event
//! loop of its own: nothing of an older connection, neither packets nor a password, can reach a newer one.
//!
//! Which publish a PUBACK belongs to is followed by packet identifier, not by the library's per-publish notices: on a
//! fresh event loop the library sends publishes in the order they were queued and reports each with its identifier,
//! which a ticket keeps until its PUBACK. Notices would cost an allocation each and end the library's batched reads at
//! every PUBACK.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rumqttc::{AckMode, AsyncClient, EventLoop, ManualAck, MqttOptions, PubAck, PublishOptions, ValidatedTopic};
use rustls::ClientConfig;
use secrecy::ExposeSecret;
use tokio::{
    runtime::Handle,
    select,
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    connection,
    dial::{Target, dial},
    http::is_loopback,
    mqtt::{
        BESIDE_MAX, ConnectOptions, ConnectionId, DeliveryId, DownReason, LinkEvent, Mqtt, PublishError, QueueFull,
        Transport,
    },
};

/// Room for events that the caller has not taken yet. Delivered tickets come in batches, so this is a few rounds of
/// its loop; when it is full the connection waits, and with it the broker.
pub const EVENTS_MAX: usize = 64;

/// Messages that the caller may leave unacknowledged before the connection is ended as hostile. IoT Hub itself queues
/// at most 50 cloud-to-device messages for a device ("Azure IoT Hub quotas and throttling").
pub const UNACKNOWLEDGED_MAX: usize = 128;

/// One connection that is being cut and the one that replaces it.
const CONNECTIONS_MAX: usize = 2;

/// How long a planned disconnect waits for the PUBACKs of what is in flight. A hub answers in a fraction of a second
/// or not at all, and what is not acknowledged is sent again anyway.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// When leaving in order has failed: the wait for PUBACKs and a little for the DISCONNECT.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(6);

/// Publishes written to the socket in one go; measured, more gains nothing.
const REQUEST_BATCH_MAX: usize = 64;

/// SUBSCRIBE and DISCONNECT, which share their queue with acknowledgements.
const CONTROL_PACKETS_MAX: usize = 2;

/// Bytes of a PUBLISH that are neither topic nor payload: type, remaining length, topic length, packet identifier.
const PUBLISH_OVERHEAD_BYTES_MAX: usize = 1 + 4 + 2 + 2;

/// MQTT connections, one at a time, by the `rumqttc` library.
#[derive(Debug)]
pub struct RumqttcMqtt {
    tls: Arc<ClientConfig>,
    runtime: Handle,
    events: mpsc::Sender<LinkEvent>,
    current: Mutex<Option<Current>>,
    /// Tasks that have not ended, the current one included.
    alive: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Current {
    live: Arc<Live>,
    task: JoinHandle<()>,
}

/// One connection, as the caller and its task see it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: ConnectionId,
    client: AsyncClient,
    held_max: usize,
    packet_bytes_max: usize,
    /// Told when the connection shall end at once.
    cut: Notify,
    /// Told when the connection begins to leave.
    leaving: Notify,
    state: Mutex<LiveState>,
}

#[derive(Debug, Default)]
struct LiveState {
    phase: Phase,
    /// Tickets given to the client that have no packet identifier yet, in order.
    queued: VecDeque<u64>,
    /// Tickets whose PUBACK is awaited, with their packet identifiers, in order.
    sent: VecDeque<(u16, u64)>,
    /// Messages to acknowledge, by packet identifier. A broker that repeats an identifier makes the older one stale.
    unacknowledged: HashMap<u16, DeliveryId>,
    deliveries: u64,
    topics: Topics,
}

/// The topic looked at last: most messages go to the one before's, and looking through a topic costs more than a copy.
#[derive(Debug, Default)]
struct Topics {
    last: Option<(String, ValidatedTopic)>,
}

impl Topics {
    fn look_at(&mut self, topic: &str) -> Result<ValidatedTopic, PublishError> {
        if let Some((last, valid)) = &self.last
            && last == topic
        {
            return Ok(valid.clone());
        }
        if topic.len() > usize::from(u16::MAX) || topic.contains('\0') {
            return Err(PublishError::Topic);
        }
        let valid = ValidatedTopic::new(topic).map_err(|_| PublishError::Topic)?;
        self.last = Some((topic.to_owned(), valid.clone()));
        Ok(valid)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Connecting,
    Up,
    Leaving,
}

impl RumqttcMqtt {
    /// `tls` is what [`tls_config`](crate::tls_config) made, and `runtime` runs the connections' tasks. Events of all
    /// connections come out of the one receiver; dropping it ends them.
    #[must_use]
    pub fn new(tls: Arc<ClientConfig>, runtime: Handle) -> (Self, mpsc::Receiver<LinkEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let alive = Arc::new(AtomicUsize::new(0));
        (Self { tls, runtime, events, current: Mutex::new(None), alive }, receiver)
    }

    fn with_live(&self, connection: ConnectionId, act: impl FnOnce(&Live)) {
        if let Some(current) = lock(&self.current).as_ref().filter(|current| current.live.id == connection) {
            act(&current.live);
        }
    }
}

impl Mqtt for RumqttcMqtt {
    fn connect(&self, connection: ConnectionId, options: ConnectOptions) -> Result<(), QueueFull> {
        let mut current = lock(&self.current);
        if self.alive.load(Ordering::Acquire) >= CONNECTIONS_MAX {
            return Err(QueueFull);
        }
        let previous = current.take().map(|previous| {
            previous.live.cut.notify_one();
            previous.task
        });
        let alive = Alive::new(&self.alive);
        let events = self.events.clone();
        match build(&options, &self.tls) {
            Ok((client, event_loop)) => {
                let live = Arc::new(Live::new(connection, client, &options));
                let run = connection::run(live.clone(), event_loop, options, events);
                let task = self.runtime.spawn(async move {
                    let _alive = alive;
                    finish(previous).await;
                    run.await;
                });
                *current = Some(Current { live, task });
            }
            Err(reason) => {
                self.runtime.spawn(async move {
                    let _alive = alive;
                    finish(previous).await;
                    connection::report_down(connection, reason, &events).await;
                });
            }
        }
        Ok(())
    }

    fn publish(&self, connection: ConnectionId, ticket: u64, topic: &str, payload: Bytes) -> Result<(), PublishError> {
        let current = lock(&self.current);
        match current.as_ref().filter(|current| current.live.id == connection) {
            Some(current) => current.live.publish(ticket, topic, payload),
            None => Ok(()),
        }
    }

    fn acknowledge(&self, connection: ConnectionId, delivery: DeliveryId) {
        self.with_live(connection, |live| live.acknowledge(delivery));
    }

    fn disconnect(&self, connection: ConnectionId) {
        self.with_live(connection, Live::leave);
    }
}

impl Drop for RumqttcMqtt {
    fn drop(&mut self) {
        if let Some(current) = lock(&self.current).take() {
            current.live.cut.notify_one();
        }
    }
}

/// What the caller's calls do to a connection.
impl Live {
    fn new(id: ConnectionId, client: AsyncClient, options: &ConnectOptions) -> Self {
        Self {
            id,
            client,
            held_max: held_max(options.window),
            packet_bytes_max: options.packet_bytes_max,
            cut: Notify::new(),
            leaving: Notify::new(),
            state: Mutex::default(),
        }
    }

    fn publish(&self, ticket: u64, topic: &str, payload: Bytes) -> Result<(), PublishError> {
        let bytes = PUBLISH_OVERHEAD_BYTES_MAX + topic.len() + payload.len();
        if bytes > self.packet_bytes_max {
            return Err(PublishError::TooLarge { bytes, bytes_max: self.packet_bytes_max });
        }
        let mut state = lock(&self.state);
        let topic = state.topics.look_at(topic)?;
        if state.phase != Phase::Up {
            return Ok(());
        }
        if state.queued.len() + state.sent.len() >= self.held_max {
            return Err(QueueFull.into());
        }
        // Under the lock, so that tickets stand in the order in which the client sends.
        self.client.try_publish(topic, payload, PublishOptions::at_least_once()).map_err(|_| QueueFull)?;
        state.queued.push_back(ticket);
        Ok(())
    }

    fn acknowledge(&self, delivery: DeliveryId) {
        let mut state = lock(&self.state);
        let packet_id = packet_id(delivery);
        if state.unacknowledged.get(&packet_id) != Some(&delivery) {
            return;
        }
        state.unacknowledged.remove(&packet_id);
        if let Err(error) = self.client.try_manual_ack(ManualAck::PubAck(PubAck::new(packet_id))) {
            tracing::warn!(connection = self.id.0, %error, "an acknowledgement was not sent; its message comes again");
        }
    }

    fn leave(&self) {
        let mut state = lock(&self.state);
        let cut = match state.phase {
            Phase::Connecting => true,
            Phase::Up => self.client.try_disconnect_with_timeout(LEAVE_TIME).is_err(),
            Phase::Leaving => false,
        };
        state.phase = Phase::Leaving;
        self.leaving.notify_one();
        if cut {
            self.cut.notify_one();
        }
    }
}

/// What the connection's task does to it.
impl Live {
    /// Until the connection shall end, whatever it is doing.
    pub(crate) async fn until_cut(&self) {
        // The library only looks at its own limit when it does not wait to write.
        let left_for_too_long = async {
            self.leaving.notified().await;
            sleep(LEAVE_TIME_MAX).await;
        };
        select! {
            () = self.cut.notified() => {}
            () = left_for_too_long => {}
        }
    }

    pub(crate) fn subscribe(&self, filters: &[String]) -> Result<(), DownReason> {
        let filters =
            filters.iter().map(|filter| rumqttc::SubscribeFilterInput::new(filter, rumqttc::QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).map_err(|error| DownReason::Protocol(error.to_string()))
    }

    /// From here on publishes are taken.
    pub(crate) fn up(&self) {
        let mut state = lock(&self.state);
        if state.phase == Phase::Connecting {
            state.phase = Phase::Up;
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        lock(&self.state).phase == Phase::Leaving
    }

    /// For what was sent and acknowledged in one go: taking turns with the caller for each packet would cost more than the
    /// packets do.
    pub(crate) fn books(&self) -> Books<'_> {
        Books(lock(&self.state))
    }

    /// Takes charge of acknowledging a message; `packet_id` 0 is a message without acknowledgement.
    pub(crate) fn received(&self, packet_id: u16) -> Result<DeliveryId, DownReason> {
        let mut state = lock(&self.state);
        state.deliveries += 1;
        let delivery = DeliveryId(state.deliveries << u16::BITS | u64::from(packet_id));
        if packet_id != 0 {
            state.unacknowledged.insert(packet_id, delivery);
        }
        if state.unacknowledged.len() > UNACKNOWLEDGED_MAX {
            return Err(DownReason::Protocol(format!("the broker sent {UNACKNOWLEDGED_MAX} messages at once")));
        }
        Ok(delivery)
    }
}

/// Which publishes are out. The caller waits while they are open.
pub(crate) struct Books<'a>(MutexGuard<'a, LiveState>);

impl Books<'_> {
    /// The oldest queued publish went out under this identifier.
    pub(crate) fn sent(&mut self, packet_id: u16) {
        if let Some(ticket) = self.0.queued.pop_front() {
            self.0.sent.push_back((packet_id, ticket));
        }
    }

    /// The broker acknowledged this identifier. Brokers do so in order, and then it is the first.
    pub(crate) fn delivered(&mut self, packet_id: u16) -> Option<u64> {
        let taken = match self.0.sent.iter().position(|(sent, _)| *sent == packet_id)? {
            0 => self.0.sent.pop_front(),
            at => self.0.sent.remove(at),
        };
        taken.map(|(_, ticket)| ticket)
    }
}

/// Counts a task for as long as it lives, panics included.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A hub allows one connection per device: the new one waits until the old one's socket is closed.
async fn finish(previous: Option<JoinHandle<()>>) {
    if let Some(task) = previous
        && let Err(error) = task.await
    {
        tracing::error!(%error, "a connection's task failed");
    }
}

fn build(options: &ConnectOptions, tls: &Arc<ClientConfig>) -> Result<(AsyncClient, EventLoop), DownReason> {
    let invalid = |error: &dyn std::fmt::Display| DownReason::Protocol(error.to_string());
    if options.transport == Transport::PlainForLoopbackTests && !is_loopback(&options.host) {
        return Err(DownReason::Tls(format!("refused to talk to {} in plain text", options.host)));
    }
    if let Some(filter) = options.subscriptions.iter().find(|filter| !rumqttc::valid_filter(filter)) {
        return Err(DownReason::SubscriptionRefused(filter.clone()));
    }

    let mut mqtt = MqttOptions::new(&options.client_id, (options.host.as_str(), options.port));
    let target = Target {
        host: options.host.clone(),
        port: options.port,
        transport: options.transport,
        proxy: options.proxy.clone(),
        tls: tls.clone(),
        stall_time: options.keep_alive,
        window: options.window,
    };
    mqtt.set_transport(rumqttc::Transport::tcp())
        .set_socket_connector(move |_, _| {
            let target = target.clone();
            async move { dial(target).await.map_err(io::Error::other) }
        })
        .set_keep_alive(u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX))
        .set_max_packet_size(options.packet_bytes_max, options.packet_bytes_max)
        .set_max_request_batch(REQUEST_BATCH_MAX)
        .set_ack_mode(AckMode::Manual);
    mqtt.try_set_clean_session(false).map_err(|error| invalid(&error))?;
    mqtt.try_set_inflight(options.window).map_err(|error| invalid(&error))?;
    match options.password.expose_secret() {
        "" if options.username.is_empty() => {}
        "" => {
            mqtt.set_username(&options.username);
        }
        password => {
            mqtt.set_credentials(&options.username, Bytes::copy_from_slice(password.as_bytes()));
        }
    }

    let capacity = held_max(options.window).max(UNACKNOWLEDGED_MAX + CONTROL_PACKETS_MAX);
    let (client, mut event_loop) =
        AsyncClient::builder(mqtt).capacity(capacity).try_build().map_err(|error| invalid(&error))?;
    let mut network = event_loop.network_options();
    // The library counts whole seconds; the exact limit is kept by the connection's task.
    network.set_connection_timeout(options.connect_timeout.as_secs() + 1);
    event_loop.set_network_options(network);
    Ok((client, event_loop))
}

/// Publishes taken before the first PUBACK: a window on the wire and as many behind it, so that the wire never waits for us,
/// and what is no reading.
fn held_max(window: u16) -> usize {
    usize::from(window) * 2 + BESIDE_MAX
}

/// The packet identifier that [`Live::received`] put into the lower bits.
fn packet_id(delivery: DeliveryId) -> u16 {
    (delivery.0 & u64::from(u16::MAX)) as u16
}

/// The state behind these locks is never left half-changed, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
