//! The ledger: one terminal acknowledgement per command, facts, bounds.

use bytes::Bytes;
use edgeplug_outbox::{
    Ack, AckId, COMMAND_BODY_BYTES_MAX, COMMANDS_UNFINISHED_MAX, FACT_BYTES_MAX, FACTS_MAX, FinishOutcome,
    KEY_BYTES_MAX, OutboxEvent, RecordOutcome, Request, Store, stats,
};

use crate::rig::{LEDGER, Rig, directory, look};

fn record(key: &str) -> Request {
    Request::RecordCommand { ticket: 1, key: key.into(), body: Bytes::from(format!("do {key}")), received_unix_ms: 10 }
}

fn finish(key: &str, answer: &'static str) -> Request {
    let ack = Ack { kind: 2, link_down: true, created_unix_ms: 20, body: Bytes::from_static(answer.as_bytes()) };
    Request::FinishCommand { ticket: 2, key: key.into(), finished_unix_ms: 20, ack: Some(ack) }
}

fn recorded(rig: &mut Rig, key: &str) -> RecordOutcome {
    rig.ask(record(key));
    match rig.next() {
        OutboxEvent::Recorded { ticket: 1, outcome } => outcome,
        other => panic!("{other:?}"),
    }
}

fn finished(rig: &mut Rig, request: Request) -> FinishOutcome {
    rig.ask(request);
    match rig.next() {
        OutboxEvent::Finished { ticket: 2, outcome } => outcome,
        other => panic!("{other:?}"),
    }
}

fn noted(rig: &mut Rig, key: &str, body: impl Into<Bytes>) -> Result<(), String> {
    rig.ask(Request::NoteCommand { ticket: 3, key: key.into(), body: body.into() });
    match rig.next() {
        OutboxEvent::CommandNoted { ticket: 3, result } => result,
        other => panic!("{other:?}"),
    }
}

fn put(rig: &mut Rig, name: &str, value: Option<Bytes>) -> Result<(), String> {
    rig.ask(Request::Put { ticket: 4, name: name.into(), value });
    match rig.next() {
        OutboxEvent::Stored { ticket: 4 } => Ok(()),
        OutboxEvent::PutFailed { ticket: 4, reason } => Err(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_has_one_terminal_ack_across_redelivery_and_restart() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    assert_eq!(recorded(&mut rig, "c1"), RecordOutcome::New);
    assert_eq!(recorded(&mut rig, "c1"), RecordOutcome::Seen { finished: false });

    let mut rig = rig.restart(directory.path());
    assert_eq!(rig.restored.unfinished.len(), 1);
    assert_eq!(rig.restored.unfinished[0].body, "do c1");
    assert_eq!(recorded(&mut rig, "c1"), RecordOutcome::Seen { finished: false });
    let FinishOutcome::Done { ack: Some(ack) } = finished(&mut rig, finish("c1", "ok")) else { panic!("not done") };
    assert_eq!(finished(&mut rig, finish("c1", "again")), FinishOutcome::AlreadyFinished { ack: Some(ack) });

    let mut rig = rig.restart(directory.path());
    assert_eq!(finished(&mut rig, finish("c1", "a third time")), FinishOutcome::AlreadyFinished { ack: Some(ack) });
    assert_eq!(recorded(&mut rig, "c1"), RecordOutcome::Seen { finished: true });
    assert_eq!(rig.restored.unfinished, []);
    let [stored] = &rig.restored.acks[..] else { panic!("{:?}", rig.restored.acks) };
    assert_eq!((stored.id, stored.key.as_str(), &stored.body[..]), (ack, "c1", &b"ok"[..]));
    assert_eq!((stored.kind, stored.link_down, stored.created_unix_ms), (2, true, 20));

    rig.ask(Request::RemoveAcks(vec![ack]));
    assert_eq!(rig.next(), OutboxEvent::Removed { store: Store::Ledger, requests: 1, rows: 1 });
    let mut rig = rig.restart(directory.path());
    assert_eq!(rig.restored.acks, []);
    assert_eq!(finished(&mut rig, finish("c1", "a fourth time")), FinishOutcome::AlreadyFinished { ack: None });
}

#[test]
fn how_far_a_command_is_survives_a_restart_and_keeps_its_place() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    recorded(&mut rig, "c1");
    recorded(&mut rig, "c2");
    noted(&mut rig, "c1", "fetching").unwrap();
    noted(&mut rig, "c1", "handing over").unwrap();

    let mut rig = rig.restart(directory.path());
    let found: Vec<_> =
        rig.restored.unfinished.iter().map(|row| (&row.key[..], &row.body[..], row.received_unix_ms)).collect();
    assert_eq!(found, [("c1", &b"handing over"[..], 10), ("c2", &b"do c2"[..], 10)]);
    noted(&mut rig, "c1", Bytes::new()).unwrap();
    let rig = rig.restart(directory.path());
    assert_eq!(rig.restored.unfinished[0].body, "");
}

#[test]
fn a_finished_command_has_no_body_any_more_and_takes_none() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    recorded(&mut rig, "c1");
    noted(&mut rig, "c1", "https://secret").unwrap();
    finished(&mut rig, finish("c1", "ok"));
    let reason = noted(&mut rig, "c1", "too late").unwrap_err();
    assert!(reason.contains("finished already"), "{reason}");
    let reason = noted(&mut rig, "nobody", "x").unwrap_err();
    assert!(reason.contains("never recorded"), "{reason}");
    let bodies: i64 = look(directory.path(), LEDGER)
        .query_row("SELECT sum(length(body)) FROM commands", [], |row| row.get(0))
        .unwrap();
    assert_eq!(bodies, 0);
}

