//! Firmware updates: files for the device itself, for its children and for its plugins, from the cloud's word to the
//! acknowledgement.
//!
//! An update is a task of the ledger for each target, as commands are, and its journal lies there with it. Here the tasks are
//! worked off: fetch and verify all files of a target, hand them over one after the other, tell the end.
//!
//! # What must stay true
//! * Whatever is done was written down before ([`journal`]); what was under way when the daemon died is done again, under the
//!   same ids, and costs an attempt. Attempts are few: what kills the daemon is not tried for ever.
//! * A file is handed over only after its update was fetched and verified as a whole.
//! * Every target has one end, and after it nothing of it is fetched or handed over.
//! * Targets are fetched one at a time, and handed over one at a time; what waits (for a plugin, a restart, a better line) holds up
//!   only later updates of the same target.
//! * While the cloud has stopped this device, nothing is begun. A stop of the daemon leaves everything to the next run.
//!
//! Deliberately absent: files. The session knows them by the name of their staging directory and their own.

mod entry;
mod fetch;
mod hand_over;
mod journal;
mod waiting;

use std::collections::BTreeSet;
use std::time::Duration;

use edgeplug_protocol::ack::Status;
use edgeplug_protocol::c2d::{Target, without_company};

use self::entry::{Doing, End, Entry, Verdict};
use self::fetch::is_fetch;
use self::hand_over::Hands;
pub(crate) use self::journal::Journal;
use self::journal::{Phase, Way};
use self::waiting::Waiting;
use crate::action::FinishFailure;
use crate::commands::{CHILD_TIME_MAX, Ended, HOLD_MAX, Handlers, Open, Told, answer};
use crate::event::{
    CallFailure, CommandScope, Deployment, Ending, FetchFailure, Installation, PluginUp, Reply, VerifiedFile,
};
use crate::status::UpdateStatus;
use crate::{Action, AskId, CallId, Now, Step, Ticket, World};

#[derive(Default)]
pub(crate) struct Ota {
    /// In the order they came; as many as the ledger takes.
    entries: Vec<Entry>,
    /// Who takes whose firmware.
    handlers: Handlers,
    plugins_scanned: bool,
    /// Until when updates wait for plugins that are still loading.
    hold_until: Option<Duration>,
    /// The daemon stops: nothing is begun any more.
    stopping: bool,
    /// When the first of those that wait for their child is given up.
    child_until: Option<Duration>,
    /// New URLs are needed.
    wants_urls: bool,
    /// Those that have their end, to be written down.
    ended: Vec<Ended>,
    waiting: Waiting,
}

impl Ota {
    /// Takes up what the last run left unfinished.
    pub(crate) fn restore(&mut self, opens: Vec<Open>, step: &mut Step<'_>) {
        self.hold_until = Some(step.now.monotonic + HOLD_MAX);
        self.entries = opens.into_iter().filter_map(Entry::new).collect();
        let jobs = self.entries.iter().map(|entry| entry.job.clone()).collect();
        step.act(Action::KeepJobs { jobs });
    }

    /// One more is in the ledger, or came again.
    pub(crate) fn take(&mut self, open: Open) {
        if !self.renew_same(&open) {
            self.entries.extend(Entry::new(open));
        }
    }

    fn renew_same(&mut self, open: &Open) -> bool {
        self.entries.iter().any(|entry| entry.key == open.key) && self.renew(&open.key, &open.task)
    }

