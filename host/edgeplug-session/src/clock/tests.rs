use std::collections::VecDeque;
use std::time::Duration;

use super::{BUILD_UNIX_MS, Clock, Now};
use crate::Action;
use crate::action::Fact;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const YEARS_MS: i64 = 10 * 365 * DAY_MS;
/// 2026-11-23T00:00:00.250Z.
const START_UNIX_MS: i64 = 1_795_392_000_250;

/// A device's clocks beside what time it really is.
struct Device {
    clock: Clock,
    real_unix_ms: i64,
    wall_off_by_ms: i64,
    wall_trusted: bool,
    monotonic_ms: i64,
    /// What was asked for, latest first.
    kept: Vec<bytes::Bytes>,
    corrections: Vec<i64>,
}

impl Device {
    fn new(wall_off_by_ms: i64, wall_trusted: bool) -> Self {
        let (kept, corrections) = (Vec::new(), Vec::new());
        let clock = Clock::new("boot-1".into());
        let real_unix_ms = START_UNIX_MS;
        Self { clock, real_unix_ms, wall_off_by_ms, wall_trusted, monotonic_ms: 5_000, kept, corrections }
    }

    fn in_1970() -> Self {
        Self::new(-START_UNIX_MS, false)
    }

    fn now(&self) -> Now {
        Now {
            monotonic: Duration::from_millis(u64::try_from(self.monotonic_ms).unwrap()),
            wall_unix_ms: self.real_unix_ms + self.wall_off_by_ms,
            wall_trusted: self.wall_trusted,
        }
    }

    fn look(&mut self) {
        let now = self.now();
        self.clock.observe(now);
        self.settle();
    }

    fn settle(&mut self) {
        let mut actions = VecDeque::new();
        self.clock.settle(self.now(), &mut actions);
        for action in actions {
            match action {
                Action::CorrectClock { unix_ms_at_zero } => self.corrections.insert(0, unix_ms_at_zero),
                Action::Keep { fact: Fact::Clock, value } => self.kept.insert(0, value),
                other => panic!("{other:?}"),
            }
        }
    }

    fn pass(&mut self, ms: i64) {
        self.real_unix_ms += ms;
        self.monotonic_ms += ms;
        self.look();
    }

    fn date(&mut self) {
        self.clock.learn(self.real_unix_ms.div_euclid(1000), self.now());
        self.settle();
    }

    /// How far off stamps are.
    fn error_ms(&self) -> i64 {
        (self.clock.unix_ms(self.now()) - self.real_unix_ms).abs()
    }

    fn is_known(&self) -> bool {
        self.clock.is_known(self.now())
    }

    /// The daemon starts again, with what was written down.
    fn restart(&mut self) {
        self.clock = Clock::new("boot-1".into());
        self.restore();
    }

    fn reboot(&mut self) {
        self.clock = Clock::new("boot-2".into());
        self.monotonic_ms = 5_000;
        self.restore();
    }

    fn restore(&mut self) {
        let now = self.now();
        self.clock.observe(now);
        self.clock.restore(self.kept.first(), now);
        self.corrections.clear();
        self.settle();
    }
}

#[test]
fn a_wall_clock_is_worth_what_vouches_for_it() {
    // wall clock off by, synchronised → known, may sign
    let table = [
        ("right and synchronised", 0, true, true, true),
        ("right, nobody says so", 0, false, false, true),
        ("1970", -START_UNIX_MS, false, false, false),
        ("1970, called synchronised", -START_UNIX_MS, true, false, false),
        ("ahead, nobody says so", YEARS_MS, false, false, true),
        ("behind the build", -DAY_MS * 365, false, false, false),
        ("past the year 9999", 300_000_000_000_000, true, false, false),
        ("before 1970", -3 * START_UNIX_MS, true, false, false),
    ];
    for (case, off_by_ms, trusted, known, signs) in table {
        let mut device = Device::new(off_by_ms, trusted);
        device.look();
        assert_eq!((device.is_known(), device.clock.can_sign(device.now())), (known, signs), "{case}");
        assert_eq!(device.clock.unix_ms_at(0).is_some(), known, "{case}");
        device.date();
        assert!(device.is_known() && device.clock.can_sign(device.now()), "{case}");
        assert!(device.error_ms() <= 1_000, "{case}: off by {} ms", device.error_ms());
    }
}

