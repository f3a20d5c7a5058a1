use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::azure::hub;
use crate::definition::DATA_FREQUENCY_DEFAULT_S;

fn gateway() -> Value {
    let topic =
        |mt: &str| format!("devices/CP-GW/messages/events/cd=XG4E2CA&v=2.1&{mt}&$.ct=application%2Fjson&$.ce=utf-8");
    json!({"d": {
        "ec": 0, "ct": 200,
        "meta": {"at": 5, "df": 60, "cd": "XG4E2CA", "gtw": {"tg": "gw", "g": "8D1F-GUID"}, "edge": 0, "pf": 1, "hwv": "", "swv": "", "v": 2.1},
        "has": {"d": 1, "attr": 1, "set": 1, "r": 0, "ota": 0},
        "p": {"n": "mqtt", "h": "hub.azure-devices.net", "p": 8883, "id": "CP-GW",
            "un": "hub.azure-devices.net/CP-GW/?api-version=2018-06-30",
            "topics": {
                "rpt": topic("mt=0"), "erpt": topic("mt=1"), "erm": topic("mt=2"), "flt": topic("mt=3"), "od": topic("mt=4"),
                "hb": topic("mt=5"), "ack": topic("mt=6"), "dl": topic("mt=7"), "di": topic("di=1"),
                "c2d": "devices/CP-GW/messages/devicebound/#",
                "set": {"pub": "$iothub/twin/PATCH/properties/reported/?$rid={version}"}}},
        "dt": "2024-10-29T20:10:44.382Z"}, "status": 200, "message": "Device info loaded successfully."})
}

fn parse(body: &Value) -> Result<IdentityReply, IdentityError> {
    IdentityReply::parse(200, body.to_string().as_bytes(), "GW")
}

fn ready(body: &Value) -> (Definition, Has) {
    match parse(body) {
        Ok(IdentityReply::Ready { definition, has }) => (*definition, has),
        other => panic!("{other:?}"),
    }
}

fn without(pointer: &str, member: &str) -> Value {
    let mut body = gateway();
    body.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(member);
    body
}

