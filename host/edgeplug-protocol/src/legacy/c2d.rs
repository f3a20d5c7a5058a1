//! Cloud-to-device messages: `{"cmdType":"0x..","data":{…}}`.

use serde::Deserialize;

/// Longest command text handed to a plugin.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Longest ack id or unique id taken.
const ID_BYTES_MAX: usize = 256;

/// A message from the cloud, told apart by `cmdType`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudMessage {
    /// 0x01.
    Command(Command),
    /// 0x01, but not a command that can be carried out. The cloud waits for an answer under this id.
    Unusable {
        /// Under which to answer.
        ack_id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another defined type, by its number or word (`0x10`, `sync`, …).
    Other(String),
    /// Not a message of this protocol, and why.
    NotUnderstood(String),
}

/// A device command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Name and parameters as typed at the portal.
    pub text: String,
    /// Whom it is for: the device's or a child's unique id; the cloud may prefix it with `cpId-`.
    pub unique_id: Option<String>,
    /// The id of this very message; it comes along even when nobody wants an acknowledgement.
    pub ack_id: Option<String>,
    /// Whether the cloud waits for an acknowledgement under [`Self::ack_id`].
    pub ack_wanted: bool,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "cmdType")]
    cmd_type: Option<String>,
    #[serde(default)]
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct CommandData {
    command: Option<String>,
    #[serde(rename = "uniqueId")]
    unique_id: Option<String>,
    #[serde(rename = "ackId")]
    ack_id: Option<String>,
    /// Present on every message; only `true` wants an answer, although an ack id always comes along.
    #[serde(default)]
    ack: Option<bool>,
}

impl CloudMessage {
    /// Reads a body. Never fails: what cannot be read is said, so that it can be logged and got rid of.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        let envelope: Envelope = match serde_json::from_slice(body) {
            Ok(envelope) => envelope,
            Err(error) => return Self::NotUnderstood(format!("not a JSON message: {error}")),
        };
        match envelope.cmd_type.as_deref() {
            Some("0x01") => match serde_json::from_value(envelope.data) {
                Ok(data) => Self::command(data),
                Err(error) => Self::NotUnderstood(format!("command data: {error}")),
            },
            Some(other) => Self::Other(other.chars().take(32).collect()),
            None => Self::NotUnderstood("no cmdType".into()),
        }
    }

    fn command(data: CommandData) -> Self {
        let fits = |id: &String| !id.is_empty() && id.len() <= ID_BYTES_MAX;
        let ack_id = data.ack_id.filter(fits);
        let ack_wanted = data.ack == Some(true);
        let problem = match &data.command {
            Some(text) if text.len() > COMMAND_BYTES_MAX => {
                format!("the command is longer than {COMMAND_BYTES_MAX} bytes")
            }
            Some(text) if text.is_empty() => "the command has no text".to_owned(),
            None => "the command has no text".to_owned(),
            Some(_) if data.unique_id.as_ref().is_some_and(|id| id.len() > ID_BYTES_MAX) => {
                format!("the command's unique id is longer than {ID_BYTES_MAX} bytes")
            }
            Some(text) => {
                let unique_id = data.unique_id.filter(|id| !id.is_empty());
                return Self::Command(Command { text: text.clone(), unique_id, ack_id, ack_wanted });
            }
        };
        match ack_id.filter(|_| ack_wanted) {
            Some(ack_id) => Self::Unusable { ack_id, reason: problem },
            None => Self::NotUnderstood(problem),
        }
    }
}

impl Command {
    /// The child it is for, or `None` for the device itself.
    #[must_use]
    pub fn child<'a>(&'a self, cpid: &str, own_unique_id: &str) -> Option<&'a str> {
        let id = self.unique_id.as_deref()?;
        let bare = id.strip_prefix(cpid).and_then(|rest| rest.strip_prefix('-')).unwrap_or(id);
        (bare != own_unique_id && id != own_unique_id).then_some(bare)
    }
}

#[cfg(test)]
mod tests;
