//! Signatures and releases, on the way from the directory to the plugin.

use std::time::Duration;

use edgeplug_plugins::{Change, PluginEvent, PluginState, SignatureMode, SignaturePolicy};
use minisign::KeyPair;

use crate::rig::{Rig, Setup, guest, variant};

struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().expect("keys"))
    }

    fn policy(&self, mode: SignatureMode) -> SignaturePolicy {
        SignaturePolicy::new(mode, &[self.0.pk.to_base64()]).expect("keys")
    }

    fn sign(&self, component: &[u8], release: &str) -> Vec<u8> {
        let comment = format!("version:{release} file:p.wasm");
        let signed = minisign::sign(Some(&self.0.pk), &self.0.sk, component, Some(&comment), None);
        signed.expect("signature").into_string().into_bytes()
    }

    /// First the signature, so that the component is never seen without.
    fn put(&self, rig: &Rig, component: &[u8], release: &str) {
        rig.put("p.wasm.minisig", &self.sign(component, release));
        rig.put("p.wasm", component);
    }

    fn setup(&self, mode: SignatureMode) -> Setup {
        let mut setup = Setup::new().probation(1, Duration::ZERO);
        setup.options.signature = self.policy(mode);
        setup
    }
}

#[tokio::test]
async fn an_unsigned_component_waits_for_its_signature() {
    let signer = Signer::new();
    let setup = signer.setup(SignatureMode::Require);
    setup.put("p.wasm", &guest("traps"));
    let mut rig = setup.start();
    let reason = rig.refused("p").await;
    assert!(reason.contains("is not signed") && reason.contains("minisign -S"), "{reason}");
    assert_eq!(rig.status("p").state, PluginState::Refused);
    rig.put("p.wasm.minisig", &Signer::new().sign(&guest("traps"), "1.0.0"));
    assert!(rig.refused("p").await.contains("none of ours"));
    rig.put("p.wasm.minisig", &signer.sign(&guest("traps"), "1.2.0"));
    assert_eq!(rig.up("p").await, Change::First);
    let status = rig.status("p");
    assert_eq!(status.version.as_deref(), Some("1.2.0"));
    assert_eq!(status.signed_by.expect("a key").len(), 16);
}

#[tokio::test]
async fn an_older_release_is_refused_once_a_newer_one_proved_itself() {
    let signer = Signer::new();
    let mut rig = signer.setup(SignatureMode::Require).start();
    signer.put(&rig, &guest("sequence"), "2.0.0");
    rig.up("p").await;
    signer.put(&rig, &variant(&guest("sequence"), 1), "1.0.0");
    assert_eq!(rig.up("p").await, Change::Replaced, "nothing is proved yet");
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    signer.put(&rig, &variant(&guest("sequence"), 2), "2.0.0");
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    signer.put(&rig, &variant(&guest("sequence"), 3), "1.9.9");
    let reason = rig.refused("p").await;
    assert!(reason.contains("1.9.9") && reason.contains("2.0.0"), "{reason}");
    rig.sample("p").await.expect("what runs goes on");
    // Neither a new daemon nor a moment without files changes that.
    let directory = rig.stop().await;
    for name in ["p.wasm", "p.wasm.minisig"] {
        std::fs::remove_file(directory.path().join("plugins").join(name)).expect("remove");
    }
    let mut setup = Setup::after(directory);
    setup.options.signature = signer.policy(SignatureMode::Require);
    let mut rig = setup.start();
    signer.put(&rig, &variant(&guest("sequence"), 3), "1.9.9");
    rig.refused("p").await;
}

#[tokio::test]
async fn we_go_back_to_an_older_release_ourselves() {
    let signer = Signer::new();
    let setup = signer.setup(SignatureMode::Require);
    setup.put("p.toml", b"[config]\nevery = \"1\"");
    let mut rig = setup.start();
    signer.put(&rig, &guest("sequence"), "1.0.0");
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    signer.put(&rig, &guest("traps"), "2.0.0");
    rig.up("p").await;
    rig.sample("p").await.expect_err("a trap");
    rig.rolled_back("p").await;
    assert_eq!(rig.up("p").await, Change::RolledBack);
    assert_eq!(rig.status("p").version.as_deref(), Some("1.0.0"));
    let directory = rig.stop().await;
    let mut setup = Setup::after(directory);
    setup.options.signature = signer.policy(SignatureMode::Require);
    let mut rig = setup.start();
    rig.up("p").await;
    assert_eq!(rig.status("p").version.as_deref(), Some("1.0.0"), "from the shelf, with its signature");
}

#[tokio::test]
async fn a_kept_version_that_nobody_signed_does_not_run_where_signatures_are_required() {
    let setup = Setup::new().probation(1, Duration::ZERO);
    setup.put("p.wasm", &guest("sequence"));
    let mut rig = setup.start();
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    let directory = rig.stop().await;
    std::fs::write(directory.path().join("plugins/p.wasm"), b"broken").expect("write");
    let mut setup = Setup::after(directory);
    setup.options.signature = Signer::new().policy(SignatureMode::Require);
    let mut rig = setup.start();
    rig.until(|event| match event {
        PluginEvent::Up { .. } => panic!("it is up"),
        event => matches!(event, PluginEvent::ScanDone).then_some(()),
    })
    .await;
    assert!(rig.log("p").iter().any(|line| line.contains("the last good version cannot be run")));
}

#[tokio::test]
async fn a_component_without_a_signature_runs_where_that_is_only_said() {
    let signer = Signer::new();
    let setup = signer.setup(SignatureMode::Warn);
    setup.put("p.wasm", &guest("sequence"));
    let mut rig = setup.start();
    rig.up("p").await;
    let status = rig.status("p");
    assert!(status.problem.expect("it is said").contains("is not signed"));
    assert_eq!((status.version, status.signed_by), (None, None));
    rig.put("p.wasm", &variant(&guest("sequence"), 1));
    rig.put("p.wasm.minisig", &signer.sign(&variant(&guest("sequence"), 1), "1.0.0"));
    // The component may be seen before its signature.
    while rig.status("p").problem.is_some() || rig.status("p").version.is_none() {
        rig.up("p").await;
    }
}
