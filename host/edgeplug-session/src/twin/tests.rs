use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ANSWER_TIME_MAX, OUTSTANDING_MAX, desired, report};
use crate::action::{Answer, Fact, TwinDocument, TwinFailure};
use crate::event::{Ask, Event};
use crate::rig::{Rig, cases, connected, online, v21};
use crate::{AskId, ConnectionId, LinkState};

const SECOND: Duration = Duration::from_secs(1);

/// What plugins were told: whom, version, whether all of it, and what.
fn told(rig: &mut Rig) -> Vec<(Option<String>, u64, bool, Value)> {
    let tell = |(to, change): (_, crate::action::DesiredChange)| {
        (to, change.version, change.complete, serde_json::from_str(&change.desired).unwrap())
    };
    rig.told_desired.drain(..).map(tell).collect()
}

fn to_all(version: u64, complete: bool, desired: Value) -> (Option<String>, u64, bool, Value) {
    (None, version, complete, desired)
}

/// As the cloud left it before the device came.
fn with_desired(desired: &Value, version: u64) -> Rig {
    let mut rig = Rig::new();
    rig.cloud.twin.desired = desired.as_object().unwrap().clone();
    rig.cloud.twin.desired_version = version;
    rig
}

fn get(rig: &mut Rig, ask: u64) {
    rig.handle(Event::Asked { plugin: "p".into(), ask: AskId(ask), request: Ask::TwinGet });
}

fn report_to(rig: &mut Rig, ask: u64, patch: &str) {
    let request = Ask::TwinReport { patch: patch.into() };
    rig.handle(Event::Asked { plugin: "p".into(), ask: AskId(ask), request });
}

fn unavailable(answer: &Answer) -> &str {
    match answer {
        Answer::Twin(Err(TwinFailure::Unavailable(reason)))
        | Answer::Reported(Err(TwinFailure::Unavailable(reason))) => reason,
        other => panic!("{other:?}"),
    }
}

/// Vector L34.
#[test]
fn plugins_hear_all_of_it_after_a_connection_was_made_and_then_what_changes() {
    let mut rig = connected(with_desired(&json!({"fan": 1}), 3));
    assert_eq!(told(&mut rig), [to_all(3, true, json!({"fan": 1}))]);
    rig.desire(json!({"fan": 2, "fw_version": "1.2"}));
    rig.desire(json!({"fan": null}));
    rig.pass(SECOND);
    let changes = [to_all(4, false, json!({"fan": 2, "fw_version": "1.2"})), to_all(5, false, json!({"fan": null}))];
    assert_eq!(told(&mut rig), changes);
    rig.cut();
    rig.pass(60 * SECOND);
    assert_eq!(told(&mut rig), [to_all(5, true, json!({"fw_version": "1.2"}))]);
}

#[test]
fn what_changed_while_the_device_was_away_is_told_when_it_is_back() {
    for crash in [false, true] {
        let mut rig = connected(with_desired(&json!({"fan": 1}), 3));
        rig.network(false);
        rig.desire(json!({"fan": 9}));
        told(&mut rig);
        rig.network_up = true;
        if crash {
            rig.crash();
        }
        rig.pass(400 * SECOND);
        assert_eq!(told(&mut rig), [to_all(4, true, json!({"fan": 9}))]);
    }
}

#[test]
fn a_renewal_of_the_token_tells_nobody_what_they_know() {
    let mut rig = connected(with_desired(&json!({"fan": 1}), 3));
    told(&mut rig);
    rig.pass(3000 * SECOND);
    assert_eq!((rig.cloud.connects, rig.told_disconnected), (2, 0));
    assert_eq!(rig.cloud.twin.asked.len(), 2, "asked on each connection");
    assert_eq!(told(&mut rig), []);
}

#[test]
fn a_missing_change_makes_all_of_it_be_read_again() {
    let mut rig = connected(with_desired(&json!({"fan": 1, "old": 1}), 3));
    told(&mut rig);
    // Version 4 takes `old` away, and nobody hears of it.
    rig.cloud.twin.desired = json!({"fan": 5}).as_object().unwrap().clone();
    rig.cloud.twin.desired_version = 5;
    rig.push_desired(Some(5), json!({"fan": 5, "$version": 5}).to_string());
    rig.desire(json!({"fan": 6}));
    rig.pass(SECOND);
    assert_eq!(told(&mut rig), [to_all(6, true, json!({"fan": 6}))], "what the whole holds is not told twice");
    rig.desire(json!({"fan": 7}));
    rig.pass(SECOND);
    assert_eq!(told(&mut rig), [to_all(7, false, json!({"fan": 7}))]);
}

