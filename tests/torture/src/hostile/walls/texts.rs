//! What no compiler of a language would write: fixtures in the text format.

use crate::hostile::fixture::Fixture;
use crate::hostile::wall::{Ends, Wall, Word};

fn refused(word: Word, name: &'static str, fixture: Fixture, words: &'static str) -> Vec<Wall> {
    vec![Wall::new(word, name, fixture, words).ends(Ends::Refused)]
}

fn traps(word: Word, name: &'static str, fixture: Fixture, words: &'static str) -> Wall {
    Wall::new(word, name, fixture, words).ends(Ends::Quarantined)
}

pub(super) fn start_loop() -> Vec<Wall> {
    // Instantiation has five seconds, whatever calls have.
    refused(Word::EndlessStart, "loop-before-the-start", Fixture::StartLoop, "")
}

pub(super) fn overlap() -> Vec<Wall> {
    vec![traps(Word::HugeList, "overlapping-texts", Fixture::Overlap, "").short()]
}

pub(super) fn lies() -> Vec<Wall> {
    let lie = |name, way: &str, words| traps(Word::LyingTypes, name, Fixture::Lies, words).config("way", way);
    vec![
        lie("answer-beyond-memory", "answer", "pointer").short(),
        lie("answer-at-an-odd-address", "misaligned", "aligned"),
        lie("list-beyond-memory", "list", "list"),
        lie("list-of-2-to-the-31", "number", "list"),
        lie("answer-of-no-kind", "disposition", "discriminant"),
        lie("value-of-no-kind", "value", "discriminant"),
        lie("error-not-utf-8", "utf-8", "utf-8"),
        lie("text-cut-within-a-character", "split", "utf-8"),
        lie("log-line-not-utf-8", "invalid", "utf-8"),
        lie("log-line-beyond-memory", "j", "string"),
    ]
}

pub(super) fn realloc() -> Vec<Wall> {
    let lie = |word, name, way: &str, words| traps(word, name, Fixture::Realloc, words).config("way", way);
    vec![
        lie(Word::LyingTypes, "room-beyond-memory", "out", "realloc"),
        lie(Word::LyingTypes, "room-at-an-odd-address", "misaligned", "realloc"),
        lie(Word::EndlessLoop, "loop-while-the-host-waits-for-room", "loop", "deadline").short(),
        lie(Word::LyingTypes, "call-while-the-host-waits-for-room", "re-enter", "cannot leave"),
        // Its own memory is its own to spoil.
        lie(Word::LyingTypes, "room-over-itself", "0", "").ends(Ends::Contained),
    ]
}

pub(super) fn handles() -> Vec<Wall> {
    let lie = |word, name, way: &str, words| traps(word, name, Fixture::Handles, words).config("way", way);
    vec![
        lie(Word::HandleConfusion, "forged-handle", "forged", "unknown handle index").short(),
        lie(Word::HandleConfusion, "handle-of-another-type", "type", "handle"),
        lie(Word::HandleConfusion, "handle-dropped-twice", "dropped", "unknown handle index"),
        lie(Word::HandleConfusion, "handle-after-its-end", "used", "unknown handle index"),
        lie(Word::HandleConfusion, "storm-of-handles", "storm", "handle"),
        lie(Word::HandleConfusion, "list-of-a-million-handles", "poll", ""),
        lie(Word::HandleConfusion, "wait-of-five-centuries", "block", "deadline"),
    ]
}

pub(super) fn tables() -> Vec<Wall> {
    vec![Wall::new(Word::TableBomb, "tables-bit-by-bit", Fixture::Tables, "tried").short()]
}

pub(super) fn large_table() -> Vec<Wall> {
    vec![traps(Word::TableBomb, "table-of-800-mb", Fixture::LargeTable, "table")]
}

pub(super) fn large_memory() -> Vec<Wall> {
    vec![traps(Word::MemoryBomb, "memory-of-4-gib", Fixture::LargeMemory, "memory")]
}

pub(super) fn wide_frames() -> Vec<Wall> {
    vec![traps(Word::StackBomb, "wide-frames", Fixture::WideFrames, "call stack exhausted").short()]
}

pub(super) fn forged_names() -> Vec<Wall> {
    vec![traps(Word::LogFlood, "forged-function-name", Fixture::ForgedNames, "unreachable")]
}

pub(super) fn doubling_names() -> Vec<Wall> {
    vec![traps(Word::HugeString, "name-that-doubles", Fixture::DoublingNames, "unreachable").short()]
}

pub(super) fn compiler_bomb() -> Vec<Wall> {
    refused(Word::CompilerBomb, "compiler-bomb", Fixture::CompilerBomb, "compil")
}

pub(super) fn type_nesting() -> Vec<Wall> {
    refused(Word::CompilerBomb, "types-20-000-deep", Fixture::TypeNesting, "")
}

pub(super) fn export_copies() -> Vec<Wall> {
    refused(Word::CompilerBomb, "exports-copied-a-thousand-times", Fixture::ExportCopies, "")
}

pub(super) fn type_tree() -> Vec<Wall> {
    refused(Word::CompilerBomb, "type-of-4-to-the-16-fields", Fixture::TypeTree, "type")
}

pub(super) fn instance_storm() -> Vec<Wall> {
    vec![traps(Word::InstanceStorm, "instance-storm", Fixture::InstanceStorm, "count too high").short()]
}

pub(super) fn instance_tree() -> Vec<Wall> {
    refused(Word::InstanceStorm, "instances-10-to-the-12", Fixture::InstanceTree, "")
}

pub(super) fn wrong_import() -> Vec<Wall> {
    refused(Word::LyingTypes, "import-there-is-not", Fixture::WrongImport, "write")
}

pub(super) fn wrong_result() -> Vec<Wall> {
    let mut walls = refused(Word::LyingTypes, "answer-of-another-type", Fixture::WrongResult, "sample");
    walls = walls.into_iter().map(Wall::short).collect();
    walls
}
