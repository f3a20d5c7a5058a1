//! What plugins keep through `state.set`: one fact of the ledger for each key, named `state/PLUGIN/KEY`.
//!
//! The names of plugins hold no `/`, so the name can be read back whatever the key holds. What a plugin kept stays when
//! the plugin is removed, because it may come back; only the limits here end that.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use edgeplug_outbox::{FACTS_MAX, Request};
use edgeplug_session::AskId;

use super::words::PLUGIN_TICKET_STEP;

/// Before the name of a plugin.
const PREFIX: &str = "state/";
/// Keys of all plugins; the rest of the ledger's facts are the daemon's own.
const KEYS_MAX: usize = FACTS_MAX as usize - 64;
/// Names and values of all plugins, those that were removed included: as much as 256 plugins with a full quota each.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// By plugin and key.
pub(crate) type PluginState = BTreeMap<String, BTreeMap<String, Bytes>>;

/// What lies in the ledger, and what is on its way there.
#[derive(Default)]
pub(super) struct Kept {
    /// By name of the fact. In memory too, because a ledger that has to be started afresh loses it.
    facts: BTreeMap<String, Bytes>,
    /// Names and values, in bytes.
    bytes: usize,
    /// In the order asked, which is the order in which the ledger answers. At most one for each living plugin instance.
    asked: VecDeque<Asked>,
    last_ticket: u64,
    answers: VecDeque<(AskId, Result<(), String>)>,
}

struct Asked {
    ticket: u64,
    ask: AskId,
    name: String,
    value: Option<Bytes>,
}

impl Kept {
    /// Takes what is a plugin's out of what the ledger held.
    pub(super) fn restore(&mut self, facts: BTreeMap<String, Bytes>) {
        self.facts = facts.into_iter().filter(|(name, _)| split(name).is_some()).collect();
        self.bytes = self.facts.iter().map(|(name, value)| size(name, value)).sum();
    }

    /// Everything, for the plugins.
    pub(super) fn by_plugin(&self) -> PluginState {
        let mut state = PluginState::new();
        for (name, value) in &self.facts {
            if let Some((plugin, key)) = split(name) {
                state.entry(plugin.to_owned()).or_default().insert(key.to_owned(), value.clone());
            }
        }
        state
    }

    /// What to ask of the ledger; nothing if there is no room.
    pub(super) fn keep(&mut self, ask: AskId, plugin: &str, key: &str, value: Option<Bytes>) -> Option<Request> {
        let name = format!("{PREFIX}{plugin}/{key}");
        let coming = self.asked.iter().filter_map(|asked| Some(size(&asked.name, asked.value.as_ref()?)));
        let bytes = self.bytes + coming.sum::<usize>() + value.as_ref().map_or(0, |value| size(&name, value));
        let keys = self.facts.len() + self.asked.len();
        if value.is_some() && (bytes > BYTES_MAX || (keys >= KEYS_MAX && !self.facts.contains_key(&name))) {
            let reason = format!("all plugins together keep {keys} keys already, or {BYTES_MAX} bytes; delete some");
            self.answers.push_back((ask, Err(reason)));
            return None;
        }
        self.last_ticket += PLUGIN_TICKET_STEP;
        let ticket = self.last_ticket;
        self.asked.push_back(Asked { ticket, ask, name: name.clone(), value: value.clone() });
        Some(Request::Put { ticket, name, value })
    }

    /// The ledger's word on a ticket. False if the ticket is none of a plugin's.
    pub(super) fn answered(&mut self, ticket: u64, result: Result<(), String>) -> bool {
        let Some(at) = self.asked.iter().position(|asked| asked.ticket == ticket) else { return false };
        let Some(Asked { ask, name, value, .. }) = self.asked.remove(at) else { return false };
        if result.is_ok() {
            let before = match value {
                Some(value) => {
                    self.bytes += size(&name, &value);
                    self.facts.insert(name.clone(), value)
                }
                None => self.facts.remove(&name),
            };
            self.bytes -= before.map_or(0, |before| size(&name, &before));
        }
        self.answers.push_back((ask, result));
        true
    }

    pub(super) fn next_answer(&mut self) -> Option<(AskId, Result<(), String>)> {
        self.answers.pop_front()
    }

    /// Everything once more, for a ledger that was started afresh, but for what is on its way there already.
    pub(super) fn again(&self) -> impl Iterator<Item = Request> {
        let coming = |name: &String| self.asked.iter().any(|asked| asked.name == *name);
        let facts = self.facts.iter().filter(move |(name, _)| !coming(name));
        facts.map(|(name, value)| Request::Put { ticket: 0, name: name.clone(), value: Some(value.clone()) })
    }
}

/// Plugin and key.
fn split(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PREFIX)?.split_once('/')
}

fn size(name: &str, value: &Bytes) -> usize {
    name.len() + value.len()
}

#[cfg(test)]
mod tests;
