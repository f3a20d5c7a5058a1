//! Walls with a hole: what is tried was granted, or nothing is tried at all. A judge who lets one of these stand sees
//! nothing.

use crate::hostile::fixture::Fixture;
use crate::hostile::wall::{Wall, Word};

pub(in crate::hostile) fn walls() -> Vec<Wall> {
    vec![
        Wall::new(Word::AbsolutePath, "open-file", Fixture::Files, "")
            .config("read", "{stage}/secret/canary")
            .granted(r#"files = ["{stage}/secret/canary"]"#),
        Wall::new(Word::Directory, "open-directory", Fixture::Directories, "")
            .config("try", "may write /data/new")
            .asks(r#"directories = [{ path = "{stage}/secret", guest = "/data", write = true }]"#)
            .allows(r#"directories = [{ path = "{stage}/secret", write = true }]"#),
        Wall::new(Word::Network, "open-network", Fixture::Network, "")
            .config("try", "may tcp 127.0.0.1:{port}")
            .granted(r#"network = ["tcp://127.0.0.1:{port}"]"#),
        Wall::new(Word::Others, "nothing-tried", Fixture::Files, ""),
        Wall::new(Word::Crash, "nobody-stops-it", Fixture::Process, "it was stopped").config("way", "exit"),
    ]
}
