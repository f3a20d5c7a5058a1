//! Granted directories, through `wasi:filesystem`.

use crate::hostile::fixture::Fixture;
use crate::hostile::wall::{Ends, Wall, Word};

const GRANTED: &str = r#"directories = [{ path = "{stage}/granted", guest = "/data", write = true }]"#;
const ALLOWED: &str = r#"directories = [{ path = "{stage}/granted", write = true }]"#;

fn tries(word: Word, name: &'static str, attempts: &[&str], words: &'static str) -> Wall {
    Wall::new(word, name, Fixture::Directories, words).config("try", attempts.join("\n"))
}

pub(super) fn walls() -> Vec<Wall> {
    vec![
        tries(
            Word::DotDot,
            "directory-dot-dot",
            &[
                "may read /data/data",
                "read /data/../secret/canary",
                "read /data/below/../../secret/canary",
                "list /data/..",
                "write /data/../secret/new",
                "rename /data/read-only /data/../secret/moved",
                "link ../secret/canary linked",
            ],
            "may read /data/data: only what is granted",
        )
        .asks(GRANTED)
        .allows(ALLOWED),
        tries(
            Word::Symlink,
            "directory-symlink",
            &[
                "may read /data/data",
                "read /data/link",
                "read /data/absolute-link",
                "read /data/directory-link/canary",
                "list /data/directory-link",
                "write /data/directory-link/new",
                "write /data/link",
                "read /data/process/environ",
            ],
            "may read /data/data: only what is granted",
        )
        .asks(GRANTED)
        .allows(ALLOWED),
        tries(
            Word::Symlink,
            "directory-symlink-made-by-the-guest",
            &[
                "may read /data/data",
                "may symlink ../secret here",
                "read /data/here/canary",
                "write /data/here/new",
                "may symlink /proc/self there",
                "read /data/there/environ",
                "may symlink below/../../secret/canary file",
                "read /data/file",
                "append /data/file",
                "may link link linked-link",
                "read /data/linked-link",
            ],
            "may read /data/data: only what is granted",
        )
        .asks(GRANTED)
        .allows(ALLOWED),
        tries(
            Word::RenameRace,
            "directory-rename-race",
            &["read /data/raced", "read /data/raced-directory/data", "read /data/raced-directory/canary"],
            "only what is granted",
        )
        .config("often", "100")
        .asks(GRANTED)
        .allows(ALLOWED)
        .raced(),
        tries(
            Word::Directory,
            "directory-read-only",
            &[
                "may read /data/data",
                "write /data/data",
                "append /data/data",
                "create /data/new",
                "make-directory /data/new",
                "rename /data/data /data/moved",
                "remove /data/data",
                "symlink data /new",
                "link data new",
            ],
            "may read /data/data: only what is granted",
        )
        .asks(r#"directories = [{ path = "{stage}/fixed", guest = "/data" }]"#)
        .allows(r#"directories = [{ path = "{stage}/fixed" }]"#),
        tries(
            Word::AbsolutePath,
            "directory-without-a-right",
            &["read {stage}/secret/canary", "list /", "read /etc/shadow", "write {stage}/plugins/neighbour.wasm", "create /tmp/x"],
            "",
        )
        .asks(r#"directories = [{ path = "{stage}/secret", write = true }, { path = "/etc", guest = "/etc" }]"#),
        tries(Word::Directory, "directory-of-everything", &["list /"], "cannot be granted")
            .asks(r#"directories = [{ path = "/", write = true }]"#)
            .ends(Ends::Refused),
        tries(Word::ProcSelfMem, "directory-of-processes", &["read /proc/self/mem"], "cannot be granted")
            .asks(r#"directories = [{ path = "/proc", write = true }]"#)
            .ends(Ends::Refused),
        tries(
            Word::Directory,
            "directory-of-the-daemon",
            &[
                "read /state/secret",
                "read /plugins/.secret",
                "write /plugins/neighbour.wasm",
                "write /plugins/intruder.wasm",
                "write /plugins/attacker.toml",
                "list /shelf",
                "write /shelf/neighbour/record.json",
                "read /all/secret/canary",
                "list /all/state",
            ],
            "",
        )
        .asks(
            r#"directories = [{ path = "{stage}/state", guest = "/state", write = true }, { path = "{stage}/plugins", guest = "/plugins", write = true }, { path = "{stage}/shelf", guest = "/shelf", write = true }, { path = "{stage}", guest = "/all", write = true }]"#,
        )
        .allows(r#"directories = [{ path = "{stage}", write = true }]"#),
        tries(
            Word::ProcSelfMem,
            "directory-of-the-kernel",
            &["read /self/mem", "read /self/environ", "list /self"],
            "",
        )
        .asks(
            r#"directories = [{ path = "{stage}/granted/process", guest = "/self", write = true }]"#,
        )
        .allows(ALLOWED),
    ]
}
