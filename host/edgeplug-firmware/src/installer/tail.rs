//! The end of what a program said, whatever it said and however much.

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

/// Kept of the output.
const BYTES_MAX: usize = 4 << 10;
/// Told of it.
const LINES_MAX: usize = 5;
const CHARS_MAX: usize = 400;

#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
        let excess = self.0.len().saturating_sub(BYTES_MAX);
        self.0.drain(..excess);
    }

    /// Until the output is closed.
    pub(super) async fn follow(&mut self, output: &mut pipe::Receiver) {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = output.read(&mut buffer).await {
            self.push(buffer.get(..len).unwrap_or_default());
        }
    }

    /// The last lines in one, the newest whole.
    pub(super) fn words(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0);
        // A carriage return begins a line of a progress bar anew.
        let clean = |line: &str| -> String { line.chars().filter(|c| !c.is_control()).collect() };
        let lines: Vec<String> = text.split(['\n', '\r']).map(clean).collect();
        let mut last: Vec<&str> =
            lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).rev().take(LINES_MAX).collect();
        last.reverse();
        let words = last.join("; ");
        let excess = words.chars().count().saturating_sub(CHARS_MAX);
        let words: String = words.chars().skip(excess).collect();
        (!words.is_empty()).then_some(words)
    }

    pub(super) fn behind(&self, what: &str) -> String {
        match self.words() {
            Some(words) => format!("{what}: {words}"),
            None => what.to_owned(),
        }
    }
}
