use proptest::prelude::*;

use super::*;
use crate::definition::{AttributeDefinition, Group, Place, Rule, Setting};
use crate::template::Device;

fn body(question: Question<'_>) -> Value {
    serde_json::from_str(&question.body()).unwrap()
}

fn answer(text: &str) -> Reply {
    match CloudMessage::parse(Version::V21, text.as_bytes()) {
        CloudMessage::Reply(reply) => reply,
        other => panic!("{text}: {other:?}"),
    }
}

/// Where nothing is left out.
fn updates(text: &str) -> Vec<Update> {
    let (left_out, updates): (Vec<_>, Vec<_>) =
        answer(text).updates.into_iter().partition(|update| matches!(update, Update::LeftOut(..)));
    assert!(
        left_out.iter().all(|update| matches!(update, Update::LeftOut(_, reasons) if reasons.is_empty())),
        "{text}"
    );
    updates
}

#[test]
fn every_question_is_asked_as_the_cloud_expects() {
    for (question, expected) in [
        (Question::Identity { sid: "S1" }, json!({"mt": 200, "sid": "S1"})),
        (Question::Part(Part::Attributes), json!({"mt": 201})),
        (Question::Part(Part::Settings), json!({"mt": 202})),
        (Question::Part(Part::Rules), json!({"mt": 203})),
        (Question::Part(Part::Devices), json!({"mt": 204})),
        (Question::Part(Part::Ota), json!({"mt": 205})),
        (Question::ChildrenAfterChange { sid: "" }, json!({"mt": 204, "sid": ""})),
        (Question::PendingCommands, json!({"mt": 206})),
        (Question::Pending, json!({"mt": 209})),
        (Question::Everything, json!({"mt": 210})),
        (
            Question::CreateChild { gateway_guid: "8D1F-GUID", unique_id: "C2", tag: "c", display_name: "C2 disp" },
            json!({"mt": 221, "d": {"g": "8D1F-GUID", "dn": "C2 disp", "id": "C2", "tg": "c"}}),
        ),
        (Question::DeleteChild { unique_id: "C2" }, json!({"mt": 222, "d": {"id": "C2"}})),
    ] {
        assert_eq!(body(question), expected);
    }
}

#[test]
fn attributes_come_with_their_objects() {
    let attribute = |name: &str, data_type, validity: &str, tag: &str| AttributeDefinition {
        name: name.into(),
        data_type,
        validity: validity.into(),
        tag: tag.into(),
        aggregates: None,
        window: "2s".into(),
    };
    let group = |object: Option<&str>, tag: &str, attributes| Group {
        object: object.map(Into::into),
        tag: tag.into(),
        window: String::new(),
        attributes,
    };
    assert_eq!(
        updates(
            r#"{"d":{"ec":0,"ct":201,"att":[{"p":"","dt":0,"d":[{"ln":"i","dt":1,"dv":"1 to 15","sq":1,"tg":"","tw":"2s"}]},{"p":"gyro","dt":11,"tg":"c","d":[{"ln":"x","dt":1,"dv":"","sq":1,"tg":"c","tw":"2s"}]}],"dt":"…"}}"#
        ),
        [Update::Attributes(vec![
            group(None, "", vec![attribute("i", 1, "1 to 15", "")]),
            group(Some("gyro"), "c", vec![attribute("x", 1, "", "c")]),
        ])]
    );
}

