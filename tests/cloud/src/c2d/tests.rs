use std::collections::BTreeSet;

use super::*;
use crate::template::{Attribute, Child};

const TO: Address<'static> = Address { cpid: "CP", unique_id: "GW" };

fn firmware(files: Vec<FirmwareFile>, plain_urls: bool) -> CloudMessage {
    let (software, hardware, ack_id) = ("1.5".to_owned(), "1".to_owned(), "f-1".to_owned());
    CloudMessage::Firmware(Firmware { software, hardware, ack_id, files, plain_urls })
}

fn file(url: &str, tag: Option<&str>, child: Option<&str>) -> FirmwareFile {
    FirmwareFile { url: url.to_owned(), name: None, tag: tag.map(str::to_owned), child: child.map(str::to_owned) }
}

/// One of each.
fn all() -> Vec<CloudMessage> {
    vec![
        CloudMessage::command("reboot now", "a-1"),
        firmware(vec![file("https://x/y.bin?sig=1", Some("gw"), None)], false),
        CloudMessage::Module { ack_id: "33".to_owned() },
        CloudMessage::AttributesChanged,
        CloudMessage::SettingsChanged,
        CloudMessage::RulesChanged,
        CloudMessage::ChildrenChanged,
        CloudMessage::ProtocolChanged,
        CloudMessage::ResetPassword,
        CloudMessage::FullSync,
        CloudMessage::CertificateChanged,
        CloudMessage::ConnectionStatus,
        CloudMessage::DataFrequency { seconds: 7 },
        CloudMessage::Stop,
        CloudMessage::Deleted,
        CloudMessage::Disabled,
        CloudMessage::Released,
        CloudMessage::StartHeartbeat { seconds: 60 },
        CloudMessage::StopHeartbeat,
        CloudMessage::SdkLog,
        CloudMessage::SkipValidation,
        CloudMessage::SendLog,
        CloudMessage::DeleteRequest,
        CloudMessage::Unknown { kind: "0x55".to_owned() },
    ]
}

#[test]
fn every_row_of_both_tables_can_be_sent() {
    for (protocol, dialect, rows) in [
        (Protocol::Legacy, Dialect::Legacy, &LEGACY_ROWS[..]),
        (Protocol::V21, Dialect::V21, &V21_ROWS[..]),
        (Protocol::V21, Dialect::V21Number, &V21_ROWS[..]),
    ] {
        let mut sent = BTreeSet::new();
        for message in all() {
            match (message.row(protocol), message.body(dialect, &TO)) {
                (Some(row), Ok(body)) => {
                    sent.insert(row);
                    if dialect == Dialect::Legacy {
                        assert!(body["data"].is_object(), "{body}");
                    } else {
                        assert_eq!((body["ct"].to_string().as_str(), body.get("d")), (row, None), "{body}");
                    }
                }
                (None, Err(_)) => {}
                (row, body) => panic!("{message:?}: {row:?} {body:?}"),
            }
        }
        assert_eq!(sent, rows.iter().copied().collect());
        assert_eq!(rows.len(), sent.len());
    }
}

