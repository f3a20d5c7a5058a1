//! An edge device: windows in place of readings, rules that it evaluates by itself.

use anyhow::ensure;
use edgeplug_cloud::{CloudMessage, Rule, Window};
use serde_json::Value;

use crate::rig::{GATEWAY, LONG, Part, QUIET, Rig};

/// Every accepted value is in exactly one window, and nothing goes out as a reading.
pub(super) async fn windows(rig: &Rig<'_>) -> anyhow::Result<()> {
    let values = [10, 15, 20, 5];
    for value in values {
        let answer = rig.answer(&format!("send GW temp={value} gyro.x=0 gyro.y={value}")).await?;
        ensure!(answer == "accepted", "{answer}");
    }
    let sum: i64 = values.iter().sum();
    for attribute in ["temp", "gyro.y"] {
        let complete = || total(&rig.recorder().windows(attribute)).0 >= values.len() as i64;
        rig.until(&format!("the windows of {attribute}"), complete).await?;
        let windows = rig.recorder().windows(attribute);
        ensure!(total(&windows) == (values.len() as i64, sum), "{windows:?}");
        let lowest = windows.iter().filter_map(|window| window.values.first()?.as_i64()).min();
        let highest = windows.iter().filter_map(|window| window.values.get(1)?.as_i64()).max();
        ensure!((lowest, highest) == (Some(5), Some(20)), "{windows:?}");
        ensure!(windows.iter().all(average_fits), "{windows:?}");
        ensure!(windows.last().and_then(|window| window.values.get(5)?.as_i64()) == Some(5), "the latest: {windows:?}");
    }
    // Not valid: a fault, and in no window.
    rig.answer("send GW temp=500").await?;
    rig.until("the fault", || !rig.recorder().faults("temp").is_empty()).await?;
    tokio::time::sleep(QUIET).await;
    ensure!(total(&rig.recorder().windows("temp")).0 == values.len() as i64, "500 is in no window");
    ensure!(rig.recorder().all_readings().is_empty(), "an edge device sends no readings");
    Ok(())
}

/// A match is sent for each sample that meets the condition and runs the rule's command; new rules come into force.
pub(super) async fn rules(rig: &Rig<'_>) -> anyhow::Result<()> {
    let before = rig.recorder().rule_matches("R1").len();
    ensure!(before == 0, "no sample met the condition so far, {before} matches came");
    for (values, meets) in [
        ("temp=30 gyro.x=0", false),
        ("temp=30 gyro.x=1", true),
        ("temp=20 gyro.x=5", false),
        ("gyro.x=2 temp=21", true),
    ] {
        let so_far = rig.recorder().rule_matches("R1").len();
        rig.answer(&format!("send GW {values}")).await?;
        if meets {
            rig.until("the match", || rig.recorder().rule_matches("R1").len() > so_far).await?;
        }
    }
    let matches = rig.recorder().rule_matches("R1");
    ensure!(matches.len() == 2, "{matches:?}");
    for (matched, (temp, x)) in matches.iter().zip([(30, 1), (21, 2)]) {
        let sampled = |path: &str| matched.sample.pointer(path).and_then(Value::as_i64);
        ensure!((sampled("/temp"), sampled("/gyro/x")) == (Some(temp), Some(x)), "{matched:?}");
        ensure!(matched.values.get("temp").and_then(Value::as_i64) == Some(temp), "{matched:?}");
    }
    let heard = rig.until_answer("heard commands", |heard| heard.contains("fan on")).await?;
    ensure!(heard.split(" | ").filter(|told| *told == "fan on").count() == 2, "{heard}");

    rig.change(Part::Rules, |template| template.rules = vec![Rule::new("R2", "temp < 3")]).await?;
    // Until the answer is in force the old rule is; from then on only the new one.
    let answered = || !rig.recorder().rule_matches("R2").is_empty();
    for _ in 0..50 {
        rig.answer("send GW temp=1").await?;
        if answered() {
            break;
        }
        tokio::time::sleep(QUIET / 10).await;
    }
    ensure!(answered(), "the new rule never matched");
    rig.answer("send GW temp=30 gyro.x=1").await?;
    tokio::time::sleep(QUIET / 2).await;
    ensure!(rig.recorder().rule_matches("R1").len() == 2, "the old rule is gone");
    rig.cover(&CloudMessage::RulesChanged);
    Ok(())
}

/// Windows that close while the device is away arrive when it is back: nothing is lost, nothing is there twice.
pub(super) async fn offline(rig: &mut Rig<'_>) -> anyhow::Result<()> {
    rig.answer("go").await?;
    rig.recorder().wait_for_windows(name(rig), "sequence", 1, LONG).await?;
    rig.order(&["disconnect"]).await?;
    rig.hub().wait_disconnected(GATEWAY, LONG).await?;
    tokio::time::sleep(QUIET * 2).await;
    rig.order(&["connect"]).await?;
    rig.hub().wait_connected(GATEWAY, LONG).await?;
    rig.until("a window from meanwhile", || rig.recorder().windows("sequence").iter().any(|window| window.offline))
        .await?;
    rig.answer("pause").await?;
    let accepted = rig.tally(GATEWAY).await?;
    rig.until("all windows", || total(&rig.recorder().windows("sequence")).0 >= accepted).await?;
    let windows = rig.recorder().windows("sequence");
    ensure!(total(&windows) == (accepted, accepted * (accepted - 1) / 2), "{accepted} accepted: {windows:?}");
    Ok(())
}

/// How windows name the device: 2.1 leaves a device without children out.
fn name<'a>(rig: &Rig<'_>) -> &'a str {
    if rig.is_legacy() { GATEWAY } else { "" }
}

/// Count and sum of all windows together.
fn total(windows: &[Window]) -> (i64, i64) {
    let number = |window: &Window, index: usize| window.values.get(index).and_then(Value::as_f64).unwrap_or(0.0);
    let add = |index: usize| windows.iter().map(|window| number(window, index)).sum::<f64>().round();
    // Whole numbers far below 2^53.
    #[allow(clippy::cast_possible_truncation, reason = "whole and small")]
    (add(4) as i64, add(2) as i64)
}

fn average_fits(window: &Window) -> bool {
    let number = |index: usize| window.values.get(index).and_then(Value::as_f64);
    match (number(2), number(3), number(4)) {
        (Some(sum), Some(average), Some(count)) => (sum / count - average).abs() < 1e-9,
        _ => false,
    }
}
