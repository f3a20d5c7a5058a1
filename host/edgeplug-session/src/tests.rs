use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::action::Outcome;
use crate::event::{Event, Failure, FailureKind, LinkDownReason, LoadedRow, LoadedRows, Recorded, Reply};
use crate::rig::{LATENCY, Rig, cases, online, reading};
use crate::{AckId, CallId, ConnectionId, DeliveryId, KeySlot, OfferId, RowId, Ticket};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_reading_is_accepted_only_after_its_commit() {
    let mut rig = online();
    rig.offer(1, vec![reading("n", 1)]);
    assert!(rig.outcomes.is_empty(), "nothing is on disk yet");
    rig.pass(SECOND);
    assert_eq!(rig.outcomes, [(OfferId(1), vec![Outcome::Accepted])]);
    assert_eq!(rig.delivered("n"), [1]);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_store_that_fails_makes_a_refusal_not_a_silence() {
    let mut rig = online();
    rig.disk_fails = true;
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    assert_eq!(rig.outcomes, [(OfferId(1), vec![Outcome::Rejected("not stored: disk full".into())])]);
    assert_eq!(rig.delivered("n"), Vec::<i64>::new());
}

#[test]
fn each_sample_hears_what_became_of_it() {
    let mut rig = online();
    let mut mixed = reading("n", 1);
    mixed.values.push(("zzz".into(), 1.into()));
    rig.offer(1, vec![reading("n", 1), reading("nope", 1), mixed, reading("small", 99)]);
    rig.pass(SECOND);
    let [(_, outcomes)] = rig.outcomes.as_slice() else { panic!("one answer") };
    assert!(matches!(
        outcomes.as_slice(),
        [Outcome::Accepted, Outcome::Rejected(_), Outcome::AcceptedInPart(_), Outcome::Accepted]
    ));
    let fault = rig.cloud.received.iter().find(|body| body["mt"] == 1).unwrap();
    assert_eq!(fault["d"][0]["d"][0]["small"], "99");
}

#[test]
fn samples_from_before_the_first_sync_are_encoded_when_the_template_is_known() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    rig.offer(1, vec![reading("n", 1), reading("nope", 2)]);
    rig.pass(SECOND);
    assert_eq!(rig.outcomes, [(OfferId(1), vec![Outcome::Accepted, Outcome::Accepted])]);
    rig.crash();
    rig.network(true);
    rig.pass(400 * SECOND);
    assert_eq!(rig.delivered("n"), [1]);
    assert_eq!(rig.cloud.received[0]["od"], 1, "it waited offline");
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn what_was_in_flight_when_the_link_broke_is_sent_again_in_order() {
    let mut rig = online();
    rig.puback_delay = Some(10 * SECOND);
    for n in 0..250 {
        rig.offer(n, vec![reading("n", n)]);
    }
    rig.pass(SECOND);
    rig.cut();
    rig.puback_delay = Some(LATENCY);
    rig.pass(60 * SECOND);
    let delivered = rig.delivered("n");
    // A window on the wire and as many behind it.
    assert_eq!(delivered[..200], (0..200).collect::<Vec<_>>());
    assert_eq!(delivered[200..], (0..250).collect::<Vec<_>>());
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_hub_that_acknowledges_nothing_is_left_and_tried_again() {
    let mut rig = online();
    rig.puback_delay = None;
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(70 * SECOND);
    assert!(rig.cloud.connects >= 2);
    rig.puback_delay = Some(LATENCY);
    rig.pass(200 * SECOND);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_template_without_attributes_keeps_what_was_stored_before_it() {
    let mut rig = Rig::new();
    rig.cloud.no_attributes = true;
    rig.network(false);
    rig.boot();
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    rig.network(true);
    rig.pass(600 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.disk.rows.len(), 1);
    rig.cloud.no_attributes = false;
    rig.crash();
    rig.pass(600 * SECOND);
    assert_eq!(rig.delivered("n"), [1]);
}

#[test]
fn samples_that_grow_past_a_message_when_encoded_are_split() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    // Fits as stored; as report entries it is half as large again.
    rig.offer(1, (0..3_500).map(|n| reading("n", n)).collect());
    rig.pass(SECOND);
    assert!(rig.outcomes[0].1.iter().all(|outcome| *outcome == Outcome::Accepted));
    rig.network(true);
    rig.pass(600 * SECOND);
    assert_eq!(rig.delivered("n"), (0..3_500).collect::<Vec<_>>());
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_mixed_backlog_stays_within_the_window() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    for n in 0..400 {
        let mut sample = reading("n", n);
        if n % 3 == 0 {
            sample.values.push(("small".into(), 99.into()));
        }
        rig.offer(n, vec![sample]);
        rig.pass(Duration::from_millis(10));
    }
    rig.network(true);
    rig.puback_delay = Some(SECOND);
    rig.pass(600 * SECOND);
    assert_eq!(rig.delivered("n"), (0..400).collect::<Vec<_>>());
    assert_eq!(rig.cloud.connects, 1);
}

#[test]
fn nothing_spins_while_it_waits() {
    let mut rig = online();
    rig.handle(Event::PluginDown { plugin: "p".into(), gone: false });
    rig.network(false);
    rig.crash();
    rig.send_command("x", "a");
    rig.pass(10 * SECOND);
    for _ in 0..1_000 {
        let now = rig.now();
        let at = rig.session.poll_timeout().expect("something is always due");
        if at > now.monotonic {
            return;
        }
        rig.handle(Event::Woke);
    }
    panic!("a time-out stays in the past");
}

#[test]
fn a_slow_plugin_misses_ticks_and_catches_up_with_none() {
    let mut rig = online();
    rig.plugin_up("p", Some(10 * SECOND), false);
    rig.pass(35 * SECOND);
    assert_eq!(rig.delivered("n"), [1, 2, 3, 4]);
}

#[test]
fn stopping_closes_the_link_and_says_so() {
    let mut rig = online();
    rig.handle(Event::Stop);
    rig.pass(SECOND);
    assert!(rig.stopped);
    let mut offline = Rig::new();
    offline.network(false);
    offline.boot();
    offline.handle(Event::Stop);
    offline.pass(5 * SECOND);
    assert!(offline.stopped);
}

/// Ten plugins, an outage of four hours, a crash, a renewal every 48 minutes, a thousand commands: nothing is lost,
/// nothing acknowledged twice, and no renewal looks like an outage.
#[test]
fn a_day_with_an_outage_renewals_and_a_thousand_commands_loses_nothing() {
    let started = Instant::now();
    let mut rig = online();
    for n in 0..4 {
        rig.plugin_up(&format!("sensor-{n}"), Some(20 * SECOND), false);
    }
    rig.plugin_up("actor", None, true);
    let minute = 60 * SECOND;
    for n in 0..24 * 60_u32 {
        match n {
            600 => rig.network(false),
            700 => {
                rig.crash();
                for n in 0..4 {
                    rig.plugin_up(&format!("sensor-{n}"), Some(20 * SECOND), false);
                }
                rig.plugin_up("actor", None, true);
                rig.handle(Event::PluginsScanned);
            }
            840 => rig.network(true),
            _ => {}
        }
        if n < 1_000 {
            rig.send_command(&format!("do {n}"), &format!("ack-{n}"));
        }
        rig.pass(minute);
    }
    rig.pass(10 * minute);
    let mut delivered = rig.delivered("n");
    let in_order = delivered.clone();
    delivered.sort_unstable();
    delivered.dedup();
    assert!(delivered.len() > 17_000);
    let missing: Vec<_> = (1..=*delivered.last().unwrap()).filter(|n| delivered.binary_search(n).is_err()).collect();
    // What a plugin had measured but the store had not committed when the process was killed was never accepted.
    assert!(missing.len() <= 4, "{missing:?}");
    assert!(in_order.len() - delivered.len() <= 200, "duplicates only of what was in flight");
    let acks: std::collections::BTreeSet<_> = rig.acks().into_iter().collect();
    assert_eq!(acks.len(), 1_000);
    assert!(acks.iter().all(|(_, status)| *status == 6));
    assert!(rig.cloud.connects >= 24, "{} connects", rig.cloud.connects);
    assert!(rig.disk.rows.is_empty() && rig.disk.acks.is_empty());
    let offline = rig.cloud.received.iter().filter(|body| body["od"] == 1 && body["mt"] == 0).count();
    // Four hours of four plugins at three a minute, and the first reconnect after it.
    assert!((2_700..3_100).contains(&offline), "{offline}");
    println!("a simulated day took {:?}", started.elapsed());
}

/// Events that answer nothing, or something long past.
fn stray() -> impl Strategy<Value = fn(u64) -> Event> {
    fn failure() -> Failure {
        Failure { kind: FailureKind::Protocol, text: "stray".into() }
    }
    let strays: [fn(u64) -> Event; 20] = [
        |n| Event::IdentityOpened { ticket: Ticket(n), result: Err(failure()) },
        |n| Event::HttpDone { ticket: Ticket(n), result: Err(failure()) },
        |n| Event::Activated { ticket: Ticket(n), slot: KeySlot::Hub, result: Ok(()) },
        |n| Event::Signed { ticket: Ticket(n), result: Ok(vec![0; 32]) },
        |n| Event::LinkUp { connection: ConnectionId(n % 3) },
        |n| Event::LinkDown { connection: ConnectionId(n % 4), reason: LinkDownReason::Closed },
        |n| Event::Delivered { connection: ConnectionId(n % 3), tickets: vec![Ticket(n), Ticket(n), Ticket(u64::MAX)] },
        |n| Event::Committed { rows: vec![(Ticket(n), RowId(n)), (Ticket(n), RowId(u64::MAX))] },
        |n| Event::NotStored { tickets: vec![Ticket(n), Ticket(n)], reason: "stray".into() },
        |n| Event::Removed { rows: n.wrapping_sub(1) },
        |n| Event::Evicted { through: RowId(n.saturating_sub(30)), rows: u64::MAX },
        |n| Event::Loaded { ticket: Ticket(n), result: Ok(LoadedRows { rows: Vec::new(), more: true }) },
        |n| Event::Loaded {
            ticket: Ticket(n),
            result: Ok(LoadedRows { rows: vec![row(n), row(0)], more: n.is_multiple_of(2) }),
        },
        |n| Event::Recorded { ticket: Ticket(n), result: Ok(Recorded::Seen { finished: false }) },
        |n| Event::Finished { ticket: Ticket(n), result: Ok(Some(AckId(n))) },
        |n| Event::PluginDown { plugin: format!("p{}", n % 3), gone: n.is_multiple_of(2) },
        |n| Event::Sampled { plugin: "q".into(), call: CallId(n), result: Ok(vec![reading("n", n)]) },
        |n| Event::Replied { plugin: "p0".into(), call: CallId(n), result: Ok(Reply::Done("stray".into())) },
        |n| Event::Received {
            connection: ConnectionId(n % 3),
            delivery: DeliveryId(n),
            topic: "devices/CP-GW/messages/devicebound/%".into(),
            payload: b"[[[".as_slice().into(),
        },
        |_| Event::PluginsScanned,
    ];
    proptest::sample::select(strays.as_slice().to_vec())
}

fn row(n: u64) -> LoadedRow {
    let body = if n.is_multiple_of(2) { "{}" } else { "\u{0}" };
    LoadedRow { id: RowId(n), kind: (n % 12) as u8, offline: true, created_unix_ms: i64::MIN, body: body.into() }
}

#[derive(Debug, Clone)]
enum Fate {
    Offer(u8),
    Pass(u16),
    Cut,
    /// Whether the disk keeps what the process had not heard of.
    Crash(bool),
    Restart,
    Network(bool),
    Portal(bool),
    Tpm(bool),
    LedgerFails(bool),
    Command(u8),
    /// Whether the plugin answers.
    Answers(bool),
    SlowAcks(bool),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (1_u8..20).prop_map(Fate::Offer),
        4 => (1_u16..5_000).prop_map(Fate::Pass),
        1 => Just(Fate::Cut),
        1 => any::<bool>().prop_map(Fate::Crash),
        1 => Just(Fate::Restart),
        1 => any::<bool>().prop_map(Fate::Network),
        1 => any::<bool>().prop_map(Fate::Portal),
        1 => any::<bool>().prop_map(Fate::Tpm),
        1 => any::<bool>().prop_map(Fate::LedgerFails),
        1 => any::<bool>().prop_map(Fate::Answers),
        2 => any::<u8>().prop_map(Fate::Command),
        1 => any::<bool>().prop_map(Fate::SlowAcks),
    ]
}

proptest! {
    #![proptest_config(cases(256))]
    /// Events that nobody asked for neither break nor wake anything for ever, and nothing grows with them.
    #[test]
    fn stray_events_are_borne(strays in proptest::collection::vec((stray(), 0_u64..80), 1..200)) {
        let mut rig = online();
        rig.plugin_up("p0", Some(SECOND), true);
        rig.handle(Event::Offered { plugin: "p0".into(), offer: OfferId(1), samples: vec![reading("n", 1)] });
        for (stray, n) in strays {
            let mut now = rig.now();
            now.monotonic += Duration::from_millis(n);
            rig.session.handle(stray(n), now);
            let actions = std::iter::from_fn(|| rig.session.poll_action()).count();
            prop_assert!(actions <= 20, "{} actions", actions);
            for _ in 0..3 {
                rig.session.handle(Event::Woke, now);
                while rig.session.poll_action().is_some() {}
            }
            prop_assert!(rig.session.poll_timeout().is_none_or(|at| at > now.monotonic), "it spins");
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]
    /// Whatever happens in whatever order: once the world is well again, every accepted reading has arrived, in order
    /// but for repetitions, and every command that the ledger took has exactly one outcome.
    #[test]
    fn no_order_of_misfortunes_loses_an_accepted_reading(fates in proptest::collection::vec(fate(), 1..60)) {
        let mut rig = online();
        rig.plugin_up("actor", None, true);
        let (mut offered, mut commands) = (0_u64, 0_u64);
        for fate in fates {
            match fate {
                Fate::Offer(count) => for _ in 0..count {
                    rig.offer(offered, vec![reading("n", offered)]);
                    offered += 1;
                },
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Cut => rig.cut(),
                Fate::Crash(_) | Fate::Restart => {
                    match fate {
                        Fate::Crash(keeps_unsaid) => {
                            rig.crash_keeps_unsaid = keeps_unsaid;
                            rig.crash();
                        }
                        _ => {
                            rig.handle(Event::PluginsStopping);
                            rig.restart();
                        }
                    }
                    rig.plugin_up("actor", None, true);
                    rig.handle(Event::PluginsScanned);
                }
                Fate::Network(up) => rig.network(up),
                Fate::Portal(up) => rig.portal_up = up,
                Fate::Tpm(busy) => rig.tpm_busy = busy,
                Fate::LedgerFails(fails) => rig.ledger_fails = fails,
                Fate::Answers(answers) => {
                    rig.answer = if answers { |_| Some(Ok(Reply::Done("done".into()))) } else { |_| None };
                }
                Fate::Command(n) => { commands += 1; rig.send_command(&format!("c{n}"), &format!("id-{commands}")); }
                Fate::SlowAcks(slow) => rig.puback_delay = Some(if slow { 3 * SECOND } else { LATENCY }),
            }
        }
        rig.puback_delay = Some(LATENCY);
        (rig.portal_up, rig.tpm_busy, rig.ledger_fails) = (true, false, false);
        rig.network(true);
        rig.pass(2 * HOUR);
        prop_assert!(rig.is_online());
        let delivered: std::collections::BTreeSet<_> = rig.delivered("n").into_iter().collect();
        for (OfferId(offer), outcomes) in &rig.outcomes {
            if outcomes == &[Outcome::Accepted] {
                prop_assert!(delivered.contains(&i64::try_from(*offer).unwrap()), "lost {}", offer);
            }
        }
        prop_assert!(rig.disk.rows.is_empty());
        prop_assert!(rig.disk.commands.values().all(|(_, finished)| *finished));
        let ids: std::collections::BTreeSet<_> = rig.acks().into_iter().collect();
        prop_assert_eq!(ids.len() as u64, commands, "{:?}", ids);
        prop_assert!(rig.disk.acks.is_empty());
    }
}
