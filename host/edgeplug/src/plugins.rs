//! The daemon's side of the plugins: their events in the session's words, and who runs now.
//!
//! They need a directory for compiled code. While that cannot be used there are no plugins, which is said and tried
//! again; everything else runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use edgeplug_plugins::{Change, DeviceInfo, Limits, PluginEvent, PluginStatus, Plugins, PluginsOptions, Straggler};
use edgeplug_session::action::Outcome;
use edgeplug_session::event::{CallFailure, Event, PluginUp};
use edgeplug_session::{CallId, OfferId};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::exit::chain;
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
    /// Everything present at start was tried.
    scanned: bool,
    connected: bool,
    /// Offers that wait for their answer, by the number the session knows them under.
    offers: HashMap<u64, edgeplug_plugins::OfferId>,
    last_offer: u64,
}

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
            scanned: false,
            connected: false,
            offers: HashMap::new(),
            last_offer: 0,
        }
    }

    pub(crate) fn started(&mut self, plugins: Plugins) {
        if self.trouble.take().is_some() {
            tracing::info!("the plugins can be started now");
        }
        plugins.set_connected(self.connected);
        self.plugins = Some(Arc::new(plugins));
    }

    pub(crate) fn not_yet(&mut self, reason: String) {
        tracing::error!(reason, "the plugins cannot be started; trying again");
        self.trouble = Some(reason);
    }

    /// Why there are none, if they cannot be started.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Takes in what a plugin reports; the answer is for the session.
    pub(crate) fn on_event(&mut self, event: PluginEvent) -> Option<Event> {
        Some(match event {
            PluginEvent::ScanDone => {
                self.scanned = true;
                Event::PluginsScanned
            }
            PluginEvent::Up { plugin, exports, interval, sha256, change, grants } => {
                let how = match change {
                    Change::First => "loaded",
                    Change::Replaced => "replaced",
                    Change::Restarted => "restarted",
                };
                tracing::info!(plugin, sha256, may_touch = grants.join("; "), "plugin {how}");
                let interval = exports.sensor.then_some(interval);
                let up = PluginUp { plugin, interval, commands: exports.commands };
                self.up.insert(up.plugin.clone(), up.clone());
                Event::PluginUp(up)
            }
            PluginEvent::Down { plugin, reason, gone } => {
                tracing::warn!(plugin, reason, gone, "plugin down");
                self.up.remove(&plugin);
                Event::PluginDown { plugin, gone }
            }
            PluginEvent::Refused { plugin, file, reason } => {
                tracing::error!(plugin, file = %file.display(), reason, "plugin file refused");
                return None;
            }
            PluginEvent::Sampled { plugin, call, result } => {
                let result = result.map_err(|failure| translate::call_failure(&failure));
                Event::Sampled { plugin, call: CallId(call), result }
            }
            PluginEvent::Replied { plugin, call, result } => {
                let result = result.map(translate::reply).map_err(|failure| translate::call_failure(&failure));
                Event::Replied { plugin, call: CallId(call), result }
            }
            PluginEvent::Offered { plugin, offer, samples } => {
                self.last_offer += 1;
                self.offers.insert(self.last_offer, offer);
                Event::Offered { plugin, offer: OfferId(self.last_offer), samples }
            }
        })
    }

    /// What a session that begins anew has to know.
    pub(crate) fn as_they_are(&self) -> impl Iterator<Item = Event> {
        let up = self.up.values().cloned().map(Event::PluginUp);
        up.chain(self.scanned.then_some(Event::PluginsScanned))
    }

    /// Asks for readings; a refusal is an answer.
    pub(crate) fn sample(&self, plugin: String, call: CallId) -> Option<Event> {
        let Err(failure) = self.with(|plugins| plugins.sample(&plugin, call.0)) else { return None };
        Some(Event::Sampled { plugin, call, result: Err(failure) })
    }

    /// Hands over a command; a refusal is an answer.
    pub(crate) fn call(&self, plugin: String, call: CallId, text: String, child: Option<String>) -> Option<Event> {
        let command = edgeplug_plugins::Command { text, device: child };
        let Err(failure) = self.with(|plugins| plugins.command(&plugin, call.0, command)) else { return None };
        Some(Event::Replied { plugin, call, result: Err(failure) })
    }

    pub(crate) fn answer_offer(&mut self, offer: OfferId, outcomes: Vec<Outcome>) {
        if let (Some(plugins), Some(offer)) = (&self.plugins, self.offers.remove(&offer.0)) {
            plugins.answer_offer(offer, outcomes.into_iter().map(translate::sample_outcome).collect());
        }
    }

    pub(crate) fn set_connected(&mut self, connected: bool) {
        self.connected = connected;
        if let Some(plugins) = &self.plugins {
            plugins.set_connected(connected);
        }
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

    fn with(&self, ask: impl FnOnce(&Plugins) -> Result<(), edgeplug_plugins::NotReady>) -> Result<(), CallFailure> {
        match &self.plugins {
            Some(plugins) => ask(plugins).map_err(|error| CallFailure(error.to_string())),
            None => Err(CallFailure("the plugins are not started".to_owned())),
        }
    }
}

fn options(config: &Config) -> PluginsOptions {
    // Where no grant reaches: state, keys, passwords.
    let private = std::iter::once(&config.state_dir).chain(&config.secret_files);
    PluginsOptions {
        directory: config.plugins.directory.clone(),
        cache_directory: config.state_dir.join("cache"),
        compiler: config.plugins.compiler.clone(),
        policy: config.plugins.policy.clone(),
        device: DeviceInfo { unique_id: config.session.unique_id.clone() },
        private_directories: private.cloned().collect(),
        limits: Limits::default(),
    }
}
