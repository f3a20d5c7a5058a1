//! From the text of a condition to its tree. Text, terms and parentheses have limits, so that a hostile condition costs no
//! more than a long one.

use super::{Literal, Node, Operator, Reference, Term};

/// Longest condition taken.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Most terms of one condition.
pub const TERMS_MAX: usize = 100;
/// Deepest parentheses.
pub const PARENTHESES_MAX: usize = 32;
/// Longest piece of a condition repeated in an error.
const QUOTED_CHARS_MAX: usize = 40;

/// Why a condition cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: {problem}")]
pub struct ConditionError {
    /// Where, counted from 1.
    pub at: usize,
    /// What is wrong, and what should stand there.
    pub problem: Problem,
}

/// What is wrong with a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing but white space.
    #[error("the condition is empty; write it like temp > 20")]
    Empty,
    /// More than [`TEXT_BYTES_MAX`].
    #[error("the condition is longer than {TEXT_BYTES_MAX} bytes; make it several rules")]
    TooLong,
    /// More than [`TERMS_MAX`].
    #[error("the condition has more than {TERMS_MAX} terms; make it several rules")]
    TooManyTerms,
    /// More than [`PARENTHESES_MAX`].
    #[error("parentheses are more than {PARENTHESES_MAX} deep")]
    TooDeep,
    /// A quoted text does not end.
    #[error("the closing quote is missing")]
    QuoteMissing,
    /// A parenthesis does not end.
    #[error("the closing parenthesis is missing")]
    ParenthesisMissing,
    /// Something else should stand here.
    #[error("{found} stands where {wanted} should")]
    Unexpected {
        /// What stands there.
        found: String,
        /// What should.
        wanted: &'static str,
    },
    /// `tag#attribute.member` with a part missing.
    #[error("{0:?} is no attribute; write it like temp, gyro.x or tag#gyro.x")]
    NotAnAttribute(String),
}

pub(super) fn parse(text: &str) -> Result<Node, ConditionError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ConditionError { at: 1, problem: Problem::TooLong });
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.chars().count() + 1, terms: 0, depth: 0 };
    if parser.tokens.is_empty() {
        return Err(ConditionError { at: 1, problem: Problem::Empty });
    }
    let node = parser.any()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("AND, OR or the end")),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Operator(Operator),
    /// Attributes, numbers and texts without quotes.
    Word(String),
    Quoted(String),
}

struct Parser {
    /// With the place of each, counted from 1.
    tokens: Vec<(usize, Token)>,
    next: usize,
    /// The place behind the last character.
    end: usize,
    terms: usize,
    depth: usize,
}

impl Parser {
    /// `all (OR all)*`
    fn any(&mut self) -> Result<Node, ConditionError> {
        self.joined(&Token::Or, Self::all, Node::Any)
    }

    /// `one (AND one)*`
    fn all(&mut self) -> Result<Node, ConditionError> {
        self.joined(&Token::And, Self::one, Node::All)
    }

    fn joined(
        &mut self,
        by: &Token,
        part: fn(&mut Self) -> Result<Node, ConditionError>,
        join: fn(Vec<Node>) -> Node,
    ) -> Result<Node, ConditionError> {
        let first = part(self)?;
        let mut rest = Vec::new();
        while self.take(by) {
            rest.push(part(self)?);
        }
        Ok(if rest.is_empty() { first } else { join(std::iter::once(first).chain(rest).collect()) })
    }

    /// A term, or a condition in parentheses.
    fn one(&mut self) -> Result<Node, ConditionError> {
        let at = self.place();
        if !self.take(&Token::Open) {
            return self.term().map(Node::Term);
        }
        self.depth += 1;
        if self.depth > PARENTHESES_MAX {
            return Err(ConditionError { at, problem: Problem::TooDeep });
        }
        let inner = self.any()?;
        self.depth -= 1;
        match self.peek() {
            Some(Token::Close) => {
                self.next += 1;
                Ok(inner)
            }
            None => Err(ConditionError { at, problem: Problem::ParenthesisMissing }),
            Some(_) => Err(self.unexpected("AND, OR or a closing parenthesis")),
        }
    }

