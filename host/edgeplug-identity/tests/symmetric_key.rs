//! A symmetric key in a file, as an operator lays it there.
#![allow(clippy::unwrap_used, reason = "the rigs around tests may fail as tests do")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeplug_identity::{Identity, IdentityConfig, IdentityError, IdentityKind, KeySlot, SymmetricKeyConfig};
use edgeplug_protocol::azure::challenge::ChallengeBlob;
use tempfile::TempDir;

/// The key 00..1f.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TEXT: &[u8] = b"example.azure-devices.net%2Fdevices%2Fdev1\n1700000000";
const SIGNATURE: &str = "/MURiJbT9S5TAJtbdvVVR/znh6kFbmzrmFudqysJPX8=";

struct Rig {
    identity: Identity,
    file: PathBuf,
    _files: TempDir,
}

fn rig() -> Rig {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("device-key");
    let identity = Identity::open(IdentityConfig::SymmetricKey(SymmetricKeyConfig { key_file: file.clone() }));
    Rig { identity, file, _files: files }
}

impl Rig {
    fn write(&self, text: &str, mode: u32) {
        std::fs::write(&self.file, text).unwrap();
        std::fs::set_permissions(&self.file, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    async fn refusal(&self) -> String {
        let error = self.identity.sign(KeySlot::Hub, TEXT).await.unwrap_err();
        assert!(matches!(&error, IdentityError::KeyFile { path, .. } if *path == self.file), "{error:?}");
        assert!(self.identity.registration().await.is_err());
        error.to_string()
    }
}

#[tokio::test]
async fn the_key_in_the_file_signs() {
    let rig = rig();
    for (text, mode) in [(KEY.to_owned(), 0o600), (format!("  {KEY}\r\n"), 0o400), (KEY.to_owned(), 0o640)] {
        rig.write(&text, 0o600);
        rig.write(&text, mode);
        let registration = rig.identity.registration().await.unwrap();
        assert_eq!(registration.kind, IdentityKind::SymmetricKey);
        assert!(registration.hub_key && registration.endorsement_key.is_none() && registration.tpm.is_none());
        assert!(rig.identity.has_hub_key().await.unwrap());
        for slot in [KeySlot::Hub, KeySlot::Challenge] {
            let signature = rig.identity.sign(slot, TEXT).await.unwrap();
            assert_eq!(STANDARD.encode(signature.as_bytes()), SIGNATURE);
        }
        std::fs::remove_file(&rig.file).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_comes_late_or_is_replaced_is_used_without_a_new_identity() {
    let rig = rig();
    assert!(rig.refusal().await.contains("cannot be opened"));
    rig.write(&STANDARD.encode([7; 64]), 0o600);
    let other = rig.identity.sign(KeySlot::Hub, TEXT).await.unwrap();
    rig.write(KEY, 0o600);
    let signature = rig.identity.sign(KeySlot::Hub, TEXT).await.unwrap();
    assert_ne!(other, signature);
    assert_eq!(STANDARD.encode(signature.as_bytes()), SIGNATURE);
}

#[tokio::test]
async fn a_file_that_everybody_can_open_is_refused_with_a_remedy() {
    let rig = rig();
    for mode in [0o644, 0o604, 0o602, 0o601] {
        rig.write(KEY, mode);
        let text = rig.refusal().await;
        assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 0600"), "{text}");
    }
}

#[tokio::test]
async fn what_is_not_a_key_is_refused_without_showing_it() {
    let rig = rig();
    for (text, words) in [
        ("", "0 bytes"),
        ("c2hvcnQ=", "5 bytes"),
        ("not-base64-but-very-secret", "not base64"),
        (&STANDARD.encode([1; 65]), "65 bytes"),
        (&"A".repeat(5000), "more than 1024 bytes"),
    ] {
        rig.write(text, 0o600);
        let said = rig.refusal().await;
        assert!(said.contains(words), "{said}");
        assert!(text.is_empty() || !said.contains(text), "{said}");
    }
    std::fs::remove_file(&rig.file).unwrap();
    std::fs::create_dir(&rig.file).unwrap();
    assert!(rig.refusal().await.contains("not a regular file"));
    std::fs::remove_dir(&rig.file).unwrap();
    std::process::Command::new("mkfifo").arg(&rig.file).status().unwrap();
    assert!(rig.refusal().await.contains("not a regular file"));
}

#[tokio::test]
async fn a_tpm_challenge_is_not_for_a_symmetric_key() {
    let rig = rig();
    rig.write(KEY, 0o600);
    let blob = ChallengeBlob::parse(&[0, 1, 1].repeat(5)).unwrap();
    for slot in [KeySlot::Challenge, KeySlot::Hub] {
        let error = rig.identity.activate(slot, &blob).await.unwrap_err();
        assert!(matches!(error, IdentityError::Unsupported(_)), "{error:?}");
    }
    assert!(matches!(rig.identity.ek_template().await, Err(IdentityError::Unsupported(_))));
    rig.identity.discard_challenge().await;
    rig.identity.close().await;
    assert!(matches!(rig.identity.sign(KeySlot::Hub, TEXT).await, Err(IdentityError::Closed)));
}
