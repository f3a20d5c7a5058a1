use super::*;

const QUOTA_BYTES: usize = 64 << 10;

fn set(key: &str, len: usize) -> Write {
    Write { plugin: "p".to_owned(), key: key.to_owned(), value: Some(vec![0; len].into()) }
}

fn open() -> Kept {
    let kept = Kept::new();
    kept.restore(BTreeMap::new());
    kept
}

/// Asks and has it answered.
fn keep(kept: &Kept, write: Write) -> Result<(), NotKept> {
    kept.check(&write, QUOTA_BYTES)?;
    kept.begin(AskId(1), write)?.sent();
    kept.end(AskId(1), &Answer::Kept(Ok(())));
    Ok(())
}

#[test]
fn a_change_shows_only_once_it_is_durable() {
    let kept = open();
    kept.begin(AskId(1), set("a", 3)).expect("begins").sent();
    assert_eq!(kept.get("p", "a"), Ok(None));
    kept.end(AskId(1), &Answer::Kept(Err("disk full".to_owned())));
    kept.end(AskId(1), &Answer::Kept(Ok(())));
    assert_eq!(kept.get("p", "a"), Ok(None), "the first answer counts");
    keep(&kept, set("a", 3)).expect("kept");
    assert_eq!(kept.get("p", "a"), Ok(Some(vec![0; 3].into())));
    assert_eq!(kept.get("q", "a"), Ok(None), "every plugin has its own");
    keep(&kept, Write { value: None, ..set("a", 0) }).expect("deleted");
    assert_eq!(kept.keys("p"), Ok(vec![]));
}

#[test]
fn the_quota_counts_names_and_what_is_replaced() {
    let kept = open();
    let refused = |write: &Write| matches!(kept.check(write, QUOTA_BYTES), Err(NotKept::Quota(_)));
    keep(&kept, set("a", QUOTA_BYTES - 1)).expect("fits exactly");
    keep(&kept, set("a", QUOTA_BYTES - 1)).expect("in place of itself");
    assert!(refused(&set("a", QUOTA_BYTES)) && refused(&set("b", 0)));
    assert!(refused(&set("", 0)) && refused(&set(&"k".repeat(129), 0)));
    keep(&kept, Write { value: None, ..set("a", 0) }).expect("deleted");
    keep(&kept, set(&"k".repeat(128), 0)).expect("a key of 128 bytes");
    for number in 1..KEYS_MAX {
        keep(&kept, set(&number.to_string(), 0)).expect("kept");
    }
    assert!(refused(&set("one more", 0)));
    keep(&kept, set("1", 10)).expect("one that is there");
}

#[tokio::test]
async fn who_asks_too_early_waits_and_is_told() {
    let kept = Kept::new();
    assert_eq!(kept.get("p", "a"), Err(NotKept::Unavailable("the store is not open yet".to_owned())));
    let waiting = tokio::spawn({
        let kept = kept.clone();
        async move {
            kept.opened().await;
            kept.get("p", "a")
        }
    });
    tokio::task::yield_now().await;
    kept.restore([("p".to_owned(), [("a".to_owned(), Bytes::from("1"))].into())].into());
    assert_eq!(waiting.await.expect("ends"), Ok(Some(Bytes::from("1"))));
    kept.unavailable("no disk".to_owned());
    assert_eq!(kept.keys("p"), Err(NotKept::Unavailable("no disk".to_owned())));
}

#[test]
fn writes_that_are_never_answered_are_bounded() {
    let kept = open();
    for number in 0..u64::try_from(WRITES_MAX).expect("small") {
        kept.begin(AskId(number), set("a", 0)).expect("room").sent();
    }
    assert!(matches!(kept.begin(AskId(u64::MAX), set("a", 0)), Err(NotKept::Unavailable(_))));
    kept.end(AskId(0), &Answer::Kept(Ok(())));
    drop(kept.begin(AskId(u64::MAX), set("a", 0)).expect("room again"));
    kept.begin(AskId(u64::MAX), set("a", 0)).expect("one that was never sent leaves its room").sent();
}

#[test]
fn changes_are_paced_by_number_and_by_size() {
    let refused = |keeping: &Keeping, len, seconds| {
        matches!(keeping.admit(&set("a", len), Duration::from_secs(seconds)), Err(NotKept::Unavailable(_)))
    };
    let often = Keeping::default();
    for _ in 0..CHANGES_AT_ONCE {
        often.admit(&set("a", 1), Duration::ZERO).expect("at once");
    }
    assert!(refused(&often, 1, 0) && !refused(&often, 1, 1));
    let much = Keeping::default();
    assert!(!refused(&much, (4 << 20) - 1, 0) && refused(&much, 60 << 10, 0) && !refused(&much, 60 << 10, 1));
}
