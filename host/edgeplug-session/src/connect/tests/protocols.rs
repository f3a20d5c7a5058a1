use std::collections::BTreeSet;

use edgeplug_protocol::version::Version::{self, Legacy, V21};
use serde_json::json;

use super::*;
use crate::RequestId;
use crate::config::ProtocolChoice;
use crate::event::OperatorRequest;

fn rig(choice: ProtocolChoice, legacy: bool, v21: bool, auth: i64) -> Rig {
    let mut rig = Rig::new();
    rig.config.protocol = choice;
    rig.session = crate::Session::new(rig.config.clone(), 7);
    let portal = &mut rig.cloud.portal;
    (portal.legacy, portal.v21, portal.auth) = (legacy, v21, auth);
    rig
}

fn protocol(rig: &Rig) -> Option<Version> {
    rig.session.status(rig.now()).protocol
}

/// URLs asked since the last call.
fn urls(rig: &mut Rig) -> Vec<String> {
    std::mem::take(&mut rig.cloud.portal.asked).into_iter().map(|(url, _)| url).collect()
}

/// The account is migrated: another hub, and the old protocol's portal knows it no more.
fn move_to_v21(rig: &mut Rig) {
    let portal = &mut rig.cloud.portal;
    (portal.legacy, portal.v21, portal.hub, portal.hub_moved) = (false, true, "hub2", true);
}

const LEGACY_DISCOVERY: &str = "https://discovery/api/sdk/cpid/CP/lang/M_PYTHON/ver/2.0/env/poc";
const LEGACY_SYNC: &str = "https://agent/api/2.0/agent/sync";
const DISCOVERY: &str = "https://discovery/api/v2.1/dsdk/cpId/CP/env/poc?pf=az";
const IDENTITY: &str = "https://identity/cg/1/uid/GW";

#[test]
fn each_protocol_asks_its_own_portal() {
    for (version, expected) in [(Legacy, [LEGACY_DISCOVERY, LEGACY_SYNC]), (V21, [DISCOVERY, IDENTITY])] {
        let mut rig = connected(rig(ProtocolChoice::Only(version), true, true, 5));
        assert_eq!(protocol(&rig), Some(version));
        assert_eq!(urls(&mut rig), expected);
    }
    let mut rig = rig(ProtocolChoice::Only(V21), true, true, 5);
    rig.config.sid = Some("S/1".into());
    rig.session = crate::Session::new(rig.config.clone(), 7);
    let mut rig = connected(rig);
    assert_eq!(urls(&mut rig)[0], "https://discovery/api/v2.1/dsdk/sid/S%2F1?pf=az");
}

#[test]
fn auto_speaks_what_the_portal_offers() {
    let table = [
        // legacy, 2.1, at, spoken
        (true, false, 4, Legacy),
        (true, false, 5, Legacy),
        (false, true, 5, V21),
        (false, true, 4, V21),
        (true, true, 5, V21),
        // A TPM was only ever seen to work with the legacy protocol.
        (true, true, 4, Legacy),
    ];
    for (legacy, v21, auth, spoken) in table {
        let rig = connected(rig(ProtocolChoice::Auto, legacy, v21, auth));
        assert_eq!(protocol(&rig), Some(spoken), "legacy {legacy}, 2.1 {v21}, at {auth}");
    }
}

#[test]
fn what_worked_is_asked_first_and_the_other_one_after_three_failures() {
    let mut rig = connected(rig(ProtocolChoice::Auto, true, false, 5));
    rig.crash();
    urls(&mut rig);
    rig.pass(SECOND);
    assert_eq!(urls(&mut rig), [LEGACY_DISCOVERY, LEGACY_SYNC], "2.1 is not asked again");
    move_to_v21(&mut rig);
    rig.cut();
    rig.pass(3 * HOUR);
    assert!(rig.is_online());
    assert_eq!(protocol(&rig), Some(V21), "the account moved to the other protocol");
    let asked: BTreeSet<_> = urls(&mut rig).into_iter().collect();
    assert!(asked.contains(DISCOVERY) && asked.contains(LEGACY_DISCOVERY));
}

