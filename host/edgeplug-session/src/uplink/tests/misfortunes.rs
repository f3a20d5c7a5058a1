use proptest::prelude::*;

use super::*;
use crate::config::Durability;
use crate::rig::cases;

#[derive(Debug, Clone)]
enum Fate {
    Offer(u8),
    Pass(u16),
    Cut,
    Crash(bool),
    Restart,
    Network(bool),
    Evict(u8),
    SlowAcks(bool),
    SlowDisk(bool),
    DiskFails(bool),
    /// Every third row, by its length.
    DiskRefuses(bool),
    LoadFails,
    Renew,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (1_u8..40).prop_map(Fate::Offer),
        6 => (1_u16..3_000).prop_map(Fate::Pass),
        1 => Just(Fate::Cut),
        1 => any::<bool>().prop_map(Fate::Crash),
        1 => Just(Fate::Restart),
        2 => any::<bool>().prop_map(Fate::Network),
        1 => (1_u8..60).prop_map(Fate::Evict),
        1 => any::<bool>().prop_map(Fate::SlowAcks),
        1 => any::<bool>().prop_map(Fate::SlowDisk),
        1 => any::<bool>().prop_map(Fate::DiskFails),
        1 => any::<bool>().prop_map(Fate::DiskRefuses),
        1 => Just(Fate::LoadFails),
        1 => Just(Fate::Renew),
    ]
}

proptest! {
    #![proptest_config(cases(160))]
    /// Whatever happens in whatever order, in every mode: once the world is well again, what was accepted has arrived,
    /// each lane in order, unless it was evicted or in the memory of a process that was killed; nothing is left over; the
    /// counts agree.
    #[test]
    fn no_order_of_misfortunes_loses_a_row_that_is_kept(
        fates in proptest::collection::vec(fate(), 1..60),
        batched: bool,
        window in prop_oneof![Just(1_u16), 2_u16..20, Just(256)],
        in_flight_max in prop_oneof![Just(1_u16), 2_u16..10, Just(100)],
        mode in prop_oneof![3 => Just(Durability::Stored), 1 => Just(Durability::OfflineOnly), 1 => Just(Durability::None)],
    ) {
        let mut rig = online(|rig| {
            rig.config.batch = batched.then_some(BATCH);
            rig.config.window = window;
            rig.config.in_flight_max = in_flight_max;
            rig.config.durability = mode;
        });
        let (mut offered, mut gone) = (0_u64, BTreeSet::new());
        for fate in fates {
            match fate {
                Fate::Offer(count) => {
                    offer(&mut rig, offered..offered + u64::from(count));
                    offered += u64::from(count);
                }
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Cut => rig.cut(),
                Fate::Crash(_) | Fate::Restart => {
                    match fate {
                        Fate::Crash(keeps_unsaid) => {
                            rig.crash_keeps_unsaid = keeps_unsaid;
                            rig.crash();
                        }
                        _ => rig.restart(),
                    }
                    // What only the process held; what the store held is still there.
                    if mode != Durability::Stored {
                        gone.extend(accepted(&rig));
                        let kept: BTreeSet<_> = on_disk(&rig).into_iter().collect();
                        gone.retain(|n| !kept.contains(n));
                    }
                }
                Fate::Network(up) => rig.network(up),
                Fate::Evict(rows) => {
                    gone.extend(on_disk(&rig).into_iter().take(usize::from(rows)));
                    rig.evict(usize::from(rows));
                }
                Fate::SlowAcks(slow) => rig.puback_delay = Some(if slow { 3 * SECOND } else { Duration::from_millis(20) }),
                Fate::SlowDisk(slow) => {
                    let delay = if slow { 400 } else { 5 };
                    (rig.removal_delay, rig.commit_delay) = (Duration::from_millis(delay), Duration::from_millis(delay));
                }
                Fate::DiskFails(fails) => rig.disk_fails = fails,
                Fate::DiskRefuses(refuses) => {
                    rig.refuses_row = if refuses { |row| row.body.len() % 3 == 0 } else { |_| false };
                }
                Fate::LoadFails => rig.load_failures = 1,
                Fate::Renew => rig.pass(2_900 * SECOND),
            }
        }
        rig.puback_delay = Some(Duration::from_millis(20));
        (rig.removal_delay, rig.commit_delay) = (Duration::from_millis(5), Duration::from_millis(5));
        rig.disk_fails = false;
        rig.refuses_row = |_| false;
        rig.network(true);
        rig.pass(HOUR);
        prop_assert!(rig.is_online());
        let answered: BTreeSet<_> = rig.outcomes.iter().map(|(OfferId(offer), _)| *offer).collect();
        prop_assert_eq!(answered.len(), rig.outcomes.len(), "an offer was answered twice");
        assert_lanes_in_order(&rig.cloud.arrivals);
        let arrived = distinct(&rig.cloud.arrivals);
        let missing: Vec<_> = accepted(&rig).into_iter().filter(|n| !arrived.contains(n) && !gone.contains(n)).collect();
        prop_assert!(missing.is_empty(), "{:?} are lost", missing);
        prop_assert!(rig.disk.rows.is_empty());
        let counts = rig.session.status(rig.now()).uplink;
        prop_assert_eq!((counts.waiting, counts.backlog, counts.in_flight), (0, 0, 0));
    }
}
