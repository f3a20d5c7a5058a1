use super::*;

#[test]
fn a_week_of_renewals_looks_like_one_connection() {
    let mut rig = online();
    for n in 0..7 * 24 * 120_u64 {
        rig.offer(n, vec![reading("n", n)]);
        rig.pass(30 * SECOND);
    }
    assert!((209..=211).contains(&rig.cloud.connects), "{} connects", rig.cloud.connects);
    assert_eq!(rig.delivered("n"), (0..7 * 24 * 120).collect::<Vec<_>>(), "once each, in order");
    assert_eq!((offline_marks(&rig), rig.told_disconnected), (0, 0));
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_renewal_waits_for_the_last_acknowledgements() {
    let mut rig = online();
    rig.puback_delay = Some(3 * SECOND);
    rig.pass(48 * MINUTE - 2 * SECOND);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(4 * SECOND);
    assert_eq!(rig.session.status(rig.now()).link, LinkState::Online);
    assert_eq!((rig.cloud.connects, rig.delivered("n")), (2, vec![1]), "not sent a second time");
}

#[test]
fn a_key_that_cannot_sign_at_renewal_leaves_the_link_alone_until_the_token_ends() {
    let mut rig = online();
    rig.pass(47 * MINUTE);
    rig.tpm_busy = true;
    rig.pass(6 * MINUTE);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    assert_eq!((rig.session.status(rig.now()).link, rig.delivered("n")), (LinkState::Online, vec![1]));
    assert_eq!(trouble(&rig), Some(FailureKind::TpmBusy), "but it is said");
    rig.tpm_busy = false;
    rig.pass(6 * MINUTE);
    assert_eq!((rig.cloud.connects, trouble(&rig)), (2, None));
    assert_eq!((offline_marks(&rig), rig.told_disconnected), (0, 0));
    rig.tpm_busy = true;
    rig.pass(2 * HOUR);
    assert!(!rig.told_connected, "without a token there is no link in the end");
    rig.tpm_busy = false;
    rig.pass(6 * MINUTE);
    assert!(rig.is_online() && rig.told_connected);
}

#[test]
fn a_connection_that_ends_with_its_token_is_replaced_at_once() {
    for grace in [Duration::ZERO, 4 * MINUTE] {
        let mut rig = online();
        rig.cloud.expiry_grace = grace;
        rig.cut();
        rig.pass(10 * SECOND);
        assert_eq!(rig.cloud.connects, 2);
        rig.tpm_busy = true;
        rig.pass(HOUR + grace - 20 * SECOND);
        assert!(rig.is_online());
        rig.tpm_busy = false;
        rig.pass(21 * SECOND);
        assert!(rig.is_online());
        let [.., old, new] = rig.cloud.tried_at.as_slice() else { panic!("two connections") };
        let lasted = *new - *old;
        assert!((HOUR + grace - SECOND..HOUR + grace + 10 * LATENCY).contains(&lasted), "{lasted:?}");
    }
}

#[test]
fn a_renewal_without_a_portal_renews_all_the_same() {
    let mut rig = online();
    rig.portal_up = false;
    rig.crash();
    rig.pass(10 * SECOND);
    let connected = rig.cloud.connects;
    rig.pass(5 * HOUR);
    assert_eq!((rig.cloud.connects, rig.told_disconnected), (connected + 6, 0));
}

#[test]
fn a_link_that_breaks_during_its_renewal_comes_back() {
    // Every moment around the renewal, in steps shorter than each of its parts.
    for step in 0..40 {
        let mut rig = online();
        rig.portal_up = step % 2 == 0;
        rig.puback_delay = Some(3 * LATENCY);
        rig.pass(48 * MINUTE - SECOND - 5 * LATENCY);
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(LATENCY / 2 * step);
        rig.cut();
        rig.portal_up = true;
        rig.pass(MINUTE);
        assert!(rig.is_online(), "broken {step} half latencies around the renewal");
        assert!(rig.disk.rows.is_empty());
    }
}

#[test]
fn a_renewal_that_fails_is_an_outage_and_says_so() {
    let mut rig = online();
    assert!(rig.told_connected);
    rig.tpm_busy = true;
    rig.pass(HOUR);
    assert!(!rig.told_connected);
    rig.offer(1, vec![reading("n", 1)]);
    rig.tpm_busy = false;
    rig.pass(600 * SECOND);
    assert!(rig.told_connected);
    assert_eq!(rig.cloud.received[0]["od"], 1);
}
