//! Kills: everything after some step fails, then the directory is opened anew. Each loop ends when nothing is left to
//! be cut off.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use edgeplug_signature::{SignatureMode, SignaturePolicy};

use super::*;
use crate::directory::fate;

const JOB: &str = "0123456789abcdef0123456789abcdef";
/// More steps than anything here has.
const STEPS_MAX: usize = 400;

fn open(root: &Path) -> Firmware {
    let options = FirmwareOptions {
        directory: root.join("ota"),
        plugins: root.join("plugins"),
        signature: SignaturePolicy::new(SignatureMode::Off, &[]).expect("policy"),
        digest: DigestPolicy::IfGiven,
        file_bytes_max: 1 << 20,
        update_bytes_max: 2 << 20,
        free_bytes_min: 0,
        installer: None,
    };
    Firmware::open(options).expect("open")
}

fn fetch(firmware: &Firmware, name: &str, content: &[u8], version: &str) -> Result<(), StageError> {
    let part = firmware.part(JOB, name)?;
    if part.is_complete() {
        return Ok(());
    }
    // As a server does that has this version only.
    let offset = if part.validator() == Some(version) { part.offset() } else { 0 };
    let total = u64::try_from(content.len()).ok();
    let mut writer = part.begin(offset, total, Some(version.to_owned()), None)?;
    let rest = &content[usize::try_from(offset).expect("small")..];
    for piece in rest.chunks(100) {
        writer.write(piece)?;
    }
    writer.finish()
}

