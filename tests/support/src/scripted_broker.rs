//! A small MQTT 3.1.1 broker that does what a script says, to the letter and no more: the faults that no real broker
//! shows on demand. Plain TCP on 127.0.0.1.
//!
//! It routes nothing and keeps no session; it records what it is sent. Packets are read and written by the codec of the
//! client library, so a fault of that codec can hide here; mosquitto and the cloud simulator do not share it.
//!
//! Waiting is by events: [`ScriptedBroker::wait_until`] looks again whenever a record has changed.

use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{
    Error as PacketError, QoS,
    v4::{
        ConnAck, Connect, ConnectAuth, ConnectReturnCode, Packet, PubAck, Publish, SubAck, Subscribe,
        SubscribeReasonCode,
    },
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Larger than any packet that a test sends on purpose.
const PACKET_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Orders that a connection has not carried out yet; tests give a handful.
const ORDERS_MAX: usize = 1024;

/// How long [`ScriptedBroker::wait_until`] waits before it calls the test failed.
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// How the broker behaves on one connection. The default is a good broker that remembers no session.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// What the CONNACK says about the session.
    pub session_present: bool,
    /// Refuse with this CONNACK return code, 1 to 5, and hang up.
    pub refuse: Option<u8>,
    /// Take the TCP connection and everything that comes, and never say a word.
    pub silent: bool,
    /// Answer CONNECT and nothing after it, PINGREQ included.
    pub silent_once_connected: bool,
    /// Refuse the subscription to this filter.
    pub refuse_filter: Option<String>,
    /// Never answer SUBSCRIBE.
    pub ignore_subscribe: bool,
    pub acks: Acks,
    /// Hang up on receiving this many publishes, before this last one is acknowledged.
    pub cut_after_publishes: Option<usize>,
    /// Bytes to send right after the CONNACK, whatever they mean.
    pub garbage: Option<Bytes>,
}

/// When and how publishes are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    #[default]
    AtOnce,
    /// At once and once more, which no good broker does.
    Twice,
    /// Not before [`ScriptedBroker::release`].
    Held,
    /// Wait for so many, then acknowledge them last to first.
    Reversed(usize),
    /// All at once but the first publish of the connection, which is held.
    AllButFirst,
}

/// What a client did on one connection.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<String>,
    pub clean_session: bool,
    pub keep_alive_s: u16,
    pub subscriptions: Vec<String>,
    pub publishes: Vec<Published>,
    /// Packet identifiers of pushed messages, as the client acknowledged them.
    pub acknowledged: Vec<u16>,
    pub pings: usize,
    /// The client sent DISCONNECT.
    pub disconnected: bool,
    /// The TCP connection is over.
    pub closed: bool,
}

/// A publish as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub topic: String,
    pub payload: Bytes,
    pub packet_id: u16,
    /// 0, 1 or 2.
    pub qos: u8,
    pub dup: bool,
}

/// The broker; it ends when dropped.
#[derive(Debug)]
pub struct ScriptedBroker {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    connections: Mutex<Vec<Connection>>,
    /// Bumped whenever a record changes.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Connection {
    record: Record,
    orders: mpsc::Sender<Order>,
    pushed: u16,
}

#[derive(Debug)]
enum Order {
    Push(Publish),
    Release,
    Cut,
}

impl ScriptedBroker {
    /// The first connection gets the first script and so on; further ones get the last.
    pub async fn start(scripts: impl IntoIterator<Item = Script>) -> anyhow::Result<Self> {
        let scripts = scripts.into_iter().collect::<Vec<_>>();
        let last = scripts.last().context("a broker needs a script")?.clone();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { connections: Mutex::default(), changed: watch::Sender::new(0) });
        let accepting = tokio::spawn(accept(listener, scripts, last, shared.clone()));
        Ok(Self { port, shared, accepting })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What every connection so far did, in the order they came.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        lock(&self.shared.connections).iter().map(|connection| connection.record.clone()).collect()
    }

    /// Waits until the records are as wanted, and returns them.
    pub async fn wait_until(&self, what: &str, wanted: impl Fn(&[Record]) -> bool) -> anyhow::Result<Vec<Record>> {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            loop {
                let records = self.records();
                if wanted(&records) {
                    return records;
                }
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
            }
        };
        match tokio::time::timeout(WAIT_LIMIT, waiting).await {
            Ok(records) => Ok(records),
            Err(_) => bail!("waited {} s in vain until {what}", WAIT_LIMIT.as_secs()),
        }
    }

    /// Sends a QoS 1 message on the newest connection and returns its packet identifier.
    pub fn push(&self, topic: &str, payload: impl Into<Bytes>) -> anyhow::Result<u16> {
        let mut connections = lock(&self.shared.connections);
        let connection = connections.last_mut().context("nobody is connected")?;
        connection.pushed += 1;
        let packet_id = connection.pushed;
        push_on(connection, topic, payload.into(), packet_id)?;
        Ok(packet_id)
    }

    /// Like [`push`](Self::push), with a packet identifier that may be in use, as a faulty broker might.
    pub fn push_as(&self, topic: &str, payload: impl Into<Bytes>, packet_id: u16) -> anyhow::Result<()> {
        let mut connections = lock(&self.shared.connections);
        push_on(connections.last_mut().context("nobody is connected")?, topic, payload.into(), packet_id)
    }

    /// Acknowledges everything held on the newest connection, in the order it came.
    pub fn release(&self) -> anyhow::Result<()> {
        self.order(Order::Release)
    }

    /// Hangs up on the newest connection.
    pub fn cut(&self) -> anyhow::Result<()> {
        self.order(Order::Cut)
    }

    fn order(&self, order: Order) -> anyhow::Result<()> {
        let connections = lock(&self.shared.connections);
        let connection = connections.last().context("nobody is connected")?;
        connection.orders.try_send(order).context("the connection takes no orders")
    }
}

