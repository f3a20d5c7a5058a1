//! Rows of either protocol, whichever is spoken.

use edgeplug_protocol::version::Version::{self, Legacy, V21};
use serde_json::json;

use super::*;
use crate::config::ProtocolChoice;

const EVENTS: &str = "devices/CP-GW/messages/events/";

fn speak(rig: &mut Rig, version: Version) {
    rig.config.protocol = ProtocolChoice::Only(version);
    (rig.cloud.portal.legacy, rig.cloud.portal.v21) = (version == Legacy, version == V21);
}

fn topic(code: &str, kind: &str) -> String {
    format!("{EVENTS}cd={code}&v=2.1&{kind}&$.ct=application%2Fjson&$.ce=utf-8")
}

fn published(rig: &Rig) -> Vec<(&str, &Value)> {
    rig.cloud.topics.iter().map(String::as_str).zip(&rig.cloud.received).collect()
}

/// A report and a fault in each.
fn offer_both(rig: &mut Rig, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let mut sample = reading("n", n);
        sample.values.push(("small".into(), 99.into()));
        rig.offer(n, vec![sample]);
    }
}

#[test]
fn reports_and_faults_have_their_own_topics_in_2_1() {
    let mut rig = online(|rig| speak(rig, V21));
    rig.pass(SECOND);
    offer_both(&mut rig, 1..2);
    rig.pass(SECOND);
    let [(report_topic, report), (fault_topic, fault)] = published(&rig)[..] else { panic!("two messages") };
    assert_eq!([report_topic, fault_topic], [topic("XG4E2CA", "mt=0"), topic("XG4E2CA", "mt=3")]);
    assert_eq!(report["d"][0]["d"], json!({"n": 1}));
    assert_eq!(fault["d"][0]["d"], json!({"small": 99}), "as it came");
    assert!(report.get("mt").is_none() && report.get("od").is_none());
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn what_waited_goes_to_the_offline_topic_of_2_1() {
    let mut rig = online(|rig| {
        speak(rig, V21);
        rig.config.batch = Some(BATCH);
    });
    rig.pass(SECOND);
    rig.network(false);
    offer_both(&mut rig, 0..3);
    rig.pass(SECOND);
    rig.crash();
    rig.network(true);
    rig.pass(60 * SECOND);
    let off = topic("XG4E2CA", "mt=4");
    assert!(published(&rig).iter().all(|(topic, body)| *topic == off && body["od"] == 1));
    assert_eq!(published(&rig).len(), 6, "kinds travel apart, and stood in turn");
    assert_eq!(values(&rig.cloud.arrivals), [0, 1, 2]);
}

#[test]
fn rows_of_one_kind_make_one_message_in_2_1() {
    let mut rig = online(|rig| {
        speak(rig, V21);
        rig.config.batch = Some(BATCH);
    });
    rig.pass(SECOND);
    offer(&mut rig, 0..200);
    rig.pass(2 * SECOND);
    assert_eq!(values(&rig.cloud.arrivals), (0..200).collect::<Vec<_>>());
    let sizes: BTreeSet<_> = rig.cloud.arrivals.iter().map(|arrival| arrival.bytes).collect();
    assert!(rig.cloud.received.len() < 6, "{}", rig.cloud.received.len());
    assert!(sizes.iter().all(|bytes| *bytes <= 4_096), "the real topic counts: {sizes:?}");
    assert!(sizes.last().is_some_and(|bytes| *bytes > 3_900), "{sizes:?}");
}

#[test]
fn a_row_is_sent_as_what_it_is_after_the_protocol_changed() {
    for (stored, spoken) in [(Legacy, V21), (V21, Legacy)] {
        let mut rig = online(|rig| speak(rig, stored));
        rig.pass(SECOND);
        rig.network(false);
        offer_both(&mut rig, 1..2);
        rig.pass(SECOND);
        speak(&mut rig, spoken);
        rig.crash();
        rig.network(true);
        rig.pass(60 * SECOND);
        offer_both(&mut rig, 2..3);
        rig.pass(SECOND);
        let topics: Vec<_> = published(&rig).iter().map(|(topic, _)| (*topic).to_owned()).collect();
        let legacy = EVENTS.to_owned();
        let expected = match stored {
            Legacy => [legacy.clone(), legacy, topic("XG4E2CA", "mt=0"), topic("XG4E2CA", "mt=3")],
            V21 => [topic("XG4E2CA", "mt=4"), topic("XG4E2CA", "mt=4"), legacy.clone(), legacy],
        };
        assert_eq!(topics, expected, "stored in {stored:?}");
        let old = &rig.cloud.received[..2];
        assert!(old.iter().all(|body| body["od"] == 1 && body.get("mt").is_some() == (stored == Legacy)));
        assert_eq!(values(&rig.cloud.arrivals), [1, 2]);
    }
}

#[test]
fn a_row_keeps_the_template_code_it_was_made_under() {
    let mut rig = booted(|rig| {
        speak(rig, V21);
        rig.config.batch = Some(BATCH);
        rig.network(false);
    });
    let entry = |n: u8| {
        format!(
            r#"{{"dt":"2026-11-23T00:00:00.000Z","d":[{{"id":"GW","dt":"2026-11-23T00:00:00.000Z","tg":"","d":{{"n":{n}}}}}]}}"#
        )
    };
    for (kind, row) in [
        (6, format!("OLD\n{}", entry(1))),
        (6, format!("OLD\n{}", entry(2))),
        (6, format!("XG4E2CA\n{}", entry(3))),
        // Keys in another order: of another make, and sent as it is.
        (
            6,
            r#"OLD
{"d":[{"dt":"2026-11-23T00:00:00.000Z","d":{"n":4}}],"dt":"x"}"#
                .to_owned(),
        ),
        (9, format!("OLD\n{}", entry(5))),
        // No code at all.
        (7, entry(6)),
    ] {
        rig.put_row(kind, &row);
    }
    rig.crash();
    rig.network(true);
    rig.pass(60 * SECOND);
    let sent: Vec<_> = published(&rig)
        .iter()
        .map(|(topic, body)| ((*topic).to_owned(), body["d"].as_array().unwrap().len()))
        .collect();
    let off = |code| topic(code, "mt=4");
    assert_eq!(sent[0], (off("OLD"), 1), "the rule match");
    assert_eq!(sent[1..], [(off("OLD"), 2), (off("XG4E2CA"), 1), (off("OLD"), 1), (off(""), 1)]);
    assert_eq!(values(&rig.cloud.arrivals), [5, 1, 2, 3, 4, 6]);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn acknowledgements_go_where_their_protocol_wants_them() {
    let legacy =
        r#"{"cpId":"CP","uniqueId":"GW","t":"t","mt":5,"d":{"ackId":"a","st":6,"msg":"","childId":""},"sdk":{}}"#;
    let v21 = r#"{"dt":"t","d":{"ack":"b","type":0,"st":2,"msg":""}}"#;
    for version in [Legacy, V21] {
        let mut rig = booted(|rig| {
            speak(rig, version);
            rig.disk.acks.insert(1, (legacy.into(), true));
            rig.disk.acks.insert(2, (v21.into(), true));
        });
        rig.pass(10 * SECOND);
        let [(legacy_topic, legacy_ack), (v21_topic, v21_ack)] = published(&rig)[..] else { panic!("two of them") };
        assert_eq!(legacy_topic, EVENTS);
        assert_eq!(v21_topic, topic(if version == V21 { "XG4E2CA" } else { "" }, "mt=6"));
        assert_eq!((&legacy_ack["od"], v21_ack.get("od")), (&json!(1), None));
        assert!(rig.disk.acks.is_empty());
    }
}

#[test]
fn strange_rows_of_2_1_hold_nothing_back() {
    let mut rig = booted(|rig| {
        speak(rig, V21);
        rig.network(false);
    });
    let long = "C".repeat(10_000);
    for row in ["\n{}", "{}", &format!("{long}\n{{}}"), "A\n{\"d\":[]}", "A\n{\"d\":[],\"dt\":7}"] {
        for kind in 4..=9 {
            // The rig's hub reads JSON.
            if row.starts_with(['{', '\n', 'A']) && (kind > 5 || row.starts_with('{')) {
                rig.put_row(kind, row);
            }
        }
    }
    rig.crash();
    rig.network(true);
    rig.pass(60 * SECOND);
    offer(&mut rig, 1..2);
    rig.pass(SECOND);
    assert!(values(&rig.cloud.arrivals).contains(&1));
}
