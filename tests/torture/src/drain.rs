//! What the modes with a daemon share at their end: everything must come to rest, and is then counted.

use std::path::Path;
use std::time::{Duration, Instant};

use edgeplug_e2e::{Edgeplug, World};
use serde_json::Value;

use crate::Verdict;
use crate::integrity;
use crate::tail::Tail;
use crate::witness::{Arrival, Witness};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Examples named of each broken promise.
const NAMED: usize = 5;

/// Both witnesses of one device, brought up to date.
pub(crate) struct Station {
    pub(crate) witness: Witness,
    tail: Tail,
    /// Ids of all commands sent.
    pub(crate) commands: Vec<String>,
    /// What the cloud would silently drop.
    complaints: Vec<String>,
    /// Messages of the hub's record that were looked at.
    seen: usize,
}

/// Messages taken from the record at once, so that the hub does not wait for the witness.
const PAGE: usize = 5_000;

impl Station {
    pub(crate) fn new(world: &World) -> Self {
        let tail = Tail::new(world.log().path());
        Self { witness: Witness::default(), tail, commands: Vec::new(), complaints: Vec::new(), seen: 0 }
    }

    /// Takes over what the guests logged and the hub recorded since the last look.
    pub(crate) fn look(&mut self, world: &World, cycle: u64) -> anyhow::Result<Vec<Arrival>> {
        self.look_at_log()?;
        let mut arrivals = Vec::new();
        loop {
            let page = world.cloud.recorder().page(self.seen, PAGE);
            if page.is_empty() {
                return Ok(arrivals);
            }
            self.seen += page.len();
            arrivals.extend(self.witness.arrive(&page, cycle));
        }
    }

    /// Lets the hub forget what was looked at. Only while the device is not connected: what arrived in between would be lost
    /// to the witness.
    pub(crate) fn forget(&mut self, world: &World) {
        self.hear_complaints(world);
        world.cloud.recorder().clear();
        self.seen = 0;
    }

    pub(crate) fn hear_complaints(&mut self, world: &World) {
        self.complaints.extend(world.cloud.complaints().iter().map(|complaint| format!("{complaint:?}")));
    }

    pub(crate) fn look_at_log(&mut self) -> anyhow::Result<()> {
        self.witness.accept(self.tail.news()?.accepted);
        Ok(())
    }

    /// Sends a command that must be answered once. The hub queues fifty; what waits from earlier comes again.
    pub(crate) fn command(&mut self, world: &World, id: &str) {
        if world.cloud.hub().send_command(&world.hub_device_id(), &format!("ok {id}"), id).is_ok() {
            self.commands.push(id.to_owned());
        }
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.commands.iter().filter(|id| !self.witness.acknowledged(id)).count()
    }

    /// Writes the figures that every mode has.
    pub(crate) fn tell(&self, verdict: &mut Verdict) {
        let witness = &self.witness;
        let missing = witness.missing();
        let violations = witness.order_violations();
        verdict.accepted += witness.accepted();
        verdict.lost += missing.len() as u64;
        verdict.delivered += witness.accepted() - missing.len() as u64;
        verdict.duplicates += witness.duplicates();
        verdict.duplicates_per_crash_max = verdict.duplicates_per_crash_max.max(witness.duplicates_per_crash_max());
        verdict.double_acks += witness.double_acks();
        verdict.order_violations += violations.len() as u64;
        let lost = missing.iter().map(|id| format!("lost: {id:?}")).take(NAMED);
        let dropped = self.complaints.iter().map(|words| format!("the cloud would drop: {words}")).take(NAMED);
        let order = violations.iter().map(|words| format!("order: {words}")).take(NAMED);
        lost.chain(order).chain(dropped).for_each(|words| verdict.complain(words));
        match witness.unreadable() {
            0 => {}
            count => verdict.complain(format!("{count} messages are nothing that was sent")),
        }
        match self.unanswered() {
            0 => {}
            count => verdict.complain(format!("{count} commands were never answered")),
        }
    }
}

/// Waits until nothing is left, neither on the way nor on the disk, at most so long, and ends the daemon in order. `cycle` is
/// the run that does it.
pub(crate) async fn finish(
    world: &World,
    edgeplug: Edgeplug,
    station: &mut Station,
    cycle: u64,
    limit: Duration,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let outbox = world.state_directory().join("outbox");
    loop {
        station.look(world, cycle)?;
        let status = edgeplug.status().await;
        let idle =
            status.as_ref().is_ok_and(|status| status.pointer("/uplink/waiting").and_then(Value::as_u64) == Some(0));
        let queued = world.cloud.hub().queued(&world.hub_device_id());
        let missing = station.witness.missing().len();
        let stored = stored(&outbox);
        if idle && stored == Some(0) && queued == 0 && missing == 0 && station.unanswered() == 0 {
            break;
        }
        if begun.elapsed() > limit {
            verdict.wedged += 1;
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            verdict.complain(format!(
                "not at rest after {limit:?}: {missing} readings missing, {} commands unanswered, {queued} queued at the hub, \
                 {stored:?} rows and acknowledgements still stored; the daemon says {status}",
                station.unanswered()
            ));
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    match edgeplug.terminate().await {
        Ok(status) if status.success() => {}
        Ok(status) => verdict.complain(format!("the daemon ended with {status}")),
        Err(error) => verdict.complain(format!("the daemon did not end: {error:#}")),
    }
    station.look(world, cycle)?;
    station.hear_complaints(world);
    for path in integrity::set_aside(&outbox) {
        verdict.corrupt += 1;
        verdict.complain(format!("the daemon set {} aside", path.display()));
    }
    Ok(())
}

/// Rows and acknowledgements on the disk: what would be sent again after a crash. `None` while a file is being opened or
/// put away.
fn stored(outbox: &Path) -> Option<u64> {
    let stats = edgeplug_outbox::stats(outbox).ok()?;
    Some(stats.live_rows + stats.alarm_rows + stats.acks)
}
