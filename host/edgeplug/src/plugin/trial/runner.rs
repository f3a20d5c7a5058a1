//! A trial under way: takes the steps in time, plays the daemon's side, and tells what happens.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgeplug_plugins::{
    Ask, Command, Connection, Exports, NotReady, PluginEvent, PluginStatus, Plugins, SampleOutcome, Trial,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::error::Elapsed;

use super::Step;
use super::answer::{Answered, asked, brief, call_number, exports_named};
use super::cloud::Cloud;
use super::firmware::read_update;
use super::report::Report;
use crate::exit::{Exit, Problem};

/// How long a plugin may take to come back after a fault; its start has a deadline of its own.
const RESTART_MAX: Duration = Duration::from_secs(120);
/// Tries of one call with a plugin that goes down again and again before it gets there.
const TRIES_MAX: u32 = 3;
/// How long `connection-events.changed`, which nobody answers, is waited for. No call lasts longer.
const TOLD_MAX: Duration = Duration::from_secs(60);
/// How long after that call the news of a crash in it may take.
const TOLD_CRASH: Duration = Duration::from_millis(5);
/// How often is looked whether it was called, and in real time at the log.
const TOLD_LOOK: Duration = Duration::from_millis(1);
const LOG_LOOK: Duration = Duration::from_millis(200);
/// For the call under way and `lifecycle.stop`.
const STOP_MAX: Duration = Duration::from_secs(60);
/// Lines fetched at once: all that are kept.
const LINES_MAX: usize = 1000;
/// What a plugin is told that has no connection.
const OFFLINE: &str = "the trial has no connection";

pub(super) struct Runner {
    trial: Arc<Trial>,
    events: mpsc::Receiver<PluginEvent>,
    cloud: Cloud,
    report: Report,
    /// What the running instance exports; none while nothing runs.
    up: Option<Exports>,
    /// That it started, while this is not told yet.
    up_to_tell: Option<Value>,
    /// Whether it ever ran.
    has_started: bool,
    /// The plugin's calls, when it last ran.
    calls_before_up: u64,
    /// The fault that was told last, until the plugin is down.
    fault_told: Option<String>,
    /// Whether it is being told what is wanted of the twin.
    is_telling: bool,
    /// It made a connection itself, so it is to be told.
    is_to_be_told: bool,
    /// Why it will never run (again).
    refused: Option<String>,
    /// Numbers of the last call, command and update.
    call: u64,
    command: u64,
    update: u64,
    /// Of the last log line shown.
    log_seen: u64,
}

impl Runner {
    pub(super) fn new(trial: Trial, events: mpsc::Receiver<PluginEvent>, json: bool) -> Self {
        Self {
            trial: Arc::new(trial),
            events,
            cloud: Cloud::default(),
            report: Report::new(json),
            up: None,
            up_to_tell: None,
            has_started: false,
            calls_before_up: 0,
            fault_told: None,
            is_telling: false,
            is_to_be_told: false,
            refused: None,
            call: 0,
            command: 0,
            update: 0,
            log_seen: 0,
        }
    }

    /// Everything, to the sum at the end. Without a span in real time, until Ctrl-C.
    pub(super) async fn run(mut self, span: Option<Duration>, steps: Vec<(Duration, Step)>) -> Result<(), Problem> {
        for grant in self.trial.grants() {
            self.report.tell(Duration::ZERO, "right", grant, json!({ "right": grant }))?;
        }
        tokio::select! {
            ended = self.go(span, steps.into()) => ended?,
            // How a trial in real time is meant to end.
            _ = tokio::signal::ctrl_c() => (),
        }
        self.stop().await?;
        if let Some(status) = self.status() {
            self.report.sum.memory_bytes_max = status.memory_bytes_max;
            self.report.sum.rejected = status.figures.rejected;
        }
        self.report.sum.open = self.cloud.open();
        self.report.end(self.trial.elapsed())?;
        let sum = &self.report.sum;
        match self.refused {
            Some(reason) => Err(Problem::new(Exit::PluginUnfit, format!("the plugin does not run: {reason}"))),
            None if sum.failed_calls > 0 => {
                let text = format!("{} of {} calls failed", sum.failed_calls, sum.calls);
                Err(Problem::new(Exit::PluginMisbehaved, text))
            }
            None if sum.rejected > 0 => {
                let text = format!("{} readings were not taken; the lines of the host say why", sum.rejected);
                Err(Problem::new(Exit::PluginMisbehaved, text))
            }
            None => Ok(()),
        }
    }

