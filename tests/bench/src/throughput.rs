//! Readings a second, from the sensor to the broker's acknowledgement: ours, the bare client's, and the Python SDKs'.
//!
//! All in turn, round by round, against one mosquitto over TLS, so that what else the machine does hits them alike.

use std::time::Duration;

use anyhow::Context as _;
use edgeplug_plugins::EngineKind;
use edgeplug_test_support::certificates::TestCa;
use edgeplug_test_support::mosquitto::Mosquitto;
use serde_json::{Value, json};

use crate::bare::Bare;
use crate::disk;
use crate::durable::Durable;
use crate::figures::{Rounds, median};
use crate::guest::Instance;
use crate::message;
use crate::python::{self, Sdk};
use crate::source::Source;

pub(crate) const ROUNDS: usize = 7;
pub(crate) const IN_FLIGHT: u16 = 100;
/// Until caches are warm and windows are full.
const WARM_UP: Duration = Duration::from_millis(300);
pub(crate) const TIME: Duration = Duration::from_secs(2);

/// How the broker sends its PUBACKs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broker {
    /// Each at once, as a segment of its own (`set_tcp_nodelay true`).
    #[default]
    Nodelay,
    /// As mosquitto is configured by default: held back until those before are acknowledged by TCP, then many in one segment.
    Default,
}

impl Broker {
    /// What the environment's `BROKER` names; without it both, one after the other.
    pub(crate) fn chosen() -> anyhow::Result<Vec<Self>> {
        let all = [Self::Nodelay, Self::Default];
        let Ok(name) = std::env::var("BROKER") else { return Ok(all.to_vec()) };
        let chosen = all.into_iter().find(|broker| broker.name() == name);
        Ok(vec![chosen.context("BROKER must be `nodelay` or `default`")?])
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nodelay => "nodelay",
            Self::Default => "default",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Nodelay => "set_tcp_nodelay true\n",
            Self::Default => "",
        }
    }
}

#[derive(Default)]
pub(crate) struct Throughput {
    pub(crate) message_bytes: usize,
    pub(crate) broker: Broker,
    pub(crate) bare: Rounds,
    pub(crate) durable: Rounds,
    pub(crate) supervised: Rounds,
    pub(crate) lite: Rounds,
    pub(crate) azure: Rounds,
    /// Of an append and `fdatasync` before each durable round.
    pub(crate) sync_us: Vec<f64>,
    /// Written to the disk for each durable message, its removal included.
    pub(crate) bytes_per_message: Vec<f64>,
    pub(crate) messages_per_commit: Vec<f64>,
    pub(crate) versions: Value,
}

pub(crate) async fn measure(broker: Broker) -> anyhow::Result<Throughput> {
    let only = std::env::var("PATHS").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|chosen| chosen == name);
    let rounds = match std::env::var("ROUNDS") {
        Ok(text) => text.parse().context("ROUNDS must be a number")?,
        Err(_) => ROUNDS,
    };
    let scratch = crate::scratch()?;
    let ca = TestCa::new()?;
    let server = ca.server()?;
    let mosquitto = Mosquitto::start_tuned(&ca, &server, broker.setting())?;
    let port = mosquitto.tls_port();
    let body = message::encoded(&Instance::new(EngineKind::Native).await?.sample().await?)?;
    let durable = |source, number: usize, name: &str| {
        let directory = scratch.path().join(format!("{name}-{number}"));
        let ca_file = ca.ca_file().to_owned();
        async move { Durable::start(&directory, &ca_file, port, IN_FLIGHT, source).await }
    };
    let mut figures =
        Throughput { message_bytes: body.len(), broker, versions: python::versions()?, ..Throughput::default() };
    for number in 0..rounds {
        if wanted("bare") {
            let bare = Bare::start(ca.ca_file(), port, IN_FLIGHT, body.clone()).await?;
            figures.bare.0.push(bare.measure(WARM_UP, TIME).await.context("the bare client")?);
        }
        if wanted("durable") {
            figures.sync_us.push(disk::sync_us(scratch.path())?);
            let path = durable(Source::direct().await?, number, "direct").await?;
            let (round, written) = path.measure(WARM_UP, TIME).await.context("the durable path")?;
            figures.durable.0.push(round);
            figures.bytes_per_message.push(written.bytes as f64 / written.rows as f64);
            figures.messages_per_commit.push(written.rows as f64 / written.commits as f64);
        }
        if wanted("supervised") {
            let path = durable(Source::supervised().await?, number, "supervised").await?;
            let (round, _) = path.measure(WARM_UP, TIME).await.context("the durable path with plugins")?;
            figures.supervised.0.push(round);
        }
        for (sdk, rounds) in [(Sdk::Lite, &mut figures.lite), (Sdk::Azure, &mut figures.azure)] {
            if wanted(sdk.name()) {
                let round = python::round(sdk, ca.ca_file(), &server, port, IN_FLIGHT, WARM_UP, TIME).await?;
                rounds.0.push(round);
            }
        }
    }
    Ok(figures)
}

