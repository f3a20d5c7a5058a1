//! What the host saw, in the transcript's words, and the transcript's samples as values.

use anyhow::{Context as _, bail, ensure};
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;
use serde_json::Value;

/// Longer lists are written as their ends.
const WRITTEN_MAX: usize = 10;

/// One line for each sample, or one for all.
pub(crate) fn samples(word: &str, samples: &[Sample]) -> Vec<String> {
    match samples {
        [first, .., last] if samples.len() > WRITTEN_MAX => {
            vec![format!("{word} {}, the first {}, the last {}", samples.len(), sample(first), sample(last))]
        }
        _ => samples.iter().map(|one| format!("{} {}", word.trim_end_matches('s'), sample(one))).collect(),
    }
}

fn sample(sample: &Sample) -> String {
    let device = sample.device.as_deref().unwrap_or("self");
    let time = sample.time.as_ref().map_or("-", Timestamp::as_str);
    let values: Vec<_> = sample.values.iter().map(|(name, held)| format!("{}: {}", json(name), value(held))).collect();
    format!("{device} {time} {{{}}}", values.join(", "))
}

fn value(held: &Value) -> String {
    match held {
        Value::Array(place) => {
            let degrees: Vec<_> = place.iter().map(ToString::to_string).collect();
            format!("lat-long {}", degrees.join(" "))
        }
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().map(|(name, held)| format!("{}: {}", json(name), value(held))).collect();
            members.sort();
            format!("object {{{}}}", members.join(", "))
        }
        Value::Bool(held) => format!("boolean {held}"),
        Value::Number(held) if held.is_f64() => format!("number {held}"),
        Value::Number(held) => format!("integer {held}"),
        Value::String(held) => format!("text {}", json(held)),
        Value::Null => "null".to_owned(),
    }
}

pub(crate) fn json(text: &str) -> String {
    Value::from(text).to_string()
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `[n of] device time {values}`, several with ` ; ` between them.
pub(crate) fn parse_samples(text: &str) -> anyhow::Result<Vec<Sample>> {
    let (times, text) = match text.split_once(" of ") {
        Some((times, text)) if times.parse::<usize>().is_ok() => (times.parse()?, text),
        _ => (1, text),
    };
    let samples = text.split(" ; ").map(parse_sample).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(std::iter::repeat_n(samples, times).flatten().collect())
}

fn parse_sample(text: &str) -> anyhow::Result<Sample> {
    let (device, rest) = text.trim().split_once(' ').context("no device")?;
    let (time, values) = rest.split_once(' ').context("no time")?;
    let mut rest = values.strip_prefix('{').and_then(|values| values.strip_suffix('}')).context("no values")?;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once(": ").context("no name")?;
        let (held, behind) = parse_value(behind)?;
        values.push((serde_json::from_str(name)?, held));
        rest = behind.strip_prefix(", ").unwrap_or(behind);
    }
    let device = (device != "self").then(|| device.to_owned());
    let time = if time == "-" { None } else { Some(Timestamp::parse(time)?) };
    Ok(Sample { device, time, values })
}

fn parse_value(text: &str) -> anyhow::Result<(Value, &str)> {
    let (kind, rest) = text.split_once(' ').context("no kind")?;
    let read = |rest: &str| -> anyhow::Result<(Value, usize)> {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let value = values.next().context("no value")??;
        Ok((value, values.byte_offset()))
    };
    let (value, length) = match kind {
        "lat-long" => {
            let (latitude, length) = read(rest)?;
            let (longitude, more) = read(&rest[length..])?;
            (Value::Array(vec![latitude, longitude]), length + more)
        }
        "boolean" | "integer" | "number" | "text" => read(rest)?,
        _ => bail!("a step has no {kind}"),
    };
    ensure!(kind != "number" || value.is_f64(), "{value} is no number with decimals");
    Ok((value, &rest[length..]))
}
