use serde_json::{Value, json};

use super::*;
use crate::RequestId;
use crate::event::OperatorRequest;
use crate::rig::v21;

fn gateway() -> Rig {
    v21(|rig| {
        rig.cloud.portal.children = Some(vec!["C1"]);
        rig.cloud.portal.has = json!({"d": 1, "attr": 1, "set": 1, "r": 0, "ota": 0});
    })
}

/// Questions since the last call.
fn asked(rig: &mut Rig) -> Vec<Value> {
    std::mem::take(&mut rig.cloud.portal.questions).into_iter().map(|(_, asked)| asked).collect()
}

fn children(rig: &Rig) -> Vec<String> {
    let model = rig.told_templates.last().unwrap();
    model.children.iter().map(|child| child.unique_id.clone()).collect()
}

fn operate(rig: &mut Rig, request: u64, what: OperatorRequest) {
    rig.handle(Event::Operator { request: RequestId(request), what });
}

fn create(id: &str) -> OperatorRequest {
    OperatorRequest::CreateChild { id: id.into(), tag: "c".into(), name: format!("{id} disp") }
}

#[test]
fn a_new_connection_asks_for_what_there_is() {
    let mut rig = v21(|rig| rig.cloud.portal.has = json!({"d": 0, "attr": 1, "set": 1, "r": 0, "ota": 0}));
    assert_eq!(asked(&mut rig), [json!({"mt": 201}), json!({"mt": 202})]);
    let mut rig = v21(|rig| rig.cloud.portal.has = json!({"d": 1, "attr": 1, "set": 1, "r": 1, "ota": 1}));
    let mut numbers = rig.questions();
    numbers.sort_unstable();
    assert_eq!(numbers, [201, 202, 203, 204, 205]);
    asked(&mut rig);
    rig.pass(5 * HOUR);
    assert_eq!((rig.cloud.connects, asked(&mut rig)), (7, vec![]), "a renewed token is no news");
    rig.cut();
    rig.pass(10 * SECOND);
    assert_eq!(asked(&mut rig).len(), 5, "after an outage everything may be news");
}

#[test]
fn an_order_asks_for_its_part_once() {
    let mut rig = gateway();
    for (ct, mt) in [(101, 201), (102, 202), (103, 203), (104, 204)] {
        asked(&mut rig);
        rig.cloud.portal.silent_for = 1;
        rig.send_c2d(json!({"v": 2.1, "ct": ct}).to_string());
        rig.pass(SECOND);
        rig.send_c2d(json!({"v": "2.1", "ct": ct}).to_string());
        rig.pass(SECOND);
        assert_eq!(asked(&mut rig), [json!({"mt": mt}), json!({"mt": mt})], "{ct}: once for each order");
        rig.pass(HOUR / 2);
        assert_eq!(asked(&mut rig), [Value::Null; 0], "{ct}: one answer is enough");
    }
}

#[test]
fn news_of_each_part_reach_plugins_and_the_disk() {
    let mut rig = gateway();
    assert_eq!(children(&rig), ["C1"]);
    rig.cloud.portal.children = Some(vec!["C2", "C3"]);
    rig.send_c2d(json!({"v": 2.1, "ct": 104}).to_string());
    rig.pass(SECOND);
    assert_eq!(children(&rig), ["C2", "C3"]);
    rig.cloud.portal.more_attributes = vec!["extra"];
    rig.send_c2d(json!({"v": 2.1, "ct": 101}).to_string());
    rig.pass(SECOND);
    assert_eq!(rig.session.status(rig.now()).template_attributes, Some(3));
    rig.portal_up = false;
    rig.crash();
    rig.pass(10 * SECOND);
    assert!(rig.is_online(), "to the hub known from before");
    assert_eq!((children(&rig).len(), rig.session.status(rig.now()).template_attributes), (2, Some(3)));
}

#[test]
fn a_question_without_an_answer_is_asked_again_ever_more_seldom() {
    let mut rig = v21(|rig| rig.cloud.portal.silent_for = 1_000);
    rig.pass(40 * MINUTE);
    let times: Vec<_> = rig.cloud.portal.questions.iter().map(|(at, _)| *at).collect();
    assert_eq!(times.len(), 8, "and then not on this connection");
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= 10 * SECOND && waits[0] <= 15 * SECOND, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 450 * SECOND) && waits[6] >= 300 * SECOND, "{waits:?}");
    let refresh = rig.session.status(rig.now()).refresh.unwrap();
    assert_eq!(refresh.waiting_for, ["message 201"]);
    rig.cloud.portal.silent_for = 0;
    rig.cut();
    rig.pass(10 * SECOND);
    assert_eq!(rig.session.status(rig.now()).template_attributes, Some(2));
    assert_eq!(rig.session.status(rig.now()).refresh, None);
}

#[test]
fn a_refused_question_is_asked_again() {
    let mut rig = v21(|rig| rig.cloud.portal.answer_codes.extend([5, 5]));
    assert_eq!(rig.session.status(rig.now()).template_attributes, None);
    rig.pass(MINUTE);
    assert_eq!(rig.session.status(rig.now()).template_attributes, Some(2));
}

