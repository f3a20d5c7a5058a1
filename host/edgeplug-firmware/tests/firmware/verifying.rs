//! What is verified before anything is handed over.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use edgeplug_firmware::{DigestPolicy, FailureKind, Refusal};
use edgeplug_signature::{SignatureMode, SignaturePolicy};

use crate::rig::{JOB, Maker, Rig, bytes_of, names, sha256_of, stage, stage_with, verify};

const FIRMWARE: &[u8] = b"what the device shall run";

fn refused(refusal: &Refusal, says: &str) {
    assert_eq!(refusal.kind, FailureKind::Refused, "{refusal}");
    assert!(refusal.text.contains(says), "{refusal} lacks {says}");
}

#[test]
fn files_come_back_in_order_without_their_sidecars() {
    let rig = Rig::new();
    let sidecar = format!("{}  a.bin\n", sha256_of(b"a"));
    let files: [(&str, &[u8]); 4] =
        [("b.bin", b"b"), ("a.bin.sha256", sidecar.as_bytes()), ("a.bin", b"a"), ("c.bin", b"")];
    let found = verify(&rig.open(), &files).expect("good");
    let found: Vec<_> = found.iter().map(|file| (file.name.as_str(), file.size, file.sha256.clone())).collect();
    assert_eq!(found, [("b.bin", 1, sha256_of(b"b")), ("a.bin", 1, sha256_of(b"a")), ("c.bin", 0, sha256_of(b""))]);
    assert_eq!(rig.open().path(JOB, "a.bin.sha256"), None);
    assert_eq!(rig.open().path(JOB, "a.bin"), Some(rig.staged("a.bin")));
}

#[test]
fn every_digest_that_was_told_must_be_right() {
    let mut rig = Rig::new();
    rig.options.digest = DigestPolicy::Require;
    let (right, wrong) = (sha256_of(FIRMWARE), sha256_of(b"another"));
    let firmware = rig.open();
    refused(&verify(&firmware, &[("fw.bin", FIRMWARE)]).expect_err("none"), "nobody told the SHA-256 of fw.bin");

    let line = |digest: &str| format!("{digest}  fw.bin\n");
    for sidecar in ["fw.bin.sha256", "SHA256SUMS"] {
        let files = |text: &str| verify(&firmware, &[("fw.bin", FIRMWARE), (sidecar, text.as_bytes())]);
        assert!(files(&line(&right)).is_ok());
        refused(
            &files(&line(&wrong)).expect_err("wrong"),
            &format!("the SHA-256 of fw.bin is {right}, but {sidecar} says"),
        );
        refused(&files("nonsense").expect_err("nonsense"), sidecar);
        assert_eq!(firmware.path(JOB, "fw.bin"), None, "what was good before is not any more");
    }
    // One who is right does not outvote one who is not.
    let good = line(&right);
    stage(&firmware, "fw.bin.sha256", good.as_bytes());
    stage_with(&firmware, "fw.bin", FIRMWARE, Some(bytes_of(&wrong))).expect("staged");
    refused(&firmware.verify(JOB, &names(&["fw.bin", "fw.bin.sha256"])).expect_err("server"), "but the server says");
}

#[test]
fn a_list_that_does_not_name_a_file_says_nothing_about_it() {
    let mut rig = Rig::new();
    rig.options.digest = DigestPolicy::Require;
    let list = format!("{}  other.bin\n", sha256_of(FIRMWARE));
    let refusal = verify(&rig.open(), &[("fw.bin", FIRMWARE), ("SHA256SUMS", list.as_bytes())]).expect_err("unnamed");
    refused(&refusal, "nobody told the SHA-256 of fw.bin");
}

