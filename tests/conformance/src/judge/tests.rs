use edgeplug_protocol::version::Version;
use serde_json::{Value, json};

use super::{Judge, render};
use crate::case::{Loose, Op};
use crate::happening::{Class, Happening};

fn judge(op: &Op) -> Judge<'_> {
    Judge {
        version: Version::Legacy,
        loose: Loose::default(),
        tags: &[],
        rules: &[],
        op: Some(op),
        twin: json!({"fan": 2}),
        was_connected: true,
        has_callback: true,
        disposed: false,
    }
}

fn publish(class: Class, body: Value) -> Happening {
    Happening::Publish { topic: "t".into(), class, body }
}

const REPORT: Class = Class::Reading { fault: false };
const FAULT: Class = Class::Reading { fault: true };

fn whats(judge: &Judge<'_>, expected: Vec<Happening>, seen: Vec<Happening>) -> Vec<String> {
    judge.compare(expected, seen).into_iter().map(|difference| difference.what).collect()
}

#[test]
fn a_report_comes_before_its_fault() {
    let op = Op::Send(Vec::new());
    let both = || vec![publish(REPORT, json!(1)), publish(FAULT, json!(2))];
    assert!(whats(&judge(&op), both(), both()).is_empty());
    let swapped = both().into_iter().rev().collect();
    assert_eq!(whats(&judge(&op), both(), swapped).len(), 2);
}

#[test]
fn messages_of_a_window_have_no_order() {
    let one = || publish(Class::EdgeReport, json!({"d": [1]}));
    let other = || publish(Class::EdgeReport, json!({"d": [2]}));
    assert!(whats(&judge(&Op::Window), vec![one(), other()], vec![other(), one()]).is_empty());
    assert_eq!(whats(&judge(&Op::Window), vec![one(), other()], vec![one(), one()]), ["d[0]"]);
    assert_eq!(whats(&judge(&Op::Window), vec![one()], vec![one(), one()]), ["not expected"]);
    assert_eq!(whats(&judge(&Op::Window), vec![one(), one()], vec![one()]), ["missing"]);
    assert_eq!(whats(&judge(&Op::Send(Vec::new())), vec![one(), other()], vec![other(), one()]).len(), 2);
}

#[test]
fn more_faults_of_an_edge_device_are_fine_where_the_case_says_so() {
    let op = Op::Send(Vec::new());
    let loose = Judge { loose: Loose { edge_faults: true, ..Loose::default() }, ..judge(&op) };
    assert!(whats(&loose, vec![], vec![publish(FAULT, json!(1))]).is_empty());
    assert!(
        whats(&loose, vec![publish(FAULT, json!(1))], vec![publish(FAULT, json!(2)), publish(FAULT, json!(1))])
            .is_empty()
    );
    assert_eq!(whats(&loose, vec![publish(FAULT, json!(1))], vec![publish(FAULT, json!(2))]), ["missing"]);
    assert_eq!(whats(&loose, vec![], vec![publish(REPORT, json!(1))]), ["not expected"]);
    assert_eq!(whats(&judge(&op), vec![], vec![publish(FAULT, json!(1))]), ["not expected"]);
}

#[test]
fn a_rule_runs_its_command_before_it_is_reported() {
    let op = Op::Send(Vec::new());
    let rules = [("R1".to_owned(), "fan on".to_owned())];
    let judge = Judge { rules: &rules, ..judge(&op) };
    let command = || Happening::Command { text: "fan on".into(), child: None };
    let matched = || publish(Class::RuleMatch, json!({"d": [{"rg": "R1"}]}));
    assert!(whats(&judge, vec![command(), matched()], vec![command(), matched()]).is_empty());
    let late = whats(&judge, vec![command(), matched()], vec![matched(), command()]);
    assert_eq!(late, ["published before its local command was handed over"]);
}

#[test]
fn acknowledgements_count_only_where_they_are_what_is_done() {
    let ack = || publish(Class::Ack, json!({"st": 4}));
    let said = Op::CloudToDevice { body: "{}".into(), sync_response: None, replies: Default::default() };
    assert!(whats(&judge(&said), vec![], vec![ack()]).is_empty());
    let done = Op::Ack { message_type: json!(5), data: json!({}) };
    assert_eq!(whats(&judge(&done), vec![], vec![ack()]), ["not expected"]);
    assert_eq!(whats(&judge(&done), vec![ack()], vec![]), ["missing"]);
}

#[test]
fn the_connection_is_judged_by_how_a_step_leaves_it() {
    let op = Op::Dispose;
    let (up, down) = (Happening::Connection(true), Happening::Connection(false));
    assert!(whats(&judge(&op), vec![up.clone()], vec![down.clone(), up.clone()]).is_empty());
    assert!(whats(&judge(&op), vec![up.clone()], vec![]).is_empty());
    assert_eq!(whats(&judge(&op), vec![down.clone()], vec![]).len(), 1);
    assert_eq!(whats(&judge(&op), vec![], vec![down]).len(), 1);
}

#[test]
fn the_whole_twin_is_as_good_as_a_patch_after_a_gap() {
    let op = Op::TwinPatch("{}".into());
    let patch = || Happening::TwinPatch { desired: json!({"fan": 2}), version: Some(9) };
    let full = |fan: u8| Happening::TwinFull { desired: json!({"fan": fan}), version: Some(9) };
    assert!(whats(&judge(&op), vec![patch()], vec![patch()]).is_empty());
    assert!(whats(&judge(&op), vec![patch()], vec![full(2)]).is_empty());
    assert_eq!(whats(&judge(&op), vec![patch()], vec![full(3)]), ["fan"]);
    assert_eq!(whats(&judge(&op), vec![patch()], vec![]), ["missing"]);
    assert!(whats(&judge(&op), vec![], vec![full(2)]).is_empty());
    assert_eq!(whats(&judge(&op), vec![], vec![full(3)]), ["not expected"]);
}

#[test]
fn results_and_refusals_are_compared() {
    let op = Op::GetDevices;
    let result = |value: Value| Happening::Result(value);
    assert!(whats(&judge(&op), vec![result(json!([1]))], vec![result(json!([1.0]))]).is_empty());
    assert_eq!(whats(&judge(&op), vec![result(json!([1]))], vec![result(json!([2]))]), ["[0]"]);
    assert!(whats(&judge(&op), vec![], vec![result(json!(true))]).is_empty());
    assert_eq!(whats(&judge(&op), vec![Happening::Error("00".into())], vec![]), ["missing"]);
}

#[test]
fn a_failure_shows_both_sides_and_what_the_device_said() {
    let op = Op::Window;
    let differences = judge(&op).compare(vec![publish(REPORT, json!(1))], vec![]);
    assert_eq!(
        render("step 1 (window)", &differences, &["readings: Accepted".into()]),
        "step 1 (window): missing\n  expected publish t 1\n  got      nothing\n  readings: Accepted"
    );
}
