//! From waiting to a plugin: who has to wait, who is called, and who can only fail.

use std::sync::Arc;
use std::time::Duration;

use edgeplug_protocol::c2d::Target;

use super::routing::Route;
use super::task::Work;
use super::{Commands, Open, Running};
use crate::event::Ending;
use crate::{Action, CallId, Step};

/// How long a command waits for its child to be known: the cloud tells of a new child and commands it in one breath, and
/// the device has to ask who that is.
pub(crate) const CHILD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a plugin may take; its own deadlines are shorter, this one guards against a lost answer.
pub(crate) const CALL_TIME_MAX: Duration = Duration::from_secs(120);

impl Commands {
    /// Starts or ends every waiting command that need not wait any longer. Looks at them only when something changed.
    pub(super) fn start(&mut self, step: &mut Step<'_>) {
        let world = step.world;
        let same = match (&self.definition, &world.definition) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if (same && !self.stirred) || self.stopping || world.speaks.is_none() {
            return;
        }
        self.definition.clone_from(&world.definition);
        self.stirred = false;
        self.child_until = None;
        for open in std::mem::take(&mut self.waiting) {
            if let Some(open) = self.start_one(open, step) {
                self.waiting.push_back(open);
            }
        }
        for open in std::mem::take(&mut self.local) {
            if let Some(open) = self.start_one(open, step) {
                self.local.push_back(open);
            }
        }
    }

    /// Gives back what has to wait.
    fn start_one(&mut self, mut open: Open, step: &mut Step<'_>) -> Option<Open> {
        let text = match &open.task.work {
            Work::Run(text) => text.clone(),
            Work::Refuse(reason) => {
                let reason = reason.clone();
                self.finish(open, Ending::Failed(reason), step);
                return None;
            }
            // Those are the part [`crate::ota`]'s, and never wait here.
            Work::Update(_) => {
                self.finish(open, Ending::Failed("a firmware update is no command".to_owned()), step);
                return None;
            }
        };
        if self.hold_until.is_some() {
            return Some(open);
        }
        let devices = step.world.definition.as_ref().map_or(&[][..], |definition| &definition.devices);
        let (cpid, own) = (&step.config.cpid, &step.config.unique_id);
        let child = match Target::of(open.task.child.as_deref(), cpid, own, devices) {
            Target::Device => None,
            Target::Child(id) => Some(id.to_owned()),
            Target::Unknown(id) => {
                let until = open.since + CHILD_TIME_MAX;
                if step.now.monotonic < until {
                    self.child_until = self.child_until.into_iter().chain([until]).min();
                    return Some(open);
                }
                let reason = format!("this device has no child {id:?}");
                self.finish(open, Ending::Failed(reason), step);
                return None;
            }
        };
        open.task.child.clone_from(&child);
        let device = child.as_deref().unwrap_or(&step.config.unique_id);
        let plugin = match self.handlers.route(device, &text) {
            Route::To(plugin) if self.running.contains_key(plugin) => return Some(open),
            Route::To(plugin) => plugin.to_owned(),
            Route::Wait => return Some(open),
            Route::Down(plugin) => {
                let reason = format!("plugin {plugin} is down");
                self.finish(open, Ending::Failed(reason), step);
                return None;
            }
            Route::Nobody => {
                let reason = match child {
                    Some(child) => format!("no plugin on this device handles this command for {child}"),
                    None => "no plugin on this device handles this command".to_owned(),
                };
                self.finish(open, Ending::Failed(reason), step);
                return None;
            }
        };
        let call = CallId(step.ticket().0);
        step.act(Action::Call { plugin: plugin.clone(), call, id: open.key.clone(), text, child });
        let deadline = step.now.monotonic + CALL_TIME_MAX;
        self.running.insert(plugin, Running { call, deadline, open: Some(open) });
        None
    }
}
