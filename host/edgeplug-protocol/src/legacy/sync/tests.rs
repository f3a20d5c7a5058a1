use proptest::prelude::*;

use super::*;
use crate::definition::{DATA_FREQUENCY_DEFAULT_S, Rounding};
use crate::model::{self, DeviceModel};
use crate::template::Attribute;

/// A gateway with a child, every member present.
const GATEWAY: &str = r#"{"d":{
 "sc":{"hb":{"fq":10,"h":"","un":"","pwd":"","pub":""},"log":{"h":"","un":"","pwd":"","pub":""},"sf":5,"df":30},
 "p":{"n":"mqtt","h":"poc-hub.azure-devices.net","p":8883,"id":"CP-GW",
      "un":"poc-hub.azure-devices.net/CP-GW/?api-version=2018-06-30","pwd":"",
      "pub":"devices/CP-GW/messages/events/","sub":"devices/CP-GW/messages/devicebound/#"},
 "d":[{"tg":"gw","id":"GW","s":0},{"tg":"c","id":"C1","s":0}],
 "att":[{"p":"","dt":null,"agt":0,"tw":"","tg":"","d":[
           {"ln":"temp","dt":0,"dv":"1to15","tg":"gw","sq":1,"agt":63,"tw":"10s"},
           {"ln":"color","dt":1,"dv":"red, gray,   blue","tg":"c","sq":2,"agt":0,"tw":""}]},
        {"p":"gyro","dt":2,"agt":63,"tw":"1m","tg":"c","d":[
           {"ln":"x","dt":0,"dv":"-3to3","tg":"c","sq":1,"agt":63,"tw":"1m"}]}],
 "set":[{"ln":"fan","dt":0,"dv":"0to5"}],
 "r":[{"g":"R1","es":"E1","con":"gw#temp > 20 AND gw#temp < 30","att":[{"g":["A1"]}],"cmd":"reboot"}],
 "ota":{"force":false,"guid":"87E9","urls":["https://x/fw.bin?sig=1"],"ver":{"sw":"01.00.00","hw":"1.0"}},
 "dtg":"891ed197-9621-44ea-819c-e7b2d40afafe","cpId":"CP","rc":0,"ee":0,"at":4,"ds":0}}"#;

fn nothing(place: Place) -> Update {
    Update::LeftOut(place, vec![])
}

fn with(pointer: &str, value: Value) -> Value {
    let mut body: Value = serde_json::from_str(GATEWAY).unwrap();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[member.parse::<usize>().unwrap()] = value,
        other => other[member] = value,
    }
    body
}

fn ready(body: &Value) -> Definition {
    match SyncReply::parse(200, body.to_string().as_bytes()) {
        Ok(SyncReply::Ready(definition)) => *definition,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn the_request_asks_for_everything_or_for_one_thing() {
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&request_body("CP", "GW", &SyncOption::ALL)).unwrap(),
        json!({"uniqueId": "GW", "cpId": "CP", "option": {"attribute": true, "setting": true, "protocol": true, "device": true, "sdkConfig": true, "rule": true}})
    );
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&request_body("CP", "GW", &[SyncOption::Attribute])).unwrap(),
        json!({"uniqueId": "GW", "cpId": "CP", "option": {"attribute": true}})
    );
}

