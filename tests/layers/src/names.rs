//! The paths that a source names, `use` trees unfolded: `use std::{fs, net::TcpStream};` names `std::fs` and `std::net::TcpStream`.
//!
//! Code behind `#[cfg(test)]` can be left out: a test may look at a clock that the code it tests must never see.

use crate::tokens::{Kind, Token, tokens};

/// Whether a file's unit tests are part of what is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tests {
    Included,
    LeftOut,
}

/// A path as written, `["std", "fs", "read"]`, and its line, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub segments: Vec<String>,
    pub line: usize,
}

/// All paths and words of a source, in order. A word by itself is a path of one segment; keywords are words.
#[must_use]
pub fn names(source: &str, tests: Tests) -> Vec<Name> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if tests == Tests::LeftOut
            && let Some(end) = cfg_test_item_end(&tokens, at)
        {
            at = end;
        } else if token.word() == Some("use") {
            found.push(Name { segments: vec!["use".to_owned()], line: token.line });
            at = use_tree(&tokens, at + 1, &[], &mut found);
        } else if token.word().is_some() {
            let (segments, end) = path(&tokens, at);
            found.push(Name { segments, line: token.line });
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

/// The segments of the path that starts at `at`, and where it ends. Generic arguments end a path.
fn path(tokens: &[Token], mut at: usize) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    while let Some(word) = tokens.get(at).and_then(Token::word) {
        segments.push(word.to_owned());
        at += 1;
        let continues = tokens.get(at).is_some_and(|token| token.kind == Kind::PathSeparator);
        if !continues || tokens.get(at + 1).and_then(Token::word).is_none() {
            break;
        }
        at += 1;
    }
    (segments, at)
}

/// Unfolds one tree of a `use` declaration below `prefix`; returns where it ends (`,`, `}` or `;`).
fn use_tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Name>) -> usize {
    if tokens.get(at).is_some_and(|token| token.kind == Kind::PathSeparator) {
        at += 1;
    }
    let line = tokens.get(at).map_or(0, |token| token.line);
    let (segments, mut at) = path(tokens, at);
    let whole: Vec<String> = prefix.iter().cloned().chain(segments).collect();
    if tokens.get(at).is_some_and(|token| token.kind == Kind::PathSeparator) {
        at += 1;
    }
    if tokens.get(at).is_some_and(|token| token.is('{')) {
        at += 1;
        while tokens.get(at).is_some_and(|token| !token.is('}') && !token.is(';')) {
            at = use_tree(tokens, at, &whole, found);
            if tokens.get(at).is_some_and(|token| token.is(',')) {
                at += 1;
            }
        }
        return at + 1;
    }
    found.push(Name { segments: whole, line });
    // What is left of a leaf is `*` or `as name`.
    while tokens.get(at).is_some_and(|token| !token.is(',') && !token.is('}') && !token.is(';')) {
        at += 1;
    }
    at
}

/// If `#[cfg(test)]` starts at `at`: where the item behind it ends.
fn cfg_test_item_end(tokens: &[Token], at: usize) -> Option<usize> {
    let mut ahead = tokens.get(at..)?.iter();
    let attribute = ahead.next()?.is('#')
        && ahead.next()?.is('[')
        && ahead.next()?.word() == Some("cfg")
        && ahead.next()?.is('(')
        && ahead.next()?.word() == Some("test")
        && ahead.next()?.is(')')
        && ahead.next()?.is(']');
    if !attribute {
        return None;
    }
    let mut depth = 0_usize;
    let length = ahead.clone().position(|token| {
        if token.is('{') {
            depth += 1;
        } else if token.is('}') {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && (token.is('}') || token.is(';'))
    });
    Some(length.map_or(tokens.len(), |length| at + 7 + length + 1))
}

#[cfg(test)]
mod tests;
