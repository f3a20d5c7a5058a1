//! How often the clock that interrupts guests wakes up while nobody is called.

use std::time::Duration;

use anyhow::Context as _;
use edgeplug_test_support::versions::Versions;

use super::start;

pub(super) const SECONDS: u32 = 10;
const LONG: Duration = Duration::from_secs(60);
/// Name of the thread that interrupts guests.
const TICKS: &str = "plugin-ticks";

pub(super) async fn measure(versions: &Versions) -> anyhow::Result<u32> {
    // One sample at the start, and the next in an hour.
    let world = start::world(versions, 1, 3_600_000).await?;
    let edgeplug = world.start()?;
    world.cloud.recorder().wait_for(|records| !records.is_empty(), LONG).await?;
    // Until everything of the start has come to rest.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let pid = edgeplug.pid().context("the daemon has ended")?;
    let before = wakeups(pid)?;
    tokio::time::sleep(Duration::from_secs(u64::from(SECONDS))).await;
    let after = wakeups(pid)?;
    edgeplug.terminate().await?;
    Ok(after.saturating_sub(before))
}

/// Since the start: how often its thread went to sleep by itself, which is how often it was woken.
fn wakeups(pid: u32) -> anyhow::Result<u32> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(task?.path().join("status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if field("Name:") == Some(TICKS) {
            return Ok(field("voluntary_ctxt_switches:").context("no count of wake-ups")?.parse()?);
        }
    }
    anyhow::bail!("the daemon has no thread {TICKS}")
}