impl Drop for ScriptedBroker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Record {
    /// The payloads of all publishes as text, in order.
    #[must_use]
    pub fn payloads(&self) -> Vec<String> {
        self.publishes.iter().map(|publish| String::from_utf8_lossy(&publish.payload).into_owned()).collect()
    }
}

fn push_on(connection: &mut Connection, topic: &str, payload: Bytes, packet_id: u16) -> anyhow::Result<()> {
    let mut publish = Publish::from_bytes(topic, QoS::AtLeastOnce, payload);
    publish.pkid = packet_id;
    connection.orders.try_send(Order::Push(publish)).context("the connection takes no orders")
}

async fn accept(listener: TcpListener, scripts: Vec<Script>, last: Script, shared: Arc<Shared>) {
    let mut serving = tokio::task::JoinSet::new();
    let mut scripts = scripts.into_iter();
    while let Ok((socket, _)) = listener.accept().await {
        let _ = socket.set_nodelay(true);
        let script = scripts.next().unwrap_or_else(|| last.clone());
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let index = {
            let mut connections = lock(&shared.connections);
            connections.push(Connection { record: Record::default(), orders, pushed: 0 });
            connections.len() - 1
        };
        let peer = Peer {
            index,
            script,
            shared: shared.clone(),
            socket,
            unread: BytesMut::new(),
            unacknowledged: Vec::new(),
            publishes: 0,
        };
        serving.spawn(peer.serve(inbox));
    }
}

/// One client, as seen by the task that serves it.
struct Peer {
    index: usize,
    script: Script,
    shared: Arc<Shared>,
    socket: TcpStream,
    unread: BytesMut,
    /// Packet identifiers whose PUBACK is held back.
    unacknowledged: Vec<u16>,
    publishes: usize,
}

impl Peer {
    async fn serve(mut self, inbox: mpsc::Receiver<Order>) {
        // However it ends, the records tell: a test fails on those, not on what this task thinks.
        let _ = self.talk(inbox).await;
        self.record(|record| record.closed = true);
    }

