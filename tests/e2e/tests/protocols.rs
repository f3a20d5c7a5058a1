//! Which protocol a device ends up with, what the portal's refusals do to it, and how long a hard stop lasts; in both
//! protocols. What every message does is shown by `make e2e-protocol`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use edgeplug_cloud::{
    Answer, Attribute, CloudMessage, Device, Dialect, Endpoint, MessageKind, Offer, Protocol, Template,
};
use edgeplug_e2e::{Edgeplug, PluginFiles, World, WorldOptions};

const LONG: Duration = Duration::from_secs(60);
/// Longer than any reconnect here takes.
const QUIET: Duration = Duration::from_secs(4);

/// A device that numbers its readings, and tries again every second.
async fn world(offer: Offer, symmetric_key: bool, cloud: &str) -> World {
    let attributes = vec![Attribute::string("run"), Attribute::number("sequence")];
    let options = WorldOptions {
        template: Template { attributes, ..Template::default() },
        offer,
        symmetric_key,
        cloud: cloud.to_owned(),
        tables: "[link]\nretry_max_s = 1\n".to_owned(),
        ..WorldOptions::default()
    };
    let world = World::new(options).await.unwrap();
    let manifest = Some("interval_ms = 100\n[config]\n");
    world.drop_plugin(PluginFiles { name: "sequence", guest: "sequence", manifest }).unwrap();
    world
}

fn offers() -> [(Offer, Dialect); 2] {
    [(Offer::Legacy, Dialect::Legacy), (Offer::V21, Dialect::V21)]
}

/// Waits for readings in this protocol, behind the first `skip` of all records.
async fn readings_in(world: &World, protocol: Protocol, skip: usize) {
    let flowing = |records: &[edgeplug_cloud::Record]| {
        let new = records.iter().skip(skip);
        new.filter(|record| record.protocol() == protocol && record.kind() == MessageKind::Report).count() > 2
    };
    let came = world.cloud.recorder().wait_for(flowing, LONG).await;
    assert!(came.is_ok(), "no readings in {protocol:?}; the log ends:\n{}", log_end(world));
}

fn log_end(world: &World) -> String {
    let mut lines = world.log().lines().unwrap();
    lines.retain(|line| line.text("plugin").is_empty());
    lines[lines.len().saturating_sub(30)..].iter().map(|line| format!("{}\n", line.fields)).collect()
}

