//! Challenge key and hub key.

use edgeplug_identity::{IdentityError, KeySlot, Retry, SIGNED_BYTES_MAX};

use crate::blob::{Parts, challenge, software_hmac};
use crate::rig::Rig;

#[tokio::test]
async fn a_challenge_key_signs_like_software_and_is_never_persistent() {
    let rig = Rig::new();
    let registration = rig.identity.registration().await.unwrap();
    let before = rig.persistent_handles();
    let (first, blob) = challenge(&registration);
    rig.identity.activate(KeySlot::Challenge, &blob).await.unwrap();
    rig.assert_signs(KeySlot::Challenge, &first).await;
    // The next one takes its place.
    let (second, blob) = challenge(&registration);
    rig.identity.activate(KeySlot::Challenge, &blob).await.unwrap();
    rig.assert_signs(KeySlot::Challenge, &second).await;
    assert_eq!(rig.persistent_handles(), before);
    assert!(!rig.wrapped_key_file().exists());
    assert!(!rig.identity.has_hub_key().await.unwrap());

    rig.identity.discard_challenge().await;
    rig.assert_clean();
    let error = rig.identity.sign(KeySlot::Challenge, b"text").await.unwrap_err();
    assert!(matches!(error, IdentityError::NoKey(KeySlot::Challenge)), "{error}");
}

#[tokio::test]
async fn a_challenge_does_not_touch_the_hub_key() {
    let rig = Rig::new();
    let (registration, hub) = rig.provisioned().await;
    let (temporary, blob) = challenge(&registration);
    rig.identity.activate(KeySlot::Challenge, &blob).await.unwrap();
    rig.assert_signs(KeySlot::Challenge, &temporary).await;
    rig.assert_signs(KeySlot::Hub, &hub).await;
}

#[tokio::test]
async fn a_hub_key_survives_a_power_cycle_and_a_restart() {
    let mut rig = Rig::new();
    let (_, key) = rig.provisioned().await;
    rig.assert_signs(KeySlot::Hub, &key).await;
    rig.swtpm.restart().unwrap();
    rig.assert_signs(KeySlot::Hub, &key).await;
    rig.reopen().await;
    let registration = rig.identity.registration().await.unwrap();
    assert!(registration.hub_key);
    assert!(registration.tpm.unwrap().hub_key_persistent);
    rig.assert_signs(KeySlot::Hub, &key).await;
}

#[tokio::test]
async fn a_hub_key_that_another_client_left_is_used_without_a_file() {
    let mut rig = Rig::new();
    let (_, key) = rig.provisioned().await;
    std::fs::remove_file(rig.wrapped_key_file()).unwrap();
    rig.reopen().await;
    assert!(rig.identity.has_hub_key().await.unwrap());
    rig.assert_signs(KeySlot::Hub, &key).await;
}

#[tokio::test]
async fn the_wrapped_file_alone_suffices() {
    let rig = Rig::new();
    let (_, key) = rig.provisioned().await;
    rig.evict(0x8100_0100);
    let registration = rig.identity.registration().await.unwrap();
    assert!(registration.hub_key);
    assert!(!registration.tpm.unwrap().hub_key_persistent);
    rig.assert_signs(KeySlot::Hub, &key).await;
    rig.assert_clean();
}

#[tokio::test]
async fn a_kill_while_the_hub_key_is_being_replaced_leaves_one_that_signs() {
    let mut rig = Rig::new();
    let registration = rig.identity.registration().await.unwrap();
    let (old, old_blob) = challenge(&registration);
    let (new, new_blob) = challenge(&registration);
    rig.identity.activate(KeySlot::Hub, &new_blob).await.unwrap();
    let new_file = std::fs::read(rig.wrapped_key_file()).unwrap();
    rig.identity.activate(KeySlot::Hub, &old_blob).await.unwrap();
    rig.assert_signs(KeySlot::Hub, &old).await;

    // Killed when the copy was written: the old key still lies at the handle.
    std::fs::write(rig.wrapped_key_file(), &new_file).unwrap();
    rig.reopen().await;
    rig.assert_signs(KeySlot::Hub, &old).await;

    // Killed when the old key was removed: the new one is in the file.
    rig.evict(0x8100_0100);
    rig.reopen().await;
    assert!(rig.identity.registration().await.unwrap().hub_key);
    rig.assert_signs(KeySlot::Hub, &new).await;

    // From here the next registration goes on as if nothing had happened.
    rig.identity.activate(KeySlot::Hub, &old_blob).await.unwrap();
    assert!(rig.persistent_handles().contains("0x81000100"));
    rig.assert_signs(KeySlot::Hub, &old).await;
    rig.assert_clean();
}

