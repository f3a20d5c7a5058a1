//! The daemon's side: the plugins adapter in a process of its own, driven as the daemon drives it (two workers, one
//! loop that never waits), with a neighbour that is asked a hundred times a second.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use edgeplug_plugins::{
    Answer, Ask, Command, Connection, DesiredChange, DeviceInfo, EngineKind, FinishFailure, Limits, NotReady,
    PluginEvent, PluginPolicy, PluginState, Plugins, PluginsOptions, Policy, Probation, SampleOutcome, SignaturePolicy,
    TwinDocument, Update,
};
use edgeplug_protocol::sample::Sample;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, sleep_until};

use super::task::{ATTACK, ATTACKER, Errand, NEIGHBOUR, Report, Task, Until, VICTIM};

/// A hundred calls a second.
const NEIGHBOUR_EVERY: Duration = Duration::from_millis(10);
/// Between an answer of the attacker and its next errand: as fast as any cloud could ask.
const ERRAND_PAUSE: Duration = Duration::from_millis(1);
/// Between two versions of a file, or a removal and what follows.
const SWAP_PAUSE: Duration = Duration::from_millis(250);
/// How long the neighbour may take to come up, and the attacker until it is ready or refused, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked whether an attack has come to its end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long plugins may take to end.
const STOP: Duration = Duration::from_secs(2);
/// Lines of the attacker's log that are looked at.
const LOG_LINES: usize = 500;
/// Texts and readings kept of each kind.
const KEPT_MAX: usize = 40;
/// Longest text kept.
const TEXT_LEN_MAX: usize = 16 << 10;

