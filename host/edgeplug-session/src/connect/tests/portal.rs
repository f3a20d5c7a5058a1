use super::*;

#[test]
fn a_new_device_registers_once_and_then_never_again() {
    let mut rig = Rig::unregistered();
    rig.boot();
    rig.pass(60 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.cloud.dps_calls, 5, "challenge, signed, three polls");
    assert_eq!(rig.cloud.syncs, 2, "one before, one after");
    rig.crash();
    rig.pass(60 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.cloud.dps_calls, 5);
}

#[test]
fn a_cleared_tpm_registers_again_although_the_portal_is_content() {
    let mut rig = Rig::new();
    rig.hub_key = false;
    rig.boot();
    rig.pass(60 * SECOND);
    assert!(rig.is_online());
    assert!(rig.cloud.dps_calls > 0);
}

#[test]
fn a_key_the_hub_refuses_again_and_again_is_replaced() {
    let mut rig = online();
    rig.cloud.refuse = true;
    rig.cut();
    rig.pass(20 * SECOND);
    assert_eq!(rig.session.status(rig.now()).trouble.unwrap().kind, FailureKind::Enrolment);
    rig.pass(100 * SECOND);
    assert!(rig.cloud.dps_calls > 0);
    rig.cloud.refuse = false;
    rig.pass(600 * SECOND);
    assert!(rig.is_online());
}

/// Every `rc` (IoTConnect legacy sync), how it is told, and how long the device waits at first.
#[test]
fn sync_codes_wait_and_heal() {
    let table = [
        // code, trouble, words, shortest and longest first wait in seconds
        (2, FailureKind::Enrolment, "still registering", 40, 80),
        (3, FailureKind::Enrolment, "create it there", 40, 80),
        (4, FailureKind::Enrolment, "activate it", 40, 80),
        (5, FailureKind::Enrolment, "moved", 0, 5),
        (6, FailureKind::Enrolment, "mend cloud.cpid", 900, 1_800),
        (7, FailureKind::Enrolment, "mend cloud.cpid", 900, 1_800),
        (8, FailureKind::Enrolment, "quota", 40, 80),
        (77, FailureKind::Protocol, "unknown code 77", 40, 80),
    ];
    for (code, kind, words, shortest_s, longest_s) in table {
        let mut rig = Rig::new();
        rig.cloud.sync_codes.extend([code, code]);
        rig.plugin_up("p", Some(MINUTE), false);
        rig.boot();
        rig.pass(5 * LATENCY);
        let status = rig.session.status(rig.now());
        let trouble = status.trouble.unwrap();
        assert_eq!(trouble.kind, kind, "code {code}");
        assert!(trouble.text.contains(words), "code {code}: {}", trouble.text);
        let wait_s = status.retry_in_s.unwrap();
        assert!((shortest_s as f64 - 1.0..=longest_s as f64).contains(&wait_s), "code {code}: {wait_s}");
        rig.pass(HOUR + 10 * MINUTE);
        assert!(rig.is_online(), "code {code}");
        assert!(rig.delivered("n").len() >= 65, "code {code}: plugins were sampled meanwhile");
        let discoveries = rig.cloud.portal.asked.iter().filter(|(url, _)| url.contains("/api/sdk/")).count();
        let moved = matches!(code, 5 | 77);
        assert_eq!(discoveries, if moved { 3 } else { 1 }, "code {code}");
    }
}

#[test]
fn a_device_that_is_not_registered_asks_dps_and_then_sync_once_more() {
    let mut rig = Rig::new();
    rig.cloud.sync_codes.push_back(1);
    rig.boot();
    rig.pass(MINUTE);
    assert!(rig.is_online() && rig.cloud.dps_calls > 0);
    assert_eq!(rig.cloud.syncs, 2);
}

#[test]
fn a_portal_that_names_a_time_is_not_asked_before() {
    let mut rig = Rig::new();
    rig.cloud.portal.retry_after_s = Some(600);
    rig.cloud.portal_says = Some(Ok((503, "busy")));
    rig.boot();
    rig.pass(10 * MINUTE - SECOND);
    assert_eq!(rig.cloud.portal.asked.len(), 1);
    rig.cloud.portal_says = None;
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
}

