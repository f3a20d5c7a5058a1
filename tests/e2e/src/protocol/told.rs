//! Commands, firmware, modules, and what changes nothing.

use anyhow::{Context as _, ensure};
use edgeplug_cloud::{CloudMessage, Firmware, MessageKind, Update};

use crate::rig::{CHILDREN, GATEWAY, LONG, QUIET, Rig};

/// Done and failed, for the device and a child, with and without ack, delivered twice, and sent twice.
pub(super) async fn commands(rig: &Rig<'_>) -> anyhow::Result<()> {
    ensure!(rig.answer("ok hello").await? == "hello", "the plugin's own words");
    ensure!(rig.refusal("fail not today").await? == "not today", "the plugin's own words");
    for child in CHILDREN {
        let ack_id = format!("child-{child}");
        rig.send(&CloudMessage::child_command(child, "ok hi", &ack_id))?;
        let ack = rig.recorder().wait_for_ack(&ack_id, LONG).await?;
        // A legacy ack names a child only for firmware.
        let named = Some(child).filter(|_| !rig.is_legacy());
        ensure!(ack.child.as_deref() == named, "the ack of {child} is of {:?}", ack.child);
        ensure!((ack.status, ack.message) == (rig.done(), format!("{child}: hi")), "of {child}");
    }
    rig.tell(&CloudMessage::command_without_ack("note unanswered", "no-ack")).await?;
    rig.until_answer("heard commands", |heard| heard.contains("note unanswered")).await?;

    // The broker forgets that it was taken, and delivers again: with the link up, and on a new one.
    rig.hub().ignore_c2d_pubacks(2);
    rig.send(&CloudMessage::command("note once", "again"))?;
    rig.recorder().wait_for_ack("again", LONG).await?;
    rig.hub().redeliver(GATEWAY)?;
    rig.until("the second delivery to be taken", || rig.hub().ignored_c2d_pubacks_left() == 0).await?;
    let connection = rig.hub().wait_connected(GATEWAY, LONG).await?;
    rig.hub().cut(GATEWAY)?;
    rig.until("a new connection", || rig.hub().connections(GATEWAY).iter().any(|new| new.number > connection)).await?;
    rig.hub().wait_queue_empty(GATEWAY, LONG).await.context("delivered a third time")?;
    // Twice under one id.
    for _ in 0..2 {
        rig.send(&CloudMessage::command("note twin", "twice"))?;
    }
    rig.recorder().wait_for_ack("twice", LONG).await?;
    rig.hub().wait_queue_empty(GATEWAY, LONG).await?;
    let heard = rig.answer("heard commands").await?;
    for text in ["note once", "note twin"] {
        let times = heard.split(" | ").filter(|told| *told == text).count();
        ensure!(times == 1, "the plugin heard {text:?} {times} times");
    }
    let balance = rig.cloud().wait_acks(GATEWAY, LONG).await?;
    ensure!(balance.double.is_empty() && balance.unasked.is_empty(), "{balance:?}");
    rig.cover(&CloudMessage::command("", ""));
    Ok(())
}

/// Every form of the message: whoever it is for is handed the right file and says so once.
pub(super) async fn firmware(rig: &Rig<'_>) -> anyhow::Result<()> {
    let store = rig.cloud().firmware();
    for name in ["gw.bin", "c.bin"] {
        store.add(name, name.repeat(50_000))?;
    }
    let update = |ack_id: &str| Update::new(ack_id, "1.5").sha256_in_urls();
    let mut updates = vec![
        update("fw-device").file("gw.bin"),
        update("fw-tags").file_for_tag("gw.bin", "gw").file_for_tag("c.bin", "c"),
    ];
    if rig.is_legacy() {
        updates.push(update("fw-plain").file("gw.bin").plain_urls());
        updates.push(update("fw-child").file_for_tag("gw.bin", "gw").file_for_child("c.bin", "C2"));
    }
    for update in updates {
        let ack_id = update.ack_id.as_str();
        rig.push_update(&update)?;
        let balance = rig.cloud().wait_acks(GATEWAY, LONG).await.with_context(|| format!("firmware {ack_id}"))?;
        ensure!(balance.is_clean(), "firmware {ack_id}: {balance:?}");
        // Legacy 7, 2.1 3: the update is done.
        let done = if rig.is_legacy() { 7 } else { 3 };
        for ack in rig.recorder().acks(ack_id).iter().filter(|ack| ack.is_terminal()) {
            let name = if ack.child.is_some() { "c.bin" } else { "gw.bin" };
            let sha256 = store.sha256(name).unwrap_or_default();
            let handed_over = format!("name={name} size={} sha256={sha256}", 50_000 * name.len());
            ensure!(ack.status == done && ack.message.contains(&handed_over), "{ack:?}");
        }
    }
    let (software, hardware, ack_id) = (String::new(), String::new(), String::new());
    rig.cover(&CloudMessage::Firmware(Firmware { software, hardware, ack_id, files: Vec::new(), plain_urls: false }));
    Ok(())
}

/// Not supported, which is said once.
pub(super) async fn modules(rig: &Rig<'_>) -> anyhow::Result<()> {
    let module = CloudMessage::Module { ack_id: "module".to_owned() };
    rig.tell(&module).await?;
    let ack = rig.recorder().wait_for_ack("module", LONG).await.context("module")?;
    ensure!(ack.status == rig.failed() && ack.message.contains("not supported"), "{ack:?}");
    rig.cover(&module);
    Ok(())
}

/// Types that mean nothing to a device: taken from the broker, and nothing comes of them.
pub(super) async fn ignored(rig: &Rig<'_>) -> anyhow::Result<()> {
    let messages = if rig.is_legacy() {
        vec![CloudMessage::CertificateChanged, CloudMessage::Unknown { kind: "0x55".to_owned() }]
    } else {
        vec![
            CloudMessage::SdkLog,
            CloudMessage::SkipValidation,
            CloudMessage::SendLog,
            CloudMessage::DeleteRequest,
            CloudMessage::Unknown { kind: "999".to_owned() },
        ]
    };
    // A cloud that claims the connection to have ended is not believed; its real end is seen in `connection`.
    let messages = messages.into_iter().chain([CloudMessage::ConnectionStatus]);
    let state = || {
        let questions = rig.recorder().of_kind(MessageKind::Identity).len();
        let acks = rig.recorder().all_acks().iter().filter(|ack| !ack.ack_id.starts_with("ask-")).count();
        let connections = rig.hub().connections(GATEWAY).len();
        (questions, rig.cloud().iotconnect().syncs(), connections, rig.hub().twin_requests(GATEWAY).len(), acks)
    };
    for message in messages {
        let (before, heard) = (state(), rig.answer("heard connection").await?);
        rig.tell(&message).await?;
        // The device goes on, and this comes after whatever the message might have caused at once.
        ensure!(rig.answer("heard connection").await? == heard, "{message:?} was taken for a change of the connection");
        tokio::time::sleep(QUIET / 4).await;
        ensure!(state() == before, "{message:?} changed something: {before:?} to {:?}", state());
        if message != CloudMessage::ConnectionStatus {
            rig.cover(&message);
        }
    }
    Ok(())
}
