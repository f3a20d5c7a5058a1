//! Connections that end and begin: by the cloud's settings, an operator, the plugin, a hard stop. And heartbeats.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use edgeplug_cloud::{CloudMessage, Connection, End, MessageKind};

use crate::rig::{GATEWAY, LONG, QUIET, Rig};

/// Legacy: new connection settings, and everything anew. The old connection is closed before the new one is opened.
pub(super) async fn settings(rig: &Rig<'_>) -> anyhow::Result<()> {
    if !rig.is_legacy() {
        return Ok(());
    }
    for message in [CloudMessage::ProtocolChanged, CloudMessage::ResetPassword, CloudMessage::FullSync] {
        let asked = || match &message {
            CloudMessage::FullSync => rig.syncs(|flags| flags.len() == 6),
            _ => rig.syncs(|flags| flags.contains(&"protocol")),
        };
        let (before, connections) = (asked(), rig.hub().connections(GATEWAY).len());
        rig.tell(&message).await?;
        rig.until(&format!("a sync after {message:?}"), || asked() > before).await?;
        let now = rig.hub().wait_connections(GATEWAY, connections + 1, LONG).await?;
        ended_by_itself(&now, connections).with_context(|| format!("{message:?}"))?;
        rig.answer("ok still there").await?;
        rig.cover(&message);
    }
    Ok(())
}

/// By an operator and by the plugin: it stays away, readings are stored, and come when it is back.
pub(super) async fn disconnect(rig: &mut Rig<'_>) -> anyhow::Result<()> {
    let heard = rig.answer("heard connection").await?;
    let connections = rig.hub().connections(GATEWAY).len();
    rig.order(&["disconnect"]).await?;
    rig.hub().wait_disconnected(GATEWAY, LONG).await?;
    let before = rig.arrived(GATEWAY).last().copied().unwrap_or_default();
    tokio::time::sleep(QUIET).await;
    ensure!(rig.hub().connections(GATEWAY).len() == connections, "it came back unasked");
    rig.order(&["connect"]).await?;
    let now = rig.hub().wait_connections(GATEWAY, connections + 1, LONG).await?;
    ended_by_itself(&now, connections)?;
    let stored = |reading: &edgeplug_cloud::Reading| reading.offline && reading.value.as_i64() > Some(before);
    rig.until("what was stored meanwhile", || rig.recorder().readings("sequence").iter().any(stored)).await?;

    rig.answer("leave 10").await.context("by the plugin")?;
    rig.hub().wait_connections(GATEWAY, connections + 2, LONG).await.context("by the plugin")?;

    // The plugin was told of each change of the connection: what 0x16 and 116 are on the device.
    let counts = |text: &str| -> Vec<u32> { text.split(['=', ' ']).filter_map(|word| word.parse().ok()).collect() };
    let was = counts(&heard);
    rig.until_answer("heard connection", |heard| {
        counts(heard).iter().zip(&was).all(|(now, was)| *now == was + 2) && was.len() == 2
    })
    .await?;
    rig.cover(&CloudMessage::ConnectionStatus);
    Ok(())
}

/// 2.1: one each second while they are wanted.
pub(super) async fn heartbeats(rig: &Rig<'_>) -> anyhow::Result<()> {
    if rig.is_legacy() {
        return Ok(());
    }
    let start = CloudMessage::StartHeartbeat { seconds: 1 };
    rig.tell(&start).await?;
    let beats = rig.recorder().wait_for_kind(MessageKind::Heartbeat, 4, LONG).await?;
    for pair in beats.windows(2) {
        if let [one, next] = pair {
            let gap = next.at.duration_since(one.at).as_secs_f64();
            ensure!((0.5..2.0).contains(&gap), "{gap} s between two heartbeats of one second");
        }
    }
    rig.cover(&start);
    rig.tell(&CloudMessage::StopHeartbeat).await?;
    // One may be on its way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let count = rig.recorder().of_kind(MessageKind::Heartbeat).len();
    tokio::time::sleep(QUIET).await;
    ensure!(rig.recorder().of_kind(MessageKind::Heartbeat).len() == count, "heartbeats after their end");
    rig.cover(&CloudMessage::StopHeartbeat);
    Ok(())
}

/// The device goes away in good order, stays silent, and comes back when an operator says so, with what it had stored.
pub(super) async fn stops(rig: &mut Rig<'_>) -> anyhow::Result<()> {
    let stops = if rig.is_legacy() {
        vec![CloudMessage::Stop]
    } else {
        vec![CloudMessage::Deleted, CloudMessage::Disabled, CloudMessage::Released, CloudMessage::Stop]
    };
    for stop in stops {
        let connections = rig.hub().connections(GATEWAY).len();
        rig.tell(&stop).await?;
        rig.hub().wait_disconnected(GATEWAY, LONG).await.with_context(|| format!("{stop:?}"))?;
        let records = rig.recorder().len();
        tokio::time::sleep(QUIET).await;
        ensure!(rig.hub().connections(GATEWAY).len() == connections, "{stop:?}: it came back by itself");
        ensure!(rig.recorder().len() == records, "{stop:?}: it went on sending");
        rig.order(&["resume"]).await?;
        let now = rig.hub().wait_connections(GATEWAY, connections + 1, LONG).await?;
        ended_by_itself(&now, connections).with_context(|| format!("{stop:?}"))?;
        let seen = rig.arrived(GATEWAY).len();
        rig.until("readings after the stop", || rig.arrived(GATEWAY).len() > seen + 2).await?;
        rig.cover(&stop);
    }
    Ok(())
}

/// The last of the first `count` connections was ended by the device, and not by the one after it.
fn ended_by_itself(connections: &[Connection], count: usize) -> anyhow::Result<()> {
    let old = count.checked_sub(1).and_then(|index| connections.get(index)).context("there was a connection")?;
    let end = old.ended.as_ref().map(|(_, end)| end);
    ensure!(end == Some(&End::Disconnected), "connection {} ended by {end:?}", old.number);
    Ok(())
}
