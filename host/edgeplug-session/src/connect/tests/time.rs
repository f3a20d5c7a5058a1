use super::*;

#[test]
fn no_jump_of_the_clock_is_noticed_by_anybody() {
    let jumps = [YEARS_MS, -YEARS_MS, -START_UNIX_MS, 0, 7 * 60_000, -DAY_MS];
    for trusted in [true, false] {
        let mut rig = online();
        rig.cloud.certificate = Some(START_UNIX_MS - 90 * DAY_MS..START_UNIX_MS + 90 * DAY_MS);
        rig.wall_trusted = trusted;
        for n in 0..2 * 24 * 20 {
            rig.wall_off_by_ms = jumps[n % jumps.len()];
            rig.pass(3 * MINUTE);
            rig.offer(n as u64, vec![reading("n", n as u64)]);
            rig.pass(5 * LATENCY);
            assert!(rig.told_connected);
            assert_eq!(rig.delivered("n").len(), n + 1);
            assert!(stamp_error_ms(&rig) <= 1_000, "jump {n}: off by {} ms", stamp_error_ms(&rig));
        }
        assert_eq!((offline_marks(&rig), rig.told_disconnected), (0, 0));
        assert!((55..=70).contains(&rig.cloud.connects), "{} connects", rig.cloud.connects);
        rig.crash();
        rig.pass(10 * SECOND);
        rig.offer(5_000, vec![reading("n", 5_000)]);
        rig.pass(SECOND);
        assert!(stamp_error_ms(&rig) <= 2_000, "nor is it by the next run");
    }
}

#[test]
fn a_device_without_a_clock_starts_where_it_left_off() {
    let mut rig = online();
    rig.cloud.certificate = Some(START_UNIX_MS - 90 * DAY_MS..START_UNIX_MS + 90 * DAY_MS);
    rig.pass(2 * HOUR);
    for wall_lost_ms in [START_UNIX_MS, -YEARS_MS, YEARS_MS] {
        rig.wall_off_by_ms = 0;
        rig.reboot(wall_lost_ms);
        assert!(!rig.session.status(rig.now()).time_known);
        rig.pass(MINUTE);
        assert!(rig.is_online(), "clock behind by {wall_lost_ms} ms");
        assert!(rig.session.status(rig.now()).time_known);
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(5 * LATENCY);
        assert!(stamp_error_ms(&rig) <= 1_200);
    }
}

#[test]
fn a_device_that_never_knew_the_time_says_so_and_connects_when_it_does() {
    let mut rig = Rig::new();
    rig.cloud.certificate = Some(START_UNIX_MS - 90 * DAY_MS..START_UNIX_MS + 90 * DAY_MS);
    rig.wall_off_by_ms = -START_UNIX_MS;
    rig.wall_trusted = false;
    rig.boot();
    rig.pass(HOUR);
    let status = rig.session.status(rig.now());
    assert!(!status.time_known && rig.cloud.connects == 0);
    let trouble = status.trouble.unwrap();
    assert_eq!(trouble.kind, FailureKind::Certificate);
    assert!(trouble.text.contains("time of day is not known"), "{}", trouble.text);
    rig.wall_off_by_ms = 0;
    rig.wall_trusted = true;
    rig.handle(Event::Woke);
    rig.pass(SECOND);
    assert!(rig.is_online(), "as soon as anything shows it");
}

#[test]
fn without_a_portal_a_plausible_clock_is_enough_for_the_hub_and_1970_is_not() {
    let known_hub = || {
        let mut rig = online();
        rig.portal_up = false;
        rig
    };
    let mut right = known_hub();
    right.reboot(0);
    assert!(!right.session.status(right.now()).time_known, "nobody has said so yet");
    right.pass(10 * SECOND);
    assert!(right.is_online());
    assert!(right.session.status(right.now()).time_known, "the hub took the token");

    let mut wrong = known_hub();
    wrong.reboot(START_UNIX_MS);
    wrong.pass(10 * MINUTE);
    assert_eq!((trouble(&wrong), wrong.cloud.tried_at.len()), (Some(FailureKind::TimeUnknown), 1));
    wrong.portal_up = true;
    wrong.pass(6 * MINUTE);
    assert!(wrong.is_online());
}

/// The monotonic clock of a virtual machine stands still while it is paused, and nothing tells the guest.
#[test]
fn a_paused_machine_asks_for_the_time_with_its_next_renewal() {
    let mut rig = online();
    rig.pass(10 * MINUTE);
    rig.real_unix_ms += 40 * 60_000;
    rig.pass(40 * MINUTE);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(5 * LATENCY);
    assert!(stamp_error_ms(&rig) <= 1_000, "off by {} ms", stamp_error_ms(&rig));
    assert_eq!(rig.told_disconnected, 0);
}

#[test]
fn a_token_dated_by_a_wrong_clock_is_replaced_when_the_right_time_is_learnt() {
    let mut rig = online();
    rig.portal_up = false;
    // Behind by less than the token's life: the hub takes it, and will close early.
    rig.reboot(30 * 60_000);
    rig.config.boot_id.clear();
    rig.disk.forget_the_clock();
    rig.crash();
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
    rig.pass(5 * MINUTE);
    rig.wall_off_by_ms = 0;
    rig.wall_trusted = true;
    rig.handle(Event::Woke);
    rig.pass(2 * HOUR);
    assert!(rig.is_online());
    assert_eq!(rig.told_disconnected, 0, "renewed before the hub could object");
}

/// A wrong clock was called right while nobody could be asked; it is right again when the hub can be reached.
#[test]
fn a_disputed_clock_dates_no_token_while_the_portal_can_be_asked() {
    for wait_min in [1, 2, 4, 8, 16] {
        let mut rig = online();
        rig.network(false);
        rig.reboot(0);
        (rig.wall_off_by_ms, rig.wall_trusted) = (-12 * 60_000, true);
        rig.pass(wait_min * MINUTE);
        rig.wall_off_by_ms = 0;
        rig.network(true);
        rig.pass(11 * MINUTE);
        assert!(rig.is_online());
        let told_disconnected = rig.told_disconnected;
        rig.pass(3 * HOUR);
        assert_eq!(rig.told_disconnected, told_disconnected, "after {wait_min} minutes without a network");
    }
}

#[test]
fn a_disputed_clock_keeps_nobody_from_the_hub_while_the_portal_cannot_be_asked() {
    let mut rig = online();
    rig.network(false);
    rig.portal_up = false;
    rig.reboot(0);
    (rig.wall_off_by_ms, rig.wall_trusted) = (-12 * 60_000, true);
    rig.pass(20 * MINUTE);
    rig.wall_off_by_ms = 0;
    rig.network(true);
    rig.pass(6 * MINUTE);
    assert!(rig.is_online());
}