#[test]
fn ack_ids_are_never_given_out_twice() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    recorded(&mut rig, "c1");
    let FinishOutcome::Done { ack: Some(first) } = finished(&mut rig, finish("c1", "ok")) else { panic!("not done") };
    rig.ask(Request::RemoveAcks(vec![first]));
    rig.next();
    let mut rig = rig.restart(directory.path());
    recorded(&mut rig, "c2");
    let FinishOutcome::Done { ack: Some(second) } = finished(&mut rig, finish("c2", "ok")) else { panic!("not done") };
    assert!(second > first);
}

#[test]
fn a_command_may_end_without_an_ack_and_an_unknown_one_cannot_end() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    assert_eq!(finished(&mut rig, finish("nobody", "ok")), FinishOutcome::Unknown);
    recorded(&mut rig, "c1");
    let silent = Request::FinishCommand { ticket: 2, key: "c1".into(), finished_unix_ms: 5, ack: None };
    assert_eq!(finished(&mut rig, silent), FinishOutcome::Done { ack: None });
    let rig = rig.restart(directory.path());
    assert_eq!((rig.restored.acks.len(), rig.restored.unfinished.len()), (0, 0));
}

#[test]
fn pruning_forgets_old_finished_commands_only() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    for key in ["old", "new", "open"] {
        recorded(&mut rig, key);
    }
    finished(&mut rig, finish("old", "ok"));
    let later = Request::FinishCommand { ticket: 2, key: "new".into(), finished_unix_ms: 21, ack: None };
    finished(&mut rig, later);
    rig.ask(Request::PruneCommands { finished_before_unix_ms: 21 });
    assert_eq!(rig.next(), OutboxEvent::Removed { store: Store::Ledger, requests: 1, rows: 0 });
    assert_eq!(recorded(&mut rig, "old"), RecordOutcome::New);
    assert_eq!(recorded(&mut rig, "new"), RecordOutcome::Seen { finished: true });
    assert_eq!(recorded(&mut rig, "open"), RecordOutcome::Seen { finished: false });
    let stats = stats(directory.path()).unwrap();
    assert_eq!((stats.commands_unfinished, stats.commands_finished, stats.acks), (2, 1, 1));
}

