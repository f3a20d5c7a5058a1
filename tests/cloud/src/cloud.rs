//! The whole simulator, composed: every service on its port, and the handles a test drives it with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::c2d::{AckBalance, CloudMessage, Dialect, Post, Sent, Update};
use crate::changes::{Changes, TimedOut};
use crate::control;
use crate::device::{Device, Identity};
use crate::dps::Dps;
use crate::firmware::FirmwareStore;
use crate::hub::{Hub, HubOptions, SubscriptionRefusal};
use crate::iotconnect::IotConnect;
use crate::judge::{self, Complaint};
use crate::listen::{self, Port};
use crate::portal::{HOST, Portal};
use crate::recorder::Recorder;
use crate::state::{self, Keeper};
use crate::tls::{self, Authority};

/// How to start a simulator. The defaults suit a test: cpid `CP`, env `poc`, scope `0ne00TEST`, SID `TEST-SID`, free
/// ports, a directory that goes away with the simulator, tokens enforced to the second.
#[derive(Clone, Debug)]
pub struct CloudOptions {
    cpid: String,
    env: String,
    scope_id: String,
    sid: String,
    devices: Vec<Device>,
    directory: Option<PathBuf>,
    record_file: Option<PathBuf>,
    ports: Ports,
    hub: HubOptions,
    trust_first: bool,
}

/// Ports on 127.0.0.1; 0 takes a free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Discovery and sync (HTTPS).
    pub iotconnect: u16,
    /// DPS (HTTPS).
    pub dps: u16,
    /// The hub (MQTT over TLS).
    pub hub: u16,
    /// The hub (MQTT over WebSocket).
    pub hub_websocket: u16,
    /// The control API (HTTP).
    pub control: u16,
}

impl Default for CloudOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl CloudOptions {
    /// The defaults, without a device.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cpid: "CP".to_owned(),
            env: "poc".to_owned(),
            scope_id: "0ne00TEST".to_owned(),
            sid: "TEST-SID".to_owned(),
            devices: Vec::new(),
            directory: None,
            record_file: None,
            ports: Ports::default(),
            hub: HubOptions::default(),
            trust_first: false,
        }
    }

    /// Adds a device to the portal.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.devices.push(device);
        self
    }

    /// Sets the company id.
    #[must_use]
    pub fn cpid(mut self, cpid: &str) -> Self {
        self.cpid = cpid.to_owned();
        self
    }

    /// Sets the environment.
    #[must_use]
    pub fn env(mut self, env: &str) -> Self {
        self.env = env.to_owned();
        self
    }

    /// Sets DPS's id scope.
    #[must_use]
    pub fn scope_id(mut self, scope_id: &str) -> Self {
        self.scope_id = scope_id.to_owned();
        self
    }

    /// Sets the SID, the other name of company and environment in 2.1.
    #[must_use]
    pub fn sid(mut self, sid: &str) -> Self {
        self.sid = sid.to_owned();
        self
    }

    /// Keeps certificates here, so that a later start is trusted by the same CA file, and enrolled EKs, hub keys and
    /// twins, so that it still knows its devices.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Appends every record to this file, one JSON object a line.
    #[must_use]
    pub fn record_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.record_file = Some(file.into());
        self
    }

    /// Sets the ports.
    #[must_use]
    pub fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// Enrols whatever EK comes first for a TPM device that has none.
    #[must_use]
    pub fn trust_first_endorsement_key(mut self) -> Self {
        self.trust_first = true;
        self
    }

    /// How long a connection outlives its token.
    #[must_use]
    pub fn expiry_grace(mut self, grace: Duration) -> Self {
        self.hub.expiry_grace = grace;
        self
    }

    /// What happens to a subscription the hub does not serve.
    #[must_use]
    pub fn subscription_refusal(mut self, refusal: SubscriptionRefusal) -> Self {
        self.hub.subscription_refusal = refusal;
        self
    }
}

/// A running simulator; it ends when this is dropped.
pub struct Cloud {
    handles: Handles,
    ca_pem: String,
    iotconnect_port: Port,
    dps_port: Port,
    control_port: Port,
    /// Writes the state file of a simulator that was given a directory.
    keeper: Option<Keeper>,
    /// Holds the certificates of a simulator that was given none.
    _directory: Option<tempfile::TempDir>,
}

/// What both a test and the control API drive the simulator with.
#[derive(Clone)]
pub(crate) struct Handles {
    pub(crate) portal: Portal,
    pub(crate) iotconnect: IotConnect,
    pub(crate) hub: Hub,
    pub(crate) post: Post,
    pub(crate) recorder: Recorder,
    pub(crate) dps: Dps,
    pub(crate) firmware: FirmwareStore,
    changes: Changes,
    pub(crate) addresses: Arc<Addresses>,
}

impl Handles {
    pub(crate) fn complaints(&self) -> Vec<Complaint> {
        let devices: BTreeMap<_, _> =
            self.portal.all().into_iter().map(|device| (self.portal.hub_id(&device), device)).collect();
        self.recorder.with(|records| {
            let judged = records
                .iter()
                .filter_map(|record| Some(judge::complaints(record, &self.portal.cpid, devices.get(&record.device)?)));
            judged.flatten().collect()
        })
    }

