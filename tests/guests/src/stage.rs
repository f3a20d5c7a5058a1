//! The daemon's place: a directory with one plugin, answers to what it asks, and a record of all it did.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use edgeplug_plugins::{
    Answer, Ask, CallFailure, DeviceInfo, Ending, Exports, FinishFailure, Limits, LogStream, Pattern, PluginEvent,
    PluginPolicy, Plugins, PluginsOptions, Policy, Reply, SampleOutcome, TwinDocument, TwinFailure,
};
use edgeplug_protocol::model::DeviceModel;
use edgeplug_protocol::sample::Sample;
use tokio::sync::mpsc;

use crate::transcript::Words;
use crate::words::{hexadecimal, json, samples};

/// Name of the plugin.
pub(crate) const PLUGIN: &str = "conformance";
/// Longer than anything takes, a Python guest's compilation by an unoptimised compiler included.
const PATIENCE: Duration = Duration::from_secs(300);
/// Memory of the largest guest (Python), and its time in an unoptimised host.
const MEMORY_MB: u32 = 512;
const DEADLINE_MS: u64 = 20_000;
/// All that the runtime keeps.
const LOG_LINES_MAX: usize = 1000;

pub(crate) struct Stage {
    directory: tempfile::TempDir,
    pub(crate) plugins: Plugins,
    events: mpsc::Receiver<PluginEvent>,
    pub(crate) config: BTreeMap<String, String>,
    component: Vec<u8>,
    replacements: u8,
    /// The host's next answers.
    pub(crate) answers: VecDeque<Words>,
    /// What the guest did since the step began.
    seen: Vec<String>,
    /// Number of the last log line heard.
    heard: u64,
    next_call: u64,
}

/// What ended a step.
pub(crate) enum Ended {
    Up(Exports),
    Refused(String),
    Sampled(Result<Vec<Sample>, CallFailure>),
    Replied(Result<Reply, CallFailure>),
    Handled(Result<(), CallFailure>),
}