#[test]
fn a_date_makes_no_right_clock_coarser() {
    for (off_by_ms, trusted) in [(0, true), (0, false), (700, true), (-700, false), (3 * MINUTE_MS, true)] {
        let mut device = Device::new(off_by_ms, trusted);
        device.look();
        for _ in 0..20 {
            device.pass(777);
            device.date();
            assert_eq!(device.error_ms(), off_by_ms.abs(), "the wall clock is finer than a date");
        }
    }
    let mut unsynchronised = Device::new(3 * MINUTE_MS, false);
    unsynchronised.date();
    assert!(unsynchronised.error_ms() <= 1_000, "but a date is better than a clock that nobody sets");
    let before = unsynchronised.error_ms();
    unsynchronised.pass(600);
    unsynchronised.date();
    assert_eq!(unsynchronised.error_ms(), before, "stamps do not dither with every date");
}

#[test]
fn no_jump_of_the_wall_clock_moves_the_stamps() {
    for trusted in [true, false] {
        let mut device = Device::new(0, trusted);
        device.look();
        device.date();
        let mut rng = fastrand::Rng::with_seed(3);
        for n in 0..5_000 {
            device.wall_off_by_ms = [YEARS_MS, -YEARS_MS, 0, -START_UNIX_MS, 6 * MINUTE_MS][n % 5];
            device.wall_trusted = trusted && rng.bool();
            device.pass(rng.i64(1..10 * MINUTE_MS));
            if n % 7 == 0 {
                device.date();
            }
            assert!(device.error_ms() <= 1_000, "jump {n}: off by {} ms", device.error_ms());
            assert!(device.is_known());
        }
        let corrected = device.corrections.first().copied().unwrap_or_default();
        assert!((corrected + device.monotonic_ms - device.real_unix_ms).abs() <= MINUTE_MS + 1_000);
    }
}

#[test]
fn small_corrections_of_a_synchronised_clock_are_followed_at_once() {
    let mut device = Device::new(1_500, true);
    device.look();
    device.wall_off_by_ms = 0;
    device.pass(10);
    assert_eq!(device.error_ms(), 0);
}

#[test]
fn a_date_settles_a_dispute_of_two_clocks() {
    // Set by hand before the start, and called synchronised all the same.
    let mut device = Device::new(-DAY_MS, true);
    device.look();
    assert_eq!(device.error_ms(), DAY_MS);
    device.wall_off_by_ms = 0;
    device.pass(1_000);
    assert!(device.clock.is_contested(device.now()), "the clock was set right, but who knows");
    device.date();
    assert_eq!(device.error_ms(), 0);
    assert!(!device.clock.is_contested(device.now()));
}

#[test]
fn a_restart_in_the_same_boot_keeps_the_time() {
    for off_by_ms in [0, YEARS_MS, -YEARS_MS, -START_UNIX_MS] {
        let mut device = Device::new(0, false);
        device.date();
        device.wall_off_by_ms = off_by_ms;
        device.wall_trusted = true;
        device.pass(DAY_MS);
        device.restart();
        assert!(device.is_known());
        assert!(device.error_ms() <= 1_000);
    }
}

#[test]
fn after_a_boot_the_last_known_time_is_only_a_floor() {
    let mut device = Device::new(0, true);
    device.look();
    device.wall_off_by_ms = -START_UNIX_MS - DAY_MS;
    device.wall_trusted = false;
    device.reboot();
    assert!(!device.is_known() && !device.clock.can_sign(device.now()));
    let checked_at = device.corrections[0] + device.monotonic_ms;
    assert_eq!(checked_at, START_UNIX_MS, "certificates are checked at the floor");
    // A clock that lost ten minutes is before the floor: wrong.
    device.wall_off_by_ms = -10 * MINUTE_MS;
    assert!(!device.clock.can_sign(device.now()));
    device.wall_off_by_ms = 0;
    assert!(device.clock.can_sign(device.now()));
}

#[test]
fn without_a_floor_certificates_are_checked_at_the_build() {
    let mut device = Device::in_1970();
    device.look();
    assert_eq!(device.corrections, [BUILD_UNIX_MS - device.monotonic_ms + 5_000]);
}

#[test]
fn a_bad_certificate_makes_an_unknown_clock_doubt_itself_in_turn() {
    let mut device = Device::new(YEARS_MS, false);
    device.look();
    assert!(device.corrections.is_empty(), "the wall clock is tried first");
    device.clock.certificate_failed();
    device.settle();
    assert_eq!(device.corrections, [BUILD_UNIX_MS], "then the floor");
    assert!(!device.clock.can_sign(device.now()), "a doubted clock dates no token");
    device.clock.certificate_failed();
    device.settle();
    assert_eq!(device.clock.unix_ms(device.now()), device.now().wall_unix_ms);
    device.date();
    device.clock.certificate_failed();
    assert!(device.error_ms() <= 1_000, "stamps are not moved by a certificate");
}