/// Does a task and prints what was seen as the last line.
///
/// # Errors
/// When the plugins do not start at all.
pub fn run(task: &Path) -> anyhow::Result<()> {
    let task: Task = serde_json::from_slice(&std::fs::read(task)?)?;
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).event_interval(2).enable_all().build()?;
    let report = runtime.block_on(async move { tokio::spawn(play(task)).await? })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn play(task: Task) -> anyhow::Result<Report> {
    let (plugins, events) = Plugins::start(options(&task)?).context("the plugins do not start")?;
    plugins.restore_state(BTreeMap::from([(
        VICTIM.to_owned(),
        BTreeMap::from([("private".to_owned(), b"the victim's".to_vec().into())]),
    )]));
    let alone = Duration::from_millis(task.alone_ms);
    let attack = Duration::from_millis(task.attack_ms);
    let mut beat = tokio::time::interval(NEIGHBOUR_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut host = Host {
        plugins: Arc::new(plugins),
        events,
        component: std::fs::read(task.stage.join("drop").join(format!("{ATTACKER}.wasm"))).unwrap_or_default(),
        errand: task.errand,
        stage: task.stage,
        report: Report::default(),
        is_attack: false,
        is_ready: false,
        is_over: false,
        under_way: None,
        next_errand: None,
        calls: 0,
        neighbour_up: false,
        asked_neighbour: None,
        beat,
        kept: BTreeMap::new(),
    };
    let patience = Instant::now() + PATIENCE;
    host.until(patience, |host| host.neighbour_up).await?;
    anyhow::ensure!(host.neighbour_up, "the neighbour did not come up: {:?}", host.report.words);
    host.until(Instant::now() + alone, |_| false).await?;
    println!("{ATTACK}");
    let began = Instant::now();
    host.let_in()?;
    // Compiling is over when it is up or refused; only then the clock of the attack begins.
    host.is_attack = true;
    host.until(Instant::now() + PATIENCE, |host| host.report.ups > 0 || !host.report.words.is_empty()).await?;
    host.until(Instant::now() + attack, |_| false).await?;
    let patience = Instant::now() + PATIENCE;
    while Instant::now() < patience && !host.has_come_to(&task.until) {
        host.until(Instant::now() + LOOK_EVERY, |_| false).await?;
    }
    host.report.attack_ms = milliseconds(began);
    host.finish().await
}

fn options(task: &Task) -> anyhow::Result<PluginsOptions> {
    let plugins = task.policy.iter().map(|(plugin, text)| {
        let policy: PluginPolicy = toml::from_str(text).with_context(|| format!("the policy of {plugin}: {text}"))?;
        Ok((plugin.clone(), policy))
    });
    Ok(PluginsOptions {
        directory: task.stage.join("plugins"),
        ota_directory: None,
        cache_directory: task.cache.clone(),
        cache_images: Vec::new(),
        shelf_directory: task.stage.join("shelf"),
        engine: EngineKind::Native,
        signature: SignaturePolicy::default(),
        compiler: task.compiler.clone(),
        policy: Policy { source: "the judge".to_owned(), plugins: plugins.collect::<anyhow::Result<_>>()? },
        device: DeviceInfo { unique_id: "gateway-1".to_owned() },
        private_directories: vec![task.stage.join("state")],
        limits: Limits {
            settle: Duration::from_millis(50),
            rescan: Duration::from_secs(1),
            restart_min: Duration::from_millis(10),
            restart_max: Duration::from_millis(40),
            quarantine_strikes: 5,
            probation: Probation { good_calls: 3, time: Duration::from_secs(60) },
            ..Limits::default()
        },
    })
}

struct Host {
    plugins: Arc<Plugins>,
    events: mpsc::Receiver<PluginEvent>,
    component: Vec<u8>,
    errand: Errand,
    stage: std::path::PathBuf,
    report: Report,
    is_attack: bool,
    /// The attacker is up.
    is_ready: bool,
    /// No more errands.
    is_over: bool,
    /// The attacker's call.
    under_way: Option<u64>,
    next_errand: Option<Instant>,
    calls: u64,
    neighbour_up: bool,
    asked_neighbour: Option<(u64, Instant)>,
    beat: Interval,
    kept: BTreeMap<String, usize>,
}

impl Host {
    /// Serves everything until then, or until it is done.
    async fn until(&mut self, then: Instant, done: fn(&Self) -> bool) -> anyhow::Result<()> {
        while !done(self) {
            let errand = self.next_errand.filter(|_| self.is_attack && !self.is_over).unwrap_or(then);
            tokio::select! {
                biased;
                event = self.events.recv() => self.hear(event.context("the plugins ended by themselves")?),
                _ = self.beat.tick(), if self.neighbour_up => self.ask_neighbour(),
                () = sleep_until(errand.min(then).into()) => {
                    if errand >= then {
                        break;
                    }
                    self.send_on_errand()?;
                }
            }
        }
        Ok(())
    }

    fn has_come_to(&self, until: &Until) -> bool {
        match until {
            Until::Nothing => true,
            Until::Quarantined => {
                let mut list = self.plugins.list().into_iter();
                list.any(|status| status.plugin == ATTACKER && status.state == PluginState::Quarantined)
            }
            Until::Said(words) => {
                let log = self.plugins.log_tail(ATTACKER, 0, LOG_LINES);
                let log = log.into_iter().flat_map(|page| page.lines).map(|line| line.text);
                self.report.words.iter().cloned().chain(log).any(|line| line.contains(words.as_str()))
            }
        }
    }

    /// Moves the attacker's files in.
    fn let_in(&mut self) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(self.stage.join("drop"))? {
            let entry = entry?;
            std::fs::rename(entry.path(), self.stage.join("plugins").join(entry.file_name()))?;
        }
        self.plugins.rescan();
        Ok(())
    }

    /// One call at a time, as the session does it.
    fn ask_neighbour(&mut self) {
        if self.asked_neighbour.is_some() {
            return;
        }
        self.calls += 1;
        match self.plugins.sample(NEIGHBOUR, self.calls) {
            Ok(()) => self.asked_neighbour = Some((self.calls, Instant::now())),
            Err(refusal) => keep(&mut self.report.missed, refusal.to_string()),
        }
    }

    fn send_on_errand(&mut self) -> anyhow::Result<()> {
        self.next_errand = None;
        self.calls += 1;
        let call = self.calls;
        let taken = match self.errand {
            Errand::Sample => self.plugins.sample(ATTACKER, call),
            Errand::Command => {
                let command = Command { id: format!("attacker-{call}"), text: "do".to_owned(), device: None };
                self.plugins.command(ATTACKER, call, command)
            }
            Errand::Desired => {
                let change = DesiredChange { version: call, complete: true, desired: "{}".to_owned() };
                self.plugins.desired_changed(ATTACKER, call, change)
            }
            Errand::Update => self.plugins.update(ATTACKER, call, self.update(&format!("attacker-{call}"))),
            Errand::Transform => {
                let sample = Sample { device: None, time: None, values: vec![("a".to_owned(), 1.into())] };
                self.plugins.transform(ATTACKER, call, vec![sample; 100])
            }
            Errand::Connection => {
                let gone = Connection::Disconnected(format!("for the {call}th time"));
                self.plugins.connection_changed(if call.is_multiple_of(2) { Connection::Connected } else { gone });
                self.next_errand = Some(Instant::now() + ERRAND_PAUSE);
                return Ok(());
            }
            Errand::Swap => {
                let number = call.to_le_bytes();
                let section = [&[0, 12, 3][..], b"two", &number].concat();
                // Once: a file that changes while it is compiled is compiled again, and again.
                self.is_over = true;
                self.write(&[&self.component[..], &section].concat())?;
                return Ok(());
            }
            Errand::Remove => {
                let file = self.stage.join("plugins").join(format!("{ATTACKER}.wasm"));
                if file.exists() {
                    std::fs::remove_file(file)?
                } else {
                    self.write(&self.component)?
                }
                self.plugins.rescan();
                self.next_errand = Some(Instant::now() + SWAP_PAUSE);
                return Ok(());
            }
            Errand::Nothing => return Ok(()),
        };
        match taken {
            Ok(()) => self.under_way = Some(call),
            // It comes up again, or is left alone for good.
            Err(NotReady::Down(_) | NotReady::Unknown(_) | NotReady::Busy(_)) => {
                self.next_errand = Some(Instant::now() + NEIGHBOUR_EVERY);
            }
            Err(refusal @ NotReady::NotExported { .. }) => keep(&mut self.report.words, refusal.to_string()),
        }
        Ok(())
    }

    fn write(&self, component: &[u8]) -> anyhow::Result<()> {
        let aside = self.stage.join("second.part");
        std::fs::write(&aside, component)?;
        std::fs::rename(aside, self.stage.join("plugins").join(format!("{ATTACKER}.wasm")))?;
        self.plugins.rescan();
        Ok(())
    }

    fn update(&self, id: &str) -> Update {
        Update {
            id: id.to_owned(),
            device: None,
            name: "firmware.bin".to_owned(),
            version: "1".to_owned(),
            size: 64,
            sha256: "0".repeat(64),
            file: self.stage.join("secret").join("firmware"),
        }
    }

    fn hear(&mut self, event: PluginEvent) {
        match event {
            PluginEvent::Up { plugin, .. } => self.up(&plugin),
            PluginEvent::Down { plugin, reason, .. } if plugin == ATTACKER => {
                (self.is_ready, self.under_way) = (false, None);
                keep(&mut self.report.words, reason);
            }
            PluginEvent::Refused { plugin, reason, .. } => {
                keep(&mut self.report.words, format!("{plugin}: {reason}"));
            }
            PluginEvent::Sampled { plugin, call, result } if plugin == NEIGHBOUR => {
                let Some((asked, at)) = self.asked_neighbour.take() else { return };
                let took = u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX);
                let list = if self.is_attack { &mut self.report.attack_us } else { &mut self.report.alone_us };
                list.push(took);
                match result {
                    Ok(samples) if call == asked && samples.len() == 1 => {}
                    Ok(_) => keep(&mut self.report.missed, "another answer".to_owned()),
                    Err(failure) => keep(&mut self.report.missed, failure.to_string()),
                }
            }
            PluginEvent::Sampled { plugin, call, result } | PluginEvent::Transformed { plugin, call, result } => {
                match result {
                    Ok(samples) => {
                        self.book_readings(samples);
                        self.answered(&plugin, call, None);
                    }
                    Err(failure) => self.answered(&plugin, call, Some(failure.to_string())),
                }
            }
            PluginEvent::Replied { plugin, call, result } | PluginEvent::Updated { plugin, call, result } => {
                self.answered(&plugin, call, result.err().map(|failure| failure.to_string()));
            }
            PluginEvent::DesiredHandled { plugin, call, result } => {
                self.answered(&plugin, call, result.err().map(|failure| failure.to_string()));
            }
            PluginEvent::Offered { offer, samples, .. } => {
                self.plugins.answer_offer(offer, vec![SampleOutcome::Accepted; samples.len()]);
                self.report.offered += samples.len() as u64;
                self.report.samples_max = self.report.samples_max.max(samples.len() as u64);
                let length = |sample: Sample| serde_json::to_string(&sample).map_or(0, |text| text.len() as u64);
                self.report.offered_bytes += samples.into_iter().map(length).sum::<u64>();
            }
            PluginEvent::Asked { plugin, ask, request } => {
                let answer = self.answer(&plugin, request);
                self.plugins.answer(ask, answer);
            }
            PluginEvent::Progress { .. } => self.report.progress += 1,
            _ => {}
        }
    }

    fn up(&mut self, plugin: &str) {
        match plugin {
            NEIGHBOUR => self.neighbour_up = true,
            VICTIM => {
                self.calls += 1;
                let _ = self.plugins.update(VICTIM, self.calls, self.update("victim-1"));
            }
            ATTACKER => {
                self.report.ups += 1;
                (self.is_ready, self.under_way) = (true, None);
                if self.next_errand.is_none() {
                    let pause = match self.errand {
                        Errand::Swap | Errand::Remove => SWAP_PAUSE,
                        _ => ERRAND_PAUSE,
                    };
                    self.next_errand = Some(Instant::now() + pause);
                }
            }
            _ => {}
        }
    }

    fn answered(&mut self, plugin: &str, call: u64, failure: Option<String>) {
        if plugin != ATTACKER {
            return;
        }
        match failure {
            None => self.report.good += 1,
            Some(words) => {
                self.report.failed += 1;
                keep(&mut self.report.words, words);
            }
        }
        if self.under_way == Some(call) {
            self.under_way = None;
            self.next_errand = Some(Instant::now() + ERRAND_PAUSE);
        }
    }

    fn book_readings(&mut self, samples: Vec<Sample>) {
        self.report.samples_max = self.report.samples_max.max(samples.len() as u64);
        for sample in samples {
            if self.report.readings.len() == KEPT_MAX {
                break;
            }
            let length = serde_json::to_string(&sample).map_or(0, |text| text.len());
            let large = || Sample { device: None, time: None, values: vec![("bytes".to_owned(), length.into())] };
            let sample = if length > TEXT_LEN_MAX { large() } else { sample };
            if !self.report.readings.contains(&sample) {
                self.report.readings.push(sample);
            }
        }
    }

    fn answer(&mut self, plugin: &str, request: Ask) -> Answer {
        if plugin == VICTIM {
            keep(&mut self.report.stolen, format!("{request:?}"));
        }
        match request {
            Ask::TwinGet => Answer::Twin(Ok(TwinDocument {
                desired: "{}".to_owned(),
                desired_version: 1,
                reported: "{}".to_owned(),
                reported_version: 1,
            })),
            Ask::TwinReport { .. } => Answer::Reported(Ok(1)),
            Ask::Finish { id, .. } => Answer::Finished(match id.split_once('-') {
                Some((owner, _)) if owner == plugin => Ok(()),
                Some((VICTIM, _)) => Err(FinishFailure::NotYours),
                _ => Err(FinishFailure::Unknown),
            }),
            Ask::KeepState { key, value } => {
                match value {
                    Some(value) => self.kept.insert(key.clone(), key.len() + value.len()),
                    None => self.kept.remove(&key),
                };
                self.report.kept_changes += 1;
                let bytes = self.kept.values().sum::<usize>() as u64;
                self.report.kept_bytes_max = self.report.kept_bytes_max.max(bytes);
                Answer::Kept(Ok(()))
            }
            Ask::Disconnect | Ask::Reconnect => Answer::Link(Ok(())),
        }
    }

    async fn finish(mut self) -> anyhow::Result<Report> {
        self.is_over = true;
        self.report.list = serde_json::from_value(serde_json::to_value(self.plugins.list())?)?;
        let page = self.plugins.log_tail(ATTACKER, 0, LOG_LINES);
        self.report.log = page.into_iter().flat_map(|page| page.lines).map(|line| line.text).collect();
        // Whoever stops goes on answering, or plugins wait for answers.
        let plugins = Arc::clone(&self.plugins);
        let began = Instant::now();
        let stopping = plugins.stop(STOP);
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                _stragglers = &mut stopping => break,
                event = self.events.recv() => match event {
                    Some(event @ (PluginEvent::Offered { .. } | PluginEvent::Asked { .. })) => self.hear(event),
                    Some(_) => {}
                    None => {
                        stopping.await;
                        break;
                    }
                },
            }
        }
        self.report.stop_ms = milliseconds(began);
        Ok(self.report)
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Each text once, so many, so long.
fn keep(list: &mut Vec<String>, mut text: String) {
    let mut end = text.len().min(TEXT_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    if list.len() < KEPT_MAX && !list.contains(&text) {
        list.push(text);
    }
}
