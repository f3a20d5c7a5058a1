//! Loops, sleeps, traps and recursion in every export.

use crate::hostile::fixture::Fixture;
use crate::hostile::task::Errand;
use crate::hostile::wall::{Ends, Wall, Word};

pub(super) fn walls() -> Vec<Wall> {
    let late = "did not answer within its deadline";
    let trapped = "trapping as told";
    let exports = |word, name, how: &str, export: &str, words| {
        Wall::new(word, name, Fixture::Exports, words).config("in", export).config("how", how)
    };
    let ends = Ends::Quarantined;
    vec![
        exports(Word::EndlessLoop, "loop-in-sample", "spin", "sample", late).ends(ends).short(),
        exports(Word::EndlessLoop, "loop-in-command", "spin", "command", late).errand(Errand::Command).ends(ends),
        exports(Word::EndlessLoop, "loop-in-desired-changed", "spin", "desired", late)
            .errand(Errand::Desired)
            .ends(ends),
        exports(Word::EndlessLoop, "loop-in-connection-changed", "spin", "connection", late)
            .errand(Errand::Connection)
            .ends(ends),
        exports(Word::EndlessLoop, "loop-in-update", "spin", "update", late).errand(Errand::Update).ends(ends),
        exports(Word::EndlessLoop, "loop-in-transform", "spin", "transform", late).errand(Errand::Transform).ends(ends),
        exports(Word::EndlessStart, "loop-in-start", "spin", "start", "").ends(Ends::Refused),
        exports(Word::EndlessLoop, "loop-in-save-state", "spin", "save", "saved no state")
            .errand(Errand::Swap)
            .ends(Ends::Contained),
        exports(Word::EndlessLoop, "loop-in-restore-state", "spin", "restore", "does not take the state")
            .errand(Errand::Swap)
            .ends(Ends::Contained),
        exports(Word::EndlessLoop, "loop-in-stop", "spin", "stop", late).errand(Errand::Remove).ends(Ends::Contained),
        exports(Word::EndlessLoop, "sleep-for-ever", "sleep", "sample", late).ends(ends),
        exports(Word::DeepRecursion, "recursion", "recurse", "sample", "deeper").ends(ends).short(),
        exports(Word::Crash, "trap-in-sample", "trap", "sample", trapped).ends(ends).short(),
        exports(Word::Crash, "trap-in-start", "trap", "start", trapped).ends(ends),
        exports(Word::Crash, "trap-in-connection-changed", "trap", "connection", trapped)
            .errand(Errand::Connection)
            .ends(ends),
        exports(Word::Crash, "trap-in-save-state", "trap", "save", "saved no state")
            .errand(Errand::Swap)
            .ends(Ends::Contained),
        exports(Word::Crash, "trap-in-restore-state", "trap", "restore", "does not take the state")
            .errand(Errand::Swap)
            .ends(Ends::Contained),
    ]
}
