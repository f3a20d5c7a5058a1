//! Firmware updates, for people.

use std::fmt::Write as _;

use serde_json::Value;

/// `edgeplug ota list`.
pub(in crate::cli) fn list(updates: &Value) -> String {
    let updates = updates.as_array().map(Vec::as_slice).unwrap_or_default();
    if updates.is_empty() {
        return "no updates under way\n".to_owned();
    }
    let mut lines = String::new();
    for update in updates {
        one(update, "", &mut lines);
    }
    lines
}

/// Their part of `edgeplug status`.
pub(in crate::cli) fn status(status: &Value, lines: &mut String) {
    let refused = status.get("ota_refused").and_then(Value::as_str).unwrap_or_default();
    if !refused.is_empty() {
        line!(lines, "updates   are refused: {refused}");
    }
    let updates = status.get("updates").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !updates.is_empty() {
        line!(lines, "updates   {} under way", updates.len());
    }
    for update in updates {
        one(update, "          ", lines);
    }
}

fn one(update: &Value, indent: &str, lines: &mut String) {
    let text = |key: &str| update.get(key).and_then(Value::as_str).unwrap_or_default();
    let version = if text("version").is_empty() { "a version without a name" } else { text("version") };
    let target = if text("target").is_empty() { "this device" } else { text("target") };
    let file = if text("file").is_empty() { String::new() } else { format!(" {}", text("file")) };
    let percent = update.get("percent").and_then(Value::as_u64).map(|percent| format!(", {percent} %"));
    let attempts = update.get("attempts").and_then(Value::as_u64).filter(|attempts| *attempts > 1);
    let attempts = attempts.map(|attempts| format!(", attempt {attempts}")).unwrap_or_default();
    let phase = text("phase").replace('-', " ");
    let (id, percent) = (text("id"), percent.unwrap_or_default());
    line!(lines, "{indent}{id}  {version} for {target}: {phase}{file}{percent}{attempts}");
    if !text("trouble").is_empty() {
        line!(lines, "{indent}  {}", text("trouble"));
    }
}

#[cfg(test)]
mod tests;
