//! The conformance guest, see `../GUEST.md`.

use std::io::Read;
use std::time::{Duration, UNIX_EPOCH};

use edgeplug_guest::device::{Connection, Kind};
use edgeplug_guest::firmware::Update;
use edgeplug_guest::hardware::{self, gpio, i2c, serial, spi};
use edgeplug_guest::telemetry::{self, Outcome};
use edgeplug_guest::{
    Command, Ending, LatLong, Plugin, Reply, Sample, Scalar, Value, acks, config, debug, device, error, files, info,
    state, trace, twin, warn,
};

#[derive(Default)]
struct Conformance {
    calls: i64,
    /// Ids, in order.
    deferred: Vec<String>,
}

impl Plugin for Conformance {
    fn start(&mut self) -> Result<(), String> {
        info!("start: {}", config::get("greeting").as_deref().unwrap_or("(none)"));
        match config::get("refuse").as_deref() {
            Some("start") => Err("refused to start".to_owned()),
            _ => Ok(()),
        }
    }

    fn sample(&mut self) -> Result<Vec<Sample>, String> {
        self.calls += 1;
        for id in self.deferred.drain(..) {
            info!("finish {id}: {}", finished(&id, Ending::done("late")));
        }
        if config::get("bad").as_deref() == Some("sample") {
            return Err("no reading".to_owned());
        }
        let axes: [(&str, Scalar); 4] =
            [("x", (-0.5).into()), ("n", 3.into()), ("ok", false.into()), ("unit", "g".into())];
        let child = Sample::new()
            .of_device("child-1")
            .at(UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789))
            .with("on", true)
            .with("count", -7)
            .with("ratio", 0.1)
            .with("name", "Füße ☃ 𝄞")
            .with("place", LatLong { latitude: 52.5, longitude: -13.25 })
            .with("axes", Value::from_iter(axes));
        Ok(vec![Sample::new().with("calls", self.calls), child])
    }

    fn handle(&mut self, command: &Command) -> Result<Reply, String> {
        if command.text.starts_with("whoami") {
            return Ok(Reply::done(command.device.as_deref().unwrap_or("self")));
        }
        let (verb, argument) = command.text.split_once(' ').unwrap_or((&command.text, ""));
        match verb {
            "error" => Err(argument.to_owned()),
            "defer" => {
                self.deferred.push(command.id.clone());
                Ok(Reply::Deferred)
            }
            _ => Ok(carried_out(verb, argument).map_or_else(Reply::Failed, Reply::Done)),
        }
    }

    fn desired_changed(&mut self, change: &twin::Change) -> Result<(), String> {
        let extent = if change.complete { "complete" } else { "partial" };
        info!("desired {} {extent} {}", change.version, change.desired);
        match change.desired.as_str() {
            r#"{"reject":true}"# => Err(format!("rejected version {}", change.version)),
            _ => Ok(()),
        }
    }

    fn connection_changed(&mut self, connection: &Connection) {
        match connection {
            Connection::Connected => info!("connected"),
            Connection::Disconnected(reason) => info!("disconnected: {reason}"),
        }
    }

    fn update(&mut self, update: &Update) -> Result<Reply, String> {
        let Update { id, device, name, version, size, sha256 } = update;
        info!("update {id} for {} {name} {version} {size} {sha256}", device.as_deref().unwrap_or("self"));
        if name == "later.bin" {
            return Ok(Reply::Deferred);
        }
        Ok(match sum(update) {
            Ok((sum, length)) => Reply::done(format!("sum {sum} of {length} bytes")),
            Err(error) => Reply::failed(error.to_string()),
        })
    }

    fn transform(&mut self, samples: Vec<Sample>) -> Result<Vec<Sample>, String> {
        for (name, value) in samples.iter().flat_map(|sample| &sample.values) {
            if *value == Value::from("bad") {
                return Err(format!("bad text in {name}"));
            }
        }
        Ok(samples.into_iter().map(|sample| sample.with("mirrored", true)).collect())
    }

    fn save_state(&mut self) -> Result<Vec<u8>, String> {
        Ok(format!("calls={}", self.calls).into_bytes())
    }

    fn restore_state(&mut self, saved: &[u8]) -> Result<(), String> {
        let saved = String::from_utf8_lossy(saved);
        let calls = saved.strip_prefix("calls=").and_then(|calls| calls.parse().ok());
        match calls {
            Some(calls) if config::get("refuse").as_deref() != Some("restore") => self.calls = calls,
            _ => return Err(format!("cannot go on from {saved}")),
        }
        info!("restored calls={}", self.calls);
        Ok(())
    }

    fn stop(&mut self) {
        info!("stop");
    }
}