#[test]
fn what_was_kept_of_another_device_is_not_used() {
    for (cpid, unique_id) in [("OTHER", "GW"), ("CP", "G2")] {
        let mut rig = online();
        (rig.config.cpid, rig.config.unique_id) = (cpid.into(), unique_id.into());
        rig.portal_up = false;
        rig.crash();
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(MINUTE);
        assert_eq!(rig.cloud.connects, 1, "not to the other one's hub");
        assert_eq!(rig.session.status(rig.now()).template_attributes, None);
        assert_eq!(rig.outcomes.len(), 1, "readings are taken all the same");
    }
    let mut rig = online();
    rig.config.cpid = "cp".into();
    rig.portal_up = false;
    rig.crash();
    rig.pass(10 * SECOND);
    assert!(rig.is_online(), "the cloud spells companies as it likes");
}

#[test]
fn trouble_is_said_in_words_and_goes_when_it_heals() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    rig.pass(5 * SECOND);
    let status = rig.session.status(rig.now());
    assert_eq!((status.link, status.trouble.as_ref().unwrap().kind), (LinkState::Waiting, FailureKind::Network));
    assert!(status.trouble.unwrap().text.contains("discovery"));
    rig.network(true);
    rig.pass(400 * SECOND);
    assert_eq!(rig.session.status(rig.now()).trouble, None);
}

#[test]
fn a_portal_that_is_down_does_not_keep_a_known_device_from_its_hub() {
    let mut rig = online();
    let syncs = rig.cloud.syncs;
    rig.portal_up = false;
    rig.crash();
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.delivered("n"), [1], "the template is known from before");
    rig.portal_up = true;
    rig.pass(HOUR);
    assert!(rig.cloud.syncs > syncs, "the next renewal asks the portal again");
}

#[test]
fn a_portal_that_answers_nonsense_keeps_nobody_from_a_hub_known_from_before() {
    let answers = [
        Ok((200, "<html>Sign in to this network</html>")),
        Ok((200, "{}")),
        Ok((404, "gone")),
        Err(FailureKind::Certificate),
        Err(FailureKind::Protocol),
    ];
    for answer in answers {
        let mut rig = online();
        rig.cloud.portal_says = Some(answer);
        rig.crash();
        rig.pass(10 * SECOND);
        assert!(rig.is_online(), "after a restart: {answer:?}");
        rig.network(false);
        rig.pass(20 * MINUTE);
        rig.network(true);
        rig.pass(11 * MINUTE);
        assert!(rig.is_online(), "after an outage: {answer:?}");
        let told_disconnected = rig.told_disconnected;
        rig.pass(3 * HOUR);
        assert_eq!(rig.told_disconnected, told_disconnected, "renewals: {answer:?}");
    }
}

/// The portal's own word about this device counts: what it says of other things does not.
#[test]
fn a_device_that_the_portal_does_not_want_waits() {
    let mut rig = online();
    rig.cloud.sync_codes.extend([4; 3]);
    rig.crash();
    rig.pass(SECOND);
    assert_eq!(trouble(&rig), Some(FailureKind::Enrolment));
    assert!(!rig.is_online());
}

#[test]
fn a_hub_that_dps_named_and_that_died_gives_way_to_the_portals() {
    let mut rig = Rig::unregistered();
    rig.cloud.other_hub = Some("dead");
    rig.boot();
    rig.pass(600 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.cloud.hosts, ["hub"]);
    rig.crash();
    rig.pass(10 * SECOND);
    assert!(rig.is_online(), "the next run remembers");
}

#[test]
fn what_dps_said_is_remembered_without_a_sync() {
    let mut rig = Rig::unregistered();
    rig.cloud.other_hub = Some("hub3");
    rig.cloud.sync_codes.extend([1, 4]);
    rig.boot();
    rig.pass(30 * SECOND);
    assert!(rig.cloud.registered && !rig.is_online());
    rig.crash();
    rig.pass(30 * SECOND);
    assert_eq!(rig.cloud.hosts, ["hub3"]);
}

/// A wait that the portal asks for is not one for the hub.
#[test]
fn a_portal_that_is_busy_does_not_hold_back_the_hub() {
    let mut rig = online();
    rig.cloud.portal.retry_after_s = Some(3_000);
    rig.cloud.portal_says = Some(Ok((503, "busy")));
    rig.crash();
    rig.pass(SECOND);
    assert!(rig.is_online());
    rig.cut();
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
}
