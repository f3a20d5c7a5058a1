//! The daemon's side of the plugins: their events in the session's words, and who runs now.
//!
//! They need a directory for compiled code. While that cannot be used there are no plugins, which is said and tried
//! again; everything else runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_plugins::{
    Answer, Ask, Change, Connection, DesiredChange, DeviceInfo, FinishFailure, LogPage, NotOperated, NotReady,
    Operation, PluginEvent, PluginStatus, Plugins, PluginsOptions, SampleOutcome, Straggler, TwinFailure, Update,
};
use edgeplug_protocol::model::DeviceModel;
use edgeplug_protocol::sample::Sample;
use edgeplug_session::action::Outcome;
use edgeplug_session::event::{CallFailure, Event, PluginUp};
use edgeplug_session::{AskId, CallId, OfferId};
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, PluginsConfig};
use crate::exit::chain;
use crate::store::PluginState;
use crate::translate;

/// Waits between tries to start them.
const RETRY: Duration = Duration::from_secs(5);
/// How long they may take to stop.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The plugins, once they can be started.
pub(crate) struct PluginHost {
    plugins: Option<Arc<Plugins>>,
    /// Why they cannot be.
    trouble: Option<String>,
    /// Those that can be called, for a session that begins anew.
    up: BTreeMap<String, PluginUp>,
    /// Of these, who wants to know about the twin.
    twin_events: BTreeSet<String>,
    /// Numbers calls that the session does not wait for.
    last_call: u64,
    /// Added to the numbers of this session's calls, so that answers to the one before are not taken for its own.
    calls_before: u64,
    /// Everything present at start was tried.
    scanned: bool,
    /// What those that start later are told first.
    connection: Option<Connection>,
    model: Option<Arc<DeviceModel>>,
    /// What they kept, or why that is not known; `None` while the store is being opened.
    state: Option<Result<PluginState, String>>,
    /// Offers that wait for their answer, and how many samples they are, by the number the session knows them under.
    offers: HashMap<u64, (edgeplug_plugins::OfferId, usize)>,
    last_offer: u64,
    /// Questions that wait for their answer, with the one to give when the session that was asked ends before; the
    /// store never does.
    asks: HashMap<u64, (edgeplug_plugins::AskId, Option<Answer>)>,
    last_ask: u64,
}

/// What a plugin reported.
#[expect(clippy::large_enum_variant, reason = "it lives for one turn, and nearly all are events")]
pub(crate) enum Heard {
    /// Something for the session.
    Event(Event),
    /// For the store: one key to keep, or without a value to forget; [`PluginHost::kept`] answers.
    Keep { ask: AskId, plugin: String, key: String, value: Option<Bytes> },
}

/// What was done to a plugin, in words, or why not.
pub(crate) type Operated = Result<String, NotOperated>;

/// What became of starting them.
pub(crate) enum Starting {
    Started(Plugins, mpsc::Receiver<PluginEvent>),
    /// Not now, and why; it is being tried again. Said when the reason changes.
    NotYet(String),
}

/// Starts them in the background; the last message is `Started`.
pub(crate) fn start(config: &Config) -> mpsc::Receiver<Starting> {
    let options = options(config);
    // One message is on its way while the next try runs.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut said = None;
        loop {
            let options = options.clone();
            let reason = match tokio::task::spawn_blocking(move || Plugins::start(options)).await {
                Ok(Ok((plugins, events))) => {
                    let _ = sender.send(Starting::Started(plugins, events)).await;
                    return;
                }
                Ok(Err(error)) => chain(&error),
                Err(error) => chain(&error),
            };
            if said.as_ref() != Some(&reason) {
                said = Some(reason.clone());
                if sender.send(Starting::NotYet(reason)).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    });
    receiver
}

impl PluginHost {
    pub(crate) fn new() -> Self {
        Self {
            plugins: None,
            trouble: None,
            up: BTreeMap::new(),
            twin_events: BTreeSet::new(),
            last_call: 0,
            calls_before: 0,
            scanned: false,
            connection: None,
            model: None,
            state: None,
            offers: HashMap::new(),
            last_offer: 0,
            asks: HashMap::new(),
            last_ask: 0,
        }
    }

    /// They run; the handle is for whoever asks them about their versions.
    pub(crate) fn started(&mut self, plugins: Plugins) -> Arc<Plugins> {
        if self.trouble.take().is_some() {
            tracing::info!("the plugins can be started now");
        }
        if let Some(connection) = &self.connection {
            plugins.connection_changed(connection.clone());
        }
        plugins.template_changed(self.model.clone());
        match &self.state {
            None => {}
            Some(Ok(state)) => plugins.restore_state(state.clone()),
            Some(Err(reason)) => plugins.state_unavailable(reason.clone()),
        }
        let plugins = Arc::new(plugins);
        self.plugins = Some(Arc::clone(&plugins));
        plugins
    }