    async fn go(&mut self, span: Option<Duration>, mut steps: VecDeque<(Duration, Step)>) -> Result<(), Problem> {
        // What is so from the start is so before the plugin starts.
        while let Some((_, Step::Connection(on))) =
            steps.pop_front_if(|(at, step)| at.is_zero() && matches!(step, Step::Connection(_)))
        {
            self.connect(on);
        }
        let mut sample_at = Duration::ZERO;
        while self.ready().await? {
            if std::mem::take(&mut self.is_to_be_told) {
                self.tell_all_desired().await?;
            }
            let step_at = steps.front().map(|(at, _)| *at).filter(|at| *at <= sample_at);
            let at = step_at.unwrap_or(sample_at);
            if let Some(span) = span.filter(|span| at > *span) {
                return self.wait_until(span).await;
            }
            self.wait_until(at).await?;
            match step_at.and_then(|_| steps.pop_front()) {
                Some((_, step)) => self.take(step).await?,
                None => {
                    self.sample().await?;
                    // What was slept through is not made up for, as in the daemon.
                    let interval = self.trial.interval().max(TOLD_LOOK);
                    while sample_at <= self.trial.elapsed() {
                        sample_at += interval;
                    }
                }
            }
        }
        Ok(())
    }

    async fn wait_until(&mut self, at: Duration) -> Result<(), Problem> {
        // Does nothing in real time.
        self.trial.advance(at.saturating_sub(self.trial.elapsed()));
        while self.trial.elapsed() < at {
            let left = at.saturating_sub(self.trial.elapsed());
            self.listen(left.min(LOG_LOOK)).await?;
        }
        Ok(())
    }

    async fn take(&mut self, step: Step) -> Result<(), Problem> {
        match step {
            Step::Connection(on) => self.switch(on).await,
            Step::Desired(patch) => {
                let change = self.cloud.desire(&patch);
                let (desired, version) = (patch, change.version);
                if !self.cloud.connected {
                    let details = json!({ "desired": desired, "version": version, "outcome": "waits" });
                    let words = format!("{}: waits for the connection", change.desired);
                    return self.report.tell(self.trial.elapsed(), "desired", &words, details);
                }
                let answered =
                    self.call(|plugins, name, call| plugins.desired_changed(name, call, change.clone())).await?;
                let details = json!({ "desired": desired, "version": version });
                self.tell(&answered, "desired", &change.desired, details).await
            }
            Step::Command(text) => self.command(&text).await,
            Step::Update(file) => self.update(&file).await,
            Step::Transform(samples) => {
                let answered = self.call(|plugins, name, call| plugins.transform(name, call, samples.clone())).await?;
                self.tell(&answered, "transform", "", json!({})).await?;
                self.report.readings(self.trial.elapsed(), "transformed", &answered.samples)
            }
        }
    }

    async fn sample(&mut self) -> Result<(), Problem> {
        if !self.up.is_some_and(|exports| exports.sensor) {
            return Ok(());
        }
        let answered = self.call(|plugins, name, call| plugins.sample(name, call)).await?;
        if answered.is_fault {
            return self.tell(&answered, "sample", "", json!({})).await;
        }
        self.report.readings(self.trial.elapsed(), "reading", &answered.samples)
    }

    async fn command(&mut self, text: &str) -> Result<(), Problem> {
        self.command += 1;
        let id = format!("command-{}", self.command);
        if let Some(reason) = self.out_of_scope(text) {
            self.report.sum.calls += 1;
            let details = json!({ "id": id, "text": text });
            return self.tell(&Answered::not_taken(reason), "command", &format!("{text:?}"), details).await;
        }
        let command = Command { id: id.clone(), text: text.to_owned(), device: None };
        self.cloud.give(&id);
        let answered = self.call(|plugins, name, call| plugins.command(name, call, command.clone())).await?;
        if answered.ends {
            self.cloud.end(&id);
        }
        self.tell(&answered, "command", &format!("{text:?}"), json!({ "id": id, "text": text })).await
    }

