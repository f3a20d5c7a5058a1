use crate::c2d::{AckKind, CloudMessage, Command, Control, OtaFile, Part};
use crate::v21::messages::Question;
use crate::version::Version;

fn read(body: &str) -> CloudMessage {
    CloudMessage::parse(Version::V21, body.as_bytes())
}

fn command(text: &str, unique_id: Option<&str>, ack_id: Option<&str>) -> CloudMessage {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    CloudMessage::Command(Command {
        text: text.into(),
        unique_id: owned(unique_id),
        ack_id: owned(ack_id),
        ack_wanted: ack_id.is_some(),
    })
}

#[test]
fn a_command_is_read_whatever_its_version_looks_like() {
    for v in [r#""v":"2.1","#, r#""v":2.1,"#, r#""v":null,"#, ""] {
        let body = format!(r#"{{{v}"ct":0,"cmd":"test enabled","ack":"ABCDEFG"}}"#);
        assert_eq!(read(&body), command("test enabled", None, Some("ABCDEFG")), "{body}");
    }
    assert_eq!(read(r#"{"data":{"ct":0,"cmd":"x"},"d":{}}"#), command("x", None, None), "wrapped");
    assert_eq!(
        read(r#"{"v":2.1,"ct":0,"cmd":"reboot","ack":"a","id":"C1"}"#),
        command("reboot", Some("C1"), Some("a"))
    );
    for ack in ["", r#","ack":null"#, r#","ack":"""#] {
        assert_eq!(read(&format!(r#"{{"ct":0,"cmd":"x"{ack}}}"#)), command("x", None, None), "{ack}: none wanted");
    }
}

#[test]
fn a_command_without_text_is_answered_if_it_can_be() {
    for cmd in ["", r#","cmd":null"#, r#","cmd":"""#, r#","cmd":5"#] {
        assert!(matches!(
            read(&format!(r#"{{"ct":0,"ack":"a"{cmd}}}"#)),
            CloudMessage::Unusable { ack_id, kind: AckKind::Command, .. } if ack_id == "a"
        ));
        assert!(matches!(read(&format!(r#"{{"ct":0{cmd}}}"#)), CloudMessage::NotUnderstood(_)));
    }
}

#[test]
fn an_update_of_two_files_is_read() {
    let body = r#"{"v":"2.1","ct":1,"cmd":"ota","ack":"c6c9","sw":"1.5","hw":"1","urls":[{"url":"https://x/1?s=1","fileName":"file1.bin"},{"url":"https://x/2","fileName":"file2.bin","tg":"c"}]}"#;
    let CloudMessage::Ota(ota) = read(body) else { panic!("no update") };
    assert_eq!(
        (ota.text.as_str(), ota.ack_id.as_deref(), ota.software.as_str(), ota.hardware.as_str()),
        ("ota", Some("c6c9"), "1.5", "1")
    );
    let file = |url: &str, name: &str, tag: Option<&str>| OtaFile {
        url: url.into(),
        name: Some(name.into()),
        tag: tag.map(Into::into),
        unique_id: None,
    };
    assert_eq!(ota.files, [file("https://x/1?s=1", "file1.bin", None), file("https://x/2", "file2.bin", Some("c"))]);
    let CloudMessage::Ota(ota) = read(r#"{"ct":1,"ack":"a","urls":[{"url":"u"}]}"#) else { panic!("no update") };
    assert_eq!(ota.text, "ota", "the template may leave it out");
}

#[test]
fn an_update_that_lacks_something_is_answered_if_it_can_be() {
    for urls in [
        "",
        r#","urls":null"#,
        r#","urls":[]"#,
        r#","urls":[{}]"#,
        r#","urls":["https://x/y"]"#,
        r#","urls":[{"url":"","fileName":"f"}]"#,
        r#","urls":[{"url":"u","fileName":""}]"#,
    ] {
        let body = format!(r#"{{"ct":1,"cmd":"ota","ack":"a"{urls}}}"#);
        assert!(
            matches!(read(&body), CloudMessage::Unusable { ack_id, kind: AckKind::Ota, .. } if ack_id == "a"),
            "{body}"
        );
    }
    let body = r#"{"ct":1,"cmd":"ota","urls":[{"url":"u","fileName":"f"}]}"#;
    assert!(matches!(read(body), CloudMessage::NotUnderstood(_)), "no ack id");
}

#[test]
fn every_control_message_is_read() {
    for (body, control) in [
        (r#"{"v":2.1,"ct":101}"#, Control::Refresh(Part::Attributes)),
        (r#"{"v":2.1,"ct":102}"#, Control::Refresh(Part::Settings)),
        (r#"{"v":2.1,"ct":103}"#, Control::Refresh(Part::Rules)),
        (r#"{"v":2.1,"ct":104}"#, Control::Refresh(Part::Devices)),
        (r#"{"v":2.1,"ct":105,"df":7}"#, Control::Frequency(7)),
        (r#"{"v":2.1,"ct":105,"df":"0"}"#, Control::Frequency(0)),
        (r#"{"v":2.1,"ct":106}"#, Control::HardStop("device deleted (106)".into())),
        (r#"{"v":2.1,"ct":107}"#, Control::HardStop("device disabled (107)".into())),
        (r#"{"v":2.1,"ct":108}"#, Control::HardStop("device released (108)".into())),
        (r#"{"v":2.1,"ct":109}"#, Control::HardStop("stop (109)".into())),
        (r#"{"v":2.1,"ct":110,"f":60}"#, Control::StartHeartbeat(60)),
        (r#"{"v":2.1,"ct":110,"f":1e300}"#, Control::StartHeartbeat(u32::MAX.into())),
        (r#"{"v":2.1,"ct":111}"#, Control::StopHeartbeat),
    ] {
        assert_eq!(read(body), CloudMessage::Control(control), "{body}");
    }
}

#[test]
fn what_changed_is_asked_for_alone() {
    for (ct, mt) in [(101, 201), (102, 202), (103, 203), (104, 204)] {
        let CloudMessage::Control(Control::Refresh(part)) = read(&format!(r#"{{"v":2.1,"ct":{ct}}}"#)) else {
            panic!("{ct}")
        };
        assert_eq!(Question::Part(part).body(), format!(r#"{{"mt":{mt}}}"#));
    }
}

#[test]
fn modules_and_unused_types_are_told_apart() {
    assert_eq!(
        read(r#"{"v":2.1,"ct":2,"ack":"33","cmd":"m","urls":[]}"#),
        CloudMessage::Module { ack_id: Some("33".into()) }
    );
    assert_eq!(read(r#"{"v":2.1,"ct":2}"#), CloudMessage::Module { ack_id: None });
    assert_eq!(read(r#"{"ct":"resetpwd"}"#), CloudMessage::Other("resetpwd".into()));
    for number in [3_i64, 100, 112, 113, 114, 115, 116, 999, -1] {
        assert_eq!(read(&format!(r#"{{"v":2.1,"ct":{number}}}"#)), CloudMessage::Other(format!("ct {number}")));
    }
}

#[test]
fn what_is_no_message_is_said() {
    for body in [
        "not json",
        "[]",
        "{}",
        r#"{"v":2.1}"#,
        r#"{"ct":null}"#,
        r#"{"ct":1.5}"#,
        r#"{"ct":105}"#,
        r#"{"ct":105,"df":-3}"#,
        r#"{"ct":110}"#,
        r#"{"ct":110,"f":0}"#,
        r#"{"cmdType":"0x01","data":{"command":"x"}}"#,
        r#"{"d":{}}"#,
    ] {
        assert!(matches!(read(body), CloudMessage::NotUnderstood(_)), "{body}");
    }
}
