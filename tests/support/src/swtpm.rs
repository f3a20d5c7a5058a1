//! A real TPM 2.0 in software for one test: `swtpm` on two adjacent TCP ports of 127.0.0.1.
//!
//! Must stay true: every rig owns its process, its state directory and its ports; a port pair is reserved among all
//! rigs of this machine by binding the same UDP ports for as long as the rig lives, so that tests of several programs
//! run side by side; dropping the rig kills the process. Stopping is a SIGKILL: what a test finds afterwards is what
//! a power cut leaves. There is no resource manager in front, so leaked sessions and objects show.
//!
//! The C library that speaks to a TPM leaves its sockets open in every child process, and swtpm serves one connection at
//! a time: a child that inherits one blocks the TPM of another test for as long as it lives. Whatever is started here
//! closes what it inherited first, by way of bash.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

/// Port pairs tried before giving up.
const PORT_ATTEMPTS: usize = 50;

/// How long a started swtpm may take until it answers; it needs about 30 ms on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Pause between two looks at a starting process.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Closes everything but the standard streams and becomes the program named first.
const WITHOUT_INHERITANCE: &str = r#"for fd in /proc/$BASHPID/fd/*; do
    fd=${fd##*/}
    if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi
done
exec "$0" "$@""#;

/// What bash exits with when there is no such program.
const EXIT_NOT_FOUND: i32 = 127;

/// A running (or stopped) swtpm.
#[derive(Debug)]
pub struct Swtpm {
    child: Option<Child>,
    ports: Ports,
    state: PathBuf,
    /// Removes the state directory, if it is ours.
    _own_state: Option<TempDir>,
}

/// A command port and, as swtpm's clients demand, the control port right behind it.
#[derive(Debug)]
struct Ports {
    command: u16,
    control: u16,
    /// Keep the pair ours among rigs; TCP and UDP ports do not collide.
    _reserved: [UdpSocket; 2],
}

impl Swtpm {
    /// A fresh TPM with a state directory of its own, ready for commands.
    pub fn start() -> anyhow::Result<Self> {
        let state = TempDir::new().context("cannot create a state directory for swtpm")?;
        let mut swtpm = Self::start_in(state.path())?;
        swtpm._own_state = Some(state);
        Ok(swtpm)
    }

    /// A TPM whose persistent objects live in `state_dir`, which must exist and outlives the rig.
    pub fn start_in(state_dir: impl AsRef<Path>) -> anyhow::Result<Self> {
        let state = state_dir.as_ref().to_owned();
        let mut last = None;
        for _ in 0..PORT_ATTEMPTS {
            let Some(ports) = Ports::reserve()? else { continue };
            match spawn(&state, &ports) {
                Ok(child) => return Ok(Self { child: Some(child), ports, state, _own_state: None }),
                Err(error) if error.downcast_ref::<PortTaken>().is_some() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no two adjacent free ports on 127.0.0.1")))
    }

    /// How a TPM client is told to reach this TPM, for example `swtpm:host=127.0.0.1,port=2321`.
    #[must_use]
    pub fn tcti(&self) -> String {
        self.ports.tcti()
    }

    /// Where the persistent state lies.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Kills the process; the state stays, the ports stay reserved.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("cannot kill swtpm")?;
            child.wait().context("cannot wait for swtpm")?;
        }
        Ok(())
    }

    /// A power cycle: stops if it runs, then starts on the same ports and state. Transient objects are gone.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        self.child = Some(spawn(&self.state, &self.ports)?);
        Ok(())
    }

    /// Runs one of tpm2-tools against this TPM and returns what it printed; fails with its complaints.
    ///
    /// The tools leave transient objects behind where there is no resource manager: flush with
    /// `tool("tpm2_flushcontext", ["-t"])`.
    pub fn tool<I, S>(&self, program: &str, arguments: I) -> anyhow::Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let output = command(program)
            .args(arguments)
            .env("TPM2TOOLS_TCTI", self.tcti())
            .current_dir(&self.state)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run bash for {program}"))?;
        ensure!(
            output.status.code() != Some(EXIT_NOT_FOUND),
            "cannot run {program}; is it installed? apt-get install tpm2-tools"
        );
        ensure!(
            output.status.success(),
            "{program} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A TPM that hangs: takes connections where [`Swtpm`] would, and never answers. Dropping it closes them.
#[derive(Debug)]
pub struct SilentTpm {
    ports: Ports,
    listening: [TcpListener; 2],
}

impl SilentTpm {
    /// Listens on two adjacent ports of 127.0.0.1.
    pub fn start() -> anyhow::Result<Self> {
        for _ in 0..PORT_ATTEMPTS {
            let Some(ports) = Ports::reserve()? else { continue };
            let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            if let (Ok(command), Ok(control)) = (listen(ports.command), listen(ports.control)) {
                return Ok(Self { ports, listening: [command, control] });
            }
        }
        bail!("no two adjacent free ports on 127.0.0.1")
    }

    /// How a TPM client is told to reach it.
    #[must_use]
    pub fn tcti(&self) -> String {
        self.ports.tcti()
    }

    /// The command and the control port, for whoever wants to answer after all, such as a relay.
    #[must_use]
    pub fn listening(&self) -> &[TcpListener; 2] {
        &self.listening
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        // Nothing sensible can be done about a process that is already gone.
        let _ = self.stop();
    }
}

impl Ports {
    /// `None` if the pair the system offered is not free as a whole.
    fn reserve() -> anyhow::Result<Option<Self>> {
        let offered = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port on 127.0.0.1")?;
        let command = offered.local_addr()?.port();
        let Some(control) = command.checked_add(1) else { return Ok(None) };
        let udp = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
        let (Ok(first), Ok(second)) = (udp(command), udp(control)) else { return Ok(None) };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, control)).is_err() {
            return Ok(None);
        }
        Ok(Some(Self { command, control, _reserved: [first, second] }))
    }

    fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.command)
    }
}

