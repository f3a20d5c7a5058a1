use serde_json::{Value, json};

use super::*;
use crate::template::Device;

const NOW: &str = "2026-11-23T03:32:00.000Z";

fn template(version: Version) -> Template {
    Template::new(version, "CP", "D", vec![Device { id: "GW".into(), tag: String::new() }])
}

fn encoded(version: Version, kind: AckKind, ack_id: &str, st: i64, msg: &str, child_id: Option<&str>) -> String {
    let ack = Ack { kind, ack_id, st, msg, child_id };
    encode(&template(version), &ack, &Sdk::new("M_PYTHON", "poc"), &Timestamp::parse(NOW).unwrap())
}

#[test]
fn legacy_acks_stand_as_the_old_sdk_wrote_them() {
    assert_eq!(
        encoded(Version::Legacy, AckKind::Command, "g-1", 6, "", None),
        r#"{"cpId":"CP","uniqueId":"GW","t":"2026-11-23T03:32:00.000Z","mt":5,"d":{"ackId":"g-1","st":6,"msg":"","childId":""},"sdk":{"l":"M_PYTHON","v":"2.0","e":"poc"}}"#
    );
    assert_eq!(
        encoded(Version::Legacy, AckKind::Ota, "g-2", 7, "OTA updated successfully..!!", Some("C1")),
        r#"{"cpId":"CP","uniqueId":"GW","t":"2026-11-23T03:32:00.000Z","mt":11,"d":{"ackId":"g-2","st":7,"msg":"OTA updated successfully..!!","childId":"C1"},"sdk":{"l":"M_PYTHON","v":"2.0","e":"poc"}}"#
    );
}

#[test]
fn acks_of_2_1_name_a_child_only_where_there_is_one() {
    for (kind, child, d) in [
        (AckKind::Command, None, json!({"ack": "a1", "type": 0, "st": 7, "msg": "ok"})),
        (AckKind::Ota, Some("C1"), json!({"ack": "a1", "type": 1, "st": 7, "msg": "ok", "cid": "C1"})),
        (AckKind::Module, None, json!({"ack": "a1", "type": 2, "st": 7, "msg": "ok"})),
    ] {
        let body: Value = serde_json::from_str(&encoded(Version::V21, kind, "a1", 7, "ok", child)).unwrap();
        assert_eq!(body, json!({"dt": NOW, "d": d}));
    }
}

#[test]
fn a_content_in_the_protocol_s_own_words_is_left_alone() {
    let sdk = Sdk::new("M_PYTHON", "poc");
    let now = Timestamp::parse(NOW).unwrap();
    let body = envelope(&template(Version::Legacy), AckKind::Command, json!({"ackId": "a", "st": 6}), &sdk, &now);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["mt"], &body["d"]), (&json!(5), &json!({"ackId": "a", "st": 6})));
}

#[test]
fn a_hostile_id_stays_a_text() {
    for version in [Version::Legacy, Version::V21] {
        let body: Value =
            serde_json::from_str(&encoded(version, AckKind::Command, "\",\"st\":6,\"\u{0}", 4, "\\", None)).unwrap();
        assert_eq!(body["d"]["st"], 4);
    }
}

#[test]
fn legacy_numbers_are_fixed_and_those_of_2_1_a_table() {
    let table = StatusTable::default();
    let number = |version, kind, status| table.number(version, kind, status);
    for (kind, status, legacy, v21) in [
        (AckKind::Command, Status::Done, 6, 2),
        (AckKind::Command, Status::Failed, 4, 1),
        (AckKind::Ota, Status::Done, 7, 3),
        (AckKind::Ota, Status::Failed, 4, 1),
        (AckKind::Ota, Status::Downloading, 4, 2),
        (AckKind::Ota, Status::DownloadFailed, 4, 4),
        (AckKind::Module, Status::Failed, 4, 1),
    ] {
        assert_eq!(number(Version::Legacy, kind, status), legacy, "{kind:?} {status:?}");
        assert_eq!(number(Version::V21, kind, status), v21, "{kind:?} {status:?}");
    }
}
