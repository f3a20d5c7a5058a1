//! The program run exactly as its unit says: command line, environment and limits are read from the unit file, and this
//! test is the service manager it talks to.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use edgeplug_e2e::{World, WorldOptions, sensors};
use edgeplug_test_support::programs::program;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

const LONG: Duration = Duration::from_secs(60);
/// What the unit's WatchdogSec is shortened to, as a drop-in might.
const WATCHDOG: Duration = Duration::from_secs(1);

const UNIT: &str = include_str!("../../../host/edgeplug/packaging/edgeplug.service");

/// Every value of a key in the unit, in order.
fn unit(key: &str) -> Vec<&'static str> {
    UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim).collect()
}

/// A service that this test started, and its notify socket.
struct Service {
    child: Child,
    socket: UnixDatagram,
    /// Everything said so far, in order.
    said: Vec<String>,
}

impl Service {
    fn start(world: &World) -> Self {
        let notify = world.directory().join("notify");
        let _ = std::fs::remove_file(&notify);
        let socket = UnixDatagram::bind(&notify).unwrap();
        let command_line = unit("ExecStart")[0]
            .replace("@bindir@/edgeplug", &program("edgeplug").unwrap().display().to_string())
            .replace("@sysconfdir@/edgeplug/edgeplug.toml", &world.config_file().display().to_string());
        // The limits that a shell can set; the sandbox is systemd's.
        let limits = format!(
            "umask {}; ulimit -n {}; ulimit -c {}; exec \"$@\"",
            unit("UMask")[0],
            unit("LimitNOFILE")[0],
            unit("LimitCORE")[0]
        );
        let log = std::fs::OpenOptions::new().create(true).append(true).open(world.log().path()).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &limits, "sh"]).args(command_line.split(' ')).args(["--log-format", "json"]);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("NOTIFY_SOCKET", &notify);
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        for variable in unit("Environment") {
            let (name, value) = variable.split_once('=').unwrap();
            command.env(name, value);
        }
        for (key, variable) in [("StateDirectory", "STATE_DIRECTORY"), ("RuntimeDirectory", "RUNTIME_DIRECTORY")] {
            let mode = u32::from_str_radix(unit(&format!("{key}Mode"))[0], 8).unwrap();
            let directory = make_directory(&world.directory().join(variable).join(unit(key)[0]), mode);
            command.env(variable, directory);
        }
        let child = command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, socket, said: Vec::new() }
    }

    /// Waits for a line that begins so; answers with the rest of it.
    async fn hear(&mut self, begins: &str) -> String {
        self.hear_that(begins, |_| true).await
    }

    async fn hear_that(&mut self, begins: &str, fits: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let left = LONG.saturating_sub(begun.elapsed());
            let Ok(lines) = tokio::time::timeout(left, self.next()).await else {
                panic!("{begins:?} was never said; said was {:?}", self.said);
            };
            if let Some(rest) = lines.iter().find_map(|line| line.strip_prefix(begins).filter(|rest| fits(rest))) {
                return rest.to_owned();
            }
        }
    }

    /// The lines of the next datagram.
    async fn next(&mut self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).await.unwrap();
        let lines: Vec<_> = std::str::from_utf8(&buffer[..length]).unwrap().lines().map(str::to_owned).collect();
        self.said.extend(lines.iter().cloned());
        lines
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        let limit = Duration::from_secs(unit("TimeoutStopSec")[0].parse().unwrap());
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("systemd would have killed it; said was {:?}", self.said)).unwrap()
    }
}

