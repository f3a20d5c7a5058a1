//! `edgeplug-cloud`: the cloud simulator as a program, to try a device by hand without a cloud account.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use edgeplug_cloud::{
    Cloud, CloudOptions, Device, FirmwareFault, Key, MessageKind, Offer, Ports, Protocol, Record, Sha256Metadata,
    Template,
};
use serde_json::json;
use tracing_subscriber::EnvFilter;

/// A simulated /IOTCONNECT cloud on this machine: discovery, sync, DPS with real TPM challenges, a strict IoT Hub.
///
/// Everything listens on 127.0.0.1. Give the device the CA file and the connection block that are printed at the start. Every
/// message that arrives is printed as one line and appended to DIRECTORY/records.jsonl. Keys lie in DIRECTORY as plain files:
/// this is a simulator, not a service.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 120)]
struct Arguments {
    /// Where certificates, records and state are kept; made if missing
    #[arg(long, value_name = "DIR", default_value = "edgeplug-cloud")]
    directory: PathBuf,
    /// The company id
    #[arg(long, default_value = "CP")]
    cpid: String,
    /// The environment
    #[arg(long, default_value = "poc")]
    env: String,
    /// DPS's id scope
    #[arg(long, default_value = "0ne00TEST")]
    scope_id: String,
    /// The SID, which stands for company and environment in 2.1
    #[arg(long, default_value = "TEST-SID")]
    sid: String,
    /// The protocols that all devices are offered: 1.0, 2.1 or both
    #[arg(long, value_name = "PROTOCOL", default_value = "1.0", value_parser = offer)]
    protocol: Offer,
    /// A device, by TPM or by symmetric key (its key is kept in DIRECTORY/ID.key); may be given more than once
    #[arg(long = "device", value_name = "ID[:tpm|:sym]", default_value = "GW:tpm")]
    devices: Vec<DeviceArgument>,
    /// The template of all devices, a TOML or JSON file; a small weather station if absent
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Enrols a TPM by its endorsement key, as `edgeplug identity show` prints it; without ID, for the first TPM device
    #[arg(long = "endorsement-key", value_name = "[ID=]BASE64")]
    endorsement_keys: Vec<String>,
    /// Enrols whatever TPM comes first for a device without an endorsement key
    #[arg(long)]
    trust_first_ek: bool,
    /// Port of discovery and sync; 0 takes a free one
    #[arg(long, default_value_t = 8443)]
    iotconnect_port: u16,
    /// Port of DPS; 0 takes a free one
    #[arg(long, default_value_t = 8444)]
    dps_port: u16,
    /// Port of the hub (MQTT over TLS); 0 takes a free one
    #[arg(long, default_value_t = 8883)]
    hub_port: u16,
    /// Port of the hub (MQTT over WebSocket); 0 takes a free one
    #[arg(long, default_value_t = 8445)]
    hub_websocket_port: u16,
    /// Port of the control API (HTTP); 0 takes a free one
    #[arg(long, default_value_t = 8480)]
    control_port: u16,
    /// A file of the firmware store, named like the file unless said otherwise; may be given more than once
    #[arg(long = "firmware", value_name = "[NAME=]FILE")]
    firmware: Vec<String>,
    /// What goes wrong with each request to a file of the store, as the control API writes it, such as
    /// 'fw.bin={"cut_after":1000}'; may be given more than once
    #[arg(long = "firmware-fault", value_name = "NAME=FAULT")]
    firmware_faults: Vec<String>,
    /// How many seconds a connection outlives its token; Azure takes about five minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    expiry_grace: u64,
}

#[derive(Clone, Debug)]
struct DeviceArgument {
    id: String,
    symmetric: bool,
}

impl FromStr for DeviceArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, kind) = text.split_once(':').unwrap_or((text, "tpm"));
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            return Err("a device id is made of letters, digits, '-', '.' and '_'".to_owned());
        }
        match kind {
            "tpm" => Ok(Self { id: id.to_owned(), symmetric: false }),
            "sym" => Ok(Self { id: id.to_owned(), symmetric: true }),
            other => Err(format!("a device is 'tpm' or 'sym', not '{other}'")),
        }
    }
}