#[tokio::test]
async fn the_same_hub_key_again_is_not_written_to_the_tpm_again() {
    let rig = Rig::new();
    let registration = rig.identity.registration().await.unwrap();
    let (key, blob) = challenge(&registration);
    rig.identity.activate(KeySlot::Hub, &blob).await.unwrap();
    // Removing needs the owner's password; storing as well. Neither is asked for.
    rig.swtpm.tool("tpm2_changeauth", ["-c", "o", "owner-secret"]).unwrap();
    rig.identity.activate(KeySlot::Hub, &blob).await.unwrap();
    rig.assert_signs(KeySlot::Hub, &key).await;
    let (_, other) = challenge(&registration);
    let error = rig.identity.activate(KeySlot::Hub, &other).await.unwrap_err();
    assert!(matches!(error, IdentityError::AuthRefused { whose: "owner hierarchy", .. }), "{error}");
    rig.assert_signs(KeySlot::Hub, &key).await;
    rig.assert_clean();
}

#[tokio::test]
async fn a_damaged_blob_is_refused_and_the_hub_key_still_signs() {
    let rig = Rig::new();
    let (registration, hub) = rig.provisioned().await;
    let file = std::fs::read(rig.wrapped_key_file()).unwrap();
    let whole = Parts::of(&registration, &[7; 32]);

    let mut damaged = Vec::new();
    let mut damage = |name: &'static str, change: &dyn Fn(&mut Parts)| {
        let mut parts = whole.clone();
        change(&mut parts);
        damaged.push((name, parts));
    };
    damage("hmac of the credential", &|parts| parts.id_object[5] ^= 1);
    damage("credential", &|parts| *parts.id_object.last_mut().unwrap() ^= 1);
    damage("credential cut short", &|parts| parts.id_object.truncate(20));
    damage("credential secret", &|parts| parts.encrypted_secret[9] ^= 1);
    damage("credential secret of noise", &|parts| parts.encrypted_secret.fill(0x5a));
    damage("credential secret cut short", &|parts| parts.encrypted_secret.truncate(128));
    damage("hmac of the duplicate", &|parts| parts.duplicate[5] ^= 1);
    damage("duplicate", &|parts| *parts.duplicate.last_mut().unwrap() ^= 1);
    damage("duplicate cut short", &|parts| parts.duplicate.truncate(60));
    damage("seed", &|parts| parts.import_seed[9] ^= 1);
    damage("seed of noise", &|parts| parts.import_seed.fill(0x5a));
    damage("unique", &|parts| *parts.public.last_mut().unwrap() ^= 1);
    damage("public cut short", &|parts| parts.public.truncate(11));
    damage("every part too long", &|parts| {
        for part in [&mut parts.id_object, &mut parts.encrypted_secret, &mut parts.duplicate, &mut parts.import_seed] {
            part.resize(900, 0);
        }
    });
    damage("key of 65 bytes", &|parts| *parts = Parts::of(&registration, &[7; 65]));

    for slot in [KeySlot::Challenge, KeySlot::Hub] {
        for (name, parts) in &damaged {
            let error = match parts_blob(parts) {
                Some(blob) => rig.identity.activate(slot, &blob).await.unwrap_err(),
                None => continue,
            };
            assert!(matches!(error, IdentityError::BlobRefused { .. }), "{name}: {error:?}");
            assert_eq!(error.retry(), Retry::Never);
        }
    }
    assert_eq!(std::fs::read(rig.wrapped_key_file()).unwrap(), file);
    rig.assert_signs(KeySlot::Hub, &hub).await;
    rig.assert_clean();
    // And the undamaged one is taken afterwards.
    rig.identity.activate(KeySlot::Hub, &whole.blob()).await.unwrap();
    rig.assert_signs(KeySlot::Hub, &[7; 32]).await;
}

