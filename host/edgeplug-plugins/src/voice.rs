//! What a guest says: its log calls and its standard output and error, under the plugin's name, at a bounded rate. It
//! goes into the daemon's log and into the plugin's own [`tail`](crate::tail).
//!
//! What must stay true: a guest can neither flood the daemon's log nor forge another line in it (line breaks and
//! control characters are escaped), and what was dropped is counted and said.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::desk::Desk;
use crate::tail::{LogLevel, LogStream};

/// Longest message that is logged whole.
const MESSAGE_LEN_MAX: usize = 4096;
/// Messages in one window: one for each call of a plugin that is called a hundred times a second, and as many again.
const MESSAGES_PER_WINDOW: u32 = 250;
const WINDOW: Duration = Duration::from_secs(1);
/// How Rust's runtime tells, behind every panic, of a variable that no plugin can be given.
const RUST_HINT: &str = "note: run with `RUST_BACKTRACE=";
/// Lines of standard error and error messages kept to explain a trap: a Rust panic takes two.
const LAST_WORDS_MAX: usize = 6;
/// Bytes a guest may write at once.
const WRITE_LEN_MAX: usize = 4096;

/// One per instance. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Voice(Arc<Inner>);

struct Inner {
    plugin: String,
    desk: Arc<Desk>,
    state: Mutex<State>,
}

struct State {
    /// By the desk's clock.
    window_started: Duration,
    /// Messages let through in this window: those that the daemon's log shows, and those that it does not.
    messages: [u32; 2],
    /// Messages dropped in this window that the daemon's log would have shown.
    dropped: u64,
    last_words: LastWords,
    /// The lines under way on standard output and error, never longer than a message. A guest may open each stream as
    /// often as it likes; they are one.
    partial: [Vec<u8>; 2],
}

/// One of a guest's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

impl Voice {
    pub(crate) fn new(plugin: &str, desk: Arc<Desk>) -> Self {
        let state = State {
            window_started: desk.elapsed(),
            messages: [0; 2],
            dropped: 0,
            last_words: LastWords::default(),
            partial: Default::default(),
        };
        Self(Arc::new(Inner { plugin: plugin.to_owned(), desk, state: Mutex::new(state) }))
    }

    pub(crate) fn say(&self, level: LogLevel, stream: LogStream, message: &str) {
        // What nobody will see takes the place of nothing that somebody will.
        let is_shown = is_enabled(level);
        if !self.admit(is_shown) {
            self.0.desk.skip();
            return;
        }
        let message = cleaned(message);
        if is_shown {
            show(&self.0.plugin, level, &message);
        }
        // A guest without standard error (C without stdio) says there why it aborts.
        if matches!((level, stream), (LogLevel::Error, LogStream::Log)) {
            self.lock().last_words.hear(message.clone());
        }
        self.0.desk.note(level, stream, message);
    }

    /// How the instance died, in words; the daemon's log has it from elsewhere.
    pub(crate) fn died(&self, how: &str) {
        self.0.desk.note(LogLevel::Error, LogStream::Panic, cleaned(how));
    }

    /// The end of what the guest wrote to standard error or logged as errors, to go with a trap that has no text of its own.
    pub(crate) fn last_words(&self) -> String {
        self.end_line(Stream::Output);
        self.end_line(Stream::Error);
        self.lock().last_words.joined()
    }

    /// A stream that logs each line written to it.
    pub(crate) fn stream(&self, stream: Stream) -> Lines {
        Lines { voice: self.clone(), stream }
    }

