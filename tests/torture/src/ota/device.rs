//! One device in one protocol: its daemon, its cloud, who takes its files, and what all of them said.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use edgeplug_cloud::{
    Attribute, Child, Dialect, FirmwareRequest, FirmwareStore, Kind, Offer, Template, Update, UpdateFile, UpdateTarget,
};
use edgeplug_e2e::{Edgeplug, PluginFiles, World, WorldOptions};
use edgeplug_test_support::versions::Versions;
use minisign::KeyPair;

use super::Verdict;
use super::judge::{Content, End, HandedOver, Judge, Payload, Promise, Told, leftovers, unnamed};
use super::log::Log;
use crate::random::Random;
use crate::shim;

pub(super) const CHILD: &str = "C1";
const CHILD_TAG: &str = "c";
/// Plugin that an operator put there and updates bring new versions of.
const RELOAD: &str = "reload";
/// For anything that must happen: a first try again may wait for ten seconds, and a machine may be slow.
pub(super) const LONG: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long bytes that were sent may be on their way to the disk. A kill before is no fault, only another offset.
const TO_DISK_MAX: Duration = Duration::from_millis(300);
/// How long what follows from an end may take.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// Patience with a daemon that could try again: a restart does so at once.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the daemon is configured with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Signatures are required.
    pub(super) signed: bool,
    /// What is installed runs after a restart only.
    pub(super) restart: bool,
    /// No disk has as much room as must stay free.
    pub(super) disk_full: bool,
    /// A file may have one MiB.
    pub(super) small_files: bool,
}

pub(super) struct Device {
    pub(super) world: World,
    pub(super) dialect: Dialect,
    pub(super) random: Random,
    pub(super) log: Log,
    edgeplug: Option<Edgeplug>,
    judge: Judge,
    settings: Settings,
    key: KeyPair,
    versions: Versions,
    version: u32,
    /// The component that came last by an update and was good.
    component: Option<Content>,
    /// Versions whose readings may be seen.
    known_versions: BTreeSet<i64>,
    boots: u32,
    updates: u32,
    pub(super) resumes: u64,
    pub(super) kills: u64,
    /// Why it cannot go on.
    pub(super) stuck: Option<String>,
    /// Lines of the log that were looked at for what the plugin was handed.
    heard: usize,
}

/// An update that is being made up, and what is promised of it.
pub(super) struct Parcel {
    pub(super) update: Update,
    pub(super) promise: Promise,
    pub(super) stored: Vec<String>,
}

impl Device {
    pub(super) async fn new(dialect: Dialect, seed: u64, disk: Option<PathBuf>) -> anyhow::Result<Self> {
        let attributes = ["count", "version", "us"].map(|name| Attribute::of(Kind::Long, name).tag("gw")).to_vec();
        let children = vec![Child { id: CHILD.to_owned(), tag: CHILD_TAG.to_owned() }];
        let mut world = World::new(WorldOptions {
            template: Template { tag: "gw".to_owned(), attributes, children, ..Template::default() },
            offer: if dialect == Dialect::Legacy { Offer::Legacy } else { Offer::V21 },
            symmetric_key: true,
            plugins: "settle_ms = 20\nrescan_s = 1\nprobation_s = 0\nprobation_calls = 3\nrestart_min_ms = 100"
                .to_owned(),
            disk,
            ..WorldOptions::default()
        })
        .await?;
        let shim = shim::library(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ota/boot.c"))?;
        world.set_environment(vec![
            ("LD_PRELOAD".to_owned(), shim.display().to_string()),
            ("TORTURE_BOOT_ID".to_owned(), world.directory().join("boot-id").display().to_string()),
        ]);
        let flasher = format!("interval_ms = 100\n[firmware]\ndevices = [{CHILD:?}]\n");
        world.drop_plugin(PluginFiles { name: "flasher", guest: "flasher", manifest: Some(&flasher) })?;
        let reload = "interval_ms = 200\n[limits]\ndeadline_ms = 100\n";
        world.drop_plugin(PluginFiles { name: RELOAD, guest: "reload", manifest: Some(reload) })?;
        let mut device = Self {
            log: Log::new(world.log().path()),
            dialect,
            random: Random::new(seed),
            edgeplug: None,
            judge: Judge::default(),
            settings: Settings::default(),
            key: KeyPair::generate_unencrypted_keypair()?,
            versions: Versions::read()?,
            version: 0,
            component: None,
            known_versions: BTreeSet::from([0]),
            boots: 0,
            updates: 0,
            resumes: 0,
            kills: 0,
            stuck: None,
            heard: 0,
            world,
        };
        device.write_scripts()?;
        device.reboot()?;
        device.configure()?;
        device.start()?;
        device.world.cloud.hub().wait_connected(&device.world.hub_device_id(), LONG).await?;
        device.until("both plugins are up", |device| device.log.count_since(0, "plugin loaded") >= 2).await?;
        Ok(device)
    }

    pub(super) fn store(&self) -> &FirmwareStore {
        self.world.cloud.firmware()
    }

    pub(super) fn is_legacy(&self) -> bool {
        self.dialect == Dialect::Legacy
    }

    fn who(&self) -> &'static str {
        self.world.unique_id()
    }