    pub(crate) fn noted(&mut self, ticket: Ticket, result: Result<(), String>, step: &mut Step<'_>) {
        let may_begin = !self.stopping && step.world.stopped.is_none();
        let mut wants_urls = false;
        self.on(
            step,
            |entry| entry.doing == Doing::Noting(ticket),
            |entry, handlers, step| match result {
                Err(reason) => {
                    entry.not_noted(reason, step);
                    None
                }
                Ok(()) => {
                    entry.noted(step);
                    entry.doing = Doing::Rest;
                    match entry.journal.phase.clone() {
                        Phase::Deferred { .. } => entry.doing = Doing::Held,
                        Phase::Probation { .. } => return entry.watch(step),
                        _ if !may_begin => {}
                        Phase::Fetching => entry.fetch(step),
                        Phase::AwaitingUrls => {
                            entry.await_urls(step);
                            wants_urls = matches!(entry.doing, Doing::AwaitingUrls(_));
                        }
                        Phase::HandingOver { way, .. } => entry.hand_over(way, handlers, step),
                        Phase::AwaitingRestart { boot_id, .. } => entry.confirm(&boot_id, step),
                        Phase::Queued | Phase::Ready => {}
                    }
                    None
                }
            },
        );
        self.wants_urls |= wants_urls;
    }

