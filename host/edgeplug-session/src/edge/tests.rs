//! The witness is what the cloud of the rig got.

mod custody;
mod rules;
mod v21;
mod windows;

use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use serde_json::{Value, json};

use crate::OfferId;
use crate::action::Outcome;
use crate::event::Event;
use crate::rig::{Rig, reading};

const SECOND: Duration = Duration::from_secs(1);

/// Scalars of the device itself with windows of ten seconds: name, `dv`, `agt`.
fn scalars(scalars: &[(&str, &str, u8)]) -> Value {
    let scalar =
        |(name, dv, agt): &(&str, &str, u8)| json!({"ln": name, "dt": 0, "dv": dv, "tg": "", "agt": agt, "tw": "10s"});
    json!([{"p": "", "dt": null, "tg": "", "d": scalars.iter().map(scalar).collect::<Vec<_>>()}])
}

fn rule(guid: &str, condition: &str, command: &str) -> Value {
    json!({"g": guid, "es": "E", "con": condition, "att": [], "cmd": command})
}

/// A legacy edge device, connected.
fn online(attributes: Value, change: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::new();
    rig.cloud.portal.edge = true;
    rig.cloud.portal.attributes = Some(attributes);
    change(&mut rig);
    rig.crash();
    rig.handle(Event::PluginsScanned);
    rig.pass(SECOND);
    assert!(rig.is_online());
    rig
}

/// One attribute `n` with all aggregates.
fn simple(change: impl FnOnce(&mut Rig)) -> Rig {
    online(scalars(&[("n", "", 63)]), change)
}

fn offer_each(rig: &mut Rig, name: &str, values: &[Value]) {
    for (offer, value) in (0..).zip(values) {
        rig.offer(offer, vec![reading(name, value.clone())]);
    }
}

fn of(device: &str, values: Value) -> Sample {
    let values = values.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Sample { device: Some(device.into()), time: None, values }
}

/// Bodies of one kind, by the number in them.
fn of_kind(rig: &Rig, mt: i64) -> Vec<&Value> {
    rig.cloud.received.iter().filter(|body| body["mt"] == mt).collect()
}

/// Entries of all windows the cloud got: device and values.
fn windows(rig: &Rig) -> Vec<(String, Value)> {
    let entries = of_kind(rig, 2).into_iter().flat_map(|body| body["d"].as_array().unwrap());
    entries.map(|entry| (entry["id"].as_str().unwrap().to_owned(), entry["d"][0].clone())).collect()
}

fn outcomes(rig: &Rig) -> Vec<Outcome> {
    rig.outcomes.iter().flat_map(|(_, outcomes)| outcomes.clone()).collect()
}

fn accepted(rig: &Rig) -> Vec<u64> {
    let whole = rig.outcomes.iter().filter(|(_, outcomes)| outcomes == &[Outcome::Accepted]);
    whole.map(|(OfferId(offer), _)| *offer).collect()
}