    pub(crate) fn ack_balance(&self, unique_id: &str) -> AckBalance {
        self.post.balance(unique_id)
    }
}

/// Where a device finds things.
pub(crate) struct Addresses {
    pub(crate) discovery_url: String,
    pub(crate) dps_url: String,
    pub(crate) ca_file: PathBuf,
}

impl Cloud {
    /// Starts every service.
    ///
    /// # Errors
    /// When a port is taken, or the directory or the record file cannot be written.
    pub async fn start(options: CloudOptions) -> anyhow::Result<Self> {
        let temporary = if options.directory.is_none() { Some(tempfile::tempdir()?) } else { None };
        let directory = options.directory.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path));
        let Authority { ca_pem, ca_file, acceptor } = tls::open_or_create(directory.unwrap_or(Path::new(".")))?;

        let changes = Changes::new();
        let recorder = Recorder::new(changes.clone(), options.record_file.as_deref())?;
        let hub = Hub::new(options.hub, recorder.clone(), changes.clone());
        let portal = Portal::new(&options.cpid, &options.env, &options.scope_id, &options.sid);
        for device in options.devices {
            portal.create(device, &hub)?;
        }
        let state_file = options.directory.map(|directory| directory.join("state.json"));
        if let Some(file) = &state_file {
            state::restore(file, &portal, &hub)?;
        }
        let firmware = FirmwareStore::new(changes.clone());
        let post = Post::new(portal.clone(), hub.clone(), recorder.clone(), firmware.clone(), changes.clone());
        let iotconnect = IotConnect::new(portal.clone(), hub.clone(), post.clone(), changes.clone());
        hub.ask_for_identity(iotconnect.downgrade());
        let dps = Dps::new(portal.clone(), hub.clone(), changes.clone(), options.trust_first);

        hub.listen(options.ports.hub, options.ports.hub_websocket, &acceptor).await?;
        let tls = Some(acceptor);
        let router = iotconnect.router().merge(firmware.router(true));
        let iotconnect_port = listen::http(options.ports.iotconnect, tls.clone(), router).await?;
        let dps_port = listen::http(options.ports.dps, tls, dps.router()).await?;
        let url = |port: &Port| format!("https://{HOST}:{}", port.address().port());
        iotconnect.set_base(&url(&iotconnect_port));
        let addresses = Arc::new(Addresses { discovery_url: url(&iotconnect_port), dps_url: url(&dps_port), ca_file });
        let keeper = state_file.map(|file| Keeper::start(file, portal.clone(), hub.clone(), changes.clone()));
        let handles = Handles { portal, iotconnect, hub, post, recorder, dps, firmware, changes, addresses };
        let router = control::router(handles.clone()).merge(handles.firmware.router(false));
        let control_port = listen::http(options.ports.control, None, router).await?;
        handles.firmware.set_bases(&url(&iotconnect_port), &format!("http://{}", control_port.address()));
        Ok(Self { handles, ca_pem, iotconnect_port, dps_port, control_port, keeper, _directory: temporary })
    }

    /// The hub.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.handles.hub
    }

    /// Discovery and sync.
    #[must_use]
    pub fn iotconnect(&self) -> &IotConnect {
        &self.handles.iotconnect
    }

    /// DPS.
    #[must_use]
    pub fn dps(&self) -> &Dps {
        &self.handles.dps
    }

    /// What arrived.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.handles.recorder
    }

    /// The firmware store.
    #[must_use]
    pub fn firmware(&self) -> &FirmwareStore {
        &self.handles.firmware
    }

    /// The company id.
    #[must_use]
    pub fn cpid(&self) -> &str {
        &self.handles.portal.cpid
    }

    /// The environment.
    #[must_use]
    pub fn env(&self) -> &str {
        &self.handles.portal.env
    }

    /// The SID.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.handles.portal.sid
    }

    /// DPS's id scope.
    #[must_use]
    pub fn scope_id(&self) -> &str {
        &self.handles.portal.scope_id
    }

    /// The discovery URL a device is configured with, without a trailing slash.
    #[must_use]
    pub fn discovery_url(&self) -> String {
        self.handles.addresses.discovery_url.clone()
    }

    /// The DPS URL a device is configured with, without a trailing slash.
    #[must_use]
    pub fn dps_url(&self) -> String {
        self.handles.addresses.dps_url.clone()
    }

    /// The port of MQTT over WebSocket on `localhost`; 443 in the real one.
    #[must_use]
    pub fn wss_port(&self) -> u16 {
        // Listening is part of starting.
        self.handles.hub.websocket_address().map_or(0, |address| address.port())
    }

    /// The control API, such as `http://127.0.0.1:8480`.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control_port.address())
    }

    /// The `[cloud]` block of a device's `edgeplug.toml`.
    #[must_use]
    pub fn connection_block(&self, unique_id: &str) -> String {
        let ca_file = self.ca_file().display().to_string();
        let entries = [
            ("cpid", self.cpid()),
            ("env", self.env()),
            ("unique_id", unique_id),
            ("scope_id", self.scope_id()),
            ("discovery_url", &self.discovery_url()),
            ("dps_url", &self.dps_url()),
            ("ca_file", &ca_file),
        ];
        let quote = |text: &str| toml::Value::from(text).to_string();
        let lines: String = entries.iter().map(|(name, value)| format!("{name} = {}\n", quote(value))).collect();
        format!("[cloud]\n{lines}")
    }

    /// The CA certificate a device has to trust, as a file.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.handles.addresses.ca_file
    }

    /// The CA certificate a device has to trust, as PEM text.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Adds a device to the portal of the running simulator, or replaces one.
    ///
    /// # Errors
    /// When its unique id is empty or the simulator is full.
    pub fn add_device(&self, device: Device) -> anyhow::Result<()> {
        self.handles.portal.create(device, &self.handles.hub)
    }

    /// The device's name in the hub.
    #[must_use]
    pub fn hub_device_id(&self, unique_id: &str) -> Option<String> {
        self.handles.portal.get(unique_id).map(|device| self.handles.portal.hub_id(&device))
    }

    /// The device's name in DPS.
    #[must_use]
    pub fn registration_id(&self, unique_id: &str) -> String {
        format!("{}-{unique_id}", self.handles.portal.cpid)
    }

    /// The symmetric key of a symmetric key device, in base64 as the portal shows it. A secret.
    #[must_use]
    pub fn symmetric_key(&self, unique_id: &str) -> Option<String> {
        match self.handles.portal.get(unique_id)?.identity {
            Identity::SymmetricKey { key, .. } => Some(key.to_base64()),
            Identity::Tpm { .. } => None,
        }
    }

    /// Queues a message for a device, in either protocol, and remembers what it is owed.
    ///
    /// # Errors
    /// When nobody knows the device, 50 messages wait for it already, or the protocol has no such message.
    pub fn send(&self, unique_id: &str, dialect: Dialect, message: &CloudMessage) -> anyhow::Result<()> {
        self.handles.post.send(unique_id, dialect, message)
    }

    /// Queues a firmware update for a device, in either protocol, with URLs that are signed now.
    ///
    /// # Errors
    /// As [`Cloud::send`], and when the protocol cannot say whom a file is for.
    pub fn push_update(&self, unique_id: &str, dialect: Dialect, update: &Update) -> anyhow::Result<()> {
        self.handles.post.push_update(unique_id, dialect, update)
    }

    /// Lets a firmware update wait until the device asks: `ota` of sync and of the identity messages 205, 209 and 210,
    /// with URLs that are signed for each answer. It waits until every acknowledgement of it has come, or `None` takes
    /// it back. From the first answer on the device owes for it. What sync says has no targets (plain URLs): it is for
    /// the targets of the same id that the device has been told of, or for the device itself.
    ///
    /// # Errors
    /// When nobody knows the device, or a file is for a child by its name.
    pub fn set_pending_update(&self, unique_id: &str, update: Option<Update>) -> anyhow::Result<()> {
        self.handles.post.set_pending(unique_id, update)
    }

    /// Every message that [`Cloud::send`] and [`Cloud::push_update`] queued for the device, and every pending update it
    /// was told of, oldest first.
    #[must_use]
    pub fn sent(&self, unique_id: &str) -> Vec<Sent> {
        self.handles.post.sent(unique_id)
    }

    /// The acks that the device owes for what it was [`Cloud::sent`], against those that came.
    #[must_use]
    pub fn ack_balance(&self, unique_id: &str) -> AckBalance {
        self.handles.ack_balance(unique_id)
    }

    /// Waits until the device owes no ack.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_acks(&self, unique_id: &str, timeout: Duration) -> Result<AckBalance, TimedOut> {
        let look = || Some(self.ack_balance(unique_id)).filter(|balance| balance.missing.is_empty());
        self.handles.changes.until(&format!("the acks of {unique_id}"), timeout, look).await
    }

    /// What IoTConnect would silently drop of what has arrived: bodies that are not of the protocol's form, attributes
    /// and devices that the template does not know. Empty is good.
    #[must_use]
    pub fn complaints(&self) -> Vec<Complaint> {
        self.handles.complaints()
    }

    /// Ends the simulator and returns once all its ports are free again.
    pub async fn shutdown(self) {
        self.stop_listening().await;
        self.control_port.close().await;
    }

    /// All services go away but the control API: connects are refused, connections end. The ports stay reserved.
    pub async fn stop_listening(&self) {
        self.iotconnect_port.close().await;
        self.dps_port.close().await;
        self.handles.hub.stop_listening().await;
    }

    /// All services listen again, on the same ports.
    pub async fn resume_listening(&self) {
        self.iotconnect_port.reopen().await;
        self.dps_port.reopen().await;
        self.handles.hub.resume_listening().await;
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.handles.hub.abandon();
        if let Some(keeper) = &self.keeper {
            keeper.end();
        }
    }
}