#[test]
fn more_acks_than_restored_are_loaded_in_pages() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    for number in 0..1_200 {
        recorded(&mut rig, &format!("c{number}"));
        finished(&mut rig, finish(&format!("c{number}"), "ok"));
    }
    let mut rig = rig.restart(directory.path());
    assert_eq!((rig.restored.acks.len(), rig.restored.acks_more), (1_000, true));
    let after = rig.restored.acks.last().unwrap().id;
    rig.ask(Request::LoadAcks { ticket: 5, after, rows_max: 1_000, bytes_max: 1_000_000 });
    match rig.next() {
        OutboxEvent::AcksLoaded { ticket: 5, acks, more: false } => {
            assert_eq!(acks.iter().map(|ack| ack.key.clone()).collect::<Vec<_>>(), keys(1_000..1_200));
        }
        other => panic!("{other:?}"),
    }
    rig.ask(Request::LoadAcks { ticket: 6, after: AckId(0), rows_max: 1, bytes_max: 0 });
    assert!(matches!(rig.next(), OutboxEvent::AcksLoaded { ticket: 6, acks, more: true } if acks.len() == 1));
}

fn keys(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("c{number}")).collect()
}

#[test]
fn hostile_commands_are_refused_with_a_reason() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let cases = [
        ("k".repeat(KEY_BYTES_MAX + 1), Bytes::new()),
        ("body".into(), Bytes::from(vec![0; COMMAND_BODY_BYTES_MAX + 1])),
    ];
    for (key, body) in cases {
        rig.ask(Request::RecordCommand { ticket: 8, key, body, received_unix_ms: 0 });
        match rig.next() {
            OutboxEvent::RecordFailed { ticket: 8, reason } => assert!(reason.contains("more than the"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    recorded(&mut rig, "c1");
    let reason = noted(&mut rig, "c1", vec![0; COMMAND_BODY_BYTES_MAX + 1]).unwrap_err();
    assert!(reason.contains("more than the"), "{reason}");
    for key in ["", "ключ\0", "'); DROP TABLE commands; --"] {
        assert_eq!(recorded(&mut rig, key), RecordOutcome::New);
        assert_eq!(recorded(&mut rig, key), RecordOutcome::Seen { finished: false });
    }
}

#[test]
fn a_flood_of_commands_that_nothing_finishes_is_refused_until_some_are_finished() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    for number in 0..COMMANDS_UNFINISHED_MAX {
        assert_eq!(recorded(&mut rig, &format!("c{number}")), RecordOutcome::New);
    }
    rig.ask(record("one more"));
    assert!(matches!(rig.next(), OutboxEvent::RecordFailed { .. }));
    let mut rig = rig.restart(directory.path());
    assert_eq!(rig.restored.unfinished.len(), COMMANDS_UNFINISHED_MAX as usize, "all of them come back");
    rig.ask(record("one more"));
    assert!(matches!(rig.next(), OutboxEvent::RecordFailed { .. }));
    finished(&mut rig, finish("c0", "ok"));
    assert_eq!(recorded(&mut rig, "one more"), RecordOutcome::New);
}

#[test]
fn facts_survive_a_restart_and_are_bounded() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    put(&mut rig, "sync", Some(Bytes::from_static(b"first"))).unwrap();
    put(&mut rig, "sync", Some(Bytes::from_static(b"second"))).unwrap();
    put(&mut rig, "hub", Some(Bytes::new())).unwrap();
    put(&mut rig, "gone", Some(Bytes::from_static(b"x"))).unwrap();
    put(&mut rig, "gone", None).unwrap();
    assert!(put(&mut rig, "sync", Some(Bytes::from(vec![0; FACT_BYTES_MAX + 1]))).is_err());
    let mut rig = rig.restart(directory.path());
    let facts: Vec<_> = rig.restored.facts.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
    assert_eq!(facts, [("hub", &b""[..]), ("sync", &b"second"[..])]);
    let numbers: Vec<_> = (2..FACTS_MAX).collect();
    // Many at a time: one by one each costs a sync.
    for together in numbers.chunks(64) {
        for number in together {
            rig.ask(Request::Put { ticket: 4, name: format!("fact {number}"), value: Some(Bytes::new()) });
        }
        for _ in together {
            assert_eq!(rig.next(), OutboxEvent::Stored { ticket: 4 });
        }
    }
    assert!(put(&mut rig, "one too many", Some(Bytes::new())).is_err());
    put(&mut rig, "sync", Some(Bytes::from_static(b"third"))).unwrap();
}
