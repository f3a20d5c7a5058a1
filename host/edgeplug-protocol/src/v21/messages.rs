//! Questions about the device, asked on the topic `di`, and the cloud's answers.
//!
//! An answer repeats the question's number as `ct`. Which parts it brings is read from what is there, so 209 and 210, which
//! answer several questions at once, need nothing of their own. The answer to 200 has the shape of the identity reply over
//! HTTPS and is read by [`super::identity::IdentityReply::parse`].

use serde_json::{Map, Value, json};

use crate::c2d::{CloudMessage, Part, Reply};
use crate::definition::Update;
use crate::version::Version;
use crate::wire::lists;

/// A message to the topic `di`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question<'a> {
    /// 200: where to connect and publish, for a device that found its hub through DPS.
    Identity {
        /// The company's SID.
        sid: &'a str,
    },
    /// 201 to 205: one part.
    Part(Part),
    /// 204 as the Python SDK 2.1 asks it after a child was created or deleted.
    ChildrenAfterChange {
        /// The company's SID; empty where the device was configured without.
        sid: &'a str,
    },
    /// 206: commands that wait.
    PendingCommands,
    /// 209: firmware updates and commands that wait.
    Pending,
    /// 210: everything in one answer.
    Everything,
    /// 221: a new child of this gateway.
    CreateChild {
        /// The gateway's guid ([`crate::definition::Definition::gateway_guid`]).
        gateway_guid: &'a str,
        /// Its unique id, at most 128 characters.
        unique_id: &'a str,
        /// Its tag, which must not be the gateway's.
        tag: &'a str,
        /// Its name at the portal.
        display_name: &'a str,
    },
    /// 222: no such child any more.
    DeleteChild {
        /// Its unique id.
        unique_id: &'a str,
    },
}

impl Question<'_> {
    /// `mt`, which comes back as `ct` ([`Reply::number`]).
    #[must_use]
    pub fn number(&self) -> u16 {
        match self {
            Self::Identity { .. } => 200,
            Self::Part(Part::Attributes) => 201,
            Self::Part(Part::Settings) => 202,
            Self::Part(Part::Rules) => 203,
            Self::Part(Part::Devices) | Self::ChildrenAfterChange { .. } => 204,
            Self::Part(Part::Ota) => 205,
            Self::PendingCommands => 206,
            Self::Pending => 209,
            Self::Everything => 210,
            Self::CreateChild { .. } => 221,
            Self::DeleteChild { .. } => 222,
        }
    }

    /// The body to publish.
    #[must_use]
    pub fn body(&self) -> String {
        let mt = self.number();
        let body = match self {
            Self::Identity { sid } | Self::ChildrenAfterChange { sid } => json!({ "mt": mt, "sid": sid }),
            Self::CreateChild { gateway_guid, unique_id, tag, display_name } => {
                json!({ "mt": mt, "d": { "g": gateway_guid, "dn": display_name, "id": unique_id, "tg": tag } })
            }
            Self::DeleteChild { unique_id } => json!({ "mt": mt, "d": { "id": unique_id } }),
            _ => json!({ "mt": mt }),
        };
        body.to_string()
    }
}

/// Why a child was not created (`ec` of the answer to 221); 0 is none.
#[must_use]
pub fn create_refusal(code: i64) -> Option<&'static str> {
    Some(match code {
        0 => return None,
        1 => "the child's tag is missing",
        2 => "the child's unique id is missing",
        3 => "the child's name is missing",
        4 => "the cloud does not know this gateway",
        5 => "the cloud could not create the child",
        6 => "the template has no such tag",
        7 => "the child's tag must not be the gateway's",
        8 => "the unique id is taken",
        9 => "the unique id is longer than 128 characters",
        _ => "the cloud refuses the child with an unknown code",
    })
}

/// Why a child was not deleted (`ec` of the answer to 222); 0 is none.
#[must_use]
pub fn delete_refusal(code: i64) -> Option<&'static str> {
    Some(match code {
        0 => return None,
        1 => "the cloud does not know this child",
        _ => "the cloud refuses to delete the child with an unknown code",
    })
}

/// Reads the content of an answer. A refused question brings its code and nothing else.
pub(crate) fn reply(content: &Map<String, Value>) -> CloudMessage {
    let number = content.get("ct").and_then(Value::as_u64).and_then(|number| u16::try_from(number).ok());
    let Some(number) = number else { return CloudMessage::NotUnderstood("an answer without ct".into()) };
    let code = match content.get("ec") {
        None | Some(Value::Null) => 0,
        Some(code) => match code.as_i64() {
            Some(code) => code,
            None => return CloudMessage::NotUnderstood(format!("answer {number} with an ec that is no number")),
        },
    };
    if code != 0 {
        return CloudMessage::Reply(Reply { number, code, updates: Vec::new() });
    }
    match updates(content) {
        Ok(updates) => CloudMessage::Reply(Reply { number, code, updates }),
        Err(problem) => CloudMessage::NotUnderstood(format!("answer {number}: {problem}")),
    }
}

/// All parts that are there. A null is the empty list: the cloud has none. An error if none of them can be used, so that
/// the question is asked again.
fn updates(content: &Map<String, Value>) -> Result<Vec<Update>, String> {
    let (mut updates, mut problems) = (Vec::new(), Vec::new());
    for part in Part::ALL {
        match content.get(part.member()).map(|said| lists::updates(Version::V21, part, said)) {
            None => {}
            Some(Ok(of_part)) => updates.extend(of_part),
            Some(Err(problem)) => problems.push((part, problem)),
        }
    }
    match problems.first() {
        Some((_, problem)) if updates.is_empty() => return Err(problem.clone()),
        _ => {}
    }
    updates.extend(problems.into_iter().map(|(part, problem)| Update::LeftOut(lists::place(part), vec![problem])));
    Ok(updates)
}

#[cfg(test)]
mod tests;
