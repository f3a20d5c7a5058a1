//! The program from outside: exit codes, messages, walls.

// clippy gives leave to test functions only; what they call is test code too.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

/// The smallest component: a preamble and nothing else.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn compile(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgeplug-compiler"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("compiler");
    // A child that has read enough closes its end.
    let _ = child.stdin.take().expect("pipe").write_all(input);
    child.wait_with_output().expect("output")
}

/// A plugin that is one function, and others that nobody calls.
fn component(others: &[Vec<u8>]) -> Vec<u8> {
    let output = compile(&["componentize"], &core_module_with(SAMPLE, others));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A module that exports `sensor` and answers a failure without words, as any compiler could have made it.
fn core_module(export: &str) -> Vec<u8> {
    core_module_with(export, &[])
}

/// The same with more functions, bodies without their length, which nobody calls.
fn core_module_with(export: &str, others: &[Vec<u8>]) -> Vec<u8> {
    let named = |name: &str, kind: &[u8]| [leb(name.len()), name.as_bytes().to_vec(), kind.to_vec()].concat();
    let answer = [4, 0, 0x41, 0, 0x0b].to_vec();
    let others_coded = others.iter().flat_map(|body| [leb(body.len()), body.clone()].concat());
    let bodies: Vec<u8> = answer.into_iter().chain(others_coded).collect();
    let exports = [vec![2], named("memory", &[2, 0]), named(export, &[0, 0])].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 1, 0x7f]),
        section(3, &[leb(others.len() + 1), vec![0; others.len() + 1]].concat()),
        section(5, &[1, 0, 1]),
        section(7, &exports),
        section(10, &[leb(others.len() + 1), bodies].concat()),
    ]
    .concat()
}

const SAMPLE: &str = "edgeplug:plugin/sensor@0.2.0#sample";

fn refusal(arguments: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let output = compile(arguments, input);
    assert!(output.stdout.is_empty(), "nothing half made is written");
    (output.status.code(), String::from_utf8(output.stderr).expect("utf-8"))
}

