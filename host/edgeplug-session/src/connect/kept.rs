//! What the last run kept, if it is still about this device.

use bytes::Bytes;
use edgeplug_protocol::definition::Definition;
use edgeplug_protocol::legacy::sync::SyncReply;
use edgeplug_protocol::version::Version;

use super::{Change, Connect, State};
use crate::Step;
use crate::config::{ProtocolChoice, SessionConfig};

impl Connect {
    /// Begins, with what the last run knew.
    pub(crate) fn restore(
        &mut self,
        sync: Option<Bytes>,
        assignment: Option<Bytes>,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        if self.stopped {
            self.state = State::Held;
        } else {
            self.open_identity(step);
        }
        self.assignment = assignment.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let definition = kept(sync.as_ref()?)?;
        if !is_of_this_device(&definition, step.config) {
            tracing::warn!("what the last run kept was said of another device than the one configured now; not used");
            self.forget_assignment(step);
            return None;
        }
        if matches!(step.config.protocol, ProtocolChoice::Only(version) if definition.version != version) {
            tracing::info!("what the last run kept was said in the other protocol; not used");
            return None;
        }
        self.portal.prefer(definition.version);
        self.definition = Some(definition);
        self.complete = true;
        self.changed()
    }
}

/// Reads what the last run kept of the cloud's words.
fn kept(sync: &[u8]) -> Option<Definition> {
    if let Ok(definition) = serde_json::from_slice(sync) {
        return Some(definition);
    }
    // Versions before 0.2 kept the reply as it came.
    match SyncReply::parse(200, sync) {
        Ok(SyncReply::Ready(definition)) => Some(*definition),
        _ => None,
    }
}

/// Whether this was said of the device that is configured.
fn is_of_this_device(definition: &Definition, config: &SessionConfig) -> bool {
    let company = match definition.version {
        // The cloud writes the company's id in the case it likes.
        Version::Legacy => definition.cpid.is_empty() || definition.cpid.eq_ignore_ascii_case(&config.cpid),
        // It is only part of a name here, and only on shared hubs; a SID may stand for any company.
        Version::V21 => {
            let named = &definition.hub.client_id;
            let shared = format!("{}-{}", config.cpid, config.unique_id);
            config.sid.is_some() || *named == config.unique_id || named.eq_ignore_ascii_case(&shared)
        }
    };
    company && definition.devices.first().is_none_or(|device| device.id == config.unique_id)
}
