//! A gateway with two children, and the cloud that sends it firmware.

use std::path::PathBuf;
use std::time::Duration;

use edgeplug_cloud::{Ack, Attribute, Child, Dialect, Offer, Protocol, Template, Update};
use edgeplug_e2e::{Edgeplug, PluginFiles, Signer, World, WorldOptions};
use serde_json::Value;

pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Longer than a second end of an update would take to come.
const QUIET: Duration = Duration::from_secs(2);
pub(crate) const FLASHER: PluginFiles<'static> =
    PluginFiles { name: "flasher", guest: "flasher", manifest: Some("interval_ms = 200\n") };
/// Larger than what is read or sent in one piece.
pub(crate) const LARGE: usize = 3 << 20;

/// A gateway with two children, and who signs its firmware.
pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) signer: Signer,
    pub(crate) protocol: Protocol,
}

impl Rig {
    pub(crate) async fn new(protocol: Protocol) -> Self {
        let signer = Signer::new().unwrap();
        let child = |id: &str| Child { id: id.to_owned(), tag: id.to_lowercase() };
        let template = Template {
            tag: "gw".to_owned(),
            attributes: ["gw", "c1", "c2"].map(|tag| Attribute::number("sequence").tag(tag)).into(),
            children: vec![child("C1"), child("C2")],
            ..Template::default()
        };
        let options = WorldOptions {
            template,
            symmetric_key: true,
            offer: if protocol == Protocol::Legacy { Offer::Legacy } else { Offer::V21 },
            plugins: "probation_s = 1\n".to_owned(),
            tables: format!("{}\n[link]\nretry_max_s = 1\n", signer.table()),
            ..WorldOptions::default()
        };
        Self { world: World::new(options).await.unwrap(), signer, protocol }
    }

    /// A daemon that is connected; the cloud does not care for how many times.
    pub(crate) async fn start(&self) -> Edgeplug {
        let edgeplug = self.world.start().unwrap();
        edgeplug.wait_status(|status| status["link"] == "online", LONG).await.unwrap();
        edgeplug
    }

    /// Puts a signed file into the cloud's store.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        self.signer.put(self.world.cloud.firmware(), name, "1.5", content).unwrap();
    }

    pub(crate) fn push(&self, update: &Update) {
        let dialect = if self.is_legacy() { Dialect::Legacy } else { Dialect::V21 };
        self.world.cloud.push_update(self.world.unique_id(), dialect, update).unwrap();
    }

    pub(crate) async fn end_of(&self, id: &str, child: Option<&str>) -> Ack {
        self.world.cloud.recorder().wait_for_terminal_ack(id, child, LONG).await.unwrap()
    }

    /// What the flasher says when it was handed exactly this file of the store.
    pub(crate) fn handed_over(&self, name: &str, size: usize) -> String {
        let sha256 = self.world.cloud.firmware().sha256(name).unwrap();
        format!("handed over version=1.5 name={name} size={size} sha256={sha256}")
    }

    pub(crate) fn is_legacy(&self) -> bool {
        self.protocol == Protocol::Legacy
    }

    /// Legacy 7 "done", 2.1 3 "success".
    pub(crate) fn done(&self) -> i64 {
        if self.is_legacy() { 7 } else { 3 }
    }

    /// Nothing is owed and nothing came twice or unasked; nothing fetched is left; the daemon ends when asked to.
    pub(crate) async fn end(self, edgeplug: Edgeplug) {
        let device = self.world.unique_id();
        self.world.cloud.wait_acks(device, LONG).await.unwrap();
        tokio::time::sleep(QUIET).await;
        let balance = self.world.cloud.ack_balance(device);
        assert!(balance.is_clean(), "{balance:?}");
        assert!(self.world.cloud.complaints().is_empty(), "{:?}", self.world.cloud.complaints());
        assert!(edgeplug.terminate().await.unwrap().success());
        assert_eq!(self.staged(), Vec::<PathBuf>::new());
        let log = std::fs::read_to_string(self.world.log().path()).unwrap();
        assert!(!log.contains("sig="), "a signed URL stands in the log");
    }

    /// What lies in the staging directory, but for what belongs to no update.
    fn staged(&self) -> Vec<PathBuf> {
        let directory = self.world.state_directory().join("ota/staging");
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
        let is_job = |name: &str| name.len() == 32;
        entries.filter(|entry| is_job(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect()
    }
}

/// A file whose every part is different.
pub(crate) fn content(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8 ^ (index / 251 % 256) as u8 ^ seed).collect()
}

pub(crate) fn signed(update: Update, name: &str) -> Update {
    update.file(name).file(&format!("{name}.minisig"))
}

fn update_of(status: &Value) -> &Value {
    &status["updates"][0]
}

pub(crate) async fn wait_phase(edgeplug: &Edgeplug, phase: &str) {
    edgeplug.wait_status(|status| update_of(status)["phase"] == phase, LONG).await.unwrap();
}