    /// Configures the daemon so; it is killed for that if need be.
    pub(super) async fn set(&mut self, settings: &Settings) -> anyhow::Result<()> {
        if self.settings == *settings {
            return Ok(());
        }
        self.kill().await?;
        self.settings = settings.clone();
        self.configure()?;
        self.start()
    }

    fn configure(&mut self) -> anyhow::Result<()> {
        let Settings { signed, restart, disk_full, small_files } = self.settings;
        let script = |name: &str| self.world.directory().join(name);
        let signature = if signed {
            format!("signature = \"require\"\nkeys = [{:?}]", self.key.pk.to_base64())
        } else {
            "signature = \"off\"".to_owned()
        };
        let confirm =
            if restart { format!("restart = true\nconfirm = [{:?}]", script("confirm")) } else { String::new() };
        let tables = format!(
            "[ota]\n{signature}\ninstaller = [{:?}]\n{confirm}\nfree_mb_min = {}\nfile_mb_max = {}\nfetch_tries_max = 1000\n",
            script("install"),
            if disk_full { 1_048_576 } else { 1 },
            if small_files { 1 } else { 64 },
        );
        self.world.set_tables(&tables)
    }

    fn write_scripts(&self) -> anyhow::Result<()> {
        let record = self.record();
        let record = record.display();
        // One write for each line, so that a kill leaves whole ones.
        let install = format!(
            "#!/bin/sh\necho \"begun version=$EDGEPLUG_VERSION\" >> '{record}'\n\
             for file; do\n    size=$(stat -c %s \"$file\")\n    sum=$(sha256sum \"$file\")\n    \
             echo \"version=$EDGEPLUG_VERSION name=${{file##*/}} size=$size sha256=${{sum%% *}}\" >> '{record}'\ndone\n\
             case \"$*\" in */slow-*) sleep 0.3 ;; esac\n\
             case \"$*\" in */refuse-*) echo 'it is not wanted'; exit 3 ;; esac\necho 'it is installed'\n"
        );
        let confirm =
            "#!/bin/sh\ncase $EDGEPLUG_VERSION in *-back) echo 'the old one runs'; exit 1 ;; esac\necho 'it runs'\n";
        for (name, text) in [("install", install.as_str()), ("confirm", confirm)] {
            let path = self.world.directory().join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        fs::write(self.record(), "")?;
        Ok(())
    }

    /// What the installer writes.
    fn record(&self) -> PathBuf {
        self.world.directory().join("installed")
    }

    pub(super) fn installer_began(&self, version: &str) -> bool {
        let record = fs::read_to_string(self.record()).unwrap_or_default();
        record.lines().any(|line| line == format!("begun version={version}"))
    }

    /// The next start is in another boot.
    pub(super) fn reboot(&mut self) -> anyhow::Result<()> {
        self.boots += 1;
        Ok(fs::write(self.world.directory().join("boot-id"), format!("boot-{}\n", self.boots))?)
    }

    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        self.edgeplug = Some(self.world.start()?);
        Ok(())
    }

