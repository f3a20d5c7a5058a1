//! The daemon: everything composed, and the loop that carries the session's decisions out.
//!
//! One turn of the loop: wait for one event, take every other that is ready, hand them to the session, carry out all
//! its actions. Nothing in a turn waits: slow work (HTTPS, TPM) is a task that sends its result back as an event.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgeplug_identity::Identity;
use edgeplug_link::{
    ConnectOptions, HttpClient, HttpOptions, LinkEvent, Mqtt, PACKET_BYTES_MAX, RumqttcMqtt, TlsMode, tls_config,
};
use edgeplug_outbox::{Outbox, OutboxEvent, OutboxOptions};
use edgeplug_plugins::{Change, DeviceInfo, Limits, PluginEvent, Plugins, PluginsOptions, Straggler};
use edgeplug_session::action::ConnectTo;
use edgeplug_session::event::{Event, LinkDownReason, PluginUp};
use edgeplug_session::{Action, CallId, ConnectionId, DeliveryId, Now, OfferId, Session, Ticket};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::api;
use crate::config::Config;
use crate::exit::{Exit, Problem, chain};
use crate::store::{self, Store};
use crate::translate;

/// Results of tasks on their way back. The session has one step of its connection outstanding; the rest is room.
const COMPLETIONS_MAX: usize = 16;
/// Questions from the local API that may wait for a turn.
const QUESTIONS_MAX: usize = 16;
/// Events taken in one turn, so that a flood on one side does not starve the timers.
const EVENTS_PER_TURN: usize = 1_024;
/// How long plugins may take to stop.
const PLUGINS_STOP: Duration = Duration::from_secs(5);
/// Waits between tries to open a store that may heal (a full disk, for instance).
const STORE_RETRY: Duration = Duration::from_secs(5);
/// A message that the clock was set from the network since boot (systemd-timesyncd).
const CLOCK_SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// How often that is looked up.
const CLOCK_LOOK: Duration = Duration::from_secs(10);

const HTTP_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const MQTT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The old SDK's value, and well under the four minutes after which NATs on the way forget a silent connection.
const MQTT_KEEP_ALIVE: Duration = Duration::from_secs(60);

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
    let closed = tokio::task::spawn_blocking(move || store.close()).await;
    tracing::info!(stragglers = stragglers.len(), "edgeplug stopped");
    closed.map_err(|error| Problem::new(Exit::Failed, format!("the store did not close: {error}")))
}

/// The parts that reach the cloud; `identity test` runs a session on these alone.
pub(crate) struct Cloud {
    pub(crate) identity: Identity,
    http: HttpClient,
    mqtt: RumqttcMqtt,
    completions: mpsc::Sender<Event>,
    pub(crate) completed: mpsc::Receiver<Event>,
    pub(crate) link_events: mpsc::Receiver<LinkEvent>,
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
                Some(event) = inputs.outbox.recv() => self.on_outbox(event),
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
                Event::PluginDown { plugin }
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
                    uptime_s: self.clocks.started.elapsed().as_secs_f64(),
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
        let action = self.store.take(action, self.clocks.now().wall_unix_ms)?;
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

impl Cloud {
    /// Nothing is connected or opened yet.
    pub(crate) fn new(config: &Config) -> Result<Self, Problem> {
        let unusable = |error: &dyn std::error::Error| {
            Problem::new(Exit::ConfigFileMissing, format!("cloud.ca_file: {}; mend or remove it", chain(error)))
        };
        let tls = tls_config(config.ca_file.as_deref()).map_err(|error| unusable(&error))?;
        let http = HttpClient::new(HttpOptions {
            extra_root_ca: config.ca_file.clone(),
            connect_timeout: HTTP_CONNECT_TIMEOUT,
            request_timeout: HTTP_REQUEST_TIMEOUT,
            user_agent: concat!("edgeplug/", env!("CARGO_PKG_VERSION")).to_owned(),
        })
        .map_err(|error| unusable(&error))?;
        let (mqtt, link_events) = RumqttcMqtt::new(tls, tokio::runtime::Handle::current());
        let (completions, completed) = mpsc::channel(COMPLETIONS_MAX);
        Ok(Self { identity: Identity::open(config.identity.clone()), http, mqtt, completions, completed, link_events })
    }

