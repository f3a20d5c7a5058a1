//! Components that do not fit, in the directory and by their bytes.

use edgeplug_plugins::{Exports, Form, Inspection};

use crate::rig::{Rig, compiler, guest};

async fn inspect(bytes: &[u8]) -> Inspection {
    edgeplug_plugins::inspect(&compiler(), bytes).await.expect("an answer")
}

#[tokio::test]
async fn a_plugin_that_exports_everything_fits_and_tells_what_it_calls() {
    let probe = inspect(&guest("probe")).await;
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

#[tokio::test]
async fn a_plugin_with_one_export_fits() {
    for name in ["echo-commands", "hog", "loops", "reader", "sequence", "ten-readings", "traps"] {
        assert_eq!(inspect(&guest(name)).await.problem, None, "{name}");
    }
}

#[tokio::test]
async fn the_directory_tells_the_same_and_compiles_nothing() {
    let mut rig = Rig::start();
    let old = wat::parse_str(r#"(component (import "edgeplug:plugin/log@0.1.0" (instance)))"#).expect("a component");
    rig.put("old.wasm", &old);
    let reason = rig.refused("old").await;
    assert_eq!(
        reason,
        "it was built for edgeplug:plugin@0.1.0; this daemon offers 0.2.0: build it again with this daemon's SDK"
    );
    assert_eq!(inspect(&old).await.problem, Some(reason.clone()));
    let cache = std::fs::read_dir(rig.directory.path().join("cache")).expect("cache");
    assert_eq!(cache.count(), 0, "nothing was compiled");
    assert!(rig.log("old").contains(&reason), "in its own log too");
}

#[tokio::test]
async fn a_bomb_in_the_directory_costs_the_compiler_its_life_and_nobody_else() {
    let mut rig = Rig::start();
    rig.put_and_up("traps", &guest("traps")).await;
    // Instance types in instance types (component model, `Binary.md`), three bytes each: a parser that goes down with them
    // runs out of stack.
    let levels = 20_000;
    let types = [vec![1], [0x42, 1, 1].repeat(levels), vec![0x42, 0]].concat();
    let length = types.len();
    let byte = |shift: usize, more: u8| u8::try_from(length >> shift & 0x7f).expect("seven bits") | more;
    let bomb = [b"\0asm\x0d\0\x01\0\x07".to_vec(), vec![byte(0, 0x80), byte(7, 0x80), byte(14, 0)], types].concat();
    rig.put("bomb.wasm", &bomb);
    let reason = rig.refused("bomb").await;
    assert!(reason.contains("used up the compiler's limits") || reason.contains("does not compile"), "{reason}");
    rig.sample("traps").await.expect("samples");
}
