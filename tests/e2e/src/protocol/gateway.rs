//! Readings of a gateway and its children, and what the cloud changes about them.

use anyhow::ensure;
use edgeplug_cloud::{Attribute, Child, CloudMessage, Kind};

use crate::rig::{CHILDREN, GATEWAY, LONG, Part, Rig};

/// Every device's numbers arrive, each under its own name and tag, and a value that is not valid as a fault.
pub(super) async fn readings(rig: &Rig<'_>) -> anyhow::Result<()> {
    for device in std::iter::once(GATEWAY).chain(CHILDREN) {
        rig.until(&format!("readings of {device}"), || rig.arrived(device).len() >= 5).await?;
    }
    ensure!(rig.answer("send GW temp=21").await? == "accepted", "a valid value");
    ensure!(rig.answer("send GW temp=99").await? == "accepted", "a fault is sent as well");
    rig.until("the report", || rig.recorder().readings("temp").iter().any(|reading| reading.value == 21)).await?;
    // The legacy protocol writes faults as text.
    let fault = if rig.is_legacy() { "99".into() } else { serde_json::Value::from(99) };
    rig.until("the fault", || rig.recorder().faults("temp").iter().any(|reading| reading.value == fault)).await?;
    ensure!(rig.recorder().readings("temp").iter().all(|reading| reading.value != 99), "99 is not valid");
    Ok(())
}

/// Attributes, settings and children: asked for again, and then in force. (Rules: see `edge`.)
pub(super) async fn changes(rig: &Rig<'_>) -> anyhow::Result<()> {
    let template = rig.answer("template").await?;
    ensure!(!template.contains("fresh") && !template.contains("C4") && !template.contains("lamp"), "{template}");

    rig.change(Part::Attributes, |template| {
        template.attributes.push(Attribute::of(Kind::Integer, "fresh").tag("gw"));
    })
    .await?;
    rig.until_answer("template", |template| template.contains("fresh")).await?;
    ensure!(rig.answer("send GW fresh=1").await? == "accepted", "a new attribute");
    rig.recorder().wait_for_readings("fresh", 1, LONG).await?;
    rig.cover(&CloudMessage::AttributesChanged);

    rig.change(Part::Settings, |template| template.settings.push(Attribute::of(Kind::Integer, "lamp"))).await?;
    rig.until_answer("template", |template| template.contains("settings=fan,lamp")).await?;
    rig.cover(&CloudMessage::SettingsChanged);

    rig.change(Part::Children, |template| {
        template.children.push(Child { id: "C4".to_owned(), tag: "c".to_owned() });
    })
    .await?;
    rig.until_answer("template", |template| template.contains("C4")).await?;
    ensure!(rig.answer("send C4 sequence=7").await? == "accepted", "a new child");
    rig.until("the new child's reading", || rig.arrived("C4").contains(&7)).await?;
    rig.cover(&CloudMessage::ChildrenChanged);
    Ok(())
}

/// With an hour between readings the second one is held back; without, both pass.
pub(super) async fn frequency(rig: &Rig<'_>) -> anyhow::Result<()> {
    rig.answer("pause").await?;
    rig.tell(&CloudMessage::DataFrequency { seconds: 3600 }).await?;
    rig.until_answer("template", |template| template.contains("frequency=3600")).await?;
    // Whether the first passes depends on how long ago the last reading was; the second never does.
    rig.answer("send GW temp=31").await?;
    ensure!(rig.answer("send GW temp=32").await? == "held back", "the second within an hour");
    ensure!(rig.answer("send GW temp=33").await? == "held back", "the third within an hour");
    ensure!(rig.recorder().readings("temp").iter().all(|reading| reading.value != 33), "33 was held back");
    rig.tell(&CloudMessage::DataFrequency { seconds: 0 }).await?;
    rig.until_answer("template", |template| template.contains("frequency=0")).await?;
    for value in [41, 42] {
        ensure!(rig.answer(&format!("send GW temp={value}")).await? == "accepted", "as often as they come");
        rig.until("the reading", || rig.recorder().readings("temp").iter().any(|reading| reading.value == value))
            .await?;
    }
    rig.answer("go").await?;
    rig.cover(&CloudMessage::DataFrequency { seconds: 0 });
    Ok(())
}

/// 2.1: an operator has the gateway create and delete a child.
pub(super) async fn children_by_message(rig: &Rig<'_>) -> anyhow::Result<()> {
    if rig.is_legacy() {
        return Ok(());
    }
    rig.order(&["child", "create", "C5", "--tag", "c", "--name", "the fifth"]).await?;
    rig.until_answer("template", |template| template.contains("C5")).await?;
    ensure!(rig.order(&["child", "create", "C5", "--tag", "c"]).await.is_err(), "it exists already");
    rig.order(&["child", "delete", "C5"]).await?;
    rig.until_answer("template", |template| !template.contains("C5")).await?;
    Ok(())
}
