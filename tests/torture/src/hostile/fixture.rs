//! The hostile fixtures as components.
//!
//! Those in Rust are built by `scripts/guests.sh` like every guest. Those in the text format are made here: what begins
//! with `(module` becomes a component of the world below, everything else is taken as it stands.

use anyhow::Context as _;
use edgeplug_test_support::programs;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

include!(concat!(env!("OUT_DIR"), "/fixtures.rs"));

/// What core modules may import beside a sensor's imports, cut down to what they use.
const WASI: &[(&str, &str)] = &[
    (
        "io.wit",
        "package wasi:io@0.2.0;
         interface poll {
             resource pollable { ready: func() -> bool; block: func(); }
             poll: func(in: list<borrow<pollable>>) -> list<u32>;
         }
         interface error { resource error; }
         interface streams {
             use error.{error};
             variant stream-error { last-operation-failed(error), closed }
             resource output-stream { check-write: func() -> result<u64, stream-error>; }
         }",
    ),
    (
        "clocks.wit",
        "package wasi:clocks@0.2.0;
         interface monotonic-clock {
             use wasi:io/poll@0.2.0.{pollable};
             subscribe-duration: func(when: u64) -> pollable;
         }",
    ),
    (
        "hostile.wit",
        "package edgeplug:hostile;
         world hostile {
             import edgeplug:plugin/config@0.2.0;
             import edgeplug:plugin/log@0.2.0;
             import wasi:io/poll@0.2.0;
             import wasi:io/streams@0.2.0;
             import wasi:clocks/monotonic-clock@0.2.0;
             export edgeplug:plugin/sensor@0.2.0;
         }",
    ),
];

impl Fixture {
    /// The bytes of the component.
    ///
    /// # Errors
    /// When a guest is not built, or a text is not what it should be.
    pub fn component(self) -> anyhow::Result<Vec<u8>> {
        let Some(text) = self.text() else {
            let file = programs::guest(self.name())?;
            return std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()));
        };
        let text = repeated(text);
        let bytes = wat::parse_str(&text).with_context(|| format!("{}.wat", self.name()))?;
        if text.lines().any(|line| line == "(module") { componentized(bytes).context(self.name()) } else { Ok(bytes) }
    }
}

fn componentized(mut module: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let wit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    resolve.push_dir(wit)?;
    let mut package = None;
    for (name, text) in WASI {
        package = Some(resolve.push_str(name, text)?);
    }
    let world = resolve.select_world(&[package.context("no package")?], Some("hostile"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().validate(false).module(&module)?.encode()
}

/// Lines between `;; repeat N` and `;; end` N times; `{n}` in them counts from 0. Not nested.
fn repeated(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(count) = line.trim().strip_prefix(";; repeat ").and_then(|count| count.parse::<u64>().ok()) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != ";; end").collect();
        let block = block.join("\n");
        for number in 0..count {
            out.push_str(&block.replace("{n}", &number.to_string()));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_repeated_and_counted() {
        assert_eq!(repeated("a\n ;; repeat 2\nb{n}\n ;; end\nc"), "a\nb0\nb1\nc\n");
        assert_eq!(repeated("a\n;; repeat many\nb"), "a\n;; repeat many\nb\n");
    }

    #[test]
    fn every_fixture_in_text_is_a_component() {
        for fixture in Fixture::ALL.iter().filter(|fixture| fixture.text().is_some()) {
            let bytes = fixture.component().expect("a component");
            assert!(bytes.starts_with(b"\0asm\x0d\0\x01\0"), "{}", fixture.name());
        }
    }
}
