//! A plugin project of each language, from `edgeplug plugin new` and `make`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use edgeplug_test_support::programs::{program, target_directory};

/// The name of every project: what its plugin measures.
const NAME: &str = "load";

#[derive(Clone, Copy)]
pub(crate) struct Language {
    /// As `plugin new --lang` wants it.
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// A shell's question whether the toolchain is there.
    probe: &'static str,
    remedy: &'static str,
}

const SETUP: &str = "its toolchain is missing; run: make setup";

pub(crate) const LANGUAGES: [Language; 6] = [
    Language {
        id: "rust",
        name: "Rust",
        probe: "[ -d \"$(rustc --print target-libdir --target wasm32-wasip2)\" ]",
        remedy: "the target wasm32-wasip2 is missing; run: rustup target add wasm32-wasip2",
    },
    Language { id: "c", name: "C", probe: "command -v clang-22", remedy: SETUP },
    Language { id: "tinygo", name: "TinyGo", probe: "command -v tinygo", remedy: SETUP },
    Language { id: "go", name: "Go", probe: "command -v go", remedy: SETUP },
    Language { id: "python", name: "Python", probe: "command -v componentize-py", remedy: SETUP },
    Language { id: "javascript", name: "JavaScript", probe: "command -v componentize-qjs", remedy: SETUP },
];

impl Language {
    /// Why no plugin can be built here, and what to do about it.
    pub(crate) fn missing(&self) -> anyhow::Result<Option<String>> {
        let probed = in_toolchains(Command::new("sh").args(["-c", self.probe]))?;
        Ok((!probed.status.success()).then(|| self.remedy.to_owned()))
    }

    /// The component of a new project. Its manifest lies beside it.
    pub(crate) fn build(&self) -> anyhow::Result<PathBuf> {
        let edgeplug = program("edgeplug")?;
        let project = target_directory().join("bench/guests").join(self.id);
        if project.exists() {
            std::fs::remove_dir_all(&project)?;
        }
        let mut new = Command::new(&edgeplug);
        succeed(new.args(["plugin", "new", "--lang", self.id, NAME, "--dir"]).arg(&project))?;
        let mut make = Command::new("make");
        make.arg("--no-print-directory").arg("-C").arg(&project).env("EDGEPLUG", edgeplug);
        // The caller's own build is not the plugin's.
        make.env_remove("CARGO_TARGET_DIR").env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        succeed(&mut make)?;
        Ok(project.join(NAME).with_extension("wasm"))
    }
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = in_toolchains(command)?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{command:?} ended with {}:\n{}", output.status, String::from_utf8_lossy(&said));
    Ok(())
}

/// Runs it with the PATH that `make setup` has left.
fn in_toolchains(command: &Command) -> anyhow::Result<Output> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "[ ! -e \"$0\" ] || . \"$0\"; exec \"$@\""]).arg(environment());
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.output().with_context(|| format!("cannot run {command:?}"))
}

fn environment() -> PathBuf {
    let file = target_directory().join("toolchains/env");
    // `.` looks for a name without a slash on PATH.
    std::path::absolute(&file).unwrap_or_else(|_| Path::new("/nonexistent").to_owned())
}
