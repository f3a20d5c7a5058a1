#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use edgeplug_cloud::{AckKind, Owed};

use super::*;

const FIRMWARE: &[u8] = b"firmware";

fn payload(name: &str, child: Option<&str>) -> Payload {
    Payload { name: name.to_owned(), child: child.map(str::to_owned), contents: vec![Content::of(FIRMWARE)] }
}

/// An update for the device itself and a child that went as it should.
fn judge() -> Judge {
    let mut judge = Judge::default();
    let payload = vec![payload("own.bin", None), payload("childs.bin", Some("C1"))];
    judge.promise(Promise { ack_id: "u1".to_owned(), end: End::Done, says: "", payload });
    for name in ["own.bin", "childs.bin"] {
        judge.was_handed_over(handed_over(name, FIRMWARE));
    }
    judge
}

fn handed_over(name: &str, bytes: &[u8]) -> HandedOver {
    HandedOver { version: "u1".to_owned(), name: name.to_owned(), content: Content::of(bytes) }
}

fn ack(child: Option<&str>, status: i64) -> Ack {
    Ack {
        record: 0,
        protocol: Protocol::Legacy,
        kind: AckKind::Firmware,
        ack_id: "u1".to_owned(),
        status,
        message: String::new(),
        child: child.map(str::to_owned),
    }
}

/// As it came on the first connection.
fn told(ack: Ack) -> Told {
    Told { ack, connection: 1, body: Bytes::from_static(b"at ten") }
}

fn acks() -> Vec<Told> {
    vec![told(ack(None, 7)), told(ack(Some("C1"), 7))]
}

fn owed() -> Owed {
    Owed { ack_id: "u1".to_owned(), child: None, kind: AckKind::Firmware }
}

/// Missing, double, bad and left over.
fn figures(judge: &Judge, balance: &AckBalance, told: &[Told], leftovers: &[String]) -> [u64; 4] {
    let mut verdict = Verdict::default();
    judge.judge(balance, told, leftovers, &mut verdict);
    let figures = [verdict.missing_acks, verdict.double_acks, verdict.bad_files_handed_over, verdict.staging_leftovers];
    assert_eq!(verdict.holds(), figures == [0; 4]);
    assert_eq!(verdict.complaints.is_empty(), figures == [0; 4], "{:?}", verdict.complaints);
    figures
}

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_eq!(figures(&judge(), &AckBalance::default(), &acks(), &[]), [0; 4]);
}

#[test]
fn an_acknowledgement_that_never_came_is_found() {
    let balance = AckBalance { missing: vec![owed()], ..AckBalance::default() };
    assert_eq!(figures(&judge(), &balance, &acks(), &[]), [1, 0, 0, 0]);
}

#[test]
fn an_end_other_than_it_had_to_be_is_found() {
    for status in [4, 6, 99] {
        let acks = [told(ack(None, status)), told(ack(Some("C1"), 7))];
        assert_eq!(figures(&judge(), &AckBalance::default(), &acks, &[]), [1, 0, 0, 0], "{status}");
    }
}

#[test]
fn a_failure_of_something_else_is_found() {
    let found = |message: &str| {
        let mut judge = Judge::default();
        judge.promise(Promise { ack_id: "u1".to_owned(), end: End::Failed, says: "not signed", payload: Vec::new() });
        let failed = Ack { message: message.to_owned(), ..ack(None, 4) };
        figures(&judge, &AckBalance::default(), &[told(failed)], &[])
    };
    assert_eq!(found("image.bin: it is not signed"), [0; 4]);
    assert_eq!(found("image.bin: not found"), [1, 0, 0, 0]);
}

#[test]
fn an_acknowledgement_too_many_is_found() {
    let double = AckBalance { double: vec![owed()], ..AckBalance::default() };
    let unasked = AckBalance { unasked: vec![ack(Some("C2"), 7)], ..AckBalance::default() };
    let late = AckBalance { late: vec![ack(None, 2)], ..AckBalance::default() };
    for balance in [double, unasked, late] {
        assert_eq!(figures(&judge(), &balance, &acks(), &[]), [0, 1, 0, 0], "{balance:?}");
    }
}

