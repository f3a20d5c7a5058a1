//! `edgeplug preview`: what the cloud would get of some readings, without a cloud, a device or a daemon.
//!
//! The daemon's own session decides and encodes ([`device`]); only what stands around it is played. Readings come as
//! JSON lines, each a call of a plugin ([`input`]); out come the topics and bodies that would be published, what became
//! of every reading and why, and the local commands of edge rules.
//!
//! What must stay true: nothing here makes a message. Deliberately absent: batches, because the daemon joins rows by
//! when they happen to meet; each row is shown as a message of its own.

mod device;
mod input;
#[cfg(test)]
mod tests;

use std::io::{BufRead, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use edgeplug_session::action::Outcome;
use serde_json::json;

use crate::cli::print::say;
use crate::config::Config;
use crate::exit::{Exit, Problem};
use device::{Device, Shown};
use input::{Call, Setup};

/// Longest line read: far more than a plugin may send in one call.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// What was typed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each line of standard input is what a plugin sends in one call, a sample or a list of samples:

  {\"values\": {\"temp\": 21.5}}
  {\"at\": 10, \"device\": \"C1\", \"time\": \"2021-01-24T10:06:17.857Z\", \"values\": {\"temp\": 1}}
  [{\"uniqueId\": \"GW\", \"time\": \"2021-01-24T10:06:17.857Z\", \"data\": {\"temp\": 1}}]

\"at\" is when, in seconds from the start; without it, the moment of the line before.
\"plugin\" names the sender, because the data frequency counts for each by itself.
\"values\" may also be a list of pairs; the third form is that of the Python SDK.
After the last line the clock goes on until every window has ended and nothing is held back.

FILE of --sync is the answer to a sync, or its \"d\".
FILE of --identity is the answer to the identity request, or its \"d\"; what a 2.1 device asks
for later comes along in {\"identity\": ..., \"replies\": {\"201\": ..., \"204\": ...}}.

The exit code is 0 if all would be sent as given, and 37 if something is refused, left out or
held back.")]
pub(crate) struct Preview {
    #[command(flatten)]
    answer: Answer,
    /// Take environment, language, rounding and the policy for the data frequency from this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The device's own unique id, where the answer does not say it (2.1).
    #[arg(long, value_name = "ID")]
    unique_id: Option<String>,
    /// Environment of the portal, as it stands in every legacy body.
    #[arg(long, value_name = "ENV")]
    env: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What describes the device.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Answer {
    /// What the legacy cloud (protocol 1.0) answered to sync.
    #[arg(long, value_name = "FILE")]
    sync: Option<PathBuf>,
    /// What the 2.1 cloud answered to identity, and to the questions after it.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl Preview {
    /// Shows everything; the exit code says whether all of it would be sent as given.
    pub(crate) fn run(self) -> Result<(), Problem> {
        let mut setup = match (&self.answer.sync, &self.answer.identity) {
            (Some(file), _) => Setup::from_sync(&input::read(file)?)?,
            (None, Some(file)) => Setup::from_identity(&input::read(file)?, self.unique_id.as_deref())?,
            // clap asks for one of them.
            (None, None) => return Err(Problem::new(Exit::Failed, "name a file with --sync or --identity")),
        };
        if let Some(file) = &self.config {
            setup.configure(Config::load(file)?.session);
        }
        if let Some(environment) = self.env.clone() {
            setup.session.environment = environment;
        }
        let counts = self.play(setup, std::io::stdin().lock())?;
        if counts.incomplete == 0 {
            return Ok(());
        }
        let text = format!("{} of {} samples would not be sent as given", counts.incomplete, counts.samples);
        Err(Problem::new(Exit::PreviewIncomplete, text))
    }

    fn play(&self, setup: Setup, mut lines: impl BufRead) -> Result<Counts, Problem> {
        let mut device = Device::start(setup)?;
        let mut counts = Counts::default();
        for number in 1.. {
            let Some(line) = next_line(&mut lines, number)? else { break };
            let Some(call) = Call::parse(&line, device.own_id()).map_err(|reason| not_a_call(number, &reason))? else {
                continue;
            };
            if let Some(at) = call.at {
                self.show(&device.pass_to(at), None, &mut counts)?;
            }
            self.show(&device.offer(call), Some(number), &mut counts)?;
        }
        self.show(&device.run_out(), None, &mut counts)?;
        Ok(counts)
    }

    fn show(&self, shown: &[(Duration, Shown)], line: Option<u64>, counts: &mut Counts) -> Result<(), Problem> {
        for (at, shown) in shown {
            if let Shown::Outcome { outcome, .. } = shown {
                counts.samples += 1;
                counts.incomplete += u64::from(!matches!(outcome, Outcome::Accepted | Outcome::AcceptedInMemory));
            }
            say(&if self.json { as_json(*at, shown, line) } else { in_words(*at, shown, line) })?;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Counts {
    samples: u64,
    incomplete: u64,
}

/// The next line without its end; `None` at the end of the input.
fn next_line(lines: &mut impl BufRead, number: u64) -> Result<Option<String>, Problem> {
    let mut line = Vec::new();
    let read = lines.take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    let read = read.map_err(|error| Problem::new(Exit::Failed, format!("cannot read standard input: {error}")))?;
    if read as u64 == LINE_BYTES_MAX {
        return Err(not_a_call(number, &format!("it is longer than {LINE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(line).map_err(|_| not_a_call(number, "it is not UTF-8"))?;
    Ok((read > 0).then_some(text))
}

fn not_a_call(number: u64, reason: &str) -> Problem {
    let text =
        format!("line {number} of standard input: {reason}; write a line like {{\"values\": {{\"temp\": 21.5}}}}");
    Problem::new(Exit::Failed, text)
}

fn as_json(at: Duration, shown: &Shown, line: Option<u64>) -> String {
    let at_s = at.as_secs_f64();
    match shown {
        Shown::Outcome { sample, outcome, frequency_s } => {
            let (word, reason) = outcome_words(outcome, *frequency_s);
            json!({ "at_s": at_s, "line": line, "sample": sample, "outcome": word, "reason": reason }).to_string()
        }
        // The body as it is, to the byte.
        Shown::Publish { topic, body } => format!("{{\"at_s\":{at_s},\"topic\":{},\"body\":{body}}}", json!(topic)),
        Shown::Command { text, device } => json!({ "at_s": at_s, "command": text, "device": device }).to_string(),
    }
}

fn in_words(at: Duration, shown: &Shown, line: Option<u64>) -> String {
    let at_s = at.as_secs_f64();
    match shown {
        Shown::Outcome { sample, outcome, frequency_s } => {
            let line = line.map_or("later".to_owned(), |line| format!("line {line}"));
            let (word, reason) = outcome_words(outcome, *frequency_s);
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{line}, sample {sample}: {word}{reason}")
        }
        Shown::Publish { topic, body } => format!("+{at_s} s  {topic}\n    {body}"),
        Shown::Command { text, device: None } => format!("+{at_s} s  local command {text:?}"),
        Shown::Command { text, device: Some(device) } => format!("+{at_s} s  local command {text:?} for {device}"),
    }
}

fn outcome_words(outcome: &Outcome, frequency_s: u64) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Accepted | Outcome::AcceptedInMemory => ("accepted", None),
        Outcome::AcceptedInPart(reason) => ("accepted-in-part", Some(reason.clone())),
        Outcome::HeldBack => {
            let reason = format!("it comes sooner than the data frequency of {frequency_s} s allows this plugin");
            ("held-back", Some(reason))
        }
        Outcome::Rejected(reason) => ("rejected", Some(reason.clone())),
    }
}