fn with(pointer: &str, value: Value) -> Value {
    let mut body = gateway();
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

#[test]
fn a_gateway_is_told_where_to_connect_and_what_there_is() {
    let (definition, has) = ready(&gateway());
    assert_eq!((definition.version, definition.template_id.as_str()), (Version::V21, "XG4E2CA"));
    assert_eq!((definition.auth, definition.edge, definition.frequency_s), (AuthType::SymmetricKey, false, 60));
    assert_eq!(definition.gateway_guid.as_deref(), Some("8D1F-GUID"));
    assert_eq!(definition.devices, [Device { id: "GW".into(), tag: "gw".into() }]);
    assert_eq!(definition.hub.host, "hub.azure-devices.net");
    assert_eq!(definition.hub.client_id, "CP-GW");
    assert_eq!(definition.hub.user_name, "hub.azure-devices.net/CP-GW/?api-version=2018-06-30");
    assert_eq!(definition.hub.topics, Topics::v21("CP-GW", "XG4E2CA"));
    assert_eq!(has, Has { attributes: true, settings: true, rules: false, children: true, ota: false });
    let numbers: Vec<u16> = has.questions().map(|question| question.number()).collect();
    assert_eq!(numbers, [204, 201, 202]);
}

#[test]
fn what_is_null_or_missing_is_the_usual() {
    for body in [with("/d/meta/gtw", Value::Null), without("/d/meta", "gtw"), with("/d/meta/gtw", json!({"tg": null}))]
    {
        let (definition, _) = ready(&body);
        assert_eq!(definition.devices, [Device { id: "GW".into(), tag: String::new() }]);
        assert_eq!(definition.gateway_guid, None);
    }
    assert_eq!(ready(&without("/d", "has")).1, Has::default());
    assert_eq!(ready(&with("/d/has/r", json!(true))).1.questions().count(), 4);
    assert_eq!(ready(&without("/d/meta", "df")).0.frequency_s, DATA_FREQUENCY_DEFAULT_S);
    assert_eq!(ready(&with("/d/meta/df", json!(-5))).0.frequency_s, DATA_FREQUENCY_DEFAULT_S);
    assert_eq!(ready(&with("/d/meta/df", json!(0))).0.frequency_s, 0);
    assert!(ready(&with("/d/meta/edge", json!(1))).0.edge);
    let usual = Topics::v21("CP-GW", "XG4E2CA");
    assert_eq!(ready(&without("/d/p", "topics")).0.hub.topics, usual);
    assert_eq!(ready(&without("/d/p/topics", "erpt")).0.hub.topics, usual);
    assert_eq!(ready(&with("/d/p/topics/flt", json!("devices/+/x"))).0.hub.topics, usual);
    assert_eq!(ready(&without("/d/meta", "cd")).0.template_id, "XG4E2CA", "the topic says it too");
}

#[test]
fn one_odd_member_leaves_the_rest_as_it_is() {
    let (full, has) = ready(&gateway());
    assert_eq!(full.left_out, BTreeMap::new());
    let user_name = hub::user_name(&full.hub.host, &full.hub.client_id);
    let usual_name = Hub { user_name, ..full.hub.clone() };
    let own = |tag: &str| vec![Device { id: "GW".into(), tag: tag.into() }];
    for (pointer, odd, expected, is_said) in [
        ("/d/meta/edge", json!(true), Definition { edge: true, ..full.clone() }, false),
        ("/d/meta/edge", json!("1"), Definition { edge: true, ..full.clone() }, false),
        ("/d/meta/edge", json!("false"), full.clone(), false),
        ("/d/meta/edge", json!(1.5), full.clone(), true),
        ("/d/meta/edge", json!({}), full.clone(), true),
        ("/d/meta/df", json!("x"), full.clone(), true),
        ("/d/meta/at", json!("5"), full.clone(), false),
        ("/d/meta/at", json!([]), Definition { auth: AuthType::Unknown(0), ..full.clone() }, false),
        ("/d/meta/gtw", json!("x"), Definition { gateway_guid: None, devices: own(""), ..full.clone() }, true),
        ("/d/meta/gtw/tg", json!(5), Definition { devices: own("5"), ..full.clone() }, false),
        ("/d/meta/gtw/g", json!({}), Definition { gateway_guid: None, ..full.clone() }, false),
        ("/d/p/n", json!(null), full.clone(), false),
        ("/d/p/p", json!("x"), full.clone(), true),
        ("/d/p/un", json!([]), Definition { hub: usual_name, ..full.clone() }, false),
        ("/d/p/topics", json!("x"), full.clone(), false),
        ("/d/p/topics/rpt", json!(5), full.clone(), false),
    ] {
        let (definition, same_has) = ready(&with(pointer, odd.clone()));
        assert_eq!(definition.left_out.contains_key(&Place::Device), is_said, "{pointer} {odd}");
        assert_eq!(Definition { left_out: BTreeMap::new(), ..definition }, expected, "{pointer} {odd}");
        assert_eq!(same_has, has, "{pointer} {odd}");
    }
}

#[test]
fn what_there_is_comes_in_many_spellings() {
    for (said, there) in [
        (json!(true), true),
        (json!("1"), true),
        (json!("true"), true),
        (json!(5), true),
        (json!("x"), true),
        (json!(false), false),
        (json!("0"), false),
        (json!(""), false),
        (json!(0.0), false),
        (json!(null), false),
    ] {
        assert_eq!(ready(&with("/d/has/attr", said.clone())).1.attributes, there, "{said}");
    }
    assert_eq!(ready(&with("/d/has", json!("x"))).1, Has::default());
}

#[test]
fn an_aws_identity_is_read_and_not_taken_for_a_hub() {
    let body = json!({"d": {"ec": 0, "ct": 200,
        "meta": {"at": 7, "df": 60, "cd": "XG4E2CA", "gtw": null, "edge": 0, "pf": 0, "hwv": "", "swv": "", "v": 2.1},
        "has": {"d": 0, "attr": 1, "set": 1, "r": 1, "ota": 0},
        "p": {"n": "mqtt", "h": "a3etk4e19usyja-ats.iot.us-east-1.amazonaws.com", "p": 8883, "id": "abcde",
            "un": "a3etk4e19usyja-ats.iot.us-east-1.amazonaws.com/abcde",
            "topics": {
                "rpt": "$aws/rules/msg_d2c_rpt/abcde/2.1/0", "flt": "$aws/rules/msg_d2c_flt/abcde/2.1/3",
                "od": "$aws/rules/msg_d2c_od/abcde/2.1/4", "hb": "$aws/rules/msg_d2c_hb/abcde/2.1/5",
                "ack": "$aws/rules/msg_d2c_ack/abcde/2.1/6", "dl": "$aws/rules/msg_d2c_dl/abcde/2.1/7",
                "di": "$aws/rules/msg_d2c_di/abcde/2.1/1", "c2d": "iot/abcde/cmd",
                "set": {"pub": "$aws/things/abcde/shadow/name/setting_info/report"}}}},
        "status": 200, "message": "Device info loaded successfully."});
    let Ok(IdentityReply::OnAws(definition)) = parse(&body) else { panic!("not on AWS") };
    let topics = &definition.hub.topics;
    assert_eq!(definition.hub.host, "a3etk4e19usyja-ats.iot.us-east-1.amazonaws.com");
    assert_eq!(definition.template_id, "XG4E2CA");
    assert_eq!(
        (topics.report.as_str(), topics.ack.as_str(), topics.devicebound.as_str()),
        ("$aws/rules/msg_d2c_rpt/abcde/2.1/0", "$aws/rules/msg_d2c_ack/abcde/2.1/6", "iot/abcde/cmd")
    );
}

#[test]
fn every_code_is_its_own_and_says_whether_asking_again_helps() {
    let code = |ec: i64| parse(&json!({"d": {"ec": ec, "ct": 200, "dt": "2024-10-29T20:10:44.382Z"}, "status": 200}));
    assert_eq!(code(1), Err(IdentityError::DeviceNotFound));
    let mut seen = std::collections::HashSet::new();
    for ec in 1..=15 {
        let error = code(ec).unwrap_err();
        let slow = [1, 2, 3, 4, 5, 7, 15].contains(&ec);
        assert_eq!(error.retry(), if slow { Retry::Slow } else { Retry::Never }, "{ec}");
        assert!(seen.insert(error.to_string()), "{ec}");
    }
    assert_eq!(IdentityError::Status(500).retry(), Retry::Soon);
    assert_eq!(IdentityError::Status(401).retry(), Retry::Slow);
}

#[test]
fn refusals_and_nonsense_are_told_apart() {
    assert_eq!(parse(&json!({"status": 401, "message": "nope\n"})), Err(IdentityError::Refused("nope".into())));
    assert_eq!(IdentityReply::parse(404, b"", "GW"), Err(IdentityError::Status(404)));
    for bad in [
        json!({}),
        json!([]),
        without("/d", "ec"),
        without("/d", "p"),
        without("/d", "meta"),
        without("/d/p", "h"),
        with("/d/p/n", json!("http")),
        with("/d/p/id", json!("#")),
        with("/d/p/h", json!("a b")),
    ] {
        assert!(matches!(parse(&bad), Err(IdentityError::Malformed(_))), "{bad}");
    }
    let mut codeless = without("/d/meta", "cd");
    codeless.pointer_mut("/d/p/topics").unwrap().as_object_mut().unwrap().remove("rpt");
    assert!(matches!(parse(&codeless), Err(IdentityError::Malformed(_))));
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = IdentityReply::parse(200, &body, "GW");
    }

    #[test]
    fn no_member_panics(
        pointer in prop_oneof!["/d/ec", "/d/meta", "/d/meta/[a-z]{2,3}", "/d/has", "/d/has/(d|attr|r)", "/d/p/(h|p|id|un|topics)", "/d/p/topics/(rpt|c2d)"],
        value in prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from), ".{0,40}".prop_map(Value::from), Just(json!([])), Just(json!({})),
        ],
    ) {
        let mut body = gateway();
        if let Some(place) = body.pointer_mut(&pointer) {
            *place = value;
        }
        let _ = parse(&body);
    }
}