#[test]
fn a_message_that_was_sent_again_after_a_kill_is_one_and_any_other_second_one_is_not() {
    let balance = AckBalance { double: vec![owed()], ..AckBalance::default() };
    let first = told(ack(None, 7));
    let doubles = |second: Told| figures(&judge(), &balance, &[first.clone(), second], &[]).get(1).copied();
    assert_eq!(doubles(Told { connection: 2, ..first.clone() }), Some(0));
    assert_eq!(doubles(first.clone()), Some(1), "on the same connection");
    let later = Bytes::from_static(b"at eleven");
    assert_eq!(doubles(Told { connection: 2, body: later, ..first.clone() }), Some(1), "made anew");
}

#[test]
fn a_file_with_another_byte_another_name_or_another_update_is_found() {
    let stranger = HandedOver { version: "u2".to_owned(), ..handed_over("own.bin", FIRMWARE) };
    for bad in [handed_over("own.bin", b"firmwarf"), handed_over("other.bin", FIRMWARE), stranger] {
        let mut judge = judge();
        judge.was_handed_over(bad);
        assert_eq!(figures(&judge, &AckBalance::default(), &acks(), &[]), [0, 0, 1, 0]);
    }
}

#[test]
fn a_file_that_must_not_be_handed_over_is_found_though_its_bytes_are_right() {
    let mut judge = judge();
    let held_back = Payload { contents: Vec::new(), ..payload("own.bin", None) };
    judge.promise(Promise { ack_id: "u1".to_owned(), end: End::Failed, says: "", payload: vec![held_back] });
    let mut verdict = Verdict::default();
    judge.judge(&AckBalance::default(), &[told(ack(None, 4))], &[], &mut verdict);
    // And the child's file, of which the update knows nothing any more.
    assert_eq!(verdict.bad_files_handed_over, 2);
}

#[test]
fn done_without_anybody_having_the_file_is_found() {
    let mut judge = Judge::default();
    judge.promise(Promise {
        ack_id: "u1".to_owned(),
        end: End::Done,
        says: "",
        payload: vec![payload("own.bin", None)],
    });
    assert_eq!(figures(&judge, &AckBalance::default(), &[told(ack(None, 7))], &[]), [0, 0, 1, 0]);
}

#[test]
fn another_component_than_the_one_that_was_good_is_found() {
    let mut judge = judge();
    judge.component("u1", Some(&Content::of(b"broken")), Some(&Content::of(b"good")));
    judge.component("u1", None, None);
    assert_eq!(figures(&judge, &AckBalance::default(), &acks(), &[]), [0, 0, 1, 0]);
}

#[test]
fn what_lies_in_the_staging_directory_is_found_but_for_the_lock() {
    let staging = tempfile::tempdir().unwrap();
    assert_eq!(leftovers(&staging.path().join("nowhere")).unwrap(), Vec::<String>::new());
    fs::write(staging.path().join(LOCK), "").unwrap();
    assert_eq!(leftovers(staging.path()).unwrap(), Vec::<String>::new());
    fs::create_dir(staging.path().join("00ff")).unwrap();
    fs::write(staging.path().join(".aside-1"), "").unwrap();
    let left = leftovers(staging.path()).unwrap();
    assert_eq!(left, [".aside-1", "00ff"]);
    assert_eq!(figures(&judge(), &AckBalance::default(), &acks(), &left), [0, 0, 0, 2]);
}

#[test]
fn a_record_of_a_witness_is_read() {
    let read = HandedOver::read("version=u1 name=own.bin size=8 sha256=ab").unwrap();
    let content = Content { size: 8, sha256: "ab".to_owned() };
    assert_eq!(read, HandedOver { version: "u1".to_owned(), name: "own.bin".to_owned(), content });
    assert_eq!(HandedOver::read("version=u1 name=own.bin"), None);
}
