//! TPMs that are missing, come late, hang, or are held by someone else.

use std::time::{Duration, Instant};

use edgeplug_identity::{IdentityError, KeySlot, Retry, TpmConfig};
use edgeplug_test_support::swtpm::SilentTpm;

use crate::blob::challenge;
use crate::rig::{Rig, open};

#[tokio::test]
async fn a_tpm_that_comes_late_is_used_without_a_new_identity() {
    let mut rig = Rig::new();
    rig.swtpm.stop().unwrap();
    for _ in 0..2 {
        let error = rig.identity.registration().await.unwrap_err();
        assert!(matches!(error, IdentityError::Missing { .. }), "{error:?}");
        assert!(error.to_string().contains(&rig.swtpm.tcti()), "{error}");
        assert_eq!(error.retry(), Retry::Later);
    }
    rig.swtpm.restart().unwrap();
    rig.provisioned().await;
}

#[tokio::test]
async fn an_outage_in_the_middle_of_a_registration_heals() {
    let mut rig = Rig::new();
    let (registration, hub) = rig.provisioned().await;
    let (_, blob) = challenge(&registration);
    rig.identity.activate(KeySlot::Challenge, &blob).await.unwrap();
    rig.swtpm.stop().unwrap();
    let error = rig.identity.sign(KeySlot::Hub, b"text").await.unwrap_err();
    assert!(matches!(error, IdentityError::Missing { .. }), "{error:?}");
    rig.swtpm.restart().unwrap();
    rig.assert_signs(KeySlot::Hub, &hub).await;
    // The challenge key went with the power.
    let error = rig.identity.sign(KeySlot::Challenge, b"text").await.unwrap_err();
    assert!(matches!(error, IdentityError::NoKey(KeySlot::Challenge)), "{error:?}");
}

#[tokio::test]
async fn a_challenge_key_lost_in_a_reset_is_reported_as_lost() {
    let mut rig = Rig::new();
    let (_, blob) = challenge(&rig.identity.registration().await.unwrap());
    rig.identity.activate(KeySlot::Challenge, &blob).await.unwrap();
    rig.swtpm.restart().unwrap();
    let error = loop {
        match rig.identity.sign(KeySlot::Challenge, b"text").await.unwrap_err() {
            // The reset may show as a broken connection first.
            IdentityError::Missing { .. } => {}
            error => break error,
        }
    };
    assert!(matches!(error, IdentityError::NoKey(KeySlot::Challenge)), "{error:?}");
    rig.identity.activate(KeySlot::Challenge, &blob).await.unwrap();
}

#[tokio::test]
async fn a_device_that_is_not_there_is_named_with_a_remedy() {
    let identity = open(&TpmConfig::new("device:/dev/no-such-tpm".parse().unwrap(), "/nonexistent"));
    let error = identity.registration().await.unwrap_err();
    assert!(matches!(error, IdentityError::Missing { .. }), "{error:?}");
    assert!(error.to_string().contains("no TPM at /dev/no-such-tpm"), "{error}");
}

#[tokio::test]
async fn a_tpm_that_never_answers_costs_one_time_out_and_nothing_after() {
    let silent = SilentTpm::start().unwrap();
    let mut config = TpmConfig::new(silent.tcti().parse().unwrap(), "/nonexistent/hub-key.json");
    config.command_timeout = Duration::from_millis(1000);
    let identity = open(&config);

    let started = Instant::now();
    let error = identity.registration().await.unwrap_err();
    assert!(matches!(error, IdentityError::TimedOut { .. }), "{error:?}");
    assert!(started.elapsed() >= config.command_timeout);

    let started = Instant::now();
    for _ in 0..100 {
        let error = identity.sign(KeySlot::Hub, b"text").await.unwrap_err();
        assert!(matches!(error, IdentityError::Busy { .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::Later);
    }
    assert!(started.elapsed() < config.command_timeout, "{:?}", started.elapsed());

    // Once it is gone for good, the owner thread comes back and says so.
    drop(silent);
    loop {
        match identity.has_hub_key().await.unwrap_err() {
            IdentityError::Busy { .. } => tokio::task::yield_now().await,
            IdentityError::Missing { .. } => break,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_hung_tpm_does_not_hold_up_closing_or_dropping() {
    let silent = SilentTpm::start().unwrap();
    let mut config = TpmConfig::new(silent.tcti().parse().unwrap(), "/nonexistent/hub-key.json");
    config.command_timeout = Duration::from_millis(100);
    let identity = open(&config);
    identity.registration().await.unwrap_err();
    let started = Instant::now();
    identity.close().await;
    drop(identity);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn more_calls_than_the_queue_holds_are_refused_at_once() {
    let silent = SilentTpm::start().unwrap();
    let mut config = TpmConfig::new(silent.tcti().parse().unwrap(), "/nonexistent/hub-key.json");
    config.command_timeout = Duration::from_millis(500);
    let identity = open(&config);
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let identity = identity.clone();
            tokio::spawn(async move { identity.has_hub_key().await.unwrap_err() })
        })
        .collect();
    let (mut busy, mut timed_out) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            IdentityError::Busy { .. } => busy += 1,
            IdentityError::TimedOut { .. } => timed_out += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(timed_out <= 9, "one at work and eight waiting, not {timed_out}");
    assert!(busy >= 31, "{busy}");
}

#[tokio::test]
async fn a_tpm_whose_slots_are_taken_by_others_is_busy_and_heals() {
    let rig = Rig::new();
    let (_, key) = rig.provisioned().await;
    rig.evict(0x8100_0100);
    // Three transient objects fill a TPM without a resource manager; tpm2-tools leave theirs behind.
    for n in 0..3 {
        let context = format!("{n}.ctx");
        rig.swtpm.tool("tpm2_createprimary", ["-C", "o", "-G", "ecc", "-c", &context]).unwrap();
    }
    let error = rig.identity.sign(KeySlot::Hub, b"text").await.unwrap_err();
    assert!(matches!(error, IdentityError::Busy { .. }), "{error:?}");
    assert!(error.to_string().contains("tpm2_flushcontext"), "{error}");
    rig.swtpm.tool("tpm2_flushcontext", ["-t"]).unwrap();
    rig.assert_signs(KeySlot::Hub, &key).await;
    rig.assert_clean();
}