#[test]
fn a_download_survives_a_kill_at_every_step() {
    let content: Vec<u8> = (0..1000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for steps in 0..STEPS_MAX {
        let directory = tempfile::tempdir().expect("directory");
        let firmware = open(directory.path());
        fate::die_after(steps);
        let is_done = fetch(&firmware, "fw.bin", &content, "one").is_ok();
        fate::live();
        drop(firmware);

        let firmware = open(directory.path());
        let names = ["fw.bin".to_owned()];
        let part = firmware.part(JOB, "fw.bin").expect("part");
        assert!(part.is_complete() || part.offset().is_multiple_of(100), "{}", part.offset());
        assert!(firmware.path(JOB, "fw.bin").is_none());
        fetch(&firmware, "fw.bin", &content, "one").expect("resumed");
        firmware.verify(JOB, &names).expect("good");
        assert_eq!(fs::read(firmware.path(JOB, "fw.bin").expect("path")).expect("file"), content);
        let mut left = fs::read_dir(directory.path().join("ota").join(JOB)).expect("job").flatten();
        assert!(left.all(|entry| !entry.file_name().to_string_lossy().starts_with(".aside")));
        if is_done {
            assert!(steps > 20, "{steps}");
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn bytes_of_two_versions_are_never_mixed_whenever_the_kill_comes() {
    let (old, new) = (vec![b'o'; 700], vec![b'n'; 900]);
    for steps in 0..STEPS_MAX {
        let directory = tempfile::tempdir().expect("directory");
        let firmware = open(directory.path());
        let part = firmware.part(JOB, "fw.bin").expect("part");
        let mut writer = part.begin(0, Some(700), Some("old".to_owned()), None).expect("begin");
        writer.write(&old[..350]).expect("write");
        drop(writer);

        fate::die_after(steps);
        let is_done = fetch(&firmware, "fw.bin", &new, "new").is_ok();
        fate::live();
        let firmware = open(directory.path());
        let part = firmware.part(JOB, "fw.bin").expect("part");
        let content = if part.validator() == Some("old") { &old } else { &new };
        let file = directory.path().join("ota").join(JOB).join(if part.is_complete() { "" } else { ".parts" });
        let trusted = usize::try_from(part.offset()).expect("small");
        if trusted > 0 {
            let found = fs::read(file.join("fw.bin")).expect("bytes");
            assert_eq!(&found[..trusted], &content[..trusted], "after {steps} steps");
        }
        fetch(&firmware, "fw.bin", &new, "new").expect("resumed");
        firmware.verify(JOB, &["fw.bin".to_owned()]).expect("good");
        assert_eq!(fs::read(firmware.path(JOB, "fw.bin").expect("path")).expect("file"), new);
        if is_done {
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn nothing_is_handed_over_of_a_verification_that_was_cut_off() {
    for steps in 0..STEPS_MAX {
        let directory = tempfile::tempdir().expect("directory");
        let firmware = open(directory.path());
        for name in ["a.bin", "b.bin"] {
            fetch(&firmware, name, name.as_bytes(), "one").expect("fetched");
        }
        fate::die_after(steps);
        let is_done = firmware.verify(JOB, &["a.bin".to_owned(), "b.bin".to_owned()]).is_ok();
        fate::live();
        let firmware = open(directory.path());
        let paths = ["a.bin", "b.bin"].map(|name| firmware.path(JOB, name).is_some());
        assert_eq!(paths[0], paths[1], "all or none");
        if is_done {
            assert_eq!(paths, [true, true]);
            return;
        }
    }
    panic!("it never ends");
}

/// What lies in the plugin directory, but what is hidden.
fn plugins(root: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(root.join("plugins")).expect("plugins").flatten();
    let files = entries.filter(|entry| entry.file_type().expect("type").is_file());
    files
        .map(|entry| (entry.file_name().into_string().expect("text"), fs::read_to_string(entry.path()).expect("file")))
        .collect()
}

fn release(text: &str, manifest: Option<&str>) -> Release {
    Release { component: text.into(), signature: None, manifest: manifest.map(|text| text.as_bytes().to_vec()) }
}

fn set(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_deployment_is_whole_or_not_there_whenever_the_kill_comes() {
    let before = set(&[("a.wasm", "one"), ("a.toml", "rights of one")]);
    let after = set(&[("a.wasm", "two")]);
    for steps in 0..STEPS_MAX {
        let directory = tempfile::tempdir().expect("directory");
        let firmware = open(directory.path());
        let deploy = |firmware: &Firmware, release: Release| firmware.shelf(|shelf| shelf.deploy("a", &release));
        deploy(&firmware, release("one", Some("rights of one"))).expect("first");
        assert_eq!(plugins(directory.path()), before);

        fate::die_after(steps);
        let is_done = deploy(&firmware, release("two", None)).is_ok();
        fate::live();
        let firmware = open(directory.path());
        let found = plugins(directory.path());
        assert!(found == before || found == after, "after {steps} steps: {found:?}");
        assert!(!is_done || found == after, "after {steps} steps: {found:?}");
        let two = deploy(&firmware, release("two", None)).expect("again");
        assert_eq!(plugins(directory.path()), after);

        fate::die_after(steps);
        firmware.withdraw("a", &two.sha256);
        fate::live();
        let firmware = open(directory.path());
        let found = plugins(directory.path());
        assert!(found == before || found == after, "after {steps} steps: {found:?}");
        firmware.withdraw("a", &two.sha256);
        assert_eq!(plugins(directory.path()), before, "after {steps} steps");
        if is_done {
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_first_component_leaves_nothing_behind_when_it_is_withdrawn() {
    let directory = tempfile::tempdir().expect("directory");
    let firmware = open(directory.path());
    let one = firmware.shelf(|shelf| shelf.deploy("a", &release("one", Some("rights")))).expect("deployed");
    firmware.withdraw("a", "00");
    firmware.withdraw("b", &one.sha256);
    assert_eq!(plugins(directory.path()).len(), 2, "it is not meant");
    firmware.withdraw("a", &one.sha256);
    firmware.withdraw("a", &one.sha256);
    assert_eq!(plugins(directory.path()), BTreeMap::new());
}

#[test]
fn deploying_again_does_not_forget_what_was_before() {
    let directory = tempfile::tempdir().expect("directory");
    let firmware = open(directory.path());
    let deploy = |text| firmware.shelf(|shelf| shelf.deploy("a", &release(text, None))).expect("deployed");
    deploy("one");
    let two = deploy("two");
    assert_eq!(deploy("two"), two);
    firmware.withdraw("a", &two.sha256);
    assert_eq!(plugins(directory.path()), set(&[("a.wasm", "one")]));
}

#[test]
fn after_a_power_cut_only_what_was_synced_is_resumed() {
    let directory = tempfile::tempdir().expect("directory");
    let firmware = open(directory.path());
    let begin = |offset| {
        let part = firmware.part(JOB, "fw.bin").expect("part");
        part.begin(offset, Some(1000), Some("one".to_owned()), None).expect("begin")
    };
    begin(0).write(&[1; 100]).expect("write");
    begin(100).write(&[2; 100]).expect("write");
    assert_eq!(firmware.part(JOB, "fw.bin").expect("part").offset(), 200);
    let note = directory.path().join("ota").join(JOB).join(".notes/fw.bin");
    let text = fs::read_to_string(&note).expect("note");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("boot");
    fs::write(&note, text.replace(boot.trim(), "another boot")).expect("note");
    assert_eq!(firmware.part(JOB, "fw.bin").expect("part").offset(), 100);
}