impl Stage {
    pub(crate) fn new(component: &Path, compiler: &Path) -> anyhow::Result<Self> {
        let component = std::fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
        let directory = tempfile::tempdir()?;
        for part in ["plugins", "files", "firmware"] {
            std::fs::create_dir(directory.path().join(part))?;
        }
        let pattern = Pattern::parse(&format!("{}/*", directory.path().join("files").display()))?;
        let allowed = PluginPolicy {
            files: vec![pattern],
            memory_mb: Some(MEMORY_MB),
            deadline_ms: Some(DEADLINE_MS),
            ..PluginPolicy::default()
        };
        let (plugins, events) = Plugins::start(PluginsOptions {
            directory: directory.path().join("plugins"),
            ota_directory: None,
            cache_directory: directory.path().join("cache"),
            cache_images: Vec::new(),
            shelf_directory: directory.path().join("shelf"),
            engine: edgeplug_plugins::EngineKind::Native,
            signature: edgeplug_plugins::SignaturePolicy::default(),
            compiler: compiler.to_owned(),
            policy: Policy {
                source: "[plugins.allow.NAME] in /etc/edgeplug.toml".to_owned(),
                plugins: BTreeMap::from([(PLUGIN.to_owned(), allowed)]),
            },
            device: DeviceInfo { unique_id: "conformance-device".to_owned() },
            private_directories: Vec::new(),
            limits: Limits { restart_min: Duration::from_millis(20), compile_wall: PATIENCE, ..Limits::default() },
        })?;
        plugins.restore_state(BTreeMap::new());
        Ok(Self {
            directory,
            plugins,
            events,
            config: BTreeMap::new(),
            component,
            replacements: 0,
            answers: VecDeque::new(),
            seen: Vec::new(),
            heard: 0,
            next_call: 0,
        })
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    pub(crate) fn firmware(&self, name: &str) -> PathBuf {
        self.directory.path().join("firmware").join(name)
    }

    /// Lays manifest and component down, or the same component under another hash: a custom section nobody reads is added.
    pub(crate) fn lay_down(&mut self) -> anyhow::Result<()> {
        let plugins = self.directory.path().join("plugins");
        let mut manifest = toml::Table::new();
        manifest.insert("files".to_owned(), vec![format!("{}/*", self.files().display())].into());
        let config = self.config.iter().map(|(key, value)| (key.clone(), value.clone().into()));
        manifest.insert("config".to_owned(), config.collect::<toml::Table>().into());
        let limits = [("memory_mb", i64::from(MEMORY_MB)), ("deadline_ms", i64::try_from(DEADLINE_MS)?)];
        let limits = limits.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
        manifest.insert("limits".to_owned(), limits.collect::<toml::Table>().into());
        let section = [0, 10, 7, b'v', b'a', b'r', b'i', b'a', b'n', b't', self.replacements, self.replacements];
        let component =
            if self.replacements == 0 { self.component.clone() } else { [&*self.component, &section].concat() };
        self.replacements += 1;
        for (name, content) in [("toml", toml::to_string(&manifest)?.into_bytes()), ("wasm", component)] {
            let aside = plugins.join(format!(".{PLUGIN}.{name}.part"));
            std::fs::write(&aside, content)?;
            std::fs::rename(&aside, plugins.join(format!("{PLUGIN}.{name}")))?;
        }
        self.plugins.rescan();
        Ok(())
    }

    /// A number for the next call.
    pub(crate) fn call(&mut self) -> u64 {
        self.next_call += 1;
        self.next_call
    }

    /// Answers and records until something ends.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Ended) -> bool) -> anyhow::Result<Ended> {
        loop {
            let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
            let event = event.context("nothing happened for minutes")?.context("the runtime ended")?;
            self.hear();
            let ended = match event {
                PluginEvent::Up { exports, .. } => Ended::Up(exports),
                PluginEvent::Refused { reason, .. } => Ended::Refused(reason),
                PluginEvent::Sampled { result, .. } | PluginEvent::Transformed { result, .. } => Ended::Sampled(result),
                PluginEvent::Replied { result, .. } | PluginEvent::Updated { result, .. } => Ended::Replied(result),
                PluginEvent::DesiredHandled { result, .. } => Ended::Handled(result),
                PluginEvent::Offered { offer, samples: offered, .. } => {
                    self.seen.extend(samples("offered", &offered));
                    let outcomes = self.outcomes(offered.len())?;
                    self.plugins.answer_offer(offer, outcomes);
                    continue;
                }
                PluginEvent::Asked { ask, request, .. } => {
                    let answer = self.answer(request)?;
                    self.plugins.answer(ask, answer);
                    continue;
                }
                PluginEvent::Progress { id, percent, message, .. } => {
                    self.seen.push(format!("progress {id} {percent} {}", json(&message)));
                    continue;
                }
                PluginEvent::Down { .. }
                | PluginEvent::ScanDone
                | PluginEvent::Confirmed { .. }
                | PluginEvent::RolledBack { .. } => continue,
            };
            if wanted(&ended) {
                return Ok(ended);
            }
            if let Ended::Refused(reason) = ended {
                bail!("the plugin was refused: {reason}");
            }
        }
    }

    /// Waits until the log has a line: what an old instance or a notice says comes beside the step's end.
    pub(crate) async fn logged(&mut self, line: &str) -> anyhow::Result<()> {
        let logged = async {
            while !self.seen.iter().any(|seen| crate::play::fits(line, seen)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                self.hear();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), logged).await.ok();
        Ok(())
    }

    /// What the guest did since the last look, the log last where nothing tells its place.
    pub(crate) fn take_seen(&mut self) -> Vec<String> {
        self.hear();
        std::mem::take(&mut self.seen)
    }

    /// Takes what the guest said since the last look.
    fn hear(&mut self) {
        let Some(page) = self.plugins.log_tail(PLUGIN, self.heard, LOG_LINES_MAX) else { return };
        self.heard = page.next;
        for line in page.lines {
            let text = json(&line.text);
            match line.stream {
                LogStream::Log => self.seen.push(format!("log {} {text}", word(&line.level))),
                LogStream::Stdout | LogStream::Stderr | LogStream::Panic => self.seen.push(format!("print {text}")),
                // What the host itself notes is none of the guest's doing.
                LogStream::Host => {}
            }
        }
    }