/// Somebody outside these rigs took a port between the look and the start.
#[derive(Debug)]
struct PortTaken(String);

impl std::fmt::Display for PortTaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "swtpm ended before it answered: {}", self.0)
    }
}

impl std::error::Error for PortTaken {}

/// Starts the process and returns once both of its ports accept connections.
fn spawn(state: &Path, ports: &Ports) -> anyhow::Result<Child> {
    let log = state.join("swtpm.log");
    let mut child = command("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .args(["--server", &format!("type=tcp,port={},bindaddr=127.0.0.1", ports.command)])
        .args(["--ctrl", &format!("type=tcp,port={},bindaddr=127.0.0.1", ports.control)])
        .arg("--log")
        .arg(format!("file={},truncate", log.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run bash for swtpm")?;
    let ready = wait_until_ready(&mut child, ports, &log);
    if ready.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ready.map(|()| child)
}

fn command(program: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", WITHOUT_INHERITANCE, program]);
    command
}

fn wait_until_ready(child: &mut Child, ports: &Ports, log: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    let accepts = |port| TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), POLL_INTERVAL);
    loop {
        if let Some(status) = child.try_wait().context("cannot look at swtpm")? {
            ensure!(
                status.code() != Some(EXIT_NOT_FOUND),
                "cannot run swtpm; is it installed? apt-get install swtpm swtpm-tools"
            );
            let said = std::fs::read_to_string(log).unwrap_or_default();
            let said = said.trim().to_owned();
            if said.contains("in use") || said.contains("bind") {
                return Err(PortTaken(said).into());
            }
            bail!("swtpm ended before it answered: {said}");
        }
        if accepts(ports.command).is_ok() && accepts(ports.control).is_ok() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("swtpm did not answer within {} s", START_LIMIT.as_secs());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests;
