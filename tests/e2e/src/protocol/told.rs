//! Commands, firmware, modules, and what changes nothing.

use anyhow::{Context as _, ensure};
use edgeplug_cloud::{CloudMessage, Firmware, FirmwareFile, MessageKind};

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

/// Neither can be done yet; each device a message is for says so once.
pub(super) async fn firmware_and_modules(rig: &Rig<'_>) -> anyhow::Result<()> {
    let file = |tag: Option<&str>, child: Option<&str>| FirmwareFile {
        url: "https://files.invalid/fw/image.bin?sig=1".to_owned(),
        name: None,
        tag: tag.map(str::to_owned),
        child: child.map(str::to_owned),
    };
    let mut shapes = vec![
        ("fw-device", vec![file(None, None)], false),
        ("fw-tags", vec![file(Some("gw"), None), file(Some("c"), None)], false),
    ];
    if rig.is_legacy() {
        shapes.push(("fw-plain", vec![file(None, None)], true));
        shapes.push(("fw-child", vec![file(Some("gw"), None), file(Some("c"), Some("C2"))], false));
    }
    for (ack_id, files, plain_urls) in shapes {
        let (software, hardware) = ("1.5".to_owned(), "1.0".to_owned());
        let firmware =
            CloudMessage::Firmware(Firmware { software, hardware, ack_id: ack_id.to_owned(), files, plain_urls });
        rig.tell(&firmware).await?;
        let balance = rig.cloud().wait_acks(GATEWAY, LONG).await.with_context(|| format!("firmware {ack_id}"))?;
        ensure!(balance.unasked.is_empty(), "firmware {ack_id}: {:?}", balance.unasked);
        let acks = rig.recorder().acks(ack_id);
        ensure!(acks.iter().all(|ack| ack.status == rig.failed() && !ack.message.is_empty()), "{acks:?}");
        rig.cover(&firmware);
    }
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