    pub(crate) fn not_yet(&mut self, reason: String) {
        tracing::error!(reason, "the plugins cannot be started; trying again");
        self.trouble = Some(reason);
    }

    /// Why there are none, if they cannot be started.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Takes in what a plugin reports.
    pub(crate) fn on_event(&mut self, event: PluginEvent) -> Option<Heard> {
        Some(Heard::Event(match event {
            PluginEvent::Asked { plugin, ask, request } => {
                self.last_ask += 1;
                self.asks.insert(self.last_ask, (ask, unanswered(&request)));
                let ask = AskId(self.last_ask);
                match request {
                    Ask::KeepState { key, value } => return Some(Heard::Keep { ask, plugin, key, value }),
                    request => Event::Asked { plugin, ask, request: translate::ask(request)? },
                }
            }
            PluginEvent::Progress { plugin, id, percent, message } => Event::Progress { plugin, id, percent, message },
            PluginEvent::DesiredHandled { plugin, result, .. } => {
                if let Err(failure) = result {
                    tracing::warn!(plugin, %failure, "the plugin did not take the change of the twin");
                }
                return None;
            }
            PluginEvent::Transformed { plugin, call, result } => {
                let result = result.map_err(|failure| translate::call_failure(&failure));
                Event::Transformed { plugin, call: self.inward(call)?, result }
            }
            PluginEvent::ScanDone => {
                self.scanned = true;
                Event::PluginsScanned
            }
            PluginEvent::Up { plugin, exports, interval, sha256, change, grants, commands, firmware } => {
                let how = match change {
                    Change::First => "loaded",
                    Change::Replaced => "replaced",
                    Change::Restarted => "restarted",
                    Change::RolledBack => "runs in the version before",
                };
                tracing::info!(plugin, sha256, may_touch = grants.join("; "), "plugin {how}");
                let interval = exports.sensor.then_some(interval);
                if exports.twin_events {
                    self.twin_events.insert(plugin.clone());
                } else {
                    self.twin_events.remove(&plugin);
                }
                let commands = exports.commands.then(|| translate::scope(commands));
                let up = PluginUp { plugin, interval, commands, firmware: firmware.map(translate::firmware_scope) };
                self.up.insert(up.plugin.clone(), up.clone());
                Event::PluginUp(up)
            }
            PluginEvent::Down { plugin, reason, gone } => {
                tracing::warn!(plugin, reason, gone, "plugin down");
                self.up.remove(&plugin);
                self.twin_events.remove(&plugin);
                Event::PluginDown { plugin, gone }
            }
            PluginEvent::Confirmed { plugin, sha256 } => {
                tracing::info!(plugin, sha256, "plugin version confirmed");
                Event::PluginConfirmed { plugin, sha256 }
            }
            PluginEvent::RolledBack { plugin, sha256, reason } => {
                tracing::error!(plugin, sha256, reason, "plugin rolled back");
                Event::PluginRolledBack { plugin, sha256, reason }
            }
            PluginEvent::Refused { plugin, file, reason, sha256 } => {
                tracing::error!(plugin, file = %file.display(), reason, "plugin file refused");
                Event::PluginRefused { plugin, sha256, reason }
            }
            PluginEvent::Sampled { plugin, call, result } => {
                let result = result.map_err(|failure| translate::call_failure(&failure));
                // Readings are readings, whoever asked for them.
                Event::Sampled { plugin, call: self.inward(call).unwrap_or(CallId(u64::MAX)), result }
            }
            PluginEvent::Replied { plugin, call, result } | PluginEvent::Updated { plugin, call, result } => {
                let result = result.map(translate::reply).map_err(|failure| translate::call_failure(&failure));
                Event::Replied { plugin, call: self.inward(call)?, result }
            }
            PluginEvent::Offered { plugin, offer, samples } => {
                self.last_offer += 1;
                self.offers.insert(self.last_offer, (offer, samples.len()));
                Event::Offered { plugin, offer: OfferId(self.last_offer), samples }
            }
        }))
    }

    /// The session's answer to what a plugin wanted.
    pub(crate) fn answer(&mut self, ask: AskId, answer: edgeplug_session::action::Answer) {
        self.pass_on(ask, translate::answer(answer));
    }

    /// The store's answer to a plugin that wanted something kept.
    pub(crate) fn kept(&mut self, ask: AskId, result: Result<(), String>) {
        self.pass_on(ask, Answer::Kept(result));
    }

