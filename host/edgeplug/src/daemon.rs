//! The daemon: everything composed, and the loop that carries the session's decisions out.
//!
//! One turn of the loop: wait for one event, take every other that is ready, hand them to the session, carry out all
//! its actions. Nothing in a turn waits: slow work (HTTPS, TPM, opening the store) is a task that sends its result back
//! as an event.
//!
//! What cannot be had yet is done without: there is an API before there is a store, and a link too, so that a device
//! with a full disk can be seen and helped. When the store opens after all, the session begins anew with what it holds.

mod ending;

use std::time::Duration;

use edgeplug_link::LinkEvent;
use edgeplug_outbox::OutboxEvent;
use edgeplug_plugins::PluginEvent;
use edgeplug_session::event::{Event, Restored};
use edgeplug_session::{Action, Now, Session, SessionConfig};
use tokio::sync::mpsc;

use crate::api;
use crate::clocks::{Clocks, boot_id, sleep_until};
use crate::cloud::Cloud;
use crate::config::Config;
use crate::exit::{Exit, Problem};
use crate::operators::Operators;
use crate::ota::{Ota, Told};
use crate::plugins::{self, Heard, PluginHost, Starting};
use crate::service::Service;
use crate::signals::Signals;
use crate::store::{self, Opened, Opening, Store};
use crate::translate;

/// Questions from the local API that may wait for a turn.
const QUESTIONS_MAX: usize = 16;
/// Events taken in one turn, so that a flood on one side does not starve the timers.
const EVENTS_PER_TURN: usize = 1_024;
/// A store without room is asked again so soon, also when nothing else happens.
const STORE_ROOM_WAIT: Duration = Duration::from_millis(10);

/// Runs until a signal; returns how it went.
pub(crate) async fn run(mut config: Config) -> Result<(), Problem> {
    let mut signals =
        Signals::listen().map_err(|error| Problem::new(Exit::Failed, format!("cannot listen for signals: {error}")))?;
    config.session.boot_id = boot_id();
    let (question_sender, questions) = mpsc::channel(QUESTIONS_MAX);
    let api = api::serve(&config.socket, question_sender).await?;
    let cloud = Cloud::new(&config)?;
    let ota = Ota::start(&config.ota, cloud.http()).await;
    if let Some(reason) = ota.refused() {
        tracing::warn!(reason, "firmware updates will be refused");
    }
    let inputs = Inputs {
        opening: store::open(&config),
        starting: plugins::start(&config),
        outbox: None,
        plugins: None,
        questions,
    };
    let mut daemon = Daemon {
        session: Session::new(config.session.clone(), fastrand::u64(..)),
        clocks: Clocks::start(),
        now: None,
        store: Store::new(),
        cloud,
        ota,
        plugins: PluginHost::new(),
        operators: Operators::default(),
        service: Service::start(),
        session_config: config.session,
        phase: Phase::Opening,
        stopping: false,
        stragglers: Vec::new(),
    };
    let unique_id = &daemon.session_config.unique_id;
    tracing::info!(unique_id, plugins = %config.plugins.directory.display(), "edgeplug started");
    let ended = daemon.turn_until_stopped(inputs, &mut signals).await;
    api.abort();
    let _ = std::fs::remove_file(&config.socket);
    ended?;
    daemon.close().await
}

struct Daemon {
    session: Session,
    clocks: Clocks,
    /// The clocks in this turn, once they were looked at.
    now: Option<Now>,
    store: Store,
    cloud: Cloud,
    ota: Ota,
    plugins: PluginHost,
    operators: Operators,
    service: Service,
    /// For a session that begins anew.
    session_config: SessionConfig,
    phase: Phase,
    /// A signal came.
    stopping: bool,
    /// What did not end in time, in words.
    stragglers: Vec<String>,
}

/// What the session stands on.
enum Phase {
    /// The first try to open the store is under way; the session has not begun.
    Opening,
    /// The session runs without a store, which is being tried again.
    Without,
    /// The store opened late: the session comes to rest, to begin anew with it.
    Arrived(Box<Opened>),
    /// As it should be.
    Running,
    /// The session came to rest for good.
    Stopped,
}

