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

pub(super) mod plugins;
pub(super) mod updates;

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
    filters(status, &mut lines);
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
    updates::status(status, &mut lines);
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

/// What filters did, where there are any.
fn filters(status: &Value, lines: &mut String) {
    let number = |key: &str| status.pointer(&format!("/transform/{key}")).and_then(Value::as_u64).unwrap_or_default();
    if number("filtered") + number("waiting") + number("dropped") + number("behind") > 0 {
        let (filtered, waiting, unfiltered) = (number("filtered"), number("waiting"), number("unfiltered"));
        line!(
            lines,
            "filters   {filtered} samples through, {unfiltered} past a failed filter, {waiting} batches waiting"
        );
    }
    if number("dropped") + number("behind") > 0 {
        let (dropped, behind) = (number("dropped"), number("behind"));
        line!(lines, "          not taken: {dropped} for want of a filter, {behind} because too many waited");
    }
    let trouble = status.pointer("/transform/trouble").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for trouble in trouble {
        let text = |key: &str| trouble.get(key).and_then(Value::as_str).unwrap_or_default();
        line!(lines, "          filter {} failed: {}", text("plugin"), text("reason"));
    }
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

#[cfg(test)]
mod tests;
