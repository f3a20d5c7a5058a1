//! One way through, tried by one component, and how it must end.

use super::fixture::Fixture;
use super::task::Errand;

/// What is tried. Those down to `CompilerBomb` must each have a wall; a test looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    DotDot,
    Symlink,
    RenameRace,
    AbsolutePath,
    ProcSelfMem,
    NameRebinding,
    HugeString,
    HugeList,
    HandleConfusion,
    DeepRecursion,
    StackBomb,
    TableBomb,
    MemoryBomb,
    InstanceStorm,
    EndlessLoop,
    EndlessStart,
    HostCallFlood,
    LogFlood,
    LyingTypes,
    CompilerBomb,
    Network,
    Directory,
    Process,
    Others,
    Crash,
    Value,
}

/// How an attack ends where the wall stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    /// The file is not taken.
    Refused,
    /// It runs on, tried, and got nothing.
    Denied,
    /// Every errand ends in a fault; it is left alone in the end.
    Quarantined,
    /// Its errors or faults stay its own.
    Contained,
}

/// See the module.
pub(super) struct Wall {
    pub(super) name: &'static str,
    pub(super) word: Word,
    pub(super) fixture: Fixture,
    /// Lines of the manifest before its tables.
    pub(super) asks: String,
    pub(super) config: Vec<(&'static str, String)>,
    /// The operator's table for it.
    pub(super) allows: String,
    pub(super) errand: Errand,
    pub(super) ends: Ends,
    /// Must be among what was said: that it was tried, and stopped by what should stop it.
    pub(super) words: &'static str,
    /// Somebody exchanges files all the while.
    pub(super) raced: bool,
    /// A plugin to which other things were given runs beside it.
    pub(super) has_victim: bool,
    /// A second manifest for the same component, with its policy.
    pub(super) twin: Option<(&'static str, &'static str)>,
    /// Part of the short form.
    pub(super) is_short: bool,
}

impl Wall {
    /// Without rights, asked for readings, denied with these words.
    pub(super) fn new(word: Word, name: &'static str, fixture: Fixture, words: &'static str) -> Self {
        Self {
            name,
            word,
            fixture,
            asks: String::new(),
            config: Vec::new(),
            allows: String::new(),
            errand: Errand::Sample,
            ends: Ends::Denied,
            words,
            raced: false,
            has_victim: false,
            twin: None,
            is_short: false,
        }
    }

    pub(super) fn config(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.config.push((key, value.into()));
        self
    }

    pub(super) fn asks(self, line: &str) -> Self {
        Self { asks: format!("{}{line}\n", self.asks), ..self }
    }

    /// Asked for and allowed in the same words.
    pub(super) fn granted(self, line: &str) -> Self {
        Self { allows: format!("{}{line}\n", self.allows), ..self.asks(line) }
    }

    pub(super) fn allows(self, line: &str) -> Self {
        Self { allows: format!("{}{line}\n", self.allows), ..self }
    }

    pub(super) fn errand(self, errand: Errand) -> Self {
        Self { errand, ..self }
    }

    pub(super) fn ends(self, ends: Ends) -> Self {
        let errand = if matches!(ends, Ends::Refused) { Errand::Nothing } else { self.errand };
        Self { ends, errand, ..self }
    }

    pub(super) fn raced(self) -> Self {
        Self { raced: true, ..self }
    }

    pub(super) fn beside_a_victim(self) -> Self {
        Self { has_victim: true, ..self }
    }

    pub(super) fn twin(self, name: &'static str, manifest: &'static str) -> Self {
        Self { twin: Some((name, manifest)), ..self }
    }

    pub(super) fn short(self) -> Self {
        Self { is_short: true, ..self }
    }

    /// `attacker.toml`.
    pub(super) fn manifest(&self) -> String {
        let config = self.config.iter().map(|(key, value)| {
            // A JSON text is a basic string of TOML as well.
            format!("{key} = {}\n", serde_json::Value::from(value.as_str()))
        });
        format!(
            "interval_s = 3600\n{}[config]\n{}[limits]\nmemory_mb = 16\ndeadline_ms = 100\n",
            self.asks,
            config.collect::<String>()
        )
    }
}
