//! A Rust source as words and punctuation with their lines; comments, doc text and literals are gone.
//!
//! Not a parser: enough of the lexical grammar (nested comments, raw strings, characters against lifetimes) that
//! nothing inside a literal is ever taken for code, and no code for a literal.

/// A word or one character of punctuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Word(String),
    /// `::`, the only punctuation of two characters that matters here.
    PathSeparator,
    Punctuation(char),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is(&self, punctuation: char) -> bool {
        self.kind == Kind::Punctuation(punctuation)
    }

    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            Kind::PathSeparator | Kind::Punctuation(_) => None,
        }
    }
}

pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut cursor = Cursor { rest: source, line: 1 };
    let mut found = Vec::new();
    while let Some(first) = cursor.peek() {
        let line = cursor.line;
        let kind = if first.is_whitespace() {
            cursor.advance(first.len_utf8());
            None
        } else if cursor.rest.starts_with("//") {
            cursor.advance(cursor.rest.find('\n').unwrap_or(cursor.rest.len()));
            None
        } else if cursor.rest.starts_with("/*") {
            cursor.skip_block_comment();
            None
        } else if let Some((prefix, hashes)) = cursor.raw_string_start() {
            cursor.skip_raw_string(prefix, hashes);
            None
        } else if let Some(prefix) = cursor.quoted_start() {
            cursor.advance(prefix);
            cursor.skip_quoted('"');
            None
        } else if first == '\'' || cursor.rest.starts_with("b'") {
            cursor.skip_character_or_lifetime();
            None
        } else if is_word_start(first) {
            Some(Kind::Word(cursor.take_word()))
        } else if first.is_ascii_digit() {
            cursor.take_word();
            None
        } else if cursor.rest.starts_with("::") {
            cursor.advance(2);
            Some(Kind::PathSeparator)
        } else {
            cursor.advance(first.len_utf8());
            Some(Kind::Punctuation(first))
        };
        found.extend(kind.map(|kind| Token { kind, line }));
    }
    found
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Moves on by `bytes`, at most to the end, counting lines.
    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.advance(2);
            } else if self.rest.starts_with("*/") {
                depth = depth.saturating_sub(1);
                self.advance(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.advance(self.peek().map_or(1, char::len_utf8));
            }
        }
    }

    /// The length up to and with the opening quote of `r"`, `r#"`, `br"`, `cr##"` and so on, and the number of hashes.
    fn raw_string_start(&self) -> Option<(usize, usize)> {
        let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
            self.rest.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
        })?;
        let rest = self.rest.strip_prefix(prefix)?;
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        Some((prefix.len() + hashes + 1, hashes))
    }

    fn skip_raw_string(&mut self, prefix: usize, hashes: usize) {
        self.advance(prefix);
        let close = format!("\"{}", "#".repeat(hashes));
        let end = self.rest.find(&close).map_or(self.rest.len(), |at| at + close.len());
        self.advance(end);
    }

    /// The length up to and with the opening quote of `"`, `b"` or `c"`.
    fn quoted_start(&self) -> Option<usize> {
        ["\"", "b\"", "c\""].into_iter().find(|prefix| self.rest.starts_with(prefix)).map(str::len)
    }

    fn skip_quoted(&mut self, close: char) {
        while let Some(next) = self.peek() {
            self.advance(next.len_utf8());
            if next == '\\' {
                self.advance(self.peek().map_or(1, char::len_utf8));
            } else if next == close {
                return;
            }
        }
    }

    fn skip_character_or_lifetime(&mut self) {
        self.advance(self.rest.find('\'').unwrap_or_default() + 1);
        let mut ahead = self.rest.chars();
        let (first, second) = (ahead.next(), ahead.next());
        if first.is_some_and(is_word_start) && second != Some('\'') {
            self.take_word();
        } else {
            self.skip_quoted('\'');
        }
    }

    /// Takes a word, a number or a raw identifier (without its `r#`).
    fn take_word(&mut self) -> String {
        if let Some(raw) = self.rest.strip_prefix("r#")
            && raw.starts_with(is_word_start)
        {
            self.advance(2);
        }
        let length = self.rest.find(|next: char| !(next.is_alphanumeric() || next == '_')).unwrap_or(self.rest.len());
        let word = self.rest.get(..length).unwrap_or_default().to_owned();
        self.advance(length.max(1));
        word
    }
}

fn is_word_start(next: char) -> bool {
    next.is_alphabetic() || next == '_'
}

#[cfg(test)]
mod tests;
