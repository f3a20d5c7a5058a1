//! The twin, there and back.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::rig::{GATEWAY, LONG, Rig};

/// The whole of it on connecting and on request, patches, reports with the hub's word, and what changed while offline.
pub(super) async fn twin(rig: &Rig<'_>) -> anyhow::Result<()> {
    let whole =
        || rig.hub().twin_requests(GATEWAY).iter().filter(|request| request.whole && request.status == 200).count();
    rig.until("the whole twin to be asked for", || whole() > 0).await?;

    let version = rig.hub().set_desired(GATEWAY, &json!({"fan": 3}))?;
    let patch = format!("{version} patch ");
    rig.until_answer("heard desired", |heard| {
        heard.split(" | ").any(|told| told.starts_with(&patch) && told.contains("\"fan\":3"))
    })
    .await?;
    rig.answer("twin report {\"fan\":3}").await?;
    rig.hub().wait_twin(GATEWAY, |twin| reported_fan(twin) == Some(3), LONG).await?;
    let reports = || rig.hub().twin_requests(GATEWAY).into_iter().filter(|request| !request.whole).collect::<Vec<_>>();
    ensure!(
        reports().last().is_some_and(|report| report.status == 204 && report.patch == Some(json!({"fan": 3}))),
        "{:?}",
        reports()
    );

    let before = whole();
    let twin = rig.answer("twin get").await?;
    ensure!(twin.matches("\"fan\":3").count() == 2, "desired and reported: {twin}");
    ensure!(whole() == before + 1, "the hub was asked for it");

    for status in [429, 400] {
        rig.hub().refuse_twin(1, status);
        let refusal = rig.refusal("twin report {\"fan\":1}").await?;
        ensure!(refusal.contains(&status.to_string()), "{refusal}");
    }
    ensure!(rig.hub().twin(GATEWAY).is_some_and(|twin| reported_fan(&twin) == Some(3)), "what was refused did nothing");
    if !rig.is_legacy() {
        let so_far = reports().len();
        for patch in ["{\"unheard\":1}", "{\"fan\":9}"] {
            rig.refusal(&format!("twin report {patch}")).await?;
        }
        ensure!(reports().len() == so_far, "what the template does not allow is not sent");
    }

    // What changes while the device is away is told when it is back.
    rig.order(&["disconnect"]).await?;
    rig.hub().wait_disconnected(GATEWAY, LONG).await?;
    let version = rig.hub().set_desired(GATEWAY, &json!({"fan": 4, "lamp": 1}))?;
    rig.order(&["connect"]).await?;
    rig.hub().wait_connected(GATEWAY, LONG).await?;
    let all = format!("{version} all ");
    rig.until_answer("heard desired", |heard| {
        heard.split(" | ").any(|told| told.starts_with(&all) && told.contains("\"fan\":4"))
    })
    .await?;
    let version = rig.hub().set_desired(GATEWAY, &json!({"lamp": null}))?;
    let patch = format!("{version} patch ");
    rig.until_answer("heard desired", |heard| {
        heard.split(" | ").any(|told| told.starts_with(&patch) && told.contains("null"))
    })
    .await?;
    Ok(())
}

fn reported_fan(twin: &Value) -> Option<i64> {
    twin.pointer("/reported/fan")?.as_i64()
}