/// `None` where the parser refuses already.
fn parts_blob(parts: &Parts) -> Option<edgeplug_protocol::azure::challenge::ChallengeBlob> {
    (parts.id_object.len() + parts.duplicate.len() < 3000).then(|| parts.blob())
}

#[tokio::test]
async fn a_blob_for_another_tpm_is_refused() {
    let rig = Rig::new();
    rig.identity.registration().await.unwrap();
    let other = Rig::new();
    let (_, blob) = challenge(&other.identity.registration().await.unwrap());
    let error = rig.identity.activate(KeySlot::Hub, &blob).await.unwrap_err();
    assert!(matches!(error, IdentityError::BlobRefused { .. }), "{error}");
    rig.assert_clean();
}

#[tokio::test]
async fn a_key_that_is_not_a_plain_hmac_key_is_refused_before_the_tpm_sees_it() {
    let rig = Rig::new();
    let registration = rig.identity.registration().await.unwrap();
    let heads: [(&str, [u8; 16]); 3] = [
        ("restricted", [0, 0x08, 0, 0x0b, 0, 0x05, 0x04, 0x40, 0, 0, 0, 0x05, 0, 0x0b, 0, 0x20]),
        ("not for signing", [0, 0x08, 0, 0x0b, 0, 0x00, 0x04, 0x40, 0, 0, 0, 0x05, 0, 0x0b, 0, 0x20]),
        ("SHA-1", [0, 0x08, 0, 0x0b, 0, 0x04, 0x04, 0x40, 0, 0, 0, 0x05, 0, 0x04, 0, 0x20]),
    ];
    for (name, head) in heads {
        let blob = Parts::with_public_head(&registration, &[7; 32], &head).blob();
        let error = rig.identity.activate(KeySlot::Hub, &blob).await.unwrap_err();
        assert!(matches!(error, IdentityError::BlobRefused { doing: "check the key", .. }), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_key_with_a_duplication_policy_is_taken() {
    // Microsoft's model of the service sets PolicyCommandCode(Duplicate).
    let rig = Rig::new();
    let registration = rig.identity.registration().await.unwrap();
    let mut head = vec![0, 0x08, 0, 0x0b, 0, 0x04, 0x04, 0x40, 0, 0x20];
    head.extend([
        0xbe, 0xf5, 0x6b, 0x8c, 0x1c, 0xc8, 0x4e, 0x11, 0xed, 0xd7, 0x17, 0x52, 0x8d, 0x2c, 0xd9, 0x93, 0x56, 0xbd,
        0x2b, 0xbf, 0x8f, 0x01, 0x52, 0x09, 0xc3, 0xf8, 0x4a, 0xee, 0xab, 0xa8, 0xe8, 0xa2,
    ]);
    head.extend([0, 0x05, 0, 0x0b, 0, 0x20]);
    let blob = Parts::with_public_head(&registration, &[9; 64], &head).blob();
    rig.identity.activate(KeySlot::Hub, &blob).await.unwrap();
    rig.assert_signs(KeySlot::Hub, &[9; 64]).await;
}

#[tokio::test]
async fn something_else_at_the_hub_handle_is_never_removed() {
    let rig = Rig::new();
    let registration = rig.identity.registration().await.unwrap();
    rig.swtpm.tool("tpm2_createprimary", ["-C", "o", "-G", "ecc", "-c", "primary.ctx"]).unwrap();
    rig.swtpm.tool("tpm2_evictcontrol", ["-C", "o", "-c", "primary.ctx", "0x81000100"]).unwrap();
    rig.swtpm.tool("tpm2_flushcontext", ["-t"]).unwrap();
    let (_, blob) = challenge(&registration);
    for error in [
        rig.identity.activate(KeySlot::Hub, &blob).await.unwrap_err(),
        rig.identity.sign(KeySlot::Hub, b"text").await.unwrap_err(),
        rig.identity.has_hub_key().await.unwrap_err(),
    ] {
        assert!(matches!(error, IdentityError::BadHandle { handle: 0x8100_0100, role: "hub key", .. }), "{error}");
    }
    assert!(rig.persistent_handles().contains("0x81000100"));
    assert!(!rig.wrapped_key_file().exists());
}

#[tokio::test]
async fn a_cleared_tpm_keeps_its_endorsement_key_and_asks_for_a_new_hub_key() {
    let rig = Rig::new();
    let (before, _) = rig.provisioned().await;
    rig.swtpm.tool::<_, &str>("tpm2_clear", []).unwrap();
    let after = rig.identity.registration().await.unwrap();
    assert_eq!(after.endorsement_key, before.endorsement_key);
    assert_ne!(after.storage_root_key, before.storage_root_key);
    assert!(!after.hub_key, "the wrapped file belongs to the old storage root key");
    let error = rig.identity.sign(KeySlot::Hub, b"text").await.unwrap_err();
    assert!(matches!(error, IdentityError::NoKey(KeySlot::Hub)), "{error}");

    let (key, blob) = challenge(&after);
    rig.identity.activate(KeySlot::Hub, &blob).await.unwrap();
    rig.assert_signs(KeySlot::Hub, &key).await;
}

#[tokio::test]
async fn without_root_keys_a_blob_is_refused_and_nothing_is_created() {
    let rig = Rig::new();
    let (_, blob) = challenge(&rig.identity.registration().await.unwrap());
    rig.evict(0x8100_0001);
    let error = rig.identity.activate(KeySlot::Challenge, &blob).await.unwrap_err();
    assert!(matches!(error, IdentityError::BlobRefused { .. }), "{error}");
    assert!(!rig.persistent_handles().contains("0x81000001"));
}

#[tokio::test]
async fn a_damaged_wrapped_file_is_as_good_as_none() {
    let rig = Rig::new();
    let (_, _) = rig.provisioned().await;
    rig.evict(0x8100_0100);
    let good = std::fs::read_to_string(rig.wrapped_key_file()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&good).unwrap();
    let mut private = value["private"].as_str().unwrap().to_owned();
    private.replace_range(40..44, "AAAA");
    let damaged = good.replace(value["private"].as_str().unwrap(), &private);
    for text in ["", "{}", &damaged, &good.replace(value["public"].as_str().unwrap(), "AAAA")] {
        std::fs::write(rig.wrapped_key_file(), text).unwrap();
        assert!(!rig.identity.has_hub_key().await.unwrap(), "{text}");
        let error = rig.identity.sign(KeySlot::Hub, b"text").await.unwrap_err();
        assert!(matches!(error, IdentityError::NoKey(KeySlot::Hub)), "{error}");
    }
    rig.assert_clean();
}

#[tokio::test]
async fn a_hub_key_that_cannot_be_saved_does_not_replace_the_earlier_one() {
    let mut rig = Rig::new();
    let (registration, old) = rig.provisioned().await;
    rig.config.wrapped_key_file = "/nonexistent/hub-key.json".into();
    rig.reopen().await;
    let (_, blob) = challenge(&registration);
    let error = rig.identity.activate(KeySlot::Hub, &blob).await.unwrap_err();
    assert!(matches!(error, IdentityError::KeyFile { .. }), "{error}");
    rig.assert_signs(KeySlot::Hub, &old).await;
    rig.assert_clean();
}

#[tokio::test]
async fn a_signature_covers_up_to_what_every_tpm_takes() {
    let rig = Rig::new();
    let (_, key) = rig.provisioned().await;
    for length in [0, 1, SIGNED_BYTES_MAX] {
        let bytes = vec![0x61; length];
        let signature = rig.identity.sign(KeySlot::Hub, &bytes).await.unwrap();
        assert_eq!(signature.as_bytes(), &software_hmac(&key, &bytes));
    }
    let error = rig.identity.sign(KeySlot::Hub, &[0; SIGNED_BYTES_MAX + 1]).await.unwrap_err();
    assert!(matches!(error, IdentityError::TooLong(1025)), "{error}");
}
