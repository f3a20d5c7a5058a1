//! The transcript as steps: what the host does, what it answers meanwhile, what it must see.

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// What a language's integers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integers {
    Of53Bits,
    Of64Bits,
}

pub(crate) struct Transcript {
    pub(crate) steps: Vec<Step>,
}

pub(crate) struct Step {
    /// Number of its line, for messages.
    pub(crate) line: usize,
    pub(crate) section: String,
    /// What the host answers, in order, before what is usual.
    pub(crate) answers: Vec<Words>,
    pub(crate) action: Words,
    pub(crate) expected: Vec<Expected>,
}

pub(crate) struct Expected {
    pub(crate) text: String,
    /// Whether it may come anywhere in the step.
    pub(crate) anywhere: bool,
    only: Option<Integers>,
}

impl Expected {
    pub(crate) fn holds_for(&self, integers: Integers) -> bool {
        self.only.is_none_or(|only| only == integers)
    }
}

/// One line of a host, word by word; a word is plain text or any JSON.
#[derive(Clone, Debug)]
pub(crate) struct Words(pub(crate) String);

impl Transcript {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut steps: Vec<Step> = Vec::new();
        let (mut section, mut answers) = (String::new(), Vec::new());
        for (line, text) in (1..).zip(text.lines()) {
            let at = || format!("transcript, line {line}: {text}");
            if let Some(name) = text.strip_prefix("== ") {
                section = name.trim_end_matches(" ==").to_owned();
            } else if let Some(action) = text.strip_prefix("> ") {
                let answers = std::mem::take(&mut answers);
                let (section, action) = (section.clone(), Words(filled(action)));
                steps.push(Step { line, section, answers, action, expected: Vec::new() });
            } else if let Some(answer) = text.strip_prefix("? ") {
                answers.push(Words(filled(answer)));
            } else if let Some(expected) = text.strip_prefix('<') {
                let (mark, expected) = expected.split_once(' ').with_context(at)?;
                let (anywhere, only) = match mark {
                    "" => (false, None),
                    "~" => (true, None),
                    "64" => (false, Some(Integers::Of64Bits)),
                    "53" => (false, Some(Integers::Of53Bits)),
                    _ => bail!("{}: there is no mark {mark:?}", at()),
                };
                let step = steps.last_mut().with_context(at)?;
                step.expected.push(Expected { text: filled(expected), anywhere, only });
            } else {
                ensure!(text.is_empty() || text.starts_with('#'), "{}: neither step nor expectation", at());
            }
        }
        Ok(Self { steps })
    }
}

/// `{3 of x}` becomes `xxx`.
fn filled(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let repeated = behind.split_once('}').and_then(|(inside, behind)| {
            let (times, what) = inside.split_once(" of ")?;
            Some((what.repeat(times.parse().ok()?), behind))
        });
        match repeated {
            Some((repeated, behind)) => {
                filled.push_str(&repeated);
                rest = behind;
            }
            None => {
                filled.push('{');
                rest = behind;
            }
        }
    }
    filled + rest
}

impl Words {
    /// The next word, and the rest. A JSON string comes without its quotes; an object or array whole.
    pub(crate) fn next(&mut self) -> Option<String> {
        let text = self.0.trim_start().to_owned();
        let (word, rest) = match text.chars().next()? {
            '"' | '{' => {
                let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
                let value = values.next()?.unwrap_or_else(|error| panic!("{text}: {error}"));
                let length = values.byte_offset();
                let word = match value {
                    Value::String(word) => word,
                    _ => text[..length].to_owned(),
                };
                (word, text[length..].to_owned())
            }
            _ => {
                let length = text.find(' ').unwrap_or(text.len());
                (text[..length].to_owned(), text[length..].to_owned())
            }
        };
        self.0 = rest;
        Some(word)
    }

    pub(crate) fn expect(&mut self, what: &str) -> anyhow::Result<String> {
        let here = self.0.clone();
        self.next().with_context(|| format!("no {what} in {here:?}"))
    }

    pub(crate) fn number<T: std::str::FromStr>(&mut self, what: &str) -> anyhow::Result<T> {
        let word = self.expect(what)?;
        word.parse().ok().with_context(|| format!("{what} is {word:?}"))
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> String {
        self.0.trim().to_owned()
    }
}
