use std::fmt::Write as _;
use std::path::Path;

use wit_parser::{Resolve, Type, TypeDefKind, WorldItem};

use super::*;

/// `wit/` as lines of `interface.txt`, by another reader than the one under test.
fn interface_of_wit() -> String {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(wit).expect("wit/ is sound");
    let world = resolve.select_world(&[package], Some("plugin")).expect("the world `plugin`");
    let mut lines = String::new();
    let world = &resolve.worlds[world];
    for (direction, items) in [("import", &world.imports), ("export", &world.exports)] {
        for item in items.values() {
            let WorldItem::Interface { id, .. } = item else { continue };
            let interface = &resolve.interfaces[*id];
            for function in interface.functions.values() {
                let name = interface.name.as_deref().expect("a named interface");
                let params: Vec<_> = function
                    .params
                    .iter()
                    .map(|param| format!("{}: {}", param.name, text(&resolve, &param.ty)))
                    .collect();
                let result = function.result.map_or(String::new(), |result| format!(" -> {}", text(&resolve, &result)));
                writeln!(lines, "{direction} {name}.{}: func({}){result}", function.name, params.join(", "))
                    .expect("text");
            }
        }
    }
    lines
}

fn text(resolve: &Resolve, held: &Type) -> String {
    let optional = |held: &Option<Type>| held.map_or("_".to_owned(), |held| text(resolve, &held));
    let Type::Id(id) = held else {
        return match held {
            Type::String => "string".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
    };
    match &resolve.types[*id].kind {
        TypeDefKind::Type(held) => text(resolve, held),
        TypeDefKind::List(held) => format!("list<{}>", text(resolve, held)),
        TypeDefKind::Option(held) => format!("option<{}>", text(resolve, held)),
        TypeDefKind::Result(sides) => format!("result<{}, {}>", optional(&sides.ok), optional(&sides.err)),
        TypeDefKind::Tuple(tuple) => {
            format!("tuple<{}>", tuple.types.iter().map(|held| text(resolve, held)).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter().map(|field| format!("{}: {}", field.name, text(resolve, &field.ty)));
            format!("record {{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter().map(|case| match &case.ty {
                Some(held) => format!("{} {}", case.name, text(resolve, held)),
                None => case.name.clone(),
            });
            format!("variant {{ {} }}", cases.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Enum(names) => {
            format!("enum {{ {} }}", names.cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>().join(", "))
        }
        other => panic!("`interface.txt` has no way to write {other:?}"),
    }
}

#[test]
fn what_is_compared_is_what_wit_says() {
    let wanted = interface_of_wit();
    if wanted != INTERFACE {
        let file = std::env::temp_dir().join("interface.txt");
        std::fs::write(&file, &wanted).expect("write");
        panic!("wit/ has changed: copy {} to src/inspect/interface.txt", file.display());
    }
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {text})")).expect("a component")
}

/// An instance with one function that takes nothing and returns a number, exported under this name.
fn exporting(interface: &str, function: &str) -> Vec<u8> {
    component(&format!(
        r#"(core module $m (func (export "f") (result i32) i32.const 0))
           (core instance $i (instantiate $m))
           (func $f (result u32) (canon lift (core func $i "f")))
           (instance $s (export "{function}" (func $f)))
           (export "{interface}" (instance $s))"#
    ))
}

#[test]
fn what_does_not_fit_is_told_with_what_there_is_and_what_to_do() {
    let again = "build it again with this daemon's SDK";
    let cases: [(Vec<u8>, &[&str]); 15] = [
        (
            component(r#"(import "edgeplug:plugin/log@0.1.0" (instance (export "log" (func))))"#),
            &["built for edgeplug:plugin@0.1.0", "offers 0.2.0", again],
        ),
        (exporting("edgeplug:plugin/sensor@0.3.0", "sample"), &["edgeplug:plugin@0.3.0", "offers 0.2.0", again]),
        (
            component(r#"(import "acme:bus/can@1.0.0" (instance))"#),
            &["imports acme:bus/can@1.0.0", "offers", "leave out"],
        ),
        (component(r#"(import "wasi:cli/stdin@0.3.0" (instance))"#), &["wasi:cli/stdin@0.3.0", "WASI 0.2", "wasip2"]),
        (component(r#"(import "wasi:http/types@0.2.4" (instance))"#), &["wasi:http/types@0.2.4", "no network"]),
        (
            component(r#"(import "edgeplug:plugin/lasers@0.2.0" (instance))"#),
            &["edgeplug:plugin/lasers", "does not have", again],
        ),
        (
            component(r#"(import "edgeplug:plugin/files@0.2.0" (instance (export "write" (func))))"#),
            &["calls files.write", "does not have", again],
        ),
        (
            component(
                r#"(import "edgeplug:plugin/config@0.2.0" (instance (export "get" (func (param "key" string)))))"#,
            ),
            &["`func(key: string)`", "`func(key: string) -> option<string>`", again],
        ),
        (
            exporting("edgeplug:plugin/sensor@0.2.0", "sample"),
            &["sensor.sample is `func() -> u32`", "wants `func() -> result<list<record", again],
        ),
        (exporting("edgeplug:plugin/sensor@0.2.0", "simple"), &["export sensor lacks the function sample", again]),
        (component(""), &["exports nothing", "sensor, commands, twin-events"]),
        (exporting("acme:bus/can@1.0.0", "run"), &["exports nothing that this daemon calls", "at least one of"]),
        (exporting("wasi:cli/run@0.2.0", "run"), &["is a program", "crate-type"]),
        (
            wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#).expect("a module"),
            &["a core module", "runs components", "edgeplug plugin build"],
        ),
        (b"#!/bin/sh".to_vec(), &["not WebAssembly"]),
    ];
    for (bytes, words) in cases {
        let inspection = inspect(&bytes);
        let problem = inspection.problem.expect("it does not fit");
        assert!(!inspection.fits && words.iter().all(|word| problem.contains(word)), "{problem}");
    }
}

#[test]
fn what_is_cut_short_or_spoilt_is_said_so() {
    let whole = exporting("edgeplug:plugin/sensor@0.2.0", "sample");
    for bytes in [&whole[..whole.len() / 2], b"\0asm\x0d\0\x01\0\xff\xff", b"\0asm\x01\0\0\0\x01"] {
        let inspection = inspect(bytes);
        assert_eq!(inspection.form, Form::Broken);
        assert!(inspection.problem.expect("a problem").starts_with("it is broken or cut short"));
    }
    assert_eq!(inspect(b"").form, Form::Unknown);
    // Each byte on its own: whatever comes out, it comes out.
    for position in 0..whole.len() {
        let mut spoilt = whole.clone();
        spoilt[position] ^= 0xff;
        assert!(!inspect(&spoilt).fits);
    }
}

#[test]
fn types_that_unfold_without_end_are_cut() {
    let mut types = "(type $t0 (tuple u8 u8))".to_owned();
    for level in 1..16 {
        write!(types, "(type $t{level} (tuple $t{} $t{}))", level - 1, level - 1).expect("text");
    }
    let bytes = component(&format!(
        r#"(import "edgeplug:plugin/log@0.2.0" (instance {types} (export "log" (func (param "level" $t15)))))"#
    ));
    let problem = inspect(&bytes).problem.expect("it does not fit");
    assert!(problem.contains("calls log.log as `func(level: tuple<tuple<"), "{problem}");
    assert!(problem.len() < 4000);
}

#[test]
fn a_module_tells_where_it_imports_from_and_who_made_it() {
    let text = r#"(module (import "env" "a" (func)) (import "env" "b" (func)) (func (export "go"))
        (@producers (language "Rust" "1.95") (processed-by "x\nforged" "1")))"#;
    let inspection = inspect(&wat::parse_str(text).expect("a module"));
    assert_eq!(
        (inspection.form, inspection.imports, inspection.exports),
        (Form::Module, vec!["env".to_owned()], vec!["go".to_owned()])
    );
    let producer = |name: &str, version: &str| (name.to_owned(), version.to_owned());
    assert_eq!(inspection.producers, [producer("Rust", "1.95"), producer("x\\nforged", "1")]);
}