#[test]
fn settings_rules_children_and_updates_are_read() {
    assert_eq!(
        updates(r#"{"d":{"ec":0,"ct":202,"set":[{"ln":"fan","dt":1,"dv":"0to5"}],"dt":"…"}}"#),
        [Update::Settings(vec![Setting { name: "fan".into(), data_type: 1, validity: "0to5".into() }])]
    );
    assert_eq!(
        updates(
            r#"{"d":{"ec":0,"ct":203,"r":[{"g":"R1","es":"E1","con":"temp > 20","cmd":"fan on"},{"g":"R2","con":"a = 1","cmd":""}]}}"#
        ),
        [Update::Rules(vec![
            Rule {
                guid: "R1".into(),
                event_subscription: Some("E1".into()),
                condition: "temp > 20".into(),
                command: Some("fan on".into())
            },
            Rule { guid: "R2".into(), event_subscription: None, condition: "a = 1".into(), command: None },
        ])]
    );
    assert_eq!(
        updates(r#"{"d":{"ec":0,"ct":204,"d":[{"tg":"c","id":"C1"},{"tg":null,"id":"C2"}],"dt":"…"}}"#),
        [Update::Children(vec![
            Device { id: "C1".into(), tag: "c".into() },
            Device { id: "C2".into(), tag: String::new() }
        ])]
    );
    assert_eq!(
        updates(r#"{"d":{"ec":0,"ct":205,"ota":{"cmd":"ota","ack":"g"}}}"#),
        [Update::Ota(Some(json!({"cmd": "ota", "ack": "g"})))]
    );
}

#[test]
fn one_answer_may_bring_everything() {
    let all = updates(r#"{"d":{"ec":0,"ct":210,"att":[],"set":[],"r":[],"d":[],"ota":null}}"#);
    assert_eq!(
        all,
        [
            Update::Attributes(vec![]),
            Update::Settings(vec![]),
            Update::Rules(vec![]),
            Update::Children(vec![]),
            Update::Ota(None)
        ]
    );
}

#[test]
fn null_is_none_and_absent_is_nothing_new() {
    assert_eq!(updates(r#"{"d":{"ec":0,"ct":201,"att":null}}"#), [Update::Attributes(vec![])]);
    assert_eq!(updates(r#"{"d":{"ec":0,"ct":201}}"#), []);
}

#[test]
fn a_refusal_brings_its_code_and_changes_nothing() {
    assert_eq!(answer(r#"{"d":{"ec":4,"ct":201,"att":[]}}"#), Reply { number: 201, code: 4, updates: vec![] });
    assert_eq!(answer(r#"{"d":{"ec":0,"ct":221}}"#), Reply { number: 221, code: 0, updates: vec![] });
    assert_eq!(answer(r#"{"d":{"ec":8,"ct":221}}"#).code, 8);
    assert_eq!((create_refusal(0), delete_refusal(0)), (None, None));
    for code in (1..=10).chain([-1, i64::MAX]) {
        assert!(create_refusal(code).is_some() && delete_refusal(code).is_some(), "{code}");
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_said() {
    for body in [
        r#"{"d":{"ec":0}}"#,
        r#"{"d":{"ec":0,"ct":-1}}"#,
        r#"{"d":{"ec":0,"ct":70000}}"#,
        r#"{"d":{"ec":"no","ct":201}}"#,
        r#"{"d":{"ec":0,"ct":201,"att":5}}"#,
        r#"{"d":{"ec":0,"ct":202,"set":"x"}}"#,
        r#"{"d":{"ec":0,"ct":210,"att":5,"d":{}}}"#,
    ] {
        assert!(matches!(CloudMessage::parse(Version::V21, body.as_bytes()), CloudMessage::NotUnderstood(_)), "{body}");
    }
}

#[test]
fn what_cannot_be_used_of_an_answer_is_left_out_and_said() {
    let left_out = |place, reason: &str| Update::LeftOut(place, vec![reason.into()]);
    for (text, expected) in [
        (
            r#"{"d":{"ec":0,"ct":201,"att":[{"d":[{"dt":1}]}]}}"#,
            vec![
                Update::Attributes(vec![Group {
                    object: None,
                    tag: String::new(),
                    window: String::new(),
                    attributes: vec![],
                }]),
                left_out(Place::Attributes, "attribute 1 has no name"),
            ],
        ),
        (
            r#"{"d":{"ec":0,"ct":204,"d":[{"tg":"c"}]}}"#,
            vec![Update::Children(vec![]), left_out(Place::Devices, "device 1 has no id")],
        ),
        (
            r#"{"d":{"ec":0,"ct":202,"set":[],"r":"x"}}"#,
            vec![
                Update::Settings(vec![]),
                Update::LeftOut(Place::Settings, vec![]),
                left_out(Place::Rules, "r is no list"),
            ],
        ),
    ] {
        assert_eq!(answer(text).updates, expected);
    }
}

proptest! {
    #[test]
    fn a_child_s_name_cannot_leave_its_place(id in ".{0,40}", tag in ".{0,10}", name in ".{0,40}") {
        let body = body(Question::CreateChild { gateway_guid: "g", unique_id: &id, tag: &tag, display_name: &name });
        prop_assert_eq!(body, json!({"mt": 221, "d": {"g": "g", "dn": name, "id": id, "tg": tag}}));
    }
}