fn offer(text: &str) -> Result<Offer, String> {
    match text {
        "1.0" => Ok(Offer::Legacy),
        "2.1" => Ok(Offer::V21),
        "both" => Ok(Offer::Both),
        other => Err(format!("a protocol is '1.0', '2.1' or 'both', not '{other}'")),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("edgeplug_cloud=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();

    let arguments = Arguments::parse();
    let cloud = start(&arguments).await?;
    print!("{}", greeting(&cloud, &arguments)?);
    tokio::select! {
        stopped = stop_signal() => stopped?,
        printed = print_messages(&cloud) => printed?,
    }
    println!("stopped after {} messages", cloud.recorder().len());
    Ok(())
}

async fn start(arguments: &Arguments) -> anyhow::Result<Cloud> {
    let directory = &arguments.directory;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let directory = directory.canonicalize().with_context(|| format!("cannot use {}", directory.display()))?;
    let template = match &arguments.template {
        Some(file) => read_template(file)?,
        None => Template::weather_station(),
    };
    let mut options = CloudOptions::new()
        .cpid(&arguments.cpid)
        .env(&arguments.env)
        .scope_id(&arguments.scope_id)
        .sid(&arguments.sid)
        .record_file(directory.join("records.jsonl"))
        .expiry_grace(Duration::from_secs(arguments.expiry_grace))
        .ports(Ports {
            iotconnect: arguments.iotconnect_port,
            dps: arguments.dps_port,
            hub: arguments.hub_port,
            hub_websocket: arguments.hub_websocket_port,
            control: arguments.control_port,
        });
    for wanted in &arguments.devices {
        let device = if wanted.symmetric {
            Device::symmetric(&wanted.id).key(kept_key(&key_file(&directory, &wanted.id))?)
        } else {
            Device::tpm(&wanted.id)
        };
        options = options.device(device.offer(arguments.protocol).template(template.clone()));
    }
    if arguments.trust_first_ek {
        options = options.trust_first_endorsement_key();
    }
    let cloud = Cloud::start(options.directory(directory)).await?;
    for key in &arguments.endorsement_keys {
        // Base64 ends in '=' at most, so an '=' with something behind it belongs to an id.
        let (id, key) = match key.split_once('=').filter(|(_, key)| key.len() > 1) {
            Some(named) => named,
            None => {
                let first = arguments.devices.iter().find(|device| !device.symmetric);
                (first.context("--endorsement-key needs a TPM device")?.id.as_str(), key.as_str())
            }
        };
        cloud.dps().enrol_base64(id, key).with_context(|| format!("cannot enrol the endorsement key of {id}"))?;
    }
    fill_store(&cloud, arguments)?;
    Ok(cloud)
}

fn fill_store(cloud: &Cloud, arguments: &Arguments) -> anyhow::Result<()> {
    let store = cloud.firmware();
    for firmware in &arguments.firmware {
        let (name, file) = match firmware.split_once('=') {
            Some((name, file)) => (name, Path::new(file)),
            None => {
                let file = Path::new(firmware);
                (file.file_name().and_then(|name| name.to_str()).context("--firmware needs a file")?, file)
            }
        };
        let content = std::fs::read(file).with_context(|| format!("cannot read the firmware {}", file.display()))?;
        store.add(name, content)?;
        store.tell_sha256(name, Sha256Metadata::Right)?;
    }
    for fault in &arguments.firmware_faults {
        let (name, fault) = fault.split_once('=').context("--firmware-fault needs NAME=FAULT")?;
        let read: FirmwareFault =
            serde_json::from_str(fault).with_context(|| format!("cannot understand the fault {fault} of {name}"))?;
        store.fault_always(name, read)?;
    }
    Ok(())
}

fn read_template(file: &Path) -> anyhow::Result<Template> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the template {}", file.display()))?;
    let template = if file.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(&text).map_err(anyhow::Error::from)
    } else {
        toml::from_str(&text).map_err(anyhow::Error::from)
    };
    template.with_context(|| format!("cannot understand the template {}", file.display()))
}

fn key_file(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.key"))
}

/// The device's key from its file; a new one if there is none.
fn kept_key(file: &Path) -> anyhow::Result<Key> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    if file.exists() {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        return Key::from_base64(&text).with_context(|| format!("{} holds no key", file.display()));
    }
    let key = Key::random();
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(file)?;
        writeln!(file, "{}", key.to_base64())
    };
    write().with_context(|| format!("cannot write {}", file.display()))?;
    Ok(key)
}

