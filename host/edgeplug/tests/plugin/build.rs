//! `new`, `build` and `inspect`.

use serde_json::Value;

use crate::rig::{EMPTY_MODULE, Rig};

#[test]
fn a_new_project_in_c_builds_tests_and_runs_at_once() {
    let rig = Rig::new();
    let said = rig.plugin(["new", "--lang", "c", "roof-station"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("cd roof-station"), "{said:?}");
    let make = |target: &str| {
        let said = rig.make(["-C", "roof-station", target]);
        assert_eq!(said.code, 0, "make {target}: {said:?}");
        said
    };
    let built = make("all");
    assert!(built.out.contains("made a component of a core module"), "{built:?}");
    assert!(!built.err.contains("warning"), "{built:?}");
    assert!(make("test").out.contains("3 tests passed"));
    assert!(make("try").out.contains("61 readings"));
    assert_eq!(rig.plugin(["new", "--lang", "c", "roof-station"]).code, 33);
}

#[test]
fn a_component_is_told_from_what_is_none() {
    let rig = Rig::new();
    rig.guest("echo-commands");
    let said = rig.plugin(["inspect", "echo-commands.wasm", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&answer["form"], &answer["fits"]), (&"component".into(), &true.into()));
    assert_eq!(answer["provides"]["commands"], true);
    assert!(rig.plugin(["inspect", "echo-commands.wasm"]).out.contains("edgeplug:plugin/commands@"));

    for (name, content, says) in [
        ("module.wasm", EMPTY_MODULE, "edgeplug plugin build"),
        ("script.wasm", b"#!/bin/sh".as_slice(), "not WebAssembly"),
        ("empty.wasm", b"".as_slice(), "empty"),
    ] {
        rig.write(name, content);
        let said = rig.plugin(["inspect", name]);
        assert_eq!(said.code, 35, "{said:?}");
        assert!(said.err.contains(name) && said.err.contains(says), "{said:?}");
    }
    assert_eq!(rig.plugin(["inspect", "nothing.wasm"]).code, 1);
}

#[test]
fn what_does_not_fit_is_never_written() {
    let rig = Rig::new();
    rig.write("core.wasm", EMPTY_MODULE);
    rig.write("out.wasm", "before");
    for arguments in [["build", "core.wasm", "-o", "out.wasm"], ["build", "out.wasm", "-o", "core.wasm"]] {
        let said = rig.plugin(arguments);
        assert_eq!(said.code, 35, "{said:?}");
        assert!(said.err.contains(arguments[1]), "{said:?}");
    }
    assert_eq!(std::fs::read(rig.path("core.wasm")).unwrap(), EMPTY_MODULE);
    assert_eq!(std::fs::read(rig.path("out.wasm")).unwrap(), b"before");
}

#[test]
fn a_component_stays_what_it_is() {
    let rig = Rig::new();
    let before = std::fs::read(rig.guest("echo-commands")).unwrap();
    let said = rig.plugin(["build", "echo-commands.wasm", "-o", "copy.wasm", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&answer["was_component"], &answer["written"]), (&true.into(), &true.into()));
    assert_eq!(std::fs::read(rig.path("copy.wasm")).unwrap(), before);
    assert!(rig.plugin(["build", "echo-commands.wasm"]).out.contains("component already"));
}
