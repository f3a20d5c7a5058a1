//! Which plugin gets a command, or the firmware of a device, which has no word.
//!
//! Of the plugins in whose scope it is: the one that names both its device and its first word, then one that names the
//! device, then one that names the word, then one that takes all; among equals the first by name. That one is waited for
//! while it restarts: nobody else was meant.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::CommandScope;

/// Plugins that handle commands, by name.
#[derive(Default)]
pub(crate) struct Handlers(BTreeMap<String, Handler>);

struct Handler {
    scope: CommandScope,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// Commands wait for it until then.
    DownUntil(Duration),
    /// Waited long enough: its commands fail at once until it is up again.
    GivenUp,
}

/// Where a command goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// It can be called.
    To(&'a str),
    /// It restarts.
    Wait,
    /// It is down for too long.
    Down(&'a str),
    /// Nobody handles it.
    Nobody,
}

impl Handlers {
    pub(crate) fn up(&mut self, plugin: &str, scope: Option<CommandScope>) {
        match scope {
            Some(scope) => drop(self.0.insert(plugin.to_owned(), Handler { scope, state: State::Up })),
            None => drop(self.0.remove(plugin)),
        }
    }

    /// One that goes down again before it was up gets no more time.
    pub(crate) fn down(&mut self, plugin: &str, until: Duration) {
        if let Some(handler) = self.0.get_mut(plugin).filter(|handler| handler.state == State::Up) {
            handler.state = State::DownUntil(until);
        }
    }

    pub(crate) fn gone(&mut self, plugin: &str) {
        self.0.remove(plugin);
    }

    /// Gives up those that are down for too long. Says whether there was one.
    pub(crate) fn give_up(&mut self, now: Duration) -> bool {
        let late = |handler: &&mut Handler| matches!(handler.state, State::DownUntil(until) if now >= until);
        self.0.values_mut().filter(late).map(|handler| handler.state = State::GivenUp).count() > 0
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let until = |handler: &Handler| match handler.state {
            State::DownUntil(until) => Some(until),
            State::Up | State::GivenUp => None,
        };
        self.0.values().filter_map(until).min()
    }

    /// `device` is a unique id.
    pub(crate) fn route(&self, device: &str, text: &str) -> Route<'_> {
        let name = text.split_whitespace().next().unwrap_or_default();
        let mut best: Option<(u8, &String, &Handler)> = None;
        for (plugin, handler) in &self.0 {
            let Some(fit) = fit(&handler.scope, device, name) else { continue };
            if best.is_none_or(|(best, ..)| fit > best) {
                best = Some((fit, plugin, handler));
            }
        }
        match best {
            None => Route::Nobody,
            Some((_, plugin, handler)) => match handler.state {
                State::Up => Route::To(plugin),
                State::DownUntil(_) => Route::Wait,
                State::GivenUp => Route::Down(plugin),
            },
        }
    }
}

/// How closely a scope names a command; `None` if it is outside.
fn fit(scope: &CommandScope, device: &str, name: &str) -> Option<u8> {
    let part = |words: &[String], word: &str, weight: u8| match words {
        [] => Some(0),
        words => words.iter().any(|each| each == word).then_some(weight),
    };
    Some(part(&scope.devices, device, 2)? + part(&scope.names, name, 1)?)
}

#[cfg(test)]
mod tests;
