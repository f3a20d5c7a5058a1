use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::RequestId;
use crate::action::Connection;
use crate::event::OperatorRequest;
use crate::rig::cases;

fn order(rig: &mut Rig, kind: &str) {
    rig.send_c2d(json!({"cmdType": kind, "data": {}}).to_string());
}

#[test]
fn an_order_asks_for_its_part_and_leaves_the_link_alone() {
    for (kind, option) in [("0x10", "attribute"), ("0x11", "setting"), ("0x13", "device"), ("0x15", "rule")] {
        let mut rig = online();
        order(&mut rig, kind);
        rig.pass(SECOND);
        assert_eq!(rig.parts_asked(), [option], "{kind}");
        let (url, body) = rig.cloud.portal.asked.last().unwrap();
        assert_eq!(url, "https://agent/api/2.0/agent/sync");
        assert_eq!(body, &Some(json!({"uniqueId": "GW", "cpId": "CP", "option": {option: true}})));
        assert_eq!((rig.cloud.connects, rig.told_disconnected, rig.acknowledged), (1, 0, 1));
        assert_eq!(rig.session.status(rig.now()).refresh, None);
    }
}

#[test]
fn a_changed_template_is_used_without_losing_a_reading() {
    let mut rig = online();
    for n in 0..100_u64 {
        if n == 30 {
            rig.cloud.portal.more_attributes = vec!["extra"];
            rig.cloud.portal.part_codes.extend([4, 4]);
            order(&mut rig, "0x10");
        }
        rig.offer(n, vec![reading("n", n), reading("extra", 1)]);
        rig.pass(5 * SECOND);
    }
    assert_eq!(rig.delivered("n"), (0..100).collect::<Vec<_>>());
    let extra = rig.delivered("extra").len();
    assert!((30..70).contains(&extra), "{extra}");
    assert_eq!(rig.parts_asked().len(), 3, "asked again until it worked");
    assert_eq!((rig.cloud.connects, rig.told_disconnected), (1, 0));
    assert_eq!(rig.told_templates.len(), 2);
}

#[test]
fn several_orders_become_one_question() {
    let mut rig = online();
    for _ in 0..5 {
        for kind in ["0x10", "0x15"] {
            order(&mut rig, kind);
        }
    }
    rig.pass(SECOND);
    assert!(rig.parts_asked().len() <= 4, "{:?}", rig.parts_asked());
    assert_eq!(rig.acknowledged, 10);
}

#[test]
fn an_order_during_its_own_question_is_a_new_one() {
    let mut rig = online();
    order(&mut rig, "0x10");
    rig.pass(LATENCY + LATENCY / 2);
    order(&mut rig, "0x10");
    rig.pass(SECOND);
    assert_eq!(rig.parts_asked(), ["attribute", "attribute"]);
}

#[test]
fn a_part_that_cannot_be_read_is_said_and_asked_again() {
    let mut rig = online();
    rig.portal_up = false;
    order(&mut rig, "0x13");
    rig.pass(10 * SECOND);
    let refresh = rig.session.status(rig.now()).refresh.unwrap();
    assert_eq!(refresh.waiting_for, ["devices"]);
    assert!(refresh.trouble.unwrap().contains("cannot reach"));
    assert!(rig.is_online());
    rig.pass(HOUR / 4);
    assert!(rig.cloud.portal.asked.len() < 20);
    rig.portal_up = true;
    rig.cloud.portal.children = Some(vec!["C1"]);
    rig.pass(6 * MINUTE);
    assert_eq!(rig.told_templates.last().unwrap().children.len(), 1);
    assert_eq!(rig.session.status(rig.now()).refresh, None);
}

#[test]
fn a_template_that_is_not_finished_is_asked_for_again_without_a_restart() {
    let mut rig = Rig::new();
    rig.cloud.no_attributes = true;
    let mut rig = connected(rig);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(HOUR / 4);
    let asked = rig.parts_asked().len();
    assert!((4..20).contains(&asked), "{asked}");
    rig.cloud.no_attributes = false;
    rig.pass(6 * MINUTE);
    rig.offer(2, vec![reading("n", 2)]);
    rig.pass(SECOND);
    assert!(rig.delivered("n").contains(&2));
    let asked = rig.parts_asked().len();
    rig.pass(HOUR);
    assert_eq!(rig.parts_asked().len(), asked);
}