edgeplug_guest::export!(
    Conformance: sensor, commands, twin_events, connection_events, firmware, transform, lifecycle
);

/// What a command is done or failed with.
fn carried_out(verb: &str, argument: &str) -> Result<String, String> {
    let ok = || "ok".to_owned();
    match verb {
        "echo" => Ok(argument.to_owned()),
        "fail" => Err(argument.to_owned()),
        "trap" => panic!("deliberate"),
        "finish" => Ok(finished(argument, Ending::failed("given up"))),
        "progress" => progress(argument).ok_or_else(|| "not <id> <percent> <text>".to_owned()).map(|()| ok()),
        "outcomes" => Ok(outcomes()),
        "send" => Ok(sent(argument.parse().map_err(|_| "not a number")?)),
        "integers" => Ok(integers()),
        "numbers" => Ok(numbers()),
        "twin" => twin::get().map(described_twin).map_err(described_twin_error),
        "report" => twin::report(argument).map(|version| format!("version {version}")).map_err(described_twin_error),
        "state-set" => {
            let (key, text) = argument.split_once(' ').unwrap_or((argument, ""));
            state::set(key, text).map(|()| ok()).map_err(described_state_error)
        }
        "state-bytes" => {
            let bytes: Vec<u8> = (0..=u8::MAX).collect();
            state::set(argument, bytes).map(|()| ok()).map_err(described_state_error)
        }
        "state-get" => {
            let value = state::get(argument).map_err(described_state_error)?;
            Ok(value.map_or_else(|| "(none)".to_owned(), |value| String::from_utf8_lossy(&value).into_owned()))
        }
        "state-hex" => {
            let value = state::get(argument).map_err(described_state_error)?;
            let hexadecimal = |value: Vec<u8>| value.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(value.map_or_else(|| "(none)".to_owned(), hexadecimal))
        }
        "state-delete" => state::delete(argument).map(|()| ok()).map_err(described_state_error),
        "state-keys" => state::keys().map(|keys| keys.join(",")).map_err(described_state_error),
        "config" => Ok(config::get(argument).unwrap_or_else(|| "(none)".to_owned())),
        "config-all" => {
            let all: Vec<_> = config::all().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            Ok(all.join(";"))
        }
        "device" => {
            let connected = if device::connected() { "connected" } else { "disconnected" };
            Ok(format!("{}, {connected}", device::unique_id()))
        }
        "template" => Ok(device::template().map_or_else(|| "none".to_owned(), described_template)),
        "read" => files::read(argument).map(text).map_err(described_files_error),
        "read-at" => {
            let mut words = argument.splitn(3, ' ');
            let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or("not a number");
            let (offset, length) = (number()?, number()?);
            let length = u32::try_from(length).map_err(|_| "too long")?;
            files::read_at(words.next().unwrap_or_default(), offset, length).map(text).map_err(described_files_error)
        }
        "find" => files::find(argument).map(|paths| paths.join(",")).map_err(described_files_error),
        "hardware" => Ok(hardware()),
        "disconnect" => device::disconnect().map(|()| ok()),
        "reconnect" => device::reconnect().map(|()| ok()),
        "log" => {
            trace!("trace ☃");
            debug!("debug ☃");
            info!("info ☃");
            warn!("warn ☃");
            error!("error ☃");
            Ok(ok())
        }
        "print" => {
            println!("to standard output");
            eprintln!("to standard error");
            Ok(ok())
        }
        other => Err(format!("no command {other}")),
    }
}

fn finished(id: &str, ending: Ending) -> String {
    match acks::finish(id, ending) {
        Ok(()) => "ok".to_owned(),
        Err(acks::Error::Unknown) => "unknown".to_owned(),
        Err(acks::Error::NotYours) => "not-yours".to_owned(),
        Err(acks::Error::Unavailable(reason)) => format!("unavailable: {reason}"),
    }
}

fn progress(argument: &str) -> Option<()> {
    let (id, rest) = argument.split_once(' ')?;
    let (percent, text) = rest.split_once(' ')?;
    acks::progress(id, percent.parse().ok()?, text);
    Some(())
}

fn outcomes() -> String {
    let samples: Vec<_> =
        ["a", "b", "c", "d"].into_iter().zip(1..).map(|(name, n)| Sample::new().with(name, n)).collect();
    let outcomes = telemetry::send(&samples).into_iter().map(|outcome| match outcome {
        Outcome::Accepted => "accepted".to_owned(),
        Outcome::AcceptedInMemory => "accepted-in-memory".to_owned(),
        Outcome::HeldBack => "held-back".to_owned(),
        Outcome::Rejected(reason) => format!("rejected: {reason}"),
    });
    outcomes.collect::<Vec<_>>().join(", ")
}

