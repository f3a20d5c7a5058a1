//! The daemon: everything composed, and the loop that carries the session's decisions out.
//!
//! One turn of the loop: wait for one event, take every other that is ready, hand them to the session, carry out all
//! its actions. Nothing in a turn waits: slow work (HTTPS, TPM) is a task that sends its result back as an event.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edgeplug_link::LinkEvent;
use edgeplug_outbox::{Outbox, OutboxEvent, OutboxOptions};
use edgeplug_plugins::{Change, DeviceInfo, Limits, PluginEvent, Plugins, PluginsOptions, Straggler};
use edgeplug_session::event::{Event, PluginUp};
use edgeplug_session::{Action, CallId, OfferId, Session};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::api;
use crate::clocks::{Clocks, sleep_until};
use crate::cloud::{Cloud, link_event};
use crate::config::Config;
use crate::exit::{Exit, Problem, chain};
use crate::store::{self, Store};
use crate::translate;

/// Questions from the local API that may wait for a turn.
const QUESTIONS_MAX: usize = 16;
/// Events taken in one turn, so that a flood on one side does not starve the timers.
const EVENTS_PER_TURN: usize = 1_024;
/// How long plugins may take to stop.
const PLUGINS_STOP: Duration = Duration::from_secs(5);
/// How long the store may take to write and close.
const STORE_CLOSE: Duration = Duration::from_secs(10);
/// Waits between tries to open a store that may heal (a full disk, for instance).
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Runs until a signal; returns how it went.
pub(crate) async fn run(config: Config) -> Result<(), Problem> {
    let (outbox, found, mut outbox_events) = open_store(&config.state_dir).await?;
    for damaged in &found.damaged {
        tracing::error!(reason = damaged.reason, set_aside = %damaged.set_aside.display(), "a damaged store was set aside");
    }
    let restored = store::restored(found, &outbox, &mut outbox_events).await;
    let (question_sender, questions) = mpsc::channel(QUESTIONS_MAX);
    let api = api::serve(&config.socket, question_sender).map_err(|error| {
        Problem::new(Exit::Failed, format!("cannot listen on {}: {error}", config.socket.display()))
    })?;
    let cloud = Cloud::new(&config)?;
    let (plugins, plugin_events) = Plugins::start(plugins_options(&config))
        .map_err(|error| Problem::new(Exit::Failed, format!("cannot start the plugins: {}", chain(&error))))?;
    let inputs = Inputs { outbox: outbox_events, plugins: plugin_events, questions };
    let mut daemon = Daemon {
        session: Session::new(config.session.clone(), fastrand::u64(..)),
        clocks: Clocks::start(),
        store: Store::new(outbox),
        cloud,
        plugins: Arc::new(plugins),
        offers: HashMap::new(),
        last_offer: 0,
        stopping: false,
        stopped: false,
    };
    tracing::info!(unique_id = config.session.unique_id, plugins = %config.plugins.directory.display(), "edgeplug started");
    daemon.feed(Event::Restored(restored));
    let stragglers = daemon.turn_until_stopped(inputs).await?;
    api.abort();
    let _ = std::fs::remove_file(&config.socket);
    daemon.cloud.identity.close().await;
    let store = daemon.store;
    let closed = tokio::time::timeout(STORE_CLOSE, tokio::task::spawn_blocking(move || store.close())).await;
    tracing::info!(stragglers = stragglers.len(), "edgeplug stopped");
    match closed {
        Ok(Ok(())) => Ok(()),
        // What was accepted is on disk all the same.
        Ok(Err(error)) => Err(Problem::new(Exit::Failed, format!("the store did not close: {error}"))),
        Err(_) => Err(Problem::new(Exit::Failed, "the store did not close in time; the disk may hang")),
    }
}

struct Daemon {
    session: Session,
    clocks: Clocks,
    store: Store,
    cloud: Cloud,
    plugins: Arc<Plugins>,
    /// Offers that wait for their answer, by the number the session knows them under.
    offers: HashMap<u64, edgeplug_plugins::OfferId>,
    last_offer: u64,
    /// A signal came.
    stopping: bool,
    /// The session came to rest.
    stopped: bool,
}

struct Inputs {
    outbox: mpsc::Receiver<OutboxEvent>,
    plugins: mpsc::Receiver<PluginEvent>,
    questions: mpsc::Receiver<api::Question>,
}

