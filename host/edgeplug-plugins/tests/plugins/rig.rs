//! A directory of plugins, the handle, and everything that came out.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use edgeplug_plugins::{
    Answer, Ask, Change, Command, DeviceInfo, Limits, Pattern, PluginEvent, PluginPolicy, PluginStatus, Plugins,
    PluginsOptions, Policy, Probation, Reply, Resolver, SampleOutcome, TwinFailure,
};
use edgeplug_protocol::sample::Sample;
use tokio::sync::mpsc;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Longer than anything takes here, even on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) plugins: Plugins,
    events: mpsc::Receiver<PluginEvent>,
    /// What guests sent by `telemetry.send`; all of it is accepted.
    pub(crate) offered: Vec<(String, Sample)>,
    /// What guests asked, oldest first.
    pub(crate) asked: Vec<Ask>,
    /// How it is answered.
    pub(crate) answers: fn(&Ask) -> Answer,
    next_call: u64,
}

/// Where tests may differ from the usual.
pub(crate) struct Setup {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) options: PluginsOptions,
}

impl Setup {
    pub(crate) fn new() -> Self {
        collect_logs();
        let directory = tempfile::tempdir().expect("directory");
        let plugins = directory.path().join("plugins");
        std::fs::create_dir(&plugins).expect("directory");
        std::fs::create_dir(directory.path().join("ota")).expect("directory");
        let limits = Limits {
            settle: Duration::from_millis(100),
            restart_min: Duration::from_millis(20),
            deadline: Duration::from_millis(200),
            ..Limits::default()
        };
        let options = PluginsOptions {
            directory: plugins,
            ota_directory: Some(directory.path().join("ota")),
            cache_directory: directory.path().join("cache"),
            cache_images: Vec::new(),
            shelf_directory: directory.path().join("shelf"),
            engine: edgeplug_plugins::EngineKind::Native,
            signature: edgeplug_plugins::SignaturePolicy::default(),
            compiler: compiler(),
            policy: Policy { source: "[plugins.allow.NAME] in /etc/edgeplug.toml".to_owned(), ..Policy::default() },
            device: DeviceInfo { unique_id: "gateway-1".to_owned() },
            private_directories: vec![],
            limits,
        };
        Self { directory, options }
    }

    pub(crate) fn allow(&mut self, plugin: &str, files: &[&str]) {
        let files = files.iter().map(|text| Pattern::parse(text).expect("pattern")).collect();
        self.options.policy.plugins.insert(plugin.to_owned(), PluginPolicy { files, ..PluginPolicy::default() });
    }

    /// Lets a plugin have what limits its manifest asks for.
    pub(crate) fn allow_limits(&mut self, plugin: &str) {
        let most = PluginPolicy { memory_mb: Some(1024), deadline_ms: Some(50_000), ..PluginPolicy::default() };
        self.options.policy.plugins.insert(plugin.to_owned(), most);
    }

    /// What was left by a daemon that is gone.
    pub(crate) fn after(directory: tempfile::TempDir) -> Self {
        let fresh = Self::new();
        let mut options = fresh.options;
        options.directory = directory.path().join("plugins");
        options.ota_directory = Some(directory.path().join("ota"));
        options.cache_directory = directory.path().join("cache");
        options.shelf_directory = directory.path().join("shelf");
        Self { directory, options }
    }

    /// What a new version has to show.
    pub(crate) fn probation(mut self, good_calls: u32, time: Duration) -> Self {
        self.options.limits.probation = Probation { good_calls, time };
        self
    }

    /// Puts a component there before the start.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        put(&self.options.directory, name, content);
    }

    pub(crate) fn start(self) -> Rig {
        let rig = self.start_without_state();
        rig.plugins.restore_state(BTreeMap::new());
        rig
    }

    /// The store is not open yet.
    pub(crate) fn start_without_state(self) -> Rig {
        self.start_with_resolver(Resolver::system())
    }

    /// The store is not open yet, and names lead where the test says.
    pub(crate) fn start_with_resolver(self, resolver: Resolver) -> Rig {
        let (plugins, events) = Plugins::start_with_resolver(self.options, resolver).expect("start");
        let (offered, asked) = (Vec::new(), Vec::new());
        Rig { directory: self.directory, plugins, events, offered, asked, answers: as_usual, next_call: 0 }
    }
}

