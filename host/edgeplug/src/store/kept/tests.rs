use super::*;

/// Asks for a key to be kept and lets the ledger take it.
fn keep(kept: &mut Kept, plugin: &str, key: &str, value: Option<&'static [u8]>) {
    let Some(Request::Put { ticket, .. }) = kept.keep(AskId(1), plugin, key, value.map(Bytes::from_static)) else {
        panic!("there is room")
    };
    assert!(kept.answered(ticket, Ok(())));
    assert_eq!(kept.next_answer(), Some((AskId(1), Ok(()))));
}

/// What the ledger would hold.
fn facts(kept: &Kept) -> BTreeMap<String, Bytes> {
    let put = |request| match request {
        Request::Put { name, value, .. } => (name, value.expect("only values are kept")),
        other => panic!("{other:?}"),
    };
    kept.again().map(put).collect()
}

#[test]
fn keys_may_hold_anything_and_come_back_under_their_plugin() {
    let mut kept = Kept::default();
    keep(&mut kept, "meter", "count", Some(b"7"));
    keep(&mut kept, "meter", "a/b//\u{2603}", Some(b""));
    keep(&mut kept, "other", "count", Some(b"8"));
    keep(&mut kept, "other", "gone", Some(b"x"));
    keep(&mut kept, "other", "gone", None);
    keep(&mut kept, "other", "never there", None);

    let mut ledger = facts(&kept);
    ledger.insert("legacy-sync".into(), Bytes::from_static(b"{}"));
    ledger.insert("state/".into(), Bytes::from_static(b"no plugin"));
    let mut restored = Kept::default();
    restored.restore(ledger);
    let state = restored.by_plugin();
    let plugins: Vec<_> = state.iter().map(|(name, keys)| (name.as_str(), keys.len())).collect();
    assert_eq!(plugins, [("meter", 2), ("other", 1)]);
    assert_eq!(state["meter"]["a/b//\u{2603}"], Bytes::new());
    assert_eq!(state["other"]["count"], Bytes::from_static(b"8"));
    assert_eq!(restored.bytes, kept.bytes, "what is counted is what is there");
}

#[test]
fn what_the_ledger_did_not_take_changes_nothing() {
    let mut kept = Kept::default();
    keep(&mut kept, "p", "key", Some(b"old"));
    let Some(Request::Put { ticket, .. }) = kept.keep(AskId(2), "p", "key", Some(Bytes::from_static(b"new"))) else {
        panic!("there is room")
    };
    assert!(kept.again().next().is_none(), "what is on its way is not sent a second time");
    assert!(kept.answered(ticket, Err("disk full".into())));
    assert_eq!(kept.next_answer(), Some((AskId(2), Err("disk full".into()))));
    assert_eq!(kept.by_plugin()["p"]["key"], Bytes::from_static(b"old"));
    assert!(!kept.answered(ticket, Ok(())), "each ticket has one answer");
    assert!(!kept.answered(0, Ok(())), "the daemon's own facts have no ticket here");
}

#[test]
fn all_plugins_together_have_limits_too() {
    let mut kept = Kept::default();
    let large = Bytes::from(vec![0; BYTES_MAX / 2]);
    for key in ["one", "two"] {
        let request = kept.keep(AskId(1), "p", key, Some(large.clone()));
        assert_eq!(request.is_some(), key == "one", "values on their way count");
    }
    let Some((_, Err(reason))) = kept.next_answer() else { panic!("refused at once") };
    assert!(reason.contains("delete some"), "{reason}");
    assert!(kept.keep(AskId(2), "p", "two", None).is_some(), "deleting always goes");

    let mut kept = Kept::default();
    kept.restore((0..KEYS_MAX).map(|n| (format!("state/p{n}/k"), Bytes::new())).collect());
    assert!(kept.keep(AskId(3), "p0", "k", Some(Bytes::new())).is_some(), "a key that is there");
    assert!(kept.keep(AskId(4), "p0", "l", Some(Bytes::new())).is_none());
}
