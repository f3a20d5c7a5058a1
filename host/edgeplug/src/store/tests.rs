use edgeplug_outbox::OutboxOptions;
use edgeplug_session::Ticket;
use edgeplug_session::action::NewRow as SessionRow;

use super::*;

fn row(ticket: u64, bytes: usize) -> Action {
    let row = SessionRow { kind: 1, offline: false, created_unix_ms: 0, body: Bytes::from(vec![b' '; bytes]) };
    Action::Store { ticket: Ticket(ticket), row }
}

fn taken(store: &mut Store, action: Action) {
    assert!(store.take(action, Duration::ZERO).is_none());
}

#[tokio::test]
async fn a_wipe_takes_rows_that_are_on_their_way_too() {
    let directory = tempfile::tempdir().unwrap();
    let (outbox, _, mut events) = Outbox::open(OutboxOptions::new(directory.path().to_owned())).unwrap();
    let mut store = Store { outbox: Some(outbox), ..Store::new() };
    taken(&mut store, row(1, 10));
    taken(&mut store, Action::Wipe);
    taken(&mut store, row(2, 10));
    assert!(store.flush().is_none());
    let mut evicted = 0;
    while evicted < 2 {
        if let Some(Event::Evicted { rows, .. }) = store.on_event(events.recv().await.unwrap()) {
            evicted += rows;
        }
    }
    assert_eq!((evicted, store.wipe), (2, Wipe::Not));
}

#[tokio::test]
async fn how_far_an_update_is_reaches_the_ledger_or_the_reason_comes_back() {
    let note = || Action::Note { ticket: Ticket(5), key: "c1".to_owned(), body: Bytes::from_static(b"fetching") };
    let mut store = Store::new();
    taken(&mut store, note());
    assert!(matches!(store.flush(), Some(Event::Noted { ticket: Ticket(5), result: Err(_) })));

    let directory = tempfile::tempdir().unwrap();
    let (outbox, _, mut events) = Outbox::open(OutboxOptions::new(directory.path().to_owned())).unwrap();
    let mut store = Store { outbox: Some(outbox), ..Store::new() };
    let record = Action::Record { ticket: Ticket(4), key: "c1".to_owned(), body: Bytes::new(), at_unix_ms: 0 };
    for (action, ticket) in [(record, 4), (note(), 5)] {
        taken(&mut store, action);
        assert!(store.flush().is_none());
        match store.on_event(events.recv().await.unwrap()) {
            Some(
                Event::Recorded { ticket: Ticket(answered), result: Ok(_) }
                | Event::Noted { ticket: Ticket(answered), result: Ok(()) },
            ) => {
                assert_eq!(answered, ticket);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_wipe_that_failed_is_tried_again_when_the_store_can_write() {
    let mut store = Store { wipe: Wipe::UnderWay, drops: VecDeque::from([None]), ..Store::new() };
    store.on_event(OutboxEvent::DropFailed { reason: "no space".to_owned() });
    assert_eq!(store.wipe, Wipe::WhenHealed);
    store.on_event(OutboxEvent::Healed { store: edgeplug_outbox::Store::Telemetry, damaged: None });
    assert_eq!(store.wipe, Wipe::Due);
}

#[test]
fn a_stop_that_is_taken_back_wipes_nothing_any_more() {
    let mut store = Store { wipe: Wipe::WhenHealed, ..Store::new() };
    taken(&mut store, Action::KeepFor { ticket: Ticket(1), fact: Fact::HardStop, value: Bytes::new() });
    assert_eq!(store.wipe, Wipe::Not);
}

#[test]
fn an_append_is_cut_by_rows_and_by_bytes() {
    let mut store = Store::new();
    (0..5).for_each(|ticket| taken(&mut store, row(ticket, APPEND_BYTES_MAX / 2)));
    assert_eq!(group_len(&store.rows), 2);
    let mut store = Store::new();
    (0..3).for_each(|ticket| taken(&mut store, row(ticket, 2 * APPEND_BYTES_MAX)));
    assert_eq!(group_len(&store.rows), 1);
}

#[test]
fn a_session_that_ends_leaves_nothing_for_the_store_of_the_next() {
    let mut store = Store::new();
    taken(&mut store, row(1, 10));
    taken(&mut store, Action::Keep { fact: Fact::HardStop, value: Bytes::new() });
    store.forget_requests();
    assert!(store.rows.is_empty() && store.waiting.is_empty());
}

#[test]
fn a_ledger_that_was_started_afresh_gets_the_sessions_facts_again() {
    let mut store = Store::new();
    let stop = Bytes::from_static(b"stopped");
    taken(&mut store, Action::KeepFor { ticket: Ticket(1), fact: Fact::HardStop, value: stop.clone() });
    store.waiting.clear();
    let damaged = edgeplug_outbox::Damaged {
        store: edgeplug_outbox::Store::Ledger,
        reason: "not a database".to_owned(),
        rows_lost: None,
        set_aside: "ledger.damaged".into(),
    };
    store.on_event(OutboxEvent::Healed { store: edgeplug_outbox::Store::Ledger, damaged: Some(damaged) });
    let put = |request: &Request| matches!(request, Request::Put { name, value, .. } if name == "hard-stop" && *value == Some(stop.clone()));
    assert!(store.waiting.iter().any(put));
}
