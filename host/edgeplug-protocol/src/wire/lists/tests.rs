use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What is left of a part, and what is said about the rest.
fn read(version: Version, part: Part, said: &Value) -> (Update, Vec<String>) {
    match updates(version, part, said).unwrap().as_slice() {
        [update, Update::LeftOut(at, reasons)] if *at == place(part) => (update.clone(), reasons.clone()),
        other => panic!("{said}: {other:?}"),
    }
}

fn attributes(said: &Value) -> (Vec<Group>, Vec<String>) {
    match read(Version::Legacy, Part::Attributes, said) {
        (Update::Attributes(groups), reasons) => (groups, reasons),
        other => panic!("{said}: {other:?}"),
    }
}

/// Names of what is left, after an odd attribute stood beside a good one.
fn beside_a_good_one(odd: &Value) -> (Vec<String>, String) {
    let good = json!({"ln": "good", "dt": 0});
    let (groups, reasons) = attributes(&json!([{"p": "gyro", "d": [good, odd]}]));
    (groups[0].attributes.iter().map(|attribute| attribute.name.clone()).collect(), reasons.join("; "))
}

#[test]
fn an_attribute_that_cannot_be_used_is_left_out_alone() {
    for (odd, reason) in [
        (json!({"dt": 0}), "attribute 2 of group \"gyro\" has no name"),
        (json!({"ln": null, "dt": 0}), "attribute 2 of group \"gyro\" has no name"),
        (json!({"ln": "", "dt": 0}), "attribute 2 of group \"gyro\" has no name"),
        (json!({"ln": 5, "dt": 0}), "attribute 2 of group \"gyro\" has no name"),
        (json!({"ln": ["x"], "dt": 0}), "attribute 2 of group \"gyro\" has no name"),
        (Value::Null, "attribute 2 of group \"gyro\" is no object"),
        (json!("x"), "attribute 2 of group \"gyro\" is no object"),
        (json!([]), "attribute 2 of group \"gyro\" is no object"),
    ] {
        assert_eq!(beside_a_good_one(&odd), (vec!["good".to_owned()], reason.to_owned()), "{odd}");
    }
}

#[test]
fn an_attribute_of_no_type_is_kept_and_its_values_are_faults() {
    for odd in [json!(null), json!("0"), json!("x"), json!(1.5), json!(true), json!({}), json!([])] {
        let (groups, reasons) = attributes(&json!([{"p": "", "d": [{"ln": "x", "dt": odd}]}]));
        assert_eq!(groups[0].attributes[0].data_type, DATA_TYPE_UNKNOWN, "{odd}");
        assert_eq!(reasons, ["attribute 1 has a type (dt) that is no number, so its values go out as faults"], "{odd}");
    }
    let (groups, reasons) = attributes(&json!([{"p": "", "d": [{"ln": "x", "dt": 1.0}, {"ln": "y", "dt": 99}]}]));
    assert_eq!(groups[0].attributes.iter().map(|attribute| attribute.data_type).collect::<Vec<_>>(), [1, 99]);
    assert_eq!(reasons, [""; 0]);
}

#[test]
fn aggregates_come_as_number_or_text() {
    for (said, aggregates, is_odd) in [
        (json!(null), 0, false),
        (json!(""), 0, false),
        (json!("5"), 5, false),
        (json!(63), 63, false),
        (json!(4.0), 4, false),
        (json!("x"), 0, true),
        (json!(1.5), 0, true),
        (json!(-1), 0, true),
        (json!(256), 0, true),
        (json!(1e20), 0, true),
        (json!(true), 0, true),
        (json!({}), 0, true),
    ] {
        let (groups, reasons) = attributes(&json!([{"p": "", "d": [{"ln": "x", "dt": 0, "agt": said}]}]));
        assert_eq!(groups[0].attributes[0].aggregates, Some(aggregates), "{said}");
        assert_eq!(reasons.len(), usize::from(is_odd), "{said}");
    }
}

#[test]
fn a_group_that_cannot_be_used_is_left_out_alone() {
    for (odd, reason) in [
        (Value::Null, "group 1 is no object"),
        (json!("x"), "group 1 is no object"),
        (json!([]), "group 1 is no object"),
        (json!({"p": "bad", "d": "x"}), "group 1 has no list of attributes"),
        (json!({"p": "bad", "d": {}}), "group 1 has no list of attributes"),
        (json!({"p": true, "d": []}), "group 1 has a name that is no text"),
        (json!({"p": {}, "d": []}), "group 1 has a name that is no text"),
    ] {
        let (groups, reasons) = attributes(&json!([odd, {"p": "good", "d": null}]));
        assert_eq!(groups.iter().map(|group| group.object.as_deref()).collect::<Vec<_>>(), [Some("good")], "{odd}");
        assert_eq!(reasons, [reason], "{odd}");
    }
}

