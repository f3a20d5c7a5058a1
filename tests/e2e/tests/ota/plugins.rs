//! Plugins that come by an update: swapped in, on probation, confirmed or taken out again.

use std::path::Path;
use std::process::Command;

use edgeplug_cloud::{Protocol, Update};
use edgeplug_e2e::{Edgeplug, PluginFiles};
use edgeplug_test_support::programs::guest;
use serde_json::Value;

use crate::rig::{LONG, Rig, signed};

/// The component of a guest.
fn component(name: &str) -> Vec<u8> {
    std::fs::read(guest(name).unwrap()).unwrap()
}

/// The same component with a custom section at its end, which makes it another version.
fn noted(mut component: Vec<u8>) -> Vec<u8> {
    component.extend(b"\0\x02\x01v");
    component
}

/// A component with its manifest, as an operator packs them.
fn bundle(directory: &Path, name: &str, component: &[u8], manifest: &str) -> Vec<u8> {
    let file = |extension: &str| format!("{name}.{extension}");
    std::fs::write(directory.join(file("wasm")), component).unwrap();
    std::fs::write(directory.join(file("toml")), manifest).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--format=ustar", "-cf", "-", "-C"]).arg(directory).args([file("wasm"), file("toml")]);
    let packed = tar.output().expect("there is no tar; apt-get install tar");
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    packed.stdout
}

/// What the daemon says of a plugin.
async fn plugin(edgeplug: &Edgeplug, name: &str) -> Value {
    let plugins = edgeplug.plugins().await.unwrap();
    plugins.as_array().unwrap().iter().find(|plugin| plugin["plugin"] == name).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_confirmed_and_a_broken_one_taken_out_with_the_reason() {
    let rig = Rig::new(Protocol::V21).await;
    let manifest = "interval_ms = 100\n[config]\nrun = \"r\"\n";
    rig.world.drop_plugin(PluginFiles { name: "one", guest: "sequence", manifest: Some(manifest) }).unwrap();
    let edgeplug = rig.start().await;
    rig.world.log().wait_for("plugin loaded", 0, LONG).await.unwrap();
    assert_eq!(plugin(&edgeplug, "one").await["origin"]["component"], "operator");

    rig.put("one.wasm", &noted(component("sequence")));
    rig.push(&signed(Update::new("good", "1.5"), "one.wasm"));
    let ack = rig.end_of("good", None).await;
    assert_eq!(ack.status, rig.done(), "{}", ack.message);
    let good = plugin(&edgeplug, "one").await;
    assert_eq!((&good["origin"]["component"], &good["origin"]["manifest"]), (&"ota".into(), &"operator".into()));
    assert_eq!(good["sha256"], rig.world.cloud.firmware().sha256("one.wasm").unwrap());

    rig.put("one.wasm", &component("traps"));
    rig.push(&signed(Update::new("broken", "1.6"), "one.wasm"));
    let ack = rig.end_of("broken", None).await;
    assert_eq!((ack.status, ack.message.contains("trapping as configured")), (4, true), "{ack:?}");
    assert_eq!(plugin(&edgeplug, "one").await["sha256"], good["sha256"]);

    // What came by an update stays over a restart.
    assert!(edgeplug.terminate().await.unwrap().success());
    let edgeplug = rig.start().await;
    let is_back = |status: &Value| status["plugins"].as_array().is_some_and(|plugins| !plugins.is_empty());
    edgeplug.wait_status(is_back, LONG).await.unwrap();
    assert_eq!(plugin(&edgeplug, "one").await["sha256"], good["sha256"]);
    rig.end(edgeplug).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_brings_a_new_plugin_with_its_manifest_if_it_is_signed() {
    let mut rig = Rig::new(Protocol::Legacy).await;
    // Of a bundle a signature is wanted all the same.
    rig.world.set_tables(&format!("{}signature = \"off\"\n", rig.signer.table())).unwrap();
    let manifest = "interval_ms = 100\n[config]\nrun = \"bundled\"\n";
    let bundle = bundle(rig.world.directory(), "new", &component("sequence"), manifest);
    rig.put("new.edgeplug", &bundle);
    let edgeplug = rig.start().await;

    rig.push(&Update::new("unsigned", "1.5").file("new.edgeplug").sha256_in_urls());
    let ack = rig.end_of("unsigned", None).await;
    assert_eq!((ack.status, ack.message.contains("sign")), (4, true), "{ack:?}");
    assert!(plugin(&edgeplug, "new").await.is_null());

    rig.push(&signed(Update::new("signed", "1.5"), "new.edgeplug"));
    let ack = rig.end_of("signed", None).await;
    assert_eq!(ack.status, rig.done(), "{}", ack.message);
    let new = plugin(&edgeplug, "new").await;
    assert_eq!((&new["origin"]["component"], &new["origin"]["manifest"]), (&"ota".into(), &"ota".into()));
    rig.end(edgeplug).await;
}