/// A desired half has 32 KiB at most at an honest hub.
#[test]
fn what_is_wanted_does_not_grow_without_end() {
    let mut rig = connected(with_desired(&json!({"fan": 1}), 1));
    let text = "x".repeat(16 * 1024);
    for n in 0..200 {
        // Changes that the twin itself knows nothing of.
        rig.push_desired(Some(n + 2), json!({ format!("k{n}"): text }).to_string());
        rig.pass(SECOND / 10);
    }
    told(&mut rig);
    rig.handle(Event::PluginUp(crate::event::PluginUp {
        plugin: "late".into(),
        interval: None,
        commands: None,
        firmware: None,
    }));
    let largest = rig.told_desired.iter().map(|(_, change)| change.desired.len()).max().unwrap_or_default();
    assert!(largest <= desired::BYTES_MAX, "{largest}");
    assert!(rig.cloud.twin.asked.len() > 1, "read anew");
}

#[test]
fn many_small_changes_of_the_same_are_no_growth() {
    let mut rig = connected(with_desired(&json!({"text": ""}), 1));
    for n in 0..100 {
        rig.desire(json!({ "text": "x".repeat(8 * 1024 + n) }));
        rig.pass(SECOND / 10);
    }
    assert_eq!(rig.cloud.twin.asked.len(), 1);
    assert_eq!(told(&mut rig).len(), 101);
}

#[test]
fn changes_that_wait_for_the_whole_are_bounded_by_their_bytes() {
    let mut rig = with_desired(&json!({"fan": 1}), 3);
    // The hub keeps the question to itself at first.
    rig.cloud.twin.says.push_back(None);
    let mut rig = connected(rig);
    let text = "x".repeat(16 * 1024);
    for _ in 0..50 {
        rig.desire(json!({ "text": text }));
        rig.pass(SECOND / 10);
    }
    assert!(rig.session.twin.desired.early_bytes() <= desired::BYTES_MAX);
    rig.pass(10 * 60 * SECOND);
    let last = told(&mut rig).pop().unwrap();
    assert_eq!(last, to_all(53, true, json!({"fan": 1, "text": text})));
}

#[test]
fn a_whole_that_is_too_large_is_not_kept() {
    let mut rig = with_desired(&json!({"text": "x".repeat(desired::BYTES_MAX)}), 3);
    rig.boot();
    rig.pass(60 * SECOND);
    assert_eq!(told(&mut rig), []);
    rig.desire(json!({"text": null, "fan": 1}));
    rig.pass(400 * SECOND);
    assert_eq!(told(&mut rig), [to_all(4, false, json!({"text": null, "fan": 1})), to_all(4, true, json!({"fan": 1}))]);
}

#[test]
fn changes_that_come_before_the_whole_wait_for_it() {
    let mut rig = with_desired(&json!({"fan": 1}), 3);
    rig.boot();
    while !rig.has_connection() || rig.cloud.twin.asked.is_empty() {
        assert!(rig.pass_one(rig.monotonic + SECOND));
    }
    // The answer on its way was made before this.
    rig.desire(json!({"fan": 2}));
    rig.pass(SECOND);
    assert_eq!(told(&mut rig), [to_all(3, true, json!({"fan": 1})), to_all(4, false, json!({"fan": 2}))]);
}

#[test]
fn a_hub_that_does_not_say_the_whole_keeps_no_change_from_plugins() {
    for refusal in [None, Some(429), Some(500)] {
        let mut rig = with_desired(&json!({"fan": 1}), 3);
        rig.cloud.twin.says.extend([refusal, refusal]);
        rig.boot();
        rig.pass(SECOND);
        rig.desire(json!({"fan": 2}));
        rig.desire(json!({"fan": 3}));
        rig.pass(ANSWER_TIME_MAX);
        assert_eq!(told(&mut rig)[..2], [to_all(4, false, json!({"fan": 2})), to_all(5, false, json!({"fan": 3}))]);
        rig.pass(400 * SECOND);
        assert_eq!(rig.cloud.twin.says.len(), 0);
        assert_eq!(rig.cloud.twin.asked.len(), 3, "{refusal:?}");
    }
}