    /// Why the daemon would not give it this command.
    fn out_of_scope(&self, text: &str) -> Option<String> {
        let scope = self.status()?.commands;
        let is_named = |name: &str| scope.names.iter().any(|named| named == name);
        if scope.names.is_empty() || text.split_whitespace().next().is_some_and(is_named) {
            return None;
        }
        Some(format!("`names` under [commands] in the manifest has only {}", scope.names.join(", ")))
    }

    async fn update(&mut self, file: &Path) -> Result<(), Problem> {
        self.update += 1;
        let id = format!("update-{}", self.update);
        let update = read_update(&id, file)
            .map_err(|error| Problem::new(Exit::Failed, format!("cannot read {}: {error}", file.display())))?;
        self.cloud.give(&id);
        let answered = self.call(|plugins, name, call| plugins.update(name, call, update.clone())).await?;
        if answered.ends {
            self.cloud.end(&id);
        }
        let details = json!({ "id": id, "name": update.name, "size": update.size });
        self.tell(&answered, "update", &update.name, details).await
    }

    /// Changes the connection while the plugin runs.
    async fn switch(&mut self, on: bool) -> Result<(), Problem> {
        let words = if on { "on" } else { "off" };
        self.report.tell(self.trial.elapsed(), "connection", words, json!({ "connected": on }))?;
        let before = self.calls();
        if self.cloud.connected != on {
            self.connect(on);
            self.connection_told(before).await?;
            self.tell_all_desired().await?;
        }
        Ok(())
    }

    fn connect(&mut self, on: bool) {
        self.cloud.connected = on;
        let connection = if on { Connection::Connected } else { Connection::Disconnected(OFFLINE.to_owned()) };
        self.trial.plugins().connection_changed(connection);
    }

    /// A plugin hears the whole of what is wanted of the twin once it has a connection.
    async fn tell_all_desired(&mut self) -> Result<(), Problem> {
        if !self.cloud.connected || !self.up.is_some_and(|exports| exports.twin_events) {
            return Ok(());
        }
        let change = self.cloud.all_desired();
        let answered = self.call(|plugins, name, call| plugins.desired_changed(name, call, change.clone())).await?;
        let details = json!({ "desired": self.cloud.desired(), "version": change.version, "complete": true });
        self.tell(&answered, "desired", &change.desired, details).await
    }

    /// Calls the plugin once it runs, and waits for the answer.
    async fn call(
        &mut self,
        submit: impl Fn(&Plugins, &str, u64) -> Result<(), NotReady>,
    ) -> Result<Answered, Problem> {
        self.report.sum.calls += 1;
        for _ in 0..TRIES_MAX {
            if !Box::pin(self.ready()).await? {
                break;
            }
            self.call += 1;
            let (call, began, calls_before) = (self.call, Instant::now(), self.calls());
            match submit(self.trial.plugins(), self.trial.plugin(), call) {
                Ok(()) => (),
                // It went down a moment ago, and the event is on its way.
                Err(NotReady::Down(_)) => {
                    self.down().await?;
                    continue;
                }
                Err(other) => return Ok(Answered::not_taken(other.to_string())),
            }
            while let Some(event) = self.events.recv().await {
                self.show_log()?;
                if call_number(&event) == Some(call) {
                    let answered = Answered::from(event);
                    if answered.is_gone {
                        break;
                    }
                    self.report.took(began.elapsed());
                    if answered.downs {
                        self.calls_before_up = calls_before + 1;
                        self.fault_told = Some(answered.message.clone());
                    }
                    return Ok(answered);
                }
                self.hear(event)?;
            }
            self.down().await?;
        }
        Ok(Answered::not_taken("the plugin does not stay up".to_owned()))
    }

