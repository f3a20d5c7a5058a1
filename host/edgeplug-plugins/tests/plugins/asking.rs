//! What a guest may ask of the daemon: the twin, acknowledgements, the device, hardware.

use std::sync::Arc;

use edgeplug_plugins::{
    Answer, Ask, CallFailure, Connection, Ending, FinishFailure, PluginEvent, Reply, SampleOutcome, TwinDocument,
    TwinFailure,
};
use edgeplug_protocol::model::{Attribute, Child, DeviceModel, Kind, Member, Setting};

use crate::rig::{Rig, Setup, guest, told};

async fn probe() -> Rig {
    let mut rig = Rig::start();
    rig.put_and_up("probe", &guest("probe")).await;
    rig
}

#[tokio::test]
async fn the_twin_is_read_and_reported_by_way_of_the_daemon() {
    let mut rig = probe().await;
    rig.answers = |ask| match ask {
        Ask::TwinGet => Answer::Twin(Ok(TwinDocument {
            desired: "{\"rate\":5}".to_owned(),
            desired_version: 7,
            reported: "{}".to_owned(),
            reported_version: 3,
        })),
        _ => Answer::Reported(Ok(4)),
    };
    assert_eq!(told(rig.command("probe", "twin get").await), Ok("7 {\"rate\":5} 3 {}".to_owned()));
    assert_eq!(told(rig.command("probe", "twin report {\"rate\": 5}").await), Ok("4".to_owned()));
    assert_eq!(rig.asked, [Ask::TwinGet, Ask::TwinReport { patch: "{\"rate\": 5}".to_owned() }]);
}

#[tokio::test]
async fn what_the_hub_refuses_reaches_the_guest_as_it_is() {
    let mut rig = probe().await;
    let unavailable = told(rig.command("probe", "twin get").await).expect_err("offline");
    assert!(unavailable.contains("offline"), "{unavailable}");
    rig.answers = |_| Answer::Reported(Err(TwinFailure::Refused(429)));
    let refused = told(rig.command("probe", "twin report {}").await).expect_err("refused");
    assert!(refused.contains("429"), "{refused}");
}

#[tokio::test]
async fn a_hostile_report_never_reaches_the_daemon() {
    let mut rig = probe().await;
    for (command, words) in [
        ("twin report [1]", "not a JSON object"),
        ("twin report {\"a\":", "line 1 column"),
        ("twin deep 11", "nested more than 10 deep, at a.a.a"),
        ("twin long 32768", "at most 32768"),
    ] {
        let refused = told(rig.command("probe", command).await).expect_err(command);
        assert!(refused.contains(words), "{command}: {refused}");
    }
    assert_eq!(rig.asked, []);
    told(rig.command("probe", "twin deep 10").await).expect_err("offline");
    assert_eq!(rig.asked.len(), 1);
}

#[tokio::test]
async fn a_deferred_command_is_ended_by_its_id() {
    let mut rig = probe().await;
    assert_eq!(rig.command("probe", "defer").await, Ok(Reply::Deferred));
    assert_eq!(told(rig.command("probe", "id").await), Ok("id-2".to_owned()));
    assert_eq!(told(rig.command("probe", "finish id-1 done all\x1bwell").await), Ok("finished".to_owned()));
    assert_eq!(told(rig.command("probe", "finish id-1 failed too hot").await), Ok("finished".to_owned()));
    let endings = [Ending::Done("all\\u{1b}well".to_owned()), Ending::Failed("too hot".to_owned())];
    let wanted = endings.map(|ending| Ask::Finish { id: "id-1".to_owned(), ending });
    assert_eq!(rig.asked, wanted);
    rig.answers = |ask| match ask {
        Ask::Finish { id, .. } if id == "old" => Answer::Finished(Err(FinishFailure::Unknown)),
        Ask::Finish { id, .. } if id == "other" => Answer::Finished(Err(FinishFailure::NotYours)),
        // An answer to something else: our mistake, not the guest's.
        Ask::Finish { id, .. } if id == "mistake" => Answer::Kept(Ok(())),
        _ => Answer::Finished(Err(FinishFailure::Unavailable("disk full".to_owned()))),
    };
    for (id, words) in [
        ("old", "nothing under way"),
        ("other", "another plugin"),
        ("mistake", "another question"),
        ("id-1", "disk full"),
    ] {
        let refused = told(rig.command("probe", &format!("finish {id} done")).await).expect_err(id);
        assert!(refused.contains(words), "{refused}");
    }
    let longest = "i".repeat(512);
    told(rig.command("probe", &format!("finish {longest} done")).await).expect_err("disk full");
    assert!(
        matches!(rig.asked.last(), Some(Ask::Finish { id, .. }) if *id == longest),
        "the ledger takes keys that long"
    );
    let asked = rig.asked.len();
    let long = told(rig.command("probe", &format!("finish {longest}i done")).await);
    assert!(long.is_err_and(|refused| refused.contains("nothing under way")));
    assert_eq!(rig.asked.len(), asked, "an id that long is nobody's");
}

