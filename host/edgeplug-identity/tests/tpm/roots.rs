//! Endorsement key and storage root key.

use edgeplug_identity::{EkTemplate, IdentityError, IdentityKind, Origin, Retry};

use crate::rig::Rig;

#[tokio::test]
async fn root_keys_are_created_once_and_found_again() {
    let mut rig = Rig::new();
    let first = rig.identity.registration().await.unwrap();
    assert_eq!(first.kind, IdentityKind::Tpm);
    assert!(!first.hub_key);
    let details = first.tpm.as_ref().unwrap();
    assert_eq!(details.ek_origin, Origin::Created(EkTemplate::Tcg));
    assert_eq!(details.srk_origin, Origin::Created(EkTemplate::Tcg));
    assert!(details.product.contains("IBM"), "{}", details.product);
    assert!(details.product.contains("firmware "), "{}", details.product);

    for power_cycle in [false, true] {
        if power_cycle {
            rig.swtpm.restart().unwrap();
        }
        rig.reopen().await;
        let again = rig.identity.registration().await.unwrap();
        assert_eq!(again.endorsement_key, first.endorsement_key);
        assert_eq!(again.storage_root_key, first.storage_root_key);
        let details = again.tpm.unwrap();
        assert_eq!((details.ek_origin, details.srk_origin), (Origin::Found, Origin::Found));
    }
    rig.assert_clean();
}

#[tokio::test]
async fn the_public_keys_are_the_bytes_that_dps_wants() {
    let rig = Rig::new();
    let registration = rig.identity.registration().await.unwrap();
    let ek = registration.endorsement_key.unwrap();
    assert_eq!(ek.len(), 316);
    assert_eq!(&ek[..14], &[0x01, 0x3a, 0, 1, 0, 0x0b, 0, 3, 0, 0xb2, 0, 0x20, 0x83, 0x71]);
    let srk = registration.storage_root_key.unwrap();
    assert_eq!(srk.len(), 284);
    assert_eq!(&srk[..12], &[0x01, 0x1a, 0, 1, 0, 0x0b, 0, 3, 0x04, 0x72, 0, 0]);
    // And the bytes that tpm2-tools print for the same handle.
    rig.swtpm.tool("tpm2_readpublic", ["-c", "0x81010001", "-f", "tss", "-o", "ek.tss"]).unwrap();
    assert_eq!(std::fs::read(rig.swtpm.state_dir().join("ek.tss")).unwrap(), ek);
}

#[tokio::test]
async fn the_two_templates_make_different_keys_and_are_told_apart() {
    let mut keys = Vec::new();
    for template in [EkTemplate::Tcg, EkTemplate::AzureC] {
        let mut rig = Rig::with(|config| config.ek_template = template);
        let first = rig.identity.registration().await.unwrap();
        assert_eq!(rig.identity.ek_template().await.unwrap(), Some(template));
        // On one chip, after its owner cleared the handles: the other template is another device.
        for handle in [0x8101_0001, 0x8100_0001] {
            rig.evict(handle);
        }
        let other = if template == EkTemplate::Tcg { EkTemplate::AzureC } else { EkTemplate::Tcg };
        rig.config.ek_template = other;
        rig.reopen().await;
        let second = rig.identity.registration().await.unwrap();
        assert_ne!(second.endorsement_key, first.endorsement_key);
        assert_ne!(second.storage_root_key, first.storage_root_key);
        rig.assert_clean();
        keys.push(first.endorsement_key);
    }
}

#[tokio::test]
async fn keys_that_another_client_made_are_used_as_found() {
    let rig = Rig::new();
    rig.swtpm.tool("tpm2_createek", ["-c", "0x81010001", "-G", "rsa", "-u", "ek.pub"]).unwrap();
    rig.swtpm.tool("tpm2_flushcontext", ["-t"]).unwrap();
    let made = rig.swtpm.tool("tpm2_readpublic", ["-c", "0x81010001", "-f", "tss", "-o", "ek.tss"]);
    made.unwrap();
    let registration = rig.identity.registration().await.unwrap();
    let details = registration.tpm.unwrap();
    assert_eq!(details.ek_origin, Origin::Found);
    assert_eq!(details.srk_origin, Origin::Created(EkTemplate::Tcg));
    assert_eq!(registration.endorsement_key.unwrap(), std::fs::read(rig.swtpm.state_dir().join("ek.tss")).unwrap());
}

