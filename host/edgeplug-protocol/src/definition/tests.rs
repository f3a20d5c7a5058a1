use super::*;

fn attribute(name: &str, data_type: i64, tag: &str, window: &str) -> AttributeDefinition {
    AttributeDefinition {
        name: name.into(),
        data_type,
        validity: String::new(),
        tag: tag.into(),
        aggregates: None,
        window: window.into(),
    }
}

fn group(object: Option<&str>, tag: &str, window: &str, attributes: Vec<AttributeDefinition>) -> Group {
    Group { object: object.map(Into::into), tag: tag.into(), window: window.into(), attributes }
}

fn device(id: &str, tag: &str) -> Device {
    Device { id: id.into(), tag: tag.into() }
}

fn gateway(version: Version) -> Definition {
    Definition {
        version,
        cpid: "CP".into(),
        template_id: "XG4E2CA".into(),
        auth: AuthType::SymmetricKey,
        edge: false,
        frequency_s: 60,
        hub: Hub {
            host: "h".into(),
            port: 8883,
            client_id: "CP-GW".into(),
            user_name: "u".into(),
            topics: Topics::v21("CP-GW", "XG4E2CA"),
        },
        devices: vec![device("GW", "gw")],
        gateway_guid: Some("g".into()),
        groups: vec![],
        settings: vec![],
        rules: vec![],
        pending_ota: None,
        left_out: BTreeMap::new(),
    }
}

#[test]
fn children_come_after_the_gateway_and_never_in_its_place() {
    let mut definition = gateway(Version::V21);
    assert!(definition.apply(Update::Children(vec![device("C1", "c"), device("GW", "gw"), device("C2", "c")])));
    assert_eq!(definition.devices, [device("GW", "gw"), device("C1", "c"), device("C2", "c")]);
    assert!(!definition.apply(Update::Children(vec![device("C1", "c"), device("C2", "c")])), "nothing new");
    assert!(definition.apply(Update::Children(vec![])));
    assert_eq!(definition.devices, [device("GW", "gw")]);
    assert!(definition.apply(Update::Devices(vec![device("GW", "x")])), "legacy names the gateway itself");
    assert_eq!(definition.devices, [device("GW", "x")]);
}

#[test]
fn every_part_replaces_its_own_place() {
    let before = gateway(Version::V21);
    let hub = Hub { host: "elsewhere".into(), ..before.hub.clone() };
    let changed = |update: Update| {
        let mut definition = before.clone();
        assert!(definition.apply(update.clone()), "{update:?}");
        assert!(!definition.apply(update), "twice is no change");
        definition
    };
    let setting = Setting { name: "fan".into(), data_type: 1, validity: String::new() };
    let rule =
        Rule { guid: "R".into(), event_subscription: Some("E".into()), condition: "a = 1".into(), command: None };
    let groups = vec![group(None, "", "", vec![attribute("i", 1, "gw", "")])];
    assert_eq!(changed(Update::Attributes(groups.clone())), Definition { groups, ..before.clone() });
    assert_eq!(
        changed(Update::Settings(vec![setting.clone()])),
        Definition { settings: vec![setting], ..before.clone() }
    );
    assert_eq!(changed(Update::Rules(vec![rule.clone()])), Definition { rules: vec![rule], ..before.clone() });
    assert_eq!(changed(Update::Frequency(5)), Definition { frequency_s: 5, ..before.clone() });
    assert_eq!(changed(Update::Hub(Box::new(hub.clone()))), Definition { hub, ..before.clone() });
    let ota = Some(serde_json::json!({"guid": "x"}));
    assert_eq!(changed(Update::Ota(ota.clone())), Definition { pending_ota: ota, ..before.clone() });
}

#[test]
fn what_was_left_out_of_a_part_stands_until_the_part_comes_again() {
    let mut definition = gateway(Version::V21);
    let left_out = |place, reasons: &[&str]| Update::LeftOut(place, reasons.iter().map(|r| (*r).to_owned()).collect());
    assert!(!definition.apply(left_out(Place::Rules, &[])));
    assert!(definition.apply(left_out(Place::Rules, &["rule 1 is no object"])));
    assert!(definition.apply(left_out(Place::Settings, &["setting 1 has no name"])));
    assert!(!definition.apply(left_out(Place::Rules, &["rule 1 is no object"])), "nothing new");
    let kept = serde_json::to_string(&definition).unwrap();
    assert_eq!(serde_json::from_str::<Definition>(&kept).unwrap(), definition);
    assert!(definition.apply(left_out(Place::Rules, &[])));
    assert_eq!(definition.left_out.keys().collect::<Vec<_>>(), [&Place::Settings]);
}

#[test]
fn a_definition_survives_the_disk() {
    let mut definition = gateway(Version::V21);
    definition.apply(Update::Attributes(vec![group(Some("gyro"), "c", "", vec![attribute("x", 1, "c", "2s")])]));
    definition.pending_ota = Some(serde_json::json!({"urls": ["https://x/y?sig=secret"]}));
    let kept = serde_json::to_string(&definition).unwrap();
    assert!(!kept.contains("secret"));
    assert_eq!(serde_json::from_str::<Definition>(&kept).unwrap(), Definition { pending_ota: None, ..definition });
}

#[test]
fn windows_stand_at_the_group_in_legacy_and_at_the_member_in_2_1() {
    for (version, of_group, of_member) in [(Version::Legacy, "1m", "10s"), (Version::V21, "", "1m")] {
        let mut definition = gateway(version);
        definition.apply(Update::Attributes(vec![
            group(None, "", "", vec![attribute("temp", 1, "gw", "10s")]),
            group(Some("gyro"), "gw", of_group, vec![attribute("x", 1, "gw", of_member)]),
        ]));
        let rounding = Rounding::from([("temp".to_owned(), 1), ("gyro.x".to_owned(), 3)]);
        let template = definition.template(&rounding);
        let names = template.attributes("gw").unwrap();
        let Some(Attribute::Scalar(temp)) = names.get("temp") else { panic!("no temp") };
        let Some(Attribute::Object(gyro)) = names.get("gyro") else { panic!("no gyro") };
        assert_eq!((temp.window, temp.decimals), (Some(Duration::from_secs(10)), Some(1)));
        assert_eq!((gyro["x"].window, gyro["x"].decimals), (Some(Duration::from_secs(60)), Some(3)));
        assert_eq!(gyro["x"].aggregates, Aggregates::ALL);
    }
}

#[test]
fn a_setting_is_judged_by_its_own_type() {
    let mut definition = gateway(Version::V21);
    definition.apply(Update::Settings(vec![Setting { name: "mode".into(), data_type: 4, validity: "on,off".into() }]));
    assert_eq!(definition.setting("mode").map(|setting| setting.data_type), Some(DataType::String));
    assert_eq!(definition.setting("fan"), None);
    assert_eq!(definition.model().settings[0].kind, model::Kind::Text);
}

#[test]
fn a_window_is_a_number_and_a_unit() {
    for (text, seconds) in [("10s", 10), (" 2m ", 120), ("3 h", 10_800), ("4294967295h", 4_294_967_295 * 3_600)] {
        assert_eq!(parse_window(text), Some(Duration::from_secs(seconds)), "{text}");
    }
    for text in ["", "s", "0s", "-1s", "1.5s", "10", "10d", "4294967296s", "\u{1f980}s", "10S"] {
        assert_eq!(parse_window(text), None, "{text}");
    }
}
