//! The device in its box.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeplug_cloud::{Cloud, CloudOptions, Device, Offer, Template};
use edgeplug_test_support::programs::{guest, program};
use edgeplug_test_support::swtpm::Swtpm;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::log::LogFile;

/// The unique id of the device in every test.
const UNIQUE_ID: &str = "GW";
/// How long a daemon may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(20);

/// How to make a world.
#[derive(Debug, Default)]
pub struct WorldOptions {
    /// What the portal's template holds.
    pub template: Template,
    /// Which protocols the portal offers the device.
    pub offer: Offer,
    /// A symmetric key instead of a TPM.
    pub symmetric_key: bool,
    /// Leave the device out of the portal's enrolments.
    pub not_enrolled: bool,
    /// Lines for the `[cloud]` part of the configuration.
    pub cloud: String,
    /// Lines for the `[plugins]` part of the configuration.
    pub plugins: String,
    /// Tables at the end of the configuration, such as `[uplink]`.
    pub tables: String,
    /// What the daemon finds in its environment besides what this process has.
    pub environment: Vec<(String, String)>,
    /// Where the device's disk lies; `None` for the system's temporary directory.
    pub disk: Option<PathBuf>,
}

/// A TPM, a cloud and a disk.
pub struct World {
    directory: TempDir,
    /// The simulator.
    pub cloud: Cloud,
    /// The TPM; `None` with a symmetric key.
    pub tpm: Option<Swtpm>,
    options: WorldOptions,
}

/// A plugin as it lies in the plugins directory.
#[derive(Debug, Clone, Copy)]
pub struct PluginFiles<'a> {
    /// Name it gets there.
    pub name: &'a str,
    /// Which guest of `make guests`.
    pub guest: &'a str,
    /// Its manifest, or none.
    pub manifest: Option<&'a str>,
}

/// A running daemon.
pub struct Edgeplug {
    child: Child,
    socket: PathBuf,
}

impl World {
    /// Starts TPM and cloud and enrols the device; the daemon does not run yet.
    ///
    /// # Errors
    /// When a tool is missing or a program is not built; the message says what to run.
    pub async fn new(options: WorldOptions) -> anyhow::Result<Self> {
        let directory = match &options.disk {
            Some(disk) => TempDir::new_in(disk).with_context(|| format!("cannot write below {}", disk.display()))?,
            None => TempDir::new()?,
        };
        let tpm = if options.symmetric_key { None } else { Some(Swtpm::start()?) };
        let cloud = Cloud::start(CloudOptions::new()).await?;
        let world = Self { directory, cloud, tpm, options };
        std::fs::create_dir(world.plugins_directory())?;
        world.write_config("")?;
        if !world.options.not_enrolled {
            world.enrol().await?;
        }
        Ok(world)
    }

    /// Creates the device in the portal, with the endorsement key that `identity show` prints.
    ///
    /// # Errors
    /// When the daemon's program does not print one.
    pub async fn enrol(&self) -> anyhow::Result<()> {
        if self.options.symmetric_key {
            self.cloud.add_device(self.as_offered(Device::symmetric(UNIQUE_ID)))?;
            let key = self.cloud.symmetric_key(UNIQUE_ID).context("the simulator made a key")?;
            write_private(&self.key_file(), &key)?;
            return Ok(());
        }
        let shown = self.identity_show().await?;
        let key = shown.get("endorsement_key").and_then(Value::as_str).context("identity show prints the key")?;
        let device = Device::tpm(UNIQUE_ID).endorsement_key(STANDARD.decode(key)?);
        self.cloud.add_device(self.as_offered(device))
    }

    /// `edgeplug identity show --json`.
    ///
    /// # Errors
    /// When it fails.
    pub async fn identity_show(&self) -> anyhow::Result<Value> {
        let output = self.command(&["identity", "show", "--json", "--config"]).arg(self.config_file()).output().await?;
        ensure!(output.status.success(), "identity show: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// `edgeplug identity test`: exit code and everything it printed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn identity_test(&self) -> anyhow::Result<(i32, String)> {
        let output = self.command(&["identity", "test", "--config"]).arg(self.config_file()).output().await?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
    }

    /// The device's name in the hub.
    #[must_use]
    pub fn hub_device_id(&self) -> String {
        self.cloud.hub_device_id(UNIQUE_ID).unwrap_or_default()
    }

    /// The device's name in DPS.
    #[must_use]
    pub fn registration_id(&self) -> String {
        self.cloud.registration_id(UNIQUE_ID)
    }

    /// The device's unique id.
    #[must_use]
    pub fn unique_id(&self) -> &'static str {
        UNIQUE_ID
    }

