//! The witness is what the cloud of the rig got, never the session's own counters.

mod batches;
mod budget;
mod custody;
mod lanes;
mod misfortunes;
mod modes;
mod protocols;
mod times;
mod window;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;

use crate::action::Outcome;
use crate::config::{Batch, Durability};
use crate::event::Event;
use crate::rig::{Arrival, Rig, reading};
use crate::{LinkState, OfferId};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const BATCH: Batch = Batch { bytes_max: 4096, delay: Duration::from_millis(500) };

fn booted(change: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::new();
    change(&mut rig);
    rig.crash();
    rig.handle(Event::PluginsScanned);
    rig
}

fn online(change: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = booted(change);
    rig.pass(SECOND);
    assert!(rig.is_online());
    rig
}

/// Offers one reading for each number.
fn offer(rig: &mut Rig, numbers: std::ops::Range<u64>) {
    for n in numbers {
        rig.offer(n, vec![reading("n", n)]);
    }
}

fn values(arrivals: &[Arrival]) -> Vec<i64> {
    arrivals.iter().map(|arrival| arrival.n).collect()
}

fn distinct(arrivals: &[Arrival]) -> BTreeSet<i64> {
    arrivals.iter().map(|arrival| arrival.n).collect()
}

/// The numbers of one stored body.
fn numbers_in(body: &[u8]) -> Vec<i64> {
    let body: Value = serde_json::from_slice(body).unwrap();
    match body["d"].as_array() {
        Some(entries) => entries.iter().filter_map(|entry| entry["d"][0]["n"].as_i64()).collect(),
        None => body["samples"].as_array().unwrap().iter().map(|s| s["values"][0][1].as_i64().unwrap()).collect(),
    }
}

fn on_disk(rig: &Rig) -> Vec<i64> {
    rig.disk.rows.values().flat_map(|row| numbers_in(&row.body)).collect()
}

/// What was answered as taken.
fn accepted(rig: &Rig) -> BTreeSet<i64> {
    let taken = |outcomes: &[Outcome]| outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Rejected(_)));
    let offers = rig.outcomes.iter().filter(|(_, outcomes)| taken(outcomes));
    offers.map(|(OfferId(offer), _)| i64::try_from(*offer).unwrap()).collect()
}

/// On each connection every reading comes once, and they are a merge of two ascending runs: live and backlog.
fn assert_lanes_in_order(arrivals: &[Arrival]) {
    let mut connections: HashMap<_, (BTreeSet<i64>, [i64; 2])> = HashMap::new();
    for Arrival { connection, n, .. } in arrivals {
        let (seen, [higher, lower]) = connections.entry(*connection).or_insert((BTreeSet::new(), [-1, -1]));
        assert!(seen.insert(*n), "{n} came twice on one connection");
        if n > higher {
            *higher = *n;
        } else {
            assert!(n > lower, "{n} came after {lower} and {higher}");
            *lower = *n;
        }
    }
}
