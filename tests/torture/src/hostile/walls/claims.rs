//! What is not so, and what is another's.

use crate::hostile::fixture::Fixture;
use crate::hostile::wall::{Ends, Wall, Word};

pub(super) fn walls() -> Vec<Wall> {
    let claim = |word, name, way: &str, words| Wall::new(word, name, Fixture::Claims, words).config("way", way);
    vec![
        claim(Word::LogFlood, "forged-log-line", "log", "ERROR edgeplug: forged").short(),
        claim(Word::LogFlood, "forged-error", "error", "ERROR edgeplug: forged").ends(Ends::Contained),
        claim(Word::Others, "end-of-anothers-update", "finish", "another plugin")
            .config("ids", "victim-1 victim-2 neighbour-1")
            .beside_a_victim(),
        claim(Word::Others, "file-of-anothers-update", "firmware", "no update of this id")
            .config("ids", "victim-1 ../secret/firmware neighbour-1")
            .beside_a_victim()
            .short(),
        claim(Word::Others, "memory-of-another", "state", "nothing")
            .config("ids", "private victim/private ../victim/private")
            .beside_a_victim(),
        claim(Word::Others, "configuration-of-another", "manifest", "own").config("a", "own").beside_a_victim(),
        claim(Word::Value, "impossible-moments", "time", "tried").ends(Ends::Denied),
        claim(Word::Value, "impossible-names", "names", "tried").ends(Ends::Denied),
        claim(Word::Value, "impossible-numbers", "numbers", "tried").ends(Ends::Denied),
    ]
}