#[tokio::test]
async fn a_long_message_is_cut_to_what_an_acknowledgement_takes() {
    let mut rig = probe().await;
    let message = "ä".repeat(2000);
    rig.command("probe", &format!("finish a done {message}")).await.expect("answers");
    let Some(Ask::Finish { ending: Ending::Done(message), .. }) = rig.asked.pop() else { panic!("no end") };
    assert_eq!(message.chars().count(), 1001);
    assert!(message.ends_with("ä…"));
}

#[tokio::test]
async fn progress_is_passed_on_capped_and_paced() {
    let mut rig = probe().await;
    rig.plugins
        .command(
            "probe",
            77,
            edgeplug_plugins::Command { id: String::new(), text: "progress a 255".to_owned(), device: None },
        )
        .expect("taken");
    let progress = rig.until(|event| match event {
        PluginEvent::Progress { plugin, id, percent, message } => {
            Some((plugin.clone(), id.clone(), *percent, message.clone()))
        }
        _ => None,
    });
    let text = |text: &str| text.to_owned();
    assert_eq!(progress.await, (text("probe"), text("a"), 100, text("on\\nthe way")));
    let command = edgeplug_plugins::Command { id: String::new(), text: "progress-flood a".to_owned(), device: None };
    rig.plugins.command("probe", 78, command).expect("taken");
    let mut count = 0;
    loop {
        match rig.next_raw().await {
            PluginEvent::Progress { .. } => count += 1,
            PluginEvent::Replied { call: 78, .. } => break,
            _ => {}
        }
    }
    assert!((1..=40).contains(&count), "{count}");
}

#[tokio::test]
async fn disconnecting_needs_the_right_twice() {
    let mut setup = Setup::new();
    let allow = edgeplug_plugins::PluginPolicy { allow_disconnect: Some(true), ..Default::default() };
    for (name, asks, allowed) in
        [("neither", false, false), ("asks", true, false), ("allowed", false, true), ("both", true, true)]
    {
        setup.put(&format!("{name}.wasm"), &guest("probe"));
        setup.put(&format!("{name}.toml"), format!("disconnect = {asks}").as_bytes());
        if allowed {
            setup.options.policy.plugins.insert(name.to_owned(), allow.clone());
        }
    }
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    for (name, words) in [
        ("neither", "allow_disconnect = true` in [plugins.allow.neither]"),
        ("asks", "allow_disconnect = true` in [plugins.allow.asks]"),
        ("allowed", "disconnect = true` in"),
    ] {
        let refused = told(rig.command(name, "device disconnect").await).expect_err(name);
        assert!(refused.contains(words), "{refused}");
        told(rig.command(name, "device reconnect").await).expect_err(name);
    }
    assert_eq!(rig.asked, []);
    assert_eq!(told(rig.command("both", "device disconnect").await), Ok("done".to_owned()));
    rig.answers = |_| Answer::Link(Err("not now".to_owned()));
    assert_eq!(told(rig.command("both", "device reconnect").await), Err("not now".to_owned()));
    assert_eq!(rig.asked, [Ask::Disconnect, Ask::Reconnect]);
    let grants = |name: &str| {
        let list = rig.plugins.list();
        list.into_iter().find(|status| status.plugin == name).expect("it runs").grants
    };
    assert_eq!(grants("both"), ["may disconnect the device from the cloud"]);
    assert!(grants("asks")[0].contains("asks to disconnect") && grants("neither").is_empty());
}

