//! What the cloud asks for, and how it ended.

use crate::{Command, Ending, Reply};

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

/// A command for the device itself, with an empty id: for tests.
impl From<&str> for Command {
    fn from(text: &str) -> Self {
        Self { id: String::new(), text: text.to_owned(), device: None }
    }
}

impl Reply {
    /// It was carried out; the message is for whoever asked.
    pub fn done(message: impl Into<String>) -> Self {
        Self::Done(message.into())
    }

    /// It was not carried out; the message says why.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

impl Ending {
    /// It was carried out; the message is for whoever asked.
    pub fn done(message: impl Into<String>) -> Self {
        Self::Done(message.into())
    }

    /// It was not carried out; the message says why.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

impl From<Ending> for Reply {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done(message) => Self::Done(message),
            Ending::Failed(message) => Self::Failed(message),
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