    fn term(&mut self) -> Result<Term, ConditionError> {
        let at = self.place();
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(ConditionError { at, problem: Problem::TooManyTerms });
        }
        let reference = match self.peek().cloned() {
            Some(Token::Word(word)) => match reference(&word) {
                Some(reference) => reference,
                None => return Err(ConditionError { at, problem: Problem::NotAnAttribute(shortened(&word)) }),
            },
            _ => return Err(self.unexpected("an attribute")),
        };
        self.next += 1;
        let Some(Token::Operator(operator)) = self.peek().cloned() else {
            return Err(self.unexpected("one of = != > < >= <="));
        };
        self.next += 1;
        let literal = match self.peek().cloned() {
            Some(Token::Quoted(text)) => Literal { text, number: None },
            Some(Token::Word(text)) => {
                // NaN and infinity are words.
                let number = text.parse().ok().filter(|number: &f64| number.is_finite());
                Literal { text, number }
            }
            _ => return Err(self.unexpected("a number or a text")),
        };
        self.next += 1;
        Ok(Term { reference, operator, literal })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn take(&mut self, token: &Token) -> bool {
        let taken = self.peek() == Some(token);
        self.next += usize::from(taken);
        taken
    }

    fn unexpected(&self, wanted: &'static str) -> ConditionError {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(Token::Open) => "an opening parenthesis".to_owned(),
            Some(Token::Close) => "a closing parenthesis".to_owned(),
            Some(Token::And) => "AND".to_owned(),
            Some(Token::Or) => "OR".to_owned(),
            Some(Token::Operator(_)) => "an operator".to_owned(),
            Some(Token::Word(text) | Token::Quoted(text)) => format!("{:?}", shortened(text)),
        };
        ConditionError { at: self.place(), problem: Problem::Unexpected { found, wanted } }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ConditionError> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().enumerate().peekable();
    while let Some((index, char)) = chars.next() {
        let at = index + 1;
        let mut followed_by = |wanted: char| chars.next_if(|(_, next)| *next == wanted).is_some();
        let token = match char {
            char if char.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '=' => {
                followed_by('=');
                Token::Operator(Operator::Equal)
            }
            '!' if followed_by('=') => Token::Operator(Operator::NotEqual),
            '>' if followed_by('=') => Token::Operator(Operator::GreaterOrEqual),
            '<' if followed_by('=') => Token::Operator(Operator::LessOrEqual),
            '>' => Token::Operator(Operator::Greater),
            '<' => Token::Operator(Operator::Less),
            '"' | '\'' => {
                let mut quoted = String::new();
                loop {
                    match chars.next() {
                        Some((_, end)) if end == char => break Token::Quoted(quoted),
                        Some((_, inner)) => quoted.push(inner),
                        None => return Err(ConditionError { at, problem: Problem::QuoteMissing }),
                    }
                }
            }
            first => {
                let mut word = String::from(first);
                while let Some((_, next)) = chars.next_if(|(_, next)| is_in_word(*next)) {
                    word.push(next);
                }
                match word.as_str() {
                    word if word.eq_ignore_ascii_case("and") => Token::And,
                    word if word.eq_ignore_ascii_case("or") => Token::Or,
                    _ => Token::Word(word),
                }
            }
        };
        tokens.push((at, token));
    }
    Ok(tokens)
}

fn is_in_word(char: char) -> bool {
    !char.is_whitespace() && !matches!(char, '(' | ')' | '=' | '!' | '<' | '>' | '"' | '\'')
}

/// `[tag#]attribute[.member]`
fn reference(word: &str) -> Option<Reference> {
    let (tag, name) = match word.split_once('#') {
        Some((tag, name)) => (Some(tag), name),
        None => (None, word),
    };
    let (attribute, member) = match name.split_once('.') {
        Some((attribute, member)) => (attribute, Some(member)),
        None => (name, None),
    };
    let whole = tag != Some("") && !attribute.is_empty() && member != Some("");
    whole.then(|| Reference {
        tag: tag.map(str::to_owned),
        attribute: attribute.to_owned(),
        member: member.map(str::to_owned),
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}