#[test]
fn a_component_becomes_an_artefact() {
    let output = compile(&[], &component(&[]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.get(..4), Some(&b"\x7fELF"[..]));
}

#[test]
fn an_artefact_may_be_for_the_interpreter_or_for_any_processor() {
    let component = component(&[]);
    let holds = |artefact: &[u8], name: &str| artefact.windows(name.len()).any(|window| window == name.as_bytes());
    for (arguments, is_bytecode, is_for_this_processor) in
        [(&[][..], false, true), (&["--portable"], false, false), (&["--engine", "interpreter"], true, false)]
    {
        let output = compile(arguments, &component);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(holds(&output.stdout, "pulley"), is_bytecode, "{arguments:?}");
        // wasmtime writes down which of the processor's extensions were counted on; this one is fifteen years old.
        if cfg!(target_arch = "x86_64") {
            assert_eq!(holds(&output.stdout, "has_sse41\u{2}\u{1}"), is_for_this_processor, "{arguments:?}");
        }
    }
}

#[test]
fn what_is_no_component_is_refused_in_words() {
    let (code, words) = refusal(&[], b"\0asm\x01\0\0\0");
    assert_eq!(code, Some(4));
    assert!(words.contains("core module") && words.contains("edgeplug plugin build"), "{words}");
    let (code, words) = refusal(&[], b"#!/bin/sh");
    assert_eq!(code, Some(4));
    assert!(words.contains("not WebAssembly"), "{words}");
    assert_eq!(refusal(&[], b"").0, Some(4));
}

#[test]
fn a_component_that_the_daemon_could_not_run_is_refused_uncompiled() {
    let (code, words) = refusal(&[], EMPTY_COMPONENT);
    assert_eq!(code, Some(5));
    assert!(words.contains("it exports nothing; export at least one of"), "{words}");
}

#[test]
fn a_file_is_told_from_outside() {
    for (input, form, fits) in [
        (component(&[]), "component", true),
        (core_module(SAMPLE), "module", false),
        (b"#!/bin/sh".to_vec(), "unknown", false),
    ] {
        let output = compile(&["inspect"], &input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
        assert_eq!((found["form"].as_str(), found["fits"].as_bool()), (Some(form), Some(fits)), "{found}");
        assert_eq!(found["size"], input.len());
    }
}

#[test]
fn a_component_that_is_a_bomb_takes_nobody_along() {
    for (what, bomb) in [("types in types", nested_types(20_000)), ("many instances of much", instances(20_000, 2_000))]
    {
        for job in [&["inspect"][..], &[]] {
            let arguments = [job, &["--cpu-s", "20", "--memory-mb", "512"]].concat();
            let output = compile(&arguments, &bomb);
            let words = String::from_utf8_lossy(&output.stderr);
            let is_judged =
                matches!(output.status.code(), Some(0 | 5)) || matches!(output.status.signal(), Some(6 | 24));
            assert!(is_judged, "{what}: {:?} {words}", output.status);
        }
    }
}

/// Instance types in instance types; the parser goes down with them.
fn nested_types(levels: usize) -> Vec<u8> {
    let types = [vec![1], [0x42, 1, 1].repeat(levels), vec![0x42, 0]].concat();
    [EMPTY_COMPONENT.to_vec(), section(7, &types)].concat()
}

/// A component with many exports, instantiated many times: each instance is a list of all of them.
fn instances(exports: usize, instances: usize) -> Vec<u8> {
    let names: String = (0..exports).map(|number| format!("(export \"f{number}\" (type $t))")).collect();
    let made = "(instance (instantiate $c))".repeat(instances);
    wat::parse_str(format!("(component (component $c (type $t u8) {names}) {made})")).expect("a component")
}

#[test]
fn a_broken_component_is_refused_in_one_line() {
    let (code, words) = refusal(&[], &[EMPTY_COMPONENT, &[1, 200, 1, 0]].concat());
    assert_eq!(code, Some(5));
    assert_eq!(words.lines().count(), 1, "{words}");
}

#[test]
fn too_much_input_is_refused() {
    let (code, words) = refusal(&[], &vec![0; (64 << 20) + 1]);
    assert_eq!(code, Some(3));
    assert!(words.contains("64 MiB"), "{words}");
}

#[test]
fn the_limit_on_processor_time_ends_with_its_own_signal() {
    let output = compile(&["--cpu-s", "1"], &laborious_component());
    // 24 is SIGXCPU; SIGKILL could be anybody's.
    assert_eq!(output.status.signal(), Some(24), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A plugin with five thousand functions more, each a long sum: some seconds of work.
fn laborious_component() -> Vec<u8> {
    const FUNCTIONS: usize = 5000;
    // One local, so that the sum is not known beforehand.
    let body = [vec![1, 1, 0x7f, 0x20, 0], [0x20, 0, 0x6a, 0x20, 0, 0x6c].repeat(400), vec![0x0b]].concat();
    component(&vec![body; FUNCTIONS])
}
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], leb(content.len()), content.to_vec()].concat()
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

#[test]
fn a_wrong_argument_is_refused() {
    assert_eq!(refusal(&["--output", "x"], EMPTY_COMPONENT).0, Some(2));
}

#[test]
fn it_refuses_to_write_into_a_file() {
    let directory = std::env::temp_dir();
    let path = directory.join(format!("edgeplug-compiler-test-{}", std::process::id()));
    let file = std::fs::File::create(&path).expect("file");
    let status = Command::new(env!("CARGO_BIN_EXE_edgeplug-compiler"))
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::null())
        .status()
        .expect("compiler");
    std::fs::remove_file(&path).expect("remove");
    assert_eq!(status.code(), Some(7));
}

#[test]
fn a_core_module_becomes_a_component_with_the_exports_it_has() {
    let component = compile(&["componentize"], &core_module(SAMPLE));
    assert!(component.status.success(), "{}", String::from_utf8_lossy(&component.stderr));
    let holds = |name: &str| component.stdout.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(holds("edgeplug:plugin/sensor@0.2.0") && !holds("edgeplug:plugin/commands@0.2.0"));
    let artefact = compile(&[], &component.stdout);
    assert!(artefact.status.success(), "{}", String::from_utf8_lossy(&artefact.stderr));
}

#[test]
fn what_does_not_become_a_component_is_refused_in_words() {
    for (input, code, says) in [
        (EMPTY_COMPONENT.to_vec(), 4, "component already"),
        (b"#!/bin/sh".to_vec(), 4, "not WebAssembly"),
        (core_module("main"), 5, "exports nothing of `plugin`"),
        (core_module("edgeplug:plugin/commands@0.2.0#handle"), 5, "handle"),
        (core_module("edgeplug:plugin/sensor@0.9.0#sample"), 5, "sensor"),
        (core_module(SAMPLE).into_iter().take(60).collect(), 5, "core module"),
        ([core_module(SAMPLE), section(0, b"\x0ecomponent-type")].concat(), 5, "core module"),
    ] {
        let (found, words) = refusal(&["componentize"], &input);
        assert_eq!(found, Some(code), "{words}");
        assert!(words.contains(says) && words.lines().count() == 1, "{words}");
    }
    let (code, words) = refusal(&["componentize", "--world", "dance"], &core_module(SAMPLE));
    assert_eq!(code, Some(5));
    assert!(words.contains("sensor-plugin"), "{words}");
}

#[test]
fn a_damaged_module_never_kills_the_compiler() {
    let whole = core_module(SAMPLE);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..200 {
        let mut module = whole.clone();
        // Xorshift: the same on every machine.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (place, bits) = (usize::try_from(random >> 16).expect("64 bits") % (module.len() - 8) + 8, random as u8);
        if let Some(byte) = module.get_mut(place) {
            *byte ^= bits;
        }
        let output = compile(&["componentize"], &module);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 5)), "byte {place} ^ {bits}: {:?} {words}", output.status);
    }
}