    pub(crate) fn saw(&mut self, line: String) {
        self.hear();
        self.seen.push(line);
    }

    /// The transcript's answer if there is one for this question.
    fn next_answer(&mut self, question: &str) -> Option<Words> {
        let mut words = self.answers.front()?.clone();
        if words.next()? != question {
            return None;
        }
        self.answers.pop_front();
        Some(words)
    }

    fn outcomes(&mut self, count: usize) -> anyhow::Result<Vec<SampleOutcome>> {
        let Some(mut words) = self.next_answer("offers") else {
            return Ok(vec![SampleOutcome::Accepted; count]);
        };
        let mut outcomes = Vec::new();
        while let Some(word) = words.next() {
            outcomes.push(match word.as_str() {
                "accepted" => SampleOutcome::Accepted,
                "accepted-in-memory" => SampleOutcome::AcceptedInMemory,
                "held-back" => SampleOutcome::HeldBack,
                _ => SampleOutcome::Rejected(word.strip_prefix("rejected: ").context("no outcome")?.to_owned()),
            });
        }
        ensure!(outcomes.len() == count, "{count} samples offered, the transcript has {} outcomes", outcomes.len());
        Ok(outcomes)
    }

    fn answer(&mut self, request: Ask) -> anyhow::Result<Answer> {
        Ok(match request {
            Ask::TwinGet => {
                self.saw("twin get".to_owned());
                let mut words =
                    self.next_answer("twin").context("the guest asked for a twin that the transcript has not")?;
                let desired = words.expect("document")?;
                Answer::Twin(if desired == "unavailable" {
                    Err(TwinFailure::Unavailable(words.expect("reason")?))
                } else {
                    let desired_version = words.number("version")?;
                    let reported = words.expect("document")?;
                    let reported_version = words.number("version")?;
                    Ok(TwinDocument { desired, desired_version, reported, reported_version })
                })
            }
            Ask::TwinReport { patch } => {
                self.saw(format!("twin report {patch}"));
                let mut words = self.next_answer("report").context("a report that the transcript has not")?;
                let word = words.expect("version")?;
                Answer::Reported(match word.as_str() {
                    "refused" => Err(TwinFailure::Refused(words.number("status")?)),
                    _ => Ok(word.parse()?),
                })
            }
            Ask::Finish { id, ending } => {
                self.saw(match ending {
                    Ending::Done(message) => format!("finish {id} done {}", json(&message)),
                    Ending::Failed(message) => format!("finish {id} failed {}", json(&message)),
                });
                let mut words = self.next_answer("finish").context("an end that the transcript has not")?;
                Answer::Finished(match words.expect("outcome")?.as_str() {
                    "ok" => Ok(()),
                    "unknown" => Err(FinishFailure::Unknown),
                    "not-yours" => Err(FinishFailure::NotYours),
                    _ => Err(FinishFailure::Unavailable(words.expect("reason")?)),
                })
            }
            Ask::KeepState { key, value } => {
                let bytes = value.map_or_else(|| "-".to_owned(), |value| hexadecimal(&value));
                self.saw(format!("keep {key} {bytes}"));
                Answer::Kept(match self.next_answer("keep") {
                    None => Ok(()),
                    Some(mut words) => {
                        ensure!(words.expect("outcome")? == "unavailable", "state is kept or unavailable");
                        Err(words.expect("reason")?)
                    }
                })
            }
            Ask::Disconnect | Ask::Reconnect => {
                self.saw("link".to_owned());
                Answer::Link(Ok(()))
            }
        })
    }

    pub(crate) fn tell_template(&self, model: DeviceModel) {
        self.plugins.template_changed(Some(Arc::new(model)));
    }
}

/// A level as it is written.
fn word(level: &impl serde::Serialize) -> String {
    serde_json::to_value(level).ok().and_then(|level| level.as_str().map(str::to_owned)).unwrap_or_default()
}
