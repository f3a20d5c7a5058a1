//! `compile`, and files that would take down whoever parses them.

use serde_json::Value;

use crate::rig::{EMPTY_MODULE, Rig};

#[test]
fn components_are_compiled_for_an_image() {
    let rig = Rig::new();
    rig.guest("echo-commands");
    rig.guest("traps");
    let said = rig.plugin(["compile", "echo-commands.wasm", "traps.wasm", "--output", "image/compiled"]);
    assert_eq!((said.code, said.out.lines().count()), (0, 2), "{said:?}");
    let said = rig.plugin(["compile", "traps.wasm", "-o", "image/compiled", "--engine", "interpreter", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&answer[0]["file"], &answer[0]["engine"]), (&"traps.wasm".into(), &"interpreter".into()));
    let written = std::fs::metadata(rig.path(answer[0]["output"].as_str().unwrap())).unwrap();
    assert_eq!(answer[0]["size"], written.len());
    let mut endings: Vec<_> = std::fs::read_dir(rig.path("image/compiled"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().split_once('.').unwrap().1.to_owned())
        .collect();
    endings.sort();
    assert_eq!(endings, ["cwasm", "cwasm", "cwasm", "cwasm.sha256", "cwasm.sha256", "cwasm.sha256"]);
}

#[test]
fn what_no_daemon_takes_is_not_compiled() {
    let rig = Rig::new();
    rig.write("core.wasm", EMPTY_MODULE);
    let said = rig.plugin(["compile", "core.wasm", "-o", "compiled"]);
    assert_eq!(said.code, 35, "{said:?}");
    assert!(said.err.contains("core.wasm: it is a core module"), "{said:?}");
    assert_eq!(std::fs::read_dir(rig.path("compiled")).unwrap().count(), 0);
    assert_eq!(rig.plugin(["compile", "core.wasm", "-o", "compiled", "--engine", "winch"]).code, 2);
}

#[test]
fn a_file_that_kills_its_parser_is_a_finding() {
    let rig = Rig::new();
    // Instance types in instance types (component model, `Binary.md`).
    let types = [vec![1], [0x42, 1, 1].repeat(20_000), vec![0x42, 0]].concat();
    let length = [0x80 | (types.len() & 0x7f) as u8, 0x80 | (types.len() >> 7 & 0x7f) as u8, (types.len() >> 14) as u8];
    rig.write("bomb.wasm", [b"\0asm\x0d\0\x01\0\x07".as_slice(), &length, &types].concat());
    for arguments in [&["inspect", "bomb.wasm"][..], &["build", "bomb.wasm"], &["compile", "bomb.wasm", "-o", "out"]] {
        let said = rig.plugin(arguments.iter().copied());
        assert_eq!(said.code, 35, "{said:?}");
        assert!(said.err.contains("bomb.wasm: "), "{said:?}");
    }
}