#[test]
fn every_member_of_a_full_reply_is_read() {
    let Ok(SyncReply::Ready(sync)) = SyncReply::parse(200, GATEWAY.as_bytes()) else { panic!("not ready") };
    assert_eq!((sync.auth, sync.edge, sync.frequency_s), (AuthType::Tpm, false, 30));
    assert_eq!(sync.hub.host, "poc-hub.azure-devices.net");
    assert_eq!(sync.hub.port, 8883);
    assert_eq!(sync.hub.client_id, "CP-GW");
    assert_eq!(sync.hub.user_name, "poc-hub.azure-devices.net/CP-GW/?api-version=2018-06-30");
    assert_eq!(sync.hub.topics.report, "devices/CP-GW/messages/events/");
    assert_eq!(sync.hub.topics.devicebound, "devices/CP-GW/messages/devicebound/#");
    let template = sync.template(&Rounding::new());
    assert_eq!(template.id, "891ed197-9621-44ea-819c-e7b2d40afafe");
    assert_eq!(template.cpid, "CP");
    assert_eq!(template.devices.len(), 2);
    assert!(matches!(template.attributes("gw").and_then(|names| names.get("temp")), Some(Attribute::Scalar(_))));
    assert!(template.attributes("c").and_then(|names| names.get("temp")).is_none());
    assert!(
        matches!(template.attributes("c").and_then(|names| names.get("gyro")), Some(Attribute::Object(children)) if children.contains_key("x"))
    );
    assert_eq!(sync.settings[0].name, "fan");
    assert_eq!(sync.rules[0].command.as_deref(), Some("reboot"));
    assert!(sync.pending_ota.is_some());
}

#[test]
fn plugins_see_the_reply_without_its_envelope() {
    let Ok(SyncReply::Ready(sync)) = SyncReply::parse(200, GATEWAY.as_bytes()) else { panic!("not ready") };
    let attribute = |name: &str, kind, validity: &str, tag: &str, members| model::Attribute {
        name: name.into(),
        kind,
        validity: validity.into(),
        tag: tag.into(),
        members,
    };
    let x = model::Member { name: "x".into(), kind: model::Kind::Number, validity: "-3to3".into() };
    let expected = DeviceModel {
        attributes: vec![
            attribute("temp", model::Kind::Number, "1to15", "gw", vec![]),
            attribute("color", model::Kind::Text, "red, gray,   blue", "c", vec![]),
            attribute("gyro", model::Kind::Object, "", "c", vec![x]),
        ],
        children: vec![model::Child { unique_id: "C1".into(), tag: "c".into() }],
        settings: vec![model::Setting { name: "fan".into(), kind: model::Kind::Number, validity: "0to5".into() }],
        frequency_s: 30,
        edge: false,
    };
    assert_eq!(sync.model(), expected);
}

