//! Updates over the air, from the portal's message to the last acknowledgement, in both protocols. What is handed over is judged
//! by the plugin that reads it, byte for byte; that each target has one end, by the simulator.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod another_boot;
mod installer;
mod plugins;
mod rig;

use std::time::Duration;

use edgeplug_cloud::{Ack, AckKind, FirmwareFault, MessageKind, Protocol, Update};
use edgeplug_e2e::PluginFiles;

use rig::{FLASHER, LARGE, LONG, Rig, content, signed};

async fn a_gateway_hands_every_child_its_own_file(protocol: Protocol) {
    let rig = Rig::new(protocol).await;
    rig.world.drop_plugin(FLASHER).unwrap();
    let edgeplug = rig.start().await;
    let sizes = [("gw.bin", None, LARGE), ("later-one.bin", Some("C1"), 70_000), ("two.bin", Some("C2"), 1)];
    let mut update = Update::new("fw-1", "1.5");
    for (index, (name, child, size)) in sizes.into_iter().enumerate() {
        rig.put(name, &content(index as u8, size));
        for file in [name.to_owned(), format!("{name}.minisig")] {
            update = match child {
                None => update.file(&file),
                Some(child) if rig.is_legacy() => update.file_for_child(&file, child),
                Some(child) => update.file_for_tag(&file, &child.to_lowercase()),
            };
        }
    }
    rig.push(&update);
    for (name, child, size) in sizes {
        let ack = rig.end_of("fw-1", child).await;
        assert_eq!((ack.kind, ack.status), (AckKind::Firmware, rig.done()), "{child:?}: {}", ack.message);
        assert!(ack.message.contains(&rig.handed_over(name, size)), "{child:?}: {}", ack.message);
    }
    // Progress is a matter of 2.1, and told once.
    let told: Vec<_> = rig.world.cloud.ack_balance(rig.world.unique_id()).downloading;
    assert_eq!(told.iter().map(|told| told.times).collect::<Vec<_>>(), vec![1; if rig.is_legacy() { 0 } else { 3 }]);
    let ends = rig.world.cloud.recorder().acks("fw-1").into_iter().filter(Ack::is_terminal).count();
    assert_eq!(ends, 3, "{:?}", rig.world.cloud.recorder().acks("fw-1"));
    // The same message once more changes nothing.
    rig.push(&update);
    rig.world.cloud.hub().wait_queue_empty(rig.world.unique_id(), LONG).await.unwrap();
    rig.end(edgeplug).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_gateway_hands_every_child_its_own_file() {
    a_gateway_hands_every_child_its_own_file(Protocol::Legacy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_of_2_1_hands_every_child_its_own_file() {
    a_gateway_hands_every_child_its_own_file(Protocol::V21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_fetches_and_while_a_plugin_works_it_still_tells_the_end_once() {
    let rig = Rig::new(Protocol::V21).await;
    rig.world.drop_plugin(FLASHER).unwrap();
    let store = rig.world.cloud.firmware();
    rig.put("later-fw.bin", &content(0, LARGE));
    store.fault("later-fw.bin", FirmwareFault::Slow(LARGE as u64 / 8)).unwrap();
    let edgeplug = rig.start().await;
    rig.push(&signed(Update::new("fw-1", "1.5"), "later-fw.bin"));
    edgeplug.wait_status(|status| status["updates"][0]["percent"].as_u64() > Some(0), LONG).await.unwrap();
    rig.world.cloud.hub().wait_queue_empty(rig.world.unique_id(), LONG).await.unwrap();
    edgeplug.kill().await.unwrap();

    let edgeplug = rig.start().await;
    store.wait_requests("later-fw.bin", 2, LONG).await.unwrap();
    rig.world.log().wait_for("handed over", 0, LONG).await.unwrap();
    edgeplug.kill().await.unwrap();

    let edgeplug = rig.start().await;
    let ack = rig.end_of("fw-1", None).await;
    assert_eq!((ack.status, ack.message.contains(&rig.handed_over("later-fw.bin", LARGE))), (3, true), "{ack:?}");
    let resumed = store.requests("later-fw.bin").iter().any(|request| request.range.is_some());
    assert!(resumed, "what was there was fetched again: {:?}", store.requests("later-fw.bin"));
    rig.end(edgeplug).await;
}

async fn expired_urls_are_asked_for_again(protocol: Protocol) {
    let rig = Rig::new(protocol).await;
    rig.world.drop_plugin(FLASHER).unwrap();
    rig.put("fw.bin", &content(0, 100_000));
    let edgeplug = rig.start().await;
    let update = signed(Update::new("fw-1", "1.5"), "fw.bin");
    // The portal has it for whoever asks, with URLs that open.
    rig.world.cloud.set_pending_update(rig.world.unique_id(), Some(update.clone())).unwrap();
    rig.push(&update.expired_urls());
    let ack = rig.end_of("fw-1", None).await;
    assert_eq!(ack.status, rig.done(), "{}", ack.message);
    assert!(ack.message.contains(&rig.handed_over("fw.bin", 100_000)), "{}", ack.message);
    let store = rig.world.cloud.firmware();
    let files = ["fw.bin", "fw.bin.minisig"];
    assert!(files.iter().any(|name| store.requests(name).iter().any(|request| request.status == Some(403))));
    rig.end(edgeplug).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_urls_are_asked_for_again_by_a_legacy_sync() {
    expired_urls_are_asked_for_again(Protocol::Legacy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_urls_are_asked_for_again_by_205() {
    expired_urls_are_asked_for_again(Protocol::V21).await;
}

async fn an_update_that_waited_for_the_device_is_taken_once(protocol: Protocol) {
    let rig = Rig::new(protocol).await;
    rig.world.drop_plugin(FLASHER).unwrap();
    rig.put("fw.bin", &content(0, 100_000));
    let update = signed(Update::new("fw-1", "1.5"), "fw.bin").offered_after_ack();
    rig.world.cloud.set_pending_update(rig.world.unique_id(), Some(update)).unwrap();
    let edgeplug = rig.start().await;
    let ack = rig.end_of("fw-1", None).await;
    assert_eq!(ack.status, rig.done(), "{}", ack.message);
    assert!(edgeplug.terminate().await.unwrap().success());
    // A portal that is late offers it to the next start again.
    let asked = || match protocol {
        Protocol::Legacy => rig.world.cloud.iotconnect().syncs(),
        Protocol::V21 => rig.world.cloud.recorder().of_kind(MessageKind::Identity).len(),
    };
    let before = asked();
    let edgeplug = rig.start().await;
    tokio::time::timeout(LONG, async {
        while asked() == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    rig.end(edgeplug).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_waited_in_a_legacy_sync_is_taken_once() {
    an_update_that_waited_for_the_device_is_taken_once(Protocol::Legacy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_waited_for_205_is_taken_once() {
    an_update_that_waited_for_the_device_is_taken_once(Protocol::V21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_fails_with_what_to_do() {
    for protocol in [Protocol::Legacy, Protocol::V21] {
        let rig = Rig::new(protocol).await;
        let nothing_for_firmware = PluginFiles { name: "actor", guest: "echo-commands", manifest: None };
        rig.world.drop_plugin(nothing_for_firmware).unwrap();
        rig.put("fw.bin", &content(0, 1000));
        let edgeplug = rig.start().await;
        rig.push(&signed(Update::new("fw-1", "1.5"), "fw.bin"));
        let ack = rig.end_of("fw-1", None).await;
        let failed = if rig.is_legacy() { 4 } else { 1 };
        assert_eq!(ack.status, failed, "{}", ack.message);
        assert!(ack.message.contains("ota.installer") || ack.message.contains("firmware"), "{}", ack.message);
        rig.end(edgeplug).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_reaches_nobody() {
    let rig = Rig::new(Protocol::V21).await;
    rig.world.drop_plugin(FLASHER).unwrap();
    rig.put("fw.bin", &content(0, 1000));
    // Signed once, and changed since.
    rig.world.cloud.firmware().replace("fw.bin", content(1, 1000)).unwrap();
    let edgeplug = rig.start().await;
    rig.push(&signed(Update::new("changed", "1.5"), "fw.bin"));
    rig.push(&Update::new("unsigned", "1.5").file("fw.bin").sha256_in_urls());
    for id in ["changed", "unsigned"] {
        let ack = rig.end_of(id, None).await;
        assert_eq!((ack.status, ack.message.contains("fw.bin")), (4, true), "{ack:?}");
    }
    let log = std::fs::read_to_string(rig.world.log().path()).unwrap();
    assert!(!log.contains("handed over"), "it was handed over");
    rig.end(edgeplug).await;
}
