//! Calls that the daemon routes: changes of the twin, firmware, transformations.

use edgeplug_plugins::{CallFailure, Change, DesiredChange, PluginEvent, Reply, Update};
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;
use serde_json::{Value, json};

use crate::rig::{Rig, Setup, guest, told, variant};

async fn probe(config: &str) -> Rig {
    let setup = Setup::new();
    setup.put("probe.wasm", &guest("probe"));
    setup.put("probe.toml", format!("[config]\n{config}").as_bytes());
    let mut rig = setup.start();
    rig.up("probe").await;
    rig
}

#[tokio::test]
async fn changes_of_the_twin_are_told_in_order() {
    let mut rig = probe("").await;
    for (call, desired) in [(1, "{\"rate\":5}"), (2, "{\"unwanted\":1}")] {
        let change = DesiredChange { version: call, complete: call == 1, desired: desired.to_owned() };
        rig.plugins.desired_changed("probe", call, change).expect("taken");
    }
    let mut results = Vec::new();
    while results.len() < 2 {
        if let PluginEvent::DesiredHandled { call, result, .. } = rig.next().await {
            results.push((call, result));
        }
    }
    assert_eq!(results, [(1, Ok(())), (2, Err(CallFailure::Error("unwanted".to_owned())))]);
    let log = rig.log("probe");
    assert!(log.contains(&"desired version=1 complete=true {\"rate\":5}".to_owned()), "{log:?}");
    assert!(log.contains(&"desired version=2 complete=false {\"unwanted\":1}".to_owned()), "{log:?}");
}

