//! From verified files into the right hands: a plugin's, the installer's, or the plugin directory.

use std::collections::BTreeSet;
use std::time::Duration;

use edgeplug_protocol::ack::Status;

use super::entry::{Doing, End, Entry, Held, Verdict};
use super::journal::{Phase, Way};
use crate::action::FirmwareUpdate;
use crate::commands::{CALL_TIME_MAX, Handlers, Route};
use crate::event::{CallFailure, Deployment, Installation, Reply};
use crate::{Action, CallId, Step};

/// How long a component has to prove itself. One that nobody calls is confirmed after an hour; restarts in between take
/// their time too.
const PROBATION_TIME_MAX: Duration = Duration::from_secs(3 * 60 * 60);

/// What else is in somebody's hands.
pub(super) struct Hands<'a> {
    pub(super) handlers: &'a Handlers,
    /// Something is being handed over.
    pub(super) busy: bool,
    /// Plugins that have a file.
    pub(super) holders: BTreeSet<String>,
}

impl Entry {
    /// Whom this is for: a unique id.
    fn device<'a>(&'a self, step: &'a Step<'_>) -> &'a str {
        self.child.as_deref().unwrap_or(&step.config.unique_id)
    }

    /// Nobody would take the files: there is no need to fetch them.
    pub(super) fn nobody_takes_it(&self, handlers: &Handlers, step: &Step<'_>) -> Option<End> {
        let mut ways = self.journal.ways(self.child.is_some(), &step.config.ota);
        if !ways.any(|way| way == Way::Plugin) {
            return None;
        }
        match handlers.route(self.device(step), "") {
            Route::To(_) | Route::Wait => None,
            Route::Down(plugin) => Some(self.down(plugin)),
            Route::Nobody => Some(self.nobody()),
        }
    }

    fn nobody(&self) -> End {
        let whom = self.child.as_deref().map_or_else(String::new, |child| format!(" of {child}"));
        let remedy = match &self.child {
            Some(_) => "install a plugin that exports `firmware`",
            None => "install a plugin that exports `firmware`, or set ota.installer",
        };
        let reason = format!("no plugin on this device takes the firmware{whom}; {remedy}");
        self.failed(Status::Failed, &reason)
    }

    fn down(&self, plugin: &str) -> End {
        self.failed(Status::Failed, &format!("plugin {plugin} is down"))
    }

    /// Hands over what is next, once that is written down. Also what was in somebody's hands when the daemon died.
    pub(super) fn begin_hand_over(&mut self, hands: &mut Hands<'_>, step: &mut Step<'_>) -> Option<End> {
        let Some((way, parcel)) = self.journal.next_parcel(self.child.is_some(), &step.config.ota) else {
            return Some(self.done());
        };
        let attempts_max = step.config.ota.attempts_max.max(1);
        if self.journal.attempts >= attempts_max {
            let times = self.journal.attempts;
            let reason = format!("gave up after {times} attempts; the daemon ended during each");
            return Some(self.failed(Status::DownloadFailed, &reason));
        }
        if hands.busy {
            return None;
        }
        if way == Way::Plugin {
            match hands.handlers.route(self.device(step), "") {
                Route::To(plugin) if hands.holders.contains(plugin) => return None,
                Route::To(_) => {}
                Route::Wait => return None,
                Route::Down(plugin) => return Some(self.down(plugin)),
                Route::Nobody => return Some(self.nobody()),
            }
        }
        hands.busy = true;
        self.journal.attempts += 1;
        self.journal.phase = Phase::HandingOver { parcel, way, boot_id: step.config.boot_id.clone() };
        self.note(step);
        None
    }

    /// Does so.
    pub(super) fn hand_over(&mut self, way: Way, handlers: &Handlers, step: &mut Step<'_>) {
        match way {
            Way::Plugin => self.call(handlers, step),
            Way::Installer => {
                let ticket = step.ticket();
                step.act(Action::Install {
                    ticket,
                    job: self.job.clone(),
                    names: self.journal.in_hand().map(|file| file.name.clone()).collect(),
                    version: self.journal.version.clone(),
                    attempt: self.journal.attempts,
                });
                self.doing = Doing::Installing(ticket);
            }
            Way::Component => {
                let Some(name) = self.journal.in_hand().next().map(|file| file.name.clone()) else { return };
                let ticket = step.ticket();
                self.verdicts.clear();
                step.act(Action::Deploy { ticket, job: self.job.clone(), name });
                self.doing = Doing::Deploying(ticket);
            }
        }
    }

    fn call(&mut self, handlers: &Handlers, step: &mut Step<'_>) {
        let Route::To(plugin) = handlers.route(self.device(step), "") else {
            // It went down in this moment: nothing was begun.
            self.journal.attempts = self.journal.attempts.saturating_sub(1);
            (self.journal.phase, self.doing) = (Phase::Ready, Doing::Rest);
            return;
        };
        let Some(file) = self.journal.in_hand().next().cloned() else { return };
        let (plugin, call, id) = (plugin.to_owned(), CallId(step.ticket().0), self.id());
        let update = FirmwareUpdate {
            id: id.clone(),
            job: self.job.clone(),
            name: file.name,
            version: self.journal.version.clone(),
            size: file.size,
            sha256: file.sha256,
            child: self.child.clone(),
        };
        step.act(Action::Update { plugin: plugin.clone(), call, update });
        let until = step.now.monotonic + CALL_TIME_MAX;
        self.held = Some(Held { plugin, id, call: Some(call), until, percent: None });
        self.doing = Doing::Held;
    }

    pub(super) fn replied(
        &mut self,
        plugin: &str,
        result: Result<Reply, CallFailure>,
        step: &mut Step<'_>,
    ) -> Option<End> {
        match result {
            Ok(Reply::Done(words)) => self.parcel_done(&words, step),
            Ok(Reply::Deferred) => {
                self.deferred(plugin, step);
                None
            }
            Ok(Reply::Failed(reason)) => Some(self.failed(Status::DownloadFailed, &reason)),
            Err(failure) => Some(self.failed(Status::DownloadFailed, &format!("plugin {plugin}: {failure}"))),
        }
    }

    pub(super) fn installed(&mut self, result: Result<Installation, String>, step: &mut Step<'_>) -> Option<End> {
        match result {
            Ok(Installation::Done(words)) if !step.config.ota.restart => self.parcel_done(&words, step),
            Ok(Installation::Done(_) | Installation::NeedsRestart(_)) => {
                tracing::warn!(id = self.key, "firmware is installed; the device has to restart to run it");
                let parcel = self.journal.parcel().to_vec();
                let boot_id = step.config.boot_id.clone();
                self.journal.phase = Phase::AwaitingRestart { parcel, boot_id, installed: true, asked: 0 };
                self.note(step);
                None
            }
            Err(reason) => Some(self.failed(Status::DownloadFailed, &reason)),
        }
    }

    /// After a restart of the device: finds out what runs, once it is written down that it is asked.
    pub(super) fn begin_confirm(&mut self, step: &mut Step<'_>) -> Option<End> {
        let attempts_max = step.config.ota.attempts_max.max(1);
        let Phase::AwaitingRestart { boot_id, asked, .. } = &mut self.journal.phase else { return None };
        if *boot_id == step.config.boot_id {
            return None;
        }
        if *asked >= attempts_max {
            let reason = format!("gave up after {asked} attempts to find out whether it runs");
            return Some(self.failed(Status::DownloadFailed, &reason));
        }
        *asked += 1;
        self.note(step);
        None
    }

    /// Does so.
    pub(super) fn confirm(&mut self, boot_id: &str, step: &mut Step<'_>) {
        if boot_id == step.config.boot_id {
            self.doing = Doing::Rest;
            return;
        }
        let ticket = step.ticket();
        step.act(Action::ConfirmInstall { ticket, job: self.job.clone(), version: self.journal.version.clone() });
        self.doing = Doing::Confirming(ticket);
    }

    pub(super) fn confirmed(&mut self, result: Result<String, String>, step: &mut Step<'_>) -> Option<End> {
        let Phase::AwaitingRestart { installed, .. } = self.journal.phase else { return None };
        match result {
            Ok(words) => self.parcel_done(&words, step),
            Err(reason) if installed => Some(self.failed(Status::DownloadFailed, &reason)),
            Err(reason) => {
                // The power failed while the installer ran.
                tracing::info!(id = self.key, reason, "an installation was cut off by a restart; installing again");
                self.trouble = Some(reason);
                (self.journal.phase, self.doing) = (Phase::Ready, Doing::Rest);
                None
            }
        }
    }

    pub(super) fn deployed(&mut self, result: Result<Deployment, String>, step: &mut Step<'_>) -> Option<End> {
        match result {
            Ok(deployment) => {
                self.journal.phase = Phase::Probation { parcel: self.journal.parcel().to_vec() };
                self.journal.deployed = Some(deployment);
                self.note(step);
                None
            }
            Err(reason) => Some(self.failed(Status::DownloadFailed, &reason)),
        }
    }

    /// It lies there, and that is written down.
    pub(super) fn watch(&mut self, step: &mut Step<'_>) -> Option<End> {
        self.doing = Doing::Watching(step.now.monotonic + PROBATION_TIME_MAX);
        self.judge(step)
    }

    /// Something became of a plugin, perhaps before it is known here which one was meant.
    pub(super) fn judged(&mut self, verdict: Verdict, step: &mut Step<'_>) -> Option<End> {
        let deploys = matches!(self.journal.phase, Phase::HandingOver { way: Way::Component, .. })
            || matches!(self.journal.phase, Phase::Probation { .. });
        if deploys {
            self.keep_verdict(verdict);
        }
        self.judge(step)
    }

    fn judge(&mut self, step: &mut Step<'_>) -> Option<End> {
        let (Doing::Watching(_), Some(deployed)) = (self.doing, &self.journal.deployed) else { return None };
        let is_ours = |verdict: &Verdict| {
            verdict.plugin == deployed.plugin && verdict.sha256.eq_ignore_ascii_case(&deployed.sha256)
        };
        let place = self.verdicts.iter().position(is_ours)?;
        let verdict = self.verdicts.remove(place)?;
        match verdict.result {
            Ok(()) => {
                let words = format!("plugin {} runs it", verdict.plugin);
                self.parcel_done(&words, step)
            }
            Err(reason) => {
                let reason = format!("plugin {}: {reason}", verdict.plugin);
                Some(self.failed(Status::DownloadFailed, &reason))
            }
        }
    }

    /// What took too long.
    pub(super) fn overdue(&self) -> End {
        let reason = match &self.held {
            Some(Held { plugin, call: Some(_), .. }) => format!("plugin {plugin} did not answer in time"),
            Some(Held { plugin, .. }) => format!("plugin {plugin} deferred it and did not end it in time"),
            None => {
                let hours = PROBATION_TIME_MAX.as_secs() / 3600;
                format!("the component did not prove itself within {hours} hours")
            }
        };
        self.failed(Status::DownloadFailed, &reason)
    }
}
