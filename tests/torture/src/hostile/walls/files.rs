//! The interface `files`.

use crate::hostile::fixture::Fixture;
use crate::hostile::wall::{Ends, Wall, Word};

fn reads(word: Word, name: &'static str, paths: &[&str], words: &'static str) -> Wall {
    Wall::new(word, name, Fixture::Files, words).config("read", paths.join("\n"))
}

pub(super) fn walls() -> Vec<Wall> {
    let granted = r#"files = ["{stage}/granted/*", "{stage}/granted/*/*"]"#;
    vec![
        reads(
            Word::DotDot,
            "files-dot-dot",
            &[
                "{stage}/granted/../secret/canary",
                "{stage}/granted/below/../../secret/canary",
                "{stage}/granted/./data",
                "{stage}/granted//data",
                "{stage}/granted/..",
                "../secret/canary",
                "{stage}/granted/%2e%2e/secret/canary",
                "{stage}/granted/data\u{0}/../../secret/canary",
            ],
            "not an absolute path without `..`",
        )
        .granted(granted)
        .short(),
        reads(
            Word::AbsolutePath,
            "files-absolute-path",
            &["{stage}/secret/canary", "{stage}/state/secret", "/etc/shadow", "/etc/passwd", "/", ""],
            "the operator does not allow it",
        )
        .asks(r#"files = ["{stage}/secret/canary", "/etc/*", "/*/*"]"#)
        .allows(r#"files = ["{stage}/granted/*"]"#)
        .short(),
        reads(
            Word::Symlink,
            "files-symlink",
            &[
                "{stage}/granted/link",
                "{stage}/granted/absolute-link",
                "{stage}/granted/directory-link/canary",
                "{stage}/granted/directory-link/data",
                "{stage}/granted/process/environ",
                "{stage}/granted/endless",
            ],
            "leads to",
        )
        .granted(granted)
        .short(),
        reads(
            Word::RenameRace,
            "files-rename-race",
            &["{stage}/granted/raced", "{stage}/granted/raced-directory/data"],
            "only what is granted",
        )
        .config("often", "40")
        .granted(granted)
        .raced(),
        reads(
            Word::ProcSelfMem,
            "files-proc-self-mem",
            &[
                "/proc/self/mem",
                "/proc/self/environ",
                "/proc/self/fd/0",
                "/proc/self/root/etc/shadow",
                "/proc/self/cwd/Cargo.toml",
                "/proc/thread-self/mem",
                "/proc/1/mem",
                "/proc/self/task/1/mem",
                "/proc/kcore",
                "/proc/kmsg",
                "/dev/mem",
                "/dev/zero",
                "/sys/kernel/debug/x",
            ],
            "out of reach",
        )
        // A pattern that leads there is refused where it is written.
        .granted(granted)
        .short(),
        reads(Word::ProcSelfMem, "files-proc-self-mem-asked-for", &["/proc/self/mem"], "out of reach")
            .asks(r#"files = ["/proc/self/mem", "/proc/self/*"]"#)
            .ends(Ends::Refused),
        reads(
            Word::AbsolutePath,
            "files-of-the-daemon",
            &["{stage}/state/secret", "{stage}/shelf/neighbour/record.json", "{stage}/shelf/attacker/record.json"],
            "a directory of the daemon itself",
        )
        .config("find", "{stage}/state/*\n{stage}/shelf/*/*\n{cache}/*")
        .granted(r#"files = ["{stage}/state/*", "{stage}/shelf/*/*", "{cache}/*"]"#),
        reads(
            Word::Others,
            "files-no-file",
            &["{stage}/granted/pipe", "{stage}/granted/below", "{stage}/granted"],
            "not a regular file",
        )
        .granted(r#"files = ["{stage}/granted/*", "{stage}/granted"]"#),
        Wall::new(Word::Others, "files-of-a-twin", Fixture::Files, "its manifest does not ask")
            .config("read", "{stage}/granted/data")
            .allows(r#"files = ["{stage}/granted/*"]"#)
            .twin("twin", "component = \"attacker.wasm\"\ninterval_s = 3600\nfiles = [\"{stage}/granted/*\"]\n"),
    ]
}