#[test]
fn a_signed_file_is_taken_and_what_was_changed_is_not() {
    let (maker, stranger) = (Maker::new(), Maker::new());
    let mut rig = Rig::signed(SignatureMode::Require, &maker);
    rig.options.digest = DigestPolicy::Require;
    let firmware = rig.open();
    let good = maker.sign(FIRMWARE, "file:fw.bin version:1.2-rc1");
    let judged =
        |content: &[u8], signature: &[u8]| verify(&firmware, &[("fw.bin", content), ("fw.bin.minisig", signature)]);
    let found = judged(FIRMWARE, &good).expect("signed, and so its digest is told");
    assert_eq!(found[0].warning, None);

    for at in 0..FIRMWARE.len() {
        let mut flipped = FIRMWARE.to_vec();
        flipped[at] ^= 0x10;
        refused(&judged(&flipped, &good).expect_err("flipped"), "was changed or damaged");
        assert_eq!(firmware.path(JOB, "fw.bin"), None);
    }
    refused(&judged(&FIRMWARE[1..], &good).expect_err("truncated"), "was changed or damaged");
    refused(&judged(FIRMWARE, &stranger.sign(FIRMWARE, "")).expect_err("stranger"), "which is none of ours");
    let other = maker.sign(FIRMWARE, "file:valve.bin");
    refused(&judged(FIRMWARE, &other).expect_err("other"), "is for \"valve.bin\", not for \"fw.bin\"");
    refused(&judged(FIRMWARE, b"").expect_err("empty"), "fw.bin.minisig is no minisign signature");
    refused(&judged(FIRMWARE, &[0xff; 99]).expect_err("binary"), "fw.bin.minisig is no text");
    refused(&judged(FIRMWARE, &[b'x'; 20_000]).expect_err("large"), "fw.bin.minisig is larger than 16384 bytes");
    let refusal = verify(&firmware, &[("fw.bin", FIRMWARE)]).expect_err("unsigned");
    refused(
        &refusal,
        "fw.bin: it is not signed: there is no fw.bin.minisig beside it; sign it with `minisign -S -m fw.bin`",
    );
}

#[test]
fn a_signed_list_signs_what_it_names() {
    let maker = Maker::new();
    let firmware = Rig::signed(SignatureMode::Require, &maker);
    let firmware = (firmware.open(), firmware);
    let list = format!("{}  fw.bin\n", sha256_of(FIRMWARE)).into_bytes();
    let signature = maker.sign(&list, "file:SHA256SUMS");
    let judged = |name: &str, content: &[u8], list: &[u8], signature: &[u8]| {
        verify(&firmware.0, &[(name, content), ("SHA256SUMS", list), ("SHA256SUMS.minisig", signature)])
    };
    assert!(judged("fw.bin", FIRMWARE, &list, &signature).is_ok());
    refused(&judged("other.bin", FIRMWARE, &list, &signature).expect_err("unnamed"), "other.bin: it is not signed");
    refused(&judged("fw.bin", b"changed", &list, &signature).expect_err("changed"), "but SHA256SUMS says");
    let mine = format!("{}  fw.bin\n", sha256_of(b"changed")).into_bytes();
    refused(&judged("fw.bin", b"changed", &mine, &signature).expect_err("list"), "SHA256SUMS.minisig was changed");
    refused(
        &verify(&firmware.0, &[("fw.bin", FIRMWARE), ("SHA256SUMS", &list)]).expect_err("unsigned list"),
        "fw.bin: it is not signed",
    );
}

#[test]
fn in_mode_warn_it_is_said_and_in_mode_off_nobody_looks() {
    let (maker, stranger) = (Maker::new(), Maker::new());
    let signature = stranger.sign(FIRMWARE, "");
    let files: [(&str, &[u8]); 2] = [("fw.bin", FIRMWARE), ("fw.bin.minisig", &signature)];
    let warned = verify(&Rig::signed(SignatureMode::Warn, &maker).open(), &files).expect("taken");
    assert!(warned[0].warning.as_ref().expect("said").contains("which is none of ours"));
    let off = verify(&Rig::signed(SignatureMode::Off, &maker).open(), &files).expect("taken");
    assert_eq!(off[0].warning, None);
}

#[test]
fn a_bundle_must_be_signed_in_every_mode() {
    let maker = Maker::new();
    for mode in [SignatureMode::Off, SignatureMode::Warn, SignatureMode::Require] {
        let rig = Rig::signed(mode, &maker);
        let refusal = verify(&rig.open(), &[("a.edgeplug", FIRMWARE)]).expect_err("unsigned");
        refused(&refusal, "a bundle must be signed");
        let signature = maker.sign(FIRMWARE, "plugin:a");
        assert!(verify(&rig.open(), &[("a.edgeplug", FIRMWARE), ("a.edgeplug.minisig", &signature)]).is_ok());
    }
    let refusal = verify(&Rig::new().open(), &[("a.edgeplug", FIRMWARE)]).expect_err("no keys");
    refused(&refusal, "set `ota.keys`");
}

