//! Components that do not fit, in the directory and by their bytes.

use edgeplug_plugins::{Exports, Form, inspect};

use crate::rig::{Rig, guest};

#[test]
fn a_plugin_that_exports_everything_fits_and_tells_what_it_calls() {
    let probe = inspect(&guest("probe"));
    assert_eq!((probe.problem, probe.fits, probe.form), (None, true, Form::Component));
    let Exports { sensor, commands, twin_events, connection_events, firmware, lifecycle, transform } = probe.provides;
    assert!(sensor && commands && twin_events && connection_events && firmware && lifecycle && transform);
    assert!(probe.imports.contains(&"edgeplug:plugin/twin@0.2.0".to_owned()), "{:?}", probe.imports);
    for call in ["device.disconnect", "files.read-at", "firmware-file.read", "i2c.transaction"] {
        assert!(probe.calls.iter().any(|called| called == call), "{call}: {:?}", probe.calls);
    }
    assert!(probe.producers.iter().any(|(name, _)| name == "Rust"), "{:?}", probe.producers);
    assert_eq!((probe.sha256.len(), probe.size), (64, u64::try_from(guest("probe").len()).expect("size")));
}

#[test]
fn a_plugin_with_one_export_fits() {
    for name in ["echo-commands", "hog", "loops", "reader", "sequence", "ten-readings", "traps"] {
        assert_eq!(inspect(&guest(name)).problem, None, "{name}");
    }
}

#[tokio::test]
async fn the_directory_tells_the_same_and_compiles_nothing() {
    let mut setup = crate::rig::Setup::new();
    setup.options.compiler = "/nowhere/edgeplug-compiler".into();
    let mut rig: Rig = setup.start();
    let old = wat::parse_str(r#"(component (import "edgeplug:plugin/log@0.1.0" (instance)))"#).expect("a component");
    rig.put("old.wasm", &old);
    let reason = rig.refused("old").await;
    assert_eq!(
        reason,
        "it was built for edgeplug:plugin@0.1.0; this daemon offers 0.2.0: build it again with this daemon's SDK"
    );
    assert_eq!(inspect(&old).problem, Some(reason.clone()));
    assert!(rig.log("old").contains(&reason), "in its own log too");
}