/// The rig's hub takes no second connection of a device.
#[test]
fn a_changed_connection_closes_the_old_one_first() {
    for (kind, part) in [("0x12", Some("protocol")), ("resetpwd", Some("protocol")), ("sync", None)] {
        let mut rig = online();
        rig.puback_delay = Some(SECOND);
        rig.cloud.portal.hub = "hub2";
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(LATENCY);
        order(&mut rig, kind);
        for n in 2..40_u64 {
            rig.offer(n, vec![reading("n", n)]);
            rig.pass(SECOND / 4);
        }
        rig.pass(10 * SECOND);
        assert_eq!(rig.parts_asked(), part.into_iter().collect::<Vec<_>>(), "{kind}");
        assert_eq!(rig.cloud.hosts, ["hub", "hub2"], "{kind}");
        assert_eq!(rig.delivered("n"), (1..40).collect::<Vec<_>>(), "{kind}: once each, in order");
        let [Connection::Connected, Connection::Disconnected(reason), Connection::Connected] = &rig.told[..] else {
            panic!("{kind}: {:?}", rig.told)
        };
        assert!(reason.contains("asked for a new connection"), "{reason}");
    }
}

#[test]
fn a_new_connection_that_fails_is_an_outage_and_comes_back() {
    for kind in ["0x12", "sync"] {
        let mut rig = online();
        let failure = Failure { kind: FailureKind::Network, text: "no route".into() };
        rig.cloud.connect_failures.extend(vec![LinkDownReason::Failed(failure); 2]);
        order(&mut rig, kind);
        rig.pass(MINUTE);
        assert!(rig.is_online() && rig.told_connected, "{kind}");
        assert_eq!(rig.cloud.tried_at.len(), 4, "{kind}");
    }
}

#[test]
fn an_order_for_everything_waits_for_the_portal_with_the_link_open() {
    let mut rig = online();
    rig.portal_up = false;
    order(&mut rig, "sync");
    rig.pass(5 * MINUTE);
    assert!(rig.is_online() && rig.cloud.connects == 1);
    rig.portal_up = true;
    rig.pass(6 * MINUTE);
    assert!(rig.is_online() && rig.cloud.connects == 2);
    assert_eq!(rig.cloud.syncs, 2);
}

#[test]
fn an_operator_may_have_everything_asked_again() {
    let mut rig = online();
    rig.cloud.portal.more_attributes = vec!["extra"];
    rig.handle(Event::Operator { request: RequestId(1), what: OperatorRequest::Refresh });
    rig.pass(SECOND);
    assert_eq!(rig.operator_answers, [(RequestId(1), Ok("done".to_owned()))]);
    assert_eq!(rig.session.status(rig.now()).template_attributes, Some(3));
    assert_eq!((rig.cloud.syncs, rig.cloud.connects, rig.told_disconnected), (2, 1, 0));
    rig.portal_up = false;
    rig.handle(Event::Operator { request: RequestId(2), what: OperatorRequest::Refresh });
    rig.pass(29 * SECOND);
    assert_eq!(rig.operator_answers.len(), 1);
    rig.pass(2 * SECOND);
    assert!(rig.operator_answers[1].1.as_ref().unwrap_err().contains("goes on asking"));
}

#[test]
fn a_data_frequency_by_order_is_kept() {
    let mut rig = online();
    rig.send_c2d(json!({"cmdType": "0x17", "data": {"df": 30}}).to_string());
    rig.pass(SECOND);
    assert_eq!(rig.told_templates.last().unwrap().frequency_s, 30);
    rig.portal_up = false;
    rig.crash();
    rig.pass(SECOND);
    assert_eq!(rig.told_templates.last().unwrap().frequency_s, 30);
}

