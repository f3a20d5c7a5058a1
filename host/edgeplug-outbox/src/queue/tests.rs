use std::{
    thread,
    time::{Duration, Instant},
};

use super::{NoRequest, queue};
use crate::{
    event::RowId,
    outbox::{REQUESTS_OUTSTANDING_MAX, Refused},
    request::Request,
};

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(60);

fn removal(rows: i64) -> Request {
    Request::Remove((0..rows).map(RowId).collect())
}

fn prune() -> Request {
    Request::PruneCommands { finished_before_unix_ms: 0 }
}

fn long() -> Option<Instant> {
    Some(Instant::now() + LONG)
}

#[test]
fn requests_come_out_in_order() {
    let (sender, receiver) = queue();
    for rows in 1..=3 {
        sender.send(removal(rows)).unwrap();
    }
    for rows in 1..=3 {
        assert_eq!(receiver.receive(0, None), Ok(removal(rows)));
    }
    assert_eq!(receiver.try_receive(), Err(NoRequest::Late));
}

#[test]
fn whoever_gathers_sleeps_until_there_are_enough_rows() {
    let (sender, receiver) = queue();
    let gathering = thread::spawn(move || {
        let first = receiver.receive(10, long());
        (first, receiver.try_receive())
    });
    sender.send(removal(4)).unwrap();
    sender.send(removal(6)).unwrap();
    // Both are there when it wakes, though the first alone came long before.
    assert_eq!(gathering.join().unwrap(), (Ok(removal(4)), Ok(removal(6))));
}

#[test]
fn what_is_there_when_it_is_due_is_taken() {
    let (sender, receiver) = queue();
    sender.send(removal(1)).unwrap();
    assert_eq!(receiver.receive(10, Some(Instant::now() + Duration::from_millis(5))), Ok(removal(1)));
    assert_eq!(receiver.receive(10, Some(Instant::now() + Duration::from_millis(5))), Err(NoRequest::Late));
}

#[test]
fn an_urgent_request_waits_for_no_company() {
    let (sender, receiver) = queue();
    let gathering = thread::spawn(move || (receiver.receive(10, long()), receiver.receive(9, long())));
    sender.send(removal(1)).unwrap();
    sender.send(prune()).unwrap();
    assert_eq!(gathering.join().unwrap(), (Ok(removal(1)), Ok(prune())));
}

#[test]
fn a_queue_that_fills_wakes_whoever_gathers() {
    let (sender, receiver) = queue();
    let gathering = thread::spawn(move || receiver.receive(usize::MAX, long()));
    for _ in 0..REQUESTS_OUTSTANDING_MAX / 2 {
        sender.send(removal(0)).unwrap();
    }
    assert_eq!(gathering.join().unwrap(), Ok(removal(0)));
}

#[test]
fn what_has_no_room_is_given_back() {
    let (sender, receiver) = queue();
    for _ in 0..REQUESTS_OUTSTANDING_MAX {
        sender.send(removal(1)).unwrap();
    }
    assert!(matches!(sender.send(removal(2)), Err(Refused::Full(request)) if request == removal(2)));
    receiver.try_receive().unwrap();
    sender.send(removal(2)).unwrap();
}

#[test]
fn closing_ends_the_wait_and_loses_nothing() {
    let (sender, receiver) = queue();
    let gathering = thread::spawn(move || (receiver.receive(10, long()), receiver.receive(10, long())));
    sender.send(removal(1)).unwrap();
    drop(sender);
    assert_eq!(gathering.join().unwrap(), (Ok(removal(1)), Err(NoRequest::Closed)));
}

#[test]
fn without_an_owner_requests_are_refused() {
    let (sender, receiver) = queue();
    drop(receiver);
    assert!(matches!(sender.send(removal(1)), Err(Refused::Ended(_))));
}
