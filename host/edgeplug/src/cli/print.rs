//! Answers, for people.

use std::fmt::Write as _;
use std::io::{self, Write as IoWrite};

use serde_json::Value;

use crate::exit::{Exit, Problem};

/// Prints to standard output. A reader that went away (`| head`) has seen enough.
pub(crate) fn say(text: &str) -> Result<(), Problem> {
    match IoWrite::write_fmt(&mut io::stdout(), format_args!("{}\n", text.trim_end_matches('\n'))) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::new(Exit::Failed, format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Adds a line; writing to a string cannot fail.
macro_rules! line {
    ($lines:ident, $($text:tt)*) => {{
        let _ = writeln!($lines, $($text)*);
    }};
}

/// `edgeplug status`.
pub(super) fn status(status: &Value) -> String {
    let mut lines = String::new();
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    line!(lines, "link      {} {}", text("/link"), text("/hub"));
    if status.get("time_known").and_then(Value::as_bool) == Some(false) {
        line!(lines, "time      not known yet");
    }
    if status.pointer("/uplink/budget_spent").and_then(Value::as_bool) == Some(true) {
        line!(lines, "budget    spent for today (uplink.daily_mb); only acknowledgements go until midnight UTC");
    }
    if !text("/trouble/text").is_empty() {
        line!(lines, "trouble   {} ({})", text("/trouble/text"), text("/trouble/kind"));
    }
    match text("/disconnected_by") {
        "" => {}
        "an operator" => line!(lines, "          disconnected by an operator; `edgeplug connect` ends that"),
        plugin => line!(lines, "          disconnected on request of plugin {plugin}"),
    }
    if !text("/stopped_by_cloud").is_empty() {
        line!(lines, "stopped   by the cloud ({}); `edgeplug resume` takes that back", text("/stopped_by_cloud"));
    }
    if let Some(wait) = status.get("retry_in_s").and_then(Value::as_f64) {
        line!(lines, "retry     in {wait:.0} s");
    }
    if !text("/protocol").is_empty() {
        line!(lines, "protocol  {}{}", text("/protocol"), heartbeat(status));
    }
    let waiting_for = status.pointer("/refresh/waiting_for").and_then(Value::as_array).into_iter().flatten();
    let waiting_for = waiting_for.filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    if !waiting_for.is_empty() {
        line!(lines, "          asking the cloud again for {waiting_for} {}", text("/refresh/trouble"));
    }
    match status.get("template_attributes").and_then(Value::as_u64) {
        Some(count) => line!(lines, "template  {count} attributes"),
        None => line!(lines, "template  not known yet; readings are stored as they are"),
    }
    line!(
        lines,
        "readings  {} accepted, {} rejected; {} rows delivered, {} waiting",
        number("/uplink/accepted"),
        number("/uplink/rejected"),
        number("/uplink/delivered"),
        number("/uplink/waiting")
    );
    if number("/uplink/held_back") > 0 {
        line!(lines, "          {} came sooner than the cloud wants readings", number("/uplink/held_back"));
    }
    edge(status, &mut lines);
    let evicted = number("/store/evicted/rows");
    if evicted > 0 {
        line!(lines, "evicted   {evicted} rows, for want of room (outbox.available_space_mb)");
    }
    line!(
        lines,
        "commands  {} done, {} failed, {} open",
        number("/commands/done"),
        number("/commands/failed"),
        number("/commands/open")
    );
    let deferred = status.get("deferred").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !deferred.is_empty() {
        line!(lines, "deferred  {} commands", deferred.len());
    }
    for command in deferred {
        let text = |key: &str| command.get(key).and_then(Value::as_str).unwrap_or_default();
        let seconds = command.get("seconds_left").and_then(Value::as_u64).unwrap_or_default();
        let percent = command.get("percent").and_then(Value::as_u64).map(|percent| format!(", {percent} %"));
        let percent = percent.unwrap_or_default();
        let line = format!("{} by {}, {seconds} s left{percent} {}", text("id"), text("plugin"), text("message"));
        line!(lines, "          {}", line.trim_end());
    }
    for store in ["telemetry", "ledger"] {
        match text(&format!("/store/{store}/state")) {
            "degraded" => line!(lines, "store     {store} degraded: {}", text(&format!("/store/{store}/reason"))),
            state => line!(lines, "store     {store} {state}"),
        }
    }
    if number("/store/set_aside") > 0 {
        line!(lines, "damaged   {} files were set aside; see `status --json`", number("/store/set_aside"));
    }
    if !text("/plugins_trouble").is_empty() {
        line!(lines, "plugins   cannot be started: {}", text("/plugins_trouble"));
    }
    lines
}

fn heartbeat(status: &Value) -> String {
    let seconds = status.get("heartbeat_s").and_then(Value::as_u64);
    seconds.map_or_else(String::new, |seconds| format!(", a heartbeat every {seconds} s"))
}

/// Windows and rules, on a device that has any.
fn edge(status: &Value, lines: &mut String) {
    let number = |key: &str| status.pointer(&format!("/edge/{key}")).and_then(Value::as_u64).unwrap_or_default();
    let unfit = status.pointer("/edge/rules_not_understood").and_then(Value::as_array);
    let unfit = unfit.map(Vec::as_slice).unwrap_or_default();
    if number("windows") + number("rules") + number("matches") > 0 || !unfit.is_empty() {
        let (windows, rules, matches) = (number("windows"), number("rules"), number("matches"));
        line!(lines, "edge      {windows} open windows, {rules} rules, {matches} matches");
    }
    for rule in unfit {
        let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
        line!(lines, "          rule {} is left out: {} ({:?})", text("guid"), text("reason"), text("condition"));
    }
}

/// `edgeplug child list`.
pub(super) fn children(children: &Value) -> String {
    let mut lines = String::new();
    let children = children.as_array().map(Vec::as_slice).unwrap_or_default();
    if children.is_empty() {
        line!(lines, "no children");
    }
    for child in children {
        let text = |key: &str| child.get(key).and_then(Value::as_str).unwrap_or_default();
        line!(lines, "{}", format!("{}  {}", text("unique_id"), text("tag")).trim_end());
    }
    lines
}

/// `edgeplug plugin list`.
pub(super) fn plugins(plugins: &Value) -> String {
    let mut lines = String::new();
    let plugins = plugins.as_array().map(Vec::as_slice).unwrap_or_default();
    if plugins.is_empty() {
        line!(lines, "no plugins; drop a .wasm component into the plugins directory");
    }
    for plugin in plugins {
        let text = |key: &str| plugin.get(key).and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| plugin.get(key).and_then(Value::as_u64).unwrap_or_default();
        let version: String = text("sha256").chars().take(12).collect();
        line!(lines, "{}", format!("{}  {}  {version}", text("plugin"), text("state")).trim_end());
        let mut counts = format!("  calls {}", number("calls"));
        // Calls answered with an error; a daemon of another version may not count them.
        if number("errors") > 0 {
            let _ = write!(counts, ", errors {}", number("errors"));
        }
        let _ = write!(counts, ", faults {}, restarts {}", number("faults"), number("restarts"));
        // A plugin that never ran has no interval yet.
        if number("interval_ms") > 0 {
            let _ = write!(counts, ", every {} ms", number("interval_ms"));
        }
        line!(lines, "{counts}");
        let grants = plugin.get("grants").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for grant in grants.iter().filter_map(Value::as_str) {
            line!(lines, "  {grant}");
        }
        let list = |path: &str| -> Vec<&str> {
            let entries = plugin.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            entries.iter().filter_map(Value::as_str).collect()
        };
        for (path, words) in [("/commands/names", "only commands"), ("/commands/devices", "commands for")] {
            if !list(path).is_empty() {
                line!(lines, "  {words} {}", list(path).join(", "));
            }
        }
        if !text("problem").is_empty() {
            line!(lines, "  problem: {}", text("problem"));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