    /// Everything the device has on disk.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.directory().join("edgeplug.toml")
    }

    /// Where plugins lie.
    #[must_use]
    pub fn plugins_directory(&self) -> PathBuf {
        self.directory().join("plugins")
    }

    /// Where plugins lie that came by an update.
    #[must_use]
    pub fn ota_plugins_directory(&self) -> PathBuf {
        self.state_directory().join("ota/plugins")
    }

    /// Where the daemon keeps its state.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        self.directory().join("state")
    }

    /// The daemon's log.
    #[must_use]
    pub fn log(&self) -> LogFile {
        LogFile::new(self.directory().join("edgeplug.log"))
    }

    /// Writes the configuration that fits this world, with lines added to `[cloud]`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self, cloud_lines: &str) -> anyhow::Result<()> {
        let identity = match &self.tpm {
            Some(tpm) => format!("tcti = {:?}\ncommand_timeout_ms = 10000", tpm.tcti()),
            None => format!("kind = \"symmetric-key\"\nkey_file = {:?}", self.key_file()),
        };
        if self.tpm.is_none() && !self.key_file().exists() {
            write_private(&self.key_file(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")?;
        }
        std::fs::create_dir_all(self.state_directory())?;
        let text = format!(
            "state_dir = {:?}\nsocket = {:?}\n\n[cloud]\ncpid = {:?}\nenv = {:?}\nunique_id = {UNIQUE_ID:?}\n\
             scope_id = {:?}\ndiscovery_url = {:?}\ndps_url = {:?}\nca_file = {:?}\n{}{cloud_lines}\n\n[identity]\n{identity}\n\n\
             [plugins]\ndirectory = {:?}\n{}\n{}\n",
            self.state_directory(),
            self.socket(),
            self.cloud.cpid(),
            self.cloud.env(),
            self.cloud.scope_id(),
            self.cloud.discovery_url(),
            self.cloud.dps_url(),
            self.cloud.ca_file(),
            self.options.cloud,
            self.plugins_directory(),
            self.options.plugins,
            self.options.tables,
        );
        std::fs::write(self.config_file(), text)?;
        Ok(())
    }

    /// Changes the tables at the end of the configuration; the next start reads them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_tables(&mut self, tables: &str) -> anyhow::Result<()> {
        tables.clone_into(&mut self.options.tables);
        self.write_config("")
    }

    /// Changes what the daemon finds in its environment at its next start.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.options.environment = environment;
    }

    /// Drops a plugin into the directory the way a careful operator does: manifest first, component by rename.
    ///
    /// # Errors
    /// When the guest is not built.
    pub fn drop_plugin(&self, files: PluginFiles<'_>) -> anyhow::Result<()> {
        let directory = self.plugins_directory();
        if let Some(manifest) = files.manifest {
            std::fs::write(directory.join(format!("{}.toml", files.name)), manifest)?;
        }
        let arriving = directory.join(format!(".{}.arriving", files.name));
        std::fs::copy(guest(files.guest)?, &arriving)?;
        std::fs::rename(arriving, directory.join(format!("{}.wasm", files.name)))?;
        Ok(())
    }

    /// Starts the daemon; its log is appended to [`Self::log`].
    ///
    /// # Errors
    /// When it is not built.
    pub fn start(&self) -> anyhow::Result<Edgeplug> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log().path())?;
        let child = self
            .command(&["run", "--log-format", "json", "--config"])
            .arg(self.config_file())
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Edgeplug { child, socket: self.socket() })
    }

    /// A command of the program under test.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        // A program that is not built makes the spawn fail; its message names the path.
        let path = program("edgeplug").unwrap_or_else(|error| PathBuf::from(format!("{error:#}")));
        let mut command = Command::new(path);
        command.args(arguments).env("TSS2_LOG", "all+none").env_remove("EDGEPLUG_LOG");
        command
    }

    fn as_offered(&self, device: Device) -> Device {
        device.offer(self.options.offer).template(self.options.template.clone())
    }

    fn socket(&self) -> PathBuf {
        self.directory().join("api.sock")
    }

    fn key_file(&self) -> PathBuf {
        self.directory().join("device.key")
    }
}

impl Edgeplug {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// `edgeplug status --json`.
    ///
    /// # Errors
    /// When no daemon answers.
    pub async fn status(&self) -> anyhow::Result<Value> {
        self.ask(&["status"]).await
    }

    /// `edgeplug plugin list --json`.
    ///
    /// # Errors
    /// When no daemon answers.
    pub async fn plugins(&self) -> anyhow::Result<Value> {
        self.ask(&["plugin", "list"]).await
    }

    /// Waits until the status fits.
    ///
    /// # Errors
    /// When it does not in time; the message holds the last one.
    pub async fn wait_status(&self, fits: impl Fn(&Value) -> bool, timeout: Duration) -> anyhow::Result<Value> {
        let begun = std::time::Instant::now();
        loop {
            let status = self.status().await;
            match status {
                Ok(status) if fits(&status) => return Ok(status),
                other => ensure!(begun.elapsed() < timeout, "the status never fitted; last: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "the daemon had ended by itself");
        self.child.kill().await?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("the daemon had ended by itself")?, rustix::process::Signal::TERM)?;
        self.ended(END_TIME_MAX).await
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn ended(&mut self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        tokio::time::timeout(timeout, self.child.wait()).await.context("the daemon did not end")?.map_err(Into::into)
    }

    /// An order of an operator, such as `disconnect`.
    ///
    /// # Errors
    /// When it is not carried out; the message has what the program said.
    pub async fn order(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output =
            Command::new(program("edgeplug")?).args(arguments).arg("--socket").arg(&self.socket).output().await?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    async fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = Command::new(program("edgeplug")?)
            .args(arguments)
            .args(["--json", "--socket"])
            .arg(&self.socket)
            .output()
            .await?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
