//! The acknowledgements a device owes: what was asked for against what came back.
//!
//! One terminal acknowledgement for each id and target, however often the message was delivered and however many
//! messages carried the id. The same one again is excused only where the hub never answered the earlier one: MQTT
//! delivers at least once. Progress of a firmware update (2.1, `st` 2, "downloading") is no end, but it must be of an
//! update and a target that were asked for, and come before the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::{Address, CloudMessage, Dialect, PendingFirmware, Update};
use crate::changes::Changes;
use crate::device::Device;
use crate::firmware::FirmwareStore;
use crate::hub::Hub;
use crate::limits::SENT_MAX;
use crate::portal::Portal;
use crate::protocol::Protocol;
use crate::recorder::{Ack, AckKind, Record, Recorder};
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

/// One message that was queued for a device, or a pending update that it was told of when it asked.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// The unique id of the device.
    pub device: String,
    /// Its form.
    pub dialect: Dialect,
    /// Its row of the protocol's table; `None` for a 2.1 type that is not in it, and for a pending update.
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
    /// There, and asked for by nothing, be it the id, the child or the kind; progress too.
    pub unasked: Vec<Ack>,
    /// Progress that was told, of what is owed.
    pub downloading: Vec<Downloading>,
    /// Progress that was told after the end.
    pub late: Vec<Ack>,
}

/// How often "downloading" was said of one firmware update and target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Downloading {
    /// Whose.
    pub owed: Owed,
    /// So often.
    pub times: usize,
}

impl AckBalance {
    /// Whether every debt was paid once, in order, and nothing else came.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.double.is_empty() && self.unasked.is_empty() && self.late.is_empty()
    }
}

/// Sends messages and remembers them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Post {
    portal: Portal,
    hub: Hub,
    recorder: Recorder,
    firmware: FirmwareStore,
    changes: Changes,
    sent: Arc<Mutex<Vec<Sent>>>,
    /// Updates that wait for a device to ask, by its unique id.
    pending: Arc<Mutex<BTreeMap<String, Update>>>,
}

impl Post {
    pub(crate) fn new(portal: Portal, hub: Hub, recorder: Recorder, firmware: FirmwareStore, changes: Changes) -> Self {
        Self { portal, hub, recorder, firmware, changes, sent: Arc::default(), pending: Arc::default() }
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

    pub(crate) fn push_update(&self, unique_id: &str, dialect: Dialect, update: &Update) -> anyhow::Result<()> {
        self.send(unique_id, dialect, &CloudMessage::Firmware(update.signed(&self.firmware, dialect)?))
    }

    pub(crate) fn set_pending(&self, unique_id: &str, update: Option<Update>) -> anyhow::Result<()> {
        self.portal.get(unique_id).with_context(|| format!("the portal does not know {unique_id}"))?;
        if let Some(update) = &update {
            // Children have no name in the answers of either protocol.
            update.signed(&self.firmware, Dialect::V21)?;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match update {
            Some(update) => drop(pending.insert(unique_id.to_owned(), update)),
            None => drop(pending.remove(unique_id)),
        }
        Ok(())
    }

    /// The update that waits for the device.
    pub(crate) fn waiting(&self, unique_id: &str) -> Option<Update> {
        let update = self.pending.lock().unwrap_or_else(PoisonError::into_inner).get(unique_id)?.clone();
        Some(update).filter(|update| update.offered_after_ack || !self.is_settled(unique_id, &update.ack_id))
    }

    /// The same with fresh URLs, for an answer that is now given; the device owes for it from now on.
    pub(crate) fn tell_waiting(&self, device: &Device, dialect: Dialect) -> Option<PendingFirmware> {
        let unique_id = &device.unique_id;
        let firmware = self.waiting(unique_id)?.signed(&self.firmware, dialect).ok()?;
        let message = CloudMessage::Firmware(firmware.clone());
        let mut owed = message.owed(dialect.protocol(), unique_id, &device.template);
        if dialect.protocol() == Protocol::Legacy {
            owed = self.owed_by_plain_urls(unique_id, &firmware.ack_id);
        }
        let (at, device) = (Timestamp::now(), unique_id.clone());
        let mut log = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() >= SENT_MAX {
            tracing::error!(device, "too many messages are remembered to tell of a pending update");
            return None;
        }
        log.push(Sent { at, device, dialect, row: None, message, owed });
        Some(PendingFirmware(firmware))
    }

    /// The legacy answer says nothing of targets: the update of that id that the device knows, or one for itself.
    fn owed_by_plain_urls(&self, unique_id: &str, ack_id: &str) -> Vec<Owed> {
        let known: Vec<_> = self.sent(unique_id).into_iter().flat_map(|sent| sent.owed).collect();
        let of_id = |owed: &Owed| owed.ack_id == ack_id && owed.kind == AckKind::Firmware;
        if known.iter().any(of_id) {
            return known.into_iter().filter(of_id).collect();
        }
        vec![Owed { ack_id: ack_id.to_owned(), child: None, kind: AckKind::Firmware }]
    }

    /// Whether the device was told of it, and has said how it ended for every target.
    fn is_settled(&self, unique_id: &str, ack_id: &str) -> bool {
        let told = self.sent(unique_id).iter().any(|sent| sent.owed.iter().any(|owed| owed.ack_id == ack_id));
        told && !self.balance(unique_id).missing.iter().any(|owed| owed.ack_id == ack_id)
    }

    pub(crate) fn balance(&self, unique_id: &str) -> AckBalance {
        let Some(device) = self.portal.get(unique_id) else { return AckBalance::default() };
        self.recorder.balance(&self.portal.hub_id(&device), &self.sent(unique_id))
    }

    pub(crate) fn sent(&self, unique_id: &str) -> Vec<Sent> {
        let log = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter(|sent| sent.device == unique_id).cloned().collect()
    }
}

/// `acks` are those of the device, in order of arrival, each with its record.
pub(crate) fn balance(sent: &[Sent], acks: Vec<(Ack, &Record)>) -> AckBalance {
    let mut debts: BTreeMap<Owed, Came> = BTreeMap::new();
    for owed in sent.iter().flat_map(|sent| &sent.owed) {
        debts.entry(owed.clone()).or_default();
    }
    let mut balance = AckBalance { owed: debts.len(), ..AckBalance::default() };
    for (ack, record) in acks {
        let key = Owed { ack_id: ack.ack_id.clone(), child: ack.child.clone(), kind: ack.kind };
        let Some(came) = debts.get_mut(&key) else {
            balance.unasked.push(ack);
            continue;
        };
        if !ack.is_terminal() {
            came.downloading += 1;
            if came.ends > 0 {
                balance.late.push(ack);
            }
            continue;
        }
        let words = (ack.status, ack.message);
        if came.unanswered.as_ref() != Some(&words) {
            came.ends += 1;
        }
        came.unanswered = Some(words).filter(|_| !record.acknowledged);
    }
    for (owed, came) in debts {
        if came.downloading > 0 {
            balance.downloading.push(Downloading { owed: owed.clone(), times: came.downloading });
        }
        match came.ends {
            0 => balance.missing.push(owed),
            1 => {}
            _ => balance.double.push(owed),
        }
    }
    balance
}

/// What came for one debt.
#[derive(Default)]
struct Came {
    ends: usize,
    /// The words of the last end, as long as the hub has not answered it.
    unanswered: Option<(i64, String)>,
    downloading: usize,
}
