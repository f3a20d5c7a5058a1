//! The acknowledgements a device owes: what was asked for against what came back.
//!
//! One terminal acknowledgement for each id and target, however often the message was delivered and however many messages
//! carried the id. The same one again is excused only where the hub never answered the earlier one: MQTT delivers at least
//! once. Progress of a firmware update (2.1, `st` 2) is not terminal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::{Address, CloudMessage, Dialect};
use crate::changes::Changes;
use crate::hub::Hub;
use crate::limits::SENT_MAX;
use crate::portal::Portal;
use crate::recorder::{Ack, AckKind, Record};
use crate::topic::Properties;

/// One acknowledgement that must come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Owed {
    /// The id it must name.
    pub ack_id: String,
    /// The child it must be of; `None` is the device itself.
    pub child: Option<String>,
    /// What it must acknowledge.
    pub kind: AckKind,
}

/// One message that was queued for a device.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// The unique id of the device.
    pub device: String,
    /// Its form.
    pub dialect: Dialect,
    /// Its row of the protocol's table; `None` for a 2.1 type that is not in it.
    pub row: Option<&'static str>,
    /// What it said.
    pub message: CloudMessage,
    /// What it is owed.
    pub owed: Vec<Owed>,
}

/// What is owed against what came.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AckBalance {
    /// How many are owed, each id and target once.
    pub owed: usize,
    /// Owed and not there.
    pub missing: Vec<Owed>,
    /// There more than once.
    pub double: Vec<Owed>,
    /// There, and asked for by nothing.
    pub unasked: Vec<Ack>,
}

/// Sends messages and remembers them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Post {
    portal: Portal,
    hub: Hub,
    changes: Changes,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Post {
    pub(crate) fn new(portal: Portal, hub: Hub, changes: Changes) -> Self {
        Self { portal, hub, changes, sent: Arc::default() }
    }

    pub(crate) fn send(&self, unique_id: &str, dialect: Dialect, message: &CloudMessage) -> anyhow::Result<()> {
        let device = self.portal.get(unique_id).with_context(|| format!("the portal does not know {unique_id}"))?;
        let body = message.body(dialect, &Address { cpid: &self.portal.cpid, unique_id })?;
        let protocol = dialect.protocol();
        let sent = Sent {
            at: Timestamp::now(),
            device: unique_id.to_owned(),
            dialect,
            row: message.row(protocol),
            message: message.clone(),
            owed: message.owed(protocol, unique_id, &device.template),
        };
        {
            let mut log = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            anyhow::ensure!(log.len() < SENT_MAX, "at most {SENT_MAX} messages are remembered");
            self.hub.send_raw(&self.portal.hub_id(&device), body.to_string(), &Properties::new())?;
            log.push(sent);
        }
        self.changes.ring();
        Ok(())
    }

    pub(crate) fn sent(&self, unique_id: &str) -> Vec<Sent> {
        let log = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter(|sent| sent.device == unique_id).cloned().collect()
    }
}

/// `acks` are those of the device, in order of arrival, each with its record.
pub(crate) fn balance(sent: &[Sent], acks: Vec<(Ack, &Record)>) -> AckBalance {
    // How often each came, and the last one's words as long as the hub has not answered any of them.
    let mut came: BTreeMap<Owed, (usize, Option<(i64, String)>)> = BTreeMap::new();
    for owed in sent.iter().flat_map(|sent| &sent.owed) {
        came.entry(owed.clone()).or_default();
    }
    let mut balance = AckBalance { owed: came.len(), ..AckBalance::default() };
    for (ack, record) in acks.into_iter().filter(|(ack, _)| ack.is_terminal()) {
        let key = Owed { ack_id: ack.ack_id.clone(), child: ack.child.clone(), kind: ack.kind };
        let Some((count, unanswered)) = came.get_mut(&key) else {
            balance.unasked.push(ack);
            continue;
        };
        let words = (ack.status, ack.message);
        if unanswered.as_ref() != Some(&words) {
            *count += 1;
        }
        *unanswered = Some(words).filter(|_| !record.acknowledged);
    }
    for (owed, (count, _)) in came {
        match count {
            0 => balance.missing.push(owed),
            1 => {}
            _ => balance.double.push(owed),
        }
    }
    balance
}