#[tokio::test]
async fn something_else_at_a_root_handle_is_refused_by_name_and_left_alone() {
    let algorithm_and_word = [("ecc", "RSA"), ("rsa", "policy")];
    for (algorithm, word) in algorithm_and_word {
        let rig = Rig::new();
        rig.swtpm.tool("tpm2_createprimary", ["-C", "o", "-G", algorithm, "-c", "primary.ctx"]).unwrap();
        rig.swtpm.tool("tpm2_evictcontrol", ["-C", "o", "-c", "primary.ctx", "0x81010001"]).unwrap();
        rig.swtpm.tool("tpm2_flushcontext", ["-t"]).unwrap();
        let error = rig.identity.registration().await.unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, IdentityError::BadHandle { handle: 0x8101_0001, role: "endorsement key", .. }),
            "{text}"
        );
        assert!(text.contains("0x81010001") && text.contains(word) && text.contains("tpm2_evictcontrol"), "{text}");
        assert!(rig.persistent_handles().contains("0x81010001"));
        rig.assert_clean();
    }
}

#[tokio::test]
async fn a_storage_root_key_on_an_elliptic_curve_is_refused_with_a_way_out() {
    // systemd puts one at this very handle.
    let mut rig = Rig::new();
    rig.swtpm.tool("tpm2_createprimary", ["-C", "o", "-G", "ecc", "-c", "primary.ctx"]).unwrap();
    rig.swtpm.tool("tpm2_evictcontrol", ["-C", "o", "-c", "primary.ctx", "0x81000001"]).unwrap();
    rig.swtpm.tool("tpm2_flushcontext", ["-t"]).unwrap();
    let error = rig.identity.registration().await.unwrap_err();
    assert!(matches!(error, IdentityError::BadHandle { handle: 0x8100_0001, .. }), "{error}");

    rig.config.srk_handle = 0x8100_0002;
    rig.reopen().await;
    let (_, key) = rig.provisioned().await;
    rig.assert_signs(edgeplug_identity::KeySlot::Hub, &key).await;
}

#[tokio::test]
async fn a_handle_outside_the_persistent_range_is_refused_by_name() {
    let rig = Rig::with(|config| config.ek_handle = 0x0101_0001);
    let error = rig.identity.registration().await.unwrap_err();
    assert!(matches!(error, IdentityError::BadHandle { handle: 0x0101_0001, .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_owner_password_is_named_and_the_right_one_works() {
    let mut rig = Rig::new();
    rig.swtpm.tool("tpm2_changeauth", ["-c", "o", "owner-secret"]).unwrap();
    for password in [None, Some("guess")] {
        rig.config.owner_auth = password.map(|text| text.to_owned().into());
        rig.reopen().await;
        let error = rig.identity.registration().await.unwrap_err();
        assert!(matches!(error, IdentityError::AuthRefused { whose: "owner hierarchy", code: 0x9a2, .. }), "{error}");
        assert_eq!(error.retry(), Retry::Never);
        rig.assert_clean();
    }
    rig.config.owner_auth = Some("owner-secret".to_owned().into());
    rig.reopen().await;
    let (_, key) = rig.provisioned().await;
    rig.assert_signs(edgeplug_identity::KeySlot::Hub, &key).await;
}

#[tokio::test]
async fn a_wrong_endorsement_password_is_named_and_the_right_one_works() {
    let mut rig = Rig::new();
    let registration = rig.identity.registration().await.unwrap();
    let (key, blob) = crate::blob::challenge(&registration);
    rig.swtpm.tool("tpm2_changeauth", ["-c", "e", "endorsement-secret"]).unwrap();
    let error = rig.identity.activate(edgeplug_identity::KeySlot::Hub, &blob).await.unwrap_err();
    assert!(matches!(error, IdentityError::AuthRefused { whose: "endorsement hierarchy", .. }), "{error}");
    rig.assert_clean();

    rig.config.endorsement_auth = Some("endorsement-secret".to_owned().into());
    rig.reopen().await;
    rig.identity.activate(edgeplug_identity::KeySlot::Hub, &blob).await.unwrap();
    rig.assert_signs(edgeplug_identity::KeySlot::Hub, &key).await;
}
