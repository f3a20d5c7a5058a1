//! Plugins, for people: all of them with a line each, or one with everything that is known of it.
//!
//! What a daemon of another version does not say is left out.

use std::fmt::Write as _;

use serde_json::Value;

/// Digits of a version's hash that tell it from others.
const HASH_SHOWN: usize = 12;
/// The longest bar of a histogram.
const BAR_WIDTH: u64 = 40;

/// `edgeplug plugin list`.
pub(in crate::cli) fn list(plugins: &Value) -> String {
    const HEADER: [&str; 10] =
        ["PLUGIN", "STATE", "VERSION", "EVERY", "CALLS", "ERRORS", "FAULTS", "RESTARTS", "P99", "MEMORY"];
    let plugins = plugins.as_array().map(Vec::as_slice).unwrap_or_default();
    if plugins.is_empty() {
        return "no plugins; drop a .wasm component into the plugins directory\n".to_owned();
    }
    let rows: Vec<[String; HEADER.len()]> = plugins.iter().map(|plugin| row(&Plugin(plugin))).collect();
    let mut widths = HEADER.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = String::new();
    let put = |cells: &mut dyn Iterator<Item = &str>, lines: &mut String| {
        let padded: Vec<_> = cells.zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        line!(lines, "{}", padded.join("  ").trim_end());
    };
    put(&mut HEADER.into_iter(), &mut lines);
    for (row, plugin) in rows.iter().zip(plugins) {
        put(&mut row.iter().map(String::as_str), &mut lines);
        for remark in remarks(&Plugin(plugin)) {
            line!(lines, "  {remark}");
        }
    }
    lines
}

/// `edgeplug plugin show`.
pub(in crate::cli) fn show(plugin: &Value) -> String {
    let plugin = Plugin(plugin);
    let mut lines = String::new();
    line!(lines, "{}  {}", plugin.text("/plugin"), plugin.text("/state"));
    for remark in remarks(&plugin) {
        line!(lines, "  {remark}");
    }
    about(&plugin, &mut lines);
    figures(&plugin, &mut lines);
    lines
}

/// What it is and what it may touch.
fn about(plugin: &Plugin<'_>, lines: &mut String) {
    if !plugin.text("/sha256").is_empty() {
        line!(lines, "  version    {}", plugin.text("/sha256"));
    }
    match (plugin.text("/version"), plugin.text("/signed_by")) {
        ("", "") => {}
        ("", key) => line!(lines, "  signed     by {key}"),
        (release, "") => line!(lines, "  release    {release}"),
        (release, key) => line!(lines, "  release    {release}, signed by {key}"),
    }
    let exports = plugin.0.get("exports").and_then(Value::as_object);
    let exports = exports.into_iter().flatten().filter(|(_, exported)| exported.as_bool() == Some(true));
    let exports: Vec<_> = exports.map(|(name, _)| name.as_str()).collect();
    if !exports.is_empty() {
        line!(lines, "  exports    {}", exports.join(", "));
    }
    if plugin.number("/interval_ms") > 0 {
        line!(lines, "  sampled    every {} ms", plugin.number("/interval_ms"));
    }
    for grant in plugin.list("/grants") {
        line!(lines, "  right      {grant}");
    }
    for (path, what) in [
        ("/commands/names", "commands   only"),
        ("/commands/devices", "commands   for"),
        ("/firmware/devices", "firmware   for"),
    ] {
        let entries: Vec<_> = plugin.list(path).collect();
        if !entries.is_empty() {
            line!(lines, "  {what} {}", entries.join(", "));
        }
    }
}

/// What its calls took and brought.
fn figures(plugin: &Plugin<'_>, lines: &mut String) {
    let number = |key: &str| plugin.number(&format!("/figures/{key}"));
    line!(
        lines,
        "  lives      {} started, {} restarts, {} swaps, {} rolled back, {} strikes",
        number("starts"),
        plugin.number("/restarts"),
        plugin.number("/swaps"),
        plugin.number("/rollbacks"),
        plugin.number("/strikes")
    );
    line!(
        lines,
        "  memory     {} now, {} at most",
        mebibytes(number("memory_bytes")),
        mebibytes(plugin.number("/memory_bytes_max").max(number("memory_bytes_max")))
    );
    line!(lines, "  processor  {} in all, {} lane", time(number("cpu_us")), plugin.text("/figures/lane"));
    line!(
        lines,
        "  readings   {} samples, {} values, {} bytes; {} samples rejected",
        number("samples"),
        number("readings"),
        number("reading_bytes"),
        number("rejected")
    );
    line!(lines, "  host       waited for {} times; {} rights refused", number("waits"), number("refused"));
    let calls = plugin.0.pointer("/figures/calls").and_then(Value::as_object);
    let calls: Vec<_> = calls.into_iter().flatten().collect();
    if !calls.is_empty() {
        line!(lines, "  {:28} {:>9} {:>7} {:>7} {:>9}", "calls", "good", "errors", "traps", "time-outs");
    }
    for (export, ended) in calls {
        let count = |key: &str| ended.get(key).and_then(Value::as_u64).unwrap_or_default();
        let (good, errors, traps, timeouts) = (count("good"), count("errors"), count("traps"), count("timeouts"));
        line!(lines, "    {export:26} {good:>9} {errors:>7} {traps:>7} {timeouts:>9}");
    }
    if number("latency/count") > 0 {
        let of = |key: &str| time(number(&format!("latency/{key}_us")));
        let (half, most, nearly_all, longest) = (of("p50"), of("p90"), of("p99"), of("max"));
        line!(lines, "  call times p50 {half}, p90 {most}, p99 {nearly_all}, longest {longest}");
        histogram(plugin, lines);
    }
}