    fn write(&self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            {
                let mut state = self.lock();
                let partial = state.partial(stream);
                let room = MESSAGE_LEN_MAX.saturating_sub(partial.len());
                partial.extend(text.iter().take(room));
            }
            if ends {
                self.end_line(stream);
            }
        }
    }

    fn end_line(&self, stream: Stream) {
        let bytes = std::mem::take(self.lock().partial(stream));
        if bytes.is_empty() {
            return;
        }
        let line = String::from_utf8_lossy(&bytes);
        match stream {
            Stream::Output => {
                self.say(LogLevel::Info, LogStream::Stdout, &line);
                // TinyGo has no other place for its panics.
                if LastWords::are(&line) {
                    self.lock().last_words.hear(cleaned(&line));
                }
            }
            Stream::Error => {
                self.say(LogLevel::Warn, LogStream::Stderr, &line);
                self.lock().last_words.hear(cleaned(&line));
            }
        }
    }

    fn admit(&self, is_shown: bool) -> bool {
        let now = self.0.desk.elapsed();
        let mut state = self.lock();
        if now.saturating_sub(state.window_started) >= WINDOW {
            let dropped = std::mem::take(&mut state.dropped);
            state.window_started = now;
            state.messages = [0; 2];
            if dropped > 0 {
                tracing::warn!(target: "edgeplug::plugin", plugin = self.0.plugin, dropped, "log messages dropped: over {MESSAGES_PER_WINDOW} a second");
            }
        }
        let [shown, hidden] = &mut state.messages;
        let messages = if is_shown { shown } else { hidden };
        if *messages < MESSAGES_PER_WINDOW {
            *messages += 1;
            return true;
        }
        if is_shown {
            state.dropped += 1;
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a guest said last, in case it dies of it.
#[derive(Default)]
struct LastWords {
    lines: VecDeque<String>,
    /// From a line on that announces the end, the first lines count: Go writes twenty lines of trace behind its panic.
    has_begun: bool,
}

impl LastWords {
    /// Whether a line announces the end, in the words of the runtimes of Go and TinyGo.
    fn are(line: &str) -> bool {
        ["panic: ", "fatal error: "].iter().any(|beginning| line.starts_with(beginning))
    }

    fn hear(&mut self, line: String) {
        if line.starts_with(RUST_HINT) {
            return;
        }
        if Self::are(&line) {
            self.lines.clear();
            self.has_begun = true;
        }
        if self.lines.len() == LAST_WORDS_MAX {
            if self.has_begun {
                return;
            }
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn joined(&self) -> String {
        self.lines.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }
}

impl State {
    fn partial(&mut self, stream: Stream) -> &mut Vec<u8> {
        let [output, error] = &mut self.partial;
        match stream {
            Stream::Output => output,
            Stream::Error => error,
        }
    }
}

fn is_enabled(level: LogLevel) -> bool {
    match level {
        LogLevel::Trace => tracing::enabled!(target: "edgeplug::plugin", tracing::Level::TRACE),
        LogLevel::Debug => tracing::enabled!(target: "edgeplug::plugin", tracing::Level::DEBUG),
        LogLevel::Info => tracing::enabled!(target: "edgeplug::plugin", tracing::Level::INFO),
        LogLevel::Warn => tracing::enabled!(target: "edgeplug::plugin", tracing::Level::WARN),
        LogLevel::Error => tracing::enabled!(target: "edgeplug::plugin", tracing::Level::ERROR),
    }
}

fn show(plugin: &str, level: LogLevel, message: &str) {
    match level {
        LogLevel::Trace => tracing::trace!(target: "edgeplug::plugin", plugin, "{message}"),
        LogLevel::Debug => tracing::debug!(target: "edgeplug::plugin", plugin, "{message}"),
        LogLevel::Info => tracing::info!(target: "edgeplug::plugin", plugin, "{message}"),
        LogLevel::Warn => tracing::warn!(target: "edgeplug::plugin", plugin, "{message}"),
        LogLevel::Error => tracing::error!(target: "edgeplug::plugin", plugin, "{message}"),
    }
}

/// Cut to size, on one line, without characters that a terminal or a reader takes for something else.
pub(crate) fn cleaned(message: &str) -> String {
    let message = message.trim_end();
    let mut text = String::with_capacity(message.len().min(MESSAGE_LEN_MAX));
    for character in message.chars() {
        let before = text.len();
        if character.is_control() || deceives(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
        if text.len() > MESSAGE_LEN_MAX {
            text.truncate(before);
            text.push('…');
            break;
        }
    }
    text
}

/// Line ends of Unicode, and what turns the direction of the text behind it.
fn deceives(character: char) -> bool {
    matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Longest message that goes to the cloud with an acknowledgement, in characters.
const TOLD_LEN_MAX: usize = 1000;

/// [`cleaned`], and no longer than what an acknowledgement takes.
pub(crate) fn told(message: &str) -> String {
    let text = cleaned(message);
    match text.char_indices().nth(TOLD_LEN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Standard output or error of a guest, and each stream opened on it.
#[derive(Clone)]
pub(crate) struct Lines {
    voice: Voice,
    stream: Stream,
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, and 0.3 is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        // No SDK does so: it asks `check_write` first.
        if bytes.len() > WRITE_LEN_MAX {
            let (len, max) = (bytes.len(), WRITE_LEN_MAX);
            return Err(StreamError::trap(&format!("it wrote {len} bytes at once where {max} were permitted")));
        }
        self.voice.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_LEN_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests;
