use edgeplug_outbox::{Eviction, RowId, Store};

use super::*;

const STORE: Store = Store::Telemetry;

fn ack(id: i64) -> StoredAck {
    StoredAck {
        id: AckId(id),
        key: id.to_string(),
        kind: 1,
        link_down: false,
        created_unix_ms: 0,
        body: Bytes::from_static(b"{}"),
    }
}

fn evicted(through: i64) -> OutboxEvent {
    OutboxEvent::Evicted { through: RowId(through), rows: 1, bytes: 1, why: Eviction::Space }
}

/// An empty outbox which says this while its acknowledgements are read back, beyond the first.
async fn opened(said: &[OutboxEvent]) -> Opened {
    let directory = tempfile::tempdir().unwrap();
    let (outbox, found, _events) = Outbox::open(OutboxOptions::new(directory.path().to_owned())).unwrap();
    let found = edgeplug_outbox::Restored { acks: vec![ack(1)], acks_more: true, ..found };
    let (sender, events) = mpsc::channel(said.len());
    for event in said {
        sender.try_send(event.clone()).unwrap();
    }
    read_back(outbox, found, events).await
}

#[tokio::test]
async fn what_the_store_says_while_acknowledgements_are_read_back_is_kept() {
    let news = [
        OutboxEvent::Degraded { store: STORE, reason: "no space".to_owned() },
        evicted(7),
        OutboxEvent::Healed { store: STORE, damaged: None },
        evicted(9),
    ];
    let page = |id, more| OutboxEvent::AcksLoaded { ticket: 0, acks: vec![ack(id)], more };
    let mut said = news.to_vec();
    said.insert(3, page(2, true));
    said.push(page(3, false));
    let opened = opened(&said).await;
    assert_eq!(opened.earlier, news);
    let acks: Vec<_> = opened.found.restored.acks.iter().map(|ack| ack.id.0).collect();
    assert_eq!(acks, [1, 2, 3]);
}

#[tokio::test]
async fn a_store_that_never_stops_talking_does_not_fill_the_memory() {
    let said: Vec<_> = (0..2 * EARLIER_MAX as i64).map(evicted).collect();
    let mut opened = opened(&said).await;
    assert_eq!(opened.earlier, said[..EARLIER_MAX]);
    assert_eq!(opened.found.restored.acks.len(), 1);
    // The rest is where the daemon reads on.
    assert_eq!(opened.events.recv().await.as_ref(), said.get(EARLIER_MAX));
}
