use proptest::prelude::*;

use super::*;

#[test]
fn the_live_capture_of_a_command_is_read() {
    let body = br#"{"cmdType":"0x01","data":{"cpid":"avtds","guid":"a4bf","uniqueId":"justatoken","command":"routine parameter","ack":true,"ackId":"aaaf","cmdType":"0x01"}}"#;
    let CloudMessage::Command(command) = CloudMessage::parse(Version::Legacy, body) else { panic!("not a command") };
    assert_eq!(command.text, "routine parameter");
    assert_eq!(command.ack_id.as_deref(), Some("aaaf"));
    assert!(command.ack_wanted);
    assert_eq!(command.child("avtds", "justatoken"), None);
    assert_eq!(command.child("avtds", "gateway"), Some("justatoken"));
}

#[test]
fn an_ack_that_nobody_wants_still_has_its_id() {
    let body = br#"{"cmdType":"0x01","data":{"command":"x","ack":false,"ackId":"aaaf"}}"#;
    let CloudMessage::Command(command) = CloudMessage::parse(Version::Legacy, body) else { panic!("not a command") };
    assert_eq!((command.ack_id.as_deref(), command.ack_wanted), (Some("aaaf"), false));
}

#[test]
fn both_spellings_of_the_device_are_the_device() {
    let addressed =
        |id: &str| Command { text: "x".into(), unique_id: Some(id.into()), ack_id: None, ack_wanted: false };
    assert_eq!(addressed("GW").child("CP", "GW"), None);
    assert_eq!(addressed("CP-GW").child("CP", "GW"), None);
    assert_eq!(addressed("CP-C1").child("CP", "GW"), Some("C1"));
    assert_eq!(addressed("C1").child("CP", "GW"), Some("C1"));
}

#[test]
fn what_is_no_command_is_said() {
    for body in [
        "not json",
        "[]",
        "{}",
        r#"{"cmdType":1}"#,
        r#"{"cmdType":"0x01"}"#,
        r#"{"cmdType":"0x01","data":{"command":""}}"#,
        r#"{"cmdType":"0x01","data":{"command":5}}"#,
    ] {
        assert!(matches!(CloudMessage::parse(Version::Legacy, body.as_bytes()), CloudMessage::NotUnderstood(_)), "{body}");
    }
    assert_eq!(CloudMessage::parse(Version::Legacy, br#"{"cmdType":"0x10","data":{}}"#), CloudMessage::Other("0x10".into()));
    assert_eq!(CloudMessage::parse(Version::Legacy, br#"{"cmdType":"resetpwd"}"#), CloudMessage::Other("resetpwd".into()));
}

#[test]
fn an_unusable_command_can_still_be_answered() {
    let long = "x".repeat(COMMAND_BYTES_MAX + 1);
    for text in ["", &long] {
        let body = format!(r#"{{"cmdType":"0x01","data":{{"command":"{text}","ack":true,"ackId":"a"}}}}"#);
        assert!(matches!(CloudMessage::parse(Version::Legacy, body.as_bytes()), CloudMessage::Unusable { ack_id, .. } if ack_id == "a"));
    }
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = CloudMessage::parse(Version::Legacy, &body);
    }
}
