//! What a guest has of WASI: streams into its log, clocks, random numbers, and what it was granted of the environment
//! and the file system.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime_wasi::{Deterministic, FsPerms, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

use super::Guest;
use crate::clock::Clock;
use crate::network::Network;
use crate::rights::Opened;
use crate::voice::{Stream, Voice};

/// Random bytes a guest may draw at once; keys are far shorter.
const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// How long granted directories may take to open. One on a network mount may take for ever.
const OPENING_MAX: Duration = Duration::from_secs(5);
/// Of a guest that is not told the time: so coarse that it measures nothing of its neighbours, and still able to wait.
const COARSE: Duration = Duration::from_millis(10);
/// Bytes after which the numbers of a guest without random ones begin again.
const SEEDED_BYTES: usize = 4096;

/// The context, and what of the grants could not be had, in sentences.
pub(super) async fn context(guest: &Arc<Guest>, voice: &Voice, network: &Arc<Network>) -> (WasiCtx, Vec<String>) {
    let rights = &guest.rights;
    let mut builder = WasiCtx::builder();
    builder
        .stdout(voice.stream(Stream::Output))
        .stderr(voice.stream(Stream::Error))
        .max_random_size(RANDOM_BYTES_MAX)
        // Each socket is judged when it is made (`sockets`), each address here.
        .allow_tcp(true)
        .allow_udp(true)
        .allow_ip_name_lookup(false);
    let network = Arc::clone(network);
    builder.socket_addr_check(move |address, what| {
        let admits = network.admits(address, what);
        Box::pin(async move { admits })
    });
    let clock = guest.surroundings.clock.clone();
    if rights.clocks() {
        builder.wall_clock(clock.clone()).monotonic_clock(clock);
    } else {
        builder.wall_clock(Stopped).monotonic_clock(Coarse(clock));
    }
    if !rights.randomness() {
        let seeded = seeded(&guest.plugin);
        builder
            .secure_random(Deterministic::new(seeded.clone()))
            .insecure_random(Deterministic::new(seeded))
            .insecure_random_seed(0);
    }
    for (name, value) in rights.environment() {
        builder.env(name, value);
    }
    let problems = if rights.wants_directories() { preopen(&mut builder, guest).await } else { Vec::new() };
    (builder.build(), problems)
}

async fn preopen(builder: &mut WasiCtxBuilder, guest: &Arc<Guest>) -> Vec<String> {
    let Ok(reading) = Arc::clone(&guest.desk.reads).try_acquire_owned() else {
        return vec!["its directories are not opened again while earlier reads of it hang".to_owned()];
    };
    let opening = tokio::task::spawn_blocking({
        let guest = Arc::clone(guest);
        move || {
            let _reading = reading;
            guest.rights.open_directories()
        }
    });
    let (opened, mut problems) = match tokio::time::timeout(OPENING_MAX, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => (Vec::new(), vec![format!("its directories could not be opened: {error}")]),
        Err(_) => {
            let seconds = OPENING_MAX.as_secs();
            (Vec::new(), vec![format!("its directories did not open within {seconds} s; is one on a network mount?")])
        }
    };
    for Opened { directory, guest, write } in opened {
        let permissions = if write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        // The very directory that was judged.
        let itself = format!("/proc/self/fd/{}", directory.as_raw_fd());
        if let Err(error) = builder.preopened_dir(itself, &guest, permissions) {
            problems.push(format!("its directory {guest} could not be opened: {error:#}"));
        }
    }
    problems
}

/// Bytes that look random and are the same for a plugin of this name whenever it starts.
fn seeded(plugin: &str) -> Vec<u8> {
    let block = |number: u64| Sha256::new().chain_update(plugin).chain_update(number.to_le_bytes()).finalize();
    (0..).flat_map(block).take(SEEDED_BYTES).collect()
}

/// It is 1970.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

struct Coarse(Clock);

impl HostMonotonicClock for Coarse {
    fn resolution(&self) -> u64 {
        step()
    }

    fn now(&self) -> u64 {
        let now = self.0.monotonic_ns();
        now - now % step()
    }
}

fn step() -> u64 {
    u64::try_from(COARSE.as_nanos()).unwrap_or(1)
}
