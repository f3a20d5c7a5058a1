use proptest::prelude::*;

use super::*;
use crate::rig::cases;

#[derive(Debug, Clone)]
enum Fate {
    Pass(u32),
    /// Where the wall clock stands, and whether the system calls that right.
    Clock(i64, bool),
    Network(bool),
    Portal(bool),
    /// Something else answers in its place.
    Nonsense(bool),
    Tpm(bool),
    Refuse(bool),
    Kicks(Option<u16>),
    Cut,
    Crash,
    Reboot,
}

fn fate() -> impl Strategy<Value = Fate> {
    let off_by_ms = prop_oneof![Just(YEARS_MS), Just(-YEARS_MS), Just(-START_UNIX_MS), Just(0), -DAY_MS..DAY_MS];
    prop_oneof![
        4 => (0_u32..3_000_000).prop_map(Fate::Pass),
        2 => (off_by_ms, any::<bool>()).prop_map(|(off_by_ms, trusted)| Fate::Clock(off_by_ms, trusted)),
        1 => any::<bool>().prop_map(Fate::Network),
        1 => any::<bool>().prop_map(Fate::Portal),
        1 => any::<bool>().prop_map(Fate::Nonsense),
        1 => any::<bool>().prop_map(Fate::Tpm),
        1 => any::<bool>().prop_map(Fate::Refuse),
        1 => proptest::option::of(0_u16..500).prop_map(Fate::Kicks),
        1 => Just(Fate::Cut),
        1 => Just(Fate::Crash),
        1 => Just(Fate::Reboot),
    ]
}

proptest! {
    #![proptest_config(cases(128))]
    /// Whatever happens in whatever order: once the world is well again, the device is online, knows the time, and
    /// stays so.
    #[test]
    fn no_order_of_misfortunes_keeps_a_device_from_its_hub(fates in proptest::collection::vec(fate(), 1..40)) {
        let mut rig = online();
        rig.cloud.certificate = Some(START_UNIX_MS - 90 * DAY_MS..START_UNIX_MS + 90 * DAY_MS);
        for fate in fates {
            match fate {
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Clock(off_by_ms, trusted) => {
                    rig.wall_off_by_ms = off_by_ms;
                    rig.wall_trusted = trusted;
                }
                Fate::Network(up) => rig.network(up),
                Fate::Portal(up) => rig.portal_up = up,
                Fate::Nonsense(says) => rig.cloud.portal_says = says.then_some(Ok((200, "<html>"))),
                Fate::Tpm(busy) => rig.tpm_busy = busy,
                Fate::Refuse(refuse) => rig.cloud.refuse = refuse,
                Fate::Kicks(after_s) => rig.cloud.kicks_after = after_s.map(|s| Duration::from_secs(s.into())),
                Fate::Cut => rig.cut(),
                Fate::Crash => rig.crash(),
                Fate::Reboot => rig.reboot(0),
            }
        }
        rig.network(true);
        rig.cloud.portal_says = None;
        (rig.portal_up, rig.tpm_busy, rig.cloud.refuse, rig.cloud.kicks_after) = (true, false, false, None);
        (rig.wall_off_by_ms, rig.wall_trusted) = (0, true);
        rig.pass(HOUR);
        prop_assert!(rig.is_online(), "{:?}", rig.session.status(rig.now()));
        let told_disconnected = rig.told_disconnected;
        rig.pass(3 * HOUR);
        prop_assert_eq!(rig.told_disconnected, told_disconnected);
        prop_assert_eq!(trouble(&rig), None);
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(SECOND);
        prop_assert!(stamp_error_ms(&rig) <= 2_000, "off by {} ms", stamp_error_ms(&rig));
    }
}