    /// Waits until the plugin runs and knows how things stand. False when it never will.
    async fn ready(&mut self) -> Result<bool, Problem> {
        for _ in 0..TRIES_MAX {
            if self.up.is_some() {
                self.tell_up()?;
                return Ok(true);
            }
            if !self.up().await? {
                return Ok(false);
            }
            self.connection_told(self.calls_before_up).await?;
            self.tell_up()?;
            // It is told by a call, which waits for the plugin as well.
            if !std::mem::replace(&mut self.is_telling, true) {
                let told = Box::pin(self.tell_all_desired()).await;
                self.is_telling = false;
                told?;
            }
        }
        if self.up.is_none() {
            self.refused.get_or_insert_with(|| "it goes down every time as soon as it has started".to_owned());
        }
        Ok(self.up.is_some())
    }

    /// Waits until the plugin has started. False when it never will.
    async fn up(&mut self) -> Result<bool, Problem> {
        let began = Instant::now();
        while self.up.is_none() {
            if self.refused.is_some() {
                return Ok(false);
            }
            // The first start waits for the compiler, which has a deadline of its own.
            if self.has_started && began.elapsed() > RESTART_MAX {
                self.refused = Some("it does not come back after a fault".to_owned());
            }
            self.listen(LOG_LOOK).await?;
        }
        self.has_started = true;
        Ok(true)
    }

    /// Told once the plugin has heard of the connection: what it logs about that races with the event.
    fn tell_up(&mut self) -> Result<(), Problem> {
        let (Some(exports), Some(details)) = (self.up, self.up_to_tell.take()) else { return Ok(()) };
        self.report.tell(self.trial.elapsed(), "up", &exports_named(exports).join(" "), details)
    }

    /// Waits until the plugin is down, after a fault: nothing that is due may race with that.
    async fn down(&mut self) -> Result<(), Problem> {
        let began = Instant::now();
        while self.up.is_some() && self.refused.is_none() && began.elapsed() < RESTART_MAX {
            // What it logs meanwhile it logs when it starts again, which comes behind.
            self.event(LOG_LOOK).await?;
        }
        self.up = None;
        Ok(())
    }

    /// Waits until `connection-events.changed` was called, by the count of calls before it. In what order it is called
    /// does not depend on it: the plugin is told before it gets its next call.
    async fn connection_told(&mut self, calls_before: u64) -> Result<(), Problem> {
        if !self.up.is_some_and(|exports| exports.connection_events) {
            return self.show_log();
        }
        let began = Instant::now();
        while self.up.is_some() && self.calls() == calls_before && began.elapsed() < TOLD_MAX {
            self.listen(TOLD_LOOK).await?;
        }
        // That it crashed there is said a moment after the call is counted.
        self.listen(TOLD_CRASH).await
    }

    fn calls(&self) -> u64 {
        self.status().map_or(0, |status| status.calls)
    }

    fn status(&self) -> Option<PluginStatus> {
        self.trial.plugins().list().into_iter().next()
    }

    /// One event, if one comes within this time, behind what was logged before it.
    async fn listen(&mut self, wait: Duration) -> Result<(), Problem> {
        let event = tokio::time::timeout(wait, self.events.recv()).await;
        self.show_log()?;
        self.heard(event)
    }

    /// The same without the log.
    async fn event(&mut self, wait: Duration) -> Result<(), Problem> {
        let event = tokio::time::timeout(wait, self.events.recv()).await;
        self.heard(event)
    }

