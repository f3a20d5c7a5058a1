use crate::c2d::{AckKind, COMMAND_BYTES_MAX, CloudMessage, Command, Control, FILES_MAX, OtaFile, Part};
use crate::legacy::sync::{SyncOption, request_body};
use crate::version::Version;

fn read(body: &str) -> CloudMessage {
    CloudMessage::parse(Version::Legacy, body.as_bytes())
}

fn command(text: &str, unique_id: Option<&str>, ack_id: Option<&str>, ack_wanted: bool) -> CloudMessage {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    CloudMessage::Command(Command { text: text.into(), unique_id: owned(unique_id), ack_id: owned(ack_id), ack_wanted })
}

#[test]
fn the_live_capture_of_a_command_is_read() {
    let body = r#"{"cmdType":"0x01","data":{"cpid":"avtds","guid":"a4bf","uniqueId":"justatoken","command":"routine parameter","ack":true,"ackId":"aaaf","cmdType":"0x01"}}"#;
    assert_eq!(read(body), command("routine parameter", Some("justatoken"), Some("aaaf"), true));
}

#[test]
fn a_command_is_handed_on_whatever_it_holds() {
    for (data, expected) in [
        (r#"{"command":"x","ack":false,"ackId":"aaaf"}"#, command("x", None, Some("aaaf"), false)),
        (r#"{"command":"x","ack":"True","ackId":"aaaf"}"#, command("x", None, Some("aaaf"), true)),
        (r#"{"command":"x","ack":true,"ackId":7,"uniqueId":""}"#, command("x", None, Some("7"), true)),
        (r#"{"command":"x","ack":true,"ackId":null}"#, command("x", None, None, true)),
        (r#"{"command":"","ack":true,"ackId":"a"}"#, command("", None, Some("a"), true)),
        (r#"{"command":null}"#, command("", None, None, false)),
        (r#"{"command":5}"#, command("5", None, None, false)),
        (r#"{"command":{"led":1}}"#, command(r#"{"led":1}"#, None, None, false)),
        ("{}", command("", None, None, false)),
    ] {
        assert_eq!(read(&format!(r#"{{"cmdType":"0x01","data":{data}}}"#)), expected, "{data}");
    }
}

#[test]
fn an_endless_command_is_answered_if_an_answer_is_wanted() {
    let long = "x".repeat(COMMAND_BYTES_MAX + 1);
    let body = |ack: bool| format!(r#"{{"cmdType":"0x01","data":{{"command":"{long}","ack":{ack},"ackId":"a"}}}}"#);
    assert!(matches!(
        read(&body(true)),
        CloudMessage::Unusable { ack_id, kind: AckKind::Command, .. } if ack_id == "a"
    ));
    assert!(matches!(read(&body(false)), CloudMessage::NotUnderstood(_)));
    let body = format!(r#"{{"cmdType":"0x01","data":{{"command":"x","ack":true,"ackId":"a","uniqueId":"{long}"}}}}"#);
    assert!(matches!(read(&body), CloudMessage::Unusable { .. }));
    let body = format!(r#"{{"cmdType":"0x01","data":{{"command":"x","ack":true,"ackId":"{long}"}}}}"#);
    assert_eq!(read(&body), command("x", None, None, true), "an endless id is none");
}

#[test]
fn every_control_message_is_read_with_and_without_data() {
    for (kind, control) in [
        ("0x10", Control::Refresh(Part::Attributes)),
        ("0x11", Control::Refresh(Part::Settings)),
        ("0x12", Control::RefreshConnection),
        ("resetpwd", Control::RefreshConnection),
        ("0x13", Control::Refresh(Part::Devices)),
        ("0x15", Control::Refresh(Part::Rules)),
        ("sync", Control::RefreshAll),
        ("0x99", Control::HardStop("hard stop (0x99)".into())),
    ] {
        for data in [r#","data":{}"#, "", r#","data":null"#, r#","data":[1]"#] {
            let body = format!(r#"{{"cmdType":"{kind}"{data}}}"#);
            assert_eq!(read(&body), CloudMessage::Control(control.clone()), "{body}");
        }
    }
}

#[test]
fn what_changed_is_asked_for_alone() {
    for (kind, option) in [("0x10", "attribute"), ("0x11", "setting"), ("0x13", "device"), ("0x15", "rule")] {
        let CloudMessage::Control(Control::Refresh(part)) = read(&format!(r#"{{"cmdType":"{kind}","data":{{}}}}"#))
        else {
            panic!("{kind}")
        };
        let body: serde_json::Value =
            serde_json::from_str(&request_body("CP", "GW", &[SyncOption::of_part(part).unwrap()])).unwrap();
        assert_eq!(body, serde_json::json!({"uniqueId": "GW", "cpId": "CP", "option": {option: true}}));
    }
}

#[test]
fn a_new_data_frequency_is_read() {
    let frequency = |df: &str| read(&format!(r#"{{"cmdType":"0x17","data":{{"df":{df}}}}}"#));
    for (df, seconds) in
        [("30", 30), ("0", 0), (r#""45""#, 45), ("2.9", 2), ("99999999999999999999", u64::from(u32::MAX))]
    {
        assert_eq!(frequency(df), CloudMessage::Control(Control::Frequency(seconds)), "{df}");
    }
    for df in ["-1", "null", r#""soon""#, "[]", "true"] {
        assert!(matches!(frequency(df), CloudMessage::NotUnderstood(_)), "{df}");
    }
    assert!(matches!(read(r#"{"cmdType":"0x17"}"#), CloudMessage::NotUnderstood(_)));
}

#[test]
fn modules_and_unused_types_are_told_apart() {
    assert_eq!(
        read(r#"{"cmdType":"0x03","data":{"ack":true,"ackId":"m"}}"#),
        CloudMessage::Module { ack_id: Some("m".into()) }
    );
    assert_eq!(read(r#"{"cmdType":"0x03","data":{"ack":false,"ackId":"m"}}"#), CloudMessage::Module { ack_id: None });
    for kind in ["0x14", "0x16", "updatecrt", "0X01", "0x1", ""] {
        assert_eq!(read(&format!(r#"{{"cmdType":"{kind}","data":{{}}}}"#)), CloudMessage::Other(kind.into()));
    }
    assert_eq!(read(&format!(r#"{{"cmdType":"{}"}}"#, "y".repeat(900))), CloudMessage::Other("y".repeat(32)));
}

#[test]
fn what_is_no_message_is_said() {
    for body in [
        "not json",
        "",
        "[]",
        "5",
        "{}",
        r#"{"cmdType":1}"#,
        r#"{"cmdType":null}"#,
        r#"{"cmdType":"0x01"}"#,
        r#"{"cmdType":"0x02","data":"x"}"#,
        r#"{"cmdType":"0x03","data":null}"#,
    ] {
        assert!(matches!(read(body), CloudMessage::NotUnderstood(_)), "{body}");
    }
}

fn files(data: &str) -> Vec<OtaFile> {
    let body = format!(r#"{{"cmdType":"0x02","data":{data}}}"#);
    match read(&body) {
        CloudMessage::Ota(ota) => ota.files,
        other => panic!("{body}: {other:?}"),
    }
}

fn file(url: &str, tag: Option<&str>, unique_id: Option<&str>) -> OtaFile {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    OtaFile { url: url.into(), name: None, tag: owned(tag), unique_id: owned(unique_id) }
}

#[test]
fn the_live_form_of_an_update_wants_an_answer_although_it_says_no() {
    let body = r#"{"cmdType":"0x02","data":{"cpid":"avtds","guid":"g","uniqueId":"justatoken","command":"ota","ack":false,"ackId":"8a4510e3","cmdType":"0x02","ver":{"sw":"1.0","hw":"2.0"},"urls":[{"url":"https://x/y.bin?sig=1","tag":""}]}}"#;
    let CloudMessage::Ota(ota) = read(body) else { panic!("no update") };
    assert_eq!(
        (ota.text.as_str(), ota.ack_id.as_deref(), ota.software.as_str(), ota.hardware.as_str()),
        ("ota", Some("8a4510e3"), "1.0", "2.0")
    );
    assert_eq!(ota.files, [file("https://x/y.bin?sig=1", None, None)]);
}

#[test]
fn every_shape_of_an_update_is_read() {
    assert_eq!(
        files(r#"{"command":"ota https://x/f.bin","urls":["https://x/f.bin"]}"#),
        [file("https://x/f.bin", None, None)]
    );
    assert_eq!(files(r#"{"command":"ota https://x/f.bin"}"#), [file("https://x/f.bin", None, None)]);
    assert_eq!(files(r#"{"command":"ota https://x/f.bin","urls":null}"#), [file("https://x/f.bin", None, None)]);
    assert_eq!(
        files(
            r#"{"command":"ota","urls":[{"url":"https://x/y.bin?sig=1","tag":"gw"},{"url":"https://x/z.bin","tag":"c","uniqueId":"C1"}]}"#
        ),
        [file("https://x/y.bin?sig=1", Some("gw"), None), file("https://x/z.bin", Some("c"), Some("C1"))]
    );
    assert_eq!(
        files(r#"{"urls":[{"url":"u1","tag":"c1"},{"url":"u2","tag":"c1"},{"url":"u1","tag":"gw"}]}"#).len(),
        3,
        "addresses are judged when something is fetched"
    );
}

#[test]
fn an_update_without_files_is_answered_if_it_can_be() {
    let endless = format!(r#"[{}]"#, vec![r#""u""#; FILES_MAX + 1].join(","));
    let far = format!(r#"["https://x/{}"]"#, "y".repeat(9000));
    for urls in ["null", "[]", r#""https://x""#, "[5]", r#"[""]"#, r#"[{"url":""}]"#, r#"["u",{}]"#, &endless, &far] {
        let body = format!(r#"{{"cmdType":"0x02","data":{{"command":"ota","ackId":"a","ack":false,"urls":{urls}}}}}"#);
        assert!(
            matches!(read(&body), CloudMessage::Unusable { ack_id, kind: AckKind::Ota, .. } if ack_id == "a"),
            "{body}"
        );
    }
    assert!(matches!(read(r#"{"cmdType":"0x02","data":{"command":"ota"}}"#), CloudMessage::NotUnderstood(_)));
}
