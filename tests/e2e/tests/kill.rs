//! `kill -9` under load, again and again: nothing accepted is lost.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use edgeplug_cloud::{Attribute, Template};
use edgeplug_e2e::{PluginFiles, World, WorldOptions};

const LONG: Duration = Duration::from_secs(60);
const KILLS: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_under_load_lose_nothing_and_never_ask_dps_again() {
    let template =
        Template { attributes: vec![Attribute::string("run"), Attribute::number("sequence")], ..Template::default() };
    let world = World::new(WorldOptions { template, ..WorldOptions::default() }).await.unwrap();
    for name in ["one", "two"] {
        // The runs of both plugins must differ, so each sends under its own name and the time of its start.
        let manifest = format!("interval_ms = 10\n[config]\nname = \"{name}\"\nper_call = \"2\"\n");
        world.drop_plugin(PluginFiles { name, guest: "sequence", manifest: Some(&manifest) }).unwrap();
    }
    let actor = PluginFiles { name: "actor", guest: "echo-commands", manifest: None };
    world.drop_plugin(actor).unwrap();
    let device = world.hub_device_id();
    let hub = world.cloud.hub();
    hub.delay_pubacks(30);

    let mut dps_calls = None;
    let mut hits = 0;
    for kill in 1..=KILLS {
        let edgeplug = world.start().unwrap();
        hub.wait_connections(&device, usize::try_from(kill).unwrap(), LONG).await.unwrap();
        let so_far = world.cloud.recorder().len();
        hub.send_command(&device, &format!("ok {kill}"), &format!("ack-{kill}")).unwrap();
        world.cloud.recorder().wait_for(|records| records.len() > so_far + 20, LONG).await.unwrap();
        // Spread over the life of commits, publishes and acknowledgements.
        tokio::time::sleep(Duration::from_millis(kill * 37 % 211)).await;
        edgeplug.kill().await.unwrap();
        hub.wait_disconnected(&device, LONG).await.unwrap();
        let connection = hub.connections(&device).last().unwrap().number;
        hits += usize::from(world.cloud.recorder().unacknowledged_at_disconnect(connection) > 0);
        let calls = world.cloud.dps().calls(&world.registration_id());
        assert_eq!(*dps_calls.get_or_insert(calls), calls, "DPS was asked again at start {kill}");
    }
    println!("{hits} of {KILLS} kills hit rows in flight");
    assert!(hits > 0, "no kill hit a row in flight: this test proves nothing");

    hub.delay_pubacks(0);
    for name in ["one", "two"] {
        std::fs::remove_file(world.plugins_directory().join(format!("{name}.wasm"))).unwrap();
    }
    let edgeplug = world.start().unwrap();
    edgeplug.wait_status(|status| status["link"] == "online" && status["uplink"]["waiting"] == 0, LONG).await.unwrap();
    for kill in 1..=KILLS {
        let ack = world.cloud.recorder().wait_for_ack(&format!("ack-{kill}"), LONG).await.unwrap();
        assert_eq!(ack.status, 6, "{}", ack.message);
        let all = world.cloud.recorder().acks(&format!("ack-{kill}"));
        assert!(all.iter().all(|other| (other.status, &other.message) == (ack.status, &ack.message)), "two outcomes");
    }
    assert!(edgeplug.terminate().await.unwrap().success());

    for name in ["one", "two"] {
        let accepted = world.log().accepted(name).unwrap();
        assert!(accepted.len() > 100, "{} accepted", accepted.len());
        assert_eq!(accepted.missing_from(world.cloud.recorder()), Vec::<String>::new());
    }
    assert!(world.cloud.complaints().is_empty(), "{:?}", world.cloud.complaints());
}