impl Daemon {
    /// The main loop. Plugins stop first, while their last readings can still be stored; then the link.
    async fn turn_until_stopped(&mut self, mut inputs: Inputs) -> Result<Vec<Straggler>, Problem> {
        let cannot_listen = |error| Problem::new(Exit::Failed, format!("cannot listen for signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot_listen)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_listen)?;
        // The plugins' end, which comes once.
        let (plugins_ended, mut plugins_end) = mpsc::channel(1);
        let mut stragglers = Vec::new();
        loop {
            self.carry_out();
            if self.stopped {
                return Ok(stragglers);
            }
            let wake = self.session.poll_timeout().map(|at| self.clocks.at(at));
            // A store without room is asked again soon, also when nothing else happens.
            let wake = if self.store.is_behind() {
                Some(tokio::time::Instant::now() + Duration::from_millis(10))
            } else {
                wake
            };
            tokio::select! {
                event = inputs.outbox.recv() => match event {
                    Some(event) => self.on_outbox(event),
                    // Without a store nothing can be accepted; a fresh start may find out why.
                    None => return Err(Problem::new(Exit::Failed, "the store ended unexpectedly")),
                },
                Some(event) = inputs.plugins.recv() => self.on_plugin(event),
                Some(event) = self.cloud.link_events.recv() => self.on_link(event),
                Some(event) = self.cloud.completed.recv() => self.feed(event),
                Some(question) = inputs.questions.recv() => self.on_question(question),
                () = sleep_until(wake) => self.feed(Event::Woke),
                _ = terminate.recv() => self.begin_stop(&plugins_ended)?,
                _ = interrupt.recv() => self.begin_stop(&plugins_ended)?,
                Some(ended) = plugins_end.recv() => {
                    stragglers = ended;
                    for straggler in &stragglers {
                        tracing::warn!(plugin = straggler.plugin, "the plugin did not stop in time and was cut off");
                    }
                    // Their last readings may still be on the way to the store.
                    while let Ok(event) = inputs.plugins.try_recv() {
                        self.on_plugin(event);
                    }
                    self.feed(Event::Stop);
                }
            }
            self.take_ready(&mut inputs);
        }
    }

    /// The second signal means now.
    fn begin_stop(&mut self, plugins_ended: &mpsc::Sender<Vec<Straggler>>) -> Result<(), Problem> {
        if self.stopping {
            return Err(Problem::new(Exit::Failed, "stopped at once by a second signal"));
        }
        tracing::info!("stopping");
        self.stopping = true;
        self.feed(Event::PluginsStopping);
        let (plugins, ended) = (Arc::clone(&self.plugins), plugins_ended.clone());
        tokio::spawn(async move {
            // The receiver lives as long as the loop does.
            let _ = ended.send(plugins.stop(PLUGINS_STOP).await).await;
        });
        Ok(())
    }

    fn take_ready(&mut self, inputs: &mut Inputs) {
        for _ in 0..EVENTS_PER_TURN {
            let mut idle = true;
            if let Ok(event) = inputs.outbox.try_recv() {
                self.on_outbox(event);
                idle = false;
            }
            if let Ok(event) = self.cloud.link_events.try_recv() {
                self.on_link(event);
                idle = false;
            }
            if let Ok(event) = inputs.plugins.try_recv() {
                self.on_plugin(event);
                idle = false;
            }
            if let Ok(event) = self.cloud.completed.try_recv() {
                self.feed(event);
                idle = false;
            }
            if idle {
                break;
            }
        }
    }

    fn feed(&mut self, event: Event) {
        let now = self.clocks.now();
        self.session.handle(event, now);
    }

    fn on_outbox(&mut self, event: OutboxEvent) {
        if let Some(event) = store::event(event) {
            self.feed(event);
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        self.feed(link_event(event));
    }

    fn on_plugin(&mut self, event: PluginEvent) {
        let event = match event {
            PluginEvent::ScanDone => Event::PluginsScanned,
            PluginEvent::Up { plugin, exports, interval, sha256, change, grants } => {
                let how = match change {
                    Change::First => "loaded",
                    Change::Replaced => "replaced",
                    Change::Restarted => "restarted",
                };
                tracing::info!(plugin, sha256, may_touch = grants.join("; "), "plugin {how}");
                let interval = exports.sensor.then_some(interval);
                Event::PluginUp(PluginUp { plugin, interval, commands: exports.commands })
            }
            PluginEvent::Down { plugin, reason, gone } => {
                tracing::warn!(plugin, reason, gone, "plugin down");
                Event::PluginDown { plugin, gone }
            }
            PluginEvent::Refused { plugin, file, reason } => {
                tracing::error!(plugin, file = %file.display(), reason, "plugin file refused");
                return;
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
        };
        self.feed(event);
    }

    fn on_question(&mut self, question: api::Question) {
        match question {
            api::Question::Status(answer) => {
                let status = api::DaemonStatus {
                    version: env!("CARGO_PKG_VERSION"),
                    uptime_s: self.clocks.uptime().as_secs_f64(),
                    session: self.session.status(self.clocks.now()),
                };
                // The asker may have gone.
                let _ = answer.send(status);
            }
            api::Question::Plugins(answer) => {
                let _ = answer.send(self.plugins.list());
            }
        }
    }

    /// Carries out everything the session wants. An action that fails at once is an event, and may make more actions.
    fn carry_out(&mut self) {
        loop {
            while let Some(action) = self.session.poll_action() {
                if let Some(event) = self.act(action) {
                    self.feed(event);
                }
            }
            match self.store.flush() {
                Some(event) => self.feed(event),
                None => break,
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        let action = self.store.take(action, self.clocks.uptime())?;
        match action {
            Action::Sample { plugin, call } => match self.plugins.sample(&plugin, call.0) {
                Ok(()) => None,
                Err(error) => {
                    let result = Err(edgeplug_session::event::CallFailure(error.to_string()));
                    Some(Event::Sampled { plugin, call, result })
                }
            },
            Action::Call { plugin, call, text, child } => {
                let command = edgeplug_plugins::Command { text, device: child };
                match self.plugins.command(&plugin, call.0, command) {
                    Ok(()) => None,
                    Err(error) => {
                        let result = Err(edgeplug_session::event::CallFailure(error.to_string()));
                        Some(Event::Replied { plugin, call, result })
                    }
                }
            }
            Action::AnswerOffer { offer, outcomes } => {
                if let Some(offer) = self.offers.remove(&offer.0) {
                    self.plugins.answer_offer(offer, outcomes.into_iter().map(translate::sample_outcome).collect());
                }
                None
            }
            Action::TellConnected(connected) => {
                self.plugins.set_connected(connected);
                None
            }
            Action::Stopped => {
                self.stopped = true;
                None
            }
            other => self.cloud.act(other),
        }
    }
}

fn plugins_options(config: &Config) -> PluginsOptions {
    PluginsOptions {
        directory: config.plugins.directory.clone(),
        cache_directory: config.state_dir.join("cache"),
        compiler: config.plugins.compiler.clone(),
        policy: config.plugins.policy.clone(),
        device: DeviceInfo { unique_id: config.session.unique_id.clone() },
        private_directories: private_paths(config),
        limits: Limits::default(),
    }
}

/// Where no grant reaches: state, keys, passwords.
fn private_paths(config: &Config) -> Vec<std::path::PathBuf> {
    let mut paths = vec![config.state_dir.clone()];
    paths.extend(config.secret_files.iter().cloned());
    paths
}

/// Opens the store, waiting for one that may heal.
async fn open_store(
    state_dir: &Path,
) -> Result<(Outbox, edgeplug_outbox::Restored, mpsc::Receiver<OutboxEvent>), Problem> {
    let mut said = String::new();
    loop {
        let options = OutboxOptions::new(state_dir.join("outbox"));
        let opened = tokio::task::spawn_blocking(move || Outbox::open(options)).await;
        match opened.map_err(|error| Problem::new(Exit::Failed, error.to_string()))? {
            Ok(opened) => return Ok(opened),
            Err(error) if error.may_heal() => {
                let text = chain(&error);
                if text != said {
                    tracing::error!(reason = text, "the store cannot be opened; trying again");
                    said = text;
                }
                tokio::time::sleep(STORE_RETRY).await;
            }
            Err(error @ edgeplug_outbox::OpenError::Locked { .. }) => {
                return Err(Problem::new(Exit::AlreadyRunning, chain(&error)));
            }
            Err(error) => return Err(Problem::new(Exit::Failed, chain(&error))),
        }
    }
}
