//! Whether a wall stood: what must hold of every attack, and what of this one.

use edgeplug_protocol::sample::Sample;
use serde_json::Value;

use super::run::{Footprint, Seen};
use super::stage::Stage;
use super::task::{ATTACKER, NEIGHBOUR, Report, Status};
use super::wall::{Ends, Wall};

/// What an attacker with 16 MiB may cost the daemon: these, its tables, its code, its answer copied twice, its log.
const RSS_GROWTH_KB_MAX: u64 = 64 << 10;
/// Two workers, the lanes, the tickers, the watchers, and the runtime's threads for files.
const THREADS_MAX: u64 = 96;
/// A guest's sockets and files included.
const DESCRIPTORS_MAX: u64 = 512;
/// A few plugins; fifty stay below 8 GiB.
const VIRTUAL_KB_MAX: u64 = 8 << 20;
/// Samples in one answer (`wit/imports.wit`, `telemetry.send`).
const SAMPLES_MAX: u64 = 1000;
/// Samples a second that a plugin may send, and what it may send at once.
const OFFERED_PER_S: u64 = 1000;
const OFFERED_BURST: u64 = 5000;
/// What a plugin may keep (`wit/imports.wit`, `state`).
const KEPT_BYTES_MAX: u64 = 64 << 10;
/// Changes a second that it may have kept, and at once.
const KEPT_CHANGES_PER_S: u64 = 10;
const KEPT_CHANGES_BURST: u64 = 100;
/// Bytes a second that it may send, and at once: 256 KiB and 2.5 MiB, and what JSON adds.
const OFFERED_BYTES_PER_S: u64 = 300 << 10;
const OFFERED_BYTES_BURST: u64 = 3 << 20;
/// Longest single call of the neighbour: a percentile hides one that waited for as long as everything stood still.
const NEIGHBOUR_MS_MAX: u64 = 1000;
/// The daemon's side gives plugins two seconds.
const STOP_MS_MAX: u64 = 4000;
/// Said, as much of it as helps.
const SAID_LEN_MAX: usize = 1000;
/// Longest text about one fault or refusal.
const WORDS_LEN_MAX: usize = 8 << 10;

/// What was found of one attack.
pub(super) struct Judgement {
    /// What became of the attacker, in a few words.
    pub(super) seen: String,
    /// Why the wall does not stand; empty when it does.
    pub(super) breaches: Vec<String>,
    pub(super) is_quarantined: bool,
}

pub(super) fn judge(wall: &Wall, stage: &Stage, seen: &Seen) -> Judgement {
    let Seen { footprint, report } = seen;
    let status = |plugin: &str| report.list.iter().find(|status| status.plugin == plugin);
    let attacker = status(ATTACKER);
    let state = attacker.map_or("unknown", |status| &status.state);
    let is_quarantined = state == "quarantined";
    let mut breaches = of_any(footprint, report);
    if serde_json::to_string(report).is_ok_and(|text| text.contains(stage.canary())) {
        breaches.push("the secret came out".to_owned());
    }
    if status(NEIGHBOUR).is_none_or(|status| status.state != "running" || status.faults != 0) {
        breaches.push("the neighbour fell".to_owned());
    }
    let through = report.readings.iter().filter_map(|reading| value(reading, "through"));
    breaches.extend(through.map(|what| format!("it got through: {what}")));

    let said = said(report, attacker);
    let words = said.iter().find(|text| text.contains(wall.words)).cloned();
    if words.is_none() && !wall.words.is_empty() {
        let mut said = format!("{said:?}");
        said.truncate(said.floor_char_boundary(SAID_LEN_MAX));
        breaches.push(format!("nobody said {:?}: {said}", wall.words));
    }
    let tried = report.readings.iter().filter_map(|reading| value(reading, "tried")?.as_i64()).max();
    match wall.ends {
        Ends::Refused if report.ups > 0 => breaches.push("it was taken".to_owned()),
        Ends::Refused if report.words.is_empty() => breaches.push("nobody refused it".to_owned()),
        Ends::Contained if report.ups == 0 => breaches.push("it never ran".to_owned()),
        Ends::Denied if tried.is_none_or(|tried| tried == 0) => breaches.push("it tried nothing".to_owned()),
        Ends::Denied if report.failed > 0 => breaches.push("it fell, which proves little".to_owned()),
        Ends::Quarantined if !is_quarantined => breaches.push(format!("it is {state}, not quarantined")),
        _ => {}
    }
    let mut words = words.unwrap_or_default();
    if let Some((end, _)) = words.char_indices().nth(140) {
        words.truncate(end);
        words.push('…');
    }
    let seen = format!("{state}, {} good, {} failed, {} up: {words}", report.good, report.failed, report.ups);
    Judgement { seen, breaches, is_quarantined }
}