#[test]
fn a_clock_that_was_called_right_and_was_not_locks_nobody_out() {
    let mut device = Device::new(YEARS_MS, true);
    device.look();
    // Now it is set right, but the anchor does not follow.
    device.wall_off_by_ms = 0;
    device.pass(1_000);
    let checked_at = |device: &Device| device.corrections[0] + device.monotonic_ms - device.real_unix_ms;
    assert_eq!(checked_at(&device), YEARS_MS);
    for off_by_ms in [0, YEARS_MS, 0] {
        device.clock.certificate_failed();
        device.settle();
        assert_eq!(checked_at(&device), off_by_ms, "in turn");
    }
    device.date();
    assert_eq!(device.error_ms(), 0);
}

#[test]
fn a_floor_that_a_clock_years_ahead_left_behind_locks_nobody_out() {
    let mut device = Device::new(YEARS_MS, true);
    device.look();
    device.wall_off_by_ms = 0;
    device.wall_trusted = false;
    device.reboot();
    let checked_off_by = |device: &Device| {
        let at_zero = device.corrections.first().copied().unwrap_or(device.now().wall_unix_ms - device.monotonic_ms);
        at_zero + device.monotonic_ms - device.real_unix_ms
    };
    let mut tried = vec![checked_off_by(&device)];
    for _ in 0..3 {
        device.clock.certificate_failed();
        device.settle();
        tried.push(checked_off_by(&device));
        assert!(!device.clock.can_sign(device.now()), "before the floor nothing is signed");
    }
    assert_eq!(tried, [YEARS_MS, 0, YEARS_MS, 0], "in turn");
    device.date();
    assert!(device.is_known() && device.error_ms() <= 1_000);
    device.reboot();
    assert!(device.clock.can_sign(device.now()), "and the floor is right again");
}

#[test]
fn the_hubs_word_is_good_until_a_better_one_comes() {
    let mut device = Device::new(20 * MINUTE_MS, false);
    device.look();
    device.clock.vouched(device.now());
    device.settle();
    assert!(device.is_known() && !device.clock.is_sure(device.now()));
    assert!(device.kept.is_empty(), "not good enough to outlive a restart");
    device.wall_off_by_ms = YEARS_MS;
    device.pass(1_000);
    assert_eq!(device.error_ms(), 20 * MINUTE_MS, "jumps change nothing");
    device.wall_off_by_ms = 0;
    device.wall_trusted = true;
    device.pass(1_000);
    assert_eq!(device.error_ms(), 0, "the system has found a time server");
}

#[test]
fn the_time_is_written_down_hourly_and_when_it_changes() {
    let mut device = Device::new(0, true);
    device.look();
    assert_eq!(device.kept.len(), 1);
    for _ in 0..24 * 60 {
        device.pass(MINUTE_MS);
    }
    assert_eq!(device.kept.len(), 25);
    device.wall_off_by_ms = YEARS_MS;
    device.pass(1_000);
    assert_eq!(device.kept.len(), 25, "a jump is no news");
}

#[test]
fn what_the_disk_says_is_not_believed_blindly() {
    let same_boot =
        |unix_ms: i64, at_zero: i64| format!(r#"{{"unix_ms":{unix_ms},"boot":"boot-1","unix_ms_at_zero":{at_zero}}}"#);
    let hostile = [
        String::new(),
        "null".into(),
        "[".repeat(10_000),
        same_boot(i64::MAX, i64::MAX),
        same_boot(i64::MIN, i64::MIN),
        same_boot(0, 0),
        // Written later than it is now: another clock.
        same_boot(START_UNIX_MS + DAY_MS, START_UNIX_MS - 5_000),
        same_boot(START_UNIX_MS, i64::MIN),
        r#"{"unix_ms":1795392000000,"boot":"","unix_ms_at_zero":1795392000000}"#.into(),
    ];
    for text in hostile {
        for boot_id in ["boot-1", ""] {
            let mut device = Device::in_1970();
            device.clock = Clock::new(boot_id.into());
            device.clock.restore(Some(&text.clone().into()), device.now());
            device.look();
            assert!(!device.is_known(), "{text:.60}");
            device.date();
            assert!(device.error_ms() <= 1_000, "{text:.60}");
        }
    }
}

#[test]
fn senseless_dates_teach_nothing() {
    for date in [i64::MIN, -1, 0, BUILD_UNIX_MS / 1000 - 1, 253_402_300_800, i64::MAX] {
        let mut device = Device::in_1970();
        device.clock.learn(date, device.now());
        device.settle();
        assert!(!device.is_known(), "{date}");
    }
}