    /// The session that was asked is gone.
    pub(crate) fn session_ended(&mut self) {
        self.calls_before += CALLS_OF_A_SESSION_MAX;
        let Some(plugins) = &self.plugins else { return };
        for (ask, answer) in self.asks.extract_if(|_, (_, answer)| answer.is_some()).map(|(_, asked)| asked) {
            if let Some(answer) = answer {
                plugins.answer(ask, answer);
            }
        }
        for (_, (offer, samples)) in self.offers.drain() {
            plugins.answer_offer(offer, vec![SampleOutcome::Rejected(ANEW.to_owned()); samples]);
        }
    }

    /// What a session that begins anew has to know.
    pub(crate) fn as_they_are(&self) -> impl Iterator<Item = Event> {
        let up = self.up.values().cloned().map(Event::PluginUp);
        up.chain(self.scanned.then_some(Event::PluginsScanned))
    }

    /// Asks for readings; a refusal is an answer.
    pub(crate) fn sample(&self, plugin: String, call: CallId) -> Option<Event> {
        let Err(failure) = self.with(|plugins| plugins.sample(&plugin, self.outward(call))) else { return None };
        Some(Event::Sampled { plugin, call, result: Err(failure) })
    }

    /// Has readings filtered; a refusal is an answer.
    pub(crate) fn transform(&self, plugin: String, call: CallId, samples: Vec<Sample>) -> Option<Event> {
        let Err(failure) = self.with(|plugins| plugins.transform(&plugin, self.outward(call), samples)) else {
            return None;
        };
        Some(Event::Transformed { plugin, call, result: Err(failure) })
    }

    /// Hands over a command; a refusal is an answer.
    pub(crate) fn call(&self, plugin: String, call: CallId, command: edgeplug_plugins::Command) -> Option<Event> {
        let Err(failure) = self.with(|plugins| plugins.command(&plugin, self.outward(call), command)) else {
            return None;
        };
        Some(Event::Replied { plugin, call, result: Err(failure) })
    }

    /// Hands over a firmware file; a refusal is an answer.
    pub(crate) fn update(&self, plugin: String, call: CallId, update: Update) -> Option<Event> {
        let Err(failure) = self.with(|plugins| plugins.update(&plugin, self.outward(call), update)) else {
            return None;
        };
        Some(Event::Replied { plugin, call, result: Err(failure) })
    }

    /// The file may be read no longer.
    pub(crate) fn update_ended(&self, plugin: &str, id: &str) {
        if let Some(plugins) = &self.plugins {
            plugins.update_ended(plugin, id);
        }
    }

    /// Something changed in the directories.
    pub(crate) fn rescan(&self) {
        if let Some(plugins) = &self.plugins {
            plugins.rescan();
        }
    }

    /// Tells one plugin, or all that want to know, what the cloud wants of the twin; says who has too many calls waiting.
    pub(crate) fn tell_desired(&mut self, to: Option<String>, change: &DesiredChange) -> Vec<Event> {
        let Some(plugins) = self.plugins.clone() else { return Vec::new() };
        let names: Vec<_> = to.map_or_else(|| self.twin_events.iter().cloned().collect(), |plugin| vec![plugin]);
        let mut missed = Vec::new();
        for plugin in names {
            self.last_call += 1;
            match plugins.desired_changed(&plugin, self.last_call, change.clone()) {
                Ok(()) => {}
                Err(NotReady::Busy(_)) => missed.push(Event::DesiredMissed { plugin }),
                // It is told when it is up again.
                Err(error) => tracing::debug!(%error, "a plugin is not told of the twin"),
            }
        }
        missed
    }

    pub(crate) fn answer_offer(&mut self, offer: OfferId, outcomes: Vec<Outcome>) {
        if let (Some(plugins), Some((offer, _))) = (&self.plugins, self.offers.remove(&offer.0)) {
            plugins.answer_offer(offer, outcomes.into_iter().map(translate::sample_outcome).collect());
        }
    }

    pub(crate) fn connection_changed(&mut self, connection: Connection) {
        if let Some(plugins) = &self.plugins {
            plugins.connection_changed(connection.clone());
        }
        self.connection = Some(connection);
    }

    pub(crate) fn template_changed(&mut self, model: Arc<DeviceModel>) {
        if let Some(plugins) = &self.plugins {
            plugins.template_changed(Some(Arc::clone(&model)));
        }
        self.model = Some(model);
    }

