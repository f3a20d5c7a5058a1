//! The process itself, through `wasi:cli`.

use crate::hostile::fixture::Fixture;
use crate::hostile::wall::{Ends, Wall, Word};

pub(super) fn walls() -> Vec<Wall> {
    let process = |name, way: &str, words| Wall::new(Word::Process, name, Fixture::Process, words).config("way", way);
    vec![
        process("process-environment", "look", "nothing there").asks(r#"environment = ["HOSTILE_SECRET", "PATH"]"#),
        process("process-exit", "exit", "exit").ends(Ends::Quarantined),
        process("process-abort", "abort", "unreachable").ends(Ends::Quarantined),
    ]
}
