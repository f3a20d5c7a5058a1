//! What is too large: memory, answers, arguments.

use crate::hostile::fixture::Fixture;
use crate::hostile::task::Errand;
use crate::hostile::wall::{Ends, Wall, Word};

pub(super) fn walls() -> Vec<Wall> {
    let bomb = |word, name, way: &str, words| Wall::new(word, name, Fixture::Bombs, words).config("way", way);
    vec![
        bomb(Word::MemoryBomb, "memory-bit-by-bit", "memory", "limits.memory_mb").ends(Ends::Quarantined).short(),
        bomb(Word::MemoryBomb, "memory-at-once", "at-once", "a gigabyte"),
        bomb(Word::HugeList, "list-of-131-072-samples", "samples", "").ends(Ends::Contained).short(),
        bomb(Word::HugeList, "sample-of-60-000-values", "values", "").ends(Ends::Contained),
        bomb(Word::HugeList, "send-60-000-samples", "send", "").ends(Ends::Contained),
        bomb(Word::HugeList, "transform-that-multiplies", "", "").errand(Errand::Transform).ends(Ends::Contained),
        bomb(Word::HugeString, "text-of-8-mib", "text", "").ends(Ends::Contained).short(),
        bomb(Word::HugeString, "attribute-name-of-64-kib", "names", "").ends(Ends::Contained),
        bomb(Word::HugeString, "error-of-1-mib", "error", "xxxxxxxx").ends(Ends::Contained),
        bomb(Word::HugeString, "trap-with-1-mib-of-words", "trap", "xxxxxxxx").ends(Ends::Quarantined),
        bomb(Word::HugeString, "log-line-of-1-mib", "log", "xxxxxxxx"),
        bomb(Word::HugeString, "path-of-1-mib", "path", "longer than any file's"),
        bomb(Word::HugeString, "id-of-1-mib", "finish", "a long id"),
        bomb(Word::HugeString, "twin-nested-100-000-deep", "twin", "deep JSON"),
        bomb(Word::HugeString, "pattern-of-stars", "pattern", "a pattern of stars").granted(r#"files = ["/etc/*"]"#),
        bomb(Word::HugeString, "state-of-1-mib", "state", "a large value"),
        bomb(Word::HugeList, "state-of-300-keys", "keys", "a key too many"),
        bomb(Word::HugeList, "handed-over-8-mib", "at-once", "saved no state")
            .errand(Errand::Swap)
            .ends(Ends::Contained),
    ]
}