#[tokio::test]
async fn the_template_is_what_the_cloud_last_said() {
    let mut rig = probe().await;
    assert_eq!(told(rig.command("probe", "device template").await), Ok("None".to_owned()));
    let text = |text: &str| text.to_owned();
    let member = Member { name: text("x"), kind: Kind::Number, validity: text("1 to 15") };
    rig.plugins.template_changed(Some(Arc::new(DeviceModel {
        attributes: vec![Attribute {
            name: text("position"),
            kind: Kind::Object,
            validity: String::new(),
            tag: text("arm"),
            members: vec![member],
        }],
        children: vec![Child { unique_id: text("arm-1"), tag: text("arm") }],
        settings: vec![Setting { name: text("since"), kind: Kind::DateTime, validity: String::new() }],
        frequency_s: 60,
        edge: true,
    })));
    let told = told(rig.command("probe", "device template").await).expect("a template");
    for part in
        ["\"position\"", "Kind::Object", "1 to 15", "\"arm-1\"", "Kind::DateTime", "frequency-s: 60", "edge: true"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn hardware_is_denied_by_name() {
    let mut rig = probe().await;
    for (command, what) in [
        ("i2c", "I2C bus \"one\""),
        ("spi", "SPI device \"one\""),
        ("gpio", "GPIO line \"one\""),
        ("serial", "serial port \"one\""),
    ] {
        let refused = told(rig.command("probe", command).await).expect_err(command);
        assert!(refused.contains(what) && refused.contains("no hardware interfaces yet"), "{refused}");
    }
}

#[tokio::test]
async fn every_fate_of_a_sample_reaches_the_guest() {
    let mut rig = probe().await;
    let command = edgeplug_plugins::Command { id: String::new(), text: "send".to_owned(), device: None };
    rig.plugins.command("probe", 5, command).expect("taken");
    let offer = loop {
        if let PluginEvent::Offered { offer, .. } = rig.next_raw().await {
            break offer;
        }
    };
    rig.plugins.answer_offer(offer, vec![SampleOutcome::AcceptedInMemory, SampleOutcome::HeldBack]);
    let reply = rig
        .until(|event| match event {
            PluginEvent::Replied { result, .. } => Some(result.clone()),
            _ => None,
        })
        .await;
    let told = told(reply).expect("an answer");
    assert!(told.contains("AcceptedInMemory") && told.contains("HeldBack"), "{told}");
}

#[tokio::test]
async fn waiting_for_an_answer_is_not_charged_but_ends() {
    let mut rig = probe().await;
    let command = edgeplug_plugins::Command { id: String::new(), text: "twin get".to_owned(), device: None };
    rig.plugins.command("probe", 5, command).expect("taken");
    let ask = loop {
        if let PluginEvent::Asked { ask, .. } = rig.next_raw().await {
            break ask;
        }
    };
    // Longer than the deadline of 200 ms and its factor for waiting together.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    rig.plugins.answer(ask, Answer::Twin(Err(TwinFailure::Refused(500))));
    let reply = rig.until(|event| match event {
        PluginEvent::Replied { result, .. } => Some(result.clone()),
        _ => None,
    });
    assert!(told(reply.await).is_err_and(|refused| refused.contains("500")));
    assert_eq!(
        rig.command("probe", "trap").await.map_err(|failure| matches!(failure, CallFailure::Trapped(_))),
        Err(true)
    );
}

#[tokio::test]
async fn the_connection_is_asked_at_any_time() {
    let mut rig = probe().await;
    assert_eq!(told(rig.command("probe", "device connected").await), Ok("false".to_owned()));
    rig.plugins.connection_changed(Connection::Connected);
    assert_eq!(told(rig.command("probe", "device connected").await), Ok("true".to_owned()));
}
