//! Components that updates bring: where they go before the operator's, and what is said of them.

use std::os::unix::fs::symlink;
use std::time::Duration;

use edgeplug_plugins::{
    Change, FirmwareScope, Operation, Origin, PluginEvent, PluginState, SignatureMode, SignaturePolicy, Source, Trust,
};
use minisign::KeyPair;
use serde_json::json;

use crate::rig::{Rig, Setup, guest, killed, value, variant};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn sha256(component: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A trusted `probe` of the operator's with this manifest.
async fn trusted(manifest: &str) -> Rig {
    let setup = Setup::new().probation(1, Duration::ZERO);
    setup.put("p.wasm", &guest("probe"));
    setup.put("p.toml", manifest.as_bytes());
    let mut rig = setup.start();
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    rig
}

impl Rig {
    /// Brings a component for `p` and asks what became of it.
    async fn update(&self, component: &[u8]) -> Trust {
        self.deploy("p.wasm", component);
        self.plugins.trust("p", &sha256(component)).await
    }

    fn origin(&self, name: &str) -> (Source, Option<Source>) {
        let Origin { component, manifest } = self.status(name).origin.expect("it ran");
        (component, manifest)
    }

    async fn trust_of(&self, component: &[u8]) -> Trust {
        self.plugins.trust("p", &sha256(component)).await
    }
}

fn reason(trust: Trust) -> String {
    match trust {
        Trust::Failed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_update_takes_the_operators_place_and_gives_it_back() {
    let mut rig = trusted("interval_s = 7\n[config]\nsaved = \"a\"").await;
    assert_eq!(rig.origin("p"), (Source::Operator, Some(Source::Operator)));
    let new = variant(&guest("probe"), 1);
    assert_eq!(rig.trust_of(&new).await, Trust::Unknown, "it is not there yet");
    assert_eq!(rig.update(&new).await, Trust::OnProbation);
    assert_eq!(rig.up("p").await, Change::Replaced);
    assert_eq!(rig.origin("p"), (Source::Ota, Some(Source::Operator)));
    assert_eq!(rig.status("p").interval_ms, 7000, "the operator's manifest counts");
    let samples = rig.sample("p").await.expect("sample");
    assert_eq!(value(&samples, "restored"), Some(&json!("a")), "the state is handed over");
    assert_eq!(rig.confirmed("p").await, sha256(&new));
    assert_eq!(rig.trust_of(&new).await, Trust::Confirmed);
    assert_eq!(rig.trust_of(&guest("probe")).await, Trust::Unknown, "it does not lie there any more");
    // What is trusted already is said at once, also of a file that was brought again.
    assert_eq!(rig.update(&new).await, Trust::Confirmed);
    rig.withdraw("p.wasm");
    assert_eq!(rig.up("p").await, Change::Replaced);
    assert_eq!(rig.origin("p"), (Source::Operator, Some(Source::Operator)));
    assert_eq!(rig.status("p").sha256, sha256(&guest("probe")));
    let samples = rig.sample("p").await.expect("sample");
    assert_eq!(value(&samples, "restored"), Some(&json!("a")), "as by any other swap");
}

#[tokio::test]
async fn a_manifest_counts_as_long_as_its_component_lies_beside_it() {
    let mut rig = trusted("interval_s = 7").await;
    rig.deploy("p.toml", b"interval_s = 3");
    assert_eq!(rig.trust_of(&guest("probe")).await, Trust::Confirmed, "alone it means nothing");
    // The same component with another manifest is another version.
    assert_eq!(rig.update(&guest("probe")).await, Trust::OnProbation);
    rig.up("p").await;
    assert_eq!((rig.origin("p"), rig.status("p").interval_ms), ((Source::Ota, Some(Source::Ota)), 3000));
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    rig.put("p.toml", b"interval_s = 9");
    assert_eq!(rig.trust_of(&guest("probe")).await, Trust::Confirmed, "the operator's does not count");
    assert_eq!(rig.status("p").interval_ms, 3000);
    rig.withdraw("p.wasm");
    rig.up("p").await;
    assert_eq!((rig.origin("p").1, rig.status("p").interval_ms), (Some(Source::Operator), 9000));
    rig.deploy("p.toml", b"component = \"other.wasm\"");
    let refused = reason(rig.update(&variant(&guest("probe"), 1)).await);
    assert!(refused.contains("other.wasm") && refused.contains("came with"), "{refused}");
    rig.sample("p").await.expect("what ran goes on");
}

#[tokio::test]
async fn the_same_files_from_elsewhere_are_no_new_version() {
    let mut rig = trusted("").await;
    assert_eq!(rig.update(&guest("probe")).await, Trust::Confirmed);
    assert_eq!(rig.origin("p"), (Source::Ota, Some(Source::Operator)));
    // The operator's goes, and the plugin is as it was.
    std::fs::remove_file(rig.path("p.wasm")).expect("remove");
    assert_eq!(rig.trust_of(&guest("probe")).await, Trust::Confirmed);
    let samples = rig.sample("p").await.expect("sample");
    assert_eq!(value(&samples, "calls"), Some(&json!(2)), "the same instance");
}

#[tokio::test]
async fn an_update_that_fails_is_said_with_its_hash_and_reason() {
    let mut rig = trusted("[config]\nevery = \"1\"").await;
    let bad = guest("traps");
    assert_eq!(rig.update(&bad).await, Trust::OnProbation);
    rig.up("p").await;
    rig.sample("p").await.expect_err("a trap");
    assert_eq!(rig.rolled_back("p").await.0, sha256(&bad));
    rig.up("p").await;
    assert_eq!(rig.origin("p"), (Source::Operator, Some(Source::Operator)), "where what runs came from");
    assert!(reason(rig.trust_of(&bad).await).contains("trapping as configured"));
    // Taken back and brought again it is still the one that failed.
    rig.withdraw("p.wasm");
    assert_eq!(rig.trust_of(&guest("probe")).await, Trust::Confirmed);
    assert!(reason(rig.update(&bad).await).contains("trapping as configured"));
    let broken = b"not a component";
    assert!(!reason(rig.update(broken).await).is_empty());
    let (said, hash) = rig
        .until(|event| match event {
            PluginEvent::Refused { reason, sha256, .. } if !reason.contains("failed before") => {
                Some((reason.clone(), sha256.clone()))
            }
            _ => None,
        })
        .await;
    assert_eq!(hash, Some(sha256(broken)), "{said}");
    rig.sample("p").await.expect("what ran goes on");
}

#[test]
fn what_failed_over_the_air_is_not_tried_again_after_the_daemon_was_killed() {
    let directory = killed(async {
        let mut rig = trusted("[config]\nevery = \"1\"\nsaved = \"a\"").await;
        assert_eq!(rig.update(&guest("traps")).await, Trust::OnProbation);
        rig.up("p").await;
        rig.sample("p").await.expect_err("a trap");
        rig.rolled_back("p").await;
        let record = rig.directory.path().join("shelf/p/record.json");
        while !std::fs::read_to_string(&record).expect("record").contains("trapping as configured") {
            tokio::task::yield_now().await;
        }
        rig.directory
    });
    let directory = killed(async {
        let mut rig = Setup::after(directory).start();
        assert_eq!(rig.up("p").await, Change::First);
        assert_eq!(rig.status("p").sha256, sha256(&guest("probe")), "the last good one, from the shelf");
        assert_eq!(rig.origin("p"), (Source::Operator, Some(Source::Operator)));
        assert!(reason(rig.trust_of(&guest("traps")).await).contains("trapping as configured"));
        rig.sample("p").await.expect("sample");
        rig.directory
    });
    killed(async {
        // Killed again before anything is withdrawn.
        let mut rig = Setup::after(directory).start();
        rig.up("p").await;
        assert_eq!(rig.status("p").sha256, sha256(&guest("probe")));
        rig.withdraw("p.wasm");
        assert_eq!(rig.trust_of(&guest("probe")).await, Trust::Confirmed);
        rig.sample("p").await.expect("sample");
    });
}

#[test]
fn an_update_goes_on_with_its_probation_after_the_daemon_was_killed() {
    let directory = killed(async { trusted("[config]\nevery = \"3\"").await.stop().await });
    let directory = killed(async {
        let mut rig = Setup::after(directory).probation(2, DAY).start();
        rig.up("p").await;
        assert_eq!(rig.update(&guest("traps")).await, Trust::OnProbation);
        rig.up("p").await;
        rig.directory
    });
    killed(async {
        let mut rig = Setup::after(directory).probation(2, DAY).start();
        rig.up("p").await;
        // Brought once more, as whoever does not know how far it came.
        assert_eq!(rig.update(&guest("traps")).await, Trust::OnProbation);
        for _ in 0..2 {
            rig.sample("p").await.expect("sample");
        }
        rig.sample("p").await.expect_err("a trap");
        rig.rolled_back("p").await;
        rig.up("p").await;
        assert_eq!(rig.status("p").sha256, sha256(&guest("probe")));
    });
}

#[tokio::test]
async fn a_first_version_that_never_works_is_given_up_and_said() {
    let mut setup = Setup::new();
    setup.options.limits.restart_min = Duration::from_millis(1);
    setup.options.limits.quarantine_strikes = 3;
    setup.put("p.toml", b"[config]\nevery = \"1\"");
    let mut rig = setup.start();
    assert_eq!(rig.update(&guest("traps")).await, Trust::OnProbation);
    for _ in 0..3 {
        rig.up("p").await;
        rig.sample("p").await.expect_err("a trap");
    }
    let (bad, why) = rig.rolled_back("p").await;
    assert_eq!(bad, sha256(&guest("traps")));
    assert!(why.contains("left alone after 3 faults"), "{why}");
    assert!(rig.down("p").await.1);
    assert!(reason(rig.trust_of(&guest("traps")).await).contains("left alone"));
    rig.withdraw("p.wasm");
    while !rig.plugins.list().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.trust_of(&guest("traps")).await, Trust::Unknown);
}

#[tokio::test]
async fn a_first_version_is_trusted_like_any_other() {
    let mut rig = Setup::new().probation(1, Duration::ZERO).start();
    assert_eq!(rig.update(&guest("probe")).await, Trust::OnProbation);
    assert_eq!(rig.up("p").await, Change::First);
    assert_eq!(rig.origin("p"), (Source::Ota, None));
    rig.sample("p").await.expect("sample");
    assert_eq!(rig.confirmed("p").await, sha256(&guest("probe")));
    let directory = rig.stop().await;
    let mut rig = Setup::after(directory).start();
    rig.up("p").await;
    assert_eq!(rig.update(&guest("probe")).await, Trust::Confirmed);
    rig.plugins.stop(Duration::from_secs(5)).await;
    assert_eq!(rig.trust_of(&guest("probe")).await, Trust::Unknown, "nobody is there to say");
}

#[tokio::test]
async fn a_plugin_that_is_switched_off_takes_no_update() {
    let mut rig = trusted("").await;
    rig.plugins.operate("p", Operation::Disable).await.expect("switched off");
    rig.down("p").await;
    assert!(reason(rig.update(&variant(&guest("probe"), 1)).await).contains("plugin enable"));
    assert_eq!(rig.status("p").state, PluginState::Disabled);
}

#[tokio::test]
async fn where_the_machine_is_at_fault_nothing_is_said_of_the_update() {
    let mut setup = Setup::new();
    setup.options.compiler = setup.directory.path().join("missing");
    let mut rig = setup.start();
    assert_eq!(rig.update(&guest("probe")).await, Trust::Unknown);
    let hash = rig
        .until(|event| match event {
            PluginEvent::Refused { sha256, .. } => Some(sha256.clone()),
            _ => None,
        })
        .await;
    assert_eq!(hash, None, "it is tried again");
    std::fs::remove_dir(rig.path("")).expect("remove");
    assert_eq!(rig.trust_of(&guest("probe")).await, Trust::Unknown, "half of the files cannot be seen");
}

#[tokio::test]
async fn an_update_of_a_shared_component_is_judged_over_all_who_run_it() {
    let setup = Setup::new().probation(1, Duration::ZERO);
    setup.put("shared.wasm", &guest("probe"));
    setup.put("good.toml", b"component = \"shared.wasm\"\n[config]\nevery = \"1000\"");
    setup.put("bad.toml", b"component = \"shared.wasm\"\n[config]\nevery = \"1\"");
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    for name in ["good", "bad"] {
        rig.sample(name).await.expect("sample");
        rig.confirmed(name).await;
    }
    let new = sha256(&guest("traps"));
    rig.deploy("shared.wasm", &guest("traps"));
    assert_eq!(rig.plugins.trust("shared", &new).await, Trust::OnProbation);
    rig.sample("good").await.expect("sample");
    assert_eq!(rig.confirmed("good").await, new);
    assert_eq!(rig.plugins.trust("shared", &new).await, Trust::OnProbation, "the other one is not through");
    rig.sample("bad").await.expect_err("a trap");
    rig.rolled_back("bad").await;
    assert!(reason(rig.plugins.trust("shared", &new).await).contains("trapping as configured"));
    // Under a name that is another component's it is not run, and that is said.
    rig.deploy("good.wasm", &guest("probe"));
    let refused = reason(rig.plugins.trust("good", &sha256(&guest("probe"))).await);
    assert!(refused.contains("send shared.wasm instead"), "{refused}");
}

#[tokio::test]
async fn signatures_and_releases_are_judged_as_the_operators_are() {
    let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
    let sign = |component: &[u8], release: &str| {
        let comment = format!("version:{release} file:p.wasm");
        let signed = minisign::sign(Some(&keys.pk), &keys.sk, component, Some(&comment), None);
        signed.expect("signature").into_string().into_bytes()
    };
    let mut setup = Setup::new().probation(1, Duration::ZERO);
    setup.options.signature = SignaturePolicy::new(SignatureMode::Require, &[keys.pk.to_base64()]).expect("keys");
    let old = guest("probe");
    setup.put("p.wasm.minisig", &sign(&old, "1.0.0"));
    setup.put("p.wasm", &old);
    let mut rig = setup.start();
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    let new = variant(&old, 1);
    let refused = reason(rig.update(&new).await);
    assert!(refused.contains("is not signed"), "{refused}");
    assert_eq!(rig.refused("p").await, refused);
    rig.deploy("p.wasm.minisig", &sign(&new, "2.0.0"));
    assert_eq!(rig.trust_of(&new).await, Trust::OnProbation);
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    rig.deploy("p.wasm.minisig", &sign(&variant(&old, 2), "1.5.0"));
    let refused = reason(rig.update(&variant(&old, 2)).await);
    assert!(refused.contains("1.5.0") && refused.contains("2.0.0"), "{refused}");
    // Nor does taking the update away bring an older release back.
    rig.withdraw("p.wasm");
    let refused = reason(rig.trust_of(&old).await);
    assert!(refused.contains("1.0.0") && refused.contains("2.0.0"), "{refused}");
    assert_eq!(rig.status("p").version.as_deref(), Some("2.0.0"));
    rig.sample("p").await.expect("what ran goes on");
}

#[tokio::test]
async fn a_directory_that_appears_later_and_changes_unannounced_is_seen() {
    let mut setup = Setup::new();
    setup.options.limits.rescan = Duration::from_millis(50);
    let ota = setup.directory.path().join("ota");
    std::fs::remove_dir(&ota).expect("remove");
    setup.put("p.wasm", &guest("sequence"));
    let mut rig = setup.start();
    rig.up("p").await;
    std::fs::create_dir(&ota).expect("directory");
    // Nothing happens in the directory that is watched.
    let elsewhere = rig.directory.path().join("elsewhere.wasm");
    std::fs::write(&elsewhere, variant(&guest("sequence"), 1)).expect("write");
    symlink(&elsewhere, ota.join("p.wasm")).expect("link");
    assert_eq!(rig.up("p").await, Change::Replaced);
    std::fs::write(&elsewhere, variant(&guest("sequence"), 2)).expect("write");
    assert_eq!(rig.up("p").await, Change::Replaced);
    std::fs::remove_dir_all(&ota).expect("remove");
    assert_eq!(rig.up("p").await, Change::Replaced);
    assert_eq!(rig.origin("p"), (Source::Operator, None));
}

#[tokio::test]
async fn a_file_is_announced_by_either_directory_and_read_only_when_it_is_whole() {
    let mut setup = Setup::new();
    setup.options.limits.rescan = Duration::from_secs(3600);
    setup.put("p.wasm", &guest("traps"));
    let mut rig = setup.start();
    rig.up("p").await;
    let new = variant(&guest("traps"), 1);
    let mut file = std::fs::File::create(rig.directory.path().join("ota/p.wasm")).expect("open in place");
    for piece in new.chunks(new.len() / 10) {
        std::io::Write::write_all(&mut file, piece).expect("write");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(file);
    // `up` fails on any refusal in between.
    assert_eq!(rig.up("p").await, Change::Replaced);
    assert_eq!(rig.status("p").sha256, sha256(&new));
}

#[tokio::test]
async fn a_plugin_that_installs_firmware_says_whose() {
    let setup = Setup::new();
    setup.put("all.wasm", &guest("probe"));
    setup.put("some.toml", b"component = \"all.wasm\"\n[firmware]\ndevices = [\"child-1\"]");
    setup.put("all.toml", b"");
    setup.put("none.wasm", &guest("sequence"));
    setup.put("none.toml", b"[firmware]\ndevices = [\"child-1\"]");
    let mut rig = setup.start();
    for _ in 0..3 {
        let (plugin, told) = rig
            .until(|event| match event {
                PluginEvent::Up { plugin, firmware, .. } => Some((plugin.clone(), firmware.clone())),
                _ => None,
            })
            .await;
        let wanted = match plugin.as_str() {
            "all" => Some(FirmwareScope::default()),
            "some" => Some(FirmwareScope { devices: vec!["child-1".to_owned()] }),
            _ => None,
        };
        assert_eq!((&told, &rig.status(&plugin).firmware), (&wanted, &wanted), "{plugin}");
    }
}