fn make_directory(path: &Path, mode: u32) -> PathBuf {
    std::fs::create_dir_all(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_owned()
}

/// What the API answers to `edgeplug status`.
async fn api_answers(world: &World) -> bool {
    let socket = world.directory().join("api.sock");
    let status = Command::new(program("edgeplug").unwrap())
        .args(["status", "--json", "--socket"])
        .arg(socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    status.unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unit_s_service_says_how_it_fares_from_start_to_end() {
    let world = World::new(WorldOptions { symmetric_key: true, ..sensors::system_sensors(&[]) }).await.unwrap();
    world.drop_plugin(sensors::first_build(&sensors::manifest(200))).unwrap();
    assert_eq!((unit("Type"), unit("NotifyAccess")), (vec!["notify"], vec!["main"]));
    assert!(unit("WatchdogSec")[0].parse::<u64>().unwrap() >= 10);

    let mut service = Service::start(&world);
    service.hear("READY=1").await;
    assert!(api_answers(&world).await, "READY=1 was said before the API answers");
    let status = service.hear_that("STATUS=", |status| status.contains("connected; 1 plugins running")).await;
    assert!(status.contains("store ok"), "{status}");
    world.cloud.recorder().wait_for_readings("uptime_s", 2, LONG).await.unwrap();

    // Signs of life come from the main loop, at least twice in the time the watchdog allows.
    service.hear("WATCHDOG=1").await;
    let between = Instant::now();
    service.hear("WATCHDOG=1").await;
    assert!(between.elapsed() < WATCHDOG, "{:?}", between.elapsed());

    service.signal(Signal::TERM);
    service.hear("STOPPING=1").await;
    assert!(service.ended().await.success());
    assert_eq!(service.said.iter().filter(|line| *line == "READY=1").count(), 1);
    let log = std::fs::read_to_string(world.log().path()).unwrap();
    assert!(log.contains("edgeplug stopped"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_falls_silent() {
    let world = World::new(WorldOptions { symmetric_key: true, ..WorldOptions::default() }).await.unwrap();
    let mut service = Service::start(&world);
    service.hear("WATCHDOG=1").await;
    service.signal(Signal::STOP);
    // What was on its way when the signal came.
    while tokio::time::timeout(WATCHDOG / 4, service.next()).await.is_ok() {}
    let silence = tokio::time::timeout(WATCHDOG * 2, service.next()).await;
    assert!(silence.is_err(), "it hangs and says {silence:?}");
    service.signal(Signal::CONT);
    service.hear("WATCHDOG=1").await;
    service.signal(Signal::TERM);
    assert!(service.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_to_the_service_manager() {
    let world = World::new(WorldOptions { symmetric_key: true, not_enrolled: true, ..WorldOptions::default() });
    let world = world.await.unwrap();
    let mut service = Service::start(&world);
    let status = service.hear_that("STATUS=", |status| status.contains("not connected")).await;
    assert!(status.contains("unique id"), "{status}");
    service.signal(Signal::TERM);
    assert!(service.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let world = World::new(WorldOptions { symmetric_key: true, ..sensors::system_sensors(&[]) }).await.unwrap();
    let mut service = Service::start(&world);
    world.cloud.hub().wait_connected(&world.hub_device_id(), LONG).await.unwrap();
    // The hub keeps acknowledgements back, so that an orderly end takes its time.
    world.cloud.hub().hold_pubacks();
    world.drop_plugin(sensors::first_build(&sensors::manifest(200))).unwrap();
    world.cloud.recorder().wait_for_readings("uptime_s", 1, LONG).await.unwrap();
    service.signal(Signal::TERM);
    service.hear("STOPPING=1").await;
    let begun = Instant::now();
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code(), Some(40));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_that_does_not_listen_is_not_waited_for() {
    let world = World::new(WorldOptions { symmetric_key: true, ..WorldOptions::default() }).await.unwrap();
    let service = Service::start(&world);
    world.cloud.hub().wait_connected(&world.hub_device_id(), LONG).await.unwrap();
    // Ten messages fill the queue of a socket that nobody reads (net.unix.max_dgram_qlen).
    let full = UnixDatagram::unbound().unwrap();
    full.connect(world.directory().join("notify")).unwrap();
    while full.try_send(b"X=1").is_ok() {}
    // Long enough for it to have said more than fits; that it would hang has no event to wait for.
    tokio::time::sleep(WATCHDOG * 3).await;
    assert!(api_answers(&world).await);
    drop(service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_keeps_its_acknowledgements_is_named_at_the_end() {
    let world = World::new(WorldOptions { symmetric_key: true, ..sensors::system_sensors(&[]) }).await.unwrap();
    let mut service = Service::start(&world);
    world.cloud.hub().wait_connected(&world.hub_device_id(), LONG).await.unwrap();
    world.cloud.hub().hold_pubacks();
    world.drop_plugin(sensors::first_build(&sensors::manifest(200))).unwrap();
    world.cloud.recorder().wait_for_readings("uptime_s", 1, LONG).await.unwrap();
    service.signal(Signal::TERM);
    assert!(service.ended().await.success());
    world.log().wait_for("did not end in time", 0, LONG).await.unwrap();
    let named = world.log().lines().unwrap().iter().any(|line| line.text("who").contains("did not acknowledge"));
    assert!(named, "the hub is not named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_does_not_end_it() {
    let world = World::new(WorldOptions { symmetric_key: true, ..WorldOptions::default() }).await.unwrap();
    let mut child = world
        .command(&["run", "--config"])
        .arg(world.config_file())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    world.cloud.hub().wait_connected(&world.hub_device_id(), LONG).await.unwrap();
    // SIGHUP makes it log a line, and nothing else.
    kill_process(pid, Signal::HUP).unwrap();
    assert!(api_answers(&world).await);
    kill_process(pid, Signal::TERM).unwrap();
    assert!(child.wait().await.unwrap().success());
}