#[test]
fn bindings_are_written_for_a_world_or_a_list_of_exports() {
    let directory = std::env::temp_dir().join(format!("edgeplug-bindings-test-{}", std::process::id()));
    let out = directory.to_str().expect("utf-8");
    for (language, world, file, holds) in [
        ("c", "plugin", "plugin.h", "exports_edgeplug_plugin_sensor_sample"),
        ("c", "sensor,commands", "guest.h", "exports_edgeplug_plugin_commands_handle"),
        ("go", "plugin", "exports/wit_exports/wit_exports.go", "edgeplug:plugin/sensor@0.2.0#sample"),
        ("rust", "plugin", "imports.rs", "pub enum Outcome"),
        ("rust", "plugin", "twin_events.rs", "export_twin_events"),
        ("markdown", "plugin", "plugin.md", "How something the cloud asked for ended."),
    ] {
        let package = if language == "go" { &["--package", "example.org/sdk"][..] } else { &[] };
        let arguments = [&["bindings", "--lang", language, "--world", world, "--out", out], package].concat();
        let output = compile(&arguments, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(directory.join(file)).expect(file);
        assert!(text.contains(holds), "{file} lacks {holds}");
    }
    std::fs::remove_dir_all(&directory).expect("remove");
    let (code, words) = refusal(&["bindings", "--lang", "c", "--world", "dance", "--out", out], b"");
    assert_eq!(code, Some(2));
    assert!(words.contains("sensor-plugin") && !directory.exists(), "{words}");
}

#[test]
fn the_walls_are_up_before_the_first_byte_is_read() {
    for job in [&[][..], &["inspect"], &["componentize"]] {
        the_walls_are_up(job);
    }
}

fn the_walls_are_up(job: &[&str]) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgeplug-compiler"))
        .args(job)
        .args(["--cpu-s", "7", "--memory-mb", "300"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("compiler");
    let proc = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap_or_default();
    // It waits for input once everything else is done; the last wall to go up is seccomp.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !proc("status").contains("Seccomp:\t2") {
        assert!(std::time::Instant::now() < limit, "no seccomp within 10 s; does this kernel have it?");
        std::thread::yield_now();
    }
    let (status, limits) = (proc("status"), proc("limits"));
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let memory = (300u64 << 20).to_string();
    for (name, soft, hard) in [
        // The kernel tells of the soft limit before it kills at the hard one.
        ("Max cpu time", "7", "12"),
        ("Max address space", &memory, &memory),
        ("Max file size", "0", "0"),
        ("Max core file size", "0", "0"),
        ("Max open files", "0", "0"),
        ("Max processes", "0", "0"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).expect(name);
        let values: Vec<_> = line.trim_start_matches(name).split_whitespace().take(2).collect();
        assert_eq!(values, [soft, hard], "{name}");
    }
    drop(child.stdin.take());
    // An empty file is a finding, and no plugin.
    assert_eq!(child.wait().expect("end").code(), Some(if job == ["inspect"] { 0 } else { 4 }));
}
