//! Updates that go well but for the daemon, which is killed: while it fetches, and at the point the cycle is about.

use anyhow::Context as _;
use edgeplug_cloud::FirmwareFault;

use super::device::{CHILD, Device, LONG, Settings};
use super::judge::End;

/// Smallest and largest file whose download is cut.
const SIZE: (u64, u64) = (256 << 10, 1536 << 10);
/// Of files beside it.
const SMALL: (u64, u64) = (1 << 10, 64 << 10);
/// Updates whose download is once cut by the server, of a hundred.
const CUTS_PERCENT: u64 = 20;
/// How late the hub acknowledges while a kill between an acknowledgement and its PUBACK is wanted.
const PUBACK_MS: u64 = 500;

/// Where in an update the daemon is killed, besides those kills that cut its download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// Around the moment the cloud's message is taken over.
    Queued,
    /// Around the moment the last byte is there.
    Verified,
    /// While an installer or a plugin has it.
    HandingOver,
    /// A plugin said "later".
    Deferred,
    /// The installer is done, and the device was not restarted yet.
    AwaitingRestart,
    /// A component proves itself.
    Probation,
    /// The cloud heard the end, and the daemon does not know that yet.
    Finishing,
    /// Three times, wherever it is.
    Anywhere,
}

impl Point {
    pub(super) const ALL: [Self; 8] = [
        Self::Queued,
        Self::Verified,
        Self::HandingOver,
        Self::Deferred,
        Self::AwaitingRestart,
        Self::Probation,
        Self::Finishing,
        Self::Anywhere,
    ];
}

/// One update with its kills, until it has its end.
pub(super) async fn update(device: &mut Device, point: Point, resumes: u64) -> anyhow::Result<()> {
    let restart = point == Point::AwaitingRestart;
    let signed = device.random.percent(30);
    device.set(&Settings { signed, restart, ..Settings::default() }).await?;
    // The old firmware comes back after some restarts.
    let comes_back = restart && device.random.percent(30);
    let (name, end) = if comes_back { ("back", End::Failed) } else { ("good", End::Done) };
    let mut parcel = device.parcel(&format!("{point:?}-{name}"), end, "the old one runs");

    let to_child = match point {
        Point::Deferred => true,
        Point::AwaitingRestart => false,
        _ => device.random.percent(50),
    };
    let main = match point {
        Point::HandingOver => "slow-main.bin",
        Point::Deferred => "later-main.bin",
        _ => "main.bin",
    };
    let bytes = device.bytes(SIZE.0, SIZE.1);
    let stored = device.add(&mut parcel, main, to_child, &bytes)?;
    if !restart && device.random.percent(50) {
        let beside = device.bytes(SMALL.0, SMALL.1);
        device.add(&mut parcel, "beside.bin", !to_child, &beside)?;
    }
    let mut component = None;
    if point == Point::Probation || (!restart && device.random.percent(20)) {
        let (version, bytes) = device.next_component('G');
        device.add(&mut parcel, "reload.wasm", false, &bytes)?;
        component = Some((version, bytes));
    }

    // Wherever it is then, it must not be held up by a server that stalls.
    let resumes = if point == Point::Anywhere { 0 } else { resumes };
    let offsets = cut(device, &stored, bytes.len() as u64, resumes)?;
    if point == Point::Finishing {
        device.world.cloud.hub().delay_pubacks(PUBACK_MS);
    }
    device.push(&parcel)?;
    if point == Point::Queued {
        device.pause(60).await;
        device.kill_and_start().await?;
    }
    if point == Point::Anywhere {
        for _ in 0..3 {
            device.pause(400).await;
            device.kill_and_start().await?;
        }
    }
    for offset in offsets {
        device.kill_while_fetching(&stored, offset).await?;
    }
    let component_version = component.as_ref().map(|(version, _)| *version);
    let main = Main { stored, length: bytes.len() as u64, to_child, component_version };
    kill_at(device, point, &parcel.promise.ack_id, &main).await?;
    device.acknowledged().await?;
    if let Some((_, bytes)) = component {
        device.component_is(&parcel.promise.ack_id, Some(&bytes)).await?;
    }
    device.clear_away(&parcel)
}

/// Has the server stop in the middle of its answers, so often; how much it has sent in all when the daemon is to be killed.
/// Some answers end there instead, and the daemon goes on by itself.
fn cut(device: &mut Device, stored: &str, length: u64, times: u64) -> anyhow::Result<Vec<u64>> {
    let mut offsets: Vec<u64> = (0..times).map(|_| device.random.between(1, length - 1)).collect();
    offsets.sort_unstable();
    offsets.dedup();
    // The first wait of a daemon is up to ten seconds.
    let ends = offsets.first().copied().filter(|_| device.random.percent(CUTS_PERCENT));
    let mut from = 0;
    for offset in &offsets {
        let length = offset - from;
        let fault =
            if ends == Some(*offset) { FirmwareFault::CutAfter(length) } else { FirmwareFault::StallAfter(length) };
        device.store().fault(stored, fault)?;
        from = *offset;
    }
    offsets.retain(|offset| ends != Some(*offset));
    Ok(offsets)
}

/// The file by which it is seen how far an update is.
struct Main {
    /// Its name in the store.
    stored: String,
    length: u64,
    to_child: bool,
    /// Of the component beside it.
    component_version: Option<i64>,
}

/// Kills the daemon when the update to this version is so far, and starts it again.
async fn kill_at(device: &mut Device, point: Point, version: &str, main: &Main) -> anyhow::Result<()> {
    let plugin_has_it = format!("begun version={version} ");
    match point {
        Point::Queued | Point::Anywhere => return Ok(()),
        Point::Verified => {
            device.store().wait_sent(&main.stored, main.length, LONG).await?;
            device.pause(60).await;
        }
        Point::HandingOver if main.to_child => {
            device.until("a plugin has it", |device| device.log.count_since(0, &plugin_has_it) > 0).await?;
        }
        Point::HandingOver => device.until("the installer has it", |device| device.installer_began(version)).await?,
        Point::Deferred => {
            device.until("a plugin has it", |device| device.log.count_since(0, &plugin_has_it) > 0).await?;
            device.pause(300).await;
        }
        Point::AwaitingRestart => {
            device.until("it is installed", |device| device.installer_began(version)).await?;
            device.pause(200).await;
            device.kill_and_start().await?;
            // The same boot: it must go on waiting, or be installed again if the kill came before the installer's end.
            device.awaits_restart().await?;
            device.reboot()?;
        }
        Point::Probation => {
            let version = main.component_version.context("an update with a component")?;
            device.until("the new version has begun", |device| device.has_readings_of(version)).await?;
        }
        Point::Finishing => {
            let child = main.to_child.then_some(CHILD);
            device.world.cloud.recorder().wait_for_terminal_ack(version, child, LONG).await?;
        }
    }
    device.kill_and_start().await?;
    device.world.cloud.hub().delay_pubacks(0);
    Ok(())
}
