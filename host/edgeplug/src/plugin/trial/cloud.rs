//! The cloud as a trial plays it: a twin, a connection, commands and updates that want an end.
//!
//! It is friendly: all it knows of failure is that it may be away. The simulator of our tests is the strict one.

use std::collections::BTreeMap;

use edgeplug_plugins::{Answer, Ask, DesiredChange, Ending, FinishFailure, TwinDocument, TwinFailure};
use serde_json::{Map, Value};

#[derive(Debug, Default)]
pub(super) struct Cloud {
    pub(super) connected: bool,
    desired: Part,
    reported: Part,
    /// What was handed to the plugin, by id, and whether it has its end.
    given: BTreeMap<String, bool>,
}

/// Half of the twin.
#[derive(Debug)]
struct Part {
    version: u64,
    properties: Map<String, Value>,
}

impl Default for Part {
    /// The hub counts from 1.
    fn default() -> Self {
        Self { version: 1, properties: Map::new() }
    }
}

impl Cloud {
    /// Wants something of the twin, and tells a plugin what changed.
    pub(super) fn desire(&mut self, patch: &Map<String, Value>) -> DesiredChange {
        self.desired.merge(patch);
        DesiredChange { version: self.desired.version, complete: false, desired: text(patch) }
    }

    /// What a plugin is told after a connection was made.
    pub(super) fn all_desired(&self) -> DesiredChange {
        DesiredChange { version: self.desired.version, complete: true, desired: text(&self.desired.properties) }
    }

    /// The same as JSON.
    pub(super) fn desired(&self) -> &Map<String, Value> {
        &self.desired.properties
    }

    /// Something was handed to the plugin.
    pub(super) fn give(&mut self, id: &str) {
        self.given.insert(id.to_owned(), false);
    }

    /// It was answered in the call itself. False when it had its end before.
    pub(super) fn end(&mut self, id: &str) -> bool {
        self.given.get_mut(id).is_some_and(|ended| !std::mem::replace(ended, true))
    }

    /// What was deferred and never ended.
    pub(super) fn open(&self) -> Vec<String> {
        self.given.iter().filter(|(_, ended)| !**ended).map(|(id, _)| id.clone()).collect()
    }

    /// Answers; what `disconnect` and `reconnect` change is [`Self::connected`].
    pub(super) fn answer(&mut self, ask: &Ask) -> Answer {
        match ask {
            Ask::TwinGet => Answer::Twin(self.online().map(|()| self.twin())),
            Ask::TwinReport { patch } => Answer::Reported(self.online().and_then(|()| self.report(patch))),
            Ask::Finish { id, ending: Ending::Done(_) | Ending::Failed(_) } => {
                Answer::Finished(if self.end(id) { Ok(()) } else { Err(FinishFailure::Unknown) })
            }
            Ask::KeepState { .. } => Answer::Kept(Ok(())),
            Ask::Disconnect | Ask::Reconnect => {
                self.connected = matches!(ask, Ask::Reconnect);
                Answer::Link(Ok(()))
            }
        }
    }

    fn online(&self) -> Result<(), TwinFailure> {
        if self.connected {
            Ok(())
        } else {
            Err(TwinFailure::Unavailable("there is no connection to the cloud".to_owned()))
        }
    }

    fn twin(&self) -> TwinDocument {
        TwinDocument {
            desired: text(&self.desired.properties),
            desired_version: self.desired.version,
            reported: text(&self.reported.properties),
            reported_version: self.reported.version,
        }
    }

    fn report(&mut self, patch: &str) -> Result<u64, TwinFailure> {
        let patch = serde_json::from_str(patch).map_err(|error| TwinFailure::Invalid(error.to_string()))?;
        self.reported.merge(&patch);
        Ok(self.reported.version)
    }
}

impl Part {
    fn merge(&mut self, patch: &Map<String, Value>) {
        merge(&mut self.properties, patch);
        self.version += 1;
    }
}

/// As the hub merges (RFC 7386): a null removes, an object goes deeper. The depth is that of a parsed JSON text, which the
/// parser bounds.
fn merge(properties: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                properties.remove(name);
            }
            Value::Object(patch) => {
                let place = properties.entry(name.clone()).or_insert(Value::Null);
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                if let Value::Object(properties) = place {
                    merge(properties, patch);
                }
            }
            other => {
                properties.insert(name.clone(), other.clone());
            }
        }
    }
}

fn text(properties: &Map<String, Value>) -> String {
    Value::Object(properties.clone()).to_string()
}

#[cfg(test)]
mod tests;
