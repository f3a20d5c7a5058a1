use proptest::prelude::*;

use super::*;
use crate::rig::config;

#[test]
fn keys_of_different_tasks_differ() {
    let keys = [
        key("a", None, &config()),
        key("a", Some("b"), &config()),
        key("a/b", None, &config()),
        key("a/b", Some("c"), &config()),
        key("a", Some("b/c"), &config()),
        key("sha256:a", None, &config()),
        key("rule:1-1", None, &config()),
        key(&"x".repeat(256), Some(&"y".repeat(256)), &config()),
    ];
    assert_eq!(&keys[..2], ["a", "a/b"], "what is usual can be read");
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:?}");
    assert!(keys.iter().all(|key| key.len() <= KEY_BYTES_MAX && !key.starts_with(LOCAL)));
}

#[test]
fn a_childs_key_is_the_same_however_the_cloud_writes_it() {
    for child in ["C1", "CP-C1", "cp-C1"] {
        assert_eq!(key("a", Some(child), &config()), "a/C1", "{child}");
    }
    assert_eq!(key("a", Some("CP-GW"), &config()), "a", "the device itself");
}

#[test]
fn commands_that_an_older_version_kept_are_read() {
    let body =
        br#"{"cmdType":"0x01","data":{"cpid":"CP","uniqueId":"CP-C1","command":"x y","ack":true,"ackId":"a-1"}}"#;
    let task = Task::from_bytes(body, &config()).unwrap();
    let ack = Some(AckTo { id: "a-1".into(), kind: AckKind::Command });
    assert_eq!(task, Task { ack, child: Some("CP-C1".into()), work: Work::Run("x y".into()) });
    for unreadable in [&b""[..], b"{}", b"\xff", br#"{"cmdType":"0x10","data":{}}"#, br#"{"ack":null,"child":null}"#] {
        assert!(Task::from_bytes(unreadable, &config()).is_err());
    }
}

#[test]
fn a_command_that_the_ledger_cannot_hold_is_refused_in_it() {
    let ack = Some(AckTo { id: "a".into(), kind: AckKind::Command });
    let task = Task { ack: ack.clone(), child: None, work: Work::Run("\u{1}".repeat(64 * 1024)) };
    let bytes = task.to_bytes();
    assert!(bytes.len() <= TASK_BYTES_MAX);
    let kept = Task::from_bytes(&bytes, &config()).unwrap();
    assert!(kept.ack == ack && matches!(kept.work, Work::Refuse(reason) if reason.contains("too long")));
}

proptest! {
    #[test]
    fn a_task_comes_back_from_the_ledger_as_it_was(
        id in ".{1,20}",
        kind in prop_oneof![Just(AckKind::Command), Just(AckKind::Ota), Just(AckKind::Module)],
        wanted in any::<bool>(),
        child in proptest::option::of(".{1,20}"),
        work in prop_oneof![".{0,200}".prop_map(Work::Run), ".{0,200}".prop_map(Work::Refuse)],
    ) {
        let task = Task { ack: wanted.then_some(AckTo { id, kind }), child, work };
        prop_assert_eq!(Task::from_bytes(&task.to_bytes(), &config()), Ok(task));
    }

    #[test]
    fn no_bytes_in_the_ledger_are_too_odd_to_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Task::from_bytes(&bytes, &config());
    }
}
