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

#[test]
fn sync_codes_wait_and_heal() {
    for code in [1, 2, 3, 4, 5, 6, 77] {
        let mut rig = Rig::new();
        rig.cloud.sync_codes.extend([code, code]);
        rig.boot();
        rig.pass(5 * LATENCY);
        rig.pass(120 * SECOND);
        assert!(rig.is_online(), "code {code}");
    }
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
