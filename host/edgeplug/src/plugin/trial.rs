//! `edgeplug plugin try`: one plugin, a played cloud and a clock that may run fast; no daemon, no device.
//!
//! The plugin runs in the daemon's own runtime, so what works here works there. What happens is printed as it happens,
//! and the exit code says whether every call was answered well.
//!
//! What must stay true: with a virtual clock nothing waits but for the plugin itself, so that a transcript of a trial is
//! the same on every machine (but for the sum at the end, which holds wall time).

mod answer;
mod cache;
mod cloud;
mod firmware;
mod report;
mod runner;
pub(crate) mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use edgeplug_plugins::{DeviceInfo, Fault, Limits, Trial, TrialOptions};
use edgeplug_protocol::sample::Sample;
use serde_json::{Map, Value};

use crate::exit::{Exit, Problem, chain};
use cache::CacheDirectory;
use runner::Runner;
use schedule::{At, Object, Setting, Switch};

/// Under this name a plugin on trial knows its device.
const DEVICE: &str = "trial-device";
/// A restart after a fault comes soon: nobody is harmed by a plugin that fails over and over here. Not at once: the end
/// of one instance is told before the next one says anything, on a busy machine too.
const RESTART: Duration = Duration::from_millis(20);

/// What was typed.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) component: PathBuf,
    pub(crate) manifest: Option<PathBuf>,
    pub(crate) config: Vec<Setting>,
    pub(crate) root: Option<PathBuf>,
    pub(crate) allow_network: bool,
    /// By a clock that is moved by hand; without it in real time, until Ctrl-C.
    pub(crate) virtual_time: Option<Duration>,
    pub(crate) connection: Vec<At<Switch>>,
    pub(crate) desired: Vec<At<Object>>,
    pub(crate) commands: Vec<At<String>>,
    pub(crate) updates: Vec<At<PathBuf>>,
    pub(crate) samples: Vec<At<Samples>>,
    pub(crate) inject: Vec<Inject>,
    /// The program `edgeplug-compiler`.
    pub(crate) compiler: PathBuf,
    pub(crate) json: bool,
}

/// What a trial can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Inject {
    /// Every second read of a file or of hardware fails.
    #[value(name = "EIO")]
    Eio,
    /// Every number in a file reads `nan`.
    #[value(name = "NaN")]
    Nan,
    /// The wall clock leaps ten years ahead half-way through the virtual time, and back at three quarters.
    ClockJump,
}

/// Other plugins' samples, for `transform`: a JSON list, as `--json` prints them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Samples(pub(crate) Vec<Sample>);

/// Something that is done to the plugin.
#[derive(Debug)]
enum Step {
    Connection(bool),
    Desired(Map<String, Value>),
    Command(String),
    Update(PathBuf),
    Transform(Vec<Sample>),
}

impl Try {
    pub(crate) async fn run(self) -> Result<(), Problem> {
        let cache = CacheDirectory::of_this_user().map_err(|error| {
            Problem::new(Exit::Failed, format!("cannot keep compiled plugins: {error}; set XDG_CACHE_HOME"))
        })?;
        if self.virtual_time.is_none() && self.inject.contains(&Inject::ClockJump) {
            return Err(Problem::new(Exit::Failed, "--inject clock-jump needs --virtual-time"));
        }
        self.check_moments()?;
        if let Err(error) = std::fs::metadata(&self.component) {
            return Err(Problem::new(Exit::Failed, format!("cannot read {}: {error}", self.component.display())));
        }
        let faults: BTreeSet<Fault> = self.inject.iter().map(|inject| inject.fault()).collect();
        let config: BTreeMap<String, String> =
            self.config.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect();
        let options = TrialOptions {
            component: self.component.clone(),
            manifest: self.manifest.clone(),
            config,
            root: self.root.clone(),
            allow_network: self.allow_network,
            compiler: self.compiler.clone(),
            cache_directory: cache.path.clone(),
            device: DeviceInfo { unique_id: DEVICE.to_owned() },
            limits: Limits {
                restart_min: RESTART,
                restart_max: RESTART,
                // Whoever tries it wants to see every fault.
                quarantine_strikes: u32::MAX,
                ..Limits::default()
            },
            virtual_clock: self.virtual_time.is_some(),
            faults,
            span: self.virtual_time.unwrap_or_default(),
        };
        let (trial, events) = Trial::start(options).map_err(|error| Problem::new(Exit::Failed, chain(&error)))?;
        Runner::new(trial, events, self.json).run(self.virtual_time, self.steps()).await
    }

    /// What would never happen is a mistake.
    fn check_moments(&self) -> Result<(), Problem> {
        let Some(span) = self.virtual_time else { return Ok(()) };
        let moments = (self.connection.iter().map(|step| step.at))
            .chain(self.desired.iter().map(|step| step.at))
            .chain(self.commands.iter().map(|step| step.at))
            .chain(self.updates.iter().map(|step| step.at))
            .chain(self.samples.iter().map(|step| step.at));
        match moments.max().filter(|last| *last > span) {
            None => Ok(()),
            Some(last) => {
                let text = format!("a step at +{} s comes after the end of --virtual-time", last.as_secs_f64());
                Err(Problem::new(Exit::Failed, text))
            }
        }
    }

    /// By time; at the same time in the order of the kinds, and within a kind as typed. Without another word the
    /// connection is there from the start.
    fn steps(self) -> Vec<(Duration, Step)> {
        let mut steps = Vec::new();
        if self.connection.iter().all(|connection| connection.at > Duration::ZERO) {
            steps.push((Duration::ZERO, Step::Connection(true)));
        }
        steps.extend(self.connection.into_iter().map(|step| (step.at, Step::Connection(step.what.0))));
        steps.extend(self.desired.into_iter().map(|step| (step.at, Step::Desired(step.what.0))));
        steps.extend(self.commands.into_iter().map(|step| (step.at, Step::Command(step.what))));
        steps.extend(self.updates.into_iter().map(|step| (step.at, Step::Update(step.what))));
        steps.extend(self.samples.into_iter().map(|step| (step.at, Step::Transform(step.what.0))));
        steps.sort_by_key(|(at, _)| *at);
        steps
    }
}

impl Inject {
    fn fault(self) -> Fault {
        match self {
            Self::Eio => Fault::Eio,
            Self::Nan => Fault::Nan,
            Self::ClockJump => Fault::ClockJump,
        }
    }
}

impl std::str::FromStr for Samples {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_str(text)
            .map(Self)
            .map_err(|error| format!("it wants a list like [{{\"values\":[[\"temperature\",21.5]]}}]: {error}"))
    }
}
