use super::*;
use crate::shelf::{Hash, VersionId};

const WANTED: Probation = Probation { good_calls: 3, time: Duration::from_secs(60) };

fn trial() -> Trial {
    let hash = Hash::of(b"");
    Trial { id: VersionId { component: hash.clone(), manifest: hash }, elapsed_s: 0, good_calls: 0, starts: 2 }
}

#[test]
fn calls_and_time_are_both_wanted() {
    let now = Instant::now();
    let mut proof = Proof::new(WANTED, None, now);
    for _ in 0..3 {
        assert!(!proof.passed(now + Duration::from_secs(61)));
        proof.good_call();
    }
    assert!(!proof.passed(now + Duration::from_secs(59)));
    assert!(proof.passed(now + Duration::from_secs(60)));
    let status = proof.status(now + Duration::from_secs(10));
    assert_eq!((status.good_calls, status.good_calls_wanted, status.seconds_left), (3, 3, 50));
}

#[test]
fn a_version_that_nobody_calls_passes_after_an_hour() {
    let now = Instant::now();
    let mut proof = Proof::new(WANTED, None, now);
    assert!(!proof.passed(now + Duration::from_secs(3599)) && proof.passed(now + Duration::from_secs(3600)));
    proof.error();
    assert!(!proof.passed(now + Duration::from_secs(36_000)), "errors are no proof");
}

#[test]
fn a_restart_of_the_daemon_takes_nothing_back_but_a_fault_does() {
    let now = Instant::now();
    let mut proof = Proof::new(WANTED, None, now);
    proof.good_call();
    proof.good_call();
    let mut noted = trial();
    proof.note(&mut noted, now + Duration::from_secs(40));
    assert_eq!((noted.elapsed_s, noted.good_calls, noted.starts), (40, 2, 0));
    let later = now + Duration::from_secs(1000);
    let mut proof = Proof::new(WANTED, Some(&noted), later);
    proof.good_call();
    assert!(!proof.passed(later + Duration::from_secs(19)) && proof.passed(later + Duration::from_secs(20)));
    proof.fault(later);
    proof.good_call();
    assert!(!proof.passed(later + Duration::from_secs(60)));
}

#[test]
fn starts_are_forgiven_by_a_good_call_only() {
    let mut noted = trial();
    noted.good_calls = 1;
    Proof::new(WANTED, Some(&noted), Instant::now()).note(&mut noted, Instant::now());
    assert_eq!(noted.starts, 2);
}

#[test]
fn a_good_call_between_errors_saves_a_version() {
    let mut proof = Proof::new(WANTED, None, Instant::now());
    for _ in 0..3 {
        assert!((1..ERRORS_MAX).all(|_| !proof.error()));
        proof.good_call();
    }
    assert!((1..ERRORS_MAX).all(|_| !proof.error()) && proof.error());
}

#[test]
fn time_may_not_be_wanted_at_all() {
    let now = Instant::now();
    let mut proof = Proof::new(Probation { good_calls: 1, time: Duration::ZERO }, None, now);
    assert!(!proof.passed(now));
    proof.good_call();
    assert!(proof.passed(now));
    assert!(Proof::new(Probation { good_calls: 0, time: Duration::ZERO }, None, now).passed(now));
}

#[test]
fn progress_is_written_down_however_busy_the_plugin_is() {
    let now = Instant::now();
    let mut proof = Proof::new(WANTED, None, now);
    for second in 0..10 {
        assert_eq!(proof.next_look(now + Duration::from_secs(second)), now + NOTE_GAP);
    }
    proof.note(&mut trial(), now + NOTE_GAP);
    (0..3).for_each(|_| proof.good_call());
    assert_eq!(proof.next_look(now + NOTE_GAP), now + 2 * NOTE_GAP);
    proof.note(&mut trial(), now + Duration::from_secs(55));
    assert_eq!(proof.next_look(now + Duration::from_secs(56)), now + WANTED.time);
}
