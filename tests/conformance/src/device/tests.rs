//! What no vector file can say, because its schema has no outage: what waited for the hub.

use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;
use edgeplug_session::Action;
use edgeplug_session::event::{Ending, LinkDownReason};
use serde_json::json;

use super::*;

/// The clock of a case stands here until something moves it.
const BEGIN: &str = "2026-11-23T12:00:00.000Z";

fn online() -> Device {
    let topic = "devices/CP-GW/messages/events/";
    let attribute = json!({"ln": "n", "dt": 0, "dv": "", "tg": "", "sq": 1, "agt": 0, "tw": ""});
    let case = json!({
        "id": "offline", "config": {"cpId": "CP", "uniqueId": "GW", "env": "poc", "scopeId": "0ne0SCOPE"}, "steps": [],
        "sync": {
            "sc": {"sf": 5, "df": 0},
            "p": {"n": "mqtt", "h": "h1.azure-devices.net", "p": 8883, "id": "CP-GW", "pwd": "",
                  "un": "h1.azure-devices.net/CP-GW/?api-version=2018-06-30",
                  "pub": topic, "sub": "devices/CP-GW/messages/devicebound/#"},
            "d": [{"tg": "", "id": "GW", "s": 0}], "att": [{"p": "", "dt": null, "tg": "", "d": [attribute]}],
            "dtg": "D", "cpId": "CP", "rc": 0, "ee": 0, "at": 4, "ds": 0,
        },
    });
    let mut device = Device::new(&mut Case::parse(&case.to_string()).unwrap()).unwrap();
    device.connect().unwrap();
    assert!(device.is_online());
    device.take_seen();
    device
}

fn cut(device: &mut Device) {
    let (connection, _) = device.connection.take().unwrap();
    device.handle(Event::LinkDown { connection, reason: LinkDownReason::Closed }).unwrap();
    device.settle().unwrap();
    assert!(!device.is_online());
}

/// Lets the device find its way back, well after what waits was made.
fn reconnect(device: &mut Device) {
    device.pass(RETRY_WITHIN).unwrap();
    assert!(device.is_online());
    assert_ne!(Timestamp::from_unix_ms(device.unix_ms()).as_str(), BEGIN);
}

fn offer_21(device: &mut Device) {
    let time = Some(Timestamp::parse("2021-01-24T10:06:17.857Z").unwrap());
    device.offer(vec![Sample { device: None, time, values: vec![("n".into(), 21.into())] }]).unwrap();
}

fn published(device: &mut Device) -> Vec<Value> {
    let (seen, _) = device.take_seen();
    let body = |happening| match happening {
        Happening::Publish { topic, body, .. } => {
            assert_eq!(topic, "devices/CP-GW/messages/events/");
            Some(body)
        }
        _ => None,
    };
    seen.into_iter().filter_map(body).collect()
}

/// Vector L36.
#[test]
fn a_reading_that_waited_is_sent_as_it_was_made_and_marked() {
    let mut device = online();
    offer_21(&mut device);
    let live = json!({
        "cpId": "CP", "t": BEGIN, "mt": 0, "d": [{"id": "GW", "dt": "2021-01-24T10:06:17.857Z", "d": [{"n": 21}], "tg": ""}],
        "dtg": "D", "sdk": {"l": "M_PYTHON", "v": "2.0", "e": "poc"},
    });
    assert_eq!(published(&mut device), std::slice::from_ref(&live));
    cut(&mut device);
    offer_21(&mut device);
    assert_eq!(published(&mut device), [json!(null); 0]);
    reconnect(&mut device);
    let mut late = live;
    late["od"] = 1.into();
    assert_eq!(published(&mut device), [late]);
}

/// Vector L37.
#[test]
fn an_acknowledgement_that_waited_is_sent_as_it_was_made_and_marked() {
    let mut device = online();
    let data = json!({"cpid": "cp", "guid": "g", "uniqueId": "GW", "command": "reboot", "ack": true, "ackId": "a-1", "cmdType": "0x01"});
    device.deliver(json!({"cmdType": "0x01", "data": data}).to_string());
    let mut calls = Vec::new();
    while let Some(event) = device.coming.pop_front() {
        device.session.handle(event, device.now());
        while let Some(action) = device.session.poll_action() {
            if let Action::Call { id, .. } = &action {
                calls.push(id.clone());
            }
            device.carry_out(action).unwrap();
        }
    }
    assert_eq!(calls.len(), 1, "handed over and deferred");
    cut(&mut device);
    device.ask(Ask::Finish { id: calls.remove(0), ending: Ending::Done("rebooted".into()) }).unwrap();
    assert_eq!(published(&mut device), [json!(null); 0]);
    reconnect(&mut device);
    let late = json!({
        "cpId": "CP", "uniqueId": "GW", "t": BEGIN, "mt": 5,
        "d": {"ackId": "a-1", "st": 6, "msg": "rebooted", "childId": ""},
        "sdk": {"l": "M_PYTHON", "v": "2.0", "e": "poc"}, "od": 1,
    });
    assert_eq!(published(&mut device), [late]);
}
