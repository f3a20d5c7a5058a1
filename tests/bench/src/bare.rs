//! The MQTT client library by itself, set up as our link sets it up: the ceiling that no storage can exceed.
//!
//! One task puts a message that was encoded beforehand into the client's queue, over and over, one drives the event
//! loop and counts PUBACKs. The queue and the messages in flight are as many as in the daemon.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use edgeplug_link::LinkClock;
use rumqttc::{
    AckMode, AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, TlsConfiguration, Transport,
    ValidatedTopic,
};
use tokio::task::JoinHandle;

use crate::figures::{Round, Stopwatch};
use crate::message;

/// As the link does.
const REQUEST_BATCH_MAX: usize = 64;
const PACKET_BYTES_MAX: usize = edgeplug_link::PACKET_BYTES_MAX;
const QUEUE: usize = 130;

/// A client for one round.
pub(crate) struct Bare {
    event_loop: EventLoop,
    publisher: JoinHandle<()>,
}

impl Bare {
    /// Connected and publishing.
    pub(crate) async fn start(ca_file: &Path, port: u16, in_flight: u16, body: Bytes) -> anyhow::Result<Self> {
        let tls = edgeplug_link::tls_config(Some(ca_file), &LinkClock::new())?;
        let mut options = MqttOptions::new("bare", ("localhost", port));
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)))
            .set_keep_alive(60)
            .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX)
            .set_max_request_batch(REQUEST_BATCH_MAX)
            .set_ack_mode(AckMode::Manual);
        options.try_set_clean_session(false)?;
        options.try_set_inflight(in_flight)?;
        let (client, mut event_loop) = AsyncClient::builder(options).capacity(QUEUE).try_build()?;
        let mut network = event_loop.network_options();
        network.set_tcp_nodelay(true);
        event_loop.set_network_options(network);
        while !matches!(event_loop.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}

        let topic = ValidatedTopic::new(message::definition(port)?.hub.topics.report)?;
        let publisher = tokio::spawn(async move {
            let options = PublishOptions::at_least_once();
            // An error means that the event loop is gone, and with it the round.
            while client.publish(topic.clone(), body.clone(), options).await.is_ok() {}
        });
        Ok(Self { event_loop, publisher })
    }

    pub(crate) async fn measure(self, warm_up: Duration, time: Duration) -> anyhow::Result<Round> {
        let Self { mut event_loop, publisher } = self;
        // On a worker of the runtime, as the link's task is.
        let round = tokio::spawn(async move {
            pubacks(&mut event_loop, warm_up).await?;
            let watch = Stopwatch::start();
            let messages = pubacks(&mut event_loop, time).await?;
            anyhow::Ok(watch.stop(messages))
        })
        .await?;
        publisher.abort();
        round
    }
}

async fn pubacks(event_loop: &mut EventLoop, time: Duration) -> anyhow::Result<u64> {
    let end = Instant::now() + time;
    let mut messages = 0;
    loop {
        if let Event::Incoming(Packet::PubAck(_)) = event_loop.poll().await? {
            messages += 1;
            // A look at the clock for each would be a cost that the library does not have.
            if messages % 64 == 0 && Instant::now() >= end {
                return Ok(messages);
            }
        }
    }
}
