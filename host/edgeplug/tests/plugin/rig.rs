//! The program, its compiler and the guests that `make` builds.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The smallest core module.
pub(crate) const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A place of its own for one test.
pub(crate) struct Rig {
    pub(crate) directory: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A copy of a guest that `make guests` built.
    pub(crate) fn guest(&self, name: &str) -> PathBuf {
        let built = programs().parent().unwrap().join("guests").join(name).with_extension("wasm");
        let content = std::fs::read(&built).unwrap_or_else(|error| {
            panic!("no guest {} ({error}); build it with `make guests`", built.display());
        });
        self.write(&format!("{name}.wasm"), content)
    }

    /// `edgeplug plugin ARGUMENTS…`, here.
    pub(crate) fn plugin<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Said {
        run(&mut self.command(arguments))
    }

    /// The same, not started yet.
    pub(crate) fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgeplug"));
        self.prepare(command.arg("plugin").args(arguments));
        command
    }

    /// `make ARGUMENTS…`, here, with the program under test.
    pub(crate) fn make<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Said {
        let mut command = Command::new("make");
        self.prepare(command.args(arguments).arg(format!("EDGEPLUG={}", env!("CARGO_BIN_EXE_edgeplug"))));
        run(&mut command)
    }

    fn prepare(&self, command: &mut Command) {
        let compiler = programs().join("edgeplug-compiler");
        assert!(compiler.exists(), "{} is missing; build it with `make build-compiler`", compiler.display());
        command
            .current_dir(&self.directory)
            .env("EDGEPLUG_COMPILER", compiler)
            .env("XDG_CACHE_HOME", self.path("cache"))
            .stdin(Stdio::null());
    }
}

fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Said::from(output)
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    /// The output, one JSON value a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:?}"))).collect()
    }

    /// Of a trial: what happened, of one kind.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["event"] == kind).collect()
    }
}

fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_edgeplug")).parent().unwrap()
}