    fn heard(&mut self, event: Result<Option<PluginEvent>, Elapsed>) -> Result<(), Problem> {
        match event {
            Ok(Some(event)) => self.hear(event),
            Ok(None) => {
                self.refused.get_or_insert_with(|| "it ended".to_owned());
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// Everything that is no answer to a call of ours.
    fn hear(&mut self, event: PluginEvent) -> Result<(), Problem> {
        let at = self.trial.elapsed();
        match event {
            PluginEvent::Up { exports, sha256, .. } => {
                self.up = Some(exports);
                self.up_to_tell = Some(json!({ "exports": exports_named(exports), "sha256": sha256 }));
                Ok(())
            }
            PluginEvent::Down { reason, .. } => {
                self.tell_up()?;
                self.up = None;
                let words = if self.fault_told.take().as_ref() == Some(&reason) {
                    "by this fault".to_owned()
                } else {
                    // In a call that nobody answers: `connection-events.changed`.
                    self.calls_before_up = self.calls();
                    self.report.sum.calls += 1;
                    self.report.sum.failed_calls += 1;
                    brief(&reason)
                };
                self.report.tell(at, "down", &words, json!({ "reason": reason }))
            }
            PluginEvent::Refused { reason, .. } => {
                self.report.tell(at, "refused", &reason, json!({ "reason": reason }))?;
                self.refused = Some(reason);
                Ok(())
            }
            PluginEvent::Offered { offer, samples, .. } => {
                self.trial.plugins().answer_offer(offer, vec![SampleOutcome::Accepted; samples.len()]);
                self.report.readings(at, "sent", &samples)
            }
            PluginEvent::Asked { ask, request, .. } => {
                let (words, details) = asked(&request);
                self.report.tell(at, "asked", &words, details)?;
                let was_connected = self.cloud.connected;
                let answer = self.cloud.answer(&request);
                self.is_to_be_told |= self.cloud.connected && !was_connected;
                if matches!(request, Ask::Disconnect | Ask::Reconnect) {
                    self.connect(self.cloud.connected);
                }
                self.trial.plugins().answer(ask, answer);
                Ok(())
            }
            PluginEvent::Progress { id, percent, message, .. } => {
                let words = format!("{id:?}: {percent} % {message}");
                self.report.tell(at, "progress", &words, json!({ "id": id, "percent": percent, "message": message }))
            }
            // There is one version of the file.
            PluginEvent::Confirmed { .. } | PluginEvent::RolledBack { .. } => Ok(()),
            PluginEvent::ScanDone
            | PluginEvent::Sampled { .. }
            | PluginEvent::Replied { .. }
            | PluginEvent::DesiredHandled { .. }
            | PluginEvent::Updated { .. }
            | PluginEvent::Transformed { .. } => Ok(()),
        }
    }

    /// Tells how a call ended, and counts it.
    async fn tell(&mut self, answered: &Answered, event: &str, what: &str, mut details: Value) -> Result<(), Problem> {
        self.report.sum.failed_calls += u64::from(answered.is_fault);
        if let Some(details) = details.as_object_mut() {
            details.insert("outcome".to_owned(), json!(answered.outcome));
            if !answered.message.is_empty() {
                details.insert("message".to_owned(), json!(answered.message));
            }
        }
        let message = if answered.downs { brief(&answered.message) } else { answered.message.clone() };
        let words = [what, answered.outcome, message.as_str()];
        let words: Vec<&str> = words.into_iter().filter(|part| !part.is_empty()).collect();
        self.report.tell(self.trial.elapsed(), event, &words.join(": "), details)?;
        if answered.downs { self.down().await } else { Ok(()) }
    }

    fn show_log(&mut self) -> Result<(), Problem> {
        let Some(page) = self.trial.plugins().log_tail(self.trial.plugin(), self.log_seen, LINES_MAX) else {
            return Ok(());
        };
        self.log_seen = page.next;
        self.report.log(self.trial.elapsed(), &page)
    }

    /// `lifecycle.stop` may send and ask, so its events are heard.
    async fn stop(&mut self) -> Result<(), Problem> {
        self.tell_up()?;
        let trial = Arc::clone(&self.trial);
        let mut stopping = tokio::spawn(async move { trial.stop(STOP_MAX).await });
        let stragglers = loop {
            tokio::select! {
                stragglers = &mut stopping => break stragglers.unwrap_or_default(),
                Some(event) = self.events.recv() => {
                    self.show_log()?;
                    // What is said of the end itself is no news.
                    if !matches!(event, PluginEvent::Down { .. }) {
                        self.hear(event)?;
                    }
                }
            }
        };
        self.show_log()?;
        if !stragglers.is_empty() {
            self.report.sum.failed_calls += 1;
            self.report.tell(
                self.trial.elapsed(),
                "stop",
                "it did not end and was cut off",
                json!({ "cut_off": true }),
            )?;
        }
        Ok(())
    }
}