fn sent(count: i64) -> String {
    let samples: Vec<_> = (0..count).map(|n| Sample::new().with("n", n)).collect();
    let outcomes = telemetry::send(&samples);
    let accepted = outcomes.iter().filter(|outcome| outcome.is_accepted()).count();
    format!("{accepted} accepted, {} not", outcomes.len() - accepted)
}

fn integers() -> String {
    let sent = |(name, value): (&str, i64)| {
        let outcomes = telemetry::send(&[Sample::new().with(name, value)]);
        format!("{name} {}", if outcomes.iter().all(Outcome::is_accepted) { "ok" } else { "not accepted" })
    };
    [("min", i64::MIN), ("max", i64::MAX), ("safe", 9_007_199_254_740_991)].map(sent).join(", ")
}

fn numbers() -> String {
    let sample = Sample::new()
        .with("nan", f64::NAN)
        .with("inf", f64::INFINITY)
        .with("neg", f64::NEG_INFINITY)
        .with("zero", -0.0)
        .with("tiny", 5e-324)
        .with("big", f64::MAX);
    let _ = telemetry::send(&[sample]);
    "ok".to_owned()
}

/// The sum of a firmware file's bytes modulo 2^32, and how many they are.
fn sum(update: &Update) -> std::io::Result<(u32, usize)> {
    let (mut reader, mut piece) = (update.reader(), [0; 4096]);
    let (mut sum, mut length) = (0u32, 0);
    loop {
        let count = reader.read(&mut piece)?;
        if count == 0 {
            return Ok((sum, length));
        }
        sum = piece[..count].iter().fold(sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        length += count;
    }
}

fn hardware() -> String {
    let name = |outcome: Result<(), hardware::Error>| match outcome {
        Ok(()) => "ok",
        Err(hardware::Error::Denied(_)) => "denied",
        Err(hardware::Error::NoDevice) => "no-device",
        Err(hardware::Error::TimedOut) => "timed-out",
        Err(hardware::Error::TooMuch(_)) => "too-much",
        Err(hardware::Error::Other(_)) => "other",
    };
    let i2c = name(i2c::write_read("bus", 0x40, &[1, 2], 1).map(drop));
    let spi = name(spi::transaction("device", &[spi::Operation::Transfer(vec![1])]).map(drop));
    let gpio = name(gpio::read("line").map(drop));
    let serial = name(serial::write("port", &[65]));
    format!("i2c {i2c}, spi {spi}, gpio {gpio}, serial {serial}")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn described_twin(twin: twin::Document) -> String {
    let twin::Document { desired, desired_version, reported, reported_version } = twin;
    format!("desired {desired} v{desired_version}, reported {reported} v{reported_version}")
}

fn described_twin_error(error: twin::Error) -> String {
    match error {
        twin::Error::Unavailable(reason) => format!("unavailable: {reason}"),
        twin::Error::Invalid(reason) => format!("invalid: {reason}"),
        twin::Error::Refused(status) => format!("refused: {status}"),
    }
}

fn described_state_error(error: state::Error) -> String {
    match error {
        state::Error::Quota(reason) => format!("quota: {reason}"),
        state::Error::Unavailable(reason) => format!("unavailable: {reason}"),
    }
}

fn described_files_error(error: files::Error) -> String {
    match error {
        files::Error::Denied(_) => "denied".to_owned(),
        files::Error::NotFound => "not-found".to_owned(),
        files::Error::TooLarge(limit) => format!("too-large {limit}"),
        files::Error::Other(reason) => format!("other: {reason}"),
    }
}

fn described_template(template: device::Template) -> String {
    let mut words =
        vec![format!("every {} s", template.frequency_s), if template.edge { "edge" } else { "plain" }.to_owned()];
    for attribute in &template.attributes {
        let device::Attribute { name, tag, validity, .. } = attribute;
        let members: Vec<_> =
            attribute.members.iter().map(|member| typed(&member.name, member.kind, &member.validity)).collect();
        let members = if members.is_empty() { String::new() } else { format!("{{{}}}", members.join(",")) };
        words.push(format!("{name}:{}:{tag}:{validity}{members}", attribute.kind.name()));
    }
    let settings = &template.settings;
    words.extend(
        settings.iter().map(|setting| format!("set {}", typed(&setting.name, setting.kind, &setting.validity))),
    );
    words.extend(template.children.iter().map(|child| format!("child {}:{}", child.unique_id, child.tag)));
    words.join(" | ")
}

fn typed(name: &str, of: Kind, validity: &str) -> String {
    format!("{name}:{}:{validity}", of.name())
}
