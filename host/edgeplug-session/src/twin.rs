//! The device twin: what the cloud wants, what the device reports, and who asked.

use bytes::Bytes;

use crate::action::{Answer, TwinFailure};
use crate::{Action, AskId, Step};

#[derive(Default)]
pub(crate) struct Twin {}

impl Twin {
    /// What the last run knew.
    pub(crate) fn restore(&mut self, _kept: Option<Bytes>, _step: &mut Step<'_>) {}

    /// A link is there: ask for all of it.
    pub(crate) fn link_up(&mut self, _step: &mut Step<'_>) {}

    /// The link is gone: what was asked on it will not be answered.
    pub(crate) fn link_lost(&mut self, _step: &mut Step<'_>) {}

    /// The hub answered a question of ours.
    pub(crate) fn answered(
        &mut self,
        _status: u16,
        _request_id: &str,
        _version: Option<u64>,
        _body: &Bytes,
        _step: &mut Step<'_>,
    ) {
    }

    /// Desired properties changed.
    pub(crate) fn desired_changed(&mut self, _version: Option<u64>, _body: &Bytes, _step: &mut Step<'_>) {}

    /// A plugin wants the whole twin.
    pub(crate) fn get(&mut self, ask: AskId, step: &mut Step<'_>) {
        step.act(Action::Answer { ask, answer: Answer::Twin(Err(unavailable())) });
    }

    /// A plugin reports.
    pub(crate) fn report(&mut self, ask: AskId, _patch: &str, step: &mut Step<'_>) {
        step.act(Action::Answer { ask, answer: Answer::Reported(Err(unavailable())) });
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, _step: &mut Step<'_>) {}

    pub(crate) fn timeout(&self) -> Option<std::time::Duration> {
        None
    }
}

fn unavailable() -> TwinFailure {
    TwinFailure::Unavailable("the twin is not read yet".to_owned())
}
