//! Conditions of edge rules: `gw#temp > 20 AND (gyro.x <= 1 OR mode = "fast")`.
//!
//! A condition is terms joined by AND and OR (AND binds tighter), with parentheses; a term is `[tag#]attribute[.member]`,
//! one of `= != > < >= <=`, and a number or a text, quoted or not. Words and operators need no spaces between them, AND
//! and OR are words of their own in upper or lower case. It is read once into a tree; nothing of it is ever run as
//! program text, which the old SDK did.
//!
//! A condition is about one sample of one device. A term whose value is missing, of another kind than the literal or not
//! valid for its attribute is false, also under `!=`.

mod parser;

use std::cmp::Ordering;

use serde_json::Value;

pub use self::parser::{ConditionError, PARENTHESES_MAX, Problem, TERMS_MAX, TEXT_BYTES_MAX};
use crate::telemetry::ValidSample;

/// A condition that can be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    root: Node,
}

/// A value that a condition names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Devices it is about; `None` for all that have the attribute.
    pub tag: Option<String>,
    /// The attribute's name.
    pub attribute: String,
    /// The member's name, if the attribute is an object.
    pub member: Option<String>,
}

/// A sample a condition is true of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Values the condition names and the sample has.
    pub named: Vec<Reference>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// True if all are.
    All(Vec<Node>),
    /// True if any is.
    Any(Vec<Node>),
    Term(Term),
}

#[derive(Debug, Clone, PartialEq)]
struct Term {
    reference: Reference,
    operator: Operator,
    literal: Literal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
struct Literal {
    text: String,
    /// Set if the text is a number and not quoted.
    number: Option<f64>,
}

impl Condition {
    /// Reads a condition.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        parser::parse(text).map(|root| Self { root })
    }

    /// Whether it is true of a sample, and of which values.
    #[must_use]
    pub fn evaluate(&self, sample: &ValidSample<'_>) -> Option<Match> {
        if !self.root.is_true(sample) {
            return None;
        }
        let mut named = Vec::new();
        self.root.name(sample, &mut named);
        Some(Match { named })
    }
}

impl Match {
    /// Whether the condition names this value.
    #[must_use]
    pub fn names(&self, attribute: &str, member: Option<&str>) -> bool {
        self.named.iter().any(|named| named.attribute == attribute && named.member.as_deref() == member)
    }
}

impl Node {
    fn is_true(&self, sample: &ValidSample<'_>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.is_true(sample)),
            Self::Any(nodes) => nodes.iter().any(|node| node.is_true(sample)),
            Self::Term(term) => {
                sample.value(&term.reference).is_some_and(|value| term.operator.holds(value, &term.literal))
            }
        }
    }

    fn name(&self, sample: &ValidSample<'_>, named: &mut Vec<Reference>) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.name(sample, named)),
            Self::Term(Term { reference, .. }) => {
                if sample.value(reference).is_some() && !named.contains(reference) {
                    named.push(reference.clone());
                }
            }
        }
    }
}

impl Operator {
    fn holds(self, value: &Value, literal: &Literal) -> bool {
        let Some(ordering) = compare(value, literal) else { return false };
        match self {
            Self::Equal => ordering == Ordering::Equal,
            Self::NotEqual => ordering != Ordering::Equal,
            Self::Greater => ordering == Ordering::Greater,
            Self::Less => ordering == Ordering::Less,
            Self::GreaterOrEqual => ordering != Ordering::Less,
            Self::LessOrEqual => ordering != Ordering::Greater,
        }
    }
}

/// Numbers by size, texts by their letters (dates and times thereby by time), truth values against `true` and `false`.
fn compare(value: &Value, literal: &Literal) -> Option<Ordering> {
    match value {
        Value::Number(number) => number.as_f64()?.partial_cmp(&literal.number?),
        Value::String(text) => match (literal.number, text.trim().parse::<f64>()) {
            (Some(wanted), Ok(number)) => number.partial_cmp(&wanted),
            _ => Some(text.as_str().cmp(&literal.text)),
        },
        Value::Bool(flag) => {
            let wanted = match literal.text.to_ascii_lowercase().as_str() {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return None,
            };
            Some(flag.cmp(&wanted))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