#[test]
fn what_was_put_together_and_does_not_match_is_fetched_once_more() {
    let rig = Rig::new();
    let firmware = rig.open();
    let digest = bytes_of(&sha256_of(FIRMWARE));
    let total = u64::try_from(FIRMWARE.len()).ok();
    stage(&firmware, "other.bin", b"other");
    let mut writer = firmware.part(JOB, "fw.bin").expect("part").begin(0, total, None, Some(digest)).expect("begin");
    writer.write(&FIRMWARE[..5]).expect("write");
    drop(writer);
    let mut writer = firmware.part(JOB, "fw.bin").expect("part").begin(5, total, None, Some(digest)).expect("begin");
    writer.write(&vec![b'?'; FIRMWARE.len() - 5]).expect("write");
    writer.finish().expect("finish");
    let both = names(&["fw.bin", "other.bin"]);
    assert_eq!(firmware.verify(JOB, &both).expect_err("mixed").kind, FailureKind::Transient);
    let part = firmware.part(JOB, "fw.bin").expect("part");
    assert_eq!((part.offset(), part.is_complete()), (0, false));
    assert!(firmware.part(JOB, "other.bin").expect("part").is_complete(), "what came in one go stays");
    stage_with(&firmware, "fw.bin", &vec![b'?'; FIRMWARE.len()], Some(digest)).expect("staged");
    assert_eq!(firmware.verify(JOB, &both).expect_err("in one go").kind, FailureKind::Refused);
}

#[test]
fn nothing_is_taken_that_is_not_whole() {
    let rig = Rig::new();
    let firmware = rig.open();
    assert_eq!(firmware.verify(JOB, &names(&["fw.bin"])).expect_err("absent").kind, FailureKind::Transient);
    stage(&firmware, "fw.bin", FIRMWARE);
    fs::write(rig.staged("fw.bin"), &FIRMWARE[1..]).expect("write");
    assert_eq!(firmware.verify(JOB, &names(&["fw.bin"])).expect_err("truncated").kind, FailureKind::Transient);
    assert!(!firmware.part(JOB, "fw.bin").expect("part").is_complete());
}

#[test]
fn an_update_is_a_list_of_different_files() {
    let rig = Rig::new();
    let firmware = rig.open();
    for (list, says) in [
        (names(&["a.bin", "b.bin", "a.bin"]), "two files are called \"a.bin\""),
        (names(&["SHA256SUMS", "a.bin.minisig"]), "holds no file to install"),
        (names(&[]), "holds no file to install"),
        ((0..65).map(|n| format!("{n}.bin")).collect(), "at most 64 files"),
    ] {
        refused(&firmware.verify(JOB, &list).expect_err(says), says);
    }
}

#[test]
fn a_file_that_changes_after_it_was_verified_is_not_handed_over() {
    let rig = Rig::new();
    let firmware = rig.open();
    let path = rig.staged("fw.bin");
    let change = |content: &[u8]| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
        fs::write(&path, content).expect("write");
    };
    verify(&firmware, &[("fw.bin", FIRMWARE)]).expect("good");
    change(b"What the device shall run");
    assert_eq!(firmware.path(JOB, "fw.bin"), None);
    change(FIRMWARE);
    assert!(firmware.path(JOB, "fw.bin").is_some());
    fs::remove_file(&path).expect("remove");
    assert_eq!(firmware.path(JOB, "fw.bin"), None);
}

#[test]
fn a_stricter_configuration_is_obeyed_after_a_restart() {
    let (maker, successor) = (Maker::new(), Maker::new());
    let mut rig = Rig::signed(SignatureMode::Off, &maker);
    verify(&rig.open(), &[("fw.bin", FIRMWARE)]).expect("good");
    rig.options.digest = DigestPolicy::Require;
    assert_eq!(rig.open().path(JOB, "fw.bin"), None, "nobody told its digest");
    rig.options.signature = maker.policy(SignatureMode::Require);
    assert_eq!(rig.open().path(JOB, "fw.bin"), None, "nobody signed it");
    let signature = maker.sign(FIRMWARE, "");
    verify(&rig.open(), &[("fw.bin", FIRMWARE), ("fw.bin.minisig", &signature)]).expect("good");
    assert!(rig.open().path(JOB, "fw.bin").is_some());
    rig.options.signature = successor.policy(SignatureMode::Require);
    assert_eq!(rig.open().path(JOB, "fw.bin"), None, "its key is none of ours any more");
    rig.options.signature = SignaturePolicy::default();
    assert!(rig.open().path(JOB, "fw.bin").is_none(), "nobody can tell who signed it, and nobody told its digest");
    rig.options.digest = DigestPolicy::IfGiven;
    assert!(rig.open().path(JOB, "fw.bin").is_some());
}