#[test]
fn two_refusals_are_told_as_one() {
    let mut rig = rig(ProtocolChoice::Auto, true, true, 5);
    rig.cloud.portal.identity_codes.extend([2; 9]);
    rig.cloud.sync_codes.extend([4; 9]);
    rig.boot();
    rig.pass(5 * SECOND);
    let trouble = rig.session.status(rig.now()).trouble.unwrap();
    assert_eq!(trouble.kind, FailureKind::Enrolment);
    assert_eq!(trouble.text, "the device is not active; activate it in the portal");
    let mut rig = Rig::new();
    rig.config.protocol = ProtocolChoice::Auto;
    rig.session = crate::Session::new(rig.config.clone(), 7);
    rig.cloud.sync_codes.extend([4; 9]);
    rig.boot();
    rig.pass(5 * SECOND);
    let text = rig.session.status(rig.now()).trouble.unwrap().text;
    assert!(
        text.contains("not active")
            && text.contains("(1.0)")
            && text.contains("no such company")
            && text.contains("(2.1)"),
        "{text}"
    );
}

/// Every `ec` of the identity: words, and how long the device waits at first.
#[test]
fn identity_codes_wait_and_heal() {
    let slow = 40.0..=80.0;
    let hopeless = 899.0..=1_800.0;
    let table = [
        (1, "create it there", &slow),
        (2, "activate it", &slow),
        (3, "no template", &slow),
        (4, "released", &slow),
        (5, "disabled", &slow),
        (6, "mend cloud.cpid", &hopeless),
        (7, "expired", &slow),
        (8, "does not let", &hopeless),
        (9, "bootstrap", &hopeless),
        (10, "operational", &hopeless),
        (11, "cloud.env", &hopeless),
        (12, "platform", &hopeless),
        (13, "language", &hopeless),
        (14, "cloud.protocol", &hopeless),
        (99, "unknown code 99", &slow),
    ];
    for (code, words, waits) in table {
        let mut rig = rig(ProtocolChoice::Only(V21), true, true, 5);
        rig.cloud.portal.identity_codes.push_back(code);
        rig.boot();
        rig.pass(5 * LATENCY);
        let status = rig.session.status(rig.now());
        let text = status.trouble.unwrap().text;
        assert!(text.contains(words), "code {code}: {text}");
        let wait_s = status.retry_in_s.unwrap();
        assert!(waits.contains(&(wait_s + 1.0)) || waits.contains(&wait_s), "code {code}: {wait_s}");
        rig.pass(HOUR);
        assert!(rig.is_online(), "code {code}");
    }
}

#[test]
fn an_unknown_company_is_said_although_http_was_content() {
    let mut rig = rig(ProtocolChoice::Only(V21), true, false, 5);
    rig.boot();
    rig.pass(SECOND);
    let trouble = rig.session.status(rig.now()).trouble.unwrap();
    assert!(trouble.text.contains("no such company"), "{}", trouble.text);
}

#[test]
fn a_device_without_a_hub_key_registers_in_2_1_too() {
    for code in [None, Some(1)] {
        let mut rig = Rig::unregistered();
        rig.config.protocol = ProtocolChoice::Only(V21);
        rig.session = crate::Session::new(rig.config.clone(), 7);
        rig.cloud.portal.v21 = true;
        rig.cloud.portal.identity_codes.extend(code);
        rig.boot();
        rig.pass(MINUTE);
        assert!(rig.is_online(), "{code:?}");
        assert_eq!(rig.cloud.dps_calls, 5, "{code:?}");
    }
}

