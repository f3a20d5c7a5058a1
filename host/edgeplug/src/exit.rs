//! How a command ends, as a number for scripts. These numbers are an interface: add, never change.

use std::path::Path;

use edgeplug_session::event::FailureKind;

/// Exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    /// Anything without a code of its own.
    Failed = 1,
    /// The configuration file is not there or cannot be read.
    ConfigMissing = 10,
    /// A key that does not exist.
    ConfigUnknownKey = 11,
    /// A value of the wrong type, or a key that is missing.
    ConfigWrongType = 12,
    /// Not TOML.
    ConfigSyntax = 13,
    /// A value that cannot be.
    ConfigInvalid = 14,
    /// A file that the configuration names is not there or cannot be used.
    ConfigFileMissing = 15,
    /// Another daemon has the state directory.
    AlreadyRunning = 16,
    /// The local API cannot listen on its socket.
    SocketUnusable = 17,
    /// A later release wrote the state directory.
    StoreNewer = 18,
    TpmMissing = 20,
    TpmBusy = 21,
    KeyRefused = 22,
    Enrolment = 23,
    Certificate = 24,
    Network = 25,
    Protocol = 26,
    /// Another device or process uses this identity.
    Kicked = 27,
    /// No clock says what time it is.
    TimeUnknown = 28,
    /// No daemon answers on the socket.
    NoDaemon = 30,
    /// The daemon did not connect within the time given.
    TimedOut = 31,
    /// There is no outbox in the state directory, or it cannot be read.
    OutboxUnreadable = 32,
    /// A file that would be written is there already.
    OutputExists = 33,
    /// The operator did not say yes.
    NotConfirmed = 34,
    /// The daemon would not take this file as a plugin.
    PluginUnfit = 35,
    /// Calls of a plugin on trial failed.
    PluginMisbehaved = 36,
    /// The cloud would not get the readings of a preview as they were given.
    PreviewIncomplete = 37,
    /// A second signal; what was accepted is on disk, messages under way are sent again.
    StoppedAtOnce = 40,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<FailureKind> for Exit {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::TpmMissing => Self::TpmMissing,
            FailureKind::TpmBusy => Self::TpmBusy,
            FailureKind::KeyRefused => Self::KeyRefused,
            FailureKind::Enrolment => Self::Enrolment,
            FailureKind::Certificate => Self::Certificate,
            FailureKind::Network => Self::Network,
            FailureKind::Protocol => Self::Protocol,
            FailureKind::Kicked => Self::Kicked,
            FailureKind::TimeUnknown => Self::TimeUnknown,
        }
    }
}

/// Why a command failed: one message and one code.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) text: String,
    pub(crate) exit: Exit,
}

impl Problem {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { text: text.into(), exit }
    }

    /// Nobody answers on the socket.
    pub(crate) fn no_daemon(socket: &Path, error: &dyn std::fmt::Display) -> Self {
        let socket = socket.display();
        Self::new(
            Exit::NoDaemon,
            format!(
                "no daemon answers on {socket} ({error}); start one with `edgeplug run`, or name its socket with --socket"
            ),
        )
    }
}

/// The one place where an error and its causes become a line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}
