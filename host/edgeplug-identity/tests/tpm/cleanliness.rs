//! A TPM has three slots for keys and three for sessions; whoever forgets one locks everybody out.

use edgeplug_identity::KeySlot;

use crate::blob::{Parts, challenge};
use crate::rig::Rig;

#[tokio::test]
async fn a_thousand_signatures_and_many_activations_leave_nothing_in_the_tpm() {
    let rig = Rig::new();
    let (registration, mut hub) = rig.provisioned().await;
    for cycle in 0..1000 {
        rig.assert_signs(KeySlot::Hub, &hub).await;
        if cycle % 100 != 0 {
            continue;
        }
        let (key, blob) = challenge(&registration);
        rig.identity.activate(KeySlot::Challenge, &blob).await.unwrap();
        rig.assert_signs(KeySlot::Challenge, &key).await;
        let mut damaged = Parts::of(&registration, &[1; 32]);
        damaged.duplicate[40] ^= 1;
        rig.identity.activate(KeySlot::Challenge, &damaged.blob()).await.unwrap_err();
        let (key, blob) = challenge(&registration);
        rig.identity.activate(KeySlot::Hub, &blob).await.unwrap();
        hub = key;
        if cycle % 200 == 0 {
            rig.identity.discard_challenge().await;
        }
    }
    rig.identity.discard_challenge().await;
    rig.assert_clean();
}

#[tokio::test]
async fn closing_unloads_the_challenge_key() {
    let rig = Rig::new();
    let (_, blob) = challenge(&rig.identity.registration().await.unwrap());
    rig.identity.activate(KeySlot::Challenge, &blob).await.unwrap();
    rig.identity.close().await;
    rig.assert_clean();
    let error = rig.identity.has_hub_key().await.unwrap_err();
    assert!(matches!(error, edgeplug_identity::IdentityError::Closed), "{error}");
    rig.identity.close().await;
}

#[tokio::test]
async fn calls_from_many_tasks_do_not_disturb_each_other() {
    let rig = Rig::new();
    let (_, key) = rig.provisioned().await;
    let calls: Vec<_> = (0..6_u8)
        .map(|n| {
            let identity = rig.identity.clone();
            tokio::spawn(async move { identity.sign(KeySlot::Hub, &[n]).await })
        })
        .collect();
    for (n, call) in (0..6_u8).zip(calls) {
        assert_eq!(call.await.unwrap().unwrap().as_bytes(), &crate::blob::software_hmac(&key, &[n]));
    }
}
