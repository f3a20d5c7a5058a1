//! Whatever happens in whatever order: one end for each target. The rig itself watches that only verified files are handed
//! over, and nothing after the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::SECOND;
use crate::action::FirmwareUpdate;
use crate::commands::tests::targets::{acks, gateway};
use crate::config::{DeviceWay, OtaPolicy};
use crate::event::*;
use crate::rig::ota::{fetch_failure, verified};
use crate::rig::{LATENCY, Rig, cases};
use crate::{AskId, RequestId};

#[derive(Debug, Clone)]
enum Fate {
    /// Files for whom, and what is odd about it.
    Update(u8, usize),
    Again(usize),
    /// The portal says that an update waits, or none.
    Waiting(Option<usize>),
    Finish(usize, bool),
    Progress(usize),
    Cut,
    Network(bool),
    Crash(bool),
    Reboot,
    Restart,
    PluginFalls(bool),
    LedgerFails(bool),
    HardStop,
    Resume,
    Events(u8),
    Pass(u16),
    Long,
}

/// What a file is like, by its name.
const NAMES: [&str; 8] = ["done", "fail", "trap", "silent", "defer", "app.wasm", "bad.wasm", "slow.wasm"];

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (1_u8..8, 0..NAMES.len()).prop_map(|(targets, name)| Fate::Update(targets, name)),
        2 => any::<usize>().prop_map(Fate::Again),
        1 => proptest::option::of(any::<usize>()).prop_map(Fate::Waiting),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, well)| Fate::Finish(which, well)),
        1 => any::<usize>().prop_map(Fate::Progress),
        1 => Just(Fate::Cut),
        1 => any::<bool>().prop_map(Fate::Network),
        3 => any::<bool>().prop_map(Fate::Crash),
        1 => Just(Fate::Reboot),
        1 => Just(Fate::Restart),
        1 => any::<bool>().prop_map(Fate::PluginFalls),
        1 => any::<bool>().prop_map(Fate::LedgerFails),
        1 => Just(Fate::HardStop),
        1 => Just(Fate::Resume),
        5 => (1_u8..10).prop_map(Fate::Events),
        4 => (0_u16..200).prop_map(Fate::Pass),
        2 => Just(Fate::Long),
    ]
}

fn answers(update: &FirmwareUpdate) -> Option<Result<Reply, CallFailure>> {
    match update.name.as_str() {
        "done" => Some(Ok(Reply::Done("well".into()))),
        "fail" => Some(Ok(Reply::Failed("badly".into()))),
        "trap" => Some(Err(CallFailure("trapped".into()))),
        "defer" => Some(Ok(Reply::Deferred)),
        _ => None,
    }
}

fn verdict(deployed: Deployment) -> Option<(Duration, Event)> {
    let Deployment { plugin, sha256 } = deployed;
    match plugin.as_str() {
        "app" => Some((60 * SECOND, Event::PluginConfirmed { plugin, sha256 })),
        "bad" => Some((Duration::ZERO, Event::PluginRolledBack { plugin, sha256, reason: "trapped".into() })),
        _ => None,
    }
}

/// Every kind of trouble in turn.
fn fetch(files: &[crate::action::FetchFile], n: usize) -> Option<Result<Vec<VerifiedFile>, FetchFailure>> {
    let kind = match n % 7 {
        1 => FetchFailureKind::Transient,
        3 => FetchFailureKind::Expired,
        5 if n.is_multiple_of(3) => FetchFailureKind::Refused,
        6 if n.is_multiple_of(4) => FetchFailureKind::Disk,
        _ => return Some(Ok(verified(files))),
    };
    Some(Err(fetch_failure(kind, "trouble")))
}

fn plugins_up(rig: &mut Rig) {
    rig.firmware_up("f", &[]);
    rig.handle(Event::PluginsScanned);
}

/// The files of three targets as bits, and who is owed an end.
fn files(targets: u8, name: &str) -> (Vec<Value>, BTreeSet<String>) {
    let (mut files, mut owed) = (Vec::new(), BTreeSet::new());
    for (bit, file, children) in [
        (1, json!(format!("https://x/{name}?sig=1")), &[""][..]),
        (2, json!({"url": format!("https://x/{name}"), "uniqueId": "C1"}), &["C1"]),
        (4, json!({"url": format!("https://x/y/{name}2"), "tag": "c"}), &["C1", "C2"]),
    ] {
        if targets & bit != 0 {
            files.push(file);
            owed.extend(children.iter().map(|child| (*child).to_owned()));
        }
    }
    (files, owed)
}

