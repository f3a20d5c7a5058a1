//! A real mosquitto for one test: a plain listener and one with TLS, both on 127.0.0.1.
//!
//! Anybody may connect and everything is allowed: rules are the cloud simulator's business. Sessions and queued
//! messages live in memory and end with the process.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::certificates::{ServerCertificate, TestCa};
use crate::ports::{FreePort, wait_until_listening};

/// Debian puts it where an ordinary user's PATH does not look.
const PROGRAMS: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

/// How long it may take to listen; on an idle machine about 10 ms.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Starts tried before giving up, since a port can be taken between the look and the start.
const START_ATTEMPTS: usize = 3;

/// A running mosquitto.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    plain: FreePort,
    tls: FreePort,
    _directory: TempDir,
}

impl Mosquitto {
    /// Starts one whose TLS listener shows a good certificate of `ca`.
    pub fn start(ca: &TestCa) -> anyhow::Result<Self> {
        Self::start_with(ca, &ca.server()?)
    }

    /// Starts one whose TLS listener shows this certificate.
    pub fn start_with(ca: &TestCa, server: &ServerCertificate) -> anyhow::Result<Self> {
        Self::start_tuned(ca, server, "")
    }

    /// The same, with further lines of configuration.
    pub fn start_tuned(ca: &TestCa, server: &ServerCertificate, lines: &str) -> anyhow::Result<Self> {
        let mut last = None;
        for _ in 0..START_ATTEMPTS {
            match Self::try_start(ca, server, lines) {
                Ok(mosquitto) => return Ok(mosquitto),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("mosquitto was not started")))
    }

    /// The port without TLS.
    #[must_use]
    pub fn plain_port(&self) -> u16 {
        self.plain.number()
    }

    /// The port with TLS.
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.tls.number()
    }

    fn try_start(ca: &TestCa, server: &ServerCertificate, lines: &str) -> anyhow::Result<Self> {
        let (plain, tls) = (FreePort::reserve()?, FreePort::reserve()?);
        let directory = TempDir::new().context("cannot create a directory for mosquitto")?;
        let configuration = directory.path().join("mosquitto.conf");
        let log = directory.path().join("mosquitto.log");
        std::fs::write(&configuration, lines.to_owned() + &configure(ca, server, &plain, &tls))?;
        let child = spawn(&configuration, &log)?;
        let mut mosquitto = Self { child, plain, tls, _directory: directory };
        for port in [mosquitto.plain_port(), mosquitto.tls_port()] {
            wait_until_listening(&mut mosquitto.child, port, START_LIMIT).with_context(|| {
                format!("mosquitto does not run: {}", std::fs::read_to_string(&log).unwrap_or_default().trim())
            })?;
        }
        Ok(mosquitto)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Nothing sensible can be done about a process that is already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configure(ca: &TestCa, server: &ServerCertificate, plain: &FreePort, tls: &FreePort) -> String {
    format!(
        "user root\n\
         allow_anonymous true\n\
         persistence false\n\
         max_queued_messages 100000\n\
         listener {plain} 127.0.0.1\n\
         listener {tls} 127.0.0.1\n\
         cafile {ca}\n\
         certfile {certificate}\n\
         keyfile {key}\n",
        plain = plain.number(),
        tls = tls.number(),
        ca = ca.ca_file().display(),
        certificate = server.certificate_file.display(),
        key = server.key_file.display(),
    )
}

fn spawn(configuration: &Path, log: &Path) -> anyhow::Result<Child> {
    for program in PROGRAMS {
        let started = Command::new(program)
            .arg("-c")
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log)?)
            .spawn();
        match started {
            Ok(child) => return Ok(child),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("cannot run mosquitto"),
        }
    }
    bail!("mosquitto is not installed: apt-get install mosquitto")
}
