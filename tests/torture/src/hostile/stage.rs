//! Where an attack takes place, and what is found there afterwards: canaries, a socket that nobody may reach, somebody
//! who exchanges files, the daemon's log.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use edgeplug_test_support::programs;
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

use super::judge::misleads;
use super::task::{ATTACKER, NEIGHBOUR, VICTIM};
use super::wall::Wall;
use crate::random::Random;

/// What is granted begins with this, and guests know it.
const HARMLESS: &str = "harmless, and granted";
/// What a plugin may log: 250 lines a second of 4 KiB each.
const LOG_BYTES_PER_S: u64 = 250 * 4200;
/// How long a stage's own threads sleep before they look whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) struct Stage {
    _directory: tempfile::TempDir,
    root: PathBuf,
    /// In every secret of this stage, and nowhere else.
    canary: String,
    cache: PathBuf,
    port: u16,
    /// Connections and datagrams that came.
    visits: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Stage {
    /// Lays out files and sockets for a wall.
    pub(super) fn set(wall: &Wall, cache: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("hostile").tempdir()?;
        let root = directory.path().canonicalize()?;
        let canary = format!("canary-{:016x}", Random::new(Random::any_seed()).number());
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let datagrams = UdpSocket::bind(("127.0.0.1", port))?;
        let mut stage = Self {
            _directory: directory,
            root,
            canary,
            cache: cache.to_owned(),
            port,
            visits: Arc::default(),
            over: Arc::default(),
            threads: Vec::new(),
        };
        stage.lay_files()?;
        stage.drop_plugins(wall)?;
        stage.listen(listener, datagrams)?;
        if wall.raced {
            stage.race();
        }
        Ok(stage)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn canary(&self) -> &str {
        &self.canary
    }

    /// `{stage}`, `{cache}` and `{port}` in manifests and policies.
    pub(super) fn filled(&self, text: &str) -> String {
        text.replace("{stage}", &self.root.display().to_string())
            .replace("{cache}", &self.cache.display().to_string())
            .replace("{port}", &self.port.to_string())
    }

    fn lay_files(&self) -> anyhow::Result<()> {
        let root = &self.root;
        for private in ["state", "shelf", "secret"] {
            fs::DirBuilder::new().mode(0o700).create(root.join(private))?;
        }
        for open in ["plugins", "drop", "granted", "granted/below", "granted/raced-directory", "fixed"] {
            fs::create_dir(root.join(open))?;
        }
        let secret = format!("{}, which nobody may read\n", self.canary);
        for file in ["state/secret", "secret/canary", "secret/data", "secret/firmware", "plugins/.secret"] {
            fs::write(root.join(file), &secret)?;
        }
        for file in ["data", "below/data", "raced", "raced-directory/data", "read-only"] {
            fs::write(root.join("granted").join(file), HARMLESS)?;
        }
        fs::write(root.join("fixed/data"), HARMLESS)?;
        fs::set_permissions(root.join("granted/read-only"), fs::Permissions::from_mode(0o444))?;
        symlink("../secret/canary", root.join("granted/link"))?;
        symlink(root.join("secret/canary"), root.join("granted/absolute-link"))?;
        symlink("../secret", root.join("granted/directory-link"))?;
        symlink("/proc/self", root.join("granted/process"))?;
        symlink("/dev/zero", root.join("granted/endless"))?;
        mknodat(CWD, root.join("granted/pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        File::create(root.join("granted/sparse"))?.set_len(1 << 40)?;
        Ok(())
    }

    fn drop_plugins(&self, wall: &Wall) -> anyhow::Result<()> {
        let (plugins, drop) = (self.root.join("plugins"), self.root.join("drop"));
        fs::copy(programs::guest("ten-readings")?, plugins.join(format!("{NEIGHBOUR}.wasm")))?;
        if wall.has_victim {
            fs::copy(programs::guest("probe")?, plugins.join(format!("{VICTIM}.wasm")))?;
            let manifest = format!("interval_s = 3600\n[config]\nupdate = \"defer\"\nprivate = {:?}\n", self.canary);
            fs::write(plugins.join(format!("{VICTIM}.toml")), manifest)?;
        }
        fs::write(drop.join(format!("{ATTACKER}.wasm")), wall.fixture.component()?)?;
        fs::write(drop.join(format!("{ATTACKER}.toml")), self.filled(&wall.manifest()))?;
        if let Some((name, manifest)) = wall.twin {
            fs::write(plugins.join(format!("{name}.toml")), self.filled(manifest))?;
        }
        Ok(())
    }

    /// Counts who comes, and gives them what they came for.
    fn listen(&mut self, listener: TcpListener, datagrams: UdpSocket) -> anyhow::Result<()> {
        listener.set_nonblocking(true)?;
        datagrams.set_read_timeout(Some(LOOK_EVERY))?;
        let (visits, over, secret) = (Arc::clone(&self.visits), Arc::clone(&self.over), self.canary.clone());
        self.threads.push(std::thread::spawn(move || {
            let mut datagram = [0; 64];
            while !over.load(Ordering::Relaxed) {
                while let Ok((mut visitor, _)) = listener.accept() {
                    visits.fetch_add(1, Ordering::Relaxed);
                    let _ = visitor.write_all(secret.as_bytes());
                }
                if datagrams.recv(&mut datagram).is_ok() {
                    visits.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        Ok(())
    }

    /// Exchanges a granted file and a granted directory for links to the secret and back, as fast as it goes.
    fn race(&mut self) {
        let (granted, over) = (self.root.join("granted"), Arc::clone(&self.over));
        self.threads.push(std::thread::spawn(move || {
            let exchange = |one: &str, other: &str| {
                let _ = renameat_with(CWD, granted.join(one), CWD, granted.join(other), RenameFlags::EXCHANGE);
            };
            while !over.load(Ordering::Relaxed) {
                for (one, other) in [("raced", "link"), ("raced-directory", "directory-link")] {
                    exchange(one, other);
                    std::thread::sleep(Duration::from_micros(50));
                    exchange(one, other);
                }
                // The machine has other things to do as well.
                std::thread::sleep(Duration::from_micros(150));
            }
        }));
    }

    /// Ends the threads and says what was disturbed; so many seconds of logging are allowed.
    pub(super) fn inspect(mut self, wall: &Wall, seconds: u64) -> anyhow::Result<Vec<String>> {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let mut found = self.reached(wall);
        found.extend(self.changed()?);
        found.extend(self.appeared(wall)?);
        found.extend(self.forged(seconds)?);
        Ok(found)
    }

    /// Over the network.
    fn reached(&self, wall: &Wall) -> Vec<String> {
        let mut found = Vec::new();
        let visits = self.visits.load(Ordering::Relaxed);
        if visits > 0 {
            found.push(format!("{visits} connections came to a socket that was not granted"));
        }
        let looked_up = fs::read_to_string(self.root.join("names")).unwrap_or_default();
        let strangers: Vec<&str> = looked_up.lines().filter(|name| !wall.allows.contains(*name)).collect();
        if !strangers.is_empty() {
            found.push(format!("names were looked up that were not granted: {strangers:?}"));
        }
        found
    }

    fn changed(&self) -> anyhow::Result<Vec<String>> {
        let secret = format!("{}, which nobody may read\n", self.canary);
        let secrets = ["state/secret", "secret/canary", "secret/data", "secret/firmware", "plugins/.secret"];
        let contents = secrets.map(|file| (file, secret.as_str())).into_iter();
        let contents = contents.chain([("granted/read-only", HARMLESS), ("fixed/data", HARMLESS)]);
        let mut found: Vec<String> = contents
            .filter(|(file, content)| fs::read_to_string(self.root.join(file)).ok().as_deref() != Some(*content))
            .map(|(file, _)| format!("{file} was changed"))
            .collect();
        let neighbour = self.root.join("plugins").join(format!("{NEIGHBOUR}.wasm"));
        if fs::read(neighbour)? != fs::read(programs::guest("ten-readings")?)? {
            found.push("the neighbour's file was changed".to_owned());
        }
        Ok(found)
    }

    fn appeared(&self, wall: &Wall) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for (directory, known) in [
            ("secret", &["canary", "data", "firmware"][..]),
            ("state", &["secret"]),
            ("fixed", &["data"]),
            ("", &["plugins", "drop", "granted", "fixed", "state", "shelf", "secret", "names", "log", "task.json"]),
        ] {
            let names = names(&self.root.join(directory))?.into_iter();
            let strangers = names.filter(|name| !known.contains(&name.as_str()));
            found.extend(strangers.map(|name| format!("{directory}/{name} appeared")));
        }
        let twin = wall.twin.map_or("", |(name, _)| name);
        for name in names(&self.root.join("plugins"))? {
            // A name that begins with a dot is no plugin's.
            let plugin = name.split('.').next().unwrap_or_default();
            if ![NEIGHBOUR, VICTIM, ATTACKER, "", twin].contains(&plugin) {
                found.push(format!("plugins/{name} appeared"));
            }
        }
        Ok(found)
    }

    /// What the daemon's side logged: lines of its own making only, and not too many.
    fn forged(&self, seconds: u64) -> anyhow::Result<Vec<String>> {
        let bytes_max = LOG_BYTES_PER_S * seconds;
        let mut log = Vec::new();
        File::open(self.root.join("log")).context("no log")?.take(bytes_max + 1).read_to_end(&mut log)?;
        let mut found = Vec::new();
        if log.len() as u64 > bytes_max {
            found.push(format!("the daemon's log has more than {bytes_max} bytes"));
        }
        let log = String::from_utf8_lossy(&log);
        let is_own = |line: &str| line.starts_with("20") && !line.starts_with("2026-01-01T00:00:00Z ERROR");
        if let Some(line) = log.lines().find(|line| !is_own(line)) {
            found.push(format!("the daemon's log has a line that is not its own: {line:?}"));
        }
        if let Some(line) = log.lines().find(|line| line.chars().any(misleads)) {
            found.push(format!("the daemon's log has a line that misleads: {line:?}"));
        }
        if log.contains(&self.canary) {
            found.push("the daemon's log holds the secret".to_owned());
        }
        Ok(found)
    }
}

fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