/// What arrives, besides what the cloud says.
struct Inputs {
    opening: mpsc::Receiver<Opening>,
    starting: mpsc::Receiver<Starting>,
    outbox: Option<mpsc::Receiver<OutboxEvent>>,
    plugins: Option<mpsc::Receiver<PluginEvent>>,
    questions: mpsc::Receiver<api::Question>,
}

impl Daemon {
    /// The main loop. Plugins stop first, while their last readings can still be stored; then the link.
    async fn turn_until_stopped(&mut self, mut inputs: Inputs, signals: &mut Signals) -> Result<(), Problem> {
        // The plugins' end, which comes once.
        let (plugins_ended, mut plugins_end) = mpsc::channel(1);
        self.service.ready();
        loop {
            self.carry_out(&mut inputs);
            if matches!(self.phase, Phase::Stopped) {
                return Ok(());
            }
            self.report();
            let (wake, begun) = (self.wake(), self.has_begun());
            self.now = None;
            tokio::select! {
                event = next(&mut inputs.outbox) => match event {
                    Some(event) => self.on_outbox(event),
                    // Without a store nothing can be accepted; a fresh start may find out why.
                    None => return Err(Problem::new(Exit::Failed, "the store ended unexpectedly")),
                },
                Some(event) = next(&mut inputs.plugins), if begun => self.on_plugin(event),
                Some(event) = self.cloud.link_events.recv() => self.on_link(event),
                Some(event) = self.cloud.completed.recv() => self.feed(event),
                Some(told) = self.ota.told.recv() => self.on_told(told),
                Some(question) = inputs.questions.recv() => self.on_question(question),
                Some(opening) = inputs.opening.recv() => self.on_opening(opening, &mut inputs)?,
                Some(starting) = inputs.starting.recv() => self.on_starting(starting, &mut inputs),
                () = sleep_until(wake) => self.feed(Event::Woke),
                () = signals.stop(), if !self.stopping => self.begin_stop(&plugins_ended),
                Some(ended) = plugins_end.recv() => self.plugins_stopped(ended, &mut inputs),
            }
            self.take_ready(&mut inputs);
        }
    }

    fn wake(&self) -> Option<tokio::time::Instant> {
        let session = self.session.poll_timeout().filter(|_| self.has_begun()).map(|at| self.clocks.at(at));
        let room = self.store.is_behind().then(|| tokio::time::Instant::now() + STORE_ROOM_WAIT);
        session.into_iter().chain(room).chain(self.service.wake()).min()
    }

    fn take_ready(&mut self, inputs: &mut Inputs) {
        for _ in 0..EVENTS_PER_TURN {
            let mut idle = true;
            if let Some(event) = ready(&mut inputs.outbox) {
                self.on_outbox(event);
                idle = false;
            }
            if let Ok(event) = self.cloud.link_events.try_recv() {
                self.on_link(event);
                idle = false;
            }
            if self.has_begun()
                && let Some(event) = ready(&mut inputs.plugins)
            {
                self.on_plugin(event);
                idle = false;
            }
            if let Ok(event) = self.cloud.completed.try_recv() {
                self.feed(event);
                idle = false;
            }
            if let Ok(told) = self.ota.told.try_recv() {
                self.on_told(told);
                idle = false;
            }
            if idle {
                break;
            }
        }
    }