fn greeting(cloud: &Cloud, arguments: &Arguments) -> anyhow::Result<String> {
    let mut text = String::new();
    let hub = cloud.hub().address().context("the hub does not listen")?;
    writeln!(
        text,
        "The simulated cloud is up, company {}, environment {}, SID {}.",
        cloud.cpid(),
        cloud.env(),
        cloud.sid()
    )?;
    writeln!(text, "  discovery and sync  {}", cloud.discovery_url())?;
    writeln!(text, "  DPS                 {}  (scope {})", cloud.dps_url(), cloud.scope_id())?;
    writeln!(text, "  hub (MQTT, TLS)     localhost:{}", hub.port())?;
    writeln!(text, "  hub (MQTT, wss)     localhost:{}", cloud.wss_port())?;
    writeln!(text, "  control (HTTP)      {}/control/status", cloud.control_url())?;
    writeln!(text, "  CA file             {}", cloud.ca_file().display())?;
    for device in &arguments.devices {
        let id = &device.id;
        writeln!(text)?;
        if device.symmetric {
            let file = key_file(&arguments.directory, id);
            writeln!(text, "Device {id} proves itself by the symmetric key in {}.", file.display())?;
        } else if cloud.dps().endorsement_key(id).is_some() {
            writeln!(text, "Device {id} proves itself by the TPM that is enrolled as {}.", cloud.registration_id(id))?;
        } else if arguments.trust_first_ek {
            let registration = cloud.registration_id(id);
            writeln!(
                text,
                "Device {id} proves itself by TPM; the first one that comes as {registration} is enrolled, unseen."
            )?;
        } else {
            writeln!(text, "Device {id} has no TPM enrolled yet: give --endorsement-key or --trust-first-ek.")?;
        }
        writeln!(text, "Its edgeplug.toml:\n")?;
        writeln!(text, "{}", cloud.connection_block(id))?;
    }
    let protocol = if arguments.protocol.includes(Protocol::V21) { "2.1" } else { "1.0" };
    if let Some(first) = arguments.devices.first() {
        let url = format!("{}/control/devices/{}/send", cloud.control_url(), first.id);
        let command = json!({
            "protocol": protocol, "message": {"type": "command", "text": "set-interval 5", "ack_id": "1"}
        });
        writeln!(text, "Send a command:")?;
        writeln!(text, "  curl -H 'content-type: application/json' -d '{command}' {url}")?;
    }
    if let (Some(file), Some(first)) = (cloud.firmware().files().first(), arguments.devices.first()) {
        let url = format!("{}/control/devices/{}/update", cloud.control_url(), first.id);
        let update = json!({
            "protocol": protocol, "update": {"ack_id": "f-1", "software": "1.1", "files": [{"stored": file.name}]}
        });
        writeln!(text, "Send a firmware update:")?;
        writeln!(text, "  curl -H 'content-type: application/json' -d '{update}' {url}")?;
    }
    writeln!(text, "Ready; stop with Ctrl-C.")?;
    Ok(text)
}

/// Ctrl-C or a polite kill.
async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn print_messages(cloud: &Cloud) -> anyhow::Result<()> {
    /// Printed at a time, so that a flood does not copy the whole record.
    const AT_ONCE: usize = 1_000;
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let mut printed = 0;
    loop {
        // A day without a message is no error.
        if cloud.recorder().wait_for(|records| records.len() > printed, DAY).await.is_err() {
            continue;
        }
        let new = cloud.recorder().page(printed, AT_ONCE);
        printed += new.len();
        for record in new {
            println!("{}", line(&record));
        }
    }
}

/// One message as one line, such as `2026-11-23T06:00:00Z CP-GW report {…}`.
fn line(record: &Record) -> String {
    let kind = match record.kind() {
        MessageKind::Report => "report",
        MessageKind::Fault => "fault",
        MessageKind::Aggregate => "aggregate",
        MessageKind::RuleMatch => "rule match",
        MessageKind::Ack => "ack",
        MessageKind::Offline => "stored",
        MessageKind::Heartbeat => "heartbeat",
        MessageKind::DeviceLog => "device log",
        MessageKind::Identity => "identity message",
        MessageKind::Malformed => "MALFORMED",
    };
    // What every message repeats is left out.
    let body = match record.json() {
        Some(json) => json.get("d").unwrap_or(&json).to_string(),
        None => String::from_utf8_lossy(&record.body).escape_debug().to_string(),
    };
    let again = if record.dup { " (again)" } else { "" };
    format!("{:.0} {} {kind}{again} {body}", record.at, record.device)
}
