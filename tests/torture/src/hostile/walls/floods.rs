//! More than anybody needs of everything that is cheap.

use crate::hostile::fixture::Fixture;
use crate::hostile::wall::{Ends, Wall, Word};

pub(super) fn walls() -> Vec<Wall> {
    let flood = |word, name, way: &str, words| Wall::new(word, name, Fixture::Floods, words).config("way", way);
    let ends = Ends::Quarantined;
    vec![
        flood(Word::HostCallFlood, "flood-of-calls", "config", "").ends(ends).short(),
        flood(Word::HostCallFlood, "flood-of-clocks", "clock", "").ends(ends),
        flood(Word::HostCallFlood, "flood-of-randomness", "random", "").ends(ends),
        flood(Word::HostCallFlood, "flood-of-refusals", "files", "").ends(ends),
        flood(Word::HostCallFlood, "flood-of-looks-at-the-store", "state-get", "").ends(ends),
        flood(Word::HostCallFlood, "flood-of-writes-to-the-store", "state-set", "too often").ends(Ends::Contained),
        flood(Word::HostCallFlood, "flood-of-twin-reports", "twin", "").ends(ends),
        flood(Word::HostCallFlood, "flood-of-disconnections", "disconnect", "")
            .asks("disconnect = true")
            .allows("allow_disconnect = true")
            .ends(ends),
        flood(Word::HostCallFlood, "flood-of-readings", "send", "tried").config("calls", "3").short(),
        flood(Word::HostCallFlood, "flood-of-readings-without-end", "send", "").ends(ends),
        flood(Word::HostCallFlood, "flood-of-progress", "progress", "").config("calls", "3000"),
        flood(Word::LogFlood, "flood-of-log-lines", "log", "line").config("calls", "3000").short(),
        flood(Word::LogFlood, "flood-of-log-lines-without-end", "log", "line").ends(ends),
        flood(Word::LogFlood, "flood-of-long-log-lines", "long-log", "xxxxxxxx").ends(ends),
        flood(Word::HostCallFlood, "flood-of-bytes", "bytes", "").ends(ends),
        flood(Word::LogFlood, "write-of-8-mib-at-once", "write", "").ends(ends),
        flood(Word::LogFlood, "flood-of-output", "output", "line").ends(ends),
    ]
}
