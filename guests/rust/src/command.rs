//! Commands and their replies.

use crate::bindings::commands::exports::edgeplug::plugin::commands as wire;

/// A command from the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The whole text as it was sent, for instance `set-led-green off`.
    pub text: String,
    /// The child device it is meant for, `None` for the device itself.
    pub device: Option<String>,
}

impl Command {
    /// The first word.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.split_whitespace().next().unwrap_or_default()
    }

    /// Everything after the first word, trimmed.
    #[must_use]
    pub fn arguments(&self) -> &str {
        let text = self.text.trim();
        text.strip_prefix(self.name()).unwrap_or_default().trim()
    }
}

impl From<&str> for Command {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), device: None }
    }
}

/// What the cloud is told about a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Carried out.
    Done(String),
    /// Not carried out; says why.
    Failed(String),
}

impl Reply {
    pub fn done(message: impl Into<String>) -> Self {
        Self::Done(message.into())
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

impl From<Reply> for wire::Reply {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Done(message) => Self::Done(message),
            Reply::Failed(message) => Self::Failed(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_name_and_arguments() {
        for (text, name, arguments) in [
            ("set-led-green off", "set-led-green", "off"),
            ("  go   a  b ", "go", "a  b"),
            ("go", "go", ""),
            ("", "", ""),
            ("   ", "", ""),
        ] {
            let command = Command::from(text);
            assert_eq!((command.name(), command.arguments()), (name, arguments), "{text:?}");
        }
    }
}
