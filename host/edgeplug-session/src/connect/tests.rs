mod failures;
mod misfortunes;
mod portal;
mod protocols;
mod questions;
mod refresh;
mod renewal;
mod time;

use std::time::Duration;

use edgeplug_protocol::time::Timestamp;

use crate::LinkState;
use crate::event::{Event, Failure, FailureKind, LinkDownReason};
use crate::rig::{LATENCY, Rig, START_UNIX_MS, connected, online, reading};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY_MS: i64 = 24 * 3600 * 1000;
const YEARS_MS: i64 = 10 * 365 * DAY_MS;

fn trouble(rig: &Rig) -> Option<FailureKind> {
    rig.session.status(rig.now()).trouble.map(|trouble| trouble.kind)
}

fn offline_marks(rig: &Rig) -> usize {
    rig.cloud.received.iter().filter(|body| body["od"] == 1).count()
}

/// How far the stamp of the last report is from now.
fn stamp_error_ms(rig: &Rig) -> i64 {
    let body = rig.cloud.received.last().unwrap();
    let stamp = Timestamp::parse(body["d"][0]["dt"].as_str().unwrap()).unwrap();
    (stamp.unix_ms() - rig.real_unix_ms).abs()
}