#[test]
fn messages_have_the_forms_of_the_captures() {
    let cases = [
        (
            CloudMessage::command("routine parameter", "a-1"),
            Dialect::Legacy,
            json!({"cmdType": "0x01", "data": {
                "cpid": "CP", "guid": "a4bf6a2e-5b0e-4e67-9c0e-2f0f5f1c7a10", "uniqueId": "GW",
                "command": "routine parameter", "ack": true, "ackId": "a-1", "cmdType": "0x01"
            }}),
        ),
        (
            firmware(
                vec![file("https://x/y.bin", Some("gw"), None), file("https://x/z.bin", Some("c"), Some("C1"))],
                false,
            ),
            Dialect::Legacy,
            json!({"cmdType": "0x02", "data": {
                "cpid": "CP", "guid": "a4bf6a2e-5b0e-4e67-9c0e-2f0f5f1c7a10", "uniqueId": "GW", "command": "ota",
                "ack": false, "ackId": "f-1", "cmdType": "0x02", "ver": {"sw": "1.5", "hw": "1"},
                "urls": [{"url": "https://x/y.bin", "tag": "gw"}, {"url": "https://x/z.bin", "tag": "c", "uniqueId": "C1"}]
            }}),
        ),
        (
            firmware(vec![file("https://x/y.bin", None, None)], true),
            Dialect::Legacy,
            json!({"cmdType": "0x02", "data": {
                "cpid": "CP", "guid": "a4bf6a2e-5b0e-4e67-9c0e-2f0f5f1c7a10", "uniqueId": "GW",
                "command": "ota https://x/y.bin", "ack": false, "ackId": "f-1", "cmdType": "0x02",
                "ver": {"sw": "1.5", "hw": "1"}, "urls": ["https://x/y.bin"]
            }}),
        ),
        (CloudMessage::DataFrequency { seconds: 30 }, Dialect::Legacy, json!({"cmdType": "0x17", "data": {"df": 30}})),
        (CloudMessage::ResetPassword, Dialect::Legacy, json!({"cmdType": "resetpwd", "data": {}})),
        (
            CloudMessage::child_command("C1", "reboot", "a-2"),
            Dialect::V21Number,
            json!({"v": 2.1, "ct": 0, "cmd": "reboot", "ack": "a-2", "id": "C1"}),
        ),
        (
            CloudMessage::command_without_ack("reboot", "a-3"),
            Dialect::V21,
            json!({"v": "2.1", "ct": 0, "cmd": "reboot"}),
        ),
        (
            firmware(
                vec![file("https://x/a/y.bin?sig=1/2", None, None), file("https://x/z.bin", Some("c"), None)],
                false,
            ),
            Dialect::V21,
            json!({"v": "2.1", "ct": 1, "cmd": "ota", "ack": "f-1", "sw": "1.5", "hw": "1", "urls": [
                {"url": "https://x/a/y.bin?sig=1/2", "fileName": "y.bin"},
                {"url": "https://x/z.bin", "fileName": "z.bin", "tg": "c"}
            ]}),
        ),
        (
            CloudMessage::Module { ack_id: "33".to_owned() },
            Dialect::V21Number,
            json!({"v": 2.1, "ct": 2, "ack": "33", "cmd": "m", "urls": []}),
        ),
        (CloudMessage::DataFrequency { seconds: 7 }, Dialect::V21Number, json!({"v": 2.1, "ct": 105, "df": 7})),
        (CloudMessage::StartHeartbeat { seconds: 60 }, Dialect::V21, json!({"v": "2.1", "ct": 110, "f": 60})),
        (CloudMessage::Unknown { kind: "999".to_owned() }, Dialect::V21, json!({"v": "2.1", "ct": 999})),
    ];
    for (message, dialect, expected) in cases {
        match message.body(dialect, &TO) {
            Ok(body) => assert_eq!(body, expected),
            Err(error) => panic!("{message:?}: {error}"),
        }
    }
}

#[test]
fn a_firmware_update_is_owed_one_ack_by_each_device_it_is_for() {
    let child = |id: &str, tag: &str| Child { id: id.to_owned(), tag: tag.to_owned() };
    let template = Template {
        tag: "gw".to_owned(),
        attributes: vec![Attribute::number("temp").tag("c")],
        children: vec![child("C1", "c"), child("C2", "c"), child("V1", "v")],
        ..Template::default()
    };
    let owed = |files| -> Vec<Option<String>> {
        let owed = firmware(files, false).owed(Protocol::Legacy, "GW", &template);
        assert!(owed.iter().all(|owed| owed.ack_id == "f-1" && owed.kind == AckKind::Firmware));
        owed.into_iter().map(|owed| owed.child).collect()
    };
    let some = |id: &str| Some(id.to_owned());
    assert_eq!(owed(vec![file("u", None, None)]), [None]);
    assert_eq!(owed(vec![file("u", Some(""), None)]), [None]);
    assert_eq!(owed(vec![file("u", Some("c"), None), file("u2", Some("c"), None)]), [some("C1"), some("C2")]);
    assert_eq!(owed(vec![file("u", Some("gw"), None), file("u", Some("c"), Some("C1"))]), [None, some("C1")]);
    assert_eq!(owed(vec![file("u", Some("gw"), Some("GW")), file("u", Some("v"), None)]), [None, some("V1")]);
}

#[test]
fn only_what_wants_an_ack_is_owed_one() {
    let owed = |message: CloudMessage, protocol| message.owed(protocol, "GW", &Template::default());
    assert_eq!(owed(CloudMessage::command_without_ack("x", "a"), Protocol::Legacy), []);
    assert_eq!(owed(CloudMessage::Stop, Protocol::Legacy), []);
    for (protocol, child) in [(Protocol::Legacy, None), (Protocol::V21, Some("C1".to_owned()))] {
        let command = owed(CloudMessage::child_command("C1", "x", "a"), protocol);
        assert_eq!(command, [Owed { ack_id: "a".to_owned(), child, kind: AckKind::Command }]);
    }
    let kinds = [(Protocol::Legacy, AckKind::Command), (Protocol::V21, AckKind::Module)];
    for (protocol, kind) in kinds {
        let module = owed(CloudMessage::Module { ack_id: "m".to_owned() }, protocol);
        assert_eq!(module, [Owed { ack_id: "m".to_owned(), child: None, kind }]);
    }
}