#[test]
fn numbers_past_what_plugins_see_are_cut_to_the_largest() {
    let endless = GATEWAY.replace(r#""df":30"#, r#""df":99999999999"#).replace(r#""ee":0"#, r#""ee":1"#);
    let Ok(SyncReply::Ready(sync)) = SyncReply::parse(200, endless.as_bytes()) else { panic!("not ready") };
    assert_eq!((sync.model().frequency_s, sync.model().edge), (u32::MAX, true));
}

#[test]
fn a_topic_that_cannot_be_published_to_is_not_taken() {
    let wild = GATEWAY.replace("messages/events/\"", "messages/+/\"");
    let Ok(SyncReply::Ready(sync)) = SyncReply::parse(200, wild.as_bytes()) else { panic!("not ready") };
    assert_eq!(sync.hub.topics.report, "devices/CP-GW/messages/events/");
    let wild = GATEWAY.replace("\"id\":\"CP-GW\"", "\"id\":\"#\"");
    assert!(matches!(SyncReply::parse(200, wild.as_bytes()), Err(SyncError::Malformed(_))));
}

#[test]
fn null_lists_are_empty_lists() {
    let reply = r#"{"d":{"sc":{"df":30},"p":{"n":"mqtt","h":"h","p":8883,"id":"i","un":"u","pwd":"","pub":"p/","sub":"s"},"d":null,"att":null,"set":null,"r":null,"ota":null,"dtg":"891ed197","cpId":"CP","rc":0,"ee":0,"at":2,"ds":0}}"#;
    let Ok(SyncReply::Ready(sync)) = SyncReply::parse(200, reply.as_bytes()) else { panic!("not ready") };
    assert_eq!((sync.devices.len(), sync.groups.len(), sync.settings.len(), sync.rules.len()), (0, 0, 0, 0));
    assert_eq!(sync.auth, AuthType::Certificate);
}

#[test]
fn a_device_that_is_not_found_is_an_error_not_a_crash() {
    let reply = r#"{"d":{"sc":null,"p":null,"d":null,"att":null,"set":null,"r":null,"ota":null,"dtg":"00000000-0000-0000-0000-000000000000","cpId":null,"rc":3,"ee":0,"at":0,"ds":3}}"#;
    assert_eq!(SyncReply::parse(200, reply.as_bytes()), Err(SyncError::DeviceNotFound));
}

#[test]
fn a_tpm_device_is_judged_by_ds_and_the_others_by_rc() {
    let code = |at: u8, rc: u8, ds: u8| {
        SyncReply::parse(200, format!(r#"{{"d":{{"rc":{rc},"ds":{ds},"at":{at}}}}}"#).as_bytes())
    };
    assert_eq!(code(4, 1, 1), Ok(SyncReply::NotRegistered));
    assert_eq!(code(4, 0, 1), Ok(SyncReply::NotRegistered));
    assert_eq!(code(4, 0, 4), Err(SyncError::DeviceInactive));
    assert_eq!(code(0, 1, 1), Err(SyncError::NotRegistered), "only a TPM device is to be registered");
    assert_eq!(code(5, 1, 1), Err(SyncError::NotRegistered));
    assert_eq!(code(5, 6, 0), Err(SyncError::CompanyNotFound));
    assert_eq!(code(5, 77, 0), Err(SyncError::UnknownCode(77)));
}

#[test]
fn refusals_and_nonsense_are_told_apart() {
    assert_eq!(SyncReply::parse(200, br#"{"status":401,"message":"nope"}"#), Err(SyncError::Refused("nope".into())));
    assert_eq!(SyncReply::parse(500, b""), Err(SyncError::Status(500)));
    for bad in [
        "not json",
        "[]",
        "{}",
        r#"{"d":{"rc":0,"at":4,"ds":0}}"#,
        r#"{"d":{"rc":0,"p":{"n":"http","h":"h","id":"i"}}}"#,
        r#"{"d":{"rc":0,"p":{"n":"mqtt","h":"a b","id":"i"}}}"#,
    ] {
        assert!(matches!(SyncReply::parse(200, bad.as_bytes()), Err(SyncError::Malformed(_))), "{bad}");
    }
}

#[test]
fn a_part_replaces_what_was_known_of_it_and_nothing_else() {
    let part = |option| parse_part(200, GATEWAY.as_bytes(), option).unwrap();
    let Ok(SyncReply::Ready(full)) = SyncReply::parse(200, GATEWAY.as_bytes()) else { panic!("not ready") };
    assert_eq!(part(SyncOption::Attribute), [Update::Attributes(full.groups.clone()), nothing(Place::Attributes)]);
    assert_eq!(part(SyncOption::Setting), [Update::Settings(full.settings.clone()), nothing(Place::Settings)]);
    assert_eq!(part(SyncOption::Device), [Update::Devices(full.devices.clone()), nothing(Place::Devices)]);
    assert_eq!(part(SyncOption::Rule), [Update::Rules(full.rules.clone()), nothing(Place::Rules)]);
    assert_eq!(part(SyncOption::SdkConfig), [Update::Frequency(30)]);
    assert_eq!(part(SyncOption::Protocol), [Update::Hub(Box::new(full.hub.clone()))]);

    let mut changed = (*full).clone();
    assert!(!changed.apply(part(SyncOption::Setting).remove(0)), "nothing new");
    let settings = r#"{"d":{"rc":0,"at":4,"ds":0,"set":[{"ln":"mode","dt":1,"dv":"on,off"}]}}"#;
    let updates = parse_part(200, settings.as_bytes(), SyncOption::Setting).unwrap();
    assert_eq!(updates.into_iter().map(|update| changed.apply(update)).collect::<Vec<_>>(), [true, false]);
    assert_eq!(changed.settings[0].name, "mode");
    assert_eq!(Definition { settings: full.settings.clone(), ..changed }, *full);
}

#[test]
fn a_part_that_is_null_is_empty_and_one_that_is_missing_is_unchanged() {
    let reply = r#"{"d":{"rc":0,"at":4,"ds":0,"att":null,"d":null,"p":null}}"#.as_bytes();
    assert_eq!(
        parse_part(200, reply, SyncOption::Attribute),
        Ok(vec![Update::Attributes(vec![]), nothing(Place::Attributes)])
    );
    assert_eq!(parse_part(200, reply, SyncOption::Device), Ok(vec![Update::Devices(vec![]), nothing(Place::Devices)]));
    assert_eq!(parse_part(200, reply, SyncOption::Rule), Ok(vec![]));
    assert!(matches!(parse_part(200, reply, SyncOption::Protocol), Err(SyncError::Malformed(_))));
}

#[test]
fn a_refused_part_is_an_error_for_a_tpm_device_too() {
    let reply = r#"{"d":{"sc":null,"p":null,"d":null,"att":null,"rc":4,"ee":0,"at":4,"ds":0}}"#;
    assert_eq!(parse_part(200, reply.as_bytes(), SyncOption::Attribute), Err(SyncError::DeviceInactive));
    let reply = reply.replace(r#""rc":4"#, r#""rc":1"#);
    assert_eq!(parse_part(200, reply.as_bytes(), SyncOption::Attribute), Err(SyncError::NotRegistered));
    assert_eq!(parse_part(503, b"", SyncOption::Attribute), Err(SyncError::Status(503)));
}

#[test]
fn every_part_that_changes_can_be_asked_for() {
    for (part, option) in [
        (Part::Attributes, Some(SyncOption::Attribute)),
        (Part::Settings, Some(SyncOption::Setting)),
        (Part::Rules, Some(SyncOption::Rule)),
        (Part::Devices, Some(SyncOption::Device)),
        (Part::Ota, None),
    ] {
        assert_eq!(SyncOption::of_part(part), option);
    }
}

#[test]
fn an_error_says_whether_asking_again_helps() {
    for (error, retry) in [
        (SyncError::Status(503), Retry::Soon),
        (SyncError::Status(404), Retry::Slow),
        (SyncError::DeviceNotFound, Retry::Slow),
        (SyncError::DeviceInactive, Retry::Slow),
        (SyncError::Moved, Retry::Soon),
        (SyncError::CompanyNotFound, Retry::Never),
        (SyncError::QuotaExhausted, Retry::Slow),
    ] {
        assert_eq!(error.retry(), retry, "{error}");
    }
}

#[test]
fn odd_spellings_of_a_definition_are_taken() {
    let odd = GATEWAY
        .replace(r#""dv":"1to15""#, r#""dv":5"#)
        .replace(r#""df":30"#, r#""df":-30"#)
        .replace(r#""dt":0,"dv":"-3to3""#, r#""dt":null,"dv":null"#);
    let Ok(SyncReply::Ready(sync)) = SyncReply::parse(200, odd.as_bytes()) else { panic!("not ready") };
    assert_eq!(sync.groups[0].attributes[0].validity, "5");
    assert_eq!(sync.groups[1].attributes[0].validity, "");
    assert_eq!(sync.frequency_s, DATA_FREQUENCY_DEFAULT_S);
}

#[test]
fn one_odd_member_leaves_the_rest_as_it_is() {
    let full = ready(&serde_json::from_str(GATEWAY).unwrap());
    assert_eq!(full.left_out, BTreeMap::new());
    let said = |place, reason: &str| BTreeMap::from([(place, vec![reason.to_owned()])]);
    let is_no_edge = said(Place::Device, "the edge flag is neither 0 nor 1, so this is no edge device");
    let no_frequency = said(Place::Device, "the data frequency (df) is no time, so 60 s are taken");
    let no_port = said(Place::Device, "the port (p.p) is no port number, so 8883 is used");
    let user_name = azure::hub::user_name(&full.hub.host, &full.hub.client_id);
    let usual_name = Hub { user_name, ..full.hub.clone() };
    for (pointer, odd, expected) in [
        (
            "/d/set",
            json!("x"),
            Definition { settings: vec![], left_out: said(Place::Settings, "set is no list"), ..full.clone() },
        ),
        ("/d/r", json!({}), Definition { rules: vec![], left_out: said(Place::Rules, "r is no list"), ..full.clone() }),
        (
            "/d/att",
            json!(true),
            Definition { groups: vec![], left_out: said(Place::Attributes, "att is no list"), ..full.clone() },
        ),
        (
            "/d/att/0",
            Value::Null,
            Definition {
                groups: full.groups[1..].to_vec(),
                left_out: said(Place::Attributes, "group 1 is no object"),
                ..full.clone()
            },
        ),
        ("/d/ee", json!("x"), Definition { left_out: is_no_edge.clone(), ..full.clone() }),
        ("/d/ee", json!(1.5), Definition { left_out: is_no_edge.clone(), ..full.clone() }),
        ("/d/ee", json!([]), Definition { left_out: is_no_edge, ..full.clone() }),
        ("/d/ee", json!(null), full.clone()),
        ("/d/ee", json!(false), full.clone()),
        ("/d/ee", json!(true), Definition { edge: true, ..full.clone() }),
        ("/d/ee", json!("1"), Definition { edge: true, ..full.clone() }),
        ("/d/sc", json!("x"), Definition { frequency_s: 60, ..full.clone() }),
        ("/d/sc", json!([]), Definition { frequency_s: 60, ..full.clone() }),
        ("/d/sc/df", json!({}), Definition { frequency_s: 60, left_out: no_frequency, ..full.clone() }),
        ("/d/at", json!("4"), full.clone()),
        ("/d/at", json!({}), Definition { auth: AuthType::Unknown(0), ..full.clone() }),
        ("/d/dtg", json!(7), Definition { template_id: "7".into(), ..full.clone() }),
        ("/d/cpId", json!([]), Definition { cpid: String::new(), ..full.clone() }),
        ("/d/p/n", json!(null), full.clone()),
        ("/d/p/n", json!(5), full.clone()),
        ("/d/p/p", json!("8883"), full.clone()),
        ("/d/p/p", json!("x"), Definition { left_out: no_port.clone(), ..full.clone() }),
        ("/d/p/p", json!(70_000), Definition { left_out: no_port, ..full.clone() }),
        ("/d/p/un", json!(5), Definition { hub: usual_name, ..full.clone() }),
        ("/d/p/sub", json!(5), full.clone()),
        ("/d/p/pub", json!({}), full.clone()),
    ] {
        assert_eq!(ready(&with(pointer, odd.clone())), expected, "{pointer} {odd}");
    }
}

#[test]
fn what_a_connection_needs_must_be_right() {
    for (pointer, odd) in [
        ("/d/rc", json!("x")),
        ("/d/p", json!([])),
        ("/d/p/h", json!(5)),
        ("/d/p/id", json!(null)),
        ("/d/p/n", json!("amqp")),
        ("/d/d", json!("x")),
        ("/d/d", json!([null, {"id": "C1", "tg": "c"}])),
    ] {
        let body = with(pointer, odd).to_string();
        assert!(matches!(SyncReply::parse(200, body.as_bytes()), Err(SyncError::Malformed(_))), "{body}");
    }
}

#[test]
fn a_part_of_another_shape_is_asked_again() {
    for (pointer, option) in [
        ("/d/att", SyncOption::Attribute),
        ("/d/set", SyncOption::Setting),
        ("/d/r", SyncOption::Rule),
        ("/d/d", SyncOption::Device),
        ("/d/p", SyncOption::Protocol),
    ] {
        let body = with(pointer, json!("x")).to_string();
        assert!(matches!(parse_part(200, body.as_bytes(), option), Err(SyncError::Malformed(_))), "{body}");
    }
    let body = with("/d/sc", json!("x")).to_string();
    assert_eq!(parse_part(200, body.as_bytes(), SyncOption::SdkConfig), Ok(vec![]));
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = SyncReply::parse(200, &body);
        let _ = parse_part(200, &body, SyncOption::Attribute);
    }
}