/// Stops, and returns what the two witnesses say: nothing accepted is missing, nothing is malformed.
async fn end(world: &World, edgeplug: Edgeplug) {
    edgeplug.wait_status(|status| status["uplink"]["waiting"] == 0, LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
    let lost = world.log().accepted("sequence").unwrap().missing_from(world.cloud.recorder());
    assert_eq!(lost, Vec::<String>::new());
    assert!(world.cloud.complaints().is_empty(), "{:?}", world.cloud.complaints());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_speaks_what_it_is_offered() {
    for (offer, symmetric_key, expected) in [
        (Offer::Legacy, true, Protocol::Legacy),
        (Offer::V21, true, Protocol::V21),
        (Offer::Both, true, Protocol::V21),
        // A TPM is at home in the older protocol.
        (Offer::Both, false, Protocol::Legacy),
    ] {
        let world = world(offer, symmetric_key, "").await;
        let edgeplug = world.start().unwrap();
        readings_in(&world, expected, 0).await;
        let other = world.cloud.recorder().records().into_iter().find(|record| record.protocol() != expected);
        assert!(other.is_none(), "{offer:?}: {other:?}");
        end(&world, edgeplug).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_protocol_is_the_only_one_asked_for() {
    for (protocol, endpoints) in
        [("1.0", [Endpoint::DiscoveryV21, Endpoint::Identity]), ("2.1", [Endpoint::Discovery, Endpoint::Sync])]
    {
        let world = world(Offer::Both, true, &format!("protocol = \"{protocol}\"\n")).await;
        let edgeplug = world.start().unwrap();
        let spoken = if protocol == "1.0" { Protocol::Legacy } else { Protocol::V21 };
        readings_in(&world, spoken, 0).await;
        for endpoint in endpoints {
            assert_eq!(world.cloud.iotconnect().asked(endpoint), 0, "{protocol}: {endpoint:?}");
        }
        end(&world, edgeplug).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_sid_discovery_is_asked_by_it() {
    let world = world(Offer::V21, true, "sid = \"TEST-SID\"\n").await;
    let edgeplug = world.start().unwrap();
    readings_in(&world, Protocol::V21, 0).await;
    assert!(world.cloud.iotconnect().asked(Endpoint::DiscoveryV21) > 0);
    end(&world, edgeplug).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_moved_to_the_other_protocol_follows() {
    for (from, to) in [(Offer::Legacy, Offer::V21), (Offer::V21, Offer::Legacy)] {
        let world = world(from, true, "").await;
        // The company itself stays known in both.
        world.cloud.add_device(Device::symmetric("OTHER").offer(Offer::Both)).unwrap();
        let edgeplug = world.start().unwrap();
        let spoken = |offer| if offer == Offer::V21 { Protocol::V21 } else { Protocol::Legacy };
        readings_in(&world, spoken(from), 0).await;
        world.cloud.iotconnect().offer(world.unique_id(), to).unwrap();
        assert!(edgeplug.terminate().await.unwrap().success());
        let so_far = world.cloud.recorder().len();
        let edgeplug = world.start().unwrap();
        readings_in(&world, spoken(to), so_far).await;
        assert!(edgeplug.terminate().await.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_portal_answers_wrongly_is_asked_again() {
    let status = || Answer::Status { status: 503, message: "busy".into() };
    for (offer, scripts) in [
        (
            Offer::Legacy,
            vec![
                (Endpoint::Discovery, vec![Answer::NotJson, Answer::Http(500), Answer::Missing("baseUrl".into())]),
                (
                    Endpoint::Sync,
                    vec![
                        Answer::ResultCode(3),
                        Answer::ResultCode(4),
                        Answer::ResultCode(5),
                        status(),
                        Answer::NotJson,
                        Answer::Cut,
                    ],
                ),
            ],
        ),
        (
            Offer::V21,
            vec![
                (Endpoint::DiscoveryV21, vec![Answer::NotJson, Answer::Http(500), Answer::Missing("bu".into())]),
                (
                    Endpoint::Identity,
                    vec![
                        Answer::ResultCode(1),
                        Answer::ResultCode(2),
                        Answer::Missing("p".into()),
                        status(),
                        Answer::Cut,
                    ],
                ),
            ],
        ),
    ] {
        let protocol = if offer == Offer::V21 { "2.1" } else { "1.0" };
        let world = world(offer, true, &format!("protocol = \"{protocol}\"\n")).await;
        let mut count = Vec::new();
        for (endpoint, answers) in scripts {
            count.push((endpoint, answers.len()));
            world.cloud.iotconnect().script(endpoint, answers).unwrap();
        }
        let edgeplug = world.start().unwrap();
        world.cloud.hub().wait_connected(&world.hub_device_id(), LONG).await.unwrap();
        for (endpoint, answers) in count {
            assert!(world.cloud.iotconnect().asked(endpoint) > answers, "{endpoint:?}");
        }
        world.cloud.recorder().wait_for_readings("sequence", 3, LONG).await.unwrap();
        end(&world, edgeplug).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_gets_no_good_answer_is_asked_again() {
    let world = world(Offer::V21, true, "").await;
    world.cloud.iotconnect().script(Endpoint::IdentityMessage, [Answer::NotJson, Answer::ResultCode(5)]).unwrap();
    let edgeplug = world.start().unwrap();
    readings_in(&world, Protocol::V21, 0).await;
    end(&world, edgeplug).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_asks_anew() {
    let world = world(Offer::V21, true, "").await;
    world.cloud.iotconnect().script(Endpoint::IdentityMessage, [Answer::HangMs(1), Answer::Cut]).unwrap();
    let edgeplug = world.start().unwrap();
    world.cloud.iotconnect().wait_asked(Endpoint::IdentityMessage, 1, LONG).await.unwrap();
    world.cloud.hub().cut(&world.hub_device_id()).unwrap();
    readings_in(&world, Protocol::V21, 0).await;
    assert_eq!(world.cloud.hub().connections(&world.hub_device_id()).len(), 3);
    end(&world, edgeplug).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_stop_outlives_kill_9_and_ends_when_the_operator_says_so() {
    for (offer, dialect) in offers() {
        let world = world(offer, true, "hard_stop = \"until-resume\"\n").await;
        let device = world.hub_device_id();
        let hub = world.cloud.hub();
        let edgeplug = world.start().unwrap();
        world.cloud.recorder().wait_for_readings("sequence", 3, LONG).await.unwrap();
        world.cloud.send(world.unique_id(), dialect, &CloudMessage::Stop).unwrap();
        hub.wait_disconnected(&device, LONG).await.unwrap();
        hub.wait_queue_empty(&device, LONG).await.unwrap();
        edgeplug.kill().await.unwrap();

        for orderly in [false, true] {
            let records = world.cloud.recorder().len();
            let edgeplug = world.start().unwrap();
            edgeplug.wait_status(|status| status["stopped_by_cloud"].is_string(), LONG).await.unwrap();
            tokio::time::sleep(QUIET).await;
            assert_eq!(hub.connections(&device).len(), 1, "{offer:?}: it connected though it is stopped");
            assert_eq!(world.cloud.recorder().len(), records);
            if orderly {
                edgeplug.order(&["resume"]).await.unwrap();
                hub.wait_connections(&device, 2, LONG).await.unwrap();
                readings_in(&world, dialect.protocol(), records).await;
                end(&world, edgeplug).await;
            } else {
                assert!(edgeplug.terminate().await.unwrap().success());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_stop_lasts_until_the_daemon_is_stopped_and_started() {
    for (offer, dialect) in offers() {
        let world = world(offer, true, "").await;
        let device = world.hub_device_id();
        let hub = world.cloud.hub();
        let edgeplug = world.start().unwrap();
        world.cloud.recorder().wait_for_readings("sequence", 3, LONG).await.unwrap();
        world.cloud.send(world.unique_id(), dialect, &CloudMessage::Stop).unwrap();
        hub.wait_disconnected(&device, LONG).await.unwrap();
        edgeplug.kill().await.unwrap();

        let edgeplug = world.start().unwrap();
        edgeplug.wait_status(|status| status["stopped_by_cloud"].is_string(), LONG).await.unwrap();
        assert!(edgeplug.terminate().await.unwrap().success());
        assert_eq!(hub.connections(&device).len(), 1, "{offer:?}: a crash is no restart");

        let records = world.cloud.recorder().len();
        let edgeplug = world.start().unwrap();
        hub.wait_connections(&device, 2, LONG).await.unwrap();
        readings_in(&world, dialect.protocol(), records).await;
        end(&world, edgeplug).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_stop_keeps_what_is_stored_unless_it_wipes() {
    for (wipes, lines) in [(false, "hard_stop_wipes = false\n"), (true, "hard_stop_wipes = true\n")] {
        let world = world(Offer::Legacy, true, lines).await;
        let device = world.hub_device_id();
        let edgeplug = world.start().unwrap();
        world.cloud.recorder().wait_for_readings("sequence", 3, LONG).await.unwrap();
        // What has no PUBACK stays stored.
        world.cloud.hub().hold_pubacks();
        // Rows may wait for company before anything of them is sent.
        let unacknowledged = || world.cloud.recorder().records().iter().any(|record| !record.acknowledged);
        edgeplug
            .wait_status(|status| status["uplink"]["waiting"].as_u64() > Some(5) && unacknowledged(), LONG)
            .await
            .unwrap();
        world.cloud.send(world.unique_id(), Dialect::Legacy, &CloudMessage::Stop).unwrap();
        world.cloud.hub().wait_disconnected(&device, LONG).await.unwrap();
        world.cloud.hub().release_pubacks();
        edgeplug.order(&["resume"]).await.unwrap();
        world.cloud.hub().wait_connections(&device, 2, LONG).await.unwrap();
        let numbers = |of: &dyn Fn(&edgeplug_cloud::Record) -> bool| -> std::collections::BTreeSet<i64> {
            let records = world.cloud.recorder().records();
            let wanted: Vec<u64> = records.iter().filter(|record| of(record)).map(|record| record.number).collect();
            let readings = world.cloud.recorder().readings("sequence").into_iter();
            readings.filter(|reading| wanted.contains(&reading.record)).filter_map(|r| r.value.as_i64()).collect()
        };
        let stored = numbers(&|record| record.connection == 1 && !record.acknowledged);
        let newest = *stored.last().unwrap();
        let beyond = || numbers(&|record| record.connection == 2).range(newest + 10..).next().is_some();
        edgeplug.wait_status(|status| status["uplink"]["waiting"] == 0 && beyond(), LONG).await.unwrap();
        let again = numbers(&|record| record.connection == 2);
        assert_eq!(stored.intersection(&again).count(), if wipes { 0 } else { stored.len() }, "wipes: {wipes}");
        assert!(edgeplug.terminate().await.unwrap().success());
    }
}
