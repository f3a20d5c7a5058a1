//! What a plugin answers and asks, in the words of a trial.

use edgeplug_plugins::{Ask, CallFailure, Ending, Exports, PluginEvent, Reply};
use edgeplug_protocol::sample::Sample;
use serde_json::{Value, json};

/// How a call came back.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// `ok`, `done`, `failed` or `deferred` as the plugin said; `fault` or `not taken` where it said nothing good.
    pub(super) outcome: &'static str,
    /// The plugin's, or what went wrong.
    pub(super) message: String,
    /// Readings of `sample` and `transform`.
    pub(super) samples: Vec<Sample>,
    /// The call brought no good answer.
    pub(super) is_fault: bool,
    /// The plugin goes down by it, and starts again.
    pub(super) downs: bool,
    /// The plugin was down before the call reached it.
    pub(super) is_gone: bool,
    /// A command or update has its end by it.
    pub(super) ends: bool,
}

impl Answered {
    pub(super) fn not_taken(reason: String) -> Self {
        Self { outcome: "not taken", message: reason, is_fault: true, ends: true, ..Self::default() }
    }

    fn fault(failure: &CallFailure) -> Self {
        Self {
            outcome: "fault",
            message: failure.to_string(),
            is_fault: true,
            downs: matches!(failure, CallFailure::Trapped(_) | CallFailure::TimedOut),
            is_gone: *failure == CallFailure::Gone,
            ends: true,
            ..Self::default()
        }
    }

    fn ok(samples: Vec<Sample>) -> Self {
        Self { outcome: "ok", samples, ..Self::default() }
    }

    fn reply(reply: Reply) -> Self {
        let (outcome, message, ends) = match reply {
            Reply::Done(message) => ("done", message, true),
            Reply::Failed(message) => ("failed", message, true),
            Reply::Deferred => ("deferred", String::new(), false),
        };
        Self { outcome, message, ends, ..Self::default() }
    }
}

impl From<PluginEvent> for Answered {
    fn from(event: PluginEvent) -> Self {
        let answered = match event {
            PluginEvent::Sampled { result, .. } | PluginEvent::Transformed { result, .. } => result.map(Self::ok),
            PluginEvent::Replied { result, .. } | PluginEvent::Updated { result, .. } => result.map(Self::reply),
            PluginEvent::DesiredHandled { result, .. } => result.map(|()| Self::ok(Vec::new())),
            _ => return Self::default(),
        };
        answered.unwrap_or_else(|failure| Self::fault(&failure))
    }
}

/// Which call this answers, if any.
pub(super) fn call_number(event: &PluginEvent) -> Option<u64> {
    match event {
        PluginEvent::Sampled { call, .. }
        | PluginEvent::Replied { call, .. }
        | PluginEvent::DesiredHandled { call, .. }
        | PluginEvent::Updated { call, .. }
        | PluginEvent::Transformed { call, .. } => Some(*call),
        _ => None,
    }
}

/// For people and for programs.
pub(super) fn asked(request: &Ask) -> (String, Value) {
    match request {
        Ask::TwinGet => ("twin.get".to_owned(), json!({ "ask": "twin.get" })),
        Ask::TwinReport { patch } => {
            // The adapter has checked it; as a text it would be escaped once more.
            let report: Value = serde_json::from_str(patch).unwrap_or_default();
            (format!("twin.report {patch}"), json!({ "ask": "twin.report", "patch": report }))
        }
        Ask::Finish { id, ending } => {
            let (outcome, message) = match ending {
                Ending::Done(message) => ("done", message),
                Ending::Failed(message) => ("failed", message),
            };
            let details = json!({ "ask": "acks.finish", "id": id, "outcome": outcome, "message": message });
            (format!("acks.finish {id:?}: {outcome}: {message}"), details)
        }
        Ask::KeepState { key, value: Some(value) } => {
            let details = json!({ "ask": "state.set", "key": key, "bytes": value.len() });
            (format!("state.set {key:?}, {} bytes", value.len()), details)
        }
        Ask::KeepState { key, value: None } => {
            (format!("state.delete {key:?}"), json!({ "ask": "state.delete", "key": key }))
        }
        Ask::Disconnect => ("device.disconnect".to_owned(), json!({ "ask": "device.disconnect" })),
        Ask::Reconnect => ("device.reconnect".to_owned(), json!({ "ask": "device.reconnect" })),
    }
}

/// Names as in the interface.
pub(super) fn exports_named(exports: Exports) -> Vec<&'static str> {
    let named = [
        ("sensor", exports.sensor),
        ("commands", exports.commands),
        ("twin-events", exports.twin_events),
        ("connection-events", exports.connection_events),
        ("firmware", exports.firmware),
        ("lifecycle", exports.lifecycle),
        ("transform", exports.transform),
    ];
    named.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

/// How an instance died, for people: without last words and backtrace, which the log has.
pub(super) fn brief(death: &str) -> String {
    let is_frame = |part: &str| part.trim_start_matches(|letter: char| letter.is_ascii_digit()).starts_with(": ");
    let parts = death.split("; ").take_while(|part| !part.starts_with("it said: ") && !is_frame(part));
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