/// 2.1 tells the attributes only over the link: until then readings wait as they are.
#[test]
fn readings_from_before_the_attributes_are_known_arrive() {
    let mut rig = rig(ProtocolChoice::Only(V21), true, true, 5);
    rig.cloud.portal.silent_for = 2;
    rig.boot();
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    rig.offer(2, vec![reading("n", 2)]);
    rig.pass(SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.outcomes.len(), 2, "accepted");
    assert_eq!(rig.session.status(rig.now()).template_attributes, None);
    rig.pass(MINUTE);
    assert_eq!(rig.session.status(rig.now()).template_attributes, Some(2));
    let sent: BTreeSet<_> = rig.cloud.received.iter().filter_map(|body| body["d"][0]["d"]["n"].as_i64()).collect();
    assert_eq!(sent, BTreeSet::from([1, 2]));
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn what_was_to_be_asked_in_the_old_protocol_does_not_outlive_it() {
    let mut rig = rig(ProtocolChoice::Auto, true, false, 5);
    // The template is not finished, so its attributes are asked for again and again.
    rig.cloud.no_attributes = true;
    let mut rig = connected(rig);
    move_to_v21(&mut rig);
    rig.cut();
    rig.pass(3 * HOUR);
    assert!(rig.is_online());
    assert_eq!(protocol(&rig), Some(V21));
    assert_eq!(rig.session.status(rig.now()).refresh, None);
    rig.handle(Event::Operator { request: RequestId(1), what: OperatorRequest::Refresh });
    rig.pass(SECOND);
    assert_eq!(rig.operator_answers, [(RequestId(1), Ok("done".to_owned()))]);
}

#[test]
fn an_answer_in_the_old_protocol_is_not_read_in_the_new_one() {
    let mut rig = connected(rig(ProtocolChoice::Auto, true, false, 5));
    rig.cloud.portal.more_attributes = vec!["old"];
    rig.send_c2d(json!({"cmdType": "0x10", "data": {}}).to_string());
    rig.pass(LATENCY);
    assert_eq!(rig.parts_asked(), ["attribute"]);
    rig.cloud.portal.more_attributes.clear();
    // It takes hours.
    let (_, slow) = rig.hold_back(|event| matches!(event, Event::HttpDone { .. })).unwrap();
    move_to_v21(&mut rig);
    rig.cut();
    rig.pass(3 * HOUR);
    assert!(rig.is_online());
    assert_eq!(protocol(&rig), Some(V21));
    rig.handle(slow);
    rig.pass(MINUTE);
    let status = rig.session.status(rig.now());
    assert_eq!((status.refresh, status.template_attributes), (None, Some(2)));
}

/// The old protocol's link has no topic for the new one's questions.
#[test]
fn questions_of_2_1_wait_for_its_link() {
    let mut rig = rig(ProtocolChoice::Auto, true, false, 5);
    rig.boot();
    rig.handle(Event::PluginsScanned);
    rig.pass(SECOND);
    // The next run finds the portal unwell and connects to the hub it knows; on the way to a renewal 2.1 answers.
    rig.cloud.sync_codes.extend([99; 30]);
    rig.crash();
    rig.pass(SECOND);
    assert!(rig.is_online());
    rig.cloud.portal.v21 = true;
    rig.cloud.received.clear();
    let strays = |rig: &Rig| rig.cloud.received.iter().filter(|body| body["mt"].as_u64() > Some(200)).count();
    while protocol(&rig) != Some(V21) {
        assert!(rig.monotonic < 24 * HOUR && rig.pass_one(rig.monotonic + HOUR));
    }
    rig.pass(MINUTE);
    assert!(rig.is_online());
    assert_eq!(strays(&rig), 0);
    assert_eq!(rig.session.status(rig.now()).refresh, None);
}

#[test]
fn an_account_that_changes_its_protocol_loses_no_reading() {
    let mut rig = connected(rig(ProtocolChoice::Auto, true, false, 5));
    rig.network(false);
    for n in 0..10_u64 {
        rig.offer(n, vec![reading("n", n)]);
    }
    rig.pass(HOUR);
    move_to_v21(&mut rig);
    rig.network(true);
    rig.pass(3 * HOUR);
    for n in 10..20_u64 {
        rig.offer(n, vec![reading("n", n)]);
    }
    rig.pass(MINUTE);
    assert_eq!(protocol(&rig), Some(V21));
    assert!(rig.disk.rows.is_empty());
    let bodies = &rig.cloud.received;
    let legacy = bodies.iter().filter_map(|body| body["d"][0]["d"][0]["n"].as_i64());
    let v21 = bodies.iter().filter_map(|body| body["d"][0]["d"]["n"].as_i64());
    let sent: BTreeSet<_> = legacy.chain(v21).collect();
    assert_eq!(sent, (0..20).collect());
}
