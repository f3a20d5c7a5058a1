//! What becomes of an update, way by way.

mod ends;
mod fetching;
mod once;
mod ways;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::commands::tests::targets::acks;
use crate::event::Event;
use crate::rig::{Rig, online};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// For the device itself, in the legacy protocol.
pub(super) fn update(ack_id: &str, names: &[&str]) -> String {
    let urls: Vec<_> = names.iter().map(|name| json!(format!("https://fw/{name}?sig=secret"))).collect();
    crate::commands::tests::targets::update(ack_id, &urls)
}

/// Each end once, however often it was published: child, status, message.
pub(super) fn ends(rig: &Rig, ack_id: &str) -> Vec<(String, i64, String)> {
    let of_it = acks(rig).into_iter().filter(|(mt, id, ..)| *mt == 11 && id == ack_id);
    let ends: BTreeSet<_> = of_it.map(|(_, _, child, st, message)| (child, st, message)).collect();
    ends.into_iter().collect()
}

pub(super) fn one_end(rig: &Rig, ack_id: &str) -> (i64, String) {
    let ends = ends(rig, ack_id);
    let [(_, st, message)] = &ends[..] else { panic!("{ends:?}") };
    (*st, message.clone())
}

/// A device with a plugin that takes its firmware.
pub(super) fn device() -> Rig {
    let mut rig = online();
    rig.firmware_up("f", &[]);
    rig
}

pub(super) fn up_again(rig: &mut Rig) {
    rig.firmware_up("f", &[]);
    rig.handle(Event::PluginsScanned);
}

/// Journal of an unfinished update.
pub(super) fn journal(rig: &Rig, key: &str) -> Value {
    let body: Value = serde_json::from_slice(&rig.disk.commands[key].0).unwrap();
    body["work"]["update"].clone()
}
