//! Whatever happens in whatever order: one acknowledgement for each ack id and target.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::targets::{acks, command_for, gateway, update};
use crate::event::{CallFailure, Event, Reply};
use crate::rig::{LATENCY, Rig, cases};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
enum Fate {
    /// A command: for whom, and how its plugin answers.
    Command(usize, usize),
    /// A firmware update for the device, for a child, for a tag.
    Update(u8),
    /// The cloud says one of its messages once more.
    Again(usize),
    Cut,
    Network(bool),
    Crash(bool),
    Restart,
    PluginFalls,
    LedgerFails(bool),
    Events(u8),
    Pass(u16),
    Long,
}

const DEVICES: [&str; 5] = ["GW", "CP-GW", "C1", "cp-C2", "C9"];
const TEXTS: [&str; 5] = ["done", "fail", "trap", "silent", "defer"];

fn answers(text: &str) -> Option<Result<Reply, CallFailure>> {
    match text.split(' ').next() {
        Some("done") => Some(Ok(Reply::Done("well".into()))),
        Some("fail") => Some(Ok(Reply::Failed("badly".into()))),
        Some("trap") => Some(Err(CallFailure("trapped".into()))),
        Some("defer") => Some(Ok(Reply::Deferred)),
        _ => None,
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (0..DEVICES.len(), 0..TEXTS.len()).prop_map(|(device, text)| Fate::Command(device, text)),
        3 => (1_u8..8).prop_map(Fate::Update),
        3 => any::<usize>().prop_map(Fate::Again),
        1 => Just(Fate::Cut),
        1 => any::<bool>().prop_map(Fate::Network),
        2 => any::<bool>().prop_map(Fate::Crash),
        1 => Just(Fate::Restart),
        1 => Just(Fate::PluginFalls),
        1 => any::<bool>().prop_map(Fate::LedgerFails),
        4 => (1_u8..10).prop_map(Fate::Events),
        4 => (0_u16..200).prop_map(Fate::Pass),
        1 => Just(Fate::Long),
    ]
}

fn plugins_up(rig: &mut Rig) {
    rig.plugin_up("p", None, true);
    rig.handle(Event::PluginsScanned);
}

proptest! {
    #![proptest_config(cases(128))]
    #[test]
    fn every_target_of_every_message_has_one_end(fates in proptest::collection::vec(fate(), 1..50)) {
        let mut rig = gateway();
        rig.answer = answers;
        plugins_up(&mut rig);
        let (mut messages, mut owed) = (Vec::new(), BTreeSet::new());
        for fate in fates {
            match fate {
                Fate::Command(device, text) => {
                    let id = format!("c{}", messages.len());
                    messages.push(command_for(DEVICES[device], TEXTS[text], &id));
                    owed.insert((id, String::new()));
                    rig.send_c2d(messages.last().unwrap().clone());
                }
                Fate::Update(targets) => {
                    let id = format!("u{}", messages.len());
                    let mut files = Vec::new();
                    for (bit, file, children) in [
                        (1, json!("https://x/y.bin"), &[""][..]),
                        (2, json!({"url": "u", "uniqueId": "C1"}), &["C1"]),
                        (4, json!({"url": "u", "tag": "c"}), &["C1", "C2"]),
                    ] {
                        if targets & bit != 0 {
                            files.push(file);
                            owed.extend(children.iter().map(|child| (id.clone(), (*child).to_owned())));
                        }
                    }
                    messages.push(update(&id, &files));
                    rig.send_c2d(messages.last().unwrap().clone());
                }
                Fate::Again(which) => if !messages.is_empty() {
                    rig.send_c2d(messages[which % messages.len()].clone());
                },
                Fate::Cut => rig.cut(),
                Fate::Network(up) => rig.network(up),
                Fate::Crash(keeps_unsaid) => {
                    rig.crash_keeps_unsaid = keeps_unsaid;
                    rig.crash();
                    plugins_up(&mut rig);
                }
                Fate::Restart => {
                    rig.handle(Event::PluginsStopping);
                    rig.restart();
                    plugins_up(&mut rig);
                }
                Fate::PluginFalls => {
                    rig.handle(Event::PluginDown { plugin: "p".into(), gone: false });
                    rig.pass(LATENCY);
                    rig.plugin_up("p", None, true);
                }
                Fate::LedgerFails(fails) => rig.ledger_fails = fails,
                Fate::Events(events) => for _ in 0..events {
                    rig.pass_one(rig.monotonic + SECOND);
                },
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Long => rig.pass(2_000 * SECOND),
            }
        }
        rig.ledger_fails = false;
        rig.network(true);
        rig.pass(4 * 3_600 * SECOND);
        // One that was published before a crash may be published again, as it was.
        let ends: BTreeSet<_> = acks(&rig).into_iter().collect();
        let mut by_target: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (_, id, child, st, message) in ends {
            by_target.entry((id, child)).or_default().push((st, message));
        }
        prop_assert!(by_target.values().all(|ends| ends.len() == 1), "{:?}", by_target);
        prop_assert_eq!(by_target.into_keys().collect::<BTreeSet<_>>(), owed);
        prop_assert!(rig.disk.commands.values().all(|(_, finished)| *finished));
        prop_assert_eq!(rig.session.status(rig.now()).commands.open, 0);
        prop_assert!(rig.cloud.queue.is_empty(), "the hub was told of every message");
    }
}