proptest! {
    #![proptest_config(cases(192))]
    #[test]
    fn every_target_of_every_update_has_one_end(
        installer in any::<bool>(),
        restart in any::<bool>(),
        fates in proptest::collection::vec(fate(), 1..50),
    ) {
        let mut rig = gateway();
        let device_way = if installer { DeviceWay::Installer } else { DeviceWay::Plugin };
        rig.config.ota = OtaPolicy { device_way, restart, ..OtaPolicy::default() };
        rig.crash();
        (rig.ota.update, rig.ota.verdict, rig.ota.fetch) = (answers, verdict, fetch);
        rig.ota.install = |attempt| (attempt > 1).then(|| Ok(Installation::Done("installed".into())));
        plugins_up(&mut rig);
        rig.pass(10 * SECOND);
        let (mut messages, mut owed) = (Vec::new(), BTreeSet::new());
        for fate in fates {
            match fate {
                Fate::Update(targets, name) => {
                    let id = format!("u{}", messages.len());
                    let (files, children) = files(targets, NAMES[name]);
                    owed.extend(children.into_iter().map(|child| (id.clone(), child)));
                    messages.push(crate::commands::tests::targets::update(&id, &files));
                    rig.send_c2d(messages.last().unwrap().clone());
                }
                Fate::Again(which) => if !messages.is_empty() {
                    rig.send_c2d(messages[which % messages.len()].clone());
                },
                // One that was sent as well.
                Fate::Waiting(which) => {
                    let message = which.and_then(|which| messages.get(which % messages.len().max(1)));
                    rig.cloud.portal.ota = message.map_or(Value::Null, |message| {
                        let data = &serde_json::from_str::<Value>(message).unwrap()["data"];
                        json!({"guid": data["ackId"], "ver": data["ver"], "urls": data["urls"]})
                    });
                    rig.send_c2d(json!({"cmdType": "sync"}).to_string());
                }
                Fate::Finish(which, well) => if !rig.ota.updates.is_empty() {
                    let (plugin, update) = rig.ota.updates[which % rig.ota.updates.len()].clone();
                    let ending = if well { Ending::Done("at last".into()) } else { Ending::Failed("at last".into()) };
                    let request = Ask::Finish { id: update.id, ending };
                    rig.handle(Event::Asked { plugin, ask: AskId(which as u64), request });
                },
                Fate::Progress(which) => if !rig.ota.updates.is_empty() {
                    let (plugin, update) = rig.ota.updates[which % rig.ota.updates.len()].clone();
                    rig.handle(Event::Progress { plugin, id: update.id, percent: 200, message: String::new() });
                },
                Fate::Cut => rig.cut(),
                Fate::Network(up) => rig.network(up),
                Fate::Crash(keeps_unsaid) => {
                    rig.crash_keeps_unsaid = keeps_unsaid;
                    rig.crash();
                    plugins_up(&mut rig);
                }
                Fate::Reboot => {
                    rig.reboot(0);
                    plugins_up(&mut rig);
                }
                Fate::Restart => {
                    rig.handle(Event::PluginsStopping);
                    rig.restart();
                    plugins_up(&mut rig);
                }
                Fate::PluginFalls(gone) => {
                    rig.handle(Event::PluginDown { plugin: "f".into(), gone });
                    rig.pass(LATENCY);
                    rig.firmware_up("f", &[]);
                }
                Fate::LedgerFails(fails) => rig.ledger_fails = fails,
                Fate::HardStop => rig.send_c2d(json!({"cmdType": "0x99", "data": {}}).to_string()),
                Fate::Resume => rig.handle(Event::Operator { request: RequestId(1), what: OperatorRequest::Resume }),
                Fate::Events(events) => for _ in 0..events {
                    rig.pass_one(rig.monotonic + SECOND);
                },
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Long => rig.pass(2_000 * SECOND),
            }
        }
        rig.ledger_fails = false;
        rig.network(true);
        rig.cloud.queue.retain(|_, body| !body.starts_with(br#"{"cmdType":"0x99""#));
        rig.pass(60 * SECOND);
        rig.handle(Event::Operator { request: RequestId(2), what: OperatorRequest::Resume });
        // Enough for what waits for a restart, and for what takes its time.
        for _ in 0..messages.len() + 2 {
            rig.pass(30 * 3_600 * SECOND);
            rig.reboot(0);
            plugins_up(&mut rig);
        }
        rig.pass(30 * 3_600 * SECOND);
        // One that was published before a crash may be published again, as it was.
        let ends: BTreeSet<_> = acks(&rig).into_iter().collect();
        let mut by_target: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (_, id, child, st, message) in ends {
            by_target.entry((id, child)).or_default().push((st, message));
        }
        prop_assert!(by_target.values().all(|ends| ends.len() == 1), "{:?}", by_target);
        prop_assert_eq!(by_target.into_keys().collect::<BTreeSet<_>>(), owed);
        prop_assert!(rig.disk.commands.values().all(|(_, finished)| *finished));
        prop_assert_eq!(rig.session.status(rig.now()).updates.len(), 0);
        prop_assert!(rig.ota.staged.is_empty(), "staging directories are left");
        prop_assert!(rig.cloud.queue.is_empty(), "the hub was told of every message");
    }
}
