//! A trap's backtrace for the author of the plugin: his own functions, with the lines of his sources if the component has
//! debug information. What a language's runtime does between a panic and the trap is left out.
//!
//! Names come as the component's file has them, from a hostile one too; Rust's are made readable here, others stay.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Functions that go into a message.
const CALLS_MAX: usize = 8;
/// Bytes of one of them; a generic name can be longer than all the others together.
const CALL_LEN_MAX: usize = 300;
/// Calls of a trace that are looked at. wasmtime brings 32 frames, and any number of inlined calls in each.
const CALLS_READ_MAX: usize = 256;
/// Bytes of a mangled name that is made readable. A longer one is as unreadable either way, and it costs time.
const MANGLED_LEN_MAX: usize = 512;
/// Crates whose functions no author has written, as both ways of mangling begin.
const RUNTIME_CRATES: [&str; 11] = [
    "std[",
    "std::",
    "core[",
    "core::",
    "alloc[",
    "alloc::",
    "panic_abort[",
    "panic_abort::",
    "__rustc[",
    "__rustc::",
    "__rust_",
];
/// Functions of the C library and of Rust's runtime on the way to a trap.
const RUNTIME_FUNCTIONS: [&str; 5] = ["abort", "exit", "_Exit", "rust_panic", "rust_begin_unwind"];
/// Where Rust's own crates come from, whoever built them.
const RUNTIME_SOURCES: [&str; 4] =
    ["/library/std/src/", "/library/core/src/", "/library/alloc/src/", "/library/panic_abort/src/"];

/// One function, innermost first; several of them share a frame where the compiler inlined.
struct Call<'a> {
    /// Address, module and name, the first two only at the beginning of a frame.
    words: Cow<'a, str>,
    /// File, line and column.
    place: Option<&'a str>,
}

/// The lines to show of a backtrace as wasmtime writes it, numbered from 0.
pub(crate) fn lines(trace: &str) -> Vec<String> {
    let calls = parse(trace);
    let own: Vec<_> = calls.iter().filter(|call| !call.is_of_a_runtime()).collect();
    let shown = if own.is_empty() { calls.iter().collect() } else { own };
    shown.into_iter().take(CALLS_MAX).enumerate().map(|(number, call)| format!("{number}: {}", call.shown())).collect()
}

fn parse(trace: &str) -> Vec<Call<'_>> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    // The first line is a heading.
    for line in trace.lines().skip(1).map(str::trim) {
        if calls.len() == CALLS_READ_MAX {
            break;
        }
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(call) = calls.last_mut() {
                call.place = Some(place);
            }
        } else if let Some(name) = line.strip_prefix("- ") {
            calls.push(Call { words: readable(name), place: None });
        } else if let Some((number, words)) = line.split_once(": ")
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            calls.push(Call { words: readable(words.trim_start()), place: None });
        }
    }
    calls
}

/// With the name at its end as Rust's source has it.
fn readable(words: &str) -> Cow<'_, str> {
    // No way of mangling uses either character.
    let (place, name) = words.split_at(words.rfind([' ', '!']).map_or(0, |at| at + 1));
    match rustc_demangle::try_demangle(name) {
        Ok(demangled) if name.len() <= MANGLED_LEN_MAX => {
            let mut text = Bounded(place.to_owned());
            // An error says that it was full.
            let _ = write!(text, "{demangled:#}");
            Cow::Owned(text.0)
        }
        _ => Cow::Borrowed(words),
    }
}

/// Takes a little more than is shown, so that what is left out is seen.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() > CALL_LEN_MAX { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Call<'_> {
    fn is_of_a_runtime(&self) -> bool {
        let name = self.name().trim_start_matches(['<', '&']);
        RUNTIME_FUNCTIONS.contains(&name)
            || RUNTIME_CRATES.iter().any(|beginning| name.starts_with(beginning))
            || self.place.is_some_and(|place| RUNTIME_SOURCES.iter().any(|source| place.contains(source)))
    }

    fn name(&self) -> &str {
        let words = self.words.split_once(" - ").map_or(&*self.words, |(_, words)| words);
        match words.split_once('!') {
            // The `!` of a type is within brackets.
            Some((module, name)) if !module.contains(['<', '[']) => name,
            _ => words,
        }
    }

    fn shown(&self) -> String {
        let mut text = self.words.clone().into_owned();
        if text.len() > CALL_LEN_MAX {
            text.truncate(text.floor_char_boundary(CALL_LEN_MAX));
            text.push('…');
        }
        if let Some(place) = self.place {
            text.push_str(" at ");
            text.push_str(place);
        }
        text
    }
}

#[cfg(test)]
mod tests;