fn of_any(footprint: &Footprint, report: &Report) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut most = |what: &str, is: u64, most: u64| {
        if is > most {
            breaches.push(format!("{is} {what}; {most} are the most"));
        }
    };
    let seconds = (report.attack_ms + report.stop_ms).div_ceil(1000);
    most("ms to end it", report.stop_ms, STOP_MS_MAX);
    let slowest_us = report.attack_us.iter().max().copied().unwrap_or(0);
    most("ms in one call of the neighbour", u64::from(slowest_us / 1000), NEIGHBOUR_MS_MAX);
    most("KiB more of memory", footprint.rss_kb.saturating_sub(footprint.rss_kb_alone), RSS_GROWTH_KB_MAX);
    most("threads", footprint.threads, THREADS_MAX);
    most("descriptors", footprint.descriptors, DESCRIPTORS_MAX);
    most("KiB of address space", footprint.virtual_kb, VIRTUAL_KB_MAX);
    most("samples in one answer", report.samples_max, SAMPLES_MAX);
    most("samples sent", report.offered, OFFERED_BURST + OFFERED_PER_S * seconds);
    most("bytes sent", report.offered_bytes, OFFERED_BYTES_BURST + OFFERED_BYTES_PER_S * seconds);
    most("changes kept", report.kept_changes, KEPT_CHANGES_BURST + KEPT_CHANGES_PER_S * seconds);
    most("bytes kept", report.kept_bytes_max, KEPT_BYTES_MAX);
    most("times progress told", report.progress, 250 * seconds);
    let longest = report.words.iter().chain(&report.log).map(String::len).max().unwrap_or(0);
    most("bytes of words about one thing", longest as u64, WORDS_LEN_MAX as u64);
    if let Some(line) = report.words.iter().chain(&report.log).find(|line| line.chars().any(misleads)) {
        breaches.push(format!("control characters in words: {line:?}"));
    }
    if !report.missed.is_empty() {
        breaches.push(format!("calls of the neighbour were missed: {:?}", report.missed));
    }
    if !report.stolen.is_empty() {
        breaches.push(format!("asked in another's name: {:?}", report.stolen));
    }
    breaches
}

/// Whether a letter makes a reader take a line for something else: control characters, separators of lines, and marks
/// that turn the direction of what follows (Unicode Technical Report 36, 2.5).
pub(super) fn misleads(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Everything in words: of the host and of the guest.
fn said(report: &Report, attacker: Option<&Status>) -> Vec<String> {
    let mut said = report.words.clone();
    said.extend(report.readings.iter().map(|reading| match value(reading, "refused") {
        Some(refused) => refused.to_string(),
        None => serde_json::to_string(reading).unwrap_or_default(),
    }));
    said.extend(attacker.and_then(|status| status.problem.clone()));
    said.extend(report.log.iter().cloned());
    said
}

fn value<'a>(sample: &'a Sample, name: &str) -> Option<&'a Value> {
    sample.values.iter().find(|(attribute, _)| attribute == name).map(|(_, value)| value)
}