    /// `kill -9`.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.edgeplug.take().context("the daemon does not run")?.kill().await?;
        self.kills += 1;
        self.world.cloud.hub().wait_disconnected(&self.world.hub_device_id(), LONG).await?;
        Ok(())
    }

    pub(super) async fn kill_and_start(&mut self) -> anyhow::Result<()> {
        self.kill().await?;
        self.start()
    }

    /// Sleeps for up to so long.
    pub(super) async fn pause(&mut self, ms_max: u64) {
        let ms = self.random.between(0, ms_max);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    pub(super) async fn until(&mut self, what: &str, fits: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            self.log.look()?;
            if fits(self) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < LONG,
                "{what}: waited {LONG:?} in vain; {:?}; the log ends:\n{}",
                self.world.cloud.ack_balance(self.who()),
                self.log.end()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// An update without files yet, with an id of its own.
    pub(super) fn parcel(&mut self, name: &str, end: End, says: &'static str) -> Parcel {
        self.updates += 1;
        let ack_id = format!("{}-{name}", self.updates);
        let update = Update::new(&ack_id, &ack_id);
        Parcel {
            update: if self.settings.signed { update } else { update.sha256_in_urls() },
            promise: Promise { ack_id, end, says, payload: Vec::new() },
            stored: Vec::new(),
        }
    }

    /// Adds a file to the store and the update, with its signature if there have to be some; its name in the store.
    pub(super) fn add(&self, parcel: &mut Parcel, name: &str, to_child: bool, bytes: &[u8]) -> anyhow::Result<String> {
        let child = to_child.then(|| CHILD.to_owned());
        let contents = vec![Content::of(bytes)];
        parcel.promise.payload.push(Payload { name: name.to_owned(), child, contents });
        let stored = self.add_file(parcel, name, to_child, bytes)?;
        if self.settings.signed {
            self.add_file(parcel, &format!("{name}.minisig"), to_child, self.sign(name, bytes)?.as_bytes())?;
        }
        Ok(stored)
    }

    /// Adds a file that nobody is handed.
    pub(super) fn add_file(
        &self,
        parcel: &mut Parcel,
        name: &str,
        to_child: bool,
        bytes: &[u8],
    ) -> anyhow::Result<String> {
        let stored = format!("{}/{name}", parcel.promise.ack_id);
        self.store().add(&stored, bytes.to_vec())?;
        parcel.stored.push(stored.clone());
        parcel.update.files.push(UpdateFile {
            stored: stored.clone(),
            name: (!self.is_legacy()).then(|| name.to_owned()),
            to: match (to_child, self.is_legacy()) {
                (false, _) => UpdateTarget::Device,
                (true, true) => UpdateTarget::Child(CHILD.to_owned()),
                (true, false) => UpdateTarget::Tag(CHILD_TAG.to_owned()),
            },
        });
        Ok(stored)
    }

    pub(super) fn sign(&self, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let comment = format!("file:{name}");
        Ok(minisign::sign(Some(&self.key.pk), &self.key.sk, bytes, Some(&comment), None)?.into_string())
    }

    /// Bytes that no other file has.
    pub(super) fn bytes(&mut self, from: u64, to: u64) -> Vec<u8> {
        let count = self.random.between(from, to) / 8;
        (0..count).flat_map(|_| self.random.number().to_le_bytes()).collect()
    }

    /// The next version of the component, with this habit.
    pub(super) fn next_component(&mut self, habit: char) -> (i64, Vec<u8>) {
        self.version += 1;
        self.known_versions.insert(i64::from(self.version));
        (i64::from(self.version), self.versions.version(self.version, habit))
    }

    pub(super) fn has_readings_of(&self, version: i64) -> bool {
        self.world.cloud.recorder().readings("version").iter().any(|reading| reading.value == version)
    }

    /// Sends it to the device, which from now on owes for it.
    pub(super) fn push(&mut self, parcel: &Parcel) -> anyhow::Result<()> {
        self.promise(parcel);
        self.world.cloud.push_update(self.who(), self.dialect, &parcel.update)
    }

    pub(super) fn promise(&mut self, parcel: &Parcel) {
        self.judge.promise(parcel.promise.clone());
    }

    pub(super) fn push_again(&self, update: &Update) -> anyhow::Result<()> {
        self.world.cloud.push_update(self.who(), self.dialect, update)
    }

    pub(super) fn set_pending(&self, update: Option<Update>) -> anyhow::Result<()> {
        self.world.cloud.set_pending_update(self.who(), update)
    }

    /// Kills the daemon when it has so much of a file, as the server counts what it sent in all, and starts it again.
    pub(super) async fn kill_while_fetching(&mut self, stored: &str, sent: u64) -> anyhow::Result<()> {
        self.kill_with(stored, sent).await?;
        self.start()
    }

    /// The same, and the file is another one by the time the daemon runs again.
    pub(super) async fn kill_while_it_changes(&mut self, stored: &str, sent: u64, other: &[u8]) -> anyhow::Result<()> {
        self.kill_with(stored, sent).await?;
        self.store().replace(stored, other.to_vec())?;
        self.start()
    }

    async fn kill_with(&mut self, stored: &str, sent: u64) -> anyhow::Result<()> {
        self.store().wait_sent(stored, sent, LONG).await.with_context(|| self.log.end())?;
        let begun = Instant::now();
        while staged(&self.staging(), stored) < sent && begun.elapsed() < TO_DISK_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.kill().await
    }

    /// Waits until an update is installed and waits for a restart.
    pub(super) async fn awaits_restart(&self) -> anyhow::Result<()> {
        let awaits = |status: &serde_json::Value| {
            let updates = status.get("updates").and_then(serde_json::Value::as_array);
            updates
                .into_iter()
                .flatten()
                .any(|update| update.get("phase").is_some_and(|phase| phase == "awaiting-restart"))
        };
        let edgeplug = self.edgeplug.as_ref().context("the daemon does not run")?;
        edgeplug.wait_status(awaits, LONG).await.map(drop)
    }

    /// Waits until everything sent has its acknowledgement.
    pub(super) async fn acknowledged(&mut self) -> anyhow::Result<()> {
        match self.world.cloud.wait_acks(self.who(), LONG).await {
            Ok(_) => self.hear(),
            Err(error) => {
                self.log.look()?;
                Err(error).with_context(|| format!("the log ends:\n{}", self.log.end()))
            }
        }
    }

    /// The same, with kills instead of waits where the daemon would try again later.
    pub(super) async fn acknowledged_soon(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut mark = self.log.mark()?;
        while self.world.cloud.wait_acks(self.who(), PATIENCE).await.is_err() && begun.elapsed() < LONG {
            self.log.look()?;
            if self.log.count_since(mark, NOT_FETCHED) > 0 {
                self.kill_and_start().await?;
                mark = self.log.mark()?;
            }
        }
        self.acknowledged().await
    }

    pub(super) async fn not_fetched_since(&mut self, mark: usize) -> anyhow::Result<()> {
        self.until("it says that it could not fetch", |device| device.log.count_since(mark, NOT_FETCHED) > 0).await
    }

    /// After the end of an update with this component, which is good or not.
    pub(super) async fn component_is(&mut self, after: &str, good: Option<&[u8]>) -> anyhow::Result<()> {
        if let Some(bytes) = good {
            self.component = Some(Content::of(bytes));
        }
        let file = self.world.state_directory().join("ota/plugins/reload.wasm");
        let found = || fs::read(&file).ok().map(|bytes| Content::of(&bytes));
        let begun = Instant::now();
        while found() != self.component && begun.elapsed() < SETTLE_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.judge.component(after, found().as_ref(), self.component.as_ref());
        Ok(())
    }

    /// Takes its files out of the store, and counts how often a file was gone on with.
    pub(super) fn clear_away(&mut self, parcel: &Parcel) -> anyhow::Result<()> {
        for stored in &parcel.stored {
            let resumed = |request: &FirmwareRequest| {
                let from = request.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
                request.status == Some(206) && from.is_some_and(|from| from != "0")
            };
            let requests = self.store().requests(stored);
            self.resumes += requests.iter().filter(|request| resumed(request)).count() as u64;
            if requests.iter().any(|request| !request.tls) {
                self.judge.wrong(format!("{stored} was asked for without TLS"));
            }
            self.store().remove(stored)?;
        }
        Ok(())
    }

    /// What the plugin said it was handed.
    fn hear(&mut self) -> anyhow::Result<()> {
        self.log.look()?;
        for line in self.log.lines_since(self.heard) {
            // A line that a kill cut in two is none.
            let is_whole = || serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
            if let Some((_, rest)) = line.split_once("\"handed over ").filter(|_| is_whole()) {
                let text = rest.split('"').next().unwrap_or_default();
                self.judge.was_handed_over(HandedOver::read(text).with_context(|| format!("unreadable: {text}"))?);
            }
        }
        self.heard = self.log.mark()?;
        Ok(())
    }

    fn staging(&self) -> PathBuf {
        self.world.state_directory().join("ota/staging")
    }

    /// Ends the daemon in order and judges.
    pub(super) async fn finish(mut self, verdict: &mut Verdict) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !leftovers(&self.staging())?.is_empty() && begun.elapsed() < SETTLE_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if let Some(words) = self.stuck.take() {
            verdict.complain(words);
        }
        match self.edgeplug.take() {
            Some(edgeplug) => match edgeplug.terminate().await {
                Ok(status) if status.success() => {}
                ended => verdict.complain(format!("the daemon ended with {ended:?}")),
            },
            None => verdict.complain("the daemon did not run any more".to_owned()),
        }
        self.hear()?;
        let record = fs::read_to_string(self.record())?;
        for line in record.lines().filter(|line| !line.starts_with("begun ")) {
            self.judge.was_handed_over(HandedOver::read(line).with_context(|| format!("unreadable: {line}"))?);
        }
        let recorder = self.world.cloud.recorder();
        for reading in recorder.readings("version") {
            if !reading.value.as_f64().is_some_and(|version| self.known_versions.contains(&(version as i64))) {
                verdict.bad_files_handed_over += 1;
                verdict.complain(format!("a component that nobody sent made {reading:?}"));
            }
        }
        let balance = self.world.cloud.ack_balance(self.who());
        let mut left = leftovers(&self.staging())?;
        left.extend(unnamed(&self.world.state_directory().join("ota/plugins")));
        self.judge.judge(&balance, &Told::all(recorder), &left, verdict);
        for complaint in self.world.cloud.complaints() {
            verdict.complain(format!("the cloud would drop: {complaint:?}"));
        }
        Ok(())
    }
}

/// The daemon's words for a fetch that is tried again, or not.
const NOT_FETCHED: &str = "a firmware update was not fetched";

/// How much of a file of the store lies in a staging directory.
fn staged(staging: &Path, stored: &str) -> u64 {
    let name = stored.rsplit('/').next().unwrap_or_default();
    let jobs = fs::read_dir(staging).into_iter().flatten().flatten();
    let length = |job: fs::DirEntry| fs::metadata(job.path().join(".parts").join(name)).ok().map(|part| part.len());
    jobs.filter_map(length).max().unwrap_or(0)
}