#[test]
fn an_order_that_waits_does_not_disturb_a_stop() {
    let mut rig = online();
    rig.portal_up = false;
    order(&mut rig, "0x10");
    rig.pass(SECOND);
    order(&mut rig, "0x99");
    rig.pass(HOUR);
    assert_eq!(rig.session.status(rig.now()).link, LinkState::Disconnected);
    rig.portal_up = true;
    let asked = rig.cloud.portal.asked.len();
    rig.pass(HOUR);
    assert_eq!(rig.cloud.portal.asked.len(), asked);
    rig.handle(Event::Operator { request: RequestId(1), what: OperatorRequest::Refresh });
    assert!(rig.operator_answers[0].1.as_ref().unwrap_err().contains("stopped"));
    rig.handle(Event::Operator { request: RequestId(2), what: OperatorRequest::Resume });
    rig.pass(MINUTE);
    assert!(rig.is_online());
    assert_eq!(rig.session.status(rig.now()).refresh, None);
}

#[test]
fn a_connection_that_changes_during_a_renewal_is_made_of_the_last_word() {
    // Every moment around the renewal, in steps shorter than each of its parts.
    for step in 0..40 {
        let mut rig = online();
        rig.puback_delay = Some(3 * LATENCY);
        rig.pass(48 * MINUTE - SECOND - 10 * LATENCY);
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(LATENCY / 2 * step);
        rig.cloud.portal.hub = "hub2";
        order(&mut rig, "0x12");
        rig.pass(MINUTE);
        assert!(rig.is_online(), "ordered {step} half latencies around the renewal");
        assert_eq!(rig.cloud.hosts.last().map(String::as_str), Some("hub2"), "{step}");
        assert_eq!(rig.delivered("n"), [1], "{step}");
    }
}

#[derive(Debug, Clone)]
enum Fate {
    Order(&'static str),
    Cut,
    Network(bool),
    Portal(bool),
    Hub(&'static str),
    TpmBusy(bool),
    Offer,
    Pass(u32),
}

fn fate() -> impl Strategy<Value = Fate> {
    let kinds = ["0x10", "0x11", "0x12", "0x13", "0x15", "resetpwd", "sync"];
    prop_oneof![
        6 => prop::sample::select(kinds.to_vec()).prop_map(Fate::Order),
        1 => Just(Fate::Cut),
        1 => any::<bool>().prop_map(Fate::Network),
        1 => any::<bool>().prop_map(Fate::Portal),
        1 => prop::sample::select(vec!["hub", "hub2"]).prop_map(Fate::Hub),
        1 => any::<bool>().prop_map(Fate::TpmBusy),
        3 => Just(Fate::Offer),
        5 => (0_u32..200).prop_map(Fate::Pass),
        1 => (0_u32..3_000_000).prop_map(Fate::Pass),
    ]
}

proptest! {
    #![proptest_config(cases(128))]
    /// Whatever is ordered and whatever fails meanwhile, readings arrive and the device is online on the last hub named.
    #[test]
    fn orders_lose_nothing(fates in proptest::collection::vec(fate(), 1..40)) {
        let mut rig = online();
        let mut offered = 0;
        for fate in fates {
            match fate {
                Fate::Order(kind) => order(&mut rig, kind),
                Fate::Cut => rig.cut(),
                Fate::Network(up) => rig.network(up),
                Fate::Portal(up) => rig.portal_up = up,
                Fate::Hub(host) => rig.cloud.portal.hub = host,
                Fate::TpmBusy(busy) => rig.tpm_busy = busy,
                Fate::Offer => { offered += 1; rig.offer(offered, vec![reading("n", offered)]); }
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
            }
        }
        (rig.portal_up, rig.tpm_busy) = (true, false);
        rig.network(true);
        rig.pass(HOUR / 2);
        order(&mut rig, "sync");
        rig.pass(HOUR / 2);
        prop_assert!(rig.is_online() && rig.told_connected && rig.has_connection());
        prop_assert_eq!(rig.cloud.hosts.last().map(String::as_str), Some(rig.cloud.portal.hub));
        prop_assert_eq!(rig.session.status(rig.now()).refresh, None);
        let delivered: BTreeSet<_> = rig.delivered("n").into_iter().collect();
        prop_assert_eq!(delivered.len() as u64, offered);
    }
}
