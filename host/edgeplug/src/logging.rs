//! Where log lines go: stderr, as text for people or JSON for machines.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The TPM library logs every error that the daemon reports in its own words.
const ALWAYS: &str = "tss_esapi=off";

/// Starts logging. `EDGEPLUG_LOG` (for instance `debug` or `edgeplug_link=trace,info`) wins over the default.
pub(crate) fn start(format: LogFormat, default_filter: &str) {
    let filter = EnvFilter::try_from_env("EDGEPLUG_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{default_filter},{ALWAYS}")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Stderr).with_target(false);
    // A second start, which no command makes, keeps the first.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Standard error, whoever reads it. A reader that went away (a closed terminal, a journal that restarts) must not end
/// the daemon, and the logging library takes a write that fails for a reason to panic.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}