    pub(crate) fn fetch_progress(&mut self, ticket: Ticket, bytes: u64, total: Option<u64>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| is_fetch(entry, ticket)) {
            entry.progressed(bytes, total);
        }
    }

    pub(crate) fn fetched(
        &mut self,
        ticket: Ticket,
        result: Result<Vec<VerifiedFile>, FetchFailure>,
        step: &mut Step<'_>,
    ) {
        self.on(step, |entry| is_fetch(entry, ticket), |entry, _, step| entry.fetched(result, step));
    }

    pub(crate) fn installed(&mut self, ticket: Ticket, result: Result<Installation, String>, step: &mut Step<'_>) {
        let is_meant = |entry: &Entry| entry.doing == Doing::Installing(ticket);
        self.on(step, is_meant, |entry, _, step| entry.installed(result, step));
    }

    pub(crate) fn install_confirmed(&mut self, ticket: Ticket, result: Result<String, String>, step: &mut Step<'_>) {
        let is_meant = |entry: &Entry| entry.doing == Doing::Confirming(ticket);
        self.on(step, is_meant, |entry, _, step| entry.confirmed(result, step));
    }

    pub(crate) fn deployed(&mut self, ticket: Ticket, result: Result<Deployment, String>, step: &mut Step<'_>) {
        let is_meant = |entry: &Entry| entry.doing == Doing::Deploying(ticket);
        self.on(step, is_meant, |entry, _, step| entry.deployed(result, step));
    }

    /// A version of a plugin proved itself, or failed.
    pub(crate) fn judged(&mut self, plugin: String, sha256: String, result: Result<(), String>, step: &mut Step<'_>) {
        let verdict = Verdict { plugin, sha256, result };
        // Only the device itself gets components, and one at a time.
        let deploys = |entry: &Entry| match &entry.journal.phase {
            Phase::HandingOver { way, .. } => *way == Way::Component,
            phase => matches!(phase, Phase::Probation { .. }),
        };
        self.on(step, deploys, |entry, _, step| entry.judged(verdict, step));
    }

    pub(crate) fn replied(
        &mut self,
        plugin: &str,
        call: CallId,
        result: Result<Reply, CallFailure>,
        step: &mut Step<'_>,
    ) {
        // Cut off by the stop, not by its own fault: the next run does it.
        if self.stopping && result.is_err() {
            return;
        }
        let is_meant =
            |entry: &Entry| entry.held.as_ref().is_some_and(|held| held.plugin == plugin && held.call == Some(call));
        self.on(step, is_meant, |entry, _, step| entry.replied(plugin, result, step));
    }

    /// Whether this call hands a file over.
    pub(crate) fn awaits(&self, plugin: &str, call: CallId) -> bool {
        let mut held = self.entries.iter().filter_map(|entry| entry.held.as_ref());
        held.any(|held| held.plugin == plugin && held.call == Some(call))
    }

    /// Whether this is about a file that a plugin has, or had until a moment ago.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.entries.iter().any(|entry| {
            entry.held.as_ref().is_some_and(|held| held.id == id)
                || entry.told.as_ref().is_some_and(|told| told.id == id)
        })
    }

    /// A plugin tells the end of what it has; it is answered when that is on disk.
    pub(crate) fn asked_to_finish(&mut self, plugin: &str, ask: AskId, id: &str, ending: Ending, step: &mut Step<'_>) {
        let told = |entry: &mut Entry| entry.told.take_if(|told| told.is_repeated_by(plugin, id, &ending));
        for entry in &mut self.entries {
            if let Some(told) = told(entry) {
                entry.told = Some(Told { asked: Some(ask), ..told });
                return;
            }
        }
        let holder = self.entries.iter().filter_map(|entry| entry.held.as_ref()).find(|held| held.id == id);
        match holder.map(|held| held.plugin == plugin) {
            None => answer(ask, Err(FinishFailure::Unknown), step),
            Some(false) => answer(ask, Err(FinishFailure::NotYours), step),
            Some(true) => {
                let told = Told { by: plugin.to_owned(), id: id.to_owned(), ending, asked: Some(ask) };
                let is_meant = |entry: &Entry| entry.held.as_ref().is_some_and(|held| held.id == id);
                self.on(step, is_meant, |entry, _, step| entry.told(told, step));
            }
        }
    }

    /// A plugin tells how far it is. Says whether it has such a file.
    pub(crate) fn progress(&mut self, plugin: &str, id: &str, percent: u8) -> bool {
        let mut held = self.entries.iter_mut().filter_map(|entry| entry.held.as_mut());
        let held = held.find(|held| held.id == id && held.plugin == plugin);
        held.map(|held| held.percent = Some(percent.min(100))).is_some()
    }

    pub(crate) fn plugins_scanned(&mut self) {
        self.plugins_scanned = true;
    }

    pub(crate) fn plugin_up(&mut self, up: &PluginUp) {
        // Firmware has no word, only a device.
        let scope =
            up.firmware.as_ref().map(|scope| CommandScope { names: Vec::new(), devices: scope.devices.clone() });
        self.handlers.up(&up.plugin, scope);
    }

    pub(crate) fn plugin_down(&mut self, plugin: &str, gone: bool, now: Now) {
        if gone {
            self.handlers.gone(plugin);
        } else {
            self.handlers.down(plugin, now.monotonic + HOLD_MAX);
        }
    }

    /// The daemon is being stopped.
    pub(crate) fn stop(&mut self, step: &mut Step<'_>) {
        self.stopping = true;
        self.entries.iter_mut().for_each(|entry| entry.cancel_fetch(step));
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        self.hold_until.take_if(|until| self.plugins_scanned || now >= *until);
        self.handlers.give_up(now);
        // Without the cloud's first words nobody could be told the end.
        if self.stopping || self.entries.is_empty() || step.world.speaks.is_none() {
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        let mut turn = Turn {
            fetching: entries.iter().any(Entry::fetches),
            hands: Hands {
                handlers: &self.handlers,
                busy: entries.iter().any(Entry::hands_over),
                holders: entries.iter().filter_map(|entry| Some(entry.held.as_ref()?.plugin.clone())).collect(),
            },
            child_until: None,
        };
        let stopped = step.world.stopped.is_some();
        let (mut targets, mut ended) = (BTreeSet::new(), Vec::new());
        for mut entry in entries {
            let mut end = entry.wake(step);
            let target = entry.child.as_deref().map(|id| without_company(id, &step.config.cpid).to_owned());
            let is_first = targets.insert(target);
            if stopped {
                entry.cancel_fetch(step);
            } else if end.is_none() && is_first && entry.doing == Doing::Rest && self.hold_until.is_none() {
                end = turn.go_on(&mut entry, step);
            }
            match end {
                Some(end) => ended.push((entry, end)),
                None => self.entries.push(entry),
            }
        }
        self.child_until = turn.child_until;
        for (entry, end) in ended {
            self.end(entry, end, step);
        }
    }

    /// When there is something to do. Nothing is while the daemon stops.
    pub(crate) fn timeout(&self, world: &World) -> Option<Duration> {
        if self.stopping {
            return None;
        }
        let waiting = self.waiting.timeout().filter(|_| world.stopped.is_none());
        if self.entries.is_empty() {
            return waiting;
        }
        let own = self.hold_until.into_iter().chain(self.child_until).chain(self.handlers.timeout()).chain(waiting);
        self.entries.iter().filter_map(Entry::timeout).chain(own).min()
    }

    fn end(&mut self, entry: Entry, end: End, step: &mut Step<'_>) {
        self.waiting.ended(entry.journal.guid.as_ref());
        self.ended.push(entry.end(end, step));
    }

    /// Updates that have their end since this was asked last.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// Whether the cloud is to be asked for waiting updates, because of new URLs.
    pub(crate) fn takes_question(&mut self) -> bool {
        std::mem::take(&mut self.wants_urls)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn status(&self) -> Vec<UpdateStatus> {
        self.entries.iter().map(Entry::status).collect()
    }

    /// Changes the one that is meant, if there is one.
    fn on(
        &mut self,
        step: &mut Step<'_>,
        is_meant: impl Fn(&Entry) -> bool,
        change: impl FnOnce(&mut Entry, &Handlers, &mut Step<'_>) -> Option<End>,
    ) {
        let Some(place) = self.entries.iter().position(is_meant) else { return };
        let Some(entry) = self.entries.get_mut(place) else { return };
        if let Some(end) = change(entry, &self.handlers, step) {
            let entry = self.entries.remove(place);
            self.end(entry, end, step);
        }
    }
}

/// What entries that go on in the same moment must know of each other.
struct Turn<'a> {
    /// Files are being fetched.
    fetching: bool,
    hands: Hands<'a>,
    child_until: Option<Duration>,
}

impl Turn<'_> {
    /// Begins what is next for one that rests.
    fn go_on(&mut self, entry: &mut Entry, step: &mut Step<'_>) -> Option<End> {
        match &entry.journal.phase {
            Phase::Queued => {
                match self.finds_child(entry, step) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(end) => return Some(end),
                }
                entry.nobody_takes_it(self.hands.handlers, step).or_else(|| self.fetch(entry, step))
            }
            Phase::Fetching => self.fetch(entry, step),
            Phase::AwaitingUrls if step.world.online.is_none() => None,
            Phase::AwaitingUrls => entry.ask_for_urls(step),
            // The installer may have restarted the device itself.
            Phase::HandingOver { way: Way::Installer, parcel, boot_id }
                if step.config.ota.restart && *boot_id != step.config.boot_id =>
            {
                let (parcel, boot_id) = (parcel.clone(), boot_id.clone());
                entry.journal.phase = Phase::AwaitingRestart { parcel, boot_id, installed: false, asked: 0 };
                entry.begin_confirm(step)
            }
            Phase::AwaitingRestart { .. } => entry.begin_confirm(step),
            Phase::Ready | Phase::HandingOver { .. } | Phase::Deferred { .. } | Phase::Probation { .. } => {
                entry.begin_hand_over(&mut self.hands, step)
            }
        }
    }

    /// One target at a time; and without a link the files cannot be had, mostly.
    fn fetch(&mut self, entry: &mut Entry, step: &mut Step<'_>) -> Option<End> {
        if self.fetching || step.world.online.is_none() {
            return None;
        }
        let end = entry.begin_fetch(step);
        self.fetching = end.is_none();
        end
    }

    /// Finds out whom it is for; false while that is waited for. The cloud tells of a new child and updates it in one breath, as
    /// with commands.
    fn finds_child(&mut self, entry: &mut Entry, step: &Step<'_>) -> Result<bool, End> {
        let devices = step.world.definition.as_ref().map_or(&[][..], |definition| &definition.devices);
        let child = match Target::of(entry.child.as_deref(), &step.config.cpid, &step.config.unique_id, devices) {
            Target::Device => None,
            Target::Child(id) => Some(id.to_owned()),
            Target::Unknown(id) => {
                let until = entry.since + CHILD_TIME_MAX;
                if step.now.monotonic < until {
                    self.child_until = self.child_until.into_iter().chain([until]).min();
                    return Ok(false);
                }
                let reason = format!("this device has no child {id:?}");
                return Err(entry.failed(Status::Failed, &reason));
            }
        };
        entry.child = child;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
