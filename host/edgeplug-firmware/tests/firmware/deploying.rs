//! Components on their way into the plugin directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use edgeplug_firmware::Firmware;
use edgeplug_signature::SignatureMode;

use crate::rig::{JOB, Maker, Rig, sha256_of, verify};

fn bundle(files: &[(&str, &[u8])]) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("directory");
    for (name, content) in files {
        fs::write(directory.path().join(name), content).expect("write");
    }
    let mut tar = Command::new("tar");
    tar.args(["--format=ustar", "-cf", "-"]).args(files.iter().map(|(name, _)| name)).current_dir(directory.path());
    tar.output().expect("tar of the package tar").stdout
}

fn deployed(rig: &Rig) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(&rig.options.plugins).expect("plugins").flatten();
    let files = entries.filter(|entry| entry.file_type().expect("type").is_file());
    let mut files: Vec<_> = files
        .map(|entry| (entry.file_name().into_string().expect("text"), fs::read(entry.path()).expect("read")))
        .collect();
    files.sort();
    files
}

fn put(firmware: &Firmware, files: &[(&str, &[u8])], name: &str) -> String {
    verify(firmware, files).expect("good");
    let deployment = firmware.deploy(JOB, name).expect("deployed");
    assert_eq!(Path::new(name).file_stem().expect("stem"), deployment.plugin.as_str());
    firmware.discard(JOB);
    deployment.sha256
}

fn owned(files: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect()
}

#[test]
fn a_component_comes_with_its_signature_and_goes_with_it() {
    let rig = Rig::new();
    let firmware = rig.open();
    let one = put(&firmware, &[("a.wasm", b"one"), ("a.wasm.minisig", b"signature")], "a.wasm");
    assert_eq!(one, sha256_of(b"one"));
    assert_eq!(deployed(&rig), owned(&[("a.wasm", b"one"), ("a.wasm.minisig", b"signature")]));
    let two = put(&firmware, &[("a.wasm", b"two")], "a.wasm");
    assert_eq!(deployed(&rig), owned(&[("a.wasm", b"two")]), "no other component's signature");
    // The session says it again after a restart.
    let firmware = rig.open();
    firmware.withdraw("a", &two);
    firmware.withdraw("a", &two);
    assert_eq!(deployed(&rig), owned(&[("a.wasm", b"one"), ("a.wasm.minisig", b"signature")]));
}

#[test]
fn a_bundle_brings_a_manifest_and_takes_it_away_again() {
    let maker = Maker::new();
    let rig = Rig::signed(SignatureMode::Off, &maker);
    let firmware = rig.open();
    put(&firmware, &[("a.wasm", b"one")], "a.wasm");
    let packed = bundle(&[("a.wasm", b"two"), ("a.toml", b"[rights]")]);
    let signature = maker.sign(&packed, "file:a.edgeplug");
    let files: [(&str, &[u8]); 3] =
        [("a.edgeplug", &packed), ("a.edgeplug.minisig", &signature), ("a.wasm.minisig", b"of the component")];
    let two = put(&firmware, &files, "a.edgeplug");
    assert_eq!(two, sha256_of(b"two"));
    assert_eq!(
        deployed(&rig),
        owned(&[("a.toml", b"[rights]"), ("a.wasm", b"two"), ("a.wasm.minisig", b"of the component")])
    );
    firmware.withdraw("a", &two);
    assert_eq!(deployed(&rig), owned(&[("a.wasm", b"one")]));
}

#[test]
fn a_bad_bundle_changes_nothing() {
    let maker = Maker::new();
    let rig = Rig::signed(SignatureMode::Off, &maker);
    let firmware = rig.open();
    put(&firmware, &[("a.wasm", b"one")], "a.wasm");
    for packed in [bundle(&[("a.wasm", b"two")]), bundle(&[("b.wasm", b"two"), ("b.toml", b"")]), b"\0asm".to_vec()] {
        let signature = maker.sign(&packed, "");
        verify(&firmware, &[("a.edgeplug", &packed), ("a.edgeplug.minisig", &signature)]).expect("signed");
        firmware.deploy(JOB, "a.edgeplug").expect_err("bad");
        assert_eq!(deployed(&rig), owned(&[("a.wasm", b"one")]));
    }
}

#[test]
fn only_verified_components_under_names_of_plugins_are_deployed() {
    let rig = Rig::new();
    let firmware = rig.open();
    assert_eq!(firmware.deploy(JOB, "a.wasm").expect_err("unverified"), "a.wasm was not verified");
    verify(&firmware, &[("fw.bin", b"x"), ("a b.wasm", b"x")]).expect("good");
    assert_eq!(firmware.deploy(JOB, "fw.bin").expect_err("firmware"), "fw.bin is no component");
    assert!(firmware.deploy(JOB, "a b.wasm").expect_err("name").contains("is no name of a plugin"));
    for name in ["../a.wasm", ".wasm", "..wasm", "/a.wasm"] {
        firmware.deploy(JOB, name).expect_err(name);
        firmware.withdraw(name, &sha256_of(b"x"));
    }
    assert_eq!(deployed(&rig), []);
}

#[test]
fn a_component_that_is_no_more_there_is_not_taken_back() {
    let rig = Rig::new();
    let firmware = rig.open();
    put(&firmware, &[("a.wasm", b"one")], "a.wasm");
    let two = put(&firmware, &[("a.wasm", b"two")], "a.wasm");
    let three = put(&firmware, &[("a.wasm", b"three")], "a.wasm");
    firmware.withdraw("a", &two);
    assert_eq!(deployed(&rig), owned(&[("a.wasm", b"three")]));
    firmware.withdraw("a", &three);
    assert_eq!(deployed(&rig), owned(&[("a.wasm", b"two")]));
}

#[test]
fn links_in_the_plugin_directory_are_replaced_not_followed() {
    let rig = Rig::new();
    let firmware = rig.open();
    let victim = rig.directory.path().join("victim");
    fs::write(&victim, "untouched").expect("victim");
    for name in ["a.wasm", "a.toml", "a.wasm.minisig"] {
        std::os::unix::fs::symlink(&victim, rig.options.plugins.join(name)).expect("link");
    }
    let one = put(&firmware, &[("a.wasm", b"one")], "a.wasm");
    assert_eq!(deployed(&rig), owned(&[("a.wasm", b"one")]));
    firmware.withdraw("a", &one);
    assert_eq!(deployed(&rig), []);
    assert_eq!(fs::read_to_string(&victim).expect("victim"), "untouched");
}