/// Hands it a file of five bytes.
async fn update(rig: &mut Rig, id: &str) -> Result<Reply, CallFailure> {
    let file = rig.directory.path().join("image");
    std::fs::write(&file, b"EPFW\x07").expect("write");
    let update = Update {
        id: id.to_owned(),
        device: Some("board-1".to_owned()),
        name: "board.bin".to_owned(),
        version: "2.1".to_owned(),
        size: 5,
        sha256: "0".repeat(64),
        file,
    };
    rig.plugins.update("probe", 9, update).expect("taken");
    rig.until(|event| match event {
        PluginEvent::Updated { call: 9, result, .. } => Some(result.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn an_update_is_read_while_it_is_under_way_and_no_longer() {
    let mut rig = probe("").await;
    assert_eq!(update(&mut rig, "u-1").await, Ok(Reply::Done("5 bytes, the last is Some(7)".to_owned())));
    assert!(rig.log("probe").contains(&"update u-1 board.bin 2.1 5 Some(\"board-1\")".to_owned()));
    let refused = told(rig.command("probe", "firmware u-1 0 5").await).expect_err("it has its end");
    assert!(refused.contains("no update of this id"), "{refused}");
}

#[tokio::test]
async fn a_deferred_update_is_read_until_its_end_by_this_plugin_alone() {
    let setup = Setup::new();
    for name in ["probe", "other"] {
        setup.put(&format!("{name}.wasm"), &guest("probe"));
        setup.put(&format!("{name}.toml"), b"[config]\nupdate = \"defer\"");
    }
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    assert_eq!(update(&mut rig, "u-1").await, Ok(Reply::Deferred));
    let read = |offset: u64, length: u32| format!("firmware u-1 {offset} {length}");
    assert_eq!(told(rig.command("probe", &read(1, 3)).await), Ok("PFW".to_owned()));
    assert_eq!(
        told(rig.command("probe", &read(4, 1 << 20)).await),
        Ok("\u{7}".to_owned()).map(|text: String| text.replace('\u{7}', "\\u{7}"))
    );
    for offset in [5, u64::MAX] {
        assert_eq!(told(rig.command("probe", &read(offset, 8)).await), Ok(String::new()), "behind the end");
    }
    let refused = told(rig.command("probe", &read(0, (1 << 20) + 1)).await).expect_err("too much");
    assert!(refused.contains("at most 1048576"), "{refused}");
    assert!(told(rig.command("other", &read(0, 5)).await).is_err(), "another plugin's");
    // A fault and a new version change nothing: the update is still under way.
    assert!(rig.command("probe", "trap").await.is_err());
    rig.up("probe").await;
    rig.put("probe.wasm", &variant(&guest("probe"), 1));
    assert_eq!(rig.up("probe").await, Change::Replaced);
    assert_eq!(told(rig.command("probe", &read(0, 4)).await), Ok("EPFW".to_owned()));
    assert_eq!(told(rig.command("probe", "finish u-1 done installed").await), Ok("finished".to_owned()));
    told(rig.command("probe", &read(0, 4)).await).expect_err("it has its end");
}

#[tokio::test]
async fn an_update_that_fails_has_its_end() {
    let mut rig = probe("update = \"fail\"").await;
    assert_eq!(update(&mut rig, "u-1").await, Err(CallFailure::Error("no such board".to_owned())));
    told(rig.command("probe", "firmware u-1 0 4").await).expect_err("it has its end");
}

async fn transform(rig: &mut Rig, samples: &[Sample]) -> Result<Vec<Sample>, CallFailure> {
    rig.plugins.transform("probe", 3, samples.to_vec()).expect("taken");
    rig.until(|event| match event {
        PluginEvent::Transformed { call: 3, result, .. } => Some(result.clone()),
        _ => None,
    })
    .await
}

fn sample(value: Value) -> Sample {
    // Kept as it was written, offset and all.
    let time = Timestamp::parse("2021-01-24T12:06:17.857123+02:00").expect("a time");
    Sample { device: Some("c".to_owned()), time: Some(time), values: vec![("a".to_owned(), value)] }
}

#[tokio::test]
async fn a_transformation_that_leaves_all_as_it_was_changes_nothing() {
    let mut rig = probe("").await;
    let values =
        [json!(true), json!(i64::MIN), json!(1.5), json!("NaN"), json!([47.5, 8.25]), json!({"x": 1, "y": "z"})];
    let samples: Vec<_> = values.into_iter().map(sample).collect();
    assert_eq!(transform(&mut rig, &samples).await, Ok(samples));
}

#[tokio::test]
async fn what_a_transformation_makes_is_checked() {
    let given = [sample(json!(21))];
    let mut rig = probe("process = \"double\"").await;
    assert_eq!(transform(&mut rig, &given).await, Ok(vec![sample(json!(42))]));
    let foreign = transform(&mut rig, &[sample(json!(null))]).await.expect_err("nothing plugins know");
    assert!(foreign.to_string().contains("no type for"), "{foreign}");
    let mut rig = probe("process = \"nothing\"").await;
    assert_eq!(transform(&mut rig, &given).await, Ok(vec![]));
    for (process, words) in [("empty-name", "name is empty"), ("error", "cannot"), ("trap", "trapping as told")] {
        let mut rig = probe(&format!("process = \"{process}\"")).await;
        let failure = transform(&mut rig, &given).await.expect_err(process);
        assert!(failure.to_string().contains(words), "{failure}");
    }
}

#[tokio::test]
async fn parts_of_a_file_are_read_where_the_whole_may_be() {
    let mut setup = Setup::new();
    let file = setup.directory.path().join("growing");
    let path = file.display().to_string();
    std::fs::write(&file, "0123456789").expect("write");
    setup.allow("probe", &[&path]);
    setup.put("probe.wasm", &guest("probe"));
    setup.put("probe.toml", format!("files = [{path:?}]").as_bytes());
    let mut rig = setup.start();
    rig.up("probe").await;
    for (offset, length, wanted) in [(2, 3, "234"), (8, 100, "89"), (10, 1, ""), (u64::MAX, 1, "")] {
        let read = rig.command("probe", &format!("read-at {path} {offset} {length}")).await;
        assert_eq!(told(read), Ok(wanted.to_owned()), "{offset} {length}");
    }
    let refused = told(rig.command("probe", &format!("read-at {path} 0 1048577")).await).expect_err("too much");
    assert!(refused.contains("1048576"), "{refused}");
    let refused = told(rig.command("probe", "read-at /etc/shadow 0 1").await).expect_err("no right");
    assert!(refused.contains("may not read /etc/shadow"), "{refused}");
}