#[test]
fn a_change_that_cannot_be_read_is_made_good_by_reading_the_whole() {
    for (version, body) in [(Some(4), "[]"), (Some(4), "not json"), (None, "{\"fan\":2}"), (Some(4), "")] {
        let mut rig = connected(with_desired(&json!({"fan": 1}), 3));
        told(&mut rig);
        rig.cloud.twin.desired_version = 4;
        rig.push_desired(version, body.into());
        rig.pass(SECOND);
        assert_eq!(told(&mut rig), [to_all(4, true, json!({"fan": 1}))], "{body}");
        assert!(rig.is_online());
    }
}

#[test]
fn old_and_repeated_changes_are_not_told() {
    let mut rig = connected(with_desired(&json!({"fan": 1}), 3));
    told(&mut rig);
    for version in [0, 2, 3] {
        rig.push_desired(Some(version), json!({"fan": 0}).to_string());
    }
    rig.pass(SECOND);
    assert_eq!(told(&mut rig), []);
}

#[test]
fn a_hub_whose_answers_lag_behind_its_changes_is_not_asked_in_a_loop() {
    let mut rig = connected(with_desired(&json!({"fan": 1}), 3));
    told(&mut rig);
    for version in 10..20 {
        rig.push_desired(Some(version), json!({"fan": version}).to_string());
    }
    rig.pass(60 * SECOND);
    let versions: Vec<_> =
        told(&mut rig).into_iter().filter(|(_, _, complete, _)| !complete).map(|told| told.1).collect();
    assert_eq!(versions, (10..20).collect::<Vec<_>>());
    assert!(rig.cloud.twin.asked.len() < 12, "{}", rig.cloud.twin.asked.len());
}

#[test]
fn a_device_that_was_made_anew_begins_at_a_lower_version() {
    let mut rig = connected(with_desired(&json!({"fan": 1}), 30));
    told(&mut rig);
    rig.cut();
    rig.cloud.twin.desired = json!({"fan": 7}).as_object().unwrap().clone();
    rig.cloud.twin.desired_version = 1;
    rig.pass(60 * SECOND);
    rig.desire(json!({"fan": 8}));
    rig.pass(SECOND);
    assert_eq!(told(&mut rig), [to_all(1, true, json!({"fan": 7})), to_all(2, false, json!({"fan": 8}))]);
}

#[test]
fn a_plugin_that_comes_later_hears_what_the_others_know() {
    let mut rig = connected(with_desired(&json!({"fan": {"left": 1, "right": 2}}), 3));
    rig.desire(json!({"mode": "on"}));
    rig.pass(SECOND);
    told(&mut rig);
    rig.plugin_up("late", None, false);
    let whole = json!({"fan": {"left": 1, "right": 2}, "mode": "on"});
    assert_eq!(told(&mut rig), [(Some("late".into()), 4, true, whole)]);
    rig.network(false);
    rig.plugin_up("later", None, false);
    assert_eq!(told(&mut rig), [], "all of it comes with the connection");
}

#[test]
fn a_plugin_too_busy_for_a_change_hears_the_whole_a_little_later() {
    let mut rig = connected(with_desired(&json!({"fan": 1}), 3));
    told(&mut rig);
    rig.handle(Event::DesiredMissed { plugin: "busy".into() });
    rig.handle(Event::DesiredMissed { plugin: "gone".into() });
    rig.handle(Event::PluginDown { plugin: "gone".into(), gone: true });
    assert_eq!(told(&mut rig), []);
    rig.pass(2 * SECOND);
    assert_eq!(told(&mut rig), [(Some("busy".into()), 3, true, json!({"fan": 1}))]);
}