/// What is to be kept is kept; there is no cloud.
fn as_usual(ask: &Ask) -> Answer {
    let offline = TwinFailure::Unavailable("offline".to_owned());
    match ask {
        Ask::TwinGet => Answer::Twin(Err(offline)),
        Ask::TwinReport { .. } => Answer::Reported(Err(offline)),
        Ask::Finish { .. } => Answer::Finished(Ok(())),
        Ask::KeepState { .. } => Answer::Kept(Ok(())),
        Ask::Disconnect | Ask::Reconnect => Answer::Link(Ok(())),
    }
}

impl Rig {
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("plugins").join(name)
    }

    /// Drops a file in, as one should: written aside, then renamed.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        put(&self.directory.path().join("plugins"), name, content);
    }

    /// Brings a file over the air; a component last, as it should be.
    pub(crate) fn deploy(&self, name: &str, content: &[u8]) {
        put(&self.directory.path().join("ota"), name, content);
    }

    /// Takes it back.
    pub(crate) fn withdraw(&self, name: &str) {
        std::fs::remove_file(self.directory.path().join("ota").join(name)).expect("remove");
    }

    pub(crate) async fn put_and_up(&mut self, name: &str, content: &[u8]) {
        self.put(&format!("{name}.wasm"), content);
        self.up(name).await;
    }

    /// Drops the plugins while the runtime goes on, and waits until nothing of them is left.
    pub(crate) async fn abandon(mut self) -> tempfile::TempDir {
        drop(self.plugins);
        let all = async { while self.events.recv().await.is_some() {} };
        tokio::time::timeout(PATIENCE, all).await.expect("all tasks end");
        self.directory
    }

    /// The next event; offers are accepted, questions answered, and both passed over.
    pub(crate) async fn next(&mut self) -> PluginEvent {
        loop {
            let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
            let event = event.expect("an event within a minute").expect("the plugins run");
            match event {
                PluginEvent::Offered { plugin, offer, samples } => {
                    self.plugins.answer_offer(offer, vec![SampleOutcome::Accepted; samples.len()]);
                    self.offered.extend(samples.into_iter().map(|sample| (plugin.clone(), sample)));
                }
                PluginEvent::Asked { ask, request, .. } => {
                    self.plugins.answer(ask, (self.answers)(&request));
                    self.asked.push(request);
                }
                event => return event,
            }
        }
    }

    /// The next event, offers too.
    pub(crate) async fn next_raw(&mut self) -> PluginEvent {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("in time").expect("the plugins run")
    }

    /// Waits for the event that matches; what comes before is passed over.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(&PluginEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(&self.next().await) {
                return found;
            }
        }
    }

    pub(crate) async fn up(&mut self, name: &str) -> Change {
        self.until(|event| match event {
            PluginEvent::Up { plugin, change, .. } if plugin == name => Some(*change),
            PluginEvent::Refused { plugin, reason, .. } if plugin == name => panic!("{name} was refused: {reason}"),
            _ => None,
        })
        .await
    }

    pub(crate) async fn refused(&mut self, name: &str) -> String {
        self.until(|event| match event {
            PluginEvent::Refused { plugin, reason, .. } if plugin == name => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// The reason and whether it is for good.
    pub(crate) async fn down(&mut self, name: &str) -> (String, bool) {
        self.until(|event| match event {
            PluginEvent::Down { plugin, reason, gone } if plugin == name => Some((reason.clone(), *gone)),
            _ => None,
        })
        .await
    }

    /// Waits until the version that runs is trusted; answers with its hash.
    pub(crate) async fn confirmed(&mut self, name: &str) -> String {
        self.until(|event| match event {
            PluginEvent::Confirmed { plugin, sha256 } if plugin == name => Some(sha256.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until a version failed; answers with its hash and the reason.
    pub(crate) async fn rolled_back(&mut self, name: &str) -> (String, String) {
        self.until(|event| match event {
            PluginEvent::RolledBack { plugin, sha256, reason } if plugin == name => {
                Some((sha256.clone(), reason.clone()))
            }
            _ => None,
        })
        .await
    }

    pub(crate) fn status(&self, name: &str) -> PluginStatus {
        let found = self.plugins.list().into_iter().find(|status| status.plugin == name);
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Stops the daemon well; the directories go on.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        self.plugins.stop(Duration::from_secs(10)).await;
        self.directory
    }

    /// The texts of the plugin's own log.
    pub(crate) fn log(&self, plugin: &str) -> Vec<String> {
        let page = self.plugins.log_tail(plugin, 0, usize::MAX).expect("a log");
        page.lines.into_iter().map(|line| line.text).collect()
    }

    /// Waits until the plugin's own log holds this line.
    pub(crate) async fn logged(&self, plugin: &str, wanted: &str) {
        let said = async {
            while !self.log(plugin).iter().any(|line| line == wanted) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let said = tokio::time::timeout(PATIENCE, said).await;
        said.unwrap_or_else(|_| panic!("{wanted:?} is not in {:?}", self.log(plugin)));
    }

    pub(crate) fn ask(&mut self, plugin: &str) -> u64 {
        self.next_call += 1;
        self.plugins.sample(plugin, self.next_call).expect("the plugin takes calls");
        self.next_call
    }

    pub(crate) async fn sampled(&mut self, wanted: u64) -> Result<Vec<Sample>, edgeplug_plugins::CallFailure> {
        self.until(|event| match event {
            PluginEvent::Sampled { call, result, .. } if *call == wanted => Some(result.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn sample(&mut self, plugin: &str) -> Result<Vec<Sample>, edgeplug_plugins::CallFailure> {
        let call = self.ask(plugin);
        self.sampled(call).await
    }

    pub(crate) async fn command(
        &mut self,
        plugin: &str,
        command: &str,
    ) -> Result<Reply, edgeplug_plugins::CallFailure> {
        self.next_call += 1;
        let asked = self.next_call;
        let command = Command { id: format!("id-{asked}"), text: command.to_owned(), device: None };
        self.plugins.command(plugin, asked, command).expect("the plugin takes commands");
        self.until(|event| match event {
            PluginEvent::Replied { call, result, .. } if *call == asked => Some(result.clone()),
            _ => None,
        })
        .await
    }
}

/// Runs a daemon until it is killed: nothing of it is awaited any more.
pub(crate) fn killed<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(life)
}

/// The message of a command that was carried out, or in an error that of one that was not.
pub(crate) fn told(reply: Result<Reply, edgeplug_plugins::CallFailure>) -> Result<String, String> {
    match reply {
        Ok(Reply::Done(message)) => Ok(message),
        Ok(Reply::Failed(message)) => Err(message),
        other => panic!("{other:?}"),
    }
}

/// One value of the first sample.
pub(crate) fn value<'a>(samples: &'a [Sample], name: &str) -> Option<&'a serde_json::Value> {
    samples.first()?.values.iter().find(|(held, _)| held == name).map(|(_, value)| value)
}

/// A component built by `scripts/guests.sh`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let directory = std::env::var_os("EDGEPLUG_GUESTS").map_or_else(|| target().join("guests"), PathBuf::from);
    let path = directory.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make build guests`", path.display()))
}

/// The same component with another hash: a custom section that nobody reads is added.
pub(crate) fn variant(component: &[u8], number: u8) -> Vec<u8> {
    let section = [0, 10, 7, b'v', b'a', b'r', b'i', b'a', b'n', b't', number, number];
    [component, &section].concat()
}

pub(crate) fn compiler() -> PathBuf {
    let path = std::env::var_os("EDGEPLUG_COMPILER").map(PathBuf::from).or_else(|| {
        ["debug", "release"]
            .map(|profile| target().join(profile).join("edgeplug-compiler"))
            .into_iter()
            .find(|path| path.exists())
    });
    path.unwrap_or_else(|| panic!("no edgeplug-compiler in {}; run `make build guests`", target().display()))
}

/// The directory cargo builds into: this test lies in `<target>/<profile>/deps`.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("path of this test");
    test.ancestors().nth(3).expect("a target directory").to_owned()
}

fn put(directory: &Path, name: &str, content: &[u8]) {
    let aside = directory.join(format!(".{name}.part"));
    std::fs::write(&aside, content).expect("write");
    std::fs::rename(&aside, directory.join(name)).expect("rename");
}

/// What plugins logged, by plugin; the plugin names of two tests must differ where they look at logs.
static LOGS: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

pub(crate) fn logged(plugin: &str) -> Vec<String> {
    let logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    logs.as_ref().and_then(|logs| logs.get(plugin)).cloned().unwrap_or_default()
}

fn collect_logs() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| tracing_subscriber::registry().with(Collector).init());
}

struct Collector;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Collector {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        if event.metadata().target() != "edgeplug::plugin" {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
        logs.get_or_insert_default().entry(line.plugin).or_default().push(line.message);
    }
}

#[derive(Default)]
struct Line {
    plugin: String,
    message: String,
}

impl tracing::field::Visit for Line {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if field.name() == "plugin" {
            self.plugin = value.to_owned();
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}