impl Throughput {
    pub(crate) fn json(&self) -> Value {
        json!({
            "message_bytes": self.message_bytes, "in_flight": IN_FLIGHT, "broker": self.broker.name(),
            "bare_per_s": self.bare.per_second().round(), "durable_per_s": self.durable.per_second().round(),
            "durable_supervised_per_s": self.supervised.per_second().round(),
            "lite_per_s": self.lite.per_second().round(), "azure_per_s": self.azure.per_second().round(),
            "durable_vs_bare": round_to(self.durable.ratio_to(&self.bare)),
            "durable_supervised_vs_bare": round_to(self.supervised.ratio_to(&self.bare)),
            "durable_vs_lite": round_to(self.durable.ratio_to(&self.lite)),
            "durable_vs_azure": round_to(self.durable.ratio_to(&self.azure)),
            "cpu_us_bare": round_to(self.bare.processor_us()), "cpu_us_durable": round_to(self.durable.processor_us()),
            "cpu_us_durable_supervised": round_to(self.supervised.processor_us()),
            "cpu_us_lite": round_to(self.lite.processor_us()), "cpu_us_azure": round_to(self.azure.processor_us()),
            "disk_sync_us": round_to(median(self.sync_us.clone())),
            "disk_bytes_per_message": median(self.bytes_per_message.clone()).round(),
            "messages_per_commit": median(self.messages_per_commit.clone()).round(),
            "versions": self.versions,
            "rounds_per_s": {
                "bare": self.bare.rates(), "durable": self.durable.rates(), "durable_supervised": self.supervised.rates(),
                "lite": self.lite.rates(), "azure": self.azure.rates(),
            },
        })
    }

    pub(crate) fn print(&self) {
        println!(
            "messages of ten readings, {} bytes, TLS, QoS 1, {IN_FLIGHT} in flight, median of {} rounds of {} s, broker: {}",
            self.message_bytes,
            self.durable.0.len().max(self.bare.0.len()),
            TIME.as_secs(),
            self.broker.name()
        );
        println!("                                     a second    CPU us each    of the bare client");
        let lines = [
            ("MQTT client alone, no storage", &self.bare),
            ("durable: guest, fsync, removal", &self.durable),
            ("  through the plugin runtime", &self.supervised),
            ("iotconnect-sdk-lite (Python)", &self.lite),
            ("azure-iot-device (Python)", &self.azure),
        ];
        for (name, rounds) in lines.into_iter().filter(|(_, rounds)| !rounds.0.is_empty()) {
            println!(
                "  {name:<32} {:>10.0} {:>14.1} {:>18.1} %",
                rounds.per_second(),
                rounds.processor_us(),
                rounds.ratio_to(&self.bare) * 100.0
            );
        }
        println!(
            "  disk: {:.0} us for a write with fdatasync; {:.0} messages a commit, {:.0} bytes written for each",
            median(self.sync_us.clone()),
            median(self.messages_per_commit.clone()),
            median(self.bytes_per_message.clone())
        );
        println!(
            "  durable is {:.1} times the lite SDK and {:.1} times azure-iot-device",
            self.durable.ratio_to(&self.lite),
            self.durable.ratio_to(&self.azure)
        );
    }
}

fn round_to(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