#[test]
fn a_child_is_created_and_deleted_and_the_list_read_again() {
    let mut rig = gateway();
    asked(&mut rig);
    rig.cloud.portal.children = Some(vec!["C1", "C2"]);
    operate(&mut rig, 1, create("C2"));
    rig.pass(SECOND);
    let created = json!({"mt": 221, "d": {"g": "8D1F-GUID", "dn": "C2 disp", "id": "C2", "tg": "c"}});
    assert_eq!(asked(&mut rig), [created, json!({"mt": 204, "sid": ""})]);
    assert_eq!(children(&rig), ["C1", "C2"]);
    rig.cloud.portal.children = Some(vec!["C1"]);
    operate(&mut rig, 2, OperatorRequest::DeleteChild { id: "C2".into() });
    rig.pass(SECOND);
    assert_eq!(asked(&mut rig), [json!({"mt": 222, "d": {"id": "C2"}}), json!({"mt": 204, "sid": ""})]);
    assert_eq!(children(&rig), ["C1"]);
    assert!(rig.operator_answers.iter().all(|(_, result)| result.is_ok()) && rig.operator_answers.len() == 2);
}

#[test]
fn a_child_that_cannot_be_made_is_told_why() {
    let mut rig = gateway();
    asked(&mut rig);
    let refused = |rig: &mut Rig, what, words: &str| {
        operate(rig, 1, what);
        rig.pass(31 * SECOND);
        let (_, result) = rig.operator_answers.pop().unwrap();
        let reason = result.unwrap_err();
        assert!(reason.contains(words), "{reason}");
    };
    rig.cloud.portal.answer_codes.push_back(8);
    refused(&mut rig, create("C1"), "taken");
    refused(&mut rig, OperatorRequest::DeleteChild { id: "NOPE".into() }, "no child NOPE");
    rig.cloud.portal.silent_for = 1;
    refused(&mut rig, create("C9"), "did not answer in time");
    assert_eq!(rig.questions(), [221, 221], "and is not asked twice");
    rig.network(false);
    refused(&mut rig, create("C9"), "no connection");
    let mut rig = v21(|_| {});
    refused(&mut rig, create("C9"), "no gateway");
    let mut rig = online();
    refused(&mut rig, create("C9"), "protocol 1.0");
}

/// The cloud's answer names no request.
#[test]
fn a_late_answer_about_a_child_is_not_taken_for_the_next_one() {
    let mut rig = gateway();
    rig.cloud.portal.silent_for = 1;
    operate(&mut rig, 1, create("A"));
    operate(&mut rig, 2, create("B"));
    rig.pass(30 * SECOND);
    let reason = |rig: &Rig, index: usize| rig.operator_answers[index].1.clone().unwrap_err();
    assert!(reason(&rig, 0).contains("did not answer in time"), "{}", reason(&rig, 0));
    assert!(reason(&rig, 1).contains("not asked"), "{}", reason(&rig, 1));
    operate(&mut rig, 3, create("C"));
    rig.pass(SECOND);
    asked(&mut rig);
    // Now A is there, and C waited for just that.
    rig.cloud.portal.children = Some(vec!["C1", "A"]);
    rig.cloud.portal.answer_codes.extend([8, 0]);
    rig.send_c2d(json!({"d": {"ec": 0, "ct": 221}}).to_string());
    rig.pass(SECOND);
    assert_eq!(children(&rig), ["C1", "A"]);
    let numbers: Vec<_> = asked(&mut rig).iter().map(|body| body["mt"].as_u64()).collect();
    assert_eq!(numbers, [Some(221), Some(204)]);
    assert!(reason(&rig, 2).contains("taken"), "{}", reason(&rig, 2));
    // One that never comes is waited for only so long, also over a new connection.
    rig.cloud.portal.silent_for = 1;
    operate(&mut rig, 4, create("D"));
    rig.pass(SECOND);
    rig.cut();
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
    operate(&mut rig, 5, create("E"));
    rig.pass(5 * SECOND);
    assert_eq!(rig.operator_answers.len(), 4);
    rig.pass(25 * SECOND);
    assert_eq!(rig.operator_answers[4], (RequestId(5), Ok("done".to_owned())));
}

#[test]
fn children_are_made_one_after_the_other() {
    let mut rig = gateway();
    asked(&mut rig);
    rig.cloud.portal.answer_codes.extend([8, 0, 9]);
    for (request, id) in [(1, "A"), (2, "B"), (3, "C")] {
        operate(&mut rig, request, create(id));
    }
    rig.pass(SECOND);
    let results: Vec<_> = rig.operator_answers.iter().map(|(RequestId(id), result)| (*id, result.is_ok())).collect();
    assert_eq!(results, [(1, false), (2, true), (3, false)]);
    operate(&mut rig, 4, create("D"));
    rig.cut();
    assert!(rig.operator_answers[3].1.as_ref().unwrap_err().contains("the connection ended"));
}