/// The daemon's buckets are eighths of a power of two; whole ones are enough to look at.
fn histogram(plugin: &Plugin<'_>, lines: &mut String) {
    let mut octaves: Vec<(u64, u64)> = Vec::new();
    let buckets = plugin.0.pointer("/figures/latency/buckets").and_then(Value::as_array);
    for bucket in buckets.map(Vec::as_slice).unwrap_or_default() {
        let field = |key: &str| bucket.get(key).and_then(Value::as_u64).unwrap_or_default();
        let up_to_us = field("up_to_us").checked_next_power_of_two().unwrap_or(u64::MAX);
        match octaves.last_mut().filter(|(last, _)| *last == up_to_us) {
            Some((_, count)) => *count += field("count"),
            None => octaves.push((up_to_us, field("count"))),
        }
    }
    let most = octaves.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1);
    for (up_to_us, count) in octaves {
        // Whatever there was is seen.
        let width = (count.saturating_mul(BAR_WIDTH) / most).max(1);
        let bar = "#".repeat(usize::try_from(width).unwrap_or_default());
        line!(lines, "    up to {:>9} {count:>9}  {bar}", time(up_to_us));
    }
}

/// One line of the list.
fn row(plugin: &Plugin<'_>) -> [String; 10] {
    let hash: String = plugin.text("/sha256").chars().take(HASH_SHOWN).collect();
    let unless = |unless: bool, text: String| if unless { "-".to_owned() } else { text };
    let interval_ms = plugin.number("/interval_ms");
    let sampled = plugin.0.pointer("/exports/sensor").and_then(Value::as_bool).unwrap_or(true);
    let memory = plugin.number("/figures/memory_bytes");
    [
        plugin.text("/plugin").to_owned(),
        plugin.text("/state").to_owned(),
        unless(hash.is_empty(), format!("{} {hash}", plugin.text("/version")).trim_start().to_owned()),
        unless(interval_ms == 0 || !sampled, time(interval_ms.saturating_mul(1000))),
        plugin.number("/calls").to_string(),
        plugin.number("/errors").to_string(),
        plugin.number("/faults").to_string(),
        plugin.number("/restarts").to_string(),
        unless(plugin.number("/figures/latency/count") == 0, time(plugin.number("/figures/latency/p99_us"))),
        unless(memory == 0, mebibytes(memory)),
    ]
}

/// What somebody has to know who looks after it.
fn remarks(plugin: &Plugin<'_>) -> Vec<String> {
    let name = plugin.text("/plugin");
    let mut remarks = Vec::new();
    match plugin.text("/state") {
        "quarantined" => remarks.push(format!(
            "it failed too often and is left alone; `edgeplug plugin restart {name}` or another file ends that"
        )),
        "disabled" => {
            remarks.push(format!("an operator switched it off; `edgeplug plugin enable {name}` ends that"));
        }
        _ => {}
    }
    match (plugin.text("/origin/component"), plugin.text("/origin/manifest")) {
        ("ota", "ota") => remarks.push("it came by an update, and its manifest with it".to_owned()),
        ("ota", _) => remarks.push("it came by an update".to_owned()),
        _ => {}
    }
    if plugin.0.get("probation").is_some_and(Value::is_object) {
        let (calls, wanted) = (plugin.number("/probation/good_calls"), plugin.number("/probation/good_calls_wanted"));
        let seconds = plugin.number("/probation/seconds_left");
        remarks.push(format!("on probation: {calls} of {wanted} good calls, {seconds} s left"));
    }
    if plugin.0.get("set_aside").is_some_and(Value::is_object) {
        let hash: String = plugin.text("/set_aside/sha256").chars().take(HASH_SHOWN).collect();
        remarks.push(format!("version {hash} is set aside: {}", plugin.text("/set_aside/reason")));
    }
    if plugin.text("/figures/lane") == "idle" {
        let words =
            "it computes more than its share, or did not end in time: it runs when nobody else wants the processor";
        remarks.push(words.to_owned());
    }
    if !plugin.text("/problem").is_empty() {
        remarks.push(format!("problem: {}", plugin.text("/problem")));
    }
    remarks
}

/// What the daemon said of one plugin.
struct Plugin<'a>(&'a Value);

impl<'a> Plugin<'a> {
    fn text(&self, pointer: &str) -> &'a str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> u64 {
        self.0.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
    }

    fn list(&self, pointer: &str) -> impl Iterator<Item = &'a str> {
        let entries = self.0.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        entries.iter().filter_map(Value::as_str)
    }
}

/// In the unit that leaves a few digits.
fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..100_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        100_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..100_000_000 => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

#[cfg(test)]
mod tests;