/// Vector L35.
#[test]
fn a_report_is_answered_with_the_hubs_version() {
    let mut rig = online();
    report_to(&mut rig, 1, r#"{"fan":2}"#);
    report_to(&mut rig, 2, r#"{"u":"é🚀"}"#);
    assert_eq!(rig.answers, [], "the hub has not said anything yet");
    rig.pass(SECOND);
    assert_eq!(rig.cloud.twin.asked[1..], [Some(json!({"fan": 2})), Some(json!({"u": "é🚀"}))]);
    let answers = [(AskId(1), Answer::Reported(Ok(1))), (AskId(2), Answer::Reported(Ok(2)))];
    assert_eq!(rig.answers, answers);
}

#[test]
fn the_whole_twin_is_read_for_a_plugin_without_the_hubs_own_members() {
    let mut rig = connected(with_desired(&json!({"fan": 1, "$metadata": {"x": 1}, "fw_version": 2}), 3));
    report_to(&mut rig, 1, r#"{"fan":0}"#);
    get(&mut rig, 2);
    rig.pass(SECOND);
    let document = TwinDocument {
        desired: r#"{"fan":1,"fw_version":2}"#.into(),
        desired_version: 3,
        reported: r#"{"fan":0}"#.into(),
        reported_version: 1,
    };
    assert_eq!(rig.answers[1], (AskId(2), Answer::Twin(Ok(document))));
}

#[test]
fn the_hubs_refusal_reaches_the_plugin() {
    let mut rig = online();
    for status in [400, 429, 500] {
        rig.cloud.twin.says.push_back(Some(status));
        report_to(&mut rig, 1, "{}");
        rig.pass(SECOND);
        assert_eq!(rig.answers.pop(), Some((AskId(1), Answer::Reported(Err(TwinFailure::Refused(status))))));
        rig.cloud.twin.says.push_back(Some(status));
        get(&mut rig, 2);
        rig.pass(SECOND);
        assert_eq!(rig.answers.pop(), Some((AskId(2), Answer::Twin(Err(TwinFailure::Refused(status))))));
    }
}

#[test]
fn a_hub_that_says_nothing_does_not_keep_a_plugin_waiting_for_ever() {
    let mut rig = online();
    rig.cloud.twin.says.extend([None, None]);
    get(&mut rig, 1);
    report_to(&mut rig, 2, "{}");
    rig.pass(ANSWER_TIME_MAX - SECOND);
    assert_eq!(rig.answers, []);
    rig.pass(2 * SECOND);
    assert!(rig.answers.iter().all(|(_, answer)| unavailable(answer).contains("30 seconds")));
    assert_eq!(rig.answers.len(), 2);
}

#[test]
fn without_a_connection_questions_are_answered_at_once() {
    let mut rig = online();
    get(&mut rig, 1);
    report_to(&mut rig, 2, "{}");
    rig.network(false);
    get(&mut rig, 3);
    report_to(&mut rig, 4, "{}");
    let reasons: Vec<_> = rig.answers.iter().map(|(ask, answer)| (ask.0, unavailable(answer).to_owned())).collect();
    let lost = "the connection ended before the hub answered";
    let none = "there is no connection to the cloud";
    assert_eq!(reasons, [(1, lost.into()), (2, lost.into()), (3, none.into()), (4, none.into())]);
}

#[test]
fn questions_during_a_renewal_wait_for_its_end() {
    let mut rig = online();
    let renewal = rig.monotonic + Duration::from_secs(3600);
    while rig.has_connection() {
        assert!(rig.pass_one(renewal));
    }
    assert_eq!(rig.session.status(rig.now()).link, LinkState::Renewing);
    get(&mut rig, 1);
    report_to(&mut rig, 2, "{}");
    assert_eq!(rig.answers, []);
    rig.pass(SECOND);
    assert!(matches!(rig.answers[..], [(AskId(1), Answer::Twin(Ok(_))), (AskId(2), Answer::Reported(Ok(1)))]));
}

#[test]
fn a_stop_answers_what_still_waits() {
    let mut rig = online();
    rig.cloud.twin.says.push_back(None);
    get(&mut rig, 1);
    rig.handle(Event::Stop);
    rig.pass(10 * SECOND);
    assert!(rig.stopped);
    assert_eq!(rig.answers.len(), 1);
}

#[test]
fn so_many_questions_wait_and_no_more() {
    let mut rig = online();
    rig.cloud.twin.says.extend(vec![None; OUTSTANDING_MAX]);
    for ask in 0..=OUTSTANDING_MAX as u64 {
        get(&mut rig, ask);
    }
    let [(AskId(100), answer)] = &rig.answers[..] else { panic!("{:?}", rig.answers) };
    assert!(unavailable(answer).contains("ask again later"));
    rig.pass(40 * SECOND);
    get(&mut rig, 1_000);
    rig.pass(SECOND);
    assert!(matches!(rig.answers.last(), Some((AskId(1_000), Answer::Twin(Ok(_))))));
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let mut rig = online();
    for request in ["1", "99", "x", ""] {
        let message = Event::Received {
            connection: ConnectionId(1),
            delivery: crate::DeliveryId(u64::MAX),
            topic: format!("$iothub/twin/res/204/?$rid={request}&$version=4"),
            payload: "".into(),
        };
        rig.handle(message);
    }
    rig.pass(SECOND);
    assert_eq!(rig.answers, []);
}

#[test]
fn an_unreadable_answer_is_told_as_such() {
    let mut rig = online();
    rig.cloud.twin.says.push_back(Some(200));
    get(&mut rig, 1);
    rig.pass(SECOND);
    assert!(unavailable(&rig.answers[0].1).contains("cannot be read"), "{:?}", rig.answers);
}

#[test]
fn what_no_hub_would_take_is_refused_here() {
    let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let long = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    for bad in ["", "x", "[]", "1", "null", "{\"a\":1}x", &deep(11), &long(32 * 1024 + 1)] {
        assert!(report::check(bad, None).is_err(), "{bad}");
    }
    for good in ["{}", r#"{"a":null,"b":[1,{"c":"é"}]}"#, &deep(10), &long(32 * 1024)] {
        assert_eq!(report::check(good, None), Ok(()), "{good}");
    }
    let mut rig = online();
    report_to(&mut rig, 1, "[]");
    let refused = &rig.answers[0].1;
    assert!(
        matches!(refused, Answer::Reported(Err(TwinFailure::Invalid(reason))) if reason.contains("not a JSON object"))
    );
    assert_eq!(rig.cloud.twin.asked.len(), 1, "only our own");
}

/// Vector N26.
#[test]
fn where_settings_are_declared_only_they_are_reported() {
    let mut rig = v21(|rig| {
        rig.cloud.portal.has = json!({"d": 0, "attr": 1, "set": 1, "r": 0, "ota": 0});
        rig.cloud.portal.settings = json!([
            {"ln": "fan", "dt": 1, "dv": "0to5"}, {"ln": "mode", "dt": 4, "dv": "on,off"}, {"ln": "free", "dt": 4, "dv": ""},
        ]);
    });
    rig.cloud.twin.asked.clear();
    let good =
        [json!({"fan": 2}), json!({"mode": "on", "fan": 0}), json!({"free": 5}), json!({"fan": null}), json!({})];
    for (ask, patch) in (0..).zip(&good) {
        report_to(&mut rig, ask, &patch.to_string());
        rig.pass(SECOND);
        assert_eq!(rig.answers.pop(), Some((AskId(ask), Answer::Reported(Ok(ask + 1)))), "{patch}");
    }
    for (bad, reason) in [
        (r#"{"fan":9}"#, "0to5"),
        (r#"{"fan":"x"}"#, "0to5"),
        (r#"{"mode":"maybe"}"#, "on,off"),
        (r#"{"fan":2,"unknown":1}"#, "no setting \"unknown\""),
        (r#"{"unknown":null}"#, "no setting"),
    ] {
        report_to(&mut rig, 100, bad);
        let Some((_, Answer::Reported(Err(TwinFailure::Invalid(said))))) = rig.answers.pop() else { panic!("{bad}") };
        assert!(said.contains(reason), "{bad}: {said}");
    }
    assert_eq!(rig.cloud.twin.asked, good.map(Some));
}

#[test]
fn the_legacy_protocol_reports_anything_and_2_1_only_what_is_declared() {
    let settings = json!([{"ln": "fan", "dt": 1, "dv": "0to5"}]);
    let mut legacy = Rig::new();
    legacy.cloud.portal.settings = settings;
    let mut legacy = connected(legacy);
    report_to(&mut legacy, 1, r#"{"unknown":1,"fan":9}"#);
    legacy.pass(SECOND);
    assert_eq!(legacy.answers, [(AskId(1), Answer::Reported(Ok(1)))]);
    let mut none_declared = v21(|_| {});
    report_to(&mut none_declared, 1, r#"{"fan":1}"#);
    assert!(matches!(&none_declared.answers[..], [(AskId(1), Answer::Reported(Err(TwinFailure::Invalid(_))))]));
}

#[test]
fn the_version_is_kept_for_the_next_run() {
    let mut rig = connected(with_desired(&json!({"fan": 1}), 3));
    rig.desire(json!({"fan": 2}));
    rig.pass(SECOND);
    assert_eq!(rig.disk.facts[&Fact::Twin], r#"{"desired_version":4}"#);
}

#[derive(Debug, Clone)]
enum Fate {
    Desire(u8),
    /// Nobody hears of a change.
    Silently(u8),
    Get,
    Report,
    Says(Option<u16>),
    Cut,
    Network(bool),
    Crash,
    Pass(u16),
    Long,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => any::<u8>().prop_map(Fate::Desire),
        1 => any::<u8>().prop_map(Fate::Silently),
        3 => Just(Fate::Get),
        3 => Just(Fate::Report),
        1 => prop_oneof![Just(None), Just(Some(429)), Just(Some(200))].prop_map(Fate::Says),
        1 => Just(Fate::Cut),
        1 => any::<bool>().prop_map(Fate::Network),
        1 => Just(Fate::Crash),
        6 => (0_u16..200).prop_map(Fate::Pass),
        1 => Just(Fate::Long),
    ]
}

proptest! {
    #![proptest_config(cases(128))]
    /// Whatever hub, network and daemon do: each question has one answer, what plugins hear in order ends as the cloud
    /// wants it, and versions do not go back on a connection.
    #[test]
    fn plugins_end_up_with_what_the_cloud_wants(fates in proptest::collection::vec(fate(), 1..60)) {
        let mut rig = connected(with_desired(&json!({"a": 1}), 1));
        let (mut asked, mut answered) = (0, Vec::new());
        for fate in fates {
            let before = answered.len() as u64 + rig.answers.len() as u64;
            match fate {
                Fate::Desire(value) => {
                    let patch = if value % 5 == 0 { json!({"a": null}) } else { json!({"a": value, "b": value % 3}) };
                    rig.desire(patch);
                }
                Fate::Silently(value) => {
                    rig.cloud.twin.desired_version += 1;
                    rig.cloud.twin.desired.insert("c".into(), value.into());
                    // The next one is heard of.
                    rig.desire(json!({"d": value}));
                }
                Fate::Get => {
                    asked += 1;
                    get(&mut rig, asked);
                }
                Fate::Report => {
                    asked += 1;
                    report_to(&mut rig, asked, "{\"a\":1}");
                }
                Fate::Says(status) => rig.cloud.twin.says.push_back(status),
                Fate::Cut => rig.cut(),
                Fate::Network(up) => rig.network(up),
                Fate::Crash => {
                    // Those that wait die with the daemon.
                    rig.crash();
                    answered.extend(rig.answers.drain(..).map(|(ask, _)| ask.0));
                    answered.extend(1..=asked);
                    answered.sort_unstable();
                    answered.dedup();
                }
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Long => rig.pass(100 * SECOND),
            }
            prop_assert!(answered.len() as u64 + rig.answers.len() as u64 >= before);
        }
        rig.network(true);
        rig.pass(3_000 * SECOND);
        let late: Vec<_> = rig.answers.drain(..).map(|(ask, _)| ask.0).collect();
        let known = answered.len() + late.len();
        answered.extend(late);
        answered.sort_unstable();
        answered.dedup();
        prop_assert_eq!((answered.len(), known), (asked as usize, asked as usize), "each question once");
        let mut heard = serde_json::Map::new();
        let mut last = 0;
        for (_, version, complete, desired) in told(&mut rig) {
            prop_assert!(complete || version > last, "{} after {}", version, last);
            last = version;
            if complete {
                heard = desired.as_object().unwrap().clone();
            } else {
                super::document::merge(&mut heard, desired.as_object().unwrap());
            }
        }
        prop_assert_eq!(&heard, &rig.cloud.twin.desired);
    }
}