    /// Carries out an action that concerns identity, HTTPS or MQTT.
    pub(crate) fn act(&self, action: Action) -> Option<Event> {
        match action {
            Action::OpenIdentity { ticket } => {
                let identity = self.identity.clone();
                self.spawn(async move {
                    let result = identity.registration().await;
                    let result = result.map(translate::registration).map_err(|e| translate::identity_failure(&e));
                    Event::IdentityOpened { ticket, result }
                });
            }
            Action::Http { ticket, request } => {
                let http = self.http.clone();
                self.spawn(async move {
                    let result = http.send(translate::http_request(request)).await;
                    let result = result.map(translate::http_reply).map_err(|error| translate::http_failure(&error));
                    Event::HttpDone { ticket, result }
                });
            }
            Action::Activate { ticket, slot, blob } => {
                let identity = self.identity.clone();
                self.spawn(async move {
                    let result = identity.activate(translate::key_slot(slot), &blob).await;
                    Event::Activated { ticket, slot, result: result.map_err(|e| translate::identity_failure(&e)) }
                });
            }
            Action::Sign { ticket, slot, bytes } => {
                let identity = self.identity.clone();
                self.spawn(async move {
                    let result = identity.sign(translate::key_slot(slot), &bytes).await;
                    let result = result.map(|signature| signature.as_bytes().to_vec());
                    Event::Signed { ticket, result: result.map_err(|e| translate::identity_failure(&e)) }
                });
            }
            Action::DiscardChallenge => {
                let identity = self.identity.clone();
                tokio::spawn(async move { identity.discard_challenge().await });
            }
            Action::Connect { connection, to } => {
                if self.mqtt.connect(edgeplug_link::ConnectionId(connection.0), connect_options(to)).is_err() {
                    return Some(Event::LinkDown { connection, reason: LinkDownReason::Asked });
                }
            }
            Action::Disconnect { connection } => self.mqtt.disconnect(edgeplug_link::ConnectionId(connection.0)),
            Action::Publish { connection, ticket, topic, body } => {
                let link = edgeplug_link::ConnectionId(connection.0);
                if let Err(error) = self.mqtt.publish(link, ticket.0, topic, body) {
                    // Custody lies with the store: a new connection sends everything again.
                    tracing::error!(%error, "a message could not be handed to the link; connecting anew");
                    self.mqtt.disconnect(link);
                }
            }
            Action::Acknowledge { connection, delivery } => {
                let link = edgeplug_link::ConnectionId(connection.0);
                self.mqtt.acknowledge(link, edgeplug_link::DeliveryId(delivery.0));
            }
            other => tracing::debug!(?other, "nobody here to do this"),
        }
        None
    }

    fn spawn(&self, work: impl Future<Output = Event> + Send + 'static) {
        let completions = self.completions.clone();
        tokio::spawn(async move {
            // The receiver lives as long as the loop does.
            let _ = completions.send(work.await).await;
        });
    }
}

/// A link event in the session's words.
pub(crate) fn link_event(event: LinkEvent) -> Event {
    match event {
        LinkEvent::Up { connection, .. } => Event::LinkUp { connection: ConnectionId(connection.0) },
        LinkEvent::Down { connection, reason } => {
            Event::LinkDown { connection: ConnectionId(connection.0), reason: translate::down_reason(reason) }
        }
        LinkEvent::Delivered { connection, tickets } => Event::Delivered {
            connection: ConnectionId(connection.0),
            tickets: tickets.into_iter().map(Ticket).collect(),
        },
        LinkEvent::Received { connection, delivery, topic, payload } => {
            Event::Received { connection: ConnectionId(connection.0), delivery: DeliveryId(delivery.0), topic, payload }
        }
    }
}

/// The device's clocks.
pub(crate) struct Clocks {
    started: Instant,
    /// Whether the wall clock was set from the network, and when that was looked up.
    trusted: bool,
    looked_at: Instant,
}

impl Clocks {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self { started: now, trusted: Path::new(CLOCK_SYNCHRONISED).exists(), looked_at: now }
    }

    /// All clocks, read together.
    pub(crate) fn now(&mut self) -> Now {
        if self.looked_at.elapsed() > CLOCK_LOOK {
            self.trusted = Path::new(CLOCK_SYNCHRONISED).exists();
            self.looked_at = Instant::now();
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: self.started.elapsed(),
            wall_unix_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            wall_trusted: self.trusted,
        }
    }

    /// A moment of the session's monotonic clock.
    pub(crate) fn at(&self, monotonic: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.started + monotonic)
    }
}

fn connect_options(to: ConnectTo) -> ConnectOptions {
    ConnectOptions {
        host: to.host,
        port: to.port,
        client_id: to.client_id,
        username: to.user_name,
        password: SecretString::from(to.password.expose().to_owned()),
        keep_alive: MQTT_KEEP_ALIVE,
        window: to.window,
        subscriptions: to.subscriptions,
        packet_bytes_max: PACKET_BYTES_MAX,
        connect_timeout: MQTT_CONNECT_TIMEOUT,
        tls: TlsMode::Verified,
    }
}

fn plugins_options(config: &Config) -> PluginsOptions {
    PluginsOptions {
        directory: config.plugins.directory.clone(),
        cache_directory: config.state_dir.join("cache"),
        compiler: config.plugins.compiler.clone(),
        policy: config.plugins.policy.clone(),
        device: DeviceInfo { unique_id: config.session.unique_id.clone() },
        private_directories: vec![config.state_dir.clone()],
        limits: Limits::default(),
    }
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

pub(crate) async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
