//! `telemetry.send`: what a guest is told about its samples.

use edgeplug_plugins::{PluginEvent, SampleOutcome};
use serde_json::json;

use crate::rig::{Rig, Setup, guest, logged};

#[tokio::test]
async fn a_sample_is_accepted_only_when_the_daemon_says_so() {
    let setup = Setup::new();
    setup.put("send-mixed.wasm", &guest("sequence"));
    setup.put("send-mixed.toml", b"[config]\nrun = \"r\"\nper_call = \"4\"");
    let mut rig = setup.start();
    rig.up("send-mixed").await;
    let call = rig.ask("send-mixed");
    let (offer, samples) = loop {
        if let PluginEvent::Offered { offer, samples, .. } = rig.next_raw().await {
            break (offer, samples);
        }
    };
    let numbers: Vec<_> = samples.iter().map(|sample| sample.values[1].1.clone()).collect();
    assert_eq!(numbers, [json!(0), json!(1), json!(2), json!(3)]);
    assert!(!logged("send-mixed").iter().any(|line| line.contains("accepted")), "nothing is accepted yet");
    let full = || SampleOutcome::Rejected("the store is full".to_owned());
    rig.plugins.answer_offer(offer, vec![SampleOutcome::Accepted, SampleOutcome::Accepted, full(), full()]);
    assert_eq!(rig.sampled(call).await, Ok(vec![]));
    let log = logged("send-mixed");
    assert!(log.contains(&"accepted run=r sequence=0 to=1".to_owned()), "{log:?}");
    assert!(log.contains(&"rejected run=r sequence=2 to=3: the store is full".to_owned()), "{log:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_short_accepts_nothing_more() {
    let setup = Setup::new();
    setup.put("send-short.wasm", &guest("sequence"));
    setup.put("send-short.toml", b"[config]\nrun = \"r\"\nper_call = \"2\"");
    let mut rig = setup.start();
    rig.up("send-short").await;
    let call = rig.ask("send-short");
    let offer = loop {
        if let PluginEvent::Offered { offer, .. } = rig.next_raw().await {
            break offer;
        }
    };
    rig.plugins.answer_offer(offer, vec![SampleOutcome::Accepted]);
    assert_eq!(rig.sampled(call).await, Ok(vec![]));
    let log = logged("send-short");
    assert!(
        log.iter().any(|line| line.starts_with("rejected run=r sequence=1 to=1: the store did not confirm")),
        "{log:?}"
    );
}

#[tokio::test]
async fn waiting_for_the_store_is_not_charged_to_the_plugin() {
    let mut rig = Rig::start();
    rig.put_and_up("send-slow", &guest("sequence")).await;
    let call = rig.ask("send-slow");
    let offer = loop {
        if let PluginEvent::Offered { offer, .. } = rig.next_raw().await {
            break offer;
        }
    };
    // Longer than the deadline of 200 ms and its factor for waiting together.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    rig.plugins.answer_offer(offer, vec![SampleOutcome::Accepted]);
    assert_eq!(rig.sampled(call).await, Ok(vec![]));
}

#[tokio::test]
async fn too_many_samples_at_once_are_rejected_whole() {
    let mut setup = Setup::new();
    setup.allow_limits("send-many");
    setup.put("send-many.wasm", &guest("sequence"));
    setup.put("send-many.toml", b"[config]\nrun = \"r\"\nper_call = \"1001\"\n[limits]\ndeadline_ms = 5000");
    let mut rig = setup.start();
    rig.up("send-many").await;
    assert_eq!(rig.sample("send-many").await, Ok(vec![]));
    assert!(rig.offered.is_empty());
    let log = logged("send-many");
    assert!(log.iter().any(|line| line.contains("at most 1000")), "{log:?}");
}

#[tokio::test]
async fn samples_larger_than_a_message_are_rejected_whole() {
    let setup = Setup::new();
    setup.put("send-large.wasm", &guest("sequence"));
    let run = "x".repeat(60_000);
    setup.put("send-large.toml", format!("[config]\nrun = \"{run}\"\nper_call = \"4\"").as_bytes());
    let mut rig = setup.start();
    rig.up("send-large").await;
    assert_eq!(rig.sample("send-large").await, Ok(vec![]));
    assert!(rig.offered.is_empty());
}