    /// Whether the session heard what the store held, which is the first it must hear. Plugins wait for it.
    fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Opening)
    }

    /// One reading of the clocks for each turn.
    fn now(&mut self) -> Now {
        *self.now.get_or_insert_with(|| self.clocks.now())
    }

    fn feed(&mut self, event: Event) {
        let now = self.now();
        if self.has_begun() {
            self.session.handle(event, now);
        }
    }

    fn on_outbox(&mut self, event: OutboxEvent) {
        if let Some(event) = self.store.on_event(event) {
            self.feed(event);
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        if let Some(event) = self.cloud.link_event(event) {
            self.feed(event);
        }
    }

    fn on_plugin(&mut self, event: PluginEvent) {
        match self.plugins.on_event(event) {
            Some(Heard::Event(event)) => {
                self.ota.heard(&event);
                self.feed(event);
            }
            Some(Heard::Keep { ask, plugin, key, value }) => self.store.keep_state(ask, &plugin, &key, value),
            None => {}
        }
    }

    fn on_told(&mut self, told: Told) {
        match told {
            Told::Event(event) => self.feed(event),
            // It took too long, and the session gave it up.
            Told::HandOver { plugin, call, .. } if !self.session.awaits_update(&plugin, call) => {
                tracing::warn!(plugin, "a file of an update was ready too late; it is not handed over");
            }
            Told::HandOver { plugin, call, update } => {
                if let Some(refused) = self.plugins.update(plugin, call, update) {
                    self.feed(refused);
                }
            }
            Told::Deployed { ticket, deployment } => {
                self.feed(Event::Deployed { ticket, result: Ok(deployment.clone()) });
                self.plugins.rescan();
                self.ota.deployed(deployment);
            }
            Told::Withdrawn => self.plugins.rescan(),
        }
    }

    fn on_opening(&mut self, opening: Opening, inputs: &mut Inputs) -> Result<(), Problem> {
        match opening {
            Opening::Opened(opened) => match self.phase {
                Phase::Opening => self.begin(*opened, inputs),
                _ => {
                    tracing::info!("the store can be opened now; the link closes for a moment to begin with it");
                    self.phase = Phase::Arrived(opened);
                    self.feed(Event::Stop);
                }
            },
            Opening::NotYet(reason) => {
                self.store.not_yet(&reason);
                self.plugins.state_found(Err(reason));
                if matches!(self.phase, Phase::Opening) {
                    self.phase = Phase::Without;
                    self.feed(Event::Restored(Restored::default()));
                    self.tell_plugins();
                }
            }
            Opening::Never(problem) => return Err(problem),
        }
        Ok(())
    }

    /// The session's first event, and what has happened since the start.
    fn begin(&mut self, opened: Opened, inputs: &mut Inputs) {
        inputs.outbox = Some(opened.events);
        let restored = self.store.opened(opened.outbox, opened.found);
        self.plugins.state_found(Ok(self.store.plugin_state()));
        self.phase = Phase::Running;
        self.feed(Event::Restored(restored));
        for event in opened.earlier {
            self.on_outbox(event);
        }
        self.tell_plugins();
    }

    fn tell_plugins(&mut self) {
        let events: Vec<_> = self.plugins.as_they_are().collect();
        for event in events {
            self.feed(event);
        }
        if self.stopping {
            self.feed(Event::PluginsStopping);
        }
    }

    fn on_starting(&mut self, starting: Starting, inputs: &mut Inputs) {
        match starting {
            // Dropped, they end.
            Starting::Started(..) if self.stopping => {}
            Starting::Started(plugins, events) => {
                inputs.plugins = Some(events);
                let plugins = self.plugins.started(plugins);
                self.ota.plugins_started(plugins);
            }
            Starting::NotYet(reason) => self.plugins.not_yet(reason),
        }
    }

    fn on_question(&mut self, question: api::Question) {
        match question {
            api::Question::Status(answer) => {
                let status = api::DaemonStatus {
                    version: env!("CARGO_PKG_VERSION"),
                    uptime_s: self.clocks.uptime().as_secs_f64(),
                    store: self.store.status(),
                    plugins_trouble: self.plugins.trouble().map(str::to_owned),
                    ota_refused: self.ota.refused().map(str::to_owned),
                    session: self.session.status(self.clocks.now()),
                };
                // The asker may have gone.
                let _ = answer.send(status);
            }
            api::Question::Plugins(answer) => {
                let _ = answer.send(self.plugins.list());
            }
            api::Question::OperatePlugin(plugin, operation, answer) => self.plugins.operate(plugin, operation, answer),
            api::Question::Logs(plugin, after, answer) => {
                let _ = answer.send(self.plugins.log_tail(&plugin, after, api::LOG_PAGE_LINES_MAX));
            }
            api::Question::Drop(through, answer) => self.store.drop_rows(through, answer),
            api::Question::Children(answer) => {
                let _ = answer.send(self.plugins.children());
            }
            api::Question::Operator(_, answer) if !matches!(self.phase, Phase::Running | Phase::Without) => {
                let _ = answer.send(Err("the daemon is starting or stopping; ask again".to_owned()));
            }
            api::Question::Operator(what, answer) => {
                if let Some(event) = self.operators.ask(what, answer) {
                    self.feed(event);
                }
            }
        }
    }

    /// Carries out everything the session wants. An action that fails at once is an event, and may make more actions.
    fn carry_out(&mut self, inputs: &mut Inputs) {
        loop {
            while let Some(action) = self.session.poll_action() {
                if let Some(event) = self.act(action, inputs) {
                    self.feed(event);
                }
            }
            match self.store.flush() {
                Some(event) => self.feed(event),
                None => break,
            }
        }
        while let Some((ask, result)) = self.store.next_kept() {
            self.plugins.kept(ask, result);
        }
    }

    fn act(&mut self, action: Action, inputs: &mut Inputs) -> Option<Event> {
        let now = self.now();
        let action = self.store.take(action, self.clocks.uptime_at(now))?;
        match action {
            Action::Sample { plugin, call } => self.plugins.sample(plugin, call),
            Action::Transform { plugin, call, samples } => self.plugins.transform(plugin, call, samples),
            Action::Call { plugin, call, id, text, child } => {
                self.plugins.call(plugin, call, edgeplug_plugins::Command { id, text, device: child })
            }
            Action::UpdateEnded { plugin, id } => {
                self.plugins.update_ended(&plugin, &id);
                None
            }
            Action::AnswerOffer { offer, outcomes } => {
                self.plugins.answer_offer(offer, outcomes);
                None
            }
            Action::Answer { ask, answer } => {
                self.plugins.answer(ask, answer);
                None
            }
            Action::TellConnected(connection) => {
                self.plugins.connection_changed(translate::connection(connection));
                None
            }
            Action::TellTemplate(model) => {
                self.plugins.template_changed(model);
                None
            }
            Action::TellDesired { to, change } => {
                for event in self.plugins.tell_desired(to, &translate::desired(change)) {
                    self.feed(event);
                }
                None
            }
            Action::AnswerOperator { request, result } => {
                self.operators.answer(request, result);
                None
            }
            Action::Stopped => {
                self.session_stopped(inputs);
                None
            }
            other => self.ota.act(other).unwrap_or_else(|other| self.cloud.act(other)),
        }
    }

    /// Tells the service manager that the loop turns, and how things stand.
    fn report(&mut self) {
        let Self { service, session, clocks, plugins, store, stopping, .. } = self;
        service.turn(|| {
            let status = session.status(clocks.now());
            let link = match &status.disconnected_by {
                _ if *stopping => "closing".to_owned(),
                Some(plugin) => format!("disconnected on request of plugin {plugin}"),
                None => crate::identity::words(status.link).to_owned(),
            };
            let trouble = status.trouble.map(|trouble| format!("; not connected: {}", trouble.text));
            let plugins = match plugins.trouble() {
                Some(trouble) => format!("no plugins: {trouble}"),
                None => format!("{} plugins running", plugins.running()),
            };
            // The reason, which may be long, comes last.
            format!("{link}; {plugins}; {}{}", store.health().words(), trouble.unwrap_or_default())
        });
    }
}

/// The next event of a source that may not be there yet. `None`: it ended.
async fn next<T>(source: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match source {
        Some(source) => source.recv().await,
        None => std::future::pending().await,
    }
}

/// An event that is there already.
fn ready<T>(source: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    source.as_mut()?.try_recv().ok()
}