    async fn talk(&mut self, mut inbox: mpsc::Receiver<Order>) -> anyhow::Result<()> {
        let connect = match self.next_packet().await? {
            Packet::Connect(connect) => connect,
            other => bail!("expected CONNECT, found {other:?}"),
        };
        self.record(|record| note_connect(record, &connect));
        if self.script.silent {
            return self.swallow(&mut inbox).await;
        }
        if let Some(code) = self.script.refuse {
            return self.send(Packet::ConnAck(ConnAck::new(return_code(code)?, false))).await;
        }
        self.send(Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, self.script.session_present))).await?;
        if let Some(garbage) = self.script.garbage.take() {
            self.socket.write_all(&garbage).await?;
        }
        if self.script.silent_once_connected {
            return self.swallow(&mut inbox).await;
        }
        loop {
            tokio::select! {
                packet = self.next_packet() => self.handle(packet?).await?,
                order = next_order(&mut inbox) => match order {
                    Order::Push(publish) => self.send(Packet::Publish(publish)).await?,
                    Order::Release => self.acknowledge_held().await?,
                    Order::Cut => bail!("cut by the test"),
                },
            }
        }
    }

    async fn handle(&mut self, packet: Packet) -> anyhow::Result<()> {
        match packet {
            Packet::Publish(publish) => self.handle_publish(publish).await,
            Packet::PubAck(puback) => {
                self.record(|record| record.acknowledged.push(puback.pkid));
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.handle_subscribe(subscribe).await,
            Packet::PingReq => {
                self.record(|record| record.pings += 1);
                self.send(Packet::PingResp).await
            }
            Packet::Disconnect => {
                self.record(|record| record.disconnected = true);
                bail!("the client has left")
            }
            other => bail!("the script has no answer to {other:?}"),
        }
    }

    async fn handle_publish(&mut self, publish: Publish) -> anyhow::Result<()> {
        self.publishes += 1;
        let packet_id = publish.pkid;
        let acknowledge = publish.qos == QoS::AtLeastOnce;
        self.record(|record| {
            record.publishes.push(Published {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload,
                packet_id,
                qos: publish.qos as u8,
                dup: publish.dup,
            });
        });
        ensure!(self.script.cut_after_publishes != Some(self.publishes), "cut by the script");
        if !acknowledge {
            return Ok(());
        }
        match self.script.acks {
            Acks::AllButFirst if self.publishes == 1 => {
                self.unacknowledged.push(packet_id);
                Ok(())
            }
            Acks::AtOnce | Acks::AllButFirst => self.send(Packet::PubAck(PubAck::new(packet_id))).await,
            Acks::Twice => {
                self.send(Packet::PubAck(PubAck::new(packet_id))).await?;
                self.send(Packet::PubAck(PubAck::new(packet_id))).await
            }
            Acks::Held => {
                self.unacknowledged.push(packet_id);
                Ok(())
            }
            Acks::Reversed(count) => {
                self.unacknowledged.push(packet_id);
                if self.unacknowledged.len() >= count {
                    self.unacknowledged.reverse();
                    self.acknowledge_held().await?;
                }
                Ok(())
            }
        }
    }

    async fn handle_subscribe(&mut self, subscribe: Subscribe) -> anyhow::Result<()> {
        let refused = self.script.refuse_filter.clone();
        let codes = subscribe.filters.iter().map(|filter| match &refused {
            Some(refused) if *refused == filter.path => SubscribeReasonCode::Failure,
            _ => SubscribeReasonCode::Success(filter.qos),
        });
        let suback = SubAck::new(subscribe.pkid, codes.collect());
        self.record(|record| record.subscriptions.extend(subscribe.filters.into_iter().map(|filter| filter.path)));
        if self.script.ignore_subscribe {
            return Ok(());
        }
        self.send(Packet::SubAck(suback)).await
    }

    async fn acknowledge_held(&mut self) -> anyhow::Result<()> {
        for packet_id in std::mem::take(&mut self.unacknowledged) {
            self.send(Packet::PubAck(PubAck::new(packet_id))).await?;
        }
        Ok(())
    }

    /// Reads and forgets until the client hangs up or the test cuts.
    async fn swallow(&mut self, inbox: &mut mpsc::Receiver<Order>) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                packet = self.next_packet() => {
                    if let Packet::Publish(_) = packet? {
                        self.publishes += 1;
                    }
                }
                order = next_order(inbox) => ensure!(!matches!(order, Order::Cut), "cut by the test"),
            }
        }
    }

    /// The next packet; what was read of the one after it waits in `unread`, so that cancelling loses nothing.
    async fn next_packet(&mut self) -> anyhow::Result<Packet> {
        loop {
            match Packet::read(&mut self.unread, PACKET_BYTES_MAX) {
                Ok(packet) => return Ok(packet),
                Err(PacketError::InsufficientBytes(_)) => {}
                Err(error) => return Err(error.into()),
            }
            let count = self.socket.read_buf(&mut self.unread).await?;
            ensure!(count > 0, "the client hung up");
        }
    }

    async fn send(&mut self, packet: Packet) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, PACKET_BYTES_MAX)?;
        Ok(self.socket.write_all(&bytes).await?)
    }

    fn record(&self, note: impl FnOnce(&mut Record)) {
        if let Some(connection) = lock(&self.shared.connections).get_mut(self.index) {
            note(&mut connection.record);
        }
        self.shared.changed.send_modify(|count| *count += 1);
    }
}

fn note_connect(record: &mut Record, connect: &Connect) {
    record.client_id.clone_from(&connect.client_id);
    record.clean_session = connect.clean_session;
    record.keep_alive_s = connect.keep_alive;
    match &connect.auth {
        ConnectAuth::None => {}
        ConnectAuth::Username { username } => record.username = Some(username.clone()),
        ConnectAuth::UsernamePassword { username, password } => {
            record.username = Some(username.clone());
            record.password = Some(String::from_utf8_lossy(password).into_owned());
        }
    }
}

fn return_code(code: u8) -> anyhow::Result<ConnectReturnCode> {
    Ok(match code {
        1 => ConnectReturnCode::RefusedProtocolVersion,
        2 => ConnectReturnCode::BadClientId,
        3 => ConnectReturnCode::ServiceUnavailable,
        4 => ConnectReturnCode::BadUserNamePassword,
        5 => ConnectReturnCode::NotAuthorized,
        other => bail!("{other} is no refusing CONNACK code"),
    })
}

/// The broker keeps the sender as long as it lives, so the end of the orders is the end of the test.
async fn next_order(inbox: &mut mpsc::Receiver<Order>) -> Order {
    match inbox.recv().await {
        Some(order) => order,
        None => pending().await,
    }
}

/// A panic elsewhere does not spoil records.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