    /// What they kept, or why that cannot be known for now. Once known it stays known.
    pub(crate) fn state_found(&mut self, state: Result<PluginState, String>) {
        match (&self.plugins, &state) {
            (None, _) => {}
            (Some(plugins), Ok(state)) => plugins.restore_state(state.clone()),
            (Some(plugins), Err(reason)) => plugins.state_unavailable(reason.clone()),
        }
        self.state = Some(state);
    }

    /// The children the cloud names; `None` before it ever said anything.
    pub(crate) fn children(&self) -> Option<Vec<edgeplug_protocol::model::Child>> {
        self.model.as_ref().map(|model| model.children.clone())
    }

    /// Part of a plugin's log; `None` if there is no such plugin.
    pub(crate) fn log_tail(&self, plugin: &str, after: u64, lines_max: usize) -> Option<LogPage> {
        self.plugins.as_ref()?.log_tail(plugin, after, lines_max)
    }

    /// Does what an operator wants of one plugin; the answer comes from a task of its own.
    pub(crate) fn operate(&self, plugin: String, operation: Operation, asker: oneshot::Sender<Operated>) {
        let Some(plugins) = self.plugins.clone() else {
            let trouble = self.trouble.as_deref().unwrap_or("they are being started; try again");
            // The asker may have gone.
            let _ =
                asker.send(Err(NotOperated::Refused { plugin, reason: format!("there are no plugins: {trouble}") }));
            return;
        };
        // As many as the plugins take at once.
        tokio::spawn(async move {
            let operated = plugins.operate(&plugin, operation).await;
            let _ = asker.send(operated);
        });
    }

    pub(crate) fn list(&self) -> Vec<PluginStatus> {
        self.plugins.as_ref().map(|plugins| plugins.list()).unwrap_or_default()
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.up.len()
    }

    /// Stops them; answers with those that had to be cut off.
    pub(crate) fn stop(&self) -> impl Future<Output = Vec<Straggler>> + use<> {
        let plugins = self.plugins.clone();
        async move {
            match plugins {
                Some(plugins) => plugins.stop(STOP_MAX).await,
                None => Vec::new(),
            }
        }
    }

    /// A call of the session, as the plugins know it.
    fn outward(&self, call: CallId) -> u64 {
        self.calls_before + call.0
    }

    /// A call of this session; `None` for one of the session before.
    fn inward(&self, call: u64) -> Option<CallId> {
        call.checked_sub(self.calls_before).map(CallId)
    }

    fn pass_on(&mut self, ask: AskId, answer: Answer) {
        if let (Some(plugins), Some((ask, _))) = (&self.plugins, self.asks.remove(&ask.0)) {
            plugins.answer(ask, answer);
        }
    }

    fn with(&self, ask: impl FnOnce(&Plugins) -> Result<(), edgeplug_plugins::NotReady>) -> Result<(), CallFailure> {
        match &self.plugins {
            Some(plugins) => ask(plugins).map_err(|error| CallFailure(error.to_string())),
            None => Err(CallFailure("the plugins are not started".to_owned())),
        }
    }
}

/// More than a session makes in a thousand years.
const CALLS_OF_A_SESSION_MAX: u64 = 1 << 40;

const ANEW: &str = "the daemon begins anew with its store; try again";

/// What to say when the session ends before it answers.
fn unanswered(request: &Ask) -> Option<Answer> {
    let reason = ANEW.to_owned();
    Some(match request {
        Ask::TwinGet => Answer::Twin(Err(TwinFailure::Unavailable(reason))),
        Ask::TwinReport { .. } => Answer::Reported(Err(TwinFailure::Unavailable(reason))),
        Ask::Finish { .. } => Answer::Finished(Err(FinishFailure::Unavailable(reason))),
        Ask::Disconnect | Ask::Reconnect => Answer::Link(Err(reason)),
        Ask::KeepState { .. } => return None,
    })
}

fn options(config: &Config) -> PluginsOptions {
    let PluginsConfig { directory, compiler, engine, cache_images, signature, policy, limits } = &config.plugins;
    // Where no grant reaches: state, keys, passwords, and the way to everything else.
    let private = [&config.state_dir, &config.socket].into_iter().chain(&config.secret_files);
    PluginsOptions {
        directory: directory.clone(),
        ota_directory: config.ota.components.then(|| config.ota.plugins()),
        cache_directory: config.state_dir.join("cache"),
        cache_images: cache_images.clone(),
        shelf_directory: config.state_dir.join("shelf"),
        engine: *engine,
        signature: signature.clone(),
        compiler: compiler.clone(),
        policy: policy.clone(),
        device: DeviceInfo { unique_id: config.session.unique_id.clone() },
        private_directories: private.cloned().collect(),
        limits: limits.clone(),
    }
}