#[test]
fn a_text_that_is_none_is_empty_and_said() {
    let (groups, reasons) = attributes(
        &json!([{"d": [{"ln": "x", "dt": 0, "dv": {}, "tg": [], "tw": true}, {"ln": "y", "dt": 0, "dv": 5, "tg": null}]}]),
    );
    assert_eq!(groups[0].attributes[0].validity, "");
    assert_eq!(groups[0].attributes[1].validity, "5");
    assert_eq!(
        reasons,
        [
            "attribute 1 has a dv that is no text",
            "attribute 1 has a tg that is no text",
            "attribute 1 has a tw that is no text"
        ]
    );
}

#[test]
fn settings_rules_and_children_that_cannot_be_used_are_left_out_alone() {
    for odd in [Value::Null, json!("x"), json!(5), json!([]), json!(true)] {
        let (settings, reasons) = read(Version::V21, Part::Settings, &json!([odd, {"ln": "fan", "dt": 1}]));
        let fan = Setting { name: "fan".into(), data_type: 1, validity: String::new() };
        assert_eq!((settings, reasons), (Update::Settings(vec![fan]), vec!["setting 1 is no object".into()]), "{odd}");
        let (rules, reasons) = read(Version::V21, Part::Rules, &json!([{"g": "R", "con": "a = 1"}, odd]));
        assert!(matches!(rules, Update::Rules(rules) if rules[0].guid == "R" && rules.len() == 1), "{odd}");
        assert_eq!(reasons, ["rule 2 is no object"]);
        let (children, reasons) = read(Version::V21, Part::Devices, &json!([odd, {"id": "C1", "tg": "c"}]));
        let c1 = Device { id: "C1".into(), tag: "c".into() };
        assert_eq!((children, reasons), (Update::Children(vec![c1]), vec!["device 1 is no object".into()]), "{odd}");
    }
    for odd in [json!({}), json!({"id": null}), json!({"id": 5}), json!({"id": ""}), json!({"id": []})] {
        let (children, reasons) = read(Version::Legacy, Part::Devices, &json!([{"id": "GW"}, odd]));
        let own = Device { id: "GW".into(), tag: String::new() };
        assert_eq!((children, reasons), (Update::Devices(vec![own]), vec!["device 2 has no id".into()]), "{odd}");
    }
    assert_eq!(read(Version::V21, Part::Settings, &json!([{"dt": 1}])).1, ["setting 1 has no name"]);
}

#[test]
fn a_child_never_takes_the_place_of_the_device_itself() {
    for odd in [Value::Null, json!({}), json!({"id": 5, "tg": "gw"})] {
        let said = json!([odd, {"id": "C1", "tg": "c"}]);
        assert!(updates(Version::Legacy, Part::Devices, &said).unwrap_err().contains("this device itself"), "{odd}");
    }
}

#[test]
fn an_event_subscription_is_null_or_a_text() {
    let es = |rule: Value| match read(Version::Legacy, Part::Rules, &json!([rule])).0 {
        Update::Rules(rules) => rules[0].event_subscription.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(es(json!({"es": null})), None);
    assert_eq!(es(json!({})), None);
    assert_eq!(es(json!({"es": ""})), Some(String::new()));
    assert_eq!(es(json!({"es": "E"})), Some("E".into()));
}

#[test]
fn a_part_of_another_shape_is_refused_as_a_whole() {
    for part in [Part::Attributes, Part::Settings, Part::Rules, Part::Devices] {
        for said in [json!("x"), json!(5), json!({}), json!(true)] {
            let problem = updates(Version::V21, part, &said).unwrap_err();
            assert_eq!(problem, format!("{} is no list", part.member()));
        }
        assert_eq!(read(Version::V21, part, &Value::Null).1, [""; 0]);
    }
}

#[test]
fn a_flood_of_reasons_is_counted_and_names_are_cut() {
    let long = "n".repeat(100_000);
    let (_, reasons) = attributes(&json!([{"p": long, "d": vec![Value::Null; 10_000]}]));
    assert_eq!(reasons.len(), REASONS_MAX + 1);
    assert_eq!(reasons.last().unwrap(), "9980 more");
    assert!(reasons.iter().all(|reason| reason.len() < 200));
}

proptest! {
    #[test]
    fn any_odd_member_costs_its_own_element_at_most(
        part in prop_oneof![Just(Part::Attributes), Just(Part::Settings), Just(Part::Rules), Just(Part::Devices)],
        member in "p|d|ln|dt|dv|tg|agt|tw|g|es|con|cmd|id",
        odd in prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from), ".{0,40}".prop_map(Value::from), Just(json!([])), Just(json!([null])),
            Just(json!({})),
        ],
    ) {
        let good = json!({"p": "", "d": [{"ln": "x", "dt": 1}], "ln": "x", "dt": 1, "id": "GW", "g": "R"});
        let mut bad = good.clone();
        bad[member] = odd;
        let count = match updates(Version::Legacy, part, &json!([good, bad, good])).unwrap().remove(0) {
            Update::Attributes(groups) => groups.len(),
            Update::Settings(settings) => settings.len(),
            Update::Rules(rules) => rules.len(),
            Update::Devices(devices) => devices.len(),
            other => panic!("{other:?}"),
        };
        prop_assert!(count == 2 || count == 3);
    }
}
