use edgeplug_protocol::c2d::{Ota, OtaFile};

use super::*;
use crate::commands::{Task, Work};

fn file(url: &str, name: Option<&str>) -> OtaFile {
    OtaFile { url: url.into(), name: name.map(str::to_owned), tag: None, unique_id: None }
}

fn journal(files: &[OtaFile]) -> Result<Journal, String> {
    let ota = Ota {
        text: "ota".into(),
        ack_id: Some("a".into()),
        guid: None,
        software: "2".repeat(1_000),
        hardware: String::new(),
        files: files.to_vec(),
    };
    Journal::new(&ota, &files.iter().collect::<Vec<_>>())
}

#[test]
fn files_that_cannot_lie_side_by_side_are_refused() {
    for (files, reason) in [
        (vec![], "no device here"),
        (vec![file("https://x/", None)], "file 1 has no name"),
        (vec![file("https://x/a", None), file("https://x/b", Some("../b"))], "file 2 has no name"),
        (vec![file("https://x/a", None), file("https://y/a?sig=2", None)], "two files are named \"a\""),
        (vec![file("https://x/a.minisig", None), file("https://x/SHA256SUMS", None)], "nothing to install"),
    ] {
        let refused = journal(&files).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
    assert!(journal(&[file("https://x/a", None)]).unwrap().version.len() <= VERSION_CHARS_MAX);
}

#[test]
fn names_say_which_way_a_file_goes() {
    let policy = OtaPolicy { device_way: DeviceWay::Installer, ..OtaPolicy::default() };
    for (name, own) in [
        ("app.wasm", Way::Component),
        ("app.edgeplug", Way::Component),
        (".wasm", Way::Installer),
        ("wasm", Way::Installer),
        ("app.wasm.gz", Way::Installer),
        ("os.raucb", Way::Installer),
    ] {
        assert_eq!(way(name, false, &policy), own, "{name}");
        assert_eq!(way(name, true, &policy), Way::Plugin, "{name}: a child has no components and no installer");
    }
    for name in ["SHA256SUMS", "SHA256SUMS.minisig", "fw.bin.sha256", "fw.bin.minisig"] {
        assert!(is_sidecar(name), "{name}");
    }
    for name in ["fw.bin", "sha256", "SHA256SUMS.txt", ".minisig"] {
        assert!(!is_sidecar(name), "{name}");
    }
}

#[test]
fn a_journal_comes_back_as_it_was_and_prints_no_signature() {
    let mut journal = journal(&[file("https://x/a?sig=secret", None)]).unwrap();
    journal.files.push(Payload {
        file: VerifiedFile { name: "a".into(), size: 1, sha256: "00".into(), warning: Some("unsigned".into()) },
        done: true,
    });
    journal.deployed = Some(Deployment { plugin: "p".into(), sha256: "ab".into() });
    for phase in [
        Phase::Queued,
        Phase::Fetching,
        Phase::AwaitingUrls,
        Phase::Ready,
        Phase::HandingOver { parcel: vec![0], way: Way::Component, boot_id: "b".into() },
        Phase::Deferred { parcel: vec![0], plugin: "p".into() },
        Phase::AwaitingRestart { parcel: vec![0], boot_id: "b".into(), installed: true, asked: 1 },
        Phase::Probation { parcel: vec![0] },
    ] {
        journal.phase = phase;
        let task = Task { ack: None, child: None, work: Work::Update(Box::new(journal.clone())) };
        let kept = Task::from_bytes(&task.to_bytes(), &crate::rig::config()).unwrap();
        assert_eq!(kept, task);
        assert!(!format!("{kept:?}").contains("secret"), "{kept:?}");
    }
}

/// Of a damaged ledger, or one of a later version.
#[test]
fn places_that_do_not_exist_harm_nothing() {
    let mut journal = journal(&[file("https://x/a", None)]).unwrap();
    journal.phase = Phase::Probation { parcel: vec![7, usize::MAX] };
    assert_eq!(journal.in_hand().count(), 0);
    assert!(journal.parcel_done("x"), "there are no files that could be left");
}
